"""Small pictures of gates for the contact sheet: counts on a grid and the gate's outline, in display units."""

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from exvivo.gate.pictures import outline_of
from exvivo.gate.prepare import OpenTube
from exvivo.study.design import BooleanGate, Dimension, Gate, TransformKind

Row = dict[str, object]

BINS = 64
_HEIGHT = "FSC-A"  # what one-dimensional gates are drawn against
_LOGICLE_LOW = -0.05
_CORNERS = 36  # of an ellipse


def sketch_gates(donor: str, gates: Sequence[Gate], tubes: Sequence[OpenTube]) -> list[Row]:
    """Rows of ``sketches``: pooled events of each gate's parent; boolean gates and ratios have no picture."""
    rows = []
    for gate in gates:
        if isinstance(gate, BooleanGate) or any(dimension.ratio for dimension in gate.dimensions):
            continue
        axes = _axes(gate.dimensions, tubes)
        limits = [_limits(axis, tubes) for axis in axes]
        counts = sum((_count(gate.parent, axes, limits, tube) for tube in tubes), np.zeros((BINS, BINS), dtype=np.int64))
        (x_low, x_high), (y_low, y_high) = limits
        row: Row = {"donor": donor, "gate": gate.name, "x": axes[0].channel, "y": axes[1].channel, "bins": BINS}
        row |= {"x_low": x_low, "x_high": x_high, "y_low": y_low, "y_high": y_high}
        outline = [[round(float(value), 6) for value in vertex] for vertex in outline_of(gate, limits, _CORNERS)]
        rows.append(row | {"counts": json.dumps(counts.tolist(), separators=(",", ":")), "outline": json.dumps(outline)})
    return rows


def _axes(dimensions: Sequence[Dimension], tubes: Sequence[OpenTube]) -> tuple[Dimension, Dimension]:
    shown = list(dimensions[:2])
    if len(shown) == 1:
        channels = list(tubes[0].evaluation.positions)
        shown.append(Dimension(_HEIGHT if _HEIGHT in channels else channels[0]))
    return shown[0], shown[1]


def _limits(axis: Dimension, tubes: Sequence[OpenTube]) -> tuple[float, float]:
    if axis.transform is not None:
        return (_LOGICLE_LOW if axis.transform.kind == TransformKind.LOGICLE else 0.0), 1.05
    largest = max(
        (float(np.max(column)) for tube in tubes if len(column := tube.evaluation.column(axis.channel, axis.compensation))), default=1.0
    )
    return 0.0, 1.02 * max(largest, 1e-6)


def _count(parent: str | None, axes: Sequence[Dimension], limits: Sequence[tuple[float, float]], tube: OpenTube) -> NDArray[np.int64]:
    """Counts of one tube, rows from below; events outside the axes are left out."""
    rows = tube.evaluation.rows_of(parent)
    places = []
    for axis, (low, high) in zip(axes, limits, strict=True):
        values = tube.evaluation.displayed(axis, rows)
        inside = np.isfinite(values) & (values >= low) & (values < high)
        places.append(np.where(inside, (np.where(inside, values, low) - low) * (BINS / (high - low)), -1.0).astype(np.int64))
    x, y = places
    kept = (x >= 0) & (y >= 0)
    return np.bincount(y[kept] * BINS + x[kept], minlength=BINS * BINS).reshape(BINS, BINS).astype(np.int64)
