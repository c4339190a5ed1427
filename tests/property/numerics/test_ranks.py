"""Laws of rank and permutation methods."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from exvivo.numerics.permutation import compare_sign_flips
from exvivo.numerics.ranks import Zeros, bound_signed_rank, compare_signed_rank, compare_signs, estimate_hodges_lehmann, smallest_p

Array = NDArray[np.float64]
COARSE = st.integers(-12, 12).map(lambda x: x / 4)
DIFFERENCES = st.integers(2, 11).flatmap(lambda n: arrays(np.float64, n, elements=COARSE))


@given(DIFFERENCES, st.sampled_from(Zeros))
def test_swapped_arms_give_the_same_p(d: Array, zeros: Zeros) -> None:
    there, back = compare_signed_rank(d, zeros=zeros), compare_signed_rank(-d, zeros=zeros)
    assert there.p == back.p
    assert there.p_less == back.p_greater
    assert compare_signs(d) == compare_signs(-d)
    assert compare_sign_flips(d).p == compare_sign_flips(-d).p


@given(DIFFERENCES, st.integers(0, 1000))
def test_order_of_donors_is_irrelevant(d: Array, seed: int) -> None:
    shuffled = np.random.default_rng(seed).permutation(d)
    assert compare_signed_rank(d) == compare_signed_rank(shuffled)
    assert estimate_hodges_lehmann(d) == estimate_hodges_lehmann(shuffled)


@given(DIFFERENCES)
def test_no_p_is_smaller_than_attainable(d: Array) -> None:
    for p in (compare_signed_rank(d).p, compare_signs(d), compare_sign_flips(d).p):
        assert smallest_p(d.size) <= p <= 1


@given(DIFFERENCES, st.floats(-3, 3))
def test_shift_moves_estimate_and_interval(d: Array, shift: float) -> None:
    plain, moved = estimate_hodges_lehmann(d), estimate_hodges_lehmann(d + shift)
    np.testing.assert_allclose(
        [moved.estimate, moved.low, moved.high], np.array([plain.estimate, plain.low, plain.high]) + shift, atol=1e-9
    )
    assert moved.attained == plain.attained >= 0.95


@settings(deadline=None)
@given(st.integers(3, 9), st.integers(0, 1000))
def test_any_values_within_bounds_give_a_p_within_range(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    low = rng.normal(size=n)
    high = low + rng.exponential(size=n) * (rng.uniform(size=n) < 0.5)
    bounds = bound_signed_rank(low, high)
    for _ in range(5):
        p = compare_signed_rank(rng.uniform(low, high)).p
        assert bounds.p_best - 1e-12 <= p <= bounds.p_worst + 1e-12
