"""Where the segments of an FCS data set lie: HEADER against TEXT, settled by what $TOT events fill."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exvivo.formats.fcstext import Notes, offset

HEADER_BYTES = 58
VERSIONS = ("FCS2.0", "FCS3.0", "FCS3.1", "FCS3.2")


@dataclass(frozen=True, slots=True)
class Segment:
    """One pair of offsets, relative to the start of the data set; both ends inclusive."""

    source: str
    begin: int
    end: int


def parse_header(raw: bytes, notes: Notes) -> tuple[str, Segment, Segment]:
    """Version, TEXT and DATA of the first bytes of a data set."""
    version = raw[:6].decode("latin-1")
    if version not in VERSIONS:
        notes.fault(f"the file begins with {raw[:6]!r}" if raw else "the file is empty", f"one of {', '.join(VERSIONS)}", "Check the file")
        notes.stop()
    fields = [raw[10 + 8 * i : 18 + 8 * i].decode("latin-1").strip("\0 ") for i in range(4)]
    if not all(field == "" or field.isdecimal() for field in fields) or len(raw) < HEADER_BYTES:
        notes.fault(f"the HEADER offsets read {fields}", "whole numbers in bytes 10 to 57")
        notes.stop()
    text_begin, text_end, data_begin, data_end = (int(field or 0) for field in fields)
    if not HEADER_BYTES <= text_begin < text_end:
        notes.fault(f"the HEADER puts TEXT at bytes {text_begin} to {text_end}", f"a segment that begins at byte {HEADER_BYTES} or later")
        notes.stop()
    return version, Segment("HEADER", text_begin, text_end), Segment("HEADER", data_begin, data_end)


def locate_data(keywords: Mapping[str, str], header: Segment, row: int, available: int, notes: Notes) -> tuple[int, int]:
    """Number of events and first byte of DATA: the pair of offsets that $TOT events exactly fill."""
    in_text = Segment("TEXT", offset(keywords, "$BEGINDATA") or 0, offset(keywords, "$ENDDATA") or 0)
    segments = [segment for segment in (header, in_text) if segment.begin >= HEADER_BYTES]
    n_events = offset(keywords, "$TOT")
    if n_events is None:
        return _count_events(segments, row, available, notes)
    if n_events == 0:
        return 0, segments[0].begin if segments else HEADER_BYTES
    if not segments:
        notes.fault("neither HEADER nor TEXT says where DATA begin", "an offset in the HEADER or in $BEGINDATA")
        return 0, 0
    return n_events, _consistent_begin(segments, n_events * row, row, available, notes)


def _count_events(segments: Sequence[Segment], row: int, available: int, notes: Notes) -> tuple[int, int]:
    sound = {(s.begin, s.end) for s in segments if s.begin < s.end < available and (s.end - s.begin + 1) % row == 0}
    if len(sound) != 1:
        notes.fault(f"$TOT is absent and the DATA offsets do not hold a whole number of {row}-byte events", "$TOT, the number of events")
        return 0, 0
    begin, end = sound.pop()
    notes.issues.append("$TOT is absent; events were counted from the size of DATA")
    return (end - begin + 1) // row, begin


def _consistent_begin(segments: Sequence[Segment], expected: int, row: int, available: int, notes: Notes) -> int:
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


def _note_offsets(segments: Sequence[Segment], used: Segment, expected: int, notes: Notes) -> None:
    for segment in segments:
        length = segment.end - segment.begin + 1
        if segment.begin != used.begin or length != expected:
            notes.issues.append(
                f"{segment.source} puts DATA at bytes {segment.begin} to {segment.end}; "
                f"$TOT events fill {used.begin} to {used.begin + expected - 1}, which was read"
            )
