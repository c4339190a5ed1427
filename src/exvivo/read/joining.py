"""Readouts of several exports -> one readout for each analyte, and what the exports disagree about.

The first export that names an analyte gives its spelling, the first that states a unit gives the unit. A plate in
another unit is converted where that is possible and refused by its verdict where it is not; both are told.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from exvivo.study.design import WellRole
from exvivo.study.findings import Finding, FindingCode
from exvivo.study.model import ElisaReadout
from exvivo.study.protocol import plain
from exvivo.study.statuses import Severity
from exvivo.study.tables import LAYOUT, Table
from exvivo.study.units import AS_GIVEN

Part = tuple[str, Mapping[str, ElisaReadout], Table]


@dataclass(frozen=True, slots=True)
class _Named:
    """How one export names an analyte, and what it says of it."""

    export: str
    name: str
    readout: ElisaReadout


def join_readouts(parts: Sequence[Part]) -> tuple[dict[str, ElisaReadout], list[Table], tuple[Finding, ...]]:
    """One readout for each analyte, the layouts under its name, and where exports disagree.

    Parameters
    ----------
    parts : name, readouts and layout of each export

    Returns
    -------
    tuple : readouts in order of first appearance; layouts in order of the exports, analytes in the readouts' spelling; findings
    """
    groups: dict[str, list[_Named]] = {}
    for export, readouts, _ in parts:
        for name, readout in readouts.items():
            groups.setdefault(plain(name), []).append(_Named(export, name, readout))
    joined = {group[0].name: _join(group) for group in groups.values()}
    spelling = {key: group[0].name for key, group in groups.items()}
    layouts = [_rename(layout, list(readouts), spelling) for _, readouts, layout in parts]
    found = [finding for group in groups.values() for finding in _disagreements(group, joined[group[0].name])]
    return joined, layouts, tuple(found)


def _join(group: Sequence[_Named]) -> ElisaReadout:
    """The first readout, in the first unit that is stated."""
    stated = next((one.readout for one in group if one.readout.unit != AS_GIVEN), group[0].readout)
    counts = [one.readout.replicates for one in group]
    usual = min(set(counts), key=lambda count: (-counts.count(count), count))
    return stated.model_copy(update={"label": group[0].name, "replicates": usual})


def _rename(layout: Table, names: Sequence[str], spelling: Mapping[str, str]) -> Table:
    """The layout with analytes in the joined spelling; wells without analyte belong to their export's only one."""
    only = spelling[plain(names[0])] if len({plain(name) for name in names}) == 1 else None
    renamed = [
        only if text is None and role not in {None, WellRole.EMPTY.value} else (None if text is None else spelling[plain(text)])
        for text, role in layout.frame.select("analyte", "role").iter_rows()
    ]
    return LAYOUT.build(layout.frame.with_columns(pl.Series("analyte", renamed, dtype=pl.String())))


def _disagreements(group: Sequence[_Named], joined: ElisaReadout) -> Iterator[Finding]:
    first = group[0]
    for one in group[1:]:
        if one.name != first.name:
            evidence = f"'{one.name}' here, '{first.name}' in {first.export}: taken as one analyte"
            suggestion = "Write it alike, or give another analyte another name"
            yield Finding(FindingCode.ID_SIMILAR, Severity.WARNING, f"{one.export} {one.name}", evidence, suggestion)
    for one in group:
        yield from _units(one, f"{one.export} {one.name}", joined)


def _units(one: _Named, where: str, joined: ElisaReadout) -> Iterator[Finding]:
    unit = one.readout.unit
    if unit == joined.unit:
        return
    if AS_GIVEN in {unit, joined.unit}:
        evidence = f"one unit is '{unit}', another export has '{joined.unit}'"
        yield Finding(FindingCode.UNIT_MISMATCH, Severity.WARNING, where, evidence, "State one unit in all maps")
        return
    evidence = f"standards in {unit}, another export has {joined.unit}: converted"
    yield Finding(FindingCode.UNIT_MISMATCH, Severity.NOTE, where, evidence, "State one unit in all maps")
