"""Small trees on events that can be counted by eye."""

import numpy as np
import pytest

from exvivo.errors import DesignError
from exvivo.gate.populations import evaluate_tree
from exvivo.numerics import cells
from exvivo.study.design import BooleanGate, Channel, Dimension, GatingTree, RectangleGate, SpilloverMatrix, Transform, TransformKind

CHANNELS = [Channel("A", "", 1024), Channel("B", "", 1024)]
EVENTS = np.array([[1, 10], [2, 20], [3, 30], [np.nan, 40]], dtype=np.float32)


def box(
    name: str, channel: str, low: float | None, high: float | None, parent: str | None = None, compensation: str = "uncompensated"
) -> RectangleGate:
    return RectangleGate(name, parent, (Dimension(channel, compensation, None, low, high),))


def test_child_keeps_only_what_its_parent_kept() -> None:
    tree = GatingTree((box("low", "A", None, 3), box("high", "B", 20, None, parent="low")))
    members = evaluate_tree(EVENTS, CHANNELS, None, tree)
    assert members["low"].tolist() == [True, True, False, False]
    assert members["high"].tolist() == [False, True, False, False]


def test_complement_of_a_gate_and_the_gate_make_the_parent() -> None:
    tree = GatingTree(
        (box("p", "B", 20, None), box("g", "A", None, 3), BooleanGate("rest", "p", "not", (("g", False),)), box("kept", "A", None, 3, "p"))
    )
    members = evaluate_tree(EVENTS, CHANNELS, None, tree)
    np.testing.assert_array_equal(members["rest"] | members["kept"], members["p"])
    assert not np.any(members["rest"] & members["kept"])


def test_turned_thresholds_agree_with_shown_values() -> None:
    values = np.random.default_rng(0).normal(100, 3000, (500, 2))
    scale = Transform(TransformKind.LOGICLE, {"T": 262144.0, "W": 0.5, "M": 4.5, "A": 0.0})
    gate = RectangleGate("g", None, (Dimension("A", "uncompensated", scale, 0.2, 0.4),))
    shown = cells.to_scale("logicle", values[:, 0], scale.parameters)
    np.testing.assert_array_equal(evaluate_tree(values, CHANNELS, None, GatingTree((gate,)))["g"], (shown >= 0.2) & (shown < 0.4))


def test_own_spillover_is_applied_where_the_gate_asks_for_it() -> None:
    spill = SpilloverMatrix(("A", "B"), ("A", "B"), ((1.0, 0.5), (0.0, 1.0)))
    events = np.array([[100.0, 60.0]])
    tree = GatingTree((box("raw", "B", 59, 61), box("own", "B", 9, 11, compensation="FCS")))
    assert {k: v.tolist() for k, v in evaluate_tree(events, CHANNELS, spill, tree).items()} == {"raw": [True], "own": [True]}
    assert evaluate_tree(events, CHANNELS, None, tree)["own"].tolist() == [False]


def test_channels_that_are_missing_are_named_together() -> None:
    with pytest.raises(DesignError) as caught:
        evaluate_tree(EVENTS, CHANNELS, None, GatingTree((box("g", "X", 0, 1), box("h", "Y", 0, 1))))
    assert len(caught.value.messages) == 2


def test_no_events_give_empty_populations() -> None:
    tree = GatingTree((box("low", "A", None, 3), box("high", "B", 20, None, parent="low")))
    assert [len(member) for member in evaluate_tree(EVENTS[:0], CHANNELS, None, tree).values()] == [0, 0]
