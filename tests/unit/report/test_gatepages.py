"""Pages about gated files: from FCS files on disk to the page and its pictures."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exvivo.engine import Work
from exvivo.formats import fcs
from exvivo.pipeline import GatingChoice, gate_files
from exvivo.report.gatepages import GatedFile, draw_gates
from exvivo.report.theme import compose_spec
from exvivo.report.wording import load_wording
from exvivo.study.design import Channel, GatePicture, PictureAxis

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
