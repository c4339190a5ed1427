import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize

from exvivo.numerics.ascent import Climb, climb, look

Array = NDArray[np.float64]
BOX = np.array([[-5.0, -5.0], [5.0, 5.0]])


def valley(rows: NDArray[np.intp], at: Array) -> tuple[Array, Array]:
    """Rosenbrock's valley turned to a ridge, steeper with the row; its top is at (1, 1)."""
    steep, (a, b) = 10.0 * (1 + rows), at.T
    value = -((1 - a) ** 2) - steep * (b - a**2) ** 2
    return value, np.column_stack([2 * (1 - a) + 4 * steep * a * (b - a**2), -2 * steep * (b - a**2)])


def test_every_row_reaches_its_top() -> None:
    rows = np.array([0, 3, 9])
    found = climb(valley, rows, np.array([[-1.2, 1.0], [0.0, 4.0], [-4.0, -4.0]]), Climb(BOX))
    np.testing.assert_allclose(found.at, np.ones((3, 2)), atol=1e-7)


def test_a_held_parameter_stays() -> None:
    found = climb(valley, np.array([0]), np.array([[2.0, 0.0]]), Climb(BOX, held=(0,)))
    np.testing.assert_allclose(found.at, [[2.0, 4.0]], atol=1e-8)


def test_the_edge_of_the_box_is_where_scipy_stops() -> None:
    box = np.array([[-5.0, -5.0], [0.5, 5.0]])
    found = climb(valley, np.array([2]), np.array([[-1.0, 2.0]]), Climb(box))

    def depth(at: Array) -> float:
        return -float(valley(np.array([2]), at[None])[0][0])

    scipy = optimize.minimize(depth, np.array([-1.0, 2.0]), bounds=[(-5, 0.5), (-5, 5)])
    np.testing.assert_allclose(found.at[0], scipy.x, atol=1e-4)


def test_curvature_is_the_second_derivative() -> None:
    seen = look(valley, np.array([0]), np.array([[1.0, 1.0]]), central=True)
    np.testing.assert_allclose(seen.curvature[0], [[82.0, -40.0], [-40.0, 20.0]], rtol=1e-6)
    assert seen.value[0] == pytest.approx(0.0)
