"""One FCS file through a gating tree in blocks of events: counts, medians and membership out, memory bounded.

The file is read a stretch at a time; within it, a block is small enough for the processor's cache,
and each gate touches only the events that its parents kept and the columns it needs. What is kept
of a block is one bit for each event and population. Medians are exact: their columns are read
again, as many at a time as fit into a fixed share of memory.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from exvivo.formats import fcs
from exvivo.gate.populations import Evaluation, Membership, open_evaluation, paths_of, population_rows
from exvivo.numerics import kernels
from exvivo.study.design import EventsRecord, Gate, GatingTree

_STRETCH = 1 << 17  # events read at a time, a multiple of 8: a whole number of bytes whatever the width of a channel
_BLOCK = 1 << 14
_MEDIAN_BYTES = 32_000_000

_Bits = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Walk:
    """A data set, the tree to walk through it, and what the two have in common for all blocks."""

    path: Path
    record: EventsRecord
    gates: tuple[Gate, ...]
    ground: Evaluation

    def blocks(self) -> Iterator[tuple[int, Evaluation]]:
        """First event and columns of each block, in order; no populations yet."""
        for begin in range(0, self.record.n_events, _STRETCH):
            events = fcs.read_events(self.path, fcs.part_of(self.record, begin, min(begin + _STRETCH, self.record.n_events)))
            for start in range(0, len(events), _BLOCK):
                yield begin + start, self.ground.over(events[start : start + _BLOCK])

    def gated(self) -> Iterator[Evaluation]:
        """Each block with its populations."""
        for _, block in self.blocks():
            for gate in self.gates:
                block.add(gate)
            yield block


@dataclass(frozen=True, slots=True)
class Members:
    """Membership of every event in every gate, one bit each, in the order of the tree."""

    n_events: int
    bits: Mapping[str, _Bits]
    counts: Mapping[str, int]

    def of(self, gate: str, begin: int, end: int) -> Membership:
        """Membership of the events from a first, a multiple of eight, to a last that is left out."""
        return np.unpackbits(self.bits[gate][begin // 8 : -(-end // 8)], count=end - begin).view(np.bool_)


def open_walk(path: Path, record: EventsRecord, tree: GatingTree, n_events: int | None = None) -> Walk:
    """A data set ready to be walked; ``n_events`` is how many this process may expect in all, which decides if compiling pays.

    Raises
    ------
    DesignError : a gate names a channel that the file does not have, all of them together
    """
    nothing = np.empty((0, len(record.channels)), dtype=np.float32)
    ground = open_evaluation(nothing, record.channels, record.spillover, tree, kernels.choose(n_events or record.n_events))
    return Walk(path, record, tree.gates, ground)


def count_file(path: Path, record: EventsRecord, tree: GatingTree) -> list[int]:
    """Events in every gate of the tree, in its order."""
    counts = np.zeros(len(tree.gates), dtype=np.int64)
    for block in open_walk(path, record, tree).gated():
        counts += [np.count_nonzero(member) for member in block.members.values()]
    return [int(count) for count in counts]


def find_members(walk: Walk) -> Members:
    """Membership of every event."""
    packed: dict[str, list[_Bits]] = {gate.name: [] for gate in walk.gates}
    counts = dict.fromkeys(packed, 0)
    for block in walk.gated():
        for name, member in block.members.items():
            packed[name].append(np.packbits(member))
            counts[name] += int(np.count_nonzero(member))
    bits = {name: np.concatenate(parts) if parts else np.empty(0, dtype=np.uint8) for name, parts in packed.items()}
    return Members(walk.record.n_events, bits, counts)


def tabulate_populations(name: str, walk: Walk, members: Members, compensation: str) -> pl.DataFrame:
    """Counts and medians of every population, as ``POPULATIONS`` wants them, for the file called ``name``."""
    channels = list(walk.ground.positions)
    medians = {gate.name: _medians(walk, members, gate.name, compensation) for gate in walk.gates}
    return population_rows(name, walk.gates, channels, members.counts, medians, members.n_events)


def tabulate_members(name: str, walk: Walk, members: Members) -> pl.DataFrame:
    """One row per event: ``file``, ``event`` from 0, one boolean for each path."""
    paths = paths_of(walk.gates)
    columns = {paths[gate]: members.of(gate, 0, members.n_events) for gate in members.bits}
    return pl.DataFrame({"file": [name] * members.n_events, "event": np.arange(members.n_events), **columns})


def _medians(walk: Walk, members: Members, gate: str, compensation: str) -> list[float | None]:
    """Median of every channel in one population; None where it is empty."""
    channels, count = list(walk.ground.positions), members.counts[gate]
    if not count:
        return [None] * len(channels)
    width = max(_MEDIAN_BYTES // (8 * count), 1)
    found: list[float | None] = []
    for first in range(0, len(channels), width):
        some = channels[first : first + width]
        values = _gather(walk, members, gate, compensation, some)
        found += [walk.ground.kernels.median(column) for column in values]
    return found


def _gather(walk: Walk, members: Members, gate: str, compensation: str, channels: Sequence[str]) -> NDArray[np.float64]:
    """Linear values of some channels in one population, shape (n_channels, count)."""
    values = np.empty((len(channels), members.counts[gate]))
    filled = 0
    for begin, block in walk.blocks():
        kept = block.events.take(np.flatnonzero(members.of(gate, begin, begin + block.n_events)), axis=0)
        inside = walk.ground.over(np.asarray(kept, order=walk.ground.kernels.order))
        for row, channel in zip(values, channels, strict=True):
            row[filled : filled + len(kept)] = inside.pick(channel, compensation, None)
        filled += len(kept)
    return values
