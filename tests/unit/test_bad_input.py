"""What a tired technician does to a study folder, and what the command line says about it."""

import csv
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from exvivo.cli import main


@dataclass(frozen=True)
class Said:
    """Exit code and both streams of one command."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """Messages, without the words before them."""
        return [line.removeprefix("error: ") for line in self.err.splitlines() if line.startswith("error: ")]


class Study:
    """A copy of the simulated study, and the commands on it."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path, self.capsys = path, capsys

    def call(self, *arguments: str) -> Said:
        self.capsys.readouterr()
        code = main([*arguments[:1], str(self.path), *arguments[1:]])
        said = self.capsys.readouterr()
        assert code in {0, 1, 2}
        assert "Traceback" not in said.err + said.out
        return Said(code, said.out, said.err)

    def edit(self, name: str, change: Callable[[str], str]) -> None:
        path = self.path / name
        text = path.read_text(encoding="utf-8")
        changed = change(text)
        assert changed != text
        path.write_text(changed, encoding="utf-8")

    def edit_column(self, name: str, column: str, change: Callable[[int, str], str]) -> None:
        def rewrite(text: str) -> str:
            rows = list(csv.reader(text.splitlines()))
            at = rows[0].index(column)
            for number, row in enumerate(rows[1:]):
                row[at] = change(number, row[at])
            return "\n".join(",".join(row) for row in rows) + "\n"

        self.edit(name, rewrite)

    def table(self, name: str) -> list[dict[str, str]]:
        with (self.path / "results" / "tables" / f"{name}.csv").open(encoding="utf-8") as file:
            return list(csv.DictReader(file))


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulated once: six patients, three healthy donors."""
    folder = tmp_path_factory.mktemp("étude du soir") / "study"
    assert main(["init", str(folder)]) == 0
    assert main(["simulate", str(folder), "--donors", "6+3", "--workers", "1"]) == 0
    return folder


@pytest.fixture
def study(simulated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Study]:
    folder = tmp_path / "study"
    shutil.copytree(simulated, folder)
    yield Study(folder, capsys)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("specimens.csv", b"", "specimens.csv: the file is empty"),
        ("clinical.csv", b"", "clinical.csv: the file is empty"),
        ("dictionary.csv", b"", "dictionary.csv: the file is empty"),
        ("cytometry/tubes.csv", b"", "cytometry/tubes.csv: the file is empty"),
        ("plates/maps/ccl18.csv", b"", "plates/maps/ccl18.csv: the file is empty"),
        ("plates/ccl18.txt", b"", "plates/ccl18.txt: the file is empty"),
        ("plates/pdgfbb.xlsx", b"PK\x03\x04 cut", "plates/pdgfbb.xlsx: the archive is damaged"),
        ("study.yaml", b"", "study.yaml:1:1: the file holds nothing"),
        ("study.yaml", b"study:\n\tid: X\n", "study.yaml:2:1:"),
        ("decisions.jsonl", b"hello\n", "decisions.jsonl, line 1: this is not a decision"),
        ("specimens.csv", bytes(range(256)) * 2, "specimens.csv: the file is not text"),
        ("cytometry/tubes.csv", b"file,specimen,tube,marker,batch\n", "cytometry/tubes.csv: no tube is listed, and there are 87 FCS files"),
        ("plates/maps/il6.csv", b"plate,well,role,specimen,analyte,concentration,dilution\n", "il6.csv: there is no well below"),
    ],
)
def test_a_file_that_holds_nothing_useful_is_named(study: Study, name: str, content: bytes, words: str) -> None:
    (study.path / name).write_bytes(content)
    said = study.call("check")
    assert said.code == 1
    assert len(said.errors) == 1
    assert words in said.errors[0]


@pytest.mark.parametrize("name", ["specimens.csv", "clinical.csv", "dictionary.csv", "cytometry/tubes.csv", "study.yaml"])
def test_a_file_that_is_absent_is_named(study: Study, name: str) -> None:
    (study.path / name).unlink()
    said = study.call("check")
    assert said.code == 1
    assert len(said.errors) == 1


@pytest.mark.parametrize(
    ("name", "column", "change", "words"),
    [
        ("specimens.csv", "drug", lambda n, c: "ruxolitinb" if n == 4 else c, "line 6: unknown level of drug 'ruxolitinb'"),
        ("specimens.csv", "drug", lambda n, c: "" if n in {0, 1, 4} else c, "lines 2, 3, 6: no level of drug"),
        ("specimens.csv", "collected_on", lambda _n, _c: "15/01/2024", "and 80 more: collected_on '15/01/2024'"),
        ("specimens.csv", "viability_pct", lambda n, c: "190" if n == 1 else c, "line 3: viability_pct 190 cannot be"),
        ("specimens.csv", "specimen", lambda n, c: "C0001" if n == 1 else c, "line 3: specimen 'C0001' stands twice"),
        ("plates/maps/ccl18.csv", "unit", lambda _n, c: "pg/uM" if c else c, "unknown unit 'pg/uM'"),
        ("plates/maps/ccl18.csv", "analyte", lambda _n, _c: "CCL81", "unknown analyte 'CCL81'"),
        ("plates/maps/ccl18.csv", "well", lambda n, c: "A1" if n == 1 else c, "well A1 of plate 'CCL18 1' stands twice"),
        ("plates/maps/ccl18.csv", "plate", lambda _n, c: f"9{c}", "the map is for plates 9CCL18 1, 9CCL18 2"),
        ("cytometry/tubes.csv", "tube", lambda n, c: "Full stain" if n == 0 else c, "line 2: unknown kind of tube 'Full stain'"),
        ("clinical.csv", "population", lambda n, c: "9" if n == 1 else c, "line 3: unknown population '9'"),
    ],
)
def test_a_wrong_cell_is_one_message_with_its_lines(
    study: Study, name: str, column: str, change: Callable[[int, str], str], words: str
) -> None:
    study.edit_column(name, column, change)
    said = study.call("check")
    assert said.code == 1
    assert len(said.errors) == 1
    assert f"{name}, " in said.errors[0] or f"{name}: " in said.errors[0]
    assert words in said.errors[0]


@pytest.mark.parametrize("column", ["donor", "drug", "serum", "matrix", "state"])
def test_a_column_that_is_needed_is_never_assumed(study: Study, column: str) -> None:
    study.edit("specimens.csv", lambda text: re.sub(rf"\b{column}\b", f"my_{column}", text, count=1))
    said = study.call("check")
    assert said.code == 1
    assert any(f"unknown column '{column}'" in message for message in said.errors)


def test_faults_of_all_files_are_told_together(study: Study) -> None:
    study.edit_column("specimens.csv", "drug", lambda _n, _c: "bad")
    study.edit_column("plates/maps/il6.csv", "role", lambda n, c: "sample" if n == 0 else c)
    study.edit_column("cytometry/tubes.csv", "tube", lambda n, c: "zz" if n == 0 else c)
    (study.path / "clinical.csv").write_bytes(b"")
    (study.path / "plates/cxcl4.txt").write_bytes(b"\x00\x01")
    said = study.call("check")
    assert said.code == 1
    assert [message.split(":")[0].split(",")[0] for message in said.errors] == [
        "specimens.csv",
        "cytometry/tubes.csv",
        "clinical.csv",
        "plates/cxcl4.txt",
        "plates/maps/il6.csv",
    ]


@pytest.mark.parametrize(
    ("change", "code", "severity"),
    [
        (lambda s: (s / "cytometry/C0001_full.fcs").write_bytes(b""), "file-unreadable", "error"),
        (lambda s: (s / "cytometry/C0001_full.fcs").write_bytes(b"hello " * 99), "file-unreadable", "error"),
        (lambda s: (s / "cytometry/C0001_full.fcs").unlink(), "file-unreadable", "error"),
        (lambda s: shutil.copy(s / "cytometry/C0001_full.fcs", s / "cytometry/C0002_full.fcs"), "file-duplicate", "error"),
        (lambda s: shutil.copy(s / "plates/ccl18.txt", s / "plates/ccl18 (1).txt"), "file-duplicate", "error"),
        (lambda s: (s / "plates/maps/ccl18.csv").unlink(), "export-without-map", "error"),
        (lambda s: (s / "plates/ccl18.txt").unlink(), "map-without-export", "error"),
        (lambda s: shutil.rmtree(s / "plates"), "readout-without-data", "warning"),
        (lambda s: shutil.rmtree(s / "cytometry"), "readout-without-data", "warning"),
        (lambda s: (s / "plates/~$ccl18.xlsx").write_bytes(b"x"), "", ""),
    ],
)
def test_files_that_are_lost_broken_or_copied_are_findings(
    study: Study, change: Callable[[Path], object], code: str, severity: str
) -> None:
    change(study.path)
    said = study.call("check")
    assert said.code == (1 if severity == "error" else 0)
    assert f"[{code}]" in said.err if code else not said.err.startswith(("error", "warning"))


@pytest.mark.parametrize(
    ("name", "column", "change", "code", "words"),
    [
        ("specimens.csv", "donor", lambda _n, c: c.replace("SSC-003", "SSC-O03"), "donor-unknown", "Did you mean 'SSC-003'?"),
        ("clinical.csv", "record_id", lambda _n, c: c.replace("SSC-003", "ssc-003"), "donor-unknown", "Did you mean 'ssc-003'?"),
        ("plates/maps/ccl18.csv", "specimen", lambda _n, c: c.replace("M0014", "MO014"), "id-unknown", "Did you mean 'M0014'?"),
        ("plates/maps/ccl18.csv", "specimen", lambda _n, c: c.replace("M0014", "C0014"), "id-unknown", "is cells in specimens.csv"),
        ("plates/maps/ccl18.csv", "unit", lambda _n, c: c.replace("pg", "ng"), "unit-mismatch", "500000 pg/mL, the protocol has 500"),
        ("plates/maps/ccl18.csv", "unit", lambda _n, _c: "", "unit-mismatch", "states no unit"),
        ("plates/maps/ccl18.csv", "dilution", lambda _n, c: c.replace("50", "5"), "dilution-wrong", "at 1:5, the protocol plans 1:50"),
        ("plates/maps/ccl18.csv", "analyte", lambda _n, _c: "IL6", "layout-disagrees", "called CCL18, its map says IL6"),
        ("cytometry/tubes.csv", "specimen", lambda n, c: "" if n == 0 else c, "tube-unlinked", "no specimen for a full tube"),
        ("cytometry/tubes.csv", "tube", lambda n, c: "full" if n == 1 else c, "tube-repeated", "2 full tubes"),
        ("clinical.csv", "population", lambda n, c: "" if n == 1 else c, "population-mismatch", "the clinic gives none"),
        ("clinical.csv", "population", lambda n, c: "2" if n == 1 else c, "population-mismatch", "the clinic says HD"),
        ("clinical.csv", "age", lambda n, c: "abc" if n == 1 else c, "value-out-of-range", "'abc'"),
    ],
)
def test_what_cannot_be_linked_is_a_finding_with_its_evidence(
    study: Study, name: str, column: str, change: Callable[[int, str], str], code: str, words: str
) -> None:
    study.edit_column(name, column, change)
    if not name.startswith("cytometry"):
        shutil.rmtree(study.path / "cytometry")  # the quicker check: nothing is gated
    said = study.call("check")
    told = [line for line in said.err.splitlines() if f"[{code}]" in line]
    assert said.code == (1 if any(line.startswith("error") for line in told) else 0)
    assert any(words in line for line in told)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("specimens.csv", lambda text: text.encode("utf-16")),
        ("specimens.csv", lambda text: text.replace("\n", "\r\n").encode("utf-8-sig")),
        ("dictionary.csv", lambda text: text.replace("Age", "Âge").encode("latin-1")),
        ("plates/maps/il6.csv", lambda text: re.sub(r"(\d)\.(\d)", r"\1,\2", text.replace(",", ";")).encode("utf-8-sig")),
    ],
)
def test_another_encoding_or_delimiter_is_read_as_it_is(study: Study, name: str, write: Callable[[str], bytes]) -> None:
    path = study.path / name
    path.write_bytes(write(path.read_text(encoding="utf-8")))
    shutil.rmtree(study.path / "cytometry")
    assert study.call("check").code == 0


def test_ten_faults_of_a_protocol_are_ten_messages(study: Study) -> None:
    faults = {
        "planned_n: 150": "planned_n: many",
        "reference: vehicle": "reference: vehicel",
        "population: SSc\n": "population: SCS\n",
        "model: auto": "model: 6PL",
        "control: isotype": "control: isotipe",
        "set: FAS": "set: FASS",
        "variable: mrss": "variable: mrs",
        "kind: continuous": "kind: cont",
        "seed: 4206644": "seed: abc",
        "parent: Cells": "parent: Cels",
    }
    for old, new in faults.items():
        study.edit("study.yaml", lambda text, old=old, new=new: text.replace(old, new, 1))  # type: ignore[misc]  # default arguments bind the pair
    said = study.call("check")
    assert said.code == 1
    assert len(said.errors) == len(faults)
    assert all(re.match(r"study\.yaml:\d+:\d+: ", message) for message in said.errors)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("exclude", "A6", "--reason", "x"), 1, "target 'A6' is not kind:name"),
        (("exclude", "donor:SSC-001", "--reason", " "), 1, "the reason is empty"),
        (("exclude", "donor:SSC-001"), 2, "--reason"),
        (("eat", "donor:SSC-001", "--reason", "x"), 1, "unknown decision 'eat'"),
        (("correct-id", "specimen:M0001", "--reason", "x"), 1, "the correct name is missing"),
        (("correct-id", "well:x/A1", "--value", "y", "--reason", "x"), 1, "a well has no id to correct"),
        (("answer", "foo", "--reason", "x"), 1, "target 'foo' is not a finding"),
        (("revert", "9", "--reason", "x"), 1, "there is no decision '9'"),
        (("unblind", "--reason", "x"), 1, "the data are not locked"),
        (("lock", "--reason", "x", "--head", "abc"), 1, "the record has moved on"),
    ],
)
def test_a_decision_that_makes_no_sense_is_refused(study: Study, arguments: tuple[str, ...], code: int, words: str) -> None:
    said = study.call("decide", *arguments)
    assert said.code == code
    assert words in said.err
    assert not (study.path / "decisions.jsonl").exists()


def test_unblinding_cannot_be_taken_back(study: Study) -> None:
    for kind in ("lock", "unblind"):
        assert study.call("decide", kind, "--reason", "complete").code == 0
    said = study.call("decide", "revert", "2", "--reason", "sorry")
    assert said.code == 1
    assert "has been seen" in said.err


def test_workers_below_nought_are_a_wrong_call(study: Study) -> None:
    assert study.call("run", "--workers", "-1").code == 2


def test_a_file_that_the_system_refuses_is_no_bug(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    said = study.call("check")
    assert said.code == 1
    assert "Permission denied" in said.err
    assert "Close the file in other programs" in said.err


def test_a_blinded_run_shows_no_condition_and_no_estimate(study: Study) -> None:
    shutil.rmtree(study.path / "cytometry")
    said = study.call("run", "--workers", "1")
    assert said.code == 0
    for row in study.table("effects"):
        assert row["status"] == "blinded"
        assert not row["estimate"]
        assert not row["p"]
    assert not study.table("supplementary")
    for path in (study.path / "results/tables").rglob("*.csv"):
        if path.name != "effects.csv":
            text = path.read_text(encoding="utf-8")
            assert "vehicle" not in text
            assert "ruxolitinib" not in text


def test_an_answer_frees_an_outcome_and_its_revert_blocks_it_again(study: Study) -> None:
    study.edit_column("plates/maps/ccl18.csv", "specimen", lambda _n, c: c.replace("M0001", "MOO01"))
    for kind in ("lock", "unblind"):
        study.call("decide", kind, "--reason", "complete")

    shutil.rmtree(study.path / "cytometry")

    def primary(code: int = 0) -> dict[str, str]:
        assert study.call("run", "--workers", "1").code == code
        return next(row for row in study.table("effects") if (row["outcome"], row["readout"]) == ("P1", "CCL18"))

    assert primary(code=1)["reason"] == "blocked-by-finding"
    assert study.call("decide", "correct-id", "specimen:MOO01", "--value", "M0001", "--reason", "typed O").code == 0
    assert (primary()["status"], primary()["donors"]) == ("estimated", "6")
    assert study.call("decide", "revert", "3", "--reason", "not sure").code == 0
    assert study.call("decide", "answer", "id-unknown@MOO01", "--reason", "tube left out").code == 0
    freed = primary()
    assert (freed["status"], freed["donors"]) == ("estimated", "5")
