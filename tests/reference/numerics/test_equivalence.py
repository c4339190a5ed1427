"""Two one-sided tests against statsmodels; trends against its GLS."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW, ttost_ind

from exvivo.numerics.equivalence import Equivalence, compare, difference_of_means, trend

BOUNDS = (0.8, 1.25)


@pytest.mark.parametrize(("shift", "sd", "outcome"), [(0.02, 0.05, "shown"), (0.1, 0.3, "not-shown"), (0.6, 0.1, "differs")])
def test_two_one_sided_tests_are_those_of_statsmodels(shift: float, sd: float, outcome: str) -> None:
    rng = np.random.default_rng(5)
    first, second = rng.normal(2.0, sd, 7), rng.normal(2.0 + shift, 1.5 * sd, 9)
    found = compare(difference_of_means(first, second), BOUNDS)
    p, _, _ = ttost_ind(second, first, math.log(BOUNDS[0]), math.log(BOUNDS[1]), usevar="unequal")
    low, high = CompareMeans(DescrStatsW(second), DescrStatsW(first)).tconfint_diff(alpha=0.10, usevar="unequal")
    assert found.p == pytest.approx(p, rel=1e-9)
    assert [found.low, found.high] == pytest.approx([math.exp(low), math.exp(high)], rel=1e-9)
    assert found.outcome == outcome
    assert (found.outcome is Equivalence.SHOWN) == (found.p < 0.05)


def test_trends_are_those_of_generalised_least_squares() -> None:
    rng = np.random.default_rng(6)
    x = np.log([1.0, 2.0, 4.0, 10.0, 50.0])
    root = rng.normal(size=(5, 5)) * 0.05
    covariance = np.diag([0.01, 0.004, 0.003, 0.006, 0.02]) + root @ root.T
    y = 1.0 + 0.1 * x + rng.normal(size=5) * 0.1
    fit = sm.GLS(y, sm.add_constant(x), sigma=covariance).fit(cov_type="fixed scale")
    slope, se = trend(x, y, covariance)
    assert slope == pytest.approx(fit.params[1], rel=1e-9)
    assert se == pytest.approx(fit.bse[1], rel=1e-9)


def test_one_value_is_no_group() -> None:
    with pytest.raises(ValueError, match="at least two"):
        difference_of_means([1.0], [1.0, 2.0])
