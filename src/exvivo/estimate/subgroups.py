"""Does a clinical variable change the effect? One ln ratio per donor against the variable.

With complete pairs the interaction of drug and variable in the mixed model is the linear model of the ln
ratios (``numerics.paired``). A binary variable gives the ratio of the two levels' ratios, a score the change per
step, several levels a joint F test and no single number. Every level has its own ratio in a supplementary
row, from the one model with one variance and without a p-value, since comparing p-values between levels is
not comparing levels. Donors whose variable is missing are counted, never guessed; a level with too few donors
keeps its row without an estimate and stays out of the joint test. Beside them: levels shrunken towards their mean, the
slope on a score without the error of the score, the same comparison with censored pairs as intervals, and in the detail of
every registered row what it could have found.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from exvivo.estimate.bounded import BoundedPairs, estimate_bounded
from exvivo.estimate.contrasts import Rules, describe_pairs
from exvivo.estimate.effect import Basis, Effect
from exvivo.estimate.levels import list_levels
from exvivo.estimate.pairs import Pairs
from exvivo.estimate.precision import list_deviations, tell_several_levels, tell_slope, tell_two_levels
from exvivo.numerics.attenuation import Reliability, correct_slope, estimate_reliability
from exvivo.numerics.inference import Array, Estimate
from exvivo.numerics.paired import compare_welch, design_levels, design_slope, differences_of_levels, fit_linear
from exvivo.study.model import Modifier, ModifierKind
from exvivo.study.statuses import EffectRole, EffectStatus, Method, Reason


@dataclass(frozen=True, slots=True)
class KnownPairs:
    """Exact pairs whose donor has a known value of the modifier, and what was left out.

    ``values`` are labels or numbers as text; ``deviations`` are the standard deviations that precision is told for.
    """

    pairs: Pairs
    values: tuple[str, ...]
    facts: Mapping[str, int]
    deviations: Mapping[str, float]

    @property
    def ratios(self) -> Array:
        """Ln ratio of each donor, shape (n,)."""
        return self.pairs.differences[:, 0]


def estimate_modifier(base: Effect, pairs: Pairs, values: Mapping[str, str | None], modifier: Modifier, rules: Rules) -> list[Effect]:
    """Registered row of a modifier, then its level rows and sensitivities; `values` by donor, as printed in outcomes."""
    if pairs.count < rules.analysis.min_pairs:
        return [base.refused(Reason.TOO_FEW_DONORS, {"pairs": pairs.count, "needed": rules.analysis.min_pairs})]
    bounded = estimate_bounded(base, _with_side(pairs, values, modifier), modifier, rules)
    censored = int((~pairs.exact).sum())
    if censored > rules.analysis.censoring.max_left_out * pairs.count:
        return [base.refused(Reason.TOO_MUCH_CENSORED, {"censored_pairs": censored, "pairs": pairs.count}), *bounded]
    known = _take(pairs, values, modifier, rules)
    described = describe_pairs(base, known.pairs, wells=base.wells is not None)
    noted = replace(described.noting({key: n for key, n in known.facts.items() if n}), basis=Basis(known.pairs, values=known.values))
    if not known.pairs.count:
        return [noted.refused(Reason.MODIFIER_MISSING)]
    estimate = _slope if modifier.kind is ModifierKind.CONTINUOUS else _levels
    return [*estimate(noted, known, modifier, rules), *bounded]


def lay_out(pairs: Pairs, values: Mapping[str, str | None], modifier: Modifier, rules: Rules) -> tuple[Pairs, tuple[str, ...], Array]:
    """Pairs of a modifier's linear model, their values, and its design (n, p) as its registered row has it.

    Column 1 of a slope or a binary variable is the effect; several levels have one column of indicators each.
    """
    known = _take(pairs, values, modifier, rules)
    if modifier.kind is ModifierKind.CONTINUOUS:
        return known.pairs, known.values, design_slope([float(value) for value in known.values], per=modifier.per)
    binary = modifier.kind is ModifierKind.BINARY
    levels = (modifier.no_label, modifier.yes_label) if binary else modifier.levels
    kept = [level for level in levels if known.values.count(level) >= rules.analysis.min_per_level]
    rows = [i for i, value in enumerate(known.values) if value in kept]
    labels = tuple(known.values[i] for i in rows)
    design = design_slope([float(value == modifier.yes_label) for value in labels]) if binary else design_levels(labels, kept)
    return known.pairs.pick(rows), labels, design


def _with_side(pairs: Pairs, values: Mapping[str, str | None], modifier: Modifier) -> BoundedPairs:
    """All pairs, censored ones included, whose donor has a usable value."""
    sides = [_side(values.get(donor), modifier) for donor in pairs.donors]
    kept = [i for i, side in enumerate(sides) if side is not None]
    return BoundedPairs(pairs.pick(kept), tuple(side for side in sides if side is not None))


def _take(pairs: Pairs, values: Mapping[str, str | None], modifier: Modifier, rules: Rules) -> KnownPairs:
    """Exact pairs whose donor has a usable value, on its side if binary; every pair left out counts under one reason."""
    facts: Counter[str] = Counter()
    kept: list[tuple[int, str]] = []
    for i, (donor, exact) in enumerate(zip(pairs.donors, pairs.exact, strict=True)):
        text = values.get(donor)
        side = _side(text, modifier)
        if text is None or (side is None and modifier.kind is ModifierKind.CONTINUOUS):
            facts["missing"] += 1
        elif side is None:
            facts["left_out"] += 1
        elif exact:
            kept.append((i, side))
        else:
            facts["censored_pairs"] += 1
    deviations = list_deviations(pairs.differences[pairs.exact, 0], rules.analysis)
    return KnownPairs(pairs.pick([i for i, _ in kept]), tuple(side for _, side in kept), facts, deviations)


def _side(text: str | None, modifier: Modifier) -> str | None:
    """Level of the analysis that a printed value belongs to; None for none."""
    if text is None:
        return None
    if modifier.kind is ModifierKind.BINARY:
        return modifier.yes_label if text in modifier.yes else modifier.no_label if text in modifier.no else None
    if modifier.kind is ModifierKind.CATEGORICAL:
        return text if text in modifier.levels else None
    try:
        return text if np.isfinite(float(text)) else None
    except ValueError:
        return None


def _slope(base: Effect, known: KnownPairs, modifier: Modifier, rules: Rules) -> list[Effect]:
    score = np.array([float(value) for value in known.values])
    if score.size < 3 or np.ptp(score) == 0:
        return [base.refused(Reason.TOO_FEW_DONORS, {"donors": int(score.size)})]
    steps = (score - score.mean()) / modifier.per
    fit = fit_linear(known.ratios, np.column_stack([np.ones_like(steps), steps])).contrast([0, 1], level=rules.analysis.confidence)
    noted = base.noting({"per": modifier.per})
    registered = noted.estimated(fit, Method.LINEAR).noting(tell_slope(known.deviations, steps, rules.analysis))
    if modifier.measurement_sd is None:
        return [registered]
    reliability = estimate_reliability(score, modifier.measurement_sd)
    told = {"reliability": reliability.share}
    beside = replace(noted, role=EffectRole.SUPPLEMENTARY).noting({**told, "measurement_sd": modifier.measurement_sd})
    return [registered.noting(told), _correct(beside, fit, reliability)]


def _correct(base: Effect, slope: Estimate, reliability: Reliability) -> Effect:
    """The slope without the score's error; no p, since whether there is a slope at all is the same question with and without it."""
    if reliability.share <= 0:
        return replace(base, method=Method.CALIBRATED).refused(Reason.SCORE_UNRELIABLE)
    return replace(base.estimated(correct_slope(slope, reliability), Method.CALIBRATED), p=None)


def _levels(base: Effect, known: KnownPairs, modifier: Modifier, rules: Rules) -> list[Effect]:
    binary = modifier.kind is ModifierKind.BINARY
    levels = (modifier.no_label, modifier.yes_label) if binary else modifier.levels
    counts = {level: known.values.count(level) for level in levels}
    kept = [level for level in levels if counts[level] >= rules.analysis.min_per_level]
    rows = np.array([value in kept for value in known.values], dtype=bool)
    labels = [value for value in known.values if value in kept]
    compared = known.pairs.pick(np.flatnonzero(rows))
    noted = replace(base.noting({"donors_per_level": counts}), basis=Basis(compared, values=tuple(labels), levels=tuple(kept)))
    fit = fit_linear(known.ratios[rows], design_levels(labels, kept)) if kept and len(labels) > len(kept) else None
    level_rows = list_levels(noted, counts, kept, fit, rules)
    tell = tell_two_levels if binary else tell_several_levels
    precision = tell(known.deviations, [counts[level] for level in (levels if binary else kept)], rules.analysis)
    if fit is None or len(kept) < 2:
        return [noted.refused(Reason.TOO_FEW_PER_LEVEL, {"needed": rules.analysis.min_per_level} | precision), *level_rows]
    if binary:
        registered, *beside = _binary(noted, known, rows, modifier, rules)
        return [registered.noting(precision), *beside, *level_rows]
    test = fit.joint(differences_of_levels(len(kept)))
    tested = describe_pairs(noted, compared, wells=base.wells is not None)
    joint = replace(tested, basis=noted.basis, df=test.df_numerator, p=test.p, method=Method.JOINT_F, status=EffectStatus.ESTIMATED)
    facts = {"F": test.F if np.isfinite(test.F) else None, "df_denominator": test.df_denominator, "levels_tested": kept}
    return [replace(joint, reason=Reason.JOINT_TEST_ONLY).noting(facts | precision), *level_rows]


def _binary(base: Effect, known: KnownPairs, rows: NDArray[np.bool_], modifier: Modifier, rules: Rules) -> list[Effect]:
    exposed = np.array([value == modifier.yes_label for value in known.values], dtype=bool)[rows]
    ratios, level = known.ratios[rows], rules.analysis.confidence
    fit = fit_linear(ratios, design_slope(exposed.astype(np.float64))).contrast([0, 1], level=level)
    welch = compare_welch(ratios, exposed, level=level)
    return [base.estimated(fit, Method.LINEAR), replace(base, role=EffectRole.SENSITIVITY).estimated(welch, Method.WELCH)]
