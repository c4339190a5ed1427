"""Laws of Kaleido text: composing and parsing again changes nothing but the places; damaged text is read or refused."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from exvivo.errors import InputError
from exvivo.formats import kaleido
from exvivo.study.design import ExportRecord, PlateRecord, ReadingStatus, SignalKind, WellReading, well_name

WORDS = {ReadingStatus.OVERFLOW: "overflow", ReadingStatus.MISSED: "n/a", ReadingStatus.MASKED: "Masked", ReadingStatus.EMPTY: ""}
CELLS = st.one_of(st.integers(-2000, 40_000), st.integers(-2000, 40_000), st.sampled_from(sorted(WORDS)))
KINDS: tuple[list[tuple[int, SignalKind]], ...] = (
    [(450, SignalKind.RAW)],
    [(620, SignalKind.RAW), (450, SignalKind.RAW)],
)


def reading(well: str, nm: int, kind: SignalKind, cell: int | ReadingStatus) -> WellReading:
    if isinstance(cell, ReadingStatus):
        return WellReading(well, nm, None, cell, kind, WORDS[cell], "")
    return WellReading(well, nm, cell / 10_000, ReadingStatus.OK, kind, f"{cell / 10_000:.4f}", "")


@st.composite
def plates(draw: st.DrawFn, position: int) -> PlateRecord:
    n_rows, n_columns = draw(st.sampled_from([(8, 12), (8, 12), (16, 24)]))
    wells = [well_name(row, column) for row in range(n_rows) for column in range(n_columns)]
    pool: list[int | ReadingStatus] = [draw(st.integers(0, 40_000)), *draw(st.lists(CELLS, min_size=6, max_size=12))]
    readings = [reading(well, nm, kind, pool[at % len(pool)]) for nm, kind in draw(st.sampled_from(KINDS)) for at, well in enumerate(wells)]
    return PlateRecord(
        draw(st.sampled_from(["V-2020-10-26 16:16:17", "CCL18"])) + f" {position}", position, n_rows, n_columns, tuple(readings)
    )


EXPORTS = (
    st.integers(1, 3)
    .flatmap(lambda n: st.tuples(*(plates(at) for at in range(1, n + 1))))
    .map(lambda found: ExportRecord("kaleido", found))
)


@settings(max_examples=25, deadline=None)
@given(EXPORTS)
def test_parsing_a_composed_export_gives_the_record(record: ExportRecord) -> None:
    data = kaleido.compose(record)
    assert kaleido.recognises(data)
    found = kaleido.parse(data, "x.csv")
    bare = tuple(replace(plate, readings=tuple(replace(one, origin="") for one in plate.readings)) for plate in found.plates)
    assert replace(found, plates=bare) == record


@settings(max_examples=40, deadline=None)
@given(EXPORTS, st.data())
def test_an_export_with_lines_lost_is_read_or_refused(record: ExportRecord, data: st.DataObject) -> None:
    lines = kaleido.compose(record).decode().split("\n")
    del lines[data.draw(st.integers(0, len(lines) - 1)) : data.draw(st.integers(0, len(lines)))]
    assert outcome_of("\n".join(lines).encode()) in {"whole plates", "fault"}


def outcome_of(data: bytes) -> str:
    try:
        record = kaleido.parse(data, "x.csv")
    except InputError:
        return "fault"
    return "part of a plate" if any(len(plate.readings) % 96 for plate in record.plates) else "whole plates"
