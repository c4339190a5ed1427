"""What compose writes, byte for byte where it matters, and what it refuses."""

import numpy as np
import pytest
from numpy.typing import NDArray

from exvivo.formats import fcs
from exvivo.study.design import Channel

FLOAT = Channel("A", "", 1024.0)
WORD = Channel("C", "", 1024.0, bits=16, datatype="I")
TEN = Channel("E", "", 1024.0, bits=10, datatype="I")
ONE = np.ones((1, 1), dtype=np.float32)


def test_bytes_of_integers_lie_as_the_standard_says() -> None:
    channel = [Channel("A", "", 2.0**32, bits=32, datatype="I")]
    events = np.array([[0x01020304]])
    for order, stored in [("little", b"\4\3\2\1"), ("big", b"\1\2\3\4"), ("3,4,1,2", b"\2\1\4\3"), ("2,1,4,3", b"\3\4\1\2")]:
        raw = fcs.compose(events, channel, form=fcs.Form(byte_order=order))
        (record,) = fcs.parse(raw)
        assert raw[record.data_begin : record.data_end + 1] == stored


def test_ten_bits_are_packed_across_bytes() -> None:
    raw = fcs.compose(np.array([[1, 1023], [512, 7]]), [TEN, TEN], form=fcs.Form(byte_order="big"))
    (record,) = fcs.parse(raw)
    assert raw[record.data_begin : record.data_end + 1] == bytes([0b00000000, 0b01111111, 0b11111000, 0b00000000, 0b00000111])


def test_old_versions_know_less() -> None:
    raw = fcs.compose(ONE, [FLOAT], form=fcs.Form("FCS2.0"))
    assert b"$BEGINDATA" not in raw
    assert len(raw) == fcs.parse(raw)[0].data_end + 1
    assert b"$P2DATATYPE" in fcs.compose(np.ones((1, 2)), [FLOAT, WORD], form=fcs.Form("FCS3.2"))


def test_delimiter_is_doubled_where_all_of_them_are_in_use() -> None:
    every = "x\x0c|\\/!\x1e"
    (record,) = fcs.parse(fcs.compose(ONE, [FLOAT], keywords={"K": every, "L": every[::-1]}))
    assert (record.keywords["K"], record.keywords["L"]) == (every, every[::-1])


@pytest.mark.parametrize(
    ("events", "channels", "form", "word"),
    [
        (ONE, [FLOAT, FLOAT], fcs.Form(), "2 channels"),
        (np.ones(3), [FLOAT], fcs.Form(), "shape"),
        (np.array([[0.1]]), [FLOAT], fcs.Form(), "cannot hold"),
        (np.array([[1e300]]), [FLOAT], fcs.Form(), "cannot hold"),
        (np.array([[0.5]]), [WORD], fcs.Form(), "cannot hold"),
        (np.array([[1024]]), [WORD], fcs.Form(), "0 to 1023"),
        (np.array([[-1]]), [WORD], fcs.Form(), "0 to 1023"),
        (np.array([[np.nan]]), [WORD], fcs.Form(), "0 to 1023"),
        (ONE, [FLOAT], fcs.Form(version="FCS1.0"), "version"),
        (ONE, [FLOAT], fcs.Form(byte_order="middle"), "byte order"),
        (ONE, [FLOAT], fcs.Form(byte_order="3,4,1,2"), "32-bit integers"),
        (ONE, [FLOAT], fcs.Form(delimiter="||"), "delimiter"),
        (ONE, [FLOAT], fcs.Form(delimiter="ß"), "delimiter"),
        (ONE, [FLOAT], fcs.Form(delimiter="$"), "delimiter"),
        (ONE, [FLOAT], fcs.Form(version="FCS2.0", far=True), "HEADER only"),
        (np.ones((1, 2)), [FLOAT, WORD], fcs.Form(), "FCS 3.2"),
        (np.ones((1, 2)), [FLOAT, TEN], fcs.Form("FCS3.2"), "packed"),
        (ONE, [Channel("A", "", 1.0, bits=16)], fcs.Form(), "encoding"),
        (ONE, [Channel("A", "", 1.0, bits=7, datatype="I")], fcs.Form(), "encoding"),
    ],
)
def test_what_cannot_be_written_is_refused(events: NDArray[np.float64], channels: list[Channel], form: fcs.Form, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        fcs.compose(events, channels, form=form)


@pytest.mark.parametrize(
    ("keywords", "word"),
    [({"": "x"}, "empty"), ({"K": ""}, "empty"), ({"$PAR": "2"}, "set by compose"), ({"$nextdata": "2"}, "set by compose")],
)
def test_keywords_that_cannot_be_written_are_refused(keywords: dict[str, str], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        fcs.compose(ONE, [FLOAT], keywords=keywords)


def test_text_that_leaves_no_delimiter_is_refused() -> None:
    with pytest.raises(ValueError, match="delimiter"):
        fcs.compose(ONE, [FLOAT], keywords={f"K{sign}K": "x" for sign in "\x0c|\\/!\x1e"})
    with pytest.raises(ValueError, match="data set"):
        fcs.compose_all([])


def test_file_beyond_100_megabytes_leaves_zeros_in_the_header() -> None:
    events = np.zeros((25_000_001, 1), dtype=np.float32)
    events[-1] = 7
    raw = fcs.compose(events, [FLOAT])
    assert raw[26:42] == b"       0       0"
    (record,) = fcs.parse(raw)
    assert (record.n_events, record.issues) == (25_000_001, ())
    assert fcs.read_columns(raw[: record.data_end + 1], record, [0])[-1, 0] == 7
