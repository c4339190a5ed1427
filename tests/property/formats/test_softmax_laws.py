"""Laws of SoftMax text: composing and parsing again changes nothing but the places; damaged text is read or refused."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from exvivo.errors import InputError
from exvivo.formats import softmax
from exvivo.study.design import ExportRecord, PlateRecord, ReadingStatus, SignalKind, WellReading, well_name

WORDS = {ReadingStatus.OVERFLOW: "OVRFLW", ReadingStatus.MISSED: "Path?", ReadingStatus.MASKED: "Masked", ReadingStatus.EMPTY: ""}
CELLS = st.one_of(st.integers(-2000, 40_000), st.integers(-2000, 40_000), st.sampled_from(sorted(WORDS)))
KINDS: tuple[list[tuple[int | None, SignalKind]], ...] = (
    [(450, SignalKind.RAW)],
    [(620, SignalKind.RAW), (450, SignalKind.RAW)],
    [(450, SignalKind.RAW), (620, SignalKind.RAW), (None, SignalKind.REDUCED)],
)


def reading(well: str, nm: int | None, kind: SignalKind, cell: int | ReadingStatus) -> WellReading:
    if isinstance(cell, ReadingStatus):
        return WellReading(well, nm, None, cell, kind, WORDS[cell], "")
    return WellReading(well, nm, cell / 10_000, ReadingStatus.OK, kind, f"{cell / 10_000:.4f}", "")


@st.composite
def plates(draw: st.DrawFn, position: int) -> PlateRecord:
    n_rows, n_columns = draw(st.sampled_from([(8, 12), (8, 12), (16, 24)]))
    wells = [well_name(row, column) for row in range(n_rows) for column in range(n_columns)]
    first = draw(st.integers(0, 40_000))
    pool: list[int | ReadingStatus] = [first, *draw(st.lists(CELLS, min_size=6, max_size=12))]
    readings = [reading(well, nm, kind, pool[at % len(pool)]) for nm, kind in draw(st.sampled_from(KINDS)) for at, well in enumerate(wells)]
    return PlateRecord(draw(st.sampled_from(["Plate1", "CCL18 a", None])), position, n_rows, n_columns, tuple(readings))


EXPORTS = (
    st.integers(1, 3)
    .flatmap(lambda n: st.tuples(*(plates(at) for at in range(1, n + 1))))
    .map(lambda found: ExportRecord("softmax", found))
)


def bare(record: ExportRecord) -> ExportRecord:
    return replace(
        record, plates=tuple(replace(plate, readings=tuple(replace(one, origin="") for one in plate.readings)) for plate in record.plates)
    )


@settings(max_examples=25, deadline=None)
@given(EXPORTS, st.sampled_from(["TimeFormat", "PlateFormat"]))
def test_parsing_a_composed_export_gives_the_record(record: ExportRecord, layout: str) -> None:
    assert bare(softmax.parse(softmax.compose(record, layout), "x.txt")) == record


@settings(max_examples=40, deadline=None)
@given(EXPORTS, st.data())
def test_an_export_with_lines_lost_is_read_or_refused(record: ExportRecord, data: st.DataObject) -> None:
    lines = softmax.compose(record).decode().split("\r\n")
    del lines[data.draw(st.integers(0, len(lines) - 1)) : data.draw(st.integers(0, len(lines)))]
    assert outcome_of("\r\n".join(lines).encode()) in {"record", "fault"}


def outcome_of(data: bytes) -> str:
    try:
        softmax.parse(data, "x.txt")
    except InputError:
        return "fault"
    return "record"
