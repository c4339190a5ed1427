"""Effects -> what each registered interval is made of: one bar a row, stacked from curves, gates, readings and donors."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from exvivo.report.numbers import print_percent
from exvivo.report.theme import GREEN, HAIR, INK, ORANGE, PALE, PURPLE, Row, Spec, beside, draw, given, layer, linear_scale, quantity
from exvivo.report.wording import Wording
from exvivo.study.run import Run

PARTS: Mapping[str, str] = MappingProxyType(
    {"calibration_share": ORANGE, "gating_share": PURPLE, "reading_share": GREEN, "donor_share": HAIR}
)
"""Keys of a detail, in the order of a bar, with their colours."""

STEP, BAR, WIDTH, LABELS, COLUMN = 17, 11, 340, 130, 68
LEAST = 0.05  # per cent that are printed as a number


@dataclass(frozen=True, slots=True)
class ShareRow:
    """One bar: its label, and its shares in the order of ``PARTS``."""

    label: str
    shares: tuple[float, ...]


def collect_shares(run: Run) -> tuple[ShareRow, ...]:
    """Registered estimates that have shares, in registry order."""
    found = []
    for row in run.effects.effects.rows():
        facts = json.loads(str(row["detail"])) if row["detail"] else {}
        if all(name in facts for name in PARTS):
            label = run.protocol.analysis.readouts[str(row["readout"])].label
            parts = [str(row["outcome"]), label, *([f"× {row['modifier']}"] if row["modifier"] else [])]
            found.append(ShareRow(" ".join(parts), tuple(float(facts[name]) for name in PARTS)))
    return tuple(found)


def draw_shares(rows: Sequence[ShareRow], words: Wording) -> Spec:
    """Stacked bars of shares, per cent, with the numbers beside them under heads in the colours of the bars."""
    height = STEP * (len(rows) + 1)
    span = {"domain": [-1.5, len(rows) - 0.5], "reverse": True, "nice": False, "zero": False}
    y = quantity("row", span, None)
    views = [_write([(k, row.label) for k, row in enumerate(rows)], y, (LABELS, height)), _stack(rows, y, height)]
    for i, (name, colour) in enumerate(PARTS.items()):
        cells = [(-1, words.say("words", name)), *((k, _print(100 * row.shares[i])) for k, row in enumerate(rows))]
        views.append(_write(cells, y, (COLUMN, height), PALE if colour == HAIR else colour))
    return beside(views, spacing=8)


def _print(share: float) -> str:
    return "–" if share <= 0 else print_percent(share) if share >= LEAST else "<0.1"


def _stack(rows: Sequence[ShareRow], y: Spec, height: int) -> Spec:
    bars: list[Row] = []
    for k, row in enumerate(rows):
        start = 0.0
        for share, colour in zip(row.shares, PARTS.values(), strict=True):
            end = min(start + 100 * share, 100.0)
            if end > start:
                bars.append({"row": k, "start": start, "end": end, "colour": colour})
            start = end
    axis = {"values": [0, 25, 50, 75, 100], "orient": "bottom"}
    x = quantity("start", linear_scale((0.0, 100.0)), axis, "%")
    encoding = {"x": x, "x2": {"field": "end"}, "y": y, "color": given("colour")}
    return layer([draw(bars, {"type": "rule", "strokeWidth": BAR}, encoding)], WIDTH, height)


def _write(cells: Sequence[tuple[int, str]], y: Spec, size: tuple[int, int], head: str = INK) -> Spec:
    """A column of text; its head, in row -1, in a colour."""
    rows: list[Row] = [{"row": k, "text": text, "colour": head if k < 0 else INK} for k, text in cells]
    place = {"x": {"value": 0}, "y": y, "text": {"field": "text", "type": "nominal"}, "color": given("colour")}
    return layer([draw(rows, {"type": "text", "align": "left", "baseline": "middle"}, place)], *size)
