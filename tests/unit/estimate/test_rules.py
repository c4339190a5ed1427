"""The rules of the analysis at their edges: what is a pair, when the censored model may be used, what the counts count."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from exvivo.numerics.multiplicity import adjust_holm
from exvivo.study.protocol import AnalysisPlan

Kit = Any
Row = dict[str, Any]


@pytest.fixture
def primary(kit: Kit, plan: AnalysisPlan) -> Callable[[list[Row]], Row]:
    """Row of P1."""

    def run(rows: list[Row]) -> Row:
        (row,) = kit.estimate(rows, kit.only(plan, "P1")).effects.rows()
        found: Row = row
        return found

    return run


def hide(kit: Kit, donor: str, drug: str, vehicle: float | None, treated: float | None) -> list[Row]:
    """A pair of which the value that is None lies below 5."""
    limits: list[Row] = []
    for name, value in (("vehicle", vehicle), (drug, treated)):
        limits.append(kit.below(donor, name, 5.0) if value is None else kit.value(donor, name, value))
    return limits


@pytest.mark.parametrize("reason", ["specimen-failed", "specimen-lost", "specimen-contaminated", "excluded"])
def test_a_pair_needs_both_cultures(kit: Kit, primary: Callable[[list[Row]], Row], reason: str) -> None:
    whole = kit.paired({f"D{i}": (6.0, 5.5 + i / 10) for i in range(6)})
    status = "refused" if reason == "excluded" else "missing"
    broken = [kit.value("X", "vehicle", 6.0), kit.value("X", "ruxolitinib", None, status=status, reason=reason, measurements=0)]
    row = primary([*whole, *broken])
    assert (row["donors"], row["measurements"], row["wells"], row["df"]) == (6, 24, 24, 5)


@pytest.mark.parametrize(
    ("observed", "drug_below", "vehicle_below", "status"),
    [
        (6, 6, 0, "estimated"),  # half of one arm, six observed
        (6, 7, 0, "bound_only"),  # more than half of one arm
        (5, 5, 0, "bound_only"),  # half, but five observed
        (6, 3, 3, "estimated"),
        (5, 3, 3, "bound_only"),
        (20, 5, 5, "estimated"),
    ],
)
def test_when_the_censored_model_may_be_used(
    kit: Kit, primary: Callable[[list[Row]], Row], observed: int, drug_below: int, vehicle_below: int, status: str
) -> None:
    rng = np.random.default_rng(5)
    base = rng.normal(6.2, 0.4, observed)
    rows = kit.paired({f"A{i:02}": (base[i], base[i] - 0.5 + rng.normal(0, 0.2)) for i in range(observed)})
    for i in range(drug_below):
        rows += hide(kit, f"B{i}", "ruxolitinib", 5.4 + i / 20, None)
    for i in range(vehicle_below):
        rows += hide(kit, f"C{i}", "ruxolitinib", None, 5.1 + i / 20)
    row = primary(rows)
    n = observed + drug_below + vehicle_below
    assert row["status"] == status
    assert row["donors"] == n
    assert row["below_lloq_drug_pct"] == pytest.approx(100 * drug_below / n)
    assert row["below_lloq_comparator_pct"] == pytest.approx(100 * vehicle_below / n)
    facts = json.loads(row["detail"])
    assert (facts["observed_pairs"], facts["censored_pairs"]) == (observed, drug_below + vehicle_below)
    if status == "bound_only":
        assert row["estimate"] is None
        assert (row["ci_low"] is None) != (row["ci_high"] is None) or vehicle_below > 0
        assert 0 < facts["p_rank_best"] <= facts["p_rank_worst"] <= 1


def test_a_marker_below_its_background_is_counted_and_never_dropped(kit: Kit, plan: AnalysisPlan) -> None:
    rng = np.random.default_rng(6)
    rows = kit.paired({f"A{i}": (7.0 + i / 5, 6.6 + i / 5 + rng.normal(0, 0.1)) for i in range(9)}, readout="TLR4", status="measured")
    for row in rows:
        row["measurements"] = 1
    dim = {"upper_bound": 4.0, "status": "below_background", "readout": "TLR4", "measurements": 1}
    rows += [kit.value("X", "vehicle", 7.0, "TLR4", status="measured", measurements=1), kit.value("X", "ruxolitinib", None, **dim)]
    frame = kit.estimate(rows, kit.only(plan, "S2")).effects.frame
    row = frame.filter(pl.col("readout") == "TLR4").row(0, named=True)
    assert (row["donors"], row["measurements"], row["wells"]) == (10, 20, None)
    assert (row["below_lloq_drug_pct"], row["below_lloq_comparator_pct"]) == (10, 0)
    assert row["method"] == "censored-bivariate-normal"


def test_bound_only_and_missing_members_keep_their_place_in_the_family(kit: Kit, plan: AnalysisPlan) -> None:
    rng = np.random.default_rng(7)
    rows: list[Row] = []
    for readout in ("IL6", "CXCL10"):
        rows += kit.paired({f"D{i}": (6.0, 5.5 + rng.normal(0, 0.3)) for i in range(8)}, readout=readout)
    for i in range(8):
        rows += [kit.value(f"D{i}", "vehicle", 6.0 + i / 10, "CXCL4"), kit.below(f"D{i}", "ruxolitinib", 5.0, readout="CXCL4")]
    frame = kit.estimate(rows, kit.only(plan, "S1")).effects.frame
    assert frame["status"].to_list() == ["not_estimable", "estimated", "estimated", "bound_only"]
    p = frame["p"].drop_nulls().to_numpy()
    np.testing.assert_allclose(frame["p_adjusted"].drop_nulls(), adjust_holm(p, total=4))


def test_p_values_are_adjusted_within_eleven_readouts_under_serum(kit: Kit, plan: AnalysisPlan) -> None:
    rows = kit.healthy(8, 10, readouts=["CCL18", "CD206"])
    frame = kit.estimate(rows, kit.only(plan, "S3")).effects.frame
    p = frame["p"].drop_nulls().to_numpy()
    assert (frame.height, p.size) == (11, 2)
    np.testing.assert_allclose(frame["p_adjusted"].drop_nulls(), np.minimum(adjust_holm(p, total=11), 1))
    assert frame.filter(pl.col("p").is_not_null())["p_adjusted"].max() == pytest.approx(min(1.0, max(11 * p.min(), 10 * p.max())))
