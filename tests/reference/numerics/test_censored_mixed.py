"""The censored random-intercept model without censoring against lme4, case c05: donors with one condition only."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from exvivo.numerics.censored_mixed import fit_censored_mixed

Open = Callable[[str], Any]


def test_restricted_likelihood_equals_lme4(reference: Open) -> None:
    case = reference("c05")
    y = np.log(case.numbers("y"))
    X = np.column_stack([np.ones(len(y)), [cond != "vehicle" for cond in case.columns["cond"]]])
    fit = fit_censored_mixed(y, y, X, case.columns["donor"], restricted=True)
    assert fit.donor_sd**2 == pytest.approx(case.expected("varcomp/donor.(Intercept)"), rel=1e-4)
    assert fit.residual_sd**2 == pytest.approx(case.expected("varcomp/Residual"), rel=1e-4)
    assert fit.coefficients[1] == pytest.approx(case.expected("satterthwaite/condruxolitinib/estimate"), rel=1e-5)
    assert fit.se[1] == pytest.approx(case.expected("satterthwaite/condruxolitinib/se"), rel=1e-4)
    assert -2 * fit.log_likelihood == pytest.approx(case.expected("reml_criterion"), rel=1e-6)
