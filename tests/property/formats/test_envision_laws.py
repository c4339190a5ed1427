"""Laws of EnVision text: composing and parsing again changes nothing but the places; damaged text is read or refused."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from exvivo.errors import InputError
from exvivo.formats import envision
from exvivo.study.design import ExportRecord, PlateRecord, ReadingStatus, SignalKind, WellLayout, WellReading, WellRole, well_name

WORDS = {ReadingStatus.OVERFLOW: "overflow", ReadingStatus.MISSED: "n/a", ReadingStatus.MASKED: "Masked", ReadingStatus.EMPTY: ""}
CELLS = st.one_of(st.integers(-2000, 40_000), st.integers(-2000, 40_000), st.sampled_from(sorted(WORDS)))
CODES = {WellRole.STANDARD: "STD", WellRole.BLANK: "BL", WellRole.QC: "CTL", WellRole.SPECIMEN: "UNK"}


def reading(well: str, nm: int, cell: int | ReadingStatus) -> WellReading:
    if isinstance(cell, ReadingStatus):
        return WellReading(well, nm, None, cell, SignalKind.RAW, WORDS[cell], "")
    return WellReading(well, nm, cell / 10_000, ReadingStatus.OK, SignalKind.RAW, f"{cell / 10_000:.4f}", "")


@st.composite
def plates(draw: st.DrawFn, position: int) -> PlateRecord:
    n_rows, n_columns = draw(st.sampled_from([(8, 12), (8, 12), (16, 24)]))
    wells = [well_name(row, column) for row in range(n_rows) for column in range(n_columns)]
    pool: list[int | ReadingStatus] = [draw(st.integers(0, 40_000)), *draw(st.lists(CELLS, min_size=6, max_size=12))]
    wavelengths = draw(st.sampled_from([(450,), (620, 450)]))
    readings = [reading(well, nm, pool[at % len(pool)]) for nm in wavelengths for at, well in enumerate(wells)]
    roles = draw(st.lists(st.sampled_from(sorted(CODES)), max_size=8))
    layout = [
        WellLayout(well, role, f"{CODES[role]}{at}", None, None, None, "")
        for at, (well, role) in enumerate(zip(wells, roles, strict=False))
    ]
    name = draw(st.sampled_from([None, "8/22/2023 10:50:28 AM", "CCL18"]))
    return PlateRecord(name, position, n_rows, n_columns, tuple(readings), tuple(layout))


EXPORTS = (
    st.integers(1, 3)
    .flatmap(lambda n: st.tuples(*(plates(at) for at in range(1, n + 1))))
    .map(lambda found: ExportRecord("envision", found))
)


@settings(max_examples=25, deadline=None)
@given(EXPORTS, st.sampled_from(",;\t"))
def test_parsing_a_composed_export_gives_the_record(record: ExportRecord, delimiter: str) -> None:
    data = envision.compose(record, delimiter)
    assert envision.recognises(data)
    found = envision.parse(data, "x.csv")
    bare = tuple(
        replace(
            plate,
            readings=tuple(replace(one, origin="") for one in plate.readings),
            layout=tuple(replace(one, origin="") for one in plate.layout),
        )
        for plate in found.plates
    )
    assert replace(found, plates=bare) == record


@settings(max_examples=40, deadline=None)
@given(EXPORTS, st.data())
def test_an_export_with_lines_lost_is_read_or_refused(record: ExportRecord, data: st.DataObject) -> None:
    lines = envision.compose(record).decode().split("\n")
    del lines[data.draw(st.integers(0, len(lines) - 1)) : data.draw(st.integers(0, len(lines)))]
    assert outcome_of("\n".join(lines).encode()) in {"whole plates", "fault"}


def outcome_of(data: bytes) -> str:
    try:
        record = envision.parse(data, "x.csv")
    except InputError:
        return "fault"
    return "part of a plate" if any(len(plate.readings) % 96 for plate in record.plates) else "whole plates"
