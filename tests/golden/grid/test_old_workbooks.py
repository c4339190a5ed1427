"""Workbooks of Excel 97 to 2003, which some readers still write. ``plate.xls`` was made with xlwt 1.3: 0.05 + 0.3 row + 0.01 column."""

from pathlib import Path

import pytest

from exvivo.formats.exports import parse_export
from exvivo.study.design import ReadingStatus, well_name

FILE = Path(__file__).parent / "plate.xls"


def test_an_old_workbook_is_read_like_a_new_one() -> None:
    (plate,) = parse_export(FILE.name, FILE.read_bytes()).plates
    assert (plate.name, plate.n_rows, plate.n_columns) == ("ELISA 1", 8, 12)
    read = {one.well: one for one in plate.readings}
    assert len(read) == 96
    assert {one.wavelength_nm for one in plate.readings} == {450}
    for row in range(8):
        for column in range(12):
            if (row, column) != (7, 11):
                assert read[well_name(row, column)].signal == pytest.approx(0.05 + 0.3 * row + 0.01 * column)
    last = read["H12"]
    assert (last.signal, last.status, last.text) == (None, ReadingStatus.OVERFLOW, "OVRFLW")
    assert read["C5"].origin == "450 nm!F5"
