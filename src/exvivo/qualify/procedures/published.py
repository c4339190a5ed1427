"""Numbers that SAS printed (x01): Tobit regression of two arms, and t tests of values whose logarithms are normal."""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy import special

from exvivo.numerics.inference import Array, Estimate
from exvivo.numerics.paired import fit_linear
from exvivo.qualify.cases import Case
from exvivo.qualify.procedures.censoring import compare_arms
from exvivo.qualify.procedures.roles import groups_of, measured

Results = Mapping[str, Any]

_ESTIMATE = ("gmr", "gm", "geometric_mean", "geometric_mean_ratio", "geomean", "gm_ratio", "ratio", "estimate")
_SAME = MappingProxyType({"t_value": "t", "p_value": "p", "lower": "lo95", "upper": "hi95", "lo": "lo95", "hi": "hi95"})


def report_published(case: Case) -> Results:
    """A difference of arms is a Tobit regression; anything else a t test."""
    if any("_minus_" in name for name in case.results):
        return compare_arms(case)
    return _lognormal(case)


def _lognormal(case: Case) -> Results:
    """One sample, pairs or two arms, as PROC TTEST with DIST=LOGNORMAL: geometric mean or ratio, and the spread as a CV."""
    y, X = _logarithms(case)
    shift = float(np.log(_setting(case, "h0|null|mu0", 1.0)))
    fit = fit_linear(y - shift * X[:, 0], X)
    found = fit.contrast(np.eye(X.shape[1])[0])
    variance, df = fit.sd**2, float(fit.df)
    spread = {name: variance * df / float(special.chdtri(df, tail)) for name, tail in (("cv_lo95", 0.025), ("cv_hi95", 0.975))}
    results = {
        "n": y.size,
        "df": fit.df,
        "t": found.t,
        "p": found.p,
        "p_less": float(special.stdtr(df, found.t)),
        "p_greater": float(special.stdtr(df, -found.t)),
        "se": found.se,
        "sd_log": fit.sd,
        **{name: float(np.exp(shift + found.estimate)) for name in _ESTIMATE},
        **_limits(found, shift),
        **{name: float(np.sqrt(np.expm1(own))) for name, own in (("cv", variance), *spread.items())},
        **_equivalence(found, (_setting(case, "tost_lower|bound_lower", 0.8), _setting(case, "tost_upper|bound_upper", 1.25))),
    }
    same = {name: results[own] for name, own in _SAME.items()}
    return {**results, **same, **{f"gmr_{name}": results[name] for name in ("lo95", "hi95", "lo90", "hi90")}}


def _limits(found: Estimate, shift: float) -> dict[str, float]:
    half = found.se * float(special.stdtrit(found.df, 0.95))
    ends = {"lo95": found.low, "hi95": found.high, "lo90": found.estimate - half, "hi90": found.estimate + half}
    return {name: float(np.exp(shift + end)) for name, end in ends.items()}


def _equivalence(found: Estimate, bounds: tuple[float, float]) -> dict[str, float]:
    """Two one-sided tests against both bounds."""
    above, below = (float(found.estimate - np.log(bound)) / found.se for bound in bounds)
    p = {"p_tost_lower": float(special.stdtr(found.df, -above)), "p_tost_upper": float(special.stdtr(found.df, below))}
    return {**p, "t_tost_lower": above, "t_tost_upper": below, "p_tost": max(p.values())}


def _logarithms(case: Case) -> tuple[Array, Array]:
    """Logarithms and a design whose first coefficient is asked for; of two columns the reference is named, or is the second."""
    table = case.table
    names = [name for name in measured(table, len(table.names)) if not re.fullmatch("count|freq|weight", name.lower())]
    if len(names) == 1 and any(len(set(table.labels(name))) == 2 for name in table.names if not table.numeric(name)):
        first, second = (np.log(own) for own in list(groups_of(case).values())[:2])
        arm = np.repeat([1.0, 0.0], [first.size, second.size])
        return np.concatenate([first, second]), np.column_stack([arm, np.ones_like(arm)])
    ln = [np.log(table.numbers(name)) for name in names[-2:]]
    if len(ln) == 2:
        turned = re.match("ref|vehicle|control|placebo", names[-2].lower())
        ln = [ln[1] - ln[0] if turned else ln[0] - ln[1]]
    known = ln[0][~np.isnan(ln[0])]
    return known, np.ones((known.size, 1))


def _setting(case: Case, names: str, default: float) -> float:
    """What the results say of the hypothesis."""
    return next((float(value) for name, value in case.results.items() if re.fullmatch(names, name)), default)


PROCEDURES: Mapping[str, Callable[[Case], Results]] = MappingProxyType({"x01": report_published})
