"""FlowJo 9 workspaces (Mac, ``.xml``): XML in, the gates of every sample out.

Corners are stored on the linear scale, compensated where a channel stands in angle brackets,
and joined by straight lines on the display scale of their axes. That scale is a table of 4097
values for each channel (``CalibrationTables``), logarithmic or linear. Since a table is
straight between its entries, a polygon on tables is a polygon on the linear scale with more
corners: edges are divided until they lie within a twelfth of an entry of what FlowJo draws.
Rectangles and ranges need no scale; what touches the end of an axis is open there, because
FlowJo shows the events beyond it at its end. Time is in seconds.

Acquisition-defined compensation is the spillover of each FCS file. What cannot be understood
is left out by name, with what lies inside it.

Source: workspaces of FlowJo 9.2 (R package flowWorkspaceData: A2004Analysis.xml).
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from lxml import etree
from numpy.typing import NDArray

from exvivo.errors import InputError, fault
from exvivo.formats.markup import parse_markup
from exvivo.formats.populations import NEAR, Ends, NotUnderstoodError, Points, Populations, complement, open_ends
from exvivo.numerics import cells
from exvivo.study.design import (
    BooleanGate,
    Dimension,
    Gate,
    GatingTree,
    PolygonGate,
    RectangleGate,
    SampleGates,
    SpilloverMatrix,
)

Array = NDArray[np.float64]

_TOP = "a FlowJo 9 workspace"
_REDRAW = "Correct it in FlowJo and save the workspace again"
_MATRIX = "workspace"
_FAR = 1e12
_NEAR_LINE = 2e-5  # of an axis, a twelfth of a table's entry
_DEEPEST = 12
_ROUND = 256  # corners of an ellipse
_ACQUIRED, _NONE = "-1", "-2"
_TERM = re.compile(r"(!?)\s*G(\d+)")


@dataclass(frozen=True, slots=True)
class _Scale:
    """Display positions of linear values on one axis, straight between the entries of a table or by a rule."""

    values: Array
    shown: Array
    curved: bool = True

    def position(self, value: float) -> float:
        """Where a linear value is shown: 0 at the bottom, 1 at the top; a table ends there, a linear axis goes on."""
        if not self.curved:
            return (value - float(self.values[0])) / float(self.values[-1] - self.values[0])
        return float(np.interp(value, self.values, self.shown))

    def value(self, position: float) -> float:
        """Linear value of a position."""
        if not self.curved:
            return float(self.values[0]) + position * float(self.values[-1] - self.values[0])
        return float(np.interp(position, self.shown, self.values))

    @property
    def ends(self) -> Ends:
        """Ends of the axis in linear values."""
        return Ends(float(self.values[0]), float(self.values[-1]), -_FAR, _FAR)


@dataclass(slots=True)
class _Tables:
    """Calibration tables of a workspace, each read once."""

    listed: Sequence[etree._Element]
    made: dict[int, _Scale] = field(default_factory=dict)

    def named(self, name: str) -> int | None:
        """Position of the table of that name."""
        return next((index for index, table in enumerate(self.listed) if str(table.get("name") or "").strip() == name), None)

    def scale(self, index: int) -> _Scale:
        """The scale of a table by its position."""
        if index not in self.made:
            self.made[index] = _tabulated(self.listed[index])
        return self.made[index]


@dataclass(slots=True)
class _Sample:
    """What has been understood of one sample so far."""

    found: Populations
    tables: _Tables
    compensation: str = "uncompensated"
    affixes: tuple[str, str] = ("", "")
    matrix: SpilloverMatrix | None = None
    matrix_name: str = ""
    parameters: dict[str, etree._Element] = field(default_factory=dict)


def parse(source: Path | bytes) -> tuple[SampleGates, ...]:
    """Gates of every sample of a FlowJo 9 workspace, in the order of the file.

    Parameters
    ----------
    source : path of a file, or its bytes

    Returns
    -------
    tuple of SampleGates : those that cannot be understood have ``faults`` and no gates

    Raises
    ------
    InputError : no XML, no FlowJo workspace, no samples in it
    """
    where = source.name if isinstance(source, Path) else "FlowJo data"
    root = parse_markup(source.read_bytes() if isinstance(source, Path) else source, where, _TOP, bare_type=True)
    version = str(root.get("flowJoVersion") or "")
    if root.tag != "Workspace" or not version.startswith(("8", "9")):
        found = f"the outermost element is {root.tag} of FlowJo {version or 'of an unknown version'}"
        raise InputError(fault(where, found, _TOP, "Save it from FlowJo 9, or from FlowJo 10 as .wsp"))
    elements = root.findall("SampleList/Sample") or root.findall("Samples/Sample")
    if not elements:
        raise InputError(fault(where, "the workspace holds no samples", "one or more", "Add the FCS files in FlowJo and save it again"))
    matrices = root.findall("CompensationMatrices/CompensationMatrix")
    tables = _Tables(root.findall("CalibrationTables/Table"))
    return tuple(_read_sample(where, element, matrices, tables) for element in elements)


def _read_sample(where: str, element: etree._Element, matrices: Sequence[etree._Element], tables: _Tables) -> SampleGates:
    node = element.find("SampleNode")
    keywords = {key.get("name"): str(key.get("value") or "").strip() for key in element.iterfind("Keywords/Keyword")}
    name = _named(node) if node is not None else ""
    file = keywords.get("$FIL") or name
    found = Populations(f"{where}, sample '{name or file}'", _REDRAW)
    sample = _Sample(found, tables)
    sample.parameters = {str(parameter.get("name") or ""): parameter for parameter in element.iterfind("Parameter")}
    try:
        _read_compensation(sample, str(element.get("compensationID") or ""), matrices)
    except NotUnderstoodError as problem:
        found.note(element, "compensation", problem)
    if node is not None:
        _read_populations(sample, node, None)
    events = element.get("eventCount") or (node.get("count") if node is not None else None)
    number = str(element.get("sampleID") or (node.get("sampleID") if node is not None else "") or "")
    identity = SampleGates(GatingTree(()), sample.compensation, name or file, file, number, _count(events))
    return found.finish(identity, {} if sample.matrix is None else {_MATRIX: sample.matrix})


# compensation


def _read_compensation(sample: _Sample, number: str, matrices: Sequence[etree._Element]) -> None:
    if number == _ACQUIRED:
        sample.compensation, sample.affixes, sample.matrix_name = "FCS", ("<", ">"), "Acquisition-defined"
    elif number == _NONE:
        sample.affixes = ("<", ">")
    elif number:
        position = int(number) if number.isdecimal() else 0
        if not 1 <= position <= len(matrices):
            raise NotUnderstoodError(f"matrix {number} of {len(matrices)}", "a matrix of the workspace")
        _read_matrix(sample, matrices[position - 1])


def _read_matrix(sample: _Sample, element: etree._Element) -> None:
    rows = {_either(row, "name", "fluorName"): _row(row) for row in element.iterfind("Channel")}
    detectors = list(next(iter(rows.values()), {}))
    if set(rows) != set(detectors) or any(set(row) != set(detectors) for row in rows.values()):
        raise NotUnderstoodError(f"a matrix of {len(rows)} rows for {len(detectors)} channels", "one value for each pair of channels")
    matrix = tuple(tuple(rows[source][detector] for detector in detectors) for source in detectors)
    try:
        cells.unmixing(matrix)
    except ValueError as problem:
        raise NotUnderstoodError(str(problem)) from problem
    sample.matrix = SpilloverMatrix(tuple(detectors), tuple(detectors), matrix)
    sample.compensation, sample.matrix_name = _MATRIX, _either(element, "name", "matrixName")
    sample.affixes = (str(element.get("prefix") or ""), str(element.get("suffix") or ""))


def _row(element: etree._Element) -> dict[str, float]:
    return {
        _either(entry, "name", "fluorName"): _finite(entry.get("value") or entry.get("spillValue"), "a spill value")
        for entry in element.iterfind("ChannelValue")
    }


# scales


def _axis(sample: _Sample, given: str) -> tuple[Dimension, _Scale | NotUnderstoodError]:
    """Channel without its affixes, compensated if it had them, and its scale or why there is none."""
    prefix, suffix = sample.affixes
    bare = given.removeprefix(prefix).removesuffix(suffix) if prefix and given.startswith(prefix) and given.endswith(suffix) else given
    if bare not in sample.parameters:
        raise NotUnderstoodError(f"'{given}' is not among the parameters of the sample", ", ".join(sample.parameters) or "a channel")
    known = sample.matrix.fluorochromes if sample.matrix is not None else [bare]
    compensated = bare != given and bare in known
    compensation = sample.compensation if compensated else "uncompensated"
    try:
        return Dimension(bare, compensation), _scale(sample, bare, given, compensated=compensated)
    except NotUnderstoodError as problem:
        return Dimension(bare, compensation), problem


def _scale(sample: _Sample, bare: str, given: str, *, compensated: bool) -> _Scale:
    parameter = sample.parameters[bare]
    if parameter.get("log") != "1":
        top = _finite(parameter.get("range"), "range") / (_finite(parameter.get("gain") or "1", "gain") or 1.0)
        if top <= 0:
            raise NotUnderstoodError(f"the axis of {bare} ends at {top:g}", "a range above 0")
        return _Scale(np.array([0.0, top]), np.array([0.0, 1.0]), curved=False)
    own = sample.tables.named(f"{sample.matrix_name} {given}".strip()) if compensated else None
    index = str(parameter.get("calibrationIndex") or "0")
    if own is None and index.isdecimal() and 1 <= int(index) <= len(sample.tables.listed):
        own = int(index) - 1
    return _logarithmic(parameter, bare) if own is None else sample.tables.scale(own)


def _logarithmic(parameter: etree._Element, bare: str) -> _Scale:
    low, high = (_finite(parameter.get(name), name) for name in ("lowValue", "highValue"))
    if not 0 < low < high:
        raise NotUnderstoodError(f"the logarithmic axis of {bare} runs from {low:g} to {high:g}", "two numbers above 0")
    return _Scale(np.geomspace(low, high, 4097), np.linspace(0.0, 1.0, 4097))


def _tabulated(table: etree._Element) -> _Scale:
    """The table's own entries, or those of its parameters where it has none."""
    name = table.get("name")
    text = (table.text or "").strip().rstrip(",")
    if text:
        numbers = np.array([_finite(part, f"an entry of the table '{name}'") for part in text.split(",")])
        shown, values = numbers[0::2], numbers[1::2]
        if len(shown) != len(values) or len(shown) < 2 or np.any(np.diff(shown) <= 0) or np.any(np.diff(values) <= 0):
            raise NotUnderstoodError(f"the table '{name}' does not rise", "pairs of position and value in order")
        return _Scale(values, (shown - shown[0]) / (shown[-1] - shown[0]))
    parts = {"pos": "Decades", "neg": "NegDecades", "width": "Width"}
    parameters = {key: _finite(table.get(f"biexponential{part}"), f"biexponential{part}") for key, part in parts.items()}
    parameters["maxRange"] = 262144.0
    try:
        return _Scale(cells.biex_table(**parameters), np.linspace(0.0, 1.0, 4097))
    except ValueError as problem:
        raise NotUnderstoodError(f"the table '{name}' has no entries, and {problem}", "a table of values") from problem


# populations


def _read_populations(sample: _Sample, node: etree._Element, parent: str | None) -> None:
    for element in node.iterfind("Population"):
        name = _named(element)
        path = f"{parent}/{name}" if parent else name
        try:
            sample.found.add(*_read_population(sample, element, path, parent))
        except NotUnderstoodError as problem:
            sample.found.refuse(element, path, problem)
        if (count := _count(element.get("count"))) is not None:
            sample.found.counts[path] = count
        _read_populations(sample, element, path)


def _read_population(sample: _Sample, element: etree._Element, path: str, parent: str | None) -> list[Gate]:
    if not _named(element):
        raise NotUnderstoodError("a population without a name", "a name")
    boolean, drawn = element.find("BooleanGate"), element.find("PolygonGate")
    if boolean is not None:
        return _boolean(sample, boolean, path, parent)
    shapes = [child for child in (drawn if drawn is not None else ()) if child.tag not in ("ParameterNames", "Graph")]
    if len(shapes) != 1:
        raise NotUnderstoodError(f"it holds {len(shapes)} gates", f"one of {', '.join(_SHAPES)}")
    shape = shapes[0]
    if shape.tag not in _SHAPES:
        raise NotUnderstoodError(f"this kind of gate, {shape.tag}, is not supported", ", ".join(_SHAPES))
    outside = str(shape.get("negated") or "0") not in ("0", "false")
    inner = f"{path} (shape)" if outside else path
    gate = _SHAPES[str(shape.tag)](sample, shape, inner, parent)
    return [gate, complement(path, parent, inner)] if outside else [gate]


def _rectangle(sample: _Sample, shape: etree._Element, path: str, parent: str | None) -> Gate:
    """Rectangle or range: the corners' extent, open where it touches the end of an axis."""
    corners = np.array(_corners(shape))
    sides = []
    names = _axes(shape)
    columns = corners.T if len(names) > 1 or np.ptp(corners[:, 0]) > 0 else corners.T[::-1]
    for name, values in zip(names, columns, strict=False):
        dimension, scale = _axis(sample, name)
        low, high = float(values.min()), float(values.max())
        if isinstance(scale, _Scale):
            near = NEAR * (scale.ends.high - scale.ends.low)
            bounds = (None if low <= scale.ends.low + near else low, None if high >= scale.ends.high - near else high)
        else:
            bounds = (low, high)
        sides.append(Dimension(dimension.channel, dimension.compensation, None, *bounds))
    return RectangleGate(path, parent, tuple(sides))


def _polygon(sample: _Sample, shape: etree._Element, path: str, parent: str | None) -> Gate:
    corners = _corners(shape)
    if len(corners) < 3:
        raise NotUnderstoodError(f"a polygon of {len(corners)} corners", "three or more")
    dimensions, scales = _two_axes(sample, shape)
    inside = [(_shown(scales[0], x), _shown(scales[1], y)) for x, y in corners]
    return PolygonGate(path, parent, dimensions, tuple(open_ends(_divided(inside, scales), [scale.ends for scale in scales])))


def _ellipse(sample: _Sample, shape: etree._Element, path: str, parent: str | None) -> Gate:
    """Ends of one axis, then of the other, on the linear scale; the ellipse is one on the display scale."""
    corners = _corners(shape)
    if len(corners) != 4:
        raise NotUnderstoodError(f"an ellipse of {len(corners)} points", "the two ends of both axes")
    dimensions, scales = _two_axes(sample, shape)
    shown = np.array([[scale.position(value) for scale, value in zip(scales, corner, strict=True)] for corner in corners])
    centre, first, second = shown.mean(axis=0), (shown[0] - shown[1]) / 2.0, (shown[2] - shown[3]) / 2.0
    if abs(float(np.linalg.det([first, second]))) < NEAR**2:
        raise NotUnderstoodError("the four points of the ellipse lie on a line", "the two ends of both axes")
    angles = np.arange(_ROUND) * (2.0 * math.pi / _ROUND)
    around = centre + np.outer(np.cos(angles), first) + np.outer(np.sin(angles), second)
    corners = [(scales[0].value(float(x)), scales[1].value(float(y))) for x, y in around]
    return PolygonGate(path, parent, dimensions, tuple(open_ends(_divided(corners, scales), [scale.ends for scale in scales])))


_SHAPES = {"Polygon": _polygon, "PolyRect": _rectangle, "Ellipse": _ellipse, "Range": _rectangle}


def _two_axes(sample: _Sample, shape: etree._Element) -> tuple[tuple[Dimension, Dimension], tuple[_Scale, _Scale]]:
    names = _axes(shape)
    if len(names) != 2:
        raise NotUnderstoodError(f"a shape on {len(names)} axes", "two")
    (first, one), (second, two) = (_axis(sample, name) for name in names)
    return (first, second), (_understood(one), _understood(two))


def _understood(scale: _Scale | NotUnderstoodError) -> _Scale:
    if isinstance(scale, NotUnderstoodError):
        raise scale
    return scale


def _shown(scale: _Scale, value: float) -> float:
    """The value that stands at a corner's place: a table ends where the axis does."""
    return min(max(value, scale.ends.low), scale.ends.high) if scale.curved else value


def _divided(corners: Points, scales: tuple[_Scale, _Scale]) -> Points:
    """Corners on the linear scale of a polygon whose edges are straight on the display scale."""
    if not any(scale.curved for scale in scales):
        return corners
    shown = [(scales[0].position(x), scales[1].position(y)) for x, y in corners]
    out: Points = []
    for position, corner in enumerate(corners):
        following = (position + 1) % len(corners)
        out.append(corner)
        out += _between((shown[position], shown[following]), (corner, corners[following]), scales, _DEEPEST)
    return out


def _between(
    shown: Sequence[tuple[float, float]], drawn: Sequence[tuple[float, float]], scales: tuple[_Scale, _Scale], deep: int
) -> Points:
    """Corners to add between two, such that the chord stays near the line that is shown."""
    (ax, ay), (bx, by) = shown
    length = math.hypot(bx - ax, by - ay)
    if deep == 0 or length <= _NEAR_LINE:
        return []
    for share in (0.25, 0.5, 0.75):
        x, y = (scale.position(a + share * (b - a)) for scale, a, b in zip(scales, drawn[0], drawn[1], strict=True))
        if abs((bx - ax) * (y - ay) - (by - ay) * (x - ax)) > _NEAR_LINE * length:
            break
    else:
        return []
    middle = ((ax + bx) / 2.0, (ay + by) / 2.0)
    there = (scales[0].value(middle[0]), scales[1].value(middle[1]))
    before = _between((shown[0], middle), (drawn[0], there), scales, deep - 1)
    return [*before, there, *_between((middle, shown[1]), (there, drawn[1]), scales, deep - 1)]


def _boolean(sample: _Sample, element: etree._Element, path: str, parent: str | None) -> list[Gate]:
    """Gates joined by one kind of sign: ``G0 & !G1``, ``G0 | G1``, ``!G0``."""
    told = str(element.get("specification") or "")
    targets = [_target(sample, _unquoted(entry), parent) for entry in element.iterfind("GatePaths/*/*")]
    terms, signs = _TERM.findall(told), set(_TERM.sub("", told).replace(" ", ""))
    if not terms or signs not in (set(), {"&"}, {"|"}) or any(int(number) >= len(targets) for _, number in terms):
        raise NotUnderstoodError(
            f"the combination '{told}' of {len(targets)} populations", "populations joined by & or by |, each with ! or not"
        )
    operands = tuple((targets[int(number)], bool(mark)) for mark, number in terms)
    outside = str(element.get("negated") or "0") not in ("0", "false")
    if len(operands) == 1:
        same = operands[0][1] == outside
        doubled = ((operands[0][0], False), (operands[0][0], False))
        return [BooleanGate(path, parent, "and", doubled) if same else BooleanGate(path, parent, "not", doubled[:1])]
    operator = "or" if signs == {"|"} else "and"
    if outside:  # the complement of both is one or the other's complement
        return [BooleanGate(path, parent, "and" if operator == "or" else "or", tuple((name, not mark) for name, mark in operands))]
    return [BooleanGate(path, parent, operator, operands)]


def _target(sample: _Sample, told: str, parent: str | None) -> str:
    """Path of a population that a Boolean gate names: from the root, or from one of the gates around it."""
    wanted = told.strip("/")
    for around in _upwards(parent):
        path = f"{around}/{wanted}" if around else wanted
        if path in sample.found.gates or path in sample.found.refused:
            return path
    return wanted


def _upwards(path: str | None) -> Iterator[str]:
    yield ""
    while path:
        yield path
        path = path.rpartition("/")[0]


# XML


def _axes(shape: etree._Element) -> list[str]:
    return [name for axis in "xy" if (name := str(shape.get(f"{axis}AxisName") or ""))]


def _corners(shape: etree._Element) -> Points:
    corners = [tuple(_finite(vertex.get(axis), axis) for axis in "xy") for vertex in shape.iterfind("Polygon/Vertex")]
    if len(corners) < 2:
        raise NotUnderstoodError(f"a shape of {len(corners)} corners", "two or more")
    return [(x, y) for x, y in corners]


def _unquoted(element: etree._Element) -> str:
    text = (element.text or "").strip()
    return text[1:-1].strip() if element.tag == "QuotedString" and len(text) > 1 else text


def _named(element: etree._Element) -> str:
    return str(element.get("name") or element.get("nodeName") or "").strip()


def _either(element: etree._Element, *names: str) -> str:
    found = next((value for name in names if (value := element.get(name))), "")
    if not found:
        raise NotUnderstoodError(f"{element.tag} has no name", "the name of a channel or a matrix")
    return str(found)


def _count(text: str | None) -> int | None:
    """Stored count; 0, -1 and nothing mean that FlowJo had not counted."""
    return int(text) if text and text.isdecimal() and int(text) > 0 else None


def _finite(text: str | None, what: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise NotUnderstoodError(f"{what} is '{text or ''}'", "a finite number")
    return value
