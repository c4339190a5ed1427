"""Exports of other readers that hold labelled grids and are therefore read as plain grids."""

from pathlib import Path

import pytest

from exvivo.formats import grid
from exvivo.formats.exports import parse_export, recognise
from exvivo.study.design import ReadingStatus


@pytest.mark.parametrize(
    ("name", "firsts"),
    [
        ("envision/PE_Envision_absorbance_A450_example.csv", [0.15, 0.3]),
    ],
)
def test_labelled_grids_of_other_readers_are_read(shared_data: Path, name: str, firsts: list[float] | None) -> None:
    data = (shared_data / "plates" / name).read_bytes()
    assert recognise(name, data) is grid.parse
    record = parse_export(name, data)
    assert {len(plate.readings) for plate in record.plates} == {96}
    assert all(one.status is ReadingStatus.OK for plate in record.plates for one in plate.readings)
    if firsts is not None:
        assert [plate.readings[0].signal for plate in record.plates] == firsts
        assert {one.wavelength_nm for plate in record.plates for one in plate.readings} == {450}
