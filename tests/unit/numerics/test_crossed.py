"""Censored pairs with crossed factors: the uncensored limit, laws, and the likelihood by brute force."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from exvivo.numerics.crossed import CensoredCrossedFit, fit_censored_crossed
from exvivo.numerics.inference import Array
from exvivo.numerics.mixed import fit_mixed, indicate


@dataclass(frozen=True)
class Cultures:
    """Values of pairs, which comparator each has, and the labels of donors and sera."""

    drug: Array
    comparator: Array
    partners: list[str]
    donors: list[str]
    sera: list[str]

    def fit(self, drug: Array | None = None, comparator: Array | None = None) -> CensoredCrossedFit:
        y = points(self.drug) if drug is None else drug
        x = points(self.comparator) if comparator is None else comparator
        return fit_censored_crossed(y, x, self.partners, [self.donors, self.sera])


def numbers(fit: CensoredCrossedFit) -> Array:
    return np.array([fit.contrast.estimate, fit.contrast.se, fit.contrast.df])


def points(values: Array) -> Array:
    return np.column_stack([values, values])


def below(values: Array, limit: float) -> Array:
    return np.where((values < limit)[:, None], [-np.inf, limit], points(values))


def culture(seed: int, *, donors: int = 8, each: int = 3, sera: int = 12, shared: bool = False) -> Cultures:
    rng = np.random.default_rng(seed)
    names = [f"D{i}" for i in range(donors) for _ in range(each)]
    serum = [f"S{(i * each + j) % sera:02}" for i in range(donors) for j in range(each)]
    Zd, Zs, n = indicate(names), indicate(serum), donors * each
    level = Zd @ rng.normal(0, 0.8, donors)
    noise = Zd @ rng.normal(0, 0.25, donors) if shared else rng.normal(0, 0.25, n)
    comparator = 5 + level + noise + (0 if shared else Zs @ rng.normal(0, 0.4, sera))
    response = -0.4 + Zd @ rng.normal(0, 0.3, donors) + Zs @ rng.normal(0, 0.25, sera) + rng.normal(0, 0.25, n)
    return Cultures(comparator + response, comparator, names if shared else [str(i) for i in range(n)], names, serum)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_without_censoring_it_is_the_mixed_model_of_differences(seed: int, shared: bool) -> None:  # noqa: FBT001  a case
    data = culture(seed, shared=shared)
    differences, components = data.drug - data.comparator, [indicate(data.donors), indicate(data.sera)]
    mixed = fit_mixed(differences, np.ones((24, 1)), components)
    kept = [Z for Z, zero in zip(components, mixed.at_zero, strict=True) if not zero]
    expected, found = fit_mixed(differences, np.ones((24, 1)), kept).contrast([1.0]), data.fit()
    np.testing.assert_allclose([found.contrast.estimate, found.contrast.se], [expected.estimate, expected.se], rtol=1e-5)
    np.testing.assert_allclose([found.contrast.df, found.contrast.p], [expected.df, expected.p], rtol=1e-4)
    np.testing.assert_allclose(found.variances, mixed.variances, rtol=1e-3, atol=1e-6)


def test_limits_that_close_on_the_values_give_the_measured_answer() -> None:
    data = culture(1)
    whole = data.fit()
    errors = []
    for width in (0.3, 0.1, 0.01):
        hidden = (np.arange(24) % 4 == 0)[:, None]
        bounds = np.where(hidden, points(data.drug) + np.array([-width / 2, width / 2]), points(data.drug))
        near = data.fit(drug=bounds)
        errors.append(float(np.abs(numbers(near) - numbers(whole)).max()))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.01


def test_narrow_limits_of_every_value_are_nearly_measurements() -> None:
    data = culture(1)
    around = np.array([-0.02, 0.02])
    near = data.fit(drug=points(data.drug) + around, comparator=points(data.comparator) + around)
    np.testing.assert_allclose(numbers(near), numbers(data.fit()), rtol=0.02)


def test_limits_cost_precision_and_freedom() -> None:
    data = culture(3)
    whole, cut = data.fit(), data.fit(drug=below(data.drug, float(np.quantile(data.drug, 0.3))))
    assert cut.contrast.se > whole.contrast.se
    assert cut.contrast.estimate == pytest.approx(whole.contrast.estimate, abs=1.5 * whole.contrast.se)


def test_exchanged_arms_give_the_opposite() -> None:
    data = culture(4)
    low = below(data.drug, float(np.quantile(data.drug, 0.25)))
    there = fit_censored_crossed(low, points(data.comparator), data.partners, [data.donors, data.sera])
    back = fit_censored_crossed(points(data.comparator), low, data.partners, [data.donors, data.sera])
    np.testing.assert_allclose(numbers(back), numbers(there) * [-1, 1, 1], rtol=2e-3)


def test_another_unit_changes_nothing() -> None:
    data = culture(5)
    low = below(data.drug, float(np.quantile(data.drug, 0.25)))
    plain, moved = data.fit(drug=low), data.fit(drug=low + 3.0, comparator=points(data.comparator) + 3.0)
    np.testing.assert_allclose(numbers(moved), numbers(plain), rtol=1e-4)
    assert moved.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-5)


def brute(data: Cultures, drug: Array, variances: Array, slope: float, others: Array) -> float:
    """Restricted log-likelihood: means with a variance of 1e4 instead of flat priors, and scipy's integration."""
    n, flat = len(drug), 1e4
    Zd, Zs = indicate(data.donors), indicate(data.sera)
    of_d = variances[0] * Zd @ Zd.T + variances[1] * Zs @ Zs.T + variances[2] * np.eye(n) + flat
    given = others[0] * Zd @ Zd.T + others[1] * Zs @ Zs.T + others[2] * np.eye(n) + flat
    of_x, between = given + slope**2 * of_d, slope * of_d
    V = np.block([[of_x, of_x + between], [(of_x + between).T, of_x + of_d + 2 * between]])
    exact = np.concatenate([np.ones(n, dtype=bool), drug[:, 0] == drug[:, 1]])
    y = np.concatenate([data.comparator, drug[:, 1]]) - 5
    value = stats.multivariate_normal(np.zeros(exact.sum()), V[np.ix_(exact, exact)]).logpdf(y[exact])
    gain = np.linalg.solve(V[np.ix_(exact, exact)], V[np.ix_(exact, ~exact)]).T
    rest = V[np.ix_(~exact, ~exact)] - gain @ V[np.ix_(exact, ~exact)]
    inside = stats.multivariate_normal(gain @ y[exact], 0.5 * (rest + rest.T)).logcdf(y[~exact])
    return float(value + inside + np.log(2 * np.pi * flat))


def test_likelihood_is_that_of_brute_force_and_at_its_maximum() -> None:
    data = culture(1, donors=6, each=2, sera=6)
    drug = below(data.drug, float(np.quantile(data.drug, 0.3)))
    fit = data.fit(drug=drug)
    top = brute(data, drug, fit.variances, fit.slope, fit.comparator_variances)
    assert fit.log_likelihood == pytest.approx(top, abs=0.02)
    for component in range(3):
        for factor in (0.6, 1.6):
            moved = fit.variances.copy()
            moved[component] = moved[component] * factor + (0.01 if moved[component] == 0 else 0.0)
            assert brute(data, drug, moved, fit.slope, fit.comparator_variances) < top
    for step in (-0.4, 0.4):
        assert brute(data, drug, fit.variances, fit.slope + step, fit.comparator_variances) < top


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b[:-1], "same number of rows"),
        (lambda b: np.where(np.arange(24)[:, None] == 0, [-np.inf, np.inf], b), "at least one of them finite"),
        (lambda b: np.where(np.arange(24)[:, None] > 1, [-np.inf, 9.0], b), "at least 3"),
    ],
)
def test_what_cannot_be_fitted_is_refused(change: object, message: str) -> None:
    data = culture(1)
    assert callable(change)
    with pytest.raises(ValueError, match=message):
        data.fit(drug=change(points(data.drug)))
