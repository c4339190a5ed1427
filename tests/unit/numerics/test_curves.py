"""The curve, its limits and what a fit says about itself."""

import numpy as np
import pytest

from exvivo.numerics.curves import Weighting, fit_curves
from exvivo.numerics.least_squares import Fixed, Shape, Standards
from exvivo.numerics.logistic import inverse, jacobian, slope, value
from exvivo.numerics.pooling import estimate_variance, fit_pooled
from exvivo.numerics.variance import Array, VarianceFunction

TRUTH = np.array([0.07, 1.15, np.log(350.0), 3.2])
LEVELS = np.concatenate([np.log(1000 * 0.5 ** np.arange(7)).repeat(2), [-np.inf, -np.inf]])


def make_plate(seed: int, truth: Array = TRUTH, levels: Array = LEVELS, kappa: float = 0.05) -> Standards:
    mean = value(levels, truth)
    noise = np.random.default_rng(seed).standard_normal(mean.size)
    return Standards(levels, mean + np.sqrt((kappa * mean) ** 2 + 0.008**2) * noise)


@pytest.mark.parametrize("parameters", [[0.1, 1.3, 2.0, 3.0], [3.0, 0.8, -1.0, 0.1]])
def test_the_zero_standard_and_infinity_are_exact(parameters: list[float]) -> None:
    a, _, _, d = parameters
    assert value([-np.inf, np.inf], parameters).tolist() == [a, d]
    assert jacobian(-np.inf, parameters).tolist() == [1.0, 0.0, 0.0, 0.0]
    assert jacobian(np.inf, parameters).tolist() == [0.0, 0.0, 0.0, 1.0]
    assert slope([-np.inf, np.inf], parameters).tolist() == [0.0, 0.0]
    assert np.all(np.isfinite(value([-1e300, 1e300], parameters)))


@pytest.mark.parametrize("parameters", [[0.1, 1.3, 2.0, 3.0], [3.0, 0.8, -1.0, 0.1]])
def test_derivatives_agree_with_differences(parameters: list[float]) -> None:
    x, step = np.linspace(-4.0, 6.0, 21), 1e-6
    for column in range(4):
        shift = np.eye(4)[column] * step
        difference = (value(x, np.array(parameters) + shift) - value(x, np.array(parameters) - shift)) / (2 * step)
        np.testing.assert_allclose(jacobian(x, parameters)[:, column], difference, atol=1e-8)
    np.testing.assert_allclose(slope(x, parameters), (value(x + step, parameters) - value(x - step, parameters)) / (2 * step), atol=1e-8)


def test_signals_beyond_the_asymptotes_invert_to_infinity_on_the_right_side() -> None:
    assert inverse([0.0, 0.1, 3.0, 9.0], [0.1, 1.0, 0.0, 3.0]).tolist() == [-np.inf, -np.inf, np.inf, np.inf]
    assert inverse([9.0, 3.0, 0.1, 0.0], [3.0, 1.0, 0.0, 0.1]).tolist() == [-np.inf, -np.inf, np.inf, np.inf]
    assert not np.any(np.isnan(inverse([0.0, 1.0, 2.0], [1.0, 1.0, 0.0, 1.0])))


def test_plates_fitted_together_equal_plates_fitted_alone_whatever_their_length() -> None:
    plates = [make_plate(1), make_plate(2, levels=LEVELS[:-2]), make_plate(3, levels=np.tile(LEVELS, 2))]
    together = fit_curves(plates, Weighting.NONE)
    for plate, curve in zip(plates, together, strict=True):
        np.testing.assert_allclose(curve.parameters, fit_curves([plate], Weighting.NONE)[0].parameters, rtol=1e-9)
        assert curve.df == plate.signal.size - 4


def test_noise_free_standards_give_back_the_curve() -> None:
    for truth in (TRUTH, np.array([3.2, 0.9, 5.0, 0.05])):
        curve = fit_curves([Standards(LEVELS, value(LEVELS, truth))], Weighting.NONE)[0]
        np.testing.assert_allclose(curve.parameters, truth, rtol=1e-8)
        assert curve.converged
        assert curve.asymptote_determined


def test_an_incomplete_curve_says_that_its_asymptote_is_an_extrapolation() -> None:
    low = LEVELS[np.exp(LEVELS) < 130]
    curve = fit_curves([make_plate(5, levels=low)], Weighting.FITTED, VarianceFunction(0.008, 0.05, np.inf))[0]
    assert not curve.asymptote_determined
    assert np.all(np.isfinite(curve.parameters))
    assert np.all(np.isfinite(curve.covariance))


def test_a_flat_plate_is_fitted_and_says_that_it_determines_nothing() -> None:
    curve = fit_curves([Standards(LEVELS, np.full(LEVELS.size, 0.08))], Weighting.NONE)[0]
    assert np.all(np.isfinite(curve.parameters))
    assert not curve.asymptote_determined


def test_fixed_parameters_stay_and_have_no_error() -> None:
    curve = fit_curves([make_plate(8)], Weighting.NONE, shape=Shape(fixed=Fixed(a=0.07, d=3.2)))[0]
    assert curve.parameters[0] == 0.07
    assert curve.parameters[3] == 3.2
    assert np.count_nonzero(np.diag(curve.covariance)) == 2
    assert curve.df == 14


def test_pooling_recovers_the_two_variance_terms() -> None:
    """Mean over 12 studies of 20 plates; the bands are three Monte Carlo standard errors."""
    found = np.array([[v.sigma0, v.kappa] for v in (fit_pooled([make_plate(100 * s + i) for i in range(20)]).variance for s in range(12))])
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    assert np.all(np.abs(found.mean(axis=0) - [0.008, 0.05]) < 3 * error)
    assert np.all(error < [0.0006, 0.0015])


def test_pooled_degrees_of_freedom_add_up_and_a_vendor_setting_keeps_each_plates_own_scatter() -> None:
    plates = [make_plate(i) for i in range(3)]
    assert fit_pooled(plates).variance.df == 36
    vendor = fit_pooled(plates, Weighting.NONE)
    assert [curve.variance.df for curve in vendor.curves] == [12, 12, 12]
    for curve in vendor.curves:
        assert curve.variance.sigma0 == pytest.approx(np.sqrt(curve.rss / 12), rel=1e-6)
    assert estimate_variance(plates, vendor.curves).df == 36


def test_variance_terms_have_floors_when_replicates_agree_exactly() -> None:
    plates = [Standards(LEVELS, np.round(value(LEVELS, TRUTH), 12))] * 2
    variance = fit_pooled(plates).variance
    assert 0 < variance.sigma0 < 0.001
    assert 0 < variance.kappa < 0.001


def test_wrong_calls_are_refused() -> None:
    plate = make_plate(1)
    with pytest.raises(ValueError, match="variance function belongs"):
        fit_curves([plate], Weighting.FITTED)
    with pytest.raises(ValueError, match="variance function belongs"):
        fit_curves([plate], Weighting.NONE, VarianceFunction(0.1, 0.1, 1))
    with pytest.raises(ValueError, match="more standard wells"):
        fit_curves([Standards(LEVELS[:4], plate.signal[:4])], Weighting.NONE)
    with pytest.raises(ValueError, match="must be finite"):
        Standards(LEVELS, np.full(LEVELS.size, np.nan))
    with pytest.raises(ValueError, match="zero standard"):
        Standards(np.array([np.inf]), np.array([1.0]))
    with pytest.raises(ValueError, match="one length"):
        Standards(LEVELS, plate.signal[:3])
    with pytest.raises(ValueError, match="at least one plate"):
        fit_pooled([])
    assert fit_curves([], Weighting.NONE) == ()


def test_a_plate_with_exchanged_standards_keeps_its_scatter_to_itself() -> None:
    plates = [make_plate(i) for i in range(8)]
    clean = fit_pooled(plates).variance
    order = np.arange(LEVELS.size)
    order[[2, 3, 8, 9]] = order[[8, 9, 2, 3]]
    odd = Standards(LEVELS, plates[3].signal[order])
    fit = fit_pooled([*plates[:3], odd, *plates[4:]])
    assert fit.pooled == tuple(i != 3 for i in range(8))
    assert fit.variance.kappa < 1.3 * clean.kappa
    assert fit.curves[3].variance.kappa > 4 * fit.variance.kappa
    assert fit.curves[3].variance.df == 12
    assert 0.8 < fit.curves[0].variance.kappa / fit.variance.kappa < 1.25


def test_the_loading_is_a_triangular_root_without_arbitrary_signs() -> None:
    loading = fit_curves([make_plate(1)], Weighting.NONE)[0].loading
    np.testing.assert_allclose(loading, np.linalg.cholesky(loading @ loading.T), rtol=1e-6)
