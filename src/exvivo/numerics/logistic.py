"""The four-parameter logistic curve: value, derivatives, inverse.

Natural log concentrations flow in, signals flow out, and back::

    y = d + (a - d) / (1 + (x / c)**b),   b > 0

with ``a`` the signal at concentration zero and ``d`` at infinity, so rising (d > a) and
falling (competitive) assays are one family. Parameters are arrays ``(..., 4)`` in the order
``(a, b, log_c, d)``. The zero standard has log concentration ``-inf`` and is exact: the curve
is ``a`` there. Everything is written with the two halves 1 / (1 + e^z) and 1 / (1 + e^-z), so
that neither asymptote loses digits.
"""

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from exvivo.numerics.variance import Array


def value(log_conc: npt.ArrayLike, parameters: npt.ArrayLike) -> Array:
    """Signal of the curve.

    Parameters
    ----------
    log_conc : natural log concentration, any shape, -inf and inf allowed
    parameters : (..., 4), broadcast against ``log_conc``

    Examples
    --------
    >>> value([-np.inf, 0.0, np.inf], [0.1, 1.0, 0.0, 2.1]).tolist()
    [0.1, 1.1, 2.1]
    """
    a, b, log_c, d = _split(parameters)
    z = b * (np.asarray(log_conc, dtype=np.float64) - log_c)
    return np.asarray(a * expit(-z) + d * expit(z))


def jacobian(log_conc: npt.ArrayLike, parameters: npt.ArrayLike) -> Array:
    """Derivatives of :func:`value` with respect to (a, b, log_c, d), on a new last axis."""
    a, b, log_c, d = _split(parameters)
    x = np.asarray(log_conc, dtype=np.float64)
    distance = np.where(np.isfinite(x), x - log_c, 0.0)  # at +-inf the factor that vanishes faster wins
    z = b * (x - log_c)
    below, above = expit(-z), expit(z)
    bell = (d - a) * below * above
    return np.stack(np.broadcast_arrays(below, bell * distance, -b * bell, above), axis=-1)


def slope(log_conc: npt.ArrayLike, parameters: npt.ArrayLike) -> Array:
    """Derivative of :func:`value` with respect to the log concentration; 0 at +-inf."""
    a, b, log_c, d = _split(parameters)
    z = b * (np.asarray(log_conc, dtype=np.float64) - log_c)
    return np.asarray((d - a) * b * expit(-z) * expit(z))


def inverse(signal: npt.ArrayLike, parameters: npt.ArrayLike) -> Array:
    """Log concentration at which the curve reaches a signal.

    -inf at or beyond ``a``, inf at or beyond ``d``, never NaN for a signal that is a number.

    Examples
    --------
    >>> inverse([0.0, 1.1, 2.1, 9.0], [0.1, 1.0, 0.0, 2.1]).round(12).tolist()
    [-inf, 0.0, inf, inf]
    """
    a, b, log_c, d = _split(parameters)
    y = np.asarray(signal, dtype=np.float64)
    direction = np.where(d >= a, 1.0, -1.0)
    from_a, to_d = direction * (y - a), direction * (d - y)
    inside = (from_a > 0) & (to_d > 0)
    odds = np.where(inside, from_a, 1.0) / np.where(inside, to_d, 1.0)
    infinite = np.where(from_a <= 0, -np.inf, np.inf)
    return np.asarray(np.where(inside, log_c + np.log(odds) / b, infinite))


def _split(parameters: npt.ArrayLike) -> tuple[Array, Array, Array, Array]:
    array = np.asarray(parameters, dtype=np.float64)
    return array[..., 0], array[..., 1], array[..., 2], array[..., 3]
