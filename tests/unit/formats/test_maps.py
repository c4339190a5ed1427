"""Plate maps, long and plate-shaped, and what is said about each mistake."""

import datetime as dt

import pytest

from exvivo.errors import InputError
from exvivo.formats import maps
from exvivo.formats.workbook import Cell, Sheet, Workbook, compose_workbook
from exvivo.study.design import WellLayout, WellRole

HEAD = "plate,well,role,specimen,analyte,concentration,dilution,unit\n"
GOOD = (
    HEAD + "1,A1,standard,S1,CCL18,1000,1,pg/mL\n1,a02,blank,,CCL18,,,\n1,B1,qc,QC low,CCL18,50,1,pg/mL\n1,H12,specimen,M0001,CCL18,,20,\n"
)


def refusal(text: str) -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        maps.parse(text.encode(), "maps/P1.csv")
    return caught.value.messages


def test_a_long_map_is_read_in_order() -> None:
    (plate,) = maps.parse(GOOD.encode(), "maps/P1.csv").plates
    assert plate.plate == "1"
    assert plate.wells == (
        WellLayout("A1", WellRole.STANDARD, "S1", 1000.0, 1.0, "pg/mL", "line 2", "CCL18"),
        WellLayout("A2", WellRole.BLANK, None, None, None, None, "line 3", "CCL18"),
        WellLayout("B1", WellRole.QC, "QC low", 50.0, 1.0, "pg/mL", "line 4", "CCL18"),
        WellLayout("H12", WellRole.SPECIMEN, "M0001", None, 20.0, None, "line 5", "CCL18"),
    )


@pytest.mark.parametrize("form", ["semicolon", "sheet"])
def test_other_forms_of_the_long_map_give_the_same_wells(form: str) -> None:
    rows = [line.split(",") for line in GOOD.splitlines()]
    if form == "semicolon":
        data = "\n".join(";".join(row) for row in rows).replace("50;1", "50,0;1,0").encode("utf-16")
    else:
        data = compose_workbook(
            Workbook((Sheet("map", tuple(tuple(float(cell) if cell.isdigit() else cell for cell in row) for row in rows)),))
        )
    found, expected = maps.parse(data, "x"), maps.parse(GOOD.encode(), "x")
    assert found.plates == expected.plates


def test_all_missing_columns_are_named() -> None:
    messages = refusal("plate,well,role,specimen\n1,A1,blank,\n")
    assert [message.split("'")[1] for message in messages] == ["analyte", "concentration", "dilution"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("1,A1,sample,M1,CCL18,,20,", "line 2: role 'sample' is unknown. Expected standard, blank, qc, specimen, empty."),
        ("1,Q1,blank,,,,,", "line 2: well 'Q1' is outside a plate. Expected A1 to H12 (96 wells) or A1 to P24 (384 wells)."),
        ("1,A25,blank,,,,,", "well 'A25' is outside a plate"),
        ("1,A1,specimen,M1,CCL18,,0.05,", "well A1: dilution 0.05 is below 1"),
        ("1,A1,specimen,M1,CCL18,,,", "specimen 'M1' without dilution"),
        ("1,A1,specimen,,CCL18,,20,", "a specimen without name"),
        ("1,A1,standard,S1,CCL18,,1,", "a standard without concentration. Expected its nominal concentration."),
        ("1,A1,qc,,CCL18,10,1,", "a qc without name"),
        ("1,A1,standard,S1,CCL18,-3,1,", "concentration -3"),
        ("1,A1,blank,,CCL18,12,1,", "a blank with concentration 12"),
        ("1,A1,standard,S1,CCL18,1000x,1,", "concentration '1000x' is no number"),
    ],
)
def test_each_mistake_has_its_words(row: str, words: str) -> None:
    assert words in refusal(HEAD + row + "\n")[0]


def test_a_well_that_stands_twice_and_other_mistakes_are_told_together() -> None:
    messages = refusal(GOOD + "1,A1,blank,,,,,\n1,Z9,blank,,,,,\n")
    assert messages[0].startswith("maps/P1.csv, line 6: well A1 of plate '1' stands twice, first at line 2.")
    assert len(messages) == 2


def test_two_decimal_marks_in_a_column_are_refused() -> None:
    text = HEAD.replace(",", ";") + "1;A1;standard;S1;CCL18;62,5;1;\n1;A2;standard;S2;CCL18;31.25;1;\n"
    (message,) = refusal(text)
    assert message.startswith("maps/P1.csv, concentration: two decimal marks: '31.25' and '62,5'. Expected one decimal mark.")


def test_plate_shaped_grids_with_a_constant_give_the_same_wells() -> None:
    text = "Plate: P7\nanalyte: IL6\nrole,1,2,3\nA,standard,specimen,\nB,blank,specimen,\n\nspecimen,1,2,3\nA,S1,M1,\nB,,M2,\n\n"
    text += "concentration,1,2,3\nA,600,,\nB,,,\n\ndilution,1,2,3\nA,1,2,\nB,,2,\n"
    (plate,) = maps.parse(text.encode(), "x.csv").plates
    assert plate.plate == "P7"
    assert [(one.well, one.role.value, one.name, one.concentration, one.dilution, one.analyte) for one in plate.wells] == [
        ("A1", "standard", "S1", 600.0, 1.0, "IL6"),
        ("A2", "specimen", "M1", None, 2.0, "IL6"),
        ("B1", "blank", None, None, None, "IL6"),
        ("B2", "specimen", "M2", None, 2.0, "IL6"),
    ]


def test_one_grid_of_words_is_a_map_and_obeys_the_same_rules() -> None:
    text = ",1,2\nA,Std 1 = 1000 pg/mL,M0001 1:20\nB,blank,M0002 1:20\n"
    (plate,) = maps.parse(text.encode(), "x.csv").plates
    assert [(one.well, one.role.value, one.concentration, one.dilution) for one in plate.wells][:2] == [
        ("A1", "standard", 1000.0, None),
        ("A2", "specimen", None, 20.0),
    ]
    assert "specimen 'M0002' without dilution" in refusal(text.replace("M0002 1:20", "M0002"))[0]


def test_a_cell_without_a_role_and_a_file_without_a_map_are_refused() -> None:
    assert "well A2 has no role" in refusal("role,1,2\nA,blank,\nB,blank,\n\nspecimen,1,2\nA,,M1\nB,,\n")[0]
    assert refusal("a,b\n1,2\n")[0].startswith("maps/P1.csv: no plate map was found")


def test_a_lot_is_read_where_the_map_has_the_column() -> None:
    text = HEAD.replace("unit\n", "unit,lot\n") + "1,A1,standard,S1,CCL18,500,1,pg/mL,K-17\n1,A2,blank,,CCL18,,,,\n"
    record = maps.parse(text.encode(), "m.csv")
    assert [well.lot for well in record.plates[0].wells] == ["K-17", None]
    assert maps.parse(maps.compose(record), "m.csv") == record
    assert record.notes == ()


SPELLED = "Plate ID,Well Position,Sample Type,Sample Name,Assay,Conc. (ng/mL),Dilution_Factor,,\n"


def test_headers_as_people_write_them_are_read_and_told() -> None:
    text = (
        SPELLED
        + "P1,A1,Standard,S1,CCL18,5,,,\nP1,B1,specimen,M1,CCL18,,1:20,,\nP1,C1,specimen,M2,CCL18,,x2.5,,\nP1,D1,specimen,M3,CCL18,,10x,,\n"
    )
    record = maps.parse(text.encode(), "x.csv")
    wells = record.plates[0].wells
    assert [(one.well, one.name, one.concentration, one.unit, one.dilution) for one in wells] == [
        ("A1", "S1", 5.0, "ng/mL", None),
        ("B1", "M1", None, None, 20.0),
        ("C1", "M2", None, None, 2.5),
        ("D1", "M3", None, None, 10.0),
    ]
    assert record.notes == (
        "column 'Plate ID' was read as plate",
        "column 'Well Position' was read as well",
        "column 'Sample Type' was read as role",
        "column 'Sample Name' was read as specimen",
        "column 'Assay' was read as analyte",
        "column 'Conc. (ng/mL)' was read as concentration",
        "column 'Dilution_Factor' was read as dilution",
    )
    sheet = Sheet("map", tuple(tuple(line.split(",")) for line in text.splitlines()))
    assert [one.dilution for one in maps.parse(compose_workbook(Workbook((sheet,))), "x.xlsx").plates[0].wells] == [None, 20.0, 2.5, 10.0]


def test_a_unit_column_goes_before_the_unit_of_a_header() -> None:
    text = HEAD.replace("concentration", "concentration [ng/mL]") + "1,A1,standard,S1,CCL18,5,,pg/mL\n"
    assert maps.parse(text.encode(), "x.csv").plates[0].wells[0].unit == "pg/mL"


def test_two_columns_of_one_meaning_are_refused() -> None:
    text = HEAD.replace("unit", "Sample") + "1,A1,specimen,M1,CCL18,,20,M2\n"
    assert refusal(text) == (
        "maps/P1.csv: columns 'specimen' and 'Sample' both mean specimen. Expected each column once. Take one of them out.",
    )


def test_something_behind_the_last_named_column_is_refused() -> None:
    assert "column 9 has no name" in refusal(HEAD.replace("unit\n", "unit,\n") + "1,A1,blank,,CCL18,,,,here\n")[0]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_blanks_that_cannot_be_seen_at_the_ends_of_cells_do_not_count(encoding: str) -> None:
    text = GOOD.replace("specimen,M0001", "specimen\u00a0,\u00a0M0001\u00a0").replace("role", " role\u00a0")
    assert maps.parse(text.encode(encoding), "x").plates[0].wells[3].name == "M0001"


def test_dates_that_excel_made_of_numbers_are_refused() -> None:
    rows: list[tuple[Cell, ...]] = [tuple(line.split(",")) for line in GOOD.splitlines()]
    rows[4] = (*rows[4][:6], dt.date(2026, 2, 1))
    data = compose_workbook(Workbook((Sheet("map", tuple(rows)),)))
    with pytest.raises(InputError, match="line 5: dilution '2026-02-01"):
        maps.parse(data, "x.xlsx")
