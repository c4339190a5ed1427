"""What the eye takes for one id is told apart, and what it can tell stays different."""

import pytest

from exvivo.study.spelling import look_alike, tell_apart


@pytest.mark.parametrize(
    "other",
    ["m0012", "M 0012", "M\u00a00012", "\u041c0012", "\u039c0012", "MOO12", "MO0l2", "M\u200b0012", "\uff2d0012", "M0012\ufeff"],
)
def test_the_eye_takes_them_for_one(other: str) -> None:
    assert look_alike(other) == look_alike("M0012")
    assert other != "M0012"


@pytest.mark.parametrize("other", ["M0013", "M012", "M-0012", "N0012", "M00121"])
def test_the_eye_tells_them_apart(other: str) -> None:
    assert look_alike(other) != look_alike("M0012")


def test_dashes_look_alike_and_are_written_out() -> None:
    assert look_alike("D\u20131") == look_alike("D-1") == look_alike("D\u22121")
    assert tell_apart("D\u20131\u200b") == "'D<U+2013>1<U+200B>'"
