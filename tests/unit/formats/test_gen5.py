"""Gen5 text: names of data sets, decimal commas, several plates, and what is refused."""

import pytest

from exvivo.errors import InputError
from exvivo.formats import gen5
from exvivo.study.design import ExportRecord, PlateRecord, ReadingStatus, SignalKind, WellReading, WellRole

HEAD = "Software Version\t3.12.08\nExperiment File Path:\tC:\\x.xpt\nPlate Number\t{}\n\nProcedure Details\n\n{}\n"
READ = "Read\tAbsorbance Endpoint\n\tFull Plate\n\tWavelengths:  450, 570\n"
COLUMNS = "\t" + "\t".join(str(n) for n in range(1, 13))


def matrix(*sets: tuple[str, str], title: str = "Results", letters: str = "ABCDEFGH") -> str:
    lines = [title, COLUMNS]
    for letter in letters:
        lines += ["\t".join(["" if at else letter, *[text] * 12, label]) for at, (label, text) in enumerate(sets)]
    return "\n".join([*lines, "", ""])


def export(*sets: tuple[str, str], name: str = "Plate 1", read: str = READ) -> str:
    return HEAD.format(name, read) + matrix(*sets)


def plates(text: str) -> tuple[PlateRecord, ...]:
    assert gen5.recognises(text.encode())
    return gen5.parse(text.encode(), "x.txt").plates


def first(text: str) -> list[tuple[int | None, SignalKind, float | None, ReadingStatus]]:
    (plate,) = plates(text)
    return [(one.wavelength_nm, one.kind, one.signal, one.status) for one in plate.readings if one.well == "A1"]


def message(text: str) -> str:
    with pytest.raises(InputError) as caught:
        gen5.parse(text.encode(), "x.txt")
    return str(caught.value)


@pytest.mark.parametrize(
    ("label", "wavelength", "kind"),
    [
        ("450", 450, SignalKind.RAW),
        ("Read 1:450", 450, SignalKind.RAW),
        ("Blank Read 1:450", 450, SignalKind.REDUCED),
        ("Blank 450", 450, SignalKind.REDUCED),
        ("Corrected [Blank 260:260]", 260, SignalKind.REDUCED),
        ("Delta 450-570", None, SignalKind.REDUCED),
        ("450-570", None, SignalKind.REDUCED),
    ],
)
def test_the_name_of_a_data_set_tells_wavelength_and_kind(label: str, wavelength: int | None, kind: SignalKind) -> None:
    assert first(export(("600", "0.1"), (label, "0.25")))[1:] == [(wavelength, kind, 0.25, ReadingStatus.OK)]


def test_a_read_that_is_called_blank_is_raw() -> None:
    assert first(export(("Blank plate:450", "0.1"), read="Read\tBlank plate\n\tAbsorbance Endpoint\n"))[0][1] is SignalKind.RAW


def test_other_data_sets_are_noted_and_not_read() -> None:
    read = READ + "Read\tfluor\n\tFluorescence Endpoint\n"
    (plate,) = plates(export(("450", "0.1"), ("fluor:579,616", "75"), ("fluor:616", "75"), ("450:Pathlength", "0.1"), read=read))
    assert {(one.wavelength_nm, one.kind) for one in plate.readings} == {(450, SignalKind.RAW)}
    assert [note.split(":")[0] for note in plate.notes] == ["line 16", "line 17", "line 18"]


def test_a_second_derived_data_set_of_a_wavelength_is_noted() -> None:
    (plate,) = plates(export(("450", "0.1"), ("Blank 450", "0.05"), ("Corrected [Blank 450]", "0.5")))
    assert len(plate.readings) == 192
    assert plate.notes == ("line 15: 'Corrected [Blank 450]' not read: it derives from data that are read already",)


def test_matrices_of_their_own_belong_to_one_plate() -> None:
    text = HEAD.format("Plate 1", READ) + matrix(("450", "0.3"), title="450") + matrix(("570", "0.1"), title="570")
    (plate,) = plates(text + matrix(("Conc ng/mL", "<0.000"), title="Conc"))
    assert [signal for _, _, signal, _ in first(text)] == [0.3, 0.1]
    assert {(one.concentration, one.status) for one in plate.vendor_wells} == {(None, "below_lloq")}


def test_plates_of_a_file_stay_apart() -> None:
    found = plates(export(("450", "0.1"), name="Plate 1") + "\n\n" + export(("450", "0.2"), name="Plate 2"))
    assert [(plate.name, plate.position, plate.readings[0].signal, plate.readings[0].origin) for plate in found] == [
        ("Plate 1", 1, 0.1, "line 13"),
        ("Plate 2", 2, 0.2, "line 36"),
    ]


def test_a_384_well_plate() -> None:
    columns = "\t" + "\t".join(str(n) for n in range(1, 25))
    rows = "\n".join("\t".join([letter, *["0.5"] * 24, "450"]) for letter in "ABCDEFGHIJKLMNOP")
    (plate,) = plates(HEAD.format("Plate 1", READ) + f"Results\n{columns}\n{rows}\n")
    assert (plate.n_rows, plate.n_columns, len(plate.readings)) == (16, 24, 384)


@pytest.mark.parametrize(("concentration", "signal"), [("1980,423", 3.337), ("3,337", 3.337)])
def test_a_decimal_comma_is_never_a_thousands_separator(concentration: str, signal: float) -> None:
    record = gen5.parse(export(("450", "3,337"), ("[Concentration]", concentration)).encode(), "x.txt")
    (plate,) = record.plates
    assert plate.readings[0].signal == signal
    assert plate.vendor_wells[0].concentration == float(concentration.replace(",", "."))
    assert bool(record.notes) is (concentration == "3,337")


def test_the_decimal_mark_is_one_for_all_plates_of_a_file() -> None:
    found = plates(export(("450", "0,25")) + export(("450", "3,337"), name="Plate 2"))
    assert [plate.readings[0].signal for plate in found] == [0.25, 3.337]
    assert "two decimal marks: '0.25' and '0,25'" in message(export(("450", "0.25"), ("570", "0,25")))


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("OVRFLW", ReadingStatus.OVERFLOW),
        (">4.000", ReadingStatus.OVERFLOW),
        ("MISSED", ReadingStatus.MISSED),
        ("?????", ReadingStatus.MISSED),
        ("*0.356*", ReadingStatus.MASKED),
        ("MASKED", ReadingStatus.MASKED),
        ("", ReadingStatus.EMPTY),
    ],
)
def test_each_word_is_a_state_and_no_number(text: str, status: ReadingStatus) -> None:
    assert first(export(("450", text), ("570", "0.1")))[0] == (450, SignalKind.RAW, None, status)


@pytest.mark.parametrize(
    ("text", "status"),
    [("12.5", "quantified"), ("<0.000", "below_lloq"), (">100", "above_uloq"), ("?????", "refused"), ("*2.1*", "missing")],
)
def test_states_of_the_softwares_concentrations(text: str, status: str) -> None:
    (plate,) = plates(export(("450", "0.1"), ("[Concentration]", text)))
    assert {(one.status, one.text) for one in plate.vendor_wells} == {(status, text)}


@pytest.mark.parametrize(
    ("identity", "amount", "role", "concentration", "dilution"),
    [
        ("STD1", "0", WellRole.STANDARD, 0.0, None),
        ("SPL1:3", "0.33333", WellRole.SPECIMEN, None, 3.0),
        ("SPL1:3", "0.4", WellRole.SPECIMEN, None, 2.5),
        ("SPL1", "", WellRole.SPECIMEN, None, None),
        ("CTL1", "", WellRole.QC, None, None),
        ("POSCON", "", WellRole.QC, None, None),
        ("BLK", "", WellRole.BLANK, None, None),
    ],
)
def test_a_layout_cell(identity: str, amount: str, role: WellRole, concentration: float | None, dilution: float | None) -> None:
    (plate,) = plates(matrix(("Well ID", identity), ("Conc/Dil", amount), title="Layout") + export(("450", "0.1")))
    assert (plate.layout[0].role, plate.layout[0].concentration, plate.layout[0].dilution) == (role, concentration, dilution)
    assert plate.layout[0].name == identity.partition(":")[0]
    assert plate.notes == ()


@pytest.mark.parametrize(("identity", "amount"), [("SPL1", "50"), ("SPL1", "0"), ("CTL1", "0.5"), ("STD1", "high")])
def test_an_amount_that_is_neither_concentration_nor_fraction_is_left_out_with_a_note(identity: str, amount: str) -> None:
    (plate,) = plates(matrix(("Well ID", identity), ("Conc/Dil", amount), title="Layout") + export(("450", "0.1")))
    assert (plate.layout[0].concentration, plate.layout[0].dilution) == (None, None)
    assert plate.notes[0] == f"line 4: well A1: Conc/Dil '{amount}' of {identity} was left out"


def test_a_name_in_the_layout_goes_before_the_identity() -> None:
    (plate,) = plates(matrix(("Well ID", "SPL1"), ("Name", "M0043"), title="Layout") + export(("450", "0.1")))
    assert {one.name for one in plate.layout} == {"M0043"}


def test_faults_of_a_file_are_told_together() -> None:
    text = export(("450", "0.1"), ("570", "0.2"))
    lines = text.split("\n")
    lines[12] = lines[12].replace("0.1", "high", 1)
    lines[14] = "B\t0.1\t0.1"
    lines[16] = lines[16].replace("450", "570")
    assert message("\n".join(lines[:26])) == (
        "x.txt, line 15: row B ends after 2 of 12 wells. Expected a full row. Export again.\n"
        "x.txt, line 13: '450' is missing in row B, C, H. Expected every row of the plate. The file is cut off: export again.\n"
        "x.txt, line 13: well A1: 'high' is no reading. Expected a number or a reader's word such as OVRFLW.\n"
        "x.txt, line 18: row C prints '570' twice. Expected each data set once. Export again.\n"
        "x.txt, line 14: '570' is missing in row H. Expected every row of the plate. The file is cut off: export again."
    )


def test_a_kinetic_read_is_refused() -> None:
    text = HEAD.format("Plate 1", "Read\tAbsorbance Kinetic\n") + "Time\tA1\tA2\n0:00:00\t0.1\t0.2\n"
    assert message(text) == (
        "x.txt, line 1: no rows of raw readings; there is no matrix of results; the plate was read as Absorbance Kinetic. "
        "Expected the matrix of an endpoint read. Export the matrix of the endpoint read."
    )


def test_reads_inside_a_kinetic_are_no_endpoints() -> None:
    read = "Start Kinetic\tRuntime 0:20:00\n    Read\tAbsorbance Endpoint\n\tWavelengths:  600\nEnd Kinetic\n"
    found = message(export(("Max V [600]", "0.75"), ("600", "0.5"), read=read))
    assert "rows are named Max V [600], 600; the plate was read as Absorbance Kinetic" in found
    after = read + "Read\tAbsorbance Endpoint\n\tWavelengths:  450\n"
    assert first(export(("450", "0.25"), read=after))[0][:3] == (450, SignalKind.RAW, 0.25)


@pytest.mark.parametrize(
    ("label", "read", "nm"),
    [
        ("Lum", "Read\tLuminescence Endpoint\n\tFilter Set 1\n", None),
        ("Filter Lum:460/40", "Read\tFilter Lum\n\tLuminescence Endpoint\n", 460),
        ("fl:485/20,528/20", "Read\tfl\n\tFluorescence Endpoint\n", 528),
        ("fluor:579,616", "Read\tfluor\n\tFluorescence Endpoint\n", 616),
        ("485/20,528/20", "Read\tFluorescence Endpoint\n", 528),
        ("Alpha", "Read\tAlpha Endpoint\n", None),
    ],
)
def test_counted_light_is_read_where_there_is_no_absorbance(label: str, read: str, nm: int | None) -> None:
    assert first(export((label, "210530"), (f"Blank {label}", "99"), read=read)) == [
        (nm, SignalKind.RAW, 210_530.0, ReadingStatus.OK),
        (nm, SignalKind.REDUCED, 99.0, ReadingStatus.OK),
    ]


def test_polarised_light_is_refused() -> None:
    label = "FP:485/20,528/20 [Parallel]"
    found = message(export((label, "523"), read="Read\tFP\n\tFluorescence Endpoint\n"))
    assert f"rows are named {label}; the plate was read as Fluorescence Endpoint" in found


def test_counts_that_may_be_thousands_are_refused() -> None:
    assert "'1,234' may be 1.234 or 1234" in message(export(("Lum", "1,234"), read="Read\tLuminescence Endpoint\n"))


def test_rows_without_a_name_are_one_data_set_or_refused() -> None:
    assert first(export(("", "0.1"))) == [(None, SignalKind.RAW, 0.1, ReadingStatus.OK)]
    assert "row A prints '' twice" in message(export(("", "0.1"), ("", "0.2")))


def test_another_delimiter_is_taken_from_the_header() -> None:
    text = export(("450", "0,25")).replace("\t", ";")
    assert first(text)[0][2] == 0.25


def test_composing_needs_wavelengths() -> None:
    nameless = WellReading("A1", None, 0.5, ReadingStatus.OK, SignalKind.RAW, "0.5", "")
    named = WellReading("A1", 450, 0.5, ReadingStatus.OK, SignalKind.RAW, "0.5", "")
    with pytest.raises(ValueError, match="wavelengths"):
        gen5.compose(ExportRecord("gen5", (PlateRecord("P", 1, 8, 12, (nameless, named)),)))


def test_only_the_rows_that_were_read_need_to_stand() -> None:
    read = "Read\tAbsorbance Endpoint\n\tC1..D12\n\tWavelengths:  450\n"
    text = HEAD.format("Plate 1", read) + matrix(("450", "0.3"), letters="CD")
    (plate,) = plates(text)
    assert [one.well for one in plate.readings[::12]] == ["C1", "D1"]
    assert "'450' is missing in row D" in message(HEAD.format("Plate 1", read) + matrix(("450", "0.3"), letters="C"))
    full = read.replace("C1..D12", "Full Plate")
    assert "'450' is missing in row A, B, E" in message(HEAD.format("Plate 1", full) + matrix(("450", "0.3"), letters="CD"))


def test_a_plate_of_1536_wells_is_refused() -> None:
    columns = "\t" + "\t".join(str(n) for n in range(1, 49))
    rows = "\n".join("\t".join([letter, *["0.5"] * 48, "450"]) for letter in "ABCDEFGHIJKLMNOP")
    assert "a plate of more than 384 wells" in message(HEAD.format("Plate 1", READ) + f"Results\n{columns}\n{rows}\n")


def test_a_parameter_with_another_decimal_mark_is_left_out() -> None:
    curve = "Curve Fitting Results\n\nCurve Name\tCurve Formula\tA\tB\nC1\tY=A*X+B\t1,234\t0.049\n"
    (plate,) = plates(export(("450", "0.25")) + curve)
    assert plate.vendor_curve is not None
    assert dict(plate.vendor_curve.parameters) == {"B": 0.049}
