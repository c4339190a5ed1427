"""One plate -> the tables and the sentence of its page: words and numbers, ready to be printed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from exvivo.numerics.curves import Weighting
from exvivo.report.bench import PlateView, count_statuses
from exvivo.report.numbers import print_df, print_nominal, print_number
from exvivo.report.plategrids import is_left_out, well_state
from exvivo.report.sections import Grid, GridRow, heads, print_observed, print_range
from exvivo.report.specimenfigures import tell_concentration
from exvivo.report.wording import Wording
from exvivo.study.design import WellRole, in_order, well_position
from exvivo.study.statuses import AGAINST, RuleOutcome, SpecimenStatus, WellStatus
from exvivo.study.tables import Table

Row = Mapping[str, Any]

CHECKED = {"standards-recovery", "qc-recovery", "replicate-cv"}
"""Rules with one check for each level, well or specimen."""


def tell_plate(view: PlateView, words: Wording) -> str:
    """The plate in one line: curve, limits, variance."""
    if view.row is None:
        return words.say("reason", "no-curve")
    fit = {"model": view.row["model"], "weighting": words.name("weighting", view.row["weighting"]), "wells": view.row["standards"]}
    told = [words.say("plate", "fit", {**fit, "df": print_df(view.row["df"])}), f"{tell_limits(view, words)}."]
    if view.row["weighting"] == Weighting.FITTED and view.row["sigma0"] is not None and view.row["kappa"] is not None:
        told.append(
            words.say("plate", "variance", {"sigma0": print_number(view.row["sigma0"], 2), "kappa": f"{100 * view.row['kappa']:.1f}"})
        )
    return " ".join([*told, *(words.name("curve_note", note) for note in str(view.row["note"] or "").split(",") if note)])


def tell_limits(view: PlateView, words: Wording) -> str:
    """LLOQ and ULOQ on the plate."""
    low, high = view.limits
    if low is None or high is None:
        return words.say("words", "no_range")
    return words.say(
        "words", "range", {"lloq": print_number(low), "uloq": print_number(high), "unit": view.unit or words.say("words", "as_given")}
    )


def tell_counts(view: PlateView, words: Wording) -> str:
    """How many specimens have which status."""
    counts = count_statuses(view)
    return ", ".join(f"{count} {words.say('short_status', status)}" for status, count in counts.items()) or words.say(
        "plate", "no_specimens"
    )


def list_standards(view: PlateView, words: Wording) -> Grid:
    """One row for each level of the standards, zero first."""
    levels: dict[float, list[Row]] = {}
    for row in view.own:
        if row["role"] in {WellRole.STANDARD, WellRole.BLANK} and row["nominal"] is not None:
            levels.setdefault(float(row["nominal"]), []).append(row)
    checks = {str(row["subject"]): row for row in view.verdicts if row["rule"] == "standards-recovery"}
    rows = [_print_level(nominal, levels[nominal], checks.get(f"{nominal:.6g}"), words) for nominal in sorted(levels)]
    names = heads(words, "nominal", "wells", "signal", "fitted", "signal_cv", "recovery", "allowed", "passed")
    return Grid(names, tuple(rows), frozenset({0, 1, 2, 3, 4, 5}))


def _print_level(nominal: float, wells: Sequence[Row], check: Row | None, words: Wording) -> GridRow:
    used = [row for row in wells if row["status"] == WellStatus.OK and not is_left_out(row) and row["signal"] is not None]
    signals = [row["signal"] for row in used]
    mean = float(np.mean(signals)) if signals else None
    cv = 100 * float(np.std(signals, ddof=1)) / mean if len(signals) > 1 and mean and mean > 0 else None
    fitted = next((row["fitted"] for row in wells if row["fitted"] is not None), None)
    wrong = check is not None and not check["passed"]
    cells = (
        print_nominal(nominal),
        str(len(used)) if len(used) == len(wells) else f"{len(used)} / {len(wells)}",
        print_number(mean),
        print_number(fitted),
        print_number(cv, 2),
        print_number(check["observed"]) if check else "",
        print_range(check["low"], check["high"], words) if check else "",
        _held(check, words),
    )
    return GridRow(cells, "bad" if wrong else "")


def _held(check: Row | None, words: Wording) -> str:
    return "" if check is None else words.say("words", "yes" if check["passed"] else "no")


def list_rules(view: PlateView, words: Wording) -> Grid:
    """One row for each rule: how many of its checks held, what was found (the farthest), what is allowed."""
    rules: dict[str, list[Row]] = {}
    for row in view.verdicts:
        rules.setdefault(str(row["rule"]), []).append(row)
    order = {rule: k for k, rule in enumerate(words.sections["rule"])}
    rows = [_print_rule(rule, rules[rule], words) for rule in sorted(rules, key=lambda rule: order.get(rule, len(order)))]
    return Grid(heads(words, "rule", "observed", "allowed", "passed"), tuple(rows), frozenset({1}))


def _print_rule(rule: str, checks: Sequence[Row], words: Wording) -> GridRow:
    held = sum(bool(row["passed"]) for row in checks)
    found = print_number(checks[0]["observed"]) if len(checks) == 1 else _spread(checks)
    told = words.say("rule_outcome", checks[0]["outcome"]) if len(checks) == 1 else f"{held} / {len(checks)}"
    unclear = sum(row["outcome"] == RuleOutcome.NOT_SHOWN for row in checks)
    told += words.say("words", "open", {"count": unclear}) if unclear and len(checks) > 1 else ""
    tone = "" if not any(row["outcome"] in AGAINST for row in checks) else ("warn" if checks[0]["accepted"] else "bad")
    return GridRow((words.name("rule", rule), found, _allowed(checks, words), told), tone)


def _allowed(checks: Sequence[Row], words: Wording) -> str:
    """The loosest of what is allowed; both ends where one check has the upper and another the lower one."""
    one_sided = {(row["low"] is None, row["high"] is None) for row in checks}
    if one_sided == {(True, False), (False, True)}:
        ends = sorted(((row["low"], row["high"]) for row in checks), key=lambda end: end[1] is None)
        return ", ".join(dict.fromkeys(print_range(low, high, words) for low, high in ends))
    loosest = min(checks, key=lambda row: row["low"] if row["low"] is not None else 0.0)
    return print_range(loosest["low"], loosest["high"], words)


def _spread(checks: Sequence[Row]) -> str:
    found = [row["observed"] for row in checks if row["observed"] is not None]
    return f"{print_number(min(found))} to {print_number(max(found))}" if found else ""


def list_checks(view: PlateView, words: Wording) -> Grid:
    """Every check of every rule: those that failed, those that stay open, those that held."""
    rows = sorted(
        view.verdicts,
        key=lambda row: (row["outcome"] not in AGAINST, bool(row["passed"]), str(row["rule"]), in_order(str(row["subject"] or ""))),
    )
    printed = [
        GridRow(
            (
                words.name("rule", str(row["rule"])), str(row["subject"] or ""), print_observed(row),
                print_range(row["low"], row["high"], words), words.say("rule_outcome", row["outcome"]),
            ),
            "" if row["outcome"] not in AGAINST else ("warn" if row["accepted"] else "bad"),
        )
        for row in rows
    ]  # fmt: skip
    return Grid(heads(words, "rule", "subject", "observed", "allowed", "passed"), tuple(printed), frozenset({2}))


def list_qcs(view: PlateView, words: Wording) -> Grid:
    """One row for each QC well."""
    checks = {str(row["subject"]): row for row in view.verdicts if row["rule"] == "qc-recovery"}
    rows = []
    for row in view.own:
        if row["role"] != WellRole.QC:
            continue
        check = checks.get(f"{row['specimen'] or 'qc'} {row['well']}")
        cells = (
            str(row["specimen"] or ""), row["well"], print_nominal(row["nominal"]), print_number(row["concentration"]),
            print_number(row["recovery_pct"]), print_range(check["low"], check["high"], words) if check else "", _held(check, words),
        )  # fmt: skip
        rows.append(GridRow(cells, "bad" if check is not None and not check["passed"] else ""))
    return Grid(heads(words, "qc", "wells", "nominal", "concentration", "recovery", "allowed", "passed"), tuple(rows), frozenset({2, 3, 4}))


def list_concentrations(view: PlateView, words: Wording) -> Grid:
    """One row for each specimen."""
    rows = []
    folds = {row["specimen"]: row["dilution"] for row in view.own if row["role"] == WellRole.SPECIMEN}
    for row in sorted(view.concentrations, key=lambda row: in_order(str(row["specimen"]))):
        known = row["status"] == SpecimenStatus.QUANTIFIED
        cells = (
            str(row["specimen"]), str(row["wells"] or ""), f"{folds.get(row['specimen']) or 1:g}",
            tell_concentration(row, words), words.say("specimen_status", row["status"]),
            "" if known or not row["reason"] else words.name("short_reason", row["reason"]),
        )  # fmt: skip
        rows.append(GridRow(cells, "" if known else "muted"))
    return Grid(heads(words, "specimen", "wells", "dilution", "concentration_ci", "status", "reason"), tuple(rows), frozenset({2}))


def list_odd_wells(view: PlateView, words: Wording) -> Grid:
    """Wells that say something else than a number, or whose number was not used, with the place in the export."""
    rows = []
    for row in sorted(view.own, key=lambda row: well_position(row["well"])):
        state = well_state(row) or ("left-out" if is_left_out(row) else "")
        if state:
            why = words.name("reason", row["reason"]) if row["reason"] else ""
            rows.append(
                GridRow((row["well"], str(row["specimen"] or row["role"] or ""), words.say("well_word", state), why, row["origin"]))
            )
    return Grid(heads(words, "well", "holds", "status", "reason", "origin"), tuple(rows))


def list_plate_findings(view: PlateView, words: Wording) -> Grid:
    """What looked wrong on the plate."""
    rows = [_print_finding(row, words, placed=False) for row in view.findings]
    return Grid(heads(words, "severity", "finding", "evidence", "suggestion"), tuple(rows))


def list_all_findings(findings: Table, words: Wording) -> Grid:
    """What looked wrong anywhere."""
    rows = [_print_finding(row, words, placed=True) for row in findings.rows()]
    return Grid(heads(words, "severity", "finding", "place", "evidence", "suggestion"), tuple(rows))


def _print_finding(row: Row, words: Wording, *, placed: bool) -> GridRow:
    tones = {"error": "bad", "warning": "warn"}
    head = (words.say("severity", row["severity"]), words.name("finding", row["code"]))
    place = (str(row["place"]),) if placed else ()
    return GridRow((*head, *place, str(row["evidence"] or ""), str(row["suggestion"] or "")), tones.get(row["severity"], ""))
