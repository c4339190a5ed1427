"""Real Magellan exports: numbers read by eye from the files."""

from pathlib import Path

from exvivo.formats import magellan
from exvivo.formats.exports import recognise
from exvivo.study.design import PlateRecord, ReadingStatus


def read(shared_data: Path, name: str) -> PlateRecord:
    data = (shared_data / "plates" / "magellan" / name).read_bytes()
    assert recognise(name, data) is magellan.parse
    (plate,) = magellan.parse(data, name).plates
    return plate


def signal(plate: PlateRecord, well: str, wavelength: int) -> float | None:
    return next(one.signal for one in plate.readings if (one.well, one.wavelength_nm) == (well, wavelength))


def test_two_wavelengths_of_384_wells(shared_data: Path) -> None:
    plate = read(shared_data, "SLA01P01_assay.xlsx")
    assert (plate.name, plate.n_rows, plate.n_columns, len(plate.readings)) == ("08072021-006", 16, 24, 768)
    assert [signal(plate, well, 535) for well in ("A1", "B24", "P24")] == [0.4002, 0.396, 0.1144]
    assert [signal(plate, well, 700) for well in ("A1", "B24", "P24")] == [0.3741, 0.3498, 0.0914]
    assert (plate.readings[0].origin, plate.readings[384].origin) == ("Magellan Sheet 1!A4", "Magellan Sheet 1!B4")
    assert {one.status for one in plate.readings} == {ReadingStatus.OK}
    assert plate.notes == (
        "Magellan Sheet 1!D3: '96 well' and 0 more cells of this column not read",
        "Magellan Sheet 1!E1: 'Label1=535' and 1 more cells of this column not read",
    )


def test_wells_in_the_order_of_columns_and_a_plate_that_is_named(shared_data: Path) -> None:
    plate = read(shared_data, "SLA01P01_OD.xlsx")
    assert (plate.name, plate.n_rows, plate.n_columns, len(plate.readings), plate.notes) == ("96WEL008", 8, 12, 96, ())
    assert [one.well for one in plate.readings[:3]] == ["A1", "B1", "C1"]
    assert [signal(plate, well, 595) for well in ("A1", "B1", "A2", "H12")] == [0.1462, 0.2118, 0.1418, 0.0461]
