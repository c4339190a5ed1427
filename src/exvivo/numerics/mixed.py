"""Linear mixed models for small studies: REML, Satterthwaite and Kenward-Roger inference.

In: a response (n,), a fixed design (n, p) and random terms, each one indicator (or loading) matrix (n, q_k) or several
that are correlated within groups; crossed or nested in any way. Out: variance components, fixed effects, predictions of
the random effects, and t or F inference for contrasts. Covariances are linear in the components,
V = s2 I + sum_k s2_k Z_k Z_k' (+ covariances between the factors of a term); `reml` finds them.

Inference. Satterthwaite uses the observed information of the parameters that are not on the boundary, which is what
lmerTest reports; for correlated terms they are the entries of the triangle L of the relative covariance, as in lme4.
Kenward-Roger uses the expected information of all components, as pbkrtest does, so that a donor variance estimated as
zero still costs its degrees of freedom (case c28: 7, not 14).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg

from exvivo.numerics import reml
from exvivo.numerics.inference import Array, Estimate, JointTest, infer_f, infer_t


class DegreesOfFreedom(StrEnum):
    """How the denominator degrees of freedom are approximated."""

    KENWARD_ROGER = "kenward-roger"
    SATTERTHWAITE = "satterthwaite"


@dataclass(frozen=True, slots=True, eq=False)
class Correlated:
    """Factors of one random term, each (n, q) with a column per group, such as an intercept and a slope of each donor."""

    factors: tuple[Array, ...]


@dataclass(frozen=True, slots=True)
class MixedFit:
    """REML fit of a linear mixed model.

    Attributes
    ----------
    coefficients : shape (p,), fixed effects
    covariance : shape (p, p), model covariance of the fixed effects
    covariance_adjusted : shape (p, p), Kenward and Roger's covariance
    variances : shape (m + 1,), the components in the order given, the residual last; a correlated term gives the
        variances of its d factors, then the covariances (1, 2), (1, 3), ..., (d - 1, d)
    at_zero : shape (m,), components estimated as zero
    criterion : -2 times the restricted log-likelihood (as lme4 prints it)
    slopes : shape (m + 1, p, p), derivatives of `covariance` by the components
    observed, expected : shape (m + 1, m + 1), covariance of the components by either information
    random : for each factor the best linear unbiased predictions of its effects, shape (q_k,)
    singular : whether some variance, or some direction of a correlated term, is (nearly) zero, as lme4 tells it
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
    random: tuple[Array, ...]
    singular: bool

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


def fit_mixed(response: ArrayLike, design: ArrayLike, components: Sequence[ArrayLike | Correlated]) -> MixedFit:
    """REML fit of a linear mixed model.

    Parameters
    ----------
    response : shape (n,), finite
    design : shape (n, p), full rank, p < n
    components : for each random term its matrix Z of shape (n, q_k), a row of zeros leaves that observation out of it; or
        several matrices whose effects are correlated within groups

    Raises
    ------
    ValueError : shapes that do not fit, a design that is not of full rank, or no residual degrees of freedom

    Notes
    -----
    Patterson and Thompson 1971, Biometrika 58:545; Kenward and Roger 1997, Biometrics 53:983;
    Fai and Cornelius 1996, J Stat Comput Simul 54:363 (joint Satterthwaite test).
    Reference: lme4 1.1-31, lmerTest 3.1-3, pbkrtest 0.5.2, cases c04 to c11, c28, k01 to k05.
    """
    y, X = np.asarray(response, dtype=np.float64), np.asarray(design, dtype=np.float64)
    terms = [own.factors if isinstance(own, Correlated) else (np.asarray(own, dtype=np.float64),) for own in components]
    given = [Z for factors in terms for Z in factors]
    _check(y, X, given)
    sizes = [_size(Z) for Z in given]
    Zs = [Z / size for Z, size in zip(given, sizes, strict=True)]
    shape = reml.shape_terms([len(factors) for factors in terms])
    contrasts = reml.project(y, X, Zs, shape)
    if contrasts.yy <= 1e-20 * float(y @ y):
        raise ValueError("the response does not vary around the fixed effects; no variance can be estimated")
    return _rescale(_describe(y, X, Zs, contrasts, reml.maximise(contrasts)), shape, sizes)


def indicate(labels: Sequence[str], *, where: ArrayLike | None = None) -> Array:
    """Matrix Z (n, q) of a random intercept: one column per label; rows where `where` is 0 are zero."""
    groups = sorted(set(labels))
    Z = np.array([[label == group for group in groups] for label in labels], dtype=np.float64)
    return Z if where is None else Z * np.asarray(where, dtype=np.float64)[:, None]


def _check(y: Array, X: Array, Zs: Sequence[Array]) -> None:
    if y.ndim != 1 or X.ndim != 2 or len(X) != y.size or any(Z.ndim != 2 or len(Z) != y.size for Z in Zs):
        raise ValueError("response (n,), design (n, p) and components (n, q) must have the same number of rows")
    if not all(np.isfinite(array).all() for array in (y, X, *Zs)):
        raise ValueError("finite values are needed; missing observations are left out before")
    if len(X) <= X.shape[1] or np.linalg.matrix_rank(X) < X.shape[1]:
        raise ValueError(f"{len(X)} observations cannot determine {X.shape[1]} fixed effects and a variance")


def _size(Z: Array) -> float:
    """Root mean square of the rows that load on a factor; the search and the inverses run at size one."""
    norms = (Z**2).sum(axis=1)
    return float(np.sqrt(norms[norms > 0].mean())) if norms.any() else 1.0


def _describe(y: Array, X: Array, Zs: Sequence[Array], c: reml.Contrasts, x: Array) -> MixedFit:
    """Fixed effects and everything that inference needs."""
    at_maximum = reml.whiten(c, x)
    residual = at_maximum.total / c.count
    relative = c.shape.relative(x)
    factors = [*Zs, np.eye(y.size)]
    components = (*c.shape.components, ((len(Zs), len(Zs)),))
    variances = np.append(relative, 1.0) * residual
    pairs = [(s2, a, b) for s2, own in zip(variances, components, strict=True) for a, b in own]
    V = sum((s2 * factors[a] @ factors[b].T for s2, a, b in pairs), np.zeros((y.size, y.size)))
    W = linalg.cho_solve(linalg.cho_factor(V, lower=True), np.eye(y.size))
    WX = W @ X
    covariance = linalg.inv(X.T @ WX)
    P = W - WX @ covariance @ WX.T
    observed, expected = _component_covariances(P, factors, y, _Maximum(c.shape, x, residual, components))
    U = [Z.T @ WX for Z in factors]
    moves = np.array([sum((U[a].T @ U[b] for a, b in own), np.zeros_like(covariance)) for own in components])
    return MixedFit(
        coefficients=covariance @ (WX.T @ y),
        covariance=covariance,
        covariance_adjusted=_adjust_covariance(covariance, moves, _crossed_moves(U, W, factors, components), expected),
        variances=variances,
        at_zero=relative == 0,
        criterion=at_maximum.log_det + c.constant + c.count * (1 + float(np.log(2 * np.pi * residual))),
        slopes=np.array([covariance @ move @ covariance for move in moves]),
        observed=observed,
        expected=expected,
        random=_predict(P @ y, Zs, pairs),
        singular=reml.is_singular(x, c.shape),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Maximum:
    """Where the restricted likelihood is largest: parameters, residual variance, components with the residual last."""

    shape: reml.Shape
    x: Array
    residual: float
    components: tuple[reml.Pairs, ...]


def _component_covariances(P: Array, factors: Sequence[Array], y: Array, best: _Maximum) -> tuple[Array, Array]:
    """Covariance of the estimated components by the observed (boundary left out) and by the expected information."""
    stacked = np.hstack(list(factors))
    blocks = reml.columns_of(factors)
    w = reml.Whitened(stacked.T @ P @ stacked, stacked.T @ (P @ y), float(y @ P @ y), 0.0)
    traces, products = reml.second_terms(w, blocks, best.components)
    singles, squares = reml.first_terms(w, blocks, best.components)
    J = np.zeros((len(best.components), best.x.size + 1))
    J[:-1, :-1] = best.residual * best.shape.jacobian(best.x)
    J[:, -1] = np.append(best.shape.relative(best.x), 1.0)
    information = J.T @ (products - 0.5 * traces) @ J
    slope = 0.5 * (singles - squares)[:-1]
    information[:-1, :-1] += best.residual * np.tensordot(slope, best.shape.bends, axes=1)
    free = np.append(reml.free_parameters(best.x, best.shape), True)
    spread = linalg.pinvh(information[np.ix_(free, free)])
    return np.asarray(J[:, free] @ spread @ J[:, free].T, dtype=np.float64), np.asarray(2 * linalg.pinvh(traces), dtype=np.float64)


def _crossed_moves(U: Sequence[Array], W: Array, factors: Sequence[Array], components: Sequence[reml.Pairs]) -> Array:
    """X'W V_k W V_l W X of every two components, shape (m + 1, m + 1, p, p)."""
    between = [[Z.T @ W @ other for other in factors] for Z in factors]
    size, p = len(components), U[0].shape[1]
    crossed = np.zeros((size, size, p, p))
    for k, left in enumerate(components):
        for m, right in enumerate(components):
            for a, b in left:
                for c, d in right:
                    crossed[k, m] += U[a].T @ between[b][c] @ U[d]
    return crossed


def _adjust_covariance(covariance: Array, moves: Array, crossed: Array, weights: Array) -> Array:
    """Kenward and Roger's covariance of the fixed effects for V that is linear in its components.

    `moves` are -P_i and `crossed` Q_ij in the notation of their equation (3).
    """
    products = np.einsum("kab,bc,mcd->kmad", moves, covariance, moves)
    middle = np.einsum("km,kmab->ab", weights, crossed - products)
    return np.asarray(covariance + 2 * covariance @ middle @ covariance, dtype=np.float64)


def _predict(Py: Array, Zs: Sequence[Array], pairs: Sequence[tuple[float, int, int]]) -> tuple[Array, ...]:
    """Best linear unbiased predictions of the random effects of each factor."""
    predicted = [np.zeros(Z.shape[1]) for Z in Zs]
    for s2, a, b in pairs:
        if a < len(Zs):
            predicted[a] += s2 * (Zs[b].T @ Py)
    return tuple(predicted)


def _rescale(fit: MixedFit, shape: reml.Shape, sizes: Sequence[float]) -> MixedFit:
    """The fit in the units of the factors as they were given."""
    if all(size == 1 for size in sizes):
        return fit
    unit = np.array([*(sizes[own[0][0]] * sizes[own[0][1]] for own in shape.components), 1.0])
    return replace(
        fit,
        variances=fit.variances / unit,
        slopes=fit.slopes * unit[:, None, None],
        observed=fit.observed / np.outer(unit, unit),
        expected=fit.expected / np.outer(unit, unit),
        random=tuple(effects / size for effects, size in zip(fit.random, sizes, strict=True)),
    )


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
