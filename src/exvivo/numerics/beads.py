"""From the events of calibration beads to what one unit of a channel is worth in molecules of fluorochrome.

Rainbow beads are a mixture, in about equal parts, of a known number of populations; each has a known
brightness in each channel. The channel that tells most populations apart names the population of every
bead, for all channels. Populations that run together at the dim or at the bright end are known by their
share of the beads; they are counted and not used. Two and more events at once are left out by scatter.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from exvivo.numerics.density import Basin, find_basins, fit_ellipse, median_error

Array = NDArray[np.float64]
Labels = NDArray[np.intp]

NOBODY = -1
"""Label of an event that belongs to no population that stands alone."""

_BINS, _SMOOTHING, _DEPTH = 512, 4.0, 0.2
_DEBRIS = 0.25  # a peak with less than this part of an equal share of the beads is no population
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
    """Which population each event belongs to, from the dimmest (0), by the channel that tells most of them apart.

    Attributes
    ----------
    channel : index of that channel
    labels : ndarray, shape (n_events,); ``NOBODY`` for events of populations that run together, and for debris
    merged : populations that run together at the dim and at the bright end
    separation : smallest distance of two neighbouring medians, in sums of their spreads
    """

    channel: int
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
        """Standard error of the converted value from that of the value and from the curve's; None without degrees of freedom, or at 0."""
        if self.covariance is None or value == 0.0:
            return None
        toward = np.array([math.log(abs(value)), 1.0])
        variance = float(toward @ self.covariance[:2, :2] @ toward) + (self.slope * se / value) ** 2
        return float(abs(self.convert(np.array([value]))[0])) * math.sqrt(variance)

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
    """Population of every bead, by the channel that tells most of them apart.

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
        scaled = np.arcsinh(events[:, channel] / _linear_part(events[:, channel], float(floors[channel])))
        edges, basins = _peaks(scaled, n_populations)
        shown.append(len(basins))
        sizes = _sizes(basins, n_populations)
        if sizes is None:
            continue
        labels = _label(scaled, edges, basins, sizes)
        found = Populations(channel, labels, _merged(sizes), _separation(scaled, labels))
        if best is None or (-sum(found.merged), found.separation) > (-sum(best.merged), best.separation):
            best = found
    return best, tuple(shown)


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


def _linear_part(values: Array, floor: float) -> float:
    """Where the scale turns from linear to logarithmic: twice the noise around zero, so that noise makes no peaks of its own."""
    below = values[values < 0]
    noise = 2.0 * 1.4826 * float(np.median(-below)) if len(below) > len(values) / 1000 else 0.0
    return max(noise, floor, float(np.quantile(np.abs(values), 0.01)), 1e-6 * float(np.max(np.abs(values))), 1e-12)


def _peaks(scaled: Array, n_populations: int) -> tuple[Array, list[Basin]]:
    """Edges of the histogram's bins, and its peaks without debris."""
    low, high = float(np.min(scaled)), float(np.max(scaled))
    margin = 0.05 * (high - low) or 1.0
    counts, edges = np.histogram(scaled, bins=_BINS, range=(low - margin, high + margin))
    basins = find_basins(counts.astype(np.float64), _SMOOTHING, _DEPTH)
    return edges, [basin for basin in basins if basin.mass > _DEBRIS / n_populations]


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
    for basin, size in zip(basins, sizes, strict=True):
        if size == 1:
            labels[(scaled >= edges[basin.left]) & (scaled < edges[basin.right])] = first
        first += size
    return labels


def _separation(scaled: Array, labels: Labels) -> float:
    groups = [scaled[labels == label] for label in np.unique(labels[labels != NOBODY])]
    middles = [float(np.median(group)) for group in groups]
    spreads = [max(1.4826 * float(np.median(np.abs(group - middle))), 1e-9) for group, middle in zip(groups, middles, strict=True)]
    apart = [(middles[i + 1] - middles[i]) / (spreads[i] + spreads[i + 1]) for i in range(len(groups) - 1)]
    return min(apart, default=0.0)


def _summarise(values: Array, known: float | None, floor: float, ceiling: float) -> Peak:
    if not len(values):
        return Peak(None, None, 0, Fate.MERGED)
    if len(values) < _FEW:
        return Peak(float(np.median(values)), None, len(values), Fate.FEW)
    median, se = median_error(values)
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
