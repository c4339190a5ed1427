"""From the readings of a specimen back to its concentration, with an interval that holds.

Readings and fitted curves flow in; log concentrations, their two kinds of error and an
interval flow out. All wells of a specimen on a plate (replicates, dilutions, readings above
the reader's cap) are one likelihood for one number, so nothing is averaged over dilutions.

*Estimate.* Root of the quasi-score ``sum D_i (y_i - f_i) / v_i`` in the log concentration x,
with f_i the curve at x minus the log dilution, D_i its slope and v_i the variance of a
reading at f_i (Wedderburn 1974). For one dilution this is exactly the curve's inverse of the
mean reading. A reading above the cap counts with its conditional mean (Tobin 1958).

*Errors.* The reading error is 1 / sqrt(information). The curve's error is common to all
specimens of a plate: it is handed on as the gradient of x with respect to (a, b, log_c, d).

*Interval.* All x that a test at the fitted curve does not reject: ``|T(x)| <= t``, where
``T`` is the quasi-score divided by its standard error from readings and curve. For one
dilution this is the inversion interval of calibration (Seber and Wild 1989, section 5.4). It
follows the curve's bend, and is open where the signal cannot exclude zero or an
arbitrarily high concentration. Going outward it ends at the first rejection: the true curve
is monotone, so what rejects x rejects everything beyond it. In the test a reading above the
cap counts as the cap itself where the curve lies below it, and as no evidence elsewhere.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import erfcx, stdtrit

from exvivo.numerics.curves import Curve
from exvivo.numerics.least_squares import Standards
from exvivo.numerics.logistic import N_LOGISTIC, POWER_LAW, inverse, jacobian, reach, slope, value
from exvivo.numerics.variance import Array, effective_df

Mask = npt.NDArray[np.bool_]

_GRID = 97
_CHUNK = 4000  # specimens at a time that are searched for: bounds the memory, not the result
_BATCH = 40_000  # specimens at a time that have a formula
_ROOT_STEPS = 60


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """Wells of specimens, one row per specimen and plate, padded to the longest row.

    Parameters
    ----------
    plate : (n_specimens,), index of the specimen's curve
    signal : (n_specimens, n_wells), the reading, or the reader's cap where ``overflow``
    log_dilution : (n_specimens, n_wells), natural log of the fold dilution, >= 0
    overflow : (n_specimens, n_wells), the reading lies somewhere above ``signal``
    present : (n_specimens, n_wells), False = padding

    Raises
    ------
    ValueError : shapes differ, a present well is not finite, or a specimen has no well
    """

    plate: npt.NDArray[np.intp]
    signal: Array
    log_dilution: Array
    overflow: Mask
    present: Mask

    def __post_init__(self) -> None:
        shape = self.signal.shape
        if len(shape) != 2 or any(part.shape != shape for part in (self.log_dilution, self.overflow, self.present)):
            raise ValueError("signal, log_dilution, overflow and present need one two-dimensional shape")
        if self.plate.shape != shape[:1]:
            raise ValueError("plate needs one entry per specimen")
        if not np.all(np.isfinite(self.signal[self.present]) & np.isfinite(self.log_dilution[self.present])):
            raise ValueError("signals and log dilutions of wells must be finite")
        if not np.all(self.present.any(axis=1)):
            raise ValueError("each specimen needs at least one well")


@dataclass(frozen=True, slots=True, eq=False)
class Estimates:
    """One row per specimen, natural log of the concentration in the undiluted specimen.

    ``log_conc`` is infinite where the readings lie beyond an asymptote; there ``se_log`` and
    ``se_total`` are infinite, ``gradient`` is zero and one end of the interval is infinite.

    Parameters
    ----------
    log_conc : (n,)
    se_log : (n,), error of the readings alone
    gradient : (n, 4) or (n, 5), derivatives of ``log_conc`` with respect to the curve's (a, b, log_c, d[, log_g]);
        ``gradient @ curve.loading`` is the specimen's row of the error shared by a plate
    se_total : (n,), readings and curve
    ci_low, ci_high : (n,), -inf or inf where open
    finite : (n,)
    """

    log_conc: Array
    se_log: Array
    gradient: Array
    se_total: Array
    ci_low: Array
    ci_high: Array
    finite: Mask

    @classmethod
    def join(cls, parts: "Sequence[Estimates]", order: npt.NDArray[np.intp] | None = None) -> "Estimates":
        """Estimates one after the other; ``order`` tells which row of the whole each one is."""
        joined = [np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__]
        if order is None:
            return cls(*joined)
        places = np.argsort(order)
        return cls(*(column[places] for column in joined))


@dataclass(frozen=True, slots=True)
class Limits:
    """Range of concentrations on the plate, in concentration units; None = no concentration is measured precisely enough."""

    lloq: float | None
    uloq: float | None


def estimate_concentrations(curves: Sequence[Curve], readings: Readings, *, level: float | None = 0.95) -> Estimates:
    """Log concentration of every specimen, with reading error, curve gradient and interval.

    Parameters
    ----------
    curves : ``readings.plate`` counts in this order; all of one family
    readings : wells of the specimens
    level : coverage of the intervals; both tails are cut equally, also when one end is open; None: no intervals, all ends open

    Returns
    -------
    Estimates, in the order of ``readings``

    Notes
    -----
    Reference tests: tests/reference/numerics/test_inverse.py (investr), coverage in
    tests/recovery/test_coverage_of_concentrations.py.
    """
    n = len(readings.plate)
    if not n:
        none = np.zeros(0)
        return Estimates(none, none, np.zeros((0, N_LOGISTIC)), none, none, none, np.zeros(0, dtype=np.bool_))
    shelf = _Shelf.of(curves)
    parts = [_estimate(_Problem.gather(shelf, readings, slice(i, i + _BATCH)), level) for i in range(0, n, _BATCH)]
    return Estimates.join(parts)


def profile_precision(curve: Curve, log_conc: npt.ArrayLike, n_replicates: int) -> Array:
    """Standard error of a log concentration (about its coefficient of variation) from ``n_replicates`` readings, curve error included."""
    x = np.asarray(log_conc, dtype=np.float64)
    steepness = np.abs(slope(x, curve.parameters))
    reading = curve.variance.at(value(x, curve.parameters)) / n_replicates
    shared = np.sum((jacobian(x, curve.parameters) @ curve.loading) ** 2, axis=-1)
    with np.errstate(divide="ignore", over="ignore"):
        return np.asarray(np.sqrt(reading + shared) / steepness)


def limits(curve: Curve, standards: Standards, n_replicates: int, max_cv: float = 0.20) -> Limits:
    """Lower and upper limit of quantification of one plate, from its precision profile.

    The range around the most precise concentration in which the total coefficient of
    variation of a result stays within ``max_cv``, cut at the lowest non-zero and the highest
    standard: beyond the standards the curve is an extrapolation.

    Parameters
    ----------
    curve, standards : of one plate
    n_replicates : wells behind one result
    max_cv : largest coefficient of variation, 0.20 = 20 %

    Returns
    -------
    Limits, in concentration units on the plate (not multiplied by a dilution)
    """
    finite = standards.log_conc[np.isfinite(standards.log_conc)]
    if finite.size == 0:
        return Limits(None, None)
    x = np.linspace(float(finite.min()), float(finite.max()), 401)
    cv = profile_precision(curve, x, n_replicates)
    best = int(np.argmin(cv))
    if not cv[best] <= max_cv:
        return Limits(None, None)
    too_low = np.flatnonzero(cv[:best] > max_cv)
    too_high = best + np.flatnonzero(cv[best:] > max_cv)
    low = x[0] if too_low.size == 0 else _cross(x, cv, int(too_low[-1]), max_cv)
    high = x[-1] if too_high.size == 0 else _cross(x, cv, int(too_high[0]) - 1, max_cv)
    return Limits(_exp(float(low)), _exp(float(high)))


def _exp(log_conc: float) -> float:
    """Concentration to 12 digits, so that a limit at a standard prints as the standard."""
    return float(f"{np.exp(log_conc):.12g}")


def _cross(x: Array, cv: Array, left: int, max_cv: float) -> float:
    """Where the profile crosses ``max_cv`` between two grid points, log-linear between them."""
    with np.errstate(divide="ignore"):
        low, high = np.maximum(np.log(cv[left : left + 2]), -700.0)
    if not (np.isfinite(low) and np.isfinite(high)):
        return float(x[left] if np.isfinite(low) else x[left + 1])
    return float(x[left] + (np.log(max_cv) - low) / (high - low) * (x[left + 1] - x[left]))


@dataclass(frozen=True, slots=True, eq=False)
class _Shelf:
    """Curves side by side: parameters (m, p), loading (m, q, q), terms (m, 7) of the variance as ``effective_df`` takes them."""

    parameters: Array
    loading: Array
    terms: Array

    @classmethod
    def of(cls, curves: Sequence[Curve]) -> "_Shelf":
        terms = [(v.sigma0**2, v.linear, v.kappa**2, v.df, *v.log_covariance) for v in (c.variance for c in curves)]
        return cls(np.array([c.parameters for c in curves]), np.array([c.loading for c in curves]), np.array(terms))


@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    """Wells with the curve of their plate beside them; arrays as in Readings, parameters (n, p), loading (n, q, q), the rest (n,)."""

    signal: Array
    log_dilution: Array
    overflow: Mask
    present: Mask
    parameters: Array
    loading: Array
    constant: Array
    linear: Array
    quadratic: Array
    df: Array
    of_sigma: Array
    of_both: Array
    of_kappa: Array

    @classmethod
    def gather(cls, shelf: _Shelf, readings: Readings, rows: slice) -> "_Problem":
        plate = readings.plate[rows]
        present = readings.present[rows]
        return cls(
            np.where(present, readings.signal[rows], 0.0),
            np.where(present, readings.log_dilution[rows], 0.0),
            readings.overflow[rows] & present,
            present,
            shelf.parameters[plate],
            shelf.loading[plate],
            *shelf.terms[plate].T,
        )

    def quantile(self, level: float) -> Array:
        """Two-sided quantile of t for each specimen, (n,), with the degrees of freedom of the variance at its mean reading."""
        signal = np.sum(self.signal, axis=1) / self.present.sum(axis=1)
        terms = (self.constant, self.linear, self.quadratic, self.df, self.of_sigma, self.of_both, self.of_kappa)
        return np.asarray(stdtrit(effective_df(signal, *terms), 0.5 + level / 2), dtype=np.float64)

    def take(self, rows: npt.NDArray[np.intp] | Mask) -> "_Problem":
        """The rows asked for."""
        return _Problem(*(getattr(self, name)[rows] for name in self.__slots__))

    def read_asymptote(self, rows: Mask) -> "_Problem":
        """The same wells; in ``rows`` they read exactly the asymptote that they lie beyond."""
        a, d = self.parameters[:, :1], self.parameters[:, 3:4]
        if self.parameters.shape[1] > N_LOGISTIC:  # a power law has no upper asymptote
            d = np.where(self.parameters[:, 5:] == POWER_LAW, a, d)
        nearest = np.where(np.abs(self.signal - a) < np.abs(self.signal - d), a, d)
        return replace(self, signal=np.where(rows[:, None], nearest, self.signal), overflow=self.overflow & ~rows[:, None])


@dataclass(frozen=True, slots=True, eq=False)
class _Local:
    """What the wells say at candidate log concentrations x, each (n, k)."""

    score: Array
    test: Array


def _evaluate(problem: _Problem, x: Array) -> _Local:
    """Quasi-score and test statistic at x (n, k); arrays inside are (n, k, wells)."""
    parameters = problem.parameters[:, None, None, :]
    at = x[:, :, None] - problem.log_dilution[:, None, :]
    mean, steepness, sd = value(at, parameters), slope(at, parameters), np.sqrt(_variance(problem, at))
    present, overflow = problem.present[:, None, :], problem.overflow[:, None, :]
    weight = np.where(present, steepness / sd**2, 0.0)
    plain = problem.signal[:, None, :] - mean
    score, cautious = plain, plain
    if np.any(problem.overflow):
        score = np.where(overflow, sd * _mills(-plain / sd), plain)
        cautious = np.where(overflow, np.maximum(plain, 0.0), plain)
    leverage = np.einsum("nkw,nkwp->nkp", weight, jacobian(at, parameters))
    shared = np.sum(np.einsum("nkp,npq->nkq", leverage, problem.loading) ** 2, axis=-1)
    scale = np.sqrt(np.sum(weight * steepness, axis=-1) + shared)
    return _Local(np.sum(weight * score, axis=-1), np.sum(weight * cautious, axis=-1) / scale)


def _variance(problem: _Problem, at: Array) -> Array:
    """Variance of one reading of each well at log concentrations (n, k, wells) on the plate."""
    size = np.abs(value(at, problem.parameters[:, None, None, :]))
    constant, linear, quadratic = (term[:, None, None] for term in (problem.constant, problem.linear, problem.quadratic))
    return np.asarray(constant + linear * size + quadratic * size**2)


def _mills(u: Array) -> Array:
    """phi(u) / Phi(u), stable far down: how far above its mean a normal reading lies once it is known to exceed mean - u sd."""
    return np.asarray(np.sqrt(2 / np.pi) / erfcx(-u / np.sqrt(2)))


def _estimate(problem: _Problem, level: float | None) -> Estimates:
    """Specimens whose wells share one dilution have a formula; the others, and what lies beyond an asymptote, are searched for."""
    first = problem.log_dilution[:, :1]
    alike = np.all(~problem.present | ((problem.log_dilution == first) & ~problem.overflow), axis=1) & problem.present[:, 0]
    found = _estimate_alike(problem if alike.all() else problem.take(alike), level)
    settled = np.ones_like(found.finite) if level is None else found.finite
    known = np.flatnonzero(alike)[settled]
    rest = np.setdiff1d(np.arange(len(alike)), known, assume_unique=True)
    if not rest.size:
        return found
    kept = Estimates(*(getattr(found, name)[settled] for name in Estimates.__slots__))
    parts = [_search(problem.take(rest[i : i + _CHUNK]), level) for i in range(0, rest.size, _CHUNK)]
    return Estimates.join([kept, *parts], np.concatenate([known, rest]))


def _search(problem: _Problem, level: float | None) -> Estimates:
    grid = _lay_grid(problem)
    on_grid = _evaluate(problem, grid)
    log_conc = _locate(problem, grid, on_grid.score)
    finite = np.isfinite(log_conc)
    se_log, gradient, se_total = _measure_error(problem, log_conc, finite)
    if level is None:
        low, high = np.full_like(log_conc, -np.inf), np.full_like(log_conc, np.inf)
    else:
        low, high = _invert_test(problem, *_add_peaks(problem, grid, on_grid.test), log_conc, problem.quantile(level))
    return Estimates(log_conc, se_log, gradient, se_total, low, high, finite)


def _add_peaks(problem: _Problem, grid: Array, test: Array) -> tuple[Array, Array]:
    """Grid and test with the vertices of parabolas through three neighbours: a rejection may be narrower than a step of the grid."""
    before, here, after = test[:, :-2], test[:, 1:-1], test[:, 2:]
    bend = before - 2 * here + after
    vertex = 0.5 * (before - after) / np.where(bend != 0, bend, np.inf)
    peaks = grid[:, 1:-1] + np.where(np.abs(vertex) < 1, vertex, 0.0) * (grid[:, 1:2] - grid[:, :1])
    places = np.concatenate([grid, peaks], axis=1)
    order = np.argsort(places, axis=1)
    found = np.concatenate([test, _evaluate(problem, peaks).test], axis=1)
    return np.take_along_axis(places, order, axis=1), np.take_along_axis(found, order, axis=1)


def _lay_grid(problem: _Problem) -> Array:
    """Candidates (n, _GRID) over which every well runs through its whole curve."""
    low, high = reach(problem.parameters)
    low = low + np.min(np.where(problem.present, problem.log_dilution, np.inf), axis=1)
    high = high + np.max(np.where(problem.present, problem.log_dilution, -np.inf), axis=1)
    return np.asarray(low[:, None] + (high - low)[:, None] * np.linspace(0.0, 1.0, _GRID))


# ------------------------------------------------------------------------------------- wells that share one dilution


def _estimate_alike(problem: _Problem, level: float | None) -> Estimates:
    """The curve's inverse of the mean reading; beyond an asymptote both ends of the interval are left open."""
    count = problem.present.sum(axis=1)
    signal = np.sum(np.where(problem.present, problem.signal, 0.0), axis=1) / np.maximum(count, 1)
    shift, parameters = problem.log_dilution[:, 0], problem.parameters
    at_plate = inverse(signal, parameters)
    along = jacobian(at_plate, parameters)
    steepness = -along[:, 2]  # a curve moves along the axis with its midpoint
    finite = np.isfinite(at_plate) & (steepness != 0)
    per_signal = np.where(finite, 1.0, 0.0) / np.where(finite, steepness, 1.0)
    reading = (problem.constant + problem.linear * np.abs(signal) + problem.quadratic * signal**2) / np.maximum(count, 1)
    se_log = np.where(finite, np.sqrt(reading) * np.abs(per_signal), np.inf)
    gradient = along * -per_signal[:, None]
    shared = (gradient[:, None, :] @ problem.loading)[:, 0]
    se_total = np.sqrt(se_log**2 + np.einsum("nq,nq->n", shared, shared))
    low, high = np.full_like(signal, -np.inf), np.full_like(signal, np.inf)
    if level is not None and finite.any():
        rows = np.flatnonzero(finite)
        pivot = _Pivot(problem.take(rows), signal[rows], count[rows], at_plate[rows], se_total[rows])
        quantile = pivot.problem.quantile(level)
        low[rows], high[rows] = (pivot.find_rejection(quantile, side) + shift[rows] for side in (1, -1))
    return Estimates(at_plate + shift, se_log, gradient, se_total, low, high, finite)


_OUTWARD = np.array([1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.5, 8.0, 12.0, 20.0, 36.0])
_INWARD = np.array([0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0])


@dataclass(frozen=True, slots=True, eq=False)
class _Pivot:
    """Mean readings at one dilution: ``(signal - f(x)) / sqrt(v / count + curve error)`` tests x, log concentration on the plate."""

    problem: _Problem
    signal: Array
    count: npt.NDArray[np.int_]
    log_conc: Array
    se_total: Array

    def test(self, rows: npt.NDArray[np.intp], x: Array, quantile: Array) -> Array:
        """Test statistic at x (n, k) of the rows, positive below a rising curve's estimate, beyond ``quantile`` (n, 1)."""
        problem = self.problem
        parameters = problem.parameters[rows][:, None, :]
        mean = value(x, parameters)
        size = np.abs(mean)
        terms = (part[rows, None] for part in (problem.constant, problem.linear, problem.quadratic))
        constant, linear, quadratic = terms
        reading = (constant + linear * size + quadratic * size**2) / self.count[rows, None]
        shared = np.einsum("nkq,nkq->nk", along := jacobian(x, parameters) @ problem.loading[rows], along)
        direction = np.sign(slope(self.log_conc[rows], problem.parameters[rows]))[:, None]
        return np.asarray(direction * (self.signal[rows, None] - mean) / np.sqrt(reading + shared) - quantile)

    def find_rejection(self, quantile: Array, side: int) -> Array:
        """First x outward from the estimate that the test rejects, downward (side 1) or upward (side -1); infinite where none is."""
        far = reach(self.problem.parameters)[0 if side > 0 else 1]
        step = side * (self.log_conc - far)[:, None]
        outward = np.minimum(_OUTWARD * np.minimum(self.se_total, 1.0)[:, None], step)
        place = np.sort(np.concatenate([np.zeros_like(step), outward, _INWARD * step], axis=1), axis=1)
        every = np.arange(len(place))
        rejected = self._reject(every, self.log_conc[:, None] - side * place, quantile, side) > 0
        index = np.argmax(rejected, axis=1)
        found = np.flatnonzero(rejected.any(axis=1))
        end = np.full(len(place), -side * np.inf)
        outer, inner = (self.log_conc[found] - side * place[found, np.maximum(index[found] - back, 0)] for back in (0, 1))
        end[found] = _find_root(lambda rows, x: self._reject(found[rows], x[:, None], quantile, side)[:, 0], outer, inner)
        return end

    def _reject(self, rows: npt.NDArray[np.intp], x: Array, quantile: Array, side: int) -> Array:
        if side > 0:
            return self.test(rows, x, quantile[rows, None])
        return -self.test(rows, x, -quantile[rows, None])


# ------------------------------------------------------------------------ several dilutions, overflows, open estimates


def _locate(problem: _Problem, grid: Array, score: Array) -> Array:
    """Root of the score where the quasi-likelihood is highest; -inf or inf when it rises towards an end."""
    n = len(grid)
    step = grid[:, 1:] - grid[:, :-1]
    quasi = np.concatenate([np.zeros((n, 1)), np.cumsum((score[:, 1:] + score[:, :-1]) / 2 * step, axis=1)], axis=1)
    peak = (score[:, :-1] > 0) & (score[:, 1:] <= 0)
    height = np.where(peak, np.maximum(quasi[:, :-1], quasi[:, 1:]), -np.inf)
    at_low = np.where(score[:, 0] <= 0, quasi[:, 0], -np.inf)
    at_high = np.where(score[:, -1] > 0, quasi[:, -1], -np.inf)
    choice = np.argmax(np.concatenate([height, at_low[:, None], at_high[:, None]], axis=1), axis=1)
    inside = choice < _GRID - 1
    left = np.where(inside, choice, 0)
    rows = np.arange(n)
    root = _find_root(lambda some, x: _evaluate(problem.take(some), x[:, None]).score[:, 0], grid[rows, left], grid[rows, left + 1])
    return np.where(inside, root, np.where(choice == _GRID - 1, -np.inf, np.inf))


def _measure_error(problem: _Problem, log_conc: Array, finite: Mask) -> tuple[Array, Array, Array]:
    """Reading error, gradient with respect to the curve and total error; infinite, zero, infinite where not finite."""
    x = np.where(finite, log_conc, problem.parameters[:, 2])[:, None]
    parameters = problem.parameters[:, None, None, :]
    at = x[:, :, None] - problem.log_dilution[:, None, :]
    steepness, sd = slope(at, parameters), np.sqrt(_variance(problem, at))
    weight = np.where(problem.present[:, None, :], steepness / sd**2, 0.0)
    if np.any(problem.overflow):
        u = (value(at, parameters) - problem.signal[:, None, :]) / sd
        ratio = _mills(u)
        weight = np.where(problem.overflow[:, None, :], weight * np.clip(ratio * (ratio + u), 0.0, 1.0), weight)
    information = np.sum(weight * steepness, axis=-1)[:, 0]
    leverage = np.einsum("nkw,nkwp->nkp", weight, jacobian(at, parameters))[:, 0]
    usable = finite & (information > 0)
    safe = np.where(usable, information, 1.0)
    se_log = np.where(usable, 1 / np.sqrt(safe), np.inf)
    gradient = np.where(usable[:, None], -leverage / safe[:, None], 0.0)
    shared = np.sum(np.einsum("np,npq->nq", gradient, problem.loading) ** 2, axis=-1)
    return se_log, gradient, np.sqrt(se_log**2 + shared)


def _invert_test(problem: _Problem, grid: Array, test: Array, log_conc: Array, quantile: Array) -> tuple[Array, Array]:
    """Interval of x around the estimate in which the test accepts, (n,), (n,)."""
    # Readings so far beyond an asymptote that the test rejects every concentration bound it as the asymptote would.
    beyond = ((log_conc == -np.inf) & (test[:, 0] < -quantile)) | ((log_conc == np.inf) & (test[:, -1] > quantile))
    if np.any(beyond):
        problem = problem.read_asymptote(beyond)
        test = _evaluate(problem, grid).test
    low = _find_rejection(problem, grid, test, _Search(log_conc, quantile, 1))
    high = _find_rejection(problem, grid, test, _Search(log_conc, quantile, -1))
    return np.minimum(low, log_conc), np.maximum(high, log_conc)


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """From where, beyond which quantile, and downward (side 1) or upward (side -1)."""

    log_conc: Array
    quantile: Array
    side: int


def _find_rejection(problem: _Problem, grid: Array, test: Array, search: _Search) -> Array:
    """First x outward from the estimate that the test rejects; infinite where it rejects none."""
    side, quantile, rows, last = search.side, search.quantile, np.arange(len(grid)), grid.shape[1] - 1
    outward = side * grid <= side * search.log_conc[:, None]
    rejected = outward & (side * test > quantile[:, None])
    index = last - np.argmax(rejected[:, ::-1], axis=1) if side > 0 else np.argmax(rejected, axis=1)
    neighbour = grid[rows, np.clip(index + side, 0, last)]
    inner = side * np.minimum(side * neighbour, side * search.log_conc)
    found = rejected.any(axis=1)
    outer = grid[rows, index]
    inner = np.where(found & np.isfinite(inner), inner, outer)
    root = _find_root(lambda some, x: side * _evaluate(problem.take(some), x[:, None]).test[:, 0] - quantile[some], outer, inner)
    return np.where(found, root, -side * np.inf)


def _find_root(function: Callable[[npt.NDArray[np.intp], Array], Array], positive: Array, other: Array) -> Array:
    """Roots between where a function of (rows, x) is positive and where it is not, row by row.

    False position with the Illinois correction (Dowell and Jarratt 1971), every fourth step a bisection.
    """
    p, q, root, rows = positive, other, (positive + other) / 2, np.arange(len(positive))
    f_p, f_q = function(rows, p), function(rows, q)
    for count in range(_ROOT_STEPS):
        middle = (p + q) / 2
        gap = f_p - f_q
        secant = q + (p - q) * np.where(gap > 0, -f_q / np.where(gap > 0, gap, 1.0), 0.5)
        x = middle if count % 4 == 3 else np.where((secant - p) * (secant - q) < 0, secant, middle)
        f_x = function(rows, x)
        above = f_x > 0
        f_p, f_q = np.where(above, f_x, f_p / 2), np.where(above, f_q / 2, f_x)
        p, q = np.where(above, x, p), np.where(above, q, x)
        root[rows] = x
        open_ = (np.abs(p - q) >= 1e-10) & (f_x != 0)
        if not open_.all():
            rows, p, q, f_p, f_q = (part[open_] for part in (rows, p, q, f_p, f_q))
            if not rows.size:
                break
    return root
