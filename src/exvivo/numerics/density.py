"""Shapes of distributions: peaks and valleys, a robust ellipse, a share with its limits.

Densities come in as histograms, so that tubes can be pooled with equal weight by adding
their normalised counts; nothing here depends on the order of events.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

Array = NDArray[np.float64]

_CELLS = 512  # cells of the axis on which a valley is looked for
_QUARTILES = 1.349  # SDs between the quartiles of a normal distribution


@dataclass(frozen=True, slots=True)
class Basin:
    """One peak of a density: first bin, bin of the peak, bin behind the last, share of the mass.

    ``height`` is the smoothed density at the peak, ``floor`` at the bin behind the last: the valley to the next peak.
    """

    left: int
    peak: int
    right: int
    mass: float
    height: float
    floor: float


def find_basins(counts: Array, smoothing: float = 4.0, depth: float = 0.25) -> tuple[Basin, ...]:
    """Peaks of a histogram and the valleys between them.

    Parameters
    ----------
    counts : ndarray, shape (n_bins,), not negative
    smoothing : SD of the Gaussian that smooths it, in bins
    depth : a valley counts when it lies at least this share below the lower of its two peaks

    Returns
    -------
    tuple of Basin from left to right; neighbours share a border, at the bottom of the valley. Empty when there are no counts

    Examples
    --------
    >>> [basin.peak for basin in find_basins(np.array([0, 9, 1, 0, 1, 4, 0.0]), smoothing=0.1)]
    [1, 5]
    """
    total = float(np.sum(counts))
    if total <= 0:
        return ()
    height = gaussian_filter1d(np.asarray(counts, dtype=np.float64), smoothing, mode="constant")
    rising = np.diff(height, prepend=-1.0) > 0
    falling = np.diff(height, append=-1.0) <= 0
    peaks = [int(i) for i in np.flatnonzero(rising & falling & (height > 0))]
    valleys = [a + int(np.argmin(height[a : b + 1])) for a, b in pairwise(peaks)]
    while valleys:
        shares = [height[v] / min(height[a], height[b]) for a, v, b in zip(peaks[:-1], valleys, peaks[1:], strict=True)]
        worst = int(np.argmax(shares))
        if shares[worst] <= 1.0 - depth:
            break
        del valleys[worst]
        del peaks[worst if height[peaks[worst]] < height[peaks[worst + 1]] else worst + 1]
    borders = [0, *valleys, len(height)]
    return tuple(
        Basin(left, peak, right, float(np.sum(counts[left:right])) / total, float(height[peak]), float(height[min(right, len(height) - 1)]))
        for left, peak, right in zip(borders[:-1], peaks, borders[1:], strict=True)
    )


def half_spread(counts: Array, peak: int, *, upper: bool) -> float:
    """SD, in bins, of the half of a peak that lies below (or above) it: the other half may hold something else."""
    distance = np.arange(len(counts)) - peak if upper else peak - np.arange(len(counts))
    beyond = np.where(distance >= 0, counts, 0.0)
    order = np.argsort(distance, kind="stable")
    cumulated = np.cumsum(beyond[order])
    if cumulated[-1] <= 0:
        return 1.0
    at = int(np.searchsorted(cumulated, 0.6827 * cumulated[-1]))
    return max(float(distance[order][at]), 1.0)


def fit_ellipse(points: Array, weights: Array, degrees: float = 4.0, steps: int = 60) -> tuple[Array, Array]:
    """Centre and scatter of a cloud in two dimensions, little moved by what lies far from it.

    Parameters
    ----------
    points : ndarray, shape (n_points, 2)
    weights : ndarray, shape (n_points,), not negative

    Returns
    -------
    centre : ndarray, shape (2,)
    scatter : ndarray, shape (2, 2), scaled so that it is the covariance where the cloud is normal

    Notes
    -----
    Maximum likelihood of a t distribution with fixed degrees of freedom by iterated weights
    (Lange, Little & Taylor, JASA 84:881-896, 1989). The scale is then set so that the median
    squared distance is that of two normal variables, 2 ln 2.
    """
    share = weights / np.sum(weights)
    centre = np.array([_weighted_median(points[:, i], share) for i in range(2)])
    scatter = np.atleast_2d(np.cov(points.T, aweights=share)) + 1e-9 * np.eye(2)
    for _ in range(steps):
        distance = _distances(points, centre, scatter)
        pull = share * (degrees + 2.0) / (degrees + distance)
        moved = pull @ points / np.sum(pull)
        shifted = points - moved
        scatter = (pull[:, None] * shifted).T @ shifted + 1e-9 * np.eye(2)
        done = float(np.max(np.abs(moved - centre))) < 1e-7
        centre = moved
        if done:
            break
    scale = _weighted_median(_distances(points, centre, scatter), share) / (2.0 * math.log(2.0))
    return centre, scatter * max(scale, 1e-12)


def _distances(points: Array, centre: Array, scatter: Array) -> Array:
    shifted = points - centre
    return np.asarray(np.sum(shifted * np.linalg.solve(scatter, shifted.T).T, axis=1), dtype=np.float64)


def _weighted_median(values: Array, share: Array) -> float:
    order = np.argsort(values, kind="stable")
    at = int(np.searchsorted(np.cumsum(share[order]), 0.5 * float(np.sum(share))))
    return float(values[order][min(at, len(values) - 1)])


def ellipse_outline(centre: Array, scatter: Array, distance_square: float, corners: int = 24) -> Array:
    """Polygon, shape (corners, 2), that follows an ellipse."""
    angle = np.linspace(0.0, 2.0 * np.pi, corners, endpoint=False)
    circle = np.column_stack([np.cos(angle), np.sin(angle)]) * math.sqrt(distance_square)
    return np.asarray(centre + circle @ np.linalg.cholesky(scatter).T, dtype=np.float64)


def valley_depth(values: NDArray[np.floating], scale: float, *, least: float = 0.1) -> float:
    """How far a density falls between two of its peaks, as a share of the lower one; 0 where it has one peak.

    Parameters
    ----------
    values : ndarray, shape (n,), n >= 2
    scale : values within it are shown linearly, those far beyond it on a log scale (arcsinh of value / scale)
    least : share of the values that must lie on either side of the valley

    Notes
    -----
    Gaussian kernel on the arcsinh scale, bandwidth by Silverman's rule, Density estimation (1986), eq. 3.31. A normal density
    shown so has two peaks where its SD is above ``scale``, and one below.
    """
    shown = np.arcsinh(values / scale)
    lowest, first, third, highest = np.quantile(shown, [0.001, 0.25, 0.75, 0.999])
    width = 0.9 * min(float(np.std(shown)), float(third - first) / _QUARTILES) * len(shown) ** -0.2
    if width <= 0:
        return 0.0
    edges = (lowest - 3.0 * width, highest + 3.0 * width)
    counts, _ = np.histogram(shown, bins=_CELLS, range=edges)
    height = gaussian_filter1d(counts.astype(np.float64), width * _CELLS / (edges[1] - edges[0]), mode="constant")
    lower_peak = np.minimum(np.maximum.accumulate(height), np.maximum.accumulate(height[::-1])[::-1])
    behind = np.cumsum(counts) / np.sum(counts)
    between = (behind >= least) & (behind <= 1.0 - least) & (lower_peak > 0)
    return float(np.max(1.0 - height[between] / lower_peak[between], initial=0.0))


def wilson_limits(hits: int, n: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Wilson's limits of a proportion (JASA 22:209-212, 1927).

    >>> [round(limit, 4) for limit in wilson_limits(81, 263)]
    [0.2553, 0.3662]
    """
    share, widened = hits / n, z * z / n
    middle = (share + widened / 2.0) / (1.0 + widened)
    half = z * math.sqrt(share * (1.0 - share) / n + widened / (4.0 * n)) / (1.0 + widened)
    return max(middle - half, 0.0), min(middle + half, 1.0)
