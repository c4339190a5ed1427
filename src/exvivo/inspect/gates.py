"""What looks wrong in gates and in what they leave: unsteady tubes, few events, no valley, a donor unlike the others, no background."""

import json
import math
from collections.abc import Iterator, Mapping
from statistics import quantiles

from exvivo.study.findings import Finding, FindingCode
from exvivo.study.model import GateMethod
from exvivo.study.run import Gating
from exvivo.study.statuses import ExpressionStatus, RatioNote, Severity

Row = Mapping[str, object]

CUT_SHARE = 10.0
"""Per cent of a tube's events that margins and time may take away unnoticed."""

CLEAR_DEPTH = 0.5
"""A valley that falls by less than this share of its lower peak is told."""

FENCE, LEAST_DONORS, LEAST_SHIFT = 3.0, 8, 0.05
"""A donor's gate is told when it lies this many interquartile ranges beyond the quartiles of at least so many donors, and this far in
display units from their median."""


def inspect_gates(gating: Gating) -> Iterator[Finding]:
    """Findings on gates."""
    yield from _check_acquisition(gating)
    yield from _check_counts(gating)
    yield from _check_valleys(gating)
    yield from _check_places(gating)
    yield from _check_backgrounds(gating)


def _detail(row: Row) -> dict[str, object]:
    found: dict[str, object] = json.loads(str(row["detail"])) if row["detail"] else {}
    return found


def _check_acquisition(gating: Gating) -> Iterator[Finding]:
    first = {str(row["gate"]) for row in gating.gates.rows() if row["method"] == GateMethod.TIME.value and row["parent"] is None}
    unsteady = {str(file) for row in gating.gates.rows() if isinstance(files := _detail(row).get("unsteady"), list) for file in files}
    for row in gating.populations.rows():
        kept, file = row["percent_of_parent"], str(row["file"])
        if row["path"] not in first or not isinstance(kept, float):
            continue
        suggestion = "Look at the tube over time; acquire it again or exclude the file if levels moved"
        if file in unsteady:
            evidence = "no stretch with half of its events has a steady rate and steady levels; all of them were kept"
            yield Finding(FindingCode.ACQUISITION_UNSTEADY, Severity.WARNING, file, evidence, suggestion)
        elif 100.0 - kept > CUT_SHARE:
            evidence = f"margins and unsteady time take away {100.0 - kept:.0f} % of its events"
            yield Finding(FindingCode.ACQUISITION_UNSTEADY, Severity.WARNING, file, evidence, suggestion)


def _check_counts(gating: Gating) -> Iterator[Finding]:
    """Tubes that markers are measured in: an unstained one that no marker needs may well be empty inside a lineage gate."""
    needed = {row[name] for row in gating.expressions.rows() for name in ("file", "control_file")}
    for row in gating.tubes.rows():
        if row["status"] == ExpressionStatus.TOO_FEW_EVENTS and row["file"] in needed:
            evidence = (
                f"{row['final_count']} of {row['events']} events are left, fewer than {_detail(row).get('least')}; nothing is measured"
            )
            suggestion = "Look at the donor's contact sheet: too few cells, or gates that do not fit"
            yield Finding(FindingCode.EVENTS_FEW, Severity.WARNING, str(row["file"]), evidence, suggestion)


def _check_valleys(gating: Gating) -> Iterator[Finding]:
    for row in gating.gates.rows():
        detail, donor = _detail(row), str(row["donor"])
        depth = detail.get("depth")
        if detail.get("by") == "tail":
            evidence = f"gate {row['gate']} was drawn from the width of one peak: no valley was found"
            yield Finding(FindingCode.VALLEY_SHALLOW, Severity.NOTE, donor, evidence, _LOOK, donors=(donor,))
        elif isinstance(depth, float) and depth < CLEAR_DEPTH:
            evidence = f"gate {row['gate']} lies in a valley only {100 * depth:.0f} % below its lower peak"
            yield Finding(FindingCode.VALLEY_SHALLOW, Severity.WARNING, donor, evidence, _LOOK, donors=(donor,))


_LOOK = "Look at the donor's contact sheet; move the gate if it parts one population"


def _check_places(gating: Gating) -> Iterator[Finding]:
    """A donor whose gate lies beyond Tukey's outer fences of all donors' gates of that name."""
    places: dict[str, dict[str, float]] = {}
    for row in gating.gates.rows():
        if row["donor"] and (place := _place(row)) is not None:
            places.setdefault(str(row["gate"]), {})[str(row["donor"])] = place
    for gate, by_donor in places.items():
        if len(by_donor) < LEAST_DONORS:
            continue
        low, middle, high = quantiles(by_donor.values(), n=4)
        reach = max(FENCE * (high - low), LEAST_SHIFT)
        for donor, place in by_donor.items():
            if place < low - reach or place > high + reach:
                evidence = (
                    f"gate {gate} lies at {place:.2f} of its axis, those of the other donors around {middle:.2f} ({low:.2f} to {high:.2f})"
                )
                suggestion = "Look at the donor's contact sheet: another dye lot, voltage or compensation moves a whole population"
                yield Finding(FindingCode.THRESHOLD_OUTLYING, Severity.WARNING, donor, evidence, suggestion, donors=(donor,))


def _place(row: Row) -> float | None:
    """One number for where a gate lies on its first axis, in display units; None for gates without such a place."""
    geometry = json.loads(str(row["geometry"]))
    if geometry["kind"] == "ellipsoid":
        return float(geometry["mean"][0])
    if geometry["kind"] != "rectangle" or row["method"] == GateMethod.TIME.value:
        return None
    return next((float(bound) for bound in geometry["bounds"][0] if bound is not None and math.isfinite(bound)), None)


def _check_backgrounds(gating: Gating) -> Iterator[Finding]:
    donors = {str(row["specimen"]): str(row["donor"] or "") for row in gating.tubes.rows()}
    found: dict[tuple[str, str], list[float]] = {}
    for row in gating.expressions.rows():
        if row["ratio_note"] == RatioNote.BACKGROUND_NOT_POSITIVE and isinstance(row["background"], float):
            found.setdefault((donors.get(str(row["specimen"]), ""), str(row["marker"])), []).append(row["background"])
    for (donor, marker), values in found.items():
        evidence = (
            f"median of the control of {marker} is {min(values):.3g} at its lowest, not positive in {len(values)} specimens: no ratio"
        )
        suggestion = "Delta stands; check the compensation where it is far below zero"
        yield Finding(FindingCode.BACKGROUND_NEGATIVE, Severity.NOTE, donor, evidence, suggestion, (marker,), (donor,))
