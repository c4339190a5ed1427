"""A normal vector of which only limits are known: probability, and the measurements that would tell the same.

In: the covariance (k, k) of a normal vector with mean zero, and limits of every member. Out: ln of the
probability that all members lie within their limits, and for each member the precision and the shift of
the normal measurement that moves the distribution as its limits do.

Expectation propagation: each member's limits are replaced by a normal factor whose product with the rest of
the distribution has the mean and variance of the truncated one; the factors are renewed until none moves. For a
box around a normal vector the answer is unique, needs no random numbers, and errs far less than the
likelihood of a small study can show (tests compare with integration).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import lapack

from exvivo.numerics.bivariate import FAR, log_interval_probability
from exvivo.numerics.inference import Array

_ROUNDS = 200
_SETTLED = 1e-8
_DAMPED_AFTER = 30  # rounds; factors that still swing then move half as far
_LEAST_PRECISION, _MOST_PRECISION = 1e-10, 1e12
_FARTHEST = 1e6  # standard deviations; a mean beyond is rounding
_LEAST_SHARE = 1e-10  # of a variance that may stay
_NARROW = 3e-3  # standard deviations between two limits
_LOG_ROOT_2PI = 0.5 * float(np.log(2 * np.pi))


@dataclass(frozen=True, slots=True)
class Box:
    """What limits tell about a normal vector.

    Attributes
    ----------
    log_probability : of all members within their limits
    precision : shape (k,), of the measurement that stands for each member's limits
    shift : shape (k,), precision times that measurement
    """

    log_probability: float
    precision: Array
    shift: Array


def match_box(covariance: ArrayLike, limits: ArrayLike, *, start: Box | None = None) -> Box:
    """Probability of a box under a normal distribution with mean zero, and the measurements that stand for its limits.

    Parameters
    ----------
    covariance : shape (k, k), positive definite
    limits : shape (k, 2), lower and upper, infinite where there is none
    start : a box near this one, to begin from

    Notes
    -----
    Minka 2001, UAI 17:362; Cunningham, Hennig and Lacoste-Julien 2011, arXiv:1111.6832. Reference: scipy's integration of the
    normal distribution function.

    Examples
    --------
    >>> found = match_box([[1.0, 0.5], [0.5, 1.0]], [[0.0, np.inf], [0.0, np.inf]])
    >>> round(float(np.exp(found.log_probability)), 3)  # one third
    0.333
    """
    given = np.asarray(covariance, dtype=np.float64)
    unit = np.sqrt(np.diag(given))
    S, bounds = given / np.outer(unit, unit), np.asarray(limits, dtype=np.float64) / unit[:, None]
    precision = np.full(len(S), _LEAST_PRECISION) if start is None else np.maximum(start.precision * unit**2, _LEAST_PRECISION)
    shift = np.zeros(len(S)) if start is None else start.shift * unit
    for turn in range(_ROUNDS):
        mean, variance = _leave_one_out(S, precision, shift)
        log_mass, inner_mean, inner_variance = _truncate(mean, variance, bounds)
        new_precision = _clip(1 / inner_variance - 1 / variance, _LEAST_PRECISION, _MOST_PRECISION)
        new_shift = (inner_mean - mean) / variance + inner_mean * new_precision
        moved = np.abs(new_precision - precision) / (1 / variance + precision)
        if moved.max() < _SETTLED:
            break
        step = 1.0 if turn < _DAMPED_AFTER else 0.5
        precision, shift = (1 - step) * precision + step * new_precision, (1 - step) * shift + step * new_shift
    heights = log_mass + 0.5 * np.log1p(precision * variance) + 0.5 * (shift / precision - mean) ** 2 / (variance + 1 / precision)
    return Box(float(heights.sum()) + _log_density(S, precision, shift), precision / unit**2, shift / unit)


def _factor(S: Array, precision: Array) -> tuple[Array, Array]:
    """Cholesky factor L of I + T S T with T the root of the precisions, and L^-1 T."""
    root = np.sqrt(precision)
    inner = root[:, None] * S * root
    inner[np.diag_indices(len(S))] += 1.0
    L, failed = lapack.dpotrf(inner, lower=1)
    if failed:
        raise np.linalg.LinAlgError("the covariance is not positive definite")
    return L, lapack.dtrtri(L, lower=1)[0] * root


def _leave_one_out(S: Array, precision: Array, shift: Array) -> tuple[Array, Array]:
    """Mean and variance of each member given the factors of all others.

    From the distribution with all factors where a factor is weak, from the prediction of the measurement that it stands for
    where it is strong: each way loses its digits where the other keeps them.
    """
    _, half = _factor(S, precision)
    measured = shift / precision
    inverse = (half**2).sum(axis=0)
    beside = 1 / inverse - 1 / precision, measured - half.T @ (half @ measured) / inverse
    reduced = half @ S
    spread = np.maximum(1 - (reduced**2).sum(axis=0), _LEAST_SHARE)
    without = 1 / np.maximum(1 / spread - precision, _LEAST_PRECISION)
    together = without, without * ((S @ shift - reduced.T @ (reduced @ shift)) / spread - shift)
    strong = precision > 1.0
    variance = _clip(np.where(strong, beside[0], together[0]), _LEAST_SHARE, 1.0)
    return _clip(np.where(strong, beside[1], together[1]), -_FARTHEST, _FARTHEST), variance


def _clip(values: Array, low: float | Array, high: float) -> Array:
    """As numpy's, which takes longer than everything around it."""
    return np.asarray(np.minimum(np.maximum(values, low), high), dtype=np.float64)


def _log_density(S: Array, precision: Array, shift: Array) -> float:
    """Ln density of the measurements, each times the root of 2 pi and of its own variance."""
    L, half = _factor(S, precision)
    rest = half @ (shift / precision)
    return -float(np.log(np.diag(L)).sum()) - 0.5 * float(rest @ rest)


def _truncate(mean: Array, variance: Array, bounds: Array) -> tuple[Array, Array, Array]:
    """Ln mass, mean and variance of normal values within limits."""
    sd = np.sqrt(variance)
    a, b = _clip((bounds - mean[:, None]) / sd[:, None], -FAR, FAR).T
    log_mass = log_interval_probability(a, b)
    at_a, at_b = (np.exp(np.minimum(-0.5 * z**2 - _LOG_ROOT_2PI - log_mass, 300.0)) for z in (a, b))
    tilt, width = at_a - at_b, b - a
    kept = 1 + a * at_a - b * at_b - tilt**2
    narrow = width < _NARROW  # there the density is even, and the formulas above lose their digits
    tilt = np.where(narrow, (a + b) / 2 * (1 - width**2 / 12), tilt)
    kept = np.where(narrow, width**2 / 12, kept)
    least = np.where(width > 0, np.minimum(_LEAST_SHARE, width**2 / 12), _LEAST_SHARE)
    return log_mass, mean + sd * tilt, variance * _clip(kept, least, 1.0)
