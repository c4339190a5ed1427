"""Everything that was read and computed -> Findings: what looks wrong, with evidence and a suggestion.

Nothing is corrected and nothing here looks at the direction of an effect. A finding with severity
``error`` blocks the outcomes that it touches until a decision answers it.
"""

from exvivo.inspect.donors import answers_to_nothing, inspect_donors
from exvivo.inspect.plates import inspect_plates
from exvivo.inspect.tabulate import tabulate_findings
from exvivo.inspect.touch import touched_outcomes
from exvivo.inspect.tubes import inspect_tubes
from exvivo.study.decisions import Decisions
from exvivo.study.protocol import Protocol
from exvivo.study.run import Calibration, Gating, Inputs
from exvivo.study.tables import Table

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
        *inspect_plates(calibration, outcomes, protocol.assays.readouts),
        *inspect_tubes(inputs, gating, protocol.panels, protocol.analysis),
        *inspect_donors(inputs, outcomes, protocol.design, decisions),
    ]
    found += answers_to_nothing(found, decisions)
    return tabulate_findings(found, lambda finding: touched_outcomes(finding, outcomes, protocol.analysis), decisions.answers())
