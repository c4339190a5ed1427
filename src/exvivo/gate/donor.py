"""One donor from files to numbers: open the tubes, find the gates, count, measure, draw.

This is the unit of work and of remembering: its memory is one donor's events, its result a
few kilobytes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from exvivo.engine import Parcel
from exvivo.errors import DesignError, fault
from exvivo.formats import gatingml
from exvivo.gate.autogate import MOVED, FittedGate, GateFailureError, Move, fit_gates
from exvivo.gate.measure import Pair, express_marker, fail, pair_tubes
from exvivo.gate.populations import Evaluation, channels_of, count_populations
from exvivo.gate.prepare import DonorTask, OpenTube, Trouble, Tube, open_tube
from exvivo.gate.sketch import sketch_gates
from exvivo.gate.stability import gating_variance
from exvivo.study.design import Gate, GatingTree
from exvivo.study.geometry import describe_gate, gate_of
from exvivo.study.statuses import ExpressionStatus, Reason
from exvivo.study.tables import EXPRESSIONS, GATES, GATING_VARIANCE, POPULATIONS, SKETCHES, TUBES

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class _Gated:
    """Gates of one donor as applied, and what they were fitted on (empty for a gate file)."""

    gates: tuple[Gate, ...]
    fitted: tuple[FittedGate, ...]


def gate_donor(task: DonorTask) -> Parcel:
    """Frames gates, populations, tubes, expressions, gating_variance and sketches of one donor."""
    tree = _with_moves(gatingml.parse(Path(task.gate_file.path)), _moves(task)) if task.gate_file else None
    opened, troubles = _open_all(task, tree)
    gated = _gate_all(task, tree, opened, troubles)
    rows: list[Row] = []
    pairs: list[Pair] = []
    for head, found in pair_tubes(task, opened, troubles):
        if isinstance(found, Trouble):
            rows.append(head | fail(found))
            continue
        rows.append(head | express_marker(found, task.rules))
        if rows[-1]["status"] == ExpressionStatus.MEASURED:
            pairs.append(found)
    tubes = [tube for tube in opened.values() if tube.tube.pooled]
    counted = [count_populations(file, tube.evaluation, gated.gates, "FCS") for file, tube in opened.items()]
    frames = {
        "gates": GATES.from_rows(_gate_rows(task, gated)).frame,
        "populations": POPULATIONS.build(pl.concat(counted, how="diagonal")).frame if counted else POPULATIONS.empty().frame,
        "tubes": TUBES.from_rows([_tube_row(task, tube, opened, troubles) for tube in task.tubes]).frame,
        "expressions": EXPRESSIONS.from_rows(rows).frame,
        "gating_variance": GATING_VARIANCE.from_rows(gating_variance(task.donor, gated.fitted, pairs, task.rules.population)).frame,
        "sketches": SKETCHES.from_rows(sketch_gates(task.donor, gated.gates, tubes) if tubes else []).frame,
    }
    return Parcel(frames, {})


def _moves(task: DonorTask) -> dict[str, Move]:
    return {gate: Move(decision, geometry) for gate, decision, geometry in task.moves}


def _with_moves(tree: GatingTree, moves: Mapping[str, Move]) -> GatingTree:
    """The tree of a gate file with the gates that a decision moved."""
    gates = [gate_of(gate.name, gate.parent, moves[gate.name].geometry) if gate.name in moves else gate for gate in tree.gates]
    return replace(tree, gates=tuple(gates))


def _open_all(task: DonorTask, tree: GatingTree | None) -> tuple[dict[str, OpenTube], dict[str, Trouble]]:
    needed = _needed_channels(task, tree)
    opened: dict[str, OpenTube] = {}
    troubles: dict[str, Trouble] = {}
    for tube in task.tubes:
        found = open_tube(tube, task.rules, needed)
        if isinstance(found, Trouble):
            troubles[tube.file] = found
        else:
            opened[tube.file] = found
    return opened, troubles


def _needed_channels(task: DonorTask, tree: GatingTree | None) -> list[str]:
    if tree is None:
        return sorted({channel for template in task.rules.gates for channel in template.channels})
    return sorted({name for gate in tree.gates for name in channels_of(gate, tree.matrices)})


def _gate_all(task: DonorTask, tree: GatingTree | None, opened: dict[str, OpenTube], troubles: dict[str, Trouble]) -> _Gated:
    """Populations of every open tube; when a gate cannot be found, all tubes are closed with that reason."""
    if tree is not None:
        _check_population(task, [gate.name for gate in tree.gates])
        for file, tube in opened.items():
            opened[file] = _with_tree(tube, tree)
        return _Gated(tree.gates, ())
    _check_population(task, [template.name for template in task.rules.gates])
    if not any(tube.tube.pooled for tube in opened.values()):
        opened.clear()
        return _Gated((), ())
    try:
        fitted = fit_gates(task.rules.gates, tuple(opened.values()), "FCS", _moves(task))
    except GateFailureError as problem:
        trouble = Trouble(ExpressionStatus.REFUSED, Reason.GATE_FAILED, (("gate", problem.gate), ("why", problem.why)))
        troubles |= dict.fromkeys(opened, trouble)
        opened.clear()
        return _Gated((), ())
    return _Gated(tuple(gate.gate for gate in fitted), fitted)


def _check_population(task: DonorTask, names: Sequence[str]) -> None:
    if stray := [f"decision {decision} moves gate '{gate}'" for gate, decision, _ in task.moves if gate not in names]:
        found = f"{', '.join(stray)}, which is not among the gates"
        raise DesignError(fault(f"donor {task.donor}", found, ", ".join(names) or "gates", "Revert the decision"))
    if task.rules.population not in names:
        found = f"markers are to be measured in '{task.rules.population}', which is not among the gates"
        raise DesignError(fault("panel", found, ", ".join(names) or "gates", "Name one of the gates as panel.population"))


def _with_tree(tube: OpenTube, tree: GatingTree) -> OpenTube:
    own = tube.evaluation
    evaluation = Evaluation(own.events, own.positions, {**own.matrices, **tree.matrices})
    for gate in tree.gates:
        evaluation.add(gate)
    return OpenTube(tube.tube, evaluation, tube.ranges, tube.compensated, tube.identity)


def _gate_rows(task: DonorTask, gated: _Gated) -> list[Row]:
    rows: list[Row] = []
    details = {fitted.gate.name: fitted for fitted in gated.fitted}
    moved = _moves(task)
    for gate in gated.gates:
        fitted = details.get(gate.name)
        method = fitted.method if fitted else MOVED if gate.name in moved else "file"
        detail: dict[str, object] = dict(fitted.detail) if fitted else {"sha256": task.gate_file.sha256 if task.gate_file else ""}
        if not fitted and gate.name in moved:
            detail = {"decision": moved[gate.name].decision}
        row: Row = {"donor": task.donor, "gate": gate.name, "parent": gate.parent, "geometry": describe_gate(gate)}
        rows.append(row | {"method": method, "detail": json.dumps(detail, sort_keys=True)})
    return rows


def _tube_row(task: DonorTask, tube: Tube, opened: Mapping[str, OpenTube], troubles: Mapping[str, Trouble]) -> Row:
    file = tube.file
    row: Row = {"file": file, "specimen": tube.specimen, "tube": tube.kind, "marker": tube.marker, "batch": tube.batch}
    row["donor"] = task.donor or None
    if file not in opened:
        return row | fail(troubles.get(file) or Trouble(ExpressionStatus.MISSING, Reason.NO_FILE))
    evaluation = opened[file].evaluation
    count = int(evaluation.members[task.rules.population].sum())
    share = 100.0 * count / evaluation.n_events if evaluation.n_events else None
    row |= {"events": evaluation.n_events, "final_count": count, "retained_pct": share}
    if count < task.rules.min_events:
        least = (("least", task.rules.min_events), ("found", count))
        return row | fail(Trouble(ExpressionStatus.TOO_FEW_EVENTS, Reason.TOO_FEW_EVENTS, least))
    if not opened[file].compensated:
        return row | fail(Trouble(ExpressionStatus.REFUSED, Reason.NO_COMPENSATION))
    detail = json.dumps({"compensation": "identity"}) if opened[file].identity else None
    return row | {"status": ExpressionStatus.MEASURED.value, "reason": None, "detail": detail}
