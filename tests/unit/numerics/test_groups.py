import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from exvivo.numerics import groups
from exvivo.numerics.groups import compare_friedman, compare_kruskal, trend_between, trend_within

A, B, C = [2.9, 3.0, 2.5], [3.8, 2.7, 3.0], [2.8, 3.4]
WITHIN = np.array([[5.4, 5.5, 5.55], [5.85, 5.7, 5.7], [5.2, 5.6, 5.5], [5.5, 5.5, 5.4]])


def _splits() -> list[list[NDArray[np.float64]]]:
    pooled = np.array([*A, *B, *C])
    found = []
    for first in itertools.combinations(range(8), 3):
        rest = [i for i in range(8) if i not in first]
        for second in itertools.combinations(rest, 3):
            third = [i for i in rest if i not in second]
            found.append([pooled[list(taken)] for taken in (first, second, third)])
    return found


def _precedence(parts: list[NDArray[np.float64]]) -> float:
    return sum(float((np.sign(y[None, :] - x[:, None]) + 1).sum()) / 2 for x, y in itertools.combinations(parts, 2))


def test_kruskal_equals_scipy_and_its_enumeration() -> None:
    ours = compare_kruskal([A, B, C])
    expected = stats.kruskal(A, B, C)
    assert (ours.statistic, ours.p) == pytest.approx((expected.statistic, expected.pvalue))
    values = np.array([stats.kruskal(*parts).statistic for parts in _splits()])
    assert ours.p_exact == pytest.approx((values >= expected.statistic - 1e-9).mean())
    assert ours.error == 0


def test_jonckheere_equals_its_enumeration() -> None:
    ours = trend_between([A, B, C])
    values = np.array([_precedence(parts) for parts in _splits()])
    observed = _precedence([np.array(part) for part in (A, B, C)])
    assert ours.statistic == observed
    assert ours.p_exact_rising == pytest.approx((values >= observed).mean())
    assert ours.p_exact_falling == pytest.approx((values <= observed).mean())
    assert (ours.mean, ours.sd) == pytest.approx((values.mean(), values.std()))


def test_friedman_and_page_equal_their_enumeration() -> None:
    orders = [list(itertools.permutations(row)) for row in stats.rankdata(WITHIN, axis=1)]
    arranged = np.array(list(itertools.product(*orders)))
    sums = arranged.sum(axis=1)
    observed = stats.rankdata(WITHIN, axis=1).sum(axis=0)
    friedman, page = compare_friedman(WITHIN), trend_within(WITHIN)
    expected = stats.friedmanchisquare(*WITHIN.T)
    assert (friedman.statistic, friedman.p) == pytest.approx((expected.statistic, expected.pvalue))
    spread = ((sums - sums.mean()) ** 2).sum(axis=1)
    assert friedman.p_exact == pytest.approx((spread >= ((observed - sums.mean()) ** 2).sum() - 1e-9).mean())
    trends = sums @ [1, 2, 3]
    assert page.statistic == observed @ [1, 2, 3]
    assert page.p_exact_rising == pytest.approx((trends >= page.statistic).mean())
    assert (page.mean, page.sd) == pytest.approx((trends.mean(), trends.std()))


def test_page_equals_scipy_without_ties() -> None:
    rows = np.array([[1.0, 2.0, 3.0, 4.0], [2.0, 1.0, 4.0, 3.0], [1.5, 2.5, 2.0, 9.0]])
    expected = stats.page_trend_test(rows, method="exact")
    ours = trend_within(rows)
    assert (ours.statistic, ours.p_exact_rising) == pytest.approx((expected.statistic, expected.pvalue))


def test_many_arrangements_are_drawn_and_tell_their_error(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = compare_kruskal([A, B, C]), compare_friedman(WITHIN)
    monkeypatch.setattr(groups, "MOST_STATES", 1)
    with pytest.raises(ValueError, match="generator"):
        compare_kruskal([A, B, C])
    drawn = (
        compare_kruskal([A, B, C], rng=np.random.default_rng(1)),
        compare_friedman(WITHIN, rng=np.random.default_rng(1)),
    )
    for exact, approximate in zip(counted, drawn, strict=True):
        assert approximate.error > 0
        assert approximate.p_exact == pytest.approx(exact.p_exact, abs=4 * approximate.error)


def test_groups_that_do_not_differ() -> None:
    assert compare_kruskal([[1.0, 1.0], [1.0]]).p_exact == 1.0
    assert trend_between([[1.0, 1.0], [1.0]]).z == 0.0
    assert compare_friedman([[1.0, 1.0], [2.0, 2.0]]).statistic == 0.0


def test_wrong_calls() -> None:
    with pytest.raises(ValueError, match="two groups"):
        compare_kruskal([[1.0, 2.0]])
    with pytest.raises(ValueError, match="n_donors"):
        compare_friedman([[1.0], [2.0]])
    with pytest.raises(ValueError, match="too many orders"):
        trend_within(np.arange(16.0).reshape(2, 8))
