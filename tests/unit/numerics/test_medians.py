"""Medians, their limits and their differences against other implementations and against samples whose truth is known."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from exvivo.numerics import medians

FINITE = st.floats(-1e6, 1e6)


@given(st.lists(FINITE, min_size=2, max_size=40))
def test_median_is_the_median(values: list[float]) -> None:
    found = medians.measure_median(np.array(values))
    assert found.value == pytest.approx(float(np.median(values)))
    assert found.se >= 0
    assert found.low <= found.value <= found.high


@given(st.lists(FINITE, min_size=6, max_size=60))
def test_limits_are_those_of_the_sign_test(values: list[float]) -> None:
    """scipy's exact binomial interval of the median by quantile_test."""
    found = medians.measure_median(np.array(values))
    tested: Any = stats.quantile_test(values, p=0.5)
    interval = tested.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((float(interval.low), float(interval.high)), rel=1e-12)


@pytest.mark.parametrize("n", [2, 5])
def test_few_values_leave_the_median_open(n: int) -> None:
    found = medians.measure_median(np.arange(float(n)))
    assert (found.low, found.high) == (-math.inf, math.inf)


@pytest.mark.parametrize("n", [21, 400, 5000])
def test_error_of_a_median_covers_what_samples_do(n: int) -> None:
    """Mean of the estimated error against the spread of 400 medians of a lognormal sample."""
    rng = np.random.default_rng(n)
    found = [medians.measure_median(np.exp(rng.normal(size=n))) for _ in range(400)]
    assert np.mean([one.se for one in found]) == pytest.approx(np.std([one.value for one in found]), rel=0.15)


def test_spread_of_a_normal_sample_is_its_sd() -> None:
    assert medians.measure_median(np.random.default_rng(1).normal(5, 3, 200_000)).spread == pytest.approx(3, rel=0.01)


@pytest.mark.parametrize(("n", "m"), [(20, 20), (200, 60), (2000, 500)])
@pytest.mark.parametrize("skew", [0.0, 0.5, 1.0])
def test_limits_of_a_difference_cover_it(n: int, m: int, skew: float) -> None:
    """1,000 pairs of samples, the stained ones shifted and twice as wide; the nominal 95 % less three Monte-Carlo standard errors."""
    rng = np.random.default_rng([n, int(10 * skew)])
    hits = 0
    for _ in range(1000):
        stained, control = (np.exp(skew * z) if skew else z for z in (rng.standard_normal(n), rng.standard_normal(m)))
        above, below = medians.measure_median(4 + 2 * stained), medians.measure_median(control)
        _, low, high = medians.difference_limits(above, below)
        hits += low <= 4 + (1 if skew else 0) <= high
    assert 0.95 - 0.021 <= hits / 1000 <= 0.985


def test_rows_are_measured_as_samples_are() -> None:
    values = np.random.default_rng(2).lognormal(size=(7, 150))
    levels, errors = medians.medians_by_row(values)
    single = [medians.measure_median(row) for row in values]
    np.testing.assert_allclose(levels, [one.value for one in single])
    np.testing.assert_allclose(errors, [one.se for one in single])
