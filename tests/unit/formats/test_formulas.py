"""Cells that the fast reader leaves empty: errors and formulas that nothing computed, wherever they stand."""

import io
import zipfile

import xlsxwriter

from exvivo.formats.formulas import lost_cells
from exvivo.formats.workbook import parse_workbook


def book(*sheets: str, error: bool = True) -> bytes:
    buffer = io.BytesIO()
    target = xlsxwriter.Workbook(buffer, {"in_memory": True})
    for name in sheets:
        sheet = target.add_worksheet(name)
        sheet.write_number(0, 0, 1.5)
        sheet.write_formula(1, 0, "=A1", None, 1.5)
        sheet.write_formula(1, 1, '=""', None, "text")
        if error:
            sheet.write_formula(9, 27, "=1/0", None, "#DIV/0!")
            sheet.write_formula(2, 2, "=A1*2", None, "")
    target.close()
    return buffer.getvalue()


def test_errors_and_uncomputed_formulas_are_found_on_their_sheet() -> None:
    assert lost_cells(book("a b", "c")) == {name: {(2, 2): "=A1*2", (9, 27): "#DIV/0!"} for name in ("a b", "c")}
    assert lost_cells(book("a", error=False)) == {}


def test_they_stand_at_their_places_in_the_sheet() -> None:
    (sheet,) = parse_workbook(book("a"), "x.xlsx").sheets
    assert (sheet.cell(9, 27), sheet.cell(2, 2), sheet.cell(1, 0), sheet.cell(0, 0)) == ("#DIV/0!", "=A1*2", 1.5, 1.5)


def test_prefixed_parts_and_other_archives_are_no_trouble() -> None:
    source = zipfile.ZipFile(io.BytesIO(book("a")))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for name in source.namelist():
            raw = source.read(name)
            if name.endswith("sheet1.xml"):
                raw = raw.replace(b"<", b"<x:").replace(b"<x:/", b"</x:").replace(b"<x:?", b"<?").replace(b'xmlns="', b'xmlns:x="')
            target.writestr(name, raw)
    assert lost_cells(buffer.getvalue()) == {"a": {(2, 2): "=A1*2", (9, 27): "#DIV/0!"}}
    empty = io.BytesIO()
    with zipfile.ZipFile(empty, "w") as target:
        target.writestr("content.xml", b"<x/>")
    assert lost_cells(empty.getvalue()) == {}
