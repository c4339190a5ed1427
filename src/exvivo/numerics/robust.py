"""Mean of paired differences that a few odd donors cannot move far.

In: within-donor ln ratios. Out: their trimmed mean with t inference from the winsorised variance. Where ln ratios are
symmetric it estimates what the plain mean does; where the two differ, single donors carry the result.
"""

import numpy as np
from numpy.typing import ArrayLike

from exvivo.numerics.inference import Estimate, infer_t

TRIM = 0.2


def count_trimmed(n: int, trim: float = TRIM) -> int:
    """Values that a trimmed mean of n leaves out at either end.

    Examples
    --------
    >>> [count_trimmed(n) for n in (4, 5, 22)]
    [0, 1, 4]
    """
    return int(trim * n + 1e-9)


def fit_trimmed_mean(values: ArrayLike, *, trim: float = TRIM, level: float = 0.95) -> Estimate:
    """Trimmed mean of independent values, shape (n,), against zero.

    Parameters
    ----------
    values : finite
    trim : share left out at either end, below one half

    Raises
    ------
    ValueError : fewer than two values are left, or a value is not finite

    Notes
    -----
    Tukey and McLaughlin 1963, Sankhya A 25:331; Yuen 1974, Biometrika 61:165: the standard error is that of the winsorised
    values over (1 - 2 trim) sqrt(n), with as many degrees of freedom as values left, less one.
    Reference: ``scipy.stats.mstats.trimmed_mean_ci``, and R.

    Examples
    --------
    >>> fit_trimmed_mean([0.1, 0.2, 0.3, 0.4, 9.0]).estimate.__round__(3)
    0.3
    """
    d = np.sort(np.asarray(values, dtype=np.float64))
    out = count_trimmed(d.size, trim)
    left = d.size - 2 * out
    if d.ndim != 1 or not np.isfinite(d).all() or left < 2:
        raise ValueError("at least two finite values must be left after trimming")
    winsorised = np.clip(d, d[out], d[-out - 1])
    sd = float(winsorised.std(ddof=1)) if np.ptp(winsorised) > 0 else 0.0
    se = sd / ((1 - 2 * trim) * np.sqrt(d.size))
    return infer_t(float(d[out : d.size - out].mean()), se, left - 1, level=level)
