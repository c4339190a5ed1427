"""Curves -> verdicts: every acceptance rule of every plate with what was found and what is allowed.

The rules follow ICH M10 for ligand-binding assays: back-calculated standards within tolerance, a
share of levels and a number of levels that must pass, quality controls likewise. Only rules marked
as refusing refuse a plate; the others are there to be read. The limits of quantification are the
stricter of two: where the precision profile stays within the CV, and the outermost standards whose
recovery passes. Anchor points help the fit and count for nothing else.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from exvivo.calibrate.dilutions import judge_dilutions
from exvivo.calibrate.positions import judge_positions
from exvivo.calibrate.quantify import Judged, Reading, estimate_groups
from exvivo.calibrate.standards import FittedPlate, Well, is_fitted
from exvivo.calibrate.verdict import Row, Verdict, coefficient_of_variation
from exvivo.numerics.detection import is_rising
from exvivo.numerics.inverse import Limits, limits
from exvivo.study.design import WellRole
from exvivo.study.model import AssayRules
from exvivo.study.statuses import REFUSING, Rule, WellStatus
from exvivo.study.units import AS_GIVEN

SAME_LEVEL = 0.01
"""Relative difference below which a standard is a declared anchor point."""

HOOK_ERRORS = 3.0
SMALLEST_CV = 0.03
"""Scatter within standard levels is taken as at least this: a few replicates agree by chance."""


@dataclass(frozen=True, slots=True)
class JudgedPlate:
    """A judged plate with its verdicts, the overall one last, and the two ranges that make its limits."""

    judged: Judged
    verdicts: tuple[Verdict, ...]
    precise: Limits
    recovered: Limits

    def rows(self, analyte: str, charted: Sequence[Verdict] = ()) -> list[Row]:
        """VERDICTS rows; ``charted`` are verdicts that other plates have a part in."""
        accepted = not self.judged.failed
        own = {"plate": self.judged.fitted.plate, "analyte": analyte, "accepted": accepted}
        return [{**own, **verdict.row()} for verdict in (*self.verdicts[:-1], *charted, self.verdicts[-1])]


@dataclass(frozen=True, slots=True)
class _Level:
    """Fitted wells of one non-zero standard level, and what is back-calculated from them."""

    wells: tuple[Well, ...]
    answer: Reading | None
    anchor: bool
    at_limit: bool

    @property
    def nominal(self) -> float:
        return self.wells[0].nominal or 0.0


def judge_plates(
    plates: Sequence[FittedPlate], rules: AssayRules, n_replicates: int, anchors: Sequence[float] = ()
) -> tuple[JudgedPlate, ...]:
    """Verdicts and limits of every plate of one analyte, in order; ``anchors`` are concentrations of anchor points."""
    levels = _recover_levels(plates, rules, anchors)
    qcs = _recover_controls(plates, rules)
    recoveries = [[_judge_level(level, rules) for level in own] for own in levels]
    ranges = [_find_ranges(*item, rules, n_replicates) for item in zip(plates, levels, recoveries, strict=True)]
    found = [_intersect(*pair) for pair in ranges]
    dilutions, positions = judge_dilutions(plates, found, rules), judge_positions(plates, rules)
    judged = []
    for i, plate in enumerate(plates):
        verdicts = [
            Verdict.of(Rule.UNIT_KNOWN, plate.unit not in {None, AS_GIVEN}),
            *_judge_reduction(plate),
            *_judge_standards(levels[i], recoveries[i], rules),
            *_judge_curve(plate, levels[i], found[i]),
            *_judge_controls(qcs[i], rules),
            *_judge_replicates(plate, rules.replicate_cv_pct),
            *dilutions[i],
            *positions[i],
        ]
        judged.append(_conclude(plate, verdicts, found[i], ranges[i]))
    return tuple(judged)


def _conclude(plate: FittedPlate, verdicts: Sequence[Verdict], found: Limits, ranges: tuple[Limits, Limits]) -> JudgedPlate:
    refusing = REFUSING if plate.unit is None else REFUSING - {Rule.UNIT_KNOWN}  # as given is poor, a clash is fatal
    failed = tuple(dict.fromkeys(v.rule for v in verdicts if v.rule in refusing and not v.passed))
    overall = Verdict.of(Rule.ACCEPTED, not failed)
    return JudgedPlate(Judged(plate, found, failed), (*verdicts, overall), *ranges)


def _judge_reduction(plate: FittedPlate) -> Iterable[Verdict]:
    gap = plate.wells[0].reduced_gap
    if gap is not None:
        yield Verdict.within(Rule.REDUCED_AGREES, gap, high=1.0)


# ----------------------------------------------------------------------------------------------------------- standards


def _recover_levels(plates: Sequence[FittedPlate], rules: AssayRules, anchors: Sequence[float]) -> list[list[_Level]]:
    """Non-zero standard levels of each plate, lowest first."""
    grouped = [_group_levels(plate, rules) for plate in plates]
    answers = iter(estimate_groups(plates, [wells for own in grouped for wells in own], intervals=False))
    levels = []
    for own in grouped:
        free = [wells[0].nominal for wells in own if not _is_anchor(wells[0], anchors)]
        ends = {free[0], free[-1]} if free else set()
        levels.append([_Level(tuple(wells), next(answers), _is_anchor(wells[0], anchors), wells[0].nominal in ends) for wells in own])
    return levels


def _group_levels(plate: FittedPlate, rules: AssayRules) -> list[list[Well]]:
    levels: dict[str, list[Well]] = {}
    for well in sorted(plate.wells, key=lambda well: well.nominal or 0.0):
        if well.nominal and is_fitted(well, rules):
            levels.setdefault(_print_level(well.nominal), []).append(well)
    return list(levels.values())


def _is_anchor(well: Well, anchors: Sequence[float]) -> bool:
    return any(math.isclose(well.nominal or 0.0, anchor, rel_tol=SAME_LEVEL) for anchor in anchors)


def _print_level(nominal: float) -> str:
    return f"{nominal:.6g}"


def _judge_level(level: _Level, rules: AssayRules) -> Verdict:
    rule = Rule.ANCHOR_RECOVERY if level.anchor else Rule.STANDARDS_RECOVERY
    wide = level.at_limit or level.anchor
    tolerance = rules.backfit_tolerance_at_limits_pct if wide else rules.backfit_tolerance_pct
    return _judge_recovery(rule, _print_level(level.nominal), level.answer, level.nominal, tolerance)


def _judge_recovery(rule: Rule, subject: str, answer: Reading | None, nominal: float | None, tolerance: float) -> Verdict:
    recovery = None
    if answer is not None and answer.finite and nominal:
        recovery = 100 * float(np.exp(answer.log_conc)) / nominal
    return Verdict.within(rule, recovery, 100 - tolerance, 100 + tolerance, subject=subject)


def _judge_standards(levels: Sequence[_Level], recoveries: Sequence[Verdict], rules: AssayRules) -> Iterator[Verdict]:
    yield from recoveries
    counted = [verdict for verdict in recoveries if verdict.rule is Rule.STANDARDS_RECOVERY]
    passing = sum(verdict.passed for verdict in counted)
    yield Verdict.within(Rule.STANDARDS_FRACTION, passing / len(counted) if counted else None, rules.backfit_pass_fraction)
    yield Verdict.within(Rule.STANDARDS_LEVELS, passing, rules.min_levels)
    for level in levels:
        if len(level.wells) > 1:
            cv = coefficient_of_variation([well.signal for well in level.wells if well.signal is not None])
            yield Verdict.within(Rule.STANDARDS_CV, cv, high=rules.replicate_cv_pct, subject=_print_level(level.nominal))


def _judge_curve(plate: FittedPlate, levels: Sequence[_Level], found: Limits) -> Iterator[Verdict]:
    if plate.curve is None:
        return
    yield Verdict.of(Rule.CURVE_CONVERGED, plate.curve.converged)
    yield Verdict.of(Rule.TOP_ASYMPTOTE, plate.curve.asymptote_determined)
    yield Verdict.of(Rule.PRECISION_RANGE, found.lloq is not None)
    counted = [level.nominal for level in levels if not level.anchor]
    if counted and found.lloq is not None and found.uloq is not None:
        yield Verdict.within(Rule.ENDS, found.lloq, high=counted[0], subject="low")
        yield Verdict.within(Rule.ENDS, found.uloq, counted[-1], subject="high")
    if len(levels) > 2:
        sign = 1.0 if is_rising(plate.curve) else -1.0
        yield Verdict.within(Rule.HOOK_STANDARDS, _fall_at_top([level.wells for level in levels], sign), high=HOOK_ERRORS)


def _fall_at_top(levels: Sequence[Sequence[Well]], sign: float) -> float:
    """How far the two highest standards read on the wrong side of a lower one, in standard errors; negative: they do not."""
    signals = [np.array([well.signal for well in wells], dtype=np.float64) for wells in levels]
    means = np.array([own.mean() for own in signals])
    sizes = np.array([own.size for own in signals])
    squares = sum(float(np.sum((own / mean - 1) ** 2)) for own, mean in zip(signals, means, strict=True) if mean > 0)
    cv = max(math.sqrt(squares / max(int(sizes.sum()) - len(signals), 1)), SMALLEST_CV)
    errors = cv * np.abs(means) / np.sqrt(sizes)
    falls = []
    for top in (len(means) - 2, len(means) - 1):
        before = int(np.argmax(sign * means[:top]))
        falls.append(sign * (means[before] - means[top]) / max(math.hypot(errors[before], errors[top]), 1e-12))
    return float(max(falls))


# -------------------------------------------------------------------------------------------------------------- limits


def _find_ranges(
    plate: FittedPlate, levels: Sequence[_Level], recoveries: Sequence[Verdict], rules: AssayRules, n_replicates: int
) -> tuple[Limits, Limits]:
    """Where results are precise enough, and between which standards they are right."""
    if plate.curve is None:
        return Limits(None, None), Limits(None, None)
    precise = limits(plate.curve, plate.standards, n_replicates, rules.max_cv_pct / 100)
    right = [level.nominal for level, verdict in zip(levels, recoveries, strict=True) if verdict.passed and not level.anchor]
    return precise, Limits(right[0], right[-1]) if right else Limits(None, None)


def _intersect(precise: Limits, recovered: Limits) -> Limits:
    if precise.lloq is None or precise.uloq is None or recovered.lloq is None or recovered.uloq is None:
        return Limits(None, None)
    lloq, uloq = max(precise.lloq, recovered.lloq), min(precise.uloq, recovered.uloq)
    return Limits(lloq, uloq) if lloq < uloq else Limits(None, None)


# ---------------------------------------------------------------------------------------------- controls and replicates


def _recover_controls(plates: Sequence[FittedPlate], rules: AssayRules) -> list[dict[str, list[Verdict]]]:
    """Recovery of every QC well, by name, per plate."""
    wells = [(i, well) for i, plate in enumerate(plates) for well in plate.wells if _is_judged_qc(well)]
    answers = estimate_groups(plates, [[well] for _, well in wells], intervals=False)
    found: list[dict[str, list[Verdict]]] = [{} for _ in plates]
    for (i, well), answer in zip(wells, answers, strict=True):
        name = well.specimen or "qc"
        verdict = _judge_recovery(Rule.QC_RECOVERY, f"{name} {well.well}", answer, well.nominal, rules.qc_tolerance_pct)
        found[i].setdefault(name, []).append(verdict)
    return found


def _is_judged_qc(well: Well) -> bool:
    return well.role == WellRole.QC and bool(well.nominal) and well.readable


def _judge_controls(qcs: dict[str, list[Verdict]], rules: AssayRules) -> Iterator[Verdict]:
    every = [verdict for own in qcs.values() for verdict in own]
    yield from every
    if every:
        yield Verdict.within(Rule.QC_FRACTION, sum(v.passed for v in every) / len(every), rules.qc_pass_fraction)
    for name, own in sorted(qcs.items()):
        share = sum(verdict.passed for verdict in own) / len(own)
        yield Verdict.within(Rule.QC_LEVEL, share, rules.qc_level_pass_fraction, subject=name)


def _judge_replicates(plate: FittedPlate, high: float) -> Iterable[Verdict]:
    """Coefficient of variation of the signals of each specimen at each dilution, in per cent."""
    sets: dict[tuple[str, float], list[float]] = {}
    for well in plate.wells:
        if well.role == WellRole.SPECIMEN and well.status == WellStatus.OK and well.signal is not None and well.specimen:
            sets.setdefault((well.specimen, well.dilution), []).append(well.signal)
    for (specimen, dilution), signals in sorted(sets.items()):
        if len(signals) > 1:
            yield Verdict.within(Rule.REPLICATE_CV, coefficient_of_variation(signals), high=high, subject=f"{specimen} 1:{dilution:g}")
