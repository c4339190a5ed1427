"""Domains and tick values, computed from the data: nothing is clipped, no two labels collide."""

import math
from collections.abc import Iterable

_MANTISSAS = (
    (1.0,),
    (1.0, 3.0),
    (1.0, 2.0, 5.0),
    (1.0, 1.5, 2.0, 3.0, 5.0, 7.0),
    (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0),
    (1.0, 1.1, 1.2, 1.3, 1.4, 1.6, 1.8, 2.0, 2.2, 2.5, 2.8, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0, 7.5, 8.0, 8.5, 9.0, 9.5),
)


def log_domain(values: Iterable[float], pad: float = 0.06, least_fold: float = 2.0) -> tuple[float, float]:
    """Ends of a log axis around positive values, with room on both sides.

    Parameters
    ----------
    values : positive values
    pad : room on each side, as share of the length
    least_fold : smallest ratio of the ends

    Raises
    ------
    ValueError : there are no values, or one is not positive
    """
    held = list(values)
    if not held or min(held) <= 0:
        raise ValueError("a log axis needs positive values")
    low, high = math.log(min(held)), math.log(max(held))
    short = max(0.0, math.log(least_fold) - (high - low)) / 2
    room = pad * (high - low + 2 * short)
    return math.exp(low - short - room), math.exp(high + short + room)


def linear_domain(values: Iterable[float], pad: float = 0.04) -> tuple[float, float]:
    """Ends of a linear axis around values, with room on both sides."""
    held = list(values)
    low, high = min(held), max(held)
    room = pad * max(high - low, 1e-3 * max(abs(low), abs(high)), 1e-6)
    return low - room, high + room


def log_ticks(domain: tuple[float, float], most: int = 5) -> list[float]:
    """Round tick values of a log axis: the coarsest 1-2-5 like series with three of them, never more than ``most``.

    >>> log_ticks((0.8, 120.0))
    [1.0, 10.0, 100.0]
    >>> log_ticks((0.3, 1.4))
    [0.3, 0.5, 0.7, 1.0]
    """
    chosen: list[float] = []
    for mantissas in _MANTISSAS:
        ticks = _series(domain, mantissas)
        if len(ticks) > most and chosen:
            break
        chosen = ticks
        if len(chosen) >= 3:
            break
    if len(chosen) < 2:
        low, high = (math.log(end) for end in domain)
        chosen = [float(f"{math.exp(low + share * (high - low)):.2g}") for share in (0.2, 0.8)]
    step = math.ceil(len(chosen) / most)
    return chosen[::step]


def _series(domain: tuple[float, float], mantissas: tuple[float, ...]) -> list[float]:
    low, high = domain
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [tick for k in decades for m in mantissas if low <= (tick := float(f"{m}e{k}")) <= high]
