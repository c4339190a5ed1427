"""Everything left out, censored or refused -> Exclusions: the list that a reviewer reads against the record.

A row says what, which one, and by which rule or decision. It removes nothing: the tables upstream
keep every row with its status.
"""

import json
from collections.abc import Iterator, Sequence

from exvivo.study.decisions import DecisionKind, Decisions
from exvivo.study.findings import FindingCode
from exvivo.study.run import Calibration, Gating
from exvivo.study.statuses import ExpressionStatus, Reason, SpecimenStatus, WellStatus
from exvivo.study.tables import EXCLUSIONS, Table

Row = dict[str, object]

_KEPT = frozenset({SpecimenStatus.QUANTIFIED, ExpressionStatus.MEASURED})


def list_exclusions(calibration: Calibration, gating: Gating, outcomes: Table, decisions: Decisions, factors: Sequence[str]) -> Table:
    """Exclusions by decisions, then wells, tubes and values that a rule left out or censored; ``factors`` name a value's condition.

    Returns
    -------
    Table : EXCLUSIONS
    """
    rows = [*_by_decisions(decisions), *_wells(calibration), *_tubes(gating), *_values(outcomes, factors)]
    return EXCLUSIONS.from_rows(rows)


def _by_decisions(decisions: Decisions) -> Iterator[Row]:
    late = {d.seq for d in decisions.post_hoc()}
    for decision in decisions.active:
        if decision.kind == DecisionKind.EXCLUDE:
            what, _, target = decision.target.partition(":")
            detail = json.dumps({"author": decision.author, "at": decision.at, "post_hoc": decision.seq in late}, sort_keys=True)
            row = _by_rule(what, target, None, decision.reason, detail)
            yield {**row, "by": "decision", "decision": decision.seq}


def _wells(calibration: Calibration) -> Iterator[Row]:
    for row in calibration.wells.frame.iter_rows(named=True):
        if row["status"] not in {WellStatus.OK, WellStatus.EMPTY}:
            yield _by_rule("well", f"{row['plate']}/{row['well']}", row["analyte"], row["reason"] or row["status"], row["detail"])


def _tubes(gating: Gating) -> Iterator[Row]:
    for row in gating.tubes.frame.iter_rows(named=True):
        if row["status"] != ExpressionStatus.MEASURED:
            yield _by_rule("file", row["file"], row["marker"], row["reason"] or row["status"], row["detail"])


def _values(outcomes: Table, factors: Sequence[str]) -> Iterator[Row]:
    for row in outcomes.frame.iter_rows(named=True):
        place = "/".join(row[name] for name in ("experiment", "donor", "serum_donor", *factors) if row[name])
        if row["status"] not in _KEPT or row["lower_bound"] is not None or row["upper_bound"] is not None:
            yield _by_rule("value", place, row["readout"], row["reason"] or row["status"], row["detail"])
        elif row["sets"] is None:
            yield _by_rule("value", place, row["readout"], FindingCode.CRITERION_FAILED.value, None)


def _by_rule(what: str, target: str, readout: str | None, reason: str, detail: str | None) -> Row:
    """Row of what a rule left out; what follows from a decision on something larger names that decision."""
    decision = json.loads(detail).get("decision") if detail and reason == Reason.EXCLUDED else None
    by = "rule" if decision is None else "decision"
    return {"what": what, "target": target, "readout": readout, "by": by, "reason": reason, "detail": detail, "decision": decision}
