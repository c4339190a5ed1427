import itertools

import numpy as np
import pytest
from scipy import stats

from exvivo.numerics.correlation import correlate_kendall, correlate_pearson, correlate_spearman

X = [44.4, 45.9, 41.9, 53.3, 44.7, 44.1, 50.7]
Y = [2.6, 3.1, 2.5, 5.0, 3.6, 4.0, 2.2]
TIED = [1.0, 1.0, 2.0, 3.0, 3.0, 3.0, 4.0]


@pytest.mark.parametrize("x", [X, TIED])
def test_spearman_equals_enumeration_with_and_without_ties(x: list[float]) -> None:
    a, b = stats.rankdata(x), stats.rankdata(Y)
    products = np.array([np.dot(a, order) for order in itertools.permutations(b)])
    observed = a @ b
    expected = min(1.0, 2 * min((products >= observed - 1e-9).mean(), (products <= observed + 1e-9).mean()))
    assert correlate_spearman(x, Y).p == pytest.approx(expected)
    assert correlate_spearman(x, Y).estimate == pytest.approx(stats.spearmanr(x, Y).statistic)


def test_scipy_spearman_is_not_exact_for_nine_donors() -> None:
    x = [44.4, 45.9, 41.9, 53.3, 44.7, 44.1, 50.7, 45.2, 60.1]  # Hollander and Wolfe 1973, table 8.1
    y = [2.6, 3.1, 2.5, 5.0, 3.6, 4.0, 5.2, 2.8, 3.8]
    ours = correlate_spearman(x, y)
    assert ours.p == ours.p_r == pytest.approx(0.0967978395, rel=1e-8)  # R cor.test
    assert ours.p_large == pytest.approx(stats.spearmanr(x, y).pvalue)
    assert stats.spearmanr(x, y).pvalue < 0.09


def test_edgeworth_is_near_the_exact_value() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=12)
    ours = correlate_spearman(x, x + rng.normal(size=12))
    assert ours.p_r == pytest.approx(ours.p, rel=0.05)
    assert ours.p_r != ours.p


def test_kendall_equals_scipy() -> None:
    exact = stats.kendalltau(X, Y, method="exact")
    ours = correlate_kendall(X, Y)
    assert (ours.estimate, ours.p) == pytest.approx((exact.statistic, exact.pvalue))
    tied = stats.kendalltau(TIED, Y, method="asymptotic")
    ours = correlate_kendall(TIED, Y)
    assert (ours.estimate, ours.p_r) == pytest.approx((tied.statistic, tied.pvalue))
    assert np.isnan(ours.p)


def test_pearson_equals_scipy() -> None:
    expected = stats.pearsonr(X, Y)
    interval = expected.confidence_interval()
    ours = correlate_pearson(X, Y)
    assert (ours.r, ours.p, ours.low, ours.high) == pytest.approx((expected.statistic, expected.pvalue, interval.low, interval.high))


def test_perfect_and_small() -> None:
    perfect = correlate_pearson([1.0, 2.0, 3.0], [2.0, 4.0, 6.0])
    assert (perfect.r, perfect.p) == pytest.approx((1.0, 0.0))
    assert np.isnan(perfect.low)
    assert correlate_spearman([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]).p == pytest.approx(1 / 3)
    assert correlate_kendall([1.0, 2.0], [2.0, 4.0]).p == 1.0


def test_more_donors_than_can_be_matched_have_no_exact_p() -> None:
    x = np.arange(15.0)
    assert np.isnan(correlate_spearman(x, x**2).p)


def test_wrong_calls() -> None:
    with pytest.raises(ValueError, match="same donors"):
        correlate_pearson([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="no correlation"):
        correlate_spearman([1.0, 1.0], [1.0, 2.0])
