"""What looks wrong on plates: another standard series than planned, exchanged standards, refused plates, pairs split over plates."""

import itertools
import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from exvivo.numerics.curves import Weighting, fit_curves
from exvivo.numerics.least_squares import Standards
from exvivo.study.findings import Finding, FindingCode
from exvivo.study.model import ElisaReadout
from exvivo.study.run import Calibration
from exvivo.study.statuses import Reason, Severity, WellStatus
from exvivo.study.tables import Table

MIN_LEVELS = 5
PARAMETERS = ("a", "b", "c", "d")
MIN_CV = 0.03
TOP_TOLERANCE = 0.05
EXCHANGE_GAIN = 6.0
"""An exchange must cut the residual sum of squares by this factor to be called out."""
EXCHANGE_CV = 0.06
"""... and the curve as labelled must miss its standards by at least this much on average."""
INVERSION_ERRORS, INVERSION_GAIN = 3.0, 2.0
"""Near the top a curve bends round exchanged levels: there a level that reads higher than the next higher one by three
standard errors is enough, with a smaller gain."""


def inspect_plates(calibration: Calibration, outcomes: Table, readouts: Mapping[str, ElisaReadout]) -> Iterator[Finding]:
    """Findings on plates; ``readouts`` are what the protocol says of the analytes."""
    yield from _other_standards(calibration, readouts)
    yield from _exchanged_standards(calibration)
    yield from _refused_plates(calibration)
    yield from _split_pairs(outcomes)


@dataclass(frozen=True, slots=True)
class _Series:
    """Standards of one curve: nominal concentration and signal of every well that entered the fit."""

    plate: str
    analyte: str
    nominal: np.ndarray
    signal: np.ndarray
    fitted: np.ndarray

    @property
    def levels(self) -> list[float]:
        """Non-zero nominal concentrations, descending."""
        return sorted({float(x) for x in self.nominal if x > 0}, reverse=True)

    @property
    def pairs(self) -> list[tuple[float, float]]:
        """Every two levels."""
        return list(itertools.combinations(self.levels, 2))

    @property
    def scatter(self) -> float:
        """Relative residual SD of the curve as it was fitted; infinite when there is none."""
        known = np.isfinite(self.fitted) & (self.fitted > 0)
        if known.sum() <= len(PARAMETERS):
            return math.inf
        relative = self.signal[known] / self.fitted[known] - 1.0
        return math.sqrt(float(np.sum(relative**2)) / (int(known.sum()) - len(PARAMETERS)))

    @property
    def inversion(self) -> float:
        """Largest step against the curve's direction between neighbouring levels, in standard errors of that step."""
        groups = [self.signal[self.nominal == level] for level in self.levels]
        means = np.array([group.mean() for group in groups])
        deviations = np.concatenate([group / mean - 1.0 for group, mean in zip(groups, means, strict=True)])
        cv = max(math.sqrt(float(np.sum(deviations**2)) / max(len(deviations) - len(groups), 1)), MIN_CV)
        wells = min(len(group) for group in groups)
        steps = np.diff(np.log(np.maximum(means, 1e-6))) * np.sign(means[0] - means[-1])
        return float(steps.max()) / (cv * math.sqrt(2.0 / wells))

    def exchanged(self, first: float, second: float) -> Standards:
        """The same wells with two levels' labels exchanged."""
        swapped = np.where(self.nominal == first, second, np.where(self.nominal == second, first, self.nominal))
        with np.errstate(divide="ignore"):
            return Standards(np.log(swapped), self.signal)


def _series(calibration: Calibration) -> Iterator[_Series]:
    frame = calibration.wells.frame
    entered = (
        pl.col("role").is_in(["standard", "blank"])
        & (pl.col("status") == WellStatus.OK.value)
        & pl.col("signal").is_not_null()
        & pl.col("analyte").is_not_null()
    )
    used = frame.filter(entered).with_columns(pl.col("nominal").fill_null(0.0))
    for (plate, analyte), part in used.group_by(["plate", "analyte"], maintain_order=True):
        series = _Series(str(plate), str(analyte), part["nominal"].to_numpy(), part["signal"].to_numpy(), part["fitted"].to_numpy())
        if len(series.levels) >= MIN_LEVELS:
            yield series


def _exchanged_standards(calibration: Calibration) -> Iterator[Finding]:
    """Two standards whose labels fit the curve far better when exchanged."""
    doubtful = [series for series in _series(calibration) if series.scatter > EXCHANGE_CV or series.inversion > INVERSION_ERRORS]
    candidates = [series.exchanged(a, b) for series in doubtful for a, b in [(math.nan, math.nan), *series.pairs]]
    fits = iter(fit_curves(candidates, Weighting.RECIPROCAL_SQUARED))  # all at once: one plate at a time takes many times as long
    for series in doubtful:
        inverted, pairs = series.inversion > INVERSION_ERRORS, series.pairs
        curve, *exchanged = itertools.islice(fits, 1 + len(pairs))
        scatter = math.sqrt(curve.rss / max(curve.df, 1))
        (first, second), best = min(zip(pairs, exchanged, strict=True), key=lambda item: item[1].rss)
        if curve.rss > (INVERSION_GAIN if inverted else EXCHANGE_GAIN) * best.rss:
            after = math.sqrt(best.rss / max(best.df, 1))
            evidence = (
                f"standards {first:g} and {second:g} of {series.analyte} miss the curve: relative residual SD {scatter:.0%} as labelled,"
                f" {after:.1%} with the two exchanged"
            )
            suggestion = "Look at the pipetting record; correct the plate map or exclude the two standards"
            yield Finding(FindingCode.STANDARDS_EXCHANGED, Severity.ERROR, series.plate, evidence, suggestion, (series.analyte,))


def _other_standards(calibration: Calibration, readouts: Mapping[str, ElisaReadout]) -> Iterator[Finding]:
    """Standard series whose top is not the protocol's: a slip of unit, another kit, or a wrong map."""
    frame = calibration.wells.frame.filter(pl.col("role") == "standard", pl.col("nominal") > 0)
    tops = frame.group_by("plate", "analyte", maintain_order=True).agg(pl.col("nominal").max(), pl.col("unit").first())
    for plate, analyte, top, unit in tops.iter_rows():
        promised = readouts[analyte].standards.top if analyte in readouts else top
        if abs(top / promised - 1.0) > TOP_TOLERANCE:
            wanted = f"{promised:g} {readouts[analyte].unit} as the protocol or the other plates have"
            evidence = f"the top standard of {analyte} is {top:g} {unit or ''}, not {wanted}"
            suggestion = "Check the units of the map and of the readout, and which kit was used"
            yield Finding(FindingCode.UNIT_MISMATCH, Severity.WARNING, plate, evidence, suggestion, (analyte,))


def _refused_plates(calibration: Calibration) -> Iterator[Finding]:
    """Plates that the rules refused; one that a decision took out needs no finding."""
    wells = calibration.wells.frame.filter(pl.col("status") != WellStatus.EMPTY.value)
    kept = set(wells.filter(pl.col("reason").is_null() | (pl.col("reason") != Reason.EXCLUDED.value))["plate"])
    failed: dict[tuple[str, str], list[str]] = {}
    for row in calibration.verdicts.frame.iter_rows(named=True):
        if not row["accepted"] and not row["passed"] and row["rule"] != "accepted" and row["plate"] in kept:
            failed.setdefault((row["plate"], row["analyte"]), []).append(row["rule"])
    for (plate, analyte), rules in failed.items():
        evidence = f"{analyte}: failed {', '.join(sorted(set(rules)))}"
        suggestion = "Repeat the plate; its specimens keep their rows as refused"
        yield Finding(FindingCode.PLATE_REFUSED, Severity.WARNING, plate, evidence, suggestion, (analyte,))


def _split_pairs(outcomes: Table) -> Iterator[Finding]:
    """Conditions of one donor and readout that were measured on different plates."""
    seen: dict[tuple[str, str, str], set[str]] = {}
    for row in outcomes.frame.iter_rows(named=True):
        if row["plates"] and row["donor"]:
            seen.setdefault((row["experiment"], row["donor"], row["readout"]), set()).add(row["plates"])
    split: dict[tuple[str, str], dict[str, set[str]]] = {}
    for (experiment, donor, readout), plates in seen.items():
        if len(plates) > 1:
            split.setdefault((experiment, donor), {})[readout] = plates
    for (experiment, donor), readouts in split.items():
        evidence = f"experiment {experiment}: conditions on different plates for {_summary(readouts)}"
        suggestion = "Measure all conditions of a donor on one plate; the plate's curve error does not cancel here"
        yield Finding(FindingCode.PAIR_ON_TWO_PLATES, Severity.NOTE, donor, evidence, suggestion, tuple(sorted(readouts)), (donor,))


def _summary(readouts: Mapping[str, Collection[str]]) -> str:
    return "; ".join(f"{readout} ({json.dumps(sorted(plates))})" for readout, plates in sorted(readouts.items()))
