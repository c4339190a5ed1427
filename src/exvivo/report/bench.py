"""Calibration -> one view for each plate and analyte: everything that a plate's page shows, and a summary of it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from exvivo.numerics.curves import Curve
from exvivo.report.chartfigures import Controls, collect_controls
from exvivo.report.rebuilding import rebuild_curve
from exvivo.study.design import in_order
from exvivo.study.model import AssayRules, ElisaReadout
from exvivo.study.run import Calibration
from exvivo.study.statuses import AGAINST, SpecimenStatus
from exvivo.study.tables import Table

Row = Mapping[str, Any]

RESERVED = {"con", "prn", "aux", "nul", *(f"{device}{k}" for device in ("com", "lpt") for k in range(1, 10))}
"""Names that Windows keeps for devices, whatever their ending."""

NAME_LENGTH = 80


@dataclass(frozen=True, slots=True)
class Bench:
    """Plates that were calibrated together, and all that was found about them."""

    calibration: Calibration
    rules: AssayRules
    readouts: Mapping[str, ElisaReadout]
    comparison: pl.DataFrame
    findings: Table
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class PlateView:
    """One plate and analyte.

    Parameters
    ----------
    name : name of its files, safe on every system
    label, unit : of the analyte
    curve, row : standard curve, and its row of CURVES; None when there is none
    wells : rows of the whole plate, those of other analytes among them
    verdicts, limit_rows, concentrations, comparison, findings : its own rows
    controls : QCs of its analyte on all plates
    replicates, max_cv_pct : what its limits of quantification stand for
    """

    plate: str
    analyte: str
    name: str
    label: str
    unit: str | None
    curve: Curve | None
    row: Row | None
    wells: tuple[Row, ...]
    verdicts: tuple[Row, ...]
    limit_rows: tuple[Row, ...]
    concentrations: tuple[Row, ...]
    comparison: tuple[Row, ...]
    findings: tuple[Row, ...]
    controls: Controls
    replicates: int
    max_cv_pct: float

    @property
    def own(self) -> tuple[Row, ...]:
        """Wells of its analyte."""
        return tuple(row for row in self.wells if row["analyte"] == self.analyte)

    @property
    def accepted(self) -> bool:
        """Whether the plate as a whole is accepted."""
        return bool(self.verdicts) and all(row["accepted"] for row in self.verdicts)

    @property
    def refusing(self) -> tuple[str, ...]:
        """Rules that were not met, each once; those whose question stays open are not among them."""
        return tuple(dict.fromkeys(str(row["rule"]) for row in self.verdicts if row["outcome"] in AGAINST and row["rule"] != "accepted"))

    @property
    def limits(self) -> tuple[float | None, float | None]:
        """LLOQ and ULOQ on the plate."""
        return (None, None) if self.row is None else (self.row["lloq"], self.row["uloq"])

    def key(self) -> list[object]:
        """Everything that its page depends on."""
        parts = (self.wells, self.verdicts, self.limit_rows, self.concentrations, self.comparison, self.findings)
        plain = [self.name, self.label, self.row, self.replicates, self.max_cv_pct, *self.controls.key()]
        return [*plain, *([list(map(dict, part)) for part in parts])]


@dataclass(frozen=True, slots=True)
class PlateSummary:
    """One plate and analyte in a line: verdict, limits on the plate, how many specimens have which status, its page if drawn."""

    plate: str
    analyte: str
    accepted: bool
    lloq: float | None
    uloq: float | None
    unit: str | None
    counts: Mapping[str, int]
    page: str | None


def list_plates(bench: Bench) -> tuple[PlateView, ...]:
    """Views of all plates and analytes, plates in the order in which people count."""
    by_plate: dict[str, list[Row]] = {}
    for row in bench.calibration.wells.frame.iter_rows(named=True):
        by_plate.setdefault(str(row["plate"]), []).append(row)
    pairs = [
        (plate, analyte)
        for plate in sorted(by_plate, key=in_order)
        for analyte in dict.fromkeys(row["analyte"] for row in by_plate[plate])
        if analyte in bench.readouts
    ]
    names = name_files([_plain_name(plate, analyte, bench.readouts) for plate, analyte in pairs])
    controls = {name: collect_controls(bench.calibration, name, bench.rules.qc_tolerance_pct) for name in bench.readouts}
    return tuple(_view(bench, pair, name, by_plate[pair[0]], controls[pair[1]]) for pair, name in zip(pairs, names, strict=True))


def summarise_plates(bench: Bench, *, pages: bool = True) -> tuple[PlateSummary, ...]:
    """One line for each plate and analyte."""
    return tuple(
        PlateSummary(
            view.plate, view.analyte, view.accepted, *view.limits, view.unit, count_statuses(view), page_of(view) if pages else None
        )
        for view in list_plates(bench)
    )


def count_statuses(view: PlateView) -> dict[str, int]:
    """How many specimens have which status, those that none has left out."""
    held = [str(row["status"]) for row in view.concentrations]
    return {status.value: held.count(status) for status in SpecimenStatus if status in held}


def page_of(view: PlateView) -> str:
    """Path of its page inside the output folder."""
    return f"plates/{view.name}.html"


def _view(bench: Bench, pair: tuple[str, str], name: str, wells: Sequence[Row], controls: Controls) -> PlateView:
    plate, analyte = pair
    readout = bench.readouts[analyte]
    calibration = bench.calibration
    row = next(_rows(calibration.curves.frame, plate, analyte), None)
    return PlateView(
        plate=plate,
        analyte=analyte,
        name=name,
        label=readout.label,
        unit=next((well["unit"] for well in wells if well["analyte"] == analyte and well["unit"]), None),
        curve=None if row is None else rebuild_curve(row),
        row=row,
        wells=tuple(wells),
        verdicts=tuple(_rows(calibration.verdicts.frame, plate, analyte)),
        limit_rows=tuple(_rows(calibration.limits.frame, plate, analyte)),
        concentrations=tuple(_rows(calibration.concentrations.frame, plate, analyte)),
        comparison=tuple(_rows(bench.comparison, plate, analyte)),
        findings=tuple(row for row in bench.findings.rows() if plate in {row["place"], str(row["place"]).split("/")[0]}),
        controls=controls,
        replicates=readout.replicates,
        max_cv_pct=bench.rules.max_cv_pct,
    )


def _rows(frame: pl.DataFrame, plate: str, analyte: str) -> Iterator[Row]:
    return frame.filter((pl.col("plate") == plate) & (pl.col("analyte") == analyte)).iter_rows(named=True)


def _plain_name(plate: str, analyte: str, readouts: Mapping[str, ElisaReadout]) -> str:
    """Plate, and analyte where there is more than one."""
    return f"{plate}_{analyte}" if len(readouts) > 1 else plate


def name_files(names: Sequence[str]) -> list[str]:
    """Names of files that Windows, macOS and Linux can hold beside each other, one for each text.

    >>> name_files(["a:1", "A 1", "con", "..", "a:1"])
    ['a_1', 'A 1', 'con_', '_', 'a_1-2']
    """
    taken: set[str] = set()
    safe = []
    for name in names:
        plain = re.sub(r"[^\w .()+-]+", "_", name).strip(" .")[:NAME_LENGTH].rstrip(" .") or "_"
        if plain.split(".")[0].strip().lower() in RESERVED:
            plain = f"{plain}_"
        candidate, k = plain, 1
        while candidate.casefold() in taken:
            k += 1
            candidate = f"{plain}-{k}"
        taken.add(candidate.casefold())
        safe.append(candidate)
    return safe
