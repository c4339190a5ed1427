"""Exact rank methods against R (stats 4.2.2, coin 1.4-2, exactRankTests 0.8-35): cases c02 and c03."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from exvivo.numerics.ranks import Zeros, compare_signed_rank, estimate_hodges_lehmann, invert_signed_rank, walsh_averages

Open = Callable[[str], Any]


def test_untied_ratios(reference: Open) -> None:
    case = reference("c02")
    d = np.log(case.numbers("ruxolitinib")) - np.log(case.numbers("vehicle"))
    test = compare_signed_rank(d)
    case.check("two.sided/V", test.statistic)
    case.check("two.sided/p", test.p)
    case.check("less/p", test.p_less)
    case.check("greater/p", test.p_greater)
    wide, narrow = estimate_hodges_lehmann(d), estimate_hodges_lehmann(d, level=0.9)
    case.check("two.sided/hl", wide.estimate)
    case.check("two.sided/lo", wide.low)
    case.check("two.sided/hi", wide.high)
    case.check("ci90/lo", narrow.low)
    case.check("ci90/hi", narrow.high)
    case.check("median_ratio_hl", float(np.exp(wide.estimate)))
    assert invert_signed_rank(d) == pytest.approx((wide.estimate, wide.low, wide.high))


def test_ties_and_zeros(reference: Open) -> None:
    case = reference("c03")
    d = case.numbers("y") - case.numbers("x")
    pratt, dropped = compare_signed_rank(d), compare_signed_rank(d, zeros=Zeros.DROP)
    case.check("coin_pratt_exact_p", pratt.p)
    case.check("coin_wilcoxon_exact_p", dropped.p)
    case.check("exactRankTests/V", dropped.statistic)
    assert (pratt.zeros, pratt.nonzero) == (1, 9)
    case.check("walsh_median_all", float(np.median(walsh_averages(d))))
    centre, low, high = invert_signed_rank(d)
    case.check("exactRankTests/hl", centre)
    case.check("exactRankTests/lo", low)
    case.check("exactRankTests/hi", high)


def test_conditional_distribution_with_many_ties() -> None:
    d = [1, -2, 2, 3, -1, 0, 0, 4, 5, -2, 3, 1, 6, 2]
    assert compare_signed_rank(d).p == pytest.approx(0.0458984375)  # coin, exact, Pratt
    assert compare_signed_rank(d, zeros=Zeros.DROP).p == pytest.approx(0.04248046875)  # coin, exact, zeros dropped
