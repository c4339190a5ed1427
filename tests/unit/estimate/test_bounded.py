"""Modifiers with censored pairs as intervals: against R, and where it is not given."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exvivo.numerics.paired import design_levels, differences_of_levels, fit_linear
from exvivo.numerics.tobit import compare_nested, fit_tobit
from exvivo.study.protocol import AnalysisPlan

Kit = Any
CASE = json.loads((Path(__file__).parents[2] / "reference" / "data" / "m02_bounded_modifiers.json").read_text(encoding="utf-8"))


def rows_of(kit: Kit, columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    rows = []
    for i, (vehicle, drug) in enumerate(zip(columns["vehicle"], columns["drug"], strict=True)):
        clinic = {
            "autoab": columns["label"][i],
            "mrss": str(columns["score"][i]),
            "ild_ct": "yes" if columns["yes"][i] else "no",
        }
        donor = f"SSc{i:03}"
        rows.append(kit.value(donor, "vehicle", vehicle, **clinic))
        known = drug is not None
        rows.append(
            kit.value(donor, "ruxolitinib", drug, **clinic) if known else kit.below(donor, "ruxolitinib", columns["limit"][0], **clinic)
        )
    return rows


def bounded_rows(kit: Kit, plan: AnalysisPlan, rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    beside = kit.estimate(rows, kit.only(plan, "S4")).supplementary.frame
    return {str(row["modifier"]): row for row in beside.filter(pl.col("method") == "interval-regression").iter_rows(named=True)}


def test_ratio_of_ratios_with_censored_pairs_is_that_of_survreg(kit: Kit, plan: AnalysisPlan) -> None:
    found = bounded_rows(kit, plan, rows_of(kit, CASE["columns"]))
    for modifier, name in (("ild_ct", "binary"), ("mrss", "slope")):
        row, expected = found[modifier], CASE["results"][name]
        assert (row["status"], row["role"], row["donors"]) == ("estimated", "sensitivity", 24)
        assert np.log(row["estimate"]) == pytest.approx(expected["estimate"], rel=1e-5)
        assert np.log(row["ci_low"]) == pytest.approx(expected["low"], rel=1e-5)
        assert np.log(row["ci_high"]) == pytest.approx(expected["high"], rel=1e-5)
        assert row["p"] == pytest.approx(expected["p"], rel=1e-4)
        assert json.loads(row["detail"])["censored_pairs"] == CASE["columns"]["drug"].count(None) > 0


def test_joint_test_with_censored_pairs_is_that_of_survreg(kit: Kit, plan: AnalysisPlan) -> None:
    row = bounded_rows(kit, plan, rows_of(kit, CASE["columns"]))["autoab"]
    facts, expected = json.loads(row["detail"]), CASE["results"]["joint"]
    assert facts["F"] == pytest.approx(expected["F"], rel=1e-5)
    assert facts["df_denominator"] == expected["df"]
    assert row["p"] == pytest.approx(expected["p"], rel=1e-5)
    assert (row["estimate"], row["df"]) == (None, 2)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_without_censoring_it_is_the_f_test_of_the_linear_model(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = [*"aabbcc", *rng.choice(list("abc"), 6)]
    y = rng.normal(0, 1, len(labels)) + np.array([label == "a" for label in labels])
    design = design_levels(labels, "abc")
    expected = fit_linear(y, design).joint(differences_of_levels(3))
    test = compare_nested(fit_tobit(y, y, design), fit_tobit(y, y, np.ones((len(y), 1))))
    assert (test.df_numerator, test.df_denominator) == (expected.df_numerator, expected.df_denominator)
    assert pytest.approx(expected.F, rel=1e-6, abs=1e-9) == test.F


def test_no_row_without_a_censored_pair(kit: Kit, plan: AnalysisPlan) -> None:
    assert not bounded_rows(kit, plan, kit.patients(20))
    hidden = {"log_value": None, "upper_bound": 5.0, "status": "below_lloq"}
    unknown = [row | (hidden if row["donor"] == "SSc000" else {}) for row in kit.patients(20)]
    assert not bounded_rows(kit, plan, unknown)


def test_it_stands_where_the_registered_row_may_not(kit: Kit, plan: AnalysisPlan) -> None:
    hidden = {"log_value": None, "upper_bound": 5.0, "status": "below_lloq"}
    rows = [row | (hidden if row["drug"] == "ruxolitinib" and row["donor"] <= "SSc005" else {}) for row in kit.patients(24)]
    registered = kit.estimate(rows, kit.only(plan, "S4")).effects
    assert {row["reason"] for row in registered.rows()} == {"too-much-censored"}
    found = bounded_rows(kit, plan, rows)
    assert set(found) == {"autoab", "mrss", "du", "ild_ct", "pah_echo", "subset"}
    assert (found["ild_ct"]["status"], found["ild_ct"]["donors"]) == ("estimated", 24)


def test_too_much_censoring_stops_it(kit: Kit, plan: AnalysisPlan) -> None:
    hidden = {"log_value": None, "upper_bound": 5.0, "status": "below_lloq"}
    rows = [row | (hidden if row["drug"] == "ruxolitinib" and row["donor"] <= "SSc015" else {}) for row in kit.patients(24)]
    assert {row["reason"] for row in bounded_rows(kit, plan, rows).values()} == {"too-much-censored"}


def test_a_level_without_two_measured_pairs_stops_it(kit: Kit, plan: AnalysisPlan) -> None:
    hidden = {"log_value": None, "upper_bound": 5.0, "status": "below_lloq"}
    rows = [row | {"ild_ct": "yes" if row["donor"] <= "SSc004" else "no"} for row in kit.patients(24)]
    rows = [row | (hidden if row["drug"] == "ruxolitinib" and row["donor"] <= "SSc003" else {}) for row in rows]
    assert bounded_rows(kit, plan, rows)["ild_ct"]["reason"] == "too-few-per-level"


def test_pairs_of_which_nothing_is_known_are_counted_apart(kit: Kit, plan: AnalysisPlan) -> None:
    hidden = {"log_value": None, "upper_bound": 5.0, "status": "below_lloq"}
    rows = [row | (hidden if row["donor"] == "SSc000" else {}) for row in kit.patients(24)]
    rows = [row | (hidden if row["donor"] == "SSc001" and row["drug"] == "ruxolitinib" else {}) for row in rows]
    row = bounded_rows(kit, plan, rows)["ild_ct"]
    facts = json.loads(row["detail"])
    assert (row["donors"], facts["censored_pairs"], facts["unbounded_pairs"]) == (23, 1, 1)
