import numpy as np
import pytest
from numpy.typing import NDArray
from statsmodels.stats.anova import AnovaRM

from exvivo.numerics.strata import analyse_strata

Array = NDArray[np.float64]
pd = pytest.importorskip("pandas")


def dummies(codes: NDArray[np.int_]) -> Array:
    return np.asarray(codes[:, None] == np.unique(codes), dtype=np.float64)


def crossed(*codes: NDArray[np.int_]) -> Array:
    return dummies(np.unique(np.column_stack(codes), axis=0, return_inverse=True)[1].ravel())


def test_two_factors_within_subjects_are_those_of_statsmodels() -> None:
    rng = np.random.default_rng(4)
    subject, a, b = (own.ravel() for own in np.meshgrid(np.arange(6), np.arange(3), np.arange(2), indexing="ij"))
    y = rng.normal(size=subject.size) + 0.8 * a + rng.normal(size=6)[subject]
    table = AnovaRM(pd.DataFrame({"y": y, "s": subject, "a": a, "b": b}), "y", "s", within=["a", "b"]).fit().anova_table
    terms = {"a": dummies(a), "b": dummies(b), "a:b": crossed(a, b)}
    found = analyse_strata(y, terms, [dummies(subject), crossed(subject, a), crossed(subject, b)])
    for name in terms:
        test = found[name][0].test
        assert test is not None
        assert pytest.approx(table.loc[name, "F Value"], rel=1e-9) == test.F
        assert test.df_denominator == table.loc[name, "Den DF"]
        assert test.p == pytest.approx(table.loc[name, "Pr > F"], rel=1e-9)


def test_term_between_blocks_is_tested_there() -> None:
    block = np.repeat(np.arange(6), 4)
    whole = block % 2
    y = np.random.default_rng(1).normal(size=24) + whole
    (line,) = analyse_strata(y, {"whole": dummies(whole)}, [dummies(block)])["whole"]
    means = y.reshape(6, 4).mean(axis=1)
    expected = np.var([means[::2].mean(), means[1::2].mean()], ddof=1) * 3
    spread = (means[::2].var(ddof=1) + means[1::2].var(ddof=1)) / 2
    assert line.test is not None
    assert (line.df, line.test.df_denominator) == (1, 4)
    assert pytest.approx(expected / spread) == line.test.F


def test_term_without_an_error_left_has_no_test() -> None:
    block = np.repeat(np.arange(2), 3)
    (line,) = analyse_strata(np.arange(6.0) ** 2, {"block": dummies(block)}, [dummies(block)])["block"]
    assert line.test is None
    assert line.df == 1
