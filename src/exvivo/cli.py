"""The command line: parse, call one function, print. Results go to stdout, progress and findings to stderr.

Exit codes: 0 done, 1 the data, the protocol or a decision is at fault, 2 the call is wrong, 70 a bug. Heavy
modules are imported inside the commands, so that ``--help`` answers at once.
"""

import errno
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, CycloptsError, Parameter
from cyclopts.validators import Number

from exvivo.errors import DesignError, ExvivoError, fault
from exvivo.printing import count_plates, tell_counts, tell_dataset, tell_effects, tell_fcs, tell_plate, tell_qualified

if TYPE_CHECKING:
    from exvivo.engine import Work
    from exvivo.pipeline import Calibrated, Finished
    from exvivo.study.tables import Table

DONE, AT_FAULT, WRONG_CALL, BUG = 0, 1, 2, 70

app = App(
    name="exvivo",
    help="From the raw files of an ex-vivo drug study in donor-derived cells to its registered outcomes.",
    version_flags=["--version"],
)

Json = Annotated[bool, Parameter(name="--json", negative="", help="Print the result as JSON.")]
Workers = Annotated[
    int, Parameter(name="--workers", validator=Number(gte=0), help="Processes to work in; 1 works in this one, 0 takes one per processor.")
]
Cluster = Annotated[
    str | None,
    Parameter(name="--cluster", help="Address of a Dask scheduler, such as tcp://host:8786, or 'local'; needs exvivo[cluster]."),
]
Folder = Annotated[Path, Parameter(help="Study folder.")]
NewFolder = Annotated[Path, Parameter(help="New folder.")]
Target = Annotated[
    str,
    Parameter(help="well:PLATE/WELL, plate:PLATE, specimen:ID, file:PATH or donor:ID; answer: CODE@PLACE; revert: number of a decision."),
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; never shows a traceback."""
    try:
        result = app(
            list(arguments) if arguments is not None else None, exit_on_error=False, print_error=False, result_action="return_value"
        )
    except ExvivoError as error:
        for message in error.messages:
            _say(f"error: {message}")
        return AT_FAULT
    except CycloptsError as error:
        _say(f"error: {error}")
        _say(f"Try '{' '.join(['exvivo', *(error.command_chain or ())])} --help'.")
        return WRONG_CALL
    except (OSError, BrokenExecutor) as error:
        return _report_refusal(error)
    except KeyboardInterrupt:
        _say("stopped; results of the last whole run are untouched")
        return AT_FAULT
    except Exception:  # noqa: BLE001  the outermost guard: a user sees a sentence, the file holds the traceback
        return _report_crash()
    return result if isinstance(result, int) else DONE


def _report_refusal(error: OSError | BrokenExecutor) -> int:
    """A file, a disk or a process that the system refuses is no bug; anything else that it says is."""
    if isinstance(error, BrokenExecutor):
        _say("error: a worker process ended before its work was done, most often for want of memory. Try again with --workers 1.")
        return AT_FAULT
    if error.filename is None and error.errno != errno.ENOSPC:
        return _report_crash()
    at_path = isinstance(error, FileNotFoundError | FileExistsError | IsADirectoryError | NotADirectoryError)
    action = "Check the path" if at_path else "Close the file in other programs; check rights and free space"
    _say("error: " + fault(str(error.filename or "disk"), error.strerror or str(error), action=action))
    return AT_FAULT


def _report_crash() -> int:
    with tempfile.NamedTemporaryFile("w", prefix="exvivo-crash-", suffix=".txt", delete=False, encoding="utf-8") as file:
        file.write(traceback.format_exc())
    _say(f"This is a bug in exvivo, not in your data. What happened stands in {file.name}; please send it to the maintainers.")
    return BUG


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@app.command
def demo(folder: NewFolder = Path("demo"), *, seed: int = 1, size: str = "demo", workers: Workers = 0, as_json: Json = False) -> int:
    """Simulate the seed study with all its raw files, then run it to its report.

    $ exvivo demo my-demo

    Parameters
    ----------
    seed
        seed of the simulated study
    size
        demo (24 + 8 donors) or full (the registry's size, 100 + 50)
    """
    from exvivo.pipeline import demo_study

    with _work(workers) as work:
        finished = demo_study(folder, work, seed=seed, size=size)
    return _print_finished(folder, finished, as_json=as_json)


@app.command
def init(folder: NewFolder, *, template: str = "ssc-ruxolitinib", as_json: Json = False) -> int:
    """Write a commented study.yaml to start from.

    $ exvivo init my-study --template blank

    Parameters
    ----------
    template
        ssc-ruxolitinib or blank
    """
    from exvivo.templates import write_template

    return _print_files(write_template(folder, template), as_json=as_json)


@app.command
def check(folder: Folder, *, as_json: Json = False) -> int:
    """Validate protocol and files, and change nothing.

    $ exvivo check my-study
    """
    from exvivo.pipeline import check_study

    with _work(1) as work:
        seen = check_study(folder, work)
    if as_json:
        print(json.dumps({"findings": seen.findings.rows()}, indent=1))
    else:
        _print_findings(seen.findings)
        print(tell_counts(seen))
    return _exit_code(seen.findings)


@app.command
def simulate(
    folder: Folder, *, seed: int = 1, donors: str | None = None, size: str = "demo", workers: Workers = 0, as_json: Json = False
) -> int:
    """Write the raw files that a lab would have, with the truth beside them.

    $ exvivo simulate my-study --seed 7 --donors 24+8

    Parameters
    ----------
    donors
        donors of each population in the order of study.yaml, such as 24+8
    size
        demo (24+8) or full (the registry's size, 100+50)
    """
    from exvivo.pipeline import simulate_files

    with _work(workers) as work:
        written = simulate_files(folder, work, seed=seed, donors=donors, size=size)
    print(json.dumps({"folder": str(folder), "files": written}) if as_json else f"{written} files written to {folder}")
    return DONE


@app.command
def run(
    folder: Folder,
    *,
    workers: Workers = 0,
    cluster: Cluster = None,
    fresh: Annotated[bool, Parameter(negative="")] = False,
    as_json: Json = False,
) -> int:
    """Run a study from its raw files to its registered outcomes and its report.

    $ exvivo run my-study --workers 2

    Parameters
    ----------
    fresh
        compute everything again instead of taking what is unchanged from the last run
    """
    from exvivo.pipeline import run_study

    with _work(workers, cluster) as work:
        finished = run_study(folder, work, remember=not fresh)
    return _print_finished(folder, finished, as_json=as_json)


@app.command
def report(folder: Folder, *, as_json: Json = False) -> int:
    """Write the report again from the stored run; no raw file is opened.

    $ exvivo report my-study
    """
    from exvivo.pipeline import report_study

    with _work(1) as work:
        report_study(folder, work.progress)
    return _print_files([folder / "results" / "report.html"], as_json=as_json)


@app.command
def decide(  # noqa: PLR0913  one option per field of a decision
    folder: Folder,
    kind: Annotated[str, Parameter(help="exclude, include, correct-id, move-gate, answer, lock, unblind or revert.")],
    target: Target = "",
    *,
    reason: str,
    value: str = "",
    author: str = "",
    key: Path | None = None,
    head: str | None = None,
    as_json: Json = False,
) -> int:
    """Append a decision to the study's record: who, when, why.

    $ exvivo decide my-study exclude well:ccl18:1/C5 --reason "bubble seen before reading"

    Parameters
    ----------
    reason
        why; required
    value
        correct-id: the correct name; move-gate: the geometry, as the table of gates prints it
    author
        who decides; default: the account's name
    key
        unblind: the sealed key file, if the protocol holds its digest
    head
        digest of the last decision that you saw; refused when somebody decided since
    """
    from exvivo.pipeline import decide_study
    from exvivo.study.deciding import DECISIONS, Choice

    if str(folder) in DECISIONS and kind not in DECISIONS:
        folder, kind = Path(kind), str(folder)  # people write the verb first as often as the folder
    decision = decide_study(folder, Choice(kind, target, value, reason, author), key=key, head=head)
    line = decision.line().decode()
    told = f"decision {decision.seq} by {decision.author}: {decision.kind.value} {decision.target}".rstrip()
    print(line if as_json else told, end="" if as_json else "\n")
    return DONE


@app.command
def verify(folder: Folder, *, as_json: Json = False) -> int:
    """Check results against their manifest, and inputs and decisions against what the run saw.

    $ exvivo verify my-study
    """
    from exvivo.pipeline import verify_study

    messages = verify_study(folder)
    if as_json:
        print(json.dumps({"verified": not messages, "differences": messages}, indent=1))
        return AT_FAULT if messages else DONE
    for message in messages:
        _say(f"error: {message}")
    print("verified: results, inputs and decisions are those of the manifest" if not messages else f"{len(messages)} differences")
    return AT_FAULT if messages else DONE


@app.command
def schema(*, out: Path | None = None) -> int:
    """Print the JSON Schema of study.yaml, for editors that complete.

    $ exvivo schema --out study.schema.json
    """
    from exvivo.study.model import study_schema

    text = json.dumps(study_schema(), indent=1) + "\n"
    if out is None:
        print(text, end="")
    else:
        out.write_text(text, encoding="utf-8")
    return DONE


@app.command
def calibrate(  # noqa: PLR0913  one option per thing that a lab chooses
    exports: Annotated[list[Path], Parameter(help="Reader exports, or folders of them.")],
    *,
    out: Path,
    map_path: Annotated[Path | None, Parameter(name="--map")] = None,
    model: str | None = None,
    weighting: str | None = None,
    subtract_blank: Annotated[bool | None, Parameter(name="--subtract-blank", negative="")] = None,
    vendor_settings: Annotated[bool, Parameter(negative="")] = False,
    profile: str = "research",
    compare: Annotated[bool, Parameter(negative="")] = False,
    pages: bool = True,
    workers: Workers = 0,
    as_json: Json = False,
) -> int:
    """Turn plate-reader exports into concentrations, with a page for each plate.

    $ exvivo calibrate export.xlsx --map map.csv --out concentrations

    $ exvivo calibrate folder-of-exports --out concentrations

    Parameters
    ----------
    out
        folder for the tables and pages
    map_path
        plate map for all exports, or a folder of maps called as the exports; by default the subfolder maps is looked into, and
        an export that holds its layout needs none
    model
        auto (the default: 4PL or 5PL by AICc), 4PL, 5PL or log-log
    weighting
        fitted (the default), none, 1/y or 1/y2
    subtract_blank
        subtract the mean blank before fitting
    vendor_settings
        fit as the reader's software did, found by comparison with the concentrations that it printed
    profile
        rules of acceptance: research (the default) or ich_m10
    compare
        also write comparison.csv against the concentrations that the exports hold
    pages
        draw index.html and a page and a picture for each plate
    """
    from exvivo.pipeline import CalibrationChoice, calibrate_export

    given = {"model": model, "weighting": weighting, "subtract_blank": subtract_blank}
    choice = CalibrationChoice({k: v for k, v in given.items() if v is not None}, vendor_settings, compare, pages, profile)
    try:
        choice.rules()
    except DesignError as error:
        for message in error.messages:
            _say(f"error: {message}")
        _say("Try 'exvivo calibrate --help'.")
        return WRONG_CALL
    with _work(workers) as work:
        written = calibrate_export(exports, map_path, out, choice, work)
    return _print_calibrated(written, as_json=as_json)


@app.command
def gate(  # noqa: PLR0913  one option per thing that a lab chooses
    files: Annotated[list[Path], Parameter(help="FCS files, or folders of them.")],
    *,
    gates: Path,
    out: Path,
    sample: str | None = None,
    membership: Path | None = None,
    pages: bool | None = None,
    beads: Path | None = None,
    gating_ml: Path | None = None,
    workers: Workers = 0,
    cluster: Cluster = None,
    as_json: Json = False,
) -> int:
    """Gate FCS files with Gating-ML, a workspace of FlowJo, an experiment of FACSDiva or gates in yaml.

    A folder that was gated before is taken up where it was left: what is unchanged is not computed again.

    $ exvivo gate cytometry --gates gates.xml --out populations

    Parameters
    ----------
    gates
        Gating-ML 2.0 file, workspace of FlowJo 9 or 10, experiment of FACSDiva, or yaml
    sample
        name or number of the workspace's sample whose gates to use; by default the sample called as the FCS file
    out
        folder for the populations table
    membership
        also write one boolean per event and population to this Parquet file
    pages
        draw index.html and a picture of each file's gates; by default for up to 60 files
    beads
        table file,channel,values of calibration beads: medians are also given in molecules
    gating_ml
        also write the gates of each file as Gating-ML 2.0 into this folder
    """
    from exvivo.pipeline import GatingChoice, gate_files

    with _work(workers, cluster) as work:
        written = gate_files(files, gates, out, GatingChoice(sample, membership, pages, beads, gating_ml), work)
    _print_findings(written.findings)
    return max(_print_files(written.files, as_json=as_json), _exit_code(written.findings))


@app.command
def fcs(
    files: Annotated[list[Path], Parameter(help="FCS file; several files or folders give one line for each file.")],
    *,
    as_json: Json = False,
) -> int:
    """Describe FCS files: events, channels, instrument, spillover, what is odd about them.

    $ exvivo fcs tube.fcs --json
    """
    from exvivo.pipeline import describe_fcs, describe_fcs_files

    if len(files) == 1 and not files[0].is_dir():
        described = describe_fcs(files[0])
        if as_json:
            print(json.dumps(described, indent=1))
        else:
            for index, dataset in enumerate(described["datasets"], 1):
                print("\n".join(tell_dataset(f"{files[0].name}, {dataset['version']}, data set {index}", dataset)))
        return DONE
    several, faults = describe_fcs_files(files)
    if as_json:
        print(json.dumps({"files": several, "faults": faults}, indent=1))
    else:
        for one in several:
            print(tell_fcs(one))
    for message in faults:
        _say(f"error: {message}")
    return AT_FAULT if faults else DONE


@app.command
def qualify(
    *,
    reference: Annotated[Path | None, Parameter(help="Folder of reference cases to run instead of those that are shipped.")] = None,
    as_json: Json = False,
) -> int:
    """Run reference cases on this machine and compare every number with the one that R, NIST or a 40-digit solution gave.

    $ exvivo qualify
    """
    from exvivo.qualify import qualify_cases

    with _work(1) as work:
        checks = qualify_cases(reference, work.progress)
    if as_json:
        print(json.dumps({"cases": [asdict(check) for check in checks]}, indent=1))
    else:
        print("\n".join(tell_qualified(checks)))
    return DONE if all(check.passed for check in checks) else AT_FAULT


def _print_calibrated(written: "Calibrated", *, as_json: bool) -> int:
    """Tables and one line for each plate to stdout; then findings, what could not be read and a count to stderr."""
    if as_json:
        plates = [asdict(plate) for plate in written.plates]
        print(json.dumps({"files": [str(path) for path in written.files], "plates": plates, "faults": list(written.faults)}, indent=1))
    else:
        _print_files([path for path in written.files if path.parent.name != "plates"], as_json=False)
        for plate in written.plates:
            print(tell_plate(plate))
    sys.stdout.flush()
    for row in written.findings.rows():
        if row["code"] == "vendor-settings":
            _say(f"{row['severity']}: {row['evidence']}. {row['suggestion']}.")
    _print_findings(written.findings)
    for message in written.faults:
        _say(f"error: {message}")
    _say(count_plates(written))
    return AT_FAULT if written.faults else _exit_code(written.findings)


def _print_files(paths: Sequence[Path], *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"files": [str(path) for path in paths]}, indent=1))
    else:
        print("\n".join(map(str, paths)))
    return DONE


def _print_finished(folder: Path, finished: "Finished", *, as_json: bool) -> int:
    run_ = finished.run
    if as_json:
        record = {
            "results": str(folder / "results"),
            "effects": run_.effects.effects.rows(),
            "computed": finished.computed,
            "reused": finished.reused,
            "seconds": finished.manifest.seconds,
        }
        print(json.dumps(record, indent=1))
        return _exit_code(run_.findings)
    _print_findings(run_.findings)
    print("\n".join(tell_effects(run_)))
    if not any(finished.computed.values()):
        _say("nothing was recomputed: everything was known from an earlier run")
    print(folder / "results" / "report.html")
    if _exit_code(run_.findings) != DONE:
        _say("Errors above block the outcomes they touch. Mend the files, or answer with 'exvivo decide FOLDER answer CODE@PLACE'.")
    return _exit_code(run_.findings)


def _exit_code(findings: "Table") -> int:
    return AT_FAULT if any(row["severity"] == "error" and not row["answer"] for row in findings.rows()) else DONE


def _print_findings(findings: "Table") -> None:
    for row in findings.rows():
        if row["severity"] != "note":
            answered = f" (answered by {row['answer']})" if row["answer"] else ""
            _say(f"{row['severity']}: {row['place']}: {row['evidence']} [{row['code']}]. {row['suggestion']}.{answered}")


@contextmanager
def _work(workers: int, cluster: str | None = None) -> "Iterator[Work]":
    """Work in this process (1) or in several; 0 takes as many as there are processors, at most 8; or on a Dask cluster."""
    from exvivo.crew import Crew, dask_executor
    from exvivo.engine import Work
    from exvivo.progress import Bars, die_with_parent

    count = workers or min(os.cpu_count() or 1, 8)
    with Bars() as bars:
        if cluster is not None:
            with dask_executor(cluster, count) as executor:
                yield Work(executor, progress=bars)
        elif count == 1:
            yield Work(None, progress=bars)
        else:
            with Crew(count, die_with_parent) as executor:
                yield Work(executor, progress=bars)


if __name__ == "__main__":
    sys.exit(main())
