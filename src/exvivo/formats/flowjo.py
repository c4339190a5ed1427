"""FlowJo 10 workspaces: XML in, the gates of every sample out.

A workspace holds one tree of gates for each sample, with that sample's compensation, the
scale of each of its axes and the counts that FlowJo had when it was saved. Rectangles
(quadrants are open rectangles), polygons, ellipses and the and, or and not of other gates
become the gates of ``study.design``; a gate that keeps what lies outside becomes the shape,
named ``... (shape)``, and its complement. Names are paths from the root, because FlowJo lets two
branches use one name.

Rectangles stay on the linear scale, where FlowJo stores them, and an edge that lies on the
end of its axis is open, since FlowJo keeps the events beyond the axis there. Polygons are
straight between vertices on the display scale, ellipses are stored in 256ths of the axes.
Where FlowJo counted, a polygon becomes the outline of the steps that FlowJo looks at.

Events beyond the end of an axis are shown at its end: polygons that touch an end are carried
beyond it, and the biexponential and logarithmic scales end there by themselves. FlowJo gates
what is stored, without $PnG, times the gain of a linear axis (time: seconds), while our values
are divided by $PnG: bounds and corners are converted.

A population that cannot be understood is left out with what lies inside it and says why; a
sample whose compensation cannot be understood has no gates. Nothing in the file can name
another file, since neither document types nor entities are read.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from urllib.parse import unquote

import numpy as np
from lxml import etree

from exvivo.errors import InputError, fault
from exvivo.formats.markup import parse_markup
from exvivo.formats.outlines import outline
from exvivo.formats.populations import NEAR, Ends, NotUnderstoodError, Populations, complement, open_ends
from exvivo.numerics import cells
from exvivo.study.design import (
    BooleanGate,
    Dimension,
    EllipsoidGate,
    GatingTree,
    PolygonGate,
    RectangleGate,
    SampleGates,
    SpilloverMatrix,
    Transform,
    TransformKind,
)

_SPACES = {
    name: f"http://www.isac-net.org/std/Gating-ML/v2.0/{path}"
    for name, path in (("gating", "gating"), ("transforms", "transformations"), ("data-type", "datatypes"))
}
_BOOLEANS = {"AndNode": "and", "OrNode": "or", "NotNode": "not"}
_SHAPES = ("RectangleGate", "PolygonGate", "EllipsoidGate")
_SCALES: Mapping[str, tuple[TransformKind, tuple[str, ...]]] = MappingProxyType(
    {
        "biex": (TransformKind.BIEX, ("maxRange", "neg", "pos", "width")),
        "fasinh": (TransformKind.ASINH, ("T", "M", "A")),
        "log": (TransformKind.FLOORED_LOG, ("offset", "decades")),
        "hyperlog": (TransformKind.HYPERLOG, ("T", "W", "M", "A")),
        "logicle": (TransformKind.LOGICLE, ("T", "W", "M", "A")),
    }
)
_MATRIX = "workspace"
_DISPLAY = 256.0
_FAR = 1e6
_HAIR = 1e-9  # of an axis: steps hold their lower and not their upper ends
_FEWEST, _MOST = 2, 1024  # steps of an axis; FlowJo writes 256
_LEAST = 1e-300  # what FlowJo before 10.6 takes a vertex at or below zero for on a logarithmic axis
_FLOORED_SINCE = (10, 6)
_TIME = "TIME"
_CHANNEL = re.compile(r"\$P(\d+)N")
_REDRAW = "Correct it in FlowJo and save the workspace again"
_TOP = "a FlowJo 10 workspace"


@dataclass(frozen=True, slots=True)
class _Axis:
    """Scale of one channel: linear from ``bottom`` to ``top`` without a transform; ``problem`` if it is not understood.

    ``unit`` is our value of FlowJo's 1, ``binned`` whether FlowJo looks at polygons on this axis in steps.
    """

    bottom: float
    top: float
    unit: float = 1.0
    transform: Transform | None = None
    problem: str = ""
    binned: bool = False

    def position(self, value: float) -> float:
        """Where a linear value is shown, 0 at the bottom and 1 at the top."""
        if self.transform is None:
            return (value - self.bottom) / (self.top - self.bottom)
        return float(cells.to_scale(self.transform.kind, value, self.transform.parameters))

    @property
    def is_stepped(self) -> bool:
        """Whether FlowJo's steps on a scale of this kind are known."""
        return self.transform is None or self.transform.kind in (TransformKind.BIEX, TransformKind.FLOORED_LOG)

    def step(self, value: float, steps: int, *, floored: bool) -> int:
        """Step on which FlowJo puts a vertex; on a logarithmic axis values at or below zero lie at its floor or far below."""
        if self.transform is not None and self.transform.kind == TransformKind.BIEX:
            return math.floor(self.position(value) * steps + _HAIR)
        if self.transform is None:
            return math.floor(self.position(value) * steps + 0.5)
        if value <= 0 and floored:
            return 0
        parameters = self.transform.parameters
        return math.floor((math.log10(max(value, _LEAST)) - math.log10(parameters["offset"])) / parameters["decades"] * steps + 0.5)

    def cells(self, steps: int) -> int:
        """Steps on which an event may lie: biex has one more, for what lies at its top or above."""
        return steps + 1 if self.transform is not None and self.transform.kind == TransformKind.BIEX else steps

    def edge(self, cell: int, steps: int) -> float:
        """Where a step begins, on the scale of a gate; the outermost ones are open."""
        low, span = (0.0, 1.0) if self.transform is not None else (self.bottom, self.top - self.bottom)
        if cell <= 0 or cell >= self.cells(steps):
            return low + (-_FAR if cell <= 0 else _FAR) * span
        shift = 0.0 if self.cells(steps) > steps else 0.5
        return low + ((cell - shift) / steps - _HAIR) * span

    def ends(self) -> Ends | None:
        """Where polygons are open; None on scales that end by themselves."""
        if self.transform is None:
            reach = _FAR * (self.top - self.bottom)
            return Ends(self.bottom, self.top, self.bottom - reach, self.top + reach)
        return None if self.transform.kind in (TransformKind.BIEX, TransformKind.FLOORED_LOG) else Ends(0.0, 1.0, -_FAR, _FAR)


@dataclass(frozen=True, slots=True)
class _Steps:
    """Whether polygons are looked at in FlowJo's steps, and whether vertices at or below zero lie at the floor of a logarithmic axis.

    FlowJo's own counts are reached with its steps; where it counted nothing, events are compared with the polygon as drawn.
    """

    used: bool
    floored: bool


@dataclass(slots=True)
class _Sample:
    """What has been understood of one sample so far."""

    found: Populations
    axes: dict[str, _Axis] = field(default_factory=dict)
    matrix: SpilloverMatrix | None = None
    affixes: tuple[str, str] = ("", "")
    names: dict[str, str] = field(default_factory=dict)
    derived: frozenset[str] = frozenset()
    steps: _Steps = _Steps(used=False, floored=True)
    units: Mapping[str, float] = field(default_factory=dict)
    timestep: float = 1.0

    def unit(self, given: str) -> float:
        """Our value of one stored unit of a channel, with or without its affixes."""
        prefix, suffix = self.affixes
        return self.units.get(given, self.units.get(given.removeprefix(prefix).removesuffix(suffix), 1.0))


def parse(source: Path | bytes) -> tuple[SampleGates, ...]:
    """Gates of every sample of a FlowJo 10 workspace, in the order of the file.

    Parameters
    ----------
    source : path of a file, or its bytes

    Returns
    -------
    tuple of SampleGates : those that cannot be understood have ``faults`` and no gates

    Raises
    ------
    InputError : no XML, a document type, no FlowJo workspace, no samples in it
    """
    where = source.name if isinstance(source, Path) else "FlowJo data"
    root = _root(source.read_bytes() if isinstance(source, Path) else source, where)
    elements = root.findall("SampleList/Sample")
    if not elements:
        raise InputError(fault(where, "the workspace holds no samples", "one or more", "Add the FCS files in FlowJo and save it again"))
    steps = _Steps(any(_count(one) is not None for one in root.iter("Population")), _version(root) >= _FLOORED_SINCE)
    return tuple(_read_sample(where, element, steps) for element in elements)


def _version(root: etree._Element) -> tuple[int, ...]:
    parts = re.match(r"(\d+)\.(\d+)", str(root.get("flowJoVersion") or ""))
    return (0, 0) if parts is None else (int(parts[1]), int(parts[2]))


def _root(raw: bytes, where: str) -> etree._Element:
    root = parse_markup(raw, where, _TOP)
    if root.tag != "Workspace":
        raise InputError(fault(where, f"the outermost element is {_tag(root)}", f"Workspace, of {_TOP}", "Save it from FlowJo 10"))
    version = str(root.get("flowJoVersion") or "")
    if version.split(".", maxsplit=1)[0] != "10":
        found = f"the workspace was written by FlowJo {version or 'of an unknown version'}"
        raise InputError(fault(where, found, "FlowJo 10", "Open it in FlowJo 10 and save it again"))
    return root


def _read_sample(where: str, element: etree._Element, steps: _Steps) -> SampleGates:
    node = element.find("SampleNode")
    data = element.find("DataSet")
    name = _plain(node, "name") or ""
    file = unquote((_plain(data, "uri") or "").rsplit("/", 1)[-1])
    keywords = {_plain(key, "name") or "": _plain(key, "value") or "" for key in element.iterfind("Keywords/Keyword")}
    found = Populations(f"{where}, sample '{name or file}'", _REDRAW)
    names, units, timestep = _keyword_names(keywords), _units(keywords), _positive(keywords.get("$TIMESTEP"))
    sample = _Sample(found, names=names, units=units, timestep=timestep, steps=steps)
    sample.derived = frozenset(_plain(one, "name") or "" for one in element.iter("DerivedParameter"))
    _guarded(sample, element, "compensation", _read_matrix)
    for axis in element.iterfind("Transformations/*"):
        _guarded(sample, axis, f"scale {_tag(axis)}", _read_axis)
    if node is not None:
        _read_populations(sample, node, None)
    compensation = "uncompensated" if sample.matrix is None else _MATRIX
    identity = SampleGates(GatingTree(()), compensation, name or file, file or name, _plain(data, "sampleID") or "", _count(node))
    return found.finish(identity, {} if sample.matrix is None else {_MATRIX: sample.matrix})


def _guarded(sample: _Sample, element: etree._Element, what: str, read: Callable[[_Sample, etree._Element], None]) -> None:
    try:
        read(sample, element)
    except NotUnderstoodError as problem:
        sample.found.note(element, what, problem)


def _keyword_names(keywords: Mapping[str, str]) -> dict[str, str]:
    """$PnN by FlowJo's spelling of it, in which a slash is an underscore."""
    names = [value for key, value in keywords.items() if _CHANNEL.fullmatch(key)]
    return {name.replace("/", "_"): name for name in names if "/" in name and name.replace("/", "_") not in names}


def _units(keywords: Mapping[str, str]) -> dict[str, float]:
    """Our value of one stored unit of each channel, where that is not 1: we divide by $PnG, except time."""
    units = {}
    for key, name in keywords.items():
        if (match := _CHANNEL.fullmatch(key)) and name.upper() != _TIME:
            units[name.replace("/", "_")] = 1.0 / _positive(keywords.get(f"$P{match[1]}G"))
    return {name: unit for name, unit in units.items() if unit != 1.0}


def _positive(text: str | None) -> float:
    """A number above 0, else 1, which changes nothing."""
    try:
        value = float(text or "")
    except ValueError:
        return 1.0
    return value if 0 < value < math.inf else 1.0


# compensation and scales


def _read_matrix(sample: _Sample, element: etree._Element) -> None:
    found = element.findall(_name("transforms", "spilloverMatrix"))
    if not found:
        return
    if len(found) > 1:
        raise NotUnderstoodError(f"{len(found)} spillover matrices", "one for each sample")
    detectors, rows = spillover_of(found[0])
    channels = tuple(sample.names.get(name, name) for name in detectors)
    units = np.array([sample.units.get(name, 1.0) for name in detectors])
    ours = np.array(rows) * units / units[:, np.newaxis]
    sample.matrix = SpilloverMatrix(channels, channels, tuple(tuple(float(value) for value in row) for row in ours))
    sample.affixes = (_attribute(found[0], "prefix") or "", _attribute(found[0], "suffix") or "")


def spillover_of(element: etree._Element) -> tuple[tuple[str, ...], tuple[tuple[float, ...], ...]]:
    """Channels and values of a ``spilloverMatrix``: row = where light comes from, column = where it is seen.

    Raises
    ------
    NotUnderstoodError : an unmixing matrix, values that are missing, or a matrix that cannot be inverted
    """
    if _attribute(element, "spectral") == "1":
        raise NotUnderstoodError("a spectral unmixing matrix is not supported", "a square spillover matrix")
    listed = element.iterfind(f"{_name('data-type', 'parameters')}/{_name('data-type', 'parameter')}")
    detectors = tuple(_channel_name(parameter, "name") for parameter in listed)
    spills = element.findall(_name("transforms", "spillover"))
    by_name = {_channel_name(spill, "parameter"): _read_row(spill) for spill in spills}
    if len(by_name) != len(spills) or set(by_name) != set(detectors) or any(set(row) != set(detectors) for row in by_name.values()):
        found_rows = f"a spillover matrix of {len(spills)} rows for {len(detectors)} channels"
        raise NotUnderstoodError(found_rows, "one value for each pair of channels")
    rows = tuple(tuple(by_name[source][detector] for detector in detectors) for source in detectors)
    try:
        cells.unmixing(rows)
    except ValueError as problem:
        raise NotUnderstoodError(str(problem)) from problem
    return detectors, rows


def _read_row(spill: etree._Element) -> dict[str, float]:
    return {_channel_name(entry, "parameter"): _number(entry, "value") for entry in spill.iterfind(_name("transforms", "coefficient"))}


def _read_axis(sample: _Sample, element: etree._Element) -> None:
    parameter = element.find(_name("data-type", "parameter"))
    if parameter is None:
        raise NotUnderstoodError("a scale without a channel", "the channel that it belongs to")
    name = _channel_name(parameter, "name")
    gain = _positive(_attribute(element, "gain"))
    if name.upper() == _TIME:
        unit = 1.0 if gain in (1.0, sample.timestep) else sample.timestep / gain
    else:
        unit = sample.unit(name) / (gain if _tag(element) == "linear" else 1.0)
    axis = _axis(element, unit)
    binned = not axis.problem and axis.is_stepped and (axis.transform is not None or (name.upper() != _TIME and gain == 1.0))
    sample.axes[name] = replace(axis, binned=binned)


def _axis(element: etree._Element, unit: float) -> _Axis:
    """The scale, in our units; one that is not understood matters only to a gate whose shape depends on it."""
    kind = _tag(element)
    if kind == "linear":
        bottom, top = (_number(element, end) * unit for end in ("minRange", "maxRange"))
        return _Axis(bottom, top, unit) if top > bottom else _Axis(0.0, 1.0, unit, problem=f"runs from {bottom:g} to {top:g}")
    if kind not in _SCALES:
        return _Axis(-math.inf, math.inf, unit, problem=f"is '{kind}', which is not supported")
    if kind == "biex" and (length := _number(element, "length")) != _DISPLAY:
        return _Axis(-math.inf, math.inf, unit, problem=f"is biex of length {length:g} instead of 256")
    scale, names = _SCALES[kind]
    parameters = {name: _number(element, name) for name in names}
    parameters[names[0]] *= unit
    try:
        cells.check_parameters(scale, parameters)
    except ValueError as problem:
        return _Axis(-math.inf, math.inf, unit, problem=f"is not possible: {problem}")
    bottom, top = (float(cells.from_scale(scale, position, parameters)) for position in (0.0, 1.0))
    return _Axis(bottom, top, unit, Transform(scale, MappingProxyType(parameters)))


# populations


def _read_populations(sample: _Sample, node: etree._Element, parent: str | None) -> None:
    for element in node.iterfind("Subpopulations/*"):
        kind = _tag(element)
        if kind != "Population" and not kind.endswith("Node"):
            continue
        name = _plain(element, "name") or ""
        path = f"{parent}/{name}" if parent else name
        try:
            _read_population(sample, element, path, parent)
        except NotUnderstoodError as problem:
            sample.found.refuse(element, path, problem)
        count = _count(element)
        if count is not None:
            sample.found.counts[path] = count
        _read_populations(sample, element, path)


def _read_population(sample: _Sample, element: etree._Element, path: str, parent: str | None) -> None:
    kind = _tag(element)
    if not _plain(element, "name"):
        raise NotUnderstoodError("a population without a name", "a name")
    if kind in _BOOLEANS:
        sample.found.add(_boolean(element, path, parent))
    elif kind == "Population":
        _read_gate(sample, element, path, parent)
    else:
        raise NotUnderstoodError(f"{kind} is not supported", ", ".join(["Population", *_BOOLEANS]))


def _boolean(element: etree._Element, path: str, parent: str | None) -> BooleanGate:
    operator = _BOOLEANS[_tag(element)]
    operands = [_plain(dependent, "name") or "" for dependent in element.iterfind("Dependents/Dependent")]
    if (len(operands) != 1) if operator == "not" else (len(operands) < 2):
        raise NotUnderstoodError(f"'{operator}' of {len(operands)} populations", "one population for 'not', two or more for 'and' and 'or'")
    return BooleanGate(path, parent, operator, tuple((operand, False) for operand in operands))


def _read_gate(sample: _Sample, element: etree._Element, path: str, parent: str | None) -> None:
    shapes = element.findall("Gate/*")
    if len(shapes) != 1:
        raise NotUnderstoodError(f"it holds {len(shapes)} gates", f"one of {', '.join(_SHAPES)}, as FlowJo 10 stores it")
    shape = shapes[0]
    kind = _tag(shape)
    if kind not in _SHAPES:
        raise NotUnderstoodError(f"this kind of gate, {kind}, is not supported", ", ".join(_SHAPES))
    inside = (_attribute(shape, "eventsInside") or "1") == "1"
    drawn = path if inside else f"{path} (shape)"
    axes = [(element, *_axis_of(sample, element)) for element in shape.iterfind(_name("gating", "dimension"))]
    if not axes:
        raise NotUnderstoodError("a gate without dimensions", "one or more")
    if kind == "RectangleGate":
        sample.found.add(RectangleGate(drawn, parent, tuple(_side(*axis) for axis in axes)))
    elif kind == "PolygonGate":
        sample.found.add(_polygon(sample, shape, drawn, parent, [axis[1:] for axis in axes]))
    else:
        sample.found.add(_ellipse(shape, drawn, parent, [axis[1:] for axis in axes]))
    if not inside:
        sample.found.add(complement(path, parent, drawn))


def _axis_of(sample: _Sample, element: etree._Element) -> tuple[Dimension, _Axis | None]:
    """Channel without its affixes, compensated if it had them; its scale if the workspace gives one."""
    channel = element.find(_name("data-type", "fcs-dimension"))
    if channel is None:
        raise NotUnderstoodError("a dimension without a channel", "fcs-dimension")
    given = _channel_name(channel, "name")
    if given in sample.derived:
        raise NotUnderstoodError(f"{given} is a derived parameter, which no FCS file holds", "a channel of the file")
    prefix, suffix = sample.affixes
    bare = given.removeprefix(prefix).removesuffix(suffix)
    known = () if sample.matrix is None else sample.matrix.fluorochromes
    name = sample.names.get(bare, bare)
    compensated = name in known and given == f"{prefix}{bare}{suffix}"
    axis = sample.axes.get(given) or sample.axes.get(bare)
    if axis is None and (unit := sample.unit(given)) != 1.0:
        axis = _Axis(-math.inf, math.inf, unit, problem="is not in the workspace")
    if compensated:
        return Dimension(name, _MATRIX), axis
    return Dimension(sample.names.get(given, given)), axis


def _side(element: etree._Element, dimension: Dimension, axis: _Axis | None) -> Dimension:
    unit = 1.0 if axis is None else axis.unit
    low, high = (None if _attribute(element, side) is None else _number(element, side) * unit for side in ("min", "max"))
    if low is not None and high is not None and low > high:
        raise NotUnderstoodError(f"min {low:g} lies above max {high:g}", "min below max")
    if axis is not None and not axis.problem:
        low = None if low is not None and axis.position(low) <= NEAR else low
        high = None if high is not None and axis.position(high) >= 1.0 - NEAR else high
    return Dimension(dimension.channel, dimension.compensation, None, low, high)


def _understood(dimension: Dimension, axis: _Axis | None) -> _Axis:
    if axis is None or axis.problem:
        found = "is not in the workspace" if axis is None else axis.problem
        raise NotUnderstoodError(f"the scale of {dimension.channel} {found}", f"linear, {', '.join(_SCALES)}")
    return axis


def _polygon(
    sample: _Sample, shape: etree._Element, path: str, parent: str | None, axes: Sequence[tuple[Dimension, _Axis | None]]
) -> PolygonGate | RectangleGate:
    if len(axes) != 2:
        raise NotUnderstoodError(f"a polygon in {len(axes)} dimensions", "two")
    scales = [_understood(*axis) for axis in axes]
    given = [
        tuple(value * axis.unit for value, axis in zip(_coordinates(vertex), scales, strict=True))
        for vertex in shape.iterfind(_name("gating", "vertex"))
    ]
    if len(given) < 3:
        raise NotUnderstoodError(f"a polygon of {len(given)} vertices", "three or more")
    first, second = (Dimension(d.channel, d.compensation, axis.transform) for (d, _), axis in zip(axes, scales, strict=True))
    steps = int(_positive(_attribute(shape, "gateResolution")))
    is_quadrant = (_attribute(shape, "quadId") or "-1") != "-1"
    if sample.steps.used and _FEWEST <= steps <= _MOST and not is_quadrant and all(axis.binned for axis in scales):
        corners = [[axis.step(v, steps, floored=sample.steps.floored) for v, axis in zip(vertex, scales, strict=True)] for vertex in given]
        return _binned(path, parent, (first, second), (scales[0], scales[1]), corners, steps)
    vertices = [(_shown(scales[0], x), _shown(scales[1], y)) for x, y in given]
    if not np.all(np.isfinite(vertices)):
        raise NotUnderstoodError("a vertex lies outside its scale", "vertices that can be shown")
    return PolygonGate(path, parent, (first, second), tuple(open_ends(vertices, [axis.ends() for axis in scales])))


def _binned(
    path: str,
    parent: str | None,
    sides: tuple[Dimension, Dimension],
    axes: tuple[_Axis, _Axis],
    corners: Sequence[Sequence[int]],
    steps: int,
) -> PolygonGate | RectangleGate:
    """Outline of the steps that lie in a polygon of steps or on its edge: so FlowJo tests an event's steps, not its value."""
    way = _way_around(tuple((x, y) for x, y in corners), (axes[0].cells(steps), axes[1].cells(steps)))
    if not way:
        return RectangleGate(path, parent, (replace(sides[0], low=0.0, high=0.0),))
    return PolygonGate(path, parent, sides, tuple((axes[0].edge(column, steps), axes[1].edge(row, steps)) for column, row in way))


@lru_cache(maxsize=1024)
def _way_around(corners: tuple[tuple[int, int], ...], shape: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """Samples of a group have the same gates, so that most ways are found once."""
    x, y = np.meshgrid(*(np.arange(size, dtype=np.float64) for size in shape), indexing="ij")
    inside = cells.in_polygon(x.ravel(), y.ravel(), np.array(corners, dtype=np.float64)).reshape(shape)
    return tuple(outline(inside)) if inside.any() else ()


def _shown(axis: _Axis, value: float) -> float:
    return value if axis.transform is None else axis.position(value)


def _ellipse(shape: etree._Element, path: str, parent: str | None, axes: Sequence[tuple[Dimension, _Axis | None]]) -> EllipsoidGate:
    """Ellipse on scales that run from 0 to 1, which on linear axes are shares of the top."""
    if len(axes) != 2:
        raise NotUnderstoodError(f"an ellipse in {len(axes)} dimensions", "two")
    centre, covariance = _ellipse_shown(shape)
    shift, stretch, dimensions = np.zeros(2), np.ones(2), []
    for index, (dimension, found) in enumerate(axes):
        axis = _understood(dimension, found)
        transform = axis.transform
        if transform is None:
            reach = max(abs(axis.bottom), abs(axis.top))
            shift[index], stretch[index] = axis.bottom / reach, (axis.top - axis.bottom) / reach
            transform = Transform(TransformKind.LINEAR, MappingProxyType({"T": reach, "A": 0.0}))
        dimensions.append(Dimension(dimension.channel, dimension.compensation, transform))
    mean = shift + stretch * centre
    scaled = covariance * np.outer(stretch, stretch)
    rows = tuple(tuple(float(value) for value in row) for row in scaled)
    try:
        cells.in_ellipsoid(np.zeros((1, 2)), mean, rows, 1.0)
    except ValueError as problem:
        raise NotUnderstoodError(str(problem)) from problem
    return EllipsoidGate(path, parent, tuple(dimensions), (float(mean[0]), float(mean[1])), rows, 1.0)


def _ellipse_shown(shape: etree._Element) -> tuple[np.ndarray, np.ndarray]:
    """Centre and matrix of an ellipse in shares of the axes, from its foci and the ends of its long axis.

    The ends of the short axis are stored in whole 256ths and fit neither the foci nor each other, so they are not used.
    """
    foci, edge = (
        np.array([_coordinates(vertex) for vertex in shape.iterfind(f"{_name('gating', part)}/{_name('gating', 'vertex')}")])
        for part in ("foci", "edge")
    )
    if foci.shape != (2, 2) or edge.shape != (4, 2):
        raise NotUnderstoodError(f"an ellipse with {len(foci)} foci and {len(edge)} points", "two foci and four points")
    centre = foci.mean(axis=0)
    apart = float(np.linalg.norm(foci[1] - centre))
    farthest = edge[np.argmax(np.linalg.norm(edge - centre, axis=1))] - centre
    along = (foci[1] - centre) / apart if apart > 0 else farthest / max(float(np.linalg.norm(farthest)), NEAR)
    long = float(np.max(np.abs((edge - centre) @ along)))
    if not long > apart:
        raise NotUnderstoodError("the points of the ellipse do not lie outside its foci", "two foci and four points of an ellipse")
    across = np.array([-along[1], along[0]])
    covariance = long**2 * np.outer(along, along) + (long**2 - apart**2) * np.outer(across, across)
    return centre / _DISPLAY, covariance / _DISPLAY**2


# XML


def _name(space: str, tag: str) -> str:
    return f"{{{_SPACES[space]}}}{tag}"


def _tag(element: etree._Element) -> str:
    return etree.QName(element).localname


def _plain(element: etree._Element | None, name: str) -> str | None:
    value = None if element is None else element.get(name)
    return None if value is None else str(value)


def _attribute(element: etree._Element, name: str) -> str | None:
    """Value of an attribute, in whichever name space or in none."""
    for key in (*(_name(space, name) for space in _SPACES), name):
        value = element.get(key)
        if value is not None:
            return str(value).strip()
    return None


def _channel_name(element: etree._Element, attribute: str) -> str:
    name = _attribute(element, attribute)
    if not name:
        raise NotUnderstoodError("a channel has no name", "the name of a channel")
    return name


def _count(element: etree._Element | None) -> int | None:
    """Stored count; FlowJo writes -1 or 0 for what it had not counted yet."""
    text = _plain(element, "count") or ""
    return int(text) if text.isdecimal() and int(text) > 0 else None


def _number(element: etree._Element, name: str) -> float:
    text = _attribute(element, name)
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise NotUnderstoodError(f"{name} is '{text or ''}'", "a finite number")
    return value


def _coordinates(vertex: etree._Element) -> tuple[float, float]:
    values = [_number(entry, "value") for entry in vertex.iterfind(_name("gating", "coordinate"))]
    if len(values) != 2:
        raise NotUnderstoodError(f"a point of {len(values)} coordinates", "two")
    return values[0], values[1]
