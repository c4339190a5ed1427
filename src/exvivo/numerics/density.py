"""Shapes of distributions that gates are drawn from: peaks and valleys, a robust ellipse, medians with their errors.

Densities come in as histograms, so that tubes can be pooled with equal weight by adding
their normalised counts; nothing here depends on the order of events.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.special import bdtr, ndtri

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Basin:
    """One peak of a density: first bin, bin of the peak, bin behind the last, share of the mass."""

    left: int
    peak: int
    right: int
    mass: float


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
        Basin(left, peak, right, float(np.sum(counts[left:right])) / total)
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


def median_error(values: NDArray[np.floating]) -> tuple[float, float]:
    """Median of a sample and its standard error from order statistics.

    Parameters
    ----------
    values : ndarray, shape (n,), n >= 2

    Notes
    -----
    Price & Bonett, J Stat Comput Simul 68:295-305 (2001): half the distance between the order statistics of ranks
    c and n + 1 - c, c = (n + 1) / 2 - sqrt(n), over the normal quantile of the exact probability outside them.
    """
    n = len(values)
    rank = max(round((n + 1) / 2.0 - math.sqrt(n)), 1)
    ordered = np.partition(values.astype(np.float64, copy=False), [rank - 1, (n - 1) // 2, n // 2, n - rank])
    z = float(ndtri(1.0 - bdtr(rank - 1, n, 0.5)))
    median = float(ordered[(n - 1) // 2] + ordered[n // 2]) / 2.0
    return median, float(ordered[n - rank] - ordered[rank - 1]) / (2.0 * z)


def wilson_limits(hits: int, n: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Wilson's limits of a proportion (JASA 22:209-212, 1927).

    >>> [round(limit, 4) for limit in wilson_limits(81, 263)]
    [0.2553, 0.3662]
    """
    share, widened = hits / n, z * z / n
    middle = (share + widened / 2.0) / (1.0 + widened)
    half = z * math.sqrt(share * (1.0 - share) / n + widened / (4.0 * n)) / (1.0 + widened)
    return max(middle - half, 0.0), min(middle + half, 1.0)
