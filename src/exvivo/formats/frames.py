"""Where the frames of plate-shaped grids stand among the cells of a sheet: column numbers and row letters.

In flow the texts of an area; out flow frames, and jumps: places where numbers or letters skip, behind
which cells would be lost without a word. A frame may begin at any row and column (a part of a plate, a
plate printed in two halves), its letters may stand on the left, on the right, or be shared with the grid
beside it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LETTERS = "ABCDEFGHIJKLMNOP"
MAX_COLUMNS = 24
_COLUMN = re.compile(r"(?:col(?:umn)?\.?\s*)?0*([1-9]\d?)(?:\.0+)?", re.IGNORECASE)
_ROW = re.compile(r"(?:row\s*)?([A-P])[.:)]?", re.IGNORECASE)
_LOOK_AHEAD = 2

Texts = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: place of its first well, row and column of that well on the plate, size, column of its letters."""

    top: int
    left: int
    first_row: int
    first_column: int
    n_rows: int
    n_columns: int
    letters: int


@dataclass(frozen=True, slots=True)
class Jump:
    """A place where numbers or letters of a frame skip."""

    row: int
    column: int
    found: str


@dataclass(frozen=True, slots=True)
class Block:
    """A block of readings without a whole frame: place of its first well, size, and which half of a frame it has."""

    top: int
    left: int
    n_rows: int
    n_columns: int
    has_numbers: bool
    has_letters: bool


def column_number(text: str) -> int | None:
    """Column of a plate that a text names, from 1.

    >>> column_number("03"), column_number("Col 4"), column_number("5.0"), column_number("25")
    (3, 4, 5, None)
    """
    match = _COLUMN.fullmatch(text) if text else None
    return int(match[1]) if match and int(match[1]) <= MAX_COLUMNS else None


def row_number(text: str) -> int | None:
    """Row of a plate that a text names, from 0.

    >>> row_number("b"), row_number("Row C"), row_number("Q")
    (1, 2, None)
    """
    match = _ROW.fullmatch(text) if text else None
    return LETTERS.index(match[1].upper()) if match else None


def find_frames(texts: Texts) -> tuple[tuple[Frame, ...], tuple[Jump, ...]]:
    """All frames in reading order, and where they skip."""
    frames: list[Frame] = []
    jumps: list[Jump] = []
    for row in range(len(texts) - 1):
        beside: Frame | None = None
        for column, first, length in _runs(texts[row]):
            frame = _frame(texts, (row, column), first, length, beside)
            if frame is None:
                continue
            beside = frame
            frames.append(frame)
            jumps += _jumps(texts, frame)
    return tuple(frames), tuple(jumps)


def find_blocks(texts: Texts, signals: Sequence[Sequence[bool]], sizes: Sequence[tuple[int, int]]) -> Iterator[Block]:
    """Blocks of readings of exactly one of the sizes: rows of one unbroken run each, all at the same columns."""
    runs = [_signal_run(row) for row in signals]
    row = 0
    while row < len(runs):
        end, run = row, runs[row]
        while end < len(runs) and run is not None and runs[end] == run:
            end += 1
        if run is not None:
            left, width = run
            numbered = all(column_number(_text(texts, row, left + n)) == n + 1 for n in range(width))
            height = end - row - numbered
            if (height, width) in sizes:
                lettered = left > 0 and all(row_number(_text(texts, row + numbered + n, left - 1)) == n for n in range(height))
                yield Block(row + numbered, left, height, width, numbered, lettered)
        row = max(end, row + 1)


def _signal_run(signals: Sequence[bool]) -> tuple[int, int] | None:
    """First column and length of the one unbroken run of 12 or 24 readings of a row, else None."""
    places = [at for at, is_signal in enumerate(signals) if is_signal]
    if len(places) in {12, 24} and places[-1] - places[0] == len(places) - 1:
        return places[0], len(places)
    return None


def _runs(row: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    """Column, first number and length of each run of rising numbers."""
    numbers = [column_number(text) for text in row]
    at = 0
    while at < len(numbers):
        first = numbers[at]
        end = at + 1
        while first is not None and end < len(numbers) and numbers[end] == first + end - at:
            end += 1
        if first is not None and end - at > 1:
            yield at, first, end - at
        at = end


def _frame(texts: Texts, place: tuple[int, int], first: int, length: int, beside: Frame | None) -> Frame | None:
    """The frame under a run of numbers, if letters stand beside it or beside the grid on its left."""
    row, column = place
    for at in (column - 1, column + length):
        start, count = _letters(texts, row + 1, at)
        if start is not None and count > 1:
            return Frame(row + 1, column, start, first - 1, count, length, at)
    if beside is not None:
        return Frame(row + 1, column, beside.first_row, first - 1, beside.n_rows, length, beside.letters)
    return None


def _letters(texts: Texts, row: int, column: int) -> tuple[int | None, int]:
    """Row that the letters of a column begin with, and how many follow without a gap."""
    start = row_number(_text(texts, row, column))
    count = 0
    while start is not None and row_number(_text(texts, row + count, column)) == start + count:
        count += 1
    return start, count


def _jumps(texts: Texts, frame: Frame) -> Iterator[Jump]:
    """Where the numbers go on after a gap on the right, or the letters below, without a frame of their own."""
    last, header = frame.first_column + frame.n_columns, frame.top - 1
    for ahead in range(_LOOK_AHEAD):
        column = frame.left + frame.n_columns + ahead
        number = column_number(_text(texts, header, column))
        if number is not None and number > last and row_number(_text(texts, frame.top, column - 1)) is None:
            yield Jump(header, column, f"column numbers jump from {last} to {number}")
            break
    lowest = frame.first_row + frame.n_rows
    for ahead in range(_LOOK_AHEAD):
        row = frame.top + frame.n_rows + ahead
        if column_number(_text(texts, row, frame.left)) == frame.first_column + 1 and _text(texts, row, frame.letters) == "":
            return
        letter = row_number(_text(texts, row, frame.letters))
        if letter is not None and letter >= lowest:
            yield Jump(row, frame.letters, f"row letters jump from {LETTERS[lowest - 1]} to {LETTERS[letter]}")
            return


def _text(texts: Texts, row: int, column: int) -> str:
    return texts[row][column] if 0 <= row < len(texts) and 0 <= column < len(texts[row]) else ""
