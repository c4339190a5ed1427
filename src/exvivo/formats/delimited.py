"""Text tables, the shared reading of every text format: bytes -> lines, cells, numbers; and back.

In flow the bytes of a file and a name for messages; out flow rows of text with their line
numbers. Nothing is converted here unless the caller asks, because the decimal mark is a
property of a column or of a grid, not of a cell: ``3,337`` alone may be 3.337 or 3337, and the
wrong one is a thousandfold error. :func:`decide_decimal` looks at all cells that belong
together and refuses what stays open.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from exvivo.errors import InputError, fault
from exvivo.study.design import ReadingStatus

DELIMITERS = ("\t", ";", ",")
_LATIN_NOTE = "not UTF-8: read as {0} (declared fallback); check accents and degree signs"
_LINE_END = re.compile(r"\r\n|\r|\n")
_SPACES = " \u00a0\u2009\u202f"
_BY_SPACES = re.compile(rf"[+-]?\d{{1,3}}(?:[{_SPACES}]\d{{3}})+(?:[.,]\d*)?")
_INNER = str.maketrans("", "", _SPACES)


@dataclass(frozen=True, slots=True)
class DecodedText:
    """Text of a file, the encoding that fitted, what was odd."""

    text: str
    encoding: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TextRow:
    """One logical row of a text file: the line on which it begins (from 1) and its cells as printed."""

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DelimitedTable:
    """A rectangular text table. ``lines[i]`` is the line on which ``rows[i]`` begins; cells are as printed."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    delimiter: str = ","
    encoding: str = "utf-8"
    notes: tuple[str, ...] = ()

    def column(self, name: str) -> tuple[str, ...]:
        """All cells of one column.

        Raises
        ------
        KeyError : no such column
        """
        if name not in self.header:
            raise KeyError(name)
        at = self.header.index(name)
        return tuple(row[at] for row in self.rows)


def decode_text(data: bytes, where: str) -> DecodedText:
    """Text of a file in UTF-8 (with or without byte order mark), UTF-16 or, as a declared fallback with a note, Windows-1252 or Latin-1.

    Raises
    ------
    InputError : the file is empty or not text
    """
    encoding = _wide_encoding(data)
    if encoding is None and (data[:2] == b"PK" or b"\x00" in data.strip(b"\x00")):
        broken_book = where.lower().endswith((".xlsx", ".xlsm")) and data[:2] != b"PK"
        found = "the file is no whole workbook" if broken_book else "the file is not text"
        raise InputError(fault(where, found, "a text file such as csv or txt", "Export it again, or give it its own file ending"))
    for candidate in (encoding,) if encoding else ("utf-8-sig", "cp1252", "latin-1"):
        try:
            text = data.decode(candidate)
        except UnicodeDecodeError as error:
            if encoding:
                message = fault(where, f"byte {error.start} does not fit {encoding}", "a complete text file", "Export it again")
                raise InputError(message) from error
            continue
        if not text.strip("\ufeff\x00 ").strip():
            raise InputError(fault(where, "the file is empty", "a text file", "Export it again"))
        notes = (_LATIN_NOTE.format(candidate),) if candidate in {"cp1252", "latin-1"} else ()
        return DecodedText(text.removeprefix("\ufeff"), "utf-8" if candidate == "utf-8-sig" else candidate, notes)
    raise AssertionError("latin-1 decodes every byte")  # pragma: no cover


def _wide_encoding(data: bytes) -> str | None:
    """UTF-16 flavour by byte order mark, or by where the zero bytes of plain letters stand."""
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return "utf-16"
    head = data[:2000]
    if len(head) < 8 or len(data) % 2:
        return None
    half = len(head) // 2
    if head[1::2].count(0) > 0.6 * half and not head[0::2].count(0):
        return "utf-16-le"
    if head[0::2].count(0) > 0.6 * half and not head[1::2].count(0):
        return "utf-16-be"
    return None


def sniff_delimiter(text: str) -> str:
    """Delimiter of a text: the first of tab, semicolon, comma that stands outside quotes in at least half of the filled lines.

    The order matters: a semicolon file with decimal commas holds more commas than semicolons.

    >>> sniff_delimiter("A;0,1;0,2"), sniff_delimiter("a,b"), sniff_delimiter("one")
    (';', ',', ',')
    """
    lines = [re.sub(r'"[^"]*"', "", line) for line in _LINE_END.split(text, maxsplit=400)[:400]]
    filled = [line for line in lines if line.strip()]
    for delimiter in DELIMITERS:
        if 2 * sum(delimiter in line for line in filled) >= max(len(filled), 1):
            return delimiter
    counts = Counter(sign for line in filled for sign in line if sign in DELIMITERS)
    return max(DELIMITERS, key=lambda sign: counts[sign]) if counts else ","


def split_rows(text: str, delimiter: str, where: str) -> tuple[TextRow, ...]:
    """Rows of a delimited text; quoted cells may hold delimiters and line ends.

    Raises
    ------
    InputError : a quotation mark is never closed, or text follows a closing one
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[TextRow] = []
    begin = 1
    try:
        for cells in reader:
            rows.append(TextRow(begin, tuple(cells)))
            begin = reader.line_num + 1
    except csv.Error as error:
        message = fault(
            f"{where}, line {begin}", f"the row cannot be split: {error}", "every quotation mark to be closed", "Export the file again"
        )
        raise InputError(message) from error
    return tuple(rows)


def parse_table(data: bytes, where: str, delimiter: str | None = None) -> DelimitedTable:
    """A table with one header row from the bytes of a csv or tab file.

    Rows without any text are left out; the delimiter is taken from the header unless given.

    Raises
    ------
    InputError : all at once: empty file, no header, empty or repeated column names, rows of another length
    """
    decoded = decode_text(data, where)
    header_line = next(line for line in _LINE_END.split(decoded.text) if line.strip())
    mark = delimiter or sniff_delimiter(header_line)
    filled = [row for row in split_rows(decoded.text, mark, where) if any(cell.strip() for cell in row.cells)]
    if not filled:
        raise InputError(fault(where, "no header: no cell holds any text", "column names", "Export the file again"))
    filled = _without_empty_tail(filled)
    header = tuple(cell.strip() for cell in filled[0].cells)
    faults = _header_faults(header, f"{where}, line {filled[0].line}")
    faults += [
        fault(f"{where}, line {row.line}", f"{len(row.cells)} cells", f"{len(header)} as in the header", "Check quotes and delimiters")
        for row in filled[1:]
        if len(row.cells) != len(header)
    ]
    if faults:
        raise InputError(faults)
    rows, lines = tuple(row.cells for row in filled[1:]), tuple(row.line for row in filled[1:])
    return DelimitedTable(header, rows, lines, mark, decoded.encoding, decoded.notes)


def _without_empty_tail(rows: Sequence[TextRow]) -> list[TextRow]:
    """Rows without the columns after the last named one, where nothing stands in them: Excel often writes such columns."""
    named = [at for at, cell in enumerate(rows[0].cells) if cell.strip()]
    width, full = named[-1] + 1, len(rows[0].cells)
    if width == full or any(cell.strip() for row in rows for cell in row.cells[width:]):
        return list(rows)
    return [TextRow(row.line, row.cells[:width]) if len(row.cells) == full else row for row in rows]


def _header_faults(header: Sequence[str], where: str) -> list[str]:
    """What is wrong with a row of column names."""
    if all(is_number_like(name) or not name for name in header):
        return [fault(where, "no header: the first row holds only numbers", "column names", "Add a row of column names")]
    faults = [fault(where, f"column {at} has no name", "a name above every column") for at, name in enumerate(header, 1) if not name]
    repeated = [name for name, count in Counter(header).items() if name and count > 1]
    return faults + [fault(where, f"column name '{name}' stands more than once", "each name once") for name in repeated]


def compose_table(table: DelimitedTable) -> bytes:
    r"""Bytes of a table, ``\n`` at line ends, quoted only where needed; inverse of :func:`parse_table` for tables without notes.

    Raises
    ------
    ValueError : a row has another length than the header
    """
    if any(len(row) != len(table.header) for row in table.rows):
        raise ValueError("every row needs as many cells as the header has names")
    return compose_rows((table.header, *table.rows), table.delimiter).encode(table.encoding)


def compose_rows(rows: Iterable[Sequence[str]], delimiter: str) -> str:
    """Text of rows of cells; rows may differ in length."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


_POINT = re.compile(r"[+-]?\d+(?:\.\d+)?")
_PLAIN = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:(?:\.\d{3})+(,)\d*|(?:,\d{3})+(\.)\d*|(?:\.\d{3}){2,}|(?:,\d{3}){2,})")
_OPEN = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")


def _without_spaces(text: str) -> str:
    """A number's text without outer blanks and blanks between thousands; other blanks stay, so that ``1 2`` is no number."""
    plain = text.strip().replace("\u2212", "-")
    return plain.translate(_INNER) if _BY_SPACES.fullmatch(plain) else plain


def is_number_like(text: str) -> bool:
    """Whether a text is a number under one decimal mark or the other.

    >>> is_number_like("3,337"), is_number_like("-1e-4"), is_number_like("OVRFLW"), is_number_like("1 234,5"), is_number_like("0.1 2")
    (True, True, False, True, False)
    """
    if _POINT.fullmatch(text):
        return True
    plain = _without_spaces(text)
    return bool(_PLAIN.fullmatch(plain) or _GROUPED.fullmatch(plain))


def parse_number(text: str, decimal: str) -> float:
    """A number printed with a known decimal mark (``.`` or ``,``).

    Thousands separators are read only where they cannot be mistaken (``1,234.5``, ``1 234,5``,
    ``1.234.567``): a lone ``1,234`` in a point file is refused.

    Raises
    ------
    ValueError : the text is not such a number

    >>> parse_number("3,337", ","), parse_number("1,234.5", "."), parse_number("1e-3", ".")
    (3.337, 1234.5, 0.001)
    """
    if decimal == "." and _POINT.fullmatch(text):
        return float(text)
    plain = _without_spaces(text)
    other = "," if decimal == "." else "."
    if _PLAIN.fullmatch(plain) and other not in plain:
        return float(plain.replace(decimal, "."))
    if _GROUPED.fullmatch(plain) and _grouped_decimal(plain) == decimal:
        return float(plain.replace(other, "").replace(decimal, "."))
    mark = "a decimal comma" if decimal == "," else "a decimal point"
    raise ValueError(f"'{text}' is not a number with {mark}")


def _grouped_decimal(plain: str) -> str:
    """Decimal mark of a number with thousands separators: the last mark if both occur, else the one that does not."""
    if "." in plain and "," in plain:
        return max(".", ",", key=plain.rfind)
    return "," if "." in plain else "."


def decimal_evidence(text: str) -> str | None:
    """Decimal mark that one text proves: ``.`` or ``,``; ``?`` for ``1,234``, which may be either; None if it says nothing.

    A lone point is always decimal: instruments and spreadsheets do not group by points without a decimal comma nearby.

    >>> [decimal_evidence(text) for text in ("0,12", "0.12", "3,337", "12", "1.234,5")]
    [',', '.', '?', None, ',']
    """
    if _POINT.fullmatch(text):
        return "." if "." in text else None
    plain = _without_spaces(text)
    if _GROUPED.fullmatch(plain):
        return _grouped_decimal(plain)
    if not _PLAIN.fullmatch(plain):
        return None
    if "," in plain:
        return "?" if _OPEN.fullmatch(plain) else ","
    return "." if "." in plain else None


def decide_decimal(texts: Iterable[str], where: str, declared: str | None = None) -> str:
    """Decimal mark of cells that belong together (a column, a grid).

    Parameters
    ----------
    texts : cells as printed; those that are not numbers are ignored
    declared : mark that a person or a dictionary states; then only checked

    Returns
    -------
    ``.`` or ``,``; ``.`` when nothing but whole numbers is there

    Raises
    ------
    InputError : two different decimal marks, or only texts such as ``1,234`` that could be either

    >>> decide_decimal(["3,337", "0,12"], "column OD")
    ','
    """
    example: dict[str, str] = {}
    for text in texts:
        proof = decimal_evidence(text)
        if proof is not None:
            example.setdefault(proof, text)
    if "." in example and ("," in example or "?" in example):
        found = f"two decimal marks: '{example['.']}' and '{example.get(',', example.get('?', ''))}'"
        raise InputError(fault(where, found, "one decimal mark", "Export the file again with one decimal mark and no thousands separator"))
    if declared is not None:
        if not {"."} & example.keys() if declared == "," else not {",", "?"} & example.keys():
            return declared
        contrary = next(text for mark, text in example.items() if mark != declared)
        raise InputError(
            fault(where, f"'{contrary}'", f"'{declared}' as the decimal mark, as declared", "Correct the declaration or the file")
        )
    if "," in example:
        return ","
    if "?" in example:
        found = f"'{example['?']}' may be {example['?'].replace(',', '.')} or {example['?'].replace(',', '')}"
        raise InputError(fault(where, found, "a decimal mark that can be told", "Declare the decimal mark"))
    return "."


_STATUS_WORDS = {
    "ovrflw": ReadingStatus.OVERFLOW,
    "overflow": ReadingStatus.OVERFLOW,
    "over": ReadingStatus.OVERFLOW,
    "ovf": ReadingStatus.OVERFLOW,
    "overrange": ReadingStatus.OVERFLOW,
    "over range": ReadingStatus.OVERFLOW,
    "oor >": ReadingStatus.OVERFLOW,
    "oor>": ReadingStatus.OVERFLOW,
    "sat": ReadingStatus.OVERFLOW,
    "#sat": ReadingStatus.OVERFLOW,
    "saturated": ReadingStatus.OVERFLOW,
    "> max": ReadingStatus.OVERFLOW,
    ">max": ReadingStatus.OVERFLOW,
    "max": ReadingStatus.OVERFLOW,
    "< min": ReadingStatus.MISSED,
    "<min": ReadingStatus.MISSED,
    "oor <": ReadingStatus.MISSED,
    "oor<": ReadingStatus.MISSED,
    "#low": ReadingStatus.MISSED,
    "undrflw": ReadingStatus.MISSED,
    "underflow": ReadingStatus.MISSED,
    "missed": ReadingStatus.MISSED,
    "error": ReadingStatus.MISSED,
    "nan": ReadingStatus.MISSED,
    "n/a": ReadingStatus.MISSED,
    "#n/a": ReadingStatus.MISSED,
    "na": ReadingStatus.MISSED,
    "nd": ReadingStatus.MISSED,
    "n.d.": ReadingStatus.MISSED,
    "n.a.": ReadingStatus.MISSED,
    "path?": ReadingStatus.MISSED,
    "range?": ReadingStatus.MISSED,
    "invalid": ReadingStatus.MISSED,
    "masked": ReadingStatus.MASKED,
    "mask": ReadingStatus.MASKED,
    "excluded": ReadingStatus.MASKED,
    "outlier": ReadingStatus.MASKED,
    "rejected": ReadingStatus.MASKED,
    "": ReadingStatus.EMPTY,
    "-": ReadingStatus.EMPTY,
    "--": ReadingStatus.EMPTY,
    "\u2013": ReadingStatus.EMPTY,
    "\u2014": ReadingStatus.EMPTY,
}
_STATUS_SHAPES = (
    (re.compile(r"[+]{2,}|[*]{2,}|#{2,}"), ReadingStatus.OVERFLOW),
    (re.compile(r">\s*[+-]?\d+([.,]\d+)?"), ReadingStatus.OVERFLOW),
    (re.compile(r"<\s*[+-]?\d+([.,]\d+)?"), ReadingStatus.MISSED),
    (re.compile(r"[?]{2,}"), ReadingStatus.MISSED),
    (re.compile(r"#(VALUE!|DIV/0!|REF!|NUM!|NAME[?]|NULL!|N/A|ERROR!|SPILL!|CALC!)"), ReadingStatus.MISSED),
    (re.compile(r"[*]\s*[+-]?\d+([.,]\d+)?"), ReadingStatus.MASKED),
)


@lru_cache(maxsize=8192)
def signal_status(text: str) -> ReadingStatus | None:
    """What a reader says about a well in words or signs; ``ok`` for a number, None for an unknown word.

    >>> signal_status("OVRFLW"), signal_status(" 0,12"), signal_status("hello")
    (<ReadingStatus.OVERFLOW: 'overflow'>, <ReadingStatus.OK: 'ok'>, None)
    """
    plain = text.strip()
    if is_number_like(plain):
        return ReadingStatus.OK
    known = _STATUS_WORDS.get(" ".join(plain.lower().split()))
    if known is not None:
        return known
    return next((status for shape, status in _STATUS_SHAPES if shape.fullmatch(plain)), None)
