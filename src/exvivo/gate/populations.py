"""Walk a gating tree: events in, one boolean per event and population out.

A gate looks only at the events that its parents kept, and only at the columns it needs:
compensated columns are made one at a time, rectangles on monotone scales compare linear
values with thresholds that are turned round once. Scales are computed for polygons and
ellipsoids alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from exvivo.errors import DesignError, fault
from exvivo.numerics import cells
from exvivo.numerics.kernels import PLAIN, Array, Kernels
from exvivo.numerics.outline import Outline, make_outline
from exvivo.study.design import (
    BooleanGate,
    Channel,
    Dimension,
    EllipsoidGate,
    Gate,
    GatingTree,
    PolygonGate,
    RectangleGate,
    SpilloverMatrix,
    TransformKind,
)

Membership = NDArray[np.bool_]
Rows = NDArray[np.intp]
_STEEP = (TransformKind.LOGICLE, TransformKind.HYPERLOG, TransformKind.ASINH)


@dataclass(slots=True)
class Evaluation:
    """Events of one data set, their compensated columns and the populations found so far, each made once.

    ``matrices`` holds compensations by name; a gate that names one that is absent, or a channel that
    it does not hold, looks at uncompensated values, as Gating-ML asks.
    """

    events: NDArray[np.floating]
    positions: Mapping[str, int]
    matrices: Mapping[str, SpilloverMatrix]
    kernels: Kernels = PLAIN
    members: dict[str, Membership] = field(default_factory=dict)
    _made: dict[tuple[str, str], Array] = field(default_factory=dict)
    _mixtures: dict[tuple[str, str], tuple[Rows, Array] | None] = field(default_factory=dict)

    @property
    def n_events(self) -> int:
        """Number of events."""
        return len(self.events)

    def column(self, channel: str, compensation: str) -> NDArray[np.floating]:
        """Linear values of one channel or fluorochrome, shape (n_events,)."""
        mixture = self._mixture(channel, compensation)
        if mixture is None:
            return self.events[:, self.positions[channel]]
        if (compensation, channel) not in self._made:
            self._made[compensation, channel] = self.kernels.mix(self.events, None, *mixture)
        return self._made[compensation, channel]

    def pick(self, channel: str, compensation: str, rows: Rows | None) -> Array:
        """Linear values of one channel for some events, or for all; compensated for these events alone unless the column is there."""
        if (compensation, channel) in self._made:
            made = self._made[compensation, channel]
            return made if rows is None else made[rows]
        columns, weights = self._mixture(channel, compensation) or (np.array([self.positions[channel]]), np.ones(1))
        return self.kernels.mix(self.events, rows, columns, weights)

    def _mixture(self, channel: str, compensation: str) -> tuple[Rows, Array] | None:
        """Columns and weights of a fluorochrome; None for a channel that is not compensated."""
        key = compensation, channel
        if key not in self._mixtures:
            matrix = self.matrices.get(compensation)
            if matrix is None or channel not in matrix.fluorochromes:
                self._mixtures[key] = None
            else:
                weights = np.ascontiguousarray(cells.unmixing(matrix.matrix)[:, matrix.fluorochromes.index(channel)])
                self._mixtures[key] = np.array([self.positions[name] for name in matrix.detectors], dtype=np.intp), weights
        return self._mixtures[key]

    def is_compensated(self, dimension: Dimension) -> bool:
        """Whether one axis looks at mixed detectors: its compensation has a matrix, and this has its channel."""
        return any(self._mixture(name, dimension.compensation) is not None for name in dimension.names)

    def values(self, dimension: Dimension, rows: Rows | None) -> Array:
        """Linear values of one axis, of all events or of ``rows``."""
        ratio = dimension.ratio
        if ratio is None:
            return self.pick(dimension.channel, dimension.compensation, rows)
        above, below = (self.pick(name, dimension.compensation, rows) for name in (ratio.numerator, ratio.denominator))
        return cells.ratio(above, below, ratio.A, ratio.B, ratio.C)

    def displayed(self, dimension: Dimension, rows: Rows | None) -> Array:
        """Values of one axis on its display scale, from the scale's table where it has one."""
        values, transform = self.values(dimension, rows), dimension.transform
        if transform is None:
            return values
        table = cells.table_of(transform.kind, transform.parameters)
        if table is None:
            return cells.to_scale(transform.kind, values, transform.parameters)
        return self.kernels.show(values, table)

    def rows_of(self, name: str | None) -> Rows | None:
        """Events of a population that was evaluated before; None for all events."""
        return None if name is None else np.flatnonzero(self.members[name])

    def member(self, gate: Gate) -> Membership:
        """Membership in a gate whose parents and operands were evaluated before; changes nothing."""
        parent = self.members[gate.parent] if gate.parent else None
        if isinstance(gate, BooleanGate):
            combined = _combine(gate, self.members)
            return combined if parent is None else combined & parent
        rows = self.rows_of(gate.parent)
        kept = _within(gate, self, rows)
        if rows is None:
            return kept
        inside = np.zeros(self.n_events, dtype=np.bool_)
        inside[rows] = kept
        return inside

    def add(self, gate: Gate) -> None:
        """Evaluate a gate and remember its members."""
        self.members[gate.name] = self.member(gate)

    def again(self) -> "Evaluation":
        """The same events and columns, no populations: to try other gates."""
        return Evaluation(self.events, self.positions, self.matrices, self.kernels, {}, self._made, self._mixtures)

    def over(self, events: NDArray[np.floating]) -> "Evaluation":
        """The same channels and matrices over other events."""
        return Evaluation(events, self.positions, self.matrices, self.kernels, {}, {}, self._mixtures)


def evaluate_tree(
    events: NDArray[np.floating], channels: Sequence[Channel], spillover: SpilloverMatrix | None, tree: GatingTree
) -> dict[str, Membership]:
    """Membership of every event in every population.

    Parameters
    ----------
    events : ndarray, shape (n_events, n_channels), linear scale
    channels : one per column
    spillover : the file's own matrix, used where a gate says ``FCS``; None means that such gates look at uncompensated values
    tree : gates, parents before children

    Returns
    -------
    dict of ndarray, shape (n_events,), by gate name, in the order of the tree

    Raises
    ------
    DesignError : a gate names a channel that the file does not have, all of them together
    """
    return evaluate(events, channels, spillover, tree).members


def evaluate(events: NDArray[np.floating], channels: Sequence[Channel], spillover: SpilloverMatrix | None, tree: GatingTree) -> Evaluation:
    """As ``evaluate_tree``, keeping the compensated columns for those who measure next."""
    evaluation = open_evaluation(events, channels, spillover, tree)
    for gate in tree.gates:
        evaluation.add(gate)
    return evaluation


def open_evaluation(
    events: NDArray[np.floating],
    channels: Sequence[Channel],
    spillover: SpilloverMatrix | None,
    tree: GatingTree,
    kernels: Kernels = PLAIN,
) -> Evaluation:
    """Events ready for the gates of a tree, none of which is evaluated yet.

    Raises
    ------
    DesignError : a gate names a channel that the file does not have, all of them together
    """
    positions = positions_of(channels)
    if missing := missing_channels(tree, spillover, positions):
        raise DesignError(missing)
    return Evaluation(events, positions, matrices_of(tree, spillover), kernels)


def matrices_of(tree: GatingTree, spillover: SpilloverMatrix | None) -> dict[str, SpilloverMatrix]:
    """Matrices by the names that gates give them: those of the tree, and the file's own as ``FCS``."""
    return dict(tree.matrices) | ({"FCS": spillover} if spillover is not None else {})


def positions_of(channels: Sequence[Channel]) -> dict[str, int]:
    """Column of each channel by name, in the order of the file; of channels with one name, the first."""
    positions: dict[str, int] = {}
    for index, channel in enumerate(channels):
        positions.setdefault(channel.name, index)
    return positions


def paths_of(gates: Sequence[Gate]) -> dict[str, str]:
    """Path of every gate from the root, such as ``Cells/Singlets/Live``; gates of a workspace are named by their paths."""
    paths: dict[str, str] = {}
    for gate in gates:
        whole = gate.parent is None or gate.name.startswith(f"{gate.parent}/")
        paths[gate.name] = gate.name if whole else f"{paths[gate.parent or '']}/{gate.name}"
    return paths


def count_populations(file: str, evaluation: Evaluation, gates: Sequence[Gate], compensation: str) -> pl.DataFrame:
    """Counts, share of the parent and median of every channel, in the shape of ``POPULATIONS``; medians of no events are empty."""
    channels = list(evaluation.positions)
    values = np.column_stack([evaluation.column(name, compensation) for name in channels])
    counts = {gate.name: int(np.count_nonzero(evaluation.members[gate.name])) for gate in gates}
    medians = {
        name: np.median(values[evaluation.members[name]], axis=0).tolist() if count else [None] * len(channels)
        for name, count in counts.items()
    }
    return population_rows(file, gates, channels, counts, medians, evaluation.n_events)


def population_rows(
    file: str,
    gates: Sequence[Gate],
    channels: Sequence[str],
    counts: Mapping[str, int],
    medians: Mapping[str, Sequence[float | None]],
    n_events: int,
) -> pl.DataFrame:
    """Rows of ``POPULATIONS`` of one file, in the order of the gates."""
    paths = paths_of(gates)
    rows = []
    for gate in gates:
        above = counts[gate.parent] if gate.parent else n_events
        row: dict[str, object] = {"file": file, "path": paths[gate.name], "parent": paths[gate.parent] if gate.parent else None}
        row |= {"count": counts[gate.name], "percent_of_parent": 100.0 * counts[gate.name] / above if above else None, "stored_count": None}
        rows.append(row | {f"median_{name}": median for name, median in zip(channels, medians[gate.name], strict=True)})
    schema = {"file": pl.String, "path": pl.String, "parent": pl.String, "count": pl.Int64, "percent_of_parent": pl.Float64}
    return pl.DataFrame(rows, schema={**schema, "stored_count": pl.Int64, **{f"median_{name}": pl.Float64 for name in channels}})


def _within(gate: RectangleGate | PolygonGate | EllipsoidGate, columns: Evaluation, rows: Rows | None) -> Membership:
    if isinstance(gate, RectangleGate):
        return _in_rectangle(gate, columns, rows)
    if isinstance(gate, PolygonGate):
        return _in_polygon(gate, columns, rows)
    return _in_ellipsoid(gate, columns, rows)


def _combine(gate: BooleanGate, members: Mapping[str, Membership]) -> Membership:
    operands = [~members[name] if complement else members[name] for name, complement in gate.operands]
    if gate.operator == "not":
        return ~operands[0]
    combined: Membership = np.logical_and.reduce(operands) if gate.operator == "and" else np.logical_or.reduce(operands)
    return combined


def _in_rectangle(gate: RectangleGate, columns: Evaluation, rows: Rows | None) -> Membership:
    inside: Membership | None = None
    for dimension in gate.dimensions:
        side = _in_side(dimension, columns, rows)
        inside = side if inside is None else inside & side
    return np.zeros(0, dtype=np.bool_) if inside is None else inside


def _in_side(dimension: Dimension, columns: Evaluation, rows: Rows | None) -> Membership:
    transform = dimension.transform
    if transform is None or transform.kind not in _STEEP:
        return cells.in_interval(columns.displayed(dimension, rows), dimension.low, dimension.high)
    parameters = tuple(sorted(transform.parameters.items()))
    low, high = (None if bound is None else _turned(transform.kind, bound, parameters) for bound in (dimension.low, dimension.high))
    return cells.in_interval(columns.values(dimension, rows), low, high)


@lru_cache(maxsize=1024)
def _turned(kind: str, bound: float, parameters: tuple[tuple[str, float], ...]) -> float:
    """A threshold on the linear scale."""
    return float(cells.from_scale(kind, bound, dict(parameters)))


def _in_polygon(gate: PolygonGate, columns: Evaluation, rows: Rows | None) -> Membership:
    x, y = (columns.displayed(dimension, rows) for dimension in gate.dimensions)
    return columns.kernels.enclosed(x, y, _outline(gate.vertices))


@lru_cache(maxsize=256)
def _outline(vertices: tuple[tuple[float, float], ...]) -> Outline:
    return make_outline(vertices)


def _in_ellipsoid(gate: EllipsoidGate, columns: Evaluation, rows: Rows | None) -> Membership:
    values = np.column_stack([columns.displayed(dimension, rows) for dimension in gate.dimensions])
    return cells.in_ellipsoid(values, gate.mean, gate.covariance, gate.distance_square)


def missing_channels(tree: GatingTree, spillover: SpilloverMatrix | None, positions: Mapping[str, int]) -> list[str]:
    """One message for each gate that names channels which the file does not have."""
    matrices = matrices_of(tree, spillover)
    messages = []
    for gate in tree.gates:
        if absent := [name for name in channels_of(gate, matrices) if name not in positions]:
            found = f"the file has no channel {', '.join(absent)}"
            messages.append(fault(f"gate '{gate.name}'", found, f"one of {', '.join(positions)}", "Use gates made for this panel"))
    return messages


def channels_of(gate: Gate, matrices: Mapping[str, SpilloverMatrix]) -> list[str]:
    """Channels ($PnN) that a file must have for the gate, each once: those of its axes, or all detectors where these are compensated."""
    needed: list[str] = []
    for dimension in () if isinstance(gate, BooleanGate) else gate.dimensions:
        matrix = matrices.get(dimension.compensation)
        for name in dimension.names:
            needed.extend(matrix.detectors if matrix is not None and name in matrix.fluorochromes else [name])
    return list(dict.fromkeys(needed))
