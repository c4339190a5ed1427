"""One donor from files to numbers: open the tubes, find the gates, count, measure, draw.

This is the unit of work and of remembering: its memory is one donor's events, its result a
few kilobytes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from exvivo.engine import Parcel
from exvivo.errors import DesignError, fault
from exvivo.gate.autogate import MOVED, FittedGate, GateFailureError, Move, fit_gates
from exvivo.gate.compensation import matrices_of
from exvivo.gate.measure import Pair, express_marker, fail, pair_tubes
from exvivo.gate.populations import Evaluation, channels_of, count_populations
from exvivo.gate.prepare import DonorTask, OpenTube, Trouble, Tube, open_tube
from exvivo.gate.sketch import sketch_gates
from exvivo.gate.stability import gating_variance
from exvivo.gate.trees import FileTrees, read_trees
from exvivo.study.design import Gate, GatingTree
from exvivo.study.fixedgates import needed_channels
from exvivo.study.geometry import describe_gate
from exvivo.study.statuses import ExpressionStatus, Reason
from exvivo.study.tables import EXPRESSIONS, GATES, GATING_VARIANCE, POPULATIONS, SKETCHES, TUBES

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class _Gated:
    """Gates of one donor as applied, and what they were fitted on (empty for a gate file)."""

    gates: tuple[Gate, ...]
    fitted: tuple[FittedGate, ...]
    trees: FileTrees | None = None

    @property
    def common(self) -> tuple[Gate, ...]:
        """Gates that are the same in every tube."""
        return tuple(gate for gate in self.gates if self.trees is None or not self.trees.differing(gate))

    def of(self, file: str) -> tuple[Gate, ...]:
        """Gates of one tube."""
        return self.gates if self.trees is None else self.trees.by_file[file].gates


def gate_donor(task: DonorTask) -> Parcel:
    """Frames gates, populations, tubes, expressions, gating_variance and sketches of one donor."""
    trees = read_trees(task)
    opened, troubles = _open_all(task, trees)
    gated = _gate_all(task, trees, opened, troubles)
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
    counted = [count_populations(file, tube.evaluation, gated.of(file), "FCS") for file, tube in opened.items()]
    frames = {
        "gates": GATES.from_rows(_gate_rows(task, gated)).frame,
        "populations": POPULATIONS.build(pl.concat(counted, how="diagonal")).frame if counted else POPULATIONS.empty().frame,
        "tubes": TUBES.from_rows([_tube_row(task, tube, opened, troubles) for tube in task.tubes]).frame,
        "expressions": EXPRESSIONS.from_rows(rows).frame,
        "gating_variance": GATING_VARIANCE.from_rows(gating_variance(task.donor, gated.fitted, pairs, task.rules.population)).frame,
        "sketches": SKETCHES.from_rows(sketch_gates(task.donor, gated.common, tubes) if tubes else []).frame,
    }
    return Parcel(frames, {})


def _moves(task: DonorTask) -> dict[str, Move]:
    return {gate: Move(decision, geometry) for gate, decision, geometry in task.moves}


def _open_all(task: DonorTask, trees: FileTrees | None) -> tuple[dict[str, OpenTube], dict[str, Trouble]]:
    matrices = matrices_of(task)
    opened: dict[str, OpenTube] = {}
    troubles: dict[str, Trouble] = {}
    for tube in task.tubes:
        trouble = trees.troubles.get(tube.file) if trees and tube.trouble is None else None
        needed = _needed_channels(task, trees.by_file.get(tube.file) if trees else None)
        found = trouble or open_tube(tube, task.rules, needed, matrices.get(tube.file))
        if isinstance(found, Trouble):
            troubles[tube.file] = found
        else:
            opened[tube.file] = found
    return opened, troubles


def _needed_channels(task: DonorTask, tree: GatingTree | None) -> list[str]:
    if tree is None:
        return sorted({channel for template in task.rules.gates for channel in needed_channels(template)})
    return sorted({name for gate in tree.gates for name in channels_of(gate, tree.matrices)})


def _gate_all(task: DonorTask, trees: FileTrees | None, opened: dict[str, OpenTube], troubles: dict[str, Trouble]) -> _Gated:
    """Populations of every open tube; when a gate cannot be found, all tubes are closed with that reason."""
    if trees is not None:
        if trees.common is not None:
            _check_population(task, [gate.name for gate in trees.common.gates])
        for file, tube in opened.items():
            opened[file] = _with_tree(tube, trees.by_file[file])
        return _Gated(trees.gates, (), trees)
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
    return replace(tube, evaluation=evaluation)


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
        elif gated.trees is not None and gated.trees.differing(gate):
            detail |= {"differs": "by tube; as in the first"}
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
        lacking = opened[file].lacking
        return row | fail(Trouble(ExpressionStatus.REFUSED, Reason.NO_COMPENSATION, (("why", lacking),) if lacking else ()))
    detail = json.dumps({"compensation": "identity"}) if opened[file].identity else None
    return row | {"status": ExpressionStatus.MEASURED.value, "reason": None, "detail": detail}
