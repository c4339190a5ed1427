"""A plate's standard curve with all its wells, the residuals beside it, and the precision of a result along it.

All three share one axis of concentration on the plate, before dilution. A zero standard has no place on a log axis and
stands at its left edge, under the label 0; readings beyond an asymptote stand as triangles at the edge they point to.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from exvivo.numerics.curves import Curve
from exvivo.report.axes import linear_domain, log_domain, log_ticks
from exvivo.report.bench import PlateView
from exvivo.report.numbers import print_number
from exvivo.report.plategrids import is_left_out, standardise_wells
from exvivo.report.rebuilding import lay_bands, profile_cv
from exvivo.report.theme import (
    BLUE,
    GREEN,
    GREY,
    INK,
    LIGHT,
    ORANGE,
    SKY,
    VERMILION,
    Spec,
    draw,
    given,
    layer,
    linear_scale,
    log_scale,
    quantity,
    titled,
)
from exvivo.report.wording import Wording
from exvivo.study.design import WellRole
from exvivo.study.statuses import WellStatus

Row = Mapping[str, Any]

WIDTH, HEIGHT, LOW_HEIGHT, SIDE_WIDTH = 640, 360, 120, 420
STEPS = 140
EDGE = 2.5
"""The place of zero lies this factor below the lowest standard."""

REACH = 2.0
"""The axis ends this factor above the highest standard: what lies further is extrapolated, and drawn at the edge."""

FARTHEST = 6.0
"""Standard deviations beyond which a residual is drawn at the edge."""

MOST_CV = 60.0
SIGN = {"type": "point", "filled": True, "strokeWidth": 1.1, "opacity": 1}
LOOK = {channel: given(channel) for channel in ("shape", "fill", "stroke", "size")}
BANDS = ("low", "high", "least", "most")
RULE = {"type": "rule", "strokeDash": [4, 3], "strokeWidth": 0.9, "color": GREY}


@dataclass(frozen=True, slots=True)
class Span:
    """The axis of concentration of a plate: its ends, where zero stands, the lowest and the highest standard, the unit."""

    low: float
    high: float
    zero: float
    least: float
    most: float
    unit: str

    @classmethod
    def of(cls, view: PlateView, words: Wording) -> "Span":
        """Axis around the standards; around the curve's middle when there are none."""
        nominal = [row["nominal"] for row in view.own if row["role"] == WellRole.STANDARD and row["nominal"]]
        if not nominal:
            middle = 1.0 if view.curve is None else math.exp(float(view.curve.parameters[2]))
            nominal = [middle / 10, middle * 10]
        zero = min(nominal) / EDGE
        low, high = log_domain([zero, max(nominal) * REACH], pad=0.02)
        return cls(low, high, zero, min(nominal), max(nominal), view.unit or words.say("words", "as_given"))

    @property
    def curve_ends(self) -> tuple[float, float]:
        """Where the drawn curve begins and ends."""
        return self.zero * 1.3, self.most * REACH

    def place(self, concentration: float) -> float:
        """Position of a concentration: itself, zero's place, or an edge."""
        return min(max(concentration, self.zero), self.curve_ends[1])

    def x(self, field: str, title: str, ticks: int = 5) -> Spec:
        """Channel of the axis."""
        values = [tick for tick in log_ticks((self.least * 0.9, self.high), ticks) if tick > self.zero * 1.5]
        axis = {"values": [self.zero, *values], "labelExpr": f"datum.value < {self.zero * 1.01} ? '0' : format(datum.value, ',~r')"}
        return quantity(field, log_scale((self.low, self.high)), axis, title)


def draw_curve(view: PlateView, words: Wording) -> Spec:
    """Standard curve with its bands, standards, QC and specimens with their intervals, limits of quantification."""
    span = Span.of(view, words)
    points = [point for row in view.own if (point := _point(row, span))]
    line = [] if view.curve is None else _line(view.curve, span)
    line, domain = _cut_line(line, [row["signal"] for row in points])
    y_scale, highest = linear_scale(domain), domain[1]

    def x(field: str) -> Spec:
        return span.x(field, words.say("plate", "axis_concentration", {"label": view.label, "unit": span.unit}))

    def y(field: str) -> Spec:
        return quantity(field, y_scale, {"tickCount": 5, "format": "~g"}, words.say("words", "signal"))

    at = {"x": x("x"), "y": y("signal")}
    bounds = [point for point in points if point["kind"] == "specimen" and "low" in point]
    views = [
        draw(line, {"type": "area", "color": LIGHT, "opacity": 0.35}, {"x": x("x"), "y": y("least"), "y2": {"field": "most"}}),
        draw(line, {"type": "area", "color": SKY, "opacity": 0.45}, {"x": x("x"), "y": y("low"), "y2": {"field": "high"}}),
        *_limit_layers(view, span, x, y, highest),
        draw(line, {"type": "line", "color": BLUE, "strokeWidth": 1.4}, {"x": x("x"), "y": y("y")}),
        draw(bounds, {"type": "rule", "color": ORANGE, "strokeWidth": 0.8, "opacity": min(0.75, 40 / max(len(bounds), 1))},
             {"x": x("low"), "x2": {"field": "high"}, "y": y("signal")}),
        draw(points, SIGN, {**at, **LOOK}),
    ]  # fmt: skip
    note = words.say("plate", "curve_note") if view.curve is not None else words.say("reason", "no-curve")
    return titled(layer(views, WIDTH, HEIGHT), words.say("plate", "curve"), note.split("\n"))


def draw_residuals(view: PlateView, words: Wording) -> Spec:
    """Standardised residuals of standards, blanks and QC along the axis of concentration."""
    span = Span.of(view, words)
    residuals = standardise_wells(view)
    points = []
    for row in view.own:
        if row["well"] in residuals and row["role"] != WellRole.SPECIMEN:
            residual = residuals[row["well"]]
            cut = max(-FARTHEST, min(FARTHEST, residual))
            shape = ("triangle-up" if residual > 0 else "triangle-down") if cut != residual else None
            points.append({**_look(row, shape), "x": span.place(row["nominal"] or 0.0), "residual": cut})
    most = max(3.0, *(abs(point["residual"]) for point in points)) if points else 3.0
    scale = linear_scale((-1.08 * most, 1.08 * most))

    def y(field: str) -> Spec:
        return quantity(field, scale, {"values": [-4, -2, 0, 2, 4], "format": "+d"}, words.say("plate", "axis_residual"))

    x = span.x("x", words.say("plate", "axis_concentration", {"label": view.label, "unit": span.unit}))
    rules = [{"at": -2.0}, {"at": 2.0}]
    views = [
        draw([{"at": 0.0}], {"type": "rule", "color": GREY, "strokeWidth": 0.8}, {"y": y("at")}),
        draw(rules, RULE, {"y": y("at")}),
        draw(points, SIGN, {"x": x, "y": y("residual"), **LOOK}),
    ]  # fmt: skip
    return titled(layer(views, WIDTH, LOW_HEIGHT), words.say("plate", "residuals"), words.say("plate", "residuals_note"))


def draw_precision(view: PlateView, words: Wording) -> Spec:
    """Precision profile: coefficient of variation of a result along the axis, with the limit that defines LLOQ and ULOQ."""
    span = Span.of(view, words)
    lines = [] if view.curve is None else _profile(view, span)
    top = max([1.5 * view.max_cv_pct, *(min(row["cv"], MOST_CV) for row in lines)])
    scale = linear_scale((0.0, top * 1.03))

    def x(field: str) -> Spec:
        return span.x(field, words.say("plate", "axis_concentration", {"label": view.label, "unit": span.unit}))

    def y(field: str) -> Spec:
        return quantity(field, scale, {"tickCount": 5}, words.say("plate", "axis_cv"))

    strokes = {"field": "dash", "type": "nominal", "scale": {"domain": [0, 1], "range": [[1, 0], [2, 2]]}, "legend": None}
    views = [
        draw([{"at": view.max_cv_pct}], {"type": "rule", "color": VERMILION, "strokeWidth": 0.9}, {"y": y("at")}),
        *_limit_layers(view, span, x, y, top),
        draw([row for row in lines if row["cv"] <= top], {"type": "line", "strokeWidth": 1.4, "color": BLUE},
             {"x": x("x"), "y": y("cv"), "strokeDash": strokes}),
    ]  # fmt: skip
    values = {"count": view.replicates, "limit": f"{view.max_cv_pct:g}"}
    note = words.say("plate", "precision_note" if view.replicates > 1 else "precision_note_single", values)
    return titled(layer(views, SIDE_WIDTH, 190), words.say("plate", "precision"), note)


def draw_glance(view: PlateView, words: Wording) -> Spec:
    """The curve alone, small: standards, band, limits of quantification."""
    span = Span.of(view, words)
    line = [] if view.curve is None else _line(view.curve, span)
    points = [point for row in view.own if (point := _point(row, span)) and point["kind"] == "known"]
    line, domain = _cut_line(line, [point["signal"] for point in points])
    y_scale = linear_scale(domain)
    limits = [{"limit": span.place(limit)} for limit in view.limits if limit is not None]

    def y(field: str) -> Spec:
        return quantity(field, y_scale, {"tickCount": 3, "format": "~g"})

    x, small = span.x("x", "", 3), {"type": "point", "filled": True, "strokeWidth": 1}
    views = [
        draw(limits, RULE, {"x": span.x("limit", "", 3)}),
        draw(line, {"type": "area", "color": SKY, "opacity": 0.45}, {"x": x, "y": y("low"), "y2": {"field": "high"}}),
        draw(line, {"type": "line", "color": BLUE, "strokeWidth": 1.2}, {"x": x, "y": y("y")}),
        draw(points, {**small, "size": 18},
             {"x": x, "y": y("signal"), "shape": given("shape"), "fill": given("fill"), "stroke": given("stroke")}),
    ]  # fmt: skip
    return layer(views, 215, 120)


def _profile(view: PlateView, span: Span) -> list[Spec]:
    """Rows of the profile for a result from the usual number of wells, and from one."""
    if view.curve is None:
        return []
    x = np.geomspace(*span.curve_ends, STEPS)
    rows = []
    for dash, wells in ((0, view.replicates), (1, 1)):
        if dash and view.replicates == 1:
            continue
        cv = profile_cv(view.curve, np.log(x), wells)
        rows += [{"x": float(x[i]), "cv": float(cv[i]), "dash": dash} for i in np.flatnonzero(np.isfinite(cv))]
    return rows


def _line(curve: Curve, span: Span) -> list[Spec]:
    x = np.geomspace(*span.curve_ends, STEPS)
    bands = lay_bands(curve, np.log(x))
    keep = np.flatnonzero(np.isfinite(bands.signal) & np.isfinite(bands.prediction))
    return [
        {
            "x": float(x[i]), "y": float(bands.signal[i]),
            "low": float(bands.signal[i] - bands.mean[i]), "high": float(bands.signal[i] + bands.mean[i]),
            "least": float(bands.signal[i] - bands.prediction[i]), "most": float(bands.signal[i] + bands.prediction[i]),
        }
        for i in keep
    ]  # fmt: skip


def _cut_line(line: Sequence[Spec], signals: Sequence[float]) -> tuple[list[Spec], tuple[float, float]]:
    """The line with its bands cut a quarter of the range beyond readings and curve, and the axis of signals.

    A curve that the standards do not determine has bands without bounds.
    """
    core = [*signals, *(row["y"] for row in line)] or [0.0, 1.0]
    low, high = min(core), max(core)
    room = 0.25 * (high - low)
    cut = [{**row, **{name: min(max(row[name], low - room), high + room) for name in BANDS}} for row in line]
    return cut, linear_domain([*core, *(row[name] for row in cut for name in BANDS)])


def _limit_layers(view: PlateView, span: Span, x: Any, y: Any, top: float) -> list[Spec]:  # noqa: ANN401  two channel makers
    names = [(name, limit) for name, limit in zip(("LLOQ", "ULOQ"), view.limits, strict=True) if limit is not None]
    rows = [
        {"limit": span.place(limit), "text": f"{name} {print_number(limit)}", "top": top, "side": name == "ULOQ"} for name, limit in names
    ]
    text = {"type": "text", "fontSize": 9.5, "color": GREY, "baseline": "top", "dy": 2}
    place = {"x": x("limit"), "y": y("top"), "text": {"field": "text"}}
    return [
        draw(rows, RULE, {"x": x("limit")}),
        draw([row for row in rows if not row["side"]], {**text, "align": "left", "dx": 4}, place),
        draw([row for row in rows if row["side"]], {**text, "align": "right", "dx": -4}, place),
    ]


def _point(row: Row, span: Span) -> Spec | None:
    """One well on the curve's plane; None when it has no signal."""
    if row["signal"] is None or row["role"] in {None, WellRole.EMPTY}:
        return None
    if row["role"] != WellRole.SPECIMEN:
        if row["nominal"] is None:
            return None
        return {**_look(row, None), "kind": "known", "x": span.place(row["nominal"]), "signal": row["signal"]}
    fold = row["dilution"] or 1.0
    ends = [None if row[name] is None else row[name] / fold for name in ("ci_low", "ci_high")]
    concentration = None if row["concentration"] is None else row["concentration"] / fold
    shape = None
    if concentration is None:
        concentration = span.zero if ends[0] is None else span.curve_ends[1]
        shape = "triangle-left" if ends[0] is None else "triangle-right"
    elif not span.zero <= concentration <= span.curve_ends[1]:
        shape = "triangle-left" if concentration < span.zero else "triangle-right"
    low, high = span.zero if ends[0] is None else ends[0], span.curve_ends[1] if ends[1] is None else ends[1]
    point = {**_look(row, shape), "kind": "specimen", "x": span.place(concentration), "signal": row["signal"]}
    return {**point, "low": span.place(low), "high": span.place(high)}


def _look(row: Row, shape: str | None) -> Spec:
    """Shape and colours of a well: standards round, QC diamonds, specimens small; hollow when left out."""
    hollow = is_left_out(row) or row["status"] == WellStatus.MASKED
    if row["role"] == WellRole.SPECIMEN:
        return {"shape": shape or "circle", "fill": "white", "stroke": ORANGE, "size": 16}
    if row["role"] == WellRole.QC:
        return {"shape": shape or "diamond", "fill": GREEN, "stroke": GREEN, "size": 52}
    return {"shape": shape or "circle", "fill": "white" if hollow else INK, "stroke": VERMILION if hollow else INK, "size": 30}
