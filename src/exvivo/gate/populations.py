"""Walk a gating tree: events in, one boolean per event and population out.

A gate looks only at the events that its parents kept, and only at the columns it needs:
compensated columns are made one at a time, rectangles on monotone scales compare linear
values with thresholds that are turned round once. Scales are computed for polygons and
ellipsoids alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from exvivo.errors import DesignError, fault
from exvivo.numerics import cells
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
_STEEP = (TransformKind.LOGICLE, TransformKind.HYPERLOG, TransformKind.ASINH)


@dataclass(slots=True)
class _Columns:
    """Linear values of one data set by compensation and channel, made when first asked for."""

    events: NDArray[np.floating]
    positions: Mapping[str, int]
    matrices: Mapping[str, SpilloverMatrix]
    made: dict[tuple[str, str], NDArray[np.floating]] = field(default_factory=dict)

    def column(self, channel: str, compensation: str) -> NDArray[np.floating]:
        matrix = self.matrices.get(compensation)
        if matrix is None or channel not in matrix.fluorochromes:
            return self.events[:, self.positions[channel]]
        key = (compensation, channel)
        if key not in self.made:
            weights = cells.unmixing(matrix.matrix)[:, matrix.fluorochromes.index(channel)]
            detectors = self.events[:, [self.positions[name] for name in matrix.detectors]]
            self.made[key] = detectors.astype(np.float64, copy=False) @ weights
        return self.made[key]

    def values(self, dimension: Dimension, rows: NDArray[np.intp] | None) -> NDArray[np.floating]:
        """Linear values of one axis, of all events or of ``rows``."""
        if dimension.ratio is None:
            return _pick(self.column(dimension.channel, dimension.compensation), rows)
        above, below = (
            _pick(self.column(name, dimension.compensation), rows) for name in (dimension.ratio.numerator, dimension.ratio.denominator)
        )
        return cells.ratio(above, below, dimension.ratio.A, dimension.ratio.B, dimension.ratio.C)

    def displayed(self, dimension: Dimension, rows: NDArray[np.intp] | None) -> NDArray[np.floating]:
        """Values of one axis on its display scale."""
        values = self.values(dimension, rows)
        return values if dimension.transform is None else cells.to_scale(dimension.transform.kind, values, dimension.transform.parameters)


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
    matrices = dict(tree.matrices) | ({"FCS": spillover} if spillover is not None else {})
    positions = {channel.name: index for index, channel in reversed(list(enumerate(channels)))}
    if missing := _missing_channels(tree, matrices, positions):
        raise DesignError(missing)
    columns = _Columns(events, positions, matrices)
    members: dict[str, Membership] = {}
    for gate in tree.gates:
        members[gate.name] = _evaluate(gate, columns, members)
    return members


def _evaluate(gate: Gate, columns: _Columns, members: Mapping[str, Membership]) -> Membership:
    parent = members[gate.parent] if gate.parent else None
    if isinstance(gate, BooleanGate):
        inside = _combine(gate, members)
        return inside if parent is None else inside & parent
    rows = None if parent is None else np.flatnonzero(parent)
    kept = _within(gate, columns, rows)
    if parent is None or rows is None:
        return kept
    inside = np.zeros(len(parent), dtype=np.bool_)
    inside[rows[kept]] = True
    return inside


def _within(gate: RectangleGate | PolygonGate | EllipsoidGate, columns: _Columns, rows: NDArray[np.intp] | None) -> Membership:
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


def _in_rectangle(gate: RectangleGate, columns: _Columns, rows: NDArray[np.intp] | None) -> Membership:
    inside: Membership | None = None
    for dimension in gate.dimensions:
        side = _in_side(dimension, columns, rows)
        inside = side if inside is None else inside & side
    return np.zeros(0, dtype=np.bool_) if inside is None else inside


def _in_side(dimension: Dimension, columns: _Columns, rows: NDArray[np.intp] | None) -> Membership:
    transform = dimension.transform
    if transform is None or transform.kind not in _STEEP:
        return cells.in_interval(columns.displayed(dimension, rows), dimension.low, dimension.high)
    low, high = (
        None if bound is None else float(cells.from_scale(transform.kind, bound, transform.parameters))
        for bound in (dimension.low, dimension.high)
    )
    return cells.in_interval(columns.values(dimension, rows), low, high)


def _in_polygon(gate: PolygonGate, columns: _Columns, rows: NDArray[np.intp] | None) -> Membership:
    x, y = (columns.displayed(dimension, rows) for dimension in gate.dimensions)
    return cells.in_polygon(x, y, gate.vertices)


def _in_ellipsoid(gate: EllipsoidGate, columns: _Columns, rows: NDArray[np.intp] | None) -> Membership:
    values = np.column_stack([columns.displayed(dimension, rows) for dimension in gate.dimensions])
    return cells.in_ellipsoid(values, gate.mean, gate.covariance, gate.distance_square)


def _pick(column: NDArray[np.floating], rows: NDArray[np.intp] | None) -> NDArray[np.floating]:
    return column if rows is None else column[rows]


def _missing_channels(tree: GatingTree, matrices: Mapping[str, SpilloverMatrix], positions: Mapping[str, int]) -> list[str]:
    messages = []
    for gate in tree.gates:
        wanted: dict[str, None] = {}
        for dimension in () if isinstance(gate, BooleanGate) else gate.dimensions:
            wanted |= dict.fromkeys(_needed_channels(dimension, matrices))
        if absent := [name for name in wanted if name not in positions]:
            found = f"the file has no channel {', '.join(absent)}"
            messages.append(fault(f"gate '{gate.name}'", found, f"one of {', '.join(positions)}", "Use gates made for this panel"))
    return messages


def _needed_channels(dimension: Dimension, matrices: Mapping[str, SpilloverMatrix]) -> list[str]:
    names = [dimension.channel] if dimension.ratio is None else [dimension.ratio.numerator, dimension.ratio.denominator]
    matrix = matrices.get(dimension.compensation)
    needed: list[str] = []
    for name in names:
        needed.extend(matrix.detectors if matrix is not None and name in matrix.fluorochromes else [name])
    return needed
