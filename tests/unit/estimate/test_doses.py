"""Several levels of the drug: against emmeans on the dose series of reference case c12, and what a series needs."""

import csv
import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exvivo.study.protocol import AnalysisPlan

Kit = Any
Row = dict[str, Any]
CASE = Path(str(files("exvivo.qualify") / "shipped"))
LEVELS = ("d0", "d0.1", "d1", "d10")
DOSES = {"d0": 0.0, "d0.1": 0.1, "d1": 1.0, "d10": 10.0}


@pytest.fixture(scope="module")
def rows(kit: Kit) -> list[Row]:
    with (CASE / "c12_dose_adjust.csv").open(encoding="utf-8") as stream:
        return [kit.value(row["donor"], row["dose"], float(np.log(float(row["y"])))) for row in csv.DictReader(stream)]


def planned(kit: Kit, plan: AnalysisPlan, doses: dict[str, float]) -> AnalysisPlan:
    """The primary outcome as the highest dose against none, in a factor of four levels."""
    p1: AnalysisPlan = kit.only(plan, "P1")
    (outcome,) = p1.outcomes
    contrast = outcome.contrast.model_copy(update={"level": "d10", "versus": "d0"})
    drug = plan.factors["drug"].model_copy(update={"levels": LEVELS, "reference": "d0", "doses": doses})
    return replace(p1, outcomes=(outcome.model_copy(update={"contrast": contrast}),), factors={**plan.factors, "drug": drug})


def series_of(kit: Kit, plan: AnalysisPlan, rows: list[Row], doses: dict[str, float] = DOSES) -> dict[str, Row]:
    frame = kit.estimate(rows, planned(kit, plan, doses)).supplementary.frame
    return {row["contrast"]: row for row in frame.to_dicts() if row["method"] in ("dunnett", "trend")}


def test_levels_against_the_comparator_are_those_of_emmeans(kit: Kit, plan: AnalysisPlan, rows: list[Row]) -> None:
    expected = json.loads((CASE / "c12_dose_adjust.json").read_text(encoding="utf-8"))["results"]["adjust"]["trt_vs_ctrl"]
    got = series_of(kit, plan, rows)
    compared = [got[f"{level}/d0"] for level in LEVELS[1:]]
    np.testing.assert_allclose([row["p"] for row in compared], expected["none"], rtol=1e-6)
    np.testing.assert_allclose([row["p_adjusted"] for row in compared], expected["mvt"], atol=2e-3)
    limits = [[-0.3983784, 0.17276800], [-0.6998544, -0.12870799], [-0.8838643, -0.31271785]]  # emmeans 1.8.4-1, mvt
    np.testing.assert_allclose(np.log([[row["ci_low"], row["ci_high"]] for row in compared]), limits, atol=2e-3)
    assert {row["role"] for row in compared} == {"supplementary"}


def test_trend_is_the_linear_contrast_of_emmeans(kit: Kit, plan: AnalysisPlan, rows: list[Row]) -> None:
    row = series_of(kit, plan, rows)["trend"]
    expected = [-2.0963492, -2.8388017, -1.3538967]  # emmeans 1.8.4-1; its weights -3, -1, 1, 3 give ten times the change per step
    np.testing.assert_allclose(np.log([row["estimate"], row["ci_low"], row["ci_high"]]) * 10, expected, rtol=1e-6)
    assert row["df"] == pytest.approx(21)


def test_donors_with_missing_levels_count(kit: Kit, plan: AnalysisPlan, rows: list[Row]) -> None:
    kept = [row for row in rows if (row["donor"], row["drug"]) not in {("D02", "d1"), ("D05", "d10")}]
    got = series_of(kit, plan, kept)
    logs = np.log([got[f"{level}/d0"]["estimate"] for level in LEVELS[1:]])
    np.testing.assert_allclose(logs, [-0.1128052, -0.3708680, -0.6604109], rtol=1e-5)  # emmeans 1.8.4-1
    np.testing.assert_allclose(np.log(got["trend"]["estimate"]) * 10, -2.2392956, rtol=1e-5)
    assert got["d10/d0"]["df"] == pytest.approx(19.01, abs=0.01)


def test_doses_give_the_order_of_the_trend(kit: Kit, plan: AnalysisPlan, rows: list[Row]) -> None:
    turned = series_of(kit, plan, rows, {level: -dose for level, dose in DOSES.items()})
    assert turned["trend"]["estimate"] == pytest.approx(1 / series_of(kit, plan, rows)["trend"]["estimate"])
    assert "trend" not in series_of(kit, plan, rows, {})


def test_values_beyond_a_limit_are_left_out_and_counted(kit: Kit, plan: AnalysisPlan, rows: list[Row]) -> None:
    changed = [kit.below(row["donor"], "d10", 3.0) if (row["donor"], row["drug"]) == ("D01", "d10") else row for row in rows]
    row = series_of(kit, plan, changed)["d1/d0"]
    assert json.loads(row["detail"])["values_left_out"] == 1


def test_a_level_of_which_much_is_censored_leaves_the_others_their_model(kit: Kit, plan: AnalysisPlan, rows: list[Row]) -> None:
    cut = [kit.below(row["donor"], "d1", 3.0) if row["drug"] == "d1" else row for row in rows]
    got = series_of(kit, plan, cut)
    without = series_of(kit, plan, [row for row in rows if row["drug"] != "d1"])
    assert (got["d1/d0"]["status"], got["d1/d0"]["reason"], got["d1/d0"]["p"]) == ("not_estimable", "too-much-censored", None)
    assert (got["trend"]["reason"], got["trend"]["estimate"]) == ("too-much-censored", None)
    for name in ("d0.1/d0", "d10/d0"):
        assert [got[name][cell] for cell in ("estimate", "p", "p_adjusted")] == [
            without[name][cell] for cell in ("estimate", "p", "p_adjusted")
        ]


def test_without_the_comparator_nothing_is_compared(kit: Kit, plan: AnalysisPlan, rows: list[Row]) -> None:
    cut = [kit.below(row["donor"], "d0", 3.0) if row["drug"] == "d0" else row for row in rows]
    assert {row["reason"] for row in series_of(kit, plan, cut).values()} == {"too-much-censored"}


def test_two_donors_are_too_few_for_a_series(kit: Kit, plan: AnalysisPlan, rows: list[Row]) -> None:
    few = [row for row in rows if row["donor"] in ("D01", "D02")]
    assert {row["reason"] for row in series_of(kit, plan, few).values()} == {"too-few-donors"}
    once = [row for row in rows if row["drug"] != "d1" or row["donor"] in ("D01", "D02")]
    assert series_of(kit, plan, once)["d1/d0"]["reason"] == "too-few-donors"


def test_two_levels_are_no_series(kit: Kit, plan: AnalysisPlan, rows: list[Row]) -> None:
    assert series_of(kit, plan, [row for row in rows if row["drug"] in ("d0", "d10")]) == {}
    assert not any(row["method"] in ("dunnett", "trend") for row in kit.estimate(kit.patients(22), plan).supplementary.rows())


def test_a_series_without_scatter_is_refused(kit: Kit, plan: AnalysisPlan) -> None:
    flat = [kit.value(f"D{i}", level, 1.0) for i in range(5) for level in LEVELS]
    assert {row["reason"] for row in series_of(kit, plan, flat).values()} == {"not-converged"}
