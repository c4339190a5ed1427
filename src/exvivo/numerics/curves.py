"""Standard curves of immunoassays, fitted to the standards of many plates at once.

Standards (natural log concentration, signal) flow in, a :class:`Curve` per plate flows out:
parameters as ``logistic`` takes them, their covariance, the variance of a reading, and
what the data do not determine. The descent itself is in ``descent``; what is pooled over plates in ``pooling``.

Weighting ``fitted`` takes weights 1 / variance at the *fitted* means and iterates; weights
at the observed readings (the vendors' 1/y and 1/y2) reward readings for being low by chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from exvivo.numerics.descent import factor_covariance, measure_stationarity, minimise, minimise_from_all
from exvivo.numerics.least_squares import TINY, Asymmetry, Branch, Family, Plates, Shape, Standards, search_start
from exvivo.numerics.logistic import D_SIDE, N_LOGISTIC, value
from exvivo.numerics.variance import Array, VarianceFunction

_FLAT = 1e-3  # vendor weights: readings below this part of the largest count as this part of it
_TOP_FRACTION = 0.6  # the top standard reaches less than this part of the span: d is an extrapolation
_SE_FRACTION = 0.5  # two standard errors of d reach back to a: d is not identified


class Weighting(StrEnum):
    """What a squared residual is divided by."""

    FITTED = "fitted"  # the variance function at the fitted mean, iterated
    NONE = "none"
    RECIPROCAL = "1/y"  # observed signals, as the readers' software does
    RECIPROCAL_SQUARED = "1/y2"


_LOGISTIC = Shape()


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One fitted curve.

    Parameters
    ----------
    family : which curve
    parameters : as ``logistic`` takes them: shape (4,), (a, b, log_c, d), or (6,), (a, b, log_c, d, log_g, side);
        b > 0; signals in the unit of the standards
    loading : shape (4, 4) or (5, 5), lower triangular, a square root of the covariance of (a, b, log_c, d[, log_g])
        (``loading @ loading.T``). The covariance is Gauss-Newton: inverse information at the fitted weights, times the residual
        variance except under weighting ``fitted``, where the variance function is the scale
    variance : variance of one reading as a function of its mean
    df, rss : residual degrees of freedom; weighted residual sum of squares, a penalty on the asymmetry included
    converged : the gradient vanishes (within the box)
    at_limit : slope, midpoint or asymmetry stopped at the box, so the standards do not determine the curve's shape
    asymptote_determined : the standards determine ``d``: the top standard covers at least 60 % of the
        span from a to d and two standard errors of d stay short of the span
    """

    family: Family
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
        """Covariance of (a, b, log_c, d[, log_g])."""
        return np.asarray(self.loading @ self.loading.T)

    @property
    def branch(self) -> Branch | None:
        """Which of the two five-parameter curves."""
        if self.family is not Family.FIVE:
            return None
        return Branch.D if self.parameters[5] == D_SIDE else Branch.A

    def scaled(self, factor: float, df: float) -> "Curve":
        """The curve with the standard deviation of readings, and its own error, multiplied; ``df`` is what the factor rests on."""
        was = self.variance
        variance = VarianceFunction(was.sigma0 * factor, was.kappa * factor, df, was.linear * factor**2, was.log_covariance)
        return replace(self, variance=variance, loading=self.loading * factor)


def fit_curves(
    standards: Sequence[Standards],
    weighting: Weighting,
    variance: VarianceFunction | None = None,
    *,
    shape: Shape = _LOGISTIC,
    asymmetry: Asymmetry | None = None,
    start: npt.ArrayLike | None = None,
) -> tuple[Curve, ...]:
    """Fit one curve per plate, all plates together.

    Parameters
    ----------
    standards : one per plate; plates may differ in their wells
    weighting : how residuals are weighted
    variance : variance of one reading; needed by weighting ``fitted`` and only there
    shape : which curve, and what of it is known
    asymmetry : what is known of log g of each plate; for weighting ``fitted`` only, elsewhere residuals have no known scale
    start : starting values as ``logistic`` takes them, for all plates or one row each; found from the data by default

    Returns
    -------
    tuple of Curve, in the order of ``standards``

    Raises
    ------
    ValueError : a plate has no more wells than free parameters, or ``variance`` and ``weighting`` disagree

    Notes
    -----
    Levenberg-Marquardt with Marquardt's scaling, finished by undamped steps on the normal
    equations. Of the two five-parameter branches the one with the smaller cost is kept, plate by plate; the a-side when they are equal.
    Reference tests: tests/reference/numerics/test_curves.py (NIST StRD, R).
    """
    if (weighting is Weighting.FITTED) != (variance is not None):
        raise ValueError("a variance function belongs to weighting 'fitted', and only to it")
    if asymmetry is not None and weighting is not Weighting.FITTED:
        raise ValueError("knowledge of the asymmetry needs weighting 'fitted'")
    if not standards:
        return ()
    fit = Plates.pad(standards, shape, asymmetry)
    if int(np.min(fit.mask.sum(axis=1))) <= int(fit.free.sum()):
        raise ValueError("each plate needs more standard wells than the curve has free parameters")
    weight = fit.count if variance is not None else _weigh_readings(fit, weighting)
    few, weights = fit.collapse(weight)
    if variance is not None:
        weights = few.count / variance.at(few.y)  # a beginning: the descent renews them at the fitted means
    if start is None:
        side, theta = _descend_branches(few, weights, variance)
    else:
        side, theta = _descend_from(few, weights, variance, np.asarray(start, dtype=np.float64))
    fit = replace(fit, side=side)
    if variance is not None:
        weight = fit.count / variance.at(value(fit.x, fit.external(theta)[:, None, :]))
    return _describe(fit, weight, theta, weighting, variance)


def _descend_branches(fit: Plates, weight: Array, variance: VarianceFunction | None) -> tuple[Array, Array]:
    """The better branch of every plate and where its descent ended."""
    best, lowest, side = np.zeros((len(fit.x), len(fit.held))), np.full(len(fit.x), np.inf), fit.side
    for code in fit.shape.sides:
        here = fit.on(code)
        theta, cost = minimise_from_all(here, weight, search_start(here, weight))
        if variance is not None:
            theta, cost = minimise(here, weight, theta, variance.at)
            mean = value(here.x, here.external(theta)[:, None, :])
            cost = cost + np.sum(here.count * np.log(variance.at(mean)), axis=1)  # weights differ between the branches
        better = cost < lowest - 1e-9 * np.abs(lowest, where=np.isfinite(lowest), out=np.zeros_like(lowest))
        best, lowest, side = np.where(better[:, None], theta, best), np.where(better, cost, lowest), np.where(better, code, side)
    return side, best


def _descend_from(fit: Plates, weight: Array, variance: VarianceFunction | None, start: Array) -> tuple[Array, Array]:
    """Branch of the given parameters and where the descent from them ends."""
    rows = np.broadcast_to(start, (len(fit.x), start.shape[-1]))
    if start.shape[-1] > N_LOGISTIC:
        fit = replace(fit, side=rows[:, 5].copy())
    theta, _ = minimise(fit, weight, fit.internal(rows), None if variance is None else variance.at)
    return fit.side, theta


def _weigh_readings(fit: Plates, weighting: Weighting) -> Array:
    """The vendors' weights, from the observed signals."""
    size = np.abs(fit.y)
    floor = np.maximum(_FLAT * np.max(size * fit.mask, axis=1, keepdims=True), TINY)
    if weighting is Weighting.RECIPROCAL:
        weight = 1 / np.maximum(size, floor)
    elif weighting is Weighting.RECIPROCAL_SQUARED:
        weight = 1 / np.maximum(size, floor) ** 2
    else:
        weight = np.ones_like(size)
    return np.where(fit.mask, weight, 0.0)


def _describe(fit: Plates, weight: Array, theta: Array, weighting: Weighting, variance: VarianceFunction | None) -> tuple[Curve, ...]:
    parameters = fit.external(theta)
    rss = np.einsum("pn,pn->p", weight, (fit.y - value(fit.x, parameters[:, None, :])) ** 2) + fit.fine(theta)
    df = fit.mask.sum(axis=1) - int(fit.free.sum())
    converged = measure_stationarity(fit, weight, theta) < 1e-5
    at_limit = np.any(((theta <= fit.low) | (theta >= fit.high)) & fit.free, axis=1)
    loading = factor_covariance(fit, weight, theta)
    if variance is None:
        loading *= np.sqrt(rss / df)[:, None, None]
        largest = np.max(np.abs(fit.y) * fit.mask, axis=1)
        scatter = _scatter_of_plates(weighting, rss, df, largest)
    else:
        scatter = [variance] * len(theta)
    determined = _determines_asymptote(fit, parameters, loading)
    told = zip(scatter, df.tolist(), rss.tolist(), converged.tolist(), at_limit.tolist(), determined.tolist(), strict=True)
    return tuple(
        Curve(fit.shape.family, parameters[i], loading[i], scale, weighting, *rest) for i, (scale, *rest) in enumerate(told)
    )  # fmt: skip


def _scatter_of_plates(weighting: Weighting, rss: Array, df: Array, largest: Array) -> list[VarianceFunction]:
    """Variance functions that a vendor's weighting implies: residual variance over weight, with the weights' own floor."""
    s2 = rss / df
    s, floor, rounding = np.sqrt(s2), np.maximum(_FLAT * largest, TINY), 1e-9 * largest + TINY
    none = np.zeros_like(s)
    terms = {
        Weighting.NONE: (s + rounding, none, df, none),
        Weighting.RECIPROCAL: (s * np.sqrt(floor) + rounding, none, df, s2),
        Weighting.RECIPROCAL_SQUARED: (s * floor + rounding, s, df, none),
    }[weighting]
    return [VarianceFunction(*row) for row in zip(*(term.tolist() for term in terms), strict=True)]


def _determines_asymptote(fit: Plates, parameters: Array, loading: Array) -> npt.NDArray[np.bool_]:
    """Whether ``d`` is data rather than extrapolation, (n,); a power law has none to determine."""
    if fit.shape.family is Family.POWER_LAW:
        return np.ones(len(parameters), dtype=np.bool_)
    a, d = parameters[:, 0], parameters[:, 3]
    span = np.abs(d - a)
    reached = np.abs(value(np.max(np.where(fit.mask, fit.x, -np.inf), axis=1), parameters) - a)
    return np.asarray((reached >= _TOP_FRACTION * span) & (np.linalg.norm(loading[:, 3], axis=1) < _SE_FRACTION * span))
