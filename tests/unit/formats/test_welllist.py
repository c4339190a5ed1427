"""Lists of wells as people make them: columns by their names, decimal marks by column, states of wells, and what is refused."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exvivo.errors import InputError
from exvivo.formats import welllist
from exvivo.formats.exports import parse_export, recognise
from exvivo.formats.workbook import Sheet, Workbook, compose_workbook
from exvivo.study.design import ExportRecord, PlateRecord, ReadingStatus, SignalKind, WellLayout, WellReading, WellRole

TEXT = (
    "Plate 12 read by Ann\n\nWell ID;Sample;Conc. (pg/mL);Dilution;OD 450 nm;620;OD blanked\n"
    "A1;Std 1;1000;1;3,337;0,05;3,3\nA02;Std 2;62,5;1;0,5;0,051;0,46\nB1;blank;;;OVRFLW;0,04;-0,001\nB2;M 12;;1:50;;0,044;< Min\n"
)


def read(text: str) -> tuple[PlateRecord, ...]:
    assert recognise("x.csv", text.encode()) is welllist.parse
    return welllist.parse(text.encode(), "x.csv").plates


def refusal(text: str) -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        welllist.parse(text.encode(), "x.csv")
    return caught.value.messages


def test_columns_are_read_by_their_names() -> None:
    (plate,) = read(TEXT)
    found = {(one.wavelength_nm, one.kind): [] for one in plate.readings}  # type: ignore[var-annotated]  # filled below
    for one in plate.readings:
        found[one.wavelength_nm, one.kind].append((one.well, one.signal, one.status))
    assert found[450, SignalKind.RAW] == [
        ("A1", 3.337, ReadingStatus.OK),
        ("A2", 0.5, ReadingStatus.OK),
        ("B1", None, ReadingStatus.OVERFLOW),
        ("B2", None, ReadingStatus.EMPTY),
    ]
    assert [signal for _, signal, _ in found[620, SignalKind.RAW]] == [0.05, 0.051, 0.04, 0.044]
    assert found[None, SignalKind.REDUCED][-1] == ("B2", None, ReadingStatus.MISSED)
    assert plate.readings[0].origin == "line 4"


def test_other_columns_make_the_layout() -> None:
    assert [(one.role, one.name, one.concentration, one.unit, one.dilution) for one in read(TEXT)[0].layout] == [
        (WellRole.STANDARD, "Std 1", 1000.0, "pg/mL", None),
        (WellRole.STANDARD, "Std 2", 62.5, "pg/mL", None),
        (WellRole.BLANK, "blank", None, None, None),
        (WellRole.SPECIMEN, "M 12", None, None, 50.0),
    ]


def test_every_column_decides_its_own_decimal_mark() -> None:
    text = "Well\tOD\t620\nA1\t0.5\t0,04\nA2\t1.5\t0,05\n"
    (plate,) = read(text)
    assert [one.signal for one in plate.readings] == [0.5, 1.5, 0.04, 0.05]
    assert refusal("Well;OD\nA1;3,337\nA2;1,204\n")[0].startswith("x.csv, column 2: '3,337' may be 3.337 or 3337.")


def test_a_plate_column_tells_plates_apart_and_large_plates_are_told_by_their_wells() -> None:
    plates = read("Plate,Position,Absorbance (450)\nP1,A1,0.5\nP2,A1,0.6\nP1,P24,0.7\n")
    assert [(plate.name, plate.position, plate.n_columns, len(plate.readings)) for plate in plates] == [("P1", 1, 24, 2), ("P2", 2, 12, 1)]
    assert plates[0].readings[0].wavelength_nm == 450


def test_a_workbook_reads_the_same() -> None:
    rows = (("Well", "Type", "Signal"), ("A1", "standard", 0.5), ("A2", "specimen", "OVRFLW"))
    data = compose_workbook(Workbook((Sheet("notes", (("hello",),)), Sheet("list", rows))))
    assert recognise("x.xlsx", data) is welllist.parse
    (plate,) = parse_export("x.xlsx", data).plates
    assert [(one.well, one.signal, one.origin) for one in plate.readings] == [("A1", 0.5, "list!C2"), ("A2", None, "list!C3")]
    assert [one.role for one in plate.layout] == [WellRole.STANDARD, WellRole.SPECIMEN]


def test_faults_are_told_together() -> None:
    assert refusal("Well,OD\nA1,0.5\nA2,0.6\nmean,0.55\nA3,high\n") == (
        "x.csv, line 4: 'mean' is no well. Expected A1 to H12 (96 wells) or A1 to P24 (384 wells). Correct it, or take the row out.",
        "x.csv, line 5: well A3: 'high' is no reading. Expected a number or a reader's word such as OVRFLW.",
    )
    for text in ("Well,Comment\nA1,x\nA2,y\n", "Well,OD\n1,2\n3,4\n", "Name,OD\nA1,1\nA2,2\n"):
        assert not welllist.recognises(text.encode())
        assert "no list of wells was found" in refusal(text)[0]


def test_composing_needs_one_set_of_columns() -> None:
    (plate,) = read(TEXT)
    with pytest.raises(ValueError, match="same columns"):
        welllist.compose(ExportRecord("welllist", (plate, replace(plate, readings=plate.readings[:4]))))


CELLS = st.integers(-200, 40_000) | st.sampled_from(["OVRFLW", "Masked", "MISSED", ""])
WORDS = {"OVRFLW": ReadingStatus.OVERFLOW, "Masked": ReadingStatus.MASKED, "MISSED": ReadingStatus.MISSED, "": ReadingStatus.EMPTY}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=2, max_size=12), st.sampled_from([(",", "."), (";", "."), (";", ","), ("\t", ",")]))
def test_parsing_a_composed_list_gives_the_record(cells: list[tuple[int | str, int | str]], marks: tuple[str, str]) -> None:
    delimiter, decimal = marks
    readings, layout = [], []
    for column, nm in enumerate((450, 620)):
        for n, both in enumerate(cells):
            cell = both[column]
            text = cell if isinstance(cell, str) else f"{cell / 10_000:.4f}".replace(".", decimal)
            status, signal = (WORDS[cell], None) if isinstance(cell, str) else (ReadingStatus.OK, cell / 10_000)
            readings.append(WellReading(f"A{n + 1}", nm, signal, status, SignalKind.RAW, text, ""))
    for n in range(len(cells)):
        role = (WellRole.STANDARD, WellRole.SPECIMEN)[n % 2]
        amounts = (62.5, None, "pg/mL") if role is WellRole.STANDARD else (None, 2.5, None)
        layout.append(WellLayout(f"A{n + 1}", role, f"name {n}", amounts[0], amounts[1], amounts[2], "", "IL6"))
    plate = PlateRecord("P1", 1, 8, 12, tuple(readings), tuple(layout))
    (found,) = welllist.parse(welllist.compose(ExportRecord("welllist", (plate,)), delimiter, decimal), "x.csv").plates
    bare = replace(
        found,
        readings=tuple(replace(one, origin="") for one in found.readings),
        layout=tuple(replace(one, origin="") for one in found.layout),
    )
    assert bare == plate
