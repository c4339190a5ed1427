"""From readings to concentrations: one dilution, several, censored, beyond the curve."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import norm, t

from exvivo.numerics.curves import Curve, Weighting, fit_curves
from exvivo.numerics.inverse import Estimates, Readings, estimate_concentrations, limits, profile_precision
from exvivo.numerics.least_squares import Standards
from exvivo.numerics.logistic import inverse, jacobian, slope, value
from exvivo.numerics.variance import VarianceFunction

RISING = np.array([0.07, 1.15, np.log(350.0), 3.2])
FALLING = np.array([3.2, 1.15, np.log(350.0), 0.07])
LEVELS = np.concatenate([np.log(1000 * 0.5 ** np.arange(7)).repeat(2), [-np.inf, -np.inf]])
KNOWN = VarianceFunction(0.008, 0.05, np.inf)


def make_curve(truth: npt.NDArray[np.float64] = RISING) -> Curve:
    return fit_curves([Standards(LEVELS, value(LEVELS, truth))], Weighting.FITTED, KNOWN)[0]


def make_readings(
    signal: list[list[float]], dilution: list[list[float]] | None = None, overflow: list[list[bool]] | None = None
) -> Readings:
    signals = np.array(signal)
    folds = np.ones(signals.shape) if dilution is None else np.array(dilution)
    above = np.zeros(signals.shape, dtype=np.bool_) if overflow is None else np.array(overflow)
    return Readings(np.zeros(len(signals), dtype=np.intp), signals, np.log(folds), above, np.ones(signals.shape, dtype=np.bool_))


def estimate(curve: Curve, readings: Readings) -> Estimates:
    return estimate_concentrations([curve], readings)


@pytest.mark.parametrize("truth", [RISING, FALLING])
def test_replicates_at_one_dilution_invert_their_mean(truth: npt.NDArray[np.float64]) -> None:
    curve = make_curve(truth)
    found = estimate(curve, make_readings([[0.5, 0.6], [2.0, 2.2]], [[10, 10], [1, 1]]))
    expected = inverse([0.55, 2.1], curve.parameters) + np.log([10, 1])
    np.testing.assert_allclose(found.log_conc, expected, atol=1e-8)


def test_reading_error_halves_with_four_times_the_wells_and_curve_error_does_not() -> None:
    curve = make_curve()
    one, four = (estimate(curve, make_readings([[1.0] * n])) for n in (1, 4))
    assert one.se_log[0] == pytest.approx(2 * four.se_log[0])
    np.testing.assert_allclose(one.gradient, four.gradient)
    shared = np.linalg.norm(one.gradient[0] @ curve.loading)
    assert one.se_total[0] ** 2 == pytest.approx(one.se_log[0] ** 2 + shared**2)


@pytest.mark.parametrize("truth", [RISING, FALLING])
@pytest.mark.parametrize("wells", [([0.9, 0.95], [1.0, 1.0]), ([2.4, 0.45], [1.0, 10.0])])
def test_the_gradient_is_what_moving_the_curve_does(truth: npt.NDArray[np.float64], wells: tuple[list[float], list[float]]) -> None:
    curve, readings = make_curve(truth), make_readings([wells[0]], [wells[1]])
    consistent = estimate(curve, readings).log_conc[0]
    signals = value(consistent - np.log(wells[1]), curve.parameters)  # wells that agree: the gradient is exact there
    readings = make_readings([list(signals)], [wells[1]])
    found = estimate(curve, readings)
    for column in range(4):
        ends = []
        for sign in (1, -1):
            moved = replace(curve, parameters=curve.parameters + sign * 1e-5 * np.eye(4)[column])
            ends.append(estimate(moved, readings).log_conc[0])
        assert found.gradient[0, column] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-3, abs=1e-6)


def test_several_dilutions_weigh_by_their_information() -> None:
    """Against a one-dimensional minimisation with the variances held at the solution."""
    curve = make_curve()
    signal, fold = np.array([2.6, 2.7, 0.35, 0.33]), np.array([1.0, 1.0, 20.0, 20.0])
    found = estimate(curve, make_readings([list(signal)], [list(fold)]))
    variance = KNOWN.at(value(found.log_conc[0] - np.log(fold), curve.parameters))

    def deviance(x: float) -> float:
        return float(np.sum((signal - value(x - np.log(fold), curve.parameters)) ** 2 / variance))

    best = minimize_scalar(deviance, bracket=(6.0, 8.0), tol=1e-12)
    assert found.log_conc[0] == pytest.approx(best.x, abs=1e-6)


def test_a_reading_above_the_cap_counts_as_such() -> None:
    """Against maximum likelihood with the variances held at the solution; it never counts as the cap itself."""
    curve = make_curve()
    signal, fold, cap = 0.50, np.array([1.0, 10.0]), 1.6
    found = estimate(curve, make_readings([[cap, signal]], [list(fold)], [[True, False]]))
    sd = np.sqrt(KNOWN.at(value(found.log_conc[0] - np.log(fold), curve.parameters)))

    def deviance(x: float) -> float:
        mean = value(x - np.log(fold), curve.parameters)
        return float(-norm.logsf(cap, mean[0], sd[0]) - norm.logpdf(signal, mean[1], sd[1]))

    best = minimize_scalar(deviance, bracket=(5.0, 7.0), tol=1e-12)
    assert found.log_conc[0] == pytest.approx(best.x, abs=1e-5)
    as_cap = estimate(curve, make_readings([[cap, signal]], [list(fold)]))
    assert found.log_conc[0] > as_cap.log_conc[0] + 0.1


@pytest.mark.parametrize("wells", [1, 3])
def test_overflow_alone_gives_a_lower_bound_that_the_cap_explains(wells: int) -> None:
    curve = replace(make_curve(), loading=np.zeros((4, 4)))  # as if the curve were known: the tail probability is exact
    found = estimate(curve, make_readings([[2.5] * wells], [[5.0] * wells], [[True] * wells]))
    assert found.log_conc[0] == found.ci_high[0] == found.se_log[0] == np.inf
    assert not found.finite[0]
    assert np.all(found.gradient == 0)
    bound = found.ci_low[0]
    mean = value(bound - np.log(5.0), curve.parameters)
    assert mean < 2.5
    assert norm.sf((2.5 - mean) / np.sqrt(KNOWN.at(mean) / wells)) == pytest.approx(0.025, rel=1e-6)


@pytest.mark.parametrize(("truth", "low_signal", "high_signal"), [(RISING, 0.05, 3.6), (FALLING, 3.6, 0.05)])
def test_beyond_the_asymptotes_the_interval_is_one_sided(truth: npt.NDArray[np.float64], low_signal: float, high_signal: float) -> None:
    found = estimate(make_curve(truth), make_readings([[low_signal], [high_signal], [low_signal * 30 - 20], [high_signal * 30 - 20]]))
    assert found.log_conc[0] == found.ci_low[0] == -np.inf
    assert found.log_conc[1] == found.ci_high[1] == np.inf
    assert np.isfinite(found.ci_high[0])
    assert np.isfinite(found.ci_low[1])
    for numbers in (found.log_conc, found.se_log, found.gradient, found.se_total, found.ci_low, found.ci_high):
        assert not np.any(np.isnan(numbers))
    assert np.all(found.ci_low <= found.ci_high)


def test_a_reading_near_the_blank_is_open_below() -> None:
    found = estimate(make_curve(), make_readings([[0.075], [0.4]]))
    assert found.finite.tolist() == [True, True]
    assert found.ci_low[0] == -np.inf
    assert np.isfinite(found.ci_low[1])
    assert np.all(np.isfinite(found.ci_high))


def test_specimens_of_several_plates_and_lengths_equal_specimens_alone() -> None:
    curves = [make_curve(), make_curve(FALLING)]
    present = np.array([[True, True], [True, False]])
    both = Readings(
        np.array([1, 0]), np.array([[0.5, 0.6], [0.7, np.nan]]), np.where(present, 0.0, np.nan), np.zeros((2, 2), dtype=np.bool_), present
    )
    found = estimate_concentrations(curves, both)
    assert found.log_conc[0] == pytest.approx(estimate(curves[1], make_readings([[0.5, 0.6]])).log_conc[0], abs=1e-9)
    assert found.ci_low[1] == pytest.approx(estimate(curves[0], make_readings([[0.7]])).ci_low[0], abs=1e-9)


def test_fewer_degrees_of_freedom_widen_the_interval() -> None:
    plate = Standards(LEVELS, value(LEVELS, RISING))
    few, many = (fit_curves([plate], Weighting.FITTED, VarianceFunction(0.008, 0.05, df))[0] for df in (4, np.inf))
    wide, narrow = (estimate(curve, make_readings([[1.0]])) for curve in (few, many))
    assert wide.ci_high[0] - wide.ci_low[0] > 1.3 * (narrow.ci_high[0] - narrow.ci_low[0])


def test_limits_are_where_the_precision_profile_crosses() -> None:
    curve, plate = make_curve(), Standards(LEVELS, value(LEVELS, RISING))
    found = limits(curve, plate, 1, max_cv=0.10)
    assert found.lloq is not None
    assert found.uloq is not None
    np.testing.assert_allclose(profile_precision(curve, np.log([found.lloq, found.uloq]), 1), 0.10, rtol=1e-3)
    wide = limits(curve, plate, 2, max_cv=5.0)
    assert wide.lloq == 15.625  # the lowest standard: nothing is claimed below it
    assert wide.uloq == 1000.0
    none = limits(curve, plate, 1, max_cv=0.001)
    assert (none.lloq, none.uloq) == (None, None)
    blank = Standards(np.full(6, -np.inf), plate.signal[:6])
    assert limits(curve, blank, 1).lloq is None


def test_wrong_calls_are_refused() -> None:
    no = np.zeros((1, 1), dtype=np.bool_)
    zero, index = np.zeros((1, 1)), np.zeros(1, dtype=np.intp)
    with pytest.raises(ValueError, match="two-dimensional"):
        Readings(index, zero, np.zeros((1, 2)), no, ~no)
    with pytest.raises(ValueError, match="one entry per specimen"):
        Readings(np.zeros(2, dtype=np.intp), zero, zero, no, ~no)
    with pytest.raises(ValueError, match="finite"):
        Readings(index, zero * np.nan, zero, no, ~no)
    with pytest.raises(ValueError, match="at least one well"):
        Readings(index, zero, zero, no, no)
    empty = Readings(index[:0], zero[:0], zero[:0], no[:0], no[:0])
    assert estimate_concentrations([make_curve()], empty).log_conc.size == 0


@pytest.mark.parametrize("noise", [1e-3, 1e-12])
def test_an_overflow_far_beyond_the_scatter_has_no_wild_weight(noise: float) -> None:
    curve = replace(make_curve(), variance=VarianceFunction(noise, 0.0, 20.0))
    mixed = make_readings([[2.0, float(value(np.log(60.0), curve.parameters))]], [[1.0, 10.0]], [[True, False]])
    with np.errstate(all="raise", under="ignore"):
        found = estimate(curve, mixed)
    assert found.log_conc[0] == pytest.approx(np.log(600.0), abs=1e-6)


@pytest.mark.parametrize(
    ("fold", "signal"),
    [([10, 1, 100, 1000], [0.1345, 1.4328, 0.1632, 0.0667]), ([100, 1000, 1000, 1], [1.338, 0.0898, 0.1594, 2.9174])],
)
def test_a_rejection_between_two_points_of_the_search_is_not_missed(fold: list[float], signal: list[float]) -> None:
    parameters, loading = np.array([0.07, 2.6, 0.0, 3.0]), np.diag([0.005, 0.05, 0.05, 0.05])
    curve = replace(make_curve(), parameters=parameters, loading=loading, variance=VarianceFunction(0.03, 0.12, 8.0))
    found = estimate(curve, make_readings([signal], [fold]))
    x = np.linspace(-3.0, 12.0, 30001)
    at = x[:, None] - np.log(fold)
    fitted, steep = value(at, parameters), slope(at, parameters)
    weight = steep / curve.variance.at(fitted)
    shared = np.sum((np.einsum("kw,kwp->kp", weight, jacobian(at, parameters)) @ loading) ** 2, axis=1)
    test = np.sum(weight * (signal - fitted), axis=1) / np.sqrt(np.sum(weight * steep, axis=1) + shared)
    quantile = t.ppf(0.975, curve.variance.df_at(np.mean(signal)))
    assert found.ci_high[0] == pytest.approx(x[(x > found.log_conc[0]) & (test < -quantile)][0], abs=0.001)
    assert found.ci_low[0] == pytest.approx(x[(x < found.log_conc[0]) & (test > quantile)][-1], abs=0.001)
