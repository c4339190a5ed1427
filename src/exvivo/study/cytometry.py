"""Nouns and tables of cytometry that few need: how files were acquired, the MIFlowCyt list, calibration beads."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from exvivo.study.columns import COUNT, REAL, TEXT, Column, TableKind
from exvivo.study.design import EventsRecord, SpilloverMatrix

WITHHELD = ("$OP", "$SRC", "$SMNO", "$EXP", "$PROJ", "$CELLS", "$INST", "$COM", "$LAST_MODIFIER", "EXPORT USER NAME")
"""Keywords in which names of people stand: only that they are there is ever told."""


_NOTHING = frozenset({"", "NA", "N/A"})
"""What cytometers write for nothing."""


class Spillover(StrEnum):
    """What a file says about spillover."""

    GIVEN = "given"
    IDENTITY = "identity"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Setting:
    """One channel as it was acquired: $PnN, $PnS, $PnV, $PnG, $PnF, $PnL, $PnO, $PnT; empty text for what the file does not say."""

    name: str
    marker: str
    voltage: float | None
    gain: float
    filter: str
    laser: str
    power: str
    detector: str


@dataclass(frozen=True, slots=True)
class Acquisition:
    """What one FCS data set says about its own making, without names of people; ``withheld`` are the keywords that hold such."""

    version: str
    events: int
    cytometer: str
    serial: str
    software: str
    date: str
    settings: tuple[Setting, ...]
    spillover: Spillover
    withheld: tuple[str, ...]

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)


def acquisition_of(record: EventsRecord) -> Acquisition:
    """How a data set was acquired, from its keywords."""
    keywords = record.keywords

    def say(*keys: str) -> str:
        return next((text for key in keys if (text := keywords.get(key, "").strip()) not in _NOTHING), "")

    settings = tuple(
        Setting(channel.name, channel.marker, channel.voltage, channel.gain, *(say(f"$P{n}{letter}") for letter in "FLOT"))
        for n, channel in enumerate(record.channels, 1)
    )
    withheld = tuple(key for key in WITHHELD if say(key))
    software, date = say("CREATOR", "$SYS"), say("$DATE")
    head = record.version, record.n_events, say("$CYT"), say("$CYTSN", "CYTNUM")
    return Acquisition(*head, software, date, settings, _spillover(record.spillover), withheld)


def acquisition_from(text: str) -> Acquisition:
    """The inverse of ``Acquisition.to_json``."""
    facts = json.loads(text)
    settings = tuple(Setting(**one) for one in facts.pop("settings"))
    return Acquisition(settings=settings, spillover=Spillover(facts.pop("spillover")), withheld=tuple(facts.pop("withheld")), **facts)


def _spillover(matrix: SpilloverMatrix | None) -> Spillover:
    if matrix is None:
        return Spillover.NONE
    plain = all(value == (row == column) for row, line in enumerate(matrix.matrix) for column, value in enumerate(line))
    return Spillover.IDENTITY if plain else Spillover.GIVEN


@dataclass(frozen=True, slots=True)
class Boundary:
    """One gate as it was used: its path, how it was found, its geometry as JSON."""

    path: str
    method: str
    geometry: str


class ItemStatus(StrEnum):
    """How far an item of a reporting list is answered."""

    FILLED = "filled"
    PARTLY = "partly"
    MISSING = "missing"


MIFLOWCYT = TableKind(
    "miflowcyt",
    "the minimum information about a flow cytometry experiment (MIFlowCyt 1.0), item by item, from protocol, files and gates",
    (
        Column("item", TEXT, "number in the standard", required=True),
        Column("section", TEXT, "section of the standard", required=True),
        Column("asked", TEXT, "what the standard asks for", required=True),
        Column("status", TEXT, "how far it is answered", allowed=tuple(s.value for s in ItemStatus), required=True),
        Column("value", TEXT, "the answer"),
        Column("source", TEXT, "where it was taken from"),
        Column("to_add", TEXT, "what a person has to add"),
    ),
    ("item",),
)


class BeadStatus(StrEnum):
    """Whether a channel could be calibrated."""

    CALIBRATED = "calibrated"
    REFUSED = "refused"


class BeadReason(StrEnum):
    """Why it could not."""

    FEW_POPULATIONS = "few-populations"
    RESIDUAL_LARGE = "residual-large"


@dataclass(frozen=True, slots=True)
class BeadSet:
    """One FCS file of calibration beads and the known value of each population, from the dimmest, per channel; None where unknown.

    ``file`` is what tables call it; all channels have as many populations.
    """

    file: str
    path: Path
    values: Mapping[str, tuple[float | None, ...]]

    @property
    def n_populations(self) -> int:
        """How many populations the mixture has."""
        return len(next(iter(self.values.values())))


BEADS = TableKind(
    "beads",
    "one row per calibrated channel: molecules = exp(intercept) x fluorescence ^ slope",
    (
        Column("channel", TEXT, "channel", required=True),
        Column("file", TEXT, "FCS file of the beads", required=True),
        Column("status", TEXT, "what became of it", allowed=tuple(s.value for s in BeadStatus), required=True),
        Column("reason", TEXT, "why it was refused", allowed=tuple(r.value for r in BeadReason)),
        Column("told_apart_by", TEXT, "channels that told the populations apart, the one that told most of them first"),
        Column("slope", REAL, "m; 1 where molecules are proportional to fluorescence"),
        Column("slope_se", REAL, "standard error; empty without degrees of freedom"),
        Column("intercept", REAL, "b, natural log"),
        Column("intercept_se", REAL, "standard error"),
        Column("autofluorescence", REAL, "of the beads; no part of the conversion", "molecules"),
        Column("autofluorescence_se", REAL, "standard error; empty where the estimate is 0, its lowest value"),
        Column("df", COUNT, "degrees of freedom: populations used minus three"),
        Column("used", COUNT, "populations used"),
        Column("worst_residual_pct", REAL, "largest distance of a population from the curve", "%"),
        Column("low", REAL, "dimmest fluorescence that the curve rests on"),
        Column("high", REAL, "brightest fluorescence that the curve rests on"),
        Column("voltage", REAL, "$PnV of the detector"),
    ),
    ("channel",),
)

BEAD_PEAKS = TableKind(
    "bead_peaks",
    "every population of beads in every channel, from the dimmest",
    (
        Column("channel", TEXT, "channel", required=True),
        Column("population", COUNT, "place from the dimmest, from 1", required=True),
        Column("events", COUNT, "single beads"),
        Column("median", REAL, "median fluorescence, linear, not compensated"),
        Column("median_se", REAL, "its standard error"),
        Column("known", REAL, "known value", "molecules"),
        Column("fate", TEXT, "used, or why not: unknown, merged, few, dim, saturated", required=True),
        Column("residual_pct", REAL, "known value and autofluorescence over the curve, minus one", "%"),
    ),
    ("channel", "population"),
)
