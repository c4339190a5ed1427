"""Correlation of two measurements of the same donors: Pearson with Fisher's interval, Spearman and Kendall with exact p-values.

In: two arrays of one value for each donor. Out: coefficient, statistic and p-values. Kendall's null distribution is
counted by the number of discordant pairs; Spearman's by all ways to match midranks, which is exact with ties too and
possible up to `MOST_MATCHED` donors. R stops at nine donors and takes the Edgeworth series of algorithm AS 89 beyond,
and a t approximation with ties: both stand here beside the exact value, so that R's number can be reproduced.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from exvivo.numerics.ranks import round_differences

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
MOST_MATCHED = 14  # 2^14 subsets of donors
_R_ENUMERATES = 9
_EDGEWORTH = (0.2274, 0.2531, 0.1745, 0.0758, 0.1033, 0.3932, 0.0879, 0.0151, 0.0072, 0.0831, 0.0131, 4.6e-4)


@dataclass(frozen=True, slots=True)
class Pearson:
    """Product-moment correlation with the t test and Fisher's interval (not a number below four donors)."""

    r: float
    t: float
    df: int
    p: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class RankCorrelation:
    """Rank correlation.

    Attributes
    ----------
    estimate : rho or tau-b
    statistic : sum of squared rank differences that corresponds to rho; concordant pairs for tau
    p : exact two-sided p-value; not a number where it cannot be counted
    p_r : what R's ``cor.test(exact = TRUE)`` gives
    p_large : large-sample p-value: t for rho, normal for tau
    z : standardised Kendall statistic; rho times sqrt(n - 1)
    """

    estimate: float
    statistic: float
    p: float
    p_r: float
    p_large: float
    z: float


def correlate_pearson(first: ArrayLike, second: ArrayLike, *, level: float = 0.95) -> Pearson:
    """Pearson correlation; Fisher 1921, Metron 1:3. Reference: R ``cor.test``, case c20."""
    x, y = _paired(first, second)
    r = _product_moment(x, y)
    df = x.size - 2
    t = float(np.sqrt(df) * r / np.sqrt(1 - r * r)) if abs(r) < 1 else float(np.copysign(np.inf, r))
    low = high = float("nan")
    if x.size > 3:
        half = float(special.ndtri((1 + level) / 2)) / np.sqrt(x.size - 3)
        with np.errstate(divide="ignore"):
            low, high = (float(np.tanh(np.arctanh(r) + side * half)) for side in (-1, 1))
    return Pearson(r=r, t=t, df=df, p=2 * float(special.stdtr(df, -abs(t))), low=low, high=high)


def correlate_spearman(first: ArrayLike, second: ArrayLike) -> RankCorrelation:
    """Spearman's rho with its exact p-value, conditional on ties.

    Notes
    -----
    Spearman 1904, Am J Psychol 15:72. Two-sided: twice the smaller tail, as R. Reference: R ``cor.test``, case c20.
    """
    x, y = (np.asarray(stats.rankdata(round_differences(v))) for v in _paired(first, second))
    n = x.size
    r = _product_moment(x, y)
    most = n * (n * n - 1) / 6
    statistic = most * (1 - r)
    exact = _match_p(np.rint(2 * x).astype(np.int64), np.rint(2 * y).astype(np.int64)) if n <= MOST_MATCHED else float("nan")
    t = r * float(np.sqrt((n - 2) / (1 - r * r))) if abs(r) < 1 else float(np.copysign(np.inf, r))
    large = 2 * float(special.stdtr(n - 2, -abs(t))) if n > 2 else 1.0
    if min(np.unique(x).size, np.unique(y).size) < n:
        p_r = large
    else:
        p_r = exact if n <= _R_ENUMERATES else min(1.0, 2 * _edgeworth(round(min(statistic, 2 * most - statistic)) + 2, n))
    return RankCorrelation(estimate=r, statistic=statistic, p=exact, p_r=p_r, p_large=large, z=r * float(np.sqrt(n - 1)))


def correlate_kendall(first: ArrayLike, second: ArrayLike) -> RankCorrelation:
    """Kendall's tau-b; exact p-value without ties, normal approximation with ties, as in R.

    Notes
    -----
    Kendall 1938, Biometrika 30:81; variance with ties: Kendall 1970, Rank Correlation Methods, chapter 4. Reference:
    R ``cor.test``, case c20.
    """
    x, y = (round_differences(v) for v in _paired(first, second))
    n = x.size
    signs = np.sign(x[:, None] - x) * np.sign(y[:, None] - y)
    excess = float(signs.sum()) / 2
    ties = [np.unique(v, return_counts=True)[1].astype(np.float64) for v in (x, y)]
    pairs = n * (n - 1) / 2
    untied = [pairs - float((t * (t - 1)).sum()) / 2 for t in ties]
    z = excess / _kendall_sd(n, ties)
    large = 2 * float(special.ndtr(-abs(z)))
    tied = min(untied) < pairs
    exact = float("nan") if tied else _kendall_p(round((pairs + excess) / 2), n)
    return RankCorrelation(
        estimate=excess / float(np.sqrt(untied[0] * untied[1])),
        statistic=z if tied else (pairs + excess) / 2,
        p=exact,
        p_r=large if tied else exact,
        p_large=large,
        z=z,
    )


def _kendall_sd(n: int, ties: list[Array]) -> float:
    a, b = ties
    variance = (n * (n - 1) * (2 * n + 5) - sum(float((t * (t - 1) * (2 * t + 5)).sum()) for t in ties)) / 18
    variance += float((a * (a - 1)).sum()) * float((b * (b - 1)).sum()) / (2 * n * (n - 1))
    if n > 2:
        variance += float((a * (a - 1) * (a - 2)).sum()) * float((b * (b - 1) * (b - 2)).sum()) / (9 * n * (n - 1) * (n - 2))
    return float(np.sqrt(variance))


def _kendall_p(concordant: int, n: int) -> float:
    """Exact two-sided p of the number of concordant pairs: orders of n donors by their inversions, one donor added at a time."""
    counts = np.ones(1)
    for size in range(2, n + 1):
        counts = np.convolve(counts, np.full(size, 1 / size))
    return min(1.0, 2 * min(float(counts[: concordant + 1].sum()), float(counts[concordant:].sum())))


def _match_p(a: Integers, b: Integers) -> float:
    """Exact two-sided p of sum(a * b) over all ways to match b to a; a and b are doubled ranks."""
    gain = np.multiply.outer(a, b)
    gain = gain - gain.min(axis=1, keepdims=True)
    observed = int(np.trace(gain))
    counts = _count_matchings(gain)
    total = counts.sum()
    return min(1.0, 2 * min(float(counts[: observed + 1].sum() / total), float(counts[observed:].sum() / total)))


def _count_matchings(gain: Integers) -> Array:
    """Matchings with each total gain, shape (largest total + 1,).

    Rows take columns one after the other; what matters of the past is which columns are gone (a subset) and the sum.
    """
    step = int(np.gcd.reduce(gain, axis=None)) or 1
    scaled = gain // step
    n, width = scaled.shape[0], int(scaled.max(axis=1).sum()) + 1
    subsets, tables = np.zeros(1, dtype=np.int64), np.ones((1, 1))
    for row in scaled:
        grown = sorted({int(s) | 1 << j for s in subsets for j in range(n) if not s >> j & 1})
        place = np.full(1 << n, -1)
        place[grown] = np.arange(len(grown))
        after = np.zeros((len(grown), min(width, tables.shape[1] + int(row.max()))))
        for j in range(n):
            free = (subsets >> j & 1) == 0
            after[place[subsets[free] | 1 << j], row[j] : row[j] + tables.shape[1]] += tables[free]
        subsets, tables = np.array(grown), after
    counts = np.zeros(width * step)
    counts[: tables.shape[1] * step : step] = tables[0]
    return counts


def _edgeworth(squares: int, n: int) -> float:
    """P(sum of squared rank differences < squares) by the Edgeworth series.

    Best and Roberts 1975, Appl Stat 24:377 (algorithm AS 89).
    """
    c = _EDGEWORTH
    b = 1 / n
    even = squares + squares % 2
    x = (6 * (even - 1) * b / (n * n - 1) - 1) * np.sqrt(n - 1)
    y = x * x
    inner = c[6] + c[7] * b - y * (c[8] - c[9] * b + y * b * (c[10] - c[11] * y))
    u = x * b * (c[0] + b * (c[1] + c[2] * b) + y * (-c[3] + b * (c[4] + c[5] * b) - y * b * inner))
    return float(np.clip(special.ndtr(x) - u / np.exp(y / 2), 0.0, 1.0))


def _product_moment(x: Array, y: Array) -> float:
    a, b = x - x.mean(), y - y.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    if size == 0:
        raise ValueError("a measurement that is the same for every donor has no correlation")
    return float(np.clip(a @ b / size, -1.0, 1.0))


def _paired(first: ArrayLike, second: ArrayLike) -> tuple[Array, Array]:
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 1 or x.size < 2 or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("two arrays of finite values of the same donors are needed, at least two donors")
    return x, y
