"""One task per registered estimate: what it depends on, and the rows that it gives.

A task holds the rows of the outcomes table that it uses and the blocks of the plan that speak about it,
nothing else, so that its result is the same on any executor and can be remembered under their digest.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import polars as pl

from exvivo.engine import Parcel, digest_frame
from exvivo.estimate.carried import Curves, carry_calibration, error_of, share_of_curves
from exvivo.estimate.contrasts import Rules, describe_pairs, estimate_pairs, list_sensitivities
from exvivo.estimate.diagnostics import leave_out, list_diagnostics, list_ratios
from exvivo.estimate.doses import Series, estimate_series, is_series
from exvivo.estimate.effect import P_ONLY, RATIO, RATIO_OF_RATIOS, Effect, name_serum_effect
from exvivo.estimate.imputed import impute_calibration
from exvivo.estimate.pairs import (
    Cultures,
    Pairs,
    Reading,
    full_condition,
    held_apart,
    mean_over_sera,
    one_per_donor,
    pair_up,
    sera_differ,
)
from exvivo.estimate.rcalls import write_call
from exvivo.estimate.serum import (
    carries_over,
    estimate_between_sera,
    estimate_crossed,
    ignore_blanks,
    interact,
    list_crossed_sensitivities,
)
from exvivo.estimate.shares import KnownErrors, share_variance
from exvivo.estimate.statistics import STATISTICS, as_statistic
from exvivo.estimate.subgroups import estimate_modifier, lay_out
from exvivo.numerics.inference import Array
from exvivo.numerics.paired import design_levels
from exvivo.study.decisions import Decisions
from exvivo.study.evidence import CALLS, DIAGNOSTICS, RATIOS
from exvivo.study.model import Analysis, ElisaReadout, Experiment, Factor, FlowReadout, Modifier, ModifierKind, Outcome, TableReadout
from exvivo.study.protocol import AnalysisPlan
from exvivo.study.run import SharedError
from exvivo.study.statuses import EffectRole, Method, Reason, Severity
from exvivo.study.tables import EFFECTS, SUPPLEMENTARY, Table

CALLS_SCHEMA = {column.name: column.dtype for column in CALLS.columns}


@dataclass(frozen=True, slots=True)
class Task:
    """One registered estimate.

    ``frame``: outcomes of its experiment, set and readout; ``loadings``: shared error of its analyte; ``gating``: gate uncertainty of
    its marker.
    """

    outcome: Outcome
    readout: str
    modifier: Modifier | None
    modifier_id: str | None
    analysis: Analysis
    experiment: Experiment
    factors: Mapping[str, Factor]
    measured_by: ElisaReadout | FlowReadout | TableReadout
    frame: pl.DataFrame
    loadings: pl.DataFrame
    gating: pl.DataFrame
    blocked: tuple[str, str] | None

    @property
    def name(self) -> str:
        """What identifies it within the study."""
        return "/".join(part for part in (self.outcome.id, self.readout, self.modifier_id) if part)

    @property
    def rules(self) -> Rules:
        """Rules and the key of its random numbers."""
        return Rules(self.analysis, self.name)

    @property
    def soluble(self) -> bool:
        """Whether it is measured in wells of a plate."""
        return isinstance(self.measured_by, ElisaReadout)

    def base(self) -> Effect:
        """Its row before anything is estimated."""
        contrast = self.outcome.contrast
        base = Effect(self.outcome.id, self.readout, _name_contrast(contrast.level, contrast.versus, contrast.within), self.modifier_id)
        if self.modifier is None:
            return base
        return replace(base, scale=P_ONLY if self.modifier.kind is ModifierKind.CATEGORICAL else RATIO_OF_RATIOS)

    def key(self) -> list[object]:
        """Everything its result depends on."""
        return [
            self.name,
            self.outcome.model_dump(mode="json"),
            self.modifier.model_dump(mode="json") if self.modifier else None,
            self.analysis.model_dump(mode="json"),
            self.experiment.model_dump(mode="json"),
            {name: factor.model_dump(mode="json", include={"levels", "reference", "doses"}) for name, factor in self.factors.items()},
            self.measured_by.kind,
            digest_frame(self.frame),
            digest_frame(self.loadings),
            digest_frame(self.gating),
            list(self.blocked or ()),
        ]


def estimate_task(task: Task) -> Parcel:
    """The registered row of a task and the rows beside it, with the pairs, diagnostics and R calls behind them."""
    registered, *beside = _estimate(task)
    without = leave_out(registered)
    return Parcel(
        {
            "effects": tabulate([registered]),
            "supplementary": tabulate(beside),
            "ratios": RATIOS.lay_out(list_ratios(registered, without)),
            "diagnostics": DIAGNOSTICS.lay_out(list_diagnostics(registered, without, task.analysis)),
            "calls": list_calls([registered], EFFECTS.name, task).vstack(list_calls(beside, SUPPLEMENTARY.name, task)),
        }
    )


def list_calls(effects: Sequence[Effect], table: str, task: Task) -> pl.DataFrame:
    """R code of rows, empty where there is none, so that their places can be counted over all tasks."""
    calls = [write_call(effect, task.analysis.confidence) for effect in effects]
    columns = {
        "table": [table] * len(calls),
        "packages": [",".join(call.packages) if call else None for call in calls],
        "tolerance": [call.tolerance if call else None for call in calls],
        "code": [call.code if call else None for call in calls],
    }
    return pl.DataFrame(columns, schema={name: CALLS_SCHEMA[name] for name in columns})


def tabulate(rows: Sequence[Effect]) -> pl.DataFrame:
    """Rows as a frame with the columns of ``EFFECTS``."""
    return EFFECTS.lay_out([row.row() for row in rows])


@dataclass(frozen=True, slots=True)
class Errors:
    """What is known of errors beside single values: shared on curves, and of gates per donor and marker (GATING_VARIANCE)."""

    curves: SharedError
    gates: Table


def list_tasks(outcomes: Table, errors: Errors, findings: Table, plan: AnalysisPlan, decisions: Decisions) -> list[Task]:
    """One task per registered estimate, in registry order."""
    blocks = _list_blocks(findings, decisions)
    frame = outcomes.frame
    tasks = []
    for outcome in plan.outcomes:
        experiment = plan.sets[outcome.set].experiment
        in_set = pl.col("sets").str.split(",").list.contains(outcome.set)
        of_set = frame.filter((pl.col("experiment") == experiment) & in_set)
        for readout, modifier in product(outcome.readouts, outcome.modifiers or (None,)):
            rows = of_set.filter(pl.col("readout") == readout).sort("donor", "serum_donor", *_factor_columns(of_set, plan.factors))
            task = Task(
                outcome=outcome,
                readout=readout,
                modifier=plan.modifiers[modifier] if modifier else None,
                modifier_id=modifier,
                analysis=plan.rules,
                experiment=plan.experiments[experiment],
                factors=plan.factors,
                measured_by=plan.readouts[readout],
                frame=rows,
                loadings=errors.curves.table.frame.filter(pl.col("analyte") == readout).sort("plate", "specimen"),
                gating=errors.gates.frame.filter(pl.col("marker") == readout).sort("donor"),
                blocked=blocks.get(outcome.id) or blocks.get(f"{outcome.id}/{readout}"),
            )
            tasks.append(task)
    return tasks


def _factor_columns(frame: pl.DataFrame, factors: Mapping[str, Factor]) -> list[str]:
    return [name for name in factors if name in frame.columns]


def _list_blocks(findings: Table, decisions: Decisions) -> dict[str, tuple[str, str]]:
    """Unanswered errors by outcome, or outcome and readout, that they block: code and place of the first."""
    answers = decisions.answers()
    blocks: dict[str, tuple[str, str]] = {}
    for row in findings.frame.sort("code", "place").iter_rows(named=True):
        answered = row["answer"] or f"{row['code']}@{row['place']}" in answers
        if row["severity"] == Severity.ERROR.value and not answered:
            for name in (row["outcomes"] or "").split(","):
                blocks.setdefault(name.strip(), (row["code"], row["place"]))
    blocks.pop("", None)
    return blocks


def _estimate(task: Task) -> Iterator[Effect]:
    """Registered row first."""
    base = task.base()
    if task.blocked:
        code, place = task.blocked
        yield base.refused(Reason.BLOCKED_BY_FINDING, {"code": code, "place": place})
        return
    arms = {level: full_condition(task.outcome.contrast, task.factors, level) for level in _levels_of(task)}
    cultures = Cultures.of(task.frame, task.factors)
    absent = _absent(cultures, arms)
    if absent is not None:
        yield base.refused(absent)
        return
    drug, comparator = (cultures.readings_at(condition) for condition in arms.values())
    if not task.modifier and sera_differ(drug, comparator):
        over = _carry_over(task, Pairs((*drug, *comparator), (*drug, *comparator)), cultures, list(arms))
        yield from _estimate_between_sera(task, drug, comparator, over)
        return
    pairs = pair_up(drug, comparator)
    if task.modifier and any(pairs.serum_donors):
        pairs = one_per_donor(pairs)
    described = describe_pairs(base, pairs, wells=task.soluble)
    if task.modifier:
        yield from _carry_modified(
            estimate_modifier(described, pairs, _values(task), task.modifier, task.rules), pairs, task, task.modifier
        )
        return
    if not _in_serum(pairs, cultures, arms):
        yield from _with_calibration(estimate_pairs(described, pairs, task.rules), pairs, task)
        yield from list_sensitivities(described, pairs, task.rules)
        yield from _series(task, cultures)
        over = None
    else:
        alike = any(reading.serum_donor for reading in comparator) and any(reading.serum_donor for reading in drug)
        over = _carry_over(task, pairs, cultures, [task.outcome.contrast.versus] if alike else list(arms))
        yield from _estimate_in_serum(task, described, pairs, over)
    if isinstance(task.measured_by, FlowReadout):
        yield from _other_statistics(task, arms)
    if held_apart(task.outcome.contrast, task.factors):
        yield from _beside_serum(task, cultures, pairs, over)


def _series(task: Task, cultures: Cultures) -> Iterator[Effect]:
    """All levels of the drug against the comparator, where there are more than two."""
    contrast = task.outcome.contrast
    factor = task.factors[contrast.factor]
    held = full_condition(contrast, task.factors, contrast.versus)
    readings = {level: cultures.readings_at(held | {contrast.factor: level}) for level in factor.levels}
    present = {level: found for level, found in readings.items() if found}
    if is_series(present, contrast.versus):
        yield from estimate_series(task.base(), Series(present, contrast.versus, factor.doses), task.rules)


def _estimate_between_sera(
    task: Task, drug: Sequence[Reading], comparator: Sequence[Reading], over: Mapping[str, float] | None
) -> Iterator[Effect]:
    """Registered estimate of two kinds of serum, and what stands beside it on donors' means over sera."""
    pairs = pair_up(mean_over_sera(drug), mean_over_sera(comparator))
    described = describe_pairs(task.base(), pairs, wells=task.soluble)
    described = replace(described, serum_donors=len({reading.serum_donor for reading in (*drug, *comparator)}))
    if over is not None:
        yield described.refused(Reason.SERUM_CARRY_OVER, over)
        return
    yield _carry(estimate_between_sera(described, drug, comparator, task.rules), pairs, task)
    yield from list_sensitivities(described.noting({"ignores": "serum_donor"}), pairs, task.rules)


def _other_statistics(task: Task, arms: Mapping[str, Mapping[str, str]]) -> Iterator[Effect]:
    """The same contrast on other statistics of a marker."""
    for name in STATISTICS:
        cultures = Cultures.of(as_statistic(task.frame, name), task.factors)
        pairs = pair_up(*(cultures.readings_at(condition) for condition in arms.values()))
        base = describe_pairs(replace(task.base(), role=EffectRole.SUPPLEMENTARY), pairs, wells=task.soluble)
        estimate = estimate_crossed if _in_serum(pairs, cultures, arms) else estimate_pairs
        yield estimate(base, pairs, task.rules).noting({"statistic": name})


def _carry_over(task: Task, pairs: Pairs, cultures: Cultures, deciding: Sequence[str]) -> Mapping[str, float] | None:
    """Why carry-over leaves nothing to estimate; `deciding` are the levels whose totals count."""
    if not (task.soluble and task.experiment.serum_present_at_collection):
        return None
    rows = {level: cultures.rows_at(full_condition(task.outcome.contrast, task.factors, level)) for level in _levels_of(task)}
    both, decide = ([row for level in levels for row in rows[level]] for levels in (rows, deciding))
    return carries_over(both, decide, pairs, task.analysis.blank_share)


def _estimate_in_serum(task: Task, described: Effect, pairs: Pairs, over: Mapping[str, float] | None) -> Iterator[Effect]:
    """Registered estimate under serum; where serum carries the readout over, the uncorrected one beside it."""
    if over is None:
        yield from _with_calibration(estimate_crossed(described, pairs, task.rules), pairs, task)
        yield from list_crossed_sensitivities(described, pairs, task.rules)
        return
    yield described.refused(Reason.SERUM_CARRY_OVER, over)
    raw = pairs_of(task, ignore_blanks(task.frame))
    uncorrected = describe_pairs(replace(task.base(), role=EffectRole.SUPPLEMENTARY), raw, wells=task.soluble)
    estimated = estimate_crossed(uncorrected, raw, task.rules)
    yield estimated.noting({"uncorrected": True})


def _beside_serum(task: Task, cultures: Cultures, inside: Pairs, over: Mapping[str, float] | None) -> Iterator[Effect]:
    """Effect of serum alone, effect of the drug without serum, and their interaction; none with serum where it carries over."""
    contrast = task.outcome.contrast
    held = full_condition(contrast, task.factors, contrast.versus)
    apart = held_apart(contrast, task.factors)
    references = {name: task.factors[name].reference for name in apart}
    bare = {level: full_condition(contrast, task.factors, level) | references for level in _levels_of(task)}
    serum = replace(task.base(), contrast=name_serum_effect(apart), role=EffectRole.SUPPLEMENTARY)
    alone = replace(serum, contrast=_name_contrast(contrast.level, contrast.versus, {**contrast.within, **references}))
    both = replace(serum, contrast="interaction", scale=RATIO_OF_RATIOS)
    vehicle_alone, drug_alone = (cultures.readings_at(bare[level]) for level in (contrast.versus, contrast.level))
    missing = [not cultures.rows_at(bare[level]) for level in (contrast.versus, contrast.level)]
    exposed = pair_up(cultures.readings_at(held), vehicle_alone)
    without = pair_up(drug_alone, vehicle_alone)
    if missing[0]:
        yield serum.refused(Reason.CONDITION_MISSING)
    elif over is not None:
        yield serum.refused(Reason.SERUM_CARRY_OVER, over)
    else:
        yield estimate_crossed(describe_pairs(serum, exposed, wells=task.soluble), exposed, task.rules)
    if any(missing):
        yield alone.refused(Reason.CONDITION_MISSING)
        yield both.refused(Reason.CONDITION_MISSING)
        return
    yield estimate_pairs(describe_pairs(replace(alone, scale=RATIO), without, wells=task.soluble), without, task.rules)
    yield _interaction(both, inside, without, task) if over is None else both.refused(Reason.SERUM_CARRY_OVER, over)


def _interaction(base: Effect, inside: Pairs, without: Pairs, task: Task) -> Effect:
    """Ratio of the drug's effect under serum and without; pairs of donors without a measured pair there are left out and counted."""
    pairs = interact(inside, without)
    left_out = inside.count - pairs.count
    described = describe_pairs(base, pairs, wells=task.soluble)
    return estimate_crossed(described, pairs, task.rules).noting({"pairs_left_out": left_out or None})


def _with_calibration(effect: Effect, pairs: Pairs, task: Task) -> Iterator[Effect]:
    """The registered row with the error of curves in it; where that widens it, also the row without; and over curves drawn anew."""
    carried = _carry(effect, pairs, task)
    yield carried
    if carried.ci_high != effect.ci_high:
        yield replace(effect, role=EffectRole.SENSITIVITY).noting({"ignores": "calibration"})
    imputed = impute_calibration(effect, pairs, task.loadings, task.rules)
    if imputed is not None:
        yield imputed


def _carry(effect: Effect, pairs: Pairs, task: Task, weights: Array | None = None, design: Array | None = None) -> Effect:
    """A row with the error of standard curves in it, and with what its variance is made of; as it is where it has no interval."""
    se = error_of(effect, task.analysis.confidence)
    if se is None:
        return effect
    shared = share_of_curves(Curves.of(task.loadings).loadings(pairs), weights, design)
    gates = dict(task.gating.select("donor", "variance").iter_rows())
    shares = share_variance(se**2 + shared.unseen, pairs, KnownErrors(shared.variance, gates), weights)
    return carry_calibration(effect.noting(shares), shared, task.analysis.confidence)


def _carry_modified(rows: Sequence[Effect], pairs: Pairs, task: Task, modifier: Modifier) -> Iterator[Effect]:
    """Rows of a modifier: its effect carries what of the curves goes with its values, its levels what their donors share."""
    registered, *beside = rows
    used, values, design = lay_out(pairs, _values(task), modifier, task.rules)
    if registered.method is Method.LINEAR:
        carried = _carry(registered, used, task, np.linalg.pinv(design)[1], design)
        yield carried
        if carried.ci_high != registered.ci_high:
            yield replace(registered, role=EffectRole.SENSITIVITY).noting({"ignores": "calibration"})
    else:
        yield registered
    levels = design_levels(values, sorted(set(values))) if modifier.kind is not ModifierKind.CONTINUOUS else design
    for row in beside:
        inside = np.array([value == row.level for value in values], dtype=np.float64)
        of_level = row.role is EffectRole.LEVEL and row.method is Method.LINEAR and inside.any()
        yield _carry(row, used, task, inside / inside.sum(), levels) if of_level else row


def pairs_of(task: Task, frame: pl.DataFrame) -> Pairs:
    """Pairs of the two arms of a task's contrast."""
    cultures = Cultures.of(frame, task.factors)
    return pair_up(*(cultures.readings_at(full_condition(task.outcome.contrast, task.factors, level)) for level in _levels_of(task)))


def _levels_of(task: Task) -> tuple[str, str]:
    return task.outcome.contrast.level, task.outcome.contrast.versus


def _absent(cultures: Cultures, arms: Mapping[str, Mapping[str, str]]) -> Reason | None:
    """Why there is nothing to compare: no row of the readout, or none of a condition."""
    if not cultures.conditions:
        return Reason.READOUT_MISSING
    if any(not cultures.rows_at(condition) for condition in arms.values()):
        return Reason.CONDITION_MISSING
    return None


def _in_serum(pairs: Pairs, cultures: Cultures, arms: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether the compared cultures were exposed to serum of other donors."""
    rows = (row for condition in arms.values() for row in cultures.rows_at(condition))
    return any(pairs.serum_donors) or any(row["serum_donor"] is not None for row in rows)


def _values(task: Task) -> dict[str, str | None]:
    """Printed value of the modifier's variable by donor."""
    if task.modifier is None or task.modifier.variable not in task.frame.columns:
        return {}
    return dict(task.frame.filter(pl.col("donor").is_not_null()).select("donor", task.modifier.variable).sort("donor").iter_rows())


def _name_contrast(level: str, versus: str, within: Mapping[str, str]) -> str:
    held = ",".join(within.values())
    return f"{level}/{versus}" + (f"|{held}" if held else "")
