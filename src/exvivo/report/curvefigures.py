"""Wells and curves -> standard curves, one panel per plate.

The curve's band follows from the covariance of its parameters by the delta method. A zero standard has no place on a log axis and
stands at the left edge, under the label 0.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from exvivo.report.axes import linear_domain, log_domain, log_ticks
from exvivo.report.numbers import print_number
from exvivo.report.rebuilding import lay_bands, rebuild_curve
from exvivo.report.theme import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    SKY,
    VERMILION,
    Spec,
    draw,
    layer,
    linear_scale,
    log_scale,
    quantity,
    titled,
    wrapped,
)

Array = npt.NDArray[np.float64]
Row = Mapping[str, Any]

STEPS = 60
SIZE = (210, 155)
RUG_SHARE = 0.06
"""Room for the signals of specimens right of the curve, as share of the axis."""


def draw_curves(curves: Sequence[Row], wells: pl.DataFrame, refused: frozenset[str], *, columns: int = 4) -> Spec:
    """Standard curves of one analyte, one panel per plate.

    Parameters
    ----------
    curves : rows of the table of curves, one analyte
    wells : table of wells
    refused : plates that were not accepted
    columns : panels in a row
    """
    panels = []
    for curve in curves:
        held = wells.filter((wells["plate"] == curve["plate"]) & (wells["analyte"] == curve["analyte"]) & wells["signal"].is_not_null())
        panels.append(_draw_panel(curve, held, refused=str(curve["plate"]) in refused))
    return wrapped(panels, columns)


def _draw_panel(curve: Row, wells: pl.DataFrame, *, refused: bool) -> Spec:
    standards = wells.filter(wells["role"].is_in(["standard", "blank"]) & (wells["nominal"].is_not_null() | (wells["role"] == "blank")))
    positive = [float(x) for x in standards["nominal"].drop_nulls().to_list() if x > 0]
    if not positive:
        positive = [float(json.loads(str(curve["parameters"]))["c"])]
    edge = min(positive) / 2.2
    line = _line_rows(curve, (edge * 1.25, max(positive) * 1.15))
    limits = [{"limit": curve[name]} for name in ("lloq", "uloq") if curve[name] is not None]
    points = _point_rows(standards, edge)
    rug = [{"signal": signal} for signal in wells.filter(wells["role"] == "specimen")["signal"].to_list()]
    low, high = log_domain([edge, *positive, *(row["x"] for row in line), *(row["limit"] for row in limits)], pad=0.03)
    domain = low, high * (high / low) ** RUG_SHARE
    signals = [row[name] for row in line for name in ("y", "low", "high")] + [row["signal"] for row in (*points, *rug)]
    axes = _axes(domain, linear_domain(signals), edge, min(positive), str(curve["unit"] or "as given"))
    views = [*_layers(axes, line, limits, points), _rug(rug, axes)]
    return titled(layer(views, *SIZE), str(curve["plate"]), _subtitle(curve, refused=refused), VERMILION if refused else INK)


def _subtitle(curve: Row, *, refused: bool) -> str:
    told = "refused; " if refused else ""
    if curve["lloq"] is None or curve["uloq"] is None:
        return told + "no range of quantification"
    return f"{told}LLOQ {print_number(curve['lloq'])}, ULOQ {print_number(curve['uloq'])} {curve['unit'] or ''}".rstrip()


def _line_rows(curve: Row, ends: tuple[float, float]) -> list[Spec]:
    x = np.geomspace(*ends, STEPS)
    bands = lay_bands(rebuild_curve(curve), np.log(x))
    y, half = bands.signal, bands.mean
    keep = np.isfinite(y) & np.isfinite(half)
    return [{"x": float(x[i]), "y": float(y[i]), "low": float(y[i] - half[i]), "high": float(y[i] + half[i])} for i in np.flatnonzero(keep)]


def _point_rows(standards: pl.DataFrame, edge: float) -> list[Spec]:
    return [
        {"x": row["nominal"] or edge, "signal": row["signal"], "used": row["status"] == "ok"} for row in standards.iter_rows(named=True)
    ]


@dataclass(frozen=True, slots=True)
class _Axes:
    """Scales and axes that all layers of a panel share."""

    x_scale: Spec
    x_axis: Spec
    y_scale: Spec
    y_axis: Spec
    unit: str

    def x(self, field: str) -> Spec:
        return quantity(field, self.x_scale, self.x_axis, self.unit)

    def y(self, field: str) -> Spec:
        return quantity(field, self.y_scale, self.y_axis, "OD")


def _axes(x_domain: tuple[float, float], y_domain: tuple[float, float], edge: float, least: float, unit: str) -> _Axes:
    ticks = [tick for tick in log_ticks((least * 0.9, x_domain[1]), 4) if tick > edge * 1.6]
    x_axis = {"values": [edge, *ticks], "labelExpr": f"datum.value < {edge * 1.01} ? '0' : format(datum.value, ',~r')"}
    return _Axes(log_scale(x_domain), x_axis, linear_scale(y_domain), {"tickCount": 4, "format": "~g"}, unit)


def _layers(axes: _Axes, line: list[Spec], limits: list[Spec], points: list[Spec]) -> list[Spec]:
    at = {"x": axes.x("x"), "y": axes.y("signal")}
    hollow = {"type": "point", "size": 24, "filled": True, "fill": "white", "stroke": VERMILION, "strokeWidth": 1}
    return [
        draw(limits, {"type": "rule", "strokeDash": [3, 2], "strokeWidth": 0.8, "color": GREY}, {"x": axes.x("limit")}),
        draw(line, {"type": "area", "color": SKY, "opacity": 0.35}, {"x": axes.x("x"), "y": axes.y("low"), "y2": {"field": "high"}}),
        draw(line, {"type": "line", "color": BLUE, "strokeWidth": 1.2}, {"x": axes.x("x"), "y": axes.y("y")}),
        draw([row for row in points if row["used"]], {"type": "circle", "size": 20, "color": INK, "opacity": 0.9}, at),
        draw([row for row in points if not row["used"]], hollow, at),
    ]


def _rug(rows: list[Spec], axes: _Axes) -> Spec:
    mark = {"type": "tick", "color": ORANGE, "thickness": 0.8, "size": 7, "opacity": 0.7, "orient": "horizontal"}
    return draw(rows, mark, {"x": {"value": SIZE[0] - 4}, "y": axes.y("signal")})
