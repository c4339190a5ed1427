"""Does a clinical variable change the effect? One ln ratio per donor against the variable.

With complete pairs the interaction of drug and variable in the mixed model is the linear model of the ln
ratios (``numerics.paired``). A binary variable gives the ratio of the two levels' ratios, a score the change per
step, several levels a joint F test and no single number. Every level has its own ratio in a supplementary
row, from the one model with one variance and without a p-value, since comparing p-values between levels is
not comparing levels. Donors whose variable is missing are counted, never guessed; a level with too few donors
keeps its row without an estimate and stays out of the joint test.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from exvivo.estimate.contrasts import Rules, describe_pairs
from exvivo.estimate.effect import RATIO, Basis, Effect, ratio
from exvivo.estimate.pairs import Pairs
from exvivo.numerics.inference import Array
from exvivo.numerics.paired import LinearFit, compare_welch, design_levels, design_slope, differences_of_levels, fit_linear
from exvivo.study.model import Modifier, ModifierKind
from exvivo.study.statuses import EffectRole, EffectStatus, Method, Reason


@dataclass(frozen=True, slots=True)
class KnownPairs:
    """Exact pairs whose donor has a known value of the modifier, and what was left out. ``values`` are labels or numbers as text."""

    pairs: Pairs
    values: tuple[str, ...]
    facts: Mapping[str, int]

    @property
    def ratios(self) -> Array:
        """Ln ratio of each donor, shape (n,)."""
        return self.pairs.differences[:, 0]


def estimate_modifier(base: Effect, pairs: Pairs, values: Mapping[str, str | None], modifier: Modifier, rules: Rules) -> list[Effect]:
    """Registered row of a modifier, then its level rows and sensitivities; `values` by donor, as printed in outcomes."""
    if pairs.count < rules.analysis.min_pairs:
        return [base.refused(Reason.TOO_FEW_DONORS, {"pairs": pairs.count, "needed": rules.analysis.min_pairs})]
    censored = int((~pairs.exact).sum())
    if censored > rules.analysis.censoring.max_left_out * pairs.count:
        return [base.refused(Reason.TOO_MUCH_CENSORED, {"censored_pairs": censored, "pairs": pairs.count})]
    known = _take(pairs, values, modifier)
    described = describe_pairs(base, known.pairs, wells=base.wells is not None)
    noted = replace(described.noting({key: n for key, n in known.facts.items() if n}), basis=Basis(known.pairs, values=known.values))
    if not known.pairs.count:
        return [noted.refused(Reason.MODIFIER_MISSING)]
    if modifier.kind is ModifierKind.CONTINUOUS:
        return [_slope(noted, known, modifier, rules)]
    return _levels(noted, known, modifier, rules)


def lay_out(pairs: Pairs, values: Mapping[str, str | None], modifier: Modifier, min_per_level: int) -> tuple[Pairs, tuple[str, ...], Array]:
    """Pairs of a modifier's linear model, their values, and its design (n, p) as its registered row has it.

    Column 1 of a slope or a binary variable is the effect; several levels have one column of indicators each.
    """
    known = _take(pairs, values, modifier)
    if modifier.kind is ModifierKind.CONTINUOUS:
        return known.pairs, known.values, design_slope([float(value) for value in known.values], per=modifier.per)
    if modifier.kind is ModifierKind.BINARY:
        return known.pairs, known.values, design_slope([float(value == modifier.yes_label) for value in known.values])
    kept = [level for level in modifier.levels if known.values.count(level) >= min_per_level]
    rows = [i for i, value in enumerate(known.values) if value in kept]
    labels = tuple(known.values[i] for i in rows)
    return known.pairs.pick(rows), labels, design_levels(labels, kept)


def _take(pairs: Pairs, values: Mapping[str, str | None], modifier: Modifier) -> KnownPairs:
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
    return KnownPairs(pairs.pick([i for i, _ in kept]), tuple(side for _, side in kept), facts)


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


def _slope(base: Effect, known: KnownPairs, modifier: Modifier, rules: Rules) -> Effect:
    score = np.array([float(value) for value in known.values])
    if score.size < 3 or np.ptp(score) == 0:
        return base.refused(Reason.TOO_FEW_DONORS, {"donors": int(score.size)})
    X = np.column_stack([np.ones_like(score), (score - score.mean()) / modifier.per])
    fit = fit_linear(known.ratios, X).contrast([0, 1], level=rules.analysis.confidence)
    return base.estimated(fit, Method.LINEAR).noting({"per": modifier.per})


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
    level_rows = [_level(noted, level, counts[level], _place(kept, level), fit, rules) for level in levels]
    if fit is None or len(kept) < 2:
        return [noted.refused(Reason.TOO_FEW_PER_LEVEL, {"needed": rules.analysis.min_per_level}), *level_rows]
    if binary:
        return [*_binary(noted, known, rows, modifier, rules), *level_rows]
    test = fit.joint(differences_of_levels(len(kept)))
    tested = describe_pairs(noted, compared, wells=base.wells is not None)
    joint = replace(tested, basis=noted.basis, df=test.df_numerator, p=test.p, method=Method.JOINT_F, status=EffectStatus.ESTIMATED)
    facts = {"F": test.F if np.isfinite(test.F) else None, "df_denominator": test.df_denominator, "levels_tested": kept}
    return [replace(joint, reason=Reason.JOINT_TEST_ONLY).noting(facts), *level_rows]


def _binary(base: Effect, known: KnownPairs, rows: NDArray[np.bool_], modifier: Modifier, rules: Rules) -> list[Effect]:
    exposed = np.array([value == modifier.yes_label for value in known.values], dtype=bool)[rows]
    ratios, level = known.ratios[rows], rules.analysis.confidence
    fit = fit_linear(ratios, design_slope(exposed.astype(np.float64))).contrast([0, 1], level=level)
    welch = compare_welch(ratios, exposed, level=level)
    return [base.estimated(fit, Method.LINEAR), replace(base, role=EffectRole.SENSITIVITY).estimated(welch, Method.WELCH)]


def _place(kept: Sequence[str], level: str) -> int | None:
    return kept.index(level) if level in kept else None


def _level(base: Effect, level: str, donors: int, place: int | None, fit: LinearFit | None, rules: Rules) -> Effect:
    row = replace(base, level=level, role=EffectRole.LEVEL, scale=RATIO, donors=donors, measurements=None, wells=None, detail=None)
    row = replace(row, below_lloq_drug_pct=None, below_lloq_comparator_pct=None)
    if fit is None or place is None:
        return row.refused(Reason.TOO_FEW_PER_LEVEL, {"donors": donors, "needed": rules.analysis.min_per_level})
    effect = fit.contrast(np.eye(fit.coefficients.size)[place], level=rules.analysis.confidence)
    return replace(
        row,
        estimate=ratio(effect.estimate),
        ci_low=ratio(effect.low),
        ci_high=ratio(effect.high),
        df=effect.df,
        method=Method.LINEAR,
        status=EffectStatus.ESTIMATED,
    )
