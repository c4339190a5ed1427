"""Adjusted p-values of a family of hypotheses.

In: the raw p-values of the hypotheses that were tested, and the size of the family as registered.
Out: adjusted p-values in the same order. A hypothesis without a p-value (not estimable) is left out
of the array by the caller and counted in `total`: the family was registered with it, and leaving it
out of the count would make the others smaller for a reason that the data gave.
"""

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Rule = Callable[[Array, int], Array]
MOST_HYPOTHESES = 16  # 65,535 intersections take about two seconds


class Intersection(StrEnum):
    """Test of an intersection of weighted hypotheses."""

    BONFERRONI = "bonferroni"
    SIMES = "simes"


def adjust_bonferroni(p: ArrayLike, *, total: int | None = None) -> Array:
    """Bonferroni: p times the size of the family, at most 1."""
    return _adjust(p, total, lambda raw, n: raw * n)


def adjust_holm(p: ArrayLike, *, total: int | None = None) -> Array:
    """Holm 1979, Scand J Stat 6:65: step down; family-wise error under any dependence.

    Examples
    --------
    >>> adjust_holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    return _adjust(p, total, _step_down)


def adjust_hochberg(p: ArrayLike, *, total: int | None = None) -> Array:
    """Hochberg 1988, Biometrika 75:800: step up; needs independence or positive dependence."""
    return _adjust(p, total, lambda raw, n: _step_up(raw, n - np.arange(raw.size)))


def adjust_hommel(p: ArrayLike, *, total: int | None = None) -> Array:
    """Hommel 1988, Biometrika 75:383: the closed test with Simes' test of each intersection.

    Among the intersections of k hypotheses that contain one hypothesis, the one with the k - 1
    largest other p-values is least significant, so m intersections decide instead of 2^(m-1).
    """
    return _adjust(p, total, _close_simes)


def adjust_bh(p: ArrayLike, *, total: int | None = None) -> Array:
    """Benjamini and Hochberg 1995, JRSS B 57:289: false discovery rate."""
    return _adjust(p, total, lambda raw, n: _step_up(raw, n / np.arange(1, raw.size + 1)))


def adjust_by(p: ArrayLike, *, total: int | None = None) -> Array:
    """Benjamini and Yekutieli 2001, Ann Stat 29:1165: false discovery rate under any dependence."""
    return _adjust(p, total, lambda raw, n: _step_up(raw, n / np.arange(1, raw.size + 1) * float(np.sum(1 / np.arange(1, n + 1)))))


ADJUSTMENTS: Mapping[str, Callable[..., Array]] = MappingProxyType(
    {
        "bonferroni": adjust_bonferroni,
        "holm": adjust_holm,
        "hochberg": adjust_hochberg,
        "hommel": adjust_hommel,
        "bh": adjust_bh,
        "by": adjust_by,
    }
)


def adjust_graph(p: ArrayLike, weights: ArrayLike, transitions: ArrayLike) -> Array:
    """Adjusted p-values of a graph of weighted Bonferroni tests.

    Parameters
    ----------
    p : shape (m,), raw p-values; 1 for a hypothesis that could not be tested
    weights : shape (m,), share of alpha each hypothesis starts with; not negative, sum at most 1
    transitions : shape (m, m), share of its alpha that a rejected hypothesis (row) passes to each
        other; zero diagonal, rows sum to at most 1

    Notes
    -----
    Bretz, Maurer, Brannath, Posch 2009, Stat Med 28:586, algorithm 2. Holm, fixed sequence and
    fallback are graphs. Reference: graphicalMCP, case c30.
    """
    raw = _checked(p)
    w, G = np.array(weights, dtype=np.float64), np.array(transitions, dtype=np.float64)
    _check_graph(raw.size, w, G)
    adjusted = np.ones_like(raw)
    open_ = np.ones(raw.size, dtype=bool)
    highest = 0.0
    for _ in range(raw.size):
        ratio = np.where(open_ & (w > 0), raw / np.where(w > 0, w, 1.0), np.inf)
        best = int(np.argmin(ratio))
        if not np.isfinite(ratio[best]):
            break
        highest = max(highest, float(ratio[best]))
        adjusted[best] = min(1.0, highest)
        open_[best] = False
        w, G = _reject(best, w, G, open_)
    return adjusted


def _reject(gone: int, w: Array, G: Array, open_: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Graph that is left after one rejection."""
    weights = np.where(open_, w + w[gone] * G[gone], 0.0)
    through = np.outer(G[:, gone], G[gone])
    back = 1.0 - G[:, gone] * G[gone]
    edges = np.divide(G + through, back[:, None], out=np.zeros_like(G), where=back[:, None] > 1e-12)
    edges[~open_] = 0.0
    edges[:, ~open_] = 0.0
    np.fill_diagonal(edges, 0.0)
    return weights, edges


def _check_graph(size: int, w: Array, G: Array) -> None:
    shapes = w.shape == (size,) and G.shape == (size, size)
    if not shapes or w.min() < 0 or w.sum() > 1 + 1e-9 or G.min() < 0 or G.sum(axis=1).max() > 1 + 1e-9 or np.diag(G).any():
        raise ValueError("a graph needs weights and transitions that are not negative, sum to at most 1 and have no loop of length 1")


def adjust_graph_closed(p: ArrayLike, weights: ArrayLike, transitions: ArrayLike, *, test: Intersection = Intersection.SIMES) -> Array:
    """Adjusted p-values of the closed test whose intersections are weighted as a graph says.

    Parameters
    ----------
    p, weights, transitions : as in `adjust_graph`
    test : weighted Bonferroni gives what `adjust_graph` gives; weighted Simes is never larger, but holds its level only
        under independence or positive dependence

    Raises
    ------
    ValueError : as in `adjust_graph`, or more than `MOST_HYPOTHESES` hypotheses (2^m intersections are tested)

    Notes
    -----
    Bretz, Posch, Glimm, Klinglmueller, Maurer, Rohmeyer 2011, Biom J 53:894. Reference: graphicalMCP, case c30.
    """
    raw = _checked(p)
    w, G = np.array(weights, dtype=np.float64), np.array(transitions, dtype=np.float64)
    _check_graph(raw.size, w, G)
    if raw.size > MOST_HYPOTHESES:
        raise ValueError(f"{raw.size} hypotheses have too many intersections; at most {MOST_HYPOTHESES} can be closed")
    adjusted = np.zeros_like(raw)
    for open_, own in _intersections(w, G):
        adjusted[open_] = np.maximum(adjusted[open_], _INTERSECTIONS[test](raw[open_], own[open_]))
    return adjusted


def _intersections(w: Array, G: Array) -> Iterator[tuple[NDArray[np.bool_], Array]]:
    """Every set of hypotheses that is not empty, with the weights that the graph leaves to it."""
    waiting = [(np.ones(w.size, dtype=bool), w, G, 0)]
    while waiting:
        open_, weights, edges, first = waiting.pop()
        yield open_, weights
        for gone in range(first, w.size):
            rest = open_.copy()
            rest[gone] = False
            if rest.any():
                waiting.append((rest, *_reject(gone, weights, edges, rest), gone + 1))


def _bonferroni(p: Array, w: Array) -> float:
    return min(1.0, float(np.divide(p, w, out=np.full_like(p, np.inf), where=w > 0).min()))


def _simes(p: Array, w: Array) -> float:
    order = np.argsort(p, kind="stable")
    together = np.cumsum(w[order])
    # equal p-values count together: the last of them has the sum of all
    return min(1.0, float(np.divide(p[order], together, out=np.full_like(p, np.inf), where=together > 0).min()))


_INTERSECTIONS: Mapping[Intersection, Callable[[Array, Array], float]] = MappingProxyType(
    {Intersection.BONFERRONI: _bonferroni, Intersection.SIMES: _simes}
)


def _adjust(p: ArrayLike, total: int | None, rule: Rule) -> Array:
    """Sort, apply a rule to the sorted values, limit to 1, put back in order."""
    raw = _checked(p)
    size = raw.size if total is None else total
    if size < raw.size:
        raise ValueError(f"a family of {size} cannot hold {raw.size} p-values")
    order = np.argsort(raw, kind="stable")
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(1.0, rule(raw[order], size))
    return adjusted


def _step_down(raw: Array, n: int) -> Array:
    return np.maximum.accumulate(raw * (n - np.arange(raw.size)))


def _step_up(raw: Array, factors: Array | NDArray[np.int_]) -> Array:
    return np.minimum.accumulate((raw * factors)[::-1])[::-1]


def _close_simes(raw: Array, n: int) -> Array:
    padded = np.concatenate([raw, np.ones(n - raw.size)])
    adjusted = raw.copy()
    for i in range(raw.size):
        others = np.delete(padded, i)
        for k in range(2, n + 1):
            members = np.sort(np.append(others[n - k :], padded[i]))
            adjusted[i] = max(adjusted[i], float((k * members / np.arange(1, k + 1)).min()))
    return adjusted


def _checked(p: ArrayLike) -> Array:
    raw = np.asarray(p, dtype=np.float64)
    if raw.ndim != 1 or not ((raw >= 0) & (raw <= 1)).all():
        raise ValueError("p-values between 0 and 1 are needed; hypotheses without one are left out and counted in `total`")
    return raw
