"""Reader exports -> readings, embedded layouts and the software's own concentrations, as tables.

One task per export, remembered under the digest of its bytes and its name. A plate's key is
``file stem:position``, because real files name two plates ``Plate1``.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from exvivo.engine import Parcel, Work
from exvivo.errors import InputError, fault
from exvivo.formats.exports import parse_export
from exvivo.read.sources import Source
from exvivo.study.design import PlateRecord
from exvivo.study.tables import LAYOUT, READINGS, VENDOR, Table, TableKind

VERSION = 2


@dataclass(frozen=True, slots=True)
class ExportTask:
    """One export to parse: where it lies, how it is called in messages, its digest."""

    path: Path
    name: str
    stem: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ExportPlate:
    """One plate of an export, without its numbers.

    ``analyte`` is the only analyte that its embedded layout names; ``vendor_curve`` what the software called its curve.
    """

    key: str
    export: str
    stem: str
    name: str | None
    position: int
    n_rows: int
    n_columns: int
    has_layout: bool
    analyte: str | None = None
    vendor_curve: str | None = None

    @property
    def of_beads(self) -> str | None:
        """Name of the whole plate, without the analyte that a bead reader's plate is named by; None for other plates."""
        if self.analyte is None or self.name is None or not self.name.endswith(self.analyte):
            return None
        return self.name.removesuffix(self.analyte).strip() or None


@dataclass(frozen=True, slots=True)
class PlateTables:
    """Tables of all exports and the list of their plates, in order of file name and position; what was odd, by export."""

    readings: Table
    embedded: Table
    vendor: Table
    plates: tuple[ExportPlate, ...]
    notes: tuple[tuple[str, tuple[str, ...]], ...] = ()


def read_plates(folder: Path, exports: Sequence[Source], work: Work) -> PlateTables:
    """Tables of all exports.

    Raises
    ------
    InputError : faults of all exports together; two exports of one name
    """
    parcels = parse_exports([ExportTask(folder / source.path, source.path, source.stem, source.sha256) for source in exports], work)
    faults = _same_stems(exports) + [message for parcel in parcels for message in parcel.facts["faults"]]
    if faults:
        raise InputError(faults)
    return gather_plates(parcels)


def parse_exports(tasks: Sequence[ExportTask], work: Work) -> list[Parcel]:
    """One parcel for each export, in order; the faults of an export are facts of its parcel."""
    return work.map(parse_task, tasks, key=lambda task: [task.name, task.sha256], label="reading plates", version=VERSION)


def gather_plates(parcels: Sequence[Parcel]) -> PlateTables:
    """Tables of exports without faults."""
    plates = tuple(ExportPlate(**facts) for parcel in parcels for facts in parcel.facts["plates"])
    joined = [_join(kind, parcels, name) for kind, name in ((READINGS, "readings"), (LAYOUT, "layout"), (VENDOR, "vendor"))]
    notes = tuple((str(parcel.facts["name"]), tuple(parcel.facts["notes"])) for parcel in parcels if parcel.facts["notes"])
    return PlateTables(joined[0], joined[1], joined[2], plates, notes)


def _same_stems(exports: Sequence[Source]) -> list[str]:
    """Exports whose plates would carry the same keys."""
    counts = Counter(source.stem for source in exports)
    return [
        fault(source.path, f"another export is also called '{source.stem}'", "a name of its own for each export", "Rename one of them")
        for source in exports
        if counts[source.stem] > 1
    ]


def _join(kind: TableKind, parcels: Sequence[Parcel], name: str) -> Table:
    """One table from the frames of all parcels."""
    return kind.build(pl.concat([kind.empty().frame, *(parcel.frames[name] for parcel in parcels)]))


def parse_task(task: ExportTask) -> Parcel:
    """Frames of one export; faults travel as facts, so that those of all files are told together."""
    try:
        record = parse_export(task.name, task.path.read_bytes())
    except InputError as error:
        return _parcel((), task, error.messages)
    notes = (*record.notes, *(note for plate in record.plates for note in plate.notes))
    faults = [message for plate in record.plates for message in _plate_faults(plate, task.name)]
    return _parcel(() if faults else record.plates, task, faults, notes)


def _plate_faults(plate: PlateRecord, where: str) -> list[str]:
    """Readings and layout cells that stand twice."""
    counts = Counter((one.well, one.wavelength_nm, one.kind) for one in plate.readings)
    twice = sorted({(kind.value, nm or 0) for (_, nm, kind), count in counts.items() if count > 1})
    faults = [
        fault(
            f"{where}, plate {plate.position}",
            f"{kind} readings{f' at {nm} nm' if nm else ''} stand more than once",
            "one reading for each well and wavelength",
            "Export each read on its own",
        )
        for kind, nm in twice
    ]
    laid = [well for well, count in Counter(one.well for one in plate.layout).items() if count > 1]
    if laid:
        faults.append(
            fault(f"{where}, plate {plate.position}", f"the embedded layout names {', '.join(laid)} twice", "one name for each well")
        )
    return faults


def _only_analyte(plate: PlateRecord) -> str | None:
    """The analyte of a plate whose layout names one."""
    named = {well.analyte for well in plate.layout if well.analyte}
    return next(iter(named)) if len(named) == 1 else None


def _parcel(plates: Sequence[PlateRecord], task: ExportTask, faults: Sequence[str], notes: Sequence[str] = ()) -> Parcel:
    """Frames and facts of one export."""
    facts = [
        {
            "key": f"{task.stem}:{plate.position}",
            "export": task.name,
            "stem": task.stem,
            "name": plate.name,
            "position": plate.position,
            "n_rows": plate.n_rows,
            "n_columns": plate.n_columns,
            "has_layout": bool(plate.layout),
            "analyte": _only_analyte(plate),
            "vendor_curve": plate.vendor_curve.model if plate.vendor_curve else None,
        }
        for plate in plates
    ]
    frames = {
        "readings": _frame(READINGS, [row for plate in plates for row in _reading_rows(plate, task)]),
        "layout": _frame(LAYOUT, [row for plate in plates for row in _layout_rows(plate, task)]),
        "vendor": _frame(VENDOR, [row for plate in plates for row in _vendor_rows(plate, task)]),
    }
    return Parcel(frames, {"name": task.name, "plates": facts, "faults": list(faults), "notes": list(notes)})


def _frame(kind: TableKind, rows: Sequence[tuple[object, ...]]) -> pl.DataFrame:
    """Frame of tuples in the declared order."""
    return pl.DataFrame(rows, schema={column.name: column.dtype for column in kind.columns}, orient="row")


def _reading_rows(plate: PlateRecord, task: ExportTask) -> list[tuple[object, ...]]:
    key = f"{task.stem}:{plate.position}"
    return [
        (key, task.name, plate.name, r.well, r.wavelength_nm, r.kind.value, r.signal, r.status.value, r.text, f"{task.name}, {r.origin}")
        for r in plate.readings
    ]


def _layout_rows(plate: PlateRecord, task: ExportTask) -> list[tuple[object, ...]]:
    key = f"{task.stem}:{plate.position}"
    return [
        (key, w.well, w.role.value, w.name, w.analyte, w.concentration, w.dilution, w.unit, w.lot, f"{task.name}, {w.origin}")
        for w in plate.layout
    ]


def _vendor_rows(plate: PlateRecord, task: ExportTask) -> list[tuple[object, ...]]:
    key = f"{task.stem}:{plate.position}"
    return [(key, w.well, w.concentration, w.status, w.text, f"{task.name}, {w.origin}") for w in plate.vendor_wells]
