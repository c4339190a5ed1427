"""Gates that a person writes in yaml: their meaning, and every fault with its line."""

import math
from pathlib import Path

import pytest

from exvivo.errors import ProtocolError
from exvivo.study.design import BooleanGate, Dimension, EllipsoidGate, PolygonGate, Ratio, RectangleGate, Transform, TransformKind
from exvivo.study.fixedgates import build_gate, needed_channels, read_gates_file
from exvivo.study.gaterules import gate_faults

GOOD = """\
gates:
  - name: Cells
    method: polygon
    channels: [FSC-A, SSC-A]
    vertices: [[1, 2], [3, 4], [5, 0]]
  - name: Bright
    method: rectangle
    parent: Cells
    bounds: {PE-A: {low: 0.5, high: 0.9}, APC-A: {low: 100}}
    scale: {PE-A: {kind: logicle, T: 262144}}
  - name: Round
    method: ellipse
    parent: Cells
    channels: [FSC-A, SSC-A]
    mean: [10, 20]
    axes: [3, 1]
    angle: 90
  - name: Long
    method: ellipse
    channels: [FSC-A, SSC-A]
    mean: [10, 20]
    covariance: [[4, 1], [1, 2]]
    distance_square: 2
  - name: Single
    method: rectangle
    bounds: {area: {low: 0.8, high: 1.2}}
    ratios: {area: {numerator: FSC-H, denominator: FSC-A}}
  - name: Wanted
    method: boolean
    parent: Cells
    operator: and
    of: [Single, Bright]
    complement: [Bright]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "gates.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_shape_means_what_gating_ml_means(tmp_path: Path) -> None:
    cells, bright, around, long, single, wanted = (build_gate(gate, "FCS") for gate in read_gates_file(write(tmp_path, GOOD)).gates)
    fsc, ssc = Dimension("FSC-A", "FCS"), Dimension("SSC-A", "FCS")
    logicle = Transform(TransformKind.LOGICLE, {"T": 262144.0, "W": 0.5, "M": 4.5, "A": 0.0})
    assert cells == PolygonGate("Cells", None, (fsc, ssc), ((1, 2), (3, 4), (5, 0)))
    assert bright == RectangleGate("Bright", "Cells", (Dimension("PE-A", "FCS", logicle, 0.5, 0.9), Dimension("APC-A", "FCS", None, 100.0)))
    assert isinstance(around, EllipsoidGate)
    assert around.mean == (10, 20)
    assert around.distance_square == 1
    assert [value for row in around.covariance for value in row] == pytest.approx([1, 0, 0, 9], abs=1e-12)
    assert long == EllipsoidGate("Long", None, (fsc, ssc), (10, 20), ((4, 1), (1, 2)), 2)
    ratio = Ratio("FSC-H", "FSC-A", 1.0, 0.0, 0.0)
    assert single == RectangleGate("Single", None, (Dimension("area", "FCS", None, 0.8, 1.2, ratio),))
    assert wanted == BooleanGate("Wanted", "Cells", "and", (("Single", False), ("Bright", True)))


def test_an_angle_turns_the_first_axis_from_the_first_channel(tmp_path: Path) -> None:
    text = "gates:\n  - {name: E, method: ellipse, channels: [A, B], mean: [0, 0], axes: [2, 1], angle: 30}\n"
    gate = build_gate(read_gates_file(write(tmp_path, text)).gates[0], "FCS")
    assert isinstance(gate, EllipsoidGate)
    (a, b), (_, d) = gate.covariance
    x, y = 2 * math.cos(math.pi / 6), 2 * math.sin(math.pi / 6)
    assert (d * x * x - 2 * b * x * y + a * y * y) / (a * d - b * b) == pytest.approx(1.0)


def test_channels_of_ratios_are_needed_too(tmp_path: Path) -> None:
    gates = {gate.name: gate for gate in read_gates_file(write(tmp_path, GOOD)).gates}
    assert needed_channels(gates["Single"]) == ["FSC-H", "FSC-A"]
    assert needed_channels(gates["Bright"]) == ["PE-A", "APC-A"]
    assert needed_channels(gates["Wanted"]) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("parent: Cells\n    bounds", "parent: Cels\n    bounds", "8:13: unknown parent gate 'Cels'. Known: Cells. Did you mean 'Cells'?"),
        ("- name: Round", "- name: Cells", "11:11: gate 'Cells' stands twice"),
        ("low: 0.5, high: 0.9", "low: 0.9, high: 0.5", "9:20: low 0.9 is not below high 0.5"),
        ("APC-A: {low: 100}", "APC-A: {}", "9:50: neither 'low' nor 'high' is given"),
        ("T: 262144", "T: 262144, W: 3", "10:19: a scale of kind 'logicle' needs W <= M / 2 and -W <= A <= M - 2 W, but T = 262144, W = 3"),
        ("kind: logicle, T: 262144", "kind: log, T: 262144, W: 1", "10:45: a scale of kind 'log' has no W. It has T, M"),
        ("scale: {PE-A", "scale: {PE", "10:17: unknown channel of the gate 'PE'. Known: PE-A, APC-A."),
        ("mean: [10, 20]\n    axes", "mean: [10]\n    axes", "15:11: 1 numbers for 2 channels"),
        ("    axes: [3, 1]\n    angle: 90\n", "", "11:5: an ellipse needs either 'covariance' or 'axes'"),
        ("axes: [3, 1]", "axes: [3, 0]", "16:11: half lengths of axes are above zero"),
        ("[[4, 1], [1, 2]]", "[[4, 1], [2, 2]]", "22:17: the covariance is not symmetric"),
        ("[[4, 1], [1, 2]]", "[[1, 2], [2, 1]]", "22:17: the covariance is that of no ellipse"),
        ("[[4, 1], [1, 2]]", "[[4]]", "22:17: the covariance of 2 channels has 2 rows of 2 numbers"),
        ("of: [Single, Bright]", "of: [Single, Wanted, Bright]", "32:18: unknown gate above this one 'Wanted'. Known: Cells, Bright,"),
        ("operator: and", "operator: not", "32:9: 'not' combines one gate, not 2"),
        ("complement: [Bright]", "complement: [Long]", "33:18: unknown gate of this combination 'Long'. Known: Single, Bright."),
        ("method: boolean", "method: bolean", "29:13: unknown method 'bolean'. Known: boolean, ellipse, polygon, rectangle."),
        ("    method: boolean\n", "", "28:5: key 'method' is missing"),
        ("[[1, 2], [3, 4], [5, 0]]", "[[1, 2], [3, 4]]", "5:15: Tuple should have at least 3 items"),
        ("angle: 90", "angel: 90", "17:5: unknown key 'angel'. Known: "),
    ],
)
def test_each_fault_is_told_at_its_line(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(ProtocolError) as problem:
        read_gates_file(write(tmp_path, GOOD.replace(old, new)))
    assert any(message.startswith(f"gates.yaml:{expected}") for message in problem.value.messages)


def test_all_faults_are_told_together(tmp_path: Path) -> None:
    text = (
        GOOD.replace("low: 0.5, high: 0.9", "low: 0.9, high: 0.5").replace("angle: 90", "angel: 90").replace("parent: Cells", "parent: C")
    )
    with pytest.raises(ProtocolError) as problem:
        read_gates_file(write(tmp_path, text))
    assert [message.split(":")[1] for message in problem.value.messages] == ["8", "9", "13", "17", "30"]


def test_numbers_of_shapes_are_finite(tmp_path: Path) -> None:
    path = tmp_path / "gates.yaml"
    path.write_text(
        "gates:\n"
        "  - {name: P, method: polygon, channels: [A, B], vertices: [[.inf, 0], [1, 1], [2, 0]]}\n"
        "  - {name: E, method: ellipse, channels: [A, B], mean: [.nan, 1], axes: [1, 2]}\n"
        "  - {name: R, method: rectangle, bounds: {A: {low: 0}}, scale: {A: {kind: asinh, T: .inf}}}\n",
        encoding="utf-8",
    )
    with pytest.raises(ProtocolError) as refused:
        read_gates_file(path)
    told = "\n".join(refused.value.messages)
    assert told.count("should be a finite number") == 3
    assert [f"gates.yaml:{line}:" in told for line in (2, 3, 4)] == [True, True, True]


def test_axes_of_an_ellipse_may_differ_by_any_factor(tmp_path: Path) -> None:
    path = tmp_path / "gates.yaml"
    path.write_text(
        "gates:\n  - {name: E, method: ellipse, channels: [A, B], mean: [90000, 0.5], covariance: [[1.0e+9, 1], [1, 1.0e-6]]}\n",
        encoding="utf-8",
    )
    (gate,) = read_gates_file(path).gates
    assert gate.name == "E"


def test_automatic_gates_look_at_as_many_channels_as_their_method() -> None:
    gates = [
        {"name": name, "method": method, "channels": channels}
        for name, method, channels in (("A", "scatter", ["X"]), ("B", "scatter", ["X", "Y"]), ("C", "viability", ["X", "Y"]))
    ]
    assert list(gate_faults(gates, ("gates",))) == [
        (("gates", 0, "channels"), "a gate of method 'scatter' looks at two channels, not 1"),
        (("gates", 2, "channels"), "a gate of method 'viability' looks at one channel, not 2"),
    ]
