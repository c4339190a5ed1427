"""SkanIt workbooks that cannot be read, and the words that say why."""

from dataclasses import replace

import pytest

from exvivo.errors import InputError
from exvivo.formats import skanit
from exvivo.formats.workbook import Cell, Sheet, Workbook, compose_workbook
from exvivo.study.design import ExportRecord, PlateRecord, ReadingStatus, WellRole

HEAD: tuple[tuple[Cell, ...], ...] = (
    ("Measurement results",),
    (" ",),
    ("Absorbance 1",),
    ("Wavelength: 450 nm",),
    (" ",),
    ("Plate 1",),
    (" ",),
)


def book(corner: str, cells: tuple[Cell, ...], layout: tuple[tuple[Cell, ...], ...] = ()) -> bytes:
    grid = ((corner, 1.0, 2.0, 3.0), ("A", *cells), ("B", 0.1, 0.2, 0.3))
    sheets = [Sheet("Absorbance 1_01", (*HEAD, *grid))] + ([Sheet("Layout definitions", layout)] if layout else [])
    return compose_workbook(Workbook(tuple(sheets)))


def test_words_of_the_reader_are_states_and_others_are_refused() -> None:
    (plate,) = skanit.parse(book("Abs", ("OVER", "NaN", 0.5)), "x.xlsx").plates
    assert [one.status for one in plate.readings[:3]] == [ReadingStatus.OVERFLOW, ReadingStatus.MISSED, ReadingStatus.OK]
    with pytest.raises(InputError, match=r"x.xlsx, Absorbance 1_01!B9: well A1: 'hello' is no reading"):
        skanit.parse(book("Abs", ("hello", 0.2, 0.5)), "x.xlsx")


def test_an_export_without_raw_absorbance_is_refused() -> None:
    with pytest.raises(InputError, match="no grid of raw readings; grids: 'Blank subtracted'"):
        skanit.parse(book("Blank subtracted", (0.1, 0.2, 0.5)), "x.xlsx")
    assert not skanit.recognises(compose_workbook(Workbook((Sheet("a", (("b",),)),))))


def grid(corner: str, first: Cell = 0.1) -> tuple[tuple[Cell, ...], ...]:
    return ((corner, 1.0, 2.0), ("A", first, 0.2), ("B", 0.3, 0.4), ())


def steps(*sheets: tuple[tuple[Cell, ...], ...]) -> bytes:
    return compose_workbook(Workbook(tuple(Sheet(f"Step {at}", rows) for at, rows in enumerate(sheets, 1))))


@pytest.mark.parametrize(
    ("corner", "line", "nm"),
    [("RLU", "Luminescence", None), ("RFU", "Excitation: 485 nm, Emission: 538 nm", 538), ("Abs", "Wavelength: 450 nm", 450)],
)
def test_light_is_read_where_there_is_no_absorbance(corner: str, line: str, nm: int | None) -> None:
    sheet = (("Measurement results",), (" ",), (line,), (" ",), ("gch - Plate",), (" ",), *grid(corner, 210530.0))
    (plate,) = skanit.parse(steps(sheet), "x.xlsx").plates
    assert plate.name == "gch - Plate"
    assert [(one.wavelength_nm, one.signal) for one in plate.readings][:1] == [(nm, 210530.0)]


def test_light_beside_absorbance_is_noted() -> None:
    light = (("Measurement results",), (" ",), ("Plate 1",), (" ",), *grid("RLU"))
    record = skanit.parse(steps((*HEAD, *grid("Abs")), light), "x.xlsx")
    assert [len(plate.readings) for plate in record.plates] == [4]
    assert record.notes == ("Step 2: grid 'RLU' not read: it is no absorbance",)


def test_names_directly_above_their_grids_tell_plates_apart() -> None:
    sheet = (*HEAD[:4], ("Blank plate",), *grid("Abs"), ("Plate 7",), *grid("Abs", 0.9))
    found = skanit.parse(steps(sheet), "x.xlsx").plates
    assert [(plate.name, plate.readings[0].signal) for plate in found] == [("Blank plate", 0.1), ("Plate 7", 0.9)]


def test_a_grid_that_stands_again_is_refused() -> None:
    with pytest.raises(InputError, match=r"Step 1!A12: 'Abs' of Plate 1 stands again: a kinetic or repeated read"):
        skanit.parse(steps((*HEAD, *grid("Abs"), *grid("Abs"))), "x.xlsx")


def test_a_plate_of_1536_wells_is_refused() -> None:
    columns: tuple[Cell, ...] = ("Abs", *(float(n + 1) for n in range(48)))
    rows: tuple[tuple[Cell, ...], ...] = tuple((letter, *[0.1] * 48) for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    with pytest.raises(InputError, match="a plate of more than 384 wells"):
        skanit.parse(steps((*HEAD, columns, *rows)), "x.xlsx")


def test_a_grid_that_lost_a_row_is_refused() -> None:
    with pytest.raises(InputError, match=r"Step 1!A11: row D follows row B. Expected row C. Rows were removed"):
        skanit.parse(steps((*HEAD, *grid("Abs")[:3], ("D", 0.5, 0.6))), "x.xlsx")


def test_column_numbers_may_be_text() -> None:
    (plate,) = skanit.parse(steps((*HEAD, ("Abs", "1", "2"), ("A", "0,5", 0.2), ("B", "OVER", ""))), "x.xlsx").plates
    assert [(one.well, one.signal, one.status.value) for one in plate.readings] == [
        ("A1", 0.5, "ok"),
        ("A2", 0.2, "ok"),
        ("B1", None, "overflow"),
        ("B2", None, "empty"),
    ]


def test_amounts_of_the_layout_are_concentrations_or_folds() -> None:
    layout: tuple[tuple[Cell, ...], ...] = (
        ("Name", "Plate 1"),
        ("Plate template", "x"),
        (),
        ("", 1.0, 2.0, 3.0),
        ("A", "Std0001", "Un0001", "Blank1"),
        ("", "Group 1", "Group 1", "Group 1"),
        ("", "0,5 ng/ml", "1:20", ""),
    )
    (plate,) = skanit.parse(book("Abs", (0.1, 0.2, 0.3), layout), "x.xlsx").plates
    assert [(one.role, one.concentration, one.dilution, one.unit) for one in plate.layout] == [
        (WellRole.STANDARD, 0.5, None, "ng/ml"),
        (WellRole.SPECIMEN, None, 20.0, None),
        (WellRole.BLANK, None, None, None),
    ]


def test_plates_without_different_names_cannot_be_composed() -> None:
    plate = PlateRecord("P", 1, 8, 12, ())
    for plates in ((plate, plate), (replace(plate, name=None),)):
        with pytest.raises(ValueError, match="different names"):
            skanit.compose(ExportRecord("skanit", plates))
