import itertools
from typing import Literal

import numpy as np
import pytest
from scipy import special, stats

from exvivo.numerics.bootstrap import bootstrap_mean, bootstrap_t, resample_mean, resample_median

D = np.array([-0.05, 0.21, 0.24, -1.03, -0.47, -0.92, -0.6, -1.22, -0.63, 0.8, -0.96, -1.14])


@pytest.mark.parametrize("n", [4, 5])
def test_distributions_equal_enumeration(n: int) -> None:
    resamples = np.array(list(itertools.product(D[:n], repeat=n)))
    for ours, statistic in ((resample_mean(D[:n]), resamples.mean(axis=1)), (resample_median(D[:n]), np.median(resamples, axis=1))):
        for at in (-1.01, -0.501, -0.111, 0.0, 0.201):
            assert ours.below(at) == pytest.approx((statistic < at).mean(), abs=2e-3)
    median = resample_median(D[:n])
    for value in np.unique(np.median(resamples, axis=1)):
        assert median.below(value - 1e-9) == pytest.approx((np.median(resamples, axis=1) < value - 1e-9).mean(), abs=1e-12)


def test_moments_of_the_mean() -> None:
    ours = resample_mean(D)
    weight = np.diff(ours.cumulative, prepend=0.0)
    mean = weight @ ours.values
    assert mean == pytest.approx(D.mean(), rel=1e-9)
    assert weight @ (ours.values - mean) ** 2 == pytest.approx(D.var() / D.size, rel=1e-6)


@pytest.mark.parametrize("method", ["percentile", "basic", "BCa"])
def test_limits_agree_with_scipy_within_its_own_error(method: Literal["percentile", "basic", "BCa"]) -> None:
    ours = bootstrap_mean(D)
    drawn = stats.bootstrap((D,), np.mean, n_resamples=50_000, method=method, rng=np.random.default_rng(1)).confidence_interval
    limits = {"percentile": ours.percentile, "basic": ours.basic, "BCa": ours.bca}[method]
    assert limits == pytest.approx((float(drawn.low), float(drawn.high)), abs=0.05 * ours.se)


def test_studentised_limits_are_wider_and_tell_their_error() -> None:
    ours = bootstrap_t(D, np.random.default_rng(1), draws=40_000)
    again = bootstrap_t(D, np.random.default_rng(2), draws=40_000)
    t = stats.ttest_1samp(D, 0).confidence_interval()
    assert ours.low < bootstrap_mean(D).bca[0]
    assert (ours.low, ours.high) == pytest.approx(tuple(t), abs=0.2)
    assert abs(ours.low - again.low) < 6 * ours.low_error
    assert abs(ours.high - again.high) < 6 * ours.high_error


def test_wrong_calls() -> None:
    with pytest.raises(ValueError, match="all equal"):
        bootstrap_mean([1.0, 1.0])
    with pytest.raises(ValueError, match="two donors"):
        bootstrap_mean([1.0])
    assert resample_mean([2.0, 2.0]).quantile(0.5) == 2.0


@pytest.mark.parametrize("values", [[1.2, 2.4, 1.3, 1.3, 0.0], [-0.4, 0.1, 0.3, -0.6, -0.9, -0.2], [1, -2, 2, 3, -1]])
def test_resampled_means_of_rounded_values_are_those_of_all_resamples(values: list[float]) -> None:
    means = np.round([np.mean(chosen) for chosen in itertools.product(values, repeat=len(values))], 9)
    found, middle = resample_mean(values), float(np.round(np.mean(values), 9))
    at, counts = np.unique(means, return_counts=True)
    shares = np.cumsum(counts) / means.size
    for probability in (0.025, 0.1, 0.5, 0.9, 0.975):
        assert found.quantile(probability) == pytest.approx(at[np.searchsorted(shares, probability - 1e-12)], abs=1e-9)
    assert bootstrap_mean(values).z0 == pytest.approx(special.ndtri((means < middle).mean()), abs=1e-9)
