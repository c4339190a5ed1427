"""One pair per donor: methods, statuses and what stands beside."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from exvivo.study.run import LOADINGS
from exvivo.study.tables import FINDINGS

Kit = Any
SHIPPED = Path(str(files("exvivo.qualify") / "shipped"))


def logs(n: int, seed: int = 3) -> dict[str, tuple[float, float]]:
    rng = np.random.default_rng(seed)
    base = rng.normal(6, 0.6, n)
    return {f"D{i:02}": (base[i], base[i] - 0.6 + rng.normal(0, 0.25)) for i in range(n)}


def test_paired_t_of_r(kit: Kit, primary: Callable[..., Any]) -> None:
    expected = json.loads((SHIPPED / "c01_paired_logt.json").read_text(encoding="utf-8"))["results"]
    _, *rows = (line.split(",") for line in (SHIPPED / "c01_paired_logt.csv").read_text(encoding="utf-8").split())
    pairs = {donor: (math.log(float(vehicle)), math.log(float(drug))) for donor, vehicle, drug in rows}
    row, _ = primary(kit.paired(pairs))
    for column, name in {"estimate": "gmr", "ci_low": "gmr_lo95", "ci_high": "gmr_hi95", "df": "df", "p": "p", "donors": "n"}.items():
        assert row[column] == pytest.approx(expected[name], rel=1e-9)
    assert (row["status"], row["method"], row["contrast"]) == ("estimated", "paired-t-log", "ruxolitinib/vehicle")
    assert (row["measurements"], row["wells"], row["p_adjusted"]) == (48, 48, row["p"])


@pytest.mark.parametrize(("cytokine", "ratio"), [("TNFa", 0.11), ("IFNg", 0.05), ("IL2", 2.78)])
def test_three_real_donors(kit: Kit, primary: Callable[..., Any], shared_data: Path, cytokine: str, ratio: float) -> None:
    lines = (shared_data / "tables" / "drug_cytokines_paired.csv").read_text(encoding="utf-8-sig").splitlines()
    header = lines[0].split(";")
    cells = [dict(zip(header, line.split(";"), strict=True)) for line in lines[1:] if line.startswith(cytokine + ";")]
    values = [{name: math.log(float(row[name].replace(",", "."))) for name in ("Control", "ruxolitinib")} for row in cells]
    row, beside = primary(kit.paired({f"E{i}": (v["Control"], v["ruxolitinib"]) for i, v in enumerate(values)}))
    assert row["estimate"] == pytest.approx(ratio, abs=0.005)
    assert (row["donors"], row["df"]) == (3, 2)
    ranks = beside.filter(pl.col("method") == "signed-rank-hl").row(0, named=True)
    assert json.loads(ranks["detail"])["smallest_p"] == 0.25
    assert ranks["ci_low"] is None


def test_censored_pairs_within_the_rule_use_the_model(kit: Kit, primary: Callable[..., Any]) -> None:
    rows = [*kit.paired(logs(10)), kit.below("X1", "ruxolitinib", 5.1), kit.value("X1", "vehicle", 5.6)]
    row, beside = primary(rows)
    assert (row["status"], row["method"], row["df"]) == ("estimated", "censored-bivariate-normal", 10)
    assert row["below_lloq_drug_pct"] == pytest.approx(100 / 11)
    assert row["below_lloq_comparator_pct"] == 0
    assert json.loads(row["detail"])["censored_pairs"] == 1
    assert beside["method"].to_list() == ["interval-rank", "half-lloq"]
    assert beside["p"][0] >= row["p"]


def test_interval_of_a_net_value_counts_as_censored_but_not_as_below(kit: Kit, primary: Callable[..., Any]) -> None:
    bounds = {"lower_bound": 5.0, "upper_bound": 5.4, "status": "quantified", "reason": "blank-below-lloq"}
    rows = [*kit.paired(logs(10)), kit.value("X1", "ruxolitinib", None, **bounds), kit.value("X1", "vehicle", 5.6)]
    row, _ = primary(rows)
    assert row["method"] == "censored-bivariate-normal"
    assert row["below_lloq_drug_pct"] == 0


def test_too_much_censored_gives_a_bound(kit: Kit, primary: Callable[..., Any]) -> None:
    rows = [r for i in range(8) for r in (kit.value(f"D{i}", "vehicle", 6.0 + i / 10), kit.below(f"D{i}", "ruxolitinib", 5.0))]
    row, beside = primary(rows)
    assert (row["status"], row["reason"], row["method"]) == ("bound_only", "too-much-censored", "sign-test")
    assert row["estimate"] is None
    assert row["ci_low"] is None
    assert row["ci_high"] == pytest.approx(math.exp(-1.1))  # second largest of the upper bounds: attained 1 - 9/256
    assert row["p"] == pytest.approx(2 / 256)
    assert json.loads(row["detail"])["undetermined_pairs"] == 0
    assert beside["method"].to_list() == ["interval-rank", "half-lloq"]


def test_censored_in_both_conditions_says_nothing(kit: Kit, primary: Callable[..., Any]) -> None:
    row, _ = primary([kit.below(f"D{i}", drug, 5.0) for i in range(6) for drug in ("vehicle", "ruxolitinib")])
    assert (row["status"], row["reason"], row["p"], row["ci_high"]) == ("not_estimable", "too-much-censored", None, None)
    assert (row["donors"], row["below_lloq_drug_pct"]) == (6, 100)


def test_identical_differences_do_not_stop_the_censored_model(kit: Kit, primary: Callable[..., Any]) -> None:
    rows = [
        *kit.paired({f"D{i}": (6.0 + i, 5.0 + i) for i in range(7)}),
        kit.below("X", "ruxolitinib", 5.0),
        kit.value("X", "vehicle", 7.0),
    ]
    row, _ = primary(rows)
    assert (row["status"], row["reason"]) == ("not_estimable", "not-converged")


def test_two_pairs_are_too_few(kit: Kit, primary: Callable[..., Any]) -> None:
    row, beside = primary([*kit.paired(logs(2)), kit.value("X", "vehicle", 5.0), kit.value("X", "ruxolitinib", None)])
    assert (row["status"], row["reason"]) == ("not_estimable", "too-few-donors")
    assert json.loads(row["detail"]) == {"needed": 3, "pairs": 2}
    assert not beside.height


@pytest.mark.parametrize("drugs", [("vehicle",), ("ruxolitinib",)])
def test_absent_condition(kit: Kit, primary: Callable[..., Any], drugs: tuple[str, ...]) -> None:
    row, _ = primary([kit.value(f"D{i}", drug, 5.0) for i in range(5) for drug in drugs])
    assert (row["status"], row["reason"]) == ("not_estimable", "condition-missing")


def test_absent_readout_and_other_sets(kit: Kit, primary: Callable[..., Any]) -> None:
    assert primary(kit.paired(logs(5), readout="IL6"))[0]["reason"] == "readout-missing"
    assert primary(kit.paired(logs(5), sets=None))[0]["reason"] == "readout-missing"
    assert primary(kit.paired(logs(5), sets="OTHER,FASX"))[0]["reason"] == "readout-missing"
    assert primary(kit.paired(logs(5), sets="OTHER,FAS"))[0]["status"] == "estimated"


def test_donors_with_one_condition_enter_a_sensitivity(kit: Kit, primary: Callable[..., Any]) -> None:
    rows = [*kit.paired(logs(6)), kit.value("X1", "vehicle", 6.1), kit.value("X2", "ruxolitinib", 5.2), kit.below("X3", "vehicle", 4.0)]
    row, beside = primary(rows)
    assert row["donors"] == 6
    mixed = beside.filter(pl.col("method") == "mixed-kr-unpaired").row(0, named=True)
    assert mixed["role"] == "sensitivity"
    assert json.loads(mixed["detail"]) == {"censored_left_out": 1, "single_condition_donors": 3}
    assert mixed["df"] > 5
    assert mixed["estimate"] == pytest.approx(row["estimate"], rel=0.2)


def test_leaving_out_one_donor(kit: Kit, primary: Callable[..., Any]) -> None:
    pairs = {"A": (6.0, 5.0), "B": (6.0, 5.5), "C": (6.0, 5.7)}
    _, beside = primary(kit.paired(pairs))
    facts = json.loads(beside.filter(pl.col("method") == "leave-one-out")["detail"][0])
    assert facts["smallest"] == pytest.approx(math.exp(-0.75))
    assert facts["smallest_without"] == "C"
    assert facts["largest"] == pytest.approx(math.exp(-0.4))


def test_unanswered_error_blocks_what_it_names(kit: Kit, primary: Callable[..., Any]) -> None:
    found = {"code": "standards-exchanged", "severity": "error", "place": "P1:1"}
    for outcomes, blocked in {"P1": True, "S1,P1/CCL18": True, "P1/IL6,S4": False, None: False}.items():
        row, beside = primary(kit.paired(logs(5)), findings=FINDINGS.from_rows([found | {"outcomes": outcomes}]))
        assert (row["reason"] == "blocked-by-finding") is blocked
        if blocked:
            assert json.loads(row["detail"]) == {"code": "standards-exchanged", "place": "P1:1"}
            assert row["estimate"] is None
            assert not beside.height
    for harmless in ({"severity": "warning"}, {"answer": "7"}):
        row, _ = primary(kit.paired(logs(5)), findings=FINDINGS.from_rows([found | {"outcomes": "P1"} | harmless]))
        assert row["status"] == "estimated"


def with_curve_error(kit: Kit, plates: Sequence[str], pairs: Mapping[str, tuple[float, float]]) -> tuple[list[dict[str, Any]], Any]:
    """Pairs measured on plates, donor by donor, and loadings 0.04 with the drug and 0.1 without it."""
    rows = kit.paired(pairs, plates="P:1")
    places = dict(zip(pairs, plates, strict=True))
    for row in rows:
        row["specimens"], row["plates"] = f"{row['donor']}-{row['drug']}", places[row["donor"]]
    loading = {"analyte": "CCL18", **dict.fromkeys(LOADINGS, 0.0)}
    told = [
        loading | {"plate": row["plates"], "specimen": row["specimens"], "l1": 0.1 if row["drug"] == "vehicle" else 0.04} for row in rows
    ]
    return rows, kit.shared(told)


def test_the_error_of_the_curve_that_all_pairs_share_widens_the_interval(kit: Kit, primary: Callable[..., Any]) -> None:
    pairs = logs(4)
    rows, shared = with_curve_error(kit, ["P:1"] * 4, pairs)
    (plain, _), (informed, beside) = primary(rows), primary(rows, shared_error=shared)
    d = np.array([b - a for a, b in pairs.values()])
    variance = d.var(ddof=1) / 4
    assert json.loads(plain["detail"])["calibration_share"] == 0
    assert json.loads(informed["detail"])["calibration_share"] == pytest.approx(0.06**2 / (variance + 0.06**2))
    assert informed["estimate"] == plain["estimate"]
    half = float(stats.t.ppf(0.975, 3)) * np.sqrt(variance + 0.06**2)
    assert np.log(informed["ci_high"] / informed["estimate"]) == pytest.approx(half)
    assert np.log(informed["estimate"] / informed["ci_low"]) == pytest.approx(half)
    assert informed["p"] == pytest.approx(float(2 * stats.t.sf(abs(d.mean()) / np.sqrt(variance + 0.06**2), 3)))
    alone = beside.filter((beside["method"] == "paired-t-log") & (beside["role"] == "sensitivity")).row(0, named=True)
    names = ("estimate", "ci_low", "ci_high", "p")
    assert [alone[name] for name in names] == [plain[name] for name in names]


def test_what_the_scatter_between_pairs_has_shown_is_not_added_again(kit: Kit, primary: Callable[..., Any]) -> None:
    """One pair a plate: the curves' errors are independent between pairs, and their scatter holds all of it."""
    pairs = logs(4)
    rows, shared = with_curve_error(kit, [f"P:{i}" for i in range(4)], pairs)
    (plain, _), (informed, _) = primary(rows), primary(rows, shared_error=shared)
    assert [informed[name] for name in ("ci_low", "ci_high", "p")] == [plain[name] for name in ("ci_low", "ci_high", "p")]
    assert json.loads(informed["detail"])["calibration_share"] > 0


def test_two_plates_are_between_one_and_many(kit: Kit, primary: Callable[..., Any]) -> None:
    pairs = logs(4)
    widths = []
    for plates in (["P:1"] * 4, ["P:1", "P:1", "P:2", "P:2"], ["P:1", "P:2", "P:3", "P:4"]):
        rows, shared = with_curve_error(kit, plates, pairs)
        row, _ = primary(rows, shared_error=shared)
        widths.append(row["ci_high"] / row["ci_low"])
    assert widths[0] > widths[1] > widths[2]
