"""How every figure looks, and how a figure becomes SVG or PNG: the only module that calls the renderer.

A figure is a Vega-Lite specification as a plain dict, built from the few parts below: statistics, bins, fits and domains
are computed in Python and a specification only draws. Dicts rather than a chart library's objects, because building,
copying and checking those took three times as long as drawing them; tests check the dicts against the schema of Vega-Lite.
Identifiers inside an SVG get the figure's name, so that many of them can stand in one page, and the same figure gives
the same bytes.
"""

import io
import re
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt
import vl_convert as vlc
from PIL import Image

Spec = dict[str, Any]
Row = dict[str, Any]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
INK, GREY, PALE, LIGHT, HAIR = "#1a1a1a", "#666666", "#858c93", "#b8bec4", "#e3e6e8"
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE = "#56B4E9", "#CC79A7"
SHADE = "#eaf2f8"
DONOR_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, VERMILION, SKY, "#8c6d31", "#444444")
"""Okabe and Ito's colours, told apart by colour-blind readers; yellow is left out on white paper."""

PALETTE, PALETTE_STEP = 256, 8
"""Colours of a PNG, and how far apart they lie at least in one channel."""

CONFIG: Spec = {
    "font": FONT,
    "aria": False,
    "background": "white",
    "view": {"stroke": None},
    "axis": {
        "domainColor": INK, "domainWidth": 0.7, "tickColor": INK, "tickWidth": 0.7,
        "tickSize": 3.5, "labelColor": INK, "labelFontSize": 10.5,
        "labelPadding": 3, "titleColor": INK, "titleFontSize": 10.5, "titleFontWeight": "normal", "titlePadding": 6, "grid": False,
        "labelOverlap": False,
    },
    "title": {
        "color": INK, "fontSize": 12, "fontWeight": "bold", "anchor": "start", "offset": 6, "subtitleColor": GREY, "subtitleFontSize": 10.5,
        "subtitlePadding": 3,
    },
    "legend": {"labelFontSize": 10.5, "titleFontSize": 10.5, "titleFontWeight": "normal", "symbolSize": 40},
    "line": {"strokeWidth": 1, "opacity": 1},
    "point": {"opacity": 1},
    "text": {"fontSize": 10.5, "color": INK},
    "concat": {"spacing": 22},
}  # fmt: skip


def draw(rows: Sequence[Row], mark: Spec, encoding: Spec) -> Spec:
    """One layer: rows, a mark and what its channels show."""
    return {"data": {"values": list(rows)}, "mark": mark, "encoding": encoding}


def layer(views: Sequence[Spec], width: int, height: int) -> Spec:
    """Layers over each other in a view of that size, px."""
    return {"layer": list(views), "width": width, "height": height}


def beside(views: Sequence[Spec], spacing: int) -> Spec:
    """Views in a row."""
    return {"hconcat": list(views), "spacing": spacing}


def below(views: Sequence[Spec], spacing: int) -> Spec:
    """Views in a column."""
    return {"vconcat": list(views), "spacing": spacing}


def wrapped(views: Sequence[Spec], columns: int) -> Spec:
    """Views in rows of some columns."""
    return {"concat": list(views), "columns": columns, "align": "each"}


def titled(view: Spec, text: str, subtitle: str | list[str], colour: str = "") -> Spec:
    """A view under a title."""
    title: Spec = {"text": text, "subtitle": subtitle}
    return {**view, "title": {**title, "color": colour} if colour else title}


def quantity(field: str, scale: Spec, axis: Spec | None, title: str | None = None) -> Spec:
    """A position on an axis; ``scale`` holds its domain, None as axis draws none."""
    return {"field": field, "type": "quantitative", "scale": scale, "axis": axis, "title": title}


def log_scale(domain: tuple[float, float]) -> Spec:
    """Log axis with fixed ends."""
    return {"type": "log", "domain": list(domain), "nice": False}


def linear_scale(domain: tuple[float, float]) -> Spec:
    """Linear axis with fixed ends."""
    return {"domain": list(domain), "nice": False, "zero": False}


def downwards(lines: int) -> Spec:
    """Axis of numbered lines, the first on top."""
    return {"domain": [-0.5, lines - 0.5], "reverse": True, "nice": False, "zero": False}


def given(field: str) -> Spec:
    """A colour or shape that the rows name themselves."""
    return {"field": field, "type": "nominal", "scale": None}


def compose_spec(figure: Spec) -> Spec:
    """Whole specification of a figure: schema, theme, views."""
    return {"$schema": SCHEMA, "config": CONFIG, **figure}


def render_svg(figure: Spec, name: str, title: str) -> str:
    """SVG of a figure for a page.

    Parameters
    ----------
    figure : what to draw
    name : prefix of the identifiers inside, unique in the page
    title : what the figure shows, for those who do not see it
    """
    svg = vlc.vegalite_to_svg(compose_spec(figure))
    names = {old: f"{name}-{i}" for i, old in enumerate(dict.fromkeys(re.findall(r'\bid="([^"]+)"', svg)))}
    for old, new in names.items():
        svg = svg.replace(f'id="{old}"', f'id="{new}"').replace(f"url(#{old})", f"url(#{new})").replace(f'href="#{old}"', f'href="#{new}"')
    head = f'<svg role="img" aria-label="{escape(title, quote=True)}" '
    return svg.replace("<svg ", head, 1)


def render_png(figure: Spec, scale: float = 2.0) -> bytes:
    """PNG of a figure, for slides and notebooks."""
    drawn = Image.open(io.BytesIO(vlc.vegalite_to_png(compose_spec(figure), scale=scale))).convert("RGB")
    buffer = io.BytesIO()
    _reduce(drawn).save(buffer, "PNG")
    return buffer.getvalue()


def _reduce(image: Image.Image) -> Image.Image:
    """The image in a palette, a quarter of the bytes: common colours are exact, edges of letters and points nearly so."""
    pixels = np.asarray(image, dtype=np.int32)
    codes = (pixels[..., 0] << 16) | (pixels[..., 1] << 8) | pixels[..., 2]
    counted = sorted((-count, colour) for count, colour in image.getcolors(1 << 24) or [])
    colours = np.array([colour for _, colour in counted], dtype=np.int64)
    held = (colours[:, 0] << 16) | (colours[:, 1] << 8) | colours[:, 2]
    palette = _choose_palette(colours)
    nearest = np.zeros(1 << 24, dtype=np.uint8)
    nearest[held] = np.argmin(np.sum(palette**2, axis=1) - 2.0 * (colours.astype(np.float64) @ palette.T), axis=1)
    reduced = Image.fromarray(nearest[codes])
    reduced.putpalette(palette.astype(np.uint8).tobytes())
    return reduced


def _choose_palette(colours: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The commonest colours, given in that order, that are not nearly one of the palette already."""
    palette = np.full((PALETTE, 3), -PALETTE_STEP - 1)
    count = 0
    for colour in colours:
        if np.abs(palette - colour).max(axis=1).min() > PALETTE_STEP:
            palette[count] = colour
            count += 1
            if count == PALETTE:
                break
    return palette[:count]
