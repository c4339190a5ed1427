"""Position effects against nested linear models of statsmodels."""

import numpy as np
import pytest
import statsmodels.api as sm

from exvivo.numerics.position import Deviations, find_position_effects

ROW, COLUMN = (axis.ravel() for axis in np.meshgrid(np.arange(8), np.arange(12), indexing="ij"))


def plate(effect: np.ndarray, seed: int) -> Deviations:
    """48 vertical pairs whose wells lie in neighbouring rows, 5 % noise, a relative effect on top."""
    rng = np.random.default_rng(seed)
    sets = (ROW // 2) * 12 + COLUMN
    mean = rng.uniform(0.3, 2.5, 48)[sets]
    signal = mean * (1 + effect + 0.05 * rng.normal(size=96))
    sd = 0.05 * mean
    fitted = (sets[:, None] == np.arange(48)) / sd[:, None]
    return Deviations(signal / sd, fitted, mean / sd, ROW, COLUMN, (8, 12))


def test_tests_are_those_of_nested_models() -> None:
    wells = plate(np.where(ROW == 0, 0.10, 0.0), 3)
    found = find_position_effects(wells)
    levels = {"row": ROW, "edge": ((ROW % 7 == 0) | (COLUMN % 11 == 0)).astype(int)}
    assert set(found) == {"row", "edge"}  # pairs within a column say nothing about columns
    for name, level in levels.items():
        places = wells.scale[:, None] * (level[:, None] == np.unique(level)[1::2])  # the other level of each pair is then given
        small = sm.OLS(wells.response, wells.fitted).fit()
        large = sm.OLS(wells.response, np.hstack([wells.fitted, places])).fit()
        F, p, df = large.compare_f_test(small)
        assert pytest.approx(F, rel=1e-8) == found[name].F
        assert found[name].p == pytest.approx(p, rel=1e-6)
        assert found[name].df == (df, large.df_resid)


def test_the_effect_is_the_one_that_was_put_in() -> None:
    sizes = [find_position_effects(plate(np.where((ROW % 7 == 0) | (COLUMN % 11 == 0), 0.15, 0.0), seed))["edge"] for seed in range(40)]
    assert np.mean([test.effect for test in sizes]) == pytest.approx(0.15, abs=0.02)
    assert all(test.p < 1e-3 for test in sizes)


def test_p_values_of_sound_plates_are_uniform() -> None:
    p = np.array([find_position_effects(plate(np.zeros(96), seed))["row"].p for seed in range(400)])
    assert np.mean(p < 0.05) == pytest.approx(0.05, abs=0.035)
    assert np.mean(p < 0.5) == pytest.approx(0.5, abs=0.08)


def test_few_wells_have_no_test() -> None:
    wells = plate(np.zeros(96), 1)
    few = ROW < 2
    kept = Deviations(wells.response[few], wells.fitted[few], wells.scale[few], ROW[few], COLUMN[few], (8, 12))
    assert find_position_effects(kept) == {}
