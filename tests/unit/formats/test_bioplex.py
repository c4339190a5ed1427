"""Bio-Plex Manager workbooks in their three forms: states of wells, the software's concentrations and curve, and what is refused."""

import pytest

from exvivo.errors import InputError
from exvivo.formats import bioplex
from exvivo.formats.workbook import Cell, Sheet, Workbook, compose_workbook
from exvivo.study.design import ExportRecord, PlateRecord, ReadingStatus, SignalKind, WellRole

Rows = tuple[tuple[Cell, ...], ...]

FACTS: Rows = (("Plate ID: CC 7;",), ("File Name: C:\\data\\run 7.rbx;",), ("Acquisition Date: 12-Mar-2021, 02:11 PM;",), ())
NAMES: tuple[Cell, ...] = (
    "Type", "Well", "Outlier", "Description", "FI", "FI - Bkgd", "Std Dev", "%CV", "Obs Conc (pg/ml)", "Exp Conc (pg/ml)", "(Obs/Exp)*100",
    "Dilution", "Bead Count", "Sampling Errors",
)  # fmt: skip
MEANS: Rows = (("S1", "A1,B1", 0.0, "", 12000.0, 11980.0, 7.0, 1.0, "998", 1000.0, 99.8, 1.0, "", ""),)
SINGLE: Rows = (
    ("S1", "A1", 0.0, "", 12100.5, 12080.5, "", "", 1003.2, 1000.0, 100.3, 1.0, 88.0, ""),
    ("S1", "B1", 1.0, "", 11900.0, 11880.0, "", "", "*1200,5", 1000.0, 99.0, 1.0, 77.0, ""),
    ("S2", "C1", 0.0, "", "***", "***", "", "", "***", 250.0, "", 1.0, 0.0, "2"),
    ("B", "D1", 0.0, "", 20.0, 0.0, "", "", "OOR <", "", "", 1.0, 90.0, ""),
    ("C1", "E1", 0.0, "QC low", 300.0, 280.0, "", "", 24.5, 25.0, 98.0, 1.0, 91.0, ""),
    ("X1", "F1", 0.0, "M 0012", 55.0, 35.0, "", "", "*3,42", "", "", 4.0, 20.0, "1 - Low bead #"),
    ("X2", "G1", 0.0, "M 0013", 26000.0, 25980.0, "", "", "OOR >", "", "", "1:50", 60.0, ""),
    ("X3", "H1", 0.0, "", "", "", "", "", "", "", "", 4.0, "", ""),
)
CURVE: Rows = (
    ("Std. Curve: FI = 27,863 + (17268,64 - 27,863) / ((1 + (Conc / 101819)^-1,51961))^0,62292",),
    ("FitProb. = 0,4132, ResVar = 0,8821",),
    ("Regression Type: Logistic - 5PL",),
)


def sheet(name: str, analyte: str, rows: Rows = SINGLE, below: Rows = CURVE) -> Sheet:
    return Sheet(name, (*FACTS, (f"Analyte: {analyte}",), (), NAMES, *MEANS, (), NAMES, *rows, (), *below))


def pack(*sheets: Sheet) -> bytes:
    return compose_workbook(Workbook(sheets))


def read(data: bytes) -> ExportRecord:
    assert bioplex.recognises(data)
    return bioplex.parse(data, "x.xlsx")


def message(data: bytes) -> str:
    with pytest.raises(InputError) as caught:
        bioplex.parse(data, "x.xlsx")
    return str(caught.value)


def by_well(plate: PlateRecord, kind: SignalKind = SignalKind.RAW) -> dict[str, tuple[float | None, ReadingStatus, str]]:
    return {one.well: (one.signal, one.status, one.text) for one in plate.readings if one.kind is kind}


def with_cell(row: int, column: int, cell: Cell) -> Rows:
    changed = list(SINGLE[row])
    changed[column] = cell
    return (*SINGLE[:row], tuple(changed), *SINGLE[row + 1 :])


def test_each_sheet_is_an_analyte_of_the_plate() -> None:
    plates = read(pack(sheet("IL-6 (19)", "Hu IL-6 (19)"), sheet("CCL18 (44)", "Hu CCL18 (44)"))).plates
    assert [(plate.name, plate.position, plate.n_columns) for plate in plates] == [("CC 7 Hu IL-6", 1, 12), ("CC 7 Hu CCL18", 2, 12)]
    assert {one.analyte for one in plates[0].layout} == {"Hu IL-6"}
    assert by_well(plates[0])["A1"] == (12100.5, ReadingStatus.OK, "12100.5")
    assert by_well(plates[0], SignalKind.REDUCED)["D1"] == (0.0, ReadingStatus.OK, "0")
    assert plates[0].readings[0].origin == "IL-6 (19)!E11"


def test_outliers_few_beads_and_stars_are_different_states() -> None:
    found = by_well(read(pack(sheet("a", "IL-6"))).plates[0])
    assert found["B1"] == (None, ReadingStatus.MASKED, "11900 (outlier)")
    assert found["C1"] == (None, ReadingStatus.MISSED, "***")
    assert found["F1"] == (55.0, ReadingStatus.OK, "55 (20 beads)")
    assert found["H1"] == (None, ReadingStatus.EMPTY, "")


def test_types_say_the_roles_and_descriptions_the_names() -> None:
    layout = {one.well: one for one in read(pack(sheet("a", "IL-6"))).plates[0].layout}
    assert [(layout[well].role, layout[well].name, layout[well].dilution) for well in ("A1", "D1", "E1", "F1", "G1", "H1")] == [
        (WellRole.STANDARD, "S1", None),
        (WellRole.BLANK, "B", None),
        (WellRole.QC, "QC low", 1.0),
        (WellRole.SPECIMEN, "M 0012", 4.0),
        (WellRole.SPECIMEN, "M 0013", 50.0),
        (WellRole.SPECIMEN, "X3", 4.0),
    ]
    assert [(layout[well].concentration, layout[well].unit) for well in ("A1", "C1", "D1", "E1")] == [
        (1000.0, "pg/ml"), (250.0, "pg/ml"), (None, None), (25.0, "pg/ml"),
    ]  # fmt: skip


def test_observed_concentrations_keep_their_states() -> None:
    (plate,) = read(pack(sheet("a", "IL-6"))).plates
    assert {one.well: (one.concentration, one.status, one.text) for one in plate.vendor_wells} == {
        "A1": (1003.2, "quantified", "1003.2"),
        "B1": (1200.5, "extrapolated", "*1200,5"),
        "C1": (None, "missing", "***"),
        "D1": (None, "below_lloq", "OOR <"),
        "E1": (24.5, "quantified", "24.5"),
        "F1": (3.42 / 4, "extrapolated", "*3,42"),
        "G1": (None, "above_uloq", "OOR >"),
    }
    assert plate.notes == ("a!B13: well C1, sampling error 2", "a!B16: well F1, sampling error 1 - Low bead #")


@pytest.mark.parametrize(
    ("text", "letters", "model"),
    [
        ("Std. Curve: FI = 27.863 + (7268.64 - 27.863) / ((1 + (Conc / 101819)^-1.51961))^0.62292", "abcdg", "5PL"),
        ("Std. Curve: FI = 48.6354 + (12224.4 - 48.6354) / (1 + (Conc / 915.213)^-1.26429)", "abcd", "4PL"),
    ],
)
def test_the_printed_curve_is_read_with_its_letters(text: str, letters: str, model: str) -> None:
    rows = tuple(tuple("*3.42" if cell in {"*3,42", "*1200,5"} else cell for cell in row) for row in SINGLE)
    (plate,) = read(pack(sheet("a", "IL-6", rows, ((text,),)))).plates
    assert plate.vendor_curve is not None
    assert ("".join(plate.vendor_curve.parameters), plate.vendor_curve.model) == (letters, model)
    assert plate.vendor_curve.parameters["b"] == {"5PL": 7268.64, "4PL": 12224.4}[model]


def test_a_decimal_comma_in_text_does_not_touch_the_numbers_of_the_workbook() -> None:
    (plate,) = read(pack(sheet("a", "IL-6"))).plates
    assert plate.vendor_curve is not None
    assert (plate.vendor_curve.model, dict(plate.vendor_curve.parameters)) == (
        "Logistic - 5PL", {"a": 27.863, "b": 17268.64, "c": 101819.0, "d": -1.51961, "g": 0.62292},
    )  # fmt: skip
    assert by_well(plate)["A1"][0] == 12100.5
    assert [one.concentration for one in plate.vendor_wells if one.well == "F1"] == [3.42 / 4]


def test_a_long_table_names_its_analytes_by_row() -> None:
    head = "Analyte,Type,Well,Description,FI,FI - Bkgd,Obs Conc,Exp Conc,Dilution\n"
    body = "".join(
        f"{analyte} (1),{row}\n" for analyte in ("IL-6", "CCL18") for row in ("S1,A1,,120.5,100,98,100,1", "X1,B1,M1,30,10,OOR <,,2")
    )
    plates = read((head + body).encode()).plates
    assert [(plate.name, [one.signal for one in plate.readings]) for plate in plates] == [
        ("IL-6", [120.5, 100.0, 30.0, 10.0]), ("CCL18", [120.5, 100.0, 30.0, 10.0]),
    ]  # fmt: skip


def wide(
    name: str, *columns: tuple[Cell, ...], head: tuple[Cell, ...] = ("Type", "Well", "Description", "IL-6 (19)", "CCL18 (44)")
) -> Sheet:
    return Sheet(name, (*FACTS, head, *columns))


def test_sheets_of_quantities_hold_a_column_per_analyte() -> None:
    plates = read(
        pack(
            wide("Dilution", ("S1", "A1", 1.0), ("X1", "B1", 4.0), head=("Type", "Well", "Dilution")),
            wide("FI", ("S1", "A1", "", 900.0, 800.0), ("X1", "B1", "M1", 90.5, "***")),
            wide("Std Dev", ("S1", "A1", "", 9.0, 8.0)),
            wide("Obs Conc", ("S1", "A1", "", 99.0, 98.0), ("X1", "B1", "M1", "*3.42", "OOR <")),
            wide("Exp Conc", ("S1", "A1", "", 100.0, 50.0)),
        )
    ).plates
    assert [plate.name for plate in plates] == ["CC 7 IL-6", "CC 7 CCL18"]
    assert [by_well(plate)["B1"][:2] for plate in plates] == [(90.5, ReadingStatus.OK), (None, ReadingStatus.MISSED)]
    assert [one.concentration for plate in plates for one in plate.layout if one.well == "A1"] == [100.0, 50.0]
    assert [(one.name, one.dilution) for one in plates[1].layout] == [("S1", None), ("M1", 4.0)]
    assert [one.status for plate in plates for one in plate.vendor_wells] == ["quantified", "extrapolated", "quantified", "below_lloq"]


def test_tables_that_are_not_used_are_noted() -> None:
    data = pack(wide("FI", ("S1", "A1", "", 900.0, 800.0)), wide("Std Dev", ("S1", "A1", "", 9.0, 8.0)))
    assert read(data).notes == ("Std Dev!A5: table not read, it names no quantity that is used",)


def test_faults_are_told_together() -> None:
    rows = (*with_cell(0, 4, "high"), ("Z1", "A2", 0.0, "", 1.0), ("X4", "A99", 0.0, "", 1.0), ("X5", "F1", 0.0, "", 56.0, 35.0))
    assert message(pack(sheet("a", "IL-6", rows))) == (
        "x.xlsx, a!B20: 'A99' is no well. Expected A1 to H12 (96 wells) or A1 to P24 (384 wells). Export again.\n"
        "x.xlsx, a!E21: well F1 stands twice: '55' at a!E16 and '56'. Expected one row for each well. Export single wells only.\n"
        "x.xlsx, a!E11: well A1: 'high' is no fluorescence. Expected a number, *** or nothing. Export again.\n"
        "x.xlsx, a!B19: well A2: type 'Z1' is unknown. Expected S (standard), B (blank), C (control) or X (unknown)."
    )
    assert "no fluorescence ('FI') of single wells" in message(pack(Sheet("a", (*FACTS, NAMES, *MEANS))))


def test_composing_needs_one_plate_and_named_analytes() -> None:
    (plate,) = read(pack(sheet("a", "IL-6"))).plates
    bare = PlateRecord("x", 1, 8, 12, plate.readings)
    for plates in ((), (bare,), (plate, PlateRecord("other IL-6", 2, 8, 12, plate.readings, plate.layout))):
        with pytest.raises(ValueError, match="Bio-Plex"):
            bioplex.compose(ExportRecord("bioplex", plates))
