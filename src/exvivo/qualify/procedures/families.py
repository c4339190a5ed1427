"""Adjusted p-values: the methods of R's p.adjust (c17) and graphs of weighted tests (c30)."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from exvivo.numerics.multiplicity import ADJUSTMENTS, Intersection, adjust_bh, adjust_graph, adjust_graph_closed, adjust_holm
from exvivo.qualify.cases import Case

_NAMES = {"BH": "bh", "BY": "by", "fdr": "bh"}
_LARGER_FAMILY = 20  # the size of family for which the case's `n_larger_BH` was made


def adjust_all(case: Case) -> Mapping[str, Any]:
    """Every method; a missing p-value stays missing and is not counted."""
    raw = case.table.numbers(case.table.names[0])
    p = raw[np.isfinite(raw)]
    adjusted = {name: ADJUSTMENTS[_NAMES.get(name, name)](p).tolist() for name in (*ADJUSTMENTS, *_NAMES) if name not in ("bh", "by")}
    larger = max(_LARGER_FAMILY, p.size)
    return {
        **adjusted,
        "none": p.tolist(),
        "with_NA_holm": [*adjust_holm(p).tolist(), None],
        "n_larger_BH": adjust_bh(p, total=larger).tolist(),
    }


def walk_graphs(case: Case) -> Mapping[str, Any]:
    """Every graph of the case by the shortcut and as a closed test."""
    return {name: _walk(graph) for name, graph in case.results.items() if isinstance(graph, Mapping)}


def _walk(graph: Mapping[str, Any]) -> Mapping[str, Any]:
    p, weights, transitions = graph["p"], graph["hypotheses"], graph["transitions"]
    adjusted = adjust_graph(p, weights, transitions)
    closed = {
        f"closure_{test}_adj_p": adjust_graph_closed(p, weights, transitions, test=Intersection(test)).tolist() for test in Intersection
    }
    return {"shortcut_adj_p": adjusted.tolist(), "shortcut_rejected": (adjusted <= graph["alpha"]).tolist(), **closed}


PROCEDURES: Mapping[str, Callable[[Case], Mapping[str, Any]]] = MappingProxyType({"c17": adjust_all, "c30": walk_graphs})
