"""Levels of a modifier pulled towards their common mean: one-way random effects.

In: the effect of each level with its standard error. Out: the effects as predicted by a model in which levels are draws from one
normal distribution. The variance between levels is estimated by restricted maximum likelihood and may be zero; then all
levels take the common mean.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from exvivo.numerics.inference import Array

_PRECISE = 1e-13


@dataclass(frozen=True, slots=True, eq=False)
class Shrunken:
    """Common mean, variance between levels, and what each level becomes: prediction, standard error and weight of its own data, (k,)."""

    mean: float
    variance: float
    predicted: Array
    se: Array
    weight: Array


def shrink_levels(effects: ArrayLike, se: ArrayLike) -> Shrunken:
    """Best linear unbiased predictions of levels in a one-way random-effects model.

    Parameters
    ----------
    effects, se : shape (k,), effect of each level (ln ratio) and its standard error, k at least 2, errors positive

    Raises
    ------
    ValueError : fewer than two levels, values that are not finite, or an error that is not positive

    Notes
    -----
    With w the weight of a level's own data, between / (between + se²), and m the common mean, a level is predicted as
    w effect + (1 - w) m, with variance w se² + (1 - w)² var(m); the variance between levels counts as known
    (Viechtbauer 2010, J Stat Softw 36(3)). Reference: R metafor ``rma`` and ``blup``, case c09.

    Examples
    --------
    >>> shrink_levels([0.0, 1.0, 2.0], [0.5, 0.5, 0.5]).predicted.round(6).tolist()
    [0.25, 1.0, 1.75]
    """
    y, v = np.asarray(effects, dtype=np.float64), np.asarray(se, dtype=np.float64) ** 2
    if y.ndim != 1 or y.size < 2 or y.shape != v.shape or not (np.isfinite(y).all() and np.isfinite(v).all() and (v > 0).all()):
        raise ValueError("at least two levels with finite effects and positive standard errors are needed")
    between = _between(y, v)
    precision = 1 / (between + v)
    mean = float(precision @ y / precision.sum())
    weight = between * precision
    error = np.sqrt(weight * v + (1 - weight) ** 2 / precision.sum())
    return Shrunken(mean=mean, variance=between, predicted=weight * y + (1 - weight) * mean, se=error, weight=weight)


def _between(y: Array, v: Array) -> float:
    """Variance between levels at the largest maximum of the restricted likelihood; 0 where it only falls."""
    scale = float(np.ptp(y)) ** 2 + float(v.max())
    grid = np.concatenate([[0.0], scale * np.geomspace(1e-8, 10, 100)])
    slopes = _slopes(grid, y, v)
    falls = np.flatnonzero((slopes[:-1] > 0) & (slopes[1:] <= 0))
    tops = [0.0, *(float(brentq(_slope, grid[i], grid[i + 1], args=(y, v), xtol=scale * _PRECISE)) for i in falls)]
    return max(tops, key=lambda t: _log_likelihood(t, y, v))


def _log_likelihood(between: float, y: Array, v: Array) -> float:
    w = 1 / (between + v)
    rest = y - w @ y / w.sum()
    return float(np.log(w).sum() - np.log(w.sum()) - w @ rest**2) / 2


def _slope(between: float, y: Array, v: Array) -> float:
    return float(_slopes(np.array([between]), y, v)[0])


def _slopes(between: Array, y: Array, v: Array) -> Array:
    """Derivative of the restricted log likelihood at several variances between levels, shape (m,)."""
    w = 1 / (between[:, None] + v)
    total = w.sum(axis=1)
    rest = y - (w @ y / total)[:, None]
    slopes: Array = ((w * rest) ** 2).sum(axis=1) / 2 - total / 2 + (w**2).sum(axis=1) / total / 2
    return slopes
