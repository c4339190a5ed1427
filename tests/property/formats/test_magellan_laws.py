"""Laws of Magellan workbooks: composing and parsing again changes nothing but the places, whatever the order of the wells."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from exvivo.formats import magellan
from exvivo.formats.workbook import cell_text
from exvivo.study.design import ExportRecord, PlateRecord, ReadingStatus, SignalKind, WellReading, well_name

WORDS = {ReadingStatus.OVERFLOW: "OVER", ReadingStatus.MISSED: "NaN", ReadingStatus.MASKED: "Masked", ReadingStatus.EMPTY: ""}
CELLS = st.one_of(st.integers(-2000, 40_000), st.sampled_from(sorted(WORDS)))


def reading(well: str, nm: int, cell: int | ReadingStatus) -> WellReading:
    if isinstance(cell, ReadingStatus):
        return WellReading(well, nm, None, cell, SignalKind.RAW, WORDS[cell], "")
    return WellReading(well, nm, cell / 10_000, ReadingStatus.OK, SignalKind.RAW, cell_text(cell / 10_000), "")


@st.composite
def plates(draw: st.DrawFn, position: int) -> PlateRecord:
    n_rows, n_columns = draw(st.sampled_from([(8, 12), (8, 12), (16, 24)]))
    everywhere = [well_name(row, column) for row in range(n_rows) for column in range(n_columns)]
    wells = draw(st.lists(st.sampled_from(everywhere), min_size=1, max_size=40, unique=True))
    pool = draw(st.lists(CELLS, min_size=5, max_size=9))
    wavelengths = draw(st.lists(st.sampled_from([450, 535, 620, 700]), min_size=1, max_size=3, unique=True))
    readings = tuple(reading(well, nm, pool[at % len(pool)]) for nm in wavelengths for at, well in enumerate(wells))
    return PlateRecord(draw(st.sampled_from(["06072021-001", "CCL18 a", None])), position, n_rows, n_columns, readings)


EXPORTS = (
    st.integers(1, 3)
    .flatmap(lambda n: st.tuples(*(plates(at) for at in range(1, n + 1))))
    .map(lambda found: ExportRecord("magellan", found))
)


@settings(max_examples=25, deadline=None)
@given(EXPORTS)
def test_parsing_a_composed_export_gives_the_record(record: ExportRecord) -> None:
    data = magellan.compose(record)
    assert magellan.recognises(data)
    found = magellan.parse(data, "x.xlsx")
    bare = tuple(replace(plate, readings=tuple(replace(one, origin="") for one in plate.readings)) for plate in found.plates)
    assert replace(found, plates=bare) == record
