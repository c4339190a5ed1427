"""Gatekeeping graph in the report: what is drawn and what is listed."""

from dataclasses import replace

import altair as alt
import polars as pl
import pytest

from exvivo.report.gatekeeping import draw_graph, list_hypotheses
from exvivo.report.theme import compose_spec
from exvivo.report.wording import load_wording
from exvivo.study.model import Graph
from exvivo.study.protocol import Protocol
from exvivo.study.run import Run

GATES = {"P1": {"S1": 0.5, "S2": 0.5}, "S1": {"S1": 0.9, "S2": 0.1}, "S2": {"S2": 1.0}}


def with_graph(protocol: Protocol, graph: Graph) -> Protocol:
    rules = protocol.file.analysis.model_copy(update={"graph": graph})
    return replace(protocol, file=protocol.file.model_copy(update={"analysis": rules}))


@pytest.fixture
def gated(protocol: Protocol) -> Protocol:
    return with_graph(protocol, Graph(weights={"P1": 1.0}, transitions=GATES))


def test_a_protocol_without_graph_draws_nothing(run: Run) -> None:
    assert draw_graph(run.protocol) is None
    assert list_hypotheses(run, load_wording()).rows == ()


def test_nodes_and_shares_as_the_protocol_says(gated: Protocol) -> None:
    figure = draw_graph(gated)
    assert figure is not None
    texts = [layer["data"]["values"] for layer in figure["layer"] if layer["mark"]["type"] == "text"]
    assert [row["text"] for row in texts[0]] == ["0.5", "0.5", "0.9", "0.1", "1"]
    assert [(row["name"], row["weight"]) for row in texts[2]] == [("P1 CCL18", "1"), ("S1 (4)", "0"), ("S2 (6)", "0")]
    alt.Chart.from_dict(compose_spec(figure), validate=True)


def test_everything_drawn_lies_inside(gated: Protocol) -> None:
    figure = draw_graph(gated)
    assert figure is not None
    seen = 0
    for view in figure["layer"]:
        domains = {axis: view["encoding"][axis]["scale"]["domain"] for axis in ("x", "y")}
        for row in view["data"]["values"]:
            seen += 1
            assert all(low <= row[axis] <= high for axis, (low, high) in domains.items())
    assert seen > 100


def test_a_node_that_alpha_cannot_reach_is_still_drawn(protocol: Protocol) -> None:
    figure = draw_graph(with_graph(protocol, Graph(weights={"P1": 1.0}, transitions={"S2": {"S1": 1.0}})))
    assert figure is not None
    names = [row["name"] for row in figure["layer"][5]["data"]["values"]]
    assert names == ["P1 CCL18", "S2 (6)", "S1 (4)"]


def test_hypotheses_are_listed_with_their_verdict(run: Run, gated: Protocol) -> None:
    rows = run.effects.effects.frame
    first = rows.with_row_index().filter((rows["outcome"] == "P1") | (rows["outcome"] == "S1"))["index"].to_list()
    through = [0.001 if i == first[0] else 0.2 if i in first else None for i in range(rows.height)]
    effects = replace(
        run.effects,
        effects=type(run.effects.effects)(run.effects.effects.kind, rows.with_columns(p_graph=pl.Series(through, dtype=pl.Float64))),
    )
    grid = list_hypotheses(replace(run, protocol=gated, effects=effects), load_wording())
    assert [row.cells[0] for row in grid.rows] == ["P1", *["S1"] * 4, *["S2"] * 6]
    assert grid.rows[0].cells[2:] == ("1", grid.rows[0].cells[3], "0.0010", "rejected")
    assert {row.cells[5] for row in grid.rows[1:5]} == {"not rejected"}
    assert {row.cells[5] for row in grid.rows[5:]} == {""}
