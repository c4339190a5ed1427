"""Multiplicity: p-values adjusted within each registered outcome.

The family is what was registered. A member without a p-value still counts, as if its p were 1: leaving
it out would make the others smaller for a reason that the data gave.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import polars as pl

from exvivo.estimate.effect import name_serum_effect
from exvivo.estimate.pairs import held_apart
from exvivo.numerics.inference import Array
from exvivo.numerics.multiplicity import adjust_bh, adjust_holm
from exvivo.study.model import Factor, Outcome

_RULES: Mapping[str, Callable[..., Array]] = MappingProxyType({"holm": adjust_holm, "bh": adjust_bh})


def adjust_families(effects: pl.DataFrame, outcomes: Sequence[Outcome]) -> pl.DataFrame:
    """Registered rows with `p_adjusted` filled by each outcome's own rule; rows in any order."""
    adjusted: list[float | None] = [None] * effects.height
    for outcome in outcomes:
        places = [i for i, name in enumerate(effects["outcome"]) if name == outcome.id]
        for place, p in zip(places, adjust_family([effects["p"][i] for i in places], outcome.adjust), strict=True):
            adjusted[place] = p
    return effects.with_columns(p_adjusted=pl.Series(adjusted, dtype=pl.Float64))


def adjust_family(p: Sequence[float | None], rule: str) -> list[float | None]:
    """Adjusted p-values of one family; None where there is no p-value.

    Examples
    --------
    >>> adjust_family([0.01, None, 0.04], "holm")
    [0.03, None, 0.08]
    """
    tested = [i for i, value in enumerate(p) if value is not None]
    raw = np.array([p[i] for i in tested], dtype=np.float64)
    adjust = _RULES.get(rule)
    values = raw if adjust is None else adjust(raw, total=len(p))
    by_place = dict(zip(tested, values.tolist(), strict=True))
    return [by_place.get(i) for i in range(len(p))]


def pass_serum_gate(
    effects: pl.DataFrame, supplementary: pl.DataFrame, outcomes: Sequence[Outcome], factors: Mapping[str, Factor]
) -> pl.DataFrame:
    """Rows with `p_graph` of outcomes under serum: the larger of the adjusted p and the p of the serum effect on that readout.

    A readout whose serum effect has no p-value passes no gate: its gated p stays empty.
    """
    gates = {
        (outcome.id, readout): p
        for outcome in outcomes
        if (apart := held_apart(outcome.contrast, factors))
        for readout, p in supplementary.filter(
            pl.col("outcome") == outcome.id,
            pl.col("contrast") == name_serum_effect(apart),
            pl.col("p").is_not_null(),
        )
        .select("readout", "p")
        .iter_rows()
    }
    rows = effects.select("outcome", "readout", "p_adjusted").iter_rows()
    gated = [None if p is None or (o, r) not in gates else max(p, gates[o, r]) for o, r, p in rows]
    return effects.with_columns(p_graph=pl.Series(gated, dtype=pl.Float64))
