"""Laws of counted distributions: swapped arms, monotone scales, order of donors, agreement of two ways to count."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import stats

from exvivo.numerics.bootstrap import bootstrap_mean
from exvivo.numerics.correlation import correlate_kendall, correlate_spearman
from exvivo.numerics.groups import compare_friedman, compare_kruskal, trend_between, trend_within
from exvivo.numerics.permutation import adjust_max_t, compare_two_samples
from exvivo.numerics.power import detectable_effect, power_of_mean
from exvivo.numerics.ranks import Zeros, compare_signed_rank
from exvivo.numerics.ranksum import compare_rank_sum, estimate_shift

Array = NDArray[np.float64]
COARSE = st.integers(-6, 6).map(float)


def values(least: int, most: int) -> st.SearchStrategy[Array]:
    return st.integers(least, most).flatmap(lambda n: arrays(np.float64, n, elements=COARSE))


@given(values(1, 9), st.sampled_from(Zeros))
def test_signed_rank_is_full_enumeration(d: Array, zeros: Zeros) -> None:
    kept = d if zeros is Zeros.PRATT else d[d != 0]
    ranks = stats.rankdata(np.abs(kept))[kept != 0]
    sums = np.array([np.dot(signs, ranks) for signs in itertools.product([0, 1], repeat=ranks.size)])
    observed = float(ranks[kept[kept != 0] > 0].sum())
    np.testing.assert_allclose(
        compare_signed_rank(d, zeros=zeros).p, min(1.0, 2 * min((sums >= observed).mean(), (sums <= observed).mean()))
    )


@given(values(1, 5), values(1, 5))
def test_rank_sum_is_full_enumeration(a: Array, b: Array) -> None:
    ranks = stats.rankdata(np.concatenate([a, b]))
    sums = np.array([ranks[list(taken)].sum() for taken in itertools.combinations(range(ranks.size), a.size)])
    observed, centre = ranks[: a.size].sum(), a.size * (ranks.size + 1) / 2
    np.testing.assert_allclose(compare_rank_sum(a, b).p, (np.abs(sums - centre) >= abs(observed - centre)).mean())


@given(values(1, 7), values(1, 7))
def test_swapped_samples_mirror(a: Array, b: Array) -> None:
    there, back = compare_rank_sum(a, b), compare_rank_sum(b, a)
    np.testing.assert_allclose([there.p, there.p_less, there.superiority], [back.p, back.p_greater, 1 - back.superiority])
    np.testing.assert_allclose(compare_two_samples(a, b)[0], compare_two_samples(b, a)[0])
    shift, reverse = estimate_shift(a, b), estimate_shift(b, a)
    np.testing.assert_allclose([shift.estimate, shift.low], [-reverse.estimate, -reverse.high])


@given(values(2, 7), values(2, 7))
def test_monotone_scales_change_no_rank_test(a: Array, b: Array) -> None:
    assert compare_rank_sum(np.exp(a), np.exp(b)).p == compare_rank_sum(a, b).p
    groups = [a, b, np.array([0.0, 1.0])]
    raised = [np.exp(group) for group in groups]
    assert trend_between(groups) == trend_between(raised)
    assert compare_kruskal(groups) == compare_kruskal(raised)


@given(values(2, 7), values(2, 7), st.floats(-3, 3))
def test_shift_follows_its_sample(a: Array, b: Array, step: float) -> None:
    plain, moved = estimate_shift(a, b), estimate_shift(a + step, b)
    np.testing.assert_allclose([moved.estimate, moved.low, moved.high], np.array([plain.estimate, plain.low, plain.high]) + step, atol=1e-9)


@given(values(1, 5), values(1, 5))
def test_two_groups_by_kruskal_and_by_rank_sum_agree(a: Array, b: Array) -> None:
    np.testing.assert_allclose(compare_kruskal([a, b]).p_exact, compare_rank_sum(a, b).p)
    np.testing.assert_allclose(trend_between([b, a]).p_exact_rising, compare_rank_sum(a, b).p_greater)


@given(st.integers(1, 4).flatmap(lambda n: arrays(np.float64, (n, 3), elements=COARSE)))
def test_within_donors_shift_and_reversal(rows: Array) -> None:
    moved = rows + np.arange(len(rows))[:, None] * 10.0
    assert compare_friedman(moved) == compare_friedman(rows)
    there, back = trend_within(rows), trend_within(rows[:, ::-1])
    np.testing.assert_allclose([there.p_exact_rising, there.p_rising], [back.p_exact_falling, 1 - back.p_rising])


@given(st.permutations(range(7)))
def test_correlations_turn_with_the_sign_and_match_scipy(order: list[int]) -> None:
    x, y = np.arange(7.0), np.array(order, dtype=np.float64)
    for correlate in (correlate_spearman, correlate_kendall):
        there, back = correlate(x, y), correlate(x, -y)
        np.testing.assert_allclose([there.estimate, there.p], [-back.estimate, back.p], atol=1e-12)
    np.testing.assert_allclose(correlate_kendall(x, y).p, stats.kendalltau(x, y, method="exact").pvalue)


@given(st.integers(3, 8), st.integers(1, 5), st.integers(0, 1000))
def test_step_down_lies_between_raw_and_single_step(n: int, m: int, seed: int) -> None:
    adjusted = adjust_max_t(np.round(np.random.default_rng(seed).normal(0.3, 1, (n, m)), 1))
    assert (adjusted.p <= adjusted.p_step_down + 1e-12).all()
    assert (adjusted.p_step_down <= adjusted.p_single_step + 1e-12).all()


@given(st.integers(3, 12), st.integers(0, 1000), st.floats(-5, 5), st.floats(0.1, 10))
def test_bootstrap_limits_follow_shift_and_scale(n: int, seed: int, shift: float, scale: float) -> None:
    d = np.random.default_rng(seed).normal(size=n)
    plain, moved = bootstrap_mean(d), bootstrap_mean(d * scale + shift)
    for kind in ("percentile", "basic", "bca", "abc"):
        np.testing.assert_allclose(getattr(moved, kind), np.array(getattr(plain, kind)) * scale + shift, atol=2e-3 * scale)


@given(st.integers(3, 40), st.floats(0.05, 1.5), st.floats(0.1, 2))
def test_power_grows_with_donors_and_effect(n: int, effect: float, sd: float) -> None:
    power = power_of_mean(n, effect, sd)
    assert 0.05 - 1e-9 <= power <= power_of_mean(n + 1, effect, sd) + 1e-9
    assert power <= power_of_mean(n, effect * 1.1, sd) + 1e-9
    np.testing.assert_allclose(detectable_effect(n, 0.8, 2 * sd), 2 * detectable_effect(n, 0.8, sd))
