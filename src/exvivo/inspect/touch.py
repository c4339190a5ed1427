"""Which registered outcomes a finding touches: by its readouts, and by the experiments of its donors."""

from exvivo.study.findings import Finding
from exvivo.study.model import Outcome
from exvivo.study.protocol import AnalysisPlan
from exvivo.study.tables import Table


def touched_outcomes(finding: Finding, outcomes: Table, plan: AnalysisPlan) -> list[str]:
    """``OUTCOME/READOUT`` entries in registry order; a finding without readouts touches every readout.

    A finding without donors touches every experiment; donors that stand in no outcome row touch all, since
    nobody can tell where they belong.
    """
    frame = outcomes.frame
    experiments: set[str] | None = None
    if finding.donors:
        rows = frame.filter(frame["donor"].is_in(finding.donors) | frame["serum_donor"].is_in(finding.donors))
        experiments = set(rows["experiment"].to_list()) or None
    return [
        f"{outcome.id}/{readout}"
        for outcome in plan.outcomes
        if experiments is None or _experiment(outcome, plan) in experiments
        for readout in outcome.readouts
        if not finding.readouts or readout in finding.readouts
    ]


def _experiment(outcome: Outcome, plan: AnalysisPlan) -> str:
    return plan.sets[outcome.set].experiment
