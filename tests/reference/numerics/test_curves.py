"""Fits against numbers that were not made by this package: NIST StRD, 40-digit fits, a reader's own software, scipy."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import curve_fit

from exvivo.numerics.curves import Curve, Weighting, fit_curves
from exvivo.numerics.least_squares import Fixed, Shape, Standards
from exvivo.numerics.logistic import value
from exvivo.numerics.pooling import fit_pooled
from exvivo.numerics.variance import Array, VarianceFunction

# NIST StRD, Misra1d (Misra 1978) and Rat42 (Ratkowsky 1983): data, certified values and standard deviations; public domain.
MISRA_X = [77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0]
MISRA_Y = [10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02, 44.82, 50.76, 55.05, 61.01, 66.40, 75.47, 81.78]
RAT42_X = [9.0, 14.0, 21.0, 28.0, 42.0, 57.0, 63.0, 70.0, 79.0]
RAT42_Y = [8.93, 10.80, 18.59, 22.33, 39.35, 56.11, 61.73, 64.62, 67.08]

# A SkanIt export (Abcam APOE kit): standards in duplicate, ug/mL as rounded on its sheet, raw optical density.
APOE_X = [1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.063, 0.063, 0.031, 0.031, 0.016, 0.016]
APOE_Y = [1.7455, 1.6148, 1.3625, 1.1336, 0.9252, 0.953, 0.573, 0.5763, 0.3996, 0.4006, 0.2403, 0.2398, 0.1677, 0.1577]

WEIGHTINGS = {"none": Weighting.NONE, "1/y": Weighting.RECIPROCAL, "1/y^2": Weighting.RECIPROCAL_SQUARED}
SETS = {
    "ryegrass": ("ryegrass.csv", "conc", "rootl"),
    "calibFit_ELISA": ("ELISA.csv", "Concentration", "Response"),
    "calibFit_RIA": ("RIA.csv", "x", "y"),
}


def log_conc(concentration: list[float]) -> Array:
    with np.errstate(divide="ignore"):
        return np.log(np.array(concentration, dtype=np.float64))


def read_standards(path: Path, concentration: str, signal: str) -> Standards:
    with path.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return Standards(log_conc([float(row[concentration]) for row in rows]), np.array([float(row[signal]) for row in rows]))


def fit_one(
    standards: Standards, weighting: Weighting = Weighting.NONE, fixed: Fixed | None = None, start: list[float] | None = None
) -> Curve:
    return fit_curves([standards], weighting, shape=Shape(fixed=fixed or Fixed()), start=start)[0]


def digits(got: float, certified: float) -> float:
    """Log relative error: the number of certified digits that agree."""
    return float(-np.log10(max(abs(got - certified) / abs(certified), 1e-16)))


@pytest.mark.parametrize("start", [(500.0, 0.0001), (450.0, 0.0003), None])
def test_misra1d_agrees_with_nist_to_nine_digits(start: tuple[float, float] | None) -> None:
    first = None if start is None else [0.0, 1.0, float(-np.log(start[1])), start[0]]
    curve = fit_one(Standards(log_conc(MISRA_X), np.array(MISRA_Y)), fixed=Fixed(a=0.0, b=1.0), start=first)
    b2 = float(np.exp(-curve.parameters[2]))
    assert digits(curve.parameters[3], 4.3736970754e02) >= 9
    assert digits(b2, 3.0227324449e-04) >= 9
    assert digits(curve.rss, 5.6419295283e-02) >= 9
    assert digits(float(np.sqrt(curve.covariance[3, 3])), 3.6489174345) >= 7
    assert digits(float(np.sqrt(curve.covariance[2, 2])) * b2, 2.9334354479e-06) >= 7
    assert curve.df == 12
    assert curve.converged


@pytest.mark.parametrize("start", [(100.0, 1.0, 0.1), (75.0, 2.5, 0.07), None])
def test_rat42_agrees_with_nist_to_nine_digits(start: tuple[float, float, float] | None) -> None:
    first = None if start is None else [0.0, start[2], start[1] / start[2], start[0]]
    curve = fit_one(Standards(np.array(RAT42_X), np.array(RAT42_Y)), fixed=Fixed(a=0.0), start=first)
    _, b, centre, d = curve.parameters
    assert digits(d, 7.2462237576e01) >= 9
    assert digits(b * centre, 2.6180768402) >= 9
    assert digits(b, 6.7359200066e-02) >= 9
    assert digits(curve.rss, 8.0565229338) >= 9
    assert digits(float(np.sqrt(curve.covariance[3, 3])), 1.7340283401) >= 7
    assert digits(float(np.sqrt(curve.covariance[1, 1])), 3.4465663377e-03) >= 7


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("name", SETS)
def test_fits_agree_with_forty_digit_fits(name: str, weighting: str, shared_data: Path, shared_reference: Path) -> None:
    file, concentration, signal = SETS[name]
    expected = json.loads((shared_reference / "curves/polished_fits.json").read_text(encoding="utf-8"))[f"{name}|4PL|{weighting}"]
    curve = fit_one(read_standards(shared_data / "curves/sets" / file, concentration, signal), WEIGHTINGS[weighting])
    order = ["a", "b", "lc", "d"]
    np.testing.assert_allclose(curve.parameters, [float(expected["est"][key]) for key in order], rtol=1e-8)
    np.testing.assert_allclose(np.sqrt(np.diag(curve.covariance)), [float(expected["se"][key]) for key in order], rtol=1e-8)
    assert curve.rss == pytest.approx(float(expected["wsse"]), rel=1e-10)
    assert curve.df == expected["df"]
    assert curve.converged


def test_a_readers_own_curve_is_reproduced_without_weights() -> None:
    curve = fit_one(Standards(log_conc(APOE_X), np.array(APOE_Y)))
    assert np.exp(curve.parameters[2]) == pytest.approx(0.748804, rel=1e-5)
    assert np.exp(curve.parameters[2]) == pytest.approx(0.748878, rel=1e-3)  # as printed by the reader
    assert curve.parameters[1] == pytest.approx(0.78981, rel=1e-3)  # as printed
    assert not curve.asymptote_determined  # the top standard reaches 59 % of the span


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("weighting", list(Weighting))
def test_curves_that_break_other_programs_end_finite(number: int, weighting: Weighting, shared_data: Path) -> None:
    standards = read_standards(shared_data / f"curves/dr4pl/drc_error_{number}.csv", "Dose", "Response")
    curve = fit_pooled([standards], weighting).curves[0]
    assert np.all(np.isfinite(curve.parameters))
    assert np.all(np.isfinite(curve.loading))
    if weighting is Weighting.NONE:
        flat = float(np.sum((standards.signal - standards.signal.mean()) ** 2))
        assert curve.rss < flat


@pytest.mark.parametrize("plate", range(8))
def test_fits_agree_with_scipy(plate: int) -> None:
    rng = np.random.default_rng([7, plate])
    x = log_conc([*np.repeat(1000 * 0.5 ** np.arange(7), 2), 0.0, 0.0])
    mean = value(x, [0.07, 1.15, np.log(350), 3.2])
    y = mean + 0.02 * rng.standard_normal(mean.size)
    curve = fit_one(Standards(x, y))
    expected, covariance = curve_fit(
        lambda at, a, b, c, d: value(at, np.array([a, b, c, d])), x, y, p0=[0.07, 1.15, 5.9, 3.2], check_finite=False, xtol=1e-14
    )
    np.testing.assert_allclose(curve.parameters, expected, rtol=1e-6)
    np.testing.assert_allclose(curve.covariance, covariance, rtol=1e-4, atol=1e-12)


def test_weights_at_the_fitted_means_agree_with_scipy_at_its_fixed_point() -> None:
    rng = np.random.default_rng(11)
    x = log_conc([*np.repeat(1000 * 0.5 ** np.arange(7), 2), 0.0, 0.0])
    mean = value(x, [0.07, 1.15, np.log(350), 3.2])
    y = mean + np.sqrt((0.05 * mean) ** 2 + 0.008**2) * rng.standard_normal(mean.size)
    known = VarianceFunction(0.008, 0.05, np.inf)
    curve = fit_curves([Standards(x, y)], Weighting.FITTED, known)[0]
    sigma = np.sqrt(known.at(value(x, curve.parameters)))
    expected, covariance = curve_fit(
        lambda at, a, b, c, d: value(at, np.array([a, b, c, d])),
        x,
        y,
        p0=curve.parameters * 1.01,
        sigma=sigma,
        absolute_sigma=True,
        check_finite=False,
        xtol=1e-14,
    )
    np.testing.assert_allclose(curve.parameters, expected, rtol=1e-6)
    np.testing.assert_allclose(curve.covariance, covariance, rtol=1e-4, atol=1e-12)


def test_nist_files_hold_the_numbers_used_here(shared_data: Path) -> None:
    for name, x, y in (("Misra1d", MISRA_X, MISRA_Y), ("Rat42", RAT42_X, RAT42_Y)):
        text = (shared_data / f"curves/nist/{name}.dat").read_text(encoding="utf-8").rpartition("Data:")[2]
        numbers = np.array([[float(cell) for cell in line.split()] for line in text.splitlines() if re.match(r"^\s*[\d.]", line)])
        np.testing.assert_array_equal(numbers, np.column_stack([y, x]))
