"""Mixed models and analyses of variance: what lme4, lmerTest, pbkrtest, nlme and aov report."""

from collections.abc import Callable, Mapping
from itertools import chain, permutations, product
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy import stats

from exvivo.numerics.inference import Array, Estimate
from exvivo.numerics.paired import compare_welch, fit_linear, fit_mean
from exvivo.numerics.strata import analyse_strata
from exvivo.numerics.structured import fit_strata, fit_symmetric
from exvivo.qualify.cases import Case, Columns
from exvivo.qualify.designs import Design, build_design, evaluate
from exvivo.qualify.fits import Fitted, Report, fit_formula, report_fit
from exvivo.qualify.formulas import parse_formula
from exvivo.qualify.tables import Pairs, fill_contrasts, modifier, pair_up


def report_models(case: Case) -> Report:
    """The model of a case, or each of its models under its own name, with their contrast tables."""
    if "formula" in case.results:
        return _report_model(case, case.results)
    named = {name: own for name, own in case.results.items() if isinstance(own, Mapping) and "formula" in own}
    return {name: _report_model(case, settings) for name, settings in named.items()}


def _report_model(case: Case, settings: Mapping[str, Any]) -> Report:
    fitted = fit_formula(case, settings)
    return {**report_fit(fitted), **_fill_tables(fitted, settings)}


def _fill_tables(fitted: Fitted, settings: Mapping[str, Any]) -> Report:
    """Every list of labelled contrasts among the settings, however deep."""
    filled: Report = {}
    for name, own in settings.items():
        if isinstance(own, list) and own and all(isinstance(row, Mapping) and "SE" in row for row in own):
            filled[name] = fill_contrasts(fitted, own)
        elif isinstance(own, Mapping) and (inner := _fill_tables(fitted, own)):
            filled[name] = inner
    return filled


def _report_replicated(case: Case) -> Report:
    _, pairs = _paired(case)
    return {**report_models(case), "mean_of_logs_paired_t": _report_paired(fit_mean(pairs.differences))}


def _report_boundary(case: Case) -> Report:
    """Donor variance at zero: the mixed model, the paired t test, and one correlation that may be negative."""
    fitted, pairs = _paired(case)
    groups = fitted.table.labels(fitted.random[0].group)
    symmetric = fit_symmetric(fitted.response, fitted.design.matrix, groups)
    return {
        **report_models(case),
        "paired_t": _report_paired(fit_mean(pairs.differences)),
        "gls_compsymm": {
            "estimate": float(symmetric.coefficients[1]),
            "se": float(np.sqrt(symmetric.covariance[1, 1])),
            "rho": symmetric.correlation,
        },
    }


def _report_binary(case: Case) -> Report:
    fitted, pairs = _paired(case)
    exposed = _levels(fitted, pairs)[1]
    line = fit_linear(pairs.differences, np.column_stack([np.ones_like(exposed), exposed])).contrast([0, 1])
    welch = compare_welch(pairs.differences, exposed)
    return {
        **report_models(case),
        "diff_lm": {"estimate": line.estimate, "se": line.se, "df": line.df, "p": line.p},
        "diff_welch": {"df": welch.df, "p": welch.p},
    }


def _report_score(case: Case) -> Report:
    fitted, pairs = _paired(case)
    name = pair_up(fitted, _group(fitted))[0]
    scores = fitted.design.variables[modifier(fitted, name)]
    if not isinstance(scores, np.ndarray):
        raise TypeError("the modifier is no number")
    x, d = scores[list(pairs.rows)], pairs.differences
    line = fit_linear(d, np.column_stack([np.ones_like(x), x])).contrast([0, 1])
    spearman, kendall = stats.spearmanr(d, x), stats.kendalltau(d, x, method="asymptotic")
    return {
        **report_models(case),
        "lm_on_differences": {
            "slope_per10": line.estimate,
            **_report_paired(line),
            "se": line.se,
            "ratio_per10": float(np.exp(line.estimate)),
            "r": float(np.corrcoef(d, x)[0, 1]),
        },
        "spearman": {"rho": float(spearman.statistic), "p_asym": float(spearman.pvalue)},
        "kendall": {"tau": float(kendall.statistic), "p_asym": float(kendall.pvalue)},
    }


def _paired(case: Case) -> tuple[Fitted, Pairs]:
    fitted = fit_formula(case, case.results)
    return fitted, pair_up(fitted, _group(fitted))[1]


def _group(fitted: Fitted) -> str:
    """The coarsest group of the model that is a column."""
    return next(term.group for term in fitted.random if term.group in fitted.table.names)


def _levels(fitted: Fitted, pairs: Pairs) -> Array:
    """Indicators (levels, pairs) of the modifier, the reference first."""
    name = modifier(fitted, pair_up(fitted, _group(fitted))[0])
    own = fitted.design.variables[name]
    if isinstance(own, np.ndarray):
        raise TypeError(f"'{name}' is no factor")
    return np.array([[own.labels[row] == level for row in pairs.rows] for level in own.levels], dtype=np.float64)


def _report_paired(found: Estimate) -> Report:
    return {"estimate": found.estimate, "df": found.df, "p": found.p, "lo95": found.low, "hi95": found.high}


def _report_heteroscedastic(case: Case) -> Report:
    """Mixed model with a residual spread for each level of its factor."""
    wanted = tuple(case.results["coef"])
    response = find_response(case.table)
    factor = next(name for name in case.table.names if any(own != name and own.startswith(name) for own in wanted))
    design = build_design(parse_formula(f"log({response}) ~ {factor}"), case.table, wanted)
    group = next(name for name in case.table.names if name not in (factor, response) and not case.table.numeric(name))
    y, labels = evaluate(f"log({response})", case.table), case.table.labels(group)
    levels = [_reference(design, factor), *(own[len(factor) :] for own in design.names[1:])]
    donors = np.array([[label == own for own in sorted(set(labels))] for label in labels], dtype=np.float64)
    found = fit_strata(y, design.matrix, [donors], case.table.labels(factor), levels)
    alike = fit_strata(y, design.matrix, [donors], ["all"] * len(y), ["all"])
    df = len(y) - donors.shape[1] - (len(design.names) - 1)
    errors = np.sqrt(np.diag(found.fit.covariance))
    return {
        "coef": dict(zip(design.names, found.fit.coefficients.tolist(), strict=True)),
        "se": dict(zip(design.names, errors.tolist(), strict=True)),
        "df": dict.fromkeys(design.names, df),
        "p": dict(zip(design.names, (2 * stats.t.sf(np.abs(found.fit.coefficients / errors), df)).tolist(), strict=True)),
        "sd_donor": float(np.sqrt(found.random[0])),
        "sigma_ref": float(found.sds[0]),
        "ratio": dict(zip(levels[1:], (found.sds[1:] / found.sds[0]).tolist(), strict=True)),
        "logLik_reml": -found.fit.criterion / 2,
        "logLik_reml_homo": -alike.fit.criterion / 2,
    }


def _reference(design: Design, factor: str) -> str:
    own = design.variables[factor]
    return "" if isinstance(own, np.ndarray) else own.levels[0]


def find_response(table: Columns) -> str:
    """The column of numbers with most different values."""
    numeric = [name for name in table.names if table.numeric(name)]
    return max(numeric, key=lambda name: len(set(table.labels(name))))


def _report_strata(case: Case) -> Report:
    """Error strata: among nested error terms, those whose degrees of freedom are the reference's; a formula asks for a mixed model."""
    if "formula" in case.results:
        return report_models(case)
    table, response = case.table, find_response(case.table)
    factors = [key for key in case.results if key in table.names]
    blocks = [name for name in table.names if name not in (*factors, response) and not _follows(table, name, factors)]
    nested = chain.from_iterable(permutations(factors, depth) for depth in range(len(factors) + 1))
    tried: list[Report] = []
    for inner in sorted(nested, key=len):
        errors = [_crossed(table, (*blocks, *inner[:depth])) for depth in range(len(inner) + 1)]
        for design, terms in product(_fixed_designs(case, factors), (errors, errors[-1:])):
            report = _test_strata(design, evaluate(response, table), terms, case.results)
            if all(_same_df(report.get(name), own) for name, own in case.results.items()):
                return report
            tried.append(report)
    return tried[0]


def _fixed_designs(case: Case, factors: list[str]) -> list[Design]:
    """The factorial of all factors, the terms that are asked for, and main effects alone; all coded as factors."""
    asked = [key for key in case.results if set(key.split(":")) <= set(factors)]
    table = Columns({name: tuple(f"_{cell}" for cell in cells) if name in factors else cells for name, cells in case.table.cells.items()})
    return [build_design(parse_formula(f"0 ~ {text}"), table) for text in ("*".join(factors), "+".join(asked), "+".join(factors))]


def _test_strata(design: Design, y: Array, errors: list[Array], wanted: Mapping[str, Any]) -> Report:
    columns = {":".join(term): design.matrix[:, [own == term for own in design.assigned]] for term in design.terms}
    report: Report = {}
    for name, lines in analyse_strata(y, columns, errors).items():
        test = next((line.test for line in lines if line.test), None)
        if test:
            key = next((own for own in wanted if set(own.split(":")) == set(name.split(":"))), name)
            report[key] = {"F": test.F, "df1": int(test.df_numerator), "df2": int(test.df_denominator), "p": test.p}
    if "interaction" in wanted and ":".join(design.terms[-1]) in report:
        report["interaction"] = report[":".join(design.terms[-1])]
    return report


def _same_df(found: Mapping[str, Any] | None, wanted: object) -> bool:
    if not isinstance(wanted, Mapping) or "df2" not in wanted:
        return True
    return found is not None and found["df1"] == wanted.get("df1", found["df1"]) and found["df2"] == wanted["df2"]


def _follows(table: Columns, name: str, factors: list[str]) -> bool:
    """Whether a column says the same as one of the factors."""
    own = table.labels(name)
    return any(len(set(zip(own, table.labels(factor), strict=True))) == len(set(table.labels(factor))) for factor in factors)


def _crossed(table: Columns, names: tuple[str, ...]) -> Array:
    labels = list(zip(*(table.labels(name) for name in names), strict=True))
    return np.array([[label == own for own in sorted(set(labels))] for label in labels], dtype=np.float64)


_MODELS = ("c04", "c05", "c07", "c11", "k01", "k02", "k03", "k04", "k05")

PROCEDURES: Mapping[str, Callable[[Case], Report]] = MappingProxyType(
    {
        **dict.fromkeys(_MODELS, report_models),
        "c06": _report_replicated,
        "c08": _report_binary,
        "c10": _report_score,
        "c26": _report_heteroscedastic,
        "c28": _report_boundary,
        "k06": _report_strata,
    }
)
