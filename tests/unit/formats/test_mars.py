"""MARS text: titles, names, short lines, and what is refused."""

import pytest

from exvivo.errors import InputError
from exvivo.formats import mars
from exvivo.formats.exports import parse_export, recognise
from exvivo.formats.workbook import Cell, Sheet, Workbook, compose_workbook
from exvivo.study.design import ExportRecord, PlateRecord, ReadingStatus, SignalKind, WellReading

COLUMNS = "," + ",".join(str(n) for n in range(1, 13))


def block(title: str, text: str = "0.1", letters: str = "ABCDEFGH") -> str:
    return "\n".join([title, "", COLUMNS, *(",".join([letter, *[text] * 12]) for letter in letters), "", ""])


def export(*blocks: str, mode: str = "Absorbance", ids: str = "ID1: P7,ID2: second") -> str:
    return f"User: USER,Path: C:\\Data,Test run no.: 3\nTest name: ELISA\n\n{ids}\n{mode}\n\n" + "".join(blocks)


def plates(text: str) -> tuple[PlateRecord, ...]:
    assert mars.recognises(text.encode())
    return mars.parse(text.encode(), "x.csv").plates


def message(text: str) -> str:
    with pytest.raises(InputError) as caught:
        mars.parse(text.encode(), "x.csv")
    return str(caught.value)


@pytest.mark.parametrize(
    ("title", "wavelength", "kind"),
    [
        ("Raw Data (620)", 620, SignalKind.RAW),
        ("Raw Data  (620 2)", 620, SignalKind.RAW),
        ("Blank corrected based on Raw Data (450)", 450, SignalKind.REDUCED),
    ],
)
def test_a_title_tells_wavelength_and_kind(title: str, wavelength: int, kind: SignalKind) -> None:
    (plate,) = plates(export(block("Raw Data (450 1)"), block(title, "0.25")))
    assert len(plate.readings) == 192
    assert [(one.wavelength_nm, one.kind, one.signal) for one in plate.readings if one.well == "A1"] == [
        (450, SignalKind.RAW, 0.1),
        (wavelength, kind, 0.25),
    ]
    assert (plate.name, plate.notes) == ("P7", ("line 4: ID2: second",))


def test_other_blocks_are_noted_and_not_read() -> None:
    (plate,) = plates(export(block("Raw Data (450)"), block("Linear regression fit (Conc. [pg/mL])", "12.5"), ids="ID1: "))
    assert (plate.name, len(plate.readings)) == (None, 96)
    assert plate.notes == ("line 21: block 'Linear regression fit (Conc. [pg/mL])' not read: neither raw nor blank-corrected readings",)


def test_plates_of_a_file_stay_apart() -> None:
    found = plates(export(block("Raw Data (450)")) + export(block("Raw Data (450)", "0.2"), ids="ID1: P8"))
    assert [(plate.name, plate.position, plate.readings[0].signal, plate.readings[0].origin) for plate in found] == [
        ("P7", 1, 0.1, "line 10"),
        ("P8", 2, 0.2, "line 28"),
    ]


def test_a_short_line_has_empty_wells_unless_the_file_ends_in_it() -> None:
    text = export(block("Raw Data (450)"), ids="ID1: P7").replace("C" + ",0.1" * 12, "C,0.1,0.1")
    (plate,) = plates(text)
    assert [one.status for one in plate.readings if one.well in {"C2", "C3"}] == [ReadingStatus.OK, ReadingStatus.EMPTY]
    assert plate.notes == ("line 12: row C ends after 2 of 12 wells: the rest was read as empty",)
    cut = export(block("Raw Data (450)")).rstrip().removesuffix(",0.1")
    assert message(cut) == "x.csv, line 17: row H ends after 11 of 12 wells and so does the file. Expected a full row. Export again."


def test_a_decimal_comma_stays_one() -> None:
    text = export(block("Raw Data (450)")).replace(",", ";").replace("0.1", "0,1").replace("A;0,1", "A;3,337")
    (plate,) = plates(text)
    assert [one.signal for one in plate.readings[:2]] == [3.337, 0.1]


def test_words_are_states() -> None:
    (plate,) = plates(export(block("Raw Data (450)", "overflow")))
    assert {(one.signal, one.status) for one in plate.readings} == {(None, ReadingStatus.OVERFLOW)}


def test_faults_are_told_together() -> None:
    text = export(block("Raw Data (450)", letters="ABCDEFG").replace("0.1", "high", 1), mode="Absorbance spectrum")
    assert message(text) == (
        "x.csv, line 1: the plate was read as Absorbance spectrum. Expected an endpoint read. "
        "Export the endpoint, or leave this file out.\n"
        "x.csv, line 9: a block of 7 rows and 12 columns. Expected 8 x 12 or 16 x 24 wells. The file is cut off: export again.\n"
        "x.csv, line 10: well A1: 'high' is no reading. Expected a number or a reader's word such as OVERFLOW. Export again."
    )
    assert "no block of raw readings; blocks: 'Raw Data (580/620)'" in message(export(block("Raw Data (580/620)")))
    assert "blocks: none" in message(export())


def test_composing_needs_wavelengths() -> None:
    plate = PlateRecord("P", 1, 8, 12, (WellReading("A1", None, 0.5, ReadingStatus.OK, SignalKind.RAW, "0.5", ""),))
    with pytest.raises(ValueError, match="wavelengths"):
        mars.compose(ExportRecord("mars", (plate,)))


@pytest.mark.parametrize(
    ("mode", "title", "nm"),
    [
        ("Fluorescence (FI)", "Raw Data (580/620)", 620),
        ("Fluorescence (FI)", "Raw Data (485-12/520-10)", 520),
        ("Fluorescence (FI)", "Raw Data (485 520)", 520),
        ("Luminescence", "Raw Data (No filter)", None),
        ("Luminescence", "Raw Data (460-60)", 460),
    ],
)
def test_light_is_read_at_its_emission(mode: str, title: str, nm: int | None) -> None:
    (plate,) = plates(export(block(title, "25104"), mode=mode))
    assert {(one.wavelength_nm, one.kind, one.signal) for one in plate.readings} == {(nm, SignalKind.RAW, 25104.0)}


@pytest.mark.parametrize("title", ["Raw Data (450-570)", "Raw Data (220-1000)", "Raw Data (485 520)"])
def test_titles_of_differences_and_spectra_are_refused(title: str) -> None:
    assert f"no block of raw readings; blocks: '{title}'" in message(export(block(title)))


def test_a_block_that_stands_again_is_refused() -> None:
    assert "line 21: 'Raw Data (450 2)' stands again" in message(export(block("Raw Data (450 1)"), block("Raw Data (450 2)")))


def test_lines_padded_to_the_width_of_the_plate_are_read() -> None:
    padded = "\n".join(line + "," * (12 - line.count(",")) for line in export(block("Raw Data (484)", "")).split("\n"))
    (plate,) = plates(padded.replace("A," + "," * 11, "A,0.031,,0.033" + "," * 9))
    assert [(one.well, one.signal) for one in plate.readings if one.signal is not None] == [("A1", 0.031), ("A3", 0.033)]
    assert plate.name == "P7"


def test_a_plate_of_1536_wells_is_refused() -> None:
    columns = "," + ",".join(str(n) for n in range(1, 49))
    letters = [*"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "AA", "AB", "AC", "AD", "AE", "AF"]
    rows = "\n".join(",".join([letter, *["7"] * 48]) for letter in letters)
    assert "a plate of more than 384 wells" in message(export(f"Raw Data (No filter)\n\n{columns}\n{rows}\n", mode="Luminescence"))


def table(head: str, *lines: str, mode: str = "Absorbance") -> str:
    return "\n".join(["User: U,Path: C:\\Data,Test run no.: 1", "Test name: x", "ID1: P7", mode, "", head, *lines, ""])


def test_the_table_view_is_read_well_by_well() -> None:
    head = "Well,Content,Standard Concentrations [pg/mL],Raw Data (450 1), Blank corrected based on Raw Data (450 1),Raw Data (570 2)"
    text = table(head, "A01,Blank B,,0.036,0,0.039", "", "A02,Standard S1,1000,0.051,0.015,0.040", "H12,Sample X3,,overflow,,0.042")
    (plate,) = plates(text)
    assert (plate.name, plate.n_rows, len(plate.readings)) == ("P7", 8, 9)
    assert [(one.well, one.wavelength_nm, one.kind.value, one.signal, one.status.value, one.origin) for one in plate.readings[:4]] == [
        ("A1", 450, "raw", 0.036, "ok", "line 7"),
        ("A2", 450, "raw", 0.051, "ok", "line 9"),
        ("H12", 450, "raw", None, "overflow", "line 10"),
        ("A1", 450, "reduced", 0.0, "ok", "line 7"),
    ]
    assert [(one.well, one.role.value, one.name, one.concentration, one.unit) for one in plate.layout] == [
        ("A1", "blank", "B", None, None),
        ("A2", "standard", "S1", 1000.0, "pg/mL"),
        ("H12", "specimen", "X3", None, None),
    ]


def test_wells_of_a_table_may_stand_in_two_columns() -> None:
    (plate,) = plates(table("Well Row,Well Col,Content,Raw Data (638-12/675-12 1)", "P,24,Sample X1,420", mode="Fluorescence (FI)"))
    assert [(one.well, one.wavelength_nm, one.signal) for one in plate.readings] == [("P24", 675, 420.0)]
    assert plate.n_rows == 16


@pytest.mark.parametrize("axis", [",Time,0 h,0 h 15 min", ",Wavelength [nm],450,452"])
def test_a_table_of_times_or_wavelengths_is_refused(axis: str) -> None:
    found = message(table("Well,Content,Raw Data (600),Raw Data (600)", axis, "A01,Sample X1,0.1,0.2"))
    assert f"a line of '{axis.split(',')[1]}' below its titles: a kinetic or a spectrum" in found


def test_faults_of_a_table_are_told_together() -> None:
    text = table("Well,Content,Raw Data (600)", "A01,Sample X1,high", "A01,Sample X1,0.1", "Q01,Sample X2,0.1")
    assert [line.split(": ", 1)[1][:28] for line in message(text).split("\n")] == [
        "well A01: 'high' is no readi",
        "well A01 stands twice. Expec",
        "'Q01' is not a well: expecte",
    ]
    assert "blocks: 'Well', 'Content', 'Mean of Raw Data (600)'" in message(
        table("Well,Content,Mean of Raw Data (600)", "A01,Sample X1,0.1")
    )


def test_a_head_of_one_item_a_line_is_recognised() -> None:
    text = export(block("Raw Data (450)")).replace(",Path: C:\\Data,Test run no.: 3", "\nPath: C:\\Data\nTest ID: 4609")
    assert len(plates("\ufeff" + text)[0].readings) == 96


HEAD: tuple[tuple[Cell, ...], ...] = (("User: USER",), ("Path: C:\\Data",), ("Test ID: 4609",), ("ID1: P7",), ("Absorbance",), ())


def test_blocks_and_table_of_a_workbook_are_one_plate() -> None:
    rows: list[tuple[Cell, ...]] = [(letter, *[at / 10] * 11, "overflow") for at, letter in enumerate("ABCDEFGH")]
    blocks: tuple[tuple[Cell, ...], ...] = (*HEAD, ("", "1. Raw Data (450)"), (), ("", *(float(n) for n in range(1, 13))), *rows)
    listed: tuple[tuple[Cell, ...], ...] = (
        *HEAD,
        ("Well", "Content", "Raw Data (450)"),
        ("A01", "Standard S1", 0.0),
        ("B02", "Sample X1", 0.1),
    )
    sheets = (Sheet("Protocol Information", (("x",),)), Sheet("Table End point", listed), Sheet("Microplate End point", blocks))
    data = compose_workbook(Workbook(sheets))
    assert recognise("x.xlsx", data) is mars.parse
    record = parse_export("x.xlsx", data)
    assert mars.parse(data, "x.xlsx") == record
    (plate,) = record.plates
    assert (record.format, plate.name, len(plate.readings), plate.notes) == ("mars", "P7", 96, ())
    assert [(one.wavelength_nm, one.signal, one.origin) for one in plate.readings[12:14]] == [
        (450, 0.1, "Microplate End point!B11"),
        (450, 0.1, "Microplate End point!C11"),
    ]
    assert [(one.well, one.name) for one in plate.layout] == [("A1", "S1"), ("B2", "X1")]


def test_a_workbook_of_the_table_alone_is_read() -> None:
    listed: tuple[tuple[Cell, ...], ...] = (*HEAD, ("Well", "Content", "Raw Data (450)"), ("A01", "Blank B", 0.05))
    (plate,) = parse_export("x.xlsx", compose_workbook(Workbook((Sheet("Table End point", listed),)))).plates
    assert [(one.well, one.signal, one.origin) for one in plate.readings] == [("A1", 0.05, "Table End point!C8")]
