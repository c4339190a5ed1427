"""Gates of FCS files outside a study, as a list of boundaries."""

from collections.abc import Sequence

from exvivo.gate.populations import paths_of
from exvivo.study.cytometry import Boundary
from exvivo.study.design import SampleGates
from exvivo.study.geometry import describe_gate


def list_boundaries(gates: Sequence[SampleGates], method: str) -> tuple[Boundary, ...]:
    """Every boundary once, in the order of the trees; ``method`` says how they came to be."""
    found: dict[Boundary, None] = {}
    for tree in {id(own.tree): own.tree for own in gates}.values():
        paths = paths_of(tree.gates)
        found |= dict.fromkeys(Boundary(paths[gate.name], method, describe_gate(gate)) for gate in tree.gates)
    return tuple(found)
