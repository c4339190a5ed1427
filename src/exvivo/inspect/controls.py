"""What looks wrong within and across plates, from verdicts and control charts: places, controls, lots."""

from collections.abc import Iterator

import polars as pl

from exvivo.numerics.charts import WARNING
from exvivo.study.findings import Finding, FindingCode
from exvivo.study.run import Calibration
from exvivo.study.statuses import ChartKind, Rule, RuleOutcome, Severity

SHOWN = 6
"""Plates that the evidence names."""


def inspect_controls(calibration: Calibration) -> Iterator[Finding]:
    """Findings on position effects, control charts and lots."""
    yield from _position_effects(calibration)
    yield from _drifts(calibration)
    yield from _lot_shifts(calibration)


def _position_effects(calibration: Calibration) -> Iterator[Finding]:
    for row in calibration.verdicts.frame.filter(pl.col("rule") == Rule.POSITION_EFFECT.value, ~pl.col("passed")).iter_rows(named=True):
        place = "the edge and the inside differ" if row["subject"] == "edge" else f"{row['subject']}s differ"
        evidence = f"{row['analyte']}: replicates in {place} by up to {row['observed']:.0f} % of the signal (adjusted p = {row['p']:.1g})"
        suggestion = "Look at evaporation, washing and the times of adding; do not put the arms of a donor in different places"
        yield Finding(FindingCode.POSITION_EFFECT, Severity.WARNING, row["plate"], evidence, suggestion, (row["analyte"],))


def _drifts(calibration: Calibration) -> Iterator[Finding]:
    """QCs that break a rule beyond the warning; one finding for each plate and analyte."""
    broken = calibration.controls.frame.filter(
        pl.col("kind") == ChartKind.QC.value, pl.col("rules").is_not_null(), pl.col("rules") != WARNING
    )
    for (analyte, plate), part in broken.group_by(["analyte", "plate"], maintain_order=True):
        told = [
            f"{row['control']} lies {abs(row['z']):.1f} SD {'above' if row['z'] > 0 else 'below'} its target ({row['rules']})"
            for row in part.iter_rows(named=True)
        ]
        evidence = f"{analyte}: {'; '.join(told)}; target and SD: {part['base'][0]}"
        suggestion = "Look at lots, calibrators and operators from here on; the chart stands in tables/controls.csv"
        yield Finding(FindingCode.CONTROL_DRIFT, Severity.NOTE, str(plate), evidence, suggestion, (str(analyte),))


def _lot_shifts(calibration: Calibration) -> Iterator[Finding]:
    differing = calibration.verdicts.frame.filter(pl.col("rule") == Rule.LOT_SHIFT.value, pl.col("outcome") == RuleOutcome.DIFFERS.value)
    for row in differing.iter_rows(named=True):
        evidence = (
            f"{row['analyte']}, {row['subject']}: the QC reads {row['observed']:.2f} times as much (90 % interval {row['ci_low']:.2f} to"
            f" {row['ci_high']:.2f}; allowed {row['low']:g} to {row['high']:g})"
        )
        suggestion = "Bridge the lots with common specimens, or keep both arms of a donor in one lot"
        yield Finding(FindingCode.LOT_SHIFT, Severity.WARNING, row["plate"], evidence, suggestion, (row["analyte"],))
