"""Exports with their maps, outside any study -> the same inputs that a study's plates give, and the readouts they name.

What a protocol would say is read off the plates: analytes and units from the map or the embedded layout, the standard
series from the standards, the measuring and the reference wavelength from the export. Nothing is assumed that cannot
be seen: an analyte without a name is called ``analyte``, a concentration without a unit stays ``as given``.

An export that cannot be read is a fault beside the others. Analytes that several exports name alike are one readout, so
that the variance of readings is pooled over all their plates; where they disagree about unit, standards or spelling, it
is told.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from exvivo.engine import Parcel, Work, digest_file
from exvivo.errors import InputError, fault
from exvivo.formats import maps
from exvivo.read.batch import MAPS, Asked, Batch
from exvivo.read.joining import Part, join_readouts
from exvivo.read.linking import similar_specimens
from exvivo.read.platemaps import read_layout
from exvivo.read.plates import ExportTask, PlateTables, gather_plates, parse_exports
from exvivo.read.sources import Source, describe_source
from exvivo.study.decisions import Decisions
from exvivo.study.design import SignalKind, WellLayout, WellRole
from exvivo.study.findings import Finding
from exvivo.study.model import ElisaReadout, Standards
from exvivo.study.protocol import Design
from exvivo.study.run import Inputs
from exvivo.study.tables import CLINICAL, EVENTS, FILES, LAYOUT, QUANTIFIED, READINGS, SPECIMENS, TUBE_SHEET, VENDOR, Table, TableKind
from exvivo.study.units import AS_GIVEN, parse_unit

UNNAMED = "analyte"
MEASURING_NM = 450
REFERENCES_NM = (540, 550, 562, 570, 590, 595, 620, 630, 650, 655, 690)
MIN_POINTS = 4
MOST_ABSORBED = 10.0

Placed = tuple[str, WellLayout]


@dataclass(frozen=True, slots=True)
class Exports:
    """Exports that could be read, the readouts that their layouts name, why the others could not, names of the software's curves."""

    inputs: Inputs
    readouts: dict[str, ElisaReadout]
    faults: tuple[str, ...]
    software: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Single:
    """One export that could be read."""

    asked: Asked
    tables: PlateTables
    layout: Table
    readouts: dict[str, ElisaReadout]
    found: tuple[Finding, ...]

    def part(self) -> Part:
        """What it says, to be joined with others."""
        readings = self.tables.readings.frame
        wavelengths = readings.filter(readings["kind"] == SignalKind.RAW.value)["wavelength_nm"].n_unique()
        return Part(self.asked.export.name, self.readouts, self.layout, wavelengths)


def read_exports(batch: Batch, work: Work) -> Exports:
    """Inputs of exports and their maps; a map is not needed by an export that holds its layout.

    What was odd about the batch, and its faults, stand before those of the exports.

    Raises
    ------
    InputError : no export can be read, every fault at once
    """
    faults = list(batch.faults)
    named = _refuse_names(batch.asked, faults)
    tasks = [ExportTask(one.export, one.export.name, one.export.stem, digest_file(one.export)) for one in named]
    singles = []
    for one, parcel in zip(named, parse_exports(tasks, work), strict=True):
        try:
            singles.append(_read_single(one, parcel))
        except InputError as error:
            faults += error.messages
    if not singles:
        raise InputError(faults)
    readouts, layouts, found = join_readouts([one.part() for one in singles])
    inputs = Inputs(
        folder=singles[0].asked.export.parent,
        files=_list_files(one.asked for one in singles),
        specimens=SPECIMENS.empty(),
        readings=_stack(READINGS, [one.tables.readings for one in singles]),
        layout=_stack(LAYOUT, layouts),
        vendor=_stack(VENDOR, [one.tables.vendor for one in singles]),
        events=EVENTS.empty(),
        tube_sheet=TUBE_SHEET.empty(),
        clinical=CLINICAL.empty(),
        quantified=QUANTIFIED.empty(),
        found=(*batch.found, *(finding for one in singles for finding in one.found), *found),
        blinded=False,
    )
    software = tuple(plate.vendor_curve for one in singles for plate in one.tables.plates if plate.vendor_curve)
    return Exports(inputs, readouts, tuple(faults), software)


def _refuse_names(asked: Sequence[Asked], faults: list[str]) -> list[Asked]:
    """Exports whose plates do not carry the keys of an earlier one; the others are added to the faults."""
    first: dict[str, Path] = {}
    named = []
    for one in asked:
        earlier = first.setdefault(one.export.stem, one.export)
        if earlier is one.export:
            named.append(one)
        else:
            told = f"another export is also called '{one.export.stem}': {earlier}"
            faults.append(fault(str(one.export), told, "a name of its own for each export", "Rename one of them"))
    return named


def _list_files(asked: Iterable[Asked]) -> Table:
    """FILES; a map may serve several exports."""
    roles = {path: role for one in asked for path, role in ((one.export, "export"), (one.map_file, "map")) if path is not None}
    rows = [
        {"path": path.as_posix(), "sha256": digest_file(path), "bytes": path.stat().st_size, "role": role} for path, role in roles.items()
    ]
    return FILES.from_rows(rows)


def _stack(kind: TableKind, tables: Sequence[Table]) -> Table:
    return kind.build(pl.concat([kind.empty().frame, *(table.frame for table in tables)]))


# ------------------------------------------------------------------------------------------------------- one export


def _read_single(asked: Asked, parcel: Parcel) -> _Single:
    """Tables, layout and readouts of one export.

    Raises
    ------
    InputError : export or map cannot be read, or there is no layout at all; every fault at once
    """
    if parcel.facts["faults"]:
        raise InputError(_misplaced_map(asked.export) or parcel.facts["faults"])
    tables = gather_plates([parcel])
    described = _describe_map(asked.map_file, asked.export.stem) if asked.map_file is not None else ()
    readouts = dict(_readouts(tables, asked.map_file))
    folder = asked.map_file.parent if asked.map_file is not None else asked.export.parent
    layout, found = read_layout(folder, described, tables, _design(readouts), Decisions())
    if not layout.height:
        expected = f"a plate map, {MAPS}/{asked.export.stem}.csv beside the export, or a layout inside it"
        raise InputError(fault(asked.export.name, "nothing says what its wells hold", expected, "Put the map there, or name it with --map"))
    return _Single(asked, tables, layout, readouts, (*found, *similar_specimens(layout)))


def _misplaced_map(export: Path) -> str:
    """The commonest reason why a file is no export: it is a map, lying where exports are expected; empty when it is none."""
    try:
        maps.parse(export.read_bytes(), export.name)
    except InputError:
        return ""
    told, action = "the file is a plate map", "Move it into the subfolder 'maps', or name it with --map"
    return fault(export.name, told, "a reader export", action)


@dataclass(frozen=True, slots=True)
class _MapSource(Source):
    """A map that belongs to its export whatever it is called."""

    of_stem: str = ""

    @property
    def stem(self) -> str:
        """Stem of the export it belongs to."""
        return self.of_stem


def _describe_map(path: Path, stem: str) -> tuple[Source, ...]:
    plain = describe_source(path.parent, path.name, "map")
    return (_MapSource(plain.path, plain.sha256, plain.size, plain.role, stem),)


def _readouts(plates: PlateTables, map_file: Path | None) -> Iterator[tuple[str, ElisaReadout]]:
    """One readout per analyte that map or layout names."""
    placed = list(_wells(plates, map_file))
    wavelengths = _wavelengths(plates.readings.frame)
    for analyte in dict.fromkeys(well.analyte or UNNAMED for _, well in placed):
        yield analyte, _readout(analyte, [(plate, well) for plate, well in placed if (well.analyte or UNNAMED) == analyte], wavelengths)


def _readout(analyte: str, placed: Sequence[Placed], wavelengths: tuple[int, int | None]) -> ElisaReadout:
    nominal = [well for _, well in placed if well.role is WellRole.STANDARD and well.concentration]
    levels = sorted({well.concentration or 0.0 for well in nominal}, reverse=True) or [1.0]
    units = {_canonical(well.unit) for well in nominal if well.unit}
    factor = (levels[0] / levels[-1]) ** (1 / max(len(levels) - 1, 1)) if len(levels) > 1 else 2.0
    return ElisaReadout(
        kind="elisa",
        label=analyte,
        unit=next(iter(units)) if len(units) == 1 else AS_GIVEN,
        standards=Standards(top=levels[0], points=max(len(levels), MIN_POINTS), factor=factor),
        replicates=_usual_replicates(placed),
        wavelength_nm=wavelengths[0],
        reference_wavelength_nm=wavelengths[1],
    )


def _usual_replicates(placed: Sequence[Placed]) -> int:
    """Wells that most specimens have at one dilution on one plate, the smaller number on a tie: limits hold for the usual specimen."""
    sets = Counter((plate, well.name, well.dilution) for plate, well in placed if well.role is WellRole.SPECIMEN)
    counts = Counter(sets.values())
    return min(counts, key=lambda wells: (-counts[wells], wells), default=1)


def _canonical(unit: str) -> str:
    """Canonical spelling; what cannot be read as a unit is left for ``read_layout`` to report."""
    try:
        return parse_unit(unit)
    except ValueError:
        return AS_GIVEN


def _wells(plates: PlateTables, map_file: Path | None) -> Iterator[Placed]:
    """Wells with the plate that map or export names."""
    beads = any(plate.of_beads for plate in plates.plates)
    if map_file is not None:
        for plate in maps.parse(map_file.read_bytes(), map_file.name).plates:
            yield from ((plate.plate, well) for well in plate.wells if well.analyte or not beads)
        if not beads:
            return
    for row in plates.embedded.frame.iter_rows(named=True):
        names = (row["well"], WellRole(row["role"]), row["specimen"], row["concentration"], row["dilution"], row["unit"], row["origin"])
        yield row["plate"], WellLayout(*names, analyte=row["analyte"])


def _wavelengths(readings: pl.DataFrame) -> tuple[int, int | None]:
    """Measuring wavelength (450 nm where it was read, else the shortest) and reference, where one was read.

    Emitted light has no reference: numbers that no absorbance reaches are signals of their own.
    """
    held = readings.filter(readings["kind"] == SignalKind.RAW.value)
    raw = held["wavelength_nm"].drop_nulls().unique().sort().to_list()
    measuring = MEASURING_NM if MEASURING_NM in raw or not raw else int(raw[0])
    absorbed = not (held["signal"] > MOST_ABSORBED).any()
    reference = next((nm for nm in REFERENCES_NM if absorbed and nm in raw and nm != measuring), None)
    return measuring, reference


def _design(readouts: Mapping[str, ElisaReadout]) -> Design:
    return Design(
        populations={}, factors={}, experiments={}, readouts=dict(readouts), tables={}, clinical=None, sets={}, modifiers={}, blinding=None,
        study_id="",
    )  # fmt: skip
