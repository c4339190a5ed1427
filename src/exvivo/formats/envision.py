"""EnVision Workstation text exports (PerkinElmer, Revvity): bytes -> plates as printed; and back.

In flow the bytes of a ``.csv`` export; out flows an :class:`ExportRecord`. Each block of wells has
a line under ``Plate,Repeat,Barcode,...`` that tells plate, label and detector; it stands above the
block, or below it where the user asked for that. A block has row letters and column numbers
(formats Plate2 and Plate3) or is bare numbers (Plate and Plate4). A line with a ``Formula`` heads
a calculated block: crosstalk-corrected copies and ratios are no readings and are left out with a
note. The wavelength stands far below: ``Labels:`` gives each label its filters, ``Filters:`` each
filter its middle (``CWL=450nm``). Emission is taken where there is one, else the excitation, which
for absorbance is the wavelength read. ``Platemap:`` names the wells of each plate, or dashes.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from exvivo.errors import InputError, fault
from exvivo.formats.blocks import block_faults, block_readings, block_rows, data_sets, short_rows
from exvivo.formats.delimited import compose_rows, decide_decimal, decode_text, signal_status, sniff_delimiter, split_rows
from exvivo.formats.grid import Area, Grid, title_wavelength
from exvivo.formats.workbook import cell_text
from exvivo.study.design import ExportRecord, PlateRecord, ReadingStatus, SignalKind, WellLayout, WellReading, WellRole, well_name

FORMAT = "envision"
_HEADER = re.compile(r'^\ufeff?"?Plate"?([,;\t])"?Repeat"?\1"?Barcode', re.MULTILINE)
_FOOT = "Exported with EnVision Workstation"
_TITLE = re.compile(r"Results for (?P<label>.+?)(?:\s+-\s+channel\s+(?P<channel>\d+).*|\s*)")
_CALCULATED = "Calculated results"
_SECTION = re.compile(r"[A-Z][A-Za-z ]+:")
_REPETITION = re.compile(r"\(\d+\)$")
_FORMULA_TEXT = re.compile(r'="(.*)"', re.DOTALL)
_MIDDLE = re.compile(r"CWL\s*=\s*(\d{3,4})(?:[.,]\d+)?\s*nm", re.IGNORECASE)
_EMISSION = re.compile(r"\bEm=\s*(\d{3,4})\s*nm", re.IGNORECASE)
_MAP_CELL = re.compile(r"([A-Z]{1,3})\d*")
_ROLES = {
    "STD": WellRole.STANDARD,
    "BL": WellRole.BLANK,
    "BLK": WellRole.BLANK,
    "LB": WellRole.BLANK,
    "CTL": WellRole.QC,
    "LC": WellRole.QC,
    "LH": WellRole.QC,
    "ZH": WellRole.QC,
    "ZL": WellRole.QC,
    "S": WellRole.SPECIMEN,
    "UNK": WellRole.SPECIMEN,
}
_CODES = {
    WellRole.STANDARD: "STD - Standard",
    WellRole.BLANK: "BL - Blank",
    WellRole.QC: "CTL - Control",
    WellRole.SPECIMEN: "UNK - Unknown",
}
_PLATE_FIELDS = ("Plate", "Repeat", "Barcode", "Measured height", "Group", "Label", "ScanX", "ScanY", "Measinfo", "Kinetics", "")
_COLUMNS = (48, 24, 12)


@dataclass(frozen=True, slots=True)
class _Head:
    """What the line under ``Plate,Repeat,Barcode`` says about a block of wells."""

    plate: str = ""
    repeat: str = ""
    barcode: str = ""
    label: str = ""
    detector: str = ""
    formula: str = ""


@dataclass(frozen=True, slots=True)
class _Block:
    """One block of wells, the line that describes it, the title above it."""

    grid: Grid
    head: _Head
    title: str

    def label(self) -> str:
        """Name of the measurement without the number of its repetition."""
        match = _TITLE.fullmatch(self.title)
        return _REPETITION.sub("", self.head.label or (match["label"] if match else "")).strip()

    def calculated(self) -> bool:
        """Whether the software made the numbers."""
        return bool(self.head.formula) or self.title.startswith(_CALCULATED)

    def second(self) -> bool:
        """Whether the second detector read the block."""
        match = _TITLE.fullmatch(self.title)
        return "De=2nd" in self.head.detector or bool(match and match["channel"] == "2" and "De=" not in self.head.detector)

    def plate_key(self) -> tuple[str, str]:
        """What tells the plate from others."""
        return self.head.plate, self.head.barcode

    def place(self) -> str:
        """Line of the first wells."""
        return self.grid.area.origin(self.grid.top, 0)


def recognises(data: bytes) -> bool:
    """Whether a text has a line of plate, repeat and barcode, or EnVision's last line."""
    try:
        text = decode_text(data, "file").text
    except InputError:
        return False
    return _HEADER.search(text) is not None or _FOOT in text


def parse(data: bytes, where: str) -> ExportRecord:
    """Plates of an EnVision export, in the order in which they are first printed.

    Raises
    ------
    InputError : all at once: no readings, wells read repeatedly, a block cut off, unknown words, two decimal marks
    """
    decoded = decode_text(data, where)
    header = _HEADER.search(decoded.text)
    rows = split_rows(decoded.text, header[1] if header else sniff_delimiter(decoded.text), where)
    area = Area(None, tuple(tuple(cell.strip() for cell in row.cells) for row in rows), tuple(row.line for row in rows))
    blocks, maps = _blocks(area)
    settings = _settings(area)
    read = [(block, _wavelength(block, settings)) for block in blocks if not block.calculated()]
    faults = list(_faults(area, blocks, read, where))
    if faults:
        raise InputError(faults)
    decimal = decide_decimal((cell_text(cell) for block, _ in read for _, cell, _ in block.grid.cells()), where)
    keys = list(dict.fromkeys(block.plate_key() for block, _ in read))
    plates = []
    for at, key in enumerate(keys, 1):
        mine = [(block, nm) for block, nm in read if block.plate_key() == key]
        plates.append(_plate(mine, at, decimal, maps.get(key[0], ())))
    return ExportRecord(FORMAT, tuple(plates), (*decoded.notes, *_notes(blocks, read)))


def _blocks(area: Area) -> tuple[list[_Block], dict[str, tuple[WellLayout, ...]]]:
    """Blocks of wells, and the layout of each plate by its number."""
    found: list[_Block] = []
    heads: list[_Head] = []
    maps: dict[str, tuple[WellLayout, ...]] = {}
    title, mapped, begun, row = "", None, 0, 0
    while row < len(area.rows):
        first, second = area.text(row, 0), area.text(row, 1)
        grid = _grid_at(area, row, bare=mapped is None and not any(area.rows[row - 1] if row else ()))
        if (first, second) == ("Plate", "Repeat"):
            heads.append(_head(area, row))
            mapped, row = None, row + 2
            continue
        if grid is not None and mapped is None:
            begun = begun or (1 if heads else -1)
            found.append(_Block(grid, heads[-1] if heads else _Head(), title))
            title = ""
        elif grid is not None and mapped:
            maps[mapped] = maps.get(mapped, ()) + tuple(_layout(grid))
        elif first.startswith((_CALCULATED, "Results for ")):
            title = ",".join(cell_text(cell) for cell in area.rows[row] if cell)
        elif first == "Platemap:":
            mapped = ""
        elif mapped is not None and first == "Plate":
            mapped = next((cell_text(cell) for cell in area.rows[row][1:] if cell), "")
        elif mapped is not None and _SECTION.fullmatch(first):
            mapped = None
        row = grid.top + grid.n_rows if grid else row + 1
    if begun < 0:
        found = [replace(block, head=head) for block, head in zip(found, [*heads, *([_Head()] * len(found))], strict=False)]
    return found, maps


def _head(area: Area, row: int) -> _Head:
    """The line below a row of names."""
    cells = {area.text(row, column): area.text(row + 1, column) for column in range(len(area.rows[row]))}
    barcode = cells.get("Barcode", "")
    wrapped = _FORMULA_TEXT.fullmatch(barcode)
    return _Head(
        cells.get("Plate", ""),
        cells.get("Repeat", ""),
        (wrapped[1] if wrapped else barcode).strip(),
        cells.get("Label", cells.get("Meas", "")),
        cells.get("Measinfo", ""),
        cells.get("Formula", ""),
    )


def _grid_at(area: Area, row: int, *, bare: bool) -> Grid | None:
    """Grid whose first line is this row: column numbers above row letters, or numbers alone below an empty line."""
    cells = area.rows[row]
    if len(cells) > 2 and not cells[0] and cell_text(cells[1]).lstrip("0") == "1" and area.text(row + 1, 0) == "A":
        width = next((n for n in range(1, 25) if area.text(row, n + 1).lstrip("0") != str(n + 1)), 24)
        height = next((n for n in range(1, 17) if area.text(row + 1 + n, 0) != chr(ord("A") + n)), 16)
        return Grid(area, row + 1, 1, height, width, header=True, letters=True)
    if not bare or not _is_bare(cells):
        return None
    height = next(n for n in range(1, len(area.rows) + 1) if row + n >= len(area.rows) or not _is_bare(area.rows[row + n]))
    lines = area.rows[row : row + height]
    left = int(not any(line[0] for line in lines) and len(lines[0]) - 1 in _COLUMNS and bool(lines[-1][-1]))
    width = next((n for n in _COLUMNS if len(lines[0]) - left in {n, n + 1}), len(lines[0]) - left)
    return Grid(area, row, left, height, width, header=False, letters=False)


def _is_bare(cells: Sequence[object]) -> bool:
    """Whether a line holds nothing but many readings or empty wells."""
    return len(cells) >= min(_COLUMNS) and all(signal_status(str(cell)) is not None for cell in cells)


def _layout(grid: Grid) -> Iterator[WellLayout]:
    """Wells that a platemap names; a dash is a well without a name."""
    for well, cell, origin in grid.cells():
        name = cell_text(cell)
        match = _MAP_CELL.fullmatch(name)
        if match:
            yield WellLayout(well, _ROLES.get(match[1], WellRole.SPECIMEN), name, None, None, None, origin)


def _settings(area: Area) -> dict[str, dict[str, str]]:
    """Settings of each label and filter, by its name: paragraphs below ``Labels:`` and ``Filters:``."""
    found: dict[str, dict[str, str]] = {}
    inside, current = False, None
    for row in range(len(area.rows)):
        first = area.text(row, 0)
        value = next((cell_text(cell) for cell in area.rows[row][1:] if cell), "")
        if not value and _SECTION.fullmatch(first):
            inside, current = first in {"Labels:", "Filters:"}, None
        elif not first and not value:
            current = None
        elif inside and (current is None or first == "Label name"):
            current = found.setdefault(value if first == "Label name" else first, {})
        elif inside and current is not None:
            current[first] = value
    return found


def _wavelength(block: _Block, settings: Mapping[str, Mapping[str, str]]) -> int | None:
    """Wavelength of a block: emission, else what the detector line says, else excitation, else what the label's name says."""
    mine = settings.get(block.label(), {})
    order = "2nd ems. filter" if block.second() else "Ems. filter"
    emitted = [text for text in (mine.get("Emission wavelength", ""), mine.get(order, "")) if text not in {"", "N/A"}]
    if emitted:
        return next((nm for text in emitted if (nm := _filter_nm(text, settings)) is not None), None)
    stated = _EMISSION.search(block.head.detector)
    if stated:
        return int(stated[1])
    excited = (mine.get("Excitation wavelength", ""), mine.get("Exc. filter", ""))
    found = next((nm for text in excited if (nm := _filter_nm(text, settings)) is not None), None)
    return found if found is not None else title_wavelength([block.label()])


def _filter_nm(text: str, settings: Mapping[str, Mapping[str, str]]) -> int | None:
    """Wavelength of ``562 nm`` or of a filter, from its description or else its name; a cut-off has none."""
    described = _MIDDLE.search(settings.get(text, {}).get("Description", ""))
    if described:
        return int(described[1])
    named = None if "cutoff" in text.lower() else re.search(r"(?<!\d)(\d{3,4})(?:\.\d+)?\s*(?:nm)?$", text)
    return int(named[1]) if named and 190 <= int(named[1]) <= 1100 else None


_Read = tuple[_Block, int | None]


def _faults(area: Area, blocks: Sequence[_Block], read: Sequence[_Read], where: str) -> Iterator[str]:
    """What is wrong with the file."""
    if not read:
        titles = "; ".join(f"'{block.title or block.head.formula}'" for block in blocks) or "none"
        found = f"no block of readings; calculated blocks: {titles}"
        yield fault(where, found, "plates of 96 or 384 wells as a grid", "Export the measured results as Plate or Plate2")
    for block, _ in read:
        yield from block_faults(block.grid, where)
        for row, message in short_rows(block.grid):
            yield fault(f"{where}, {area.origin(row, 0)}", message, "a full row", "Export again")
    yield from _repeats(read, where)


def _repeats(read: Sequence[_Read], where: str) -> Iterator[str]:
    """Blocks that read wells of a plate again; blocks of other wells are parts of one reading."""
    seen: dict[tuple[tuple[str, str], int | None, str], str] = {}
    told: set[str] = set()
    for block, nm in read:
        for well, cell, _ in block.grid.cells():
            key = (block.plate_key(), nm, well)
            if signal_status(cell_text(cell)) is ReadingStatus.EMPTY:
                continue
            before = seen.setdefault(key, block.place())
            if before != block.place() and block.place() not in told:
                told.add(block.place())
                at = f" at {nm} nm" if nm else ""
                found = f"'{block.label()}' reads wells of plate {block.head.plate or '1'}{at} again that {before} holds"
                yield fault(f"{where}, {block.place()}", found, "one endpoint reading of each well", "Export each read on its own")


def _plate(read: Sequence[_Read], position: int, decimal: str, layout: tuple[WellLayout, ...]) -> PlateRecord:
    """One plate that has no faults."""
    readings: dict[tuple[int | None, str], WellReading] = {}
    for block, nm in read:
        for one in block_readings(block.grid, nm, SignalKind.RAW, decimal):
            kept = readings.get((nm, one.well))
            if kept is None or kept.status is ReadingStatus.EMPTY:
                readings[nm, one.well] = one
    width = max(block.grid.n_columns for block, _ in read)
    head = read[0][0].head
    notes = () if head.plate in {"", str(position)} else (f"{read[0][0].place()}: the reader numbers this plate {head.plate}",)
    return PlateRecord(
        head.barcode or None, position, *((8, 12) if width <= 12 else (16, 24)), tuple(readings.values()), layout, notes=notes
    )


def _notes(blocks: Sequence[_Block], read: Sequence[_Read]) -> Iterator[str]:
    """Blocks that were not read, and labels whose wavelength is not stated."""
    for block in blocks:
        if block.calculated():
            yield f"{block.place()}: '{block.head.formula or block.title}' not read: the software calculated it"
    for label in dict.fromkeys(block.label() for block, nm in read if nm is None):
        yield f"the file does not say the wavelength of '{label}'"


def compose(record: ExportRecord, delimiter: str = ",") -> bytes:
    """UTF-8 text of the raw readings with row letters (Plate2), their wavelengths and the platemaps.

    Raises
    ------
    ValueError : no raw readings, or a layout whose names are no EnVision codes such as ``STD1``
    """
    rows: list[list[str]] = []
    wavelengths: dict[int, None] = {}
    for plate in record.plates:
        sets = {nm: cells for (nm, kind), cells in data_sets(plate).items() if kind is SignalKind.RAW}
        if not sets:
            raise ValueError("an EnVision plate needs raw readings")
        for nm, cells in sets.items():
            wavelengths.update({nm: None} if nm is not None else {})
            rows += _block_rows(plate, nm, cells)
    rows += [[], ["Basic assay information"], [], ["Platemap:"]]
    for plate in record.plates:
        rows += _map_rows(plate)
    rows += [["Calculations:"], ["No calculations."], [], ["Labels:"]]
    for nm in wavelengths:
        rows += [[f"A{nm}", *[""] * 3, "2000014"], ["Exc. filter", *[""] * 3, f"Filter {nm}"], []]
    rows += [["Filters:"]]
    for nm in wavelengths:
        rows += [[f"Filter {nm}", *[""] * 3, "216"], ["Description", *[""] * 3, f"M{nm} CWL={nm}nm BW=10nm Tmin=60%"], []]
    return compose_rows([*rows, [f"{_FOOT} version 1.14"]], delimiter).encode()


def _block_rows(plate: PlateRecord, nm: int | None, cells: Mapping[str, str]) -> Iterator[list[str]]:
    """Rows of one block and of the line above it."""
    label = "Signal" if nm is None else f"A{nm}"
    yield ["Plate information"]
    yield list(_PLATE_FIELDS)
    barcode = f'="{plate.name or ""}"'
    yield [str(plate.position), "1", barcode, "14.35", "1", f"{label}(1)", "0", "0", "De=1st Ex=Btm Em=N/A Wdw=N/A (8)", "0", ""]
    yield []
    yield [f"Results for {label}(1) - channel 1 (A)"]
    for row in block_rows(plate, cells):
        yield [*(cell.zfill(2) if not row[0] and cell else cell for cell in row), ""]
    yield []


def _map_rows(plate: PlateRecord) -> Iterator[list[str]]:
    """Rows of one platemap."""
    names = {one.well: one.name or "" for one in plate.layout}
    for one in plate.layout:
        match = _MAP_CELL.fullmatch(one.name or "")
        if match is None or _ROLES.get(match[1], WellRole.SPECIMEN) is not one.role:
            raise ValueError(f"'{one.name}' is no EnVision code of a {one.role}")
    yield ["Plate", *[""] * 3, str(plate.position)]
    yield ["Group", *[""] * 3, "1"]
    yield []
    wells = {well_name(row, column) for row in range(plate.n_rows) for column in range(plate.n_columns)}
    yield from block_rows(plate, {well: names.get(well, "-") for well in wells})
    yield []
    yield from ([f" {_CODES[role]}"] for role in dict.fromkeys(one.role for one in plate.layout))
    yield []
