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
    with pytest.raises(InputError, match="no grid of raw absorbance"):
        skanit.parse(book("Blank subtracted", (0.1, 0.2, 0.5)), "x.xlsx")
    assert not skanit.recognises(compose_workbook(Workbook((Sheet("a", (("b",),)),))))


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
