"""How often the 95 % intervals of the registered outcomes cover the truth, over simulated studies.

    python benchmarks/study_coverage.py                 the primary outcome, seeds 1 to 2,000, on tables only
    python benchmarks/study_coverage.py --all           every registered row, seeds 1 to 300, on tables only
    python benchmarks/study_coverage.py --files 20      the primary outcome, seeds 1 to 20, from raw files, through the whole pipeline

The criterion: 93.5 to 96.5 % on tables, widened by three Monte-Carlo standard errors; at least 17 of 20 with files.
"""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from exvivo.engine import Work, rng_for
from exvivo.estimate import estimate_effects
from exvivo.pipeline import count_donors, decide_study, run_study, simulate_files
from exvivo.simulate.tabulate import tables_of
from exvivo.simulate.truth import draw_truth, true_effects
from exvivo.study.deciding import Choice
from exvivo.study.decisions import Decisions
from exvivo.study.protocol import load_protocol
from exvivo.study.run import SharedError
from exvivo.study.tables import FINDINGS, SHARED_ERROR
from exvivo.templates import write_template

LOW, HIGH, FILES_NEEDED, FILES_OF = 0.935, 0.965, 17, 20
ROW = ("outcome", "readout", "modifier", "contrast")


def estimate_studies(seeds: Sequence[int], *, primary: bool) -> Iterator[pl.DataFrame]:
    """Registered rows of each study drawn as tables, with their true ratios."""
    with tempfile.TemporaryDirectory() as folder:
        write_template(Path(folder), "ssc-ruxolitinib")
        protocol = load_protocol(Path(folder) / "study.yaml")
    donors = count_donors(protocol, None, "demo")
    plan = replace(protocol.analysis, outcomes=protocol.analysis.outcomes[:1]) if primary else protocol.analysis
    readouts = ["CCL18"] if primary else []
    shared, findings, work, truths = SharedError(SHARED_ERROR.empty()), FINDINGS.empty(), Work(), true_effects(protocol).drop("level")
    for seed in seeds:
        outcomes = tables_of(draw_truth(protocol, donors, seed), rng_for(seed, "readings"), readouts)
        effects = estimate_effects(outcomes, shared, findings, plan, Decisions(), work, blinded=False).effects.frame
        yield effects.join(truths, on=list(ROW), how="left", nulls_equal=True, maintain_order="left")


def summarise(studies: pl.DataFrame) -> pl.DataFrame:
    """Per registered row: share estimated, covered and rejected at 0.05, and the mean ln error with its Monte-Carlo error."""
    inside = pl.col("ci_low").fill_null(0.0).le(pl.col("true_ratio")) & pl.col("ci_high").fill_null(math.inf).ge(pl.col("true_ratio"))
    error = (pl.col("estimate") / pl.col("true_ratio")).log()
    estimated = pl.col("estimate").is_not_null()
    return studies.group_by(ROW, maintain_order=True).agg(
        pl.col("true_ratio").first(),
        (pl.col("status") == "estimated").mean().alias("estimated"),
        estimated.sum().alias("n"),
        inside.filter(estimated).mean().alias("covered"),
        error.mean().alias("error"),
        (error.std() / estimated.sum().sqrt()).alias("error_se"),
        (pl.col("p") < 0.05).mean().alias("p_below_0.05"),
    )


def fits(covered: float, n: int) -> bool:
    """Whether a coverage lies in the band, widened by three Monte-Carlo standard errors."""
    error = math.sqrt(0.95 * 0.05 / n)
    return LOW - 3 * error <= covered <= HIGH + 3 * error


def tables_only(seeds: range) -> bool:
    """Print coverage of P1 over studies drawn as tables."""
    began = time.perf_counter()
    row = summarise(pl.concat(estimate_studies(seeds, primary=True))).row(0, named=True)
    n, hits = row["n"], round(row["covered"] * row["n"])
    error = math.sqrt(0.95 * 0.05 / n)
    print(f"tables only, seeds {seeds.start} to {seeds.stop - 1}: P1 covered in {hits} of {n} = {row['covered']:.2%} (MC SE {error:.2%})")
    print(f"mean ln ratio minus truth {row['error']:+.4f} (SE {row['error_se']:.4f}); {time.perf_counter() - began:.0f} s")
    return fits(row["covered"], n)


def every_row(seeds: range) -> bool:
    """Print coverage, mean error and rejection rate of every registered row over studies drawn as tables."""
    began = time.perf_counter()
    table = summarise(pl.concat(estimate_studies(seeds, primary=False)))
    print(f"tables only, seeds {seeds.start} to {seeds.stop - 1}; a modifier's levels need enough donors, so not every study has its row")
    print(f"{'row':<20}{'truth':>7}{'estimated':>11}{'covered':>9}{'MC SE':>7}{'ln error':>10}{'SE':>8}{'p < 0.05':>10}")
    good = True
    for row in table.iter_rows(named=True):
        head = f"{' '.join(part for part in (row['outcome'], row['readout'], row['modifier']) if part):<20}"
        if not row["n"]:
            print(f"{head}{'':>7}{row['estimated']:>11.1%}{'':>34}{row['p_below_0.05'] or 0:>10.1%}")
            continue
        fine = fits(row["covered"], row["n"])
        good &= fine
        numbers = f"{row['covered']:>9.1%}{math.sqrt(0.95 * 0.05 / row['n']):>7.1%}{row['error']:>+10.4f}{row['error_se'] or 0:>8.4f}"
        told = f"{row['true_ratio']:>7.3f}{row['estimated']:>11.1%}{numbers}{row['p_below_0.05'] or 0:>10.1%}"
        print(head + told + ("" if fine else "  outside"))
    print(f"{time.perf_counter() - began:.0f} s")
    return good


def with_files(count: int) -> bool:
    """Print coverage of P1 over studies run from their raw files."""
    covered = 0
    for seed in range(1, count + 1):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            simulate_files(folder, Work(), seed=seed, donors=None, size="demo")
            for kind in ("lock", "unblind"):
                decide_study(folder, Choice(kind, "", "", "simulation study", "benchmark"))
            row = run_study(folder).run.effects.effects.rows()[0]
            truth = float(pl.read_csv(folder / "truth" / "effects.csv")["true_ratio"][0])
        inside = float(str(row["ci_low"])) <= truth <= float(str(row["ci_high"]))
        covered += inside
        told = f"{row['estimate']:.3f} ({row['ci_low']:.3f} to {row['ci_high']:.3f}), truth {truth:.3f}"
        print(f"seed {seed}: {told}, {'covered' if inside else 'missed'}", flush=True)
    print(f"with files: P1 covered in {covered} of {count}")
    return covered >= FILES_NEEDED * count / FILES_OF


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, help="studies on tables; 2,000, and 300 with --all")
    parser.add_argument("--all", action="store_true", help="every registered row")
    parser.add_argument("--files", type=int, default=0, help="studies from raw files")
    given = parser.parse_args()
    if given.files:
        held = with_files(given.files)
    else:
        held = every_row(range(1, (given.seeds or 300) + 1)) if given.all else tables_only(range(1, (given.seeds or 2000) + 1))
    sys.exit(0 if held else 1)
