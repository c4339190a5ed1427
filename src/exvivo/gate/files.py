"""FCS files and a gating tree outside any study -> populations, and on request the membership of every event."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from exvivo.errors import InputError, fault
from exvivo.formats import fcs
from exvivo.gate.populations import members_of, populations_of
from exvivo.study.design import EventsRecord, GatingTree
from exvivo.study.findings import Finding, FindingCode
from exvivo.study.statuses import Severity
from exvivo.study.tables import POPULATIONS, Table


@dataclass(frozen=True, slots=True)
class GatedFiles:
    """Populations of all files; one row per event and file in ``members`` when asked for, else no rows; what was odd."""

    populations: Table
    members: pl.DataFrame
    found: tuple[Finding, ...]


def gate_paths(files: Sequence[Path], tree: GatingTree, *, members: bool) -> GatedFiles:
    """Walk a gating tree through every file, first data set of each.

    Raises
    ------
    InputError : files that are missing or cannot be read, all together
    DesignError : the tree names a channel or matrix that a file lacks
    """
    records = describe_paths(files)
    frames = [populations_of(path, described[0], tree) for path, described in records]
    events = [members_of(path, described[0], tree) for path, described in records] if members else []
    found = tuple(_odd(path, described) for path, described in records if described[0].issues or len(described) > 1)
    return GatedFiles(POPULATIONS.build(pl.concat(frames, how="diagonal")), pl.concat(events) if events else pl.DataFrame(), found)


def describe_paths(files: Sequence[Path]) -> list[tuple[Path, tuple[EventsRecord, ...]]]:
    """Data sets of every file, described; no event is read.

    Raises
    ------
    InputError : files that are missing or cannot be read, all together
    """
    faults: list[str] = []
    records = []
    for path in files:
        if not path.is_file():
            faults.append(fault(str(path), "there is no such file", action="Check the path"))
            continue
        try:
            records.append((path, fcs.parse(path)))
        except InputError as error:
            faults += error.messages
    if faults:
        raise InputError(faults)
    return records


def _odd(path: Path, described: Sequence[EventsRecord]) -> Finding:
    told = list(described[0].issues)
    if len(described) > 1:
        told.append(f"the file holds {len(described)} data sets, of which the first is gated")
    suggestion = "Nothing was changed; look at the file if its numbers surprise you"
    return Finding(FindingCode.FILE_ODD, Severity.NOTE, path.name, "; ".join(told), suggestion)
