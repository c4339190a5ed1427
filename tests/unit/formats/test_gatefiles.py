"""What a gate file is stands in it; yaml gates mean what Gating-ML means."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from exvivo.cli import main
from exvivo.errors import InputError, ProtocolError
from exvivo.formats import fcs, gatefiles, gatingml, spillover
from exvivo.gate.populations import evaluate_tree
from exvivo.study.design import Channel, SpilloverMatrix

MATRIX = SpilloverMatrix(("A", "B"), ("A", "B"), ((1.0, 0.2), (0.1, 1.0)))
YAML = """\
compensation: matrix.csv
gates:
  - {name: R, method: rectangle, bounds: {A: {low: 0.2, high: 0.7}, B: {low: 10}}, scale: {A: {kind: logicle, T: 1000, M: 4}}}
  - {name: P, method: polygon, channels: [A, B], vertices: [[0, 0], [900, 0], [0, 900]]}
  - {name: E, method: ellipse, parent: P, channels: [A, B], mean: [0.5, 0.5], axes: [0.3, 0.1], angle: 45,
     scale: {A: {kind: asinh, T: 1000}, B: {kind: log, T: 1000, M: 3}}}
  - {name: Q, method: rectangle, bounds: {q: {low: 1}}, ratios: {q: {numerator: A, denominator: B}}}
  - {name: N, method: boolean, operator: and, of: [P, E], complement: [E]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "matrix.csv").write_bytes(spillover.compose(MATRIX))
    (tmp_path / "gates.yaml").write_text(YAML, encoding="utf-8")
    events = np.random.default_rng(1).uniform(0, 1000, (2000, 2)).astype(np.float32)
    (tmp_path / "a.fcs").write_bytes(fcs.compose(events, [Channel("A", "", 1024.0), Channel("B", "", 1024.0)]))
    return tmp_path


def test_yaml_gates_can_be_written_as_gating_ml_and_find_the_same_events(folder: Path) -> None:
    (own,) = gatefiles.parse(folder / "gates.yaml")
    assert own.compensation == "matrix"
    assert own.tree.matrices == {"matrix": MATRIX}
    again = gatingml.parse(gatingml.compose(own.tree))
    assert again == own.tree
    (record,) = fcs.parse(folder / "a.fcs")
    events = fcs.read_events(folder / "a.fcs", record)
    first, second = (evaluate_tree(events, record.channels, None, tree) for tree in (own.tree, again))
    for name, member in first.items():
        assert 0 < member.sum() < 2000
        assert np.array_equal(member, second[name])


def test_the_command_takes_yaml(folder: Path) -> None:
    assert main(["gate", str(folder / "a.fcs"), "--gates", str(folder / "gates.yaml"), "--out", str(folder / "out")]) == 0
    frame = pl.read_csv(folder / "out" / "populations.csv")
    assert frame["path"].to_list() == ["R", "P", "P/E", "Q", "N"]
    (folder / "gates.yaml").write_text(YAML.replace("low: 10", "low: ten"), encoding="utf-8")
    with pytest.raises(ProtocolError, match=r"gates.yaml:3:\d+: Input should be a valid number"):
        gatefiles.parse(folder / "gates.yaml")


def test_a_channel_that_the_file_lacks_is_refused_by_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "gates:\n  - {name: R, method: rectangle, bounds: {FITC-A: {low: 1}}}\n"
    (folder / "gates.yaml").write_text(text, encoding="utf-8")
    assert main(["gate", str(folder / "a.fcs"), "--gates", str(folder / "gates.yaml"), "--out", str(folder / "out")]) == 1
    assert "FITC-A" in capsys.readouterr().err


def test_the_matrix_beside_it_must_be_there(folder: Path) -> None:
    (folder / "matrix.csv").unlink()
    with pytest.raises(InputError, match=r"no matrix file 'matrix.csv' beside it"):
        gatefiles.parse(folder / "gates.yaml")


def test_only_what_has_gates_counts_as_yaml(folder: Path) -> None:
    (folder / "other.txt").write_text("gates:\n  - {name: R, method: rectangle, bounds: {A: {low: 1}}}\n", encoding="utf-8")
    assert gatefiles.parse(folder / "other.txt")[0].tree.gates[0].name == "R"
    (folder / "other.txt").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(InputError, match="Gating-ML"):
        gatefiles.parse(folder / "other.txt")
    with pytest.raises(InputError, match="there is no such file"):
        gatefiles.parse(folder / "none.xml")


@pytest.mark.parametrize("count", [1, 2])
def test_samples_without_a_name_are_not_gates_for_every_file(tmp_path: Path, count: int) -> None:
    path = tmp_path / "work.wsp"
    path.write_text(f'<Workspace flowJoVersion="10.8.1"><SampleList>{"<Sample/>" * count}</SampleList></Workspace>', encoding="utf-8")
    with pytest.raises(InputError, match=r"no sample is called 'a\.fcs'"):
        gatefiles.choose(path.name, gatefiles.parse(path), ["a.fcs"])
