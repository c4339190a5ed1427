"""How far whole plates move: the part of QC results that neither readings nor curves explain.

Ln concentrations of controls on several plates flow in, with their known errors; the standard deviation between plates flows out.
A standard series is pipetted anew for every plate; an error in it moves everything on the plate by one factor, which the plate
itself cannot show. Controls that stand on every plate do.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from exvivo.numerics.variance import Array

_LARGEST = 1.0  # a factor of e: beyond it plates are wrong, not scattered


@dataclass(frozen=True, slots=True, eq=False)
class ControlResults:
    """Results of controls, one row each.

    Parameters
    ----------
    log_conc, se_log : (n,), ln concentration and the standard error of its readings
    loading : (n, k), error that it shares with the other results of its plate
    control, plate : (n,), indices from 0
    """

    log_conc: Array
    se_log: Array
    loading: Array
    control: npt.NDArray[np.intp]
    plate: npt.NDArray[np.intp]


def estimate_between(results: ControlResults) -> float:
    """Standard deviation between plates, ln units, by restricted maximum likelihood; 0 where readings and curves explain all.

    Each control has a mean of its own; the results of a plate share one normal error beside those that are known.

    Notes
    -----
    For one control this is the random-effects meta-analysis of its plates. Reference test: R metafor (case c25).
    """
    known = np.diag(results.se_log**2) + np.where(
        results.plate[:, None] == results.plate[None], results.loading @ results.loading.T, 0.0
    )  # fmt: skip
    together = (results.plate[:, None] == results.plate[None]).astype(np.float64)
    means = (results.control[:, None] == np.arange(results.control.max() + 1)).astype(np.float64)

    def deviance(tau: float) -> float:
        covariance = known + tau**2 * together
        solved = np.linalg.solve(covariance, np.column_stack([means, results.log_conc]))
        information = means.T @ solved[:, :-1]
        rest = results.log_conc - means @ np.linalg.solve(information, means.T @ solved[:, -1])
        logs = np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(information)[1]
        return float(logs + rest @ np.linalg.solve(covariance, rest))

    found = minimize_scalar(deviance, bounds=(0.0, _LARGEST), method="bounded", options={"xatol": 1e-9})
    return 0.0 if deviance(0.0) <= found.fun else float(found.x)
