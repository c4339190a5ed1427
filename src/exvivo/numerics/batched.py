"""Many studies of one design at once: what a simulation or a search over endpoints needs thousands of times.

In: responses of s studies, (s, n). Out: arrays (s,) or (s, ...) with the numbers that `numerics.paired` and
`numerics.mixed` give for one study at a time.

Complete pairs, with or without replicate wells, have a closed form: the paired t test of the donors' mean ln
ratios, which is the mixed model with Kenward and Roger's degrees of freedom wherever no variance is estimated as zero
(where one is, the paired test is what a study reports).

One variance ratio. With V = s2 (I + g Z Z') the error contrasts are turned into the eigenvectors of Z Z' once for the design.
A study is then a handful of sums of squares, one for each eigenvalue that differs from the others, and its restricted
likelihood a function of g alone: a grid that all studies share finds the best interval and Newton steps that never leave it
finish. Every matrix of the inference is X' f(I + g Z Z') X = f(1) X'X + sum_v (f(1 + g v) - f(1)) / v B_v with v over
the eigenvalues of Z'Z that differ, so that Kenward and Roger's adjustment costs a few products for each study.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg, special

from exvivo.numerics.inference import Array
from exvivo.numerics.mixed import DegreesOfFreedom

_GRID = np.concatenate([[0.0], np.geomspace(1e-4, 1e8, 97)])  # ratios of variances, over the largest eigenvalue
_STEPS = 100
_FEWEST_PAIRS = 2
_ZERO = 1e-9  # as in numerics.mixed
_SAME = 1e-10  # eigenvalues closer than this, relative to the largest, are one
_RCOND = 2 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class Estimates:
    """One contrast of every study with two-sided t inference, each of shape (s,); fields as in `inference.Estimate`."""

    estimate: Array
    se: Array
    df: Array
    t: Array
    p: Array
    low: Array
    high: Array
    level: float


@dataclass(frozen=True, slots=True)
class ManyFits:
    """REML fits of one random intercept to s studies; fields as in `mixed.MixedFit` with the studies as first axis."""

    coefficients: Array
    covariance: Array
    covariance_adjusted: Array
    variances: Array
    at_zero: NDArray[np.bool_]
    slopes: Array
    observed: Array
    expected: Array

    def contrast(self, weights: ArrayLike, *, method: DegreesOfFreedom = DegreesOfFreedom.KENWARD_ROGER, level: float = 0.95) -> Estimates:
        """T inference for a weighted sum of the fixed effects, weights (p,); NaN where it has no degrees of freedom."""
        w = np.asarray(weights, dtype=np.float64)
        kenward = method is DegreesOfFreedom.KENWARD_ROGER
        variance = self.covariance @ w @ w
        gradient = self.slopes @ w @ w
        spread = np.einsum("sk,skl,sl->s", gradient, self.expected if kenward else self.observed, gradient)
        df = 2 * variance**2 / np.where(spread > 0, spread, np.nan)
        reported = self.covariance_adjusted @ w @ w if kenward else variance
        return infer_many(self.coefficients @ w, np.sqrt(reported), df, level=level)


def infer_many(estimate: ArrayLike, se: ArrayLike, df: ArrayLike, *, level: float = 0.95) -> Estimates:
    """Two-sided t inference of many estimates; a standard error of zero as in `inference.infer_t`, NaN stays NaN.

    Examples
    --------
    >>> infer_many([1.0, 0.0], [0.5, 0.0], 10).p.round(4).tolist()
    [0.0734, 1.0]
    """
    parts = np.broadcast_arrays(*(np.asarray(part, dtype=np.float64) for part in (estimate, se, df)))
    value, error, freedom = (np.asarray(part, dtype=np.float64) for part in parts)
    undivided = np.where(value == 0, 0.0, np.copysign(np.inf, value))
    t = np.divide(value, error, out=np.where(np.isnan(error), np.nan, undivided), where=error > 0)
    half = special.stdtrit(freedom, 0.5 + level / 2) * error
    p = np.minimum(1.0, 2 * special.stdtr(freedom, -np.abs(t)))
    return Estimates(estimate=value, se=error, df=freedom, t=t, p=p, low=value - half, high=value + half, level=level)


def fit_means(values: ArrayLike, *, level: float = 0.95) -> Estimates:
    """Mean of n independent values in each of s studies, shape (s, n), with the one-sample t test.

    Raises
    ------
    ValueError : not two axes, fewer than two values in a study, or values that are not finite

    Examples
    --------
    >>> fit_means([[1.0, 1.0, 2.0], [0.0, 1.0, 2.0]]).estimate.round(4).tolist()
    [1.3333, 1.0]
    """
    d = np.asarray(values, dtype=np.float64)
    if d.ndim != 2 or d.shape[1] < 2 or not np.isfinite(d).all():
        raise ValueError(f"finite values of shape (studies, at least 2) are needed, not {d.shape}")
    n = d.shape[1]
    return infer_many(d.mean(axis=1), d.std(axis=1, ddof=1) / np.sqrt(n), n - 1, level=level)


def fit_pairs(log_drug: ArrayLike, log_comparator: ArrayLike, *, level: float = 0.95) -> Estimates:
    """Mean within-donor ln ratio of every study.

    Parameters
    ----------
    log_drug, log_comparator : shape (s, n) or (s, n, wells), ln values of the same donors; arms may differ in their number of wells

    Notes
    -----
    With the same number of wells in every culture this is the mixed model with intercepts of donor and culture.
    """
    arms = [np.asarray(arm, dtype=np.float64) for arm in (log_drug, log_comparator)]
    drug, comparator = (arm.mean(axis=2) if arm.ndim == 3 else arm for arm in arms)
    if drug.shape != comparator.shape:
        raise ValueError(f"drug values of shape {arms[0].shape} cannot be paired with comparator values of shape {arms[1].shape}")
    return fit_means(drug - comparator, level=level)


def fit_incomplete_pairs(
    log_drug: ArrayLike,
    log_comparator: ArrayLike,
    *,
    method: DegreesOfFreedom = DegreesOfFreedom.KENWARD_ROGER,
    level: float = 0.95,
) -> Estimates:
    """Mean ln ratio by the mixed model with a donor intercept, where donors may lack a condition.

    Parameters
    ----------
    log_drug, log_comparator : shape (s, n), NaN where a donor has no value

    Returns
    -------
    Estimates : NaN for a study with fewer than two complete pairs, or whose values do not vary within either condition;
        there is nothing to estimate a scatter from

    Notes
    -----
    Donors are exchangeable, so that studies with as many pairs and as many single values of either kind have one design.
    """
    drug, comparator = np.asarray(log_drug, dtype=np.float64), np.asarray(log_comparator, dtype=np.float64)
    if drug.ndim != 2 or drug.shape != comparator.shape or np.isinf(drug).any() or np.isinf(comparator).any():
        raise ValueError("values of shape (studies, donors), finite or NaN, are needed for both conditions")
    has = ~np.isnan(drug) + 2 * ~np.isnan(comparator)
    order = np.argsort(-has, axis=1, kind="stable")
    drug, comparator = (np.take_along_axis(arm, order, axis=1) for arm in (drug, comparator))
    counts = np.stack([(has == kind).sum(axis=1) for kind in (3, 2, 1)], axis=1) * (_vary(drug) | _vary(comparator))[:, None]
    patterns, pattern_of = np.unique(counts, axis=0, return_inverse=True)
    found = {field.name: np.full(len(drug), np.nan) for field in fields(Estimates) if field.name != "level"}
    for index, (pairs, no_drug, no_comparator) in enumerate(patterns.tolist()):
        if pairs < _FEWEST_PAIRS:
            continue
        rows = np.flatnonzero(pattern_of.reshape(-1) == index)
        both, rest = slice(0, pairs), slice(pairs + no_drug, pairs + no_drug + no_comparator)
        y = np.hstack([drug[rows][:, both], drug[rows][:, rest], comparator[rows][:, : pairs + no_drug]])
        donor = np.concatenate([np.arange(pairs), np.arange(rest.start, rest.stop), np.arange(pairs + no_drug)])
        treated = np.arange(y.shape[1]) < pairs + no_comparator
        X = np.column_stack([np.ones(y.shape[1]), treated])
        fit = fit_many(y, X, np.eye(rest.stop)[donor]).contrast([0, 1], method=method, level=level)
        for name, values in found.items():
            values[rows] = getattr(fit, name)
    return Estimates(**found, level=level)


def _vary(values: Array) -> NDArray[np.bool_]:
    """Studies whose values (s, n), NaN where there is none, are not all the same."""
    known = ~np.isnan(values)
    largest, smallest = (np.max(sign * values, axis=1, initial=-np.inf, where=known) for sign in (1, -1))
    apart = largest + smallest > 1e-10 * np.maximum(np.abs(largest), np.abs(smallest))
    return np.asarray(known.any(axis=1) & apart, dtype=np.bool_)


def fit_many(responses: ArrayLike, design: ArrayLike, component: ArrayLike) -> ManyFits:
    """REML fits of a mixed model with one variance component besides the residual to many responses.

    Parameters
    ----------
    responses : shape (s, n), finite
    design : shape (n, p), full rank, p < n
    component : shape (n, q), the matrix Z of the component, not zero

    Raises
    ------
    ValueError : shapes that do not fit, a design that is not of full rank, or a response that the fixed effects explain entirely

    Notes
    -----
    The same criterion, boundary and information matrices as `mixed.fit_mixed`, which is its reference
    (tests/property/numerics/test_batched.py). Spectral form of the likelihood: Patterson and Thompson 1971,
    Biometrika 58:545, section 4; Kenward and Roger 1997, Biometrics 53:983, equation (3).
    """
    Y, X, Z = (np.asarray(part, dtype=np.float64) for part in (responses, design, component))
    _check(Y, X, Z)
    contrasts = _project(Y, X, Z)
    explained = np.flatnonzero(contrasts.squares.sum(axis=1) <= 1e-20 * (Y**2).sum(axis=1))
    if explained.size:
        raise ValueError(f"study {explained[0]}: the response does not vary around the fixed effects; no variance can be estimated")
    return _describe(Y, X, Z, contrasts, _estimate_ratio(contrasts))


@dataclass(frozen=True, slots=True)
class _Contrasts:
    """Error contrasts by eigenvalue of Z Z': the eigenvalues that differ (r,), how often each occurs (r,), sums of squares (s, r)."""

    values: Array
    times: Array
    squares: Array

    @property
    def count(self) -> float:
        """Number of contrasts."""
        return float(self.times.sum())


def _check(Y: Array, X: Array, Z: Array) -> None:
    if Y.ndim != 2 or X.ndim != 2 or Z.ndim != 2 or not (Y.shape[1] == len(X) == len(Z)):
        raise ValueError("responses (s, n), design (n, p) and component (n, q) must have the same n")
    if not all(np.isfinite(array).all() for array in (Y, X, Z)):
        raise ValueError("finite values are needed; missing observations are left out before")
    if len(X) <= X.shape[1] or np.linalg.matrix_rank(X) < X.shape[1]:
        raise ValueError(f"{len(X)} observations cannot determine {X.shape[1]} fixed effects and a variance")
    if not Z.any():
        raise ValueError("the component must load on an observation")


def _group(values: Array, scale: float) -> tuple[Array, NDArray[np.intp]]:
    """Ascending values that differ, and where each begins; what is within rounding of zero is zero."""
    starts = np.flatnonzero(np.diff(values, prepend=-np.inf) > _SAME * scale)
    distinct = values[starts]
    return np.where(distinct <= _SAME * scale, 0.0, distinct), starts


def _project(Y: Array, X: Array, Z: Array) -> _Contrasts:
    free = linalg.qr(X)[0][:, X.shape[1] :]
    values, vectors = linalg.eigh((free.T @ Z) @ (free.T @ Z).T)
    distinct, starts = _group(values, float(values[-1]))
    squares = np.add.reduceat((Y @ (free @ vectors)) ** 2, starts, axis=1)
    times = np.diff(starts, append=values.size).astype(np.float64)
    return _Contrasts(distinct, times, squares)


def _estimate_ratio(c: _Contrasts) -> Array:
    """Ratio of variances at the REML maximum of every study, exactly zero on the boundary."""
    largest = float(c.values[-1])
    if largest <= 0:
        return np.zeros(len(c.squares))
    grid = _GRID / largest
    shrink = 1 / (1 + np.outer(c.values, grid))
    criterion = c.count * np.log(c.squares @ shrink) - c.times @ np.log(shrink)
    best = np.argmin(criterion, axis=1)
    low, high = grid[np.maximum(best - 1, 0)], grid[np.minimum(best + 1, grid.size - 1)]
    ratio = grid[best]
    at_start = best == 0
    ratio[at_start] = np.where(_slope(ratio, c)[0][at_start] < 0, high[at_start] / 2, 0.0)
    return _polish(ratio, low, high, c)


def _polish(ratio: Array, low: Array, high: Array, c: _Contrasts) -> Array:
    """Newton steps within the interval that is known to hold the maximum, halving it where a step would leave it."""
    busy = np.flatnonzero(ratio > 0)
    for _ in range(_STEPS):
        at, part = ratio[busy], _Contrasts(c.values, c.times, c.squares[busy])
        slope, curvature = _slope(at, part)
        low[busy], high[busy] = np.where(slope < 0, at, low[busy]), np.where(slope < 0, high[busy], at)
        after = at - np.divide(slope, curvature, out=np.full_like(at, np.inf), where=curvature > 0)
        inside = (after > low[busy]) & (after < high[busy])
        after = np.where(slope == 0, at, np.where(inside, after, 0.5 * (low[busy] + high[busy])))
        ratio[busy] = after
        busy = busy[np.abs(after - at) > 1e-13 * np.maximum(1.0, at)]
        if not busy.size:
            break
    return np.where(ratio < _ZERO, 0.0, ratio)


def _slope(ratio: Array, c: _Contrasts) -> tuple[Array, Array]:
    """First and second derivative of -2 times the profiled restricted log-likelihood by the ratio."""
    shrunk = c.values / (1 + np.outer(ratio, c.values))
    weighted = c.squares / (1 + np.outer(ratio, c.values))
    total, first, second = weighted.sum(axis=1), (weighted * shrunk).sum(axis=1), (weighted * shrunk**2).sum(axis=1)
    return (
        shrunk @ c.times - c.count * first / total,
        -(shrunk**2) @ c.times + c.count * (2 * second / total - (first / total) ** 2),
    )


def _describe(Y: Array, X: Array, Z: Array, c: _Contrasts, ratio: Array) -> ManyFits:
    """Fixed effects and everything that inference needs; inside, in units of the residual variance."""
    values, vectors = linalg.eigh(Z.T @ Z)
    kept = values > _SAME * values[-1]
    distinct, starts = _group(values[kept], float(values[-1]))
    F = Z @ vectors[:, kept]
    loads = X.T @ F
    B = np.add.reduceat(np.einsum("aj,bj->jab", loads, loads), starts, axis=0)
    yB = np.add.reduceat((Y @ F)[:, :, None] * loads.T, starts, axis=1)
    grown = 1 + np.outer(ratio, distinct)

    def weigh(f: Callable[[Array], Array], on: Array) -> Array:
        return np.asarray(np.tensordot(f(grown), on, axes=1), dtype=np.float64)

    def total(power: int) -> Array:
        return np.asarray(X.T @ X + weigh(lambda h: (h**-power - 1) / distinct, B), dtype=np.float64)

    C = np.linalg.inv(total(1))
    Xy = Y @ X + np.einsum("sv,sva->sa", (1 / grown - 1) / distinct, yB)
    s2 = (c.squares / (1 + np.outer(ratio, c.values))).sum(axis=1) / c.count
    observed, expected = _component_covariances(c, ratio, s2)
    single = np.stack([weigh(lambda h: h**-2, B), total(2)], axis=1)
    crossed = weigh(lambda h: h**-3, B)
    double = np.stack([np.stack([weigh(lambda h: distinct * h**-3, B), crossed], axis=1), np.stack([crossed, total(3)], axis=1)], axis=1)
    double = double - np.einsum("skab,sbc,slcd->sklad", single, C, single)
    adjusted = C + 2 * C @ np.einsum("skl,sklab->sab", expected, double) @ C
    scale = s2[:, None, None]
    return ManyFits(
        coefficients=np.einsum("sab,sb->sa", C, Xy),
        covariance=scale * C,
        covariance_adjusted=scale * adjusted,
        variances=np.stack([ratio * s2, s2], axis=1),
        at_zero=ratio == 0,
        slopes=C[:, None] @ single @ C[:, None],
        observed=scale**2 * observed,
        expected=scale**2 * expected,
    )


def _component_covariances(c: _Contrasts, ratio: Array, s2: Array) -> tuple[Array, Array]:
    """Covariance of the two components in units of the residual variance, by observed and by expected information."""
    grown = 1 + np.outer(ratio, c.values)
    powers = np.array([[2, 1], [1, 0]])
    loads = c.values[:, None, None] ** powers
    traces = np.tensordot(c.times / grown**2, loads, axes=1)
    products = np.tensordot(c.squares / grown**3, loads, axes=1) / s2[:, None, None]
    free = np.stack([ratio > 0, np.ones(ratio.size, dtype=np.bool_)], axis=1)
    information = (products - 0.5 * traces) * (free[:, :, None] & free[:, None, :])
    return _invert(information), 2 * _invert(traces)


def _invert(matrices: Array) -> Array:
    return np.asarray(np.linalg.pinv(matrices, rtol=_RCOND, hermitian=True), dtype=np.float64)
