import numpy as np
import pytest
from scipy import stats

from exvivo.numerics.nondetects import (
    compare_groups,
    fit_lognormal,
    summarise_kaplan_meier,
    summarise_lognormal,
    summarise_order_statistics,
)

VALUES = np.array([4.0, 2.0, 9.0, 3.0, 7.0, 12.0, 5.0])
NONE = np.zeros(7, dtype=bool)


def test_without_limits_all_are_the_plain_summaries() -> None:
    ln = np.log(VALUES)
    assert summarise_kaplan_meier(VALUES, NONE).mean == pytest.approx(VALUES.mean())
    assert summarise_kaplan_meier(VALUES, NONE).median == 5.0
    ros = summarise_order_statistics(VALUES, NONE)
    assert (ros.mean, ros.sd, ros.median) == pytest.approx((VALUES.mean(), VALUES.std(ddof=1), 5.0))
    assert summarise_lognormal(VALUES, NONE).median == pytest.approx(np.exp(ln.mean()))
    assert summarise_lognormal(VALUES, NONE).mean == pytest.approx(np.exp(ln.mean() + ln.var() / 2))


def test_kaplan_meier_by_hand() -> None:
    # < 4 may be 2 or 3 or less: of what lies below 4, two values and the limit share 3 / 7 of the mass
    below = VALUES == 4.0
    summary = summarise_kaplan_meier(VALUES, below)
    assert summary.mean == pytest.approx((12 + 9 + 7 + 5) / 7 + 3 / 7 * (3 + 2) / 2)
    assert summary.median == 5.0


def test_positions_by_hand() -> None:
    # one limit at 4: four of seven values above; positions 3/7 + 4/7 r/5 above it and 3/7 r/4 for the three limits
    values, below = np.array([4.0, 4.0, 4.0, 5.0, 7.0, 9.0, 12.0]), np.arange(7) < 3
    line = stats.linregress(stats.norm.ppf(3 / 7 + 4 / 7 * np.arange(1, 5) / 5), np.log(values[3:]))
    hidden = np.exp(line.intercept + line.slope * stats.norm.ppf(3 / 7 * np.arange(1, 4) / 4))
    assert summarise_order_statistics(values, below).mean == pytest.approx((hidden.sum() + 33) / 7)


def test_a_limit_above_everything_detected_says_nothing_to_order_statistics() -> None:
    more = np.append(VALUES, 50.0)
    assert summarise_order_statistics(more, np.append(NONE, True)) == summarise_order_statistics(VALUES, NONE)


def test_group_test_by_hand() -> None:
    # with one value in each group the weighted test has a closed form: 1 event of 2 at risk, expected 1/2, variance 1/4
    assert compare_groups([1.0, 2.0], [False, False], ["a", "b"]).chi_square == pytest.approx(1.0)
    same = compare_groups(np.tile(VALUES, 2), np.tile(NONE, 2), np.repeat(["a", "b"], 7))
    assert same.chi_square == pytest.approx(0.0, abs=1e-12)
    assert same.p == pytest.approx(1.0)


def test_regression_on_groups_moves_with_their_ratio() -> None:
    fit = fit_lognormal(np.concatenate([VALUES, 2 * VALUES]), np.tile(VALUES < 3, 2), np.repeat([0.0, 1.0], 7))
    assert fit.coefficients[1] == pytest.approx(np.log(2))


@pytest.mark.parametrize(
    ("values", "below", "words"),
    [([1.0, 2.0], [True], "same shape"), ([0.0, 2.0], [False, False], "positive"), ([1.0, 2.0], [True, True], "no value is detected")],
)
def test_what_cannot_be_summarised_is_refused(values: list[float], below: list[bool], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        summarise_kaplan_meier(values, below)


def test_one_detected_value_makes_no_line() -> None:
    with pytest.raises(ValueError, match="two detected"):
        summarise_order_statistics([1.0, 2.0], [True, False])


def test_two_groups_are_needed() -> None:
    with pytest.raises(ValueError, match="two groups"):
        compare_groups(VALUES, NONE, ["a"] * 7)
