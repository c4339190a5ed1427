"""Slopes on a score that is measured with error: how far they are flattened, and what they would be without it.

In: the recorded score of each donor, the standard deviation of its error, and a slope on it. Out: the reliability of the
recorded score and the slope divided by it. Error of a score flattens a slope on it by its reliability, and takes
nothing from the validity of the test that the slope is zero.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from exvivo.numerics.inference import Estimate, infer_t


@dataclass(frozen=True, slots=True)
class Reliability:
    """Share of a recorded score's variance that is not error, with its standard error; not positive where error explains all."""

    share: float
    se: float


def estimate_reliability(score: ArrayLike, error_sd: float) -> Reliability:
    """Reliability of recorded scores, shape (n,), whose error has a known standard deviation.

    Notes
    -----
    1 - error² / s², s² the variance of recorded scores. Its standard error, 2 (1 - share)² / (n - 1) under the root, is that of s²
    for normal scores.

    Examples
    --------
    >>> round(estimate_reliability([2.0, 4.0, 6.0, 8.0, 10.0], 2.0).share, 6)
    0.6
    """
    x = np.asarray(score, dtype=np.float64)
    if x.ndim != 1 or x.size < 2 or not np.isfinite(x).all() or np.ptp(x) == 0 or error_sd < 0:
        raise ValueError("at least two finite scores that differ, and an error that is not negative, are needed")
    lost = error_sd**2 / float(x.var(ddof=1))
    return Reliability(share=1 - lost, se=lost * float(np.sqrt(2 / (x.size - 1))))


def correct_slope(slope: Estimate, reliability: Reliability) -> Estimate:
    """Slope per true unit: the recorded slope over the reliability, with the error of both.

    Raises
    ------
    ValueError : a reliability that is not positive

    Notes
    -----
    Regression calibration. Delta method, slope and reliability independent; equal to Fuller 1987, *Measurement Error Models*,
    section 1.2, with known error variance. The error is taken as independent of the true score and of the response.

    Examples
    --------
    >>> fit = infer_t(0.3, 0.1, 20)
    >>> round(correct_slope(fit, Reliability(0.75, 0.0)).estimate, 6)
    0.4
    """
    if not reliability.share > 0:
        raise ValueError(f"a reliability of {reliability.share:.3g} cannot correct a slope")
    estimate = slope.estimate / reliability.share
    return infer_t(estimate, float(np.hypot(slope.se, estimate * reliability.se)) / reliability.share, slope.df, level=slope.level)
