"""Donors and sera crossed, carry-over, and the rows beside."""

import json
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from exvivo.numerics.mixed import fit_mixed, indicate
from exvivo.report.wording import load_wording
from exvivo.study.protocol import AnalysisPlan

Kit = Any


@pytest.fixture(scope="module")
def run(kit: Kit, plan: AnalysisPlan) -> Any:  # noqa: ANN401  a function of any rows
    def estimate(rows: list[dict[str, Any]], readout: str = "CCL18") -> tuple[dict[str, Any], pl.DataFrame]:
        effects = kit.estimate(rows, kit.only(plan, "S3"))
        row = next(row for row in effects.effects.rows() if row["readout"] == readout)
        frame = effects.supplementary.frame
        return row, frame.filter(pl.col("readout") == readout)

    return estimate


def under_serum(rows: list[dict[str, Any]]) -> tuple[np.ndarray, list[str], list[str]]:
    value = {(r["donor"], r["serum_donor"], r["drug"]): r["log_value"] for r in rows if r["serum"] == "SSc_serum"}
    keys = sorted({(donor, serum) for donor, serum, _ in value})
    d = np.array([value[(*key, "ruxolitinib")] - value[(*key, "vehicle")] for key in keys])
    return d, [donor for donor, _ in keys], [serum for _, serum in keys]


def test_crossed_design_is_the_mixed_model_of_differences(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    rows = kit.healthy(8, 10)
    row, _ = run(rows)
    d, donors, sera = under_serum(rows)
    model = fit_mixed(d, np.ones((d.size, 1)), [indicate(donors), indicate(sera)])
    fit = model.contrast([1.0])
    assert not model.at_zero.any()
    assert row["method"] == "mixed-kr-crossed"
    np.testing.assert_allclose(
        [row["estimate"], row["ci_low"], row["df"], row["p"]], [np.exp(fit.estimate), np.exp(fit.low), fit.df, fit.p]
    )
    assert (row["donors"], row["serum_donors"], row["measurements"]) == (8, 10, 96)
    assert json.loads(row["detail"])["random"] == ["donor", "serum_donor"]


def test_variance_estimated_as_zero_leaves_the_model(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    rows = kit.healthy(8, 10, seed=7)
    d, donors, sera = under_serum(rows)
    fit = fit_mixed(d, np.ones((d.size, 1)), [indicate(donors), indicate(sera)])
    row, _ = run(rows)
    assert fit.at_zero.all()
    assert row["df"] == pytest.approx(d.size - 1)
    assert np.log(row["estimate"]) == pytest.approx(d.mean())
    half_width = (np.log(row["ci_high"]) - np.log(row["ci_low"])) / 2
    assert half_width == pytest.approx(stats.t.ppf(0.975, row["df"]) * d.std(ddof=1) / d.size**0.5)


def test_one_serum_for_each_donor_is_a_paired_t(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    row, beside = run(kit.healthy(6, 6, per_donor=1))
    assert (row["method"], row["df"], row["donors"], row["serum_donors"]) == ("paired-t-log", 5, 6, 6)
    assert "signed-rank-hl" in beside["method"].to_list()
    assert json.loads(row["detail"])["one_serum_per_donor"] is True
    assert "one serum for each cell donor" in load_wording().detail(row["detail"])


def test_one_pooled_serum_is_conditional_on_the_pool(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    row, _ = run(kit.healthy(6, 1, per_donor=1))
    assert (row["method"], row["df"], row["serum_donors"]) == ("paired-t-log", 5, 1)
    assert json.loads(row["detail"])["one_serum_for_all"] is True


def test_reused_sera_are_a_random_factor(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    row, _ = run(kit.healthy(9, 4, per_donor=1))
    assert row["method"] == "mixed-kr-crossed"
    assert json.loads(row["detail"])["random"] == ["serum_donor"]


def test_more_wells_do_not_make_more_donors(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    row, _ = run(kit.healthy(2, 6))
    assert (row["status"], row["reason"]) == ("not_estimable", "too-few-donors")


def test_rows_beside(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    rows = kit.healthy(8, 10)
    registered, beside = run(rows)
    by_contrast = {row["contrast"]: row for row in beside.rows(named=True) if row["role"] == "supplementary"}
    assert list(by_contrast) == ["serum", "ruxolitinib/vehicle|none", "interaction"]
    assert by_contrast["serum"]["estimate"] > 1.3
    assert by_contrast["ruxolitinib/vehicle|none"]["method"] == "paired-t-log"
    quotient = registered["estimate"] / by_contrast["ruxolitinib/vehicle|none"]["estimate"]
    assert by_contrast["interaction"]["estimate"] == pytest.approx(quotient, rel=0.05)
    assert by_contrast["interaction"]["scale"] == "ratio of ratios"
    # a shared culture without serum counts once: 8 donors x 3 sera and 8 vehicles of two wells
    assert by_contrast["serum"]["measurements"] == 2 * (24 + 8)
    methods = beside.filter(pl.col("role") == "sensitivity")["method"].to_list()
    assert methods == ["donor-means-paired-t", "signed-rank-hl", "sign-flip", "trimmed-mean", "leave-one-out"]


def test_conditions_without_serum_absent(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    rows = [row for row in kit.healthy(8, 10) if row["serum"] != "none"]
    row, beside = run(rows)
    assert row["status"] == "estimated"
    supplementary = beside.filter(pl.col("role") == "supplementary")
    assert set(supplementary["reason"]) == {"condition-missing"}
    only_vehicle = [r for r in kit.healthy(8, 10) if r["serum"] != "none" or r["drug"] == "vehicle"]
    _, beside = run(only_vehicle)
    reasons = dict(beside.filter(pl.col("role") == "supplementary").select("contrast", "reason").rows())
    assert reasons == {"serum": None, "ruxolitinib/vehicle|none": "condition-missing", "interaction": "condition-missing"}


def test_missing_serum_condition(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    row, _ = run([row for row in kit.healthy(8, 10) if row["serum"] == "none"])
    assert (row["status"], row["reason"]) == ("not_estimable", "condition-missing")


def test_blanks_missing_means_carry_over(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    gone = {"log_value": None, "status": "missing", "reason": "serum-blank-missing"}
    rows = kit.healthy(8, 10)
    row, beside = run([r | gone if r["serum_donor"] else r for r in rows])
    assert (row["status"], row["reason"], row["estimate"]) == ("not_estimable", "serum-carry-over", None)
    supplementary = beside.filter(pl.col("role") == "supplementary")
    uncorrected = supplementary.row(0, named=True)
    assert (uncorrected["method"], uncorrected["status"]) == ("mixed-kr-crossed", "estimated")
    assert json.loads(uncorrected["detail"])["uncorrected"] is True
    reasons = dict(supplementary[1:].select("contrast", "reason").rows())
    assert reasons == {"serum": "serum-carry-over", "ruxolitinib/vehicle|none": None, "interaction": "serum-carry-over"}
    # one donor without blanks is a donor without pairs, not a reason to stop
    row, _ = run([r | gone if r["serum_donor"] and r["donor"] == "HD00" else r for r in rows])
    assert (row["status"], row["donors"]) == ("estimated", 7)


def test_large_blanks_mean_carry_over(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    row, _ = run([r | {"blank_share": 0.7 if r["serum_donor"] else None} for r in kit.healthy(8, 10)])
    assert row["reason"] == "serum-carry-over"
    assert json.loads(row["detail"]) == {"limit": 0.5, "pairs": 24, "pairs_with_large_blank": 24}


def test_large_blanks_in_half_the_pairs_do_not_stop_it(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    rows = kit.healthy(8, 10)
    for large, status in ((4, "estimated"), (5, "not_estimable")):
        shares = [r | {"blank_share": None if not r["serum_donor"] else 0.7 if r["donor"] < f"HD{large:02}" else 0.5} for r in rows]
        row, _ = run(shares)
        assert row["status"] == status


def test_uncorrected_values_stay_censored_at_their_limits(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    rows = [
        r
        | {"status": "missing", "reason": "serum-blank-missing", "log_value": None, "plain_log_value": r["log_value"]}
        | {"detail": '{"total": "quantified"}'}
        if r["serum_donor"]
        else r
        for r in kit.healthy(8, 10)
    ]
    lowest = sorted(r["plain_log_value"] for r in rows if r["serum_donor"] and r["drug"] == "ruxolitinib")[3]
    low = [
        r | {"plain_log_value": lowest, "detail": '{"total": "below_lloq"}'}
        if r["serum_donor"] and r["drug"] == "ruxolitinib" and r["plain_log_value"] < lowest
        else r
        for r in rows
    ]
    whole, cut = (run(each)[1].row(0, named=True) for each in (rows, low))
    assert whole["method"] == "mixed-kr-crossed"
    assert (cut["method"], json.loads(cut["detail"])["censored_pairs"]) == ("censored-kr-crossed", 3)
    assert cut["below_lloq_drug_pct"] == pytest.approx(100 * 3 / 24)
    assert cut["estimate"] == pytest.approx(whole["estimate"], rel=0.1)


def test_markers_carry_nothing_over(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    rows = [r | {"blank_share": 0.7, "status": "measured"} for r in kit.healthy(8, 10, readouts=["CD206"])]
    row, _ = run(rows, "CD206")
    assert (row["status"], row["wells"]) == ("estimated", None)


def censored(rows: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """The lowest drug values under serum, cut at their limit."""
    under = sorted((r["log_value"], i) for i, r in enumerate(rows) if r["serum_donor"] and r["drug"] == "ruxolitinib")
    limit = under[count][0]
    hidden = {i for _, i in under[:count]}
    return [r | {"log_value": None, "upper_bound": limit, "status": "below_lloq"} if i in hidden else r for i, r in enumerate(rows)]


def test_few_censored_pairs_are_modelled(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    rows = kit.healthy(6, 8, per_donor=2)
    whole, _ = run(rows)
    row, beside = run(censored(rows, 3))
    assert (row["status"], row["method"]) == ("estimated", "censored-kr-crossed")
    assert row["estimate"] == pytest.approx(whole["estimate"], rel=0.15)
    assert row["ci_low"] < whole["estimate"] < row["ci_high"]
    assert json.loads(row["detail"])["random"] == ["donor", "serum_donor"]
    assert 3 < row["df"] < 12
    assert beside["method"].to_list()[0] == "interval-rank"


def test_drug_alone_does_not_decide_on_carry_over(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    share = {"ruxolitinib": 0.8, "vehicle": 0.3}
    row, _ = run([r | {"blank_share": share[r["drug"]] if r["serum_donor"] else None} for r in kit.healthy(8, 10)])
    assert row["status"] == "estimated"


def test_interaction_keeps_censored_pairs(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    rows = kit.healthy(8, 10)
    whole, cut = (run(each)[1].filter(pl.col("contrast") == "interaction").row(0, named=True) for each in (rows, censored(rows, 4)))
    assert (cut["method"], cut["donors"], cut["measurements"]) == ("censored-kr-crossed", 8, whole["measurements"])
    assert json.loads(cut["detail"])["censored_pairs"] == 4
    assert cut["estimate"] == pytest.approx(whole["estimate"], rel=0.15)
    # without a measured pair under no serum a donor says nothing about the interaction
    gone = [
        r | {"log_value": None, "upper_bound": 5.0, "status": "below_lloq"} if r["donor"] == "HD00" and not r["serum_donor"] else r
        for r in rows
    ]
    left = run(gone)[1].filter(pl.col("contrast") == "interaction").row(0, named=True)
    assert (left["donors"], json.loads(left["detail"])["pairs_left_out"]) == (7, 3)


def test_many_censored_pairs_are_bounded_per_donor(kit: Kit, run: Any) -> None:  # noqa: ANN401  fixture above
    row, _ = run(censored(kit.healthy(6, 8, per_donor=2), 8))
    assert (row["status"], row["reason"], row["estimate"]) == ("bound_only", "too-much-censored", None)
    assert row["p"] >= 2 / 2**6
