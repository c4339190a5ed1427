"""Stage 2b: events and panels become gates, populations and marker expressions.

One task per donor opens all its tubes, finds the gates on them together, blind to
conditions, and measures every marker against the control of the same specimen.
"""

import polars as pl

from exvivo.engine import Work
from exvivo.gate.donor import gate_donor
from exvivo.gate.prepare import DonorTask, plan_tasks
from exvivo.study.decisions import Decisions
from exvivo.study.protocol import Panels
from exvivo.study.run import Gating, Inputs
from exvivo.study.tables import EXPRESSIONS, GATES, GATING_VARIANCE, POPULATIONS, SKETCHES, TUBES, Table, TableKind

__all__ = ["gate_specimens"]


def gate_specimens(inputs: Inputs, panels: Panels, decisions: Decisions, work: Work) -> Gating:
    """Gates, populations, tubes and marker expressions of every donor.

    Parameters
    ----------
    inputs : tube sheet, specimens and described FCS files
    panels : gates, population and rules, and the flow readouts
    decisions : excluded files and specimens keep their rows, with that reason

    Returns
    -------
    Gating : tables sorted by their keys; empty when the protocol has no panel

    Raises
    ------
    DesignError : the protocol names a gate file that is absent, or a population that no gate makes
    """
    tasks = () if panels.rules is None else plan_tasks(inputs, panels, panels.rules, decisions)
    parcels = work.map(gate_donor, tasks, key=DonorTask.key, label="gating", version=4)

    def collected(kind: TableKind) -> Table:
        frames = [parcel.frames[kind.name] for parcel in parcels if parcel.frames[kind.name].height]
        return kind.build(pl.concat(frames, how="diagonal").sort(kind.key)) if frames else kind.empty()

    return Gating(
        gates=collected(GATES),
        populations=collected(POPULATIONS),
        tubes=collected(TUBES),
        expressions=collected(EXPRESSIONS),
        gating_variance=collected(GATING_VARIANCE),
        sketches=collected(SKETCHES),
    )
