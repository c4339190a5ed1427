"""Which way of carrying the error of standard curves holds 95 %, over simulated pairs on plates.

    python benchmarks/shared_error_coverage.py            4,000 studies a cell
    python benchmarks/shared_error_coverage.py --exact    the curves' error is known exactly, not from each curve's own scatter

Donors differ in ln level (SD 1) and in ln ratio (SD 0.3, mean -0.7). Each plate has a curve whose error has a level, a slope and
a bend, drawn once; its size is known from 12 degrees of freedom. Compared: the paired t that ignores curves; the closed form that is
registered; the same with Satterthwaite's degrees of freedom, never narrower than the paired t; Rubin's rules as they are; Rubin's
rules reduced by what the scatter between pairs shows, which stand beside the registered estimate. Seeds are the cells' numbers.

The criterion: the closed form covers 94 to 96 %, widened by three Monte-Carlo standard errors, with 12 donors or more whose pairs lie
on one plate each, and nowhere less than 94 % widened.
"""

import argparse
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import stats

from exvivo.engine import one_thread
from exvivo.estimate.carried import share_of_curves
from exvivo.numerics.combining import Parts, combine_parts
from exvivo.numerics.inference import Array

DONORS, SIZES = (6, 12, 24), (0.05, 0.25)
LAYOUTS = ("one plate", "two plates", "three plates", "a plate a pair", "arms apart")
METHODS = ("ignored", "closed form", "Satterthwaite", "Rubin", "Rubin reduced")
MEAN, SPREAD, DRAWS, CURVE_DF = -0.7, 0.3, 100, 12
LOW, HIGH = 0.94, 0.96


@dataclass(frozen=True, slots=True)
class Studies:
    """Ln ratios (runs, n) as measured, and their loadings (runs, n, q) as the study knows them."""

    ratios: Array
    loadings: Array


def place_pairs(layout: str, n: int) -> tuple[Array, Array, int]:
    """Plates of the drug and of the comparator of each pair, and their number."""
    if layout == "arms apart":
        return np.zeros(n, dtype=int), np.ones(n, dtype=int), 2
    plates = {"one plate": 1, "two plates": 2, "three plates": 3}.get(layout, n)
    return np.arange(n) % plates, np.arange(n) % plates, plates


def load(log_level: Array) -> Array:
    """Loadings of concentrations on the level, slope and bend of a curve of size one."""
    return np.stack([np.ones_like(log_level), log_level / 2, (log_level**2 - 1) / 4], axis=-1)


def simulate(cell: tuple[int, str, float], runs: int, seed: int, *, exact: bool) -> Studies:
    """Studies of one cell."""
    n, layout, size = cell
    rng = np.random.default_rng(seed)
    drug_plate, comparator_plate, plates = place_pairs(layout, n)
    comparator = rng.normal(0, 1, (runs, n))
    drug = comparator + rng.normal(MEAN, SPREAD, (runs, n))
    loadings = np.zeros((runs, n, plates, 3))
    loadings[:, np.arange(n), drug_plate] += size * load(drug)
    loadings[:, np.arange(n), comparator_plate] -= size * load(comparator)
    moved = np.einsum("rnpk,rpk->rn", loadings, rng.standard_normal((runs, plates, 3)))
    if not exact:
        loadings *= np.sqrt(rng.chisquare(CURVE_DF, (runs, 1, plates, 1)) / CURVE_DF)
    return Studies(drug - comparator + moved, loadings.reshape(runs, n, -1))


def half_widths(d: Array, loadings: Array, rng: np.random.Generator) -> Iterator[float]:
    """Half widths of the 95 % intervals of one study, method by method."""
    n, df = d.size, d.size - 1
    quantile, within = stats.t.ppf(0.975, df), d.var(ddof=1) / n
    yield quantile * math.sqrt(within)
    total = within + share_of_curves(loadings).unseen
    yield quantile * math.sqrt(total)
    yield max(quantile * math.sqrt(within), stats.t.ppf(0.975, df * (total / within) ** 2) * math.sqrt(total))
    drawn = d + rng.standard_normal((DRAWS, loadings.shape[1])) @ loadings.T
    between, raised = drawn.mean(axis=1).var(ddof=1), float((drawn.var(axis=1, ddof=1) / n).mean())
    for parts in ((raised, between), (within, max(between - max(raised - within, 0.0), 0.0))):
        fit = combine_parts(float(d.mean()), Parts(*parts, DRAWS), df_complete=df).estimate
        yield fit.high - fit.estimate


def cover(cell: tuple[int, str, float], runs: int, seed: int, *, exact: bool) -> Array:
    """Coverage of the true mean by method."""
    studies, rng = simulate(cell, runs, seed, exact=exact), np.random.default_rng([seed, 1])
    hits = [
        [abs(d.mean() - MEAN) <= half for half in half_widths(d, loadings, rng)]
        for d, loadings in zip(studies.ratios, studies.loadings, strict=True)
    ]
    return np.asarray(np.mean(hits, axis=0), dtype=np.float64)


def main() -> bool:
    """Print the table; whether the criterion holds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=4000, help="studies a cell")
    parser.add_argument("--exact", action="store_true", help="the size of the curves' error is known exactly")
    asked = parser.parse_args()
    error, began, good = math.sqrt(0.95 * 0.05 / asked.runs), time.perf_counter(), True
    print(f"coverage of 95 % intervals, %; {asked.runs} studies a cell, Monte-Carlo standard error {100 * error:.2f}")
    print(f"{'donors':>6}  {'layout':<15}{'error':>6}" + "".join(f"{name:>15}" for name in METHODS))
    for seed, (n, layout, size) in enumerate(product(DONORS, LAYOUTS, SIZES)):
        covered = cover((n, layout, size), asked.runs, seed, exact=asked.exact)
        closed, strict = float(covered[1]), n >= 12 and layout != "arms apart"
        fine = closed >= LOW - 3 * error and (not strict or closed <= HIGH + 3 * error)
        good &= fine
        cells = "".join(f"{100 * float(one):>15.1f}" for one in covered)
        print(f"{n:>6}  {layout:<15}{size:>6.2f}{cells}{'' if fine else '  outside'}", flush=True)
    print(f"{time.perf_counter() - began:.0f} s")
    return good


if __name__ == "__main__":
    with one_thread():
        sys.exit(0 if main() else 1)
