"""Type I error and coverage of the registered analysis over simulated paired studies, beside what other analyses give.

    python benchmarks/estimation_calibration.py                      every cell: 10,000 runs, 2,000 where values are censored
    python benchmarks/estimation_calibration.py --cells 0-29,90-119  some cells
    python benchmarks/estimation_calibration.py --quick              400 runs, 60 where values are censored
    python benchmarks/estimation_calibration.py --markdown          plates side by side, as in docs/methods/estimation.md

Type I error with a true ratio of one, coverage of the 95 % interval with a true ratio of 0.6. Seeds: 20261126, the cell's index,
and 0 (type I error), 1 (coverage) or 2 (families). Bands, widened by three Monte-Carlo standard errors: 4.5 to 5.5 % and 94 to 96 %;
where values are censored, with 12 donors or more: at most 5.5 %, and 93 to 97 % of the studies that have an estimate; with fewer: at
most 5 %. Exact tests and families: at most 5 %. Type I error is that of the whole rule: where only a bound can be given, its sign test
counts. A share of fewer than 100 studies is not judged. A cell outside its band makes the command exit with 1.
"""

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import groupby, product

import estimation_design as design
import numpy as np
from estimation_design import SEED, Cell, Studies, analyse, draw

from exvivo.engine import one_thread
from exvivo.numerics.batched import fit_means
from exvivo.numerics.multiplicity import adjust_holm
from exvivo.numerics.permutation import adjust_max_t

LOG_RATIO = math.log(0.6)
DONORS, PLATES = (6, 8, 12, 20, 40), (1, 2, 3)
FAMILY_DONORS, FAMILY_SIZES, CORRELATION, STRONG = (6, 8, 12, 24), (4, 6), 0.5, 5.0
MAX_T_RUNS = 2000
FEWEST = 100  # a share of fewer studies is printed and not judged


@dataclass(frozen=True, slots=True)
class Share:
    """How many of how many studies."""

    hits: int
    of: int

    @classmethod
    def among(cls, hits: np.ndarray, kept: np.ndarray | None = None) -> "Share":
        """Share of the studies that are kept."""
        chosen = hits if kept is None else hits[kept]
        return cls(int(chosen.sum()), chosen.size)

    def within(self, low: float, high: float) -> bool:
        """Whether it lies in a band, each end widened by three Monte-Carlo standard errors at that end."""
        if self.of < FEWEST:
            return True
        value = self.hits / self.of
        below, above = (3 * math.sqrt(end * (1 - end) / self.of) for end in (low, high))
        return low - below <= value <= high + above

    def __str__(self) -> str:
        """In percent."""
        return f"{100 * self.hits / self.of:.1f}" if self.of else "-"


@dataclass(frozen=True, slots=True)
class Line:
    """One cell: what is printed, and whether every judged share is in its band."""

    cells: tuple[str, ...]
    good: bool


@dataclass(frozen=True, slots=True)
class Family:
    """Readouts of one family, correlated, some of them with a large effect."""

    index: int
    donors: int
    size: int
    true: int


def list_cells() -> list[Cell]:
    """Every paired design, in the order of the tables."""
    plain = [(n, plates, missing, 0.0, False) for missing, n, plates in product((False, True), DONORS, PLATES)]
    censored = [(n, p, m, share, False) for share, m, n, p in product((0.2, 0.4), (False, True), DONORS, PLATES)]
    curves = [(n, plates, False, 0.0, True, quiet) for quiet, n, plates in product((False, True), DONORS, PLATES)]
    return [Cell(index, *cell) for index, cell in enumerate([*plain, *censored, *curves])]


def list_families(first: int) -> list[Family]:
    """Every family: all of its effects absent, or half of them."""
    kinds = [(n, size, null) for size, n in product(FAMILY_SIZES, FAMILY_DONORS) for null in (size, size // 2)]
    return [Family(first + i, *kind) for i, kind in enumerate(kinds)]


def both(cell: Cell, runs: int) -> tuple[Studies, Studies]:
    """Studies without an effect, and studies with one whose drug values are moved by it."""
    null, effect = (
        draw(cell, log_ratio, runs, np.random.default_rng([SEED, cell.index, stream])) for stream, log_ratio in enumerate((0.0, LOG_RATIO))
    )
    return null, effect.moved(LOG_RATIO)


def pair_of(compare: Callable[[Studies], np.ndarray], null: Studies, effect: Studies) -> tuple[str, str]:
    """Type I error and coverage of another analysis."""
    rejected, missed = (p[~np.isnan(p)] < 0.05 for p in (compare(null), compare(effect)))
    return str(Share.among(rejected)), str(Share.among(~missed))


def run_measured(cell: Cell, runs: int) -> Line:
    """A cell without censored values."""
    null, effect = both(cell, runs)
    without, with_effect = analyse(null), analyse(effect)
    type_one = Share.among(without.rejected(), without.estimated)
    coverage = Share.among(~with_effect.rejected(), with_effect.estimated)
    good = type_one.within(0.045, 0.055) and coverage.within(0.94, 0.96)
    head = (str(cell.index), str(cell.donors), str(cell), str(cell.plates), f"{runs:,}", str(type_one), str(coverage))
    if cell.curve:
        return Line((*head, *pair_of(lambda studies: analyse(strip(studies)).p, null, effect), say(good=good)), good)
    exact = [Share.among(compare(null) < 0.05) for compare in (design.compare_ranks, design.compare_flips)]
    good &= all(share.within(0.0, 0.05) for share in exact)
    mixed = pair_of(design.compare_mixed, null, effect)
    return Line((*head, *map(str, exact), *mixed, *pair_of(design.compare_normal, null, effect), say(good=good)), good)


def strip(studies: Studies) -> Studies:
    """The same readings, nothing known of curves."""
    nothing = studies.loading_drug[..., :0]
    return Studies(studies.drug, studies.comparator, studies.plate, nothing, nothing)


def run_censored(cell: Cell, runs: int) -> Line:
    """A cell with censored values."""
    null, effect = both(cell, runs)
    without, with_effect = analyse(null), analyse(effect)
    rule, given = Share.among(without.rejected()), Share.among(without.rejected(), without.estimated)
    coverage = Share.among(~with_effect.rejected(), with_effect.estimated)
    large = cell.donors >= 12
    good = rule.within(0.0, 0.055 if large else 0.05) and (not large or coverage.within(0.93, 0.97))
    half = pair_of(lambda studies: design.analyse(design.substitute(studies)).p, null, effect)
    normal = pair_of(lambda studies: design.compare_normal(design.substitute(studies)), null, effect)
    shares = (rule, Share.among(without.estimated), given, Share.among(with_effect.estimated), coverage)
    return Line(
        (str(cell.index), str(cell.donors), str(cell), str(cell.plates), f"{runs:,}", *map(str, shares), *half, *normal, say(good=good)),
        good,
    )


def say(*, good: bool) -> str:
    """Verdict of a cell."""
    return "in" if good else "OUTSIDE"


def run_family(family: Family, runs: int) -> Line:
    """Share of studies that reject a true null hypothesis, by Holm and by step-down max t."""
    rng = np.random.default_rng([SEED, family.index, 2])
    shared, own = rng.standard_normal((runs, family.donors, 1)), rng.standard_normal((runs, family.donors, family.size))
    d = math.sqrt(CORRELATION) * shared + math.sqrt(1 - CORRELATION) * own
    d[:, :, family.true :] += STRONG
    p = np.stack([fit_means(d[:, :, k]).p for k in range(family.size)], axis=1)
    holm = Share.among(np.array([adjust_holm(row)[: family.true].min() <= 0.05 for row in p]))
    flips = [adjust_max_t(study, rng=rng, draws=design.DRAWN_FLIPS).p_step_down for study in d[:MAX_T_RUNS]]
    max_t = Share.among(np.array([row[: family.true].min() <= 0.05 for row in flips]))
    good = holm.within(0.0, 0.05) and max_t.within(0.0, 0.05)
    head = (str(family.index), str(family.donors), f"{family.size} readouts, {family.true} without effect")
    return Line((*head, f"{runs:,}", str(holm), f"{len(flips):,}", str(max_t), say(good=good)), good)


def merge(lines: Iterable[Line]) -> Iterator[Line]:
    """Lines of the same donors and design as one, values that differ side by side."""
    for _, group in groupby(lines, key=lambda line: line.cells[1:3]):
        same = list(group)
        columns = zip(*(line.cells for line in same), strict=True)
        merged = tuple(column[0] if len(set(column)) == 1 else " / ".join(column) for column in columns)
        yield Line(merged, good=all(line.good for line in same))


def print_table(title: str, columns: Sequence[str], lines: Iterable[Line], *, markdown: bool) -> bool:
    """Print lines as they come; whether all are good."""
    print(f"\n{title}\n")
    print(
        "| " + " | ".join(columns) + " |\n| " + " | ".join("---" for _ in columns) + " |" if markdown else " | ".join(columns), flush=True
    )
    good = True
    for line in merge(lines) if markdown else lines:
        good &= line.good
        print("| " + " | ".join(line.cells) + " |" if markdown else " | ".join(line.cells), flush=True)
    return good


@dataclass(frozen=True, slots=True)
class Table:
    """A kind of cell with its columns."""

    title: str
    columns: tuple[str, ...]
    run: Callable[..., Line]
    runs: int
    cells: tuple[Cell | Family, ...]


HEAD = ("cell", "n", "design", "plates", "runs")


def list_tables(runs: int, censored_runs: int) -> list[Table]:
    """Everything that is printed."""
    cells = list_cells()
    rule = ("type I, %", "coverage, %")
    others = ("signed rank", "sign flips", "mixed KR: type I", "coverage", "MixedLM z: type I", "coverage")
    limits = ("type I, whole rule, %", "estimable, null", "type I given estimable", "estimable", "coverage given estimable, %")
    beside = ("LLOQ/2: type I", "coverage", "LLOQ/2, MixedLM z: type I", "coverage")
    plain = tuple(cell for cell in cells if not cell.censored and not cell.curve)
    below, curves = tuple(cell for cell in cells if cell.censored), tuple(cell for cell in cells if cell.curve)
    families = ("Holm, %", "runs", "max t, %", "verdict")
    return [
        Table("Every value measured", (*HEAD, *rule, *others, "verdict"), run_measured, runs, plain),
        Table("Values below plate-wise limits", (*HEAD, *limits, *beside, "verdict"), run_censored, censored_runs, below),
        Table("Shared error of curves", (*HEAD, *rule, "paired t: type I", "coverage", "verdict"), run_measured, runs, curves),
        Table("Family-wise error", ("cell", "n", "family", "runs", *families), run_family, runs, tuple(list_families(len(cells)))),
    ]


def choose(text: str | None) -> Callable[[int], bool]:
    """Whether a cell is asked for: "0-29,45", or all."""
    if text is None:
        return lambda _: True
    ends = [part.split("-") for part in text.split(",")]
    wanted = {index for part in ends for index in range(int(part[0]), int(part[-1]) + 1)}
    return wanted.__contains__


def main(arguments: Sequence[str] | None = None) -> int:
    """Print every table asked for; 1 if a cell is outside its band."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", help="indices, such as 0-29,45")
    parser.add_argument("--runs", type=int, default=10_000, help="studies of a cell")
    parser.add_argument("--censored-runs", type=int, default=2_000, help="studies of a cell with censored values")
    parser.add_argument("--quick", action="store_true", help="400 and 60 studies")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--markdown", action="store_true", help="tables for a document")
    asked = parser.parse_args(arguments)
    runs, censored_runs = (400, 60) if asked.quick else (asked.runs, asked.censored_runs)
    wanted, good, began = choose(asked.cells), True, time.perf_counter()
    with ProcessPoolExecutor(asked.jobs) if asked.jobs > 1 else nullcontext() as pool:
        for table in list_tables(runs, censored_runs):
            cells = [cell for cell in table.cells if wanted(cell.index)]
            if cells:
                lines = (pool.map if pool else map)(partial(table.run, runs=table.runs), cells)
                good &= print_table(table.title, table.columns, lines, markdown=asked.markdown)
    print(f"\n{'every cell is in its band' if good else 'a cell is OUTSIDE its band'}; {time.perf_counter() - began:.0f} s")
    return 0 if good else 1


if __name__ == "__main__":
    with one_thread():
        sys.exit(main())
