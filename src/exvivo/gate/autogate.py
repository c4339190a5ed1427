"""Gates of the protocol's template, found on a donor's pooled tubes.

Every tube is first summarised: a histogram on a fixed grid, inside the parent population,
scaled to one. The mean of those histograms is what a gate is drawn on, so every tube has
the same weight, no condition's label is seen, and leaving tubes out of the mean is all it
takes to ask how firmly a gate stands. Only the time gate belongs to a single tube: clogs
and bursts happen to a tube, not to a donor, and say nothing about its cells.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from exvivo.gate.populations import Evaluation
from exvivo.gate.prepare import OpenTube
from exvivo.gate.steady import scatter_bounds, steady_range
from exvivo.numerics import cells, density
from exvivo.study.design import Dimension, EllipsoidGate, Gate, PolygonGate, RectangleGate, Transform, TransformKind
from exvivo.study.fixedgates import build_gate
from exvivo.study.geometry import gate_of
from exvivo.study.model import FixedGate, GateMethod, GateTemplate

Array = NDArray[np.float64]
Facts = Mapping[str, object]

_GRID = 96  # bins of each scatter axis
_BINS = 256  # bins of a fluorescence axis
_FLUO_LOW, _FLUO_HIGH = -0.05, 1.05
_RATIO_BINS, _RATIO_LOW, _RATIO_HIGH = 600, -1.5, 1.5
_FEW = 100  # a tube with fewer events counts in proportion
_LEAST = 200  # pooled events below which nothing is fitted
_MAIN = 0.10  # share of the mass that makes a peak a population
_NEAR = 11  # bins of forward scatter (a factor of 2.9) within which two peaks are one kind of cell
_INSIDE = 7.378  # 97.5 % quantile of chi-square with two degrees of freedom


MOVED = "decision"
"""Method of a gate that a decision moved."""


class GateFailureError(Exception):
    """A gate that could not be found; ``gate`` and ``why`` go into the tubes' detail."""

    def __init__(self, gate: str, why: str) -> None:
        super().__init__(f"{gate}: {why}")
        self.gate, self.why = gate, why


@dataclass(frozen=True, slots=True)
class Move:
    """A gate as a decision moved it."""

    decision: int
    geometry: str


@dataclass(frozen=True, slots=True)
class Ground:
    """One template with what is common to a donor's tubes: compensation and the largest range of every channel."""

    template: GateTemplate
    compensation: str
    ranges: Mapping[str, float]

    def dimension(self, index: int, transform: Transform | None = None, low: float | None = None, high: float | None = None) -> Dimension:
        """One axis of the gate."""
        return Dimension(self.template.channels[index], self.compensation, transform, low, high)

    def scatter_scale(self, index: int) -> Transform:
        """Logarithmic scale over four decades below the range."""
        return Transform(TransformKind.LOG, MappingProxyType({"T": self.ranges[self.template.channels[index]], "M": 4.0}))

    def fluorescence_scale(self) -> Transform:
        """Logicle scale with half a linear decade."""
        top = self.ranges[self.template.channels[0]]
        return Transform(TransformKind.LOGICLE, MappingProxyType({"T": top, "W": 0.5, "M": 4.5, "A": 0.0}))


@dataclass(frozen=True, slots=True)
class FittedGate:
    """A gate, where it differs by file (time), and what it was fitted on."""

    ground: Ground
    gate: Gate
    by_file: Mapping[str, Gate]
    summaries: Mapping[str, Array]
    detail: Facts

    @property
    def method(self) -> str:
        """How the gate was found."""
        return MOVED if "decision" in self.detail else self.ground.template.method.value

    def of(self, file: str) -> Gate:
        """The gate as it applies to one file."""
        return self.by_file.get(file, self.gate)


def fit_gates(
    templates: Sequence[GateTemplate], tubes: Sequence[OpenTube], compensation: str, moves: Mapping[str, Move] = MappingProxyType({})
) -> tuple[FittedGate, ...]:
    """Gates of all templates in order, moved ones as they were moved; every tube's evaluation ends with their populations.

    Raises
    ------
    GateFailureError : too few events, or nothing that looks like the population
    """
    ranges: dict[str, float] = {}
    for tube in tubes:
        ranges |= {name: max(top, ranges.get(name, 1.0)) for name, top in tube.ranges.items()}
    fitted = []
    scatter = [name for one in templates if one.method in {GateMethod.SCATTER, GateMethod.SINGLETS} for name in one.channels]
    for template in templates:
        ground = Ground(template, compensation, ranges)
        gate = _fit(ground, tubes, scatter, moves.get(template.name))
        for tube in tubes:
            tube.evaluation.add(gate.of(tube.tube.file))
        fitted.append(gate)
    return tuple(fitted)


def _fit(ground: Ground, tubes: Sequence[OpenTube], scatter: Sequence[str], move: Move | None) -> FittedGate:
    if move is not None:
        moved = gate_of(ground.template.name, ground.template.parent, move.geometry)
        return FittedGate(ground, moved, {}, {}, {"decision": move.decision})
    return _fit_time(ground, tubes, scatter) if ground.template.method == GateMethod.TIME else _fit_pooled(ground, tubes)


def redraw(fitted: FittedGate, left_out: frozenset[str]) -> Gate | None:
    """The gate as drawn without some tubes, inside the same parents; None when it cannot be drawn.

    Gates on time and gates that were moved do not rest on pooled tubes and stay.
    """
    method = fitted.ground.template.method
    if not fitted.summaries:
        return fitted.gate
    kept = {file: summary for file, summary in fitted.summaries.items() if file not in left_out}
    try:
        return _METHODS[method][1](fitted.ground, _pool(fitted.ground, kept))[0]
    except GateFailureError:
        return None


def _fit_pooled(ground: Ground, tubes: Sequence[OpenTube]) -> FittedGate:
    if isinstance(ground.template, FixedGate):
        return FittedGate(ground, build_gate(ground.template, ground.compensation), {}, {}, {})
    summarise, draw = _METHODS[ground.template.method]
    summaries = {tube.tube.file: summarise(ground, tube.evaluation) for tube in tubes if tube.tube.pooled}
    gate, detail = draw(ground, _pool(ground, summaries))
    events = int(sum(float(np.sum(summary)) for summary in summaries.values()))
    return FittedGate(ground, gate, {}, summaries, {**detail, "tubes": len(summaries), "events": events})


def _pool(ground: Ground, summaries: Mapping[str, Array]) -> Array:
    """Mean of the tubes' histograms, each scaled to one (small tubes to less)."""
    total = sum(float(np.sum(summary)) for summary in summaries.values())
    if total < _LEAST:
        raise GateFailureError(ground.template.name, "too-few-events")
    scaled = [summary / max(float(np.sum(summary)), _FEW) for summary in summaries.values()]
    return np.asarray(np.sum(scaled, axis=0), dtype=np.float64)


# time and margins


def _fit_time(ground: Ground, tubes: Sequence[OpenTube], scatter: Sequence[str]) -> FittedGate:
    """Each tube's steady stretch of time, and the donor's margins of scatter."""
    found = {tube.tube.file: steady_range(tube, ground.template.channels[0]) for tube in tubes}
    bounds = scatter_bounds(tubes, scatter, ground.ranges)
    margins = [Dimension(channel, "uncompensated", None, low, high) for channel, (low, high) in bounds.items()]

    def gate(low: float, high: float) -> Gate:
        time = Dimension(ground.template.channels[0], "uncompensated", None, low, high)
        return RectangleGate(ground.template.name, ground.template.parent, (time, *margins))

    by_file = {file: gate(one.low, one.high) for file, one in found.items()}
    low, high = min(one.low for one in found.values()), max(one.high for one in found.values())
    detail = {
        "by_file": {file: [one.low, one.high] for file, one in sorted(found.items())},
        "unsteady": sorted(file for file, one in found.items() if one.unsteady),
    }
    return FittedGate(ground, gate(low, high), by_file, {}, detail)


# scatter


def _summarise_scatter(ground: Ground, evaluation: Evaluation) -> Array:
    rows = evaluation.rows_of(ground.template.parent)
    x, y = (evaluation.displayed(ground.dimension(i, ground.scatter_scale(i)), rows) for i in range(2))
    kept = (x >= 0) & (y >= 0) & (x <= 1) & (y <= 1)
    flat = np.minimum((x[kept] * _GRID).astype(np.intp), _GRID - 1) * _GRID + np.minimum((y[kept] * _GRID).astype(np.intp), _GRID - 1)
    return np.bincount(flat, minlength=_GRID * _GRID).astype(np.float64)


def _draw_scatter(ground: Ground, pooled: Array) -> tuple[Gate, Facts]:
    """Ellipse around the largest cells; below the valley under their forward-scatter peak lie debris and small cells.

    A second peak near the first belongs to the cells: a drug that changes their size must not choose between conditions.
    """
    grid = pooled.reshape(_GRID, _GRID)
    peaks = [basin for basin in density.find_basins(grid.sum(axis=1), smoothing=1.5) if basin.mass >= 0.15]
    if not peaks:
        raise GateFailureError(ground.template.name, "no-cells")
    cells_peaks = [peaks[-1]]
    while len(cells_peaks) < len(peaks) and cells_peaks[0].peak - peaks[-len(cells_peaks) - 1].peak < _NEAR:
        cells_peaks.insert(0, peaks[-len(cells_peaks) - 1])
    cut = cells_peaks[0].left
    centres = (np.arange(_GRID) + 0.5) / _GRID
    points = np.column_stack([np.repeat(centres, _GRID), np.tile(centres, _GRID)])
    weights = np.where(np.repeat(np.arange(_GRID), _GRID) >= cut, pooled, 0.0)
    used = weights > 0
    centre, scatter = density.fit_ellipse(points[used], weights[used])
    dimensions = tuple(ground.dimension(i, ground.scatter_scale(i)) for i in range(2))
    covariance = tuple(tuple(float(value) for value in row) for row in scatter)
    gate = EllipsoidGate(
        ground.template.name, ground.template.parent, dimensions, (float(centre[0]), float(centre[1])), covariance, _INSIDE
    )
    return gate, {"debris_below": cut / _GRID, "share_above": float(np.sum(weights) / np.sum(pooled))}


# singlets


def _summarise_ratio(ground: Ground, evaluation: Evaluation) -> Array:
    rows = evaluation.rows_of(ground.template.parent)
    area, height = (evaluation.values(ground.dimension(i), rows) for i in range(2))
    kept = (area > 0) & (height > 0)
    ratio = np.log(height[kept].astype(np.float64) / area[kept])
    counts, _ = np.histogram(ratio, bins=_RATIO_BINS, range=(_RATIO_LOW, _RATIO_HIGH))
    return counts.astype(np.float64)


def _draw_singlets(ground: Ground, pooled: Array) -> tuple[Gate, Facts]:
    """Band of heights around the usual height for an area; doublets have less height, so the upper half gives the spread."""
    if float(np.sum(pooled)) <= 0:
        raise GateFailureError(ground.template.name, "no-ratio")
    basins = density.find_basins(pooled, smoothing=3.0)
    main = max(basins, key=lambda basin: basin.mass)
    width = (_RATIO_HIGH - _RATIO_LOW) / _RATIO_BINS
    middle = _RATIO_LOW + (main.peak + 0.5) * width
    spread = density.half_spread(pooled[: main.right], main.peak, upper=True) * width
    low, high = math.exp(middle - 3.5 * spread), math.exp(middle + 4.0 * spread)
    far = 4.0 * ground.ranges[ground.template.channels[0]]
    dimensions = (ground.dimension(0), ground.dimension(1))
    vertices = ((0.0, 0.0), (far, low * far), (far, high * far))
    return PolygonGate(ground.template.name, ground.template.parent, dimensions, vertices), {"ratio": math.exp(middle), "spread": spread}


# viability and lineage


def _summarise_fluorescence(ground: Ground, evaluation: Evaluation) -> Array:
    scale = ground.fluorescence_scale()
    edges = cells.from_scale(scale.kind, np.linspace(_FLUO_LOW, _FLUO_HIGH, _BINS + 1)[1:-1], scale.parameters)
    values = evaluation.values(ground.dimension(0), evaluation.rows_of(ground.template.parent))
    finite = values[np.isfinite(values)]
    return np.bincount(np.searchsorted(edges, finite, side="right"), minlength=_BINS).astype(np.float64)


def _display(position: float) -> float:
    return _FLUO_LOW + position * (_FLUO_HIGH - _FLUO_LOW) / _BINS


def _draw_viability(ground: Ground, pooled: Array) -> tuple[Gate, Facts]:
    """Below the valley over the dimmest population; without a valley, below its peak plus 3.5 SD of its lower half."""
    basins = density.find_basins(pooled)
    live = next((index for index, basin in enumerate(basins) if basin.mass >= _MAIN), None)
    if live is None:
        raise GateFailureError(ground.template.name, "no-live-cells")
    if live + 1 < len(basins):
        high, facts = _display(basins[live].right + 0.5), _valley(basins, live)
    else:
        high = _display(basins[live].peak + 0.5 + 3.5 * density.half_spread(pooled, basins[live].peak, upper=False))
        facts = {"by": "tail"}
    dimension = ground.dimension(0, ground.fluorescence_scale(), None, high)
    return RectangleGate(ground.template.name, ground.template.parent, (dimension,)), {**facts, "peaks": len(basins)}


def _draw_lineage(ground: Ground, pooled: Array) -> tuple[Gate, Facts]:
    """Above the valley under the brightest population; without a valley, above its peak less 3.5 SD of its upper half."""
    basins = density.find_basins(pooled)
    bright = next((index for index in reversed(range(len(basins))) if basins[index].mass >= _MAIN), None)
    if bright is None:
        raise GateFailureError(ground.template.name, "no-positive-cells")
    if bright > 0:
        low, facts = _display(basins[bright].left + 0.5), _valley(basins, bright - 1)
    else:
        low = _display(basins[bright].peak + 0.5 - 3.5 * density.half_spread(pooled, basins[bright].peak, upper=True))
        facts = {"by": "tail"}
    dimension = ground.dimension(0, ground.fluorescence_scale(), low, None)
    return RectangleGate(ground.template.name, ground.template.parent, (dimension,)), {**facts, "peaks": len(basins)}


def _valley(basins: Sequence[density.Basin], left: int) -> dict[str, object]:
    """How the gate between a basin and the next was found."""
    return {"by": "valley", "depth": 1.0 - basins[left].floor / min(basins[left].height, basins[left + 1].height)}


_METHODS: Mapping[GateMethod, tuple[Callable[[Ground, Evaluation], Array], Callable[[Ground, Array], tuple[Gate, Facts]]]] = (
    MappingProxyType(
        {
            GateMethod.SCATTER: (_summarise_scatter, _draw_scatter),
            GateMethod.SINGLETS: (_summarise_ratio, _draw_singlets),
            GateMethod.VIABILITY: (_summarise_fluorescence, _draw_viability),
            GateMethod.LINEAGE: (_summarise_fluorescence, _draw_lineage),
        }
    )
)
