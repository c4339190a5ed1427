"""Laws of the curve and of its fit."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from exvivo.numerics.curves import Weighting, fit_curves
from exvivo.numerics.least_squares import Standards
from exvivo.numerics.logistic import inverse, value
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
