"""Precision of interactions, shrunken levels and corrected slopes against R (pwr, metafor, Fuller's formula)."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from exvivo.numerics.attenuation import correct_slope, estimate_reliability
from exvivo.numerics.meta import pool_estimates
from exvivo.numerics.paired import design_slope, fit_linear
from exvivo.numerics.precision import plan_contrast, plan_levels

Open = Callable[[str], Any]


def test_detectable_ratio_of_ratios(own: Open) -> None:
    case = own("m01")
    equal = plan_contrast(0.45 * np.sqrt(2 / 12), 22)
    case.check("balanced/delta", equal.detectable)
    case.check("balanced/half", equal.half_width)
    case.check("unequal/d", plan_contrast(np.sqrt(1 / 10 + 1 / 6), 14).detectable)
    score = np.array(case.results["slope"]["score"]) / 10
    slope = plan_contrast(0.45 / np.sqrt(((score - score.mean()) ** 2).sum()), 16)
    case.check("slope/detectable", slope.detectable)
    case.check("slope/half", slope.half_width)


def test_detectable_spread_of_levels(own: Open) -> None:
    case = own("m01")
    case.check("joint/f", plan_levels(1.0, [6, 6, 6, 6]))
    case.check("joint_unequal/f", plan_levels(1.0, case.results["joint_unequal"]["counts"]))


@pytest.mark.parametrize("name", ["shrink", "none"])
def test_shrunken_levels(own: Open, name: str) -> None:
    case = own("m01")
    expected = case.results[name]
    fit = pool_estimates(expected["y"], np.square(expected["se"]))
    assert fit.tau2 == pytest.approx(expected["tau2"], rel=1e-7)
    assert fit.mean.estimate == pytest.approx(expected["mean"], rel=1e-9)
    np.testing.assert_allclose(fit.predicted, expected["predicted"], rtol=1e-8)
    np.testing.assert_allclose(fit.predicted_se, expected["predicted_se"], rtol=1e-8)


def test_shrunken_levels_of_the_autoantibody_case(reference: Open) -> None:
    case = reference("c09")
    expected = case.results["shrinkage_rma"]
    fit = pool_estimates(expected["yi"], expected["vi"])
    np.testing.assert_allclose(fit.predicted, expected["blup"], rtol=1e-7)
    np.testing.assert_allclose(fit.predicted_se, expected["blup_se"], rtol=1e-7)
    assert fit.tau2 == pytest.approx(expected["tau2"], rel=1e-7)


def test_slope_corrected_for_the_error_of_the_score(own: Open) -> None:
    case = own("m01")
    data = case.results["calibrated"]
    slope = fit_linear(data["y"], design_slope(data["score"], per=10)).contrast([0, 1])
    reliability = estimate_reliability(data["score"], data["error_sd"])
    fit = correct_slope(slope, reliability)
    case.check("calibrated/slope", slope.estimate)
    case.check("calibrated/reliability", reliability.share)
    case.check("calibrated/corrected", fit.estimate)
    case.check("calibrated/fuller_se", fit.se)
