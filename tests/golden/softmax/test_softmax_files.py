"""Real SoftMax Pro exports: numbers read by eye from the files."""

from pathlib import Path

import pytest

from exvivo.formats import softmax
from exvivo.study.design import ExportRecord, PlateRecord, ReadingStatus, SignalKind, WellRole


def read(shared_data: Path, name: str) -> ExportRecord:
    path = shared_data / "plates" / "softmax" / name
    assert softmax.recognises(path.read_bytes())
    return softmax.parse(path.read_bytes(), name)


def signal(plate: PlateRecord, well: str, wavelength: int | None) -> float | None:
    return next(one.signal for one in plate.readings if (one.well, one.wavelength_nm) == (well, wavelength))


def test_a_time_format_plate_with_two_wavelengths(shared_data: Path) -> None:
    record = read(shared_data, "Assay_2.txt")
    (plate,) = record.plates
    assert (plate.name, plate.n_rows, plate.n_columns, len(plate.readings)) == ("Plate1", 8, 12, 192)
    assert {(one.wavelength_nm, one.kind, one.status) for one in plate.readings} == {
        (450, SignalKind.RAW, ReadingStatus.OK),
        (620, SignalKind.RAW, ReadingStatus.OK),
    }
    assert [signal(plate, well, 450) for well in ("A1", "A2", "B1", "H12")] == [2.2416, 2.6971, 1.414, 0.0603]
    assert [signal(plate, well, 620) for well in ("A1", "B2", "H12")] == [0.0372, 0.0395, 0.0343]
    assert plate.readings[0].origin == "line 4"
    assert record.notes == ("not UTF-8: read as cp1252 (declared fallback); check accents and degree signs",)


def test_group_tables_give_the_layout_and_the_interpolated_concentrations(shared_data: Path) -> None:
    (plate,) = read(shared_data, "Assay_2.txt").plates
    layout = {one.well: one for one in plate.layout}
    top = layout["A2"]
    assert (top.role, top.name, top.concentration, top.unit) == (WellRole.STANDARD, "1", 3000.0, "pg/mL")
    assert layout["H3"].concentration == 0.0
    assert (layout["B5"].role, layout["B5"].name, layout["B5"].dilution) == (WellRole.SPECIMEN, "P1", 10.0)
    vendor = {one.well: one for one in plate.vendor_wells}
    assert (vendor["A1"].concentration, vendor["B4"].concentration) == (2595.358, 21.479)
    assert [vendor[well].status for well in ("A1", "C1", "H3", "B6")] == ["quantified", "missing", "refused", "missing"]
    assert vendor["H3"].text == "Range?"


def test_two_plates_of_the_same_name_stay_two_plates(shared_data: Path) -> None:
    record = read(shared_data, "Assay_3_and_4.txt")
    assert [(plate.name, plate.position, len(plate.readings)) for plate in record.plates] == [("Plate1", 1, 192), ("Plate1", 2, 192)]
    assert [signal(plate, "A1", 450) for plate in record.plates] == [2.1847, pytest.approx(signal(record.plates[1], "A1", 450))]
    assert signal(record.plates[0], "A2", 450) != signal(record.plates[1], "A2", 450)
    assert [len(plate.layout) for plate in record.plates] == [72, 72]


def test_a_utf16_plate_format_file_with_three_wavelengths_and_reduced_values(shared_data: Path) -> None:
    record = read(shared_data, "MD_SMP_absorbance_endpoint_example04.txt")
    assert [plate.name for plate in record.plates] == ["BNCH_69983542_96w", "BNCH_65245083_96w", "BNCH_79071824_96w"]
    plate = record.plates[0]
    assert [signal(plate, well, 280) for well in ("A1", "B1", "H12")] == [1.328, -1.823, 0.0499999999999998]
    assert signal(plate, "A1", 450) == -1.21525
    assert signal(plate, "A1", None) == 4.5012906556530714
    assert next(one for one in plate.readings if one.wavelength_nm is None).kind is SignalKind.REDUCED
    assert {one.name for one in plate.layout if one.well == "A1"} == {"CONTROL_74801"}


def test_mixed_decimal_marks_are_read_one_by_one_and_noted(shared_data: Path) -> None:
    (plate,) = read(shared_data, "abs_endpoint_plates.txt").plates
    first = [one for one in plate.readings if one.well == "A2"]
    assert [one.signal for one in first] == [0.02, 0.04, 0.06, 0.02]
    failed = next(one for one in plate.readings if one.well == "B1")
    assert (failed.status, failed.signal, failed.text) == (ReadingStatus.MISSED, None, "Path?")
    assert plate.notes == (
        "decimal points and decimal commas are mixed; each number was told by itself",
        "the same wavelength was read more than once: 426 426 426 nm",
    )


def test_a_file_from_which_blocks_were_cut_says_so(shared_data: Path) -> None:
    record = read(shared_data, "plate2_27_dataSdf.txt")
    assert record.notes == ("the file announces 4 blocks and holds 1: parts were removed after the export",)
    assert signal(record.plates[0], "A1", 450) == 0.5392
    assert signal(record.plates[0], "A9", 450) == 0.0


@pytest.mark.parametrize("name", ["AnExp_2plate.txt", "annote.txt", "stdConc.txt", "design.txt"])
def test_annotation_files_are_no_exports(shared_data: Path, name: str) -> None:
    assert not softmax.recognises((shared_data / "plates" / "softmax" / name).read_bytes())
