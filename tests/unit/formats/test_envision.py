"""EnVision text: blocks with and without letters, filters, calculated blocks, platemaps, and what is refused."""

import pytest

from exvivo.errors import InputError
from exvivo.formats import envision
from exvivo.formats.exports import recognise
from exvivo.study.design import ExportRecord, PlateRecord, ReadingStatus, SignalKind, WellLayout, WellReading, WellRole

HEAD = "Plate,Repeat,Barcode,Measured height,Group,Label,ScanX,ScanY,Measinfo,Kinetics,Measurement date,"
CALC_HEAD = "Plate,Repeat,Barcode,Measured height,Formula,Measurement date,"
COLUMNS = "," + ",".join(f"{n:02}" for n in range(1, 13)) + ","
FOOT = "\n\nBasic assay information \nAssay ID: ,,,,101\n\n"
LABEL = "Labels:\nA450,,,,2000014\nExc. filter,,,,BFP 450\nLast edited,,,,1/15/2024\n\n"
FILTER = "Filters:\nBFP 450,,,,216\nFilter type,,,,Emission\nDescription,,,,M451 CWL=451nm BW=10nm Tmin=60%\n\nInstrument:\n"


def grid(text: str = "0.1", letters: str = "ABCDEFGH", columns: str = COLUMNS) -> str:
    n = columns.count(",") - 1
    return "\n".join([columns, *(f"{letter}," + f"{text}," * n for letter in letters)]) + "\n"


def bare(text: str = "0.1", n_rows: int = 8, n_columns: int = 12) -> str:
    return "".join(f"{text}," * n_columns + "\n" for _ in range(n_rows))


INFO = "De=1st Ex=Btm Em=N/A Wdw=N/A (8)"


def lines(plate: int = 1, label: str = "A450(1)", barcode: str = '"=""V7"""', info: str = INFO, repeat: int = 1) -> str:
    values = f"{plate},{repeat},{barcode},14.35,1,{label},0,0,{info},0,1/15/2024 10:30:00 AM,"
    return f"Plate information \n{HEAD}\n{values}\n\nBackground information\nPlate,Label,Result,\n{plate},{label},0,\n\n"


def titled(text: str, head: str, label: str = "A450(1)") -> str:
    return f"{head}Results for {label} - channel 1 (A)\n{grid(text)}\n"


def block(text: str = "0.1", plate: int = 1, label: str = "A450(1)", barcode: str = '"=""V7"""') -> str:
    return titled(text, lines(plate, label, barcode), label)


def calculated(*, title: bool, text: str = "9.9") -> str:
    formula = "Calc 1: Crosstalk = Crosstalk correction where Label : A450(1) channel 1"
    head = f'Plate information \n{CALC_HEAD}\n1,1,"=""V7""",N/A,{formula},1/15/2024,\n\n'
    return head + (f"Calculated results: {formula}\n{grid(text)}\n" if title else f"{bare(text)}\n")


def read(text: str) -> ExportRecord:
    assert recognise("x.csv", text.encode()) is envision.parse
    return envision.parse(text.encode(), "x.csv")


def message(text: str) -> str:
    with pytest.raises(InputError) as caught:
        envision.parse(text.encode(), "x.csv")
    return str(caught.value)


def test_a_measurement_is_named_under_meas_where_there_is_no_label() -> None:
    older = block(label="A450").replace(",Measured height,Group,Label,", ",Measured height,Group,Meas,").replace("channel 1 (A)", " (RFU)")
    (plate,) = read(older + FOOT + LABEL + FILTER).plates
    assert {one.wavelength_nm for one in plate.readings} == {451}


def test_the_filter_of_the_label_gives_the_wavelength() -> None:
    (plate,) = read(block() + FOOT + LABEL + FILTER).plates
    assert (plate.name, len(plate.readings)) == ("V7", 96)
    assert plate.readings[0] == WellReading("A1", 451, 0.1, ReadingStatus.OK, SignalKind.RAW, "0.1", "line 11")


@pytest.mark.parametrize(
    ("settings", "info", "nm"),
    [
        ("Labels:\nX,,,,2\nExc. filter,,,,BFP 450\n\n", "De=1st", 450),
        ("Labels:\nX,,,,2\nExc. filter,,,,Monochromator cutoff 360\nExcitation wavelength,,,,562 nm\n\n", "De=1st", 562),
        ("Labels:\nX,,,,2\nExc. filter,,,,FITC 485\nEms. filter,,,,FITC 535\n2nd ems. filter,,,,N/A\n\n", "De=1st", 535),
        ("Labels:\nX,,,,2\nExc. filter,,,,UV 320\nEms. filter,,,,APC 665\n2nd ems. filter,,,,Cy5 620\n\n", "De=2nd", 620),
        ("Labels:\nLabel name,,,,X\nEms. filter,,,,APC 665\n\n", "De=1st", 665),
        ("Labels:\nX,,,,2\nMeasurement time,,,,0.1 s\n\n", "De=Abs Ex=N/A Em=450 nm Wdw=N/A", 450),
        ("Labels:\nX,,,,2\nMeasurement time,,,,0.1 s\n\n", "De=USLum Ex=N/A Em=N/A", None),
        ("", "De=1st", None),
    ],
)
def test_wavelengths_are_emission_then_excitation(settings: str, info: str, nm: int | None) -> None:
    record = read(titled("0.1", lines(label="X(1)", info=info), "X(1)") + FOOT + settings + "Instrument:\n")
    assert {one.wavelength_nm for one in record.plates[0].readings} == {nm}
    assert record.notes == (() if nm else ("the file does not say the wavelength of 'X'",))


@pytest.mark.parametrize(("n_rows", "n_columns"), [(8, 12), (16, 24)])
def test_blocks_without_letters_are_read(n_rows: int, n_columns: int) -> None:
    text = calculated(title=False) + lines(barcode="") + bare("0.25", n_rows, n_columns) + FOOT + LABEL
    record = read(text)
    (plate,) = record.plates
    assert (plate.name, plate.n_rows, len(plate.readings)) == (None, n_rows, n_rows * n_columns)
    assert {one.signal for one in plate.readings} == {0.25}
    assert record.notes[0].startswith("line 5: 'Calc 1: Crosstalk")


def test_a_block_with_an_empty_first_field_is_read() -> None:
    (plate,) = read(lines() + "".join("," + ",".join(str(n) for n in range(12)) + "\n" for _ in range(8)) + FOOT).plates
    assert [(one.well, one.signal) for one in plate.readings][:2] == [("A1", 0.0), ("A2", 1.0)]


def test_calculated_blocks_are_no_readings() -> None:
    record = read(calculated(title=True) + block("0.2") + FOOT + LABEL)
    assert [{one.signal for one in plate.readings} for plate in record.plates] == [{0.2}]
    assert record.notes == (
        "line 7: 'Calc 1: Crosstalk = Crosstalk correction where Label : A450(1) channel 1' not read: the software calculated it",
    )
    assert "no block of readings; calculated blocks: 'Calculated results: Calc 1" in message(calculated(title=True) + FOOT)


def test_plates_are_told_by_number_and_barcode() -> None:
    text = block(barcode='=""') + block("0.2", plate=2, barcode='=""') + block("0.3", plate=4) + FOOT + LABEL
    record = read(text)
    assert [(plate.name, plate.position, plate.readings[0].signal) for plate in record.plates] == [
        (None, 1, 0.1),
        (None, 2, 0.2),
        ("V7", 3, 0.3),
    ]
    assert record.plates[2].notes == ("line 49: the reader numbers this plate 4",)


def test_two_labels_of_one_plate_are_two_wavelengths() -> None:
    text = block() + block("0.2", label="A570(1)") + FOOT
    (plate,) = read(text).plates
    assert {(one.wavelength_nm, one.signal) for one in plate.readings} == {(450, 0.1), (570, 0.2)}


def test_groups_of_one_plate_are_joined() -> None:
    first = block().replace("E,0.1," + "0.1," * 11, "E," + "," * 12)
    second = block("").replace("E," + "," * 12, "E,0.7," + "," * 11)
    (plate,) = read(first + second + FOOT + LABEL).plates
    assert len(plate.readings) == 96
    assert {one.well: one.signal for one in plate.readings if one.well[0] == "E"}["E1"] == 0.7
    assert {one.status for one in plate.readings if one.well[0] == "E" and one.well != "E1"} == {ReadingStatus.EMPTY}


@pytest.mark.parametrize("spoil", ["Plate information \n", "Background information\nPlate,Label,Result,\n1,A450(1),0,\n\n"])
def test_a_missing_heading_changes_nothing(spoil: str) -> None:
    text = block() + FOOT + LABEL
    assert spoil in text
    assert [one.signal for one in read(text.replace(spoil, "")).plates[0].readings] == [0.1] * 96


def test_lines_of_the_plate_may_stand_below_its_block() -> None:
    title = "Results for A450(1) - channel 1 (A)\n"
    text = title + grid("0.1") + "\n" + lines(1) + title + grid("0.2") + "\n" + lines(2, barcode='"=""V8"""') + FOOT + LABEL
    assert [(plate.name, plate.readings[0].signal) for plate in read(text).plates] == [("V7", 0.1), ("V8", 0.2)]


def test_other_separators_and_decimal_commas_are_read() -> None:
    text = (block() + FOOT + LABEL + FILTER).replace(",", ";").replace("0.1;", "0,1;").replace("14.35", "14,35")
    assert {(one.wavelength_nm, one.signal) for one in read(text).plates[0].readings} == {(451, 0.1)}


def test_the_platemap_names_wells() -> None:
    cells = grid("- ").replace("A,- ,- ,- ,- ", "A,STD1,UNK12,BL1 ,CTL2")
    text = block() + FOOT + f"Platemap:\nPlate,,,,1\nGroup,,,,1\n\n{cells}\n STD - Standard\n\nCalculations:\nNo calculations.\n\n" + LABEL
    (plate,) = read(text).plates
    assert [(one.well, one.role, one.name) for one in plate.layout] == [
        ("A1", WellRole.STANDARD, "STD1"),
        ("A2", WellRole.SPECIMEN, "UNK12"),
        ("A3", WellRole.BLANK, "BL1"),
        ("A4", WellRole.QC, "CTL2"),
    ]
    assert plate.readings[0].wavelength_nm == 450


@pytest.mark.parametrize(
    ("text", "status"),
    [("OVERFLOW", ReadingStatus.OVERFLOW), (">3.5", ReadingStatus.OVERFLOW), ("N/A", ReadingStatus.MISSED), ("", ReadingStatus.EMPTY)],
)
def test_words_are_states(text: str, status: ReadingStatus) -> None:
    (plate,) = read(block(text) + FOOT + LABEL).plates
    assert {(one.signal, one.status, one.text) for one in plate.readings} == {(None, status, text)}


def test_faults_are_told_together() -> None:
    text = (block() + titled("0.2", lines(repeat=2)) + FOOT + LABEL).replace("A,0.1", "A,high").replace("C," + "0.1," * 12, "C,0.1")
    assert message(text) == (
        "x.csv, line 11: well A1: 'high' is no reading. Expected a number or a reader's word such as OVERFLOW. Export again.\n"
        "x.csv, line 13: row C ends after 1 of 12 wells. Expected a full row. Export again.\n"
        "x.csv, line 30: 'A450' reads wells of plate 1 at 450 nm again that line 11 holds."
        " Expected one endpoint reading of each well. Export each read on its own."
    )


def test_a_block_that_is_cut_off_is_refused() -> None:
    assert "a block of 3 rows and 12 columns" in message("\n".join(block().split("\n")[:13]) + "\n")
    assert "a block of 5 rows and 12 columns" in message(lines() + bare(n_rows=5))


def test_two_decimal_marks_are_refused() -> None:
    assert "two decimal marks" in message((block() + FOOT).replace(",", ";").replace("A;0.1", "A;0,1"))


def test_composing_needs_raw_readings_and_codes() -> None:
    plate = PlateRecord("P", 1, 8, 12, (WellReading("A1", None, 0.5, ReadingStatus.OK, SignalKind.REDUCED, "0.5", ""),))
    with pytest.raises(ValueError, match="raw readings"):
        envision.compose(ExportRecord("envision", (plate,)))
    raw = WellReading("A1", 450, 0.5, ReadingStatus.OK, SignalKind.RAW, "0.5", "")
    named = PlateRecord("P", 1, 8, 12, (raw,), (WellLayout("A1", WellRole.STANDARD, "top", None, None, None, ""),))
    with pytest.raises(ValueError, match="'top' is no EnVision code of a standard"):
        envision.compose(ExportRecord("envision", (named,)))


def test_what_the_reader_did_may_stand_above_the_plates() -> None:
    named = grid("- ").replace("A,- ", "A,STD1")
    mapped = f"Platemap:\nPlate,,,,1\nGroup,,,,1\n\n{named}\n - - Undefined\n\nCalculations:\nNo calculations.\n\n"
    above = FOOT + mapped + LABEL + FILTER + "Serial number,,,,1041468\n\n"
    for data in (block("0.3"), lines() + bare("0.3") + "\n"):
        (plate,) = read(above + data).plates
        assert {(one.wavelength_nm, one.signal) for one in plate.readings} == {(451, 0.3)}
        assert [one.well for one in plate.layout] == ["A1"]


def test_blocks_without_letters_may_stand_above_their_lines() -> None:
    text = bare("0.1") + "\n" + lines(1) + bare("0.2") + "\n" + lines(2, barcode='"=""V8"""') + FOOT + LABEL
    assert [(plate.name, plate.readings[0].signal) for plate in read(text).plates] == [("V7", 0.1), ("V8", 0.2)]


def test_more_than_384_wells_are_refused() -> None:
    columns = "," + ",".join(f"{n:02}" for n in range(1, 49)) + ","
    rows = "\n".join(f"{letter}," + "7," * 48 for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert "a plate of more than 384 wells" in message(lines() + f"Results for A450(1) - channel 1 (A)\n{columns}\n{rows}\n" + FOOT)
    assert "a plate of more than 384 wells" in message(lines() + bare("7", 32, 48) + FOOT)
