"""Concentrations + expressions + quantified tables + clinic -> Outcomes: the tidy analysis table.

One row per experiment, donor, serum donor, condition and readout, for every specimen that should have
been measured: what is missing keeps its row with a reason. A value passes through four steps, each a
function: the specimen's value, the mean over replicate cultures (on logs), the serum blank subtracted
on the linear scale where serum was present at collection, and the analysis sets and clinical variables
attached. A value known only within bounds keeps them: ln value lies between ``lower_bound`` and
``upper_bound``; a missing bound is open.
"""

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from exvivo.study.crossrefs import COMMON_FACTORS
from exvivo.study.decisions import Decisions, TargetKind
from exvivo.study.model import ElisaReadout, FlowReadout
from exvivo.study.protocol import Design
from exvivo.study.run import Calibration, Gating, Inputs
from exvivo.study.statuses import STATE_REASONS, USABLE, ExpressionStatus, Reason, SpecimenStatus
from exvivo.study.tables import OUTCOMES, Table

Row = Mapping[str, object]

DETECTION_QUANTILE = 1.645
"""One-sided 95 % normal quantile: a net value below this many standard errors is not told from zero."""


@dataclass(frozen=True, slots=True)
class Value:
    """One value on the natural log scale, point or interval, with what it rests on."""

    status: str
    log_value: float | None = None
    se: float | None = None
    lower: float | None = None
    upper: float | None = None
    reason: str | None = None
    detail: str | None = None
    unit: str | None = None
    plain: float | None = None
    ratio: float | None = None
    percent: float | None = None
    measurements: int = 0
    plates: tuple[str, ...] = ()
    specimens: tuple[str, ...] = ()
    blank_share: float | None = None

    @property
    def usable(self) -> bool:
        """Whether anything is known about it."""
        return self.status in USABLE

    @property
    def exact(self) -> bool:
        """Whether it is a point rather than an interval."""
        return self.log_value is not None and self.lower is None and self.upper is None


@dataclass(frozen=True, slots=True)
class Culture:
    """Where a value belongs: experiment, persons, run and the level of every factor."""

    experiment: str
    donor: str | None
    serum_donor: str | None
    run: str | None
    levels: tuple[tuple[str, str], ...]

    @property
    def group(self) -> tuple[object, ...]:
        """What replicate cultures share."""
        return (self.experiment, self.donor, self.serum_donor, self.levels)


def assemble_dataset(inputs: Inputs, calibration: Calibration, gating: Gating, design: Design, decisions: Decisions) -> Table:
    """The tidy analysis table.

    Returns
    -------
    Table : OUTCOMES, sorted by experiment, donor, serum donor, condition and readout in protocol order
    """
    specimens = _specimen_rows(inputs, design)
    values = [*_elisa_values(specimens, calibration, design), *_flow_values(specimens, gating, design), *_table_values(inputs, design)]
    excluded = decisions.excluded(TargetKind.DONOR)
    rows = []
    for (culture, readout), value, facts in _subtract_blanks(_combine_replicates(values), specimens, calibration, design):
        decision = excluded.get(culture.donor or "") or excluded.get(culture.serum_donor or "")
        if decision is not None:
            value = Value(SpecimenStatus.REFUSED, reason=Reason.EXCLUDED, detail=json.dumps({"decision": decision.seq}))  # noqa: PLW2901
        rows.append(_outcome_row(culture, readout, value, facts))
    return _finish(rows, inputs.clinical, design)


# ---------------------------------------------------------------------------------------------- values of specimens


@dataclass(frozen=True, slots=True)
class SpecimenRow:
    """One row of specimens.csv, typed."""

    name: str
    culture: Culture
    matrix: str
    state: str
    viable_cells: float | None
    viability_pct: float | None


Measured = tuple[tuple[Culture, str], Value, SpecimenRow | None]


def _specimen_rows(inputs: Inputs, design: Design) -> list[SpecimenRow]:
    rows = []
    for row in inputs.specimens.frame.sort("specimen").iter_rows(named=True):
        levels = tuple((factor, row[factor] or spec.reference) for factor, spec in design.factors.items())
        culture = Culture(row["experiment"], row["donor"], row["serum_donor"], row["run"], levels)
        rows.append(SpecimenRow(row["specimen"], culture, row["matrix"], row["state"], row["viable_cells"], row["viability_pct"]))
    return rows


def _elisa_values(specimens: Sequence[SpecimenRow], calibration: Calibration, design: Design) -> Iterable[Measured]:
    readouts = {name: r for name, r in design.readouts.items() if isinstance(r, ElisaReadout)}
    measured = _by_specimen(calibration.concentrations, "analyte")
    for specimen in specimens:
        if specimen.matrix == "medium":
            for name, readout in readouts.items():
                rows = measured.get((specimen.name, name), [])
                yield (specimen.culture, name), _concentration_value(specimen, rows, readout.unit), specimen


def _by_specimen(table: Table, column: str) -> dict[tuple[str, str], list[Row]]:
    grouped: dict[tuple[str, str], list[Row]] = {}
    for row in table.frame.iter_rows(named=True):
        grouped.setdefault((row["specimen"], row[column]), []).append(row)
    return grouped


def _concentration_value(specimen: SpecimenRow, rows: Sequence[Row], unit: str) -> Value:
    if specimen.state in STATE_REASONS:
        return Value(SpecimenStatus.MISSING, reason=STATE_REASONS[specimen.state], unit=unit)
    if not rows:
        return Value(SpecimenStatus.MISSING, reason=Reason.NOT_ON_A_PLATE, unit=unit)
    values = [
        Value(
            status=str(row["status"]),
            log_value=_number(row["log_concentration"]) if row["status"] == SpecimenStatus.QUANTIFIED else None,
            se=_number(row["se_log"]),
            lower=_number(row["lower_bound"]),
            upper=_number(row["upper_bound"]),
            reason=_text(row["reason"]),
            detail=_text(row["detail"]),
            unit=_text(row["unit"]) or unit,
            measurements=len([w for w in str(row["wells"] or "").split(",") if w]),
            plates=(str(row["plate"]),),
            specimens=(specimen.name,),
        )
        for row in sorted(rows, key=lambda row: str(row["plate"]))
    ]
    return _combine_plates(values)


def _combine_plates(values: Sequence[Value]) -> Value:
    """One value from several plates; accepted plates only, never chosen by value.

    Points are weighted by their precision. A bound of another plate that they keep adds nothing; where they break it the
    value is the interval from the bound to the point, since nobody knows which plate is right. Bounds alone are put together.
    """
    usable = [value for value in values if value.usable]
    if not usable:
        return values[0]
    if len(usable) == 1:
        return usable[0]
    points, bounds = [v for v in usable if v.exact], [v for v in usable if not v.exact]
    shared = replace(
        (points or bounds)[0],
        measurements=sum(v.measurements for v in usable),
        plates=tuple(plate for v in usable for plate in v.plates),
    )
    lowest = [v.lower for v in bounds if v.lower is not None]
    highest = [v.upper for v in bounds if v.upper is not None]
    if not points:
        limits = sorted((max(lowest), min(highest))) if lowest and highest else (max(lowest, default=None), min(highest, default=None))
        return replace(shared, lower=limits[0], upper=limits[1])
    weights = [1.0 / max(value.se or 0.0, 1e-6) ** 2 for value in points]
    mean = math.fsum(w * (v.log_value or 0.0) for w, v in zip(weights, points, strict=True)) / math.fsum(weights)
    ends = min(mean, *highest) if highest else mean, max(mean, *lowest) if lowest else mean
    if ends == (mean, mean):
        return replace(shared, log_value=mean, se=math.fsum(weights) ** -0.5)
    broken = next(v for v in bounds if v.upper == ends[0] or v.lower == ends[1])
    return replace(broken, log_value=None, lower=ends[0], upper=ends[1], measurements=shared.measurements, plates=shared.plates)


def _flow_values(specimens: Sequence[SpecimenRow], gating: Gating, design: Design) -> Iterable[Measured]:
    readouts = [name for name, r in design.readouts.items() if isinstance(r, FlowReadout)]
    measured = _by_specimen(gating.expressions, "marker")
    for specimen in specimens:
        if specimen.matrix == "cells":
            for name in readouts:
                rows = measured.get((specimen.name, name), [])
                yield (specimen.culture, name), _expression_value(specimen, rows), specimen


def _expression_value(specimen: SpecimenRow, rows: Sequence[Row]) -> Value:
    if specimen.state in STATE_REASONS:
        return Value(ExpressionStatus.MISSING, reason=STATE_REASONS[specimen.state], unit="fluorescence")
    if not rows:
        return Value(ExpressionStatus.MISSING, reason=Reason.NO_FILE, unit="fluorescence")
    row = rows[0]
    median = _number(row["median"])
    return Value(
        status=str(row["status"]),
        log_value=_number(row["log_delta"]) if row["status"] == ExpressionStatus.MEASURED else None,
        se=_number(row["se_log"]),
        lower=_number(row["lower_bound"]),
        upper=_number(row["upper_bound"]),
        reason=_text(row["reason"]),
        detail=_text(row["detail"]),
        unit="fluorescence",
        plain=_log(median),
        ratio=_log(_number(row["ratio"])),
        percent=_number(row["percent_positive"]),
        measurements=1 if row["file"] else 0,
        specimens=(specimen.name,),
    )


def _table_values(inputs: Inputs, design: Design) -> Iterable[Measured]:
    for row in inputs.quantified.frame.iter_rows(named=True):
        levels = tuple((factor, row.get(factor) or spec.reference) for factor, spec in design.factors.items())
        culture = Culture(row["experiment"], row["donor"], row["serum_donor"], None, levels)
        yield (culture, row["readout"]), _table_value(row), None


def _table_value(row: Row) -> Value:
    """Value of one row of QUANTIFIED; what has no logarithm, as a median below its control's, is missing."""
    given = _number(row["value"])
    lower, upper = (_log(_number(row[name])) for name in ("lower_bound", "upper_bound"))
    positive = given is not None and given > 0
    status = str(row["status"]) if positive or lower is not None or upper is not None else SpecimenStatus.MISSING.value
    return Value(
        status=status,
        log_value=_log(given) if positive and status == SpecimenStatus.QUANTIFIED else None,
        lower=lower,
        upper=upper,
        reason=Reason.BELOW_DETECTION.value if given is not None and not positive else _text(row["reason"]),
        detail=_text(row["detail"]),
        unit=_text(row["unit"]),
        measurements=1,
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _log(value: float | None) -> float | None:
    return math.log(value) if value is not None and value > 0 else None


# ------------------------------------------------------------------------------------------------ replicate cultures


def _combine_replicates(values: Iterable[Measured]) -> list[Measured]:
    """One value per donor, condition and readout: the mean of the logs of its replicate cultures."""
    grouped: dict[tuple[object, ...], list[Measured]] = {}
    for item in values:
        (culture, readout), _, _ = item
        grouped.setdefault((*culture.group, readout), []).append(item)
    return [
        items[0] if len(items) == 1 else (items[0][0], _mean_value([v for _, v, _ in items]), items[0][2]) for items in grouped.values()
    ]


def _mean_value(values: Sequence[Value]) -> Value:
    usable = [value for value in values if value.usable]
    if len(values) == 1 or not usable:
        return values[0]
    shared = replace(
        usable[0],
        measurements=sum(v.measurements for v in usable),
        plates=tuple(sorted({plate for v in usable for plate in v.plates})),
        specimens=tuple(name for v in usable for name in v.specimens),
        plain=_mean([v.plain for v in usable]),
        ratio=_mean([v.ratio for v in usable]),
        percent=_mean([v.percent for v in usable]),
        se=_root_mean_square([v.se for v in usable]),
    )
    if all(value.exact for value in usable):
        logs = [value.log_value or 0.0 for value in usable]
        facts = json.dumps({"culture_variance": statistics.variance(logs), "cultures": len(logs)}) if len(logs) > 1 else shared.detail
        return replace(shared, log_value=math.fsum(logs) / len(logs), detail=facts)
    lower = _mean([v.log_value if v.exact else v.lower for v in usable])
    upper = _mean([v.log_value if v.exact else v.upper for v in usable])
    censored = next(v for v in usable if not v.exact)
    return replace(shared, status=censored.status, reason=censored.reason, detail=censored.detail, log_value=None, lower=lower, upper=upper)


def _mean(numbers: Sequence[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return math.fsum(known) / len(known) if len(known) == len(numbers) and known else None


def _root_mean_square(errors: Sequence[float | None]) -> float | None:
    """Standard error of a mean of independent values."""
    known = [error for error in errors if error is not None]
    return math.sqrt(math.fsum(error**2 for error in known)) / len(known) if known else None


# ------------------------------------------------------------------------------------------------------ serum blanks


def _subtract_blanks(
    values: Sequence[Measured], specimens: Sequence[SpecimenRow], calibration: Calibration, design: Design
) -> Iterable[Measured]:
    """Net values where serum was present at collection: total minus the cell-free blank of the same serum donor and run."""
    measured = _by_specimen(calibration.concentrations, "analyte")
    blanks: dict[tuple[str | None, str | None], list[SpecimenRow]] = {}
    for specimen in specimens:
        if specimen.matrix == "cell_free_medium":
            blanks.setdefault((specimen.culture.serum_donor, specimen.culture.run), []).append(specimen)
    for (culture, readout), value, facts in values:
        needs_blank = (
            isinstance(design.readouts[readout], ElisaReadout)
            and design.experiments[culture.experiment].serum_present_at_collection
            and culture.serum_donor is not None
        )
        if not needs_blank or not value.usable:
            yield (culture, readout), value, facts
            continue
        found = [
            _concentration_value(blank, measured.get((blank.name, readout), []), value.unit or "")
            for blank in blanks.get((culture.serum_donor, culture.run), [])
        ]
        yield (culture, readout), subtract_blank(value, _mean_value(found) if found else None), facts


def subtract_blank(total: Value, blank: Value | None) -> Value:
    """Value net of what the serum itself brought, subtracted on the linear scale with its uncertainty.

    A net at or below its detection limit (1.645 standard errors of the net when nothing is added) is left-censored
    there. A blank below its own LLOQ may be anything from 0 to that limit, so the net is an interval, unless that
    interval is narrower than the total's own 95 % interval.
    """
    plain = next((known for known in (total.log_value, total.upper, total.lower) if known is not None), None)
    if blank is None or not blank.usable or (blank.log_value is None and blank.upper is None):
        return replace(
            total,
            status=SpecimenStatus.MISSING.value,
            reason=Reason.SERUM_BLANK_MISSING,
            detail=json.dumps({"total": total.status}),
            log_value=None,
            lower=None,
            upper=None,
            plain=plain,
        )
    ceiling = math.exp(blank.log_value if blank.log_value is not None else blank.upper or 0.0)
    floor = ceiling if blank.log_value is not None else 0.0
    if total.log_value is None:
        # the least that the blank can make up of a total below its limit; of a total above its limit nothing is known
        share = min(floor / math.exp(total.upper), 1.0) if total.upper is not None else None
        return _net_of_interval(replace(total, plain=plain, blank_share=share), floor, ceiling)
    amount = math.exp(total.log_value)
    total = replace(total, plain=plain, blank_share=min((floor + ceiling) / 2 / amount, 1.0))
    own_interval = 2 * 1.96 * (total.se or 0.0) * amount
    if ceiling - floor > own_interval:
        return _net_of_wide_blank(total, amount, ceiling)
    # a blank anywhere between 0 and its limit has the standard deviation of a uniform variable
    blank_se = (blank.se or 0.0) if blank.log_value is not None else 1 / math.sqrt(3)
    return _net_of_point(total, amount, (floor + ceiling) / 2, blank_se)


def _net_of_point(total: Value, amount: float, blank: float, blank_se: float) -> Value:
    net = amount - blank
    limit = min(max(DETECTION_QUANTILE * blank * math.hypot(total.se or 0.0, blank_se), amount * 1e-9), amount)
    if net <= limit:
        status, reason = SpecimenStatus.BELOW_LLOQ.value, Reason.NET_BELOW_DETECTION.value
        return replace(total, status=status, reason=reason, log_value=None, upper=math.log(limit))
    return replace(total, log_value=math.log(net), se=math.hypot(amount * (total.se or 0.0), blank * blank_se) / net)


def _net_of_wide_blank(total: Value, amount: float, ceiling: float) -> Value:
    """Net when the blank is anything from nothing to its LLOQ: an interval, open below when the LLOQ exceeds the total."""
    lower = math.log(amount - ceiling) if amount > ceiling else None
    return replace(total, reason=Reason.BLANK_BELOW_LLOQ.value, log_value=None, lower=lower, upper=math.log(amount))


def _net_of_interval(total: Value, floor: float, ceiling: float) -> Value:
    """Net of a total that is itself known within bounds only."""
    lower = None
    if total.lower is not None and math.exp(total.lower) > ceiling:
        lower = math.log(math.exp(total.lower) - ceiling)
    upper = total.upper
    if upper is not None and math.exp(upper) > floor:
        upper = math.log(math.exp(upper) - floor)
    if lower is None and upper is None:
        return replace(total, status=SpecimenStatus.MISSING.value, reason=Reason.ABOVE_ULOQ, lower=None, upper=None)
    return replace(total, lower=lower, upper=upper)


# -------------------------------------------------------------------------------------------- rows, sets and the clinic


def _outcome_row(culture: Culture, readout: str, value: Value, facts: SpecimenRow | None) -> dict[str, object]:
    levels = dict(culture.levels)
    return {
        "experiment": culture.experiment,
        "donor": culture.donor,
        "serum_donor": culture.serum_donor,
        **{factor: levels.get(factor) for factor in COMMON_FACTORS},
        "readout": readout,
        "log_value": value.log_value,
        "se": value.se,
        "lower_bound": value.lower,
        "upper_bound": value.upper,
        "unit": value.unit,
        "status": value.status,
        "reason": value.reason,
        "detail": value.detail,
        "run": culture.run,
        "specimens": ",".join(value.specimens) or (facts.name if facts else None),
        "plates": ",".join(value.plates) or None,
        "measurements": value.measurements,
        "viable_cells": facts.viable_cells if facts else None,
        "viability_pct": facts.viability_pct if facts else None,
        "blank_share": value.blank_share,
        "plain_log_value": value.plain if value.plain is not None else value.log_value,
        "ratio_log_value": value.ratio,
        "percent_positive": value.percent,
        **{factor: level for factor, level in culture.levels if factor not in COMMON_FACTORS},
    }


def _finish(rows: Sequence[dict[str, object]], clinical: Table, design: Design) -> Table:
    """Attach sets and modifiers, sort, check."""
    donors = {row["donor"]: row for row in clinical.frame.iter_rows(named=True)}
    variables = list(dict.fromkeys(m.variable for m in design.modifiers.values()))
    order = {name: i for i, name in enumerate(design.readouts)}
    further = [factor for factor in design.factors if factor not in COMMON_FACTORS]
    full = [
        row
        | {"sets": ",".join(_sets_of(row, donors.get(str(row["donor"])), design)) or None}
        | {name: _printed(donors.get(str(row["donor"]), {}).get(name)) for name in variables}
        for row in rows
    ]
    full.sort(
        key=lambda row: (
            *(str(row[k] or "") for k in ("experiment", "donor", "serum_donor", "serum", "stimulus", "drug", *further)),
            order[str(row["readout"])],
        )
    )
    schema = {c.name: c.dtype for c in OUTCOMES.columns} | dict.fromkeys([*further, *variables], pl.String())
    return OUTCOMES.build(pl.DataFrame(full, schema=schema, orient="row"))


def _printed(value: object) -> str | None:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return None if value is None else str(value)


def _sets_of(row: Row, donor: Row | None, design: Design) -> list[str]:
    found = []
    for name, analysis_set in design.sets.items():
        if analysis_set.experiment != row["experiment"]:
            continue
        viability = _number(row["viability_pct"])
        dead = analysis_set.min_viability_pct is not None and viability is not None and viability < analysis_set.min_viability_pct
        population = design.populations[design.experiments[analysis_set.experiment].population]
        fits = not analysis_set.criteria or donor is None or all(c.holds(donor.get(c.variable)) is not False for c in population.criteria)
        if fits and not dead:
            found.append(name)
    return found
