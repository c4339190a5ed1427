"""Normal regression of values that are known only within limits.

In: lower and upper bounds of every response (equal = measured, minus or plus infinity = no bound on that
side) and any design matrix. Out: maximum likelihood with the observed information of the coefficients and the
ln scale, and for one contrast the profile-likelihood interval. On ln concentrations this is the lognormal model.

Two ways to read the fit. `z_test` is that of the survival packages: normal quantiles, right in large samples.
`profile` refers the likelihood-ratio statistic W to Student's t, t = sqrt(d (exp(W / m) - 1)), m the number of
measured values and d = m less the number of coefficients: without censoring that is the t test of the linear
model exactly. In small samples the first may be too narrow: two arms of five, 30 % below a limit, 400 simulations, z rejects a
true null in 8.0 % (Monte-Carlo error 1.1) and covers in 92.0 %, the profile in 3.5 % and 96.5 %; with arms of eight and
40 % below it (300 simulations) 4.7 and 3.3 %.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from exvivo.numerics.ascent import Climb, Rows, climb, look
from exvivo.numerics.bivariate import FAR, LOG_2PI, log_interval_probability
from exvivo.numerics.inference import Estimate, JointTest, infer_f

Array = NDArray[np.float64]
FARTHEST = 1e3  # a profile limit farther than this many standard errors is none


@dataclass(frozen=True, slots=True)
class TobitFit:
    """Coefficients (p,), residual SD, covariance (p + 1, p + 1) of the coefficients and ln SD, log-likelihood."""

    coefficients: Array
    scale: float
    covariance: Array
    log_likelihood: float
    measured: int
    low: Array
    high: Array
    design: Array

    @property
    def se(self) -> Array:
        """Standard errors of the coefficients and, last, of the ln scale."""
        return np.asarray(np.sqrt(np.diag(self.covariance)), dtype=np.float64)

    def z_test(self, weights: ArrayLike, *, level: float = 0.95) -> Estimate:
        """Wald inference with normal quantiles for a weighted sum of the coefficients; weights (p,)."""
        w = np.append(np.asarray(weights, dtype=np.float64), 0.0)
        estimate, se = float(w[:-1] @ self.coefficients), float(np.sqrt(w @ self.covariance @ w))
        half, z = float(special.ndtri(0.5 + level / 2)) * se, estimate / se
        return Estimate(estimate, se, np.inf, z, 2 * float(special.ndtr(-abs(z))), estimate - half, estimate + half, level)

    def profile(self, weights: ArrayLike, *, level: float = 0.95) -> Estimate:
        """Profile-likelihood interval and likelihood-ratio p-value of a weighted sum of the coefficients, referred to t."""
        w = np.asarray(weights, dtype=np.float64)
        wald, df = self.z_test(w, level=level), self.measured - len(w)
        if df < 1:
            raise ValueError(f"{self.measured} measured values do not leave a degree of freedom beside {len(w)} coefficients")
        cutoff = self.measured * np.log1p(float(special.stdtrit(df, 0.5 + level / 2)) ** 2 / df)

        def ratio(value: float) -> float:
            return max(0.0, 2 * (self.log_likelihood - self._held(w, value)))

        low, high = (_limit(ratio, wald.estimate, side * wald.se, cutoff) for side in (-1.0, 1.0))
        t = float(np.copysign(np.sqrt(df * np.expm1(ratio(0.0) / self.measured)), wald.estimate))
        return Estimate(wald.estimate, wald.se, df, t, min(1.0, 2 * float(special.stdtr(df, -abs(t)))), low, high, level)

    def _held(self, weights: Array, value: float) -> float:
        """Highest log-likelihood with the weighted sum at a value."""
        along = weights * value / (weights @ weights)
        basis = np.linalg.svd(weights[None])[2][1:].T
        shift = self.design @ along
        return _maximise(self.low - shift, self.high - shift, self.design @ basis).log_likelihood


def fit_tobit(low: ArrayLike, high: ArrayLike, design: ArrayLike) -> TobitFit:
    """Maximum likelihood of a normal linear model for responses with limits.

    Parameters
    ----------
    low, high : shape (n,), bounds of every response; equal = measured, infinite = no bound on that side
    design : shape (n, p), of full column rank

    Raises
    ------
    ValueError : shapes differ, a bound is NaN, low > high, a response without any bound, columns that depend on each other,
        no measured value, or measured values without variation about the model

    Notes
    -----
    Reference: R ``survival::survreg`` on ``Surv(type = "interval2")``, SAS LIFEREG; cases c13 and x01.
    """
    return _maximise(*check_responses(low, high, design))


def check_responses(low: ArrayLike, high: ArrayLike, design: ArrayLike) -> tuple[Array, Array, Array]:
    """Bounds (n,) and design (n, p) as arrays, if a normal model can be fitted to them.

    Raises
    ------
    ValueError : as in `fit_tobit`
    """
    lower, upper, X = (np.asarray(values, dtype=np.float64) for values in (low, high, design))
    if X.ndim != 2 or lower.shape != upper.shape or lower.shape != X.shape[:1]:
        raise ValueError("bounds of shape (n,) and a design of shape (n, p) are needed")
    if np.isnan(lower).any() or np.isnan(upper).any() or (lower > upper).any() or (np.isinf(lower) & np.isinf(upper)).any():
        raise ValueError("a lower bound at or below its upper bound is needed, and at least one of them finite")
    if np.linalg.matrix_rank(X) < X.shape[1]:
        raise ValueError("the columns of the design depend on each other")
    known = lower == upper
    if not known.any():
        raise ValueError("no response is measured")
    left = lower[known] - X[known] @ np.linalg.lstsq(X[known], lower[known])[0]
    if np.abs(left).max() <= 1e-10 * np.abs(lower[known]).max(initial=1e-300):
        raise ValueError("the measured responses lie on the model exactly; no variance can be estimated")
    return lower, upper, X


def compare_nested(full: TobitFit, reduced: TobitFit) -> JointTest:
    """Likelihood ratio of two nested fits, referred to F.

    Notes
    -----
    F = (d / q) (exp(W / m) - 1), with m measured values, q coefficients that the reduced fit lacks, and d = m less the
    coefficients of the full one: without censoring the F test of the linear model.
    """
    q, d = len(full.coefficients) - len(reduced.coefficients), full.measured - len(full.coefficients)
    if d < 1:
        raise ValueError(f"{full.measured} measured values do not leave a degree of freedom")
    w = max(0.0, 2 * (full.log_likelihood - reduced.log_likelihood))
    return infer_f(float(np.expm1(w / full.measured)) * d / q, q, d)


@dataclass(frozen=True, slots=True)
class _Responses:
    """Standardised bounds (n, 2), which are known (n,), orthogonal design (n, p)."""

    bounds: Array
    known: NDArray[np.bool_]
    design: Array

    def score(self, _rows: Rows, parameters: Array) -> tuple[Array, Array]:
        """Log-likelihood (r,) and gradient (r, p + 1) by coefficients and ln SD."""
        mean, log_sd = parameters[:, :-1] @ self.design.T, parameters[:, -1]
        sd, known = np.exp(log_sd)[:, None], self.known
        z = np.clip((self.bounds - mean[:, :, None]) / sd[:, :, None], -FAR, FAR)
        measured, left, right = z[:, known, 0], z[:, ~known, 0], z[:, ~known, 1]
        log_p = log_interval_probability(left.ravel(), right.ravel()).reshape(left.shape)
        weight_left, weight_right = (np.exp(np.minimum(-0.5 * (at**2 + LOG_2PI) - log_p, 100.0)) for at in (left, right))
        by_mean = np.empty_like(mean)
        by_mean[:, known], by_mean[:, ~known] = measured, weight_left - weight_right
        by_log_sd = (measured**2 - 1).sum(axis=1) + (weight_left * left - weight_right * right).sum(axis=1)
        value = -0.5 * (measured**2 + LOG_2PI).sum(axis=1) - known.sum() * log_sd + log_p.sum(axis=1)
        return value, np.column_stack([by_mean / sd @ self.design, by_log_sd])


def _maximise(low: Array, high: Array, X: Array) -> TobitFit:
    """The fit, found on orthogonal columns and responses of order one."""
    count, size = X.shape
    Q, R = np.linalg.qr(X)
    Q, R = Q * np.sqrt(count), R / np.sqrt(count)
    filled = 0.5 * (np.where(np.isinf(low), high, low) + np.where(np.isinf(high), low, high))
    first = Q.T @ filled / count
    unit = max(float(np.std(filled - Q @ first)), 1e-12 * float(np.abs(filled).max()))
    known = low == high
    responses = _Responses(np.column_stack([low, high]) / unit, known, Q)
    box = np.array([[-np.inf] * size + [-12.0], [np.inf] * size + [12.0]])
    row = np.zeros(1, dtype=np.intp)
    top = climb(responses.score, row, np.append(first / unit, 0.0)[None], Climb(box))
    information = look(responses.score, row, top.at, central=True).curvature[0]
    back = np.eye(size + 1)
    back[:size, :size] = np.linalg.inv(R) * unit
    return TobitFit(
        coefficients=back[:size, :size] @ top.at[0, :size],
        scale=float(np.exp(top.at[0, size])) * unit,
        covariance=back @ np.linalg.inv(information) @ back.T,
        log_likelihood=float(top.value[0]) - int(known.sum()) * float(np.log(unit)),
        measured=int(known.sum()),
        low=low,
        high=high,
        design=X,
    )


def _limit(ratio: Callable[[float], float], centre: float, step: float, cutoff: float) -> float:
    """Where the profile reaches the cutoff, going from the maximum in one direction."""
    inner, outer = centre, centre + 2 * step
    while ratio(outer) < cutoff:
        if abs(outer - centre) > FARTHEST * abs(step):
            return float(np.copysign(np.inf, step))
        inner, outer = outer, centre + 2 * (outer - centre)
    wanted = np.sqrt(cutoff)  # the root of the ratio is nearly straight
    return float(optimize.brentq(lambda at: np.sqrt(ratio(at)) - wanted, inner, outer, xtol=1e-10 * abs(step)))
