"""Exact rank methods for paired differences: signed-rank test, Hodges-Lehmann estimate, sign test, limits for censored pairs.

In: within-donor differences (ln ratios), or bounds of them. Out: exact p-values, also with ties and zeros,
and distribution-free intervals with the level that they attain. The null distribution of the signed-rank
sum is counted in integers (twice the midrank), so nothing is approximated at the sizes of a donor study.

Differences are rounded to ten significant digits before ranking: 1.3 - 0.1 and 1.9 - 0.7 are the same
difference to the laboratory, though not to floating point, and an unnoticed tie changes the p-value.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

Array = NDArray[np.float64]


class Zeros(StrEnum):
    """What a difference of exactly zero does to the ranks."""

    PRATT = "pratt"  # zeros are ranked, then leave: they make the smallest other differences rank higher
    DROP = "drop"  # zeros leave before ranking (Wilcoxon's own rule)


@dataclass(frozen=True, slots=True)
class SignedRank:
    """Exact signed-rank test: sum of the positive ranks, p-values, and the counts behind them."""

    statistic: float
    p: float
    p_less: float
    p_greater: float
    nonzero: int
    zeros: int


@dataclass(frozen=True, slots=True)
class Approximation:
    """Standardised statistic and its two-sided p-value from the normal distribution."""

    z: float
    p: float


@dataclass(frozen=True, slots=True)
class HodgesLehmann:
    """Median of the Walsh averages with an interval from their order statistics.

    `attained` is the exact coverage for untied differences, at least the level asked for. Where no such
    interval exists (too few donors) the limits are infinite and `attained` is 1.
    """

    estimate: float
    low: float
    high: float
    attained: float


@dataclass(frozen=True, slots=True)
class RankBounds:
    """Smallest and largest p-value that any values within the bounds can give, and the statistics behind them."""

    p_best: float
    p_worst: float
    statistic_low: float
    statistic_high: float


@dataclass(frozen=True, slots=True)
class MedianBounds:
    """One-sided distribution-free limits of the median, each at `attained_low` or `attained_high`; infinite where none exists."""

    low: float
    high: float
    attained_low: float
    attained_high: float


def smallest_p(n: int) -> float:
    """Smallest two-sided p-value that an exact signed-rank or sign-flip test of n donors can reach.

    Examples
    --------
    >>> [smallest_p(n) for n in (5, 6)]
    [0.0625, 0.03125]
    """
    return min(1.0, 2.0 ** (1 - n))


def round_differences(values: ArrayLike) -> Array:
    """Values rounded to ten significant digits of the largest one's scale; infinities stay."""
    d = np.asarray(values, dtype=np.float64)
    if np.isnan(d).any():
        raise ValueError("differences must not be missing")
    magnitude = np.abs(d[np.isfinite(d) & (d != 0)])
    if magnitude.size == 0:
        return d
    digits = 9 - int(np.floor(np.log10(magnitude.max())))
    return np.asarray(np.round(d, digits), dtype=np.float64)


def compare_signed_rank(differences: ArrayLike, *, zeros: Zeros = Zeros.PRATT) -> SignedRank:
    """Exact Wilcoxon signed-rank test, conditional on ties and zeros.

    Parameters
    ----------
    differences : shape (n,), within-donor differences
    zeros : treatment of differences that are exactly zero

    Notes
    -----
    Pratt 1959, JASA 54:655. Reference: coin and exactRankTests, case c03; R ``wilcox.test``, case c02.
    """
    d = round_differences(differences)
    kept = d if zeros is Zeros.PRATT else d[d != 0]
    doubled = np.rint(2 * stats.rankdata(np.abs(kept))).astype(np.int64)[kept != 0]
    observed = int(doubled[kept[kept != 0] > 0].sum())
    less, greater = _tails(count_sums(doubled), observed)
    return SignedRank(
        statistic=observed / 2,
        p=min(1.0, 2 * min(less, greater)),
        p_less=less,
        p_greater=greater,
        nonzero=doubled.size,
        zeros=int((d == 0).sum()),
    )


def estimate_hodges_lehmann(differences: ArrayLike, *, level: float = 0.95) -> HodgesLehmann:
    """Hodges-Lehmann estimate of the median difference with its exact interval.

    Notes
    -----
    Hodges and Lehmann 1963, Ann Math Stat 34:598. One-sided limits are those of the two-sided interval
    at level 2 * level - 1. Reference: R ``wilcox.test(conf.int = TRUE)``, case c02; exactRankTests, case c03.
    """
    walsh = walsh_averages(differences)
    n = np.asarray(differences).size
    cumulative = cumulate(count_sums(2 * np.arange(1, n + 1))[::2])
    tail = (1 - level) / 2
    below = int(np.searchsorted(cumulative, tail * (1 + 1e-12), side="right"))
    if below == 0:
        return HodgesLehmann(estimate=float(np.median(walsh)), low=-np.inf, high=np.inf, attained=1.0)
    return HodgesLehmann(
        estimate=float(np.median(walsh)),
        low=float(walsh[below - 1]),
        high=float(walsh[-below]),
        attained=float(1 - 2 * cumulative[below - 1]),
    )


def invert_signed_rank(differences: ArrayLike, *, level: float = 0.95) -> tuple[float, float, float]:
    """Median difference and its limits by the conditional test at every Walsh average, zeros left out.

    With ties this is what exactRankTests reports, kept to reproduce it. At a Walsh average two differences are
    equally far from the candidate, so that the last bit of the floating point decides their order, and of limits
    that do not exist it gives the outermost averages; `estimate_hodges_lehmann`, which does neither, is what a
    study reports.
    """
    d = round_differences(differences)
    d = d[d != 0]
    walsh = walsh_averages(d)
    ranks = stats.rankdata(np.abs(d))
    if np.unique(ranks).size == ranks.size:
        sums = np.arange(walsh.size, 0, -1, dtype=np.float64)
    else:
        moved = d[None, :] - walsh[:, None]
        sums = np.where(moved > 0, stats.rankdata(np.abs(moved), axis=1), 0.0).sum(axis=1)
    counts = count_sums(np.rint(2 * ranks).astype(np.int64))
    lower, upper = (first_at_least(counts, at) / 2 for at in ((1 - level) / 2, (1 + level) / 2))
    return invert_sums(walsh, sums, float(ranks.sum()) / 2, (lower, upper))


def invert_sums(candidates: Array, sums: Array, expected: float, quantiles: tuple[float, float]) -> tuple[float, float, float]:
    """Estimate and limits among sorted candidates for a shift, by the rank sum that is left after each is taken away.

    The estimate is infinite where no candidate leaves more, or less, than the expected sum.
    """
    lower, upper = quantiles
    low = float(candidates[0]) if upper >= sums.max() else float(candidates[sums > upper].max())
    high = float(candidates[-1]) if lower <= sums.min() else float(candidates[sums <= lower].min())
    below = candidates[sums <= np.ceil(expected)].min(initial=np.inf)
    above = candidates[sums > expected].max(initial=-np.inf)
    with np.errstate(invalid="ignore"):
        return float((below + above) / 2), low, high


def walsh_averages(differences: ArrayLike) -> Array:
    """Sorted means of all pairs of differences, each with itself too; shape (n (n + 1) / 2,)."""
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 1 or d.size == 0 or not np.isfinite(d).all():
        raise ValueError("at least one difference, and only finite ones, are needed")
    i, j = np.triu_indices(d.size)
    return np.asarray(np.sort((d[i] + d[j]) / 2), dtype=np.float64)


def approximate_signed_rank(differences: ArrayLike, *, zeros: Zeros = Zeros.PRATT, correct: bool = False) -> Approximation:
    """Normal approximation of the signed-rank test, given ties and zeros: what large-sample software prints.

    Notes
    -----
    Without correction coin's ``wilcoxsign_test``; with it, and zeros dropped, R ``wilcox.test(exact = FALSE)``.
    """
    d = round_differences(differences)
    kept = d if zeros is Zeros.PRATT else d[d != 0]
    ranks = stats.rankdata(np.abs(kept))[kept != 0]
    excess = float((np.sign(kept[kept != 0]) * ranks).sum()) / 2
    sd = float(np.sqrt((ranks**2).sum())) / 2
    if sd == 0:
        return Approximation(z=0.0, p=1.0)
    if correct:
        excess = float(np.copysign(max(0.0, abs(excess) - 0.5), excess))
    return Approximation(z=excess / sd, p=min(1.0, 2 * float(special.ndtr(-abs(excess) / sd))))


def compare_signs(differences: ArrayLike) -> float:
    """Exact two-sided sign test; zeros are left out."""
    d = round_differences(differences)
    return _sign_p(int((d > 0).sum()), int((d < 0).sum()))


def bound_signed_rank(low: ArrayLike, high: ArrayLike) -> RankBounds:
    """Range of exact signed-rank p-values over all differences that lie within bounds.

    Parameters
    ----------
    low, high : shape (n,), bounds of each difference; equal where it is known, infinite where it has no bound

    Notes
    -----
    The signed-rank sum counts the pairs of differences with a positive sum, so it grows with every
    difference: its range is reached at the lower and at the upper bounds. A sum of exactly zero counts
    against whichever end it would favour. The p-values are those of untied differences.
    """
    return _bound(low, high, _positive_pairs, lambda n: count_sums(2 * np.arange(1, n + 1))[::2])


def bound_signs(low: ArrayLike, high: ArrayLike) -> RankBounds:
    """Range of exact sign-test p-values over all differences that lie within bounds (as in `bound_signed_rank`)."""
    return _bound(low, high, lambda d, at_zero: int((d > 0).sum() + at_zero * (d == 0).sum()), _binomial_counts)


def bound_median(low: ArrayLike, high: ArrayLike, *, level: float = 0.95) -> MedianBounds:
    """One-sided confidence limits for the median of differences that are known within bounds.

    The lower limit is an order statistic of the lower bounds, the upper limit one of the upper bounds
    (inverted sign test); each holds with at least probability `level` on its own.
    """
    lower, upper = _bounds(low, high)
    n = lower.size
    cumulative = np.cumsum(_binomial_counts(n)) / 2.0**n
    rank = int(np.searchsorted(cumulative, (1 - level) * (1 + 1e-12), side="right"))
    if rank == 0:
        return MedianBounds(low=-np.inf, high=np.inf, attained_low=1.0, attained_high=1.0)
    attained = float(1 - cumulative[rank - 1])
    at_low, at_high = float(np.sort(lower)[rank - 1]), float(np.sort(upper)[n - rank])
    return MedianBounds(
        low=at_low,
        high=at_high,
        attained_low=attained if np.isfinite(at_low) else 1.0,
        attained_high=attained if np.isfinite(at_high) else 1.0,
    )


def count_sums(weights: NDArray[np.int64]) -> Array:
    """Number of subsets of integer weights with each sum, 0 to the total; exact up to n = 52 and to rounding beyond."""
    counts = np.zeros(int(weights.sum()) + 1)
    counts[0] = 1.0
    for weight in weights:
        counts[weight:] = counts[weight:] + counts[:-weight]
    return counts


def cumulate(counts: Array) -> Array:
    """Cumulative probabilities of counts, shape as given; summed in extended precision where the machine has it."""
    return np.asarray(np.cumsum((counts / counts.sum()).astype(np.longdouble)), dtype=np.float64)


def first_at_least(counts: Array, probability: float) -> int:
    """Quantile: smallest value whose cumulative probability is at least `probability`."""
    return int(np.searchsorted(cumulate(counts), probability))


def _bound(low: ArrayLike, high: ArrayLike, count: Callable[[Array, int], int], counts_of: Callable[[int], Array]) -> RankBounds:
    lower, upper = _bounds(low, high)
    least, most = count(lower, 0), count(upper, 1)
    counts = counts_of(lower.size)
    p = np.array([min(1.0, 2 * min(_tails(counts, at))) for at in range(least, most + 1)])
    return RankBounds(p_best=float(p.min()), p_worst=float(p.max()), statistic_low=float(least), statistic_high=float(most))


def _bounds(low: ArrayLike, high: ArrayLike) -> tuple[Array, Array]:
    lower, upper = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    if lower.ndim != 1 or lower.size == 0 or lower.shape != upper.shape or not (lower <= upper).all():
        raise ValueError("bounds need one shape (n,), at least one donor, and lower at or below upper")
    finite = np.concatenate([lower, upper])
    rounded = round_differences(finite)
    return rounded[: lower.size], rounded[lower.size :]


def _positive_pairs(d: Array, at_zero: int) -> int:
    """Pairs i <= j whose sum is positive; sums of zero count when asked."""
    i, j = np.triu_indices(d.size)
    with np.errstate(invalid="ignore"):
        total = round_differences(np.where(np.isinf(d[i]), d[i], np.where(np.isinf(d[j]), d[j], d[i] + d[j])))
    return int((total > 0).sum() + at_zero * (total == 0).sum())


def _binomial_counts(n: int) -> Array:
    return np.asarray(special.binom(n, np.arange(n + 1)), dtype=np.float64)


def _tails(counts: Array, observed: int) -> tuple[float, float]:
    """P(at most) and P(at least) the observed sum."""
    total = counts.sum()
    return float(counts[: observed + 1].sum() / total), float(counts[observed:].sum() / total)


def _sign_p(positive: int, negative: int) -> float:
    n = positive + negative
    return min(1.0, 2 * float(special.bdtr(min(positive, negative), n, 0.5))) if n else 1.0
