"""Paired comparison on logs, and how the paired difference depends on a modifier.

In: one ln value per donor and condition. Out: the mean ln ratio with t inference, or a linear model
of the ln ratios. With complete pairs the interaction of drug and modifier in a mixed model with a
donor intercept *is* the linear model of the within-donor ln ratios, with the same estimate, standard
error, degrees of freedom and p-value (tests/reference: c01, c08, c09, c10), so the simple model is used.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg

from exvivo.numerics.inference import Array, Estimate, JointTest, infer_f, infer_t

_ROUNDING = 1e-13
"""Relative scatter that floating point makes of values that are the same."""


@dataclass(frozen=True, slots=True)
class LinearFit:
    """Ordinary least squares: coefficients (p,), covariance (p, p), residual df and SD."""

    coefficients: Array
    covariance: Array
    df: int
    sd: float

    def contrast(self, weights: ArrayLike, *, level: float = 0.95) -> Estimate:
        """T inference for a weighted sum of the coefficients; weights have shape (p,)."""
        w = np.asarray(weights, dtype=np.float64)
        return infer_t(float(w @ self.coefficients), float(np.sqrt(w @ self.covariance @ w)), self.df, level=level)

    def joint(self, weights: ArrayLike) -> JointTest:
        """F test that all rows of `weights`, shape (q, p) with independent rows, give zero."""
        L = np.atleast_2d(np.asarray(weights, dtype=np.float64))
        value = L @ self.coefficients
        if self.sd == 0:
            return infer_f(float("inf") if value.any() else 0.0, len(L), self.df)
        quadratic = float(value @ linalg.solve(L @ self.covariance @ L.T, value, assume_a="pos"))
        return infer_f(quadratic / len(L), len(L), self.df)


def fit_paired(log_drug: ArrayLike, log_comparator: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Mean within-donor ln ratio with the paired t test.

    Parameters
    ----------
    log_drug, log_comparator : shape (n_donors,), natural logs, same donor at the same place, all finite

    Raises
    ------
    ValueError : fewer than two pairs, unequal lengths, or values that are not finite

    Notes
    -----
    exp(estimate) is the ratio of geometric means. Reference: R ``t.test(paired = TRUE)``, case c01.

    Examples
    --------
    >>> fit_paired([1.0, 2.0, 3.0], [0.0, 1.0, 1.0]).estimate.__round__(6)
    1.333333
    """
    drug, comparator = _finite(log_drug), _finite(log_comparator)
    if drug.shape != comparator.shape:
        raise ValueError(f"{drug.size} drug values cannot be paired with {comparator.size} comparator values")
    return fit_mean(drug - comparator, level=level)


def fit_mean(values: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Mean of independent values, shape (n,), with the one-sample t test."""
    d = _finite(values)
    if d.size < 2:
        raise ValueError(f"{d.size} value has no standard error; at least 2 are needed")
    sd = 0.0 if np.ptp(d) <= _ROUNDING * np.abs(d).max() else float(d.std(ddof=1))
    return infer_t(float(d.mean()), sd / np.sqrt(d.size), d.size - 1, level=level)


def fit_linear(response: ArrayLike, design: ArrayLike) -> LinearFit:
    """Ordinary least squares of a response, shape (n,), on a design of full rank, shape (n, p).

    Raises
    ------
    ValueError : columns that depend on each other, or no residual degrees of freedom
    """
    y, X = _finite(response), np.asarray(design, dtype=np.float64)
    n, p = X.shape
    if n != y.size or not np.isfinite(X).all():
        raise ValueError(f"a design of {n} finite rows is needed for {y.size} responses")
    if n <= p or np.linalg.matrix_rank(X) < p:
        raise ValueError(f"{n} responses cannot determine {p} coefficients and a variance")
    Q, R = linalg.qr(X, mode="economic")
    coefficients = linalg.solve_triangular(R, Q.T @ y)
    residual = y - X @ coefficients
    size = float(np.abs(y).max())
    if np.abs(residual).max() <= _ROUNDING * size:
        # an exact fit leaves rounding only, which is neither a variance nor a difference of coefficients
        residual = np.zeros_like(residual)
        coefficients = np.round(coefficients / size, 12) * size if size else coefficients
    variance = float(residual @ residual) / (n - p)
    inverse = linalg.solve_triangular(R, np.eye(p))
    return LinearFit(coefficients=coefficients, covariance=variance * inverse @ inverse.T, df=n - p, sd=float(np.sqrt(variance)))


def compare_welch(values: ArrayLike, exposed: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Difference of two means (exposed minus not exposed) without equal variances.

    Parameters
    ----------
    values : shape (n,), within-donor ln ratios
    exposed : shape (n,), True for the donors of the second group; at least two donors in each

    Notes
    -----
    Welch 1947, Biometrika 34:28; df of Welch and Satterthwaite. Reference: R ``t.test``, case c08.
    """
    y, second = _finite(values), np.asarray(exposed, dtype=bool)
    groups = (y[second], y[~second])
    if min(group.size for group in groups) < 2:
        raise ValueError("each of the two groups needs at least 2 values")
    a, b = (group.var(ddof=1) / group.size for group in groups)
    if a + b == 0:
        return infer_t(float(groups[0].mean() - groups[1].mean()), 0.0, y.size - 2, level=level)
    df = (a + b) ** 2 / (a**2 / (groups[0].size - 1) + b**2 / (groups[1].size - 1))
    return infer_t(float(groups[0].mean() - groups[1].mean()), float(np.sqrt(a + b)), float(df), level=level)


def design_slope(modifier: ArrayLike, *, per: float = 1.0) -> Array:
    """Design (n, 2) of a binary (0/1) or continuous modifier: mean effect, and change per `per` units.

    A continuous modifier is centred, so that the first coefficient is the effect at its mean.
    """
    x = _finite(modifier)
    centre = 0.0 if np.isin(x, (0.0, 1.0)).all() else float(x.mean())
    return np.column_stack([np.ones_like(x), (x - centre) / per])


def design_levels(labels: Sequence[str], levels: Sequence[str]) -> Array:
    """Design (n, k) with one column of indicators per level: each coefficient is the effect in that level.

    Raises
    ------
    ValueError : a label that is no level
    """
    unknown = sorted(set(labels) - set(levels))
    if unknown:
        raise ValueError(f"labels without a level: {', '.join(unknown)}")
    return np.array([[label == level for level in levels] for label in labels], dtype=np.float64)


def differences_of_levels(count: int) -> Array:
    """Contrasts (count - 1, count) of every level with the first; with `LinearFit.joint` the test that all are equal."""
    identity: NDArray[np.float64] = np.eye(count - 1)
    return np.column_stack([-np.ones(count - 1), identity])


def _finite(values: ArrayLike) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise ValueError("a one-dimensional array of finite values is needed; missing values are left out before")
    return array
