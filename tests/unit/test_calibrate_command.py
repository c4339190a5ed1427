"""``exvivo calibrate`` on files and folders: what is written, what is told, and how it ends."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from exvivo.cli import main

WritePlate = Callable[..., Path]
TABLES = [
    *(f"{name}.csv" for name in ("readings", "wells", "curves", "verdicts", "limits", "controls", "concentrations", "findings")),
    "curves.json",
]


@pytest.fixture
def folder(tmp_path: Path, write_plate: WritePlate) -> Path:
    for seed, name in enumerate(("monday", "tuesday")):
        write_plate(tmp_path / "plates", name, seed=seed)
    return tmp_path / "plates"


def call(*arguments: str | Path) -> int:
    return main(["calibrate", *map(str, arguments), "--workers", "1"])


def test_a_folder_gives_one_set_of_tables_a_page_for_each_plate_and_one_of_all(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert call(folder, "--out", out) == 0
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()) == sorted(
        [*TABLES, "index.html", *(f"plates/{name}_1.{ending}" for name in ("monday", "tuesday") for ending in ("html", "png"))]
    )
    assert pl.read_csv(out / "concentrations.csv").height == 48
    index = (out / "index.html").read_text(encoding="utf-8")
    assert index.count('<a class="glance') == 2
    assert 'href="plates/monday_1.html"' in index
    assert "Refused" not in index


def test_a_refused_plate_is_named_first_and_its_page_says_which_rules_it_missed(tmp_path: Path, write_plate: WritePlate) -> None:
    wild = {f"{row}{column}": value for row, value in zip("BDF", ("0.400", "2.500", "1.900"), strict=True) for column in (1, 2)}
    write_plate(tmp_path / "plates", "bad", odd=wild)
    write_plate(tmp_path / "plates", "good", seed=2)
    assert call(tmp_path / "plates", "--out", tmp_path / "out") in {0, 1}
    index = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert index.index("Refused:") < index.index('<a href="plates/bad_1.html">bad:1 CXCL10</a>') < index.index('class="glances"')
    page = (tmp_path / "out" / "plates" / "bad_1.html").read_text(encoding="utf-8")
    assert '<li class="bad">refused</li>' in page
    assert "share of standards recovered" in page.split("</ul>")[0]


def test_a_bad_file_does_not_lose_the_others(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "broken.txt").write_text("nothing that a reader writes\n", encoding="utf-8")
    (folder / "maps" / "tuesday.csv").write_text("plate,well\n1,A1\n", encoding="utf-8")
    out = tmp_path / "out"
    assert call(folder, "--out", out, "--no-pages") == 1
    said = capsys.readouterr()
    errors = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert said.err.splitlines()[-1] == f"plates and analytes: 1, 1 accepted, 0 refused; errors above: {len(errors)}"
    assert errors[0].startswith("error: broken.txt: the layout of this export is unknown")
    assert all(line.startswith("error: tuesday.csv: column ") for line in errors[1:])
    assert "monday:1 CXCL10: accepted" in said.out
    assert pl.read_csv(out / "curves.csv")["plate"].to_list() == ["monday:1"]
    assert not (out / "index.html").exists()


def test_the_index_names_what_could_not_be_read(folder: Path, tmp_path: Path) -> None:
    (folder / "broken.txt").write_text("<script>\n", encoding="utf-8")
    assert call(folder / "broken.txt", folder / "monday.csv", "--out", tmp_path / "out") == 1
    index = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "broken.txt: the layout of this export is unknown" in index
    assert "<script>" not in index


def test_nothing_readable_is_a_fault_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.txt").write_text("no readings\n", encoding="utf-8")
    assert call(tmp_path / "broken.txt", tmp_path / "gone.txt", "--out", tmp_path / "out") == 1
    assert capsys.readouterr().err.count("error: ") == 2
    assert not (tmp_path / "out").exists()


def test_json_lists_files_plates_and_faults(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "broken.txt").write_text("nothing\n", encoding="utf-8")
    assert call(folder, "--out", tmp_path / "out", "--no-pages", "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert [Path(path).name for path in told["files"]] == TABLES
    assert [(plate["plate"], plate["analyte"], plate["accepted"]) for plate in told["plates"]] == [
        ("monday:1", "CXCL10", True),
        ("tuesday:1", "CXCL10", True),
    ]
    assert sum(told["plates"][0]["counts"].values()) == 24
    assert [plate["page"] for plate in told["plates"]] == [None, None], "no page was drawn"
    (fault,) = told["faults"]
    assert fault.startswith("broken.txt: ")


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--model", "7PL", "'7PL' is not known"),
        ("--weighting", "1/x", "'1/x' is not known"),
        ("--profile", "fda", "'fda' is not known"),
    ],
)
def test_an_unknown_choice_is_a_wrong_call_and_told_with_what_is_known(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, told: str
) -> None:
    assert call(folder, "--out", tmp_path / "out", option, value) == 2
    said = capsys.readouterr().err
    assert said.endswith("Try 'exvivo calibrate --help'.\n")
    assert f"error: {option}: {told}" in said
    assert "4PL" in said or "fitted" in said or "ich_m10" in said


def test_a_map_that_is_not_there_is_one_fault_and_an_export_without_map_is_told_where_to_put_it(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(folder, "--map", tmp_path / "gone.csv", "--out", tmp_path / "out") == 1
    assert capsys.readouterr().err.count("error: ") == 1
    (folder / "maps" / "tuesday.csv").unlink()
    assert call(folder, "--out", tmp_path / "out", "--no-pages") == 1
    assert "tuesday.csv: nothing says what its wells hold. Expected a plate map, maps/tuesday.csv beside" in capsys.readouterr().err


def test_a_place_where_nothing_can_be_written_is_refused_before_anything_is_read(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("here\n", encoding="utf-8")
    assert call(folder, "--out", tmp_path / "file" / "deeper") == 1
    assert "file: this is a file. Expected a folder for the results. Name another one with --out." in capsys.readouterr().err
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path or mode != os.W_OK)
    assert call(folder, "--out", tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert "nothing can be written here" in said
    assert "reading" not in said
    assert not (tmp_path / "out").exists()


def test_settings_of_the_readers_software_are_told(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(folder, "--out", tmp_path / "out", "--vendor-settings", "--no-pages") == 0
    assert "note: 4PL, weighting none, blank subtracted" in capsys.readouterr().err


def test_single_choices_go_before_the_vendors_settings(folder: Path, tmp_path: Path) -> None:
    vendor, mixed, own = tmp_path / "vendor", tmp_path / "mixed", tmp_path / "own"
    assert call(folder, "--out", vendor, "--vendor-settings", "--no-pages") == 0
    assert call(folder, "--out", mixed, "--vendor-settings", "--weighting", "1/y2", "--no-pages") == 0
    assert call(folder, "--out", own, "--weighting", "none", "--subtract-blank", "--model", "4PL", "--no-pages") == 0
    assert set(pl.read_csv(mixed / "curves.csv")["weighting"]) == {"1/y2"}
    assert (own / "curves.csv").read_bytes() == (vendor / "curves.csv").read_bytes()


def test_the_same_folder_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert call(folder / "monday.csv", "--out", tmp_path / name) == 0
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert len(files) == len(TABLES) + 3
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in files)
