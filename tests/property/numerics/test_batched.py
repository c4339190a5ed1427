"""Many studies at once give what one study at a time gives."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from exvivo.numerics.batched import Estimates, fit_incomplete_pairs, fit_many, fit_means, fit_pairs
from exvivo.numerics.inference import Estimate
from exvivo.numerics.mixed import DegreesOfFreedom, fit_mixed, indicate
from exvivo.numerics.paired import fit_mean, fit_paired

Array = NDArray[np.float64]
SEEDS = st.integers(0, 10_000)
CALM = settings(max_examples=25, deadline=None)
METHODS = st.sampled_from(DegreesOfFreedom)
DONOR_SD = st.sampled_from([0.0, 0.2, 0.8, 5.0])


def same(many: Estimates, study: int, one: Estimate, tolerance: float = 1e-9) -> None:
    for name in ("estimate", "se", "df", "t", "p", "low", "high"):
        np.testing.assert_allclose(getattr(many, name)[study], getattr(one, name), rtol=tolerance, atol=1e-12, err_msg=name)


def draw(rng: np.random.Generator, studies: int, n: int, donor_sd: float) -> tuple[Array, Array]:
    donor = rng.normal(5, donor_sd, (studies, n)) if donor_sd else np.full((studies, n), 5.0)
    return donor - 0.5 + rng.normal(0, 0.3, (studies, n)), donor + rng.normal(0, 0.3, (studies, n))


@CALM
@given(SEEDS, st.integers(2, 30), st.integers(1, 3), st.sampled_from([0.8, 0.95]))
def test_complete_pairs_are_the_paired_t_test_of_donor_means(seed: int, n: int, wells: int, level: float) -> None:
    rng = np.random.default_rng(seed)
    drug, comparator = rng.normal(0, 1, (4, n, wells)), rng.normal(0, 1, (4, n, 2))
    many = fit_pairs(drug, comparator, level=level)
    for study in range(4):
        same(many, study, fit_paired(drug[study].mean(axis=1), comparator[study].mean(axis=1), level=level))


@settings(max_examples=12, deadline=None)
@given(SEEDS, st.integers(5, 12))
def test_balanced_wells_are_the_mixed_model_of_donor_and_culture(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    drug, comparator = (
        arm[:, :, None] + rng.normal(0, 0.1, (*arm.shape, 2)) for arm in draw(rng, 3, n, 2.0)
    )  # variances far from zero, as the closed form asks for
    many = fit_pairs(drug, comparator)
    donor = [str(i) for i in np.tile(np.arange(n).repeat(2), 2)]
    arm = np.repeat([1.0, 0.0], 2 * n)
    for study in range(3):
        y = np.concatenate([drug[study].ravel(), comparator[study].ravel()])
        fit = fit_mixed(
            y, np.column_stack([np.ones(4 * n), arm]), [indicate(donor), indicate([f"{d}:{a}" for d, a in zip(donor, arm, strict=True)])]
        )
        if not fit.at_zero.any():
            same(many, study, fit.contrast([0, 1]), 1e-5)


@CALM
@given(SEEDS, st.integers(5, 14), DONOR_SD, METHODS)
def test_incomplete_pairs_are_the_mixed_model(seed: int, n: int, donor_sd: float, method: DegreesOfFreedom) -> None:
    rng = np.random.default_rng(seed)
    drug, comparator = draw(rng, 5, n, donor_sd)
    lost = rng.random(drug.shape)
    drug[lost < 0.15], comparator[lost > 0.85] = np.nan, np.nan
    drug[:, 0] = comparator[:, 0] = np.where(lost[:, 0] < 0.3, np.nan, 4.9)
    many = fit_incomplete_pairs(drug, comparator, method=method)
    for study in range(5):
        if np.isfinite(drug[study] - comparator[study]).sum() < 3:
            continue
        has_drug, has_comparator = np.flatnonzero(~np.isnan(drug[study])), np.flatnonzero(~np.isnan(comparator[study]))
        y = np.concatenate([drug[study, has_drug], comparator[study, has_comparator]])
        X = np.column_stack([np.ones(y.size), np.arange(y.size) < has_drug.size])
        fit = fit_mixed(y, X, [indicate([str(d) for d in (*has_drug, *has_comparator)])])
        same(many, study, fit.contrast([0, 1], method=method), 1e-6)


@CALM
@given(SEEDS, DONOR_SD, METHODS)
def test_any_design_and_loading_is_the_mixed_model(seed: int, donor_sd: float, method: DegreesOfFreedom) -> None:
    """Unequal groups with a covariate, some observations outside the component, others loading with a factor of their own."""
    rng = np.random.default_rng(seed)
    n = 26
    Z = indicate([str(d) for d in rng.integers(0, 7, n)], where=rng.choice([0.0, 1.0, 1.0, 1.7], n))
    X = np.column_stack([np.ones(n), rng.integers(0, 2, n), rng.normal(size=n)])
    Y = rng.normal(0, 1, (4, Z.shape[1])) @ Z.T * donor_sd + rng.normal(0, 0.5, (4, n)) + X @ [1, 2, -1]
    many = fit_many(Y, X, Z)
    for study in range(4):
        one = fit_mixed(Y[study], X, [Z])
        assert many.at_zero[study] == one.at_zero[0]
        np.testing.assert_allclose(many.variances[study], one.variances, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(many.coefficients[study], one.coefficients, rtol=1e-8)
        np.testing.assert_allclose(many.covariance_adjusted[study], one.covariance_adjusted, rtol=1e-6, atol=1e-12)
        for w in ([0, 1, 0], [0, 0, 1], [1, 0.5, -2]):
            same(many.contrast(w, method=method), study, one.contrast(w, method=method), 1e-6)


@CALM
@given(SEEDS)
def test_order_of_studies_and_of_donors_is_irrelevant(seed: int) -> None:
    rng = np.random.default_rng(seed)
    drug, comparator = draw(rng, 6, 9, 0.6)
    drug[rng.random(drug.shape) < 0.2] = np.nan
    studies, donors = rng.permutation(6), rng.permutation(9)
    plain = fit_incomplete_pairs(drug, comparator)
    moved = fit_incomplete_pairs(drug[studies][:, donors], comparator[studies][:, donors])
    np.testing.assert_allclose([moved.estimate, moved.se, moved.df], np.array([plain.estimate, plain.se, plain.df])[:, studies], rtol=1e-8)


@CALM
@given(SEEDS, st.integers(2, 9))
def test_means_are_the_one_sample_t_test(seed: int, n: int) -> None:
    values = np.random.default_rng(seed).normal(0.3, 1, (3, n))
    values[1] = 0.25
    values[2] = 0.0
    many = fit_means(values)
    for study in range(3):
        same(many, study, fit_mean(values[study]))
