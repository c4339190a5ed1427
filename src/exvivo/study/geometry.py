"""A gate as one line of JSON, and back: what the table of gates and the memo store."""

import json
from collections.abc import Mapping, Sequence
from graphlib import TopologicalSorter
from types import MappingProxyType
from typing import Any

from exvivo.study.design import (
    BooleanGate,
    Dimension,
    EllipsoidGate,
    Gate,
    GatingTree,
    PolygonGate,
    Ratio,
    RectangleGate,
    SpilloverMatrix,
    Transform,
    TransformKind,
)


def describe_gate(gate: Gate) -> str:
    """JSON of a gate's geometry: kind, channels, compensations, transforms, and bounds, vertices, ellipse or operands."""
    described: dict[str, Any] = {"kind": _KINDS[type(gate)]}
    if isinstance(gate, BooleanGate):
        described |= {"operator": gate.operator, "operands": [list(operand) for operand in gate.operands]}
    else:
        described |= {
            "channels": [d.channel for d in gate.dimensions],
            "compensations": [d.compensation for d in gate.dimensions],
            "transforms": [_transform_facts(d.transform) for d in gate.dimensions],
            "bounds": [[d.low, d.high] for d in gate.dimensions],
        }
        if any(d.ratio for d in gate.dimensions):
            described["ratios"] = [_ratio_facts(d.ratio) for d in gate.dimensions]
    if isinstance(gate, PolygonGate):
        described["vertices"] = [list(vertex) for vertex in gate.vertices]
    elif isinstance(gate, EllipsoidGate):
        described |= {
            "mean": list(gate.mean),
            "covariance": [list(row) for row in gate.covariance],
            "distance_square": gate.distance_square,
        }
    return json.dumps(described, sort_keys=True, allow_nan=False)


def gate_of(name: str, parent: str | None, geometry: str) -> Gate:
    """Gate from its JSON; the inverse of ``describe_gate``."""
    facts = json.loads(geometry)
    if facts["kind"] == "boolean":
        return BooleanGate(name, parent, facts["operator"], tuple((str(ref), bool(flag)) for ref, flag in facts["operands"]))
    dimensions = tuple(_dimension(facts, index) for index in range(len(facts["channels"])))
    if facts["kind"] == "rectangle":
        return RectangleGate(name, parent, dimensions)
    if facts["kind"] == "polygon":
        return PolygonGate(name, parent, (dimensions[0], dimensions[1]), tuple((float(x), float(y)) for x, y in facts["vertices"]))
    covariance = tuple(tuple(float(value) for value in row) for row in facts["covariance"])
    return EllipsoidGate(name, parent, dimensions, tuple(facts["mean"]), covariance, float(facts["distance_square"]))


def tree_of(gates: Sequence[Mapping[str, Any]], file: str) -> GatingTree:
    """Gates of one donor (rows of ``gates``) as they applied to one file: a time gate has its own range there."""
    known: dict[str, Gate] = {}
    for row in gates:
        gate = gate_of(row["gate"], row["parent"], row["geometry"])
        own = json.loads(row["detail"] or "{}").get("by_file", {}).get(file)
        if own is not None and isinstance(gate, RectangleGate):
            first = gate.dimensions[0]
            time = Dimension(first.channel, first.compensation, first.transform, own[0], own[1])
            gate = RectangleGate(gate.name, gate.parent, (time, *gate.dimensions[1:]))
        known[gate.name] = gate
    order = TopologicalSorter({name: _needed(gate) for name, gate in known.items()}).static_order()
    return GatingTree(tuple(known[name] for name in order))


def describe_tree(tree: GatingTree) -> str:
    """JSON of a whole tree with its matrices."""
    gates = [[gate.name, gate.parent, describe_gate(gate)] for gate in tree.gates]
    matrices = {name: [m.fluorochromes, m.detectors, m.matrix] for name, m in tree.matrices.items()}
    return json.dumps({"gates": gates, "matrices": matrices}, sort_keys=True, allow_nan=False)


def tree_from(described: str) -> GatingTree:
    """Tree from its JSON; the inverse of ``describe_tree``."""
    facts = json.loads(described)
    matrices = {
        name: SpilloverMatrix(tuple(fluorochromes), tuple(detectors), tuple(tuple(row) for row in rows))
        for name, (fluorochromes, detectors, rows) in facts["matrices"].items()
    }
    return GatingTree(tuple(gate_of(*gate) for gate in facts["gates"]), MappingProxyType(matrices))


def _needed(gate: Gate) -> list[str]:
    operands = [name for name, _ in gate.operands] if isinstance(gate, BooleanGate) else []
    return operands + ([gate.parent] if gate.parent else [])


def _dimension(facts: Mapping[str, Any], index: int) -> Dimension:
    low, high = facts["bounds"][index]
    transform = facts["transforms"][index]
    scale = transform and Transform(TransformKind(transform["kind"]), MappingProxyType(transform["parameters"]))
    ratio = facts["ratios"][index] if "ratios" in facts else None
    return Dimension(facts["channels"][index], facts["compensations"][index], scale, low, high, Ratio(**ratio) if ratio else None)


def _transform_facts(transform: Transform | None) -> dict[str, Any] | None:
    return None if transform is None else {"kind": transform.kind.value, "parameters": dict(transform.parameters)}


def _ratio_facts(ratio: Ratio | None) -> dict[str, Any] | None:
    return None if ratio is None else {name: getattr(ratio, name) for name in ("numerator", "denominator", "A", "B", "C")}


_KINDS = {RectangleGate: "rectangle", PolygonGate: "polygon", EllipsoidGate: "ellipsoid", BooleanGate: "boolean"}
