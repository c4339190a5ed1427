"""Laws of equivalence and of position effects."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exvivo.numerics.equivalence import Difference, Equivalence, compare

BOUNDS = (0.8, 1.25)
differences = st.builds(Difference, st.floats(-2, 2), st.floats(1e-3, 1.0), st.floats(1, 200))


@given(differences)
def test_turning_the_ratio_round_turns_the_interval_and_keeps_the_outcome(difference: Difference) -> None:
    there, back = compare(difference, BOUNDS), compare(Difference(-difference.estimate, difference.se, difference.df), BOUNDS)
    assert there.outcome is back.outcome
    assert [there.ratio, there.low, there.high] == pytest.approx([1 / back.ratio, 1 / back.high, 1 / back.low])
    assert there.p == pytest.approx(back.p, abs=1e-12)


@given(differences)
def test_shown_means_both_one_sided_tests_reject(difference: Difference) -> None:
    found = compare(difference, BOUNDS)
    if abs(found.p - 0.05) > 1e-9:
        assert (found.outcome is Equivalence.SHOWN) == (found.p < 0.05)


@given(differences, st.floats(1.0, 3.0))
def test_better_data_never_take_back_what_poorer_data_showed(difference: Difference, worse: float) -> None:
    poorer = compare(Difference(difference.estimate, difference.se * worse, difference.df), BOUNDS).outcome
    if poorer is not Equivalence.NOT_SHOWN:
        assert compare(difference, BOUNDS).outcome is poorer


@given(st.floats(-0.2, 0.2))
def test_a_difference_without_error_is_shown_inside_the_bounds(estimate: float) -> None:
    found = compare(Difference(estimate, 0.0, np.inf), BOUNDS)
    assert found.outcome is Equivalence.SHOWN
    assert found.p == 0.0
