"""Spreadsheet files, the shared reading of every workbook format: bytes -> sheets of cells; and back.

In flow the bytes of an xlsx, xlsm, xlsb, ods or xls file; out flow sheets whose cells stand at
their A1 places, so that every number can be walked back to ``Sheet1!C5``. Text stays text and a
number stays a number: a typed ``0,45`` arrives as text and is converted by the caller, who knows
the decimal mark. An archive is checked before it is opened, because a small file may unpack to
gigabytes; declared sizes may lie, so the unpacked bytes are counted as well. An error such as ``#N/A``
is the text that Excel shows, and a formula that was never computed is its own text: neither is empty.
"""

import datetime as dt
import io
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import python_calamine
import xlsxwriter

from exvivo.errors import InputError, fault
from exvivo.formats.formulas import lost_cells

Cell = str | float | bool | dt.datetime | dt.date | dt.time | dt.timedelta

MAX_MEMBERS = 2_000
MAX_UNPACKED_BYTES = 200_000_000
MAX_RATIO = 200
_RATIO_FROM_BYTES = 10_000_000
_CHUNK = 1 << 20
_CREATED = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_OLD_EXCEL = b"\xd0\xcf\x11\xe0"


@dataclass(frozen=True, slots=True)
class Sheet:
    """One sheet: rows from A1 on, trailing empty cells cut off; an empty cell is the empty text. ``hidden`` as in Excel."""

    name: str
    rows: tuple[tuple[Cell, ...], ...]
    hidden: bool = False

    def cell(self, row: int, column: int) -> Cell:
        """Cell at a 0-based place; the empty text outside the filled area."""
        if 0 <= row < len(self.rows) and 0 <= column < len(self.rows[row]):
            return self.rows[row][column]
        return ""


@dataclass(frozen=True, slots=True)
class Workbook:
    """Sheets in file order."""

    sheets: tuple[Sheet, ...]


def cell_origin(sheet: str, row: int, column: int) -> str:
    """Place of a cell from 0-based row and column.

    >>> cell_origin("Sheet1", 4, 2), cell_origin("Sheet1", 0, 27)
    ('Sheet1!C5', 'Sheet1!AB1')
    """
    letters, rest = "", column + 1
    while rest:
        rest, digit = divmod(rest - 1, 26)
        letters = chr(ord("A") + digit) + letters
    return f"{sheet}!{letters}{row + 1}"


def cell_text(cell: Cell) -> str:
    """Text of a cell: whole numbers without ``.0``, others in full precision.

    >>> cell_text(1.0), cell_text(0.1), cell_text("0,10")
    ('1', '0.1', '0,10')
    """
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    return cell if isinstance(cell, str) else str(cell)


def is_workbook(data: bytes) -> bool:
    """Whether bytes begin as a zip archive or as an old Excel file."""
    return data[:4] in {b"PK\x03\x04", _OLD_EXCEL}


def parse_workbook(data: bytes, where: str) -> Workbook:
    """Sheets of a workbook.

    Raises
    ------
    InputError : not a workbook, damaged, or an archive that unpacks to too much
    """
    if not is_workbook(data):
        found = "the file is empty" if not data else "the file is not a workbook"
        raise InputError(fault(where, found, "an Excel file (xlsx or xls)", "Save it again as xlsx"))
    if data[:4] != _OLD_EXCEL:
        check_archive(data, where)
    try:
        book = python_calamine.load_workbook(io.BytesIO(data))
        lost = lost_cells(data) if data[:4] != _OLD_EXCEL else {}
        sheets = tuple(_read_sheet(book, about, lost.get(about.name, {})) for about in book.sheets_metadata)
    except (python_calamine.CalamineError, zipfile.BadZipFile, OSError, ValueError) as error:
        message = fault(where, f"the workbook cannot be opened: {error}", "an undamaged Excel file", "Save it again as xlsx")
        raise InputError(message) from error
    return Workbook(sheets)


def _read_sheet(book: python_calamine.CalamineWorkbook, about: python_calamine.SheetMetadata, lost: Mapping[tuple[int, int], str]) -> Sheet:
    """Rows of one sheet, empty tails cut off, lost cells put back."""
    is_hidden = about.visible is not python_calamine.SheetVisibleEnum.Visible
    if about.typ is not python_calamine.SheetTypeEnum.WorkSheet:
        return Sheet(about.name, (), is_hidden)
    cells = book.get_sheet_by_name(about.name).to_python(skip_empty_area=False)
    for (row, column), text in lost.items():
        cells += [[] for _ in range(row + 1 - len(cells))]
        cells[row] += [""] * (column + 1 - len(cells[row]))
        cells[row][column] = text
    rows = [_trim(row) for row in cells]
    while rows and not rows[-1]:
        rows.pop()
    return Sheet(about.name, tuple(rows), is_hidden)


def _trim(row: list[Cell]) -> tuple[Cell, ...]:
    """A row without its empty tail; whole numbers as float, since a sheet knows no integers."""
    end = len(row)
    while end and row[end - 1] == "":
        end -= 1
    return tuple(float(cell) if isinstance(cell, int) and not isinstance(cell, bool) else cell for cell in row[:end])


def check_archive(data: bytes, where: str) -> None:
    """Refuse an archive that would unpack to too much or that declares entities.

    Raises
    ------
    InputError : damaged, over 2000 members, over 200 MB unpacked, packed over 200-fold, or with a DOCTYPE
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            reason = _archive_danger(archive)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        message = fault(where, f"the archive is damaged or cut off: {error}", "a complete xlsx file", "Save it again as xlsx")
        raise InputError(message) from error
    if reason:
        raise InputError(fault(where, reason, "an ordinary spreadsheet", "Copy the cells into a new workbook"))


def _archive_danger(archive: zipfile.ZipFile) -> str:
    """Why an archive is not opened; empty if it may be."""
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        return f"{len(members)} parts inside, more than {MAX_MEMBERS}"
    left = MAX_UNPACKED_BYTES
    for member in members:
        if member.file_size > left:
            return f"the file unpacks to more than {MAX_UNPACKED_BYTES // 1_000_000} MB"
        if member.file_size > _RATIO_FROM_BYTES and member.file_size > MAX_RATIO * max(member.compress_size, 1):
            return f"part '{member.filename}' is packed more than {MAX_RATIO}-fold"
        with archive.open(member) as part:
            head = part.read(_CHUNK)
            if b"<!doctype" in head[:4096].lower():
                return f"part '{member.filename}' declares a DOCTYPE"
            left -= len(head)
            while left >= 0 and (chunk := part.read(_CHUNK)):
                left -= len(chunk)
        if left < 0:
            return f"the file unpacks to more than {MAX_UNPACKED_BYTES // 1_000_000} MB"
    return ""


def compose_workbook(workbook: Workbook) -> bytes:
    """Bytes of an xlsx file; the same workbook gives the same bytes. Text is never turned into a formula, link or number.

    A sheet keeps 15 significant digits of a number, as Excel does.

    Raises
    ------
    ValueError : no sheet, or a sheet name that Excel refuses
    """
    if not workbook.sheets:
        raise ValueError("a workbook needs at least one sheet")
    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(buffer, {"in_memory": True})
    book.set_properties({"created": _CREATED})
    date = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
    for sheet in workbook.sheets:
        if not 1 <= len(sheet.name) <= 31 or re.search(r"[\[\]:*?/\\]|^'|'$", sheet.name):
            raise ValueError(f"'{sheet.name}' cannot be the name of a sheet")
        target = book.add_worksheet(sheet.name)
        for at_row, row in enumerate(sheet.rows):
            for at_column, cell in enumerate(row):
                _write_cell(target, (at_row, at_column), cell, date)
    book.close()
    return buffer.getvalue()


def _write_cell(target: "xlsxwriter.worksheet.Worksheet", place: tuple[int, int], cell: Cell, date: object) -> None:
    """Write one cell by its own type."""
    if isinstance(cell, bool):
        target.write_boolean(*place, cell)
    elif isinstance(cell, str):
        if cell:
            target.write_string(*place, cell)
    elif isinstance(cell, float | int):
        target.write_number(*place, cell)
    else:
        target.write_datetime(*place, cell, date)
