"""parse(compose(matrix)) = matrix, as parts and as per cent."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from exvivo.formats import spillover
from exvivo.study.design import SpilloverMatrix

NAMES = st.lists(
    st.text("ABCDEFGHxyz0123456789-/", min_size=1, max_size=8).map(lambda text: f"F{text}"), min_size=2, max_size=8, unique=True
)


@st.composite
def matrices(draw: st.DrawFn) -> SpilloverMatrix:
    """A matrix with a diagonal of ones that can be inverted for sure."""
    names = tuple(draw(NAMES))
    n = len(names)
    values = np.array(draw(st.lists(st.floats(0.0, 0.9 / n), min_size=n * n, max_size=n * n))).reshape(n, n)
    np.fill_diagonal(values, 1.0)
    return SpilloverMatrix(names, names, tuple(tuple(float(value) for value in row) for row in values))


@given(matrices())
def test_a_matrix_comes_back(matrix: SpilloverMatrix) -> None:
    assert spillover.parse(spillover.compose(matrix)) == matrix


@given(matrices())
def test_per_cent_mean_the_same(matrix: SpilloverMatrix) -> None:
    per_cent = SpilloverMatrix(
        matrix.fluorochromes, matrix.detectors, tuple(tuple(100.0 * value for value in row) for row in matrix.matrix)
    )
    assert np.allclose(spillover.parse(spillover.compose(per_cent)).matrix, matrix.matrix, rtol=1e-12, atol=0)
