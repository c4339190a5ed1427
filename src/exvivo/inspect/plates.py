"""What looks wrong on plates: standards, dilutions, controls, refused plates, pairs split over plates."""

import json
from collections.abc import Collection, Iterator, Mapping

import polars as pl

from exvivo.inspect.controls import inspect_controls
from exvivo.inspect.dilutions import inspect_dilutions
from exvivo.inspect.standards import inspect_standards
from exvivo.study.findings import Finding, FindingCode
from exvivo.study.model import ElisaReadout
from exvivo.study.run import Calibration
from exvivo.study.statuses import REFUSING, Reason, Rule, Severity, WellStatus
from exvivo.study.tables import Table


def inspect_plates(calibration: Calibration, outcomes: Table, readouts: Mapping[str, ElisaReadout]) -> Iterator[Finding]:
    """Findings on plates; ``readouts`` are what the protocol says of the analytes."""
    standards = list(inspect_standards(calibration, readouts))
    yield from standards
    exchanged = {(f.place, analyte) for f in standards if f.code is FindingCode.STANDARDS_EXCHANGED for analyte in f.readouts}
    yield from inspect_dilutions(calibration, exchanged)
    yield from inspect_controls(calibration)
    yield from _refused_plates(calibration)
    yield from _split_pairs(outcomes)


def _refused_plates(calibration: Calibration) -> Iterator[Finding]:
    """Plates that the rules refused; one that a decision took out needs no finding."""
    wells = calibration.wells.frame.filter(pl.col("status") != WellStatus.EMPTY.value)
    kept = set(wells.filter(pl.col("reason").is_null() | (pl.col("reason") != Reason.EXCLUDED.value))["plate"])
    clashing = set(calibration.wells.frame.filter(pl.col("unit").is_null()).select("plate", "analyte").iter_rows())
    failed: dict[tuple[str, str], list[str]] = {}
    for row in calibration.verdicts.frame.iter_rows(named=True):
        refuses = row["rule"] in REFUSING and (row["rule"] != Rule.UNIT_KNOWN or (row["plate"], row["analyte"]) in clashing)
        if not row["accepted"] and not row["passed"] and refuses and row["plate"] in kept:
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
