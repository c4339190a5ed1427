"""Ranks between and within donors, and correlations: two samples, several groups, trends, Spearman, Kendall, Pearson."""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from exvivo.numerics.correlation import RankCorrelation, correlate_kendall, correlate_pearson, correlate_spearman
from exvivo.numerics.groups import compare_friedman, compare_kruskal, trend_between, trend_within
from exvivo.numerics.paired import compare_welch
from exvivo.numerics.ranksum import approximate_rank_sum, compare_rank_sum, count_splits, estimate_shift, invert_rank_sum
from exvivo.qualify.cases import Case
from exvivo.qualify.procedures.roles import groups_of, sorted_levels, two_measurements, within_donors

Array = NDArray[np.float64]
Results = Mapping[str, Any]
_SEED = 5


def _two_samples(case: Case) -> Results:
    first, second = list(groups_of(case).values())[:2]
    test, shift = compare_rank_sum(first, second), estimate_shift(first, second)
    centre, low, high = invert_rank_sum(first, second)
    values, in_first = np.concatenate([first, second]), np.repeat([True, False], [first.size, second.size])
    results = {
        "W": test.statistic,
        "p_exact": _far_splits(first, second),
        "hl": centre if np.isfinite(centre) else None,
        "lo": low,
        "hi": high,
        "coin_p": test.p,
        "coin_hl": shift.estimate,
        "coin_lo": shift.low,
        "coin_hi": shift.high,
        "normal_cc": {"p": approximate_rank_sum(first, second)},
        "auc": test.superiority,
    }
    if values.min() > 0:
        welch = compare_welch(np.log(values), in_first)
        limits = {"gmr": welch.estimate, "lo": welch.low, "hi": welch.high}
        results["welch_log"] = {key: float(np.exp(value)) for key, value in limits.items()} | {"df": welch.df, "p": welch.p}
    return results


def _far_splits(first: Array, second: Array) -> float:
    """Two-sided p of the rank sum as exactRankTests has it: its expected sum is rounded, and may miss the mirrored one."""
    ranks = np.asarray(stats.rankdata(np.concatenate([first, second])))
    counts = count_splits(np.rint(2 * ranks).astype(np.int64), first.size)
    centre = first.size / ranks.size * float(ranks.sum())
    distance = abs(float(ranks[: first.size].sum()) - centre)
    apart = np.arange(counts.size) / 2 - centre
    far = (apart <= -distance) | (apart >= distance)
    return float(counts[far].sum() / counts.sum())


def _several_groups(case: Case) -> Results:
    groups = groups_of(case)
    values = [groups[level] for level in sorted_levels(list(groups))]
    kruskal, trend = compare_kruskal(values, rng=np.random.default_rng(_SEED)), trend_between(values)
    return {
        "kw_chi2": kruskal.statistic,
        "kw_p_asym": kruskal.p,
        "kSamples_qn": {"test statistic": kruskal.statistic, " asympt. P-value": kruskal.p, "exact P-Value": kruskal.p_exact},
        "kSamples_jt": {
            "test statistic": trend.statistic,
            "mu": trend.mean,
            "sig": trend.sd,
            " asympt. P-value": trend.p_rising,
            "exact P-Value": trend.p_exact_rising,
        },
    }


def _correlations(case: Case) -> Results:
    x, y = two_measurements(case)
    spearman, kendall, pearson = correlate_spearman(x, y), correlate_kendall(x, y), correlate_pearson(x, y)
    tied = _coarsened(case.results.get("ties_transform", ""), x, y)
    return {
        "spearman_exact": _as_printed(spearman),
        "kendall_exact": _as_printed(kendall),
        "spearman_asym": _as_printed(spearman) | {"p": spearman.p_large},
        "pearson": {"r": pearson.r, "p": pearson.p, "lo": pearson.low, "hi": pearson.high},
        **_tied_correlations(*tied),
    }


def _tied_correlations(x: Array, y: Array) -> dict[str, Any]:
    if min(np.ptp(x), np.ptp(y)) == 0:
        nothing = dict.fromkeys(("estimate", "statistic", "p"))
        return {"ties_spearman": nothing, "ties_kendall": nothing, "coin_spearman_ties_asym_p": None}
    spearman, kendall = correlate_spearman(x, y), correlate_kendall(x, y)
    large = 2 * float(special.ndtr(-abs(spearman.z)))
    return {"ties_spearman": _as_printed(spearman), "ties_kendall": _as_printed(kendall), "coin_spearman_ties_asym_p": large}


def _as_printed(test: RankCorrelation) -> dict[str, float]:
    return {"estimate": test.estimate, "statistic": test.statistic, "p": test.p_r}


def _coarsened(words: str, x: Array, y: Array) -> tuple[Array, Array]:
    """Values rounded as the case says, e.g. ``x->round(x/2), y->round(y)``; half a unit goes to the even neighbour."""
    steps = {name: float(step or 1) for name, step in re.findall(r"round\((\w)\s*(?:/\s*([\d.]+))?\)", words)}
    return np.round(x / steps.get("x", 1.0)), np.round(y / steps.get("y", 1.0))


def _within(case: Case) -> Results:
    values = within_donors(case)
    friedman, page = compare_friedman(values, rng=np.random.default_rng(_SEED)), trend_within(values)
    return {
        "friedman_chi2": friedman.statistic,
        "friedman_df": friedman.df,
        "friedman_p": friedman.p,
        "page_z": page.z,
        "page_p_asym_two_sided": page.p,
        "page_L": page.statistic,
    }


PROCEDURES: Mapping[str, Callable[[Case], Results]] = MappingProxyType(
    {"c18": _two_samples, "c19": _several_groups, "c20": _correlations, "c21": _within}
)
