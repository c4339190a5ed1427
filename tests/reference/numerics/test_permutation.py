"""Sign flips against enumeration in R, coin and exactRankTests: cases c15 and c16."""

from collections.abc import Callable
from typing import Any

import numpy as np

from exvivo.numerics.permutation import adjust_max_t, compare_sign_flips, compare_two_samples

Open = Callable[[str], Any]


def test_all_flips_of_nine_donors(reference: Open) -> None:
    case = reference("c15")
    drug, vehicle = np.log(case.numbers("ruxolitinib")), np.log(case.numbers("vehicle"))
    test = compare_sign_flips(drug - vehicle)
    case.check("mean", test.mean)
    case.check("p_two_sided", test.p)
    case.check("p_less", test.p_less)
    case.check("p_greater", test.p_greater)
    assert (test.flips, test.exact) == (512, True)
    two_sided, less = compare_two_samples(drug, vehicle)
    case.check("coin_two_sample_exact_p", two_sided)
    case.check("coin_two_sample_exact_p_less", less)


def test_step_down_over_eleven_endpoints(reference: Open) -> None:
    case = reference("c16")
    adjusted = adjust_max_t(np.array(list(case.columns.values())).T)
    for name, values in {
        "t": adjusted.t,
        "p_perm_raw": adjusted.p,
        "p_maxT_single": adjusted.p_single_step,
        "p_maxT_stepdown": adjusted.p_step_down,
    }.items():
        for endpoint, value in zip(case.columns, values, strict=True):
            case.check(f"{name}/{endpoint}", value)
