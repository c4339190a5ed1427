"""parse(compose(x)) = x for any events, channels and keywords."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from exvivo.formats import fcs
from exvivo.study.design import Channel, SpilloverMatrix

LETTERS = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Co", "Zs", "Zl", "Zp"), exclude_characters=",")
WORD = st.text(LETTERS, min_size=1, max_size=12)
NUMBER = st.floats(1e-3, 1e7, allow_nan=False)


@st.composite
def data_sets(draw: st.DrawFn) -> tuple[NDArray[np.float32], list[Channel], SpilloverMatrix | None, dict[str, str]]:
    names = draw(st.lists(WORD.filter(lambda w: w.upper() != "TIME" and not w.isdecimal()), min_size=1, max_size=5, unique=True))
    channels = [
        Channel(
            name=name,
            marker=draw(st.one_of(st.just(""), WORD)),
            range=draw(NUMBER),
            voltage=draw(st.none() | NUMBER),
            gain=draw(st.sampled_from([1.0, 2.0, 8.0])),
        )
        for name in names
    ]
    shape = (draw(st.integers(0, 6)), len(names))
    events = draw(arrays(np.float32, shape, elements=st.floats(-(2.0**90), 2.0**90, width=32)))
    size = draw(st.integers(0, len(names)))
    cells = tuple(tuple(draw(st.floats(-1, 1)) for _ in range(size)) for _ in range(size))
    spillover = SpilloverMatrix(tuple(names[:size]), tuple(names[:size]), cells) if size else None
    keywords = draw(st.dictionaries(WORD.map(lambda w: "X" + w.upper()), WORD, max_size=3))
    return events, channels, spillover, {k: v for k, v in keywords.items() if k.upper() == k}


@settings(deadline=None, max_examples=150)
@given(data_sets())
def test_what_compose_writes_parse_reads(case: tuple[NDArray[np.float32], list[Channel], SpilloverMatrix | None, dict[str, str]]) -> None:
    events, channels, spillover, keywords = case
    raw = fcs.compose(events, channels, spillover=spillover, keywords=keywords)
    (record,) = fcs.parse(raw)
    assert record.channels == tuple(channels)
    assert record.spillover == spillover
    assert record.issues == ()
    assert {key: record.keywords[key] for key in keywords} == keywords
    gains = np.array([channel.gain for channel in channels], dtype=np.float32)
    np.testing.assert_array_equal(fcs.read_events(raw, record), events / gains)


@given(st.integers(0, 5), st.sampled_from([0.01, 0.5, 1.0]))
def test_time_step_survives(n_events: int, timestep: float) -> None:
    ticks = np.arange(n_events, dtype=np.float32)[:, None]
    raw = fcs.compose(ticks, [Channel(name="Time", marker="", range=1024)], timestep=timestep)
    (record,) = fcs.parse(raw)
    np.testing.assert_allclose(fcs.read_events(raw, record)[:, 0], ticks[:, 0] * timestep, rtol=1e-6)
