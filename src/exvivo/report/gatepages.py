"""Populations and pictures of single files -> one page with every file's gates, and a PNG of each file."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from exvivo.engine import Parcel, Work
from exvivo.report.bench import name_files
from exvivo.report.gatefigures import clip_polygon, compose_density
from exvivo.report.platetables import list_all_findings
from exvivo.report.sections import Grid, GridRow
from exvivo.report.theme import (
    BLUE,
    INK,
    VERMILION,
    Spec,
    draw,
    layer,
    linear_scale,
    quantity,
    render_png,
    render_svg,
    titled,
    wrapped,
)
from exvivo.report.wording import Wording, load_wording
from exvivo.study.design import GatePicture, PictureAxis
from exvivo.study.tables import Table

INDEX = "index.html"
FOLDER = "files"
SIDE = 190
COLUMNS = 4
PICTURE_SCALE = 2.0
FOLD_ABOVE = 14

_LINE, _WIDE = 12, 0.5  # height of a name, px; its width as a share of the picture

Row = Mapping[str, Any]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class GatedFile:
    """One file: what it is called, its events, its rows of POPULATIONS and its pictures."""

    name: str
    events: int
    told: str
    populations: tuple[Row, ...]
    pictures: tuple[GatePicture, ...]

    def key(self) -> object:
        """What its drawing depends on."""
        return [self.name, self.events, self.told, repr([sorted(row.items()) for row in self.populations]), repr(self.pictures)]


def compose_gate_pages(files: Sequence[GatedFile], findings: Table, work: Work) -> Mapping[str, bytes]:
    """``index.html`` and a picture for each file, by path inside the output folder."""
    words = load_wording()
    parcels = work.map(draw_file, files, key=GatedFile.key, label="drawing", version=2)
    names = name_files([file.name for file in files])
    pages = {f"{FOLDER}/{name}.png": base64.b64decode(parcel.facts["png"]) for name, parcel in zip(names, parcels, strict=True)}
    cards = [
        {
            "name": file.name,
            "told": words.say("gate_page", "counted", {"events": f"{file.events:,}"}) + (f" {file.told}" if file.told else ""),
            "svg": Markup(parcel.facts["svg"]),  # noqa: S704 - our own SVG
            "png": quote(f"{FOLDER}/{name}.png"),
            "table": _list_populations(file, words),
        }
        for file, name, parcel in zip(files, names, parcels, strict=True)
    ]
    environment = Environment(
        loader=PackageLoader("exvivo.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template("gates.html.jinja").render(
        say=words.say, cards=cards, findings=list_all_findings(findings, words), fold_above=FOLD_ABOVE
    )
    return {INDEX: page.encode(), **pages}


def draw_file(file: GatedFile) -> Parcel:
    """A file's gates as SVG for the page and as PNG for slides."""
    words = load_wording()
    figure = draw_gates(file, words)
    drawn = titled(figure, file.name, words.say("gate_page", "counted", {"events": f"{file.events:,}"}))
    svg = render_svg(figure, f"gates-{quote(file.name, safe='')}", words.say("gate_page", "figure", {"file": file.name}))
    return Parcel(facts={"svg": svg, "png": base64.b64encode(render_png({**drawn, "padding": 14}, PICTURE_SCALE)).decode()})


def draw_gates(file: GatedFile, words: Wording) -> Spec:
    """All pictures of a file, parents before children."""
    shares = {str(row["path"]): row for row in file.populations}
    return {**wrapped([_draw(picture, shares, words) for picture in file.pictures], COLUMNS), "spacing": 26}


def _draw(picture: GatePicture, shares: Mapping[str, Row], words: Wording) -> Spec:
    parent = picture.parent.rsplit("/", 1)[-1] if picture.parent else words.say("gate_page", "all_events")
    views = _histogram(picture, shares) if picture.y is None else _density(picture, picture.y, shares)
    single = len(picture.outlines) == 1
    path = picture.outlines[0][0]
    title = _label(path, shares[path]) if single else parent
    told = words.say("gate_page", "of", {"parent": parent}) if single else words.say("gate_page", "gates", {"count": len(picture.outlines)})
    return titled(layer(views, SIDE, SIDE), title, told)


def _density(picture: GatePicture, up: PictureAxis, shares: Mapping[str, Row]) -> list[Spec]:
    place = {"x": _place("x", picture.x), "y": _place("y", up)}
    (left, right), (bottom, top) = (picture.x.low, picture.x.high), (up.low, up.high)
    image = {"x": (left + right) / 2, "y": (bottom + top) / 2, "url": compose_density(np.array(picture.counts, dtype=np.float64))}
    seen = place | {"url": {"field": "url", "type": "nominal"}}
    views = [draw([image], {"type": "image", "width": SIDE, "height": SIDE, "aspect": False}, seen)]
    named: list[tuple[float, float]] = []
    for path, vertices in picture.outlines:
        ring = clip_polygon(vertices, ((left, right), (bottom, top)))
        if not ring or any(min(values) == max(values) for values in zip(*ring, strict=True)):
            continue  # outside the picture
        line = [{"x": x, "y": y, "order": i} for i, (x, y) in enumerate([*ring, *ring[:1]])]
        mark = {"type": "line", "color": VERMILION, "strokeWidth": 1.4}
        views.append(draw(line, mark, place | {"order": {"field": "order", "type": "ordinal"}}))
        if len(picture.outlines) > 1:
            views += _name(_label(path, shares[path]), ring, place, (picture.x, up), named)
    corners = {"x": {"value": 0}, "x2": {"value": SIDE}, "y": {"value": 0}, "y2": {"value": SIDE}}
    return [*views, draw([{}], {"type": "rect", "filled": False, "stroke": INK, "strokeWidth": 0.7}, corners)]


def _histogram(picture: GatePicture, shares: Mapping[str, Row]) -> list[Spec]:
    counts = picture.counts[0]
    top = 1.08 * max(*counts, 1)
    step = (picture.x.high - picture.x.low) / len(counts)
    bars = [{"x": picture.x.low + (i + 0.5) * step, "count": count} for i, count in enumerate(counts)]
    heights = quantity("count", linear_scale((0.0, top)), {"tickCount": 4}, "events")
    place = {"x": _place("x", picture.x), "y": heights}
    views = [draw(bars, {"type": "area", "color": BLUE, "opacity": 0.35, "line": {"color": BLUE, "strokeWidth": 1}}, place)]
    outlines = {"type": "rule", "color": VERMILION, "strokeWidth": 1.4}
    for level, (path, ((left, _), (right, _))) in enumerate(picture.outlines):
        height = top * (0.94 - 0.1 * level)
        edge = step / 10
        sides = [{"x": side} for side in (left, right) if picture.x.low + edge < side < picture.x.high - edge]
        views.append(draw(sides, outlines, {"x": place["x"]}))
        ends = max(left, picture.x.low), min(right, picture.x.high)
        views.append(draw([{"x": ends[0], "x2": ends[1], "count": height}], outlines, place | {"x2": {"field": "x2"}}))
        if len(picture.outlines) > 1:
            views += _name(_label(path, shares[path]), [(end, height) for end in ends], place, (picture.x, None), [])
    return views


def _place(field: str, axis: PictureAxis) -> Spec:
    texts = ", ".join(f"'{label}'" for label in axis.labels)
    ticks = ", ".join(repr(tick) for tick in axis.ticks)
    shown = {"values": list(axis.ticks), "labelExpr": f"[{texts}][indexof([{ticks}], datum.value)]"} if axis.ticks else {"values": []}
    return quantity(field, linear_scale((axis.low, axis.high)), shown, axis.title)


def _name(text: str, ring: Sequence[Point], place: Spec, axes: tuple[PictureAxis, PictureAxis | None], named: list[Point]) -> list[Spec]:
    """A gate's name at its corner nearest to one of the picture's, on a white halo; below or above those that stand there."""
    (left, right), (bottom, top) = ((min(values), max(values)) for values in zip(*ring, strict=True))
    across, up = axes
    is_left = left + right < across.low + across.high
    is_low = up is not None and bottom + top < up.low + up.high
    fields = {name: {**place[name], "field": name} for name in ("x", "y")}
    side = {"align": "left", "dx": 4} if is_left else {"align": "right", "dx": -4}
    at = (left if is_left else right, bottom if is_low else top)
    shift = _LINE * sum(_near(at, other, axes) for other in named)
    named.append(at)
    mark = {"type": "text", "fontSize": 10, **side, "dy": -8 - shift if is_low else 9 + shift}
    rows = [{"x": at[0], "y": at[1], "text": text}]
    return [
        draw(rows, {**mark, **ink}, fields | {"text": {"field": "text", "type": "nominal"}})
        for ink in ({"stroke": "white", "strokeWidth": 3.5}, {"color": INK})
    ]


def _near(one: Point, two: Point, axes: tuple[PictureAxis, PictureAxis | None]) -> bool:
    """Whether names at two corners would cover each other."""
    across, up = axes
    apart = abs(one[0] - two[0]) / (across.high - across.low), 0.0 if up is None else abs(one[1] - two[1]) / (up.high - up.low)
    return apart[0] < _WIDE and apart[1] * SIDE < _LINE


def _label(path: str, row: Row) -> str:
    share = row["percent_of_parent"]
    return path.rsplit("/", 1)[-1] + ("" if share is None else f" {_percent(share)} %")


def _percent(share: float) -> str:
    """One decimal, two below one; never rounded to all or to nothing.

    >>> [_percent(share) for share in (0.0, 0.004, 0.31, 37.0, 99.97, 100.0)]
    ['0', '<0.01', '0.31', '37.0', '>99.9', '100']
    """
    if share in (0.0, 100.0):
        return f"{share:.0f}"
    if share < 0.01 or share > 99.9:
        return "<0.01" if share < 1 else ">99.9"
    return f"{share:.2f}" if share < 1 else f"{share:.1f}"


def _list_populations(file: GatedFile, words: Wording) -> Grid:
    stored = any(row["stored_count"] is not None for row in file.populations)
    heads = ["path", "count", "percent", *(["stored"] if stored else [])]
    rows = [
        GridRow(
            (
                str(row["path"]),
                f"{row['count']:,}",
                "" if row["percent_of_parent"] is None else _percent(row["percent_of_parent"]),
                *(["" if row["stored_count"] is None else f"{row['stored_count']:,}"] if stored else []),
            )
        )
        for row in file.populations
    ]
    return Grid(tuple(words.say("gate_page", head) for head in heads), tuple(rows), frozenset(range(1, len(heads))))
