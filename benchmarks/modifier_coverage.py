"""Type I error and coverage of the registered rows on modifiers, over simulated studies of the size of the seed study.

    python benchmarks/modifier_coverage.py                    seeds 1 to 2,000
    python benchmarks/modifier_coverage.py --seeds 300 --first 5001
    python benchmarks/modifier_coverage.py --seeds 160 --deals 2000     type I error alone, 2,000 deals of the clinical rows in each study

Three readings of each study, drawn as tables with missing values and levels as they come:
    drawn      modifiers act as the simulator says; the truth is the ratio of ratios in the population
    shuffled   clinical rows are dealt to donors anew: no modifier acts, counts of levels and missing values are the same
    rescored   the skin score gets an error of the SD that the protocol names; the truth is the slope on the score without it

The criterion: type I error 4.5 to 5.5 %, coverage 94 to 96 %, each widened by three Monte-Carlo standard errors, for registered rows,
for the corrected slope, and for the rows that keep censored pairs (in studies that have any). The slope on the rescored score is
printed to show what the error does, and judged by nothing.
"""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from scipy import special

from exvivo.engine import one_thread, rng_for
from exvivo.estimate.contrasts import Rules
from exvivo.estimate.effect import Effect
from exvivo.estimate.pairs import Cultures, Pairs, full_condition, pair_up
from exvivo.estimate.subgroups import estimate_modifier
from exvivo.numerics.meta import pool_estimates
from exvivo.pipeline import count_donors
from exvivo.simulate.tabulate import tables_of
from exvivo.simulate.truth import draw_truth, true_effects
from exvivo.study.model import ModifierKind
from exvivo.study.protocol import AnalysisPlan, Protocol, load_protocol
from exvivo.study.statuses import Method
from exvivo.templates import write_template

OUTCOME, SCORE = "S4", "mrss"
COLUMNS = ("modifier", "estimate", "ci_low", "ci_high", "p", "status", "method")


@dataclass(frozen=True, slots=True)
class Setting:
    """What all studies share: protocol, its rows on modifiers, and the true ratio of ratios of each."""

    protocol: Protocol
    plan: AnalysisPlan
    truths: pl.DataFrame

    @property
    def variables(self) -> list[str]:
        """Clinical variables of the modifiers."""
        return [modifier.variable for modifier in self.plan.modifiers.values()]


def set_up() -> Setting:
    """The seed study."""
    with tempfile.TemporaryDirectory() as folder:
        write_template(Path(folder), "ssc-ruxolitinib")
        protocol = load_protocol(Path(folder) / "study.yaml")
    plan = replace(protocol.analysis, outcomes=tuple(o for o in protocol.analysis.outcomes if o.id == OUTCOME))
    truths = true_effects(protocol).filter(pl.col("outcome") == OUTCOME, pl.col("level").fill_null("") == "")
    return Setting(protocol, plan, truths.select("modifier", "true_ratio"))


@dataclass(frozen=True, slots=True)
class Drawn:
    """One study: its pairs and the clinical row of each donor."""

    pairs: Pairs
    clinic: Mapping[str, Mapping[str, str | None]]

    def shuffled(self, rng: np.random.Generator) -> "Drawn":
        """The same pairs with clinical rows dealt to donors anew."""
        donors = sorted(self.clinic)
        dealt = zip(donors, rng.permutation(donors).tolist(), strict=True)
        return replace(self, clinic={donor: self.clinic[other] for donor, other in dealt})

    def rescored(self, variable: str, sd: float, rng: np.random.Generator) -> "Drawn":
        """The same study with one normal error on the score of every donor."""
        errors = dict(zip(sorted(self.clinic), rng.normal(0, sd, len(self.clinic)), strict=True))

        def score(cell: str | None, error: float) -> str | None:
            return None if cell is None else str(float(cell) + error)

        return replace(self, clinic={donor: {**row, variable: score(row[variable], errors[donor])} for donor, row in self.clinic.items()})


def draw_study(setting: Setting, donors: Mapping[str, int], seed: int) -> Drawn:
    """One study as tables."""
    outcome = setting.plan.outcomes[0]
    frame = tables_of(draw_truth(setting.protocol, donors, seed), rng_for(seed, "readings"), list(outcome.readouts)).frame
    own = frame.filter(pl.col("sets").str.split(",").list.contains(outcome.set), pl.col("readout") == outcome.readouts[0])
    cultures = Cultures.of(own, setting.plan.factors)
    drug, comparator = (
        cultures.readings_at(full_condition(outcome.contrast, setting.plan.factors, level))
        for level in (outcome.contrast.level, outcome.contrast.versus)
    )
    clinic = own.select("donor", *setting.variables).unique(subset="donor").sort("donor")
    return Drawn(pair_up(drug, comparator), {row["donor"]: row for row in clinic.cast(pl.String).iter_rows(named=True)})


def estimate(drawn: Drawn, setting: Setting, reading: str, modifiers: Sequence[str]) -> Iterator[dict[str, object]]:
    """Registered rows, and the corrected slope or the rows with censored pairs, of one reading of a study."""
    outcome, rules = setting.plan.outcomes[0], Rules(setting.plan.rules, "benchmark")
    for name in modifiers:
        modifier = setting.plan.modifiers[name]
        base = Effect(outcome.id, outcome.readouts[0], "", name)
        values = {donor: row[modifier.variable] for donor, row in drawn.clinic.items()}
        rows = estimate_modifier(base, drawn.pairs, values, modifier, rules)
        beside = Method.CALIBRATED if reading == "rescored" else Method.INTERVAL
        for effect in (rows[0], *(row for row in rows if row.method is beside)):
            yield {"reading": reading, **{column: effect.row()[column] for column in COLUMNS}}


def read_studies(seeds: range, setting: Setting) -> Iterator[dict[str, object]]:
    """Rows of all readings of each study."""
    donors = count_donors(setting.protocol, None, "demo")
    names = list(setting.plan.outcomes[0].modifiers)
    score = setting.plan.modifiers[SCORE]
    for seed in seeds:
        drawn = draw_study(setting, donors, seed)
        yield from estimate(drawn, setting, "drawn", names)
        yield from estimate(drawn.shuffled(rng_for(seed, "shuffle")), setting, "shuffled", names)
        rescored = drawn.rescored(score.variable, score.measurement_sd or 0.0, rng_for(seed, "rescore"))
        yield from estimate(rescored, setting, "rescored", [SCORE])


def read_deals(seeds: range, setting: Setting, deals: int) -> Iterator[tuple[str, float]]:
    """Share of deals in which the t test of each modifier with one number rejects, by study; studies with a small level are left out."""
    donors, rules = count_donors(setting.protocol, None, "demo"), setting.plan.rules
    for seed in seeds:
        drawn, rng = draw_study(setting, donors, seed), rng_for(seed, "deals")
        exact = drawn.pairs.pick(np.flatnonzero(drawn.pairs.exact))
        for name, modifier in setting.plan.modifiers.items():
            cells = [drawn.clinic[donor][modifier.variable] for donor in exact.donors]
            if modifier.kind is ModifierKind.BINARY:
                x = np.array([1.0 if cell in modifier.yes else 0.0 if cell in modifier.no else np.nan for cell in cells])
            elif modifier.kind is ModifierKind.CONTINUOUS:
                x = np.array([np.nan if cell is None else float(cell) for cell in cells])
            else:
                continue
            x = x[~np.isnan(x)]
            if modifier.kind is ModifierKind.BINARY and min(x.sum(), x.size - x.sum()) < rules.min_per_level:
                continue
            y = np.array([rng.permutation(exact.differences[:, 0])[: x.size] for _ in range(deals)])
            r = (y - y.mean(axis=1, keepdims=True)) @ (x - x.mean()) / (x.size * x.std() * y.std(axis=1))
            t = r * np.sqrt((x.size - 2) / (1 - r**2))
            yield name, float(np.mean(2 * special.stdtr(x.size - 2, -abs(t)) < rules.alpha))


def print_deals(seeds: range, setting: Setting, deals: int) -> bool:
    """Print type I error of every modifier with one number, over all deals; whether it lies in its band."""
    shares: dict[str, list[float]] = {}
    for name, share in read_deals(seeds, setting, deals):
        shares.setdefault(name, []).append(share)
    good = True
    for name, held in shares.items():
        mean, error = float(np.mean(held)), float(np.std(held, ddof=1) / math.sqrt(len(held)))
        good &= 0.045 - 3 * error <= mean <= 0.055 + 3 * error
        print(
            f"{name:<10} p < {setting.plan.rules.alpha:g} in {mean:.2%} (MC SE {error:.2%}) of {deals} deals in each of {len(held)} studies"
        )
    return good


def print_shrunken(count: int) -> None:
    """Print squared error of shrunken levels over that of plain ones, and coverage of an interval that takes their variance as known."""
    rng, sd = np.random.default_rng(1), 0.5
    for donors in ([7, 7, 6], [12, 8], [6, 6, 6, 6]):
        df, size = sum(donors) - len(donors), np.sqrt(donors)
        quantile = float(special.stdtrit(df, 0.975))
        for between in (0.0, 0.1, 0.2, 0.3, 0.5):
            squares, covered, zero = np.zeros(2), 0.0, 0
            for _ in range(count):
                truth = rng.normal(0, between, len(donors))
                plain, se = rng.normal(truth, sd / size), sd * np.sqrt(rng.chisquare(df) / df) / size
                fit = pool_estimates(plain, se**2)
                squares += [np.mean((fit.predicted - truth) ** 2), np.mean((plain - truth) ** 2)]
                covered += float(np.mean(np.abs(fit.predicted - truth) <= quantile * fit.predicted_se))
                zero += fit.tau2 == 0
            told = f"squared error {squares[0] / squares[1]:.2f}, covered {covered / count:.1%}, variance zero {zero / count:.0%}"
            print(f"levels of {donors} donors, SD between levels {between}: {told}")


def summarise(rows: pl.DataFrame, truths: pl.DataFrame) -> pl.DataFrame:
    """Per reading, modifier and method: how often it was estimated, rejected and covered, and its mean ln error."""
    joined = rows.join(truths, on="modifier", how="left", maintain_order="left").with_columns(
        true_ratio=pl.when(pl.col("reading") == "shuffled").then(1.0).otherwise(pl.col("true_ratio"))
    )
    given = pl.col("status") == "estimated"
    inside = (pl.col("ci_low") <= pl.col("true_ratio")) & (pl.col("ci_high") >= pl.col("true_ratio"))
    error = (pl.col("estimate") / pl.col("true_ratio")).log()
    return (
        joined.filter(given)
        .group_by("reading", "modifier", "method", maintain_order=True)
        .agg(
            pl.col("true_ratio").first(),
            pl.len().alias("n"),
            (pl.col("p") < 0.05).sum().alias("rejected"),
            pl.col("p").is_not_null().sum().alias("tested"),
            inside.sum().alias("covered"),
            pl.col("ci_low").is_not_null().sum().alias("with_interval"),
            error.mean().alias("error"),
            (error.std() / error.count().sqrt()).alias("error_se"),
        )
        .sort("reading", "modifier", "method")
    )


def within(hits: int, n: int, band: tuple[float, float]) -> bool:
    """Whether a share lies in a band, widened by three Monte-Carlo standard errors."""
    middle = sum(band) / 2
    slack = 3 * math.sqrt(middle * (1 - middle) / n) if n else 1.0
    return band[0] - slack <= (hits / n if n else middle) <= band[1] + slack


def print_table(table: pl.DataFrame) -> bool:
    """Print every row; whether those that are judged lie in their bands."""
    print(f"{'reading':<10}{'modifier':<10}{'method':<24}{'truth':>7}{'n':>6}{'p < 0.05':>16}{'covered':>16}{'ln error':>10}{'SE':>8}")
    good = True
    for row in table.iter_rows(named=True):
        flat = row["reading"] == "rescored" and row["method"] == "linear-log-ratio"
        null = row["reading"] == "shuffled"
        fine = flat or (
            within(row["covered"], row["with_interval"], (0.94, 0.96))
            and (not null or within(row["rejected"], row["tested"], (0.045, 0.055)))
        )
        good &= fine
        truth = "" if row["true_ratio"] is None else f"{row['true_ratio']:.3f}"
        shares = [
            f"{hits:>6}{hits / n:>10.2%}" if n else f"{'':>16}"
            for hits, n in ((row["rejected"], row["tested"]), (row["covered"], row["with_interval"]))
        ]
        error = f"{row['error']:>+10.4f}{row['error_se']:>8.4f}" if row["error_se"] is not None else ""
        head = f"{row['reading']:<10}{row['modifier']:<10}{row['method']:<24}{truth:>7}{row['n']:>6}"
        print(f"{head}{''.join(shares)}{error}{'' if fine else '  outside'}")
    return good


if __name__ == "__main__":
    with one_thread():
        parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--seeds", type=int, default=2000, help="number of studies")
        parser.add_argument("--first", type=int, default=1, help="first seed")
        parser.add_argument("--deals", type=int, default=0, help="deals of the clinical rows in each study, for type I error alone")
        parser.add_argument("--shrunken", type=int, default=0, help="data sets on which shrunken levels are tried, alone")
        asked = parser.parse_args()
        began, seeds = time.perf_counter(), range(asked.first, asked.first + asked.seeds)
        setting = set_up()
        if asked.shrunken:
            print_shrunken(asked.shrunken)
            sys.exit(0)
        if asked.deals:
            held = print_deals(seeds, setting, asked.deals)
        else:
            held = print_table(summarise(pl.DataFrame(list(read_studies(seeds, setting)), infer_schema_length=None), setting.truths))
        print(f"seeds {seeds.start} to {seeds.stop - 1}, {time.perf_counter() - began:.0f} s")
        sys.exit(0 if held else 1)
