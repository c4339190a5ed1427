"""Several contrasts of one model judged together: multivariate t probabilities and what is built on them.

In: t statistics (m,), their correlation (m, m) or contrast rows, and degrees of freedom. Out: adjusted p-values and the
critical value of simultaneous intervals.

The probability that |T_1| <= t_1, ..., |T_m| <= t_m is integrated by separation of variables over the rank r of the
correlation, not over m: rows that add no new direction narrow the interval of the last variable they depend on, so that
the singular correlations of all pairwise comparisons are no special case. Scrambled Sobol points with a fixed seed make
the result reproducible; its error is returned beside it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

from exvivo.numerics.inference import Array
from exvivo.numerics.multiplicity import ADJUSTMENTS

_POINTS = 12  # log2 of the points in each scrambling
_SCRAMBLES = 8
_SEED = 20_240_229
_RANK = 1e-9
_LARGEST_FAMILY = 21  # pairs of seven levels; closed tests beyond it take too many intersections


@dataclass(frozen=True, slots=True)
class Probability:
    """A probability with the standard error of its integration."""

    value: float
    error: float


def enclose_t(limits: ArrayLike, correlation: ArrayLike, df: float) -> Probability:
    """Probability that every |T_i| stays within its limit, T multivariate t.

    Parameters
    ----------
    limits : shape (m,), positive
    correlation : shape (m, m), may be singular
    df : degrees of freedom, infinite for the normal distribution

    Notes
    -----
    Genz 1992, J Comput Graph Stat 1:141; Genz and Kwong 2000, J Stat Comput Simul 68:1 (singular correlations).
    Reference: mvtnorm 1.1-3; studentized range of scipy; cases c12 and c27.

    Examples
    --------
    >>> round(enclose_t([2.0], [[1.0]], 10).value, 6)
    0.926612
    """
    t, R = np.asarray(limits, dtype=np.float64), np.asarray(correlation, dtype=np.float64)
    loadings = _pivoted_root(R, t)
    rank = loadings.shape[1]
    if rank == 1:
        return Probability(_enclose_one(t, loadings[:, 0], df), 0.0)
    draws = [_integrate(t, loadings, df, points) for points in _scrambled_points(rank)]
    return Probability(float(np.mean(draws)), float(np.std(draws, ddof=1) / np.sqrt(_SCRAMBLES)))


def _enclose_one(t: Array, loading: Array, df: float) -> float:
    limit = float((t / np.abs(loading)).min())
    return float(2 * stats.t.cdf(limit, df) - 1) if np.isfinite(df) else float(2 * special.ndtr(limit) - 1)


def _pivoted_root(R: Array, t: Array) -> Array:
    """L (m, r) with L L' = R, tight limits first."""
    left = R.copy()
    found: list[Array] = []
    scale = np.sqrt(np.diag(R))
    while left.diagonal().max() > _RANK and len(found) < len(R):
        open_ = left.diagonal() > _RANK
        tightness = np.where(open_, t / np.where(open_, np.sqrt(np.maximum(left.diagonal(), _RANK)), 1.0) / scale, np.inf)
        pivot = int(np.argmin(tightness))
        column = left[:, pivot] / np.sqrt(left[pivot, pivot])
        found.append(column)
        left = left - np.outer(column, column)
    loadings = np.column_stack(found)
    return np.where(np.abs(loadings) < 1e-12, 0.0, loadings)


@lru_cache(maxsize=16)
def _scrambled_points(rank: int) -> Array:
    """Points in the unit cube, shape (scrambles, points, rank); the same in every call."""
    seeds = range(_SEED, _SEED + _SCRAMBLES)
    points = np.array([stats.qmc.Sobol(rank, scramble=True, rng=np.random.default_rng(seed)).random_base2(_POINTS) for seed in seeds])
    points.flags.writeable = False
    return points


def _integrate(t: Array, loadings: Array, df: float, u: Array) -> float:
    rank = loadings.shape[1]
    scale = np.sqrt(stats.chi2.ppf(u[:, 0], df) / df) if np.isfinite(df) else np.ones(len(u))
    last = [int(np.flatnonzero(np.abs(row) > 1e-8).max()) for row in loadings]
    z = np.zeros((len(u), rank))
    weight = np.ones(len(u))
    for j in range(rank):
        low, high = np.full(len(u), -np.inf), np.full(len(u), np.inf)
        for row in (i for i, end in enumerate(last) if end == j):
            centre = z[:, :j] @ loadings[row, :j]
            ends = (np.array([[-1.0], [1.0]]) * t[row] * scale - centre) / loadings[row, j]
            low, high = np.maximum(low, ends.min(axis=0)), np.minimum(high, ends.max(axis=0))
        start = special.ndtr(low)
        width = np.maximum(special.ndtr(high) - start, 0.0)
        weight *= width
        if j + 1 < rank:
            z[:, j] = special.ndtri(np.clip(start + u[:, j + 1] * width, 1e-16, 1 - 1e-16))
    return float(weight.mean())


def correlate(rows: ArrayLike, covariance: ArrayLike) -> Array:
    """Correlation (m, m) of contrasts whose coefficients have a covariance (p, p)."""
    L = np.atleast_2d(np.asarray(rows, dtype=np.float64))
    spread = L @ np.asarray(covariance, dtype=np.float64) @ L.T
    size = np.sqrt(np.diag(spread))
    return np.asarray(spread / np.outer(size, size), dtype=np.float64)


def adjust_single_step(t: ArrayLike, correlation: ArrayLike, df: float | Sequence[float]) -> Array:
    """P-values of the largest |T|: each compared with the distribution of the maximum over all."""
    values, R = np.abs(np.asarray(t, dtype=np.float64)), np.asarray(correlation, dtype=np.float64)
    dfs = np.broadcast_to(np.asarray(df, dtype=np.float64), values.shape)
    return np.array([_p_of_largest(value, R, float(own)) for value, own in zip(values, dfs, strict=True)])


def _p_of_largest(value: float, R: Array, df: float) -> float:
    return min(1.0, max(0.0, 1 - enclose_t(np.full(len(R), value), R, df).value))


def critical_value(correlation: ArrayLike, df: float, *, level: float = 0.95) -> float:
    """Half width, in standard errors, of two-sided intervals that hold together."""
    R = np.asarray(correlation, dtype=np.float64)
    lowest = float(stats.t.ppf(0.5 + level / 2, df))
    highest = float(stats.t.ppf(1 - (1 - level) / (2 * len(R)), df)) + 1e-6
    if len(R) == 1:
        return lowest
    return float(optimize.brentq(lambda c: enclose_t(np.full(len(R), c), R, df).value - level, lowest, highest, xtol=1e-8))


def adjust_free(t: ArrayLike, correlation: ArrayLike, df: float) -> Array:
    """Step-down over the largest |T| of the hypotheses that are left, whatever they imply for each other."""
    values, R = np.abs(np.asarray(t, dtype=np.float64)), np.asarray(correlation, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    raw = [_p_of_largest(values[own], R[np.ix_(order[k:], order[k:])], df) for k, own in enumerate(order)]
    return _back(np.maximum.accumulate(raw), order)


def adjust_westfall(t: ArrayLike, rows: ArrayLike, covariance: ArrayLike, df: float) -> Array:
    """Step-down over the sets of hypotheses that can be true together once the earlier ones are false.

    Notes
    -----
    Westfall 1997, JASA 92:299. Reference: multcomp 1.4-22, case c27.
    """
    R = correlate(rows, covariance)
    values = np.abs(np.asarray(t, dtype=np.float64))
    return _close(values, rows, lambda own, members: _p_of_largest(values[own], R[np.ix_(members, members)], df))


def adjust_shaffer(t: ArrayLike, rows: ArrayLike, df: float) -> Array:
    """Bonferroni over the largest set that can be true together once the earlier ones are false.

    Notes
    -----
    Shaffer 1986, JASA 81:826. Reference: multcomp 1.4-22, case c27.
    """
    values = np.abs(np.asarray(t, dtype=np.float64))
    single = 2 * stats.t.sf(values, df)
    return _close(values, rows, lambda own, members: min(1.0, float(single[own]) * len(members)))


def _close(values: Array, rows: ArrayLike, test: Callable[[int, Sequence[int]], float]) -> Array:
    L = np.atleast_2d(np.asarray(rows, dtype=np.float64))
    if len(L) > _LARGEST_FAMILY:
        raise ValueError(f"closed tests of {len(L)} contrasts take too many intersections; at most {_LARGEST_FAMILY} are done")
    order = np.argsort(-values, kind="stable")
    raw = [max(test(int(own), members) for members in _possible(L[order], k, order)) for k, own in enumerate(order)]
    return _back(np.maximum.accumulate(raw), order)


def _possible(ordered: Array, first: int, order: NDArray[np.intp]) -> Iterator[list[int]]:
    """Largest sets of later hypotheses, with the given one, that imply none of the earlier ones."""
    found: set[frozenset[int]] = set()
    later = range(first + 1, len(ordered))
    rank = int(np.linalg.matrix_rank(ordered))
    for size in range(min(rank, len(ordered) - first)):
        for others in combinations(later, size):
            implied = _implied(ordered, [first, *others])
            if implied.min() == first:
                found.add(frozenset(implied.tolist()))
    for members in found:
        if not any(members < other for other in found):
            yield [int(order[k]) for k in sorted(members)]


def _implied(L: Array, chosen: Sequence[int]) -> NDArray[np.intp]:
    """Rows that are combinations of the chosen ones."""
    basis = np.linalg.svd(L[list(chosen)].T, full_matrices=False)
    Q = basis[0][:, basis[1] > 1e-9 * basis[1][0]]
    left = np.linalg.norm(L - L @ Q @ Q.T, axis=1)
    return np.flatnonzero(left < 1e-8 * np.linalg.norm(L, axis=1))


def _back(sorted_values: Array, order: NDArray[np.intp]) -> Array:
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(1.0, sorted_values)
    return adjusted


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """Contrasts of one model, to be judged together.

    Attributes
    ----------
    t, df, p : shape (m,), statistics, degrees of freedom and raw p-values
    correlation : shape (m, m)
    rank : number of independent contrasts
    """

    t: Array
    df: Array
    p: Array
    correlation: Array
    rank: int


def adjust_family(family: Family, method: str) -> Array:
    """Adjusted p-values of contrasts by one of `FAMILY_ADJUSTMENTS`."""
    return FAMILY_ADJUSTMENTS[method](family)


def _of_raw(rule: Callable[[Array], Array]) -> Callable[[Family], Array]:
    return lambda family: rule(family.p)


def _tukey(family: Family) -> Array:
    levels = (1 + np.sqrt(1 + 8 * family.t.size)) / 2
    return np.asarray(stats.studentized_range.sf(np.sqrt(2) * np.abs(family.t), levels, family.df), dtype=np.float64)


def _dunnett_approximation(family: Family) -> Array:
    """Weighted mean of a Tukey and a Sidak probability, as emmeans approximates Dunnett's."""
    k = family.t.size
    levels = (1 + np.sqrt(1 + 8 * k)) / 2
    tukey = stats.studentized_range.cdf(np.sqrt(2) * np.abs(family.t), levels, family.df)
    sidak = (1 - family.p) ** k
    return np.asarray(1 - ((k - 1) / k * tukey + sidak / k), dtype=np.float64)


def _scheffe(family: Family) -> Array:
    return np.asarray(special.fdtrc(family.rank, family.df, family.t**2 / family.rank), dtype=np.float64)


FAMILY_ADJUSTMENTS: Mapping[str, Callable[[Family], Array]] = MappingProxyType(
    {
        "none": lambda family: family.p,
        **{name: _of_raw(rule) for name, rule in ADJUSTMENTS.items()},
        "sidak": lambda family: 1 - (1 - family.p) ** family.p.size,
        "tukey": _tukey,
        "scheffe": _scheffe,
        "dunnettx": _dunnett_approximation,
        "mvt": lambda family: adjust_single_step(family.t, family.correlation, family.df.tolist()),
    }
)
"""How the p-values of contrasts are adjusted, by the name that emmeans uses, in lower case."""
