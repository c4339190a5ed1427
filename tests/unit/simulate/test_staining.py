"""A marker's light makes the delta that was asked for."""

import numpy as np
import pytest

from exvivo.simulate.staining import BACKGROUND_SD, MARKER_SD, SIZE_SD, delta_of, marker_amounts


@pytest.mark.parametrize(("delta", "background"), [(30.0, 300.0), (300.0, 300.0), (3000.0, 200.0)])
def test_medians_of_drawn_cells_differ_by_delta(delta: float, background: float) -> None:
    size, own, marker = np.random.default_rng(8).standard_normal((3, 1_000_000))
    amount = marker_amounts(np.array([delta]), np.array([background]))[0]
    unstained = background * np.exp(SIZE_SD * size + BACKGROUND_SD * own)
    stained = unstained + amount * np.exp(SIZE_SD * size + MARKER_SD * marker)
    assert np.median(stained) - np.median(unstained) == pytest.approx(delta, rel=0.01, abs=0.5)


def test_a_dim_marker_shows_the_mean_of_its_amounts_and_a_bright_one_the_median() -> None:
    assert delta_of(1e-5) / 1e-5 == pytest.approx(np.exp(MARKER_SD**2 / 2) * np.exp(-(BACKGROUND_SD**2) / 2), rel=0.01)
    assert delta_of(1e5) / 1e5 == pytest.approx(1, abs=1e-4)


def test_scaling_light_scales_amounts() -> None:
    deltas, backgrounds = np.array([50.0, 900.0]), np.array([200.0, 400.0])
    np.testing.assert_allclose(marker_amounts(7 * deltas, 7 * backgrounds), 7 * marker_amounts(deltas, backgrounds), rtol=1e-12)
