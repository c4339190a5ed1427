"""Display scales by table: the value of a logicle, hyperlog or asinh scale from one look-up and one cubic.

All three are odd functions around the display value of zero, nearly straight up to a knee and
nearly logarithmic beyond. The table holds cubic Hermite pieces through exact values with exact
slopes: equal steps within an octave, as many in each, so that a piece is found from the bits of
the number itself, and one piece more below the first octave. The error of a piece is
h^4 / 384 max |f''''|, which for a logarithm of rate 1 / b is 6 / (384 n^4 b) with n pieces an
octave: n is chosen so that this stays below 2e-9 of the display's height, and doubled where the
middles of the pieces, compared with the scale itself, say that the knee needs more. Beyond the
last octave the scale's exact function is asked.

Source: Hermite's remainder, for instance Hildebrand, Introduction to Numerical Analysis (1974),
section 8.2.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MANTISSA = 52
_LARGEST_ERROR = 2e-9
_BELOW_KNEE = 6  # octaves between the first piece and the knee
_ABOVE_TOP = 4  # octaves above the value shown at 1
_REFINEMENTS = 4


@dataclass(frozen=True, slots=True)
class ScaleTable:
    """A display scale in pieces.

    Attributes
    ----------
    zero : display value of 0
    pieces : ndarray, shape (n_pieces, 4): coefficients of the distance from the start of the piece, constant first
    shift : bits of a float64 below those that number the pieces
    first : number, in those bits, of the piece before the second
    top : values of this size and more are outside
    exact : the scale itself, for what is outside
    """

    zero: float
    pieces: Array
    shift: int
    first: int
    top: float
    exact: Callable[[Array], Array]


def build_table(
    exact: Callable[[Array], Array], slope: Callable[[Array], Array], knee: float, top: float, rate: float
) -> ScaleTable | None:
    """Table of an odd scale, or None for the rare scale that bends too sharply for one.

    Parameters
    ----------
    exact : display value of linear values
    slope : its derivative at linear values of 0 and above
    knee : linear value around which the scale bends
    top : linear value that is shown at 1
    rate : e-folds per display unit far above the knee
    """
    bits = max(math.ceil(math.log2((6.0 / (384.0 * _LARGEST_ERROR * rate)) ** 0.25)), 3)
    for finer in range(_REFINEMENTS):
        table, middles = _pieces(exact, slope, (knee, top), bits + finer, _BELOW_KNEE + 4 * finer)
        if np.max(np.abs(show(middles, table) - exact(middles))) <= 2.0 * _LARGEST_ERROR:
            return table
    return None


def _pieces(
    exact: Callable[[Array], Array], slope: Callable[[Array], Array], span: tuple[float, float], bits: int, below: int
) -> tuple[ScaleTable, Array]:
    """Table with two to the ``bits`` pieces an octave, and the middles of its pieces, where it is worst."""
    low = math.floor(math.log2(span[0])) - below
    high = max(math.ceil(math.log2(span[1])), low + below) + _ABOVE_TOP
    octaves = np.exp2(np.arange(low, high))
    edges = np.concatenate([[0.0], np.outer(octaves, 1.0 + np.arange(1 << bits) / (1 << bits)).ravel(), [2.0**high]])
    shown, slopes, step = exact(edges), slope(edges), np.diff(edges)
    rise, first, last = np.diff(shown) / step, slopes[:-1], slopes[1:]
    pieces = np.column_stack([shown[:-1], first, (3.0 * rise - 2.0 * first - last) / step, (first + last - 2.0 * rise) / step**2])
    shift = MANTISSA - bits
    start = int(np.float64(2.0**low).view(np.int64)) >> shift
    return ScaleTable(float(shown[0]), np.ascontiguousarray(pieces), shift, start - 1, 2.0**high, exact), edges[:-1] + step / 2.0


def show(values: Array, table: ScaleTable) -> Array:
    """Display values; NaN gives NaN, infinities what the scale itself gives.

    Parameters
    ----------
    values : ndarray, shape (n,), linear scale

    Returns
    -------
    ndarray, shape (n,): within 5e-9 of the scale itself
    """
    size = np.abs(values)
    inside = size < table.top
    size = np.where(inside, size, 0.0)
    piece = np.maximum((size.view(np.int64) >> table.shift) - table.first, 0)
    start = np.where(piece > 0, (size.view(np.int64) >> table.shift << table.shift).view(np.float64), 0.0)
    along = size - start
    c = table.pieces[piece]
    out: Array = c[:, 0] + along * (c[:, 1] + along * (c[:, 2] + along * c[:, 3]))
    out = np.where(values < 0, table.zero - (out - table.zero), out)
    if not inside.all():
        out[~inside] = table.exact(values[~inside])
    return out
