"""FCS files as a cytometer would write them: every version, encoding and byte order that is read."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exvivo.formats.fcsoffsets import HEADER_BYTES, VERSIONS
from exvivo.study.design import Channel, SpilloverMatrix

_DELIMITERS = "\x0c|\\/!\x1e"
_LARGEST_HEADER_OFFSET = 99_999_999
_OFFSET_DIGITS = 20
_WHOLE_TEXT = 1e30
_BYTE, _MOST_PACKED = 8, 56


@dataclass(frozen=True, slots=True)
class Form:
    """How a file is written.

    Parameters
    ----------
    version : FCS2.0, FCS3.0, FCS3.1 or FCS3.2
    byte_order : little, big, or the significance of each byte, as in 3,4,1,2
    delimiter : one ASCII character; by default one that no keyword or value holds
    far : zeros in the HEADER for DATA, as in files beyond 99,999,999 bytes, which get them anyway
    """

    version: str = "FCS3.1"
    byte_order: str = "little"
    delimiter: str = ""
    far: bool = False


@dataclass(frozen=True, slots=True)
class DataSet:
    """What one data set of a file holds: the arguments of ``compose``."""

    events: NDArray[Any]
    channels: Sequence[Channel]
    spillover: SpilloverMatrix | None = None
    timestep: float | None = None
    keywords: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def compose(
    events: NDArray[Any],
    channels: Sequence[Channel],
    *,
    spillover: SpilloverMatrix | None = None,
    timestep: float | None = None,
    keywords: Mapping[str, str] | None = None,
    form: Form | None = None,
) -> bytes:
    """FCS file of one data set in list mode.

    Parameters
    ----------
    events : ndarray, shape (n_events, n_channels), channel values as stored (divided by gain and multiplied by time step on reading)
    channels : one per column, with data type, bits and amplification
    spillover : written as $SPILLOVER, before FCS 3.1 as SPILL
    timestep : seconds per unit of the channel ``Time``
    keywords : further keywords; keys and values must not be empty
    form : version, byte order and delimiter; FCS 3.1, little endian, by default

    Raises
    ------
    ValueError : columns and channels disagree, values that the channel's type or range cannot hold, an empty or
        unwritable keyword, a keyword that this function sets itself, or a form that the version does not know
    """
    return compose_all([DataSet(events, channels, spillover, timestep, keywords or {})], form)


def compose_all(datasets: Sequence[DataSet], form: Form | None = None) -> bytes:
    """FCS file of several data sets, one behind the other.

    Raises
    ------
    ValueError : as ``compose``; or no data set
    """
    if not datasets:
        raise ValueError("a file needs a data set")
    form = form or Form()
    _check_form(form)
    return b"".join(_compose_one(dataset, form, last=place == len(datasets)) for place, dataset in enumerate(datasets, 1))


def _check_form(form: Form) -> None:
    if form.version not in VERSIONS:
        raise ValueError(f"version is {form.version!r}, not one of {', '.join(VERSIONS)}")
    if len(form.delimiter) > 1 or not form.delimiter.isascii():
        raise ValueError(f"delimiter is {form.delimiter!r}, not one ASCII character")
    if form.byte_order not in ("little", "big") and sorted(form.byte_order.split(",")) != ["1", "2", "3", "4"]:
        raise ValueError(f"byte order is {form.byte_order!r}, not little, big or an order of 1,2,3,4")


def _compose_one(dataset: DataSet, form: Form, *, last: bool) -> bytes:
    channels = dataset.channels
    if dataset.events.ndim != 2 or dataset.events.shape[1] != len(channels):
        raise ValueError(f"events have shape {dataset.events.shape} for {len(channels)} channels")
    own = _required_keywords(len(dataset.events), channels, form) | _optional_keywords(dataset, form)
    extra = {key.upper(): value for key, value in dataset.keywords.items()}
    if clash := sorted((set(own) | set(_offsets(form))) & set(extra)):
        raise ValueError(f"these keywords are set by compose itself: {', '.join(clash)}")
    data = _data(dataset.events, channels, form)
    tail = b"" if form.version == "FCS2.0" else b"0" * _BYTE
    text, begin = _text_segment(own | extra, len(data), len(tail), form, last=last)
    end = begin + len(data) - 1 if data else 0
    told = bool(data) and end <= _LARGEST_HEADER_OFFSET and not form.far
    if data and not told and form.version == "FCS2.0":
        raise ValueError("FCS 2.0 gives offsets in the HEADER only, which ends at byte 99,999,999")
    offsets = (HEADER_BYTES, begin - 1, begin if told else 0, end if told else 0, 0, 0)
    header = f"{form.version}    " + "".join(f"{offset:8d}" for offset in offsets)
    return header.encode("ascii") + text + data + tail


def _plain(value: float) -> str:
    """Shortest text that reads back as the same number."""
    return repr(int(value)) if float(value).is_integer() and abs(value) < _WHOLE_TEXT else repr(float(value))


def _required_keywords(n_events: int, channels: Sequence[Channel], form: Form) -> dict[str, str]:
    order = {"little": "1,2,3,4", "big": "4,3,2,1"}.get(form.byte_order, form.byte_order)
    datatype = channels[0].datatype if channels else "F"
    if form.version != "FCS3.2" and any(channel.datatype != datatype for channel in channels):
        raise ValueError(f"{form.version} has one data type for all channels; FCS 3.2 has several")
    keywords = {} if form.version == "FCS2.0" else dict.fromkeys(("$BEGINANALYSIS", "$ENDANALYSIS", "$BEGINSTEXT", "$ENDSTEXT"), "0")
    keywords |= {"$BYTEORD": order, "$DATATYPE": datatype, "$MODE": "L", "$PAR": str(len(channels)), "$TOT": str(n_events)}
    for place, channel in enumerate(channels, 1):
        amplifier = f"{_plain(channel.amplification[0])},{_plain(channel.amplification[1])}"
        keywords |= {f"$P{place}N": channel.name, f"$P{place}B": str(channel.bits), f"$P{place}E": amplifier}
        keywords[f"$P{place}R"] = _plain(channel.range)
        if channel.datatype != datatype:
            keywords[f"$P{place}DATATYPE"] = channel.datatype
    return keywords


def _optional_keywords(dataset: DataSet, form: Form) -> dict[str, str]:
    keywords: dict[str, str] = {}
    for place, channel in enumerate(dataset.channels, 1):
        if channel.marker:
            keywords[f"$P{place}S"] = channel.marker
        if channel.voltage is not None:
            keywords[f"$P{place}V"] = _plain(channel.voltage)
        if channel.gain != 1.0:
            keywords[f"$P{place}G"] = _plain(channel.gain)
    if dataset.timestep is not None:
        keywords["$TIMESTEP"] = _plain(dataset.timestep)
    if (spillover := dataset.spillover) is not None:
        values = [_plain(value) for row in spillover.matrix for value in row]
        key = "$SPILLOVER" if form.version >= "FCS3.1" else "SPILL"
        keywords[key] = ",".join([str(len(spillover.detectors)), *spillover.detectors, *values])
    return keywords


def _offsets(form: Form) -> tuple[str, ...]:
    """Keywords whose values depend on the length of TEXT."""
    return ("$NEXTDATA",) if form.version == "FCS2.0" else ("$NEXTDATA", "$BEGINDATA", "$ENDDATA")


def _text_segment(keywords: Mapping[str, str], data_bytes: int, tail_bytes: int, form: Form, *, last: bool) -> tuple[bytes, int]:
    """TEXT and the offset of DATA behind it; the offsets are padded so that their own length is known beforehand."""
    if bad := sorted(key for key, value in keywords.items() if not key.strip() or not value or key != key.strip()):
        raise ValueError(f"keywords and values must not be empty: {bad}")
    sign = _delimiter(keywords, form)
    body = sign + "".join(f"{key}{sign}{value.replace(sign, sign * 2)}{sign}" for key, value in keywords.items())
    names = _offsets(form)
    length = sum(len(name) + _OFFSET_DIGITS + 2 for name in names)
    begin = HEADER_BYTES + len(body.encode("utf-8")) + length
    following = 0 if last else begin + data_bytes + tail_bytes
    values = (following, begin, begin + data_bytes - 1) if data_bytes else (following, 0, 0)
    offsets = "".join(f"{name}{sign}{value:0{_OFFSET_DIGITS}d}{sign}" for name, value in zip(names, values, strict=False))
    return (body + offsets).encode("utf-8"), begin


def _delimiter(keywords: Mapping[str, str], form: Form) -> str:
    """One that no text holds; else one that only values hold, where it is doubled, but not at their beginning."""
    candidates = form.delimiter or _DELIMITERS
    keys = "".join([*keywords, *_offsets(form)])
    inside = "".join(keywords.values())
    free = [sign for sign in candidates if sign not in keys and sign not in inside]
    escaped = [s for s in candidates if s not in keys and not s.isdigit() and not any(v.startswith(s) for v in keywords.values())]
    if not free and not escaped:
        raise ValueError("the keywords hold every possible delimiter; take one of them out")
    return (free or escaped)[0]


def _data(events: NDArray[Any], channels: Sequence[Channel], form: Form) -> bytes:
    kinds = {(channel.datatype, channel.bits) for channel in channels}
    if bad := sorted(kind for kind in kinds if not _is_writable(kind)):
        raise ValueError(f"no encoding has data types and bits {bad}")
    ordered = form.byte_order in ("little", "big")
    if not ordered and kinds != {("I", 32)}:
        raise ValueError("a byte order of its own needs 32-bit integers in all channels")
    columns = [_stored(events[:, place], channel) for place, channel in enumerate(channels)]
    if any(bits % _BYTE for _, bits in kinds):
        return _packed(columns, channels, big=form.byte_order == "big")
    rows = np.empty(len(events), dtype=[(f"c{place}", _field(channel, form)) for place, channel in enumerate(channels)])
    for place, (column, channel) in enumerate(zip(columns, channels, strict=True)):
        rows[f"c{place}"] = column if rows.dtype[place].ndim == 0 else _places(column, channel.bits // _BYTE)[:, _order(channel, form)]
    return rows.tobytes()


def _field(channel: Channel, form: Form) -> np.dtype[Any]:
    """How one value is stored; as single bytes where numpy has no such integer or no such order."""
    width = channel.bits // _BYTE
    if form.byte_order not in ("little", "big") or width not in (1, 2, 4, 8):
        return np.dtype((np.uint8, (width,)))
    return np.dtype(f"{'<' if form.byte_order == 'little' else '>'}{'u' if channel.datatype == 'I' else 'f'}{width}")


def _order(channel: Channel, form: Form) -> list[int]:
    """Places of the bytes of a value, which come the least significant first, in the file."""
    width = channel.bits // _BYTE
    if form.byte_order in ("little", "big"):
        return list(range(width)) if form.byte_order == "little" else list(range(width))[::-1]
    return [int(digit) - 1 for digit in form.byte_order.split(",")]


def _is_writable(kind: tuple[str, int]) -> bool:
    datatype, bits = kind
    return kind in (("F", 32), ("D", 64), ("I", 64)) or (datatype == "I" and 8 <= bits <= 56)


def _stored(column: NDArray[Any], channel: Channel) -> NDArray[Any]:
    """Values in the type of their channel; a value that it cannot hold is no value of the channel."""
    kind = {"F": np.float32, "D": np.float64, "I": np.uint64}[channel.datatype]
    if channel.datatype == "I":
        used = max(math.ceil(channel.range) - 1, 0).bit_length()
        largest = 2 ** (used if 0 < used < channel.bits else channel.bits) - 1
        if len(column) and not (column.min() >= 0 and int(column.max()) <= largest):
            raise ValueError(f"channel '{channel.name}' holds 0 to {largest}, not {column.min()} to {column.max()}")
    with np.errstate(over="ignore", invalid="ignore"):
        stored: NDArray[Any] = column.astype(kind)
    if not np.array_equal(stored.astype(column.dtype), column, equal_nan=channel.datatype != "I"):
        raise ValueError(f"channel '{channel.name}' has values that its {channel.bits} bits of type {channel.datatype} cannot hold")
    return stored


def _places(column: NDArray[np.uint64], width: int) -> NDArray[np.uint8]:
    """Bytes of each value, the least significant first, shape (n, width)."""
    little = np.ascontiguousarray(column, dtype="<u8")
    return little.view(np.uint8).reshape(len(column), little.itemsize)[:, :width]


def _packed(columns: Sequence[NDArray[np.uint64]], channels: Sequence[Channel], *, big: bool) -> bytes:
    """Bits without gaps: the most significant bit of a value first, or the least where bytes are little-endian."""
    if any(channel.datatype != "I" or channel.bits > _MOST_PACKED for channel in channels):
        raise ValueError(f"bits are packed only among integers of at most {_MOST_PACKED} bits")
    bits = [
        (column[:, None] >> np.arange(channel.bits, dtype=np.uint64)[:: -1 if big else 1]).astype(np.uint8) & np.uint8(1)
        for column, channel in zip(columns, channels, strict=True)
    ]
    return np.packbits(np.concatenate(bits, axis=1).ravel(), bitorder="big" if big else "little").tobytes()
