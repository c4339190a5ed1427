"""A real EnVision export: numbers read by eye from the file."""

from pathlib import Path

from exvivo.formats import envision
from exvivo.formats.exports import recognise


def test_plates_and_wavelength_of_a_real_export(shared_data: Path) -> None:
    name = "PE_Envision_absorbance_A450_example.csv"
    data = (shared_data / "plates" / "envision" / name).read_bytes()
    assert recognise(name, data) is envision.parse
    record = envision.parse(data, name)
    assert [(plate.name, plate.position, plate.n_rows, len(plate.readings), plate.layout) for plate in record.plates] == [
        (None, 1, 8, 96, ()),
        (None, 2, 8, 96, ()),
    ]
    assert record.notes == ()
    assert {one.wavelength_nm for plate in record.plates for one in plate.readings} == {450}
    first, second = ({one.well: (one.signal, one.origin) for one in plate.readings} for plate in record.plates)
    assert (first["A4"], first["H1"], first["H12"]) == ((1.85, "line 11"), (0.18, "line 18"), (0.095, "line 18"))
    assert (second["A1"], second["A8"], second["H12"]) == ((0.3, "line 30"), (2.2, "line 30"), (0.13, "line 37"))
