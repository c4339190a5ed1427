"""Modifiers: the model on ln ratios, levels, and what is left out."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from exvivo.study.protocol import AnalysisPlan

Kit = Any


@pytest.fixture(scope="module")
def run(kit: Kit, plan: AnalysisPlan) -> Any:  # noqa: ANN401  a function of any rows
    def estimate(rows: list[dict[str, Any]]) -> tuple[dict[str, dict[str, Any]], pl.DataFrame]:
        effects = kit.estimate(rows, kit.only(plan, "S4"))
        return {str(row["modifier"]): row for row in effects.effects.rows()}, effects.supplementary.frame

    return estimate


def differences(rows: list[dict[str, Any]], variable: str) -> tuple[np.ndarray, list[Any]]:
    value = {(row["donor"], row["drug"]): row for row in rows if row["readout"] == "CCL18"}
    donors = sorted({donor for donor, _ in value})
    d = [value[x, "ruxolitinib"]["log_value"] - value[x, "vehicle"]["log_value"] for x in donors]
    return np.array(d), [value[x, "vehicle"][variable] for x in donors]


def levels_of(beside: pl.DataFrame, modifier: str, method: str = "linear-log-ratio") -> pl.DataFrame:
    return beside.filter((pl.col("modifier") == modifier) & (pl.col("role") == "level") & (pl.col("method") == method))


def test_binary_modifier_is_a_two_sample_t_test(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    rows = kit.patients(20)
    registered, beside = run(rows)
    d, ild = differences(rows, "ild_ct")
    yes = np.array(ild) == "yes"
    expected = stats.ttest_ind(d[yes], d[~yes])
    row = registered["ild_ct"]
    assert row["p"] == pytest.approx(expected.pvalue)
    assert row["estimate"] == pytest.approx(np.exp(d[yes].mean() - d[~yes].mean()))
    assert (row["scale"], row["df"], row["donors"], row["level"]) == ("ratio of ratios", 18, 20, None)
    levels = levels_of(beside, "ild_ct")
    assert levels["level"].to_list() == ["no", "yes"]
    assert levels["estimate"][1] / levels["estimate"][0] == pytest.approx(row["estimate"])
    assert levels["p"].null_count() == 2
    welch = beside.filter((pl.col("modifier") == "ild_ct") & (pl.col("method") == "welch-log-ratio"))
    assert welch["p"][0] == pytest.approx(stats.ttest_ind(d[yes], d[~yes], equal_var=False).pvalue)


def test_score_is_a_slope_per_ten_points(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    rows = kit.patients(20)
    registered, _ = run(rows)
    d, mrss = differences(rows, "mrss")
    line = stats.linregress([float(x) / 10 for x in mrss], d)
    assert registered["mrss"]["estimate"] == pytest.approx(np.exp(line.slope))
    assert registered["mrss"]["p"] == pytest.approx(line.pvalue)


def test_levels_are_tested_together(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    rows = kit.patients(21)
    registered, beside = run(rows)
    d, labels = differences(rows, "autoab")
    groups = [d[np.array(labels) == level] for level in ("ACA", "ATA", "RNAP3", "none")]
    row = registered["autoab"]
    assert row["p"] == pytest.approx(stats.f_oneway(*groups).pvalue)
    assert (row["estimate"], row["status"], row["reason"], row["scale"], row["df"]) == (None, "estimated", "joint-test-only", "p only", 3)
    assert json.loads(row["detail"])["df_denominator"] == 17
    levels = levels_of(beside, "autoab")
    np.testing.assert_allclose(np.log(levels["estimate"]), [group.mean() for group in groups])


def test_small_level_keeps_its_row_and_leaves_the_test(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    rows = [row | {"autoab": "none"} if row["autoab"] == "ATA" and row["donor"] > "SSc010" else row for row in kit.patients(22)]
    registered, beside = run(rows)
    facts = json.loads(registered["autoab"]["detail"])
    assert facts["donors_per_level"]["ATA"] == 3
    assert facts["levels_tested"] == ["ACA", "RNAP3", "none"]
    assert registered["autoab"]["df"] == 2
    small = beside.filter((pl.col("modifier") == "autoab") & (pl.col("level") == "ATA")).row(0, named=True)
    assert (small["status"], small["reason"], small["donors"], small["estimate"]) == ("not_estimable", "too-few-per-level", 3, None)


def test_binary_level_with_too_few_donors(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    rows = [row | {"ild_ct": "yes" if row["donor"] < "SSc004" else "no"} for row in kit.patients(16)]
    registered, beside = run(rows)
    assert (registered["ild_ct"]["status"], registered["ild_ct"]["reason"]) == ("not_estimable", "too-few-per-level")
    assert registered["ild_ct"]["p"] is None
    levels = beside.filter(pl.col("modifier") == "ild_ct")
    assert levels["status"].to_list() == ["estimated", "not_estimable"]


def test_missing_and_unused_values_are_counted(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    rows = [row | {"subset": None} if row["donor"] == "SSc000" else row for row in kit.patients(24)]
    rows = [row | {"mrss": "unknown"} if row["donor"] in {"SSc001", "SSc002"} else row for row in rows]
    registered, _ = run(rows)
    facts = json.loads(registered["subset"]["detail"])
    assert (facts["missing"], facts["left_out"]) == (1, 6)  # six patients have sine scleroderma
    assert registered["subset"]["donors"] == 17
    assert registered["subset"]["measurements"] == 4 * 17
    assert json.loads(registered["mrss"]["detail"])["missing"] == 2


def test_modifier_that_nobody_has(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    registered, _ = run([row | {"du": None} for row in kit.patients(16)])
    assert (registered["du"]["reason"], registered["du"]["donors"]) == ("modifier-missing", 0)
    assert json.loads(registered["du"]["detail"]) == {"missing": 16}


def test_modifier_without_variation(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    registered, _ = run([row | {"mrss": "7"} for row in kit.patients(16)])
    assert (registered["mrss"]["status"], registered["mrss"]["reason"]) == ("not_estimable", "too-few-donors")


def test_few_censored_pairs_are_left_out_and_many_stop_it(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    def censor(row: dict[str, Any], last: str) -> dict[str, Any]:
        hidden = row["drug"] == "ruxolitinib" and row["donor"] <= last and row["readout"] == "CCL18"
        return row | {"log_value": None, "upper_bound": 4.0, "status": "below_lloq"} if hidden else row

    few, _ = run([censor(row, "SSc001") for row in kit.patients(20)])
    assert few["mrss"]["donors"] == 18
    assert json.loads(few["mrss"]["detail"])["censored_pairs"] == 2
    many, beside = run([censor(row, "SSc005") for row in kit.patients(20)])
    assert {row["reason"] for row in many.values()} == {"too-much-censored"}
    assert set(beside["method"]) == {"interval-regression"}


def test_too_few_pairs(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    registered, _ = run(kit.patients(2))
    assert {row["reason"] for row in registered.values()} == {"too-few-donors"}


def test_the_joint_row_counts_the_donors_that_it_tests(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    rows = [row | {"autoab": "none"} if row["autoab"] == "ATA" and row["donor"] > "SSc010" else row for row in kit.patients(22)]
    row = run(rows)[0]["autoab"]
    levels = json.loads(row["detail"])["donors_per_level"]
    assert row["donors"] == 22 - levels["ATA"] == 19
    assert row["measurements"] == row["wells"] == 4 * 19


def test_every_pair_is_used_or_left_out_for_one_reason(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    hidden = {"log_value": None, "upper_bound": 4.0, "status": "below_lloq"}
    rows = [row | (hidden if row["drug"] == "ruxolitinib" and row["donor"] <= "SSc002" else {}) for row in kit.patients(24)]
    rows = [row | {"subset": None, "mrss": None} if row["donor"] in {"SSc000", "SSc010"} else row for row in rows]
    for modifier in ("subset", "mrss"):
        row = run(rows)[0][modifier]
        facts = json.loads(row["detail"])
        assert row["donors"] + facts["missing"] + facts["censored_pairs"] + facts.get("left_out", 0) == 24
        assert facts["censored_pairs"] == 2


def test_five_donors_of_a_level_are_enough_and_four_are_not(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    for exposed, status in ((5, "estimated"), (4, "not_estimable")):
        rows = [row | {"pah_echo": "yes" if row["donor"] < f"SSc{exposed:03}" else "no"} for row in kit.patients(16)]
        assert run(rows)[0]["pah_echo"]["status"] == status


def test_levels_are_shrunken_beside_and_without_interval(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    rows = [
        row | {"log_value": row["log_value"] - 0.8 * (row["autoab"] == "ATA") * (row["drug"] == "ruxolitinib")} for row in kit.patients(24)
    ]
    _, beside = run(rows)
    raw, shrunken = levels_of(beside, "autoab"), levels_of(beside, "autoab", "shrunken-level")
    d, labels = differences(rows, "autoab")
    groups = [d[np.array(labels) == level] for level in ("ACA", "ATA", "RNAP3", "none")]
    means = np.array([group.mean() for group in groups])
    se = np.sqrt(sum(((g - g.mean()) ** 2).sum() for g in groups) / 20 / 6)
    weight = 1 - se**2 / means.var(ddof=1)
    assert 0.3 < weight < 0.99
    np.testing.assert_allclose(np.log(shrunken["estimate"]), weight * means + (1 - weight) * means.mean(), rtol=1e-9)
    assert [json.loads(detail)["own_weight"] for detail in shrunken["detail"]] == pytest.approx([weight] * 4)
    assert shrunken["ci_low"].null_count() == shrunken["p"].null_count() == 4
    assert raw["ci_low"].null_count() == 0


def test_levels_without_a_partner_are_not_shrunken(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    _, beside = run([row | {"ild_ct": "yes" if row["donor"] < "SSc004" else "no"} for row in kit.patients(16)])
    assert not levels_of(beside, "ild_ct", "shrunken-level").height
    assert not levels_of(beside, "mrss", "shrunken-level").height


def test_precision_is_told_whatever_the_interaction_is(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    rows = kit.patients(24)
    d, labels = differences(rows, "ild_ct")
    facts = {name: json.loads(row["detail"]) for name, row in run(rows)[0].items()}
    half = stats.t.ppf(0.975, 22) * d.std(ddof=1) * np.sqrt(2 / 12)
    told = facts["ild_ct"]["precision"]
    assert told["sd"] == pytest.approx(d.std(ddof=1))
    assert np.log(told["half_width_fold"]) == pytest.approx(half)
    assert {json.dumps(row["precision"]["sd"]) for row in facts.values()} == {json.dumps(told["sd"])}
    assert "planned" not in facts["ild_ct"]
    swapped = dict(zip(sorted({row["donor"] for row in rows}), reversed(labels), strict=True))
    again = run([row | {"ild_ct": swapped[row["donor"]]} for row in rows])[0]["ild_ct"]
    assert json.loads(again["detail"])["precision"] == told
    spread = facts["autoab"]["precision"]["detectable_between_fold"]
    f = np.log(spread) / told["sd"]
    assert stats.ncf.sf(stats.f.ppf(0.95, 3, 20), 3, 20, 24 * f**2) == pytest.approx(0.8)
    slope = facts["mrss"]["precision"]["detectable_fold"]
    steps = np.array([float(x) / 10 for x in differences(rows, "mrss")[1]])
    noncentral = np.log(slope) / told["sd"] * np.sqrt(((steps - steps.mean()) ** 2).sum())
    assert stats.ncf.sf(stats.f.ppf(0.95, 1, 22), 1, 22, noncentral**2) == pytest.approx(0.8)


def test_precision_is_told_where_nothing_is_estimable(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    rows = [row | {"ild_ct": "yes" if row["donor"] < "SSc004" else "no"} for row in kit.patients(16)]
    registered, _ = run(rows)
    d, _ = differences(rows, "ild_ct")
    told = json.loads(registered["ild_ct"]["detail"])["precision"]
    assert np.log(told["half_width_fold"]) == pytest.approx(stats.t.ppf(0.975, 14) * d.std(ddof=1) * np.sqrt(1 / 4 + 1 / 12))
    nobody, _ = run([row | {"ild_ct": "no"} for row in rows])
    assert "precision" not in json.loads(nobody["ild_ct"]["detail"])


def test_planned_precision_is_that_of_the_planned_deviation(kit: Kit, plan: AnalysisPlan) -> None:
    rules = plan.rules.model_copy(update={"planning_sd": 0.45})
    effects = kit.estimate(kit.patients(24), replace(kit.only(plan, "S4"), rules=rules)).effects
    facts = next(json.loads(row["detail"]) for row in effects.rows() if row["modifier"] == "ild_ct")
    assert facts["planned"]["sd"] == 0.45
    assert np.log(facts["planned"]["half_width_fold"]) == pytest.approx(stats.t.ppf(0.975, 22) * 0.45 * np.sqrt(2 / 12))
    assert facts["precision"]["sd"] != 0.45


def test_error_of_a_score_is_told_and_corrected_beside_it(kit: Kit, run: Any, plan: AnalysisPlan) -> None:  # noqa: ANN401  fixture above
    rows = kit.patients(24)
    registered, beside = run(rows)
    d, mrss = differences(rows, "mrss")
    score = np.array([float(x) for x in mrss])
    error = plan.modifiers["mrss"].measurement_sd
    assert error == 4.6
    reliability = 1 - error**2 / score.var(ddof=1)
    assert json.loads(registered["mrss"]["detail"])["reliability"] == pytest.approx(reliability)
    row = beside.filter(pl.col("method") == "regression-calibration").row(0, named=True)
    slope = stats.linregress(score / 10, d)
    assert registered["mrss"]["estimate"] == pytest.approx(np.exp(slope.slope))
    assert row["estimate"] == pytest.approx(np.exp(slope.slope / reliability))
    assert (row["role"], row["p"], row["donors"]) == ("supplementary", None, 24)
    wider = np.log(row["ci_high"] / row["ci_low"]) / np.log(registered["mrss"]["ci_high"] / registered["mrss"]["ci_low"])
    assert wider > 1 / reliability


def test_a_score_that_is_all_error_is_not_corrected(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    registered, beside = run([row | {"mrss": str(int(row["mrss"]) % 5)} for row in kit.patients(24)])
    row = beside.filter(pl.col("method") == "regression-calibration").row(0, named=True)
    assert (row["status"], row["reason"], row["estimate"]) == ("not_estimable", "score-unreliable", None)
    assert registered["mrss"]["status"] == "estimated"
