"""Paired comparison when some values are known only within limits.

In: for each donor and condition the lower and upper bound of the ln value (equal for a measured value,
minus infinity below a limit of quantification; every value may have limits of its own). Out: the maximum
likelihood estimate of the mean ln ratio under a bivariate normal distribution of the two conditions, with
a profile-likelihood interval and a likelihood-ratio p-value.

Small samples. Without censoring the likelihood-ratio statistic of the mean difference is a function of the
paired t statistic, W = n ln(1 + t^2 / (n - 1)). That relation is turned round and used with censoring too:
t = sqrt((m - 1)(exp(W / m) - 1)) is referred to Student's t with m - 1 degrees of freedom, where m is the
number of pairs with at least one measured value (a pair that is censored in both conditions hardly informs
about the ratio, but stays in the likelihood). When the limits recede the result becomes the paired t test
exactly; chi-square quantiles would be too narrow at this n.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from exvivo.numerics.bivariate import FAR, PairTerms, score_half_known_pairs, score_known_pairs, score_unknown_pairs

Array = NDArray[np.float64]
FEWEST_MEASURED_PAIRS = 3  # fewer points lie on a line, and the likelihood has no maximum


class Covariance(StrEnum):
    """Shape of the covariance of a donor's two values."""

    UNSTRUCTURED = "unstructured"  # each condition has its own SD
    EXCHANGEABLE = "exchangeable"  # one SD: the random-intercept Tobit model, extended to negative correlation


# columns: mean difference, mean of the comparator, ln SD comparator, ln SD drug, atanh of the correlation
_FREE: dict[Covariance, Array] = {
    Covariance.UNSTRUCTURED: np.eye(5),
    Covariance.EXCHANGEABLE: np.array([[1.0, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1]]).T,
}


@dataclass(frozen=True, slots=True)
class CensoredFit:
    """Maximum likelihood of a censored paired comparison, on the scale of the bounds (ln).

    Attributes
    ----------
    estimate, se : mean of drug minus comparator, and its standard error from the observed information
    low, high : profile-likelihood limits at `level`; infinite where the likelihood sets none
    p, df : likelihood-ratio p-value (two-sided) after the small-sample relation to t, and its df
    likelihood_ratio : twice the ln likelihood ratio against "no difference"
    """

    estimate: float
    se: float
    low: float
    high: float
    level: float
    p: float
    df: int
    likelihood_ratio: float
    log_likelihood: float
    mean_drug: float
    mean_comparator: float
    sd_drug: float
    sd_comparator: float
    correlation: float


def estimate_censored_difference(drug: ArrayLike, comparator: ArrayLike) -> float:
    """Maximum likelihood estimate of the mean difference alone, as in `fit_censored_pairs` but without its inference."""
    pairs = _read_pairs(np.asarray(drug, dtype=np.float64), np.asarray(comparator, dtype=np.float64))
    free = _FREE[Covariance.UNSTRUCTURED]
    return float(_maximise(pairs, free, _start(pairs, free))[0]) * pairs.scale


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Bounds (n, 2) of both conditions, sorted into the three kinds of pair; scaled to be of order 1."""

    comparator: Array
    drug: Array
    known_comparator: NDArray[np.bool_]
    known_drug: NDArray[np.bool_]
    centre: float
    scale: float

    @property
    def informative(self) -> int:
        return int((self.known_comparator | self.known_drug).sum())


def fit_censored_pairs(
    drug: ArrayLike, comparator: ArrayLike, *, covariance: Covariance = Covariance.UNSTRUCTURED, level: float = 0.95
) -> CensoredFit:
    """Mean difference of two conditions of the same donors, some values known only within limits.

    Parameters
    ----------
    drug, comparator : shape (n_donors, 2), lower and upper bound of the ln value; equal = measured,
        ``(-inf, ln lloq)`` = below the limit, ``(ln uloq, inf)`` = above, two finite bounds = between
    covariance : whether both conditions share one SD
    level : of the profile-likelihood interval

    Raises
    ------
    ValueError : shapes differ, a bound is NaN, low > high, a value without any bound,
        fewer than three measured pairs, or measured pairs without variation

    Notes
    -----
    Reference: own likelihood in R with mvtnorm, and lmec, cases c14 and c32.
    """
    pairs = _read_pairs(np.asarray(drug, dtype=np.float64), np.asarray(comparator, dtype=np.float64))
    free = _FREE[covariance]
    best = _maximise(pairs, free, _start(pairs, free))
    df = pairs.informative - 1
    information = _information(pairs, free, best)
    tangent = np.asarray(-np.linalg.solve(information[1:, 1:], information[1:, 0]), dtype=np.float64)
    profile = partial(_profile, pairs, free, best, tangent)
    cutoff = (df + 1) * np.log1p(float(special.stdtrit(df, 0.5 + level / 2)) ** 2 / df)
    se = float(np.sqrt(np.linalg.inv(information)[0, 0]))
    low, high = (_limit(profile, float(best[0]), side * se, cutoff) for side in (-1.0, 1.0))
    ratio = profile(0.0)
    full, scale = free @ best, pairs.scale
    measured = int(pairs.known_comparator.sum() + pairs.known_drug.sum())
    return CensoredFit(
        estimate=float(full[0]) * scale,
        se=se * scale,
        low=low * scale,
        high=high * scale,
        level=level,
        p=min(1.0, 2 * float(special.stdtr(df, -_t_of_ratio(ratio, df)))),
        df=df,
        likelihood_ratio=ratio,
        log_likelihood=-_negative_log_likelihood(pairs, free, best)[0] - measured * float(np.log(scale)),
        mean_drug=float(full[0] + full[1]) * scale + pairs.centre,
        mean_comparator=float(full[1]) * scale + pairs.centre,
        sd_drug=float(np.exp(full[3])) * scale,
        sd_comparator=float(np.exp(full[2])) * scale,
        correlation=float(np.tanh(full[4])),
    )


def _read_pairs(drug: Array, comparator: Array) -> _Pairs:
    for name, bounds in (("drug", drug), ("comparator", comparator)):
        if bounds.ndim != 2 or bounds.shape[1] != 2 or bounds.shape != drug.shape:
            raise ValueError(f"{name}: bounds of shape (n_donors, 2) are needed for both conditions")
        if np.isnan(bounds).any() or (bounds[:, 0] > bounds[:, 1]).any() or np.isinf(bounds).all(axis=1).any():
            raise ValueError(f"{name}: a lower bound at or below its upper bound is needed, and at least one of them finite")
    known_drug, known_comparator = drug[:, 0] == drug[:, 1], comparator[:, 0] == comparator[:, 1]
    both = known_drug & known_comparator
    if both.sum() < FEWEST_MEASURED_PAIRS:
        raise ValueError(f"{int(both.sum())} pairs are measured in both conditions; at least {FEWEST_MEASURED_PAIRS} are needed")
    values = np.concatenate([drug[both, 0], comparator[both, 0]])
    scale = float(values.std())
    if scale == 0 or np.ptp(drug[both, 0] - comparator[both, 0]) <= 1e-9 * scale:
        raise ValueError("the measured pairs all have the same difference; no variance can be estimated")
    centre = float(values.mean())
    return _Pairs(
        comparator=(comparator - centre) / scale,
        drug=(drug - centre) / scale,
        known_comparator=known_comparator,
        known_drug=known_drug,
        centre=centre,
        scale=scale,
    )


def _start(pairs: _Pairs, free: Array) -> Array:
    """Moments after putting each censored value at its bound, or in the middle of two: only a place to begin."""

    def filled(bounds: Array) -> Array:
        low, high = bounds.T
        return np.asarray(np.where(np.isinf(low), high, np.where(np.isinf(high), low, 0.5 * (low + high))), dtype=np.float64)

    x, y = filled(pairs.comparator), filled(pairs.drug)
    correlation = float(np.clip(np.corrcoef(x, y)[0, 1] if min(x.std(), y.std()) > 0 else 0.0, -0.95, 0.95))
    sd = np.log(np.maximum([x.std(), y.std()], 0.05))
    moments = np.array([y.mean() - x.mean(), x.mean(), *sd, np.arctanh(correlation)])
    return np.asarray(np.linalg.lstsq(free, moments)[0], dtype=np.float64)


def _negative_log_likelihood(pairs: _Pairs, free: Array, parameters: Array) -> tuple[float, Array]:
    """Value and gradient by the free parameters."""
    difference, mean, log_sd_x, log_sd_y, z = free @ parameters
    sd_x, sd_y, rho = np.exp(log_sd_x), np.exp(log_sd_y), float(np.tanh(z))
    x = np.clip((pairs.comparator - mean) / sd_x, -FAR, FAR)
    y = np.clip((pairs.drug - mean - difference) / sd_y, -FAR, FAR)
    known_x, known_y = pairs.known_comparator, pairs.known_drug
    value = -known_x.sum() * log_sd_x - known_y.sum() * log_sd_y
    by_x, by_y, by_rho = np.zeros_like(x), np.zeros_like(y), 0.0
    for rows, terms, swapped in _terms(x, y, known_x, known_y, rho):
        value += float(terms.log_likelihood.sum())
        by_rho += float(terms.by_correlation.sum())
        by_x[rows], by_y[rows] = (terms.by_second, terms.by_first) if swapped else (terms.by_first, terms.by_second)
    by_mean_x, by_mean_y = -by_x.sum() / sd_x, -by_y.sum() / sd_y
    full = np.array(
        [
            by_mean_y,
            by_mean_x + by_mean_y,
            -(by_x * x).sum() - known_x.sum(),
            -(by_y * y).sum() - known_y.sum(),
            by_rho * (1 - rho**2),
        ]
    )
    return -float(value), -(free.T @ full)


def _terms(
    x: Array, y: Array, known_x: NDArray[np.bool_], known_y: NDArray[np.bool_], rho: float
) -> Iterator[tuple[NDArray[np.bool_], PairTerms, bool]]:
    """Rows of each kind of pair with their likelihood; the flag says that first and second were exchanged."""
    if (rows := known_x & known_y).any():
        yield rows, score_known_pairs(x[rows, 0], y[rows, 0], rho), False
    if (rows := known_x & ~known_y).any():
        yield rows, score_half_known_pairs(x[rows, 0], y[rows], rho), False
    if (rows := ~known_x & known_y).any():
        yield rows, score_half_known_pairs(y[rows, 0], x[rows], rho), True
    if (rows := ~(known_x | known_y)).any():
        yield rows, score_unknown_pairs(x[rows], y[rows], rho), False


def _maximise(pairs: _Pairs, free: Array, start: Array, *, fixed: float | None = None) -> Array:
    """Parameters of the maximum; `fixed` holds the mean difference."""
    limits = np.array([[-60.0, 60.0], [-60.0, 60.0], [-9.0, 4.0], [-9.0, 4.0], [-6.0, 6.0]])
    box = [(float(lo), float(hi)) for lo, hi in limits[np.argmax(free, axis=0)]]
    if fixed is not None:
        box[0] = (fixed, fixed)
        start = np.concatenate([[fixed], start[1:]])
    start = np.clip(start, *np.transpose(box))
    found = optimize.minimize(
        partial(_negative_log_likelihood, pairs, free),
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=box,
        options={"ftol": 1e-14, "gtol": 1e-8, "maxiter": 500},
    )
    return np.asarray(found.x, dtype=np.float64)


def _profile(pairs: _Pairs, free: Array, best: Array, tangent: Array, difference: float) -> float:
    """Twice the ln likelihood ratio of the maximum against a given mean difference.

    `tangent` is the direction in which the other parameters follow the mean difference near the maximum.
    """
    followed = best + np.concatenate([[1.0], tangent]) * (difference - best[0])
    loosened = np.concatenate([best[:-1], [0.5 * best[-1]]])  # a smaller correlation: out of the trap of pairs that lie on a line
    held = min(
        (_maximise(pairs, free, at, fixed=difference) for at in (followed, best, loosened)),
        key=lambda found: _negative_log_likelihood(pairs, free, found)[0],
    )
    top = _negative_log_likelihood(pairs, free, best)[0]
    return max(0.0, 2 * (_negative_log_likelihood(pairs, free, held)[0] - top))


def _t_of_ratio(ratio: float, df: int) -> float:
    return float(np.sqrt(df * np.expm1(ratio / (df + 1))))


def _limit(profile: Callable[[float], float], centre: float, step: float, cutoff: float) -> float:
    """Where the profile reaches the cutoff, going from the maximum in one direction."""
    inner, outer = centre, centre + 2 * step
    while profile(outer) < cutoff:
        if abs(outer - centre) > 60:
            return float(np.copysign(np.inf, step))
        inner, outer = outer, centre + 2 * (outer - centre)
    return float(optimize.brentq(lambda at: profile(at) - cutoff, inner, outer, xtol=1e-10, rtol=1e-10))


def _information(pairs: _Pairs, free: Array, best: Array) -> Array:
    """Observed information by central differences of the exact gradient."""
    size = best.size
    steps = 1e-5 * np.eye(size)
    rows = [
        (_negative_log_likelihood(pairs, free, best + step)[1] - _negative_log_likelihood(pairs, free, best - step)[1]) / 2e-5
        for step in steps
    ]
    matrix = np.array(rows)
    return 0.5 * (matrix + matrix.T)
