"""How much light a marker must add for its delta to be the true one.

Background and marker of one cell move with its size, and each has a spread of its own:

    background b e^(s S + o O),    marker a e^(s S + m M),    S, O, M independent standard normals.

Delta is the median of their sum less the median of the background. Medians do not add: for a dim marker delta is above a, by up
to e^(m^2 / 2). True effects are defined on delta, so that a is found from delta here, on a table of delta / b.
"""

import functools

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import ndtr

Array = npt.NDArray[np.float64]

SIZE_SD, BACKGROUND_SD, MARKER_SD = 0.25, 0.10, 0.35
_NODES = 40
_POWERS = np.linspace(-4.0, 5.0, 91)  # decades of marker over background


def marker_amounts(deltas: Array, backgrounds: Array) -> Array:
    """Median light of a marker whose delta is given, at a median background.

    Parameters
    ----------
    deltas : ndarray, positive
    backgrounds : ndarray of the same shape or to be broadcast to it, positive

    Examples
    --------
    A bright marker has the light of its delta, a dim one has less:

    >>> [round(float(a), 1) for a in marker_amounts(np.array([1e6, 10.0]), np.array(100.0))]
    [999997.4, 9.4]
    """
    relative = np.log10(deltas / backgrounds)
    known, excess = _excess()
    return np.asarray(deltas / np.interp(relative, known, excess), dtype=np.float64)


def delta_of(amount: float) -> float:
    """Delta of a marker of a median amount, where the background's median is one."""

    def reached(low: float, high: float) -> float:
        return float(brentq(lambda t: _below(t, amount) - 0.5, low, high, xtol=1e-14, rtol=1e-13))

    return reached(1.0, 1.0 + 2.0 * amount) - 1.0


@functools.cache
def _excess() -> tuple[Array, Array]:
    """Delta over amount at each ln10 of delta over background."""
    amounts = 10.0**_POWERS
    deltas = np.array([delta_of(float(amount)) for amount in amounts])
    return np.log10(deltas), deltas / amounts


def _below(light: float, amount: float) -> float:
    """Share of cells with less light than some."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    own = np.exp(BACKGROUND_SD * nodes)[:, None] + amount * np.exp(MARKER_SD * nodes)
    return float(weights @ ndtr(np.log(light / own) / SIZE_SD) @ weights / np.sum(weights) ** 2)
