"""Several levels of the drug in one donor: every level against the comparator at once, and the trend over doses.

Flows in: readings of each level, one per donor. Flows out: supplementary rows. All levels share one mixed model of the ln values
with a donor intercept (REML, Kenward-Roger), so that donors with a missing level still count. Comparisons with the
comparator have Dunnett's adjusted p-values and simultaneous intervals; the trend is the linear contrast of the levels' means over the
order of their doses, as a ratio per step. Where the registered contrast is one of these comparisons it stays as it is. Values beyond
a limit cannot enter: they are left out and counted, and a level that would lose more of them than the registered rule allows, or
that few donors have, is no part of the model and keeps a row that says why. Without the comparator nothing is compared.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from exvivo.estimate.contrasts import Rules
from exvivo.estimate.effect import Basis, Effect
from exvivo.estimate.pairs import Pairs, Reading
from exvivo.numerics.inference import Array, Estimate
from exvivo.numerics.mixed import MixedFit, fit_mixed, indicate
from exvivo.numerics.simultaneous import adjust_single_step, correlate, critical_value
from exvivo.study.statuses import EffectRole, Method, Reason

TREND = "trend"
_FEWEST = 3
"""Levels that make a series."""


@dataclass(frozen=True, slots=True)
class Series:
    """Readings by level, the comparator among them, and the dose of each level where the protocol tells it."""

    levels: Mapping[str, Sequence[Reading]]
    comparator: str
    doses: Mapping[str, float]

    @property
    def others(self) -> list[str]:
        """Levels beside the comparator."""
        return [level for level in self.levels if level != self.comparator]

    @property
    def order(self) -> tuple[str, ...]:
        """Levels with the comparator first."""
        return self.comparator, *self.others


@dataclass(frozen=True, slots=True)
class _Fitted:
    fit: MixedFit
    order: tuple[str, ...]

    def means(self, weights: Mapping[str, float]) -> Array:
        """Weights of the coefficients for a weighted sum of levels' means whose weights sum to zero; the first level is the intercept."""
        return np.array([0.0, *(weights.get(level, 0.0) for level in self.order[1:])])


def is_series(levels: Mapping[str, Sequence[Reading]], comparator: str) -> bool:
    """Whether there are more than two levels, the comparator among them."""
    return comparator in levels and len(levels) >= _FEWEST


def estimate_series(base: Effect, series: Series, rules: Rules) -> Iterator[Effect]:
    """Supplementary rows of a series; `base` has its outcome, readout and counts of wells or None."""
    whole = replace(base, role=EffectRole.SUPPLEMENTARY)
    refused = _list_refused(series, rules)
    kept = Series({level: found for level, found in series.levels.items() if level not in refused}, series.comparator, series.doses)
    rows = {level: replace(_name(whole, level, series), method=Method.DUNNETT).refused(reason) for level, reason in refused.items()}
    dosed = all(level in series.doses for level in series.levels)
    if kept.others:
        rows |= _estimate(whole, kept, rules, trend=dosed and not refused)
    if dosed and refused:
        rows[TREND] = replace(whole, contrast=TREND, method=Method.TREND).refused(next(iter(refused.values())))
    yield from (rows[name] for name in (*series.others, TREND) if name in rows)


def _list_refused(series: Series, rules: Rules) -> dict[str, Reason]:
    """Levels that are no part of the model, all of them without the comparator, and why."""
    found: dict[str, Reason] = {}
    measured = Counter(level for _, level in _used(series))
    for level, readings in series.levels.items():
        censored = sum(not reading.exact for reading in readings)
        if censored > rules.analysis.censoring.max_left_out * len(readings):
            found[level] = Reason.TOO_MUCH_CENSORED
        elif measured[level] < rules.analysis.min_pairs:
            found[level] = Reason.TOO_FEW_DONORS
    return dict.fromkeys(series.levels, found[series.comparator]) | found if series.comparator in found else found


def _name(base: Effect, level: str, series: Series) -> Effect:
    return replace(base, contrast=f"{level}/{series.comparator}")


def _estimate(base: Effect, series: Series, rules: Rules, *, trend: bool) -> dict[str, Effect]:
    """Rows by level, and of the trend."""
    used = _used(series)
    basis = Basis(Pairs((), (), single_drug=tuple(r for r, _ in used)), values=tuple(level for _, level in used), levels=series.order)
    described = replace(base, basis=basis, donors=len({r.donor for r, _ in used}), measurements=sum(r.measurements for r, _ in used))
    left_out = sum(len(readings) for readings in series.levels.values()) - len(used)
    described = described.noting({"values_left_out": left_out or None})
    try:
        fitted = _fit(used, series)
    except (ValueError, np.linalg.LinAlgError):
        rows = {level: replace(_name(described, level, series), method=Method.DUNNETT) for level in series.others}
        return {level: row.refused(Reason.NOT_CONVERGED) for level, row in rows.items()}
    compared = dict(zip(series.others, _compare(described, fitted, series, rules), strict=True))
    return compared | ({TREND: _trend(described, fitted, series, rules)} if trend else {})


def _used(series: Series) -> list[tuple[Reading, str]]:
    """Exact readings of donors that have at least two of them."""
    exact = [(reading, level) for level, readings in series.levels.items() for reading in readings if reading.exact]
    count = Counter(reading.donor for reading, _ in exact)
    return [(reading, level) for reading, level in exact if count[reading.donor] > 1]


def _fit(used: Sequence[tuple[Reading, str]], series: Series) -> _Fitted:
    order = series.order
    y = np.array([reading.low for reading, _ in used])
    X = np.array([[1.0, *(float(level == other) for other in order[1:])] for _, level in used])
    return _Fitted(fit_mixed(y, X, [indicate([reading.donor for reading, _ in used])]), order)


def _compare(base: Effect, fitted: _Fitted, series: Series, rules: Rules) -> Iterator[Effect]:
    level = rules.analysis.confidence
    rows = np.array([fitted.means({other: 1.0}) for other in series.others])
    estimates = [fitted.fit.contrast(row, level=level) for row in rows]
    R = correlate(rows, fitted.fit.covariance_adjusted)
    dfs = [estimate.df for estimate in estimates]
    adjusted = adjust_single_step([estimate.t for estimate in estimates], R, dfs)
    for other, estimate, p in zip(series.others, estimates, adjusted.tolist(), strict=True):
        row = _name(base, other, series).estimated(_widen(estimate, R, level), Method.DUNNETT)
        yield replace(row, p=estimate.p, p_adjusted=max(p, estimate.p)).noting({"comparisons": len(series.others)})


def _widen(estimate: Estimate, correlation: Array, level: float) -> Estimate:
    """The estimate with an interval that holds together with those of the other comparisons."""
    half = critical_value(correlation, estimate.df, level=level) * estimate.se
    return replace(estimate, low=estimate.estimate - half, high=estimate.estimate + half)


def _trend(base: Effect, fitted: _Fitted, series: Series, rules: Rules) -> Effect:
    steps = {dose: float(i) for i, dose in enumerate(sorted({series.doses[level] for level in series.levels}))}
    scores = {level: steps[series.doses[level]] for level in series.levels}
    centre = float(np.mean(list(scores.values())))
    size = sum((score - centre) ** 2 for score in scores.values())
    weights = {level: (score - centre) / size for level, score in scores.items()}
    slope = fitted.fit.contrast(fitted.means(weights), level=rules.analysis.confidence)
    moves = np.array([[weights[level]] for level in series.order])
    row = replace(base, contrast=TREND, basis=None if base.basis is None else replace(base.basis, moves=moves))
    return row.estimated(slope, Method.TREND).noting({"steps": len(steps) - 1})
