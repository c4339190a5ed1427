"""The cytometer: FCS files of every cell specimen, stained, with the controls that the protocol's markers name.

In flow true deltas per specimen; out flow FCS 3.1 files and ``tubes.csv``. A tube holds the cells of interest,
other cells, dead cells, debris and doublets; a lineage gate's channel is bright on the cells of interest.
Each cell has a size that moves its scatter, its autofluorescence and its marker together; a marker's median
over the cells of interest, background apart, is the true
delta. Light spills into other detectors before it is counted as photoelectrons (Poisson) and before the
electronic noise is added, so that compensation gives spread and negative values as in a real file. The
drug makes cells brighter in every channel, stained or not: a plain median is wrong by it, a delta is not.
"""

import itertools
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
from exvivo.simulate.conditions import culture_strengths
from exvivo.simulate.truth import Array, Truth
from exvivo.study.design import Channel, SpilloverMatrix
from exvivo.study.fixedgates import needed_channels
from exvivo.study.model import ControlKind, FixedGate, FlowReadout, GateMethod
from exvivo.study.protocol import Protocol
from exvivo.study.statuses import TubeKind

Float32 = npt.NDArray[np.float32]

CEILING = 262_144.0
MAIN_WIDTH = 60_000.0
TIMESTEP_S = 0.01
EVENTS_PER_S = 200.0
PHOTOELECTRONS_PER_UNIT = 0.1
ELECTRONIC_SD = 15.0
DRUG_AUTOFLUORESCENCE = 1.15
LINEAGE = 6_000.0
NEIGHBOUR_SPILL = 0.04
"""Part of a dye that the next detector sees, where no pair of the panel's own detectors is known."""
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
    """Channels of the cytometer in file order: time and scatter, one detector per marker, lineages, the viability dye last."""

    time: str
    scatter: tuple["_Scatter", ...]
    markers: tuple[str, ...]
    labels: tuple[str, ...]
    detectors: tuple[str, ...]
    controls: tuple[ControlKind, ...]
    lineages: tuple[str, ...]
    dye: str

    @property
    def spillover(self) -> SpilloverMatrix:
        """Part of each fluorochrome that each detector sees."""
        names = (*self.detectors, *self.lineages, self.dye)
        spill = {pair: share for pair, share in SPILL.items() if set(pair) <= set(names)}
        spill = spill or dict.fromkeys(itertools.pairwise(names), NEIGHBOUR_SPILL)
        return SpilloverMatrix(names, names, tuple(tuple(1.0 if i == j else spill.get((i, j), 0.0) for j in names) for i in names))


@dataclass(frozen=True, slots=True)
class _Scatter:
    """One scatter channel: forward or side, and which part of the pulse (A area, H height, W width)."""

    name: str
    side: bool
    pulse: str


@dataclass(frozen=True, slots=True)
class _Specimen:
    """One tube of cells: true deltas in panel order, factor on autofluorescence, share of living cells."""

    name: str
    batch: str
    deltas: tuple[float, ...]
    autofluorescence: float
    viability_pct: float


@dataclass(frozen=True, slots=True)
class _Stain:
    """What a tube is stained with; ``without`` is the marker that an FMO tube leaves out."""

    kind: TubeKind
    without: str = ""


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
    """Write the FCS files of all donors, one task per donor, and the list of tubes; nothing without markers."""
    protocol = truth.protocol
    if not protocol.panels.readouts:
        return
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
    gates = protocol.file.panel.gates if protocol.file.panel else ()
    named = {gate.method: gate.channels for gate in gates}
    scattered = [name for gate in gates if gate.method in {GateMethod.SCATTER, GateMethod.SINGLETS} for name in gate.channels]
    detectors = tuple(block.channel for block in markers.values())
    lineages = [name for gate in gates if gate.method is GateMethod.LINEAGE for name in gate.channels if name not in detectors]
    time, dye = named.get(GateMethod.TIME, ("Time",))[0], named.get(GateMethod.VIABILITY, ("Viability-A",))[0]
    fixed = [name for gate in gates if isinstance(gate, FixedGate) for name in needed_channels(gate)]
    scattered += [name for name in fixed if name.upper().startswith(("FS", "SS"))] if scattered else []
    lineages += [name for name in fixed if name not in {time, dye, *detectors} and not name.upper().startswith(("FS", "SS"))]
    return Panel(
        time,
        tuple(sorted(map(_scatter_named, dict.fromkeys(scattered or ("FSC-A", "FSC-H", "SSC-A"))), key=lambda s: (s.side, s.pulse))),
        tuple(markers),
        tuple(block.label for block in markers.values()),
        detectors,
        tuple(block.control for block in markers.values()),
        tuple(dict.fromkeys(lineages)),
        dye,
    )


def _scatter_named(name: str) -> _Scatter:
    """Which scatter a channel measures, by its name: side for SSC, SS or side; H and W are height and width."""
    pulse = name.upper().removesuffix("EIGHT").removesuffix("IDTH")[-1:]
    return _Scatter(name, name.upper().startswith("S"), pulse if pulse in {"H", "W"} else "A")


def _sessions(folder: Path, truth: Truth, tubes: Tubes, seed: int, events: Events) -> list[_Session]:
    panel = panel_of(truth.protocol)
    at = [truth.readouts.index(name) for name in panel.markers]
    brighter = np.where(culture_strengths(truth.protocol, truth.cultures).to_numpy() > 0, DRUG_AUTOFLUORESCENCE, 1.0)
    brighter = brighter * np.exp(0.08 * rng_for(seed, "autofluorescence").standard_normal(truth.cultures.height))
    by_donor: dict[str, list[_Specimen]] = {}
    for row in tubes.of("cells").sort("specimen").iter_rows(named=True):
        deltas = tuple(float(value) for value in truth.net[row["row"], at])
        specimen = _Specimen(row["specimen"], row["run"], deltas, float(brighter[row["row"]]), row["viability_pct"])
        by_donor.setdefault(row["donor"], []).append(specimen)
    return [_Session(str(folder), donor, tuple(by_donor[donor]), panel, events, seed) for donor in sorted(by_donor)]


def _acquire_donor(session: _Session) -> Parcel:
    """Every tube of one donor: stained and controls of each specimen, and at least one unstained."""
    rows = []
    panel = session.panel
    planned = [(specimen, stain) for specimen in session.specimens for stain in _stains(panel)]
    if ControlKind.UNSTAINED not in panel.controls:
        planned.append((session.specimens[0], _Stain(TubeKind.UNSTAINED)))
    for specimen, stain in planned:
        told = f"{stain.kind}_{stain.without}" if stain.without else stain.kind.value
        rng = rng_for(session.seed, f"tube {specimen.name} {told}")
        name = f"{specimen.name}_{told.lower()}.fcs"
        data = compose_tube(panel, draw_events(panel, specimen, stain, session.events, rng))
        (Path(session.folder) / name).write_bytes(data)
        rows.append((name, specimen.name, stain.kind.value, stain.without, specimen.batch))
    return Parcel({"tubes": pl.DataFrame(rows, schema=dict.fromkeys(TUBE_COLUMNS, pl.String()), orient="row")})


def _stains(panel: Panel) -> list[_Stain]:
    """Tubes of one specimen: stained, and what its markers' controls ask for."""
    stains = [_Stain(TubeKind.FULL)]
    if ControlKind.ISOTYPE in panel.controls:
        stains.append(_Stain(TubeKind.ISOTYPE))
    stains += [_Stain(TubeKind.FMO, name) for name, kind in zip(panel.markers, panel.controls, strict=True) if kind is ControlKind.FMO]
    return stains + [_Stain(TubeKind.UNSTAINED)] * (ControlKind.UNSTAINED in panel.controls)


def compose_tube(panel: Panel, events: Float32) -> bytes:
    """FCS file of one tube."""
    scatter = [Channel(panel.time, "", CEILING), *(Channel(s.name, "", CEILING, 300.0) for s in panel.scatter)]
    stained = [Channel(name, label, CEILING, 450.0) for name, label in zip(panel.detectors, panel.labels, strict=True)]
    stained += [Channel(name, "lineage", CEILING, 450.0) for name in panel.lineages]
    channels = [*scatter, *stained, Channel(panel.dye, "Viability", CEILING, 450.0)]
    return fcs.compose(events, channels, spillover=panel.spillover, timestep=TIMESTEP_S, keywords={"$CYT": "simulated"})


def draw_events(panel: Panel, specimen: _Specimen, stain: _Stain, events: Events, rng: np.random.Generator) -> Float32:
    """Events of one tube in the order of arrival, one column per channel of the panel, as a file stores them."""
    alone = TubeKind.UNSTAINED if ControlKind.UNSTAINED not in panel.controls else None
    n = events.full if stain.kind is TubeKind.FULL else events.unstained if stain.kind is alone else events.isotype
    classes = (_MACROPHAGE, *_OTHERS, _DEAD)
    dead = 1 - specimen.viability_pct / 100
    shares = np.array([*(c.share * (1 - dead) for c in classes[:-1]), dead])
    which = rng.choice(len(classes), size=n, p=shares / shares.sum())

    def typical(values: Sequence[float]) -> Array:
        return np.array(values)[which]

    size, grain = rng.standard_normal(n), rng.standard_normal(n)
    spread = typical([c.spread for c in classes])
    areas = (
        typical([c.fsc for c in classes]) * np.exp(spread * size),
        typical([c.ssc for c in classes]) * np.exp(spread * (0.6 * size + grain)),
    )
    scatter = [_pulse(channel, areas[channel.side], typical([c.height for c in classes]), rng) for channel in panel.scatter]
    amounts = _amounts(
        panel, specimen, stain, size, [typical([getattr(c, part) for c in classes]) for part in ("marker", "background")], rng
    )
    dye = typical([c.dye for c in classes]) if stain.kind is not TubeKind.UNSTAINED else np.full(n, 80.0)
    light = np.column_stack([amounts, dye * np.exp(0.3 * rng.standard_normal(n))]) @ np.array(panel.spillover.matrix)
    counted = rng.poisson(light * PHOTOELECTRONS_PER_UNIT) / PHOTOELECTRONS_PER_UNIT + ELECTRONIC_SD * rng.standard_normal(light.shape)
    time = np.sort(rng.uniform(0, n / EVENTS_PER_S, n)) / TIMESTEP_S
    stored = np.column_stack([time, *scatter, counted])
    written: Float32 = np.minimum(stored, CEILING - 1).astype(np.float32)
    return written


def _pulse(channel: _Scatter, area: Array, height: Array, rng: np.random.Generator) -> Array:
    """Area, height or width of each event's pulse; ``height`` is its height as a share of its area."""
    if channel.pulse == "A":
        return area
    noise = np.exp(0.03 * rng.standard_normal(len(area)))
    pulse: Array = area * height * noise if channel.pulse == "H" else MAIN_WIDTH * _MACROPHAGE.height / height * noise
    return pulse


def _amounts(panel: Panel, specimen: _Specimen, stain: _Stain, size: Array, relative: Sequence[Array], rng: np.random.Generator) -> Array:
    """Light of each cell by fluorochrome before it spills: background, and markers and lineages where they are stained."""
    shape = (len(size), len(panel.detectors))
    own = rng.standard_normal(shape)
    marker, background = relative
    levels = np.array([BACKGROUND.get(channel, ORDINARY_BACKGROUND) for channel in panel.detectors]) * specimen.autofluorescence
    unspecific = 0.6 if stain.kind is TubeKind.UNSTAINED else 1.0
    amounts: Array = unspecific * levels * background[:, None] * np.exp(0.25 * size[:, None] + 0.10 * rng.standard_normal(shape))
    if stain.kind in {TubeKind.FULL, TubeKind.FMO}:
        stained = np.array([name != stain.without for name in panel.markers], dtype=float)
        amounts = amounts + stained * np.array(specimen.deltas) * marker[:, None] * np.exp(0.25 * size[:, None] + 0.35 * own)
    if not panel.lineages:
        return amounts
    bright = 0.0 if stain.kind is TubeKind.UNSTAINED else LINEAGE
    scatter = np.exp(0.25 * size[:, None] + 0.3 * rng.standard_normal((len(size), len(panel.lineages))))
    return np.column_stack([amounts, (ORDINARY_BACKGROUND * background[:, None] + bright * marker[:, None]) * scatter])
