"""Estimates with known errors -> their mean, their spread, and each of them shrunken to the mean.

In: estimates (k,) and their known variances (k,). Out: the between variance tau2 by one of several estimators, the weighted
mean with z or Knapp-Hartung inference, heterogeneity, and best linear unbiased predictions of every estimate.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from exvivo.numerics.inference import Array, Estimate, infer_t


class Between(StrEnum):
    """Estimator of the variance between estimates."""

    REML = "reml"
    DERSIMONIAN_LAIRD = "dersimonian-laird"
    PAULE_MANDEL = "paule-mandel"
    NONE = "none"


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """Random-effects mean of estimates with known errors.

    Attributes
    ----------
    mean : with z inference (df infinite), or t inference with k - 1 degrees of freedom where Knapp-Hartung is asked for
    tau2 : variance between estimates, not below zero
    Q, p_heterogeneity : Cochran's heterogeneity statistic and its chi-squared p-value
    I2 : share of the variance that lies between estimates, per cent
    predicted, predicted_se : shape (k,), every estimate shrunken to the mean, and the error of that
    own_weight : shape (k,), weight of an estimate's own value in its prediction
    """

    mean: Estimate
    tau2: float
    Q: float
    p_heterogeneity: float
    I2: float
    predicted: Array
    predicted_se: Array
    own_weight: Array


def pool_estimates(
    estimates: ArrayLike, variances: ArrayLike, *, between: Between = Between.REML, knapp_hartung: bool = False, level: float = 0.95
) -> Pooled:
    """Random-effects (or fixed-effect) mean of estimates.

    Parameters
    ----------
    estimates, variances : shape (k,), k >= 2; variances known and positive
    between : estimator of the variance between them; `NONE` gives the fixed-effect mean

    Raises
    ------
    ValueError : shapes differ, fewer than two estimates, or a variance that is not positive

    Notes
    -----
    DerSimonian and Laird 1986, Control Clin Trials 7:177; Paule and Mandel 1982, J Res NBS 87:377; Viechtbauer 2005,
    J Educ Behav Stat 30:261 (REML); Knapp and Hartung 2003, Stat Med 22:2693; Higgins and Thompson 2002, Stat Med 21:1539.
    Reference: metafor 3.8-1, cases c09 and c25.

    Examples
    --------
    >>> round(pool_estimates([0.0, 2.0], [1.0, 1.0]).mean.estimate, 6)
    1.0
    """
    y, v = np.asarray(estimates, dtype=np.float64), np.asarray(variances, dtype=np.float64)
    if y.ndim != 1 or y.shape != v.shape or y.size < 2 or not (np.isfinite(y).all() and np.isfinite(v).all() and (v > 0).all()):
        raise ValueError("two or more estimates, each with a known variance that is positive, are needed")
    tau2 = _BETWEEN[between](y, v)
    w = 1 / (v + tau2)
    mu, se = float(w @ y / w.sum()), float(np.sqrt(1 / w.sum()))
    Q = _cochran(y, 1 / v)
    kept = tau2 / (tau2 + v)
    return Pooled(
        mean=_infer(y, w, knapp_hartung=knapp_hartung, level=level),
        tau2=tau2,
        Q=Q,
        p_heterogeneity=float(special.chdtrc(y.size - 1, Q)),
        I2=_share_between(tau2, v) if between is not Between.NONE else 100 * max(0.0, 1 - (y.size - 1) / Q if Q > 0 else 0.0),
        predicted=kept * y + (1 - kept) * mu,
        predicted_se=np.sqrt(kept * v + (1 - kept) ** 2 * se**2),
        own_weight=kept,
    )


def _infer(y: Array, w: Array, *, knapp_hartung: bool, level: float) -> Estimate:
    mu, variance = float(w @ y / w.sum()), float(1 / w.sum())
    if not knapp_hartung:
        return infer_t(mu, float(np.sqrt(variance)), np.inf, level=level)
    scale = _cochran(y, w) / (y.size - 1)
    return infer_t(mu, float(np.sqrt(scale * variance)), y.size - 1, level=level)


def _cochran(y: Array, w: Array) -> float:
    return float(w @ (y - w @ y / w.sum()) ** 2)


def _share_between(tau2: float, v: Array) -> float:
    w = 1 / v
    typical = float((v.size - 1) * w.sum() / (w.sum() ** 2 - (w**2).sum()))
    return 100 * tau2 / (tau2 + typical)


def _laird(y: Array, v: Array) -> float:
    w = 1 / v
    spare = _cochran(y, w) - (y.size - 1)
    return max(0.0, float(spare / (w.sum() - (w**2).sum() / w.sum())))


def _mandel(y: Array, v: Array) -> float:
    return _root(lambda tau2: _cochran(y, 1 / (v + tau2)) - (y.size - 1), y, v)


def _restricted(y: Array, v: Array) -> float:
    """Largest restricted likelihood; all stationary points that a grid brackets are compared."""

    def slope(tau2: float) -> float:
        w = 1 / (v + tau2)
        off = y - w @ y / w.sum()
        return float((w**2) @ off**2 - w.sum() + (w**2).sum() / w.sum())

    def deviance(tau2: float) -> float:
        w = 1 / (v + tau2)
        return float(_cochran(y, w) - np.log(w).sum() + np.log(w.sum()))

    grid = np.concatenate([[0.0], np.geomspace(1e-8, 1e2, 121) * _widest(y, v)])
    values = [slope(tau2) for tau2 in grid]
    falls = [k for k in range(len(grid) - 1) if values[k] > 0 >= values[k + 1]]
    found = [0.0, *(float(optimize.brentq(slope, grid[k], grid[k + 1], xtol=1e-300, rtol=1e-14)) for k in falls)]
    return min(found, key=deviance)


def _root(excess: Callable[[float], float], y: Array, v: Array) -> float:
    """Where a falling function is zero; zero if it starts below."""
    if excess(0.0) <= 0:
        return 0.0
    return float(optimize.brentq(excess, 0.0, 1e3 * _widest(y, v), xtol=1e-300, rtol=1e-14))


def _widest(y: Array, v: Array) -> float:
    return float(np.var(y) + v.max())


_BETWEEN: Mapping[Between, Callable[[Array, Array], float]] = MappingProxyType(
    {
        Between.REML: _restricted,
        Between.DERSIMONIAN_LAIRD: _laird,
        Between.PAULE_MANDEL: _mandel,
        Between.NONE: lambda y, v: 0.0,  # noqa: ARG005  every estimator has the same arguments
    }
)
