import numpy as np
import pytest
from numpy.typing import NDArray

from exvivo.numerics.mixed import DegreesOfFreedom, fit_mixed, indicate

Array = NDArray[np.float64]


def pairs(n: int, seed: int = 4, donor_sd: float = 0.7) -> tuple[Array, Array, Array]:
    """Response, design and donor matrix of n complete pairs."""
    rng = np.random.default_rng(seed)
    donor = np.repeat(np.arange(n), 2)
    drug = np.tile([0.0, 1.0], n)
    y = 5 + donor_sd * rng.normal(size=n)[donor] - 0.4 * drug + 0.3 * rng.normal(size=2 * n)
    return y, np.column_stack([np.ones(2 * n), drug]), indicate([f"D{d:02}" for d in donor])


def test_no_component_is_ordinary_least_squares() -> None:
    y, X, _ = pairs(8)
    fit = fit_mixed(y, X, [])
    expected = np.linalg.lstsq(X, y)[0]
    np.testing.assert_allclose(fit.coefficients, expected)
    assert fit.contrast([0, 1]).df == pytest.approx(14)
    assert fit.contrast([0, 1], method=DegreesOfFreedom.SATTERTHWAITE).df == pytest.approx(14)


def test_criterion_is_stationary_at_the_estimate() -> None:
    y, X, Z = pairs(8)
    fit = fit_mixed(y, X, [Z])

    def restricted(variances: Array) -> float:
        V = variances[0] * Z @ Z.T + variances[1] * np.eye(y.size)
        W = np.linalg.inv(V)
        information = X.T @ W @ X
        residual = y - X @ np.linalg.solve(information, X.T @ W @ y)
        logs = np.linalg.slogdet(V)[1] + np.linalg.slogdet(information)[1]
        return float(logs + residual @ W @ residual + (y.size - 2) * np.log(2 * np.pi))

    assert fit.criterion == pytest.approx(restricted(fit.variances), rel=1e-12)
    for step in (np.array([1e-4, 0]), np.array([0, 1e-4])):
        assert restricted(fit.variances + step) > fit.criterion
        assert restricted(fit.variances - step) > fit.criterion


def test_component_confounded_with_the_residual_stays_finite() -> None:
    y, X, Z = pairs(6)
    fit = fit_mixed(y, X, [Z, np.eye(y.size)])
    plain = fit_mixed(y, X, [Z])
    assert fit.criterion == pytest.approx(plain.criterion, rel=1e-9)
    assert fit.contrast([0, 1]).df == pytest.approx(5, rel=1e-6)


def test_joint_test_of_one_contrast_is_its_t_test() -> None:
    y, X, Z = pairs(7)
    y, X, Z = y[1:], X[1:], Z[1:]
    fit = fit_mixed(y, X, [Z])
    for method in DegreesOfFreedom:
        single, joint = fit.contrast([0, 1], method=method), fit.joint([[0, 1]], method=method)
        assert joint.p == pytest.approx(single.p, rel=1e-9)
        assert joint.df_denominator == pytest.approx(single.df)


def test_joint_satterthwaite_with_hardly_any_freedom() -> None:
    rng = np.random.default_rng(0)
    labels = ["a", "a", "b", "b", "c", "c", "d", "d"]
    between = np.repeat([0.0, 0.0, 1.0, 1.0], 2)
    X = np.column_stack([np.ones(8), between, np.tile([0.0, 1.0], 4)])
    y = np.repeat([0.0, 1.5, 0.4, 2.2], 2) + 0.1 * rng.normal(size=8)
    test = fit_mixed(y, X, [indicate(labels)]).joint([[0, 1, 0], [0, 0, 1]], method=DegreesOfFreedom.SATTERTHWAITE)
    assert test.df_denominator == pytest.approx(2.0)


def test_random_effect_on_some_rows_only() -> None:
    Z = indicate(["S1", "S1", "S2"], where=[0, 1, 1])
    assert Z.tolist() == [[0, 0], [1, 0], [0, 1]]


def test_large_crossed_design_is_fitted_in_its_maximum() -> None:
    rng = np.random.default_rng(9)
    n = 400
    donor, plate, serum = rng.integers(0, 40, n), rng.integers(0, 12, n), rng.integers(0, 30, n)
    drug = rng.integers(0, 2, n).astype(float)
    y = rng.normal(0, 0.7, 40)[donor] + rng.normal(0, 0.2, 12)[plate] + rng.normal(0, 0.4, 30)[serum] - 0.5 * drug + rng.normal(0, 0.3, n)
    Zs = [indicate([f"{g}" for g in groups]) for groups in (donor, plate, serum)]
    fit = fit_mixed(y, np.column_stack([np.ones(n), drug]), Zs)
    np.testing.assert_allclose(np.sqrt(fit.variances), [0.7, 0.2, 0.4, 0.3], rtol=0.35)
    assert fit.contrast([0, 1]).low < -0.5 < fit.contrast([0, 1]).high


@pytest.mark.parametrize(
    ("y", "X", "Z", "words"),
    [
        ([1.0, 2.0, 3.0], np.ones((2, 1)), np.eye(3), "same number of rows"),
        ([1.0, 2.0, np.nan], np.ones((3, 1)), np.eye(3), "finite"),
        ([1.0, 2.0, 3.0], np.ones((3, 2)), np.eye(3), "cannot determine"),
        ([2.0, 2.0, 2.0], np.ones((3, 1)), np.eye(3), "does not vary"),
    ],
)
def test_what_cannot_be_fitted_is_refused(y: list[float], X: Array, Z: Array, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fit_mixed(y, X, [Z])


def test_of_two_maxima_the_higher_is_found() -> None:
    y = np.array(
        [
            0.131,
            0.225,
            -0.656,
            -0.829,
            -0.465,
            -0.898,
            0.124,
            0.142,
            0.238,
            -0.164,
            -0.176,
            0.338,
            -0.643,
            -1.153,
            -0.53,
            -0.333,
            -0.127,
            0.496,
            -0.75,
            0.428,
            -1.002,
        ]
    )
    donors = np.repeat(np.arange(7), 3)
    sera = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
    Zs = [indicate([f"{label:02}" for label in labels]) for labels in (donors, sera)]
    fit = fit_mixed(y, np.ones((21, 1)), Zs)
    lower = fit_mixed(y, np.ones((21, 1)), Zs[:1])  # the other maximum, without variance of sera
    assert fit.at_zero.tolist() == [True, False]
    assert not lower.at_zero.any()
    assert fit.criterion < lower.criterion - 0.3
