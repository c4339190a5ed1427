import numpy as np
import pytest

from exvivo.numerics.multiplicity import adjust_bonferroni, adjust_graph, adjust_holm, adjust_hommel


def test_a_member_without_p_still_counts() -> None:
    assert adjust_holm([0.01, 0.04], total=3).tolist() == [0.03, 0.08]


def test_empty_family() -> None:
    assert adjust_holm([], total=4).size == 0


@pytest.mark.parametrize("p", [[-0.1], [1.1], [np.nan]])
def test_what_is_no_p_value_is_refused(p: list[float]) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        adjust_holm(p)


def test_family_smaller_than_its_members_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot hold"):
        adjust_bonferroni([0.1, 0.2], total=1)


def test_hommel_with_absent_members() -> None:
    assert adjust_hommel([0.01], total=3).tolist() == pytest.approx([0.03])


def test_graph_must_be_a_graph() -> None:
    with pytest.raises(ValueError, match="at most 1"):
        adjust_graph([0.01, 0.02], [0.8, 0.8], [[0, 1], [1, 0]])
    with pytest.raises(ValueError, match="length 1"):
        adjust_graph([0.01, 0.02], [0.5, 0.5], [[0.5, 0.0], [1.0, 0.0]])


def test_hypothesis_that_never_gets_alpha_keeps_one() -> None:
    assert adjust_graph([0.01, 0.001], [1.0, 0.0], [[0, 0], [0, 0]]).tolist() == [0.01, 1.0]
