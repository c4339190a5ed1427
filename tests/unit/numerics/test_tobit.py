import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from exvivo.numerics.paired import fit_linear
from exvivo.numerics.tobit import fit_tobit

Array = NDArray[np.float64]

X = np.column_stack([np.ones(10), np.arange(10.0)])
Y = np.array([0.3, 1.6, 1.9, 3.6, 3.7, 5.4, 6.1, 6.6, 8.5, 9.2])


def test_without_censoring_the_profile_is_the_t_test() -> None:
    fit, plain = fit_tobit(Y, Y, X), fit_linear(Y, X)
    np.testing.assert_allclose(fit.coefficients, plain.coefficients, rtol=1e-8)
    for weights in ([0.0, 1.0], [1.0, 2.5]):
        profile, t = fit.profile(weights, level=0.9), plain.contrast(weights, level=0.9)
        np.testing.assert_allclose([profile.low, profile.high, profile.p, profile.t], [t.low, t.high, t.p, t.t], rtol=1e-6)
        assert profile.df == t.df == 8


def test_one_sample_equals_scipy() -> None:
    low, high = np.where(Y < 2, -np.inf, Y), np.where(Y > 8, np.inf, Y)
    low[1], high[1] = -np.inf, 2.0
    low[8] = 8.0
    fit = fit_tobit(low, high, np.ones((10, 1)))
    known = low == high
    data = stats.CensoredData(uncensored=low[known], left=high[np.isinf(low)], right=low[np.isinf(high)], interval=np.empty((0, 2)))
    mean, sd = stats.norm.fit(data)
    assert fit.coefficients[0] == pytest.approx(mean, rel=1e-3)
    assert fit.scale == pytest.approx(sd, rel=1e-3)


def test_units_and_order_change_nothing() -> None:
    low = np.where(Y < 2, -np.inf, Y)
    high = np.maximum(Y, 2.0)
    low[3], high[3] = 3.0, 4.0
    fit = fit_tobit(low, high, X)
    order = np.arange(10)[::-1]
    other = fit_tobit(1000 * low[order], 1000 * high[order], X[order] * [1, 1e-3])
    np.testing.assert_allclose(other.coefficients, fit.coefficients * [1e3, 1e6], rtol=1e-7)
    a, b = fit.profile([0, 1]), other.profile([0, 1])
    np.testing.assert_allclose([b.low, b.high, b.p], [a.low * 1e6, a.high * 1e6, a.p], rtol=1e-6)
    assert a.low < fit.z_test([0, 1]).low


@pytest.mark.parametrize(
    ("low", "high", "design", "words"),
    [
        (Y[:3], Y, X, "shape"),
        (Y + 1, Y, X, "at or below"),
        (np.full(10, -np.inf), np.full(10, np.inf), X, "at least one of them finite"),
        (Y, Y, np.column_stack([X, X[:, 1]]), "depend on each other"),
        (np.full(10, -np.inf), Y, X, "no response is measured"),
        (X[:, 1], X[:, 1], X, "lie on the model"),
    ],
)
def test_what_cannot_be_fitted_is_refused(low: Array, high: Array, design: Array, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fit_tobit(low, high, design)


def test_a_profile_needs_a_degree_of_freedom() -> None:
    group = np.array([1.0, 1.0, 0.0, 0.0])
    fit = fit_tobit([2.0, 3.0, -np.inf, 1.0], [2.0, 3.0, 2.0, 4.0], np.column_stack([np.ones(4), group]))
    with pytest.raises(ValueError, match="do not leave a degree of freedom"):
        fit.profile([0.0, 1.0])
