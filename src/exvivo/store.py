"""The study folder on disk: digests of inputs, the results folder, the decision record.

A results folder is built beside the old one and takes its place by renaming, so that a reader finds
the old results or the new ones; a killed run leaves a folder with another name, swept by the next run.
``manifest.json`` is written last and holds the digest of every file of the folder: results without it
are not whole. Times stand in the manifest only.
"""

import hashlib
import io
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import polars as pl

from exvivo.engine import Memo, digest_file, digest_of, write_atomically
from exvivo.errors import DesignError, fault
from exvivo.study import evidence
from exvivo.study import tables as kinds
from exvivo.study.decisions import Decision, DecisionKind, Decisions, parse_decisions
from exvivo.study.findings import Finding, FindingCode
from exvivo.study.protocol import PROTOCOL_FILE, Protocol, load_protocol
from exvivo.study.run import Calibration, Effects, Gating, Inputs, Run, SharedError
from exvivo.study.statuses import Severity
from exvivo.study.tables import FORMAT_VERSION, Table, TableKind

RESULTS = "results"
MEMO = "memo"
MANIFEST = "manifest.json"
RUN_LOG = "run.log"
PACKAGES = ("exvivo", "numpy", "scipy", "polars", "pydantic", "python-calamine", "lxml", "vl-convert-python")

_RUN_TABLES: tuple[tuple[str, str, TableKind], ...] = (
    ("inputs", "files", kinds.FILES),
    ("inputs", "specimens", kinds.SPECIMENS),
    ("inputs", "readings", kinds.READINGS),
    ("inputs", "layout", kinds.LAYOUT),
    ("inputs", "vendor", kinds.VENDOR),
    ("inputs", "events", kinds.EVENTS),
    ("inputs", "tube_sheet", kinds.TUBE_SHEET),
    ("inputs", "clinical", kinds.CLINICAL),
    ("inputs", "quantified", kinds.QUANTIFIED),
    ("calibration", "wells", kinds.WELLS),
    ("calibration", "curves", kinds.CURVES),
    ("calibration", "verdicts", kinds.VERDICTS),
    ("calibration", "limits", kinds.LIMITS),
    ("calibration", "controls", kinds.CONTROLS),
    ("calibration", "concentrations", kinds.CONCENTRATIONS),
    ("gating", "gates", kinds.GATES),
    ("gating", "populations", kinds.POPULATIONS),
    ("gating", "tubes", kinds.TUBES),
    ("gating", "expressions", kinds.EXPRESSIONS),
    ("gating", "gating_variance", kinds.GATING_VARIANCE),
    ("gating", "sketches", kinds.SKETCHES),
    ("effects", "effects", kinds.EFFECTS),
    ("effects", "supplementary", kinds.SUPPLEMENTARY),
    ("effects", "ratios", evidence.RATIOS),
    ("effects", "diagnostics", evidence.DIAGNOSTICS),
    ("effects", "calls", evidence.CALLS),
)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a results folder was made from and what it holds."""

    study: str
    seed: int
    protocol_sha256: str
    decisions_head: str
    decisions_count: int
    versions: dict[str, str]
    inputs: dict[str, str]
    outputs: dict[str, str]
    seconds: dict[str, float]
    finished_at: str
    table_format: int = FORMAT_VERSION

    def to_bytes(self) -> bytes:
        """JSON with sorted keys."""
        record = {field.name: getattr(self, field.name) for field in fields(self)}
        return (json.dumps(record, indent=1, sort_keys=True) + "\n").encode()


def sweep(folder: Path) -> None:
    """Remove what a killed run left behind, and finish a swap that it had begun; a run that is still alive keeps its folder."""
    results = folder / RESULTS
    for leftover in sorted(folder.glob(f".{RESULTS}-new-*")):
        if _is_alive(leftover):
            continue
        if not results.exists() and (leftover / MANIFEST).is_file():
            leftover.replace(results)
        else:
            shutil.rmtree(leftover)
    for leftover in folder.glob(f".{RESULTS}-old-*"):
        if not _is_alive(leftover):
            shutil.rmtree(leftover)


def _is_alive(leftover: Path) -> bool:
    """Whether another process that is still there owns a folder; its number ends the name. Only POSIX can ask without harm."""
    number = leftover.name.rpartition("-")[2]
    if os.name != "posix" or not number.isdigit() or int(number) == os.getpid():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def open_memo(folder: Path, *, frozen: bool = False) -> Memo:
    """What a study's earlier runs remembered, see ``memo_in``."""
    return memo_in(folder / RESULTS / MEMO, frozen=frozen)


def memo_in(home: Path, *, frozen: bool = False) -> Memo:
    """What was remembered in a folder with the packages that are installed now.

    What was remembered with others is dropped, unless the memo is ``frozen``: then nothing is written or removed.
    """
    own = home / digest_of(installed_versions())[:12]
    for other in home.glob("*"):
        if other != own and not frozen:
            shutil.rmtree(other, ignore_errors=True)
    return Memo(own, frozen=frozen)


@contextmanager
def building_results(folder: Path) -> Iterator[Path]:
    """An empty folder that takes the place of ``results`` when the block ends well; the memo moves along."""
    sweep(folder)
    building = folder / f".{RESULTS}-new-{os.getpid()}"
    building.mkdir(parents=True)
    try:
        yield building
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    _swap(folder, building)


def _swap(folder: Path, building: Path) -> None:
    results, retired = folder / RESULTS, folder / f".{RESULTS}-old-{os.getpid()}"
    if (results / MEMO).is_dir():
        (results / MEMO).replace(building / MEMO)
    if results.exists():
        results.replace(retired)
    building.replace(results)
    shutil.rmtree(retired, ignore_errors=True)


def seal(building: Path, run: Run, seconds: dict[str, float]) -> Manifest:
    """Write the manifest of a finished results folder: the last file, with the digest of every other."""
    outputs = {
        path.relative_to(building).as_posix(): digest_file(path)
        for path in sorted(building.rglob("*"))
        if path.is_file() and MEMO not in path.relative_to(building).parts
    }
    manifest = Manifest(
        study=run.protocol.file.study.id,
        seed=run.protocol.file.analysis.seed,
        protocol_sha256=run.protocol.sha256,
        decisions_head=run.decisions.head,
        decisions_count=len(run.decisions.records),
        versions=installed_versions(),
        inputs=dict(run.inputs.files.frame.select("path", "sha256").iter_rows()),
        outputs=outputs,
        seconds={stage: round(spent, 3) for stage, spent in seconds.items()},
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_atomically(building / MANIFEST, manifest.to_bytes())
    return manifest


def load_manifest(folder: Path) -> Manifest:
    """Manifest of a study's results.

    Raises
    ------
    DesignError : there are no whole results
    """
    path = folder / RESULTS / MANIFEST
    if not path.is_file():
        told = "there are no whole results" if not (folder / RESULTS).exists() else "the results have no manifest.json: they are not whole"
        raise DesignError(fault(str(folder), told, action="Run the study with 'exvivo run'"))
    try:
        return Manifest(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        told = "the manifest cannot be read: it was changed, or another version of exvivo wrote it"
        raise DesignError(fault(str(path), told, action="Move the results away and run the study again with 'exvivo run'")) from error


def verify_outputs(folder: Path, manifest: Manifest) -> Iterator[str]:
    """Files of the results that are missing or were changed, one message each."""
    for name, digest in manifest.outputs.items():
        yield from _verify_file(folder / RESULTS / name, f"{RESULTS}/{name}", digest)


def compose_log(run: Run, items: Mapping[str, int]) -> bytes:
    """Log of a run: codes and counts, never a cell's value and never a time. ``items`` counts what each loop went through."""
    lines = [
        f"study {run.protocol.file.study.id} protocol {run.protocol.sha256} decisions {len(run.decisions.records)} {run.decisions.head}"
    ]
    lines += [f"package {name} {found}" for name, found in installed_versions().items()]
    lines += [f"read {len(run.inputs.files.frame)} files {run.inputs.specimens.height} specimens {run.inputs.events.height} data-sets"]
    lines += [f"loop {label!r} items {count}" for label, count in sorted(items.items())]
    tables = (run.calibration.concentrations, run.gating.expressions, run.outcomes, run.effects.effects, run.effects.supplementary)
    for table in tables:
        counts = sorted(table.frame["status"].value_counts().iter_rows())
        lines += [f"table {table.kind.name} status {status} rows {count}" for status, count in counts]
    found = run.findings.frame.group_by("severity", "code").len().sort("severity", "code")
    lines += [f"finding {severity} {code} {count}" for severity, code, count in found.iter_rows()]
    return ("\n".join(lines) + "\n").encode()


def find_same_results(folder: Path, run: Run) -> Manifest | None:
    """Manifest of whole, untouched results that came from the same protocol, decisions, inputs and versions; None otherwise."""
    if not (folder / RESULTS / MANIFEST).is_file():
        return None
    manifest = load_manifest(folder)
    same = (
        manifest.protocol_sha256 == run.protocol.sha256
        and manifest.decisions_head == run.decisions.head
        and manifest.inputs == dict(run.inputs.files.frame.select("path", "sha256").iter_rows())
        and manifest.versions == installed_versions()
    )
    return manifest if same and not any(verify_outputs(folder, manifest)) else None


def verify_inputs(folder: Path, manifest: Manifest) -> Iterator[str]:
    """Inputs that are missing or were changed since the run, one message each."""
    for name, digest in manifest.inputs.items():
        yield from _verify_file(folder / name, name, digest)


def _verify_file(path: Path, name: str, digest: str) -> Iterator[str]:
    if not path.is_file():
        yield fault(name, "the file is missing", "the file that the run saw", "Restore it or run the study again")
    elif digest_file(path) != digest:
        yield fault(name, "the file was changed after the run", f"sha256 {digest[:12]}…", "Restore it or run the study again")


def verify_record(protocol: Protocol, decisions: Decisions, manifest: Manifest) -> Iterator[str]:
    """Whether the protocol and the decision record are those that the run saw; a cut tail is named."""
    if decisions.torn:
        told = f"the last {len(decisions.torn)} bytes have no line end: a decision was not written to its end"
        yield fault(protocol.files.decisions, told, action="Take the decision again; 'exvivo decide' sets the rest aside")
    if protocol.sha256 != manifest.protocol_sha256:
        yield fault(PROTOCOL_FILE, "the protocol was changed after the run", action="Run the study again")
    count = len(decisions.records)
    if count < manifest.decisions_count:
        told = f"the record holds {count} decisions, the run saw {manifest.decisions_count}: its tail was cut"
        yield fault(protocol.files.decisions, told, action="Restore the file from a copy")
    elif decisions.head_at(manifest.decisions_count) != manifest.decisions_head:
        yield fault(protocol.files.decisions, "the record was rewritten after the run", action="Restore the file from a copy")
    elif count > manifest.decisions_count:
        yield fault(protocol.files.decisions, f"{count - manifest.decisions_count} decisions came after the run", action="Run again")


def check_record(folder: Path, protocol: Protocol, decisions: Decisions) -> None:
    """Refuse a decision record that is not the last run's, or that record with more at its end.

    Raises
    ------
    DesignError : the record was cut or rewritten since
    """
    path = folder / RESULTS / MANIFEST
    if not path.is_file():
        return
    manifest = load_manifest(folder)
    if len(decisions.records) < manifest.decisions_count or decisions.head_at(manifest.decisions_count) != manifest.decisions_head:
        told = f"the record was cut or rewritten: it is not the one of the last run, which saw {manifest.decisions_count} decisions"
        action = f"Restore the file from a copy; to begin again without it, move '{RESULTS}' away"
        raise DesignError(fault(protocol.files.decisions, told, action=action))


def check_key(protocol: Protocol, decisions: Decisions, key: Path | None) -> list[str]:
    """What stands against unblinding: data that are not locked, or a key file that is not the sealed one."""
    faults = []
    if not decisions.locked:
        faults.append(fault("unblind", "the data are not locked", "a lock before unblinding", "Decide 'lock' first"))
    sealed = protocol.file.blinding.key_sha256 if protocol.file.blinding else None
    if sealed is not None and (key is None or not key.is_file() or digest_file(key) != sealed):
        told = "no key file was given" if key is None else f"{key} is not the sealed key file"
        faults.append(fault("unblind", told, f"a file with sha256 {sealed[:12]}…", "Give --key FILE"))
    return faults


def check_folder(folder: Path) -> None:
    """Refuse a folder in which nothing can be written, before anything is computed for it.

    Raises
    ------
    DesignError : it or a folder above it is a file, or is not ours to write into
    """
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise DesignError(fault(str(nearest), "this is a file", "a folder for the results", "Name another one with --out"))
    if not os.access(nearest, os.W_OK):
        raise DesignError(fault(str(nearest), "nothing can be written here", "a folder of your own", "Name another one with --out"))


def write_files(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Write named files into a folder, each atomically; returns their paths."""
    for name, data in files.items():
        write_atomically(folder / name, data)
    return [folder / name for name in files]


def installed_versions() -> dict[str, str]:
    """Versions of Python, of this package and of what its numbers depend on."""
    return {"python": platform.python_version(), "platform": sys.platform} | {name: version(name) for name in PACKAGES}


def save_run(run: Run, building: Path) -> None:
    """Write every table of a run as Parquet, so that ``load_run`` brings it back."""
    target = building / "run"
    for member, name, _ in _RUN_TABLES:
        _write_parquet(getattr(getattr(run, member), name), target / f"{member}.{name}.parquet")
    _write_parquet(run.calibration.shared_error.table, target / "calibration.shared_error.parquet")
    for name in ("outcomes", "findings", "exclusions", "without_post_hoc"):
        _write_parquet(getattr(run, name), target / f"{name}.parquet")
    facts = {"blinded": run.inputs.blinded, "table_format": FORMAT_VERSION}
    write_atomically(target / "facts.json", (json.dumps(facts, sort_keys=True) + "\n").encode())


def load_run(folder: Path) -> Run:
    """The stored run of a study folder, without touching raw files.

    Raises
    ------
    DesignError : there are no whole results, or they were written by another table format or protocol
    """
    manifest = load_manifest(folder)
    protocol = load_protocol(folder / PROTOCOL_FILE)
    if manifest.table_format != FORMAT_VERSION or manifest.protocol_sha256 != protocol.sha256:
        told = "the stored run belongs to another version of the protocol or of the table format"
        raise DesignError(fault(str(folder / RESULTS), told, action="Run the study again with 'exvivo run'"))
    source = folder / RESULTS / "run"
    read: dict[str, dict[str, Table]] = {}
    for member, name, kind in _RUN_TABLES:
        read.setdefault(member, {})[name] = kind.build(pl.read_parquet(source / f"{member}.{name}.parquet"))
    shared = SharedError(kinds.SHARED_ERROR.build(pl.read_parquet(source / "calibration.shared_error.parquet")))
    facts = json.loads((source / "facts.json").read_text(encoding="utf-8"))
    return Run(
        protocol,
        load_decisions(folder, protocol),
        Inputs(folder=folder, found=(), blinded=facts["blinded"], **read["inputs"]),
        Calibration(shared_error=shared, **read["calibration"]),
        Gating(**read["gating"]),
        kinds.OUTCOMES.build(pl.read_parquet(source / "outcomes.parquet")),
        kinds.FINDINGS.build(pl.read_parquet(source / "findings.parquet")),
        Effects(**read["effects"]),
        kinds.EXCLUSIONS.build(pl.read_parquet(source / "exclusions.parquet")),
        kinds.EFFECTS.build(pl.read_parquet(source / "without_post_hoc.parquet")),
    )


def _write_parquet(table: Table, path: Path) -> None:
    buffer = io.BytesIO()
    table.frame.write_parquet(buffer)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())


def load_decisions(folder: Path, protocol: Protocol) -> Decisions:
    """The decision record of a study; none is an empty record.

    Raises
    ------
    InputError : a line is broken or the chain is
    """
    path = folder / protocol.files.decisions
    return parse_decisions(path.read_bytes(), protocol.files.decisions) if path.is_file() else Decisions()


def torn_finding(decisions: Decisions, where: str) -> tuple[Finding, ...]:
    """Finding for a record whose last line was not written to its end."""
    if not decisions.torn:
        return ()
    evidence = f"the last {len(decisions.torn)} bytes have no line end: {decisions.torn[:60]!r}"
    return (
        Finding(FindingCode.DECISION_TORN, Severity.WARNING, where, evidence, "Take the decision again; exvivo decide sets the rest aside"),
    )


@dataclass(frozen=True, slots=True)
class NewDecision:
    """What a person decides; number, time and chain are added when it is written."""

    kind: DecisionKind
    target: str
    value: str
    reason: str
    author: str


def append_decision(folder: Path, protocol: Protocol, new: NewDecision, *, head: str | None = None) -> Decision:
    """Append one decision under an exclusive lock, after checking the chain.

    ``head`` is the digest of the last line that the caller saw; another head means that somebody decided in between.

    Raises
    ------
    InputError : the record is broken
    DesignError : somebody else holds the lock, or the record has moved on
    """
    path = folder / protocol.files.decisions
    with _locked(path):
        decisions = load_decisions(folder, protocol)
        if head is not None and head != decisions.head:
            told = f"the record has moved on: its head is {decisions.head[:12]}…, not {head[:12]}…"
            raise DesignError(fault(path.name, told, action="Look at the new decisions and decide again"))
        if decisions.torn:
            _set_aside(path, decisions.torn)
        at = datetime.now(UTC).isoformat(timespec="seconds")
        seq = len(decisions.records) + 1
        decision = Decision(seq, at, new.author, new.kind, new.target, new.value, new.reason, decisions.head)
        with path.open("ab") as file:
            file.write(decision.line())
            file.flush()
            os.fsync(file.fileno())
    return decision


def _set_aside(path: Path, torn: bytes) -> None:
    """Move a torn last line into a file of its own."""
    write_atomically(path.with_name(f"{path.name}.torn-{hashlib.sha256(torn).hexdigest()[:8]}"), torn)
    data = path.read_bytes()
    write_atomically(path, data[: len(data) - len(torn)])


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Exclusive lock file holding the pid; waits a few seconds for somebody else's."""
    lock = path.with_name(f".{path.name}.lock")
    deadline = time.monotonic() + 5
    while True:
        try:
            handle = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            break
        except FileExistsError:
            if time.monotonic() > deadline:
                told = f"process {_holder(lock)} holds the lock {lock.name}"
                raise DesignError(
                    fault(path.name, told, action="Wait for it to end, or delete the lock file if that process is gone")
                ) from None
            time.sleep(0.05)
    try:
        os.write(handle, str(os.getpid()).encode())
        os.close(handle)
        yield
    finally:
        lock.unlink(missing_ok=True)


def _holder(lock: Path) -> str:
    """Process that took a lock, which may be gone by now."""
    try:
        return lock.read_text(encoding="utf-8").strip() or "unknown"
    except OSError:
        return "unknown"
