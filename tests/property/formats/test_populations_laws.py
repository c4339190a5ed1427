"""A polygon carried beyond the ends of its axes holds what the cut polygon holds of events set on those ends."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from exvivo.formats.populations import Ends, NotUnderstoodError, open_ends
from exvivo.numerics import cells

END = Ends(0.0, 10.0, -1e6, 1e6)
PLACE = st.integers(-3, 13).map(float)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(PLACE, PLACE), min_size=3, max_size=6), st.integers(0, 999))
def test_events_beyond_an_end_are_those_shown_at_it(corners: list[tuple[float, float]], seed: int) -> None:
    events = np.random.default_rng(seed).uniform(-5, 15, (300, 2))
    try:
        found = cells.in_polygon(events[:, 0], events[:, 1], open_ends(corners, [END, END]))
    except NotUnderstoodError:
        return
    # a hair inside the ends, where no edge of the cut polygon lies
    shown = np.clip(events, 1e-7, 10 - 1e-7)
    expected = cells.in_polygon(shown[:, 0], shown[:, 1], corners)
    near = np.zeros(len(events), dtype=bool)
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        near |= np.abs((bx - ax) * (shown[:, 1] - ay) - (shown[:, 0] - ax) * (by - ay)) < 1e-3
    np.testing.assert_array_equal(found[~near], expected[~near])
