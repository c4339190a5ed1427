"""xPONENT csv: one plate per analyte, roles and nominal values from its own sections, states of wells, and what is refused."""

import pytest

from exvivo.errors import InputError
from exvivo.formats import xponent
from exvivo.formats.exports import parse_export
from exvivo.formats.workbook import Sheet, Workbook, compose_workbook
from exvivo.study.design import ExportRecord, PlateRecord, ReadingStatus, SignalKind, WellRole

HEAD = [
    '"Program","xPONENT","","MAGPIX"',
    '"Batch","CC_7"',
    "",
    '"ProtocolPlate","Name","Costar","Type","96","Plates","1"',
    "",
    '"Results"',
    "",
]
SAMPLES = ["Background0", "Standard1", "Standard2", "Control1", "Unknown1", "S2"]
WELLS = ["A1", "B1", "C1", "D1", "E1", "F1"]


def section(title: str, il6: list[str], ccl18: list[str], wells: tuple[str, ...] = tuple(WELLS)) -> str:
    rows = [
        f'"{at}(1,{well})","{name}","{a}","{b}","500"'
        for at, (well, name, a, b) in enumerate(zip(wells, SAMPLES, il6, ccl18, strict=True), 1)
    ]
    return "\n".join([f'"DataType:","{title}"', '"Location","Sample","IL-6","CCL18","Total Events"', *rows, ""])


MEDIAN = section("Median", ["24", "10921.5", "55", "1203", "NaN", "99.5"], ["31", "20001", "612", "700", "45", "31"])
COUNT = section("Count", ["80", "120", "34", "77", "0", "61"], ["80", "120", "100", "77", "0", "61"])
RESULT = section("Result", ["", "1000.2", "10.1 pg/ml", "98", "NaN", "< 3.2"], ["", "> 500", "10", "11", "*3.42", "failed"])
UNITS = '"DataType:","Units"\n"Analyte:","IL-6","CCL18"\n"BeadID:","12","15"\n"Units:","pg/ml","Bead"\n'
EXPECTED = '"DataType:","Standard Expected Concentration"\n"Reagent","IL-6","CCL18"\n"Standard1","1000","500"\n"Standard2","10","NaN"\n'
CONTROLS = '"DataType:","Control Expected Concentration"\n"Reagent","IL-6","CCL18"\n"Control1","100","10"\n'
FOLDS = "\n".join(
    ['"DataType:","Dilution Factor"', '"Location","Sample","Dilution Factor"']
    + [f'"{at}(1,{well})","{name}","{4 if well == "E1" else 1}"' for at, (well, name) in enumerate(zip(WELLS, SAMPLES, strict=True), 1)]
    + ["", ""]
)
TYPES = '"DataType:","Analysis Types"\n"Analyte:","IL-6","CCL18"\n"AnalysisType","Logistic 5P Weighted","None"\n'
COEFFICIENTS = '"DataType:","Analysis Coefficients"\n"Coefficient","IL-6","CCL18"\n"A","24.5",""\n"B","1.25",""\n'
WARNINGS = '"DataType:","Warnings/Errors"\n"Location","Status","Message"\n"1,E1","Warning","too few beads"\n\n-- CRC --\nCRC32: 00\n'
WHOLE = "\n".join([*HEAD, MEDIAN, COUNT, RESULT, UNITS, EXPECTED, CONTROLS, FOLDS, TYPES, COEFFICIENTS, WARNINGS])


def read(text: str) -> ExportRecord:
    assert xponent.recognises(text.encode())
    return xponent.parse(text.encode(), "x.csv")


def message(text: str) -> str:
    with pytest.raises(InputError) as caught:
        xponent.parse(text.encode(), "x.csv")
    return str(caught.value)


def by_well(plate: PlateRecord) -> dict[str, tuple[float | None, ReadingStatus, str]]:
    return {one.well: (one.signal, one.status, one.text) for one in plate.readings if one.kind is SignalKind.RAW}


def test_each_analyte_is_a_plate_named_by_batch_and_analyte() -> None:
    plates = read(WHOLE).plates
    assert [(plate.name, plate.position, plate.n_rows) for plate in plates] == [("CC_7 IL-6", 1, 8), ("CC_7 CCL18", 2, 8)]
    assert {one.analyte for one in plates[1].layout} == {"CCL18"}
    assert by_well(plates[0])["B1"] == (10921.5, ReadingStatus.OK, "10921.5")
    assert plates[0].readings[0].origin == "line 10"


def test_few_beads_are_kept_and_marked_and_no_beads_are_missed() -> None:
    first, second = (by_well(plate) for plate in read(WHOLE).plates)
    assert first["C1"] == (55.0, ReadingStatus.OK, "55 (34 beads)")
    assert first["E1"] == (None, ReadingStatus.MISSED, "NaN (0 beads)")
    assert second["E1"] == (None, ReadingStatus.MISSED, "45 (0 beads)")


@pytest.mark.parametrize(("median", "count"), [("", "0"), ("NaN", "NaN"), ("17.5", "NaN"), ("17.5", "0")])
def test_a_well_without_beads_is_missed_whatever_stands_for_its_median(median: str, count: str) -> None:
    text = WHOLE.replace('"1(1,A1)","Background0","24"', f'"1(1,A1)","Background0","{median}"', 1)
    text = text.replace('"1(1,A1)","Background0","80"', f'"1(1,A1)","Background0","{count}"', 1)
    assert by_well(read(text).plates[0])["A1"][:2] == (None, ReadingStatus.MISSED)


def test_roles_and_nominal_values_come_from_the_export() -> None:
    layout = {one.well: one for one in read(WHOLE).plates[0].layout}
    assert [layout[well].role for well in WELLS] == [
        WellRole.BLANK, WellRole.STANDARD, WellRole.STANDARD, WellRole.QC, WellRole.SPECIMEN, WellRole.SPECIMEN,
    ]  # fmt: skip
    assert [(layout[well].concentration, layout[well].unit) for well in ("B1", "C1", "D1", "E1")] == [
        (1000.0, "pg/ml"), (10.0, "pg/ml"), (100.0, "pg/ml"), (None, None),
    ]  # fmt: skip
    assert [layout[well].dilution for well in ("B1", "D1", "E1", "F1")] == [None, 1.0, 4.0, 1.0]
    other = {one.well: one for one in read(WHOLE).plates[1].layout}
    assert (other["B1"].concentration, other["B1"].unit, other["C1"].role, other["C1"].concentration) == (
        500.0,
        None,
        WellRole.STANDARD,
        None,
    )


def test_the_softwares_concentrations_keep_their_states() -> None:
    first, second = ({one.well: (one.concentration, one.status) for one in plate.vendor_wells} for plate in read(WHOLE).plates)
    assert first == {
        "B1": (1000.2, "quantified"), "C1": (10.1, "quantified"), "D1": (98.0, "quantified"), "E1": (None, "missing"),
        "F1": (None, "below_lloq"),
    }  # fmt: skip
    assert (second["B1"], second["E1"], second["F1"]) == ((None, "above_uloq"), (3.42 / 4, "extrapolated"), (None, "refused"))


def test_the_softwares_curve_is_named_with_its_coefficients() -> None:
    first, second = (plate.vendor_curve for plate in read(WHOLE).plates)
    assert first is not None
    assert (first.model, dict(first.parameters), first.unit, second) == ("Logistic 5P Weighted", {"A": 24.5, "B": 1.25}, "pg/ml", None)


def test_notes_tell_units_warnings_and_sections_left_out() -> None:
    text = WHOLE.replace(WARNINGS, '"DataType:","%CV Replicates"\n"Sample","IL-6"\n\n' + WARNINGS)
    assert read(text).notes == (
        "units not read: 'Bead' are no mass per volume, concentrations stay as given",
        f"line {text[: text.index('too few')].count(chr(10)) + 1}: 1,E1 Warning too few beads",
        "sections not read: %CV Replicates",
    )


def test_a_file_saved_again_by_excel_reads_the_same() -> None:
    lines = [line.replace('"', "") if "(1," not in line else line for line in WHOLE.splitlines()]
    wide = "\n".join(line + "," * (9 - line.count(",")) for line in lines)
    assert [plate.readings for plate in read(wide).plates] == [plate.readings for plate in read(WHOLE).plates]
    sheet = Sheet("x", tuple(tuple(cell.strip('"') for cell in line.split('","')) for line in WHOLE.splitlines()))
    found = parse_export("x.xlsx", compose_workbook(Workbook((sheet,)))).plates
    assert [by_well(plate) for plate in found] == [by_well(plate) for plate in read(WHOLE).plates]
    assert found[0].readings[0].origin == "x!A10"


def test_places_without_quotation_marks_are_places() -> None:
    bare = WHOLE.replace('"', "")
    assert "\n1(1,A1),Background0,24," in bare
    assert [plate.readings for plate in read(bare).plates] == [plate.readings for plate in read(WHOLE).plates]


@pytest.mark.parametrize(("carried", "told"), [(True, 0), (False, 1)])
def test_results_that_do_not_carry_the_dilution_are_told(*, carried: bool, told: int) -> None:
    concentrations = {"Standard1": 1000.0, "Standard2": 100.0, "Standard3": 10.0, "U1": 700.0, "U2": 60.0, "U3": 25.0}
    rows = list(enumerate(concentrations.items(), 1))

    def table(title: str, cells: list[float]) -> list[str]:
        body = [f'"{at}(1,A{at})","{name}","{cell}"' for (at, (name, _)), cell in zip(rows, cells, strict=True)]
        return [f'"DataType:","{title}"', f'"Location","Sample","{"IL-6" if title != "Dilution Factor" else title}"', *body, ""]

    folds = [1.0 if name.startswith("Standard") else 4.0 for name in concentrations]
    results = [value * fold if carried else value for value, fold in zip(concentrations.values(), folds, strict=True)]
    medians = [20.0 * value**0.9 for value in concentrations.values()]
    found = read("\n".join([*HEAD, *table("Median", medians), *table("Result", results), *table("Dilution Factor", folds)]))
    notes = [note for note in found.notes if "diluted wells" in note]
    assert len(notes) == told
    assert all("3 of 3 diluted wells" in note for note in notes)


def test_results_and_medians_below_zero_raise_no_doubt_and_no_error() -> None:
    below = WHOLE.replace('"10921.5"', '"-3"').replace('"98"', '"-0.5"')
    assert below.count('"-3"') == below.count('"-0.5"') == 1
    assert not [note for note in read(below).notes if "diluted wells" in note]


def test_a_decimal_comma_stays_one() -> None:
    text = (
        WHOLE.replace('","', '";"')
        .replace(",CRC", ";CRC")
        .replace("10921.5", "10921,5")
        .replace("99.5", "99,5")
        .replace("1000.2", "1000,2")
    )
    text = (
        text.replace("10.1 pg", "10,1 pg").replace("24.5", "24,5").replace("1.25", "1,25").replace("*3.42", "*3,42").replace("612", "3,612")
    )
    plates = read(text).plates
    assert (by_well(plates[0])["B1"][0], by_well(plates[1])["C1"][0]) == (10921.5, 3.612)


def test_two_plates_of_a_batch_stay_apart() -> None:
    both = MEDIAN + "\n".join(f'"{at + 6}(2,{well})","Unknown{at}","7","8","9"' for at, well in enumerate(WELLS, 1)) + "\n"
    plates = read("\n".join([*HEAD, both.replace('"500"\n"7(2', '"500"\n"7(2')])).plates
    assert [(plate.name, len(plate.readings)) for plate in plates] == [
        ("CC_7 1 IL-6", 6), ("CC_7 1 CCL18", 6), ("CC_7 2 IL-6", 6), ("CC_7 2 CCL18", 6),
    ]  # fmt: skip
    assert plates[3].readings[0].signal == 8.0


def test_a_large_plate_is_told_by_its_type_or_its_wells() -> None:
    assert read(WHOLE.replace('"Type","96"', '"Type","384"')).plates[0].n_columns == 24
    assert read(WHOLE.replace("(1,F1)", "(1,P24)")).plates[0].n_columns == 24


def test_faults_are_told_together() -> None:
    text = WHOLE.replace('"1(1,A1)","Background0","24"', '"1(1,A99)","Background0","high"', 1).replace(
        '"IL-6","CCL18","Total', '"IL-6","IL-6","Total', 1
    )
    assert message(text) == (
        "x.csv, line 9: section 'Median' names 'IL-6' twice. Expected each analyte once. Give each bead its own name.\n"
        "x.csv, line 10: section 'Median': '1(1,A99)' is no place. Expected a place such as 1(1,A1). Export again.\n"
        "x.csv, line 10: Median of IL-6: 'high' is no reading. Expected a number or NaN. Export again."
    )
    assert "section 'Count' begins with 'Place,Sample'" in message(WHOLE.replace(COUNT, COUNT.replace("Location", "Place")))
    assert "no section 'DataType: Median'" in message(WHOLE.replace('"Median"', '"Mean"'))
    assert f"line {WHOLE.count(chr(10)) + 1}: section 'Count' stands twice" in message(WHOLE + COUNT)
    assert "two decimal marks" in message(WHOLE.replace('"1203"', '"12,03"'))


def test_composing_needs_one_batch_and_named_analytes() -> None:
    first, second = read(WHOLE).plates
    bare = PlateRecord("x", 1, 8, 12, first.readings)
    for plates in ((), (bare,), (first, PlateRecord("other CCL18", 2, 8, 12, second.readings, second.layout))):
        with pytest.raises(ValueError, match="xPONENT"):
            xponent.compose(ExportRecord("xponent", plates))
