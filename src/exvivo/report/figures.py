"""Tables in, chart specifications out: pairs, forests and the map of verdicts. One small function per figure.

Everything is computed before it is drawn. Domains hold every datum; an interval that would squeeze all others is
cut at a stated fold and ends in an arrow head.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from exvivo.report.axes import log_domain, log_ticks
from exvivo.report.numbers import print_interval, print_number
from exvivo.report.pairs import Pairs
from exvivo.report.theme import BLUE, DONOR_COLOURS, GREY, HAIR, INK, LIGHT, ORANGE, PALE, VERMILION, Figure, data_of

NUMBERS = ",~r"
WIDEST_FOLD = 16.0
UPRIGHT = {"triangle-left": "triangle-down", "triangle-right": "triangle-up"}

Row = dict[str, Any]
Interval = tuple[float | None, float | None, float | None]
"""Estimate and the ends of its interval; an absent end is open."""


def draw_pairs(panels: Sequence[Pairs], *, by_donor: bool = False, columns: int = 4) -> Figure:
    """Paired plots: each donor a line from comparator to drug, the ratio with its interval beside, on one ratio axis for all panels.

    Parameters
    ----------
    panels : one per readout
    by_donor : whether lines take the colour of the cells' donor (several sera for each donor)
    columns : panels in a row
    """
    drawn = {row["row"]: row for row in cut_intervals([_interval_of(panel.effect) for panel in panels])}
    domain = log_domain([1.0, *_ends(drawn.values())], pad=0.08)
    charts = [
        alt.hconcat(_draw_donors(panel, by_donor=by_donor), _draw_ratio(drawn.get(i), domain), spacing=8).properties(
            title=alt.TitleParams(f"{panel.label} ({panel.unit})" if panel.unit else panel.label, subtitle=_subtitle(panel))
        )
        for i, panel in enumerate(panels)
    ]
    return alt.concat(*charts, columns=columns, align="each")


def _interval_of(effect: Mapping[str, object]) -> Interval:
    estimate, low, high = (_real(effect.get(name)) for name in ("estimate", "ci_low", "ci_high"))
    return estimate, low, high


def _ends(drawn: Iterable[Row]) -> list[float]:
    return [row[name] for row in drawn for name in ("estimate", "low", "high") if row[name] is not None]


def _subtitle(panel: Pairs) -> list[str]:
    effect = panel.effect
    donors = len({point.donor for point in panel.points})
    several = f"{donors} donors, " if donors < panel.complete else ""
    pairs = f"{several}{panel.complete} pairs" + (f", {panel.incomplete} incomplete" if panel.incomplete else "")
    if isinstance(effect.get("estimate"), float):
        return [f"ratio {_ratio_of(effect)}", pairs]
    bound = print_interval(_real(effect.get("ci_low")), _real(effect.get("ci_high")))
    return [f"ratio {bound}" if bound else "ratio not estimable", pairs]


def _ratio_of(effect: Mapping[str, object]) -> str:
    estimate, low, high = _interval_of(effect)
    return f"{print_number(estimate)} ({print_interval(low, high)})"


def _real(value: object) -> float | None:
    return value if isinstance(value, float) else None


def _draw_donors(panel: Pairs, *, by_donor: bool) -> Figure:
    domain = log_domain([point.value for point in panel.points] or [1.0])
    donors = sorted({point.donor for point in panel.points})
    colours = {donor: DONOR_COLOURS[i % len(DONOR_COLOURS)] if by_donor else LIGHT for i, donor in enumerate(donors)}
    rows = [
        {"owner": p.owner, "arm": panel.arms[p.arm], "value": p.value, "bound": p.bound, "line": colours[p.donor],
         "dot": colours[p.donor] if by_donor else (INK, BLUE)[p.arm]}
        for p in panel.points
    ]  # fmt: skip
    x = alt.X(
        "arm:N", sort=list(panel.arms), title=None, scale=alt.Scale(domain=list(panel.arms), padding=0.35), axis=alt.Axis(labelAngle=0)
    )
    y = alt.Y(
        "value:Q",
        title=None,
        scale=alt.Scale(type="log", domain=list(domain), nice=False),
        axis=alt.Axis(values=log_ticks(domain), format=NUMBERS),
    )
    base = alt.Chart(data_of(rows)).encode(x=x, y=y)
    return alt.layer(
        base.mark_line(strokeWidth=0.8, opacity=0.75).encode(detail="owner:N", color=alt.Color("line:N", scale=None)),
        _dots(rows, x, y),
        _bounds(rows, x, y),
    ).properties(width=138, height=165)


def _dots(rows: list[Row], x: alt.X, y: alt.Y) -> alt.Chart:
    observed = [row for row in rows if not row["bound"]]
    dots: alt.Chart = alt.Chart(data_of(observed)).mark_circle(size=20, opacity=0.9).encode(x=x, y=y, color=alt.Color("dot:N", scale=None))
    return dots


def _bounds(rows: list[Row], x: alt.X, y: alt.Y) -> alt.Chart:
    censored = [row | {"shape": "triangle-down" if row["bound"] == "below" else "triangle-up"} for row in rows if row["bound"]]
    mark = alt.Chart(data_of(censored)).mark_point(size=42, filled=True, fill="white", strokeWidth=1.1)
    triangles: alt.Chart = mark.encode(x=x, y=y, shape=alt.Shape("shape:N", scale=None), stroke=alt.Stroke("dot:N", scale=None))
    return triangles


def _draw_ratio(row: Row | None, domain: tuple[float, float]) -> Figure:
    """Ratio and interval beside the donors, no effect as a dashed line."""
    scale = alt.Scale(type="log", domain=list(domain), nice=False)
    axis = alt.Axis(orient="right", values=log_ticks(domain), format=NUMBERS)
    held = [] if row is None else [row]
    observed = [one for one in held if one["estimate"] is not None]
    ends = [{**end, "shape": UPRIGHT[end["shape"]]} for one in held for end in one["ends"]]

    def at(field: str) -> alt.Y:
        return alt.Y(f"{field}:Q", title=None, scale=scale, axis=axis)

    middle = alt.value(13)
    return alt.layer(
        alt.Chart(data_of([{"one": 1.0}])).mark_rule(color=GREY, strokeDash=[3, 2], strokeWidth=0.8).encode(y=at("one")),
        alt.Chart(data_of(held)).mark_rule(color=INK, strokeWidth=1.2).encode(x=middle, y=at("low"), y2="high:Q"),
        alt.Chart(data_of(observed)).mark_square(color=INK, size=42, opacity=1).encode(x=middle, y=at("estimate")),
        alt.Chart(data_of(ends))
        .mark_point(filled=True, size=34, color=INK)
        .encode(x=middle, y=at("at"), shape=alt.Shape("shape:N", scale=None)),
    ).properties(width=26, height=165)


@dataclass(frozen=True, slots=True)
class ForestRow:
    """One line of a forest plot. ``tone``: head (a heading), main (black) or level (grey); ``texts`` stand right of the plot."""

    label: str
    tone: str
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    texts: tuple[str, ...] = ()


def draw_forest(rows: Sequence[ForestRow], heads: Sequence[str], axis_title: str, *, label_width: int = 290) -> Figure:
    """Forest plot: labels, ratios with intervals on a log axis, texts in columns.

    Parameters
    ----------
    rows : from top to bottom
    heads : head over the labels, then one for each text column
    axis_title : title of the ratio axis
    label_width : room for the labels, px
    """
    height = 18 * (len(rows) + 1)
    span = alt.Scale(domain=[-1.5, len(rows) - 0.5], reverse=True, nice=False, zero=False)
    y = alt.Y("row:Q", scale=span, axis=None)
    columns = [_column(_texts([heads[0], *(row.label for row in rows)], rows), y, (label_width, height), indent=12)]
    columns.append(_draw_intervals(rows, y, (axis_title, height)))
    for k, head in enumerate(heads[1:]):
        cells = [head, *(row.texts[k] if k < len(row.texts) else "" for row in rows)]
        columns.append(_column(_texts(cells, rows), y, (round(10 + 6.4 * max(map(len, cells))), height)))
    return alt.hconcat(*columns, spacing=10)


def _texts(cells: Sequence[str], rows: Sequence[ForestRow]) -> list[Row]:
    tones = ["head", *(row.tone for row in rows)]
    return [{"row": i - 1, "text": cell, "tone": tone} for i, (cell, tone) in enumerate(zip(cells, tones, strict=True))]


def _column(cells: list[Row], y: alt.Y, size: tuple[int, int], indent: int = 0) -> Figure:
    layers = [
        alt.Chart(data_of([cell for cell in cells if cell["tone"] == tone]))
        .mark_text(align="left", baseline="middle", fontWeight=700 if tone == "head" else 400, color=colour, dx=indent * (tone != "head"))
        .encode(x=alt.value(0), y=y, text="text:N")
        for tone, colour in (("head", INK), ("main", INK), ("level", GREY))
    ]
    return alt.layer(*layers).properties(width=size[0], height=size[1])


def _draw_intervals(rows: Sequence[ForestRow], y: alt.Y, size: tuple[str, int]) -> Figure:
    drawn = cut_intervals([(row.estimate, row.low, row.high) for row in rows])
    coloured = [row | {"colour": PALE if rows[row["row"]].tone == "level" else INK} for row in drawn]
    domain = log_domain([1.0, *_ends(drawn)], pad=0.05)
    scale = alt.Scale(type="log", domain=list(domain), nice=False)
    axis = alt.Axis(values=log_ticks(domain, 7), format=NUMBERS, orient="bottom")

    def at(field: str) -> alt.X:
        return alt.X(f"{field}:Q", title=size[0], scale=scale, axis=axis)

    colour = alt.Color("colour:N", scale=None)
    bars = alt.Chart(data_of(coloured)).encode(y=y, color=colour)
    points = alt.Chart(data_of([row for row in coloured if row["estimate"] is not None])).encode(y=y, color=colour)
    arrows = alt.Chart(data_of([{**row, **end} for row in coloured for end in row["ends"]])).encode(y=y, color=colour)
    return alt.layer(
        alt.Chart(data_of([{"one": 1.0}])).mark_rule(color=GREY, strokeDash=[3, 2], strokeWidth=0.8).encode(x=at("one")),
        bars.mark_rule(strokeWidth=1.2).encode(x=at("low"), x2="high:Q"),
        points.mark_square(size=44, opacity=1).encode(x=at("estimate")),
        arrows.mark_point(filled=True, size=34).encode(x=at("at"), shape=alt.Shape("shape:N", scale=None)),
    ).properties(width=300, height=size[1])


def cut_intervals(intervals: Sequence[Interval]) -> list[Row]:
    """Intervals as drawn, by position; those without any number are left out.

    One that reaches beyond ``WIDEST_FOLD`` of all estimates, or has no end, is cut and ends in an arrow head
    (``ends``), so that a single wide interval does not squeeze all others.
    """
    middles = [estimate for estimate, _, _ in intervals if estimate is not None]
    bounds = [end for estimate, *ends in intervals if estimate is None for end in ends if end is not None]
    least, most = min([1.0, *middles, *bounds]) / WIDEST_FOLD, max([1.0, *middles, *bounds]) * WIDEST_FOLD
    within = [1.0, *middles, *bounds, *(end for _, *ends in intervals for end in ends if end is not None and least <= end <= most)]
    open_low, open_high = max(least, min(within) / 1.3), min(most, max(within) * 1.3)
    drawn: list[Row] = []
    for i, (estimate, low, high) in enumerate(intervals):
        if estimate is None and low is None and high is None:
            continue
        start = open_low if low is None else max(low, least)
        stop = open_high if high is None else min(high, most)
        ends = [{"at": start, "shape": "triangle-left"}] if low is None or low < least else []
        ends += [{"at": stop, "shape": "triangle-right"}] if high is None or high > most else []
        drawn.append({"row": i, "estimate": estimate, "low": start, "high": stop, "ends": ends})
    return drawn


@dataclass(frozen=True, slots=True)
class Tile:
    """One plate and rule: how many of the rule's checks held, and whether the plate was accepted."""

    plate: str
    rule: str
    held: int
    checks: int
    accepted: bool


def draw_verdicts(tiles: Sequence[Tile]) -> Figure:
    """Map of plates against acceptance rules, in the order of the tiles."""
    plates = list(dict.fromkeys(tile.plate for tile in tiles))
    rules = list(dict.fromkeys(tile.rule for tile in tiles))
    rows = [{"plate": t.plate, "rule": t.rule, "text": f"{t.held}/{t.checks}", **_tone(t)} for t in tiles]
    base = alt.Chart(data_of(rows)).encode(
        x=alt.X("rule:N", sort=rules, title=None, axis=alt.Axis(orient="top", labelAngle=-35, ticks=False, domain=False, labelLimit=260)),
        y=alt.Y("plate:N", sort=plates, title=None, axis=alt.Axis(ticks=False, domain=False, labelLimit=300)),
    )
    tiles_mark = base.mark_rect(stroke="white", strokeWidth=2).encode(color=alt.Color("fill:N", scale=None))
    text = base.mark_text(fontSize=8.5).encode(text="text:N", color=alt.Color("ink:N", scale=None))
    return alt.layer(tiles_mark, text).properties(width=44 * len(rules), height=18 * len(plates))


def _tone(tile: Tile) -> dict[str, str]:
    if tile.held == tile.checks:
        return {"fill": HAIR, "ink": INK}
    return {"fill": ORANGE, "ink": INK} if tile.accepted else {"fill": VERMILION, "ink": "white"}
