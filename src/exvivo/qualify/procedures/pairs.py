"""Paired comparisons: t test of ln ratios, signed-rank tests with their intervals, sign flips, families by step-down max t."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from exvivo.numerics.multiplicity import adjust_bh, adjust_holm
from exvivo.numerics.paired import fit_mean
from exvivo.numerics.permutation import MOST_COUNTED, adjust_max_t, compare_sign_flips, compare_two_samples
from exvivo.numerics.ranks import (
    SignedRank,
    Zeros,
    approximate_signed_rank,
    compare_signed_rank,
    estimate_hodges_lehmann,
    invert_signed_rank,
    round_differences,
    walsh_averages,
)
from exvivo.qualify.cases import Case
from exvivo.qualify.procedures.roles import differences, measured, two_measurements

Array = NDArray[np.float64]
Results = Mapping[str, Any]
_SEED = 5


def _paired_t(case: Case) -> Results:
    comparator, treated = (np.log(values) for values in two_measurements(case))
    fit = fit_mean(treated - comparator)
    return {
        "n": treated.size,
        "gmr": np.exp(fit.estimate).item(),
        "gmr_lo95": np.exp(fit.low).item(),
        "gmr_hi95": np.exp(fit.high).item(),
        "t": fit.estimate / fit.se,
        "df": fit.df,
        "p": fit.p,
        "sd_logratio": fit.se * float(np.sqrt(treated.size)),
        "gm_vehicle": np.exp(comparator.mean()).item(),
        "gm_drug": np.exp(treated.mean()).item(),
        "p_less": float(special.stdtr(fit.df, fit.estimate / fit.se)),
    }


def _signed_rank(case: Case) -> Results:
    comparator, treated = two_measurements(case)
    d = np.log(treated) - np.log(comparator)
    test, centre = compare_signed_rank(d, zeros=Zeros.DROP), estimate_hodges_lehmann(d).estimate
    wide, narrow = _limits(d, 0.95), _limits(d, 0.90)
    shared = {"V": test.statistic, "hl": centre}
    two_sided = shared | {"p": test.p, "lo": wide[0], "hi": wide[1]}
    return {
        "two.sided": two_sided,
        "less": shared | {"p": test.p_less, "lo": None, "hi": narrow[1]},
        "greater": shared | {"p": test.p_greater, "lo": narrow[0], "hi": None},
        "wilcox_exact": _inverted(d, test),
        "ci90": {"lo": narrow[0], "hi": narrow[1]},
        "median_ratio_hl": float(np.exp(centre)),
    }


def _limits(d: Array, level: float) -> tuple[float, float]:
    """Limits as R gives them: where none exist at the level, the outermost averages."""
    found, walsh = estimate_hodges_lehmann(d, level=level), walsh_averages(d)
    return max(found.low, float(walsh[0])), min(found.high, float(walsh[-1]))


def _inverted(d: Array, test: SignedRank) -> Results:
    centre, low, high = invert_signed_rank(d)
    return {"V": test.statistic, "p": test.p, "hl": centre if np.isfinite(centre) else None, "lo": low, "hi": high}


def _ties_and_zeros(case: Case) -> Results:
    d = round_differences(differences(case))
    pratt, dropped = compare_signed_rank(d), compare_signed_rank(d, zeros=Zeros.DROP)
    z_pratt, z_dropped = approximate_signed_rank(d), approximate_signed_rank(d, zeros=Zeros.DROP)
    corrected = approximate_signed_rank(d, zeros=Zeros.DROP, correct=True)
    return {
        "n": d.size,
        "n_zero": pratt.zeros,
        "coin_pratt_exact_p": pratt.p,
        "coin_wilcoxon_exact_p": dropped.p,
        "coin_pratt_z": z_pratt.z,
        "coin_wilcoxon_z": z_dropped.z,
        "coin_pratt_asym_p": z_pratt.p,
        "coin_wilcoxon_asym_p": z_dropped.p,
        "exactRankTests": _inverted(d, dropped),
        "normal_cc": {"V": dropped.statistic, "p": corrected.p},
        "normal_nocc_p": z_dropped.p,
        "walsh_median_nonzero": float(np.median(walsh_averages(d[d != 0]))),
        "walsh_median_all": float(np.median(walsh_averages(d))),
    }


def _sign_flips(case: Case) -> Results:
    comparator, treated = (np.log(values) for values in two_measurements(case))
    d = treated - comparator
    flips = compare_sign_flips(d, rng=np.random.default_rng(_SEED))
    whole = np.round(1000 * d)
    p_whole = compare_sign_flips(whole, rng=np.random.default_rng(_SEED)).p
    return {
        "n": d.size,
        "mean": flips.mean,
        "n_perm": flips.flips,
        "p_two_sided": flips.p,
        "p_less": flips.p_less,
        "p_greater": flips.p_greater,
        "p_t_two_sided": flips.p,
        "exactRankTests_perm_p_integer": {"d_int": whole.astype(int).tolist(), "p": p_whole, "p_enum": p_whole},
        "coin_asym_p": 2 * float(special.ndtr(-abs(d.sum()) / np.sqrt(d @ d))),
        **(_unpaired(treated, comparator) if 2 * d.size <= MOST_COUNTED else {}),
    }


def _unpaired(treated: Array, comparator: Array) -> Results:
    p, less = compare_two_samples(treated, comparator, near=_coin_slack(treated, comparator))
    return {"coin_two_sample_exact_p": p, "coin_two_sample_exact_p_less": less}


def _coin_slack(first: Array, second: Array) -> tuple[float, float]:
    """What coin's split-up algorithm counts as equal: the root of the machine's precision, ten SDs of it above."""
    pooled = np.concatenate([first, second])
    sd = float(np.sqrt(first.size * second.size / pooled.size * pooled.var(ddof=1)))
    root = float(np.sqrt(np.finfo(np.float64).eps))
    return root, 10 * root * sd - root


def _max_t(case: Case) -> Results:
    asked = [name for name in case.results.get("t", ()) if name in case.table.names]
    names = asked or measured(case.table, len(case.table.names))
    d = np.column_stack([case.table.numbers(name) for name in names])
    adjusted = adjust_max_t(d, rng=np.random.default_rng(_SEED))
    p_t = np.array([fit_mean(column).p for column in d.T])
    columns = {
        "t": adjusted.t,
        "p_t": p_t,
        "p_perm_raw": adjusted.p,
        "p_maxT_single": adjusted.p_single_step,
        "p_maxT_stepdown": adjusted.p_step_down,
        "p_holm_t": adjust_holm(p_t),
        "p_bh_t": adjust_bh(p_t),
        "gmr": np.exp(d.mean(axis=0)),
    }
    by_name = {key: dict(zip(names, values.tolist(), strict=True)) for key, values in columns.items()}
    return {"n": len(d), "n_perm": 2 ** len(d), **by_name}


PROCEDURES: Mapping[str, Callable[[Case], Results]] = MappingProxyType(
    {"c01": _paired_t, "c02": _signed_rank, "c03": _ties_and_zeros, "c15": _sign_flips, "c16": _max_t}
)
