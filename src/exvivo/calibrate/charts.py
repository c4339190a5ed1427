"""All plates of one analyte -> control charts: QCs, standards and curve parameters from plate to plate.

The order of the plates is the natural order of their keys. Target and SD are those of the study's own accepted plates
(without the plate in question, or of the first ones), or given in the protocol. QCs are judged together by Westgard's
rules and make verdicts; standards and parameters are judged each alone and are there to be read. Where maps tell lots,
a QC's results in one lot are compared with those in the lot before, by equivalence.
"""

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from exvivo.calibrate.quantify import Judged, estimate_groups
from exvivo.calibrate.standards import FittedPlate, Well
from exvivo.calibrate.verdict import Row, Verdict
from exvivo.numerics.charts import WARNING, Scores, find_violations, score_against_first, score_given, score_without_own
from exvivo.numerics.equivalence import compare, difference_of_means
from exvivo.numerics.variance import Array
from exvivo.study.design import WellRole, in_order
from exvivo.study.model import AssayRules, ChartRules, ChartTarget
from exvivo.study.statuses import ChartBase, ChartKind, Rule, RuleOutcome, WellStatus

LIMIT = 3.0
FEWEST_PER_LOT = 2
LOGARITHMIC = frozenset({"b", "c", "g"})
"""Curve parameters that are charted as natural logs."""
FIXED: Mapping[str, float] = MappingProxyType({"a": 0.0, "g": 1.0})
"""Values that parameters have where their curve has no such parameter."""


@dataclass(frozen=True, slots=True)
class Charts:
    """CONTROLS rows, and the verdicts that they bring to plates, as pairs of plate and verdict."""

    rows: list[Row]
    verdicts: list[tuple[str, Verdict]]

    def of(self, plate: str) -> list[Verdict]:
        """Verdicts of one plate."""
        return [verdict for name, verdict in self.verdicts if name == plate]


@dataclass(frozen=True, slots=True, eq=False)
class _Chart:
    """One control over all plates in order; NaN where a plate that holds it (``held``) has no value, and on all others."""

    kind: ChartKind
    control: str
    value: Array
    held: tuple[bool, ...]
    lots: tuple[str | None, ...]


def chart_plates(plates: Sequence[Judged], analyte: str, curves: Sequence[Row], rules: AssayRules) -> Charts:
    """Control charts of one analyte.

    Parameters
    ----------
    plates : all plates
    analyte : goes into the rows, and finds the given targets
    curves : CURVES rows, whose parameters are charted
    rules : of the protocol
    """
    ordered = sorted(plates, key=lambda plate: in_order(plate.fitted.plate))
    accepted = np.array([not plate.failed for plate in ordered], dtype=np.bool_)
    fitted = [plate.fitted for plate in ordered]
    targets = rules.charts.targets.get(analyte, {})
    rows: list[Row] = []
    verdicts: list[tuple[str, Verdict]] = []
    qcs = list(_chart_controls(fitted))
    for together in (qcs, *([chart] for chart in (*_chart_standards(fitted), *_chart_parameters(fitted, curves)))):
        scores = [_score(chart, accepted, rules.charts, targets.get(chart.control)) for chart in together]
        broken = find_violations(np.stack([score.z for _, score in scores], axis=1)) if scores else []
        for k, (chart, (base, score)) in enumerate(zip(together, scores, strict=True)):
            named = {"analyte": analyte, "kind": chart.kind, "control": chart.control, "base": base}
            rows += [{**named, **row} for row in _rows(fitted, chart, score, [found[k] for found in broken])]
            if chart.kind is ChartKind.QC:
                verdicts += _judge_chart(fitted, chart, score, [found[k] for found in broken])
    for chart in qcs:
        verdicts += _judge_lots(fitted, chart, accepted, rules.equivalence_fold)
    return Charts(rows, verdicts)


# ------------------------------------------------------------------------------------------------------------ controls


def _chart_controls(plates: Sequence[FittedPlate]) -> Iterator[_Chart]:
    """Ln concentration of every QC on every plate, all its wells together."""
    wells = [(i, well) for i, plate in enumerate(plates) for well in plate.wells if well.role == WellRole.QC and well.specimen]
    for name in sorted({well.specimen or "" for _, well in wells}, key=in_order):
        groups: list[list[Well]] = [[] for _ in plates]
        for i, well in wells:
            if well.specimen == name:
                groups[i].append(well)
        answers = estimate_groups(plates, groups, intervals=False)
        value = np.array([answer.log_conc if answer is not None and answer.finite else np.nan for answer in answers])
        lots = tuple(_find_lot(own, plate) for own, plate in zip(groups, plates, strict=True))
        yield _Chart(ChartKind.QC, name, value, tuple(map(bool, groups)), lots)


def _find_lot(wells: Sequence[Well], plate: FittedPlate) -> str | None:
    """The lot of some wells, else that of their plate; None where it is not told or not one."""
    for candidates in (wells, plate.wells):
        lots = {well.lot for well in candidates if well.lot}
        if lots:
            return lots.pop() if len(lots) == 1 else None
    return None


def _chart_standards(plates: Sequence[FittedPlate]) -> Iterator[_Chart]:
    """Ln mean signal of every non-zero standard level."""
    signals: dict[float, list[list[float]]] = {}
    for i, plate in enumerate(plates):
        for well in plate.wells:
            if well.is_standard and well.nominal and well.status == WellStatus.OK and well.signal is not None:
                signals.setdefault(float(f"{well.nominal:.6g}"), [[] for _ in plates])[i].append(well.signal)
    lots = tuple(_find_lot([well for well in plate.wells if well.is_standard], plate) for plate in plates)
    for level, own in sorted(signals.items()):
        means = [float(np.mean(found)) if found else 0.0 for found in own]
        value = np.array([math.log(mean) if mean > 0 else np.nan for mean in means])
        yield _Chart(ChartKind.STANDARD, f"{level:g}", value, tuple(map(bool, own)), lots)


def _chart_parameters(plates: Sequence[FittedPlate], curves: Sequence[Row]) -> Iterator[_Chart]:
    """Parameters of the curves, but for those that their curves do not have."""
    by_plate: Mapping[str, Mapping[str, float]] = {str(row["plate"]): json.loads(str(row["parameters"])) for row in curves}
    lots = tuple(_find_lot([well for well in plate.wells if well.is_standard], plate) for plate in plates)
    for name in sorted({name for parameters in by_plate.values() for name in parameters}):
        plain = [by_plate.get(plate.plate, {}).get(name) for plate in plates]
        known = [x for x in plain if x is not None]
        if set(known) <= {FIXED.get(name)}:
            continue
        logarithmic = name in LOGARITHMIC and all(x > 0 for x in known)
        value = np.array([np.nan if x is None else (math.log(x) if logarithmic else x) for x in plain])
        yield _Chart(ChartKind.PARAMETER, name, value, tuple(x is not None for x in plain), lots)


# --------------------------------------------------------------------------------------------------- scores and verdicts


def _score(chart: _Chart, accepted: np.ndarray, rules: ChartRules, target: ChartTarget | None) -> tuple[ChartBase, Scores]:
    if target is not None and chart.kind is ChartKind.QC:
        sd = math.sqrt(math.log1p((target.cv_pct / 100) ** 2))
        return ChartBase.GIVEN, score_given(chart.value, math.log(target.concentration), sd)
    if rules.base == "first":
        return ChartBase.FIRST, score_against_first(chart.value, accepted, rules.first)
    return ChartBase.LEAVE_ONE_OUT, score_without_own(chart.value, accepted)


def _rows(plates: Sequence[FittedPlate], chart: _Chart, score: Scores, broken: Sequence[tuple[str, ...]]) -> Iterator[Row]:
    for i, plate in enumerate(plates):
        if chart.held[i]:
            numbers = {"value": chart.value[i], "target": score.target[i], "sd": score.sd[i], "z": score.z[i]}
            told: Row = {name: float(x) if np.isfinite(x) else None for name, x in numbers.items()}
            yield {"plate": plate.plate, "order": i + 1, **told, "rules": ",".join(broken[i]) or None, "lot": chart.lots[i]}


def _judge_chart(
    plates: Sequence[FittedPlate], chart: _Chart, score: Scores, broken: Sequence[tuple[str, ...]]
) -> Iterator[tuple[str, Verdict]]:
    """A warning alone passes."""
    for plate, z, rules in zip(plates, score.z, broken, strict=True):
        if np.isfinite(z):
            outcome = RuleOutcome.FAILED if set(rules) - {WARNING} else RuleOutcome.HELD
            yield plate.plate, Verdict(Rule.CONTROL_CHART, outcome, chart.control, float(z), -LIMIT, LIMIT)


def _judge_lots(plates: Sequence[FittedPlate], chart: _Chart, accepted: np.ndarray, fold: float) -> Iterator[tuple[str, Verdict]]:
    """Each lot against the one before, told at the first plate of the later lot."""
    lots: dict[str, list[int]] = {}
    for i, lot in enumerate(chart.lots):
        if lot is not None and np.isfinite(chart.value[i]) and accepted[i]:
            lots.setdefault(lot, []).append(i)
    ordered = list(lots.items())
    for (before, earlier), (lot, later) in itertools.pairwise(ordered):
        if min(len(earlier), len(later)) >= FEWEST_PER_LOT:
            bounds = (1 / fold, fold)
            found = compare(difference_of_means(chart.value[earlier], chart.value[later]), bounds)
            subject = f"{chart.control} {lot} / {before}"
            yield plates[later[0]].plate, Verdict.compared(Rule.LOT_SHIFT, subject, found, bounds)
