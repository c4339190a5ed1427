"""Paired t and linear models of ln ratios against R (stats 4.2.2, lme4, pbkrtest)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exvivo.numerics.paired import compare_welch, design_levels, design_slope, differences_of_levels, fit_linear, fit_paired

Open = Callable[[str], Any]


def ratios(columns: dict[str, list[Any]], modifier: str) -> tuple[NDArray[np.float64], list[Any]]:
    """Ln ratio and modifier of every donor of a long table."""
    logs = np.log(columns["y"])
    donors = columns["donor"]
    value = {(donor, cond): log for donor, cond, log in zip(donors, columns["cond"], logs, strict=True)}
    level = dict(zip(donors, columns[modifier], strict=True))
    return np.array([value[d, "ruxolitinib"] - value[d, "vehicle"] for d in level]), list(level.values())


def test_ratio_of_geometric_means(reference: Open) -> None:
    case = reference("c01")
    drug, vehicle = np.log(case.numbers("ruxolitinib")), np.log(case.numbers("vehicle"))
    fit = fit_paired(drug, vehicle)
    case.check("gmr", float(np.exp(fit.estimate)))
    case.check("gmr_lo95", float(np.exp(fit.low)))
    case.check("gmr_hi95", float(np.exp(fit.high)))
    case.check("t", fit.t)
    case.check("df", fit.df)
    case.check("p", fit.p)
    case.check("p_less", fit.p_less)
    case.check("sd_logratio", fit.se * len(drug) ** 0.5)


def test_binary_modifier_is_the_interaction_of_the_mixed_model(reference: Open) -> None:
    case = reference("c08")
    y, ild = ratios(case.columns, "ild")
    fit = fit_linear(y, design_slope([float(v == "yes") for v in ild]))
    interaction = fit.contrast([0, 1])
    for name, value in {"estimate": interaction.estimate, "SE": interaction.se, "df": interaction.df, "p.value": interaction.p}.items():
        case.check(f"ratio_of_ratios_kr/0/{name}", value)
    case.check("ratio_of_ratios_kr/0/lower.CL", interaction.low)
    case.check("ratio_of_ratios_kr/0/upper.CL", interaction.high)
    for row, weights in enumerate(([1, 0], [1, 1])):
        level = fit.contrast(weights)
        case.check(f"drug_effect_by_ild_kr/{row}/estimate", level.estimate)
        case.check(f"drug_effect_by_ild_kr/{row}/lower.CL", level.low)
    welch = compare_welch(y, [v == "yes" for v in ild])
    case.check("diff_welch/df", welch.df)
    case.check("diff_welch/p", welch.p)


def test_categorical_modifier_has_a_joint_test(reference: Open) -> None:
    case = reference("c09")
    y, labels = ratios(case.columns, "autoab")
    levels = ["none", "ACA", "ATA", "RNAP3"]
    fit = fit_linear(y, design_levels(labels, levels))
    test = fit.joint(differences_of_levels(4))
    case.check("anova_on_differences/F", test.F)
    case.check("anova_on_differences/p", test.p)
    assert (test.df_numerator, test.df_denominator) == (3, 14)
    for row in range(4):
        level = fit.contrast(np.eye(4)[row])
        for name, value in {"estimate": level.estimate, "SE": level.se, "df": level.df}.items():
            assert np.isclose(value, case.expected(f"drug_effect_by_ab_kr/{row}/{name}"), rtol=1e-6)


def test_continuous_modifier_per_ten_points(reference: Open) -> None:
    case = reference("c10")
    y, mrss = ratios(case.columns, "mrss")
    slope = fit_linear(y, design_slope(mrss, per=10)).contrast([0, 1])
    case.check("lm_on_differences/slope_per10", slope.estimate)
    case.check("lm_on_differences/se", slope.se)
    case.check("lm_on_differences/p", slope.p)
    case.check("lm_on_differences/lo95", slope.low)
    case.check("kenward_roger/condruxolitinib:m10/se", slope.se)
    centre = fit_linear(y, design_slope(mrss, per=10)).contrast([1, 0])
    case.check("kenward_roger/condruxolitinib/estimate", centre.estimate)
