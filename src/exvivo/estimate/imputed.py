"""The shared error of curves by imputation: what a registered estimate becomes when the curves are drawn again.

A registered estimate and its pairs flow in, the same estimate over many draws flows out. Each draw moves all concentrations of a
curve, and the bounds of censored ones, together; the rule of the registered estimate analyses it. Rubin's rules would count the
curves' error three times over where pairs lie on several plates: the scatter between pairs holds it as it happened, each draw puts
as much into that scatter again, and the estimates of the draws differ by all of it. So the variance within is that of the data as
they are, and what the draws raise it by, which is what scatter shows of curves, is taken from the variance between draws.

The draws have the mean and covariance of the curves' errors exactly, so that a paired t has the closed form of
``estimate.carried`` for its variance, but for Rubin's 1 + 1 / m. Crossed pairs with censored values are moved as the censored model
of the pairs moves, donors and sera left out of it: the registered error, which knows them, stands within.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from exvivo.engine import rng_for
from exvivo.estimate.carried import Curves, error_of
from exvivo.estimate.contrasts import Rules
from exvivo.estimate.effect import Effect
from exvivo.estimate.pairs import Pairs, bounds_of
from exvivo.estimate.serum import estimate_crossed
from exvivo.numerics.censored import estimate_censored_batch
from exvivo.numerics.combining import Combined, Parts, combine_parts
from exvivo.numerics.inference import Array
from exvivo.study.run import SharedError
from exvivo.study.statuses import EffectRole, Method, Reason
from exvivo.study.tables import SHARED_ERROR

Analyse = Callable[[Pairs, "Moved", Rules], "Drawn"]

DRAWS, MIXED_DRAWS, FEWEST = 100, 60, 50
"""Draws, those of a mixed model, and how many must have an estimate."""


@dataclass(frozen=True, slots=True)
class Moved:
    """Pairs over all draws: bounds of both arms, shape (m, n, 2)."""

    drug: Array
    comparator: Array


@dataclass(frozen=True, slots=True)
class Drawn:
    """Estimates and their variances over the draws that have them, shape (m,), and both of the data as they are by the same measure."""

    estimates: Array
    variances: Array
    estimate: float
    variance: float


def impute_calibration(effect: Effect, pairs: Pairs, shared: pl.DataFrame, rules: Rules) -> Effect | None:
    """The registered effect with the curves drawn again, as a sensitivity; None where it has no interval or no curve is known.

    Parameters
    ----------
    effect : registered row before the error of curves was added
    pairs : its pairs
    shared : rows of SHARED_ERROR of its analyte
    rules : rules of the analysis, and the key of its random numbers
    """
    level = rules.analysis.confidence
    se = error_of(effect, level)
    if se is None or effect.df is None or effect.estimate is None or not Curves.of(shared).loadings(pairs).size:
        return None
    analyse = _choose(effect, pairs)
    beside = replace(effect, role=EffectRole.SENSITIVITY)
    try:
        drawn = analyse(pairs, draw_pairs(pairs, shared, rules, MIXED_DRAWS if analyse is _analyse_crossed else DRAWS), rules)
    except (ValueError, np.linalg.LinAlgError):
        drawn = None
    if drawn is None or drawn.estimates.size < FEWEST or not math.isfinite(drawn.variance):
        refused = replace(beside, estimate=None, ci_low=None, ci_high=None, df=None, p=None, method=Method.IMPUTED)
        return refused.refused(Reason.NOT_CONVERGED)
    combined = combine_reduced(drawn, Fitted(math.log(effect.estimate), se, effect.df), level)
    facts = {"draws": drawn.estimates.size, "drawn_share": 1 - combined.within / combined.total}
    return beside.estimated(combined.estimate, Method.IMPUTED).noting(facts)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A registered estimate on the ln scale."""

    estimate: float
    se: float
    df: float


def combine_reduced(drawn: Drawn, registered: Fitted, level: float) -> Combined:
    """Rubin's rules, what the scatter between pairs shows of the draws taken from the variance between them."""
    m = drawn.estimates.size
    shown = max(float(drawn.variances.mean()) - drawn.variance, 0.0) * m / (m - 1)  # the draws lie around their own mean
    between = max(float(drawn.estimates.var(ddof=1)) - shown, 0.0)
    middle = registered.estimate + float(drawn.estimates.mean()) - drawn.estimate
    return combine_parts(middle, Parts(registered.se**2, between, m), df_complete=registered.df, level=level)


def _choose(effect: Effect, pairs: Pairs) -> Analyse:
    if not pairs.exact.all():
        return _analyse_censored
    return _analyse_crossed if effect.method is Method.CROSSED else _analyse_paired


def draw_pairs(pairs: Pairs, shared: pl.DataFrame, rules: Rules, m: int = DRAWS) -> Moved:
    """Bounds of both arms with the curves drawn anew; values without a known curve stay."""
    curves = Curves.of(shared)
    known = SHARED_ERROR.build(shared.with_columns(pl.col("log_value").fill_null(0.0)))
    drawn = SharedError(known).draw(rng_for(rules.analysis.seed, f"{rules.key}/curves"), m)
    middles = {(plate, specimen): value for plate, specimen, value in known.frame.select("plate", "specimen", "log_value").iter_rows()}
    moves = {(plate, specimen): values - middles[plate, specimen] for (plate, _, specimen), values in drawn.items()}

    def moved(arm: int) -> Array:
        readings = (pairs.drug, pairs.comparator)[arm]
        return bounds_of(readings)[None] + curves.spread(readings, moves).T[:, :, None]

    return Moved(moved(0), moved(1))


def _analyse_paired(pairs: Pairs, moved: Moved, rules: Rules) -> Drawn:  # noqa: ARG001  one signature for all analyses
    d, as_is = moved.drug[..., 0] - moved.comparator[..., 0], pairs.differences[:, 0]
    return Drawn(d.mean(axis=1), d.var(axis=1, ddof=1) / pairs.count, float(as_is.mean()), float(as_is.var(ddof=1)) / pairs.count)


def _analyse_censored(pairs: Pairs, moved: Moved, rules: Rules) -> Drawn:  # noqa: ARG001  one signature for all analyses
    """Bivariate normal model of every draw, and of the data as they are by the same measure of its variance."""
    drug = np.concatenate([bounds_of(pairs.drug)[None], moved.drug])
    comparator = np.concatenate([bounds_of(pairs.comparator)[None], moved.comparator])
    estimates, errors = estimate_censored_batch(drug, comparator)
    good = np.isfinite(estimates) & np.isfinite(errors)
    good[0] = False
    return Drawn(estimates[good], errors[good] ** 2, float(estimates[0]), float(errors[0]) ** 2)


def _analyse_crossed(pairs: Pairs, moved: Moved, rules: Rules) -> Drawn:
    """Mixed model of every draw."""
    level = rules.analysis.confidence
    every = [pairs, *(_replace(pairs, drug, comparator) for drug, comparator in zip(moved.drug, moved.comparator, strict=True))]
    effects = [estimate_crossed(Effect("", "", ""), one, rules) for one in every]
    (middle, variance), *found = ((math.log(effect.estimate or 1.0), (error_of(effect, level) or math.nan) ** 2) for effect in effects)
    estimates, variances = np.array([pair for pair in found if math.isfinite(pair[1])], dtype=np.float64).reshape(-1, 2).T
    return Drawn(estimates, variances, middle, variance)


def _replace(pairs: Pairs, drug: Array, comparator: Array) -> Pairs:
    """Pairs with other bounds, each (n, 2)."""
    sides = [
        tuple(replace(reading, low=float(low), high=float(high)) for reading, (low, high) in zip(readings, bounds, strict=True))
        for readings, bounds in ((pairs.drug, drug), (pairs.comparator, comparator))
    ]
    return Pairs(sides[0], sides[1])
