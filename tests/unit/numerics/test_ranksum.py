import itertools

import numpy as np
import pytest
from scipy import stats

from exvivo.numerics.ranksum import approximate_rank_sum, compare_rank_sum, estimate_shift, invert_rank_sum

FIRST = [1.0, 2.0, 2.0, 5.0, 7.0]
SECOND = [2.0, 3.0, 5.0, 8.0]


def test_p_equals_enumeration_with_ties() -> None:
    ranks = stats.rankdata(FIRST + SECOND)
    sums = np.array([ranks[list(taken)].sum() for taken in itertools.combinations(range(9), 5)])
    observed, centre = ranks[:5].sum(), 5 * ranks.mean()
    test = compare_rank_sum(FIRST, SECOND)
    assert test.p == pytest.approx((np.abs(sums - centre) >= abs(observed - centre)).mean())
    assert test.p_less == pytest.approx((sums <= observed).mean())
    assert test.p_greater == pytest.approx((sums >= observed).mean())


def test_p_equals_scipy_without_ties_and_differs_with_ties() -> None:
    first, second = [0.3, 1.1, 2.4, 3.9], [0.1, 0.2, 1.0, 5.0, 6.0]
    assert compare_rank_sum(first, second).p == pytest.approx(stats.mannwhitneyu(first, second, method="exact").pvalue)
    assert compare_rank_sum(FIRST, SECOND).p != pytest.approx(stats.mannwhitneyu(FIRST, SECOND, method="exact").pvalue)


def test_mirrored_sums_count_though_the_expected_one_is_rounded() -> None:
    yes, no = [1.2, 1.1, 2.8, 1.2, 1.7, 1.8, 0.6, 1.1, 1.0, 0.9, 2.7, 1.4, 4.6], [0.8, 0.5, 0.7, 1.2]
    assert compare_rank_sum(yes, no).p == pytest.approx(0.0415966386554622)  # coin; exactRankTests says 0.0369747899159664


def test_superiority_counts_pairs() -> None:
    pairs = [(a > b) + (a == b) / 2 for a in FIRST for b in SECOND]
    assert compare_rank_sum(FIRST, SECOND).superiority == pytest.approx(np.mean(pairs))


def test_approximation_equals_scipy() -> None:
    for correct in (True, False):
        expected = stats.mannwhitneyu(FIRST, SECOND, method="asymptotic", use_continuity=correct).pvalue
        assert approximate_rank_sum(FIRST, SECOND, correct=correct) == pytest.approx(expected)
    assert approximate_rank_sum([1.0, 1.0], [1.0]) == 1.0


def test_shift_without_ties_is_the_same_by_both_ways() -> None:
    rng = np.random.default_rng(2)
    first, second = rng.normal(1, 1, 8), rng.normal(0, 1, 6)
    shift = estimate_shift(first, second)
    assert invert_rank_sum(first, second) == pytest.approx((shift.estimate, shift.low, shift.high))
    assert shift.attained >= 0.95
    outside, inside = (compare_rank_sum(first - shift.low + step, second).p for step in (1e-9, -1e-9))
    assert outside <= 0.05 < inside


def test_too_few_donors_have_no_limits() -> None:
    assert (estimate_shift([1.0, 2.0], [3.0]).low, estimate_shift([1.0, 2.0], [3.0]).attained) == (-np.inf, 1.0)
    assert invert_rank_sum([1.0, 2.0], [3.0])[1:] == (-2.0, -1.0)


def test_wrong_calls() -> None:
    with pytest.raises(ValueError, match="finite"):
        compare_rank_sum([], [1.0])
    with pytest.raises(ValueError, match="finite"):
        estimate_shift([np.nan], [1.0])
