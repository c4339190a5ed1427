"""Tecan Magellan Excel exports: bytes -> plates as printed; and back.

In flow the bytes of an xlsx export; out flows an :class:`ExportRecord`. A sheet is one plate: a row
for each well, a column for each measurement (``Raw data``, ``Label1``, ...), the wells in the column
``Well positions``, in any order. Below the wells the software prints what it did; there the
measurements are numbered and each states its wavelength (of light the emission), and ``Meas.
temperature: Label2: ...`` or ``Label: ...`` gives them the names that head the columns. What people
typed beside the wells is noted, not read.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from exvivo.errors import InputError, fault
from exvivo.formats.delimited import decide_decimal, parse_number, signal_status
from exvivo.formats.workbook import Cell, Sheet, Workbook, cell_origin, cell_text, compose_workbook, is_workbook, parse_workbook
from exvivo.study.design import ExportRecord, PlateRecord, ReadingStatus, SignalKind, WellReading, well_name, well_position

FORMAT = "magellan"
_WELLS = "Well positions"
_PLATE = "Plate"
_HEAD_ROWS = 10
_SIGNAL = re.compile(r"Raw data|Label\s*\d+", re.IGNORECASE)
_WELL_LIKE = re.compile(r"[A-Za-z]{1,2}\d{1,3}")
_MODE = re.compile(r"Measurement mode:\s*(.+)", re.IGNORECASE)
_ENDPOINTS = re.compile(r"absorbance|(?:fluorescence|luminescence)(?!.*polari[sz]ation).*", re.IGNORECASE)
_WAVELENGTH = re.compile(r"(?:Measurement|Emission) (?:wavelength|filter):?\s*(\d{3,4})(?:\.0+)?(?:\s*nm\b|\s*$)", re.IGNORECASE)
_NAMED = re.compile(r"(?:Meas\.? temperature:\s*([^:]+):|Label:\s*(.+))", re.IGNORECASE)
_WORKSPACE = re.compile(r"(?:.*[\\/])?([^\\/]+)\.wsp", re.IGNORECASE)
_PLATE_TYPE = re.compile(r"Plate (?:definition file|description|type).*384", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Table:
    """Wells of one sheet: place of the heads and of the columns, wells by row, what stands below."""

    sheet: Sheet
    head: int
    wells_at: int
    columns: tuple[tuple[str, int], ...]
    rows: tuple[tuple[int, str], ...]
    below: tuple[str, ...]

    def cells(self, column: int) -> Iterator[tuple[str, Cell, str]]:
        """Well as printed, cell, origin."""
        for row, well in self.rows:
            yield well, self.sheet.cell(row, column), cell_origin(self.sheet.name, row, column)


def recognises(data: bytes) -> bool:
    """Whether a sheet of a workbook has a column of well positions beside a column of measurements."""
    if not is_workbook(data):
        return False
    try:
        sheets = parse_workbook(data, "file").sheets
    except InputError:
        return False
    return knows(sheets)


def knows(sheets: Sequence[Sheet]) -> bool:
    """Whether one of the sheets has a column of well positions beside a column of measurements."""
    return any(_find_table(sheet) for sheet in sheets)


def parse(data: bytes, where: str) -> ExportRecord:
    """Plates of a Magellan export.

    Raises
    ------
    InputError : all at once: no wells, other reads than absorbance, kinetics, wells that no plate has, wells twice, unknown words
    """
    return parse_sheets(parse_workbook(data, where).sheets, where)


def parse_sheets(sheets: Sequence[Sheet], where: str) -> ExportRecord:
    """Plates of a workbook that is open; faults as of :func:`parse`."""
    tables = [table for sheet in sheets if (table := _find_table(sheet))]
    faults = [message for table in tables for message in _faults(table, where)]
    if not tables:
        faults.append(
            fault(where, f"no column '{_WELLS}'", "a Magellan sheet with a row for each well", "Export again with well positions")
        )
    if faults:
        raise InputError(faults)
    texts = [cell for table in tables for _, at in table.columns for _, cell, _ in table.cells(at) if isinstance(cell, str)]
    decimal = decide_decimal(texts, where)
    known = {table.sheet.name for table in tables}
    notes = tuple(f"sheet '{sheet.name}' holds no wells and was not read" for sheet in sheets if sheet.name not in known and sheet.rows)
    return ExportRecord(FORMAT, tuple(_plate(table, at, decimal) for at, table in enumerate(tables, 1)), notes)


def _find_table(sheet: Sheet) -> _Table | None:
    """Wells of a sheet, None if it has none."""
    for head in range(min(_HEAD_ROWS, len(sheet.rows))):
        names = [cell_text(cell).strip() for cell in sheet.rows[head]]
        if _WELLS not in names:
            continue
        wells_at = names.index(_WELLS)
        rows = tuple(_well_rows(sheet, head + 1, wells_at))
        end = rows[-1][0] + 1 if rows else head + 1
        below = tuple(cell_text(sheet.cell(row, 0)).strip() for row in range(end, len(sheet.rows)))
        labels = _labels(below)
        columns = tuple((name, at) for at, name in enumerate(names) if _SIGNAL.fullmatch(name) or (name and name in labels))
        if columns:
            return _Table(sheet, head, wells_at, columns, rows, below)
    return None


def _labels(below: Sequence[str]) -> list[str]:
    """Names that the software gave to the measurements."""
    return [(match[1] or match[2]).strip() for text in below if (match := _NAMED.match(text))]


def _well_rows(sheet: Sheet, begin: int, column: int) -> Iterator[tuple[int, str]]:
    """Rows that begin with the first well and end before the first empty cell of the column of wells."""
    begun = False
    for row in range(begin, len(sheet.rows)):
        text = cell_text(sheet.cell(row, column)).strip()
        begun = begun or bool(_WELL_LIKE.fullmatch(text))
        if begun and not text:
            return
        if begun:
            yield row, text


def _faults(table: _Table, where: str) -> Iterator[str]:
    """What is wrong with one sheet."""
    place = f"{where}, {table.sheet.name}"
    if not table.rows:
        yield fault(place, f"no well below '{_WELLS}'", "A1 to H12 or A1 to P24", "Export again")
    for mode in dict.fromkeys(match[1] for text in table.below if (match := _MODE.match(text))):
        if not _ENDPOINTS.fullmatch(mode):
            expected = "Absorbance, Fluorescence or Luminescence"
            yield fault(place, f"the plate was read as {mode}", expected, "Export the endpoint, or leave this file out")
    for name, count in Counter(name for name, _ in table.columns).items():
        if count > 1:
            found = f"column '{name}' stands {count} times: a kinetic read"
            yield fault(place, found, "endpoint readings", "Export the endpoint, or leave this file out")
    yield from _well_faults(table, where)
    for _, column in table.columns:
        for text, cell, origin in table.cells(column):
            if not isinstance(cell, float) and (not isinstance(cell, str) or signal_status(cell) is None):
                expected = "a number or a reader's word such as OVER"
                yield fault(f"{where}, {origin}", f"well {text}: '{cell_text(cell).strip()}' is no reading", expected, "Export again")


def _well_faults(table: _Table, where: str) -> Iterator[str]:
    """Wells that no plate has, and wells that stand twice."""
    seen: set[tuple[int, int]] = set()
    for row, text in table.rows:
        at = cell_origin(table.sheet.name, row, table.wells_at)
        try:
            well = well_position(text)
        except ValueError as error:
            yield fault(f"{where}, {at}", str(error), action="Export again")
            continue
        if well in seen:
            yield fault(f"{where}, {at}", f"well {well_name(*well)} stands twice", "each well once", "Export again")
        seen.add(well)


def _plate(table: _Table, position: int, decimal: str) -> PlateRecord:
    """One sheet that has no faults."""
    wavelengths, notes = _wavelengths(table)
    readings = tuple(
        _reading(*cell, nm, decimal) for (_, column), nm in zip(table.columns, wavelengths, strict=True) for cell in table.cells(column)
    )
    places = [well_position(text) for _, text in table.rows]
    large = any(row > 7 or column > 11 for row, column in places) or any(_PLATE_TYPE.search(text) for text in table.below)
    name, more = _name(table)
    return PlateRecord(name, position, *((16, 24) if large else (8, 12)), readings, notes=(*notes, *more, *_margins(table)))


def _wavelengths(table: _Table) -> tuple[list[int | None], list[str]]:
    """Wavelength of each column: by the name that the software gave to a measurement, else by the number in the column's name."""
    stated = [int(match[1]) for text in table.below if (match := _WAVELENGTH.search(text))]
    named = _labels(table.below)
    if not stated:
        printed = list(dict.fromkeys(int(found) for text in table.below for found in re.findall(r"(?<!\d)(\d{3,4})\s*nm\b", text)))
        stated = printed if len(printed) == 1 == len(table.columns) else []
    found: list[int | None] = []
    notes: list[str] = []
    for name, column in table.columns:
        number = re.search(r"\d+$", name)
        at = named.index(name) if name in named and len(named) == len(stated) else int(number[0]) - 1 if number else 0
        known = 0 <= at < len(stated) and (number is not None or len(stated) == 1 or name in named)
        found.append(stated[at] if known else None)
        if not known:
            notes.append(f"{cell_origin(table.sheet.name, table.head, column)}: the file does not say the wavelength of '{name}'")
    if any(re.match(r"reference", text, re.IGNORECASE) for text in table.below):
        notes.append(f"{table.sheet.name}: a reference wavelength is stated: the readings may already be differences")
    return found, notes


def _name(table: _Table) -> tuple[str | None, list[str]]:
    """Name of the plate: the one in the column of plates, else that of the workspace in which the measurement was saved."""
    names = [cell_text(cell).strip() for cell in table.sheet.rows[table.head]]
    if _PLATE in names:
        column = names.index(_PLATE)
        given = list(dict.fromkeys(text for _, cell, _ in table.cells(column) if (text := cell_text(cell).strip())))
        if len(given) == 1:
            return given[0], []
        if given:
            place = cell_origin(table.sheet.name, table.head, column)
            return None, [f"{place}: several plates are named for one set of wells: {', '.join(given)}; none was taken"]
    return next((match[1] for text in table.below if (match := _WORKSPACE.fullmatch(text))), None), []


def _margins(table: _Table) -> Iterator[str]:
    """A note for each column beside the wells that was not read."""
    used = {table.wells_at, *(column for _, column in table.columns)}
    last = table.rows[-1][0]
    width = max(len(row) for row in table.sheet.rows[: last + 1])
    for column in (column for column in range(width) if column not in used):
        texts = [(row, cell_text(table.sheet.cell(row, column)).strip()) for row in range(last + 1)]
        filled = [(row, text) for row, text in texts if text]
        if filled and filled[0][1] != _PLATE:
            row, text = filled[0]
            yield f"{cell_origin(table.sheet.name, row, column)}: '{text}' and {len(filled) - 1} more cells of this column not read"


def _reading(text: str, cell: Cell, origin: str, wavelength: int | None, decimal: str) -> WellReading:
    """One cell as a reading."""
    printed = cell_text(cell)
    status = ReadingStatus.OK if isinstance(cell, float) else signal_status(printed) or ReadingStatus.MISSED
    signal = cell if isinstance(cell, float) else parse_number(printed, decimal) if status is ReadingStatus.OK else None
    return WellReading(well_name(*well_position(text)), wavelength, signal, status, SignalKind.RAW, printed, origin)


def compose(record: ExportRecord) -> bytes:
    """Bytes of an xlsx file, one sheet for each plate; only raw readings and the plate's name are kept.

    Raises
    ------
    ValueError : a plate without raw readings, or with one of unknown wavelength
    """
    sheets = (Sheet(f"Magellan Sheet {plate.position}", tuple(_sheet_rows(plate))) for plate in record.plates)
    return compose_workbook(Workbook(tuple(sheets)))


def _sheet_rows(plate: PlateRecord) -> Iterator[tuple[Cell, ...]]:
    """Rows of one sheet."""
    raw = [one for one in plate.readings if one.kind is SignalKind.RAW]
    wavelengths = list(dict.fromkeys(one.wavelength_nm for one in raw))
    if not raw or None in wavelengths:
        raise ValueError("a Magellan sheet needs raw readings, all with a wavelength")
    labels = ["Raw data"] if len(wavelengths) == 1 else [f"Label{at}" for at in range(1, len(wavelengths) + 1)]
    cells = {(one.well, one.wavelength_nm): one for one in raw}
    yield (*labels, _WELLS)
    for well in dict.fromkeys(one.well for one in raw):
        yield (*(_cell(cells.get((well, nm))) for nm in wavelengths), well)
    if plate.name:
        yield (f"{plate.name}.wsp",)
    for at, nm in enumerate(wavelengths, 1):
        yield from ((f"Measurement {at}:",), ("Measurement mode: Absorbance",), (f"Measurement wavelength: {nm} nm",))
    yield (f"Plate definition file: GRE{plate.n_rows * plate.n_columns}ft.pdf",)
    yield from ((f"Meas. temperature: {label}: 25.0 °C",) for label in labels)


def _cell(reading: WellReading | None) -> Cell:
    """One cell of a sheet; a well that was not read is empty."""
    if reading is None:
        return ""
    return reading.text if reading.signal is None else reading.signal
