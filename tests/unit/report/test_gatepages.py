"""Pages about gated files: from FCS files on disk to the page and its pictures."""

import io
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from exvivo.engine import Work
from exvivo.errors import DesignError, ProtocolError
from exvivo.formats import fcs, gatingml
from exvivo.pipeline import GatingChoice, Written, gate_files
from exvivo.report.gatepages import GatedFile, draw_gates
from exvivo.report.theme import compose_spec
from exvivo.report.wording import load_wording
from exvivo.study.design import Channel, Dimension, GatePicture, GatingTree, PictureAxis, RectangleGate, SpilloverMatrix

GATES = """<gating:Gating-ML xmlns:gating="http://www.isac-net.org/std/Gating-ML/v2.0/gating"
 xmlns:dt="http://www.isac-net.org/std/Gating-ML/v2.0/datatypes">
<gating:RectangleGate gating:id="Big"><gating:dimension gating:compensation-ref="uncompensated" gating:min="200">
<dt:fcs-dimension dt:name="FSC"/></gating:dimension></gating:RectangleGate></gating:Gating-ML>"""
AXIS = PictureAxis("B1, compensated", 0.0, 1.0, (0.25, 0.5), ("0", "1k"))
SQUARE = ((-1.0, 0.5), (0.5, 0.5), (0.5, 2.0), (-1.0, 2.0))
FILE = GatedFile(
    "tube <1>.fcs",
    1234,
    "LSRII",
    tuple({"path": path, "count": 10, "percent_of_parent": share, "stored_count": None} for path, share in (("A", 99.99), ("A/B", None))),
    (
        GatePicture(None, AXIS, AXIS, ((1, 2), (0, 4)), (("A", SQUARE), ("A/B", SQUARE)), 7, 1),
        GatePicture("A", AXIS, None, ((3, 0, 5),), (("A/B", ((0.5, 0.0), (9.0, 0.0))),), 8, 2),
    ),
)


def test_figures_follow_the_schema() -> None:
    import altair as alt

    figure = draw_gates(FILE, load_wording())
    alt.Chart.from_dict(compose_spec(figure), validate=True)
    text = json.dumps(figure, allow_nan=False)
    assert ">99.9 %" in text
    assert "[indexof" in text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files of one name in two folders, one that is no FCS file inside, one with an ending of its own."""
    rng = np.random.default_rng(0)
    for name in ("one/tube.fcs", "two/tube.fcs", "two/plate.B08"):
        path = tmp_path / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(fcs.compose(rng.uniform(0, 400, (300, 1)).astype(np.float32), [Channel("FSC", "", 1024.0)]))
    (tmp_path / "raw" / "two" / "cut.fcs").write_bytes(b"FCS3.0 and nothing else")
    (tmp_path / "raw" / "notes.txt").write_text("not a tube", encoding="utf-8")
    (tmp_path / "gates.xml").write_text(GATES, encoding="utf-8")
    return tmp_path


def test_a_folder_becomes_a_page_and_a_picture_for_each_file(folder: Path) -> None:
    work = Work()
    written = gate_files([folder / "raw"], folder / "gates.xml", folder / "out", GatingChoice(), work)
    page = (folder / "out" / "index.html").read_text(encoding="utf-8")
    for name in ("one/tube.fcs", "two/tube.fcs", "plate.B08"):
        assert f"<h2>{name}</h2>" in page
    (unreadable,) = [row for row in written.findings.rows() if row["severity"] == "error"]
    assert unreadable["place"] == "cut.fcs"
    pictures = sorted((folder / "out" / "files").glob("*.png"))
    assert len(pictures) == 3
    assert Image.open(io.BytesIO(pictures[0].read_bytes())).size[0] > 400
    assert page.count("<svg ") == 3
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_pages_may_be_left_out(folder: Path) -> None:
    gate_files([folder / "raw"], folder / "gates.xml", folder / "out", GatingChoice(pages=False))
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["findings.csv", "memo", "miflowcyt.csv", "populations.csv"]


def test_nothing_is_gated_twice_and_a_changed_file_is(folder: Path) -> None:
    gate_files([folder / "raw"], folder / "gates.xml", folder / "out", GatingChoice(pages=False))
    before = (folder / "out" / "populations.csv").read_bytes()
    parcels = len(list((folder / "out" / "memo").rglob("*.parcel")))
    gate_files([folder / "raw"], folder / "gates.xml", folder / "out", GatingChoice(pages=False))
    assert (folder / "out" / "populations.csv").read_bytes() == before
    assert len(list((folder / "out" / "memo").rglob("*.parcel"))) == parcels == 3
    (folder / "raw" / "one" / "tube.fcs").write_bytes(fcs.compose(np.full((5, 1), 300, dtype=np.float32), [Channel("FSC", "", 1024.0)]))
    gate_files([folder / "raw"], folder / "gates.xml", folder / "out", GatingChoice(pages=False))
    assert len(list((folder / "out" / "memo").rglob("*.parcel"))) == 4
    assert "one/tube.fcs,Big,,5,100" in (folder / "out" / "populations.csv").read_text(encoding="utf-8")


GATES_YAML = """\
gates:
  - {name: Big, method: rectangle, bounds: {FSC: {low: 200}}}
  - {name: Dim, method: rectangle, bounds: {B1: {high: 50}}}
"""
CHANNELS = [Channel(name, "", 1024.0) for name in ("Time", "FSC", "B1")]


def gated(folder: Path, gates: str = GATES_YAML) -> Written:
    (folder / "gates.yaml").write_text(gates, encoding="utf-8")
    return gate_files([folder / "tube.fcs"], folder / "gates.yaml", folder / "out")


@pytest.fixture
def tube(tmp_path: Path) -> Path:
    """A file without a matrix, one event of which is no number."""
    events = np.random.default_rng(0).uniform(0, 400, (300, 3)).astype(np.float32)
    events[0, 0], events[0, 1] = np.nan, 300.0
    (tmp_path / "tube.fcs").write_bytes(fcs.compose(events, CHANNELS))
    return tmp_path


def test_medians_that_are_no_numbers_do_not_stop_the_pages(tube: Path) -> None:
    written = gated(tube)
    assert tube / "out" / "index.html" in written.files
    assert pl.read_csv(tube / "out" / "populations.csv")["median_Time"].is_nan().any()


def test_medians_stand_in_the_order_of_the_file(tube: Path) -> None:
    gated(tube)
    assert pl.read_csv(tube / "out" / "populations.csv").columns[-3:] == ["median_Time", "median_FSC", "median_B1"]


def test_a_file_without_the_matrix_that_its_gates_ask_for_is_told(tube: Path) -> None:
    (found,) = gated(tube).findings.rows()
    assert (found["code"], found["severity"], found["place"]) == ("compensation-missing", "warning", "tube.fcs")
    assert "FSC, B1" in str(found["evidence"])
    assert not gated(tube, GATES_YAML + "compensation: none\n").findings.height


def test_only_axes_with_a_matrix_are_called_compensated(tube: Path) -> None:
    events = np.random.default_rng(0).uniform(0, 400, (300, 3)).astype(np.float32)
    matrix = SpilloverMatrix(("B1",), ("B1",), ((1.0,),))
    (tube / "tube.fcs").write_bytes(fcs.compose(events, CHANNELS, spillover=matrix))
    gated(tube)
    page = (tube / "out" / "index.html").read_text(encoding="utf-8")
    assert "B1, compensated" in page
    assert "FSC, compensated" not in page


def test_gates_that_tables_cannot_tell_apart_are_refused(tube: Path) -> None:
    side = "method: rectangle, bounds: {FSC: {low: 200}}"
    twice = f"gates:\n  - {{name: A, {side}}}\n  - {{name: B, parent: A, {side}}}\n  - {{name: A/B, {side}}}\n"
    with pytest.raises(ProtocolError, match=r"gates.yaml:4:12: gate 'A/B' has the path of another: 'A/B'"):
        gated(tube, twice)
    gates = tuple(RectangleGate(name, parent, (Dimension("FSC", low=200.0),)) for name, parent in (("A", None), ("B", "A"), ("A/B", None)))
    (tube / "gates.xml").write_bytes(gatingml.compose(GatingTree(gates)))
    with pytest.raises(DesignError, match="2 gates have the path 'A/B'"):
        gate_files([tube / "tube.fcs"], tube / "gates.xml", tube / "out")


@pytest.mark.parametrize("name", ["file", "event"])
def test_a_gate_is_not_called_as_a_column_of_the_membership_table(tube: Path, name: str) -> None:
    with pytest.raises(DesignError, match=f"a gate is called '{name}'"):
        gated(tube, f"gates:\n  - {{name: {name}, method: rectangle, bounds: {{FSC: {{low: 200}}}}}}\n")


def test_a_matrix_with_channels_that_the_file_lacks_is_not_used(tube: Path) -> None:
    stored = {"SPILL": "2,B1,Other,1,0.5,0,1"}
    (tube / "tube.fcs").write_bytes(fcs.compose(np.ones((9, 3), dtype=np.float32), CHANNELS, keywords=stored))
    with pytest.raises(DesignError, match=r"tube\.fcs: the file's spillover matrix needs the channels Other"):
        gated(tube)
    (tube / "gates.xml").write_text(GATES.replace("200", "0"), encoding="utf-8")
    written = gate_files([tube / "tube.fcs"], tube / "gates.xml", tube / "out")
    assert "medians are not compensated" in str(written.findings.rows()[0]["evidence"])
    assert pl.read_csv(tube / "out" / "populations.csv")["median_B1"].to_list() == [1.0]


def test_a_matrix_that_cannot_be_inverted_is_refused_where_gates_ask_for_it(tube: Path) -> None:
    matrix = SpilloverMatrix(("FSC", "B1"), ("FSC", "B1"), ((1.0, 1.0), (1.0, 1.0)))
    (tube / "tube.fcs").write_bytes(fcs.compose(np.ones((9, 3), dtype=np.float32), CHANNELS, spillover=matrix))
    with pytest.raises(DesignError, match=r"tube\.fcs: the spillover matrix cannot be inverted"):
        gated(tube)
    assert tube / "out" / "populations.csv" in gated(tube, GATES_YAML + "compensation: none\n").files


def test_names_at_one_corner_stand_below_each_other_and_gates_out_of_sight_have_none() -> None:
    outside = ((5.0, 5.0), (6.0, 5.0), (6.0, 6.0), (5.0, 6.0))
    touching = ((1.0, 0.0), (2.0, 0.0), (2.0, 1.0), (1.0, 1.0))
    outlines = (("A", SQUARE), ("A/B", SQUARE), ("C", outside), ("D", touching))
    rows = tuple({"path": path, "count": 10, "percent_of_parent": 50.0, "stored_count": None} for path, _ in outlines)
    file = GatedFile("t.fcs", 9, "", rows, (GatePicture(None, AXIS, AXIS, ((1, 2), (0, 4)), outlines, 7, 1),))
    layers = draw_gates(file, load_wording())["concat"][0]["layer"]
    names = [layer for layer in layers if layer["mark"]["type"] == "text" and "stroke" not in layer["mark"]]
    assert [name["data"]["values"][0]["text"] for name in names] == ["A 50.0 %", "B 50.0 %"]
    assert [name["mark"]["dy"] for name in names] == [9, 21]
