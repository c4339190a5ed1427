"""Gates as the protocol states them -> gates as they are applied; and files with nothing but such gates.

The meaning is that of Gating-ML 2.0: rectangles are half-open, the boundaries of polygons and ellipses are inside,
and numbers are positions on a channel's scale where it has one.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import Field

from exvivo.study.design import (
    BooleanGate,
    Dimension,
    EllipsoidGate,
    Gate,
    PolygonGate,
    Ratio,
    RectangleGate,
    Transform,
    TransformKind,
)
from exvivo.study.gaterules import SCALE_PARAMETERS, Fault, gate_faults
from exvivo.study.model import (
    Block,
    BooleanTemplate,
    EllipseTemplate,
    FixedGate,
    GateBounds,
    GateScale,
    GateTemplate,
    PolygonTemplate,
    RectangleTemplate,
    ShapedGate,
)
from exvivo.study.yamlfile import YamlKind, read_model

_SCALES: Mapping[str, TransformKind] = MappingProxyType(
    {
        "linear": TransformKind.LINEAR,
        "log": TransformKind.LOG,
        "asinh": TransformKind.ASINH,
        "logicle": TransformKind.LOGICLE,
        "hyperlog": TransformKind.HYPERLOG,
    }
)
_KIND = YamlKind("a file of gates", "Check the path", "the key 'gates' with a list of gates")


class GatesFile(Block):
    """Gates outside any protocol."""

    gates: tuple[Annotated[ShapedGate, Field(discriminator="method")], ...] = Field(min_length=1, description="gates, parents first")
    compensation: str = Field("FCS", description="FCS: spillover stored in each file; none; or a matrix file beside this one")


def read_gates_file(path: Path) -> GatesFile:
    """Gates of a yaml file.

    Raises
    ------
    ProtocolError : every fault of the file, each with line and column
    """
    return read_model(path, GatesFile, _dangling, _KIND)[0]


def _dangling(tree: Any) -> Iterator[Fault]:  # noqa: ANN401  a YAML tree is made of anything
    gates = tree.get("gates")
    yield from gate_faults(gates if isinstance(gates, list) else [], ("gates",))


def needed_channels(gate: GateTemplate) -> list[str]:
    """Channels ($PnN) that a gate looks at, with those of its ratios."""
    if not isinstance(gate, FixedGate):
        return list(gate.channels)
    named = axes_of(gate)
    ratios = [name for ratio in gate.ratios.values() for name in (ratio.numerator, ratio.denominator)]
    return list(dict.fromkeys([*(name for name in named if name not in gate.ratios), *ratios]))


def axes_of(gate: FixedGate) -> tuple[str, ...]:
    """Names of a gate's axes in order."""
    return gate.channels or (tuple(gate.bounds) if isinstance(gate, RectangleTemplate) else ())


def build_gate(gate: FixedGate, compensation: str) -> Gate:
    """A gate as it is applied.

    Parameters
    ----------
    gate : as the protocol states it
    compensation : name of the compensation of its channels, as in ``Dimension``
    """
    if isinstance(gate, RectangleTemplate):
        sides = tuple(_dimension(gate, name, compensation, gate.bounds[name]) for name in axes_of(gate))
        return RectangleGate(gate.name, gate.parent, sides)
    if isinstance(gate, BooleanTemplate):
        operands = tuple((name, name in gate.complement) for name in gate.of)
        return BooleanGate(gate.name, gate.parent, gate.operator, operands)
    dimensions = tuple(_dimension(gate, name, compensation) for name in axes_of(gate))
    if isinstance(gate, PolygonTemplate):
        return PolygonGate(gate.name, gate.parent, (dimensions[0], dimensions[1]), gate.vertices)
    if isinstance(gate, EllipseTemplate):
        return EllipsoidGate(gate.name, gate.parent, dimensions, gate.mean, _covariance(gate), gate.distance_square or 1.0)
    raise TypeError(f"a gate of kind {type(gate).__name__} has no shape")


def _dimension(gate: FixedGate, name: str, compensation: str, bounds: GateBounds | None = None) -> Dimension:
    own, scale = gate.ratios.get(name), gate.scale.get(name)
    ratio = Ratio(own.numerator, own.denominator, own.A, own.B, own.C) if own is not None else None
    transform = _transform(scale) if scale is not None else None
    return Dimension(name, compensation, transform, bounds.low if bounds else None, bounds.high if bounds else None, ratio)


def _transform(scale: GateScale) -> Transform:
    parameters = {name: float(getattr(scale, name)) for name in SCALE_PARAMETERS[scale.kind]}
    return Transform(_SCALES[scale.kind], MappingProxyType(parameters))


def _covariance(gate: EllipseTemplate) -> tuple[tuple[float, ...], ...]:
    if gate.covariance is not None or gate.axes is None:
        return gate.covariance or ()
    first, second = (length * length for length in gate.axes)
    angle = math.radians(gate.angle or 0.0)
    c, s = math.cos(angle), math.sin(angle)
    mixed = (first - second) * c * s
    return ((first * c * c + second * s * s, mixed), (mixed, first * s * s + second * c * c))
