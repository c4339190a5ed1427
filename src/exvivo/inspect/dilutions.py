"""What looks wrong where one specimen was measured at several dilutions, and at the top of the standards.

A dilution that was made or written down wrong puts two results of one specimen a plausible fold apart: the step to
another dilution of the study, or a slip of 2, 5, 10. A hook makes strong specimens read weaker than their dilutions.
"""

import math
import re
from collections.abc import Collection, Iterator

import polars as pl

from exvivo.inspect.standards import SLIPS
from exvivo.study.findings import Finding, FindingCode
from exvivo.study.run import Calibration
from exvivo.study.statuses import Rule, RuleOutcome, Severity

NEAR = 0.18
"""Distance in natural logs within which a ratio is near a fold; a fold of 1.25 is 0.22."""
SHOWN = 6
"""Specimens that the evidence names."""


def inspect_dilutions(calibration: Calibration, exchanged: Collection[tuple[str, str]]) -> Iterator[Finding]:
    """Findings on dilutions; plates and analytes in ``exchanged`` have two standards exchanged, which looks like a hook."""
    yield from _wrong_dilutions(calibration)
    yield from _hooks(calibration, exchanged)


def _wrong_dilutions(calibration: Calibration) -> Iterator[Finding]:
    frame = calibration.verdicts.frame
    differing = frame.filter(pl.col("rule") == Rule.DILUTION_LINEARITY.value, pl.col("outcome") == RuleOutcome.DIFFERS.value)
    for (plate, analyte), part in differing.group_by(["plate", "analyte"], maintain_order=True):
        used = calibration.wells.frame.filter(pl.col("analyte") == analyte, pl.col("role") == "specimen")["dilution"].drop_nulls().unique()
        folds = sorted({*SLIPS, *(round(a / b, 6) for a in used for b in used if a > b)})
        told = [text for row in part.iter_rows(named=True) if (text := _tell(row, folds))]
        if told:
            evidence = f"{analyte}: {'; '.join(told[:SHOWN])}" + (f" and {len(told) - SHOWN} more" if len(told) > SHOWN else "")
            suggestion = "Check how the dilutions were made and what the map says of them"
            yield Finding(FindingCode.DILUTION_WRONG, Severity.WARNING, str(plate), evidence, suggestion, (str(analyte),))


def _tell(row: dict[str, object], folds: Collection[float]) -> str | None:
    """What one specimen's two dilutions say; None where their ratio is near no fold."""
    ratio, low, high = (float(str(row[name])) for name in ("observed", "ci_low", "ci_high"))
    fold = min(folds, key=lambda fold: abs(abs(math.log(ratio)) - math.log(fold)))
    match = re.fullmatch(r"(?P<name>.+) 1:(?P<this>\S+) / 1:(?P<other>\S+)", str(row["subject"]))
    if match is None or abs(abs(math.log(ratio)) - math.log(fold)) > NEAR:
        return None
    return (
        f"{match['name']} reads {ratio:.3g} times as much at 1:{match['this']} as at 1:{match['other']} (90 % interval {low:.3g} to"
        f" {high:.3g}), near a fold of {fold:g}"
    )


def _hooks(calibration: Calibration, exchanged: Collection[tuple[str, str]]) -> Iterator[Finding]:
    failed = calibration.verdicts.frame.filter(
        pl.col("rule").is_in([Rule.HOOK_STANDARDS.value, Rule.HOOK_SPECIMEN.value]), ~pl.col("passed")
    )
    for (plate, analyte), part in failed.group_by(["plate", "analyte"], maintain_order=True):
        told = []
        for row in part.iter_rows(named=True):
            if row["rule"] == Rule.HOOK_SPECIMEN:
                told.append(f"{row['subject']} reads less than its higher dilution by {row['observed']:.1f} standard errors")
            elif (plate, analyte) not in exchanged:
                told.append(f"a top standard reads less than a lower one by {row['observed']:.1f} standard errors")
        if told:
            evidence = f"{analyte}: {'; '.join(told[:SHOWN])}" + (f" and {len(told) - SHOWN} more" if len(told) > SHOWN else "")
            suggestion = "Measure at higher dilutions; results at the lower dilution may be far too low"
            yield Finding(FindingCode.HOOK_EFFECT, Severity.WARNING, str(plate), evidence, suggestion, (str(analyte),))
