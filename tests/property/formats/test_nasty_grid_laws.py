"""Laws of grids among other things: where a grid stands and what people wrote around it changes nothing that is read."""

import io
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from xlsxwriter import Workbook

from exvivo.errors import InputError
from exvivo.formats import grid
from exvivo.formats.delimited import decide_decimal, is_number_like, parse_number, signal_status
from exvivo.study.design import ReadingStatus, well_name

NOTES = st.sampled_from(["pipetted by Ann", "37 C", "lid off", "2026-03-01", "re-read?", "12.5", "#REF!", "see page 7"])
VALUES = st.integers(1, 40_000).map(lambda value: value / 10_000)
LETTERS = "ABCDEFGHIJKLMNOP"


def book(values: Sequence[Sequence[float]], place: tuple[int, int], notes: dict[tuple[int, int], str], *, on_the_right: bool) -> bytes:
    """A labelled grid at a place; notes stand by row and column outside of it."""
    buffer = io.BytesIO()
    target = Workbook(buffer, {"in_memory": True})
    sheet = target.add_worksheet()
    top, left = place
    for column in range(len(values[0])):
        sheet.write_number(top, left + column, column + 1)
    for row, line in enumerate(values, 1):
        sheet.write_string(top + row, left + len(line) if on_the_right else left - 1, LETTERS[row - 1])
        for column, value in enumerate(line):
            sheet.write_number(top + row, left + column, value)
    for (row, column), text in notes.items():
        sheet.write_string(row, column, text)
    target.close()
    return buffer.getvalue()


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([(8, 12), (16, 24), (3, 5)]),
    VALUES,
    st.integers(0, 9),
    st.integers(2, 9),
    st.dictionaries(st.tuples(st.integers(0, 30), st.integers(2, 8)), NOTES, max_size=6),
    st.booleans(),
)
def test_place_and_notes_do_not_change_what_is_read(
    size: tuple[int, int],
    first: float,
    top: int,
    left: int,
    notes: dict[tuple[int, int], str],
    on_the_right: bool,  # noqa: FBT001 - drawn
) -> None:
    values = [[round(first + row / 100 + column / 1000, 4) for column in range(size[1])] for row in range(size[0])]
    right = left + size[1]
    beside = {(row, right + column): text for (row, column), text in notes.items()}
    (plate,) = grid.parse(book(values, (top, left), beside, on_the_right=on_the_right), "x.xlsx").plates
    assert {one.well: one.signal for one in plate.readings} == {
        well_name(row, column): value for row, line in enumerate(values) for column, value in enumerate(line)
    }


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 8), st.integers(3, 12), st.integers(1, 7), VALUES)
def test_a_plate_cut_into_blocks_is_the_plate(n_rows: int, n_columns: int, cut: int, first: float) -> None:
    values = [[round(first + row / 100 + column / 1000, 4) for column in range(n_columns)] for row in range(n_rows)]
    lines: list[str] = []
    for begin, end in ((0, min(cut, n_rows)), (min(cut, n_rows), n_rows)):
        if end - begin:
            lines += ["," + ",".join(map(str, range(1, n_columns + 1)))]
            lines += [",".join([LETTERS[row], *map(str, values[row])]) for row in range(begin, end)] + [""]
    (plate,) = grid.parse("\n".join(lines).encode(), "x.csv").plates
    assert {one.well: one.signal for one in plate.readings} == {
        well_name(row, column): value for row, line in enumerate(values) for column, value in enumerate(line)
    }


@given(st.integers(0, 99_999), st.sampled_from([",", "."]), st.booleans())
def test_a_number_is_never_a_thousandfold_off(value: int, mark: str, alone: bool) -> None:  # noqa: FBT001 - drawn
    text = f"{value / 1000:.3f}".replace(".", mark)
    try:
        decimal = decide_decimal([text] if alone else [text, f"0{mark}5"], "x")
    except InputError:
        assert alone
        assert mark == ","
        assert value >= 1000
        return
    assert parse_number(text, decimal) == value / 1000


@given(st.text(max_size=12))
def test_any_text_is_a_number_or_a_state_or_unknown_and_never_both(text: str) -> None:
    status = signal_status(text)
    assert (status is ReadingStatus.OK) == is_number_like(text)
