"""Verdicts and charts that become findings, and those that do not."""

import math
from collections.abc import Mapping, Sequence

import pytest

from exvivo.inspect.plates import inspect_plates
from exvivo.study.findings import Finding, FindingCode
from exvivo.study.model import ElisaReadout, Standards
from exvivo.study.run import Calibration, SharedError
from exvivo.study.tables import CONCENTRATIONS, CONTROLS, CURVES, OUTCOMES, SHARED_ERROR, VERDICTS, WELLS

Row = dict[str, object]

READOUT = ElisaReadout(kind="elisa", label="IL-6", unit="pg/mL", standards=Standards(top=500, points=7, factor=3))


def verdict(rule: str, outcome: str, subject: str | None = None, **numbers: float) -> Row:
    passed = outcome in {"held", "shown"}
    return {
        "plate": "p:1",
        "analyte": "IL6",
        "rule": rule,
        "outcome": outcome,
        "subject": subject,
        "passed": passed,
        "accepted": True,
        **numbers,
    }


def chart(kind: str, control: str, value: float, **cells: object) -> Row:
    row: Row = {"analyte": "IL6", "kind": kind, "control": control, "plate": "p:7", "order": 7, "value": value, "target": 4.0, "sd": 0.1}
    return {**row, "base": "leave-one-out", **cells}


def wells(folds: Sequence[float]) -> list[Row]:
    return [
        {"plate": "p:1", "well": f"A{i + 3}", "role": "specimen", "analyte": "IL6", "dilution": fold, "status": "ok", "origin": "t"}
        for i, fold in enumerate(folds)
    ]


def findings(
    verdicts: Sequence[Mapping[str, object]] = (), charts: Sequence[Mapping[str, object]] = (), folds: Sequence[float] = ()
) -> list[Finding]:
    calibration = Calibration(
        wells=WELLS.from_rows(wells(folds)),
        curves=CURVES.empty(),
        verdicts=VERDICTS.from_rows(verdicts),
        concentrations=CONCENTRATIONS.empty(),
        shared_error=SharedError(SHARED_ERROR.empty()),
        controls=CONTROLS.from_rows(charts),
    )
    return list(inspect_plates(calibration, OUTCOMES.empty(), {"IL6": READOUT}))


def linearity(ratio: float, outcome: str = "differs", subject: str = "S1 1:50 / 1:10") -> Row:
    return verdict("dilution-linearity", outcome, subject, observed=ratio, ci_low=ratio * 0.9, ci_high=ratio * 1.1)


@pytest.mark.parametrize("ratio", [5.2, 0.19, 2.1, 9.5])
def test_two_dilutions_a_plausible_fold_apart_are_called_out(ratio: float) -> None:
    (found,) = findings([linearity(ratio)], folds=(10.0, 50.0))
    assert (found.code, found.place, found.readouts) == (FindingCode.DILUTION_WRONG, "p:1", ("IL6",))
    assert "S1 reads" in found.evidence
    assert "at 1:50 as at 1:10" in found.evidence


def test_a_step_of_the_study_s_own_dilutions_is_plausible_too() -> None:
    assert findings([linearity(33.0, subject="S1 1:33 / 1:1")], folds=(1.0, 33.0))
    assert not findings([linearity(33.0, subject="S1 1:20 / 1:1")], folds=(1.0, 20.0))


def test_a_ratio_near_no_fold_or_not_shown_to_differ_is_no_wrong_dilution() -> None:
    assert not findings([linearity(1.45)], folds=(10.0, 50.0))
    assert not findings([linearity(2.0, "not-shown")], folds=(10.0, 50.0))


def test_hooks_of_standards_and_specimens_stand_in_one_finding_for_a_plate() -> None:
    rows = [verdict("hook-standards", "failed", observed=6.0, high=3.0), verdict("hook-specimen", "failed", "S4", observed=8.0, high=4.0)]
    (found,) = findings(rows)
    assert found.code is FindingCode.HOOK_EFFECT
    assert "S4 reads less than its higher dilution by 8.0" in found.evidence
    assert "a top standard" in found.evidence


def test_a_position_effect_tells_size_and_certainty() -> None:
    (found,) = findings([verdict("position-effect", "failed", "edge", observed=18.0, high=10.0, p=0.0002)])
    assert found.code is FindingCode.POSITION_EFFECT
    assert "18 %" in found.evidence
    assert "p = 0.0002" in found.evidence
    assert not findings([verdict("position-effect", "held", "edge", observed=18.0, high=10.0, p=0.2)])


def test_controls_out_of_control_are_noted_and_warnings_are_not() -> None:
    (found,) = findings(charts=[chart("qc", "low", 3.0, z=-4.2, rules="1-2s,1-3s"), chart("qc", "mid", 4.3, z=2.4, rules="1-2s")])
    assert (found.code, found.place) == (FindingCode.CONTROL_DRIFT, "p:7")
    assert "low lies 4.2 SD below its target (1-2s,1-3s)" in found.evidence
    assert "mid" not in found.evidence
    assert not findings(charts=[chart("standard", "500", 4.3, z=4.4, rules="1-3s")])


def test_lots_that_differ_are_called_out_and_lots_of_which_little_is_known_are_not() -> None:
    row = verdict("lot-shift", "differs", "mid B / A", observed=1.5, ci_low=1.4, ci_high=1.6, low=0.8, high=1.25)
    (found,) = findings([row])
    assert found.code is FindingCode.LOT_SHIFT
    assert "mid B / A" in found.evidence
    assert not findings([{**row, "outcome": "not-shown"}])


@pytest.mark.parametrize(("shift", "told"), [(1.0986, "3 times weaker"), (-0.69, "2 times stronger")])
def test_a_series_shifted_by_a_plausible_fold_is_called_out(shift: float, told: str) -> None:
    sign = 1.0 if shift > 0 else -1.0
    series = [chart("standard", str(level), 4.0, z=-sign * 3.0) for level in (500, 250, 125)]
    middle, control = chart("parameter", "c", 4.0 + shift, z=sign * 5.0), chart("qc", "mid", 4.0 - shift, z=1.0)
    (found,) = findings(charts=[middle, control, *series])
    assert f"its QCs read {math.exp(-shift):.2f} times their targets" in found.evidence
    assert not findings(charts=[middle, control, *({**row, "z": 0.5} for row in series)])
    assert (found.code, found.place) == (FindingCode.DILUTION_WRONG, "p:7")
    assert told in found.evidence


def test_a_midpoint_that_wanders_is_no_wrong_dilution() -> None:
    assert not findings(charts=[chart("parameter", "c", 4.3, z=3.5)])
    assert not findings(charts=[chart("parameter", "c", 4.69, z=1.5)])


def test_a_refused_plate_is_told_by_the_rules_that_refused_it() -> None:
    rows = [
        {**row, "accepted": False}
        for row in (verdict("standards-fraction", "failed"), verdict("ends", "failed", "low"), verdict("unit-known", "failed"))
    ]
    calibrated = [{"plate": "p:1", "well": "A1", "role": "standard", "analyte": "IL6", "status": "ok", "origin": "t", "unit": "as given"}]
    found = list(
        inspect_plates(
            Calibration(
                WELLS.from_rows(calibrated),
                CURVES.empty(),
                VERDICTS.from_rows(rows),
                CONCENTRATIONS.empty(),
                SharedError(SHARED_ERROR.empty()),
            ),
            OUTCOMES.empty(),
            {},
        )
    )
    assert [(f.code, f.evidence) for f in found] == [(FindingCode.PLATE_REFUSED, "IL6: failed standards-fraction")]
