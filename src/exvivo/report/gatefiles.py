"""Run -> results/gates: the gates of every tube as they were applied, as Gating-ML 2.0.

``exvivo gate TUBE.fcs --gates results/gates/TUBE.fcs.xml`` counts the populations again, and so does any
other program that reads Gating-ML. A tube has a file of its own because its time gate is its own. Where
a study brought its gates, they are in its own file already. The matrix of a matrix file is written with them; with single stains,
whose matrices the tables do not hold, nothing is written.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from exvivo.engine import write_atomically
from exvivo.formats import gatingml, spillover
from exvivo.study.design import BooleanGate, Gate, GatingTree, PolygonGate, SpilloverMatrix
from exvivo.study.geometry import tree_of
from exvivo.study.run import Run

FOLDER = "gates"
_FROM_FILE = "file"
_OWN = "matrix"


def write_gates(run: Run, folder: Path) -> None:
    """Write ``gates/`` of a results folder, one file for each tube that was gated, under the tube's path."""
    for name, data in compose_gates(run).items():
        write_atomically(folder / FOLDER / name, data)


def compose_gates(run: Run) -> Mapping[str, bytes]:
    """Gating-ML files by path inside the folder."""
    by_donor: dict[str, list[Mapping[str, object]]] = {}
    for row in run.gating.gates.rows():
        by_donor.setdefault(str(row["donor"]), []).append(row)
    composed: dict[str, bytes] = {}
    matrix = _matrix(run)
    if matrix is None:
        return composed
    counted = set(run.gating.populations.frame["file"].to_list())
    for tube in run.gating.tubes.rows():
        gates = by_donor.get(str(tube["donor"]), [])
        if tube["file"] in counted and gates and all(row["method"] != _FROM_FILE for row in gates):
            composed[f"{tube['file']}.xml"] = gatingml.compose(_compensated(tree_of(gates, str(tube["file"])), *matrix))
    return composed


def _matrix(run: Run) -> tuple[str, Mapping[str, SpilloverMatrix]] | None:
    """What gates call the compensation, and the matrices that a file needs for it; None where it is not at hand."""
    choice = run.protocol.file.panel.compensation if run.protocol.file.panel else "FCS"
    if choice in ("FCS", "none"):
        return {"FCS": "FCS", "none": "uncompensated"}[choice], {}
    path = run.inputs.folder / choice
    return (_OWN, {_OWN: spillover.parse(path)}) if choice != "single_stains" and path.is_file() else None


def _compensated(tree: GatingTree, name: str, matrices: Mapping[str, SpilloverMatrix]) -> GatingTree:
    if name == "FCS":
        return tree
    gates: list[Gate] = []
    for gate in tree.gates:
        if isinstance(gate, BooleanGate):
            gates.append(gate)
            continue
        sides = tuple(replace(side, compensation=name if side.compensation == "FCS" else side.compensation) for side in gate.dimensions)
        gates.append(replace(gate, dimensions=(sides[0], sides[1])) if isinstance(gate, PolygonGate) else replace(gate, dimensions=sides))
    return replace(tree, gates=tuple(gates), matrices=matrices)
