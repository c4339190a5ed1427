"""The plate reader: specimens laid out on 96-well plates, and the optical densities that come back.

In flow tubes with true concentrations; out flow exports in two real forms (SoftMax text, and plain grids in
a workbook) and their long maps. All tubes of a donor stand on one plate of an analyte, donors are in random order,
standards are in columns 1 and 2, their zero serves as the blank, three QC levels are in column 3.
Optical density = 4PL of the plate, times a slight gradient over the columns, with noise whose SD is
5 % of the signal and 0.008; what the reference wavelength sees (0.04) lies on top of both readings.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from exvivo.engine import rng_for
from exvivo.formats import grid, maps, softmax
from exvivo.simulate.bench import Tubes
from exvivo.simulate.parameters import BLANK_DILUTION, Generating
from exvivo.simulate.truth import Array, Truth
from exvivo.study.design import ExportRecord, PlateRecord, ReadingStatus, SignalKind, WellLayout, WellReading, WellRole, well_name
from exvivo.study.model import ElisaReadout

ROWS, COLUMNS = 8, 12
OVERFLOW_OD = 4.0
REFERENCE_OD = 0.04
REFERENCE_SD = 0.003
READER_SD = 0.001
QC_OF_TOP = (("QC low", 0.05), ("QC mid", 0.20), ("QC high", 0.60))


@dataclass(frozen=True, slots=True)
class PlateFile:
    """One export and its map as bytes, by their names inside the folders of exports and maps."""

    export: str
    data: bytes
    map_name: str
    map_data: bytes


@dataclass(frozen=True, slots=True)
class _Well:
    """What one well holds, and its true concentration on the plate."""

    role: WellRole
    name: str | None
    nominal: float | None
    dilution: float | None
    true: float


def write_plates(folder: Path, truth: Truth, tubes: Tubes, seed: int) -> None:
    """Write every analyte's export and map into the study's folders of plates and maps."""
    files = truth.protocol.files
    if not truth.protocol.assays.readouts:
        return
    for name in ("plates", "maps"):
        (folder / getattr(files, name)).mkdir(parents=True, exist_ok=True)
    for record in simulate_plates(truth, tubes, seed):
        (folder / files.plates / record.export).write_bytes(record.data)
        (folder / files.maps / record.map_name).write_bytes(record.map_data)


def simulate_plates(truth: Truth, tubes: Tubes, seed: int) -> Iterator[PlateFile]:
    """Exports and maps of all analytes: every second one as grids in a workbook, the others as SoftMax text."""
    analytes = [(name, block) for name, block in truth.protocol.file.readouts.items() if isinstance(block, ElisaReadout)]
    for position, (name, block) in enumerate(analytes):
        rng = rng_for(seed, f"plates {name}")
        plates = [
            _read_plate(f"{name} {number + 1}", number + 1, wells, (name, block), (truth.generating, rng))
            for number, wells in enumerate(_lay_out(truth, tubes, name, block, rng))
        ]
        export = ExportRecord("", tuple(plates))
        layout = maps.MapRecord(tuple(maps.PlateMap(plate.name or "", plate.layout) for plate in plates))
        bare = ExportRecord("", tuple(PlateRecord(p.name, p.position, ROWS, COLUMNS, p.readings) for p in export.plates))
        stem = name.lower()
        if position % 2:
            yield PlateFile(f"{stem}.xlsx", grid.compose(bare), f"{stem}.csv", maps.compose(layout))
        else:
            yield PlateFile(f"{stem}.txt", softmax.compose(bare), f"{stem}.csv", maps.compose(layout))


def _lay_out(truth: Truth, tubes: Tubes, name: str, block: ElisaReadout, rng: np.random.Generator) -> Iterator[dict[str, _Well]]:
    """Plates of one analyte. Tubes of one donor, or the blanks of one run, form a block that is not split if it fits a plate."""
    fixed = _fixed_wells(block)
    free = [well_name(row, column) for column in range(2, COLUMNS) for row in range(ROWS) if well_name(row, column) not in fixed]
    measured = tubes.of("medium", "cell_free_medium").with_columns(pl.coalesce("donor", "run").alias("block"))
    values = truth.total[:, truth.readouts.index(name)]
    groups = []
    for key in rng.permutation(sorted(set(measured["block"]))):
        rows = measured.filter(pl.col("block") == key).sort("specimen").iter_rows(named=True)
        groups.append([well for row in rows for well in _specimen_wells(row, block, float(values[row["row"]]))])
    pages: list[list[_Well]] = [[]]
    for group in groups:
        if pages[-1] and len(pages[-1]) + len(group) > len(free):
            pages.append([])
        pages[-1] += group
        while len(pages[-1]) > len(free):
            pages.append(pages[-1][len(free) :])
            del pages[-2][len(free) :]
    for page in pages:
        yield fixed | dict(zip(free, page, strict=False))


def _specimen_wells(row: dict[str, object], block: ElisaReadout, value: float) -> list[_Well]:
    """Replicate wells of one tube at each dilution; a cell-free blank is measured undiluted."""
    dilutions = (BLANK_DILUTION,) if row["matrix"] == "cell_free_medium" else block.dilutions
    name = str(row["specimen"])
    return [_Well(WellRole.SPECIMEN, name, None, dilution, value / dilution) for dilution in dilutions for _ in range(block.replicates)]


def _fixed_wells(block: ElisaReadout) -> dict[str, _Well]:
    """Standards from the top down in columns 1 and 2, the zero as blank below them, QC in column 3; long series go on in column 3."""
    series = block.standards
    levels = [series.top / series.factor**step for step in range(series.points)]
    standards = [_Well(WellRole.STANDARD, f"Std{i + 1}", level, 1.0, level) for i, level in enumerate(levels)]
    if series.zero:
        standards.append(_Well(WellRole.BLANK, None, None, None, 0.0))
    wells: dict[str, _Well] = {}
    for index, well in enumerate(standards):
        column, row = divmod(index, ROWS)
        wells |= {well_name(row, 2 * column): well, well_name(row, 2 * column + 1): well}
    column = 2 * (-(-len(standards) // ROWS))
    for index, (name, share) in enumerate(QC_OF_TOP):
        qc = _Well(WellRole.QC, name, series.top * share, 1.0, series.top * share)
        wells |= {well_name(2 * index, column): qc, well_name(2 * index + 1, column): qc}
    return wells


def _read_plate(
    title: str, position: int, wells: dict[str, _Well], analyte: tuple[str, ElisaReadout], source: tuple[Generating, np.random.Generator]
) -> PlateRecord:
    """One plate as the reader prints it, with its layout."""
    (name, block), (generating, rng) = analyte, source
    names = [well_name(row, column) for row in range(ROWS) for column in range(COLUMNS)]
    filled = np.array([well in wells for well in names])
    true = np.array([wells[well].true if well in wells else 0.0 for well in names])
    column = np.array([index % COLUMNS for index in range(len(names))])
    densities = _optical_densities(true, column, block.standards.top, generating, rng) * filled
    below = np.maximum(REFERENCE_OD + REFERENCE_SD * rng.standard_normal(len(names)), 0.03)
    readings = _readings(names, block.wavelength_nm, densities + below)
    if block.reference_wavelength_nm is not None:
        readings += _readings(names, block.reference_wavelength_nm, below + READER_SD * rng.standard_normal(len(names)))
    layout = tuple(
        WellLayout(well, w.role, w.name, w.nominal, w.dilution, block.unit if w.nominal is not None else None, "", name)
        for well in names
        if (w := wells.get(well)) is not None
    )
    return PlateRecord(title, position, ROWS, COLUMNS, readings, layout)


def _optical_densities(true: Array, column: Array, top: float, generating: Generating, rng: np.random.Generator) -> Array:
    """Signal of each well above the reference wavelength: curve of this plate, gradient, noise."""
    c = generating.curve_c_of_top * top * np.exp(generating.plate_sd * rng.standard_normal())
    d = generating.curve_d * np.exp(0.03 * rng.standard_normal())
    a, b = generating.curve_a, generating.curve_b
    mean = d + (a - d) / (1 + (true / c) ** b)
    slope = generating.column_gradient * (column - (COLUMNS - 1) / 2) / (COLUMNS - 1)
    expected = mean * (1 + slope)
    signal: Array = expected + np.hypot(generating.od_cv * expected, generating.od_floor) * rng.standard_normal(len(true))
    return signal


def _readings(names: Sequence[str], wavelength_nm: int, densities: Array) -> tuple[WellReading, ...]:
    """Readings of one wavelength as printed, to four decimals."""
    found = []
    for well, density in zip(names, densities, strict=True):
        over = density > OVERFLOW_OD
        text = "OVRFLW" if over else f"{density:.4f}"
        status = ReadingStatus.OVERFLOW if over else ReadingStatus.OK
        found.append(WellReading(well, wavelength_nm, None if over else float(text), status, SignalKind.RAW, text, ""))
    return tuple(found)
