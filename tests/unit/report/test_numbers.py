"""The numbers that a reader sees against the numbers that lie in the tables, through the files and nothing else."""

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from exvivo.report import write_report
from exvivo.report.tables import write_tables
from exvivo.study.run import Run

Row = dict[str, str]


class Cells(HTMLParser):
    """Texts of the cells of each table row, with the row's classes and the section that it stands in."""

    def __init__(self) -> None:
        super().__init__()
        self.section = ""
        self.rows: list[tuple[str, list[str], list[str]]] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = {name: value or "" for name, value in attrs}
        if tag == "section":
            self.section = held["id"]
        if tag == "tr":
            self.rows.append((self.section, held.get("class", "").split(), []))
        if tag == "td":
            self.rows[-1][2].append("")
        self.inside = tag == "td" or (self.inside and tag != "th")

    def handle_endtag(self, tag: str) -> None:
        if tag == "td":
            self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.rows[-1][2][-1] += data


@pytest.fixture(scope="module")
def folder(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    write_report(run, results)
    write_tables(run, results)
    return results


def read_cells(folder: Path) -> Cells:
    page = Cells()
    page.feed((folder / "report.html").read_text(encoding="utf-8"))
    return page


def read_table(folder: Path, name: str) -> list[Row]:
    with (folder / "tables" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def check_printed(printed: str, cell: str) -> int:
    """A printed number is the table's, to half a unit of its last digit; how many numbers were compared."""
    if not cell:
        assert printed in {"", "–"}
        return 0
    if printed == "<0.001":
        assert float(cell) < 0.001
    elif printed == ">0.99":
        assert float(cell) > 0.99
    else:
        mantissa, _, exponent = printed.partition("e")
        _, _, decimals = mantissa.partition(".")
        whole = not decimals and abs(float(printed)) >= 1000  # three digits: what lies right of them is rounded away
        half = 0.5 * 10.0 ** (int(exponent or 0) - len(decimals)) if not whole else 0.005 * float(printed)
        assert abs(float(printed) - float(cell)) <= half * (1 + 1e-6), (printed, cell)
    return 1


def check_interval(printed: str, row: Row) -> int:
    if printed.startswith("up to "):
        assert row["ci_low"] == ""
        return check_printed(printed.removeprefix("up to "), row["ci_high"])
    if printed.startswith("from "):
        assert row["ci_high"] == ""
        return check_printed(printed.removeprefix("from "), row["ci_low"])
    low, _, high = printed.partition(" to ")
    return check_printed(low, row["ci_low"]) + check_printed(high, row["ci_high"])


def test_every_registered_number_in_the_page_is_the_one_in_the_table(folder: Path) -> None:
    printed = [cells for _, classes, cells in read_cells(folder).rows if "estimate" in classes]
    rows = read_table(folder, "effects")
    assert len(printed) == len(rows) == 28
    compared = 0
    for cells, row in zip(printed, rows, strict=True):
        donors, measurements, below = cells[-3:]
        assert donors.split(" ")[0] == (row["donors"] or "–")
        assert re.findall(r"\((\d+) sera\)", donors) == ([row["serum_donors"]] if row["serum_donors"] else [])
        assert measurements == (row["measurements"] or "–")
        for share, name in zip(below.split(" / "), ("below_lloq_drug_pct", "below_lloq_comparator_pct"), strict=True):
            compared += check_printed(share, row[name])
        if row["status"] not in {"not_estimable", "blinded"}:
            ratio, interval, p, adjusted = cells[3:7]
            compared += check_printed(ratio, row["estimate"]) + check_interval(interval, row)
            compared += check_printed(p, row["p"]) + check_printed(adjusted, row["p_adjusted"])
    assert compared > 150


def test_supplementary_numbers_are_those_of_their_table(folder: Path) -> None:
    printed = [cells for section, _, cells in read_cells(folder).rows if section == "supplementary" and len(cells) == 10]
    rows = [row for row in read_table(folder, "supplementary") if row["role"] != "level"]
    assert len(printed) == len(rows) > 20
    for cells, row in zip(printed, rows, strict=True):
        check_printed(cells[5], row["estimate"])
        check_interval(cells[6], row)
        check_printed(cells[7], row["p"])


def test_limits_in_the_figures_are_those_of_the_curves(folder: Path) -> None:
    text = (folder / "report.html").read_text(encoding="utf-8")
    told = re.findall(r">LLOQ ([\d.]+), ULOQ ([\d.]+)", text)
    curves = {(row["plate"], row["analyte"]): row for row in read_table(folder, "curves") if row["lloq"]}
    assert len(told) == len(curves) == 3
    for (low, high), (_, row) in zip(told, sorted(curves.items(), key=lambda item: item[0][::-1]), strict=True):
        check_printed(low, row["lloq"])
        check_printed(high, row["uloq"])


def test_a_wrong_number_would_be_seen() -> None:
    assert check_printed("0.537", "0.53749") == 1
    with pytest.raises(AssertionError):
        check_printed("0.537", "0.5386")
    with pytest.raises(AssertionError):
        check_printed("<0.001", "0.002")


def test_details_printed_in_words_hold_the_numbers_of_the_json(folder: Path) -> None:
    printed = {cells[0]: cells[-1] for section, _, cells in read_cells(folder).rows if section == "registered" and len(cells) == 6}
    rows = read_table(folder, "effects")
    for number, row in enumerate(rows, start=1):
        for value in json.loads(row["detail"] or "{}").values():
            if isinstance(value, int):
                assert str(value) in printed[str(number)]
    assert len(printed) == len(rows)
