"""Luminex INTELLIFLEX exports: bytes -> one plate per analyte as printed; and back.

In flow the bytes of a csv file or a workbook with one row per well; out flows an :class:`ExportRecord`.
For each bead region and reporter the row holds ``R25: RP1 MEDIAN``, the raw reading, ``NET MEDIAN``, a
reduced one, and ``COUNT``. An analyte is called by its ``ANALYTE NAME`` or, where there is none, by its
region; with two reporters the second one's name ends in ``RP2``. The instrument prints no nominal
concentrations: a map gives those of the standards.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from exvivo.errors import InputError, fault
from exvivo.formats.beads import fluorescence, role_of_sample, split_beads
from exvivo.formats.delimited import compose_rows, decide_decimal, decode_text, is_number_like, parse_number, signal_status
from exvivo.formats.grid import Area, read_areas
from exvivo.formats.workbook import is_workbook
from exvivo.study.design import ExportRecord, PlateRecord, SignalKind, WellLayout, WellReading, WellRole, well_name, well_position

FORMAT = "intelliflex"
_PLACE, _PLATE, _START, _TYPE, _SAMPLE, _DILUTION = "WELL LOCATION", "PLATE NAME", "PLATE START", "WELL TYPE", "SAMPLE ID", "DILUTION"
_BEAD = re.compile(r"(?P<region>R\d+):\s*(?P<reporter>RP\d)\s+(?P<quantity>MEDIAN|NET MEDIAN|COUNT|ANALYTE NAME)", re.IGNORECASE)
_KINDS = (("MEDIAN", SignalKind.RAW), ("NET MEDIAN", SignalKind.REDUCED))
_ROLES = {"S": WellRole.STANDARD, "B": WellRole.BLANK, "C": WellRole.QC}


@dataclass(frozen=True, slots=True)
class _Sheet:
    """The table: columns by name, columns of each bead by quantity, rows of wells (0-based)."""

    area: Area
    columns: Mapping[str, int]
    beads: Mapping[tuple[str, str], Mapping[str, int]]
    rows: tuple[int, ...]

    def text(self, row: int, name: str) -> str:
        """Cell in a named column; empty if the column is absent."""
        return self.area.text(row, self.columns[name]) if name in self.columns else ""


def recognises(data: bytes) -> bool:
    """Whether a row of names holds a well's location and a bead's median."""
    try:
        if not is_workbook(data) and "well location" not in decode_text(data, "file").text.lower():
            return False
        areas, _ = read_areas(data, "file")
    except InputError:
        return False
    return any(_sheet(area) is not None for area in areas)


def parse(data: bytes, where: str) -> ExportRecord:
    """Plates of an INTELLIFLEX export, one per analyte.

    Raises
    ------
    InputError : all at once: no medians, places that are no wells, unknown words among numbers, two decimal marks
    """
    areas, notes = read_areas(data, where)
    sheet = next((found for area in areas if (found := _sheet(area))), None)
    if sheet is None:
        raise InputError(fault(where, "no column of medians", "WELL LOCATION and R25: RP1 MEDIAN", "Export the medians"))
    faults = list(_faults(sheet, where))
    medians = [columns["MEDIAN"] for columns in sheet.beads.values()]
    decimal = decide_decimal((sheet.area.text(row, column) for row in sheet.rows for column in medians), where)
    if faults:
        raise InputError(faults)
    groups: dict[tuple[str, str], list[int]] = {}
    for row in sheet.rows:
        groups.setdefault((sheet.text(row, _PLATE), sheet.text(row, _START)), []).append(row)
    plates: list[PlateRecord] = []
    for (plate, _), rows in groups.items():
        plates += [_plate(sheet, (plate, bead), rows, len(plates) + at, decimal) for at, bead in enumerate(sheet.beads, 1)]
    return ExportRecord(FORMAT, tuple(plates), notes)


def _sheet(area: Area) -> _Sheet | None:
    """The table of an area; None if it has none."""
    for top in range(len(area.rows)):
        names = [" ".join(area.text(top, column).upper().split()) for column in range(len(area.rows[top]))]
        if _PLACE not in names:
            continue
        beads: dict[tuple[str, str], dict[str, int]] = {}
        for column, name in enumerate(names):
            match = _BEAD.fullmatch(name)
            if match:
                beads.setdefault((match["region"], match["reporter"]), {})[match["quantity"]] = column
        measured = {bead: columns for bead, columns in beads.items() if "MEDIAN" in columns}
        columns = {name: column for column, name in reversed(list(enumerate(names)))}
        rows = tuple(row for row in range(top + 1, len(area.rows)) if area.text(row, columns[_PLACE]))
        if measured:
            return _Sheet(area, columns, measured, rows)
    return None


def _faults(sheet: _Sheet, where: str) -> Iterator[str]:
    """Places that are no wells, and medians that are neither numbers nor words of a reader."""
    for row in sheet.rows:
        place, text = f"{where}, {sheet.area.origin(row, sheet.columns[_PLACE])}", sheet.text(row, _PLACE)
        try:
            well_position(text)
        except ValueError:
            yield fault(place, f"'{text}' is no well", "A1 to H12 (96 wells) or A1 to P24 (384 wells)", "Export again")
        for (region, reporter), columns in sheet.beads.items():
            cell = sheet.area.text(row, columns["MEDIAN"])
            if signal_status(cell) is None:
                yield fault(place, f"{region}: {reporter} median '{cell}' is no reading", "a number or NaN", "Export again")


def _analyte(sheet: _Sheet, bead: tuple[str, str]) -> str:
    """Name of an analyte: what the wells call it, else its region; the second reporter says so."""
    column = sheet.beads[bead].get("ANALYTE NAME")
    told = (sheet.area.text(row, column) for row in sheet.rows) if column is not None else iter(())
    name = next((text for text in told if text and text.lower() not in {"nan", "n/a"}), bead[0])
    return name if bead[1] == min(reporter for _, reporter in sheet.beads) else f"{name} {bead[1]}"


def _plate(sheet: _Sheet, about: tuple[str, tuple[str, str]], rows: Sequence[int], position: int, decimal: str) -> PlateRecord:
    """One analyte of one plate."""
    name, bead = about
    analyte = _analyte(sheet, bead)
    places = [well_position(sheet.text(row, _PLACE)) for row in rows]
    size = (16, 24) if any(row > 7 or column > 11 for row, column in places) else (8, 12)
    readings = tuple(one for row in rows for one in _readings(sheet, bead, row, decimal))
    layout = tuple(_layout(sheet, analyte, row, decimal) for row in rows)
    return PlateRecord(" ".join(part for part in (name, analyte) if part), position, *size, readings, layout)


def _readings(sheet: _Sheet, bead: tuple[str, str], row: int, decimal: str) -> Iterator[WellReading]:
    """Median, then net median, of one well."""
    columns = sheet.beads[bead]
    well = well_name(*well_position(sheet.text(row, _PLACE)))
    count = sheet.area.text(row, columns["COUNT"]) if "COUNT" in columns else ""
    for quantity, kind in _KINDS:
        if quantity in columns:
            text = sheet.area.text(row, columns[quantity])
            yield fluorescence(well, text, count, kind, decimal, sheet.area.origin(row, columns[quantity]))


def _layout(sheet: _Sheet, analyte: str, row: int, decimal: str) -> WellLayout:
    """What type, sample and dilution of a well say."""
    kind, name, fold = (sheet.text(row, column) for column in (_TYPE, _SAMPLE, _DILUTION))
    role = _ROLES.get(kind[:1].upper(), WellRole.SPECIMEN) if kind else role_of_sample(name)
    known = role in {WellRole.SPECIMEN, WellRole.QC} and is_number_like(fold)
    well = well_name(*well_position(sheet.text(row, _PLACE)))
    origin = sheet.area.origin(row, sheet.columns[_PLACE])
    return WellLayout(well, role, name or kind or None, None, parse_number(fold, decimal) if known else None, None, origin, analyte)


def compose(record: ExportRecord, delimiter: str = ",", decimal: str = ".") -> bytes:
    """Bytes of an export of one plate; each plate record is one analyte.

    Raises
    ------
    ValueError : a plate without layout or analyte, or plates of different names or wells
    """
    analytes = [next(iter({one.analyte or "" for one in plate.layout}), "") for plate in record.plates]
    names = {(plate.name or "").removesuffix(analyte).strip() for plate, analyte in zip(record.plates, analytes, strict=True)}
    wells = {tuple(one.well for one in plate.layout) for plate in record.plates}
    if len(names) != 1 or len(wells) != 1 or not all(analytes):
        raise ValueError("an INTELLIFLEX export needs analytes of one plate with the same wells")
    header = ["INSTRUMENT TYPE", _PLATE, _PLACE, _TYPE, _SAMPLE, _DILUTION]
    for at in range(len(analytes)):
        header += [f"R{at + 12}: RP1 {quantity}" for quantity in ("ANALYTE NAME", "MEDIAN", "NET MEDIAN", "COUNT")]
    letters = {WellRole.SPECIMEN: "U", **{role: letter for letter, role in _ROLES.items()}}
    rows = []
    for at, one in enumerate(record.plates[0].layout):
        fold = "" if one.dilution is None else repr(one.dilution).replace(".", decimal)
        row = ["INTELLIFLEX", min(names), one.well, f"{letters.get(one.role, 'U')}{at + 1}", one.name or "", fold]
        for plate, analyte in zip(record.plates, analytes, strict=True):
            texts = {reading.kind: split_beads(reading.text) for reading in plate.readings if reading.well == one.well}
            raw, net = texts.get(SignalKind.RAW, ("", "")), texts.get(SignalKind.REDUCED, ("", ""))
            row += [analyte, raw[0], net[0], raw[1] or "100"]
        rows.append(row)
    return compose_rows([header, *rows], delimiter).encode()
