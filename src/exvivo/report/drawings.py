"""Run -> every figure of the report: first planned as specifications, then rendered in one loop that shows how far it is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl
from markupsafe import Markup

from exvivo.engine import Progress
from exvivo.report.chartfigures import collect_controls, draw_controls
from exvivo.report.curvefigures import draw_curves
from exvivo.report.figures import Tile, draw_forest, draw_modifiers, draw_pairs, draw_verdicts
from exvivo.report.gatefigures import draw_sheet
from exvivo.report.gatekeeping import draw_graph
from exvivo.report.leaning import draw_normal, draw_without
from exvivo.report.modifiers import forest_of_modifiers, forest_of_outcomes
from exvivo.report.pairs import PairGroup, collect_pairs
from exvivo.report.panel import collect_panels, draw_panel
from exvivo.report.sections import label_analyte, percent, readout_label
from exvivo.report.sharefigures import collect_shares, draw_shares
from exvivo.report.theme import Spec, beside, render_svg
from exvivo.report.wording import Wording
from exvivo.study.design import in_order
from exvivo.study.protocol import Protocol
from exvivo.study.run import Run
from exvivo.study.statuses import AGAINST

LABEL = "drawing"
PLACES = ("graph", "pairs", "overview", "shares", "modifiers", "panels", "leaning", "curves", "controls", "sheets", "verdicts")
"""Where figures stand in the report."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A figure to be rendered: place in the report, name unique in it, title, specification."""

    place: str
    name: str
    title: str
    figure: Spec


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure in the page: its title and its SVG."""

    title: str
    svg: Markup


def plan_drawings(run: Run, words: Wording) -> Iterator[Planned]:
    """Figures of a report in the order of its sections."""
    graph = draw_graph(run.protocol)
    if graph is not None:
        yield Planned("graph", "graph", words.say("heading", "graph"), graph)
    if not run.inputs.blinded:
        yield from _plan_pairs(run, words)
        yield from _plan_overview(run, words)
        yield from _plan_shares(run, words)
        yield from _plan_modifiers(run, words)
        yield from _plan_panels(run, words)
        yield from _plan_leaning(run, words)
    yield from _plan_curves(run)
    yield from _plan_controls(run, words)
    yield from _plan_sheets(run)
    yield from _plan_verdicts(run, words)


def render_drawings(planned: Sequence[Planned], progress: Progress) -> Mapping[str, tuple[Drawing, ...]]:
    """Figures by place."""
    progress.begin(LABEL, len(planned))
    rendered: dict[str, tuple[Drawing, ...]] = dict.fromkeys(PLACES, ())
    for one in planned:
        svg = Markup(render_svg(one.figure, one.name, one.title))  # noqa: S704  the renderer escapes text inside an SVG
        rendered[one.place] += (Drawing(one.title, svg),)
        progress.advance(LABEL)
    progress.end(LABEL, len(planned), 0)
    return rendered


def _plan_pairs(run: Run, words: Wording) -> Iterator[Planned]:
    for k, group in enumerate(group for group in collect_pairs(run) if any(panel.points for panel in group.panels)):
        yield Planned("pairs", f"pairs-{k}", _title_of(group, run.protocol, words), draw_pairs(group.panels, by_donor=group.by_donor))


def _title_of(group: PairGroup, protocol: Protocol, words: Wording) -> str:
    label = protocol.design.experiments[group.experiment].label
    return words.say("words", "experiment", {"name": group.experiment, "label": label}).strip()


def _plan_overview(run: Run, words: Wording) -> Iterator[Planned]:
    rows = forest_of_outcomes(run, words)
    if not any(row.tone == "main" for row in rows):
        return
    figure = draw_forest(rows, _forest_heads(run, words, "outcome", "p_adjusted"), words.say("words", "ratio_axis"), label_width=230)
    yield Planned("overview", "overview", words.say("prose", "forest"), figure)


def _forest_heads(run: Run, words: Wording, first: str, last: str) -> tuple[str, ...]:
    ratio = words.say("words", "ratio_ci", {"confidence": percent(run.protocol.analysis.rules.confidence)})
    return words.say("column", first), words.say("column", "donors"), ratio, words.say("column", last)


def _plan_shares(run: Run, words: Wording) -> Iterator[Planned]:
    rows = collect_shares(run)
    if rows:
        yield Planned("shares", "shares", words.say("words", "shares"), draw_shares(rows, words))


def _plan_modifiers(run: Run, words: Wording) -> Iterator[Planned]:
    rows = forest_of_modifiers(run, words)
    if not rows:
        return
    confidence = {"confidence": percent(run.protocol.analysis.rules.confidence)}
    first, donors, ratio = _forest_heads(run, words, "modifier", "p")[:3]
    heads = (first, donors, ratio, words.say("words", "change_ci", confidence), words.say("words", "interaction_p"))
    axes = words.say("words", "ratio_axis"), words.say("words", "change_axis")
    yield Planned("modifiers", "modifiers", words.say("prose", "forest_modifiers"), draw_modifiers(rows, heads, axes))


def _plan_panels(run: Run, words: Wording) -> Iterator[Planned]:
    for k, panel in enumerate(collect_panels(run, words)):
        column, height = (88, 250) if k == 0 else (42, 130)
        yield Planned("panels", f"panel-{k}", panel.label, draw_panel(panel, words, column=column, height=height))


def _plan_leaning(run: Run, words: Wording) -> Iterator[Planned]:
    """What the first registered ratio leans on: single donors, normality."""
    effect = next((row for row in run.effects.effects.rows() if not row["modifier"]), None)
    views = [] if effect is None else [draw_without(run, effect, words), draw_normal(run, effect, words)]
    drawn = [view for view in views if view is not None]
    if effect is not None and drawn:
        title = f"{effect['outcome']} {readout_label(effect, run.protocol)}"
        yield Planned("leaning", "leaning", title, beside(drawn, spacing=90))


def _plan_curves(run: Run) -> Iterator[Planned]:
    calibration = run.calibration
    refused = frozenset(row["plate"] for row in calibration.verdicts.frame.iter_rows(named=True) if not row["accepted"])
    for k, analyte in enumerate(calibration.curves.frame["analyte"].unique(maintain_order=True).sort().to_list()):
        curves = sorted(calibration.curves.frame.filter(pl.col("analyte") == analyte).to_dicts(), key=lambda row: in_order(row["plate"]))
        yield Planned("curves", f"curves-{k}", label_analyte(run, analyte), draw_curves(curves, calibration.wells.frame, refused))


def _plan_controls(run: Run, words: Wording) -> Iterator[Planned]:
    for k, analyte in enumerate(run.calibration.controls.frame["analyte"].unique().sort().to_list()):
        figure = draw_controls(collect_controls(run.calibration, analyte, run.protocol.assays.rules.qc_tolerance_pct), words)
        if figure is not None:
            yield Planned("controls", f"controls-{k}", label_analyte(run, analyte), figure)


def _plan_sheets(run: Run) -> Iterator[Planned]:
    shares = _median_shares(run)
    rules = run.protocol.panels.rules
    order = {gate.name: i for i, gate in enumerate(rules.gates)} if rules else {}
    by_donor: dict[str, list[dict[str, object]]] = {}
    for row in run.gating.sketches.rows():
        by_donor.setdefault(str(row["donor"]), []).append(row)
    experiments = dict(run.outcomes.frame.select("donor", "experiment").drop_nulls().sort("experiment", descending=True).iter_rows())
    listed = sorted(by_donor.items(), key=lambda item: (experiments.get(item[0], "~"), in_order(item[0])))
    for k, (donor, sketches) in enumerate(listed):
        parents_first = sorted(sketches, key=lambda row: order.get(str(row["gate"]), len(order)))
        yield Planned("sheets", f"sheet-{k}", donor, draw_sheet(parents_first, shares.get(donor, {})))


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


def _plan_verdicts(run: Run, words: Wording) -> Iterator[Planned]:
    tiles = _tiles(run.calibration.verdicts.rows(), words)
    if tiles:
        yield Planned("verdicts", "verdict-map", words.say("heading", "verdicts"), draw_verdicts(tiles))


def _tiles(rows: Sequence[Mapping[str, object]], words: Wording) -> list[Tile]:
    held: dict[tuple[str, str, str], list[bool]] = {}
    accepted: dict[tuple[str, str], bool] = {}
    for row in rows:
        plate, analyte, rule = str(row["plate"]), str(row["analyte"]), str(row["rule"])
        held.setdefault((plate, analyte, rule), []).append(row["outcome"] not in AGAINST)
        accepted[plate, analyte] = bool(row["accepted"])
    order = {rule: i for i, rule in enumerate(words.sections["rule"])}
    ordered = sorted(held, key=lambda key: (accepted[key[0], key[1]], key[1], in_order(key[0]), order.get(key[2], len(order)), key[2]))
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
