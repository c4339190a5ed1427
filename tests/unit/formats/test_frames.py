"""Frames: where they begin, whose letters they use, where they skip."""

import pytest

from exvivo.formats.frames import Frame, find_frames


def texts(*lines: str) -> list[list[str]]:
    return [line.split(",") for line in lines]


def test_a_frame_tells_its_first_well_and_its_letters() -> None:
    (left,), jumps = find_frames(texts("x,3,4,5", "C,,,", "D,,,"))
    assert (left, jumps) == (Frame(1, 1, 2, 2, 2, 3, 0), ())
    (right,), _ = find_frames(texts("1,2,", ",,A", ",,B", ",,C"))
    assert right == Frame(1, 0, 0, 0, 3, 2, 2)


def test_a_grid_without_letters_uses_those_of_the_grid_on_its_left() -> None:
    frames, _ = find_frames(texts(",1,2,,1,2", "A,,,,,", "B,,,,,"))
    assert [(one.left, one.letters, one.n_rows) for one in frames] == [(1, 0, 2), (4, 0, 2)]
    assert find_frames(texts("1,2", "x,y", "A,z"))[0] == ()


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ((",1,2,5,6", "A,,,,", "B,,,,"), ["column numbers jump from 2 to 5"]),
        ((",1,2", "A,,", "B,,", "D,,"), ["row letters jump from B to D"]),
        ((",1,2", "A,,", "B,,", "", "C,,"), ["row letters jump from B to C"]),
        ((",1,2", "A,,", "B,,", ",1,2", "C,,", "D,,"), []),
        ((",1,2", "A,,", "B,,", "A,,"), []),
        ((",1,2,,3,4", "A,,,A,,", "B,,,B,,"), []),
    ],
)
def test_skips_are_told_unless_a_frame_begins_there(lines: tuple[str, ...], found: list[str]) -> None:
    assert [jump.found for jump in find_frames(texts(*lines))[1]] == found
