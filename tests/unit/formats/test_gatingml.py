"""Gate files that hide something, or ask for what cannot be given."""

import pytest

from exvivo.errors import InputError
from exvivo.formats import gatingml
from exvivo.study.design import Dimension, GatingTree, RectangleGate, Transform, TransformKind

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
    with pytest.raises(ValueError, match="no scale log"):
        gatingml.compose(GatingTree((RectangleGate("R", None, (Dimension("A", transform=scale),)),)))
