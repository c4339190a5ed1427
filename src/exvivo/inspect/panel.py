"""What looks wrong in headers and tube sheets of a panel: compensation, channels, labels, controls."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import MappingProxyType

from exvivo.study.findings import Finding, FindingCode
from exvivo.study.model import ControlKind, FlowReadout, Panel
from exvivo.study.protocol import Panels, plain
from exvivo.study.run import Gating, Inputs
from exvivo.study.statuses import Reason, Severity, TubeKind

Row = Mapping[str, object]
Spillover = Mapping[str, list[list[float]]]

_COMPENSATED = "comp-"
_SAME = 1e-6
_LISTED = 3
_CLOSED: Mapping[FindingCode, tuple[Reason, str, str, str]] = MappingProxyType(
    {
        FindingCode.CHANNEL_MISSING: (
            Reason.NO_CHANNEL,
            "channels",
            "panel.gates",
            "Correct the channels of the gates, or exclude the files",
        ),
        FindingCode.COMPENSATION_MISSING: (Reason.NO_COMPENSATION, "why", "panel.compensation", "Correct the matrix, or use another"),
    }
)


def inspect_panel(inputs: Inputs, gating: Gating, panels: Panels, rules: Panel) -> Iterator[Finding]:
    """Findings on what headers and the tube sheet say."""
    events = inputs.events.rows()
    full = _full_files(inputs)
    if rules.compensation == "FCS":
        yield from _check_compensation(events, tuple(panels.readouts))
        yield from _check_matrices(events, gating)
    without = list(_check_channels([row for row in events if _tail(row) in full], panels.readouts))
    yield from without
    yield from _check_labels([row for row in events if _tail(row) in full], panels.readouts)
    yield from _check_controls(gating, panels.readouts)
    yield from _check_closed(gating, tuple(panels.readouts), {finding.place for finding in without})


def _full_files(inputs: Inputs) -> set[str]:
    """Names of the stained files: others may rightly lack a marker or its label."""
    return {str(row["file"]).rsplit("/", 1)[-1] for row in inputs.tube_sheet.rows() if row["tube"] == TubeKind.FULL.value}


def _tail(row: Row) -> str:
    return str(row["file"]).rsplit("/", 1)[-1]


def _labels(row: Row) -> dict[str, str]:
    """$PnS by $PnN."""
    return {str(name): str(label) for name, label in json.loads(str(row["channels"] or "[]"))}


def _spillover(row: Row) -> Spillover | None:
    found: Spillover | None = json.loads(str(row["spillover"])) if row["spillover"] else None
    return found


# tubes that nothing is measured in


def _check_closed(gating: Gating, markers: tuple[str, ...], told_of: AbstractSet[str]) -> Iterator[Finding]:
    """Tubes without the channels of the gates, or without a matrix that can be used; but for those that were told of already."""
    for code, (reason, key, place, suggestion) in _CLOSED.items():
        whys: dict[str, str] = {}
        for row in (row for row in gating.tubes.rows() if row["file"] not in told_of):
            told = json.loads(str(row["detail"] or "{}")) if row["reason"] == reason.value else {}
            if key in told:
                whys[str(row["file"])] = str(told[key])
        if whys:
            different = sorted(set(whys.values()))
            listed = "; ".join(different[:_LISTED]) + ("; and more" if len(different) > _LISTED else "")
            words = f"the gates need channels that the file lacks: {listed}" if key == "channels" else listed
            evidence = f"nothing is measured in {len(whys)} of {gating.tubes.height} tubes, such as {min(whys)}: {words}"
            yield Finding(code, Severity.ERROR, place, evidence, suggestion, markers)


# compensation


def _check_compensation(events: Sequence[Row], markers: tuple[str, ...]) -> Iterator[Finding]:
    matrices = {str(row["file"]): _spillover(row) for row in events}
    for row in events:
        named = [name for name in _labels(row) if name.lower().startswith(_COMPENSATED)]
        if named and matrices[str(row["file"])]:
            evidence = f"its channels are named as compensated ({', '.join(named)}), and it still holds a spillover matrix"
            suggestion = "Export the file uncompensated, or set panel.compensation to none"
            yield Finding(FindingCode.COMPENSATION_TWICE, Severity.ERROR, str(row["file"]), evidence, suggestion, markers)
    for file in (file for file, matrix in matrices.items() if not matrix):
        evidence = "the file holds no spillover matrix, while the panel compensates with the file's own"
        suggestion = "Export the file with its compensation, or set panel.compensation"
        yield Finding(FindingCode.COMPENSATION_MISSING, Severity.ERROR, file, evidence, suggestion, markers)
    plain_ones = sorted(file for file, matrix in matrices.items() if matrix and _is_identity(matrix))
    if plain_ones:
        share = f"{len(plain_ones)} of {len(matrices)} files, such as {plain_ones[0]}"
        evidence = f"the spillover matrix is the identity in {share}: nothing is compensated"
        suggestion = "Check whether the files were compensated before export"
        yield Finding(FindingCode.COMPENSATION_MISSING, Severity.WARNING, "cytometry", evidence, suggestion, markers)


def _is_identity(spillover: Spillover) -> bool:
    return all(math.isclose(x, float(i == j), abs_tol=1e-12) for i, row in enumerate(spillover["matrix"]) for j, x in enumerate(row))


def _check_matrices(events: Sequence[Row], gating: Gating) -> Iterator[Finding]:
    """Spillover that differs between tubes of one donor: a stained tube and its control are then not on one scale."""
    by_donor: dict[str, dict[str, dict[tuple[str, str], float]]] = {}
    donors = {str(row["file"]): row["donor"] for row in gating.tubes.rows()}
    for row in events:
        donor, matrix = donors.get(str(row["file"])), _spillover(row)
        if donor and matrix:
            by_donor.setdefault(str(donor), {})[str(row["file"])] = _parts(matrix)
    for donor, files in by_donor.items():
        pairs = sorted(set.intersection(*(set(parts) for parts in files.values())))
        spans = {pair: [parts[pair] for parts in files.values()] for pair in pairs}
        widest = max(pairs, key=lambda pair: max(spans[pair]) - min(spans[pair]), default=None)
        if widest is None or max(spans[widest]) - min(spans[widest]) <= _SAME:
            continue
        low, high = (pick(files, key=lambda file: files[file][widest]) for pick in (min, max))
        values = f"{files[low][widest]:.3g} in {low} and {files[high][widest]:.3g} in {high}"
        evidence = f"spillover differs between its tubes, most of {widest[0]} into {widest[1]}: {values}"
        suggestion = "Compensate all tubes of a donor with one matrix"
        yield Finding(FindingCode.COMPENSATION_DIFFERS, Severity.WARNING, donor, evidence, suggestion, donors=(donor,))


def _parts(matrix: Spillover) -> dict[tuple[str, str], float]:
    names = [str(name) for name in matrix["detectors"]]
    return {(names[i], names[j]): float(x) for i, row in enumerate(matrix["matrix"]) for j, x in enumerate(row)}


# channels and labels


def _check_channels(full: Sequence[Row], readouts: Mapping[str, FlowReadout]) -> Iterator[Finding]:
    for row in full:
        names = set(_labels(row))
        missing = {name: readout.channel for name, readout in readouts.items() if readout.channel not in names}
        if missing:
            evidence = f"no channel {', '.join(missing.values())}; the file has {', '.join(sorted(names))}"
            suggestion = "Correct the readouts' 'channel' in study.yaml or exclude the file"
            yield Finding(FindingCode.CHANNEL_MISSING, Severity.ERROR, str(row["file"]), evidence, suggestion, tuple(missing))


def _check_labels(full: Sequence[Row], readouts: Mapping[str, FlowReadout]) -> Iterator[Finding]:
    """Labels that name another marker of the protocol; labels that differ between stained files."""
    for row in full:
        wrong = dict(_mislabelled(_labels(row), readouts))
        if wrong:
            evidence = "; ".join(
                f"{readouts[name].channel}, where {name} is expected, is labelled '{label}'" for name, label in wrong.items()
            )
            suggestion = "Check which reagent was in which channel, and correct study.yaml or exclude the file"
            yield Finding(FindingCode.MARKER_MISLABELLED, Severity.ERROR, str(row["file"]), evidence, suggestion, tuple(wrong))
    for name, readout in readouts.items():
        labels = [(label, str(row["file"])) for row in full if (label := _labels(row).get(readout.channel, ""))]
        kinds = Counter(plain(label) for label, _ in labels)
        if len(kinds) > 1:
            usual = kinds.most_common(1)[0][0]
            odd = [(label, file) for label, file in labels if plain(label) != usual]
            shown = next(label for label, _ in labels if plain(label) == usual)
            evidence = f"'{shown}' in {kinds[usual]} stained files, and '{odd[0][0]}' in {len(odd)}, such as {odd[0][1]}"
            suggestion = "Check that all files were stained with one panel"
            place = f"channel {readout.channel}"
            yield Finding(FindingCode.LABEL_DIFFERS, Severity.WARNING, place, evidence, suggestion, (name,))


def _mislabelled(labels: Mapping[str, str], readouts: Mapping[str, FlowReadout]) -> Iterator[tuple[str, str]]:
    """Markers whose channel bears the whole name of another marker of the protocol."""
    known = {name: {plain(word) for word in (name, readout.label, *readout.aliases)} for name, readout in readouts.items()}
    for name, readout in readouts.items():
        label = plain(labels.get(readout.channel, ""))
        if label and label not in known[name] and any(label in words for other, words in known.items() if other != name):
            yield name, labels[readout.channel]


# controls


def _check_controls(gating: Gating, readouts: Mapping[str, FlowReadout]) -> Iterator[Finding]:
    """Donors some of whose stained specimens have no control of the kind that markers need, while others have."""
    tubes: dict[str, dict[str, set[str]]] = {}
    for row in gating.tubes.rows():
        if row["donor"] and row["specimen"]:
            tubes.setdefault(str(row["donor"]), {}).setdefault(str(row["tube"]), set()).add(str(row["specimen"]))
    yield from _absent_controls(tubes, readouts)
    for kind in (ControlKind.UNSTAINED, ControlKind.ISOTYPE):
        markers = tuple(name for name, readout in readouts.items() if readout.control is kind)
        for donor, by_kind in tubes.items() if markers else ():
            stained, controlled = by_kind.get(TubeKind.FULL.value, set()), by_kind.get(kind.value, set())
            if controlled and (alone := sorted(stained - controlled)):
                evidence = (
                    f"{len(controlled)} {kind.value} tubes for {len(stained)} stained specimens; none for {', '.join(alone[:3])}"
                    f"{' and others' if len(alone) > 3 else ''}, whose markers have no background of their own"
                )
                suggestion = "Background changes with size and culture: acquire a control for each condition"
                yield Finding(FindingCode.CONTROL_SHARED, Severity.WARNING, donor, evidence, suggestion, markers, (donor,))


def _absent_controls(tubes: Mapping[str, Mapping[str, set[str]]], readouts: Mapping[str, FlowReadout]) -> Iterator[Finding]:
    """Donors, or all of them, with stained specimens and without any control of a kind that markers need."""
    stained = [donor for donor, by_kind in tubes.items() if by_kind.get(TubeKind.FULL.value)]
    for kind in ControlKind:
        markers = tuple(name for name, readout in readouts.items() if readout.control is kind)
        without = [donor for donor in stained if not tubes[donor].get(kind.value)] if markers else []
        everywhere = len(without) == len(stained)
        for donor in without[:1] if everywhere else without:
            whose = "the study" if everywhere else "the donor"
            evidence = f"{whose} has no {kind.value} tube, which {', '.join(markers)} need: nothing is measured"
            place, severity = ("cytometry", Severity.ERROR) if everywhere else (donor, Severity.WARNING)
            suggestion = "Complete tubes.csv, or correct 'control' of the readouts"
            yield Finding(FindingCode.CONTROL_SHARED, severity, place, evidence, suggestion, markers, () if everywhere else (donor,))
