"""Exact permutation tests of paired differences: all sign flips, for one endpoint or for a family of endpoints.

In: within-donor differences, (n,) or (n, m). Out: p-values over all 2^n changes of sign, which are the exact
null distribution when the two conditions of a donor are exchangeable. All flips are counted for up to 40 donors
(20 for a family) and no seed is needed; above, flips are drawn from the generator that the caller gives and the
observed signs are counted in (Phipson and Smyth 2010, Stat Appl Genet Mol Biol 9:39).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
MOST_DONORS = 20  # for the joint flips of a family: 2^20 take a second; drawn flips take over beyond
MOST_COUNTED = 40  # for one endpoint: sums of both halves, 2^20 each
MOST_SPLITS = 1 << 22
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

    @property
    def error(self) -> float:
        """Monte-Carlo standard error of `p`; zero where all flips were counted."""
        return 0.0 if self.exact else float(np.sqrt(self.p * (1 - self.p) / self.flips))


@dataclass(frozen=True, slots=True)
class MaxT:
    """Westfall-Young adjusted p-values of several endpoints, each of shape (m,), over so many flips: one over them is the smallest p."""

    t: Array
    p: Array
    p_single_step: Array
    p_step_down: Array
    flips: int


def compare_sign_flips(differences: ArrayLike, *, rng: np.random.Generator | None = None, draws: int = 100_000) -> SignFlips:
    """Mean of within-donor differences, with the p-value over the flips of their signs.

    Parameters
    ----------
    differences : shape (n,), finite
    rng, draws : needed above `MOST_COUNTED` donors only, and ignored below

    Notes
    -----
    Fisher 1935, The Design of Experiments, section 21. A flip of all donors is a flip of one half and of the other:
    with the sums of each half sorted, all 2^n totals are counted without being formed. Reference: enumeration in R
    and exactRankTests, case c15.
    """
    d = _finite(differences)
    observed = float(d.sum())
    slack = _SLACK * float(np.abs(d).sum())
    exact = d.size <= MOST_COUNTED
    if exact:
        halves = [_flipped_sums(half) for half in (d[::2], d[1::2])]
        total = 2**d.size
        less = _count_at_most([halves], observed + slack)
        greater = _count_at_most([halves], slack - observed)  # all signs turned
        beyond = 2 * _count_at_most([halves], slack - abs(observed))
    else:
        sums = np.concatenate([signs @ d for signs in _flips(d.size, rng, draws)])
        total = sums.size
        less, greater = int((sums <= observed + slack).sum()), int((sums >= observed - slack).sum())
        beyond = int((np.abs(sums) >= abs(observed) - slack).sum())
    p = 1.0 if abs(observed) <= slack else min(1.0, beyond / total)
    return SignFlips(mean=observed / d.size, p=p, p_less=less / total, p_greater=greater / total, flips=total, exact=exact)


def adjust_max_t(differences: ArrayLike, *, rng: np.random.Generator | None = None, draws: int = 100_000) -> MaxT:
    """Family-wise adjusted p-values from the joint sign flips of all endpoints.

    Parameters
    ----------
    differences : shape (n_donors, n_endpoints), finite: every donor has every endpoint
    rng, draws : as in `compare_sign_flips`

    Notes
    -----
    Westfall and Young 1993, Resampling-Based Multiple Testing, algorithm 4.1 (step-down max |t|). The sum of squares
    does not change with signs, so that |t| grows with |sum| over its root, which is what is compared.
    Reference: enumeration in R, case c16.
    """
    d = _finite(differences)
    size = np.sqrt((d**2).sum(axis=0))
    scaled = np.divide(d, size, out=np.zeros_like(d), where=size > 0)
    seen = np.abs(scaled.sum(axis=0))
    order = np.argsort(-seen, kind="stable")
    least, scaled = seen[order] * (1 - _SLACK), scaled[:, order]
    raw = single = down = np.zeros(seen.size)
    total = 0
    for signs in _flips(len(d), rng, draws):
        flipped = np.abs(signs @ scaled)
        raw = raw + (flipped >= least).sum(axis=0)
        highest = np.maximum.accumulate(flipped[:, ::-1], axis=1)[:, ::-1]
        single = single + (highest[:, :1] >= least).sum(axis=0)
        down = down + (highest >= least).sum(axis=0)
        total += len(signs)
    back = np.argsort(order, kind="stable")
    return MaxT(
        t=_t_statistics(d),
        p=(raw / total)[back],
        p_single_step=(single / total)[back],
        p_step_down=np.maximum.accumulate(down / total)[back],
        flips=total,
    )


def compare_two_samples(first: ArrayLike, second: ArrayLike, *, near: tuple[float, float] | None = None) -> tuple[float, float]:
    """Exact two-sided and "first is smaller" p-value of the difference of means over all ways to split the pooled values.

    Parameters
    ----------
    first, second : shapes (n1,) and (n2,), finite
    near : by how much the sum of a split may fall short of the observed distance, below and above the expected sum, and
        still count as equal; by default what rounding can do. Other software allows more, and counts more splits

    Raises
    ------
    ValueError : more than `MOST_COUNTED` values

    Notes
    -----
    Pitman 1937, JRSS Suppl 4:119. Counted from the sums of each half, as the sign flips are. Reference: coin
    ``oneway_test``, case c15.
    """
    a, b = _finite(first), _finite(second)
    pooled = np.concatenate([a, b])
    if pooled.size > MOST_COUNTED:
        raise ValueError(f"{pooled.size} values have too many splits to count; at most {MOST_COUNTED} are possible")
    centred = pooled - pooled.mean()
    one, other = (_taken_sums(half) for half in (centred[::2], centred[1::2]))
    pairs = [(one[taken], other[a.size - taken]) for taken in range(len(one)) if 0 <= a.size - taken < len(other)]
    observed = float(centred[: a.size].sum())
    slack = _SLACK * float(np.abs(centred).sum())
    below, above = near or (slack, slack)
    total = comb(pooled.size, a.size)
    less = _count_at_most(pairs, observed + below)
    turned = [(np.negative(one[::-1]), np.negative(other[::-1])) for one, other in pairs]
    distance = abs(observed)
    both = total if distance <= slack else _count_at_most(pairs, below - distance) + _count_at_most(turned, above - distance)
    return min(1.0, both / total), less / total


def compare_within_blocks(values: ArrayLike, first: ArrayLike, blocks: ArrayLike) -> tuple[float, float]:
    """Exact two-sided and "first is smaller" p-value of a difference of two samples when only values of one block may change places.

    Parameters
    ----------
    values : shape (n,), finite
    first : shape (n,), True for the first sample
    blocks : shape (n,), what the exchange stays within: a plate, a centre, a serum

    Raises
    ------
    ValueError : more than `MOST_SPLITS` arrangements in each half of the blocks

    Notes
    -----
    The statistic is the sum of the first sample about what is expected of it within blocks. The sums of every block are
    combined over two halves of the blocks, which are then counted as in `compare_two_samples`. Sign flips of whole blocks
    are `compare_sign_flips` of the sums of the blocks. Reference: coin ``oneway_test`` with strata, drawn.
    """
    y, taken, block = _finite(values), np.asarray(first, dtype=bool), np.asarray(blocks)
    observed, halves = 0.0, [np.zeros(1), np.zeros(1)]
    for name in sorted(set(block.tolist()), key=lambda name: -int((block == name).sum())):
        own, chosen = y[block == name] - y[block == name].mean(), taken[block == name]
        sums = _taken_sums(own)[int(chosen.sum())]
        small = int(halves[0].size > halves[1].size)
        if halves[small].size * sums.size > MOST_SPLITS:
            raise ValueError("the blocks have too many arrangements to count")
        halves[small] = np.sort(np.add.outer(halves[small], sums).ravel())
        observed += float(own[chosen].sum())
    slack = _SLACK * float(np.abs(y).sum())
    total = halves[0].size * halves[1].size
    turned = [np.negative(half[::-1]) for half in halves]
    both = _count_at_most([halves], slack - abs(observed)) + _count_at_most([turned], slack - abs(observed))
    p = 1.0 if abs(observed) <= slack else min(1.0, both / total)
    return p, _count_at_most([halves], observed + slack) / total


def _flipped_sums(values: Array) -> Array:
    """Sums under all 2^n changes of sign, ascending."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums - value, sums + value])
    return np.sort(sums)


def _taken_sums(values: Array) -> list[Array]:
    """Sums of all subsets, ascending, by the number of values taken."""
    sums: list[Array] = [np.zeros(1)]
    for value in values:
        grown = [array + value for array in sums]
        sums = [np.concatenate(parts) for parts in zip([*sums, np.empty(0)], [np.empty(0), *grown], strict=True)]
    return [np.sort(array) for array in sums]


def _count_at_most(pairs: Sequence[Sequence[Array]], limit: float) -> int:
    """Number of sums of one member from each of two ascending lists that do not exceed a limit, over all pairs of lists."""
    return sum(int(np.searchsorted(other, limit - one, side="right").sum()) for one, other in pairs)


def _t_statistics(d: Array) -> Array:
    """One-sample t of every endpoint; infinite where all donors agree to the digit, zero where nothing differs."""
    mean, se = d.mean(axis=0), d.std(axis=0, ddof=1) / np.sqrt(len(d))
    undivided = np.where(mean == 0, 0.0, np.copysign(np.inf, mean))
    return np.asarray(np.divide(mean, se, out=undivided, where=se > 0), dtype=np.float64)


def _flips(n: int, rng: np.random.Generator | None, draws: int) -> Iterator[Array]:
    """Blocks of rows of +1 and -1: all flips up to a common change of sign, or the observed signs and drawn ones."""
    if n <= MOST_DONORS:
        bits = np.arange(n)
        for start in range(0, 1 << (n - 1), _BLOCK):
            codes = np.arange(start, min(start + _BLOCK, 1 << (n - 1)))
            yield _as_signs((codes[:, None] >> bits) & 1)
        return
    if rng is None:
        raise ValueError(f"{n} donors have too many sign flips to count; a random generator is needed")
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
