"""Plate maps -> what each well holds, tied to the plates of the exports; embedded layouts where there is no map.

Map ``X.csv`` belongs to export ``X.*``. Its ``plate`` is the export's plate name where that name is
unique in the export, else the position; a map that mixes both, or names a plate that the export does
not have, is refused with both lists. Where map and embedded layout disagree the map wins, and says so.
The map of a bead reader's plate may name the whole plate: its wells without analyte then hold for every
analyte, and wells that it leaves out stay as the export says.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from exvivo.errors import InputError, fault, unknown
from exvivo.formats import maps
from exvivo.formats.maps import PlateMap
from exvivo.read.plates import ExportPlate, PlateTables
from exvivo.read.sources import Source, read_bytes
from exvivo.study.decisions import Decisions, TargetKind
from exvivo.study.design import WellLayout, WellRole, well_name, well_position
from exvivo.study.findings import Finding, FindingCode
from exvivo.study.model import ElisaReadout
from exvivo.study.protocol import Design, plain
from exvivo.study.spelling import look_alike, tell_apart
from exvivo.study.statuses import Severity
from exvivo.study.tables import LAYOUT, Table
from exvivo.study.units import AS_GIVEN, conversion_factor, parse_unit

_SHOWN = 5
_UNIT_STEP = math.log(9.9)
"""Nominal concentrations further apart than this are in another unit, not another choice of top standard."""


@dataclass(frozen=True, slots=True)
class _Placed:
    """Layout of one plate, and where it was read."""

    plate: ExportPlate
    wells: tuple[WellLayout, ...]
    source: str


def read_layout(
    folder: Path, sources: Sequence[Source], tables: PlateTables, design: Design, decisions: Decisions
) -> tuple[Table, tuple[Finding, ...]]:
    """LAYOUT of all plates, and what could not be tied together.

    Raises
    ------
    InputError : faults of all maps together: unreadable, plates the export does not have, wells outside, unknown analytes and units
    """
    faults: list[str] = []
    findings: list[Finding] = list(_notes(tables))
    placed: list[_Placed] = []
    embedded = _embedded(tables)
    for source in sources:
        plates = [plate for plate in tables.plates if plate.stem == source.stem]
        if not plates:
            evidence = f"no export is called '{source.stem}'"
            suggestion = "Put the export beside it, or give the map the export's name"
            findings.append(Finding(FindingCode.MAP_WITHOUT_EXPORT, Severity.ERROR, source.path, evidence, suggestion))
            continue
        try:
            record = maps.parse(read_bytes(folder, source), source.path)
            placed += _place(record.plates, plates, embedded, source.path)
            findings += _odd(source.path, record.notes)
        except InputError as error:
            faults += error.messages
    mapped = {one.plate.key for one in placed}
    findings += [found for one in placed for found in _disagreements(one, embedded.get(one.plate.key, ()))]
    findings += [_unmapped(plate) for plate in tables.plates if plate.key not in mapped and plate.key not in embedded]
    placed += [
        _Placed(plate, embedded[plate.key], plate.export) for plate in tables.plates if plate.key in embedded and plate.key not in mapped
    ]
    foreign = [one for one in placed if _is_foreign(one, design)]
    findings += _foreign_findings(foreign)
    left_out = {one.plate.key for one in foreign}
    resolved = [_resolve(one, design, faults) for one in placed if one.plate.key not in left_out]
    if faults:
        raise InputError(faults)
    findings += [*_unit_findings(resolved, design), *_protocol_findings(resolved, design)]
    names = decisions.corrections(TargetKind.SPECIMEN)
    order = {plate.key: at for at, plate in enumerate(tables.plates)}
    resolved.sort(key=lambda one: order[one.plate.key])
    rows = [_row(one, well, names) for one in resolved for well in sorted(one.wells, key=lambda well: well_position(well.well))]
    return LAYOUT.from_rows(rows), tuple(findings)


def check_maps(folder: Path, sources: Sequence[Source]) -> None:
    """Read all maps for their own faults, when the exports that they belong to cannot be read.

    Raises
    ------
    InputError : faults of all maps together
    """
    faults: list[str] = []
    for source in sources:
        try:
            maps.parse(read_bytes(folder, source), source.path)
        except InputError as error:
            faults += error.messages
    if faults:
        raise InputError(faults)


def _place(
    found: Sequence[PlateMap], plates: Sequence[ExportPlate], embedded: Mapping[str, Sequence[WellLayout]], where: str
) -> list[_Placed]:
    """Plates of a map tied to plates of its export: by unique name, by the name of a whole bead plate, or by position, never mixed."""
    counts = Counter(plate.name for plate in plates)
    by_name = {plate.name: plate for plate in plates if plate.name and counts[plate.name] == 1}
    by_position = {str(plate.position): plate for plate in plates}
    whole: dict[str, list[ExportPlate]] = {}
    for plate in plates:
        if plate.of_beads:
            whole.setdefault(plate.of_beads, []).append(plate)
    wanted = [one.plate for one in found]
    key = next((key for key in (by_name, by_position) if set(wanted) <= set(key)), None)
    if set(wanted) <= set(whole) and not set(wanted) <= set(by_name):
        placed = [_spread(one, plate, embedded.get(plate.key, ()), where) for one in found for plate in whole[one.plate]]
        return _inside(placed)
    if key is None:
        has = ", ".join(f"{plate.position} ('{plate.name}')" if plate.name else str(plate.position) for plate in plates)
        found_text = f"the map is for plates {', '.join(wanted)}, the export {plates[0].export} holds {has}{_unseen(wanted, by_name)}"
        expected = "plate names that are unique in the export, or positions from 1, not a mixture"
        raise InputError(fault(where, found_text, expected, "Correct the plate column, or put the map beside its own export"))
    return _inside([_Placed(key[one.plate], one.wells, where) for one in found])


def _unseen(wanted: Sequence[str], names: Iterable[str]) -> str:
    """Names of the map that only look like names of the export, written out."""
    pairs = [(mine, theirs) for mine in wanted for theirs in names if mine != theirs and look_alike(mine) == look_alike(theirs)]
    return "".join(f"; {tell_apart(mine)} looks like {tell_apart(theirs)} but is not the same" for mine, theirs in pairs[:_SHOWN])


def _spread(one: PlateMap, plate: ExportPlate, embedded: Sequence[WellLayout], where: str) -> _Placed:
    """Layout of one analyte of a bead plate: the map's wells for it, else the export's."""
    own = [well for well in one.wells if well.analyte is None or plain(well.analyte) == plain(plate.analyte or "")]
    kept = {well.well: well for well in embedded} | {well.well: replace(well, analyte=plate.analyte) for well in own}
    return _Placed(plate, tuple(kept.values()), where)


def _inside(placed: list[_Placed]) -> list[_Placed]:
    """Plates of a map whose wells all exist.

    Raises
    ------
    InputError : wells outside the export's plates
    """
    faults = [message for one in placed for message in _outside(one)]
    if faults:
        raise InputError(faults)
    return placed


def _outside(placed: _Placed) -> Iterator[str]:
    """Wells that the export's plate does not have."""
    rows, columns = placed.plate.n_rows, placed.plate.n_columns
    for well in placed.wells:
        row, column = well_position(well.well)
        if row >= rows or column >= columns:
            found = f"well '{well.well}' is outside a {rows * columns}-well plate"
            yield fault(f"{placed.source}, {well.origin}", found, f"A1 to {well_name(rows - 1, columns - 1)}", "Correct the well")


def _embedded(tables: PlateTables) -> Mapping[str, tuple[WellLayout, ...]]:
    """Layouts that the exports themselves hold, by plate key."""
    found: dict[str, list[WellLayout]] = {}
    for row in tables.embedded.frame.iter_rows(named=True):
        role = WellRole(row["role"])
        layout = WellLayout(
            row["well"], role, row["specimen"], row["concentration"], row["dilution"], row["unit"], row["origin"], row["analyte"]
        )
        found.setdefault(row["plate"], []).append(layout)
    return {key: tuple(wells) for key, wells in found.items()}


def _disagreements(placed: _Placed, embedded: Sequence[WellLayout]) -> Iterator[Finding]:
    """Wells that map and export describe differently; names differ by nature and are not compared."""
    known = {well.well: well for well in embedded}
    pairs = [(well, known[well.well]) for well in placed.wells if well.well in known]
    told = [f"{mine.well}: {text}" for mine, theirs in pairs if (text := _difference(mine, theirs))]
    if told:
        more = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
        evidence = f"{'; '.join(told[:_SHOWN])}{more}; the map ({placed.source}) wins"
        suggestion = "Check which of the two is right"
        yield Finding(FindingCode.LAYOUT_DISAGREES, Severity.WARNING, placed.plate.key, evidence, suggestion)


def _difference(mine: WellLayout, theirs: WellLayout) -> str:
    """In what a map's well differs from the export's; empty if in nothing. A zero standard and a blank mean the same."""
    if _is_zero(mine) and _is_zero(theirs):
        return ""
    if mine.role is not theirs.role:
        return f"map says {mine.role.value}, export {theirs.role.value}"
    if mine.concentration is not None and theirs.concentration is not None:
        factor = _factor(theirs.unit, mine.unit)
        if factor is not None and abs(mine.concentration - theirs.concentration * factor) > 1e-6 * abs(mine.concentration):
            return f"map says {_amount(mine)}, export {_amount(theirs)}"
    if mine.dilution is not None and theirs.dilution is not None and abs(mine.dilution - theirs.dilution) > 1e-6 * mine.dilution:
        return f"map says 1:{mine.dilution:g}, export 1:{theirs.dilution:g}"
    return ""


def _amount(well: WellLayout) -> str:
    return f"{well.concentration:g} {well.unit or ''}".rstrip()


def _is_zero(well: WellLayout) -> bool:
    return well.role is WellRole.BLANK or (well.role is WellRole.STANDARD and well.concentration == 0)


def _factor(unit: str | None, target: str | None) -> float | None:
    """Conversion factor, None when the units cannot be compared."""
    try:
        return conversion_factor(unit or "", target or "")
    except ValueError:
        return None


def _notes(tables: PlateTables) -> Iterator[Finding]:
    """What was odd but readable in each export."""
    for export, notes in tables.notes:
        yield from _odd(export, notes)


def _odd(path: str, notes: Sequence[str]) -> Iterator[Finding]:
    """One note for what was odd in a file."""
    if notes:
        more = f" and {len(notes) - _SHOWN} more" if len(notes) > _SHOWN else ""
        suggestion = "Nothing to do if this is known"
        yield Finding(FindingCode.FILE_ODD, Severity.NOTE, path, f"{'; '.join(notes[:_SHOWN])}{more}", suggestion)


def _is_foreign(placed: _Placed, design: Design) -> bool:
    """Whether a plate of a bead reader measures an analyte that is none of the protocol's immunoassays, and no map says otherwise."""
    analyte = placed.plate.analyte
    if analyte is None or {well.analyte for well in placed.wells if well.analyte} != {analyte}:
        return False
    return not isinstance(design.readouts.get(design.readout_named(analyte) or ""), ElisaReadout)


def _foreign_findings(foreign: Sequence[_Placed]) -> Iterator[Finding]:
    """Analytes of each export that are not calibrated."""
    for export in dict.fromkeys(one.plate.export for one in foreign):
        analytes = ", ".join(dict.fromkeys(one.plate.analyte or "" for one in foreign if one.plate.export == export))
        evidence = f"analytes that are no immunoassay of the protocol are left out: {analytes}"
        yield Finding(FindingCode.FILE_ODD, Severity.NOTE, export, evidence, "Name them as readouts or aliases if they are wanted")


def _unmapped(plate: ExportPlate) -> Finding:
    evidence = f"plate {plate.position} of {plate.export} has no map and no embedded layout"
    return Finding(FindingCode.EXPORT_WITHOUT_MAP, Severity.ERROR, plate.key, evidence, f"Add the map {plate.stem}.csv")


def _resolve(placed: _Placed, design: Design, faults: list[str]) -> _Placed:
    """Analytes as readouts of the protocol, units in canonical spelling; what is unknown is added to the faults."""
    elisas = {name: readout for name, readout in design.readouts.items() if isinstance(readout, ElisaReadout)}
    wells = []
    for well in placed.wells:
        of_export = placed.source == placed.plate.export or well.origin.startswith(f"{placed.plate.export}, ")
        where = well.origin if of_export else f"{placed.source}, {well.origin}"
        analyte, unit = None, None
        if well.analyte is not None:
            analyte = design.readout_named(well.analyte)
            if analyte not in elisas:
                faults.append(fault(where, unknown("analyte", well.analyte, elisas)))
        if well.concentration is not None:
            try:
                unit = parse_unit(well.unit or "")
            except ValueError as error:
                faults.append(fault(where, str(error)))
        wells.append(replace(well, analyte=analyte, unit=unit, origin=where))
    return replace(placed, wells=tuple(wells))


def _unit_findings(placed: Sequence[_Placed], design: Design) -> Iterator[Finding]:
    """Nominal concentrations in a unit that cannot be turned into the readout's; a plate without any unit stays as given."""
    elisas = {name: readout.unit for name, readout in design.readouts.items() if isinstance(readout, ElisaReadout)}
    only = next(iter(elisas)) if len(elisas) == 1 else ""
    for one in placed:
        used: dict[str, set[str]] = {}
        for well in one.wells:
            if well.unit is not None:
                used.setdefault(well.analyte or only, set()).add(well.unit)
        wrong = {
            analyte: sorted(unit for unit in units if _factor(unit, elisas[analyte]) is None)
            for analyte, units in sorted(used.items())
            if analyte in elisas and units != {AS_GIVEN}
        }
        told = [f"{analyte} in {', '.join(units)}, the protocol has {elisas[analyte]}" for analyte, units in wrong.items() if units]
        if told:
            readouts = tuple(analyte for analyte, units in wrong.items() if units)
            suggestion = "State one unit in the map's unit column"
            yield Finding(FindingCode.UNIT_MISMATCH, Severity.ERROR, one.plate.key, "; ".join(told), suggestion, readouts)


def _protocol_findings(placed: Sequence[_Placed], design: Design) -> Iterator[Finding]:
    """What the protocol says otherwise: the top standard by ten-fold or more (a unit), or no unit at all."""
    elisas = {name: readout for name, readout in design.readouts.items() if isinstance(readout, ElisaReadout)}
    only = next(iter(elisas)) if len(elisas) == 1 else ""
    for one in placed:
        for analyte in dict.fromkeys(well.analyte or only for well in one.wells):
            readout = elisas.get(analyte)
            if readout is not None:
                own = [well for well in one.wells if (well.analyte or only) == analyte]
                yield from _against_protocol(one.plate.key, analyte, readout, own)


def _against_protocol(plate: str, analyte: str, readout: ElisaReadout, wells: Sequence[WellLayout]) -> Iterator[Finding]:
    nominal = [well for well in wells if well.role is WellRole.STANDARD and well.concentration]
    units = sorted({well.unit for well in nominal if well.unit})
    tops = [(well.concentration or 0.0) * factor for well in nominal if (factor := _factor(well.unit, readout.unit)) is not None]
    if tops and abs(math.log(max(tops) / readout.standards.top)) > _UNIT_STEP:
        evidence = f"the top standard of {analyte} is {max(tops):g} {readout.unit}, the protocol has {readout.standards.top:g}"
        suggestion = "Correct the map's unit or concentrations, or the protocol's standards"
        yield Finding(FindingCode.UNIT_MISMATCH, Severity.ERROR, plate, evidence, suggestion, (analyte,))
    if units == [AS_GIVEN] and readout.unit != AS_GIVEN:
        evidence = f"the map states no unit for {analyte}: its concentrations stay as given, the protocol has {readout.unit}"
        yield Finding(FindingCode.UNIT_MISMATCH, Severity.WARNING, plate, evidence, "Add a unit column to the map", (analyte,))


def _row(placed: _Placed, well: WellLayout, names: Mapping[str, str]) -> dict[str, object]:
    """One row of LAYOUT."""
    name = names.get(well.name or "", well.name) if well.role is WellRole.SPECIMEN else well.name
    return {
        "plate": placed.plate.key,
        "well": well.well,
        "role": well.role.value,
        "specimen": name,
        "analyte": well.analyte,
        "concentration": well.concentration,
        "dilution": well.dilution,
        "unit": well.unit,
        "lot": well.lot,
        "origin": well.origin,
    }
