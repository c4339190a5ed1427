"""Laws of Bio-Plex workbooks: composing and parsing again changes nothing but the places; damaged sheets are read or refused."""

from dataclasses import replace
from types import MappingProxyType

from hypothesis import given, settings
from hypothesis import strategies as st

from exvivo.errors import InputError
from exvivo.formats import beads, bioplex
from exvivo.formats.workbook import Sheet, Workbook, compose_workbook, parse_workbook
from exvivo.study.design import (
    ExportRecord,
    PlateRecord,
    ReadingStatus,
    SignalKind,
    VendorCurve,
    WellLayout,
    WellReading,
    WellRole,
    well_name,
)

WELLS = [well_name(row, column) for row in range(8) for column in range(12)]
RESULTS = ("12.5", "*3.25", "OOR <", "OOR >", "***", "failed")
NAMES = {WellRole.STANDARD: "std one", WellRole.BLANK: "zero", WellRole.QC: "QC low", WellRole.SPECIMEN: "M 0012"}


@st.composite
def readings(draw: st.DrawFn, well: str) -> tuple[WellReading, WellReading]:
    value, count, state = draw(st.integers(-40, 60_000)) / 2, draw(st.sampled_from(["", "", "34"])), draw(st.integers(0, 9))
    found = []
    for kind in (SignalKind.RAW, SignalKind.REDUCED):
        text = f"{value:g}" + (f" ({count} beads)" if count else "")
        if state == 0:
            found.append(WellReading(well, None, None, ReadingStatus.MISSED, kind, "***", ""))
        elif state == 1:
            found.append(WellReading(well, None, None, ReadingStatus.MASKED, kind, f"{text} (outlier)", ""))
        else:
            found.append(WellReading(well, None, float(f"{value:g}"), ReadingStatus.OK, kind, text, ""))
    return found[0], found[1]


@st.composite
def exports(draw: st.DrawFn) -> ExportRecord:
    wells = draw(st.lists(st.sampled_from(WELLS), min_size=1, max_size=7, unique=True))
    roles = [draw(st.sampled_from(sorted(NAMES))) for _ in wells]
    unit = draw(st.sampled_from([None, "pg/ml"]))
    name = draw(st.sampled_from(["", "CC 7"]))
    plates = []
    for position, analyte in enumerate(draw(st.sampled_from([("IL-6",), ("Hu IL-6", "CCL18")])), 1):
        layout = []
        for well, role in zip(wells, roles, strict=True):
            known = role in {WellRole.STANDARD, WellRole.QC}
            nominal = draw(st.none() | st.integers(1, 10_000).map(lambda tenths: tenths / 10)) if known else None
            fold = 2.5 if role in {WellRole.SPECIMEN, WellRole.QC} else None
            layout.append(WellLayout(well, role, NAMES[role], nominal, fold, None if nominal is None else unit, "", analyte))
        known_unit = next((one.unit for one in layout if one.unit), None)
        pairs = [draw(readings(well)) for well in wells]
        vendor = tuple(beads.vendor_well(one.well, draw(st.sampled_from(RESULTS)), ".", "", one.dilution) for one in layout)
        parameters = draw(
            st.sampled_from([{"a": 24.5, "b": 9000.0, "c": 3.25, "d": -1.5}, {"a": 1e-3, "b": 9.0, "c": 1e5, "d": -1.0, "g": 0.5}])
        )
        curve = draw(st.sampled_from([None, VendorCurve("Logistic - 5PL", MappingProxyType(parameters), known_unit, "")]))
        named = " ".join(part for part in (name, analyte) if part)
        plates.append(PlateRecord(named, position, 8, 12, tuple(one for pair in pairs for one in pair), tuple(layout), vendor, curve))
    return ExportRecord("bioplex", tuple(plates))


def bare(record: ExportRecord, unit: str | None) -> ExportRecord:
    """The record without places or doubts about concentrations that were drawn; one unit holds for a whole file."""

    def strip(plate: PlateRecord) -> PlateRecord:
        curve = plate.vendor_curve and replace(plate.vendor_curve, origin="", unit=unit, parameters=dict(plate.vendor_curve.parameters))
        return replace(
            plate,
            readings=tuple(replace(one, origin="") for one in plate.readings),
            layout=tuple(replace(one, origin="", unit=None if one.concentration is None else unit) for one in plate.layout),
            vendor_wells=tuple(replace(one, origin="") for one in plate.vendor_wells),
            vendor_curve=curve,
        )

    notes = tuple(note for note in record.notes if "diluted wells" not in note)
    return replace(record, plates=tuple(strip(plate) for plate in record.plates), notes=notes)


@settings(max_examples=30, deadline=None)
@given(exports())
def test_parsing_a_composed_export_gives_the_record(record: ExportRecord) -> None:
    unit = next((one.unit for plate in record.plates for one in plate.layout if one.unit), None)
    data = bioplex.compose(record)
    assert bioplex.recognises(data)
    assert bare(bioplex.parse(data, "x.xlsx"), unit) == bare(record, unit)


@settings(max_examples=30, deadline=None)
@given(exports(), st.data())
def test_a_workbook_with_rows_lost_is_read_or_refused(record: ExportRecord, data: st.DataObject) -> None:
    sheets = []
    for sheet in parse_workbook(bioplex.compose(record), "x").sheets:
        first = data.draw(st.integers(0, len(sheet.rows) - 1))
        sheets.append(Sheet(sheet.name, (*sheet.rows[:first], *sheet.rows[data.draw(st.integers(first, len(sheet.rows))) :])))
    try:
        found = bioplex.parse(compose_workbook(Workbook(tuple(sheets))), "x.xlsx")
    except InputError:
        return
    known = {(one.well, one.kind, one.text) for plate in record.plates for one in plate.readings}
    assert {(one.well, one.kind, one.text) for plate in found.plates for one in plate.readings} <= known
