"""Limits of detection by hand, against the interval that they are defined by, and in falling assays."""

import math

import numpy as np
import pytest
from scipy import optimize, stats

from exvivo.numerics.curves import Curve, Weighting, fit_curves
from exvivo.numerics.detection import Scatter, blank_limit, detectable_signal, detection_limit, is_rising, reliable_log_conc
from exvivo.numerics.inverse import Readings, estimate_concentrations
from exvivo.numerics.least_squares import Standards
from exvivo.numerics.logistic import inverse, value
from exvivo.numerics.variance import VarianceFunction

VARIANCE = VarianceFunction(0.008, 0.05, 40)
LEVELS = np.repeat([*(1000 * 0.5 ** np.arange(7)), 0.0], 2)


def curve(*, falling: bool = False, seed: int = 1) -> Curve:
    a, d = (3.2, 0.07) if falling else (0.07, 3.2)
    with np.errstate(divide="ignore"):
        x = np.log(LEVELS)
    mean = value(x, [a, 1.15, math.log(350), d])
    signal = mean + np.random.default_rng(seed).normal(size=mean.size) * np.sqrt(VARIANCE.at(mean))
    return fit_curves([Standards(x, signal)], Weighting.FITTED, VARIANCE)[0]


def test_blank_limits_by_hand() -> None:
    """Ten blanks: mean 0.0500, SD 0.002; LOB = 0.0500 + 1.645 x 0.002, Kaiser's LOD = 0.0500 + 3 x 0.002."""
    blanks = np.array([0.048, 0.052] * 5) + np.array([0.0, 0.0] * 5)
    scatter = Scatter.of(blanks)
    assert scatter is not None
    assert scatter.mean == pytest.approx(0.050)
    assert scatter.df == 9
    assert scatter.sd == pytest.approx(math.sqrt(10 * 0.002**2 / 9))
    assert blank_limit(scatter) == pytest.approx(0.050 + 1.6448536 * scatter.sd, rel=1e-7)
    assert blank_limit(scatter, 3.0) == pytest.approx(0.050 + 3 * scatter.sd)
    assert Scatter.of(blanks[:2]) is None


def test_the_limit_of_detection_takes_the_corrected_multiplier() -> None:
    """EP17-A2: five low specimens of twelve replicates, 55 df: c = 1.645 / (1 - 1 / 220) = 1.652."""
    assert detection_limit(0.0, Scatter(0.1, 1.0, 55)) == pytest.approx(1.652, abs=5e-4)
    assert detection_limit(1.0, Scatter(0.1, 1.0, 55), rising=False) == pytest.approx(1 - 1.652, abs=5e-4)


@pytest.mark.parametrize("falling", [False, True])
def test_the_detectable_signal_is_where_the_interval_begins_to_exclude_zero(falling: bool) -> None:  # noqa: FBT001
    fitted = curve(falling=falling)
    edge, sign = detectable_signal(fitted, 2), -1.0 if falling else 1.0
    assert is_rising(fitted) is not falling
    signal = edge + sign * np.array([-1e-4, 1e-4])
    pairs, none = np.repeat(signal[:, None], 2, axis=1), np.zeros((2, 2))
    flags = none.astype(np.bool_)
    found = estimate_concentrations([fitted], Readings(np.zeros(2, dtype=np.intp), pairs, none, flags, ~flags))
    assert found.ci_low[0] == -np.inf
    assert math.isfinite(found.ci_low[1])


@pytest.mark.parametrize("falling", [False, True])
def test_reliable_detection_exceeds_the_detectable_signal_at_the_near_end_of_its_interval(falling: bool) -> None:  # noqa: FBT001
    fitted = curve(falling=falling)
    mdc = float(inverse(detectable_signal(fitted, 2), fitted.parameters))
    rdl = reliable_log_conc(fitted, 2, math.log(1000))
    assert rdl is not None
    assert mdc < rdl < mdc + math.log(4)
    mean = float(value(rdl, fitted.parameters))
    rng = np.random.default_rng(3)
    signals = mean + rng.normal(size=(20000, 2)).mean(axis=1) * math.sqrt(float(VARIANCE.at(mean)))
    sign = -1.0 if falling else 1.0
    assert np.mean(sign * signals > sign * detectable_signal(fitted, 2)) > 0.97


def test_mdc_and_rdl_solve_the_formulas_of_calibfit() -> None:
    """MDC and RDL as calibFit writes them, with its own 4PL, solved by scipy."""
    fitted = curve()
    a, b, log_c, d = fitted.parameters
    t = stats.t.ppf(0.975, VARIANCE.df)

    def mean(x: float) -> float:
        return float(d + (a - d) / (1 + (x / math.exp(log_c)) ** b))

    def error(x: float) -> float:
        steps = 1e-6 * np.eye(4)
        slopes = np.array([(moved(x, s) - moved(x, -s)) / 2e-6 for s in steps])
        return math.sqrt(float(VARIANCE.at(mean(x))) / 2 + float(slopes @ fitted.covariance @ slopes))

    def moved(x: float, step: np.ndarray) -> float:
        a, b, log_c, d = fitted.parameters + step
        return float(d + (a - d) / (1 + (x / math.exp(log_c)) ** b))

    edge = a + t * error(0.0)
    mdc = optimize.brentq(lambda x: mean(x) - edge, 1e-6, 100)
    rdl = optimize.brentq(lambda x: mean(x) - t * error(x) - edge, mdc, 100)
    assert float(np.exp(inverse(detectable_signal(fitted, 2), fitted.parameters))) == pytest.approx(mdc, rel=1e-6)
    assert math.exp(reliable_log_conc(fitted, 2, math.log(1000)) or 0.0) == pytest.approx(rdl, rel=1e-6)


def test_an_assay_that_never_rises_out_of_its_blank_has_no_reliable_limit() -> None:
    assert reliable_log_conc(curve(), 2, math.log(1.0)) is None
