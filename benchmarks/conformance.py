"""The shipped reference cases in exvivo and in the Python packages that are installed beside it.

    python benchmarks/conformance.py

One line for each number: what R gave, and the relative difference of every package from it, or [its number] where that is
over 1 %. A dot says that the package has no such number, `absent` that it is not installed. Exit code 1 if exvivo is outside
a tolerance of a case.
"""

import sys
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module, metadata, util
from typing import Any

import numpy as np
from scipy import stats

from exvivo.engine import one_thread
from exvivo.qualify.cases import Case, find_cases, shipped_folder
from exvivo.qualify.designs import evaluate
from exvivo.qualify.fits import fit_formula
from exvivo.qualify.judging import judge_case
from exvivo.qualify.procedures import PROCEDURES

Numbers = Mapping[str, float]
Peer = Callable[[Case], Numbers]

_PACKAGES = {
    "scipy": "scipy",
    "statsmodels": "statsmodels",
    "pingouin": "pingouin",
    "interlace-lme": "interlace",
    "kamino-lme": "kamino",
    "mixedlm": "mixedlm",
    "lme-python": "lme_python",
}
_FAR = 0.01  # from here on the number itself is printed
_DRUG = {"c04": "condruxolitinib", "c05": "condruxolitinib", "c06": "condruxolitinib", "c28": "condruxolitinib"}


def fit_statsmodels(case: Case) -> Numbers:
    """MixedLM by REML; its p-value refers to the normal distribution."""
    MixedLM = import_module("statsmodels.regression.mixed_linear_model").MixedLM
    fitted = fit_formula(case, case.results)
    outer = next(term for term in fitted.random if ":" not in term.group)
    groups = fitted.table.labels(outer.group)
    n = len(groups)
    nested = [term for term in fitted.random if term is not outer]
    kinds: dict[str, Any] = {}
    if nested:
        labels = ["/".join(cells) for cells in zip(*(fitted.table.labels(name) for name in nested[0].group.split(":")), strict=True)]
        kinds = {"exog_vc": _nested_components(groups, labels)}
    found = MixedLM(fitted.response, fitted.design.matrix, groups=groups, exog_re=np.ones((n, 1)), **kinds).fit(reml=True)
    estimate, se = found.fe_params[1], found.bse_fe[1]
    return {"reml_criterion": -2 * found.llf, "estimate": estimate, "se": se, "p": float(2 * stats.norm.sf(abs(estimate / se)))}


def _nested_components(groups: tuple[str, ...], labels: list[str]) -> Any:  # noqa: ANN401  statsmodels has no types
    matrices, names = [], []
    for group in sorted(set(groups)):
        own = [label for label, other in zip(labels, groups, strict=True) if other == group]
        inner = sorted(set(own))
        matrices.append(np.array([[label == name for name in inner] for label in own], dtype=np.float64))
        names.append(inner)
    return import_module("statsmodels.regression.mixed_linear_model").VCSpec(["nested"], [names], [matrices])


def compare_mixed(case: Case, ours: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """R's and our Kenward-Roger line of the effect that a case is about."""
    name = _DRUG[case.prefix]
    theirs, own = case.results["kenward_roger"][name], ours["kenward_roger"][name]
    lines = {key: (theirs[key], own[key]) for key in ("estimate", "se", "df", "p")}
    return {"reml_criterion": (case.results["reml_criterion"], ours["reml_criterion"]), **lines}


def scipy_pairs(case: Case) -> Numbers:
    """Signed-rank test of the differences with Pratt's zeros, as scipy chooses and exact."""
    d = evaluate(f"{case.table.names[2]} - {case.table.names[1]}", case.table)
    return {
        "coin_pratt_exact_p": float(stats.wilcoxon(np.round(d, 9), zero_method="pratt", method="exact").pvalue),
        "coin_pratt_asym_p": float(stats.wilcoxon(np.round(d, 9), zero_method="pratt", method="asymptotic").pvalue),
    }


def scipy_paired_t(case: Case) -> Numbers:
    """Paired t test on logs."""
    first, second = (np.log(case.table.numbers(name)) for name in case.table.names[1:3])
    return {"p": float(stats.ttest_rel(second, first).pvalue)}


def scipy_ranks(case: Case) -> Numbers:
    """Rank correlations."""
    x, y = (case.table.numbers(name) for name in case.table.names[:2])
    return {
        "spearman_exact/p": float(stats.spearmanr(x, y).pvalue),
        "kendall_exact/p": float(stats.kendalltau(x, y, method="exact").pvalue),
        "pearson/p": float(stats.pearsonr(x, y).pvalue),
    }


def scipy_groups(case: Case) -> Numbers:
    """Kruskal-Wallis, which scipy refers to chi-squared."""
    y, g = case.table.numbers(case.table.names[0]), np.array(case.table.labels(case.table.names[1]))
    p = float(stats.kruskal(*(y[g == level] for level in np.unique(g))).pvalue)
    return {"kw_p_asym": p, "kSamples_qn/exact P-Value": p}


def statsmodels_pooled(case: Case) -> Numbers:
    """Random-effects mean."""
    combine_effects = import_module("statsmodels.stats.meta_analysis").combine_effects
    y, v = (case.table.numbers(name) for name in case.table.names[:2])
    laird, mandel = (combine_effects(y, v, method_re=method, atol=1e-12) for method in ("chi2", "iterated"))
    return {
        "DL_z/mu": laird.mean_effect_re,
        "DL_z/se": laird.sd_eff_w_re,
        "PM_knha/se": mandel.sd_eff_w_re_hksj,
        "PM_knha/tau2": mandel.tau2,
    }


def pingouin_pairs(case: Case) -> Numbers:
    """Paired t test on logs."""
    first, second = (np.log(case.table.numbers(name)) for name in case.table.names[1:3])
    return {"p": float(import_module("pingouin").ttest(second, first, paired=True)["p-val"].iloc[0])}


_PEERS: Mapping[str, Mapping[str, Peer]] = {
    "c01": {"scipy": scipy_paired_t, "pingouin": pingouin_pairs},
    "c03": {"scipy": scipy_pairs},
    **{prefix: {"statsmodels": fit_statsmodels} for prefix in _DRUG},
    "c19": {"scipy": scipy_groups},
    "c20": {"scipy": scipy_ranks},
    "c25": {"statsmodels": statsmodels_pooled},
}


def look_up(results: Any, path: str) -> float:  # noqa: ANN401  nested as JSON is
    """Number at a path."""
    for key in path.split("/"):
        own = next((name for name in results if name.strip() == key), key)
        results = results[own]
    return float(results)


def compare(case: Case, columns: list[str]) -> None:
    """Print the lines of one case."""
    ours, peers = PROCEDURES[case.prefix](case), _PEERS[case.prefix]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {name: peer(case) for name, peer in peers.items() if util.find_spec(_PACKAGES[name])}
    if case.prefix in _DRUG:
        lines = compare_mixed(case, ours)
    else:
        paths = list(dict.fromkeys(path for own in found.values() for path in own))
        lines = {path: (look_up(case.results, path), look_up(ours, path)) for path in paths}
    for path, (theirs, own) in lines.items():
        cells = [f"{theirs:14.6g}", _difference(own, theirs), *(_cell(found.get(name), path, name, theirs) for name in columns)]
        print(f"{case.id:26s}{path:28s}" + "".join(f"{cell:>14s}" for cell in cells))


def _cell(found: Numbers | None, path: str, name: str, theirs: float) -> str:
    if not util.find_spec(_PACKAGES[name]):
        return "absent"
    return _difference(found[path], theirs) if found and path in found else "."


def _difference(value: float, theirs: float) -> str:
    relative = abs(value - theirs) / max(abs(theirs), 1e-300)
    return f"{relative:.0e}" if relative < _FAR else f"[{value:.3g}]"


def main() -> int:
    """Print the table."""
    present = {name: metadata.version(name) for name, module in _PACKAGES.items() if util.find_spec(module)}
    print("installed:", ", ".join(f"{name} {version}" for name, version in present.items()))
    print("absent:", ", ".join(name for name in _PACKAGES if name not in present))
    columns = ["scipy", "statsmodels", "pingouin"]
    print(f"{'case':26s}{'number':28s}" + "".join(f"{name:>14s}" for name in ["R", "exvivo", *columns]))
    outside = 0
    with shipped_folder() as folder:
        for case in find_cases(folder):
            if case.prefix in _PEERS and case.prefix in PROCEDURES:
                compare(case, columns)
                outside += sum(not check.passed for check in judge_case(case))
    print(f"exvivo: {outside} numbers of these cases outside their tolerance")
    return 1 if outside else 0


if __name__ == "__main__":
    with one_thread():
        sys.exit(main())
