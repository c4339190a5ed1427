"""Cases with values beyond limits: Tobit regression, censored pairs, summaries of non-detects.

Columns are known by what they hold: a flag is a column of zeros and ones, its name tells which value it belongs to.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from exvivo.numerics.censored import CensoredFit, Covariance, fit_censored_pairs
from exvivo.numerics.censored_mixed import fit_censored_mixed
from exvivo.numerics.nondetects import (
    compare_groups,
    fit_lognormal,
    summarise_kaplan_meier,
    summarise_lognormal,
    summarise_order_statistics,
)
from exvivo.numerics.tobit import fit_tobit
from exvivo.qualify.cases import Case, Columns

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Results = Mapping[str, Any]
_INTERCEPT, _LOG_SCALE = "(Intercept)", "Log(scale)"


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Bounds (n, 2) of the ln values of both conditions, and the names of the comparator's and the drug's mean."""

    comparator: Array
    drug: Array
    names: tuple[str, str]


def _tobit(case: Case) -> Results:
    """Regression of ln values with limits on both sides; the terms asked for tell the predictors."""
    table = case.table
    asked = [name for name in case.results["coef"] if name != _INTERCEPT]
    terms = {name: _find_term(table, name) for name in asked}
    used = {column for column, _ in terms.values()}
    flags = [name for name in _flag_columns(table) if name not in used]
    response = next(name for name in table.names if table.numeric(name) and name not in used and name not in flags)
    y = np.log(table.numbers(response))
    left, right = _sides(table, flags, y)
    low, high = np.where(left, -np.inf, y), np.where(right, np.inf, y)
    X = np.column_stack([np.ones(len(y)), *(values for _, values in terms.values())])
    fit, names = fit_tobit(low, high, X), [_INTERCEPT, *asked]
    alone = fit_tobit(low, high, X[:, :1])
    tests = [fit.z_test(row).p for row in np.eye(len(names))]
    tests.append(2 * float(special.ndtr(-abs(np.log(fit.scale) / fit.se[-1]))))
    return {
        "n_left": int(left.sum()),
        "n_right": int(right.sum()),
        "coef": dict(zip(names, fit.coefficients.tolist(), strict=True)),
        "scale": fit.scale,
        "se": dict(zip([*names, _LOG_SCALE], fit.se.tolist(), strict=True)),
        "p": dict(zip([*names, _LOG_SCALE], tests, strict=True)),
        "loglik": fit.log_likelihood,
        "intercept_only": {"mu": float(alone.coefficients[0]), "sigma": alone.scale, "loglik": alone.log_likelihood},
        "lognormal_left_only_no_right": _without_right(y, left, X, names),
    }


def _without_right(y: Array, left: Flags, X: Array, names: list[str]) -> Results:
    """The same with limits above taken as values; its log likelihood is that of the values, not of their logarithms."""
    fit = fit_tobit(np.where(left, -np.inf, y), y, X)
    coefficients = dict(zip(names, fit.coefficients.tolist(), strict=True))
    return {"coef": coefficients, "scale": fit.scale, "loglik": fit.log_likelihood - float(y[~left].sum())}


def compare_arms(case: Case) -> Results:
    """Left-censored regression on two arms, as PROC LIFEREG prints it; the name of the effect tells which is which."""
    table = case.table
    effect = next(name for name in case.results if "_minus_" in name)
    treated, reference = effect.removeprefix("effect_").split("_minus_")
    arm = next(name for name in table.names if {treated, reference} <= set(table.labels(name)))
    flag = next(name for name in _flag_columns(table) if name != arm)
    y = table.numbers(next(name for name in table.names if table.numeric(name) and name not in (arm, flag)))
    used = np.isin(table.labels(arm), [treated, reference])
    X = np.column_stack([np.ones(len(y)), np.array(table.labels(arm)) == treated])[used]
    fit = fit_tobit(np.where(table.numbers(flag) == 1, -np.inf, y)[used], y[used], X)
    test = fit.z_test([0.0, 1.0])
    return {
        effect: test.estimate,
        "se": test.se,
        "p": test.p,
        "lo95": test.low,
        "hi95": test.high,
        "sigma": fit.scale,
        "p_one_sided_upper": test.p_greater,
    }


def _censored_pairs(case: Case) -> Results:
    pairs = _read_pairs(case)
    intercept = fit_censored_pairs(pairs.drug, pairs.comparator, covariance=Covariance.EXCHANGEABLE)
    general = fit_censored_pairs(pairs.drug, pairs.comparator)
    below = [np.isneginf(own[:, 0]) for own in (pairs.comparator, pairs.drug)]
    return {
        "n": len(pairs.drug),
        "n_cens_vehicle": int(below[0].sum()),
        "n_cens_drug": int(below[1].sum()),
        "n_cens_both": int((below[0] & below[1]).sum()),
        "random_intercept_tobit": {
            **_report_means(intercept, pairs),
            "sigma_total": intercept.sd_drug,
            "icc": intercept.correlation,
            "sd_donor": intercept.sd_drug * max(intercept.correlation, 0.0) ** 0.5,
            "sd_resid": intercept.sd_drug * (1 - max(intercept.correlation, 0.0)) ** 0.5,
            "lr_chi2": intercept.likelihood_ratio,
            "lr_p": float(special.chdtrc(1, intercept.likelihood_ratio)),
        },
        "bivariate_normal": {
            **_report_means(general, pairs),
            "sd": [general.sd_comparator, general.sd_drug],
            "rho": general.correlation,
        },
    }


def _mixed(case: Case) -> Results:
    """Random donor intercept by quadrature; `REML` is ours, by an adjusted profile likelihood, and need not be that of the reference."""
    pairs = _read_pairs(case)
    count = len(pairs.drug)
    bounds = np.concatenate([pairs.comparator, pairs.drug])
    X = np.column_stack([np.ones(2 * count), np.arange(2 * count) >= count])
    found = {}
    for name, restricted in (("ML", False), ("REML", True)):
        fit = fit_censored_mixed(bounds[:, 0], bounds[:, 1], X, 2 * list(range(count)), restricted=restricted)
        beta, se = fit.coefficients.tolist(), fit.se.tolist()
        found[name] = {"beta": beta, "sigma": fit.residual_sd, "psi": fit.donor_sd**2, "se": se, "loglik": fit.log_likelihood}
    return found


def _nondetects(case: Case) -> Results:
    """Summaries of the first measurement, groups compared on the second if there is one."""
    table = case.table
    flag = _flag_columns(table)[0]
    measured = [name for name in table.names if table.numeric(name) and name != flag and len(set(table.labels(name))) > 2]
    group = next((name for name in table.names if name != flag and name not in measured), None)
    y, below = table.numbers(measured[0]), table.numbers(flag) == 1
    summaries = {
        "km": asdict(summarise_kaplan_meier(y, below)),
        "mle": asdict(summarise_lognormal(y, below)),
        "ros": asdict(summarise_order_statistics(y, below)),
    }
    counts = {"n": len(y), "n_cens": int(below.sum())}
    if group is None:
        return {**counts, **summaries}
    other, labels = table.numbers(measured[-1]), np.array(table.labels(group))
    test = compare_groups(other, below, labels)
    levels = sorted(set(table.labels(group)))
    fit = fit_lognormal(other, below, np.column_stack([labels == level for level in levels[1:]]))
    return {
        **counts,
        **summaries,
        "cendiff": {"chisq": test.chi_square, "p": test.p},
        "cenmle_group": {"coef": fit.coefficients.tolist(), "scale": fit.scale},
    }


def _report_means(fit: CensoredFit, pairs: _Pairs) -> dict[str, float]:
    return {
        pairs.names[0]: fit.mean_comparator,
        pairs.names[1]: fit.mean_drug,
        "log_ratio": fit.estimate,
        "se": fit.se,
        "loglik": fit.log_likelihood,
    }


def _read_pairs(case: Case) -> _Pairs:
    """Both conditions and their flags; the comparator is named by the first mean that is asked for, or stands first."""
    table = case.table
    flags = _flag_columns(table)
    arms = {_flagged(table, flag): table.numbers(flag) == 1 for flag in flags}
    names = list(arms)
    asked = [name for name in case.results.get("bivariate_normal", {}) if name.startswith("mean_")]
    if asked and asked[0].removeprefix("mean_") == names[1]:
        names.reverse()

    def bounds(name: str) -> Array:
        ln = np.log(table.numbers(name))
        return np.column_stack([np.where(arms[name], -np.inf, ln), ln])

    comparator, drug = bounds(names[0]), bounds(names[1])
    complete = ~(np.isnan(comparator).any(axis=1) | np.isnan(drug).any(axis=1))
    return _Pairs(comparator[complete], drug[complete], (asked[0], asked[1]) if len(asked) == 2 else ("mean_vehicle", "mean_drug"))


def _flag_columns(table: Columns) -> list[str]:
    """Columns of zeros and ones; those that are named after censoring first."""
    flags = [name for name in table.names if table.numeric(name) and set(table.numbers(name)) <= {0.0, 1.0}]
    return sorted(flags, key=lambda name: "cen" not in name.lower())


def _flagged(table: Columns, flag: str) -> str:
    """The measurement whose name a flag's name begins or ends with; the longest where there are several."""
    found = [name for name in table.names if name != flag and table.numeric(name) and (flag.startswith(name) or flag.endswith(name))]
    return max(found, key=len) if found else table.names[table.names.index(flag) - 1]


def _sides(table: Columns, flags: list[str], y: Array) -> tuple[Flags, Flags]:
    """Which responses lie below a limit and which above; a flag without a telling name belongs to the side of its values."""
    left, right = np.zeros(len(y), dtype=bool), np.zeros(len(y), dtype=bool)
    for name in flags:
        flagged = table.numbers(name) == 1
        told = [side for side in ("left", "right", "low", "high", "upp") if side in name.lower()]
        above = told[0] in ("right", "high", "upp") if told else bool(flagged.any() and y[flagged].mean() > np.median(y))
        (right if above else left)[flagged] = True
    return left, right


def _find_term(table: Columns, term: str) -> tuple[str, Array]:
    """Column of a coefficient and its values: the numeric column of that name, or whether a factor has the level named."""
    if term in table.names and table.numeric(term):
        return term, table.numbers(term)
    for name in sorted(table.names, key=len, reverse=True):
        if term.startswith(name) and (level := term.removeprefix(name)) in table.labels(name):
            return name, (np.array(table.labels(name)) == level).astype(np.float64)
    raise ValueError(f"no column of the table gives the term {term!r}")


PROCEDURES: Mapping[str, Callable[[Case], Results]] = MappingProxyType(
    {"c13": _tobit, "c14": _censored_pairs, "c31": _nondetects, "c32": _mixed}
)
