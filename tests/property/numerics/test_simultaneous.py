import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from exvivo.numerics.meta import Between, pool_estimates
from exvivo.numerics.simultaneous import adjust_single_step, correlate, enclose_t

SETTINGS = settings(max_examples=12, deadline=None)
SEEDS = st.integers(0, 10_000)


def random_rows(seed: int, m: int, p: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(m, p)), np.atleast_2d(np.cov(rng.normal(size=(p + 5, p)).T))


@SETTINGS
@given(seed=SEEDS, m=st.integers(1, 5), p=st.integers(1, 4), df=st.floats(3, 200))
def test_probability_lies_between_the_bounds_of_bonferroni_and_sidak(seed: int, m: int, p: int, df: float) -> None:
    rows, covariance = random_rows(seed, m, p)
    limits = np.random.default_rng(seed).uniform(0.5, 4, size=m)
    found = enclose_t(limits, correlate(rows, covariance), df)
    outside = 2 * stats.t.sf(limits, df)
    slack = 6 * found.error + 1e-6
    assert found.value >= 1 - outside.sum() - slack
    assert found.value >= np.prod(1 - outside) - slack
    assert found.value <= 1 - outside.max() + slack


@SETTINGS
@given(seed=SEEDS, m=st.integers(2, 5), df=st.floats(3, 200))
def test_order_and_sign_of_contrasts_do_not_matter(seed: int, m: int, df: float) -> None:
    rows, covariance = random_rows(seed, m, 3)
    rng = np.random.default_rng(seed)
    t, order, signs = rng.normal(size=m) * 2, rng.permutation(m), rng.choice([-1.0, 1.0], size=m)
    there = adjust_single_step(t, correlate(rows, covariance), df)
    back = adjust_single_step((signs * t)[order], correlate((signs[:, None] * rows)[order], covariance), df)
    np.testing.assert_allclose(back, there[order], atol=1e-3)


@SETTINGS
@given(seed=SEEDS, k=st.integers(2, 12), between=st.sampled_from(list(Between)), shift=st.floats(-5, 5), factor=st.floats(0.1, 10))
def test_pooling_follows_shift_and_scale(seed: int, k: int, between: Between, shift: float, factor: float) -> None:
    rng = np.random.default_rng(seed)
    y, v = rng.normal(size=k), rng.uniform(0.05, 1, size=k)
    plain = pool_estimates(y, v, between=between)
    moved = pool_estimates(factor * y + shift, factor**2 * v, between=between)
    np.testing.assert_allclose(moved.tau2, factor**2 * plain.tau2, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(moved.mean.estimate, factor * plain.mean.estimate + shift, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(moved.predicted_se, factor * plain.predicted_se, rtol=1e-5)
    assert plain.predicted.min() >= y.min() - 1e-12
    assert plain.predicted.max() <= y.max() + 1e-12
