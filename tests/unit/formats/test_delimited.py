"""Text tables: what is refused, and with which words."""

import pytest

from exvivo.errors import InputError
from exvivo.formats.delimited import (
    DelimitedTable,
    compose_table,
    decide_decimal,
    decimal_evidence,
    decode_text,
    is_number_like,
    parse_number,
    parse_table,
    signal_status,
    sniff_delimiter,
)
from exvivo.study.design import ReadingStatus


def refusal(data: bytes, where: str = "maps/P1.csv") -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        parse_table(data, where)
    return caught.value.messages


def test_a_semicolon_table_with_decimal_commas_keeps_its_cells() -> None:
    table = parse_table("well;od\nA1;0,12\nA2;3,337\n".encode("utf-8-sig"), "x.csv")
    assert table == DelimitedTable(("well", "od"), (("A1", "0,12"), ("A2", "3,337")), (2, 3), ";")
    assert decide_decimal(table.column("od"), "x.csv, column od") == ","


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_unicode_encodings_are_recognised_without_a_note(encoding: str) -> None:
    decoded = decode_text("well\tvalue\r\nA1\t1.5 µg\r\n".encode(encoding), "x.txt")
    assert decoded.text == "well\tvalue\r\nA1\t1.5 µg\r\n"
    assert not decoded.notes


def test_a_latin_file_is_read_with_a_note() -> None:
    decoded = decode_text(b"Temperature(\xa1C)\t1\n", "x.txt")
    assert decoded.text.startswith("Temperature(¡C)")
    assert decoded.notes == ("not UTF-8: read as cp1252 (declared fallback); check accents and degree signs",)


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf", b"\r\n\r\n", b"\xff\xfe"])
def test_an_empty_file_says_so(data: bytes) -> None:
    assert refusal(data) == ("maps/P1.csv: the file is empty. Expected a text file. Export it again.",)


@pytest.mark.parametrize("data", [b"PK\x03\x04 rest", b"a,b\n\x00\x01,2\n"])
def test_bytes_that_are_no_text_are_refused(data: bytes) -> None:
    assert refusal(data)[0].startswith("maps/P1.csv: the file is not text.")


def test_a_damaged_workbook_is_called_one() -> None:
    with pytest.raises(InputError, match=r"a\.xlsx: the file is no whole workbook\."):
        decode_text(b"\x01\x00\x02 no zip", "a.xlsx")


def test_a_utf16_file_cut_in_the_middle_of_a_letter_is_refused() -> None:
    message = refusal("a,b\n1,2".encode("utf-16")[:-1])[0]
    assert "does not fit utf-16" in message


def test_all_ragged_rows_are_told_together() -> None:
    messages = refusal(b"a,b,c\n1,2\n1,2,3\n\n1,2,3,4\n")
    assert [message.split(":")[0] for message in messages] == ["maps/P1.csv, line 2", "maps/P1.csv, line 5"]
    assert messages[1] == "maps/P1.csv, line 5: 4 cells. Expected 3 as in the header. Check quotes and delimiters."


def test_repeated_and_empty_column_names_are_told_together_with_ragged_rows() -> None:
    messages = refusal(b"well,,well\nA1,1\n")
    assert len(messages) == 3
    assert "column 2 has no name" in messages[0]
    assert "'well' stands more than once" in messages[1]


def test_a_table_without_a_header_is_refused() -> None:
    assert refusal(b"0.1,0.2\n0.3,0.4\n")[0].startswith("maps/P1.csv, line 1: no header")


def test_a_table_of_nothing_but_delimiters_is_refused() -> None:
    assert refusal(b",,\n,,\n")[0].startswith("maps/P1.csv: no header")


def test_an_open_quote_is_named_with_its_line() -> None:
    assert refusal(b'a,b\n1,"2\n3,4\n')[0].startswith("maps/P1.csv, line 2: the row cannot be split")


def test_line_numbers_survive_quoted_line_ends_and_blank_lines() -> None:
    assert parse_table(b'a,b\n\n1,"two\nlines"\n5,6\n', "x.csv").lines == (3, 5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("A;0,1;0,2\nB;0,3;0,4", ";"), ("A\t0,1\nB\t0,2", "\t"), ('"a;b",c\n1,2', ","), ("x\n1", ",")],
)
def test_the_delimiter_is_told_from_decimal_commas(text: str, expected: str) -> None:
    assert sniff_delimiter(text) == expected


@pytest.mark.parametrize(
    ("texts", "expected"),
    [(["3,337", "0,12"], ","), (["0.12", "12"], "."), (["1", "2"], "."), (["1.234"], "."), (["1.234,5"], ","), (["OVRFLW", "0,1"], ",")],
)
def test_the_decimal_mark_follows_from_the_column(texts: list[str], expected: str) -> None:
    assert decide_decimal(texts, "x") == expected


def test_two_decimal_marks_are_refused() -> None:
    with pytest.raises(InputError, match=r"column od: two decimal marks: '0[.]12' and '0,12'"):
        decide_decimal(["0.12", "0,12"], "column od")


def test_a_column_that_could_be_either_asks_for_a_declaration() -> None:
    with pytest.raises(InputError, match=r"column od: '1,234' may be 1\.234 or 1234\..*Declare the decimal mark"):
        decide_decimal(["1,234", "2,345"], "column od")
    assert decide_decimal(["1,234", "2,345"], "column od", ",") == ","


def test_a_declared_mark_that_the_file_contradicts_is_refused() -> None:
    with pytest.raises(InputError, match=r"'0,5'.*as declared"):
        decide_decimal(["0,5"], "x", ".")


@pytest.mark.parametrize(
    ("text", "decimal", "value"), [("1 234,5", ",", 1234.5), ("1.234.567", ",", 1234567.0), ("-.5", ".", -0.5), ("1e-3", ".", 1e-3)]
)
def test_numbers_are_read_under_a_known_mark(text: str, decimal: str, value: float) -> None:
    assert parse_number(text, decimal) == value


@pytest.mark.parametrize(
    ("text", "decimal"), [("1,234", "."), ("0.5", ","), ("", "."), ("nan", "."), ("inf", "."), ("1,2,3", ","), ("1_000", ".")]
)
def test_what_is_not_such_a_number_is_refused(text: str, decimal: str) -> None:
    with pytest.raises(ValueError, match="is not a number with a decimal"):
        parse_number(text, decimal)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("0,45", ReadingStatus.OK),
        ("OVRFLW", ReadingStatus.OVERFLOW),
        ("> 3.5", ReadingStatus.OVERFLOW),
        ("*****", ReadingStatus.OVERFLOW),
        ("MISSED", ReadingStatus.MISSED),
        ("?????", ReadingStatus.MISSED),
        ("NaN", ReadingStatus.MISSED),
        ("Masked", ReadingStatus.MASKED),
        ("*3.42", ReadingStatus.MASKED),
        ("  ", ReadingStatus.EMPTY),
        ("abc", None),
    ],
)
def test_words_of_readers_are_different_states(text: str, status: ReadingStatus | None) -> None:
    assert signal_status(text) is status


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("OOR >", ReadingStatus.OVERFLOW),
        ("> Max", ReadingStatus.OVERFLOW),
        ("#Sat", ReadingStatus.OVERFLOW),
        ("*****", ReadingStatus.OVERFLOW),
        ("OOR <", ReadingStatus.MISSED),
        (" < Min", ReadingStatus.MISSED),
        ("< 0.05", ReadingStatus.MISSED),
        ("#Low", ReadingStatus.MISSED),
        ("?????", ReadingStatus.MISSED),
        ("*3.42", ReadingStatus.MASKED),
        ("NaN", ReadingStatus.MISSED),
        ("low", None),
    ],
)
def test_what_lies_outside_the_range_is_no_number(text: str, status: ReadingStatus | None) -> None:
    assert signal_status(text) is status


@pytest.mark.parametrize(
    ("text", "mark", "value"),
    [("12", None, 12.0), ("-0.5", ".", -0.5), ("+1.25", ".", 1.25), ("1.234", ".", 1.234), ("1 234.5", ".", 1234.5), ("007", None, 7.0)],
)
def test_plain_numbers_prove_their_mark(text: str, mark: str | None, value: float) -> None:
    assert is_number_like(text)
    assert decimal_evidence(text) == mark
    assert parse_number(text, ".") == value


def test_a_ragged_table_cannot_be_composed() -> None:
    with pytest.raises(ValueError, match="as many cells"):
        compose_table(DelimitedTable(("a", "b"), (("1",),), (2,)))
