"""Spillover from single stains: what one dye alone adds to every detector, relative to its own.

Medians of stained minus unstained events: on the FACSCalibur stains of flowCore they give that package's matrix to four digits. A slope
over all events was tried and left out: events of other kinds and dim stains pull it (FL3 into FL4 0.12 for 0.23 there).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from exvivo.numerics.density import find_basins

Array = NDArray[np.float64]

FEWEST = 100
"""Events that a median of stained or unstained ones rests on."""

LEAST_SEPARATION = 5.0
"""Distance of stained from unstained events, in SD of the unstained, below which a stain tells nothing."""

_BINS = 256
_SMOOTHING = 6.0
_DEPTH = 0.5
_SHARE = 0.1
_SD = 1.4826


def estimate_spillover(positives: Sequence[Array], negatives: Sequence[Array], primaries: Sequence[int]) -> Array:
    """Spillover matrix from stained and unstained events.

    Parameters
    ----------
    positives : stained events of each dye, each of shape (n_events, n_detectors), uncompensated linear values
    negatives : unstained events to subtract for each dye, as ``positives``; the same ones for all where they are universal
    primaries : column of each dye's own detector

    Returns
    -------
    ndarray, shape (n_dyes, n_detectors); one in each dye's own detector

    Raises
    ------
    ValueError : a dye is not brighter than nothing in its own detector

    Examples
    --------
    >>> estimate_spillover([np.array([[110.0, 35.0]])], [np.array([[10.0, 10.0]])], [0])
    array([[1.  , 0.25]])
    """
    rows = []
    for stained, unstained, primary in zip(positives, negatives, primaries, strict=True):
        added = np.median(stained, axis=0) - np.median(unstained, axis=0)
        if not added[primary] > 0:
            raise ValueError("a stain is not brighter than what is subtracted from it")
        rows.append(added / added[primary])
    return np.array(rows, dtype=np.float64)


def separation(positive: Array, negative: Array) -> float:
    """Distance of stained from unstained events in one detector, in robust SD of the unstained; infinite when these do not differ.

    Parameters
    ----------
    positive, negative : ndarray, shape (n_events,)
    """
    middle = float(np.median(negative))
    spread = _SD * float(np.median(np.abs(negative - middle)))
    distance = float(np.median(positive)) - middle
    if spread == 0:
        return np.inf if distance > 0 else 0.0
    return distance / spread


def split_stain(values: Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
    """Stained and unstained events of one tube, where it holds both and a valley lies between them.

    Parameters
    ----------
    values : ndarray, shape (n_events,), linear values of the stain's own detector

    Returns
    -------
    tuple of two ndarrays, shape (n_events,): brightest and dimmest population; None when there is only one
    """
    shown = np.arcsinh(values / max(_SD * float(np.median(np.abs(values - np.median(values)))) / 10.0, 1.0))
    low, high = np.quantile(shown, [0.001, 0.999])
    if not high > low:
        return None
    counts, edges = np.histogram(shown, bins=_BINS, range=(float(low), float(high)))
    basins = [basin for basin in find_basins(counts.astype(np.float64), _SMOOTHING, _DEPTH) if basin.mass >= _SHARE]
    if len(basins) < 2:
        return None
    return shown >= edges[basins[-1].left], shown < edges[basins[0].right]
