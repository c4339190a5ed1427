"""The descent: Levenberg-Marquardt for many standard curves at once, and the covariance at its end.

Plates, weights and starting values flow in; the best parameters, their cost and a square root of their covariance flow out.
Plates never touch each other: each has its own damping, its own small system of equations and its own end.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exvivo.numerics.least_squares import TINY, Plates
from exvivo.numerics.logistic import jacobian
from exvivo.numerics.variance import Array

_HOPELESS = 2.5  # a start that costs this many times the best one is not followed

Reweigh = Callable[[Array], Array]
"""Variance of readings from their means, (n, wells) -> (n, wells)."""


def minimise_from_all(fit: Plates, weight: Array, starts: Array) -> tuple[Array, Array]:
    """Best end point over the starts (n_plates, n_starts, n_parameters) and its cost: (n_plates, n_parameters), (n_plates,).

    The best start of each plate is followed. Where it ends in the middle of the standards on a clear signal there is no other
    end worth looking for; elsewhere the other starts are followed too, unless they cost several times as much.
    """
    n_plates, n_starts, width = starts.shape
    flat = fit.repeat(n_starts).clip(starts.reshape(-1, width)).reshape(starts.shape)
    first = np.stack([_cost(fit, weight, flat[:, k]) for k in range(n_starts)], axis=1)
    leader = np.argmin(first, axis=1)
    rows = np.arange(n_plates)
    best, lowest = minimise(fit, weight, flat[rows, leader])
    if n_starts == 1:
        return best, lowest
    unclear = ~_is_clear(fit, weight, best, lowest)[:, None] & (first <= _HOPELESS * first[rows, leader][:, None] + TINY)
    unclear[rows, leader] = False
    some, others = np.nonzero(unclear)
    if some.size:
        ends, cost = minimise(fit.take(some), weight[some], flat[some, others])
        for k in np.argsort(-cost):  # the lowest comes last
            if cost[k] < lowest[some[k]]:
                best[some[k]], lowest[some[k]] = ends[k], cost[k]
    return best, lowest


def _is_clear(fit: Plates, weight: Array, theta: Array, cost: Array) -> npt.NDArray[np.bool_]:
    """Whether the midpoint lies well inside the standards and the curve explains nearly all that a constant does not, (n,)."""
    spread = (fit.high[:, 2] - fit.low[:, 2]) / 5  # the box is the range of the standards and twice that on both sides
    depth = (theta[:, 2] - fit.low[:, 2]) / spread - 2
    mean = np.sum(weight * fit.y, axis=1) / np.sum(weight, axis=1)
    constant = np.einsum("pn,pn->p", weight, (fit.y - mean[:, None]) ** 2)
    return np.asarray((depth > _INSIDE) & (depth < 1 - _INSIDE) & (cost < _EXPLAINED * constant))


_INSIDE, _EXPLAINED = 0.1, 0.05


def minimise(fit: Plates, weight: Array, theta: Array, variance: Reweigh | None = None) -> tuple[Array, Array]:
    """Least-squares parameters and costs of every row.

    Levenberg-Marquardt comes near, Newton's steps finish: close to a minimum the first gains a digit or less a step, the second doubles
    them. Where Newton does not get there, Levenberg-Marquardt goes on to its own end.
    """
    ends, _ = _descend(fit, weight, theta, variance, _NEAR)
    ends, costs, error = _finish(fit, weight, ends, variance)
    left = np.flatnonzero(error > _FINISHED)
    if left.size:
        part, part_weight = fit.take(left), weight[left]
        ends[left], _ = _descend(part, part_weight, ends[left], variance, _SETTLED)
        ends[left], costs[left] = _polish(part, part_weight, ends[left], variance)
    return ends, costs


_NEAR, _SETTLED, _FINISHED = 1e-4, 1e-13, 1e-10


def _descend(fit: Plates, weight: Array, theta: Array, variance: Reweigh | None, enough: float) -> tuple[Array, Array]:
    """Levenberg-Marquardt on every row until a step lowers the cost by less than the part ``enough``; end points and costs.

    Both asymptotes are solved for anew at every trial (variable projection): where the standards end far below ``d``, the valley of
    (middle, d) is so bent that no straight step follows it. Where ``variance`` is given, weights are renewed at the fitted means after
    every step (iteratively reweighted least squares); a step must then lower the cost at the weights that it started from.
    """
    theta = fit.clip(theta)
    here = _Point.look(fit, weight, theta, variance)
    ends, costs = here.theta.copy(), here.cost.copy()
    damping, active, part = np.full(len(theta), 1e-3), np.arange(len(theta)), fit
    for _ in range(400):
        step = here.solve(part, damping)
        trial = part.clip(here.theta + step)
        trial, mean, columns = _project(part, here.weight, trial)
        cost = np.einsum("pn,pn->p", here.weight, (part.y - mean) ** 2) + part.fine(trial)
        better = cost <= here.cost
        settled = (np.abs(here.cost - cost) <= enough * here.cost) | (better & here.is_small(part, trial))
        new = _renew(part, here.weight, mean, variance)
        here = here.where(better, _Point.weigh(part, new, trial, mean, columns))
        damping = np.where(better, np.maximum(damping / 10, 1e-12), damping * 8)
        done = settled | (damping > 1e10)
        if done.any():
            ends[active[done]], costs[active[done]] = here.theta[done], here.cost[done]
            kept = np.flatnonzero(~done)
            if not kept.size:
                break
            active, part, here, damping = active[kept], part.take(kept), here.take(kept), damping[kept]
    else:
        ends[active], costs[active] = here.theta, here.cost
    return ends, costs


def _finish(fit: Plates, weight: Array, theta: Array, variance: Reweigh | None) -> tuple[Array, Array, Array]:
    """Newton's steps on the normal equations, their derivatives by differences; end points, costs, and how stationary they are."""

    def score(part: Plates, rows: npt.NDArray[np.intp], at: Array) -> Array:
        mean, columns = part.evaluate(at)
        return _score(part, at, _renew(part, weight[rows], mean, variance) * (part.y - mean), columns)

    theta = theta.copy()
    rows, part = np.arange(len(theta)), fit
    here = _Point.look(part, weight, theta, variance)
    error, costs = here.stationarity(part), here.cost.copy()
    free = np.flatnonzero(fit.free)
    largest = np.full(len(fit.free), _WIDEST)
    largest[[0, 3]] = np.inf  # the curve is linear in its asymptotes
    for _ in range(6):
        kept = np.flatnonzero(error[rows] > _STATIONARY)
        if not kept.size:
            break
        rows, part, here = rows[kept], part.take(kept), here.take(kept)
        moves = here.moving(part)
        size = np.minimum(_DIFFERENCE * np.sqrt(here.cost) / here.scale() + _DIFFERENCE**2, largest[free, None])
        bend = np.empty((rows.size, len(free), len(free)))
        for i, column in enumerate(free):
            beside = here.theta.copy()
            beside[:, column] += size[i]
            bend[:, :, i] = ((score(part, rows, beside) - here.gradient) / size[i]).T
        bend = np.where((moves[:, None] & moves[None]).transpose(2, 0, 1), bend, np.eye(len(free)))
        bend[~np.all(np.isfinite(bend), axis=(1, 2)) | (np.abs(np.linalg.det(bend)) < TINY)] = np.eye(len(free))
        trial = here.theta.copy()
        trial[:, free] -= np.linalg.solve(bend, (here.gradient * moves).T[..., None])[..., 0]
        there = _Point.look(part, weight[rows], part.clip(np.where(np.isfinite(trial), trial, here.theta)), variance)
        found = there.stationarity(part)
        better = (found < error[rows]) & (there.cost <= here.cost * (1 + _NEAR))
        theta[rows[better]], error[rows[better]], costs[rows[better]] = there.theta[better], found[better], there.cost[better]
        done = np.flatnonzero(better)
        rows, part, here = rows[done], part.take(done), there.take(done)
    return theta, costs, error


_DIFFERENCE, _WIDEST = 1e-5, 1e-3


def _project(fit: Plates, weight: Array, theta: Array) -> tuple[Array, Array, tuple[Array, ...]]:
    """A trial with the asymptotes that fit best to its other parameters, its curve and derivatives."""
    mean, columns = fit.evaluate(theta)
    if not fit.has_free_asymptotes:
        return theta, mean, columns
    of_a, of_d = columns[0], columns[_place_of_d(fit)]
    aa, ad, dd, ay, dy = (
        np.einsum("pn,pn,pn->p", weight, p, q) for p, q in ((of_a, of_a), (of_a, of_d), (of_d, of_d), (of_a, fit.y), (of_d, fit.y))
    )
    det, span, seen = aa * dd - ad**2, theta[:, 3] - theta[:, 0], np.minimum(aa, dd) / np.sum(weight, axis=1)
    solvable = (det > _SOLVABLE * aa * dd) & (seen > _SOLVABLE**2) & (span != 0)
    a = np.where(solvable, (ay * dd - dy * ad) / np.where(solvable, det, 1.0), theta[:, 0])
    d = np.where(solvable, (dy * aa - ay * ad) / np.where(solvable, det, 1.0), theta[:, 3])
    stretch = np.where(solvable, (d - a) / np.where(solvable, span, 1.0), 1.0)[:, None]
    moved = theta.copy()
    moved[:, 0], moved[:, 3] = a, d
    bent = tuple(column if column is of_a or column is of_d else stretch * column for column in columns)
    return moved, a[:, None] * of_a + d[:, None] * of_d, bent


def _place_of_d(fit: Plates) -> int:
    return int(np.count_nonzero(fit.free[:3]))


_SOLVABLE = 1e-10


def _polish(fit: Plates, weight: Array, theta: Array, variance: Reweigh | None) -> tuple[Array, Array]:
    """Undamped steps while the gradient shrinks: costs cannot tell apart what rounding hides, gradients can."""
    rows = np.arange(len(theta))
    here = _Point.look(fit, weight, theta, variance)
    error, costs = here.stationarity(fit), here.cost.copy()
    kept = np.flatnonzero(error > _STATIONARY)
    for _ in range(12):
        if not kept.size:
            break
        rows, here = rows[kept], here.take(kept)
        part = fit.take(rows)
        trial = part.clip(here.theta + here.solve(part, np.full(rows.size, 1e-14)))
        there = _Point.look(part, weight[rows], trial, variance)
        found = there.stationarity(part)
        better = found < error[rows]
        theta[rows[better]], error[rows[better]], costs[rows[better]] = there.theta[better], found[better], there.cost[better]
        here, kept = there, np.flatnonzero(better & (found > _STATIONARY))
    return theta, costs


_STATIONARY = 1e-10


@dataclass(frozen=True, slots=True, eq=False)
class _Point:
    """Where a descent stands: parameters and weights with the curve, its derivatives and the normal equations there.

    ``information`` (p, p, n) and ``gradient`` (p, n) count the estimated parameters only; plates are the last axis, so
    that the small matrices are solved side by side.
    """

    theta: Array
    weight: Array
    mean: Array
    columns: tuple[Array, ...]
    information: Array
    gradient: Array
    cost: Array

    @classmethod
    def look(cls, fit: Plates, weight: Array, theta: Array, variance: Reweigh | None = None) -> "_Point":
        """At given parameters, with given weights or those that the variance asks for there."""
        mean, columns = fit.evaluate(theta)
        return cls.weigh(fit, _renew(fit, weight, mean, variance), theta, mean, columns)

    @classmethod
    def weigh(cls, fit: Plates, weight: Array, theta: Array, mean: Array, columns: tuple[Array, ...]) -> "_Point":
        """With the curve known already."""
        residual, n = fit.y - mean, len(columns)
        information = np.empty((n, n, len(theta)))
        for i, column in enumerate(columns):
            weighted = weight * column
            for j in range(i + 1):
                information[i, j] = information[j, i] = np.einsum("pn,pn->p", weighted, columns[j])
        if fit.is_penalised:
            information[-1, -1] += fit.penalty
        weighted = weight * residual
        gradient = _score(fit, theta, weighted, columns)
        return cls(theta, weight, mean, columns, information, gradient, np.einsum("pn,pn->p", weighted, residual) + fit.fine(theta))

    def where(self, keep: npt.NDArray[np.bool_], other: "_Point") -> "_Point":
        """The other point in the rows asked for."""
        if keep.all():
            return other
        row = keep[:, None]
        columns = tuple(np.where(row, b, a) for a, b in zip(self.columns, other.columns, strict=True))
        return _Point(
            np.where(row, other.theta, self.theta),
            np.where(row, other.weight, self.weight),
            np.where(row, other.mean, self.mean),
            columns,
            np.where(keep, other.information, self.information),
            np.where(keep, other.gradient, self.gradient),
            np.where(keep, other.cost, self.cost),
        )

    def take(self, rows: npt.NDArray[np.intp]) -> "_Point":
        """The rows asked for."""
        columns = tuple(column[rows] for column in self.columns)
        theta, weight, mean = self.theta[rows], self.weight[rows], self.mean[rows]
        return _Point(theta, weight, mean, columns, self.information[:, :, rows], self.gradient[:, rows], self.cost[rows])

    def scale(self) -> Array:
        """Length of each weighted column, (p, n); infinite where a parameter does nothing."""
        squares = np.einsum("iip->ip", self.information)
        return np.asarray(np.sqrt(np.where(squares > 0, squares, np.inf)))

    def moving(self, fit: Plates) -> npt.NDArray[np.bool_]:
        """Estimated parameters that the box does not hold back, (p, n)."""
        theta, low, high = (part[:, fit.free].T for part in (self.theta, fit.low, fit.high))
        return np.asarray(~(((theta <= low) & (self.gradient < 0)) | ((theta >= high) & (self.gradient > 0))))

    def solve(self, fit: Plates, damping: Array) -> Array:
        """Marquardt's step, (n, n_parameters)."""
        scale, moves = self.scale(), self.moving(fit)
        matrix = self.information / (scale[:, None] * scale[None]) * (moves[:, None] & moves[None])
        size = np.arange(len(scale))
        matrix[size, size] = np.where(moves & np.isfinite(scale), matrix[size, size] + damping, 1.0)
        step = np.zeros_like(self.theta)
        step[:, fit.free] = (_solve_definite(matrix, self.gradient * moves / scale) / scale).T
        return step

    def is_small(self, fit: Plates, trial: Array) -> npt.NDArray[np.bool_]:
        """Whether the way to a trial is short beside the residuals."""
        scale = self.scale()
        way = np.abs((trial - self.theta)[:, fit.free].T) * np.where(np.isfinite(scale), scale, 0.0)
        return np.asarray(np.max(way, axis=0, initial=0.0) <= 1e-10 * np.sqrt(self.cost) + TINY)

    def stationarity(self, fit: Plates) -> Array:
        """Largest cosine between the residuals and a column of the design (Bates and Watts 1981), 0 at an optimum."""
        size = np.sqrt(self.cost)
        rounding = 1e-13 * np.sqrt(np.einsum("pn,pn->p", self.weight, fit.y**2)) + TINY
        steepest = np.max(np.abs(self.gradient) * self.moving(fit) / self.scale(), axis=0, initial=0.0)
        return np.asarray(np.where(size > rounding, steepest / (size + rounding), 0.0))


def _renew(fit: Plates, weight: Array, mean: Array, variance: Reweigh | None) -> Array:
    """Given weights, or those that the variance of readings asks for at their means."""
    return weight if variance is None else fit.count / variance(mean)


def _score(fit: Plates, theta: Array, weighted: Array, columns: tuple[Array, ...]) -> Array:
    """Minus half the derivative of the cost at fixed weights, (p, n), from weighted residuals."""
    gradient = np.stack([np.einsum("pn,pn->p", column, weighted) for column in columns])
    if fit.is_penalised:
        gradient[-1] -= fit.penalty * (theta[:, 4] - fit.centre)
    return gradient


def _solve_definite(matrix: Array, right: Array) -> Array:
    """Solutions of positive definite systems (p, p, n) with sides (p, n), by Cholesky side by side; a vanishing pivot moves nothing."""
    size = len(matrix)
    root = np.zeros_like(matrix)
    forward, backward = np.empty_like(right), np.empty_like(right)
    for i in range(size):
        for j in range(i):
            root[i, j] = (matrix[i, j] - np.einsum("kp,kp->p", root[i, :j], root[j, :j])) * root[j, j]
        pivot = matrix[i, i] - np.einsum("kp,kp->p", root[i, :i], root[i, :i])
        root[i, i] = np.where(pivot > _SMALLEST_PIVOT, 1 / np.sqrt(np.maximum(pivot, _SMALLEST_PIVOT)), 0.0)  # kept as its inverse
        forward[i] = (right[i] - np.einsum("kp,kp->p", root[i, :i], forward[:i])) * root[i, i]
    for i in reversed(range(size)):
        backward[i] = (forward[i] - np.einsum("kp,kp->p", root[i + 1 :, i], backward[i + 1 :])) * root[i, i]
    return backward


_SMALLEST_PIVOT = 1e-15


def _cost(fit: Plates, weight: Array, theta: Array) -> Array:
    """Weighted squares, penalty included, (n,)."""
    mean, _ = fit.evaluate(theta)
    return np.asarray(np.einsum("pn,pn->p", weight, (fit.y - mean) ** 2) + fit.fine(theta))


def measure_stationarity(fit: Plates, weight: Array, theta: Array) -> Array:
    """Largest cosine between the residuals and a column of the design, (n,)."""
    return _Point.look(fit, weight, theta).stationarity(fit)


def factor_covariance(fit: Plates, weight: Array, theta: Array) -> Array:
    """Lower triangular square root of the inverse information of (a, b, log_c, d[, log_g]), (n, p, p), rows of known parameters zero.

    Taken from the weighted design by orthogonal triangles, never from its square, so that a direction that the
    standards hardly determine gets a large finite variance and the others keep their digits.
    """
    parameters = fit.external(theta)
    design = jacobian(fit.x, parameters[:, None, :]) * np.sqrt(weight)[..., None]
    if fit.is_penalised:
        known = np.zeros((len(design), 1, design.shape[2]))
        known[:, 0, 4] = np.sqrt(fit.penalty)
        design = np.concatenate([design, known], axis=1)
    free = np.flatnonzero(fit.free)
    design = design[..., free]
    norm = np.sqrt(np.einsum("pni,pni->pi", design, design))
    scale = np.where(norm > TINY, norm, 1.0)
    # columns in reverse order: the inverse of the upper triangle, turned round, is the lower triangle asked for
    triangle = np.linalg.qr((design / scale[:, None, :])[..., ::-1], mode="r")
    diagonal = np.abs(np.einsum("pii->pi", triangle))
    weak = np.min(diagonal, axis=1) <= _DETERMINED * np.max(diagonal, axis=1)
    safe = np.where(weak[:, None, None], np.eye(len(free)), triangle)
    root = np.linalg.inv(safe)[:, ::-1, ::-1]
    if weak.any():
        root[weak] = _factor_weak(design[weak] / scale[weak, None, :])
    signs = np.where(np.einsum("pii->pi", root) < 0, -1.0, 1.0)
    loading = np.zeros((len(theta), len(fit.free), len(fit.free)))
    loading[:, free[:, None], free] = np.tril(root * signs[:, None, :]) / scale[:, :, None]
    return loading


_DETERMINED = 1e-7


def _factor_weak(design: Array) -> Array:
    """Root of the inverse information where some direction is hardly determined: its singular value has a floor."""
    _, singular, v = np.linalg.svd(design, full_matrices=False)
    factor = np.swapaxes(v, 1, 2) / np.maximum(np.maximum(singular, 1e-9 * singular[:, :1]), TINY)[:, None, :]
    return np.asarray(np.swapaxes(np.linalg.qr(np.swapaxes(factor, 1, 2), mode="r"), 1, 2))
