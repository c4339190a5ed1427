"""Precision, shrinkage, attenuation and association: laws, and what cannot be answered."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import contingency

from exvivo.numerics.association import associate_labels, associate_score, associate_scores
from exvivo.numerics.attenuation import Reliability, correct_slope, estimate_reliability
from exvivo.numerics.inference import infer_t
from exvivo.numerics.meta import pool_estimates
from exvivo.numerics.paired import design_slope, fit_linear
from exvivo.numerics.precision import plan_contrast, plan_levels

EFFECTS = st.lists(st.tuples(st.floats(-3, 3), st.floats(0.05, 1.0)), min_size=2, max_size=6)


def test_power_at_the_detectable_shift_is_what_was_asked() -> None:
    rng = np.random.default_rng(7)
    plan = plan_contrast(0.45 * np.sqrt(1 / 14 + 1 / 8), 20)
    a, b = rng.normal(0, 0.45, (20000, 14)), rng.normal(plan.detectable, 0.45, (20000, 8))
    assert np.mean(stats.ttest_ind(a, b, axis=1).pvalue < 0.05) == pytest.approx(0.8, abs=4 * np.sqrt(0.16 / 20000))


def test_joint_power_at_the_detectable_spread_is_what_was_asked() -> None:
    rng = np.random.default_rng(8)
    counts, sd = [9, 8, 5], 0.5
    shape = np.array([0.0, 1.0, -0.5])
    centred = shape - np.average(shape, weights=counts)
    means = centred * plan_levels(sd, counts) / np.sqrt(np.average(centred**2, weights=counts))
    groups = [rng.normal(mean, sd, (20000, n)) for mean, n in zip(means, counts, strict=True)]
    assert np.mean(stats.f_oneway(*groups, axis=1).pvalue < 0.05) == pytest.approx(0.8, abs=4 * np.sqrt(0.16 / 20000))


@given(st.floats(0.01, 5), st.integers(1, 200), st.floats(0.3, 0.99))
def test_a_contrast_of_two_levels_is_found_alike_by_t_and_f(se: float, df: int, power: float) -> None:
    plan = plan_contrast(se, df, power=power)
    assert plan.detectable > 0
    assert plan_contrast(2 * se, df, power=power).detectable == pytest.approx(2 * plan.detectable)


def test_two_equal_levels_have_one_answer() -> None:
    by_t = plan_contrast(0.4 * np.sqrt(2 / 9), 16).detectable
    assert plan_levels(0.4, [9, 9]) == pytest.approx(by_t / 2)


def test_precision_without_donors_is_refused() -> None:
    with pytest.raises(ValueError, match="no precision"):
        plan_contrast(0.1, 0)
    with pytest.raises(ValueError, match="no joint test"):
        plan_levels(0.1, [1, 1])
    with pytest.raises(ValueError, match="power between"):
        plan_contrast(0.1, 10, power=1.0)


@given(EFFECTS)
def test_levels_are_pulled_towards_their_mean_and_keep_their_order_of_trust(levels: list[tuple[float, float]]) -> None:
    y, se = np.array(levels).T
    fit = pool_estimates(y, se**2)
    assert ((fit.own_weight >= 0) & (fit.own_weight <= 1)).all()
    assert (np.abs(fit.predicted - fit.mean.estimate) <= np.abs(y - fit.mean.estimate) + 1e-12).all()
    assert (fit.predicted_se <= se + 1e-12).all()
    shifted = pool_estimates(y + 1, se**2)
    np.testing.assert_allclose(shifted.predicted, fit.predicted + 1, atol=1e-6)


@settings(max_examples=50)
@given(EFFECTS)
def test_no_variance_between_levels_is_likelier(levels: list[tuple[float, float]]) -> None:
    y, se = np.array(levels).T

    def minus_twice_log_likelihood(between: float) -> float:
        w = 1 / (between + se**2)
        mean = w @ y / w.sum()
        return float(-np.log(w).sum() + np.log(w.sum()) + w @ (y - mean) ** 2)

    best = minus_twice_log_likelihood(pool_estimates(y, se**2).tau2)
    assert all(best <= minus_twice_log_likelihood(t) + 1e-9 for t in np.linspace(0, 12, 400))


def test_levels_that_agree_take_the_common_mean() -> None:
    fit = pool_estimates([0.3, 0.3, 0.3], [0.01, 0.04, 0.09])
    assert fit.tau2 == 0
    np.testing.assert_allclose(fit.predicted, 0.3)


def test_one_level_cannot_be_shrunken() -> None:
    with pytest.raises(ValueError, match="two or more"):
        pool_estimates([0.1], [0.1])
    with pytest.raises(ValueError, match="positive"):
        pool_estimates([0.1, 0.2], [0.1, 0.0])


def test_corrected_slope_is_unbiased_where_the_recorded_one_is_flat() -> None:
    rng = np.random.default_rng(11)
    truth, n, recorded, corrected, covered = -0.4, 40, [], [], 0
    for _ in range(1500):
        x = rng.normal(1.5, 0.9, n)
        seen, y = x + rng.normal(0, 0.4, n), 0.2 + truth * x + rng.normal(0, 0.4, n)
        slope = fit_linear(y, design_slope(seen)).contrast([0, 1])
        fit = correct_slope(slope, estimate_reliability(seen, 0.4))
        recorded.append(slope.estimate)
        corrected.append(fit.estimate)
        covered += fit.low <= truth <= fit.high
    assert np.mean(recorded) == pytest.approx(truth * 0.81 / 0.97, abs=0.01)
    assert np.mean(corrected) == pytest.approx(truth, abs=0.015)
    assert covered / 1500 == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / 1500))


def test_a_score_without_error_is_left_alone_and_one_of_error_only_is_refused() -> None:
    score = [1.0, 4.0, 2.0, 9.0]
    fit = infer_t(0.2, 0.1, 2)
    same = correct_slope(fit, estimate_reliability(score, 0.0))
    assert (same.estimate, same.low, same.high) == pytest.approx((fit.estimate, fit.low, fit.high))
    drowned = estimate_reliability(score, 50.0)
    assert drowned.share < 0
    with pytest.raises(ValueError, match="cannot correct"):
        correct_slope(fit, drowned)
    with pytest.raises(ValueError, match="differ"):
        estimate_reliability([3.0, 3.0], 1.0)
    assert correct_slope(fit, Reliability(0.5, 0.1)).se > 2 * fit.se


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy")), min_size=2, max_size=40))
def test_association_of_labels_is_that_of_scipy(pairs: list[tuple[str, str]]) -> None:
    one, other = (list(labels) for labels in zip(*pairs, strict=True))
    found = associate_labels(one, other)
    if len(set(one)) < 2 or len(set(other)) < 2:
        assert found is None
        return
    table = contingency.crosstab(one, other).count
    assert found == pytest.approx(contingency.association(table, method="cramer", correction=False), abs=1e-9)
    assert found == pytest.approx(associate_labels(other, one))


def test_association_of_a_score_is_the_root_of_its_share() -> None:
    labels, score = ["a", "b", "a", "c", "b", "c"], [1.0, 4.0, 2.0, 9.0, 6.0, 5.0]
    groups = [[x for x, label in zip(score, labels, strict=True) if label == level] for level in "abc"]
    f = stats.f_oneway(*groups).statistic
    assert associate_score(labels, score) == pytest.approx(np.sqrt(2 * f / (2 * f + 3)))
    assert associate_score(["a"] * 6, score) is None
    assert associate_score(labels, [2.0] * 6) is None
    assert associate_scores(score, [-x for x in score]) == pytest.approx(1)
    assert associate_scores(score, [1.0] * 6) is None
