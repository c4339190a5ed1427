"""FCS files of a study folder become rows; what cannot be read becomes a finding."""

import hashlib
import json
from pathlib import Path

import numpy as np

from exvivo.engine import Memo, Work
from exvivo.formats import fcs, gatingml
from exvivo.read.events import read_events
from exvivo.read.gates import read_gates
from exvivo.read.sources import Source, list_sources
from exvivo.study.design import Channel, Dimension, GatingTree, RectangleGate, SpilloverMatrix
from exvivo.study.model import Files
from exvivo.study.protocol import Design

CHANNELS = [Channel("PE-A", "CD204", 262144, voltage=450.0), Channel("APC-A", "", 262144)]
SPILL = SpilloverMatrix(("PE-A", "APC-A"), ("PE-A", "APC-A"), ((1.0, 0.1), (0.0, 1.0)))


def study(folder: Path) -> Path:
    home = folder / "cytometry"
    (home / "deep").mkdir(parents=True)
    data = fcs.compose(np.ones((5, 2), dtype=np.float32), CHANNELS, spillover=SPILL)
    (home / "deep" / "b é.FCS").write_bytes(data)
    (home / "a.fcs").write_bytes(data[:-20])
    (home / "._b.fcs").write_bytes(b"resource fork")
    (home / "tubes.csv").write_text("file\n", encoding="utf-8")
    return home


def listed(folder: Path) -> tuple[Source, ...]:
    nothing = Design({}, {}, {}, {}, {}, None, {}, {}, None, "")
    return list_sources(folder, Files(), nothing).of("fcs")


def test_list_mode_files_stand_among_the_inputs(tmp_path: Path) -> None:
    home = study(tmp_path)
    (home / "old.LMD").write_bytes((home / "deep" / "b é.FCS").read_bytes())
    assert [source.path for source in listed(tmp_path)] == ["cytometry/a.fcs", "cytometry/deep/b é.FCS", "cytometry/old.LMD"]


def test_every_file_is_a_row_or_a_finding(tmp_path: Path) -> None:
    home = study(tmp_path)
    table, findings = read_events(tmp_path, listed(tmp_path), Work())
    (row,) = table.rows()
    assert (row["file"], row["index"], row["events"]) == ("cytometry/deep/b é.FCS", 0, 5)
    assert row["sha256"] == hashlib.sha256((home / "deep" / "b é.FCS").read_bytes()).hexdigest()
    assert json.loads(str(row["channels"])) == [["PE-A", "CD204"], ["APC-A", ""]]
    assert json.loads(str(row["voltages"])) == {"PE-A": 450.0}
    assert json.loads(str(row["spillover"]))["matrix"] == [[1.0, 0.1], [0.0, 1.0]]
    (finding,) = findings
    assert (finding.code, finding.place) == ("file-unreadable", "cytometry/a.fcs")
    assert "DATA" in finding.evidence


def test_only_changed_files_are_read_again(tmp_path: Path) -> None:
    home = study(tmp_path)
    work = Work(memo=Memo(tmp_path / "memo"))
    read_events(tmp_path, listed(tmp_path), work)
    (home / "a.fcs").write_bytes((home / "deep" / "b é.FCS").read_bytes())
    table, findings = read_events(tmp_path, listed(tmp_path), work)
    assert (table.height, findings, work.computed["reading cytometry"]) == (2, (), 3)


def test_study_without_cytometry_has_no_rows(tmp_path: Path) -> None:
    table, findings = read_events(tmp_path, listed(tmp_path), Work())
    assert (table.height, findings) == (0, ())


def test_gate_file_is_read(tmp_path: Path) -> None:
    tree = GatingTree((RectangleGate("g", None, (Dimension("A", low=1.0),)),))
    (tmp_path / "gates.xml").write_bytes(gatingml.compose(tree))
    assert read_gates(tmp_path / "gates.xml") == tree
