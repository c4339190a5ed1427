"""The plan as text, the specification curve, the diagnostics and the R code of a report."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pytest

from exvivo.report import write_report
from exvivo.report.leaning import draw_normal, list_diagnostics, list_rules, list_without
from exvivo.report.narrative import compose_estimands, tell_estimands
from exvivo.report.panel import collect_panels, draw_panel
from exvivo.report.reproduce import compose_reproduction, list_calls, name_estimate
from exvivo.report.wording import load_wording
from exvivo.study.evidence import RATIOS
from exvivo.study.model import TableReadout
from exvivo.study.run import Run
from exvivo.study.statuses import Diagnostic
from exvivo.study.tables import SUPPLEMENTARY

WORDS = load_wording()


def with_beside(run: Run, *rows: Mapping[str, object]) -> Run:
    """The run with rows beside P1, made from its registered row."""
    first = run.effects.effects.rows()[0] | {"role": "sensitivity", "p_adjusted": None}
    beside = SUPPLEMENTARY.from_rows([{**first, **row} for row in rows])
    return dataclasses.replace(run, effects=dataclasses.replace(run.effects, supplementary=beside))


def test_the_registered_specification_is_marked_once_and_ratios_are_sorted(run: Run) -> None:
    panels = collect_panels(run, WORDS)
    assert [panel.label for panel in panels][:2] == ["P1 CCL18", "S1 PDGF-BB"]
    for panel in panels:
        assert sum(one.registered for one in panel.specifications) == 1
        ratios = [one.estimate for one in panel.specifications if one.estimate is not None]
        assert ratios == sorted(ratios)


def test_only_choices_that_differ_are_shown(run: Run) -> None:
    half = {"method": "half-lloq", "estimate": 0.05}
    single = {"method": "mixed-kr-unpaired", "estimate": 2.0, "detail": json.dumps({"censored_left_out": 1, "single_condition_donors": 2})}
    (panel,) = collect_panels(with_beside(run, half, single), WORDS)
    assert set(panel.specifications[0].choices) == {"Method", "Values beyond a limit", "Donors"}
    assert panel.specifications[0].choices["Values beyond a limit"] == "half the limit"
    last = panel.specifications[-1]
    assert (last.choices["Donors"], last.donors) == ("single conditions too", "6 + 2")


def test_curve_error_is_a_choice_where_a_row_leaves_it_out(run: Run) -> None:
    plain = {"detail": json.dumps({"ignores": "calibration"})}
    (panel,) = collect_panels(with_beside(run, plain), WORDS)
    assert [one.choices["Error of shared curves"] for one in panel.specifications if one.registered] == ["carried"]
    assert {one.choices["Error of shared curves"] for one in panel.specifications} == {"carried", "left out"}


def test_a_test_without_an_interval_is_no_interval_without_ends(run: Run) -> None:
    flips = {"method": "sign-flip", "ci_low": None, "ci_high": None, "df": None}
    ranks = {"method": "interval-rank", "status": "bound_only", "estimate": None, "ci_low": None, "ci_high": None}
    (panel,) = collect_panels(with_beside(run, flips, ranks), WORDS)
    figure = json.dumps(draw_panel(panel, WORDS, column=40, height=100))
    assert "triangle" not in figure
    assert panel.specifications[-1].estimate is None


def test_leaving_donors_out_and_other_contrasts_are_no_specifications(run: Run) -> None:
    assert collect_panels(with_beside(run, {"method": "leave-one-out"}, {"contrast": "serum"}, {"role": "level"}), WORDS) == ()


def test_a_rule_that_did_not_hold_is_marked(run: Run) -> None:
    rows = run.effects.diagnostics.frame
    broken = rows.with_columns(
        outcome_of_rule=pl.when((pl.col("outcome") == "P1") & (pl.col("diagnostic") == "normal-plot"))
        .then(pl.lit("failed"))
        .otherwise(pl.lit("held"))
    )
    effects = dataclasses.replace(run.effects, diagnostics=run.effects.diagnostics.kind.build(broken))
    grid = list_diagnostics(dataclasses.replace(run, effects=effects), WORDS)
    assert [row.tone for row in grid.rows[:2]] == ["warn", ""]
    assert sum("✗" in cell for cell in grid.rows[0].cells) == 1


def test_every_rule_is_told_before_the_results(run: Run) -> None:
    assert len(list_rules(run, WORDS).rows) == len(Diagnostic)


def test_the_range_without_a_donor_names_the_donors(run: Run) -> None:
    row = list_without(run, WORDS).rows[0].cells
    held = run.effects.ratios.frame.filter(pl.col("outcome") == "P1").sort("ratio_without_donor")["donor"].to_list()
    assert row[0] == "P1 CCL18"
    assert row[3].endswith(f"({held[0]})")
    assert row[4].endswith(f"({held[-1]})")


def test_a_normal_plot_leaves_censored_donors_out_and_says_so(run: Run) -> None:
    il6 = next(row for row in run.effects.effects.rows() if row["readout"] == "IL6")
    figure = draw_normal(run, il6, WORDS)
    assert figure is not None
    assert figure["title"]["subtitle"][1].startswith("1 donors")
    few = RATIOS.build(run.effects.ratios.frame.head(3))
    assert draw_normal(dataclasses.replace(run, effects=dataclasses.replace(run.effects, ratios=few)), il6, WORDS) is None


@pytest.mark.parametrize(
    "attribute", ["The population is", "The treatments compared", "The variable is", "population-level summary", "Intercurrent"]
)
def test_every_outcome_tells_the_five_attributes(run: Run, attribute: str) -> None:
    assert all(attribute in told.text for told in tell_estimands(run.protocol, WORDS))


def test_events_are_told_where_they_can_occur(run: Run) -> None:
    told = {text.heading[:2]: text.text for text in tell_estimands(run.protocol, WORDS)}
    assert "principal stratum" in told["P1"]
    assert "hypothetical" in told["S3"]
    assert "hypothetical" not in told["P1"]
    assert "assayed again" not in told["S2"]
    assert "modified Rodnan skin score" in told["S4"]
    assert "enters as that" in told["P1"]
    assert "enters as that" not in told["S4"]  # a censored pair has no ratio to compare between donors
    assert "other pairs are counted" in told["S4"]
    file = run.protocol.file
    tables = {name: TableReadout(kind="table", label=name, table="t") for name in file.readouts}
    bare = dataclasses.replace(run.protocol, file=file.model_copy(update={"readouts": tables, "clinical": None}))
    text = compose_estimands(bare, WORDS)
    assert "between donors (S4)" in text
    assert "donors with both values" in text
    assert "blood draw" not in text
    assert "culture that failed" not in text


def test_the_plan_and_the_r_code_stand_beside_the_report(run: Run, tmp_path: Path) -> None:
    write_report(run, tmp_path)
    plan = (tmp_path / "estimands.md").read_text(encoding="utf-8")
    assert [line[3:5] for line in plan.splitlines() if line.startswith("## ")][:5] == ["P1", "S1", "S2", "S3", "S4"]
    script = (tmp_path / "reproduce.R").read_text(encoding="utf-8")
    assert 'if (available("lme4", "pbkrtest")) local({' in script
    assert "if (available()) local({" in script
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "# &lt;b&gt; &amp; &#34;it&#34;" in html


def test_a_call_carries_the_name_and_the_numbers_of_its_row(run: Run) -> None:
    row = run.effects.effects.rows()[0]
    (call,) = list_calls(run.effects, run.effects.effects)
    assert call.name == name_estimate(row) == "P1 CCL18 ruxolitinib/vehicle [registered, paired-t-log]"
    assert f"c(ratio = {row['estimate']!r}, low = {row['ci_low']!r}" in compose_reproduction(run.effects)


def test_what_a_row_ignores_stands_in_its_name() -> None:
    names = ("outcome", "readout", "modifier", "level", "contrast")
    row = dict.fromkeys(names) | {"outcome": "S3", "readout": "CD86", "contrast": "a/b", "role": "sensitivity", "method": "sign-flip"}
    detail = {"ignores": "serum_donor", "statistic": "plain median", "uncorrected": True}
    assert name_estimate(row | {"detail": json.dumps(detail)}).endswith(
        "[sensitivity, sign-flip, plain median, without serum_donor, uncorrected]"
    )
