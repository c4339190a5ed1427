"""FCS files with one deliberate oddity each: read right, or refused with a word."""

from pathlib import Path

import numpy as np
import pytest

from exvivo.errors import InputError
from exvivo.formats import fcs
from exvivo.study.design import Channel, SpilloverMatrix


def build(
    data: bytes = np.arange(6, dtype="<f4").tobytes(),
    *,
    text: dict[str, str] | None = None,
    drop: tuple[str, ...] = (),
    delimiter: str = "/",
    data_shift: tuple[int, int] = (0, 0),
    tail: bytes = b"",
) -> bytes:
    """A file of two float channels and three events, changed in the one way a test is about."""
    keywords = {"$BYTEORD": "1,2,3,4", "$DATATYPE": "F", "$MODE": "L", "$NEXTDATA": "0", "$PAR": "2", "$TOT": "3"}
    for i in (1, 2):
        keywords |= {f"$P{i}N": f"C{i}", f"$P{i}B": "32", f"$P{i}E": "0,0", f"$P{i}R": "262144"}
    keywords |= text or {}
    body = delimiter + "".join(f"{k}{delimiter}{v}{delimiter}" for k, v in keywords.items() if k not in drop)
    raw = body.encode("latin-1")
    begin = 58 + len(raw)
    offsets = (58, begin - 1, begin + data_shift[0], begin + len(data) - 1 + data_shift[1], 0, 0)
    return b"FCS3.0    " + "".join(f"{o:8d}" for o in offsets).encode() + raw + data + tail


def values(raw: bytes) -> list[list[float]]:
    (record,) = fcs.parse(raw)
    events: list[list[float]] = fcs.read_events(raw, record).tolist()
    return events


def test_plain_file_reads_as_written() -> None:
    assert values(build()) == [[0, 1], [2, 3], [4, 5]]
    (record,) = fcs.parse(build())
    assert (record.version, record.n_events, record.byte_order, record.issues) == ("FCS3.0", 3, "little", ())


@pytest.mark.parametrize("delimiter", [*".^+?([|\\*", "\x0c", "\x1e"])
def test_any_delimiter_separates(delimiter: str) -> None:
    (record,) = fcs.parse(build(delimiter=delimiter, text={"COST": "10$ US"}))
    assert [c.name for c in record.channels] == ["C1", "C2"]
    assert record.keywords["COST"] == "10$ US"


def test_doubled_delimiter_stands_for_itself_inside_and_at_the_end_of_a_value() -> None:
    (record,) = fcs.parse(build(text={"PATH": "a//b", "LAST": "ends//", "AFTER": "x"}))
    assert (record.keywords["PATH"], record.keywords["LAST"], record.keywords["AFTER"]) == ("a/b", "ends/", "x")


def test_empty_values_are_recognised_by_the_keywords_they_would_swallow() -> None:
    (record,) = fcs.parse(build(text={"EMPTY": "", "$SYS": "ok"}))
    assert (record.keywords["EMPTY"], record.keywords["$SYS"]) == ("", "ok")
    assert any("empty values" in issue for issue in record.issues)


def test_same_keyword_with_and_without_dollar_stays_two() -> None:
    (record,) = fcs.parse(build(text={"$OP": "anna", "OP": "bert"}))
    assert (record.keywords["$OP"], record.keywords["OP"]) == ("anna", "bert")


def test_blank_padded_keywords_are_read() -> None:
    padded = build(text={"  $P1V ": "  512  ", "$P2R": " 1024.0 "})
    (record,) = fcs.parse(padded)
    assert (record.channels[0].voltage, record.channels[1].range) == (512, 1024)


def test_latin1_text_is_read_and_named() -> None:
    (record,) = fcs.parse(build(text={"$P1S": "Ångström"}))
    assert record.channels[0].marker == "Ångström"
    assert any("Latin-1" in issue for issue in record.issues)


@pytest.mark.parametrize(("shift", "word"), [((0, 1), "HEADER"), ((0, -23), "HEADER"), ((0, 99_999_000), "HEADER")])
def test_header_end_is_settled_by_tot(shift: tuple[int, int], word: str) -> None:
    raw = build(data_shift=shift, tail=b"0000")
    (record,) = fcs.parse(raw)
    assert values(raw) == [[0, 1], [2, 3], [4, 5]]
    assert any(word in issue for issue in record.issues)


def test_text_offsets_win_when_only_they_fit() -> None:
    plain = build(text={"$BEGINDATA": "0000000000", "$ENDDATA": "0000000000"})
    begin = len(plain) - 24
    raw = build(text={"$BEGINDATA": f"{begin:010d}", "$ENDDATA": f"{begin + 23:010d}"}, data_shift=(-40, -7), tail=b"0000")
    assert values(raw) == [[0, 1], [2, 3], [4, 5]]


def test_missing_tot_is_counted_and_named() -> None:
    raw = build(drop=("$TOT",))
    assert values(raw) == [[0, 1], [2, 3], [4, 5]]
    assert any("$TOT" in issue for issue in fcs.parse(raw)[0].issues)


INTEGERS = {f"$P{i}{k}": v for i in (1, 2) for k, v in (("B", "16"), ("R", "1024"))} | {"$DATATYPE": "I"}


@pytest.mark.parametrize(("order", "mark"), [("1,2", "<"), ("4,3,2,1", ">"), ("2,1", ">")])
def test_integer_byte_orders_and_masks(order: str, mark: str) -> None:
    data = np.array([1, 1024 + 7, 1023, 2048, 5, 6], dtype=f"{mark}u2").tobytes()
    assert values(build(data, text=INTEGERS | {"$BYTEORD": order})) == [[1, 7], [1023, 0], [5, 6]]


def test_mask_of_a_range_that_is_no_power_of_two_keeps_the_bits_it_needs() -> None:
    data = np.array([999, 1023, 1024, 1, 2, 3], dtype="<u2").tobytes()
    assert values(build(data, text=INTEGERS | {"$P1R": "1000"}))[1][0] == 0


@pytest.mark.parametrize(("order", "byteorder"), [("1,2,3,4", "little"), ("4,3,2,1", "big")])
def test_mixed_widths_and_24_bits(order: str, byteorder: str) -> None:
    rows = [(70_000, 4_000_000_000), (1, 2), (16_777_215, 3)]
    sides = {"little": "little", "big": "big"}
    data = b"".join(a.to_bytes(3, sides[byteorder]) + b.to_bytes(4, sides[byteorder]) for a, b in rows)  # type: ignore[arg-type]  # literal by table
    text = {"$DATATYPE": "I", "$P1B": "24", "$P1R": "16777216", "$P2R": "4294967296", "$BYTEORD": order}
    assert values(build(data, text=text)) == [list(row) for row in rows]


def test_doubles_keep_their_digits() -> None:
    data = np.array([0.1, 1e300, -0.2, 3.0, 4.0, 5.0], dtype=">f8").tobytes()
    text = {"$DATATYPE": "D", "$P1B": "64", "$P2B": "64", "$BYTEORD": "8,7,6,5,4,3,2,1"}
    assert values(build(data, text=text))[0] == [0.1, 1e300]


def test_log_amplification_and_gain_give_linear_scale_values() -> None:
    data = np.array([0, 8, 512, 16, 1023, 24], dtype="<u2").tobytes()
    events = values(build(data, text=INTEGERS | {"$P1E": "4,0.5", "$P2G": "8"}))
    assert [row[1] for row in events] == [1, 2, 3]
    assert [row[0] for row in events] == pytest.approx([0.5, 50, 0.5 * 10 ** (4 * 1023 / 1024)])


def test_time_is_scaled_by_its_step_and_not_by_its_gain() -> None:
    text = {"$P1N": "Time", "$P1G": "0.01", "$TIMESTEP": "0.5"}
    assert [row[0] for row in values(build(text=text))] == [0, 1, 2]


def test_log_keyword_on_floats_is_not_applied_but_named() -> None:
    raw = build(text={"$P1E": "4,1"})
    assert values(raw)[1][0] == 2
    assert any("$P1E" in issue for issue in fcs.parse(raw)[0].issues)


def test_two_data_sets_are_two_records() -> None:
    first = build(text={"$NEXTDATA": "0000"})
    raw = build(text={"$NEXTDATA": f"{len(first):04d}"}) + build(np.arange(6, 12, dtype="<f4").tobytes())
    records = fcs.parse(raw)
    assert [record.index for record in records] == [0, 1]
    assert fcs.read_events(raw, records[1]).tolist() == [[6, 7], [8, 9], [10, 11]]


@pytest.mark.parametrize("key", ["$SPILLOVER", "SPILL", "$COMP"])
def test_spillover_keywords(key: str) -> None:
    (record,) = fcs.parse(build(text={key: "2,C2,C1,1,0.1,0.2,1"}))
    assert record.spillover == SpilloverMatrix(("C2", "C1"), ("C2", "C1"), ((1, 0.1), (0.2, 1)))


def test_spillover_that_is_no_matrix_is_named_and_not_used() -> None:
    (record,) = fcs.parse(build(text={"SPILL": "2,C1,C2,1,0.1,x,1"}))
    assert record.spillover is None
    assert any("SPILL" in issue for issue in record.issues)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"oi21j08cn\n", ["begins with", "FCS2.0"]),
        (build()[:-4], ["DATA", "cut short"]),
        (build()[:100], ["TEXT ends", "Copy the file again"]),
        (build(text={"$BYTEORD": "3,4,1,2"}), ["$BYTEORD", "3,4,1,2"]),
        (build(text={"$DATATYPE": "A"}), ["$DATATYPE is 'A'"]),
        (build(text={"$MODE": "C"}), ["$MODE is 'C'"]),
        (build(text={"$DATATYPE": "I", "$P1B": "10"}), ["$P1B is '10'", "8 or 16 or 24 or 32"]),
        (build(text={"$DATATYPE": "I", "$P2B": "64"}), ["$P2B is '64'"]),
        (build(text={"$P2DATATYPE": "I"}), ["$P2DATATYPE"]),
        (build(text={"$TOT": "5"}), ["DATA", "40 bytes"]),
        (build(text={"$TOT": "1"}), ["DATA", "8 bytes"]),
        (build(text={"$NEXTDATA": "9"}), ["$NEXTDATA", "byte 9"]),
        (build(drop=("$P2R",)), ["$P2R"]),
    ],
)
def test_refusals_say_what_is_wrong(raw: bytes, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        fcs.parse(raw)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_all_faults_of_a_file_are_told_together() -> None:
    with pytest.raises(InputError) as caught:
        fcs.parse(build(text={"$BYTEORD": "3,4,1,2", "$P1B": "12", "$MODE": "U"}))
    assert len(caught.value.messages) == 3


def test_file_that_shrank_since_it_was_described_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "Röhrchen 1.fcs"
    path.write_bytes(build())
    (record,) = fcs.parse(path)
    path.write_bytes(build()[:-4])
    with pytest.raises(InputError, match="has changed"):
        fcs.read_events(path, record)


def test_scaling_mapped_events_leaves_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "gain.fcs"
    path.write_bytes(build(text={"$P1G": "2"}))
    before = path.read_bytes()
    (record,) = fcs.parse(path)
    assert fcs.read_events(path, record)[:, 0].tolist() == [0, 1, 2]
    assert path.read_bytes() == before


def test_compose_refuses_what_it_cannot_write() -> None:
    channel = Channel(name="A", marker="", range=1024)
    events = np.zeros((1, 1), dtype=np.float32)
    for bad, word in [({"": "x"}, "empty"), ({"K": ""}, "empty"), ({"$PAR": "2"}, "set by compose"), ({"K": "\x0c|\\/!\x1e"}, "delimiter")]:
        with pytest.raises(ValueError, match=word):
            fcs.compose(events, [channel], keywords=bad)
    with pytest.raises(ValueError, match="channels"):
        fcs.compose(events, [channel, channel])
