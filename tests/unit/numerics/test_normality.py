import numpy as np
import pytest
import statsmodels.api as sm

from exvivo.numerics.normality import find_farthest, limit_correlation, plot_normal


@pytest.mark.parametrize("n", [4, 6, 12, 40])
def test_the_band_holds_whole_normal_samples_as_often_as_it_says(n: int) -> None:
    rng = np.random.default_rng(7)
    inside = np.mean([plot_normal(rng.normal(3.0, 2.0, n)).outside == 0 for _ in range(2000)])
    assert inside == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / 2000) + 0.003)


def test_a_skewed_sample_leaves_the_band() -> None:
    assert plot_normal(np.exp(2 * np.random.default_rng(1).normal(size=40))).outside > 0


def test_the_plot_keeps_the_places_of_the_values() -> None:
    d = [0.3, -1.0, 2.0, 0.1, 0.2]
    plot = plot_normal(d)
    assert [d[place] for place in plot.order] == sorted(d)
    assert np.all(np.diff(plot.expected) > 0)
    assert plot.expected == pytest.approx(-plot.expected[::-1])


def test_the_farthest_value_is_that_of_statsmodels() -> None:
    d = np.random.default_rng(5).normal(size=14)
    reference = sm.OLS(d, np.ones(14)).fit().get_influence().resid_studentized_external
    found = find_farthest(d)
    assert found.place == int(np.argmax(np.abs(reference)))
    assert found.residual == pytest.approx(float(reference[found.place]), rel=1e-9)


def test_limits_are_those_of_r() -> None:
    # R 4.2: qt(1 - 0.05 / 28, 12); qt(.975, 18) / sqrt(18 + qt(.975, 18)^2)
    assert find_farthest(np.random.default_rng(5).normal(size=14)).limit == pytest.approx(3.6112492, rel=1e-6)
    assert limit_correlation(20) == pytest.approx(0.4437634, rel=1e-6)


@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0], [1.0] * 6, [1.0, 2.0, 3.0, float("inf")]])
def test_too_little_to_look_at_is_refused(values: list[float]) -> None:
    for look in (plot_normal, find_farthest):
        with pytest.raises(ValueError, match="finite values that differ"):
            look(values)
