"""Control charts and limits in the report: every plate a point, broken rules told by shape and word, no limits where there are too few."""

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import altair as alt
import polars as pl
import pytest

from exvivo.report.chartfigures import FARTHEST, Controls, collect_controls, draw_controls, has_targets
from exvivo.report.performance import list_agreement, list_analytes, list_moved, list_plate_limits
from exvivo.report.sections import list_verdicts
from exvivo.report.theme import Spec, compose_spec
from exvivo.report.wording import load_wording
from exvivo.study.run import Calibration, Run
from exvivo.study.tables import CONTROLS, LIMITS, VERDICTS, Table

WORDS = load_wording()


def row_of(order: int, z: float | None, value: float | None = 3.2, rules: str | None = None, control: str = "QC low") -> dict[str, Any]:
    known = z is not None
    return {
        "analyte": "IL6", "kind": "qc", "control": control, "plate": f"week {order}:1", "order": order, "value": value,
        "target": 3.2 if known else None, "sd": 0.05 if known else None, "z": z, "base": "leave-one-out", "rules": rules, "lot": None,
    }  # fmt: skip


def controls_of(*rows: Mapping[str, Any], refused: frozenset[str] = frozenset(), nominal: float | None = 25.0) -> Controls:
    known = {} if nominal is None else {"QC low": nominal}
    return Controls(tuple(rows), known, refused, "pg/mL", 20.0)


def points_of(figure: Spec) -> Iterator[dict[str, Any]]:
    for panel in figure["concat"]:
        for layer in panel["layer"]:
            if "shape" in layer["encoding"]:
                yield from layer["data"]["values"]


def panel_of(figure: Spec | None) -> Spec:
    assert figure is not None
    (panel,) = figure["concat"]
    return dict(panel)


def lines_of(panel: Spec) -> list[float]:
    return [row["at"] for layer in panel["layer"] for row in layer["data"]["values"] if "at" in row]


def test_charts_follow_the_schema_and_hold_every_plate_inside_their_axis() -> None:
    controls = controls_of(*(row_of(k, 0.3 * k) for k in range(1, 8)), row_of(8, 37.0, rules="1-2s,1-3s"))
    figure = draw_controls(controls, WORDS)
    assert figure is not None
    alt.Chart.from_dict(compose_spec(figure), validate=True)
    json.dumps(figure, allow_nan=False)
    points = list(points_of(figure))
    assert [point["x"] for point in points] == list(range(1, 9))
    low, high = panel_of(figure)["layer"][1]["encoding"]["y"]["scale"]["domain"]
    assert all(low <= point["y"] <= high for point in points)
    assert points[-1]["y"] == FARTHEST


def test_a_broken_rule_is_a_triangle_with_the_gravest_rule_and_a_warning_is_neither() -> None:
    rows = [row_of(k, 0.1) for k in range(1, 7)]
    rows[2], rows[5] = row_of(3, -2.1, rules="1-2s"), row_of(6, -3.5, rules="1-2s,1-3s,2-2s")
    figure = draw_controls(controls_of(*rows), WORDS)
    assert figure is not None
    points = list(points_of(figure))
    assert [point["shape"] for point in points] == ["circle"] * 5 + ["triangle-down"]
    assert [point["told"] for point in points] == [""] * 5 + ["1-3s"]


def test_a_series_has_its_rule_written_once_and_a_plates_page_only_its_own() -> None:
    controls = controls_of(*(row_of(k, 2.4, rules="1-2s,2-2s") for k in range(1, 9)))
    everywhere, here = draw_controls(controls, WORDS), draw_controls(controls, WORDS, plate="week 2:1")
    assert everywhere is not None
    assert here is not None
    assert [point["x"] for point in points_of(everywhere) if point["told"]] == [1]
    assert [point["x"] for point in points_of(here) if point["told"]] == [2]


def test_refused_plates_are_hollow_and_a_plate_without_result_stands_as_a_cross_at_the_edge() -> None:
    rows = [row_of(k, 0.1) for k in range(1, 7)] + [row_of(7, None, value=None)]
    figure = draw_controls(controls_of(*rows, refused=frozenset({"week 2:1"})), WORDS)
    assert figure is not None
    points = list(points_of(figure))
    assert [point["fill"] == "white" for point in points] == [False, True, *([False] * 5)]
    assert points[-1]["shape"] == "cross"
    assert points[-1]["y"] == panel_of(figure)["layer"][1]["encoding"]["y"]["scale"]["domain"][0]


def test_too_few_plates_have_results_in_percent_of_nominal_and_no_limits_of_their_own() -> None:
    controls = controls_of(*(row_of(k, None, value=math.log(25.0 * fold)) for k, fold in enumerate((1.0, 1.1, 0.8), start=1)))
    assert not has_targets(controls)
    figure = draw_controls(controls, WORDS)
    assert figure is not None
    assert [point["y"] for point in points_of(figure)] == pytest.approx([0.0, 10.0, -20.0])
    assert lines_of(panel_of(figure)) == [0.0, -20.0, 20.0]
    unknown = draw_controls(controls_of(*controls.rows, nominal=None), WORDS)
    assert lines_of(panel_of(unknown)) == [0.0], "what the rule allows is allowed around a nominal value"


def test_one_plate_is_no_chart() -> None:
    assert draw_controls(controls_of(row_of(1, None)), WORDS) is None


@pytest.fixture
def calibration(run: Run) -> Calibration:
    """The run's calibration with limits, one moved QC and tests over dilutions."""
    curves = run.calibration.curves
    limits = [
        {"plate": row["plate"], "analyte": row["analyte"], "limit": limit, "definition": by, "value": value, "signal": 0.1, "unit": "pg/mL",
         "used": limit == "lloq"}
        for row in curves.rows()
        for limit, by, value in (("lod", "ep17-pooled", 2.0), ("mdc", "interval-excludes-zero", None), ("lloq", "precision-profile", 7.8))
    ]  # fmt: skip
    first = curves.rows()[0]
    verdicts = [
        {"plate": first["plate"], "analyte": first["analyte"], "rule": "dilution-linearity", "subject": f"M{k}", "observed": ratio,
         "low": 0.8, "high": 1.25, "ci_low": ratio - 0.1, "ci_high": ratio + 0.1, "outcome": outcome, "passed": outcome == "shown",
         "accepted": True}
        for k, (ratio, outcome) in enumerate([(1.0, "shown"), (1.6, "differs"), (0.5, "differs"), (0.9, "not-shown")])
    ]  # fmt: skip
    controls = [row_of(1, 3.4, rules="1-2s,1-3s"), row_of(2, 2.2, rules="1-2s"), row_of(3, 0.1)]
    return dataclasses.replace(
        run.calibration,
        limits=LIMITS.from_rows(limits),
        verdicts=_stack(run.calibration.verdicts, verdicts),
        controls=CONTROLS.from_rows(controls),
    )


def _stack(table: Table, rows: list[dict[str, Any]]) -> Table:
    return VERDICTS.build(pl.concat([table.frame, VERDICTS.from_rows(rows).frame], how="diagonal"))


def test_an_analyte_is_one_row_with_its_curve_and_the_span_of_its_limits(calibration: Calibration) -> None:
    table = list_analytes(calibration, str, WORDS)
    analytes = sorted({str(row["analyte"]) for row in calibration.curves.rows()})
    assert [row.cells[0] for row in table.rows] == analytes
    assert {row.cells[3:5] for row in table.rows} == {("2.00", "–")}
    assert all(len(row.cells) == len(table.heads) for row in table.rows)


def test_limits_plate_by_plate_tell_which_definition_made_them(calibration: Calibration) -> None:
    table = list_plate_limits(calibration, str, WORDS)
    assert len(table.rows) == calibration.curves.height
    assert {row.cells[6] for row in table.rows} == {"precision"}
    assert all(len(row.cells) == len(table.heads) for row in table.rows)


def test_dilutions_that_differ_are_told_with_the_farthest_and_open_ones_apart(calibration: Calibration) -> None:
    table = list_agreement(calibration, str, WORDS)
    first = table.rows[0]
    assert first.cells[1:5] == ("4", "1", "1", "2")
    assert "M2: 0.500 (0.400 to 0.600)" in first.cells[5]
    assert first.tone == "warn"


def test_an_open_question_is_neither_a_failure_nor_counted_as_one(run: Run, calibration: Calibration) -> None:
    failed, others = list_verdicts(dataclasses.replace(run, calibration=calibration), WORDS)
    ratios = [row.cells[3:5] for row in failed.rows if row.cells[2] == WORDS.say("rule", "dilution-linearity")]
    assert ratios == [("M1", "1.60 (1.50 to 1.70)"), ("M2", "0.500 (0.400 to 0.600)")]
    assert not [row for row in others.rows if row.cells[2] == WORDS.say("rule", "dilution-linearity")], "of single specimens"


def test_only_points_beyond_the_warning_are_listed(calibration: Calibration) -> None:
    (row,) = list_moved(calibration, str, WORDS).rows
    assert row.cells[2:6] == ("QC low", "week 1:1", "3.40", "1-2s, 1-3s")


def test_controls_are_those_of_the_analytes_qcs(calibration: Calibration) -> None:
    controls = collect_controls(calibration, "IL6", 20.0)
    assert [row["order"] for row in controls.rows] == [1, 2, 3]
    assert collect_controls(calibration, "nothing", 20.0).rows == ()
