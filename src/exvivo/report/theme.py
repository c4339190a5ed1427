"""How every figure looks, and how a chart becomes SVG or PNG: the only module that calls the renderer.

Statistics, bins, fits and domains are computed in Python; a chart only draws. Identifiers inside an SVG get
the figure's name, so that many of them can stand in one page, and the same chart gives the same bytes.
"""

import re
from html import escape
from typing import Any

import altair as alt
import vl_convert as vlc

Figure = alt.Chart | alt.LayerChart | alt.ConcatChart | alt.HConcatChart | alt.VConcatChart | alt.FacetChart
Spec = dict[str, Any]

FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
INK, GREY, PALE, LIGHT, HAIR = "#1a1a1a", "#666666", "#9aa1a8", "#b8bec4", "#e3e6e8"
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE = "#56B4E9", "#CC79A7"
DONOR_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, VERMILION, SKY, "#8c6d31", "#444444")
"""Okabe and Ito's colours, told apart by colour-blind readers; yellow is left out on white paper."""

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


def compose_spec(figure: Figure) -> Spec:
    """Vega-Lite specification of a figure, with its data and the theme."""
    spec: Spec = figure.to_dict()
    return {**spec, "config": CONFIG}


def render_svg(figure: Figure, name: str, title: str) -> str:
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


def render_png(figure: Figure, scale: float = 2.0) -> bytes:
    """PNG of a figure, for slides and for looking at it."""
    return bytes(vlc.vegalite_to_png(compose_spec(figure), scale=scale))


def data_of(rows: list[dict[str, Any]]) -> alt.InlineData:
    """Rows as data inside a chart: no limit, no file."""
    return alt.InlineData(values=rows)
