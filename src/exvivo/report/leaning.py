"""Pairs and diagnostics -> what a registered ratio leans on: single donors, normality, plates.

Rules were fixed before any result was seen; what did not hold is marked, and changes nothing. Numbers come with the run
(``ratios``, ``diagnostics``); only the band of the normal plot is looked up here.
"""

import math
from collections.abc import Mapping

import numpy as np

from exvivo.numerics.normality import FEWEST, plot_normal
from exvivo.report.axes import linear_domain, log_domain, log_ticks
from exvivo.report.figures import NO_EFFECT, NUMBERS
from exvivo.report.numbers import print_interval, print_number, print_p
from exvivo.report.sections import Grid, GridRow, heads, percent, readout_label, real
from exvivo.report.theme import (
    BLUE,
    GREY,
    INK,
    LIGHT,
    SHADE,
    VERMILION,
    Row,
    Spec,
    downwards,
    draw,
    given,
    layer,
    linear_scale,
    log_scale,
    quantity,
    titled,
)
from exvivo.report.wording import Wording
from exvivo.study.run import Run
from exvivo.study.statuses import Diagnostic, RuleOutcome

Entry = Mapping[str, object]
Key = tuple[str, str, str]

SHARES = frozenset({Diagnostic.CENSORED, Diagnostic.SAME_PLATE})
LINE = 14


def list_diagnostics(run: Run, words: Wording) -> Grid:
    """One row per registered ratio, one column per diagnostic: what was found, marked where the rule did not hold."""
    found: dict[Key, dict[str, Entry]] = {}
    for row in run.effects.diagnostics.rows():
        found.setdefault(_key(row), {})[str(row["diagnostic"])] = row
    codes = [code for code in Diagnostic if any(code.value in held for held in found.values())]
    rows = []
    for effect in _registered(run):
        held = found.get(_key(effect), {})
        if held:
            failed = any(row["outcome_of_rule"] == RuleOutcome.FAILED for row in held.values())
            cells = [_print_found(code, held[code.value], words) if code.value in held else "" for code in codes]
            rows.append(GridRow((f"{effect['outcome']} {readout_label(effect, run.protocol)}", *cells), "warn" if failed else ""))
    return Grid((words.say("column", "readout"), *(words.say("diagnostic_head", code) for code in codes)), tuple(rows))


def _print_found(code: Diagnostic, row: Entry, words: Wording) -> str:
    observed = real(row["observed"])
    if code in SHARES:
        text = f"{percent(round(observed or 0.0, 3))} %"
    elif code in (Diagnostic.DONORS, Diagnostic.NORMAL_PLOT):
        text = f"{observed:.0f}"
    elif code is Diagnostic.SMALLEST_P:
        text = print_p(observed)
    else:
        text = print_number(observed)
    about = f" ({row['about']})" if row["about"] and code is not Diagnostic.LEVEL else ""
    mark = words.say("words", "rule_failed") if row["outcome_of_rule"] == RuleOutcome.FAILED else ""
    return f"{text}{about}{mark}"


def list_rules(run: Run, words: Wording) -> Grid:
    """Every diagnostic with its rule."""
    rules = run.protocol.analysis.rules
    values = {
        "min_pairs": rules.min_pairs,
        "alpha": f"{rules.alpha:g}",
        "max_fraction": percent(rules.censoring.max_fraction),
        "confidence": percent(rules.confidence),
    }
    rows = [GridRow((words.say("diagnostic", code), words.say("diagnostic_rule", code, values))) for code in Diagnostic]
    return Grid(heads(words, "looked_at", "rule"), tuple(rows))


def list_without(run: Run, words: Wording) -> Grid:
    """Range of every registered ratio when one donor is left out in turn."""
    rows = []
    for effect in _registered(run):
        left = ratios_without(run, effect)
        if left and real(effect["estimate"]) is not None:
            least, most = min(left, key=lambda name: left[name]), max(left, key=lambda name: left[name])
            cells = (
                f"{effect['outcome']} {readout_label(effect, run.protocol)}",
                print_number(real(effect["estimate"])),
                print_interval(real(effect["ci_low"]), real(effect["ci_high"])),
                f"{print_number(left[least])} ({least})",
                f"{print_number(left[most])} ({most})",
            )
            rows.append(GridRow(cells))
    interval = words.say("column", "interval", {"confidence": percent(run.protocol.analysis.rules.confidence)})
    return Grid(
        (*heads(words, "readout", "ratio"), interval, *heads(words, "least_without", "most_without")), tuple(rows), frozenset({1, 2})
    )


def ratios_without(run: Run, effect: Entry) -> dict[str, float]:
    """Ratio of a registered row without each donor in turn."""
    rows = [row for row in run.effects.ratios.rows() if _key(row) == _key(effect)]
    return {str(row["donor"]): value for row in rows if (value := real(row["ratio_without_donor"])) is not None}


def _registered(run: Run) -> list[dict[str, object]]:
    return [row for row in run.effects.effects.rows() if not row["modifier"]]


def _key(row: Entry) -> Key:
    return str(row["outcome"]), str(row["readout"]), str(row["contrast"])


def draw_without(run: Run, effect: Entry, words: Wording) -> Spec | None:
    """The ratio without each donor in turn, sorted, over the interval of the registered one."""
    left = sorted(ratios_without(run, effect).items(), key=lambda item: item[1])
    estimate, low, high = (real(effect[name]) for name in ("estimate", "ci_low", "ci_high"))
    if not left or estimate is None:
        return None
    ends = [end for end in (low, high) if end is not None]
    domain = log_domain([estimate, *ends, *(value for _, value in left)], pad=0.05, least_fold=1.3)
    axis = {"values": log_ticks(domain, 6), "format": NUMBERS}

    def at(field: str) -> Spec:
        return quantity(field, log_scale(domain), axis, words.say("words", "ratio_axis"))

    rows: list[Row] = [{"line": k, "name": name, "value": value} for k, (name, value) in enumerate(left)]
    down = quantity("line", downwards(len(rows)), None)
    band = [{"low": low or domain[0], "high": high or domain[1]}]
    views = [
        draw(band, {"type": "rect", "color": SHADE}, {"x": at("low"), "x2": {"field": "high"}}),
        draw([{"one": 1.0}] if domain[0] < 1 < domain[1] else [], NO_EFFECT, {"x": at("one")}),
        draw([{"at": estimate}], {"type": "rule", "color": BLUE, "strokeWidth": 1}, {"x": at("at")}),
        draw(rows, {"type": "circle", "size": 38, "color": INK, "opacity": 1}, {"x": at("value"), "y": down}),
        draw(rows, {"type": "text", "align": "right", "fontSize": 9.5}, {"x": {"value": -6}, "y": down, "text": {"field": "name"}}),
    ]
    title = words.say("words", "without_donor")
    return titled(layer(views, 330, max(120, LINE * len(rows))), title, words.say("words", "without_donor_note"))


def draw_normal(run: Run, effect: Entry, words: Wording) -> Spec | None:
    """Normal quantile plot of the donors' ln ratios with its band; None where there are too few measured ones."""
    by_donor: dict[str, list[float | None]] = {}
    for row in run.effects.ratios.rows():
        if _key(row) == _key(effect):
            by_donor.setdefault(str(row["donor"]), []).append(real(row["log_ratio"]))
    measured = {name: float(np.mean([v for v in own if v is not None])) for name, own in by_donor.items() if None not in own}
    values = list(measured.values())
    if len(values) < FEWEST or np.ptp(values) == 0:
        return None
    level = run.protocol.analysis.rules.confidence
    plot = plot_normal(values, level=level)
    centre, spread = float(np.mean(values)), float(np.std(values, ddof=1))
    names = list(measured)
    rows: list[Row] = []
    for k, place in enumerate(plot.order):
        outside = not plot.low[k] <= plot.values[k] <= plot.high[k]
        low, high = (math.exp(centre + spread * float(limit[k])) for limit in (plot.low, plot.high))
        rows.append(
            {"x": float(plot.expected[k]), "y": math.exp(values[place]), "low": low, "high": high,
             "line": math.exp(centre + spread * float(plot.expected[k])), "name": names[place] if outside else "",
             "ink": VERMILION if outside else INK}
        )  # fmt: skip
    return titled(_draw_quantiles(rows, words), words.say("words", "normal_plot"), _subtitle(len(values), len(by_donor), level, words))


def _subtitle(used: int, donors: int, level: float, words: Wording) -> list[str]:
    text = [words.say("words", "normal_plot_note", {"confidence": percent(level)})]
    return [*text, words.say("words", "normal_plot_censored", {"count": donors - used})] if used < donors else text


def _draw_quantiles(rows: list[Row], words: Wording) -> Spec:
    across = linear_scale(linear_domain([row["x"] for row in rows], 0.06))
    domain = log_domain([row[name] for row in rows for name in ("y", "low", "high")], pad=0.03)
    x = quantity("x", across, {"tickCount": 5}, words.say("words", "normal_quantile"))

    def at(field: str) -> Spec:
        return quantity(field, log_scale(domain), {"values": log_ticks(domain, 6), "format": NUMBERS}, words.say("words", "donor_ratio"))

    views = [
        draw(rows, {"type": "area", "color": SHADE, "opacity": 1}, {"x": x, "y": at("low"), "y2": {"field": "high"}}),
        draw(rows, {"type": "line", "color": LIGHT, "strokeWidth": 1}, {"x": x, "y": at("line")}),
        draw(rows, {"type": "circle", "size": 38, "opacity": 1}, {"x": x, "y": at("y"), "color": given("ink")}),
        draw([row for row in rows if row["name"]], {"type": "text", "align": "left", "dx": 6, "fontSize": 9.5, "color": GREY},
             {"x": x, "y": at("y"), "text": {"field": "name"}}),
    ]  # fmt: skip
    return layer(views, 330, 290)
