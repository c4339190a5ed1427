"""Faults planted into a simulated study, so that what looks for them can be judged: files are changed as people spoil them.

In flow a folder that ``simulate_study`` has written; its plate maps are changed in place, and every planted fault is
added to ``truth/errors.csv`` under the code and the place that a finding should give it. Exports stay as they are: a map
that says otherwise than the wells hold is what a mislabelled tube or a slip of the pen leaves behind.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import polars as pl

from exvivo.engine import rng_for
from exvivo.formats import maps
from exvivo.formats.maps import MapRecord, PlateMap
from exvivo.study.design import WellLayout, WellRole
from exvivo.study.findings import FindingCode
from exvivo.study.model import ElisaReadout
from exvivo.study.protocol import Protocol

WRONG_FOLD = 5.0
"""The dilution written down is so many times the one that was made."""

MARGIN = 1.5
"""A specimen with a wrong dilution lies this much inside the standards at both dilutions, or nobody could tell."""


@dataclass(frozen=True, slots=True)
class _Sheet:
    """One plate of one map."""

    file: str
    index: int
    plate: PlateMap

    @property
    def key(self) -> str:
        return f"{self.file.removesuffix('.csv')}:{self.index + 1}"


Edit = Callable[[WellLayout], WellLayout]
Candidates = Callable[[_Sheet, Protocol, Mapping[tuple[str, str], float]], Iterator[Edit]]


def plant_faults(folder: Path, protocol: Protocol, codes: Sequence[FindingCode], seed: int) -> tuple[tuple[FindingCode, str], ...]:
    """Spoil a simulated study's maps, one plate for each code.

    Returns
    -------
    Code and place of every fault, as they stand in ``truth/errors.csv``

    Raises
    ------
    ValueError : a fault that cannot be planted at all, or not into this study
    """
    home = folder / protocol.files.maps
    records = {path.name: maps.parse(path.read_bytes(), path.name) for path in sorted(home.glob("*.csv"))}
    truth = pl.read_csv(folder / "truth" / "specimens.csv")
    values = {(specimen, readout): value for specimen, readout, value in truth.select("specimen", "readout", "true_value").iter_rows()}
    planted: list[tuple[FindingCode, str]] = []
    for code in codes:
        if code not in _PLANTABLE:
            raise ValueError(f"'{code}' cannot be planted. Known: {', '.join(_PLANTABLE)}")
        taken = {place for _, place in planted}
        sheets = [_Sheet(file, i, plate) for file, record in records.items() for i, plate in enumerate(record.plates)]
        found = [(one, edit) for one in sheets if one.key not in taken for edit in _PLANTABLE[code](one, protocol, values)]
        if not found:
            raise ValueError(f"no plate of this study can hold '{code}'")
        sheet, edit = found[int(rng_for(seed, f"fault {code}").integers(len(found)))]
        records[sheet.file] = _spoil(records[sheet.file], sheet.index, edit)
        (home / sheet.file).write_bytes(maps.compose(records[sheet.file]))
        planted.append((code, sheet.key))
    _record(folder / "truth" / "errors.csv", planted)
    return tuple(planted)


def _spoil(record: MapRecord, index: int, edit: Edit) -> MapRecord:
    plates = list(record.plates)
    plates[index] = PlateMap(plates[index].plate, tuple(edit(well) for well in plates[index].wells))
    return replace(record, plates=tuple(plates))


def _record(path: Path, planted: Sequence[tuple[FindingCode, str]]) -> None:
    rows = pl.DataFrame([(code.value, place) for code, place in planted], schema={"code": pl.String, "place": pl.String}, orient="row")
    known = pl.read_csv(path, schema=rows.schema)
    path.write_bytes(pl.concat([known, rows]).write_csv(line_terminator="\n").encode())


def _exchange_top(sheet: _Sheet, _: Protocol, __: Mapping[tuple[str, str], float]) -> Iterator[Edit]:
    """The two highest standards bear each other's concentration."""
    levels = sorted({well.concentration or 0.0 for well in sheet.plate.wells if well.role is WellRole.STANDARD}, reverse=True)
    if len(levels) < 2:
        return
    swapped = {levels[0]: levels[1], levels[1]: levels[0]}

    def edit(well: WellLayout) -> WellLayout:
        if well.role is not WellRole.STANDARD or well.concentration is None:
            return well
        return replace(well, concentration=swapped.get(well.concentration, well.concentration))

    yield edit


def _misstate_dilution(sheet: _Sheet, protocol: Protocol, values: Mapping[tuple[str, str], float]) -> Iterator[Edit]:
    """One specimen's higher dilution is written down as another; it must be measured at two, both inside the standards."""
    keyed = sorted({(w.name or "", w.analyte or "", w.dilution or 1.0) for w in sheet.plate.wells if w.role is WellRole.SPECIMEN})
    for (name, analyte), group in itertools.groupby(keyed, key=lambda key: key[:2]):
        folds = [fold for *_, fold in group]
        readout = protocol.file.readouts.get(analyte)
        if len(folds) < 2 or not isinstance(readout, ElisaReadout):
            continue
        series = readout.standards
        low, high = series.top * series.factor ** (1 - series.points) * MARGIN, series.top / MARGIN
        if all(low < values[name, analyte] / fold < high for fold in folds):
            yield _misstate(name, folds[-1])


def _misstate(name: str, fold: float) -> Edit:
    def edit(well: WellLayout) -> WellLayout:
        wrong = well.role is WellRole.SPECIMEN and well.name == name and well.dilution == fold
        return replace(well, dilution=fold * WRONG_FOLD) if wrong else well

    return edit


_PLANTABLE: Mapping[FindingCode, Candidates] = MappingProxyType(
    {FindingCode.STANDARDS_EXCHANGED: _exchange_top, FindingCode.DILUTION_WRONG: _misstate_dilution}
)
