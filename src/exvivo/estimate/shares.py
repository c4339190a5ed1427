"""What the interval of an estimate is made of: curves, gates, readings, donors.

An estimate's variance, its pairs and what is known of their errors flow in; the share of each in that variance flows out. Curves:
everything that the plates share, whether the scatter between pairs shows it or not. Gates: their jackknife variance per donor, taken
as independent between the two conditions, hence at most that. Readings: error of wells or events, or the spread of replicate
cultures where that is larger. Donors: the rest, which is how people differ, and every error of the bench that nothing else tells.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from exvivo.estimate.pairs import Key, Pairs, Reading
from exvivo.numerics.inference import Array


@dataclass(frozen=True, slots=True)
class KnownErrors:
    """Variance of an estimate from curves, and of one value from gates, by donor."""

    curves: float = 0.0
    gates: Mapping[str, float] = field(default_factory=dict)


def share_variance(total: float, pairs: Pairs, known: KnownErrors, weights: Array | None = None) -> dict[str, float]:
    """Shares of a variance, summing to one; ``weights`` (n,) are those of the ln ratios in the estimate, of a mean if absent.

    Errors that together exceed the variance, by chance, are shrunk to it and leave nothing to the donors.
    """
    w = np.full(pairs.count, 1 / pairs.count) if weights is None else weights
    used = _weigh_readings(pairs, w)
    readings = sum(weight**2 * reading.error for reading, weight in used)
    gates = sum(weight**2 * known.gates.get(reading.donor, 0.0) for reading, weight in used)
    told = np.array([known.curves, gates, readings]) / total
    told /= max(1.0, float(told.sum()))
    names = ("calibration_share", "gating_share", "reading_share")
    return {**dict(zip(names, told.tolist(), strict=True)), "donor_share": max(0.0, 1.0 - float(told.sum()))}


def _weigh_readings(pairs: Pairs, w: Array) -> list[tuple[Reading, float]]:
    """Every reading once with its weight in the estimate: a comparator may stand in several pairs."""
    weights: defaultdict[tuple[int, Key], float] = defaultdict(float)
    readings: dict[tuple[int, Key], Reading] = {}
    for arm, side in enumerate((pairs.drug, pairs.comparator)):
        for reading, weight in zip(side, w.tolist(), strict=True):
            readings[arm, reading.key] = reading
            weights[arm, reading.key] += weight
    return [(reading, weights[key]) for key, reading in readings.items()]
