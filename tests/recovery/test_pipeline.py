"""From raw files to registered outcomes and back: what a run promises as a whole."""

import json
import shutil
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import polars as pl
import pytest

from exvivo.engine import Work
from exvivo.errors import DesignError
from exvivo.pipeline import Finished, decide_study, report_study, run_study, verify_study
from exvivo.progress import die_with_parent
from exvivo.store import load_run
from exvivo.study.deciding import Choice

Copy = Callable[[], Path]

REGISTERED = (
    [("P1", "CCL18", None)]
    + [("S1", readout, None) for readout in ("PDGFBB", "IL6", "CXCL10", "CXCL4")]
    + [("S2", marker, None) for marker in ("CD204", "CD206", "CD163", "CD86", "MHCII", "TLR4")]
    + [("S3", r, None) for r in ["CCL18", "PDGFBB", "IL6", "CXCL10", "CXCL4", "CD204", "CD206", "CD163", "CD86", "MHCII", "TLR4"]]
    + [("S4", "CCL18", modifier) for modifier in ("autoab", "mrss", "du", "ild_ct", "pah_echo", "subset")]
)


def csv_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "results" / "tables").rglob("*.csv"))}


def test_every_registered_outcome_has_its_row_in_registry_order(finished: Finished) -> None:
    rows = finished.run.effects.effects.rows()
    assert [(row["outcome"], row["readout"], row["modifier"]) for row in rows] == REGISTERED
    for row in rows:
        assert row["status"] in {"estimated", "bound_only", "not_estimable"}
        assert row["status"] == "estimated" or row["reason"]


def test_markers_and_analytes_come_near_the_truth(finished: Finished, simulated: Path) -> None:
    truth = pl.read_csv(simulated / "truth" / "effects.csv")["true_ratio"].to_list()
    estimated = [
        (row, target)
        for row, target in zip(finished.run.effects.effects.rows(), truth, strict=True)
        if row["estimate"] is not None and row["outcome"] != "S4"
    ]
    assert len(estimated) >= 18
    covered = sum(float(str(row["ci_low"])) <= target <= float(str(row["ci_high"])) for row, target in estimated)
    assert covered >= len(estimated) - 4  # 22 intervals of 95 %: five or more misses have a chance below 0.005


def test_every_number_walks_back_to_wells_and_files(finished: Finished) -> None:
    run = finished.run
    quantified = run.outcomes.frame.filter(pl.col("readout") == "CCL18", pl.col("status") == "quantified")
    concentrations = set(run.calibration.concentrations.frame.select("plate", "specimen").iter_rows())
    wells = dict(run.calibration.wells.frame.select(pl.concat_str("plate", "well", separator="/"), "origin").iter_rows())
    for row in quantified.iter_rows(named=True):
        for specimen in row["specimens"].split(","):
            assert any((plate, specimen) in concentrations for plate in row["plates"].split(","))
    for row in run.calibration.concentrations.frame.iter_rows(named=True):
        for well in row["wells"].split(","):
            assert "ccl18.txt, line" in wells[f"{row['plate']}/{well}"] or row["analyte"] != "CCL18"


@pytest.fixture
def pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, get_context("spawn"), die_with_parent) as executor:
        yield executor


@pytest.mark.slow
def test_results_come_back_byte_for_byte_with_any_executor(copy: Copy, pool: ProcessPoolExecutor) -> None:
    folder = copy()
    first = csv_bytes(folder)
    shutil.rmtree(folder / "results")
    again = run_study(folder, Work(pool))
    assert csv_bytes(folder) == first
    assert sum(again.computed.values()) > 0


def test_a_second_run_recomputes_nothing_and_leaves_the_results_alone(copy: Copy) -> None:
    folder = copy()
    before = (folder / "results" / "report.html").stat().st_mtime_ns
    again = run_study(folder)
    assert sum(again.computed.values()) == 0
    assert (folder / "results" / "report.html").stat().st_mtime_ns == before


def test_a_changed_plate_recomputes_its_analyte_and_its_outcomes_and_no_more(copy: Copy) -> None:
    folder = copy()
    export = folder / "plates" / "il6.txt"
    text = export.read_bytes()
    assert b"\t0." in text
    export.write_bytes(text.replace(b"\t0.1", b"\t0.2", 1))
    again = run_study(folder)
    assert again.computed["reading plates"] == 1
    assert again.computed["calibrating"] == 1
    assert again.computed["gating"] == 0
    assert again.computed["reading cytometry"] == 0
    assert again.computed["estimating"] == 2  # S1 and S3 of IL-6


def test_the_report_is_written_again_without_raw_files(copy: Copy, finished: Finished) -> None:
    folder = copy()
    first = (folder / "results" / "report.html").read_bytes()
    for name in ("plates", "cytometry"):
        shutil.rmtree(folder / name)
    (folder / "clinical.csv").unlink()
    report_study(folder)
    assert (folder / "results" / "report.html").read_bytes() == first
    assert load_run(folder).effects.effects.frame.equals(finished.run.effects.effects.frame)


def test_a_failing_run_leaves_the_old_results_whole(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copy()
    first = csv_bytes(folder)
    decide_study(folder, Choice("exclude", "donor:SSC-001", "", "withdrew consent", "tester"))

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("killed while drawing")

    monkeypatch.setattr("exvivo.pipeline.write_report", fail)
    with pytest.raises(RuntimeError):
        run_study(folder)
    assert csv_bytes(folder) == first
    assert [message for message in verify_study(folder) if "results/" in message] == []
    assert list(folder.glob(".results-*")) == []


def test_an_excluded_donor_leaves_every_estimate_and_keeps_its_rows(copy: Copy, finished: Finished) -> None:
    folder = copy()
    decide_study(folder, Choice("exclude", "donor:SSC-003", "", "withdrew consent", "tester"))
    run = run_study(folder).run
    before, after = finished.run.effects.effects.rows()[0], run.effects.effects.rows()[0]
    assert int(str(after["donors"])) == int(str(before["donors"])) - 1
    concerned = (pl.col("donor") == "SSC-003") | (pl.col("serum_donor") == "SSC-003")
    kept = run.outcomes.frame.filter(concerned)
    assert kept.height == finished.run.outcomes.frame.filter(concerned).height
    assert kept["reason"].unique().to_list() == ["excluded"]
    listed = run.exclusions.frame.filter(pl.col("by") == "decision")
    assert listed.filter(pl.col("what") == "donor")["target"].to_list() == ["SSC-003"]
    assert listed.filter(pl.col("what") == "value").height == kept.height
    assert listed["decision"].unique().to_list() == [3]
    assert run.without_post_hoc.frame.equals(finished.run.effects.effects.frame)  # decided after unblinding: shown without it too


def test_an_excluded_donor_takes_the_serum_along(copy: Copy, finished: Finished) -> None:
    donor = finished.run.outcomes.frame.filter(pl.col("serum") == "SSc_serum")["serum_donor"][0]
    folder = copy()
    decide_study(folder, Choice("exclude", f"donor:{donor}", "", "withdrew consent", "tester"))
    rows = run_study(folder).run.outcomes.frame.filter((pl.col("donor") == donor) | (pl.col("serum_donor") == donor))
    assert rows["reason"].unique().to_list() == ["excluded"]
    assert rows["experiment"].unique().sort().to_list() == ["A", "B"]


def test_a_gate_moved_after_unblinding_is_told_with_and_without(copy: Copy, finished: Finished) -> None:
    """Only that donor is gated again; the report lists the decision and prints every estimate also without it."""
    folder = copy()
    gate = next(row for row in finished.run.gating.gates.rows() if (row["donor"], row["gate"]) == ("SSC-002", "Live"))
    geometry = json.loads(str(gate["geometry"]))
    geometry["bounds"][0][1] -= 0.15
    choice = Choice("move-gate", "gate:SSC-002/Live", json.dumps(geometry), "dead cells inside", "anna")
    with pytest.raises(DesignError, match="unknown gate 'Dead'"):
        decide_study(folder, replace(choice, target="gate:SSC-002/Dead"))
    decide_study(folder, choice)
    again = run_study(folder)
    assert again.computed["gating"] == 1
    moved, before = (table.frame.filter(pl.col("outcome") == "S2") for table in (again.run.effects.effects, again.run.without_post_hoc))
    assert before.equals(finished.run.effects.effects.frame.filter(pl.col("outcome") == "S2"))
    assert (moved["estimate"] != before["estimate"]).any()
    report = (folder / "results" / "report.html").read_text(encoding="utf-8")
    assert "move a gate" in report
    assert "gate:SSC-002/Live" in report


def test_a_blinded_study_tells_no_condition_and_no_effect(copy: Copy) -> None:
    folder = copy()
    (folder / "decisions.jsonl").unlink()
    shutil.rmtree(folder / "results")
    run = run_study(folder).run
    rows = run.effects.effects.rows()
    assert {row["status"] for row in rows} == {"blinded"}
    assert all(row["estimate"] is None and row["p"] is None for row in rows)
    assert run.effects.supplementary.height == 0
    assert not {"vehicle", "ruxolitinib"} & set(run.outcomes.frame["drug"].unique().to_list())
    for name, data in csv_bytes(folder).items():
        if name != "effects.csv":  # its contrasts stand in the protocol, without any number
            assert b"ruxolitinib" not in data, name


def test_tampering_is_seen(copy: Copy) -> None:
    folder = copy()
    assert verify_study(folder) == []
    table = folder / "results" / "tables" / "effects.csv"
    table.write_bytes(table.read_bytes().replace(b"0.", b"1.", 1))
    clinic = folder / "clinical.csv"
    clinic.write_bytes(clinic.read_bytes() + b"\n")
    record = folder / "decisions.jsonl"
    record.write_bytes(record.read_bytes().splitlines(keepends=True)[0])
    messages = "\n".join(verify_study(folder))
    assert "results/tables/effects.csv: the file was changed" in messages
    assert "clinical.csv: the file was changed" in messages
    assert "its tail was cut" in messages


def test_a_run_opens_no_connection(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copy()
    decide_study(folder, Choice("exclude", "donor:SSC-002", "", "withdrew consent", "tester"))

    def refuse(*arguments: object) -> None:
        raise AssertionError(f"a connection was tried: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert run_study(folder).manifest
