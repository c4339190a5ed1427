"""Adjusted p-values against R p.adjust (c17) and graphicalMCP (c30)."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from exvivo.numerics.multiplicity import ADJUSTMENTS, Intersection, adjust_bh, adjust_graph, adjust_graph_closed

Open = Callable[[str], Any]


@pytest.mark.parametrize("method", sorted(ADJUSTMENTS))
def test_methods_of_p_adjust(reference: Open, method: str) -> None:
    case = reference("c17")
    name = {"bh": "BH", "by": "BY"}.get(method, method)
    np.testing.assert_allclose(ADJUSTMENTS[method](case.numbers("p")), case.results[name], rtol=1e-12)


def test_family_larger_than_its_p_values(reference: Open) -> None:
    case = reference("c17")
    np.testing.assert_allclose(adjust_bh(case.numbers("p"), total=20), case.results["n_larger_BH"], rtol=1e-12)


@pytest.mark.parametrize("name", ["two_primary_two_secondary", "holm4", "fixed_sequence4", "study11_primary_then_families"])
def test_graphs(reference: Open, name: str) -> None:
    graph = reference("c30").results[name]
    got = adjust_graph(graph["p"], graph["hypotheses"], graph["transitions"])
    np.testing.assert_allclose(got, graph["shortcut_adj_p"], rtol=1e-9)


@pytest.mark.parametrize("test", Intersection)
@pytest.mark.parametrize("name", ["two_primary_two_secondary", "holm4", "fixed_sequence4", "study11_primary_then_families"])
def test_closed_graphs(reference: Open, name: str, test: Intersection) -> None:
    graph = reference("c30").results[name]
    got = adjust_graph_closed(graph["p"], graph["hypotheses"], graph["transitions"], test=test)
    np.testing.assert_allclose(got, graph[f"closure_{test}_adj_p"], rtol=1e-8)
