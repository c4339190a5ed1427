"""Thermo SkanIt Excel exports: bytes -> plates as printed; and back.

In flow the bytes of an xlsx export; out flows an :class:`ExportRecord`. Each step of the protocol
has a sheet that opens with ``Measurement results``; the corner of a grid says what it holds:
``Abs`` raw absorbance, ``RLU`` and ``RFU`` light where a file has no absorbance, ``Blank subtracted``
a reduced signal, ``Conc. [unit]`` the software's
concentration before dilution, ``Sample`` names. ``Layout definitions`` gives each well's name and
its concentration or dilution. Whatever people typed beside the grids is not read. Grids that
repeat others (``Signal``, ``Value``, ``Dilution factor``) are left out with a note.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from exvivo.errors import InputError, fault
from exvivo.formats.delimited import is_number_like, parse_number, signal_status
from exvivo.formats.grid import role_of_name
from exvivo.formats.workbook import Cell, Sheet, Workbook, cell_origin, cell_text, compose_workbook, is_workbook, parse_workbook
from exvivo.study.design import (
    ExportRecord,
    PlateRecord,
    ReadingStatus,
    SignalKind,
    VendorCurve,
    VendorWell,
    WellLayout,
    WellReading,
    WellRole,
    well_name,
    well_position,
)

FORMAT = "skanit"
_FIRST = "Measurement results"
_LAYOUT_SHEET = "Layout definitions"
_CONCENTRATION = re.compile(r"Conc\.?\s*\[(?P<unit>[^\]]*)\]", re.IGNORECASE)
_AMOUNT = re.compile(r"(?P<value>\d+(?:[.,]\d+)?(?:[eE][+-]?\d+)?)\s*(?P<unit>\S+/\S+)?")
_DILUTION = re.compile(r"1\s*:\s*(?P<fold>\d+(?:[.,]\d+)?)")
_WAVELENGTH = re.compile(r"(?:.*\bEm(?:ission)?\b\D{0,20}|Wavelength:\s*)(\d{3,4})\b", re.IGNORECASE)
_LIGHT = {"RLU", "RFU"}
_LARGEST = 24
_PARAMETER = re.compile(r"([a-g])\s*=")
_REPEATS = {"signal", "value", "dilution factor"}


@dataclass(frozen=True, slots=True)
class _Block:
    """One grid of a step's sheet: what its corner says, plate and wavelength above it, place of well A1."""

    sheet: Sheet
    corner: str
    plate: str
    wavelength_nm: int | None
    row: int
    n_rows: int
    n_columns: int

    def cells(self) -> Iterator[tuple[str, Cell, str]]:
        """Well, cell, origin."""
        for row in range(self.n_rows):
            for column in range(self.n_columns):
                at = (self.row + row, column + 1)
                yield well_name(row, column), self.sheet.cell(*at), cell_origin(self.sheet.name, *at)


def recognises(data: bytes) -> bool:
    """Whether a workbook has a sheet of SkanIt measurement results."""
    if not is_workbook(data):
        return False
    try:
        sheets = parse_workbook(data, "file").sheets
    except InputError:
        return False
    return knows(sheets)


def knows(sheets: Sequence[Sheet]) -> bool:
    """Whether one of the sheets holds SkanIt measurement results."""
    return bool(_steps(sheets))


def _steps(sheets: Sequence[Sheet]) -> list[Sheet]:
    """Sheets of measurement results."""
    return [sheet for sheet in sheets if cell_text(sheet.cell(0, 0)).strip() == _FIRST]


def parse(data: bytes, where: str) -> ExportRecord:
    """Plates of a SkanIt export.

    Raises
    ------
    InputError : all at once: no raw readings, readings that stand twice, unknown words among them, more than 384 wells
    """
    return parse_sheets(parse_workbook(data, where).sheets, where)


def parse_sheets(sheets: Sequence[Sheet], where: str) -> ExportRecord:
    """Plates of a workbook that is open; faults as of :func:`parse`."""
    found = [block for sheet in _steps(sheets) for block in _find_blocks(sheet)]
    absorbance = any(block.corner == "Abs" for block in found)
    blocks = [block for block in found if not (absorbance and block.corner in _LIGHT)]
    names = list(dict.fromkeys(block.plate for block in blocks))
    faults = [message for block in blocks if _is_signal(block.corner) for message in _block_faults(block, where)]
    faults += _repeats(blocks, where)
    if not any(_is_raw(block.corner) for block in blocks):
        corners = ", ".join(dict.fromkeys(f"'{block.corner}'" for block in blocks)) or "none"
        expected = "a grid whose corner is Abs, RLU or RFU"
        faults.append(fault(where, f"no grid of raw readings; grids: {corners}", expected, "Export the sheet of the measurement"))
    if faults:
        raise InputError(faults)
    layouts = {name: wells for sheet in sheets if sheet.name == _LAYOUT_SHEET for name, wells in _layouts(sheet)}
    curves = [_curve(sheet) for sheet in _steps(sheets)]
    curve = next((found for found in curves if found), None)
    notes = [
        f"{block.sheet.name}: grid '{block.corner}' not read: it repeats or derives from others"
        for block in blocks
        if _is_repeat(block.corner)
    ]
    notes += [f"{block.sheet.name}: grid '{block.corner}' not read: it is no absorbance" for block in found if block not in blocks]
    plates = [_plate(name, at, [block for block in blocks if block.plate == name], layouts) for at, name in enumerate(names, 1)]
    return ExportRecord(FORMAT, tuple(replace(plate, vendor_curve=curve) for plate in plates), tuple(notes))


def _find_blocks(sheet: Sheet) -> Iterator[_Block]:
    """Grids of a step's sheet; plate and wavelength are the last ones printed above."""
    plate, wavelength = "", None
    for row in range(len(sheet.rows)):
        text = cell_text(sheet.cell(row, 0)).strip()
        found = _WAVELENGTH.match(text)
        if found:
            wavelength = int(found[1])
        elif text and _numbered(sheet, row) and cell_text(sheet.cell(row + 1, 0)).strip() == "A":
            n_rows = next((n for n in range(1, 16) if cell_text(sheet.cell(row + 1 + n, 0)).strip() != chr(ord("A") + n)), 16)
            yield _Block(sheet, text, plate, wavelength, row + 1, n_rows, _numbered(sheet, row))
        elif text and not cell_text(sheet.cell(row, 1)).strip() and (_follows_blank(sheet, row) or len(text) > 2):
            named = re.match(r"plate|plaque|platte", text, re.IGNORECASE) and _follows_blank(sheet, row)
            plate = text if named or _leads_to_grid(sheet, row) else plate


def _numbered(sheet: Sheet, row: int) -> int:
    """How many column numbers from 1 on stand in a row; software and people also write them as text."""
    count = 0
    while cell_text(sheet.cell(row, count + 1)).strip() == str(count + 1):
        count += 1
    return count if count > 1 else 0


def _follows_blank(sheet: Sheet, row: int) -> bool:
    """Whether the first cell above is blank, as above every plate's name."""
    return not cell_text(sheet.cell(row - 1, 0)).strip()


def _leads_to_grid(sheet: Sheet, row: int) -> bool:
    """Whether a grid begins one or two rows below: the line is then the plate's name, whatever it is."""
    blank = not cell_text(sheet.cell(row + 1, 0)).strip()
    return bool(_numbered(sheet, row + 2 if blank else row + 1)) and not _numbered(sheet, row)


def _is_raw(corner: str) -> bool:
    """Whether a grid holds readings that the software left as they were."""
    return corner == "Abs" or corner in _LIGHT


def _is_signal(corner: str) -> bool:
    """Whether a grid holds readings."""
    return _is_raw(corner) or "subtracted" in corner.lower() or "difference" in corner.lower()


def _is_repeat(corner: str) -> bool:
    """Whether a grid is left out knowingly."""
    return corner.lower() in _REPEATS


def _repeats(blocks: Sequence[_Block], where: str) -> Iterator[str]:
    """Raw grids of a plate and wavelength that stand again, as kinetic steps print them."""
    seen: set[tuple[str, int | None]] = set()
    for block in blocks:
        key = (block.plate, block.wavelength_nm)
        if _is_raw(block.corner) and key in seen:
            place = f"{where}, {cell_origin(block.sheet.name, block.row - 1, 0)}"
            found = f"'{block.corner}' of {block.plate or 'the plate'} stands again: a kinetic or repeated read"
            yield fault(place, found, "one endpoint reading of each well", "Export each read on its own")
        if _is_raw(block.corner):
            seen.add(key)


def _block_faults(block: _Block, where: str) -> Iterator[str]:
    """Cells of a grid of readings that are neither numbers nor words of the reader, and grids that no plate of 384 wells has."""
    below = cell_text(block.sheet.cell(block.row + block.n_rows, 0)).strip()
    if block.n_columns > _LARGEST or below == "Q":
        place = f"{where}, {cell_origin(block.sheet.name, block.row - 1, 0)}"
        yield fault(place, "a plate of more than 384 wells", "8 x 12 or 16 x 24 wells", "Leave this file out")
        return
    if re.fullmatch(r"[A-P]", below):
        place = f"{where}, {cell_origin(block.sheet.name, block.row + block.n_rows, 0)}"
        expected = f"row {chr(ord('A') + block.n_rows)}"
        yield fault(place, f"row {below} follows row {chr(ord('A') + block.n_rows - 1)}", expected, "Rows were removed: export again")
    for well, cell, origin in block.cells():
        if not isinstance(cell, float) and (not isinstance(cell, str) or signal_status(cell) is None):
            yield fault(f"{where}, {origin}", f"well {well}: '{cell}' is no reading", "a number or a reader's word", "Export again")


def _plate(name: str, position: int, blocks: Sequence[_Block], layouts: dict[str, tuple[WellLayout, ...]]) -> PlateRecord:
    """One plate from all grids that carry its name."""
    readings = tuple(reading for block in blocks if _is_signal(block.corner) for reading in _readings(block))
    vendor = [(match["unit"], block) for block in blocks if (match := _CONCENTRATION.fullmatch(block.corner))]
    wells = tuple(well for _, block in vendor for well in _vendor_wells(block))
    layout = layouts.get(name) or tuple(_names(blocks))
    first = next((block for block in blocks if _is_signal(block.corner)), blocks[0])
    size = (8, 12) if first.n_rows <= 8 and first.n_columns <= 12 else (16, 24)
    return PlateRecord(name or None, position, *size, readings, layout, wells)


def _readings(block: _Block) -> Iterator[WellReading]:
    """Readings of one grid."""
    kind = SignalKind.RAW if _is_raw(block.corner) else SignalKind.REDUCED
    for well, cell, origin in block.cells():
        text = cell_text(cell)
        status = ReadingStatus.OK if isinstance(cell, float) else signal_status(text) or ReadingStatus.MISSED
        value = cell if isinstance(cell, float) else None
        if status is ReadingStatus.OK and value is None:
            value = parse_number(text, "," if "," in text else ".")
        yield WellReading(well, block.wavelength_nm, value, status, kind, text, origin)


def _vendor_wells(block: _Block) -> Iterator[VendorWell]:
    """Concentrations of one grid; empty cells are wells that were not quantified."""
    for well, cell, origin in block.cells():
        text = cell_text(cell)
        if isinstance(cell, float):
            yield VendorWell(well, cell, "quantified", text, origin)
        elif text.strip():
            status = {"< Min": "below_lloq", "> Max": "above_uloq", "NaN": "missing"}.get(text.strip(), "refused")
            yield VendorWell(well, None, status, text, origin)


def _names(blocks: Iterable[_Block]) -> Iterator[WellLayout]:
    """Layout from a grid of names, when the export has no layout sheet."""
    block = next((block for block in blocks if block.corner == "Sample"), None)
    for well, cell, origin in block.cells() if block else ():
        if cell_text(cell).strip():
            yield _well_layout(well, cell_text(cell).strip(), "", origin)


def _layouts(sheet: Sheet) -> Iterator[tuple[str, tuple[WellLayout, ...]]]:
    """Plates of the layout sheet: for each row letter a line of names, one of groups, one of amounts."""
    name = ""
    wells: list[WellLayout] = []
    for row in range(len(sheet.rows)):
        first = cell_text(sheet.cell(row, 0)).strip()
        if first == "Name":
            if wells:
                yield name, tuple(wells)
            name, wells = cell_text(sheet.cell(row, 1)).strip(), []
        elif re.fullmatch(r"[A-P]", first):
            for column in range(1, len(sheet.rows[row])):
                sample = cell_text(sheet.cell(row, column)).strip()
                below = [] if cell_text(sheet.cell(row + 1, 0)).strip() else [1]
                below += [2] if below and not cell_text(sheet.cell(row + 2, 0)).strip() else []
                amount = " ".join(cell_text(sheet.cell(row + n, column)).strip() for n in below)
                if sample:
                    wells.append(
                        _well_layout(well_name(ord(first) - ord("A"), column - 1), sample, amount, cell_origin(sheet.name, row, column))
                    )
    if wells:
        yield name, tuple(wells)


def _well_layout(well: str, sample: str, amount: str, origin: str) -> WellLayout:
    """Role from the name; a dilution ``1:50`` or a concentration ``0.5 microg/ml`` from the lines below it."""
    role = role_of_name(sample)
    fold = _DILUTION.search(amount)
    value = None if fold else re.search(rf"(?<![\w.,]){_AMOUNT.pattern}\s*$", amount)
    if value is None or (value["unit"] is None and role is not WellRole.STANDARD):
        return WellLayout(well, role, sample, None, float(fold["fold"].replace(",", ".")) if fold else None, None, origin)
    known = role in {WellRole.STANDARD, WellRole.QC} and is_number_like(value["value"])
    return WellLayout(well, role, sample, float(value["value"].replace(",", ".")) if known else None, None, value["unit"], origin)


def _curve(sheet: Sheet) -> VendorCurve | None:
    """Curve that a standard-curve sheet prints: ``Fit type: 4PL`` and ``a =`` ... in neighbouring cells."""
    texts = [cell_text(sheet.cell(row, 0)).strip() for row in range(len(sheet.rows))]
    model = next((text.partition(":")[2].strip() for text in texts if text.startswith("Fit type:")), None)
    found = [(match[1], row) for row, text in enumerate(texts) if (match := _PARAMETER.fullmatch(text))]
    parameters = {letter: value for letter, row in found if isinstance(value := sheet.cell(row, 1), float)}
    if model is None or not parameters:
        return None
    heads = (cell_text(cell) for row in sheet.rows for cell in row[:3])
    unit = next((match["unit"] for head in heads if (match := _CONCENTRATION.fullmatch(head))), None)
    return VendorCurve(model, MappingProxyType(parameters), unit, cell_origin(sheet.name, found[0][1], 0))


def compose(record: ExportRecord) -> bytes:
    """Bytes of an xlsx file with one absorbance sheet, a blank-subtraction sheet if reduced readings exist, and the layout sheet.

    Vendor concentrations and curves are left out: they are another software's results.

    Raises
    ------
    ValueError : a plate without name, or the same name twice: SkanIt tells plates by name
    """
    names = [plate.name for plate in record.plates]
    if None in names or len(set(names)) < len(names):
        raise ValueError("a SkanIt export needs plates with different names")
    sheets = [Sheet("Absorbance 1_01", tuple(_step_rows(record, SignalKind.RAW, "Abs", "Absorbance 1")))]
    if any(one.kind is SignalKind.REDUCED for plate in record.plates for one in plate.readings):
        sheets.append(
            Sheet("Blank Subtraction 1_02", tuple(_step_rows(record, SignalKind.REDUCED, "Blank subtracted", "Blank Subtraction 1")))
        )
    if any(plate.layout for plate in record.plates):
        sheets.append(Sheet(_LAYOUT_SHEET, tuple(_layout_rows(record))))
    return compose_workbook(Workbook(tuple(sheets)))


def _step_rows(record: ExportRecord, kind: SignalKind, corner: str, step: str) -> Iterator[tuple[Cell, ...]]:
    """Rows of one step's sheet."""
    for text in (_FIRST, "", "", " ", step):
        yield (text,)
    for plate in record.plates:
        for nm in dict.fromkeys(one.wavelength_nm for one in plate.readings if one.kind is kind):
            cells = {one.well: one for one in plate.readings if (one.kind, one.wavelength_nm) == (kind, nm)}
            if nm is not None:
                yield (f"Wavelength: {nm} nm",)
            for text in (" ", plate.name or "", " "):
                yield (text,)
            yield (corner, *(float(n + 1) for n in range(plate.n_columns)))
            for row in range(plate.n_rows):
                found = [cells.get(well_name(row, column)) for column in range(plate.n_columns)]
                values: list[Cell] = ["" if one is None else one.text if one.signal is None else one.signal for one in found]
                yield (chr(ord("A") + row), *values)
            yield ()


def _layout_rows(record: ExportRecord) -> Iterator[tuple[Cell, ...]]:
    """Rows of the layout sheet."""
    for plate in record.plates:
        wells = {well_position(one.well): one for one in plate.layout}
        yield ("Name", plate.name or "")
        yield ("Plate template", "")
        yield ()
        yield ("", *(float(n + 1) for n in range(plate.n_columns)))
        for row in range(plate.n_rows):
            line = [wells.get((row, column)) for column in range(plate.n_columns)]
            yield (chr(ord("A") + row), *("" if one is None else one.name or "" for one in line))
            yield ("", *("" if one is None else "Group 1" for one in line))
            yield ("", *("" if one is None else _amount_text(one) for one in line))
        yield (" ",)


def _amount_text(layout: WellLayout) -> str:
    """Dilution or concentration of one well."""
    if layout.dilution is not None:
        return f"1:{cell_text(layout.dilution)}"
    return "" if layout.concentration is None else f"{cell_text(layout.concentration)} {layout.unit or ''}".strip()
