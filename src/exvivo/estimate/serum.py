"""Cells of donors under sera of other donors: both are samples, and both repeat.

The unit is a pair of cultures of one donor under one serum; a donor meets several sera and a serum several
donors. The within-pair ln ratios follow d_ij = mu + donor_i + serum_j + e_ij with random donor and serum, fitted
by REML with Kenward-Roger degrees of freedom, so that the answer holds for other donors and other sera. Where
each donor meets one serum and each serum one donor there is nothing to cross, and the method is the paired t.

A variance estimated as zero is common with few donors. Keeping its component makes the test far too cautious
(simulated rejection 0.3 to 2 % at a nominal 5 %), leaving it out forgets that pairs share donors and sera. The
component leaves the model, and the degrees of freedom are those of the model that keeps it, but at least the
number of donors, or of sera if these are fewer, less one (simulated 1 to 5 %, never above nominal beyond noise).

Censored pairs. A crossed model with censored values is later work. Here the bivariate normal model of the
pairs gives the estimate, and its error comes from leaving out one donor, then one serum, at a time; the larger
of the two jackknife errors stands, with its number of units less one as degrees of freedom. With more censoring
than the registered rule allows, the differences are averaged per donor and only bounded.

Serum that is still in the medium carries the readout with it. Blanks were subtracted when outcomes were
assembled; where they are missing, or make up most of the total, in over half the pairs, nothing is estimated
and the uncorrected ratio stands beside it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from exvivo.estimate.contrasts import Rules, bound_effect, estimate_pairs, list_free, list_sensitivities, may_model
from exvivo.estimate.effect import Basis, Effect
from exvivo.estimate.pairs import Pairs, Reading, bounds_of, mean_over_sera, pair_up
from exvivo.numerics.censored import estimate_censored_difference
from exvivo.numerics.inference import Array, Estimate, infer_t
from exvivo.numerics.mixed import MixedFit, fit_mixed, indicate
from exvivo.numerics.paired import fit_mean
from exvivo.study.statuses import EffectRole, Method, Reason, SpecimenStatus

DONOR, SERUM_DONOR = "donor", "serum_donor"


def estimate_crossed(base: Effect, pairs: Pairs, rules: Rules) -> Effect:
    """Ratio of geometric means from pairs of donors and sera."""
    analysis = rules.analysis
    donors = len(set(pairs.donors))
    repeated = _repeated(pairs)
    if not repeated:
        return estimate_pairs(base, pairs, rules)
    if donors < analysis.min_pairs:
        return base.refused(Reason.TOO_FEW_DONORS, {"pairs": donors, "needed": analysis.min_pairs})
    exact = pairs.exact
    if exact.all():
        return estimate_differences(base, pairs, pairs.differences[:, 0], rules)
    counted = base.noting({"censored_pairs": int((~exact).sum()), "observed_pairs": int(exact.sum())})
    if may_model(pairs, analysis):
        return _jackknife(counted, pairs, rules)
    means = average_by_donor(pairs)[1]
    return bound_effect(counted.resting_on(means), means, analysis)


def estimate_differences(base: Effect, pairs: Pairs, differences: Array, rules: Rules) -> Effect:
    """Mean of exact ln ratios (n,) with random donors and sera where they repeat."""
    repeated = _repeated(pairs)
    level = rules.analysis.confidence
    base = base.resting_on(differences)
    if not repeated:
        return base.estimated(fit_mean(differences, level=level), Method.PAIRED_T)
    components = [indicate(labels) for labels in repeated.values()]
    try:
        ones = np.ones((differences.size, 1))
        fit = fit_mixed(differences, ones, components)
        estimated = base.estimated(_infer_last(fit, differences, ones, components, level), Method.CROSSED)
    except (ValueError, np.linalg.LinAlgError):
        return replace(base, method=Method.CROSSED).refused(Reason.NOT_CONVERGED)
    return estimated.noting({"random": list(repeated), "variances": _name_variances(fit, list(repeated))})


def estimate_between_sera(base: Effect, drug: Sequence[Reading], comparator: Sequence[Reading], rules: Rules) -> Effect:
    """Ratio of two arms that saw sera of different people: ln values of the same cell donors with random donors and sera.

    The readings are of donors with both arms. No pair shares a serum, so that sera differ between the arms as donors do
    between groups. With censored values the donors' mean differences are only bounded.
    """
    analysis = rules.analysis
    pairs = pair_up(mean_over_sera(drug), mean_over_sera(comparator))
    if pairs.count < analysis.min_pairs:
        return base.refused(Reason.TOO_FEW_DONORS, {"pairs": pairs.count, "needed": analysis.min_pairs})
    if not pairs.exact.all():
        return bound_effect(base.noting({"censored_pairs": int((~pairs.exact).sum())}), pairs.differences, analysis)
    kept = [tuple(reading for reading in arm if reading.donor in set(pairs.donors)) for arm in (drug, comparator)]
    base = replace(base, basis=Basis(Pairs((), (), *kept)))
    used = [(reading, arm) for arm, readings in zip((1.0, 0.0), kept, strict=True) for reading in readings]
    y = np.array([reading.low for reading, _ in used])
    X = np.column_stack([np.ones(len(used)), [arm for _, arm in used]])
    labels = {DONOR: [r.donor for r, _ in used], SERUM_DONOR: [r.serum_donor for r, _ in used]}
    random = {name: own for name, own in labels.items() if 1 < len(set(own)) < len(own)}
    components = [indicate(own) for own in random.values()]
    try:
        fit = fit_mixed(y, X, components)
        estimated = base.estimated(_infer_last(fit, y, X, components, analysis.confidence), Method.CROSSED)
    except (ValueError, np.linalg.LinAlgError):
        return replace(base, method=Method.CROSSED).refused(Reason.NOT_CONVERGED)
    return estimated.noting({"random": list(random), "variances": _name_variances(fit, list(random))})


def _infer_last(fit: MixedFit, y: Array, X: Array, components: Sequence[Array], level: float) -> Estimate:
    """Inference for the last coefficient, with the rule of the module head for variances estimated as zero."""
    last = np.eye(X.shape[1])[-1]
    full = fit.contrast(last, level=level)
    if not fit.at_zero.any():
        return full
    kept = [Z for Z, zero in zip(components, fit.at_zero, strict=True) if not zero]
    reduced = fit_mixed(y, X, kept).contrast(last, level=level)
    units = min(Z.shape[1] for Z in components)
    return infer_t(reduced.estimate, reduced.se, min(reduced.df, max(full.df, float(units - X.shape[1]))), level=level)


def list_crossed_sensitivities(base: Effect, pairs: Pairs, rules: Rules) -> list[Effect]:
    """What stands beside an estimate from donors and sera: the same on donors' means over their sera.

    They ignore that sera are reused, and are too bold where sera differ in the drug's effect; the detail says so.
    """
    if not _repeated(pairs):
        return list_sensitivities(base, pairs, rules)
    donors, means = average_by_donor(pairs)
    if len(donors) < rules.analysis.min_pairs:
        return []
    reused = SERUM_DONOR if SERUM_DONOR in _repeated(pairs) else None
    beside = replace(base, role=EffectRole.SENSITIVITY).noting({"ignores": reused}).resting_on(means)
    rows = list_free(beside, means, donors, rules)
    if pairs.exact.all():
        rows.insert(0, beside.estimated(fit_mean(means[:, 0], level=rules.analysis.confidence), Method.DONOR_MEANS))
    return rows


def average_by_donor(pairs: Pairs) -> tuple[list[str], Array]:
    """Donors, and bounds (k, 2) of the mean ln ratio over the sera of each."""
    names = np.array(pairs.donors)
    donors = sorted(set(pairs.donors))
    return donors, np.array([pairs.differences[names == donor].mean(axis=0) for donor in donors]).reshape(len(donors), 2)


def carries_over(rows: pl.DataFrame, pairs: Pairs, limit: float) -> dict[str, float] | None:
    """Why serum makes a readout not estimable: blanks missing, or most of the total, in over half the pairs.

    `rows` are the rows of both arms; returns the parameters of the reason, or None.
    """
    without = rows.filter((pl.col("status") == SpecimenStatus.MISSING.value) & (pl.col("reason") == Reason.SERUM_BLANK_MISSING.value))
    missing = without.select("donor", "serum_donor").unique().height
    if missing and missing > 0.5 * (missing + pairs.count):
        return {"pairs_without_blank": missing, "pairs": pairs.count}
    shares: dict[tuple[str, str], float] = {}
    for donor, serum, share in rows.filter(pl.col("blank_share").is_not_null()).select("donor", "serum_donor", "blank_share").iter_rows():
        key = (donor, serum or "")
        shares[key] = max(share, shares.get(key, share))
    large = sum(shares.get(reading.key, 0.0) > limit for reading in pairs.drug)
    if pairs.count and large > 0.5 * pairs.count:
        return {"pairs_with_large_blank": large, "pairs": pairs.count, "limit": limit}
    return None


def ignore_blanks(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with the values before serum blanks were subtracted; totals beyond a limit of quantification stay censored there."""
    plain = pl.col("plain_log_value")
    by_reason = {Reason.SERUM_BLANK_MISSING: pl.col("detail").str.json_path_match("$.total"), Reason.NET_BELOW_DETECTION: pl.lit(None)}
    total = pl.col("status")
    for reason, before in by_reason.items():
        total = pl.when(pl.col("reason") == reason.value).then(before).otherwise(total)
    below, above = total == SpecimenStatus.BELOW_LLOQ.value, total == SpecimenStatus.ABOVE_ULOQ.value
    return rows.filter(plain.is_not_null()).with_columns(
        log_value=pl.when(below | above).then(None).otherwise(plain),
        lower_bound=pl.when(above).then(plain),
        upper_bound=pl.when(below).then(plain),
        status=pl.when(below | above).then(total).otherwise(pl.lit(SpecimenStatus.QUANTIFIED.value)),
    )


def interact(with_serum: Pairs, without: Pairs) -> tuple[Pairs, Array]:
    """Pairs that have a partner without serum, and the ln ratio of drug effects (n,), exact pairs only."""
    alone = {donor: d for donor, d, exact in zip(without.donors, without.differences[:, 0], without.exact, strict=True) if exact}
    kept = [i for i, (donor, exact) in enumerate(zip(with_serum.donors, with_serum.exact, strict=True)) if exact and donor in alone]
    subset = with_serum.pick(kept)
    values = [with_serum.differences[i, 0] - alone[with_serum.donors[i]] for i in kept]
    return subset, np.array(values, dtype=np.float64)


def _repeated(pairs: Pairs) -> dict[str, Sequence[str]]:
    """Which of donor and serum donor occur in more than one pair, with their labels; that one explains differences."""
    found: dict[str, Sequence[str]] = {}
    for name, labels in ((DONOR, pairs.donors), (SERUM_DONOR, pairs.serum_donors)):
        counts = Counter(labels)
        if all(labels) and 1 < len(counts) < len(labels):
            found[name] = labels
    return found


def _name_variances(fit: MixedFit, names: Sequence[str]) -> dict[str, float]:
    return dict(zip([*names, "residual"], (float(v) for v in fit.variances), strict=True))


def _jackknife(base: Effect, pairs: Pairs, rules: Rules) -> Effect:
    """Censored model of the pairs; standard error by leaving out donors or sera, whichever is larger."""
    method = Method.CENSORED_JACKKNIFE
    drug, comparator = bounds_of(pairs.drug), bounds_of(pairs.comparator)
    try:
        estimate = estimate_censored_difference(drug, comparator)
        errors = {
            name: _jackknife_error(drug, comparator, labels)
            for name, labels in ((DONOR, pairs.donors), (SERUM_DONOR, pairs.serum_donors))
            if all(labels) and len(set(labels)) > 2
        }
        unit, (se, df) = max(errors.items(), key=lambda item: item[1][0])
        fit = infer_t(estimate, se, df, level=rules.analysis.confidence)
    except (ValueError, np.linalg.LinAlgError):
        return replace(base, method=method).refused(Reason.NOT_CONVERGED)
    return base.estimated(fit, method).noting({"error_from": unit})


def _jackknife_error(drug: Array, comparator: Array, labels: Sequence[str]) -> tuple[float, int]:
    names = np.array(labels)
    groups = sorted(set(labels))
    left = np.array([estimate_censored_difference(drug[names != g], comparator[names != g]) for g in groups])
    size = len(groups)
    return float(np.sqrt((size - 1) / size * ((left - left.mean()) ** 2).sum())), size - 1
