"""What the fields of single gates cannot say: names among gates, ends of bounds, numbers of axes, scales that exist.

Works on the raw tree, as ``crossrefs`` does, so that one pass over a file finds everything.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exvivo.errors import unknown

Location = tuple[str | int, ...]
Fault = tuple[Location, str]
Tree = Mapping[str, Any]
Array = NDArray[np.float64]

SCALE_PARAMETERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"linear": ("T", "A"), "log": ("T", "M"), "asinh": ("T", "M", "A"), "logicle": ("T", "W", "M", "A"), "hyperlog": ("T", "W", "M", "A")}
)
"""Parameters of each scale of the gate language."""

_LOOKED_AT: Mapping[str, int] = MappingProxyType({"time": 1, "scatter": 2, "singlets": 2, "viability": 1, "lineage": 1})
_DEFAULTS: Mapping[str, float] = MappingProxyType({"W": 0.5, "M": 4.5, "A": 0.0})
_SINGULAR = 1e-12


def gate_faults(gates: Sequence[Any], where: Location) -> Iterator[Fault]:
    """Faults of a list of gates, each with the location of the node that holds it.

    Parameters
    ----------
    gates : list of gates as the file has them
    where : location of that list
    """
    seen: list[str] = []
    paths: dict[str, str] = {}
    for index, gate in enumerate(gates):
        place = (*where, index)
        if not isinstance(gate, Mapping):
            continue
        yield from _known((*place, "parent"), "parent gate", gate.get("parent"), seen)
        name = str(gate.get("name"))
        if name in seen:
            yield (*place, "name"), f"gate '{name}' stands twice. Give each gate a name of its own"
        paths[name] = _path(name, gate.get("parent"), paths)
        if name not in seen and list(paths.values()).count(paths[name]) > 1:
            yield (*place, "name"), f"gate '{name}' has the path of another: '{paths[name]}'. Leave slashes out of names"
        yield from _SHAPES.get(str(gate.get("method")), _no_faults)(gate, place, seen)
        yield from _check_automatic(gate, place)
        if str(gate.get("method")) in _SHAPES:
            yield from _check_axes(gate, place)
        seen.append(name)


def _check_automatic(gate: Tree, place: Location) -> Iterator[Fault]:
    """Automatic gates look at one channel or at two."""
    needed, named = _LOOKED_AT.get(str(gate.get("method"))), _items(gate.get("channels"))
    if needed is not None and named and len(named) != needed:
        yield (
            (*place, "channels"),
            f"a gate of method '{gate.get('method')}' looks at {'one channel' if needed == 1 else 'two channels'}, not {len(named)}",
        )


def _path(name: str, parent: object, paths: Mapping[str, str]) -> str:
    """Path from the root, as tables of populations print it."""
    whole = parent is None or name.startswith(f"{parent}/")
    return name if whole else f"{paths.get(str(parent), str(parent))}/{name}"


def _no_faults(gate: Tree, place: Location, seen: Sequence[str]) -> Iterator[Fault]:  # noqa: ARG001  as the others
    yield from ()


def _known(where: Location, kind: str, name: object, known: Iterable[str]) -> Iterator[Fault]:
    names = list(known)
    if name is not None and str(name) not in names:
        yield where, unknown(kind, name, names)


def _check_axes(gate: Tree, place: Location) -> Iterator[Fault]:
    """Scales and ratios belong to channels of the gate; parameters of a scale go together."""
    channels = _channels(gate)
    for key in ("scale", "ratios"):
        for name in _mapping(gate.get(key)):
            yield from _known((*place, key, name), "channel of the gate", name, channels)
    for name, scale in _mapping(gate.get("scale")).items():
        yield from _check_scale((*place, "scale", name), _mapping(scale))
    twice = sorted({name for name in channels if channels.count(name) > 1})
    if twice:
        yield (*place, "channels"), f"channel {', '.join(twice)} stands twice. Name each axis once"


def _check_scale(where: Location, scale: Tree) -> Iterator[Fault]:
    kind = str(scale.get("kind"))
    if kind not in SCALE_PARAMETERS:
        return  # the model tells
    for name in ("T", "W", "M", "A"):
        if name in scale and name not in SCALE_PARAMETERS[kind]:
            yield (*where, name), f"a scale of kind '{kind}' has no {name}. It has {', '.join(SCALE_PARAMETERS[kind])}"
    numbers = {name: _number(scale.get(name, default)) for name, default in (("T", None), *_DEFAULTS.items())}
    T, W, M, A = (numbers[name] for name in ("T", "W", "M", "A"))
    if T is None or W is None or M is None or A is None:
        return
    rules = {
        "linear": {"0 <= A <= T": 0 <= A <= T},
        "asinh": {"0 <= A <= M": 0 <= A <= M},
        "logicle": {"W <= M / 2": W <= M / 2, "-W <= A <= M - 2 W": -W <= A <= M - 2 * W and M + A > 0},
        "hyperlog": {"0 < W <= M / 2": 0 < W <= M / 2, "-W <= A <= M - 2 W": -W <= A <= M - 2 * W and M + A > 0},
    }.get(kind, {})
    if broken := [rule for rule, holds in rules.items() if not holds]:
        told = ", ".join(f"{name} = {numbers[name]:g}" for name in SCALE_PARAMETERS[kind])
        yield where, f"a scale of kind '{kind}' needs {' and '.join(broken)}, but {told}"


def _check_rectangle(gate: Tree, place: Location, seen: Sequence[str]) -> Iterator[Fault]:  # noqa: ARG001
    bounds = _mapping(gate.get("bounds"))
    named = _items(gate.get("channels"))
    if named and sorted(map(str, named)) != sorted(map(str, bounds)):
        yield (*place, "channels"), f"the bounds are those of {', '.join(map(str, bounds))}. Leave 'channels' out, or name the same"
    for name, side in bounds.items():
        low, high = (_number(_mapping(side).get(end)) for end in ("low", "high"))
        if isinstance(side, Mapping) and "low" not in side and "high" not in side:
            yield (*place, "bounds", name), "neither 'low' nor 'high' is given. Give at least one"
        if low is not None and high is not None and low >= high:
            yield (*place, "bounds", name), f"low {low:g} is not below high {high:g}, so that nothing lies between"


def _check_ellipse(gate: Tree, place: Location, seen: Sequence[str]) -> Iterator[Fault]:  # noqa: ARG001
    n = len(_channels(gate))
    if n and isinstance(gate.get("mean"), list) and len(gate["mean"]) != n:
        yield (*place, "mean"), f"{len(gate['mean'])} numbers for {n} channels. Give one for each"
    if ("axes" in gate) == ("covariance" in gate):
        yield place, "an ellipse needs either 'covariance' or 'axes'"
        return
    for key, needed in (("distance_square", "covariance"), ("angle", "axes")):
        if key in gate and needed not in gate:
            yield (*place, key), f"'{key}' goes with '{needed}'. Leave it out"
    if "covariance" in gate:
        yield from _check_covariance((*place, "covariance"), gate["covariance"], n)
        return
    axes = [_number(value) for value in _items(gate["axes"])]
    if n != 2:
        yield (*place, "axes"), f"axes are those of two channels and the gate has {n}. Give a 'covariance'"
    if any(value is not None and value <= 0 for value in axes):
        yield (*place, "axes"), "half lengths of axes are above zero"


def _check_covariance(where: Location, rows: object, n: int) -> Iterator[Fault]:
    numbers = [[_number(value) for value in _items(row)] for row in _items(rows)]
    if len(numbers) != n or any(len(row) != n for row in numbers):
        yield where, f"the covariance of {n} channels has {n} rows of {n} numbers"
        return
    matrix = np.array([[math.nan if value is None else value for value in row] for row in numbers], dtype=np.float64)
    if not np.all(np.isfinite(matrix)):
        return  # the model tells
    if not np.allclose(matrix, matrix.T, rtol=1e-9, atol=0.0):
        yield where, "the covariance is not symmetric"
    elif np.any(np.diag(matrix) <= 0) or np.min(eigenvalues := np.linalg.eigvalsh(_without_units(matrix))) <= _SINGULAR * np.max(
        eigenvalues
    ):
        yield where, "the covariance is that of no ellipse: it must be positive definite"


def _without_units(matrix: Array) -> Array:
    sizes = np.sqrt(np.diag(matrix))
    return np.asarray(matrix / np.outer(sizes, sizes), dtype=np.float64)


def _check_boolean(gate: Tree, place: Location, seen: Sequence[str]) -> Iterator[Fault]:
    operands = [str(name) for name in _items(gate.get("of"))]
    for i, name in enumerate(operands):
        yield from _known((*place, "of", i), "gate above this one", name, seen)
    for i, name in enumerate(_items(gate.get("complement"))):
        yield from _known((*place, "complement", i), "gate of this combination", name, operands)
    least, most = (1, 1) if gate.get("operator") == "not" else (2, math.inf)
    if operands and not least <= len(operands) <= most:
        needed = "one gate" if least == 1 else "at least two gates"
        yield (*place, "of"), f"'{gate.get('operator')}' combines {needed}, not {len(operands)}"


_SHAPES: Mapping[str, Callable[[Tree, Location, Sequence[str]], Iterator[Fault]]] = MappingProxyType(
    {"rectangle": _check_rectangle, "polygon": _no_faults, "ellipse": _check_ellipse, "boolean": _check_boolean}
)


def _channels(gate: Tree) -> list[str]:
    return [str(name) for name in _items(gate.get("channels")) or _mapping(gate.get("bounds"))]


def _mapping(node: object) -> Tree:
    return node if isinstance(node, Mapping) else {}


def _items(node: object) -> list[Any]:
    return list(node) if isinstance(node, list) else []


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
