"""FCS files and their gates outside any study -> populations, and on request the membership of every event.

One file is one task, remembered by the digest of its bytes and of its gates, so that a batch that
was killed goes on where it was. Counts that the gate file stores stand beside those made here. The
program that stored them gates polygons and ellipses on binned values, so a few events more or less
are no fault; what goes beyond the chance of drawing that many events is told.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from exvivo.engine import Parcel, Work, digest_file
from exvivo.errors import DesignError, InputError, fault
from exvivo.formats import fcs
from exvivo.gate.blocks import find_members, open_walk, tabulate_members, tabulate_populations
from exvivo.gate.pictures import facts_of, picture_of, take_pictures
from exvivo.gate.populations import missing_channels, paths_of, positions_of
from exvivo.numerics.cells import unmixing
from exvivo.study.design import BooleanGate, EventsRecord, GatePicture, SampleGates
from exvivo.study.findings import Finding, FindingCode
from exvivo.study.geometry import describe_tree, tree_from
from exvivo.study.statuses import Severity
from exvivo.study.tables import POPULATIONS, Table

_FILE, _EVENT = "file", "event"  # columns beside those of the gates
_CHANCE = 3.0  # binomial standard deviations between two counts of one population


@dataclass(frozen=True, slots=True)
class Described:
    """A file whose headers could be read, with its data sets; ``name`` is what tables call it."""

    name: str
    path: Path
    records: tuple[EventsRecord, ...]
    sha256: str


@dataclass(frozen=True, slots=True)
class GatedFiles:
    """Populations of all files; per file, pictures of its gates, and per event its membership, where asked for; what was odd."""

    populations: Table
    members: pl.DataFrame
    pictures: tuple[tuple[GatePicture, ...], ...]
    found: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class FileTask:
    """Everything that gating one file needs, small enough to travel; ``tree`` as ``describe_tree`` writes it.

    ``batch_events`` is the number of events in all files of the batch.
    """

    path: str
    name: str
    sha256: str
    tree: str
    compensation: str
    members: bool
    pictures: bool
    batch_events: int

    def key(self) -> object:
        """What the result depends on."""
        return [self.name, self.sha256, self.tree, self.compensation, self.members, self.pictures]


def gate_tubes(
    described: Sequence[Described], gates: Sequence[SampleGates], work: Work, *, members: bool = False, pictures: bool = False
) -> GatedFiles:
    """Walk each file's gating tree through its first data set.

    Parameters
    ----------
    described : files and their data sets
    gates : the gates of each of them, in their order
    members : keep the membership of every event
    pictures : take pictures of the gates

    Raises
    ------
    DesignError : trees or their matrices name channels that a file lacks, all together
    """
    check_channels(described, gates)
    total = sum(file.records[0].n_events for file in described)
    trees: dict[int, str] = {id(own.tree): "" for own in gates}
    tasks = []
    for file, own in zip(described, gates, strict=True):
        trees[id(own.tree)] = trees[id(own.tree)] or describe_tree(own.tree)
        compensation = _compensation(file.records[0], own)
        tasks.append(FileTask(str(file.path), file.name, file.sha256, trees[id(own.tree)], compensation, members, pictures, total))
    parcels = work.map(gate_file, tasks, key=FileTask.key, label="gating", version=1)
    frames = [_with_stored(file.records[0], own, parcel) for file, own, parcel in zip(described, gates, parcels, strict=True)]
    told = [_told(file.records, own, frame) for file, own, frame in zip(described, gates, frames, strict=True)]
    odd = [_odd(file.name, words) for file, words in zip(described, told, strict=True) if words]
    found = (*_without_matrix(described, gates), *odd)
    events = pl.concat([parcel.frames["members"] for parcel in parcels], how="diagonal") if members else pl.DataFrame()
    taken = tuple(tuple(picture_of(facts) for facts in parcel.facts["pictures"]) for parcel in parcels)
    return GatedFiles(POPULATIONS.build(pl.concat(frames, how="diagonal")), events, taken, found)


def gate_file(task: FileTask) -> Parcel:
    """Frames ``populations`` and, if asked for, ``members`` of one file.

    Raises
    ------
    InputError : the file is no longer what it was when it was described
    """
    path = Path(task.path)
    walk = open_walk(path, fcs.parse(path)[0], tree_from(task.tree), task.batch_events)
    members = find_members(walk)
    frames = {"populations": tabulate_populations(task.name, walk, members, task.compensation)}
    frames |= {"members": tabulate_members(task.name, walk, members)} if task.members else {}
    return Parcel(frames, {"pictures": [facts_of(picture) for picture in take_pictures(walk)] if task.pictures else []})


def describe_tubes(tubes: Mapping[str, Path]) -> tuple[list[Described], tuple[Finding, ...]]:
    """Data sets of every file that can be read, by name, and a finding for each that cannot; no event is read.

    Raises
    ------
    InputError : files that do not exist, all together; or no file that can be read, with everything that is wrong
    """
    if absent := [fault(str(path), "there is no such file", action="Check the path") for path in tubes.values() if not path.is_file()]:
        raise InputError(absent)
    described: list[Described] = []
    faults: list[str] = []
    found: list[Finding] = []
    for name, path in tubes.items():
        try:
            described.append(Described(name, path, fcs.parse(path), digest_file(path)))
        except InputError as error:
            faults += error.messages
            words = "; ".join(error.messages)
            found.append(Finding(FindingCode.FILE_UNREADABLE, Severity.ERROR, name, words, "Export the file again from the cytometer"))
    if not described:
        raise InputError(faults or [fault("files", "no FCS file is given", "one or more FCS files, or a folder that holds some")])
    return described, tuple(found)


def check_channels(described: Sequence[Described], gates: Sequence[SampleGates]) -> None:
    """Refuse gates and matrices that a file has not the channels for.

    Raises
    ------
    DesignError : every gate or matrix and what it lacks
    """
    messages: dict[str, None] = dict.fromkeys(words for own in gates for words in _same_paths(own))
    for file, own in zip(described, gates, strict=True):
        record = file.records[0]
        names = positions_of(record.channels)
        matrix = own.tree.matrices.get(own.compensation)
        if matrix is not None and (absent := [name for name in matrix.detectors if name not in names]):
            found = f"the compensation of sample '{own.name}' needs the channels {', '.join(absent)}"
            messages[fault(file.name, found, f"channels of the file: {', '.join(names)}", "Use gates made for this panel")] = None
        if _asking(own) and (problem := _unusable(record)):
            messages[fault(file.name, problem, "a matrix that can be used", "Use gates with a matrix of their own, or none")] = None
        messages |= dict.fromkeys(f"{file.name}, {words}" for words in missing_channels(own.tree, record.spillover, names))
    if messages:
        raise DesignError(messages)


def _unusable(record: EventsRecord) -> str:
    """Why the file's own matrix cannot be used; empty if it can, or if there is none."""
    if record.spillover is None:
        return ""
    names = {channel.name for channel in record.channels}
    if absent := [name for name in record.spillover.detectors if name not in names]:
        return f"the file's spillover matrix needs the channels {', '.join(absent)}, which the file lacks"
    try:
        unmixing(record.spillover.matrix)
    except ValueError as problem:
        return str(problem)
    return ""


def _compensation(record: EventsRecord, gates: SampleGates) -> str:
    """What medians are compensated by: as the gates say, if the file's matrix can be used."""
    return "uncompensated" if gates.compensation == "FCS" and _unusable(record) else gates.compensation


def _asking(gates: SampleGates) -> dict[str, None]:
    """Channels that gates compensate by the file's own matrix."""
    axes = [axis for gate in gates.tree.gates if not isinstance(gate, BooleanGate) for axis in gate.dimensions]
    return dict.fromkeys(name for axis in axes if axis.compensation == "FCS" for name in axis.names)


def _same_paths(gates: SampleGates) -> Iterator[str]:
    """Gates that tables could not tell apart."""
    counted = Counter(paths_of(gates.tree.gates).values())
    for path, count in counted.items():
        if count > 1:
            yield fault("gates", f"{count} gates have the path '{path}'", "one gate for each path", "Rename one, best without a slash")
        elif path in (_FILE, _EVENT):
            yield fault("gates", f"a gate is called '{path}'", "a name that is no column of the membership table", "Rename the gate")


def _with_stored(record: EventsRecord, gates: SampleGates, parcel: Parcel) -> pl.DataFrame:
    """Populations of a file, beside the stored counts if those belong to a sample of as many events."""
    frame = parcel.frames["populations"]
    if not _comparable(record, gates):
        return frame
    stored = [gates.counts.get(name) for name in frame["path"].to_list()]
    return frame.with_columns(pl.Series("stored_count", stored, dtype=pl.Int64))


def _comparable(record: EventsRecord, gates: SampleGates) -> bool:
    return gates.n_events is None or gates.n_events == record.n_events


def _told(described: Sequence[EventsRecord], gates: SampleGates, frame: pl.DataFrame) -> list[str]:
    record = described[0]
    told = [*record.issues, *gates.refused]
    if _compensation(record, gates) != gates.compensation:
        told.append(f"{_unusable(record)}: medians are not compensated")
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


def _without_matrix(described: Sequence[Described], gates: Sequence[SampleGates]) -> Iterator[Finding]:
    """Files without the matrix that their gates ask for."""
    for file, own in zip(described, gates, strict=True):
        asking = _asking(own)
        if asking and file.records[0].spillover is None:
            told = f"the file has no spillover matrix, so that its gates look at uncompensated values of {', '.join(asking)}"
            suggestion = "Use gates that are not compensated, or give a matrix"
            yield Finding(FindingCode.COMPENSATION_MISSING, Severity.WARNING, file.name, told, suggestion)


def _odd(name: str, told: Sequence[str]) -> Finding:
    suggestion = "Nothing was changed; look at the file if its numbers surprise you"
    return Finding(FindingCode.FILE_ODD, Severity.NOTE, name, "; ".join(told), suggestion)
