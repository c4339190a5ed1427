"""FCS files with one deliberate oddity each: read right, or refused with a word."""

import time
from pathlib import Path

import numpy as np
import pytest

from exvivo.errors import InputError
from exvivo.formats import fcs
from exvivo.study.design import SpilloverMatrix


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


@pytest.mark.parametrize("delimiter", [*".^+?([|\\*:@~", "\x0c", "\x1e", "\x01", "\t", "\n", "\xff", "\xa7"])
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
        (b"FCS1.0" + build()[6:], ["FCS1.0", "FCS 1.0 is not supported"]),
        (b"FCS4.0" + build()[6:], ["FCS4.0", "FCS3.2"]),
        (build()[:-4], ["DATA", "cut short"]),
        (build()[:100], ["TEXT ends", "Copy the file again"]),
        (build(text={"$BYTEORD": "3,4,1,2"}), ["$BYTEORD", "3,4,1,2"]),
        (build(text={"$DATATYPE": "A"}), ["$DATATYPE is 'A'"]),
        (build(text={"$MODE": "C"}), ["$MODE is 'C'"]),
        (build(text={"$DATATYPE": "I", "$P1B": "7"}), ["$P1B is '7'", "8 to 56 bits, or 64"]),
        (build(text={"$DATATYPE": "I", "$P2B": "65"}), ["$P2B is '65'"]),
        (build(text={"$P2B": "64"}), ["$P2B is '64' with data type F", "32 bits"]),
        (build(text={"$P2DATATYPE": "A"}), ["$P2DATATYPE is 'A'"]),
        (build(text={"$DATATYPE": "I", "$P1B": "10", "$P2B": "64", "$P2DATATYPE": "D"}), ["packs bits beside"]),
        (build(text={"$DATATYPE": "I", "$P1B": "10", "$P2B": "64"}), ["packs bits beside"]),
        (build(text={"$DATATYPE": "I", "$P1B": "16", "$BYTEORD": "3,4,1,2"}), ["$BYTEORD is '3,4,1,2'"]),
        (build(text={"$DATATYPE": "I", "$P1E": "4000,1"}), ["$P1E is '4000,1'"]),
        (build(text={"$DATATYPE": "I", "$P1E": "4,1", "$P1R": "0"}), ["$P1E is '4,1' but $P1R is '0'"]),
        (build(text={"$P1G": "-1"}), ["$P1G is '-1'"]),
        (build(text={"$P1R": "nan"}), ["$P1R is 'nan'"]),
        (build(text={"$P1R": "1e400"}), ["$P1R is '1e400'"]),
        (build(text={"$PAR": "900000000"}), ["$PAR is '900000000'"]),
        (build(text={"$TOT": "0"}), ["$TOT = 0 events", "cut short"]),
        (build(text={"$MODE": "U"}), ["$MODE is 'U'"]),
        (build(data_shift=(-30, -30)), ["HEADER puts DATA at bytes"]),
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
        fcs.parse(build(text={"$BYTEORD": "3,4,1,2", "$P1B": "16", "$MODE": "U"}))
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


def test_dollar_as_a_delimiter_is_read_where_keywords_double_it() -> None:
    plain = build()
    begin, end = 58, len(plain) - 25
    text = plain[begin : end + 1].replace(b"$", b"$$").replace(b"/", b"$")
    header = b"FCS3.0    " + "".join(f"{o:8d}" for o in (58, 57 + len(text), 58 + len(text), 81 + len(text), 0, 0)).encode()
    assert values(header + text + plain[end + 1 :]) == [[0, 1], [2, 3], [4, 5]]


def test_utf8_values_survive_a_delimiter_that_is_no_letter() -> None:
    plain = build(text={"$P1S": "/"}, delimiter="\xfe")
    raw = plain.replace(b"\xfe/\xfe", b"\xfe\xc2\xb5\xfe")
    assert len(raw) == len(plain) + 1
    header = raw[:10] + "".join(f"{int(raw[10 + 8 * i : 18 + 8 * i]) + (i > 0):8d}" for i in range(4)).encode() + raw[42:]
    (record,) = fcs.parse(header)
    assert record.channels[0].marker == "µ"
    assert record.issues == ()


def test_empty_values_and_doubled_delimiters_stand_side_by_side() -> None:
    (record,) = fcs.parse(build(text={"EMPTY": "", "NEXT": "", "$SYS": "a//b", "FIRST": "//c"}))
    found = {key: record.keywords[key] for key in ("EMPTY", "NEXT", "$SYS", "FIRST")}
    assert found == {"EMPTY": "", "NEXT": "", "$SYS": "a/b", "FIRST": "/c"}


def lengthened(raw: bytes, tail: bytes) -> bytes:
    """The same file with more bytes behind TEXT, which HEADER counts as TEXT."""
    text_end, begin = int(raw[18:26]), int(raw[26:34])
    numbers = (58, text_end + len(tail), begin + len(tail), int(raw[34:42]) + len(tail), 0, 0)
    return raw[:10] + "".join(f"{n:8d}" for n in numbers).encode() + raw[58:begin] + tail + raw[begin:]


@pytest.mark.parametrize("tail", [b" ", b"\0\0\0", b"/", b"   /", b"  /  /", b"\r\n"])
def test_padding_behind_text_is_no_keyword(tail: bytes) -> None:
    raw = lengthened(build(), tail)
    assert values(raw) == [[0, 1], [2, 3], [4, 5]]
    assert fcs.parse(raw)[0].issues == ()


@pytest.mark.parametrize("tail", [b"\x07", b"LASER DELAY", b"x/"])
def test_keyword_without_value_at_the_end_is_left_out_and_named(tail: bytes) -> None:
    raw = lengthened(build(), tail)
    assert values(raw) == [[0, 1], [2, 3], [4, 5]]
    (issue,) = fcs.parse(raw)[0].issues
    assert "TEXT ends with" in issue


@pytest.mark.parametrize("path", ["C:/runs", "C:/runs/today", "C:/a/b/c/d.fcs"])
def test_single_delimiters_in_a_value_do_not_shift_what_follows(path: str) -> None:
    raw = build(text={"PATH": path, "$P1G": "2", "$TIMESTEP": "0.5"})
    assert values(raw) == [[0, 1], [1, 3], [2, 5]]
    (record,) = fcs.parse(raw)
    assert record.keywords["PATH"].startswith("C:")
    assert any("single delimiters" in issue for issue in record.issues) == (path.count("/") % 2 == 1)


def test_keyword_as_a_value_is_a_value() -> None:
    """Perverse, but legal; where the keyword is nowhere else, it is told."""
    (record,) = fcs.parse(build(text={"X0": "$PAR", "X1": "$P2S"}))
    assert (record.keywords["X0"], record.keywords["X1"]) == ("$PAR", "$P2S")
    assert record.issues == ("TEXT holds $P2S where a value should stand; keywords may be shifted against their values there",)


def test_keywords_that_nothing_puts_right_are_refused() -> None:
    raw = build()
    with pytest.raises(InputError, match=r"\$PAR"):
        fcs.parse(raw.replace(b"/$", b"$"))


def test_end_of_text_one_byte_late_does_not_swallow_data() -> None:
    raw = build()
    late = raw[:18] + f"{int(raw[18:26]) + 1:8d}".encode() + raw[26:]
    assert values(late) == [[0, 1], [2, 3], [4, 5]]


def test_header_and_text_that_agree_outvote_tot() -> None:
    plain = build(text={"$BEGINDATA": "00000", "$ENDDATA": "00000", "$TOT": "5"})
    begin = len(plain) - 24
    raw = build(text={"$BEGINDATA": f"{begin:05d}", "$ENDDATA": f"{begin + 23:05d}", "$TOT": "5"})
    assert values(raw) == [[0, 1], [2, 3], [4, 5]]
    assert fcs.parse(raw)[0].issues == ("$TOT is 5, while HEADER and TEXT both give DATA room for 3 events, which were read",)


@pytest.mark.parametrize("fields", ["       0      -1", "****************", "                "])
def test_header_without_offsets_leaves_those_of_text(fields: str) -> None:
    plain = build(text={"$BEGINDATA": "00000", "$ENDDATA": "00000"})
    begin = len(plain) - 24
    raw = build(text={"$BEGINDATA": f"{begin:05d}", "$ENDDATA": f"{begin + 23:05d}"})
    assert values(raw[:26] + fields[:16].encode() + raw[42:]) == [[0, 1], [2, 3], [4, 5]]


def test_header_of_99999999_leaves_the_offsets_of_text() -> None:
    plain = build(text={"$BEGINDATA": "00000", "$ENDDATA": "00000"})
    begin = len(plain) - 24
    raw = build(text={"$BEGINDATA": f"{begin:05d}", "$ENDDATA": f"{begin + 23:05d}"})
    assert values(raw[:26] + b"9999999999999999" + raw[42:]) == [[0, 1], [2, 3], [4, 5]]


def test_range_with_a_decimal_point_masks_like_a_whole_one() -> None:
    data = np.array([1024 + 7, 1, 2, 3, 4, 5], dtype="<u2").tobytes()
    assert values(build(data, text=INTEGERS | {"$P1R": "1024.0"}))[0][0] == 7


@pytest.mark.parametrize(("order", "places"), [("3,4,1,2", (2, 3, 0, 1)), ("2,1,4,3", (1, 0, 3, 2)), ("4,3,2,1", (3, 2, 1, 0))])
def test_odd_byte_orders_of_integers_are_decoded(order: str, places: tuple[int, ...]) -> None:
    whole = np.array([1, 2**24 + 3, 2**31, 4, 70_000, 6], dtype="<u4")
    data = whole.view(np.uint8).reshape(-1, 4)[:, places].tobytes()
    text = {"$DATATYPE": "I", "$BYTEORD": order, "$P1R": "4294967296", "$P2R": "4294967296"}
    assert values(build(data, text=text)) == whole.reshape(3, 2).tolist()


TEN_BITS = {"$DATATYPE": "I", "$P1B": "10", "$P1R": "1024", "$P2B": "10", "$P2R": "1024"}
TEN_BIT_ROWS = [[1, 1023], [512, 7], [300, 1000]]


def packed(order: str, *, padded: bool = False) -> bytes:
    """Bits one behind the other, written by string arithmetic."""
    rows = []
    for row in TEN_BIT_ROWS:
        bits = [f"{value:010b}" if order == "big" else f"{value:010b}"[::-1] for value in row]
        rows.append("".join(bits).ljust(24 if padded else 20, "0"))
    stream = "".join(rows)
    octets = [stream[i : i + 8].ljust(8, "0") for i in range(0, len(stream), 8)]
    return bytes(int(octet if order == "big" else octet[::-1], 2) for octet in octets)


@pytest.mark.parametrize(("order", "digits"), [("little", "1,2,3,4"), ("big", "4,3,2,1")])
@pytest.mark.parametrize("padded", [False, True])
def test_ten_bit_integers_packed_into_bytes(order: str, digits: str, padded: bool) -> None:  # noqa: FBT001  a parameter of the case
    raw = build(packed(order, padded=padded), text=TEN_BITS | {"$BYTEORD": digits})
    assert values(raw) == TEN_BIT_ROWS
    (issue,) = fcs.parse(raw)[0].issues
    assert "packed without gaps" in issue
    assert ("new byte" in issue) == padded


@pytest.mark.parametrize("late", [0, 1])
def test_ten_bits_that_are_two_bytes_as_coulter_writes_them(late: int) -> None:
    raw = build(np.array(TEN_BIT_ROWS, "<u2").tobytes(), text=TEN_BITS | {"$BYTEORD": "1,2"}, data_shift=(0, late), tail=b"\0")
    assert values(raw) == TEN_BIT_ROWS
    (record,) = fcs.parse(raw)
    assert [channel.bits for channel in record.channels] == [16, 16]
    assert any("Coulter" in issue for issue in record.issues)


def test_mixed_data_types_of_fcs_32() -> None:
    layout = np.dtype([("a", "<f4"), ("b", "<u2"), ("c", "<f8")])
    rows = [(0.5, 60_000, 0.1), (-1.5, 7, 1e300), (3.0, 1023, -2.0)]
    text = {"$PAR": "3", "$P2DATATYPE": "I", "$P2B": "16", "$P2R": "65536", "$P3DATATYPE": "D"}
    text |= {"$P3N": "C3", "$P3B": "64", "$P3E": "0,0", "$P3R": "1"}
    raw = build(np.array(rows, layout).tobytes(), text=text)
    assert values(raw) == [list(row) for row in rows]
    assert any("$P2DATATYPE, $P3DATATYPE: a keyword of FCS 3.2" in issue for issue in fcs.parse(raw)[0].issues)
    assert fcs.parse(b"FCS3.2" + raw[6:])[0].issues == ()


def test_64_bit_integers_beyond_53_bits_are_read_and_the_rounding_is_named() -> None:
    data = np.array([2**60, 2**53 + 1, 1, 2, 3, 4], dtype="<u8").tobytes()
    text = {"$DATATYPE": "I", "$P1B": "64", "$P2B": "64", "$P1R": "18446744073709551616", "$P2R": "1048576"}
    raw = build(data, text=text)
    assert values(raw)[0] == [2.0**60, 1]
    assert fcs.parse(raw)[0].issues == ("integers above 2**53 are rounded to 53 bits; $P1R allow them",)


def test_single_bytes_need_no_byte_order() -> None:
    raw = build(bytes(range(250, 256)), text={"$DATATYPE": "I", "$P1B": "8", "$P2B": "8"}, drop=("$BYTEORD",))
    assert values(raw) == [[250, 251], [252, 253], [254, 255]]


def test_duplicate_names_are_kept_and_named() -> None:
    (record,) = fcs.parse(build(text={"$P2N": "C1"}))
    assert [channel.name for channel in record.channels] == ["C1", "C1"]
    assert record.issues == ("channel name 'C1' is used 2 times",)


@pytest.mark.parametrize("found", ["0", "-0.01", "x", "1e-300"])
def test_time_step_that_cannot_be_is_not_applied_but_named(found: str) -> None:
    raw = build(text={"$P1N": "Time", "$TIMESTEP": found})
    assert [row[0] for row in values(raw)] == [0, 2, 4]
    assert any("$TIMESTEP" in issue for issue in fcs.parse(raw)[0].issues)


def test_fcs_32_needs_no_mode() -> None:
    raw = build(drop=("$MODE",))
    assert "$MODE is absent; list mode is taken" in fcs.parse(raw)[0].issues
    assert fcs.parse(b"FCS3.2" + raw[6:])[0].issues == ()


@pytest.mark.parametrize(("begin", "end", "told"), [(60, 90, "overlaps TEXT"), (58, 0, ""), (9000, 9999, "outside the file")])
def test_supplemental_text_that_is_none(begin: int, end: int, told: str) -> None:
    (record,) = fcs.parse(build(text={"$BEGINSTEXT": f"{begin:04d}", "$ENDSTEXT": f"{end:04d}"}))
    assert any(told in issue for issue in record.issues) == bool(told)


def test_supplemental_text_adds_keywords() -> None:
    plain = build(text={"$BEGINSTEXT": "0000", "$ENDSTEXT": "0000"})
    begin, further = len(plain), b"/OPERATOR/anna/"
    raw = build(text={"$BEGINSTEXT": f"{begin:04d}", "$ENDSTEXT": f"{begin + len(further) - 1:04d}"}, tail=further)
    assert fcs.parse(raw)[0].keywords["OPERATOR"] == "anna"


def test_columns_alone_equal_columns_of_all(tmp_path: Path) -> None:
    path = tmp_path / "scaled.fcs"
    path.write_bytes(build(text={"$P1N": "Time", "$TIMESTEP": "0.5", "$P2G": "4"}))
    (record,) = fcs.parse(path)
    whole = fcs.read_events(path, record)
    np.testing.assert_array_equal(fcs.read_columns(path, record, [1, 0]), whole[:, [1, 0]])
    assert fcs.read_columns(path, record, [1]).dtype == np.float32
    with pytest.raises(IndexError, match="2"):
        fcs.read_columns(path, record, [2])


def test_unscaled_events_times_factors_are_scaled_events() -> None:
    raw = build(text={"$P1N": "Time", "$TIMESTEP": "0.5", "$P2G": "4"})
    (record,) = fcs.parse(raw)
    assert fcs.scale_factors(record).tolist() == [0.5, 0.25]
    plain = fcs.read_events(raw, record, scaled=False)
    assert plain.tolist() == [[0, 1], [2, 3], [4, 5]]
    np.testing.assert_array_equal(plain * fcs.scale_factors(record), fcs.read_events(raw, record))
    fcs.apply_scales(plain[1:], record, [0, 1])
    assert plain.tolist() == [[0, 1], [1, 0.75], [2, 1.25]]


def test_unscaled_float32_is_the_mapped_file(tmp_path: Path) -> None:
    path = tmp_path / "gain.fcs"
    path.write_bytes(build(text={"$P1G": "2"}))
    (record,) = fcs.parse(path)
    mapped = fcs.read_events(path, record, scaled=False)
    assert isinstance(mapped.base, np.memmap)


def between(header: tuple[int, int], text: tuple[int, int], tail: bytes = b"") -> bytes:
    """A file whose HEADER and TEXT are wrong by so many bytes at begin and end."""
    plain = build(text={"$BEGINDATA": "00000", "$ENDDATA": "00000"})
    begin = len(plain) - 24
    offsets = {"$BEGINDATA": f"{begin + text[0]:05d}", "$ENDDATA": f"{begin + 23 + text[1]:05d}"}
    return build(text=offsets, data_shift=header, tail=tail)


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ((1, 1), (0, 0)),  # FlowJo and cytofkit: 4329 in HEADER, 4328 in TEXT
        ((0, 0), (-1, -1)),
        ((0, 1), (-434, -433)),  # Accuri C6: 2960 to 3399976 in HEADER, 2526 to 3399542 in TEXT
        ((0, 0), (0, 1)),
        ((0, 1), (0, 1)),
        ((4, 4), (0, 0)),
        ((0, 0), (0, 100_000)),  # ends cut to eight digits
        ((0, -24), (0, 0)),
    ],
)
@pytest.mark.parametrize("tail", [b"", b"00000000", b"0" * 40])
def test_header_and_text_that_differ_are_settled_by_what_lies_beside(header: tuple[int, int], text: tuple[int, int], tail: bytes) -> None:
    raw = between(header, text, tail)
    assert values(raw) == [[0, 1], [2, 3], [4, 5]]
    assert any("$TOT events fill" in issue for issue in fcs.parse(raw)[0].issues)


@pytest.mark.parametrize("tail", [b"", b"0" * 40])
def test_header_that_counts_from_one_is_settled_by_the_last_delimiter(tail: bytes) -> None:
    raw = between((1, 1), (0, 0), tail)
    assert values(raw[:18] + f"{int(raw[18:26]) + 1:8d}".encode() + raw[26:]) == [[0, 1], [2, 3], [4, 5]]


def test_two_places_with_as_much_for_them_are_refused() -> None:
    with pytest.raises(InputError, match=r"HEADER puts DATA at bytes .* and TEXT puts DATA at bytes"):
        fcs.parse(between((8, 8), (16, 16), b"0" * 40))


def test_supplemental_text_of_another_kind_is_not_read() -> None:
    plain = build(text={"$BEGINSTEXT": "0000", "$ENDSTEXT": "0000"})
    begin, archive = len(plain), b"PK\3\4\0 a b c"  # Partec's FloMax keeps a zip archive there
    raw = build(text={"$BEGINSTEXT": f"{begin:04d}", "$ENDSTEXT": f"{begin + len(archive) - 1:04d}"}, tail=archive)
    (record,) = fcs.parse(raw)
    assert record.issues == ("the supplemental TEXT holds no pairs of keyword and value and was not read",)
    assert not any("PK" in key or key == "B" for key in record.keywords)


def test_unscaled_doubles_are_the_mapped_file(tmp_path: Path) -> None:
    path = tmp_path / "doubles.fcs"
    path.write_bytes(build(np.arange(6, dtype="<f8").tobytes(), text={"$DATATYPE": "D", "$P1B": "64", "$P2B": "64"}))
    (record,) = fcs.parse(path)
    assert isinstance(fcs.read_events(path, record).base, np.memmap)


def test_text_of_nothing_but_delimiters_is_refused_at_once() -> None:
    began = time.process_time()
    with pytest.raises(InputError, match=r"TEXT has [0-9]+ delimiters"):
        fcs.parse(lengthened(build(), b"/" * 30_000_000))
    assert time.process_time() - began < 1


def test_many_keywords_are_read_in_less_than_a_second() -> None:
    began = time.process_time()
    (record,) = fcs.parse(build(text={f"K{place}": "v" for place in range(45_000)}))
    assert record.keywords["K44999"] == "v"
    assert time.process_time() - began < 1.5


def test_data_set_inside_the_text_of_another_is_refused() -> None:
    """Otherwise a thousand HEADERs could have the same TEXT read a thousand times."""
    inner = build()[:58].decode()
    place = build(text={"$NEXTDATA": "0000", "NOTE": inner}).index(b"FCS", 3)
    with pytest.raises(InputError, match="no data set begins"):
        fcs.parse(build(text={"$NEXTDATA": f"{place:04d}", "NOTE": inner}))


def test_no_events_lie_nowhere_beyond_the_file() -> None:
    """Found by breaking files: seeds 857819 and 925028."""
    raw = build(b"", text={"$TOT": "0"}, data_shift=(9_999_999, 9_999_999))
    (record,) = fcs.parse(raw)
    assert (record.n_events, record.data_begin <= len(raw)) == (0, True)
    assert fcs.read_events(raw, record).shape == (0, 2)


def test_padded_names_lose_their_padding() -> None:
    (record,) = fcs.parse(build(text={"$P1N": " FSC-A\0\0", "$P1S": "\tCD3 "}))
    assert (record.channels[0].name, record.channels[0].marker) == ("FSC-A", "CD3")


@pytest.mark.parametrize(("tail", "short"), [(b"", 0), (b"00000000", 0), (b"00000000", 8)])
def test_next_data_set_at_the_end_of_the_file_is_none(tail: bytes, short: int) -> None:
    place = len(build(text={"$NEXTDATA": "0000"}, tail=tail)) - short
    (record,) = fcs.parse(build(text={"$NEXTDATA": f"{place:04d}"}, tail=tail))
    assert record.issues == (f"$NEXTDATA points to byte {place}, the end of the file; there is no further data set",)


def test_events_between_text_and_the_end_of_the_file_need_no_end() -> None:
    raw = build(data_shift=(0, -13))
    assert values(raw) == [[0, 1], [2, 3], [4, 5]]
    assert any("HEADER puts DATA" in issue for issue in fcs.parse(raw)[0].issues)
    with pytest.raises(InputError, match="HEADER puts DATA"):
        fcs.parse(build(data_shift=(0, -13), tail=b"0000"))


def test_gain_that_is_no_number_is_told() -> None:
    (record,) = fcs.parse(build(text={"$P1G": "high"}))
    assert record.channels[0].gain == 1
    assert record.issues == ("$P1G is 'high', no number; no gain is taken",)
