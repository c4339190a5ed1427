"""Effects -> the section on modifiers: levels, forest rows, and what each interaction could have found.

The only p of a modifier is that of its interaction; levels have ratios without p. What an interaction could have found is printed beside
what it found, whatever that is.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exvivo.report.crosstables import shorten
from exvivo.report.figures import ForestRow, Interval, ModifierRow
from exvivo.report.numbers import print_interval, print_number, print_p
from exvivo.report.sections import Grid, GridRow, heads, name_contrast, percent, print_count, print_ratio, real, tell_status
from exvivo.report.wording import Wording
from exvivo.study.model import Modifier, ModifierKind
from exvivo.study.run import Run
from exvivo.study.statuses import EffectRole, Method, Reason

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Modified:
    """A registered row of a modifier, its levels, their shrunken rows by level, and the corrected slope."""

    modifier: Modifier
    registered: Row
    levels: tuple[Row, ...]
    shrunken: Mapping[str, Row]
    corrected: Row | None

    @property
    def facts(self) -> Mapping[str, object]:
        """Parameters in the detail of the registered row."""
        held: Mapping[str, object] = json.loads(str(self.registered["detail"])) if self.registered["detail"] else {}
        return held


def collect_modified(run: Run) -> list[Modified]:
    """Registered rows of modifiers with what stands beside them, in registry order."""
    beside: dict[tuple[object, ...], list[Row]] = {}
    for row in run.effects.supplementary.rows():
        beside.setdefault(_key(row), []).append(row)
    registered = [row for row in run.effects.effects.rows() if row["modifier"]]
    return [_gather(run.protocol.analysis.modifiers[str(row["modifier"])], row, beside.get(_key(row), [])) for row in registered]


def _key(row: Row) -> tuple[object, ...]:
    return row["outcome"], row["readout"], row["modifier"]


def _gather(modifier: Modifier, registered: Row, beside: Sequence[Row]) -> Modified:
    levels = [row for row in beside if row["role"] == EffectRole.LEVEL]
    shrunken = {str(row["level"]): row for row in levels if row["method"] == Method.SHRUNKEN}
    plain = tuple(row for row in levels if row["method"] != Method.SHRUNKEN)
    return Modified(modifier, registered, plain, shrunken, next((row for row in beside if row["method"] == Method.CALIBRATED), None))


def list_levels(run: Run, words: Wording) -> Grid:
    """Each modifier with its interaction, then its levels with donors and ratios, plain and shrunken."""
    rows: list[GridRow] = []
    for one in collect_modified(run):
        named = name_contrast(one.registered, run.protocol, words)
        told = " ".join(filter(None, [tell_status(one.registered, words), _tell_reliability(one, words)]))
        rows.append(GridRow((one.modifier.label, named, *_numbers(one.registered), "", told)))
        if one.corrected is not None:
            told = tell_status(one.corrected, words)
            rows.append(GridRow(("", words.say("words", "corrected"), *_numbers(one.corrected), "", told), "muted"))
        for row in one.levels:
            level = str(row["level"])
            shrunken = print_ratio(one.shrunken[level]) if level in one.shrunken else ""
            rows.append(GridRow(("", level, *_numbers(row), shrunken, tell_status(row, words)), "muted"))
    interval = words.say("column", "interval", {"confidence": percent(run.protocol.analysis.rules.confidence)})
    names = (*heads(words, "modifier", "level", "donors", "ratio"), interval, *heads(words, "p", "p_adjusted", "shrunken", "detail"))
    return Grid(names, tuple(rows), frozenset(range(2, 8)))


def _numbers(row: Row) -> tuple[str, ...]:
    interval = print_interval(real(row["ci_low"]), real(row["ci_high"]))
    return print_count(row["donors"]), print_ratio(row), interval, print_p(real(row["p"])), print_p(real(row["p_adjusted"]))


def _tell_reliability(one: Modified, words: Wording) -> str:
    """What the error of a score does to its slope; empty where the protocol names none."""
    share = real(one.facts.get("reliability"))
    if share is None:
        return ""
    values = {"sd": f"{one.modifier.measurement_sd:g}", "reliability": f"{share:.2f}"}
    return words.say("words", "reliability" if share > 0 else "no_reliability", values)


def list_precision(run: Run, words: Wording) -> Grid:
    """What the numbers of donors let each interaction find, by the SD of these donors and by the planned one."""
    rows = [
        GridRow((shorten(one.modifier.label), _print_donors(one), words.say("precision", name), *_print_precision(told, words)))
        for one in collect_modified(run)
        for name in ("precision", "planned")
        if isinstance(told := one.facts.get(name), Mapping)
    ]
    return Grid(heads(words, "modifier", "donors", "sd_from", "sd", "half_width", "detectable"), tuple(rows), frozenset({3, 4, 5}))


def _print_donors(one: Modified) -> str:
    return ", ".join(f"{row['level']} {row['donors']}" for row in one.levels) or print_count(one.registered["donors"])


def _print_precision(told: Mapping[str, object], words: Wording) -> tuple[str, str, str]:
    half, found, spread = (real(told.get(name)) for name in ("half_width_fold", "detectable_fold", "detectable_between_fold"))
    width = words.say("words", "fold", {"fold": print_number(half)}) if half is not None else ""
    if spread is not None:
        return print_number(real(told["sd"])), width, words.say("words", "spread_fold", {"fold": print_number(spread)})
    ends = {"low": print_number(1 / found), "high": print_number(found)} if found else {"low": "", "high": ""}
    return print_number(real(told["sd"])), width, words.say("words", "either", ends)


def forest_of_modifiers(run: Run, words: Wording) -> tuple[ModifierRow, ...]:
    """Rows of the forest: a heading with the interaction's p, levels, slopes, and all donors at the end."""
    rows: list[ModifierRow] = []
    for one in collect_modified(run):
        rows.append(ModifierRow(shorten(one.modifier.label), "head", texts=("", "", "", print_p(real(one.registered["p"])))))
        rows += _slopes(one, run, words) if one.modifier.kind is ModifierKind.CONTINUOUS else _levels(one, words)
    overall = _overall(run)
    if rows and overall is not None:
        texts = (print_count(overall["donors"]), _ratio(overall, words), "", "")
        rows.append(ModifierRow(words.say("words", "all_donors"), "overall", _interval(overall), texts=texts))
    return tuple(rows)


def _slopes(one: Modified, run: Run, words: Wording) -> list[ModifierRow]:
    """The registered slope, and the corrected one under it, hollow."""
    row = one.registered
    label = name_contrast(row, run.protocol, words).removeprefix(words.say("words", "ratio_of_ratios_head"))
    rows = [ModifierRow(label, "main", modification=_interval(row), texts=(print_count(row["donors"]), "", _ratio(row, words), ""))]
    if one.corrected is not None:
        texts = ("", "", _ratio(one.corrected, words), "")
        rows.append(ModifierRow(words.say("words", "corrected"), "main", modification=_interval(one.corrected), hollow=True, texts=texts))
    return rows


def _levels(one: Modified, words: Wording) -> list[ModifierRow]:
    """Levels in the order of the model; a binary modifier's ratio of ratios stands at the level above the line."""
    rows = []
    binary = one.modifier.kind is ModifierKind.BINARY
    for row in one.levels:
        level = str(row["level"])
        compared = binary and level == one.modifier.yes_label
        against = words.say("words", "reference") if binary and not compared else ""
        rows.append(
            ModifierRow(
                level,
                "main",
                _interval(row),
                real(one.shrunken[level]["estimate"]) if level in one.shrunken else None,
                _interval(one.registered) if compared else (None, None, None),
                texts=(print_count(row["donors"]), _ratio(row, words), _ratio(one.registered, words) if compared else against, ""),
            )
        )
    return rows


def _overall(run: Run) -> Row | None:
    """Registered ratio of all donors: the same readout, contrast and set as that of the modifiers."""
    outcomes = {outcome.id: outcome for outcome in run.protocol.analysis.outcomes}
    rows = run.effects.effects.rows()
    modified = next((row for row in rows if row["modifier"]), None)
    if modified is None:
        return None
    asked = outcomes[str(modified["outcome"])]
    return next(
        (
            row
            for row in rows
            if not row["modifier"]
            and row["estimate"] is not None
            and (row["readout"], row["contrast"]) == (modified["readout"], modified["contrast"])
            and outcomes[str(row["outcome"])].set == asked.set
        ),
        None,
    )


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


def _interval(row: Row) -> Interval:
    return real(row["estimate"]), real(row["ci_low"]), real(row["ci_high"])


def _ratio(row: Row, words: Wording) -> str:
    estimate, low, high = _interval(row)
    if estimate is not None:
        return f"{print_number(estimate)} ({print_interval(low, high)})"
    if row["reason"] == Reason.TOO_FEW_PER_LEVEL and row["role"] == EffectRole.LEVEL:
        return words.say("words", "too_few")
    return print_interval(low, high) or words.say("effect_status", str(row["status"]))
