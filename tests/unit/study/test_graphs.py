"""Graphs over outcomes: what they expand to, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exvivo.study.graphs import expand_graph, graph_faults

CASE = Path(__file__).parents[3] / "src/exvivo/qualify/shipped/c30_graphical_mcp.json"
READOUTS = {
    "P1": ["CCL18"],
    "S1": ["PDGFBB", "IL6", "CXCL10", "CXCL4"],
    "S2": ["CD204", "CD206", "CD163", "CD86", "MHCII", "TLR4"],
    "S3": ["CCL18"],
}
GATES = {"P1": {"S1": 0.5, "S2": 0.5}, "S1": {"S1": 0.9, "S2": 0.1}, "S2": {"S2": 0.9, "S1": 0.1}}


def test_families_expand_to_the_graph_of_the_reference_case() -> None:
    expected = json.loads(CASE.read_text(encoding="utf-8"))["results"]["study11_primary_then_families"]
    got = expand_graph({"P1": 1.0}, GATES, READOUTS)
    assert [readout for _, readout in got.names][:10] == [*expected["names"][:9], "MHCII"]
    np.testing.assert_allclose(got.weights, expected["hypotheses"], rtol=1e-12)
    np.testing.assert_allclose(got.transitions, expected["transitions"], rtol=1e-12)


def test_an_outcome_alone_that_passes_to_itself_is_holm() -> None:
    got = expand_graph({"S1": 1.0}, {"S1": {"S1": 1.0}}, READOUTS)
    assert got.weights == (0.25,) * 4
    np.testing.assert_allclose(got.transitions, (np.ones((4, 4)) - np.eye(4)) / 3)


def test_single_estimates_are_nodes() -> None:
    got = expand_graph({"P1": 1}, {"P1": {"S1/IL6": 1}, "S1/IL6": {"S3": 1}}, READOUTS)
    assert got.names == (("P1", "CCL18"), ("S1", "IL6"), ("S3", "CCL18"))
    assert got.transitions == ((0, 1, 0), (0, 0, 1), (0, 0, 0))


@pytest.mark.parametrize(
    ("graph", "place", "told"),
    [
        ({"weights": {"P9": 1}}, ("g", "weights", "P9"), "'P9'"),
        ({"weights": {"S1/CCL18": 1}}, ("g", "weights", "S1/CCL18"), "'S1/CCL18'"),
        ({"weights": {"P1": 0.7, "S1": 0.7}}, ("g", "weights"), "weights sum to 1.4"),
        ({"weights": {"P1": -0.1}}, ("g", "weights", "P1"), "-0.1 is no share"),
        ({"weights": {"P1": 1}, "transitions": {"P1": {"S1": 0.8, "S2": 0.8}}}, ("g", "transitions", "P1"), "passes on sum to 1.6"),
        ({"weights": {"P1": 1}, "transitions": {"P1": {"P1": 1}}}, ("g", "transitions", "P1", "P1"), "passes a share to itself"),
        ({"weights": {"S1": 1}, "transitions": {"S1": {"S1/IL6": 1}}}, ("g", "transitions", "S1", "S1/IL6"), "part of 'S1'"),
    ],
)
def test_faults_stand_at_their_place(graph: dict[str, Any], place: tuple[str, ...], told: str) -> None:
    ((where, message),) = graph_faults(graph, READOUTS, ("g",))
    assert where == place
    assert told in message


def test_too_many_hypotheses_for_simes() -> None:
    readouts = {"S1": [f"R{i}" for i in range(17)]}
    ((where, message),) = graph_faults({"weights": {"S1": 1}, "test": "simes"}, readouts, ("g",))
    assert where == ("g", "test")
    assert "At most 16" in message


def test_a_graph_that_is_right_has_no_fault() -> None:
    assert list(graph_faults({"weights": {"P1": 1}, "transitions": GATES}, READOUTS, ("g",))) == []
