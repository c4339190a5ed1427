"""Contrasts judged together, and estimates brought together: emmeans, multcomp, metafor and mice."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import combinations
from types import MappingProxyType

import numpy as np
from scipy import stats

from exvivo.numerics.combining import combine_imputations
from exvivo.numerics.inference import Array
from exvivo.numerics.meta import Between, Pooled, pool_estimates
from exvivo.numerics.paired import design_levels, differences_of_levels, fit_linear
from exvivo.numerics.simultaneous import (
    FAMILY_ADJUSTMENTS,
    Family,
    adjust_family,
    adjust_free,
    adjust_shaffer,
    adjust_single_step,
    adjust_westfall,
    correlate,
    critical_value,
)
from exvivo.qualify.cases import Case, Columns
from exvivo.qualify.designs import Design, Factor, build_design, evaluate, marginal_means, polynomials
from exvivo.qualify.fits import Fitted, Report, fit_formula, report_contrast, report_fit
from exvivo.qualify.formulas import parse_formula
from exvivo.qualify.procedures.models import find_response, report_models
from exvivo.qualify.tables import contrast_weights, modifier, pair_up

_DEGREES = ("linear", "quadratic", "cubic", "quartic")


def _report_levels(case: Case) -> Report:
    """A modifier with several levels: the model, the same on differences, and the levels shrunken to their mean."""
    fitted = fit_formula(case, case.results)
    group = next(term.group for term in fitted.random if term.group in fitted.table.names)
    drug, pairs = pair_up(fitted, group)
    own = fitted.design.variables[modifier(fitted, drug)]
    if not isinstance(own, Factor):
        raise TypeError("the modifier is no factor")
    labels = [own.labels[row] for row in pairs.rows]
    linear = fit_linear(pairs.differences, design_levels(labels, own.levels))
    joint = linear.joint(differences_of_levels(len(own.levels)))
    samples = [pairs.differences[np.array(labels) == level] for level in own.levels]
    kruskal = stats.kruskal(*samples)
    means = np.array([sample.mean() for sample in samples])
    variances = linear.sd**2 / np.array([sample.size for sample in samples])
    return {
        **report_models(case),
        "anova_on_differences": {"F": joint.F, "p": joint.p, "df1": joint.df_numerator, "df2": joint.df_denominator},
        "kruskal_on_differences": {"chi2": float(kruskal.statistic), "p": float(kruskal.pvalue)},
        "shrinkage_rma": _report_shrunken(own.levels, means, variances),
    }


def _report_shrunken(levels: tuple[str, ...], means: Array, variances: Array) -> Report:
    pooled = pool_estimates(means, variances)
    return {
        "level": list(levels),
        "yi": means.tolist(),
        "vi": variances.tolist(),
        "tau2": pooled.tau2,
        "mu": pooled.mean.estimate,
        "Q": pooled.Q,
        "Qp": pooled.p_heterogeneity,
        "blup": pooled.predicted.tolist(),
        "blup_se": pooled.predicted_se.tolist(),
    }


def _report_doses(case: Case) -> Report:
    """A dose series: each dose against the reference, all pairs and trends, adjusted in every way."""
    fitted = fit_formula(case, case.results)
    name, levels = next((name, own.levels) for name, own in fitted.design.variables.items() if isinstance(own, Factor))
    _, means = marginal_means(fitted.design, [name])
    against = {f"{levels[k]} - {levels[0]}": means[k] - means[0] for k in range(1, len(levels))}
    pairs = {f"{levels[j]} - {levels[i]}": means[j] - means[i] for j in range(len(levels)) for i in range(j)}
    trends = {label: scores @ means for label, scores in _trends(len(levels)).items()}
    return {
        **report_fit(fitted),
        "adjust": {
            "trt_vs_ctrl": _adjusted(fitted, against),
            "pairs": _adjusted(fitted, pairs),
            "trt_vs_ctrl_table": [report_contrast(fitted.contrast(row), contrast=label) for label, row in against.items()],
            "poly": [report_contrast(fitted.contrast(row), contrast=label) for label, row in trends.items()],
        },
    }


def _adjusted(fitted: Fitted, contrasts: Mapping[str, Array]) -> Report:
    rows = np.array(list(contrasts.values()))
    found = [fitted.contrast(row) for row in rows]
    family = Family(
        t=np.array([own.t for own in found]),
        df=np.array([own.df for own in found]),
        p=np.array([own.p for own in found]),
        correlation=correlate(rows, fitted.fit.covariance_adjusted),
        rank=int(np.linalg.matrix_rank(rows)),
    )
    names = {"bh": "BH", "by": "BY"}
    adjusted = {names.get(method, method): adjust_family(family, method).tolist() for method in FAMILY_ADJUSTMENTS if method != "mvt"}
    whole = np.floor(family.df + 0.25)
    return {**adjusted, "mvt": adjust_single_step(family.t, family.correlation, whole.tolist()).tolist()}


def _trends(levels: int) -> dict[str, Array]:
    """Whole-numbered polynomial scores of equally spaced levels, as emmeans scales them."""
    names = [*_DEGREES, *(f"degree {k}" for k in range(5, levels))]
    return {name: _whole(scores) for name, scores in zip(names, polynomials(levels).T[:6], strict=False)}


def _whole(scores: Array) -> Array:
    scaled = scores / scores[scores > 0.01].min()
    while (off := float(np.abs(scaled - np.round(scaled)).max())) > 0.05:
        scaled = scaled / off
    return np.asarray(np.round(scaled), dtype=np.float64)


def _report_general(case: Case) -> Report:
    """All pairs of levels in a linear model: single step, and step-down with and without logical constraints."""
    labels = [str(label) for label in case.results["names"]]
    table = case.table
    response = find_response(table)
    factors = [name for name in table.names if name != response]
    design, rows = _design_with(table, factors, labels, case.results.get("df"))
    fit = fit_linear(evaluate(response, table), design.matrix)
    found = [fit.contrast(row) for row in rows]
    t, df = np.array([own.t for own in found]), float(fit.df)
    R = correlate(rows, fit.covariance)
    half = critical_value(R, df)
    return {
        "names": labels,
        "estimate": [own.estimate for own in found],
        "se": [own.se for own in found],
        "t": t.tolist(),
        "df": int(df),
        "single_step": adjust_single_step(t, R, df).tolist(),
        "westfall": adjust_westfall(t, rows, fit.covariance, df).tolist(),
        "free": adjust_free(t, R, df).tolist(),
        "shaffer": adjust_shaffer(t, rows, df).tolist(),
        "simultaneous_lo": [own.estimate - half * own.se for own in found],
        "simultaneous_hi": [own.estimate + half * own.se for own in found],
    }


def _design_with(table: Columns, factors: list[str], labels: list[str], df: object) -> tuple[Design, Array]:
    """Model of all factors, or some, added or crossed, that has the residual degrees of freedom, and the weights of its contrasts."""
    chosen = [subset for size in range(len(factors), 0, -1) for subset in combinations(factors, size)]
    found = []
    for text in (sign.join(subset) for subset in chosen for sign in ("+", "*")[: len(subset)]):
        design = build_design(parse_formula(f"0 ~ {text}"), table, _as_factors(table, factors))
        with suppress(ValueError):
            found.append((design, np.array([_simple_contrast(design, label) for label in labels])))
    if not found:
        raise ValueError(f"'{labels[0]}' compares levels that no column has")
    return next((own for own in found if len(own[0].matrix) - own[0].matrix.shape[1] == df), found[0])


def _simple_contrast(design: Design, label: str) -> Array:
    """Weights of a difference of levels, every other factor at its reference, as multcomp has it."""
    references = {name: own.levels[0] for name, own in design.variables.items() if isinstance(own, Factor)}
    for name in references:
        with suppress(ValueError):
            return contrast_weights(design, {"contrast": label, **{other: level for other, level in references.items() if other != name}})
    raise ValueError(f"'{label}' compares levels that no factor of the model has")


def _as_factors(table: Columns, factors: list[str]) -> list[str]:
    """Coefficient names that make factors of columns whose levels are numbers."""
    return [f"{name}{level}" for name in factors if table.numeric(name) for level in sorted(set(table.labels(name)), key=float)[1:]]


def _report_imputed(case: Case) -> Report:
    q, u = (case.table.numbers(name) for name in case.table.names[:2])
    n, k = int(case.results["n"]), int(case.results.get("k", 1))
    found = combine_imputations(q, u, df_complete=n - k)
    return {
        "n": n,
        "k": k,
        "m": q.size,
        "qbar": found.estimate.estimate,
        "ubar": found.within,
        "b": found.between,
        "t": found.total,
        "df_barnard_rubin": found.estimate.df,
        "r": found.increase,
        "fmi": found.missing,
        "df_rubin_1987": found.df_large,
        "p": found.estimate.p,
        "lo95": found.estimate.low,
        "hi95": found.estimate.high,
    }


_POOLINGS = MappingProxyType(
    {
        "REML_z": (Between.REML, False),
        "REML_knha": (Between.REML, True),
        "DL_z": (Between.DERSIMONIAN_LAIRD, False),
        "DL_knha": (Between.DERSIMONIAN_LAIRD, True),
        "PM_z": (Between.PAULE_MANDEL, False),
        "PM_knha": (Between.PAULE_MANDEL, True),
        "FE": (Between.NONE, False),
    }
)


def _report_pooled(case: Case) -> Report:
    y, v = (case.table.numbers(name) for name in case.table.names[:2])
    return {name: _report_mean(pool_estimates(y, v, between=between, knapp_hartung=knapp)) for name, (between, knapp) in _POOLINGS.items()}


def _report_mean(pooled: Pooled) -> Report:
    mean = pooled.mean
    return {
        "mu": mean.estimate,
        "se": mean.se,
        "tau2": pooled.tau2,
        "p": mean.p,
        "lo95": mean.low,
        "hi95": mean.high,
        "I2": pooled.I2,
        "Q": pooled.Q,
    }


PROCEDURES: Mapping[str, Callable[[Case], Report]] = MappingProxyType(
    {
        "c09": _report_levels,
        "c12": _report_doses,
        "c24": _report_imputed,
        "c25": _report_pooled,
        "c27": _report_general,
    }
)
