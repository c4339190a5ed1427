"""Laws of Gen5 text: composing and parsing again changes nothing but the places; damaged text is read or refused."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from exvivo.errors import InputError
from exvivo.formats import gen5
from exvivo.study.design import (
    ExportRecord,
    PlateRecord,
    ReadingStatus,
    SignalKind,
    VendorWell,
    WellLayout,
    WellReading,
    WellRole,
    well_name,
)

WORDS = {ReadingStatus.OVERFLOW: "OVRFLW", ReadingStatus.MISSED: "?????", ReadingStatus.MASKED: "*0.356*", ReadingStatus.EMPTY: ""}
CELLS = st.one_of(st.integers(-2000, 40_000), st.integers(-2000, 40_000), st.sampled_from(sorted(WORDS)))
KINDS: tuple[list[tuple[int | None, SignalKind]], ...] = (
    [(450, SignalKind.RAW)],
    [(None, SignalKind.RAW)],
    [(620, SignalKind.RAW), (450, SignalKind.RAW)],
    [(450, SignalKind.RAW), (620, SignalKind.RAW), (450, SignalKind.REDUCED), (None, SignalKind.REDUCED)],
)
LAYOUTS = st.one_of(
    st.builds(lambda c: (WellRole.STANDARD, "STD x", c, None), st.floats(0, 1e6, allow_nan=False)),
    st.builds(lambda n, d: (WellRole.SPECIMEN, n, None, float(d)), st.sampled_from(["M0043", "S 1"]), st.integers(1, 5000)),
    st.sampled_from([(WellRole.BLANK, "BLK", None, None), (WellRole.QC, "QC low", None, None)]),
)


def reading(well: str, nm: int | None, kind: SignalKind, cell: int | ReadingStatus) -> WellReading:
    if isinstance(cell, ReadingStatus):
        return WellReading(well, nm, None, cell, kind, WORDS[cell], "")
    return WellReading(well, nm, cell / 10_000, ReadingStatus.OK, kind, f"{cell / 10_000:.4f}", "")


@st.composite
def plates(draw: st.DrawFn, position: int) -> PlateRecord:
    n_rows, n_columns = draw(st.sampled_from([(8, 12), (8, 12), (16, 24)]))
    wells = [well_name(row, column) for row in range(n_rows) for column in range(n_columns)]
    pool: list[int | ReadingStatus] = [draw(st.integers(0, 40_000)), *draw(st.lists(CELLS, min_size=6, max_size=12))]
    kinds = draw(st.sampled_from(KINDS))
    readings = [reading(well, nm, kind, pool[at % len(pool)]) for nm, kind in kinds for at, well in enumerate(wells)]
    laid = draw(st.lists(LAYOUTS, max_size=6))
    layout = [WellLayout(well, role, name, c, d, None, "") for well, (role, name, c, d) in zip(wells, laid, strict=False)]
    vendor = [VendorWell("A1", 1.5, "quantified", "1.500", ""), VendorWell("B2", None, "below_lloq", "<0.0", "")]
    found = vendor if draw(st.booleans()) and kinds[0][0] else []
    name = draw(st.sampled_from(["Plate 1", "CCL18 a", None]))
    return PlateRecord(name, position, n_rows, n_columns, tuple(readings), tuple(layout), tuple(found))


EXPORTS = (
    st.integers(1, 3).flatmap(lambda n: st.tuples(*(plates(at) for at in range(1, n + 1)))).map(lambda found: ExportRecord("gen5", found))
)


def bare(record: ExportRecord) -> ExportRecord:
    return replace(
        record,
        plates=tuple(
            replace(
                plate,
                readings=tuple(replace(one, origin="") for one in plate.readings),
                layout=tuple(replace(one, origin="") for one in plate.layout),
                vendor_wells=tuple(replace(one, origin="") for one in plate.vendor_wells),
            )
            for plate in record.plates
        ),
    )


@settings(max_examples=25, deadline=None)
@given(EXPORTS)
def test_parsing_a_composed_export_gives_the_record(record: ExportRecord) -> None:
    data = gen5.compose(record)
    assert gen5.recognises(data)
    assert bare(gen5.parse(data, "x.txt")) == record


@settings(max_examples=40, deadline=None)
@given(EXPORTS, st.data())
def test_an_export_with_lines_lost_is_read_or_refused(record: ExportRecord, data: st.DataObject) -> None:
    lines = gen5.compose(record).decode().split("\r\n")
    del lines[data.draw(st.integers(0, len(lines) - 1)) : data.draw(st.integers(0, len(lines)))]
    assert outcome_of("\r\n".join(lines).encode()) in {"whole plates", "fault"}


def outcome_of(data: bytes) -> str:
    try:
        record = gen5.parse(data, "x.txt")
    except InputError:
        return "fault"
    return "part of a plate" if any(len(plate.readings) % 96 for plate in record.plates) else "whole plates"
