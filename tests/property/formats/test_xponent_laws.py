"""Laws of xPONENT csv: composing and parsing again changes nothing but the places; damaged text is read or refused."""

from dataclasses import replace
from types import MappingProxyType

from hypothesis import given, settings
from hypothesis import strategies as st

from exvivo.errors import InputError
from exvivo.formats import beads, xponent
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

SAMPLES = ("Background0", "Standard1", "Standard2", "Control1", "Unknown1", "M0012", "S7")
RESULTS = ("12.5", "*3.25", "< 3.2", "> 1000", "NaN", "failed")
WELLS = [well_name(row, column) for row in range(8) for column in range(12)]
ROLES = {"Background0": WellRole.BLANK, "Standard1": WellRole.STANDARD, "Standard2": WellRole.STANDARD, "Control1": WellRole.QC}


@st.composite
def readings(draw: st.DrawFn, well: str, kind: SignalKind) -> WellReading:
    value, count = draw(st.integers(-40, 60_000)), draw(st.sampled_from(["", "", "34", "0"]))
    mark = f" ({count} beads)" if count else ""
    text = "NaN" if draw(st.integers(0, 9)) == 0 else f"{value / 2:g}"
    if text == "NaN" or count == "0":
        return WellReading(well, None, None, ReadingStatus.MISSED, kind, text + mark, "")
    return WellReading(well, None, float(text), ReadingStatus.OK, kind, text + mark, "")


@st.composite
def exports(draw: st.DrawFn) -> ExportRecord:
    wells = draw(st.lists(st.sampled_from(WELLS), min_size=1, max_size=7, unique=True))
    names = {well: draw(st.sampled_from(SAMPLES)) for well in wells}
    folds = {well: draw(st.sampled_from([1.0, 2.5, 50.0])) for well in wells}
    batch = draw(st.sampled_from(["", "CC_7", "study, plate 3"]))
    plates = []
    for position, analyte in enumerate(draw(st.sampled_from([("IL-6",), ("IL-6", "CCL18"), ("b, 1", 'TNF "a"', "x")])), 1):
        nominal = {name: draw(st.none() | st.floats(1e-3, 1e6)) for name in SAMPLES}
        unit = draw(st.sampled_from([None, "pg/ml"]))
        layout = tuple(laid(well, names[well], nominal[names[well]], folds[well], unit, analyte) for well in wells)
        raw = tuple(draw(readings(well, SignalKind.RAW)) for well in wells)
        vendor = tuple(beads.vendor_well(one.well, draw(st.sampled_from(RESULTS)), ".", "", one.dilution) for one in layout)
        known = any(one.unit for one in layout)
        curve = VendorCurve("Logistic 5P Weighted", MappingProxyType({"A": 24.5, "B": 1e-3}), unit if known else None, "")
        named = " ".join(part for part in (batch, analyte) if part)
        plates.append(PlateRecord(named, position, 8, 12, raw, layout, vendor, draw(st.sampled_from([None, curve]))))
    return ExportRecord("xponent", tuple(plates))


def laid(well: str, name: str, nominal: float | None, fold: float, unit: str | None, analyte: str) -> WellLayout:
    role = ROLES.get(name, WellRole.SPECIMEN)
    concentration = nominal if role in {WellRole.STANDARD, WellRole.QC} else None
    dilution = fold if role in {WellRole.SPECIMEN, WellRole.QC} else None
    return WellLayout(well, role, name, concentration, dilution, None if concentration is None else unit, "", analyte)


def bare(record: ExportRecord) -> ExportRecord:
    """The record without places, and without doubts about concentrations that were drawn, not read off a curve."""

    def strip(plate: PlateRecord) -> PlateRecord:
        curve = plate.vendor_curve and replace(plate.vendor_curve, origin="", parameters=dict(plate.vendor_curve.parameters))
        return replace(
            plate,
            readings=tuple(replace(one, origin="") for one in plate.readings),
            layout=tuple(replace(one, origin="") for one in plate.layout),
            vendor_wells=tuple(replace(one, origin="") for one in plate.vendor_wells),
            vendor_curve=curve,
        )

    notes = tuple(note for note in record.notes if "diluted wells" not in note)
    return replace(record, plates=tuple(strip(plate) for plate in record.plates), notes=notes)


@settings(max_examples=40, deadline=None)
@given(exports(), st.sampled_from([",", ";", "\t"]))
def test_parsing_a_composed_export_gives_the_record(record: ExportRecord, delimiter: str) -> None:
    data = xponent.compose(record, delimiter)
    assert xponent.recognises(data)
    assert bare(xponent.parse(data, "x.csv")) == bare(record)


@settings(max_examples=40, deadline=None)
@given(exports(), st.data())
def test_an_export_with_lines_lost_is_read_or_refused(record: ExportRecord, data: st.DataObject) -> None:
    lines = xponent.compose(record).decode().split("\n")
    del lines[data.draw(st.integers(0, len(lines) - 1)) : data.draw(st.integers(0, len(lines)))]
    try:
        found = xponent.parse("\n".join(lines).encode(), "x.csv")
    except InputError:
        return
    assert all((one.signal is None) == (one.status is not ReadingStatus.OK) for plate in found.plates for one in plate.readings)
    assert len({plate.name for plate in found.plates}) == len(found.plates)
