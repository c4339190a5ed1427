"""Gating-ML 2.0: XML in, a tree of gates out, and back.

Rectangles, polygons, ellipsoids, boolean gates and quadrants (each quadrant becomes the
rectangle it is), spectrum matrices, and the scales flin, flog, fasinh, logicle, hyperlog
and fratio. A file is read to its end and all its faults are told together; nothing in it
can name another file, since neither document types nor entities are read.

Source: Gating-ML 2.0, ISAC recommendation (2013).
"""

import heapq
import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import MappingProxyType

import numpy as np
from lxml import etree

from exvivo.errors import InputError, fault
from exvivo.formats.markup import parse_markup
from exvivo.numerics import cells
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

_SPACES = {
    name: f"http://www.isac-net.org/std/Gating-ML/v2.0/{path}"
    for name, path in (("gating", "gating"), ("transforms", "transformations"), ("data-type", "datatypes"))
}
_GATES = ("RectangleGate", "PolygonGate", "EllipsoidGate", "BooleanGate", "QuadrantGate")
_SCALES = (TransformKind.LINEAR, TransformKind.LOG, TransformKind.ASINH, TransformKind.LOGICLE, TransformKind.HYPERLOG)
_OWN = "{https://exvivo.invalid/gates}"  # of the names that are no XML ids
_PLAIN_ID = re.compile(r"[^\W\d][\w.-]*")
_NOTHING = "Correct the gate in the program that wrote the file"


class _Fault(Exception):  # noqa: N818 - an inner signal, turned into one message of an InputError
    """One element that cannot be understood."""

    def __init__(self, found: str, expected: str = "", action: str = _NOTHING) -> None:
        super().__init__(found)
        self.found, self.expected, self.action = found, expected, action


@dataclass(slots=True)
class _Document:
    """What has been understood so far."""

    where: str
    transforms: dict[str, Transform] = field(default_factory=dict)
    ratios: dict[str, Ratio] = field(default_factory=dict)
    matrices: dict[str, SpilloverMatrix] = field(default_factory=dict)
    gates: list[Gate] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def note(self, element: etree._Element, problem: _Fault) -> None:
        identifier = _attribute(element, "id") or "without id"
        place = f"{self.where}, line {element.sourceline}, {_tag(element)} '{identifier}'"
        self.faults.append(fault(place, problem.found, problem.expected, problem.action))


def parse(source: Path | bytes) -> GatingTree:
    """Gates of a Gating-ML 2.0 file, parents and operands before the gates that use them.

    Parameters
    ----------
    source : path of a file, or its bytes

    Raises
    ------
    InputError : no XML, a document type, an unknown kind of gate or scale, a reference to nothing, a circle of gates
    """
    where = source.name if isinstance(source, Path) else "Gating-ML data"
    root = _root(source.read_bytes() if isinstance(source, Path) else source, where)
    document = _Document(where)
    for element in root.iter(_name("transforms", "transformation"), _name("transforms", "spectrumMatrix")):
        _read_one(document, element)
    for element in root.iter(*(_name("gating", kind) for kind in _GATES)):
        _read_one(document, element)
    _refuse_unknown_gates(document, root)
    document.gates = [_renamed(gate, document.names) for gate in document.gates]
    gates = _in_order(document)
    if document.faults:
        raise InputError(document.faults)
    return GatingTree(gates, MappingProxyType(document.matrices))


def compose(tree: GatingTree) -> bytes:
    """Gating-ML 2.0 file of a tree; reading it back gives the same tree.

    Names that are no XML ids get ids of their own and stand in ``custom_info``. Bounds on scales that only FlowJo has are
    turned back to linear values, which the file then gives.

    Raises
    ------
    InputError : gates that Gating-ML cannot hold, all of them by name: polygons and ellipses on a scale that only FlowJo has
    """
    faults = [
        fault(f"matrix '{name}'", "Gating-ML keeps this name for itself", "another name", "Rename the matrix")
        for name in tree.matrices
        if name in ("FCS", "uncompensated")
    ]
    gates = _expressible(tree.gates, faults)
    if faults:
        raise InputError(faults)
    root = etree.Element(_name("gating", "Gating-ML"), nsmap=_SPACES)
    for name, matrix in tree.matrices.items():
        _write_matrix(root, name, matrix)
    written: set[str] = set()
    for gate in gates:
        for dimension in () if isinstance(gate, BooleanGate) else gate.dimensions:
            _write_transform(root, dimension.transform, written)
            _write_ratio(root, dimension, written)
    ids = _ids(gates)
    for gate in gates:
        element = _write_gate(root, _renamed(gate, ids))
        if ids[gate.name] != gate.name:
            info = etree.Element(_name("data-type", "custom_info"))
            etree.SubElement(info, f"{_OWN}name", nsmap={"exvivo": _OWN.strip("{}")}).text = gate.name
            element.insert(0, info)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _root(raw: bytes, where: str) -> etree._Element:
    root = parse_markup(raw, where, "a Gating-ML 2.0 file")
    if root.tag != _name("gating", "Gating-ML"):
        found = f"the outermost element is {_tag(root)}"
        raise InputError(fault(where, found, f"Gating-ML in the name space {_SPACES['gating']}", "Export as Gating-ML 2.0"))
    return root


def _read_one(document: _Document, element: etree._Element) -> None:
    own = element.find(f"{_name('data-type', 'custom_info')}/{_OWN}name")
    if own is not None and own.text:
        document.names[_attribute(element, "id") or ""] = own.text
    try:
        _READERS[_tag(element)](document, element)
    except _Fault as problem:
        document.note(element, problem)


# reading scales and matrices


def _read_transformation(document: _Document, element: etree._Element) -> None:
    name = _identifier(element)
    if name in document.transforms or name in document.ratios:
        raise _Fault("the id is used twice", "one transformation for each id")
    kinds = [child for child in element if isinstance(child.tag, str) and child.tag.startswith(f"{{{_SPACES['transforms']}}}")]
    if len(kinds) != 1:
        raise _Fault(f"it holds {len(kinds)} scales", "one")
    kind, parameters = _tag(kinds[0]), _parameters(kinds[0])
    if kind == "fratio":
        document.ratios[name] = _ratio(kinds[0], parameters)
    elif kind in _SCALES:
        try:
            cells.check_parameters(kind, parameters)
        except ValueError as problem:
            raise _Fault(str(problem)) from problem
        document.transforms[name] = Transform(TransformKind(kind), MappingProxyType(parameters))
    else:
        raise _Fault(f"the scale {kind} is not supported", ", ".join([*_SCALES, "fratio"]))


def _ratio(element: etree._Element, parameters: Mapping[str, float]) -> Ratio:
    channels = [_fcs_name(child) for child in element.iterfind(_name("data-type", "fcs-dimension"))]
    if len(channels) != 2 or set(parameters) != {"A", "B", "C"}:
        raise _Fault("the ratio is not complete", "two channels and A, B, C")
    return Ratio(channels[0], channels[1], parameters["A"], parameters["B"], parameters["C"])


def _parameters(element: etree._Element) -> dict[str, float]:
    prefix = f"{{{_SPACES['transforms']}}}"
    return {str(key).removeprefix(prefix): _finite(str(value)) for key, value in element.attrib.items() if str(key).startswith(prefix)}


def _read_matrix(document: _Document, element: etree._Element) -> None:
    name = _identifier(element)
    if name in document.matrices or name in ("FCS", "uncompensated"):
        raise _Fault("the id is used twice", "one matrix for each id, none called FCS or uncompensated")
    if _attribute(element, "matrix-inverted-already") in ("true", "1"):
        raise _Fault("the matrix is inverted already", "a spillover matrix", "Export the spillover, not its inverse")
    lists = [
        tuple(_fcs_name(child) for child in element.iterfind(f"{_name('transforms', part)}/{_name('data-type', 'fcs-dimension')}"))
        for part in ("fluorochromes", "detectors")
    ]
    rows = tuple(
        tuple(_number(child, "value") for child in spectrum.iterfind(_name("transforms", "coefficient")))
        for spectrum in element.iterfind(_name("transforms", "spectrum"))
    )
    if len(rows) != len(lists[0]) or any(len(row) != len(lists[1]) for row in rows):
        raise _Fault(f"{len(rows)} spectra for {len(lists[0])} fluorochromes and {len(lists[1])} detectors", "one value for each pair")
    try:
        cells.unmixing(rows)
    except ValueError as problem:
        raise _Fault(str(problem)) from problem
    document.matrices[name] = SpilloverMatrix(lists[0], lists[1], rows)


# reading gates


def _read_rectangle(document: _Document, element: etree._Element) -> None:
    document.gates.append(RectangleGate(_identifier(element), _attribute(element, "parent_id"), _dimensions(document, element)))


def _read_polygon(document: _Document, element: etree._Element) -> None:
    dimensions = _dimensions(document, element)
    if len(dimensions) != 2:
        raise _Fault(f"a polygon in {len(dimensions)} dimensions", "two")
    vertices = []
    for vertex in element.iterfind(_name("gating", "vertex")):
        x, y = _coordinates(vertex, 2)
        vertices.append((x, y))
    if len(vertices) < 3:
        raise _Fault(f"a polygon of {len(vertices)} vertices", "three or more")
    document.gates.append(PolygonGate(_identifier(element), _attribute(element, "parent_id"), dimensions, tuple(vertices)))


def _read_ellipsoid(document: _Document, element: etree._Element) -> None:
    dimensions = _dimensions(document, element)
    mean = _coordinates(_only(element, "mean"), len(dimensions))
    covariance = tuple(
        tuple(_number(entry, "value") for entry in row.iterfind(_name("gating", "entry")))
        for row in _only(element, "covarianceMatrix").iterfind(_name("gating", "row"))
    )
    if len(covariance) != len(dimensions) or any(len(row) != len(dimensions) for row in covariance):
        raise _Fault(f"a covariance matrix of {len(covariance)} rows", f"{len(dimensions)} rows and columns")
    try:
        cells.in_ellipsoid(np.zeros((1, len(mean))), mean, covariance, 1.0)
    except ValueError as problem:
        raise _Fault(str(problem)) from problem
    square = _number(_only(element, "distanceSquare"), "value")
    if square < 0:
        raise _Fault(f"the squared distance is {square:g}", "0 or more")
    document.gates.append(EllipsoidGate(_identifier(element), _attribute(element, "parent_id"), dimensions, mean, covariance, square))


def _read_boolean(document: _Document, element: etree._Element) -> None:
    operators = [child for kind in ("and", "or", "not") for child in element.iterfind(_name("gating", kind))]
    if len(operators) != 1:
        raise _Fault(f"it holds {len(operators)} operations", "one of and, or, not")
    operands = []
    for reference in operators[0].iterfind(_name("gating", "gateReference")):
        target = _attribute(reference, "ref")
        if target is None:
            raise _Fault("a gateReference without ref", "the id of a gate")
        operands.append((target, _attribute(reference, "use-as-complement") in ("true", "1")))
    operator = _tag(operators[0])
    if (len(operands) != 1) if operator == "not" else (len(operands) < 2):
        raise _Fault(f"'{operator}' of {len(operands)} gates", "one gate for 'not', two or more for 'and' and 'or'")
    document.gates.append(BooleanGate(_identifier(element), _attribute(element, "parent_id"), operator, tuple(operands)))


def _read_quadrants(document: _Document, element: etree._Element) -> None:
    """Every quadrant becomes a rectangle; the gate that holds them has no events of its own."""
    dividers: dict[str, tuple[Dimension, list[float]]] = {}
    for divider in element.iterfind(_name("gating", "divider")):
        values = sorted(_finite(value.text) for value in divider.iterfind(_name("gating", "value")))
        dividers[_identifier(divider)] = (_dimension(document, divider), values)
    parent = _attribute(element, "parent_id")
    for quadrant in element.iterfind(_name("gating", "Quadrant")):
        sides = tuple(_quadrant_side(dividers, position) for position in quadrant.iterfind(_name("gating", "position")))
        if not sides:
            raise _Fault("a quadrant without positions", "one position for each divider that matters")
        document.gates.append(RectangleGate(_identifier(quadrant), parent, sides))


def _quadrant_side(dividers: Mapping[str, tuple[Dimension, list[float]]], position: etree._Element) -> Dimension:
    reference = _attribute(position, "divider_ref") or ""
    if reference not in dividers:
        raise _Fault(f"a position refers to the divider '{reference}', which does not exist", ", ".join(dividers))
    dimension, values = dividers[reference]
    location = _number(position, "location")
    low = max((value for value in values if value <= location), default=None)
    high = min((value for value in values if value > location), default=None)
    return Dimension(dimension.channel, dimension.compensation, dimension.transform, low, high, dimension.ratio)


def _dimensions(document: _Document, element: etree._Element) -> tuple[Dimension, ...]:
    dimensions = tuple(_dimension(document, child) for child in element.iterfind(_name("gating", "dimension")))
    if not dimensions:
        raise _Fault("a gate without dimensions", "one or more")
    return dimensions


def _dimension(document: _Document, element: etree._Element) -> Dimension:
    compensation = _attribute(element, "compensation-ref") or "uncompensated"
    if compensation not in ("FCS", "uncompensated", *document.matrices):
        raise _Fault(f"the compensation '{compensation}' is not in the file", ", ".join(["FCS", "uncompensated", *document.matrices]))
    scale = _attribute(element, "transformation-ref")
    if scale is not None and scale not in document.transforms:
        raise _Fault(f"the transformation '{scale}' is not in the file or not a scale", ", ".join(document.transforms) or "none is defined")
    bounds = [_attribute(element, side) for side in ("min", "max")]
    low, high = (None if bound is None else _finite(bound) for bound in bounds)
    if low is not None and high is not None and low > high:
        raise _Fault(f"min {low:g} lies above max {high:g}", "min below max")
    channel, ratio = _channel_or_ratio(document, element)
    return Dimension(channel, compensation, document.transforms[scale] if scale else None, low, high, ratio)


def _channel_or_ratio(document: _Document, element: etree._Element) -> tuple[str, Ratio | None]:
    for child in element.iterfind(_name("data-type", "fcs-dimension")):
        return _fcs_name(child), None
    for child in element.iterfind(_name("data-type", "new-dimension")):
        name = _attribute(child, "transformation-ref") or ""
        if name not in document.ratios:
            raise _Fault(f"the ratio '{name}' is not in the file", ", ".join(document.ratios) or "none is defined")
        return name, document.ratios[name]
    raise _Fault("a dimension without a channel", "fcs-dimension or new-dimension")


def _refuse_unknown_gates(document: _Document, root: etree._Element) -> None:
    for element in root.iter(f"{{{_SPACES['gating']}}}*"):
        if _tag(element).endswith("Gate") and _tag(element) not in _GATES:
            document.note(element, _Fault("this kind of gate is not supported", ", ".join(_GATES), "Redraw the gate as one of these"))


def _in_order(document: _Document) -> tuple[Gate, ...]:
    """Gates such that parents and operands come first; every name once, every reference to something."""
    by_name: dict[str, Gate] = {}
    for gate in document.gates:
        if by_name.setdefault(gate.name, gate) is not gate:
            document.faults.append(fault(document.where, f"two gates are called '{gate.name}'", "one gate for each id", _NOTHING))
    needs = {gate.name: _references(gate) for gate in document.gates}
    for name, targets in needs.items():
        for target in targets:
            if target not in by_name and not document.faults:
                document.faults.append(fault(document.where, f"gate '{name}' refers to '{target}', which is not in the file", "", _NOTHING))
    sorter = TopologicalSorter(needs)
    try:
        sorter.prepare()
    except CycleError as problem:
        circle = " -> ".join(problem.args[1])
        document.faults.append(fault(document.where, f"gates depend on each other in a circle: {circle}", "a tree", _NOTHING))
        return ()
    return tuple(by_name[name] for name in _stable(sorter, list(needs)) if name in by_name)


def _stable(sorter: "TopologicalSorter[str]", names: Sequence[str]) -> Iterator[str]:
    """Names in an order that holds: the file's own where that does."""
    places = {name: place for place, name in enumerate(names)}
    ready: list[tuple[int, str]] = []
    while sorter.is_active():
        for name in sorter.get_ready():
            heapq.heappush(ready, (places.get(name, -1), name))
        _, name = heapq.heappop(ready)
        yield name
        sorter.done(name)


def _references(gate: Gate) -> list[str]:
    operands = [name for name, _ in gate.operands] if isinstance(gate, BooleanGate) else []
    return ([gate.parent] if gate.parent else []) + operands


# XML


_READERS = MappingProxyType(
    {
        "transformation": _read_transformation,
        "spectrumMatrix": _read_matrix,
        "RectangleGate": _read_rectangle,
        "PolygonGate": _read_polygon,
        "EllipsoidGate": _read_ellipsoid,
        "BooleanGate": _read_boolean,
        "QuadrantGate": _read_quadrants,
    }
)


def _name(space: str, tag: str) -> str:
    return f"{{{_SPACES[space]}}}{tag}"


def _tag(element: etree._Element) -> str:
    return etree.QName(element).localname


def _attribute(element: etree._Element, name: str) -> str | None:
    """Value of an attribute, whichever of the standard's name spaces it is in."""
    for space in _SPACES:
        value = element.get(_name(space, name))
        if value is not None:
            return str(value).strip()
    return None


def _identifier(element: etree._Element) -> str:
    name = _attribute(element, "id")
    if not name:
        raise _Fault(f"{_tag(element)} has no id", "an id")
    return name


def _fcs_name(element: etree._Element) -> str:
    name = _attribute(element, "name")
    if not name:
        raise _Fault("a channel has no name", "the $PnN of a channel")
    return name


def _only(element: etree._Element, tag: str) -> etree._Element:
    found = list(element.iterfind(_name("gating", tag)))
    if len(found) != 1:
        raise _Fault(f"{len(found)} elements {tag}", "one")
    return found[0]


def _finite(text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _Fault(f"'{text}' stands where a number should", "a finite number")
    return value


def _number(element: etree._Element, name: str) -> float:
    return _finite(_attribute(element, name))


def _coordinates(element: etree._Element, count: int) -> tuple[float, ...]:
    values = tuple(_number(child, "value") for child in element.iterfind(_name("gating", "coordinate")))
    if len(values) != count:
        raise _Fault(f"{len(values)} coordinates", f"{count}, one for each dimension")
    return values


# writing


def _add(parent: etree._Element, space: str, tag: str, attributes: Mapping[str, str] | None = None) -> etree._Element:
    return etree.SubElement(parent, _name(space, tag), {_name(space, key): value for key, value in (attributes or {}).items()})


def _renamed(gate: Gate, names: Mapping[str, str]) -> Gate:
    """A gate with its name and the gates it refers to called otherwise."""
    called = replace(gate, name=names.get(gate.name, gate.name), parent=names.get(gate.parent, gate.parent) if gate.parent else None)
    if isinstance(called, BooleanGate):
        return replace(called, operands=tuple((names.get(name, name), complement) for name, complement in called.operands))
    return called


def _ids(gates: Sequence[Gate]) -> dict[str, str]:
    """An XML id for every name, the name itself where it is one."""
    taken = {gate.name for gate in gates}
    ids = {}
    for gate in gates:
        if _PLAIN_ID.fullmatch(gate.name):
            ids[gate.name] = gate.name
            continue
        stem = "g_" + re.sub(r"[^\w.-]", "_", gate.name)
        ids[gate.name] = next(one for one in _numbered(stem) if one not in taken)
        taken.add(ids[gate.name])
    return ids


def _numbered(stem: str) -> Iterator[str]:
    yield stem
    yield from (f"{stem}_{number}" for number in itertools.count(2))


def _expressible(gates: Sequence[Gate], faults: list[str]) -> list[Gate]:
    """Gates on scales of Gating-ML alone, ratios with names of their own."""
    ratios: dict[str, Ratio] = {}
    kept: list[Gate] = []
    for gate in gates:
        if isinstance(gate, BooleanGate):
            kept.append(gate)
            continue
        try:
            sides = tuple(_expressed(gate, dimension, ratios) for dimension in gate.dimensions)
        except _Fault as problem:
            faults.append(fault(f"gate '{gate.name}'", problem.found, problem.expected, problem.action))
            continue
        kept.append(replace(gate, dimensions=(sides[0], sides[1])) if isinstance(gate, PolygonGate) else replace(gate, dimensions=sides))
    return kept


def _expressed(gate: Gate, dimension: Dimension, ratios: dict[str, Ratio]) -> Dimension:
    if dimension.ratio is not None:
        free = next(one for one in _numbered(dimension.channel) if ratios.setdefault(one, dimension.ratio) == dimension.ratio)
        dimension = replace(dimension, channel=free)
    transform = dimension.transform
    if transform is None or transform.kind in _SCALES:
        return dimension
    if not isinstance(gate, RectangleGate):
        found = f"it is drawn on the scale {transform.kind}, which Gating-ML 2.0 does not have"
        raise _Fault(found, ", ".join(_SCALES), "Redraw it on one of these, or keep the workspace")
    floor, top = (0.0, 1.0) if transform.kind == TransformKind.BIEX else (0.0, math.inf)
    low, high = dimension.low, dimension.high
    if (low is not None and low > top) or (high is not None and high <= floor):
        raise _Fault(f"its bounds lie off the scale {transform.kind}, so that nothing is inside", "bounds on the scale", "Redraw it")
    low = None if low is None or low <= floor else float(cells.from_scale(transform.kind, low, transform.parameters))
    high = None if high is None or high > top else float(cells.from_scale(transform.kind, high, transform.parameters))
    return replace(dimension, transform=None, low=low, high=high)


def _write_matrix(root: etree._Element, name: str, matrix: SpilloverMatrix) -> None:
    element = _add(root, "transforms", "spectrumMatrix", {"id": name})
    for part, channels in (("fluorochromes", matrix.fluorochromes), ("detectors", matrix.detectors)):
        _write_channels(_add(element, "transforms", part), channels)
    for row in matrix.matrix:
        spectrum = _add(element, "transforms", "spectrum")
        for value in row:
            _add(spectrum, "transforms", "coefficient", {"value": repr(float(value))})


def _write_channels(parent: etree._Element, channels: Iterable[str]) -> None:
    for channel in channels:
        _add(parent, "data-type", "fcs-dimension", {"name": channel})


def _scale_id(transform: Transform) -> str:
    return "_".join([transform.kind.value, *(f"{name}{transform.parameters[name]!r}" for name in cells.parameter_names(transform.kind))])


def _write_transform(root: etree._Element, transform: Transform | None, written: set[str]) -> None:
    if transform is None or _scale_id(transform) in written:
        return
    written.add(_scale_id(transform))
    element = _add(root, "transforms", "transformation", {"id": _scale_id(transform)})
    _add(element, "transforms", transform.kind.value, {key: repr(float(value)) for key, value in transform.parameters.items()})


def _write_ratio(root: etree._Element, dimension: Dimension, written: set[str]) -> None:
    ratio = dimension.ratio
    if ratio is None or dimension.channel in written:
        return
    written.add(dimension.channel)
    element = _add(root, "transforms", "transformation", {"id": dimension.channel})
    inner = _add(element, "transforms", "fratio", {"A": repr(ratio.A), "B": repr(ratio.B), "C": repr(ratio.C)})
    _write_channels(inner, (ratio.numerator, ratio.denominator))


def _write_gate(root: etree._Element, gate: Gate) -> etree._Element:
    attributes = {"id": gate.name} | ({"parent_id": gate.parent} if gate.parent else {})
    element = _add(root, "gating", type(gate).__name__, attributes)
    if isinstance(gate, BooleanGate):
        operator = _add(element, "gating", gate.operator)
        for name, complement in gate.operands:
            _add(operator, "gating", "gateReference", {"ref": name} | ({"use-as-complement": "true"} if complement else {}))
        return element
    for dimension in gate.dimensions:
        _write_dimension(element, dimension)
    if isinstance(gate, PolygonGate):
        for vertex in gate.vertices:
            _write_coordinates(element, "vertex", vertex)
    elif isinstance(gate, EllipsoidGate):
        _write_coordinates(element, "mean", gate.mean)
        matrix = _add(element, "gating", "covarianceMatrix")
        for values in gate.covariance:
            row = _add(matrix, "gating", "row")
            for value in values:
                _write_value(_add(row, "gating", "entry"), value)
        _write_value(_add(element, "gating", "distanceSquare"), gate.distance_square)
    return element


def _write_dimension(parent: etree._Element, dimension: Dimension) -> None:
    attributes = {"compensation-ref": dimension.compensation}
    if dimension.transform is not None:
        attributes["transformation-ref"] = _scale_id(dimension.transform)
    attributes |= {key: repr(float(bound)) for key, bound in (("min", dimension.low), ("max", dimension.high)) if bound is not None}
    element = _add(parent, "gating", "dimension", attributes)
    if dimension.ratio is None:
        _write_channels(element, [dimension.channel])
    else:
        _add(element, "data-type", "new-dimension", {"transformation-ref": dimension.channel})


def _write_value(element: etree._Element, value: float) -> None:
    element.set(_name("data-type", "value"), repr(float(value)))


def _write_coordinates(parent: etree._Element, tag: str, values: Iterable[float]) -> None:
    element = _add(parent, "gating", tag)
    for value in values:
        _write_value(_add(element, "gating", "coordinate"), value)
