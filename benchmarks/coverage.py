"""How often the 95 % interval of the primary outcome covers the truth, over simulated studies.

    python benchmarks/coverage.py                 seeds 1 to 2,000, on tables only
    python benchmarks/coverage.py --files 20      seeds 1 to 20, from raw files, through the whole pipeline

The criterion: 93.5 to 96.5 % on tables, widened by three Monte-Carlo standard errors; at least 17 of 20 with files.
"""

import argparse
import math
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from exvivo.engine import Work, rng_for
from exvivo.estimate import estimate_effects
from exvivo.pipeline import Choice, count_donors, decide_study, run_study, simulate_files
from exvivo.simulate.tabulate import tables_of
from exvivo.simulate.truth import draw_truth, true_effects
from exvivo.study.decisions import Decisions
from exvivo.study.protocol import load_protocol
from exvivo.study.run import SharedError
from exvivo.study.tables import FINDINGS, SHARED_ERROR
from exvivo.templates import write_template

LOW, HIGH, FILES_NEEDED, FILES_OF = 0.935, 0.965, 17, 20


def tables_only(seeds: range) -> bool:
    """Print coverage of P1 over studies drawn as tables."""
    with tempfile.TemporaryDirectory() as folder:
        write_template(Path(folder), "ssc-ruxolitinib")
        protocol = load_protocol(Path(folder) / "study.yaml")
    donors = count_donors(protocol, None, "demo")
    plan = replace(protocol.analysis, outcomes=protocol.analysis.outcomes[:1])
    shared, findings, work = SharedError(SHARED_ERROR.empty()), FINDINGS.empty(), Work()
    target = float(true_effects(protocol)["true_ratio"][0])
    covered, logs, began = 0, [], time.perf_counter()
    for seed in seeds:
        truth = draw_truth(protocol, donors, seed)
        outcomes = tables_of(truth, rng_for(seed, "readings"), ["CCL18"])
        row = estimate_effects(outcomes, shared, findings, plan, Decisions(), work, blinded=False).effects.rows()[0]
        covered += float(str(row["ci_low"])) <= target <= float(str(row["ci_high"]))
        logs.append(math.log(float(str(row["estimate"]))))
    n = len(seeds)
    share, error = covered / n, math.sqrt(0.95 * 0.05 / n)
    print(f"tables only, seeds {seeds.start} to {seeds.stop - 1}, {donors}: P1 covered {covered} of {n} = {share:.2%} (SE {error:.2%})")
    bias, spread = float(np.mean(logs)) - math.log(target), float(np.std(logs))
    print(f"mean ln ratio minus truth {bias:+.4f} (SE {spread / math.sqrt(n):.4f}); {time.perf_counter() - began:.0f} s")
    return LOW - 3 * error <= share <= HIGH + 3 * error


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
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--files", type=int, default=0)
    given = parser.parse_args()
    sys.exit(0 if (with_files(given.files) if given.files else tables_only(range(1, given.seeds + 1))) else 1)
