"""The curve, its limits and what a fit says about itself."""

import numpy as np
import pytest

from exvivo.numerics.curves import Weighting, fit_curves
from exvivo.numerics.least_squares import Branch, Family, Fixed, Plates, Shape, Standards
from exvivo.numerics.logistic import A_SIDE, D_SIDE, POWER_LAW, inverse, jacobian, reach, slope, value
from exvivo.numerics.pooling import Model, estimate_variance, fit_pooled
from exvivo.numerics.variance import Array, LinearisedPlates, VarianceFunction, restricted_deviance

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


BENT = [
    [*four, log_g, side] for four in ([0.1, 1.3, 2.0, 3.0], [3.0, 0.8, -1.0, 0.1]) for log_g in (-1.2, 0.7) for side in (A_SIDE, D_SIDE)
]  # fmt: skip


@pytest.mark.parametrize("parameters", BENT)
def test_the_zero_standard_and_infinity_are_exact_with_five_parameters(parameters: list[float]) -> None:
    a, d = parameters[0], parameters[3]
    assert value([-np.inf, np.inf], parameters).tolist() == [a, d]
    assert jacobian(-np.inf, parameters).tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert jacobian(np.inf, parameters).tolist() == [0.0, 0.0, 0.0, 1.0, 0.0]
    assert slope([-np.inf, np.inf], parameters).tolist() == [0.0, 0.0]
    assert inverse([a, d], parameters).tolist() == [-np.inf, np.inf]


def test_the_two_branches_are_the_formulas_they_are_named_after() -> None:
    a, b, c, d, g = 0.1, 1.3, 40.0, 3.0, 0.6
    x = np.array([1.0, 40.0, 900.0])
    parameters = [a, b, np.log(c), d, np.log(g)]
    np.testing.assert_allclose(value(np.log(x), [*parameters, A_SIDE]), d + (a - d) * (1 + (x / c) ** b) ** -g, rtol=1e-13)
    np.testing.assert_allclose(value(np.log(x), [*parameters, D_SIDE]), a + (d - a) * (1 + (x / c) ** -b) ** -g, rtol=1e-13)
    np.testing.assert_allclose(value(np.log(x), [a, b, np.log(c), 0, 0, POWER_LAW]), a + (x / c) ** b, rtol=1e-13)


@pytest.mark.parametrize("side", [A_SIDE, D_SIDE])
def test_without_asymmetry_five_parameters_are_four(side: float) -> None:
    four = np.array([0.1, 1.3, 2.0, 3.0])
    x = np.linspace(-9.0, 12.0, 31)
    np.testing.assert_allclose(value(x, [*four, 0.0, side]), value(x, four), rtol=1e-13)
    np.testing.assert_allclose(jacobian(x, [*four, 0.0, side])[:, :4], jacobian(x, four), rtol=1e-11, atol=1e-14)
    y = np.linspace(0.2, 2.9, 11)
    np.testing.assert_allclose(inverse(y, [*four, 0.0, side]), inverse(y, four), rtol=1e-12)


@pytest.mark.parametrize("parameters", [[0.1, 1.3, 2.0, 3.0], [3.0, 0.8, -1.0, 0.1], *BENT, [0.05, 0.9, 1.0, 0.0, 0.0, POWER_LAW]])
def test_derivatives_agree_with_differences(parameters: list[float]) -> None:
    x, step = np.linspace(-4.0, 6.0, 21), 1e-6
    for column in range(min(len(parameters), 5)):
        shift = np.eye(len(parameters))[column] * step
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


def test_of_two_plates_the_one_with_exchanged_standards_does_not_spoil_the_other() -> None:
    sound, other = make_plate(1), make_plate(2)
    order = np.arange(LEVELS.size)
    order[[2, 3, 8, 9]] = order[[8, 9, 2, 3]]
    fit = fit_pooled([sound, Standards(LEVELS, other.signal[order])])
    assert fit.pooled == (True, False)
    assert fit.curves[0].variance.kappa < 0.1
    assert fit.curves[1].variance.kappa > 3 * fit.curves[0].variance.kappa
    assert fit_pooled([sound, other]).pooled == (True, True)


def test_the_loading_is_a_triangular_root_without_arbitrary_signs() -> None:
    loading = fit_curves([make_plate(1)], Weighting.NONE)[0].loading
    np.testing.assert_allclose(loading, np.linalg.cholesky(loading @ loading.T), rtol=1e-6)


def bent_truth(g: float, side: float) -> Array:
    """A curve whose half-way signal lies where TRUTH's does."""
    shift = side * np.log(np.expm1(np.log(2) / g)) / TRUTH[1]
    return np.array([*TRUTH[:2], TRUTH[2] - shift, TRUTH[3], np.log(g), side])


@pytest.mark.parametrize("side", [A_SIDE, D_SIDE])
@pytest.mark.parametrize("g", [0.3, 3.0])
def test_noise_free_standards_give_back_a_bent_curve_and_its_branch(g: float, side: float) -> None:
    truth = bent_truth(g, side)
    dense = np.concatenate([np.log(4000 * 0.5 ** np.arange(11)), [-np.inf]])
    curve = fit_curves([Standards(dense, value(dense, truth))], Weighting.NONE, shape=Shape(Family.FIVE))[0]
    np.testing.assert_allclose(curve.parameters, truth, rtol=1e-5)
    assert curve.converged


@pytest.mark.parametrize("model", [Model.FOUR, Model.FIVE, Model.POWER_LAW, Model.AUTO])
def test_falling_and_rising_assays_are_fitted_by_every_logistic_model(model: Model) -> None:
    falling = [make_plate(i, np.array([3.2, 1.1, np.log(350.0), 0.07])) for i in range(3)]
    fit = fit_pooled(falling, Weighting.FITTED, model)
    assert all(np.all(np.isfinite(curve.parameters)) and np.all(np.isfinite(curve.loading)) for curve in fit.curves)
    if model is not Model.POWER_LAW:  # a rising line: the wrong curve for these, yet finite
        assert all(curve.parameters[0] > curve.parameters[3] for curve in fit.curves)


def test_auto_takes_four_parameters_when_they_are_enough_and_five_when_they_are_not() -> None:
    straight = [make_plate(i) for i in range(12)]
    assert fit_pooled(straight, model=Model.AUTO).curves[0].family is Family.FOUR
    dense = np.concatenate([np.log(4000 * 0.5 ** np.arange(11)).repeat(2), [-np.inf, -np.inf]])
    truth = bent_truth(0.3, A_SIDE)
    bent = [make_plate(i, truth, dense, kappa=0.03) for i in range(12)]
    fit = fit_pooled(bent, model=Model.AUTO)
    assert {curve.family for curve in fit.curves} == {Family.FIVE}
    assert {curve.branch for curve in fit.curves} == {Branch.A}
    assert np.median([curve.parameters[4] for curve in fit.curves]) == pytest.approx(np.log(0.3), abs=0.25)


def test_plates_that_scatter_unlike_each_other_keep_part_of_their_own_variance() -> None:
    quiet, loud = ([make_plate(i, kappa=kappa) for i in range(10)] for kappa in (0.02, 0.06))
    fit = fit_pooled([*quiet, *loud])
    kappa = np.array([curve.variance.kappa for curve in fit.curves])
    assert kappa[:10].mean() < 0.7 * kappa[10:].mean()
    assert all(curve.variance.df < fit.variance.df for curve in fit.curves)


def test_a_variance_knows_less_where_few_wells_tell_it() -> None:
    one, many = (fit_pooled([make_plate(i) for i in range(n)]).variance for n in (1, 20))
    assert one.df_at(0.08) < one.df_at(2.0) <= one.df
    assert many.df_at(0.08) > 5 * one.df_at(0.08)
    assert VarianceFunction(0.01, 0.05, np.inf).df_at(1.0) == np.inf


def test_a_plate_without_solution_does_not_touch_its_neighbours() -> None:
    flat = Standards(LEVELS, np.full(LEVELS.size, 0.08))
    alone, beside = fit_curves([make_plate(4)], Weighting.NONE)[0], fit_curves([flat, make_plate(4), flat], Weighting.NONE)[1]
    np.testing.assert_allclose(alone.parameters, beside.parameters, rtol=1e-12)


@pytest.mark.parametrize("log_g", [-6.0, -1.0, 0.0, 1.0, 6.0])
@pytest.mark.parametrize("side", [A_SIDE, D_SIDE])
def test_the_reach_spans_the_curve_and_no_more(log_g: float, side: float) -> None:
    parameters = np.array([0.1, 1.3, 2.0, 3.0, log_g, side])
    low, high = (float(end) for end in reach(parameters))
    np.testing.assert_allclose(value([low, high], parameters), [0.1, 3.0], rtol=1e-14)
    assert np.all(slope([low, high], parameters) > 0)
    middle = value(np.linspace(low, high, 4001), parameters)
    assert np.any((middle > 0.5) & (middle < 2.5))


@pytest.mark.parametrize("weighting", [Weighting.NONE, Weighting.RECIPROCAL_SQUARED])
def test_standards_far_below_the_upper_asymptote_end_at_the_bottom_of_the_bent_valley(weighting: Weighting) -> None:
    truth = np.array([0.07, 1.15, np.log(1e4), 25.0])
    plates = [make_plate(seed, truth) for seed in range(40)]
    curves = fit_curves(plates, weighting)
    assert all(curve.converged for curve in curves)
    for plate, curve in zip(plates, curves, strict=True):
        again = fit_curves([plate], weighting, start=curve.parameters * [1.0, 1.0, 1.0, 1.01])[0]
        assert again.rss == pytest.approx(curve.rss, rel=1e-9)


def test_a_steep_curve_is_found_beside_a_flat_one() -> None:
    levels = np.concatenate([np.log(1000 * 0.5 ** np.arange(11)), [-np.inf]])
    signal = np.where(levels > np.log(200), 0.12, 0.06) + 0.004 * np.cos(np.arange(12))
    curve = fit_curves([Standards(levels, signal)], Weighting.NONE)[0]
    step = [signal[(levels > np.log(200)) == above] for above in (False, True)]
    assert curve.rss <= sum(float(np.sum((part - part.mean()) ** 2)) for part in step) * (1 + 1e-6)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e6])
@pytest.mark.parametrize("shift", [0.0, -0.1, -5.0])
def test_a_line_on_two_log_axes_never_overflows(scale: float, shift: float) -> None:
    plates = [Standards(plate.log_conc, scale * (plate.signal + shift)) for plate in map(make_plate, range(10))]
    for weighting, variance in ((Weighting.NONE, None), (Weighting.FITTED, VarianceFunction(0.01 * scale, 0.05, 20.0))):
        with np.errstate(all="raise", under="ignore"):
            curves = fit_curves(plates, weighting, variance, shape=Shape(Family.POWER_LAW))
        assert all(np.all(np.isfinite(curve.loading)) and np.isfinite(np.exp(curve.parameters[2])) for curve in curves)


def test_an_odd_plate_says_nothing_of_its_neighbours_asymmetry() -> None:
    plates = [make_plate(seed, np.array([0.07, 1.15, np.log(350.0), 3.2, 0.3, A_SIDE])) for seed in range(3)]
    wild = plates[0].signal * np.exp(0.5 * np.random.default_rng(0).standard_normal(plates[0].signal.size))
    beside = fit_pooled([Standards(LEVELS, wild), *plates[1:]], model=Model.FIVE, branches=(Branch.A,))
    alone = fit_pooled(plates[1:], model=Model.FIVE, branches=(Branch.A,))
    assert beside.pooled == (False, True, True)
    for one, other in zip(beside.curves[1:], alone.curves, strict=True):
        np.testing.assert_allclose(one.parameters, other.parameters, rtol=1e-3)


def test_the_restricted_deviance_is_smooth_where_curves_are_hardly_determined() -> None:
    plates = [make_plate(seed, np.array([0.07, 1.15, np.log(200.0), 3.2, 0.4, A_SIDE]), kappa=0.5) for seed in range(40)]
    curves = fit_curves(plates, Weighting.FITTED, VarianceFunction(0.001, 0.5, np.inf), shape=Shape(Family.FIVE, branches=(Branch.A,)))
    fit = Plates.pad(plates, Shape(Family.FIVE, branches=(Branch.A,)))
    parameters = np.array([curve.parameters for curve in curves])
    mean, design = value(fit.x, parameters[:, None, :]), jacobian(fit.x, parameters[:, None, :])
    linearised = LinearisedPlates(fit.y - mean, mean, design, fit.mask)
    kappas = 0.5 * np.exp(1e-9 * np.arange(20))
    deviances = [restricted_deviance(VarianceFunction(0.0005, float(kappa), np.inf), linearised) for kappa in kappas]
    assert np.ptp(deviances) < 1e-5
