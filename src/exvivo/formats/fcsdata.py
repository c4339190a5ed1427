"""Events of an FCS data set: mapped from the file, decoded block by block where needed, brought to the linear scale.

Uniform floats in the byte order of this machine are the file itself, mapped privately: they are
not copied, and ``scaled=False`` does not write to them either, so that a caller can scale by
block. Every other encoding is decoded into float64, a block of rows and a column at a time,
so that no more than the result is held.
"""

import io
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from exvivo.errors import InputError, fault
from exvivo.formats.fcschannels import timestep
from exvivo.study.design import Channel, EventsRecord

Events = NDArray[np.float32] | NDArray[np.float64]
_Column = Callable[[slice, int], NDArray[Any]]

_BLOCK = 1 << 12
_BYTE = 8


def read_events(source: Path | bytes, record: EventsRecord, *, scaled: bool = True) -> Events:
    """Events of one data set on the linear scale (amplification, gain and time step applied).

    Parameters
    ----------
    source : path of the file, or its bytes
    record : the data set, as ``parse`` described it
    scaled : False leaves out the factors that ``scale_factors`` names, so that a mapped file is not written to

    Returns
    -------
    ndarray, shape (n_events, n_channels). float32 where the file stores float32, mapped from the file and
    private to this process; float64, mapped as well, for doubles; float64 for every other encoding, which float32 could not hold exactly

    Raises
    ------
    InputError : the file is shorter than when it was described

    Notes
    -----
    Scale value of channel value x: 10**(f1 x / range) f2 for $PnE f1 > 0, else x / $PnG; time is x $TIMESTEP.
    """
    _check_length(source, record)
    every = range(len(record.channels))
    kinds = {channel.datatype for channel in record.channels}
    if kinds in ({"F"}, {"D"}) and _is_native(record) and record.n_events:
        stored = np.dtype(np.float32 if kinds == {"F"} else np.float64)
        events: Events = _raw(source, record, stored, (record.n_events, len(record.channels)), copy=True)
    else:
        events = _decoded(source, record, every, "C")
    if scaled:
        apply_scales(events, record, every)
    return events


def read_columns(source: Path | bytes, record: EventsRecord, columns: Sequence[int], *, scaled: bool = True) -> Events:
    """Some columns of one data set; only their bytes are decoded.

    Parameters
    ----------
    source : path of the file, or its bytes
    record : the data set, as ``parse`` described it
    columns : places of channels, counted from 0, in the order wanted
    scaled : as in ``read_events``

    Returns
    -------
    ndarray, shape (n_events, len(columns)), each column contiguous; the same values and type as in ``read_events``

    Raises
    ------
    InputError : the file is shorter than when it was described
    IndexError : there is no such column
    """
    if bad := [column for column in columns if not 0 <= column < len(record.channels)]:
        raise IndexError(f"columns {bad} of {len(record.channels)}")
    _check_length(source, record)
    events = _decoded(source, record, columns, "F")
    if scaled:
        apply_scales(events, record, columns)
    return events


def part_of(record: EventsRecord, begin: int, end: int) -> EventsRecord:
    """The record of some of a data set's events, to be read alone.

    Parameters
    ----------
    record : the data set, as ``parse`` described it
    begin, end : first event and the one behind the last; where events are no whole bytes, ``begin`` is a multiple of 8

    Raises
    ------
    ValueError : the events are not there, or the first of them does not begin with a byte
    """
    if not 0 <= begin <= end <= record.n_events:
        raise ValueError(f"events {begin} to {end} of {record.n_events}")
    row = row_bits(record)
    if begin * row % _BYTE:
        raise ValueError(f"event {begin} of {row} bits does not begin with a byte; begin at a multiple of {_BYTE}")
    first, last = record.data_begin + begin * row // _BYTE, record.data_begin + -(-end * row // _BYTE) - 1
    return replace(record, n_events=end - begin, data_begin=first, data_end=last)


def scale_factors(record: EventsRecord) -> NDArray[np.float64]:
    """Factor of each column between ``read_events(..., scaled=False)`` and scaled events.

    Parameters
    ----------
    record : the data set, as ``parse`` described it

    Returns
    -------
    ndarray, shape (n_channels,): 1 / $PnG, $TIMESTEP for time, 1 where nothing is pending. Logarithmic amplification is
    never pending: it applies to integers, which are decoded in any case
    """
    factors = np.ones(len(record.channels))
    for column, channel in enumerate(record.channels):
        step = _step(record, channel)
        factors[column] = step if step is not None else 1.0 if _is_linear(channel) else 1.0 / channel.gain
    return factors


def apply_scales(events: Events, record: EventsRecord, columns: Sequence[int]) -> None:
    """Bring unscaled rows to the linear scale, in place: all events, or any block of their rows.

    Parameters
    ----------
    events : ndarray, shape (n, len(columns)), as ``read_events`` or ``read_columns`` give them with ``scaled=False``
    record : the data set
    columns : places of the channels in the data set
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for place, column in enumerate(columns):
            channel = record.channels[column]
            if (step := _step(record, channel)) not in (None, 1.0):
                events[:, place] *= step
            elif step is None and not _is_linear(channel):
                events[:, place] /= channel.gain


def _step(record: EventsRecord, channel: Channel) -> float | None:
    """Time step of a channel, None for channels that are not time; time has no gain."""
    if channel.amplification[0] > 0 or channel.name.upper() != "TIME":
        return None
    return timestep(record.keywords) or 1.0


def _is_linear(channel: Channel) -> bool:
    return channel.gain == 1.0 or channel.amplification[0] > 0


def _is_float32(record: EventsRecord) -> bool:
    return all(channel.datatype == "F" for channel in record.channels)


def _is_native(record: EventsRecord) -> bool:
    return record.byte_order == sys.byteorder


def _decoded(source: Path | bytes, record: EventsRecord, columns: Sequence[int], order: Literal["C", "F"]) -> Events:
    if record.n_events == 0:
        return np.empty((0, len(columns)), dtype=np.float32)
    shape = (record.n_events, len(columns))
    events: Events = np.empty(shape, np.float32, order) if _is_float32(record) else np.empty(shape, np.float64, order)
    column_of = _column_reader(source, record)
    masks = [_mask(record, column) for column in range(len(record.channels))]
    with np.errstate(over="ignore", invalid="ignore"):
        for rows in _blocks(record.n_events):
            for place, column in enumerate(columns):
                events[rows, place] = _values(column_of(rows, column), record.channels[column], masks[column])
    return events


def _blocks(n_events: int) -> Iterator[slice]:
    return (slice(start, min(start + _BLOCK, n_events)) for start in range(0, n_events, _BLOCK))


def _values(stored: NDArray[Any], channel: Channel, mask: int | None) -> NDArray[Any]:
    whole = stored if mask is None else stored & stored.dtype.type(mask)
    decades, lowest = channel.amplification
    if decades > 0:
        amplified: NDArray[np.float64] = lowest * 10.0 ** (decades * whole.astype(np.float64) / channel.range)
        return amplified
    return whole


def _mask(record: EventsRecord, column: int) -> int | None:
    """Bits that count: a range of 1000 in 16 bits uses the lowest ten; None when all bits count."""
    channel = record.channels[column]
    if channel.datatype != "I":
        return None
    written = record.keywords.get(f"$P{column + 1}R", "").strip()
    largest = int(written) if written.isascii() and written.isdigit() and len(written) < 30 else math.ceil(channel.range)
    used = max(largest - 1, 0).bit_length()
    return (1 << used) - 1 if 0 < used < channel.bits else None


def _column_reader(source: Path | bytes, record: EventsRecord) -> _Column:
    """How stored values of a column are had, by the layout of the data set."""
    if row_bits(record) % _BYTE or any(channel.bits % _BYTE for channel in record.channels):
        return _packed(source, record)
    if record.byte_order not in ("little", "big"):
        return _reordered(source, record)
    return _whole_bytes(source, record)


def row_bits(record: EventsRecord) -> int:
    """Bits from one event to the next."""
    return record.row_bits or sum(channel.bits for channel in record.channels)


def _whole_bytes(source: Path | bytes, record: EventsRecord) -> _Column:
    """Every value begins with a byte: fields of a record, widths of 3, 5, 6 and 7 bytes put together byte by byte."""
    mark = "<" if record.byte_order == "little" else ">"
    names = [f"c{column}" for column in range(len(record.channels))]
    formats = [_field(channel, mark) for channel in record.channels]
    rows = _raw(source, record, np.dtype(list(zip(names, formats, strict=True))), (record.n_events,), copy=False)
    little = record.byte_order == "little"

    def column_of(block: slice, column: int) -> NDArray[Any]:
        values: NDArray[Any] = rows[names[column]][block]
        return values if values.ndim == 1 else _joined(values, little=little)

    return column_of


def _field(channel: Channel, mark: str) -> np.dtype[Any]:
    width = channel.bits // _BYTE
    if channel.datatype != "I":
        return np.dtype(f"{mark}f{width}")
    return np.dtype(f"{mark}u{width}") if width in (1, 2, 4, 8) else np.dtype((np.uint8, (width,)))


def _joined(places: NDArray[np.uint8], *, little: bool) -> NDArray[np.uint64]:
    """Integers from their bytes, shape (n, width)."""
    values = np.zeros(len(places), dtype=np.uint64)
    width = places.shape[1]
    for place in range(width - 1, -1, -1) if little else range(width):
        values = (values << np.uint64(_BYTE)) | places[:, place]
    return values


def _reordered(source: Path | bytes, record: EventsRecord) -> _Column:
    """Bytes in an order of their own; $BYTEORD tells the significance of each byte, 1 the least."""
    significance = [int(digit) for digit in record.byte_order.split(",")]
    take = [significance.index(place) for place in range(1, len(significance) + 1)]
    shape = (record.n_events, len(record.channels), len(take))
    rows = _raw(source, record, np.dtype(np.uint8), shape, copy=False)

    def column_of(block: slice, column: int) -> NDArray[Any]:
        places = np.ascontiguousarray(rows[block, column][:, take])
        kind = record.channels[column].datatype
        return _joined(places, little=True) if kind == "I" else places.view(f"<f{len(take)}")[:, 0]

    return column_of


def _packed(source: Path | bytes, record: EventsRecord) -> _Column:
    """Bits without gaps: the first bit of a value is its most significant one, or its least where bytes are little-endian."""
    starts = np.cumsum([0, *(channel.bits for channel in record.channels)])
    row, little = row_bits(record), record.byte_order == "little"
    rows = _raw(source, record, np.dtype(np.uint8), (-(-record.n_events * row // _BYTE),), copy=False)

    def column_of(block: slice, column: int) -> NDArray[Any]:
        bits = record.channels[column].bits
        first = np.arange(block.start, block.stop, dtype=np.int64) * row + int(starts[column])
        byte, shift = first // _BYTE, (first % _BYTE).astype(np.uint64)
        width = (bits + 2 * _BYTE - 2) // _BYTE
        places = rows[np.minimum(byte[:, None] + np.arange(width), len(rows) - 1)]
        spare = shift if little else np.uint64(_BYTE * width - bits) - shift
        return (_joined(places, little=little) >> spare) & np.uint64((1 << bits) - 1)

    return column_of


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


def _raw(source: Path | bytes, record: EventsRecord, stored: np.dtype[Any], shape: tuple[int, ...], *, copy: bool) -> NDArray[Any]:
    """Stored values; with ``copy`` writable without touching the file (copy on write)."""
    if isinstance(source, Path):
        return np.asarray(np.memmap(source, dtype=stored, mode="c" if copy else "r", offset=record.data_begin, shape=shape))
    flat = np.frombuffer(source, dtype=stored, count=math.prod(shape), offset=record.data_begin).reshape(shape)
    return flat.copy() if copy else flat
