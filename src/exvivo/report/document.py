"""Run -> report.html: one file that opens without a network, sections in a fixed order.

The file holds its style and its figures; nothing is loaded. Text from files and people is escaped by the templates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from exvivo.report.curvefigures import draw_curves
from exvivo.report.figures import Tile, draw_forest, draw_pairs, draw_verdicts
from exvivo.report.gatefigures import draw_sheet
from exvivo.report.modifiers import forest_of_modifiers, forest_of_outcomes, list_crosstables, list_levels
from exvivo.report.narrative import list_estimands, list_study, tell_intercurrent, tell_methods
from exvivo.report.pairs import PairGroup, collect_pairs
from exvivo.report.sections import (
    EstimateGroup,
    Grid,
    State,
    list_assumed,
    list_decisions,
    list_estimates,
    list_exclusions,
    list_findings,
    list_inputs,
    list_smallest_p,
    list_states,
    list_supplementary,
    list_verdicts,
    list_versions,
    percent,
    state_headline,
)
from exvivo.report.theme import Spec, render_svg
from exvivo.report.wording import Wording
from exvivo.study.protocol import Protocol
from exvivo.study.run import Run
from exvivo.study.tables import Table

SECTIONS = (
    "registered", "estimand", "assumed", "figures", "subgroups", "supplementary", "curves", "gating", "verdicts", "findings",
    "exclusions", "decisions", "methods", "provenance",
)  # fmt: skip
FOLD_ABOVE = 12
"""Tables with more rows are folded."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure in the page: its heading (empty for none) and its SVG."""

    title: str
    svg: Markup


@dataclass(frozen=True, slots=True)
class Page:
    """Everything that the templates print, in the order of the sections."""

    protocol: Protocol
    headline: str
    states: tuple[State, ...]
    estimates: tuple[EstimateGroup, ...]
    without_post_hoc: tuple[EstimateGroup, ...]
    study: Grid
    estimands: Grid
    intercurrent: tuple[str, ...]
    assumed: Grid
    pairs: tuple[Drawing, ...]
    overview: tuple[Drawing, ...]
    levels: Grid
    modifiers: tuple[Drawing, ...]
    crosstables: tuple[Grid, ...]
    supplementary: Grid
    smallest_p: Grid
    curves: tuple[Drawing, ...]
    sheets: tuple[Drawing, ...]
    verdict_map: tuple[Drawing, ...]
    verdicts: tuple[Grid, Grid]
    findings: Grid
    exclusions: Grid
    decisions: Grid
    methods: tuple[str, ...]
    versions: Grid
    inputs: Grid


def compose_document(run: Run, words: Wording, versions: Mapping[str, str], without_post_hoc: Table | None) -> str:
    """The report as HTML."""
    page = _compose_page(run, words, versions, without_post_hoc)
    environment = Environment(
        loader=PackageLoader("exvivo.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    rules = run.protocol.analysis.rules
    return environment.get_template("report.html.jinja").render(
        page=page,
        say=words.say,
        sections=SECTIONS,
        fold_above=FOLD_ABOVE,
        confidence=percent(rules.confidence),
        seed=rules.seed,
        record=run.decisions,
        blinded=run.inputs.blinded,
        arms=_arms(run.protocol),
    )


def _arms(protocol: Protocol) -> str:
    contrast = protocol.analysis.outcomes[0].contrast
    labels = protocol.design.factors[contrast.factor].labels
    return f"{labels.get(contrast.level, contrast.level)} / {labels.get(contrast.versus, contrast.versus)}"


def _compose_page(run: Run, words: Wording, versions: Mapping[str, str], without_post_hoc: Table | None) -> Page:
    later = without_post_hoc.rows() if without_post_hoc is not None else []
    return Page(
        protocol=run.protocol,
        headline=state_headline(run, words),
        states=list_states(run, words),
        estimates=list_estimates(run.effects.effects.rows(), run.protocol, words),
        without_post_hoc=list_estimates(later, run.protocol, words) if later else (),
        study=list_study(run.protocol, words),
        estimands=list_estimands(run.protocol, words),
        intercurrent=tell_intercurrent(run.protocol, words),
        assumed=list_assumed(run, words),
        pairs=_draw_pairs(run, words),
        overview=_draw_overview(run, words),
        levels=list_levels(run, words),
        modifiers=_draw_modifiers(run, words),
        crosstables=list_crosstables(run, words),
        supplementary=list_supplementary(run, words),
        smallest_p=list_smallest_p(run, words),
        curves=_draw_curves(run),
        sheets=_draw_sheets(run),
        verdict_map=_draw_verdicts(run, words),
        verdicts=list_verdicts(run, words),
        findings=list_findings(run, words),
        exclusions=list_exclusions(run, words),
        decisions=list_decisions(run, words),
        methods=tell_methods(run, words),
        versions=list_versions(versions, words),
        inputs=list_inputs(run, words),
    )


def _drawing(figure: Spec, name: str, title: str) -> Drawing:
    return Drawing(title, Markup(render_svg(figure, name, title)))  # noqa: S704  the renderer escapes text inside an SVG


def _draw_pairs(run: Run, words: Wording) -> tuple[Drawing, ...]:
    groups = [] if run.inputs.blinded else [group for group in collect_pairs(run) if any(panel.points for panel in group.panels)]
    drawings = []
    for k, group in enumerate(groups):
        by_donor = run.protocol.design.experiments[group.experiment].sera_per_donor > 1
        drawings.append(_drawing(draw_pairs(group.panels, by_donor=by_donor), f"pairs-{k}", _title_of(group, run.protocol, words)))
    return tuple(drawings)


def _title_of(group: PairGroup, protocol: Protocol, words: Wording) -> str:
    label = protocol.design.experiments[group.experiment].label
    return words.say("words", "experiment", {"name": group.experiment, "label": label})


def _draw_overview(run: Run, words: Wording) -> tuple[Drawing, ...]:
    rows = () if run.inputs.blinded else forest_of_outcomes(run, words)
    if not any(row.tone == "main" for row in rows):
        return ()
    figure = draw_forest(rows, _forest_heads(run, words, "outcome", "p_adjusted"), words.say("words", "ratio_axis"), label_width=230)
    return (_drawing(figure, "overview", words.say("prose", "forest")),)


def _forest_heads(run: Run, words: Wording, first: str, last: str) -> tuple[str, ...]:
    ratio = words.say("words", "ratio_ci", {"confidence": percent(run.protocol.analysis.rules.confidence)})
    return words.say("column", first), words.say("column", "donors"), ratio, words.say("column", last)


def _draw_modifiers(run: Run, words: Wording) -> tuple[Drawing, ...]:
    rows = () if run.inputs.blinded else forest_of_modifiers(run, words)
    if not rows:
        return ()
    heads = (*_forest_heads(run, words, "modifier", "p")[:3], words.say("words", "interaction_p"))
    figure = draw_forest(rows, heads, words.say("words", "level_ratio"))
    return (_drawing(figure, "modifiers", words.say("words", "level_ratio")),)


def _draw_curves(run: Run) -> tuple[Drawing, ...]:
    calibration = run.calibration
    refused = frozenset(row["plate"] for row in calibration.verdicts.frame.iter_rows(named=True) if not row["accepted"])
    drawings = []
    for k, analyte in enumerate(calibration.curves.frame["analyte"].unique(maintain_order=True).sort().to_list()):
        curves = calibration.curves.frame.filter(pl.col("analyte") == analyte).sort("plate").to_dicts()
        label = run.protocol.assays.readouts[analyte].label if analyte in run.protocol.assays.readouts else str(analyte)
        drawings.append(_drawing(draw_curves(curves, calibration.wells.frame, refused), f"curves-{k}", label))
    return tuple(drawings)


def _draw_sheets(run: Run) -> tuple[Drawing, ...]:
    shares = _median_shares(run)
    sketches = run.gating.sketches.frame
    return tuple(
        _drawing(draw_sheet(sketches.filter(pl.col("donor") == donor).to_dicts(), shares.get(donor, {})), f"sheet-{k}", str(donor))
        for k, donor in enumerate(sketches["donor"].unique().sort().to_list())
    )


def _median_shares(run: Run) -> dict[str, dict[str, float]]:
    """Median share of parent by donor and gate, over the donor's tubes."""
    tubes = run.gating.tubes.frame.select("file", "donor")
    held = run.gating.populations.frame.select("file", "path", "percent_of_parent").drop_nulls().join(tubes, on="file")
    gates = (
        held.with_columns(gate=pl.col("path").str.split("/").list.last())
        .group_by("donor", "gate")
        .agg(pl.col("percent_of_parent").median())
    )
    shares: dict[str, dict[str, float]] = {}
    for donor, gate, share in gates.sort("donor", "gate").iter_rows():
        shares.setdefault(str(donor), {})[str(gate)] = float(share)
    return shares


def _draw_verdicts(run: Run, words: Wording) -> tuple[Drawing, ...]:
    tiles = _tiles(run.calibration.verdicts.rows(), words)
    return (_drawing(draw_verdicts(tiles), "verdicts", words.say("heading", "verdicts")),) if tiles else ()


def _tiles(rows: Sequence[Mapping[str, object]], words: Wording) -> list[Tile]:
    held: dict[tuple[str, str, str], list[bool]] = {}
    accepted: dict[tuple[str, str], bool] = {}
    for row in rows:
        plate, analyte, rule = str(row["plate"]), str(row["analyte"]), str(row["rule"])
        held.setdefault((plate, analyte, rule), []).append(bool(row["passed"]))
        accepted[plate, analyte] = bool(row["accepted"])
    order = {rule: i for i, rule in enumerate(words.sections["rule"])}
    ordered = sorted(held, key=lambda key: (accepted[key[0], key[1]], key[1], key[0], order.get(key[2], len(order)), key[2]))
    return [
        Tile(
            f"{plate} · {analyte}",
            words.name("rule", rule),
            sum(held[plate, analyte, rule]),
            len(held[plate, analyte, rule]),
            accepted[plate, analyte],
        )
        for plate, analyte, rule in ordered
    ]
