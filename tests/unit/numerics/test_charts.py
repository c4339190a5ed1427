"""Westgard's rules on the worked example of westgard.com (lesson 12, cholesterol), and scores against scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from exvivo.numerics.charts import find_violations, score_against_first, score_given, score_without_own

CHOLESTEROL_1 = [200, 205, 195, 202, 186, 207, 194, 209, 200, 196, 190, 204, 196, 207, 200, 205, 209, 197, 196, 198, 197, 195, 198,
                 199, 191, 197, 190, 202]  # fmt: skip
CHOLESTEROL_2 = [247, 250, 255, 243, 254, 263, 251, 264, 253, 244, 261, 254, 239, 236, 250, 259, 257, 256, 249, 257, 241, 255, 250,
                 259, 247, 242, 256, 246]  # fmt: skip


def every(x: np.ndarray) -> np.ndarray:
    return np.ones(x.shape, dtype=np.bool_)


def published() -> dict[int, set[str]]:
    """Rules broken by day, as we find them."""
    first = score_given(np.array(CHOLESTEROL_1, dtype=float), 200, 4).z
    second = score_given(np.array(CHOLESTEROL_2, dtype=float), 250, 5).z
    found = find_violations(np.stack([first, second], axis=1))
    return {day: set(rules) for day, run in enumerate(found, 1) if (rules := [rule for each in run for rule in each])}


def test_the_published_example_gives_the_published_answers() -> None:
    found = published()
    assert {day for day, rules in found.items() if "1-2s" in rules} == {5, 6, 8, 11, 13, 14, 17, 25, 27}
    assert {day for day, rules in found.items() if "1-3s" in rules} == {5}
    assert {day for day, rules in found.items() if "2-2s" in rules} == {8, 14}
    assert {day for day, rules in found.items() if "R-4s" in rules} == {11}


def test_a_series_is_completed_by_its_last_value_and_a_gap_does_not_end_it() -> None:
    shifted = np.array([0.2, 1.1, 1.2, np.nan, 1.3, 1.4, 0.3])[:, None]
    assert [run[0] for run in find_violations(shifted)] == [(), (), (), (), (), ("4-1s",), ()]
    drifting = np.full((11, 1), -0.1)
    assert [run[0] for run in find_violations(drifting)] == [()] * 9 + [("10-x",)] * 2


def test_a_given_target_is_taken_as_it_is() -> None:
    scores = score_given(np.array([10.0, 13.0]), 10.0, 1.5)
    assert scores.z.tolist() == [0.0, 2.0]


def test_scores_against_the_others_have_the_p_value_of_a_prediction() -> None:
    x = np.array([5.1, 4.8, 5.3, 5.0, 4.9, 5.2, 6.4])
    scores = score_without_own(x, every(x))
    others = x[:-1]
    t = (x[-1] - others.mean()) / (others.std(ddof=1) * np.sqrt(1 + 1 / others.size))
    assert 2 * stats.norm.sf(scores.z[-1]) == pytest.approx(2 * stats.t.sf(t, others.size - 1), rel=1e-9)
    assert scores.target[-1] == pytest.approx(others.mean())


def test_too_few_runs_have_no_score_and_equal_runs_none_either() -> None:
    assert np.isnan(score_without_own(np.arange(5.0), every(np.arange(5.0))).z).all()
    assert np.isnan(score_without_own(np.ones(8), every(np.ones(8))).z).all()


def test_later_runs_do_not_move_a_base_of_the_first() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=12)
    before, after = score_against_first(x[:10], every(x[:10]), 8), score_against_first(np.append(x[:10], [99.0]), every(x[:11]), 8)
    assert np.allclose(before.z, after.z[:10])
    assert after.z[10] > 3


def test_runs_that_are_not_usable_are_scored_and_move_no_target() -> None:
    x = np.array([5.1, 4.8, 5.3, 5.0, 4.9, 5.2, 9.9])
    usable = np.arange(7) < 6
    scores = score_without_own(x, usable)
    assert scores.target[-1] == pytest.approx(x[:-1].mean())
    assert scores.target[0] == pytest.approx(x[1:-1].mean())
    assert scores.z[-1] > 3


def test_scores_of_sound_runs_are_standard_normal() -> None:
    rng = np.random.default_rng(2)
    z = np.array([score_without_own(x, every(x)).z[0] for x in rng.normal(3.0, 0.2, size=(4000, 8))])
    assert stats.kstest(z, "norm").pvalue > 1e-3
    assert np.mean(np.abs(z) > 2) == pytest.approx(0.0455, abs=0.012)


@given(st.lists(st.floats(-4, 4), min_size=1, max_size=25), st.sampled_from([-1.0, 1.0]))
def test_rules_do_not_depend_on_the_sign_and_no_rule_breaks_without_a_warning_but_the_long_ones(z: list[float], sign: float) -> None:
    column = np.array(z)[:, None]
    found = [run[0] for run in find_violations(column)]
    assert found == [run[0] for run in find_violations(sign * column)]
    for rules in found:
        assert "1-2s" in rules or not set(rules) & {"1-3s", "2-2s"}
