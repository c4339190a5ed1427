"""What looks wrong in cytometry: in headers, in gates, and in what the gates retain of each tube."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

import polars as pl

from exvivo.inspect.gates import inspect_gates
from exvivo.inspect.panel import inspect_panel
from exvivo.numerics.paired import fit_paired
from exvivo.study.findings import Finding, FindingCode
from exvivo.study.protocol import AnalysisPlan, Panels
from exvivo.study.run import Gating, Inputs
from exvivo.study.statuses import ExpressionStatus, Severity, TubeKind
from exvivo.study.tables import SPECIMENS

YIELD_RATIO = 2.0
SELECTION_DONORS = 5
SELECTION_P, SELECTION_CHANGE = 0.01, 0.05
"""A drug effect on the share of events retained is called out when it is both surer and larger than this."""


def inspect_tubes(inputs: Inputs, gating: Gating, panels: Panels, plan: AnalysisPlan) -> Iterator[Finding]:
    """Findings on cytometry tubes."""
    yield from note_issues(inputs)
    if panels.rules is None:
        return
    yield from inspect_panel(inputs, gating, panels, panels.rules)
    yield from inspect_gates(gating)
    yield from _check_voltages(inputs, gating)
    yield from _check_yields(gating)
    for contrast in dict.fromkeys(_contrasts(plan, panels)):
        yield from _check_selection(inputs, gating, contrast, tuple(panels.readouts))


def note_issues(inputs: Inputs) -> Iterator[Finding]:
    """What was odd but readable in FCS files."""
    for row in inputs.events.frame.iter_rows(named=True):
        issues = json.loads(row["issues"]) if row["issues"] else []
        if issues:
            suggestion = "Nothing was changed; look at the file if its numbers surprise you"
            yield Finding(FindingCode.FILE_ODD, Severity.NOTE, row["file"], "; ".join(issues), suggestion)


def _check_voltages(inputs: Inputs, gating: Gating) -> Iterator[Finding]:
    """Detector voltages that differ between tubes of one donor shift every signal, negatives included."""
    donors = dict(gating.tubes.frame.select("file", "donor").iter_rows())
    by_donor: dict[str, dict[str, set[float]]] = {}
    for row in inputs.events.frame.iter_rows(named=True):
        donor = donors.get(row["file"])
        if donor is None or not row["voltages"]:
            continue
        for channel, voltage in json.loads(row["voltages"]).items():
            if voltage is not None:
                by_donor.setdefault(donor, {}).setdefault(channel, set()).add(float(voltage))
    for donor, channels in by_donor.items():
        differing = {channel: sorted(volts) for channel, volts in channels.items() if len(volts) > 1}
        if differing:
            evidence = "detector voltages differ between its tubes: " + ", ".join(f"{c} {v}" for c, v in sorted(differing.items()))
            suggestion = "Compare only tubes acquired at the same voltages"
            yield Finding(FindingCode.VOLTAGE_DIFFERS, Severity.WARNING, donor, evidence, suggestion, donors=(donor,))


def _check_yields(gating: Gating) -> Iterator[Finding]:
    """Share of events retained that differs more than two-fold between the full-stain tubes of one donor."""
    shares: dict[str, dict[str, float]] = {}
    for row in gating.tubes.frame.iter_rows(named=True):
        if row["tube"] == TubeKind.FULL and row["status"] == ExpressionStatus.MEASURED and row["donor"] and row["retained_pct"]:
            shares.setdefault(row["donor"], {})[row["file"]] = row["retained_pct"]
    for donor, by_file in shares.items():
        low, high = min(by_file, key=by_file.__getitem__), max(by_file, key=by_file.__getitem__)
        if by_file[high] > YIELD_RATIO * by_file[low]:
            evidence = (
                f"the gates retain {by_file[high]:.0f} % of {high} and {by_file[low]:.0f} % of {low};"
                f" median of the donor's tubes {median(by_file.values()):.0f} %"
            )
            suggestion = "Look at the donor's contact sheet: a change of size or viability moves cells across gates"
            yield Finding(FindingCode.GATE_YIELD_DIFFERS, Severity.WARNING, donor, evidence, suggestion, donors=(donor,))


@dataclass(frozen=True, slots=True)
class _Arms:
    """Two conditions of one experiment that some outcome compares on markers."""

    experiment: str
    factor: str
    level: str
    versus: str


def _contrasts(plan: AnalysisPlan, panels: Panels) -> Iterator[_Arms]:
    for outcome in plan.outcomes:
        if set(outcome.readouts) & set(panels.readouts):
            contrast = outcome.contrast
            yield _Arms(plan.sets[outcome.set].experiment, contrast.factor, contrast.level, contrast.versus)


def _check_selection(inputs: Inputs, gating: Gating, arms: _Arms, readouts: tuple[str, ...]) -> Iterator[Finding]:
    """Share of events retained that differs with the drug: the gates then choose other cells in one arm.

    Means of ln shares per donor and condition, over all sera, compared in pairs.
    """
    others = [name for name in ("serum_donor", *_factors(inputs, arms)) if name in inputs.specimens.frame.columns]
    cells = inputs.specimens.frame.filter(pl.col("experiment") == arms.experiment, pl.col("donor").is_not_null())
    tubes = gating.tubes.frame.filter(pl.col("tube") == TubeKind.FULL.value, pl.col("retained_pct") > 0)
    joined = cells.join(tubes.select("specimen", pl.col("retained_pct").log().alias("share")), on="specimen")
    sides = [joined.filter(pl.col(arms.factor) == level).select("donor", *others, "share") for level in (arms.level, arms.versus)]
    paired = sides[0].join(sides[1], on=["donor", *others], nulls_equal=True, suffix="_versus")
    per_donor = paired.group_by("donor").agg(pl.col("share", "share_versus").mean()).sort("donor")
    if per_donor.height < SELECTION_DONORS:
        return
    fit = fit_paired(per_donor["share"].to_numpy(), per_donor["share_versus"].to_numpy())
    ratio = math.exp(fit.estimate)
    if fit.p < SELECTION_P and abs(ratio - 1.0) > SELECTION_CHANGE:
        evidence = (
            f"the gates retain {ratio:.2f} times the share of events with {arms.level} that they retain with {arms.versus}"
            f" (p = {fit.p:.1g}, {per_donor.height} donors)"
        )
        suggestion = "The drug changes which cells are measured; read the markers with it in mind"
        place = f"experiment {arms.experiment}"
        yield Finding(FindingCode.GATE_YIELD_DIFFERS, Severity.WARNING, place, evidence, suggestion, readouts)


def _factors(inputs: Inputs, arms: _Arms) -> list[str]:
    """Factor columns other than the compared one."""
    return [name for name in inputs.specimens.frame.columns if name not in SPECIMENS.names and name != arms.factor]
