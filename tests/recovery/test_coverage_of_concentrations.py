"""Coverage of 95 % intervals for single-well unknowns, variance pooled over the 20 plates of a study.

Design: 7 two-fold standards from 1,000 and a zero, in duplicate; variance of a reading
(5 % of the mean)^2 + 0.008^2; 20 studies of 20 plates; seeds fixed. The unknowns of a study share
its variance estimate, so the Monte Carlo error is taken from the spread between studies.
"""

import numpy as np

from exvivo.numerics.inverse import Readings, estimate_concentrations
from exvivo.numerics.least_squares import Standards
from exvivo.numerics.logistic import value
from exvivo.numerics.pooling import fit_pooled
from exvivo.numerics.variance import Array, VarianceFunction

TRUTH = np.array([0.07, 1.15, np.log(350.0), 3.2])
SCATTER = VarianceFunction(0.008, 0.05, np.inf)
LEVELS = np.concatenate([np.log(1000 * 0.5 ** np.arange(7)).repeat(2), [-np.inf, -np.inf]])
UNKNOWNS = np.log([4.0, 8.0, 16.0, 31.0, 62.0, 125.0, 250.0, 500.0, 900.0])
STUDIES, PLATES = 20, 20


def read(log_conc: Array, rng: np.random.Generator) -> Array:
    mean = value(log_conc, TRUTH)
    return np.asarray(mean + np.sqrt(SCATTER.at(mean)) * rng.standard_normal(mean.shape))


def covered(study: int) -> Array:
    rng = np.random.default_rng([20261123, study])
    curves = fit_pooled([Standards(LEVELS, read(LEVELS, rng)) for _ in range(PLATES)]).curves
    truth = np.tile(UNKNOWNS, PLATES)
    signal = read(truth, rng)[:, None]
    none = np.zeros(signal.shape, dtype=np.bool_)
    plate = np.repeat(np.arange(PLATES), UNKNOWNS.size)
    found = estimate_concentrations(curves, Readings(plate, signal, np.zeros(signal.shape), none, ~none))
    return np.asarray(((found.ci_low <= truth) & (truth <= found.ci_high)).reshape(PLATES, -1).mean(axis=0))


def test_intervals_cover_from_the_lowest_to_the_highest_level() -> None:
    by_study = np.array([covered(study) for study in range(STUDIES)])
    coverage = by_study.mean(axis=0)
    error = by_study.std(axis=0, ddof=1) / np.sqrt(STUDIES)
    assert np.all(error < 0.02)
    assert np.all(coverage > 0.92), coverage
    assert np.all(np.abs(coverage - 0.95) < 0.01 + 3 * error), (coverage, error)
    assert abs(coverage.mean() - 0.95) < 0.01 + 3 * by_study.mean(axis=1).std(ddof=1) / np.sqrt(STUDIES)
