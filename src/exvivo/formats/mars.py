"""BMG Labtech MARS exports of endpoint reads, text or workbook: bytes -> plates as printed; and back to text.

In flow the bytes of a ``.CSV`` or xlsx export; out flows an :class:`ExportRecord`. A plate begins with
``User:``; ``ID1:`` is its name; a line of one word says how it was read. Above each block stands
what it holds: ``Raw Data (450)`` or ``Raw Data (450 1)`` raw absorbance, ``Raw Data (580/620)`` light
at 620 nm (excitation, emission), ``Raw Data (No filter)`` luminescence, ``Blank corrected based on Raw
Data (450)`` a reduced signal. The table view has a line for each well instead, these titles above its
columns and in ``Content`` what a well holds; a line of times or wavelengths below the titles makes it
a kinetic or a spectrum. MARS leaves out the separators after the last well of a line, so that a short
line is a line with empty wells, unless the file ends in it.

The workbook has a sheet of blocks and a sheet of the table view, which say the same: the blocks are
read, and the table tells what the wells hold.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from exvivo.errors import InputError, fault
from exvivo.formats.blocks import block_faults, block_rows, cell_readings, data_sets, labelled_blocks, short_rows, title_above
from exvivo.formats.delimited import (
    compose_rows,
    decide_decimal,
    decimal_evidence,
    decode_text,
    is_number_like,
    parse_number,
    signal_status,
    sniff_delimiter,
    split_rows,
)
from exvivo.formats.grid import Area, Grid
from exvivo.formats.workbook import Sheet, cell_text, is_workbook, parse_workbook
from exvivo.study.design import ExportRecord, PlateRecord, SignalKind, WellLayout, WellRole, well_name, well_position

FORMAT = "mars"
_HEAD_ROWS = 12
_USER = re.compile(r'^"?User:', re.MULTILINE)
_RUN = re.compile(r'^(?:"?User: .*)?(?:Test run no\.?:|Test ID:)|^"?User: .*Test run no\.?:', re.MULTILINE | re.IGNORECASE)
_TITLE = re.compile(r"(?:\d+\.\s*)?(?P<reduced>Blank corrected.*?)?Raw Data\s*\((?P<what>[^()]*)\)+", re.IGNORECASE)
_WHAT = re.compile(
    r"(?:[A-Z]:\s*)?(?P<pair>\d{3,4}(?:\.\d+)?(?:-\d{1,3})?\s*/\s*)?(?P<nm>\d{3,4})(?:\.\d+)?(?:-\d{1,2})?(?:\s*nm)?(?:\s+\d{1,2})?"
    r"|\d{3,4} (?P<em>\d{3,4})|(?:No filter|Empty|Lens|Full light)(?:\s+\d{1,2})?",
    re.IGNORECASE,
)
_MODE = re.compile(r"(Absorbance|Fluorescence|Luminescence|Alpha|Nephelometry|Time resolved)\b.*", re.IGNORECASE)
_NO_ENDPOINT = re.compile(r".*(?:spectrum|scan|kinetic|polari[sz]ation|nephelometry).*", re.IGNORECASE)
_ID = re.compile(r"ID([123]):\s*(.*)")
_WELL = re.compile(r"[A-Za-z]{1,2}\d{1,2}")
_STANDARDS = re.compile(r"(?:Standard )?Conc(?:entration)?s?\b.*?(?:\[(?P<unit>[^\]]*)\])?", re.IGNORECASE)
_ROLES = (
    (re.compile(r"standard", re.IGNORECASE), WellRole.STANDARD),
    (re.compile(r"blank", re.IGNORECASE), WellRole.BLANK),
    (re.compile(r"control", re.IGNORECASE), WellRole.QC),
    (re.compile(r"empty", re.IGNORECASE), WellRole.EMPTY),
)


@dataclass(frozen=True, slots=True)
class _Set:
    """One data set: its title, what that means, where it begins, its cells (well, text, origin); ``grid`` unless it is a column."""

    title: str
    wavelength_nm: int | None
    kind: SignalKind
    place: str
    cells: tuple[tuple[str, str, str], ...]
    grid: Grid | None = None


@dataclass(frozen=True, slots=True)
class _Table:
    """The table view: names of its columns, rows of wells, and whether times or wavelengths stand below the names."""

    area: Area
    head: int
    names: tuple[str, ...]
    rows: tuple[tuple[int, str], ...]
    axis: str

    def column(self, at: int) -> tuple[tuple[str, str, str], ...]:
        """Cells of one column."""
        return tuple((well, self.area.text(row, at), self.area.origin(row, at)) for row, well in self.rows)


def recognises(data: bytes) -> bool:
    """Whether a text or a workbook names a BMG user and a test run."""
    try:
        if is_workbook(data):
            return knows(parse_workbook(data, "file").sheets)
        text = decode_text(data, "file").text
    except InputError:
        return False
    return _USER.search(text) is not None and _RUN.search(text) is not None


def parse(data: bytes, where: str) -> ExportRecord:
    """Plates of a MARS export.

    Raises
    ------
    InputError : all at once: no raw readings, a spectrum or kinetics, wells read twice, a block cut off, unknown words, two decimal marks
    """
    if is_workbook(data):
        return parse_sheets(parse_workbook(data, where).sheets, where)
    decoded = decode_text(data, where)
    rows = split_rows(decoded.text, sniff_delimiter(decoded.text), where)
    whole = Area(None, tuple(row.cells for row in rows), tuple(row.line for row in rows))
    cut = None if decoded.text.endswith(("\n", "\r")) else len(rows)
    return ExportRecord(FORMAT, _plates(list(_split_plates(whole)), where, cut), decoded.notes)


def knows(sheets: Sequence[Sheet]) -> bool:
    """Whether one of the sheets names a BMG user and a test run."""
    return any(_is_run(sheet) for sheet in sheets)


def _is_run(sheet: Sheet) -> bool:
    """Whether a sheet names a BMG user and a test run."""
    head = "\n".join(cell_text(cell).strip() for row in sheet.rows[:_HEAD_ROWS] for cell in row)
    return _USER.search(head) is not None and _RUN.search(head) is not None


def parse_sheets(sheets: Sequence[Sheet], where: str) -> ExportRecord:
    """Plates of a workbook that is open; faults as of :func:`parse`."""
    areas = [Area(sheet.name, sheet.rows) for sheet in sheets if _is_run(sheet)]
    blocks = [area for area in areas if labelled_blocks(area)]
    plates = _plates(blocks or areas, where, None)
    tables = [table for area in areas if area not in blocks and (table := _find_table(area))]
    if len(plates) == 1 and len(tables) == 1 and not plates[0].layout:
        plates = (replace(plates[0], layout=tuple(_layout(tables[0]))),)
    return ExportRecord(FORMAT, plates)


def _plates(areas: Sequence[Area], where: str, cut: int | None) -> tuple[PlateRecord, ...]:
    """Plates of areas that each hold one."""
    found = [(area, tuple(_sets(area))) for area in areas]
    faults = [message for area, sets in found for message in _faults(area, sets, where, cut)]
    if faults:
        raise InputError(faults)
    decimal = decide_decimal((text for _, sets in found for one in sets for _, text, _ in one.cells), where)
    return tuple(_plate(area, sets, at, decimal) for at, (area, sets) in enumerate(found, 1))


def _split_plates(whole: Area) -> Iterator[Area]:
    """Lines of each plate."""
    starts = [at for at in range(len(whole.rows)) if whole.text(at, 0).startswith("User:")] or [0]
    for begin, end in zip(starts, [*starts[1:], len(whole.rows)], strict=True):
        yield Area(None, whole.rows[begin:end], whole.lines[begin:end])


def _sets(area: Area) -> Iterator[_Set]:
    """Data sets whose title is understood: blocks, else columns of the table view."""
    absorbance = any(area.text(row, 0).lower().startswith("absorbance") for row in range(len(area.rows)))
    blocks = labelled_blocks(area)
    for grid in blocks:
        _, title = title_above(grid)
        meaning = _meaning(title, absorbance=absorbance)
        if meaning:
            cells = tuple((well, cell_text(cell).strip(), origin) for well, cell, origin in grid.cells())
            yield _Set(title, *meaning, area.origin(grid.top - 1, 0), cells, grid)
    table = None if blocks else _find_table(area)
    for at, title in enumerate(table.names) if table and not table.axis else ():
        meaning = _meaning(title, absorbance=absorbance)
        if table and meaning:
            yield _Set(title, *meaning, area.origin(table.head, at), table.column(at))


def _meaning(title: str, *, absorbance: bool) -> tuple[int | None, SignalKind] | None:
    """Wavelength and kind that a title states; None if it is not understood. Absorbance has no pair of filters."""
    match = _TITLE.fullmatch(title)
    what = _WHAT.fullmatch(match["what"].strip()) if match else None
    if match is None or what is None or (absorbance and (what["em"] or what["pair"])):
        return None
    nm = int(what["nm"] or what["em"]) if what["nm"] or what["em"] else None
    kind = SignalKind.REDUCED if match["reduced"] else SignalKind.RAW
    return (nm, kind) if nm is None or 190 <= nm <= 1100 else None


def _find_table(area: Area) -> _Table | None:
    """The table view, None if there is none."""
    for head in range(len(area.rows)):
        names = tuple(area.text(head, at) for at in range(len(area.rows[head])))
        lower = [name.lower() for name in names]
        split = {"well row", "well col"} <= set(lower)
        if not (split or "well" in lower) or not any("raw data" in name for name in lower):
            continue
        places = (lower.index("well row"), lower.index("well col")) if split else (lower.index("well"),)
        rows, axis = [], ""
        for row in range(head + 1, len(area.rows)):
            well = "".join(area.text(row, at) for at in places)
            if _WELL.fullmatch(well):
                rows.append((row, well))
            elif not rows and not axis:
                axis = next((text for at in range(len(area.rows[row])) if (text := area.text(row, at))), "")
            elif any(area.text(row, at) for at in range(len(area.rows[row]))):
                break
        return _Table(area, head, names, tuple(rows), axis)
    return None


def _faults(area: Area, sets: Sequence[_Set], where: str, cut: int | None) -> Iterator[str]:
    """What is wrong with one plate; ``cut`` is the last line of a file that ends without a line end."""
    place = f"{where}, {area.origin(0, 0)}"
    for mode in (match[0] for row in range(len(area.rows)) if (match := _MODE.fullmatch(area.text(row, 0)))):
        if _NO_ENDPOINT.fullmatch(mode):
            yield fault(place, f"the plate was read as {mode}", "an endpoint read", "Export the endpoint, or leave this file out")
    if not any(one.kind is SignalKind.RAW for one in sets):
        yield _nothing_raw(area, place)
    seen: set[tuple[int | None, SignalKind]] = set()
    for one in sets:
        if (one.wavelength_nm, one.kind) in seen:
            expected = "one endpoint reading of each well"
            yield fault(f"{where}, {one.place}", f"'{one.title}' stands again", expected, "Export each read on its own")
        seen.add((one.wavelength_nm, one.kind))
        yield from block_faults(one.grid, where) if one.grid else _column_faults(one, where)
        for row, message in short_rows(one.grid) if one.grid and cut else ():
            if area.lines[row] == cut:
                yield fault(f"{where}, {area.origin(row, 0)}", f"{message} and so does the file", "a full row", "Export again")


def _nothing_raw(area: Area, place: str) -> str:
    """Message of a plate without raw readings: what it holds instead."""
    table = _find_table(area)
    if table and table.axis:
        found = f"the table has a line of '{table.axis}' below its titles: a kinetic or a spectrum"
        return fault(place, found, "one endpoint reading of each well", "Export the endpoint, or leave this file out")
    titles = [title_above(grid)[1] for grid in labelled_blocks(area)] or [name for name in (table.names if table else ()) if name]
    shown = ", ".join(f"'{title}'" for title in titles) or "none"
    return fault(place, f"no block of raw readings; blocks: {shown}", "a block headed 'Raw Data (450)'", "Export the raw data")


def _column_faults(one: _Set, where: str) -> Iterator[str]:
    """Wells that no plate has or that stand twice, and cells that are no readings."""
    seen: set[tuple[int, int]] = set()
    for well, text, origin in one.cells:
        try:
            at = well_position(well)
        except ValueError as error:
            yield fault(f"{where}, {origin}", str(error), action="Export again")
            continue
        if at in seen:
            yield fault(f"{where}, {origin}", f"well {well} stands twice", "each well once", "Export again")
        seen.add(at)
        if signal_status(text) is None:
            expected = "a number or a reader's word such as OVERFLOW"
            yield fault(f"{where}, {origin}", f"well {well}: '{text}' is no reading", expected, "Export again")


def _plate(area: Area, sets: Sequence[_Set], position: int, decimal: str) -> PlateRecord:
    """One plate that has no faults."""
    cells = [[(well_name(*well_position(well)), text, origin) for well, text, origin in one.cells] for one in sets]
    readings = tuple(
        reading for one, mine in zip(sets, cells, strict=True) for reading in cell_readings(mine, one.wavelength_nm, one.kind, decimal)
    )
    ids = [(row, match) for row in range(len(area.rows)) for cell in area.rows[row] if (match := _ID.match(cell_text(cell).strip()))]
    name = next((match[2].strip() for _, match in ids if match[1] == "1"), "") or None
    notes = [f"{area.origin(row, 0)}: {match[0].strip()}" for row, match in ids if match[1] != "1" and match[2].strip()]
    for one in sets:
        notes += [
            f"{area.origin(row, 0)}: {message}: the rest was read as empty"
            for row, message in (short_rows(one.grid) if one.grid and area.lines else ())
        ]
    notes += _unread(area, [one.grid for one in sets if one.grid])
    places = [well_position(one.well) for one in readings]
    large = any(row > 7 or column > 11 for row, column in places)
    table = None if any(one.grid for one in sets) else _find_table(area)
    layout = tuple(_layout(table)) if table else ()
    return PlateRecord(name, position, *((16, 24) if large else (8, 12)), readings, layout, notes=tuple(notes))


def _layout(table: _Table) -> Iterator[WellLayout]:
    """What the column ``Content`` says of each well, with the concentrations of standards where a column holds them."""
    lower = [name.lower() for name in table.names]
    if "content" not in lower:
        return
    amounts = next(((at, match) for at, name in enumerate(table.names) if (match := _STANDARDS.fullmatch(name))), None)
    for row, well in table.rows:
        content = table.area.text(row, lower.index("content"))
        amount = table.area.text(row, amounts[0]) if amounts else ""
        role = next((role for words, role in _ROLES if words.search(content)), WellRole.SPECIMEN)
        told = role is WellRole.STANDARD and is_number_like(amount) and decimal_evidence(amount) != "?"
        value = parse_number(amount, decimal_evidence(amount) or ".") if told else None
        unit = amounts[1]["unit"] if amounts and value is not None else None
        if content:
            named = content.split()[-1]
            yield WellLayout(well_name(*well_position(well)), role, named, value, None, unit, table.area.origin(row, 0))


def _unread(area: Area, known: Sequence[Grid]) -> Iterator[str]:
    """A note for each block whose title is not understood."""
    for grid in labelled_blocks(area):
        if all(grid.top != other.top for other in known):
            yield f"{area.origin(grid.top - 1, 0)}: block '{title_above(grid)[1]}' not read: neither raw nor blank-corrected readings"


def compose(record: ExportRecord, delimiter: str = ",") -> bytes:
    """UTF-8 text of all readings and the names of the plates.

    Raises
    ------
    ValueError : readings without a wavelength, or no raw ones
    """
    return compose_rows([row for plate in record.plates for row in _plate_rows(plate)], delimiter).encode()


def _plate_rows(plate: PlateRecord) -> Iterator[list[str]]:
    """Rows of one plate."""
    sets = data_sets(plate)
    if not any(kind is SignalKind.RAW for _, kind in sets) or any(nm is None for nm, _ in sets):
        raise ValueError("a MARS plate needs raw readings, and wavelengths for all")
    yield from (["User: USER", "Path: C:\\Data", "Test run no.: 1"], ["Test name: ELISA"], [""])
    yield from ([f"ID1: {plate.name or ''}", ""], ["Absorbance"], [""])
    for (nm, kind), cells in sets.items():
        yield [f"Raw Data ({nm})" if kind is SignalKind.RAW else f"Blank corrected based on Raw Data ({nm})"]
        yield [""]
        yield from block_rows(plate, cells)
        yield [""]
