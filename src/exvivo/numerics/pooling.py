"""What the plates of one analyte tell about each other: the variance of a reading, each plate's share in it, the curve's asymmetry.

Standards of all plates flow in, their curves flow out. One plate of duplicates hardly identifies a variance function or an
asymmetry; both belong to the kit and the reader more than to the plate.

*Variance.* sigma0 and kappa are estimated from all plates, in turn with their curves. How much a plate scatters beside the others
is then a factor of its own, drawn towards 1 as far as the plates resemble each other: empirical Bayes on the residual
variances (Smyth 2004, Stat Appl Genet Mol Biol 3:3). Plates alike: the factor is common and has all degrees of freedom. Plates unlike: each
keeps its own.

*Asymmetry.* log g of a plate is normal around that of the analyte, SD 0.25; that of the analyte is normal around 0, SD 1. So for
each plate its neighbours say what log g to expect, and how surely; a neighbour that scatters far more than the others says nothing.

*Four or five parameters.* Under ``auto`` the five-parameter curve is taken when its AICc over all plates of the analyte is smaller by
more than 4 (Burnham and Anderson 2002, section 2.6: the other model then has considerably less support), with the effective number of
asymmetries as parameters.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri, digamma, fdtrc, polygamma

from exvivo.numerics.curves import Curve, Weighting, fit_curves
from exvivo.numerics.least_squares import TINY, Asymmetry, Branch, Family, Plates, Shape, Standards
from exvivo.numerics.logistic import jacobian, value
from exvivo.numerics.variance import Array, LinearisedPlates, VarianceFunction, estimate_restricted

ASYMMETRY_SD, PLATE_SD = 1.0, 0.25
SUPPORT = 4.0
_ODD_PLATE = 1e-5  # a plate that scatters this improbably keeps its own variance
_FEWEST_TO_COMPARE = 3
_ROUNDS = 12


class Model(StrEnum):
    """Which curve an analyte gets; ``auto`` lets the plates choose between four and five parameters."""

    FOUR = "4PL"
    FIVE = "5PL"
    POWER_LAW = "log-log"
    AUTO = "auto"


@dataclass(frozen=True, slots=True)
class PooledFit:
    """Curves of one analyte, in the order of the plates, and the variance function pooled over them.

    ``pooled`` tells which plates it is pooled over: the others scatter far more, and keep their own.
    """

    curves: tuple[Curve, ...]
    variance: VarianceFunction
    pooled: tuple[bool, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Squeezed:
    """Residual variances drawn towards a common one. ``variance``: (n,); ``df``: prior plus own degrees of freedom, (n,)."""

    variance: Array
    df: Array
    prior_variance: float
    prior_df: float


BRANCHES = (Branch.A, Branch.D)


def fit_pooled(
    standards: Sequence[Standards],
    weighting: Weighting = Weighting.FITTED,
    model: Model = Model.FOUR,
    branches: tuple[Branch, ...] = BRANCHES,
) -> PooledFit:
    """Curves of all plates of one analyte with the variance function pooled over them.

    Under weighting ``fitted`` curves and variance are estimated in turn until both stand
    still. A plate whose standards scatter far more than the others' (two exchanged standards,
    a wrong dilution) would spoil the function for all of them: it is left out of the pool, and
    its own curve gets the pooled function scaled up to its own scatter. Under the vendors'
    weightings each curve keeps the scatter of its own plate, the asymmetry is left to the data, and the pooled function is reported
    beside them.

    Raises
    ------
    ValueError : no plate, or a plate with no more wells than the curve has parameters

    Notes
    -----
    Reference tests: tests/reference/numerics/test_pooling.py (R limma); coverage in benchmarks/assay_coverage.py.
    """
    if not standards:
        raise ValueError("a pooled fit needs at least one plate")
    if model is not Model.AUTO:
        return _fit_family(standards, weighting, Family(model.value), branches)
    four = _fit_family(standards, weighting, Family.FOUR, branches)
    if min(plate.signal.size for plate in standards) <= 5 or min(np.unique(plate.log_conc).size for plate in standards) <= 5:
        return four
    five = _fit_family(standards, weighting, Family.FIVE, branches)
    return five if _criterion(standards, five, weighting) < _criterion(standards, four, weighting) - SUPPORT else four


def estimate_variance(standards: Sequence[Standards], curves: Sequence[Curve], start: VarianceFunction | None = None) -> VarianceFunction:
    """Variance function of one analyte, pooled over its plates by restricted maximum likelihood on the fitted means.

    Parameters
    ----------
    standards, curves : the same plates in the same order
    start : a previous estimate, to save time
    """
    return _estimate_variance(standards, curves, None, start)


def squeeze_variances(variance: npt.ArrayLike, df: npt.ArrayLike) -> Squeezed:
    """Residual variances drawn towards their common value, as far as chance explains their differences.

    Parameters
    ----------
    variance, df : (n,), residual variances and their degrees of freedom, all positive

    Notes
    -----
    Moments of log variances, Smyth 2004, section 6.2. Reference test: R limma ``squeezeVar``.
    """
    s2, d = np.asarray(variance, dtype=np.float64), np.asarray(df, dtype=np.float64)
    if s2.size == 1:
        return Squeezed(s2, d, float(s2[0]), 0.0)
    z = np.log(s2) - digamma(d / 2) + np.log(d / 2)
    centre = float(np.mean(z))
    excess = float(np.sum((z - centre) ** 2) / (s2.size - 1) - np.mean(polygamma(1, d / 2)))
    if excess <= 0:
        common = float(np.mean(s2))
        return Squeezed(np.full_like(s2, common), np.full_like(d, np.inf), common, np.inf)
    prior_df = 2 * _inverse_trigamma(excess)
    prior = float(np.exp(centre + digamma(prior_df / 2) - np.log(prior_df / 2)))
    return Squeezed((prior_df * prior + d * s2) / (prior_df + d), prior_df + d, prior, prior_df)


def _inverse_trigamma(x: float) -> float:
    """Solution y of trigamma(y) = x by Newton on 1 / trigamma, which is nearly straight (Smyth 2004, appendix)."""
    y = 0.5 + 1 / x
    for _ in range(50):
        here = float(polygamma(1, y))
        move = here * (1 - here / x) / float(polygamma(2, y))
        y += move
        if -move / y < 1e-14:
            break
    return y


# ------------------------------------------------------------------------------------------------- curves and variance


@dataclass(frozen=True, slots=True)
class _Fitted:
    """Curves, the pooled variance, and what each plate's neighbours said of its asymmetry."""

    curves: tuple[Curve, ...]
    variance: VarianceFunction
    asymmetry: Asymmetry | None


def _fit_family(standards: Sequence[Standards], weighting: Weighting, family: Family, branches: tuple[Branch, ...]) -> PooledFit:
    if weighting is not Weighting.FITTED:
        curves = fit_curves(standards, weighting, shape=Shape(family, branches=branches))
        return PooledFit(curves, estimate_variance(standards, curves), (True,) * len(curves))
    if family is not Family.FIVE:
        return _fit_shape(standards, Shape(family))
    # the branch belongs to the kit: one for all plates, so that their asymmetries can be compared
    fits = [_fit_shape(standards, Shape(family, branches=(branch,))) for branch in branches]
    return min(fits, key=lambda fit: _deviance(standards, fit))


def _fit_shape(standards: Sequence[Standards], shape: Shape) -> PooledFit:
    scale = float(np.median([np.ptp(plate.signal) for plate in standards]))
    start = VarianceFunction(0.005 * max(scale, TINY), 0.05, np.inf)
    pooled = np.ones(len(standards), dtype=np.bool_)
    for _ in range(5):
        fit = _alternate(standards, shape, pooled, start)
        agrees = _agree(fit.curves)
        if np.array_equal(agrees, pooled):
            break
        pooled, start = agrees, fit.variance
    return PooledFit(_share_scatter(fit, agrees), fit.variance, tuple(bool(agree) for agree in agrees))


def _alternate(standards: Sequence[Standards], shape: Shape, pooled: npt.NDArray[np.bool_], start: VarianceFunction) -> _Fitted:
    """Curves of all plates, variance of the pooled ones and asymmetries, in turn until all stand still."""
    kept = [i for i, agrees in enumerate(pooled) if agrees]
    asymmetry = _expect_alone(len(standards)) if shape.family is Family.FIVE else None
    variance, begin, previous_g = start, None, np.zeros(len(standards))
    for count in range(_ROUNDS):
        curves = fit_curves(standards, Weighting.FITTED, variance, shape=shape, asymmetry=asymmetry, start=begin)
        begin = np.array([curve.parameters for curve in curves])
        previous, log_g = variance, previous_g
        known = None if asymmetry is None else Asymmetry(asymmetry.centre[kept], asymmetry.variance[kept])
        first = None if count == 0 else variance
        variance = _estimate_variance([standards[i] for i in kept], [curves[i] for i in kept], known, first)
        if asymmetry is not None:
            asymmetry, log_g = _expect_from_neighbours(curves, asymmetry, pooled), np.array([curve.parameters[4] for curve in curves])
        moved = abs(np.log(variance.sigma0 / previous.sigma0)) + abs(np.log(variance.kappa / previous.kappa))
        if count and moved < 1e-4 and np.max(np.abs(log_g - previous_g)) < 1e-3:
            break
        previous_g = log_g
    final = fit_curves(standards, Weighting.FITTED, variance, shape=shape, asymmetry=asymmetry, start=begin)
    return _Fitted(final, variance, asymmetry)


def _estimate_variance(
    standards: Sequence[Standards], curves: Sequence[Curve], asymmetry: Asymmetry | None, start: VarianceFunction | None
) -> VarianceFunction:
    fit = Plates.pad(standards, Shape(curves[0].family))
    parameters = np.array([curve.parameters for curve in curves])
    mean = value(fit.x, parameters[:, None, :])
    free = np.array([np.any(curve.loading != 0, axis=1) for curve in curves])
    linear = jacobian(fit.x, parameters[:, None, :]) * free[:, None, :]
    if asymmetry is None:
        plates = LinearisedPlates(fit.y - mean, mean, linear, fit.mask)
    else:
        plates = LinearisedPlates(fit.y - mean, mean, linear, fit.mask, 1 / asymmetry.variance, parameters[:, 4] - asymmetry.centre)
    spans = [np.ptp(plate.signal) for plate in standards]
    return estimate_restricted(plates, max(float(np.median(spans)), TINY), float(sum(curve.df for curve in curves)), start)


def _expect_alone(n: int) -> Asymmetry:
    """Asymmetry of a plate of which no neighbour is known."""
    return Asymmetry(np.zeros(n), np.full(n, ASYMMETRY_SD**2 + PLATE_SD**2))


def _expect_from_neighbours(curves: Sequence[Curve], used: Asymmetry, pooled: npt.NDArray[np.bool_]) -> Asymmetry:
    """What the other plates' asymmetries say of each plate's: normal means and variances; plates outside the pool say nothing.

    The estimate of a plate without its prior is recovered from the estimate with it: precisions add.
    """
    log_g = np.array([curve.parameters[4] for curve in curves])
    with_prior = 1 / np.maximum([curve.covariance[4, 4] for curve in curves], TINY)
    own = np.maximum(with_prior - 1 / used.variance, 1e-9)
    alone = (log_g * with_prior - used.centre / used.variance) / own
    weight = np.where(pooled, 1 / (1 / own + PLATE_SD**2), 0.0)
    others = np.sum(weight) - weight + 1 / ASYMMETRY_SD**2
    centre = (np.sum(weight * alone) - weight * alone) / others
    return Asymmetry(centre, PLATE_SD**2 + 1 / others)


def _agree(curves: Sequence[Curve]) -> npt.NDArray[np.bool_]:
    """Plates whose scatter, relative to the plates' median, is not beyond what chance does once in 100,000 plates.

    Of two plates the one that scatters more, by a ratio of variances as rare.
    """
    df = np.array([curve.df for curve in curves])
    scatter = np.array([curve.rss for curve in curves]) / df
    if len(curves) < _FEWEST_TO_COMPARE:
        low, high = int(np.argmin(scatter)), int(np.argmax(scatter))
        odd = low != high and fdtrc(df[high], df[low], scatter[high] / max(scatter[low], TINY)) < _ODD_PLATE
        return np.array([not (odd and i == high) for i in range(len(curves))])
    typical = float(np.median(scatter / (chdtri(df, 0.5) / df)))
    return np.asarray(scatter * df <= max(typical, TINY) * chdtri(df, _ODD_PLATE))


def _share_scatter(fit: _Fitted, agrees: npt.NDArray[np.bool_]) -> tuple[Curve, ...]:
    """Every curve with its plate's scatter: squeezed among the plates that agree, its own for the others."""
    curves = list(fit.curves)
    kept = np.flatnonzero(agrees)
    for i in np.flatnonzero(~agrees):
        curves[i] = curves[i].scaled(math.sqrt(max(curves[i].rss / curves[i].df, 1.0)), curves[i].df)
    if kept.size < _FEWEST_TO_COMPARE:
        return tuple(curves)
    df = np.array([curves[i].df for i in kept], dtype=np.float64)
    found = squeeze_variances(np.maximum([curves[i].rss for i in kept] / df, TINY), df)
    if np.isinf(found.prior_df):  # as alike as chance makes them: the pooled function holds for all
        return tuple(curves)
    for i, variance, own in zip(kept, found.variance, found.df, strict=True):
        curves[i] = curves[i].scaled(math.sqrt(variance), float(min(own, fit.variance.df)))
    return tuple(curves)


# --------------------------------------------------------------------------------------------- four or five parameters


def _deviance(standards: Sequence[Standards], fit: PooledFit) -> float:
    """Minus twice the log likelihood at the fit, without its constant; what is known of the asymmetry included."""
    total = 0.0
    for plate, curve in zip(standards, fit.curves, strict=True):
        spread = curve.variance.at(value(plate.log_conc, curve.parameters))
        total += float(np.sum(np.log(spread) + (plate.signal - value(plate.log_conc, curve.parameters)) ** 2 / spread))
    return total


def _criterion(standards: Sequence[Standards], fit: PooledFit, weighting: Weighting) -> float:
    """AICc over all plates of an analyte; each plate counts the parameters that its own standards determine."""
    wells = sum(plate.signal.size for plate in standards)
    count = sum(_count_parameters(plate, curve, weighting) for plate, curve in zip(standards, fit.curves, strict=True))
    return _deviance(standards, fit) + 2 * count * wells / max(wells - count - 1, 1e-9)


def _count_parameters(standards: Standards, curve: Curve, weighting: Weighting) -> float:
    """Parameters of a curve, an asymmetry counted as far as its own plate tells it."""
    if curve.family is not Family.FIVE:
        return 4.0
    if weighting is not Weighting.FITTED:
        return 5.0
    spread = curve.variance.at(value(standards.log_conc, curve.parameters))
    design = jacobian(standards.log_conc, curve.parameters) / np.sqrt(spread)[:, None]
    rest, own = design[:, :4], design[:, 4]
    left = own - rest @ np.linalg.lstsq(rest, own, rcond=None)[0]
    return 4.0 + min(1.0, float(left @ left) * float(curve.covariance[4, 4]))
