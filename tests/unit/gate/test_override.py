"""A moved gate is accepted when it is sound, and refused with all that is wrong with it."""

import json
from importlib.resources import as_file, files

import pytest

from exvivo.gate.override import question_move
from exvivo.study.design import Dimension, EllipsoidGate, Gate, PolygonGate, RectangleGate, Transform, TransformKind
from exvivo.study.geometry import describe_gate
from exvivo.study.protocol import Panels, load_protocol

LOGICLE = Transform(TransformKind.LOGICLE, {"T": 262144.0, "W": 0.5, "M": 4.5, "A": 0.0})
LIVE = Dimension("Viability-A", "FCS", LOGICLE, None, 0.5)
SCATTER = (Dimension("FSC-A"), Dimension("SSC-A"))
ROUND = ((1.0, 0.5), (0.5, 1.0))


@pytest.fixture(scope="module")
def panels() -> Panels:
    with as_file(files("exvivo.templates").joinpath("ssc-ruxolitinib", "study.yaml")) as path:
        return load_protocol(path).panels


@pytest.mark.parametrize(
    ("gate", "drawn"),
    [
        ("Live", RectangleGate("Live", None, (LIVE,))),
        ("Cells", EllipsoidGate("Cells", None, SCATTER, (0.8, 0.7), ROUND, 7.0)),
        ("Cells", PolygonGate("Cells", None, SCATTER, ((0.0, 0.0), (9e4, 0.0), (9e4, 9e4)))),
    ],
)
def test_a_sound_gate_is_accepted(panels: Panels, gate: str, drawn: Gate) -> None:
    assert list(question_move(f"gate:SSC-001/{gate}", describe_gate(drawn), panels)) == []


def unsound(**changes: object) -> str:
    return json.dumps({**json.loads(describe_gate(RectangleGate("Live", None, (LIVE,)))), **changes})


@pytest.mark.parametrize(
    ("target", "value", "told"),
    [
        ("donor:SSC-001", unsound(), "names no gate"),
        ("gate:SSC-001", unsound(), "names no gate"),
        ("gate:SSC-001/Dead", unsound(), "unknown gate 'Dead'"),
        ("gate:SSC-001/Time", unsound(), "belongs to single tubes"),
        ("gate:SSC-001/Live", "0.55", "the value is '0.55'"),
        ("gate:SSC-001/Live", "{", "the value is '{'"),
        ("gate:SSC-001/Live", unsound(kind="boolean"), "JSON of a rectangle"),
        ("gate:SSC-001/Live", '{"kind": "rectangle", "channels": ["Viability-A"]}', "no compensations, transforms, bounds"),
        ("gate:SSC-001/Live", unsound(bounds=[["low", "high"]]), "cannot be read"),
        ("gate:SSC-001/Live", unsound(bounds=[]), "cannot be read"),
        ("gate:SSC-001/Live", unsound(bounds=[[None, None]]), "no finite bound"),
        ("gate:SSC-001/Live", unsound(bounds=[[0.6, 0.5]]), "not below its upper bound"),
        ("gate:SSC-001/Live", unsound(transforms=[{"kind": "logicle", "parameters": {"T": -1, "W": 0.5, "M": 4.5, "A": 0}}]), "T > 0"),
        ("gate:SSC-001/Live", unsound(channels=["PE-A"]), "the channels of the gate: Viability-A"),
        ("gate:SSC-001/Cells", describe_gate(PolygonGate("C", None, SCATTER, ((0.0, 0.0), (1.0, 1.0), (2.0, 2.0)))), "has no area"),
        ("gate:SSC-001/Cells", describe_gate(EllipsoidGate("C", None, SCATTER, (0.8, 0.7), ((1.0, 2.0), (2.0, 1.0)), 7.0)), "covariance"),
        ("gate:SSC-001/Cells", describe_gate(EllipsoidGate("C", None, SCATTER, (0.8, 0.7), ROUND, -7.0)), "distance_square is -7"),
    ],
)
def test_an_unsound_one_is_refused(panels: Panels, target: str, value: str, told: str) -> None:
    (message,) = question_move(target, value, panels)
    assert told in message


def test_a_study_without_cytometry_has_no_gates(panels: Panels) -> None:
    assert panels.readouts
    (message,) = question_move("gate:SSC-001/Live", unsound(), Panels(None, {}))
    assert "no panel" in message
