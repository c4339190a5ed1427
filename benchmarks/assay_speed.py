"""Seconds of processor time to fit 1,000 plates and back-calculate 40 unknowns of each with their standard errors, beside the named peers.

    python benchmarks/assay_speed.py                        all peers that are installed, five interleaved repetitions
    python benchmarks/assay_speed.py --plates 200 --repeats 3
    python benchmarks/assay_speed.py --five                 five parameters as well

All fit the same sixteen standard wells (eight levels with zero, in duplicate) without weights and must agree on the parameters.
``scipy`` starts where our own search ends, so that it has nothing to search; ours pays for the search. Plates differ in their
curves. Processor time of all threads, so that a busy machine does not blur the ratios. Targets: at least 6 times as fast as the
loop over scipy.optimize.curve_fit, 25 times bio-curve-fit, 100 times drc. Our intervals, and weights at the fitted means with
the variance pooled over the plates, have no peer and are timed beside them.
"""

import argparse
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import assay_peers as peers
import numpy as np
import numpy.typing as npt
from assay_design import SCENARIOS, draw_truth, read_wells
from scipy.optimize import curve_fit

from exvivo.numerics.curves import Curve, Weighting, fit_curves
from exvivo.numerics.inverse import Readings, estimate_concentrations
from exvivo.numerics.least_squares import Family, Plates, Shape, Standards, search_start
from exvivo.numerics.pooling import fit_pooled

Array = npt.NDArray[np.float64]

SEED, UNKNOWNS = 2026112520, 40
TARGETS = {"scipy curve_fit": 6.0, "bio-curve-fit": 25.0, "drc": 100.0}
AGREES = 1e-3


@dataclass(frozen=True, slots=True)
class Data:
    """Plates: log concentrations (wells,), signals (plates, wells), unknowns (plates, 40), starts (plates, 4) as (a, b, c, d)."""

    log_conc: Array
    signals: Array
    unknowns: Array
    starts: Array
    standards: list[Standards]
    readings: Readings

    @property
    def conc(self) -> Array:
        """Concentrations of the standard wells."""
        return np.exp(self.log_conc)

    @classmethod
    def of(cls, log_conc: Array, signals: Array, unknowns: Array, starts: Array) -> "Data":
        """With the same wells as the engine takes them: like a peer's file, they are there before the clock starts."""
        signal = unknowns.reshape(-1, 1)
        no = np.zeros(signal.shape, dtype=np.bool_)
        readings = Readings(np.repeat(np.arange(len(signals)), UNKNOWNS), signal, np.zeros(signal.shape), no, ~no)
        return cls(log_conc, signals, unknowns, starts, [Standards(log_conc, row) for row in signals], readings)


def draw(plates: int) -> Data:
    """Plates of the scenario with plate effects, unknowns spread over 8 to 900."""
    rng = np.random.default_rng(SEED)
    scenario = next(s for s in SCENARIOS if s.plate_effects)
    truth = draw_truth(scenario, plates, rng)
    signals = read_wells(truth, scenario.log_conc, rng)
    unknowns = read_wells(truth, np.log(np.geomspace(8, 900, UNKNOWNS)), rng)
    return Data.of(scenario.log_conc, signals, unknowns, our_starts(scenario.log_conc, signals))


def our_starts(log_conc: Array, signals: Array) -> Array:
    """Where our descent would start: the best point of its grid."""
    fit = Plates.pad([Standards(log_conc, signal) for signal in signals], Shape())
    found = search_start(fit, np.ones(fit.y.shape))
    found[..., 1] = np.exp(found[..., 1])
    a, b, log_c, d = (found[..., i, None] for i in range(4))
    with np.errstate(over="ignore"):
        cost = np.sum((fit.y[:, None] - (d + (a - d) / (1 + np.exp(b * (log_conc - log_c))))) ** 2, axis=-1)
    best = found[np.arange(len(found)), np.argmin(cost, axis=1)]
    best[:, 2] = np.exp(best[:, 2])
    return best


def ours(data: Data) -> Array:
    """Our batch: curves, then concentrations with the errors of reading and curve."""
    return _ours(data, Shape(), None)


def ours_with_intervals(data: Data) -> Array:
    """The same with the intervals, which no peer has."""
    return _ours(data, Shape(), 0.95)


def ours_five(data: Data) -> Array:
    """Five parameters, both branches."""
    return _ours(data, Shape(Family.FIVE), None)


def _ours(data: Data, shape: Shape, level: float | None) -> Array:
    curves = fit_curves(data.standards, Weighting.NONE, shape=shape)
    estimate_concentrations(curves, data.readings, level=level)
    return natural(curves)


def ours_pooled(data: Data) -> Array:
    """Our batch as a study uses it: variance estimated, weights at the fitted means, intervals."""
    curves = fit_pooled(data.standards).curves
    estimate_concentrations(curves, data.readings)
    return natural(curves)


def natural(curves: tuple[Curve, ...]) -> Array:
    """Parameters with c in place of log c."""
    parameters = np.array([curve.parameters for curve in curves])
    parameters[:, 2] = np.exp(parameters[:, 2])
    return parameters


def scipy_loop(data: Data) -> Array:
    """curve_fit and the delta method, plate by plate, from our starts."""
    return _scipy_from(data, data.starts)


def scipy_naive(data: Data) -> Array:
    """The same from the starts of a tutorial."""
    return _scipy_from(data, np.array([peers.naive_start(data.conc, signal) for signal in data.signals]))


def _scipy_from(data: Data, starts: Array) -> Array:
    found, conc = [], data.conc
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for signal, unknowns, start in zip(data.signals, data.unknowns, starts, strict=True):
            parameters, covariance = curve_fit(peers.logistic, conc, signal, p0=start, maxfev=5000)
            scatter = float(np.sum((signal - peers.logistic(conc, *parameters)) ** 2)) / (conc.size - 4)
            peers.invert_scipy(parameters, covariance, unknowns, scatter)
            found.append(parameters)
    return np.array(found)


def biocurvefit_loop(data: Data) -> Array:
    """bio-curve-fit, its own starts, no standard errors."""
    return np.array([peers.fit_biocurvefit(data.conc, y, u)[0] for y, u in zip(data.signals, data.unknowns, strict=True)])


def lmfit_loop(data: Data) -> Array:
    """lmfit from our starts, curves only."""
    return np.array([peers.fit_lmfit(data.conc, y, start.tolist()) for y, start in zip(data.signals, data.starts, strict=True)])


def openreadout_loop(data: Data) -> Array:
    """openreadout, reading each plate from a grid in a file as it must, no standard errors of concentrations."""
    standards = peers.standards_option(data.conc)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i}.csv" for i in range(len(data.signals))]
        for path, signal, unknowns in zip(paths, data.signals, data.unknowns, strict=True):
            peers.write_grid(path, np.concatenate([signal, unknowns]))
        began = time.process_time()
        found = np.array([peers.analyse_grid(path, standards, data.conc.size, UNKNOWNS)[0] for path in paths])
        OWN_CLOCK["openreadout"] = time.process_time() - began
    return found


def drc_loop(data: Data) -> Array:
    """drc LL.4 in R, its own starts and its own processor time: start of R and reading of the file are left out."""
    OWN_CLOCK["drc"], found = peers.fit_drc(data.conc, data.signals, data.unknowns)
    return found


Loop = Callable[[Data], Array]
OWN_CLOCK: dict[str, float] = {}
OURS, INTERVALS, POOLED = "ours", "ours, and intervals", "ours, pooled variance"


def ways(*, with_drc: bool) -> dict[str, Loop]:
    """Ways that can be run here, by name; the others are told."""
    found: dict[str, Loop] = {
        OURS: ours,
        INTERVALS: ours_with_intervals,
        POOLED: ours_pooled,
        "scipy curve_fit": scipy_loop,
        "scipy, naive starts": scipy_naive,
    }
    optional: dict[str, tuple[str, Loop]] = {
        "bio-curve-fit": ("bio_curve_fit", biocurvefit_loop),
        "lmfit": ("lmfit", lmfit_loop),
        "openreadout": ("openreadout", openreadout_loop),
    }
    for name, (module, loop) in optional.items():
        version = peers.installed(module, name)
        print(f"{name} {version}" if version else f"{name} is not installed: left out")
        if version:
            found[name] = loop
    version = peers.drc_version() if with_drc else None
    print(f"drc {version}" if version else "drc in R is not installed: left out")
    return found | ({"drc": drc_loop} if version else {})


def measure(loops: dict[str, Loop], data: Data, repeats: int) -> tuple[dict[str, list[float]], dict[str, Array]]:
    """Seconds and parameters of each way, the repetitions interleaved."""
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    parameters: dict[str, Array] = {}
    for name, loop in loops.items():
        loop(Data.of(data.log_conc, data.signals[:5], data.unknowns[:5], data.starts[:5]))
        parameters[name] = np.zeros(0)
    for _ in range(repeats):
        for name, loop in loops.items():
            OWN_CLOCK.pop(name, None)
            began = time.process_time()
            parameters[name] = loop(data)
            seconds[name].append(OWN_CLOCK.get(name, time.process_time() - began))
    return seconds, parameters


def report(seconds: dict[str, list[float]], parameters: dict[str, Array], plates: int) -> bool:
    """Print medians, ratios and agreement; whether the targets are met and all agree."""
    held, mine = True, statistics.median(seconds[OURS])
    head = f"{'':<24}{'s':>9}{'ms/plate':>10}{'ratio':>8}{'range of ratios':>18}{'max diff':>11}{'> 0.1 %':>9}"
    print(head + "  target")
    for name, times in seconds.items():
        median = statistics.median(times)
        paired = [other / own for other, own in zip(times, seconds[OURS], strict=True)]
        away = np.max(np.abs(parameters[name] / parameters[OURS] - 1), axis=1)
        target = TARGETS.get(name)
        fine = target is None or median / mine >= target
        held &= fine
        told = "" if target is None else f"  >= {target:g}: {'PASS' if fine else 'FAIL'}"
        spread = f"{min(paired):.2f} to {max(paired):.2f}"
        agreement = f"{np.nanmax(away):>11.1e}{np.mean(~(away <= AGREES)):>9.2%}" if name != POOLED else f"{'':>20}"
        print(f"{name:<24}{median:>9.3f}{1000 * median / plates:>10.3f}{median / mine:>8.2f}{spread:>18}{agreement}{told}")
    return held


def five_parameters(data: Data, repeats: int) -> None:
    """Print seconds with five parameters, ours against scipy started at our four."""
    conc, starts = data.conc, np.column_stack([data.starts, np.ones(len(data.starts))])

    def scipy_five(given: Data) -> Array:
        found = []
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            for signal, start in zip(given.signals, starts, strict=False):
                try:
                    found.append(curve_fit(asymmetric, conc, signal, p0=start, maxfev=5000)[0])
                except RuntimeError:
                    found.append(np.full(5, np.nan))
        return np.array(found)

    loops: dict[str, Loop] = {OURS: ours_five, "scipy curve_fit": scipy_five}
    seconds, parameters = measure(loops, data, repeats)
    mine, other = (statistics.median(seconds[name]) for name in loops)
    failed = np.mean(np.isnan(parameters["scipy curve_fit"][:, 0]))
    print(f"five parameters: ours {mine:.3f} s, scipy curve_fit {other:.3f} s, ratio {other / mine:.2f}")
    print(f"there scipy fits the curves of one branch only, started at our four parameters, and fails on {failed:.1%} of plates")


def asymmetric(conc: Array, a: float, b: float, c: float, d: float, g: float) -> Array:
    """Five parameters as their users write them."""
    return d + (a - d) / (1 + (conc / c) ** b) ** g


def main(given: argparse.Namespace) -> bool:
    """Measure and print."""
    data = draw(given.plates)
    loops = ways(with_drc=not given.no_drc)
    print(
        f"{given.plates:,} plates, {data.log_conc.size} standard wells, {UNKNOWNS} unknowns each; {given.repeats} repetitions, seed {SEED}"
    )
    held = report(*measure(loops, data, given.repeats), given.plates)
    if given.five:
        five_parameters(data, given.repeats)
    print("PASS" if held else "FAIL")
    return held


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plates", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--five", action="store_true", help="five parameters as well")
    parser.add_argument("--no-drc", action="store_true", help="leave R out")
    sys.exit(0 if main(parser.parse_args()) else 1)
