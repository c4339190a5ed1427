"""Concentrations of a plate with their intervals, and beside the reader's own: one row or point for each."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from exvivo.report.axes import log_domain, log_ticks
from exvivo.report.bench import PlateView
from exvivo.report.numbers import print_number, shorten_names
from exvivo.report.theme import (
    BLUE,
    GREEN,
    GREY,
    HAIR,
    INK,
    ORANGE,
    VERMILION,
    Spec,
    beside,
    draw,
    given,
    layer,
    linear_scale,
    log_scale,
    quantity,
    titled,
)
from exvivo.report.wording import Wording
from exvivo.study.design import WellRole, in_order
from exvivo.study.statuses import SpecimenStatus

Row = Mapping[str, Any]

ROW_HEIGHT = 14
INTERVALS_WIDTH, NAME_WIDTH, TEXT_WIDTH = 270, 86, 150
COLUMN_ROWS = 24
NAME_LENGTH = 15
WIDEST_FOLD = 20.0
"""Intervals are cut this factor beyond all estimates, and end in an arrow head."""

ROLES = {"standard": (INK, "circle"), "blank": (INK, "circle"), "qc": (GREEN, "diamond"), "specimen": (ORANGE, "circle")}


@dataclass(frozen=True, slots=True)
class Drawn:
    """One specimen as drawn: estimate and ends on the axis, None where there are none, and what is written beside it."""

    name: str
    text: str
    middle: float | None
    low: float | None
    high: float | None
    open_low: bool
    open_high: bool
    sure: bool


def draw_concentrations(view: PlateView, words: Wording, columns: int = 2) -> Spec | None:
    """Intervals of all specimens, in several columns on one common axis.

    Filled: between the limits of quantification; hollow: an estimate outside of them; arrow heads: open or cut ends. None when
    no specimen has anything to draw.
    """
    if not any(_shows(row) for row in view.concentrations):
        return None
    rows = sorted(view.concentrations, key=lambda row: in_order(str(row["specimen"])))
    domain = _domain(rows)
    names = shorten_names([str(row["specimen"]) for row in rows], NAME_LENGTH)
    drawn = [_drawn(row, name, domain, words) for row, name in zip(rows, names, strict=True)]
    height = math.ceil(len(drawn) / columns) if len(drawn) > COLUMN_ROWS else len(drawn)
    parts = [drawn[k : k + height] for k in range(0, len(drawn), height)]
    title = words.say("plate", "axis_specimen", {"label": view.label, "unit": view.unit or words.say("words", "as_given")})
    panels = [_panel(part, height, domain, title) for part in parts]
    return titled(beside(panels, 26), words.say("plate", "concentrations"), words.say("plate", "concentrations_note"))


def tell_concentration(row: Row, words: Wording) -> str:
    """A specimen's result in one cell: value with interval, bound, or why there is none."""
    status = row["status"]
    if status == SpecimenStatus.QUANTIFIED:
        low, high = (None if row[name] is None else print_number(row[name]) for name in ("ci_low", "ci_high"))
        span = f"{low} to {high}" if low and high else f"up to {high}" if high else f"from {low}" if low else words.say("words", "no_bound")
        return f"{print_number(row['concentration'])} ({span})"
    bound = row["upper_bound"] if status == SpecimenStatus.BELOW_LLOQ else row["lower_bound"]
    if status in {SpecimenStatus.BELOW_LLOQ, SpecimenStatus.ABOVE_ULOQ} and bound is not None:
        return words.say("words", "below" if status == SpecimenStatus.BELOW_LLOQ else "above", {"bound": print_number(math.exp(bound))})
    return words.name("short_reason", row["reason"]) or words.say("specimen_status", status)


def _domain(rows: Sequence[Row]) -> tuple[float, float]:
    """Ends of the axis: all estimates and bounds, intervals as far as they may reach."""
    core = [value for row in rows for value in _anchors(row) if value > 0]
    if not core:
        return 1.0, 10.0
    least, most = min(core) / WIDEST_FOLD, max(core) * WIDEST_FOLD
    ends = [row[name] for row in rows for name in ("ci_low", "ci_high") if row[name] and _shows(row)]
    return log_domain([*core, *(end for end in ends if least <= end <= most)], pad=0.05)


def _shows(row: Row) -> bool:
    return row["status"] in {SpecimenStatus.QUANTIFIED, SpecimenStatus.BELOW_LLOQ, SpecimenStatus.ABOVE_ULOQ}


def _anchors(row: Row) -> list[float]:
    if not _shows(row):
        return []
    bounds = [math.exp(row[name]) for name in ("lower_bound", "upper_bound") if row[name] is not None]
    within = row["status"] == SpecimenStatus.QUANTIFIED
    return bounds + ([row["concentration"]] if within and row["concentration"] else [])


def _drawn(row: Row, name: str, domain: tuple[float, float], words: Wording) -> Drawn:
    text = tell_concentration(row, words)
    if not _shows(row):
        return Drawn(name, text, None, None, None, open_low=False, open_high=False, sure=False)
    low, high = row["ci_low"], row["ci_high"]
    if row["concentration"] is None and low is None and high is None:
        bound = row["upper_bound"] if row["upper_bound"] is not None else row["lower_bound"]
        low, high = (None, math.exp(bound)) if row["upper_bound"] is not None else (math.exp(bound or 0.0), None)
    middle = row["concentration"] if row["concentration"] and domain[0] <= row["concentration"] <= domain[1] else None
    return Drawn(
        name=name,
        text=text,
        middle=middle,
        low=_clamp(low or domain[0], domain),
        high=_clamp(high or domain[1], domain),
        open_low=not low or low < domain[0],
        open_high=not high or high > domain[1],
        sure=row["status"] == SpecimenStatus.QUANTIFIED,
    )


def _clamp(value: float, domain: tuple[float, float]) -> float:
    return min(max(value, domain[0]), domain[1])


def _panel(drawn: Sequence[Drawn], height: int, domain: tuple[float, float], title: str) -> Spec:
    """Names, intervals and numbers of some specimens."""
    size = height * ROW_HEIGHT
    down = linear_scale((height, 0))
    places = [{"at": k + 0.5, "name": one.name, "text": one.text, "from": domain[0], "to": domain[1]} for k, one in enumerate(drawn)]
    y = quantity("at", down, None)
    names = draw(
        places, {"type": "text", "align": "right", "fontSize": 9.5}, {"y": y, "x": {"value": NAME_WIDTH}, "text": {"field": "name"}}
    )
    numbers = draw(places, {"type": "text", "align": "left", "fontSize": 9.5}, {"y": y, "x": {"value": 0}, "text": {"field": "text"}})

    def x(field: str) -> Spec:
        return quantity(field, log_scale(domain), {"values": log_ticks(domain, 4), "format": ",~r", "orient": "bottom"}, title)

    rules = [{"at": k + 0.5, "low": one.low, "high": one.high} for k, one in enumerate(drawn) if one.low is not None]
    middles = [
        {"at": k + 0.5, "x": one.middle, "fill": INK if one.sure else "white"} for k, one in enumerate(drawn) if one.middle is not None
    ]
    ends = [{"at": k + 0.5, "x": one.low, "shape": "triangle-left"} for k, one in enumerate(drawn) if one.open_low]
    ends += [{"at": k + 0.5, "x": one.high, "shape": "triangle-right"} for k, one in enumerate(drawn) if one.open_high]
    plot = layer(
        [
            draw(places, {"type": "rule", "color": HAIR, "strokeWidth": 0.7}, {"y": y, "x": x("from"), "x2": {"field": "to"}}),
            draw(rules, {"type": "rule", "color": BLUE, "strokeWidth": 1.8}, {"y": y, "x": x("low"), "x2": {"field": "high"}}),
            draw(ends, {"type": "point", "filled": True, "size": 26, "color": BLUE}, {"y": y, "x": x("x"), "shape": given("shape")}),
            draw(middles, {"type": "point", "filled": True, "size": 13, "stroke": INK, "strokeWidth": 1},
                 {"y": y, "x": x("x"), "fill": given("fill")}),
        ],
        INTERVALS_WIDTH,
        size,
    )  # fmt: skip
    return beside([layer([names], NAME_WIDTH, size), plot, layer([numbers], TEXT_WIDTH, size)], 6)


# ------------------------------------------------------------------------------------------- the reader's own numbers


@dataclass(frozen=True, slots=True)
class Agreement:
    """Ratios of our concentrations to the reader's: how many, geometric mean and limits of agreement; None below two."""

    count: int
    mean: float | None
    low: float | None
    high: float | None
    left_out: int


def measure_agreement(rows: Sequence[Row]) -> Agreement:
    """Geometric mean of ours / vendor and the limits that hold 95 % of ratios (Bland and Altman 1986, on logs).

    >>> both = [{"vendor": 1.0, "ours": 1.1}, {"vendor": 2.0, "ours": 1.8}, {"vendor": None, "ours": 1.0}]
    >>> agreement = measure_agreement(both)
    >>> agreement.count, agreement.left_out, round(agreement.mean, 4)
    (2, 1, 0.995)
    """
    logs = np.array([math.log(row["ours"] / row["vendor"]) for row in rows if _comparable(row)])
    if logs.size < 2:
        return Agreement(int(logs.size), None, None, None, len(rows) - int(logs.size))
    middle, half = float(logs.mean()), 1.959964 * float(logs.std(ddof=1))
    return Agreement(int(logs.size), math.exp(middle), math.exp(middle - half), math.exp(middle + half), len(rows) - int(logs.size))


def _comparable(row: Row) -> bool:
    return bool(row["vendor"] and row["ours"] and row["vendor"] > 0 and row["ours"] > 0)


def draw_comparison(view: PlateView, words: Wording) -> Spec | None:
    """Ratio of our concentrations to those that the export holds, against the latter; None when it holds none."""
    agreement = measure_agreement(view.comparison)
    if agreement.mean is None or agreement.low is None or agreement.high is None:
        return None
    roles = {row["well"]: row["role"] for row in view.own}
    points = []
    for row in view.comparison:
        if _comparable(row):
            colour, shape = ROLES[roles[row["well"]] or WellRole.SPECIMEN]
            points.append({"x": row["vendor"], "ratio": row["ours"] / row["vendor"], "colour": colour, "shape": shape})
    x_domain = log_domain([point["x"] for point in points])
    ratios = [point["ratio"] for point in points]
    y_domain = log_domain([*ratios, agreement.low, agreement.high, 1.0], least_fold=1.1)
    unit = view.unit or words.say("words", "as_given")

    def y(field: str) -> Spec:
        return quantity(field, log_scale(y_domain), {"values": log_ticks(y_domain, 5)}, words.say("plate", "axis_ratio"))

    x = quantity(
        "x", log_scale(x_domain), {"values": log_ticks(x_domain), "format": ",~r"}, words.say("plate", "axis_vendor", {"unit": unit})
    )
    dashed = {"type": "rule", "strokeDash": [4, 3], "strokeWidth": 0.9, "color": VERMILION}
    views = [
        draw([{"at": 1.0}], {"type": "rule", "color": GREY, "strokeWidth": 0.8}, {"y": y("at")}),
        draw([{"at": agreement.mean}], {"type": "rule", "color": VERMILION, "strokeWidth": 1.1}, {"y": y("at")}),
        draw([{"at": agreement.low}, {"at": agreement.high}], dashed, {"y": y("at")}),
        draw(points, {"type": "point", "filled": True, "size": 26, "opacity": 0.85},
             {"x": x, "y": y("ratio"), "color": given("colour"), "shape": given("shape")}),
    ]  # fmt: skip
    told = {"count": agreement.count, "left_out": agreement.left_out, "mean": print_number(agreement.mean, 4)}
    told |= {"low": print_number(agreement.low, 4), "high": print_number(agreement.high, 4)}
    return titled(layer(views, 340, 190), words.say("plate", "comparison"), words.say("plate", "comparison_note", told).split("\n"))
