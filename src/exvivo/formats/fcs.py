"""Flow cytometry data files, FCS 2.0, 3.0, 3.1 and 3.2: bytes in, described data sets and events out, and back.

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
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from exvivo.errors import InputError
from exvivo.formats.fcschannels import byte_order, check_mode, describe_channels, spacings, timestep
from exvivo.formats.fcsdata import Events, apply_scales, bytes_at, name_of, opened, part_of, read_columns, read_events, scale_factors
from exvivo.formats.fcsoffsets import HEADER_BYTES, Segment, locate_data, parse_header
from exvivo.formats.fcsspillover import spillover_of
from exvivo.formats.fcstext import LONGEST_TEXT, Notes, offset, parse_text
from exvivo.formats.fcswrite import DataSet, Form, compose, compose_all
from exvivo.study.design import EventsRecord

_CHECKSUM_BYTES = 8

__all__ = [
    "DataSet",
    "Events",
    "Form",
    "apply_scales",
    "compose",
    "compose_all",
    "parse",
    "parse_text",
    "part_of",
    "read_columns",
    "read_events",
    "scale_factors",
    "timestep",
]


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
    with opened(source) as stream:
        size = stream.seek(0, io.SEEK_END)
        base: int | None = 0
        while base is not None:
            where = name_of(source) + (f", data set {len(records) + 1}" if records else "")
            notes = Notes(where, [], [])
            record, text_end = _parse_data_set(stream, size, base, len(records), notes)
            base = _next_base(stream, size, base, text_end, record.keywords, notes)
            records.append(replace(record, issues=tuple(notes.issues)))
    return tuple(records)


def _parse_data_set(stream: BinaryIO, size: int, base: int, index: int, notes: Notes) -> tuple[EventsRecord, int]:
    """A data set, and where its TEXT ends in the file."""
    version, text, data = parse_header(bytes_at(stream, base, HEADER_BYTES), notes)
    if base + text.end > size:
        notes.fault(f"TEXT ends at byte {text.end} but the file has {size - base} bytes", "a complete file", "Copy the file again")
    if text.length > LONGEST_TEXT:
        notes.fault(f"the HEADER gives TEXT {text.length} bytes", f"at most {LONGEST_TEXT}")
    notes.stop()
    raw = bytes_at(stream, base + text.begin, text.length)
    keywords = parse_text(raw, notes.where, notes.issues)
    if (further := _supplement(stream, size - base, base, text, keywords, notes)).strip(b"\0 \r\n"):
        _add_supplement(further, raw[:1], keywords, notes)
    check_mode(keywords, version, notes)
    channels = describe_channels(keywords, version, notes)
    order = byte_order(keywords, channels, notes)
    notes.stop()
    found = locate_data(keywords, _without_stray_byte(text, raw), data, size - base, tuple(spacings(channels)), notes)
    if order not in ("little", "big") and found.spacing.channels != channels:
        notes.fault(f"$BYTEORD is '{order}'", "1,2,3,4 or 4,3,2,1 where bits are packed")
    notes.stop()
    record = EventsRecord(
        index=index,
        version=version,
        n_events=found.n_events,
        channels=found.spacing.channels,
        keywords=keywords,
        data_begin=base + found.begin,
        data_end=base + found.begin + found.spacing.filled(found.n_events) - 1,
        byte_order=order,
        spillover=spillover_of(keywords, channels, notes),
        row_bits=found.spacing.row_bits,
    )
    return record, base + text.end


def _without_stray_byte(text: Segment, raw: bytes) -> Segment:
    """TEXT that ends with its last delimiter, where HEADER counts one byte more; an odd number of delimiters closes all pairs."""
    sign = raw[:1]
    late = raw[-1:] != sign and raw[-2:-1] == sign and raw.count(sign) % 2 == 1
    return replace(text, end=text.end - 1) if late else text


def _supplement(stream: BinaryIO, available: int, base: int, text: Segment, keywords: dict[str, str], notes: Notes) -> bytes:
    """Bytes of the supplemental TEXT; none where it is TEXT itself or lies where it cannot."""
    begin, end = offset(keywords, "$BEGINSTEXT"), offset(keywords, "$ENDSTEXT")
    if not begin or not end or end <= begin or (begin == text.begin and abs(end - text.end) <= 1):
        return b""
    if end >= available or end - begin > LONGEST_TEXT:
        notes.issues.append(f"the supplemental TEXT at bytes {begin} to {end} lies outside the file and was not read")
        return b""
    if begin < text.end and text.begin < end:
        notes.issues.append(f"the supplemental TEXT at bytes {begin} to {end} overlaps TEXT and was not read")
        return b""
    return bytes_at(stream, base + begin, end - begin + 1)


def _add_supplement(raw: bytes, delimiter: bytes, keywords: dict[str, str], notes: Notes) -> None:
    try:
        further = parse_text(raw, f"{notes.where}, supplemental TEXT", notes.issues) if raw[:1] == delimiter else {}
    except InputError:
        further = {}
    if not further:
        notes.issues.append("the supplemental TEXT holds no pairs of keyword and value and was not read")
    for key, value in further.items():
        keywords.setdefault(key, value)


def _next_base(stream: BinaryIO, size: int, base: int, text_end: int, keywords: Mapping[str, str], notes: Notes) -> int | None:
    """Start of the next data set; $NEXTDATA counts from this one by the standard, from the start of the file in some exports."""
    following = offset(keywords, "$NEXTDATA")
    if not following:
        return None
    for start in (base + following, following):
        if max(base, text_end - 1) < start < size and bytes_at(stream, start, 3) == b"FCS":
            return start
    if size - _CHECKSUM_BYTES <= base + following <= size or size - _CHECKSUM_BYTES <= following <= size:
        notes.issues.append(f"$NEXTDATA points to byte {following}, the end of the file; there is no further data set")
        return None
    notes.fault(f"$NEXTDATA points to byte {following}, where no data set begins", "another HEADER there", "Copy the file again")
    raise InputError(notes.faults)
