"""Many small likelihoods climbed at once: quasi-Newton steps, one row per problem.

In: a function that gives value and gradient of any rows of a batch at given parameters. Out: the maximum of
every row with its gradient and curvature. A thousand fits of five parameters then cost a few dozen calls of
numpy instead of a thousand optimisations.

The curvature comes from differences of the exact gradient where a climb starts, fails to gain height or is not on a hill; in between
it is learnt from the steps (Broyden, Fletcher, Goldfarb, Shanno). A step that does not climb is
taken again, a quarter as long, and the next ones grow back. Negative curvature is
turned positive, so every step leads upwards. A parameter that is held, or that lies at the edge of its box
with the slope pointing outwards, stays where it is.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rows = NDArray[np.intp]
Score = Callable[[Rows, Array], tuple[Array, Array]]  # rows (r,), parameters (r, k) -> value (r,), gradient (r, k)

MOST_STEPS = 80
STEP = 1e-5  # of the differences of gradients; parameters are of order one
STILL = 1e-9  # a step shorter than this ends the climb
SHARPEST = 1e12  # a curvature beyond this is not learnt from a step
ROUNDING = 1e-12  # of a value; a step that loses less is no step down


@dataclass(frozen=True, slots=True)
class Summit:
    """Where the climb stands: parameters (r, k), value (r,), gradient (r, k), negative second derivatives (r, k, k)."""

    at: Array
    value: Array
    gradient: Array
    curvature: Array

    def put(self, rows: Rows, other: "Summit") -> None:
        """Take over rows of another."""
        self.at[rows], self.value[rows] = other.at, other.value
        self.gradient[rows], self.curvature[rows] = other.gradient, other.curvature

    def take(self, rows: Rows) -> "Summit":
        """Some rows, as a copy."""
        return Summit(self.at[rows], self.value[rows], self.gradient[rows], self.curvature[rows])


@dataclass(frozen=True, slots=True)
class Climb:
    """What is asked of a climb: the box (2, k) of the parameters, which keep their start, and what gain is not worth a step."""

    box: Array
    held: tuple[int, ...] = ()
    flat: float = 1e-18


def climb(score: Score, rows: Rows, start: Array, how: Climb, *, curvature: Array | None = None) -> Summit:
    """Maximise every row.

    Parameters
    ----------
    score : value and gradient by row and parameters
    rows : shape (r,), the problems, by the numbers that `score` knows them by; one may occur more than once
    start : shape (r, k), where each begins
    how : limits of the climb
    curvature : shape (r, k, k), if it is roughly known at the start
    """
    begin = np.clip(start, *how.box)
    here = look(score, rows, begin) if curvature is None else Summit(*_read(score, rows, begin), curvature)
    share = np.ones(len(rows))
    active = np.arange(len(rows))
    for _ in range(MOST_STEPS):
        step, gain = _step(here.take(active), how, share[active])
        moving = (np.abs(step).max(axis=1, initial=0.0) > STILL) & (gain > how.flat)
        active, step = active[moving], step[moving]
        if not active.size:
            break
        at, value, gradient = _read(score, rows[active], here.at[active] + step)
        better = (value >= here.value[active] - ROUNDING) & np.isfinite(gradient).all(axis=1)
        up, down = active[better], active[~better]
        learnt, usable = _learn(here.curvature[up], step[better], here.gradient[up] - gradient[better])
        here.put(up, Summit(at[better], value[better], gradient[better], learnt))
        if (lost := np.concatenate([down, up[~usable]])).size:
            here.put(lost, look(score, rows[lost], here.at[lost]))
        share[up], share[down] = np.minimum(1.0, 4 * share[up]), share[down] / 4
    return here


def look(score: Score, rows: Rows, at: Array, *, central: bool = False) -> Summit:
    """Value, gradient and curvature at given parameters (r, k)."""
    count, size = at.shape
    offsets = np.vstack([np.zeros(size), STEP * np.eye(size), *([-STEP * np.eye(size)] if central else [])])
    places = (at[None] + offsets[:, None]).reshape(-1, size)
    value, gradient = score(np.tile(rows, len(offsets)), places)
    value, gradient = value.reshape(len(offsets), count), gradient.reshape(len(offsets), count, size)
    behind, width = (gradient[1 + size :], 2 * STEP) if central else (gradient[:1], STEP)
    matrix = np.moveaxis((behind - gradient[1 : 1 + size]) / width, 0, 1)
    return Summit(at, value[0], gradient[0], 0.5 * (matrix + matrix.transpose(0, 2, 1)))


def _read(score: Score, rows: Rows, at: Array) -> tuple[Array, Array, Array]:
    """What `Summit` holds but for the curvature."""
    return at, *score(rows, at)


def _learn(curvature: Array, step: Array, change: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Curvature that agrees with the change of slope (r, k) along a step (BFGS), and whether both are those of a hill."""
    along = np.einsum("ri,ri->r", step, change)
    bent = np.einsum("rij,rj->ri", curvature, step)
    size = np.einsum("ri,ri->r", step, bent)
    with np.errstate(over="ignore"):
        usable = (along > SHARPEST**-0.5 * np.linalg.norm(step, axis=1) * np.linalg.norm(change, axis=1)) & (size > 0)
        usable &= np.einsum("ri,ri->r", change, change) < SHARPEST * along
    change = np.where(usable[:, None], change, 0.0)
    added = change[:, :, None] * change[:, None, :] / np.where(usable, along, 1.0)[:, None, None]
    removed = bent[:, :, None] * bent[:, None, :] / np.where(usable, size, 1.0)[:, None, None]
    return curvature + added - removed, usable


def _step(here: Summit, how: Climb, share: Array) -> tuple[Array, Array]:
    """Next step (r, k) and what it promises (r,)."""
    gradient, box = here.gradient, how.box
    fixed = ((here.at <= box[0]) & (gradient < 0)) | ((here.at >= box[1]) & (gradient > 0))
    fixed[:, list(how.held)] = True
    slope = np.where(fixed, 0.0, gradient)
    unknown = fixed[:, :, None] | fixed[:, None, :] | ~np.isfinite(here.curvature).all(axis=(1, 2), keepdims=True)
    matrix = np.where(unknown, np.eye(here.at.shape[1]), here.curvature)
    root, axes = np.linalg.eigh(matrix)
    size = np.maximum(np.abs(root), 1e-8)
    step = share[:, None] * np.einsum("rij,rj->ri", axes, np.einsum("rji,rj->ri", axes, slope) / size)
    step *= np.minimum(1.0, 2.0 / np.maximum(np.abs(step).max(axis=1, keepdims=True, initial=0.0), 1e-300))
    step = np.clip(here.at + step, *box) - here.at
    return step, np.asarray((slope * step).sum(axis=1), dtype=np.float64)


def step_within(slope: Array, matrix: Array, low: Array, high: Array, held: NDArray[np.bool_]) -> Array:
    """Steps (s, m) to the bottom of parabolas with this slope (s, m) and curvature (s, m, m), between limits that hold zero.

    Where a step ends at a limit, the others are taken as it is. What is held stays.
    """
    held, step = held.copy(), np.zeros_like(slope)
    for _ in range(slope.shape[1]):
        pull = np.where(held, 0.0, slope + np.einsum("sij,sj->si", matrix, step))
        step = np.where(held, step, -np.linalg.solve(keep_free(matrix, held), pull[:, :, None])[:, :, 0])
        beyond = ~held & ((step < low) | (step > high))
        if not beyond.any():
            break
        held |= beyond
        step = np.where(held, np.clip(step, low, high), 0.0)
    return np.asarray(np.clip(step, low, high), dtype=np.float64)


def keep_free(matrix: Array, held: NDArray[np.bool_]) -> Array:
    """Curvature (s, m, m) of what is not held, the rest a multiple of the unit matrix."""
    free = np.where(held[:, :, None] | held[:, None, :], 0.0, matrix)
    return np.asarray(free + np.where(held[:, None, :], largest(free), 0.0) * np.eye(held.shape[1]), dtype=np.float64)


def largest(matrix: Array) -> Array:
    """Largest entry of each matrix, shape (s, 1, 1), never zero."""
    return np.asarray(np.maximum(np.abs(matrix).max(axis=(1, 2), keepdims=True), 1e-200), dtype=np.float64)
