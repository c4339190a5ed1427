"""Gate files that hide something, or ask for what cannot be given."""

import numpy as np
import pytest

from exvivo.errors import InputError
from exvivo.formats import gatingml
from exvivo.gate.populations import evaluate_tree
from exvivo.study.design import (
    BooleanGate,
    Channel,
    Dimension,
    EllipsoidGate,
    GatingTree,
    PolygonGate,
    Ratio,
    RectangleGate,
    SpilloverMatrix,
    Transform,
    TransformKind,
)

HEAD = (
    '<g:Gating-ML xmlns:g="http://www.isac-net.org/std/Gating-ML/v2.0/gating" '
    'xmlns:t="http://www.isac-net.org/std/Gating-ML/v2.0/transformations" '
    'xmlns:d="http://www.isac-net.org/std/Gating-ML/v2.0/datatypes">'
)


def document(body: str) -> bytes:
    return f"{HEAD}{body}</g:Gating-ML>".encode()


def rectangle(name: str = "R", extra: str = "", side: str = 'g:min="1"', channel: str = '<d:fcs-dimension d:name="A"/>') -> str:
    return f'<g:RectangleGate g:id="{name}" {extra}><g:dimension g:compensation-ref="FCS" {side}>{channel}</g:dimension></g:RectangleGate>'


def test_gates_come_after_their_parents_and_operands() -> None:
    both = '<g:BooleanGate g:id="both"><g:and><g:gateReference g:ref="child"/><g:gateReference g:ref="R"/></g:and></g:BooleanGate>'
    tree = gatingml.parse(document(both + rectangle("child", 'g:parent_id="R"') + rectangle()))
    assert [gate.name for gate in tree.gates] == ["R", "child", "both"]


def test_external_entities_are_not_read() -> None:
    raw = b'<!DOCTYPE x [<!ENTITY file SYSTEM "file:///etc/hostname">]>' + document("<note>&file;</note>")
    with pytest.raises(InputError, match="document type"):
        gatingml.parse(raw)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8"])
def test_document_type_is_refused_in_any_encoding(encoding: str) -> None:
    with pytest.raises(InputError, match="document type"):
        gatingml.parse(("<!DOCTYPE x>" + document(rectangle()).decode()).encode(encoding))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('<g:SplineGate g:id="S"/>', ["SplineGate 'S'", "not supported"]),
        (rectangle() + rectangle(), ["two gates are called 'R'"]),
        (rectangle(extra='g:parent_id="Z"'), ["'R' refers to 'Z'"]),
        (rectangle("P", 'g:parent_id="Q"') + rectangle("Q", 'g:parent_id="P"'), ["circle"]),
        (rectangle(side='g:min="two"'), ["'two' stands where a number should"]),
        (rectangle(side='g:min="nan"'), ["finite number"]),
        (rectangle(side='g:min="3" g:max="2"'), ["min 3 lies above max 2"]),
        (rectangle(side='g:transformation-ref="L"'), ["transformation 'L'"]),
        (rectangle(channel=""), ["without a channel"]),
        (rectangle().replace('"FCS"', '"Spill"'), ["compensation 'Spill'"]),
        ('<g:BooleanGate g:id="B"><g:not/></g:BooleanGate>', ["'not' of 0 gates"]),
        ('<t:transformation t:id="L"><t:logicle t:T="1000" t:W="3" t:M="4" t:A="0"/></t:transformation>', ["0 <= W <= M / 2", "W = 3"]),
        ('<t:transformation t:id="L"><t:flog t:T="1000"/></t:transformation>', ["needs the parameters T, M"]),
        ('<t:transformation t:id="L"><t:splitscale t:T="1"/></t:transformation>', ["splitscale is not supported"]),
        ('<t:spectrumMatrix t:id="M" t:matrix-inverted-already="true"/>', ["inverted already"]),
        ("<g:PolygonGate g:id='P'>" + '<g:dimension><d:fcs-dimension d:name="A"/></g:dimension>' * 2 + "</g:PolygonGate>", ["0 vertices"]),
    ],
)
def test_refusals_say_where_and_what(body: str, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        gatingml.parse(document(body))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_all_faults_are_told_together_with_their_lines() -> None:
    with pytest.raises(InputError) as caught:
        gatingml.parse(document("\n" + rectangle("A", side='g:min="x"') + "\n" + rectangle("B", side='g:min="y"')))
    assert [("line 2" in caught.value.messages[0]), ("line 3" in caught.value.messages[1])] == [True, True]


@pytest.mark.parametrize("raw", [b"", b"no xml", b"<Gating-ML/>"])
def test_what_is_no_gate_file_is_refused(raw: bytes) -> None:
    with pytest.raises(InputError):
        gatingml.parse(raw)


def test_scales_of_flowjo_are_none_of_gating_ml() -> None:
    biex = '<t:transformation t:id="L"><t:biex t:maxRange="262144" t:neg="0" t:pos="4.5" t:width="-10"/></t:transformation>'
    with pytest.raises(InputError, match="biex is not supported"):
        gatingml.parse(document(biex))
    scale = Transform(TransformKind.FLOORED_LOG, {"offset": 1.0, "decades": 4.0})
    sides = (Dimension("A", transform=scale), Dimension("B"))
    shapes = (PolygonGate("P 1", None, sides, ((0, 0), (1, 0), (0, 1))), EllipsoidGate("E", None, sides, (0, 0), ((1, 0), (0, 1)), 1.0))
    with pytest.raises(InputError, match=r"gate 'P 1': it is drawn on the scale log, which Gating-ML 2.0 does not have(.|\n)*gate 'E'"):
        gatingml.compose(GatingTree(shapes))


def test_bounds_on_a_scale_of_flowjo_become_linear_values() -> None:
    log = Transform(TransformKind.FLOORED_LOG, {"offset": 1.0, "decades": 5.0})
    biex = Transform(TransformKind.BIEX, {"maxRange": 262144.0, "neg": 0.0, "pos": 4.418539922, "width": -10.0})
    sides = [Dimension("A", "uncompensated", scale, *bounds) for scale in (log, biex) for bounds in ((0.4, 0.8), (0.0, 0.5), (0.3, 1.2))]
    tree = GatingTree(tuple(RectangleGate(f"R{i}", None, (side,)) for i, side in enumerate(sides)))
    again = gatingml.parse(gatingml.compose(tree))
    assert all(side.transform is None for gate in again.gates if isinstance(gate, RectangleGate) for side in gate.dimensions)
    values = np.concatenate([np.linspace(-1e3, 3e5, 5000), np.geomspace(0.01, 3e5, 5000), [-1e6, 0.0, 1e6]])[:, None]
    before, after = (evaluate_tree(values, [Channel("A", "", 262144.0)], None, one) for one in (tree, again))
    for name, member in before.items():
        np.testing.assert_array_equal(member, after[name])
    for bounds in ((1.5, None), (None, 0.0)):
        with pytest.raises(InputError, match="nothing is inside"):
            gatingml.compose(GatingTree((RectangleGate("R", None, (Dimension("A", "FCS", biex, *bounds),)),)))


def test_names_that_are_no_ids_come_back() -> None:
    first = RectangleGate("1 CD4+/Live", None, (Dimension("A", low=1.0),))
    second = RectangleGate("g_1_CD4__Live", "1 CD4+/Live", (Dimension("A", high=2.0),))
    both = BooleanGate("not either ü", "1 CD4+/Live", "and", (("1 CD4+/Live", True), ("g_1_CD4__Live", False)))
    raw = gatingml.compose(GatingTree((first, second, both)))
    assert gatingml.parse(raw).gates == (first, second, both)
    assert b'gating:id="g_1_CD4__Live_2"' in raw


def test_ratios_of_one_name_and_two_meanings_are_kept_apart() -> None:
    gates = tuple(RectangleGate(f"R{i}", None, (Dimension("q", low=1.0, ratio=Ratio("A", "B", float(i), 0.0, 0.0)),)) for i in (1, 2))
    first, second = gatingml.parse(gatingml.compose(GatingTree(gates))).gates
    assert first == gates[0]
    assert isinstance(second, RectangleGate)
    assert second.dimensions[0] == Dimension("q_2", low=1.0, ratio=Ratio("A", "B", 2.0, 0.0, 0.0))


def test_a_matrix_may_not_take_the_name_of_the_files_own() -> None:
    with pytest.raises(InputError, match="matrix 'FCS'"):
        gatingml.compose(GatingTree((), {"FCS": SpilloverMatrix(("A",), ("A",), ((1.0,),))}))
