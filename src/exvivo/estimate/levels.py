"""The ratio at each level of a modifier, as the model gives it and shrunken towards the mean of all levels.

In: one linear model of the ln ratios, with one variance. Out: a row for every level that the protocol names, those with too few
donors included, and, where at least two levels have an estimate, a second row for each of these from a one-way
random-effects model, without interval. Neither has a p-value: levels are compared by the interaction alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from exvivo.estimate.contrasts import Rules
from exvivo.estimate.effect import RATIO, Effect, ratio
from exvivo.numerics.inference import Estimate
from exvivo.numerics.meta import pool_estimates
from exvivo.numerics.paired import LinearFit
from exvivo.study.statuses import EffectRole, EffectStatus, Method, Reason


def list_levels(base: Effect, counts: Mapping[str, int], kept: Sequence[str], fit: LinearFit | None, rules: Rules) -> list[Effect]:
    """Rows of all levels, then shrunken rows of those with an estimate.

    Parameters
    ----------
    base : the modifier's row
    counts : donors of each level
    kept : levels with enough donors
    fit : effect of each kept level as a coefficient; None without a degree of freedom
    """
    level = rules.analysis.confidence
    rows = {name: _describe(base, name, donors) for name, donors in counts.items()}
    effects = {name: fit.contrast(np.eye(len(kept))[i], level=level) for i, name in enumerate(kept)} if fit else {}
    raw = [
        replace(row.estimated(effects[name], Method.LINEAR), p=None)
        if name in effects
        else row.refused(Reason.TOO_FEW_PER_LEVEL, {"donors": counts[name], "needed": rules.analysis.min_per_level})
        for name, row in rows.items()
    ]
    return [*raw, *_shrink({name: rows[name] for name in effects}, list(effects.values()))]


def _describe(base: Effect, level: str, donors: int) -> Effect:
    row = replace(base, level=level, role=EffectRole.LEVEL, scale=RATIO, donors=donors, measurements=None, wells=None, detail=None)
    return replace(row, below_lloq_drug_pct=None, below_lloq_comparator_pct=None)


def _shrink(rows: Mapping[str, Effect], effects: Sequence[Estimate]) -> list[Effect]:
    """Shrunken rows; none without two levels and scatter within them.

    They have no interval: one that takes the variance between levels as known covers too little where levels are few.
    """
    if len(effects) < 2 or any(effect.se == 0 for effect in effects):
        return []
    fit = pool_estimates([effect.estimate for effect in effects], [effect.se**2 for effect in effects])
    between = float(np.sqrt(fit.tau2))
    return [
        replace(row, estimate=ratio(float(predicted)), method=Method.SHRUNKEN, status=EffectStatus.ESTIMATED).noting(
            {"own_weight": float(weight), "between_sd": between}
        )
        for row, predicted, weight in zip(rows.values(), fit.predicted, fit.own_weight, strict=True)
    ]
