"""Populations of one sample of a workspace, collected gate by gate.

Programs that gate at the bench write the same things in different words: a tree of named
populations, a shape in each, and the number of events that were inside. Here they become the
gates of ``study.design``, named by their paths from the root. What cannot be understood is
left out with everything that depends on it, each told by name; the rest stays usable.

Events beyond the end of an axis are shown at its end and belong to the gates that touch it.
``open_ends`` carries a polygon that touches an end beyond it, so that plain geometry finds
the same events.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType

from lxml import etree

from exvivo.errors import fault
from exvivo.study.design import BooleanGate, Gate, GatingTree, SampleGates, SpilloverMatrix

NEAR = 1e-6
"""Part of an axis within which a point counts as lying on its end."""

Points = list[tuple[float, float]]


class NotUnderstoodError(Exception):
    """One element that cannot be understood: an inner signal, turned into one message."""

    def __init__(self, found: str, expected: str = "") -> None:
        super().__init__(found)
        self.found, self.expected = found, expected


@dataclass(frozen=True, slots=True)
class Ends:
    """Ends of one axis, and values so far out that no event lies beyond them."""

    low: float
    high: float
    far_low: float
    far_high: float


@dataclass(slots=True)
class Populations:
    """What has been understood of one sample so far; ``faults`` spoil the whole sample, ``refused`` one population each."""

    where: str
    action: str
    gates: dict[str, Gate] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def note(self, element: etree._Element, what: str, problem: NotUnderstoodError) -> None:
        """A fault of the whole sample."""
        self.faults.append(self._message(element, what, problem))

    def refuse(self, element: etree._Element, path: str, problem: NotUnderstoodError) -> None:
        """Leave one population out."""
        self.refused.setdefault(path, self._message(element, f"population '{path}'", problem))

    def add(self, *gates: Gate) -> None:
        """Keep gates under their paths.

        Raises
        ------
        NotUnderstoodError : a path is taken
        """
        for gate in gates:
            if gate.name in self.gates or gate.name in self.refused:
                raise NotUnderstoodError("two populations have this path", "one for each name and parent")
            self.gates[gate.name] = gate

    def finish(self, identity: SampleGates, matrices: Mapping[str, SpilloverMatrix]) -> SampleGates:
        """The sample with its gates, parents and operands before those that need them."""
        if not self.gates and not self.refused and not self.faults:
            found, action = "it has no gates", f"Gate it. {self.action}"
            self.faults.append(fault(self.where, found, "one population or more", action))
        gates = () if self.faults else self._in_order()
        faults = tuple(self.faults) or (() if gates else tuple(self.refused.values()))
        tree = GatingTree(() if faults else gates, MappingProxyType({} if faults else dict(matrices)))
        kept = {name: count for name, count in self.counts.items() if name in self.gates}
        return SampleGates(
            tree,
            identity.compensation,
            identity.name,
            identity.file,
            identity.identifier,
            None if faults else identity.n_events,
            MappingProxyType({} if faults else kept),
            faults,
            () if faults else tuple(self.refused.values()),
        )

    def _message(self, element: etree._Element, what: str, problem: NotUnderstoodError) -> str:
        return fault(f"{self.where}, line {element.sourceline}, {what}", problem.found, problem.expected, self.action)

    def _in_order(self) -> tuple[Gate, ...]:
        for path in self.refused:
            self.gates.pop(path, None)
        while (lost := self._dangling()) or (lost := self._circle()):
            self.refused |= lost
            for path in lost:
                del self.gates[path]
        needs = {name: references(gate) for name, gate in self.gates.items()}
        return tuple(self.gates[name] for name in TopologicalSorter(needs).static_order())

    def _dangling(self) -> dict[str, str]:
        """Populations that need one that is not there, or was left out."""
        lost = {}
        for name, gate in self.gates.items():
            for target in references(gate):
                if target not in self.gates:
                    left_out = "which was left out" if target in self.refused else "which the sample does not have"
                    found = f"population '{name}' refers to '{target}', {left_out}"
                    lost[name] = fault(self.where, found, "", self.action)
        return lost

    def _circle(self) -> dict[str, str]:
        try:
            list(TopologicalSorter({name: references(gate) for name, gate in self.gates.items()}).static_order())
        except CycleError as problem:
            circle = problem.args[1]
            found = f"populations depend on each other in a circle: {' -> '.join(circle)}"
            return dict.fromkeys(circle, fault(self.where, found, "a tree", self.action))
        return {}


def references(gate: Gate) -> list[str]:
    """Names that a gate needs: its parent and its operands."""
    operands = [name for name, _ in gate.operands] if isinstance(gate, BooleanGate) else []
    return ([gate.parent] if gate.parent else []) + operands


def complement(name: str, parent: str | None, drawn: str) -> BooleanGate:
    """The population of what lies outside a drawn shape."""
    return BooleanGate(name, parent, "not", ((drawn, False),))


def open_ends(points: Iterable[tuple[float, float]], ends: Sequence[Ends | None]) -> Points:
    """A polygon cut to its axes, then carried far beyond every end that it touches.

    Parameters
    ----------
    points : corners in order
    ends : for x and y; None leaves that axis as it is

    Raises
    ------
    NotUnderstoodError : nothing of the polygon lies between the ends

    Examples
    --------
    >>> open_ends([(0.0, 1.0), (5.0, 1.0), (5.0, 3.0), (0.0, 3.0)], [Ends(0.0, 10.0, -99.0, 99.0), None])
    [(-99.0, 1.0), (0.0, 1.0), (5.0, 1.0), (5.0, 3.0), (0.0, 3.0), (-99.0, 3.0)]
    """
    corners = list(points)
    for axis, end in enumerate(ends):
        if end is not None:
            corners = _cut(corners, axis, end)
    for axis, end in enumerate(ends):
        if end is not None:
            corners = _carry(_carry(corners, axis, end.low, end.far_low), axis, end.high, end.far_high)
    if len(corners) < 3:
        raise NotUnderstoodError("the polygon lies outside its axes", "corners that can be shown")
    return corners


def _cut(corners: Points, axis: int, end: Ends) -> Points:
    near = NEAR * (end.high - end.low)
    for bound, sign in ((end.low, 1.0), (end.high, -1.0)):
        snapped = [_moved(corner, axis, bound) if abs(corner[axis] - bound) <= near else corner for corner in corners]
        kept: Points = []
        for one, two in zip(snapped[-1:] + snapped[:-1], snapped, strict=True):
            before, after = sign * (one[axis] - bound), sign * (two[axis] - bound)
            if (before < 0) != (after < 0):
                share = before / (before - after)
                other = one[1 - axis] + share * (two[1 - axis] - one[1 - axis])
                kept.append((bound, other) if axis == 0 else (other, bound))
            if after >= 0:
                kept.append(two)
        corners = [corner for position, corner in enumerate(kept) if corner != kept[position - 1]]
    return corners


def _carry(corners: Points, axis: int, bound: float, far: float) -> Points:
    """Corners on an end go to the far side; the first and the last of a row of them also stay, so that edges keep their slope."""
    on = [corner[axis] == bound for corner in corners]
    out: Points = []
    for position, corner in enumerate(corners):
        if not on[position]:
            out.append(corner)
            continue
        after = on[(position + 1) % len(corners)]
        row = [_moved(corner, axis, far)]
        out += ([] if on[position - 1] else [corner]) + row + ([] if after else [corner])
    return out


def _moved(corner: tuple[float, float], axis: int, value: float) -> tuple[float, float]:
    return (value, corner[1]) if axis == 0 else (corner[0], value)
