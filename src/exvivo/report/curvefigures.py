"""Wells and curves -> standard curves, one panel per plate.

The curve is y = d + (a - d) / (1 + (x / c)^b)^g; its band follows from the covariance of a, b, ln c and d by the delta
method. A zero standard has no place on a log axis and stands at the left edge, under the label 0.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import numpy.typing as npt
import polars as pl

from exvivo.report.axes import linear_domain, log_domain, log_ticks
from exvivo.report.numbers import print_number
from exvivo.report.theme import BLUE, GREY, INK, ORANGE, SKY, VERMILION, Figure, data_of

Array = npt.NDArray[np.float64]
Row = Mapping[str, Any]

STEPS = 60


def draw_curves(curves: Sequence[Row], wells: pl.DataFrame, refused: frozenset[str], *, quantile: float = 1.96, columns: int = 4) -> Figure:
    """Standard curves of one analyte, one panel per plate.

    Parameters
    ----------
    curves : rows of the table of curves, one analyte
    wells : table of wells
    refused : plates that were not accepted
    quantile : half width of the band in standard errors
    columns : panels in a row
    """
    panels = []
    for curve in curves:
        held = wells.filter((wells["plate"] == curve["plate"]) & (wells["analyte"] == curve["analyte"]) & wells["signal"].is_not_null())
        panels.append(_draw_panel(curve, held, quantile, refused=str(curve["plate"]) in refused))
    return alt.concat(*panels, columns=columns, align="each")


def value_at(x: Array, parameters: Mapping[str, float]) -> Array:
    """Signal of a curve at concentrations, in OD."""
    a, b, c, d, g = (parameters[name] for name in "abcdg")
    return np.asarray(d + (a - d) / (1 + (x / c) ** b) ** g, dtype=np.float64)


def band_at(x: Array, parameters: Mapping[str, float], covariance: Array) -> Array:
    """Standard error of the curve at concentrations, from the covariance of a, b, ln c and d (delta method)."""
    a, b, c, d, g = (parameters[name] for name in "abcdg")
    ratio = (x / c) ** b
    share = (1 + ratio) ** -g
    slope = -g * (a - d) * (1 + ratio) ** (-g - 1) * ratio
    gradient = np.stack([share, slope * np.log(x / c), -slope * b, 1 - share])
    return np.asarray(np.sqrt(np.maximum(0.0, np.einsum("in,ij,jn->n", gradient, covariance, gradient))), dtype=np.float64)


def _draw_panel(curve: Row, wells: pl.DataFrame, quantile: float, *, refused: bool) -> Figure:
    standards = wells.filter(wells["role"].is_in(["standard", "blank"]) & (wells["nominal"].is_not_null() | (wells["role"] == "blank")))
    positive = [float(x) for x in standards["nominal"].drop_nulls().to_list() if x > 0]
    if not positive:
        positive = [float(json.loads(str(curve["parameters"]))["c"])]
    edge = min(positive) / 2.2
    line = _line_rows(curve, (edge * 1.25, max(positive) * 1.15), quantile)
    limits = [{"limit": curve[name]} for name in ("lloq", "uloq") if curve[name] is not None]
    points = _point_rows(standards, edge)
    rug = [{"signal": signal} for signal in wells.filter(wells["role"] == "specimen")["signal"].to_list()]
    domain = log_domain([edge, *positive, *(row["x"] for row in line), *(row["limit"] for row in limits)], pad=0.03)
    signals = [row[name] for row in line for name in ("y", "low", "high")] + [row["signal"] for row in (*points, *rug)]
    axes = _axes(domain, linear_domain(signals), edge, min(positive), str(curve["unit"] or "as given"))
    title = alt.TitleParams(str(curve["plate"]), subtitle=_subtitle(curve, refused=refused), color=VERMILION if refused else INK)
    return alt.layer(*_layers(axes, line, limits, points), _rug(rug, axes)).properties(width=210, height=155, title=title)


def _subtitle(curve: Row, *, refused: bool) -> str:
    told = "refused; " if refused else ""
    if curve["lloq"] is None or curve["uloq"] is None:
        return told + "no range of quantification"
    return f"{told}LLOQ {print_number(curve['lloq'])}, ULOQ {print_number(curve['uloq'])}"


def _line_rows(curve: Row, ends: tuple[float, float], quantile: float) -> list[dict[str, float]]:
    parameters = json.loads(str(curve["parameters"]))
    parameters = {**parameters, "g": parameters.get("g") or 1.0}
    x = np.geomspace(*ends, STEPS)
    y = value_at(x, parameters)
    half = np.zeros(STEPS)
    if curve["covariance"]:
        half = quantile * band_at(x, parameters, np.asarray(json.loads(str(curve["covariance"])), dtype=np.float64))
    keep = np.isfinite(y) & np.isfinite(half)
    return [{"x": float(x[i]), "y": float(y[i]), "low": float(y[i] - half[i]), "high": float(y[i] + half[i])} for i in np.flatnonzero(keep)]


def _point_rows(standards: pl.DataFrame, edge: float) -> list[dict[str, Any]]:
    return [
        {"x": row["nominal"] or edge, "signal": row["signal"], "used": row["status"] == "ok"} for row in standards.iter_rows(named=True)
    ]


@dataclass(frozen=True, slots=True)
class _Axes:
    """Scales and axes that all layers of a panel share."""

    x_scale: alt.Scale
    x_axis: alt.Axis
    y_scale: alt.Scale
    y_axis: alt.Axis
    unit: str

    def x(self, field: str) -> alt.X:
        return alt.X(f"{field}:Q", title=self.unit, scale=self.x_scale, axis=self.x_axis)

    def y(self, field: str) -> alt.Y:
        return alt.Y(f"{field}:Q", title="OD", scale=self.y_scale, axis=self.y_axis)


def _axes(x_domain: tuple[float, float], y_domain: tuple[float, float], edge: float, least: float, unit: str) -> _Axes:
    ticks = [tick for tick in log_ticks((least * 0.9, x_domain[1]), 4) if tick > edge * 1.6]
    return _Axes(
        alt.Scale(type="log", domain=list(x_domain), nice=False),
        alt.Axis(values=[edge, *ticks], labelExpr=f"datum.value < {edge * 1.01} ? '0' : format(datum.value, ',~r')"),
        alt.Scale(domain=list(y_domain), nice=False, zero=False),
        alt.Axis(tickCount=4, format="~g"),
        unit,
    )


def _layers(axes: _Axes, line: list[dict[str, float]], limits: list[dict[str, Any]], points: list[dict[str, Any]]) -> list[alt.Chart]:
    curve, dots = alt.Chart(data_of(list(line))), alt.Chart(data_of([row for row in points if row["used"]]))
    left_out = alt.Chart(data_of([row for row in points if not row["used"]]))
    return [
        alt.Chart(data_of(limits)).mark_rule(strokeDash=[3, 2], strokeWidth=0.8, color=GREY).encode(x=axes.x("limit")),
        curve.mark_area(color=SKY, opacity=0.35).encode(x=axes.x("x"), y=axes.y("low"), y2="high:Q"),
        curve.mark_line(color=BLUE, strokeWidth=1.2).encode(x=axes.x("x"), y=axes.y("y")),
        dots.mark_circle(size=20, color=INK, opacity=0.9).encode(x=axes.x("x"), y=axes.y("signal")),
        left_out.mark_point(size=24, filled=True, fill="white", stroke=VERMILION, strokeWidth=1).encode(x=axes.x("x"), y=axes.y("signal")),
    ]


def _rug(rows: list[dict[str, Any]], axes: _Axes) -> alt.Chart:
    mark = alt.Chart(data_of(rows)).mark_tick(color=ORANGE, thickness=0.8, size=7, opacity=0.7, orient="horizontal")
    ticks: alt.Chart = mark.encode(x=alt.value(206), y=axes.y("signal"))
    return ticks
