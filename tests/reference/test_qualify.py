"""The installation check: what is shipped, what lies in other folders, and what it says when a number is off."""

import json
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from exvivo.cli import main
from exvivo.errors import InputError
from exvivo.qualify import Check, judging, qualify_cases
from exvivo.qualify.cases import Case, find_cases, shipped_folder
from exvivo.qualify.procedures import PROCEDURES

OTHERS = Path(__file__).parent / "cases"


def told(checks: list[Check]) -> str:
    return "\n".join(f"{c.case}/{c.quantity}: got {c.got}, expected {c.expected} +- {c.tolerance:.3g}" for c in checks if not c.passed)


def copied(tmp_path: Path, name: str, changes: Mapping[str, Any]) -> Path:
    """Folder with one shipped case, its JSON changed."""
    with shipped_folder() as folder:
        for path in folder.glob(f"{name}*"):
            shutil.copy(path, tmp_path)
    (path,) = tmp_path.glob("*.json")
    stored = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(stored | dict(changes)), encoding="utf-8")
    return tmp_path


def test_every_shipped_number_agrees() -> None:
    checks = qualify_cases()
    assert not told(checks)
    assert {check.verdict for check in checks} == {"pass"}
    with shipped_folder() as folder:
        assert {check.case for check in checks} | {"c26_nlme_hetero"} == {case.id for case in find_cases(folder)}


def test_every_number_of_the_shared_reference_agrees(shared_reference: Path) -> None:
    checks = qualify_cases(shared_reference / "statistics")
    assert not told(checks)
    assert len(checks) > 1000


def test_the_same_families_agree_on_other_data() -> None:
    checks = qualify_cases(OTHERS)
    assert not told(checks)
    assert len({check.case for check in checks}) > 20


def test_what_is_shipped_is_what_the_project_made() -> None:
    with shipped_folder() as folder:
        prefixes = {case.prefix for case in find_cases(folder)}
    assert prefixes == {*(f"c{i:02}" for i in range(1, 33)), "f01", "f02", "f03", "n01", "n02", "g01", "g02", "g03"}
    assert prefixes <= set(PROCEDURES)


def test_a_number_that_is_off_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with shipped_folder() as folder:
        results = json.loads((folder / "c01_paired_logt.json").read_text(encoding="utf-8"))["results"]
    folder = copied(tmp_path, "c01", {"results": results | {"gmr": results["gmr"] * 1.001}})
    assert main(["qualify", "--reference", str(folder)]) == 1
    printed = capsys.readouterr().out
    assert "gmr: got 0.5168" in printed
    assert "1 fail" in printed


def test_json_lists_every_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["qualify", "--reference", str(copied(tmp_path, "c01", {})), "--json"]) == 0
    cases = json.loads(capsys.readouterr().out)["cases"]
    assert [case["quantity"] for case in cases][:3] == ["gmr", "gmr_lo95", "gmr_hi95"]
    assert set(cases[0]) == {"case", "quantity", "expected", "got", "difference", "tolerance", "verdict"}


@pytest.mark.parametrize(("optional", "verdict", "code"), [(False, "unsupported", 1), (True, "skipped", 0)])
def test_a_case_that_nothing_computes(tmp_path: Path, *, optional: bool, verdict: str, code: int) -> None:
    folder = copied(tmp_path, "c01", {"id": "q99_of_another_time", "optional": optional})
    (check,) = qualify_cases(folder)
    assert check.verdict == verdict
    assert main(["qualify", "--reference", str(folder)]) == code


def test_a_case_whose_data_do_not_fit_its_procedure_is_unsupported(tmp_path: Path) -> None:
    folder = copied(tmp_path, "c17", {})
    next(folder.glob("*.csv")).write_text("p\nmany\n", encoding="utf-8")
    (check,) = qualify_cases(folder)
    assert check.verdict == "unsupported"
    assert "ValueError" in str(check.got)


def test_a_result_that_is_not_computed_is_unsupported(tmp_path: Path) -> None:
    folder = copied(tmp_path, "c17", {"judge": {"holm/0": {"rel": 1e-9}, "tippett/0": {"rel": 1e-9}}})
    assert [check.verdict for check in qualify_cases(folder)] == ["pass", "unsupported"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: next(folder.glob("*.csv")).unlink(),
        lambda folder: next(folder.glob("*.json")).write_text("{", encoding="utf-8"),
        lambda folder: next(folder.glob("*.json")).write_text("[]", encoding="utf-8"),
        lambda folder: copied(folder, "c17", {"judge": ["holm/0"]}),
        lambda folder: copied(folder, "c17", {"judge": {"holm/0": 1e-6}}),
        lambda folder: copied(folder, "c17", {"judge": {"holm/0": {"rel": "small"}}}),
        lambda folder: [path.unlink() for path in folder.iterdir()],
        lambda folder: next(folder.glob("*.csv")).write_text("p,q\n1\n", encoding="utf-8"),
    ],
)
def test_a_folder_that_cannot_be_read_is_one_message(
    tmp_path: Path, spoil: Callable[[Path], object], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copied(tmp_path, "c17", {})
    spoil(folder)
    with pytest.raises(InputError, match="reference case"):
        qualify_cases(folder)
    assert main(["qualify", "--reference", str(folder)]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_a_file_that_is_no_case_does_not_stop_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = copied(tmp_path, "c17", {"judge": {"holm/0": {"rel": 1e-9}}})
    (folder / "c18_torn.json").write_text('{"id": ', encoding="utf-8")
    assert main(["qualify", "--reference", str(folder), "--json"]) == 1
    found = {case["case"]: case["verdict"] for case in json.loads(capsys.readouterr().out)["cases"]}
    assert found == {"c18_torn": "unsupported", "c17_padjust": "pass"}


def test_what_spreadsheets_add_to_a_file_changes_nothing(tmp_path: Path) -> None:
    folder = copied(tmp_path, "c01", {})
    (table,), (case,) = folder.glob("*.csv"), folder.glob("*.json")
    numbered = [f"{number or ''},{line}" for number, line in enumerate(table.read_text(encoding="utf-8").splitlines())]
    table.write_text("\r\n".join([*numbered, "", ""]), encoding="utf-8-sig", newline="")
    case.write_text(case.read_text(encoding="utf-8"), encoding="utf-8-sig")
    checks = qualify_cases(folder)
    assert len(checks) > 5
    assert not told(checks)


@pytest.mark.parametrize(
    ("expected", "got", "verdict"),
    [
        ("Inf", math.inf, "pass"),
        ("-Inf", math.inf, "fail"),
        (math.inf, 1.0, "fail"),
        (1.0, math.inf, "fail"),
        (None, math.nan, "pass"),
        ("NaN", math.nan, "pass"),
        (None, 1.0, "fail"),
        (1.0, math.nan, "fail"),
        (1.0, None, "fail"),
        (True, True, "pass"),
    ],
)
def test_numbers_that_are_none_agree_only_with_their_like(
    monkeypatch: pytest.MonkeyPatch, expected: object, got: object, verdict: str
) -> None:
    case = Case("t00_one", (), {"I(x/2)": {"p": expected}}, {"I(x/2)/p": {"rel": 1e-6, "abs": 1e-6}}, optional=False)
    monkeypatch.setattr(judging, "PROCEDURES", {"t00": lambda _: {"I(x/2)": {"p": got}}})
    (check,) = judging.judge_case(case)
    assert check.verdict == verdict
    json.dumps([check.expected, check.got, check.difference, check.tolerance], allow_nan=False)
