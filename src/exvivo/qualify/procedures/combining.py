"""Imputed data sets combined by Rubin's rules, as ``pool.scalar`` of R's mice (c24)."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from exvivo.numerics.combining import combine_draws
from exvivo.qualify.cases import Case


def pool_scalar(case: Case) -> Mapping[str, Any]:
    """Columns ``q`` and ``u``, or the first two; sizes ``n`` and ``k`` of the complete data stand in the results."""
    names = case.table.names
    q, u = (case.table.numbers(name if name in names else names[i]) for i, name in enumerate(("q", "u")))
    size, parameters = float(case.results["n"]), float(case.results.get("k", 1))
    found = combine_draws(q, u, size - parameters)
    fit = found.infer()
    return {
        "n": size,
        "k": parameters,
        "m": found.m,
        "qbar": found.estimate,
        "ubar": found.within,
        "b": found.between,
        "t": found.variance,
        "df_barnard_rubin": found.df,
        "df_rubin_1987": found.df_large,
        "r": found.increase,
        "fmi": found.missing,
        "p": fit.p,
        "lo95": fit.low,
        "hi95": fit.high,
    }


PROCEDURES: Mapping[str, Callable[[Case], Mapping[str, Any]]] = MappingProxyType({"c24": pool_scalar})
