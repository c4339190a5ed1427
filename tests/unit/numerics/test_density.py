"""Peaks, ellipses and medians of samples whose truth is known."""

import numpy as np
import pytest
from numpy.typing import NDArray
from statsmodels.stats.proportion import proportion_confint

from exvivo.numerics import density


def histogram(*peaks: tuple[float, float, int], seed: int = 0) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(centre, sd, n) for centre, sd, n in peaks])
    return np.histogram(values, bins=256, range=(0, 256))[0].astype(float)


def test_two_peaks_are_parted_at_the_valley() -> None:
    basins = density.find_basins(histogram((60, 10, 8000), (160, 15, 800)))
    assert len(basins) == 2
    assert [basin.peak for basin in basins] == pytest.approx([60, 160], abs=5)
    assert 90 < basins[0].right == basins[1].left < 130
    assert basins[1].mass == pytest.approx(800 / 8800, abs=0.01)


@pytest.mark.parametrize("seed", range(8))
def test_noise_on_one_peak_makes_no_second(seed: int) -> None:
    assert len([b for b in density.find_basins(histogram((120, 25, 3000), seed=seed)) if b.mass > 0.02]) == 1


def test_no_counts_have_no_peaks() -> None:
    assert density.find_basins(np.zeros(10)) == ()


def test_half_spread_is_the_sd_of_the_clean_half() -> None:
    counts = histogram((100, 8, 50_000), (115, 6, 10_000))
    assert density.half_spread(counts, 100, upper=False) == pytest.approx(8, abs=1.5)


def test_ellipse_is_little_moved_by_what_lies_far_away() -> None:
    rng = np.random.default_rng(3)
    truth = np.array([[0.004, 0.002], [0.002, 0.006]])
    points = np.vstack([rng.multivariate_normal([0.7, 0.6], truth, 4000), rng.uniform(0, 1, (400, 2))])
    centre, scatter = density.fit_ellipse(points, np.ones(len(points)))
    np.testing.assert_allclose(centre, [0.7, 0.6], atol=0.005)
    np.testing.assert_allclose(scatter, truth, atol=0.0012)


def test_weights_stand_for_repeated_points() -> None:
    rng = np.random.default_rng(1)
    points = rng.normal(size=(60, 2))
    weights = rng.integers(1, 4, 60)
    once = density.fit_ellipse(points, weights.astype(float))
    repeated = density.fit_ellipse(np.repeat(points, weights, axis=0), np.ones(int(weights.sum())))
    np.testing.assert_allclose(once[0], repeated[0], atol=1e-6)


def test_outline_lies_on_the_ellipse() -> None:
    scatter = np.array([[4.0, 1.0], [1.0, 2.0]])
    outline = density.ellipse_outline(np.array([1.0, 2.0]), scatter, 7.378)
    shifted = outline - [1.0, 2.0]
    np.testing.assert_allclose(np.sum(shifted * np.linalg.solve(scatter, shifted.T).T, axis=1), 7.378)


def cells(n: int, gap: float, share: float, seed: int) -> NDArray[np.float64]:
    """Lognormal cells of spread 0.4 around 2,000, a share of them brighter by ``gap`` in ln, with the detector's noise."""
    rng = np.random.default_rng(seed)
    brighter = gap * (rng.random(n) < share)
    return np.asarray(2000 * np.exp(0.4 * rng.standard_normal(n) + brighter) + 60 * rng.standard_normal(n))


@pytest.mark.parametrize("n", [200, 1000, 4000])
@pytest.mark.parametrize(("centre", "spread"), [(0.0, 0.0), (100.0, 0.4), (3000.0, 0.4), (3000.0, 1.0)])
def test_one_kind_of_cell_has_no_valley(n: int, centre: float, spread: float) -> None:
    """Signals from none to strongly skewed on a background with noise: at most 1 of 100 samples shows a valley of a quarter."""
    rng = np.random.default_rng([n, int(centre), int(10 * spread)])
    signal, background, noise = rng.standard_normal((3, 100, n))
    values = centre * np.exp(spread * signal) + 250 * np.exp(0.3 * background) + 60 * noise
    depths = [density.valley_depth(sample, 190.0) for sample in values]
    assert np.mean(np.array(depths) > 0.25) <= 0.01


@pytest.mark.parametrize(("n", "gap", "share", "power"), [(200, 2.0, 0.5, 0.98), (200, 2.0, 0.2, 0.95), (1000, 1.5, 0.5, 0.98)])
def test_two_kinds_of_cells_have_a_valley(n: int, gap: float, share: float, power: float) -> None:
    depths = np.array([density.valley_depth(cells(n, gap, share, seed), 120.0) for seed in range(100)])
    assert np.mean(depths > 0.25) >= power


def test_noise_around_zero_is_one_kind_on_a_scale_wide_enough() -> None:
    noise = np.random.default_rng(4).normal(0, 100, 20_000)
    assert density.valley_depth(noise, 200.0) < 0.05
    assert density.valley_depth(noise, 20.0) > 0.25


def test_constant_values_have_no_valley() -> None:
    assert density.valley_depth(np.full(50, 3.0), 1.0) == 0


@pytest.mark.parametrize(("hits", "n"), [(0, 20), (5, 20), (20, 20), (733, 900)])
def test_wilson_limits_equal_another_implementation(hits: int, n: int) -> None:
    assert density.wilson_limits(hits, n) == pytest.approx(proportion_confint(hits, n, method="wilson"), abs=1e-12)
