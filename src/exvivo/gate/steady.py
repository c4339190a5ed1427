"""The first gate: events within the detectors' range, from the stretch of time in which the instrument ran steadily.

Time and margins belong to acquisition, not to cells. Each tube is looked at alone: its longest stretch is kept in which events arrive
at an ordinary rate and no detector's level has left its course. A clog, a burst and a laser that warms up each show in one of the two.
Scatter at the detector's ceiling or at zero is no measurement; a bright stain is one, so that stains are not looked at for margins.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exvivo.gate.prepare import OpenTube
from exvivo.numerics import medians

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

_RATE = 4.0  # factor around the median rate that is ordinary
_BINS, _PER_BIN, _FEWEST = 100, 50, 10  # bins of time, fewest events for each, fewest bins
_LEVEL_EVENTS, _LEVEL_BINS = 150, 8  # fewest events of a bin whose level is taken, fewest such bins
_LEVEL_MADS = 6.0  # distance from the tube's usual level, in SDs by the median absolute deviation
_MAD_SD = 1.4826
_ROOM = 1e-5  # of the whole time, outside its ends: programs that scale time in other precision see the same events
_MOST = 0.5  # a stretch with fewer of the events than this is not cut out
SMALLEST = 1e-6
"""Scatter at or below zero is below this."""


@dataclass(frozen=True, slots=True)
class Steady:
    """Range of time that is kept, closed below and open above; whether the tube was too unsteady to cut."""

    low: float
    high: float
    unsteady: bool = False


def steady_range(tube: OpenTube, clock: str) -> Steady:
    """Longest stretch of a tube in which rate and levels are ordinary; all of it when that is less than half of the events."""
    time = np.asarray(tube.evaluation.column(clock, "uncompensated"), dtype=np.float64)
    if len(time) == 0:
        return Steady(0.0, 0.0)
    first, last = float(np.min(time)), float(np.max(time))
    room = _ROOM * (last - first or 1.0)
    begin, end = first - room, last + room
    bins = min(_BINS, len(time) // _PER_BIN)
    if bins < _FEWEST or last <= first:
        return Steady(begin, end)
    counts, edges = np.histogram(time, bins=bins, range=(first, last))
    steady = _ordinary_rate(counts)
    for low, high in _odd_levels(tube, clock, time):
        steady &= (edges[1:] <= low) | (edges[:-1] >= high)
    stretch = _longest(steady, counts)
    if stretch is None or int(np.sum(counts[stretch])) < _MOST * len(time):
        return Steady(begin, end, unsteady=True)
    return Steady(float(edges[stretch.start]) if stretch.start else begin, end if stretch.stop == bins else float(edges[stretch.stop]))


def scatter_bounds(
    tubes: Sequence[OpenTube], channels: Iterable[str], ranges: Mapping[str, float]
) -> dict[str, tuple[float, float | None]]:
    """Bounds of scatter channels that leave out margins: above zero, and below the ceiling where events pile up there.

    A channel whose values exceed its stated range has no ceiling that could be known.
    """
    bounds: dict[str, tuple[float, float | None]] = {}
    for channel in dict.fromkeys(channels):
        columns = [tube.evaluation.column(channel, "uncompensated") for tube in tubes if channel in tube.evaluation.positions]
        top, ceiling = max((float(np.max(column)) for column in columns if len(column)), default=0.0), ranges.get(channel, 0.0) - 1.0
        bounds[channel] = SMALLEST, ceiling if ceiling > 0 and ceiling <= top <= ceiling + 1.0 else None
    return bounds


def _ordinary_rate(counts: NDArray[np.intp]) -> Flags:
    usual = float(np.median(counts[counts > 0]))
    return np.asarray((counts >= usual / _RATE) & (counts <= usual * _RATE))


def _odd_levels(tube: OpenTube, clock: str, time: Array) -> list[tuple[float, float]]:
    """Stretches of time in which the median of some channel lies far from what is usual in the tube."""
    order = np.argsort(time, kind="stable")
    per_bin = max(_LEVEL_EVENTS, len(time) // _BINS)
    n_bins = len(time) // per_bin
    if n_bins < _LEVEL_BINS:
        return []
    per_bin = len(time) // n_bins
    parts = order[: n_bins * per_bin].reshape(n_bins, per_bin)
    odd = np.zeros(n_bins, dtype=np.bool_)
    for channel in tube.evaluation.positions:
        if channel != clock:
            odd |= _far(np.asarray(tube.evaluation.column(channel, "uncompensated"), dtype=np.float64)[parts])
    return [(float(time[parts[k, 0]]), float(time[parts[k, -1]])) for k in np.flatnonzero(odd)]


def _far(values: Array) -> Flags:
    """Bins (rows) whose median is far from the median of all bins; the ordinary error of a bin's median is never too far.

    Where most values are alike, as in a channel that nothing was measured in, no distance is ordinary and none is called far.
    """
    levels, errors = medians.medians_by_row(values)
    distance = np.abs(levels - np.median(levels))
    usual = max(_MAD_SD * float(np.median(distance)), float(np.median(errors)))
    return np.asarray((distance > _LEVEL_MADS * usual) & (usual > 0))


def _longest(steady: Flags, counts: NDArray[np.intp]) -> slice | None:
    """Run of steady bins with the most events."""
    starts = np.flatnonzero(steady & ~np.concatenate([[False], steady[:-1]]))
    ends = np.flatnonzero(steady & ~np.concatenate([steady[1:], [False]])) + 1
    runs = [slice(int(start), int(end)) for start, end in zip(starts, ends, strict=True)]
    return max(runs, key=lambda run: int(np.sum(counts[run])), default=None)
