"""Faults planted into the FCS files of a simulated study, so that what looks for them can be judged.

In flow a folder that ``simulate_study`` has written; its files are rewritten, or its sheet of tubes, as a hasty operator, a tired
laser or a helpful export would have left them. Every planted fault is told as the code and the place that a finding should give it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import polars as pl

from exvivo.engine import rng_for
from exvivo.formats import fcs
from exvivo.formats.delimited import DelimitedTable, compose_table
from exvivo.simulate.cytometer import TIMESTEP_S, TUBE_COLUMNS, Float32, panel_of
from exvivo.study.design import Channel, SpilloverMatrix
from exvivo.study.findings import FindingCode
from exvivo.study.protocol import Protocol
from exvivo.study.statuses import TubeKind


@dataclass(frozen=True, slots=True)
class _Tube:
    """One file in memory; ``markers`` are the channels of markers, ``dye`` that of the viability dye."""

    events: Float32
    channels: tuple[Channel, ...]
    spillover: SpilloverMatrix | None
    markers: tuple[str, ...]
    dye: str

    def column(self, name: str) -> int:
        """Place of a channel."""
        return [channel.name for channel in self.channels].index(name)

    def changed(self, column: int, values: np.ndarray, where: np.ndarray | slice = slice(None)) -> "_Tube":
        """The tube with other values in one column."""
        events = self.events.copy()
        events[where, column] = values
        return replace(self, events=events)

    def named(self, name: str, /, **changes: object) -> "_Tube":
        """The tube with one channel described otherwise."""
        return replace(self, channels=tuple(replace(c, **changes) if c.name == name else c for c in self.channels))  # type: ignore[arg-type]


Spoil = Callable[[_Tube, np.random.Generator], _Tube]


@dataclass(frozen=True, slots=True)
class _Fault:
    """How one code is planted: into one file of a kind or all files of a donor; whether the donor, the file or a name is its place."""

    spoil: Spoil
    kind: TubeKind = TubeKind.FULL
    whole_donor: bool = False
    place: str = "file"


def plant_tube_faults(folder: Path, protocol: Protocol, codes: Sequence[FindingCode], seed: int) -> tuple[tuple[FindingCode, str], ...]:
    """Spoil the tubes of a simulated study, one donor for each code.

    Returns
    -------
    Code and place of every fault

    Raises
    ------
    ValueError : a fault that cannot be planted, or more faults than donors
    """
    sheet = pl.read_csv(folder / protocol.files.tubes, schema=dict.fromkeys(TUBE_COLUMNS, pl.String()))
    owners = pl.read_csv(folder / protocol.files.specimens, infer_schema=False).select("specimen", "donor")
    tubes = sheet.join(owners, on="specimen")
    donors = tubes["donor"].unique().sort().to_list()
    if len(codes) > len(donors):
        raise ValueError(f"{len(codes)} faults do not fit into {len(donors)} donors")
    chosen = rng_for(seed, "tube faults").permutation(len(donors))
    planted: list[tuple[FindingCode, str]] = []
    for code, which in zip(codes, chosen, strict=False):
        own = tubes.filter(pl.col("donor") == donors[which])
        if code is FindingCode.CONTROL_SHARED:
            sheet = _share_control(own, sheet)
            (folder / protocol.files.tubes).write_bytes(compose_table(DelimitedTable(TUBE_COLUMNS, tuple(sheet.fill_null("").rows()), ())))
            planted.append((code, donors[which]))
            continue
        if code not in _FAULTS:
            raise ValueError(f"'{code}' cannot be planted. Known: {', '.join(_FAULTS)}")
        fault = _FAULTS[code]
        files = own["file"].to_list() if fault.whole_donor else own.filter(pl.col("tube") == fault.kind.value)["file"].head(1).to_list()
        for name in files:
            _rewrite(folder / protocol.files.cytometry / name, protocol, fault.spoil, rng_for(seed, f"{code} {name}"))
        places = {"file": f"{protocol.files.cytometry}/{files[0]}", "donor": donors[which], "study": "cytometry"}
        planted.append((code, places.get(fault.place, fault.place.format(first=panel_of(protocol).detectors[0]))))
    return tuple(planted)


def _share_control(own: pl.DataFrame, sheet: pl.DataFrame) -> pl.DataFrame:
    """All isotype tubes of a donor but the first are left out."""
    gone = own.filter(pl.col("tube") == TubeKind.ISOTYPE.value)["file"].to_list()[1:]
    return sheet.filter(~pl.col("file").is_in(gone))


def _rewrite(path: Path, protocol: Protocol, spoil: Spoil, rng: np.random.Generator) -> None:
    record, panel = fcs.parse(path)[0], panel_of(protocol)
    events = fcs.read_events(path, record).astype(np.float32)
    tube = spoil(_Tube(events, record.channels, record.spillover, panel.detectors, panel.dye), rng)
    stored = tube.events.copy()
    stored[:, 0] /= TIMESTEP_S
    path.write_bytes(fcs.compose(stored, tube.channels, spillover=tube.spillover, timestep=TIMESTEP_S, keywords={"$CYT": "simulated"}))


def _rename_channel(tube: _Tube, _: np.random.Generator) -> _Tube:
    return replace(
        tube.named(tube.markers[0], name="Alexa-A"), spillover=None if tube.spillover is None else _renamed(tube.spillover, tube)
    )


def _renamed(spillover: SpilloverMatrix, tube: _Tube) -> SpilloverMatrix:
    names = tuple("Alexa-A" if name == tube.markers[0] else name for name in spillover.detectors)
    return SpilloverMatrix(names, names, spillover.matrix)


def _relabel(tube: _Tube, _: np.random.Generator) -> _Tube:
    return tube.named(tube.markers[0], marker="CD68")


def _exchange_labels(tube: _Tube, _: np.random.Generator) -> _Tube:
    first, second = (tube.channels[tube.column(name)] for name in tube.markers[:2])
    return tube.named(first.name, marker=second.marker).named(second.name, marker=first.marker)


def _turn_voltage(tube: _Tube, _: np.random.Generator) -> _Tube:
    voltage = tube.channels[tube.column(tube.markers[0])].voltage or 0.0
    return tube.named(tube.markers[0], voltage=voltage + 50.0)


def _drop_matrix(tube: _Tube, _: np.random.Generator) -> _Tube:
    return replace(tube, spillover=None)


def _steepen_matrix(tube: _Tube, _: np.random.Generator) -> _Tube:
    if tube.spillover is None:
        return tube
    matrix = np.array(tube.spillover.matrix)
    off = np.where(np.eye(len(matrix)) > 0, 1.0, 1.5 * matrix)
    return replace(tube, spillover=replace(tube.spillover, matrix=tuple(tuple(float(x) for x in row) for row in off)))


def _compensate_first(tube: _Tube, _: np.random.Generator) -> _Tube:
    """Values are compensated and renamed, and the matrix is left in the file under the new names."""
    if tube.spillover is None:
        return tube
    places = [tube.column(name) for name in tube.spillover.detectors]
    events = tube.events.copy()
    events[:, places] = (events[:, places].astype(np.float64) @ np.linalg.inv(np.array(tube.spillover.matrix))).astype(np.float32)
    renamed = {name: f"Comp-{name}" for name in tube.spillover.detectors}
    channels = tuple(replace(channel, name=renamed.get(channel.name, channel.name)) for channel in tube.channels)
    names = tuple(renamed[name] for name in tube.spillover.detectors)
    return replace(tube, events=events, channels=channels, spillover=SpilloverMatrix(names, names, tube.spillover.matrix))


def _drift(tube: _Tube, _: np.random.Generator) -> _Tube:
    """During the first quarter of the time, the first marker's laser gives twice its light."""
    column, early = tube.column(tube.markers[0]), tube.events[:, 0] < np.quantile(tube.events[:, 0], 0.25)
    return tube.changed(column, 2.0 * tube.events[early, column], early)


def _lose_events(tube: _Tube, _: np.random.Generator) -> _Tube:
    return replace(tube, events=tube.events[::40])


def _sink_background(tube: _Tube, _: np.random.Generator) -> _Tube:
    column = tube.column(tube.markers[0])
    return tube.changed(column, tube.events[:, column] - 1500.0)


def _fill_valley(tube: _Tube, rng: np.random.Generator) -> _Tube:
    """A fifth of all events takes up some of the dye."""
    some = rng.random(len(tube.events)) < 0.2
    return tube.changed(tube.column(tube.dye), np.exp(rng.uniform(np.log(300), np.log(15_000), int(some.sum()))), some)


def _brighten_dye(tube: _Tube, _: np.random.Generator) -> _Tube:
    column = tube.column(tube.dye)
    return tube.changed(column, 6.0 * tube.events[:, column])


def _shrink_cells(tube: _Tube, rng: np.random.Generator) -> _Tube:
    """Seven of ten events are torn to debris."""
    some = rng.random(len(tube.events)) < 0.7
    scatter = np.array([channel.name[:3] in {"FSC", "SSC"} for channel in tube.channels])
    events = tube.events.copy()
    events[np.ix_(some, scatter)] *= 0.1
    return replace(tube, events=events)


_FAULTS: Mapping[FindingCode, _Fault] = MappingProxyType(
    {
        FindingCode.CHANNEL_MISSING: _Fault(_rename_channel),
        FindingCode.LABEL_DIFFERS: _Fault(_relabel, place="channel {first}"),
        FindingCode.MARKER_MISLABELLED: _Fault(_exchange_labels),
        FindingCode.VOLTAGE_DIFFERS: _Fault(_turn_voltage, place="donor"),
        FindingCode.COMPENSATION_MISSING: _Fault(_drop_matrix),
        FindingCode.COMPENSATION_TWICE: _Fault(_compensate_first),
        FindingCode.COMPENSATION_DIFFERS: _Fault(_steepen_matrix, place="donor"),
        FindingCode.ACQUISITION_UNSTEADY: _Fault(_drift),
        FindingCode.EVENTS_FEW: _Fault(_lose_events),
        FindingCode.BACKGROUND_NEGATIVE: _Fault(_sink_background, TubeKind.ISOTYPE, place="donor"),
        FindingCode.VALLEY_SHALLOW: _Fault(_fill_valley, whole_donor=True, place="donor"),
        FindingCode.THRESHOLD_OUTLYING: _Fault(_brighten_dye, whole_donor=True, place="donor"),
        FindingCode.GATE_YIELD_DIFFERS: _Fault(_shrink_cells, place="donor"),
    }
)

PLANTABLE: tuple[FindingCode, ...] = (*_FAULTS, FindingCode.CONTROL_SHARED)
"""Codes that can be planted."""
