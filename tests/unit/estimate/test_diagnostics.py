"""What is looked at beside a registered ratio."""

from typing import Any

import numpy as np
import pytest

from exvivo.study.protocol import AnalysisPlan
from exvivo.study.run import Effects
from exvivo.study.statuses import Diagnostic

Kit = Any


def of_primary(kit: Kit, plan: AnalysisPlan, rows: list[dict[str, Any]]) -> tuple[Effects, dict[str, dict[str, Any]]]:
    effects: Effects = kit.estimate(rows, kit.only(plan, "P1"))
    return effects, {str(row["diagnostic"]): row for row in effects.diagnostics.rows()}


def test_every_diagnostic_is_there_and_holds_for_plain_data(kit: Kit, plan: AnalysisPlan) -> None:
    rows = [row | {"plates": "P:1"} for row in kit.patients(12) if row["readout"] == "CCL18"]
    _, found = of_primary(kit, plan, rows)
    assert list(found) == [code.value for code in Diagnostic]
    assert {row["outcome_of_rule"] for row in found.values()} == {"held"}


def test_one_wild_donor_is_named_and_changes_nothing(kit: Kit, plan: AnalysisPlan) -> None:
    rng = np.random.default_rng(2)
    logs = {f"D{i:02}": (5.0 + i / 10, 4.5 + i / 10 + float(rng.normal(0, 0.1))) for i in range(12)}
    logs["D07"] = (5.0, 9.0)
    effects, found = of_primary(kit, plan, kit.paired(logs))
    assert (found["farthest-donor"]["about"], found["farthest-donor"]["outcome_of_rule"]) == ("D07", "failed")
    assert found["normal-plot"]["outcome_of_rule"] == "failed"
    d = np.array([drug - vehicle for vehicle, drug in logs.values()])
    assert effects.effects.rows()[0]["estimate"] == pytest.approx(float(np.exp(d.mean())))


def test_ratios_without_each_donor_are_those_of_the_others(kit: Kit, plan: AnalysisPlan) -> None:
    effects, found = of_primary(kit, plan, kit.patients(7))
    d = effects.ratios.frame["log_ratio"].to_numpy()
    expected = [float(np.exp(np.delete(d, i).mean())) for i in range(d.size)]
    assert effects.ratios.frame["ratio_without_donor"].to_list() == pytest.approx(expected)
    farthest = max(expected, key=lambda ratio: abs(np.log(ratio) - d.mean()))
    assert found["leave-one-out"]["observed"] == pytest.approx(farthest)


def test_a_censored_pair_keeps_its_bounds(kit: Kit, plan: AnalysisPlan) -> None:
    rows = [row for row in kit.patients(10) if row["readout"] == "CCL18"]
    rows[1] = kit.below("SSc000", "ruxolitinib", 5.0)
    effects, found = of_primary(kit, plan, rows)
    first = effects.ratios.rows()[0]
    assert (first["log_ratio"], first["lower_bound"]) == (None, None)
    assert first["upper_bound"] == pytest.approx(5.0 - rows[0]["log_value"])
    assert found["normal-plot"]["about"] == "9/10"
    assert found["censored-share"]["observed"] == pytest.approx(0.1)


def test_too_few_pairs_for_an_exact_test_fail_their_rule(kit: Kit, plan: AnalysisPlan) -> None:
    _, found = of_primary(kit, plan, kit.patients(5))
    assert (found["smallest-p"]["observed"], found["smallest-p"]["outcome_of_rule"]) == (0.0625, "failed")


def test_several_sera_of_a_donor_are_looked_at_as_one(kit: Kit, plan: AnalysisPlan) -> None:
    effects = kit.estimate(kit.healthy(6, 8), kit.only(plan, "S3"))
    found = {str(row["diagnostic"]): row for row in effects.diagnostics.rows()}
    assert found["donors"]["observed"] == 6
    assert found["normal-plot"]["about"] == "6/6"
    assert effects.ratios.height == 18
    assert effects.ratios.frame.select("donor", "ratio_without_donor").unique().height == 6


def test_nothing_is_told_while_conditions_are_coded(kit: Kit, plan: AnalysisPlan) -> None:
    effects = kit.estimate(kit.patients(6), kit.only(plan, "P1"), blinded=True)
    assert [table.height for table in (effects.ratios, effects.diagnostics, effects.calls)] == [0, 0, 0]
