"""What the tables say about each other: ids that lead nowhere, ids that nearly agree, files that nobody listed.

Nothing is corrected: a finding names the nearest id, and a person decides.
"""

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from exvivo.study.design import WellRole
from exvivo.study.findings import Finding, FindingCode
from exvivo.study.model import ElisaReadout, FlowReadout
from exvivo.study.protocol import Design, plain
from exvivo.study.statuses import Severity
from exvivo.study.tables import Table

Rows = Iterable[Mapping[str, object]]


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
    for row in specimens.frame.iter_rows(named=True):
        if row["matrix"] != "cells" and row["state"] == "ok" and row["specimen"] not in used:
            yield _orphan(row["specimen"], f"{row['matrix']} of donor {row['donor'] or row['serum_donor']} stands on no plate", elisas)


def link_tubes(tubes: Table, specimens: Table, fcs: Collection[str], design: Design) -> Iterator[Finding]:
    """Tubes without specimen, files that are absent or unlisted, and cells that were never acquired."""
    flow = [name for name, readout in design.readouts.items() if isinstance(readout, FlowReadout)]
    matrix = dict(specimens.frame.select("specimen", "matrix").iter_rows())
    by_name: dict[str, list[str]] = {}
    for path in fcs:
        by_name.setdefault(path.rsplit("/", 1)[-1], []).append(path)
    listed: set[str] = set()
    for row in tubes.frame.iter_rows(named=True):
        name, specimen = row["file"], row["specimen"]
        paths = [path for path in by_name.get(name.rsplit("/", 1)[-1], []) if path == name or path.endswith(f"/{name}")]
        listed.update(paths)
        if not paths:
            evidence = f"{row['origin']} lists a file that is not there"
            yield Finding(FindingCode.FILE_UNREADABLE, Severity.ERROR, name, evidence, "Add the file, or remove its row", tuple(flow))
        if specimen and specimen not in matrix:
            evidence = f"{row['origin']} names specimen '{specimen}', which specimens.csv lacks"
            yield Finding(FindingCode.TUBE_UNLINKED, Severity.ERROR, name, evidence, _suggest(specimen, list(matrix)), tuple(flow))
        elif specimen and matrix[specimen] != "cells":
            evidence = f"{row['origin']} names specimen '{specimen}', which is {matrix[specimen]}, not cells"
            yield Finding(FindingCode.TUBE_UNLINKED, Severity.ERROR, name, evidence, "Correct the specimen", tuple(flow))
    for path in sorted(set(fcs) - listed):
        yield Finding(
            FindingCode.FILE_UNLISTED, Severity.WARNING, path, "tubes.csv does not list it", "Add a row, or remove the file", tuple(flow)
        )
    acquired = set(tubes.frame["specimen"].to_list())
    for row in specimens.frame.iter_rows(named=True) if flow else ():
        if row["matrix"] == "cells" and row["state"] == "ok" and row["specimen"] not in acquired:
            yield _orphan(row["specimen"], f"cells of donor {row['donor']} were not acquired", flow)


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


def link_spellings(specimens: Table, clinical: Table) -> Iterator[Finding]:
    """Ids of one table that are equal but for case, hyphens and blanks."""
    for what, names in (("specimen", specimens.frame["specimen"].to_list()), ("donor", clinical.frame["donor"].to_list())):
        groups: dict[str, list[str]] = {}
        for name in names:
            groups.setdefault(plain(name), []).append(name)
        for same in groups.values():
            if len(same) > 1:
                evidence = f"{what}s {', '.join(repr(name) for name in same)} differ only in case, hyphens or blanks"
                yield Finding(FindingCode.ID_SIMILAR, Severity.WARNING, same[0], evidence, "Check whether they are one, and correct the id")


def skeleton(name: str) -> str:
    """An id without what slips of the pen change: case, hyphens, O for 0, l for 1, leading zeros.

    >>> skeleton("SSC-07") == skeleton("ssc_007"), skeleton("M01") == skeleton("MO1")
    (True, True)
    """
    alike = plain(name).replace("o", "0").replace("l", "1")
    return re.sub(r"(?<!\d)0+(?=\d)", "", alike)


def _suggest(name: str, known: Collection[str]) -> str:
    """What to do about an id that leads nowhere: the nearest one that does."""
    same = [other for other in known if skeleton(other) == skeleton(name)]
    spelled = {plain(other): other for other in known}
    near = same or [spelled[close] for close in difflib.get_close_matches(plain(name), list(spelled), 1)]
    return f"Did you mean '{near[0]}'? Correct the id, or add the row" if near else "Add the row, or correct the id"


def _orphan(name: str, evidence: str, readouts: Iterable[str]) -> Finding:
    return Finding(FindingCode.ID_ORPHAN, Severity.NOTE, name, evidence, "Nothing to do if this is known", tuple(readouts))
