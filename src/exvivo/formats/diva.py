"""BD FACSDiva experiments (``.xml``): XML in, the gates of every tube out.

Diva counts on a grid of 256 steps of each axis: an event stands at the lower corner of its cell,
events beyond an axis stand in its outermost cell, and a gate has the events whose corner lies
inside or on its edge. A rectangle on the grid is a rectangle with its sides moved to the steps; a
polygon becomes the outline of its cells. Both are gates like any other and count as Diva does.

Corners are stored as they are drawn: data values on linear axes, decades on logarithmic ones,
4096ths of the axis on biexponential ones, which are logicle with T = 262144, M = 4.5, A = 0 and
W = (M - log10(T / r)) / 2 for the scale value r of the gate. Compensation is stored inverted, one
column for each parameter.

A tube without gates of its own takes none: the gates of a global worksheet are offered as a
sample of the worksheet's name, for every file, with the compensation that the file stores. What
cannot be understood is left out by name, with what lies inside it.

Source: an experiment of FACSDiva 6.1.3 (R package CytoML: PE_2.xml); the grid as found there by
D. Rach's CytoWeave (validation/diva-cases.mjs).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
from lxml import etree
from numpy.typing import NDArray

from exvivo.errors import InputError, fault
from exvivo.formats.markup import parse_markup
from exvivo.formats.outlines import outline
from exvivo.formats.populations import NotUnderstoodError, Points, Populations
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
    Transform,
    TransformKind,
)

_TOP = "an experiment that FACSDiva exported as XML"
_REDRAW = "Correct it in FACSDiva and export the experiment again"
_MATRIX = "workspace"
_RANGE, _DECADES = 262144.0, 4.5
_BINS = 4096.0
_STEPS = 256
_HAIR = 1e-9  # of an axis: an event on a step belongs to the step
_FAR = 1e6
_REGIONS = ("RECTANGLE_REGION", "POLYGON_REGION", "INTERVAL_REGION")
_DRAWN = ("Region_Classifier", "SnapTo_Classifier")
_BOOLEANS = {"AND_Classifier": "and", "OR_Classifier": "or", "NOT_Classifier": "not", "RestOf_Classifier": "not"}


@dataclass(frozen=True, slots=True)
class _Parameter:
    """What the instrument settings say of one parameter."""

    log: bool
    low: float
    high: float
    compensable: bool
    coefficients: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Axis:
    """One axis of a gate: positions from 0 to 1 of stored coordinates, and back to what is compared with events."""

    dimension: Dimension
    zero: float
    span: float
    top: float

    def steps(self, stored: Iterable[float]) -> NDArray[np.float64]:
        """Steps of the grid, not rounded."""
        return (np.array(list(stored)) - self.zero) / self.span * _STEPS

    def edge(self, step: int) -> float:
        """Where a step begins, on the scale of the dimension; the outermost ones are open."""
        if step <= 0:
            return -_FAR * self.top
        return _FAR * self.top if step >= _STEPS else (step / _STEPS - _HAIR) * self.top

    def side(self, first: int, last: int) -> Dimension:
        """A dimension bounded by the first and the last step that are inside."""
        own = self.dimension
        low, high = (None if first <= 0 else self.edge(first)), (None if last >= _STEPS - 1 else self.edge(last + 1))
        if first > last or first > _STEPS - 1 or last < 0:
            low = high = 0.0  # nothing lies in an interval that ends where it begins
        return Dimension(own.channel, own.compensation, own.transform, low, high)


@dataclass(slots=True)
class _Sample:
    """What has been understood of one tube or worksheet so far."""

    found: Populations
    parameters: Mapping[str, _Parameter]
    decades: float | None
    root: str = "All Events"
    compensation: str = "uncompensated"
    matrix: SpilloverMatrix | None = None
    problem: NotUnderstoodError | None = None
    quadrants: dict[str, etree._Element] = field(default_factory=dict)


def parse(source: Path | bytes) -> tuple[SampleGates, ...]:
    """Gates of every tube of a FACSDiva experiment, in the order of the file, then those of its global worksheets.

    Parameters
    ----------
    source : path of a file, or its bytes

    Returns
    -------
    tuple of SampleGates : those that cannot be understood have ``faults`` and no gates; worksheets name no file

    Raises
    ------
    InputError : no XML, no FACSDiva experiment, no tubes in it
    """
    where = source.name if isinstance(source, Path) else "FACSDiva data"
    root = parse_markup(source.read_bytes() if isinstance(source, Path) else source, where, _TOP, bare_type=True)
    experiments = root.findall("experiment") if root.tag == "bdfacs" else []
    if not experiments:
        raise InputError(fault(where, f"the outermost element is {root.tag}, without an experiment", _TOP, "Export the experiment as XML"))
    samples: list[SampleGates] = []
    for experiment in experiments:
        sheets = [_read_worksheet(where, experiment, sheet) for sheet in experiment.iterfind("acquisition_worksheets/worksheet_template")]
        offered = [sheet for sheet in sheets if sheet.tree.gates]
        for specimen in experiment.iterfind("specimen"):
            for tube in specimen.iterfind("tube"):
                samples.append(_read_tube(where, (experiment, specimen, tube), str(len(samples) + 1), offered))
        samples += offered
    if not samples:
        raise InputError(fault(where, "the experiment holds no tubes", "one or more", "Export an experiment with recorded tubes"))
    return tuple(samples)


def _read_tube(
    where: str, nested: tuple[etree._Element, etree._Element, etree._Element], number: str, offered: list[SampleGates]
) -> SampleGates:
    experiment, specimen, tube = nested
    name, file = f"{specimen.get('name') or ''}_{tube.get('name') or ''}", _text(tube, "data_filename")
    settings = next((found for one in (tube, specimen, experiment) if (found := one.find("instrument_settings")) is not None), None)
    sample = _Sample(Populations(f"{where}, tube '{name}'", _REDRAW), _parameters(settings), _decades(experiment))
    if settings is not None and _text(settings, "compensation_enabled") == "true":
        try:
            _read_matrix(sample)
        except NotUnderstoodError as problem:
            sample.problem = problem
    events = _read_gates(sample, tube)
    if not sample.found.gates and not sample.found.refused and offered:
        names = ", ".join(f"'{sheet.name}'" for sheet in offered)
        none = "the tube has no gates of its own"
        sample.found.faults.append(fault(sample.found.where, none, "", f"Choose a global worksheet with --sample: {names}"))
    identity = SampleGates(GatingTree(()), sample.compensation, name, file or name, number, events)
    return sample.found.finish(identity, {} if sample.matrix is None else {_MATRIX: sample.matrix})


def _read_worksheet(where: str, experiment: etree._Element, sheet: etree._Element) -> SampleGates:
    """Gates that hold for every tube, with the compensation of each file and without counts."""
    name = str(sheet.get("name") or "")
    settings = [found for one in (experiment, sheet) if (found := one.find("instrument_settings")) is not None]
    known = {key: value for one in settings for key, value in _parameters(one).items()}
    sample = _Sample(Populations(f"{where}, worksheet '{name}'", _REDRAW), known, _decades(experiment), compensation="FCS")
    _read_gates(sample, sheet)
    sample.found.counts.clear()
    return sample.found.finish(SampleGates(GatingTree(()), "FCS", name, "", name), {})


# settings


def _parameters(settings: etree._Element | None) -> dict[str, _Parameter]:
    found = {}
    for element in () if settings is None else settings.iterfind("parameter"):
        log = _text(element, "is_log") == "true"
        low, high = (_number(_text(element, end), other) for end, other in (("min", 0.0), ("max", _RANGE - 1.0)))
        coefficients = tuple(_number(one.text, math.nan) for one in element.iterfind("compensation/compensation_coefficient"))
        compensable = _text(element, "can_be_compensated") == "true"
        found[str(element.get("name") or "")] = _Parameter(log, low, high, compensable, coefficients)
    return found


def _decades(experiment: etree._Element) -> float | None:
    decades = _number(_text(experiment, "log_decades"), 0.0)
    return decades if decades > 0 else None


def _read_matrix(sample: _Sample) -> None:
    """Row p of what is stored makes the compensated value of parameter p from all raw ones: the inverse, turned."""
    channels = [name for name, parameter in sample.parameters.items() if parameter.coefficients]
    if not channels:
        return
    stored = [sample.parameters[name].coefficients for name in channels]
    if any(len(row) != len(channels) for row in stored) or not np.all(np.isfinite(stored)):
        raise NotUnderstoodError(f"the compensation of {len(channels)} parameters is not square", "one coefficient for each pair")
    try:
        spill = cells.unmixing(np.array(stored).T)
        cells.unmixing(spill)
    except ValueError as problem:
        raise NotUnderstoodError(f"the compensation cannot be used: {problem}", "a matrix that can be inverted") from problem
    sample.compensation = _MATRIX
    sample.matrix = SpilloverMatrix(tuple(channels), tuple(channels), tuple(tuple(float(value) for value in row) for row in spill))


# gates


def _read_gates(sample: _Sample, container: etree._Element) -> int | None:
    """Every gate of a tube or a worksheet; the number of all events where it is stored."""
    elements = container.findall("gates/gate")
    sources = [element for element in elements if element.get("type") == "EventSource_Classifier"]
    if sources:
        sample.root = str(sources[0].get("fullname") or sample.root)
    binners = {str(one.get("fullname") or ""): one for one in elements if _region_type(one) == "BINNER_REGION"}
    for binner in binners.values():
        sample.quadrants |= {(one.text or "").strip(): binner for one in binner.iterfind("bin")}
    for element in elements:
        full = str(element.get("fullname") or "")
        if element in sources or full in binners:
            continue
        if (held := binners.get(_text(element, "input"))) is not None:
            sample.quadrants[full] = held
        _read_gate(sample, element, full)
    return _count(sources[0]) if sources else None


def _read_gate(sample: _Sample, element: etree._Element, full: str) -> None:
    path = _path(sample, full)
    try:
        parent = _path(sample, _text(element, "parent") or full.rpartition("\\")[0]) or None
        sample.found.add(_gate(sample, element, path, parent))
    except NotUnderstoodError as problem:
        sample.found.refuse(element, path, problem)
    if (count := _count(element)) is not None:
        sample.found.counts[path] = count


def _gate(sample: _Sample, element: etree._Element, path: str, parent: str | None) -> Gate:
    kind = str(element.get("type") or "")
    if not path:
        raise NotUnderstoodError("a gate without a name", "a name")
    if kind in _BOOLEANS:
        return _boolean(sample, element, path, parent)
    region = element.find("region")
    if kind not in _DRAWN or region is None or region.get("type") not in _REGIONS:
        drawn = "" if region is None else f" of {region.get('type')}"
        raise NotUnderstoodError(f"this kind of gate, {kind}{drawn}, is not supported", ", ".join([*_REGIONS, *_BOOLEANS]))
    points = [(_coordinate(point, "x"), _coordinate(point, "y")) for point in region.iterfind("points/point")]
    if len(points) < (3 if region.get("type") == "POLYGON_REGION" else 2):
        raise NotUnderstoodError(f"a gate of {len(points)} points", "three or more for a polygon, two or more else")
    axes = [_axis(sample, element, letter, str(region.get(f"{letter}parm") or "")) for letter in "xy" if region.get(f"{letter}parm")]
    if region.get("type") == "INTERVAL_REGION":
        column = 0 if region.get("xparm") else 1
        return _box(path, parent, axes[:1], [tuple(point[column : column + 1]) for point in points])
    if len(axes) != 2:
        raise NotUnderstoodError(f"a {region.get('type')} on {len(axes)} axes", "two")
    if region.get("type") == "RECTANGLE_REGION":
        return _box(path, parent, axes, points)
    binner = sample.quadrants.get(str(element.get("fullname")))
    quadrant = None if binner is None else _quadrant(path, parent, (axes[0], axes[1]), points, binner)
    return _outlined(path, parent, (axes[0], axes[1]), points) if quadrant is None else quadrant


def _boolean(sample: _Sample, element: etree._Element, path: str, parent: str | None) -> BooleanGate:
    """And, or and not of gates; the rest of a population is what lies in none of the gates that it names."""
    kind = str(element.get("type"))
    inputs = [_path(sample, (one.text or "").strip()) for one in element.iterfind("input")]
    named = [name for name in inputs if name and name != (parent or "")]
    operator = _BOOLEANS[kind]
    if operator == "not":
        if not named or (kind == "NOT_Classifier" and len(named) != 1):
            raise NotUnderstoodError(f"{kind} of {len(named)} gates", "the gates that it leaves out")
        if len(named) == 1:
            return BooleanGate(path, parent, "not", ((named[0], False),))
        return BooleanGate(path, parent, "and", tuple((name, True) for name in named))
    if len(named) < 2:
        raise NotUnderstoodError(f"{kind} of {len(named)} gates", "two or more")
    return BooleanGate(path, parent, operator, tuple((name, False) for name in named))


def _axis(sample: _Sample, element: etree._Element, letter: str, name: str) -> _Axis:
    """Axis of a gate as it says itself; the settings give the ends."""
    scaled, log = (_text(element, f"is_{letter}_parameter_{what}") == "true" for what in ("scaled", "log"))
    if name.startswith("Ratio"):
        raise NotUnderstoodError(f"'{name}' is a ratio that FACSDiva makes", "a channel of the file")
    parameter = sample.parameters.get(name, _Parameter(log, 0.0, math.log10(_RANGE) if log else _RANGE - 1.0, False, ()))
    dimension = Dimension(name, _compensation(sample, name, parameter))
    if scaled and log:
        value = abs(_number(_text(element, f"{letter}_parameter_scale_value"), 0.0))
        width = max(0.0, (_DECADES - math.log10(_RANGE / value)) / 2.0) if value > 0 else 0.0
        if width > _DECADES / 2.0:
            raise NotUnderstoodError(f"the biexponential scale of {name} has the value {value:g}", f"below {_RANGE:g}")
        parameters = MappingProxyType({"T": _RANGE, "W": width, "M": _DECADES, "A": 0.0})
        return _Axis(_scaled(dimension, Transform(TransformKind.LOGICLE, parameters)), 0.0, _BINS, 1.0)
    if log:
        top = parameter.high if parameter.log else math.log10(_RANGE)
        bottom = parameter.low if sample.decades is None else top - sample.decades
        if not bottom < top:
            raise NotUnderstoodError(f"the logarithmic axis of {name} runs from {bottom:g} to {top:g}", "decades")
        parameters = MappingProxyType({"offset": 10.0**bottom, "decades": top - bottom})
        return _Axis(_scaled(dimension, Transform(TransformKind.FLOORED_LOG, parameters)), bottom, top - bottom, 1.0)
    top = _RANGE if parameter.log else parameter.high + 1.0
    if not top > 0:
        raise NotUnderstoodError(f"the axis of {name} ends at {top:g}", "a range above 0")
    return _Axis(dimension, 0.0, _BINS if scaled else top, top)


def _compensation(sample: _Sample, name: str, parameter: _Parameter) -> str:
    if sample.problem is not None and parameter.coefficients:
        raise sample.problem
    if sample.compensation == _MATRIX:
        return _MATRIX if sample.matrix is not None and name in sample.matrix.fluorochromes else "uncompensated"
    return "FCS" if sample.compensation == "FCS" and (parameter.compensable or parameter.coefficients) else "uncompensated"


def _scaled(dimension: Dimension, transform: Transform) -> Dimension:
    return Dimension(dimension.channel, dimension.compensation, transform)


# shapes on the grid


def _box(path: str, parent: str | None, axes: Iterable[_Axis], points: Iterable[tuple[float, ...]]) -> RectangleGate:
    sides = []
    for axis, stored in zip(axes, zip(*points, strict=True), strict=True):
        steps = axis.steps(stored)
        sides.append(axis.side(math.ceil(float(steps.min()) - _HAIR), math.floor(float(steps.max()) + _HAIR)))
    return RectangleGate(path, parent, tuple(sides))


def _quadrant(path: str, parent: str | None, axes: tuple[_Axis, _Axis], points: Points, binner: etree._Element) -> RectangleGate | None:
    """The quarter of the plane beyond the centre; None when its sides are hinged."""
    centre = binner.find("region/points/point")
    if centre is None or len(points) != 4:
        return None
    middle = (_coordinate(centre, "x"), _coordinate(centre, "y"))
    sides = []
    for axis, stored, there in zip(axes, zip(*points, strict=True), middle, strict=True):
        others = sorted(set(stored) - {there})
        if len(others) != 1 or stored.count(there) != 2:
            return None
        split = math.ceil(float(axis.steps([there])[0]) - _HAIR)
        sides.append(axis.side(split, _STEPS) if others[0] > there else axis.side(0, split - 1))
    return RectangleGate(path, parent, tuple(sides))


def _outlined(path: str, parent: str | None, axes: tuple[_Axis, _Axis], points: Points) -> Gate:
    """Outline of the cells whose lower corner lies inside a polygon or on its edge."""
    stored = np.array(points)
    corners = np.column_stack([axis.steps(column) for axis, column in zip(axes, stored.T, strict=True)])
    grid = np.arange(_STEPS, dtype=np.float64)
    x, y = np.meshgrid(grid, grid, indexing="ij")
    inside = cells.in_polygon(x.ravel(), y.ravel(), corners).reshape(_STEPS, _STEPS)
    if not inside.any():
        return RectangleGate(path, parent, (axes[0].side(1, 0),))
    first, second = axes
    vertices = [(first.edge(column), second.edge(row)) for column, row in outline(inside)]
    return PolygonGate(path, parent, (first.dimension, second.dimension), tuple(vertices))


# XML


def _path(sample: _Sample, full: str) -> str:
    r"""Path without the root: ``All Events\P1\P2`` is ``P1/P2``."""
    if full == sample.root:
        return ""
    return full.removeprefix(f"{sample.root}\\").replace("\\", "/")


def _region_type(element: etree._Element) -> str:
    region = element.find("region")
    return "" if region is None else str(region.get("type") or "")


def _text(element: etree._Element, name: str) -> str:
    return str(element.findtext(name) or "").strip()


def _count(element: etree._Element) -> int | None:
    """Stored count; 0 and -1 mean that Diva had not counted."""
    text = _text(element, "num_events")
    return int(text) if text.isdecimal() and int(text) > 0 else None


def _number(text: str | None, other: float) -> float:
    try:
        value = float(text or "")
    except ValueError:
        return other
    return value if math.isfinite(value) else other


def _coordinate(point: etree._Element, axis: str) -> float:
    value = _number(point.get(axis), math.nan)
    if math.isnan(value):
        raise NotUnderstoodError(f"{axis} of a point is '{point.get(axis) or ''}'", "a finite number")
    return value
