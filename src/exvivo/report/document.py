"""Run -> report.html: one file that opens without a network, sections in a fixed order.

The file holds its style and its figures; nothing is loaded. Text from files and people is escaped by the templates.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from jinja2 import Environment, PackageLoader, StrictUndefined

from exvivo.engine import Progress
from exvivo.report.credibility import list_credibility
from exvivo.report.crosstables import list_associations, list_crosstables, tell_dependence
from exvivo.report.drawings import Drawing, plan_drawings, render_drawings
from exvivo.report.expressions import list_expressions, list_retained, tell_stability
from exvivo.report.gatekeeping import list_hypotheses
from exvivo.report.leaning import list_diagnostics, list_rules, list_without
from exvivo.report.miflowstudy import list_for_study, show_checklist
from exvivo.report.modifiers import list_levels, list_precision
from exvivo.report.narrative import EstimandText, list_estimands, list_study, tell_estimands, tell_intercurrent, tell_methods, tell_pairs
from exvivo.report.pairs import collect_pairs
from exvivo.report.performance import list_agreement, list_analytes, list_moved, list_plate_limits
from exvivo.report.reproduce import CallText, list_calls, read_functions
from exvivo.report.sections import (
    EstimateGroup,
    Grid,
    State,
    count_exclusions,
    label_analyte,
    list_assumed,
    list_decisions,
    list_estimates,
    list_exclusions,
    list_findings,
    list_inputs,
    list_methods,
    list_smallest_p,
    list_states,
    list_supplementary,
    list_verdicts,
    list_versions,
    percent,
    state_headline,
    tell_few_pairs,
)
from exvivo.report.summaries import list_values
from exvivo.report.wording import Wording
from exvivo.study.protocol import Protocol
from exvivo.study.run import Run

SECTIONS = (
    "registered", "estimand", "assumed", "figures", "subgroups", "supplementary", "diagnostics", "curves", "gating", "verdicts", "findings",
    "exclusions", "decisions", "methods", "miflowcyt", "provenance",
)  # fmt: skip
FOLD_ABOVE = 12
"""Tables with more rows are folded."""

SHEETS_SHOWN = 8
"""Contact sheets that stand open; those of further donors are folded."""


@dataclass(frozen=True, slots=True)
class Page:
    """Everything that the templates print, in the order of the sections."""

    protocol: Protocol
    headline: str
    states: tuple[State, ...]
    estimates: tuple[EstimateGroup, ...]
    without_post_hoc: tuple[EstimateGroup, ...]
    hypotheses: Grid
    how: Grid
    study: Grid
    estimands: Grid
    in_words: tuple[EstimandText, ...]
    intercurrent: tuple[str, ...]
    assumed: Grid
    marks: tuple[str, ...]
    values: Grid
    levels: Grid
    few_pairs: tuple[str, ...]
    precision: Grid
    dependence: str
    associations: tuple[Grid, ...]
    crosstables: tuple[Grid, ...]
    credibility: tuple[Grid, ...]
    supplementary: Grid
    smallest_p: Grid
    calls: tuple[CallText, ...]
    calls_beside: tuple[CallText, ...]
    functions: str
    diagnostics: Grid
    rules: Grid
    without: Grid
    analytes: Grid
    limits: Grid
    moved: Grid
    agreement: Grid
    retained: Grid
    expressions: Grid
    stability: str
    verdicts: tuple[Grid, Grid]
    findings: Grid
    excluded: Grid
    exclusions: Grid
    decisions: Grid
    methods: tuple[str, ...]
    miflowcyt: Grid
    versions: Grid
    inputs: Grid
    drawings: Mapping[str, tuple[Drawing, ...]]


def compose_document(run: Run, words: Wording, versions: Mapping[str, str], progress: Progress) -> str:
    """The report as HTML."""
    page = _compose_page(run, words, versions, progress)
    environment = Environment(
        loader=PackageLoader("exvivo.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    rules = run.protocol.analysis.rules
    return environment.get_template("report.html.jinja").render(
        page=page,
        say=words.say,
        sections=SECTIONS,
        fold_above=FOLD_ABOVE,
        sheets_shown=SHEETS_SHOWN,
        confidence=percent(rules.confidence),
        seed=rules.seed,
        record=run.decisions,
        blinded=run.inputs.blinded,
        arms=_arms(run.protocol),
        max_cv=run.protocol.assays.rules.max_cv_pct,
        tolerance=run.protocol.assays.rules.qc_tolerance_pct,
        has_scores=any(row["z"] is not None for row in run.calibration.controls.rows()),
    )


def _arms(protocol: Protocol) -> str:
    contrast = protocol.analysis.outcomes[0].contrast
    labels = protocol.design.factors[contrast.factor].labels
    return f"{labels.get(contrast.level, contrast.level)} / {labels.get(contrast.versus, contrast.versus)}"


def _compose_page(run: Run, words: Wording, versions: Mapping[str, str], progress: Progress) -> Page:
    later = run.without_post_hoc.rows()
    label = partial(label_analyte, run)
    pairs = collect_pairs(run)
    return Page(
        protocol=run.protocol,
        headline=state_headline(run, words),
        states=list_states(run, words),
        estimates=list_estimates(run.effects.effects.rows(), run.protocol, words),
        without_post_hoc=list_estimates(later, run.protocol, words) if later else (),
        hypotheses=list_hypotheses(run, words),
        how=list_methods(run, words),
        study=list_study(run.protocol, words),
        estimands=list_estimands(run.protocol, words),
        in_words=tell_estimands(run.protocol, words),
        intercurrent=tell_intercurrent(run.protocol, words),
        assumed=list_assumed(run, words),
        marks=tell_pairs(pairs, words),
        values=list_values(pairs, words),
        levels=list_levels(run, words),
        few_pairs=tell_few_pairs(run, words),
        precision=list_precision(run, words),
        dependence=tell_dependence(run, words),
        associations=list_associations(run),
        crosstables=list_crosstables(run, words),
        credibility=list_credibility(run, words),
        supplementary=list_supplementary(run, words),
        smallest_p=list_smallest_p(run, words),
        calls=list_calls(run.effects, run.effects.effects),
        calls_beside=list_calls(run.effects, run.effects.supplementary),
        functions=read_functions(),
        diagnostics=list_diagnostics(run, words),
        rules=list_rules(run, words),
        without=list_without(run, words),
        analytes=list_analytes(run.calibration, label, words),
        limits=list_plate_limits(run.calibration, label, words),
        moved=list_moved(run.calibration, label, words),
        agreement=list_agreement(run.calibration, label, words),
        retained=list_retained(run, words),
        expressions=list_expressions(run, words),
        stability=tell_stability(run, words),
        verdicts=list_verdicts(run, words),
        findings=list_findings(run, words),
        excluded=count_exclusions(run, words),
        exclusions=list_exclusions(run, words),
        decisions=list_decisions(run, words),
        methods=tell_methods(run, words),
        miflowcyt=show_checklist(list_for_study(run), words),
        versions=list_versions(versions, words),
        inputs=list_inputs(run, words),
        drawings=render_drawings(tuple(plan_drawings(run, words)), progress),
    )
