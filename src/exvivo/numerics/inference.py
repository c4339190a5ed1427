"""What every estimator hands back: an estimate with its t or F inference.

In: an estimate, its standard error and its degrees of freedom. Out: the same with interval and
p-value. One place, so that paired, linear and mixed models cannot differ in how they read a t table.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """One contrast with two-sided t inference, on the scale of the response (usually ln).

    Attributes
    ----------
    estimate, se, df : point estimate, standard error, degrees of freedom
    t, p : t statistic and two-sided p-value of "the contrast is zero"
    low, high : two-sided confidence limits at `level`
    """

    estimate: float
    se: float
    df: float
    t: float
    p: float
    low: float
    high: float
    level: float

    @property
    def p_less(self) -> float:
        """One-sided p-value against "smaller than zero"."""
        return float(special.stdtr(self.df, self.t))

    @property
    def p_greater(self) -> float:
        """One-sided p-value against "larger than zero"."""
        return float(special.stdtr(self.df, -self.t))


@dataclass(frozen=True, slots=True)
class JointTest:
    """F test that several contrasts are zero together."""

    F: float
    df_numerator: float
    df_denominator: float
    p: float


def infer_t(estimate: float, se: float, df: float, *, level: float = 0.95) -> Estimate:
    """Two-sided t inference.

    A standard error of exactly zero gives p = 0, or p = 1 when the estimate is zero too:
    the data then leave no doubt, and no number has to be invented.

    Raises
    ------
    ValueError : se negative, df not positive, level outside (0, 1), or anything not finite

    Examples
    --------
    >>> round(infer_t(1.0, 0.5, 10).p, 4)
    0.0734
    """
    if not (np.isfinite(estimate) and np.isfinite(se) and se >= 0 and df > 0 and 0 < level < 1):
        raise ValueError(f"no t inference from estimate {estimate}, se {se}, df {df}, level {level}")
    t = estimate / se if se > 0 else float(np.copysign(np.inf, estimate)) if estimate else 0.0
    half = float(special.stdtrit(df, 0.5 + level / 2)) * se
    p = min(1.0, 2 * float(special.stdtr(df, -abs(t))))
    return Estimate(estimate=estimate, se=se, df=df, t=t, p=p, low=estimate - half, high=estimate + half, level=level)


def turn(found: Estimate) -> Estimate:
    """The contrast seen from the other side.

    Examples
    --------
    >>> turn(infer_t(1.0, 0.5, 10)).low == -infer_t(1.0, 0.5, 10).high
    True
    """
    return replace(found, estimate=-found.estimate, t=-found.t, low=-found.high, high=-found.low)


def error_of_interval(low: float, high: float, df: float, *, level: float = 0.95) -> float:
    """Standard error that a two-sided t interval was made from.

    Examples
    --------
    >>> fit = infer_t(1.0, 0.5, 10)
    >>> round(error_of_interval(fit.low, fit.high, 10), 9)
    0.5
    """
    return (high - low) / (2 * float(special.stdtrit(df, 0.5 + level / 2)))


def infer_f(F: float, df_numerator: float, df_denominator: float) -> JointTest:
    """F statistic with its p-value."""
    return JointTest(F=F, df_numerator=df_numerator, df_denominator=df_denominator, p=float(special.fdtrc(df_numerator, df_denominator, F)))
