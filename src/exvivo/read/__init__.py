"""Stage 1: files of a study folder -> checked tables, nothing interpreted.

Faults that make a file unreadable are raised together, for all files; what cannot be linked becomes
a finding. Conditions are coded here, and only here, until a decision unblinds the study.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from exvivo.engine import Work
from exvivo.errors import InputError, fault
from exvivo.read.blinding import code_levels
from exvivo.read.clinical import read_clinical
from exvivo.read.events import read_events
from exvivo.read.linking import Linked, link_study
from exvivo.read.platemaps import check_maps, read_layout
from exvivo.read.plates import PlateTables, read_plates
from exvivo.read.sources import check_sources, list_sources
from exvivo.read.tables import read_quantified, read_specimens, read_tube_sheet
from exvivo.study.decisions import Decisions
from exvivo.study.model import Files, TableReadout
from exvivo.study.protocol import Design
from exvivo.study.run import Inputs

__all__ = ["read_inputs"]

T = TypeVar("T")


def read_inputs(folder: Path, files: Files, design: Design, decisions: Decisions, work: Work) -> Inputs:
    """Tables of a study folder.

    Raises
    ------
    InputError : the faults of all files together
    """
    faults: list[str] = []

    def gather(step: Callable[[], T]) -> T | None:
        try:
            return step()
        except InputError as error:
            faults.extend(error.messages)
            return None

    sources = list_sources(folder, files, design)
    if sources.one("specimens") is None and not all(isinstance(readout, TableReadout) for readout in design.readouts.values()):
        faults.append(
            fault(files.specimens, "the list of specimens is absent", "one row for each tube", "Write it, or correct files.specimens")
        )
    specimens = gather(lambda: read_specimens(folder, sources.one("specimens"), design, decisions))
    tubes = gather(lambda: read_tube_sheet(folder, sources, files.tubes, design, decisions))
    clinical = gather(lambda: read_clinical(folder, sources, design, decisions))
    quantified = gather(lambda: read_quantified(folder, sources.of("quantified"), design, decisions))
    plates: PlateTables | None = gather(lambda: read_plates(folder, sources.of("export"), work))
    if plates is None:
        gather(lambda: check_maps(folder, sources.of("map")))
    layout = gather(lambda: read_layout(folder, sources.of("map"), plates, design, decisions)) if plates is not None else None
    if faults or specimens is None or tubes is None or clinical is None or quantified is None or plates is None or layout is None:
        raise InputError(faults)
    events, event_findings = read_events(folder, sources.of("fcs"), work)
    found = (*check_sources(sources, layout[0], design), *specimens[1], *layout[1], *clinical[1], *quantified[1], *event_findings)
    linked = Linked(specimens[0], layout[0], plates.readings, tubes, clinical[0], quantified[0])
    links = link_study(linked, [source.path for source in sources.of("fcs")], design)
    blinded = design.blinding is not None and not decisions.unblinded
    return Inputs(
        folder=folder,
        files=sources.table(),
        specimens=code_levels(specimens[0], design) if blinded else specimens[0],
        readings=plates.readings,
        layout=layout[0],
        vendor=plates.vendor,
        events=events,
        tube_sheet=tubes,
        clinical=clinical[0],
        quantified=code_levels(quantified[0], design) if blinded else quantified[0],
        found=(*found, *links),
        blinded=blinded,
    )
