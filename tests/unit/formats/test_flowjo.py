"""Workspaces that hide something, or hold what cannot be understood."""

import numpy as np
import pytest

from exvivo.errors import InputError
from exvivo.formats import flowjo
from exvivo.gate.populations import evaluate_tree
from exvivo.numerics import cells
from exvivo.study.design import BooleanGate, Channel, PolygonGate, RectangleGate, SampleGates

HEAD = (
    '<Workspace version="20.0" flowJoVersion="10.8.1" xmlns:gating="http://www.isac-net.org/std/Gating-ML/v2.0/gating" '
    'xmlns:transforms="http://www.isac-net.org/std/Gating-ML/v2.0/transformations" '
    'xmlns:data-type="http://www.isac-net.org/std/Gating-ML/v2.0/datatypes">'
)
LINEAR = (
    '<transforms:linear transforms:minRange="0" transforms:maxRange="1000" gain="1">'
    '<data-type:parameter data-type:name="{}"/></transforms:linear>'
)
MATRIX = (
    '<transforms:spilloverMatrix prefix="Comp-" suffix="" name="m"{extra}><data-type:parameters>'
    '<data-type:parameter data-type:name="A"/><data-type:parameter data-type:name="B"/></data-type:parameters>'
    '<transforms:spillover data-type:parameter="B"><transforms:coefficient data-type:parameter="A" transforms:value="{low}"/>'
    '<transforms:coefficient data-type:parameter="B" transforms:value="1"/></transforms:spillover>'
    '<transforms:spillover data-type:parameter="A"><transforms:coefficient data-type:parameter="A" transforms:value="1"/>'
    '<transforms:coefficient data-type:parameter="B" transforms:value="0.2"/></transforms:spillover></transforms:spilloverMatrix>'
)


def workspace(*samples: str, head: str = HEAD) -> bytes:
    return f"{head}<SampleList>{''.join(samples)}</SampleList></Workspace>".encode()


def sample(populations: str = "", before: str = LINEAR.format("A") + LINEAR.format("B"), name: str = "tube.fcs", matrix: str = "") -> str:
    return (
        f'<Sample><DataSet uri="file:/C:/my%20data/{name}" sampleID="7"/>{matrix}<Transformations>{before}</Transformations>'
        f'<Keywords><Keyword name="$P3N" value="PerCP/Cy5-A"/></Keywords>'
        f'<SampleNode name="{name}" count="1000" sampleID="7"><Subpopulations>{populations}</Subpopulations></SampleNode></Sample>'
    )


def population(shape: str, name: str = "P", inner: str = "", count: int = 5) -> str:
    return f'<Population name="{name}" count="{count}"><Gate>{shape}</Gate><Subpopulations>{inner}</Subpopulations></Population>'


def side(channel: str = "A", bounds: str = 'gating:min="1"') -> str:
    return f'<gating:dimension {bounds}><data-type:fcs-dimension data-type:name="{channel}"/></gating:dimension>'


def rectangle(*sides: str, inside: int = 1) -> str:
    return f'<gating:RectangleGate eventsInside="{inside}">{"".join(sides or (side(),))}</gating:RectangleGate>'


def polygon(corners: int = 3) -> str:
    points = "".join(
        f'<gating:vertex><gating:coordinate data-type:value="{x}"/><gating:coordinate data-type:value="{y}"/></gating:vertex>'
        for x, y in [(1, 1), (9, 1), (9, 9)][:corners]
    )
    return f"<gating:PolygonGate>{side('A', '')}{side('B', '')}{points}</gating:PolygonGate>"


def only(raw: bytes) -> SampleGates:
    (found,) = flowjo.parse(raw)
    return found


def test_external_entities_are_not_read() -> None:
    raw = b'<!DOCTYPE x [<!ENTITY file SYSTEM "file:///etc/hostname">]>' + workspace(sample("&file;"))
    with pytest.raises(InputError, match="document type"):
        flowjo.parse(raw)


def test_entity_bomb_is_refused() -> None:
    levels = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 12))
    raw = f'<!DOCTYPE x [<!ENTITY e0 "ha">{levels}]>'.encode() + workspace(sample("&e11;"))
    with pytest.raises(InputError, match=r"document type|no XML"):
        flowjo.parse(raw)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"PK\x03\x04", "no XML"),
        (b"<Gating-ML/>", "outermost element is Gating-ML"),
        (workspace(), "holds no samples"),
        (HEAD.encode() + b"</Workspace>", "holds no samples"),
        (workspace(sample(), head=HEAD.replace("10.8.1", "9.9.6")), r"written by FlowJo 9\.9\.6"),
        (workspace(sample(), head=HEAD.replace("10.8.1", "11.0")), r"written by FlowJo 11\.0"),
        (workspace(sample(), head=HEAD.replace('flowJoVersion="10.8.1"', "")), "unknown version"),
    ],
)
def test_files_that_are_no_workspaces_say_so(raw: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        flowjo.parse(raw)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (sample(population("<gating:CurlyQuad/>")), "population 'P': this kind of gate, CurlyQuad, is not supported"),
        (sample(), "it has no gates"),
        (sample(population("")), "it holds 0 gates"),
        (sample(population(rectangle()) * 2), "population 'P': two populations have this path"),
        (sample(population(rectangle(), name="")), "a population without a name"),
        (sample('<XorNode name="X"/>'), "population 'X': XorNode is not supported"),
        (sample('<NotNode name="N"><Dependents/></NotNode>'), "'not' of 0 populations"),
        (sample('<NotNode name="N"><Dependents><Dependent name="Z"/></Dependents></NotNode>'), "'N' refers to 'Z'"),
        (sample('<NotNode name="N"><Dependents><Dependent name="N"/></Dependents></NotNode>'), "in a circle"),
        (sample(population(rectangle(side(bounds='gating:min="3" gating:max="2"')))), "min 3 lies above max 2"),
        (sample(population(rectangle(side(bounds='gating:min="nan"')))), "min is 'nan'"),
        (sample(population(polygon(2))), "a polygon of 2 vertices"),
        (sample(population(polygon()), before=LINEAR.format("A")), "the scale of B is not in the workspace"),
        (sample(population(polygon()), before=(LINEAR.format("A") * 2).replace("linear", "miltenyi")), "the scale of A is 'miltenyi'"),
        (sample(matrix=MATRIX.format(extra=' spectral="1"', low=0.1)), "compensation: a spectral unmixing matrix"),
        (sample(matrix=MATRIX.format(extra="", low="x")), "value is 'x'"),
        (sample(matrix=MATRIX.format(extra="", low=5.0)), "cannot be inverted"),
        (sample(matrix=MATRIX.format(extra="", low=0.1).replace('name="B"', 'name="C"')), "2 rows for 2 channels"),
        (sample(before="<transforms:linear/>"), "a scale without a channel"),
    ],
)
def test_what_is_not_understood_is_named_and_leaves_the_other_samples_alone(made: str, words: str) -> None:
    broken, whole = flowjo.parse(workspace(made, sample(population(rectangle()), name="other.fcs")))
    assert any(words in message for message in broken.faults)
    assert all("sample 'tube.fcs'" in message for message in broken.faults)
    assert broken.tree.gates == ()
    assert whole.faults == ()
    assert [gate.name for gate in whole.tree.gates] == ["P"]


def test_all_faults_of_a_sample_are_told_together() -> None:
    found = only(workspace(sample(population("<gating:CurlyQuad/>", "one") + population("<gating:Spider/>", "two"))))
    assert len(found.faults) == 2


def test_names_are_paths_and_one_name_may_stand_in_two_branches() -> None:
    inner = population(rectangle(side("B")), "Same")
    found = only(workspace(sample(population(rectangle(), "One", inner) + population(rectangle(), "Two", inner))))
    assert [(gate.name, gate.parent) for gate in found.tree.gates if gate.parent] == [("One/Same", "One"), ("Two/Same", "Two")]
    assert found.counts["Two/Same"] == 5


def test_sample_knows_its_file() -> None:
    found = only(workspace(sample(population(rectangle()), name="my tube.fcs").replace("my tube.fcs", "my%20tube.fcs", 1)))
    assert found.faults == ()
    assert (found.name, found.file, found.identifier, found.n_events) == ("my tube.fcs", "my tube.fcs", "7", 1000)


@pytest.mark.parametrize(("channel", "bare", "compensation"), [("Comp-A", "A", "workspace"), ("A", "A", "uncompensated")])
def test_prefix_alone_means_compensated(channel: str, bare: str, compensation: str) -> None:
    found = only(workspace(sample(population(rectangle(side(channel))), matrix=MATRIX.format(extra="", low=0.1))))
    (gate,) = found.tree.gates
    assert isinstance(gate, RectangleGate)
    assert (gate.dimensions[0].channel, gate.dimensions[0].compensation) == (bare, compensation)
    assert found.tree.matrices["workspace"].matrix == ((1.0, 0.2), (0.1, 1.0))


def test_slash_in_a_channel_comes_back() -> None:
    (gate,) = only(workspace(sample(population(rectangle(side("PerCP_Cy5-A")))))).tree.gates
    assert isinstance(gate, RectangleGate)
    assert gate.dimensions[0].channel == "PerCP/Cy5-A"


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ('gating:min="0" gating:max="500"', (None, 500.0)),
        ('gating:min="10" gating:max="1000"', (10.0, None)),
        ('gating:min="-3" gating:max="1200"', (None, None)),
        ('gating:min="10" gating:max="999"', (10.0, 999.0)),
    ],
)
def test_rectangle_is_open_where_it_touches_the_end_of_its_axis(bounds: str, expected: tuple[float | None, float | None]) -> None:
    (gate,) = only(workspace(sample(population(rectangle(side(bounds=bounds)))))).tree.gates
    assert isinstance(gate, RectangleGate)
    assert (gate.dimensions[0].low, gate.dimensions[0].high) == expected


def test_scale_that_is_not_understood_does_not_matter_to_a_rectangle() -> None:
    found = only(workspace(sample(population(rectangle()), before=LINEAR.format("A").replace("linear", "miltenyi"))))
    assert found.faults == ()


def test_gate_that_keeps_what_is_outside_is_a_complement() -> None:
    found = only(workspace(sample(population(rectangle(inside=0), "Not these"))))
    shape, outside = found.tree.gates
    assert shape.name == "Not these (shape)"
    assert outside == BooleanGate("Not these", None, "not", (("Not these (shape)", False),))


def test_polygon_on_linear_axes_keeps_its_vertices() -> None:
    (gate,) = only(workspace(sample(population(polygon())))).tree.gates
    assert isinstance(gate, PolygonGate)
    assert gate.vertices == ((1.0, 1.0), (9.0, 1.0), (9.0, 9.0))


def test_polygon_is_carried_beyond_the_ends_of_linear_axes_that_it_touches() -> None:
    raw = sample(population(polygon().replace('value="9"', 'value="1000"')))
    (gate,) = only(workspace(raw)).tree.gates
    assert isinstance(gate, PolygonGate)
    events = np.array([[5e4, 2.0], [5e4, 5e4], [500.0, 5e4], [2.0, 999.0]])
    assert cells.in_polygon(events[:, 0], events[:, 1], gate.vertices).tolist() == [True, True, False, False]


def test_one_gate_that_is_not_understood_leaves_the_others_usable() -> None:
    inner = population(rectangle(), "Inner")
    made = population("<gating:CurlyQuad/>", "Curly", inner) + population(rectangle(), "Whole")
    other = '<OrNode name="Either"><Dependents><Dependent name="Whole"/><Dependent name="Curly"/></Dependents></OrNode>'
    found = only(workspace(sample(made + other)))
    assert found.faults == ()
    assert [gate.name for gate in found.tree.gates] == ["Whole"]
    assert [words in message for words, message in zip(["CurlyQuad", "'Curly/Inner'", "'Either'"], found.refused, strict=True)] == [
        True
    ] * 3
    assert list(found.counts) == ["Whole"]


def test_derived_parameter_is_refused_by_name() -> None:
    made = sample(population(rectangle(side("Ratio")), "R") + population(rectangle(), "P"))
    found = only(workspace(made.replace("<Keywords>", '<DerivedParameters><DerivedParameter name="Ratio"/></DerivedParameters><Keywords>')))
    assert "Ratio is a derived parameter" in found.refused[0]


@pytest.mark.parametrize(
    ("gain", "step", "low"),
    [("0.01", "0.01", 3.0), ("0.02", "0.01", 1.5), ("1", "0.01", 3.0), ("0.5", "", 6.0)],
)
def test_time_is_gated_in_seconds_of_the_axis(gain: str, step: str, low: float) -> None:
    axis = LINEAR.format("Time").replace('gain="1"', f'gain="{gain}"')
    made = sample(population(rectangle(side("Time", 'gating:min="3"'))), before=axis)
    made = made.replace("</Keywords>", f'<Keyword name="$P1N" value="Time"/><Keyword name="$TIMESTEP" value="{step}"/></Keywords>')
    (gate,) = only(workspace(made)).tree.gates
    assert isinstance(gate, RectangleGate)
    assert gate.dimensions[0].low == pytest.approx(low)


def test_values_that_we_divide_by_gain_are_gated_as_stored() -> None:
    axis = '<transforms:logicle transforms:T="1000" transforms:W="0.5" transforms:M="4.5" transforms:A="0">{}</transforms:logicle>'
    axes = axis.format('<data-type:parameter data-type:name="Comp-A"/>') + LINEAR.format("B")
    shapes = population(rectangle(side("Comp-A", 'gating:min="100"')), "R") + population(polygon().replace('"A"', '"Comp-A"'), "P")
    made = sample(shapes, before=axes, matrix=MATRIX.format(extra="", low=0.1))
    keywords = '<Keyword name="$P1N" value="A"/><Keyword name="$P1G" value="4"/><Keyword name="$P2N" value="B"/></Keywords>'
    tree = only(workspace(made.replace("</Keywords>", keywords))).tree
    stored = np.random.default_rng(4).lognormal(4, 1, (500, 2))
    matrix = np.array([[1.0, 0.2], [0.1, 1.0]])
    a = (stored @ np.linalg.inv(matrix))[:, 0]
    x = cells.logicle(a, T=1000.0, W=0.5, M=4.5, A=0.0)
    corners = [(float(cells.logicle(v, T=1000.0, W=0.5, M=4.5, A=0.0)), w) for v, w in [(1, 1), (9, 1), (9, 9)]]
    expected = [a >= 100, cells.in_polygon(x, stored[:, 1], corners)]
    found = evaluate_tree(stored / [4.0, 1.0], [Channel("A", "", 1e3), Channel("B", "", 1e3)], None, tree)
    for name, member in zip("RP", expected, strict=True):
        np.testing.assert_array_equal(found[name], member)
