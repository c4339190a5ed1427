"""Correlated random intercepts and slopes."""

import numpy as np
import pytest
from numpy.typing import NDArray
from statsmodels.regression.mixed_linear_model import MixedLM

from exvivo.numerics import reml
from exvivo.numerics.mixed import Correlated, DegreesOfFreedom, MixedFit, fit_mixed, indicate

Array = NDArray[np.float64]


def lines(n: int, *, slope_sd: float, correlation: float = 0.0, seed: int = 3) -> tuple[Array, Array, list[str]]:
    """Response, times and labels of n groups measured at five times."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(n), 5)
    time = np.tile([0.0, 1.0, 2.0, 4.0, 8.0], n)
    root = np.linalg.cholesky([[1.0, correlation], [correlation, 1.0]])
    random = rng.normal(size=(n, 2)) @ root.T
    y = 10 + random[group, 0] + (0.5 + slope_sd * random[group, 1]) * time + 0.6 * rng.normal(size=5 * n)
    return y, time, [f"g{g:02}" for g in group]


def fit_lines(y: Array, time: Array, labels: list[str]) -> MixedFit:
    Z = indicate(labels)
    return fit_mixed(y, np.column_stack([np.ones_like(time), time]), [Correlated((Z, Z * time[:, None]))])


def test_components_are_those_of_statsmodels() -> None:
    y, time, labels = lines(14, slope_sd=0.3, correlation=0.4)
    fit = fit_lines(y, time, labels)
    X = np.column_stack([np.ones_like(time), time])
    other = MixedLM(y, X, groups=labels, exog_re=X).fit(reml=True, method=["bfgs", "powell", "bfgs"], gtol=1e-9)
    expected = other.cov_re
    np.testing.assert_allclose(fit.variances, [expected[0, 0], expected[1, 1], expected[0, 1], other.scale], rtol=2e-4)
    np.testing.assert_allclose(fit.coefficients, other.fe_params, rtol=1e-6)
    np.testing.assert_allclose(np.sqrt(np.diag(fit.covariance)), other.bse_fe, rtol=1e-4)
    assert fit.criterion <= -2 * other.llf + 1e-8
    effects = np.array([own for _, own in sorted(other.random_effects.items())])
    np.testing.assert_allclose(np.column_stack(fit.random), effects, atol=2e-4)
    assert not fit.singular


def test_balanced_slopes_have_the_degrees_of_freedom_of_groups() -> None:
    """Complete groups with the same times: the mean slope is the mean of the groups' own slopes."""
    y, time, labels = lines(12, slope_sd=0.4)
    fit = fit_lines(y, time, labels)
    own = np.array([np.polyfit(time[:5], block, 1)[0] for block in y.reshape(12, 5)])
    for method in DegreesOfFreedom:
        found = fit.contrast([0, 1], method=method)
        assert found.df == pytest.approx(11, rel=1e-6)
        assert found.estimate == pytest.approx(own.mean(), rel=1e-9)
        assert found.se == pytest.approx(own.std(ddof=1) / np.sqrt(12), rel=1e-6)


@pytest.mark.parametrize(("slope_sd", "correlation"), [(0.0, 0.0), (0.25, 0.9999)])
def test_boundary_is_reached_and_told(slope_sd: float, correlation: float) -> None:
    y, time, labels = lines(9, slope_sd=slope_sd, correlation=correlation, seed=8)
    fit = fit_lines(y, time, labels)
    intercept, slope, both, _ = fit.variances
    assert fit.singular
    assert both**2 == pytest.approx(intercept * slope, rel=1e-9, abs=1e-12)
    for method in DegreesOfFreedom:
        assert np.isfinite(fit.contrast([0, 1], method=method).p)


def test_unit_of_the_covariate_does_not_matter() -> None:
    y, time, labels = lines(10, slope_sd=0.2, correlation=-0.3, seed=5)
    fit, scaled = fit_lines(y, time, labels), fit_lines(y, 1000 * time, labels)
    np.testing.assert_allclose(scaled.variances * [1, 1e6, 1e3, 1], fit.variances, rtol=1e-7)
    for method in DegreesOfFreedom:
        ours, theirs = fit.contrast([0, 1], method=method), scaled.contrast([0, 1], method=method)
        assert theirs.df == pytest.approx(ours.df, rel=1e-6)
        assert theirs.p == pytest.approx(ours.p, rel=1e-6)


def test_origin_of_the_covariate_does_not_matter_for_the_slope() -> None:
    y, time, labels = lines(10, slope_sd=0.2, correlation=-0.3, seed=6)
    fit, moved = fit_lines(y, time, labels), fit_lines(y, time - 3, labels)
    assert moved.criterion == pytest.approx(fit.criterion, abs=1e-7)
    assert moved.contrast([0, 1]).p == pytest.approx(fit.contrast([0, 1]).p, rel=1e-5)


def test_three_factors_have_their_components_in_order() -> None:
    rng = np.random.default_rng(2)
    labels = [f"w{k}" for k in np.repeat(np.arange(12), 9)]
    machine = np.tile(np.repeat([0, 1, 2], 3), 12)
    effects = rng.normal(size=(12, 3)) @ np.diag([1.0, 2.0, 3.0])
    y = effects[np.repeat(np.arange(12), 9), machine] + rng.normal(size=machine.size)
    Z = indicate(labels)
    factors = tuple(Z * (machine == k)[:, None] for k in range(3))
    fit = fit_mixed(y, np.eye(3)[machine], [Correlated(factors)])
    means = y.reshape(12, 3, 3).mean(axis=2)
    expected = np.cov(means.T)
    np.testing.assert_allclose(fit.variances[:3] + fit.variances[-1] / 3, np.diag(expected), rtol=1e-5)
    np.testing.assert_allclose(fit.variances[3:6], expected[[0, 0, 1], [1, 2, 2]], rtol=1e-5)


def test_gradient_is_the_slope_of_the_criterion() -> None:
    y, time, labels = lines(6, slope_sd=0.3)
    Z = indicate(labels)
    shape = reml.shape_terms([2, 1])
    Zs = [Z, Z * time[:, None], indicate([str(t) for t in time])]
    contrasts = reml.project(y, np.column_stack([np.ones_like(time), time]), Zs, shape)
    x = np.array([0.9, -0.2, 0.4, 0.3])
    _, gradient = reml.criterion(x, contrasts)
    for k, step in enumerate(1e-5 * np.eye(4)):
        numeric = (reml.criterion(x + step, contrasts)[0] - reml.criterion(x - step, contrasts)[0]) / 2e-5
        assert gradient[k] == pytest.approx(numeric, rel=1e-6)


def test_triangle_of_a_singular_covariance_has_empty_columns() -> None:
    """The first factor without variance: what its column held is carried on, and the covariance stays as it was."""
    shape = reml.shape_terms([3])
    L = np.array([[0.0, 0.0, 0.0], [0.6, 0.0, 0.0], [-0.3, 0.4, 0.0]])
    x = np.array([L[cell] for cell in shape.positions])
    closed = reml._close(x, shape, 0.0)
    np.testing.assert_allclose(shape.relative(closed), shape.relative(x), atol=1e-15)
    assert reml.free_parameters(closed, shape).tolist() == [False, False, True, False, True, True]
