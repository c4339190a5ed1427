import numpy as np
import pytest

from exvivo.numerics.inference import infer_f, infer_t
from exvivo.numerics.paired import compare_welch, design_levels, design_slope, fit_linear, fit_mean, fit_paired


def test_one_pair_has_no_standard_error() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        fit_mean([0.3])


def test_missing_values_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        fit_paired([1.0, np.nan], [0.0, 1.0])


def test_arms_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        fit_paired([1.0, 2.0, 3.0], [0.0, 1.0])


@pytest.mark.parametrize(("value", "p"), [(0.0, 1.0), (-0.7, 0.0)])
def test_identical_differences_leave_no_doubt(value: float, p: float) -> None:
    fit = fit_mean([value] * 4)
    assert (fit.p, fit.low, fit.high) == (p, value, value)


def test_level_of_the_interval() -> None:
    assert infer_t(1.0, 1.0, 5, level=0.9).low > infer_t(1.0, 1.0, 5, level=0.95).low
    with pytest.raises(ValueError, match="level"):
        infer_t(1.0, 1.0, 5, level=95)


def test_one_sided_p_values_sum_to_one() -> None:
    fit = infer_t(-0.4, 0.2, 7)
    assert fit.p_less + fit.p_greater == pytest.approx(1.0)
    assert fit.p == pytest.approx(2 * fit.p_less)


def test_f_of_one_contrast_is_t_squared() -> None:
    fit = fit_linear([0.1, 0.5, 0.2, 0.9, 0.4], design_slope([0.0, 1, 0, 1, 1]))
    assert fit.joint([[0, 1]]).p == pytest.approx(fit.contrast([0, 1]).p)
    assert infer_f(4.0, 1, 6).p == pytest.approx(infer_t(2.0, 1.0, 6).p)


def test_design_without_information_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot determine"):
        fit_linear([0.1, 0.5, 0.2], np.ones((3, 2)))
    with pytest.raises(ValueError, match="finite rows"):
        fit_linear([0.1, 0.5, 0.2], np.ones((2, 1)))


def test_unknown_label_is_refused() -> None:
    with pytest.raises(ValueError, match="without a level: ATA"):
        design_levels(["ACA", "ATA"], ["ACA"])


def test_binary_modifier_is_not_centred_and_a_score_is() -> None:
    assert design_slope([0.0, 1.0, 1.0])[:, 1].tolist() == [0.0, 1.0, 1.0]
    assert design_slope([10.0, 20.0, 30.0], per=10)[:, 1].tolist() == [-1.0, 0.0, 1.0]


def test_welch_of_constant_groups() -> None:
    assert compare_welch([1.0, 1.0, 3.0, 3.0], [False, False, True, True]).estimate == 2.0
    with pytest.raises(ValueError, match="at least 2"):
        compare_welch([1.0, 1.0, 3.0], [False, False, True])


def test_joint_test_without_residual_variance() -> None:
    design = design_levels(["a", "a", "b", "b"], ["a", "b"])
    assert fit_linear([1.0, 1.0, 1.0, 1.0], design).joint([[-1, 1]]).p == 1.0
    exact = fit_linear([1.0, 1.0, 2.0, 2.0], design)
    assert exact.joint([[-1, 1]]).p == exact.contrast([-1, 1]).p == 0.0
    assert fit_linear([0.0, 0.0, 0.0, 0.0], design).contrast([1, 0]).p == 1.0
