"""Events of an FCS data set: mapped from the file, put together byte by byte where needed, brought to the linear scale."""

import io
import math
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from exvivo.errors import InputError, fault
from exvivo.formats.fcschannels import row_bytes
from exvivo.formats.fcstext import number
from exvivo.study.design import Channel, EventsRecord

Events = NDArray[np.float32] | NDArray[np.float64]


def read_events(source: Path | bytes, record: EventsRecord) -> Events:
    """Events of one data set on the linear scale (amplification, gain and time step applied).

    Parameters
    ----------
    source : path of the file, or its bytes
    record : the data set, as ``parse`` described it

    Returns
    -------
    ndarray, shape (n_events, n_channels). float32 where the file stores float32, mapped from the file and
    private to this process; float64 for every other encoding, which float32 could not hold exactly

    Raises
    ------
    InputError : the file is shorter than when it was described

    Notes
    -----
    Scale value of channel value x: 10**(f1 x / range) f2 for $PnE f1 > 0, else x / $PnG; time is x $TIMESTEP.
    """
    row = row_bytes(record.channels)
    _check_length(source, record)
    events: Events
    if record.n_events == 0:
        events = np.empty((0, len(record.channels)), dtype=np.float32)
    elif len({channel.bits for channel in record.channels}) == 1 and record.channels[0].bits != 24:
        events = _uniform_events(source, record)
    else:
        events = _mixed_events(_raw(source, record, np.dtype(np.uint8), (record.n_events, row)), record)
    _apply_scales(events, record)
    return events


def _uniform_events(source: Path | bytes, record: EventsRecord) -> Events:
    first = record.channels[0]
    kind = {"F": "f", "D": "f", "I": "u"}[first.datatype]
    stored = np.dtype(f"{'<' if record.byte_order == 'little' else '>'}{kind}{first.bits // 8}")
    raw = _raw(source, record, stored, (record.n_events, len(record.channels)))
    if first.datatype == "F":
        return raw if stored.isnative else raw.astype(np.float32)
    events: NDArray[np.float64] = raw.astype(np.float64)
    if first.datatype == "I":
        for column, channel in enumerate(record.channels):
            if (mask := _mask(channel)) is not None:
                events[:, column] = raw[:, column] & raw.dtype.type(mask)
    return events


def _mixed_events(rows: NDArray[np.uint8], record: EventsRecord) -> NDArray[np.float64]:
    """Integers of differing widths, or of 24 bits: put together byte by byte, most significant first."""
    events = np.empty((record.n_events, len(record.channels)), dtype=np.float64)
    start = 0
    for column, channel in enumerate(record.channels):
        width = channel.bits // 8
        places = range(start, start + width) if record.byte_order == "big" else range(start + width - 1, start - 1, -1)
        value = np.zeros(record.n_events, dtype=np.uint32)
        for place in places:
            value = (value << np.uint32(8)) | rows[:, place]
        mask = _mask(channel)
        events[:, column] = value if mask is None else value & np.uint32(mask)
        start += width
    return events


def _mask(channel: Channel) -> int | None:
    """Bits that count: a range of 1000 in 16 bits uses the lowest ten; None when all bits count."""
    used = max(math.ceil(channel.range) - 1, 0).bit_length()
    return (1 << used) - 1 if 0 < used < channel.bits else None


def _apply_scales(events: Events, record: EventsRecord) -> None:
    timestep = number(record.keywords.get("$TIMESTEP"))
    for column, channel in enumerate(record.channels):
        decades, offset = channel.amplification
        if decades > 0:
            events[:, column] = offset * 10.0 ** (decades * events[:, column].astype(np.float64) / channel.range)
        elif channel.name.upper() == "TIME":
            if timestep not in (None, 0.0, 1.0):
                events[:, column] *= timestep
        elif channel.gain != 1.0:
            events[:, column] /= channel.gain


def name_of(source: Path | bytes) -> str:
    """What messages call a source."""
    return source.name if isinstance(source, Path) else "FCS data"


def opened(source: Path | bytes) -> AbstractContextManager[BinaryIO]:
    """A source, open for reading."""
    return source.open("rb") if isinstance(source, Path) else io.BytesIO(source)


def bytes_at(stream: BinaryIO, begin: int, length: int) -> bytes:
    """Part of an open file; shorter where the file ends."""
    stream.seek(begin)
    return stream.read(length)


def _check_length(source: Path | bytes, record: EventsRecord) -> None:
    size = source.stat().st_size if isinstance(source, Path) else len(source)
    if record.data_end >= size and record.n_events:
        found = f"the file has {size} bytes but its events end at byte {record.data_end}"
        raise InputError(fault(name_of(source), found, "the file as it was described", "Read the study again: the file has changed"))


def _raw(source: Path | bytes, record: EventsRecord, stored: np.dtype[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Stored values, writable without touching the file (copy on write)."""
    if isinstance(source, Path):
        return np.asarray(np.memmap(source, dtype=stored, mode="c", offset=record.data_begin, shape=shape))
    return np.frombuffer(source, dtype=stored, count=shape[0] * shape[1], offset=record.data_begin).reshape(shape).copy()
