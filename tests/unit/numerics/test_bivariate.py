import numpy as np
import pytest
from scipy import stats

from exvivo.numerics.bivariate import (
    FAR,
    log_interval_probability,
    rectangle_probability,
    score_between,
    score_unknown_pairs,
)

CORRELATIONS = [-0.999, -0.4, 0.0, 0.6, 0.99]
STEP = 1e-6


@pytest.mark.parametrize("rho", CORRELATIONS)
def test_rectangles_equal_scipy(rho: float) -> None:
    rng = np.random.default_rng(7)
    a, b = np.sort(rng.normal(size=(2, 8, 2)), axis=2)
    normal = stats.multivariate_normal([0, 0], [[1, rho], [rho, 1]])
    expected = [normal.cdf([x[1], y[1]], lower_limit=[x[0], y[0]]) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(rectangle_probability(a, b, np.full(len(a), rho)), expected, atol=1e-12)


def test_quadrants_without_limits() -> None:
    whole = np.array([[-FAR, FAR]])
    below = np.array([[-FAR, 0.0]])
    assert rectangle_probability(whole, whole, np.array([0.9]))[0] == pytest.approx(1.0)
    assert rectangle_probability(below, below, np.array([0.5]))[0] == pytest.approx(1 / 3)  # 1/4 + asin(1/2) / 2 pi
    assert rectangle_probability(below, -below[:, ::-1], np.array([0.0]))[0] == pytest.approx(0.25)


def test_interval_probability_keeps_its_digits_in_the_tails() -> None:
    low, high = np.array([-40.0, 9.0, -1.0, -FAR]), np.array([-38.0, 10.0, 1.0, FAR])
    got = log_interval_probability(low, high)
    assert got[0] == pytest.approx(stats.norm.logcdf(-38))
    assert got[1] == pytest.approx(stats.norm.logsf(9) + np.log1p(-stats.norm.sf(10) / stats.norm.sf(9)))
    assert got[2] == pytest.approx(np.log(0.682689492137086))
    assert got[3] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("value", CORRELATIONS[1:])
def test_derivatives_equal_differences(value: float) -> None:
    a, b, rho = np.array([[-0.7, 0.4], [-FAR, -0.2]]), np.array([[-1.1, -0.3], [0.3, FAR]]), np.full(2, value)
    exact = score_unknown_pairs(a, b, rho)
    for side in (0, 1):
        step = np.zeros_like(a)
        step[:, side] = STEP
        by_a = (score_unknown_pairs(a + step, b, rho).log_likelihood - score_unknown_pairs(a - step, b, rho).log_likelihood) / (2 * STEP)
        np.testing.assert_allclose(exact.by_first[:, side], by_a, atol=1e-6, rtol=1e-6)
    by_rho = (score_unknown_pairs(a, b, rho + STEP).log_likelihood - score_unknown_pairs(a, b, rho - STEP).log_likelihood) / (2 * STEP)
    np.testing.assert_allclose(exact.by_correlation, by_rho, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("value", CORRELATIONS[1:])
def test_a_member_given_the_other(value: float) -> None:
    a, b, rho = np.array([0.3, -1.2]), np.array([[-0.5, 0.6], [-FAR, -0.8]]), np.full(2, value)
    given = score_between(a, b, rho)
    other = stats.norm(value * a, np.sqrt(1 - value**2))
    np.testing.assert_allclose(given.log_likelihood, np.log(other.cdf(b[:, 1]) - other.cdf(b[:, 0])), rtol=1e-9)
    by_a = (score_between(a + STEP, b, rho).log_likelihood - score_between(a - STEP, b, rho).log_likelihood) / (2 * STEP)
    np.testing.assert_allclose(given.by_first[:, 0], by_a, rtol=1e-5, atol=1e-6)
    by_rho = (score_between(a, b, rho + STEP).log_likelihood - score_between(a, b, rho - STEP).log_likelihood) / (2 * STEP)
    np.testing.assert_allclose(given.by_correlation, by_rho, rtol=1e-5, atol=1e-5)
