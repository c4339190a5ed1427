"""Laws of workbooks: composing and parsing again changes nothing; the same sheets give the same bytes."""

from hypothesis import given, settings
from hypothesis import strategies as st

from exvivo.errors import InputError
from exvivo.formats.workbook import Cell, Sheet, Workbook, compose_workbook, parse_workbook

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp")), max_size=10)
CELLS: st.SearchStrategy[Cell] = st.one_of(
    TEXT, st.floats(-1e12, 1e12).map(lambda value: float(f"{value:.15g}")), st.integers(-9999, 9999).map(float), st.booleans()
)
NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9 _]{0,15}[A-Za-z]", fullmatch=True)


def trimmed(row: list[Cell]) -> tuple[Cell, ...]:
    while row and row[-1] == "":
        row = row[:-1]
    return tuple(row)


@st.composite
def sheets(draw: st.DrawFn) -> Sheet:
    rows = [trimmed(row) for row in draw(st.lists(st.lists(CELLS, max_size=5), max_size=5))]
    while rows and not rows[-1]:
        rows.pop()
    return Sheet(draw(NAMES), tuple(rows))


BOOKS = st.lists(sheets(), min_size=1, max_size=3, unique_by=lambda sheet: sheet.name.lower()).map(lambda found: Workbook(tuple(found)))


@settings(max_examples=50, deadline=None)
@given(BOOKS)
def test_parsing_a_composed_workbook_gives_the_workbook(book: Workbook) -> None:
    data = compose_workbook(book)
    assert parse_workbook(data, "x.xlsx") == book
    assert compose_workbook(book) == data


@settings(max_examples=60, deadline=None)
@given(BOOKS, st.data())
def test_a_damaged_workbook_is_read_or_refused(book: Workbook, data: st.DataObject) -> None:
    content = bytearray(compose_workbook(book))
    for _ in range(3):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    assert outcome_of(bytes(content)) in {"workbook", "fault"}


def outcome_of(content: bytes) -> str:
    try:
        parse_workbook(content, "x.xlsx")
    except InputError:
        return "fault"
    return "workbook"
