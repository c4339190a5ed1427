"""Plain plate-shaped grids in csv, tab or Excel files: the file a laboratory makes by hand.

In flow the bytes of a text file or a workbook; out flows an :class:`ExportRecord`. A grid is a row of column numbers with row letters
beside it, or an unlabelled block of exactly 8 x 12 or 16 x 24 readings. Text above or in the corner of a grid may name its plate and its
wavelength; a grid of words, or one that is titled concentration or dilution, is the layout of the plate it stands with. Whatever
belongs to no grid is kept as a note with its place, never read as data.

Two grids belong to one plate while the wavelength or the wells differ and no title names another plate.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from exvivo.errors import InputError, fault
from exvivo.formats.delimited import (
    DELIMITERS,
    compose_rows,
    decide_decimal,
    decode_text,
    is_number_like,
    parse_number,
    signal_status,
    sniff_delimiter,
    split_rows,
)
from exvivo.formats.frames import find_blocks, find_frames
from exvivo.formats.workbook import Cell, Sheet, Workbook, cell_origin, cell_text, compose_workbook, is_workbook, parse_workbook
from exvivo.study.design import ExportRecord, PlateRecord, ReadingStatus, SignalKind, WellLayout, WellReading, WellRole, well_name

FORMAT = "grid"
_LETTERS = "ABCDEFGHIJKLMNOP"
_SIZES = ((8, 12), (16, 24))
_TITLE_ROWS = 6
_MAX_NOTES = 40
_WAVELENGTH = re.compile(r"(?:wavelength|absorbance|\babs|\bod|\ba)\s*[:=@(\[]?\s*(\d{3,4})(?!\d)|(?<!\d)(\d{3,4})\s*nm", re.IGNORECASE)
_REDUCED = re.compile(
    r"(?<!\d)\d{3}\s*(?:nm)?\s*[-−–]\s*\d{3}(?!\d)|reduced|subtracted|corrected|delta|blanked|minus|\bnet\b", re.IGNORECASE
)
_PROPERTY = re.compile(
    r"(?P<name>conc|dil|sample|layout|role)[a-z]*\.?(?:\s+(?:factors?|names?|ids?|map))?\s*(?:[(\[](?P<unit>[^)\]]*)[)\]])?:?",
    re.IGNORECASE,
)
_PLATE = re.compile(r"\s*(?:plate|plaque|platte)(?:\s+name|\s+id)?\s*([:=]?)\s*(.*?)\s*", re.IGNORECASE)
_DEFAULT_SHEET = re.compile(r"(?:sheet|feuil|tabelle|hoja|foglio|blad)\s*\d*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Area:
    """Cells of one sheet or of one text file. ``lines`` holds the line of each row of a text file and is empty for a sheet."""

    name: str | None
    rows: tuple[tuple[Cell, ...], ...]
    lines: tuple[int, ...] = ()

    def cell(self, row: int, column: int) -> Cell:
        """Cell at a 0-based place; the empty text outside."""
        return self.rows[row][column] if 0 <= row < len(self.rows) and 0 <= column < len(self.rows[row]) else ""

    def text(self, row: int, column: int) -> str:
        """Text of a cell without outer blanks."""
        return cell_text(self.cell(row, column)).strip()

    def origin(self, row: int, column: int) -> str:
        """``line 14`` or ``Sheet1!C5``."""
        return f"line {self.lines[row]}" if self.lines else cell_origin(self.name or "", row, column)


@dataclass(frozen=True, slots=True)
class Grid:
    """One plate-shaped block: place of its first well, size, and whether a row of numbers and a column of letters frame it.

    A part of a plate begins at ``first_row`` and ``first_column`` (from 0); ``letters_at`` is the column of letters that do not
    stand just before the first well.
    """

    area: Area
    top: int
    left: int
    n_rows: int
    n_columns: int
    header: bool
    letters: bool
    titles: tuple[str, ...] = ()
    first_row: int = 0
    first_column: int = 0
    letters_at: int | None = None

    def cells(self) -> Iterator[tuple[str, Cell, str]]:
        """Well name, cell and origin, row by row."""
        for row in range(self.n_rows):
            for column in range(self.n_columns):
                at = (self.top + row, self.left + column)
                yield well_name(self.first_row + row, self.first_column + column), self.area.cell(*at), self.area.origin(*at)

    def covers(self, row: int, column: int) -> bool:
        """Whether a cell belongs to the grid or to its frame."""
        if not self.top - self.header <= row < self.top + self.n_rows:
            return False
        inside = self.left - (self.letters and self.letters_at is None) <= column < self.left + self.n_columns
        return inside or (self.letters and column == self.letters_at)

    def plate_size(self) -> tuple[int, int]:
        """Rows and columns of the smallest plate that holds the grid."""
        return next(size for size in _SIZES if self.first_row + self.n_rows <= size[0] and self.first_column + self.n_columns <= size[1])


def read_areas(data: bytes, where: str) -> tuple[tuple[Area, ...], tuple[str, ...]]:
    """Sheets of a workbook, or the one area of a text file, with notes on the encoding.

    Raises
    ------
    InputError : the bytes are neither
    """
    if is_workbook(data):
        return show_areas(parse_workbook(data, where).sheets)
    decoded = decode_text(data, where)
    return (_split(decoded.text, sniff_delimiter(decoded.text), where),), decoded.notes


def show_areas(sheets: Sequence[Sheet]) -> tuple[tuple[Area, ...], tuple[str, ...]]:
    """Sheets that a person sees, and notes on those that are hidden."""
    shown = [sheet for sheet in sheets if not sheet.hidden] or sheets
    hidden = tuple(f"sheet '{sheet.name}' is hidden and was not read" for sheet in sheets if sheet not in shown)
    return tuple(Area(sheet.name, sheet.rows) for sheet in shown), hidden


def _split(text: str, delimiter: str, where: str) -> Area:
    """The one area of a text under one delimiter."""
    rows = split_rows(text, delimiter, where)
    return Area(None, tuple(row.cells for row in rows), tuple(row.line for row in rows))


def _grid_areas(data: bytes, where: str) -> tuple[tuple[Area, ...], tuple[str, ...]]:
    """Areas as :func:`read_areas` gives them; for a text, under the first delimiter that shows a grid: prose may mislead."""
    areas, notes = read_areas(data, where)
    if is_workbook(data) or _has_grid(areas):
        return areas, notes
    text = decode_text(data, where).text
    for delimiter in DELIMITERS:
        try:
            other = (_split(text, delimiter, where),)
        except InputError:
            continue
        if _has_grid(other):
            return other, notes
    return areas, notes


def _has_grid(areas: Sequence[Area]) -> bool:
    """Whether any grid of readings can be found."""
    return any(_is_filled(grid) and is_reading_grid(grid) for area in areas for grid in find_grids(area))


def find_grids(area: Area) -> tuple[Grid, ...]:
    """All grids of an area in reading order, each with the texts that stand above it or in its corner."""
    grids = list(_labelled_grids(area))
    grids += [grid for grid in _bare_grids(area) if not any(known.covers(grid.top, grid.left) for known in grids)]
    grids.sort(key=lambda grid: (grid.top, grid.left))
    return tuple(replace(grid, titles=tuple(_titles(grid, grids))) for grid in grids)


def _labelled_grids(area: Area) -> Iterator[Grid]:
    """Grids framed by column numbers and row letters."""
    frames, _ = find_frames(_texts(area))
    for one in frames:
        letters_at = None if one.letters == one.left - 1 else one.letters
        yield Grid(
            area, one.top, one.left, one.n_rows, one.n_columns, header=True, letters=True,
            first_row=one.first_row, first_column=one.first_column, letters_at=letters_at,
        )  # fmt: skip


def _texts(area: Area) -> list[list[str]]:
    """Texts of all cells without outer blanks."""
    return [[cell_text(cell).strip() for cell in row] for row in area.rows]


def _bare_grids(area: Area) -> Iterator[Grid]:
    """Blocks of exactly 8 x 12 or 16 x 24 readings, with at most one of the two label frames."""
    signals = [[_is_signal(cell) for cell in row] for row in area.rows]
    for one in find_blocks(_texts(area), signals, _SIZES):
        yield Grid(area, one.top, one.left, one.n_rows, one.n_columns, header=one.has_numbers, letters=one.has_letters)


def _is_signal(cell: Cell) -> bool:
    """Whether a cell is a number or a word that readers print in place of one; not an empty cell."""
    if isinstance(cell, str):
        return bool(cell.strip()) and signal_status(cell) is not None
    return isinstance(cell, float)


def _titles(grid: Grid, grids: Sequence[Grid]) -> Iterator[str]:
    """Texts that may name a grid: its corner and up to six rows above, nearest last."""
    area, first = grid.area, grid.top - grid.header
    rivals = [
        other
        for other in grids
        if other is not grid and other.top - other.header < grid.top + grid.n_rows and other.top + other.n_rows > first
    ]
    floor = max((other.top + other.n_rows for other in grids if other.top + other.n_rows <= first), default=0)
    for row in range(max(first - _TITLE_ROWS, floor, 0), first):
        cells = [(column, area.text(row, column)) for column in range(len(area.rows[row])) if area.text(row, column)]
        mine = [(column, text) for column, text in cells if _nearest(grid, rivals, column)]
        yield from _join_labels([text for _, text in mine])
    if grid.header and grid.left > 0 and area.text(first, grid.left - 1):
        yield area.text(first, grid.left - 1)


def _nearest(grid: Grid, rivals: Sequence[Grid], column: int) -> bool:
    """Whether a column above several grids that stand side by side belongs to this one."""
    return not any(abs(other.left - 1 - column) < abs(grid.left - 1 - column) for other in rivals)


def _join_labels(texts: Sequence[str]) -> Iterator[str]:
    """Cells of one row of titles; ``Plate:`` and ``P1`` in two cells become one text."""
    rest = iter(texts)
    for text in rest:
        yield f"{text} {next(rest, '')}".strip() if text.endswith((":", "=")) else text


def title_wavelength(titles: Iterable[str]) -> int | None:
    """Wavelength in nm that a title states.

    >>> title_wavelength(["Plate 2", "Wavelength: 450 nm"]), title_wavelength(["450-620"])
    (450, None)
    """
    found = None
    for title in titles:
        match = None if _REDUCED.search(title) else _WAVELENGTH.search(title)
        if match and 190 <= int(match[1] or match[2]) <= 1100:
            found = int(match[1] or match[2])
    return found


def title_plate(titles: Iterable[str]) -> tuple[bool, str | None]:
    """Whether a title begins a plate, and the name it gives.

    >>> title_plate(["Plate 2"]), title_plate(["Plate: CCL18_a"]), title_plate(["Plate:"]), title_plate(["450 nm"])
    ((True, 'Plate 2'), (True, 'CCL18_a'), (True, None), (False, None))
    """
    for title in titles:
        match = _PLATE.fullmatch(title)
        if match and (match[1] or re.match(r"\S{0,3}\d", match[2]) or not match[2]):
            name = match[2] if match[1] else title.strip()
            return True, name if match[2] else None
    return False, None


@dataclass(frozen=True, slots=True)
class LayoutCell:
    """What one cell of a grid of words says about its well."""

    role: WellRole
    name: str
    concentration: float | None = None
    unit: str | None = None
    dilution: float | None = None


_ROLE_WORDS = (
    (re.compile(r"(?:std|standard|cal|calibrator)(?:[ _.-]*\d+|[ _.-]+\w+)?", re.IGNORECASE), WellRole.STANDARD),
    (re.compile(r"(?:blank|blk|bl)[ _.-]*\d*", re.IGNORECASE), WellRole.BLANK),
    (re.compile(r"qc(?:[ _.-]*\d+|[ _.-]+\w+)?|(?:ctrl|control)[ _.-]*\d+", re.IGNORECASE), WellRole.QC),
    (re.compile(r"empty", re.IGNORECASE), WellRole.EMPTY),
)
_LAYOUT_CELL = re.compile(
    r"(?P<name>.*?)"
    r"(?:\s*[=@]\s*(?P<value>\d+(?:[.,]\d+)?(?:[eE][+-]?\d+)?)|\s+(?P<measured>\d+(?:[.,]\d+)?)(?=\s*\S*g/\S+))?"
    r"(?:\s*(?P<unit>(?:[fpnumµμ]|micro)?g/[dmuµμ]?[lL]))?"
    r"(?:\s+(?:(?:1\s*:\s*|[x×]\s*)(?P<dilution>\d+(?:[.,]\d+)?)|(?P<times>\d+(?:[.,]\d+)?)\s*[x×])\s*)?"
)


def role_of_name(name: str) -> WellRole:
    """Role that a well's name says in plain words; anything else is a specimen.

    >>> role_of_name("Std0001"), role_of_name("Blank1"), role_of_name("S0141")
    (<WellRole.STANDARD: 'standard'>, <WellRole.BLANK: 'blank'>, <WellRole.SPECIMEN: 'specimen'>)
    """
    return next((role for words, role in _ROLE_WORDS if words.fullmatch(name.strip())), WellRole.SPECIMEN)


def parse_layout_cell(text: str) -> LayoutCell | None:
    """One cell of a grid of words: ``name [=concentration [unit]] [1:dilution]``; None if empty.

    A bare number after ``Std`` is an index, not a concentration: only ``=`` or a unit makes it one.

    >>> parse_layout_cell("Std 1 = 1000 pg/mL").concentration, parse_layout_cell("STD7").concentration
    (1000.0, None)
    """
    match = _LAYOUT_CELL.fullmatch(text.strip())
    if match is None or not text.strip():
        return None
    value, dilution = match["value"] or match["measured"], match["dilution"] or match["times"]
    name = match["name"].strip()
    return LayoutCell(
        role_of_name(name),
        name,
        float(value.replace(",", ".")) if value else None,
        match["unit"],
        float(dilution.replace(",", ".")) if dilution else None,
    )


def compose_layout_cell(layout: WellLayout) -> str:
    """Text of one well for a grid of words; inverse of :func:`parse_layout_cell`."""
    parts = [layout.name or ("" if layout.role is WellRole.SPECIMEN else layout.role.value)]
    if layout.concentration is not None:
        parts.append(f"= {layout.concentration!r}" + (f" {layout.unit}" if layout.unit else ""))
    if layout.dilution is not None:
        parts.append(f"1:{layout.dilution!r}")
    return " ".join(parts)


def layout_of_words(grid: Grid) -> tuple[WellLayout, ...]:
    """Layout that a grid of words describes."""
    found = ((well, parse_layout_cell(cell_text(cell)), origin) for well, cell, origin in grid.cells())
    return tuple(
        WellLayout(well, cell.role, cell.name or None, cell.concentration, cell.dilution, cell.unit, origin)
        for well, cell, origin in found
        if cell is not None
    )


def layout_property(grid: Grid) -> tuple[str, str | None]:
    """Property of a layout that a grid's nearest titles say, and its unit: ``concentration``, ``dilution`` or ``name``; else nothing.

    A grid of readings never is called so; a grid of numbers that is would be read as light.
    """
    for title in (*reversed(grid.titles[-2:]), grid.area.name or ""):
        match = _PROPERTY.fullmatch(title)
        if match is None:
            continue
        name = {"conc": "concentration", "dil": "dilution"}.get(match["name"].lower(), "name")
        if name != "name" or is_word_grid(grid) or _is_whole(grid):
            return name, match["unit"]
    return "", None


def _is_whole(grid: Grid) -> bool:
    """Whether a grid holds whole numbers only, as numbers of samples are and light hardly is."""
    texts = (cell_text(cell).strip() for _, cell, _ in grid.cells())
    return all(text.isdecimal() for text in texts if text)


def is_reading_grid(grid: Grid) -> bool:
    """Whether a grid holds readings, not words and not a layout's numbers."""
    return not layout_property(grid)[0] and not is_word_grid(grid)


def is_word_grid(grid: Grid) -> bool:
    """Whether a grid holds names rather than readings: over half of its filled cells are neither numbers nor words of a reader."""
    filled = [cell for _, cell, _ in grid.cells() if cell_text(cell).strip()]
    return 2 * sum(not _is_signal(cell) for cell in filled) > len(filled)


def _is_filled(grid: Grid) -> bool:
    """Whether any cell holds something: readers also print empty frames, to show which wells were measured."""
    return any(signal_status(cell_text(cell)) is not ReadingStatus.EMPTY for _, cell, _ in grid.cells())


def recognises(data: bytes) -> bool:
    """Whether any grid of readings can be found."""
    try:
        return _has_grid(_grid_areas(data, "file")[0])
    except InputError:
        return False


def parse(data: bytes, where: str) -> ExportRecord:
    """Plates of a file of plain grids.

    Raises
    ------
    InputError : all at once: no grid, unknown words among readings, dates, two decimal marks, rows cut short
    """
    areas, notes = _grid_areas(data, where)
    everything = [(area, find_grids(area)) for area in areas]
    found = [(area, tuple(grid for grid in many if _is_filled(grid))) for area, many in everything]
    grids = [grid for _, many in found for grid in many]
    reading = [grid for grid in grids if is_reading_grid(grid)]
    if not reading:
        message = "no plate-shaped grid of readings was found"
        raise InputError(fault(where, message, "row letters A to H and column numbers 1 to 12, or a block of exactly 8 x 12 readings"))
    decimal = decide_decimal((cell for grid in reading for _, cell, _ in grid.cells() if isinstance(cell, str)), where)
    faults = [message for grid in reading for message in _grid_faults(grid, where)]
    faults += [message for area, many in everything if many for message in _jump_faults(area, where)]
    if faults:
        raise InputError(faults)
    several = sum(bool(many) for _, many in found) > 1
    grown = _group_plates(grids, decimal, named_by_sheet=several)
    plates = [replace(plate, layout=_layout(held, where)) for plate, held in zip(grown.plates, grown.layouts, strict=True)]
    lost = [f"{one.area.origin(one.top, one.left)}: this layout belongs to no plate and was not read" for one in grown.left]
    lost += [
        f"{grid.area.origin(grid.top, grid.left)}: {name} without a grid of names was not read"
        for held in grown.layouts
        for name, grid in held.items()
        if "name" not in held
    ]
    lost += [note for plate in plates for note in _layout_notes(plate)]
    margins = [note for area, many in everything if many for note in _margins(area, many)]
    if len(margins) > _MAX_NOTES:
        margins = [*margins[:_MAX_NOTES], f"and {len(margins) - _MAX_NOTES} more cells outside the grids"]
    return ExportRecord(FORMAT, tuple(plates), (*notes, *lost, *margins))


def _grid_faults(grid: Grid, where: str) -> Iterator[str]:
    """Cells that cannot be readings, and rows that end early while others are full."""
    for well, cell, origin in grid.cells():
        if isinstance(cell, str) and signal_status(cell) is None:
            yield fault(f"{where}, {origin}", f"well {well}: '{cell.strip()}' is no reading", "a number or a reader's word such as OVRFLW")
        elif not isinstance(cell, str | float):
            yield fault(
                f"{where}, {origin}", f"well {well}: '{cell}' is no number", "a number", "Format the cell as a number and type it again"
            )
    if not grid.area.lines:
        return
    width = grid.left + grid.n_columns
    lengths = [len(grid.area.rows[grid.top + row]) for row in range(grid.n_rows)]
    if max(lengths) < width:
        return
    for row, length in enumerate(lengths):
        if grid.left < length < width:
            place = f"{where}, {grid.area.origin(grid.top + row, 0)}"
            yield fault(
                place, f"row {_LETTERS[row]} ends after {length - grid.left} of {grid.n_columns} wells", "a full row", "Export again"
            )


def _jump_faults(area: Area, where: str) -> Iterator[str]:
    """Column numbers and row letters that skip: what stands behind would be lost."""
    for jump in find_frames(_texts(area))[1]:
        place = f"{where}, {area.origin(jump.row, jump.column)}"
        yield fault(place, jump.found, "one after the other", "Fill the gap, or export the whole plate")


@dataclass(slots=True)
class _Growing:
    """Plates so far, with the layout grids that stand with each, and those that still wait for a plate."""

    plates: list[PlateRecord] = field(default_factory=list)
    layouts: list[dict[str, Grid]] = field(default_factory=list)
    waiting: dict[str, Grid] = field(default_factory=dict)
    left: list[Grid] = field(default_factory=list)
    area: Area | None = None

    def add_layout(self, grid: Grid) -> None:
        """A layout grid belongs to the plate before it on its sheet, else to the next plate."""
        name = layout_property(grid)[0] or "name"
        held = self.layouts[-1] if self.layouts and self.area is grid.area else self.waiting
        if name in held:
            held = self.waiting
        if name in held:
            self.left.append(held[name])
        held[name] = grid

    def settle(self) -> None:
        """Layout grids that found no next plate belong to the only plate without names, if there is one."""
        bare = [held for held in self.layouts if "name" not in held]
        if self.waiting and len(bare) == 1:
            bare[0].update(self.waiting)
        else:
            self.left += self.waiting.values()


def _group_plates(grids: Sequence[Grid], decimal: str, *, named_by_sheet: bool) -> _Growing:
    """Grids joined to plates: a title, another sheet, or a wavelength already seen in the same wells begins a new one."""
    found = _Growing()
    for grid in grids:
        if not is_reading_grid(grid):
            found.add_layout(grid)
            continue
        titled, name = title_plate(grid.titles)
        readings = tuple(_readings(grid, decimal))
        last = found.plates[-1] if found.plates else None
        if last is not None and _continues(last, readings, grid, found.area) and (not titled or name == last.name):
            size = max((last.n_rows, last.n_columns), grid.plate_size())
            found.plates[-1] = replace(last, n_rows=size[0], n_columns=size[1], readings=last.readings + readings)
        else:
            sheet = grid.area.name or ""
            if not titled and named_by_sheet and not _DEFAULT_SHEET.fullmatch(sheet) and title_wavelength([sheet]) is None:
                name = sheet
            found.plates.append(PlateRecord(name, len(found.plates) + 1, *grid.plate_size(), readings))
            found.layouts.append(dict(found.waiting))
            found.waiting.clear()
        found.area = grid.area
    found.settle()
    return found


def _continues(last: PlateRecord, readings: Sequence[WellReading], grid: Grid, area: Area | None) -> bool:
    """Whether readings may belong to the last plate: same sheet, and another wavelength, kind or part of the plate."""
    if area is not grid.area and title_wavelength([grid.area.name or ""]) is None:
        return False
    seen = {(one.wavelength_nm, one.kind, one.well) for one in last.readings}
    return not any((one.wavelength_nm, one.kind, one.well) in seen for one in readings)


def _layout(held: Mapping[str, Grid], where: str) -> tuple[WellLayout, ...]:
    """Layout of one plate from its grid of names, with what grids of concentrations and dilutions add."""
    if "name" not in held:
        return ()
    numbers = {name: _numbers(grid, where) for name, grid in held.items() if name != "name"}
    _, unit = layout_property(held["concentration"]) if "concentration" in held else ("", None)
    laid = []
    for one in layout_of_words(held["name"]):
        concentration = numbers.get("concentration", {}).get(one.well)
        known = one.role in {WellRole.STANDARD, WellRole.QC} and one.concentration is None and concentration is not None
        dilution = numbers.get("dilution", {}).get(one.well) if one.dilution is None else one.dilution
        laid.append(replace(one, concentration=concentration, unit=unit, dilution=dilution) if known else replace(one, dilution=dilution))
    return tuple(laid)


def _numbers(grid: Grid, where: str) -> dict[str, float]:
    """Numbers of a layout grid by well; ``1:50`` is 50.

    Raises
    ------
    InputError : cells that are no numbers, or whose decimal mark cannot be told
    """
    texts = {well: (re.sub(r"^1\s*:\s*|^[x×]\s*|\s*[x×]$", "", cell_text(cell).strip()), origin) for well, cell, origin in grid.cells()}
    filled = {well: pair for well, pair in texts.items() if signal_status(pair[0]) is not ReadingStatus.EMPTY}
    decimal = decide_decimal((text for text, _ in filled.values()), f"{where}, {grid.area.origin(grid.top, grid.left)}")
    name = layout_property(grid)[0]
    faults = [
        fault(f"{where}, {origin}", f"well {well}: {name} '{text}' is no number", "a number")
        for well, (text, origin) in filled.items()
        if not is_number_like(text)
    ]
    if faults:
        raise InputError(faults)
    return {well: parse_number(text, decimal) for well, (text, _) in filled.items()}


def _layout_notes(plate: PlateRecord) -> Iterator[str]:
    """Names that end in a number where other wells give that name with a dilution: an x or 1: may be missing."""
    diluted = {one.name for one in plate.layout if one.dilution is not None}
    for one in plate.layout:
        base, _, number = (one.name or "").rpartition(" ")
        if one.dilution is None and number.isdecimal() and base in diluted:
            yield f"{one.origin}: '{one.name}' was read as a name; is it '{base} x{number}', with the x of a dilution missing?"


def _readings(grid: Grid, decimal: str) -> Iterator[WellReading]:
    """Readings of one grid."""
    titles = (*((grid.area.name,) if grid.area.name else ()), *grid.titles)
    reduced = any(_REDUCED.search(title) for title in titles)
    kind, wavelength = (SignalKind.REDUCED, None) if reduced else (SignalKind.RAW, title_wavelength(titles))
    for well, cell, origin in grid.cells():
        text = cell_text(cell)
        status = ReadingStatus.OK if isinstance(cell, float) else signal_status(text) or ReadingStatus.MISSED
        signal = (cell if isinstance(cell, float) else parse_number(text, decimal)) if status is ReadingStatus.OK else None
        yield WellReading(well, wavelength, signal, status, kind, text, origin)


def _margins(area: Area, grids: Sequence[Grid]) -> Iterator[str]:
    """Filled cells that belong to no grid and are no title that was understood."""
    for row, cells in enumerate(area.rows):
        for column in range(len(cells)):
            text = area.text(row, column)
            understood = title_plate([text])[0] or title_wavelength([text]) or _REDUCED.search(text)
            if text and not understood and not any(grid.covers(row, column) for grid in grids):
                yield f"{area.origin(row, column)}: {text}"


def compose_text(record: ExportRecord, delimiter: str = ",", decimal: str = ".") -> bytes:
    """UTF-8 text of labelled grids, one for each plate and wavelength, and a grid of words for a layout."""
    rows = [[cell if isinstance(cell, str) else cell_text(cell).replace(".", decimal) for cell in row] for row in _sheet_rows(record)]
    return compose_rows(rows, delimiter).encode()


def compose(record: ExportRecord) -> bytes:
    """Bytes of an xlsx file with one sheet of labelled grids; numbers are numbers, words of the reader are text."""
    return compose_workbook(Workbook((Sheet("Plates", tuple(tuple(row) for row in _sheet_rows(record))),)))


def _sheet_rows(record: ExportRecord) -> Iterator[list[Cell]]:
    """Rows of a file: titles, grids and an empty row after each."""
    for plate in record.plates:
        yield [f"Plate: {plate.name}" if plate.name else "Plate:"]
        for wavelength, kind in dict.fromkeys((reading.wavelength_nm, reading.kind) for reading in plate.readings):
            chosen = {reading.well: reading for reading in plate.readings if (reading.wavelength_nm, reading.kind) == (wavelength, kind)}
            if kind is SignalKind.REDUCED:
                yield ["Reduced"]
            elif wavelength is not None:
                yield [f"{wavelength} nm"]
            yield from _framed(
                plate, {well: reading.text if reading.signal is None else reading.signal for well, reading in chosen.items()}
            )
        if plate.layout:
            yield from _framed(plate, {layout.well: compose_layout_cell(layout) for layout in plate.layout}, "Sample")


def _framed(plate: PlateRecord, cells: dict[str, Cell], corner: str = "") -> Iterator[list[Cell]]:
    """One labelled grid and the empty row below it."""
    yield [corner, *(float(column + 1) for column in range(plate.n_columns))]
    for row in range(plate.n_rows):
        yield [_LETTERS[row], *(cells.get(well_name(row, column), "") for column in range(plate.n_columns))]
    yield []
