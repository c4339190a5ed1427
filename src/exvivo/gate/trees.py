"""Gates of a study that come from a file: the same tree for every tube, or each tube's own sample of a workspace."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from exvivo.errors import InputError
from exvivo.formats import gatefiles
from exvivo.gate.prepare import DonorTask, Trouble
from exvivo.study.design import Gate, GatingTree
from exvivo.study.geometry import gate_of
from exvivo.study.statuses import ExpressionStatus, Reason


@dataclass(frozen=True, slots=True)
class FileTrees:
    """Tree of each tube by file, and why a tube has none. ``common`` is the tree that holds for every file, where there is one."""

    by_file: Mapping[str, GatingTree]
    troubles: Mapping[str, Trouble] = field(default_factory=lambda: MappingProxyType({}))
    common: GatingTree | None = None

    @property
    def gates(self) -> tuple[Gate, ...]:
        """Gates of all trees, parents before children; where they differ, as the first tube has them."""
        found: dict[str, Gate] = {}
        for tree in [self.common] if self.common else self.by_file.values():
            for gate in tree.gates:
                found.setdefault(gate.name, gate)
        return tuple(found.values())

    def differing(self, gate: Gate) -> bool:
        """Whether a gate is not the same in every tube."""
        trees = [] if self.common else self.by_file.values()
        return any(gate not in tree.gates for tree in trees)


def read_trees(task: DonorTask) -> FileTrees | None:
    """Trees of a donor's tubes; None when the protocol's own gates hold.

    A tube without a sample in a workspace, or whose sample's gates could not be understood, has a reason.

    Raises
    ------
    InputError, ProtocolError : the file cannot be understood as a whole
    """
    if task.gate_file is None:
        return None
    path = Path(task.gate_file.path)
    samples = gatefiles.parse(path)
    files = [tube.file for tube in task.tubes]
    if not gatefiles.holds_samples(samples):
        tree = _with_moves(gatefiles.choose(path.name, samples, [""])[0].tree, task)
        return FileTrees(dict.fromkeys(files, tree), common=tree)
    trees: dict[str, GatingTree] = {}
    troubles: dict[str, Trouble] = {}
    for file in files:
        try:
            own = gatefiles.choose(path.name, samples, [Path(file).name])[0]
        except InputError as problem:
            troubles[file] = _trouble(path.name, str(problem))
            continue
        if any(gate.name == task.rules.population for gate in own.tree.gates):
            trees[file] = _with_moves(own.tree, task)
        else:
            told = f"sample '{own.name}' has no gate '{task.rules.population}'"
            troubles[file] = _trouble(task.rules.population, "; ".join([told, *own.refused]))
    return FileTrees(trees, troubles)


def _with_moves(tree: GatingTree, task: DonorTask) -> GatingTree:
    """The tree with the gates that a decision moved."""
    moved = {gate: geometry for gate, _, geometry in task.moves}
    gates = [gate_of(gate.name, gate.parent, moved[gate.name]) if gate.name in moved else gate for gate in tree.gates]
    return replace(tree, gates=tuple(gates))


def _trouble(gate: str, why: str) -> Trouble:
    return Trouble(ExpressionStatus.REFUSED, Reason.GATE_FAILED, (("gate", gate), ("why", why)))
