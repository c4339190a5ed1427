"""Standard curves of immunoassays: value, derivatives, inverse.

Natural log concentrations flow in, signals flow out, and back. A curve is an array ``(..., 4)``, the
four-parameter logistic (a, b, log_c, d)::

    y = d + (a - d) / (1 + (x / c)**b),   b > 0

with ``a`` the signal at concentration zero and ``d`` at infinity, so rising (d > a) and falling
(competitive) assays are one family; or an array ``(..., 6)``, (a, b, log_c, d, log_g, side), where ``side`` tells which::

    A_SIDE      y = d + (a - d) * (1 + (x / c)**b)**-g       five parameters, as the readers' software writes them
    D_SIDE      y = a + (d - a) * (1 + (x / c)**-b)**-g      five parameters, the mirrored branch (R drc's on rising curves)
    POWER_LAW   y = a + (x / c)**b                           a straight line on two log axes when a = 0; d and g are unused

The two five-parameter branches are different curves unless g = 1: one bends more slowly towards ``d``, the other towards ``a``.
The zero standard has log concentration ``-inf`` and is exact: the curve is ``a`` there. Weights of the two asymptotes
are computed each by itself, so that neither loses digits.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, log_expit

from exvivo.numerics.variance import Array

A_SIDE, D_SIDE, POWER_LAW = 1.0, -1.0, 0.0
N_LOGISTIC = 4  # width of a four-parameter curve; the others have two more columns


def value(log_conc: npt.ArrayLike, parameters: npt.ArrayLike) -> Array:
    """Signal of the curve.

    Parameters
    ----------
    log_conc : natural log concentration, any shape, -inf and inf allowed
    parameters : (..., 4) or (..., 6), broadcast against ``log_conc``

    Examples
    --------
    >>> value([-np.inf, 0.0, np.inf], [0.1, 1.0, 0.0, 2.1]).tolist()
    [0.1, 1.1, 2.1]
    >>> value(0.0, [0.0, 1.0, 0.0, 1.0, np.log(2), A_SIDE]).item(), value(0.0, [0.0, 1.0, 0.0, 1.0, np.log(2), D_SIDE]).item()
    (0.75, 0.25)
    """
    array, x = np.asarray(parameters, dtype=np.float64), np.asarray(log_conc, dtype=np.float64)
    if array.shape[-1] == N_LOGISTIC:
        a, b, log_c, d = (array[..., i] for i in range(N_LOGISTIC))
        z = b * (x - log_c)
        return np.asarray(a * expit(-z) + d * expit(z))
    bent = _Bent.at(x, array)
    return np.asarray(np.where(bent.power_law, bent.a + bent.power, bent.a * bent.of_a + bent.d * bent.of_d))


def jacobian(log_conc: npt.ArrayLike, parameters: npt.ArrayLike) -> Array:
    """Derivatives of :func:`value` with respect to (a, b, log_c, d) or (a, b, log_c, d, log_g), on a new last axis."""
    array, x = np.asarray(parameters, dtype=np.float64), np.asarray(log_conc, dtype=np.float64)
    b, log_c = array[..., 1], array[..., 2]
    distance = np.where(np.isfinite(x), x - log_c, 0.0)  # at +-inf the factor that vanishes faster wins
    if array.shape[-1] == N_LOGISTIC:
        z = b * (x - log_c)
        of_a, of_d = expit(-z), expit(z)
        bell = (array[..., 3] - array[..., 0]) * of_a * of_d
        return np.stack(np.broadcast_arrays(of_a, bell * distance, -b * bell, of_d), axis=-1)
    bent = _Bent.at(x, array)
    bell = bent.bell
    columns = (
        np.where(bent.power_law, 1.0, bent.of_a),
        bell * distance,
        -b * bell,
        np.where(bent.power_law, 0.0, bent.of_d),
        bent.by_log_g,
    )
    return np.stack(np.broadcast_arrays(*columns), axis=-1)


def slope(log_conc: npt.ArrayLike, parameters: npt.ArrayLike) -> Array:
    """Derivative of :func:`value` with respect to the log concentration; 0 at +-inf of a logistic."""
    array, x = np.asarray(parameters, dtype=np.float64), np.asarray(log_conc, dtype=np.float64)
    if array.shape[-1] == N_LOGISTIC:
        a, b, log_c, d = (array[..., i] for i in range(N_LOGISTIC))
        z = b * (x - log_c)
        return np.asarray((d - a) * b * expit(-z) * expit(z))
    return np.asarray(array[..., 1] * _Bent.at(x, array).bell)


def inverse(signal: npt.ArrayLike, parameters: npt.ArrayLike) -> Array:
    """Log concentration at which the curve reaches a signal.

    -inf at or beyond ``a``, inf at or beyond ``d``, never NaN for a signal that is a number.

    Examples
    --------
    >>> inverse([0.0, 1.1, 2.1, 9.0], [0.1, 1.0, 0.0, 2.1]).round(12).tolist()
    [-inf, 0.0, inf, inf]
    """
    array, y = np.asarray(parameters, dtype=np.float64), np.asarray(signal, dtype=np.float64)
    a, b, log_c, d = (array[..., i] for i in range(N_LOGISTIC))
    direction = np.where(d >= a, 1.0, -1.0)
    from_a, to_d = direction * (y - a), direction * (d - y)
    inside = (from_a > 0) & (to_d > 0)
    odds = np.where(inside, from_a, 1.0) / np.where(inside, to_d, 1.0)
    infinite = np.where(from_a <= 0, -np.inf, np.inf)
    if array.shape[-1] == N_LOGISTIC:
        return np.asarray(np.where(inside, log_c + np.log(odds) / b, infinite))
    log_g, side = array[..., 4], array[..., 5]
    # the weight of the near asymptote is odds**side / (1 + odds**side); minus its log is softplus
    depth = np.logaddexp(0.0, side * np.log(odds)) * np.exp(-log_g)
    logistic = np.where(inside, log_c + side * log_expm1(depth) / b, infinite)
    above = y > a
    power_law = np.where(above, log_c + np.log(np.where(above, y - a, 1.0)) / b, -np.inf)
    return np.asarray(np.where(side == POWER_LAW, power_law, logistic))


def reach(parameters: npt.ArrayLike) -> tuple[Array, Array]:
    """Log concentrations between which the curve runs from one asymptote to the other in double precision."""
    array = np.asarray(parameters, dtype=np.float64)
    b, log_c = array[..., 1], array[..., 2]
    near, far = np.full(b.shape, -_REACH), np.full(b.shape, _REACH)
    mirrored = np.zeros(b.shape, dtype=np.bool_)
    if array.shape[-1] > N_LOGISTIC:  # where g softplus(z) is e**-36 and where it is 36
        bent = array[..., 5] != POWER_LAW
        near = np.where(bent, -_REACH - array[..., 4], near)
        far = np.where(bent, log_expm1(_REACH * np.exp(-array[..., 4])), far)
        mirrored = array[..., 5] == D_SIDE
    low, high = np.where(mirrored, -far, near), np.where(mirrored, -near, far)
    return np.asarray(log_c + low / b), np.asarray(log_c + high / b)


_REACH = 36.0  # beyond |z| = 36 a logistic equals its asymptote in double precision


@dataclass(frozen=True, slots=True, eq=False)
class _Bent:
    """Pieces of a six-column curve: weights of the asymptotes, ``bell`` = derivative by z = b (x - log_c), derivative by log_g."""

    a: Array
    d: Array
    of_a: Array
    of_d: Array
    bell: Array
    by_log_g: Array
    power: Array
    power_law: npt.NDArray[np.bool_]

    @classmethod
    def at(cls, x: Array, parameters: Array) -> "_Bent":
        a, b, log_c, d, log_g, side = (parameters[..., i] for i in range(6))
        z = b * (x - log_c)
        power_law = np.asarray(side == POWER_LAW)
        turned = np.where(power_law, 0.0, np.where(side == D_SIDE, -1.0, 1.0) * z)
        g = np.exp(log_g)
        depth = -g * log_expit(-turned)
        near, far = np.exp(-depth), -np.expm1(-depth)
        on_a = side != D_SIDE
        power = np.where(power_law, np.exp(np.minimum(z, _LARGEST)), 0.0) if np.any(power_law) else np.zeros_like(turned)
        bell = np.where(power_law, power, (d - a) * g * expit(turned) * near)
        bend = np.where(on_a, d - a, a - d) * np.where(np.isfinite(depth), depth, 0.0) * near
        return cls(
            a, d, np.where(on_a, near, far), np.where(on_a, far, near), bell, np.where(power_law, 0.0, bend), power, power_law
        )  # fmt: skip


_LARGEST = 300.0  # the square of exp stays a number


def log_expm1(depth: Array) -> Array:
    """log(exp(depth) - 1) for depth > 0, exact at both ends."""
    return np.asarray(np.where(depth > 1.0, depth + np.log1p(-np.exp(-np.maximum(depth, 1.0))), np.log(np.expm1(np.minimum(depth, 1.0)))))
