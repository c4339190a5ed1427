"""Likelihood of studies made of pairs, where each value is known or lies within limits: packed, so that many cost little.

In: bounds of both conditions for a batch of studies of one size. Out: log-likelihood and gradient of any of
them at any parameters. The kinds of pair never change while a likelihood is climbed, so they are sorted once:
known values enter by their sums, and the others lie in arrays as wide as the fullest study, filled up with
pairs without limits, whose probability is one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exvivo.numerics.bivariate import FAR, LOG_2PI, score_between, score_unknown_pairs

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a study's likelihood depends on, each of shape (r,)."""

    mean_x: Array
    mean_y: Array
    log_sd_x: Array
    log_sd_y: Array
    rho: Array


@dataclass(frozen=True, slots=True)
class PackedPairs:
    """Sums of known values, and the pairs with limits, first axis the studies.

    Attributes
    ----------
    both : shape (s, 6), of the pairs known in both conditions: number, sums of x, y, xx, xy, yy
    x_only, y_only : shape (s, 3), of the pairs known in one: number, sum, sum of squares
    y_given_x, x_given_y : known values (s, k) and the limits of the other (s, k, 2)
    unknown : limits (s, k, 2) of x and of y
    """

    both: Array
    x_only: Array
    y_only: Array
    y_given_x: tuple[Array, Array]
    x_given_y: tuple[Array, Array]
    unknown: tuple[Array, Array]

    def score(self, rows: Rows, at: Parameters) -> tuple[Array, Array]:
        """Log-likelihood (r,) of some studies, and its derivatives (r, 5) in the order of `Parameters`."""
        sd_x, sd_y = np.exp(at.log_sd_x), np.exp(at.log_sd_y)
        total = _score_both(self.both[rows], at, sd_x, sd_y)
        total[[0, 1, 3]] += _score_one(self.x_only[rows], at.mean_x, at.log_sd_x, sd_x)
        total[[0, 2, 4]] += _score_one(self.y_only[rows], at.mean_y, at.log_sd_y, sd_y)
        if self.y_given_x[0].size:
            total += _score_half(self.y_given_x, rows, (at.mean_x, sd_x), (at.mean_y, sd_y), at.rho)
        if self.x_given_y[0].size:
            total += _score_half(self.x_given_y, rows, (at.mean_y, sd_y), (at.mean_x, sd_x), at.rho)[[0, 2, 1, 4, 3, 5]]
        if self.unknown[0].size:
            total += _score_unknown(self.unknown, rows, (at.mean_x, sd_x), (at.mean_y, sd_y), at.rho)
        return total[0], total[1:].T


def pack_pairs(x: Array, y: Array) -> PackedPairs:
    """Sort the pairs of every study; bounds have shape (s, n, 2), equal ones are known values."""
    known_x, known_y = x[..., 0] == x[..., 1], y[..., 0] == y[..., 1]
    both, x_only, y_only = known_x & known_y, known_x & ~known_y, known_y & ~known_x
    a, b = np.where(known_x, x[..., 0], 0.0), np.where(known_y, y[..., 0], 0.0)
    return PackedPairs(
        both=_sums(both, a, b, a * a, a * b, b * b),
        x_only=_sums(x_only, a, a * a),
        y_only=_sums(y_only, b, b * b),
        y_given_x=(_gather(x_only, a, 0.0), _gather_limits(x_only, y)),
        x_given_y=(_gather(y_only, b, 0.0), _gather_limits(y_only, x)),
        unknown=(_gather_limits(~(known_x | known_y), x), _gather_limits(~(known_x | known_y), y)),
    )


def _sums(flags: Flags, *columns: Array) -> Array:
    return np.stack([flags.sum(axis=1).astype(np.float64), *((column * flags).sum(axis=1) for column in columns)], axis=1)


def _gather(flags: Flags, values: Array, filling: float) -> Array:
    """Flagged values at the left of as few columns as hold them, the rest filled."""
    width = int(flags.sum(axis=1).max(initial=0))
    order = np.argsort(~flags, axis=1, kind="stable")[:, :width]
    return np.where(np.take_along_axis(flags, order, axis=1), np.take_along_axis(values, order, axis=1), filling)


def _gather_limits(flags: Flags, bounds: Array) -> Array:
    return np.stack([_gather(flags, bounds[..., 0], -np.inf), _gather(flags, bounds[..., 1], np.inf)], axis=2)


def _score_both(sums: Array, at: Parameters, sd_x: Array, sd_y: Array) -> Array:
    """Value and derivatives (6, r) of pairs that are known in both conditions."""
    n, x, y, xx, xy, yy = sums.T
    a, b = (x - n * at.mean_x) / sd_x, (y - n * at.mean_y) / sd_y
    aa = (xx - 2 * at.mean_x * x + n * at.mean_x**2) / sd_x**2
    bb = (yy - 2 * at.mean_y * y + n * at.mean_y**2) / sd_y**2
    ab = (xy - at.mean_x * y - at.mean_y * x + n * at.mean_x * at.mean_y) / (sd_x * sd_y)
    rho, r2 = at.rho, 1 - at.rho**2
    square = aa - 2 * rho * ab + bb
    return np.stack(
        [
            -n * (LOG_2PI + 0.5 * np.log(r2) + at.log_sd_x + at.log_sd_y) - square / (2 * r2),
            (a - rho * b) / (r2 * sd_x),
            (b - rho * a) / (r2 * sd_y),
            (aa - rho * ab) / r2 - n,
            (bb - rho * ab) / r2 - n,
            (n * rho + ab - rho * square / r2) / r2,
        ]
    )


def _score_one(sums: Array, mean: Array, log_sd: Array, sd: Array) -> Array:
    """Value and derivatives (3, r) by mean and ln SD of values that are known alone."""
    n, x, xx = sums.T
    square = (xx - 2 * mean * x + n * mean**2) / sd**2
    return np.stack([-n * (0.5 * LOG_2PI + log_sd) - 0.5 * square, (x - n * mean) / sd**2, square - n])


def _score_half(pairs: tuple[Array, Array], rows: Rows, first: tuple[Array, Array], second: tuple[Array, Array], rho: Array) -> Array:
    """Value and derivatives (6, r) of the second member between its limits, given the first."""
    (mean, sd), (mean_other, sd_other) = first, second
    a = (pairs[0][rows] - mean[:, None]) / sd[:, None]
    b = np.clip((pairs[1][rows] - mean_other[:, None, None]) / sd_other[:, None, None], -FAR, FAR)
    terms = score_between(a.ravel(), b.reshape(-1, 2), np.repeat(rho, a.shape[1]))
    by_a, by_b = terms.by_first[:, 0].reshape(a.shape), terms.by_second.reshape(b.shape)
    return np.stack(
        [
            terms.log_likelihood.reshape(a.shape).sum(axis=1),
            -by_a.sum(axis=1) / sd,
            -by_b.sum(axis=(1, 2)) / sd_other,
            -(by_a * a).sum(axis=1),
            -(by_b * b).sum(axis=(1, 2)),
            terms.by_correlation.reshape(a.shape).sum(axis=1),
        ]
    )


def _score_unknown(pairs: tuple[Array, Array], rows: Rows, first: tuple[Array, Array], second: tuple[Array, Array], rho: Array) -> Array:
    """Value and derivatives (6, r) of pairs of which both members lie between limits."""
    a, b = (
        np.clip((limits[rows] - mean[:, None, None]) / sd[:, None, None], -FAR, FAR)
        for limits, (mean, sd) in zip(pairs, (first, second), strict=True)
    )
    terms = score_unknown_pairs(a.reshape(-1, 2), b.reshape(-1, 2), np.repeat(rho, a.shape[1]))
    by_a, by_b = terms.by_first.reshape(a.shape), terms.by_second.reshape(b.shape)
    shape = a.shape[:2]
    return np.stack(
        [
            terms.log_likelihood.reshape(shape).sum(axis=1),
            -by_a.sum(axis=(1, 2)) / first[1],
            -by_b.sum(axis=(1, 2)) / second[1],
            -(by_a * a).sum(axis=(1, 2)),
            -(by_b * b).sum(axis=(1, 2)),
            terms.by_correlation.reshape(shape).sum(axis=1),
        ]
    )
