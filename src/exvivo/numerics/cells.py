"""Arithmetic of single cells: compensation, display scales, membership in gates.

Channel values go in as arrays with one row per event; compensated values, values on a
display scale and boolean membership come out.

Logicle and hyperlog are defined by their inverses, which are written here around the point
z = y - x1 where they cross zero::

    S(z) = p (e^(b z) - 1) + q (1 - e^(-d z)) + r z,    S(-z) = -S(z)

with r = 0 for logicle and q = 0 for hyperlog. Both terms are sums of positive numbers, so
nothing cancels near zero, and S is convex for z > 0 (for logicle because q/p = (b/d)^2
makes S''(0) = 0). Each term alone bounds the root from above, so that Newton's method from
the smaller bound comes down to the root without ever overshooting.

These are the exact scales, three million logicle values a second on one core; ``table_of`` gives
the tables that gating uses (``numerics.scaletable``), thirty times as fast. Medians and rectangles
need no scale at all, see ``from_scale``.

FlowJo's biexponential scale is a table, not a formula, and is reproduced as that table.

Source: Moore & Parks, Cytometry A 81A:273-277 (2012); Gating-ML 2.0 (ISAC, 2013), section 6;
the table as FlowJo 10 writes it (tests/golden/flowjo).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import lambertw

from exvivo.numerics import kernels
from exvivo.numerics.outline import enclosed, make_outline
from exvivo.numerics.scaletable import ScaleTable, build_table

Array = NDArray[np.float64]
_LN10 = math.log(10.0)
_SINGULAR = 1e12
_STEPS = 60
_ROUNDING = 1e-16
_BIEX_CELLS = 4096
_TABULATED = ("logicle", "hyperlog", "fasinh")


def unmixing(spillover: ArrayLike) -> Array:
    """Matrix that turns detector values into fluorochrome values.

    Parameters
    ----------
    spillover : array, shape (n_fluorochromes, n_detectors); row i is what fluorochrome i sends to every detector

    Returns
    -------
    ndarray, shape (n_detectors, n_fluorochromes): inverse of a square matrix, else the least-squares inverse

    Raises
    ------
    ValueError : the matrix cannot be inverted, or holds something that is no number

    Examples
    --------
    >>> unmixing([[1.0, 0.5], [0.0, 1.0]]).tolist()
    [[1.0, -0.5], [0.0, 1.0]]
    """
    matrix = np.asarray(spillover, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] > matrix.shape[1] or not np.all(np.isfinite(matrix)):
        raise ValueError("a spillover matrix needs finite numbers and at least as many detectors as fluorochromes")
    if np.linalg.cond(matrix) > _SINGULAR:
        raise ValueError("the spillover matrix cannot be inverted: two fluorochromes look the same")
    square = matrix.shape[0] == matrix.shape[1]
    return np.asarray(np.linalg.solve(matrix, np.eye(len(matrix))) if square else np.linalg.pinv(matrix), dtype=np.float64)


def compensate(values: NDArray[np.floating], spillover: ArrayLike) -> Array:
    """Fluorochrome values of every event.

    Parameters
    ----------
    values : ndarray, shape (n_events, n_detectors), linear scale
    spillover : array, shape (n_fluorochromes, n_detectors)

    Returns
    -------
    ndarray, shape (n_events, n_fluorochromes), linear scale
    """
    weights = unmixing(spillover)
    columns = np.arange(len(weights))
    return np.column_stack([kernels.mix(values, None, columns, weights[:, i]) for i in range(weights.shape[1])])


def linear(values: ArrayLike, T: float, A: float) -> Array:
    """Gating-ML ``flin``: (x + A) / (T + A)."""
    return (np.asarray(values, dtype=np.float64) + A) / (T + A)


def inverse_linear(values: ArrayLike, T: float, A: float) -> Array:
    """Value whose ``linear`` is given."""
    return np.asarray(values, dtype=np.float64) * (T + A) - A


def log(values: ArrayLike, T: float, M: float) -> Array:
    """Gating-ML ``flog``: log10(x / T) / M + 1; -inf for x <= 0, which lies below every threshold."""
    x = np.asarray(values, dtype=np.float64)
    out = np.full(x.shape, -np.inf)
    np.log10(x / T, out=out, where=(x > 0) | np.isnan(x))
    return out / M + 1.0


def inverse_log(values: ArrayLike, T: float, M: float) -> Array:
    """Value whose ``log`` is given."""
    return T * 10.0 ** (M * (np.asarray(values, dtype=np.float64) - 1.0))


def asinh(values: ArrayLike, T: float, M: float, A: float) -> Array:
    """Gating-ML ``fasinh``: (asinh(x sinh(M ln 10) / T) + A ln 10) / ((M + A) ln 10)."""
    x = np.asarray(values, dtype=np.float64)
    return (np.arcsinh(x * (math.sinh(M * _LN10) / T)) + A * _LN10) / ((M + A) * _LN10)


def inverse_asinh(values: ArrayLike, T: float, M: float, A: float) -> Array:
    """Value whose ``asinh`` is given."""
    y = np.asarray(values, dtype=np.float64)
    return np.sinh(y * (M + A) * _LN10 - A * _LN10) * (T / math.sinh(M * _LN10))


@dataclass(frozen=True, slots=True)
class _Curve:
    """Coefficients of S(z) in the module's head and its zero ``x1`` on the display scale."""

    p: float
    b: float
    q: float
    d: float
    r: float
    x1: float


def _negative_rate(b: float, w: float) -> float:
    """The d with 2 ln(d / b) + w (b + d) = 0, which is u e^u = (w b / 2) e^(-w b / 2) in u = w d / 2."""
    return 2.0 * float(lambertw(w * b / 2.0 * math.exp(-w * b / 2.0)).real) / w if w > 0 else b


def _logicle_curve(T: float, W: float, M: float, A: float) -> _Curve:
    b, w = (M + A) * _LN10, W / (M + A)
    x1 = A / (M + A) + w
    d = _negative_rate(b, w)
    ratio = math.exp((b + d) * w)
    p = T / (math.expm1(b * (1.0 - x1)) - ratio * math.expm1(-d * (1.0 - x1)))
    return _Curve(p, b, ratio * p, d, 0.0, x1)


def _hyperlog_curve(T: float, W: float, M: float, A: float) -> _Curve:
    b, w = (M + A) * _LN10, W / (M + A)
    x1 = A / (M + A) + w
    slope = math.exp(b * w) / w
    p = T / (math.expm1(b * (1.0 - x1)) + slope * (1.0 - x1))
    return _Curve(p, b, 0.0, 1.0, slope * p, x1)


def logicle(values: ArrayLike, T: float, W: float, M: float, A: float) -> Array:
    """Display value of a linear value on the logicle scale, exact to rounding.

    Parameters
    ----------
    values : array of any shape, linear scale; NaN gives NaN, infinities stay
    T : value shown at 1; W : linear decades; M : decades in all; A : additional negative decades

    Raises
    ------
    ValueError : not T > 0, M > 0, 0 <= W <= M / 2, -W <= A <= M - 2 W

    Notes
    -----
    Reference values: tests/unit/numerics/test_cells.py (published with Gating-ML 2.0).

    Examples
    --------
    >>> logicle([0.0, 1000.0], 1000, 1, 4, 0).tolist()
    [0.25, 1.0]
    """
    check_parameters("logicle", {"T": T, "W": W, "M": M, "A": A})
    return _solved(values, _logicle_curve(T, W, M, A))


def inverse_logicle(values: ArrayLike, T: float, W: float, M: float, A: float) -> Array:
    """Linear value whose ``logicle`` is given."""
    check_parameters("logicle", {"T": T, "W": W, "M": M, "A": A})
    return _valued(values, _logicle_curve(T, W, M, A))


def hyperlog(values: ArrayLike, T: float, W: float, M: float, A: float) -> Array:
    """Display value on the hyperlog scale; parameters as for ``logicle``, but W > 0."""
    check_parameters("hyperlog", {"T": T, "W": W, "M": M, "A": A})
    return _solved(values, _hyperlog_curve(T, W, M, A))


def inverse_hyperlog(values: ArrayLike, T: float, W: float, M: float, A: float) -> Array:
    """Linear value whose ``hyperlog`` is given."""
    check_parameters("hyperlog", {"T": T, "W": W, "M": M, "A": A})
    return _valued(values, _hyperlog_curve(T, W, M, A))


@lru_cache(maxsize=256)
def _tabulated(kind: str, *parameters: float) -> ScaleTable | None:
    if kind == "fasinh":
        T, M, A = parameters
        knee, rate = T / math.sinh(M * _LN10), (M + A) * _LN10
        return build_table(lambda x: asinh(x, T, M, A), lambda x: 1.0 / (rate * np.hypot(x, knee)), knee, T, rate)
    curve = (_logicle_curve if kind == "logicle" else _hyperlog_curve)(*parameters)
    steepness = curve.p * curve.b + curve.q * curve.d + curve.r

    def slope(x: Array) -> Array:
        z = _solved(x, curve) - curve.x1
        return 1.0 / (curve.p * curve.b * np.exp(curve.b * z) + curve.q * curve.d * np.exp(-curve.d * z) + curve.r)

    return build_table(lambda x: _solved(x, curve), slope, steepness / curve.b, parameters[0], curve.b)


def table_of(kind: str, parameters: Mapping[str, float]) -> ScaleTable | None:
    """Pieces of a scale for ``kernels.show``: within 5e-9 of ``to_scale``; None for scales that are not tabulated.

    Raises
    ------
    ValueError : parameters for which the scale is not defined
    """
    if kind not in _TABULATED:
        return None
    check_parameters(kind, parameters)
    return _tabulated(kind, *(float(parameters[name]) for name in parameter_names(kind)))


def _valued(values: ArrayLike, curve: _Curve) -> Array:
    shift = np.asarray(values, dtype=np.float64) - curve.x1
    z = np.abs(shift)
    size = curve.p * np.expm1(curve.b * z) - curve.q * np.expm1(-curve.d * z) + curve.r * z
    return np.copysign(size, shift)


def _solved(values: ArrayLike, curve: _Curve) -> Array:
    """Display value of each value; see the module's head for why Newton's method cannot fail here."""
    x = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(x)
    size = np.abs(x[finite])
    z = np.minimum(np.log1p(size / curve.p) / curve.b, size / (curve.p * curve.b + curve.q * curve.d + curve.r))
    for _ in range(_STEPS):
        up, down = np.expm1(curve.b * z), np.expm1(-curve.d * z)
        excess = curve.p * up - curve.q * down + curve.r * z - size
        step = excess / (curve.p * curve.b * (up + 1.0) + curve.q * curve.d * (down + 1.0) + curve.r)
        z -= step
        if np.all(np.abs(step) <= _ROUNDING * (1.0 + z)):
            break
    out = x.copy()
    out[finite] = curve.x1 + np.copysign(z, x[finite])
    return out


def biex_table(maxRange: float, neg: float, pos: float, width: float) -> Array:
    """Linear values at the 4097 edges of FlowJo's biexponential scale, ascending.

    Parameters
    ----------
    maxRange : value at the top; neg : additional negative decades; pos : decades in all
    width : minus the width basis, -1 or below

    Returns
    -------
    ndarray, shape (4097,): value at display positions 0, 1/4096, ..., 1; what lies outside is shown at the ends

    Notes
    -----
    The zero of the scale is moved down to a whole cell and the decades below it are stretched to fit.
    """
    check_parameters("biex", {"maxRange": maxRange, "neg": neg, "pos": pos, "width": width})
    basis = math.log10(-width)
    decades, extra = pos - basis / 2.0, neg + basis / 2.0
    zero = min(int(extra * _BIEX_CELLS / (extra + decades)), _BIEX_CELLS // 2)
    if zero > 0:
        decades = extra * _BIEX_CELLS / zero
    b, w = decades * _LN10, basis / (2.0 * decades)
    d = _negative_rate(b, w)
    share = np.arange(zero, _BIEX_CELLS + 1) / (_BIEX_CELLS + 1)
    curve = np.exp(share * b) - np.exp((b + d) * (w + extra / decades) - share * d)
    above = (curve - curve[0]) * (maxRange / math.exp(b))
    return np.concatenate([-above[zero:0:-1], above])


_BIEX_SHOWN = np.arange(_BIEX_CELLS + 1) / _BIEX_CELLS


def biex(values: ArrayLike, maxRange: float, neg: float, pos: float, width: float) -> Array:
    """Display value, 0 to 1, on FlowJo's biexponential scale: straight between the entries of ``biex_table``.

    Values outside the table are shown at its ends; NaN gives NaN.
    """
    shown = np.interp(np.asarray(values, dtype=np.float64), biex_table(maxRange, neg, pos, width), _BIEX_SHOWN)
    return np.asarray(shown, dtype=np.float64)


def inverse_biex(values: ArrayLike, maxRange: float, neg: float, pos: float, width: float) -> Array:
    """Value whose ``biex`` is given; the ends of the table outside 0 to 1."""
    found = np.interp(np.asarray(values, dtype=np.float64), _BIEX_SHOWN, biex_table(maxRange, neg, pos, width))
    return np.asarray(found, dtype=np.float64)


def floored_log(values: ArrayLike, offset: float, decades: float) -> Array:
    """FlowJo's logarithmic scale: log10(x / offset) / decades, 0 for every x below the offset; NaN gives NaN."""
    return np.log10(np.maximum(np.asarray(values, dtype=np.float64), offset) / offset) / decades


def inverse_floored_log(values: ArrayLike, offset: float, decades: float) -> Array:
    """Value whose ``floored_log`` is given."""
    return offset * 10.0 ** (decades * np.asarray(values, dtype=np.float64))


_SCALES: Mapping[str, tuple[Callable[..., Array], Callable[..., Array], tuple[str, ...]]] = MappingProxyType(
    {
        "flin": (linear, inverse_linear, ("T", "A")),
        "flog": (log, inverse_log, ("T", "M")),
        "fasinh": (asinh, inverse_asinh, ("T", "M", "A")),
        "logicle": (logicle, inverse_logicle, ("T", "W", "M", "A")),
        "hyperlog": (hyperlog, inverse_hyperlog, ("T", "W", "M", "A")),
        "biex": (biex, inverse_biex, ("maxRange", "neg", "pos", "width")),
        "log": (floored_log, inverse_floored_log, ("offset", "decades")),
    }
)


def parameter_names(kind: str) -> tuple[str, ...]:
    """Names of the parameters of a scale."""
    return _SCALES[kind][2]


def to_scale(kind: str, values: ArrayLike, parameters: Mapping[str, float]) -> Array:
    """Linear values on the display scale called ``kind`` in Gating-ML (flin, flog, fasinh, logicle, hyperlog) or FlowJo (biex, log)."""
    return _SCALES[kind][0](values, **parameters)


def from_scale(kind: str, values: ArrayLike, parameters: Mapping[str, float]) -> Array:
    """Linear values of display values; turns a threshold round once instead of every event. Infinite beyond the largest number."""
    with np.errstate(over="ignore"):
        return _SCALES[kind][1](values, **parameters)


def check_parameters(kind: str, parameters: Mapping[str, float]) -> None:
    """Refuse parameters for which a scale is not defined.

    Raises
    ------
    ValueError : the rule that is broken, with the numbers
    """
    if set(parameters) != set(parameter_names(kind)):
        raise ValueError(f"{kind} needs the parameters {', '.join(parameter_names(kind))}, not {', '.join(parameters) or 'none'}")
    if not all(math.isfinite(value) for value in parameters.values()):
        raise ValueError(f"{kind} needs finite parameters")
    rules = _flowjo_rules(parameters) if kind in ("biex", "log") else _gatingml_rules(kind, parameters)
    if broken := [rule for rule, holds in rules.items() if not holds]:
        given = ", ".join(f"{name} = {value:g}" for name, value in parameters.items())
        raise ValueError(f"{kind} needs {' and '.join(broken)}, but {given}")


def _flowjo_rules(parameters: Mapping[str, float]) -> dict[str, bool]:
    if "offset" in parameters:
        return {"offset > 0": parameters["offset"] > 0, "decades > 0": parameters["decades"] > 0}
    width, neg, pos = parameters["width"], parameters["neg"], parameters["pos"]
    return {
        "maxRange > 0": parameters["maxRange"] > 0,
        "width <= -1": width <= -1,
        "neg >= 0": neg >= 0,
        "pos > log10(-width) / 2": width <= -1 and pos > math.log10(-width) / 2.0,
    }


def _gatingml_rules(kind: str, parameters: Mapping[str, float]) -> dict[str, bool]:
    T, M, A, W = parameters["T"], parameters.get("M", 1.0), parameters.get("A", 0.0), parameters.get("W", 0.0)
    rules = {"T > 0": T > 0, "M > 0": M > 0}
    if kind == "flin":
        rules["0 <= A <= T"] = 0 <= A <= T
    elif kind == "fasinh":
        rules["0 <= A <= M"] = 0 <= A <= M
    elif kind in ("logicle", "hyperlog"):
        rules["0 <= W <= M / 2"] = 0 <= W <= M / 2 and (W > 0 or kind == "logicle")
        rules["-W <= A <= M - 2 W"] = -W <= A <= M - 2 * W and M + A > 0
    return rules


def ratio(numerator: NDArray[np.floating], denominator: NDArray[np.floating], A: float, B: float, C: float) -> Array:
    """Gating-ML ``fratio``: A (x1 - B) / (x2 - C); NaN, hence in no gate, where x2 = C."""
    below = denominator.astype(np.float64) - C
    out = np.full(below.shape, np.nan)
    np.divide(A * (numerator.astype(np.float64) - B), below, out=out, where=below != 0)
    return out


def in_interval(values: NDArray[np.floating], low: float | None, high: float | None) -> NDArray[np.bool_]:
    """Half-open membership low <= x < high; an absent bound is open, NaN is outside."""
    inside: NDArray[np.bool_] = ~np.isnan(values)
    if low is not None:
        inside &= values >= np.float64(low)  # a plain float would be rounded to the values' own precision
    if high is not None:
        inside &= values < np.float64(high)
    return inside


def in_polygon(x: NDArray[np.floating], y: NDArray[np.floating], vertices: ArrayLike) -> NDArray[np.bool_]:
    """Membership in a polygon: an odd number of crossings, or on the boundary.

    Parameters
    ----------
    x, y : ndarray, shape (n_events,); NaN is outside
    vertices : array, shape (n_vertices, 2), closed by joining the last to the first; may cross itself

    Examples
    --------
    >>> in_polygon(np.array([0.5, 1.0, 1.5]), np.array([0.5, 0.5, 0.5]), [[0, 0], [1, 0], [1, 1], [0, 1]]).tolist()
    [True, True, False]
    """
    return enclosed(x.astype(np.float64, copy=False), y.astype(np.float64, copy=False), make_outline(vertices))


def in_ellipsoid(values: NDArray[np.floating], mean: ArrayLike, covariance: ArrayLike, distance_square: float) -> NDArray[np.bool_]:
    """Membership (x - m)' C^-1 (x - m) <= D^2, for any C that can be inverted.

    Parameters
    ----------
    values : ndarray, shape (n_events, n_dimensions)
    mean : array, shape (n_dimensions,)
    covariance : array, shape (n_dimensions, n_dimensions)

    Raises
    ------
    ValueError : the matrix cannot be inverted
    """
    matrix = np.asarray(covariance, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or np.linalg.cond(_without_units(matrix)) > _SINGULAR:
        raise ValueError("the covariance matrix cannot be inverted")
    finite = np.all(np.isfinite(values), axis=1)
    shifted = values[finite] - np.asarray(mean, dtype=np.float64)
    inside = np.zeros(len(values), dtype=np.bool_)
    inside[finite] = np.sum(shifted * np.linalg.solve(matrix, shifted.T).T, axis=1) <= distance_square
    return inside


def _without_units(covariance: Array) -> Array:
    """The matrix with its variables divided by their SDs: those of scatter and of a display scale may differ by a factor of a million."""
    sizes = np.sqrt(np.abs(np.diag(covariance)))
    sizes[sizes == 0] = 1.0
    return np.asarray(covariance / np.outer(sizes, sizes), dtype=np.float64)
