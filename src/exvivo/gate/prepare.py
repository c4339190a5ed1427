"""Who shares gates with whom, and how one tube is opened.

All tubes of one donor, whatever their condition, are one task: gates are found on them
together, so that a gate cannot make an effect. Tubes that cannot be opened keep their row,
with a reason.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exvivo.engine import digest_file
from exvivo.errors import DesignError, InputError, fault
from exvivo.formats import fcs
from exvivo.formats import spillover as spillover_file
from exvivo.gate.populations import Evaluation
from exvivo.numerics.cells import unmixing
from exvivo.study.decisions import Decision, Decisions, TargetKind
from exvivo.study.design import SpilloverMatrix
from exvivo.study.model import ControlKind, Panel
from exvivo.study.protocol import Panels, plain
from exvivo.study.run import Inputs
from exvivo.study.statuses import ExpressionStatus, Reason, TubeKind
from exvivo.study.tables import Table

Cells = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a tube or a marker has no value: status, stable reason, parameters."""

    status: ExpressionStatus
    reason: Reason
    detail: tuple[tuple[str, str | int], ...] = ()


@dataclass(frozen=True, slots=True)
class Tube:
    """One row of the tube sheet. ``path`` and ``sha256`` are empty when there is no file; ``trouble`` when it must not be opened."""

    file: str
    path: str
    sha256: str
    specimen: str | None
    kind: str | None
    marker: str | None
    batch: str | None
    trouble: Trouble | None = None

    @property
    def pooled(self) -> bool:
        """Whether gates may be fitted on it: single stains are often beads."""
        return self.trouble is None and self.kind != TubeKind.SINGLE


@dataclass(frozen=True, slots=True)
class Marker:
    """What measuring needs to know of one flow readout."""

    name: str
    spellings: frozenset[str]
    channel: str
    control: ControlKind


@dataclass(frozen=True, slots=True)
class GateFile:
    """A file of the study that takes the place of the protocol's gates, or of the files' own matrices."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class DonorTask:
    """Everything that one donor's gating needs; small enough to travel. ``moves``: gate, decision and geometry of gates that were moved."""

    donor: str
    tubes: tuple[Tube, ...]
    specimens: tuple[tuple[str, Trouble | None], ...]
    markers: tuple[Marker, ...]
    rules: Panel
    gate_file: GateFile | None
    moves: tuple[tuple[str, int, str], ...] = ()
    matrix: GateFile | None = None
    stains: tuple[Tube, ...] = ()

    def key(self) -> object:
        """What the result depends on."""
        tubes = [[t.file, t.sha256, t.specimen, t.kind, t.marker, t.batch, _facts(t.trouble)] for t in self.tubes]
        markers = [[m.name, sorted(m.spellings), m.channel, m.control.value] for m in self.markers]
        specimens = [[name, _facts(trouble)] for name, trouble in self.specimens]
        gates = self.gate_file.sha256 if self.gate_file else None
        stains = [[t.sha256, t.kind, t.marker, t.batch] for t in self.stains]
        matrix = self.matrix.sha256 if self.matrix else None
        return [self.donor, tubes, specimens, markers, self.rules.model_dump(mode="json"), gates, self.moves, matrix, stains]


@dataclass(frozen=True, slots=True)
class OpenTube:
    """A tube whose events are in memory. ``compensated`` tells whether its spillover could be applied, ``lacking`` why not."""

    tube: Tube
    evaluation: Evaluation
    ranges: Mapping[str, float]
    compensated: bool
    identity: bool
    lacking: str = ""


def plan_tasks(inputs: Inputs, panels: Panels, rules: Panel, decisions: Decisions) -> tuple[DonorTask, ...]:
    """One task per donor of cell specimens, donors in order of name; a donor called '' takes tubes that belong to nobody."""
    markers = tuple(_marker(name, panels) for name in panels.readouts)
    gate_file, moves = _gate_file(inputs.folder, rules), decisions.moved_gates()
    owners = {str(row["specimen"]): str(row["donor"] or "") for row in inputs.specimens.rows() if row["matrix"] == "cells"}
    troubles = {str(row["specimen"]): _specimen_trouble(row, decisions) for row in inputs.specimens.rows() if row["matrix"] == "cells"}
    tubes: dict[str, list[Tube]] = {donor: [] for donor in owners.values()}
    matrix, sheet = _matrix_file(inputs.folder, rules), _tubes(inputs, troubles, decisions)
    stains = tuple(tube for tube in sheet if _is_stain(tube)) if rules.compensation == "single_stains" else ()
    for tube in sheet:
        tubes.setdefault(owners.get(tube.specimen or "", ""), []).append(tube)
    return tuple(
        DonorTask(
            donor,
            tuple(sorted(tubes[donor], key=lambda tube: (tube.sha256, tube.file))),
            tuple((name, troubles[name]) for name in sorted(owners) if owners[name] == donor),
            markers,
            rules,
            gate_file,
            tuple((gate, move.seq, move.value) for (whose, gate), move in sorted(moves.items()) if whose == donor),
            matrix,
            tuple(stain for stain in stains if stain.batch in {tube.batch for tube in tubes[donor]}),
        )
        for donor in sorted(tubes)
    )


def open_tube(tube: Tube, rules: Panel, needed: Sequence[str], given: SpilloverMatrix | str | None = None) -> OpenTube | Trouble:
    """Events of one tube, or why there are none; ``given`` is its matrix where the file does not bring it, or why there is none."""
    if tube.trouble is not None:
        return tube.trouble
    path = Path(tube.path)
    try:
        record = fcs.parse(path)[0]
        events = fcs.read_events(path, record)
    except (InputError, OSError) as problem:
        return Trouble(ExpressionStatus.REFUSED, Reason.FILE_UNREADABLE, (("message", str(problem)),))
    names = [channel.name for channel in record.channels]
    if absent := [name for name in needed if name not in names]:
        return Trouble(ExpressionStatus.REFUSED, Reason.NO_CHANNEL, (("channels", ", ".join(absent)),))
    spillover = record.spillover if rules.compensation == "FCS" else given if isinstance(given, SpilloverMatrix) else None
    lacking = given if isinstance(given, str) else _lacking(spillover, names)
    usable = spillover is not None and not lacking
    identity = usable and spillover is not None and bool(np.array_equal(np.asarray(spillover.matrix), np.eye(len(spillover.matrix))))
    evaluation = Evaluation(
        events,
        {name: names.index(name) for name in names},
        {"FCS": spillover} if usable and spillover is not None else {},
    )
    ranges = {channel.name: channel.range for channel in record.channels}
    return OpenTube(tube, evaluation, ranges, usable or rules.compensation == "none", identity, lacking)


def _lacking(spillover: SpilloverMatrix | None, names: Sequence[str]) -> str:
    if spillover is None:
        return ""
    if absent := [name for name in spillover.detectors if name not in names]:
        return f"the matrix needs the channels {', '.join(absent)}, which the file lacks"
    try:
        unmixing(spillover.matrix)
    except ValueError as problem:
        return str(problem)
    return ""


def _marker(name: str, panels: Panels) -> Marker:
    readout = panels.readouts[name]
    return Marker(name, frozenset(plain(text) for text in (name, readout.label, *readout.aliases)), readout.channel, readout.control)


def _gate_file(folder: Path, rules: Panel) -> GateFile | None:
    if rules.gates_file is None:
        return None
    path = folder / rules.gates_file
    if not path.is_file():
        raise DesignError(
            fault(rules.gates_file, "there is no such file", "the gates that the protocol names", "Add it to the study folder")
        )
    return GateFile(str(path), digest_file(path))


def _matrix_file(folder: Path, rules: Panel) -> GateFile | None:
    if rules.compensation in ("FCS", "none", "single_stains"):
        return None
    path = folder / rules.compensation
    if not path.is_file():
        expected = "FCS, none, single_stains or a matrix file as panel.compensation"
        raise DesignError(fault(rules.compensation, "there is no such file", expected, "Add it to the study folder"))
    try:
        spillover_file.parse(path)
    except InputError as problem:
        raise DesignError(problem.messages) from problem
    return GateFile(str(path), digest_file(path))


def _is_stain(tube: Tube) -> bool:
    """Whether a tube serves its batch's matrix, whomever it belongs to."""
    excluded = tube.trouble is not None and tube.trouble.reason == Reason.EXCLUDED
    return tube.kind in (TubeKind.SINGLE, TubeKind.UNSTAINED) and bool(tube.sha256) and not excluded


def _tubes(inputs: Inputs, specimens: Mapping[str, Trouble | None], decisions: Decisions) -> list[Tube]:
    excluded = decisions.excluded(TargetKind.FILE)
    known = _by_tail(inputs.events)
    sheet = inputs.tube_sheet.rows()
    there = _tails_in(inputs.folder) if any(row["file"] not in known for row in sheet) else frozenset()
    tubes = []
    for row in sheet:
        listed, specimen = str(row["file"]), _word(row["specimen"])
        file, digest = known.get(listed, (listed, ""))
        trouble = _tube_trouble(excluded.get(listed) or excluded.get(file), specimen, specimens)
        if trouble is None and not digest:
            # without a readable header it is there but cannot be read, or it is not there
            trouble = _UNREADABLE if listed in there else _NO_FILE
        path = str(inputs.folder / file) if digest else ""
        tubes.append(Tube(file, path, digest, specimen, _word(row["tube"]), _word(row["marker"]), _word(row["batch"]), trouble))
    return tubes


def _by_tail(events: Table) -> dict[str, tuple[str, str]]:
    """Path and digest of every file by each tail of its path: the tube sheet names files from inside the cytometry folder."""
    known: dict[str, tuple[str, str]] = {}
    for row in sorted(events.rows(), key=lambda row: (len(str(row["file"])), str(row["file"]))):
        for tail in _tails(str(row["file"])):
            known.setdefault(tail, (str(row["file"]), str(row["sha256"])))
    return known


def _tube_trouble(decision: Decision | None, specimen: str | None, specimens: Mapping[str, Trouble | None]) -> Trouble | None:
    if decision is not None:
        return Trouble(ExpressionStatus.REFUSED, Reason.EXCLUDED, (("decision", decision.seq),))
    if specimen is None or specimen not in specimens:
        return Trouble(ExpressionStatus.MISSING, Reason.TUBE_UNLINKED, (("specimen", specimen or ""),))
    found = specimens[specimen]
    return found if found is not None and found.reason == Reason.EXCLUDED else None


def _tails(path: str) -> Iterator[str]:
    """A path and what is left of it without its first folders."""
    parts = path.split("/")
    return ("/".join(parts[start:]) for start in range(len(parts)))


def _tails_in(folder: Path) -> frozenset[str]:
    """Each tail of each path under a folder."""
    return frozenset(tail for path in folder.rglob("*") for tail in _tails(path.relative_to(folder).as_posix()))


_UNREADABLE = Trouble(ExpressionStatus.REFUSED, Reason.FILE_UNREADABLE)
_NO_FILE = Trouble(ExpressionStatus.MISSING, Reason.NO_FILE)
_STATES = {
    "lost": Trouble(ExpressionStatus.MISSING, Reason.SPECIMEN_LOST),
    "failed": Trouble(ExpressionStatus.REFUSED, Reason.SPECIMEN_FAILED),
    "contaminated": Trouble(ExpressionStatus.REFUSED, Reason.SPECIMEN_CONTAMINATED),
}


def _specimen_trouble(row: Cells, decisions: Decisions) -> Trouble | None:
    decision = decisions.excluded(TargetKind.SPECIMEN).get(str(row["specimen"]))
    if decision is not None:
        return Trouble(ExpressionStatus.REFUSED, Reason.EXCLUDED, (("decision", decision.seq),))
    return _STATES.get(str(row["state"]))


def _word(value: object) -> str | None:
    return None if value is None else str(value)


def _facts(trouble: Trouble | None) -> object:
    return None if trouble is None else [trouble.status.value, trouble.reason.value, [list(pair) for pair in trouble.detail]]
