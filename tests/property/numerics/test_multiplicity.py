"""Laws that hold for every family."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from exvivo.numerics.multiplicity import (
    ADJUSTMENTS,
    Intersection,
    adjust_bh,
    adjust_bonferroni,
    adjust_by,
    adjust_graph,
    adjust_graph_closed,
    adjust_hochberg,
    adjust_holm,
    adjust_hommel,
)

FAMILIES = st.lists(st.just(0.0) | st.floats(1e-15, 1), min_size=1, max_size=12)


@given(FAMILIES, st.integers(0, 5))
def test_no_adjustment_makes_p_smaller_or_larger_than_one(p: list[float], absent: int) -> None:
    for adjust in ADJUSTMENTS.values():
        adjusted = adjust(p, total=len(p) + absent)
        assert (adjusted >= np.array(p)).all()
        assert (adjusted <= 1).all()


@given(FAMILIES)
def test_methods_are_ordered_by_what_they_control(p: list[float]) -> None:
    tolerance = 1e-12
    assert (adjust_holm(p) <= adjust_bonferroni(p) + tolerance).all()
    assert (adjust_hochberg(p) <= adjust_holm(p) + tolerance).all()
    assert (adjust_hommel(p) <= adjust_hochberg(p) + tolerance).all()
    assert (adjust_bh(p) <= adjust_hommel(p) + tolerance).all()
    assert (adjust_bh(p) <= adjust_by(p) + tolerance).all()


@given(FAMILIES, st.integers(0, 1000))
def test_order_of_the_family_is_irrelevant(p: list[float], seed: int) -> None:
    shuffle = np.random.default_rng(seed).permutation(len(p))
    for adjust in ADJUSTMENTS.values():
        np.testing.assert_allclose(adjust(np.array(p)[shuffle]), adjust(p)[shuffle], rtol=1e-12)


@given(FAMILIES)
def test_false_discovery_rates_equal_scipy(p: list[float]) -> None:
    np.testing.assert_allclose(adjust_bh(p), stats.false_discovery_control(p, method="bh"), rtol=1e-12)
    np.testing.assert_allclose(adjust_by(p), stats.false_discovery_control(p, method="by"), rtol=1e-12)


@given(st.lists(st.floats(1e-9, 1), min_size=2, max_size=6))
def test_holm_is_a_graph(p: list[float]) -> None:
    m = len(p)
    graph = (np.ones((m, m)) - np.eye(m)) / (m - 1)
    np.testing.assert_allclose(adjust_graph(p, np.full(m, 1 / m), graph), adjust_holm(p), rtol=1e-9)


@given(st.lists(st.floats(1e-9, 1), min_size=2, max_size=6))
def test_fixed_sequence_is_a_graph(p: list[float]) -> None:
    start = np.eye(len(p))[0]
    graph = np.eye(len(p), k=1)
    np.testing.assert_allclose(adjust_graph(p, start, graph), np.maximum.accumulate(p), rtol=1e-12)


@given(st.lists(st.floats(1e-9, 1), min_size=2, max_size=6), st.floats(0.05, 0.95))
def test_fallback_is_a_graph(p: list[float], first: float) -> None:
    """Wiens 2003: hypothesis k is tested at its own share and, if k - 1 was rejected, at all that k - 1 was tested at."""
    m = len(p)
    share = np.array([first, *np.full(m - 1, (1 - first) / (m - 1))])
    adjusted = adjust_graph(p, share, np.eye(m, k=1))
    alpha = 0.05
    level = 0.0
    rejected: list[bool] = []
    for value, own in zip(p, share, strict=True):
        level = level + own if rejected and rejected[-1] else own
        rejected.append(bool(value <= alpha * level))
    near = np.isclose(adjusted, alpha, rtol=1e-9)
    assert ((adjusted <= alpha) == rejected)[~near].all()


GraphOfTests = tuple[list[float], NDArray[np.float64], NDArray[np.float64]]


@st.composite
def graphs(draw: st.DrawFn) -> GraphOfTests:
    m = draw(st.integers(2, 5))
    p = draw(st.lists(st.floats(1e-6, 1), min_size=m, max_size=m))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    weights = rng.dirichlet(np.ones(m)) * draw(st.floats(0.2, 1))
    edges = np.array([np.insert(rng.dirichlet(np.ones(m - 1)) * rng.uniform(0.2, 1), i, 0.0) for i in range(m)])
    return p, weights, edges


@given(graphs())
def test_closed_bonferroni_is_the_shortcut_and_simes_is_never_larger(graph: GraphOfTests) -> None:
    shortcut = adjust_graph(*graph)
    np.testing.assert_allclose(adjust_graph_closed(*graph, test=Intersection.BONFERRONI), shortcut, rtol=1e-9)
    assert (adjust_graph_closed(*graph, test=Intersection.SIMES) <= shortcut * (1 + 1e-9)).all()
    assert (shortcut >= np.array(graph[0]) * (1 - 1e-12)).all()


@given(FAMILIES.filter(lambda p: 2 <= len(p) <= 7))
def test_closed_simes_with_equal_shares_is_hommel(p: list[float]) -> None:
    m = len(p)
    graph = (np.ones((m, m)) - np.eye(m)) / (m - 1)
    np.testing.assert_allclose(adjust_graph_closed(p, np.full(m, 1 / m), graph), adjust_hommel(p), rtol=1e-9)
