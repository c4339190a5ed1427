import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from exvivo.numerics.simultaneous import (
    Family,
    adjust_family,
    adjust_free,
    adjust_shaffer,
    adjust_single_step,
    adjust_westfall,
    correlate,
    critical_value,
    enclose_t,
)

Array = NDArray[np.float64]


def pairs(levels: int) -> Array:
    return np.array([np.eye(levels)[j] - np.eye(levels)[i] for j in range(levels) for i in range(j)])


@pytest.mark.parametrize(("levels", "df"), [(3, 5.0), (4, 21.0), (6, 12.5)])
def test_all_pairs_are_the_studentized_range(levels: int, df: float) -> None:
    R = correlate(pairs(levels), np.eye(levels))
    for limit in (1.0, 2.5, 4.0):
        found = enclose_t(np.full(len(R), limit), R, df)
        exact = stats.studentized_range.cdf(limit * np.sqrt(2), levels, df)
        assert found.value == pytest.approx(exact, abs=max(5 * found.error, 2e-5))


def test_against_control_is_dunnett() -> None:
    samples = [np.array([7.9, 8.1, 6.9, 7.4]), np.array([8.9, 9.3, 8.1, 9.9]), np.array([7.7, 8.8, 8.2, 7.1])]
    control = np.array([6.6, 7.7, 7.1, 6.2])
    expected = stats.dunnett(*samples, control=control, rng=np.random.default_rng(0))
    rows = np.column_stack([-np.ones(3), np.eye(3)])
    R = correlate(rows, np.eye(4) / 4)
    np.testing.assert_allclose(adjust_single_step(expected.statistic, R, 12), expected.pvalue, atol=1e-3)


def test_independent_normals_multiply() -> None:
    limits = np.array([0.5, 1.5, 2.0])
    exact = np.prod(2 * stats.norm.cdf(limits) - 1)
    assert enclose_t(limits, np.eye(3), np.inf).value == pytest.approx(exact, abs=1e-6)


def test_one_contrast_is_its_t_test() -> None:
    assert enclose_t([2.1], [[1.0]], 7.3).value == pytest.approx(1 - 2 * stats.t.sf(2.1, 7.3), rel=1e-12)
    assert critical_value([[1.0]], 9.0) == pytest.approx(stats.t.ppf(0.975, 9), rel=1e-12)


def test_the_same_contrast_twice_costs_nothing() -> None:
    assert enclose_t([2.0, 3.0], [[1.0, -1.0], [-1.0, 1.0]], 8).value == pytest.approx(1 - 2 * stats.t.sf(2.0, 8), rel=1e-9)


def test_critical_value_is_that_of_tukey() -> None:
    R = correlate(pairs(4), np.eye(4))
    assert critical_value(R, 20) == pytest.approx(stats.studentized_range.ppf(0.95, 4, 20) / np.sqrt(2), abs=2e-4)


def test_step_down_with_constraints_by_hand() -> None:
    """Three pairs: once one difference is real, at most one of the other two can be nil."""
    rows, t, df = pairs(3), np.array([3.2, 2.4, -0.3]), 15.0
    single = 2 * stats.t.sf(np.abs(t), df)
    np.testing.assert_allclose(adjust_shaffer(t, rows, df), [3 * single[0], single[1], single[2]], rtol=1e-12)
    constrained = adjust_westfall(t, rows, np.eye(3), df)
    np.testing.assert_allclose(constrained[1:], single[1:], rtol=1e-9)
    assert constrained[0] == pytest.approx(stats.studentized_range.sf(3.2 * np.sqrt(2), 3, df), abs=2e-5)


def test_adjustments_are_ordered() -> None:
    rng = np.random.default_rng(1)
    rows, df = pairs(4), 18.0
    means = rng.normal(size=4)
    R = correlate(rows, np.eye(4))
    t = rows @ means / np.sqrt(2) * 2.5
    single, free = adjust_single_step(t, R, df), adjust_free(t, R, df)
    constrained, raw = adjust_westfall(t, rows, np.eye(4), df), 2 * stats.t.sf(np.abs(t), df)
    slack = 1e-4
    assert (raw <= constrained + slack).all()
    assert (constrained <= free + slack).all()
    assert (free <= single + slack).all()
    assert (constrained <= adjust_shaffer(t, rows, df) + slack).all()


def test_too_many_contrasts_for_closed_tests_are_refused() -> None:
    with pytest.raises(ValueError, match="28 contrasts"):
        adjust_shaffer(np.ones(28), pairs(8), 10)


def test_result_is_reproducible() -> None:
    R = correlate(pairs(5), np.eye(5))
    assert enclose_t(np.full(10, 2.2), R, 9) == enclose_t(np.full(10, 2.2), R, 9)


def test_family_by_name() -> None:
    t = np.array([2.0, 3.0, 1.0])
    df = np.full(3, 20.0)
    family = Family(t, df, np.asarray(2 * stats.t.sf(t, df)), correlate(pairs(3), np.eye(3)), 2)
    np.testing.assert_allclose(adjust_family(family, "tukey"), stats.studentized_range.sf(t * np.sqrt(2), 3, 20))
    np.testing.assert_allclose(adjust_family(family, "mvt"), adjust_family(family, "tukey"), atol=5e-5)
    np.testing.assert_allclose(adjust_family(family, "scheffe"), stats.f.sf(t**2 / 2, 2, 20))
    np.testing.assert_allclose(adjust_family(family, "sidak"), 1 - (1 - family.p) ** 3)
    np.testing.assert_allclose(adjust_family(family, "bonferroni"), np.minimum(1, 3 * family.p))
    assert (adjust_family(family, "none") == family.p).all()
