"""Where the segments of an FCS data set lie: HEADER against TEXT, settled by what $TOT events fill.

Ends are one byte late on many instruments, zeros or 99999999 stand where eight digits are
too few, and HEADER and TEXT may name different places. A place is taken only if $TOT events
fill it; how widely events are spaced is tried as well where their bits are no whole bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exvivo.formats.fcstext import Notes, offset
from exvivo.study.design import Channel

HEADER_BYTES = 58
VERSIONS = ("FCS2.0", "FCS3.0", "FCS3.1", "FCS3.2")
_NO_OFFSET = 99_999_999
_CHECKSUM_BYTES, _BOTH_SIDES = 8, 2


@dataclass(frozen=True, slots=True)
class Segment:
    """One pair of offsets, relative to the start of the data set; both ends inclusive."""

    source: str
    begin: int
    end: int

    @property
    def length(self) -> int:
        """Bytes from begin to end."""
        return self.end - self.begin + 1


@dataclass(frozen=True, slots=True)
class Spacing:
    """One way in which the channels may lie in DATA, and what is odd about it."""

    channels: tuple[Channel, ...]
    row_bits: int
    issue: str = ""

    def filled(self, n_events: int) -> int:
        """Bytes that events need."""
        return -(-n_events * self.row_bits // 8)

    @property
    def slack(self) -> int:
        """Bytes by which an end may be wrong without room for another event."""
        return max(self.row_bits // 8 - 1, 1)

    def holds(self, segment: Segment) -> int:
        """Whole events that fill a segment, or all of it but a byte; 0 when there are none."""
        for length in (segment.length, segment.length - 1):
            n_events = length * 8 // self.row_bits
            if n_events > 0 and self.filled(n_events) == length:
                return n_events
        return 0


@dataclass(frozen=True, slots=True)
class Located:
    """Events that were found in a data set; ``begin`` counts from its start."""

    n_events: int
    begin: int
    spacing: Spacing


_NOWHERE = Located(0, 0, Spacing((), 8))


@dataclass(frozen=True, slots=True)
class _Place:
    """What is known when DATA are looked for."""

    told: tuple[Segment, ...]
    usable: tuple[Segment, ...]
    text_end: int
    available: int
    spacings: tuple[Spacing, ...]


def parse_header(raw: bytes, notes: Notes) -> tuple[str, Segment, Segment]:
    """Version, TEXT and DATA of the first bytes of a data set."""
    version = raw[:6].decode("latin-1")
    if version not in VERSIONS:
        found = f"the file begins with {raw[:6]!r}" if raw else "the file is empty"
        old = version == "FCS1.0"
        notes.fault(found, f"one of {', '.join(VERSIONS)}", "Convert it to FCS 3.1: FCS 1.0 is not supported" if old else "Check the file")
        notes.stop()
    fields = [raw[10 + 8 * i : 18 + 8 * i].decode("latin-1").strip("\0 ") for i in range(4)]
    if not all(field == "" or field.isdecimal() for field in fields[:2]) or len(raw) < HEADER_BYTES:
        notes.fault(f"the HEADER offsets read {fields}", "whole numbers in bytes 10 to 57")
        notes.stop()
    if not all(field == "" or field.isdecimal() for field in fields[2:]):
        notes.issues.append(f"HEADER puts DATA at bytes '{fields[2]}' to '{fields[3]}', which are no offsets; those of TEXT are used")
        fields[2:] = ["0", "0"]
    text_begin, text_end, data_begin, data_end = (int(field or 0) for field in fields)
    if not HEADER_BYTES <= text_begin < text_end:
        notes.fault(f"the HEADER puts TEXT at bytes {text_begin} to {text_end}", f"a segment that begins at byte {HEADER_BYTES} or later")
        notes.stop()
    return version, Segment("HEADER", text_begin, text_end), Segment("HEADER", data_begin, data_end)


def locate_data(
    keywords: Mapping[str, str], text: Segment, header: Segment, available: int, spacings: Sequence[Spacing], notes: Notes
) -> Located:
    """Number of events and first byte of DATA: the pair of offsets that $TOT events exactly fill.

    Parameters
    ----------
    keywords : of the data set; $TOT, $BEGINDATA and $ENDDATA are used
    text, header : the TEXT segment, and DATA as the HEADER gives it
    available : bytes from the start of the data set to the end of the file
    spacings : ways in which events may be spaced, the declared one first
    notes : a fault is kept there when nothing fits
    """
    in_text = Segment("TEXT", offset(keywords, "$BEGINDATA") or 0, offset(keywords, "$ENDDATA") or 0)
    told = tuple(s for s in (header, in_text) if s.begin >= HEADER_BYTES and s.begin != _NO_OFFSET)
    usable = tuple(s for s in told if not text.begin <= s.begin < text.end)
    place = _Place(told, usable, text.end, available, tuple(spacings))
    n_events = offset(keywords, "$TOT")
    if n_events is None:
        return _count_events(place, keywords, notes)
    if n_events == 0:
        return _no_events(place, notes)
    if not told:
        notes.fault("neither HEADER nor TEXT says where DATA begin", "an offset in the HEADER or in $BEGINDATA")
        return _NOWHERE
    return _fit(place, n_events, notes) or _outvote(place, n_events, notes) or _refuse(place, n_events, notes)


def _count_events(place: _Place, keywords: Mapping[str, str], notes: Notes) -> Located:
    inside = [s for s in place.usable if s.begin < s.end < place.available + 1]
    counts = {(spacing.holds(s), s.begin, spacing) for spacing in place.spacings for s in inside if spacing.holds(s)}
    counts = {(n, begin, spacing) for n, begin, spacing in counts if begin + spacing.filled(n) <= place.available}
    declared = {count for count in counts if count[2] is place.spacings[0]}
    if len(counts) != 1 and len(declared) != 1:
        row = -(-place.spacings[0].row_bits // 8)
        found = f"$TOT is '{keywords['$TOT']}'" if "$TOT" in keywords else "$TOT is absent"
        notes.fault(f"{found} and the DATA offsets do not hold a whole number of {row}-byte events", "$TOT, the number of events")
        return _NOWHERE
    n_events, begin, spacing = (declared if len(declared) == 1 else counts).pop()
    notes.issues.append("$TOT is absent; events were counted from the size of DATA")
    _note_spacing(spacing, notes)
    return Located(n_events, begin, spacing)


def _no_events(place: _Place, notes: Notes) -> Located:
    """No events, unless DATA hold some all the same."""
    spacing = place.spacings[0]
    held = [s for s in place.usable if s.begin < s.end < place.available and s.length * 8 % spacing.row_bits == 0]
    if held:
        return _outvote(place, 0, notes) or _refuse(place, 0, notes)
    return Located(0, next((s.begin for s in place.usable if s.begin <= place.available), HEADER_BYTES), spacing)


def _fit(place: _Place, n_events: int, notes: Notes) -> Located | None:
    """Offsets that the events fill, or all but a part of an event, or whose end says nothing."""
    for close in (_is_exact, _is_near, _is_endless):
        for spacing in place.spacings if close is not _is_endless else place.spacings[:1]:
            need = spacing.filled(n_events)
            inside = [s for s in place.usable if s.begin + need <= place.available]
            if any(close(segment, spacing, need, place.available) for segment in inside):
                near = [s for s in inside if _is_near(s, spacing, need, place.available) or close is _is_endless]
                if (used := _settle(near, need, place)) is None:
                    return None
                _note_offsets(place.told, used, need, notes)
                _note_spacing(spacing, notes)
                return Located(n_events, used.begin, spacing)
    return _between(place, n_events, notes)


def _between(place: _Place, n_events: int, notes: Notes) -> Located | None:
    """Events that fill what lies between TEXT and the end of the file, wherever DATA are said to end."""
    spacing = place.spacings[0]
    need = spacing.filled(n_events)
    filling = [s for s in place.usable if _evidence(s, need, place)[0] == _BOTH_SIDES]
    if not filling:
        return None
    _note_offsets(place.told, filling[0], need, notes)
    _note_spacing(spacing, notes)
    return Located(n_events, filling[0].begin, spacing)


def _settle(fitting: Sequence[Segment], need: int, place: _Place) -> Segment | None:
    """The place that has more for it, where HEADER and TEXT name two."""
    best = max(_evidence(segment, need, place) for segment in fitting)
    leading = [segment for segment in fitting if _evidence(segment, need, place) == best]
    return leading[0] if len({segment.begin for segment in leading}) == 1 else None


def _evidence(segment: Segment, need: int, place: _Place) -> tuple[int, bool]:
    """Whether events there lie right behind TEXT and up to the end of the file or its checksum; whether the length is exact."""
    behind_text = segment.begin == place.text_end + 1
    to_the_end = place.available - segment.begin - need in (0, _CHECKSUM_BYTES)
    return behind_text + to_the_end, segment.length == need


def _is_exact(segment: Segment, _spacing: Spacing, need: int, _available: int) -> bool:
    return segment.length == need


def _is_near(segment: Segment, spacing: Spacing, need: int, _available: int) -> bool:
    return segment.end >= segment.begin and abs(segment.length - need) <= spacing.slack


def _is_endless(segment: Segment, _spacing: Spacing, _need: int, available: int) -> bool:
    return segment.end <= segment.begin or segment.end >= available


def _outvote(place: _Place, n_events: int, notes: Notes) -> Located | None:
    """HEADER and TEXT agree on whole events: two witnesses against $TOT."""
    if len(place.usable) != 2 or len({(s.begin, s.end) for s in place.usable}) != 1:
        return None
    segment, spacing = place.usable[0], place.spacings[0]
    held = spacing.holds(segment)
    if not held or segment.begin + spacing.filled(held) > place.available:
        return None
    notes.issues.append(f"$TOT is {n_events}, while HEADER and TEXT both give DATA room for {held} events, which were read")
    return Located(held, segment.begin, spacing)


def _refuse(place: _Place, n_events: int, notes: Notes) -> Located:
    need = place.spacings[0].filled(n_events)
    row = -(-place.spacings[0].row_bits // 8)
    told = " and ".join(f"{s.source} puts DATA at bytes {s.begin} to {s.end}" for s in place.told)
    found = f"{told}, while $TOT = {n_events} events of {row} bytes need {need} bytes and the file has {place.available}"
    notes.fault(found, "offsets that $TOT events fill", "Copy or export the file again; it may be cut short")
    return _NOWHERE


def _note_offsets(told: Sequence[Segment], used: Segment, need: int, notes: Notes) -> None:
    for segment in told:
        if segment.begin != used.begin or segment.length != need:
            notes.issues.append(
                f"{segment.source} puts DATA at bytes {segment.begin} to {segment.end}; "
                f"$TOT events fill {used.begin} to {used.begin + need - 1}, which was read"
            )


def _note_spacing(spacing: Spacing, notes: Notes) -> None:
    if spacing.issue:
        notes.issues.append(spacing.issue)
