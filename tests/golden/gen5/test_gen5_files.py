"""Real Gen5 exports: numbers read by eye from the files."""

from pathlib import Path

import pytest

from exvivo.formats import gen5
from exvivo.formats.exports import recognise
from exvivo.study.design import ExportRecord, PlateRecord, ReadingStatus, SignalKind, WellRole


def read(shared_data: Path, name: str) -> ExportRecord:
    data = (shared_data / "plates" / "gen5" / name).read_bytes()
    assert recognise(name, data) is gen5.parse
    return gen5.parse(data, name)


def signal(plate: PlateRecord, well: str, wavelength: int, kind: SignalKind = SignalKind.RAW) -> float | None:
    return next(one.signal for one in plate.readings if (one.well, one.wavelength_nm, one.kind) == (well, wavelength, kind))


@pytest.mark.parametrize("name", ["endpoint_stdcurve_singleplate.txt", "010307_114129_BNCH654563_stdcurve_singleplate01.txt"])
def test_raw_and_blank_subtracted_readings_and_concentrations_stay_apart(shared_data: Path, name: str) -> None:
    (plate,) = read(shared_data, name).plates
    assert (plate.name, plate.n_rows, plate.n_columns, len(plate.readings), plate.notes) == ("Plate 1", 8, 12, 192, ())
    assert [signal(plate, well, 630) for well in ("A1", "B12", "H12")] == [3.337, 1.51, 0.194]
    assert [signal(plate, well, 630, SignalKind.REDUCED) for well in ("A1", "H2", "H12")] == [3.336, 0.0, 0.193]
    assert (plate.readings[0].origin, plate.readings[12].origin) == ("line 50", "line 53")
    vendor = {one.well: one for one in plate.vendor_wells}
    assert (vendor["A1"].concentration, vendor["H12"].concentration, vendor["H12"].origin) == (1980.423, 115.184, "line 73")


def test_a_fraction_in_the_layout_is_a_dilution(shared_data: Path) -> None:
    (plate,) = read(shared_data, "endpoint_stdcurve_singleplate.txt").plates
    layout = {one.well: one for one in plate.layout}
    assert len(layout) == 96
    assert (layout["B1"].role, layout["B1"].name, layout["B1"].concentration) == (WellRole.STANDARD, "STD2", 666.67)
    assert (layout["H1"].role, layout["H1"].concentration, layout["H1"].dilution) == (WellRole.BLANK, None, None)
    assert [(layout[well].name, layout[well].dilution) for well in ("A4", "B4", "C4", "D12")] == [
        ("SPL1", 1.0),
        ("SPL1", 2.0),
        ("SPL1", 4.0),
        ("SPL3", 8.0),
    ]
    assert (layout["D12"].role, layout["D12"].origin) == (WellRole.SPECIMEN, "line 37")


def test_the_fitted_line_is_kept(shared_data: Path) -> None:
    (plate,) = read(shared_data, "endpoint_stdcurve_singleplate.txt").plates
    curve = plate.vendor_curve
    assert curve is not None
    assert (curve.model, dict(curve.parameters), curve.origin) == ("Y=A*X+B", {"A": 0.00168, "B": -0.000723}, "line 78")


def test_wavelengths_swapped_in_one_row_are_followed_and_noted(shared_data: Path) -> None:
    (plate,) = read(shared_data, "endpoint_wavelength_measurement_labels.txt").plates
    assert [signal(plate, "A1", nm) for nm in (280, 325)] == [1.8012, 0.9066]
    assert [signal(plate, "B1", nm) for nm in (280, 325)] == [1.0033, 1.6629]
    assert [signal(plate, "H12", nm) for nm in (280, 325)] == [0.0517, 0.0407]
    assert plate.notes == ("line 56: row B names its data sets 325, 280, the first row 280, 325: names were followed",)


def test_words_of_the_reader_are_states(shared_data: Path) -> None:
    (plate,) = read(shared_data, "240411_172731_BNCH2345883_abs450_96well_non_numeric_values.txt").plates
    wells = {status: [one.well for one in plate.readings if one.status is status] for status in ReadingStatus}
    assert wells[ReadingStatus.OVERFLOW] == ["A8", "B7", "C6", "D5", "E4", "F3", "G2", "H1"]
    assert wells[ReadingStatus.MISSED] == ["D12", "E11", "F10", "G9", "H8"]
    assert {one.signal for one in plate.readings if one.status is not ReadingStatus.OK} == {None}
    assert {one.wavelength_nm for one in plate.readings} == {450}
