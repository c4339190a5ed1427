import numpy as np
import pytest
from scipy import stats

from exvivo.numerics.mixed import fit_mixed, indicate
from exvivo.numerics.paired import fit_paired
from exvivo.numerics.structured import fit_strata, fit_symmetric


def test_strata_without_groups_are_their_own_spreads() -> None:
    """No random term and a mean for each stratum: REML spreads are the sample standard deviations, contrasts are Welch's."""
    rng = np.random.default_rng(3)
    loud, quiet = 3 * rng.normal(size=9), rng.normal(size=14) + 1
    strata = ["loud"] * 9 + ["quiet"] * 14
    X = np.column_stack([np.ones(23), [0.0] * 9 + [1.0] * 14])
    found = fit_strata([*loud, *quiet], X, [], strata, ["loud", "quiet"])
    np.testing.assert_allclose(found.sds, [loud.std(ddof=1), quiet.std(ddof=1)], rtol=1e-6)
    welch = stats.ttest_ind(quiet, loud, equal_var=False)
    contrast = found.fit.contrast([0, 1])
    assert contrast.t == pytest.approx(welch.statistic, rel=1e-6)
    assert contrast.df == pytest.approx(welch.df, rel=1e-5)


def test_order_of_strata_does_not_matter() -> None:
    rng = np.random.default_rng(5)
    donors = indicate([f"D{k}" for k in np.repeat(np.arange(8), 4)])
    drug = np.tile([0.0, 0.0, 1.0, 1.0], 8)
    y = donors @ rng.normal(size=8) + rng.normal(size=32) * np.where(drug > 0, 0.9, 0.2) - drug
    X = np.column_stack([np.ones(32), drug])
    labels = [f"{value:.0f}" for value in drug]
    there, back = (fit_strata(y, X, [donors], labels, levels) for levels in (["0", "1"], ["1", "0"]))
    np.testing.assert_allclose(there.sds, back.sds[::-1], rtol=1e-9)
    assert there.fit.criterion == pytest.approx(back.fit.criterion, abs=1e-9)
    assert there.fit.criterion < fit_mixed(y, X, [donors]).criterion


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_complete_pairs_are_the_paired_t_test(sign: float) -> None:
    rng = np.random.default_rng(7)
    shared = rng.normal(size=8)
    first, second = shared + 0.3 * rng.normal(size=8), sign * shared + 0.3 * rng.normal(size=8)
    X = np.column_stack([np.ones(16), [0.0] * 8 + [1.0] * 8])
    found = fit_symmetric([*first, *second], X, [f"D{k}" for k in range(8)] * 2)
    paired = fit_paired(second, first)
    assert found.coefficients[1] == pytest.approx(paired.estimate, rel=1e-9)
    assert np.sqrt(found.covariance[1, 1]) == pytest.approx(paired.se, rel=1e-6)
    expected = np.cov(first, second)
    assert found.correlation == pytest.approx(expected[0, 1] / np.diag(expected).mean(), abs=1e-6)


def test_positive_correlation_is_the_donor_model() -> None:
    rng = np.random.default_rng(2)
    labels = [f"D{k}" for k in np.repeat(np.arange(9), 2)][:-1]
    y = np.repeat(rng.normal(size=9), 2)[:-1] + 0.4 * rng.normal(size=17)
    X = np.column_stack([np.ones(17), np.tile([0.0, 1.0], 9)[:-1]])
    found, fit = fit_symmetric(y, X, labels), fit_mixed(y, X, [indicate(labels)])
    assert found.correlation == pytest.approx(fit.variances[0] / fit.variances.sum(), rel=1e-5)
    np.testing.assert_allclose(found.covariance, fit.covariance, rtol=1e-5)


def test_no_repeated_group_is_refused() -> None:
    with pytest.raises(ValueError, match="no group has two"):
        fit_symmetric([1.0, 2.0, 3.0], np.ones((3, 1)), ["a", "b", "c"])
