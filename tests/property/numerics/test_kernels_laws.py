"""Laws of the loops over events: compiled and plain agree to the last bit, tables stay near their scales, pictures change nothing."""

import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from exvivo.numerics import cells, kernels, outline
from exvivo.numerics.kernels import PLAIN, Kernels
from exvivo.numerics.outline import cross, make_outline

Array = NDArray[np.float64]

ANY = st.floats(-1e200, 1e200) | st.sampled_from([math.nan, math.inf, -math.inf])
VALUES = arrays(np.float64, st.integers(1, 40), elements=ANY | st.floats(-1e6, 1e6))
PLACES = st.floats(-2.0, 2.0, width=16)


@pytest.fixture(scope="module")
def compiled() -> Kernels:
    found = kernels._compiled()
    if found is None:
        pytest.skip("numba is absent: only the plain loops exist")
    return found


@st.composite
def scales(draw: st.DrawFn) -> tuple[str, dict[str, float]]:
    kind = draw(st.sampled_from(["logicle", "hyperlog", "fasinh"]))
    T, M = 10 ** draw(st.floats(-3, 7)), draw(st.floats(1, 9))
    W = draw(st.floats(1e-6, 0.5)) * M
    A = draw(st.floats(0, 1)) * (M if kind == "fasinh" else max(M - 2 * W, 0.0))
    parameters = {"T": T, "M": M, "A": A}
    return kind, parameters if kind == "fasinh" else parameters | {"W": W}


@given(scales(), VALUES)
def test_table_is_within_5e_9_of_its_scale_and_both_loops_agree(compiled: Kernels, scale: tuple[str, dict[str, float]], x: Array) -> None:
    kind, parameters = scale
    table = cells.table_of(kind, parameters)
    assume(table is not None)
    assert table is not None
    x = np.concatenate([x, parameters["T"] * np.array([0.0, 1.0, -1.0, 1e-9, 0.01, -0.3])])
    exact, plain = cells.to_scale(kind, x, parameters), PLAIN.show(x, table)
    np.testing.assert_array_equal(np.isnan(plain), np.isnan(x))
    near = np.isfinite(exact)
    assert np.max(np.abs(plain[near] - exact[near]), initial=0.0) < 5e-9
    np.testing.assert_array_equal(plain[~near], exact[~near])
    np.testing.assert_array_equal(compiled.show(x, table), plain)


@given(arrays(np.float64, st.tuples(st.integers(3, 9), st.just(2)), elements=PLACES), arrays(np.float64, (60, 2), elements=PLACES | ANY))
def test_picture_of_a_polygon_changes_no_answer(compiled: Kernels, corners: Array, points: Array) -> None:
    points = np.concatenate([points, corners, (corners + np.roll(corners, 1, axis=0)) / 2])
    x, y = np.ascontiguousarray(points.T)
    made = make_outline(corners)
    finite = np.isfinite(x) & np.isfinite(y)
    expected = np.zeros(len(x), dtype=np.bool_)
    expected[finite] = cross(np.clip(x[finite], -9, 9), np.clip(y[finite], -9, 9), corners)
    np.testing.assert_array_equal(outline.enclosed(x, y, made), expected)
    np.testing.assert_array_equal(compiled.enclosed(x, y, made), expected)


@given(st.data())
def test_mixing_is_a_weighted_sum_in_order(compiled: Kernels, data: st.DataObject) -> None:
    single = data.draw(st.booleans())
    events = data.draw(arrays(np.float32, (7, 5), elements=st.floats(-1e6, 1e6, width=32)))
    if not single:
        events = events.astype(np.float64)
    columns = np.array(data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=5)), dtype=np.intp)
    weights = data.draw(arrays(np.float64, len(columns), elements=st.floats(-10, 10)))
    rows = np.array(data.draw(st.lists(st.integers(0, 6), max_size=7)), dtype=np.intp)
    whole = PLAIN.mix(events, None, columns, weights)
    by_hand = [sum((float(row[c]) * w for c, w in zip(columns, weights, strict=True)), 0.0) for row in events]
    np.testing.assert_array_equal(whole, by_hand)
    np.testing.assert_array_equal(PLAIN.mix(events, rows, columns, weights), whole[rows])
    np.testing.assert_array_equal(compiled.mix(events, None, columns, weights), whole)
    np.testing.assert_array_equal(compiled.mix(events, rows, columns, weights), whole[rows])


@given(arrays(np.float64, st.integers(1, 60), elements=st.floats(-3e4, 3e4, width=16) | ANY))
def test_medians_agree(compiled: Kernels, values: Array) -> None:
    values = np.where(np.isinf(values), 7.0, values)
    np.testing.assert_array_equal(compiled.median(values), np.median(values))
    np.testing.assert_array_equal(PLAIN.median(values), np.median(values))


def _plain(function: Any) -> Any:  # noqa: ANN401 - whatever numba wraps
    return function.py_func


def test_compiled_loops_do_the_same_without_their_compiler(compiled: Kernels) -> None:
    from exvivo.numerics import compiled as module

    x = np.array([-300.0, -1e-3, 0.0, 5.0, 300.0, 2e5, math.nan])
    table = cells.table_of("logicle", {"T": 262144.0, "W": 0.5, "M": 4.5, "A": 0.0})
    assert table is not None
    made = make_outline([[0.0, 0.0], [3.0, 0.0], [3.0, 3.0], [1.0, 1.0]])
    u, v = np.array([0.5, 2.0, 1.0, 9.0, math.nan]), np.array([0.1, 1.9, 1.0, 9.0, 0.0])
    frame = np.concatenate([made.low, made.high, made.scale])
    events, columns, weights = np.arange(6, dtype=np.float32).reshape(3, 2), np.array([1, 0]), np.array([1.0, -0.5])
    plain, outside = _plain(module._show)(x, x.view(np.int64), table.pieces, (table.shift, table.first), (table.zero, table.top))
    assert outside == 1
    np.testing.assert_array_equal(plain, compiled.show(x, table))
    inside = _plain(module._enclosed)(u[:4], v[:4], made.corners, frame, made.picture)
    np.testing.assert_array_equal(inside, [True, True, True, False])
    np.testing.assert_array_equal(compiled.enclosed(u, v, made), [True, True, True, False, False])
    np.testing.assert_array_equal(_plain(module._mix_all)(events, columns, weights), [1.0, 2.0, 3.0])
    assert _plain(module._middle)(x[:6], x[:6].view(np.int64)) == (0.0, 5.0)
    np.testing.assert_array_equal(_plain(module._mix)(events, np.array([2]), columns, weights), [3.0])


def test_compiled_loops_are_taken_for_many_events_only(compiled: Kernels) -> None:
    assert kernels.choose(1000) is PLAIN
    assert kernels.choose(1_000_000) is compiled


def test_threads_share_the_compiled_loops(compiled: Kernels) -> None:
    rng = np.random.default_rng(5)
    events = rng.normal(size=(50_000, 6)).astype(np.float32)
    columns, weights = np.arange(6), rng.normal(size=6)
    made = make_outline([[-1.0, -1.0], [1.0, -0.5], [0.5, 1.0]])

    def work(seed: int) -> int:
        mixed = compiled.mix(events, None, columns, weights * seed)
        return int(np.count_nonzero(compiled.enclosed(mixed, mixed[::-1].copy(), made)))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(1, 25))) == [work(seed) for seed in range(1, 25)]


def test_loops_compile_where_nothing_can_be_kept() -> None:
    pytest.importorskip("numba")
    code = (
        "import numba.core.caching as c; c.CacheImpl._locator_classes = []\n"
        "from exvivo.numerics import kernels; import numpy as np\n"
        "k = kernels.choose(10**6); assert k is not kernels.PLAIN\n"
        "print(k.mix(np.ones((2, 2)), None, np.array([0, 1]), np.array([1.0, 0.5])).tolist())"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - our own text
    assert told.stdout.strip() == "[1.5, 1.5]"
