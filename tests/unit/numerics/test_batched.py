import time

import numpy as np
import pytest

from exvivo.numerics.batched import fit_incomplete_pairs, fit_many, fit_means, fit_pairs, infer_many
from exvivo.numerics.inference import infer_t


def test_t_inference_of_many_is_that_of_each() -> None:
    many = infer_many([1.0, -2.0, 0.0, 0.3], [0.5, 0.1, 0.0, 0.0], [10, 3, 5, 5], level=0.9)
    for study, (value, se, df) in enumerate([(1.0, 0.5, 10), (-2.0, 0.1, 3), (0.0, 0.0, 5), (0.3, 0.0, 5)]):
        one = infer_t(value, se, df, level=0.9)
        assert [many.t[study], many.p[study], many.low[study], many.high[study]] == [one.t, one.p, one.low, one.high]


def test_a_study_with_one_complete_pair_has_no_numbers_and_the_others_keep_theirs() -> None:
    rng = np.random.default_rng(1)
    drug, comparator = rng.normal(size=(3, 5)), rng.normal(size=(3, 5))
    alone = fit_incomplete_pairs(drug[[0, 2]], comparator[[0, 2]])
    drug[1, 1:] = np.nan
    together = fit_incomplete_pairs(drug, comparator)
    assert np.isnan([together.estimate[1], together.p[1], together.low[1], together.t[1]]).all()
    np.testing.assert_array_equal(together.p[[0, 2]], alone.p)


def test_a_study_without_any_scatter_has_no_numbers() -> None:
    drug, comparator = np.array([[1.0, 1, 1, 1], [1, 2, 1, 3], [1, 1, np.nan, 1]]), np.array([[0.3, 0.3, 0.3, 0.3]] * 3)
    assert np.isnan(fit_incomplete_pairs(drug, comparator).p).tolist() == [True, False, True]


def test_a_variance_of_zero_still_costs_degrees_of_freedom() -> None:
    """Donors whose conditions go apart: the ratio of variances is zero; 14 residual degrees of freedom, 7 by Kenward and Roger."""
    swing = np.array([[0.5, -0.4, 0.9, -1.0, 0.3, -0.2, 0.8, -0.7]])
    X = np.column_stack([np.ones(16), np.repeat([1.0, 0.0], 8)])
    fit = fit_many(np.hstack([swing, -swing]), X, np.tile(np.eye(8), (2, 1)))
    assert fit.at_zero.all()
    assert fit.contrast([0, 1]).df == pytest.approx(7)


def test_wrong_shapes_and_values_are_told() -> None:
    y, X, Z = np.ones((2, 4)), np.ones((4, 1)), np.eye(4)[:, :2]
    for wrong in ((y[0], X, Z), (y, X[:3], Z), (y, X, Z[:2])):
        with pytest.raises(ValueError, match="the same n"):
            fit_many(*wrong)
    with pytest.raises(ValueError, match="finite"):
        fit_many(y * np.nan, X, Z)
    with pytest.raises(ValueError, match="fixed effects"):
        fit_many(y, np.ones((4, 2)), Z)
    with pytest.raises(ValueError, match="must load"):
        fit_many(y, X, 0 * Z)
    with pytest.raises(ValueError, match="study 1"):
        fit_many(np.array([[0.0, 1, 2, 3], [1, 1, 1, 1]]), X, Z)
    with pytest.raises(ValueError, match="paired"):
        fit_pairs(y, y[:, :3])
    with pytest.raises(ValueError, match="at least 2"):
        fit_means([[1.0], [2.0]])
    with pytest.raises(ValueError, match="finite or NaN"):
        fit_incomplete_pairs(y, y * np.inf)


def test_no_study_is_no_estimate() -> None:
    assert fit_pairs(np.zeros((0, 5)), np.zeros((0, 5))).p.shape == (0,)
    assert fit_incomplete_pairs(np.zeros((0, 5)), np.zeros((0, 5))).p.shape == (0,)


def test_a_thousand_balanced_studies_take_less_than_a_tenth_of_a_second() -> None:
    rng = np.random.default_rng(2)
    drug, comparator = rng.normal(size=(1000, 15, 2)), rng.normal(size=(1000, 15, 2))
    began = time.process_time()
    fit_pairs(drug, comparator)
    assert time.process_time() - began < 0.1
