"""Run -> results/gates: the gates of every tube as they were applied, as Gating-ML 2.0.

``exvivo gate TUBE.fcs --gates results/gates/TUBE.fcs.xml`` counts the populations again, and so does any
other program that reads Gating-ML. A tube has a file of its own because its time gate is its own. Where
a study brought its gates, they are in its own file already.
"""

from collections.abc import Mapping
from pathlib import Path

from exvivo.engine import write_atomically
from exvivo.formats import gatingml
from exvivo.study.geometry import tree_of
from exvivo.study.run import Run

FOLDER = "gates"
_FROM_FILE = "file"


def write_gates(run: Run, folder: Path) -> None:
    """Write ``gates/`` of a results folder, one file for each tube that was gated, under the tube's path."""
    for name, data in compose_gates(run).items():
        write_atomically(folder / FOLDER / name, data)


def compose_gates(run: Run) -> Mapping[str, bytes]:
    """Gating-ML files by path inside the folder."""
    by_donor: dict[str, list[Mapping[str, object]]] = {}
    for row in run.gating.gates.rows():
        by_donor.setdefault(str(row["donor"]), []).append(row)
    composed = {}
    counted = set(run.gating.populations.frame["file"].to_list())
    for tube in run.gating.tubes.rows():
        gates = by_donor.get(str(tube["donor"]), [])
        if tube["file"] in counted and gates and all(row["method"] != _FROM_FILE for row in gates):
            composed[f"{tube['file']}.xml"] = gatingml.compose(tree_of(gates, str(tube["file"])))
    return composed
