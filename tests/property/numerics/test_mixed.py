"""Laws of the mixed model."""

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from exvivo.numerics.mixed import DegreesOfFreedom, fit_mixed, indicate
from exvivo.numerics.paired import fit_mean

Array = NDArray[np.float64]
SEEDS = st.integers(0, 10_000)
CALM = settings(max_examples=40, deadline=None)


def unbalanced(seed: int) -> tuple[Array, Array, list[Array]]:
    """Donors with one to three cultures per condition, on a few plates."""
    rng = np.random.default_rng(seed)
    donor = rng.integers(0, 9, 34)
    plate = rng.integers(0, 4, 34)
    drug = rng.integers(0, 2, 34).astype(float)
    y = rng.normal(0, 0.8, 9)[donor] + rng.normal(0, 0.2, 4)[plate] - 0.5 * drug + rng.normal(0, 0.3, 34)
    return y, np.column_stack([np.ones(34), drug]), [indicate([str(d) for d in donor]), indicate([str(p) for p in plate])]


@CALM
@given(st.integers(3, 12), SEEDS, st.sampled_from(DegreesOfFreedom))
def test_balanced_pairs_give_the_paired_t_test(n: int, seed: int, method: DegreesOfFreedom) -> None:
    rng = np.random.default_rng(seed)
    logs = rng.normal(5, 1, n)[:, None] + rng.normal(0, 0.4, (n, 2))
    X = np.column_stack([np.ones(2 * n), np.tile([0.0, 1.0], n)])
    fit = fit_mixed(logs.ravel(), X, [indicate([str(i // 2) for i in range(2 * n)])])
    assume(not fit.at_zero[0])
    mixed, paired = fit.contrast([0, 1], method=method), fit_mean(logs[:, 1] - logs[:, 0])
    np.testing.assert_allclose([mixed.estimate, mixed.se, mixed.df], [paired.estimate, paired.se, paired.df], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(mixed.p, paired.p, rtol=1e-5)


@CALM
@given(SEEDS)
def test_swapped_arms_give_the_reciprocal_and_the_same_p(seed: int) -> None:
    y, X, Zs = unbalanced(seed)
    there = fit_mixed(y, X, Zs).contrast([0, 1])
    back = fit_mixed(y, np.column_stack([X[:, 0], 1 - X[:, 1]]), Zs).contrast([0, 1])
    np.testing.assert_allclose([back.estimate, back.se, back.df, back.p], [-there.estimate, there.se, there.df, there.p], rtol=1e-5)


@CALM
@given(SEEDS)
def test_order_of_observations_and_donors_is_irrelevant(seed: int) -> None:
    y, X, Zs = unbalanced(seed)
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(y.size), rng.permutation(Zs[0].shape[1])
    plain = fit_mixed(y, X, Zs).contrast([0, 1])
    moved = fit_mixed(y[rows], X[rows], [Zs[1][rows], Zs[0][rows][:, columns]]).contrast([0, 1])
    np.testing.assert_allclose([moved.estimate, moved.se, moved.df], [plain.estimate, plain.se, plain.df], rtol=1e-5)


@CALM
@given(SEEDS, st.floats(0.01, 100), st.floats(-10, 10))
def test_scale_and_origin_of_the_response(seed: int, factor: float, shift: float) -> None:
    y, X, Zs = unbalanced(seed)
    plain, moved = fit_mixed(y, X, Zs).contrast([0, 1]), fit_mixed(factor * y + shift, X, Zs).contrast([0, 1])
    np.testing.assert_allclose([moved.estimate, moved.se], [factor * plain.estimate, factor * plain.se], rtol=1e-5)
    np.testing.assert_allclose([moved.df, moved.p], [plain.df, plain.p], rtol=1e-4)


@CALM
@given(SEEDS)
def test_doubled_wells_do_not_make_donors(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 7
    logs = rng.normal(5, 1, n)[:, None] + np.array([0.0, -0.4]) + rng.normal(0, 0.3, (n, 2))
    wells = np.repeat(logs.ravel(), 2) + np.tile([0.01, -0.01], 2 * n)
    donor = np.repeat(np.arange(n), 4)
    culture = np.repeat(np.arange(2 * n), 2)
    X = np.column_stack([np.ones(4 * n), np.tile([0.0, 0.0, 1.0, 1.0], n)])
    fit = fit_mixed(wells, X, [indicate([str(d) for d in donor]), indicate([str(c) for c in culture])])
    assume(not fit.at_zero.any())
    mixed, paired = fit.contrast([0, 1]), fit_mean(logs[:, 1] - logs[:, 0])
    np.testing.assert_allclose([mixed.estimate, mixed.se, mixed.df], [paired.estimate, paired.se, n - 1], rtol=1e-5)
