from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import integrate, stats

from exvivo.numerics.censored import Covariance, fit_censored_pairs
from exvivo.numerics.censored_mixed import CensoredMixedFit, fit_censored_mixed
from exvivo.numerics.tobit import fit_tobit

Array = NDArray[np.float64]
RNG = np.random.default_rng(8)
WELLS = np.array([3, 1, 2, 4, 2, 1, 5, 2])  # of each donor, in either condition
DONORS = np.repeat(np.arange(16) // 2, np.repeat(WELLS, 2)).tolist()
DRUG = np.concatenate([[arm] * count for count in WELLS for arm in (0.0, 1.0)])
X = np.column_stack([np.ones(len(DRUG)), DRUG])
Y = 4.6 - 0.6 * DRUG + RNG.normal(0, 0.8, 8)[DONORS] + RNG.normal(0, 0.4, len(DRUG))
LIMIT = np.where(np.arange(len(Y)) % 2, 3.2, 3.6)  # two plates
LOW = np.where(Y < LIMIT, -np.inf, np.where(Y > 4.9, 4.9, Y))
HIGH = np.where(Y < LIMIT, LIMIT, np.where(Y > 4.9, np.inf, Y))


def integrated(fit: CensoredMixedFit, donor: int) -> float:
    """Log-likelihood of one donor by scipy's integration over its effect."""
    rows = np.flatnonzero(np.array(DONORS) == donor)
    residual = stats.norm(X[rows] @ fit.coefficients, fit.residual_sd)

    def density(effect: float) -> float:
        known = residual.pdf(LOW[rows] - effect)
        between = residual.cdf(HIGH[rows] - effect) - residual.cdf(LOW[rows] - effect)
        return float(np.prod(np.where(LOW[rows] == HIGH[rows], known, between)) * stats.norm.pdf(effect, 0, fit.donor_sd))

    points = np.linspace(-6 * fit.donor_sd, 6 * fit.donor_sd, 25).tolist()
    return float(np.log(integrate.quad(density, points[0], points[-1], points=points[1:-1], limit=400, epsrel=1e-11)[0]))


def test_the_likelihood_is_that_of_integration_and_has_its_top_here() -> None:
    assert np.isinf(LOW).any()
    assert np.isinf(HIGH).any()
    fit = fit_censored_mixed(LOW, HIGH, X, DONORS)
    assert fit.log_likelihood == pytest.approx(sum(integrated(fit, donor) for donor in range(8)), abs=1e-7)
    lower = fit.coefficients - np.array([0.0, 0.02])
    wider, closer = replace(fit, residual_sd=fit.residual_sd * 1.02), replace(fit, donor_sd=fit.donor_sd * 0.97)
    for other in (wider, closer, replace(fit, coefficients=lower)):
        assert sum(integrated(other, donor) for donor in range(8)) < fit.log_likelihood


def test_pairs_equal_their_exact_likelihood() -> None:
    rng = np.random.default_rng(21)
    x = rng.normal(5, 0.7, 12)
    y = x - 0.4 + rng.normal(0, 0.3, 12)
    both = np.concatenate([x, y])
    low, high = np.where(both < 4.5, -np.inf, both), np.maximum(both, 4.5)
    pairs = fit_censored_pairs(
        np.column_stack([low[12:], high[12:]]), np.column_stack([low[:12], high[:12]]), covariance=Covariance.EXCHANGEABLE
    )
    mixed = fit_censored_mixed(low, high, np.column_stack([np.ones(24), np.arange(24) >= 12]), 2 * list(range(12)))
    got = [*mixed.coefficients, mixed.se[1], mixed.log_likelihood, mixed.donor_sd, mixed.residual_sd]
    sd, rho = pairs.sd_drug, pairs.correlation
    want = [pairs.mean_comparator, pairs.estimate, pairs.se, pairs.log_likelihood, sd * rho**0.5, sd * (1 - rho) ** 0.5]
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_without_donor_variance_it_is_the_tobit_model() -> None:
    donors = np.tile(np.arange(12), 2)
    rng = np.random.default_rng(3)
    arm = np.repeat([0.0, 1.0], 12)
    split = rng.normal(0, 1, 12)
    y = arm + np.concatenate([split, -split]) + rng.normal(0, 0.1, 24)  # the two values of a donor go apart
    design, low = np.column_stack([np.ones(24), arm]), np.where(y < -0.5, -np.inf, y)
    high = np.maximum(y, -0.5)
    mixed, plain = fit_censored_mixed(low, high, design, donors.tolist()), fit_tobit(low, high, design)
    np.testing.assert_allclose(mixed.coefficients, plain.coefficients, rtol=1e-4)
    assert mixed.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-4)


def test_every_value_needs_a_donor() -> None:
    with pytest.raises(ValueError, match="one for each"):
        fit_censored_mixed(LOW, HIGH, X, DONORS[:-1])
