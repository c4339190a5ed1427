"""Whether a modifier changes the effect, with censored pairs kept as intervals: the sensitivity beside the registered row.

In: pairs of which a value lies beyond a limit have a ln ratio that is known within bounds. Out: the same comparison from a normal
regression of those bounds, by maximum likelihood, its likelihood ratio referred to t or F so that without censored pairs it
is the linear model. Bounds count as told by nothing but the limits: a limit that depends on the donor's other value, as
that of a ratio does, is taken as independent of the ratio.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from exvivo.estimate.contrasts import Rules, describe_pairs
from exvivo.estimate.effect import Basis, Effect
from exvivo.estimate.pairs import Pairs
from exvivo.numerics.inference import Array
from exvivo.numerics.paired import design_levels
from exvivo.numerics.tobit import compare_nested, fit_tobit
from exvivo.study.model import Modifier, ModifierKind
from exvivo.study.statuses import EffectRole, EffectStatus, Method, Reason


@dataclass(frozen=True, slots=True)
class BoundedPairs:
    """All pairs whose donor has a known value of the modifier, censored ones included; ``sides`` are labels or numbers as text."""

    pairs: Pairs
    sides: tuple[str, ...]

    def pick(self, kept: NDArray[np.bool_]) -> "BoundedPairs":
        """Some of the pairs, by a mask (n,)."""
        return BoundedPairs(self.pairs.pick(np.flatnonzero(kept)), tuple(side for side, keep in zip(self.sides, kept, strict=True) if keep))

    def count(self, exact: bool = False) -> Mapping[str, int]:  # noqa: FBT001, FBT002  which pairs
        """Pairs by side, all or fully measured."""
        chosen = [side for side, known in zip(self.sides, self.pairs.exact, strict=True) if known or not exact]
        return {side: chosen.count(side) for side in set(self.sides)}


def estimate_bounded(base: Effect, known: BoundedPairs, modifier: Modifier, rules: Rules) -> list[Effect]:
    """The sensitivity row; none where no pair is known within bounds only.

    It is given while at most the registered share of these pairs is censored and enough are fully measured, two in every
    level; otherwise it says why not.
    """
    bounded: NDArray[np.bool_] = np.isfinite(known.pairs.differences).max(axis=1)
    used = known.pick(bounded)
    if modifier.kind is not ModifierKind.CONTINUOUS:
        enough = {side for side, n in used.count().items() if n >= rules.analysis.min_per_level}
        used = used.pick(np.array([side in enough for side in used.sides], dtype=bool))
    if used.pairs.exact.all():
        return []
    row = describe_pairs(replace(base, role=EffectRole.SENSITIVITY, method=Method.INTERVAL), used.pairs, wells=base.wells is not None)
    exact = int(used.pairs.exact.sum())
    levels = _levels(used.sides, modifier)
    row = replace(row, basis=Basis(used.pairs, values=used.sides, levels=levels))
    told = row.noting(
        {
            "per": None if levels else modifier.per,
            "censored_pairs": used.pairs.count - exact,
            "unbounded_pairs": int((~bounded).sum()) or None,
        }
    )
    reason = _refuse(used, modifier, rules)
    return [told.refused(reason)] if reason else [_fit(told, used, modifier, rules)]


def _refuse(used: BoundedPairs, modifier: Modifier, rules: Rules) -> Reason | None:
    exact, limits = int(used.pairs.exact.sum()), rules.analysis.censoring
    if exact < limits.min_observed_pairs or used.pairs.count - exact > limits.max_fraction * used.pairs.count:
        return Reason.TOO_MUCH_CENSORED
    sides = used.count(exact=True)
    if modifier.kind is ModifierKind.CONTINUOUS:
        return Reason.TOO_FEW_DONORS if len({side for side, n in sides.items() if n}) < 3 else None
    return Reason.TOO_FEW_PER_LEVEL if len(sides) < 2 or min(sides.values()) < 2 else None


def _fit(row: Effect, used: BoundedPairs, modifier: Modifier, rules: Rules) -> Effect:
    low, high = used.pairs.differences.T
    level = rules.analysis.confidence
    try:
        if modifier.kind is not ModifierKind.CATEGORICAL:
            design = np.column_stack([np.ones(len(low)), _steps(used.sides, modifier)])
            return row.estimated(fit_tobit(low, high, design).profile([0, 1], level=level), Method.INTERVAL)
        levels = _levels(used.sides, modifier)
        test = compare_nested(fit_tobit(low, high, design_levels(used.sides, levels)), fit_tobit(low, high, np.ones((len(low), 1))))
    except (ValueError, np.linalg.LinAlgError):
        return row.refused(Reason.NOT_CONVERGED)
    joint = replace(row, df=test.df_numerator, p=test.p, status=EffectStatus.ESTIMATED, reason=Reason.JOINT_TEST_ONLY)
    return joint.noting({"F": test.F, "df_denominator": test.df_denominator, "levels_tested": list(levels)})


def _levels(sides: Sequence[str], modifier: Modifier) -> tuple[str, ...]:
    """Levels that occur, in their order; none for a score."""
    if modifier.kind is ModifierKind.CONTINUOUS:
        return ()
    named = (modifier.no_label, modifier.yes_label) if modifier.kind is ModifierKind.BINARY else modifier.levels
    return tuple(name for name in named if name in sides)


def _steps(sides: Sequence[str], modifier: Modifier) -> Array:
    if modifier.kind is ModifierKind.BINARY:
        return np.array([side == modifier.yes_label for side in sides], dtype=np.float64)
    score = np.array([float(side) for side in sides])
    return np.asarray((score - score.mean()) / modifier.per)
