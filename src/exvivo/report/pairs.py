"""Outcomes and effects -> what a paired plot draws: values of both arms by donor, bounds of censored ones, the estimate.

Which rows belong to which arm follows from the outcome's contrast: level and comparator of one factor, other factors
held at ``within`` or at their reference levels.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from exvivo.report.theme import DONOR_COLOURS
from exvivo.study.model import Outcome
from exvivo.study.protocol import Protocol
from exvivo.study.run import Run

OBSERVED = frozenset({"quantified", "measured"})
BELOW = frozenset({"below_lloq", "below_background"})
ABOVE = frozenset({"above_uloq"})


@dataclass(frozen=True, slots=True)
class Point:
    """One value of one arm. ``owner`` ties the arms of a pair; ``bound`` is empty, ``below``, ``above`` or ``between``.

    A value known only as an interval (``between``) stands at its geometric middle, with its ends in ``span``.
    """

    owner: str
    donor: str
    arm: int
    value: float
    bound: str
    span: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Pairs:
    """What one panel draws. ``arms`` are the labels of comparator and level; ``effect`` is the registered row."""

    readout: str
    label: str
    unit: str
    arms: tuple[str, str]
    points: tuple[Point, ...]
    complete: int
    incomplete: int
    effect: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class PairGroup:
    """Panels of one comparison in one experiment, in registry order.

    ``by_donor`` tells whether lines take the colour of the cells' donor: several sera for each, and a colour for every donor.
    """

    experiment: str
    contrast: str
    panels: tuple[Pairs, ...]
    by_donor: bool = False


def collect_pairs(run: Run) -> tuple[PairGroup, ...]:
    """Panels of every registered comparison without modifiers, grouped by experiment and contrast."""
    groups: dict[tuple[str, str], list[Pairs]] = {}
    registered = run.effects.effects.rows()
    for outcome in run.protocol.analysis.outcomes:
        if outcome.modifiers:
            continue
        experiment = run.protocol.analysis.sets[outcome.set].experiment
        for readout in outcome.readouts:
            effect = next((row for row in registered if row["outcome"] == outcome.id and row["readout"] == readout), {})
            key = (experiment, str(effect.get("contrast", "")))
            groups.setdefault(key, []).append(_collect(run, outcome, readout, effect))
    return tuple(
        PairGroup(experiment, contrast, tuple(panels), _by_donor(run.protocol.design.experiments[experiment].sera_per_donor, panels))
        for (experiment, contrast), panels in groups.items()
    )


def _by_donor(sera_per_donor: int, panels: Sequence[Pairs]) -> bool:
    donors = {point.donor for panel in panels for point in panel.points}
    return sera_per_donor > 1 and len(donors) <= len(DONOR_COLOURS)


def _collect(run: Run, outcome: Outcome, readout: str, effect: Mapping[str, object]) -> Pairs:
    contrast, protocol = outcome.contrast, run.protocol
    rows = _rows_of(run.outcomes.frame, outcome, protocol, readout)
    points: list[Point] = []
    owners: set[str] = set()
    for row in rows.iter_rows(named=True):
        owner = " · ".join(str(row[name]) for name in ("donor", "serum_donor") if row[name] is not None)
        owners.add(owner)
        drawn = _place(row)
        if drawn is not None:
            points.append(Point(owner, str(row["donor"] or ""), int(row[contrast.factor] == contrast.level), *drawn))
    arms_of: dict[str, set[int]] = {}
    for point in points:
        arms_of.setdefault(point.owner, set()).add(point.arm)
    complete = sum(len(arms) == 2 for arms in arms_of.values())
    labels = protocol.design.factors[contrast.factor].labels
    arms = labels.get(contrast.versus, contrast.versus), labels.get(contrast.level, contrast.level)
    unit = next((text for text in rows["unit"].to_list() if text), "")
    ordered = tuple(sorted(points, key=lambda point: (point.owner, point.arm)))
    return Pairs(readout, protocol.design.readouts[readout].label, unit, arms, ordered, complete, len(owners) - complete, effect)


def _rows_of(frame: pl.DataFrame, outcome: Outcome, protocol: Protocol, readout: str) -> pl.DataFrame:
    contrast = outcome.contrast
    kept = (pl.col("readout") == readout) & pl.col(contrast.factor).is_in([contrast.level, contrast.versus])
    kept &= pl.col("sets").fill_null("").str.split(",").list.eval(pl.element().str.strip_chars()).list.contains(outcome.set)
    for name, factor in protocol.design.factors.items():
        if name != contrast.factor and name in frame.columns:
            wanted = contrast.within.get(name, factor.reference)
            kept &= pl.col(name).fill_null(factor.reference) == wanted
    return frame.filter(kept)


def _place(row: Mapping[str, object]) -> tuple[float, str, tuple[float, float] | None] | None:
    """Value, kind of bound and interval of a row; None when there is nothing to draw."""
    status, low, high = row["status"], row["lower_bound"], row["upper_bound"]
    if status in OBSERVED and isinstance(row["log_value"], float):
        return math.exp(row["log_value"]), "", None
    if status in BELOW and isinstance(high, float):
        return math.exp(high), "below", None
    if status in ABOVE and isinstance(low, float):
        return math.exp(low), "above", None
    if status in OBSERVED and isinstance(low, float) and isinstance(high, float):
        return math.exp((low + high) / 2), "between", (math.exp(low), math.exp(high))
    return None
