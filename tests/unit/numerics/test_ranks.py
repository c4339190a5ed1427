import itertools

import numpy as np
import pytest
from scipy import stats

from exvivo.numerics.ranks import (
    Zeros,
    approximate_signed_rank,
    bound_median,
    bound_signed_rank,
    bound_signs,
    compare_signed_rank,
    compare_signs,
    estimate_hodges_lehmann,
    invert_signed_rank,
    smallest_p,
    walsh_averages,
)

D = np.array([-0.9, -0.4, -0.75, 0.2, -1.3, -0.6, -0.05, -0.33])


def test_p_equals_scipy_without_ties() -> None:
    assert compare_signed_rank(D).p == pytest.approx(stats.wilcoxon(D, method="exact").pvalue)


@pytest.mark.parametrize("zeros", list(Zeros))
def test_p_equals_enumeration_with_ties_and_zeros(zeros: Zeros) -> None:
    d = np.array([0.0, 0.0, 1.0, 1.0, -2.0, 3.0, 3.0])
    kept = d if zeros is Zeros.PRATT else d[d != 0]
    ranks = stats.rankdata(np.abs(kept))[kept != 0]
    observed = ranks[kept[kept != 0] > 0].sum()
    sums = np.array([np.dot(signs, ranks) for signs in itertools.product([0, 1], repeat=ranks.size)])
    expected = min(1.0, 2 * min((sums >= observed).mean(), (sums <= observed).mean()))
    assert compare_signed_rank(d, zeros=zeros).p == pytest.approx(expected)


def test_ties_in_the_laboratory_are_ties_in_floating_point() -> None:
    exact = compare_signed_rank(np.array([0.12, -0.12, 0.12, 0.3]))
    noisy = compare_signed_rank(np.array([0.12, -(0.42 - 0.3), 1.12 - 1.0, 0.3]))
    assert exact == noisy


def test_approximation_counts_ties_and_zeros() -> None:
    d = np.array([0.0, 0.0, 1.0, 1.0, -2.0, 3.0, 3.0, 5.0])
    ranked, left_out = approximate_signed_rank(d), approximate_signed_rank(d, zeros=Zeros.DROP)
    assert ranked.p == pytest.approx(stats.wilcoxon(d, zero_method="pratt", method="approx").pvalue)
    assert left_out.p == pytest.approx(stats.wilcoxon(d, zero_method="wilcox", method="approx").pvalue)
    assert min(ranked.z, left_out.z) > 0
    corrected = approximate_signed_rank(d, zeros=Zeros.DROP, correct=True)
    assert corrected.p == pytest.approx(stats.wilcoxon(d, zero_method="wilcox", method="approx", correction=True).pvalue)
    assert approximate_signed_rank([0.0, 0.0]).p == 1.0


def test_scipy_exact_forgets_ties() -> None:
    d = np.array([1.0, 1.0, -2.0, 3.0, 3.0, 4.0, -4.0])
    ranks = stats.rankdata(np.abs(d))
    sums = np.array([np.dot(signs, ranks) for signs in itertools.product([0, 1], repeat=d.size)])
    observed = ranks[d > 0].sum()
    enumerated = min(1.0, 2 * min((sums >= observed).mean(), (sums <= observed).mean()))
    assert compare_signed_rank(d).p == pytest.approx(enumerated)
    assert stats.wilcoxon(d, method="exact").pvalue != pytest.approx(enumerated)


def test_differences_that_all_agree_have_no_estimate_by_inversion() -> None:
    assert invert_signed_rank([0.5, 0.5, 0.5]) == (-np.inf, 0.5, 0.5)  # as exactRankTests
    assert estimate_hodges_lehmann([0.5, 0.5, 0.5]).estimate == 0.5


def test_all_zero_differences_say_nothing() -> None:
    assert compare_signed_rank([0.0, 0.0]).p == 1.0
    assert compare_signs([0.0, 0.0]) == 1.0


def test_smallest_p_is_reached_when_all_agree() -> None:
    for n in (3, 6, 10):
        assert compare_signed_rank(-np.arange(1.0, n + 1)).p == smallest_p(n)


def test_too_few_donors_have_no_interval_at_the_level() -> None:
    few = estimate_hodges_lehmann(D[:5])
    assert (few.low, few.high, few.attained) == (-np.inf, np.inf, 1.0)
    six = estimate_hodges_lehmann(D[:6])
    assert six.attained == pytest.approx(1 - 2 / 64)
    assert (six.low, six.high) == (D[:6].min(), D[:6].max())
    assert invert_signed_rank(D[:4])[1:] == (D[:4].min(), D[:4].max())


def test_sign_test() -> None:
    assert compare_signs(D) == pytest.approx(stats.binomtest(1, 8).pvalue)


def test_censored_difference_of_known_sign_bounds_the_rank() -> None:
    low, high = D.copy(), D.copy()
    low[0] = -np.inf  # drug below its limit: the difference is at most -0.9
    bounds = bound_signed_rank(low, high)
    assert bounds.p_best == bounds.p_worst == compare_signed_rank(D).p
    assert bound_signs(low, high).p_worst == compare_signs(D)


def test_difference_of_unknown_sign_opens_a_range() -> None:
    low, high = D.copy(), D.copy()
    low[4], high[4] = -np.inf, 0.5
    bounds = bound_signed_rank(low, high)
    assert bounds.p_best <= compare_signed_rank(D).p < bounds.p_worst
    assert bounds.statistic_low < bounds.statistic_high


def test_pair_censored_on_both_sides_may_be_anything() -> None:
    n = 6
    everything = bound_signed_rank(np.full(n, -np.inf), np.full(n, np.inf))
    assert (everything.p_best, everything.p_worst) == (smallest_p(n), 1.0)


def test_one_sided_bound_of_the_median() -> None:
    low, high = D.copy(), D.copy()
    low[:4] = -np.inf
    bounds = bound_median(low, high)
    assert bounds.low == -np.inf
    assert bounds.high == np.sort(D)[6]
    assert bounds.attained_high == pytest.approx(1 - 9 / 256)
    assert bound_median(low[:3], high[:3]).high == np.inf


def test_wrong_calls() -> None:
    with pytest.raises(ValueError, match="missing"):
        compare_signed_rank([np.nan, 1.0])
    with pytest.raises(ValueError, match="finite"):
        walsh_averages([])
    with pytest.raises(ValueError, match="at or below"):
        bound_median([1.0], [0.0])
