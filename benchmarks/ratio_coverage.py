"""Coverage of intervals that rest on one standard curve or a few: one donor's ratio, and a study's effect.

    python benchmarks/ratio_coverage.py --plates 4000

Design, fixed before the first run: truth a .07, b 1.15, c 350, d 3.2; seven two-fold standards from 1,000 and a zero, in duplicate; SD
of a reading (5 % of it)^2 + 0.008^2; studies of 20 plates pool their variance. *Ratio*: two specimens of one plate, one well each, at
the concentrations named; interval from the shared covariance, and from errors taken as independent. *Effect*: 12 or 24 donors with a
true ratio of 0.6 from vehicle values around 150 (SD of ln 0.4) on one, two or three plates, both conditions of a donor on one plate in
duplicate wells, ln ratios scattering with SD 0.1 or 0.4; the paired t interval, and the one that carries what curves share. Seed
20261125, one stream for each row of the tables.
"""

import argparse
from collections.abc import Sequence

import numpy as np
from scipy import stats

from exvivo.estimate.carried import Curves, carry_calibration, share_of_curves
from exvivo.estimate.effect import Effect
from exvivo.estimate.pairs import Pairs, Reading
from exvivo.numerics.curves import Curve
from exvivo.numerics.inverse import Estimates, Readings, estimate_concentrations
from exvivo.numerics.least_squares import Standards
from exvivo.numerics.logistic import value
from exvivo.numerics.paired import fit_mean
from exvivo.numerics.pooling import fit_pooled
from exvivo.numerics.variance import Array, VarianceFunction
from exvivo.study.statuses import Method

SEED = 20261125
TRUTH = np.array([0.07, 1.15, np.log(350.0), 3.2])
SCATTER = VarianceFunction(0.008, 0.05, np.inf)
LEVELS = np.concatenate([np.log(1000 * 0.5 ** np.arange(7)).repeat(2), [-np.inf, -np.inf]])
POOL = 20
PAIRS = [(31.0, 500.0), (100.0, 130.0), (16.0, 40.0), (200.0, 200.0), (600.0, 60.0)]
DONORS, ON_PLATES, SCATTERS, RATIO = (12, 24), (1, 2, 3), (0.1, 0.4), 0.6


def read(log_conc: Array, rng: np.random.Generator) -> Array:
    """One reading at each log concentration."""
    mean = value(log_conc, TRUTH)
    return np.asarray(mean + np.sqrt(SCATTER.at(mean)) * rng.standard_normal(mean.shape))


def fit_study(rng: np.random.Generator) -> tuple[Curve, ...]:
    """Curves of one study's plates."""
    return fit_pooled([Standards(LEVELS, read(LEVELS, rng)) for _ in range(POOL)]).curves


def invert(curves: Sequence[Curve], plate: np.ndarray, signal: Array) -> Estimates:
    """Concentrations of specimens, (n, wells) signals."""
    none = np.zeros(signal.shape, dtype=np.bool_)
    return estimate_concentrations(curves, Readings(plate, signal, np.zeros(signal.shape), none, ~none), level=None)


def cover_ratio(pair: tuple[float, float], plates: int, rng: np.random.Generator) -> tuple[float, float, float]:
    """Coverage from the shared covariance, from independent errors, and how much narrower the first is."""
    truth = float(np.log(pair[0] / pair[1]))
    shared, apart, widths = [], [], []
    for _ in range(plates // POOL):
        curves = fit_study(rng)
        plate = np.arange(POOL).repeat(2)
        found = invert(curves, plate, read(np.log(np.tile(pair, POOL)), rng)[:, None])
        loading = np.array([found.gradient[i] @ curves[p].loading for i, p in enumerate(plate)])
        ratio = found.log_conc[0::2] - found.log_conc[1::2]
        reading = found.se_log[0::2] ** 2 + found.se_log[1::2] ** 2
        joint = np.sqrt(reading + np.sum((loading[0::2] - loading[1::2]) ** 2, axis=1))
        alone = np.sqrt(reading + np.sum(loading**2, axis=1)[0::2] + np.sum(loading**2, axis=1)[1::2])
        half = stats.t.ppf(0.975, curves[0].variance.df)
        shared.append(np.abs(ratio - truth) <= half * joint)
        apart.append(np.abs(ratio - truth) <= half * alone)
        widths.append(joint / alone)
    return float(np.mean(shared)), float(np.mean(apart)), float(np.median(widths))


def cover_effect(donors: int, n_plates: int, scatter: float, studies: int, rng: np.random.Generator) -> tuple[float, float, float]:
    """Coverage of the paired interval, of the one that carries the curves, and how much wider it is."""
    hits, widths = np.zeros((studies, 2)), np.zeros(studies)
    for study in range(studies):
        curves = fit_study(rng)
        plate = np.arange(donors) % n_plates
        vehicle = np.log(150.0) + 0.4 * rng.standard_normal(donors)
        drug = vehicle + np.log(RATIO) + scatter * rng.standard_normal(donors)
        wells = read(np.concatenate([drug, vehicle])[:, None].repeat(2, axis=1), rng)
        found = invert(curves, np.concatenate([plate, plate]), wells)
        loadings = {(f"P:{plate[i % donors]}", str(i)): found.gradient[i] @ curves[plate[i % donors]].loading for i in range(2 * donors)}
        arms = [
            tuple(
                Reading(str(i), "", x, x, below=False, measurements=2, specimens=(str(i + at),), plates=(f"P:{plate[i]}",)) for i, x in part
            )
            for at, part in ((0, enumerate(found.log_conc[:donors])), (donors, enumerate(found.log_conc[donors:])))
        ]
        pairs = Pairs(*arms)
        plain = Effect("P1", "CCL18", "drug").estimated(fit_mean(pairs.differences[:, 0], level=0.95), Method.PAIRED_T)
        carried = carry_calibration(plain, share_of_curves(Curves(loadings, {}).loadings(pairs)), 0.95)
        ends = [np.log([effect.ci_low or 0.0, effect.ci_high or np.inf]) for effect in (plain, carried)]
        hits[study] = [low <= np.log(RATIO) <= high for low, high in ends]
        widths[study] = np.ptp(ends[1]) / np.ptp(ends[0])
    return float(hits[:, 0].mean()), float(hits[:, 1].mean()), float(np.median(widths))


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plates", type=int, default=4000, help="plates for each pair of concentrations")
    parser.add_argument("--studies", type=int, default=1000, help="studies for each row of the second table")
    asked = parser.parse_args()
    error = np.sqrt(0.95 * 0.05 / asked.plates)
    print(f"one donor's ratio, {asked.plates} plates a row, Monte-Carlo standard error {100 * error:.1f} points")
    print("concentrations | shared covariance, % | independent errors, % | width, shared / independent")
    for index, pair in enumerate(PAIRS):
        shared, apart, width = cover_ratio(pair, asked.plates, np.random.default_rng([SEED, 0, index]))
        print(f"{pair[0]:g} and {pair[1]:g} | {100 * shared:.1f} | {100 * apart:.1f} | {width:.2f}", flush=True)
    error = np.sqrt(0.95 * 0.05 / asked.studies)
    print(f"\nstudy effect, {asked.studies} studies a row, Monte-Carlo standard error {100 * error:.1f} points")
    print("donors | plates | SD of ln ratios | paired t, % | with the curves' error, % | median width, with / without")
    cells = [(n, p, s) for n in DONORS for p in ON_PLATES for s in SCATTERS]
    for index, cell in enumerate(cells):
        plain, carried, width = cover_effect(*cell, asked.studies, np.random.default_rng([SEED, 1, index]))
        print(f"{cell[0]} | {cell[1]} | {cell[2]:g} | {100 * plain:.1f} | {100 * carried:.1f} | {width:.2f}", flush=True)


if __name__ == "__main__":
    main()
