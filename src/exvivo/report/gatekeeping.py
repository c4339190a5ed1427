"""Gatekeeping graph of the protocol -> its drawing, and the table of its hypotheses.

Nodes stand as the protocol names them, in columns by how many rejections away from the start they are. A node shows the
share of alpha that it starts with, an arrow the share that a rejected node passes on.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exvivo.report.numbers import print_p
from exvivo.report.sections import Grid, GridRow, heads, real
from exvivo.report.theme import BLUE, GREY, INK, Row, Spec, draw, layer, linear_scale, quantity
from exvivo.report.wording import Wording
from exvivo.study.graphs import expand_graph, list_nodes, list_readouts
from exvivo.study.protocol import Protocol
from exvivo.study.run import Run

STEP_X, STEP_Y, RADIUS = 240.0, 150.0, 34.0
STEPS = 24  # points of an arrow's arc
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the drawing: where it stands, px, and its two lines of text."""

    name: str
    place: Point
    weight: str


@dataclass(frozen=True, slots=True)
class Arrow:
    """An arrow of the drawing: giver, taker, share as printed."""

    giver: Node
    taker: Node
    share: str


def list_hypotheses(run: Run, words: Wording) -> Grid:
    """Hypotheses of the graph: starting share, raw p, p through the graph, and whether alpha rejects them."""
    graph = run.protocol.analysis.rules.graph
    if graph is None:
        return Grid((), ())
    expanded = expand_graph(graph.weights, graph.transitions, list_readouts(run.protocol.analysis.outcomes))
    held = {(row["outcome"], row["readout"]): row for row in run.effects.effects.rows() if not row["modifier"]}
    alpha = run.protocol.analysis.rules.alpha
    rows = []
    for name, weight in zip(expanded.names, expanded.weights, strict=True):
        row = held.get(name, {})
        p = real(row.get("p_graph"))
        told = "" if p is None else words.say("words", "rejected" if p <= alpha else "kept")
        label = run.protocol.analysis.readouts[name[1]].label
        rows.append(GridRow((name[0], label, f"{weight:.3g}", print_p(real(row.get("p"))), print_p(p), told)))
    return Grid(heads(words, "outcome", "readout", "start_share", "p", "p_graph", "verdict"), tuple(rows), frozenset({2, 3, 4}))


def draw_graph(protocol: Protocol) -> Spec | None:
    """The graph as the protocol states it; None where it has none."""
    graph = protocol.analysis.rules.graph
    if graph is None:
        return None
    nodes = _place_nodes(graph.weights, graph.transitions, protocol)
    arrows = [
        Arrow(nodes[giver], nodes[taker], f"{share:.3g}")
        for giver, passed in graph.transitions.items()
        for taker, share in passed.items()
        if share > 0
    ]
    return _draw(list(nodes.values()), arrows)


def _place_nodes(weights: Mapping[str, float], transitions: Mapping[str, Mapping[str, float]], protocol: Protocol) -> dict[str, Node]:
    """Columns by distance from the nodes that start with alpha; a node that alpha cannot reach stands in the last."""
    names = list_nodes(weights, transitions)
    depth = {name: 0 for name in names if weights.get(name, 0) > 0}
    reached = list(depth)
    for name in reached:
        for taker, share in transitions.get(name, {}).items():
            if share > 0 and taker not in depth:
                depth[taker] = depth[name] + 1
                reached.append(taker)
    last = max(depth.values(), default=-1) + 1
    columns: dict[int, list[str]] = {}
    for name in names:
        columns.setdefault(depth.get(name, last), []).append(name)
    tallest = max(len(column) for column in columns.values())
    readouts = list_readouts(protocol.analysis.outcomes)
    return {
        name: Node(
            _label(name, readouts, protocol),
            (x * STEP_X, ((tallest - len(column)) / 2 + i) * STEP_Y),
            f"{weights.get(name, 0.0):.3g}",
        )
        for x, column in columns.items()
        for i, name in enumerate(column)
    }


def _label(name: str, readouts: Mapping[str, Sequence[str]], protocol: Protocol) -> str:
    outcome, _, readout = name.partition("/")
    own = readouts[outcome]
    if readout or len(own) == 1:
        return f"{outcome} {protocol.analysis.readouts[readout or own[0]].label}"
    return f"{outcome} ({len(own)})"


def _draw(nodes: Sequence[Node], arrows: Sequence[Arrow]) -> Spec:
    left, right = min(node.place[0] for node in nodes), max(node.place[0] for node in nodes)
    top, bottom = min(node.place[1] for node in nodes), max(node.place[1] for node in nodes)
    loops = any(arrow.giver is arrow.taker for arrow in arrows)
    x = (left - 1.6 * RADIUS, right + (3.4 if loops else 1.6) * RADIUS)
    y = (top - 1.6 * RADIUS, bottom + 1.6 * RADIUS)
    at = {"x": quantity("x", linear_scale(x), None), "y": quantity("y", {**linear_scale(y), "reverse": True}, None)}
    lines, tips, shares = [], [], []
    for k, arrow in enumerate(arrows):
        path = _loop(arrow.giver.place) if arrow.giver is arrow.taker else _arc(arrow.giver.place, arrow.taker.place)
        lines += [{"x": px, "y": py, "arrow": k, "step": i} for i, (px, py) in enumerate(path)]
        tips.append(_tip(path))
        mx, my = _beside(path)
        shares.append({"x": mx, "y": my, "text": arrow.share})
    placed: list[Row] = [{"x": node.place[0], "y": node.place[1], "name": node.name, "weight": node.weight} for node in nodes]
    stroke = {"type": "line", "stroke": GREY, "strokeWidth": 1, "interpolate": "linear"}
    arcs = draw(lines, stroke, {**at, "detail": {"field": "arrow", "type": "nominal"}, "order": {"field": "step", "type": "quantitative"}})
    tip = {"type": "point", "shape": "triangle-right", "filled": True, "color": GREY, "size": 60, "opacity": 1}
    angle = {"angle": {"field": "angle", "type": "quantitative", "scale": None}}
    circle = {"type": "point", "shape": "circle", "filled": True, "fill": "white", "stroke": BLUE, "strokeWidth": 1.4, "opacity": 1}
    text = {"type": "text", "fontSize": 10.5, "color": INK}
    behind = {"type": "text", "fontSize": 10.5, "stroke": "white", "strokeWidth": 5, "strokeJoin": "round"}
    views = [
        arcs,
        draw(tips, tip, {**at, **angle}),
        draw(shares, behind, {**at, "text": {"field": "text"}}),
        draw(shares, {**text, "color": GREY}, {**at, "text": {"field": "text"}}),
        draw(placed, {**circle, "size": math.pi * RADIUS**2}, at),
        draw(placed, {**text, "fontWeight": "bold", "dy": -6}, {**at, "text": {"field": "name"}}),
        draw(placed, {**text, "dy": 9}, {**at, "text": {"field": "weight"}}),
    ]
    return layer(views, round(x[1] - x[0]), round(y[1] - y[0]))


def _arc(start: Point, end: Point) -> list[Point]:
    """Arc from the edge of one circle to that of another, bent to its left, so that there and back do not lie on each other."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = math.hypot(dx, dy)
    bend = max(0.16 * length, 0.9 * RADIUS)
    control = (start[0] + dx / 2 + bend * dy / length, start[1] + dy / 2 - bend * dx / length)
    whole = [_quadratic(start, control, end, t / (4 * STEPS)) for t in range(4 * STEPS + 1)]
    outside = [p for p in whole if math.dist(p, start) > RADIUS + 2 and math.dist(p, end) > RADIUS + 7]
    return outside[:: max(1, len(outside) // STEPS)] + outside[-1:]


def _loop(centre: Point) -> list[Point]:
    """Loop at the right side of a circle."""
    turn = [math.radians(140 - 280 * t / STEPS) for t in range(STEPS + 1)]
    reach = 0.62 * RADIUS
    cx = centre[0] + RADIUS + 0.75 * reach + 6
    return [(cx + reach * math.cos(a), centre[1] - 0.72 * reach * math.sin(a)) for a in turn]


def _quadratic(start: Point, control: Point, end: Point, t: float) -> Point:
    a, b, c = (1 - t) ** 2, 2 * t * (1 - t), t**2
    return a * start[0] + b * control[0] + c * end[0], a * start[1] + b * control[1] + c * end[1]


def _tip(path: Sequence[Point]) -> Row:
    (x0, y0), (x1, y1) = path[-2], path[-1]
    return {"x": x1, "y": y1, "angle": math.degrees(math.atan2(y1 - y0, x1 - x0)) % 360}


def _beside(path: Sequence[Point]) -> Point:
    """Where the share stands: on the middle of the arc."""
    return path[len(path) // 2]
