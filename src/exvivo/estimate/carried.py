"""What standard curves add to the error of an effect.

An effect and its pairs flow in, the effect with a wider interval flows out. All specimens of a plate share the error of its
curve. What of it differs between pairs is in their scatter already; what they have in common is not, however many donors
there are: with all pairs on one plate their mean moves with its curve. With K the shared covariance of the n ln ratios, an estimate
that weights them by w has variance w'Kw from it, of which the scatter around the design X has shown w'w tr(MK) / (n - p), M the
projection on what X leaves over; the difference is added. For a mean, w = 1 / n, that is 1'K1 / n^2 less
(tr K - 1'K1 / n) / (n (n - 1)). Degrees of freedom stay those of the donors, so that the interval is never narrower than the paired one.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from scipy.special import stdtr, stdtrit

from exvivo.estimate.effect import Effect, ratio
from exvivo.estimate.pairs import Pairs, Reading
from exvivo.numerics.inference import Array, error_of_interval
from exvivo.study.run import LOADINGS
from exvivo.study.statuses import EffectStatus

Place = tuple[str, str]
"""Plate and specimen."""

_SMALLEST_SE = 1e-6


@dataclass(frozen=True, slots=True)
class Curves:
    """What the concentrations of one analyte share on the curves of their plates, by plate and specimen.

    Attributes
    ----------
    loading : on the errors that its plate shares, ln units, of the same length for all
    se : error of its reading; absent where it is censored
    """

    loading: Mapping[Place, Array]
    se: Mapping[Place, float]

    @classmethod
    def of(cls, frame: pl.DataFrame) -> "Curves":
        """From rows of SHARED_ERROR of one analyte."""
        rows = {(str(row["plate"]), str(row["specimen"])): row for row in frame.iter_rows(named=True)}
        return cls(
            {place: np.array([row[name] for name in LOADINGS], dtype=np.float64) for place, row in rows.items()},
            {place: float(row["se_log"]) for place, row in rows.items() if row["se_log"] is not None},
        )

    def loadings(self, pairs: Pairs) -> Array:
        """Loadings of the ln ratios, shape (n, q), columns of their own for each plate; no columns where no curve is known."""
        plates = sorted({plate for plate, _ in self.loading})
        alone = np.eye(len(plates))
        vectors = {place: np.kron(alone[plates.index(place[0])], loading) for place, loading in self.loading.items()}
        moved = self.spread(pairs.drug, vectors) - self.spread(pairs.comparator, vectors)
        return moved[:, (moved != 0).any(axis=0)]

    def spread(self, readings: tuple[Reading, ...], vectors: Mapping[Place, Array]) -> Array:
        """Each reading's mean of what belongs to its plates and specimens, shape (n, q); zero where nothing is known of it."""
        size = len(next(iter(vectors.values()))) if vectors else 0
        found = np.zeros((len(readings), size))
        for i, reading in enumerate(readings):
            for place, weight in self.weigh(reading).items():
                found[i] += weight * vectors[place]
        return found

    def weigh(self, reading: Reading) -> dict[Place, float]:
        """What each place contributes to a reading: specimens alike, the plates of a specimen by precision, as they were combined."""
        weights: dict[Place, float] = {}
        grouped = [[place for plate in reading.plates if (place := (plate, name)) in self.loading] for name in reading.specimens]
        known = [places for places in grouped if places]
        for places in known:
            precise = all(place in self.se for place in places)
            raw = {place: 1 / max(self.se[place], _SMALLEST_SE) ** 2 if precise else 1.0 for place in places}
            whole = math.fsum(raw.values()) * len(known)
            weights.update((place, weight / whole) for place, weight in raw.items())
        return weights


@dataclass(frozen=True, slots=True)
class Shared:
    """Variance of an estimate that comes from curves, and the part of it that the scatter between pairs does not show."""

    variance: float
    unseen: float


def share_of_curves(loadings: Array, weights: Array | None = None, design: Array | None = None) -> Shared:
    """Variance that an estimate from ln ratios has from curves.

    Parameters
    ----------
    loadings : shape (n, q), of the ln ratios; members of a pair on one plate move together, so that most of it cancels
    weights : shape (n,), of the ln ratios in the estimate; the mean if absent
    design : shape (n, p), around which their scatter is taken; a constant if absent
    """
    n = len(loadings)
    w = np.full(n, 1 / n) if weights is None else weights
    X = np.ones((n, 1)) if design is None else design
    variance = float(np.sum((w @ loadings) ** 2))
    left = loadings - X @ np.linalg.lstsq(X, loadings)[0]
    spare = n - X.shape[1]
    shown = float(w @ w) * float(np.sum(left**2)) / spare if spare > 0 else 0.0
    return Shared(variance, max(variance - shown, 0.0))


def error_of(effect: Effect, level: float) -> float | None:
    """Standard error behind the interval of an estimate on the ln scale; None where there is none."""
    if effect.status is not EffectStatus.ESTIMATED or effect.df is None or not (effect.estimate and effect.ci_low and effect.ci_high):
        return None
    return error_of_interval(math.log(effect.ci_low), math.log(effect.ci_high), effect.df, level=level) or None


def carry_calibration(effect: Effect, shared: Shared, level: float) -> Effect:
    """The effect with the unseen error of curves in its interval and p."""
    se = error_of(effect, level)
    if se is None or effect.df is None or not (effect.estimate and effect.ci_low and effect.ci_high) or shared.unseen <= 0:
        return effect
    low, middle, high = (math.log(part) for part in (effect.ci_low, effect.estimate, effect.ci_high))
    basis = None if effect.basis is None else replace(effect.basis, unseen=shared.unseen)
    more = float(stdtrit(effect.df, 0.5 + level / 2)) ** 2 * shared.unseen
    return replace(
        effect,
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
