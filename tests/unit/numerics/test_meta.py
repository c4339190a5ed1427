import numpy as np
import pytest
from statsmodels.stats.meta_analysis import combine_effects

from exvivo.numerics.meta import Between, pool_estimates

Y = np.array([-0.61, -0.12, -0.83, -0.35, -0.02, -0.44])
V = np.array([0.02, 0.05, 0.03, 0.011, 0.04, 0.08])


@pytest.mark.parametrize(("between", "method"), [(Between.PAULE_MANDEL, "iterated"), (Between.DERSIMONIAN_LAIRD, "chi2")])
def test_mean_and_spread_are_those_of_statsmodels(between: Between, method: str) -> None:
    expected = combine_effects(Y, V, method_re=method, atol=1e-14)
    found = pool_estimates(Y, V, between=between)
    assert found.tau2 == pytest.approx(expected.tau2, rel=1e-6)
    assert found.mean.estimate == pytest.approx(expected.mean_effect_re, rel=1e-6)
    assert found.mean.se == pytest.approx(expected.sd_eff_w_re, rel=1e-6)
    assert pytest.approx(expected.q) == found.Q
    knapp = pool_estimates(Y, V, between=between, knapp_hartung=True)
    assert knapp.mean.se == pytest.approx(expected.sd_eff_w_re_hksj, rel=1e-6)
    assert knapp.mean.df == 5


def test_equal_errors_have_a_closed_form() -> None:
    v = np.full(6, 0.01)
    found = pool_estimates(Y, v)
    assert found.tau2 == pytest.approx(Y.var(ddof=1) - 0.01, rel=1e-9)
    assert found.mean.estimate == pytest.approx(Y.mean())
    kept = found.tau2 / (found.tau2 + 0.01)
    np.testing.assert_allclose(found.predicted, Y.mean() + kept * (Y - Y.mean()))


@pytest.mark.parametrize("between", list(Between))
def test_estimates_that_agree_have_no_spread(between: Between) -> None:
    found = pool_estimates([0.1, 0.11, 0.09], [0.05, 0.04, 0.06], between=between)
    assert found.tau2 == 0
    assert found.I2 == 0
    np.testing.assert_allclose(found.predicted, found.mean.estimate)


@pytest.mark.parametrize(("y", "v"), [([1.0], [1.0]), ([1.0, 2.0], [1.0]), ([1.0, 2.0], [1.0, 0.0]), ([1.0, np.nan], [1.0, 1.0])])
def test_what_cannot_be_pooled_is_refused(y: list[float], v: list[float]) -> None:
    with pytest.raises(ValueError, match="two or more estimates"):
        pool_estimates(y, v)
