"""parse(compose(tree)) = tree for any tree of gates."""

from types import MappingProxyType

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from exvivo.formats import gatingml
from exvivo.gate.populations import evaluate_tree
from exvivo.study.design import (
    BooleanGate,
    Channel,
    Dimension,
    EllipsoidGate,
    Gate,
    GatingTree,
    PolygonGate,
    Ratio,
    RectangleGate,
    SpilloverMatrix,
    Transform,
    TransformKind,
)

CHANNELS = ("A", "B", "C")
NUMBER = st.floats(-1e4, 1e4)
MATRIX = SpilloverMatrix(("FA", "FB"), ("A", "B"), ((1.0, 0.2), (0.05, 1.0)))
SCALES = st.sampled_from(
    [
        None,
        Transform(TransformKind.LINEAR, MappingProxyType({"T": 1e4, "A": 500.0})),
        Transform(TransformKind.LOG, MappingProxyType({"T": 1e4, "M": 5.0})),
        Transform(TransformKind.ASINH, MappingProxyType({"T": 1e4, "M": 4.0, "A": 1.0})),
        Transform(TransformKind.LOGICLE, MappingProxyType({"T": 1e4, "W": 0.5, "M": 4.5, "A": 0.0})),
        Transform(TransformKind.HYPERLOG, MappingProxyType({"T": 1e4, "W": 1.0, "M": 4.5, "A": 0.0})),
    ]
)


@st.composite
def dimensions(draw: st.DrawFn, *, bounded: bool) -> Dimension:
    low, high = sorted((draw(NUMBER), draw(NUMBER))) if bounded else (None, None)
    compensation = draw(st.sampled_from(["uncompensated", "FCS", "mine"]))
    ratio = draw(st.sampled_from([None, Ratio("A", "B", 1.0, 0.5, -1.0)])) if compensation == "uncompensated" else None
    channel = "ratio" if ratio else draw(st.sampled_from(("FA", "FB") if compensation == "mine" else CHANNELS))
    return Dimension(channel, compensation, draw(SCALES), low, high, ratio)


@st.composite
def trees(draw: st.DrawFn) -> GatingTree:
    gates: list[Gate] = []
    for number in range(draw(st.integers(1, 6))):
        name = draw(st.sampled_from(["gate {}", "gate_{}", "Cells/CD4+ {}", "{}", "ü<&>'{}"])).format(number)
        parent = draw(st.none() | st.sampled_from([gate.name for gate in gates])) if gates else None
        kind = draw(st.integers(0, 3 if len(gates) > 1 else 2))
        pair = (draw(dimensions(bounded=False)), draw(dimensions(bounded=False)))
        if kind == 0:
            gates.append(RectangleGate(name, parent, tuple(draw(st.lists(dimensions(bounded=True), min_size=1, max_size=3)))))
        elif kind == 1:
            gates.append(PolygonGate(name, parent, pair, tuple(draw(st.lists(st.tuples(NUMBER, NUMBER), min_size=3, max_size=6)))))
        elif kind == 2:
            gates.append(EllipsoidGate(name, parent, pair, (draw(NUMBER), draw(NUMBER)), ((4.0, 1.0), (1.0, 2.0)), draw(st.floats(0, 100))))
        else:
            others = [gate.name for gate in gates]
            operands = draw(st.lists(st.tuples(st.sampled_from(others), st.booleans()), min_size=2, max_size=3))
            operator = draw(st.sampled_from(["and", "or", "not"]))
            gates.append(BooleanGate(name, parent, operator, tuple(operands[:1] if operator == "not" else operands)))
    return GatingTree(tuple(gates), MappingProxyType({"mine": MATRIX}))


@settings(deadline=None, max_examples=100)
@given(trees(), st.integers(0, 99))
def test_what_compose_writes_parse_reads(tree: GatingTree, seed: int) -> None:
    again = gatingml.parse(gatingml.compose(tree))
    assert again == tree
    events = np.random.default_rng(seed).normal(1000, 3000, (40, 3))
    channels = [Channel(name, "", 1e4) for name in CHANNELS]
    before, after = (evaluate_tree(events, channels, MATRIX, t) for t in (tree, again))
    for gate in tree.gates:
        np.testing.assert_array_equal(before[gate.name], after[gate.name])
        if gate.parent:
            assert np.all(before[gate.parent] | ~before[gate.name])
