"""Bootstrap intervals of a mean and a median, without drawing where the bootstrap distribution can be computed.

In: independent values of n donors (ln ratios). Out: percentile, basic, BCa, studentised and ABC limits. The mean of n
draws with replacement has the n-fold convolution of the values' own distribution; it is computed by Fourier transform
on a lattice of 2^12 steps over their range, each value split between its two neighbours so that the mean stays exact.
The median's distribution is binomial. Both are what infinitely many resamples would give, and need no seed. Only the
studentised limits are drawn, with the Monte-Carlo error that they have.

At the size of a donor study only the studentised interval has about its nominal coverage; the others are too short.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, special

Array = NDArray[np.float64]
Limits = tuple[float, float]
_STEPS = 1 << 12
_BLOCK = 1 << 15
_DIGITS, _NEAR = 5, 1e-7  # decimals of values that count as rounded, and what is the same to the machine


@dataclass(frozen=True, slots=True)
class Resampled:
    """Distribution of a statistic over all resamples: what values it takes, ascending, and how often it is at most each."""

    values: Array
    cumulative: Array

    def below(self, value: float) -> float:
        """Share of resamples below a value."""
        place = int(np.searchsorted(self.values, value))
        return float(self.cumulative[place - 1]) if place else 0.0

    def quantile(self, probability: float) -> float:
        """Smallest value that at least this share of the resamples do not exceed."""
        return float(self.values[min(int(np.searchsorted(self.cumulative, probability)), self.values.size - 1)])


@dataclass(frozen=True, slots=True)
class MeanIntervals:
    """Bootstrap of a mean: its standard error, bias correction z0, acceleration, and limits of each kind."""

    mean: float
    se: float
    z0: float
    acceleration: float
    percentile: Limits
    basic: Limits
    bca: Limits
    abc: Limits


@dataclass(frozen=True, slots=True)
class Studentised:
    """Studentised limits of a mean from drawn resamples, and the Monte-Carlo standard error of each."""

    low: float
    high: float
    low_error: float
    high_error: float
    draws: int


def resample_mean(values: ArrayLike) -> Resampled:
    """Distribution of the mean of n draws with replacement from n values, shape (n,)."""
    x = _finite(values)
    low, width = float(x.min()), float(np.ptp(x))
    if width == 0:
        return Resampled(values=x[:1], cumulative=np.ones(1))
    steps = _count_steps(x)
    place = (x - low) / width * steps
    place = np.where(np.abs(place - np.rint(place)) < _NEAR, np.rint(place), place)
    cell = np.minimum(place.astype(np.int64), steps - 1)
    atoms = np.zeros(x.size * steps + 1)
    np.add.at(atoms, cell, (1 - place + cell) / x.size)
    np.add.at(atoms, cell + 1, (place - cell) / x.size)
    size = fft.next_fast_len(atoms.size, real=True)
    shares = fft.irfft(fft.rfft(atoms, size) ** x.size, size)[: atoms.size]
    return Resampled(
        values=low + width / steps * np.arange(atoms.size) / x.size,
        cumulative=np.minimum(np.cumsum(np.maximum(shares, 0.0)), 1.0),
    )


def _count_steps(x: Array) -> int:
    """Steps of a grid over the range: those on which rounded values lie, where they are few."""
    for digits in range(_DIGITS):
        scaled = (x - x.min()) * 10.0**digits
        if np.abs(scaled - np.rint(scaled)).max() < _NEAR:
            whole = np.rint(scaled).astype(np.int64)
            steps = int(whole.max() // np.gcd.reduce(whole))
            return min(steps, _STEPS)
    return _STEPS


def resample_median(values: ArrayLike) -> Resampled:
    """Distribution of the median of n draws with replacement from n values, shape (n,)."""
    x = np.sort(_finite(values))
    n = x.size
    if n % 2:
        return Resampled(values=x, cumulative=_at_least((n + 1) // 2, n))
    lower, upper = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    half = n // 2
    apart = special.binom(n, half) * _step(lower + 1, n, half) * _step(n - upper, n, half) * (lower < upper)
    shares = apart + np.diag(np.diff(_at_least(half, n), prepend=0.0) - apart.sum(axis=1))
    middle = (x[lower] + x[upper]) / 2
    order = np.argsort(middle, axis=None, kind="stable")
    return Resampled(values=middle.ravel()[order], cumulative=np.minimum(np.cumsum(np.maximum(shares.ravel()[order], 0.0)), 1.0))


def bootstrap_mean(values: ArrayLike, *, level: float = 0.95) -> MeanIntervals:
    """Percentile, basic, BCa and ABC limits of a mean.

    Parameters
    ----------
    values : shape (n,), finite, not all equal

    Notes
    -----
    Efron 1987, JASA 82:171 (BCa); DiCiccio and Efron 1992, Biometrika 79:231 (ABC); Davison and Hinkley 1997, chapter
    5. Reference: R package boot with 99,999 resamples, case c22.
    """
    x = _finite(values)
    influence = x - x.mean()
    square = float(influence @ influence)
    if square == 0:
        raise ValueError("values that are all equal have no bootstrap interval")
    mean, se = float(x.mean()), float(np.sqrt(square)) / x.size
    drawn = resample_mean(x)
    acceleration = float((influence**3).sum()) / (6 * square**1.5)
    z0 = float(special.ndtri(drawn.below(mean - _NEAR * np.ptp(x) / _STEPS)))
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    low, high = (drawn.quantile(float(tail)) for tail in tails)
    shifted = z0 + special.ndtri(tails)
    bca = special.ndtr(z0 + shifted / (1 - acceleration * shifted))
    bent = acceleration + special.ndtri(tails)
    abc = mean + se * bent / (1 - acceleration * bent) ** 2
    return MeanIntervals(
        mean=mean,
        se=se,
        z0=z0,
        acceleration=acceleration,
        percentile=(low, high),
        basic=(2 * mean - high, 2 * mean - low),
        bca=(drawn.quantile(float(bca[0])), drawn.quantile(float(bca[1]))),
        abc=(float(abc[0]), float(abc[1])),
    )


def bootstrap_t(values: ArrayLike, rng: np.random.Generator, *, level: float = 0.95, draws: int = 500_000) -> Studentised:
    """Studentised limits of a mean, from drawn resamples; those without spread are left out.

    Notes
    -----
    Efron 1981, Can J Stat 9:139. The Monte-Carlo error of a quantile is half the distance of the order statistics one
    binomial standard error to either side of it. Reference: R package boot, case c22.
    """
    x = _finite(values)
    n, mean = x.size, float(x.mean())
    parts = []
    for start in range(0, draws, _BLOCK):
        sample = x[rng.integers(n, size=(min(_BLOCK, draws - start), n))]
        centre = sample.mean(axis=1)
        spread = np.sqrt(sample.var(axis=1, ddof=1) / n)
        parts.append((centre[spread > 0] - mean) / spread[spread > 0])
    t = np.sort(np.concatenate(parts))
    se = float(np.sqrt(x.var(ddof=1) / n))
    (upper, upper_error), (lower, lower_error) = (_sorted_quantile(t, (1 + side * level) / 2) for side in (1, -1))
    return Studentised(low=mean - se * upper, high=mean - se * lower, low_error=se * upper_error, high_error=se * lower_error, draws=t.size)


def _sorted_quantile(ordered: Array, probability: float) -> tuple[float, float]:
    rank = probability * (ordered.size + 1) - 1
    wide = np.sqrt(ordered.size * probability * (1 - probability))
    near = np.interp([rank - wide, rank, rank + wide], np.arange(ordered.size), ordered)
    return float(near[1]), float(near[2] - near[0]) / 2


def _at_least(successes: int, n: int) -> Array:
    """P(at least so many of n draws are among the k smallest values), k = 1 to n."""
    return np.asarray(special.bdtrc(successes - 1, n, np.arange(1, n + 1) / n), dtype=np.float64)


def _step(rank: NDArray[np.int64], n: int, power: int) -> Array:
    return np.asarray((rank / n) ** power - ((rank - 1) / n) ** power, dtype=np.float64)


def _finite(values: ArrayLike) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size < 2 or not np.isfinite(array).all():
        raise ValueError("finite values of at least two donors are needed")
    return array
