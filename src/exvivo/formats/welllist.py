"""Lists of wells, one row for each, in csv, tab or Excel files: bytes -> plates as printed; and back.

In flow the bytes of a text file or a workbook; out flows an :class:`ExportRecord`. The list begins with a
row of names: one means the well (``Well``, ``Position``), at least one a reading (``OD``, ``450``, ``Abs
450 nm``, ``Signal``). ``Plate`` tells plates apart, ``Sample``, ``Type``, ``Concentration`` and
``Dilution factor`` make the layout. Every column decides its own decimal mark.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from exvivo.errors import InputError, fault
from exvivo.formats.delimited import compose_rows, decide_decimal, decode_text, is_number_like, parse_number, signal_status
from exvivo.formats.grid import Area, is_reduced, read_areas, role_of_name, title_wavelength
from exvivo.formats.maps import header_meaning
from exvivo.formats.workbook import cell_text, is_workbook
from exvivo.study.design import (
    ExportRecord,
    PlateRecord,
    ReadingStatus,
    SignalKind,
    WellLayout,
    WellReading,
    WellRole,
    well_name,
    well_position,
)

FORMAT = "welllist"
_READING = re.compile(
    r"(?:raw\s+)?(?:od|abs(?:orbance)?|a|signal|value|reading|measurement|rfu|rlu|mfi|fluorescence|luminescence)?\s*[@:(\[]?\s*"
    r"(?P<nm>\d{3,4})?\s*(?:nm)?[)\]]?",
    re.IGNORECASE,
)
_SHORTEST = 2
_KNOWN = {"plate", "well", "role", "specimen", "analyte", "concentration", "dilution", "unit"}


@dataclass(frozen=True, slots=True)
class _Column:
    """One column of readings: its place, its wavelength, whether it was reduced."""

    at: int
    wavelength_nm: int | None
    kind: SignalKind


@dataclass(frozen=True, slots=True)
class _List:
    """One list: columns of readings, columns of everything else by meaning, its rows (0-based), the unit of concentrations."""

    area: Area
    readings: tuple[_Column, ...]
    columns: Mapping[str, int]
    rows: tuple[int, ...]
    unit: str | None

    def text(self, row: int, meaning: str) -> str:
        """Cell by meaning; empty if the list lacks the column."""
        return self.area.text(row, self.columns[meaning]) if meaning in self.columns else ""


def recognises(data: bytes) -> bool:
    """Whether a row of names holds a well and a reading, with wells below it."""
    try:
        if not is_workbook(data) and not re.search(r"\b(?:wells?|position)\b", decode_text(data, "file").text, re.IGNORECASE):
            return False
        areas, _ = read_areas(data, "file")
    except InputError:
        return False
    return any(_list(area) is not None for area in areas)


def parse(data: bytes, where: str) -> ExportRecord:
    """Plates of a list of wells.

    Raises
    ------
    InputError : all at once: no list, places that are no wells, unknown words among readings, columns with two decimal marks
    """
    areas, notes = read_areas(data, where)
    lists = [found for area in areas if (found := _list(area)) is not None]
    if not lists:
        raise InputError(fault(where, "no list of wells was found", "a row of names with Well and OD, and one row for each well"))
    faults: list[str] = []
    plates: list[PlateRecord] = []
    for one in lists:
        faults += _faults(one, where)
        decimals = dict(_decimals(one, where, faults))
        groups: dict[str, list[int]] = {}
        for row in one.rows:
            groups.setdefault(one.text(row, "plate"), []).append(row)
        if not faults:
            plates += [_plate(one, name, rows, len(plates) + at, decimals) for at, (name, rows) in enumerate(groups.items(), 1)]
    if faults:
        raise InputError(faults)
    return ExportRecord(FORMAT, tuple(plates), notes)


def _list(area: Area) -> _List | None:
    """The first list of an area."""
    for top in range(len(area.rows) - 1):
        names = [area.text(top, column) for column in range(len(area.rows[top]))]
        meanings = [header_meaning(name) for name in names]
        columns = {meaning: at for at, (meaning, _) in reversed(list(enumerate(meanings))) if meaning}
        if "well" not in columns:
            continue
        readings = tuple(column for at, name in enumerate(names) if meanings[at][0] not in _KNOWN for column in _column(at, name))
        rows = []
        for row in range(top + 1, len(area.rows)):
            if not any(cell_text(cell).strip() for cell in area.rows[row]):
                break
            rows.append(row)
        wells = sum(_well(area.text(row, columns["well"])) is not None for row in rows)
        if readings and wells >= max(_SHORTEST, len(rows) / 2):
            unit = next((unit for meaning, unit in meanings if meaning == "concentration" and unit), None)
            return _List(area, readings, columns, tuple(rows), unit)
    return None


def _column(at: int, name: str) -> Iterator[_Column]:
    """A column of readings, if its name says so."""
    match = _READING.fullmatch(name.strip()) if re.search(r"[a-z]{2}|\d{3}", name, re.IGNORECASE) else None
    reduced = is_reduced(name)
    if match is None and not (reduced and re.match(r"od|abs|a?\d{3}", name, re.IGNORECASE)):
        return
    number = int(match["nm"]) if match and match["nm"] else title_wavelength([name])
    if number is None or 190 <= number <= 1100:
        yield _Column(at, None if reduced else number, SignalKind.REDUCED if reduced else SignalKind.RAW)


def _well(text: str) -> str | None:
    """Canonical name of a well; None if the text is none."""
    try:
        return well_name(*well_position(text))
    except ValueError:
        return None


def _faults(found: _List, where: str) -> Iterator[str]:
    """Places that are no wells, and cells that are neither numbers nor words of a reader."""
    for row in found.rows:
        text = found.text(row, "well")
        if _well(text) is None:
            place = f"{where}, {found.area.origin(row, found.columns['well'])}"
            yield fault(place, f"'{text}' is no well", "A1 to H12 (96 wells) or A1 to P24 (384 wells)", "Correct it, or take the row out")
        for column in found.readings:
            cell = found.area.cell(row, column.at)
            if not isinstance(cell, float) and (not isinstance(cell, str) or signal_status(cell) is None):
                place = f"{where}, {found.area.origin(row, column.at)}"
                yield fault(place, f"well {text}: '{cell_text(cell).strip()}' is no reading", "a number or a reader's word such as OVRFLW")


def _decimals(found: _List, where: str, faults: list[str]) -> Iterator[tuple[int, str]]:
    """Decimal mark of each column that holds numbers."""
    for at in (
        *(column.at for column in found.readings),
        *(found.columns[name] for name in ("concentration", "dilution") if name in found.columns),
    ):
        texts = [cell for row in found.rows if isinstance(cell := found.area.cell(row, at), str)]
        try:
            yield at, decide_decimal(texts, f"{where}, column {at + 1}")
        except InputError as error:
            faults += error.messages


def _plate(found: _List, name: str, rows: list[int], position: int, decimals: Mapping[int, str]) -> PlateRecord:
    """One plate of a list."""
    wells = [_well(found.text(row, "well")) or "" for row in rows]
    large = any(row > 7 or column > 11 for row, column in map(well_position, wells))
    readings = []
    for column in found.readings:
        for row, well in zip(rows, wells, strict=True):
            cell, text = found.area.cell(row, column.at), found.area.text(row, column.at)
            status = ReadingStatus.OK if isinstance(cell, float) else signal_status(text) or ReadingStatus.MISSED
            number = cell if isinstance(cell, float) else parse_number(text, decimals[column.at]) if status is ReadingStatus.OK else None
            origin = found.area.origin(row, column.at)
            readings.append(WellReading(well, column.wavelength_nm, number, status, column.kind, text, origin))
    layout = [one for row, well in zip(rows, wells, strict=True) if (one := _layout(found, row, well, decimals)) is not None]
    return PlateRecord(name or None, position, *((16, 24) if large else (8, 12)), tuple(readings), tuple(layout))


def _layout(found: _List, row: int, well: str, decimals: Mapping[int, str]) -> WellLayout | None:
    """What the other columns say about a well; None if nothing."""
    name, said = found.text(row, "specimen"), found.text(row, "role").lower()
    if not name and not said:
        return None
    role = WellRole(said) if said in set(WellRole) else role_of_name(name or said)
    numbers = {}
    for meaning in ("concentration", "dilution"):
        text = re.sub(r"^1\s*:\s*", "", found.text(row, meaning))
        mark = (
            "."
            if isinstance(found.area.cell(row, found.columns.get(meaning, -1)), float)
            else decimals.get(found.columns.get(meaning, -1), ".")
        )
        numbers[meaning] = parse_number(text, mark) if is_number_like(text) else None
    known = role in {WellRole.STANDARD, WellRole.QC}
    unit = found.text(row, "unit") or found.unit
    origin = found.area.origin(row, found.columns["well"])
    concentration = numbers["concentration"] if known else None
    dilution = None if role in {WellRole.STANDARD, WellRole.BLANK} else numbers["dilution"]
    shown = unit or None if concentration is not None else None
    return WellLayout(well, role, name or None, concentration, dilution, shown, origin, found.text(row, "analyte") or None)


def compose(record: ExportRecord, delimiter: str = ",", decimal: str = ".") -> bytes:
    """UTF-8 text of a list of wells; layouts by name, role, concentration, unit and dilution.

    Raises
    ------
    ValueError : plates with different wavelengths, or more than one reading for a well, wavelength and kind
    """
    columns = {tuple(dict.fromkeys((one.wavelength_nm, one.kind) for one in plate.readings)) for plate in record.plates}
    if len(columns) != 1:
        raise ValueError("a list of wells needs plates with the same columns of readings")
    heads = next(iter(columns))
    titles = ["OD blanked" if kind is SignalKind.REDUCED else f"OD {nm} nm" if nm else "OD" for nm, kind in heads]
    rows = [["Plate", "Well", "Role", "Sample", "Analyte", "Concentration", "Unit", "Dilution", *titles]]
    for plate in record.plates:
        laid = {one.well: one for one in plate.layout}
        texts = {(one.well, one.wavelength_nm, one.kind): one.text for one in plate.readings}
        for well in dict.fromkeys(one.well for one in plate.readings):
            one = laid.get(well)
            about = [one.role.value, one.name or "", one.analyte or ""] if one else ["", "", ""]
            amounts = [_text(one.concentration, decimal), one.unit or "", _text(one.dilution, decimal)] if one else ["", "", ""]
            rows.append([plate.name or "", well, *about, *amounts, *(texts.get((well, *head), "") for head in heads)])
    return compose_rows(rows, delimiter).encode()


def _text(number: float | None, decimal: str) -> str:
    return "" if number is None else repr(number).replace(".", decimal)
