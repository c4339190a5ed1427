"""Curves -> verdicts: every acceptance rule of every plate with what was found and what is allowed.

The rules follow ICH M10 for ligand-binding assays: back-calculated standards within tolerance, a
share of levels and a number of levels that must pass, quality controls likewise. Only rules marked
as refusing refuse a plate; the others are there to be read. The limits of quantification are the
stricter of two: where the precision profile stays within the CV, and the outermost standards whose
recovery passes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from exvivo.calibrate.quantify import Judged, Reading, estimate_groups
from exvivo.calibrate.standards import FittedPlate, Well, is_fitted
from exvivo.numerics.inverse import Limits, limits
from exvivo.study.design import WellRole
from exvivo.study.model import AssayRules
from exvivo.study.statuses import WellStatus
from exvivo.study.units import AS_GIVEN

Row = dict[str, object]

REFUSING = frozenset({"standards-fraction", "standards-levels", "curve-converged", "precision-range", "qc-fraction"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule applied to one thing. An absent bound does not exist; an absent observation fails."""

    rule: str
    passed: bool
    subject: str | None = None
    observed: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class JudgedPlate:
    """A judged plate with all its verdicts, the overall one last."""

    judged: Judged
    verdicts: tuple[Verdict, ...]

    def rows(self, analyte: str) -> list[Row]:
        """VERDICTS rows."""
        accepted = not self.judged.failed
        names = ("rule", "subject", "observed", "low", "high", "passed")
        own = {"plate": self.judged.fitted.plate, "analyte": analyte, "accepted": accepted}
        return [{**own, **{name: getattr(verdict, name) for name in names}} for verdict in self.verdicts]


def judge_plates(plates: Sequence[FittedPlate], rules: AssayRules, n_replicates: int) -> tuple[JudgedPlate, ...]:
    """Verdicts and limits of every plate of one analyte, in order."""
    standards = [(plate, level) for plate in plates for level in _levels(plate, rules)]
    qcs = [(plate, well) for plate in plates for well in plate.wells if _is_judged_qc(well)]
    recovered = estimate_groups(plates, [*(level for _, level in standards), *([well] for _, well in qcs)])
    by_plate: dict[str, list[Verdict]] = {plate.plate: [] for plate in plates}
    qc_by_plate: dict[str, list[Verdict]] = {plate.plate: [] for plate in plates}
    for (plate, level), answer in zip(standards, recovered[: len(standards)], strict=True):
        by_plate[plate.plate].append(_judge_level(plate, level, answer, rules))
    for (plate, well), answer in zip(qcs, recovered[len(standards) :], strict=True):
        subject = f"{well.specimen or 'qc'} {well.well}"
        qc_by_plate[plate.plate].append(_judge_recovery("qc-recovery", subject, answer, well.nominal, rules.qc_tolerance_pct))
    return tuple(_judge(plate, by_plate[plate.plate], qc_by_plate[plate.plate], rules, n_replicates) for plate in plates)


def _judge(plate: FittedPlate, levels: list[Verdict], qcs: list[Verdict], rules: AssayRules, n_replicates: int) -> JudgedPlate:
    verdicts = [Verdict("unit-known", plate.unit not in {None, AS_GIVEN}), *_judge_reduction(plate), *levels]
    passing = [verdict for verdict in levels if verdict.passed]
    verdicts.append(_at_least("standards-fraction", len(passing) / len(levels) if levels else None, rules.backfit_pass_fraction))
    verdicts.append(_at_least("standards-levels", len(passing), rules.min_levels))
    found = _set_limits(plate, passing, rules, n_replicates)
    if plate.curve is not None:
        verdicts.append(Verdict("curve-converged", plate.curve.converged))
        verdicts.append(Verdict("top-asymptote", plate.curve.asymptote_determined))
        verdicts.append(Verdict("precision-range", found.lloq is not None))
    verdicts.extend(qcs)
    if qcs:
        verdicts.append(_at_least("qc-fraction", sum(v.passed for v in qcs) / len(qcs), rules.qc_pass_fraction))
    verdicts.extend(_judge_replicates(plate, rules.replicate_cv_pct))
    refusing = REFUSING if plate.unit is not None else REFUSING | {"unit-known"}  # as given is poor, a clash is fatal
    failed = tuple(dict.fromkeys(v.rule for v in verdicts if v.rule in refusing and not v.passed))
    verdicts.append(Verdict("accepted", not failed))
    return JudgedPlate(Judged(plate, found, failed), tuple(verdicts))


def _at_least(rule: str, observed: float | None, low: float) -> Verdict:
    return Verdict(rule, observed is not None and observed >= low, observed=observed, low=low)


def _judge_reduction(plate: FittedPlate) -> Iterable[Verdict]:
    gap = plate.wells[0].reduced_gap
    if gap is not None:
        yield Verdict("reduced-agrees", gap <= 1.0, observed=gap, high=1.0)


def _levels(plate: FittedPlate, rules: AssayRules) -> list[list[Well]]:
    """Fitted wells of each non-zero standard level, lowest first."""
    levels: dict[str, list[Well]] = {}
    for well in sorted(plate.wells, key=lambda well: well.nominal or 0.0):
        if well.nominal and is_fitted(well, rules):
            levels.setdefault(_print_level(well.nominal), []).append(well)
    return list(levels.values())


def _print_level(nominal: float) -> str:
    return f"{nominal:.6g}"


def _judge_level(plate: FittedPlate, level: Sequence[Well], answer: Reading | None, rules: AssayRules) -> Verdict:
    nominal = level[0].nominal or 0.0
    finite = plate.standards.log_conc[np.isfinite(plate.standards.log_conc)]
    at_limit = bool(np.log(nominal) in {finite.min(), finite.max()})
    tolerance = rules.backfit_tolerance_at_limits_pct if at_limit else rules.backfit_tolerance_pct
    return _judge_recovery("standards-recovery", _print_level(nominal), answer, nominal, tolerance)


def _judge_recovery(rule: str, subject: str, answer: Reading | None, nominal: float | None, tolerance: float) -> Verdict:
    recovery = None
    if answer is not None and answer.finite and nominal:
        recovery = 100 * float(np.exp(answer.log_conc)) / nominal
    passed = recovery is not None and abs(recovery - 100) <= tolerance
    return Verdict(rule, passed, subject, recovery, 100 - tolerance, 100 + tolerance)


def _is_judged_qc(well: Well) -> bool:
    return well.role == WellRole.QC and bool(well.nominal) and well.readable


def _set_limits(plate: FittedPlate, passing: Sequence[Verdict], rules: AssayRules, n_replicates: int) -> Limits:
    if plate.curve is None or not passing:
        return Limits(None, None)
    profile = limits(plate.curve, plate.standards, n_replicates, rules.max_cv_pct / 100)
    if profile.lloq is None or profile.uloq is None:
        return profile
    levels = sorted({float(w.nominal) for w in plate.wells if w.nominal and _print_level(w.nominal) in {v.subject for v in passing}})
    found = Limits(max(profile.lloq, levels[0]), min(profile.uloq, levels[-1]))
    return found if found.lloq is not None and found.uloq is not None and found.lloq < found.uloq else Limits(None, None)


def _judge_replicates(plate: FittedPlate, high: float) -> Iterable[Verdict]:
    """Coefficient of variation of the signals of each specimen at each dilution, in per cent."""
    sets: dict[tuple[str, float], list[float]] = {}
    for well in plate.wells:
        if well.role == WellRole.SPECIMEN and well.status == WellStatus.OK and well.signal is not None and well.specimen:
            sets.setdefault((well.specimen, well.dilution), []).append(well.signal)
    for (specimen, dilution), signals in sorted(sets.items()):
        if len(signals) > 1:
            mean = float(np.mean(signals))
            cv = 100 * float(np.std(signals, ddof=1)) / mean if mean > 0 else None
            yield Verdict("replicate-cv", cv is not None and cv <= high, f"{specimen} 1:{dilution:g}", cv, high=high)
