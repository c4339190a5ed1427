"""Experiment B: coverage, type I error and statuses of the three contrasts, over sera, censoring and carry-over.

    python benchmarks/serum_calibration.py                        every part
    python benchmarks/serum_calibration.py --part measured        donors, sera and spreads; every value measured
    python benchmarks/serum_calibration.py --part between         two kinds of serum, every value measured
    python benchmarks/serum_calibration.py --part censored        0, 20 and 40 % of the drug arm below its limit
    python benchmarks/serum_calibration.py --part carried         serum in the medium, from none to hopeless

Outcomes are drawn as ln values: donor (SD 0.8), serum (0.4), the donor's and the serum's own response, culture. The seed of a cell
is its place in the table. Measured cells are fitted together (`serum_batches.py`), some runs of each also by `exvivo.estimate`, and both
must agree; all other cells go through `exvivo.estimate.serum` one by one, blanks through `exvivo.assemble.subtract_blank`.

Criteria: type I error 4.5 to 5.5 % and coverage 94 to 96 % where every value is measured, coverage 93 to 97 % else; each band is widened
by three Monte-Carlo standard errors, and has no upper end where donors and sera do not differ at all (`none`): there a variance cut off at
zero is too large on average, and every interval too wide. Exit 1 if one fails. Where everything is measured, a shift of the truth shifts
the data, so that the type I error is 100 % less the coverage.
"""

import argparse
import math
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy import special
from serum_batches import Inferences, fit_batch

from exvivo.assemble import Value, subtract_blank
from exvivo.engine import one_thread
from exvivo.estimate.contrasts import Rules
from exvivo.estimate.effect import Effect
from exvivo.estimate.pairs import Pairs, Reading, pair_up
from exvivo.estimate.serum import carries_over, estimate_between_sera, estimate_crossed, interact
from exvivo.numerics.inference import Array
from exvivo.numerics.mixed import indicate
from exvivo.study.model import Analysis
from exvivo.study.statuses import Reason

RULES = Rules(Analysis(seed=1), "benchmark")
LEVEL_SD, SERUM_SD = 0.8, 0.4
CONTRASTS = ("drug", "serum", "interaction")
TRUTH = {"drug": math.log(0.6), "serum": math.log(1.4), "interaction": math.log(0.9)}
SPREADS = {"none": (0.0, 0.0, 0.3), "small": (0.12, 0.06, 0.3), "study": (0.25, 0.10, 0.3), "large": (0.35, 0.35, 0.2)}
"""SD of the donor's own response, of the serum's, and of a culture."""


@dataclass(frozen=True, slots=True)
class Design:
    """Cell donors, sera for each, sera in all."""

    donors: int
    each: int
    sera: int

    @property
    def labels(self) -> tuple[list[str], list[str]]:
        """Donor and serum of each pair."""
        places = [(i, (i * self.each + j) % self.sera) for i in range(self.donors) for j in range(self.each)]
        return [f"D{i:02}" for i, _ in places], [f"S{j:02}" for _, j in places]

    def __str__(self) -> str:
        """As printed."""
        return f"{self.donors} x {self.each} {'nested ' if self.sera == self.donors * self.each else 'crossed'} {self.sera:>2} sera"


DESIGNS = [
    Design(8, 1, 4),
    Design(8, 1, 8),
    Design(8, 3, 12),
    Design(8, 3, 24),
    Design(8, 6, 24),
    Design(8, 6, 48),
    Design(6, 3, 9),
    Design(6, 3, 18),
    Design(12, 3, 18),
    Design(12, 3, 36),
]


@dataclass(frozen=True, slots=True)
class Cultures:
    """Net ln values of runs: without serum (r, donors) and with (r, pairs), vehicle and drug."""

    bare: Array
    bare_drug: Array
    exposed: Array
    exposed_drug: Array


def culture(design: Design, spread: Sequence[float], truth: dict[str, float], runs: int, rng: np.random.Generator) -> Cultures:
    """Draw runs of one design; each response to serum has the spread of a response to the drug."""
    donors, sera = (indicate(labels) for labels in design.labels)
    of_donor, of_serum, of_culture = spread

    def by(Z: Array, sd: float) -> Array:
        return np.asarray(rng.normal(0, sd, (runs, Z.shape[1])) @ Z.T, dtype=np.float64)

    def cultures(n: int) -> Array:
        return np.asarray(rng.normal(0, of_culture, (runs, n)), dtype=np.float64)

    first = np.eye(design.donors).repeat(design.each, axis=0)
    level, response = rng.normal(0, LEVEL_SD, (runs, design.donors)), rng.normal(0, of_donor, (runs, design.donors))
    serum = truth["serum"] + by(sera, SERUM_SD) + by(donors, of_donor)
    drug = truth["drug"] + response @ first.T + by(sera, of_serum)
    return Cultures(
        bare=level + cultures(design.donors),
        bare_drug=level + truth["drug"] - truth["interaction"] + response + cultures(design.donors),
        exposed=level @ first.T + serum + cultures(len(first)),
        exposed_drug=level @ first.T + serum + drug + cultures(len(first)),
    )


def differences(design: Design, drawn: Cultures, contrast: str) -> Array:
    """The ln ratios of a contrast, (r, pairs)."""
    first = np.eye(design.donors).repeat(design.each, axis=0)
    inside = drawn.exposed_drug - drawn.exposed
    if contrast == "drug":
        return inside
    return drawn.exposed - drawn.bare @ first.T if contrast == "serum" else inside - (drawn.bare_drug - drawn.bare) @ first.T


def covered(found: Inferences, truth: float) -> tuple[float, float]:
    """Share of 95 % intervals that hold the truth: components at zero left out, and kept. Where there is no interval it does not count."""
    first, second = (
        float(np.mean((np.abs(found.estimate - truth) <= special.stdtrit(df, 0.975) * se)[np.isfinite(se)]))
        for se, df in ((found.se_reduced, found.df_reduced), (found.se, found.df))
    )
    return first, second


def fits(share: float, band: tuple[float, float], runs: int, at: float = 0.95) -> bool:
    """Whether a share lies in a band widened by three Monte-Carlo standard errors."""
    error = 3 * math.sqrt(at * (1 - at) / max(runs, 1))
    return band[0] - error <= share <= band[1] + error


# -------------------------------------------------------------------------------------------------- every value measured


def measured(runs: int) -> bool:
    """Table of designs and spreads."""
    error = 100 * math.sqrt(0.95 * 0.05 / runs)
    print(f"\nEvery value measured, {runs} runs a cell, Monte-Carlo error {error:.1f} points; coverage of 95 % intervals, %")
    print(f"{'design':<26}{'spread':<8}{'contrast':<13}{'covered':>9}{'all kept':>10}{'median df':>11}{'at zero':>9}")
    good = True
    cells = [(d, s, c) for d in DESIGNS for s in SPREADS for c in CONTRASTS if s == "study" or c == "drug"]
    for index, (design, spread, contrast) in enumerate(cells):
        drawn = culture(design, SPREADS[spread], TRUTH, runs, np.random.default_rng([1, index]))
        Y, truth = differences(design, drawn, contrast), TRUTH[contrast]
        factors = [labels for labels in design.labels if 1 < len(set(labels)) < len(labels)]
        if not factors:
            t = (Y.mean(axis=1) - truth) / (Y.std(axis=1, ddof=1) / math.sqrt(Y.shape[1]))
            share = float(np.mean(np.abs(t) <= special.stdtrit(Y.shape[1] - 1, 0.975)))
            print(f"{design!s:<26}{spread:<8}{contrast:<13}{100 * share:>9.1f}{'':>10}{Y.shape[1] - 1:>11.1f}", flush=True)
        else:
            found = fit_batch(Y, np.ones((Y.shape[1], 1)), [indicate(labels) for labels in factors])
            check(design, Y, found)
            share, kept = covered(found, truth)
            line = (
                f"{100 * share:>9.1f}{100 * kept:>10.1f}{np.median(found.df_reduced):>11.1f}{100 * found.at_zero.any(axis=1).mean():>9.0f}"
            )
            print(f"{design!s:<26}{spread:<8}{contrast:<13}{line}", end="", flush=True)
            print("" if fits(share, (0.94, 0.96), runs) else "  outside", flush=True)
        good &= fits(share, (0.94, 1.0 if spread == "none" else 0.96), runs)
    return good


def check(design: Design, Y: Array, found: Inferences) -> None:
    """The batch must say what the stage says."""
    donors, sera = design.labels
    for i in range(3):
        pairs = Pairs(readings(donors, sera, Y[i]), readings(donors, sera, np.zeros(Y.shape[1])))
        row = estimate_crossed(Effect("S3", "IL6", "drug"), pairs, RULES)
        low = found.estimate[i] - special.stdtrit(found.df_reduced[i], 0.975) * found.se_reduced[i]
        stage = [math.log(row.estimate or 0), math.log(row.ci_low or 0), row.df]
        np.testing.assert_allclose(stage, [found.estimate[i], low, found.df_reduced[i]], rtol=1e-3, atol=1e-4)


def readings(donors: Sequence[str], sera: Sequence[str], values: Array | Sequence[tuple[float, float]]) -> tuple[Reading, ...]:
    """Values, or bounds, as the stage takes them."""
    bounds = [(v, v) if np.ndim(v) == 0 else v for v in values]
    return tuple(
        Reading(d, s, float(low), float(high), below=low != high, measurements=2, specimens=(), plates=())
        for d, s, (low, high) in zip(donors, sera, bounds, strict=True)
    )


# ------------------------------------------------------------------------------------------------- two kinds of serum


def between(runs: int) -> bool:
    """SSc sera against sera of healthy people, vehicle arm: three sera of one kind and one of the other for each donor."""
    print(f"\nTwo kinds of serum, {runs} runs a cell; coverage of 95 % intervals, %")
    head = f"{'donors':>6}{'SSc sera':>10}{'HD sera':>9}{'  spread':<10}"
    print(f"{head}{'covered':>9}{'all kept':>10}{'median df':>11}{'at zero':>9}{'estimated':>11}")
    good = True
    cells = [(n, each, k, s) for n in (6, 8, 12) for each, k in ((1, 2), (3, 2), (3, n)) for s in SPREADS]
    for index, (n, each, k, spread) in enumerate(cells):
        rng = np.random.default_rng([2, index])
        of_donor, _, of_culture = SPREADS[spread]
        sera = max(each, -(-n * each // 2))
        rows = [(i, f"S{(i * each + j) % sera:02}", 1.0) for i in range(n) for j in range(each)] + [
            (i, f"H{i * k // n}", 0.0) for i in range(n)
        ]
        donors, labels = [f"D{i:02}" for i, _, _ in rows], [serum for _, serum, _ in rows]
        arm = np.array([a for _, _, a in rows])
        Zd, Zs = indicate(donors), indicate(labels)
        serum_sd = 0.0 if spread == "none" else SERUM_SD
        level = rng.normal(0, LEVEL_SD, (runs, n)) @ Zd.T + (rng.normal(0, of_donor, (runs, n)) @ Zd.T) * arm
        Y = (
            level
            + rng.normal(0, serum_sd, (runs, Zs.shape[1])) @ Zs.T
            + TRUTH["serum"] * arm
            + rng.normal(0, of_culture, (runs, len(rows)))
        )
        factors = [own for own in (donors, labels) if 1 < len(set(own)) < len(own)]
        found = fit_batch(Y, np.column_stack([np.ones(len(rows)), arm]), [indicate(own) for own in factors])
        parts = []
        for on in (1.0, 0.0):
            names = zip(*[(d, s) for d, s, a in zip(donors, labels, arm, strict=True) if a == on], strict=True)
            parts.append(readings(*names, Y[0][arm == on]))
        row = estimate_between_sera(Effect("S3", "IL6", "serum"), *parts, RULES)
        np.testing.assert_allclose([math.log(row.estimate or 0), row.df], [found.estimate[0], found.df_reduced[0]], rtol=1e-3)
        share, kept = covered(found, TRUTH["serum"])
        fine = fits(share, (0.94, 0.96), runs)
        good &= fine or (spread == "none" and share > 0.96)
        numbers = (
            f"{100 * share:>9.1f}{100 * kept:>10.1f}{np.median(found.df_reduced):>11.1f}{100 * found.at_zero.any(axis=1).mean():>9.0f}"
        )
        done = 100 * np.isfinite(found.se_reduced).mean()
        print(f"{n:>6}{sera:>10}{k:>9}  {spread:<8}{numbers}{done:>11.1f}{'' if fine else '  outside'}", flush=True)
    return good


# ------------------------------------------------------------------------------------------------------------ censored


def below(values: Array, limit: float) -> list[tuple[float, float]]:
    """Bounds of values of which those below a limit are only known to be there."""
    return [(-math.inf, limit) if v < limit else (v, v) for v in values]


def contrast_pairs(design: Design, arms: Sequence[Sequence[tuple[float, float]]], contrast: str) -> Pairs:
    """Pairs of one contrast from the bounds of the four kinds of culture, as the stage makes them."""
    donors, sera = design.labels
    single = sorted(set(donors))
    bare, bare_drug = (readings(single, [""] * len(single), part) for part in arms[:2])
    exposed, exposed_drug = (readings(donors, sera, part) for part in arms[2:])
    inside = pair_up(exposed_drug, exposed)
    if contrast == "drug":
        return inside
    return pair_up(exposed, bare) if contrast == "serum" else interact(inside, pair_up(bare_drug, bare))


def run_cell(rows: Sequence[Effect], truth: float) -> tuple[str, bool]:
    """Line of statuses, coverage given estimated and, where the truth is one, rejections; and whether they fit."""
    runs = len(rows)
    counts = Counter(row.status.value if row.reason is None else row.reason.value for row in rows)
    done = [row for row in rows if row.status.value == "estimated"]
    inside = [row for row in done if math.log(row.ci_low or 1e-300) <= truth <= math.log(row.ci_high or 1e300)]
    share = len(inside) / len(done) if done else math.nan
    error = float(np.mean([math.log(row.estimate or 1) - truth for row in done])) if done else math.nan
    rejected = sum((row.p if row.p is not None else 1.0) < RULES.analysis.alpha for row in rows) / runs
    fine = len(done) < 30 or fits(share, (0.93, 0.97), len(done))
    if truth == 0.0:
        fine &= rejected <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
    told = ", ".join(f"{name} {100 * count / runs:.0f}" for name, count in counts.most_common())
    line = f"{100 * share:>8.1f}{error:>+9.3f}{(f'{100 * rejected:.1f}' if truth == 0.0 else ''):>8}  {told}"
    return line + ("" if fine else "  outside"), fine


def censored(runs: int) -> bool:
    """Limits that hide a share of the drug arm (of the vehicle without serum, for the effect of serum), ratio one and another."""
    print(f"\nLimits of quantification, {runs} runs a cell; coverage given estimated, mean ln error, type I error, statuses, %")
    print(f"{'design':<26}{'contrast':<13}{'hidden':>7}{'ratio':>7}{'covered':>8}{'error':>9}{'type I':>8}  statuses")
    good = True
    some = [(DESIGNS[2], c) for c in CONTRASTS] + [(d, "drug") for d in (DESIGNS[0], DESIGNS[3], DESIGNS[4], DESIGNS[6], DESIGNS[8])]
    cells = [(d, c, hidden, null) for d, c in some for hidden in (0.2, 0.4) for null in (False, True)]
    for index, (design, contrast, hidden, null) in enumerate(cells):
        rng = np.random.default_rng([3, index])
        truth = TRUTH | {contrast: 0.0} if null else TRUTH
        drawn = culture(design, SPREADS["study"], truth, runs, rng)
        arms = (drawn.bare, drawn.bare_drug, drawn.exposed, drawn.exposed_drug)
        lowest = drawn.bare if contrast == "serum" else drawn.exposed_drug
        limit = float(np.quantile(lowest, hidden))
        rows = []
        for i in range(runs):
            pairs = contrast_pairs(design, [below(part[i], limit) for part in arms], contrast)
            rows.append(estimate_crossed(Effect("S3", "IL6", contrast), pairs, RULES))
        line, fine = run_cell(rows, truth[contrast])
        good &= fine
        print(f"{design!s:<26}{contrast:<13}{100 * hidden:>7.0f}{math.exp(truth[contrast]):>7.1f}{line}", flush=True)
    return good


# ---------------------------------------------------------------------------------------------------------- carry-over

CARRIED = {"none": 0.0, "low": 0.1, "high": 0.5, "edge": 0.9, "hopeless": 4.0}
"""What serum brings, as share of the geometric mean net value under vehicle and serum."""

CARRIED_SD, READING_SE, LLOQ = 0.3, (0.05, 0.10), 0.02


def read(amount: float, rng: np.random.Generator) -> Value:
    """One concentration as assemble takes it: ln value with its error, or below the limit."""
    se = float(rng.uniform(*READING_SE))
    seen = math.log(max(amount, 1e-12)) + se * float(rng.standard_normal())
    if seen < math.log(LLOQ):
        return Value("below_lloq", upper=math.log(LLOQ), reason="below-lloq")
    return Value("quantified", log_value=seen, se=se)


def net_of(amounts: Array, brought: Array, blanks: Sequence[Value], rng: np.random.Generator) -> list[Value]:
    """Net values of cultures whose medium holds what serum brought."""
    return [subtract_blank(read(a + b, rng), blank) for a, b, blank in zip(amounts, brought, blanks, strict=True)]


def bounds(value: Value) -> tuple[float, float]:
    """Bounds of a value as the stage reads them."""
    if value.exact:
        return (value.log_value or 0.0,) * 2
    return (-math.inf if value.lower is None else value.lower, math.inf if value.upper is None else value.upper)


def shares(donors: Sequence[str], sera: Sequence[str], values: Sequence[Value]) -> pl.DataFrame:
    """Rows of an arm with what the carry-over rule looks at."""
    cells = zip(donors, sera, values, strict=True)
    rows = [(d, s, v.status, v.reason, v.blank_share) for d, s, v in cells]
    schema = {"donor": pl.String, "serum_donor": pl.String, "status": pl.String, "reason": pl.String, "blank_share": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def carried(runs: int) -> bool:
    """Serum in the medium: what the rule, deciding by the comparator, does; and one in which the drug's arm has a say as well."""
    print(f"\nSerum in the medium, {runs} runs a cell; coverage given estimated, mean ln error, type I error, statuses, %")
    print(f"{'design':<26}{'carried':<10}{'ratio':>7}{'decides':>12}{'covered':>8}{'error':>9}{'type I':>8}  statuses")
    good = True
    cells = [(d, level, ratio) for d in DESIGNS[:6] for level in ("low", "high") for ratio in (0.6, 1.0)]
    cells += [(DESIGNS[2], level, ratio) for level in ("none", "edge", "hopeless") for ratio in (0.6, 1.0)]
    cells += [(DESIGNS[2], "high", 0.25), (DESIGNS[2], "high", 0.05)]
    for index, (design, level, ratio) in enumerate(cells):
        rng = np.random.default_rng([4, index])
        truth = TRUTH | {"drug": math.log(ratio)}
        drawn = culture(design, SPREADS["study"], truth, runs, rng)
        decided: dict[str, list[Effect]] = {"comparator": [], "either arm": []}
        for i in range(runs):
            for name, row in carry(design, drawn, i, CARRIED[level] * 1.4, rng).items():
                decided[name].append(row)
        for name, rows in decided.items():
            line, fine = run_cell(rows, truth["drug"])
            good &= fine or name != "comparator"
            print(f"{design!s:<26}{level:<10}{ratio:>7.2f}{name:>12}{line}", flush=True)
    return good


def carry(design: Design, drawn: Cultures, run: int, middle: float, rng: np.random.Generator) -> dict[str, Effect]:
    """One run: net values through assemble's subtraction, and the effect by each way to decide on carry-over."""
    donors, sera = design.labels
    brought = {s: middle * math.exp(CARRIED_SD * float(rng.standard_normal())) for s in sorted(set(sera))}
    measured_blanks = {s: read(amount, rng) for s, amount in brought.items()}
    amounts, blanks = np.array([brought[s] for s in sera]), [measured_blanks[s] for s in sera]
    drug, comparator = (net_of(np.exp(part[run]), amounts, blanks, rng) for part in (drawn.exposed_drug, drawn.exposed))
    kept = [i for i in range(len(donors)) if drug[i].usable and comparator[i].usable]
    names = [donors[i] for i in kept], [sera[i] for i in kept]
    pairs = pair_up(*(readings(*names, [bounds(part[i]) for i in kept]) for part in (drug, comparator)))
    frames = [shares(donors, sera, part) for part in (comparator, drug)]
    both = pl.concat(frames)
    larger = both.group_by("donor", "serum_donor", maintain_order=True).agg(pl.col("status", "reason").first(), pl.col("blank_share").max())
    base, found = Effect("S3", "IL6", "drug"), {}
    estimated: Effect | None = None
    for name, deciding in (("comparator", frames[0]), ("either arm", larger)):
        over = carries_over(both.to_dicts(), deciding.to_dicts(), pairs, RULES.analysis.blank_share)
        if over is None and estimated is None:
            estimated = estimate_crossed(base, pairs, RULES)
        found[name] = base.refused(Reason.SERUM_CARRY_OVER) if over is not None or estimated is None else estimated
    return found


def parts_of(given: argparse.Namespace) -> Iterator[bool]:
    """Outcome of every part asked for."""
    every = {
        "measured": (measured, given.runs),
        "between": (between, given.runs),
        "censored": (censored, given.few),
        "carried": (carried, given.few),
    }
    for name, (part, runs) in every.items():
        if given.part in (None, name):
            yield part(runs)


if __name__ == "__main__":
    with one_thread():
        parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--part", choices=("measured", "between", "censored", "carried"), help="one part only")
        parser.add_argument("--runs", type=int, default=2000, help="runs of a cell where every value is measured")
        parser.add_argument("--few", type=int, default=1000, help="runs of a cell that is fitted one by one")
        sys.exit(0 if all(list(parts_of(parser.parse_args()))) else 1)
