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


@dataclass(frozen=True, slots=True)
class Part:
    """What one export says: its name, readouts and layout, and how many wavelengths its raw readings have."""

    export: str
    readouts: Mapping[str, ElisaReadout]
    layout: Table
    wavelengths: int


@dataclass(frozen=True, slots=True)
class _Named:
    """How one export names an analyte, and what it says of it."""

    export: str
    name: str
    readout: ElisaReadout
    wavelengths: int

    def fits(self, other: ElisaReadout) -> bool:
        """Whether its plates are read in the same way under another readout's wavelengths."""
        own = self.readout
        references = {None, other.reference_wavelength_nm}
        return self.wavelengths <= 1 or (own.wavelength_nm == other.wavelength_nm and own.reference_wavelength_nm in references)


def join_readouts(parts: Sequence[Part]) -> tuple[dict[str, ElisaReadout], list[Table], tuple[Finding, ...]]:
    """One readout for each analyte, the layouts under its name, and where exports disagree.

    An export whose wavelengths differ keeps a readout of its own: under the others' it would be reduced otherwise than alone.

    Returns
    -------
    tuple : readouts in order of first appearance; layouts in order of the exports, analytes in the readouts' spelling; findings
    """
    groups: dict[str, list[_Named]] = {}
    for part in parts:
        for name, readout in part.readouts.items():
            groups.setdefault(plain(name), []).append(_Named(part.export, name, readout, part.wavelengths))
    joined: dict[str, ElisaReadout] = {}
    spelling: dict[tuple[str, str], str] = {}
    found: list[Finding] = []
    for key, group in groups.items():
        for name, own in _split(group):
            joined[name] = _join(name, own)
            spelling |= {(one.export, key): name for one in own}
            found += _disagreements(own, joined[name])
            found += [_apart(one, group[0], name) for one in own if name != group[0].name]
    layouts = [_rename(part, spelling) for part in parts]
    return joined, layouts, tuple(found)


def _split(group: Sequence[_Named]) -> Iterator[tuple[str, list[_Named]]]:
    """Exports of one analyte whose wavelengths go together, with the name of their readout."""
    rest, name = list(group), group[0].name
    while rest:
        several = [one for one in rest if one.wavelengths > 1]
        main = next((one for one in several if one.readout.reference_wavelength_nm is not None), (several or rest)[0])
        yield name, [one for one in rest if one.fits(main.readout)]
        rest = [one for one in rest if not one.fits(main.readout)]
        name = f"{group[0].name} at {_wavelengths(rest[0])} nm" if rest else name


def _wavelengths(one: _Named) -> str:
    reference = one.readout.reference_wavelength_nm
    return f"{one.readout.wavelength_nm}" + (f" minus {reference}" if reference is not None else "")


def _apart(one: _Named, first: _Named, name: str) -> Finding:
    evidence = f"read at {_wavelengths(one)} nm, {first.export} at {_wavelengths(first)} nm: calibrated on its own, as '{name}'"
    return Finding(FindingCode.FILE_ODD, Severity.WARNING, f"{one.export} {one.name}", evidence, "Read all plates of an analyte alike")


def _join(name: str, group: Sequence[_Named]) -> ElisaReadout:
    """The first readout, in the first unit that is stated, read as the exports with most wavelengths are."""
    stated = next((one.readout for one in group if one.readout.unit != AS_GIVEN), group[0].readout)
    counts = [one.readout.replicates for one in group]
    usual = min(set(counts), key=lambda count: (-counts.count(count), count))
    several = [one.readout for one in group if one.wavelengths > 1] or [stated]
    read = next((one for one in several if one.reference_wavelength_nm is not None), several[0])
    changed = {"wavelength_nm": read.wavelength_nm, "reference_wavelength_nm": read.reference_wavelength_nm}
    return stated.model_copy(update={"label": name, "replicates": usual, **changed})


def _rename(part: Part, spelling: Mapping[tuple[str, str], str]) -> Table:
    """The layout with analytes in the joined spelling; wells without analyte belong to their export's only one."""
    names = {plain(name) for name in part.readouts}
    only = spelling[part.export, next(iter(names))] if len(names) == 1 else None
    renamed = [
        only
        if text is None and role not in {None, WellRole.EMPTY.value}
        else (None if text is None else spelling[part.export, plain(text)])
        for text, role in part.layout.frame.select("analyte", "role").iter_rows()
    ]
    return LAYOUT.build(part.layout.frame.with_columns(pl.Series("analyte", renamed, dtype=pl.String())))


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
