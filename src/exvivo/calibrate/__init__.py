"""Readings + layout -> concentrations with limits, intervals and verdicts (stage 2a of the spine)."""

import polars as pl

from exvivo.calibrate.analyte import AnalyteTask, calibrate_analyte
from exvivo.calibrate.quantify import describe_uncalibrated
from exvivo.calibrate.standards import Well, derive_wells
from exvivo.engine import Work
from exvivo.study.decisions import Decisions
from exvivo.study.design import well_position
from exvivo.study.protocol import Assays
from exvivo.study.run import Calibration, Inputs, SharedError
from exvivo.study.tables import CONCENTRATIONS, CONTROLS, CURVES, LIMITS, SHARED_ERROR, VERDICTS, WELLS, Table, TableKind

__all__ = ["calibrate_plates"]


def calibrate_plates(inputs: Inputs, assays: Assays, decisions: Decisions, work: Work) -> Calibration:
    """Wells, curves, verdicts and concentrations of all immunoassays of a study.

    One task per analyte over all its plates, because the variance of readings is pooled over them.

    Parameters
    ----------
    inputs : readings, layout and specimens as read
    assays : rules and readouts of the protocol
    decisions : excluded wells, plates, files and specimens keep their rows and lose their influence
    work : the loop over analytes

    Returns
    -------
    Calibration : wells sorted by plate and position; the other tables by plate, then analyte
    """
    wells = derive_wells(inputs, assays, decisions)
    by_analyte: dict[str, list[Well]] = {name: [] for name in assays.readouts}
    other: list[Well] = []
    for well in wells:
        by_analyte.get(well.analyte or "", other).append(well)
    tasks = [AnalyteTask.of(name, assays.readouts[name], assays.rules, own) for name, own in by_analyte.items() if own]
    parcels = work.map(calibrate_analyte, tasks, key=AnalyteTask.key, label="calibrating", version=3)

    def gather(kind: TableKind, *sort: str) -> Table:
        frames = [kind.empty().frame, *(parcel.frames[kind.name] for parcel in parcels)]
        return kind.build(pl.concat(frames).sort(sort, maintain_order=True))

    uncalibrated = WELLS.from_rows(describe_uncalibrated(other)).frame
    every = pl.concat([uncalibrated, *(parcel.frames["wells"] for parcel in parcels)])
    places = list(every.select("plate", "well").iter_rows())
    order = sorted(range(every.height), key=lambda i: (places[i][0], *well_position(places[i][1])))
    return Calibration(
        wells=WELLS.build(every[order]),
        curves=gather(CURVES, "plate", "analyte"),
        verdicts=gather(VERDICTS, "plate", "analyte"),
        concentrations=gather(CONCENTRATIONS, "plate", "analyte", "specimen"),
        limits=gather(LIMITS, "plate", "analyte"),
        controls=gather(CONTROLS, "analyte"),
        shared_error=SharedError(gather(SHARED_ERROR, "plate", "analyte", "specimen")),
    )
