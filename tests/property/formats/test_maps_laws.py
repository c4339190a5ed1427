"""Laws of plate maps: both forms give back the wells; any bytes are read or refused."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from exvivo.errors import InputError
from exvivo.formats import maps
from exvivo.formats.maps import MapRecord, PlateMap
from exvivo.study.design import WellLayout, WellRole, well_name

NAMES = st.from_regex(r"[A-Z][a-z]{1,3}[0-9]{1,4}", fullmatch=True)
CONCENTRATIONS = st.floats(0, 1e6).map(lambda value: float(f"{value:.6g}"))
FOLDS = st.floats(1, 1e5)


@st.composite
def wells(draw: st.DrawFn, well: str) -> WellLayout:
    role = draw(st.sampled_from(sorted(WellRole)))
    named = role in {WellRole.SPECIMEN, WellRole.QC, WellRole.STANDARD}
    known = role in {WellRole.STANDARD, WellRole.QC}
    return WellLayout(
        well,
        role,
        draw(NAMES) if named else None,
        draw(CONCENTRATIONS) if known else None,
        draw(FOLDS) if role is WellRole.SPECIMEN else None,
        draw(st.sampled_from(["pg/mL", "ng/mL"])) if known else None,
        "",
        draw(st.sampled_from(["CCL18", "IL-6"])),
    )


@st.composite
def plate_maps(draw: st.DrawFn, plate: str) -> PlateMap:
    places = draw(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 11)), min_size=1, max_size=12, unique=True))
    return PlateMap(plate, tuple(draw(wells(well_name(*place))) for place in sorted(places)))


RECORDS = st.lists(st.from_regex(r"P[0-9]{1,3}", fullmatch=True), min_size=1, max_size=3, unique=True).flatmap(
    lambda names: st.tuples(*(plate_maps(name) for name in names)).map(MapRecord)
)


def bare(record: MapRecord) -> MapRecord:
    return replace(
        record, plates=tuple(PlateMap(one.plate, tuple(replace(well, origin="") for well in one.wells)) for one in record.plates)
    )


def by_well(record: MapRecord) -> MapRecord:
    return replace(record, plates=tuple(PlateMap(one.plate, tuple(sorted(one.wells, key=lambda well: well.well))) for one in record.plates))


@settings(deadline=None)
@given(RECORDS, st.sampled_from([",", ";", "\t"]))
def test_parsing_a_composed_long_map_gives_the_record(record: MapRecord, delimiter: str) -> None:
    assert bare(maps.parse(maps.compose(record, delimiter), "x.csv")) == record


@settings(max_examples=30, deadline=None)
@given(RECORDS)
def test_parsing_composed_grids_gives_the_same_wells(record: MapRecord) -> None:
    assert by_well(bare(maps.parse(maps.compose_grids(record), "x.csv"))) == by_well(record)


@settings(max_examples=60, deadline=None)
@given(RECORDS, st.data())
def test_a_damaged_map_is_read_or_refused(record: MapRecord, data: st.DataObject) -> None:
    content = bytearray(maps.compose(record))
    for _ in range(4):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    assert outcome_of(bytes(content)) in {"record", "fault"}


def outcome_of(content: bytes) -> str:
    try:
        maps.parse(content, "x.csv")
    except InputError:
        return "fault"
    return "record"
