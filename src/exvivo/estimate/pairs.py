"""Outcomes -> Pairs: the same donor (and the same serum) under two conditions.

In: rows of the outcomes table of one experiment, set and readout. Out: bounds of the ln values of both
conditions, equal where the value is exact. A pair is complete when both values are usable, measured or
censored; donors with one usable condition are kept aside for the sensitivity that uses them.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from exvivo.numerics.inference import Array
from exvivo.study.model import Contrast, Factor
from exvivo.study.statuses import BELOW, USABLE

Key = tuple[str, str]
Row = Mapping[str, object]
_USABLE = frozenset(status.value for status in USABLE)

_DECIMALS = 12


@dataclass(frozen=True, slots=True)
class Reading:
    """One usable value: donor, serum donor ("" for none), bounds in ln units, what it rests on, and the variance of its error."""

    donor: str
    serum_donor: str
    low: float
    high: float
    below: bool
    measurements: int
    specimens: tuple[str, ...]
    plates: tuple[str, ...]
    error: float = 0.0

    @property
    def key(self) -> Key:
        """Donor and serum donor."""
        return self.donor, self.serum_donor

    @property
    def exact(self) -> bool:
        """Whether the value is known as a point."""
        return self.low == self.high


@dataclass(frozen=True, slots=True)
class Pairs:
    """Complete pairs, sorted by donor and serum donor, and readings of donors that have one condition only."""

    drug: tuple[Reading, ...]
    comparator: tuple[Reading, ...]
    single_drug: tuple[Reading, ...] = ()
    single_comparator: tuple[Reading, ...] = ()

    @property
    def count(self) -> int:
        """Number of pairs."""
        return len(self.drug)

    @property
    def donors(self) -> list[str]:
        """Cell donor of each pair."""
        return [reading.donor for reading in self.drug]

    @property
    def serum_donors(self) -> list[str]:
        """Serum donor of each pair, "" where there is none; one arm alone may have seen serum."""
        return [a.serum_donor or b.serum_donor for a, b in zip(self.drug, self.comparator, strict=True)]

    @property
    def exact(self) -> NDArray[np.bool_]:
        """Pairs whose both values are points, shape (n,)."""
        return np.array([a.exact and b.exact for a, b in zip(self.drug, self.comparator, strict=True)], dtype=bool)

    @property
    def differences(self) -> Array:
        """Bounds of the ln ratio of each pair, shape (n, 2), without the noise of floating point: equal ratios are equal."""
        a, b = bounds_of(self.drug), bounds_of(self.comparator)
        return np.asarray(np.round(np.column_stack([a[:, 0] - b[:, 1], a[:, 1] - b[:, 0]]), _DECIMALS), dtype=np.float64)

    @property
    def measurements(self) -> int:
        """Wells or tubes behind all values; a comparator shared by several pairs counts once."""
        used = {(arm, reading.key): reading.measurements for arm, side in enumerate((self.drug, self.comparator)) for reading in side}
        return sum(used.values())

    def pick(self, places: Iterable[int]) -> "Pairs":
        """Some of the complete pairs, by their places."""
        kept = list(places)
        return Pairs(tuple(self.drug[i] for i in kept), tuple(self.comparator[i] for i in kept))

    def censored_share(self) -> float:
        """Share of values that are no points, in the arm where it is larger."""
        sides = (self.drug, self.comparator)
        return max((sum(not r.exact for r in side) / len(side) for side in sides), default=0.0) if self.drug else 0.0


def full_condition(contrast: Contrast, factors: Mapping[str, Factor], level: str) -> dict[str, str]:
    """Level of every factor in one arm of a contrast: reference levels, then those held, then the arm's own."""
    return {name: factor.reference for name, factor in factors.items()} | dict(contrast.within) | {contrast.factor: level}


@dataclass(frozen=True, slots=True)
class Cultures:
    """Rows of outcomes by the level of every factor that their table has."""

    factors: tuple[str, ...]
    conditions: Mapping[tuple[object, ...], Sequence[Row]]

    @classmethod
    def of(cls, frame: pl.DataFrame, factors: Iterable[str]) -> "Cultures":
        """Rows of a frame, in its order."""
        known = tuple(name for name in factors if name in frame.columns)
        conditions: dict[tuple[object, ...], list[Row]] = {}
        for row in frame.iter_rows(named=True):
            conditions.setdefault(tuple(row[name] for name in known), []).append(row)
        return cls(known, conditions)

    def rows_at(self, condition: Mapping[str, str]) -> Sequence[Row]:
        """Rows of one condition; an empty factor cell does not match any level."""
        return self.conditions.get(tuple(condition[name] for name in self.factors), ())

    def readings_at(self, condition: Mapping[str, str]) -> list[Reading]:
        """Usable values of one condition, sorted by donor and serum donor."""
        found = map(_reading, self.rows_at(condition))
        return sorted((reading for reading in found if reading is not None), key=lambda r: r.key)


def pair_up(drug: Sequence[Reading], comparator: Sequence[Reading]) -> Pairs:
    """Pairs by donor and serum donor.

    Where an arm saw no serum at all, each of its readings stands for all sera of its donor in the other arm; in an arm that saw
    serum a reading without a serum donor has no partner but its like.
    """
    partner = {r.key: r for r in comparator}
    of_donor: dict[str, list[Reading]] = {}
    for r in comparator:
        of_donor.setdefault(r.donor, []).append(r)
    bare = any(not any(r.serum_donor for r in arm) for arm in (drug, comparator))

    def partners(reading: Reading) -> list[Reading]:
        own = partner.get(reading.key)
        return [own] if own else of_donor.get(reading.donor, []) if bare else []

    matched = [(reading, partners(reading)) for reading in drug]
    complete = sorted(((a, b) for a, found in matched for b in found), key=lambda pair: (pair[0].key, pair[1].key))
    taken = {b.key for _, b in complete}
    return Pairs(
        drug=tuple(a for a, _ in complete),
        comparator=tuple(b for _, b in complete),
        single_drug=tuple(a for a, found in matched if not found),
        single_comparator=tuple(r for r in comparator if r.key not in taken),
    )


def one_per_donor(pairs: Pairs) -> Pairs:
    """Pairs averaged over the sera of each donor, so that the donor is the unit."""
    return Pairs(tuple(mean_over_sera(pairs.drug)), tuple(mean_over_sera(pairs.comparator)), pairs.single_drug, pairs.single_comparator)


def mean_over_sera(readings: Sequence[Reading]) -> list[Reading]:
    """One reading per donor: its mean ln value over sera, with everything that it rests on."""
    grouped: dict[str, dict[Key, Reading]] = {}
    for reading in readings:
        grouped.setdefault(reading.donor, {})[reading.key] = reading
    return [
        Reading(
            donor=donor,
            serum_donor="",
            low=float(np.mean([r.low for r in own.values()])),
            high=float(np.mean([r.high for r in own.values()])),
            below=any(r.below for r in own.values()),
            measurements=sum(r.measurements for r in own.values()),
            specimens=tuple(name for r in own.values() for name in r.specimens),
            plates=tuple(dict.fromkeys(plate for r in own.values() for plate in r.plates)),
            error=sum(r.error for r in own.values()) / len(own) ** 2,
        )
        for donor, own in sorted(grouped.items())
    ]


def sera_differ(drug: Sequence[Reading], comparator: Sequence[Reading]) -> bool:
    """Whether the arms saw sera of different people altogether, so that no serum can be held while arms are compared."""
    sera = [{reading.serum_donor for reading in arm} for arm in (drug, comparator)]
    return all(sera) and not any("" in arm for arm in sera) and sera[0].isdisjoint(sera[1])


def held_apart(contrast: Contrast, factors: Mapping[str, Factor]) -> dict[str, str]:
    """Factors that a contrast holds at another level than their reference, with that level."""
    return {name: level for name, level in contrast.within.items() if level != factors[name].reference}


def bounds_of(readings: Sequence[Reading]) -> Array:
    """Bounds of ln values, shape (n, 2)."""
    return np.array([[r.low, r.high] for r in readings], dtype=np.float64).reshape(len(readings), 2)


def percent_below(readings: Sequence[Reading]) -> float | None:
    """Values below the limit of quantification or the background, in percent."""
    return 100 * sum(r.below for r in readings) / len(readings) if readings else None


def _reading(row: Row) -> Reading | None:
    if row["donor"] is None or row["status"] not in _USABLE:
        return None
    value, lower, upper = (_number(row[name]) for name in ("log_value", "lower_bound", "upper_bound"))
    if lower is None and upper is None:
        if value is None:
            return None
        lower = upper = value
    return Reading(
        donor=str(row["donor"]),
        serum_donor=str(row["serum_donor"] or ""),
        low=-np.inf if lower is None else lower,
        high=np.inf if upper is None else upper,
        below=row["status"] in BELOW,
        measurements=int(_number(row["measurements"]) or 0),
        specimens=_split(row["specimens"]),
        plates=_split(row["plates"]),
        error=_error_of(row),
    )


def _error_of(row: Row) -> float:
    """Variance of a value's error: that of its readings, or from the spread of replicate cultures where that is larger."""
    return max((_number(row["se"]) or 0.0) ** 2, _variance_between(str(row["detail"])) if row["detail"] else 0.0)


@lru_cache(maxsize=4096)
def _variance_between(detail: str) -> float:
    """Variance of a mean from the spread of its replicate cultures."""
    facts = json.loads(detail)
    return (_number(facts.get("culture_variance")) or 0.0) / (_number(facts.get("cultures")) or 1.0)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (float, int)) else None


def _split(value: object) -> tuple[str, ...]:
    return tuple(part for part in str(value).split(",") if part) if value else ()
