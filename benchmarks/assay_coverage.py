"""How often the 95 % intervals of a concentration cover it, at fixed true concentrations, beside unweighted fits and the named peers.

    python benchmarks/assay_coverage.py                                    every scenario, 4,000 plates each
    python benchmarks/assay_coverage.py --scenario base --plates 400       one of them, quickly
    python benchmarks/assay_coverage.py --model auto                       another model than the scenario's own

Scenarios, levels and seeds stand in ``assay_design.py``. All wells count, also those beyond an asymptote: a one-sided interval
covers if it contains the truth; a way that gives no interval for a well does not cover it. The criterion, at the judged levels:
93.5 to 96.5 % with the variance pooled over the 20 plates of a study, at least 91 % with each plate alone, widened by three
Monte-Carlo standard errors (from the spread between studies, as wells of a study share its variance, and no less than if they
did not); in the base scenario also a median half-width of at most 0.30 at 16; everywhere an estimated lower limit of
quantification within a factor 1.5 of the true.
"""

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import assay_peers as peers
import numpy as np
import numpy.typing as npt
from assay_design import LEVELS, PLATES_OF_A_STUDY, SCENARIOS, WIDTH_AT, Scenario, Study, chosen, draw_study, true_lloq
from scipy.special import stdtrit

from exvivo.numerics.curves import Curve, Weighting
from exvivo.numerics.inverse import Readings, estimate_concentrations, limits
from exvivo.numerics.least_squares import Standards
from exvivo.numerics.pooling import Model, fit_pooled

Array = npt.NDArray[np.float64]

LOW, HIGH, ALONE_LOW, WIDEST, LLOQ_FACTOR = 0.935, 0.965, 0.91, 0.30, 1.5
POOLED, ALONE = "ours, pooled", "ours, alone"
UNCUT = np.log([1.0, 4000.0])


@dataclass(frozen=True, slots=True)
class Answer:
    """What one way says of a study's unknowns: (plates, levels) in ln; ``lloq`` and ``lloq_uncut`` (plates,) in ln, NaN = none."""

    log_conc: Array
    low: Array
    high: Array
    lloq: Array
    lloq_uncut: Array


def fit_study(standards: Sequence[Standards], weighting: Weighting, model: Model) -> tuple[Curve, ...]:
    """Curves of plates, variance pooled under weighting ``fitted``: the one place where the engine's fit and its model are chosen."""
    return fit_pooled(standards, weighting, model).curves


def standards_of(study: Study) -> list[Standards]:
    """Standards of each plate."""
    return [Standards(study.scenario.log_conc, signal) for signal in study.standards]


def pooled(study: Study, model: Model) -> Answer:
    """Variance pooled over the study's plates, interval by inverting the test."""
    return answer(study, fit_study(standards_of(study), Weighting.FITTED, model), delta=False)


def alone(study: Study, model: Model) -> Answer:
    """Each plate alone."""
    return answer(study, [fit_study([plate], Weighting.FITTED, model)[0] for plate in standards_of(study)], delta=False)


def unweighted(study: Study, model: Model) -> Answer:
    """Our engine as the readers' software fits: unweighted, delta method, reading and curve."""
    return answer(study, fit_study(standards_of(study), Weighting.NONE, model), delta=True)


def inverse_square(study: Study, model: Model) -> Answer:
    """Our engine with weights 1 / y2, delta method, reading and curve."""
    return answer(study, fit_study(standards_of(study), Weighting.RECIPROCAL_SQUARED, model), delta=True)


def answer(study: Study, curves: Sequence[Curve], *, delta: bool) -> Answer:
    """Concentrations of a study's unknowns and limits of its plates."""
    log_conc, low, high = np.empty((3, *study.unknowns.shape[:2]))
    for family in {curve.family for curve in curves}:
        rows = np.array([i for i, curve in enumerate(curves) if curve.family is family])
        log_conc[rows], low[rows], high[rows] = _estimate([curves[i] for i in rows], study.unknowns[rows], delta=delta)
    return Answer(log_conc, low, high, *(lloq_of(study, curves, ends) for ends in (study.scenario.log_conc, UNCUT)))


def _estimate(curves: Sequence[Curve], unknowns: Array, *, delta: bool) -> tuple[Array, Array, Array]:
    """Log concentrations and ends of the intervals, each (plates, levels), of plates whose curves are of one family."""
    plates, levels, replicates = unknowns.shape
    signal = unknowns.reshape(-1, replicates)
    no = np.zeros(signal.shape, dtype=np.bool_)
    found = estimate_concentrations(curves, Readings(np.repeat(np.arange(plates), levels), signal, np.zeros(signal.shape), no, ~no))
    centre, low, high = np.where(found.finite, found.log_conc, np.nan), found.ci_low, found.ci_high
    if delta:
        df = np.repeat([curve.variance.df for curve in curves], levels)
        reach = stdtrit(df, 0.975) * np.where(found.finite, found.se_total, np.nan)
        low, high = centre - reach, centre + reach
    return centre.reshape(plates, levels), low.reshape(plates, levels), high.reshape(plates, levels)


def lloq_of(study: Study, curves: Sequence[Curve], ends: Array) -> Array:
    """Lower limits of quantification (plates,) between the lowest and the highest of ``ends``."""
    range_ = Standards(ends, np.zeros(ends.shape))
    lloq = [limits(curve, range_, study.scenario.replicates).lloq for curve in curves]
    return np.array([math.nan if value is None else math.log(value) for value in lloq])


def scipy_way(study: Study, _model: Model) -> Answer:
    """scipy.optimize.curve_fit, unweighted, its own covariance, reading and curve."""
    conc = np.exp(study.scenario.log_conc)
    parts = [peers.interval_scipy(conc, signal, unknowns) for signal, unknowns in zip(study.standards, study.unknowns, strict=True)]
    log_conc, reach = (np.array(part) for part in zip(*parts, strict=True))
    return points(log_conc, log_conc - reach, log_conc + reach)


def points(log_conc: Array, low: Array | None = None, high: Array | None = None) -> Answer:
    """Answer of a way without limits, and without intervals unless given."""
    nothing, none = np.full(log_conc.shape, np.nan), np.full(len(log_conc), np.nan)
    return Answer(log_conc, nothing if low is None else low, nothing if high is None else high, none, none)


def biocurvefit_way(study: Study, _model: Model) -> Answer:
    """bio-curve-fit, a point for each unknown."""
    conc = np.exp(study.scenario.log_conc)
    return points(
        np.array([peers.fit_biocurvefit(conc, y, u.mean(axis=1))[1] for y, u in zip(study.standards, study.unknowns, strict=True)])
    )


def openreadout_way(study: Study, _model: Model) -> Answer:
    """openreadout, a point for each unknown."""
    conc = np.exp(study.scenario.log_conc)
    return points(
        np.array([peers.fit_openreadout(conc, y, u.mean(axis=1))[1] for y, u in zip(study.standards, study.unknowns, strict=True)])
    )


Way = Callable[[Study, Model], Answer]
WAYS: dict[str, Way] = {
    POOLED: pooled,
    ALONE: alone,
    "ours, unweighted": unweighted,
    "ours, 1/y2": inverse_square,
    "scipy": scipy_way,
    "bio-curve-fit": biocurvefit_way,
    "openreadout": openreadout_way,
}
PEERS = {"bio-curve-fit": ("bio_curve_fit", "bio-curve-fit"), "openreadout": ("openreadout", "openreadout")}


@dataclass(frozen=True, slots=True)
class Task:
    """One study by the ways named."""

    scenario: Scenario
    number: int
    ways: tuple[str, ...]
    model: Model


@dataclass(frozen=True, slots=True)
class Outcome:
    """Answers of a study by way, and its plates' true limits (plates,) with the cut at the lowest standard and without."""

    answers: dict[str, Answer]
    lloq: Array
    lloq_uncut: Array


def run_task(task: Task) -> Outcome:
    """Draw a study and answer it."""
    study = draw_study(task.scenario, task.number)
    finite = study.scenario.log_conc[np.isfinite(study.scenario.log_conc)]
    true = true_lloq(study, float(finite.min()), float(finite.max())), true_lloq(study, *UNCUT.tolist())
    return Outcome({name: WAYS[name](study, task.model) for name in task.ways}, *true)


@dataclass(frozen=True, slots=True)
class Summary:
    """One way over all studies, per level: coverage and its error, shares, median half-width, root mean square error in ln."""

    plates: int
    covered: Array
    error: Array
    open: Array
    width: Array
    missing: Array
    rmse: Array


def summarise(answers: Sequence[Answer]) -> Summary:
    """Figures of one way, studies as the unit of the Monte-Carlo error."""
    log_conc, low, high = (np.array([getattr(a, name) for a in answers]) for name in ("log_conc", "low", "high"))
    truth = np.log(LEVELS)
    by_study = ((low <= truth) & (truth <= high)).mean(axis=1)
    covered = by_study.mean(axis=0)
    error = np.maximum(by_study.std(axis=0, ddof=1), math.sqrt(0.95 * 0.05 / PLATES_OF_A_STUDY)) / math.sqrt(len(answers))
    away = log_conc - truth
    width = np.where(np.isfinite(low) & np.isfinite(high), high - low, np.inf) / 2
    return Summary(
        plates=log_conc.shape[0] * log_conc.shape[1],
        covered=covered,
        error=error,
        open=(np.isinf(low) | np.isinf(high)).mean(axis=(0, 1)),
        width=np.median(width, axis=(0, 1)),
        missing=np.isnan(log_conc).mean(axis=(0, 1)),
        rmse=np.sqrt(np.nanmean(away**2, axis=(0, 1))),
    )


def row(head: str, values: Sequence[str]) -> str:
    """A line of a table."""
    return f"{head:<26}" + "".join(f"{value:>8}" for value in values)


def percent(values: Array) -> list[str]:
    """Shares in per cent."""
    return [f"{100 * value:.1f}" for value in values]


def judge(name: str, summary: Summary, judged: Sequence[float]) -> tuple[bool, str]:
    """Whether a way's coverage holds at the judged levels, and the levels where it does not."""
    low, high = (LOW, HIGH) if name == POOLED else (ALONE_LOW, 1.0)
    slack = 3 * summary.error
    fine = (summary.covered >= low - slack) & (summary.covered <= high + slack)
    failed = [f"{level:g}" for level, ok in zip(LEVELS, fine, strict=True) if level in judged and not ok]
    band = f"{low:.1%} to {high:.1%}" if high < 1 else f"at least {low:.0%}"
    return not failed, f"{name}: coverage {band} -> {'PASS' if not failed else 'FAIL at ' + ', '.join(failed)}"


def print_intervals(summaries: dict[str, Summary]) -> None:
    """Coverage, open intervals, half-widths."""
    shown = {name: s for name, s in summaries.items() if name not in PEERS}
    print(row("covered, %", [f"{level:g}" for level in LEVELS]))
    for name, s in shown.items():
        print(row(f"  {name}", percent(s.covered)))
        if name in (POOLED, ALONE):
            print(row("    Monte-Carlo SE", [f"{100 * value:.2f}" for value in s.error]))
    print("open on one side, %")
    for name in (POOLED, ALONE):
        if name in shown:
            print(row(f"  {name}", percent(shown[name].open)))
    print("median half-width, ln")
    for name, s in shown.items():
        print(row(f"  {name}", [f"{value:.3f}" if math.isfinite(value) else "open" for value in s.width]))


def print_points(outcomes: Sequence[Outcome], ways: Sequence[str]) -> None:
    """Share of wells without a concentration, and the error of the others, on the plates that all ways answered."""
    ways = [name for name in ways if name != ALONE]
    shared = [outcome for outcome in outcomes if all(name in outcome.answers for name in ways)]
    summaries = {name: summarise([outcome.answers[name] for outcome in shared]) for name in ways}
    print(f"no concentration, % ({summaries[ways[0]].plates:,} plates)")
    for name, s in summaries.items():
        print(row(f"  {name}", percent(s.missing)))
    print("root mean square error of the others, ln")
    for name, s in summaries.items():
        print(row(f"  {name}", [f"{value:.3f}" for value in s.rmse]))


def judge_limits(name: str, outcomes: Sequence[Outcome]) -> tuple[bool, str]:
    """The estimated lower limit over the true one, with and without the cut at the lowest standard."""
    outcomes = [outcome for outcome in outcomes if name in outcome.answers]
    held, told = True, []
    for field in ("lloq", "lloq_uncut"):
        true = np.concatenate([getattr(o, field) for o in outcomes])
        found = np.concatenate([getattr(o.answers[name], field) for o in outcomes])
        ratio = np.exp(found - true)
        median = float(np.nanmedian(ratio))
        within = np.mean(np.abs(np.nan_to_num(found - true, nan=np.inf)) <= math.log(LLOQ_FACTOR))
        held &= 1 / LLOQ_FACTOR <= median <= LLOQ_FACTOR
        kind = "cut at the lowest standard" if field == "lloq" else "without the cut"
        told.append(f"{kind}: true {np.exp(np.nanmedian(true)):.1f}, estimated/true {median:.3f}, {within:.1%} of plates within 1.5")
    return held, f"{name}: LLOQ {'; '.join(told)} -> {'PASS' if held else 'FAIL'}"


def report(scenario: Scenario, model: str, outcomes: Sequence[Outcome], ways: Sequence[str]) -> bool:
    """Print one scenario's tables and its verdict."""
    summaries = {name: summarise([o.answers[name] for o in outcomes if name in o.answers]) for name in ways}
    ours = [name for name in (POOLED, ALONE) if name in summaries]
    print(f"\n{scenario.name} (seed {scenario.seed}): {scenario.told}; ours fits {model}; {summaries[ways[0]].plates:,} plates")
    print_intervals(summaries)
    print_points(outcomes, ways)
    verdicts = [judge(name, summaries[name], scenario.judged) for name in ours] + [judge_limits(name, outcomes) for name in ours]
    if scenario.name == "base" and POOLED in summaries:
        width = float(summaries[POOLED].width[LEVELS.index(WIDTH_AT)])
        verdicts.append((width <= WIDEST, f"{POOLED}: half-width at 16 {width:.3f} <= {WIDEST} -> {'PASS' if width <= WIDEST else 'FAIL'}"))
    for _, sentence in verdicts:
        print(sentence, flush=True)
    return all(held for held, _ in verdicts)


def plan(scenario: Scenario, given: argparse.Namespace, ways: Sequence[str]) -> list[Task]:
    """Studies of a scenario; the slow ways run on the first ones only."""
    studies = max(2, -(-given.plates // PLATES_OF_A_STUDY))
    some = max(2, -(-given.peer_plates // PLATES_OF_A_STUDY))
    few = max(2, -(-(given.alone_plates or given.plates) // PLATES_OF_A_STUDY))
    model = Model(given.model or scenario.model)
    last = {name: some if name in PEERS else few if name == ALONE else studies for name in ways}
    return [Task(scenario, i, tuple(name for name in ways if i < last[name]), model) for i in range(studies)]


def main(given: argparse.Namespace) -> bool:
    """Run and print the scenarios asked for."""
    ways = [name for name in WAYS if name not in PEERS or peers.installed(*PEERS[name])]
    absent = [name for name in PEERS if name not in ways]
    versions = [f"{name} {peers.installed(*PEERS[name])}" for name in PEERS if name in ways]
    print(f"peers: scipy {peers.installed('scipy', 'scipy')}, {', '.join(versions) or 'no other'}; absent: {', '.join(absent) or 'none'}")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    began, held = time.perf_counter(), True
    with ProcessPoolExecutor(given.workers, get_context("spawn")) as pool:
        for scenario in chosen(given.scenario):
            start = time.perf_counter()
            outcomes = list(pool.map(run_task, plan(scenario, given, ways)))
            held &= report(scenario, given.model or scenario.model, outcomes, ways)
            print(f"{time.perf_counter() - start:.0f} s")
    print(f"\n{'PASS' if held else 'FAIL'}; total {time.perf_counter() - began:.0f} s with {given.workers} workers")
    return held


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plates", type=int, default=4000, help="plates of each scenario, in studies of 20")
    parser.add_argument("--alone-plates", type=int, help="plates fitted alone, all by default")
    parser.add_argument("--peer-plates", type=int, default=1000, help="plates for bio-curve-fit and openreadout")
    parser.add_argument("--scenario", action="append", choices=[s.name for s in SCENARIOS], help="may be repeated; all by default")
    parser.add_argument("--model", choices=[model.value for model in Model], help="instead of the scenario's own")
    parser.add_argument("--workers", type=int, default=2)
    sys.exit(0 if main(parser.parse_args()) else 1)
