"""The loops of ``numerics.kernels`` compiled by numba, event by event.

No parallel loops and no threads: parallel work is the engine's, and numba's own threads end a
process when two of them meet. Compiled code is kept beside this file or, where that cannot be
written, in the user's cache folder; where neither can, in a temporary folder.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

from exvivo.numerics.outline import CELLS, INSIDE, NEAR, Outline
from exvivo.numerics.scaletable import MAGNITUDE, ScaleTable

Array = NDArray[np.float64]
Events = NDArray[np.floating]
Rows = NDArray[np.intp]
Membership = NDArray[np.bool_]
Function = TypeVar("Function", bound=Callable[..., Any])


def _compile(function: Function) -> Function:
    build: Any = numba.njit(cache=True, nogil=True)
    try:
        compiled: Function = build(function)
    except RuntimeError:  # no place to keep compiled code
        setattr(numba.config, "CACHE_DIR", str(Path(tempfile.gettempdir()) / "exvivo-compiled"))  # noqa: B010 - set when it is loaded
        compiled = build(function)
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
        number = (bits[i] & MAGNITUDE) >> shift
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
    left, bottom, right, top, x_scale, y_scale = frame
    inside = np.zeros(len(x), dtype=np.bool_)
    for i in range(len(x)):
        u, v = x[i], y[i]
        boxed = (left <= u) & (u <= right) & (bottom <= v) & (v <= top)
        across = (u - left) * x_scale if boxed else 0.0
        up = (v - bottom) * y_scale if boxed else 0.0
        kind = picture[min(int(across), CELLS - 1) * CELLS + min(int(up), CELLS - 1)]
        inside[i] = boxed & (kind == INSIDE)
        if boxed & (kind == NEAR):
            inside[i] = _crosses(u, v, corners)
    return inside
