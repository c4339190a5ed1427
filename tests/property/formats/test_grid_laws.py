"""Laws of grids: composing and parsing again changes nothing but the places; any bytes are read or refused."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from exvivo.errors import InputError
from exvivo.formats import grid
from exvivo.study.design import ExportRecord, PlateRecord, ReadingStatus, SignalKind, WellLayout, WellReading, WellRole, well_name

WORDS = {ReadingStatus.OVERFLOW: "OVRFLW", ReadingStatus.MISSED: "MISSED", ReadingStatus.MASKED: "Masked", ReadingStatus.EMPTY: ""}
SIGNALS = st.integers(-200, 40_000).map(lambda value: value / 10_000)
PLATE_NAMES = st.none() | st.from_regex(r"[A-Z]{2,5}[0-9]{0,3}(_[a-z0-9]{1,4})?", fullmatch=True)
CELLS = st.one_of(SIGNALS, SIGNALS, SIGNALS, st.sampled_from(sorted(WORDS)))


def reading(well: str, wavelength: int | None, kind: SignalKind, cell: float | ReadingStatus) -> WellReading:
    if isinstance(cell, ReadingStatus):
        return WellReading(well, wavelength, None, cell, kind, WORDS[cell], "")
    return WellReading(well, wavelength, cell, ReadingStatus.OK, kind, "", "")


def layout(well: str, cell: tuple[str, float | None, float | None]) -> WellLayout:
    name, concentration, dilution = cell
    return WellLayout(well, grid.role_of_name(name), name, concentration, dilution, None if concentration is None else "pg/mL", "")


LAYOUT_CELLS = st.tuples(
    st.sampled_from(["Std 1", "Blank1", "S0141", "QC low"]), st.none() | st.floats(0.1, 1e4), st.none() | st.floats(1, 1e4)
)


KINDS: tuple[list[tuple[int | None, SignalKind]], ...] = (
    [(450, SignalKind.RAW)],
    [(450, SignalKind.RAW), (620, SignalKind.RAW)],
    [(450, SignalKind.RAW), (None, SignalKind.REDUCED)],
)


@st.composite
def plates(draw: st.DrawFn, position: int) -> PlateRecord:
    n_rows, n_columns = draw(st.sampled_from([(8, 12), (8, 12), (16, 24)]))
    wells = [well_name(row, column) for row in range(n_rows) for column in range(n_columns)]
    kinds = draw(st.sampled_from(KINDS))
    pool = [draw(SIGNALS), *draw(st.lists(CELLS, min_size=6, max_size=12))]
    readings = [reading(well, nm, kind, pool[at % len(pool)]) for nm, kind in kinds for at, well in enumerate(wells)]
    laid = tuple(layout(well, draw(LAYOUT_CELLS)) for well in wells[:5]) if draw(st.booleans()) else ()
    return PlateRecord(draw(PLATE_NAMES), position, n_rows, n_columns, tuple(readings), laid)


@st.composite
def exports(draw: st.DrawFn) -> ExportRecord:
    return ExportRecord("grid", tuple(draw(plates(position)) for position in range(1, draw(st.integers(1, 3)) + 1)))


def bare(record: ExportRecord) -> ExportRecord:
    """The record without places, and without the text of numbers, which follows from the decimal mark."""

    def strip(plate: PlateRecord) -> PlateRecord:
        readings = tuple(replace(one, origin="", text="" if one.signal is not None else one.text) for one in plate.readings)
        return replace(plate, readings=readings, layout=tuple(replace(one, origin="") for one in plate.layout))

    return replace(record, plates=tuple(strip(plate) for plate in record.plates))


@settings(max_examples=25, deadline=None)
@given(exports(), st.sampled_from([(",", "."), (";", ","), ("\t", "."), ("\t", ",")]))
def test_parsing_composed_text_gives_the_record(record: ExportRecord, marks: tuple[str, str]) -> None:
    assert bare(grid.parse(grid.compose_text(record, *marks), "x.csv")) == record


@settings(max_examples=15, deadline=None)
@given(exports())
def test_parsing_a_composed_workbook_gives_the_record(record: ExportRecord) -> None:
    assert bare(grid.parse(grid.compose(record), "x.xlsx")) == record


@given(
    st.builds(
        lambda name, value, dilution: layout("A1", (name, value, dilution)),
        st.sampled_from(["Std 1", "S01", "qc"]),
        st.none() | st.floats(1e-6, 1e9),
        st.none() | st.floats(1, 1e6),
    )
)
def test_a_layout_cell_survives(cell: WellLayout) -> None:
    found = grid.parse_layout_cell(grid.compose_layout_cell(cell))
    assert found is not None
    assert (found.role, found.name, found.concentration, found.dilution) == (cell.role, cell.name, cell.concentration, cell.dilution)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from(["", "1", "2", "3", "A", "B", "0,5", "0.5", "1,234", "x", "450 nm", "Plate 1"]), max_size=14), max_size=12
    ),
    st.sampled_from(",;\t"),
)
def test_any_text_is_read_or_refused(rows: list[list[str]], delimiter: str) -> None:
    data = "\n".join(delimiter.join(row) for row in rows).encode()
    try:
        record = grid.parse(data, "x.csv")
    except InputError:
        return
    assert all((one.signal is None) == (one.status is not ReadingStatus.OK) for plate in record.plates for one in plate.readings)


def test_roles_of_the_strategy_are_what_they_say() -> None:
    assert [grid.role_of_name(name) for name in ("Std 1", "Blank1", "S0141", "QC low")] == [
        WellRole.STANDARD,
        WellRole.BLANK,
        WellRole.SPECIMEN,
        WellRole.QC,
    ]
