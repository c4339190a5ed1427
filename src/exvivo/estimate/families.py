"""Multiplicity: p-values adjusted within each registered outcome.

The family is what was registered. A member without a p-value still counts, as if its p were 1: leaving
it out would make the others smaller for a reason that the data gave.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from exvivo.estimate.effect import name_serum_effect
from exvivo.estimate.pairs import held_apart
from exvivo.numerics.multiplicity import ADJUSTMENTS, Intersection, adjust_graph, adjust_graph_closed
from exvivo.study.graphs import expand_graph, list_readouts
from exvivo.study.model import Factor, Graph, Outcome


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
    adjust = ADJUSTMENTS.get(rule)
    values = raw if adjust is None else adjust(raw, total=len(p))
    by_place = dict(zip(tested, values.tolist(), strict=True))
    return [by_place.get(i) for i in range(len(p))]


def walk_graph(effects: pl.DataFrame, outcomes: Sequence[Outcome], graph: Graph) -> pl.DataFrame:
    """Rows with `p_graph` of the estimates that are hypotheses of the graph; one without p-value counts as p = 1 and gets none."""
    hypotheses = expand_graph(graph.weights, graph.transitions, list_readouts(outcomes))
    p = {(outcome, readout): p for outcome, readout, p in effects.select("outcome", "readout", "p").iter_rows()}
    raw = [1.0 if p.get(name) is None else p[name] for name in hypotheses.names]
    test = Intersection(graph.test)
    if test is Intersection.BONFERRONI:
        adjusted = adjust_graph(raw, hypotheses.weights, hypotheses.transitions)
    else:
        adjusted = adjust_graph_closed(raw, hypotheses.weights, hypotheses.transitions, test=test)
    through = {name: value for name, value in zip(hypotheses.names, adjusted.tolist(), strict=True) if p.get(name) is not None}
    rows = effects.select("outcome", "readout", "modifier").iter_rows()
    return effects.with_columns(p_graph=pl.Series([None if m else through.get((o, r)) for o, r, m in rows], dtype=pl.Float64))


def pass_serum_gate(
    effects: pl.DataFrame, supplementary: pl.DataFrame, outcomes: Sequence[Outcome], factors: Mapping[str, Factor]
) -> pl.DataFrame:
    """Rows with `p_graph` of outcomes under serum: the larger of the adjusted p and the p of the serum effect on that readout.

    Where a graph has given a `p_graph` already, that one is the adjusted p. A readout whose serum effect has no p-value
    passes no gate: its gated p stays empty.
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
    under_serum = {outcome.id for outcome in outcomes if held_apart(outcome.contrast, factors)}
    rows = effects.select("outcome", "readout", "p_adjusted", "p_graph").iter_rows()
    gated = [
        graph if o not in under_serum else None if p is None or (o, r) not in gates else max(p if graph is None else graph, gates[o, r])
        for o, r, p, graph in rows
    ]
    return effects.with_columns(p_graph=pl.Series(gated, dtype=pl.Float64))
