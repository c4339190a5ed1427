"""Outlines of what lies inside on a grid: programs that gate on binned values test cells, and a polygon around these finds their events."""

import numpy as np
from numpy.typing import NDArray


def outline(inside: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Corners of one path around all cells that are true; loops are joined by a way there and back, which cancels.

    Parameters
    ----------
    inside : ndarray, shape (n_columns, n_rows); cell (i, j) reaches from corner (i, j) to (i + 1, j + 1)

    Returns
    -------
    list of corners; the way around holds the cells and nothing else

    Examples
    --------
    >>> sorted(outline(np.array([[True, True], [False, False]])))
    [(0, 0), (0, 2), (1, 0), (1, 2)]
    """
    path: list[tuple[int, int]] = []
    for loop in _loops(inside):
        path += [*loop, loop[0]]
        if path[0] != loop[0]:
            path.append(path[0])
    return path[:-1]


def _loops(inside: NDArray[np.bool_]) -> list[list[tuple[int, int]]]:
    padded = np.pad(inside, 1)
    following: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for (right, up), start, end in (
        ((0, -1), (0, 0), (1, 0)),
        ((1, 0), (1, 0), (1, 1)),
        ((0, 1), (1, 1), (0, 1)),
        ((-1, 0), (0, 1), (0, 0)),
    ):
        neighbour = np.roll(padded, (-right, -up), axis=(0, 1))
        for i, j in np.argwhere(padded & ~neighbour) - 1:
            following.setdefault((int(i) + start[0], int(j) + start[1]), []).append((int(i) + end[0], int(j) + end[1]))
    loops = []
    while following:
        begin = next(iter(following))
        loop, here = [begin], begin
        while True:
            ahead = following[here]
            here = ahead.pop()
            if not ahead:
                del following[loop[-1]]
            if here == begin:
                break
            loop.append(here)
        loops.append(_straightened(loop))
    return loops


def _straightened(loop: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Corners at which the way turns."""
    around = zip(loop[-1:] + loop[:-1], loop, loop[1:] + loop[:1], strict=True)
    return [here for before, here, after in around if (here[0] == before[0]) != (after[0] == here[0])]
