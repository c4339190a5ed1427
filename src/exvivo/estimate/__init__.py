"""4  Outcomes + what was promised -> Effects: every registered estimate, and what stands beside it."""

from collections.abc import Sequence

import polars as pl

from exvivo.engine import Parcel, Work
from exvivo.estimate.families import adjust_families, pass_serum_gate, walk_graph
from exvivo.estimate.joint import Family, judge_family, list_families
from exvivo.estimate.tasks import Errors, Task, estimate_task, list_tasks, tabulate
from exvivo.study.decisions import Decisions
from exvivo.study.evidence import CALLS, DIAGNOSTICS, RATIOS
from exvivo.study.protocol import AnalysisPlan
from exvivo.study.run import Effects, SharedError
from exvivo.study.tables import EFFECTS, GATING_VARIANCE, SUPPLEMENTARY, Table, TableKind

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
    parcels = work.map(estimate_task, tasks, key=Task.key, label="estimating", version=13)
    parcels += work.map(judge_family, list_families(tasks), key=Family.key, label="judging together", version=2)
    supplementary = _stack(parcels, SUPPLEMENTARY)
    effects = adjust_families(_stack(parcels, EFFECTS), plan.outcomes)
    if plan.rules.graph is not None:
        effects = walk_graph(effects, plan.outcomes, plan.rules.graph)
    if plan.rules.serum_gate:
        effects = pass_serum_gate(effects, supplementary, plan.outcomes, plan.factors)
    return Effects(
        EFFECTS.build(effects),
        SUPPLEMENTARY.build(supplementary),
        RATIOS.build(_stack(parcels, RATIOS)),
        DIAGNOSTICS.build(_stack(parcels, DIAGNOSTICS)),
        CALLS.build(_number_calls(parcels)),
    )


def _stack(parcels: Sequence[Parcel], kind: TableKind) -> pl.DataFrame:
    """Rows of all tasks in their order."""
    return pl.concat([kind.empty().frame, *(parcel.frames[kind.name] for parcel in parcels if kind.name in parcel.frames)])


def _number_calls(parcels: Sequence[Parcel]) -> pl.DataFrame:
    """R calls with the row of the table that each belongs to; rows without one are left out."""
    if not parcels:
        return CALLS.empty().frame
    numbered = pl.concat([parcel.frames[CALLS.name] for parcel in parcels if CALLS.name in parcel.frames]).with_columns(
        row=pl.int_range(1, pl.len() + 1).over("table")
    )
    return numbered.filter(pl.col("code").is_not_null())
