"""The cytometer: FCS files of every cell specimen, stained, with the controls that the protocol's markers name.

In flow true deltas per specimen; out flow FCS 3.1 files and ``tubes.csv``. A tube holds the cells of interest,
other cells, dead cells, debris and doublets; a lineage gate's channel is bright on the cells of interest.
Each cell has a size that moves its scatter, its autofluorescence and its marker together; the median of marker and
background less that of the background, over the cells of interest, is the true delta. Light spills into other detectors
before it is counted as photoelectrons (Poisson) and before the electronic noise is added, so that compensation gives
spread and negative values as in a real file. The drug makes cells brighter in every channel, stained or not: a plain
median is wrong by it, a delta is not.
"""

import itertools
from collections.abc import Mapping
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
from exvivo.simulate.staining import BACKGROUND_SD, MARKER_SD, SIZE_SD, marker_amounts
from exvivo.simulate.truth import Array, Indices, Truth
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
class Look:
    """What the drug does to cells beside their markers: factors on autofluorescence and on size.

    ``amounts_held``: a marker is given the amount that has the true delta without the drug's light, not with it. A drug that only
    changes the look of cells leaves amounts as they are.
    """

    autofluorescence: float = DRUG_AUTOFLUORESCENCE
    size: float = 1.0
    amounts_held: bool = False


@dataclass(frozen=True, slots=True)
class Events:
    """What is acquired: events per tube, of cells that the drug makes look so."""

    full: int = 4_000
    isotype: int = 2_500
    unstained: int = 1_000
    look: Look = Look()


@dataclass(frozen=True, slots=True)
class _CellClass:
    """Share of living events and typical signals of one kind of event; markers and background relative to a macrophage.

    ``small`` events are no macrophages, and keep their size when those grow.
    """

    share: float
    fsc: float
    ssc: float
    spread: float
    marker: float
    background: float
    dye: float
    height: float = 0.62
    small: bool = False


_MACROPHAGE = _CellClass(0.82, 90_000, 70_000, 0.16, 1.0, 1.0, 150)
_OTHERS = (
    _CellClass(0.05, 34_000, 12_000, 0.12, 0.05, 0.3, 120, small=True),
    _CellClass(0.08, 9_000, 6_000, 0.35, 0.03, 0.15, 300, small=True),
    _CellClass(0.05, 180_000, 140_000, 0.12, 2.0, 2.0, 300, 0.36),
)
_DEAD = _CellClass(0.0, 62_000, 90_000, 0.20, 0.5, 1.5, 15_000)
CLASSES = (_MACROPHAGE, *_OTHERS, _DEAD)
"""Kinds of events: macrophages first; lymphocytes, debris, doublets, dead cells."""


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
class Specimen:
    """One tube of cells: light of its markers in panel order, factors on autofluorescence and size, share of living cells."""

    name: str
    batch: str
    amounts: tuple[float, ...]
    autofluorescence: float
    size: float
    viability_pct: float


@dataclass(frozen=True, slots=True)
class Stain:
    """What a tube is stained with; ``without`` is the marker that an FMO tube leaves out."""

    kind: TubeKind
    without: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """Everything to acquire from one donor."""

    folder: str
    donor: str
    specimens: tuple[Specimen, ...]
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
    sessions = plan_sessions(cytometry, truth, tubes, seed, events)
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


def plan_sessions(folder: Path, truth: Truth, tubes: Tubes, seed: int, events: Events) -> list[Session]:
    """Everything to acquire, one session per donor."""
    panel, look = panel_of(truth.protocol), events.look
    at = [truth.readouts.index(name) for name in panel.markers]
    drug = culture_strengths(truth.protocol, truth.cultures).to_numpy() > 0
    own = np.exp(0.08 * rng_for(seed, "autofluorescence").standard_normal(truth.cultures.height))
    light, size = own * np.where(drug, look.autofluorescence, 1.0), np.where(drug, look.size, 1.0)
    known = own if look.amounts_held else light
    amounts = marker_amounts(truth.net[:, at], known[:, None] * backgrounds(panel))
    by_donor: dict[str, list[Specimen]] = {}
    for row in tubes.of("cells").sort("specimen").iter_rows(named=True):
        k = row["row"]
        factors = float(light[k]), float(size[k])
        specimen = Specimen(row["specimen"], row["run"], tuple(map(float, amounts[k])), *factors, row["viability_pct"])
        by_donor.setdefault(row["donor"], []).append(specimen)
    return [Session(str(folder), donor, tuple(by_donor[donor]), panel, events, seed) for donor in sorted(by_donor)]


def backgrounds(panel: Panel) -> Array:
    """Median light without any marker, of each marker's detector."""
    return np.array([BACKGROUND.get(channel, ORDINARY_BACKGROUND) for channel in panel.detectors])


def _acquire_donor(session: Session) -> Parcel:
    """Every tube of one donor: stained and controls of each specimen, and at least one unstained."""
    rows = []
    panel = session.panel
    planned = [(specimen, stain) for specimen in session.specimens for stain in _stains(panel)]
    if ControlKind.UNSTAINED not in panel.controls:
        planned.append((session.specimens[0], Stain(TubeKind.UNSTAINED)))
    for specimen, stain in planned:
        told = f"{stain.kind}_{stain.without}" if stain.without else stain.kind.value
        rng = rng_for(session.seed, f"tube {specimen.name} {told}")
        name = f"{specimen.name}_{told.lower()}.fcs"
        data = compose_tube(panel, draw_events(panel, specimen, stain, session.events, rng))
        (Path(session.folder) / name).write_bytes(data)
        rows.append((name, specimen.name, stain.kind.value, stain.without, specimen.batch))
    return Parcel({"tubes": pl.DataFrame(rows, schema=dict.fromkeys(TUBE_COLUMNS, pl.String()), orient="row")})


def _stains(panel: Panel) -> list[Stain]:
    """Tubes of one specimen: stained, and what its markers' controls ask for."""
    stains = [Stain(TubeKind.FULL)]
    if ControlKind.ISOTYPE in panel.controls:
        stains.append(Stain(TubeKind.ISOTYPE))
    stains += [Stain(TubeKind.FMO, name) for name, kind in zip(panel.markers, panel.controls, strict=True) if kind is ControlKind.FMO]
    return stains + [Stain(TubeKind.UNSTAINED)] * (ControlKind.UNSTAINED in panel.controls)


def compose_tube(panel: Panel, events: Float32) -> bytes:
    """FCS file of one tube."""
    scatter = [Channel(panel.time, "", CEILING), *(Channel(s.name, "", CEILING, 300.0) for s in panel.scatter)]
    stained = [Channel(name, label, CEILING, 450.0) for name, label in zip(panel.detectors, panel.labels, strict=True)]
    stained += [Channel(name, "lineage", CEILING, 450.0) for name in panel.lineages]
    channels = [*scatter, *stained, Channel(panel.dye, "Viability", CEILING, 450.0)]
    return fcs.compose(events, channels, spillover=panel.spillover, timestep=TIMESTEP_S, keywords={"$CYT": "simulated"})


def draw_events(panel: Panel, specimen: Specimen, stain: Stain, events: Events, rng: np.random.Generator) -> Float32:
    """Events of one tube in the order of arrival, one column per channel of the panel, as a file stores them."""
    alone = TubeKind.UNSTAINED if ControlKind.UNSTAINED not in panel.controls else None
    n = events.full if stain.kind is TubeKind.FULL else events.unstained if stain.kind is alone else events.isotype
    dead = 1 - specimen.viability_pct / 100
    shares = np.array([*(c.share * (1 - dead) for c in CLASSES[:-1]), dead])
    return draw_cells(panel, specimen, stain, rng.choice(len(CLASSES), size=n, p=shares / shares.sum()), rng)


def draw_cells(panel: Panel, specimen: Specimen, stain: Stain, which: Indices, rng: np.random.Generator) -> Float32:
    """Events of known kinds (places in ``CLASSES``), in the order of arrival."""
    n = len(which)

    def typical(part: str) -> Array:
        return np.array([getattr(kind, part) for kind in CLASSES], dtype=np.float64)[which]

    size, grain, spread = rng.standard_normal(n), rng.standard_normal(n), typical("spread")
    factor = np.array([1.0 if kind.small else specimen.size for kind in CLASSES])[which]
    areas = (factor * typical("fsc") * np.exp(spread * size), factor * typical("ssc") * np.exp(spread * (0.6 * size + grain)))
    scatter = [_pulse(channel, areas[channel.side], typical("height"), rng) for channel in panel.scatter]
    amounts = _amounts(panel, specimen, stain, size, (typical("marker"), typical("background")), rng)
    dye = typical("dye") if stain.kind is not TubeKind.UNSTAINED else np.full(n, 80.0)
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


def _amounts(panel: Panel, specimen: Specimen, stain: Stain, size: Array, relative: tuple[Array, Array], rng: np.random.Generator) -> Array:
    """Light of each cell by fluorochrome before it spills: background, and markers and lineages where they are stained."""
    shape = (len(size), len(panel.detectors))
    own = rng.standard_normal(shape)
    marker, background = relative
    levels = backgrounds(panel) * specimen.autofluorescence
    unspecific = 0.6 if stain.kind is TubeKind.UNSTAINED else 1.0
    unstained = np.exp(SIZE_SD * size[:, None] + BACKGROUND_SD * rng.standard_normal(shape))
    amounts: Array = unspecific * levels * background[:, None] * unstained
    if stain.kind in {TubeKind.FULL, TubeKind.FMO}:
        stained = np.array([name != stain.without for name in panel.markers], dtype=float)
        amounts = amounts + stained * np.array(specimen.amounts) * marker[:, None] * np.exp(SIZE_SD * size[:, None] + MARKER_SD * own)
    if not panel.lineages:
        return amounts
    bright = 0.0 if stain.kind is TubeKind.UNSTAINED else LINEAGE
    scatter = np.exp(0.25 * size[:, None] + 0.3 * rng.standard_normal((len(size), len(panel.lineages))))
    return np.column_stack([amounts, (ORDINARY_BACKGROUND * background[:, None] + bright * marker[:, None]) * scatter])
