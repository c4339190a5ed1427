"""Bootstrap intervals of the mean and the median."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from exvivo.numerics.bootstrap import bootstrap_mean, bootstrap_t, resample_median
from exvivo.qualify.cases import Case
from exvivo.qualify.procedures.roles import only_measurement

Results = Mapping[str, Any]
_SEED = 5


def _bootstrap(case: Case) -> Results:
    d = only_measurement(case)
    found, studentised = bootstrap_mean(d), bootstrap_t(d, np.random.default_rng(_SEED))
    median = resample_median(d)
    return {
        "mean": found.mean,
        "se_boot": found.se,
        "R": case.results.get("R"),
        "percentile": found.percentile,
        "bca": found.bca,
        "basic": found.basic,
        "studentized": (studentised.low, studentised.high),
        "acceleration": found.acceleration,
        "z0_mc": found.z0,
        "abc": found.abc,
        "median": float(np.median(d)),
        "median_percentile": (median.quantile(0.025), median.quantile(0.975)),
        "jackknife_se": float(d.std(ddof=1) / np.sqrt(d.size)),
    }


PROCEDURES: Mapping[str, Callable[[Case], Results]] = MappingProxyType({"c22": _bootstrap})
