"""THE SPINE: results = f(protocol, raw files, decisions). Read this first.

One short function per command. ``run_study`` names every stage once, in the order of the data; command
line and page hold no logic of their own.
"""

import getpass
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from exvivo.assemble import assemble_dataset
from exvivo.calibrate import calibrate_plates
from exvivo.calibrate.compare import compare_with_vendor
from exvivo.calibrate.vendor import match_vendor
from exvivo.engine import Progress, Silence, Work, digest_file
from exvivo.errors import DesignError, InputError, fault, unknown
from exvivo.estimate import estimate_effects
from exvivo.exclusions import list_exclusions
from exvivo.gate import gate_specimens
from exvivo.gate.beads import attach_molecules, calibrate_beads, judge_beads, tabulate_beads
from exvivo.gate.boundaries import list_boundaries
from exvivo.gate.files import Described, GatedFiles, describe_tubes, gate_tubes
from exvivo.gate.override import question_move
from exvivo.inspect import inspect_study
from exvivo.inspect.plates import inspect_plates
from exvivo.inspect.tabulate import tabulate_findings
from exvivo.read import read_inputs
from exvivo.read.batch import find_exports
from exvivo.read.beads import read_beads
from exvivo.read.events import find_tubes
from exvivo.read.fcsfacts import describe_file
from exvivo.read.gates import compose_gates, read_sample_gates
from exvivo.read.single import Exports, read_exports
from exvivo.report import write_report
from exvivo.report.bench import Bench, PlateSummary, summarise_plates
from exvivo.report.gatefiles import write_gates
from exvivo.report.gatepages import GatedFile, compose_gate_pages
from exvivo.report.miflowcyt import ListedFile, list_for_files
from exvivo.report.platepage import compose_pages
from exvivo.report.tables import compose_csv, compose_curves, compose_parquet, write_tables
from exvivo.simulate import SIZES as EVENTS_OF
from exvivo.simulate import simulate_study
from exvivo.store import (
    MEMO,
    RESULTS,
    RUN_LOG,
    Manifest,
    NewDecision,
    append_decision,
    building_results,
    check_folder,
    check_key,
    check_record,
    compose_log,
    find_same_results,
    installed_versions,
    load_decisions,
    load_manifest,
    load_run,
    memo_in,
    open_memo,
    save_run,
    seal,
    torn_finding,
    verify_inputs,
    verify_outputs,
    verify_record,
    write_files,
)
from exvivo.study.cytometry import acquisition_of
from exvivo.study.deciding import DECISIONS, Choice, question_choice
from exvivo.study.decisions import Decision, Decisions
from exvivo.study.design import SampleGates
from exvivo.study.findings import Finding, FindingCode
from exvivo.study.model import AssayRules, CurveRules
from exvivo.study.protocol import PROTOCOL_FILE, Assays, Protocol, load_protocol
from exvivo.study.run import Calibration, Gating, Inputs, Run
from exvivo.study.statuses import Severity
from exvivo.study.tables import EFFECTS, OUTCOMES, Table
from exvivo.templates import write_template

TRUTH = "truth"


_PAGES = 60  # files for which pages are drawn unasked: drawing takes longer than gating


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that was written: the run, its manifest, how much was computed and how much was remembered, by stage."""

    run: Run
    manifest: Manifest
    computed: dict[str, int]
    reused: dict[str, int]


def run_study(folder: Path, work: Work | None = None, *, remember: bool = True) -> Finished:
    """Run a study from its raw files and write its results.

    Parameters
    ----------
    folder : study folder, holding study.yaml
    work : executor and progress; the memo and the seed are set here
    remember : whether results of unchanged inputs are taken from the last run

    Raises
    ------
    ExvivoError : protocol, raw files or decisions are at fault, all faults at once
    """
    protocol = load_protocol(folder / PROTOCOL_FILE)
    decisions = load_decisions(folder, protocol)
    check_record(folder, protocol, decisions)
    work = _prepare(work, folder, protocol, remember=remember)
    clock = Clock()
    run = compute_run(folder, protocol, decisions, work, clock)
    if decisions.post_hoc():
        before = compute_run(folder, protocol, decisions.without_post_hoc(), work, clock)
        run = replace(run, without_post_hoc=before.effects.effects)
    if not any(work.computed.values()) and (manifest := find_same_results(folder, run)) is not None:
        return Finished(run, manifest, dict(work.computed), dict(work.reused))
    with building_results(folder) as building:
        write_files(building, {RUN_LOG: compose_log(run, work.computed + work.reused)})
        write_tables(run, building)
        write_gates(run, building)
        save_run(run, building)
        clock.lap("tables")
        _write_report(run, building, work.progress)
        clock.lap("report")
        manifest = seal(building, run, clock.laps)
    return Finished(run, manifest, dict(work.computed), dict(work.reused))


@dataclass(frozen=True, slots=True)
class Examined:
    """A study up to its findings: everything but estimates."""

    inputs: Inputs
    calibration: Calibration
    gating: Gating
    outcomes: Table
    findings: Table


def examine(folder: Path, protocol: Protocol, decisions: Decisions, work: Work, clock: "Clock") -> Examined:
    """Read, calibrate, gate, assemble, inspect: every stage once, in the order of the data."""
    inputs = read_inputs(folder, protocol.files, protocol.design, decisions, work)
    inputs = replace(inputs, found=inputs.found + torn_finding(decisions, protocol.files.decisions))
    clock.lap("read")
    calibration = calibrate_plates(inputs, protocol.assays, decisions, work)
    clock.lap("calibrate")
    gating = gate_specimens(inputs, protocol.panels, decisions, work)
    clock.lap("gate")
    outcomes = assemble_dataset(inputs, calibration, gating, protocol.design, decisions)
    clock.lap("assemble")
    findings = inspect_study(inputs, calibration, gating, outcomes, protocol, decisions)
    clock.lap("inspect")
    return Examined(inputs, calibration, gating, outcomes, findings)


def compute_run(folder: Path, protocol: Protocol, decisions: Decisions, work: Work, clock: "Clock") -> Run:
    """Examine a study, then estimate; nothing is written."""
    seen = examine(folder, protocol, decisions, work, clock)
    inputs, calibration, gating, outcomes, findings = seen.inputs, seen.calibration, seen.gating, seen.outcomes, seen.findings
    shared, gates = calibration.shared_error, gating.gating_variance
    effects = estimate_effects(
        outcomes, shared, findings, protocol.analysis, decisions, work, gating_variance=gates, blinded=inputs.blinded
    )
    exclusions = list_exclusions(calibration, gating, outcomes, decisions, protocol.design.differing)
    clock.lap("estimate")
    return Run(protocol, decisions, inputs, calibration, gating, outcomes, findings, effects, exclusions, EFFECTS.empty())


def check_study(folder: Path, work: Work | None = None) -> Examined:
    """Read, calibrate, gate and inspect a study; nothing is estimated or written.

    Raises
    ------
    ExvivoError : protocol, raw files or decisions are at fault, all faults at once
    """
    protocol = load_protocol(folder / PROTOCOL_FILE)
    decisions = load_decisions(folder, protocol)
    check_record(folder, protocol, decisions)
    given = work or Work()
    remembered = Work(given.executor, open_memo(folder, frozen=True), given.progress, protocol.analysis.rules.seed)
    return examine(folder, protocol, decisions, remembered, Clock())


def report_study(folder: Path, progress: Progress | None = None) -> Manifest:
    """Write the report again from the stored run; no raw file is opened."""
    run = load_run(folder)
    log = (folder / RESULTS / RUN_LOG).read_bytes()
    clock = Clock()
    with building_results(folder) as building:
        write_files(building, {RUN_LOG: log})
        write_tables(run, building)
        write_gates(run, building)
        save_run(run, building)
        _write_report(run, building, progress or Silence())
        clock.lap("report")
        return seal(building, run, clock.laps)


def _write_report(run: Run, building: Path, progress: Progress) -> None:
    earlier = run.without_post_hoc if run.without_post_hoc.height else None
    write_report(run, building, versions=installed_versions(), without_post_hoc=earlier, progress=progress)


def verify_study(folder: Path) -> list[str]:
    """What differs from the manifest of the last run; nothing when results, inputs, protocol and decisions are the same.

    Raises
    ------
    ExvivoError : there are no whole results, or protocol or decisions cannot be read
    """
    manifest = load_manifest(folder)
    protocol = load_protocol(folder / PROTOCOL_FILE)
    decisions = load_decisions(folder, protocol)
    return [
        *verify_outputs(folder, manifest),
        *verify_inputs(folder, manifest),
        *verify_record(protocol, decisions, manifest),
    ]


def decide_study(folder: Path, choice: Choice, *, key: Path | None = None, head: str | None = None) -> Decision:
    """Append a decision to a study's record.

    Raises
    ------
    DesignError : the decision makes no sense (all that is wrong with it), or somebody decided in between
    """
    protocol = load_protocol(folder / PROTOCOL_FILE)
    decisions = load_decisions(folder, protocol)
    faults = list(question_choice(choice, decisions))
    if choice.kind == "move-gate":
        faults += question_move(choice.target, choice.value, protocol.panels)
    if choice.kind == "unblind":
        faults += check_key(protocol, decisions, key)
    if faults:
        raise DesignError(faults)
    new = NewDecision(DECISIONS[choice.kind], choice.target, choice.value, choice.reason, choice.author or _user())
    return append_decision(folder, protocol, new, head=head)


def _user() -> str:
    """Who is logged in; some containers and services cannot tell."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError) as error:
        raise DesignError(fault("decide", "this system does not tell who you are", action="Give --author NAME")) from error


def demo_study(folder: Path, work: Work, *, seed: int, size: str) -> Finished:
    """The seed study, simulated, locked, unblinded and run; a folder that already holds it is only run again."""
    if not (folder / TRUTH).is_dir():
        simulate_files(folder, work, seed=seed, donors=None, size=size)
        for kind, reason in (("lock", "the demonstration's data are complete"), ("unblind", "the demonstration's data are locked")):
            decide_study(folder, Choice(kind, "", "", reason, "demo"))
    return run_study(folder, work)


def simulate_files(folder: Path, work: Work, *, seed: int, donors: str | None, size: str) -> int:
    """Simulate a study's raw files into its folder; returns how many files there are.

    Raises
    ------
    DesignError : the folder holds files that were not simulated, or the numbers of donors do not fit the protocol
    """
    if not (folder / PROTOCOL_FILE).exists():
        write_template(folder, "ssc-ruxolitinib")
    protocol = load_protocol(folder / PROTOCOL_FILE)
    if (folder / protocol.files.specimens).exists() and not (folder / TRUTH).is_dir():
        told = f"the folder holds {protocol.files.specimens} and no '{TRUTH}': its data were not simulated"
        raise DesignError(fault(str(folder), told, action="Choose an empty folder"))
    simulate_study(folder, protocol, work, donors=count_donors(protocol, donors, size), seed=seed, events=EVENTS_OF[size])
    return sum(path.is_file() for path in folder.rglob("*"))


SIZES = {"demo": (24, 8), "full": (100, 50)}


def count_donors(protocol: Protocol, donors: str | None, size: str) -> dict[str, int]:
    """Donors of each population, from text such as ``24+8`` or a named size.

    Raises
    ------
    DesignError : the text or the size is not known, or has another number of parts than the protocol has populations
    """
    populations = list(protocol.file.populations)
    if size not in SIZES:
        raise DesignError(unknown("size", size, SIZES))
    first, others = SIZES[size]
    numbers = donors.split("+") if donors else [str(first), *[str(others)] * (len(populations) - 1)]
    if len(numbers) != len(populations) or not all(n.isdigit() and int(n) > 0 for n in numbers):
        expected = f"{len(populations)} numbers joined by +, for {', '.join(populations)}"
        raise DesignError(fault("--donors", f"'{donors}' is not understood", expected))
    return dict(zip(populations, map(int, numbers), strict=True))


@dataclass(frozen=True, slots=True)
class Written:
    """Files that a command outside a study wrote, what looked wrong, and files that could not be read."""

    files: list[Path]
    findings: Table
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Calibrated(Written):
    """What ``calibrate`` wrote; ``plates`` holds one summary for each plate and analyte."""

    plates: tuple[PlateSummary, ...] = ()


@dataclass(frozen=True, slots=True)
class CalibrationChoice:
    """How exports are calibrated outside a study.

    Parameters
    ----------
    curve : model, weighting and blank; absent ones are exvivo's own, or those of the reader's software under ``vendor_settings``
    vendor_settings : fit as the reader's software did, found by comparison with the concentrations that it printed; without any,
        four parameters, unweighted, blank subtracted
    compare : also write comparison.csv against the concentrations that the exports themselves hold
    pages : draw a page for each plate, and an index of them
    profile : rules of acceptance, ``research`` or ``ich_m10``
    """

    curve: Mapping[str, object] = field(default_factory=dict)
    vendor_settings: bool = False
    compare: bool = False
    pages: bool = True
    profile: str = "research"

    def rules(self) -> AssayRules:
        """Rules of assays.

        Raises
        ------
        DesignError : a model or a weighting that is not known
        """
        try:
            return AssayRules.model_validate({"profile": self.profile, "curve": dict(self.curve)})
        except ValidationError as error:
            faults = [fault(f"--{part['loc'][-1]}", f"'{part['input']}' is not known. {part['msg']}") for part in error.errors()]
            raise DesignError(faults) from error


def calibrate_export(
    exports: Path | Sequence[Path], map_path: Path | None, out: Path, choice: CalibrationChoice | None = None, work: Work | None = None
) -> Calibrated:
    """Concentrations of reader exports, written as tables and pages into a folder.

    All plates of an analyte are calibrated together, because the variance of readings is pooled over them. An export that
    cannot be read does not hold up the others.

    Parameters
    ----------
    exports : reader exports, or folders of them
    map_path : plate map for all exports, or folder of maps called as the exports; None when maps lie in ``maps`` beside the exports,
        or when the exports hold their layouts
    out : folder for readings, wells, curves, verdicts, concentrations, findings and pages
    choice : how curves are fitted and what else is written
    work : executor and progress

    Raises
    ------
    InputError : no export can be read
    DesignError : a model or a weighting that is not known, or a folder that cannot be written
    """
    choice, work = choice or CalibrationChoice(), work or Work()
    rules = choice.rules()
    check_folder(out)
    read = read_exports(find_exports([exports] if isinstance(exports, Path) else exports, map_path), work)
    told: list[Finding] = []
    if choice.vendor_settings:
        rules, told = _match_vendor(read, choice, work)
    calibration = calibrate_plates(read.inputs, Assays(rules, read.readouts), Decisions(), work)
    seen = inspect_plates(calibration, OUTCOMES.empty(), read.readouts)
    findings = tabulate_findings([*read.inputs.found, *seen, *told])
    comparison = compare_with_vendor(read.inputs.vendor, calibration.wells, calibration.curves)
    frames = [
        read.inputs.readings,
        calibration.wells,
        calibration.curves,
        calibration.verdicts,
        calibration.limits,
        calibration.controls,
        calibration.concentrations,
        findings,
    ]
    files = {f"{table.kind.name}.csv": compose_csv(table.frame) for table in frames}
    files["curves.json"] = compose_curves(calibration.curves)
    if choice.compare:
        files["comparison.csv"] = compose_csv(comparison)
    bench = Bench(calibration, rules, read.readouts, comparison, findings, read.faults)
    if choice.pages:
        files |= compose_pages(bench, work)
    return Calibrated(write_files(out, files), findings, read.faults, summarise_plates(bench, pages=choice.pages))


def _match_vendor(read: Exports, choice: CalibrationChoice, work: Work) -> tuple[AssayRules, list[Finding]]:
    """Rules of the reader's software, and how they were found."""
    rules = choice.rules()

    def calibrate(curve: CurveRules) -> Calibration:
        return calibrate_plates(read.inputs, Assays(rules.model_copy(update={"curve": curve}), read.readouts), Decisions(), work)

    found = match_vendor(read.inputs.vendor, read.software, choice.curve, calibrate)
    suggestion = "Nothing to do; --model, --weighting and --subtract-blank set them"
    told = Finding(FindingCode.VENDOR_SETTINGS, Severity.NOTE, "curves", found.tell(), suggestion)
    return rules.model_copy(update={"curve": found.rules}), [told]


@dataclass(frozen=True, slots=True)
class GatingChoice:
    """How FCS files are gated outside a study.

    Parameters
    ----------
    sample : name or number of the workspace's sample whose gates hold for all files; without it, each file is looked up by its name
    membership : Parquet file for one boolean per event and population
    pages : whether pages are drawn; None draws them for up to 60 files
    beads : table of calibration beads, whose conversions give medians in molecules
    gating_ml : folder for the gates of each file as Gating-ML 2.0
    """

    sample: str | None = None
    membership: Path | None = None
    pages: bool | None = None
    beads: Path | None = None
    gating_ml: Path | None = None


def gate_files(files: Sequence[Path], gates: Path, out: Path, choice: GatingChoice = GatingChoice(), work: Work | None = None) -> Written:
    """Populations of FCS files under any supported gate file, written as populations.csv into a folder, with pages about the gates.

    ``files`` may be folders. What was gated before with the same bytes and gates is taken from ``out/memo``. A file that cannot be
    read does not stop the others. Beside populations.csv stands the MIFlowCyt list as far as files and gates answer it, and with beads
    beads.csv and bead_peaks.csv.

    Raises
    ------
    InputError : a file does not exist, none, the gates or the beads cannot be read, or the workspace has no or several samples for a file
    DesignError : the gates name channels or matrices that a file lacks, or the beads do not show their populations
    """
    described, unreadable = describe_tubes(find_tubes(files))
    own = read_sample_gates(gates, [file.path for file in described], choice.sample)
    calibrated = calibrate_beads(read_beads(choice.beads)) if choice.beads is not None else ()
    converted = _as_gating_ml(described, own) if choice.gating_ml is not None else {}
    given = work or Work()
    remembering = Work(given.executor, memo_in(out / MEMO), given.progress)
    pages = len(described) <= _PAGES if choice.pages is None else choice.pages
    gated = gate_tubes(described, own, remembering, members=choice.membership is not None, pictures=pages)
    populations, differing = attach_molecules(gated.populations, described, calibrated)
    findings = tabulate_findings((*unreadable, *gated.found, *judge_beads(calibrated), *differing))
    boundaries = list_boundaries(own, f"drawn in {gates.name}")
    checklist = list_for_files(_listed(described), boundaries, populations.frame, f"{gates.name} (sha256 {digest_file(gates)})")
    tables = [populations, *(tabulate_beads(calibrated) if calibrated else ()), checklist, findings]
    drawn = compose_gate_pages(_gated_files(described, gated), findings, remembering) if pages else {}
    written = write_files(out, {f"{table.kind.name}.csv": compose_csv(table.frame) for table in tables} | dict(drawn))
    written += write_files(choice.gating_ml or out, converted)
    if choice.membership is not None:
        written += write_files(choice.membership.parent, {choice.membership.name: compose_parquet(gated.members)})
    return Written(written, findings)


def _gated_files(described: Sequence[Described], gated: GatedFiles) -> list[GatedFile]:
    rows: dict[str, list[Mapping[str, Any]]] = {file.name: [] for file in described}
    for row in gated.populations.rows():
        rows[str(row["file"])].append(row)
    return [
        GatedFile(file.name, file.records[0].n_events, file.records[0].keywords.get("$CYT", ""), tuple(rows[file.name]), pictures)
        for file, pictures in zip(described, gated.pictures, strict=True)
    ]


def _as_gating_ml(described: Sequence[Described], gates: Sequence[SampleGates]) -> dict[str, bytes]:
    """Gates of each file as Gating-ML, by name of the file."""
    faults: list[str] = []
    composed = {}
    for file, own in zip(described, gates, strict=True):
        try:
            composed[f"{file.name}.xml"] = compose_gates(own.tree)
        except InputError as error:
            faults += [f"{file.name}, {message}" for message in error.messages]
    if faults:
        raise InputError(dict.fromkeys(faults))
    return composed


def _listed(described: Sequence[Described]) -> list[ListedFile]:
    return [ListedFile(file.name, file.sha256, acquisition_of(file.records[0])) for file in described]


def describe_fcs(path: Path) -> dict[str, Any]:
    """What an FCS file says of itself: version, data sets, their channels and what was odd.

    Raises
    ------
    InputError : the file is missing or cannot be read
    """
    return describe_file(path)


def describe_fcs_files(paths: Sequence[Path]) -> tuple[list[dict[str, Any]], list[str]]:
    """Each of several FCS files, or of those in folders, as ``describe_fcs``; and the faults of those that cannot be read.

    Raises
    ------
    InputError : a folder holds no FCS file
    """
    described: list[dict[str, Any]] = []
    faults: list[str] = []
    for name, path in find_tubes(paths).items():
        try:
            described.append({"file": name} | describe_file(path))
        except InputError as error:
            faults += error.messages
    return described, faults


class Clock:
    """Seconds per stage."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """End of a stage."""
        now = time.perf_counter()
        self.laps[stage] = now - self._last
        self._last = now


def _prepare(work: Work | None, folder: Path, protocol: Protocol, *, remember: bool) -> Work:
    given = work or Work()
    return Work(given.executor, open_memo(folder) if remember else None, given.progress, protocol.analysis.rules.seed)
