"""Standard curves: simulated plates solved with 50 digits (f01 to f03), and two data sets that NIST certified (n01, n02)."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from exvivo.numerics.curves import Weighting, fit_curves
from exvivo.numerics.least_squares import Branch, Family, Fixed, Shape, Standards
from exvivo.numerics.logistic import inverse
from exvivo.qualify.cases import Case

_NAMES = ("a", "b", "log_c", "d", "log_g")
_WEIGHTINGS = {"none": Weighting.NONE, "1/y": Weighting.RECIPROCAL, "1/y^2": Weighting.RECIPROCAL_SQUARED}
_SHAPES = {"4PL": Shape(), "5PL": Shape(Family.FIVE, branches=(Branch.D,))}


def fit_standards(case: Case) -> Mapping[str, Any]:
    """Parameters, their errors, the weighted sum of squares, and concentrations read from the curve."""
    with np.errstate(divide="ignore"):
        standards = Standards(np.log(case.table.numbers("concentration")), case.table.numbers("signal"))
    curve = fit_curves([standards], _WEIGHTINGS[case.results["weighting"]], shape=_SHAPES[case.results["family"]])[0]
    errors = np.sqrt(np.diag(curve.covariance))
    return {
        "parameters": dict(zip(_NAMES, curve.parameters.tolist(), strict=False)),
        "se": dict(zip(_NAMES, errors.tolist(), strict=False)),
        "rss": curve.rss,
        "concentrations": np.exp(inverse(np.array(case.results["signals"]), curve.parameters)).tolist(),
    }


def fit_misra1d(case: Case) -> Mapping[str, Any]:
    """A hyperbola is a four-parameter curve that starts at zero with slope one."""
    standards = Standards(np.log(case.table.numbers("x")), case.table.numbers("y"))
    curve = fit_curves([standards], Weighting.NONE, shape=Shape(fixed=Fixed(a=0.0, b=1.0)))[0]
    return {
        "b1": float(curve.parameters[3]),
        "b2": float(np.exp(-curve.parameters[2])),
        "se_b1": float(np.sqrt(curve.covariance[3, 3])),
        "rss": curve.rss,
    }


def fit_rat42(case: Case) -> Mapping[str, Any]:
    """A logistic in x is a four-parameter curve in exp(x) that starts at zero."""
    standards = Standards(case.table.numbers("x"), case.table.numbers("y"))
    curve = fit_curves([standards], Weighting.NONE, shape=Shape(fixed=Fixed(a=0.0)))[0]
    _, b, centre, d = curve.parameters.tolist()
    return {"b1": d, "b2": b * centre, "b3": b, "se_b1": float(np.sqrt(curve.covariance[3, 3])), "rss": curve.rss}


PROCEDURES: Mapping[str, Callable[[Case], Mapping[str, Any]]] = MappingProxyType(
    {"f01": fit_standards, "f02": fit_standards, "f03": fit_standards, "n01": fit_misra1d, "n02": fit_rat42}
)
