"""How much replicate readings scatter, as a function of their mean.

Residuals of standard wells flow in, a :class:`VarianceFunction` flows out. A reader adds a
constant noise and pipetting adds a noise proportional to the signal, so the variance of one
reading is ``sigma0**2 + (kappa * mean)**2``. One plate of duplicates hardly identifies the
two terms, so they are estimated from all plates of an analyte together, by restricted
maximum likelihood on the linearised curves: each plate pays for its own four curve
parameters, which plain maximum likelihood forgets.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

Array = npt.NDArray[np.float64]

# A reader prints three decimals on a scale of about three: less scatter than this is rounding.
SMALLEST_SIGMA0 = 1e-4
SMALLEST_KAPPA = 1e-4
LARGEST_KAPPA = 2.0


@dataclass(frozen=True, slots=True)
class VarianceFunction:
    """Variance of one reading: ``sigma0**2 + linear * |mean| + (kappa * mean)**2``.

    Parameters
    ----------
    sigma0 : standard deviation at signal zero, signal units
    kappa : coefficient of variation at large signals
    df : residual degrees of freedom that the estimate rests on; inf = known
    linear : used only for the vendors' weighting 1/y
    log_covariance : variance of ln sigma0, covariance, variance of ln kappa; zeros: the two were not told apart by an estimate

    Examples
    --------
    >>> float(VarianceFunction(sigma0=0.3, kappa=0.1, df=12).at(4.0))
    0.25
    """

    sigma0: float
    kappa: float
    df: float
    linear: float = 0.0
    log_covariance: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def at(self, mean: npt.ArrayLike) -> Array:
        """Variance of one reading whose mean is ``mean``, any shape."""
        mu = np.abs(np.asarray(mean, dtype=np.float64))
        return np.asarray(self.sigma0**2 + self.linear * mu + (self.kappa * mu) ** 2)

    def df_at(self, mean: npt.ArrayLike) -> Array:
        """Degrees of freedom of the variance at ``mean``, any shape; see :func:`effective_df`."""
        size = np.asarray(mean, dtype=np.float64)
        of = (self.sigma0**2, self.linear, self.kappa**2, self.df, *self.log_covariance)
        return effective_df(size, *(np.full(size.shape, term) for term in of))


def effective_df(mean: Array, constant: Array, linear: Array, quadratic: Array, *rest: Array) -> Array:
    """Degrees of freedom of ``constant + linear |mean| + quadratic mean**2``, all of one shape.

    Near zero the variance rests on the few wells that read low, far up on those that read high: ``2 v**2 / var(v)`` with the
    delta method (Satterthwaite 1946, Biometrics Bulletin 2:110), at least 2.5 and at most all there are.

    Parameters
    ----------
    mean, constant, linear, quadratic : where, and the terms of the variance
    rest : all degrees of freedom, then variance of ln sigma0, covariance, and variance of ln kappa
    """
    df, of_sigma, of_both, of_kappa = rest
    by_sigma, by_kappa = 2 * constant, 2 * quadratic * mean**2
    spread = by_sigma**2 * of_sigma + 2 * by_sigma * by_kappa * of_both + by_kappa**2 * of_kappa
    v = constant + linear * np.abs(mean) + quadratic * mean**2
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(spread > 0, 2 * v**2 / spread, np.inf)
    return np.asarray(np.minimum(np.maximum(found, _FEWEST_DF), df))


_FEWEST_DF = 2.5


@dataclass(frozen=True, slots=True, eq=False)
class LinearisedPlates:
    """Curves near their fit. ``residual``, ``mean``, ``mask``: (n_plates, n_wells); ``jacobian``: (n_plates, n_wells, n_parameters).

    ``precision`` and ``off``, (n_plates,): what is known of the last parameter, and how far the fit is from its mean; None = nothing.
    """

    residual: Array
    mean: Array
    jacobian: Array
    mask: npt.NDArray[np.bool_]
    precision: Array | None = None
    off: Array | None = None


def restricted_deviance(variance: VarianceFunction, plates: LinearisedPlates) -> float:
    """Minus twice the restricted log likelihood, without its constant.

    ``sum(log v) + r' V^-1 r + log|X' V^-1 X|`` per plate, with r the generalised least-squares
    residual at V (Patterson and Thompson 1971, Biometrika 58:545). A parameter of which something is known is a random effect.
    """
    v = variance.at(plates.mean)
    weight = plates.mask / v
    norm = np.sqrt(np.einsum("pni,pni->pi", plates.jacobian, plates.jacobian * plates.mask[..., None]))
    design = plates.jacobian / np.where(norm > 0, norm, 1.0)[:, None, :]
    weighted = design * weight[..., None]
    information = np.einsum("pni,pnj->pij", weighted, design)
    diagonal = np.einsum("pii->pi", information)
    absent = norm <= 0
    information = information + np.einsum("pi,ij->pij", np.where(absent, 1.0, 1e-9 * diagonal), np.eye(design.shape[2]))
    right = np.einsum("pni,pn->pi", weighted, plates.residual)
    scale = np.where(norm[:, -1] > 0, norm[:, -1], 1.0)
    if plates.precision is not None and plates.off is not None:
        information[:, -1, -1] += plates.precision / scale**2
        right[:, -1] -= plates.precision * plates.off / scale
    shift = np.linalg.solve(information, right[..., None])[..., 0]
    residual = plates.residual - np.einsum("pni,pi->pn", design, shift)
    known = 0.0
    if plates.precision is not None and plates.off is not None:
        known = float(np.sum(plates.precision * (plates.off + shift[:, -1] / scale) ** 2))
    log_det = np.linalg.slogdet(information)[1]
    return float(np.sum(plates.mask * np.log(v)) + np.sum(weight * residual**2) + np.sum(log_det)) + known


def estimate_restricted(plates: LinearisedPlates, scale: float, df: float, start: VarianceFunction | None = None) -> VarianceFunction:
    """Variance function that maximises the restricted likelihood over all plates.

    Parameters
    ----------
    plates : linearised curves of one analyte
    scale : typical span of the signals, which sets the floor of ``sigma0``
    df : residual degrees of freedom to record
    start : where to begin; a grid is searched without it
    """
    low = np.log([SMALLEST_SIGMA0 * scale, SMALLEST_KAPPA])
    high = np.log([scale, LARGEST_KAPPA])

    def deviance(log_terms: Array) -> float:
        sigma0, kappa = np.exp(log_terms)
        return restricted_deviance(VarianceFunction(float(sigma0), float(kappa), df), plates)

    if start is None:
        grid = [np.array([s, k]) for s in np.linspace(low[0], high[0], 7) for k in np.linspace(low[1], high[1], 7)]
        first = min(grid, key=deviance)
    else:
        first = np.clip(np.log([max(start.sigma0, 1e-300), max(start.kappa, 1e-300)]), low, high)
    simplex = np.clip(first + np.array([[0.0, 0.0], [0.4, 0.0], [0.0, 0.4]]), low, high)
    simplex[1, 0] -= 0.8 * (simplex[1, 0] == first[0])
    simplex[2, 1] -= 0.8 * (simplex[2, 1] == first[1])
    best = minimize(
        deviance,
        first,
        method="Nelder-Mead",
        bounds=list(zip(low, high, strict=True)),
        options={"xatol": 1e-5, "fatol": 1e-6, "initial_simplex": simplex, "maxiter": 400},
    ).x
    sigma0, kappa = np.exp(best)
    return VarianceFunction(float(sigma0), float(kappa), df, log_covariance=_invert_curvature(deviance, best))


def _invert_curvature(deviance: Callable[[Array], float], best: Array) -> tuple[float, float, float]:
    """Covariance of the log terms: inverse of half the deviance's second differences; a term that the data do not see is held."""
    step = _STEP * np.eye(2)
    here, up, down = deviance(best), [deviance(best + h) for h in step], [deviance(best - h) for h in step]
    bend = [max((u - 2 * here + d) / (2 * _STEP**2), 0.0) for u, d in zip(up, down, strict=True)]
    cross = (deviance(best + step[0] + step[1]) - up[0] - up[1] + here) / (2 * _STEP**2)
    det = bend[0] * bend[1] - cross**2
    if det > _FLAT * bend[0] * bend[1]:
        return bend[1] / det, -cross / det, bend[0] / det
    alone = [1 / b if b > 0 else 0.0 for b in bend]
    return alone[0], 0.0, alone[1]


_STEP, _FLAT = 0.05, 1e-3
