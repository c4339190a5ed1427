"""FCS files and a gating tree outside any study -> populations, and on request the membership of every event."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from exvivo.errors import InputError, fault
from exvivo.formats import fcs
from exvivo.gate.populations import members_of, populations_of
from exvivo.study.design import GatingTree
from exvivo.study.tables import POPULATIONS, Table


@dataclass(frozen=True, slots=True)
class GatedFiles:
    """Populations of all files; one row per event and file in ``members`` when asked for, else no rows."""

    populations: Table
    members: pl.DataFrame


def gate_paths(files: Sequence[Path], tree: GatingTree, *, members: bool) -> GatedFiles:
    """Walk a gating tree through every file, first data set of each.

    Raises
    ------
    InputError : files that are missing or cannot be read, all together
    DesignError : the tree names a channel or matrix that a file lacks
    """
    faults: list[str] = []
    records = []
    for path in files:
        if not path.is_file():
            faults.append(fault(str(path), "there is no such file", action="Check the path"))
            continue
        try:
            records.append((path, fcs.parse(path)[0]))
        except InputError as error:
            faults += error.messages
    if faults:
        raise InputError(faults)
    frames = [populations_of(path, record, tree) for path, record in records]
    events = [members_of(path, record, tree) for path, record in records] if members else []
    return GatedFiles(POPULATIONS.build(pl.concat(frames, how="diagonal")), pl.concat(events) if events else pl.DataFrame())
