"""Effects -> the specification curve of a registered ratio: every way in which it was estimated, side by side and sorted.

Above the ratios with their intervals, the registered one marked; below the choices that make each of them, one row per
choice, and p. Only choices in which the specifications differ are shown. Ratios that leave donors out in turn have a
figure of their own, since their range is no confidence interval.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exvivo.report.axes import log_domain, log_ticks
from exvivo.report.figures import NO_EFFECT, NUMBERS, UPRIGHT, cut_intervals
from exvivo.report.numbers import print_p
from exvivo.report.sections import readout_label, real
from exvivo.report.theme import BLUE, HAIR, INK, LIGHT, SHADE, Row, Spec, below, downwards, draw, given, layer, log_scale, quantity, titled
from exvivo.report.wording import Wording
from exvivo.study.model import FlowReadout
from exvivo.study.run import Run
from exvivo.study.statuses import EffectRole, EffectStatus, Method

Entry = Mapping[str, object]

LINE = 15
CENSORED = frozenset({Method.CENSORED, Method.CENSORED_CROSSED, Method.SIGN_TEST, Method.INTERVAL_RANK})
DIMENSIONS = ("method", "limits", "donors", "curves", "sera", "statistic")


@dataclass(frozen=True, slots=True)
class Specification:
    """One way of estimating: ratio and interval as far as they exist, p, donors, and its choice in every dimension."""

    registered: bool
    estimate: float | None
    low: float | None
    high: float | None
    p: float | None
    donors: str
    choices: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Panel:
    """Specifications of one registered ratio, sorted; those without a ratio come last."""

    label: str
    specifications: tuple[Specification, ...]


def collect_panels(run: Run, words: Wording) -> tuple[Panel, ...]:
    """A panel for every registered ratio without modifier that has something beside it, in registry order."""
    beside = run.effects.supplementary.rows()
    panels = []
    for row in run.effects.effects.rows():
        if row["modifier"] or row["status"] not in (EffectStatus.ESTIMATED, EffectStatus.BOUND_ONLY):
            continue
        same = [other for other in beside if _belongs(other, row)]
        if same:
            specifications = [_specify(each, row, same, run) for each in (row, *same)]
            ordered = sorted(specifications, key=lambda one: (one.estimate is None, one.estimate or 0.0, not one.registered))
            panels.append(Panel(f"{row['outcome']} {readout_label(row, run.protocol)}", tuple(ordered)))
    return tuple(_in_words(panel, words) for panel in panels)


def _belongs(other: Entry, row: Entry) -> bool:
    told = other["status"] in (EffectStatus.ESTIMATED, EffectStatus.BOUND_ONLY) and other["method"] != Method.LEAVE_ONE_OUT
    return (
        told and other["role"] != EffectRole.LEVEL and all(other[key] == row[key] for key in ("outcome", "readout", "modifier", "contrast"))
    )


def _specify(row: Entry, registered: Entry, beside: Sequence[Entry], run: Run) -> Specification:
    first = row is registered
    detail = _detail(row)
    curves = any(_detail(other).get("ignores") == "calibration" or other["method"] == Method.IMPUTED for other in beside)
    marker = isinstance(run.protocol.analysis.readouts[str(row["readout"])], FlowReadout)
    choices = {
        "method": str(row["method"]),
        "limits": _limits(row, detail),
        "donors": "single" if row["method"] == Method.MIXED_UNPAIRED else "complete",
        "curves": "drawn" if row["method"] == Method.IMPUTED else "carried" if first and curves else "left-out",
        "sera": "means" if detail.get("ignores") == "serum_donor" or row["method"] == Method.DONOR_MEANS else "random",
        "statistic": str(detail.get("statistic", "delta" if marker else "")),
    }
    single = detail.get("single_condition_donors")
    donors = f"{row['donors']} + {single}" if single else str(row["donors"] or "")
    return Specification(first, real(row["estimate"]), real(row["ci_low"]), real(row["ci_high"]), real(row["p"]), donors, choices)


def _detail(row: Entry) -> Mapping[str, object]:
    held = json.loads(str(row["detail"])) if row["detail"] else {}
    return held if isinstance(held, dict) else {}


def _limits(row: Entry, detail: Mapping[str, object]) -> str:
    """What was done with values beyond their limits."""
    if row["method"] in CENSORED:
        return "bounds"
    if row["method"] == Method.HALF_LLOQ:
        return "half"
    return "dropped" if detail.get("censored_left_out") else "none"


def _in_words(panel: Panel, words: Wording) -> Panel:
    """The panel with the choices of those dimensions in which its specifications differ, in words."""
    differing = [name for name in DIMENSIONS if len({one.choices[name] for one in panel.specifications}) > 1]
    told = tuple(
        Specification(
            one.registered, one.estimate, one.low, one.high, one.p, one.donors,
            {words.say("panel", name): words.say("short_method" if name == "method" else f"panel_{name}", one.choices[name])
             for name in differing},
        )
        for one in panel.specifications
    )  # fmt: skip
    return Panel(panel.label, told)


def draw_panel(panel: Panel, words: Wording, *, column: int, height: int) -> Spec:
    """Specification curve; ``column`` is the width of one specification, ``height`` that of the ratios, px."""
    width = column * len(panel.specifications)
    x = {"domain": [-0.5, len(panel.specifications) - 0.5], "nice": False, "zero": False}
    marked = [{"left": i - 0.5, "right": i + 0.5} for i, one in enumerate(panel.specifications) if one.registered]
    views = [_draw_ratios(panel, x, marked, words, (width, height)), _draw_choices(panel, x, marked, words, width)]
    return titled(below(views, spacing=8), panel.label, "")


def _draw_ratios(panel: Panel, x: Spec, marked: Sequence[Row], words: Wording, size: tuple[int, int]) -> Spec:
    held = panel.specifications
    drawn = cut_intervals([_interval(one) for one in held])
    rows = [row | {"ink": BLUE if held[row["row"]].registered else INK} for row in drawn]
    registered = [row for row in rows if held[row["row"]].registered and row["estimate"] is not None]
    ends = [row[name] for row in drawn for name in ("estimate", "low", "high") if row[name] is not None]
    domain = log_domain([1.0, *ends], pad=0.05)
    axis = {"values": log_ticks(domain, 6), "format": NUMBERS}
    arrows = [{**end, "row": row["row"], "ink": row["ink"], "shape": UPRIGHT[end["shape"]]} for row in rows for end in row["ends"]]

    def at(field: str) -> Spec:
        return quantity(field, log_scale(domain), axis, words.say("words", "ratio_axis"))

    across, colour = quantity("row", x, None), given("ink")
    views = [
        _shade(marked, x),
        draw([{"one": 1.0}], NO_EFFECT, {"y": at("one")}),
        draw(registered, {"type": "rule", "color": BLUE, "strokeWidth": 0.7, "opacity": 0.6}, {"y": at("estimate")}),
        draw(rows, {"type": "rule", "strokeWidth": 1.3}, {"x": across, "y": at("low"), "y2": {"field": "high"}, "color": colour}),
        draw(arrows, {"type": "point", "filled": True, "size": 30}, {"x": across, "y": at("at"), "shape": given("shape"), "color": colour}),
        draw([row for row in rows if row["estimate"] is not None], {"type": "circle", "size": 46, "opacity": 1},
             {"x": across, "y": at("estimate"), "color": colour}),
    ]  # fmt: skip
    return layer(views, *size)


def _interval(one: Specification) -> tuple[float | None, float | None, float | None]:
    """Estimate and ends; a test that gives no interval has none, which is not one without ends."""
    bare = one.low is None and one.high is None
    return (one.estimate, one.estimate, one.estimate) if bare else (one.estimate, one.low, one.high)


def _shade(marked: Sequence[Row], x: Spec) -> Spec:
    """The column of the registered specification."""
    return draw(marked, {"type": "rect", "color": SHADE}, {"x": quantity("left", x, None), "x2": {"field": "right"}})


def _draw_choices(panel: Panel, x: Spec, marked: Sequence[Row], words: Wording, width: int) -> Spec:
    """A dot where a specification makes a choice, a pale one where it does not; p and donors below."""
    held = panel.specifications
    listed: dict[str, dict[str, None]] = {}
    for one in held:
        for name, choice in one.choices.items():
            listed.setdefault(name, {})[choice] = None
    lines = [entry for name, choices in listed.items() for entry in ((name, ""), *((name, choice) for choice in choices))]
    dots = [
        {"row": i, "line": k, "ink": (BLUE if one.registered else INK) if one.choices[name] == choice else HAIR}
        for k, (name, choice) in enumerate(lines)
        for i, one in enumerate(held)
        if choice
    ]
    foot = [words.say("column", "donors"), words.say("column", "p")]
    cells = [
        {"row": i, "line": len(lines) + k, "text": text, "ink": BLUE if one.registered else INK}
        for i, one in enumerate(held)
        for k, text in enumerate((one.donors, print_p(one.p)))
    ]
    height = LINE * (len(lines) + len(foot))
    down = quantity("line", downwards(len(lines) + len(foot)), None)
    names = [*((choice or name, not choice) for name, choice in lines), *((text, True) for text in foot)]
    labels = [{"line": k, "text": text, "weight": bold} for k, (text, bold) in enumerate(names)]
    across = quantity("row", x, None)
    views = [
        _shade(marked, x),
        draw(dots, {"type": "circle", "size": 42, "opacity": 1}, {"x": across, "y": down, "color": given("ink")}),
        draw(cells, {"type": "text", "fontSize": 9.5}, {"x": across, "y": down, "text": {"field": "text"}, "color": given("ink")}),
        draw([{"line": len(lines) - 0.5}], {"type": "rule", "color": LIGHT, "strokeWidth": 0.7}, {"y": down}),
        *(
            draw([row for row in labels if row["weight"] == bold],
                 {"type": "text", "align": "right", "fontSize": 10, "fontWeight": 700 if bold else 400},
                 {"x": {"value": -8}, "y": down, "text": {"field": "text"}})
            for bold in (True, False)
        ),
    ]  # fmt: skip
    return layer(views, width, height)
