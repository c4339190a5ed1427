"""Standard curves of immunoassays, fitted to the standards of many plates at once.

Standards (natural log concentration, signal) flow in, a :class:`Curve` per plate flows out:
parameters (a, b, log_c, d) of ``logistic``, their covariance, the variance of a reading, and
what the data do not determine. The descent itself is in ``least_squares``.

Weighting ``fitted`` takes weights 1 / variance at the *fitted* means and iterates; weights
at the observed readings (the vendors' 1/y and 1/y2) reward readings for being low by chance.
One plate of duplicates hardly identifies a variance function, so :func:`fit_pooled` estimates
it from all plates of an analyte, in turn with their curves.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri

from exvivo.numerics.least_squares import (
    TINY,
    Fixed,
    Plates,
    Standards,
    factor_covariance,
    measure_stationarity,
    minimise,
    minimise_from_all,
    search_start,
    to_external,
    to_internal,
)
from exvivo.numerics.logistic import jacobian, value
from exvivo.numerics.variance import Array, LinearisedPlates, VarianceFunction, estimate_restricted

_FLAT = 1e-3  # vendor weights: readings below this part of the largest count as this part of it
_TOP_FRACTION = 0.6  # the top standard reaches less than this part of the span: d is an extrapolation
_ODD_PLATE = 1e-5  # a plate that scatters this improbably keeps its own variance
_FEWEST_TO_COMPARE = 3
_SE_FRACTION = 0.5  # two standard errors of d reach back to a: d is not identified


class Weighting(StrEnum):
    """What a squared residual is divided by."""

    FITTED = "fitted"  # the variance function at the fitted mean, iterated
    NONE = "none"
    RECIPROCAL = "1/y"  # observed signals, as the readers' software does
    RECIPROCAL_SQUARED = "1/y2"


_NOTHING_FIXED = Fixed()


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One fitted curve.

    Parameters
    ----------
    parameters : shape (4,), (a, b, log_c, d) with b > 0; signals in the unit of the standards
    loading : shape (4, 4), lower triangular, a square root of the covariance of the parameters (``loading @ loading.T``).
        The covariance is Gauss-Newton: inverse information at the fitted weights, times the residual
        variance except under weighting ``fitted``, where the variance function is the scale
    variance : variance of one reading as a function of its mean
    df, rss : residual degrees of freedom; weighted residual sum of squares
    converged : the gradient vanishes (within the box)
    at_limit : ``b`` or ``log_c`` stopped at the box, so the standards do not determine the curve's shape
    asymptote_determined : the standards determine ``d``: the top standard covers at least 60 % of the
        span from a to d and two standard errors of d stay short of the span
    """

    parameters: Array
    loading: Array
    variance: VarianceFunction
    weighting: Weighting
    df: int
    rss: float
    converged: bool
    at_limit: bool
    asymptote_determined: bool

    @property
    def covariance(self) -> Array:
        """Covariance of (a, b, log_c, d), shape (4, 4)."""
        return np.asarray(self.loading @ self.loading.T)


@dataclass(frozen=True, slots=True)
class PooledFit:
    """Curves of one analyte, in the order of the plates, and the variance function pooled over them.

    ``pooled`` tells which plates it is pooled over: the others scatter far more, and keep their own.
    """

    curves: tuple[Curve, ...]
    variance: VarianceFunction
    pooled: tuple[bool, ...]


def fit_curves(
    standards: Sequence[Standards],
    weighting: Weighting,
    variance: VarianceFunction | None = None,
    *,
    fixed: Fixed = _NOTHING_FIXED,
    start: npt.ArrayLike | None = None,
) -> tuple[Curve, ...]:
    """Fit one curve per plate, all plates together.

    Parameters
    ----------
    standards : one per plate; plates may differ in their wells
    weighting : how residuals are weighted
    variance : variance of one reading; needed by weighting ``fitted`` and only there
    fixed : parameters that are known
    start : (4,) or (n_plates, 4) starting values (a, b, log_c, d); found from the data by default

    Returns
    -------
    tuple of Curve, in the order of ``standards``

    Raises
    ------
    ValueError : a plate has no more wells than free parameters, or ``variance`` and ``weighting`` disagree

    Notes
    -----
    Levenberg-Marquardt with Marquardt's scaling, finished by undamped steps on the normal
    equations. Reference tests: tests/reference/numerics/test_curves.py (NIST StRD, R).
    """
    if (weighting is Weighting.FITTED) != (variance is not None):
        raise ValueError("a variance function belongs to weighting 'fitted', and only to it")
    if not standards:
        return ()
    fit = Plates.pad(standards, fixed)
    if int(np.min(fit.mask.sum(axis=1))) <= int(fit.free.sum()):
        raise ValueError("each plate needs more standard wells than the curve has free parameters")
    weight = _weigh_readings(fit, weighting, variance)
    if start is None:
        theta = search_start(fit, weight)
    else:
        theta = to_internal(np.broadcast_to(np.asarray(start, dtype=np.float64), (len(standards), 4)), fit)[:, None, :]
    theta = minimise_from_all(fit, weight, theta)
    if variance is not None:
        theta, weight = _reweight(fit, theta, variance)
    return _describe(fit, weight, theta, weighting, variance)


def estimate_variance(standards: Sequence[Standards], curves: Sequence[Curve], start: VarianceFunction | None = None) -> VarianceFunction:
    """Variance function of one analyte, pooled over its plates by restricted maximum likelihood on the fitted means.

    Parameters
    ----------
    standards, curves : the same plates in the same order
    start : a previous estimate, to save time
    """
    fit = Plates.pad(standards, _NOTHING_FIXED)
    parameters = np.array([curve.parameters for curve in curves])[:, None, :]
    mean = value(fit.x, parameters)
    free = np.array([np.any(curve.loading != 0, axis=1) for curve in curves])
    plates = LinearisedPlates(fit.y - mean, mean, jacobian(fit.x, parameters) * free[:, None, :], fit.mask)
    spans = [np.ptp(plate.signal) for plate in standards]
    return estimate_restricted(plates, max(float(np.median(spans)), TINY), float(sum(curve.df for curve in curves)), start)


def fit_pooled(standards: Sequence[Standards], weighting: Weighting = Weighting.FITTED) -> PooledFit:
    """Curves of all plates of one analyte with the variance function pooled over them.

    Under weighting ``fitted`` curves and variance are estimated in turn until both stand
    still. A plate whose standards scatter far more than the others' (two exchanged standards,
    a wrong dilution) would spoil the function for all of them: it is left out of the pool, and
    its own curve gets the pooled function scaled up to its own scatter. Under the vendors'
    weightings each curve keeps the scatter of its own plate and the pooled function is reported
    beside them.

    Raises
    ------
    ValueError : no plate, or a plate with no more than four wells
    """
    if not standards:
        raise ValueError("a pooled fit needs at least one plate")
    if weighting is not Weighting.FITTED:
        curves = fit_curves(standards, weighting)
        return PooledFit(curves, estimate_variance(standards, curves), (True,) * len(curves))
    scale = float(np.median([np.ptp(plate.signal) for plate in standards]))
    start = VarianceFunction(0.005 * max(scale, TINY), 0.05, np.inf)
    pooled = np.ones(len(standards), dtype=np.bool_)
    for _ in range(5):
        curves, variance = _alternate(standards, pooled, start)
        agrees = _agree(curves)
        if np.array_equal(agrees, pooled):
            break
        pooled, start = agrees, variance
    own = [curve if agrees else _scale_up(curve) for curve, agrees in zip(curves, pooled, strict=True)]
    return PooledFit(tuple(own), variance, tuple(bool(agrees) for agrees in pooled))


def _alternate(
    standards: Sequence[Standards], pooled: npt.NDArray[np.bool_], start: VarianceFunction
) -> tuple[tuple[Curve, ...], VarianceFunction]:
    """Curves of all plates and variance of the pooled ones, in turn until both stand still."""
    kept = [i for i, agrees in enumerate(pooled) if agrees]
    curves = fit_curves(standards, Weighting.FITTED, start)
    variance = estimate_variance([standards[i] for i in kept], [curves[i] for i in kept])
    for _ in range(12):
        curves = fit_curves(standards, Weighting.FITTED, variance, start=np.array([curve.parameters for curve in curves]))
        previous, variance = variance, estimate_variance([standards[i] for i in kept], [curves[i] for i in kept], variance)
        if abs(np.log(variance.sigma0 / previous.sigma0)) + abs(np.log(variance.kappa / previous.kappa)) < 1e-4:
            break
    return fit_curves(standards, Weighting.FITTED, variance), variance


def _agree(curves: Sequence[Curve]) -> npt.NDArray[np.bool_]:
    """Plates whose scatter, relative to the plates' median, is not beyond what chance does once in 100,000 plates."""
    if len(curves) < _FEWEST_TO_COMPARE:
        return np.ones(len(curves), dtype=np.bool_)
    df = np.array([curve.df for curve in curves])
    scatter = np.array([curve.rss for curve in curves]) / df
    typical = float(np.median(scatter / (chdtri(df, 0.5) / df)))
    return np.asarray(scatter * df <= max(typical, TINY) * chdtri(df, _ODD_PLATE))


def _scale_up(curve: Curve) -> Curve:
    """The curve with its own scatter in place of the pooled one, the shape of the variance function kept."""
    factor = math.sqrt(max(curve.rss / curve.df, 1.0))
    variance = VarianceFunction(curve.variance.sigma0 * factor, curve.variance.kappa * factor, curve.df)
    return replace(curve, variance=variance, loading=curve.loading * factor)


def _weigh_readings(fit: Plates, weighting: Weighting, variance: VarianceFunction | None) -> Array:
    """Weights from the observed signals: final for the vendors' weightings, a beginning for ``fitted``."""
    size = np.abs(fit.y)
    floor = np.maximum(_FLAT * np.max(size * fit.mask, axis=1, keepdims=True), TINY)
    if variance is not None:
        weight = 1 / variance.at(size)
    elif weighting is Weighting.RECIPROCAL:
        weight = 1 / np.maximum(size, floor)
    elif weighting is Weighting.RECIPROCAL_SQUARED:
        weight = 1 / np.maximum(size, floor) ** 2
    else:
        weight = np.ones_like(size)
    return np.where(fit.mask, weight, 0.0)


def _reweight(fit: Plates, theta: Array, variance: VarianceFunction) -> tuple[Array, Array]:
    """Refit with weights at the fitted means until the means stand still."""
    mean = fit.y - fit.residual(theta)
    weight = np.zeros_like(mean)
    for _ in range(40):
        weight = np.where(fit.mask, 1 / variance.at(mean), 0.0)
        theta, _ = minimise(fit, weight, theta)
        previous, mean = mean, fit.y - fit.residual(theta)
        if np.max(np.abs(mean - previous) * fit.mask * np.sqrt(weight)) < 1e-9:
            break
    return theta, weight


def _describe(fit: Plates, weight: Array, theta: Array, weighting: Weighting, variance: VarianceFunction | None) -> tuple[Curve, ...]:
    parameters = to_external(theta)
    rss = (weight * fit.residual(theta) ** 2).sum(axis=1)
    df = fit.mask.sum(axis=1) - int(fit.free.sum())
    converged = measure_stationarity(fit, weight, theta) < 1e-5
    box = theta[:, 1:3]
    at_limit = np.any(((box <= fit.low) | (box >= fit.high)) & fit.free[1:3], axis=1)
    loading = factor_covariance(fit, weight, parameters)
    curves = []
    for i in range(len(theta)):
        scatter = variance
        if scatter is None:
            scatter = _scatter_of_plate(weighting, float(rss[i]), int(df[i]), float(np.max(np.abs(fit.y[i]) * fit.mask[i])))
            loading[i] *= np.sqrt(rss[i] / df[i])
        top = float(np.max(fit.x[i][fit.mask[i]]))
        determined = _determines_asymptote(parameters[i], loading[i], top)
        curves.append(
            Curve(
                parameters[i], loading[i], scatter, weighting, int(df[i]), float(rss[i]), bool(converged[i]), bool(at_limit[i]), determined
            )
        )
    return tuple(curves)


def _scatter_of_plate(weighting: Weighting, rss: float, df: int, largest: float) -> VarianceFunction:
    """Variance function that a vendor's weighting implies: residual variance over weight, with the weights' own floor."""
    s2 = rss / df
    s = math.sqrt(s2)
    floor = max(_FLAT * largest, TINY)
    rounding = 1e-9 * largest + TINY
    if weighting is Weighting.RECIPROCAL:
        return VarianceFunction(s * math.sqrt(floor) + rounding, 0.0, df, linear=s2)
    if weighting is Weighting.RECIPROCAL_SQUARED:
        return VarianceFunction(s * floor + rounding, s, df)
    return VarianceFunction(s + rounding, 0.0, df)


def _determines_asymptote(parameters: Array, loading: Array, top: float) -> bool:
    """Whether ``d`` is data rather than extrapolation."""
    a, _, _, d = parameters
    span = abs(d - a)
    reached = abs(float(value(top, parameters)) - a)
    return bool(reached >= _TOP_FRACTION * span and np.linalg.norm(loading[3]) <= _SE_FRACTION * span)
