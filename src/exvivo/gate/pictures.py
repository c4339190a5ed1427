"""Gates as pictures: counts on a grid and outlines, in display units, for pages about single files.

Gates with one parent and the same axes share a picture, as quadrants do; one axis makes a histogram.
A picture shows evenly spaced events of the file, enough for an eye; its gates are the ones applied,
and counts and shares come from all events.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exvivo.gate.blocks import Walk
from exvivo.gate.populations import Evaluation, paths_of
from exvivo.numerics import cells, density
from exvivo.study.design import BooleanGate, Dimension, EllipsoidGate, Gate, GatePicture, PictureAxis, PolygonGate

Array = NDArray[np.float64]
Point = tuple[float, float]

_SHOWN = 40_000  # events of a file
_CELLS = 96
_BINS = 160
_RARE = 0.002  # share of events beyond each end of an axis
_ROOM = 0.06
_APART = 0.14  # of the axis, between the numbers on it
_CORNERS = 60  # of an ellipse


def take_pictures(walk: Walk) -> tuple[GatePicture, ...]:
    """One picture for all gates that share parent and axes, in the order of the tree; boolean gates have none."""
    every = max(walk.record.n_events // _SHOWN, 1)
    shown = walk.ground.over(_every_event(walk, every))
    for gate in walk.gates:
        shown.add(gate)
    together: dict[object, list[Gate]] = {}
    for gate in walk.gates:
        if not isinstance(gate, BooleanGate):
            together.setdefault((gate.parent, tuple(_axis_key(d) for d in gate.dimensions[:2])), []).append(gate)
    paths = paths_of(walk.gates)
    return tuple(_take(gates, shown, paths, every) for gates in together.values())


def facts_of(picture: GatePicture) -> Mapping[str, Any]:
    """A picture as JSON can write it."""
    axes = [[axis.title, axis.low, axis.high, axis.ticks, axis.labels] for axis in (picture.x, picture.y) if axis is not None]
    return {
        "parent": picture.parent,
        "axes": axes,
        "counts": picture.counts,
        "outlines": picture.outlines,
        "shown": [picture.events, picture.every],
    }


def picture_of(facts: Mapping[str, Any]) -> GatePicture:
    """The inverse of ``facts_of``."""
    x, *y = (PictureAxis(title, low, high, tuple(ticks), tuple(labels)) for title, low, high, ticks, labels in facts["axes"])
    outlines = tuple((str(path), tuple((float(a), float(b)) for a, b in ring)) for path, ring in facts["outlines"])
    counts = tuple(tuple(row) for row in facts["counts"])
    return GatePicture(facts["parent"], x, y[0] if y else None, counts, outlines, *facts["shown"])


def _every_event(walk: Walk, every: int) -> NDArray[np.floating]:
    """Every so many-th event."""
    parts = [block.events[-begin % every :: every] for begin, block in walk.blocks()]
    return np.concatenate(parts) if parts else walk.ground.events


def _axis_key(dimension: Dimension) -> object:
    transform = dimension.transform
    scale = None if transform is None else (transform.kind, tuple(sorted(transform.parameters.items())))
    return dimension.channel, dimension.compensation, scale, dimension.ratio


def _take(gates: Sequence[Gate], shown: Evaluation, paths: Mapping[str, str], every: int) -> GatePicture:
    first = gates[0]
    dimensions = () if isinstance(first, BooleanGate) else first.dimensions[:2]
    rows = shown.rows_of(first.parent)
    values = [shown.displayed(dimension, rows) for dimension in dimensions]
    seen = np.all([np.isfinite(column) for column in values], axis=0)
    values = [column[seen] for column in values]
    bounds = [_bounds(gates, index) for index in range(len(dimensions))]
    ends = [_ends(column, inner) for column, inner in zip(values, bounds, strict=True)]
    titles = [dimension.channel + (", compensated" if shown.is_compensated(dimension) else "") for dimension in dimensions]
    axes = [_axis(title, dimension, *end) for title, dimension, end in zip(titles, dimensions, ends, strict=True)]
    counts = _histogram(values[0], ends[0]) if len(axes) == 1 else _grid(values, ends)
    outlines = tuple((paths[gate.name], tuple(_rounded(point) for point in outline_of(gate, ends, _CORNERS))) for gate in gates)
    parent = paths[first.parent] if first.parent else None
    return GatePicture(parent, axes[0], axes[1] if len(axes) > 1 else None, counts, outlines, len(seen), every)


def _bounds(gates: Sequence[Gate], index: int) -> list[float]:
    """Finite bounds of intervals along one axis, which a picture should show."""
    found = [
        bound
        for gate in gates
        if not isinstance(gate, BooleanGate)
        for bound in (gate.dimensions[index].low, gate.dimensions[index].high)
        if bound is not None and np.isfinite(bound)
    ]
    return found if len(gates[0].dimensions if not isinstance(gates[0], BooleanGate) else ()) == 1 else []


def _ends(column: Array, inner: Sequence[float]) -> Point:
    """Ends of an axis: all but a few events, the bounds of intervals, and some room."""
    low, high = (float(end) for end in np.quantile(column, [_RARE, 1.0 - _RARE])) if len(column) else (0.0, 1.0)
    low, high = min([low, *inner]), max([high, *inner])
    room = _ROOM * (high - low) if high > low else 0.5
    return low - room, high + room


def _histogram(column: Array, ends: Point) -> tuple[tuple[int, ...], ...]:
    return (tuple(np.histogram(column, bins=_BINS, range=ends)[0].tolist()),)


def _grid(values: Sequence[Array], ends: Sequence[Point]) -> tuple[tuple[int, ...], ...]:
    counts, _, _ = np.histogram2d(values[1], values[0], bins=_CELLS, range=[ends[1], ends[0]])
    return tuple(tuple(row) for row in counts.astype(np.int64).tolist())


def outline_of(gate: Gate, ends: Sequence[Point], corners: int) -> Array:
    """Vertices of a gate, an ellipse with so many; sides that are open, or on which the gate says nothing, lie at the edge of the picture.

    Whoever draws it cuts it off there: moving corners would bend its sides.
    """
    if isinstance(gate, PolygonGate):
        return np.asarray(gate.vertices, dtype=np.float64)
    if isinstance(gate, EllipsoidGate):
        scatter = np.array(gate.covariance)[:2, :2]
        return density.ellipse_outline(np.array(gate.mean[:2]), scatter, gate.distance_square, corners)
    sides: list[tuple[float | None, float | None]] = (
        [(d.low, d.high) for d in gate.dimensions[:2]] if not isinstance(gate, BooleanGate) else []
    )
    sides += [(None, None)] * (len(ends) - len(sides))
    (left, right), *others = (_closed(side, end) for side, end in zip(sides, ends, strict=True))
    if not others:
        return np.array([[left, 0.0], [right, 0.0]])
    bottom, top = others[0]
    return np.array([[left, bottom], [right, bottom], [right, top], [left, top]])


def _closed(side: tuple[float | None, float | None], end: Point) -> Point:
    low, high = side
    return end[0] if low is None else low, end[1] if high is None else high


def _rounded(point: Array) -> Point:
    return float(f"{point[0]:.8g}"), float(f"{point[1]:.8g}")


def _axis(title: str, dimension: Dimension, low: float, high: float) -> PictureAxis:
    transform = dimension.transform
    if transform is None:
        ticks = _round_numbers(low, high)
        return PictureAxis(title, low, high, tuple(ticks), tuple(_number(value) for value in ticks))
    linear = np.concatenate([[0.0], [sign * 10.0**power for power in range(-3, 9) for sign in (1.0, -1.0)]])
    places = cells.to_scale(transform.kind, linear, transform.parameters)
    held = np.isclose(cells.from_scale(transform.kind, places, transform.parameters), linear, rtol=0.01, atol=1e-6)  # not cut off
    kept: list[tuple[float, str]] = []
    for value, place in sorted(
        zip(linear[held].tolist(), places[held].tolist(), strict=True), key=lambda pair: (pair[0] != 0, -abs(pair[0]))
    ):
        if low <= place <= high and all(abs(place - other) >= _APART * (high - low) for other, _ in kept):
            kept.append((place, _number(value)))
    kept.sort()
    return PictureAxis(title, low, high, tuple(place for place, _ in kept), tuple(label for _, label in kept))


def _round_numbers(low: float, high: float) -> list[float]:
    """Three to six round numbers between two ends."""
    step = 10.0 ** np.floor(np.log10((high - low) / 2.0))
    step = next(step * factor for factor in (5.0, 2.0, 1.0, 0.5, 0.25) if (high - low) / (step * factor) >= 3.0)
    return [float(step * k) for k in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)]


def _number(value: float) -> str:
    """A number as axes show it.

    >>> _number(250000.0), _number(0.25), _number(1500.0), _number(-2000000.0)
    ('250k', '0.25', '1.5k', '−2M')
    """
    size, letter = next(((size, letter) for size, letter in ((1e6, "M"), (1e3, "k")) if abs(value) >= size), (1.0, ""))
    return f"{value / size:g}{letter}".replace("-", "−")
