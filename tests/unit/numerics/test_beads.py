"""Bead populations told apart, counted, judged, and turned into a conversion."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from exvivo.numerics.beads import (
    NOBODY,
    Fate,
    find_populations,
    fit_conversion,
    select_singlets,
    summarise_peaks,
)

Array = NDArray[np.float64]
KNOWN = np.array([0.0, 700.0, 2000.0, 6000.0, 17000.0, 48000.0, 140000.0, 290000.0])


def mixture(levels: list[float], noise: float, n: int = 600, seed: int = 1) -> tuple[Array, NDArray[np.intp]]:
    """Events of populations of equal size around the levels, 4 % wide and with constant noise, and which each is of."""
    rng = np.random.default_rng(seed)
    which = np.repeat(np.arange(len(levels)), n)
    return np.array(levels)[which] * np.exp(0.04 * rng.standard_normal(len(which))) + noise * rng.standard_normal(len(which)), which


LEVELS = [20.0, 110.0, 320.0, 950.0, 2700.0, 7600.0, 22000.0, 46000.0]


def test_every_bead_gets_its_population_from_the_channel_that_shows_all() -> None:
    good, which = mixture(LEVELS, 15.0)
    poor, _ = mixture(LEVELS, 400.0, seed=2)
    populations, shown = find_populations(np.column_stack([poor, good]), np.zeros(2), 8)
    assert populations is not None
    assert (populations.channels, populations.merged, shown[1]) == ((1,), (0, 0), 8)
    assert shown[0] < 8
    assert np.mean(populations.labels == which) > 0.995


def test_populations_that_run_together_are_counted_by_their_share() -> None:
    events, which = mixture([0.0, 8.0, 12.0, *LEVELS[3:]], 15.0)
    populations, shown = find_populations(events[:, None], np.zeros(1), 8)
    assert populations is not None
    assert (populations.merged, shown) == ((3, 0), (6,))
    assert np.all(populations.labels[which < 3] == NOBODY)
    assert np.mean(populations.labels[which >= 3] == which[which >= 3]) > 0.995


def test_populations_at_the_ceiling_are_counted_by_their_share() -> None:
    events, _ = mixture(LEVELS, 15.0)
    populations, _ = find_populations(np.minimum(events, 15000.0)[:, None], np.zeros(1), 8)
    assert populations is not None
    assert populations.merged == (0, 2)


def test_what_runs_together_in_one_channel_is_told_apart_by_another() -> None:
    bright, which = mixture(LEVELS, 15.0)
    dim = mixture([level / 400 for level in LEVELS], 5.0, seed=2)[0]
    events = np.column_stack([np.minimum(bright, 5000.0), dim])
    alone, _ = find_populations(events[:, :1], np.zeros(1), 8)
    populations, _ = find_populations(events, np.zeros(2), 8)
    assert alone is not None
    assert populations is not None
    assert (alone.merged, populations.merged, populations.channels) == ((0, 3), (0, 0), (0, 1))
    assert np.mean(populations.labels == which) > 0.98


def test_noise_is_not_cut_into_populations() -> None:
    rng = np.random.default_rng(7)
    events = np.column_stack([mixture([0.0, 8.0, *LEVELS[2:]], 15.0)[0], 20.0 * rng.standard_normal((4800, 6)).T[0]])
    populations, _ = find_populations(events, np.zeros(2), 8)
    assert populations is not None
    assert (populations.merged, populations.channels) == ((2, 0), (0,))


@pytest.mark.parametrize("n", [6, 7, 9, 10])
def test_another_number_of_populations_is_none(n: int) -> None:
    events, _ = mixture(LEVELS, 15.0)
    assert find_populations(events[:, None], np.zeros(1), n) == (None, (8,))


def test_noise_around_zero_makes_no_peaks_of_its_own() -> None:
    events, _ = mixture([0.0, *LEVELS[3:]], 15.0)
    assert find_populations(events[:, None], np.zeros(1), 7)[0] is None


def test_debris_is_no_population() -> None:
    events, _ = mixture(LEVELS, 15.0)
    debris = np.full(60, 150_000.0) * np.exp(0.02 * np.random.default_rng(3).standard_normal(60))
    populations, _ = find_populations(np.append(events, debris)[:, None], np.zeros(1), 8)
    assert populations is not None
    assert np.all(populations.labels[-60:] == NOBODY)


def test_two_beads_at_once_are_left_out() -> None:
    rng = np.random.default_rng(4)
    single = np.array([90_000.0, 40_000.0]) * np.exp(0.04 * rng.standard_normal((2000, 2)))
    double = 2 * np.array([90_000.0, 40_000.0]) * np.exp(0.04 * rng.standard_normal((200, 2)))
    kept = select_singlets(np.vstack([single, double]))
    assert 0.75 < kept[:2000].mean() < 0.95
    assert not kept[2000:].any()


def test_fate_of_every_population() -> None:
    values, labels = mixture([3.0, 300.0, 900.0, 990.0, 500.0], 5.0, n=200)
    few = np.append(labels, np.full(20, 5)), np.append(values, np.full(20, 700.0))
    peaks = summarise_peaks(few[1], few[0], [10.0, 100.0, None, 400.0, 200.0, 300.0, 600.0], 0.0, 1000.0)
    assert [peak.fate for peak in peaks] == [Fate.DIM, Fate.USED, Fate.UNKNOWN, Fate.SATURATED, Fate.USED, Fate.FEW, Fate.MERGED]
    assert peaks[1].median == pytest.approx(300.0, rel=0.02)
    assert (peaks[6].median, peaks[6].se, peaks[6].count) == (None, None, 0)


def test_exact_beads_give_their_own_parameters() -> None:
    slope, intercept, autofluorescence = 1.03, 2.1, 450.0
    fluorescence = np.exp((np.log(KNOWN + autofluorescence) - intercept) / slope)
    fit = fit_conversion(fluorescence, KNOWN)
    assert (fit.slope, fit.intercept, fit.autofluorescence) == pytest.approx((slope, intercept, autofluorescence), rel=1e-6)
    assert fit.df == 5
    assert np.abs(fit.residual_pct).max() < 1e-4
    assert fit.convert(np.array([1000.0, 0.0, -1000.0])) == pytest.approx(
        [math.exp(intercept) * 1000**slope, 0.0, -math.exp(intercept) * 1000**slope]
    )


def test_three_populations_leave_no_error_to_tell() -> None:
    fit = fit_conversion(np.array([100.0, 1000.0, 10_000.0]), np.array([500.0, 5000.0, 50_000.0]))
    assert (fit.df, fit.covariance, fit.error(500.0, 5.0)) == (0, None, None)
    assert fit.standard_errors() == (None, None, None)
    assert fit.slope == pytest.approx(1.0)


def test_standard_errors_are_those_of_repeated_calibrations() -> None:
    rng = np.random.default_rng(5)
    clean = np.exp((np.log(KNOWN + 450.0) - 2.1) / 1.03)
    fits = [fit_conversion(clean * np.exp(0.03 * rng.standard_normal(8)), KNOWN) for _ in range(400)]
    spread = np.std([fit.slope for fit in fits])
    told = math.sqrt(np.mean([(fit.standard_errors()[0] or 0.0) ** 2 for fit in fits]))
    assert told == pytest.approx(spread, rel=0.15)
    converted = np.std([math.log(fit.convert(np.array([3000.0]))[0]) for fit in fits])
    errors = [(fit.error(3000.0) or 0.0) / fit.convert(np.array([3000.0]))[0] for fit in fits]
    assert math.sqrt(np.mean(np.square(errors))) == pytest.approx(converted, rel=0.15)


def test_error_of_a_median_is_carried_through() -> None:
    fit = fit_conversion(np.exp((np.log(KNOWN + 450.0) - 2.1) / 1.03), KNOWN)
    assert fit.error(2000.0, 20.0) == pytest.approx(1.03 * 0.01 * fit.convert(np.array([2000.0]))[0], rel=1e-3)


def test_difference_of_two_values_has_the_error_of_repeated_calibrations() -> None:
    rng = np.random.default_rng(6)
    clean = np.exp((np.log(KNOWN + 450.0) - 2.1) / 1.05)
    found, told = [], []
    for _ in range(400):
        fit = fit_conversion(clean * np.exp(0.03 * rng.standard_normal(8)), KNOWN)
        difference, se = fit.difference((4000.0 + 60.0 * rng.standard_normal(), 60.0), (300.0 + 9.0 * rng.standard_normal(), 9.0))
        found.append(difference)
        told.append(se or 0.0)
    assert math.sqrt(np.mean(np.square(told))) == pytest.approx(np.std(found), rel=0.15)
    assert np.mean(found) == pytest.approx(math.exp(2.1) * (4000**1.05 - 300**1.05), rel=0.01)


def test_difference_to_zero_is_the_value_itself() -> None:
    fit = fit_conversion(np.exp((np.log(KNOWN + 450.0) - 2.1) / 1.03), KNOWN)
    difference, se = fit.difference((500.0, 4.0), (0.0, 0.0))
    assert difference == pytest.approx(fit.convert(np.array([500.0]))[0])
    assert se == fit.error(500.0, 4.0)
    assert fit.error(0.0, 4.0) == pytest.approx(1.03 * math.exp(2.1) * 4.0**1.03)


@pytest.mark.parametrize(
    ("fluorescence", "known"),
    [([1.0, 2.0], [1.0, 2.0]), ([0.0, 1.0, 2.0], [1.0, 2.0, 3.0]), ([1.0, 2.0, 3.0], [-1.0, 2.0, 3.0]), ([1.0, 2.0, 3.0], [0.0] * 3)],
)
def test_what_no_curve_goes_through_is_a_wrong_call(fluorescence: list[float], known: list[float]) -> None:
    with pytest.raises(ValueError, match="three or more"):
        fit_conversion(np.array(fluorescence), np.array(known))
