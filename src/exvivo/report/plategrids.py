"""Wells -> pictures in the shape of the plate: what was read, and how far each reading lies from its curve.

What a well holds is told by a sign (standard, blank, QC), what became of it by words and strokes: nothing rests on colour
alone. A well says ``overflow``, ``missed``, ``masked`` (one diagonal) or ``excluded`` (two); one that was left out of the
fit without that has a broken outline.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exvivo.report.bench import PlateView
from exvivo.report.numbers import print_nominal, shorten_names
from exvivo.report.rebuilding import standardise
from exvivo.report.theme import GREY, HAIR, INK, LIGHT, Spec, draw, given, layer, linear_scale, quantity, titled
from exvivo.report.wording import Wording
from exvivo.study.design import WellRole, well_name, well_position
from exvivo.study.statuses import Reason, WellStatus

Row = Mapping[str, Any]

SIZES = ((8, 12), (16, 24))
SIGNS = {WellRole.STANDARD: ("circle", INK), WellRole.BLANK: ("circle", "white"), WellRole.QC: ("diamond", INK)}
DARKEST = (8, 64, 108)
NAME_LENGTH = 10
WHITE_ABOVE = 0.5
"""Depth of colour above which a well is written on in white."""

FAR = 3.0
"""Standard deviations at which the colour of a residual is full."""


@dataclass(frozen=True, slots=True)
class _Cells:
    """Size of a plate and of its cells, px; ``large`` cells have room for a name and three decimals."""

    rows: int
    columns: int
    width: int
    height: int

    @property
    def large(self) -> bool:
        """Whether a cell has room for two lines."""
        return self.columns <= 12

    @property
    def places(self) -> dict[str, Callable[[str], Spec]]:
        """Positions on both axes; rows count downwards."""
        across, down = linear_scale((0, self.columns)), linear_scale((self.rows, 0))
        return {"x": lambda name: quantity(name, across, None), "y": lambda name: quantity(name, down, None)}


def draw_readings(view: PlateView, words: Wording) -> Spec:
    """Heat map of the readings of a whole plate; wells of other analytes are pale."""
    cells = _measure(view.wells, (54, 37), (31, 21))
    largest = max((row["raw_signal"] for row in view.wells if row["raw_signal"] is not None), default=1.0)
    depths = [_depth(row, largest, own=row["analyte"] == view.analyte) for row in view.wells]
    tiles = [_tile(row, depth) for row, depth in zip(view.wells, depths, strict=True)]
    names = shorten_names([_name(row, words) for row in view.wells], NAME_LENGTH)
    labels = [_label(row, name, depth, cells, words) for row, name, depth in zip(view.wells, names, depths, strict=True)]
    signs = [sign for row in view.wells if (sign := _sign(row, cells))]
    strokes = [stroke for row in view.wells for stroke in _strokes(row)]
    outlines = [_box(well_position(row["well"]), 0.05) for row in view.wells if is_left_out(row) or row["status"] == WellStatus.MISSED]
    views = [*_tile_layers(tiles, cells), *_mark_layers(outlines, strokes, signs, cells), *_label_layers(labels, cells), *_frame(cells)]
    return titled(_on_plate(views, cells), words.say("plate", "readings"), words.say("plate", "readings_note").split("\n"))


def draw_residuals_on_plate(view: PlateView, words: Wording) -> Spec:
    """Standardised residual of every reading, in the shape of the plate."""
    cells = _measure(view.wells, (33, 21), (20, 14))
    residuals = standardise_wells(view)
    tiles = []
    for name, residual in residuals.items():
        at = well_position(name)
        share = max(-1.0, min(1.0, residual / FAR))
        full, half = (230, 159, 0) if share > 0 else (0, 114, 178), abs(share)
        dark = half > 0.75 and share < 0
        tiles.append(
            {**_box(at), "fill": _blend(full, half), "stroke": "white", "text": f"{residual:+.1f}", "ink": "white" if dark else INK}
        )
    bare = [{**_box(well_position(row["well"])), "fill": "white", "stroke": HAIR} for row in view.wells if row["well"] not in residuals]
    place = {"x": cells.places["x"]("mx"), "y": cells.places["y"]("my")}
    written = draw(
        tiles, {"type": "text", "fontSize": 8 if cells.large else 6}, {**place, "text": {"field": "text"}, "color": given("ink")}
    )
    views = [*_tile_layers([*bare, *tiles], cells), written, *_frame(cells)]
    return titled(_on_plate(views, cells), words.say("plate", "residual_map"), words.say("plate", "residual_map_note"))


def standardise_wells(view: PlateView) -> dict[str, float]:
    """Residual of each well in standard deviations of a reading.

    Standards and QC are expected to read at their nominal concentration, specimens at what all their wells together say.
    """
    if view.curve is None:
        return {}
    specimens = {row["specimen"]: row for row in view.concentrations}
    found: dict[str, float] = {}
    for row in view.own:
        log_conc = _expected(row, specimens)
        if log_conc is not None and row["signal"] is not None and row["status"] == WellStatus.OK:
            found[row["well"]] = standardise(view.curve, row["signal"], log_conc)
    return found


def _expected(row: Row, specimens: Mapping[str, Row]) -> float | None:
    """Log concentration at which a well should read, on the plate."""
    if row["role"] in {WellRole.STANDARD, WellRole.BLANK, WellRole.QC}:
        if row["nominal"] is None:
            return None
        return math.log(row["nominal"]) if row["nominal"] > 0 else -math.inf
    whole = specimens.get(row["specimen"])
    if whole is None or whole["log_concentration"] is None or len(str(whole["wells"] or "").split(",")) < 2:
        return None
    return float(whole["log_concentration"]) - math.log(row["dilution"] or 1.0)


def is_left_out(row: Row) -> bool:
    """Whether a standard or blank that could be read took no part in the fit."""
    standard = row["role"] in {WellRole.STANDARD, WellRole.BLANK}
    return bool(standard and row["status"] == WellStatus.OK and (row["reason"] is not None or row["nominal"] is None))


# ------------------------------------------------------------------------------------------------------------ parts


def _measure(wells: Sequence[Row], large: tuple[int, int], small: tuple[int, int]) -> _Cells:
    positions = [well_position(row["well"]) for row in wells]
    size = next((size for size in SIZES if all(r < size[0] and c < size[1] for r, c in positions)), SIZES[-1])
    return _Cells(*size, *(large if size == SIZES[0] else small))


def _box(at: tuple[int, int], inset: float = 0.03) -> Spec:
    row, column = at
    return {
        "x0": column + inset, "x1": column + 1 - inset, "y0": row + inset, "y1": row + 1 - inset, "mx": column + 0.5, "my": row + 0.5,
    }  # fmt: skip


def _blend(full: tuple[int, int, int], share: float) -> str:
    """A colour between white and a full one."""
    return "#" + "".join(f"{round(255 + (part - 255) * share):02x}" for part in full)


def _depth(row: Row, largest: float, *, own: bool) -> float:
    """Depth of a well's colour, 0 to 1: the root of its reading, so that the low standards differ too; 0 without reading."""
    if row["status"] == WellStatus.OVERFLOW:
        return 1.0
    reading = row["raw_signal"]
    if reading is None or not own or largest <= 0:
        return 0.0
    return 0.04 + 0.86 * math.sqrt(max(0.0, min(1.0, reading / largest)))


def _tile(row: Row, depth: float) -> Spec:
    return {**_box(well_position(row["well"])), "fill": _blend(DARKEST, depth), "stroke": LIGHT if depth == 0 else "white"}


def _tile_layers(tiles: Sequence[Spec], cells: _Cells) -> list[Spec]:
    at = {
        "x": cells.places["x"]("x0"), "x2": {"field": "x1"}, "y": cells.places["y"]("y0"), "y2": {"field": "y1"},
        "fill": given("fill"), "stroke": given("stroke"),
    }  # fmt: skip
    return [draw(tiles, {"type": "rect", "strokeWidth": 0.8, "cornerRadius": 2}, at)]


def _label(row: Row, name: str, depth: float, cells: _Cells, words: Wording) -> Spec:
    """What is written in a well: who it is, and what was read or why nothing was."""
    line, column = well_position(row["well"])
    state, reading = well_state(row), row["raw_signal"]
    told = "" if reading is None else f"{reading:.3f}" if cells.large else f"{reading:.2f}"
    if state:
        told = words.say("well_word" if cells.large else "well_sign", state)
    ink = "white" if depth > WHITE_ABOVE else GREY if depth == 0 else INK
    return {"mx": column + 0.5, "top": line + 0.3, "low": line + (0.7 if cells.large else 0.5), "name": name, "told": told, "ink": ink}


def well_state(row: Row) -> str:
    """Code of what is odd about a well; empty for one that was simply read, or that holds nothing."""
    if row["reason"] == Reason.EXCLUDED:
        return "excluded"
    if row["status"] == WellStatus.EMPTY:
        return "" if row["role"] in {None, WellRole.EMPTY} else "no-reading"
    return "" if row["status"] == WellStatus.OK else str(row["status"])


def _name(row: Row, words: Wording) -> str:
    if row["role"] == WellRole.STANDARD and row["nominal"] is not None:
        return print_nominal(row["nominal"])
    if row["role"] == WellRole.BLANK:
        return words.say("plate", "blank")
    return str(row["specimen"] or "") if row["role"] not in {None, WellRole.EMPTY} else ""


def _sign(row: Row, cells: _Cells) -> Spec | None:
    """Sign of a role in the upper left corner of a well."""
    if row["role"] not in SIGNS:
        return None
    shape, fill = SIGNS[WellRole(row["role"])]
    line, column = well_position(row["well"])
    corner = (0.12, 0.2) if cells.large else (0.08, 0.18)
    return {"sx": column + corner[0], "sy": line + corner[1], "shape": shape, "fill": fill}


def _strokes(row: Row) -> list[Spec]:
    """Diagonals over a well that was taken out: one where the reader's software did it, two for a decision."""
    box = _box(well_position(row["well"]), 0.06)
    rising = {"x0": box["x0"], "x1": box["x1"], "y0": box["y1"], "y1": box["y0"]}
    falling = {"x0": box["x0"], "x1": box["x1"], "y0": box["y0"], "y1": box["y1"]}
    if row["reason"] == Reason.EXCLUDED:
        return [rising, falling]
    return [rising] if row["status"] == WellStatus.MASKED else []


def _mark_layers(outlines: Sequence[Spec], strokes: Sequence[Spec], signs: Sequence[Spec], cells: _Cells) -> list[Spec]:
    x, y = cells.places["x"], cells.places["y"]
    corners = {"x": x("x0"), "x2": {"field": "x1"}, "y": y("y0"), "y2": {"field": "y1"}}
    sign = {"type": "point", "filled": True, "size": 26 if cells.large else 8, "stroke": INK, "strokeWidth": 0.8}
    return [
        draw(outlines, {"type": "rect", "filled": False, "stroke": INK, "strokeWidth": 1, "strokeDash": [3, 2]}, corners),
        draw(strokes, {"type": "rule", "color": GREY, "strokeWidth": 0.9}, corners),
        draw(signs, sign, {"x": x("sx"), "y": y("sy"), "shape": given("shape"), "fill": given("fill")}),
    ]


def _label_layers(labels: Sequence[Spec], cells: _Cells) -> list[Spec]:
    x, y, ink = cells.places["x"]("mx"), cells.places["y"], {"color": given("ink")}
    low = {"type": "text", "fontSize": 9.5 if cells.large else 7.5}
    views = [draw(labels, low, {"x": x, "y": y("low"), "text": {"field": "told"}, **ink})]
    if cells.large:
        views.append(draw(labels, {"type": "text", "fontSize": 8.5}, {"x": x, "y": y("top"), "text": {"field": "name"}, **ink}))
    return views


def _frame(cells: _Cells) -> list[Spec]:
    """Column numbers above, row letters beside."""
    columns = [{"mx": column + 0.5, "my": 0, "text": str(column + 1)} for column in range(cells.columns)]
    rows = [{"mx": 0, "my": row + 0.5, "text": well_name(row, 0)[0]} for row in range(cells.rows)]
    x, y = cells.places["x"], cells.places["y"]
    size = 10 if cells.large else 8.5
    text = {"text": {"field": "text"}}
    return [
        draw(columns, {"type": "text", "dy": -9, "fontSize": size, "color": GREY}, {"x": x("mx"), "y": y("my"), **text}),
        draw(rows, {"type": "text", "dx": -9, "fontSize": size, "color": GREY}, {"x": x("mx"), "y": y("my"), **text}),
    ]


def _on_plate(views: Sequence[Spec], cells: _Cells) -> Spec:
    return layer(views, cells.width * cells.columns, cells.height * cells.rows)
