"""``exvivo fcs``: one file at length, several in a line each, faults told and counted."""

import json
from pathlib import Path

import numpy as np
import pytest

from exvivo.cli import main
from exvivo.formats import fcs
from exvivo.study.design import Channel, SpilloverMatrix

CHANNELS = [
    Channel("Time", "", 1024.0),
    Channel("FL1-A", "CD204", 262144.0, voltage=450.0, gain=2.0),
    Channel("FL2-A", "CD206", 262144.0),
]
IDENTITY = SpilloverMatrix(("FL1-A", "FL2-A"), ("FL1-A", "FL2-A"), ((1, 0), (0, 1)))
SPILL = SpilloverMatrix(("FL1-A", "FL2-A"), ("FL1-A", "FL2-A"), ((1, 0.1), (0, 1)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    events = np.ones((3, 3), dtype=np.float32)
    keywords = {"$CYT": "LSRII", "$DATE": "02-MAR-2020"}
    one = fcs.compose(events, CHANNELS, spillover=SPILL, timestep=0.01, keywords=keywords)
    log = [Channel("FL1", "", 1024.0, amplification=(4.0, 1.0), bits=10, datatype="I")]
    (tmp_path / "one.fcs").write_bytes(one)
    (tmp_path / "two.lmd").write_bytes(fcs.compose_all([fcs.DataSet(events, CHANNELS, IDENTITY), fcs.DataSet(np.ones((5, 1)), log)]))
    (tmp_path / "notes.txt").write_text("no FCS file", encoding="utf-8")
    return tmp_path


def test_one_file_is_told_at_length(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fcs", str(folder / "one.fcs")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "one.fcs, FCS3.1, data set 1: 3 events",
        "  Time                              range 1024, 32 bits F",
        "  FL1-A            CD204            range 262144, 32 bits F, 450 V, gain 2",
        "  FL2-A            CD206            range 262144, 32 bits F",
        "  LSRII, 02-MAR-2020, bytes in little order, time step 0.01 s, spillover of FL1-A, FL2-A",
    ]


def test_data_sets_amplifiers_and_an_identity_are_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fcs", str(folder / "two.lmd")]) == 0
    shown = capsys.readouterr().out
    assert "two.lmd, FCS3.1, data set 2: 5 events\n  FL1                               range 1024, 10 bits I, 4 decades from 1\n" in shown
    assert "instrument not named, bytes in little order, spillover of FL1-A, FL2-A, which is the identity: it compensates nothing" in shown
    assert "no spillover" in shown
    assert shown.endswith("  odd: integers of 10 bits are packed without gaps\n")


def test_json_of_one_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fcs", str(folder / "one.fcs"), "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["version"] == "FCS3.1"
    (dataset,) = described["datasets"]
    channels = dataset.pop("channels")
    assert dataset == {
        "version": "FCS3.1",
        "events": 3,
        "instrument": "LSRII",
        "date": "02-MAR-2020",
        "byte_order": "little",
        "timestep": 0.01,
        "spillover": {"channels": ["FL1-A", "FL2-A"], "identity": False},
        "issues": [],
    }
    assert channels[1] == {
        "name": "FL1-A",
        "marker": "CD204",
        "range": 262144.0,
        "voltage": 450.0,
        "gain": 2.0,
        "amplification": [0.0, 0.0],
        "bits": 32,
        "datatype": "F",
    }


def test_folder_gives_one_line_for_each_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fcs", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "one.fcs: FCS3.1, 3 events, 3 channels, LSRII",
        "two.lmd: FCS3.1, 3 + 5 events, 3 channels, instrument not named, 1 odd",
    ]


def test_files_that_cannot_be_read_do_not_hold_up_others(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bad.fcs").write_bytes(b"FCS3.0 and no more")
    assert main(["fcs", str(folder / "one.fcs"), str(folder / "bad.fcs"), str(folder / "none.fcs"), "--json"]) == 1
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert [file["file"] for file in found["files"]] == ["one.fcs"]
    assert [message.split(":")[0] for message in found["faults"]] == ["bad.fcs", str(folder / "none.fcs")]
    assert shown.err.count("error: ") == 2
