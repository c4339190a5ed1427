"""study.yaml -> Protocol: what was promised, cut into the slices that the stages need.

A file is read to its end: faults of syntax, of fields and of names are raised together, sorted by
line, as ``study.yaml:23:15: unknown analyte 'CCL81'. Known: ... Did you mean 'CCL18'?``. Names are
checked on the raw tree, since a model's own validators do not run once any of its fields failed.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from exvivo.errors import ProtocolError, unknown
from exvivo.study.crossrefs import dangling
from exvivo.study.model import (
    SCHEMA,
    Analysis,
    AnalysisSet,
    AssayRules,
    Blinding,
    Block,
    Clinical,
    Contrast,
    Criterion,
    CurveRules,
    ElisaReadout,
    Experiment,
    Factor,
    Files,
    FlowReadout,
    GateTemplate,
    Modifier,
    Outcome,
    Panel,
    Population,
    QuantifiedTable,
    Standards,
    StudyFile,
    TableReadout,
    Variable,
)

Location = tuple[str | int, ...]

PROTOCOL_FILE = "study.yaml"

MAX_BYTES = 2_000_000

PRESENTATION = frozenset({"label", "labels", "aliases", "yes_label", "no_label", "files", "file"})
"""Fields that name things or say where files lie: nothing that a study could be judged by."""

PARTS = (Contrast, Criterion, CurveRules, ElisaReadout, FlowReadout, GateTemplate, Standards, TableReadout, Variable)
"""Blocks that a reader judges as a whole: one line each."""


@dataclass(frozen=True, slots=True)
class Assays:
    """What calibration needs: rules and the analytes measured by immunoassay."""

    rules: AssayRules
    readouts: Mapping[str, ElisaReadout]


@dataclass(frozen=True, slots=True)
class Panels:
    """What gating needs: rules and the markers measured by flow cytometry."""

    rules: Panel | None
    readouts: Mapping[str, FlowReadout]


@dataclass(frozen=True, slots=True)
class Design:
    """What reading and assembling need: who, under which conditions, measured how."""

    populations: Mapping[str, Population]
    factors: Mapping[str, Factor]
    experiments: Mapping[str, Experiment]
    readouts: Mapping[str, ElisaReadout | FlowReadout | TableReadout]
    tables: Mapping[str, QuantifiedTable]
    clinical: Clinical | None
    sets: Mapping[str, AnalysisSet]
    modifiers: Mapping[str, Modifier]
    blinding: Blinding | None
    study_id: str

    @property
    def differing(self) -> tuple[str, ...]:
        """Factors with more than one level, in the file's order: they tell cultures apart."""
        return tuple(name for name, factor in self.factors.items() if len(factor.levels) > 1)

    def readout_named(self, name: str) -> str | None:
        """Readout with this name or alias, without regard to case, hyphen or blank."""
        wanted = plain(name)
        for key, readout in self.readouts.items():
            if wanted in {plain(key), plain(readout.label), *map(plain, readout.aliases)}:
                return key
        return None


@dataclass(frozen=True, slots=True)
class AnalysisPlan:
    """What estimation needs: rules, outcomes in registry order, modifiers, sets, experiments."""

    rules: Analysis
    outcomes: tuple[Outcome, ...]
    modifiers: Mapping[str, Modifier]
    sets: Mapping[str, AnalysisSet]
    experiments: Mapping[str, Experiment]
    factors: Mapping[str, Factor]
    readouts: Mapping[str, ElisaReadout | FlowReadout | TableReadout]


@dataclass(frozen=True, slots=True)
class SourcedField:
    """One field of the protocol and where it comes from."""

    path: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class Protocol:
    """The study's protocol: the file as written, its digest, and the slices that stages receive."""

    file: StudyFile
    sha256: str

    @property
    def files(self) -> Files:
        """Where things lie."""
        return self.file.files

    @property
    def assays(self) -> Assays:
        """Slice for calibration."""
        return Assays(self.file.assay, {k: r for k, r in self.file.readouts.items() if isinstance(r, ElisaReadout)})

    @property
    def panels(self) -> Panels:
        """Slice for gating."""
        return Panels(self.file.panel, {k: r for k, r in self.file.readouts.items() if isinstance(r, FlowReadout)})

    @property
    def design(self) -> Design:
        """Slice for reading and assembling."""
        f = self.file
        return Design(
            f.populations, f.factors, f.experiments, f.readouts, f.tables, f.clinical, f.analysis_sets, f.modifiers, f.blinding, f.study.id
        )

    @property
    def analysis(self) -> AnalysisPlan:
        """Slice for estimation."""
        f = self.file
        return AnalysisPlan(f.analysis, f.outcomes, f.modifiers, f.analysis_sets, f.experiments, f.factors, f.readouts)

    def sourced_fields(self) -> tuple[SourcedField, ...]:
        """Every field that a person wrote and that a study is judged by, with the source that speaks for it.

        Names for the reader and places of files are left out; parts of one thing, as a criterion, a gate or a
        contrast, stand on one line.
        """
        return tuple(_walk_sources(self.file, (), self.file.source or "assumed"))


def plain(name: str) -> str:
    """Name without case, hyphens, blanks and underscores, for comparing spellings.

    >>> plain("PDGF-BB") == plain("pdgfbb")
    True
    """
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def load_protocol(path: Path) -> Protocol:
    """Protocol from a study file.

    Raises
    ------
    ProtocolError : every fault of the file, each with line and column
    """
    data = _read_bytes(path)
    tree = _parse_tree(path, data)
    faults = [_Fault(where, message) for where, message in dangling(tree)]
    model: StudyFile | None = None
    try:
        model = StudyFile.model_validate(tree)
    except ValidationError as error:
        faults += [_explain(dict(detail)) for detail in error.errors()]
    if faults or model is None:
        placed = sorted({(_place(tree, fault), fault.message) for fault in faults})
        raise ProtocolError([f"{path.name}:{line}:{column}: {message}" for (line, column), message in placed])
    return Protocol(model, hashlib.sha256(data).hexdigest())


def _read_bytes(path: Path) -> bytes:
    if not path.is_file():
        raise ProtocolError(f"{path}: there is no such file. Expected the study's protocol. Create one with 'exvivo init'.")
    data = path.read_bytes()
    if len(data) > MAX_BYTES:
        raise ProtocolError(f"{path.name}: the file has {len(data)} bytes. Expected a protocol of less than {MAX_BYTES} bytes.")
    return data


def _parse_tree(path: Path, data: bytes) -> Any:  # noqa: ANN401  a YAML tree is made of anything
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ProtocolError(
            f"{path.name}: byte {error.start} is not UTF-8. Expected a UTF-8 text file. Save the protocol again as UTF-8."
        ) from error
    if "\x00" in text:
        raise ProtocolError(f"{path.name}: the file holds binary data. Expected a UTF-8 text file. Save the protocol again as UTF-8.")
    try:
        tree = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
        raise ProtocolError(f"{path.name}:{where}: {error.problem}") from error
    if not isinstance(tree, dict):
        found = "nothing" if tree is None else "a list or a single value"
        raise ProtocolError(f"{path.name}:1:1: the file holds {found}. Expected keys such as 'schema', 'study' and 'outcomes'.")
    return tree


@dataclass(frozen=True, slots=True)
class _Fault:
    """What is wrong with a node, or (``at_key``) with a key itself."""

    where: Location
    message: str
    at_key: bool = False


def _explain(detail: Mapping[str, Any]) -> _Fault:
    where: Location = tuple(detail["loc"])
    if detail["type"] == "extra_forbidden":
        return _Fault(where, unknown("key", where[-1], _fields_at(where[:-1])), at_key=True)
    if detail["type"] == "missing":
        return _Fault(where, f"key '{where[-1]}' is missing")
    if detail["type"] == "literal_error" and where[-1] == "schema":
        told = f"format {detail['input']!r} is not known. This version reads {SCHEMA}. Install the exvivo that wrote the file"
        return _Fault(where, told)
    if detail["type"] == "union_tag_invalid":
        return _Fault((*where, "kind"), unknown("kind", detail["ctx"]["tag"], ("elisa", "flow", "table")))
    if _is_scalar(detail["input"]):
        return _Fault(where, f"{detail['msg']}, found {detail['input']!r}")
    return _Fault(where, str(detail["msg"]))


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int | float | bool)


def _fields_at(where: Location) -> list[str]:
    """Keys that the model knows at a location."""
    schema = StudyFile.model_json_schema(by_alias=True)
    node: Mapping[str, Any] = schema
    for key in where:
        node = _step(schema, node, key)
    return list(_resolve(schema, node).get("properties", {}))


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
        if isinstance(node, dict) and key not in node and node.get("kind") == key:
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


def _walk_sources(block: Block, path: Sequence[str], inherited: str) -> Iterator[SourcedField]:
    source = block.source or inherited
    written = block.model_fields_set - {"source", "source_of", "schema_"} - PRESENTATION
    for name in (field for field in type(block).model_fields if field in written):
        yield from _walk_value(getattr(block, name), [*path, name], block.source_of.get(name, source))


def _walk_value(value: object, path: Sequence[str], source: str) -> Iterator[SourcedField]:
    if isinstance(value, PARTS) and not value.source_of:
        yield SourcedField(".".join(path), _print_block(value), value.source or source)
    elif isinstance(value, Block):
        yield from _walk_sources(value, path, source)
    elif isinstance(value, Mapping) and any(isinstance(item, Block) for item in value.values()):
        for key, item in value.items():
            yield from _walk_value(item, [*path, str(key)], source)
    elif isinstance(value, tuple) and any(isinstance(item, Block) for item in value):
        for index, item in enumerate(value):
            yield from _walk_value(item, [*path, getattr(item, "id", str(index + 1))], source)
    else:
        yield SourcedField(".".join(path), _print_value(value), source)


def _print_block(block: Block) -> str:
    written = block.model_fields_set - {"source"} - PRESENTATION
    held = [(name, getattr(block, name)) for name in type(block).model_fields if name in written]
    return "; ".join(f"{name}: {_print_value(value)}" for name, value in held)


def _print_value(value: object) -> str:
    if isinstance(value, Block):
        return f"({_print_block(value)})"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_print_value(item)}" for key, item in value.items())
    if isinstance(value, tuple):
        return ("; " if any(isinstance(item, Mapping) for item in value) else ", ").join(_print_value(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
