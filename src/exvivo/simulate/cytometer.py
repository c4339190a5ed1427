"""The cytometer: FCS files of every cell specimen, stained, with isotypes and unstained.

In flow true deltas per specimen; out flow FCS 3.1 files and ``tubes.csv``. A tube holds macrophages,
remaining lymphocytes, dead cells, debris and doublets. Each cell has a size that moves its scatter, its
autofluorescence and its marker together; a marker's median over macrophages, background apart, is the true
delta. Light spills into other detectors before it is counted as photoelectrons (Poisson) and before the
electronic noise is added, so that compensation gives spread and negative values as in a real file. The
drug makes cells brighter in every channel, stained or not: a plain median is wrong by it, a delta is not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import polars as pl

from exvivo.engine import Parcel, Work, rng_for
from exvivo.formats import fcs
from exvivo.formats.delimited import DelimitedTable, compose_table
from exvivo.simulate.bench import Tubes
from exvivo.simulate.truth import Array, Truth, drug_flags
from exvivo.study.design import Channel, SpilloverMatrix
from exvivo.study.model import FlowReadout, GateMethod
from exvivo.study.protocol import Protocol
from exvivo.study.statuses import TubeKind

Float32 = npt.NDArray[np.float32]

CEILING = 262_144.0
TIMESTEP_S = 0.01
EVENTS_PER_S = 200.0
PHOTOELECTRONS_PER_UNIT = 0.1
ELECTRONIC_SD = 15.0
DRUG_AUTOFLUORESCENCE = 1.15
TUBE_COLUMNS = ("file", "specimen", "tube", "marker", "batch")

BACKGROUND: Mapping[str, float] = MappingProxyType(
    {"FITC-A": 400.0, "PE-A": 250.0, "PE-Vio770-A": 200.0, "APC-A": 200.0, "VioBlue-A": 350.0, "BV605-A": 300.0}
)
ORDINARY_BACKGROUND = 300.0
SPILL: Mapping[tuple[str, str], float] = MappingProxyType(
    {
        ("FITC-A", "PE-A"): 0.12,
        ("PE-A", "FITC-A"): 0.01,
        ("PE-A", "PE-Vio770-A"): 0.03,
        ("PE-A", "BV605-A"): 0.05,
        ("PE-Vio770-A", "PE-A"): 0.04,
        ("PE-Vio770-A", "APC-A"): 0.02,
        ("APC-A", "PE-Vio770-A"): 0.02,
        ("VioBlue-A", "BV605-A"): 0.04,
        ("BV605-A", "VioBlue-A"): 0.02,
        ("BV605-A", "PE-A"): 0.03,
    }
)


@dataclass(frozen=True, slots=True)
class Events:
    """Events acquired per tube."""

    full: int = 4_000
    isotype: int = 2_500
    unstained: int = 1_000


@dataclass(frozen=True, slots=True)
class _CellClass:
    """Share of living events and typical signals of one kind of event; markers and background relative to a macrophage."""

    share: float
    fsc: float
    ssc: float
    spread: float
    marker: float
    background: float
    dye: float
    height: float = 0.62


_MACROPHAGE = _CellClass(0.82, 90_000, 70_000, 0.16, 1.0, 1.0, 150)
_OTHERS = (
    _CellClass(0.05, 34_000, 12_000, 0.12, 0.05, 0.3, 120),
    _CellClass(0.08, 9_000, 6_000, 0.35, 0.03, 0.15, 300),
    _CellClass(0.05, 180_000, 140_000, 0.12, 2.0, 2.0, 300, 0.36),
)
_DEAD = _CellClass(0.0, 62_000, 90_000, 0.20, 0.5, 1.5, 15_000)


@dataclass(frozen=True, slots=True)
class Panel:
    """Channels of the cytometer in file order: time and scatter, one detector per marker, the viability dye last."""

    time: str
    fsc: tuple[str, str]
    ssc: str
    markers: tuple[str, ...]
    labels: tuple[str, ...]
    detectors: tuple[str, ...]
    dye: str

    @property
    def spillover(self) -> SpilloverMatrix:
        """Part of each fluorochrome that each detector sees."""
        names = (*self.detectors, self.dye)
        return SpilloverMatrix(names, names, tuple(tuple(1.0 if i == j else SPILL.get((i, j), 0.0) for j in names) for i in names))


@dataclass(frozen=True, slots=True)
class _Specimen:
    """One tube of cells: true deltas in panel order, factor on autofluorescence, share of living cells."""

    name: str
    batch: str
    deltas: tuple[float, ...]
    autofluorescence: float
    viability_pct: float


@dataclass(frozen=True, slots=True)
class _Session:
    """Everything to acquire from one donor."""

    folder: str
    donor: str
    specimens: tuple[_Specimen, ...]
    panel: Panel
    events: Events
    seed: int


def write_tubes(folder: Path, truth: Truth, tubes: Tubes, work: Work, seed: int, events: Events) -> None:
    """Write the FCS files of all donors, one task per donor, and the list of tubes."""
    protocol = truth.protocol
    cytometry = folder / protocol.files.cytometry
    cytometry.mkdir(parents=True, exist_ok=True)
    sessions = _sessions(cytometry, truth, tubes, seed, events)
    fresh = Work(work.executor, None, work.progress, seed)  # files are written: a remembered result would leave none
    parcels = fresh.map(_acquire_donor, sessions, key=lambda session: [session.seed, session.donor], label="simulating")
    rows = [row for parcel in parcels for row in parcel.frames["tubes"].iter_rows()]
    (folder / protocol.files.tubes).write_bytes(compose_table(DelimitedTable(TUBE_COLUMNS, tuple(sorted(rows)), ())))


def panel_of(protocol: Protocol) -> Panel:
    """Channels that the protocol's markers and gates name."""
    markers = {name: block for name, block in protocol.file.readouts.items() if isinstance(block, FlowReadout)}
    named = {gate.method: gate.channels for gate in protocol.file.panel.gates} if protocol.file.panel else {}
    fsc, ssc = named.get(GateMethod.SCATTER, ("FSC-A", "SSC-A"))[:2]
    height = named.get(GateMethod.SINGLETS, (fsc, "FSC-H"))[-1]
    time, dye = named.get(GateMethod.TIME, ("Time",))[0], named.get(GateMethod.VIABILITY, ("Viability-A",))[0]
    labels, detectors = tuple(block.label for block in markers.values()), tuple(block.channel for block in markers.values())
    return Panel(time, (fsc, height), ssc, tuple(markers), labels, detectors, dye)


def _sessions(folder: Path, truth: Truth, tubes: Tubes, seed: int, events: Events) -> list[_Session]:
    panel = panel_of(truth.protocol)
    at = [truth.readouts.index(name) for name in panel.markers]
    brighter = np.where(drug_flags(truth.protocol, truth.cultures) > 0, DRUG_AUTOFLUORESCENCE, 1.0)
    brighter = brighter * np.exp(0.08 * rng_for(seed, "autofluorescence").standard_normal(truth.cultures.height))
    by_donor: dict[str, list[_Specimen]] = {}
    for row in tubes.of("cells").sort("specimen").iter_rows(named=True):
        deltas = tuple(float(value) for value in truth.net[row["row"], at])
        specimen = _Specimen(row["specimen"], row["run"], deltas, float(brighter[row["row"]]), row["viability_pct"])
        by_donor.setdefault(row["donor"], []).append(specimen)
    return [_Session(str(folder), donor, tuple(by_donor[donor]), panel, events, seed) for donor in sorted(by_donor)]


def _acquire_donor(session: _Session) -> Parcel:
    """Every tube of one donor: stained and isotype of each specimen, and one unstained."""
    rows = []
    planned = [(s, kind) for s in session.specimens for kind in (TubeKind.FULL, TubeKind.ISOTYPE)]
    planned.append((session.specimens[0], TubeKind.UNSTAINED))
    for specimen, kind in planned:
        rng = rng_for(session.seed, f"tube {specimen.name} {kind}")
        name = f"{specimen.name}_{kind}.fcs"
        data = compose_tube(session.panel, draw_events(session.panel, specimen, kind, session.events, rng))
        (Path(session.folder) / name).write_bytes(data)
        rows.append((name, specimen.name, kind.value, "", specimen.batch))
    return Parcel({"tubes": pl.DataFrame(rows, schema=dict.fromkeys(TUBE_COLUMNS, pl.String()), orient="row")})


def compose_tube(panel: Panel, events: Float32) -> bytes:
    """FCS file of one tube."""
    scatter = [Channel(panel.time, "", CEILING), *(Channel(name, "", CEILING, 300.0) for name in (*panel.fsc, panel.ssc))]
    stained = [Channel(name, label, CEILING, 450.0) for name, label in zip(panel.detectors, panel.labels, strict=True)]
    channels = [*scatter, *stained, Channel(panel.dye, "Viability", CEILING, 450.0)]
    return fcs.compose(events, channels, spillover=panel.spillover, timestep=TIMESTEP_S, keywords={"$CYT": "simulated"})


def draw_events(panel: Panel, specimen: _Specimen, kind: TubeKind, events: Events, rng: np.random.Generator) -> Float32:
    """Events of one tube in the order of arrival, shape (n, 4 + markers + 1), as a file stores them."""
    n = {TubeKind.FULL: events.full, TubeKind.ISOTYPE: events.isotype}.get(kind, events.unstained)
    classes = (_MACROPHAGE, *_OTHERS, _DEAD)
    dead = 1 - specimen.viability_pct / 100
    shares = np.array([*(c.share * (1 - dead) for c in classes[:-1]), dead])
    which = rng.choice(len(classes), size=n, p=shares / shares.sum())

    def typical(values: Sequence[float]) -> Array:
        return np.array(values)[which]

    size, grain = rng.standard_normal(n), rng.standard_normal(n)
    spread = typical([c.spread for c in classes])
    fsc = typical([c.fsc for c in classes]) * np.exp(spread * size)
    height = fsc * typical([c.height for c in classes]) * np.exp(0.03 * rng.standard_normal(n))
    ssc = typical([c.ssc for c in classes]) * np.exp(spread * (0.6 * size + 1.0 * grain))
    amounts = _amounts(
        panel, specimen, kind, size, [typical([getattr(c, part) for c in classes]) for part in ("marker", "background")], rng
    )
    dye = typical([c.dye for c in classes]) if kind is not TubeKind.UNSTAINED else np.full(n, 80.0)
    light = np.column_stack([amounts, dye * np.exp(0.3 * rng.standard_normal(n))]) @ np.array(panel.spillover.matrix)
    counted = rng.poisson(light * PHOTOELECTRONS_PER_UNIT) / PHOTOELECTRONS_PER_UNIT + ELECTRONIC_SD * rng.standard_normal(light.shape)
    time = np.sort(rng.uniform(0, n / EVENTS_PER_S, n)) / TIMESTEP_S
    stored = np.column_stack([time, fsc, height, ssc, counted])
    written: Float32 = np.minimum(stored, CEILING - 1).astype(np.float32)
    return written


def _amounts(panel: Panel, specimen: _Specimen, kind: TubeKind, size: Array, relative: Sequence[Array], rng: np.random.Generator) -> Array:
    """Light of each cell by fluorochrome before it spills: background, and the markers where they are stained."""
    shape = (len(size), len(panel.detectors))
    own = rng.standard_normal(shape)
    marker, background = relative
    levels = np.array([BACKGROUND.get(channel, ORDINARY_BACKGROUND) for channel in panel.detectors]) * specimen.autofluorescence
    unspecific = 0.6 if kind is TubeKind.UNSTAINED else 1.0
    amounts: Array = unspecific * levels * background[:, None] * np.exp(0.25 * size[:, None] + 0.10 * rng.standard_normal(shape))
    if kind is TubeKind.FULL:
        amounts = amounts + np.array(specimen.deltas) * marker[:, None] * np.exp(0.25 * size[:, None] + 0.35 * own)
    return amounts
