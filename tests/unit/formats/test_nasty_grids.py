"""Grids as people really keep them in Excel: built with merged cells, hidden parts, formulas and notes, and read back."""

import datetime as dt
import io
from collections.abc import Callable

import pytest
from xlsxwriter import Workbook as Book
from xlsxwriter.worksheet import Worksheet

from exvivo.errors import InputError
from exvivo.formats import grid
from exvivo.study.design import ExportRecord, ReadingStatus, SignalKind, WellRole, well_name

OD = {(row, column): round(0.05 + 0.013 * row + 0.11 * column, 3) for row in range(8) for column in range(12)}
EXPECTED = {well_name(*place): value for place, value in OD.items()}
LETTERS = "ABCDEFGH"


def made(fill: Callable[[Book], object]) -> bytes:
    """Bytes of a workbook that a function filled."""
    buffer = io.BytesIO()
    book = Book(buffer, {"in_memory": True})
    fill(book)
    book.close()
    return buffer.getvalue()


def put(sheet: Worksheet, top: int = 0, left: int = 0, *, letters: str = "left", factor: float = 1.0, rows: range = range(8)) -> None:
    """A labelled grid with its corner at a place."""
    for column in range(12):
        sheet.write_number(top, left + 1 + column, column + 1)
    for at, row in enumerate(rows, 1):
        if letters in {"left", "both"}:
            sheet.write_string(top + at, left, LETTERS[row])
        if letters in {"right", "both"}:
            sheet.write_string(top + at, left + 13, LETTERS[row])
        for column in range(12):
            sheet.write_number(top + at, left + 1 + column, OD[row, column] * factor)


def read(data: bytes, name: str = "x.xlsx") -> ExportRecord:
    assert grid.recognises(data)
    return grid.parse(data, name)


def signals(record: ExportRecord, plate: int = 0) -> dict[str, float | None]:
    return {one.well: one.signal for one in record.plates[plate].readings}


def refusal(data: bytes, name: str = "x.xlsx") -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        grid.parse(data, name)
    return caught.value.messages


@pytest.mark.parametrize("letters", ["left", "right", "both"])
def test_row_letters_may_stand_on_either_side(letters: str) -> None:
    record = read(made(lambda book: put(book.add_worksheet(), 3, 2, letters=letters)))
    assert signals(record) == EXPECTED
    assert record.plates[0].readings[0].origin == "Sheet1!D5"


def test_merged_headers_comments_hidden_columns_and_notes_do_not_matter() -> None:
    def fill(book: Book) -> None:
        sheet = book.add_worksheet("Tabelle1")
        sheet.merge_range(1, 1, 1, 14, "Plate: CCL18 no 3")
        sheet.merge_range(2, 2, 2, 13, "Absorbance 450 nm")
        put(sheet, 3, 1)
        sheet.write_comment(4, 2, "bubble?")
        sheet.set_column(5, 6, None, None, {"hidden": True})
        sheet.set_row(6, None, None, {"hidden": True})
        sheet.write_string(5, 16, "pipetted twice")
        sheet.write_number(6, 16, 37.0)

    record = read(made(fill))
    assert signals(record) == EXPECTED
    assert (record.plates[0].name, record.plates[0].readings[0].wavelength_nm) == ("CCL18 no 3", 450)
    assert record.notes == ("Tabelle1!Q6: pipetted twice", "Tabelle1!Q7: 37")


def test_a_plate_in_two_halves_is_one_plate() -> None:
    def fill(book: Book) -> None:
        sheet = book.add_worksheet()
        put(sheet, 0, rows=range(4))
        put(sheet, 5, rows=range(4, 8))

    (plate,) = read(made(fill)).plates
    assert {one.well: one.signal for one in plate.readings} == EXPECTED


def test_a_part_of_a_plate_keeps_its_place() -> None:
    (plate,) = read(b",10,11,12\nG,0.1,0.2,0.3\nH,0.4,0.5,0.6\n", "x.csv").plates
    assert {one.well: one.signal for one in plate.readings} == {"G10": 0.1, "G11": 0.2, "G12": 0.3, "H10": 0.4, "H11": 0.5, "H12": 0.6}
    assert (plate.n_rows, plate.n_columns) == (8, 12)
    (large,) = read(b",23,24\nO,0.1,0.2\nP,0.4,0.5\n", "x.csv").plates
    assert (large.n_columns, [one.well for one in large.readings]) == (24, ["O23", "O24", "P23", "P24"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (",1,2,4,5\nA,1.1,1,1,1\nB,1,1,1,1\n", "x.csv, line 1: column numbers jump from 2 to 4. Expected one after the other."),
        (",1,2,,4\nA,1.1,1,1,1\nB,1,1,1,1\n", "x.csv, line 1: column numbers jump from 2 to 4."),
        (",1,2\nA,1.1,1\nB,1,1\nD,1,1\n", "x.csv, line 4: row letters jump from B to D. Expected one after the other."),
        (",1,2\nA,1.1,1\nB,1,1\n,,\nC,1,1\n", "x.csv, line 5: row letters jump from B to C."),
    ],
)
def test_labels_that_skip_are_refused_because_wells_would_be_lost(text: str, words: str) -> None:
    assert any(message.startswith(words) for message in refusal(text.encode(), "x.csv"))


def test_grids_side_by_side_may_share_their_letters() -> None:
    (plate,) = read(b"450 nm,1,2,620 nm,1,2\nA,0.5,0.6,,0.1,0.2\nB,0.7,0.8,,0.3,0.4\n", "x.csv").plates
    assert [(one.well, one.wavelength_nm, one.signal) for one in plate.readings] == [
        ("A1", 450, 0.5), ("A2", 450, 0.6), ("B1", 450, 0.7), ("B2", 450, 0.8),
        ("A1", 620, 0.1), ("A2", 620, 0.2), ("B1", 620, 0.3), ("B2", 620, 0.4),
    ]  # fmt: skip


def test_what_excel_shows_as_an_error_is_missed_and_never_empty() -> None:
    def fill(book: Book) -> None:
        sheet = book.add_worksheet()
        put(sheet)
        sheet.write_formula(1, 1, "=1/0", None, "#DIV/0!")
        sheet.write_formula(1, 2, "=NA()", None, "#N/A")
        sheet.write_formula(1, 3, "=A1+0.5", None, 0.75)
        sheet.write_formula(1, 4, '=IF(1,"OVRFLW","")', None, "OVRFLW")
        sheet.write_blank(1, 5, None, book.add_format())
        sheet.write_formula(8, 12, "=foo()", None, "#NAME?")

    first = {one.well: (one.signal, one.status, one.text) for one in read(made(fill)).plates[0].readings}
    assert [first[well] for well in ("A1", "A2", "A3", "A4", "A5", "H12")] == [
        (None, ReadingStatus.MISSED, "#DIV/0!"),
        (None, ReadingStatus.MISSED, "#N/A"),
        (0.75, ReadingStatus.OK, "0.75"),
        (None, ReadingStatus.OVERFLOW, "OVRFLW"),
        (None, ReadingStatus.EMPTY, ""),
        (None, ReadingStatus.MISSED, "#NAME?"),
    ]


def test_a_formula_that_nothing_has_computed_is_refused() -> None:
    def fill(book: Book) -> None:
        sheet = book.add_worksheet()
        put(sheet)
        sheet.write_formula(2, 1, "=A1*2", None, "")

    (message,) = refusal(made(fill))
    assert message == "x.xlsx, Sheet1!B3: well B1: '=A1*2' is no reading. Expected a number or a reader's word such as OVRFLW."


def test_dates_and_truth_values_are_refused_and_per_cent_is_its_number() -> None:
    def fill(book: Book) -> None:
        sheet = book.add_worksheet()
        put(sheet)
        sheet.write_datetime(1, 1, dt.datetime(2026, 2, 1), book.add_format({"num_format": "d-mmm"}))  # noqa: DTZ001 - a sheet knows no zone
        sheet.write_boolean(1, 2, True)
        sheet.write_number(1, 3, 0.45, book.add_format({"num_format": "0%"}))

    assert [message.split(". ")[0] for message in refusal(made(fill))] == [
        "x.xlsx, Sheet1!B2: well A1: '2026-02-01' is no number",
        "x.xlsx, Sheet1!C2: well A2: 'True' is no number",
    ]

    def per_cent(book: Book) -> None:
        sheet = book.add_worksheet()
        put(sheet)
        sheet.write_number(1, 3, 0.45, book.add_format({"num_format": "0%"}))

    assert signals(read(made(per_cent)))["A3"] == 0.45


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("OVRFLW", ReadingStatus.OVERFLOW), ("OVER", ReadingStatus.OVERFLOW), (">3.5", ReadingStatus.OVERFLOW),
        ("> 4,0", ReadingStatus.OVERFLOW),
        ("OOR >", ReadingStatus.OVERFLOW), ("> Max", ReadingStatus.OVERFLOW), ("*****", ReadingStatus.OVERFLOW),
        ("*3.42", ReadingStatus.MASKED), ("Masked", ReadingStatus.MASKED), ("outlier", ReadingStatus.MASKED),
        ("MISSED", ReadingStatus.MISSED), ("Range?", ReadingStatus.MISSED), ("< Min", ReadingStatus.MISSED),
        (" <  min", ReadingStatus.MISSED),
        ("OOR <", ReadingStatus.MISSED), ("<0.01", ReadingStatus.MISSED), ("?????", ReadingStatus.MISSED), ("NaN", ReadingStatus.MISSED),
        ("n.d.", ReadingStatus.MISSED), ("#VALUE!", ReadingStatus.MISSED), ("-", ReadingStatus.EMPTY), ("\u2013", ReadingStatus.EMPTY),
    ],
)  # fmt: skip
def test_words_typed_in_place_of_a_number_are_states(text: str, status: ReadingStatus) -> None:
    def fill(book: Book) -> None:
        sheet = book.add_worksheet()
        put(sheet)
        sheet.write_string(1, 1, text)

    first = read(made(fill)).plates[0].readings[0]
    assert (first.signal, first.status, first.text) == (None, status, text)


def test_numbers_kept_as_text_follow_the_decimal_mark_of_all() -> None:
    def fill(book: Book, marks: dict[tuple[int, int], str]) -> None:
        sheet = book.add_worksheet()
        put(sheet)
        for (row, column), text in marks.items():
            sheet.write_string(row, column, text)

    first = signals(read(made(lambda book: fill(book, {(1, 1): "3,337", (1, 2): "0,12\u00a0", (1, 3): "\u22120,003"}))))
    assert (first["A1"], first["A2"], first["A3"], first["A4"]) == (3.337, 0.12, -0.003, EXPECTED["A4"])
    (message,) = refusal(made(lambda book: fill(book, {(1, 1): "3,337"})))
    assert message.startswith("x.xlsx: '3,337' may be 3.337 or 3337. Expected a decimal mark that can be told.")
    (message,) = refusal(made(lambda book: fill(book, {(1, 1): "0.1 2"})))
    assert "well A1: '0.1 2' is no reading" in message


def test_a_hidden_sheet_is_not_read_and_said_so() -> None:
    def fill(book: Book) -> None:
        put(book.add_worksheet("OD"))
        old = book.add_worksheet("old")
        put(old, factor=2.0)
        old.hide()

    record = read(made(fill))
    assert (len(record.plates), signals(record)["A1"]) == (1, EXPECTED["A1"])
    assert record.notes == ("sheet 'old' is hidden and was not read",)


WORDS = ["STD 1", "STD 2", "blank", "S01", "S02", "QC low"]


def words(sheet: Worksheet, top: int, left: int, cells: dict[int, object] | None = None) -> None:
    """A grid of names, or of what is given by row, in its first column."""
    for column in range(12):
        sheet.write_number(top, left + 1 + column, column + 1)
    for row, letter in enumerate(LETTERS):
        sheet.write_string(top + 1 + row, left, letter)
    for row, word in (cells or dict(enumerate(WORDS))).items():
        sheet.write(top + 1 + row, left + 1, word)


def amounts(sheet: Worksheet, top: int, left: int, title: str, cells: dict[int, object]) -> None:
    """A grid of numbers under a title."""
    sheet.write_string(top - 1, left, title)
    words(sheet, top, left, cells)


@pytest.mark.parametrize("place", ["beside", "under", "other sheet", "before"])
def test_layout_grids_are_never_read_as_light(place: str) -> None:
    def fill(book: Book) -> None:
        sheet = book.add_worksheet("OD")
        other = sheet if place != "other sheet" else book.add_worksheet("Layout")
        at = {"beside": (1, 16), "under": (12, 0), "other sheet": (1, 0), "before": (1, 0)}[place]
        put(sheet, *((40, 0) if place == "before" else (1, 0)))
        words(other, *at)
        amounts(other, at[0] + 12, at[1], "Concentration (pg/mL)", {0: 1000, 1: "62,5", 5: 50})
        amounts(other, at[0] + 24, at[1], "Dilution factor", {3: 20, 4: "1:50"})

    record = read(made(fill))
    assert [signals(record)] == [EXPECTED]
    layout = {one.well: one for one in record.plates[0].layout}
    assert [(layout[well].role, layout[well].concentration, layout[well].dilution) for well in ("A1", "B1", "C1", "D1", "E1", "F1")] == [
        (WellRole.STANDARD, 1000.0, None), (WellRole.STANDARD, 62.5, None), (WellRole.BLANK, None, None),
        (WellRole.SPECIMEN, None, 20.0), (WellRole.SPECIMEN, None, 50.0), (WellRole.QC, 50.0, None),
    ]  # fmt: skip
    assert layout["B1"].unit == "pg/mL"


def test_a_layout_that_belongs_to_no_plate_or_has_no_names_is_told() -> None:
    def fill(book: Book) -> None:
        for name in ("one", "two"):
            sheet = book.add_worksheet(name)
            put(sheet, 1, 0)
        amounts(sheet, 14, 0, "Conc.", {0: 5})
        words(book.add_worksheet("Layout"), 1, 0)

    record = read(made(fill))
    assert [plate.layout for plate in record.plates] == [(), ()]
    assert record.notes[:2] == (
        "Layout!B3: this layout belongs to no plate and was not read",
        "two!B16: concentration without a grid of names was not read",
    )


def test_a_layout_number_that_is_none_is_refused() -> None:
    def fill(book: Book) -> None:
        sheet = book.add_worksheet()
        put(sheet)
        words(sheet, 12, 0)
        amounts(sheet, 24, 0, "Dilution", {3: "twenty"})

    assert refusal(made(fill)) == ("x.xlsx, Sheet1!B29: well D1: dilution 'twenty' is no number. Expected a number.",)


@pytest.mark.parametrize(
    ("text", "name", "dilution"),
    [
        ("Sample 8 x100", "Sample 8", 100.0),
        ("Sample 8 100x", "Sample 8", 100.0),
        ("Sample 8 1:2,5", "Sample 8", 2.5),
        ("Sample 8 100", "Sample 8 100", None),
    ],
)
def test_dilutions_in_names(text: str, name: str, dilution: float | None) -> None:
    cell = grid.parse_layout_cell(text)
    assert cell is not None
    assert (cell.name, cell.dilution) == (name, dilution)


def test_a_missing_x_is_asked_about_and_not_guessed() -> None:
    text = ",1,2\nA,0.1,0.2\nB,0.3,0.4\n\n,1,2\nA,Sample 8 x10,Sample 8 100\nB,Sample 9,Sample 12\n"
    record = read(text.encode(), "x.csv")
    assert [one.name for one in record.plates[0].layout] == ["Sample 8", "Sample 8 100", "Sample 9", "Sample 12"]
    assert record.notes == ("line 6: 'Sample 8 100' was read as a name; is it 'Sample 8 x100', with the x of a dilution missing?",)


GRID_ROWS = [
    ["", *map(str, range(1, 13))],
    *([letter, *(f"{OD[row, column]:.3f}" for column in range(12))] for row, letter in enumerate(LETTERS)),
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_encodings_blank_edges_and_trailing_delimiters(encoding: str, delimiter: str) -> None:
    edge = "" if encoding.startswith("utf-16-") else "\u00a0"
    lines = ["", delimiter * 3, *(delimiter.join(["", edge, *row, "", ""]) for row in GRID_ROWS), delimiter * 5, ""]
    assert signals(read("\r\n".join(lines).encode(encoding), "x.csv")) == EXPECTED


def test_prose_above_does_not_mislead_about_the_delimiter() -> None:
    prose = [f"Remark {n}: read twice, once with lid, once without" for n in range(12)]
    lines = [*prose, "", *(";".join(row).replace(".", ",") for row in GRID_ROWS), ""]
    assert signals(read("\n".join(lines).encode(), "x.csv")) == EXPECTED


@pytest.mark.parametrize("labels", [("01", "A."), ("1.0", "row a"), ("Col 1", "A:")])
def test_labels_are_read_as_people_write_them(labels: tuple[str, str]) -> None:
    column, row = labels
    rows = [["", *(column.replace("1", str(n), 1) if n > 1 else column for n in range(1, 4))]]
    rows += [
        [row.replace("A", letter).replace("a", letter.lower()) if "row" not in row else f"row {letter}", "0.1", "0.2", "0.3"]
        for letter in "ABC"
    ]
    (plate,) = read("\n".join(",".join(cells) for cells in rows).encode(), "x.csv").plates
    assert [one.well for one in plate.readings] == [f"{letter}{n}" for letter in "ABC" for n in (1, 2, 3)]


def test_a_reduced_grid_by_any_of_its_names_stands_beside_the_raw_one() -> None:
    for title in ("Blanked", "OD minus blank", "Net OD"):
        text = "OD 450 nm,1,2\nA,0.1,0.2\nB,0.3,0.4\n\n" + f"{title},1,2\nA,0.05,0.15\nB,0.25,0.35\n"
        (plate,) = read(text.encode(), "x.csv").plates
        assert {one.kind for one in plate.readings} == {SignalKind.RAW, SignalKind.REDUCED}
