"""What commands print: results of the pipeline in, lines of text out."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exvivo.pipeline import Calibrated, Examined
    from exvivo.qualify import Check
    from exvivo.report.bench import PlateSummary
    from exvivo.study.run import Run

_SHORT = {"below_lloq": "below LLOQ", "above_uloq": "above ULOQ"}


def tell_dataset(title: str, dataset: dict[str, Any]) -> "Iterator[str]":
    """Events, channels and oddities of one data set."""
    yield f"{title}: {dataset['events']} events"
    for channel in dataset["channels"]:
        yield f"  {channel['name']:16} {channel['marker']:16} {', '.join(_channel_facts(channel))}"
    facts = [dataset["instrument"] or "instrument not named", dataset["date"], f"bytes in {dataset['byte_order']} order"]
    if dataset["timestep"] is not None:
        facts.append(f"time step {dataset['timestep']:g} s")
    spillover = dataset["spillover"]
    facts.append("no spillover" if spillover is None else f"spillover of {', '.join(spillover['channels'])}")
    if spillover is not None and spillover["identity"]:
        facts.append("which is the identity: it compensates nothing")
    yield f"  {', '.join(filter(None, facts))}"
    for issue in dataset["issues"]:
        yield f"  odd: {issue}"


def _channel_facts(channel: dict[str, Any]) -> list[str]:
    facts = [f"range {channel['range']:g}", f"{channel['bits']} bits {channel['datatype']}"]
    decades, lowest = channel["amplification"]
    if channel["voltage"] is not None:
        facts.append(f"{channel['voltage']:g} V")
    if channel["gain"] != 1:
        facts.append(f"gain {channel['gain']:g}")
    if decades > 0:
        facts.append(f"{decades:g} decades from {lowest:g}")
    return facts


def tell_fcs(file: dict[str, Any]) -> str:
    """One line for one FCS file."""
    sets = file["datasets"]
    facts = [file["version"], f"{' + '.join(str(dataset['events']) for dataset in sets)} events", f"{len(sets[0]['channels'])} channels"]
    facts.append(sets[0]["instrument"] or "instrument not named")
    if odd := sum(len(dataset["issues"]) for dataset in sets):
        facts.append(f"{odd} odd")
    return f"{file['file']}: {', '.join(facts)}"


def tell_effects(run_: "Run") -> "Iterator[str]":
    """One line for each registered estimate."""
    if run_.inputs.blinded:
        yield f"{run_.effects.effects.height} registered estimates, blinded until 'exvivo decide FOLDER unblind'"
        return
    for row in run_.effects.effects.rows():
        name = " x ".join(str(part) for part in (row["readout"], row["modifier"]) if part)
        if row["estimate"] is not None:
            numbers = f"{row['estimate']:.3g} ({row['ci_low']:.3g} to {row['ci_high']:.3g})"
            told = f"{numbers}, p = {row['p']:.2g}, donors {row['donors']}"
        else:
            told = (
                f"{row['status']}"
                + (f": {row['reason']}" if row["reason"] else "")
                + (f", p = {row['p']:.2g}" if row["p"] is not None else "")
            )
        yield f"{row['outcome']:3} {name:18} {row['contrast']:32} {told}"


def tell_counts(seen: "Examined") -> str:
    """How much a study holds, and what was found."""
    counts = {s: sum(row["severity"] == s for row in seen.findings.rows()) for s in ("error", "warning", "note")}
    donors = seen.outcomes.frame["donor"].drop_nulls().n_unique()
    measured = f"{seen.calibration.curves.height} curves, {seen.inputs.events.height} FCS data sets"
    found = ", ".join(f"{count} {severity}{'' if count == 1 else 's'}" for severity, count in counts.items())
    return f"{donors} donors, {seen.inputs.specimens.height} specimens, {measured}; {found}"


def tell_plate(plate: "PlateSummary") -> str:
    """One line for one plate and analyte."""
    limits = "no range of quantification"
    if plate.lloq is not None and plate.uloq is not None:
        limits = f"LLOQ {plate.lloq:.4g}, ULOQ {plate.uloq:.4g} {plate.unit or ''}".rstrip()
    counts = ", ".join(f"{count} {_SHORT.get(status, status)}" for status, count in plate.counts.items())
    return f"{plate.plate} {plate.analyte}: {'accepted' if plate.accepted else 'refused'}, {limits}; {counts or 'no specimens'}"


def count_plates(written: "Calibrated") -> str:
    """Plates and analytes, accepted and refused."""
    accepted = sum(plate.accepted for plate in written.plates)
    counted = f"plates and analytes: {len(written.plates)}, {accepted} accepted, {len(written.plates) - accepted} refused"
    return f"{counted}; errors above: {len(written.faults)}" if written.faults else counted


def tell_qualified(checks: "Sequence[Check]") -> "Iterator[str]":
    """One line for each case, the quantities that did not pass under it, and a count."""
    for case, group in groupby(checks, key=lambda check: check.case):
        own = list(group)
        counted = ", ".join(f"{count} {verdict}" for verdict, count in Counter(check.verdict for check in own).items())
        yield f"{case:32} {counted}"
        for check in own:
            if not check.passed:
                yield f"  {check.quantity}: got {check.got}, expected {check.expected}, allowed {check.tolerance:.3g}"
    counted = ", ".join(f"{count} {verdict}" for verdict, count in Counter(check.verdict for check in checks).items())
    yield f"{len({check.case for check in checks})} cases, {len(checks)} numbers: {counted}"
