"""Outcomes -> how modifiers go together: counts of donors, medians of scores, and one number for each two of them.

Donors of the analysis set count by the levels that the protocol names. The number is 0 where one modifier tells nothing of the other and
1 where it tells all: Cramér's V for two with levels, the correlation ratio for a score and one with levels. Donors whose value
is missing in either stay in the counts and out of the number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

import polars as pl

from exvivo.numerics.association import associate_labels, associate_score, associate_scores
from exvivo.report.sections import Grid, GridRow, outcomes_with_modifiers
from exvivo.report.wording import Wording
from exvivo.study.model import Modifier, ModifierKind, Outcome
from exvivo.study.run import Run

MISSING = ""


def tell_dependence(run: Run, words: Wording) -> str:
    """That the modifiers describe the same donors; empty when there is but one."""
    names = dict.fromkeys(name for outcome in outcomes_with_modifiers(run.protocol) for name in outcome.modifiers)
    labels = [shorten(run.protocol.analysis.modifiers[name].label) for name in names]
    return words.say("prose", "not_independent", {"modifiers": ", ".join(labels)}) if len(labels) > 1 else ""


def shorten(label: str) -> str:
    """Label of a modifier without what stands in brackets."""
    return label.partition(" (")[0]


@dataclass(frozen=True, slots=True)
class _Donors:
    """Levels or scores, as text, of every donor of an outcome's set in one order; empty is missing."""

    modifiers: Mapping[str, Modifier]
    values: Mapping[str, Sequence[str]]

    def pairs(self) -> list[tuple[str, str]]:
        """Each two modifiers, a score last."""
        return [(one, other) if not self.is_score(one) else (other, one) for one, other in combinations(self.values, 2)]

    def is_score(self, name: str) -> bool:
        """Whether a modifier is a number."""
        return self.modifiers[name].kind is ModifierKind.CONTINUOUS


def _take_donors(run: Run, outcome: Outcome) -> _Donors:
    frame, modifiers = run.outcomes.frame, {name: run.protocol.analysis.modifiers[name] for name in outcome.modifiers}
    member = pl.col("sets").fill_null("").str.split(",").list.contains(outcome.set)
    held = {name: modifier.variable for name, modifier in modifiers.items() if modifier.variable in frame.columns}
    donors = frame.filter(member).select("donor", *dict.fromkeys(held.values())).unique(subset="donor").sort("donor")
    values = {
        name: [_level(cell, modifiers[name]) for cell in donors[variable].cast(pl.String).to_list()] for name, variable in held.items()
    }
    return _Donors(modifiers, values)


def _level(cell: str | None, modifier: Modifier) -> str:
    if cell is None:
        return MISSING
    if modifier.kind is ModifierKind.BINARY:
        return modifier.yes_label if cell in modifier.yes else modifier.no_label if cell in modifier.no else cell
    return cell


def list_crosstables(run: Run, words: Wording) -> tuple[Grid, ...]:
    """Counts of donors by each two modifiers; medians of a score by the levels of the other."""
    grids: list[Grid] = []
    for outcome in outcomes_with_modifiers(run.protocol):
        donors = _take_donors(run, outcome)
        grids += [_cross(pair, donors, words) for pair in donors.pairs() if not all(donors.is_score(name) for name in pair)]
    return tuple(grids)


def list_associations(run: Run) -> tuple[Grid, ...]:
    """How strongly each two modifiers go together, as a triangle."""
    grids: list[Grid] = []
    for outcome in outcomes_with_modifiers(run.protocol):
        donors = _take_donors(run, outcome)
        names = list(donors.values)
        if len(names) < 2:
            continue
        found = {frozenset(pair): _associate(pair, donors) for pair in donors.pairs()}
        rows = [
            GridRow(
                (
                    shorten(donors.modifiers[one].label),
                    *(_print(found[frozenset((one, other))]) if k < i else "" for k, other in enumerate(names[:-1])),
                )
            )
            for i, one in enumerate(names)
            if i
        ]
        across = (shorten(donors.modifiers[name].label) for name in names[:-1])
        grids.append(Grid(("", *across), tuple(rows), frozenset(range(1, len(names)))))
    return tuple(grids)


def _print(association: float | None) -> str:
    return "–" if association is None else f"{association:.2f}"


def _associate(pair: tuple[str, str], donors: _Donors) -> float | None:
    """Association of two modifiers over donors that have both."""
    known = [cells for cells in zip(*(donors.values[name] for name in pair), strict=True) if MISSING not in cells]
    one, other = [cells[0] for cells in known], [cells[1] for cells in known]
    if donors.is_score(pair[0]):
        return associate_scores(_numbers(one), _numbers(other))
    return associate_score(one, _numbers(other)) if donors.is_score(pair[1]) else associate_labels(one, other)


def _numbers(cells: Sequence[str]) -> list[float]:
    return [float(cell) for cell in cells]


def _cross(pair: tuple[str, str], donors: _Donors, words: Wording) -> Grid:
    down, across = (donors.modifiers[name] for name in pair)
    values = [donors.values[name] for name in pair]
    levels = _levels(down, values[0])
    caption = words.say(
        "words", "crossed", {"one": shorten(down.label), "other": shorten(across.label), "number": _print(_associate(pair, donors))}
    )
    missing = words.say("words", "missing")
    if across.kind is ModifierKind.CONTINUOUS:
        rows = [GridRow((level or missing, _spread([v for lv, v in zip(*values, strict=True) if lv == level and v]))) for level in levels]
        return Grid(("", words.say("words", "spread")), tuple(rows), frozenset({1}), caption)
    columns = _levels(across, values[1])
    pairs = list(zip(*values, strict=True))
    counted = [GridRow((level or missing, *(str(pairs.count((level, column))) for column in columns))) for level in levels]
    return Grid(("", *(column or missing for column in columns)), tuple(counted), frozenset(range(1, len(columns) + 1)), caption)


def _levels(modifier: Modifier, values: Sequence[str]) -> list[str]:
    named = list(modifier.levels) or [modifier.yes_label, modifier.no_label]
    others = sorted({value for value in values if value and value not in named})
    return named + others + ([MISSING] if MISSING in values else [])


def _spread(cells: Sequence[str]) -> str:
    numbers = _numbers(cells)
    return f"{median(numbers):g} ({min(numbers):g} to {max(numbers):g}; {len(numbers)})" if numbers else "–"
