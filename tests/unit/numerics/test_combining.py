import pytest

from exvivo.numerics.combining import combine_imputations


def test_rules_by_hand() -> None:
    found = combine_imputations([1.0, 2.0, 3.0], [0.5, 0.7, 0.6])
    assert found.within == pytest.approx(0.6)
    assert found.between == pytest.approx(1.0)
    assert found.total == pytest.approx(0.6 + 4 / 3)
    assert found.increase == pytest.approx(4 / 3 / 0.6)
    assert found.df_large == pytest.approx(2 * (1 + 0.6 / (4 / 3)) ** 2)
    assert found.estimate.df == found.df_large
    assert found.estimate.estimate == pytest.approx(2.0)


def test_degrees_of_freedom_stay_below_those_of_complete_data() -> None:
    for df in (4.0, 15.0, 200.0):
        assert combine_imputations([1.0, 1.01, 0.99], [0.5, 0.5, 0.5], df_complete=df).estimate.df < df


def test_imputations_that_agree_leave_the_complete_data_inference() -> None:
    found = combine_imputations([0.3, 0.3], [0.04, 0.04], df_complete=12)
    assert found.estimate.se == pytest.approx(0.2)
    assert found.increase == 0
    assert found.df_large == pytest.approx(1e8)  # as mice: the share that is missing counts as 1e-4 at least
    assert found.estimate.df == pytest.approx(13 / 15 * 12, rel=1e-3)


@pytest.mark.parametrize(("q", "u"), [([1.0], [1.0]), ([1.0, 2.0], [1.0]), ([1.0, 2.0], [0.0, 1.0])])
def test_what_cannot_be_combined_is_refused(q: list[float], u: list[float]) -> None:
    with pytest.raises(ValueError, match="two or more imputations"):
        combine_imputations(q, u)
