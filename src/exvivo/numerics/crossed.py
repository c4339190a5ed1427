"""Differences of pairs with crossed random factors, when some values are known only within limits.

In: bounds of both values of every pair, which comparator value each pair has (pairs may share one), and the
labels of random factors, crossed or nested. Out: the mean difference with t inference. Without censoring the
answer is that of `numerics.mixed` on the differences, exactly.

Model. Differences d_ij = mu + a_i + b_j + e_ij; comparator values given the differences are normal too,
x = alpha + beta d + a'_i + b'_j + e'_ij, so that a limit of one value speaks about the other (a value shared by
several pairs depends on their mean difference). Written this way the comparator values tell nothing about mu unless a
value is censored, and the censored model runs into the uncensored one when limits recede.

Estimation. mu and alpha have flat priors, which makes the likelihood the restricted one (very wide ones where fewer
than three pairs are measured and the rest lies between limits). What is measured enters exactly. The rest is a normal
vector in a box (`numerics.truncated`), which stands for measurements with known errors of their own; variances and
slope maximise the product, by its gradient with those measurements held, which is exact where they have settled.

Inference. With those measurements the model is a linear mixed model with variances partly known, so that Kenward and
Roger's covariance and degrees of freedom apply as they stand: a censored value counts for what its
limits tell, and adds degrees of freedom accordingly.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg

from exvivo.numerics.ascent import step_within
from exvivo.numerics.inference import Array, Estimate, infer_t
from exvivo.numerics.mixed import indicate
from exvivo.numerics.truncated import Box, match_box

FEWEST_BOUNDED_PAIRS = 3
_VAGUE = 1e-3  # precision of the means' priors, in units of the values' variance, where nothing measured could carry flat ones
_ZERO = 1e-7  # a relative variance below this is on the boundary
_MOST_STEPS = 200
_FLAT = 1e-11  # of the log-likelihood; no step is worth less
_ROUNDING = 1e-11  # of the log-likelihood
_FARTHEST = 2.0  # times one plus a parameter, in one step
_START = 0.3  # relative variances from which the search begins
_LARGEST_RATIO, _STEEPEST = 1e3, 20.0
_NUGGET = 1e-7  # of a variance, more than rounding takes away
_RESIDUAL = (-8.0, 2.0)  # range of the ln residual variance around that of the measured values


@dataclass(frozen=True, slots=True)
class CensoredCrossedFit:
    """Restricted maximum likelihood of censored pairs with random factors, on the scale of the bounds (ln).

    Attributes
    ----------
    contrast : mean difference; components that are estimated as zero are left out of its degrees of freedom
    variances : shape (m + 1,), components of the differences in the order given, the residual last
    at_zero : shape (m,), components estimated on the boundary
    slope : of comparator values on differences
    comparator_variances : components of comparator values given the differences, of factors that repeat among them, the residual last
    log_likelihood : restricted
    """

    contrast: Estimate
    variances: Array
    at_zero: NDArray[np.bool_]
    slope: float
    comparator_variances: Array
    log_likelihood: float


@dataclass(frozen=True, slots=True)
class _Model:
    """Values (comparators first, then drugs), their kind, and how they are made of differences and comparators.

    Values = (`base` + slope `by_slope`) differences + comparators. `grams` (m, n, n): Z Z' of every component of the differences;
    `theirs`: what every component of the comparators adds to the covariance of the values; the residuals last.
    """

    bounds: Array
    design: Array
    base: Array
    by_slope: Array
    grams: Array
    theirs: Array
    measured: NDArray[np.intp]
    censored: NDArray[np.intp]
    spread: tuple[float, float]
    slope: float
    vague: float
    memory: dict[str, Box] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _State:
    """The model at given parameters: covariance of the values, its derivatives, and what the limits stand for."""

    log_likelihood: float
    covariance: Array
    slopes: Array
    response: Array
    noise: Array


def fit_censored_crossed(
    drug: ArrayLike, comparator: ArrayLike, partners: Sequence[object], factors: Sequence[Sequence[str]], *, level: float = 0.95
) -> CensoredCrossedFit:
    """Mean difference of pairs with random factors, some values known only within limits.

    Parameters
    ----------
    drug, comparator : shape (n, 2), lower and upper bound of the ln value of each pair; equal = measured
    partners : length n, which comparator value it is; pairs that share one have the same entry
    factors : labels (n,) of every random factor
    level : of the interval

    Raises
    ------
    ValueError : shapes or bounds that do not fit, or fewer than three pairs whose values are measured or lie between two limits
    """
    y, x = np.asarray(drug, dtype=np.float64), np.asarray(comparator, dtype=np.float64)
    _check(y, x, partners, factors)
    middle = np.concatenate([part.mean(axis=1)[np.isfinite(part).all(axis=1)] for part in (y, x)])
    centre, scale = float(middle.mean()), float(middle.std())
    model = _build((y - centre) / scale, (x - centre) / scale, partners, factors)
    at = _maximise(model)
    raw = _raw(model, at)
    zero = np.append(at[: len(model.grams) - 1] == 0, False)
    state = _evaluate(model, raw)
    return CensoredCrossedFit(
        contrast=_infer(state, model.design, ~np.append(zero, np.zeros(raw.size - zero.size, dtype=bool)), (scale, level)),
        variances=raw[: zero.size] * scale**2,
        at_zero=zero[:-1],
        slope=float(raw[zero.size]),
        comparator_variances=raw[zero.size + 1 :] * scale**2,
        log_likelihood=state.log_likelihood - (len(model.measured) - 2) * float(np.log(scale)),
    )


def _check(y: Array, x: Array, partners: Sequence[object], factors: Sequence[Sequence[str]]) -> None:
    if y.shape != x.shape or y.ndim != 2 or y.shape[1] != 2 or any(len(labels) != len(y) for labels in (partners, *factors)):
        raise ValueError("drug and comparator bounds (n, 2), partners (n,) and labels (n,) must have the same number of rows")
    for name, bounds in (("drug", y), ("comparator", x)):
        if np.isnan(bounds).any() or (bounds[:, 0] > bounds[:, 1]).any() or np.isinf(bounds).all(axis=1).any():
            raise ValueError(f"{name}: a lower bound at or below its upper bound is needed, and at least one of them finite")
    both = _bounded(y, x)
    if both.sum() < FEWEST_BOUNDED_PAIRS:
        raise ValueError(f"{int(both.sum())} pairs are bounded on all sides; at least {FEWEST_BOUNDED_PAIRS} are needed")
    if np.ptp((y[both] - x[both]).mean(axis=1)) <= 1e-9 * float(np.concatenate([y[both], x[both]]).std()):
        raise ValueError("the measured pairs all have the same difference; no variance can be estimated")


def _bounded(y: Array, x: Array) -> NDArray[np.bool_]:
    """Pairs of which both values are measured or lie between two limits."""
    return np.asarray(np.isfinite(y).all(axis=1) & np.isfinite(x).all(axis=1), dtype=np.bool_)


def _build(y: Array, x: Array, partners: Sequence[object], factors: Sequence[Sequence[str]]) -> _Model:
    first = {name: i for i, name in reversed(list(enumerate(partners)))}
    order = list(first.values())
    place = {name: k for k, name in enumerate(first)}
    shared = np.zeros((len(y), len(order)))
    shared[np.arange(len(y)), [place[name] for name in partners]] = 1.0
    own = [[labels[i] for i in order] for labels in factors]
    repeated = [labels for labels in own if 1 < len(set(labels)) < len(order)]
    bounds = np.vstack([x[order], y])
    exact = bounds[:, 0] == bounds[:, 1]
    both = _bounded(y, x)
    middle_x, d = x[both].mean(axis=1), (y[both] - x[both]).mean(axis=1)
    measured = int((exact[len(order) :] & (shared @ exact[: len(order)] > 0)).sum())
    to_comparator, of_x = (shared / shared.sum(axis=0)).T, np.vstack([np.eye(len(order)), shared])
    return _Model(
        bounds=bounds,
        design=np.column_stack([np.ones(len(bounds)), np.arange(len(bounds)) >= len(order)]).astype(np.float64),
        base=np.vstack([np.zeros((len(order), len(y))), np.eye(len(y))]),
        by_slope=of_x @ to_comparator,
        grams=np.array([_gram(labels) for labels in factors] + [np.eye(len(y))]),
        theirs=of_x @ np.array([_gram(labels) for labels in repeated] + [np.eye(len(order))]) @ of_x.T,
        measured=np.flatnonzero(exact),
        censored=np.flatnonzero(~exact),
        spread=(float(d.var()), float(middle_x.var()) or 1.0),
        slope=float(np.clip(((d - d.mean()) * middle_x).mean() / d.var(), -_STEEPEST / 2, _STEEPEST / 2)),
        vague=0.0 if measured >= FEWEST_BOUNDED_PAIRS else _VAGUE,
    )


def _gram(labels: Sequence[str]) -> Array:
    Z = indicate(labels)
    return np.asarray(Z @ Z.T, dtype=np.float64)


def _raw(model: _Model, at: Array) -> Array:
    """Variances of differences, slope, variances of comparators, from relative variances and ln residual variances."""
    m = len(model.grams)
    ours, theirs = at[:m], at[m + 1 :]
    return np.concatenate([np.append(ours[:-1], 1.0) * np.exp(ours[-1]), at[m : m + 1], np.append(theirs[:-1], 1.0) * np.exp(theirs[-1])])


def _chain(model: _Model, at: Array, gradient: Array) -> Array:
    """Gradient by the parameters of the search from the gradient by those of the model."""
    m = len(model.grams)
    raw, found = _raw(model, at), gradient.copy()
    for block in (slice(0, m), slice(m + 1, at.size)):
        found[block] = gradient[block] * np.exp(at[block][-1])
        found[block][-1] = float(gradient[block] @ raw[block])
    return found


def _maximise(model: _Model) -> Array:
    """Parameters at the maximum of the restricted likelihood: relative variances, ln residual, slope, and the same of comparators."""
    m, k = len(model.grams), len(model.theirs)
    of_d, of_x = (float(np.log(part)) for part in model.spread)
    ratio, (least, most) = (0.0, _LARGEST_RATIO), _RESIDUAL
    box = [ratio] * (m - 1) + [(of_d + least, of_d + most), (-_STEEPEST, _STEEPEST)] + [ratio] * (k - 1) + [(of_x + least, of_x + most)]
    begin = np.array([_START] * (m - 1) + [of_d - 0.3, model.slope] + [1.0] * (k - 1) + [of_x - 0.7])
    best = _descend(model, begin, np.array(box).T)
    relative = np.ones(best.size, dtype=bool)
    relative[[m - 1, m, -1]] = False
    return np.where(relative & (best < _ZERO), 0.0, best)


def _descend(model: _Model, at: Array, box: Array) -> Array:
    """Quasi-Newton steps within the box, from the expected information, the curvature learnt on the way."""
    (value, slope), bend, share = _objective(model, at), _information(model, at), 1.0
    for _ in range(_MOST_STEPS):
        held = (at <= box[0]) & (slope >= 0) | (at >= box[1]) & (slope <= 0)
        step = step_within(slope[None], bend[None] / share, (box[0] - at)[None], (box[1] - at)[None], held[None])[0]
        step /= max(1.0, float((np.abs(step) / (_FARTHEST * (1 + np.abs(at)))).max()))
        if -float(slope @ step) <= _FLAT:
            break
        there = np.where(step <= box[0] - at, box[0], at + step)
        lower, tilted = _objective(model, there)
        share = min(1.0, 4 * share) if lower < value + _ROUNDING else share / 4
        if lower < value + _ROUNDING:
            bend = _learn(bend, there - at, tilted - slope)
            at, value, slope = there, lower, tilted
    return at


def _learn(bend: Array, step: Array, change: Array) -> Array:
    """Curvature that agrees with the change of slope along a step, as far as it stays that of a valley (Powell's damping)."""
    bent = bend @ step
    size, along = float(step @ bent), float(step @ change)
    if along < 0.2 * size:
        mix = 0.8 * size / (size - along)
        change = mix * change + (1 - mix) * bent
        along = float(step @ change)
    return np.asarray(bend + np.outer(change, change) / along - np.outer(bent, bent) / size, dtype=np.float64)


def _objective(model: _Model, at: Array) -> tuple[float, Array]:
    """Negative restricted log-likelihood and its gradient."""
    state = _evaluate(model, _raw(model, at))
    P = _residual_precision(state.covariance + np.diag(state.noise), model.design, model.vague)[0]
    Py = P @ state.response
    return -state.log_likelihood, _chain(model, at, 0.5 * (np.tensordot(state.slopes, P) - state.slopes @ Py @ Py))


def _information(model: _Model, at: Array) -> Array:
    """Expected information by the parameters of the search, with the measurements that stand for limits held."""
    state = _evaluate(model, _raw(model, at))
    P = _residual_precision(state.covariance + np.diag(state.noise), model.design, model.vague)[0]
    moved = P @ state.slopes
    by_raw = 0.5 * np.einsum("iab,jba->ij", moved, moved)
    return np.array([_chain(model, at, row) for row in np.array([_chain(model, at, row) for row in by_raw]).T])


def _residual_precision(V: Array, X: Array, vague: float = 0.0) -> tuple[Array, Array, Array]:
    """P = W - W X C X'W, the precision W, and the covariance C of the fixed effects; `vague` is the precision of their prior."""
    W = np.asarray(np.linalg.inv(V), dtype=np.float64)
    WX = W @ X
    covariance = np.asarray(np.linalg.inv(X.T @ WX + vague * np.eye(X.shape[1])), dtype=np.float64)
    return W - WX @ covariance @ WX.T, W, covariance


def _covariance(model: _Model, raw: Array) -> tuple[Array, Array]:
    """Covariance of all values and its derivatives by the parameters."""
    m = len(model.grams)
    of_d = model.base + float(raw[m]) * model.by_slope
    ours = of_d @ model.grams @ of_d.T
    middle = np.tensordot(raw[:m], model.grams, axes=1)
    half = model.by_slope @ middle @ of_d.T
    slopes = np.concatenate([ours, (half + half.T)[None], model.theirs])
    return np.tensordot(raw[:m], ours, axes=1) + np.tensordot(raw[m + 1 :], model.theirs, axes=1), slopes


def _evaluate(model: _Model, raw: Array) -> _State:
    V, slopes = _covariance(model, raw)
    o, c, X = model.measured, model.censored, model.design
    y = model.bounds[o, 0]
    P, W, covariance = _residual_precision(V[np.ix_(o, o)], X[o], model.vague)
    log_dets = float(np.linalg.slogdet(W)[1] + np.linalg.slogdet(covariance)[1])
    value = 0.5 * (log_dets - float(y @ P @ y) - (o.size - X.shape[1]) * float(np.log(2 * np.pi)))
    response, noise = model.bounds[:, 0].copy(), np.zeros(len(X))
    if c.size:
        fixed = covariance @ (X[o].T @ (W @ y))
        across = V[np.ix_(c, o)] @ W
        mean = X[c] @ fixed + across @ (y - X[o] @ fixed)
        rest = X[c] - across @ X[o]
        of_c = V[np.ix_(c, c)]
        spread = of_c - across @ V[np.ix_(o, c)] + rest @ covariance @ rest.T + _NUGGET * np.diag(np.diag(of_c))
        box = match_box(spread, model.bounds[c] - mean[:, None], start=model.memory.get("box"))
        model.memory["box"] = box
        value += box.log_probability
        response[c], noise[c] = mean + box.shift / box.precision, 1 / box.precision
    return _State(value, V, slopes, response, noise)


def _infer(state: _State, X: Array, kept: NDArray[np.bool_], scale_and_level: tuple[float, float]) -> Estimate:
    """Kenward and Roger's inference for the mean difference, from some of the components."""
    scale, level = scale_and_level
    P, W, covariance = _residual_precision(state.covariance + np.diag(state.noise), X)
    slopes = [slope for slope, keep in zip(state.slopes, kept, strict=True) if keep]
    WX = W @ X
    moved = [P @ slope for slope in slopes]
    information = np.array([[np.sum(a * b.T) for b in moved] for a in moved])
    weights = 2 * linalg.pinvh(information)
    pushed = [slope @ WX for slope in slopes]
    singles = [WX.T @ push for push in pushed]
    gradient = np.array([(covariance @ single @ covariance)[1, 1] for single in singles])
    middle = np.zeros_like(covariance)
    for i, a in enumerate(pushed):
        for j, b in enumerate(pushed):
            middle += weights[i, j] * (a.T @ W @ b - singles[i] @ covariance @ singles[j])
    adjusted = (covariance + 2 * covariance @ middle @ covariance)[1, 1]
    df = 2 * covariance[1, 1] ** 2 / float(gradient @ weights @ gradient)
    estimate = float((covariance @ (WX.T @ state.response))[1])
    return infer_t(estimate * scale, float(np.sqrt(adjusted)) * scale, df, level=level)
