"""The compensation that written gates name is the one that the study used."""

import dataclasses
from pathlib import Path

import polars as pl
import pytest

from exvivo.formats import gatingml, spillover
from exvivo.report.gatefiles import compose_gates
from exvivo.study.design import BooleanGate, Dimension, GatingTree, PolygonGate, RectangleGate, SpilloverMatrix
from exvivo.study.geometry import describe_gate
from exvivo.study.run import Run
from exvivo.study.tables import GATES, POPULATIONS, TUBES

MATRIX = SpilloverMatrix(("PE-A", "APC-A"), ("PE-A", "APC-A"), ((1.0, 0.25), (0.1, 1.0)))


SIDES = (Dimension("PE-A", "FCS", None, 1.0), Dimension("FSC-A"))
GATES_OF_D1 = (
    RectangleGate("R", None, SIDES),
    PolygonGate("P", "R", SIDES, ((0, 0), (1, 0), (0, 1))),
    BooleanGate("N", "R", "not", (("P", False),)),
)


@pytest.fixture
def gated(run: Run) -> Run:
    """One tube of one donor with a gate of each kind."""
    gates = [
        {"donor": "D1", "gate": gate.name, "parent": gate.parent, "geometry": describe_gate(gate), "method": "rectangle"}
        for gate in GATES_OF_D1
    ]
    tube = {"file": "a.fcs", "tube": "full", "donor": "D1", "events": 10, "final_count": 5, "status": "measured"}
    counted = {"file": ["a.fcs"], "path": ["R"], "parent": [None], "count": [5], "percent_of_parent": [50.0], "stored_count": [None]}
    populations = POPULATIONS.build(pl.DataFrame(counted))
    gating = dataclasses.replace(run.gating, gates=GATES.from_rows(gates), tubes=TUBES.from_rows([tube]), populations=populations)
    return dataclasses.replace(run, gating=gating)


def written(run: Run, compensation: str, folder: Path | None = None) -> list[GatingTree]:
    rules = run.protocol.file.panel
    assert rules is not None
    panel = rules.model_copy(update={"compensation": compensation})
    protocol = dataclasses.replace(run.protocol, file=run.protocol.file.model_copy(update={"panel": panel}))
    inputs = dataclasses.replace(run.inputs, folder=folder or run.inputs.folder)
    return [gatingml.parse(raw) for raw in compose_gates(dataclasses.replace(run, protocol=protocol, inputs=inputs)).values()]


def named(trees: list[GatingTree]) -> set[str]:
    return {side.compensation for tree in trees for gate in tree.gates if not isinstance(gate, BooleanGate) for side in gate.dimensions}


def test_gates_name_the_matrix_that_was_used(gated: Run, tmp_path: Path) -> None:
    plain = written(gated, "FCS")
    assert [tree.gates for tree in plain] == [GATES_OF_D1]
    assert named(written(gated, "none")) == {"uncompensated"}
    (tmp_path / "m.csv").write_bytes(spillover.compose(MATRIX))
    own = written(gated, "m.csv", tmp_path)
    assert named(own) == {"matrix", "uncompensated"}
    assert [tree.matrices for tree in own] == [{"matrix": MATRIX}]
    assert written(gated, "single_stains") == []
