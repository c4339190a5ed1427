"""The loops that gating spends its time in: mixing detectors, showing on a scale, finding what a polygon encloses, medians.

They exist twice, in plain numpy and compiled (``numerics.compiled``, where numba is installed).
Both do the same operations on each event in the same order, so that which of them ran cannot be
told from any result; ``choose`` takes the compiled ones where there is enough to do to pay for loading them.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from exvivo.numerics import outline, scaletable
from exvivo.numerics.outline import Outline
from exvivo.numerics.scaletable import ScaleTable

Array = NDArray[np.float64]
Events = NDArray[np.floating]
Rows = NDArray[np.intp]
Membership = NDArray[np.bool_]

_WORTH_LOADING = 200_000  # events: what plain numpy does in the time that loading takes


@dataclass(frozen=True, slots=True)
class Kernels:
    """One set of loops.

    Attributes
    ----------
    mix : (events, shape (n_events, n_channels); rows or None; columns, shape (k,); weights, shape (k,)) -> weighted sum of the columns
    show : (values, shape (n,); table) -> display values
    enclosed : (x, y, shape (n,); outline) -> inside the polygon or on its boundary; what is NaN is outside
    median : (values, shape (n,), n > 0) -> middle, or mean of both middles; NaN if one is NaN
    order : layout, by columns (F) or by rows (C), in which events that are mixed many times are best kept
    """

    mix: Callable[[Events, Rows | None, Rows, Array], Array]
    show: Callable[[Array, ScaleTable], Array]
    enclosed: Callable[[Array, Array, Outline], Membership]
    median: Callable[[Array], float]
    order: Literal["C", "F"]


def choose(n_events: int) -> Kernels:
    """Compiled loops for work on many events if numba is there, else plain ones. Results are the same."""
    return (_compiled() or PLAIN) if n_events >= _WORTH_LOADING else PLAIN


@lru_cache(maxsize=1)
def _compiled() -> Kernels | None:
    try:
        compiled = importlib.import_module("exvivo.numerics.compiled")  # loading numba takes longer than most work in plain numpy
    except ImportError:  # numba is absent, or made for another numpy
        return None
    return Kernels(compiled.mix, compiled.show, compiled.enclosed, compiled.median, "C")


def mix(events: Events, rows: Rows | None, columns: Rows, weights: Array) -> Array:
    """Weighted sum of columns, added from the first to the last in double precision."""
    out = np.zeros(len(events) if rows is None else len(rows))
    for column, weight in zip(columns, weights, strict=True):
        values = events[:, column] if rows is None else events[rows, column]
        out += values.astype(np.float64) * weight
    return out


def median(values: Array) -> float:
    """Median of one column."""
    return float(np.median(values))


PLAIN = Kernels(mix, scaletable.show, outline.enclosed, median, "F")
