import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mstats

from exvivo.numerics.paired import fit_mean
from exvivo.numerics.robust import count_trimmed, fit_trimmed_mean


@pytest.mark.parametrize("n", [5, 8, 23, 40])
def test_limits_are_those_of_scipy(n: int) -> None:
    d = np.random.default_rng(n).standard_t(3, n)
    fit = fit_trimmed_mean(d)
    assert [fit.low, fit.high] == pytest.approx(np.asarray(mstats.trimmed_mean_ci(d, (0.2, 0.2))), rel=1e-9)
    assert fit.estimate == pytest.approx(float(mstats.trimmed_mean(d, (0.2, 0.2))), rel=1e-12)


@given(st.integers(5, 30), st.floats(1.0, 1e6))
def test_one_wild_donor_moves_it_no_further_than_its_neighbour_would(n: int, far: float) -> None:
    d = np.linspace(-1, 1, n)
    wild = np.append(d[:-1], d[-1] + far)
    assert fit_trimmed_mean(wild).estimate == pytest.approx(fit_trimmed_mean(d).estimate, abs=1e-12)


def test_without_trimming_it_is_the_mean() -> None:
    d = [0.1, -0.4, 0.3, 0.9]
    assert count_trimmed(len(d)) == 0
    assert fit_trimmed_mean(d, trim=0.0) == fit_mean(d)


@pytest.mark.parametrize("values", [[0.1], [0.1, float("nan"), 0.2], [[0.1, 0.2]]])
def test_what_cannot_be_trimmed_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite values must be left"):
        fit_trimmed_mean(values)
