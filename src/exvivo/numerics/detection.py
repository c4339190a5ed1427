"""The least that an assay can tell from nothing, on the scale of the signal.

A curve, blanks and a variance function flow in; signals flow out, to be turned into concentrations by the inverse
of the curve. Four limits that are often confused:

* *Limit of blank*: what a blank exceeds once in twenty readings, mean + 1.645 SD (CLSI EP17-A2).
* *Limit of detection*: mean + 3 SD of the blank (Kaiser 1947, IUPAC), or by EP17 the limit of blank + 1.645 SD of a low
  specimen, the multiplier corrected for the bias of an estimated SD.
* *Minimum detectable concentration*: the lowest result whose interval excludes zero.
* *Reliable detection limit*: the lowest concentration whose result will almost certainly exceed the former.

The last two are those of O'Connell, Belanger and Haaland (1993), Chemom Intell Lab Syst 20:97, and of R's calibFit.
In a falling assay every limit lies below the blank.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from exvivo.numerics.curves import Curve
from exvivo.numerics.logistic import inverse, jacobian, value
from exvivo.numerics.variance import Array

FEWEST_BLANKS = 3
"""Readings below which a plate's own SD of the blank is not worth a number."""

KAISER = 3.0
_ONE_SIDED = float(ndtri(0.95))
_COARSE, _FINE = 450, 65


@dataclass(frozen=True, slots=True)
class Scatter:
    """Mean and SD of readings that should be equal, and the degrees of freedom that the SD rests on."""

    mean: float
    sd: float
    df: float

    @classmethod
    def of(cls, signal: Array) -> "Scatter | None":
        """Scatter of replicate readings; None for fewer than three."""
        if signal.size < FEWEST_BLANKS:
            return None
        return cls(float(np.mean(signal)), float(np.std(signal, ddof=1)), float(signal.size - 1))

    @classmethod
    def fitted(cls, curve: Curve, log_conc: float) -> "Scatter":
        """Scatter that the pooled variance function gives at a concentration, -inf for the blank."""
        mean = float(value(log_conc, curve.parameters))
        return cls(mean, math.sqrt(float(curve.variance.at(mean))), float(curve.variance.df))


def is_rising(curve: Curve) -> bool:
    """Whether the signal grows with the concentration."""
    ends = value([-np.inf, np.inf], curve.parameters)
    return bool(ends[1] >= ends[0])


def blank_limit(blank: Scatter, multiple: float = _ONE_SIDED, *, rising: bool = True) -> float:
    """Signal ``multiple`` SD beyond the mean blank: 1.645 for the limit of blank, 3 for Kaiser's limit of detection.

    Examples
    --------
    >>> round(blank_limit(Scatter(0.050, 0.004, 19)), 5), round(blank_limit(Scatter(0.050, 0.004, 19), 3.0, rising=False), 5)
    (0.05658, 0.038)
    """
    return blank.mean + (multiple if rising else -multiple) * blank.sd


def detection_limit(limit_of_blank: float, low: Scatter, *, rising: bool = True) -> float:
    """Signal of the limit of detection by EP17-A2: limit of blank + c SD of a low specimen.

    Notes
    -----
    ``c = 1.645 / (1 - 1 / (4 df))``, CLSI EP17-A2 (2012), section 5.3.3: an estimated SD is too small on average.

    Examples
    --------
    >>> round(detection_limit(0.05658, Scatter(0.08, 0.005, 10)), 6)
    0.065015
    """
    multiple = _ONE_SIDED / (1 - 1 / (4 * low.df))
    return limit_of_blank + (multiple if rising else -multiple) * low.sd


def detectable_signal(curve: Curve, n_replicates: int, *, level: float = 0.95) -> float:
    """Mean of ``n_replicates`` readings beyond which the interval of the concentration excludes zero.

    ``a + t sqrt(v(a) / n + var(a))`` with the two-sided quantile of Student's t: where the inversion interval of
    ``inverse`` stops being open towards zero.
    """
    zero = float(value(-np.inf, curve.parameters))
    step = float(stdtrit(curve.variance.df, 0.5 + level / 2)) * float(_standard_error(curve, -np.inf, n_replicates))
    return zero + (step if is_rising(curve) else -step)


def reliable_log_conc(curve: Curve, n_replicates: int, highest: float, *, level: float = 0.95) -> float | None:
    """Log concentration whose readings, at the near end of their interval, still reach :func:`detectable_signal`.

    Parameters
    ----------
    curve, n_replicates : as in :func:`detectable_signal`
    highest : log concentration above which nothing is looked for

    Returns
    -------
    Natural log of the concentration on the plate; None when even ``highest`` does not reach it
    """
    sign = 1.0 if is_rising(curve) else -1.0
    goal = detectable_signal(curve, n_replicates, level=level)
    quantile = float(stdtrit(curve.variance.df, 0.5 + level / 2))

    low = float(inverse(goal, curve.parameters))
    if not low < highest:
        return None
    left, right = low, highest
    for points in (_COARSE, _FINE, _FINE, _FINE):
        grid = np.linspace(left, right, points)
        near = sign * value(grid, curve.parameters) - quantile * _standard_error(curve, grid, n_replicates)
        reached = np.flatnonzero(near >= sign * goal)
        if reached.size == 0:
            return None
        left, right = float(grid[max(int(reached[0]) - 1, 0)]), float(grid[reached[0]])
    return right


def _standard_error(curve: Curve, log_conc: float | Array, n_replicates: int) -> Array:
    """Of the difference between the mean of new readings at log concentrations and the fitted curve there."""
    reading = curve.variance.at(value(log_conc, curve.parameters)) / n_replicates
    return np.asarray(np.sqrt(reading + np.sum((jacobian(log_conc, curve.parameters) @ curve.loading) ** 2, axis=-1)))
