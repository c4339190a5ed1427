"""What FCS files say of themselves, for people and for JSON; no event is read."""

from pathlib import Path
from typing import Any

from exvivo.errors import InputError, fault
from exvivo.formats import fcs
from exvivo.study.design import Channel, EventsRecord, SpilloverMatrix


def describe_file(path: Path) -> dict[str, Any]:
    """Version and data sets of one file.

    Raises
    ------
    InputError : the file is missing or cannot be read
    """
    if not path.is_file():
        raise InputError(fault(str(path), "there is no such file", action="Check the path"))
    records = fcs.parse(path)
    return {"version": records[0].version, "datasets": [_dataset(record) for record in records]}


def _dataset(record: EventsRecord) -> dict[str, Any]:
    words = {name: record.keywords.get(key, "").strip() for name, key in (("instrument", "$CYT"), ("date", "$DATE"))}
    return {
        "version": record.version,
        "events": record.n_events,
        **words,
        "byte_order": record.byte_order,
        "timestep": fcs.timestep(record.keywords),
        "spillover": _spillover(record.spillover),
        "channels": [_channel(channel) for channel in record.channels],
        "issues": list(record.issues),
    }


def _spillover(matrix: SpilloverMatrix | None) -> dict[str, Any] | None:
    if matrix is None:
        return None
    identity = all(value == (i == j) for i, row in enumerate(matrix.matrix) for j, value in enumerate(row))
    return {"channels": list(matrix.detectors), "identity": identity}


def _channel(channel: Channel) -> dict[str, Any]:
    return {
        "name": channel.name,
        "marker": channel.marker,
        "range": channel.range,
        "voltage": channel.voltage,
        "gain": channel.gain,
        "amplification": list(channel.amplification),
        "bits": channel.bits,
        "datatype": channel.datatype,
    }
