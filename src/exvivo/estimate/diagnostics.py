"""What is looked at beside every registered ratio, by rules that were fixed before any result was seen.

A registered row flows in with the pairs it rests on; out flow its ln ratios, one row per pair with the ratio that is left
without that donor, and a short list of diagnostics, each with what it found and what the rule allows. No diagnostic
changes an estimate or chooses a method: they tell how far the result leans on single donors, on plates, on normality.
Where a donor has several sera, the donor's mean ln ratio stands for it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from exvivo.estimate.effect import Effect, ratio
from exvivo.estimate.pairs import Pairs, bounds_of
from exvivo.numerics.censored import estimate_censored_difference
from exvivo.numerics.inference import Array
from exvivo.numerics.mixed import fit_mixed, indicate
from exvivo.numerics.normality import FEWEST, find_farthest, limit_correlation, plot_normal
from exvivo.numerics.ranks import smallest_p
from exvivo.study.model import Analysis
from exvivo.study.statuses import Diagnostic, EffectStatus, Method, RuleOutcome

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Found:
    """What a diagnostic found, and the range that its rule allows; an absent end is open. ``about``: donors or counts as text."""

    diagnostic: Diagnostic
    observed: float
    low: float | None = None
    high: float | None = None
    about: str | None = None

    @property
    def held(self) -> bool:
        """Whether what was found lies within the range, ends included."""
        slack = 1e-12 * abs(self.observed)
        return (self.low is None or self.observed >= self.low - slack) and (self.high is None or self.observed <= self.high + slack)


def list_ratios(effect: Effect, without: Mapping[str, float]) -> list[Row]:
    """The ln ratios of a registered row, one per pair; ``without`` holds the ratio that is left without each donor."""
    if effect.basis is None or effect.modifier or not effect.basis.pairs.count:
        return []
    pairs = effect.basis.pairs
    rows: list[Row] = []
    for a, b, serum, (low, high) in zip(pairs.drug, pairs.comparator, pairs.serum_donors, pairs.differences.tolist(), strict=True):
        exact = low == high
        rows.append(
            _name(effect)
            | {
                "donor": a.donor,
                "serum_donor": serum or None,
                "log_ratio": low if exact else None,
                "lower_bound": None if exact or low == -np.inf else low,
                "upper_bound": None if exact or high == np.inf else high,
                "same_plates": a.plates == b.plates if a.plates and b.plates else None,
                "ratio_without_donor": without.get(a.donor),
            }
        )
    return rows


def leave_out(effect: Effect) -> dict[str, float]:
    """Ratio of an estimated row when one donor is left out in turn, by the row's own kind of estimator."""
    if effect.basis is None or effect.modifier or effect.status is not EffectStatus.ESTIMATED:
        return {}
    pairs = effect.basis.pairs
    left: dict[str, float] = {}
    for donor in dict.fromkeys(pairs.donors):
        value = _centre(pairs.pick(i for i, other in enumerate(pairs.donors) if other != donor), effect.method)
        if value is not None:
            left[donor] = value
    return left


def _centre(pairs: Pairs, method: Method | None) -> float | None:
    """Ratio of pairs: maximum likelihood with censored ones, generalised least squares where donors or sera repeat, else the mean."""
    if pairs.count < 2:
        return None
    if not pairs.exact.all():
        try:
            return ratio(estimate_censored_difference(bounds_of(pairs.drug), bounds_of(pairs.comparator)))
        except ValueError:
            return None
    d = pairs.differences[:, 0]
    repeated = [names for names in (pairs.donors, pairs.serum_donors) if 1 < len(set(names)) < len(names)]
    if method is Method.PAIRED_T or not repeated or np.ptp(d) == 0:
        return ratio(float(d.mean()))
    fit = fit_mixed(d, np.ones((d.size, 1)), [indicate(names) for names in repeated])
    return ratio(float(fit.coefficients[0]))


def list_diagnostics(effect: Effect, without: Mapping[str, float], analysis: Analysis) -> list[Row]:
    """Diagnostics of a registered row without a modifier, in a fixed order."""
    if effect.basis is None or effect.modifier or not effect.basis.pairs.count:
        return []
    return [
        _name(effect)
        | {
            "diagnostic": found.diagnostic.value,
            "observed": found.observed,
            "low": found.low,
            "high": found.high,
            "outcome_of_rule": (RuleOutcome.HELD if found.held else RuleOutcome.FAILED).value,
            "about": found.about,
        }
        for found in (*_look(effect.basis.pairs, analysis), *_look_without(effect, without))
    ]


def _look(pairs: Pairs, analysis: Analysis) -> Iterator[Found]:
    donors = list(dict.fromkeys(pairs.donors))
    yield Found(Diagnostic.DONORS, float(len(donors)), low=float(analysis.min_pairs))
    yield Found(Diagnostic.SMALLEST_P, smallest_p(len(donors)), high=analysis.alpha)
    yield Found(Diagnostic.CENSORED, pairs.censored_share(), high=analysis.censoring.max_fraction)
    placed = [a.plates == b.plates for a, b in zip(pairs.drug, pairs.comparator, strict=True) if a.plates and b.plates]
    if placed:
        yield Found(Diagnostic.SAME_PLATE, sum(placed) / len(placed), low=1.0)
    yield from _look_at_shape(pairs, donors, analysis.confidence)


def _look_at_shape(pairs: Pairs, donors: list[str], level: float) -> Iterator[Found]:
    """Normality, the farthest donor and dependence on the level, from donors all of whose pairs are measured."""
    names, exact = np.array(pairs.donors), pairs.exact
    measured = [donor for donor in donors if exact[names == donor].all()]
    d = np.array([pairs.differences[names == donor, 0].mean() for donor in measured])
    if d.size < FEWEST or np.ptp(d) <= 1e-12 * float(np.abs(d).max()):
        return
    counted = f"{d.size}/{len(donors)}"
    yield Found(Diagnostic.NORMAL_PLOT, float(plot_normal(d, level=level).outside), high=0.0, about=counted)
    farthest = find_farthest(d, level=level)
    yield Found(Diagnostic.FARTHEST, abs(farthest.residual), high=farthest.limit, about=measured[farthest.place])
    middle = _levels(pairs, names, measured)
    if np.ptp(middle) > 0:
        limit = limit_correlation(d.size, level=level)
        yield Found(Diagnostic.LEVEL, float(np.corrcoef(d, middle)[0, 1]), low=-limit, high=limit, about=counted)


def _levels(pairs: Pairs, names: np.ndarray[tuple[int, ...], np.dtype[np.str_]], measured: list[str]) -> Array:
    """Mean ln value over both conditions of each donor."""
    middle = 0.5 * (bounds_of(pairs.drug)[:, 0] + bounds_of(pairs.comparator)[:, 0])
    return np.array([middle[names == donor].mean() for donor in measured])


def _look_without(effect: Effect, without: Mapping[str, float]) -> Iterator[Found]:
    """The ratio that moves farthest when one donor leaves, against the interval of the estimate."""
    if not without or effect.estimate is None or effect.ci_low is None or effect.ci_high is None:
        return
    estimate = effect.estimate
    donor = max(without, key=lambda name: abs(np.log(without[name] / estimate)))
    yield Found(Diagnostic.LEAVE_ONE_OUT, without[donor], low=effect.ci_low, high=effect.ci_high, about=donor)


def _name(effect: Effect) -> Row:
    return {"outcome": effect.outcome, "readout": effect.readout, "contrast": effect.contrast}
