"""FCS files and their gates outside any study -> populations, and on request the membership of every event.

Counts that the gate file stores stand beside those made here. The program that stored them
gates polygons and ellipses on binned values, so a few events more or less are no fault;
what goes beyond the chance of drawing that many events is told.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from exvivo.errors import DesignError, InputError, fault
from exvivo.formats import fcs
from exvivo.gate.populations import members_of, populations_of
from exvivo.study.design import EventsRecord, SampleGates
from exvivo.study.findings import Finding, FindingCode
from exvivo.study.statuses import Severity
from exvivo.study.tables import POPULATIONS, Table

_CHANCE = 3.0  # binomial standard deviations between two counts of one population


@dataclass(frozen=True, slots=True)
class GatedFiles:
    """Populations of all files; one row per event and file in ``members`` when asked for, else no rows; what was odd."""

    populations: Table
    members: pl.DataFrame
    found: tuple[Finding, ...]


def gate_paths(files: Sequence[Path], gates: Sequence[SampleGates], *, members: bool) -> GatedFiles:
    """Walk each file's gating tree through its first data set.

    Parameters
    ----------
    files : FCS files
    gates : the gates of each of them, in their order

    Raises
    ------
    InputError : files that are missing or cannot be read, all together
    DesignError : a tree or its matrix names a channel that the file lacks
    """
    records = describe_paths(files)
    _check_matrices(records, gates)
    frames = [_counted(path, described[0], own) for (path, described), own in zip(records, gates, strict=True)]
    events = [members_of(path, described[0], own.tree) for (path, described), own in zip(records, gates, strict=True)] if members else []
    told = [_told(described, own, frame) for (_, described), own, frame in zip(records, gates, frames, strict=True)]
    found = tuple(_odd(path, words) for (path, _), words in zip(records, told, strict=True) if words)
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


def _check_matrices(records: Sequence[tuple[Path, tuple[EventsRecord, ...]]], gates: Sequence[SampleGates]) -> None:
    messages = []
    for (path, described), own in zip(records, gates, strict=True):
        matrix = own.tree.matrices.get(own.compensation)
        names = [channel.name for channel in described[0].channels]
        if matrix is not None and (absent := [name for name in matrix.detectors if name not in names]):
            found = f"the compensation of sample '{own.name}' needs the channels {', '.join(absent)}"
            messages.append(fault(path.name, found, f"channels of the file: {', '.join(names)}", "Use gates made for this panel"))
    if messages:
        raise DesignError(messages)


def _counted(path: Path, record: EventsRecord, gates: SampleGates) -> pl.DataFrame:
    """Populations of a file, beside the stored counts if those belong to a sample of as many events."""
    frame = populations_of(path, record, gates.tree, gates.compensation)
    if not _comparable(record, gates):
        return frame
    stored = [gates.counts.get(name) for name in frame["path"].to_list()]
    return frame.with_columns(pl.Series("stored_count", stored, dtype=pl.Int64))


def _comparable(record: EventsRecord, gates: SampleGates) -> bool:
    return gates.n_events is None or gates.n_events == record.n_events


def _told(described: Sequence[EventsRecord], gates: SampleGates, frame: pl.DataFrame) -> list[str]:
    record = described[0]
    told = list(record.issues)
    if len(described) > 1:
        told.append(f"the file holds {len(described)} data sets, of which the first is gated")
    if not _comparable(record, gates):
        counted = f"sample '{gates.name}' had {gates.n_events} events when its gates were saved and the file has {record.n_events}"
        told.append(f"{counted}: its stored counts are left out")
    counts = {None: record.n_events} | dict(frame.select("path", "count").iter_rows())
    for path, parent, count, stored in frame.select("path", "parent", "count", "stored_count").iter_rows():
        if stored is not None and _differ(count, stored, counts[parent]):
            told.append(f"{path} has {count} events here and {stored} in the gate file")
    return told


def _differ(count: int, stored: int, above: int) -> bool:
    """Whether two counts of one population differ by more than chance would, and by more than one event."""
    share = min(stored / above, 1.0) if above else 1.0
    return abs(count - stored) > max(1.0, _CHANCE * math.sqrt(stored * (1.0 - share)))


def _odd(path: Path, told: Sequence[str]) -> Finding:
    suggestion = "Nothing was changed; look at the file if its numbers surprise you"
    return Finding(FindingCode.FILE_ODD, Severity.NOTE, path.name, "; ".join(told), suggestion)
