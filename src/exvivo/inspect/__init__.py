"""Everything that was read and computed -> Findings: what looks wrong, with evidence and a suggestion.

Nothing is corrected and nothing here looks at the direction of an effect. A finding with severity
``error`` blocks the outcomes that it touches until a decision answers it.
"""

from exvivo.inspect.donors import inspect_donors
from exvivo.inspect.plates import inspect_plates
from exvivo.inspect.touch import touched_outcomes
from exvivo.inspect.tubes import inspect_tubes
from exvivo.study.decisions import Decisions
from exvivo.study.protocol import Protocol
from exvivo.study.run import Calibration, Gating, Inputs
from exvivo.study.tables import FINDINGS, Table

__all__ = ["inspect_study"]


def inspect_study(
    inputs: Inputs, calibration: Calibration, gating: Gating, outcomes: Table, protocol: Protocol, decisions: Decisions
) -> Table:
    """Findings of reading and of all detectors, each with the outcomes it touches and the decision that answers it.

    Returns
    -------
    Table : FINDINGS, errors first, then by code and place
    """
    found = [
        *inputs.found,
        *inspect_plates(calibration, outcomes),
        *inspect_tubes(inputs, gating, protocol.panels),
        *inspect_donors(inputs, outcomes, protocol.design, decisions),
    ]
    answers = decisions.answers()
    order = {"error": 0, "warning": 1, "note": 2}
    rows = []
    for finding in sorted(set(found), key=lambda f: (order[f.severity], f.code, f.place, f.evidence)):
        answer = answers.get(f"{finding.code}@{finding.place}")
        rows.append(
            {
                "code": finding.code.value,
                "severity": finding.severity.value,
                "place": finding.place,
                "evidence": finding.evidence,
                "suggestion": finding.suggestion,
                "outcomes": ",".join(touched_outcomes(finding, outcomes, protocol.analysis)) or None,
                "answer": f"decision {answer.seq}: {answer.reason}" if answer else None,
            }
        )
    unique = {(row["code"], row["place"]): row for row in reversed(rows)}
    return FINDINGS.from_rows(list(reversed(list(unique.values()))))
