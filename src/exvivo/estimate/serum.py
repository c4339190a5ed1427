"""Cells of donors under sera of other donors: both are samples, and both repeat.

The unit is a pair of cultures of one donor under one serum; a donor meets several sera and a serum several
donors. The within-pair ln ratios follow d_ij = mu + donor_i + serum_j + e_ij with random donor and serum, fitted
by REML with Kenward-Roger degrees of freedom, so that the answer holds for other donors and other sera. Where
each donor meets one serum and each serum one donor there is nothing to cross, and the method is the paired t.

A variance estimated as zero is common with few donors. Its component leaves the model, and so do its degrees of
freedom. That forgets little: truncation at zero makes the variance of the mean too large on average, which
outweighs the freedom gained (`benchmarks/serum_calibration.py`: intervals cover 93 to 98 % from three donors to twelve).
Keeping the component, or its degrees of freedom, covered up to 99.9 %.

Censored pairs. The same model with the values within their limits (`numerics.crossed`), under the same boundary
rule; without censored pairs it is the same answer. With more censoring than the registered rule allows, the
differences are averaged per donor and only bounded.

Serum that is still in the medium carries the readout with it. Blanks were subtracted when outcomes were
assembled; where they are missing, or make up most of the comparator's total, in over half the pairs, nothing is
estimated and the uncorrected ratio stands beside it. The drug's own totals have no say: a drug that lowers the readout
makes the blank a larger part of what is left, so that the strongest effects would be the first to be withheld. Where the
drug leaves less than can be told from the blank, its net value is censored, and the rules of censoring decide.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from exvivo.estimate.contrasts import Rules, bound_effect, estimate_pairs, list_free, list_sensitivities
from exvivo.estimate.effect import Basis, Effect
from exvivo.estimate.pairs import Pairs, Reading, Row, bounds_of, mean_over_sera, pair_up
from exvivo.numerics.crossed import fit_censored_crossed
from exvivo.numerics.inference import Array, Estimate, turn
from exvivo.numerics.mixed import fit_mixed, indicate
from exvivo.numerics.paired import fit_mean
from exvivo.study.model import Analysis
from exvivo.study.statuses import EffectRole, Method, Reason, SpecimenStatus

DONOR, SERUM_DONOR = "donor", "serum_donor"

OBSERVED_WITHIN = float(np.log(2))
"""Width of the limits, in ln units, within which a value of the crossed model counts as observed."""


def estimate_crossed(base: Effect, pairs: Pairs, rules: Rules) -> Effect:
    """Ratio of geometric means from pairs of donors and sera."""
    analysis = rules.analysis
    donors = len(set(pairs.donors))
    repeated = _repeated(pairs)
    if not repeated:
        return estimate_pairs(base.noting(_tell_sera(pairs)), pairs, rules)
    if donors < analysis.min_pairs:
        return base.refused(Reason.TOO_FEW_DONORS, {"pairs": donors, "needed": analysis.min_pairs})
    exact = pairs.exact
    if exact.all():
        return estimate_differences(base, pairs, pairs.differences[:, 0], rules)
    counted = base.noting({"censored_pairs": int((~exact).sum()), "observed_pairs": int(exact.sum())})
    if _may_model(pairs, analysis):
        return _estimate_censored(counted, pairs, rules)
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
        fit, variances = _fit_random(differences, np.ones((differences.size, 1)), components, level)
    except (ValueError, np.linalg.LinAlgError):
        return replace(base, method=Method.CROSSED).refused(Reason.NOT_CONVERGED)
    return base.estimated(fit, Method.CROSSED).noting(_name_variances(variances, list(repeated)))


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
        fit, variances = _fit_random(y, X, components, analysis.confidence)
    except (ValueError, np.linalg.LinAlgError):
        return replace(base, method=Method.CROSSED).refused(Reason.NOT_CONVERGED)
    return base.estimated(fit, Method.CROSSED).noting(_name_variances(variances, list(random)))


def _fit_random(y: Array, X: Array, components: Sequence[Array], level: float) -> tuple[Estimate, Array]:
    """Inference for the last coefficient without components that are estimated as zero, and the variances."""
    fit = fit_mixed(y, X, components)
    kept = [Z for Z, zero in zip(components, fit.at_zero, strict=True) if not zero]
    free = fit_mixed(y, X, kept) if fit.at_zero.any() else fit
    return free.contrast(np.eye(X.shape[1])[-1], level=level), fit.variances


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


def carries_over(rows: Sequence[Row], deciding: Sequence[Row], pairs: Pairs, limit: float) -> dict[str, float] | None:
    """Why serum makes a readout not estimable: blanks missing, or most of the total, in over half the pairs.

    `rows` are those of both arms, `deciding` those whose totals count: the comparator's, or all where only one arm saw serum.
    Returns the parameters of the reason, or None.
    """
    lacking = (SpecimenStatus.MISSING.value, Reason.SERUM_BLANK_MISSING.value)
    missing = len({(row["donor"], row["serum_donor"]) for row in rows if (row["status"], row["reason"]) == lacking})
    if missing and missing > 0.5 * (missing + pairs.count):
        return {"pairs_without_blank": missing, "pairs": pairs.count}
    shares = {(row["donor"], row["serum_donor"] or ""): share for row in deciding if isinstance(share := row["blank_share"], float)}
    large = sum(max(shares.get(a.key, 0.0), shares.get(b.key, 0.0)) > limit for a, b in zip(pairs.drug, pairs.comparator, strict=True))
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


def interact(with_serum: Pairs, without: Pairs) -> Pairs:
    """Pairs under serum with the donor's ln ratio without serum taken off theirs, so that they differ by the interaction.

    Half of it leaves the drug's value and half is given to the comparator's, so that neither arm is treated otherwise than the
    other. Donors whose pair without serum is missing or not measured are left out.
    """
    alone = {donor: d for donor, d, exact in zip(without.donors, without.differences[:, 0], without.exact, strict=True) if exact}
    kept = with_serum.pick(i for i, donor in enumerate(with_serum.donors) if donor in alone)
    drug, comparator = (
        tuple(replace(r, low=r.low + share * alone[r.donor], high=r.high + share * alone[r.donor]) for r in side)
        for side, share in ((kept.drug, -0.5), (kept.comparator, 0.5))
    )
    return replace(kept, drug=drug, comparator=comparator)


def _repeated(pairs: Pairs) -> dict[str, Sequence[str]]:
    """Which of donor and serum donor occur in more than one pair, with their labels; that one explains differences."""
    found: dict[str, Sequence[str]] = {}
    for name, labels in ((DONOR, pairs.donors), (SERUM_DONOR, pairs.serum_donors)):
        counts = Counter(labels)
        if all(labels) and 1 < len(counts) < len(labels):
            found[name] = labels
    return found


def _tell_sera(pairs: Pairs) -> dict[str, object]:
    """Why pairs under serum are one pair for each donor: a serum of its own, or the same serum for all."""
    if not (pairs.count and all(pairs.serum_donors)):
        return {}
    return {"one_serum_for_all" if len(set(pairs.serum_donors)) == 1 else "one_serum_per_donor": True}


def _name_variances(variances: Array, names: Sequence[str]) -> dict[str, object]:
    return {"random": list(names), "variances": dict(zip([*names, "residual"], (float(v) for v in variances), strict=True))}


def _may_model(pairs: Pairs, analysis: Analysis) -> bool:
    """The registered rule of censoring, where a value known within a factor of two counts as observed.

    Else a serum without any of the readout, whose blanks are below their limit, would leave net values with narrow limits
    only, and nothing to estimate.
    """
    known = [np.array([r.high - r.low <= OBSERVED_WITHIN for r in side], dtype=bool) for side in (pairs.drug, pairs.comparator)]
    hidden = max(1 - float(side.mean()) for side in known)
    return hidden <= analysis.censoring.max_fraction and int((known[0] & known[1]).sum()) >= analysis.censoring.min_observed_pairs


def _estimate_censored(base: Effect, pairs: Pairs, rules: Rules) -> Effect:
    """Crossed model of censored pairs; the model conditions on the arm whose values stand in several pairs."""
    repeated = _repeated(pairs)
    turned = len({reading.key for reading in pairs.drug}) < len({reading.key for reading in pairs.comparator})
    once, shared = (pairs.comparator, pairs.drug) if turned else (pairs.drug, pairs.comparator)
    partners = [reading.key for reading in shared]
    try:
        fit = fit_censored_crossed(bounds_of(once), bounds_of(shared), partners, list(repeated.values()), level=rules.analysis.confidence)
    except (ValueError, np.linalg.LinAlgError):
        return replace(base, method=Method.CENSORED_CROSSED).refused(Reason.NOT_CONVERGED)
    contrast = turn(fit.contrast) if turned else fit.contrast
    return base.estimated(contrast, Method.CENSORED_CROSSED).noting(_name_variances(fit.variances, list(repeated)))
