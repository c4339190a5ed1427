"""Do a few values look like a normal sample? What a normal quantile plot draws, and the two numbers fixed beside it.

In: independent values, such as one ln ratio per donor. Out: their normal quantiles with a band that holds a whole normal
sample of that size at the stated level, and the value that lies farthest from the others. Nothing here decides
about a method: a test of normality that chooses the next test spoils the error rate of both.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from exvivo.numerics.inference import Array

DRAWS = 20_000
FEWEST = 4


@dataclass(frozen=True, slots=True)
class NormalPlot:
    """Sorted standardised values, their places in the order given, expected normal quantiles and the band, each of shape (n,)."""

    values: Array
    order: tuple[int, ...]
    expected: Array
    low: Array
    high: Array

    @property
    def outside(self) -> int:
        """Values outside the band."""
        return int(((self.values < self.low) | (self.values > self.high)).sum())


@dataclass(frozen=True, slots=True)
class Farthest:
    """The value that lies farthest from the others: its place, its studentised residual, and what none of n normal values exceeds."""

    place: int
    residual: float
    limit: float


def plot_normal(values: ArrayLike, *, level: float = 0.95) -> NormalPlot:
    """Normal quantile plot of independent values, shape (n,), n at least ``FEWEST``, that vary.

    Notes
    -----
    Expected quantiles: (i - 3/8) / (n + 1/4), Blom 1958. The band is that of equal local levels, found by simulating standardised
    normal samples of the same size from a fixed seed: a share ``level`` of them lies inside as a whole.
    """
    d = np.asarray(values, dtype=np.float64)
    if d.ndim != 1 or d.size < FEWEST or not np.isfinite(d).all() or np.ptp(d) == 0:
        raise ValueError(f"at least {FEWEST} finite values that differ are needed")
    order = np.argsort(d, kind="stable")
    standardised = (d - d.mean()) / d.std(ddof=1)
    low, high = _band(d.size, level)
    places = (np.arange(1, d.size + 1) - 0.375) / (d.size + 0.25)
    return NormalPlot(standardised[order], tuple(order.tolist()), np.asarray(special.ndtri(places)), low, high)


@lru_cache(maxsize=64)
def _band(n: int, level: float) -> tuple[Array, Array]:
    """Limits of every order statistic at one local level, so that whole samples lie inside with the level asked for."""
    drawn = np.sort(np.random.default_rng(n).standard_normal((DRAWS, n)), axis=1)
    drawn = (drawn - drawn.mean(axis=1, keepdims=True)) / drawn.std(axis=1, ddof=1, keepdims=True)
    ranks = np.argsort(np.argsort(drawn, axis=0, kind="stable"), axis=0, kind="stable") + 1
    extremes = np.minimum(ranks, DRAWS + 1 - ranks).min(axis=1)
    local = int(np.quantile(extremes, 1 - level, method="lower"))
    columns = np.sort(drawn, axis=0)
    return columns[local - 1], columns[DRAWS - local]


def find_farthest(values: ArrayLike, *, level: float = 0.95) -> Farthest:
    """The largest externally studentised residual from the mean, with its Bonferroni limit.

    Notes
    -----
    Residual of a value from the mean of the others over its standard error; t distributed with n - 2 degrees of freedom.
    Reference: R ``rstudent(lm(d ~ 1))``.
    """
    d = np.asarray(values, dtype=np.float64)
    n = d.size
    if d.ndim != 1 or n < FEWEST or not np.isfinite(d).all() or np.ptp(d) == 0:
        raise ValueError(f"at least {FEWEST} finite values that differ are needed")
    e = d - d.mean()
    without = (float(e @ e) - e**2 * n / (n - 1)) / (n - 2)
    with np.errstate(divide="ignore"):
        studentised = e / np.sqrt(np.maximum(without, 0.0) * (n - 1) / n)
    place = int(np.argmax(np.abs(studentised)))
    return Farthest(place, float(studentised[place]), float(special.stdtrit(n - 2, 1 - (1 - level) / (2 * n))))


def limit_correlation(n: int, *, level: float = 0.95) -> float:
    """Correlation that n independent normal pairs exceed in size with probability 1 - level.

    Examples
    --------
    >>> round(limit_correlation(20), 4)
    0.4438
    """
    t = float(special.stdtrit(n - 2, (1 + level) / 2))
    return t / float(np.sqrt(n - 2 + t * t))
