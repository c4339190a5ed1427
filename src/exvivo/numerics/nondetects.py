"""Summaries of concentrations of which some are only known to lie below a limit, and a test between groups.

In: values, and which of them are limits ("less than"). Out: mean, SD and median by three ways, and a rank test.

- Kaplan-Meier on the scale turned round: no distribution is assumed; what lies below the smallest detected
  value is put there.
- Maximum likelihood of the lognormal distribution.
- Regression on order statistics (ROS): detected values as they are; the others from the line through the ln of
  the detected values at their normal scores, with plotting positions for several limits.
- Groups: Peto and Prentice's weighted log-rank test on the scale turned round.

Sources: Helsel, *Nondetects and Data Analysis* (2005), and *Statistics for Censored Environmental Data* (2012);
Hirsch and Stedinger 1987, Water Resour Res 23:715; Helsel and Cohn 1988, Water Resour Res 24:1997; Harrington
and Fleming 1982, Biometrika 69:553.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from exvivo.numerics.tobit import TobitFit, fit_tobit

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Summary:
    """Mean, SD and median of a distribution, in the unit of the values; NaN where the data do not give it."""

    mean: float
    sd: float
    median: float


@dataclass(frozen=True, slots=True)
class GroupTest:
    """Chi-square statistic with its degrees of freedom and p-value."""

    chi_square: float
    df: int
    p: float


def summarise_kaplan_meier(values: ArrayLike, below: ArrayLike) -> Summary:
    """Mean, SD and median without a distribution; `below` says which values are limits, both of shape (n,).

    Notes
    -----
    The SD is that of the mean, with Greenwood's variance, times the root of n. Reference: R ``survival::survfit``
    of the values turned round, and NADA 1.6, case c31.
    """
    x, limits = _read(values, below)
    at, events, risk = _turned_steps(x, limits)
    left = np.cumprod(1 - events / risk)  # probability of lying below each detected value, from the largest down
    width = -np.diff(at)
    mean = float(at[0] - (width * left[:-1]).sum())
    area = np.cumsum((width * left[:-1])[::-1])[::-1]
    staying = risk - events
    greenwood = float((area**2 * events[:-1] / (risk * np.maximum(staying, 1))[:-1]).sum())
    detected = int(events.sum())
    half = np.flatnonzero(left < 0.5 - 1e-12)
    return Summary(
        mean=mean,
        sd=float(np.sqrt(len(x) * greenwood * detected / (detected - 1))) if detected > 1 else float("nan"),
        median=float(at[half[0]]) if half.size else float("nan"),
    )


def fit_lognormal(values: ArrayLike, below: ArrayLike, groups: ArrayLike | None = None) -> TobitFit:
    """Censored regression of the ln values on an intercept and, if given, further columns (n,) or (n, p)."""
    x, limits = _read(values, below)
    ln = np.log(x)
    columns = [np.ones(len(x))] if groups is None else [np.ones(len(x)), np.asarray(groups, dtype=np.float64)]
    return fit_tobit(np.where(limits, -np.inf, ln), ln, np.column_stack(columns))


def summarise_lognormal(values: ArrayLike, below: ArrayLike) -> Summary:
    """Mean, SD and median of the lognormal distribution of greatest likelihood."""
    fit = fit_lognormal(values, below)
    mu, variance = float(fit.coefficients[0]), fit.scale**2
    return Summary(
        mean=float(np.exp(mu + variance / 2)),
        sd=float(np.exp(mu + variance / 2) * np.sqrt(np.expm1(variance))),
        median=float(np.exp(mu)),
    )


def summarise_order_statistics(values: ArrayLike, below: ArrayLike) -> Summary:
    """Mean, SD and median by regression on order statistics.

    Limits above the largest detected value say nothing and are left out.

    Raises
    ------
    ValueError : fewer than two detected values, or as in the other summaries

    Notes
    -----
    Reference: NADA 1.6, case c31.
    """
    x, limits = _read(values, below)
    kept = ~limits | (x <= x[~limits].max())
    x, limits = x[kept], limits[kept]
    detected, hidden = np.sort(x[~limits]), np.sort(x[limits])
    if len(detected) < 2:
        raise ValueError("regression on order statistics needs two detected values")
    at_detected, at_hidden = _plotting_positions(detected, hidden)
    line = np.polynomial.Polynomial.fit(special.ndtri(at_detected), np.log(detected), 1)
    whole = np.concatenate([detected, np.exp(line(special.ndtri(at_hidden)))])
    return Summary(mean=float(whole.mean()), sd=float(whole.std(ddof=1)), median=float(np.median(whole)))


def compare_groups(values: ArrayLike, below: ArrayLike, groups: ArrayLike) -> GroupTest:
    """Whether groups (n,) of left-censored values differ: log-rank test weighted by the share that lies below.

    Notes
    -----
    Reference: R ``survival::survdiff(rho = 1)`` of the values turned round; NADA 1.6 ``cendiff``, case c31.
    """
    x, limits = _read(values, below)
    labels, member = np.unique(np.asarray(groups), return_inverse=True)
    if len(labels) < 2:
        raise ValueError("two groups are needed")
    belongs = (member[:, None] == np.arange(len(labels))).astype(np.float64)
    at, events, risk = _turned_steps(x, limits)
    in_risk = (x[None] <= at[:, None]).astype(np.float64) @ belongs
    in_events = ((x[None] == at[:, None]) & ~limits).astype(np.float64) @ belongs
    weight = np.concatenate([[1.0], np.cumprod(1 - events / risk)[:-1]])
    share = in_risk / risk[:, None]
    excess = (weight[:, None] * (in_events - events[:, None] * share)).sum(axis=0)
    spread = weight**2 * events * (risk - events) / np.maximum(risk - 1, 1)
    covariance = np.diag(spread @ share) - share.T @ (spread[:, None] * share)
    df = len(labels) - 1
    chi_square = float(excess[:-1] @ np.linalg.solve(covariance[:-1, :-1], excess[:-1]))
    return GroupTest(chi_square, df, float(special.chdtrc(df, chi_square)))


def _read(values: ArrayLike, below: ArrayLike) -> tuple[Array, Flags]:
    x, limits = np.asarray(values, dtype=np.float64), np.asarray(below, dtype=np.bool_)
    if x.ndim != 1 or x.shape != limits.shape:
        raise ValueError("values and flags of the same shape (n,) are needed")
    if not (np.isfinite(x).all() and (x > 0).all()):
        raise ValueError("concentrations and limits must be positive and finite")
    if limits.all():
        raise ValueError("no value is detected")
    return x, limits


def _turned_steps(x: Array, limits: Flags) -> tuple[Array, Array, Array]:
    """Detected values from the largest down, how many have each, and how many values and limits are not larger."""
    at, events = np.unique(x[~limits], return_counts=True)
    risk = (x[None] <= at[:, None]).sum(axis=1)
    return at[::-1], events[::-1].astype(np.float64), risk[::-1].astype(np.float64)


def _plotting_positions(detected: Array, hidden: Array) -> tuple[Array, Array]:
    """Positions of sorted detected values and sorted limits; without limits those of Blom (at most ten values) or Hazen."""
    if not hidden.size:
        shift = 3 / 8 if len(detected) <= 10 else 0.5
        rank = np.arange(1.0, len(detected) + 1)
        return np.asarray((rank - shift) / (len(detected) + 1 - 2 * shift), dtype=np.float64), hidden
    bounds = np.unique(hidden)
    if (detected < bounds[0]).any():
        bounds = np.concatenate([[0.0], bounds])
    inside = np.searchsorted(bounds, detected, side="right") - 1  # the last limit at or below each detected value
    above = np.bincount(inside, minlength=len(bounds))
    upto = np.array([(detected <= bound).sum() + (hidden <= bound).sum() for bound in bounds])
    exceeding = np.zeros(len(bounds) + 1)
    for j in range(len(bounds) - 1, -1, -1):
        exceeding[j] = exceeding[j + 1] + (above[j] / (above[j] + upto[j]) * (1 - exceeding[j + 1]) if above[j] else 0.0)
    low, span = 1 - exceeding[:-1], exceeding[:-1] - exceeding[1:]
    rank = np.concatenate([np.arange(1.0, count + 1) for count in above])
    at_detected = low[inside] + span[inside] * rank / (above[inside] + 1)
    where = np.searchsorted(bounds, hidden)
    counts = np.bincount(where, minlength=len(bounds))
    rank_hidden = np.concatenate([np.arange(1.0, count + 1) for count in counts])
    return at_detected, low[where] * rank_hidden / (counts[where] + 1)
