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
import vl_convert as vlc
from PIL import Image

Spec = dict[str, Any]
Row = dict[str, Any]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
INK, GREY, PALE, LIGHT, HAIR = "#1a1a1a", "#666666", "#858c93", "#b8bec4", "#e3e6e8"
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE = "#56B4E9", "#CC79A7"
DONOR_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, VERMILION, SKY, "#8c6d31", "#444444")
"""Okabe and Ito's colours, told apart by colour-blind readers; yellow is left out on white paper."""

PALETTE_EXACT = 160
"""Colours of a PNG that are kept exactly."""

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
    """The image in a palette, a quarter of the bytes: the commonest colours are exact, edges of letters and points nearly so."""
    pixels = np.asarray(image, dtype=np.int32)
    codes, inverse, counts = np.unique(pixels @ np.array([65536, 256, 1]), return_inverse=True, return_counts=True)
    colours = np.stack([codes >> 16, (codes >> 8) & 255, codes & 255], axis=1)
    common = colours[np.argsort(-counts, kind="stable")[:PALETTE_EXACT]]
    spread = image.quantize(256 - PALETTE_EXACT, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).getpalette() or []
    palette = np.concatenate([common, np.array(spread, dtype=np.int64).reshape(-1, 3)])[:256]
    near = [int(np.argmin(np.sum((palette - colour) ** 2, axis=1))) for colour in colours]
    reduced = Image.fromarray(np.array(near, dtype=np.uint8)[inverse].reshape(pixels.shape[:2]), "P")
    reduced.putpalette(palette.astype(np.uint8).tobytes())
    return reduced
