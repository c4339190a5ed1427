"""Run -> what the report's sections show: rows of words and numbers, ready for the templates.

Nothing is computed here but the way a number is printed; every sentence comes from ``wording``.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from exvivo.report.numbers import print_df, print_interval, print_number, print_p, print_percent
from exvivo.report.wording import Wording
from exvivo.study.decisions import Decision, DecisionKind
from exvivo.study.design import in_order
from exvivo.study.model import Contrast, Factor, Modifier, ModifierKind, Outcome
from exvivo.study.protocol import Protocol
from exvivo.study.run import Run
from exvivo.study.statuses import AGAINST, EffectRole, EffectStatus, Reason, Rule, Severity

Row = Mapping[str, object]

PER_SPECIMEN = frozenset({Rule.REPLICATE_CV, Rule.DILUTION_LINEARITY, Rule.PARALLELISM, Rule.PARALLELISM_CV, Rule.HOOK_SPECIMEN})
"""Rules with a row for each specimen: where they held, the table is enough."""


@dataclass(frozen=True, slots=True)
class GridRow:
    """One line of a table; ``tone`` is empty, ``bad``, ``warn`` or ``muted``."""

    cells: tuple[str, ...]
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of text: heads, rows and the columns that hold numbers."""

    heads: tuple[str, ...]
    rows: tuple[GridRow, ...]
    numeric: frozenset[int] = frozenset()
    caption: str = ""


@dataclass(frozen=True, slots=True)
class EstimateRow:
    """One registered estimate as printed. ``sentence`` tells why there is no ratio, or what limits it."""

    number: int
    readout: str
    contrast: str
    ratio: str
    interval: str
    p: str
    p_adjusted: str
    donors: str
    measurements: str
    below: str
    status: str
    sentence: str


@dataclass(frozen=True, slots=True)
class EstimateGroup:
    """Estimates of one registered outcome, under the registry's words."""

    outcome: str
    role: str
    label: str
    rows: tuple[EstimateRow, ...]


def list_estimates(rows: Sequence[Row], protocol: Protocol, words: Wording) -> tuple[EstimateGroup, ...]:
    """Registered estimates in registry order, by outcome."""
    groups = []
    number = 0
    for outcome in protocol.analysis.outcomes:
        printed = []
        for row in (row for row in rows if row["outcome"] == outcome.id):
            number += 1
            printed.append(_print_estimate(number, row, protocol, words))
        groups.append(EstimateGroup(outcome.id, words.say("role", outcome.role), outcome.label, tuple(printed)))
    return tuple(groups)


def _print_estimate(number: int, row: Row, protocol: Protocol, words: Wording) -> EstimateRow:
    return EstimateRow(
        number,
        readout_label(row, protocol),
        name_contrast(row, protocol, words),
        print_ratio(row),
        print_interval(real(row["ci_low"]), real(row["ci_high"])),
        print_p(real(row["p"])),
        print_p(real(row["p_adjusted"])),
        print_donors(row, words),
        print_count(row["measurements"]),
        f"{print_percent(real(row['below_lloq_drug_pct']))} / {print_percent(real(row['below_lloq_comparator_pct']))}",
        str(row["status"]),
        tell_status(row, words),
    )


def list_methods(run: Run, words: Wording) -> Grid:
    """How each registered estimate was made: method, degrees of freedom, details."""
    rows = tuple(
        GridRow(
            (
                str(number),
                str(row["outcome"]),
                readout_label(row, run.protocol),
                words.name("method", str(row["method"]) if row["method"] else None),
                print_df(real(row["df"])),
                words.detail(str(row["detail"])) if row["detail"] else "",
            )
        )
        for number, row in enumerate(run.effects.effects.rows(), start=1)
    )
    return Grid(heads(words, "number", "outcome", "readout", "method", "df", "detail"), rows, frozenset({0, 4}))


def readout_label(row: Row, protocol: Protocol) -> str:
    """Label of a row's readout, with the modifier in the registry's words."""
    label = protocol.analysis.readouts[str(row["readout"])].label
    modifier = row["modifier"]
    return f"{label}, {protocol.analysis.modifiers[str(modifier)].label}" if modifier else label


def name_contrast(row: Row, protocol: Protocol, words: Wording) -> str:
    """What a row compares, in words."""
    text = str(row["contrast"])
    modifier = protocol.analysis.modifiers.get(str(row["modifier"]))
    if modifier is not None and row["role"] != EffectRole.LEVEL:
        return _name_modification(modifier, words)
    if text == "trend":
        return words.say("words", "trend")
    factors = protocol.design.factors
    outcome = next(one for one in protocol.analysis.outcomes if one.id == row["outcome"])
    held = [factors[name] for name in outcome.contrast.within]
    if text == "interaction" or set(text.split("+")) <= set(factors):
        levels = [factor.labels.get(level, level) for factor, level in zip(held, outcome.contrast.within.values(), strict=True)]
        references = [factor.labels.get(factor.reference, factor.reference) for factor in held]
        values = {"levels": ", ".join(levels), "references": ", ".join(references)}
        return words.say("words", "interaction" if text == "interaction" else "held", values)
    compared, _, within = text.partition("|")
    own = factors[outcome.contrast.factor].labels
    drug, _, comparator = compared.partition("/")
    named = words.say("words", "drug_comparator", {"drug": own.get(drug, drug), "comparator": own.get(comparator, comparator)})
    if not within:
        return named
    levels = [_label(level, held) for level in within.split(",")]
    return words.say("words", "within", {"contrast": named, "levels": ", ".join(levels)})


def _label(level: str, factors: Sequence[Factor]) -> str:
    """Label of a level, from the factor that has it."""
    return next((factor.labels.get(level, level) for factor in factors if level in factor.levels), level)


def _name_modification(modifier: Modifier, words: Wording) -> str:
    if modifier.kind is ModifierKind.BINARY:
        return words.say("words", "ratio_of_ratios", {"top": modifier.yes_label, "bottom": modifier.no_label})
    if modifier.kind is ModifierKind.CONTINUOUS:
        unit = words.say("words", "points" if "score" in modifier.label.casefold() else "units")
        return words.say("words", "ratio_per", {"step": f"{modifier.per:g}", "unit": unit})
    return words.say("words", "joint")


def print_ratio(row: Row) -> str:
    """Estimate of a row; empty when it has none, as a joint test."""
    return "" if row["reason"] == Reason.JOINT_TEST_ONLY else print_number(real(row["estimate"]))


def print_donors(row: Row, words: Wording) -> str:
    """Complete pairs, with the number of sera where there are any."""
    donors = print_count(row["donors"])
    return words.say("words", "sera", {"donors": donors, "sera": row["serum_donors"]}) if row["serum_donors"] is not None else donors


def tell_status(row: Row, words: Wording) -> str:
    """Why a row has no ratio, as a sentence; empty for a plain estimate."""
    if row["status"] == EffectStatus.ESTIMATED and row["reason"] is None:
        return ""
    whole = row["reason"] == Reason.TOO_FEW_PER_LEVEL and row["role"] != EffectRole.LEVEL
    told = words.say("words", "too_few_levels") if whole else tell_reason(row["reason"], words)
    detail = words.detail(str(row["detail"])) if row["detail"] and row["status"] != EffectStatus.ESTIMATED else ""
    sentence = f"{told.rstrip('.')} ({detail})." if detail else told
    if row["status"] == EffectStatus.ESTIMATED:
        return sentence
    status = words.say("effect_status", str(row["status"]))
    return f"{status[:1].upper()}{status[1:]}. {sentence}".strip()


def tell_reason(reason: object, words: Wording) -> str:
    """Words of a reason: of a code wherever it is declared, or the text that a person gave."""
    if reason is None:
        return ""
    for section in ("reason", "finding", "well_status", "expression_status", "specimen_status"):
        if str(reason) in words.sections[section]:
            return words.say(section, str(reason))
    return str(reason)


def real(value: object) -> float | None:
    """A cell as a number, or None."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def print_count(value: object) -> str:
    """A count, or a dash."""
    return "–" if value is None else str(value)


def state_headline(run: Run, words: Wording) -> str:
    """The primary outcome in one sentence, or that there is none: no other outcome is put in its place."""
    outcome = next((o for o in run.protocol.analysis.outcomes if o.role == "primary"), None)
    if outcome is None:
        return words.say("headline", "no_primary", {"count": run.effects.effects.height})
    row = next(row for row in run.effects.effects.rows() if row["outcome"] == outcome.id)
    level, versus = level_labels(run.protocol, outcome.contrast)
    values = {
        "label": run.protocol.analysis.readouts[str(row["readout"])].label,
        "level": level,
        "versus": versus,
        "ratio": print_number(real(row["estimate"])),
        "interval": print_interval(real(row["ci_low"]), real(row["ci_high"])),
        "confidence": percent(run.protocol.analysis.rules.confidence),
        "p": print_p(real(row["p"])),
        "donors": print_count(row["donors"]),
        "sentence": tell_status(row, words),
    }
    if row["status"] == EffectStatus.ESTIMATED and real(row["estimate"]) is not None:
        return words.say("headline", "estimated", values).replace("p = <", "p < ").replace("p = >", "p > ")
    return words.say("headline", "other", values)


def level_labels(protocol: Protocol, contrast: Contrast) -> tuple[str, str]:
    """Labels of a contrast's level and comparator."""
    labels = protocol.design.factors[contrast.factor].labels
    return labels.get(contrast.level, contrast.level), labels.get(contrast.versus, contrast.versus)


def label_analyte(run: Run, analyte: str) -> str:
    """Label of an analyte; its code where the protocol has none."""
    readout = run.protocol.assays.readouts.get(analyte)
    return analyte if readout is None else readout.label


def percent(share: float) -> str:
    """A share as a percentage without needless digits."""
    return f"{100 * share:g}"


@dataclass(frozen=True, slots=True)
class State:
    """What the data's state is, in the banner: ``tone`` is good, warn or bad."""

    tone: str
    text: str


def list_states(run: Run, words: Wording) -> tuple[State, ...]:
    """Locked or not, blinded or not, decisions made afterwards."""
    decisions = run.decisions
    first = {kind: d for d in reversed(decisions.active) for kind in [d.kind]}
    states = []
    lock, unblind = first.get(DecisionKind.LOCK), first.get(DecisionKind.UNBLIND)
    states.append(State("good", words.say("state", "locked", _when(lock))) if lock else State("warn", words.say("state", "unlocked")))
    if run.inputs.blinded:
        states.append(State("bad", words.say("state", "blinded")))
    elif unblind is not None:
        states.append(State("good", words.say("state", "unblinded", _when(unblind))))
        late = len(decisions.post_hoc())
        told = words.say("state", "post_hoc", {"count": late}) if late else words.say("state", "post_hoc_none")
        states.append(State("warn" if late else "good", told))
    else:
        states.append(State("warn", words.say("state", "never_coded")))
    return tuple(states)


def _when(decision: Decision) -> dict[str, object]:
    return {"seq": decision.seq, "at": decision.at[:10]}


def list_assumed(run: Run, words: Wording) -> Grid:
    """Fields of the protocol that the registry does not state."""
    fields = [field for field in run.protocol.sourced_fields() if field.source != "registry"]
    rows = tuple(GridRow((field.path, field.value, field.source)) for field in fields)
    return Grid(heads(words, "field", "value", "source"), rows)


def heads(words: Wording, *names: str) -> tuple[str, ...]:
    """Heads of columns."""
    return tuple(words.say("column", name) for name in names)


def list_supplementary(run: Run, words: Wording) -> Grid:
    """Supplementary and sensitivity rows, without the levels of modifiers."""
    rows = [_print_supplementary(row, run.protocol, words) for row in run.effects.supplementary.rows() if row["role"] != EffectRole.LEVEL]
    names = ("outcome", "readout", "contrast", "role", "method", "ratio", "interval", "p", "donors", "detail")
    told = tuple(
        head.format(confidence=percent(run.protocol.analysis.rules.confidence)) if "{" in head else head
        for head in (words.sections["column"][name] for name in names)
    )
    return Grid(told, tuple(rows), frozenset({5, 6, 7, 8}))


def _print_supplementary(row: Row, protocol: Protocol, words: Wording) -> GridRow:
    detail = words.detail(str(row["detail"])) if row["detail"] else ""
    told = tell_status({**row, "detail": None}, words)
    if row["status"] == EffectStatus.BOUND_ONLY:
        told = words.say("words", "bound_only" if any(row[name] is not None for name in ("ci_low", "ci_high")) else "no_ratio")
    told = " ".join(part for part in (told, detail) if part)
    cells = (
        str(row["outcome"]),
        readout_label(row, protocol),
        name_contrast(row, protocol, words),
        words.say("effect_role", str(row["role"])),
        words.name("method", str(row["method"]) if row["method"] else None),
        print_ratio(row),
        print_interval(real(row["ci_low"]), real(row["ci_high"])),
        print_p(real(row["p"])),
        print_donors(row, words),
        told,
    )
    return GridRow(cells, "" if row["status"] == EffectStatus.ESTIMATED else "muted")


def list_smallest_p(run: Run, words: Wording) -> Grid:
    """Smallest two-sided p of exact tests, for every number of pairs below ten that a registered ratio rests on."""
    rows = tuple(GridRow((str(n), print_number(2 / 2**n, 2), "; ".join(held))) for n, held in _few_pairs(run, 10))
    return Grid(heads(words, "donors", "smallest_p", "outcome"), rows, frozenset({0, 1}))


def tell_few_pairs(run: Run, words: Wording) -> tuple[str, ...]:
    """For every number of pairs with which no exact test can reach the level: what it can reach, and which estimates it concerns."""
    alpha = run.protocol.analysis.rules.alpha
    return tuple(
        words.say("prose", "few_pairs", {"n": n, "p": f"{2 / 2**n:g}", "outcomes": "; ".join(held)})
        for n, held in _few_pairs(run, 64)
        if 2 / 2**n > alpha
    )


def _few_pairs(run: Run, below: int) -> list[tuple[int, list[str]]]:
    """Numbers of donors under a limit, ascending, with the readouts of each outcome whose ratio rests on so few."""
    held: dict[int, dict[str, list[str]]] = {}
    for row in run.effects.effects.rows():
        n = row["donors"]
        if not row["modifier"] and isinstance(n, int) and 0 < n < below:
            held.setdefault(n, {}).setdefault(str(row["outcome"]), []).append(readout_label(row, run.protocol))
    return [(n, [f"{outcome} {', '.join(labels)}" for outcome, labels in held[n].items()]) for n in sorted(held)]


def list_verdicts(run: Run, words: Wording) -> tuple[Grid, Grid]:
    """Rules that failed, then those that stay open or held, by plate; the latter for single specimens are left to the table."""
    rows = sorted(
        run.calibration.verdicts.rows(), key=lambda r: (bool(r["accepted"]), in_order(str(r["plate"])), str(r["analyte"]), str(r["rule"]))
    )
    names = heads(words, "plate", "analyte", "rule", "subject", "observed", "allowed", "passed")
    failed = tuple(_print_verdict(row, words) for row in rows if row["outcome"] in AGAINST)
    others = [row for row in rows if row["outcome"] not in AGAINST and row["rule"] not in PER_SPECIMEN]
    told = tuple(_print_verdict(row, words) for row in sorted(others, key=lambda row: bool(row["passed"])))
    return Grid(names, failed, frozenset({4})), Grid(names, told, frozenset({4}))


def _print_verdict(row: Row, words: Wording) -> GridRow:
    accepted = words.say("words", "accepted" if row["accepted"] else "refused")
    cells = (
        f"{row['plate']} ({accepted})",
        str(row["analyte"]),
        words.name("rule", str(row["rule"])),
        str(row["subject"] or ""),
        print_observed(row),
        print_range(real(row["low"]), real(row["high"]), words),
        words.say("rule_outcome", str(row["outcome"])),
    )
    return GridRow(cells, "" if row["outcome"] not in AGAINST else ("warn" if row["accepted"] else "bad"))


def print_observed(row: Row) -> str:
    """What a rule found, with its 90 % interval where the rule is a test of equivalence."""
    found = print_number(real(row["observed"]))
    interval = print_interval(real(row["ci_low"]), real(row["ci_high"]))
    return f"{found} ({interval})" if interval else found


def print_range(low: float | None, high: float | None, words: Wording) -> str:
    """What is allowed: a range, or one end of it."""
    if low is None and high is None:
        return ""
    if high is None:
        return words.say("words", "at_least", {"low": print_number(low)})
    if low is None:
        return words.say("words", "at_most", {"high": print_number(high)})
    return words.say("words", "from_to", {"low": print_number(low), "high": print_number(high)})


def list_findings(run: Run, words: Wording) -> Grid:
    """Findings with evidence, suggestion and answer; errors first."""
    order = {severity.value: i for i, severity in enumerate(Severity)}
    tones = {Severity.ERROR: "bad", Severity.WARNING: "warn"}
    rows = sorted(run.findings.rows(), key=lambda r: (order[str(r["severity"])], str(r["code"]), str(r["place"])))
    printed = tuple(
        GridRow(
            (
                words.say("severity", str(row["severity"])),
                f"{words.name('finding', str(row['code']))} [{row['code']}]",
                str(row["place"]),
                str(row["evidence"] or ""),
                str(row["suggestion"] or ""),
                str(row["outcomes"] or ""),
                str(row["answer"] or words.say("words", "unanswered")),
            ),
            "muted" if row["answer"] else tones.get(Severity(str(row["severity"])), ""),
        )
        for row in rows
    )
    return Grid(heads(words, "severity", "finding", "place", "evidence", "suggestion", "outcome", "answer"), printed)


def list_exclusions(run: Run, words: Wording) -> Grid:
    """Everything that was left out, censored or refused; readouts of one target that went for one reason share a line."""
    held: dict[tuple[str, ...], dict[str, None]] = {}
    for row in run.exclusions.rows():
        detail = words.detail(str(row["detail"])) if row["detail"] else ""
        key = (str(row["what"]), str(row["target"]), _name_excluder(row, words), tell_reason(row["reason"], words), detail)
        held.setdefault(key, {})[str(row["readout"] or "")] = None
    printed = tuple(
        GridRow((what, target, ", ".join(filter(None, readouts)), by, reason, detail))
        for (what, target, by, reason, detail), readouts in held.items()
    )
    return Grid(heads(words, "what", "target", "readout", "by", "reason", "detail"), printed)


def _name_excluder(row: Row, words: Wording) -> str:
    """Rule or decision that left a row out; for a value that an excluded donor or well took along, that decision."""
    known = json.loads(str(row["detail"])) if row["detail"] and row["reason"] == Reason.EXCLUDED else {}
    seq = row["decision"] if row["decision"] is not None else known.get("decision")
    return words.name("by", str(row["by"])) if seq is None else words.say("words", "decision", {"seq": seq})


def count_exclusions(run: Run, words: Wording) -> Grid:
    """Values left out or censored: how many by readout and reason."""
    counts: dict[tuple[str, str], int] = {}
    for row in run.exclusions.rows():
        if row["what"] == "value" and row["readout"]:
            key = str(row["readout"]), str(row["reason"])
            counts[key] = counts.get(key, 0) + 1
    reasons = list(dict.fromkeys(reason for _, reason in sorted(counts)))
    named = [name for name in run.protocol.design.readouts if any(readout == name for readout, _ in counts)]
    rows = [
        GridRow((run.protocol.design.readouts[name].label, *(str(counts.get((name, reason), 0)) for reason in reasons))) for name in named
    ]
    told = tuple(words.say("short_reason", reason) if reason in words.sections["short_reason"] else reason for reason in reasons)
    return Grid((words.say("column", "readout"), *told), tuple(rows), frozenset(range(1, len(reasons) + 1)))


def list_decisions(run: Run, words: Wording) -> Grid:
    """The record of decisions, post-hoc ones marked."""
    late = {decision.seq for decision in run.decisions.post_hoc()}
    printed = tuple(
        GridRow(
            (str(d.seq), d.at, d.author, _name_decision(d, d.seq in late, words), d.target, d.value, d.reason),
            "warn" if d.seq in late else "",
        )
        for d in run.decisions.records
    )
    return Grid(heads(words, "number", "at", "author", "kind", "target", "value", "reason"), printed, frozenset({0}))


def _name_decision(decision: Decision, late: bool, words: Wording) -> str:  # noqa: FBT001  one of two words
    kind = words.say("decision", decision.kind.value)
    return f"{kind} ({words.say('words', 'post_hoc')})" if late else kind


def list_inputs(run: Run, words: Wording) -> Grid:
    """Files that were read, with their digests."""
    rows = [GridRow(("study.yaml", "protocol", "", run.protocol.sha256), "")]
    rows += [GridRow((str(r["path"]), str(r["role"]), print_count(r["bytes"]), str(r["sha256"]))) for r in run.inputs.files.rows()]
    return Grid(heads(words, "path", "role", "bytes", "sha256"), tuple(rows), frozenset({2}))


def list_versions(versions: Mapping[str, str], words: Wording) -> Grid:
    """Versions that made the results."""
    return Grid(heads(words, "package", "version"), tuple(GridRow((name, number)) for name, number in versions.items()))


def outcomes_with_modifiers(protocol: Protocol) -> Iterable[Outcome]:
    """Outcomes that ask whether a modifier changes the effect."""
    return (outcome for outcome in protocol.analysis.outcomes if outcome.modifiers)
