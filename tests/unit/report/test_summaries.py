"""Values of each condition: against plain statistics without limits, and against reference case c31 with them."""

import csv
import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from exvivo.report.pairs import PairGroup, Pairs, Point, collect_pairs
from exvivo.report.summaries import list_values
from exvivo.report.wording import load_wording
from exvivo.study.run import Run

SHIPPED = Path(str(files("exvivo.qualify") / "shipped"))


def cells(values: list[float], bounds: list[str]) -> tuple[str, ...]:
    """Row of the first arm of a panel with these values."""
    points = tuple(Point(f"D{i}", f"D{i}", 0, value, bound) for i, (value, bound) in enumerate(zip(values, bounds, strict=True)))
    panel = Pairs("IL6", "IL-6", "pg/mL", ("vehicle", "drug"), points, 0, 0, {})
    return list_values([PairGroup("A", "drug/vehicle", (panel,))], load_wording()).rows[0].cells


def test_without_limits_they_are_plain_statistics() -> None:
    values = [3.0, 9.0, 4.0, 16.0, 7.0]
    row = cells(values, [""] * 5)
    assert row[:6] == ("A", "IL-6 (pg/mL)", "vehicle", "5", "0", "0")
    assert [float(cell) for cell in row[6:]] == pytest.approx([np.median(values), np.mean(values), np.std(values, ddof=1)], rel=5e-3)


def test_with_limits_they_are_those_of_the_reference_case() -> None:
    expected = json.loads((SHIPPED / "c31_nada.json").read_text(encoding="utf-8"))["results"]
    with (SHIPPED / "c31_nada.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    row = cells([float(r["y"]) for r in rows], ["below" if r["cens"] in ("1", "TRUE") else "" for r in rows])
    assert row[4] == str(expected["n_cens"])
    assert [float(cell) for cell in row[6:]] == pytest.approx(
        [expected["km"]["median"], expected["ros"]["mean"], expected["ros"]["sd"]], rel=5e-3
    )


@pytest.mark.parametrize(
    ("values", "bounds"),
    [([5.0, 6.0, 9.0], ["", "", "above"]), ([5.0, 6.0, 9.0], ["between", "", ""]), ([5.0, 5.0, 9.0], ["below", "below", ""]), ([], [])],
)
def test_what_cannot_be_summarised_is_counted_only(values: list[float], bounds: list[str]) -> None:
    row = cells(values, bounds)
    assert row[3] == str(len(values))
    assert row[6:] == ("", "", "")


def test_a_row_for_every_condition_of_a_run(run: Run) -> None:
    grid = list_values(collect_pairs(run), load_wording())
    assert len(grid.rows) == 2 * sum(len(group.panels) for group in collect_pairs(run))
