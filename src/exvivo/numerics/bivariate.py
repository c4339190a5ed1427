"""Likelihood of pairs from a bivariate normal distribution, where each value is known exactly or only within limits.

In: standardised limits (n, 2) of both members of every pair, and the correlation of each pair. Out: log-likelihood
of every pair with its derivatives by the limits and by the correlation. One function for a pair of which one
member is known, one for a pair of which none is; `numerics.censored_pairs` adds them up.

The rectangle probability comes from Owen's T function, which is exact to rounding for any correlation;
fixed quadrature over one member loses digits when the correlation of a donor's two cultures is near 1,
which is the usual case here.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]

FAR = 1e3  # beyond this many SD a normal tail is exactly zero in double precision; stands for infinity without its NaN
TINY = 1e-300
LOG_2PI = float(np.log(2 * np.pi))


@dataclass(frozen=True, slots=True)
class PairTerms:
    """Log-likelihood (n,) and its derivatives by the limits of the first and second member (n, 2) and by the correlation (n,).

    A member that is known exactly has one derivative, shape (n, 1).
    """

    log_likelihood: Array
    by_first: Array
    by_second: Array
    by_correlation: Array


def score_between(a: Array, b: Array, rho: Array) -> PairTerms:
    """First member known at a (n,): probability that the second lies between the limits b (n, 2), given the first."""
    r = np.sqrt(1 - rho**2)
    t = (b - (rho * a)[:, None]) / r[:, None]
    log_p = log_interval_probability(t[:, 0], t[:, 1])
    # far from the maximum the ratio density / probability may overflow; a large finite slope leads back as well
    weight = np.exp(np.minimum(-0.5 * t**2 - 0.5 * LOG_2PI - log_p[:, None], 100.0)) * (-1, 1)
    t_by_rho = -(a / r)[:, None] + t * (rho / r**2)[:, None]
    return PairTerms(
        log_likelihood=log_p,
        by_first=(-rho / r * weight.sum(axis=1))[:, None],
        by_second=weight / r[:, None],
        by_correlation=(weight * t_by_rho).sum(axis=1),
    )


def score_unknown_pairs(a: Array, b: Array, rho: Array) -> PairTerms:
    """Both members between limits (n, 2): the probability of a rectangle."""
    r = np.sqrt(1 - rho**2)
    p = np.maximum(rectangle_probability(a, b, rho), TINY)
    corners = np.zeros_like(p)
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        square = (a[:, i] ** 2 - 2 * rho * a[:, i] * b[:, j] + b[:, j] ** 2) / (2 * r**2)
        corners += (1 if i == j else -1) * np.exp(-square) / (2 * np.pi * r)
    return PairTerms(
        log_likelihood=np.log(p),
        by_first=_edges(a, b, rho, r) / p[:, None],
        by_second=_edges(b, a, rho, r) / p[:, None],
        by_correlation=corners / p,
    )


def rectangle_probability(a: Array, b: Array, rho: Array) -> Array:
    """Probability that two standard normal values with correlation rho lie within limits a and b, each (n, 2)."""
    flip_a, flip_b = np.where(a.sum(axis=1) > 0, -1.0, 1.0), np.where(b.sum(axis=1) > 0, -1.0, 1.0)
    # turned to the lower left quadrant, where the four terms are small and lose least by subtraction
    x, y = np.sort(a * flip_a[:, None], axis=1), np.sort(b * flip_b[:, None], axis=1)
    turned = rho * flip_a * flip_b
    terms = [(1 if i == j else -1) * _quadrant(x[:, i], y[:, j], turned) for i in (0, 1) for j in (0, 1)]
    return np.asarray(np.sum(terms, axis=0), dtype=np.float64)


def log_interval_probability(low: Array, high: Array) -> Array:
    """Ln of the standard normal probability between two limits (n,), accurate in both tails."""
    upper = low > 0
    left, right = np.where(upper, -high, low), np.where(upper, -low, high)
    log_right, log_left = special.log_ndtr(right), special.log_ndtr(left)
    gap = np.minimum(log_left - log_right, -TINY)
    return np.asarray(log_right + np.log(-np.expm1(gap)), dtype=np.float64)


def _edges(a: Array, b: Array, rho: Array, r: Array) -> Array:
    """Derivative of the rectangle by the two limits of its first member."""
    density = np.exp(-0.5 * a**2) / np.sqrt(2 * np.pi) * (-1, 1)
    shift, r = rho[:, None] * a, r[:, None]
    inside = special.ndtr((b[:, 1:] - shift) / r) - special.ndtr((b[:, :1] - shift) / r)
    return np.asarray(density * inside, dtype=np.float64)


def _quadrant(h: Array, k: Array, rho: Array) -> Array:
    """P(X < h, Y < k); Owen 1956, Ann Math Stat 27:1075, equation 2.1. Most limits are infinite and need no integral."""
    p = np.where(h >= FAR, special.ndtr(k), np.where(k >= FAR, special.ndtr(h), 0.0))
    inside = np.flatnonzero((np.abs(h) < FAR) & (np.abs(k) < FAR))
    h, k, rho = np.where(h == 0, 1e-30, h)[inside], np.where(k == 0, 1e-30, k)[inside], rho[inside]
    r = np.sqrt(1 - rho**2)
    across = np.where(h * k > 0, 0.0, 0.5)
    owen = special.owens_t(h, (k - rho * h) / (h * r)) + special.owens_t(k, (h - rho * k) / (k * r))
    p[inside] = 0.5 * (special.ndtr(h) + special.ndtr(k)) - owen - across
    return np.asarray(p, dtype=np.float64)
