"""Linear mixed models for small studies: REML, Satterthwaite and Kenward-Roger inference.

In: a response (n,), a fixed design (n, p) and one indicator (or loading) matrix (n, q_k) per variance
component, crossed or nested in any way. Out: variance components, fixed effects, and t or F inference for
their contrasts. Covariances are linear in the components, V = s2 I + sum_k s2_k Z_k Z_k'.

Estimation. The response is first projected on the complement of the fixed design (error contrasts), which
turns REML into plain maximum likelihood; s2 is profiled out; the criterion, its gradient and its curvature by
the relative variances g_k = s2_k / s2 need only the q x q matrix of crossproducts. L-BFGS-B from several
starts keeps g_k >= 0 and finds the region, Newton steps over the components that are not zero finish.

Inference. Satterthwaite uses the observed information of the components that are not on the boundary, which
is what lmerTest reports; Kenward-Roger uses the expected information of all components, as pbkrtest does, so
that a donor variance estimated as zero still costs its degrees of freedom (case c28: 7, not 14).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg, optimize

from exvivo.numerics.inference import Array, Estimate, JointTest, infer_f, infer_t

_STARTS = (1.0, 0.05, 20.0)  # relative variances from which the search begins
_NEWTON_STEPS = 20
_ZERO = 1e-9  # a relative variance below this is on the boundary


class DegreesOfFreedom(StrEnum):
    """How the denominator degrees of freedom are approximated."""

    KENWARD_ROGER = "kenward-roger"
    SATTERTHWAITE = "satterthwaite"


@dataclass(frozen=True, slots=True)
class MixedFit:
    """REML fit of a linear mixed model.

    Attributes
    ----------
    coefficients : shape (p,), fixed effects
    covariance : shape (p, p), model covariance of the fixed effects
    covariance_adjusted : shape (p, p), Kenward and Roger's covariance
    variances : shape (m + 1,), the components in the order given, the residual last
    at_zero : shape (m,), components estimated on the boundary
    criterion : -2 times the restricted log-likelihood (as lme4 prints it)
    slopes : shape (m + 1, p, p), derivatives of `covariance` by the components
    observed, expected : shape (m + 1, m + 1), covariance of the components by either information
    """

    coefficients: Array
    covariance: Array
    covariance_adjusted: Array
    variances: Array
    at_zero: NDArray[np.bool_]
    criterion: float
    slopes: Array
    observed: Array
    expected: Array

    def contrast(self, weights: ArrayLike, *, method: DegreesOfFreedom = DegreesOfFreedom.KENWARD_ROGER, level: float = 0.95) -> Estimate:
        """T inference for a weighted sum of the fixed effects; weights have shape (p,)."""
        w = np.asarray(weights, dtype=np.float64)
        kenward = method is DegreesOfFreedom.KENWARD_ROGER
        variance = float(w @ self.covariance @ w)
        gradient = np.einsum("i,kij,j->k", w, self.slopes, w)
        spread = float(gradient @ (self.expected if kenward else self.observed) @ gradient)
        if not spread > 0:
            raise ValueError("the variance components leave the contrast no degrees of freedom")
        df = 2 * variance**2 / spread
        reported = float(w @ self.covariance_adjusted @ w) if kenward else variance
        return infer_t(float(w @ self.coefficients), float(np.sqrt(reported)), df, level=level)

    def joint(self, weights: ArrayLike, *, method: DegreesOfFreedom = DegreesOfFreedom.KENWARD_ROGER) -> JointTest:
        """F test that all rows of `weights`, shape (q, p) with independent rows, give zero."""
        L = np.atleast_2d(np.asarray(weights, dtype=np.float64))
        return _JOINT[method](self, L)


def fit_mixed(response: ArrayLike, design: ArrayLike, components: Sequence[ArrayLike]) -> MixedFit:
    """REML fit of a linear mixed model.

    Parameters
    ----------
    response : shape (n,), finite
    design : shape (n, p), full rank, p < n
    components : for each variance component its matrix Z of shape (n, q_k); a row of zeros leaves that observation out of it

    Raises
    ------
    ValueError : shapes that do not fit, a design that is not of full rank, or no residual degrees of freedom

    Notes
    -----
    Patterson and Thompson 1971, Biometrika 58:545; Kenward and Roger 1997, Biometrics 53:983;
    Fai and Cornelius 1996, J Stat Comput Simul 54:363 (joint Satterthwaite test).
    Reference: lme4 1.1-31, lmerTest 3.1-3, pbkrtest 0.5.2, cases c04 to c11, c28, k01, k04.
    """
    y, X = np.asarray(response, dtype=np.float64), np.asarray(design, dtype=np.float64)
    Zs = [np.asarray(Z, dtype=np.float64) for Z in components]
    _check(y, X, Zs)
    contrasts = _project(y, X, Zs)
    if contrasts.yy <= 1e-20 * float(y @ y):
        raise ValueError("the response does not vary around the fixed effects; no variance can be estimated")
    relative = _estimate_relative(contrasts)
    return _describe(y, X, Zs, contrasts, relative)


def indicate(labels: Sequence[str], *, where: ArrayLike | None = None) -> Array:
    """Matrix Z (n, q) of a random intercept: one column per label; rows where `where` is 0 are zero."""
    groups = sorted(set(labels))
    Z = np.array([[label == group for group in groups] for label in labels], dtype=np.float64)
    return Z if where is None else Z * np.asarray(where, dtype=np.float64)[:, None]


@dataclass(frozen=True, slots=True)
class _Contrasts:
    """Crossproducts of the error contrasts: Z'Z (q, q), Z'y (q,), y'y, their number, and the columns of each component."""

    ZZ: Array
    Zy: Array
    yy: float
    count: int
    blocks: list[slice]
    constant: float


def _check(y: Array, X: Array, Zs: Sequence[Array]) -> None:
    if y.ndim != 1 or X.ndim != 2 or len(X) != y.size or any(Z.ndim != 2 or len(Z) != y.size for Z in Zs):
        raise ValueError("response (n,), design (n, p) and components (n, q) must have the same number of rows")
    if not all(np.isfinite(array).all() for array in (y, X, *Zs)):
        raise ValueError("finite values are needed; missing observations are left out before")
    if len(X) <= X.shape[1] or np.linalg.matrix_rank(X) < X.shape[1]:
        raise ValueError(f"{len(X)} observations cannot determine {X.shape[1]} fixed effects and a variance")


def _project(y: Array, X: Array, Zs: Sequence[Array]) -> _Contrasts:
    Q, R = linalg.qr(X, mode="economic")
    Z = np.hstack([np.zeros((y.size, 0)), *Zs])
    free_y, free_Z = y - Q @ (Q.T @ y), Z - Q @ (Q.T @ Z)
    return _Contrasts(
        ZZ=free_Z.T @ free_Z,
        Zy=free_Z.T @ free_y,
        yy=float(free_y @ free_y),
        count=y.size - X.shape[1],
        blocks=_blocks(Zs),
        constant=2 * float(np.log(np.abs(np.diag(R))).sum()),
    )


def _blocks(matrices: Sequence[Array]) -> list[slice]:
    """Columns that each matrix takes when all stand side by side."""
    edges = np.cumsum([0, *(Z.shape[1] for Z in matrices)]).tolist()
    return [slice(start, stop) for start, stop in pairwise(edges)]


def _whiten(c: _Contrasts, relative: Array) -> tuple[Array, Array, float, float]:
    """Z'P Z, Z'P y, y'P y and ln|V| of the error contrasts at unit residual variance."""
    root = np.sqrt(np.repeat(relative, [block.stop - block.start for block in c.blocks]))
    L = linalg.cholesky(np.eye(root.size) + root[:, None] * c.ZZ * root, lower=True)
    half_Z = linalg.solve_triangular(L, root[:, None] * c.ZZ, lower=True)
    half_y = linalg.solve_triangular(L, root * c.Zy, lower=True)
    log_det = 2 * float(np.log(np.diag(L)).sum())
    return c.ZZ - half_Z.T @ half_Z, c.Zy - half_Z.T @ half_y, c.yy - float(half_y @ half_y), log_det


def _criterion(relative: Array, c: _Contrasts) -> tuple[float, Array]:
    """-2 profiled restricted log-likelihood without constants, and its gradient by the relative variances."""
    ZPZ, ZPy, yPy, log_det = _whiten(c, relative)
    traces = np.array([np.trace(ZPZ[block, block]) for block in c.blocks])
    squares = np.array([ZPy[block] @ ZPy[block] for block in c.blocks])
    return log_det + c.count * float(np.log(yPy)), np.asarray(traces - c.count * squares / yPy, dtype=np.float64)


def _curvature(relative: Array, c: _Contrasts) -> Array:
    """Second derivatives of the criterion by the relative variances."""
    ZPZ, ZPy, yPy, _ = _whiten(c, relative)
    squares = np.array([ZPy[block] @ ZPy[block] for block in c.blocks])
    traces, products = _pair_terms(ZPZ, ZPy, c.blocks)
    return np.asarray(-traces + c.count * (2 * products / yPy - np.outer(squares, squares) / yPy**2), dtype=np.float64)


def _pair_terms(ZPZ: Array, ZPy: Array, blocks: Sequence[slice]) -> tuple[Array, Array]:
    """tr(P V_k P V_l) and y'P V_k P V_l P y for every pair of components."""
    traces = np.array([[(ZPZ[k, m] ** 2).sum() for m in blocks] for k in blocks]).reshape(len(blocks), len(blocks))
    products = np.array([[ZPy[k] @ ZPZ[k, m] @ ZPy[m] for m in blocks] for k in blocks]).reshape(len(blocks), len(blocks))
    return traces, products


def _estimate_relative(c: _Contrasts) -> Array:
    """Relative variances at the REML maximum, exactly zero on the boundary."""
    size = len(c.blocks)
    if not size:
        return np.zeros(0)
    found = [
        optimize.minimize(
            _criterion,
            np.full(size, start),
            args=(c,),
            jac=True,
            method="L-BFGS-B",
            bounds=[(0.0, 1e8)] * size,
            options={"ftol": 1e-13, "gtol": 1e-9, "maxiter": 300},
        )
        for start in _STARTS
    ]
    best = min(found, key=lambda result: float(result.fun))
    return _polish(np.where(best.x < _ZERO, 0.0, best.x), c)


def _polish(relative: Array, c: _Contrasts) -> Array:
    """Newton steps over the components that are not on the boundary, halved until they do not climb."""
    inside = relative > 0
    for _ in range(_NEWTON_STEPS if inside.any() else 0):
        value, gradient = _criterion(relative, c)
        hessian = _curvature(relative, c)[np.ix_(inside, inside)]
        if np.linalg.eigvalsh(hessian).min() <= 0:
            break
        step = np.zeros_like(relative)
        step[inside] = np.linalg.solve(hessian, gradient[inside])
        while (relative - step).min() < 0 or _criterion(relative - step, c)[0] > value + 1e-12 * abs(value):
            step *= 0.5
        relative = relative - step
        if np.abs(step).max() <= 1e-13 * max(1.0, float(relative.max())):
            break
    return relative


def _describe(y: Array, X: Array, Zs: Sequence[Array], c: _Contrasts, relative: Array) -> MixedFit:
    """Fixed effects and everything that inference needs, on the scale of the response."""
    _, _, yPy, log_det = _whiten(c, relative)
    residual = yPy / c.count
    factors = [*Zs, np.eye(y.size)]
    variances = np.append(relative, 1.0) * residual
    V = sum((s2 * Z @ Z.T for s2, Z in zip(variances, factors, strict=True)), np.zeros((y.size, y.size)))
    W = linalg.cho_solve(linalg.cho_factor(V, lower=True), np.eye(y.size))
    WX = W @ X
    covariance = linalg.inv(X.T @ WX)
    P = W - WX @ covariance @ WX.T
    observed, expected = _component_covariances(P, factors, y, np.append(relative == 0, False))
    U = [Z.T @ WX for Z in factors]
    return MixedFit(
        coefficients=covariance @ (WX.T @ y),
        covariance=covariance,
        covariance_adjusted=_adjust_covariance(covariance, U, [[Z.T @ W @ other for other in factors] for Z in factors], expected),
        variances=variances,
        at_zero=relative == 0,
        criterion=log_det + c.constant + c.count * (1 + float(np.log(2 * np.pi * residual))),
        slopes=np.array([covariance @ (u.T @ u) @ covariance for u in U]),
        observed=observed,
        expected=expected,
    )


def _component_covariances(P: Array, factors: Sequence[Array], y: Array, at_zero: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Covariance of the estimated components by the observed (boundary left out) and by the expected information."""
    stacked = np.hstack(list(factors))
    traces, products = _pair_terms(stacked.T @ P @ stacked, stacked.T @ (P @ y), _blocks(factors))
    free = np.ix_(~at_zero, ~at_zero)
    observed = np.zeros_like(traces)
    observed[free] = linalg.pinvh(products[free] - 0.5 * traces[free])
    return observed, np.asarray(2 * linalg.pinvh(traces), dtype=np.float64)


def _adjust_covariance(covariance: Array, U: Sequence[Array], ZWZ: Sequence[Sequence[Array]], weights: Array) -> Array:
    """Kenward and Roger's covariance of the fixed effects for V that is linear in its components.

    With U_i = Z_i' W X: P_i = -U_i' U_i and Q_ij = U_i' Z_i' W Z_j U_j in the notation of their equation (3).
    """
    middle = np.zeros_like(covariance)
    for i, u in enumerate(U):
        for j, v in enumerate(U):
            middle += weights[i, j] * (u.T @ ZWZ[i][j] @ v - (u.T @ u) @ covariance @ (v.T @ v))
    return np.asarray(covariance + 2 * covariance @ middle @ covariance, dtype=np.float64)


def _join_satterthwaite(fit: MixedFit, L: Array) -> JointTest:
    """Fai and Cornelius: independent t statistics, their dfs combined so that the mean of F agrees."""
    values, vectors = linalg.eigh(L @ fit.covariance @ L.T)
    rows = vectors.T @ L
    F = float(((rows @ fit.coefficients) ** 2 / values).mean())
    dfs = np.array([fit.contrast(row, method=DegreesOfFreedom.SATTERTHWAITE).df for row in rows])
    if np.ptp(dfs) < 1e-8 * dfs.max():
        return infer_f(F, len(L), float(dfs.mean()))
    if dfs.min() <= 2:
        return infer_f(F, len(L), 2.0)
    total = float((dfs / (dfs - 2)).sum())
    return infer_f(F, len(L), 2 * total / (total - len(L)))


def _join_kenward_roger(fit: MixedFit, L: Array) -> JointTest:
    """Kenward and Roger 1997, equations (4) to (7)."""
    q = len(L)
    theta = L.T @ linalg.solve(L @ fit.covariance @ L.T, L, assume_a="pos")
    single = np.einsum("ab,kba->k", theta, fit.slopes)
    double = np.einsum("ab,kbc,cd,mda->km", theta, fit.slopes, theta, fit.slopes)
    A1, A2 = float(single @ fit.expected @ single), float((fit.expected * double).sum())
    scale, df = _match_f(A1, A2, q)
    value = L @ fit.coefficients
    F = float(value @ linalg.solve(L @ fit.covariance_adjusted @ L.T, value, assume_a="pos")) / q
    return infer_f(scale * F, q, df)


def _match_f(A1: float, A2: float, q: int) -> tuple[float, float]:
    """Scale and denominator df of the F distribution whose first two moments the Wald statistic has."""
    B = (A1 + 6 * A2) / (2 * q)
    g = ((q + 1) * A1 - (q + 4) * A2) / ((q + 2) * A2)
    divisor = 3 * q + 2 * (1 - g)
    c1, c2, c3 = g / divisor, (q - g) / divisor, (q + 2 - g) / divisor
    mean = 1 / (1 - A2 / q)
    variance = 2 / q * (1 + c1 * B) / ((1 - c2 * B) ** 2 * (1 - c3 * B))
    df = 4 + (q + 2) / (q * variance / (2 * mean**2) - 1)
    return df / (mean * (df - 2)), df


_JOINT: dict[DegreesOfFreedom, Callable[[MixedFit, Array], JointTest]] = {
    DegreesOfFreedom.KENWARD_ROGER: _join_kenward_roger,
    DegreesOfFreedom.SATTERTHWAITE: _join_satterthwaite,
}
