"""Tables in, chart specifications out: pairs, forests and the map of verdicts. One small function per figure.

Everything is computed before it is drawn. Domains hold every datum; an interval that would squeeze all others is
cut at a stated fold and ends in an arrow head.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from exvivo.report.axes import log_domain, log_ticks
from exvivo.report.numbers import print_interval, print_number
from exvivo.report.pairs import Pairs
from exvivo.report.theme import (
    BLUE,
    DONOR_COLOURS,
    GREY,
    HAIR,
    INK,
    ORANGE,
    PALE,
    VERMILION,
    Row,
    Spec,
    beside,
    draw,
    given,
    layer,
    log_scale,
    quantity,
    titled,
    wrapped,
)

NUMBERS = ",~r"
WIDEST_FOLD = 16.0
TALL = 165
NO_EFFECT = {"type": "rule", "color": GREY, "strokeDash": [3, 2], "strokeWidth": 0.8}
BOUND_SHAPES = {"below": "triangle-down", "above": "triangle-up", "between": "diamond"}
UPRIGHT = {"triangle-left": "triangle-down", "triangle-right": "triangle-up"}

DIAMOND = {"type": "line", "interpolate": "linear-closed", "fill": BLUE, "stroke": BLUE, "strokeWidth": 1, "fillOpacity": 1}

Interval = tuple[float | None, float | None, float | None]
"""Estimate and the ends of its interval; an absent end is open."""

NOTHING: Interval = (None, None, None)


def draw_pairs(panels: Sequence[Pairs], *, by_donor: bool = False, columns: int = 4) -> Spec:
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
        titled(
            beside([_draw_donors(panel, by_donor=by_donor), _draw_ratio(drawn.get(i), domain)], spacing=8),
            f"{panel.label} ({panel.unit})" if panel.unit else panel.label,
            _subtitle(panel),
        )
        for i, panel in enumerate(panels)
    ]
    return wrapped(charts, columns)


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


def _draw_donors(panel: Pairs, *, by_donor: bool) -> Spec:
    spans = [end for point in panel.points for end in point.span or ()]
    domain = log_domain([*(point.value for point in panel.points), *spans] or [1.0])
    donors = sorted({point.donor for point in panel.points})
    colours = {donor: DONOR_COLOURS[i % len(DONOR_COLOURS)] if by_donor else PALE for i, donor in enumerate(donors)}
    rows: list[Row] = [
        {"owner": p.owner, "arm": panel.arms[p.arm], "value": p.value, "bound": p.bound, "line": colours[p.donor],
         "dot": colours[p.donor] if by_donor else (INK, BLUE)[p.arm], "ends": p.span}
        for p in panel.points
    ]  # fmt: skip
    arms = list(panel.arms)
    x_axis = {"labelAngle": 0}
    y_axis = {"values": log_ticks(domain), "format": NUMBERS}

    def at(field: str) -> Spec:
        return quantity(field, log_scale(domain), y_axis)

    place = {
        "x": {
            "field": "arm",
            "type": "nominal",
            "title": None,
            "sort": arms,
            "scale": {"type": "point", "domain": arms, "padding": 0.35},
            "axis": x_axis,
        },
        "y": at("value"),
    }
    observed = [row for row in rows if not row["bound"]]
    censored = [row | {"shape": BOUND_SHAPES[row["bound"]]} for row in rows if row["bound"]]
    spread = [row | {"low": row["ends"][0], "high": row["ends"][1]} for row in rows if row["ends"]]
    hollow = {"type": "point", "size": 42, "filled": True, "fill": "white", "strokeWidth": 1.1}
    views = [
        draw(rows, {"type": "line", "strokeWidth": 0.8, "opacity": 0.75}, place | {"detail": {"field": "owner"}, "color": given("line")}),
        draw(spread, {"type": "rule", "strokeWidth": 1.1}, place | {"y": at("low"), "y2": {"field": "high"}, "color": given("dot")}),
        draw(observed, {"type": "circle", "size": 20, "opacity": 0.9}, place | {"color": given("dot")}),
        draw(censored, hollow, place | {"shape": given("shape"), "stroke": given("dot")}),
    ]
    return layer(views, 138, TALL)


def _draw_ratio(row: Row | None, domain: tuple[float, float]) -> Spec:
    """Ratio and interval beside the donors, no effect as a dashed line."""
    scale = log_scale(domain)
    axis = {"orient": "right", "values": log_ticks(domain), "format": NUMBERS, "title": "ratio"}
    held = [] if row is None else [row]
    observed = [one for one in held if one["estimate"] is not None]
    ends = [{**end, "shape": UPRIGHT[end["shape"]]} for one in held for end in one["ends"]]
    x = {"x": {"value": 13}}
    views = [
        draw([{"one": 1.0}], NO_EFFECT, {"y": quantity("one", scale, axis)}),
        draw(held, {"type": "rule", "color": INK, "strokeWidth": 1.2}, x | {"y": quantity("low", scale, axis), "y2": {"field": "high"}}),
        draw(observed, {"type": "square", "color": INK, "size": 42, "opacity": 1}, x | {"y": quantity("estimate", scale, axis)}),
        draw(
            ends,
            {"type": "point", "filled": True, "size": 34, "color": INK},
            x | {"y": quantity("at", scale, axis), "shape": given("shape")},
        ),
    ]
    return layer(views, 26, TALL)


@dataclass(frozen=True, slots=True)
class ForestRow:
    """One line of a forest plot. ``tone``: head (a heading) or main; ``texts`` stand right of the plot."""

    label: str
    tone: str
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    texts: tuple[str, ...] = ()


def draw_forest(rows: Sequence[ForestRow], heads: Sequence[str], axis_title: str, *, label_width: int = 290) -> Spec:
    """Forest plot: labels, ratios with intervals on a log axis, texts in columns.

    Parameters
    ----------
    rows : from top to bottom
    heads : head over the labels, then one for each text column
    axis_title : title of the ratio axis
    label_width : room for the labels, px
    """
    height = 18 * (len(rows) + 1)
    span = {"domain": [-1.5, len(rows) - 0.5], "reverse": True, "nice": False, "zero": False}
    y = quantity("row", span, None)
    columns = [_column(_texts([heads[0], *(row.label for row in rows)], rows), y, (label_width, height), indent=12)]
    columns.append(_draw_intervals(rows, y, (axis_title, height)))
    for k, head in enumerate(heads[1:]):
        cells = [head, *(row.texts[k] if k < len(row.texts) else "" for row in rows)]
        columns.append(_column(_texts(cells, rows), y, (round(10 + 6.4 * max(map(len, cells))), height)))
    return beside(columns, spacing=10)


def _texts(cells: Sequence[str], rows: Sequence[ForestRow]) -> list[Row]:
    tones = ["head", *(row.tone for row in rows)]
    return [{"row": i - 1, "text": cell, "tone": tone} for i, (cell, tone) in enumerate(zip(cells, tones, strict=True))]


def _column(cells: list[Row], y: Spec, size: tuple[int, int], indent: int = 0) -> Spec:
    place = {"x": {"value": 0}, "y": y, "text": {"field": "text", "type": "nominal"}}
    mark = {"type": "text", "align": "left", "baseline": "middle"}
    looks: dict[str, Spec] = {
        "head": {"fontWeight": 700, "color": INK},
        "main": {"color": INK, "dx": indent},
        "overall": {"fontWeight": 700, "color": BLUE},
    }
    return layer([draw([cell for cell in cells if cell["tone"] == tone], mark | look, place) for tone, look in looks.items()], *size)


def _draw_intervals(rows: Sequence[ForestRow], y: Spec, size: tuple[str, int]) -> Spec:
    drawn = cut_intervals([(row.estimate, row.low, row.high) for row in rows])
    domain = log_domain([1.0, *_ends(drawn)], pad=0.05)
    axis = {"values": log_ticks(domain, 7), "format": NUMBERS, "orient": "bottom"}

    def at(field: str) -> Spec:
        return quantity(field, log_scale(domain), axis, size[0])

    place = {"y": y}
    arrows = [{**row, **end} for row in drawn for end in row["ends"]]
    points = [row for row in drawn if row["estimate"] is not None]
    views = [
        draw([{"one": 1.0}], NO_EFFECT, {"x": at("one")}),
        draw(drawn, {"type": "rule", "strokeWidth": 1.2, "color": INK}, place | {"x": at("low"), "x2": {"field": "high"}}),
        draw(points, {"type": "square", "size": 44, "opacity": 1, "color": INK}, place | {"x": at("estimate")}),
        draw(arrows, {"type": "point", "filled": True, "size": 34, "color": INK}, place | {"x": at("at"), "shape": given("shape")}),
    ]
    return layer(views, 300, size[1])


@dataclass(frozen=True, slots=True)
class ModifierRow:
    """One line of the forest of modifiers.

    ``tone``: head (a modifier), main (a level or slope) or overall (all donors, drawn as a diamond). ``ratio`` and ``shrunken``
    stand on the axis of ratios, ``modification`` on that of ratios of ratios, hollow where it is not the registered one.
    ``texts``: donors, ratio, ratio of ratios, p.
    """

    label: str
    tone: str
    ratio: Interval = NOTHING
    shrunken: float | None = None
    modification: Interval = NOTHING
    hollow: bool = False
    texts: tuple[str, str, str, str] = ("", "", "", "")


MODIFIER_PARTS = (200, 36, 170, 114, 110, 124, 66)
"""Widths of the forest's columns, px: labels, donors, ratios, their text, ratios of ratios, their text, p."""


def draw_modifiers(rows: Sequence[ModifierRow], heads: Sequence[str], axes: tuple[str, str]) -> Spec:
    """Forest of modifiers: the ratio at each level, shrunken marks under it, all donors as a diamond; the ratio of ratios on an own axis.

    Parameters
    ----------
    rows : from top to bottom
    heads : over labels, donors, ratios, ratios of ratios and p
    axes : titles of the two axes
    """
    labels, donors, ratios, ratio_texts, changes, change_texts, p = MODIFIER_PARTS
    height = 18 * (len(rows) + 1)
    y = quantity("row", {"domain": [-1.5, len(rows) - 0.5], "reverse": True, "nice": False, "zero": False}, None)
    tones = ["head", *(row.tone for row in rows)]

    def column(cells: Sequence[str], width: int, indent: int = 0) -> Spec:
        texts = [{"row": i - 1, "text": cell, "tone": tone} for i, (cell, tone) in enumerate(zip(cells, tones, strict=True))]
        return _column(texts, y, (width, height), indent)

    def texts_at(place: int, head: str, width: int) -> Spec:
        return column([head, *(row.texts[place] for row in rows)], width)

    level_marks = [_Mark(row.ratio, row.tone, row.shrunken) for row in rows]
    change_marks = [_Mark(row.modification, "hollow" if row.hollow else "main") for row in rows]
    columns = [
        column([heads[0], *(row.label for row in rows)], labels, indent=12),
        texts_at(0, heads[1], donors),
        _draw_marks(level_marks, y, (axes[0], ratios, height)),
        texts_at(1, heads[2], ratio_texts),
        _draw_marks(change_marks, y, (axes[1], changes, height)),
        texts_at(2, heads[3], change_texts),
        texts_at(3, heads[4], p),
    ]
    return {**beside(columns, spacing=9), "bounds": "flush"}


@dataclass(frozen=True, slots=True)
class _Mark:
    """What one line shows on one axis; ``look``: main, overall or hollow."""

    interval: Interval
    look: str
    shrunken: float | None = None


def _draw_marks(marks: Sequence[_Mark], y: Spec, size: tuple[str, int, int]) -> Spec:
    title, width, height = size
    drawn = cut_intervals([mark.interval for mark in marks])
    shrunken = [{"row": i + 0.3, "at": mark.shrunken} for i, mark in enumerate(marks) if mark.shrunken is not None]
    domain = log_domain([1.0, *_ends(drawn), *(row["at"] for row in shrunken)], pad=0.06)
    axis = {"values": log_ticks(domain, 5), "format": NUMBERS, "orient": "bottom"}

    def at(field: str) -> Spec:
        return quantity(field, log_scale(domain), axis, title)

    overall = [row for row in drawn if marks[row["row"]].look == "overall" and row["estimate"] is not None]
    lines = [row for row in drawn if row not in overall]
    points = [row for row in lines if row["estimate"] is not None]
    arrows = [{**row, **end} for row in lines for end in row["ends"]]
    ring = {"type": "point", "filled": True, "fill": "white", "stroke": INK, "strokeWidth": 1.1}
    views = [
        draw([{"one": 1.0}], NO_EFFECT, {"x": at("one")}),
        draw([{"all": row["estimate"]} for row in overall], {"type": "rule", "color": BLUE, "strokeWidth": 0.8}, {"x": at("all")}),
        draw(lines, {"type": "rule", "strokeWidth": 1.2, "color": INK}, {"y": y, "x": at("low"), "x2": {"field": "high"}}),
        *(
            draw(
                [row for row in points if (marks[row["row"]].look == "hollow") is hollow],
                {"shape": "square", "size": 40, **ring} if hollow else {"type": "square", "size": 46, "opacity": 1, "color": INK},
                {"y": y, "x": at("estimate")},
            )
            for hollow in (False, True)
        ),
        draw(shrunken, {"shape": "circle", "size": 34, **ring}, {"y": y, "x": at("at")}),
        draw(arrows, {"type": "point", "filled": True, "size": 34, "color": INK}, {"y": y, "x": at("at"), "shape": given("shape")}),
        *(draw(_diamond(row), DIAMOND, {"y": y, "x": at("at"), "order": {"field": "corner", "type": "quantitative"}}) for row in overall),
    ]
    return layer(views, width, height)


def _diamond(row: Row) -> list[Row]:
    """Corners from the interval's lower end around."""
    corners = [(row["low"], 0.0), (row["estimate"], -0.32), (row["high"], 0.0), (row["estimate"], 0.32)]
    return [{"corner": i, "at": x, "row": row["row"] + dy} for i, (x, dy) in enumerate(corners)]


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


def draw_verdicts(tiles: Sequence[Tile]) -> Spec:
    """Map of plates against acceptance rules, in the order of the tiles."""
    plates = list(dict.fromkeys(tile.plate for tile in tiles))
    rules = list(dict.fromkeys(tile.rule for tile in tiles))
    rows = [{"plate": t.plate, "rule": t.rule, "text": f"{t.held}/{t.checks}", **_tone(t)} for t in tiles]
    axis = {"ticks": False, "domain": False, "labelLimit": 300}
    place = {
        "x": {"field": "rule", "type": "nominal", "title": None, "sort": rules, "axis": axis | {"orient": "top", "labelAngle": -35}},
        "y": {"field": "plate", "type": "nominal", "title": None, "sort": plates, "axis": axis},
    }
    views = [
        draw(rows, {"type": "rect", "stroke": "white", "strokeWidth": 2}, place | {"color": given("fill")}),
        draw(rows, {"type": "text", "fontSize": 9}, place | {"text": {"field": "text", "type": "nominal"}, "color": given("ink")}),
    ]
    return layer(views, 48 * len(rules), 19 * len(plates))


def _tone(tile: Tile) -> dict[str, str]:
    if tile.held == tile.checks:
        return {"fill": HAIR, "ink": INK}
    return {"fill": ORANGE, "ink": INK} if tile.accepted else {"fill": VERMILION, "ink": "white"}
