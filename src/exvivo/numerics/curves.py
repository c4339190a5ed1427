"""The four-parameter logistic curve of immunoassays, fitted to the standards of many plates at once.

Standards (natural log concentration, signal) flow in, a :class:`Curve` per plate flows out:
parameters, their covariance, and what the data do not determine. The curve is::

    y = d + (a - d) / (1 + (x / c)**b),   b > 0

with ``a`` the signal at concentration zero and ``d`` at infinity, so rising (d > a) and
falling (competitive) assays are one family. Parameters are stored as ``(a, b, log_c, d)``
and concentrations as natural logs. The zero standard has log concentration ``-inf`` and is
exact: the curve is ``a`` there, which is what identifies ``a``.

Given ``b`` and ``log_c`` the curve is linear in ``a`` and ``d``; a grid over the first two
with the others solved exactly gives starting values that need no guess. Levenberg-Marquardt
then runs over all plates and starts together, in (a, log b, log_c, d), padded to the longest
plate. ``log_c`` and ``b`` stay inside a wide box relative to the standards, so that an
incomplete curve ends at a finite fit that says it is incomplete, not at infinity.

Weighting ``fitted`` takes weights 1 / variance at the *fitted* means and iterates; weights
at the observed readings (the vendors' 1/y and 1/y2) reward readings for being low by chance.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from exvivo.numerics.variance import Array, LinearisedPlates, VarianceFunction, estimate_restricted

_FLAT = 1e-3  # vendor weights: readings below this part of the largest count as this part of it
_TOP_FRACTION = 0.6  # the top standard reaches less than this part of the span: d is an extrapolation
_SE_FRACTION = 0.5  # two standard errors of d reach back to a: d is not identified
_TINY = 1e-300


class Weighting(StrEnum):
    """What a squared residual is divided by."""

    FITTED = "fitted"  # the variance function at the fitted mean, iterated
    NONE = "none"
    RECIPROCAL = "1/y"  # observed signals, as the readers' software does
    RECIPROCAL_SQUARED = "1/y2"


@dataclass(frozen=True, slots=True, eq=False)
class Standards:
    """Standard wells of one plate: ``log_conc`` (natural log, -inf = zero standard) and ``signal``, both shape (n_wells,).

    Raises
    ------
    ValueError : shapes differ, a signal is not finite, or a log concentration is NaN or +inf
    """

    log_conc: Array
    signal: Array

    def __post_init__(self) -> None:
        if self.log_conc.ndim != 1 or self.log_conc.shape != self.signal.shape:
            raise ValueError(f"log_conc {self.log_conc.shape} and signal {self.signal.shape} must be one-dimensional and of one length")
        if not np.all(np.isfinite(self.signal)):
            raise ValueError("signals of standards must be finite")
        if np.any(np.isnan(self.log_conc) | (self.log_conc == np.inf)):
            raise ValueError("log concentrations of standards must be finite, or -inf for the zero standard")


@dataclass(frozen=True, slots=True)
class Fixed:
    """Parameters held at a value; None = estimated."""

    a: float | None = None
    b: float | None = None
    log_c: float | None = None
    d: float | None = None

    def values(self) -> Array:
        """Values in the order of the parameters, 0 where free."""
        return np.array([0.0 if v is None else v for v in (self.a, self.b, self.log_c, self.d)])

    def free(self) -> npt.NDArray[np.bool_]:
        """Which of (a, b, log_c, d) are estimated."""
        return np.array([v is None for v in (self.a, self.b, self.log_c, self.d)])


_NOTHING_FIXED = Fixed()


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One fitted curve.

    Parameters
    ----------
    parameters : shape (4,), (a, b, log_c, d) with b > 0; signals in the unit of the standards
    loading : shape (4, 4), a square root of the covariance of the parameters (``loading @ loading.T``).
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
    """Curves of one analyte, in the order of the plates, and the variance function pooled over them."""

    curves: tuple[Curve, ...]
    variance: VarianceFunction


def value(log_conc: npt.ArrayLike, parameters: npt.ArrayLike) -> Array:
    """Signal of the curve.

    Parameters
    ----------
    log_conc : natural log concentration, any shape, -inf and inf allowed
    parameters : (..., 4), broadcast against ``log_conc``

    Examples
    --------
    >>> value([-np.inf, 0.0, np.inf], [0.1, 1.0, 0.0, 2.1]).tolist()
    [0.1, 1.1, 2.1]
    """
    a, b, log_c, d = _split(parameters)
    z = b * (np.asarray(log_conc, dtype=np.float64) - log_c)
    return np.asarray(a * expit(-z) + d * expit(z))


def jacobian(log_conc: npt.ArrayLike, parameters: npt.ArrayLike) -> Array:
    """Derivatives of :func:`value` with respect to (a, b, log_c, d), on a new last axis."""
    a, b, log_c, d = _split(parameters)
    x = np.asarray(log_conc, dtype=np.float64)
    distance = np.where(np.isfinite(x), x - log_c, 0.0)  # at +-inf the factor that vanishes faster wins
    z = b * (x - log_c)
    below, above = expit(-z), expit(z)
    bell = (d - a) * below * above
    return np.stack(np.broadcast_arrays(below, bell * distance, -b * bell, above), axis=-1)


def slope(log_conc: npt.ArrayLike, parameters: npt.ArrayLike) -> Array:
    """Derivative of :func:`value` with respect to the log concentration; 0 at +-inf."""
    a, b, log_c, d = _split(parameters)
    z = b * (np.asarray(log_conc, dtype=np.float64) - log_c)
    return np.asarray((d - a) * b * expit(-z) * expit(z))


def inverse(signal: npt.ArrayLike, parameters: npt.ArrayLike) -> Array:
    """Log concentration at which the curve reaches a signal.

    -inf at or beyond ``a``, inf at or beyond ``d``, never NaN for a signal that is a number.

    Examples
    --------
    >>> inverse([0.0, 1.1, 2.1, 9.0], [0.1, 1.0, 0.0, 2.1]).round(12).tolist()
    [-inf, 0.0, inf, inf]
    """
    a, b, log_c, d = _split(parameters)
    y = np.asarray(signal, dtype=np.float64)
    direction = np.where(d >= a, 1.0, -1.0)
    from_a, to_d = direction * (y - a), direction * (d - y)
    inside = (from_a > 0) & (to_d > 0)
    odds = np.where(inside, from_a, 1.0) / np.where(inside, to_d, 1.0)
    infinite = np.where(from_a <= 0, -np.inf, np.inf)
    return np.asarray(np.where(inside, log_c + np.log(odds) / b, infinite))


def _split(parameters: npt.ArrayLike) -> tuple[Array, Array, Array, Array]:
    array = np.asarray(parameters, dtype=np.float64)
    return array[..., 0], array[..., 1], array[..., 2], array[..., 3]


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
    fit = _Plates.pad(standards, fixed)
    if int(np.min(fit.mask.sum(axis=1))) <= int(fit.free.sum()):
        raise ValueError("each plate needs more standard wells than the curve has free parameters")
    weight = _weigh_readings(fit, weighting, variance)
    if start is None:
        theta = _search_start(fit, weight)
    else:
        theta = _internal(np.broadcast_to(np.asarray(start, dtype=np.float64), (len(standards), 4)), fit)[:, None, :]
    theta = _minimise_from_all(fit, weight, theta)
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
    fit = _Plates.pad(standards, _NOTHING_FIXED)
    parameters = np.array([curve.parameters for curve in curves])[:, None, :]
    mean = value(fit.x, parameters)
    free = np.array([np.any(curve.loading != 0, axis=1) for curve in curves])
    plates = LinearisedPlates(fit.y - mean, mean, jacobian(fit.x, parameters) * free[:, None, :], fit.mask)
    spans = [np.ptp(plate.signal) for plate in standards]
    return estimate_restricted(plates, max(float(np.median(spans)), _TINY), float(sum(curve.df for curve in curves)), start)


def fit_pooled(standards: Sequence[Standards], weighting: Weighting = Weighting.FITTED) -> PooledFit:
    """Curves of all plates of one analyte with the variance function pooled over them.

    Under weighting ``fitted`` curves and variance are estimated in turn until both stand
    still; under the vendors' weightings each curve keeps the scatter of its own plate and the
    pooled function is reported beside them.

    Raises
    ------
    ValueError : no plate, or a plate with no more than four wells
    """
    if not standards:
        raise ValueError("a pooled fit needs at least one plate")
    if weighting is not Weighting.FITTED:
        curves = fit_curves(standards, weighting)
        return PooledFit(curves, estimate_variance(standards, curves))
    scale = float(np.median([np.ptp(plate.signal) for plate in standards]))
    curves = fit_curves(standards, Weighting.FITTED, VarianceFunction(0.005 * max(scale, _TINY), 0.05, np.inf))
    variance = estimate_variance(standards, curves)
    for _ in range(12):
        curves = fit_curves(standards, Weighting.FITTED, variance, start=np.array([curve.parameters for curve in curves]))
        previous, variance = variance, estimate_variance(standards, curves, variance)
        if abs(np.log(variance.sigma0 / previous.sigma0)) + abs(np.log(variance.kappa / previous.kappa)) < 1e-4:
            break
    curves = fit_curves(standards, Weighting.FITTED, variance)
    return PooledFit(curves, variance)


@dataclass(frozen=True, slots=True, eq=False)
class _Plates:
    """All plates padded to the longest: ``x``, ``y``, ``mask`` (n_plates, n_wells); ``low``, ``high`` (n_plates, 2) bound (log b, log_c)."""

    x: Array
    y: Array
    mask: npt.NDArray[np.bool_]
    low: Array
    high: Array
    fixed: Array
    free: npt.NDArray[np.bool_]

    @classmethod
    def pad(cls, standards: Sequence[Standards], fixed: Fixed) -> "_Plates":
        width = max(plate.signal.size for plate in standards)
        x, y = np.zeros((2, len(standards), width))
        mask = np.zeros((len(standards), width), dtype=np.bool_)
        low, high = np.zeros((2, len(standards), 2))
        for i, plate in enumerate(standards):
            n = plate.signal.size
            x[i, :n], y[i, :n], mask[i, :n] = plate.log_conc, plate.signal, True
            finite = plate.log_conc[np.isfinite(plate.log_conc)]
            bottom, top = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
            spread = top - bottom if top > bottom else 1.0
            low[i] = np.log(0.3 / spread), bottom - 2 * spread
            high[i] = np.log(300 / spread), top + 2 * spread
        return cls(x, y, mask, low, high, fixed.values(), fixed.free())

    def repeat(self, times: int) -> "_Plates":
        """Each plate ``times`` times in a row, one row per start."""
        return self.take(np.repeat(np.arange(self.x.shape[0]), times))

    def take(self, rows: npt.NDArray[np.intp]) -> "_Plates":
        return replace(self, x=self.x[rows], y=self.y[rows], mask=self.mask[rows], low=self.low[rows], high=self.high[rows])

    def clip(self, theta: Array) -> Array:
        """Inside the box, fixed parameters at their values."""
        inside = theta.copy()
        for column, side in ((1, 0), (2, 1)):
            if self.free[column]:
                inside[:, column] = np.clip(theta[:, column], self.low[:, side], self.high[:, side])
        return inside

    def residual(self, theta: Array) -> Array:
        return np.asarray(self.y - value(self.x, _external(theta)[:, None, :]))

    def design(self, theta: Array) -> Array:
        """Jacobian in internal parameters, fixed columns zero: (n, wells, 4)."""
        external = _external(theta)
        matrix = jacobian(self.x, external[:, None, :]) * self.free
        matrix[..., 1] *= external[:, None, 1]
        return matrix


def _external(theta: Array) -> Array:
    parameters = theta.copy()
    parameters[..., 1] = np.exp(theta[..., 1])
    return parameters


def _internal(parameters: Array, fit: _Plates) -> Array:
    theta = np.where(fit.free, parameters, fit.fixed)
    theta[..., 1] = np.log(theta[..., 1])
    return fit.clip(theta)


def _weigh_readings(fit: _Plates, weighting: Weighting, variance: VarianceFunction | None) -> Array:
    """Weights from the observed signals: final for the vendors' weightings, a beginning for ``fitted``."""
    size = np.abs(fit.y)
    floor = np.maximum(_FLAT * np.max(size * fit.mask, axis=1, keepdims=True), _TINY)
    if variance is not None:
        weight = 1 / variance.at(size)
    elif weighting is Weighting.RECIPROCAL:
        weight = 1 / np.maximum(size, floor)
    elif weighting is Weighting.RECIPROCAL_SQUARED:
        weight = 1 / np.maximum(size, floor) ** 2
    else:
        weight = np.ones_like(size)
    return np.where(fit.mask, weight, 0.0)


def _search_start(fit: _Plates, weight: Array) -> Array:
    """Best rising, best falling and best extrapolating curve of a grid over (b, log_c): (n_plates, 3, 4)."""
    inner_low, inner_high = fit.low[:, 1], fit.high[:, 1]
    spread = (inner_high - inner_low) / 5  # the box is the range of the standards and twice that on both sides
    steps = np.array([1.0, 2.0, 3.5, 6.0, 10.0, 18.0, 40.0])
    places = np.concatenate([[-0.75, -0.3], np.linspace(0.0, 1.0, 13), [1.3, 1.75]])
    log_b = np.log(steps[None, :] / spread[:, None]) if fit.free[1] else np.full((len(spread), 1), np.log(fit.fixed[1]))
    log_c = inner_low[:, None] + (2 + places) * spread[:, None] if fit.free[2] else np.full((len(spread), 1), fit.fixed[2])
    n_b, n_c = log_b.shape[1], log_c.shape[1]
    shape = np.stack([np.repeat(log_b, n_c, axis=1), np.tile(log_c, (1, n_b))], axis=-1)
    above = expit(np.exp(shape[..., :1]) * (fit.x[:, None, :] - shape[..., 1:]))
    a, d, cost = _solve_asymptotes(fit, weight, above)
    theta = np.stack([a, shape[..., 0], d, shape[..., 1]], axis=-1)[..., [0, 1, 3, 2]]
    extrapolates = shape[..., 1] > inner_high[:, None] - 2 * spread[:, None]
    chosen = [np.argmin(np.where(keep, cost, np.inf), axis=1) for keep in (d > a, d <= a, extrapolates)]
    rows = np.arange(len(spread))
    return np.stack([theta[rows, index] for index in chosen], axis=1)


def _solve_asymptotes(fit: _Plates, weight: Array, above: Array) -> tuple[Array, Array, Array]:
    """Least squares for (a, d) where ``above`` (plates, grid, wells) is the part of d in the signal; also the cost."""
    below = 1 - above
    w, y = weight[:, None, :], fit.y[:, None, :]
    aa, ad, dd = ((w * p * q).sum(axis=-1) for p, q in ((below, below), (below, above), (above, above)))
    ay, dy = (w * below * y).sum(axis=-1), (w * above * y).sum(axis=-1)
    if fit.free[0] and fit.free[3]:
        ridge = 1e-9 * (aa + dd)
        det = (aa + ridge) * (dd + ridge) - ad**2
        a, d = (ay * (dd + ridge) - dy * ad) / det, (dy * (aa + ridge) - ay * ad) / det
    else:
        a = (ay - ad * fit.fixed[3]) / (aa + _TINY) if fit.free[0] else np.full_like(aa, fit.fixed[0])
        d = (dy - ad * a) / (dd + _TINY) if fit.free[3] else np.full_like(dd, fit.fixed[3])
    cost = (w * (y - a[..., None] * below - d[..., None] * above) ** 2).sum(axis=-1)
    return a, d, cost


def _minimise_from_all(fit: _Plates, weight: Array, starts: Array) -> Array:
    """Best end point over the starts (n_plates, n_starts, 4): (n_plates, 4)."""
    n_plates, n_starts, _ = starts.shape
    ends, cost = _minimise(fit.repeat(n_starts), np.repeat(weight, n_starts, axis=0), starts.reshape(-1, 4))
    best = np.argmin(cost.reshape(n_plates, n_starts), axis=1)
    return np.asarray(ends.reshape(n_plates, n_starts, 4)[np.arange(n_plates), best])


def _minimise(fit: _Plates, weight: Array, theta: Array) -> tuple[Array, Array]:
    """Levenberg-Marquardt on every row; returns end points and costs."""
    theta = fit.clip(theta)
    cost = (weight * fit.residual(theta) ** 2).sum(axis=1)
    damping = np.full(len(theta), 1e-3)
    active = np.arange(len(theta))
    for _ in range(400):
        part = fit.take(active)
        here = theta[active]
        trial = part.clip(here + _step(part, weight[active], here, damping[active]))
        trial_cost = (weight[active] * part.residual(trial) ** 2).sum(axis=1)
        better = trial_cost <= cost[active]
        settled = better & (cost[active] - trial_cost <= 1e-13 * cost[active])
        accepted = active[better]
        theta[accepted], cost[accepted] = trial[better], trial_cost[better]
        damping[active] = np.where(better, np.maximum(damping[active] / 10, 1e-12), damping[active] * 8)
        active = active[~settled & (damping[active] < 1e10)]
        if active.size == 0:
            break
    return _polish(fit, weight, theta)


def _polish(fit: _Plates, weight: Array, theta: Array) -> tuple[Array, Array]:
    """Undamped steps while the gradient shrinks: costs cannot tell apart what rounding hides, gradients can."""
    error = _stationarity(fit, weight, theta)
    for _ in range(6):
        trial = fit.clip(theta + _step(fit, weight, theta, np.full(len(theta), 1e-14)))
        trial_error = _stationarity(fit, weight, trial)
        better = trial_error < error
        if not np.any(better):
            break
        theta, error = np.where(better[:, None], trial, theta), np.where(better, trial_error, error)
    return theta, (weight * fit.residual(theta) ** 2).sum(axis=1)


def _normal_equations(fit: _Plates, weight: Array, theta: Array) -> tuple[Array, Array, Array]:
    """Scaled information (n, 4, 4), scaled gradient and scale (n, 4); columns that may not move are zero."""
    design, residual = fit.design(theta), fit.residual(theta)
    gradient = np.einsum("pni,pn->pi", design, weight * residual)
    blocked = np.zeros_like(theta, dtype=np.bool_)
    for column, side in ((1, 0), (2, 1)):
        outward = gradient[:, column]
        blocked[:, column] = ((theta[:, column] <= fit.low[:, side]) & (outward < 0)) | (
            (theta[:, column] >= fit.high[:, side]) & (outward > 0)
        )
    design = design * ~blocked[:, None, :]
    information = np.einsum("pni,pnj->pij", design * weight[..., None], design)
    scale = np.sqrt(np.einsum("pii->pi", information))
    scale = np.where(scale > 0, scale, np.inf)
    return information / (scale[:, :, None] * scale[:, None, :]), gradient / scale, scale


def _step(fit: _Plates, weight: Array, theta: Array, damping: Array) -> Array:
    information, gradient, scale = _normal_equations(fit, weight, theta)
    still = ~np.isfinite(scale)
    diagonal = np.where(still, 1.0, damping[:, None])
    matrix = information + diagonal[:, :, None] * np.eye(4)
    try:
        move = np.linalg.solve(matrix, gradient[..., None])[..., 0]
    except np.linalg.LinAlgError:  # a column is a multiple of another to the last bit
        move = np.linalg.solve(matrix + 1e-10 * np.eye(4), gradient[..., None])[..., 0]
    return np.asarray(move / scale)


def _stationarity(fit: _Plates, weight: Array, theta: Array) -> Array:
    """Largest cosine between the residuals and a column of the design (Bates and Watts 1981), 0 at an optimum."""
    _, gradient, _ = _normal_equations(fit, weight, theta)
    size = np.sqrt((weight * fit.residual(theta) ** 2).sum(axis=1))
    rounding = 1e-13 * np.sqrt((weight * fit.y**2).sum(axis=1)) + _TINY
    return np.asarray(np.where(size > rounding, np.max(np.abs(gradient), axis=1) / (size + rounding), 0.0))


def _reweight(fit: _Plates, theta: Array, variance: VarianceFunction) -> tuple[Array, Array]:
    """Refit with weights at the fitted means until the means stand still."""
    mean = fit.y - fit.residual(theta)
    weight = np.zeros_like(mean)
    for _ in range(40):
        weight = np.where(fit.mask, 1 / variance.at(mean), 0.0)
        theta, _ = _minimise(fit, weight, theta)
        previous, mean = mean, fit.y - fit.residual(theta)
        if np.max(np.abs(mean - previous) * fit.mask * np.sqrt(weight)) < 1e-9:
            break
    return theta, weight


def _describe(fit: _Plates, weight: Array, theta: Array, weighting: Weighting, variance: VarianceFunction | None) -> tuple[Curve, ...]:
    parameters = _external(theta)
    rss = (weight * fit.residual(theta) ** 2).sum(axis=1)
    df = fit.mask.sum(axis=1) - int(fit.free.sum())
    converged = _stationarity(fit, weight, theta) < 1e-5
    box = theta[:, 1:3]
    at_limit = np.any(((box <= fit.low) | (box >= fit.high)) & fit.free[1:3], axis=1)
    loading = _factor_covariance(fit, weight, parameters)
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


def _factor_covariance(fit: _Plates, weight: Array, parameters: Array) -> Array:
    """Square root of the inverse information, (n, 4, 4), rows of fixed parameters zero.

    Taken from a singular value decomposition of the weighted design, so that a direction that the
    standards hardly determine gets a large finite variance and the others keep their digits.
    """
    design = jacobian(fit.x, parameters[:, None, :]) * fit.free * np.sqrt(weight)[..., None]
    norm = np.sqrt(np.einsum("pni,pni->pi", design, design))
    scale = np.where(norm > 0, norm, 1.0)
    _, singular, v = np.linalg.svd(design / scale[:, None, :], full_matrices=False)
    floor = 1e-9 * singular[:, :1]
    factor = np.swapaxes(v, 1, 2) / np.maximum(singular, floor)[:, None, :]
    return np.asarray(factor / scale[:, :, None] * fit.free[:, None])


def _scatter_of_plate(weighting: Weighting, rss: float, df: int, largest: float) -> VarianceFunction:
    """Variance function that a vendor's weighting implies: residual variance over weight, with the weights' own floor."""
    s2 = rss / df
    s = math.sqrt(s2)
    floor = max(_FLAT * largest, _TINY)
    rounding = 1e-9 * largest + _TINY
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
