"""What looks wrong on plates: exchanged standards, refused plates, pairs split over plates, reduced readings that disagree."""

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from exvivo.numerics.curves import Weighting, fit_curves
from exvivo.numerics.least_squares import Standards
from exvivo.study.findings import Finding, FindingCode
from exvivo.study.run import Calibration
from exvivo.study.statuses import Severity, WellStatus
from exvivo.study.tables import Table

MIN_LEVELS = 5
EXCHANGE_GAIN = 10.0
"""An exchange must cut the residual sum of squares by this factor to be called out."""
EXCHANGE_CV = 0.10
"""... and the curve as labelled must miss its standards by at least this much on average."""


def inspect_plates(calibration: Calibration, outcomes: Table) -> Iterator[Finding]:
    """Findings on plates."""
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

    @property
    def levels(self) -> list[float]:
        """Non-zero nominal concentrations, descending."""
        return sorted({float(x) for x in self.nominal if x > 0}, reverse=True)

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
        series = _Series(str(plate), str(analyte), part["nominal"].to_numpy(), part["signal"].to_numpy())
        if len(series.levels) >= MIN_LEVELS:
            yield series


def _exchanged_standards(calibration: Calibration) -> Iterator[Finding]:
    """Two standards whose labels fit the curve far better when exchanged."""
    for series in _series(calibration):
        pairs = list(itertools.combinations(series.levels, 2))
        candidates = [series.exchanged(math.nan, math.nan), *(series.exchanged(a, b) for a, b in pairs)]
        curves = fit_curves(candidates, Weighting.RECIPROCAL_SQUARED)
        rss = np.array([curve.rss for curve in curves])
        scatter = math.sqrt(rss[0] / max(curves[0].df, 1))
        best = int(np.argmin(rss))
        if best and scatter > EXCHANGE_CV and rss[0] > EXCHANGE_GAIN * rss[best]:
            first, second = pairs[best - 1]
            after = math.sqrt(rss[best] / max(curves[best].df, 1))
            evidence = (
                f"standards {first:g} and {second:g} of {series.analyte} miss the curve: relative residual SD {scatter:.0%} as labelled,"
                f" {after:.1%} with the two exchanged"
            )
            suggestion = "Look at the pipetting record; correct the plate map or exclude the two standards"
            yield Finding(FindingCode.STANDARDS_EXCHANGED, Severity.ERROR, series.plate, evidence, suggestion, (series.analyte,))


def _refused_plates(calibration: Calibration) -> Iterator[Finding]:
    failed: dict[tuple[str, str], list[str]] = {}
    for row in calibration.verdicts.frame.iter_rows(named=True):
        if not row["accepted"] and not row["passed"]:
            failed.setdefault((row["plate"], row["analyte"]), []).append(row["rule"])
    for (plate, analyte), rules in failed.items():
        evidence = f"{analyte}: failed {', '.join(sorted(set(rules)))}"
        suggestion = "Repeat the plate; its specimens keep their rows as refused"
        yield Finding(FindingCode.PLATE_REFUSED, Severity.WARNING, plate, evidence, suggestion, (analyte,))


def _split_pairs(outcomes: Table) -> Iterator[Finding]:
    """Conditions of one donor and readout that were measured on different plates."""
    seen: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in outcomes.frame.iter_rows(named=True):
        if row["plates"] and row["donor"]:
            condition = "/".join(str(row[name]) for name in ("drug", "serum", "serum_donor") if row[name])
            seen.setdefault((row["experiment"], row["donor"], row["readout"]), {})[condition] = row["plates"]
    split: dict[tuple[str, str], dict[str, Mapping[str, str]]] = {}
    for (experiment, donor, readout), plates in seen.items():
        if len(set(plates.values())) > 1:
            split.setdefault((experiment, donor), {})[readout] = plates
    for (experiment, donor), readouts in split.items():
        evidence = f"experiment {experiment}: conditions on different plates for {_summary(readouts)}"
        suggestion = "Measure all conditions of a donor on one plate; the plate's curve error does not cancel here"
        yield Finding(FindingCode.PAIR_ON_TWO_PLATES, Severity.NOTE, donor, evidence, suggestion, tuple(sorted(readouts)), (donor,))


def _summary(readouts: Mapping[str, Mapping[str, str]]) -> str:
    parts: Sequence[str] = [f"{readout} ({json.dumps(sorted(set(plates.values())))})" for readout, plates in sorted(readouts.items())]
    return "; ".join(parts)
