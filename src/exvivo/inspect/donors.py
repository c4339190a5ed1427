"""What looks wrong with persons: criteria that fail or cannot be told, populations that disagree, serum blanks, decisions about nothing."""

from collections.abc import Iterable, Iterator

from exvivo.errors import unknown
from exvivo.study.decisions import DecisionKind, Decisions, TargetKind
from exvivo.study.findings import Finding, FindingCode
from exvivo.study.model import Criterion
from exvivo.study.protocol import Design
from exvivo.study.run import Inputs
from exvivo.study.statuses import Reason, Severity
from exvivo.study.tables import Table


def inspect_donors(inputs: Inputs, outcomes: Table, design: Design, decisions: Decisions) -> Iterator[Finding]:
    """Findings on donors, serum donors and decisions."""
    if design.clinical is not None:
        yield from _check_persons(inputs, design)
    yield from _check_blanks(outcomes)
    yield from _check_decisions(inputs, decisions)
    yield from _check_moves(inputs, decisions)


def _check_persons(inputs: Inputs, design: Design) -> Iterator[Finding]:
    clinic = {row["donor"]: row for row in inputs.clinical.frame.iter_rows(named=True)}
    cultured = inputs.specimens.frame.select("experiment", "donor").unique().drop_nulls().sort("experiment", "donor")
    for experiment, donor in cultured.iter_rows():
        row, population = clinic.get(donor), design.experiments[experiment].population
        if row is None:
            continue  # read reports donors without a clinical row
        if row["population"] is None:
            evidence, suggestion = (
                f"the clinic gives none, experiment {experiment} takes cells of {population}",
                "Complete the clinical table",
            )
            yield Finding(FindingCode.POPULATION_MISMATCH, Severity.WARNING, donor, evidence, suggestion, donors=(donor,))
        elif row["population"] != population:
            evidence = f"the clinic says {row['population']}, experiment {experiment} takes cells of {population}"
            suggestion = "Correct the donor of the specimens or the population in the clinical table"
            yield Finding(FindingCode.POPULATION_MISMATCH, Severity.ERROR, donor, evidence, suggestion, donors=(donor,))
        for criterion in design.populations[population].criteria:
            yield from _check_criterion(donor, row, criterion)


def _check_criterion(donor: str, row: dict[str, object], criterion: Criterion) -> Iterator[Finding]:
    told = f"{criterion.variable} {criterion.op} {criterion.value}"
    met = criterion.holds(row.get(criterion.variable))
    if met is None:
        evidence, suggestion = (
            f"{told} cannot be told: the value is missing",
            "Complete the clinical table; the donor stays in the analysis",
        )
        yield Finding(FindingCode.CRITERION_UNKNOWN, Severity.WARNING, donor, evidence, suggestion, donors=(donor,))
    elif not met:
        evidence = f"{told} does not hold: {row.get(criterion.variable)}"
        suggestion = "The donor is left out of sets that ask for the criteria"
        yield Finding(FindingCode.CRITERION_FAILED, Severity.WARNING, donor, evidence, suggestion, donors=(donor,))


def _check_blanks(outcomes: Table) -> Iterator[Finding]:
    missing: dict[str, set[str]] = {}
    for row in outcomes.frame.iter_rows(named=True):
        if row["reason"] == Reason.SERUM_BLANK_MISSING and row["serum_donor"]:
            missing.setdefault(row["serum_donor"], set()).add(row["readout"])
    for serum_donor, readouts in sorted(missing.items()):
        evidence = f"serum was present at collection, but no cell-free blank was measured for {', '.join(sorted(readouts))}"
        suggestion = "Measure a cell-free blank of the same serum and run"
        yield Finding(FindingCode.BLANK_MISSING, Severity.WARNING, serum_donor, evidence, suggestion, tuple(sorted(readouts)))


def answers_to_nothing(found: Iterable[Finding], decisions: Decisions) -> list[Finding]:
    """Answers whose finding does not stand: a typing error, or data that were mended since."""
    standing = {f"{finding.code}@{finding.place}" for finding in found}
    suggestion = "Nothing to do if the data were mended; else answer the finding as 'exvivo check' prints it"
    return [
        Finding(
            FindingCode.DECISION_WITHOUT_TARGET,
            Severity.NOTE,
            target,
            f"decision {decision.seq} answers a finding that does not stand",
            suggestion,
        )
        for target, decision in decisions.answers().items()
        if target not in standing
    ]


def _check_moves(inputs: Inputs, decisions: Decisions) -> Iterator[Finding]:
    """Moved gates of nobody."""
    donors = sorted(set(inputs.specimens.frame["donor"].drop_nulls().to_list()))
    for (donor, _), decision in decisions.moved_gates().items():
        if donor not in donors:
            evidence = f"decision {decision.seq}: {unknown('donor', donor, donors, shown=8)}"
            suggestion = "Revert the decision and move the right gate"
            yield Finding(FindingCode.DECISION_WITHOUT_TARGET, Severity.WARNING, decision.target, evidence, suggestion)


def _check_decisions(inputs: Inputs, decisions: Decisions) -> Iterator[Finding]:
    """Exclusions that point at nothing: most often a typing error."""
    known = {
        TargetKind.SPECIMEN: set(inputs.specimens.frame["specimen"].to_list()),
        TargetKind.DONOR: set(inputs.clinical.frame["donor"].to_list()) | set(inputs.specimens.frame["donor"].drop_nulls().to_list()),
        TargetKind.PLATE: set(inputs.readings.frame["plate"].to_list()),
        TargetKind.WELL: {f"{plate}/{well}" for plate, well in inputs.readings.frame.select("plate", "well").iter_rows()},
        TargetKind.FILE: set(inputs.tube_sheet.frame["file"].to_list()) | set(inputs.files.frame["path"].to_list()),
    }
    for decision in decisions.active:
        kind, _, name = decision.target.partition(":")
        if decision.kind == DecisionKind.EXCLUDE and kind in list(TargetKind) and name not in known[TargetKind(kind)]:
            evidence = f"decision {decision.seq}: {unknown(kind, name, sorted(known[TargetKind(kind)]), shown=8)}"
            suggestion = "Revert the decision and exclude the right one"
            yield Finding(FindingCode.DECISION_WITHOUT_TARGET, Severity.WARNING, decision.target, evidence, suggestion)
