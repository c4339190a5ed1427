"""study.yaml -> Protocol: what was promised, cut into the slices that the stages need."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from exvivo.study.crossrefs import dangling
from exvivo.study.model import (
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
from exvivo.study.yamlfile import YamlKind, read_model

PROTOCOL_FILE = "study.yaml"

_KIND = YamlKind("the study's protocol", "Create one with 'exvivo init'", "keys such as 'schema', 'study' and 'outcomes'")

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
    model, data = read_model(path, StudyFile, dangling, _KIND)
    return Protocol(model, hashlib.sha256(data).hexdigest())


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
