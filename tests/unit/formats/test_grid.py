"""Plain grids as people make them, and what is said about those that cannot be read."""

import datetime as dt

import pytest

from exvivo.errors import InputError
from exvivo.formats import grid
from exvivo.formats.workbook import Cell, Sheet, Workbook, compose_workbook
from exvivo.study.design import ExportRecord, ReadingStatus, SignalKind, WellRole, well_name

OD = [[round(0.05 + 0.013 * row + 0.11 * column, 3) for column in range(12)] for row in range(8)]
EXPECTED = {well_name(row, column): OD[row][column] for row in range(8) for column in range(12)}


def text_grid(delimiter: str = ",", decimal: str = ".", *, labels: bool = True, above: str = "") -> bytes:
    head = [delimiter.join(["", *map(str, range(1, 13))])] if labels else []
    rows = [
        delimiter.join([letter] * labels + [f"{value:.3f}".replace(".", decimal) for value in row])
        for letter, row in zip("ABCDEFGH", OD, strict=True)
    ]
    return "\n".join([*above.splitlines(), *head, *rows, ""]).encode()


def signals(record: ExportRecord, plate: int = 0) -> dict[str, float | None]:
    return {reading.well: reading.signal for reading in record.plates[plate].readings}


def refusal(data: bytes) -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        grid.parse(data, "P1.csv")
    return caught.value.messages


@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize(("delimiter", "decimal"), [(",", "."), (";", ","), ("\t", ","), ("\t", "."), (";", ".")])
def test_a_grid_is_read_whatever_its_delimiter_decimal_mark_and_labels(delimiter: str, decimal: str, *, labels: bool) -> None:
    record = grid.parse(text_grid(delimiter, decimal, labels=labels), "P1.csv")
    assert signals(record) == EXPECTED
    assert record.plates[0].name is None
    assert record.plates[0].readings[0].origin == ("line 2" if labels else "line 1")


def test_titles_name_the_plate_and_the_wavelength() -> None:
    reading = grid.parse(text_grid(above="Plate 2\n450 nm"), "P1.csv").plates[0].readings[0]
    assert reading.wavelength_nm == 450
    assert grid.parse(text_grid(above="Plate: CCL18_b"), "P1.csv").plates[0].name == "CCL18_b"
    assert grid.parse(text_grid(above="Plate 2"), "P1.csv").plates[0].name == "Plate 2"


def test_a_second_wavelength_belongs_to_the_same_plate_and_a_repeated_one_to_the_next() -> None:
    data = text_grid(above="450 nm") + b"\n" + text_grid(above="620 nm") + b"\n" + text_grid(above="450 nm")
    plates = grid.parse(data, "P1.csv").plates
    assert [sorted({reading.wavelength_nm or 0 for reading in plate.readings}) for plate in plates] == [[450, 620], [450]]
    assert [plate.position for plate in plates] == [1, 2]


def test_a_subtracted_grid_is_called_reduced() -> None:
    data = text_grid(above="450 nm") + b"\n" + text_grid(above="450-620 nm")
    (plate,) = grid.parse(data, "P1.csv").plates
    assert {(reading.wavelength_nm, reading.kind) for reading in plate.readings} == {(450, SignalKind.RAW), (None, SignalKind.REDUCED)}


def test_words_of_the_reader_become_states_and_margins_become_notes() -> None:
    data = text_grid().replace(b"A,0.050", b"A,OVRFLW").replace(b"B,0.063", b"B,") + b"\nread by Ann\n"
    record = grid.parse(data, "P1.csv")
    first = {reading.well: reading.status for reading in record.plates[0].readings}
    assert (first["A1"], first["B1"], first["C1"]) == (ReadingStatus.OVERFLOW, ReadingStatus.EMPTY, ReadingStatus.OK)
    assert record.notes == ("line 11: read by Ann",)


def test_a_grid_of_words_is_the_layout_of_its_plate() -> None:
    words = "\n".join(
        ["Sample," + ",".join(map(str, range(1, 13)))]
        + [f"{letter},STD {n} = {1000 / 2**n} pg/mL,S01 1:50,blank" + "," * 9 for n, letter in enumerate("ABCDEFGH")]
    )
    (plate,) = grid.parse(text_grid() + b"\n" + words.encode(), "P1.csv").plates
    by_well = {layout.well: layout for layout in plate.layout}
    assert len(by_well) == 24
    assert (by_well["B1"].role, by_well["B1"].concentration, by_well["B1"].unit) == (WellRole.STANDARD, 500.0, "pg/mL")
    assert (by_well["A2"].role, by_well["A2"].name, by_well["A2"].dilution) == (WellRole.SPECIMEN, "S01", 50.0)
    assert by_well["H3"].role is WellRole.BLANK


def test_sheets_of_a_workbook_are_plates_and_grids_may_stand_side_by_side() -> None:
    def sheet(name: str, corner: str) -> Sheet:
        head: list[Cell] = [corner, *map(float, range(1, 13)), "", "620 nm", *map(float, range(1, 13))]
        rows: list[tuple[Cell, ...]] = [(letter, *row, "", letter, *row) for letter, row in zip("ABCDEFGH", OD, strict=True)]
        return Sheet(name, ((), tuple(head), *rows))

    record = grid.parse(compose_workbook(Workbook((sheet("CCL18", "450 nm"), sheet("IL6", "450 nm")))), "P1.xlsx")
    assert [plate.name for plate in record.plates] == ["CCL18", "IL6"]
    assert [len(plate.readings) for plate in record.plates] == [192, 192]
    assert record.plates[1].readings[96].wavelength_nm == 620
    assert record.plates[1].readings[96].origin == "IL6!P3"


def test_a_384_well_grid_and_a_partial_grid_say_their_plate() -> None:
    head = "," + ",".join(map(str, range(1, 25)))
    rows = [letter + ",0.5" * 24 for letter in "ABCDEFGHIJKLMNOP"]
    (plate,) = grid.parse("\n".join([head, *rows]).encode(), "x.csv").plates
    assert (plate.n_rows, plate.n_columns, len(plate.readings)) == (16, 24, 384)
    (part,) = grid.parse(b",1,2,3\nA,0.1,0.2,0.3\nB,0.1,0.2,0.3\n", "x.csv").plates
    assert (part.n_rows, part.n_columns, len(part.readings)) == (8, 12, 6)


def test_an_empty_frame_is_no_plate() -> None:
    frame = "\n," + ",".join(map(str, range(1, 13))) + "\n" + "\n".join(letter + "," * 12 for letter in "ABCDEFGH") + "\n"
    assert len(grid.parse(text_grid() + frame.encode(), "x.csv").plates) == 1


def test_a_lone_decimal_comma_in_three_decimals_is_decided_by_its_neighbours() -> None:
    data = text_grid(";", ",")
    assert b"1,260" in data
    assert signals(grid.parse(data, "x.csv"))["A12"] == 1.26


def test_two_decimal_marks_are_refused() -> None:
    (message,) = refusal(text_grid("\t").replace(b"0.050", b"0,050"))
    assert message.startswith("P1.csv: two decimal marks: '0.160' and '0,050'")


def test_unknown_words_are_told_all_at_once() -> None:
    messages = refusal(text_grid().replace(b"0.050", b"hello").replace(b"0.063", b"0.O63"))
    assert messages[0] == "P1.csv, line 2: well A1: 'hello' is no reading. Expected a number or a reader's word such as OVRFLW."
    assert len(messages) == 2


def test_a_file_cut_in_the_middle_of_a_row_is_refused() -> None:
    (message,) = refusal(text_grid()[:-30])
    assert message.startswith("P1.csv, line 9: row H ends after ")


def test_a_date_that_excel_made_of_a_number_is_refused() -> None:
    rows: list[tuple[Cell, ...]] = [(letter, *row) for letter, row in zip("ABCDEFGH", OD, strict=True)]
    rows[2] = ("C", dt.datetime(2026, 3, 4), *OD[2][1:])  # noqa: DTZ001 - a sheet knows no zone
    book = Workbook((Sheet("Sheet1", (("", *map(float, range(1, 13))), *rows)),))
    with pytest.raises(InputError, match=r"Sheet1!B4: well C1: '2026-03-04' is no number"):
        grid.parse(compose_workbook(book), "P1.xlsx")


@pytest.mark.parametrize("data", [b"a,b\n1,2\n", text_grid(labels=False) + text_grid(labels=False)])
def test_a_file_without_a_grid_is_refused(data: bytes) -> None:
    assert refusal(data)[0].startswith("P1.csv: no plate-shaped grid of readings was found")
    assert not grid.recognises(data)
