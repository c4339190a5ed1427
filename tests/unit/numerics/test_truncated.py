"""Boxes around normal vectors: probability, and the measurements that stand for limits."""

import numpy as np
import pytest
from scipy import stats

from exvivo.numerics.truncated import match_box


@pytest.mark.parametrize("size", [1, 2, 3, 6, 10])
def test_probability_is_that_of_integration(size: int) -> None:
    rng = np.random.default_rng([7, size])
    for _ in range(5):
        A = rng.standard_normal((size, size))
        S = A @ A.T + 0.3 * size * np.eye(size)
        sd = np.sqrt(np.diag(S))
        low = np.where(rng.random(size) < 0.5, -np.inf, rng.normal(-1, 1, size) * sd)
        high = np.where(np.isinf(low), rng.normal(0, 1, size) * sd, np.where(rng.random(size) < 0.5, np.inf, low + sd))
        integrated = stats.multivariate_normal(np.zeros(size), S).cdf(high, lower_limit=low)
        assert match_box(S, np.column_stack([low, high])).log_probability == pytest.approx(np.log(integrated), abs=0.03)


def test_members_that_do_not_know_of_each_other_are_exact() -> None:
    limits = np.array([[-np.inf, -1.0], [0.5, np.inf], [0.2, 0.3], [-40.0, -38.0]])
    sd = np.array([1.0, 2.0, 0.5, 1.0])
    found = match_box(np.diag(sd**2), limits)
    parts = [stats.norm.logcdf(-1.0), stats.norm.logsf(0.25), np.log(stats.norm.cdf(0.6) - stats.norm.cdf(0.4)), stats.norm.logcdf(-38.0)]
    assert found.log_probability == pytest.approx(sum(parts), rel=1e-9)
    posterior = 1 / (1 / sd**2 + found.precision)
    truncated = [stats.truncnorm(a, b) for a, b in limits / sd[:, None]]
    np.testing.assert_allclose(posterior[:3], [t.var() * s**2 for t, s in zip(truncated[:3], sd[:3], strict=True)], rtol=1e-6)
    np.testing.assert_allclose((posterior * found.shift)[:3], [t.mean() * s for t, s in zip(truncated[:3], sd[:3], strict=True)], rtol=1e-6)


def test_a_narrow_box_is_a_measurement() -> None:
    S = np.array([[2.0, 0.8], [0.8, 1.0]])
    at = np.array([0.7, -0.4])
    width = 1e-4
    found = match_box(S, np.column_stack([at - width / 2, at + width / 2]))
    np.testing.assert_allclose(found.shift / found.precision, at, atol=1e-6)
    np.testing.assert_allclose(1 / found.precision, width**2 / 12, rtol=1e-3)
    density = stats.multivariate_normal(np.zeros(2), S).logpdf(at)
    assert found.log_probability == pytest.approx(density + 2 * np.log(width), abs=1e-4)


def test_where_it_begins_does_not_matter() -> None:
    S = np.array([[1.0, 0.9], [0.9, 1.0]])
    near = match_box(S * 1.1, [[-np.inf, -1.0], [-np.inf, -0.5]])
    limits = [[-np.inf, -1.2], [-np.inf, -0.3]]
    cold, warm = match_box(S, limits), match_box(S, limits, start=near)
    assert warm.log_probability == pytest.approx(cold.log_probability, abs=1e-9)
    np.testing.assert_allclose(warm.precision, cold.precision, rtol=1e-5)
