"""Calibration -> how the assays performed: limits, curve and plate-to-plate error of each analyte, what rules over plates found.

First what a reviewer needs of an analyte in one line; plate by plate below it. Every further definition of a limit stands in
``tables/limits.csv`` and on the page of a plate.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from exvivo.report.bench import PlateView
from exvivo.report.numbers import print_interval, print_number
from exvivo.report.sections import Grid, GridRow, heads, print_observed, real
from exvivo.report.wording import Wording
from exvivo.study.design import in_order
from exvivo.study.run import Calibration
from exvivo.study.statuses import AGAINST, ChartKind, LimitDefinition, LimitKind, Rule, RuleOutcome

Row = Mapping[str, object]

WARNING = "1-2s"
NONE = "–"

OVER_PLATES = (
    Rule.DILUTION_LINEARITY, Rule.PARALLELISM, Rule.PARALLELISM_CV, Rule.HOOK_SPECIMEN, Rule.HOOK_STANDARDS, Rule.POSITION_EFFECT,
    Rule.LOT_SHIFT,
)  # fmt: skip
"""Rules on dilutions, places and lots, in the order in which they are read."""

RATIOS = frozenset({Rule.DILUTION_LINEARITY, Rule.PARALLELISM, Rule.LOT_SHIFT})
"""Rules whose finding is a ratio."""

SHOWN = ((LimitKind.LOD, LimitDefinition.EP17_POOLED), (LimitKind.MDC, LimitDefinition.EXCLUDES_ZERO))
"""Limits of detection in the table, each by one definition; the others stand in ``limits.csv``."""

ORDER = tuple(LimitKind)


def list_analytes(calibration: Calibration, label: Callable[[str], str], words: Wording) -> Grid:
    """One row for each analyte: curve, limits over its plates, error between plates."""
    limits = _read_limits(calibration)
    rows = []
    for analyte, curves in _by_analyte(calibration.curves.rows()).items():
        plates = [str(row["plate"]) for row in curves]
        detected = [_span(limits.get((plate, analyte, *which)) for plate in plates) for which in SHOWN]
        quantified = [_span(real(row[name]) for row in curves) for name in ("lloq", "uloq")]
        without = sum(row["lloq"] is None for row in curves)
        cells = (
            label(analyte), _join(_name_model(row, words) for row in curves),
            str(len(curves)), *detected, *quantified, _join(str(row["unit"] or words.say("words", "as_given")) for row in curves),
            _print_plate_sd(curves),
        )  # fmt: skip
        rows.append(GridRow(cells, "warn" if without else ""))
    names = ("analyte", "model", "plates", "lod", "mdc", "lloq", "uloq", "unit", "plate_sd")
    return Grid(heads(words, *names), tuple(rows), frozenset({2, 3, 4, 5, 6, 8}))


def list_plate_limits(calibration: Calibration, label: Callable[[str], str], words: Wording) -> Grid:
    """One row for each plate and analyte, those without a range first."""
    limits, makers = _read_limits(calibration), _read_makers(calibration)
    rows = []
    for analyte, curves in _by_analyte(calibration.curves.rows()).items():
        for row in curves:
            plate = str(row["plate"])
            made = [(real(row[kind.value]), makers.get((plate, analyte, kind), [])) for kind in (LimitKind.LLOQ, LimitKind.ULOQ)]
            cells = (
                plate, label(analyte), _name_model(row, words), *(_print(limits.get((plate, analyte, *which))) for which in SHOWN),
                *(cell for value, by in made for cell in (_print(value), ", ".join(words.say("limit_maker", one) for one in by))),
                str(row["unit"] or words.say("words", "as_given")),
            )  # fmt: skip
            rows.append(GridRow(cells, "bad" if row["lloq"] is None else ""))
    rows.sort(key=lambda row: row.tone == "")
    names = ("plate", "analyte", "model", "lod", "mdc", "lloq", "made_by", "uloq", "made_by", "unit")
    return Grid(heads(words, *names), tuple(rows), frozenset({3, 4, 5, 7}))


def list_agreement(calibration: Calibration, label: Callable[[str], str], words: Wording) -> Grid:
    """One row for each rule on dilutions, hooks, places and lots: how many of its checks held, and the farthest that did not."""
    by_rule: dict[str, list[Row]] = {}
    for row in calibration.verdicts.rows():
        by_rule.setdefault(str(row["rule"]), []).append(row)
    rows = []
    for rule in (rule for rule in OVER_PLATES if rule in by_rule):
        checks = by_rule[rule]
        wrong = [row for row in checks if row["outcome"] in AGAINST]
        unclear = sum(row["outcome"] == RuleOutcome.NOT_SHOWN for row in checks)
        cells = (
            words.name("rule", rule), str(len(checks)), str(sum(bool(row["passed"]) for row in checks)),
            str(unclear) if rule in RATIOS else NONE, str(len(wrong)), _tell_farthest(wrong, label),
        )  # fmt: skip
        rows.append(GridRow(cells, "warn" if wrong else ""))
    rows.sort(key=lambda row: row.tone == "")
    names = ("rule", "checks", "held", "not_shown", "differs", "farthest")
    return Grid(heads(words, *names), tuple(rows), frozenset({1, 2, 3, 4}))


def list_moved(calibration: Calibration, label: Callable[[str], str], words: Wording) -> Grid:
    """Points of control charts that broke a rule beyond the warning: QCs first, then standards and curve parameters."""
    order = {kind.value: k for k, kind in enumerate(ChartKind)}
    broken = [row for row in calibration.controls.rows() if set(str(row["rules"] or "").split(",")) - {WARNING, ""}]
    broken.sort(key=lambda row: (order[str(row["kind"])], str(row["analyte"]), in_order(str(row["control"])), int(str(row["order"]))))
    rows = [
        GridRow(
            (
                words.say("chart_kind", str(row["kind"])), label(str(row["analyte"])), str(row["control"]), str(row["plate"]),
                print_number(real(row["z"])), str(row["rules"]).replace(",", ", "), words.say("chart_base", str(row["base"])),
            ),
            "warn" if row["kind"] == ChartKind.QC else "",
        )
        for row in broken
    ]  # fmt: skip
    return Grid(heads(words, "what", "analyte", "which", "plate", "z", "rules", "compared_with"), tuple(rows), frozenset({4}))


def list_limits(view: PlateView, words: Wording) -> Grid:
    """Every limit of a plate by every definition; those that made its range are told."""
    rows = sorted(view.limit_rows, key=lambda row: ORDER.index(LimitKind(row["limit"])))
    printed = [
        GridRow(
            (
                words.say("limit", row["limit"]), words.say("limit_definition", row["definition"]),
                _print(row["value"]), print_number(row["signal"]), words.say("words", "yes") if row["used"] else "",
            )
        )
        for row in rows
    ]  # fmt: skip
    return Grid(heads(words, "limit", "definition", "at_plate", "signal_there", "used"), tuple(printed), frozenset({2, 3}))


def _by_analyte(curves: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows of CURVES by analyte, plates in the order in which people count."""
    held: dict[str, list[Row]] = {}
    for row in sorted(curves, key=lambda row: (str(row["analyte"]), in_order(str(row["plate"])))):
        held.setdefault(str(row["analyte"]), []).append(row)
    return held


def _read_limits(calibration: Calibration) -> dict[tuple[str, str, str, str], float | None]:
    rows = calibration.limits.rows()
    return {(str(r["plate"]), str(r["analyte"]), str(r["limit"]), str(r["definition"])): real(r["value"]) for r in rows}


def _read_makers(calibration: Calibration) -> dict[tuple[str, str, str], list[str]]:
    """Definitions that made a plate's LLOQ and ULOQ."""
    makers: dict[tuple[str, str, str], list[str]] = {}
    for row in calibration.limits.rows():
        if row["used"]:
            makers.setdefault((str(row["plate"]), str(row["analyte"]), str(row["limit"])), []).append(str(row["definition"]))
    return makers


def _name_model(row: Row, words: Wording) -> str:
    return words.say("words", "branch", {"model": row["model"], "branch": row["branch"]}) if row["branch"] else str(row["model"])


def _join(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def _print(value: float | None) -> str:
    return NONE if value is None else print_number(value)


def _span(values: Iterable[float | None]) -> str:
    """Lowest to highest of what is known."""
    known = [value for value in values if value is not None]
    if not known:
        return NONE
    low, high = print_number(min(known)), print_number(max(known))
    return low if low == high else print_interval(min(known), max(known))


def _print_plate_sd(curves: Sequence[Row]) -> str:
    """SD between plates in per cent; a dash where too few plates tell it."""
    known = [sd for row in curves if (sd := real(row["plate_sd"])) is not None]
    return print_number(100 * max(known), 2) if known else NONE


def _tell_farthest(wrong: Sequence[Row], label: Callable[[str], str]) -> str:
    def distance(row: Row) -> float:
        found = real(row["observed"]) or 0.0
        return abs(math.log(found)) if row["rule"] in RATIOS and found > 0 else abs(found)

    if not wrong:
        return ""
    row = max(wrong, key=distance)
    found = print_observed(row)
    return f"{row['plate']}, {label(str(row['analyte']))}, {row['subject']}: {found}" if row["subject"] else f"{row['plate']}: {found}"
