"""Exact comparison of two independent samples by ranks: rank-sum test, shift with its interval, probability of superiority.

In: values of two groups of donors. Out: p-values over all ways to split the pooled midranks, so that ties cost
nothing, and the Hodges-Lehmann shift with limits by order statistics of the differences between groups. Splits are
counted by adding one value at a time to a table of (values taken, doubled rank sum), in integers.

Values are rounded to ten significant digits of the largest before ranking, as in `ranks`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from exvivo.numerics.ranks import HodgesLehmann, cumulate, first_at_least, invert_sums, round_differences

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RankSum:
    """Exact rank-sum test: Mann-Whitney's U of the first sample, p-values, P(first > second) + P(equal) / 2."""

    statistic: float
    p: float
    p_less: float
    p_greater: float
    superiority: float


def compare_rank_sum(first: ArrayLike, second: ArrayLike) -> RankSum:
    """Exact Wilcoxon-Mann-Whitney test, conditional on ties.

    Parameters
    ----------
    first, second : shapes (n1,) and (n2,), finite

    Notes
    -----
    Two-sided: all splits at least as far from the expected rank sum, on either side. Mann and Whitney 1947, Ann Math
    Stat 18:50. Reference: coin and exactRankTests, case c18.
    """
    ranks, n1 = _pooled_ranks(first, second)
    n2 = ranks.size - n1
    doubled = np.rint(2 * ranks).astype(np.int64)
    observed = int(doubled[:n1].sum())
    counts = count_splits(doubled, n1)
    sums = np.arange(counts.size)
    centre = n1 * int(doubled.sum()) / doubled.size
    total = counts.sum()
    statistic = observed / 2 - n1 * (n1 + 1) / 2
    return RankSum(
        statistic=statistic,
        p=float(counts[np.abs(sums - centre) >= abs(observed - centre) - 1e-9].sum() / total),
        p_less=float(counts[: observed + 1].sum() / total),
        p_greater=float(counts[observed:].sum() / total),
        superiority=statistic / (n1 * n2),
    )


def approximate_rank_sum(first: ArrayLike, second: ArrayLike, *, correct: bool = True) -> float:
    """Two-sided p-value of the rank sum by its normal approximation, ties accounted for; R ``wilcox.test(exact = FALSE)``."""
    ranks, n1 = _pooled_ranks(first, second)
    n = ranks.size
    excess = float(ranks[:n1].sum()) - n1 * (n + 1) / 2
    variance = n1 * (n - n1) * float(((ranks - ranks.mean()) ** 2).sum()) / (n * (n - 1))
    if variance == 0:
        return 1.0
    distance = max(0.0, abs(excess) - (0.5 if correct else 0.0))
    return min(1.0, 2 * float(special.ndtr(-distance / np.sqrt(variance))))


def estimate_shift(first: ArrayLike, second: ArrayLike, *, level: float = 0.95) -> HodgesLehmann:
    """Hodges-Lehmann shift of the first sample against the second with its exact interval.

    Notes
    -----
    Hodges and Lehmann 1963, Ann Math Stat 34:598. `attained` is that of untied values. One-sided limits are those of
    the two-sided interval at level 2 * level - 1. Reference: R ``wilcox.test(conf.int = TRUE)``.
    """
    differences, n1 = _differences(first, second)
    n2 = differences.size // n1
    cumulative = cumulate(count_splits(2 * np.arange(1, n1 + n2 + 1), n1)[::2])[n1 * (n1 + 1) // 2 :]
    below = int(np.searchsorted(cumulative, (1 - level) / 2 * (1 + 1e-12), side="right"))
    estimate = float(np.median(differences))
    if below == 0:
        return HodgesLehmann(estimate=estimate, low=-np.inf, high=np.inf, attained=1.0)
    return HodgesLehmann(
        estimate=estimate,
        low=float(differences[below - 1]),
        high=float(differences[-below]),
        attained=float(1 - 2 * cumulative[below - 1]),
    )


def invert_rank_sum(first: ArrayLike, second: ArrayLike, *, level: float = 0.95) -> tuple[float, float, float]:
    """Shift and its limits by the conditional test at every difference between the samples.

    With ties this is what exactRankTests reports, kept to reproduce it: at such a shift two values coincide, so that
    the last bit of the floating point decides. `estimate_shift`, which does not depend on it, is what a study reports.
    """
    a, b = _finite(first), _finite(second)
    differences, n1 = _differences(a, b)
    ranks, _ = _pooled_ranks(a, b)
    if np.unique(ranks).size == ranks.size:
        u = np.arange(differences.size, 0, -1, dtype=np.float64)
    else:
        shifted = np.column_stack([a[None, :] - differences[:, None], np.broadcast_to(b, (differences.size, b.size))])
        u = stats.rankdata(shifted, axis=1)[:, :n1].sum(axis=1) - n1 * (n1 + 1) / 2
    counts, least = count_splits(np.rint(2 * ranks).astype(np.int64), n1), n1 * (n1 + 1) / 2
    lower, upper = (first_at_least(counts, at) / 2 - least for at in ((1 - level) / 2, (1 + level) / 2))
    return invert_sums(differences, u, n1 * float(ranks.mean()) - least, (lower, upper))


def count_splits(weights: NDArray[np.int64], taken: int) -> Array:
    """Number of ways to take `taken` of the integer weights with each sum, 0 to the total of all."""
    total = int(weights.sum())
    counts = np.zeros((taken + 1, total + 1))
    counts[0, 0] = 1.0
    for weight in weights:
        counts[1:, weight:] += counts[:-1, : total + 1 - weight].copy()
    return np.asarray(counts[taken])


def _pooled_ranks(first: ArrayLike, second: ArrayLike) -> tuple[Array, int]:
    a, b = _finite(first), _finite(second)
    return np.asarray(stats.rankdata(round_differences(np.concatenate([a, b]))), dtype=np.float64), a.size


def _differences(first: ArrayLike, second: ArrayLike) -> tuple[Array, int]:
    """Sorted differences of every value of the first sample with every value of the second."""
    a, b = _finite(first), _finite(second)
    return np.sort(np.subtract.outer(a, b).ravel()), a.size


def _finite(values: ArrayLike) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0 or not np.isfinite(array).all():
        raise ValueError("each sample needs finite values, at least one")
    return array
