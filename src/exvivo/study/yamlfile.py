"""A YAML file that a person writes -> a model, or everything that is wrong with it.

A file is read to its end: faults of syntax, of fields and of names are raised together, sorted by
line, as ``study.yaml:23:15: unknown analyte 'CCL81'. Known: ... Did you mean 'CCL18'?``. Names are
checked on the raw tree, since a model's own validators do not run once any of its fields failed.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from exvivo.errors import ProtocolError, unknown
from exvivo.study.model import SCHEMA

Location = tuple[str | int, ...]

MAX_BYTES = 2_000_000

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class YamlKind:
    """What a file is, what to do when it is missing, and what its keys are: for messages."""

    name: str
    action: str
    keys: str


def read_model(
    path: Path, model: type[Model], dangling: Callable[[Any], Iterable[tuple[Location, str]]], kind: YamlKind
) -> tuple[Model, bytes]:
    """Model of a file, and its bytes.

    Parameters
    ----------
    path : file
    model : model of the whole file
    dangling : faults of names in the raw tree, each with the location of the node that holds it
    kind : what the file is

    Raises
    ------
    ProtocolError : every fault of the file, each with line and column
    """
    data = _read_bytes(path, kind)
    tree = _parse_tree(path, data, kind)
    faults = [_Fault(where, message) for where, message in dangling(tree)]
    found: Model | None = None
    try:
        found = model.model_validate(tree)
    except ValidationError as error:
        faults += [_explain(dict(detail), model) for detail in error.errors()]
    if faults or found is None:
        placed = sorted({(_place(tree, fault), fault.message) for fault in faults})
        raise ProtocolError([f"{path.name}:{line}:{column}: {message}" for (line, column), message in placed])
    return found, data


def _read_bytes(path: Path, kind: YamlKind) -> bytes:
    if not path.is_file():
        raise ProtocolError(f"{path}: there is no such file. Expected {kind.name}. {kind.action}.")
    data = path.read_bytes()
    if len(data) > MAX_BYTES:
        raise ProtocolError(f"{path.name}: the file has {len(data)} bytes. Expected less than {MAX_BYTES} bytes.")
    return data


def _parse_tree(path: Path, data: bytes, kind: YamlKind) -> Any:  # noqa: ANN401  a YAML tree is made of anything
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ProtocolError(f"{path.name}: byte {error.start} is not UTF-8. Expected a UTF-8 text file. Save it again as UTF-8.") from error
    if "\x00" in text:
        raise ProtocolError(f"{path.name}: the file holds binary data. Expected a UTF-8 text file. Save it again as UTF-8.")
    try:
        tree = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
        raise ProtocolError(f"{path.name}:{where}: {error.problem}") from error
    if not isinstance(tree, dict):
        found = "nothing" if tree is None else "a list or a single value"
        raise ProtocolError(f"{path.name}:1:1: the file holds {found}. Expected {kind.keys}.")
    return tree


@dataclass(frozen=True, slots=True)
class _Fault:
    """What is wrong with a node, or (``at_key``) with a key itself."""

    where: Location
    message: str
    at_key: bool = False


def _explain(detail: Mapping[str, Any], model: type[BaseModel]) -> _Fault:
    where: Location = tuple(detail["loc"])
    if detail["type"] == "extra_forbidden":
        return _Fault(where, unknown("key", where[-1], _fields_at(model, where[:-1])), at_key=True)
    if detail["type"] == "missing":
        return _Fault(where, f"key '{where[-1]}' is missing")
    if detail["type"] == "literal_error" and where[-1] == "schema":
        told = f"format {detail['input']!r} is not known. This version reads {SCHEMA}. Install the exvivo that wrote the file"
        return _Fault(where, told)
    if str(detail["type"]).startswith("union_tag"):
        return _explain_tag(detail, model)
    if _is_scalar(detail["input"]):
        return _Fault(where, f"{detail['msg']}, found {detail['input']!r}")
    return _Fault(where, str(detail["msg"]))


def _explain_tag(detail: Mapping[str, Any], model: type[BaseModel]) -> _Fault:
    where, key = tuple(detail["loc"]), detail["ctx"]["discriminator"].strip("'")
    if "tag" not in detail["ctx"]:
        return _Fault(where, f"key '{key}' is missing")
    return _Fault((*where, key), unknown(key, detail["ctx"]["tag"], _tags_at(model, where)))


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int | float | bool)


def _fields_at(model: type[BaseModel], where: Location) -> list[str]:
    """Keys that the model knows at a location."""
    schema = model.model_json_schema(by_alias=True)
    node: Mapping[str, Any] = schema
    for key in where:
        node = _step(schema, node, key)
    return list(_resolve(schema, node).get("properties", {}))


def _tags_at(model: type[BaseModel], where: Location) -> list[str]:
    """Kinds that may stand at a location."""
    schema = model.model_json_schema(by_alias=True)
    node: Mapping[str, Any] = schema
    for key in where:
        node = _step(schema, node, key)
    return list(_resolve(schema, node).get("discriminator", {}).get("mapping", {}))


def _resolve(schema: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
    for choice in node.get("anyOf", ()):
        if "$ref" in choice:
            return _resolve(schema, choice)
    return node


def _step(schema: Mapping[str, Any], node: Mapping[str, Any], key: str | int) -> Mapping[str, Any]:
    node = _resolve(schema, node)
    if "discriminator" in node:
        return {"$ref": node["discriminator"]["mapping"][key]}
    if isinstance(key, int):
        found = node.get("items", {})
    else:
        patterns = node.get("patternProperties", {})
        found = node.get("properties", {}).get(key) or node.get("additionalProperties") or next(iter(patterns.values()), {})
    return found if isinstance(found, dict) else {}


def _place(tree: Any, fault: _Fault) -> tuple[int, int]:  # noqa: ANN401  a YAML tree is made of anything
    """1-based line and column of the deepest node of a fault's location that exists in the file."""
    at, node = (tree.lc.line, tree.lc.col), tree
    for index, key in enumerate(fault.where):
        if isinstance(node, dict) and key not in node and key in (node.get("kind"), node.get("method")):
            continue  # the tag that a discriminated union adds to its locations
        marks = getattr(node, "lc", None)
        if marks is None:
            break
        try:
            if isinstance(node, list):
                at = marks.item(key)
            else:
                at = marks.key(key) if fault.at_key and index == len(fault.where) - 1 else marks.value(key)
            node = node[key]
        except (KeyError, IndexError, TypeError):
            break
    return at[0] + 1, at[1] + 1
