"""A real MARS export: numbers read by eye from the file."""

from pathlib import Path

from exvivo.formats import mars
from exvivo.formats.exports import recognise


def test_wavelength_and_name_of_a_real_plate(shared_data: Path) -> None:
    name = "PHERAstar output file.CSV"
    data = (shared_data / "plates" / "mars" / name).read_bytes()
    assert recognise(name, data) is mars.parse
    (plate,) = mars.parse(data, name).plates
    assert (plate.name, plate.n_rows, plate.n_columns, plate.notes) == ("20260618 dsRNA _PLATE_01_18Jun26", 8, 12, ())
    assert {one.wavelength_nm for one in plate.readings} == {450}
    found = {one.well: (one.signal, one.origin) for one in plate.readings}
    assert len(found) == 96
    assert [found[well] for well in ("A1", "B9", "H12")] == [(1.691, "line 10"), (0.1, "line 11"), (0.884, "line 17")]
