"""Laws of text tables: composing and parsing again changes nothing; numbers survive either decimal mark."""

from hypothesis import given
from hypothesis import strategies as st

from exvivo.errors import InputError
from exvivo.formats.delimited import DelimitedTable, compose_table, decide_decimal, parse_number, parse_table

CELLS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp")), max_size=12)
NAMES = st.from_regex(r"[a-z][a-z_ ]{0,6}[a-z]", fullmatch=True)


@st.composite
def tables(draw: st.DrawFn) -> DelimitedTable:
    header = tuple(draw(st.lists(NAMES, min_size=2, max_size=5, unique=True)))
    row = st.tuples(*[CELLS] * len(header)).filter(lambda cells: any(cell.strip() for cell in cells))
    rows = tuple(draw(st.lists(row, max_size=6)))
    delimiter = draw(st.sampled_from([",", ";", "\t"]))
    encoding = draw(st.sampled_from(["utf-8", "utf-16"]))
    return DelimitedTable(header, rows, tuple(range(2, len(rows) + 2)), delimiter, encoding)


@given(tables())
def test_parsing_a_composed_table_gives_the_table(table: DelimitedTable) -> None:
    assert parse_table(compose_table(table), "x.csv") == table


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.sampled_from([".", ","]))
def test_numbers_survive_their_decimal_mark(values: list[float], decimal: str) -> None:
    texts = [f"{value:.4f}".replace(".", decimal) for value in values]
    assert decide_decimal(texts, "x") == decimal
    assert [parse_number(text, decimal) for text in texts] == [float(f"{value:.4f}") for value in values]


@given(st.binary(max_size=300))
def test_any_bytes_are_a_table_or_a_fault(data: bytes) -> None:
    assert outcome_of(data) in {"table", "fault"}


def outcome_of(data: bytes) -> str:
    try:
        parse_table(data, "x.csv")
    except InputError:
        return "fault"
    return "table"
