"""What holds for every row of the stage: arms exchanged, another unit, other names, more wells; and what that asks of pairs."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from exvivo.study.model import Contrast
from exvivo.study.protocol import AnalysisPlan
from exvivo.study.run import SharedError

Kit = Any
Row = dict[str, Any]
READOUTS = ("CCL18", "IL6")
OTHER = {"vehicle": "ruxolitinib", "ruxolitinib": "vehicle"}


def measured(rows: list[Row]) -> list[Row]:
    return rows


def censored(rows: list[Row]) -> list[Row]:
    """The lowest sixth of each readout and experiment below its limit."""
    values: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for r in rows:
        values[r["experiment"], r["readout"]].append(r["log_value"])
    limits = {place: float(np.quantile(own, 1 / 6)) for place, own in values.items()}
    return [
        r | {"log_value": None, "status": "below_lloq", "upper_bound": limits[r["experiment"], r["readout"]]}
        if r["log_value"] < limits[r["experiment"], r["readout"]]
        else r
        for r in rows
    ]


def missing(rows: list[Row]) -> list[Row]:
    return [r for i, r in enumerate(rows) if i % 13]


def bounded(rows: list[Row]) -> list[Row]:
    """Every seventh value as a narrow interval."""
    return [
        r if i % 7 else r | {"lower_bound": r["log_value"] - 0.02, "upper_bound": r["log_value"] + 0.1, "log_value": None}
        for i, r in enumerate(rows)
    ]


Change = Callable[[list[Row]], list[Row]]


@pytest.fixture(scope="module")
def few(kit: Kit, plan: AnalysisPlan) -> AnalysisPlan:
    """Two readouts of every outcome, to be quick."""
    outcomes = [
        o.model_copy(update={"readouts": READOUTS}) if o.id in {"S1", "S3"} else o for o in kit.only(plan, "P1", "S1", "S3", "S4").outcomes
    ]
    return replace(plan, outcomes=tuple(outcomes))


@pytest.fixture(scope="module", params=[measured, censored, missing, bounded], ids=lambda change: change.__name__)
def rows(request: pytest.FixtureRequest, kit: Kit) -> list[Row]:
    study = [r for r in kit.patients(15, seed=4) if r["readout"] in READOUTS] + kit.healthy(7, 9, readouts=READOUTS)
    change: Change = request.param
    return [r | {"specimens": f"M{i}", "plates": f"P{i % 2}", "se": 0.05} for i, r in enumerate(change(study))]


@pytest.fixture(scope="module")
def curves(kit: Kit, rows: list[Row]) -> SharedError:
    """All soluble values on two plates, whose curves they share."""
    shared: SharedError = kit.shared(
        [
            {"plate": r["plates"], "analyte": r["readout"], "specimen": r["specimens"], "log_value": r["log_value"], "se_log": 0.05}
            | {f"l{k}": 0.1 * k * float(r["plates"] == "P1") + 0.05 * np.cos(i) for k in range(1, 7)}
            for i, r in enumerate(rows)
        ]
    )
    return shared


@pytest.fixture(scope="module")
def plain(kit: Kit, few: AnalysisPlan, rows: list[Row], curves: SharedError) -> list[Row]:
    return tell(kit, few, rows, curves)


def tell(kit: Kit, plan: AnalysisPlan, rows: list[Row], curves: SharedError) -> list[Row]:
    effects = kit.estimate(rows, plan, shared_error=curves)
    told: list[Row] = effects.effects.rows() + effects.supplementary.rows()
    return told


def assert_same(some: list[Row], others: list[Row], columns: tuple[str, ...], rtol: float = 1e-7) -> None:
    for name in ("contrast", "modifier", "level", "role", "method", "status", "reason"):
        assert [row[name] for row in some] == [row[name] for row in others]
    for name in columns:
        left, right = ([row[name] for row in table] for table in (some, others))
        assert [x is None for x in left] == [x is None for x in right], name
        np.testing.assert_allclose([x for x in left if x is not None], [x for x in right if x is not None], rtol=rtol, err_msg=name)


def turned(table: list[Row]) -> Iterator[Row]:
    """Rows whose ratios stand the other way up."""
    for row in table:
        low, middle, high = (None if row[name] is None else 1 / row[name] for name in ("ci_low", "estimate", "ci_high"))
        yield row | {"ci_low": high, "estimate": middle, "ci_high": low}


NUMBERS = ("estimate", "ci_low", "ci_high", "df", "p", "p_adjusted")


def test_exchanged_arms_turn_every_ratio_and_keep_every_p(
    kit: Kit, few: AnalysisPlan, rows: list[Row], curves: SharedError, plain: list[Row]
) -> None:
    exchanged = tell(kit, few, [r | {"drug": OTHER[r["drug"]]} for r in rows], curves)
    compared = [row for row in plain if row["contrast"] != "serum"]  # which is asked of the comparator's cultures alone
    back = [row for row in turned(exchanged) if row["contrast"] != "serum"]
    assert_same(compared, back, NUMBERS, rtol=5e-6)
    assert {"interaction"} <= {row["contrast"] for row in compared}


def test_another_unit_changes_no_row(kit: Kit, few: AnalysisPlan, rows: list[Row], curves: SharedError, plain: list[Row]) -> None:
    cells = ("log_value", "lower_bound", "upper_bound", "plain_log_value")
    moved = [r | {name: r[name] + np.log(1000) for name in cells if r.get(name) is not None} for r in rows]
    assert_same(plain, tell(kit, few, moved, curves), NUMBERS, rtol=1e-6)


def test_names_and_order_of_donors_change_no_row(
    kit: Kit, few: AnalysisPlan, rows: list[Row], curves: SharedError, plain: list[Row]
) -> None:
    named = [r | {"donor": r["donor"][::-1], "serum_donor": r["serum_donor"] and r["serum_donor"][::-1]} for r in reversed(rows)]
    assert_same(plain, tell(kit, few, named, curves), NUMBERS, rtol=1e-6)


def test_more_wells_change_no_interval(kit: Kit, few: AnalysisPlan, rows: list[Row], curves: SharedError, plain: list[Row]) -> None:
    doubled = [r | {"measurements": 2 * r["measurements"], "se": r["se"] / np.sqrt(2)} for r in rows]
    more = tell(kit, few, doubled, curves)
    assert_same(plain, more, NUMBERS, rtol=1e-12)
    counted = [row for row in plain if row["measurements"]]
    assert [row["measurements"] for row in more if row["measurements"]] == [2 * row["measurements"] for row in counted]


@pytest.mark.parametrize("change", [measured, censored], ids=lambda change: change.__name__)
def test_serum_against_none_is_none_against_serum(kit: Kit, plan: AnalysisPlan, change: Change) -> None:
    """A culture without serum stands for all sera of its donor, on whichever side of the ratio it is."""
    (s3,) = kit.only(plan, "S3").outcomes
    study = change(kit.healthy(8, 10, readouts=READOUTS))

    def run(level: str, versus: str) -> list[Row]:
        contrast = Contrast(factor="serum", level=level, versus=versus)
        outcome = s3.model_copy(update={"readouts": READOUTS, "contrast": contrast})
        return tell(kit, replace(plan, outcomes=(outcome,)), study, kit.shared())

    forth, back = run("SSc_serum", "none"), list(turned(run("none", "SSc_serum")))
    assert {row["serum_donors"] for row in forth} == {10}
    assert forth[0]["status"] == "estimated"
    for row in (*forth, *back):
        row["contrast"] = ""
    assert_same(forth, back, (*NUMBERS, "donors", "serum_donors", "measurements"), rtol=5e-6)


@pytest.mark.parametrize("sides", [("SSc_serum", "none"), ("none", "SSc_serum")])
def test_large_blanks_stop_a_serum_effect_on_either_side(kit: Kit, plan: AnalysisPlan, sides: tuple[str, str]) -> None:
    (s3,) = kit.only(plan, "S3").outcomes
    outcome = s3.model_copy(update={"readouts": ("CCL18",), "contrast": Contrast(factor="serum", level=sides[0], versus=sides[1])})
    study = [r | {"blank_share": 0.8 if r["serum_donor"] else None} for r in kit.healthy(8, 10)]
    row, *beside = tell(kit, replace(plan, outcomes=(outcome,)), study, kit.shared())
    assert (row["status"], row["reason"]) == ("not_estimable", "serum-carry-over")
    assert beside[0]["status"] == "estimated"
    assert '"uncorrected": true' in beside[0]["detail"]


@pytest.mark.parametrize("donors", [8, 25])
def test_ratios_that_floating_point_alone_tells_apart_are_the_same(kit: Kit, plan: AnalysisPlan, donors: int) -> None:
    logs = {f"D{i:02}": (6 + 0.1 * i, 5.3 + 0.1 * i) for i in range(donors)}
    assert len({b - a for a, b in logs.values()}) > 1
    effects = kit.estimate(kit.paired(logs), kit.only(plan, "P1"))
    (row,) = effects.effects.rows()
    assert (row["ci_low"], row["ci_high"], row["p"]) == (row["estimate"], row["estimate"], 0.0)
    assert effects.calls.height == 0  # R refuses data that are constant


@pytest.mark.parametrize("drug", ["vehicle", "ruxolitinib"])
def test_a_serum_donor_that_nobody_wrote_down_is_not_guessed(kit: Kit, plan: AnalysisPlan, drug: str) -> None:
    study = kit.healthy(8, 10)
    (s3,) = kit.only(plan, "S3").outcomes
    alone = replace(plan, outcomes=(s3.model_copy(update={"readouts": ("CCL18",)}),))
    place = next(i for i, r in enumerate(study) if r["serum_donor"] and r["drug"] == drug)
    gone = [r | {"serum_donor": None} if i == place else r for i, r in enumerate(study)]
    whole, left = (kit.estimate(rows, alone).ratios.rows() for rows in (study, gone))
    assert len(whole) == len(left) + 1
