"""SoftMax exports that cannot be read, and the words that say why."""

import pytest

from exvivo.errors import InputError
from exvivo.formats import softmax
from exvivo.study.design import ExportRecord, PlateRecord, ReadingStatus, SignalKind, WellReading, well_name

WELLS = [well_name(row, column) for row in range(8) for column in range(12)]


def plate(name: str = "P1", position: int = 1) -> PlateRecord:
    readings = [
        WellReading(well, nm, at / 100, ReadingStatus.OK, SignalKind.RAW, f"{at / 100:.2f}", "")
        for nm in (450, 620)
        for at, well in enumerate(WELLS, 5)
    ]
    return PlateRecord(name, position, 8, 12, tuple(readings))


def export(layout: str = "TimeFormat") -> str:
    return softmax.compose(ExportRecord("softmax", (plate(), plate("P2", 2))), layout).decode()


def refusal(text: str) -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        softmax.parse(text.encode(), "ccl18.txt")
    return caught.value.messages


@pytest.mark.parametrize("layout", ["TimeFormat", "PlateFormat"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_encodings_give_the_same_plates(layout: str, encoding: str) -> None:
    record = softmax.parse(export(layout).encode(encoding), "x.txt")
    assert [one.name for one in record.plates] == ["P1", "P2"]
    assert [one.signal for one in record.plates[1].readings] == [one.signal for one in plate().readings]


def test_a_file_cut_off_says_so_once() -> None:
    text = export()
    assert refusal(text[: text.rindex("~End")]) == ("ccl18.txt, line 9: the Plate block has no '~End': the file is cut off. Export again.",)


def test_a_missing_row_of_readings_is_told_with_its_wavelengths() -> None:
    lines = export().split("\r\n")
    (message,) = refusal("\r\n".join(lines[:5] + lines[6:]))
    assert message == "ccl18.txt, line 3: 1 sets of readings for 2 wavelengths (450 620 nm). Export the plate again."


def test_a_missing_row_of_a_plate_is_told() -> None:
    lines = export("PlateFormat").split("\r\n")
    (message,) = refusal("\r\n".join(lines[:8] + lines[12:]))
    assert "of 8 rows" in message


def test_other_reads_and_layouts_are_refused_together() -> None:
    text = export().replace("Endpoint\tAbsorbance", "Kinetic\tFluorescence", 1)
    head, tail = text.split("~End", 1)
    messages = refusal(head + "~End" + tail.replace("TimeFormat", "OtherFormat"))
    assert messages[0].startswith("ccl18.txt, line 2: the plate was read as Kinetic Fluorescence. Expected Endpoint Absorbance, ")
    assert messages[1].startswith("ccl18.txt, line 9: 'OtherFormat' is no known plate layout")


def test_unknown_words_are_refused_and_known_ones_are_states() -> None:
    text = export("PlateFormat")
    assert refusal(text.replace("0.06", "0.O6", 1))[0].startswith("ccl18.txt, line 4: well A2: '0.O6' is no reading")
    first = softmax.parse(text.replace("0.06", "OVRFLW", 1).encode(), "x").plates[0].readings[1]
    assert (first.status, first.signal, first.text) == (ReadingStatus.OVERFLOW, None, "OVRFLW")


def test_decimal_commas_are_told_from_the_whole_plate() -> None:
    values = softmax.parse(export().replace(".", ",").encode(), "x").plates[0].readings
    assert [one.signal for one in values] == [one.signal for one in plate().readings]
    (message,) = refusal(export().replace("0.06", "1,234", 1))
    assert message.startswith("ccl18.txt, plate 1: two decimal marks")


def test_labels_of_wavelengths_are_believed_not_their_order() -> None:
    record = softmax.parse(export().replace("450 620 ", "620 450 ", 1).encode(), "x")
    assert record.plates[0].readings[0].wavelength_nm == 620


def test_a_group_after_two_plates_that_names_none_is_left_out_with_a_note() -> None:
    group = "Group: Standards\r\nSample\tConcentration pg/mL\tWells\tValue\r\nS\t1000\tA1\t0.05\r\n\r\n~End\r\n"
    record = softmax.parse((export() + group).encode(), "x")
    assert not record.plates[1].layout
    assert any("names no plate and follows several" in note for note in record.notes)
    named = group.replace("Value\r\n", "Value\tWellPlateName\r\n").replace("0.05", "0.05\tP1")
    assert [one.concentration for one in softmax.parse((export() + named).encode(), "x").plates[0].layout] == [1000.0]


def test_what_cannot_be_composed_is_refused() -> None:
    bare = PlateRecord("P", 1, 8, 12, (WellReading("A1", None, 0.1, ReadingStatus.OK, SignalKind.RAW, "0.1", ""),))
    with pytest.raises(ValueError, match="all with a wavelength"):
        softmax.compose(ExportRecord("softmax", (bare,)))
    with pytest.raises(ValueError, match="TimeFormat or PlateFormat"):
        softmax.compose(ExportRecord("softmax", ()), "Other")


COLUMNS = "\t".join(str(n) for n in range(1, 13))
ABSORBANCE = "Plate:\tP1\t1.3\tPlateFormat\tEndpoint\tAbsorbance\tRaw\tFALSE\t1\t\t\t\t\t\t1\t450 \t1\t12\t96\t{}\t{}"
FLUORESCENCE = (
    "Plate:\tP1\t1.3\tTimeFormat\tEndpoint\tFluorescence\tFALSE\tRaw\tFALSE\t1\t\t\t\t\t\t2\t445 535 \t1\t12\t96\t404 485 \t"
    "Manual\t\t\t\t6\t\t\t\t1\t8\t404 485"
)
LUMINESCENCE = "Plate:\tP1\t1.3\tPlateFormat\tEndpoint\tLuminescence\tRaw\tFALSE\t1\t\t\t\t\t\t1\t{}\t1\t12\t96" + "\t" * 10 + "1\t8"


def panel(*rows: str, label: str = "Temperature(\u00b0C)") -> str:
    lines = [f"\t{label}\t{COLUMNS}", *("\t\t" + "\t".join([row] * 12) for row in rows), ""]
    return "\n".join(lines) + "\n"


def parsed(*blocks: str) -> ExportRecord:
    return softmax.parse(("".join(f"{block}\n~End\n" for block in blocks)).encode(), "x.txt")


@pytest.mark.parametrize("lines", [["", "", "0.3", "0.4", "0.5", "", "", ""], ["0.3", "0.4", "0.5"]])
def test_rows_keep_their_letters_where_part_of_a_plate_was_read(lines: list[str]) -> None:
    (found,) = parsed(ABSORBANCE.format(3, 3) + "\n" + panel(*lines)).plates
    values = {one.well: one.signal for one in found.readings if one.signal is not None}
    assert (values["C1"], values["D12"], values["E5"], len(values)) == (0.3, 0.4, 0.5, 36)


def test_a_number_of_rows_that_fits_neither_is_refused() -> None:
    text = ABSORBANCE.format(3, 3) + "\n" + panel("0.3", "0.4", "0.5", "0.6") + "~End\n"
    assert "4 of 8 rows" in refusal(text)[0]


def test_the_wavelength_of_fluorescence_is_the_emission() -> None:
    wells = "\t".join(WELLS[:12])
    rows = ["\t0\t" + "\t".join([value] * 12) + "\n" for value in ("2138332.25", "-421432.75")]
    (found,) = parsed(FLUORESCENCE + f"\n\tTemperature(C)\t{wells}\n" + "\n".join(rows)).plates
    assert [(one.well, one.wavelength_nm, one.signal) for one in found.readings[::12]] == [("A1", 445, 2138332.25), ("A1", 535, -421432.75)]


@pytest.mark.parametrize(("stated", "nm"), [("", None), ("460 ", 460), ("460.0", 460), ("All", None)])
def test_luminescence_is_read_with_or_without_a_wavelength(stated: str, nm: int | None) -> None:
    (found,) = parsed(LUMINESCENCE.format(stated) + "\n" + panel(*["210530"] * 8)).plates
    assert {(one.wavelength_nm, one.signal, one.kind) for one in found.readings} == {(nm, 210530.0, SignalKind.RAW)}


def test_reduced_values_alone_are_kept_apart() -> None:
    text = ABSORBANCE.format(1, 8).replace("\tRaw\t", "\tReduced\t") + "\n" + panel(*["1.8"] * 8, label="")
    assert {(one.wavelength_nm, one.kind) for one in parsed(text).plates[0].readings} == {(None, SignalKind.REDUCED)}


def test_masked_wells_and_words_are_states() -> None:
    (found,) = parsed(ABSORBANCE.format(1, 8) + "\n" + panel("Masked", "Range?", "#Sat", "#Low", ">4.0", "NaN", "", "0.1")).plates
    states = [(one.status.value, one.signal, one.text) for one in found.readings[::12]]
    assert states == [
        ("masked", None, "Masked"),
        ("missed", None, "Range?"),
        ("overflow", None, "#Sat"),
        ("missed", None, "#Low"),
        ("overflow", None, ">4.0"),
        ("missed", None, "NaN"),
        ("empty", None, ""),
        ("ok", 0.1, "0.1"),
    ]


def group(title: str, well: str) -> str:
    return f"{title}\nSample\tWells\tValue\tResult\n01\t{well}\t0.1\t5.5\n\nGroup Column\tFormula Name\tFormula\n"


def test_a_number_that_several_groups_use_carries_its_group() -> None:
    data = ABSORBANCE.format(1, 8) + "\n" + panel(*["0.1"] * 8)
    (found,) = parsed(data, group("Group: Samples", "A1"), group("Group: Spike", "A2"), group("Group: Standards", "A3")).plates
    assert [(one.well, one.name) for one in found.layout] == [("A1", "Samples 01"), ("A2", "Spike 01"), ("A3", "01")]


def test_groups_before_the_only_plate_belong_to_it() -> None:
    data = ABSORBANCE.format(1, 8) + "\n" + panel(*["0.1"] * 8)
    (found,) = parsed(group("Group:\tUnknowns\t1", "B2"), data).plates
    assert [(one.well, one.name) for one in found.layout] == [("B2", "01")]
    record = parsed(group("Group:\tUnknowns\t1", "B2"), data, data.replace("P1", "P2"))
    assert record.notes == ("line 1: group 'Unknowns' names no plate and follows several: left out",)


def test_the_title_line_of_older_versions_is_read() -> None:
    title = ABSORBANCE.format(1, 8).replace("\t1.3\t", "\t1,3\t").replace("\tFALSE\t", "\tTRUE\t").replace("450 \t", "600\t") + "\tNone"
    (found,) = parsed(title + "\n" + panel(*["0,1094"] * 8)).plates
    assert {(one.wavelength_nm, one.signal) for one in found.readings} == {(600, 0.1094)}


def test_rows_of_a_group_may_be_short_or_blank() -> None:
    data = ABSORBANCE.format(1, 8) + "\n" + panel(*["0.1"] * 8)
    table = "Group: Samples\nSample\tWells\tDilution\tValue\tResult\n01\tA1\t20\t0.1\t5.5\n \tA2\n \t \t \t \t \n02\tB1\n\nGroup Column\n"
    (found,) = parsed(data, table).plates
    assert [(one.well, one.name, one.dilution) for one in found.layout] == [("A1", "01", 20.0), ("A2", "01", 20.0), ("B1", "02", None)]
    assert [(one.well, one.status) for one in found.vendor_wells] == [("A1", "quantified"), ("A2", "missing"), ("B1", "missing")]


def of_table(head: str, cells: str, formulas: dict[str, str], title: str = "Group: Samples") -> PlateRecord:
    """The plate of a file with one group of one row and its formulas."""
    foot = "".join(f"{at}\t{name}\t{formula}\n" for at, (name, formula) in enumerate(formulas.items(), 1))
    table = f"{title}\nSample\tWells\t{head}\n01\tA1\t{cells}\n\nGroup Column\tFormula Name\tFormula\n{foot}"
    (found,) = parsed(ABSORBANCE.format(1, 8) + "\n" + panel(*["0.1"] * 8), table).plates
    return found


@pytest.mark.parametrize("name", ["DilutionFactor", "Dilution Factor ", "Sample Dilution"])
@pytest.mark.parametrize("formula", ["!SampleDescriptor", "!Factor"])
def test_a_dilution_is_what_a_person_entered_by_that_name(name: str, formula: str) -> None:
    formulas = {"Mean_Dil": f"Average(Result)*'{name.strip()}'", name.strip(): formula}
    (well,) = of_table(f"Mean_Dil\t{name}", "880\t150.000", formulas).layout
    assert (well.dilution, well.concentration) == (150.0, None)


def test_a_standard_has_what_was_entered_for_it_whatever_its_column_is_called() -> None:
    found = of_table(
        "Standard Value ng/mL\tOD", "100.000\t0.401", {"Standard Value": "!SampleDescriptor", "OD": "!WellValues"}, "Group: Standards"
    )
    assert [(one.concentration, one.unit, one.dilution) for one in found.layout] == [(100.0, "ng/mL", None)]


def test_a_number_entered_for_a_specimen_under_another_name_is_not_guessed() -> None:
    (well,) = of_table("Day\tOD", "14\t0.401", {"Day": "!SampleDescriptor"}).layout
    assert (well.concentration, well.dilution) == (None, None)


def test_concentrations_that_are_means_or_carry_a_dilution_are_not_those_of_the_well() -> None:
    formulas = {
        "Mean": "Average(InterpX(Std@StandardCurve,OD))",
        "BCC": '"InterpX(Std@StandardCurve,OD)"',
        "Range": "If (BCC>1,InterpX(Std@StandardCurve,OD)*Dilution,NoNum)",
        "Dilution": "!SampleDescriptor",
    }
    found = of_table("Mean\tBCC\tRange\tDilution", "2.80e8\t2.87e8\t1.15e12\t4000", formulas)
    assert [(one.concentration, one.text) for one in found.vendor_wells] == [(2.87e8, "2.87e8")]
    assert [one.dilution for one in found.layout] == [4000.0]
    assert not of_table("Mean\tRange", "2.80e8\t1.15e12", {name: formulas[name] for name in ("Mean", "Range")}).vendor_wells


@pytest.mark.parametrize(("delimiter", "quote"), [(",", ""), (";", ""), (",", '"')])
@pytest.mark.parametrize("layout", ["TimeFormat", "PlateFormat"])
def test_other_separators_are_read(delimiter: str, quote: str, layout: str) -> None:
    formula = 'Note:\r\nResult\tIf (CV<=15,"PASS","FAIL")\r\n~End\r\n'
    lines = [delimiter.join(f"{quote}{cell}{quote}" for cell in line.split("\t")) for line in (export(layout) + formula).split("\r\n")]
    record = softmax.parse("\r\n".join(lines).encode(), "x.txt")
    assert softmax.recognises("\r\n".join(lines).encode())
    assert [one.name for one in record.plates] == ["P1", "P2"]
    assert [one.signal for one in record.plates[1].readings] == [one.signal for one in plate().readings]
