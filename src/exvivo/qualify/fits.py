"""A case's formula and table -> a fitted model, and its numbers under the names that R's packages give them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from exvivo.numerics.inference import Array, Estimate, JointTest
from exvivo.numerics.mixed import DegreesOfFreedom, MixedFit, fit_mixed
from exvivo.qualify.cases import Case, Columns
from exvivo.qualify.designs import Design, RandomTerm, build_design, build_random, drop_missing, evaluate, marginal_tests
from exvivo.qualify.formulas import Formula, parse_formula

Report = dict[str, Any]

_METHODS = {"satterthwaite": DegreesOfFreedom.SATTERTHWAITE, "kenward_roger": DegreesOfFreedom.KENWARD_ROGER}


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model of a case: its formula, the rows it uses, its design and its fit."""

    formula: str
    table: Columns
    response: Array
    design: Design
    random: tuple[RandomTerm, ...]
    fit: MixedFit

    def contrast(self, weights: Array, method: DegreesOfFreedom = DegreesOfFreedom.KENWARD_ROGER) -> Estimate:
        """T inference for a weighted sum of coefficients."""
        return self.fit.contrast(weights, method=method)


def fit_formula(case: Case, settings: Mapping[str, Any]) -> Fitted:
    """Fit the formula that a case's settings name; names of coefficients there tell how columns are coded."""
    formula = parse_formula(settings["formula"])
    table = _with_derived(case, formula)
    table = drop_missing(table, _columns_of(formula, table))
    wanted = next((tuple(settings[key]) for key in _METHODS if settings.get(key)), ())
    design = build_design(formula, table, wanted)
    random = build_random(formula.random, table, design.variables)
    response = evaluate(formula.response, table)
    fit = fit_mixed(response, design.matrix, [term.component for term in random])
    return Fitted(settings["formula"], table, response, design, random, fit)


def report_fit(fitted: Fitted) -> Report:
    """Everything that a reference holds of one mixed model."""
    fit, design = fitted.fit, fitted.design
    report: Report = {
        "formula": fitted.formula,
        "n_obs": len(fitted.response),
        "reml_criterion": fit.criterion,
        "singular": fit.singular,
        "varcomp": dict(zip(_component_names(fitted.random), fit.variances.tolist(), strict=True)),
    }
    weights = np.eye(len(design.names))
    for name, method in _METHODS.items():
        found = [fit.contrast(row, method=method) for row in weights]
        report[name] = {own: report_estimate(estimate) for own, estimate in zip(design.names, found, strict=True)}
    tests = marginal_tests(design)
    for name, method in _METHODS.items():
        report[f"anova3_{name}"] = {term: _report_test(fit.joint(rows, method=method)) for term, rows in tests.items()} or None
    return report


def report_estimate(found: Estimate) -> Report:
    """A row of a coefficient table."""
    return {
        "estimate": found.estimate,
        "se": found.se,
        "df": found.df,
        "t": found.t,
        "p": found.p,
        "lo95": found.low,
        "hi95": found.high,
    }


def report_contrast(found: Estimate, **labels: str) -> Report:
    """A row of a contrast table as emmeans prints it."""
    return {
        **labels,
        "estimate": found.estimate,
        "SE": found.se,
        "df": found.df,
        "lower.CL": found.low,
        "upper.CL": found.high,
        "t.ratio": found.t,
        "p.value": found.p,
    }


def _report_test(test: JointTest) -> Report:
    return {"ndf": test.df_numerator, "ddf": test.df_denominator, "F": test.F, "p": test.p}


def _component_names(random: Sequence[RandomTerm]) -> Iterator[str]:
    for term in random:
        yield from (f"{term.group}.{factor}" for factor in term.factors)
        yield from (f"{term.group}.{first}.{second}" for first, second in combinations(term.factors, 2))
    yield "Residual"


def _columns_of(formula: Formula, table: Columns) -> list[str]:
    words = [formula.response, *(name for term in formula.terms for name in term)]
    words += [name for part in formula.random for name in (*part.group, *(own for term in part.terms for own in term))]
    return [name for name in table.names if any(re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.(])", word) for word in words)]


def _with_derived(case: Case, formula: Formula) -> Columns:
    """The case's table with the columns that its formula uses and its note explains."""
    columns = dict(case.table.cells)
    used = [name for term in formula.terms for name in term]
    used += [name for part in formula.random for own in (*part.terms, part.group) for name in own]
    for name in dict.fromkeys(used):
        if name not in columns and re.fullmatch(r"[A-Za-z.][\w.]*", name):
            columns[name] = _derive(name, case)
    return Columns(columns)


def _derive(name: str, case: Case) -> tuple[str, ...]:
    """A column that is not in the table: centred and scaled, an indicator, or another's name cut short."""
    table = case.table
    centred = re.search(rf"\b{name} = \((\w+) - mean over rows\)/([\d.]+)", case.note)
    if centred:
        values = table.numbers(centred.group(1))
        return tuple(repr(float(value)) for value in (values - np.nanmean(values)) / float(centred.group(2)))
    indicator = re.search(rf"\b{name}=1 if \w+ is (\w+)", case.note)
    if indicator:
        level = indicator.group(1)
        own = next(cells for cells in table.cells.values() if level in cells)
        return tuple("1" if cell == level else "0" for cell in own)
    longer = [cells for column, cells in table.cells.items() if column.startswith(name)]
    if len(longer) == 1:
        return longer[0]
    raise ValueError(f"the formula uses '{name}', which the table lacks and the note does not explain")
