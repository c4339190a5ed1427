"""Residuals that are not alike: a spread of its own in each stratum, or a correlation within groups that may be negative.

In: a response, a fixed design and labels. Out: REML estimates as `mixed` and R's nlme give them. Spreads of strata are
variance components: the stratum that varies least is the residual, every other adds a component on its own rows, so that
nothing but `fit_mixed` is needed and Kenward-Roger inference comes with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize

from exvivo.numerics.inference import Array
from exvivo.numerics.mixed import MixedFit, fit_mixed


@dataclass(frozen=True, slots=True, eq=False)
class StrataFit:
    """Mixed model with a residual spread for each stratum.

    Attributes
    ----------
    fit : the model; its residual is that of the stratum that varies least
    sds : residual standard deviation of each stratum, in the order asked for
    random : variances of the random terms
    """

    fit: MixedFit
    sds: Array
    random: Array


def fit_strata(
    response: ArrayLike, design: ArrayLike, components: Sequence[ArrayLike], strata: Sequence[str], levels: Sequence[str]
) -> StrataFit:
    """REML fit of a mixed model whose residual spread differs between strata.

    Parameters
    ----------
    response, design, components : as in `fit_mixed`
    strata : for each observation its stratum
    levels : the strata, in the order in which their spreads are wanted

    Notes
    -----
    Pinheiro and Bates 2000, *Mixed-Effects Models in S and S-PLUS*, section 5.2 (varIdent). Reference: nlme 3.1-162, case c26.
    """
    labels = np.asarray(strata)
    rows = {level: np.flatnonzero(labels == level) for level in levels}
    own = {level: np.eye(labels.size)[:, rows[level]] for level in levels}
    fits = {quiet: fit_mixed(response, design, [*components, *(own[level] for level in levels if level != quiet)]) for quiet in levels}
    quiet = min(fits, key=lambda level: fits[level].criterion)
    fit = fits[quiet]
    count = len(components)
    added = dict(zip((level for level in levels if level != quiet), fit.variances[count:-1], strict=True))
    return StrataFit(
        fit=fit,
        sds=np.sqrt([fit.variances[-1] + added.get(level, 0.0) for level in levels]),
        random=fit.variances[:count],
    )


@dataclass(frozen=True, slots=True, eq=False)
class SymmetricFit:
    """Generalised least squares with one correlation between all observations of a group."""

    coefficients: Array
    covariance: Array
    correlation: float
    variance: float


def fit_symmetric(response: ArrayLike, design: ArrayLike, groups: Sequence[str]) -> SymmetricFit:
    """REML fit with compound symmetry: observations of a group share a correlation, which may be negative.

    With complete pairs this is the paired t test whatever the sign of the correlation, where a donor variance would stop at
    zero. Reference: nlme `gls` with `corCompSymm`, case c28.

    Raises
    ------
    ValueError : no group has two observations
    """
    y, X = np.asarray(response, dtype=np.float64), np.asarray(design, dtype=np.float64)
    labels = np.asarray(groups)
    together = (labels[:, None] == labels[None, :]).astype(np.float64) - np.eye(y.size)
    largest = int(together.sum(axis=1).max())
    if not largest:
        raise ValueError("no group has two observations that could be correlated")

    def solve(correlation: float) -> tuple[float, Array, Array, float]:
        W = np.linalg.inv(np.eye(y.size) + correlation * together)
        information = X.T @ W @ X
        beta = np.asarray(np.linalg.solve(information, X.T @ W @ y), dtype=np.float64)
        variance = float((y - X @ beta) @ W @ (y - X @ beta)) / (y.size - X.shape[1])
        logs = np.linalg.slogdet(information)[1] - np.linalg.slogdet(W)[1]
        covariance = np.asarray(variance * np.linalg.inv(information), dtype=np.float64)
        return float(logs + (y.size - X.shape[1]) * np.log(variance)), beta, covariance, variance

    edge = 1e-9
    low, high = -1 / largest + edge, 1 - edge
    coarse = np.linspace(low, high, 41)
    best = int(np.argmin([solve(float(value))[0] for value in coarse]))
    around = (float(coarse[max(best - 1, 0)]), float(coarse[min(best + 1, 40)]))
    found = optimize.minimize_scalar(lambda value: solve(value)[0], bounds=around, method="bounded", options={"xatol": 1e-12})
    _, beta, covariance, variance = solve(float(found.x))
    return SymmetricFit(beta, covariance, float(found.x), variance)
