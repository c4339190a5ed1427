"""The MIFlowCyt list: what the standard asks, and what FCS files and gates answer.

Items, in short words, after MIFlowCyt 1.0 (Lee et al., Cytometry A 73A:926-930, 2008) and the list for authors
(Cytometry A 77A:813, 2010). An answer is taken from a file or from the protocol and says so; nothing is inferred
but the maker of a cytometer from its model, and that is marked.
"""

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from exvivo.study.cytometry import MIFLOWCYT, Acquisition, Boundary, ItemStatus, Setting, Spillover
from exvivo.study.tables import Table


@dataclass(frozen=True, slots=True)
class Item:
    """One item of the standard: number, section, what is asked, what to add where nothing is known."""

    number: str
    section: str
    asked: str
    to_add: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of an item. An answer with something to add is partly filled."""

    value: str
    source: str
    to_add: str = ""


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file as the list names it, its digest, and how it was acquired."""

    name: str
    sha256: str
    acquisition: Acquisition


_OVERVIEW, _SAMPLE, _INSTRUMENT, _ANALYSIS = "Experiment overview", "Flow sample and specimen", "Instrument", "Data analysis"
ITEMS = (
    Item("1.1", _OVERVIEW, "Purpose", "the question of the experiment"),
    Item("1.2", _OVERVIEW, "Keywords", "three to six keywords"),
    Item("1.3", _OVERVIEW, "Experiment variables", "what differs between the samples"),
    Item("1.4", _OVERVIEW, "Organization", "name and address"),
    Item("1.5", _OVERVIEW, "Primary contact", "name and e-mail address"),
    Item("1.6", _OVERVIEW, "Date or time period", "dates of acquisition"),
    Item("1.7", _OVERVIEW, "Conclusions", "what was found, where there is something to conclude"),
    Item("1.8", _OVERVIEW, "Quality control measures", "controls and checks of the instrument"),
    Item("2.1", _SAMPLE, "Sample or specimen material", "what was measured, from where, from whom"),
    Item("2.2", _SAMPLE, "Sample characteristics", "which cells were expected, and how many donors"),
    Item("2.3", _SAMPLE, "Sample treatment", "agents, doses, times"),
    Item("2.4", _SAMPLE, "Fluorescence reagents", "marker, fluorochrome, clone, manufacturer and catalogue number of every reagent"),
    Item("3.1", _INSTRUMENT, "Manufacturer", "manufacturer of the cytometer"),
    Item("3.2", _INSTRUMENT, "Model", "model of the cytometer"),
    Item("3.3", _INSTRUMENT, "Configuration and settings", "lasers, filters, detectors and their voltages"),
    Item("4.1", _ANALYSIS, "List-mode data files", "the files, and where they can be had"),
    Item("4.2", _ANALYSIS, "Compensation", "how spillover was determined"),
    Item("4.3", _ANALYSIS, "Data transformation", "scales on which gates were drawn"),
    Item("4.4", _ANALYSIS, "Gating", "every gate: what it keeps, its boundary, per cent of events inside"),
)

_MAKERS = (
    ("BD Biosciences", ("LSR", "FACS", "ACCURI", "FORTESSA", "SYMPHONY", "CANTO", "CELESTA", "BD ")),
    ("Beckman Coulter", ("CYTOFLEX", "NAVIOS", "GALLIOS", "FC 500", "FC500", "MOFLO", "CYTOMICS", "DXFLEX")),
    ("Cytek Biosciences", ("AURORA", "NORTHERN LIGHTS", "CYTEK", "GUAVA")),
    ("Miltenyi Biotec", ("MACSQUANT", "TYTO")),
    ("Thermo Fisher Scientific", ("ATTUNE", "BIGFOOT")),
    ("Agilent", ("NOVOCYTE", "QUANTEON", "PENTEON")),
    ("Sony Biotechnology", ("SH800", "ID7000", "MA900", "SP6800")),
)
"""Words in the name of a model ($CYT) by which its maker is known."""

_DATES = ("%d-%b-%Y", "%Y-%b-%d", "%d %b %Y", "%d-%b-%y", "%Y-%m-%d")
LISTED = 20
"""Files that are named with their digests; of more, the number."""


def compose_checklist(answers: Mapping[str, Answer]) -> Table:
    """MIFLOWCYT from what is known, by number of the item."""
    rows = []
    for item in ITEMS:
        answer = answers.get(item.number)
        status = ItemStatus.MISSING if answer is None else ItemStatus.PARTLY if answer.to_add else ItemStatus.FILLED
        rows.append(
            {
                "item": item.number,
                "section": item.section,
                "asked": item.asked,
                "status": status,
                "value": answer.value if answer else None,
                "source": answer.source if answer else None,
                "to_add": (answer.to_add or None) if answer else item.to_add,
            }
        )
    return MIFLOWCYT.from_rows(rows)


def list_for_files(files: Sequence[ListedFile], boundaries: Sequence[Boundary], populations: pl.DataFrame, gates: str) -> Table:
    """MIFLOWCYT of FCS files that were gated outside a study; ``gates`` names the gate file with its digest."""
    return compose_checklist(answer_from_files(files) | answer_from_gates(boundaries, populations, gates))


def answer_from_files(files: Sequence[ListedFile]) -> dict[str, Answer]:
    """Items that FCS files answer: date, instrument, settings, list-mode files, compensation."""
    made = [file.acquisition for file in files]
    answers = {
        "1.6": _date(made),
        "3.1": _maker(made),
        "3.2": _model(made),
        "3.3": _settings(made),
        "4.1": _files(files),
        "4.2": _spillover(made),
    }
    return {number: answer for number, answer in answers.items() if answer is not None}


def answer_from_gates(boundaries: Sequence[Boundary], populations: pl.DataFrame, source: str) -> dict[str, Answer]:
    """Items that gates answer: scales, and every gate with the share of its parent's events."""
    if not boundaries:
        return {}
    shapes: dict[str, dict[str, Boundary]] = {}
    for boundary in boundaries:
        shapes.setdefault(boundary.path, {})[boundary.geometry] = boundary
    scales = dict.fromkeys(scale for boundary in boundaries for scale in _scales(json.loads(boundary.geometry)))
    inside = _inside(populations)
    gates = "; ".join(_gate(path, list(own.values())) + inside.get(path, "") for path, own in shapes.items())
    return {
        "4.3": Answer("; ".join(scales) or "none: gates are on linear values; statistics are on the linear scale", source),
        "4.4": Answer(gates, source),
    }


def _gate(path: str, boundaries: Sequence[Boundary]) -> str:
    facts = json.loads(boundaries[0].geometry)
    shape = _shape(facts) if len(boundaries) == 1 else f"{_channels(facts)}, {len(boundaries)} boundaries"
    return f"{path} ({boundaries[0].method}): {shape}"


def join_some(texts: Iterable[str], separator: str = "; ") -> str:
    """Texts, of many the first."""
    listed = list(texts)
    more = f"{separator}and {len(listed) - LISTED} more" if len(listed) > LISTED else ""
    return separator.join(listed[:LISTED]) + more


def _date(made: Sequence[Acquisition]) -> Answer | None:
    texts = sorted({one.date for one in made if one.date})
    if not texts:
        return None
    dates = [date for text in texts if (date := _parse_date(text)) is not None]
    period = f"{min(dates)} to {max(dates)}" if len(dates) == len(texts) else join_some(texts)
    without = sum(not one.date for one in made)
    return Answer(str(dates[0]) if dates and len(texts) == 1 else period, "$DATE", f"date of {without} files" if without else "")


def _parse_date(text: str) -> dt.date | None:
    for pattern in _DATES:
        try:
            return dt.datetime.strptime(text.title(), pattern).replace(tzinfo=dt.UTC).date()
        except ValueError:
            continue
    return None


def _maker(made: Sequence[Acquisition]) -> Answer | None:
    models = {one.cytometer.upper() for one in made if one.cytometer}
    makers = {maker for maker, words in _MAKERS for model in models if any(word in model for word in words)}
    if not makers:
        return None
    return Answer(", ".join(sorted(makers)), "model in $CYT", "confirm: the file names the model, not its manufacturer")


def _model(made: Sequence[Acquisition]) -> Answer | None:
    models = sorted({_named(one) for one in made if one.cytometer})
    return Answer(join_some(models), "$CYT, $CYTSN or CYTNUM, CREATOR or $SYS") if models else None


def _named(one: Acquisition) -> str:
    serial = f", serial number {one.serial}" if one.serial else ""
    software = f", acquired with {one.software}" if one.software else ""
    return f"{one.cytometer}{serial}{software}"


def _settings(made: Sequence[Acquisition]) -> Answer | None:
    channels: dict[str, list[Setting]] = {}
    for one in made:
        for setting in one.settings:
            channels.setdefault(setting.name, []).append(setting)
    if not channels:
        return None
    lights = [settings for name, settings in channels.items() if not name.upper().startswith("TIME")]
    lacking = {
        "voltages": any(setting.voltage is None for settings in lights for setting in settings),
        "filters": any(not setting.filter for settings in lights for setting in settings),
        "lasers": any(not setting.laser for settings in lights for setting in settings),
    }
    add = [name for name, missing in lacking.items() if missing]
    told = "; ".join(f"{name}: {_setting(settings)}" for name, settings in channels.items())
    return Answer(told, "$PnN, $PnS, $PnV, $PnG, $PnF, $PnL, $PnO, $PnT", f"{', '.join(add)} that the files do not hold" if add else "")


def _setting(settings: Sequence[Setting]) -> str:
    volts = sorted({setting.voltage for setting in settings if setting.voltage is not None})
    gains = sorted({setting.gain for setting in settings})
    parts = sorted({setting.marker for setting in settings if setting.marker not in {"", setting.name}})
    parts += [f"{' or '.join(f'{volt:g}' for volt in volts)} V"] if volts else []
    parts += [f"gain {' or '.join(f'{gain:g}' for gain in gains)}"] if gains != [1.0] else []
    for name in ("filter", "laser", "power", "detector"):
        found = sorted({text for setting in settings if (text := str(getattr(setting, name)))})
        parts += [f"{name} {' or '.join(found)}"] if found else []
    return ", ".join(parts) or "no settings in the files"


def _files(files: Sequence[ListedFile]) -> Answer | None:
    if not files:
        return None
    events = sum(file.acquisition.events for file in files)
    versions = ", ".join(sorted({file.acquisition.version for file in files}))
    listed = join_some(f"{file.name} (sha256 {file.sha256})" for file in files)
    withheld = sorted({key for file in files for key in file.acquisition.withheld})
    names = f". Not printed, since people may be named there: {', '.join(withheld)}" if withheld else ""
    return Answer(f"{len(files)} files, {versions}, {events} events: {listed}{names}", "FCS files", "where the files can be had")


def _spillover(made: Sequence[Acquisition]) -> Answer | None:
    counts = {kind: sum(one.spillover is kind for one in made) for kind in Spillover}
    if not made or counts[Spillover.NONE] == len(made):
        return None
    words = {
        Spillover.GIVEN: "a spillover matrix",
        Spillover.IDENTITY: "a matrix without spillover",
        Spillover.NONE: "no spillover matrix",
    }
    told = ", ".join(f"{count} files with {words[kind]}" for kind, count in counts.items() if count)
    add = "how the matrix was made: single stains of cells or of beads" if counts[Spillover.GIVEN] else "why spillover was not corrected"
    return Answer(told, "$SPILLOVER, SPILL, $COMP or $DFCmTOn", add)


def _scales(facts: Mapping[str, object]) -> list[str]:
    channels, transforms = facts.get("channels", []), facts.get("transforms", [])
    if not isinstance(channels, list) or not isinstance(transforms, list):
        return []
    told = []
    for channel, transform in zip(channels, transforms, strict=True):
        if transform:
            parameters = " ".join(f"{name}={value:g}" for name, value in sorted(transform["parameters"].items()))
            told.append(f"{channel}: {transform['kind']} {parameters}")
    return told


def _channels(facts: Mapping[str, object]) -> str:
    channels = facts.get("channels")
    listed = " and ".join(map(str, channels)) if isinstance(channels, list) else "other gates"
    return f"{facts['kind']} on {listed}"


def _shape(facts: Mapping[str, object]) -> str:
    bounds, vertices = facts.get("bounds"), facts.get("vertices")
    if facts["kind"] == "rectangle" and isinstance(bounds, list):
        return f"{_channels(facts)}, {', '.join(_side(low, high) for low, high in bounds)}"
    return f"{_channels(facts)}, {len(vertices)} corners" if isinstance(vertices, list) else _channels(facts)


def _side(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return "open" if low is high else f"from {low:g}" if high is None else f"below {high:g}"
    return f"{low:g} to {high:g}"


def _inside(populations: pl.DataFrame) -> dict[str, str]:
    """Per cent of the parent's events by path: mean and range over files."""
    grouped: dict[str, list[float]] = {}
    for path, percent in populations.select("path", "percent_of_parent").iter_rows():
        if percent is not None:
            grouped.setdefault(path, []).append(percent)
    return {
        path: f", {sum(values) / len(values):.1f} % of the parent inside"
        + (f" (mean of {len(values)} files, {min(values):.1f} to {max(values):.1f})" if len(values) > 1 else "")
        for path, values in grouped.items()
    }
