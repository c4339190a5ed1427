import numpy as np
import pytest

from exvivo.numerics.permutation import adjust_max_t, compare_sign_flips, compare_two_samples
from exvivo.numerics.ranks import smallest_p


def test_all_negative_differences_reach_the_smallest_p() -> None:
    test = compare_sign_flips([-0.3, -0.2, -0.9, -0.1, -0.5, -0.4])
    assert test.p == smallest_p(6)
    assert test.p_greater == 1.0


def test_tied_sums_count_on_both_sides() -> None:
    assert compare_sign_flips([0.1, 0.2, -0.3]).p == 1.0


def test_drawn_flips_approach_all_flips() -> None:
    d = np.random.default_rng(3).normal(0.25, 1, 21)
    drawn = compare_sign_flips(d, rng=np.random.default_rng(1), draws=40_000)
    again = compare_sign_flips(d, rng=np.random.default_rng(1), draws=40_000)
    assert drawn == again
    assert not drawn.exact
    all_of_them = compare_sign_flips(d[:20])
    few = compare_sign_flips(d[:20])
    assert all_of_them == few
    assert all_of_them.flips == 2**20


def test_many_donors_need_a_generator() -> None:
    with pytest.raises(ValueError, match="generator"):
        compare_sign_flips(np.ones(21))


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
        compare_two_samples(np.arange(15.0), np.arange(15.0))
