"""Laws of concentrations read from a curve."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from exvivo.numerics.curves import Curve, Weighting, fit_curves
from exvivo.numerics.inverse import Readings, estimate_concentrations
from exvivo.numerics.least_squares import Standards
from exvivo.numerics.logistic import value
from exvivo.numerics.variance import Array, VarianceFunction

LEVELS = np.concatenate([np.log(1000 * 0.5 ** np.arange(7)).repeat(2), [-np.inf, -np.inf]])
TRUTH = np.array([0.07, 1.15, np.log(350.0), 3.2])
CURVES = [
    fit_curves([Standards(LEVELS, value(LEVELS, truth))], Weighting.FITTED, VarianceFunction(0.008, 0.05, 100))[0]
    for truth in (TRUTH, TRUTH[[3, 1, 2, 0]])
]
signals = st.lists(st.floats(-1.0, 6.0), min_size=1, max_size=4)
folds = st.sampled_from([1.0, 2.0, 10.0, 100.0])


def readings(signal: list[float], log_dilution: Array, overflow: list[bool]) -> Readings:
    row = np.array(signal)[None, :]
    return Readings(np.zeros(1, dtype=np.intp), row, log_dilution[None, :], np.array(overflow)[None, :], np.ones(row.shape, dtype=np.bool_))


@settings(max_examples=150, deadline=None)
@given(st.data(), signals, st.sampled_from(CURVES))
def test_never_nan_and_the_interval_holds_the_estimate(data: st.DataObject, signal: list[float], curve: Curve) -> None:
    n = len(signal)
    log_dilution = np.log(data.draw(st.lists(folds, min_size=n, max_size=n)))
    overflow = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    found = estimate_concentrations([curve], readings(signal, log_dilution, overflow))
    for numbers in (found.log_conc, found.se_log, found.se_total, found.ci_low, found.ci_high, found.gradient):
        assert not np.any(np.isnan(numbers))
    assert found.ci_low[0] <= found.log_conc[0] <= found.ci_high[0]
    assert found.ci_low[0] < found.ci_high[0]
    assert found.finite[0] == np.isfinite(found.se_log[0])


@settings(max_examples=60, deadline=None)
@given(signals, st.floats(0.0, 8.0), st.sampled_from(CURVES))
def test_dilution_shifts_and_order_is_irrelevant(signal: list[float], shift: float, curve: Curve) -> None:
    none = [False] * len(signal)
    here = estimate_concentrations([curve], readings(signal, np.zeros(len(signal)), none))
    backwards = readings(signal[::-1], np.full(len(signal), shift), none)
    there = estimate_concentrations([curve], backwards)
    for one, other in ((here.log_conc, there.log_conc), (here.ci_low, there.ci_low), (here.ci_high, there.ci_high)):
        np.testing.assert_allclose(one + shift, other, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.08, 3.1), st.floats(0.0, 0.5))
def test_a_larger_signal_means_more(signal: float, more: float) -> None:
    found = [estimate_concentrations(CURVES[:1], readings([y], np.zeros(1), [False])) for y in (signal, signal + more)]
    assert found[0].log_conc[0] <= found[1].log_conc[0] + 1e-9
    assert found[0].ci_low[0] <= found[1].ci_low[0] + 1e-6
    assert found[0].ci_high[0] <= found[1].ci_high[0] + 1e-6
