"""The MIFlowCyt list of a study: what its protocol answers, beside what its files and gates do."""

from collections.abc import Mapping

from exvivo.report.miflowcyt import Answer, ListedFile, answer_from_files, answer_from_gates, compose_checklist
from exvivo.report.sections import Grid, GridRow, heads
from exvivo.report.wording import Wording
from exvivo.study.cytometry import MIFLOWCYT, Boundary, ItemStatus, acquisition_from
from exvivo.study.protocol import Protocol
from exvivo.study.run import Run
from exvivo.study.statuses import TubeKind
from exvivo.study.tables import Table

_GATES = "gates of the run (results/run/gating.gates.parquet), drawn in report.html"


def list_for_study(run: Run) -> Table:
    """MIFLOWCYT of a study; empty when it measures nothing by cytometry."""
    if not run.protocol.panels.readouts:
        return MIFLOWCYT.empty()
    events = run.inputs.events.frame.filter(run.inputs.events.frame["acquisition"].is_not_null())
    files = [
        ListedFile(file, sha256, acquisition_from(text))
        for file, sha256, text in events.select("file", "sha256", "acquisition").iter_rows()
    ]
    answers = _from_protocol(run.protocol) | _collected(run) | answer_from_files(files)
    answers |= answer_from_gates(_boundaries(run), run.gating.populations.frame, _GATES) | _from_run(run)
    answers |= _compensation(run, answers)
    if run.inputs.blinded:
        answers |= _coded(run.protocol)
    return compose_checklist(answers)


def show_checklist(checklist: Table, words: Wording) -> Grid:
    """The list as the report prints it."""
    names = ("item", "asked", "item_status", "answer", "taken_from", "to_add")
    rows = tuple(
        GridRow(
            (
                str(row["item"]),
                str(row["asked"]),
                words.say("item_status", str(row["status"])),
                *(str(row[name] or "") for name in ("value", "source", "to_add")),
            ),
            "warn" if row["status"] == ItemStatus.MISSING else "",
        )
        for row in checklist.rows()
    )
    return Grid(heads(words, *names), rows)


def _from_protocol(protocol: Protocol) -> dict[str, Answer]:
    study = protocol.file.study
    answers = {
        "1.1": Answer(f"{study.title} ({study.id})", "study.yaml: study.title"),
        "1.2": _keywords(protocol),
        "1.3": _variables(protocol),
        "2.3": _treatment(protocol),
        "2.4": _reagents(protocol),
    }
    if study.organization or study.sponsor:
        known = study.organization or study.sponsor
        add = "" if study.organization else "address: study.organization in study.yaml"
        answers["1.4"] = Answer(known, f"study.yaml: study.{'organization' if study.organization else 'sponsor'}", add)
    if study.contact:
        answers["1.5"] = Answer(study.contact, "study.yaml: study.contact")
    if study.cells:
        answers["2.1"] = Answer(study.cells, "study.yaml: study.cells")
    return answers


def _keywords(protocol: Protocol) -> Answer:
    if protocol.file.study.keywords:
        return Answer(", ".join(protocol.file.study.keywords), "study.yaml: study.keywords")
    labels = [block.label for block in protocol.design.populations.values()]
    labels += [protocol.design.factors[name].label or name for name in protocol.design.differing]
    labels += [readout.label for readout in protocol.panels.readouts.values()]
    return Answer(", ".join(labels), "study.yaml: labels", "choose keywords: study.keywords in study.yaml")


def _variables(protocol: Protocol) -> Answer:
    told = [f"{name}: {', '.join(protocol.design.factors[name].levels)}" for name in protocol.design.differing]
    told += [f"experiment {name}: {block.label or block.population}" for name, block in protocol.design.experiments.items()]
    return Answer("; ".join(told), "study.yaml: factors, experiments")


def _treatment(protocol: Protocol) -> Answer:
    told, bare = [], []
    for name, factor in protocol.design.factors.items():
        details = ", ".join(f"{key} {value}" for key, value in factor.details.items())
        told.append(f"{factor.label or name}: {details or ', '.join(factor.levels)}")
        bare += [] if details else [name]
    return Answer("; ".join(told), "study.yaml: factors", f"doses and times of {', '.join(bare)}" if bare else "")


def _coded(protocol: Protocol) -> dict[str, Answer]:
    """What may be said of conditions while they are coded: which factors differ, no level and no dose."""
    told = f"factors {', '.join(protocol.design.differing)}; conditions are coded"
    coded = Answer(told, "study.yaml: factors", "told when a decision unblinds the study")
    return {"1.3": coded, "2.3": coded}


def _reagents(protocol: Protocol) -> Answer:
    told, bare = [], []
    for readout in protocol.panels.readouts.values():
        known = [f"clone {readout.clone}" if readout.clone else "", readout.reagent]
        told.append(", ".join([f"{readout.label} {readout.fluorochrome} in {readout.channel}", *filter(None, known)]))
        bare += [] if readout.clone and readout.reagent else [readout.label]
    add = f"clone and reagent of {', '.join(bare)}: readouts.NAME.clone and .reagent in study.yaml" if bare else ""
    return Answer("; ".join(told), "study.yaml: readouts", add)


def _from_run(run: Run) -> dict[str, Answer]:
    donors = run.inputs.clinical.frame.group_by("population", maintain_order=True).len()
    labels = {name: block.label for name, block in run.protocol.design.populations.items()}
    counted = "; ".join(f"{labels.get(name, name)}: {count} donors" for name, count in donors.iter_rows())
    rules = run.protocol.panels.rules
    cells = f"; measured in population {rules.population}" if rules else ""
    estimates = run.effects.effects.height
    controls = {readout.control.value for readout in run.protocol.panels.readouts.values()}
    tubes = run.inputs.tube_sheet.frame.group_by("tube").len().sort("tube")
    quality = f"controls: {', '.join(sorted(controls))}; tubes: {', '.join(f'{count} {tube}' for tube, count in tubes.iter_rows())}"
    quality += f"; at least {rules.min_events} events in a measured population" if rules else ""
    found = run.findings.height
    return {
        "1.7": Answer(f"{estimates} registered estimates", "results/tables/effects.csv", "conclusions in words"),
        "1.8": Answer(f"{quality}; {found} findings", "study.yaml: panel, readouts; tube sheet; findings.csv", "checks of the cytometer"),
        **({"2.2": Answer(counted + cells, "clinical table; study.yaml: panel.population")} if counted else {}),
    }


def _compensation(run: Run, answers: Mapping[str, Answer]) -> dict[str, Answer]:
    """What the protocol and the tube sheet add to what files say about spillover."""
    rules = run.protocol.panels.rules
    if rules is not None and rules.compensation == "none":
        return {"4.2": Answer("none was applied", "study.yaml: panel.compensation")}
    singles = run.inputs.tube_sheet.frame.filter(run.inputs.tube_sheet.frame["tube"] == TubeKind.SINGLE.value).height
    known = answers.get("4.2")
    if known is None or not singles:
        return {}
    return {"4.2": Answer(f"{known.value}; {singles} single stains acquired", f"{known.source}; tube sheet", known.to_add)}


def _collected(run: Run) -> dict[str, Answer]:
    """When specimens were collected, where no file says when it was acquired."""
    days: list[str] = run.inputs.specimens.frame["collected_on"].drop_nulls().to_list()
    if not days:
        return {}
    told = f"specimens collected from {min(days)} to {max(days)}"
    return {"1.6": Answer(told, "specimens.csv: collected_on", "dates of acquisition")}


def _boundaries(run: Run) -> list[Boundary]:
    """Gates of all donors under their paths, parents first."""
    rows = run.gating.gates.frame.select("donor", "gate", "parent", "method", "geometry").rows()
    parents = {(donor, gate): parent for donor, gate, parent, _, _ in rows}
    found = [Boundary(_path(parents, donor, gate), method, geometry) for donor, gate, _, method, geometry in rows]
    return sorted(found, key=lambda boundary: boundary.path.count("/"))


def _path(parents: Mapping[tuple[str, str], str | None], donor: str, gate: str) -> str:
    parent = parents.get((donor, gate))
    if parent is None or gate.startswith(f"{parent}/"):
        return gate
    return f"{_path(parents, donor, parent)}/{gate}"
