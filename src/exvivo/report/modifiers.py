"""Effects and outcomes -> the section on modifiers: levels, forest rows, cross-tables.

The only p of a modifier is that of its interaction; levels have ratios without p. Cross-tables count donors of the
analysis set, by the levels that the protocol names.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import median

import polars as pl

from exvivo.report.figures import ForestRow
from exvivo.report.numbers import print_interval, print_number, print_p
from exvivo.report.sections import (
    Grid,
    GridRow,
    heads,
    name_contrast,
    outcomes_with_modifiers,
    percent,
    print_count,
    print_ratio,
    real,
    tell_status,
)
from exvivo.report.wording import Wording
from exvivo.study.model import Modifier, ModifierKind, Outcome
from exvivo.study.protocol import Protocol
from exvivo.study.run import Run
from exvivo.study.statuses import EffectRole, Reason

Row = Mapping[str, object]
MISSING = ""


def list_levels(run: Run, words: Wording) -> Grid:
    """Each modifier with its interaction, then its levels with donors and ratios."""
    rows: list[GridRow] = []
    for effect, levels in _by_modifier(run):
        modifier = run.protocol.analysis.modifiers[str(effect["modifier"])]
        rows.append(GridRow((modifier.label, name_contrast(effect, run.protocol, words), *_numbers(effect), tell_status(effect, words))))
        rows += [GridRow(("", str(row["level"] or ""), *_numbers(row), tell_status(row, words)), "muted") for row in levels]
    interval = words.say("column", "interval", {"confidence": percent(run.protocol.analysis.rules.confidence)})
    names = (*heads(words, "modifier", "level", "donors", "ratio"), interval, *heads(words, "p", "p_adjusted", "detail"))
    return Grid(names, tuple(rows), frozenset({2, 3, 4, 5, 6}))


def _numbers(row: Row) -> tuple[str, ...]:
    interval = print_interval(real(row["ci_low"]), real(row["ci_high"]))
    return print_count(row["donors"]), print_ratio(row), interval, print_p(real(row["p"])), print_p(real(row["p_adjusted"]))


def _by_modifier(run: Run) -> list[tuple[Row, list[Row]]]:
    beside = [row for row in run.effects.supplementary.rows() if row["role"] == EffectRole.LEVEL]
    return [
        (effect, [row for row in beside if all(row[key] == effect[key] for key in ("outcome", "readout", "modifier"))])
        for effect in run.effects.effects.rows()
        if effect["modifier"]
    ]


def forest_of_modifiers(run: Run, words: Wording) -> tuple[ForestRow, ...]:
    """Rows of the forest plot: a heading with the interaction's p, grey levels, the black ratio of ratios."""
    rows: list[ForestRow] = []
    for effect, levels in _by_modifier(run):
        modifier = run.protocol.analysis.modifiers[str(effect["modifier"])]
        p = print_p(real(effect["p"]))
        rows.append(ForestRow(_short(modifier.label), "head", texts=("", "", p)))
        rows += [
            ForestRow(str(row["level"] or ""), "level", *_interval(row), (print_count(row["donors"]), _ratio(row, words))) for row in levels
        ]
        if effect["reason"] != Reason.JOINT_TEST_ONLY:
            contrast = name_contrast(effect, run.protocol, words)
            rows.append(ForestRow(contrast, "main", *_interval(effect), (print_count(effect["donors"]), _ratio(effect, words))))
    return tuple(rows)


def forest_of_outcomes(run: Run, words: Wording) -> tuple[ForestRow, ...]:
    """Rows of the overview: every registered ratio in registry order, under its outcome."""
    rows: list[ForestRow] = []
    for outcome in run.protocol.analysis.outcomes:
        if outcome.modifiers:
            continue
        effects = [row for row in run.effects.effects.rows() if row["outcome"] == outcome.id]
        contrast = name_contrast(effects[0], run.protocol, words) if effects else ""
        rows.append(ForestRow(f"{outcome.id}: {contrast}", "head"))
        for effect in effects:
            label = run.protocol.analysis.readouts[str(effect["readout"])].label
            texts = (print_count(effect["donors"]), _ratio(effect, words), print_p(real(effect["p_adjusted"])))
            rows.append(ForestRow(label, "main", *_interval(effect), texts))
    return tuple(rows)


def tell_dependence(run: Run, words: Wording) -> str:
    """That the modifiers describe the same donors; empty when there is but one."""
    names = dict.fromkeys(name for outcome in outcomes_with_modifiers(run.protocol) for name in outcome.modifiers)
    labels = [_short(run.protocol.analysis.modifiers[name].label) for name in names]
    return words.say("prose", "not_independent", {"modifiers": ", ".join(labels)}) if len(labels) > 1 else ""


def _short(label: str) -> str:
    return label.partition(" (")[0]


def _interval(row: Row) -> tuple[float | None, float | None, float | None]:
    return real(row["estimate"]), real(row["ci_low"]), real(row["ci_high"])


def _ratio(row: Row, words: Wording) -> str:
    estimate, low, high = _interval(row)
    if estimate is None:
        return print_interval(low, high) or words.say("effect_status", str(row["status"]))
    return f"{print_number(estimate)} ({print_interval(low, high)})"


def list_crosstables(run: Run, words: Wording) -> tuple[Grid, ...]:
    """Counts of donors by each two modifiers; medians of a continuous one by the levels of the other."""
    grids: list[Grid] = []
    for outcome in outcomes_with_modifiers(run.protocol):
        values = _values(run.outcomes.frame, outcome, run.protocol)
        for one, other in combinations([name for name in outcome.modifiers if name in values], 2):
            modifiers = run.protocol.analysis.modifiers
            pair = sorted((one, other), key=lambda name: modifiers[name].kind is ModifierKind.CONTINUOUS)
            if all(modifiers[name].kind is ModifierKind.CONTINUOUS for name in pair):
                continue
            grids.append(_cross((modifiers[pair[0]], modifiers[pair[1]]), (values[pair[0]], values[pair[1]]), words))
    return tuple(grids)


def _values(frame: pl.DataFrame, outcome: Outcome, protocol: Protocol) -> dict[str, list[str]]:
    """Level of each modifier for every donor of the outcome's set, in one order; empty is missing."""
    member = pl.col("sets").fill_null("").str.split(",").list.contains(outcome.set)
    variables = {name: protocol.analysis.modifiers[name].variable for name in outcome.modifiers}
    held = {name: variable for name, variable in variables.items() if variable in frame.columns}
    donors = frame.filter(member).select("donor", *dict.fromkeys(held.values())).unique(subset="donor").sort("donor")
    return {
        name: [_level(cell, protocol.analysis.modifiers[name]) for cell in donors[variable].cast(pl.String).to_list()]
        for name, variable in held.items()
    }


def _level(cell: str | None, modifier: Modifier) -> str:
    if cell is None:
        return MISSING
    if modifier.kind is ModifierKind.BINARY:
        return modifier.yes_label if cell in modifier.yes else modifier.no_label if cell in modifier.no else cell
    return cell


def _cross(modifiers: tuple[Modifier, Modifier], values: tuple[list[str], list[str]], words: Wording) -> Grid:
    down, across = modifiers
    levels = _levels(down, values[0])
    caption = f"{_short(down.label)} × {_short(across.label)}"
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
    numbers = [float(cell) for cell in cells]
    return f"{median(numbers):g} ({min(numbers):g} to {max(numbers):g}; {len(numbers)})" if numbers else "–"
