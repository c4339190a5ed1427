"""Polygons prepared for many points: a coarse picture of inside, outside and edge.

A point is inside a polygon when a ray from it crosses the outline an odd number of times, or when
it lies on the outline. The picture is a grid over the polygon's bounding box; a cell that no side
comes near lies wholly inside or wholly outside, and only points of the other cells need the sides
themselves. Which way was taken cannot be told from the answer: a cell counts as near a side when
the side meets the cell made twice as wide, far more than rounding can move anything.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Membership = NDArray[np.bool_]

CELLS = 64
OUTSIDE, INSIDE, NEAR = np.uint8(0), np.uint8(1), np.uint8(2)


@dataclass(frozen=True, slots=True)
class Outline:
    """A polygon.

    Attributes
    ----------
    corners : ndarray, shape (n_corners, 2), closed by joining the last to the first; may cross itself
    low, high : ndarray, shape (2,): its bounding box
    scale : ndarray, shape (2,): cells per unit
    picture : ndarray, shape (CELLS * CELLS + 1,): OUTSIDE, INSIDE or NEAR; the first axis varies slowest, the last cell is for all points
        beyond the bounding box
    """

    corners: Array
    low: Array
    high: Array
    scale: Array
    picture: NDArray[np.uint8]


def make_outline(vertices: ArrayLike) -> Outline:
    """A polygon ready for ``enclosed``.

    Raises
    ------
    ValueError : fewer than three vertices, or one without two finite coordinates
    """
    corners = np.ascontiguousarray(vertices, dtype=np.float64)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3 or not np.all(np.isfinite(corners)):
        raise ValueError("a polygon needs three or more vertices with two finite coordinates")
    low, high = corners.min(axis=0), corners.max(axis=0)
    with np.errstate(divide="ignore", over="ignore"):
        scale = CELLS / (high - low)
    if not np.all(np.isfinite(scale)) or not np.all(np.isfinite((high - low) * scale)):
        return Outline(corners, low, high, np.zeros(2), np.append(np.full(CELLS * CELLS, NEAR), OUTSIDE))
    return Outline(corners, low, high, scale, _draw(corners, low, high - low))


def _draw(corners: Array, low: Array, extent: Array) -> NDArray[np.uint8]:
    """Picture of a polygon, in units of cells."""
    places = (corners - low) / extent * CELLS
    near = np.zeros((CELLS, CELLS), dtype=np.bool_)
    for start, end in zip(np.roll(places, 1, axis=0), places, strict=True):
        near |= _meets(start, end)
    middles = np.arange(CELLS) + 0.5
    x, y = (axis.ravel() for axis in np.meshgrid(middles, middles, indexing="ij"))
    inside = cross(x, y, places).reshape(near.shape)
    return np.append(np.where(near, NEAR, np.where(inside, INSIDE, OUTSIDE)), OUTSIDE).astype(np.uint8)


def _meets(start: Array, end: Array) -> Membership:
    """Cells which a side meets when they are made twice as wide: they overlap along both axes and across the side."""
    middles = np.arange(CELLS) + 0.5
    along_x, along_y = ((middles >= min(a, b) - 1.0) & (middles <= max(a, b) + 1.0) for a, b in zip(start, end, strict=True))
    dx, dy = end - start
    across = dx * (middles[None, :] - start[1]) - dy * (middles[:, None] - start[0])
    met: Membership = along_x[:, None] & along_y[None, :] & (np.abs(across) <= abs(dx) + abs(dy))
    return met


def cross(x: Array, y: Array, corners: Array) -> Membership:
    """Odd number of crossings of the closed outline, or on it; NaN is outside."""
    odd, edge = np.zeros(len(x), dtype=np.bool_), np.zeros(len(x), dtype=np.bool_)
    for (ax, ay), (bx, by) in zip(np.roll(corners, 1, axis=0), corners, strict=True):
        turn = (bx - ax) * (y - ay) - (x - ax) * (by - ay)
        odd ^= ((ay > y) != (by > y)) & ((turn > 0.0) == (by > ay))
        edge |= (turn == 0.0) & (x >= min(ax, bx)) & (x <= max(ax, bx)) & (y >= min(ay, by)) & (y <= max(ay, by))
    return odd | edge


def enclosed(x: Array, y: Array, outline: Outline) -> Membership:
    """Membership in a polygon.

    Parameters
    ----------
    x, y : ndarray, shape (n_points,); NaN is outside
    """
    inside = np.zeros(len(x), dtype=np.bool_)
    boxed = np.flatnonzero((x >= outline.low[0]) & (x <= outline.high[0]) & (y >= outline.low[1]) & (y <= outline.high[1]))
    x, y = x[boxed], y[boxed]
    across, up = (
        np.minimum(((values - low) * scale).astype(np.intp), CELLS - 1)
        for values, low, scale in zip((x, y), outline.low, outline.scale, strict=True)
    )
    kind = outline.picture[across * CELLS + up]
    found = kind == INSIDE
    near = np.flatnonzero(kind == NEAR)
    found[near] = cross(x[near], y[near], outline.corners)
    inside[boxed] = found
    return inside
