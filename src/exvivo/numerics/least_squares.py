"""Levenberg-Marquardt for many logistic curves at once.

Padded plates flow in, least-squares parameters and a square root of their covariance flow
out. Given ``b`` and ``log_c`` the curve is linear in ``a`` and ``d``; a grid over the first
two with the others solved exactly gives starting values that need no guess. The descent then
runs over all plates and starts together in the internal parameters (a, log b, log_c, d).
``b`` and ``log_c`` stay inside a wide box relative to the standards, so that an incomplete
curve ends at a finite fit that says it is incomplete, not at infinity.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from exvivo.numerics.logistic import jacobian, value
from exvivo.numerics.variance import Array

TINY = 1e-300


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


@dataclass(frozen=True, slots=True, eq=False)
class Plates:
    """Standards of all plates, padded to the longest plate.

    ``x``, ``y``, ``mask``: (n_plates, n_wells). ``low``, ``high``: (n_plates, 2), the box of (log b, log_c).
    ``fixed``, ``free``: (4,), the known parameters and which ones are estimated.
    """

    x: Array
    y: Array
    mask: npt.NDArray[np.bool_]
    low: Array
    high: Array
    fixed: Array
    free: npt.NDArray[np.bool_]

    @classmethod
    def pad(cls, standards: Sequence[Standards], fixed: Fixed) -> "Plates":
        """Padded arrays and the box: c within twice the range of the standards on either side, b between nearly linear and a step."""
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

    def repeat(self, times: int) -> "Plates":
        """Each plate ``times`` times in a row, one row per start."""
        return self.take(np.repeat(np.arange(self.x.shape[0]), times))

    def take(self, rows: npt.NDArray[np.intp]) -> "Plates":
        """The rows asked for, in that order."""
        return replace(self, x=self.x[rows], y=self.y[rows], mask=self.mask[rows], low=self.low[rows], high=self.high[rows])

    def clip(self, theta: Array) -> Array:
        """Inside the box, fixed parameters at their values."""
        inside = theta.copy()
        for column, side in ((1, 0), (2, 1)):
            if self.free[column]:
                inside[:, column] = np.clip(theta[:, column], self.low[:, side], self.high[:, side])
        return inside

    def residual(self, theta: Array) -> Array:
        """Signal minus curve, (n, wells); padding included."""
        return np.asarray(self.y - value(self.x, to_external(theta)[:, None, :]))

    def design(self, theta: Array) -> Array:
        """Jacobian in internal parameters, fixed columns zero: (n, wells, 4)."""
        external = to_external(theta)
        matrix = jacobian(self.x, external[:, None, :]) * self.free
        matrix[..., 1] *= external[:, None, 1]
        return matrix


def to_external(theta: Array) -> Array:
    """(a, log b, log_c, d) to (a, b, log_c, d)."""
    parameters = theta.copy()
    parameters[..., 1] = np.exp(theta[..., 1])
    return parameters


def to_internal(parameters: Array, fit: Plates) -> Array:
    """(a, b, log_c, d) to (a, log b, log_c, d) inside the box, fixed parameters at their values."""
    theta = np.where(fit.free, parameters, fit.fixed)
    theta[..., 1] = np.log(theta[..., 1])
    return fit.clip(theta)


def search_start(fit: Plates, weight: Array) -> Array:
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


def _solve_asymptotes(fit: Plates, weight: Array, above: Array) -> tuple[Array, Array, Array]:
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
        a = (ay - ad * fit.fixed[3]) / (aa + TINY) if fit.free[0] else np.full_like(aa, fit.fixed[0])
        d = (dy - ad * a) / (dd + TINY) if fit.free[3] else np.full_like(dd, fit.fixed[3])
    cost = (w * (y - a[..., None] * below - d[..., None] * above) ** 2).sum(axis=-1)
    return a, d, cost


def minimise_from_all(fit: Plates, weight: Array, starts: Array) -> Array:
    """Best end point over the starts (n_plates, n_starts, 4): (n_plates, 4)."""
    n_plates, n_starts, _ = starts.shape
    ends, cost = minimise(fit.repeat(n_starts), np.repeat(weight, n_starts, axis=0), starts.reshape(-1, 4))
    best = np.argmin(cost.reshape(n_plates, n_starts), axis=1)
    return np.asarray(ends.reshape(n_plates, n_starts, 4)[np.arange(n_plates), best])


def minimise(fit: Plates, weight: Array, theta: Array) -> tuple[Array, Array]:
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


def _polish(fit: Plates, weight: Array, theta: Array) -> tuple[Array, Array]:
    """Undamped steps while the gradient shrinks: costs cannot tell apart what rounding hides, gradients can."""
    error = measure_stationarity(fit, weight, theta)
    for _ in range(6):
        trial = fit.clip(theta + _step(fit, weight, theta, np.full(len(theta), 1e-14)))
        trial_error = measure_stationarity(fit, weight, trial)
        better = trial_error < error
        if not np.any(better):
            break
        theta, error = np.where(better[:, None], trial, theta), np.where(better, trial_error, error)
    return theta, (weight * fit.residual(theta) ** 2).sum(axis=1)


def _normal_equations(fit: Plates, weight: Array, theta: Array) -> tuple[Array, Array, Array]:
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


def _step(fit: Plates, weight: Array, theta: Array, damping: Array) -> Array:
    information, gradient, scale = _normal_equations(fit, weight, theta)
    still = ~np.isfinite(scale)
    diagonal = np.where(still, 1.0, damping[:, None])
    matrix = information + diagonal[:, :, None] * np.eye(4)
    try:
        move = np.linalg.solve(matrix, gradient[..., None])[..., 0]
    except np.linalg.LinAlgError:  # a column is a multiple of another to the last bit
        move = np.linalg.solve(matrix + 1e-10 * np.eye(4), gradient[..., None])[..., 0]
    return np.asarray(move / scale)


def measure_stationarity(fit: Plates, weight: Array, theta: Array) -> Array:
    """Largest cosine between the residuals and a column of the design (Bates and Watts 1981), 0 at an optimum."""
    _, gradient, _ = _normal_equations(fit, weight, theta)
    size = np.sqrt((weight * fit.residual(theta) ** 2).sum(axis=1))
    rounding = 1e-13 * np.sqrt((weight * fit.y**2).sum(axis=1)) + TINY
    return np.asarray(np.where(size > rounding, np.max(np.abs(gradient), axis=1) / (size + rounding), 0.0))


def factor_covariance(fit: Plates, weight: Array, parameters: Array) -> Array:
    """Lower triangular square root of the inverse information, (n, 4, 4), rows of fixed parameters zero.

    Taken from a singular value decomposition of the weighted design, so that a direction that the
    standards hardly determine gets a large finite variance and the others keep their digits.
    """
    design = jacobian(fit.x, parameters[:, None, :]) * fit.free * np.sqrt(weight)[..., None]
    norm = np.sqrt(np.einsum("pni,pni->pi", design, design))
    scale = np.where(norm > 0, norm, 1.0)
    _, singular, v = np.linalg.svd(design / scale[:, None, :], full_matrices=False)
    floor = 1e-9 * singular[:, :1]
    factor = np.swapaxes(v, 1, 2) / np.maximum(singular, floor)[:, None, :]
    factor = factor / scale[:, :, None] * fit.free[:, None]
    upper = np.linalg.qr(np.swapaxes(factor, 1, 2), mode="r")  # the triangular root: unlike the other it has no arbitrary signs
    signs = np.where(np.einsum("pii->pi", upper) < 0, -1.0, 1.0)
    return np.swapaxes(upper * signs[:, :, None], 1, 2).copy()
