"""Which reader wrote a file: bytes -> the format that can parse it.

Formats are asked in order, the specific before the general: a plain grid is tried last because
most exports contain one. A layout that none knows is refused with what was seen, never guessed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from exvivo.errors import InputError, fault
from exvivo.formats import bioplex, envision, gen5, grid, kaleido, magellan, mars, skanit, softmax, xponent
from exvivo.formats.delimited import decode_text
from exvivo.formats.workbook import Sheet, cell_text, is_workbook, parse_workbook
from exvivo.study.design import ExportRecord

Parser = Callable[[bytes, str], ExportRecord]
_SHOWN_LINES = 5
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Format:
    """A format of exports: its name, whether it knows some bytes, and how it parses them."""

    name: str
    recognises: Callable[[bytes], bool]
    parse: Parser


@dataclass(frozen=True, slots=True)
class BookFormat:
    """A format of workbooks, asked with the sheets of a file that is opened once."""

    knows: Callable[[Sequence[Sheet]], bool]
    parse: Callable[[Sequence[Sheet], str], ExportRecord]


BOOKS = (
    BookFormat(skanit.knows, skanit.parse_sheets),
    BookFormat(magellan.knows, magellan.parse_sheets),
    BookFormat(mars.knows, mars.parse_sheets),
    BookFormat(bioplex.knows, bioplex.parse_sheets),
)
_SPECIFIC = (
    Format(softmax.FORMAT, softmax.recognises, softmax.parse),
    Format(gen5.FORMAT, gen5.recognises, gen5.parse),
    Format(mars.FORMAT, mars.recognises, mars.parse),
    Format(kaleido.FORMAT, kaleido.recognises, kaleido.parse),
    Format(envision.FORMAT, envision.recognises, envision.parse),
    Format(xponent.FORMAT, xponent.recognises, xponent.parse),
    Format(bioplex.FORMAT, bioplex.recognises, bioplex.parse),
)
_GENERAL = Format(grid.FORMAT, grid.recognises, grid.parse)
FORMATS = (
    Format(skanit.FORMAT, skanit.recognises, skanit.parse),
    Format(magellan.FORMAT, magellan.recognises, magellan.parse),
    *_SPECIFIC,
    _GENERAL,
)


def recognise(name: str, data: bytes) -> Parser:
    """Parser of the first format that knows the bytes of an export.

    Raises
    ------
    InputError : no format knows them; the message shows the first lines
    """
    return _first_of(FORMATS, name, data)


def _first_of(formats: Sequence[Format], name: str, data: bytes) -> Parser:
    """Parser of the first of some formats that knows the bytes of an export."""
    for candidate in formats:
        if candidate.recognises(data):
            return candidate.parse
    seen = _first_lines(name, data)
    known = ", ".join(candidate.name for candidate in FORMATS)
    found = "the layout of this export is unknown; it begins: " + " / ".join(seen)
    raise InputError(fault(name, found, f"one of {known}", "Export the raw readings as a plate-shaped grid in csv or xlsx"))


def parse_export(name: str, data: bytes) -> ExportRecord:
    """Plates of an export in any known format.

    Raises
    ------
    InputError : no format knows it, or the one that does finds faults
    """
    if not is_workbook(data):
        return _first_of((*_SPECIFIC, _GENERAL), name, data)(data, name)
    sheets = parse_workbook(data, name).sheets
    for book in BOOKS:
        if book.knows(sheets):
            return book.parse(sheets, name)
    return _first_of((_GENERAL,), name, data)(data, name)


def _first_lines(name: str, data: bytes) -> list[str]:
    """What a person would see on opening the file."""
    if is_workbook(data):
        sheets = parse_workbook(data, name).sheets
        lines = [f"{sheet.name}: " + " | ".join(cell_text(cell) for cell in row) for sheet in sheets for row in sheet.rows if row]
    else:
        lines = [line for line in decode_text(data, name).text.splitlines() if line.strip()]
    return [f"'{line.strip()[:_SHOWN_CHARACTERS]}'" for line in lines[:_SHOWN_LINES]] or ["nothing"]
