"""Rubin's rules against ``pool.scalar`` of R mice 3.15.0: the shipped case, and data that bring out its corners.

q <- c(0.31, 0.28, 0.42, 0.35, 0.15, 0.30, 0.22); u <- c(0.011, 0.012, 0.010, 0.014, 0.009, 0.012, 0.013)
pool.scalar(q, u, n = n, k = 2); pool.scalar(c(1, 1, 1), u[1:3], n = 10, k = 1)
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exvivo.numerics.combining import combine_imputations
from exvivo.qualify.cases import find_cases, shipped_folder
from exvivo.qualify.judging import judge_case

Q = [0.31, 0.28, 0.42, 0.35, 0.15, 0.30, 0.22]
U = [0.011, 0.012, 0.010, 0.014, 0.009, 0.012, 0.013]


def test_the_shipped_case() -> None:
    with shipped_folder() as folder:
        (case,) = (case for case in find_cases(folder) if case.prefix == "c24")
        checks = judge_case(case)
    assert len(checks) == len(case.judge)
    assert [check for check in checks if not check.passed] == []


@pytest.mark.parametrize(
    ("df", "found", "missing"),
    [
        (4.0, 1.5543467579177233, 0.67962210204901208),
        (23.0, 8.841916908863876, 0.52524836100381755),
        (np.inf, 32.63597212603878, 0.46083193448894727),
    ],
)
def test_degrees_of_freedom_of_the_complete_data(df: float, found: float, missing: float) -> None:
    combined = combine_imputations(Q, U, df_complete=df)
    got = [
        combined.estimate.estimate,
        combined.within,
        combined.between,
        combined.total,
        combined.estimate.df,
        combined.increase,
        combined.missing,
    ]
    expected = [0.29, 0.011571428571428571, 0.0076, 0.020257142857142856, found, 0.75061728395061722, missing]
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_data_sets_that_agree() -> None:
    combined = combine_imputations([1.0, 1.0, 1.0], U[:3], df_complete=9)
    got = [combined.total, combined.estimate.df, combined.increase, combined.missing]
    np.testing.assert_allclose(got, [0.011, 7.4992497188062579, 0.0, 0.19048980199200327], rtol=1e-12)


@given(
    st.lists(st.tuples(st.floats(-3, 3), st.floats(0.001, 1)), min_size=2, max_size=20),
    st.floats(1, 200),
    st.floats(0.01, 100),
    st.floats(-5, 5),
)
def test_scale_and_place_do_not_matter(draws: list[tuple[float, float]], df: float, scale: float, shift: float) -> None:
    q, u = np.array(draws).T
    here, there = (combine_imputations(*parts, df_complete=df) for parts in ((q, u), (scale * q + shift, scale**2 * u)))
    assert there.total == pytest.approx(scale**2 * here.total, rel=1e-6)
    assert there.estimate.df == pytest.approx(here.estimate.df, rel=1e-5)
    assert here.within <= here.total
    assert 0 < here.estimate.df < df


@pytest.mark.parametrize(("q", "u"), [([1.0], [0.1]), ([1.0, 2.0], [0.1]), ([1.0, np.nan], [0.1, 0.1]), ([1.0, 2.0], [0.1, -0.1])])
def test_what_cannot_be_combined_is_refused(q: list[float], u: list[float]) -> None:
    with pytest.raises(ValueError, match="needed"):
        combine_imputations(q, u)
