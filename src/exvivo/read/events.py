"""FCS files of a study, described: headers only, one task per file; events stay on the disk."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from exvivo.engine import Parcel, Work
from exvivo.errors import InputError, fault
from exvivo.formats import fcs
from exvivo.read.sources import Source
from exvivo.study.cytometry import acquisition_of
from exvivo.study.design import EventsRecord
from exvivo.study.findings import Finding, FindingCode
from exvivo.study.statuses import Severity
from exvivo.study.tables import EVENTS, Table

_BEGINNINGS = (b"FCS1.0", b"FCS2.0", b"FCS3.0", b"FCS3.1", b"FCS3.2")
_MAGIC = 6


@dataclass(frozen=True, slots=True)
class EventsFile:
    """One FCS file: where it is, what it is called inside the study, the digest of its bytes."""

    path: str
    file: str
    sha256: str


def find_tubes(paths: Sequence[Path]) -> dict[str, Path]:
    """FCS files that a person means who names files and folders, by the name that tables give them.

    A folder stands for every file under it that begins as FCS files do, whatever its ending. A file is called by
    its own name; where that is no name for one file alone, by its path in the folder that was named, or as it was named.

    Raises
    ------
    InputError : a folder without FCS files, all of them together
    """
    found: dict[Path, str] = {}
    faults = []
    for path in paths:
        inside = sorted(one for one in path.rglob("*") if _is_fcs(one)) if path.is_dir() else [path]
        if not inside:
            faults.append(
                fault(str(path), "the folder holds no FCS file", "files that begin with FCS2.0, FCS3.0 or the like", "Check the path")
            )
        for one in inside:
            found.setdefault(one, one.relative_to(path).as_posix() if path.is_dir() else path.as_posix())
    if faults:
        raise InputError(faults)
    alone = Counter(path.name for path in found)
    named = {path: path.name if alone[path.name] == 1 else name for path, name in found.items()}
    clear = Counter(named.values())
    return {name if clear[name] == 1 else path.as_posix(): path for path, name in named.items()}


def _is_fcs(path: Path) -> bool:
    if not path.is_file() or path.name.startswith("."):
        return False
    with path.open("rb") as file:
        return file.read(_MAGIC) in _BEGINNINGS


def read_events(folder: Path, sources: Sequence[Source], work: Work) -> tuple[Table, tuple[Finding, ...]]:
    """Every FCS data set of the files given, in their order.

    Parameters
    ----------
    folder : the study folder
    sources : FCS files in it
    work : the loop over files

    Returns
    -------
    table : ``EVENTS``; a file that cannot be read has no row
    findings : one for every file that cannot be read
    """
    items = [EventsFile(str(folder / source.path), source.path, source.sha256) for source in sources]
    parcels = work.map(describe_file, items, key=lambda item: [item.file, item.sha256], label="reading cytometry", version=3)
    rows = [row for parcel in parcels for row in parcel.facts["rows"]]
    return EVENTS.from_rows(rows), tuple(
        Finding(FindingCode.FILE_UNREADABLE, Severity.ERROR, item.file, parcel.facts["problem"], "Export the file again from the cytometer")
        for item, parcel in zip(items, parcels, strict=True)
        if parcel.facts["problem"]
    )


def describe_file(item: EventsFile) -> Parcel:
    """Rows of ``events`` of one file, or the problem with it."""
    try:
        records = fcs.parse(Path(item.path))
    except (InputError, OSError) as problem:
        return Parcel({}, {"rows": [], "problem": str(problem).removeprefix(f"{Path(item.path).name}: ")})
    return Parcel({}, {"rows": [_row(item, record) for record in records], "problem": ""})


def _row(item: EventsFile, record: EventsRecord) -> Mapping[str, object]:
    spillover = record.spillover
    matrix = None if spillover is None else {"detectors": list(spillover.detectors), "matrix": [list(row) for row in spillover.matrix]}
    return {
        "file": item.file,
        "sha256": item.sha256,
        "index": record.index,
        "events": record.n_events,
        "channels": json.dumps([[channel.name, channel.marker] for channel in record.channels], ensure_ascii=False),
        "voltages": json.dumps({c.name: c.voltage for c in record.channels if c.voltage is not None}, ensure_ascii=False),
        "spillover": None if matrix is None else json.dumps(matrix, ensure_ascii=False),
        "issues": json.dumps(list(record.issues), ensure_ascii=False),
        "acquisition": acquisition_of(record).to_json(),
    }
