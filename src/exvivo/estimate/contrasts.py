"""Pairs -> one estimate: the ratio of geometric means of two conditions of the same donors.

One rule decides the method, before anything is seen of the effect. No censored value: paired t on logs.
Some, at most the registered share in both arms, and enough fully measured pairs: bivariate normal model of
the censored values with a profile-likelihood interval. More: no estimate, but a bound of the median ratio
and the exact sign test of the pairs whose direction is known. Every registered estimate has its
sensitivities beside it, always the same ones, never chosen after looking.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from exvivo.engine import rng_for
from exvivo.estimate.effect import Basis, Effect, ratio
from exvivo.estimate.pairs import Pairs, Reading, bounds_of, percent_below
from exvivo.numerics.censored import fit_censored_pairs
from exvivo.numerics.inference import Array
from exvivo.numerics.mixed import fit_mixed, indicate
from exvivo.numerics.paired import fit_linear, fit_mean
from exvivo.numerics.permutation import compare_sign_flips
from exvivo.numerics.ranks import bound_median, bound_signed_rank, compare_signed_rank, compare_signs, estimate_hodges_lehmann, smallest_p
from exvivo.numerics.robust import count_trimmed, fit_trimmed_mean
from exvivo.study.model import Analysis
from exvivo.study.statuses import EffectRole, EffectStatus, Method, Reason


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules of the analysis, and the key from which an effect draws its random numbers."""

    analysis: Analysis
    key: str


def describe_pairs(base: Effect, pairs: Pairs, *, wells: bool) -> Effect:
    """The row with its counts: complete pairs, measurements, values below the limit."""
    sera = {serum for serum in pairs.serum_donors if serum}
    return replace(
        base,
        donors=len(set(pairs.donors)),
        serum_donors=len(sera) or None,
        measurements=pairs.measurements,
        wells=pairs.measurements if wells else None,
        below_lloq_drug_pct=percent_below(pairs.drug),
        below_lloq_comparator_pct=percent_below(pairs.comparator),
        basis=Basis(pairs),
    )


def estimate_pairs(base: Effect, pairs: Pairs, rules: Rules) -> Effect:
    """Ratio of geometric means from one pair per donor."""
    analysis = rules.analysis
    if pairs.count < analysis.min_pairs:
        return base.refused(Reason.TOO_FEW_DONORS, {"pairs": pairs.count, "needed": analysis.min_pairs})
    exact = pairs.exact
    if exact.all():
        return base.estimated(fit_mean(pairs.differences[:, 0], level=analysis.confidence), Method.PAIRED_T)
    counted = base.noting({"censored_pairs": int((~exact).sum()), "observed_pairs": int(exact.sum())})
    if may_model(pairs, analysis):
        return estimate_censored(counted, pairs, analysis)
    return bound_effect(counted, pairs.differences, analysis)


def may_model(pairs: Pairs, analysis: Analysis) -> bool:
    """Whether the censored share and the measured pairs allow the censored model."""
    rule = analysis.censoring
    return pairs.censored_share() <= rule.max_fraction and int(pairs.exact.sum()) >= rule.min_observed_pairs


def estimate_censored(base: Effect, pairs: Pairs, analysis: Analysis) -> Effect:
    """Bivariate normal model of censored pairs, profile-likelihood interval."""
    try:
        fit = fit_censored_pairs(bounds_of(pairs.drug), bounds_of(pairs.comparator), level=analysis.confidence)
    except (ValueError, np.linalg.LinAlgError):
        return replace(base, method=Method.CENSORED).refused(Reason.NOT_CONVERGED)
    return replace(
        base,
        estimate=ratio(fit.estimate),
        ci_low=ratio(fit.low),
        ci_high=ratio(fit.high),
        df=float(fit.df),
        p=fit.p,
        method=Method.CENSORED,
        status=EffectStatus.ESTIMATED,
    )


def bound_effect(base: Effect, differences: Array, analysis: Analysis) -> Effect:
    """Bound of the median ratio and exact sign test; differences known within bounds (n, 2), one per donor.

    Pairs of unknown direction do not enter the sign test; the signed-rank p-values over everything that
    they might have been stand in the detail. Where only one side has a bound it is one-sided at the
    confidence asked for; where both have, each is at half the error.
    """
    low, high = differences.T
    half = (1 + analysis.confidence) / 2
    limits = bound_median(low, high, level=half)
    if not (np.isfinite(limits.low) and np.isfinite(limits.high)):
        limits = bound_median(low, high, level=analysis.confidence)
    signs = np.where(low > 0, 1.0, np.where(high < 0, -1.0, 0.0))
    undetermined = int((signs == 0).sum())
    noted = base.noting({"undetermined_pairs": undetermined})
    if undetermined == len(signs) and not (np.isfinite(limits.low) or np.isfinite(limits.high)):
        return noted.refused(Reason.TOO_MUCH_CENSORED)
    ranks = bound_signed_rank(low, high)
    return replace(
        noted.noting({"p_rank_best": ranks.p_best, "p_rank_worst": ranks.p_worst}),
        ci_low=ratio(limits.low),
        ci_high=ratio(limits.high),
        p=compare_signs(signs),
        method=Method.SIGN_TEST,
        status=EffectStatus.BOUND_ONLY,
        reason=Reason.TOO_MUCH_CENSORED,
    )


def list_sensitivities(base: Effect, pairs: Pairs, rules: Rules) -> list[Effect]:
    """What stands beside a registered estimate of one pair per donor."""
    if pairs.count < rules.analysis.min_pairs:
        return []
    exact = bool(pairs.exact.all())
    beside = replace(base, role=EffectRole.SENSITIVITY)
    rows = list_free(beside, pairs.differences, pairs.donors, rules)
    if exact:
        rows += _with_plates(beside, pairs, rules)
    else:
        substituted = _substituted(pairs)
        half = beside.resting_on(substituted)
        rows.append(half.estimated(fit_mean(substituted, level=rules.analysis.confidence), Method.HALF_LLOQ))
    if pairs.single_drug or pairs.single_comparator:
        rows.append(_estimate_unpaired(beside, pairs, rules))
    return rows


def list_free(base: Effect, differences: Array, donors: Sequence[str], rules: Rules) -> list[Effect]:
    """Distribution-free sensitivities of differences (n, 2), one per donor: ranks, sign flips, each donor left out."""
    if (differences[:, 0] != differences[:, 1]).any():
        ranks = bound_signed_rank(differences[:, 0], differences[:, 1])
        bounded = replace(
            base, p=ranks.p_worst, method=Method.INTERVAL_RANK, status=EffectStatus.BOUND_ONLY, reason=Reason.TOO_MUCH_CENSORED
        )
        return [bounded.noting({"p_best": ranks.p_best})]
    d = differences[:, 0]
    return [_rank(base, d, rules), _flip(base, d, rules), *_trim(base, d, rules), _leave_out(base, d, donors)]


def _rank(base: Effect, d: Array, rules: Rules) -> Effect:
    shift = estimate_hodges_lehmann(d, level=rules.analysis.confidence)
    return replace(
        base,
        estimate=ratio(shift.estimate),
        ci_low=ratio(shift.low),
        ci_high=ratio(shift.high),
        p=compare_signed_rank(d).p,
        method=Method.SIGNED_RANK,
        status=EffectStatus.ESTIMATED,
    ).noting({"smallest_p": smallest_p(d.size), "attained": shift.attained})


def _flip(base: Effect, d: Array, rules: Rules) -> Effect:
    test = compare_sign_flips(d, rng=rng_for(rules.analysis.seed, rules.key))
    return replace(base, estimate=ratio(test.mean), p=test.p, method=Method.SIGN_FLIP, status=EffectStatus.ESTIMATED).noting(
        {"smallest_p": max(smallest_p(d.size), 1 / test.flips), "flips": test.flips, "exact": test.exact}
    )


def _trim(base: Effect, d: Array, rules: Rules) -> list[Effect]:
    """Trimmed mean; nothing where there are too few pairs for one of them to be trimmed."""
    if count_trimmed(d.size) == 0:
        return []
    fit = fit_trimmed_mean(d, level=rules.analysis.confidence)
    return [base.estimated(fit, Method.TRIMMED).noting({"trimmed_each_end": count_trimmed(d.size)})]


def _with_plates(base: Effect, pairs: Pairs, rules: Rules) -> list[Effect]:
    """Plates as fixed effects where members of a pair were measured apart; nothing where plates and conditions cannot be told apart."""
    plates = sorted({plate for reading in (*pairs.drug, *pairs.comparator) for plate in reading.plates})
    moves = np.array([_shares(a, plates) - _shares(b, plates) for a, b in zip(pairs.drug, pairs.comparator, strict=True)])
    apart = int(np.any(moves != 0, axis=1).sum()) if plates else 0
    X = np.column_stack([np.ones(pairs.count), moves[:, :-1]]) if apart else np.ones((pairs.count, 0))
    if not apart or np.linalg.matrix_rank(X) < X.shape[1] or pairs.count <= X.shape[1]:
        return []
    fit = fit_linear(pairs.differences[:, 0], X).contrast(np.eye(X.shape[1])[0], level=rules.analysis.confidence)
    return [replace(base, basis=Basis(pairs, moves=moves[:, :-1])).estimated(fit, Method.PLATES).noting({"pairs_apart": apart})]


def _shares(reading: Reading, plates: Sequence[str]) -> Array:
    """Share of each plate in a value."""
    return np.array([(plate in reading.plates) / len(reading.plates) for plate in plates]) if reading.plates else np.zeros(len(plates))


def _leave_out(base: Effect, d: Array, donors: Sequence[str]) -> Effect:
    """Range of the ratio when one donor is left out."""
    without = (d.sum() - d) / (d.size - 1)
    lowest, highest = int(np.argmin(without)), int(np.argmax(without))
    return replace(base, estimate=ratio(float(d.mean())), method=Method.LEAVE_ONE_OUT, status=EffectStatus.ESTIMATED).noting(
        {
            "smallest": ratio(float(without[lowest])),
            "smallest_without": donors[lowest],
            "largest": ratio(float(without[highest])),
            "largest_without": donors[highest],
        },
    )


def _substituted(pairs: Pairs) -> Array:
    """Differences with half the limit for a value below it, the limit for one above, the middle of an interval."""

    def point(reading: Reading) -> float:
        if reading.low == -np.inf:
            return reading.high - float(np.log(2))
        return reading.low if reading.high == np.inf else 0.5 * (reading.low + reading.high)

    return np.array([point(a) - point(b) for a, b in zip(pairs.drug, pairs.comparator, strict=True)])


def _estimate_unpaired(base: Effect, pairs: Pairs, rules: Rules) -> Effect:
    """Mixed model with a donor intercept, donors with one condition included; censored values left out and counted."""
    arms = ((*pairs.drug, *pairs.single_drug), (*pairs.comparator, *pairs.single_comparator))
    used = [(reading, arm) for arm, readings in zip((1.0, 0.0), arms, strict=True) for reading in readings if reading.exact]
    left_out = sum(len(readings) for readings in arms) - len(used)
    y = np.array([reading.low for reading, _ in used])
    X = np.column_stack([np.ones(len(used)), [arm for _, arm in used]])
    noted = base.noting(
        {"single_condition_donors": len(pairs.single_drug) + len(pairs.single_comparator), "censored_left_out": left_out or None}
    )
    try:
        fit = fit_mixed(y, X, [indicate([reading.donor for reading, _ in used])])
        return noted.estimated(fit.contrast([0, 1], level=rules.analysis.confidence), Method.MIXED_UNPAIRED)
    except (ValueError, np.linalg.LinAlgError):
        return replace(noted, method=Method.MIXED_UNPAIRED).refused(Reason.NOT_CONVERGED)
