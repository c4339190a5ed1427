"""What specimens of one plate share: loadings against the scatter of concentrations over curves fitted to redrawn standards.

Seven two-fold standards from 1,000 and a zero, in duplicate; readings of two specimens held fixed, so that the curve alone moves.
The Monte Carlo error of a variance from 4,000 curves is 2.2 %; the delta method itself is good to a few percent more.
"""

import numpy as np
import pytest

from exvivo.numerics.curves import Curve, Weighting, fit_curves
from exvivo.numerics.inverse import Readings, estimate_concentrations
from exvivo.numerics.least_squares import Standards
from exvivo.numerics.logistic import value
from exvivo.numerics.variance import Array, VarianceFunction

TRUTH = np.array([0.07, 1.15, np.log(350.0), 3.2])
SCATTER = VarianceFunction(0.008, 0.05, np.inf)
LEVELS = np.concatenate([np.log(1000 * 0.5 ** np.arange(7)).repeat(2), [-np.inf, -np.inf]])
CURVES = 4000
PAIRS = {"apart": (31.0, 500.0), "close": (100.0, 130.0), "low": (16.0, 40.0), "same": (200.0, 200.0)}


@pytest.fixture(scope="module")
def curves() -> tuple[Curve, ...]:
    rng = np.random.default_rng(20261124)
    mean = value(LEVELS, TRUTH)
    redrawn = mean + np.sqrt(SCATTER.at(mean)) * rng.standard_normal((CURVES, LEVELS.size))
    return fit_curves([Standards(LEVELS, signal) for signal in redrawn], Weighting.FITTED, SCATTER)


@pytest.fixture(scope="module")
def ideal() -> Curve:
    """The curve that standards without error give: its loading is the one to check."""
    (curve,) = fit_curves([Standards(LEVELS, value(LEVELS, TRUTH))], Weighting.FITTED, SCATTER)
    return curve


def invert(curves: tuple[Curve, ...], concentrations: tuple[float, float]) -> tuple[Array, Array]:
    """Ln concentrations (curves, 2) of two readings held fixed, and their gradients (curves, 2, 4)."""
    signal = np.tile(value(np.log(concentrations), TRUTH), len(curves))[:, None]
    plate = np.repeat(np.arange(len(curves)), 2)
    none = np.zeros(signal.shape, dtype=np.bool_)
    found = estimate_concentrations(curves, Readings(plate, signal, np.zeros(signal.shape), none, ~none))
    return found.log_conc.reshape(-1, 2), found.gradient.reshape(-1, 2, 4)


@pytest.mark.parametrize("name", PAIRS)
def test_loadings_are_the_covariance_over_redrawn_standards(name: str, curves: tuple[Curve, ...], ideal: Curve) -> None:
    log_conc, _ = invert(curves, PAIRS[name])
    seen = np.cov(log_conc.T)
    loading = invert((ideal,), PAIRS[name])[1][0] @ ideal.loading
    told = loading @ loading.T
    np.testing.assert_allclose(np.sqrt(np.diag(told) / np.diag(seen)), 1, atol=0.06)
    correlation = seen[0, 1] / np.sqrt(seen[0, 0] * seen[1, 1])
    assert told[0, 1] / np.sqrt(told[0, 0] * told[1, 1]) == pytest.approx(correlation, abs=0.06)
    ratio = np.var(log_conc[:, 0] - log_conc[:, 1])
    assert float(np.sum((loading[0] - loading[1]) ** 2)) == pytest.approx(ratio, rel=0.15, abs=1e-12)


def test_the_error_of_one_plate_hardly_touches_a_ratio_on_it(curves: tuple[Curve, ...]) -> None:
    log_conc, _ = invert(curves, PAIRS["close"])
    assert np.std(log_conc[:, 0] - log_conc[:, 1]) < np.std(log_conc[:, 0]) / 3


def test_loadings_of_fitted_curves_scatter_around_the_right_ones(curves: tuple[Curve, ...], ideal: Curve) -> None:
    """A study has one plate's own loadings, not the ideal ones: on average over plates they tell the same error."""
    _, gradients = invert(curves[:500], PAIRS["apart"])
    own = np.array([np.sum((gradient @ curve.loading) ** 2, axis=1) for gradient, curve in zip(gradients, curves[:500], strict=True)])
    right = np.sum((invert((ideal,), PAIRS["apart"])[1][0] @ ideal.loading) ** 2, axis=1)
    np.testing.assert_allclose(np.sqrt(own.mean(axis=0) / right), 1, atol=0.1)
