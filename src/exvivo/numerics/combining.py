"""Estimates from several imputed data sets -> one estimate with the uncertainty of the imputation.

In: the estimate and its variance from each completed data set. Out: Rubin's combination with the degrees of freedom of
Barnard and Rubin, which stay below those of the complete data.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from exvivo.numerics.inference import Estimate, infer_t

_LEAST_SHARE = 1e-4  # of the variance between data sets: as mice has it, so that degrees of freedom stay finite


@dataclass(frozen=True, slots=True)
class Combined:
    """Rubin's combination.

    Attributes
    ----------
    estimate : t inference with the degrees of freedom of Barnard and Rubin
    within, between, total : variances
    increase : relative increase in variance from what is missing
    missing : fraction of missing information
    df_large : degrees of freedom of Rubin 1987, for complete data without limit
    """

    estimate: Estimate
    within: float
    between: float
    total: float
    increase: float
    missing: float
    df_large: float


def combine_imputations(estimates: ArrayLike, variances: ArrayLike, *, df_complete: float = np.inf, level: float = 0.95) -> Combined:
    """One estimate from m imputed data sets.

    Parameters
    ----------
    estimates, variances : shape (m,), m >= 2
    df_complete : degrees of freedom that complete data would have

    Raises
    ------
    ValueError : shapes differ, fewer than two imputations, or a variance that is not positive

    Notes
    -----
    Rubin 1987, *Multiple Imputation for Nonresponse in Surveys*; Barnard and Rubin 1999, Biometrika 86:948.
    Reference: mice 3.15.0, case c24.

    Examples
    --------
    >>> combine_imputations([1.0, 1.0], [0.25, 0.25], df_complete=8).estimate.se
    0.5
    """
    q, u = np.asarray(estimates, dtype=np.float64), np.asarray(variances, dtype=np.float64)
    if q.ndim != 1 or q.shape != u.shape or q.size < 2 or not (np.isfinite(q).all() and np.isfinite(u).all() and (u > 0).all()):
        raise ValueError("two or more imputations, each with an estimate and a positive variance, are needed")
    return combine_parts(float(q.mean()), Parts(float(u.mean()), float(q.var(ddof=1)), q.size), df_complete=df_complete, level=level)


@dataclass(frozen=True, slots=True)
class Parts:
    """Variance within m completed data sets, positive, and variance between their estimates."""

    within: float
    between: float
    m: int


def combine_parts(estimate: float, parts: Parts, *, df_complete: float = np.inf, level: float = 0.95) -> Combined:
    """Rubin's combination where the variances are found in another way than as mean and variance over the data sets."""
    within, between = parts.within, parts.between
    added = (1 + 1 / parts.m) * between
    total = within + added
    share = max(added / total, _LEAST_SHARE)
    df_large = (parts.m - 1) / share**2
    df = _barnard_rubin(df_large, df_complete, share)
    increase = added / within
    return Combined(
        estimate=infer_t(estimate, float(np.sqrt(total)), df, level=level),
        within=within,
        between=between,
        total=total,
        increase=increase,
        missing=(increase + 2 / (df + 3)) / (increase + 1),
        df_large=df_large,
    )


def _barnard_rubin(df_large: float, df_complete: float, share: float) -> float:
    if np.isinf(df_complete):
        return df_large
    observed = (df_complete + 1) / (df_complete + 3) * df_complete * (1 - share)
    return df_large * observed / (df_large + observed)
