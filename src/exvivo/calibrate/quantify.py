"""Signals -> concentrations: every well by itself, and every specimen from all its wells on a plate.

A specimen's wells (replicates, dilutions, readings above the cap) are one likelihood for one
concentration; nothing is averaged. What lies outside the plate's limits of quantification keeps
its estimate where that is finite, and says as a bound what is certain. The error of the readings
stays in ``se_log``; the error of the curve is common to all specimens of the plate and is handed
on as loadings, since it cancels in the ratio of two specimens of one plate.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from exvivo.calibrate.standards import FittedPlate, Well
from exvivo.numerics.curves import Curve
from exvivo.numerics.detection import is_rising
from exvivo.numerics.inverse import Estimates, Limits, Readings, estimate_concentrations
from exvivo.numerics.logistic import jacobian, slope, value
from exvivo.study.design import WellRole
from exvivo.study.run import LOADINGS
from exvivo.study.statuses import STATE_REASONS, Reason, SpecimenStatus, WellStatus

Row = dict[str, object]
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Reading:
    """Estimate from some wells of one specimen, natural logs, dilution applied; ends are infinite where open."""

    log_conc: float
    se_log: float
    ci_low: float
    ci_high: float
    loading: tuple[float, ...]

    def widened(self, half: float) -> "Reading":
        """With an interval that also holds an independent error of this half width."""
        low, high = self.log_conc - self.ci_low, self.ci_high - self.log_conc
        if not self.finite or half <= 0:
            return self
        return replace(self, ci_low=self.log_conc - math.hypot(low, half), ci_high=self.log_conc + math.hypot(high, half))

    @property
    def finite(self) -> bool:
        """Whether the wells lie between the curve's asymptotes."""
        return math.isfinite(self.log_conc)


@dataclass(frozen=True, slots=True)
class Judged:
    """A plate with what acceptance made of it: limits at the plate, and the rules that refused it (none: accepted)."""

    fitted: FittedPlate
    limits: Limits
    failed: tuple[str, ...]


def estimate_groups(plates: Sequence[FittedPlate], groups: Sequence[Sequence[Well]], *, intervals: bool = True) -> list[Reading | None]:
    """One estimate per group of wells (a well, or all wells of a specimen), in order; None without curve or readable well."""
    curves: list[Curve] = []
    index: dict[str, int] = {}
    for plate in plates:
        if plate.curve is not None:
            index[plate.plate] = len(curves)
            curves.append(plate.curve)
    kept = [[well for well in group if well.readable] for group in groups]
    usable = [i for i, group in enumerate(kept) if group and group[0].plate in index]
    if not usable:
        return [None] * len(groups)
    found = estimate_concentrations(curves, _pad([kept[i] for i in usable], index), level=LEVEL if intervals else None)
    answers: list[Reading | None] = [None] * len(groups)
    for k, i in enumerate(usable):
        answers[i] = _read(found, k, curves[index[kept[i][0].plate]])
    return answers


def describe_wells(plates: Sequence[FittedPlate], plate_error: float = 0.0) -> list[Row]:
    """WELLS rows of one analyte: every well with its back-calculated concentration.

    ``plate_error`` is the half width of what plates move as wholes; standards define their plate and do without.
    """
    wells = [(plate, well) for plate in plates for well in plate.wells]
    answers = estimate_groups(plates, [[well] for _, well in wells])
    wide = [a if a is None or well.is_standard else a.widened(plate_error) for (_, well), a in zip(wells, answers, strict=True)]
    return [_describe_well(plate, well, answer) for (plate, well), answer in zip(wells, wide, strict=True)]


def describe_uncalibrated(wells: Sequence[Well]) -> list[Row]:
    """WELLS rows of wells that belong to no analyte of the protocol."""
    return [_own_columns(well) for well in wells]


def quantify_specimens(plates: Sequence[Judged], plate_sd: float = 0.0, plate_error: float = 0.0) -> tuple[list[Row], list[Row]]:
    """CONCENTRATIONS and SHARED_ERROR rows of one analyte, one per plate and specimen, sorted by plate and specimen.

    ``plate_sd`` is the SD of what plates move as wholes, ``plate_error`` the half width of its interval.
    """
    groups = [(plate, name, wells) for plate in plates for name, wells in sorted(group_wells(plate.fitted, WellRole.SPECIMEN).items())]
    answers = estimate_groups([plate.fitted for plate in plates], [wells for _, _, wells in groups])
    rows, shared = [], []
    for (plate, name, wells), bare in zip(groups, answers, strict=True):
        answer = None if bare is None else bare.widened(plate_error)
        row = {
            "plate": plate.fitted.plate,
            "specimen": name,
            "analyte": wells[0].analyte,
            "unit": wells[0].unit,
            "wells": ",".join(well.well for well in wells if well.readable),
            **_judge_specimen(plate, wells, answer),
        }
        rows.append(row)
        if answer is not None and row["status"] not in {SpecimenStatus.REFUSED, SpecimenStatus.MISSING}:
            shared += _share(plate, row, answer, plate_sd)
    return rows, shared


def _share(plate: Judged, row: Row, answer: Reading, plate_sd: float) -> list[Row]:
    """SHARED_ERROR row of one specimen; where it is censored, that of its bound; none where there is no bound."""
    told, loading, se = row["log_concentration"], answer.loading, row["se_log"]
    if row["status"] != SpecimenStatus.QUANTIFIED:
        low, high = row.get("upper_bound"), row.get("lower_bound")
        told, limit = (low, plate.limits.lloq) if low is not None else (high, plate.limits.uloq)
        if told is None or limit is None or plate.fitted.curve is None:
            return []
        loading, se = _load(plate.fitted.curve, math.log(limit)), None
    padded = (*loading, *[0.0] * (len(LOADINGS) - 1 - len(loading)), plate_sd)
    key = {name: row[name] for name in ("plate", "analyte", "specimen")}
    return [{**key, "log_value": told, **dict(zip(LOADINGS, padded, strict=True)), "se_log": se}]


def _load(curve: Curve, log_conc: float) -> tuple[float, ...]:
    """Loadings of what a reading on the curve at a log concentration would be inverted to."""
    gradient = -jacobian(log_conc, curve.parameters) / float(slope(log_conc, curve.parameters))
    return tuple(float(part) for part in gradient @ curve.loading)


def group_wells(plate: FittedPlate, role: WellRole) -> dict[str, list[Well]]:
    """Named wells of one role, by name."""
    groups: dict[str, list[Well]] = {}
    for well in plate.wells:
        if well.role == role and well.specimen:
            groups.setdefault(well.specimen, []).append(well)
    return groups


def _pad(groups: Sequence[Sequence[Well]], index: Mapping[str, int]) -> Readings:
    shape = (len(groups), max(len(group) for group in groups))
    signal, log_dilution = np.zeros(shape), np.zeros(shape)
    overflow, present = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.bool_)
    for i, group in enumerate(groups):
        for j, well in enumerate(group):
            above = well.status == WellStatus.OVERFLOW
            reading = well.cap if above else well.signal
            signal[i, j], log_dilution[i, j] = reading if reading is not None else np.nan, math.log(well.dilution)
            overflow[i, j], present[i, j] = above, True
    return Readings(np.array([index[group[0].plate] for group in groups]), signal, log_dilution, overflow, present)


def _read(found: Estimates, k: int, curve: Curve) -> Reading:
    loading = tuple(float(part) for part in found.gradient[k] @ curve.loading)
    return Reading(float(found.log_conc[k]), float(found.se_log[k]), float(found.ci_low[k]), float(found.ci_high[k]), loading)


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _exp(log_number: float) -> float | None:
    """Concentration, empty where infinite, zero or beyond what a number can hold."""
    return math.exp(log_number) if abs(log_number) < 700 else None


def _own_columns(well: Well) -> Row:
    names = ("plate", "well", "role", "specimen", "analyte", "nominal", "dilution", "raw_signal", "background", "signal")
    row: Row = {name: getattr(well, name) for name in (*names, "unit", "lot", "status", "reason", "detail", "origin")}
    return row


def _describe_well(plate: FittedPlate, well: Well, answer: Reading | None) -> Row:
    row = _own_columns(well)
    if plate.curve is None and well.readable and well.reason is None:
        row["reason"] = Reason.NO_CURVE
    if plate.curve is not None and well.is_standard and well.nominal is not None:
        log_conc = math.log(well.nominal) if well.nominal > 0 else -math.inf
        row["fitted"] = float(value(log_conc, plate.curve.parameters))
    if answer is None:
        return row
    concentration = _exp(answer.log_conc)
    row |= {"concentration": concentration, "log_concentration": _finite(answer.log_conc)}
    row |= {"ci_low": _exp(answer.ci_low), "ci_high": _exp(answer.ci_high)}
    if well.nominal and concentration is not None and well.role in {WellRole.STANDARD, WellRole.QC}:
        row["recovery_pct"] = 100 * concentration / well.nominal
    return row


def _judge_specimen(plate: Judged, wells: Sequence[Well], answer: Reading | None) -> Row:
    """Status, reason, value and bounds of one specimen."""
    refusal = _refuse(plate, wells, answer)
    if refusal is not None or answer is None:
        return refusal or {}
    readable = [well for well in wells if well.readable]
    folds = [well.dilution for well in readable]
    lowest, highest = plate.limits.lloq, plate.limits.uloq
    lower = math.log((lowest or 0.0) * min(folds)) if lowest else -math.inf
    upper = math.log(highest * max(folds)) if highest else math.inf
    row: Row = {
        "concentration": _exp(answer.log_conc),
        "ci_low": _exp(answer.ci_low),
        "ci_high": _exp(answer.ci_high),
        "log_concentration": _finite(answer.log_conc),
        "se_log": _finite(answer.se_log),
        "status": SpecimenStatus.QUANTIFIED,
    }
    unit = wells[0].unit
    rising = plate.fitted.curve is not None and is_rising(plate.fitted.curve)
    if rising and all(well.status == WellStatus.OVERFLOW for well in readable):
        row |= {"status": SpecimenStatus.ABOVE_ULOQ, "reason": Reason.OVERFLOW, "lower_bound": _finite(upper)}
        row["detail"] = json.dumps({"uloq": _exp(upper), "unit": unit})
    elif answer.log_conc < lower:
        row |= {"status": SpecimenStatus.BELOW_LLOQ, "reason": Reason.BELOW_LLOQ, "upper_bound": lower}
        row["detail"] = json.dumps({"lloq": _exp(lower), "unit": unit})
    elif answer.log_conc > upper:
        row |= {"status": SpecimenStatus.ABOVE_ULOQ, "reason": Reason.ABOVE_ULOQ, "lower_bound": upper}
        row["detail"] = json.dumps({"uloq": _exp(upper), "unit": unit})
    return row


def _refuse(plate: Judged, wells: Sequence[Well], answer: Reading | None) -> Row | None:
    """Why a specimen has no value on this plate; None when it has one."""
    state = STATE_REASONS.get(wells[0].state or "")
    if state is not None:
        return {"status": SpecimenStatus.MISSING, "reason": state}
    if all(well.excluded for well in wells):
        return {"status": SpecimenStatus.REFUSED, "reason": Reason.EXCLUDED, "detail": wells[0].detail}
    if not any(well.readable for well in wells):
        return {"status": SpecimenStatus.MISSING, "reason": Reason.NO_READING}
    if plate.fitted.curve is None:
        return {"status": SpecimenStatus.REFUSED, "reason": Reason.NO_CURVE, "detail": json.dumps({"rules": list(plate.failed)})}
    if plate.failed or answer is None:
        return {"status": SpecimenStatus.REFUSED, "reason": Reason.PLATE_REFUSED, "detail": json.dumps({"rules": list(plate.failed)})}
    return None
