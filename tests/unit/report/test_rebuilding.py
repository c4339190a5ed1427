"""Curves come back from their row in CURVES as they were fitted."""

import numpy as np
import pytest

from exvivo.calibrate.analyte import AnalyteTask, calibrate_analyte
from exvivo.calibrate.standards import Well
from exvivo.numerics.curves import Weighting, fit_curves
from exvivo.numerics.least_squares import Family, Shape, Standards
from exvivo.numerics.logistic import D_SIDE, value
from exvivo.report.rebuilding import lay_bands, rebuild_curve
from exvivo.study.model import AssayRules, CurveRules, ElisaReadout
from exvivo.study.model import Standards as Series

LEVELS = np.array([0.0, *(1000 * 0.5 ** np.arange(8))]).repeat(2)
READOUT = ElisaReadout(kind="elisa", label="X", unit="pg/mL", standards=Series(top=1000, points=8, factor=2), replicates=1)
BENT = np.array([0.07, 1.3, 5.2, 3.1, np.log(0.4), D_SIDE])


def log(concentration: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(concentration))


def read(parameters: np.ndarray) -> np.ndarray:
    return value(log(LEVELS), parameters) * (1 + 0.03 * np.random.default_rng(5).standard_normal(LEVELS.size))


def wells(signal: np.ndarray) -> list[Well]:
    empty = dict.fromkeys(("background", "cap", "reason", "detail", "state", "reduced", "reduced_gap"))
    return [
        Well(
            plate="P:1", well=f"{'ABCDEFGH'[i % 8]}{1 + i // 8}", role="standard", specimen=None, analyte="X", nominal=float(level),
            dilution=1.0, raw_signal=float(y), signal=float(y), unit="pg/mL", status="ok", origin="here", **empty,
        )
        for i, (level, y) in enumerate(zip(LEVELS, signal, strict=True))
    ]  # fmt: skip


@pytest.mark.parametrize("model", ["4PL", "5PL", "log-log"])
@pytest.mark.parametrize("weighting", [w.value for w in Weighting])
def test_a_stored_curve_is_the_fitted_one(model: str, weighting: str) -> None:
    signal = read(BENT)
    rules = AssayRules(curve=CurveRules.model_validate({"model": model, "weighting": weighting}))
    frame = calibrate_analyte(AnalyteTask.of("X", READOUT, rules, wells(signal))).frames["curves"]
    row = frame.row(0, named=True)
    rebuilt = rebuild_curve(row)
    assert rebuilt.family == model
    if weighting != "fitted":
        (fitted,) = fit_curves([Standards(log(LEVELS), signal)], Weighting(weighting), shape=Shape(Family(model)))
        np.testing.assert_allclose(rebuilt.parameters[:3], fitted.parameters[:3], rtol=1e-9)
        np.testing.assert_allclose(rebuilt.covariance, fitted.covariance, rtol=1e-6, atol=1e-12)
        assert rebuilt.variance.at(0.5) == pytest.approx(float(fitted.variance.at(0.5)))
    x = log(np.array([3.0, 100.0, 700.0]))
    assert np.all(np.isfinite(lay_bands(rebuilt, x).prediction))


def test_the_band_of_the_mean_agrees_with_numerical_derivatives() -> None:
    (curve,) = fit_curves([Standards(log(LEVELS), read(BENT))], Weighting.NONE, shape=Shape(Family.FIVE))
    x, step = log(np.array([5.0, 80.0, 400.0])), 1e-6

    def moved(index: int, by: float) -> np.ndarray:
        return value(x, curve.parameters + by * (np.arange(6) == index))

    gradient = np.stack([(moved(i, step) - moved(i, -step)) / (2 * step) for i in range(5)])
    expected = np.sqrt(np.einsum("in,ij,jn->n", gradient, curve.covariance, gradient))
    band = lay_bands(curve, x).mean
    np.testing.assert_allclose(band / band[0], expected / expected[0], rtol=1e-5)
