"""Real SkanIt exports: numbers read by eye from the sheets."""

from pathlib import Path

from exvivo.formats import skanit
from exvivo.formats.exports import parse_export, recognise
from exvivo.study.design import ExportRecord, PlateRecord, SignalKind, WellRole


def read(shared_data: Path, name: str) -> ExportRecord:
    data = (shared_data / "plates" / "skanit" / name).read_bytes()
    assert recognise(name, data) is skanit.parse
    return parse_export(name, data)


def signal(plate: PlateRecord, well: str, kind: SignalKind, wavelength: int) -> float | None:
    return next(one.signal for one in plate.readings if (one.well, one.kind, one.wavelength_nm) == (well, kind, wavelength))


def test_the_apoe_plate_is_read_whole_and_the_scribbles_beside_it_are_not(shared_data: Path) -> None:
    record = read(shared_data, "skanit_data.xlsx")
    (plate,) = record.plates
    assert (plate.name, plate.n_rows, plate.n_columns, len(plate.readings)) == ("Plate 1", 8, 12, 192)
    assert [signal(plate, well, SignalKind.RAW, 450) for well in ("A1", "B3", "H12")] == [1.7455, 0.3925, 0.1032]
    assert [signal(plate, well, SignalKind.REDUCED, 450) for well in ("A3", "H1")] == [-0.01048, -0.000555]
    assert plate.readings[0].origin == "Absorbance 1_01!B11"
    assert [note.split("'")[1] for note in record.notes] == ["Signal", "Value", "Dilution factor"]


def test_the_layout_of_the_apoe_plate_holds_standards_blanks_and_dilutions(shared_data: Path) -> None:
    (plate,) = read(shared_data, "skanit_data.xlsx").plates
    layout = {one.well: one for one in plate.layout}
    assert len(layout) == 96
    standards = {one.concentration for one in plate.layout if one.role is WellRole.STANDARD}
    assert standards == {1.0, 0.5, 0.25, 0.125, 0.063, 0.031, 0.016}
    assert {one.unit for one in plate.layout if one.role is WellRole.STANDARD} == {"microg/ml"}
    assert [one.well for one in plate.layout if one.role is WellRole.BLANK] == ["H1", "H2"]
    assert {one.dilution for one in plate.layout if one.role is WellRole.SPECIMEN} == {2.0, 10.0, 25.0, 50.0, 250.0, 500.0, 1000.0}
    assert (layout["B3"].name, layout["B3"].dilution, layout["B3"].concentration) == ("Un0007", 25.0, None)
    assert len({one.name for one in plate.layout if one.role is WellRole.SPECIMEN}) == 40


def test_the_software_s_curve_and_concentrations_are_kept_apart(shared_data: Path) -> None:
    (plate,) = read(shared_data, "skanit_data.xlsx").plates
    assert plate.vendor_curve is not None
    assert dict(plate.vendor_curve.parameters) == {"a": -0.0678141, "b": 0.78981, "c": 0.748878, "d": 2.89758}
    assert (plate.vendor_curve.model, plate.vendor_curve.unit) == ("4PL", "microg/ml")
    vendor = {one.well: one for one in plate.vendor_wells}
    assert len(vendor) == 94
    assert (vendor["A1"].status, vendor["A3"].status, vendor["A12"].concentration) == ("above_uloq", "below_lloq", 0.01887)


def test_five_plates_at_two_wavelengths_keep_their_names_and_layouts(shared_data: Path) -> None:
    record = read(shared_data, "multi-plate_example01.xlsx")
    assert [plate.name for plate in record.plates] == [f"Plate {n}" for n in range(1, 6)]
    assert {len(plate.readings) for plate in record.plates} == {192}
    third = record.plates[2]
    assert [signal(third, "C2", SignalKind.RAW, nm) for nm in (214, 280)] == [3.0, 0.7]
    assert signal(third, "F3", SignalKind.RAW, 214) is None
    assert [len(plate.layout) for plate in record.plates] == [32, 32, 26, 32, 12]
    assert next(one for one in third.layout if one.well == "A2").name == "Un0033"
