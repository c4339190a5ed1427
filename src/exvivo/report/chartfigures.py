"""Calibration -> control charts of an analyte's QCs, one panel per QC, plates in their order (Levey and Jennings).

Where the study has enough plates for a target, a chart shows the distance from it in SDs, with the rules that were broken
beside the point. Before that it shows the results themselves in per cent of the nominal concentration: a few plates have
no limits of their own, and none are drawn for them.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

import polars as pl

from exvivo.report.numbers import print_nominal, print_number, shorten_names
from exvivo.report.theme import (
    GREY,
    HAIR,
    INK,
    PALE,
    VERMILION,
    Spec,
    draw,
    given,
    layer,
    linear_scale,
    quantity,
    titled,
    wrapped,
)
from exvivo.report.wording import Wording
from exvivo.study.design import WellRole, in_order
from exvivo.study.run import Calibration
from exvivo.study.statuses import ChartKind

Row = Mapping[str, Any]

FEWEST = 2
"""Plates below which there is nothing to follow."""

MOST_NAMED = 10
"""Plates up to which the axis tells their names; beyond, their places in the order."""

FARTHEST = 6.0
"""SDs beyond which a point is drawn at the edge."""

WARNING, LIMIT = 2.0, 3.0
GRAVEST = ("1-3s", "R-4s", "2-2s", "4-1s", "10-x")
"""Westgard's rules beyond the warning, the gravest first."""

ROOM = 6
"""Plates from one written rule to the next."""

HEIGHT, LEAST_WIDTH, MOST_WIDTH, WIDTH_EACH = 130, 270, 330, 12
NAME_LENGTH, TITLE_LENGTH = 16, 34
POINT = {"type": "point", "filled": True, "opacity": 1, "strokeWidth": 1.1}


@dataclass(frozen=True, slots=True)
class Controls:
    """QCs of one analyte from plate to plate.

    Parameters
    ----------
    rows : CONTROLS rows of its QCs
    nominal : nominal concentration by QC, where maps tell one
    refused : plates that were not accepted
    unit : of its concentrations
    tolerance_pct : what the rule for a QC's recovery allows
    """

    rows: tuple[Row, ...]
    nominal: Mapping[str, float]
    refused: frozenset[str]
    unit: str
    tolerance_pct: float

    def key(self) -> list[object]:
        """Everything that its charts depend on."""
        return [list(map(dict, self.rows)), dict(self.nominal), sorted(self.refused), self.unit, self.tolerance_pct]


def collect_controls(calibration: Calibration, analyte: str, tolerance_pct: float) -> Controls:
    """QCs of one analyte over all plates."""
    of_analyte = pl.col("analyte") == analyte
    rows = calibration.controls.frame.filter(of_analyte & (pl.col("kind") == ChartKind.QC)).sort("control", "order")
    wells = calibration.wells.frame.filter(of_analyte & (pl.col("role") == WellRole.QC))
    levels = wells.select("specimen", "nominal").drop_nulls().unique().sort("specimen", "nominal")
    nominal = {name: levels.filter(pl.col("specimen") == name)["nominal"].to_list() for name in levels["specimen"].unique().to_list()}
    refused = calibration.verdicts.frame.filter(of_analyte & ~pl.col("accepted"))["plate"].to_list()
    units = calibration.curves.frame.filter(of_analyte)["unit"].drop_nulls().to_list()
    one = {name: float(values[0]) for name, values in sorted(nominal.items()) if len(values) == 1}
    return Controls(tuple(rows.iter_rows(named=True)), one, frozenset(refused), str(units[0]) if units else "", tolerance_pct)


def draw_controls(controls: Controls, words: Wording, *, plate: str | None = None, columns: int = 3) -> Spec | None:
    """Control charts of one analyte; None where fewer than two plates hold one of its QCs.

    Parameters
    ----------
    controls : QCs of the analyte
    words : texts
    plate : plate that stands out among the others
    columns : panels in a row
    """
    by_name: dict[str, list[Row]] = {}
    for row in controls.rows:
        by_name.setdefault(str(row["control"]), []).append(row)
    held = [by_name[name] for name in sorted(by_name, key=lambda name: (controls.nominal.get(name, math.inf), in_order(name)))]
    panels = [_draw_panel(rows, controls, words, plate) for rows in held if len(rows) >= FEWEST]
    return wrapped(panels, min(columns, len(panels))) if panels else None


def has_targets(controls: Controls) -> bool:
    """Whether some plate has a target to be judged by."""
    return any(row["z"] is not None for row in controls.rows)


@dataclass(frozen=True, slots=True)
class _Axis:
    """What a panel shows of a value: a number, the ends, lines and ticks of its axis, the axis' title, a line below the panel's name."""

    numbers: tuple[float | None, ...]
    domain: tuple[float, float]
    lines: tuple[Spec, ...]
    ticks: tuple[float, ...]
    title: str
    told: str


def _draw_panel(rows: Sequence[Row], controls: Controls, words: Wording, plate: str | None) -> Spec:
    axis = _in_sds(rows, controls, words) if any(row["z"] is not None for row in rows) else _in_percent(rows, controls, words)
    places = [int(row["order"]) for row in rows]
    ends = (min(places) - 0.6, max(places) + 0.6)
    points = list(_points(rows, axis, controls, plate))
    known = [point for point in points if not point["empty"]]
    width = min(MOST_WIDTH, max(LEAST_WIDTH, WIDTH_EACH * (places[-1] - places[0] + 1)))
    x, y = quantity("x", linear_scale(ends), _order_axis(rows), words.say("charts", "plates") if len(rows) > MOST_NAMED else None), _y(axis)
    text = {"type": "text", "fontSize": 9, "color": VERMILION, "align": "right", "dx": 7}
    at = {"x": x, "y": y("y")}
    views = [
        draw([{"x": row["order"]} for row in rows if row["plate"] == plate],
             {"type": "rule", "strokeWidth": 9, "color": HAIR, "strokeDash": [1, 0]}, {"x": x}),
        draw(axis.lines, {"type": "rule", "strokeWidth": 0.9}, {"y": y("at"), "strokeDash": _dash(), "color": given("ink")}),
        draw(known, {"type": "line", "strokeWidth": 0.8, "color": PALE}, at),
        draw(points, POINT, {**at, **{name: given(name) for name in ("shape", "fill", "stroke", "size")}}),
        draw([point for point in known if point["told"] and point["y"] >= 0], {**text, "dy": -9}, {**at, "text": {"field": "told"}}),
        draw([point for point in known if point["told"] and point["y"] < 0], {**text, "dy": 10}, {**at, "text": {"field": "told"}}),
    ]  # fmt: skip
    name = shorten_names([str(rows[0]["control"])], TITLE_LENGTH)[0]
    return titled(layer(views, width, HEIGHT), name, axis.told)


def _y(axis: _Axis) -> Any:  # noqa: ANN401  a channel maker
    def channel(field: str) -> Spec:
        return quantity(
            field, linear_scale(axis.domain), {"values": list(axis.ticks)} if axis.ticks else {"tickCount": 5, "format": "~f"}, axis.title
        )

    return channel


def _dash() -> Spec:
    return {"field": "dash", "type": "nominal", "scale": {"domain": [0, 1], "range": [[1, 0], [4, 3]]}, "legend": None}


def _order_axis(rows: Sequence[Row]) -> Spec:
    """Names of the plates where there is room for them, else their places in the order."""
    if len(rows) > MOST_NAMED:
        return {"tickMinStep": 1, "tickCount": 8, "format": "d"}
    places = [int(row["order"]) for row in rows]
    names = dict(zip(map(str, places), shorten_names([str(row["plate"]) for row in rows], NAME_LENGTH), strict=True))
    return {"values": places, "labelExpr": f"({json.dumps(names)})[datum.value]", "labelAngle": -40, "labelAlign": "right"}


def _in_sds(rows: Sequence[Row], controls: Controls, words: Wording) -> _Axis:
    """Distance from the target in SDs, with the lines of the warning and of the limit."""
    scores = tuple(None if row["z"] is None else max(-FARTHEST, min(FARTHEST, float(row["z"]))) for row in rows)
    most = max(LIMIT + 0.6, *(abs(score) for score in scores if score is not None))
    lines = [_line(0.0, GREY, 0), *(_line(at, GREY, 1) for at in (-WARNING, WARNING)), *(_line(at, VERMILION, 1) for at in (-LIMIT, LIMIT))]
    target = median(float(row["target"]) for row in rows if row["target"] is not None)
    sd = median(float(row["sd"]) for row in rows if row["sd"] is not None)
    values = {"target": print_number(math.exp(target)), "unit": controls.unit, "cv": print_number(100 * sd, 2)}
    told = words.say("charts", "target", values)
    ticks = (-LIMIT, -WARNING, 0.0, WARNING, LIMIT)
    return _Axis(scores, (-1.2 * most, 1.2 * most), tuple(lines), ticks, words.say("charts", "axis_sd"), told)


def _in_percent(rows: Sequence[Row], controls: Controls, words: Wording) -> _Axis:
    """Results in per cent of the nominal concentration, or of their geometric mean where none is told."""
    values = [float(row["value"]) for row in rows if row["value"] is not None]
    nominal = controls.nominal.get(str(rows[0]["control"]))
    centre = math.log(nominal) if nominal else (fmean(values) if values else 0.0)
    numbers = tuple(None if row["value"] is None else 100 * math.exp(float(row["value"]) - centre) - 100 for row in rows)
    tolerance = controls.tolerance_pct if nominal else 0.0
    lines = [_line(0.0, GREY, 0), *(_line(at, GREY, 1) for at in (-tolerance, tolerance) if tolerance)]
    most = max(10.0, 1.2 * tolerance, *(1.1 * abs(number) for number in numbers if number is not None))
    mean = math.exp(fmean(values)) if values else None
    told = {"nominal": print_nominal(nominal), "unit": controls.unit, "mean": print_number(mean)}
    key = "nominal" if nominal else "mean"
    return _Axis(numbers, (-most, most), tuple(lines), (), words.say("charts", f"axis_{key}"), words.say("charts", key, told))


def _line(at: float, ink: str, dash: int) -> Spec:
    return {"at": at, "ink": ink, "dash": dash}


def _points(rows: Sequence[Row], axis: _Axis, controls: Controls, plate: str | None) -> Iterator[Spec]:
    """One point per plate: a triangle where a rule is broken, hollow on a refused plate, a cross at the edge without a value.

    The gravest rule is written at the first plate of a series, where there is room; on the chart of one plate only there.
    """
    room, before = -ROOM, False
    for row, number in zip(rows, axis.numbers, strict=True):
        held = str(row["rules"] or "").split(",")
        broken = [rule for rule in GRAVEST if rule in held]
        refused = row["plate"] in controls.refused
        ink = VERMILION if broken else (INK if plate in {None, row["plate"]} else PALE)
        sign = ("triangle-up" if (number or 0.0) > 0 else "triangle-down") if broken else "circle"
        first = not before and int(row["order"]) - room >= ROOM
        told = broken[0] if broken and (first if plate is None else row["plate"] == plate) else ""
        before = bool(broken)
        room = int(row["order"]) if told else room
        yield {
            "x": int(row["order"]), "y": axis.domain[0] if number is None else number, "empty": number is None,
            "shape": "cross" if number is None else sign, "fill": "white" if refused else ink, "stroke": ink,
            "size": (62 if row["plate"] == plate else 34) + (20 if broken else 0), "told": told,
        }  # fmt: skip
