"""A row of CURVES -> the curve it describes, and what is drawn of it: nothing is fitted again.

This is the only place of the report that knows how parameters stand in a table. All else asks the curve.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from exvivo.numerics.curves import Curve, Weighting
from exvivo.numerics.inverse import profile_precision
from exvivo.numerics.least_squares import SIDES, Branch, Family
from exvivo.numerics.logistic import POWER_LAW, jacobian, value
from exvivo.numerics.variance import VarianceFunction

Array = npt.NDArray[np.float64]
Row = Mapping[str, object]

LEVEL = 0.95


def rebuild_curve(row: Row) -> Curve:
    """Curve of one row of CURVES.

    Parameters and covariance come back as they were fitted. The weighted residual sum of squares is not stored and is NaN.
    """
    covariance = np.asarray(json.loads(str(row["covariance"])), dtype=np.float64) if row["covariance"] else np.zeros((4, 4))
    notes = str(row["note"] or "").split(",")
    df = _real(row["df"])
    return Curve(
        family=Family(str(row["model"])),
        parameters=_parameters(row),
        loading=_root(covariance),
        variance=VarianceFunction(
            _real(row["sigma0"]), _real(row["kappa"]), _real(row.get("variance_df"), df or math.inf), _real(row.get("linear"))
        ),
        weighting=Weighting(str(row["weighting"])),
        df=int(df),
        rss=math.nan,
        converged="not-converged" not in notes,
        at_limit="shape-at-limit" in notes,
        asymptote_determined="top-asymptote" not in notes,
    )


def _parameters(row: Row) -> Array:
    """Parameters as ``logistic`` takes them."""
    stored, family = json.loads(str(row["parameters"])), Family(str(row["model"]))
    first = [float(stored["a"]), float(stored["b"]), math.log(stored["c"]), float(stored["d"] or 0.0)]
    if family is Family.FOUR:
        return np.array(first)
    side = POWER_LAW if family is Family.POWER_LAW else SIDES[Branch(str(row["branch"]))]
    return np.array([*first, math.log(stored["g"] or 1.0), side])


def _real(cell: object, absent: float = 0.0) -> float:
    return float(cell) if isinstance(cell, int | float) else absent


def _root(covariance: Array) -> Array:
    """A square root of a covariance that may be singular."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


@dataclass(frozen=True, slots=True, eq=False)
class Bands:
    """A curve at some concentrations: signal, half width of the 95 % band of the mean and of one further reading, signal units."""

    signal: Array
    mean: Array
    prediction: Array


def lay_bands(curve: Curve, log_conc: npt.ArrayLike) -> Bands:
    """Curve and pointwise bands at natural log concentrations, with the quantile that the intervals of concentrations use."""
    x = np.asarray(log_conc, dtype=np.float64)
    signal = value(x, curve.parameters)
    quantile = float(stdtrit(curve.variance.df, 0.5 + LEVEL / 2)) if math.isfinite(curve.variance.df) else 1.959964
    shared = np.sum((jacobian(x, curve.parameters) @ curve.loading) ** 2, axis=-1)
    return Bands(signal, quantile * np.sqrt(shared), quantile * np.sqrt(shared + curve.variance.at(signal)))


def standardise(curve: Curve, signal: float, log_conc: float) -> float:
    """Residual of a reading in standard deviations of one reading."""
    fitted = float(value(log_conc, curve.parameters))
    return (signal - fitted) / math.sqrt(float(curve.variance.at(fitted)))


def profile_cv(curve: Curve, log_conc: npt.ArrayLike, n_replicates: int) -> Array:
    """Coefficient of variation of a result at log concentrations, in per cent."""
    return np.asarray(100 * profile_precision(curve, log_conc, n_replicates))
