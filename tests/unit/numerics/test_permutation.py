import itertools

import numpy as np
import pytest
from scipy import stats

from exvivo.numerics.permutation import adjust_max_t, compare_sign_flips, compare_two_samples, compare_within_blocks
from exvivo.numerics.ranks import smallest_p


def test_all_negative_differences_reach_the_smallest_p() -> None:
    test = compare_sign_flips([-0.3, -0.2, -0.9, -0.1, -0.5, -0.4])
    assert test.p == smallest_p(6)
    assert test.p_greater == 1.0


def test_tied_sums_count_on_both_sides() -> None:
    assert compare_sign_flips([0.1, 0.2, -0.3]).p == 1.0


def test_halves_count_what_enumeration_counts() -> None:
    d = np.round(np.random.default_rng(3).normal(0.25, 1, 11), 1)
    sums = np.array([np.dot(signs, d) for signs in itertools.product([1, -1], repeat=d.size)])
    test = compare_sign_flips(d)
    assert test.p == (np.abs(sums) >= abs(d.sum()) - 1e-9).mean()
    assert test.p_less == (sums <= d.sum() + 1e-9).mean()
    assert test.p_greater == (sums >= d.sum() - 1e-9).mean()
    assert (test.flips, test.exact) == (2**11, True)


def test_drawn_flips_approach_all_flips() -> None:
    d = np.concatenate([np.random.default_rng(3).normal(0.25, 1, 40), [0.0]])  # a zero changes nothing but the number of donors
    drawn = compare_sign_flips(d, rng=np.random.default_rng(1), draws=40_000)
    assert drawn == compare_sign_flips(d, rng=np.random.default_rng(1), draws=40_000)
    counted = compare_sign_flips(d[:40])
    assert (drawn.exact, counted.exact) == (False, True)
    assert drawn.p == pytest.approx(counted.p, abs=4 * drawn.error)
    assert counted.error == 0


def test_many_donors_need_a_generator() -> None:
    with pytest.raises(ValueError, match="generator"):
        compare_sign_flips(np.ones(41))
    with pytest.raises(ValueError, match="generator"):
        adjust_max_t(np.ones((21, 2)))


def test_a_family_of_many_donors_is_drawn() -> None:
    d = np.random.default_rng(6).normal(0.4, 1, (21, 3))
    drawn = adjust_max_t(d, rng=np.random.default_rng(1), draws=20_000)
    exact = [compare_sign_flips(column).p for column in d.T]
    np.testing.assert_allclose(drawn.p, exact, atol=0.015)


def test_endpoint_without_any_difference_has_no_evidence() -> None:
    adjusted = adjust_max_t(np.column_stack([np.zeros(6), np.arange(1.0, 7.0)]))
    assert adjusted.t[0] == 0
    assert adjusted.p_step_down.tolist() == [1.0, 0.03125]


def test_one_endpoint_needs_no_adjustment() -> None:
    d = np.array([0.4, -0.1, 0.8, 0.3, 0.5])
    adjusted = adjust_max_t(d[:, None])
    assert adjusted.p == adjusted.p_step_down == adjusted.p_single_step
    assert adjusted.p[0] == compare_sign_flips(d).p


def test_step_down_is_never_above_single_step_nor_below_raw() -> None:
    adjusted = adjust_max_t(np.random.default_rng(5).normal(0.4, 1, (9, 6)))
    assert (adjusted.p <= adjusted.p_step_down).all()
    assert (adjusted.p_step_down <= adjusted.p_single_step).all()


def test_two_samples() -> None:
    two_sided, less = compare_two_samples([1.0, 2.0], [3.0, 4.0])
    assert two_sided == pytest.approx(2 / 6)
    assert less == pytest.approx(1 / 6)
    with pytest.raises(ValueError, match="finite"):
        compare_two_samples([], [1.0])
    with pytest.raises(ValueError, match="too many"):
        compare_two_samples(np.arange(21.0), np.arange(20.0))


def test_two_samples_of_sixteen_are_counted() -> None:
    rng = np.random.default_rng(8)
    a, b = rng.normal(0.5, 1, 16), rng.normal(0, 1, 16)
    drawn = stats.permutation_test((a, b), lambda x, y, axis: x.mean(axis) - y.mean(axis), vectorized=True, n_resamples=20_000, rng=rng)
    assert compare_two_samples(a, b)[0] == pytest.approx(drawn.pvalue, abs=0.015)


def test_exchange_within_blocks_equals_enumeration() -> None:
    y = np.array([1.0, 2.0, 4.0, 3.0, 7.0, 5.0, 5.0, 9.0, 2.0])
    first = np.array([1, 0, 0, 1, 1, 0, 0, 1, 0], dtype=bool)
    block = np.array(["a", "a", "a", "b", "b", "b", "b", "c", "c"])
    parts = [[y[block == name][list(taken)].sum() for taken in itertools.combinations(range(size), k)] for name, size, k in BLOCKS]
    sums = np.array([sum(chosen) for chosen in itertools.product(*parts)])
    centre, observed = sums.mean(), y[first].sum()
    p, less = compare_within_blocks(y, first, block)
    assert p == pytest.approx((np.abs(sums - centre) >= abs(observed - centre) - 1e-9).mean())
    assert less == pytest.approx((sums <= observed + 1e-9).mean())


BLOCKS = (("a", 3, 1), ("b", 4, 2), ("c", 2, 1))


def test_blocks_of_pairs_are_sign_flips_and_one_block_is_no_block() -> None:
    pairs = np.random.default_rng(5).normal([0.5, 0.0], size=(12, 2))
    first = np.tile([True, False], 12)
    flips = compare_sign_flips(pairs[:, 0] - pairs[:, 1])
    assert compare_within_blocks(pairs.ravel(), first, np.repeat(np.arange(12), 2)) == pytest.approx((flips.p, flips.p_less))
    few = pairs[:6].ravel()
    assert compare_within_blocks(few, first[:12], np.zeros(12)) == pytest.approx(compare_two_samples(few[::2], few[1::2]))


def test_blocks_that_are_too_many_to_count() -> None:
    with pytest.raises(ValueError, match="too many"):
        compare_within_blocks(np.arange(60.0), np.tile([True, False], 30), np.repeat([0, 1, 2], 20))
