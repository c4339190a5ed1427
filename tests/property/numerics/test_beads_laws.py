"""Laws of the conversion from beads: unit of the detector, unit of the known values, order of populations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exvivo.numerics.beads import Conversion, fit_conversion

KNOWN = np.array([0.0, 650.0, 1700.0, 4800.0, 16000.0, 47600.0, 136000.0])
AT = np.array([5.0, 80.0, 4000.0])
noise = st.lists(st.floats(-0.1, 0.1), min_size=7, max_size=7)
factor = st.floats(0.01, 100.0)


def fit(errors: list[float], of_detector: float = 1.0, of_known: float = 1.0, order: list[int] | None = None) -> Conversion:
    fluorescence = (KNOWN + 500.0) / 40.0 * np.exp(errors)
    at = order or list(range(7))
    return fit_conversion(of_detector * fluorescence[at], of_known * KNOWN[at])


@given(noise, factor)
def test_gain_of_the_detector_cancels(errors: list[float], gain: float) -> None:
    assert fit(errors, of_detector=gain).convert(AT * gain) == pytest.approx(fit(errors).convert(AT), rel=1e-4)


@given(noise, factor)
def test_molecules_scale_with_the_known_values(errors: list[float], unit: float) -> None:
    scaled, plain = fit(errors, of_known=unit), fit(errors)
    assert scaled.slope == pytest.approx(plain.slope, rel=1e-4)
    assert scaled.convert(AT) == pytest.approx(unit * plain.convert(AT), rel=1e-4)


@given(noise, st.permutations(range(7)))
def test_order_of_populations_does_not_matter(errors: list[float], order: list[int]) -> None:
    assert fit(errors, order=order).convert(AT) == pytest.approx(fit(errors).convert(AT), rel=1e-6)


@given(noise, st.floats(0.1, 1e5))
def test_conversion_is_odd_and_rises(errors: list[float], value: float) -> None:
    below, above = fit(errors).convert(np.array([-value, value]))
    assert below == -above
    assert above > 0
