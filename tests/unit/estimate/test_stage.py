"""The stage as a whole: the registered rows, order, families, blinding, memory."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from polars.testing import assert_frame_equal

from exvivo.engine import Memo, Work
from exvivo.numerics.multiplicity import adjust_bh, adjust_holm
from exvivo.study.model import Graph
from exvivo.study.protocol import AnalysisPlan
from exvivo.study.run import Effects

Kit = Any
READOUTS = ("CCL18", "PDGFBB", "IL6", "CXCL10", "CXCL4", "CD204", "CD206", "CD163", "CD86", "MHCII", "TLR4")


@pytest.fixture(scope="module")
def rows(kit: Kit) -> list[dict[str, Any]]:
    study: list[dict[str, Any]] = kit.patients(22) + kit.healthy(7, 9, readouts=READOUTS)
    return study


@pytest.fixture(scope="module")
def seed_study(kit: Kit, plan: AnalysisPlan, rows: list[dict[str, Any]]) -> Effects:
    effects: Effects = kit.estimate(rows, plan)
    return effects


def test_registered_rows_in_registry_order(seed_study: Effects) -> None:
    frame = seed_study.effects.frame
    counts = frame.group_by("outcome", maintain_order=True).len().rows()
    assert counts == [("P1", 1), ("S1", 4), ("S2", 6), ("S3", 11), ("S4", 6)]
    assert frame["readout"].to_list()[:11] == list(READOUTS)
    assert frame["readout"].to_list()[11:22] == list(READOUTS)
    assert frame["modifier"].to_list()[22:] == ["autoab", "mrss", "du", "ild_ct", "pah_echo", "subset"]
    assert frame["level"].null_count() == 28
    assert set(frame["role"]) == {"registered"}
    assert set(frame["contrast"]) == {"ruxolitinib/vehicle", "ruxolitinib/vehicle|SSc_serum"}
    assert frame["wells"].to_list()[5] is None
    assert set(seed_study.supplementary.frame["role"]) == {"level", "sensitivity", "supplementary"}


def test_families(seed_study: Effects) -> None:
    for outcome, rule in {"S1": adjust_holm, "S2": adjust_holm, "S3": adjust_holm, "S4": adjust_bh}.items():
        family = seed_study.effects.frame.filter(seed_study.effects.frame["outcome"] == outcome)
        np.testing.assert_allclose(family["p_adjusted"], rule(family["p"].to_numpy()))
    primary = seed_study.effects.rows()[0]
    assert primary["p_adjusted"] == primary["p"]
    assert seed_study.effects.frame["p_graph"].null_count() == 28


def test_member_without_p_still_counts(kit: Kit, plan: AnalysisPlan, rows: list[dict[str, Any]]) -> None:
    without = [row for row in rows if row["readout"] != "IL6"]
    frame = kit.estimate(without, kit.only(plan, "S1")).effects.frame
    assert frame["status"].to_list() == ["estimated", "not_estimable", "estimated", "estimated"]
    tested = frame.filter(frame["p"].is_not_null())
    np.testing.assert_allclose(tested["p_adjusted"], adjust_holm(tested["p"].to_numpy(), total=4))
    assert frame["p_adjusted"][1] is None


def test_order_of_rows_and_executor_are_irrelevant(kit: Kit, plan: AnalysisPlan, rows: list[dict[str, Any]], seed_study: Effects) -> None:
    shuffled = [rows[i] for i in np.random.default_rng(8).permutation(len(rows))]
    with ThreadPoolExecutor(2) as pool:
        again = kit.estimate(shuffled, plan, work=Work(executor=pool))
    assert_frame_equal(again.effects.frame, seed_study.effects.frame, check_exact=True)
    assert_frame_equal(again.supplementary.frame, seed_study.supplementary.frame, check_exact=True)


def test_only_touched_outcomes_are_estimated_again(kit: Kit, plan: AnalysisPlan, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    few = kit.only(plan, "P1", "S1")
    first = Work(memo=Memo(tmp_path))
    kit.estimate(rows, few, work=first)
    changed = [row | {"log_value": row["log_value"] + 0.1} if row["readout"] == "IL6" and row["donor"] == "SSc001" else row for row in rows]
    second = Work(memo=Memo(tmp_path))
    kit.estimate(changed, few, work=second)
    assert (first.computed["estimating"], second.computed["estimating"], second.reused["estimating"]) == (5, 1, 4)


def test_swapped_arms_give_reciprocals(kit: Kit, plan: AnalysisPlan, rows: list[dict[str, Any]], seed_study: Effects) -> None:
    other = {"vehicle": "ruxolitinib", "ruxolitinib": "vehicle"}
    swapped = kit.estimate([row | {"drug": other[row["drug"]]} for row in rows], plan).effects.frame
    plain = seed_study.effects.frame
    np.testing.assert_allclose(swapped["estimate"].drop_nulls(), 1 / plain["estimate"].drop_nulls(), rtol=1e-6)
    np.testing.assert_allclose(swapped["ci_low"].drop_nulls(), 1 / plain["ci_high"].drop_nulls(), rtol=1e-6)
    np.testing.assert_allclose(swapped["p"], plain["p"], rtol=1e-4)


def test_coded_conditions_give_no_number(kit: Kit, plan: AnalysisPlan, rows: list[dict[str, Any]]) -> None:
    blinded = kit.estimate(rows, plan, blinded=True)
    frame = blinded.effects.frame
    assert frame.height == 28
    assert set(frame["status"]) == {"blinded"}
    assert set(frame["reason"]) == {"conditions-coded"}
    numbers = [name for name, dtype in frame.schema.items() if dtype.is_numeric()]
    assert all(frame[name].null_count() == 28 for name in numbers)
    assert blinded.supplementary.height == 0


def test_nothing_measured_is_no_exception(kit: Kit, plan: AnalysisPlan) -> None:
    effects = kit.estimate([], plan)
    assert effects.effects.height == 28
    assert set(effects.effects.frame["reason"]) == {"readout-missing"}


def test_serum_gate(kit: Kit, plan: AnalysisPlan, rows: list[dict[str, Any]]) -> None:
    gated = replace(kit.only(plan, "P1", "S3"), rules=plan.rules.model_copy(update={"serum_gate": True}))
    effects = kit.estimate(rows, gated)
    frame, beside = effects.effects.frame, effects.supplementary.frame
    serum = dict(beside.filter(beside["contrast"] == "serum").select("readout", "p").rows())
    assert frame["p_graph"][0] is None
    for row in frame.rows(named=True)[1:]:
        assert row["p_graph"] == max(row["p_adjusted"], serum[row["readout"]])


GATES = {"P1": {"S1": 0.5, "S2": 0.5}, "S1": {"S1": 1.0}, "S2": {"S2": 1.0}}


def test_graph_with_the_whole_alpha_on_the_primary_outcome(kit: Kit, plan: AnalysisPlan, rows: list[dict[str, Any]]) -> None:
    graph = Graph(weights={"P1": 1.0}, transitions=GATES)
    walked = replace(plan, rules=plan.rules.model_copy(update={"graph": graph}))
    frame = kit.estimate(rows, walked).effects.frame
    primary = frame["p"][0]
    assert frame["p_graph"][0] == primary
    for outcome, share in (("S1", 0.5), ("S2", 0.5)):
        own = frame.filter(frame["outcome"] == outcome)
        expected = np.maximum(adjust_holm((own["p"].to_numpy() / share).clip(max=1)), primary)
        np.testing.assert_allclose(own["p_graph"].to_numpy(), expected, rtol=1e-12)
    assert frame.filter(~frame["outcome"].is_in(["P1", "S1", "S2"]))["p_graph"].null_count() == 17


def test_a_hypothesis_without_p_value_passes_nothing_on(kit: Kit, plan: AnalysisPlan) -> None:
    graph = Graph(weights={"P1": 1.0}, transitions={"P1": {"S1": 1.0}})
    walked = replace(kit.only(plan, "P1", "S1"), rules=plan.rules.model_copy(update={"graph": graph}))
    frame = kit.estimate([row for row in kit.patients(22) if row["readout"] != "CCL18"], walked).effects.frame
    assert frame["p_graph"][0] is None
    assert frame["p_graph"].to_list()[1:] == [1.0] * 4
