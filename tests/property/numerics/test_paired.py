"""Laws of the paired comparison."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from exvivo.numerics.paired import compare_welch, design_slope, fit_linear, fit_paired

LOGS = st.integers(3, 15).flatmap(lambda n: arrays(np.float64, (2, n), elements=st.floats(-8, 8).map(lambda x: round(x, 6))))


@given(LOGS)
def test_swapped_arms_give_the_reciprocal_and_the_same_p(logs: np.ndarray) -> None:
    there, back = fit_paired(logs[0], logs[1]), fit_paired(logs[1], logs[0])
    assert there.estimate == -back.estimate
    assert (there.p, there.low) == (back.p, -back.high)


@given(LOGS, st.floats(-3, 3))
def test_change_of_unit_changes_nothing(logs: np.ndarray, shift: float) -> None:
    plain, shifted = fit_paired(logs[0], logs[1]), fit_paired(logs[0] + shift, logs[1] + shift)
    np.testing.assert_allclose([plain.estimate, plain.se], [shifted.estimate, shifted.se], atol=1e-9)


@given(LOGS, st.integers(0, 1000))
def test_order_of_donors_is_irrelevant(logs: np.ndarray, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(logs.shape[1])
    plain, mixed = fit_paired(*logs), fit_paired(*logs[:, order])
    np.testing.assert_allclose([plain.estimate, plain.se], [mixed.estimate, mixed.se], atol=1e-12)


@given(st.integers(2, 6), st.integers(2, 6), st.integers(0, 1000))
def test_binary_design_is_the_difference_of_two_means(n: int, m: int, seed: int) -> None:
    y = np.random.default_rng(seed).normal(size=n + m)
    exposed = np.arange(n + m) >= n
    pooled = fit_linear(y, design_slope(exposed.astype(float))).contrast([0, 1])
    welch = compare_welch(y, exposed)
    np.testing.assert_allclose(pooled.estimate, y[n:].mean() - y[:n].mean(), atol=1e-12)
    np.testing.assert_allclose(pooled.estimate, welch.estimate, atol=1e-12)
    if n == m:
        np.testing.assert_allclose(pooled.se, welch.se, atol=1e-12)
