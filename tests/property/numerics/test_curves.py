"""Laws of the curve and of its fit."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from exvivo.numerics.curves import Weighting, fit_curves
from exvivo.numerics.least_squares import Family, Shape, Standards
from exvivo.numerics.logistic import A_SIDE, D_SIDE, inverse, slope, value
from exvivo.numerics.pooling import fit_pooled
from exvivo.numerics.variance import Array, VarianceFunction

LEVELS = np.concatenate([np.log(1000 * 0.5 ** np.arange(7)).repeat(2), [-np.inf, -np.inf]])
KNOWN = VarianceFunction(0.008, 0.05, np.inf)

asymptotes = st.tuples(st.floats(0.01, 0.3), st.floats(1.5, 4.0)).flatmap(st.permutations)
curves = st.builds(lambda ad, b, log_c: np.array([ad[0], b, log_c, ad[1]]), asymptotes, st.floats(0.7, 2.0), st.floats(3.5, 6.2))
seeds = st.integers(0, 2**32 - 1)


def scatter(truth: Array, seed: int) -> Array:
    mean = value(LEVELS, truth)
    return mean + np.sqrt(KNOWN.at(mean)) * np.random.default_rng(seed).standard_normal(mean.size)


@given(curves, st.floats(-8.0, 8.0))
def test_inverse_of_value_is_the_identity(truth: Array, z: float) -> None:
    x = truth[2] + z / truth[1]
    np.testing.assert_allclose(inverse(value(x, truth), truth), x, atol=1e-8)


bends = st.tuples(st.floats(-1.5, 1.5), st.sampled_from([A_SIDE, D_SIDE]))


@given(curves, bends, st.floats(-8.0, 8.0))
def test_inverse_of_a_bent_curve_is_the_identity(truth: Array, bend: tuple[float, float], z: float) -> None:
    bent = np.array([*truth, *bend])
    x = truth[2] + z / truth[1]
    signal = value(x, bent)
    resolution = 1e-13 * (abs(truth[0]) + abs(truth[3])) / abs(float(slope(x, bent)))
    np.testing.assert_allclose(inverse(signal, bent), x, atol=1e-8 + resolution)


@given(curves, bends, st.floats(-10, 10))
def test_inverse_of_a_bent_curve_is_never_nan(truth: Array, bend: tuple[float, float], signal: float) -> None:
    assert not np.isnan(inverse(signal, np.array([*truth, *bend])))


@given(curves, bends, st.floats(-30.0, 30.0), st.floats(0.01, 5.0))
def test_a_bent_curve_is_monotone_between_its_asymptotes(truth: Array, bend: tuple[float, float], x: float, step: float) -> None:
    bent = np.array([*truth, *bend])
    lower, upper = value(x, bent), value(x + step, bent)
    assert (upper - lower) * np.sign(truth[3] - truth[0]) >= -1e-15
    assert min(truth[0], truth[3]) <= lower <= max(truth[0], truth[3])


@given(curves, st.floats(-1.5, 1.5), st.floats(-20.0, 20.0))
def test_the_branches_mirror_each_other(truth: Array, log_g: float, z: float) -> None:
    a, b, log_c, d = truth
    x = z / b
    here, there = value(log_c + x, [a, b, log_c, d, log_g, A_SIDE]), value(log_c - x, [d, b, log_c, a, log_g, D_SIDE])
    np.testing.assert_allclose(here, there, rtol=1e-12)


@settings(max_examples=15, deadline=None)
@given(curves, seeds)
def test_five_parameters_never_fit_worse_than_four(truth: Array, seed: int) -> None:
    standards = [Standards(LEVELS, scatter(truth, seed))]
    four, five = (fit_curves(standards, Weighting.NONE, shape=Shape(family))[0] for family in (Family.FOUR, Family.FIVE))
    assert five.rss <= four.rss * (1 + 1e-6)


@given(curves, st.floats(-10, 10))
def test_inverse_is_never_nan(truth: Array, signal: float) -> None:
    assert not np.isnan(inverse(signal, truth))


@settings(max_examples=25, deadline=None)
@given(curves, seeds, st.floats(-14.0, 14.0))
def test_another_unit_of_concentration_shifts_log_c_only(truth: Array, seed: int, shift: float) -> None:
    y = scatter(truth, seed)
    here, there = fit_curves([Standards(LEVELS, y), Standards(LEVELS + shift, y)], Weighting.FITTED, KNOWN)
    np.testing.assert_allclose(there.parameters - here.parameters, [0, 0, shift, 0], atol=2e-5)


@settings(max_examples=25, deadline=None)
@given(curves, seeds, st.sampled_from([1e-3, 0.1, 1000.0]))
def test_another_unit_of_signal_scales_the_asymptotes_only(truth: Array, seed: int, factor: float) -> None:
    y = scatter(truth, seed)
    here, there = (fit_pooled([Standards(LEVELS, y * scale)]) for scale in (1.0, factor))
    np.testing.assert_allclose(there.curves[0].parameters / here.curves[0].parameters, [factor, 1, 1, factor], rtol=1e-3)
    assert abs(np.log(there.variance.sigma0 / here.variance.sigma0 / factor)) < 0.01


@settings(max_examples=25, deadline=None)
@given(curves, seeds)
def test_the_order_of_wells_is_irrelevant(truth: Array, seed: int) -> None:
    y = scatter(truth, seed)
    order = np.random.default_rng(seed).permutation(y.size)
    here, there = fit_curves([Standards(LEVELS, y), Standards(LEVELS[order], y[order])], Weighting.FITTED, KNOWN)
    np.testing.assert_allclose(there.parameters, here.parameters, rtol=2e-5, atol=2e-5)


@settings(max_examples=25, deadline=None)
@given(curves, seeds)
def test_a_falling_curve_is_a_rising_curve_in_the_mirror(truth: Array, seed: int) -> None:
    y = scatter(truth, seed)
    here, there = fit_curves([Standards(LEVELS, y), Standards(LEVELS, 5.0 - y)], Weighting.NONE)
    a, b, log_c, d = here.parameters
    np.testing.assert_allclose(there.parameters, [5.0 - a, b, log_c, 5.0 - d], rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(there.rss, here.rss, rtol=1e-8)


@settings(max_examples=25, deadline=None)
@given(curves, seeds)
def test_no_fit_is_worse_than_the_truth(truth: Array, seed: int) -> None:
    y = scatter(truth, seed)
    curve = fit_curves([Standards(LEVELS, y)], Weighting.NONE)[0]
    assert curve.rss <= np.sum((y - value(LEVELS, truth)) ** 2) * (1 + 1e-9)
