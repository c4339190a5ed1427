"""Laws of scales and gates that hold for any numbers."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from exvivo.numerics import cells

Floats = NDArray[np.float64]
VALUES = arrays(np.float64, 30, elements=st.floats(-1e6, 1e6))
POINTS = arrays(np.float64, (20, 2), elements=st.integers(-4, 4).map(float))


@st.composite
def logicle_settings(draw: st.DrawFn) -> dict[str, float]:
    m = draw(st.floats(1, 7))
    w = draw(st.floats(0.01, 0.5)) * m
    return {"T": draw(st.floats(1, 1e7)), "W": w, "M": m, "A": draw(st.floats(0, 1)) * (m - 2 * w)}


@settings(deadline=None)
@given(st.sampled_from(["logicle", "hyperlog"]), logicle_settings(), VALUES)
def test_inverse_undoes_and_order_is_kept(kind: str, parameters: dict[str, float], values: Floats) -> None:
    shown = cells.to_scale(kind, np.sort(values), parameters)
    assert np.all(np.diff(shown) >= 0)
    np.testing.assert_allclose(cells.from_scale(kind, shown, parameters), np.sort(values), rtol=1e-9, atol=1e-9 * parameters["T"])


@settings(deadline=None)
@given(POINTS, arrays(np.float64, (5, 2), elements=st.integers(-4, 4).map(float)), st.integers(0, 4))
def test_polygon_does_not_depend_on_where_or_which_way_it_is_walked(points: Floats, corners: Floats, turn: int) -> None:
    inside = cells.in_polygon(points[:, 0], points[:, 1], corners)
    np.testing.assert_array_equal(inside, cells.in_polygon(points[:, 0], points[:, 1], np.roll(corners, turn, axis=0)[::-1]))
    np.testing.assert_array_equal(inside, cells.in_polygon(points[:, 1], points[:, 0], corners[:, ::-1]))


@given(VALUES, st.floats(-1e5, 0), st.floats(0, 1e5))
def test_rectangle_is_the_polygon_without_its_far_edge(values: Floats, low: float, high: float) -> None:
    inside = cells.in_interval(values, low, high)
    outside = cells.in_interval(values, None, low) | cells.in_interval(values, high, None)
    assert np.all(inside != outside) or low == high
