"""Magellan sheets: names of columns, wavelengths, margins, and what is refused."""

import pytest

from exvivo.errors import InputError
from exvivo.formats import magellan
from exvivo.formats.workbook import Cell, Sheet, Workbook, compose_workbook
from exvivo.study.design import ExportRecord, PlateRecord, ReadingStatus, SignalKind, WellReading

Row = tuple[Cell, ...]
ONE = [("Measurement mode: Absorbance",), ("Measurement wavelength: 450 nm",)]
TWO = [*ONE, ("Measurement mode: Absorbance",), ("Measurement wavelength: 620 nm",)]


def book(*sheets: list[Row]) -> bytes:
    return compose_workbook(Workbook(tuple(Sheet(f"S{at}", tuple(rows)) for at, rows in enumerate(sheets, 1))))


def plates(*sheets: list[Row]) -> tuple[PlateRecord, ...]:
    assert magellan.recognises(book(*sheets))
    return magellan.parse(book(*sheets), "x.xlsx").plates


def message(*sheets: list[Row]) -> str:
    with pytest.raises(InputError) as caught:
        magellan.parse(book(*sheets), "x.xlsx")
    return str(caught.value)


def test_columns_follow_their_names_and_not_their_order() -> None:
    rows: list[Row] = [("Label2", "Label1", "Well positions"), (0.2, 0.1, "A1"), (0.4, 0.3, "B01"), *TWO]
    (plate,) = plates(rows)
    assert [(one.well, one.wavelength_nm, one.signal) for one in plate.readings] == [
        ("A1", 620, 0.2),
        ("B1", 620, 0.4),
        ("A1", 450, 0.1),
        ("B1", 450, 0.3),
    ]


def test_the_softwares_own_names_go_before_numbers() -> None:
    named: list[Row] = [("Meas. temperature: Label2: 24.8 °C",), ("Meas. temperature: Label1: 24.8 °C",)]
    (plate,) = plates([("Label1", "Well positions"), (0.1, "A1"), *TWO, *named])
    assert plate.readings[0].wavelength_nm == 620


@pytest.mark.parametrize(
    ("below", "wavelength"),
    [([("Wavelength 492 nm",)], 492), ([("492nm",), ("620nm",)], None), ([], None), (TWO, None)],
)
def test_a_wavelength_is_taken_only_where_one_can_be_meant(below: list[Row], wavelength: int | None) -> None:
    (plate,) = plates([("Raw data", "Well positions"), (0.1, "A1"), *below])
    assert plate.readings[0].wavelength_nm == wavelength
    assert plate.notes == (() if wavelength else ("S1!A1: the file does not say the wavelength of 'Raw data'",))


def test_a_reference_wavelength_is_noted() -> None:
    (plate,) = plates([("Raw data", "Well positions"), (0.1, "A1"), *ONE, ("Reference wavelength: 620 nm",)])
    assert plate.notes == ("S1: a reference wavelength is stated: the readings may already be differences",)


@pytest.mark.parametrize(
    ("cell", "signal", "status"),
    [
        ("OVER", None, ReadingStatus.OVERFLOW),
        ("0,25", 0.25, ReadingStatus.OK),
        ("", None, ReadingStatus.EMPTY),
        ("Masked", None, ReadingStatus.MASKED),
        ("NaN", None, ReadingStatus.MISSED),
    ],
)
def test_cells_of_text(cell: str, signal: float | None, status: ReadingStatus) -> None:
    (plate,) = plates([("Raw data", "Well positions"), (cell, "A1"), (0.1, "B1"), *ONE])
    assert [(one.signal, one.status) for one in plate.readings] == [(signal, status), (0.1, ReadingStatus.OK)]


def test_each_sheet_is_a_plate_and_others_are_noted() -> None:
    rows: list[Row] = [("Raw data", "Well positions"), (0.1, "A1"), ("C:\\a\\run7.wsp",), *ONE]
    record = magellan.parse(book(rows, [("notes",)], rows), "x.xlsx")
    assert [(plate.name, plate.position, plate.readings[0].origin) for plate in record.plates] == [
        ("run7", 1, "S1!A2"),
        ("run7", 2, "S3!A2"),
    ]
    assert record.notes == ("sheet 'S2' holds no wells and was not read",)


def test_several_names_for_one_plate_give_none() -> None:
    rows: list[Row] = [("Raw data", "Well positions", "Plate"), (0.1, "A1", "P1"), (0.1, "B1", "P2"), *ONE]
    (plate,) = plates(rows)
    assert (plate.name, plate.notes) == (None, ("S1!C1: several plates are named for one set of wells: P1, P2; none was taken",))


def test_a_plate_of_384_wells_of_which_few_were_read() -> None:
    (plate,) = plates([("Raw data", "Well positions"), (0.1, "A1"), *ONE, ("Plate definition file: COS384ft.pdf",)])
    assert (plate.n_rows, plate.n_columns, len(plate.readings)) == (16, 24, 1)


def test_faults_of_a_sheet_are_told_together() -> None:
    rows: list[Row] = [("Raw data", "Well positions"), (0.1, "A1"), (0.2, "A1"), (0.3, "Q7"), ("high", "A2")]
    assert message([*rows, ("Measurement mode: Fluorescence Polarization",)]) == (
        "x.xlsx, S1: the plate was read as Fluorescence Polarization. "
        "Expected Absorbance, Fluorescence or Luminescence. Export the endpoint, or leave this file out.\n"
        "x.xlsx, S1!B3: well A1 stands twice. Expected each well once. Export again.\n"
        "x.xlsx, S1!B4: 'Q7' is not a well: expected a row A to P and a column 1 to 24. Export again.\n"
        "x.xlsx, S1!A5: well A2: 'high' is no reading. Expected a number or a reader's word such as OVER. Export again."
    )


def test_kinetics_and_empty_tables_are_refused() -> None:
    assert "column 'Label1' stands 2 times: a kinetic read" in message([("Label1", "Label1", "Well positions"), (0.1, 0.2, "A1")])
    assert "no well below 'Well positions'" in message([("Raw data", "Well positions"), (0.1,)])
    assert "no column 'Well positions'" in message([("Raw data", "Well")])


def test_two_decimal_marks_are_refused() -> None:
    assert "two decimal marks" in message([("Raw data", "Well positions"), ("0.1", "A1"), ("0,1", "B1"), *ONE])


def test_a_text_file_is_not_recognised() -> None:
    assert not magellan.recognises(b"Well positions\tRaw data\nA1\t0.1\n")


def test_composing_needs_wavelengths() -> None:
    plate = PlateRecord("P", 1, 8, 12, (WellReading("A1", None, 0.5, ReadingStatus.OK, SignalKind.RAW, "0.5", ""),))
    with pytest.raises(ValueError, match="wavelength"):
        magellan.compose(ExportRecord("magellan", (plate,)))


def test_the_short_form_names_its_measurement() -> None:
    below: list[Row] = [("Date of measurement: 2025-01-01/Time of measurement: 10:00:00",), ("492nm",), ("infinite F50",), ("Absorbance",)]
    below += [("Measurement wavelength: 492 nm",), ("Label: OD read",), ("Plate Description: [SUNRISE_Standard] - Greiner 96 Flat",)]
    (plate,) = plates([("OD read", "Well positions"), ("0.0 \u00b0C", ""), (0.01, "A1"), (0.02, "B1"), *below])
    assert [(one.well, one.wavelength_nm, one.signal) for one in plate.readings] == [("A1", 492, 0.01), ("B1", 492, 0.02)]


def test_light_is_read_at_its_emission() -> None:
    below: list[Row] = [("Measurement mode: Fluorescence Top",), ("Excitation wavelength: 485 nm",), ("Emission wavelength: 535 nm",)]
    (plate,) = plates([("Raw data", "Well positions"), (21050.0, "A1"), *below])
    assert [(one.wavelength_nm, one.signal) for one in plate.readings] == [(535, 21050.0)]
    (plate,) = plates([("Raw data", "Well positions"), (21050.0, "A1"), ("Measurement mode: Luminescence",)])
    assert [(one.wavelength_nm, one.signal) for one in plate.readings] == [(None, 21050.0)]
