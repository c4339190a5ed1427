"""Power, sample size and detectable ratio of t tests of ln ratios, and of correlations; exact, and simulated.

In: the size of an effect in ln units, the SD of the ln ratios between donors, numbers of donors. Out: probability that
the registered test rejects. The exact figures are those of the noncentral t distribution; `simulate_power` draws
studies and counts, which checks them and tells its own error. What an interaction can tell is in `numerics.precision`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

Array = NDArray[np.float64]
_BLOCK = 1 << 15


class Rejects(StrEnum):
    """Which tail of a two-sided test counts as power."""

    EITHER = "either"  # any rejection
    RIGHT_SIDE = "right-side"  # only one in the direction of the effect, as R's power.t.test unless it is strict


@dataclass(frozen=True, slots=True)
class Simulated:
    """Share of simulated studies that reject, and its standard error."""

    power: float
    error: float


def power_of_mean(n: float, effect: float, sd: float, *, alpha: float = 0.05, rejects: Rejects = Rejects.EITHER) -> float:
    """Power of the paired (one-sample) t test.

    Parameters
    ----------
    n : donors; need not be whole
    effect, sd : mean of the ln ratios under the alternative, and their SD

    Notes
    -----
    Reference: R ``power.t.test(type = "paired")`` and ``pwr::pwr.t.test``, case c23.

    Examples
    --------
    >>> round(power_of_mean(15, np.log(0.7), 0.45), 4)
    0.8143
    """
    return _power_of_t(max(1e-7, n - 1), float(np.sqrt(n)) * abs(effect) / _positive(sd), alpha, rejects)


def power_of_difference(n1: float, n2: float, effect: float, sd: float, *, alpha: float = 0.05) -> float:
    """Power of the two-sample t test of ln ratios: a modifier with two levels, the effect the ln ratio of ratios.

    Notes
    -----
    Reference: R ``pwr::pwr.t2n.test``, case c23.
    """
    return _power_of_t(n1 + n2 - 2, abs(effect) / (_positive(sd) * float(np.sqrt(1 / n1 + 1 / n2))), alpha, Rejects.EITHER)


def power_of_correlation(n: float, r: float, *, alpha: float = 0.05) -> float:
    """Power of the test of a correlation, by Fisher's z with its bias; R ``pwr::pwr.r.test``, case c23."""
    t = float(special.stdtrit(n - 2, 1 - alpha / 2))
    critical = float(np.arctanh(np.sqrt(t * t / (t * t + n - 2))))
    z = float(np.arctanh(abs(r))) + abs(r) / (2 * (n - 1))
    return float(special.ndtr((z - critical) * np.sqrt(n - 3)) + special.ndtr((-z - critical) * np.sqrt(n - 3)))


def donors_for(power: float, effect: float, sd: float, *, alpha: float = 0.05, rejects: Rejects = Rejects.RIGHT_SIDE) -> float:
    """Donors, not rounded, at which the paired t test has the power asked for; at least 2."""
    if effect == 0:
        raise ValueError("no number of donors finds an effect of nothing")
    return _root(lambda n: power_of_mean(n, effect, sd, alpha=alpha, rejects=rejects) - power, 2.0)


def detectable_effect(n: float, power: float, sd: float, *, alpha: float = 0.05, rejects: Rejects = Rejects.RIGHT_SIDE) -> float:
    """Mean ln ratio (positive) that n donors find with the power asked for."""
    return sd * _root(lambda size: power_of_mean(n, size, 1.0, alpha=alpha, rejects=rejects) - power, 0.0)


def sd_of_ratio(sd_effect: float, sd_replicate: float, replicates: float) -> float:
    """SD of the ln ratio of a donor: that of the true ratio, and replicates of both arms averaged on logs."""
    return float(np.sqrt(sd_effect**2 + 2 * sd_replicate**2 / replicates))


def simulate_power(n: int, effect: float, sd: float, rng: np.random.Generator, *, alpha: float = 0.05, studies: int = 20_000) -> Simulated:
    """Share of simulated studies of n donors whose paired t test rejects."""
    critical = float(special.stdtrit(n - 1, 1 - alpha / 2))
    hits = 0
    for start in range(0, studies, _BLOCK):
        d = rng.standard_normal((min(_BLOCK, studies - start), n)) * sd + effect
        mean = d.mean(axis=1)
        square = np.einsum("ij,ij->i", d, d) - n * mean**2
        hits += int((np.abs(mean) * np.sqrt(n * (n - 1)) > critical * np.sqrt(square)).sum())
    share = hits / studies
    return Simulated(power=share, error=float(np.sqrt(share * (1 - share) / studies)))


def _power_of_t(df: float, noncentrality: float, alpha: float, rejects: Rejects) -> float:
    critical = float(special.stdtrit(df, 1 - alpha / 2))
    missed, opposite = np.nan_to_num(special.nctdtr(df, noncentrality, [critical, -critical]))  # not a number where below 1e-15
    return float(1 - missed + (opposite if rejects is Rejects.EITHER else 0.0))


def _root(excess: Callable[[float], float], low: float) -> float:
    """Where a rising function crosses zero, at or above `low`."""
    if excess(low) >= 0:
        return low
    high = max(2 * low, 1.0)
    while excess(high) < 0:
        high *= 2
        if high > 1e9:
            raise ValueError("the power asked for is not reached at any size")
    return float(optimize.brentq(excess, low, high, xtol=1e-12, rtol=1e-13))


def _positive(sd: float) -> float:
    if not sd > 0:
        raise ValueError("a standard deviation above zero is needed")
    return sd
