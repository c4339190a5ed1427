"""Control charts: how far each run's control lies from its target, and which of Westgard's rules that breaks.

Values of controls in the order of the runs flow in; targets, SDs, scores and broken rules flow out. Where target and
SD are estimated from a few runs, a distance in SDs is Student's t, not normal: three SDs are passed far more than 2.7
times in a thousand. The scores are therefore the normal deviates of the same probability, so that rules made for
known SDs keep their rates of false alarm.

Rules (Westgard, Barry, Hunt and Groth 1981, Clin Chem 27:493), for N controls in a run:

* ``1-2s`` beyond 2 SD: a warning, no more
* ``1-3s`` beyond 3 SD
* ``2-2s`` beyond 2 SD on one side twice: two controls of a run, or one control in two runs one after the other
* ``R-4s`` one control of a run above +2 SD and another below -2 SD
* ``4-1s`` one control beyond 1 SD on one side in four runs one after the other
* ``10-x`` one control on one side of its target in ten runs one after the other
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr, ndtri_exp, stdtr

from exvivo.numerics.variance import Array

Mask = npt.NDArray[np.bool_]

WARNING = "1-2s"
RULES = (WARNING, "1-3s", "2-2s", "R-4s", "4-1s", "10-x")
FEWEST_RUNS = 5
"""Other runs that a target and an SD need."""

_IN_A_ROW: Mapping[str, tuple[int, float]] = MappingProxyType({"2-2s": (2, 2.0), "4-1s": (4, 1.0), "10-x": (10, 0.0)})


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Per run, shape (n,): target, SD, and the normal score of the value; NaN where there is none."""

    target: Array
    sd: Array
    z: Array


def score_given(x: Array, target: float, sd: float) -> Scores:
    """Scores against a known target and SD."""
    return Scores(np.full_like(x, target), np.full_like(x, sd), (x - target) / sd)


def score_without_own(x: Array, usable: Mask) -> Scores:
    """Scores of each run against mean and SD of all other runs that are usable (NaN in ``x`` = no value)."""
    return _score_each(x, np.isfinite(x) & usable)


def score_against_first(x: Array, usable: Mask, n: int) -> Scores:
    """Scores against mean and SD of the first ``n`` usable runs that have a value; those themselves, against the others of them."""
    first = np.flatnonzero(np.isfinite(x) & usable)[:n]
    return _score_each(x, np.isin(np.arange(x.size), first))


def _score_each(x: Array, base: Mask) -> Scores:
    target, sd, z = (np.full(x.shape, np.nan) for _ in range(3))
    for i in np.flatnonzero(np.isfinite(x)):
        others = x[base & (np.arange(x.size) != i)]
        if others.size < FEWEST_RUNS:
            continue
        target[i], sd[i] = others.mean(), others.std(ddof=1)
        if sd[i] > 0:
            z[i] = normal_score((x[i] - target[i]) / (sd[i] * np.sqrt(1 + 1 / others.size)), others.size - 1)
    return Scores(target, sd, z)


def normal_score(t: float, df: float) -> float:
    """Normal deviate that is passed with the same probability as ``t`` of Student's distribution.

    Examples
    --------
    >>> round(normal_score(2.2621571627409915, 9), 6), round(normal_score(-2.2621571627409915, 9), 6)
    (1.959964, -1.959964)
    """
    tail = float(stdtr(df, -abs(t)))
    log_tail = np.log(tail) if tail > 0 else float(log_ndtr(-37.0))
    return float(-np.sign(t) * ndtri_exp(log_tail))


def find_violations(z: Array) -> list[list[tuple[str, ...]]]:
    """Rules that each value breaks, in the order of ``RULES``.

    Parameters
    ----------
    z : (n_runs, n_controls), scores; NaN = not measured, which neither breaks nor ends a series

    Returns
    -------
    One list per run of one tuple per control. A rule of several values is charged to the value that completes it and,
    within a run, to all values that take part.

    Notes
    -----
    Reference: worked example of westgard.com, lesson 12, in tests/unit/numerics/test_charts.py.
    """
    broken: list[list[set[str]]] = [[set() for _ in range(z.shape[1])] for _ in range(z.shape[0])]
    for k in range(z.shape[1]):
        for i, rule in _judge_series(z[:, k]):
            broken[i][k].add(rule)
    for i, run in enumerate(z):
        high, low = np.flatnonzero(run > 2).tolist(), np.flatnonzero(run < -2).tolist()
        for side in (high, low):
            for at in side if len(side) > 1 else ():
                broken[i][at].add("2-2s")
        for at in (*high, *low) if high and low else ():
            broken[i][at].add("R-4s")
    return [[tuple(rule for rule in RULES if rule in found) for found in run] for run in broken]


def _judge_series(z: Array) -> Iterator[tuple[int, str]]:
    """Rules of one control over the runs."""
    runs = np.flatnonzero(np.isfinite(z))
    values = z[runs]
    for at, i in enumerate(runs):
        if abs(values[at]) > 2:
            yield int(i), WARNING
        if abs(values[at]) > 3:
            yield int(i), "1-3s"
        for rule, (count, limit) in _IN_A_ROW.items():
            last = values[max(at - count + 1, 0) : at + 1]
            if last.size == count and (np.all(last > limit) or np.all(last < -limit)):
                yield int(i), rule
