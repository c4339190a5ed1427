"""Estimates of several imputed data sets -> one estimate.

In: the estimate and its variance in each of m data sets that differ in what was drawn. Out: their mean with a variance made of the
variance within data sets and of the variance between them (Rubin), and degrees of freedom that know how many the complete data
would have (Barnard and Rubin). Equal to ``pool.scalar`` of R's mice, case c24.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from exvivo.numerics.inference import Array, Estimate, infer_t

_LEAST_MISSING = 1e-4  # share of the variance between data sets below which the large-sample df stay finite


@dataclass(frozen=True, slots=True)
class Combined:
    """One estimate from m data sets.

    Attributes
    ----------
    estimate, variance : mean of the estimates and its total variance, ``within + (1 + 1 / m) * between``
    within, between : mean of the variances; variance of the estimates
    df, df_large : degrees of freedom of Barnard and Rubin; of Rubin 1987, for complete data without end
    increase : variance between over that within, the relative increase due to what was drawn
    missing : fraction of the information that is missing
    """

    m: int
    estimate: float
    within: float
    between: float
    variance: float
    df: float
    df_large: float
    increase: float
    missing: float

    def infer(self, *, level: float = 0.95) -> Estimate:
        """T inference for the combined estimate."""
        return infer_t(self.estimate, float(np.sqrt(self.variance)), self.df, level=level)


def combine_draws(estimates: ArrayLike, variances: ArrayLike, df: float) -> Combined:
    """Rubin's rules for the same analysis of several data sets.

    Parameters
    ----------
    estimates, variances : shape (m,), of each data set
    df : degrees of freedom that the analysis has in complete data; may be infinite

    Raises
    ------
    ValueError : fewer than two data sets, lengths that differ, a value that is not finite, or a variance below zero

    Notes
    -----
    Rubin 1987, *Multiple Imputation for Nonresponse in Surveys*; Barnard and Rubin 1999, Biometrika 86:948.

    Examples
    --------
    >>> found = combine_draws([1.0, 1.2, 1.1], [0.04, 0.05, 0.06], 10)
    >>> round(found.estimate, 6), round(found.variance, 6)
    (1.1, 0.063333)
    """
    q, u = np.asarray(estimates, dtype=np.float64), np.asarray(variances, dtype=np.float64)
    _check(q, u)
    return combine_parts(float(q.mean()), float(u.mean()), float(q.var(ddof=1)), q.size, df)


def combine_parts(estimate: float, within: float, between: float, m: int, df: float) -> Combined:
    """Rubin's rules from the mean of m estimates, the variance within data sets and that between them."""
    more = (1 + 1 / m) * between
    total = within + more
    share = max(more / total if total > 0 else 0.0, _LEAST_MISSING)
    large = (m - 1) / share**2
    observed = (df + 1) / (df + 3) * df * (1 - share) if np.isfinite(df) else np.inf
    final = large if np.isinf(observed) else large * observed / (large + observed)
    increase = more / within if within > 0 else np.inf if more > 0 else 0.0
    missing = (increase + 2 / (final + 3)) / (increase + 1) if np.isfinite(increase) else 1.0
    return Combined(m, estimate, within, between, total, final, large, increase, missing)


def _check(q: Array, u: Array) -> None:
    if q.ndim != 1 or q.shape != u.shape or q.size < 2:
        raise ValueError(f"at least two estimates with as many variances are needed, not {q.size} and {u.size}")
    if not (np.isfinite(q).all() and np.isfinite(u).all() and (u >= 0).all()):
        raise ValueError("estimates and variances must be finite, and variances not below zero")
