import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestIndPower, TTestPower

from exvivo.numerics.power import (
    Rejects,
    detectable_effect,
    donors_for,
    power_of_correlation,
    power_of_difference,
    power_of_mean,
    sd_of_ratio,
    simulate_power,
)


def test_power_equals_statsmodels() -> None:
    assert power_of_mean(12, 0.4, 0.5) == pytest.approx(TTestPower().power(0.8, 12, 0.05))
    assert power_of_difference(8, 12, 0.4, 0.5) == pytest.approx(TTestIndPower().power(0.8, 8, 0.05, ratio=1.5))
    assert donors_for(0.8, 0.4, 0.5, rejects=Rejects.EITHER) == pytest.approx(TTestPower().solve_power(0.8, None, 0.05, 0.8))


def test_without_effect_power_is_alpha() -> None:
    assert power_of_mean(9, 0.0, 1.0) == pytest.approx(0.05)
    assert power_of_mean(9, 0.0, 1.0, rejects=Rejects.RIGHT_SIDE) == pytest.approx(0.025)
    assert power_of_difference(5, 7, 0.0, 1.0, alpha=0.01) == pytest.approx(0.01)


def test_detectable_sizes_have_the_power_asked_for() -> None:
    assert power_of_mean(9, detectable_effect(9, 0.9, 0.4), 0.4, rejects=Rejects.RIGHT_SIDE) == pytest.approx(0.9)
    assert power_of_mean(donors_for(0.9, 0.3, 0.4), 0.3, 0.4, rejects=Rejects.RIGHT_SIDE) == pytest.approx(0.9)


def test_huge_effects_have_power_one() -> None:
    for n in (4, 10, 40):
        assert power_of_mean(n, 50.0, 1.0) == 1.0


def test_correlation_approaches_its_simulation() -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((4000, 20))
    y = 0.5 * x + np.sqrt(0.75) * rng.standard_normal(x.shape)
    rejected = stats.pearsonr(x, y, axis=1).pvalue < 0.05
    assert power_of_correlation(20, 0.5) == pytest.approx(rejected.mean(), abs=0.03)


def test_simulated_power_agrees_with_the_exact_one() -> None:
    sd = sd_of_ratio(0.35, 0.2, 2)
    assert sd == pytest.approx(np.sqrt(0.35**2 + 0.04))
    drawn = simulate_power(12, np.log(0.75), sd, np.random.default_rng(1), studies=100_000)
    assert drawn.power == pytest.approx(power_of_mean(12, np.log(0.75), sd), abs=4 * drawn.error)


def test_wrong_calls() -> None:
    with pytest.raises(ValueError, match="above zero"):
        power_of_mean(5, 1.0, 0.0)
    with pytest.raises(ValueError, match="effect of nothing"):
        donors_for(0.8, 0.0, 1.0)
    with pytest.raises(ValueError, match="not reached"):
        donors_for(1.0, 1e-6, 1.0)
    assert donors_for(0.01, 1.0, 1.0) == 2.0
