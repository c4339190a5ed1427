"""4  Outcomes + what was promised -> Effects: every registered estimate, and what stands beside it."""

import polars as pl

from exvivo.engine import Work
from exvivo.estimate.families import adjust_families, pass_serum_gate, walk_graph
from exvivo.estimate.joint import Family, judge_family, list_families
from exvivo.estimate.tasks import Errors, Task, estimate_task, list_tasks, tabulate
from exvivo.study.decisions import Decisions
from exvivo.study.protocol import AnalysisPlan
from exvivo.study.run import Effects, SharedError
from exvivo.study.tables import EFFECTS, GATING_VARIANCE, SUPPLEMENTARY, Table

__all__ = ["estimate_effects"]


def estimate_effects(  # noqa: PLR0913  the spine's objects, each needed
    outcomes: Table,
    shared_error: SharedError,
    findings: Table,
    plan: AnalysisPlan,
    decisions: Decisions,
    work: Work,
    *,
    gating_variance: Table | None = None,
    blinded: bool = False,
) -> Effects:
    """Estimate everything that was registered, in registry order.

    Parameters
    ----------
    outcomes : OUTCOMES, ln values with bounds
    shared_error : errors that concentrations of one curve share
    findings : FINDINGS; an unanswered error blocks the outcomes that it names
    plan : what was registered
    decisions : answers to findings
    work : runs one task per registered estimate
    gating_variance : GATING_VARIANCE, how much of a marker's value hangs on its gates
    blinded : conditions are coded; then no number is given

    Returns
    -------
    Effects : one row per registered estimate; level, sensitivity and supplementary rows in the same order

    Notes
    -----
    Data that cannot answer give a status and a reason, never an exception. Rules: contracts, section 5.
    """
    errors = Errors(shared_error, GATING_VARIANCE.empty() if gating_variance is None else gating_variance)
    tasks = list_tasks(outcomes, errors, findings, plan, decisions)
    if blinded:
        return Effects(EFFECTS.build(tabulate([task.base().coded() for task in tasks])), SUPPLEMENTARY.empty())
    parcels = work.map(estimate_task, tasks, key=Task.key, label="estimating", version=9)
    judged = work.map(judge_family, list_families(tasks), key=Family.key, label="judging together")
    supplementary = pl.concat([tabulate([]), *(parcel.frames["supplementary"] for parcel in (*parcels, *judged))])
    effects = adjust_families(pl.concat([tabulate([]), *(parcel.frames["effects"] for parcel in parcels)]), plan.outcomes)
    if plan.rules.graph is not None:
        effects = walk_graph(effects, plan.outcomes, plan.rules.graph)
    if plan.rules.serum_gate:
        effects = pass_serum_gate(effects, supplementary, plan.outcomes, plan.factors)
    return Effects(EFFECTS.build(effects), SUPPLEMENTARY.build(supplementary))
