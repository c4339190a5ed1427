"""Exact permutation tests of paired differences: all sign flips, for one endpoint or for a family of endpoints.

In: within-donor differences, (n,) or (n, m). Out: p-values over all 2^n changes of sign, which are the exact
null distribution when the two conditions of a donor are exchangeable. Up to 20 donors every flip is
enumerated and no seed is needed; above, flips are drawn from the generator that the caller gives and the
observed signs are counted in (Phipson and Smyth 2010, Stat Appl Genet Mol Biol 9:39).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
MOST_DONORS = 20  # 2^20 flips take a second; drawn flips take over beyond
_BLOCK = 1 << 14
_SLACK = 1e-10  # flips that give the observed statistic again differ from it by rounding only


@dataclass(frozen=True, slots=True)
class SignFlips:
    """Sign-flip test of a mean: p-values, number of flips, and whether they are all flips there are."""

    mean: float
    p: float
    p_less: float
    p_greater: float
    flips: int
    exact: bool


@dataclass(frozen=True, slots=True)
class MaxT:
    """Westfall-Young adjusted p-values of several endpoints, each of shape (m,)."""

    t: Array
    p: Array
    p_single_step: Array
    p_step_down: Array


def compare_sign_flips(differences: ArrayLike, *, rng: np.random.Generator | None = None, draws: int = 100_000) -> SignFlips:
    """Mean of within-donor differences, with the p-value over the flips of their signs.

    Parameters
    ----------
    differences : shape (n,), finite
    rng, draws : needed above `MOST_DONORS` donors only, and ignored below

    Notes
    -----
    Fisher 1935, The Design of Experiments, section 21. Reference: enumeration in R and exactRankTests, case c15.
    """
    d = _finite(differences)[:, None]
    observed = float(d.sum())
    slack = _SLACK * float(np.abs(d).sum())
    less = greater = both = total = 0
    for signs in _flips(len(d), rng, draws):
        sums = (signs @ d)[:, 0]
        less += int((sums <= observed + slack).sum())
        greater += int((sums >= observed - slack).sum())
        both += int((np.abs(sums) >= abs(observed) - slack).sum())
        total += len(sums)
    return SignFlips(
        mean=observed / len(d), p=both / total, p_less=less / total, p_greater=greater / total, flips=total, exact=len(d) <= MOST_DONORS
    )


def adjust_max_t(differences: ArrayLike, *, rng: np.random.Generator | None = None, draws: int = 100_000) -> MaxT:
    """Family-wise adjusted p-values from the joint sign flips of all endpoints.

    Parameters
    ----------
    differences : shape (n_donors, n_endpoints), finite: every donor has every endpoint
    rng, draws : as in `compare_sign_flips`

    Notes
    -----
    Westfall and Young 1993, Resampling-Based Multiple Testing, algorithm 4.1 (step-down max |t|).
    Reference: enumeration in R, case c16.
    """
    d = _finite(differences)
    t = _t_statistics(np.ones((1, len(d))), d)[0]
    order = np.argsort(-np.abs(t), kind="stable")
    sorted_t = np.abs(t[order]) * (1 - _SLACK)
    raw = single = down = np.zeros(t.size)
    total = 0
    for signs in _flips(len(d), rng, draws):
        flipped = np.abs(_t_statistics(signs, d))[:, order]
        raw = raw + (flipped >= sorted_t).sum(axis=0)
        single = single + (flipped.max(axis=1)[:, None] >= sorted_t).sum(axis=0)
        down = down + (np.maximum.accumulate(flipped[:, ::-1], axis=1)[:, ::-1] >= sorted_t).sum(axis=0)
        total += len(signs)
    back = np.argsort(order, kind="stable")
    return MaxT(t=t, p=(raw / total)[back], p_single_step=(single / total)[back], p_step_down=np.maximum.accumulate(down / total)[back])


def compare_two_samples(first: ArrayLike, second: ArrayLike) -> tuple[float, float]:
    """Exact two-sided and "first is smaller" p-value over all ways to split the pooled values.

    Raises
    ------
    ValueError : more than 5 million splits
    """
    a, b = _finite(first), _finite(second)
    pooled = np.concatenate([a, b])
    size, taken = pooled.size, a.size
    sums = np.zeros(1)
    counts = np.zeros(1, dtype=np.int64)
    for value in pooled:
        sums, counts = np.concatenate([sums, sums + value]), np.concatenate([counts, counts + 1])
        possible = (counts <= taken) & (counts + size - taken >= 0)
        sums, counts = sums[possible], counts[possible]
        if sums.size > 5_000_000:
            raise ValueError("too many splits to enumerate")
    sums = sums[counts == taken]
    centre = pooled.mean() * taken
    slack = _SLACK * float(np.abs(pooled).sum())
    observed = float(a.sum())
    return float((np.abs(sums - centre) >= abs(observed - centre) - slack).mean()), float((sums <= observed + slack).mean())


def _t_statistics(signs: Array, d: Array) -> Array:
    """One-sample t of every endpoint under every flip; the sum of squares does not change with signs."""
    n = len(d)
    mean = signs @ d / n
    variance = np.maximum((d**2).sum(axis=0) / n - mean**2, 0.0) / (n - 1)
    undivided = np.where(mean == 0, 0.0, np.copysign(np.inf, mean))
    return np.asarray(np.divide(mean, np.sqrt(variance), out=undivided, where=variance > 0), dtype=np.float64)


def _flips(n: int, rng: np.random.Generator | None, draws: int) -> Iterator[Array]:
    """Blocks of rows of +1 and -1: all 2^n, or the observed signs and drawn ones."""
    if n <= MOST_DONORS:
        bits = np.arange(n)
        for start in range(0, 1 << n, _BLOCK):
            codes = np.arange(start, min(start + _BLOCK, 1 << n))
            yield _as_signs((codes[:, None] >> bits) & 1)
        return
    if rng is None:
        raise ValueError(f"{n} donors have too many sign flips to enumerate; a random generator is needed")
    yield np.ones((1, n))
    for start in range(0, draws, _BLOCK):
        rows = min(_BLOCK, draws - start)
        packed = np.frombuffer(rng.bytes(rows * ((n + 7) // 8)), dtype=np.uint8).reshape(rows, -1)
        yield _as_signs(np.unpackbits(packed, axis=1, count=n).astype(np.int64))


def _as_signs(bits: NDArray[np.int64]) -> Array:
    return np.asarray(1 - 2 * bits, dtype=np.float64)


def _finite(values: ArrayLike) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0 or not np.isfinite(array).all():
        raise ValueError("finite values are needed, at least one")
    return array
