"""Rank tests of several groups: Kruskal-Wallis and Jonckheere-Terpstra between donors, Friedman and Page within.

In: values by group, or one row for each donor with a value for each condition. Out: statistics with ties accounted
for, their large-sample p-values, and exact p-values by counting all arrangements of the midranks. Arrangements are
counted by adding one value (or one donor) at a time to a table of what is known so far, so that equal sums are
carried once; where the table would outgrow `MOST_STATES` arrangements are drawn, and the error of that is told.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations, product
from math import comb, factorial, prod

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from exvivo.numerics.ranks import round_differences

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
MOST_STATES = 1_000_000
MOST_CONDITIONS = 7  # 5,040 orders of one donor
_DRAWS = 100_000
_SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class Heterogeneity:
    """Any difference between groups: statistic, df, large-sample p.

    `p_exact` counts all arrangements; where they were drawn, `error` is its standard error, otherwise 0.
    """

    statistic: float
    df: int
    p: float
    p_exact: float
    error: float


@dataclass(frozen=True, slots=True)
class Trend:
    """Trend along an order of groups: statistic, its null mean and SD, large-sample and exact p-values."""

    statistic: float
    mean: float
    sd: float
    p: float
    p_rising: float
    p_exact: float
    p_exact_rising: float
    p_exact_falling: float

    @property
    def z(self) -> float:
        """Standardised statistic."""
        return (self.statistic - self.mean) / self.sd if self.sd else 0.0


def compare_kruskal(groups: Sequence[ArrayLike], *, rng: np.random.Generator | None = None) -> Heterogeneity:
    """Kruskal-Wallis test, chi-squared and exact.

    Parameters
    ----------
    groups : values of each group, shapes (n_i,)
    rng : needed only where the arrangements are too many to count

    Notes
    -----
    Kruskal and Wallis 1952, JASA 47:583. Reference: R ``kruskal.test``, kSamples ``qn.test``, case c19.
    """
    ranks, sizes = _pooled(groups)
    doubled = np.rint(2 * ranks).astype(np.int64)
    observed = _spread(np.add.reduceat(doubled, np.cumsum([0, *sizes[:-1]]))[None, :].astype(np.float64), sizes)[0]
    scale = 4 * float(((ranks - ranks.mean()) ** 2).sum()) / (ranks.size - 1)
    statistic = float(observed / scale) if scale else 0.0
    sums, counts, drawn = _sums_of_splits(doubled, sizes, rng)
    p_exact, error = _share(_spread(sums, sizes) >= observed * (1 - _SLACK), counts, drawn=drawn)
    df = len(sizes) - 1
    return Heterogeneity(statistic=statistic, df=df, p=float(special.chdtrc(df, statistic)), p_exact=p_exact, error=error)


def compare_friedman(values: ArrayLike, *, rng: np.random.Generator | None = None) -> Heterogeneity:
    """Friedman test of conditions within donors, chi-squared and exact, ties within donors accounted for.

    Parameters
    ----------
    values : shape (n_donors, n_conditions), finite
    rng : needed only where the arrangements are too many to count

    Notes
    -----
    Friedman 1937, JASA 32:675. Reference: R ``friedman.test``, case c21.
    """
    ranks = _within(values)
    n, k = ranks.shape
    doubled = np.rint(2 * ranks).astype(np.int64)
    observed = float(((doubled.sum(axis=0) - n * (k + 1)) ** 2).sum())
    scale = 4 * float(((ranks - (k + 1) / 2) ** 2).sum()) / (k - 1)
    statistic = observed / scale if scale else 0.0
    sums, counts, drawn = _sums_of_orders(doubled, rng)
    spread = ((sums - n * (k + 1)) ** 2).sum(axis=1)
    p_exact, error = _share(spread >= observed - 0.5, counts, drawn=drawn)
    return Heterogeneity(statistic=statistic, df=k - 1, p=float(special.chdtrc(k - 1, statistic)), p_exact=p_exact, error=error)


def trend_between(groups: Sequence[ArrayLike]) -> Trend:
    """Jonckheere-Terpstra test of groups in the order given, exact with ties.

    Notes
    -----
    Jonckheere 1954, Biometrika 41:133; Terpstra 1952, Indag Math 14:327; moments with ties from Hollander and Wolfe
    1999, section 6.2. Reference: kSamples ``jt.test``, case c19.
    """
    ranks, sizes = _pooled(groups)
    label = np.repeat(np.arange(len(sizes)), sizes)
    higher = np.sign(ranks[None, :] - ranks[:, None]) + 1
    doubled = int(higher[label[:, None] < label[None, :]].sum())
    ties = np.unique(ranks, return_counts=True)[1]
    counts = _count_precedences(ties.tolist(), sizes)
    mean = (ranks.size**2 - sum(size**2 for size in sizes)) / 4
    return _trend(doubled / 2, mean, _precedence_sd(np.array(sizes), ties), _halves(counts, doubled))


def trend_within(values: ArrayLike) -> Trend:
    """Page's test of conditions in the order of the columns, exact with ties for up to `MOST_CONDITIONS` conditions.

    Notes
    -----
    Page 1963, JASA 58:216. Reference: coin ``friedman_test`` with an ordered factor, case c21.
    """
    ranks = _within(values)
    n, k = ranks.shape
    scores = np.arange(1, k + 1)
    sd = float(np.sqrt(((scores - scores.mean()) ** 2).sum() * ((ranks - (k + 1) / 2) ** 2).sum() / (k - 1)))
    doubled = np.rint(2 * ranks).astype(np.int64)
    counts = np.ones(1)
    for row in doubled:
        own = np.bincount(_orders(row) @ scores)
        counts = np.convolve(counts, own / own.sum())
    observed = int((doubled @ scores).sum())
    return _trend(observed / 2, n * k * (k + 1) ** 2 / 4, sd, _halves(counts, observed))


def _trend(statistic: float, mean: float, sd: float, tails: tuple[float, float]) -> Trend:
    z = (statistic - mean) / sd if sd else 0.0
    rising, falling = tails
    return Trend(
        statistic=statistic,
        mean=mean,
        sd=sd,
        p=min(1.0, 2 * float(special.ndtr(-abs(z)))),
        p_rising=float(special.ndtr(-z)),
        p_exact=min(1.0, 2 * min(tails)),
        p_exact_rising=rising,
        p_exact_falling=falling,
    )


def _halves(counts: Array, observed: int) -> tuple[float, float]:
    """P(at least) and P(at most) the observed value."""
    total = counts.sum()
    return min(1.0, float(counts[observed:].sum() / total)), min(1.0, float(counts[: observed + 1].sum() / total))


def _precedence_sd(sizes: Integers, ties: Integers) -> float:
    n = int(sizes.sum())
    first = [float((m * (m - 1) * (2 * m + 5)).sum()) for m in (sizes, ties)]
    second = [float((m * (m - 1) * (m - 2)).sum()) for m in (sizes, ties)]
    third = [float((m * (m - 1)).sum()) for m in (sizes, ties)]
    variance = (n * (n - 1) * (2 * n + 5) - sum(first)) / 72 + prod(third) / (8 * n * (n - 1))
    if n > 2:
        variance += prod(second) / (36 * n * (n - 1) * (n - 2))
    return float(np.sqrt(max(variance, 0.0)))


def _count_precedences(ties: Sequence[int], sizes: tuple[int, ...]) -> Array:
    """Number of arrangements with each value of twice the Jonckheere-Terpstra statistic.

    Blocks of tied values go to the groups from the lowest up; what matters of the past is how many each group holds.
    """
    width = int(np.array(sizes).sum() ** 2 - sum(size**2 for size in sizes)) + 1
    start = np.zeros(width)
    start[0] = 1.0
    states: dict[tuple[int, ...], Array] = {(0,) * len(sizes): start}
    for tied in ties:
        after: dict[tuple[int, ...], Array] = {}
        for held, counts in states.items():
            room = [min(tied, size - h) for size, h in zip(sizes, held, strict=True)]
            for given in product(*(range(r + 1) for r in room)):
                if sum(given) != tied:
                    continue
                step = _precedences(held, given)
                full = tuple(h + g for h, g in zip(held, given, strict=True))
                target = after.setdefault(full, np.zeros(width))
                target[step:] += counts[: width - step] * _ways(given)
        states = after
    return states[sizes]


def _precedences(held: tuple[int, ...], given: tuple[int, ...]) -> int:
    pairs = [(a, b) for b in range(len(held)) for a in range(b)]
    return sum(2 * held[a] * given[b] + given[a] * given[b] for a, b in pairs)


def _ways(given: tuple[int, ...]) -> float:
    return factorial(sum(given)) / prod(factorial(g) for g in given)


def _sums_of_splits(doubled: Integers, sizes: tuple[int, ...], rng: np.random.Generator | None) -> tuple[Array, Array, bool]:
    """Doubled rank sums of all splits into groups, how many have each, and whether they were drawn instead."""
    total, k = int(doubled.sum()), len(sizes)
    count_unit = [prod(size + 1 for size in sizes[:g]) for g in range(k)]
    sum_unit = [prod(size + 1 for size in sizes) * (total + 1) ** g for g in range(k - 1)] + [0]
    if sum_unit[0] * (total + 1) ** (k - 1) >= 2**62:
        return _drawn_splits(doubled, sizes, rng)
    keys, counts = np.zeros(1, dtype=np.int64), np.ones(1)
    for value in doubled:
        choices = [(keys // count_unit[g]) % (sizes[g] + 1) < sizes[g] for g in range(k)]
        grown = np.concatenate([keys[free] + count_unit[g] + int(value) * sum_unit[g] for g, free in enumerate(choices)])
        if grown.size > MOST_STATES:
            return _drawn_splits(doubled, sizes, rng)
        keys, counts = _merge(grown, np.concatenate([counts[free] for free in choices]))
    sums = np.column_stack([(keys // unit) % (total + 1) for unit in sum_unit[:-1]]).astype(np.float64)
    return np.column_stack([sums, total - sums.sum(axis=1)]), counts, False


def _drawn_splits(doubled: Integers, sizes: tuple[int, ...], rng: np.random.Generator | None) -> tuple[Array, Array, bool]:
    mixed = _generator(rng).permuted(np.broadcast_to(doubled, (_DRAWS, doubled.size)), axis=1)
    sums = np.add.reduceat(mixed, np.cumsum([0, *sizes[:-1]]), axis=1)
    return sums.astype(np.float64), np.ones(_DRAWS), True


def _sums_of_orders(doubled: Integers, rng: np.random.Generator | None) -> tuple[Array, Array, bool]:
    """Doubled rank sums of the conditions over all orders within donors, how many have each, whether they were drawn."""
    n, k = doubled.shape
    base = 2 * n * k + 1
    unit = base ** np.arange(k - 1, dtype=object)
    if k > MOST_CONDITIONS or base ** (k - 1) >= 2**62 or comb(n + k, k) * factorial(k) > 40 * MOST_STATES:
        return _drawn_orders(doubled, rng)
    keys, counts = np.zeros(1, dtype=np.int64), np.ones(1)
    for row in doubled:
        steps, times = np.unique(_orders(row)[:, :-1] @ unit.astype(np.int64), return_counts=True)
        if keys.size * steps.size > 10 * MOST_STATES:
            return _drawn_orders(doubled, rng)
        keys, counts = _merge(np.add.outer(keys, steps).ravel(), np.multiply.outer(counts, times / times.sum()).ravel())
    sums = np.column_stack([(keys // int(one)) % base for one in unit]).astype(np.float64)
    return np.column_stack([sums, doubled.sum() - sums.sum(axis=1)]), counts, False


def _drawn_orders(doubled: Integers, rng: np.random.Generator | None) -> tuple[Array, Array, bool]:
    generator = _generator(rng)
    sums = np.zeros((_DRAWS, doubled.shape[1]))
    for row in doubled:
        sums += generator.permuted(np.broadcast_to(row, (_DRAWS, row.size)), axis=1)
    return sums, np.ones(_DRAWS), True


def _orders(row: Integers) -> Integers:
    """All orders of one donor's ranks, shape (k!, k)."""
    if row.size > MOST_CONDITIONS:
        raise ValueError(f"{row.size} conditions have too many orders to count; at most {MOST_CONDITIONS} are possible")
    return np.array(list(permutations(row.tolist())), dtype=np.int64)


def _merge(keys: Integers, counts: Array) -> tuple[Integers, Array]:
    unique, place = np.unique(keys, return_inverse=True)
    return unique, np.asarray(np.bincount(place, weights=counts, minlength=unique.size), dtype=np.float64)


def _share(extreme: NDArray[np.bool_], counts: Array, *, drawn: bool) -> tuple[float, float]:
    """Share of arrangements that are as extreme as what was seen, and its Monte-Carlo standard error."""
    hits, total = float(counts[extreme].sum()), float(counts.sum())
    if not drawn:
        return min(1.0, hits / total), 0.0
    p = (hits + 1) / (total + 1)
    return p, float(np.sqrt(p * (1 - p) / total))


def _spread(doubled_sums: Array, sizes: tuple[int, ...]) -> Array:
    """Sum of squares between groups of the doubled ranks, about their expected sums; shape (n_arrangements,)."""
    n = np.array(sizes, dtype=np.float64)
    return np.asarray(((doubled_sums - n * (n.sum() + 1)) ** 2 / n).sum(axis=1))


def _generator(rng: np.random.Generator | None) -> np.random.Generator:
    if rng is None:
        raise ValueError("there are too many arrangements to count; a random generator is needed")
    return rng


def _pooled(groups: Sequence[ArrayLike]) -> tuple[Array, tuple[int, ...]]:
    arrays = [np.asarray(group, dtype=np.float64) for group in groups]
    sizes = tuple(group.size for group in arrays)
    if len(sizes) < 2 or min(sizes) < 1 or not all(np.isfinite(group).all() for group in arrays):
        raise ValueError("at least two groups of finite values are needed")
    return np.asarray(stats.rankdata(round_differences(np.concatenate(arrays))), dtype=np.float64), sizes


def _within(values: ArrayLike) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or array.shape[0] < 1 or array.shape[1] < 2 or not np.isfinite(array).all():
        raise ValueError("finite values of shape (n_donors, n_conditions) are needed, at least one donor and two conditions")
    return np.asarray(stats.rankdata(round_differences(array), axis=1), dtype=np.float64)
