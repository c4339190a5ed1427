"""A polygon around cells holds these and no others."""

import numpy as np
import pytest

from exvivo.formats.outlines import outline
from exvivo.numerics import cells


@pytest.mark.parametrize("seed", range(20))
def test_outline_holds_the_cells_and_no_others(seed: int) -> None:
    rng = np.random.default_rng(seed)
    inside = np.zeros((256, 256), dtype=bool)
    inside[100:112, 100:112] = rng.random((12, 12)) < 0.5
    x, y = np.meshgrid(np.arange(256) + 0.5, np.arange(256) + 0.4, indexing="ij")
    found = cells.in_polygon(x.ravel(), y.ravel(), np.array(outline(inside), dtype=float)).reshape(256, 256)
    np.testing.assert_array_equal(found, inside)
