"""One analyte on all plates of the study: fit, judge, quantify. The unit of work, since the variance is pooled."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from exvivo.calibrate.accept import JudgedPlate, judge_plates
from exvivo.calibrate.between import PlateError, measure_plate_error
from exvivo.calibrate.charts import chart_plates
from exvivo.calibrate.detection import describe_limits
from exvivo.calibrate.quantify import describe_wells, quantify_specimens
from exvivo.calibrate.standards import WELL_SCHEMA, Well, fit_plates
from exvivo.engine import Parcel, digest_frame
from exvivo.numerics.curves import Curve
from exvivo.numerics.least_squares import Family
from exvivo.study.model import AssayRules, ElisaReadout
from exvivo.study.tables import CONCENTRATIONS, CONTROLS, CURVES, LIMITS, SHARED_ERROR, VERDICTS, WELLS

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class AnalyteTask:
    """Wells of one analyte on all plates (columns of ``Well``), with the protocol's rules."""

    analyte: str
    n_replicates: int
    anchors: tuple[float, ...]
    rules: AssayRules
    wells: pl.DataFrame

    @classmethod
    def of(cls, analyte: str, readout: ElisaReadout, rules: AssayRules, wells: Sequence[Well]) -> "AnalyteTask":
        """Task from the analyte's wells."""
        columns = {name: [getattr(well, name) for well in wells] for name in WELL_SCHEMA}
        return cls(analyte, readout.replicates, readout.standards.anchors, rules, pl.DataFrame(columns, schema=dict(WELL_SCHEMA)))

    def key(self) -> list[object]:
        """Everything the result depends on."""
        return [self.analyte, self.n_replicates, list(self.anchors), self.rules.model_dump(mode="json"), digest_frame(self.wells)]


def calibrate_analyte(task: AnalyteTask) -> Parcel:
    """Frames wells, curves, verdicts, limits, controls, concentrations and shared_error of one analyte."""
    fitted = fit_plates([Well(**row) for row in task.wells.iter_rows(named=True)], task.rules)
    judged = judge_plates(fitted, task.rules, task.n_replicates, task.anchors)
    common = measure_plate_error([plate.judged for plate in judged])
    curves = [_curve_row(task, plate, plate.judged.fitted.curve, common) for plate in judged if _has_curve(plate)]
    charts = chart_plates([plate.judged for plate in judged], task.analyte, curves, task.rules)
    concentrations, shared = quantify_specimens([plate.judged for plate in judged], common.sd, common.half)
    return Parcel(
        {
            "wells": WELLS.from_rows(describe_wells(fitted, common.half)).frame,
            "curves": CURVES.from_rows(curves).frame,
            "verdicts": VERDICTS.from_rows(
                [row for plate in judged for row in plate.rows(task.analyte, charts.of(plate.judged.fitted.plate))]
            ).frame,
            "limits": LIMITS.from_rows([row for plate in judged for row in describe_limits(plate, task.analyte, task.n_replicates)]).frame,
            "controls": CONTROLS.from_rows(charts.rows).frame,
            "concentrations": CONCENTRATIONS.from_rows(concentrations).frame,
            "shared_error": SHARED_ERROR.from_rows(shared).frame,
        }
    )


def _has_curve(plate: JudgedPlate) -> bool:
    return plate.judged.fitted.curve is not None


def _print_parameters(curve: Curve) -> dict[str, float | None]:
    """Parameters by their names; a line on two log axes has neither upper asymptote nor asymmetry."""
    a, b, log_c, d, *bent = (float(parameter) for parameter in curve.parameters)
    if curve.family is Family.POWER_LAW:
        return {"a": a, "b": b, "c": math.exp(log_c), "d": None, "g": None}
    return {"a": a, "b": b, "c": math.exp(log_c), "d": d, "g": math.exp(bent[0]) if bent else 1.0}


def _curve_row(task: AnalyteTask, plate: JudgedPlate, curve: Curve | None, common: PlateError) -> Row:
    if curve is None:
        raise ValueError("a plate without curve has no row of curve parameters")
    notes = [
        *(["top-asymptote"] if not curve.asymptote_determined else []),
        *(["shape-at-limit"] if curve.at_limit else []),
        *(["own-variance"] if plate.judged.fitted.keeps_own_variance else []),
        *(["not-converged"] if not curve.converged else []),
    ]
    return {
        "plate": plate.judged.fitted.plate,
        "analyte": task.analyte,
        "model": curve.family.value,
        "parameters": json.dumps(_print_parameters(curve)),
        "branch": None if curve.branch is None else curve.branch.value,
        "weighting": curve.weighting.value,
        "lloq": plate.judged.limits.lloq,
        "uloq": plate.judged.limits.uloq,
        "unit": plate.judged.fitted.unit,
        "sigma0": curve.variance.sigma0,
        "kappa": curve.variance.kappa,
        "linear": curve.variance.linear,
        "variance_df": curve.variance.df if math.isfinite(curve.variance.df) else None,
        "variance_error": json.dumps(list(map(float, curve.variance.log_covariance))),
        "standards": int(plate.judged.fitted.standards.signal.size),
        "df": curve.df,
        "plate_sd": common.sd if common.plates else None,
        "covariance": json.dumps([[float(cell) for cell in row] for row in curve.covariance]),
        "note": ",".join(notes) or None,
    }
