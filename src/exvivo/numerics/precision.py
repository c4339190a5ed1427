"""What a comparison between levels can tell, before its answer is looked at.

In: the standard deviation of ln ratios between donors and the numbers of donors. Out: how wide the interval of a ratio of ratios
will be, and which ratio of ratios a test finds with a given power. The effect that was observed takes no part.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special
from scipy.optimize import brentq

_TOLERANCE = 1e-12


@dataclass(frozen=True, slots=True)
class Precision:
    """Half the width of the interval, and the shift that is detected, both in ln units."""

    half_width: float
    detectable: float


def plan_contrast(se: float, df: float, *, level: float = 0.95, alpha: float = 0.05, power: float = 0.8) -> Precision:
    """Precision of a contrast that has a t distribution.

    Parameters
    ----------
    se : standard error that the planned standard deviation and numbers give: sd sqrt(1/n1 + 1/n2) for two levels
    df : residual degrees of freedom
    level, alpha, power : confidence of the interval, two-sided level and power of the test

    Notes
    -----
    The t statistic of a true shift d is noncentral t with noncentrality d / se; both tails count, so that its square is noncentral F.
    Reference: R ``power.t.test(strict = TRUE)``, ``pwr.t2n.test``.

    Examples
    --------
    >>> plan = plan_contrast(0.45 * (2 / 12) ** 0.5, 22)
    >>> round(plan.half_width, 4), round(plan.detectable, 4)
    (0.381, 0.5386)
    """
    if not (np.isfinite(se) and se > 0 and df > 0):
        raise ValueError(f"no precision from a standard error of {se} on {df} degrees of freedom")
    half_width = float(special.stdtrit(df, 0.5 + level / 2) * se)
    return Precision(half_width=half_width, detectable=float(se) * _find_noncentrality(1, df, alpha, power))


def plan_levels(sd: float, counts: ArrayLike, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Standard deviation between levels, over donors, that the joint F test of several levels finds.

    Parameters
    ----------
    sd : standard deviation of ln ratios within levels
    counts : shape (k,), donors of each level, k at least 2

    Notes
    -----
    The noncentrality of F is N s² / sd², with s² the mean over all N donors of (effect of its level - mean effect)²; s / sd is
    Cohen's f. Reference: R ``pwr.anova.test``.

    Examples
    --------
    >>> round(plan_levels(1.0, [6, 6, 6, 6]), 4)
    0.7438
    """
    n = np.asarray(counts, dtype=np.float64)
    k, total = n.size, float(n.sum())
    if k < 2 or total <= k or not sd > 0 or (n < 1).any():
        raise ValueError(f"no joint test of {k} levels with {total:g} donors")
    return sd * _find_noncentrality(k - 1, total - k, alpha, power) / float(np.sqrt(total))


def _find_noncentrality(numerator: float, denominator: float, alpha: float, power: float) -> float:
    """Root of the noncentrality at which an F test has a power; with one numerator degree of freedom that of two-sided t."""
    if not 0 < alpha < power < 1:
        raise ValueError(f"a power between the level {alpha} and 1 is needed, not {power}")
    limit = float(special.fdtri(numerator, denominator, 1 - alpha))

    def short(root: float) -> float:
        return 1 - float(special.ncfdtr(numerator, denominator, root**2, limit)) - power

    upper = 2.0
    while short(upper) < 0:
        upper *= 1.5
    return float(brentq(short, 0.0, upper, xtol=_TOLERANCE))
