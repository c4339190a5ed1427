"""Linear model with a donor intercept for values that are known only within limits, any number of values per donor.

In: bounds of every ln value, a design matrix, the donor of every value. Out: maximum likelihood, or restricted maximum
likelihood, of coefficients, residual SD and donor SD. Every value may have limits of its own (plate-wise limits), and
donors may have unequal numbers of wells in each condition.

The donor's effect is integrated out: adaptive Gauss-Hermite quadrature around the mode of each donor's integrand,
`POINTS` points. The measured values make a normal density of the effect together with its distribution; only the
limits are left to the quadrature, so a donor without limits is exact with any number of points.

Restricted likelihood in a censored model: the profile likelihood of the two SDs less half the ln determinant of the
information of the coefficients (Cox and Reid 1987, JRSS B 49:1). Without censoring that is REML exactly.

Source of the model: Hughes 1999, Biometrics 55:625; Vaida and Liu 2009, J Comput Graph Stat 18:797.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize

from exvivo.numerics.ascent import Climb, Rows, Summit, climb, look
from exvivo.numerics.bivariate import FAR, LOG_2PI, log_interval_probability
from exvivo.numerics.tobit import check_responses

Array = NDArray[np.float64]
POINTS = 40
MOST_MODE_STEPS = 40
_NODES, _WEIGHTS = np.polynomial.hermite.hermgauss(POINTS)
_LOG_WEIGHTS = np.log(_WEIGHTS) + _NODES**2


@dataclass(frozen=True, slots=True)
class CensoredMixedFit:
    """Coefficients (p,) with their covariance (p, p), residual SD, SD of the donor intercept, log-likelihood, whether restricted."""

    coefficients: Array
    covariance: Array
    residual_sd: float
    donor_sd: float
    log_likelihood: float
    restricted: bool

    @property
    def se(self) -> Array:
        """Standard errors of the coefficients."""
        return np.asarray(np.sqrt(np.diag(self.covariance)), dtype=np.float64)


def fit_censored_mixed(
    low: ArrayLike, high: ArrayLike, design: ArrayLike, donors: Sequence[Hashable], *, restricted: bool = False
) -> CensoredMixedFit:
    """Random-intercept model of values with limits.

    Parameters
    ----------
    low, high : shape (n,), bounds of every ln value; equal = measured, infinite = no bound on that side
    design : shape (n, p), of full column rank
    donors : n labels
    restricted : restricted instead of full maximum likelihood

    Raises
    ------
    ValueError : as in `fit_tobit`, or labels of another number

    Notes
    -----
    The standard errors come from the observed information of all parameters; with `restricted` from that of the
    coefficients at the SDs found. Reference: cases c14 and c32 (exact bivariate likelihood and integration in R, lmec 1.0),
    and without censoring lme4.
    """
    lower, upper, X = check_responses(low, high, design)
    if len(donors) != len(lower):
        raise ValueError(f"{len(donors)} donors for {len(lower)} values; one for each is needed")
    values = _arrange(lower, upper, X, donors)
    return _report(values, _restrict(values) if restricted else _maximise(values), restricted=restricted)


@dataclass(frozen=True, slots=True)
class _Values:
    """One row per donor: sums of its measured values, and its limits in as many columns as the fullest donor needs.

    Attributes
    ----------
    bounds, design : limits (d, k, 2), without any where a donor has fewer, and their rows of the orthogonal design (d, k, p)
    y, X, member : the measured values (m,), their rows (m, p) and donors (m,)
    count : measured values of each donor (d,)
    back : from coefficients of the orthogonal design to those asked for (p, p)
    unit : of the responses
    """

    bounds: Array
    design: Array
    y: Array
    X: Array
    member: NDArray[np.intp]
    count: Array
    back: Array
    unit: float
    start: Array

    def score(self, _rows: Rows, parameters: Array) -> tuple[Array, Array]:
        """Log-likelihood and gradient of each of some parameters (r, p + 2): coefficients, ln residual SD, ln donor SD."""
        found = [self._score_one(row) for row in parameters]
        return np.array([value for value, _ in found]), np.array([gradient for _, gradient in found])

    def _score_one(self, parameters: Array) -> tuple[float, Array]:
        """By the identity of Fisher: the gradient is the mean of the complete-data gradient over the donor's effect."""
        beta, sd, tau = parameters[:-2], float(np.exp(parameters[-2])), float(np.exp(parameters[-1]))
        left, donors = self.y - self.X @ beta, len(self.count)
        total = np.bincount(self.member, left, donors)
        squares = np.bincount(self.member, left**2, donors)
        mean = self.design @ beta
        mode, width = self._find_mode(np.asarray(total, dtype=np.float64), mean, sd, tau)
        effect = mode[:, None] + np.sqrt(2) * width[:, None] * _NODES
        z = np.clip((self.bounds[:, None] - mean[:, None, :, None] - effect[:, :, None, None]) / sd, -FAR, FAR)
        log_p = log_interval_probability(z[..., 0].ravel(), z[..., 1].ravel()).reshape(z.shape[:-1])
        fixed = -0.5 * (self.count * LOG_2PI + LOG_2PI) - self.count * np.log(sd) - np.log(tau)
        misfit = squares[:, None] - 2 * effect * total[:, None] + self.count[:, None] * effect**2
        joint = fixed[:, None] - 0.5 * misfit / sd**2 - 0.5 * (effect / tau) ** 2 + log_p.sum(axis=2) + _LOG_WEIGHTS
        most = joint.max(axis=1)
        share = np.exp(joint - most[:, None])
        mass = share.sum(axis=1)
        share /= mass[:, None]
        slope = np.exp(np.minimum(-0.5 * (z**2 + LOG_2PI) - log_p[..., None], 100.0)) * (-1.0, 1.0)
        by_mean = -(slope.sum(axis=3) * share[:, :, None]).sum(axis=1) / sd
        average = (share * effect).sum(axis=1)
        by_beta = np.einsum("dk,dkp->p", by_mean, self.design) + self.X.T @ (left - average[self.member]) / sd**2
        by_sd = (share * misfit).sum() / sd**2 - self.count.sum() - ((slope * z).sum(axis=(2, 3)) * share).sum()
        by_tau = (share * effect**2).sum() / tau**2 - donors
        value = float((np.log(mass) + most + np.log(np.sqrt(2) * width)).sum())
        return value, np.concatenate([by_beta, [by_sd, by_tau]])

    def _find_mode(self, total: Array, mean: Array, sd: float, tau: float) -> tuple[Array, Array]:
        """Mode (d,) of each donor's integrand, which is log-concave, and the SD of the normal that touches it there."""
        precision = self.count / sd**2 + 1 / tau**2
        at = total / sd**2 / precision
        curvature = precision
        for _ in range(MOST_MODE_STEPS):
            z = np.clip((self.bounds - mean[:, :, None] - at[:, None, None]) / sd, -FAR, FAR)
            log_p = log_interval_probability(z[..., 0].ravel(), z[..., 1].ravel()).reshape(mean.shape)
            slope = np.exp(np.minimum(-0.5 * (z**2 + LOG_2PI) - log_p[..., None], 100.0)) * (-1.0, 1.0)
            gradient = total / sd**2 - precision * at - slope.sum(axis=(1, 2)) / sd
            bend = (slope * z).sum(axis=2) + slope.sum(axis=2) ** 2
            curvature = precision + np.maximum(bend, 0.0).sum(axis=1) / sd**2
            step = gradient / curvature
            at = at + step
            if np.abs(step).max() < 1e-10 * tau:
                break
        return at, 1 / np.sqrt(curvature)


def _arrange(low: Array, high: Array, X: Array, donors: Sequence[Hashable]) -> _Values:
    count, size = X.shape
    Q, R = np.linalg.qr(X)
    Q, back = Q * np.sqrt(count), np.linalg.inv(R) * np.sqrt(count)
    filled = 0.5 * (np.where(np.isinf(low), high, low) + np.where(np.isinf(high), low, high))
    first = Q.T @ filled / count
    unit = float(np.std(filled - Q @ first))
    place = {donor: i for i, donor in enumerate(dict.fromkeys(donors))}
    member = np.array([place[donor] for donor in donors])
    known = low == high
    widest = int(np.bincount(member[~known], minlength=1).max())
    bounds = np.tile([-np.inf, np.inf], (len(place), widest, 1))
    design = np.zeros((len(place), widest, size))
    for i in range(len(place)):
        at = np.flatnonzero((member == i) & ~known)
        bounds[i, : len(at)] = np.column_stack([low[at], high[at]]) / unit
        design[i, : len(at)] = Q[at]
    return _Values(
        bounds=bounds,
        design=design,
        y=low[known] / unit,
        X=Q[known],
        member=member[known],
        count=np.bincount(member[known], minlength=len(place)).astype(np.float64),
        back=back * unit,
        unit=unit,
        start=np.concatenate([first / unit, np.log([0.5, 0.7])]),
    )


def _box(values: _Values) -> Array:
    size = len(values.start) - 2
    return np.array([[-np.inf] * size + [-9.0, -9.0], [np.inf] * size + [4.0, 4.0]])


def _maximise(values: _Values) -> Summit:
    row = np.zeros(1, dtype=np.intp)
    top = climb(values.score, row, values.start[None], Climb(_box(values)))
    return look(values.score, row, top.at, central=True)


def _restrict(values: _Values) -> Summit:
    """Coefficients at the SDs where the restricted likelihood is highest; their curvature is exact, that of the SDs is not used."""
    row, size = np.zeros(1, dtype=np.intp), len(values.start) - 2
    held = Climb(_box(values), held=(size, size + 1))
    begin = _maximise(values).at[0]

    def summit(sds: Array) -> Summit:
        top = climb(values.score, row, np.concatenate([begin[:size], sds])[None], held)
        return look(values.score, row, top.at, central=True)

    def depth(sds: Array) -> float:
        top = summit(sds)
        return 0.5 * float(np.linalg.slogdet(top.curvature[0, :size, :size])[1]) - float(top.value[0])

    found = optimize.minimize(depth, begin[size:], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-10, "maxiter": 400})
    return summit(np.asarray(found.x, dtype=np.float64))


def _report(values: _Values, top: Summit, *, restricted: bool) -> CensoredMixedFit:
    size, at = len(values.start) - 2, top.at[0]
    curvature = top.curvature[0]
    inner = curvature[:size, :size] if restricted else curvature
    covariance = np.linalg.inv(inner)[:size, :size]
    sd, tau = np.exp(at[size:]) * values.unit
    measured = len(values.y)
    height = float(top.value[0]) - measured * float(np.log(values.unit))
    if restricted:
        natural = np.linalg.inv(values.back @ np.linalg.inv(curvature[:size, :size]) @ values.back.T)
        height += 0.5 * size * float(np.log(2 * np.pi)) - 0.5 * float(np.linalg.slogdet(natural)[1])
    return CensoredMixedFit(values.back @ at[:size], values.back @ covariance @ values.back.T, float(sd), float(tau), height, restricted)
