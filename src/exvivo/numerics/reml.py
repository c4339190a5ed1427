"""Restricted likelihood of a linear mixed model: from random terms to their relative variances and covariances.

In: a response, a fixed design and random terms, each a tuple of loading matrices (n, q) whose columns belong to the same
groups. Out: the parameters in which the restricted likelihood is largest, and the pieces that inference needs.

A term with one factor has a variance g >= 0 relative to the residual. A term with d factors has a relative covariance
M = L L', positive semidefinite for every lower triangle L, so that a correlation of one or a slope without variance are
ordinary points of the search. V / s2 = I + sum of M_ab Z_a Z_b' is linear in the entries of M: criterion, gradient and
curvature are written for them and carried to L by the chain rule, which is exact because M is quadratic in L.

Variances: Newton's steps from several starts at once, projected on what is not negative, down to rounding. Triangles: L-BFGS-B from
several starts finds the region; those that end near the boundary are put on it; Newton's steps over what is free finish.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize

from exvivo.numerics.ascent import keep_free, largest, step_within
from exvivo.numerics.inference import Array

Pairs = tuple[tuple[int, int], ...]

_STARTS = (1.0, 0.05, 20.0)  # relative variances from which the search begins
_NEWTON_STEPS = 20
_MOST_STEPS = 60
_LARGEST = 1e10
_FARTHEST = 10.0  # times one plus a relative variance, in one step
_SMALL = 1e-3  # a relative variance below this may become zero in one step
_NEAR = 0.01  # steps are measured in units of a relative variance plus this
_FLAT = 1e-11  # of the criterion; no step is worth less
_ZERO = 1e-9  # a relative variance below this is on the boundary
_SINGULAR = 1e-4
_NARROW = 0.03  # a triangle whose diagonal is below this share of its row is tried on the boundary


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """How parameters become relative variances and covariances of the factors.

    Attributes
    ----------
    components : for each component the pairs (a, b) of factors whose Z_a Z_b' it multiplies; a covariance has two
    terms : the factors of each term
    positions : for each factor pair (row, column) of the triangles its parameter
    scalar : shape (p,), parameters that are a variance themselves
    lower : shape (p,), bounds
    linear, bends : shapes (m, p) and (m, p, p); relative components = linear x + x' bends x / 2
    """

    components: tuple[Pairs, ...]
    terms: tuple[range, ...]
    positions: dict[tuple[int, int], int]
    scalar: NDArray[np.bool_]
    lower: Array
    linear: Array
    bends: Array

    def relative(self, x: Array) -> Array:
        """Relative variances and covariances, shape (m,)."""
        return np.asarray(self.linear @ x + 0.5 * (self.bends @ x) @ x, dtype=np.float64)

    def jacobian(self, x: Array) -> Array:
        """Derivatives of the relative components by the parameters, shape (m, p)."""
        return np.asarray(self.linear + self.bends @ x, dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Contrasts:
    """Crossproducts of the error contrasts: Z'Z (q, q), Z'y (q,), y'y, their number, and the columns of each factor.

    `joined` is Z'Z with Z'y at its right, `member` (q, k) says which column belongs to which factor.
    """

    ZZ: Array
    Zy: Array
    yy: float
    count: int
    blocks: list[slice]
    constant: float
    shape: Shape
    joined: Array
    member: Array


@dataclass(frozen=True, slots=True, eq=False)
class Whitened:
    """Z'P Z, Z'P y, y'P y (total) and ln|V| of the error contrasts at unit residual variance."""

    ZPZ: Array
    ZPy: Array
    total: float
    log_det: float


def shape_terms(sizes: Sequence[int]) -> Shape:
    """Parameters of random terms with the given numbers of factors."""
    components: list[Pairs] = []
    terms: list[range] = []
    positions: dict[tuple[int, int], int] = {}
    straight: list[tuple[int, int]] = []
    curved: list[tuple[int, int, int]] = []
    for first, size in zip(np.cumsum([0, *sizes])[:-1].tolist(), sizes, strict=True):
        factors = range(first, first + size)
        terms.append(factors)
        triangle = [(row, column) for row in factors for column in range(first, row + 1)]
        positions.update({cell: len(positions) + k for k, cell in enumerate(triangle)})
        for a, b in [(f, f) for f in factors] + list(combinations(factors, 2)):
            k = len(components)
            components.append(((a, b),) if a == b else ((a, b), (b, a)))
            if size == 1:
                straight.append((k, positions[a, b]))
            else:
                curved += [(k, positions[a, c], positions[b, c]) for c in range(first, a + 1)]
    linear = np.zeros((len(components), len(positions)))
    bends = np.zeros((len(components), len(positions), len(positions)))
    for k, i in straight:
        linear[k, i] = 1.0
    for k, i, j in curved:
        bends[k, i, j] += 1.0
        bends[k, j, i] += 1.0
    return Shape(
        components=tuple(components),
        terms=tuple(terms),
        positions=positions,
        scalar=np.asarray(linear.any(axis=0)),
        lower=np.array([0.0 if row == column else -np.inf for row, column in positions]),
        linear=linear,
        bends=bends,
    )


def project(y: Array, X: Array, Zs: Sequence[Array], shape: Shape) -> Contrasts:
    """Response and factors on the complement of the fixed design, where restricted likelihood is plain likelihood."""
    Q, R = linalg.qr(X, mode="economic")
    Z = np.hstack([np.zeros((y.size, 0)), *Zs])
    free_y, free_Z = y - Q @ (Q.T @ y), Z - Q @ (Q.T @ Z)
    ZZ, Zy = free_Z.T @ free_Z, free_Z.T @ free_y
    return Contrasts(
        ZZ=ZZ,
        Zy=Zy,
        yy=float(free_y @ free_y),
        count=y.size - X.shape[1],
        blocks=columns_of(Zs),
        constant=2 * float(np.log(np.abs(np.diag(R))).sum()),
        shape=shape,
        joined=np.column_stack([ZZ, Zy]),
        member=np.repeat(np.eye(len(Zs)), [one.shape[1] for one in Zs], axis=0),
    )


def columns_of(matrices: Sequence[Array]) -> list[slice]:
    """Columns that each matrix takes when all stand side by side."""
    edges = np.cumsum([0, *(Z.shape[1] for Z in matrices)]).tolist()
    return [slice(start, stop) for start, stop in pairwise(edges)]


def whiten(c: Contrasts, x: Array) -> Whitened:
    """Crossproducts in the metric of the covariance that the parameters give."""
    root = _loadings(c, x)
    half = root.T @ c.ZZ
    L = linalg.cholesky(np.eye(len(root)) + half @ root, lower=True)
    half_Z = linalg.solve_triangular(L, half, lower=True)
    half_y = linalg.solve_triangular(L, root.T @ c.Zy, lower=True)
    log_det = 2 * float(np.log(np.diag(L)).sum())
    return Whitened(c.ZZ - half_Z.T @ half_Z, c.Zy - half_Z.T @ half_y, c.yy - float(half_y @ half_y), log_det)


def _loadings(c: Contrasts, x: Array) -> Array:
    """Root of the relative covariance of all random effects, shape (q, q)."""
    root = np.zeros_like(c.ZZ)
    values = np.where(c.shape.scalar, np.sqrt(np.where(c.shape.scalar, x, 0.0)), x)
    for (row, column), k in c.shape.positions.items():
        np.fill_diagonal(root[c.blocks[row], c.blocks[column]], values[k])
    return root


def first_terms(w: Whitened, blocks: Sequence[slice], components: Sequence[Pairs]) -> tuple[Array, Array]:
    """tr(P V_k) and y'P V_k P y of every component."""
    traces = [sum(np.trace(w.ZPZ[blocks[b], blocks[a]]) for a, b in pairs) for pairs in components]
    squares = [sum(w.ZPy[blocks[a]] @ w.ZPy[blocks[b]] for a, b in pairs) for pairs in components]
    return np.array(traces, dtype=np.float64), np.array(squares, dtype=np.float64)


def second_terms(w: Whitened, blocks: Sequence[slice], components: Sequence[Pairs]) -> tuple[Array, Array]:
    """tr(P V_k P V_l) and y'P V_k P V_l P y of every two components."""
    A, u = w.ZPZ, w.ZPy
    size = len(components)
    traces, products = np.zeros((size, size)), np.zeros((size, size))
    for k, left in enumerate(components):
        for m, right in enumerate(components):
            for a, b in left:
                for c, d in right:
                    between = A[blocks[b], blocks[c]]
                    traces[k, m] += float((between * A[blocks[a], blocks[d]]).sum())
                    products[k, m] += float(u[blocks[a]] @ between @ u[blocks[d]])
    return traces, products


def criterion(x: Array, c: Contrasts) -> tuple[float, Array]:
    """-2 profiled restricted log-likelihood without constants, and its gradient by the parameters."""
    w = whiten(c, x)
    traces, squares = first_terms(w, c.blocks, c.shape.components)
    value = w.log_det + c.count * float(np.log(w.total))
    return value, np.asarray((traces - c.count * squares / w.total) @ c.shape.jacobian(x), dtype=np.float64)


def _curvature(x: Array, c: Contrasts) -> Array:
    """Second derivatives of the criterion by the parameters."""
    w = whiten(c, x)
    traces, squares = first_terms(w, c.blocks, c.shape.components)
    pairs, products = second_terms(w, c.blocks, c.shape.components)
    linear = -pairs + c.count * (2 * products / w.total - np.outer(squares, squares) / w.total**2)
    J = c.shape.jacobian(x)
    slope = traces - c.count * squares / w.total
    return np.asarray(J.T @ linear @ J + np.tensordot(slope, c.shape.bends, axes=1), dtype=np.float64)


def maximise(c: Contrasts) -> Array:
    """Parameters at the REML maximum, exactly zero on the boundary."""
    shape = c.shape
    if not shape.scalar.size:
        return np.zeros(0)
    if shape.scalar.all():
        return _search_variances(c)
    best = _search_triangles(c)
    inside = _polish(_close(np.where(shape.scalar & (best < _ZERO), 0.0, best), shape, 0.0), c)
    narrow = _close(inside, shape, _NARROW)
    if (narrow == inside).all():
        return inside
    edge = _polish(narrow, c)
    slack = 1e-10 * abs(criterion(inside, c)[0])
    return edge if criterion(edge, c)[0] <= criterion(inside, c)[0] + slack else inside


def _search_triangles(c: Contrasts) -> Array:
    """Parameters near the maximum where some are triangles of correlated terms."""
    shape = c.shape
    diagonal = shape.lower == 0
    found = [
        optimize.minimize(
            criterion,
            np.where(shape.scalar, start, np.where(diagonal, np.sqrt(start), 0.0)),
            args=(c,),
            jac=True,
            method="L-BFGS-B",
            bounds=[(low, 1e8) for low in shape.lower],
            options={"ftol": 1e-13, "gtol": 1e-9, "maxiter": 300},
        )
        for start in _STARTS
    ]
    return np.asarray(min(found, key=lambda result: float(result.fun)).x, dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class _Places:
    """Criterion (s,), its slope (s, m), curvature and expected curvature (s, m, m) at several sets of relative variances (s, m)."""

    x: Array
    value: Array
    slope: Array
    bend: Array
    expected: Array

    def take(self, rows: NDArray[np.intp]) -> "_Places":
        """Some of them, as a copy."""
        return _Places(*(getattr(self, name)[rows] for name in self.__slots__))

    def put(self, rows: NDArray[np.intp], other: "_Places") -> None:
        """Take over rows of another."""
        for name in self.__slots__:
            getattr(self, name)[rows] = getattr(other, name)


def _search_variances(c: Contrasts) -> Array:
    """Relative variances at the maximum, by Newton steps from all starts at once, projected on what is not negative."""
    size = len(c.blocks)
    apart = np.where(np.eye(size, dtype=bool), _STARTS[2], _STARTS[1])[: size if size > 1 else 0]
    here = _look(c, np.vstack([np.outer(_STARTS, np.ones(size)), apart]))
    share = np.ones(len(here.x))
    active = np.arange(len(here.x))
    for _ in range(_MOST_STEPS):
        x, gain = _projected(here.take(active), share[active])
        moving = gain > _FLAT * (1 + np.abs(here.value[active]))
        active, x = active[moving], x[moving]
        if not active.size:
            break
        there = _look(c, x)
        better = there.value < here.value[active]
        here.put(active[better], there.take(np.flatnonzero(better)))
        share[active] = np.where(better, np.minimum(1.0, 4 * share[active]), share[active] / 4)
    best = here.x[np.argmax(here.value <= here.value.min() + _FLAT * (1 + np.abs(here.value.min())))]
    return _finish(c, np.where(best < _ZERO, 0.0, best))


def _finish(c: Contrasts, x: Array) -> Array:
    """Full steps while each is less than half the one before: down to rounding."""
    before = np.inf
    for _ in range(_NEWTON_STEPS):
        better = _projected(_look(c, x[None]), np.ones(1))[0][0]
        moved = float(np.abs((better - x) / (x + _NEAR)).max())
        if moved >= 0.5 * before or moved == 0:
            break
        x, before = better, moved
    return np.where(x < _ZERO, 0.0, x)


def _projected(here: _Places, share: Array) -> tuple[Array, Array]:
    """Where steps lead (s, m) that stay within reach and leave no variance negative, and what they promise (s,).

    Newton's where the curvature is that of a valley, else Fisher's, whose expected curvature always is.
    """
    unit = here.x + _NEAR
    area = unit[:, :, None] * unit[:, None, :]
    floor = np.where(here.x > _SMALL, here.x / _FARTHEST, 0.0)
    lowest = (floor - here.x) / unit
    highest = np.minimum(_FARTHEST * (1 + here.x), _LARGEST - here.x) / unit
    slope, bend, expected = here.slope * unit, here.bend * area, here.expected * area
    held = (here.x <= 0) & (slope >= 0)
    root = np.linalg.eigvalsh(keep_free(bend, held))
    valley = root[:, 0] > 1e-10 * root[:, -1]
    matrix = np.where(valley[:, None, None], bend, expected + 1e-10 * largest(expected) * np.eye(held.shape[1]))
    step = step_within(slope, matrix / share[:, None, None], lowest, highest, held)
    return np.where(step <= lowest, floor, here.x + step * unit), np.abs(slope * step).sum(axis=1)


def _look(c: Contrasts, x: Array) -> _Places:
    """The criterion around several sets of relative variances (s, m) of terms with one factor."""
    root = np.sqrt(x @ c.member.T)
    half = root[:, :, None] * c.joined
    L = np.linalg.cholesky(np.eye(len(c.ZZ)) + half[:, :, :-1] * root[:, None, :])
    half = np.linalg.solve(L, half)
    crossed = half.transpose(0, 2, 1) @ half
    P = c.joined - crossed[:, :-1]
    A, u = P[:, :, :-1], P[:, :, -1]
    total = c.yy - crossed[:, -1, -1]
    total = np.where(total > 0, total, np.inf)
    traces, rates = np.einsum("sii->si", A) @ c.member, u**2 @ c.member / total[:, None]
    pairs = c.member.T @ A**2 @ c.member
    products = c.member.T @ (u[:, :, None] * A * u[:, None, :]) @ c.member
    return _Places(
        x=x,
        value=2 * np.log(np.einsum("sii->si", L)).sum(axis=1) + c.count * np.log(total),
        slope=traces - c.count * rates,
        bend=-pairs + c.count * (2 * products / total[:, None, None] - rates[:, :, None] * rates[:, None, :]),
        expected=pairs - traces[:, :, None] * traces[:, None, :] / c.count,
    )


def _close(x: Array, shape: Shape, share: float) -> Array:
    """The same, with triangles whose diagonal is at most a share of its row put on the boundary: empty columns there."""
    closed = x.copy()
    for factors in shape.terms:
        cells = [(i, j, shape.positions[row, column]) for i, row in enumerate(factors) for j, column in enumerate(factors) if j <= i]
        L = np.zeros((len(factors), len(factors)))
        for i, j, k in cells:
            L[i, j] = x[k]
        small = np.diag(L) <= share * np.linalg.norm(L, axis=1) + _ZERO
        if len(factors) > 1 and small.any():
            L[small, small] = 0.0
            emptied = _refactor(L @ L.T)
            for i, j, k in cells:
                closed[k] = emptied[i, j]
    return closed


def _refactor(M: Array) -> Array:
    """Triangle L of a positive semidefinite M = L L', with an empty column for every pivot that is zero."""
    L = np.zeros_like(M)
    for j in range(len(M)):
        pivot = M[j, j] - float(L[j] @ L[j])
        if pivot > 1e-12 * M[j, j] + _ZERO**2:
            L[j, j] = np.sqrt(pivot)
            L[j + 1 :, j] = (M[j + 1 :, j] - L[j + 1 :] @ L[j]) / L[j, j]
    return L


def free_parameters(x: Array, shape: Shape) -> NDArray[np.bool_]:
    """Parameters that are not on the boundary: neither a zero variance nor part of a zero column."""
    closed = {row for (row, column), k in shape.positions.items() if row == column and x[k] == 0}
    return np.array([column not in closed for _, column in shape.positions], dtype=np.bool_)


def is_singular(x: Array, shape: Shape) -> bool:
    """Whether a relative standard deviation on the diagonal of a triangle is below lme4's limit."""
    sizes = np.where(shape.scalar, np.sqrt(np.abs(x)), x)
    return any(row == column and sizes[k] < _SINGULAR for (row, column), k in shape.positions.items())


def _polish(x: Array, c: Contrasts) -> Array:
    """Newton steps over the parameters that are not on the boundary, halved until they do not climb."""
    inside = free_parameters(x, c.shape)
    for _ in range(_NEWTON_STEPS if inside.any() else 0):
        value, gradient = criterion(x, c)
        hessian = _curvature(x, c)[np.ix_(inside, inside)]
        if np.linalg.eigvalsh(hessian).min() <= 0:
            break
        step = np.zeros_like(x)
        step[inside] = np.linalg.solve(hessian, gradient[inside])
        while (x - step < c.shape.lower).any() or criterion(x - step, c)[0] > value + 1e-12 * abs(value):
            step *= 0.5
        x = x - step
        if np.abs(step).max() <= 1e-13 * max(1.0, float(np.abs(x).max())):
            break
    return x
