import numpy as np
import pytest
from numpy.typing import NDArray

from exvivo.numerics.censored import Covariance, fit_censored_batch, fit_censored_pairs

Array = NDArray[np.float64]

X = np.array([4.1, 5.2, 3.7, 5.8, 4.4, 4.9, 5.1, 3.9])
Y = X + np.array([-0.6, -0.9, -0.4, -0.7, -1.1, -0.5, -0.8, -0.3])


def known(values: Array) -> Array:
    return np.column_stack([values, values])


def left_censored(values: Array, limit: float) -> Array:
    below = values < limit
    return np.column_stack([np.where(below, -np.inf, values), np.where(below, limit, values)])


def test_censoring_moves_the_estimate_away_from_substitution() -> None:
    limit = 3.6
    substituted = float(np.mean(np.maximum(Y, limit) - X))
    fit = fit_censored_pairs(left_censored(Y, limit), known(X))
    assert fit.estimate < substituted
    assert fit.low < fit.estimate < fit.high < 0


def test_interval_and_p_agree() -> None:
    fit = fit_censored_pairs(left_censored(Y, 3.6), known(X))
    shifted = Y - fit.high
    edge = fit_censored_pairs(left_censored(shifted, 3.6 - fit.high), known(X))
    assert edge.p == pytest.approx(0.05, rel=1e-5)


def test_narrow_limits_are_the_value() -> None:
    width = 1e-4
    vague = np.column_stack([Y, Y])
    vague[2] = Y[2] - width, Y[2] + width
    narrow, exact = fit_censored_pairs(vague, known(X)), fit_censored_pairs(known(Y), known(X))
    assert narrow.estimate == pytest.approx(exact.estimate, abs=1e-5)
    assert narrow.p == pytest.approx(exact.p, rel=1e-3)


def test_right_censoring_is_the_mirror_of_left() -> None:
    left = fit_censored_pairs(left_censored(Y, 3.6), known(X))
    mirrored = -left_censored(Y, 3.6)[:, ::-1]
    right = fit_censored_pairs(mirrored, known(-X))
    assert right.estimate == pytest.approx(-left.estimate, abs=1e-6)
    assert right.low == pytest.approx(-left.high, abs=1e-6)


@pytest.mark.parametrize(
    ("drug", "comparator", "words"),
    [
        (known(Y)[:, :1], known(X)[:, :1], "shape"),
        (known(Y), known(X)[:3], "shape"),
        (known(Y)[:, ::-1] + [1, 0], known(X), "at or below"),
        (np.full((8, 2), [-np.inf, np.inf]), known(X), "at least one of them finite"),
        (left_censored(Y, 4.4), known(X), "at least 3"),
        (known(X - 0.5), known(X), "same difference"),
    ],
)
def test_what_cannot_be_fitted_is_refused(drug: Array, comparator: Array, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fit_censored_pairs(drug, comparator)


@pytest.mark.parametrize("covariance", Covariance)
def test_a_batch_gives_what_each_study_gives_alone(covariance: Covariance) -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(5, 0.7, (12, 10))
    y = x + rng.normal(-0.4, 0.4, x.shape)
    drug, comparator = np.array([left_censored(row, 4.3) for row in y]), np.array([left_censored(row, 4.0) for row in x])
    batch = fit_censored_batch(drug, comparator, covariance=covariance)
    for i in range(len(x)):
        alone = fit_censored_pairs(drug[i], comparator[i], covariance=covariance)
        got = [batch.estimate[i], batch.se[i], batch.low[i], batch.high[i], batch.p[i], batch.log_likelihood[i], batch.df[i]]
        want = [alone.estimate, alone.se, alone.low, alone.high, alone.p, alone.log_likelihood, alone.df]
        np.testing.assert_allclose(got, want, rtol=1e-7)


def test_a_study_that_cannot_be_fitted_leaves_the_others_alone() -> None:
    drug = np.array([known(Y), left_censored(Y, 4.4), known(X - 0.5)])
    fits = fit_censored_batch(drug, np.array([known(X)] * 3))
    assert np.isnan(fits.estimate).tolist() == [False, True, True]
    assert fits.df.tolist() == [7, 0, 0]
    assert fits.p[0] == pytest.approx(fit_censored_pairs(known(Y), known(X)).p)
