"""A gate as a person moved it: the value of a decision, checked before it is taken and drawn when gates are.

The target is ``gate:DONOR/GATE``, the value the geometry as the table of gates prints it. The moved gate keeps name and parent, looks at
the channels of the gate that it replaces, and holds for all tubes of that donor.
"""

import json
import math
from collections.abc import Iterator, Sequence

import numpy as np

from exvivo.errors import fault, unknown
from exvivo.numerics import cells
from exvivo.study.decisions import split_gate
from exvivo.study.design import EllipsoidGate, Gate, PolygonGate, RectangleGate
from exvivo.study.fixedgates import axes_of
from exvivo.study.geometry import gate_of
from exvivo.study.model import FixedGate, GateMethod
from exvivo.study.protocol import Panels

_FIELDS = {
    "rectangle": ("channels", "compensations", "transforms", "bounds"),
    "polygon": ("channels", "compensations", "transforms", "bounds", "vertices"),
    "ellipsoid": ("channels", "compensations", "transforms", "bounds", "mean", "covariance", "distance_square"),
}
_CORNERS = 3


def question_move(target: str, value: str, panels: Panels) -> Iterator[str]:
    """What is wrong with a decision to move a gate."""
    donor, gate = split_gate(target)
    where = f"move-gate {target}"
    if not donor or not gate:
        yield fault(where, f"target '{target}' names no gate", "gate:DONOR/GATE, such as gate:SSC-001/Live")
        return
    channels: Sequence[str] | None = None
    if panels.rules is None:
        yield fault(where, "the protocol has no panel", "a study with cytometry")
    elif not panels.rules.gates_file:
        template = next((one for one in panels.rules.gates if one.name == gate), None)
        if template is None:
            yield unknown("gate", gate, [one.name for one in panels.rules.gates])
        elif template.method is GateMethod.TIME:
            yield fault(where, "the gate on time belongs to single tubes", "another gate", "Exclude the file where its time is at fault")
        else:
            channels = axes_of(template) if isinstance(template, FixedGate) else template.channels
    yield from _question_geometry(where, gate, value, channels)


def _question_geometry(where: str, gate: str, value: str, channels: Sequence[str] | None) -> Iterator[str]:
    try:
        facts = json.loads(value)
    except ValueError:
        facts = None
    kind = facts.get("kind") if isinstance(facts, dict) else None
    if kind not in _FIELDS:
        told = f"the value is '{value[:60]}'"
        yield fault(where, told, f"JSON of a {', '.join(_FIELDS)}, as the table of gates prints it", "Give --value GEOMETRY")
        return
    if missing := [name for name in _FIELDS[kind] if name not in facts]:
        yield fault(where, f"the geometry has no {', '.join(missing)}", f"{', '.join(_FIELDS[kind])} for a {kind}")
        return
    try:
        drawn = gate_of(gate, None, value)
        problems = list(_unsound(drawn))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        yield fault(where, f"the geometry cannot be read: {error}", f"the JSON of a {kind} as the table of gates prints it")
        return
    for problem, expected in problems:
        yield fault(where, problem, expected)
    if channels is not None and sorted(facts["channels"]) != sorted(channels):
        yield fault(where, f"the geometry is on {', '.join(facts['channels'])}", f"the channels of the gate: {', '.join(channels)}")


def _unsound(gate: Gate) -> Iterator[tuple[str, str]]:
    """What is found and what was expected, of a geometry that no gate can have."""
    if isinstance(gate, RectangleGate):
        yield from _unsound_rectangle(gate)
    elif isinstance(gate, PolygonGate):
        vertices = np.array(gate.vertices)
        if len(vertices) < _CORNERS or not np.all(np.isfinite(vertices)) or _area(vertices) == 0:
            yield "the polygon has no area", "three or more finite vertices that are not on a line"
    elif isinstance(gate, EllipsoidGate):
        yield from _unsound_ellipsoid(gate)
    for dimension in getattr(gate, "dimensions", ()):
        if dimension.transform is not None:
            try:
                cells.check_parameters(dimension.transform.kind, dimension.transform.parameters)
            except ValueError as error:
                yield str(error), "a scale that is defined"


def _unsound_rectangle(gate: RectangleGate) -> Iterator[tuple[str, str]]:
    bounds = [(d.low, d.high) for d in gate.dimensions]
    given = [bound for pair in bounds for bound in pair if bound is not None]
    if not given or not all(math.isfinite(bound) for bound in given):
        yield "the rectangle has no finite bound", "at least one bound that is a number"
    elif any(low is not None and high is not None and low >= high for low, high in bounds):
        yield "a lower bound is not below its upper bound", "bounds as [low, high]"


def _unsound_ellipsoid(gate: EllipsoidGate) -> Iterator[tuple[str, str]]:
    covariance, n = np.array(gate.covariance, dtype=np.float64), len(gate.dimensions)
    square = covariance.shape == (n, n) and len(gate.mean) == n and np.all(np.isfinite(covariance)) and np.all(np.isfinite(gate.mean))
    if not square or not np.allclose(covariance, covariance.T) or np.min(np.linalg.eigvalsh(covariance)) <= 0:
        yield "the covariance is none", "a finite mean and a symmetric, positive definite matrix with a row for each channel"
    if not (gate.distance_square > 0 and math.isfinite(gate.distance_square)):
        yield f"distance_square is {gate.distance_square:g}", "a positive number"


def _area(vertices: np.ndarray) -> float:
    x, y = vertices.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)
