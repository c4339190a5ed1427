"""Standards of many plates as one problem of least squares, and where its descent starts.

Standards flow in; padded plates with their curve and its derivatives, and starting values flow out. Given slope, midpoint and
asymmetry a curve is linear in ``a`` and ``d``; a grid over the first with the others solved exactly gives starting values that
need no guess. The descent (``descent``) runs in the internal parameters (a, log b, middle, d, log g), where ``middle`` is the log
concentration of the half-way signal: unlike ``log_c`` it hardly moves with the asymmetry. Slope, midpoint and asymmetry stay inside
a wide box relative to the standards, so that an incomplete curve ends at a finite fit that says it is incomplete, not at infinity.

What is known of the asymmetry beforehand (:class:`Asymmetry`) stands beside the weighted squares like one more reading of log g.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from exvivo.numerics.logistic import A_SIDE, D_SIDE, N_LOGISTIC, POWER_LAW, jacobian, log_expm1, value
from exvivo.numerics.variance import Array

TINY = 1e-60  # below any signal or weight, and its fourth power is still a number
_LARGEST_LOG_G = 7.0
_LARGEST_LOG_C = 690.0
_LARGEST_Z = 700.0
_SLOPES = np.array([1.0, 2.5, 6.0, 12.0, 35.0])
_MIDDLES = np.concatenate([[-0.75, -0.3], np.linspace(0.0, 1.0, 9), [1.3, 1.75]])
_BENDS = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
_STEEP = 9.0  # a slope beyond runs from one asymptote to the other between few standards


class Family(StrEnum):
    """Which curves are fitted."""

    FOUR = "4PL"
    FIVE = "5PL"
    POWER_LAW = "log-log"


class Branch(StrEnum):
    """The two five-parameter curves; see ``logistic``."""

    A = "a-side"
    D = "d-side"


SIDES = {Branch.A: A_SIDE, Branch.D: D_SIDE}


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
    """Parameters held at a value; None = estimated. ``log_c`` may be held only in a four-parameter curve."""

    a: float | None = None
    b: float | None = None
    log_c: float | None = None
    d: float | None = None
    log_g: float | None = None


@dataclass(frozen=True, slots=True)
class Shape:
    """What kind of curve a fit looks for.

    Parameters
    ----------
    family : which curves
    fixed : parameters that are known
    branches : which five-parameter curves are tried; the better one is kept, plate by plate
    """

    family: Family = Family.FOUR
    fixed: Fixed = Fixed()
    branches: tuple[Branch, ...] = (Branch.A, Branch.D)

    def __post_init__(self) -> None:
        if self.family is not Family.FOUR and self.fixed.log_c is not None:
            raise ValueError("log_c can be held in a four-parameter curve only")

    @property
    def sides(self) -> tuple[float, ...]:
        """Codes of the branches to try."""
        return tuple(SIDES[branch] for branch in self.branches) if self.family is Family.FIVE else (POWER_LAW,)

    def held(self) -> tuple[Array, npt.NDArray[np.bool_]]:
        """Internal values of what is known, 0 elsewhere, and which parameters are estimated."""
        fixed = self.fixed
        known = [fixed.a, None if fixed.b is None else float(np.log(fixed.b)), fixed.log_c, fixed.d]
        if self.family is Family.FIVE:
            known.append(fixed.log_g)
        if self.family is Family.POWER_LAW:
            known = [known[0] or 0.0, known[1], None, 0.0, 0.0]
        return np.array([0.0 if v is None else v for v in known]), np.array([v is None for v in known])


@dataclass(frozen=True, slots=True, eq=False)
class Asymmetry:
    """What is known of log g of each plate before its standards are seen: normal with these means and variances, both (n_plates,)."""

    centre: Array
    variance: Array


@dataclass(frozen=True, slots=True, eq=False)
class Plates:
    """Standards of all plates, padded to the longest plate.

    ``x``, ``y``, ``count``: (n_plates, n_wells); ``count`` is the number of readings that ``y`` is the mean of, 0 = padding.
    ``low``, ``high``: (n_plates, n_parameters), the box of the internal parameters. ``side``: (n_plates,), code of each row's branch.
    ``held``, ``free``: known values and which parameters are estimated. ``penalty``, ``centre``: (n_plates,), precision and mean of
    what is known of log g; precision 0 = nothing.
    """

    x: Array
    y: Array
    count: Array
    low: Array
    high: Array
    side: Array
    penalty: Array
    centre: Array
    shape: Shape
    held: Array
    free: npt.NDArray[np.bool_]

    @classmethod
    def pad(cls, standards: Sequence[Standards], shape: Shape, asymmetry: Asymmetry | None = None) -> "Plates":
        """All plates in one array; the box spans the standards generously."""
        width = max(plate.signal.size for plate in standards)
        x, y = np.zeros((len(standards), width)), np.zeros((len(standards), width))
        mask = np.zeros((len(standards), width), dtype=np.bool_)
        for i, plate in enumerate(standards):
            n = plate.signal.size
            x[i, :n], y[i, :n], mask[i, :n] = plate.log_conc, plate.signal, True
        held, free = shape.held()
        low, high = _span_box(x, mask, len(held))
        if shape.family is Family.POWER_LAW:  # the midpoint is then where the signal is 1: any concentration that a number can hold
            low[:, 2], high[:, 2] = -_LARGEST_LOG_C, _LARGEST_LOG_C
        none = np.zeros(len(x))
        penalty, centre = (none, none) if asymmetry is None else (1 / asymmetry.variance, asymmetry.centre)
        return cls(x, y, mask.astype(np.float64), low, high, np.full(len(x), shape.sides[0]), penalty, centre, shape, held, free)

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """What is no padding."""
        return np.asarray(self.count > 0)

    @property
    def is_alike(self) -> bool:
        """Whether all plates have the same standards."""
        return bool(np.all(self.x == self.x[0]) and np.all(self.count == self.count[0]))

    def collapse(self, weight: Array) -> tuple["Plates", Array]:
        """Replicates as one reading, where all plates have the same standards: weighted means and sums of weights fit the same curve."""
        if not self.is_alike:
            return self, weight
        x, place = np.unique(self.x[0][self.count[0] > 0], return_inverse=True)
        member = (place[:, None] == np.arange(len(x))).astype(np.float64)
        used = self.count[0] > 0
        total = weight[:, used] @ member
        y = (weight[:, used] * self.y[:, used]) @ member / np.where(total > 0, total, 1.0)
        alike = (len(self.x), len(x))
        count = np.broadcast_to(self.count[0][used] @ member, alike)
        return replace(self, x=np.broadcast_to(x, alike), y=y, count=count), total

    def repeat(self, times: int) -> "Plates":
        """Each plate ``times`` times in a row, one row per start."""
        return self.take(np.repeat(np.arange(self.x.shape[0]), times))

    def take(self, rows: npt.NDArray[np.intp]) -> "Plates":
        """The rows asked for, in that order."""
        return Plates(
            self.x[rows], self.y[rows], self.count[rows], self.low[rows], self.high[rows],
            self.side[rows], self.penalty[rows], self.centre[rows], self.shape, self.held, self.free,
        )  # fmt: skip

    def on(self, side: float) -> "Plates":
        """The same plates, all on one branch."""
        return replace(self, side=np.full_like(self.side, side))

    def clip(self, theta: Array) -> Array:
        """Inside the box, known parameters at their values."""
        return np.where(self.free, np.clip(theta, self.low, self.high), self.held)

    def external(self, theta: Array) -> Array:
        """Parameters as ``logistic`` takes them, (n, 4) or (n, 6)."""
        if theta.shape[1] == N_LOGISTIC:
            parameters = theta.copy()
            parameters[:, 1] = np.exp(theta[:, 1])
            return parameters
        b = np.exp(theta[:, 1])
        log_c = theta[:, 2] - self.side * bend(theta[:, 4]) / b
        return np.stack([theta[:, 0], b, log_c, theta[:, 3], theta[:, 4], self.side], axis=1)

    def internal(self, parameters: Array) -> Array:
        """The inverse of :meth:`external`, inside the box."""
        theta = parameters[:, : len(self.held)].copy()
        theta[:, 1] = np.log(parameters[:, 1])
        if len(self.held) > N_LOGISTIC:
            theta[:, 2] = parameters[:, 2] + self.side * bend(theta[:, 4]) / parameters[:, 1]
        return self.clip(theta)

    def evaluate(self, theta: Array) -> tuple[Array, tuple[Array, ...]]:
        """Curve (n, wells), padding included, and its derivatives by the internal parameters that are estimated, (n, wells) each."""
        columns = self._differentiate_logistic(theta) if theta.shape[1] == N_LOGISTIC else self._differentiate_bent(theta)
        return columns[0], tuple(column for column, free in zip(columns[1:], self.free, strict=True) if free)

    def _differentiate_logistic(self, theta: Array) -> tuple[Array, ...]:
        a, b, middle, d = (part[:, None] for part in (theta[:, 0], np.exp(theta[:, 1]), theta[:, 2], theta[:, 3]))
        z = np.clip(b * (self.x - middle), -_LARGEST_Z, _LARGEST_Z)
        odds = np.exp(z)  # one exponential for both weights: at the ends one is 1 and the other vanishes
        of_a = 1 / (1 + odds)
        of_d = odds * of_a
        bell = (d - a) * of_a * of_d
        return a * of_a + d * of_d, of_a, bell * z, -b * bell, of_d

    def _differentiate_bent(self, theta: Array) -> tuple[Array, ...]:
        parameters = self.external(theta)[:, None, :]
        outer = jacobian(self.x, parameters)
        b, middle, log_g = np.exp(theta[:, 1:2]), theta[:, 2:3], theta[:, 4:5]
        bell = -outer[..., 2] / b
        z = np.where(np.isfinite(self.x), b * (self.x - middle), 0.0)
        by_log_g = outer[..., 4] + bell * self.side[:, None] * _bend_slope(log_g)
        return value(self.x, parameters), outer[..., 0], bell * z, outer[..., 2], outer[..., 3], by_log_g

    def fine(self, theta: Array) -> Array:
        """Penalty on the asymmetry, (n,)."""
        if not self.is_penalised:
            return np.zeros(len(theta))
        return np.asarray(self.penalty * (theta[:, 4] - self.centre) ** 2)

    @property
    def has_free_asymptotes(self) -> bool:
        """Whether both asymptotes are estimated."""
        return self.shape.family is not Family.POWER_LAW and bool(self.free[0] and self.free[3])

    @property
    def is_penalised(self) -> bool:
        """Whether the asymmetry is estimated under a penalty."""
        return len(self.free) > N_LOGISTIC and bool(self.free[4]) and bool(np.any(self.penalty))


def _span_box(x: Array, mask: npt.NDArray[np.bool_], n_parameters: int) -> tuple[Array, Array]:
    """Box of the internal parameters from the range of each plate's standards."""
    inside = mask & np.isfinite(x)
    some = inside.any(axis=1)
    bottom = np.where(some, np.min(np.where(inside, x, np.inf), axis=1), 0.0)
    top = np.where(some, np.max(np.where(inside, x, -np.inf), axis=1), 0.0)
    spread = np.where(top > bottom, top - bottom, 1.0)
    low, high = np.full((len(x), n_parameters), -np.inf), np.full((len(x), n_parameters), np.inf)
    low[:, 1], high[:, 1] = np.log(0.3 / spread), np.log(300 / spread)
    low[:, 2], high[:, 2] = bottom - 2 * spread, top + 2 * spread
    low[:, 4:], high[:, 4:] = -_LARGEST_LOG_G, _LARGEST_LOG_G
    return low, high


def bend(log_g: Array) -> Array:
    """How far, in z, the half-way signal lies from ``log_c`` on the a-side: log(2**(1/g) - 1)."""
    return log_expm1(np.log(2.0) * np.exp(-log_g))


def _bend_slope(log_g: Array) -> Array:
    """Derivative of :func:`bend`."""
    depth = np.log(2.0) * np.exp(-log_g)
    return np.asarray(-depth / -np.expm1(-depth))


# --------------------------------------------------------------------------------------------------- starting values


def search_start(fit: Plates, weight: Array) -> Array:
    """Best curves of a grid over (b, middle[, g]), rising and falling, moderate and steep, and extrapolating: (n_plates, 5, n_parameters).

    Plates with the same standards share the grid, so that the sums over wells are products of matrices.
    """
    theta = np.empty((fit.x.shape[0], 5, len(fit.held)))
    if fit.shape.family is Family.POWER_LAW:
        return np.asarray(_start_power_law(fit, weight)[:, None, :])
    if fit.is_alike:
        return _search_alike(fit, weight, fit.x[0])
    key = np.concatenate([np.where(fit.mask, fit.x, 0.0), fit.mask], axis=1)
    _, first, group = np.unique(key, axis=0, return_index=True, return_inverse=True)
    for index, row in enumerate(first):
        rows = np.flatnonzero(group == index)
        theta[rows] = _search_alike(fit.take(rows), weight[rows], fit.x[row])
    return theta


def _search_alike(fit: Plates, weight: Array, x: Array) -> Array:
    """Starting values of plates whose standards are the same."""
    shape = _lay_shapes(fit)
    parameters = np.zeros((len(shape), len(fit.held)))
    parameters[:, 1:3], parameters[:, 3], parameters[:, 4:] = shape[:, :2], 1.0, shape[:, 2:]
    above = value(x, replace(fit, side=np.full(len(shape), fit.side[0])).external(parameters)[:, None, :])
    a, d, cost = _solve_asymptotes(fit, weight, above)
    theta = np.empty((*a.shape, len(fit.held)))
    theta[..., 0], theta[..., 3] = a, d
    theta[..., 1:3], theta[..., 4:] = shape[:, :2], shape[:, 2:]
    if fit.is_penalised:
        cost = cost + fit.penalty[:, None] * (shape[:, 2] - fit.centre[:, None]) ** 2
    extrapolates = shape[:, 1] > _top(fit)
    steep = shape[:, 0] > np.log(_STEEP / _spread(fit))
    kinds = (d > a) & ~steep, (d > a) & steep, (d <= a) & ~steep, (d <= a) & steep, np.broadcast_to(extrapolates, a.shape)
    chosen = [np.argmin(np.where(keep, cost, np.inf), axis=1) for keep in kinds]
    rows = np.arange(len(a))
    return np.stack([theta[rows, index] for index in chosen], axis=1)


def _spread(fit: Plates) -> float:
    """Range of the standards: the box is that and twice that on both sides."""
    return float(fit.high[0, 2] - fit.low[0, 2]) / 5


def _top(fit: Plates) -> float:
    """Highest standard."""
    return float(fit.high[0, 2]) - 2 * _spread(fit)


def _lay_shapes(fit: Plates) -> Array:
    """Grid of (log b, middle[, log g]) for the first plate, known parameters at their values: (n_grid, 2 or 3)."""
    spread = _spread(fit)
    axes = [np.log(_SLOPES / spread), fit.low[0, 2] + (2 + _MIDDLES) * spread]
    if len(fit.held) > N_LOGISTIC:
        axes.append(_BENDS)
    columns = (1, 2, 4)
    axes = [axis if fit.free[column] else fit.held[column : column + 1] for axis, column in zip(axes, columns, strict=False)]
    return np.stack([part.ravel() for part in np.meshgrid(*axes, indexing="ij")], axis=1)


def _solve_asymptotes(fit: Plates, weight: Array, above: Array) -> tuple[Array, Array, Array]:
    """Least squares for (a, d) where ``above`` (grid, wells) is the part of d in the signal; also the cost, each (plates, grid)."""
    below = 1 - above
    weighted = weight * fit.y
    aa, ad, dd = (weight @ (p * q).T for p, q in ((below, below), (below, above), (above, above)))
    ay, dy, yy = weighted @ below.T, weighted @ above.T, np.sum(weighted * fit.y, axis=1, keepdims=True)
    if fit.free[0] and fit.free[3]:
        ridge = 1e-9 * (aa + dd)
        det = (aa + ridge) * (dd + ridge) - ad**2
        a, d = (ay * (dd + ridge) - dy * ad) / det, (dy * (aa + ridge) - ay * ad) / det
    else:
        a = (ay - ad * fit.held[3]) / (aa + TINY) if fit.free[0] else np.full_like(aa, fit.held[0])
        d = (dy - ad * a) / (dd + TINY) if fit.free[3] else np.full_like(dd, fit.held[3])
    cost = yy - 2 * (a * ay + d * dy) + a**2 * aa + 2 * a * d * ad + d**2 * dd
    return a, d, np.maximum(cost, 1e-12 * yy)


def _start_power_law(fit: Plates, weight: Array) -> Array:
    """Straight line through the logs of positive readings: (n_plates, n_parameters)."""
    above = fit.y - fit.held[0]
    used = fit.mask & np.isfinite(fit.x) & (above > 0)
    w = np.where(used, weight * np.where(used, above, 1.0) ** 2, 0.0)  # the weight of a logarithm
    x, y = np.where(used, fit.x, 0.0), np.log(np.where(used, above, 1.0))
    total = np.sum(w, axis=1) + TINY
    x0, y0 = np.sum(w * x, axis=1) / total, np.sum(w * y, axis=1) / total
    dx, dy = (x - x0[:, None]) * used, (y - y0[:, None]) * used
    b = np.maximum(np.sum(w * dx * dy, axis=1) / (np.sum(w * dx**2, axis=1) + TINY), np.exp(fit.low[:, 1]))
    theta = np.broadcast_to(fit.held, (len(x), len(fit.held))).copy()
    theta[:, 1], theta[:, 2] = np.log(b), x0 - y0 / b
    return theta
