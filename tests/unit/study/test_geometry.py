"""A gate survives its JSON."""

from types import MappingProxyType

import pytest

from exvivo.study.design import (
    BooleanGate,
    Dimension,
    EllipsoidGate,
    Gate,
    PolygonGate,
    Ratio,
    RectangleGate,
    Transform,
    TransformKind,
)
from exvivo.study.geometry import describe_gate, gate_of, tree_of

LOGICLE = Transform(TransformKind.LOGICLE, MappingProxyType({"T": 262144.0, "W": 0.5, "M": 4.5, "A": 0.0}))
PAIR = (Dimension("A", "FCS", LOGICLE), Dimension("B"))


@pytest.mark.parametrize(
    "gate",
    [
        RectangleGate("g", None, (Dimension("A", "FCS", LOGICLE, 0.1, None), Dimension("r", ratio=Ratio("A", "B", 1.0, 0.0, -1.0)))),
        PolygonGate("g", "p", PAIR, ((0.0, 1.0), (1.0, 1.0), (0.5, 2.0))),
        EllipsoidGate("g", "p", PAIR, (0.5, 0.25), ((1.0, 0.5), (0.5, 2.0)), 7.378),
        BooleanGate("g", None, "and", (("p", False), ("q", True))),
    ],
)
def test_gate_survives(gate: Gate) -> None:
    assert gate_of(gate.name, gate.parent, describe_gate(gate)) == gate


def test_tree_puts_parents_first_and_uses_the_files_own_time() -> None:
    time = RectangleGate("Time", None, (Dimension("Time", low=0.0, high=9.0),))
    child = RectangleGate("Cells", "Time", (Dimension("A", low=1.0),))
    rows = [
        {"gate": "Cells", "parent": "Time", "geometry": describe_gate(child), "detail": None},
        {"gate": "Time", "parent": None, "geometry": describe_gate(time), "detail": '{"by_file": {"a.fcs": [2.0, 5.0]}}'},
    ]
    assert tree_of(rows, "b.fcs").gates == (time, child)
    assert tree_of(rows, "a.fcs").gates[0] == RectangleGate("Time", None, (Dimension("Time", low=2.0, high=5.0),))
