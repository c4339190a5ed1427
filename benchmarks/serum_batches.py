"""Thousands of REML fits of one design at once, with Kenward-Roger inference for the last coefficient.

For simulation only: the numbers are those of `exvivo.numerics.mixed`, which `serum_calibration.py` checks in every cell.
Fisher scoring on the relative variances, all data sets together, in the crossproducts of the random factors; a data set
that has not settled is fitted by `fit_mixed` itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exvivo.numerics.inference import Array
from exvivo.numerics.mixed import fit_mixed

ROUNDS, LARGEST = 60, 1e4


@dataclass(frozen=True, slots=True)
class Inferences:
    """Estimate, and standard error and df of the model with every component and of that without components at zero; each (r,)."""

    estimate: Array
    se: Array
    df: Array
    se_reduced: Array
    df_reduced: Array
    at_zero: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Free:
    """Error contrasts of all data sets: Z'Z (q, q), Z'y (r, q), y'y (r,), their number, the component of each column."""

    ZZ: Array
    Zy: Array
    yy: Array
    count: int
    member: Array


def fit_batch(Y: Array, X: Array, Zs: Sequence[Array]) -> Inferences:
    """REML fits of every row of `Y` (r, n) on X (n, p) with random factors."""
    Z = np.hstack(list(Zs))
    member = np.repeat(np.eye(len(Zs)), [part.shape[1] for part in Zs], axis=0)
    Q = np.linalg.qr(X)[0]
    free_Y, free_Z = Y - Y @ Q @ Q.T, Z - Q @ (Q.T @ Z)
    free = _Free(free_Z.T @ free_Z, free_Y @ free_Z, (free_Y**2).sum(axis=1), len(X) - X.shape[1], member)
    relative, settled = _maximise(free)
    found = _infer(Y, X, Z, free, relative)
    for i in np.flatnonzero(~settled):
        fit = fit_mixed(Y[i], X, Zs)
        relative[i] = np.where(fit.at_zero, 0.0, fit.variances[:-1] / fit.variances[-1])
    return _infer(Y, X, Z, free, relative) if not settled.all() else found


def _whiten(free: _Free, relative: Array) -> tuple[Array, Array, Array, Array]:
    root = np.sqrt(relative @ free.member.T)
    A = np.eye(root.shape[1]) + root[:, :, None] * free.ZZ * root[:, None, :]
    right = np.concatenate([root[:, :, None] * free.ZZ, (root * free.Zy)[:, :, None]], axis=2)
    solved = root[:, :, None] * np.linalg.solve(A, right)
    ZPZ = free.ZZ - free.ZZ @ solved[:, :, :-1]
    ZPy = free.Zy - (free.ZZ @ solved[:, :, -1:])[:, :, 0]
    return ZPZ, ZPy, free.yy - np.einsum("rq,rq->r", free.Zy, solved[:, :, -1]), np.linalg.slogdet(A)[1]


def _criterion(free: _Free, relative: Array) -> tuple[Array, Array, Array]:
    """Criterion, gradient and expected curvature of every data set."""
    ZPZ, ZPy, yPy, log_det = _whiten(free, relative)
    m = free.member
    traces = np.einsum("rqq,qk->rk", ZPZ, m)
    gradient = traces - free.count * (ZPy**2 @ m) / yPy[:, None]
    curvature = np.einsum("qk,rqs,sl->rkl", m, ZPZ**2, m) - traces[:, :, None] * traces[:, None, :] / free.count
    return log_det + free.count * np.log(yPy), gradient, curvature


def _maximise(free: _Free) -> tuple[Array, NDArray[np.bool_]]:
    r, m = len(free.yy), free.member.shape[1]
    relative, settled = np.full((r, m), 0.3), np.zeros(r, dtype=bool)
    active = np.arange(r)
    for _ in range(ROUNDS):
        part = _Free(free.ZZ, free.Zy[active], free.yy[active], free.count, free.member)
        at = relative[active]
        value, gradient, curvature = _criterion(part, at)
        held = (at <= 0) & (gradient > 0)
        done = np.all(held | (np.abs(gradient) * (1 + at) < 1e-6), axis=1)
        settled[active[done]] = True
        if done.all():
            break
        gradient = np.where(held, 0.0, gradient)
        curvature = np.where(held[:, :, None] | held[:, None, :], np.eye(m), curvature)
        step = np.linalg.solve(curvature, gradient[:, :, None])[:, :, 0]
        length = np.ones(len(active))
        for _ in range(12):
            trial = np.clip(at - length[:, None] * step, 0.0, LARGEST)
            worse = ~(_criterion(part, trial)[0] <= value + 1e-10)
            if not worse.any():
                break
            length = np.where(worse, length / 2, length)
        relative[active] = np.where(worse[:, None], at, trial)
        active = active[~done]
    return relative, settled


def _infer(Y: Array, X: Array, Z: Array, free: _Free, relative: Array) -> Inferences:
    ZPZ, _, yPy, _ = _whiten(free, relative)
    m = free.member
    scale = yPy / free.count
    root = np.sqrt(relative @ m.T)
    A = np.eye(root.shape[1]) + root[:, :, None] * (Z.T @ Z) * root[:, None, :]
    inner = root[:, :, None] * np.linalg.solve(A, root[:, :, None] * np.hstack([Z.T @ X, Z.T @ Z]))
    p = X.shape[1]
    B = Z.T @ X - (Z.T @ Z) @ inner[:, :, :p]
    M = Z.T @ Z - (Z.T @ Z) @ inner[:, :, p:]
    XWX = X.T @ X - (X.T @ Z) @ inner[:, :, :p]
    covariance = np.linalg.inv(XWX)
    weighted = Y @ X - np.einsum("rq,rqp->rp", Y @ Z, inner[:, :, :p])
    estimate = np.einsum("rkp,rp->rk", covariance, weighted)[:, -1]
    singles = np.einsum("rqa,qk,rqb->rkab", B, m, B)
    doubles = np.einsum("rqa,qk,rqs,sl,rsb->rklab", B, m, M, m, B, optimize=True)
    traces = np.einsum("qk,rqs,sl->rkl", m, ZPZ**2, m)
    own = np.einsum("rqq,qk->rk", ZPZ, m)
    T, S, D = _with_residual(relative, (traces, own, free.count), singles, doubles, XWX)
    full = _kenward_roger(covariance, T, S, D, np.ones(T.shape[:2], dtype=bool))
    zero = relative <= 0
    kept = np.concatenate([~zero, np.ones((len(zero), 1), dtype=bool)], axis=1)
    reduced = _kenward_roger(covariance, T, S, D, kept)
    unit = np.sqrt(scale)
    return Inferences(estimate, full[0] * unit, full[1], reduced[0] * unit, reduced[1], zero)


def _with_residual(
    g: Array, information: tuple[Array, Array, int], singles: Array, doubles: Array, XWX: Array
) -> tuple[Array, Array, Array]:
    """Traces, X'W V_i W X and X'W V_i W V_j W X with the residual as last component, from V = sum g_k V_k + I."""
    traces, own, count = information
    across = own - np.einsum("rkl,rl->rk", traces, g)
    last = count - 2 * np.einsum("rk,rk->r", across, g) - np.einsum("rk,rkl,rl->r", g, traces, g)
    T = np.concatenate(
        [np.concatenate([traces, across[:, :, None]], axis=2), np.concatenate([across, last[:, None]], axis=1)[:, None]], axis=1
    )
    residual = XWX - np.einsum("rk,rkab->rab", g, singles)
    S = np.concatenate([singles, residual[:, None]], axis=1)
    right = singles - np.einsum("rl,rklab->rkab", g, doubles)
    corner = residual - np.einsum("rk,rkab->rab", g, np.swapaxes(right, 2, 3))
    top = np.concatenate([doubles, right[:, :, None]], axis=2)
    bottom = np.concatenate([np.swapaxes(right, 2, 3), corner[:, None]], axis=1)[:, None]
    return T, S, np.concatenate([top, bottom], axis=1)


def _kenward_roger(covariance: Array, T: Array, S: Array, D: Array, kept: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Standard error and df of the last coefficient at unit residual variance."""
    both = kept[:, :, None] & kept[:, None, :]
    weights = 2 * np.linalg.pinv(np.where(both, T, 0.0), hermitian=True)
    gradient = np.einsum("rab,rkbc,rcd->rkad", covariance, S, covariance)[:, :, -1, -1]
    products = D - np.einsum("riab,rbc,rjcd->rijad", S, covariance, S)
    middle = np.einsum("rij,rijab->rab", weights, products)
    adjusted = covariance + 2 * covariance @ middle @ covariance
    df = 2 * covariance[:, -1, -1] ** 2 / np.einsum("ri,rij,rj->r", gradient, weights, gradient)
    variance = adjusted[:, -1, -1]
    return np.sqrt(np.where(variance > 0, variance, np.nan)), df
