"""Medians with what is known of their error, and of their difference: nothing is assumed of the distribution.

Single cells are many and skewed, so that everything rests on order statistics: the interval of a median is exact,
the difference of two medians is normal with an error that each sample's own order statistics tell.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, bdtrik, ndtr, ndtri

LEAST = 6
"""Values below which two order statistics cannot hold the median with 95 % confidence."""


@dataclass(frozen=True, slots=True)
class Median:
    """Median of a sample: value, standard error, limits (infinite where the sample is too small), robust SD, size."""

    value: float
    se: float
    low: float
    high: float
    spread: float
    n: int


def measure_median(values: NDArray[np.floating], level: float = 0.95) -> Median:
    """Median of a sample with its error, its limits and the spread around it.

    Parameters
    ----------
    values : ndarray, shape (n,), n >= 2
    level : confidence

    Returns
    -------
    Median : ``spread`` is half the distance between the percentiles 15.87 and 84.13, which is the SD where the sample is normal

    Notes
    -----
    Limits: the innermost pair of order statistics of ranks r and n + 1 - r whose binomial coverage is at least ``level``.
    Standard error: half the distance between the order statistics of ranks c and n + 1 - c, c = (n + 1) / 2 - sqrt(n), over the
    normal quantile of the exact probability outside them (Price & Bonett, J Stat Comput Simul 68:295-305, 2001).

    Examples
    --------
    >>> found = measure_median(np.arange(1.0, 102.0))
    >>> found.value, found.low, found.high
    (51.0, 41.0, 61.0)
    """
    n = len(values)
    near, z = _near_ranks(n)
    far = rank_of_limit(n, level)
    ranks = sorted({near - 1, n - near, (n - 1) // 2, n // 2, max(far, 1) - 1, n - max(far, 1)})
    ordered = np.partition(values.astype(np.float64), ranks)
    low, high = np.quantile(values, [_TAIL, 1.0 - _TAIL])
    return Median(
        value=float(ordered[(n - 1) // 2] + ordered[n // 2]) / 2.0,
        se=float(ordered[n - near] - ordered[near - 1]) / (2.0 * z),
        low=float(ordered[far - 1]) if far else -math.inf,
        high=float(ordered[n - far]) if far else math.inf,
        spread=float(high - low) / 2.0,
        n=n,
    )


def medians_by_row(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Median of every row and its standard error, as ``measure_median`` gives them; shape (n_rows, n) to two of (n_rows,)."""
    n = values.shape[1]
    near, z = _near_ranks(n)
    ordered = np.sort(values, axis=1)
    return (ordered[:, (n - 1) // 2] + ordered[:, n // 2]) / 2.0, (ordered[:, n - near] - ordered[:, near - 1]) / (2.0 * z)


def _near_ranks(n: int) -> tuple[int, float]:
    """Rank of the order statistics whose distance gives a median's error, and the normal quantile that belongs to it."""
    rank = max(round((n + 1) / 2.0 - math.sqrt(n)), 1)
    return rank, float(ndtri(1.0 - bdtr(rank - 1, n, 0.5)))


def rank_of_limit(n: int, level: float = 0.95) -> int:
    """Rank from either end of the order statistics that hold the median with a confidence; 0 where the sample is too small.

    >>> rank_of_limit(5), rank_of_limit(6), rank_of_limit(100)
    (0, 1, 40)
    """
    tail = (1.0 - level) / 2.0
    rank = max(int(bdtrik(tail, n, 0.5)) - 1, 0)
    while rank < n // 2 and bdtr(rank, n, 0.5) <= tail:
        rank += 1
    return rank


def difference_limits(stained: Median, control: Median, level: float = 0.95) -> tuple[float, float, float]:
    """Standard error and limits of the difference of two medians of independent samples.

    Notes
    -----
    Price & Bonett, J Stat Comput Simul 72:119-124 (2002): normal limits with both order-statistic variances added.
    """
    se = math.hypot(stained.se, control.se)
    difference, half = stained.value - control.value, float(ndtri(0.5 + level / 2.0)) * se
    return se, difference - half, difference + half


_TAIL = float(ndtr(-1.0))
