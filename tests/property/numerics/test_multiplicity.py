"""Laws that hold for every family."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from exvivo.numerics.multiplicity import (
    ADJUSTMENTS,
    adjust_bh,
    adjust_bonferroni,
    adjust_by,
    adjust_graph,
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
