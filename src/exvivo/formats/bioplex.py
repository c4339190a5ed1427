"""Bio-Plex Manager exports: bytes -> one plate per analyte as printed; and back.

In flow the bytes of a workbook or a csv file; out flows an :class:`ExportRecord`. Three forms are read:
one sheet per analyte, one long table with an ``Analyte`` column, and one sheet per quantity (``FI``,
``Obs Conc`` ...) with a column per analyte. A row of names with ``Type`` and ``Well`` begins a table.
``FI`` is the raw reading and ``FI - Bkgd`` a reduced one. ``Type`` says the role: S standard, B blank,
C control, X unknown. Manager prints means over wells above the single wells; rows of several wells are
left out. ``Obs Conc`` holds its own concentrations, dilution applied: a number, ``*3.42`` extrapolated,
``OOR <``, ``OOR >`` or ``***``; ``Std. Curve`` and ``Regression Type`` its curve. That the dilution is
applied follows from LabKey's import of these files (Documentation, "luminexImportFlags"), which replaces
``OOR`` by the well's dilution times the observed concentration of the outermost valid standard.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from exvivo.errors import InputError, fault
from exvivo.formats.beads import doubt_dilutions, fluorescence, mass_unit, split_beads, vendor_well
from exvivo.formats.delimited import decide_decimal, decode_text, is_number_like, parse_number, signal_status
from exvivo.formats.grid import Area, read_areas, show_areas
from exvivo.formats.workbook import Cell, Sheet, Workbook, cell_text, compose_workbook, is_workbook
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

FORMAT = "bioplex"
_FI, _NET, _OBS, _EXP = "fi", "fi - bkgd", "obs conc", "exp conc"
_QUANTITIES = {_FI, _NET, _OBS, _EXP, "dilution", "bead count", "outlier", "sampling errors"}
_OF_A_WELL = ("dilution", "outlier", "sampling errors")
_WIDE_LABELS = {"", "type", "well", "description", "outlier", "dilution", "group", "gate", "total events", "sampling errors"}
_ROLES = {"S": WellRole.STANDARD, "B": WellRole.BLANK, "C": WellRole.QC, "X": WellRole.SPECIMEN, "U": WellRole.SPECIMEN}
_TYPE = re.compile(r"([SBCXU])\d*", re.IGNORECASE)
_REGION = re.compile(r"\s*\(\d+\)$")
_UNIT = re.compile(r"(?P<name>.+?)\s*[(\[](?P<unit>[^()\[\]]*/[^()\[\]]*)[)\]]")
_NUMBER = r"([+-]?\d[\d.,]*(?:[eE][+-]?\d+)?)"
_CURVE = re.compile(
    rf"Std\.?\s*Curve:\s*FI\s*=\s*{_NUMBER}\s*\+\s*\(\s*{_NUMBER}\s*-\s*{_NUMBER}\s*\)\s*/\s*\(+\s*1\s*\+\s*"
    rf"\(\s*Conc\s*/\s*{_NUMBER}\s*\)\s*\^\s*{_NUMBER}\s*\)+(?:\s*\^\s*{_NUMBER})?",
    re.IGNORECASE,
)
_OUTLIER = " (outlier)"
_YES = {"1", "true", "yes", "y", "x"}
_ABSENT = {"", "-", "--", "---", "***"}


@dataclass(frozen=True, slots=True)
class _Table:
    """One table: its area, the row of its names, lower-case names without units by column, its filled rows, units by column."""

    area: Area
    top: int
    columns: Mapping[str, int]
    rows: tuple[int, ...]
    units: Mapping[int, str]


@dataclass(slots=True)
class _Well:
    """Everything that the tables print for one well and analyte: cell and place by quantity."""

    well: str
    kind: str
    name: str
    origin: str
    unit: str | None = None
    cells: dict[str, tuple[Cell, str]] = field(default_factory=dict)

    def text(self, quantity: str) -> str:
        """Cell as text; empty if there is none."""
        return cell_text(self.cells[quantity][0]).strip() if quantity in self.cells else ""

    def decimal(self, quantity: str, decimal: str) -> str:
        """Decimal mark of a cell: a number that a workbook holds as such has a point."""
        return "." if quantity in self.cells and isinstance(self.cells[quantity][0], float) else decimal

    def number(self, quantity: str, decimal: str) -> float | None:
        """A cell's number; None for words and stars."""
        text = self.text(quantity)
        return parse_number(text, self.decimal(quantity, decimal)) if is_number_like(text) else None


def recognises(data: bytes) -> bool:
    """Whether a table with Type and Well holds FI, or a sheet of such a table is called FI."""
    try:
        if not is_workbook(data) and "well" not in decode_text(data, "file").text.lower():
            return False
        areas, _ = read_areas(data, "file")
    except InputError:
        return False
    return _holds_fluorescence(areas)


def knows(sheets: Sequence[Sheet]) -> bool:
    """The same of a workbook that is open."""
    return _holds_fluorescence(show_areas(sheets)[0])


def _holds_fluorescence(areas: Sequence[Area]) -> bool:
    return any(_FI in table.columns or _quantity(table) == _FI for area in areas for table in _tables(area))


def parse(data: bytes, where: str) -> ExportRecord:
    """Plates of a Bio-Plex Manager export, one per analyte.

    Raises
    ------
    InputError : all at once: no FI, types and wells that are none, unknown words, two values
        for one well, only means over wells
    """
    return _parse_areas(*read_areas(data, where), where)


def parse_sheets(sheets: Sequence[Sheet], where: str) -> ExportRecord:
    """Plates of a workbook that is open; faults as of :func:`parse`."""
    return _parse_areas(*show_areas(sheets), where)


def _parse_areas(areas: Sequence[Area], notes: Sequence[str], where: str) -> ExportRecord:
    tables = [table for area in areas for table in _tables(area)]
    faults: list[str] = []
    wells: dict[str, dict[str, _Well]] = {}
    for table in sorted(tables, key=_is_shared):
        _collect(table, wells, faults, where)
    if not any(_FI in well.cells for own in wells.values() for well in own.values()):
        faults.append(
            fault(where, "no fluorescence ('FI') of single wells", "a column or a sheet FI, one row per well", "Export single wells")
        )
        raise InputError(faults)
    faults += [message for own in wells.values() for well in own.values() for message in _well_faults(well, where)]
    curves = {analyte: found for area in areas for analyte, found in _curve_texts(area)}
    decimal = decide_decimal(_numbers(wells, curves), where)
    if faults:
        raise InputError(faults)
    left = [f"{table.area.origin(table.top, 0)}: table not read, it names no quantity that is used" for table in tables if _is_other(table)]
    plate = _plate_name(areas)
    plates = [
        _plate(" ".join(part for part in (plate, analyte) if part), list(own.values()), (analyte, curves.get(analyte)), decimal)
        for analyte, own in wells.items()
    ]
    placed = tuple(replace(one, position=at) for at, one in enumerate(plates, 1))
    return ExportRecord(FORMAT, placed, (*notes, *left, *doubt_dilutions(placed)))


def _tables(area: Area) -> Iterator[_Table]:
    """Tables of an area: a row of names with Type and Well, and the rows to the next such row or an empty well."""
    for top in range(len(area.rows)):
        names = [" ".join(area.text(top, column).split()) for column in range(len(area.rows[top]))]
        units = [_UNIT.fullmatch(name) for name in names]
        plain = [match["name"] if match else name for match, name in zip(units, names, strict=True)]
        lower = [name.lower().replace("–", "-") for name in plain]
        if "type" not in lower or "well" not in lower:
            continue
        well = lower.index("well")
        rows = []
        for row in range(top + 1, len(area.rows)):
            if not area.text(row, well) or area.text(row, well).lower() == "well":
                break
            rows.append(row)
        columns = {name if name in _QUANTITIES | _WIDE_LABELS | {"analyte"} else plain[at]: at for at, name in enumerate(lower) if name}
        stated = mass_unit(_fact(area, "units", top) or _fact(area, "unit", top))
        printed = {at: mass_unit(match["unit"]) or stated for at, match in enumerate(units) if match}
        known = {at: unit for at in range(len(names)) if (unit := printed.get(at, stated))}
        yield _Table(area, top, columns, tuple(rows), known)


def _quantity(table: _Table) -> str | None:
    """Quantity of a table with a column per analyte: the sheet's name, or the nearest text above that is one."""
    named = [table.area.name or ""]
    for row in range(table.top - 1, -1, -1):
        named += [table.area.text(row, column) for column in range(len(table.area.rows[row]))]
    plain = (" ".join(text.lower().replace("–", "-").rstrip(":").split()) for text in named)
    return next((text for text in plain if text in _QUANTITIES), None)


def _fact(area: Area, label: str, before: int | None = None) -> str:
    """Text that follows ``Label:``, in the same cell or the next; the last such row before a row."""
    found = ""
    for row in range(len(area.rows) if before is None else before):
        for column in range(len(area.rows[row])):
            head, mark, rest = area.text(row, column).partition(":")
            if mark and head.strip().lower() == label:
                found = (rest.strip() or area.text(row, column + 1)).strip(" ;")
    return found


def _plate_name(areas: Sequence[Area]) -> str:
    """Name of the plate, else of the file that Manager saved."""
    told = (_fact(area, label) for label in ("plate id", "plate name", "file name") for area in areas)
    name = next((one for one in told if one), "")
    return re.sub(r"\.(rbx|mgd|lxd)$", "", re.split(r"[\\/]", name)[-1], flags=re.IGNORECASE)


def _analyte_of(table: _Table) -> str:
    """Analyte of a sheet that holds one: what stands above, else the sheet's name."""
    return _REGION.sub("", _fact(table.area, "analyte", table.top) or table.area.name or "")


def _is_other(table: _Table) -> bool:
    """Whether a table holds something that is not used, such as standard deviations."""
    return not {_FI, _NET, _OBS} & table.columns.keys() and _quantity(table) is None


def _is_shared(table: _Table) -> bool:
    """Whether a table holds for all analytes, as a sheet of dilutions does; it is read last."""
    return not any(name not in _WIDE_LABELS for name in table.columns)


def _collect(table: _Table, wells: dict[str, dict[str, _Well]], faults: list[str], where: str) -> None:
    """Cells of one table, by analyte and well; means over wells are left out."""
    columns, area = table.columns, table.area
    wide = {name: at for name, at in columns.items() if name not in _QUANTITIES | _WIDE_LABELS | {"analyte"}}
    is_long = bool({_FI, _NET, _OBS} & columns.keys())
    quantity = None if is_long else _quantity(table)
    if not is_long and quantity is None:
        return
    shared = {name: columns[name] for name in _OF_A_WELL if name in columns}
    for row in table.rows:
        place = f"{where}, {area.origin(row, columns['well'])}"
        text = area.text(row, columns["well"])
        if re.search(r"[,;\s]", text):
            continue
        try:
            well = well_name(*well_position(text))
        except ValueError:
            faults.append(fault(place, f"'{text}' is no well", "A1 to H12 (96 wells) or A1 to P24 (384 wells)", "Export again"))
            continue
        if is_long:
            analyte = _REGION.sub("", area.text(row, columns["analyte"])) if "analyte" in columns else _analyte_of(table)
            held = {name: at for name, at in columns.items() if name in _QUANTITIES}
            _put(wells.setdefault(analyte, {}), (table, row, well), held, faults, where)
            continue
        for name, at in wide.items():
            _put(wells.setdefault(_REGION.sub("", name), {}), (table, row, well), {**shared, quantity or "": at}, faults, where)
        if not wide:
            for own in (own for own in wells.values() if well in own):
                _put(own, (table, row, well), shared, faults, where)


def _put(own: dict[str, _Well], at: tuple[_Table, int, str], held: Mapping[str, int], faults: list[str], where: str) -> None:
    """Add cells of one row to its well; a well that stands twice must say the same."""
    table, row, well = at
    area, columns = table.area, table.columns
    kind = area.text(row, columns["type"])
    name = area.text(row, columns["description"]) if "description" in columns else ""
    known = own.setdefault(well, _Well(well, kind, name or kind, area.origin(row, columns["well"])))
    if name and known.name == known.kind:
        known.name = name
    for quantity, column in held.items():
        cell, place = area.cell(row, column), area.origin(row, column)
        before = known.cells.get(quantity)
        if before is not None and quantity in {_FI, _NET} and cell_text(before[0]).strip() != cell_text(cell).strip():
            found = f"well {well} stands twice: '{cell_text(before[0])}' at {before[1]} and '{cell_text(cell)}'"
            faults.append(fault(f"{where}, {place}", found, "one row for each well", "Export single wells only"))
        known.cells[quantity] = (cell, place)
        if quantity in {_OBS, _EXP}:
            known.unit = known.unit or table.units.get(column)


def _well_faults(well: _Well, where: str) -> Iterator[str]:
    """A type that is none, and fluorescence that is neither a number nor a word of a reader."""
    place = f"{where}, {well.origin}"
    if _TYPE.fullmatch(well.kind) is None:
        yield fault(place, f"well {well.well}: type '{well.kind}' is unknown", "S (standard), B (blank), C (control) or X (unknown)")
    for quantity in (_FI, _NET):
        text = well.text(quantity)
        if signal_status(text) is None and text not in _ABSENT:
            found = f"well {well.well}: '{text}' is no fluorescence"
            yield fault(f"{where}, {well.cells[quantity][1]}", found, "a number, *** or nothing", "Export again")


def _numbers(wells: Mapping[str, Mapping[str, _Well]], curves: Mapping[str, tuple[str, str, str]]) -> Iterator[str]:
    """Texts whose decimal mark is the file's."""
    for own in wells.values():
        for well in own.values():
            for quantity in (_FI, _NET, _OBS, _EXP):
                if quantity in well.cells and isinstance(well.cells[quantity][0], str):
                    yield well.text(quantity).lstrip("* ")
    for text, _, _ in curves.values():
        match = _CURVE.search(text)
        yield from (number for number in (match.groups() if match else ()) if number)


def _plate(name: str, wells: Sequence[_Well], about: tuple[str, tuple[str, str, str] | None], decimal: str) -> PlateRecord:
    """One analyte of the plate; its position is given later."""
    analyte, curve = about
    unit = next((well.unit for well in wells if well.unit), None)
    large = any(row > 7 or column > 11 for row, column in (well_position(well.well) for well in wells))
    told = [
        f"{well.origin}: well {well.well}, sampling error {text}" for well in wells if (text := well.text("sampling errors")) not in _ABSENT
    ]
    layout = tuple(_layout(well, analyte, unit, decimal) for well in wells)
    return PlateRecord(
        name or None,
        0,
        *((16, 24) if large else (8, 12)),
        tuple(reading for well in wells for reading in _readings(well, decimal)),
        layout,
        tuple(_vendor(wells, layout, decimal)),
        _curve(curve, unit, decimal) if curve else None,
        tuple(told),
    )


def _readings(well: _Well, decimal: str) -> Iterator[WellReading]:
    """FI, then FI less background; an outlier that Manager left out of its curve is masked."""
    for quantity, kind in ((_FI, SignalKind.RAW), (_NET, SignalKind.REDUCED)):
        if quantity not in well.cells:
            continue
        text, origin = well.text(quantity), well.cells[quantity][1]
        if text in _ABSENT:
            status = ReadingStatus.MISSED if text == "***" else ReadingStatus.EMPTY
            yield WellReading(well.well, None, None, status, kind, text, origin)
            continue
        reading = fluorescence(well.well, text, well.text("bead count"), kind, well.decimal(quantity, decimal), origin)
        if well.text("outlier").lower() in _YES and reading.status is ReadingStatus.OK:
            reading = replace(reading, signal=None, status=ReadingStatus.MASKED, text=reading.text + _OUTLIER)
        yield reading


def _layout(well: _Well, analyte: str, unit: str | None, decimal: str) -> WellLayout:
    """What the type and the description say."""
    role = _ROLES[well.kind[0].upper()]
    known = role in {WellRole.STANDARD, WellRole.QC}
    concentration = well.number(_EXP, decimal) if known else None
    fold = re.fullmatch(r"(?:1\s*:\s*)?(\d+(?:[.,]\d+)?)", well.text("dilution"))
    dilution = float(fold[1].replace(",", ".")) if fold and role in {WellRole.SPECIMEN, WellRole.QC} else None
    return WellLayout(well.well, role, well.name, concentration, dilution, None if concentration is None else unit, well.origin, analyte)


def _vendor(wells: Iterable[_Well], layout: Iterable[WellLayout], decimal: str) -> Iterator[VendorWell]:
    """Manager's own concentrations; an empty cell was not asked for."""
    for well, laid in zip(wells, layout, strict=True):
        if well.text(_OBS):
            yield vendor_well(well.well, well.text(_OBS), well.decimal(_OBS, decimal), well.cells[_OBS][1], laid.dilution)


def _curve_texts(area: Area) -> Iterator[tuple[str, tuple[str, str, str]]]:
    """Analyte, printed curve, regression type and place of each curve of a sheet."""
    for row in range(len(area.rows)):
        for column in range(len(area.rows[row])):
            text = area.text(row, column)
            if text.lower().startswith("std. curve:"):
                analyte = _REGION.sub("", _fact(area, "analyte") or _first_analyte(area) or area.name or "")
                full = text if _CURVE.search(text) else f"{text} {area.text(row, column + 1)}"
                yield analyte, (full, _fact(area, "regression type"), area.origin(row, column))


def _first_analyte(area: Area) -> str:
    """Analyte of the first row of a long table."""
    table = next(_tables(area), None)
    return area.text(table.rows[0], table.columns["analyte"]) if table and table.rows and "analyte" in table.columns else ""


def _curve(printed: tuple[str, str, str], unit: str | None, decimal: str) -> VendorCurve | None:
    """Curve as printed, a + (b - a) / (1 + (Conc / c)^d)^g; the letters follow the formula."""
    text, model, origin = printed
    match = _CURVE.search(text)
    if match is None:
        return None
    texts = dict(zip("abxcdg", match.groups(), strict=True))
    numbers = {letter: parse_number(number, decimal) for letter, number in texts.items() if number and letter != "x"}
    return VendorCurve(model or ("5PL" if "g" in numbers else "4PL"), MappingProxyType(numbers), unit, origin)


def compose(record: ExportRecord) -> bytes:
    """Bytes of a workbook with one sheet per analyte.

    Raises
    ------
    ValueError : a plate without layout or analyte, or analytes of different plates
    """
    sheets, names = [], set()
    for plate in record.plates:
        analytes = {one.analyte or "" for one in plate.layout}
        if len(analytes) != 1 or "" in analytes:
            raise ValueError("a Bio-Plex export needs a layout that names one analyte for each plate")
        analyte = next(iter(analytes))
        names.add((plate.name or "").removesuffix(analyte).strip())
        sheets.append(Sheet(f"Sheet{plate.position}", tuple(_sheet_rows(plate, analyte, min(names)))))
    if len(names) != 1:
        raise ValueError("a Bio-Plex export needs analytes of one plate")
    return compose_workbook(Workbook(tuple(sheets)))


def _sheet_rows(plate: PlateRecord, analyte: str, name: str) -> Iterator[tuple[Cell, ...]]:
    """Rows of one analyte's sheet."""
    yield (f"Plate ID: {name};",)
    yield (f"Analyte: {analyte}",)
    yield ()
    unit = next((one.unit for one in plate.layout if one.unit), None)
    exp = f"Exp Conc ({unit})" if unit else "Exp Conc"
    yield ("Type", "Well", "Outlier", "Description", "FI", "FI - Bkgd", "Obs Conc", exp, "Dilution", "Bead Count")
    letters = {role: letter for letter, role in reversed(_ROLES.items())}
    labels: dict[tuple[WellRole, str | None], str] = {}
    readings = {(one.well, one.kind): one for one in plate.readings}
    vendor = {one.well: one.text for one in plate.vendor_wells}
    for one in plate.layout:
        number = sum(role is one.role for role, _ in labels) + 1
        kind = labels.setdefault((one.role, one.name), f"{letters[one.role]}{number}")
        raw, net = (readings.get((one.well, kind)) for kind in (SignalKind.RAW, SignalKind.REDUCED))
        outlier = 1.0 if raw is not None and raw.text.endswith(_OUTLIER) else 0.0
        texts = [split_beads(two.text.removesuffix(_OUTLIER)) if two else ("", "") for two in (raw, net)]
        count = texts[0][1] or "100"
        exact = ["" if one.concentration is None else one.concentration, "" if one.dilution is None else one.dilution]
        yield (
            kind,
            one.well,
            outlier,
            one.name or "",
            *(_typed(text) for text, _ in texts),
            _typed(vendor.get(one.well, "")),
            *exact,
            _typed(count),
        )
    if plate.vendor_curve is not None:
        yield ()
        values = {letter: repr(value) for letter, value in plate.vendor_curve.parameters.items()}
        power = f"^{values['g']}" if "g" in values else ""
        a, b, c, d = (values[letter] for letter in "abcd")
        yield (f"Std. Curve: FI = {a} + ({b} - {a}) / ((1 + (Conc / {c})^{d})){power}",)
        yield (f"Regression Type: {plate.vendor_curve.model}",)


def _typed(text: str) -> Cell:
    """A number where a text is exactly what a workbook's number would print, else the text."""
    return float(text) if is_number_like(text) and cell_text(float(text.replace(",", "."))) == text else text
