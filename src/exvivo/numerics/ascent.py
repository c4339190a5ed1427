"""Many small likelihoods climbed at once: damped quasi-Newton steps, one row per problem.

In: a function that gives value and gradient of any rows of a batch at given parameters. Out: the maximum of
every row with its gradient and curvature. A thousand fits of five parameters then cost a few dozen calls of
numpy instead of a thousand optimisations.

The curvature comes from differences of the exact gradient where a climb starts or fails to gain height; in
between it is learnt from the steps (Broyden, Fletcher, Goldfarb, Shanno). Each row has its own damping (Levenberg-Marquardt): a step that does not climb is taken again, shorter. Negative curvature is
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
FLAT = 1e-18  # as does a step that promises less than this
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


def climb(score: Score, rows: Rows, start: Array, box: Array, *, held: tuple[int, ...] = (), curvature: Array | None = None) -> Summit:
    """Maximise every row.

    Parameters
    ----------
    score : value and gradient by row and parameters
    rows : shape (r,), the problems, by the numbers that `score` knows them by; one may occur more than once
    start : shape (r, k), where each begins
    box : shape (2, k), lowest and highest value of every parameter
    held : parameters that keep their start
    curvature : shape (r, k, k), if it is roughly known at the start
    """
    here = look(score, rows, np.clip(start, *box)) if curvature is None else Summit(*_read(score, rows, np.clip(start, *box)), curvature)
    damping = np.zeros(len(rows))
    active = np.arange(len(rows))
    for _ in range(MOST_STEPS):
        step, gain = _step(here.take(active), box, held, damping[active])
        moving = (np.abs(step).max(axis=1, initial=0.0) > STILL) & (gain > FLAT)
        active, step = active[moving], step[moving]
        if not active.size:
            break
        at, value, gradient = _read(score, rows[active], here.at[active] + step)
        better = value >= here.value[active] - ROUNDING
        up, down = active[better], active[~better]
        learnt = _learn(here.curvature[up], step[better], here.gradient[up] - gradient[better])
        here.put(up, Summit(at[better], value[better], gradient[better], learnt))
        if down.size:
            here.put(down, look(score, rows[down], here.at[down]))
        damping[up] = np.where(damping[up] > 1e-3, damping[up] / 10, 0.0)
        damping[down] = np.maximum(10 * damping[down], 1e-2)
        active = active[damping[active] < 1e12]
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
    return at, *score(rows, at)


def _learn(curvature: Array, step: Array, change: Array) -> Array:
    """Curvature that agrees with the change of slope (r, k) along a step, where that change is one of a hill (BFGS)."""
    along = np.einsum("ri,ri->r", step, change)
    bent = np.einsum("rij,rj->ri", curvature, step)
    size = np.einsum("ri,ri->r", step, bent)
    with np.errstate(over="ignore"):
        usable = (along > SHARPEST**-0.5 * np.linalg.norm(step, axis=1) * np.linalg.norm(change, axis=1)) & (size > 0)
        usable &= np.einsum("ri,ri->r", change, change) < SHARPEST * along
    change = np.where(usable[:, None], change, 0.0)
    added = change[:, :, None] * change[:, None, :] / np.where(usable, along, 1.0)[:, None, None]
    removed = bent[:, :, None] * bent[:, None, :] / np.where(usable, size, 1.0)[:, None, None]
    return np.where(usable[:, None, None], curvature + added - removed, curvature)


def _step(here: Summit, box: Array, held: tuple[int, ...], damping: Array) -> tuple[Array, Array]:
    """Next step (r, k) and what it promises (r,)."""
    gradient = here.gradient
    fixed = ((here.at <= box[0]) & (gradient < 0)) | ((here.at >= box[1]) & (gradient > 0))
    fixed[:, list(held)] = True
    slope = np.where(fixed, 0.0, gradient)
    either = fixed[:, :, None] | fixed[:, None, :]
    matrix = np.where(either, np.eye(here.at.shape[1]), here.curvature)
    root, axes = np.linalg.eigh(matrix)
    size = np.maximum(np.abs(root), 1e-8) + damping[:, None] * np.abs(root).max(axis=1, keepdims=True)
    step = np.einsum("rij,rj->ri", axes, np.einsum("rji,rj->ri", axes, slope) / size)
    step *= np.minimum(1.0, 2.0 / np.maximum(np.abs(step).max(axis=1, keepdims=True, initial=0.0), 1e-300))
    step = np.clip(here.at + step, *box) - here.at
    return step, np.asarray((slope * step).sum(axis=1), dtype=np.float64)
