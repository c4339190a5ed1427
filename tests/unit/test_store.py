"""Results that are whole or not there: atomic swaps, what a killed run leaves behind, records that were tampered with."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from exvivo.cli import main
from exvivo.errors import DesignError
from exvivo.store import MANIFEST, RESULTS, building_results, sweep
from exvivo.study.decisions import Decision, DecisionKind, Decisions, parse_decisions


@pytest.fixture
def ended() -> int:
    """Number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def decisions(*kinds: tuple[DecisionKind, str]) -> Decisions:
    data = b""
    for seq, (kind, target) in enumerate(kinds, start=1):
        head = parse_decisions(data).head
        data += Decision(seq, "2026-01-01T00:00:00+00:00", "a", kind, target, "", "r", head).line()
    return parse_decisions(data)


def test_a_failing_block_leaves_the_old_results(tmp_path: Path) -> None:
    (tmp_path / RESULTS).mkdir()
    (tmp_path / RESULTS / MANIFEST).write_text("old", encoding="utf-8")

    def fail() -> None:
        with building_results(tmp_path) as building:
            (building / MANIFEST).write_text("new", encoding="utf-8")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (tmp_path / RESULTS / MANIFEST).read_text(encoding="utf-8") == "old"
    assert [path.name for path in tmp_path.iterdir()] == [RESULTS]


@pytest.mark.parametrize("whole", [True, False])
def test_a_swap_that_was_begun_is_finished_only_when_the_new_folder_is_whole(tmp_path: Path, ended: int, *, whole: bool) -> None:
    leftover = tmp_path / f".{RESULTS}-new-{ended}"
    leftover.mkdir()
    (tmp_path / f".{RESULTS}-old-{ended}").mkdir()
    if whole:
        (leftover / MANIFEST).write_text("new", encoding="utf-8")
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ([RESULTS] if whole else [])


def test_a_revert_that_is_reverted_does_nothing() -> None:
    record = decisions((DecisionKind.EXCLUDE, "donor:A"), (DecisionKind.REVERT, "1"), (DecisionKind.REVERT, "2"))
    assert [decision.seq for decision in record.active] == [1]


def test_what_was_decided_after_unblinding_stays_post_hoc_whatever_is_reverted() -> None:
    record = decisions((DecisionKind.LOCK, ""), (DecisionKind.UNBLIND, ""), (DecisionKind.EXCLUDE, "donor:A"), (DecisionKind.REVERT, "2"))
    assert [decision.seq for decision in record.post_hoc()] == [3]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small study without cytometry, locked, unblinded and run."""
    folder = tmp_path_factory.mktemp("store") / "study"
    assert main(["init", str(folder)]) == 0
    assert main(["simulate", str(folder), "--donors", "4+3", "--workers", "1"]) == 0
    shutil.rmtree(folder / "cytometry")
    for kind in ("lock", "unblind"):
        assert main(["decide", str(folder), kind, "--reason", "complete"]) == 0
    assert main(["run", str(folder), "--workers", "1"]) == 0
    return folder


@pytest.fixture
def study(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "study")


def verify(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    code = main(["verify", str(folder)])
    told = capsys.readouterr().err
    assert code == (1 if told else 0)
    return told


def test_untouched_results_are_verified(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not verify(study, capsys)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("results/tables/effects.csv", b"outcome\n", "results/tables/effects.csv: the file was changed after the run"),
        ("results/tables/effects.csv", None, "results/tables/effects.csv: the file is missing"),
        ("plates/il6.txt", None, "plates/il6.txt: the file is missing"),
        ("clinical.csv", b"x", "clinical.csv: the file was changed after the run"),
        ("results/manifest.json", b"{}", "the manifest cannot be read"),
        ("results/manifest.json", None, "they are not whole"),
    ],
)
def test_what_differs_from_the_manifest_is_named(
    study: Path, capsys: pytest.CaptureFixture[str], name: str, data: bytes | None, words: str
) -> None:
    (study / name).unlink() if data is None else (study / name).write_bytes(data)
    assert words in verify(study, capsys)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda b: b.replace(b"complete", b"complicated", 1), "line 2: the chain is broken"),
        (lambda b: b.split(b"\n")[0] + b"\n", "the record holds 1 decisions, the run saw 2: its tail was cut"),
        (lambda _: b"", "the record holds 0 decisions"),
        (lambda b: b + b'{"at":"20', "a decision was not written to its end"),
        (lambda b: b.replace(b"\n", b"\r\n"), "the chain is broken"),
    ],
)
def test_a_record_that_was_tampered_with_is_named(study: Path, capsys: pytest.CaptureFixture[str], change, words: str) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001  a lambda of the table above
    path = study / "decisions.jsonl"
    path.write_bytes(change(path.read_bytes()))
    assert words in verify(study, capsys)


def test_a_cut_record_is_refused_by_the_next_run_and_not_buried_by_it(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = study / "decisions.jsonl"
    path.write_bytes(path.read_bytes().split(b"\n")[0] + b"\n")
    for command in (["check", str(study)], ["run", str(study), "--workers", "1"]):
        assert main(command) == 1
        assert "the record was cut or rewritten" in capsys.readouterr().err


def test_a_torn_decision_is_set_aside_when_the_next_is_taken(study: Path) -> None:
    path = study / "decisions.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"at":"20')
    assert main(["decide", str(study), "exclude", "donor:SSC-001", "--reason", "x"]) == 0
    assert path.read_bytes().startswith(whole)
    assert len(parse_decisions(path.read_bytes()).records) == 3
    (aside,) = study.glob("decisions.jsonl.torn-*")
    assert aside.read_bytes() == b'{"at":"20'


def test_a_manifest_that_cannot_be_read_is_no_bug(study: Path) -> None:
    from exvivo.store import load_manifest

    (study / RESULTS / MANIFEST).write_text("[", encoding="utf-8")
    with pytest.raises(DesignError, match="cannot be read"):
        load_manifest(study)


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")
@pytest.mark.parametrize("after", [0.8, 2.0, 3.5])
def test_a_killed_run_leaves_the_old_results_or_the_new_ones(
    study: Path, finished: Path, capsys: pytest.CaptureFixture[str], after: float
) -> None:
    command = [sys.executable, "-m", "exvivo", "run", str(study), "--fresh", "--workers", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ))  # noqa: S603  our own command
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not verify(study, capsys)
    assert main(["run", str(study), "--fresh", "--workers", "1"]) == 0
    assert not verify(study, capsys)
    assert not list(study.glob(f".{RESULTS}-*"))
    before, now = (json.loads((folder / RESULTS / MANIFEST).read_text(encoding="utf-8"))["outputs"] for folder in (finished, study))
    tables = {name for name in before if name.endswith(".csv")}
    assert tables
    assert {name: before[name] for name in tables} == {name: now[name] for name in tables}


def test_what_other_packages_computed_is_not_taken_for_ours(
    study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "nothing was recomputed"
    assert main(["run", str(study), "--workers", "1"]) == 0
    assert said in capsys.readouterr().err
    monkeypatch.setattr("exvivo.store.version", lambda _: "0.0.0")
    assert main(["run", str(study), "--workers", "1"]) == 0
    assert said not in capsys.readouterr().err
    assert len(list((study / RESULTS / "memo").iterdir())) == 1


@pytest.mark.parametrize("error", [OSError("no username set in the environment"), KeyError("getpwuid(): uid not found: 1000")])
def test_a_decision_without_a_known_user_asks_for_the_author(
    study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse() -> str:
        raise error

    monkeypatch.setattr("getpass.getuser", refuse)
    decide = ["decide", str(study), "exclude", "donor:SSC-001", "--reason", "x"]
    assert main(decide) == 1
    assert "Give --author NAME" in capsys.readouterr().err
    assert main([*decide, "--author", "anna"]) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="asking for a process is POSIX")
def test_a_sweep_leaves_the_folder_of_a_run_that_is_alive(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead, alive = (tmp_path / f".results-new-{number}" for number in (ended.pid, os.getppid()))
    for folder in (dead, alive):
        folder.mkdir()
    sweep(tmp_path)
    assert alive.is_dir()
    assert not dead.exists()
