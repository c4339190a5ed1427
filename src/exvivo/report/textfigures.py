"""A table of text -> a figure, so that a picture of a page can hold its tables too."""

from collections.abc import Sequence

from exvivo.report.sections import Grid
from exvivo.report.theme import GREY, HAIR, INK, VERMILION, Spec, draw, given, layer, linear_scale, quantity, titled

ROW_HEIGHT = 15
TONES = {"bad": VERMILION, "warn": "#8a5a00", "muted": GREY}


def draw_table(grid: Grid, widths: Sequence[int], title: str) -> Spec:
    """A table as text; ``widths`` of the columns in px, numbers to the right of theirs. Text that is too long is cut."""
    starts = [sum(widths[:k]) for k in range(len(widths))]
    total, height = sum(widths), len(grid.rows) + 1
    down, across = linear_scale((height, 0)), linear_scale((0, total))
    cells = []
    for line, (row, tone) in enumerate([(grid.heads, ""), *((one.cells, one.tone) for one in grid.rows)]):
        for k, text in enumerate(row):
            right = k in grid.numeric
            at = starts[k] + (widths[k] - 8 if right else 0)
            colour = GREY if line == 0 else TONES.get(tone, INK)
            cells.append(
                {"x": at, "y": line + 0.5, "text": _cut(text, widths[k] - 6), "align": "right" if right else "left", "ink": colour}
            )
    rules = [{"x": 0, "end": total, "y": line, "ink": INK if line == 1 else HAIR} for line in range(1, height + 1)]
    x, y = quantity("x", across, None), quantity("y", down, None)
    texts = [
        draw([cell for cell in cells if cell["align"] == align], {"type": "text", "align": align, "fontSize": 9.5},
             {"x": x, "y": y, "text": {"field": "text"}, "color": given("ink")})
        for align in ("left", "right")
    ]  # fmt: skip
    lines = draw(rules, {"type": "rule", "strokeWidth": 0.7}, {"x": x, "x2": {"field": "end"}, "y": y, "color": given("ink")})
    return titled(layer([lines, *texts], total, height * ROW_HEIGHT), title, "")


def _cut(text: str, width: int) -> str:
    """Text cut to what a column can hold, at 5 px for a letter."""
    most = max(1, int(width / 5))
    return text if len(text) <= most else f"{text[: most - 1]}…"
