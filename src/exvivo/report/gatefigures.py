"""Sketches -> gating contact sheet, one row of panels per donor.

A density is one image, made here from counts; a gate lies over it as a line, its name on a white halo. Axes show
display units, which have no numbers of their own, so that only the channel is named.
"""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from exvivo.report.theme import INK, LIGHT, VERMILION, Spec, beside, draw, layer, linear_scale, quantity

SIDE = 128
RARE = 0.001
FEWEST_BINS = 16
FAINTEST = 3
"""Shade of 0 to 63 that the emptiest bin with an event has."""

Counts = npt.NDArray[np.float64]
Ends = tuple[float, float]
Box = tuple[Ends, Ends]

_SHADES = ("#ffffff", "#d6e6f4", "#9dc6e0", "#4a98c9", "#1764ab", "#083370")


def draw_sheet(sketches: Sequence[Mapping[str, Any]], shares: Mapping[str, float]) -> Spec:
    """Contact sheet of one donor.

    Parameters
    ----------
    sketches : rows of the table of sketches, one donor, parents first
    shares : median share of parent by gate, %
    """
    return beside([_draw_gate(sketch, shares.get(str(sketch["gate"]))) for sketch in sketches], spacing=14)


def _draw_gate(sketch: Mapping[str, Any], share: float | None) -> Spec:
    counts, box = crop_density(_counts(sketch), _box(sketch))
    x_domain, y_domain = box
    ring = clip_polygon([(float(x), float(y)) for x, y in json.loads(str(sketch["outline"] or "[]"))], box)
    bare = {"labels": False, "ticks": False, "domain": False, "titlePadding": 4}
    place = {
        "x": quantity("x", linear_scale(x_domain), bare, str(sketch["x"])),
        "y": quantity("y", linear_scale(y_domain), bare, str(sketch["y"])),
    }
    image = {"x": sum(x_domain) / 2, "y": sum(y_domain) / 2, "url": compose_density(counts)}
    outline = [{"x": px, "y": py, "order": i} for i, (px, py) in enumerate([*ring, *ring[:1]])]
    corners = {"x": {"value": 0}, "x2": {"value": SIDE}, "y": {"value": 0}, "y2": {"value": SIDE}}
    views = [
        draw(
            [image], {"type": "image", "width": SIDE, "height": SIDE, "aspect": False}, place | {"url": {"field": "url", "type": "nominal"}}
        ),
        draw(outline, {"type": "line", "color": VERMILION, "strokeWidth": 1.3}, place | {"order": {"field": "order", "type": "ordinal"}}),
        *_label(str(sketch["gate"]) + ("" if share is None else f" {_percent(share)} %")),
        draw([{}], {"type": "rect", "filled": False, "stroke": LIGHT, "strokeWidth": 0.8}, corners),
    ]
    return layer(views, SIDE, SIDE)


def _percent(share: float) -> str:
    """A share of parent; not 100 unless all events are inside."""
    return f"{share:.0f}" if share <= 99 or share == 100 else f"{min(share, 99.9):.1f}"


def _label(text: str) -> list[Spec]:
    """Text with a white halo, in the upper left corner."""
    place = {"x": {"value": 5}, "y": {"value": 5}, "text": {"field": "text", "type": "nominal"}}
    mark = {"type": "text", "align": "left", "baseline": "top", "fontWeight": "bold"}
    return [draw([{"text": text}], {**mark, **ink}, place) for ink in ({"stroke": "white", "strokeWidth": 3.5}, {"color": INK})]


def _box(sketch: Mapping[str, Any]) -> Box:
    ends = [(float(sketch[f"{axis}_low"]), float(sketch[f"{axis}_high"])) for axis in ("x", "y")]
    x, y = ((low, high) if high > low else (low - 0.5, low + 0.5) for low, high in ends)
    return x, y


def crop_density(counts: Counts, box: Box) -> tuple[Counts, Box]:
    """Part of a density that holds all but ``RARE`` of its events on each side, with room around it, and its box.

    Parameters
    ----------
    counts : shape (bins, bins), rows from below
    box : ends of the horizontal and of the vertical axis
    """
    if not counts.sum():
        return counts, box
    kept: list[slice] = []
    ends: list[Ends] = []
    for axis, (low, high) in enumerate(box):
        share = np.cumsum(counts.sum(axis=axis)) / counts.sum()
        bins = len(share)
        first, last = int(np.searchsorted(share, RARE)), int(np.searchsorted(share, 1 - RARE))
        room = max(2, (last - first) // 6, (FEWEST_BINS - (last - first) + 1) // 2)
        start, stop = max(0, first - room), min(bins, last + 1 + room)
        kept.append(slice(start, stop))
        ends.append((low + (high - low) * start / bins, low + (high - low) * stop / bins))
    return counts[kept[1], kept[0]], (ends[0], ends[1])


def clip_polygon(vertices: Sequence[Ends], box: Box) -> list[Ends]:
    """Part of a polygon inside a box (Sutherland and Hodgman, Commun. ACM 17:32, 1974).

    >>> clip_polygon([(-1.0, 0.0), (1.0, 0.0), (1.0, 1.0), (-1.0, 1.0)], ((0.0, 2.0), (0.0, 2.0)))
    [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]
    """
    ring = [(float(x), float(y)) for x, y in vertices]
    for axis, ends in enumerate(box):
        for limit, sign in zip(ends, (1.0, -1.0), strict=True):
            ring = _clip_side(ring, axis, limit, sign)
    return ring


def _clip_side(ring: list[Ends], axis: int, limit: float, sign: float) -> list[Ends]:
    kept: list[Ends] = []
    for before, here in zip([*ring[-1:], *ring[:-1]], ring, strict=True):
        inside = [sign * (vertex[axis] - limit) >= 0 for vertex in (before, here)]
        if inside[0] != inside[1]:
            part = (limit - before[axis]) / (here[axis] - before[axis])
            other = before[1 - axis] + part * (here[1 - axis] - before[1 - axis])
            kept.append((limit, other) if axis == 0 else (other, limit))
        if inside[1]:
            kept.append(here)
    return kept


def _counts(sketch: Mapping[str, Any]) -> Counts:
    """Counts as a square, rows from below; flat lists are folded."""
    counts = np.asarray(json.loads(str(sketch["counts"] or "[]")), dtype=np.float64)
    bins = int(sketch["bins"] or 1)
    return counts.reshape(bins, bins) if counts.size == bins * bins else np.zeros((bins, bins))


def compose_density(counts: Counts) -> str:
    """Data URL of a PNG whose shade grows with the square root of the counts, so that the dense core stands out; a single event is seen.

    Parameters
    ----------
    counts : shape (rows, columns), rows from below
    """
    top = float(counts.max()) or 1.0
    shade = np.where(counts > 0, FAINTEST + (63 - FAINTEST) * np.sqrt(counts / top), 0)
    image = Image.fromarray(np.flipud(np.round(shade)).astype(np.uint8), mode="P")
    image.putpalette(_palette(64))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=False)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _palette(levels: int) -> list[int]:
    anchors = np.array([[int(shade[i : i + 2], 16) for i in (1, 3, 5)] for shade in _SHADES], dtype=np.float64)
    at = np.linspace(0, len(anchors) - 1, levels)
    return [round(float(v)) for k in at for v in (np.interp(k, range(len(anchors)), anchors[:, channel]) for channel in range(3))]
