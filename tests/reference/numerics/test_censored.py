"""Censored pairs against an exact likelihood in R (mvtnorm) and lmec: cases c14 and c32."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from exvivo.numerics.censored import Covariance, fit_censored_pairs

Open = Callable[[str], Any]


def bounds(columns: dict[str, list[float]], arm: str) -> NDArray[np.float64]:
    high = np.log(columns[arm])
    return np.column_stack([np.where(np.array(columns[f"{arm}_c"]) == 1, -np.inf, high), high])


@pytest.mark.parametrize(
    ("covariance", "name"), [(Covariance.UNSTRUCTURED, "bivariate_normal"), (Covariance.EXCHANGEABLE, "random_intercept_tobit")]
)
def test_maximum_likelihood(reference: Open, covariance: Covariance, name: str) -> None:
    case = reference("c14")
    fit = fit_censored_pairs(bounds(case.columns, "ruxolitinib"), bounds(case.columns, "vehicle"), covariance=covariance)
    case.check(f"{name}/mean_vehicle", fit.mean_comparator)
    case.check(f"{name}/mean_drug", fit.mean_drug)
    case.check(f"{name}/log_ratio", fit.estimate)
    case.check(f"{name}/se", fit.se)
    case.check(f"{name}/loglik", fit.log_likelihood)
    if covariance is Covariance.UNSTRUCTURED:
        case.check(f"{name}/rho", fit.correlation)
    else:
        case.check(f"{name}/sd_donor", fit.sd_drug * fit.correlation**0.5)
        case.check(f"{name}/sd_resid", fit.sd_drug * (1 - fit.correlation) ** 0.5)
        case.check(f"{name}/lr_chi2", fit.likelihood_ratio)
        # lmec 1.0, maximum likelihood by EM, on the same data (c32)
        assert fit.estimate == pytest.approx(-0.927021688711195, rel=2e-3)
        assert fit.sd_drug * (1 - fit.correlation) ** 0.5 == pytest.approx(0.18197020321102, rel=2e-3)
