"""From the events of calibration beads to what one unit of a channel is worth in molecules of fluorochrome.

Rainbow beads are a mixture, in about equal parts, of a known number of populations; each has a known
brightness in each channel. The channel that tells most populations apart names the population of every
bead, for all channels. Populations that run together at its dim or at its bright end are known by their
share of the beads; another channel may tell these apart, else they are not used. Two and more beads at once
are left out by scatter.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from exvivo.numerics.density import Basin, find_basins, fit_ellipse
from exvivo.numerics.medians import measure_median

Array = NDArray[np.float64]
Labels = NDArray[np.intp]

NOBODY = -1
"""Label of an event that belongs to no population that stands alone."""
_LOW, _HIGH = -2, -3  # labels, while populations are looked for, of those that run together at the ends

_BINS, _DEPTH = 512, 0.2
_SMOOTHINGS = (4.0, 8.0, 16.0)  # bins; few beads need more of it
_DEBRIS = 0.25  # a peak with less than this part of an equal share of the beads is no population
_APART = 2.0  # medians of neighbours, in sums of their spreads: noise cut in two is 1.3 apart
_UNEVEN = 0.4  # how far, in shares of one population, the share of a peak may lie from a whole number of them
_SINGLET = 4.0  # squared distance from the centre of scatter: 86 % of a normal cloud
_FITTED_ON = 50_000
_FEW = 50  # beads of one population
_AT_END = 0.05  # part of a population's events beyond the end of the scale
_TRIED = 400


class Fate(StrEnum):
    """Whether a population of beads could be used in a channel, or why not."""

    USED = "used"
    UNKNOWN = "unknown"
    MERGED = "merged"
    FEW = "few"
    DIM = "dim"
    SATURATED = "saturated"


@dataclass(frozen=True, slots=True)
class Populations:
    """Which population each event belongs to, from the dimmest (0).

    Attributes
    ----------
    channels : indices of the channels that told them apart, the one that told most of them first
    labels : ndarray, shape (n_events,); ``NOBODY`` for events of populations that run together in every channel, and for debris
    merged : populations that run together, at the dim and at the bright end of the first channel
    separation : smallest distance of two neighbouring medians in the first channel, in sums of their spreads
    """

    channels: tuple[int, ...]
    labels: Labels
    merged: tuple[int, int]
    separation: float


@dataclass(frozen=True, slots=True)
class Peak:
    """One population in one channel: median and its standard error (None when there is none), events, and what became of it."""

    median: float | None
    se: float | None
    count: int
    fate: Fate


@dataclass(frozen=True, slots=True)
class Conversion:
    """Fluorescence of one channel in molecules: exp(intercept) times fluorescence to the power of slope.

    Attributes
    ----------
    slope, intercept : m and b, natural logarithms
    autofluorescence : of the beads, in molecules; no part of the conversion
    covariance : ndarray, shape (3, 3), of these three; zero rows for an autofluorescence at its bound of 0; None without degrees of freedom
    df : populations minus three
    low, high : smallest and largest fluorescence of the populations that it rests on
    residual_pct : ndarray, shape (n_used,): known value and autofluorescence over what the curve says, minus one, in per cent
    """

    slope: float
    intercept: float
    autofluorescence: float
    covariance: Array | None
    df: int
    low: float
    high: float
    residual_pct: Array

    def convert(self, values: Array) -> Array:
        """Molecules; a fluorescence below zero gives as many below zero."""
        return np.asarray(np.sign(values) * math.exp(self.intercept) * np.abs(values) ** self.slope, dtype=np.float64)

    def error(self, value: float, se: float = 0.0) -> float | None:
        """Standard error of the converted value from that of the value and from the curve's; None without degrees of freedom."""
        return self.difference((value, se), (0.0, 0.0))[1]

    def difference(self, above: tuple[float, float], below: tuple[float, float]) -> tuple[float, float | None]:
        """Molecules of one value less those of another, and the standard error; None without degrees of freedom.

        Parameters
        ----------
        above, below : two values of independent error, each with its standard error

        Notes
        -----
        Delta method. Both values lie on one curve, so that its errors are shared. Within its own error of zero a value has
        the slope that the curve has at that error.
        """
        values = np.array([above[0], below[0]])
        molecules = self.convert(values)
        found = float(molecules[0] - molecules[1])
        if self.covariance is None:
            return found, None
        logs = np.log(np.maximum(np.abs(values), np.finfo(float).tiny))
        toward = np.array([molecules @ (logs * [1.0, -1.0]), found])
        variance = float(toward @ self.covariance[:2, :2] @ toward)
        for value, se in (above, below):
            if se > 0:
                steep = self.slope * math.exp(self.intercept) * max(abs(value), se) ** (self.slope - 1.0)
                variance += (steep * se) ** 2
        return found, math.sqrt(variance)

    def standard_errors(self) -> tuple[float | None, float | None, float | None]:
        """Of slope, intercept and autofluorescence; None where there is none."""
        if self.covariance is None:
            return None, None, None
        slope, intercept, autofluorescence = np.sqrt(np.diag(self.covariance)).tolist()
        return slope, intercept, autofluorescence or None


def select_singlets(scatter: Array) -> NDArray[np.bool_]:
    """Events inside the ellipse around the densest scatter, shape (n_events,).

    Parameters
    ----------
    scatter : ndarray, shape (n_events, 2), forward and side, linear
    """
    step = max(len(scatter) // _FITTED_ON, 1)
    some = scatter[::step]
    centre, spread = fit_ellipse(some, np.ones(len(some)))
    shifted = scatter - centre
    return np.asarray(np.sum(shifted * np.linalg.solve(spread, shifted.T).T, axis=1) <= _SINGLET)


def find_populations(events: Array, floors: Array, n_populations: int) -> tuple[Populations | None, tuple[int, ...]]:
    """Population of every bead, by the channel that tells most of them apart, and by others for those that run together in it.

    Parameters
    ----------
    events : ndarray, shape (n_events, n_channels), linear; single beads
    floors : ndarray, shape (n_channels,), lowest value of each channel's scale: 0 where values may be negative
    n_populations : how many there are in the mixture

    Returns
    -------
    populations : None when no channel shows them
    shown : peaks of each channel
    """
    best: Populations | None = None
    shown = []
    for channel in range(events.shape[1]):
        found, peaks = _find_in(events[:, channel], float(floors[channel]), n_populations)
        shown.append(peaks)
        if found is None or found.separation < _APART:
            continue
        if best is None or (-sum(found.merged), found.separation) > (-sum(best.merged), best.separation):
            best = Populations((channel,), found.labels, found.merged, found.separation)
    return (None if best is None else _split_ends(best, events, floors, n_populations)), tuple(shown)


def summarise_peaks(values: Array, labels: Labels, known: Sequence[float | None], floor: float, ceiling: float) -> tuple[Peak, ...]:
    """Every population in one channel, from the dimmest.

    Parameters
    ----------
    values, labels : ndarray, shape (n_events,), linear
    known : value of each population, None where it is unknown
    floor, ceiling : ends of the channel's scale
    """
    return tuple(_summarise(values[labels == label], value, floor, ceiling) for label, value in enumerate(known))


def fit_conversion(fluorescence: Array, known: Array) -> Conversion:
    """Curve through the populations of beads in one channel.

    Parameters
    ----------
    fluorescence : ndarray, shape (n_used,), medians, positive, n_used >= 3
    known : ndarray, shape (n_used,), molecules of each, not negative

    Notes
    -----
    log(known + autofluorescence) = m log(fluorescence) + b by least squares, autofluorescence not negative (Castillo-Hair et al.,
    ACS Synth Biol 5:774-780, 2016). For a given autofluorescence m and b are a line; the sum of squares over it is searched.
    """
    if len(known) < 3 or np.min(fluorescence) <= 0 or np.min(known) < 0 or not np.max(known) > 0:
        raise ValueError("three or more populations of positive fluorescence and known value are needed")
    x = np.log(fluorescence)
    autofluorescence = _search(x, known)
    (slope, intercept), _ = _line(x, known, autofluorescence)
    fitted = np.exp(slope * x + intercept)
    residual = 100.0 * ((known + autofluorescence) / fitted - 1.0)
    ends = float(np.min(fluorescence)), float(np.max(fluorescence))
    return Conversion(slope, intercept, autofluorescence, _covariance(x, known, autofluorescence), len(x) - 3, *ends, residual)


def _find_in(values: Array, floor: float, n_populations: int) -> tuple[Populations | None, int]:
    """Populations by one channel, at the finest smoothing that shows them, and its peaks there; at the finest of all where none does."""
    scaled = np.arcsinh(values / _linear_part(values, floor))
    low, high = float(np.min(scaled)), float(np.max(scaled))
    margin = 0.05 * (high - low) or 1.0
    counts, edges = np.histogram(scaled, bins=_BINS, range=(low - margin, high + margin))
    shown = []
    for smoothing in _SMOOTHINGS:
        basins = [basin for basin in find_basins(counts.astype(np.float64), smoothing, _DEPTH) if basin.mass > _DEBRIS / n_populations]
        shown.append(len(basins))
        sizes = _sizes(basins, n_populations)
        if sizes is not None:
            labels = _label(scaled, edges, basins, sizes)
            return Populations((), labels, _merged(sizes), _separation(scaled, labels)), shown[-1]
    return None, shown[0]


def _split_ends(found: Populations, events: Array, floors: Array, n_populations: int) -> Populations:
    """The same populations, with those that run together at an end told apart by other channels where these can."""
    labels, channels, left = found.labels.copy(), list(found.channels), [0, 0]
    firsts = (0, n_populations - found.merged[1])
    for end, (mark, first, size) in enumerate(zip((_LOW, _HIGH), firsts, found.merged, strict=True)):
        inside = found.labels == mark
        inner = find_populations(events[inside], floors, size)[0] if size else None
        if inner is None:
            labels[inside], left[end] = NOBODY, size
            continue
        labels[inside] = np.where(inner.labels == NOBODY, NOBODY, inner.labels + first)
        channels += [channel for channel in inner.channels if channel not in channels]
        left[end] = sum(inner.merged)
    return Populations(tuple(channels), labels, (left[0], left[1]), found.separation)


def _linear_part(values: Array, floor: float) -> float:
    """Where the scale turns from linear to logarithmic: twice the noise around zero, so that noise makes no peaks of its own."""
    below = values[values < 0]
    noise = 2.0 * 1.4826 * float(np.median(-below)) if len(below) > len(values) / 1000 else 0.0
    return max(noise, floor, float(np.quantile(np.abs(values), 0.01)), 1e-6 * float(np.max(np.abs(values))), 1e-12)


def _sizes(basins: Sequence[Basin], n_populations: int) -> list[int] | None:
    """How many populations each peak holds, by its share of the beads; None when they do not add up."""
    if not 1 < len(basins) <= n_populations:
        return None
    shares = np.array([basin.mass for basin in basins])
    relative = shares / float(np.median(shares))
    sizes = np.maximum(np.round(relative), 1)
    whole = bool(np.all(np.abs(relative - sizes) <= _UNEVEN)) and int(sizes.sum()) == n_populations
    return [int(size) for size in sizes] if whole and bool(np.all(sizes[1:-1] == 1)) else None


def _merged(sizes: Sequence[int]) -> tuple[int, int]:
    low, high = (size if size > 1 else 0 for size in (sizes[0], sizes[-1]))
    return low, high


def _label(scaled: Array, edges: Array, basins: Sequence[Basin], sizes: Sequence[int]) -> Labels:
    labels = np.full(len(scaled), NOBODY, dtype=np.intp)
    first = 0
    for at, (basin, size) in enumerate(zip(basins, sizes, strict=True)):
        mark = first if size == 1 else _HIGH if at else _LOW
        labels[(scaled >= edges[basin.left]) & (scaled < edges[basin.right])] = mark
        first += size
    return labels


def _separation(scaled: Array, labels: Labels) -> float:
    groups = [scaled[labels == label] for label in np.unique(labels[labels >= 0])]
    middles = [float(np.median(group)) for group in groups]
    spreads = [max(1.4826 * float(np.median(np.abs(group - middle))), 1e-9) for group, middle in zip(groups, middles, strict=True)]
    apart = [(middles[i + 1] - middles[i]) / (spreads[i] + spreads[i + 1]) for i in range(len(groups) - 1)]
    return min(apart, default=math.inf)


def _summarise(values: Array, known: float | None, floor: float, ceiling: float) -> Peak:
    if not len(values):
        return Peak(None, None, 0, Fate.MERGED)
    if len(values) < _FEW:
        return Peak(float(np.median(values)), None, len(values), Fate.FEW)
    found = measure_median(values)
    median, se = found.value, found.se
    low, high = np.quantile(values, [_AT_END, 1.0 - _AT_END]).tolist()
    fate = Fate.SATURATED if high >= ceiling else Fate.DIM if low <= floor else Fate.UNKNOWN if known is None else Fate.USED
    return Peak(median, se, len(values), fate)


def _line(x: Array, known: Array, autofluorescence: float) -> tuple[tuple[float, float], float]:
    """Slope and intercept for a given autofluorescence, and the sum of squares."""
    y = np.log(known + autofluorescence)
    centred = x - x.mean()
    slope = float(centred @ y / (centred @ centred))
    intercept = float(y.mean() - slope * x.mean())
    return (slope, intercept), float(np.sum((y - slope * x - intercept) ** 2))


def _search(x: Array, known: Array) -> float:
    """Autofluorescence of the least sum of squares: the best of a grid, refined between its neighbours."""
    dimmest, brightest = float(np.min(known[known > 0])), float(np.max(known))
    tried = np.geomspace(1e-4 * dimmest, brightest, _TRIED)
    sums = [_line(x, known, one)[1] for one in tried]
    at = int(np.argmin(sums))
    low, high = math.log(tried[max(at - 1, 0)]), math.log(tried[min(at + 1, _TRIED - 1)])
    refined = minimize_scalar(lambda t: _line(x, known, math.exp(t))[1], bounds=(low, high), method="bounded", options={"xatol": 1e-10})
    none = _line(x, known, 0.0)[1] if np.min(known) > 0 else math.inf
    return 0.0 if none <= refined.fun else math.exp(refined.x)


def _covariance(x: Array, known: Array, autofluorescence: float) -> Array | None:
    """Of slope, intercept and autofluorescence, from the spread of the populations around the curve."""
    df = len(x) - 3
    if df < 1:
        return None
    gradient = np.column_stack([x, np.ones(len(x)), -1.0 / (known + autofluorescence)])
    free = 3 if autofluorescence > 0 else 2
    spread = _line(x, known, autofluorescence)[1] / df
    covariance = np.zeros((3, 3))
    covariance[:free, :free] = spread * np.linalg.pinv(gradient[:, :free].T @ gradient[:, :free])
    return covariance
