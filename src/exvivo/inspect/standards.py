"""What looks wrong with standard series: another series than planned, two levels exchanged, a whole series shifted.

An exchange is found by fitting every plate with every two levels exchanged: it must fit far better than as labelled.
The evidence is what the two levels recover before and after. A shift shows in the curve's midpoint alone: standards
made up twice too strong look like a kit that is half as sensitive.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from exvivo.numerics.curves import Curve, Weighting, fit_curves
from exvivo.numerics.least_squares import Standards
from exvivo.numerics.logistic import inverse
from exvivo.study.findings import Finding, FindingCode
from exvivo.study.model import ElisaReadout
from exvivo.study.run import Calibration
from exvivo.study.statuses import ChartKind, Severity, WellStatus

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
SHIFT_Z, SHIFT_FOLD, SHIFT_TOLERANCE = 2.0, 1.6, 0.18
"""A midpoint shifted by a plausible fold: so many SDs from the other plates, by at least this, as near to the fold in logs."""
STANDARDS_Z = 2.5
"""... and the standards' own signals lie that many SDs from the other plates, in the middle: a midpoint alone can wander."""
SLIPS = (2.0, 4.0, 5.0, 10.0, 100.0)
"""Folds that a slip of the pipette or of the pen makes."""


def inspect_standards(calibration: Calibration, readouts: Mapping[str, ElisaReadout]) -> Iterator[Finding]:
    """Findings on standard series."""
    yield from _other_standards(calibration, readouts)
    yield from _exchanged_standards(calibration)
    yield from _shifted_series(calibration, readouts)


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
        deviations = np.concatenate([group / mean - 1.0 for group, mean in zip(groups, means, strict=True) if mean > 0] or [np.zeros(0)])
        cv = max(math.sqrt(float(np.sum(deviations**2)) / max(len(deviations) - len(groups), 1)), MIN_CV)
        wells = min(len(group) for group in groups)
        steps = np.diff(np.log(np.maximum(means, 1e-6))) * np.sign(means[0] - means[-1])
        return float(steps.max()) / (cv * math.sqrt(2.0 / wells))

    def exchanged(self, first: float, second: float) -> Standards:
        """The same wells with two levels' labels exchanged."""
        swapped = np.where(self.nominal == first, second, np.where(self.nominal == second, first, self.nominal))
        with np.errstate(divide="ignore"):
            return Standards(np.log(swapped), self.signal)

    def recovery(self, labelled: float, taken: float, curve: Curve) -> str:
        """What the wells that bear one level's label recover if they hold another level, as people read it."""
        log_conc = float(inverse(float(self.signal[self.nominal == labelled].mean()), curve.parameters))
        return f"{math.exp(log_conc - math.log(taken)):.0%}" if math.isfinite(log_conc) else "beyond the curve"


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
        pair, best = min(zip(pairs, exchanged, strict=True), key=lambda item: item[1].rss)
        if curve.rss > (INVERSION_GAIN if inverted else EXCHANGE_GAIN) * best.rss:
            evidence = _tell_exchange(series, pair, curve, best)
            suggestion = "Look at the pipetting record; correct the plate map or exclude the two standards"
            yield Finding(FindingCode.STANDARDS_EXCHANGED, Severity.ERROR, series.plate, evidence, suggestion, (series.analyte,))


def _tell_exchange(series: _Series, pair: tuple[float, float], labelled: Curve, exchanged: Curve) -> str:
    first, second = pair
    before = f"{series.recovery(first, first, labelled)} and {series.recovery(second, second, labelled)}"
    after = f"{series.recovery(second, first, exchanged)} and {series.recovery(first, second, exchanged)}"
    scatter, left = (math.sqrt(curve.rss / max(curve.df, 1)) for curve in (labelled, exchanged))
    return (
        f"standards {first:g} and {second:g} of {series.analyte} miss the curve: recoveries {before} as labelled, {after} with"
        f" the two exchanged; relative residual SD of all standards {scatter:.0%} before, {left:.1%} after"
    )


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


def _shifted_series(calibration: Calibration, readouts: Mapping[str, ElisaReadout]) -> Iterator[Finding]:
    """Curves whose midpoint lies a plausible fold from that of the other plates, and whose standards all read accordingly."""
    frame = calibration.controls.frame
    charts = frame.filter(pl.col("kind") == ChartKind.PARAMETER.value, pl.col("control") == "c", pl.col("z").abs() > SHIFT_Z)
    for row in charts.iter_rows(named=True):
        own = frame.filter(pl.col("plate") == row["plate"], pl.col("analyte") == row["analyte"])
        shift = row["value"] - row["target"]
        factor = readouts[row["analyte"]].standards.factor if row["analyte"] in readouts else SLIPS[0]
        slip = min({*SLIPS, factor}, key=lambda fold: abs(abs(shift) - math.log(fold)))
        near = abs(shift) > math.log(SHIFT_FOLD) and abs(abs(shift) - math.log(slip)) < SHIFT_TOLERANCE
        standards = own.filter(pl.col("kind") == ChartKind.STANDARD.value)["z"].drop_nulls()
        typical = standards.median() if standards.len() else None
        if near and isinstance(typical, float) and abs(typical) > STANDARDS_Z:
            controls = own.filter(pl.col("kind") == ChartKind.QC.value).select((pl.col("value") - pl.col("target")).mean()).item()
            read = "" if controls is None else f"; its QCs read {math.exp(controls):.2f} times their targets"
            evidence = (
                f"the midpoint of {row['analyte']}'s curve is {math.exp(shift):.2f} times that of the other plates, as if its standards"
                f" were {slip:g} times {'weaker' if shift > 0 else 'stronger'} than labelled{read}"
            )
            suggestion = "Look at how the standard series was made up"
            yield Finding(FindingCode.DILUTION_WRONG, Severity.WARNING, row["plate"], evidence, suggestion, (row["analyte"],))
