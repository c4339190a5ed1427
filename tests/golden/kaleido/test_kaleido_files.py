"""A real Kaleido export: numbers read by eye from the file."""

from pathlib import Path

from exvivo.formats import kaleido
from exvivo.formats.exports import recognise


def test_wavelength_and_barcode_of_a_real_plate(shared_data: Path) -> None:
    name = "absorbance_endpoint_single_plate_example_01.csv"
    data = (shared_data / "plates" / "kaleido" / name).read_bytes()
    assert recognise(name, data) is kaleido.parse
    record = kaleido.parse(data, name)
    (plate,) = record.plates
    assert (plate.name, plate.n_rows, plate.n_columns, record.notes) == ("V-2020-10-26 16:16:17", 8, 12, ())
    assert {one.wavelength_nm for one in plate.readings} == {450}
    found = {one.well: (one.signal, one.origin) for one in plate.readings}
    assert len(found) == 96
    assert (found["A1"], found["H12"]) == ((2.2075694995298862, "line 7"), (0.043160960819347817, "line 14"))
