"""A study's outcomes table straight from its truth, without any file: for coverage and power by thousands of studies.

Stands in for the instruments and the stages between them and the outcomes: a reading error on the log
scale, limits at the lowest and highest standard, serum blanks subtracted with their error, lost tubes
missing. Plates, curves, gates and their faults are left out, so that only the estimation is on trial.
"""

from collections.abc import Collection
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import polars as pl

from exvivo.simulate.parameters import BLANK_DILUTION
from exvivo.simulate.people import category_of
from exvivo.simulate.truth import Array, Truth
from exvivo.study.crossrefs import COMMON_FACTORS
from exvivo.study.model import ElisaReadout, FlowReadout
from exvivo.study.statuses import ExpressionStatus, Reason, SpecimenStatus
from exvivo.study.tables import OUTCOMES, Table

ELISA_SE = (0.05, 0.10)
"""Range of the reading error of a concentration, ln units."""

FLOW_SE = 0.03
"""Reading error of a marker's delta, ln units."""

_DETECTION = 1.645


@dataclass(frozen=True, slots=True)
class _Measured:
    """Values of many tubes: ln value and error where exact, else bounds (NaN is open), with codes.

    ``plain`` is the ln value or bound before a blank was subtracted, ``blank_share`` the blank's part of the total.
    """

    log_value: Array
    se: Array
    lower: Array
    upper: Array
    status: npt.NDArray[np.str_]
    reason: npt.NDArray[np.str_]
    plain: Array
    blank_share: Array


def tables_of(truth: Truth, rng: np.random.Generator, readouts: Collection[str] = ()) -> Table:
    """The outcomes table that a faultless laboratory would reach.

    Parameters
    ----------
    truth : one study
    rng : of the reading errors
    readouts : which readouts to measure; none named: all

    Returns
    -------
    Table : OUTCOMES, sorted as assemble sorts it
    """
    chosen = [name for name in truth.readouts if not readouts or name in readouts]
    cultures = truth.cultures.with_row_index("row").filter(pl.col("donor").is_not_null())
    frames = [_readout_frame(truth, cultures, name, rng) for name in chosen]
    order = ["experiment", "donor", "serum_donor", *_sorted_factors(truth), "position"]
    frame = pl.concat(frames).sort(order, nulls_last=False, maintain_order=True).drop("position")
    absent = [pl.lit(None, dtype=column.dtype).alias(column.name) for column in OUTCOMES.columns if column.name not in frame.columns]
    return OUTCOMES.build(frame.with_columns(absent).join(_modifiers(truth), on="donor", how="left", maintain_order="left"))


def _sorted_factors(truth: Truth) -> list[str]:
    """Factors in the order by which assemble sorts."""
    factors = truth.protocol.file.factors
    return [name for name in ("serum", "stimulus", "drug") if name in factors] + [name for name in factors if name not in COMMON_FACTORS]


def _readout_frame(truth: Truth, cultures: pl.DataFrame, name: str, rng: np.random.Generator) -> pl.DataFrame:
    rows = cultures["row"].to_numpy()
    measured = _measure(truth, name, rows, rng)
    lost = (cultures["state"] != "ok").to_numpy()
    blank = np.full(len(rows), np.nan)
    numbers = {"log_value": measured.log_value, "se": measured.se, "lower_bound": measured.lower, "upper_bound": measured.upper}
    numbers |= {"plain_log_value": measured.plain, "blank_share": measured.blank_share}
    block = truth.protocol.file.readouts[name]
    return cultures.select(
        "experiment", "donor", "serum_donor", *truth.protocol.file.factors, "run", "viable_cells", "viability_pct"
    ).with_columns(
        *(pl.Series(column, np.where(lost, blank, values)).fill_nan(None) for column, values in numbers.items()),
        pl.Series("status", np.where(lost, SpecimenStatus.MISSING.value, measured.status)),
        pl.Series("reason", np.where(lost, Reason.SPECIMEN_LOST.value, measured.reason)).replace({"": None}),
        pl.Series("measurements", np.where(lost, 0, 1 if isinstance(block, FlowReadout) else 2)),
        pl.Series("specimens", cultures["culture"]),
        pl.lit(name).alias("readout"),
        pl.lit(block.unit if isinstance(block, ElisaReadout) else "fluorescence").alias("unit"),
        pl.lit(truth.readouts.index(name)).alias("position"),
        _sets(truth, cultures).alias("sets"),
    )


def _sets(truth: Truth, cultures: pl.DataFrame) -> pl.Series:
    """Analysis sets of each culture: of its experiment, with enough living cells (everyone meets the criteria)."""
    found = [pl.lit("")]
    for name, block in truth.protocol.file.analysis_sets.items():
        alive = pl.col("viability_pct") >= (block.min_viability_pct or 0.0)
        found.append(pl.when((pl.col("experiment") == block.experiment) & alive).then(pl.lit(f",{name}")).otherwise(pl.lit("")))
    return cultures.select(pl.concat_str(found).str.strip_chars_start(",").replace({"": None})).to_series()


def _modifiers(truth: Truth) -> pl.DataFrame:
    """Recorded modifiers of each donor as text."""
    clinical = truth.protocol.file.clinical
    columns = [truth.recorded["donor"]]
    for variable in dict.fromkeys(modifier.variable for modifier in truth.protocol.file.modifiers.values()):
        values = category_of(truth.recorded[variable], clinical.variables[variable]) if clinical else truth.recorded[variable]
        columns.append(values.cast(pl.Int64).cast(pl.String) if values.dtype.is_numeric() else values)
    return pl.DataFrame(columns)


def _measure(truth: Truth, name: str, rows: npt.NDArray[np.int64], rng: np.random.Generator) -> _Measured:
    at = truth.readouts.index(name)
    block = truth.protocol.file.readouts[name]
    total = truth.total[rows, at]
    if not isinstance(block, ElisaReadout):
        exact = np.log(total) + FLOW_SE * rng.standard_normal(len(rows))
        status = ExpressionStatus.MEASURED if isinstance(block, FlowReadout) else SpecimenStatus.QUANTIFIED
        open_ = np.full(len(rows), np.nan)
        codes = np.full(len(rows), status.value), np.full(len(rows), "")
        return _Measured(exact, np.full(len(rows), FLOW_SE), open_, open_, *codes, exact, open_)
    lowest = block.standards.top / block.standards.factor ** (block.standards.points - 1)
    limits = np.log([lowest * min(block.dilutions), block.standards.top * max(block.dilutions)])
    reading = _read_concentrations(total, limits, rng)
    serum = truth.cultures["serum_donor"].to_numpy()
    needs = np.array([truth.protocol.file.experiments[e].serum_present_at_collection for e in truth.cultures["experiment"][rows.tolist()]])
    subtract = needs & np.array([donor is not None for donor in serum[rows]])
    if not subtract.any():
        return reading
    limits = np.log([lowest * BLANK_DILUTION, block.standards.top * BLANK_DILUTION])
    blank = _blank_of(truth, at, rows, limits, rng)
    return _net_of(reading, blank, subtract)


def _read_concentrations(value: Array, limits: Array, rng: np.random.Generator) -> _Measured:
    """Readings of true concentrations; outside the limits only a bound is known."""
    n = len(value)
    se = rng.uniform(*ELISA_SE, n)
    exact = np.log(np.maximum(value, 1e-12)) + se * rng.standard_normal(n)
    below, above = exact < limits[0], exact > limits[1]
    states = [SpecimenStatus.BELOW_LLOQ.value, SpecimenStatus.ABOVE_ULOQ.value]
    return _Measured(
        np.where(below | above, np.nan, exact),
        np.where(below | above, np.nan, se),
        np.where(above, limits[1], np.nan),
        np.where(below, limits[0], np.nan),
        np.select([below, above], states, SpecimenStatus.QUANTIFIED.value),
        np.select([below, above], [Reason.BELOW_LLOQ.value, Reason.ABOVE_ULOQ.value], ""),
        np.clip(exact, *limits),
        np.full(n, np.nan),
    )


def _blank_of(truth: Truth, at: int, rows: npt.NDArray[np.int64], limits: Array, rng: np.random.Generator) -> _Measured:
    """The reading of the blank of the same serum donor and run, for each culture; the first one where there is none."""
    blanks = truth.cultures.with_row_index("row").filter(pl.col("donor").is_null()).select("row", "serum_donor", "run")
    blank_rows = blanks["row"].to_numpy()
    reading = _read_concentrations(truth.carried[blank_rows, at], limits, rng)
    place = {(donor, run): i for i, (donor, run) in enumerate(blanks.select("serum_donor", "run").iter_rows())}
    keys = truth.cultures.select("serum_donor", "run")[rows.tolist()].iter_rows()
    match = np.array([place.get((donor, run), 0) for donor, run in keys])
    return _Measured(*(getattr(reading, part.name)[match] for part in fields(reading)))


def _net_of(total: _Measured, blank: _Measured, subtract: npt.NDArray[np.bool_]) -> _Measured:
    """Totals net of their blanks on the linear scale, where ``subtract``; a blank below its limit leaves an interval."""
    amount, most = np.exp(total.log_value), np.exp(np.where(np.isnan(blank.log_value), blank.upper, blank.log_value))
    least = np.where(np.isnan(blank.log_value), 0.0, most)
    middle = (least + most) / 2
    se, blank_se = np.nan_to_num(total.se), np.where(np.isnan(blank.log_value), 1 / np.sqrt(3), blank.se)
    known = ~np.isnan(total.log_value)
    wide = subtract & known & (most - least > 2 * 1.96 * se * amount)
    net = amount - middle
    limit = np.clip(_DETECTION * middle * np.hypot(se, blank_se), amount * 1e-9, amount)
    small = subtract & known & ~wide & (net <= limit)
    point = subtract & known & ~wide & ~small
    bounded = subtract & ~known
    with np.errstate(invalid="ignore", divide="ignore"):
        log_net, lower_net = np.log(net), np.log(amount - most)
        shifted = [np.log(np.exp(total.lower) - most), np.log(np.exp(total.upper) - least)]
        net_se = np.hypot(amount * se, middle * blank_se) / net
    upper = np.select([wide, small, bounded & np.isfinite(shifted[1])], [total.log_value, np.log(limit), shifted[1]], total.upper)
    return _Measured(
        np.select([point, wide | small], [log_net, np.nan], total.log_value),
        np.select([point, wide | small], [net_se, np.nan], total.se),
        np.select([wide & np.isfinite(lower_net), bounded], [lower_net, shifted[0]], total.lower),
        upper,
        np.where(small, SpecimenStatus.BELOW_LLOQ.value, total.status),
        np.select([small, wide], [Reason.NET_BELOW_DETECTION.value, Reason.BLANK_BELOW_LLOQ.value], total.reason),
        total.plain,
        np.where(
            subtract & known, np.minimum(middle / amount, 1.0), np.where(subtract, np.minimum(least / np.exp(total.upper), 1.0), np.nan)
        ),
    )
