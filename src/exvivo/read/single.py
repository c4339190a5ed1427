"""One export with its map, outside any study -> the same inputs that a study's plates give, and the readouts they name.

What a protocol would say is read off the plate: analytes and units from the map or the embedded layout, the standard
series from the standards, the measuring and the reference wavelength from the export. Nothing is assumed that cannot
be seen: an analyte without a name is called ``analyte``, a concentration without a unit stays ``as given``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from exvivo.engine import Work
from exvivo.errors import InputError, fault
from exvivo.formats import maps
from exvivo.read.linking import similar_specimens
from exvivo.read.platemaps import read_layout
from exvivo.read.plates import PlateTables, read_plates
from exvivo.read.sources import Source, Sources, describe_source
from exvivo.study.decisions import Decisions
from exvivo.study.design import SignalKind, WellLayout, WellRole
from exvivo.study.model import ElisaReadout, Standards
from exvivo.study.protocol import Design
from exvivo.study.run import Inputs
from exvivo.study.tables import CLINICAL, EVENTS, QUANTIFIED, SPECIMENS, TUBE_SHEET
from exvivo.study.units import AS_GIVEN, parse_unit

UNNAMED = "analyte"
MEASURING_NM = 450
REFERENCES_NM = (540, 550, 562, 570, 590, 595, 620, 630, 650, 655, 690)
MIN_POINTS = 4


@dataclass(frozen=True, slots=True)
class SingleExport:
    """Inputs of one export and the readouts that its layout names."""

    inputs: Inputs
    readouts: dict[str, ElisaReadout]


def read_export(export: Path, map_file: Path | None, work: Work) -> SingleExport:
    """Inputs of one export; ``map_file`` is not needed when the export holds its layout.

    Raises
    ------
    InputError : export or map cannot be read, or there is no layout at all; every fault at once
    """
    for path in (export, map_file):
        if path is not None and not path.is_file():
            raise InputError(fault(str(path), "there is no such file", action="Check the path"))
    source = describe_source(export.parent, export.name, "export")
    plates = read_plates(export.parent, [source], work)
    described = _describe_map(map_file, export.stem) if map_file is not None else ()
    readouts = dict(_readouts(plates, map_file))
    folder = map_file.parent if map_file is not None else export.parent
    layout, findings = read_layout(folder, described, plates, _design(readouts), Decisions())
    if not layout.height:
        expected = "a plate map, or a layout inside the export"
        raise InputError(fault(export.name, "nothing says what its wells hold", expected, "Give --map FILE"))
    inputs = Inputs(
        folder=export.parent,
        files=Sources((source, *described), ()).table(),
        specimens=SPECIMENS.empty(),
        readings=plates.readings,
        layout=layout,
        vendor=plates.vendor,
        events=EVENTS.empty(),
        tube_sheet=TUBE_SHEET.empty(),
        clinical=CLINICAL.empty(),
        quantified=QUANTIFIED.empty(),
        found=(*findings, *similar_specimens(layout)),
        blinded=False,
    )
    return SingleExport(inputs, readouts)


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
    wells = list(_wells(plates, map_file))
    measuring, reference = _wavelengths(plates.readings.frame)
    for analyte in dict.fromkeys(well.analyte or UNNAMED for well in wells):
        own = [well for well in wells if (well.analyte or UNNAMED) == analyte]
        nominal = [well for well in own if well.role is WellRole.STANDARD and well.concentration]
        levels = sorted({well.concentration or 0.0 for well in nominal}, reverse=True) or [1.0]
        units = {_canonical(well.unit) for well in nominal if well.unit}
        factor = (levels[0] / levels[-1]) ** (1 / max(len(levels) - 1, 1)) if len(levels) > 1 else 2.0
        specimens = [(well.name, well.dilution) for well in own if well.role is WellRole.SPECIMEN]
        yield (
            analyte,
            ElisaReadout(
                kind="elisa",
                label=analyte,
                unit=next(iter(units)) if len(units) == 1 else AS_GIVEN,
                standards=Standards(top=levels[0], points=max(len(levels), MIN_POINTS), factor=factor),
                replicates=max((specimens.count(one) for one in specimens), default=1),
                wavelength_nm=measuring,
                reference_wavelength_nm=reference,
            ),
        )


def _canonical(unit: str) -> str:
    """Canonical spelling; what cannot be read as a unit is left for ``read_layout`` to report."""
    try:
        return parse_unit(unit)
    except ValueError:
        return AS_GIVEN


def _wells(plates: PlateTables, map_file: Path | None) -> Iterator[WellLayout]:
    beads = any(plate.of_beads for plate in plates.plates)
    if map_file is not None:
        for plate in maps.parse(map_file.read_bytes(), map_file.name).plates:
            yield from (well for well in plate.wells if well.analyte or not beads)
        if not beads:
            return
    for row in plates.embedded.frame.iter_rows(named=True):
        names = (row["well"], WellRole(row["role"]), row["specimen"], row["concentration"], row["dilution"], row["unit"], row["origin"])
        yield WellLayout(*names, analyte=row["analyte"])


def _wavelengths(readings: pl.DataFrame) -> tuple[int, int | None]:
    """Measuring wavelength (450 nm where it was read, else the shortest) and reference, where one was read."""
    raw = readings.filter(readings["kind"] == SignalKind.RAW.value)["wavelength_nm"].drop_nulls().unique().sort().to_list()
    measuring = MEASURING_NM if MEASURING_NM in raw or not raw else int(raw[0])
    reference = next((nm for nm in REFERENCES_NM if nm in raw and nm != measuring), None)
    return measuring, reference


def _design(readouts: dict[str, ElisaReadout]) -> Design:
    return Design(
        populations={}, factors={}, experiments={}, readouts=dict(readouts), tables={}, clinical=None, sets={}, modifiers={}, blinding=None,
        study_id="",
    )  # fmt: skip
