"""Law of SkanIt workbooks: composing and parsing again changes nothing but the places."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from exvivo.formats import skanit
from exvivo.formats.workbook import cell_text
from exvivo.study.design import ExportRecord, PlateRecord, ReadingStatus, SignalKind, WellLayout, WellReading, WellRole, well_name

WORDS = {ReadingStatus.OVERFLOW: "OVER", ReadingStatus.MISSED: "NaN", ReadingStatus.EMPTY: ""}
CELLS = st.one_of(st.integers(-2000, 40_000), st.sampled_from(sorted(WORDS)))


def reading(well: str, nm: int, kind: SignalKind, cell: int | ReadingStatus) -> WellReading:
    if isinstance(cell, ReadingStatus):
        return WellReading(well, nm, None, cell, kind, WORDS[cell], "")
    return WellReading(well, nm, cell / 10_000, ReadingStatus.OK, kind, cell_text(cell / 10_000), "")


def layout(well: str, choice: int, amount: float) -> WellLayout:
    if choice == 0:
        return WellLayout(well, WellRole.STANDARD, "Std0001", amount, None, "pg/mL", "")
    if choice == 1:
        return WellLayout(well, WellRole.BLANK, "Blank1", None, None, None, "")
    return WellLayout(well, WellRole.SPECIMEN, "Un0001", None, amount, None, "")


@st.composite
def plates(draw: st.DrawFn, position: int) -> PlateRecord:
    wells = [well_name(row, column) for row in range(8) for column in range(12)]
    pool = draw(st.lists(CELLS, min_size=5, max_size=9))
    kinds = draw(
        st.sampled_from(
            [((450, SignalKind.RAW),), ((450, SignalKind.RAW), (620, SignalKind.RAW)), ((450, SignalKind.RAW), (450, SignalKind.REDUCED))]
        )
    )
    readings = tuple(reading(well, nm, kind, pool[at % len(pool)]) for nm, kind in kinds for at, well in enumerate(wells))
    amounts = draw(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 9000).map(lambda value: value / 8)), max_size=6))
    laid = tuple(layout(well, *one) for well, one in zip(wells, amounts, strict=False))
    return PlateRecord(f"Plate {position}", position, 8, 12, readings, laid)


EXPORTS = (
    st.integers(1, 3).flatmap(lambda n: st.tuples(*(plates(at) for at in range(1, n + 1)))).map(lambda found: ExportRecord("skanit", found))
)


def bare(plate: PlateRecord) -> PlateRecord:
    readings = tuple(replace(one, origin="") for one in plate.readings)
    return replace(plate, readings=readings, layout=tuple(replace(one, origin="") for one in plate.layout))


@settings(max_examples=20, deadline=None)
@given(EXPORTS)
def test_parsing_a_composed_export_gives_the_record(record: ExportRecord) -> None:
    found = skanit.parse(skanit.compose(record), "x.xlsx")
    assert replace(found, plates=tuple(bare(plate) for plate in found.plates)) == record
