"""What standard curves add to the error of an effect.

An effect and its pairs flow in, the effect with a wider interval flows out. All specimens of a plate share the error of its
curve. What of it differs between pairs is in their scatter already; what they have in common is not, however many donors
there are: with all pairs on one plate their mean moves with its curve. With K the shared covariance of the n ln ratios, the mean has
variance 1'K1 / n^2 from it, of which the scatter between pairs has shown (tr K - 1'K1 / n) / (n (n - 1)); the
difference is added. Degrees of freedom stay those of the donors, so that the interval is never narrower than the paired one.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtr, stdtrit

from exvivo.estimate.effect import Effect, ratio
from exvivo.estimate.pairs import Pairs
from exvivo.numerics.inference import Array, error_of_interval
from exvivo.study.statuses import EffectStatus

Loadings = Mapping[tuple[str, str], Array]
"""Loading of each (plate, specimen) on the errors shared by its plate, shape (6,), ln units."""


@dataclass(frozen=True, slots=True)
class Shared:
    """Variance of a mean ln ratio that comes from curves, and the part of it that the scatter between pairs does not show."""

    variance: float
    unseen: float


def carry_calibration(effect: Effect, pairs: Pairs, loadings: Loadings, level: float) -> Effect:
    """The effect with the curves' error in its interval and p, and the share of variance that comes from curves in its detail."""
    shared = share_of_curves(pairs, loadings)
    if shared is None or effect.status is not EffectStatus.ESTIMATED:
        return effect
    if effect.df is None or not (effect.estimate and effect.ci_low and effect.ci_high):
        return effect
    low, middle, high = (math.log(part) for part in (effect.ci_low, effect.estimate, effect.ci_high))
    se = error_of_interval(low, high, effect.df, level=level)
    if se <= 0:
        return effect
    noted = effect.noting({"calibration_share": shared.variance / (se**2 + shared.unseen)})
    if shared.unseen <= 0:
        return noted
    basis = None if effect.basis is None else replace(effect.basis, unseen=shared.unseen)
    more = float(stdtrit(effect.df, 0.5 + level / 2)) ** 2 * shared.unseen
    return replace(
        noted,
        basis=basis,
        ci_low=ratio(middle - math.sqrt((middle - low) ** 2 + more)),
        ci_high=ratio(middle + math.sqrt((high - middle) ** 2 + more)),
        p=_dilute(effect.p, effect.df, se / math.sqrt(se**2 + shared.unseen)),
    )


def _dilute(p: float | None, df: float, factor: float) -> float | None:
    """The p-value when the statistic behind it shrinks by a factor."""
    if p is None or p <= 0:
        return p
    return float(2 * stdtr(df, float(stdtrit(df, p / 2)) * factor))


def share_of_curves(pairs: Pairs, loadings: Loadings) -> Shared | None:
    """Variance of the mean ln ratio that is shared on curves; None where no curve is known.

    Members of a pair on one plate move together, so that most of it cancels.
    """
    n = pairs.count
    moved: dict[str, Array] = {}
    for sign, readings in ((1.0, pairs.drug), (-1.0, pairs.comparator)):
        for i, reading in enumerate(readings):
            places = [(plate, s) for plate in reading.plates for s in reading.specimens if (plate, s) in loadings]
            for plate, specimen in places:
                part = loadings[plate, specimen]
                moved.setdefault(plate, np.zeros((n, part.size)))[i] += sign * part / len(places)
    if not moved:
        return None
    together = sum(float(np.sum(part.sum(axis=0) ** 2)) for part in moved.values())
    apart = sum(float(np.sum(part**2)) for part in moved.values())
    variance = together / n**2
    shown = (apart - together / n) / (n * (n - 1)) if n > 1 else 0.0
    return Shared(variance, max(variance - shown, 0.0))
