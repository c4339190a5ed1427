"""The loops of ``numerics.kernels`` compiled by numba, event by event.

No parallel loops and no threads: parallel work is the engine's, and numba's own threads end a
process when two of them meet. Compiled code is kept beside this file or, where that cannot be
written, in the user's cache folder; where neither can, every process compiles for itself. Threads
may share all of it: nothing here has a state.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

from exvivo.numerics.outline import Outline
from exvivo.numerics.scaletable import ScaleTable

Array = NDArray[np.float64]
Events = NDArray[np.floating]
Rows = NDArray[np.intp]
Membership = NDArray[np.bool_]
# Numbers that compiled loops hold are written here: kept code is renewed when this file changes, not when another does.
_MAGNITUDE = (1 << 63) - 1
_INSIDE, _NEAR = 1, 2
_SHIFT, _HALF = 48, 1 << 15

Function = TypeVar("Function", bound=Callable[..., Any])


def _compile(function: Function) -> Function:
    build: Any = numba.njit
    try:
        compiled: Function = build(function, nogil=True, cache=True)
    except RuntimeError:  # no place to keep compiled code: a second in each process
        compiled = build(function, nogil=True)
    return compiled


def mix(events: Events, rows: Rows | None, columns: Rows, weights: Array) -> Array:
    """As ``kernels.mix``."""
    return _mix_all(events, columns, weights) if rows is None else _mix(events, rows, columns, weights)


def show(values: Array, table: ScaleTable) -> Array:
    """As ``scaletable.show``."""
    out, outside = _show(values, values.view(np.int64), table.pieces, (table.shift, table.first), (table.zero, table.top))
    if outside:
        far = ~(np.abs(values) < table.top)
        out[far] = table.exact(values[far])
    return out


def enclosed(x: Array, y: Array, outline: Outline) -> Membership:
    """As ``outline.enclosed``."""
    return _enclosed(x, y, outline.corners, np.concatenate([outline.low, outline.high, outline.scale]), outline.picture)


def median(values: Array) -> float:
    """As ``kernels.median``: the numbers are counted by their first 16 bits, and only those around the middle are sorted."""
    lower, upper = _middle(values, values.view(np.int64))
    return float(np.mean([lower, upper]))


@_compile
def _mix_all(events: Events, columns: Rows, weights: Array) -> Array:
    out = np.empty(len(events))
    for i in range(len(events)):
        total = 0.0
        for j in range(len(columns)):
            total += np.float64(events[i, columns[j]]) * weights[j]
        out[i] = total
    return out


@_compile
def _mix(events: Events, rows: Rows, columns: Rows, weights: Array) -> Array:
    out = np.empty(len(rows))
    for i in range(len(rows)):
        total = 0.0
        for j in range(len(columns)):
            total += np.float64(events[rows[i], columns[j]]) * weights[j]
        out[i] = total
    return out


@_compile
def _rank(bits: int) -> int:
    """Place of a number among the numbers with other first 16 bits."""
    return _HALF + (bits >> _SHIFT) if bits >= 0 else _HALF - 1 - ((bits & _MAGNITUDE) >> _SHIFT)


@_compile
def _start(number: int, shift: int) -> float:
    start: float = np.int64(number << shift).view(np.float64)
    return start


@_compile
def _show(values: Array, bits: NDArray[np.int64], pieces: Array, keys: tuple[int, int], limits: tuple[float, float]) -> tuple[Array, int]:
    out = np.empty(len(values))
    shift, first = keys
    zero, top = limits
    outside = 0
    for i in range(len(values)):
        size = abs(values[i])
        if not size < top:
            out[i] = np.nan
            outside += 1
            continue
        number = (bits[i] & _MAGNITUDE) >> shift
        piece = number - first
        along = size
        if piece > 0:
            along = size - _start(number, shift)
        else:
            piece = 0
        shown = pieces[piece, 0] + along * (pieces[piece, 1] + along * (pieces[piece, 2] + along * pieces[piece, 3]))
        out[i] = zero - (shown - zero) if values[i] < 0 else shown
    return out, outside


@_compile
def _crosses(u: float, v: float, corners: Array) -> bool:
    odd, edge = False, False
    ax, ay = corners[-1, 0], corners[-1, 1]
    for k in range(len(corners)):
        bx, by = corners[k, 0], corners[k, 1]
        turn = (bx - ax) * (v - ay) - (u - ax) * (by - ay)
        if (ay > v) != (by > v) and (turn > 0.0) == (by > ay):
            odd = not odd
        if turn == 0.0 and min(ax, bx) <= u <= max(ax, bx) and min(ay, by) <= v <= max(ay, by):
            edge = True
        ax, ay = bx, by
    return odd or edge


@_compile
def _enclosed(x: Array, y: Array, corners: Array, frame: Array, picture: NDArray[np.uint8]) -> Membership:
    """In three passes, so that the first has no branches: the cell of each point, its kind, and the sides for those near one."""
    left, bottom, right, top, x_scale, y_scale = frame
    size = np.int32(np.sqrt(len(picture) - 1))
    last, none = np.float64(size - 1), np.int32(len(picture) - 1)
    places = np.empty(len(x), dtype=np.int32)
    for i in range(len(x)):
        boxed = (left <= x[i]) & (x[i] <= right) & (bottom <= y[i]) & (y[i] <= top)
        across, up = min((x[i] - left) * x_scale, last), min((y[i] - bottom) * y_scale, last)
        across, up = across if boxed else 0.0, up if boxed else 0.0
        places[i] = np.int32(across) * size + np.int32(up) if boxed else none
    inside = np.empty(len(x), dtype=np.bool_)
    near = np.empty(len(x), dtype=np.int32)
    count = 0
    for i in range(len(x)):
        kind = picture[places[i]]
        inside[i] = kind == _INSIDE
        near[count] = i
        count += kind == _NEAR
    for k in range(count):
        inside[near[k]] = _crosses(x[near[k]], y[near[k]], corners)
    return inside


@_compile
def _middle(values: Array, bits: NDArray[np.int64]) -> tuple[float, float]:
    counts = np.zeros(1 << 16, dtype=np.int64)
    for i in range(len(values)):
        if np.isnan(values[i]):
            return np.nan, np.nan
        counts[_rank(bits[i])] += 1
    first, second = (len(values) - 1) // 2, len(values) // 2
    low, before = 0, 0
    while before + counts[low] <= first:
        before += counts[low]
        low += 1
    high, passed = low, before
    while passed + counts[high] <= second:
        passed += counts[high]
        high += 1
    near = np.empty(passed + counts[high] - before)
    filled = 0
    for i in range(len(values)):
        if low <= _rank(bits[i]) <= high:
            near[filled] = values[i]
            filled += 1
    near.sort()
    return near[first - before], near[second - before]
