"""Flow cytometry data files, FCS 2.0, 3.0 and 3.1: bytes in, described data sets and events out, and back.

``parse`` reads HEADER and TEXT only and says where the events lie; ``read_events`` opens
them later, inside the task that needs them, so that descriptions can travel and events
stay on the disk. ``compose`` writes what a cytometer would write.

Instruments contradict the standard and themselves: offsets differ between HEADER and TEXT,
ends are one byte late, keywords are padded. What can be resolved by arithmetic ($TOT times
the bytes of one event must fill the segment) is resolved and named in ``issues``; what
cannot is refused. Nothing is returned that may silently be something else.

Source: Data File Standard for Flow Cytometry, FCS 3.1, Cytometry A 77A:97-100 (2010);
scale values from channel values as in Gating-ML 2.0, section "Scale values".
"""

import io
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from exvivo.errors import InputError, fault
from exvivo.study.design import Channel, EventsRecord, SpilloverMatrix

Events = NDArray[np.float32] | NDArray[np.float64]

_HEADER_BYTES = 58
_VERSIONS = ("FCS2.0", "FCS3.0", "FCS3.1", "FCS3.2")
_SPILLOVER_KEYS = ("$SPILLOVER", "SPILLOVER", "$SPILL", "SPILL", "$COMP", "COMP")
_DELIMITERS = "\x0c|\\/!\x1e"
_LARGEST_HEADER_OFFSET = 99_999_999
_LOG_FREE = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class _Segment:
    """One pair of offsets, relative to the start of the data set; both ends inclusive."""

    source: str
    begin: int
    end: int


@dataclass(slots=True)
class _Notes:
    """What was odd but readable, and what cannot be read, while one data set is parsed."""

    where: str
    issues: list[str]
    faults: list[str]

    def fault(self, found: str, expected: str = "", action: str = "Export the file again from the instrument") -> None:
        self.faults.append(fault(self.where, found, expected, action))

    def stop(self) -> None:
        if self.faults:
            raise InputError(self.faults)


def parse(source: Path | bytes) -> tuple[EventsRecord, ...]:
    """Data sets of one FCS file, described without reading their events.

    Parameters
    ----------
    source : path of a file, or the bytes of one

    Returns
    -------
    tuple of EventsRecord, in file order; ``data_begin`` and ``data_end`` are counted from the start of the file, both inclusive

    Raises
    ------
    InputError : the file is no FCS file, is cut short, contradicts itself or uses an encoding that is not supported
    """
    records: list[EventsRecord] = []
    with _opened(source) as stream:
        size = stream.seek(0, io.SEEK_END)
        base: int | None = 0
        while base is not None:
            where = _name(source) + (f", data set {len(records) + 1}" if records else "")
            record = _parse_data_set(stream, size, base, len(records), _Notes(where, [], []))
            records.append(record)
            base = _next_base(stream, size, base, record, where)
    return tuple(records)


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
    row_bytes = _row_bytes(record.channels)
    _check_length(source, record)
    events: Events
    if record.n_events == 0:
        events = np.empty((0, len(record.channels)), dtype=np.float32)
    elif len({channel.bits for channel in record.channels}) == 1 and record.channels[0].bits != 24:
        events = _uniform_events(source, record)
    else:
        events = _mixed_events(_raw(source, record, np.dtype(np.uint8), (record.n_events, row_bytes)), record)
    _apply_scales(events, record)
    return events


def compose(
    events: NDArray[np.float32],
    channels: Sequence[Channel],
    *,
    spillover: SpilloverMatrix | None = None,
    timestep: float | None = None,
    keywords: Mapping[str, str] | None = None,
) -> bytes:
    """FCS 3.1 file of one data set: float32, little endian, list mode.

    Parameters
    ----------
    events : ndarray, shape (n_events, n_channels), channel values as stored (divided by gain and multiplied by time step on reading)
    channels : one per column; amplification, bits and data type are those of float32 whatever they say
    spillover : written as $SPILLOVER
    timestep : seconds per unit of the channel ``Time``
    keywords : further keywords; keys and values must not be empty

    Raises
    ------
    ValueError : columns and channels disagree, an empty or unwritable keyword, or a keyword that this function sets itself
    """
    if events.ndim != 2 or events.shape[1] != len(channels):
        raise ValueError(f"events have shape {events.shape} for {len(channels)} channels")
    own = _required_keywords(len(events), channels) | _optional_keywords(channels, spillover, timestep)
    extra = {key.upper(): value for key, value in (keywords or {}).items()}
    if clash := sorted(set(own) & set(extra)):
        raise ValueError(f"these keywords are set by compose itself: {', '.join(clash)}")
    data = np.ascontiguousarray(events, dtype="<f4").tobytes()
    text, begin = _text_segment(own | extra, len(data))
    end = begin + len(data) - 1 if data else 0
    fits = end <= _LARGEST_HEADER_OFFSET
    offsets = (_HEADER_BYTES, begin - 1, begin if data and fits else 0, end if data and fits else 0, 0, 0)
    header = "FCS3.1    " + "".join(f"{offset:8d}" for offset in offsets)
    return header.encode("ascii") + text + data + b"00000000"


def _parse_data_set(stream: BinaryIO, size: int, base: int, index: int, notes: _Notes) -> EventsRecord:
    version, text, data = _parse_header(_bytes_at(stream, base, _HEADER_BYTES), notes)
    if base + text.end >= size:
        notes.fault(f"TEXT ends at byte {text.end} but the file has {size - base} bytes", "a complete file", "Copy the file again")
        notes.stop()
    keywords = parse_text(_bytes_at(stream, base + text.begin, text.end - text.begin + 1), notes.where, notes.issues)
    _add_supplement(stream, size, base, text, keywords, notes)
    byte_order = _byte_order(keywords, notes)
    _check_mode(keywords, notes)
    if (timestep := keywords.get("$TIMESTEP", "").strip()) and not _number(timestep):
        notes.issues.append(f"$TIMESTEP is '{timestep}', no number above 0; time stays in the instrument's units")
    channels = _channels(keywords, notes)
    notes.stop()
    n_events, begin = _locate_data(keywords, data, _row_bytes(channels), size - base, notes)
    notes.stop()
    return EventsRecord(
        index=index,
        version=version,
        n_events=n_events,
        channels=channels,
        keywords=keywords,
        data_begin=base + begin,
        data_end=base + begin + n_events * _row_bytes(channels) - 1,
        byte_order=byte_order,
        spillover=_spillover(keywords, channels, notes),
        issues=tuple(notes.issues),
    )


def _parse_header(raw: bytes, notes: _Notes) -> tuple[str, _Segment, _Segment]:
    version = raw[:6].decode("latin-1")
    if version not in _VERSIONS:
        notes.fault(f"the file begins with {raw[:6]!r}" if raw else "the file is empty", f"one of {', '.join(_VERSIONS)}", "Check the file")
        notes.stop()
    fields = [raw[10 + 8 * i : 18 + 8 * i].decode("latin-1").strip("\0 ") for i in range(4)]
    if not all(field == "" or field.isdecimal() for field in fields) or len(raw) < _HEADER_BYTES:
        notes.fault(f"the HEADER offsets read {fields}", "whole numbers in bytes 10 to 57")
        notes.stop()
    text_begin, text_end, data_begin, data_end = (int(field or 0) for field in fields)
    if not _HEADER_BYTES <= text_begin < text_end:
        notes.fault(f"the HEADER puts TEXT at bytes {text_begin} to {text_end}", f"a segment that begins at byte {_HEADER_BYTES} or later")
        notes.stop()
    return version, _Segment("HEADER", text_begin, text_end), _Segment("HEADER", data_begin, data_end)


def parse_text(raw: bytes, where: str, issues: list[str]) -> dict[str, str]:
    """Keywords of one TEXT segment; keys in capitals, with their ``$``; values exactly as written.

    A doubled delimiter is one delimiter by the standard, an empty value to some instruments: the reading with sound keywords is taken.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
        issues.append("TEXT is not UTF-8; read as Latin-1")
    delimiter, body = text[0], text[1:]
    by_standard = _pairs([token.replace("\ue000", delimiter) for token in body.replace(delimiter * 2, "\ue000").split(delimiter)])
    pairs = by_standard
    if delimiter * 2 in body.rstrip("\0 \r\n"):
        with_empty = _pairs(body.split(delimiter))
        if _unsoundness(with_empty, delimiter) < _unsoundness(by_standard, delimiter):
            pairs = with_empty
            issues.append("TEXT holds empty values; doubled delimiters were read as such")
    if pairs is None:
        raise InputError(fault(where, "TEXT holds a keyword without a value", "pairs of keyword and value", "Export the file again"))
    return _unique_keys(pairs, issues)


def _pairs(tokens: list[str]) -> list[tuple[str, str]] | None:
    if tokens and not tokens[-1].strip("\0 \r\n\t"):
        tokens = tokens[:-1]
    if len(tokens) % 2:
        return None
    return [(key.strip().upper(), value) for key, value in zip(tokens[::2], tokens[1::2], strict=True)]


def _unsoundness(pairs: list[tuple[str, str]] | None, delimiter: str) -> int:
    """Number of things that no sound TEXT has: keys with a delimiter, empty keys, absent required keywords."""
    if pairs is None:
        return 1_000_000
    keys = {key for key, _ in pairs}
    n_channels = next((int(value) for key, value in pairs if key == "$PAR" and value.strip().isdecimal()), 0)
    needed = ["$PAR", "$DATATYPE", "$BYTEORD", *(f"$P{i}{letter}" for i in range(1, n_channels + 1) for letter in "BNR")]
    return sum(key not in keys for key in needed) + sum(delimiter in key or not key for key, _ in pairs)


def _unique_keys(pairs: list[tuple[str, str]], issues: list[str]) -> dict[str, str]:
    keywords: dict[str, str] = {}
    for key, value in pairs:
        if keywords.setdefault(key, value) != value:
            issues.append(f"keyword {key} is given twice; the first value is used")
    return keywords


def _add_supplement(stream: BinaryIO, size: int, base: int, text: _Segment, keywords: dict[str, str], notes: _Notes) -> None:
    begin, end = _offset(keywords, "$BEGINSTEXT"), _offset(keywords, "$ENDSTEXT")
    if not begin or not end or end <= begin or (begin, end) == (text.begin, text.end):
        return
    if base + end >= size:
        notes.issues.append(f"the supplemental TEXT at bytes {begin} to {end} lies outside the file and was not read")
        return
    raw = _bytes_at(stream, base + begin, end - begin + 1)
    further = parse_text(raw, f"{notes.where}, supplemental TEXT", notes.issues) if raw.strip(b"\0 \r\n") else {}
    for key, value in further.items():
        keywords.setdefault(key, value)


def _next_base(stream: BinaryIO, size: int, base: int, record: EventsRecord, where: str) -> int | None:
    """Start of the next data set; $NEXTDATA counts from this one by the standard, from the start of the file in some exports."""
    following = _offset(record.keywords, "$NEXTDATA")
    if not following:
        return None
    for start in (base + following, following):
        if base < start < size and _bytes_at(stream, start, 3) == b"FCS":
            return start
    raise InputError(
        fault(where, f"$NEXTDATA points to byte {following}, where no data set begins", "another HEADER there", "Copy the file again")
    )


def _offset(keywords: Mapping[str, str], key: str) -> int | None:
    value = keywords.get(key, "").strip()
    return int(value) if value.isdecimal() else None


def _number(text: str | None) -> float | None:
    """Finite number in a text, None when there is none."""
    try:
        value = float((text or "").strip())
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _byte_order(keywords: Mapping[str, str], notes: _Notes) -> str:
    found = keywords.get("$BYTEORD", "").replace(" ", "")
    digits = found.split(",")
    upward = [str(i) for i in range(1, len(digits) + 1)]
    if len(digits) >= 2 and digits == upward:
        return "little"
    if len(digits) >= 2 and digits == upward[::-1]:
        return "big"
    notes.fault(f"$BYTEORD is '{found}'", "1,2,3,4 or 4,3,2,1")
    return ""


def _check_mode(keywords: Mapping[str, str], notes: _Notes) -> None:
    mode = keywords.get("$MODE", "").strip().upper()
    if not mode:
        notes.issues.append("$MODE is absent; list mode is taken")
    elif mode != "L":
        notes.fault(f"$MODE is '{mode}'", "L (list mode): histograms hold no events", "Export list-mode data")


def _channels(keywords: Mapping[str, str], notes: _Notes) -> tuple[Channel, ...]:
    count = _offset(keywords, "$PAR")
    datatype = keywords.get("$DATATYPE", "").strip().upper()
    if not count:
        notes.fault(f"$PAR is '{keywords.get('$PAR', '')}'", "the number of channels")
    if datatype not in ("F", "D", "I"):
        notes.fault(f"$DATATYPE is '{datatype}'", "F, D or I: text data (A) are not supported", "Export as binary FCS 3.1")
    if not count or datatype not in ("F", "D", "I"):
        return ()
    channels = tuple(_channel(keywords, number, datatype, notes) for number in range(1, count + 1))
    _note_zero_offsets(keywords, channels, notes)
    names = [channel.name for channel in channels]
    for name in sorted({name for name in names if names.count(name) > 1}):
        notes.issues.append(f"channel name '{name}' is used {names.count(name)} times")
    return channels


def _note_zero_offsets(keywords: Mapping[str, str], channels: Sequence[Channel], notes: _Notes) -> None:
    zero = [f"$P{i}E" for i, c in enumerate(channels, 1) if c.amplification[0] > 0 and _number(keywords[f"$P{i}E"].split(",")[1]) == 0]
    if zero:
        notes.issues.append(f"an offset of 0 is read as 1, as the standard advises, in {', '.join(zero)}")


def _channel(keywords: Mapping[str, str], number: int, datatype: str, notes: _Notes) -> Channel:
    prefix = f"$P{number}"
    name = keywords.get(f"{prefix}N", "").strip()
    if not name:
        name = f"P{number}"
        notes.issues.append(f"{prefix}N is absent; the channel is called {name}")
    own_type = keywords.get(f"{prefix}DATATYPE", datatype).strip().upper()
    if own_type != datatype:
        notes.fault(f"{prefix}DATATYPE is '{own_type}' in a file of type {datatype}", "one data type for all channels", "Export as FCS 3.1")
    extent = _number(keywords.get(f"{prefix}R"))
    if extent is None or extent < 0:
        notes.fault(f"{prefix}R is '{keywords.get(f'{prefix}R', '')}'", "the range of the channel, a positive number")
    gain = _number(keywords.get(f"{prefix}G"))
    if gain is not None and gain < 0:
        notes.fault(f"{prefix}G is '{keywords[f'{prefix}G']}'", "a positive gain")
    return Channel(
        name=name,
        marker=keywords.get(f"{prefix}S", "").strip(),
        range=extent or 0.0,
        voltage=_number(keywords.get(f"{prefix}V")),
        gain=gain or 1.0,  # 0 is written by some instruments for "not amplified"
        amplification=_amplification(keywords, prefix, datatype, extent, notes),
        bits=_bits(keywords, prefix, datatype, notes),
        datatype=datatype,
    )


def _bits(keywords: Mapping[str, str], prefix: str, datatype: str, notes: _Notes) -> int:
    allowed = {"F": (32,), "D": (64,), "I": (8, 16, 24, 32)}[datatype]
    found = keywords.get(f"{prefix}B", "").strip()
    if (bits := int(found) if found.isdecimal() else 0) not in allowed:
        widths = " or ".join(str(width) for width in allowed)
        notes.fault(f"{prefix}B is '{found}' with data type {datatype}", f"{widths} bits", "Export as FCS 3.1 with 32-bit floats")
    return bits


def _amplification(keywords: Mapping[str, str], prefix: str, datatype: str, extent: float | None, notes: _Notes) -> tuple[float, float]:
    found = keywords.get(f"{prefix}E", "").strip()
    if not found:
        notes.issues.append(f"{prefix}E is absent; a linear amplifier is taken")
        return _LOG_FREE
    parts = [_number(part) for part in found.split(",")]
    if len(parts) != 2 or parts[0] is None or parts[1] is None or parts[0] < 0 or parts[1] < 0:
        notes.fault(f"{prefix}E is '{found}'", "two numbers, as in 0,0 or 4,1")
        return _LOG_FREE
    decades, offset = parts[0], parts[1]
    if decades == 0:
        return _LOG_FREE
    if datatype != "I":
        notes.issues.append(f"{prefix}E is '{found}' but floating-point values are linear by the standard; it was not applied")
        return _LOG_FREE
    if offset == 0:
        offset = 1.0
    if not extent:
        notes.fault(
            f"{prefix}E is '{found}' but {prefix}R is '{keywords.get(f'{prefix}R', '')}'", "a positive range for a logarithmic channel"
        )
    return decades, offset


def _spillover(keywords: Mapping[str, str], channels: Sequence[Channel], notes: _Notes) -> SpilloverMatrix | None:
    """First spillover keyword; a matrix that cannot be understood is an issue and leaves None, so that using it fails with a word."""
    key = next((key for key in _SPILLOVER_KEYS if keywords.get(key, "").strip()), None)
    if key is None:
        return None
    items = [item.strip() for item in re.split(r"[,\t]", keywords[key])]
    size = int(items[0]) if items[0].isdecimal() else 0
    names, numbers = items[1 : size + 1], [_number(item) for item in items[size + 1 :]]
    values = [number for number in numbers if number is not None]
    if size < 1 or len(values) != len(numbers) or len(values) != size * size or len(set(names)) != size:
        notes.issues.append(f"{key} is not a square matrix with named channels; it is not used")
        return None
    known = [channel.name for channel in channels]
    if not set(names) <= set(known) and all(name.isdecimal() and 1 <= int(name) <= len(known) for name in names):
        notes.issues.append(f"{key} names channels by number")
        names = [known[int(name) - 1] for name in names]
    if unknown := [name for name in names if name not in known]:
        notes.issues.append(f"{key} names channels that the file does not have: {', '.join(unknown)}")
    rows = tuple(tuple(values[size * i : size * (i + 1)]) for i in range(size))
    return SpilloverMatrix(tuple(names), tuple(names), rows)


def _row_bytes(channels: Sequence[Channel]) -> int:
    return sum(channel.bits for channel in channels) // 8


def _locate_data(keywords: Mapping[str, str], header: _Segment, row: int, available: int, notes: _Notes) -> tuple[int, int]:
    """Number of events and first byte of DATA: the pair of offsets that $TOT events exactly fill."""
    in_text = _Segment("TEXT", _offset(keywords, "$BEGINDATA") or 0, _offset(keywords, "$ENDDATA") or 0)
    segments = [segment for segment in (header, in_text) if segment.begin >= _HEADER_BYTES]
    n_events = _offset(keywords, "$TOT")
    if n_events is None:
        return _count_events(segments, row, available, notes)
    if n_events == 0:
        return 0, segments[0].begin if segments else _HEADER_BYTES
    if not segments:
        notes.fault("neither HEADER nor TEXT says where DATA begin", "an offset in the HEADER or in $BEGINDATA")
        return 0, 0
    return n_events, _consistent_begin(segments, n_events * row, row, available, notes)


def _count_events(segments: Sequence[_Segment], row: int, available: int, notes: _Notes) -> tuple[int, int]:
    sound = {(s.begin, s.end) for s in segments if s.begin < s.end < available and (s.end - s.begin + 1) % row == 0}
    if len(sound) != 1:
        notes.fault(f"$TOT is absent and the DATA offsets do not hold a whole number of {row}-byte events", "$TOT, the number of events")
        return 0, 0
    begin, end = sound.pop()
    notes.issues.append("$TOT is absent; events were counted from the size of DATA")
    return (end - begin + 1) // row, begin


def _consistent_begin(segments: Sequence[_Segment], expected: int, row: int, available: int, notes: _Notes) -> int:
    inside = [s for s in segments if s.begin + expected <= available]
    exact = [s for s in inside if s.end - s.begin + 1 == expected]
    nearly = [s for s in inside if 0 < s.end - s.begin + 1 - expected < row]
    endless = [s for s in inside if s.end <= s.begin or s.end >= available]
    for candidates in (exact, nearly, endless):
        begins = {s.begin for s in candidates}
        if len(begins) == 1:
            _note_offsets(segments, candidates[0], expected, notes)
            return candidates[0].begin
        if begins:
            break
    told = " and ".join(f"{s.source} puts DATA at bytes {s.begin} to {s.end}" for s in segments)
    found = f"{told}, while $TOT events of {row} bytes need {expected} bytes and the file has {available}"
    notes.fault(found, "offsets that $TOT events fill", "Copy or export the file again; it may be cut short")
    return 0


def _note_offsets(segments: Sequence[_Segment], used: _Segment, expected: int, notes: _Notes) -> None:
    for segment in segments:
        length = segment.end - segment.begin + 1
        if segment.begin != used.begin or length != expected:
            notes.issues.append(
                f"{segment.source} puts DATA at bytes {segment.begin} to {segment.end}; "
                f"$TOT events fill {used.begin} to {used.begin + expected - 1}, which was read"
            )


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
    timestep = _number(record.keywords.get("$TIMESTEP"))
    for column, channel in enumerate(record.channels):
        decades, offset = channel.amplification
        if decades > 0:
            events[:, column] = offset * 10.0 ** (decades * events[:, column].astype(np.float64) / channel.range)
        elif channel.name.upper() == "TIME":
            if timestep not in (None, 0.0, 1.0):
                events[:, column] *= timestep
        elif channel.gain != 1.0:
            events[:, column] /= channel.gain


def _name(source: Path | bytes) -> str:
    return source.name if isinstance(source, Path) else "FCS data"


def _opened(source: Path | bytes) -> AbstractContextManager[BinaryIO]:
    return source.open("rb") if isinstance(source, Path) else io.BytesIO(source)


def _bytes_at(stream: BinaryIO, begin: int, length: int) -> bytes:
    stream.seek(begin)
    return stream.read(length)


def _check_length(source: Path | bytes, record: EventsRecord) -> None:
    size = source.stat().st_size if isinstance(source, Path) else len(source)
    if record.data_end >= size and record.n_events:
        found = f"the file has {size} bytes but its events end at byte {record.data_end}"
        raise InputError(fault(_name(source), found, "the file as it was described", "Read the study again: the file has changed"))


def _raw(source: Path | bytes, record: EventsRecord, stored: np.dtype[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Stored values, writable without touching the file (copy on write)."""
    if isinstance(source, Path):
        return np.asarray(np.memmap(source, dtype=stored, mode="c", offset=record.data_begin, shape=shape))
    return np.frombuffer(source, dtype=stored, count=shape[0] * shape[1], offset=record.data_begin).reshape(shape).copy()


def _plain(value: float) -> str:
    """Shortest text that reads back as the same number."""
    return repr(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


def _required_keywords(n_events: int, channels: Sequence[Channel]) -> dict[str, str]:
    keywords = dict.fromkeys(("$BEGINANALYSIS", "$ENDANALYSIS", "$BEGINSTEXT", "$ENDSTEXT", "$NEXTDATA"), "0")
    keywords |= {"$BYTEORD": "1,2,3,4", "$DATATYPE": "F", "$MODE": "L", "$PAR": str(len(channels)), "$TOT": str(n_events)}
    for number, channel in enumerate(channels, 1):
        keywords |= {f"$P{number}N": channel.name, f"$P{number}B": "32", f"$P{number}E": "0,0", f"$P{number}R": _plain(channel.range)}
    return keywords


def _optional_keywords(channels: Sequence[Channel], spillover: SpilloverMatrix | None, timestep: float | None) -> dict[str, str]:
    keywords: dict[str, str] = {}
    for number, channel in enumerate(channels, 1):
        if channel.marker:
            keywords[f"$P{number}S"] = channel.marker
        if channel.voltage is not None:
            keywords[f"$P{number}V"] = _plain(channel.voltage)
        if channel.gain != 1.0:
            keywords[f"$P{number}G"] = _plain(channel.gain)
    if timestep is not None:
        keywords["$TIMESTEP"] = _plain(timestep)
    if spillover is not None:
        values = [_plain(value) for row in spillover.matrix for value in row]
        keywords["$SPILLOVER"] = ",".join([str(len(spillover.detectors)), *spillover.detectors, *values])
    return keywords


def _text_segment(keywords: Mapping[str, str], data_bytes: int) -> tuple[bytes, int]:
    """TEXT and the offset of DATA behind it; the offsets are padded so that their own length is known beforehand."""
    if bad := sorted(key for key, value in keywords.items() if not key.strip() or not value or key != key.strip()):
        raise ValueError(f"keywords and values must not be empty: {bad}")
    joined = "".join(key + value for key, value in keywords.items())
    free = [sign for sign in _DELIMITERS if sign not in joined]
    if not free or "\ue000" in joined:
        raise ValueError("the keywords hold every possible delimiter; take one of them out")
    delimiter = free[0]
    body = delimiter + "".join(f"{key}{delimiter}{value}{delimiter}" for key, value in keywords.items())
    template = f"$BEGINDATA{delimiter}{{:020d}}{delimiter}$ENDDATA{delimiter}{{:020d}}{delimiter}"
    begin = _HEADER_BYTES + len(body.encode("utf-8")) + len(template.format(0, 0))
    offsets = template.format(begin, begin + data_bytes - 1) if data_bytes else template.format(0, 0)
    return (body + offsets).encode("utf-8"), begin
