"""parse(compose(x)) = x for any events, channels, keywords, version, encoding and byte order."""

import contextlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from exvivo.errors import InputError
from exvivo.formats import fcs
from exvivo.study.design import Channel, EventsRecord, SpilloverMatrix

LETTERS = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Co", "Zs", "Zl", "Zp"), exclude_characters=",")
WORD = st.text(LETTERS, min_size=1, max_size=12)
VALUE = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
NUMBER = st.floats(1e-3, 1e7, allow_nan=False)
VERSIONS = ["FCS2.0", "FCS3.0", "FCS3.1", "FCS3.2"]
WHOLE_BYTES = [8, 16, 24, 32, 40, 48, 56, 64]


@dataclass(frozen=True)
class Layout:
    """Data type and bits of each column, and the byte order that they allow."""

    kinds: tuple[tuple[str, int], ...]
    byte_order: str
    version: str


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    size = draw(st.integers(1, 5))
    version = draw(st.sampled_from(VERSIONS))
    family = draw(st.sampled_from(["F", "D", "whole", "packed", "odd", "mixed"]))
    order = draw(st.sampled_from(["little", "big"]))
    one_of = {
        "F": st.just(("F", 32)),
        "D": st.just(("D", 64)),
        "whole": st.sampled_from([("I", bits) for bits in WHOLE_BYTES]),
        "packed": st.integers(8, 56).map(lambda bits: ("I", bits)),
        "odd": st.just(("I", 32)),
        "mixed": st.sampled_from([("F", 32), ("D", 64), ("I", 8), ("I", 16), ("I", 24), ("I", 64)]),
    }[family]
    if family == "odd":
        order = ",".join(draw(st.permutations("1234")))
    kinds = tuple(draw(one_of) for _ in range(size))
    return Layout(kinds, {"1,2,3,4": "little", "4,3,2,1": "big"}.get(order, order), "FCS3.2" if family == "mixed" else version)


@st.composite
def channels_of(draw: st.DrawFn, layout: Layout) -> list[Channel]:
    plain = WORD.filter(lambda w: w.upper() != "TIME" and not w.isdecimal())
    names = draw(st.lists(plain, min_size=len(layout.kinds), max_size=len(layout.kinds), unique=True))
    return [
        Channel(
            name=name,
            marker=draw(st.one_of(st.just(""), WORD)),
            range=draw(NUMBER) if kind != "I" else float(2 ** draw(st.integers(2, bits))),
            voltage=draw(st.none() | NUMBER),
            gain=draw(st.sampled_from([1.0, 2.0, 8.0])),
            amplification=draw(st.sampled_from([(0.0, 0.0), (4.0, 1.0), (2.5, 0.01)])) if kind == "I" else (0.0, 0.0),
            bits=bits,
            datatype=kind,
        )
        for name, (kind, bits) in zip(names, layout.kinds, strict=True)
    ]


@st.composite
def datasets(draw: st.DrawFn, layout: Layout) -> fcs.DataSet:
    channels = draw(channels_of(layout))
    n_events = draw(st.integers(0, 6))
    columns = [draw(arrays(np.float64, n_events, elements=_elements(channel))) for channel in channels]
    events = np.stack(columns, axis=1)
    names = [channel.name for channel in channels]
    size = draw(st.integers(0, len(names)))
    cells = tuple(tuple(draw(st.floats(-1, 1)) for _ in range(size)) for _ in range(size))
    spillover = SpilloverMatrix(tuple(names[:size]), tuple(names[:size]), cells) if size else None
    keywords = draw(st.dictionaries(WORD.map(lambda w: "X" + w.upper()), VALUE, max_size=3))
    step = draw(st.none() | st.sampled_from([0.01, 1.0]))
    return fcs.DataSet(events, channels, spillover, step, {k: v for k, v in keywords.items() if k.upper() == k})


def _elements(channel: Channel) -> st.SearchStrategy[float]:
    if channel.datatype == "F":
        return st.floats(-(2.0**90), 2.0**90, width=32)
    if channel.datatype == "D":
        return st.floats(-1e300, 1e300)
    return st.integers(0, min(int(channel.range), 2**53) - 1).map(float)


@st.composite
def files(draw: st.DrawFn) -> tuple[list[fcs.DataSet], fcs.Form]:
    layout = draw(layouts())
    form = fcs.Form(layout.version, layout.byte_order, far=draw(st.booleans()) and layout.version != "FCS2.0")
    return [draw(datasets(layout)) for _ in range(draw(st.integers(1, 3)))], form


def scaled(dataset: fcs.DataSet, record: EventsRecord) -> NDArray[Any]:
    """What the standard makes of stored values, column by column."""
    columns = []
    for place, channel in enumerate(dataset.channels):
        column = dataset.events[:, place]
        decades, lowest = channel.amplification
        if decades:
            columns.append(lowest * 10 ** (decades * column / channel.range))
        else:
            columns.append(column / channel.gain)
    kind = np.float32 if {c.datatype for c in record.channels} == {"F"} else np.float64
    return np.stack(columns, axis=1).astype(kind)


def harmless(issue: str) -> bool:
    return issue.startswith(("integers of", "integers above", "$BYTEORD is")) or "where a value should stand" in issue


@settings(deadline=None, max_examples=150)
@given(files())
def test_what_compose_writes_parse_reads(case: tuple[list[fcs.DataSet], fcs.Form]) -> None:
    sets, form = case
    raw = fcs.compose_all(sets, form)
    records = fcs.parse(raw)
    assert len(records) == len(sets)
    for dataset, record in zip(sets, records, strict=True):
        assert (record.version, record.byte_order) == (form.version, form.byte_order)
        assert record.channels == tuple(dataset.channels)
        assert record.spillover == dataset.spillover
        assert [issue for issue in record.issues if not harmless(issue)] == []
        assert {key: record.keywords[key] for key in dataset.keywords} == dataset.keywords
        np.testing.assert_allclose(fcs.read_events(raw, record), scaled(dataset, record), rtol=1e-14)


@settings(deadline=None, max_examples=100)
@given(files(), st.data())
def test_columns_and_blocks_are_parts_of_all_events(case: tuple[list[fcs.DataSet], fcs.Form], data: st.DataObject) -> None:
    raw = fcs.compose_all(*case)
    record = fcs.parse(raw)[0]
    whole = fcs.read_events(raw, record)
    columns = data.draw(st.lists(st.integers(0, len(record.channels) - 1), max_size=4))
    some = fcs.read_columns(raw, record, columns)
    np.testing.assert_array_equal(some, whole[:, columns])
    pending = fcs.read_events(raw, record, scaled=False)
    np.testing.assert_allclose(pending * fcs.scale_factors(record), whole, rtol=2e-7)
    cut = data.draw(st.integers(0, record.n_events))
    for block in (pending[:cut], pending[cut:]):
        fcs.apply_scales(block, record, range(len(record.channels)))
    np.testing.assert_array_equal(pending, whole)


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(8, 24), st.sampled_from(["little", "big"]), st.booleans())
def test_some_events_are_those_of_all(first: int, length: int, bits: int, order: str, padded: bool) -> None:  # noqa: FBT001  a case
    channels = [Channel(name, "", 256.0, bits=bits, datatype="I") for name in "ABC"]
    events = np.arange(180).reshape(60, 3)
    raw = fcs.compose(events, channels, form=fcs.Form(byte_order=order))
    (record,) = fcs.parse(raw)
    if padded:
        record = replace(record, row_bits=-(-record.row_bits // 8) * 8, n_events=50)
    begin, end = min(first // 8 * 8, record.n_events), min(first + length, record.n_events)
    begin = begin if begin <= end else end // 8 * 8
    if begin % 8 == 0:
        part = fcs.part_of(record, begin, end)
        np.testing.assert_array_equal(fcs.read_events(raw, part), fcs.read_events(raw, record)[begin:end])
    with pytest.raises(ValueError, match="events"):
        fcs.part_of(record, 0, record.n_events + 1)
    if 3 * bits % 8 and not padded:
        with pytest.raises(ValueError, match="multiple of 8"):
            fcs.part_of(record, 1, 2)


@settings(deadline=None, max_examples=100)
@given(st.data(), st.sampled_from([c for c in map(chr, range(1, 127)) if not c.isalnum() and c not in " $,.-+_"]))
def test_values_may_hold_the_delimiter_anywhere_but_first(data: st.DataObject, delimiter: str) -> None:
    value = data.draw(st.text(st.sampled_from([delimiter, "a", "$", "é"]), min_size=1, max_size=9).filter(lambda v: v[0] != delimiter))
    channel = Channel("A", "", 1024.0)
    raw = fcs.compose(np.ones((2, 1), "f4"), [channel], keywords={"NOTE": value, "ZZ": "z"}, form=fcs.Form(delimiter=delimiter))
    (record,) = fcs.parse(raw)
    assert (record.keywords["NOTE"], record.keywords["ZZ"], record.issues) == (value, "z", ())


@given(st.integers(0, 5), st.sampled_from([0.01, 0.5, 1.0]))
def test_time_step_survives(n_events: int, timestep: float) -> None:
    ticks = np.arange(n_events, dtype=np.float32)[:, None]
    raw = fcs.compose(ticks, [Channel(name="Time", marker="", range=1024)], timestep=timestep)
    (record,) = fcs.parse(raw)
    np.testing.assert_allclose(fcs.read_events(raw, record)[:, 0], ticks[:, 0] * timestep, rtol=1e-6)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=5), st.sampled_from(["little", "big"]))
def test_64_bit_integers_are_the_nearest_doubles(whole: list[int], order: str) -> None:
    events = np.array(whole, dtype=np.uint64)[:, None]
    channel = Channel("A", "", 2.0**64, bits=64, datatype="I")
    raw = fcs.compose(events, [channel], form=fcs.Form(byte_order=order))
    (record,) = fcs.parse(raw)
    assert fcs.read_events(raw, record)[:, 0].tolist() == [float(value) for value in whole]
    assert any("2**53" in issue for issue in record.issues)
    narrow = [replace(channel, range=2.0**40)]
    small = events & np.uint64(2**40 - 1)
    assert fcs.parse(fcs.compose(small, narrow))[0].issues == ()


@settings(deadline=None, max_examples=300)
@given(st.integers(1, 40), st.integers(-60, 60), st.integers(-60, 60), st.sampled_from([0, 5, 8, 30]))
def test_one_right_pair_of_offsets_is_enough(n_events: int, begin: int, end: int, behind: int) -> None:
    """HEADER says anything, TEXT is right, then the other way round: the events are right, or the file is refused."""
    events = np.arange(n_events * 2, dtype=np.float32).reshape(-1, 2) + 1
    raw = fcs.compose(events, [Channel("A", "", 1024.0), Channel("B", "", 1024.0)])[:-8] + b"\0" * behind
    first, last = int(raw[26:34]), int(raw[34:42])
    wrong_header = raw[:26] + f"{max(first + begin, 0):8d}{max(last + end, 0):8d}".encode() + raw[42:]
    wrong_text = raw.replace(f"{first:020d}".encode(), f"{max(first + begin, 0):020d}".encode())
    wrong_text = wrong_text.replace(f"{last:020d}".encode(), f"{max(last + end, 0):020d}".encode())
    for wrong in (wrong_header, wrong_text):
        with contextlib.suppress(InputError):
            (record,) = fcs.parse(wrong)
            np.testing.assert_array_equal(fcs.read_events(wrong, record), events)
            assert record.issues or (begin, end) == (0, 0)
