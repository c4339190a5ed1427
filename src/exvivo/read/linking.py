"""What the tables say about each other: ids that lead nowhere, ids that nearly agree, files that nobody listed.

Nothing is corrected: a finding names the nearest id, and a person decides.
"""

import difflib
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exvivo.study.design import WellRole
from exvivo.study.findings import Finding, FindingCode
from exvivo.study.model import ElisaReadout, FlowReadout
from exvivo.study.protocol import Design, plain
from exvivo.study.spelling import look_alike, tell_apart
from exvivo.study.statuses import Severity, TubeKind
from exvivo.study.tables import Table

Rows = Iterable[Mapping[str, object]]

_OF_A_SPECIMEN = frozenset({TubeKind.FULL, TubeKind.FMO, TubeKind.ISOTYPE})
"""Tubes that mean nothing without their specimen; single stains and unstained cells may belong to a batch."""


@dataclass(frozen=True, slots=True)
class Linked:
    """The tables that speak about each other."""

    specimens: Table
    layout: Table
    readings: Table
    tubes: Table
    clinical: Table
    quantified: Table


def link_study(tables: Linked, fcs: Collection[str], design: Design) -> Iterator[Finding]:
    """Everything that the tables of a study say about each other."""
    yield from link_names(tables.layout, tables.readings, design)
    yield from link_dilutions(tables.layout, tables.specimens, design)
    yield from link_replicates(tables.specimens, design)
    yield from link_plates(tables.layout, tables.specimens, design)
    yield from link_tubes(tables.tubes, tables.specimens, fcs, design)
    yield from link_readouts(tables.layout, tables.tubes, design)
    yield from link_donors(tables.specimens, tables.quantified, tables.clinical, design)
    yield from link_spellings(tables.specimens, tables.clinical)


def link_plates(layout: Table, specimens: Table, design: Design) -> Iterator[Finding]:
    """Specimens on plates that specimens.csv lacks, and specimens of medium that stand on no plate."""
    known = specimens.frame["specimen"].to_list()
    elisas = [name for name, readout in design.readouts.items() if isinstance(readout, ElisaReadout)]
    if not known or not elisas:
        return
    used: dict[str, list[Mapping[str, object]]] = {}
    for row in layout.frame.iter_rows(named=True):
        if row["role"] == WellRole.SPECIMEN.value and row["specimen"]:
            used.setdefault(row["specimen"], []).append(row)
    for name in sorted(used.keys() - set(known)):
        wells = ", ".join(f"{row['plate']}/{row['well']}" for row in used[name])
        analytes = tuple(sorted({str(row["analyte"]) for row in used[name] if row["analyte"]})) or tuple(elisas)
        evidence = f"wells {wells} hold a specimen that specimens.csv lacks"
        yield Finding(FindingCode.ID_UNKNOWN, Severity.ERROR, name, evidence, _suggest(name, known), analytes)
    cells = set(specimens.frame.filter(specimens.frame["matrix"] == "cells")["specimen"].to_list())
    for name in sorted(used.keys() & cells):
        wells = ", ".join(f"{row['plate']}/{row['well']}" for row in used[name])
        analytes = tuple(sorted({str(row["analyte"]) for row in used[name] if row["analyte"]})) or tuple(elisas)
        evidence = f"wells {wells} hold a specimen that is cells in specimens.csv, not medium"
        yield Finding(FindingCode.ID_UNKNOWN, Severity.ERROR, name, evidence, "Correct the map, or the specimen's matrix", analytes)
    for row in specimens.frame.iter_rows(named=True):
        if row["matrix"] != "cells" and row["state"] == "ok" and row["specimen"] not in used:
            yield _orphan(row["specimen"], f"{row['matrix']} of donor {row['donor'] or row['serum_donor']} stands on no plate", elisas)


def link_readouts(layout: Table, tubes: Table, design: Design) -> Iterator[Finding]:
    """Readouts of the protocol that no plate and no tube measures."""
    elisas = [name for name, readout in design.readouts.items() if isinstance(readout, ElisaReadout)]
    held = set(layout.frame.filter(layout.frame["role"] == WellRole.SPECIMEN.value)["analyte"].to_list())
    unnamed = None in held and len(elisas) == 1
    absent = [name for name in elisas if name not in held and not unnamed]
    if absent:
        evidence = f"no plate holds a specimen's well of {', '.join(absent)}"
        suggestion = "Add the plates and their maps; until then these readouts are missing"
        yield Finding(FindingCode.READOUT_WITHOUT_DATA, Severity.WARNING, "plates", evidence, suggestion, tuple(absent))
    flow = [name for name, readout in design.readouts.items() if isinstance(readout, FlowReadout)]
    if flow and TubeKind.FULL.value not in tubes.frame["tube"].to_list():
        evidence = f"no tube was stained for {', '.join(flow)}"
        suggestion = "Add the FCS files and their sheet; until then these readouts are missing"
        yield Finding(FindingCode.READOUT_WITHOUT_DATA, Severity.WARNING, "cytometry", evidence, suggestion, tuple(flow))


def link_tubes(tubes: Table, specimens: Table, fcs: Collection[str], design: Design) -> Iterator[Finding]:
    """Tubes without specimen, files that are absent or unlisted, and cells that were never acquired."""
    flow = [name for name, readout in design.readouts.items() if isinstance(readout, FlowReadout)]
    matrix = dict(specimens.frame.select("specimen", "matrix").iter_rows())
    by_name: dict[str, list[str]] = {}
    for path in fcs:
        by_name.setdefault(path.rsplit("/", 1)[-1], []).append(path)
    listed: set[str] = set()
    for row in tubes.frame.iter_rows(named=True):
        name = row["file"]
        paths = [path for path in by_name.get(name.rsplit("/", 1)[-1], []) if path == name or path.endswith(f"/{name}")]
        listed.update(paths)
        if not paths:
            evidence = f"{row['origin']} lists a file that is not there"
            yield Finding(FindingCode.FILE_UNREADABLE, Severity.ERROR, name, evidence, "Add the file, or remove its row", tuple(flow))
        yield from _unlinked_tube(row, matrix, flow)
    for path in sorted(set(fcs) - listed):
        yield Finding(
            FindingCode.FILE_UNLISTED, Severity.WARNING, path, "tubes.csv does not list it", "Add a row, or remove the file", tuple(flow)
        )
    yield from _repeated_tubes(tubes, flow)
    acquired = set(tubes.frame["specimen"].to_list())
    for row in specimens.frame.iter_rows(named=True) if flow else ():
        if row["matrix"] == "cells" and row["state"] == "ok" and row["specimen"] not in acquired:
            yield _orphan(row["specimen"], f"cells of donor {row['donor']} were not acquired", flow)


def link_dilutions(layout: Table, specimens: Table, design: Design) -> Iterator[Finding]:
    """Media of cultures at dilutions that the protocol does not plan; a cell-free blank may be measured at any."""
    media = set(specimens.frame.filter(specimens.frame["matrix"] == "medium")["specimen"].to_list())
    for name, readout in design.readouts.items():
        if not isinstance(readout, ElisaReadout) or "dilutions" not in readout.model_fields_set:
            continue
        other: dict[str, Counter[float]] = {}
        for row in layout.frame.filter(layout.frame["analyte"] == name).iter_rows(named=True):
            if row["specimen"] in media and row["dilution"] not in (None, *readout.dilutions):
                other.setdefault(row["plate"], Counter())[row["dilution"]] += 1
        for plate, counts in other.items():
            told = ", ".join(f"{count} wells at 1:{dilution:g}" for dilution, count in sorted(counts.items()))
            evidence = f"{name}: {told}, the protocol plans {', '.join(f'1:{dilution:g}' for dilution in readout.dilutions)}"
            suggestion = "Correct the map's dilution, or add the dilution to the protocol"
            yield Finding(FindingCode.DILUTION_WRONG, Severity.WARNING, plate, evidence, suggestion, (name,))


def link_names(layout: Table, readings: Table, design: Design) -> Iterator[Finding]:
    """Plates whose file or plate name names a readout that their map does not: most often the map of another plate."""
    named = dict(readings.frame.select("plate", "plate_name").unique().iter_rows())
    for (plate,), part in layout.frame.group_by(["plate"], maintain_order=True):
        analytes = set(part["analyte"].drop_nulls().to_list())
        words = re.split(r"[\s_:.]+", f"{plate} {named.get(plate) or ''}")
        told = {readout for word in words if word and (readout := design.readout_named(word))}
        if analytes and told and not told & analytes:
            evidence = f"the plate is called {', '.join(sorted(told))}, its map says {', '.join(sorted(analytes))}"
            suggestion = "Put the right map beside the export, or correct its analyte"
            touched = tuple(sorted(told | analytes))
            yield Finding(FindingCode.LAYOUT_DISAGREES, Severity.ERROR, f"{plate} analyte", evidence, suggestion, touched)


def link_replicates(specimens: Table, design: Design) -> Iterator[Finding]:
    """More tubes of one donor and condition than the experiment has replicate cultures: one of them is mislabelled."""
    keys = ["experiment", "donor", "serum_donor", *design.factors, "matrix"]
    kept = specimens.frame.filter((specimens.frame["state"] == "ok") & specimens.frame["donor"].is_not_null())
    for key, part in kept.group_by(keys, maintain_order=True):
        experiment, donor, *rest = (str(cell) for cell in key if cell is not None)
        planned = design.experiments[experiment].culture_replicates
        if part.height > planned:
            evidence = f"{part.height} tubes of {', '.join(rest)} ({', '.join(part['specimen'])}), the protocol plans {planned}"
            suggestion = "Check the labels; as they stand, their values are averaged"
            yield Finding(FindingCode.SPECIMEN_REPEATED, Severity.WARNING, donor, evidence, suggestion, donors=(donor,))


def _unlinked_tube(row: Mapping[str, Any], matrix: Mapping[str, str], flow: Sequence[str]) -> Iterator[Finding]:
    """A tube whose specimen is absent, unknown or no cells."""
    told, suggestion = "", "Correct the specimen"
    if not row["specimen"]:
        if row["tube"] in _OF_A_SPECIMEN:
            told, suggestion = f"no specimen for a {row['tube']} tube", "Write the specimen, or remove the row"
    elif row["specimen"] not in matrix:
        told = f"specimen '{row['specimen']}', which specimens.csv lacks"
        suggestion = _suggest(row["specimen"], list(matrix))
    elif matrix[row["specimen"]] != "cells":
        told = f"specimen '{row['specimen']}', which is {matrix[row['specimen']]}, not cells"
    if told:
        evidence = f"{row['origin']} names {told}"
        yield Finding(FindingCode.TUBE_UNLINKED, Severity.ERROR, row["file"], evidence, suggestion, tuple(flow))


def _repeated_tubes(tubes: Table, flow: Sequence[str]) -> Iterator[Finding]:
    """Two tubes of one kind and one specimen: neither can be chosen."""
    kinds: dict[tuple[str, ...], list[str]] = {}
    for row in tubes.frame.iter_rows(named=True):
        if row["specimen"]:
            kinds.setdefault((row["specimen"], row["tube"], row["marker"] or ""), []).append(row["file"])
    for (specimen, tube, marker), files in kinds.items():
        if len(files) > 1:
            evidence = f"{len(files)} {tube} tubes{f' of {marker}' if marker else ''}: {', '.join(files)}"
            suggestion = "Correct the kind of tube, or exclude the file that does not count"
            yield Finding(FindingCode.TUBE_REPEATED, Severity.WARNING, specimen, evidence, suggestion, tuple(flow))


def link_donors(specimens: Table, quantified: Table, clinical: Table, design: Design) -> Iterator[Finding]:
    """Donors that the clinic lacks, and people of the clinic without specimens."""
    if design.clinical is None:
        return
    known = clinical.frame["donor"].to_list()
    used: dict[str, str] = {}
    for table in (specimens, quantified):
        for row in table.frame.iter_rows(named=True):
            for column in ("donor", "serum_donor"):
                if row[column]:
                    used.setdefault(row[column], row["origin"])
    for name in sorted(used.keys() - set(known)):
        evidence = f"{used[name]} names a donor that the clinical table lacks"
        yield Finding(FindingCode.DONOR_UNKNOWN, Severity.ERROR, name, evidence, _suggest(name, known), donors=(name,))
    for name in known:
        if name not in used:
            yield _orphan(name, "a donor of the clinical table without specimens", ())


def similar_specimens(layout: Table) -> Iterator[Finding]:
    """Specimens on plates that the eye takes for one: without a list of specimens nobody else can tell."""
    wells: dict[str, list[str]] = {}
    for row in layout.frame.iter_rows(named=True):
        if row["role"] == WellRole.SPECIMEN.value and row["specimen"]:
            wells.setdefault(row["specimen"], []).append(f"{row['plate']}/{row['well']}")
    for same in _groups(wells, look_alike):
        told = ", ".join(f"{tell_apart(name)} ({wells[name][0]})" for name in same)
        evidence = f"specimens {told} differ only in case, blanks or letters that look alike, and were kept apart"
        yield Finding(FindingCode.ID_SIMILAR, Severity.WARNING, same[0], evidence, "Check whether they are one, and correct the map")


def _groups(names: Iterable[str], key: Callable[[str], str]) -> Iterator[list[str]]:
    """Different names with one key."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(key(name), []).append(name)
    return (same for same in groups.values() if len(same) > 1)


def link_spellings(specimens: Table, clinical: Table) -> Iterator[Finding]:
    """Ids of one table that are equal but for case, hyphens, blanks and letters that look alike."""
    for what, names in (("specimen", specimens.frame["specimen"].to_list()), ("donor", clinical.frame["donor"].to_list())):
        for same in _groups(names, lambda name: plain(look_alike(name))):
            alike = "case, hyphens or blanks" if len({plain(name) for name in same}) == 1 else "letters that look alike"
            evidence = f"{what}s {', '.join(tell_apart(name) for name in same)} differ only in {alike}"
            yield Finding(FindingCode.ID_SIMILAR, Severity.WARNING, same[0], evidence, "Check whether they are one, and correct the id")


def skeleton(name: str) -> str:
    """An id without what slips of the pen change: case, hyphens, letters that look alike, leading zeros.

    >>> skeleton("SSC-07") == skeleton("ssc_007"), skeleton("M01") == skeleton("MO1")
    (True, True)
    """
    alike = plain(look_alike(name))
    return re.sub(r"(?<!\d)0+(?=\d)", "", alike)


def _suggest(name: str, known: Collection[str]) -> str:
    """What to do about an id that leads nowhere: the nearest one that does."""
    same = [other for other in known if skeleton(other) == skeleton(name)]
    spelled = {plain(other): other for other in known}
    near = same or [spelled[close] for close in difflib.get_close_matches(plain(name), list(spelled), 1)]
    return f"Did you mean '{near[0]}'? Correct the id, or add the row" if near else "Add the row, or correct the id"


def _orphan(name: str, evidence: str, readouts: Iterable[str]) -> Finding:
    return Finding(FindingCode.ID_ORPHAN, Severity.NOTE, name, evidence, "Nothing to do if this is known", tuple(readouts))
