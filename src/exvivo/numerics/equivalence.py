"""Whether two results agree: shown to, not shown to, or shown to differ.

A difference on the log scale with its standard error flows in; a ratio with its interval and one of three outcomes
flows out. A significance test cannot show agreement: it finds none wherever the data are poor. Two one-sided tests
(Schuirmann 1987, J Pharmacokinet Biopharm 15:657), each at 5 %, are the same as asking that the 90 % interval lie
within the bounds; an interval wholly outside shows a difference that matters, and any other leaves the question open.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr, stdtrit

from exvivo.numerics.variance import Array

ALPHA = 0.05
"""Of each one-sided test; the interval covers 1 - 2 alpha."""


class Equivalence(StrEnum):
    """What an interval says about bounds."""

    SHOWN = "shown"
    NOT_SHOWN = "not-shown"
    DIFFERS = "differs"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A ratio with its 90 % interval, what it says about the bounds, and the larger p of the two one-sided tests."""

    ratio: float
    low: float
    high: float
    p: float
    outcome: Equivalence


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference of logs, its standard error and the degrees of freedom of that (inf: known)."""

    estimate: float
    se: float
    df: float


def judge_interval(low: float, high: float, bounds: tuple[float, float]) -> Equivalence:
    """Where an interval lies with respect to bounds.

    Examples
    --------
    >>> [judge_interval(*ends, (0.8, 1.25)).value for ends in ((0.9, 1.1), (0.7, 1.1), (1.3, 1.9))]
    ['shown', 'not-shown', 'differs']
    """
    if bounds[0] <= low and high <= bounds[1]:
        return Equivalence.SHOWN
    return Equivalence.DIFFERS if high < bounds[0] or low > bounds[1] else Equivalence.NOT_SHOWN


def compare(difference: Difference, bounds: tuple[float, float], *, alpha: float = ALPHA) -> Comparison:
    """Equivalence of two quantities from the difference of their logs, within bounds of their ratio.

    Notes
    -----
    Reference test: tests/reference/numerics/test_equivalence.py (statsmodels ``ttost_ind``).
    """
    reach = float(stdtrit(difference.df, 1 - alpha)) * difference.se
    low, high = math.exp(difference.estimate - reach), math.exp(difference.estimate + reach)
    if difference.se > 0:
        above = (difference.estimate - math.log(bounds[0])) / difference.se
        below = (math.log(bounds[1]) - difference.estimate) / difference.se
        p = float(stdtr(difference.df, -min(above, below)))
    else:
        p = 0.0 if math.log(bounds[0]) < difference.estimate < math.log(bounds[1]) else 1.0
    return Comparison(math.exp(difference.estimate), low, high, p, judge_interval(low, high, bounds))


def difference_of_means(first: npt.ArrayLike, second: npt.ArrayLike) -> Difference:
    """Mean of ``second`` minus mean of ``first``, variances not assumed equal (Welch 1947).

    Raises
    ------
    ValueError : a group has fewer than two values
    """
    groups = [np.asarray(group, dtype=np.float64) for group in (first, second)]
    if min(group.size for group in groups) < 2:
        raise ValueError("each group needs at least two values")
    parts = np.array([np.var(group, ddof=1) / group.size for group in groups])
    total = float(parts.sum())
    freedom = sum(part**2 / (group.size - 1) for part, group in zip(parts, groups, strict=True))
    df = float(total**2 / freedom) if freedom > 0 else float(min(group.size for group in groups) - 1)
    return Difference(float(groups[1].mean() - groups[0].mean()), math.sqrt(total), df)


def trend(x: Array, y: Array, covariance: Array) -> tuple[float, float]:
    """Slope of y on x and its standard error, by generalised least squares with a known covariance.

    Parameters
    ----------
    x, y : (n,)
    covariance : (n, n) of y, positive definite

    Examples
    --------
    >>> slope, se = trend(np.array([0.0, 1.0, 2.0]), np.array([1.0, 3.0, 5.0]), np.eye(3))
    >>> round(slope, 12), round(se, 12)
    (2.0, 0.707106781187)
    """
    design = np.stack([np.ones_like(x), x], axis=1)
    half = np.linalg.cholesky(covariance)
    white, response = np.linalg.solve(half, design), np.linalg.solve(half, y)
    inverse = np.linalg.inv(white.T @ white)
    return float((inverse @ white.T @ response)[1]), math.sqrt(float(inverse[1, 1]))
