"""Spillover in FCS files: $SPILLOVER and its forerunners, with names, by number, or as percentages one by one."""

import re
from collections.abc import Mapping, Sequence

from exvivo.formats.fcstext import Notes, number, word
from exvivo.study.design import Channel, SpilloverMatrix

_KEYS = ("$SPILLOVER", "SPILLOVER", "$SPILL", "SPILL", "$COMP", "COMP")
_PERCENTAGE = re.compile(r"\$DFC([1-9]\d{0,3})TO([1-9]\d{0,3})", re.ASCII)
_NOT_FLUORESCENT = re.compile(r"(?:FSC?|SSC?|FALS|SALS|LALS|TIME|WIDTH|TOF|PMTX)(?![A-Z0-9]).*", re.ASCII)

_NUMBERED = re.compile(r"FL([1-9]\d?)(?!\d)", re.ASCII)

Row = tuple[float, ...]


def spillover_of(keywords: Mapping[str, str], channels: Sequence[Channel], notes: Notes) -> SpilloverMatrix | None:
    """First matrix that can be understood; one that cannot is an issue, and without any, using it fails with a word."""
    written = [key for key in _KEYS if word(keywords, key)]
    if not written:
        return _percentages(keywords, channels, notes)
    known = [channel.name for channel in channels]
    understood = [(key, matrix) for key in written if (matrix := _matrix(key, keywords, known, notes)) is not None]
    if other := [key for key, matrix in understood if matrix != understood[0][1]]:
        notes.issues.append(f"{', '.join(other)} differs from {understood[0][0]}, which is used")
    return understood[0][1] if understood else None


def _matrix(key: str, keywords: Mapping[str, str], known: Sequence[str], notes: Notes) -> SpilloverMatrix | None:
    items = [item.strip() for item in re.split(r"[,\t]", keywords[key])]
    size = int(items[0]) if re.fullmatch(r"[1-9]\d{0,3}", items[0], re.ASCII) else 0
    numbers = [number(item) for item in items[-size * size :]] if size and len(items) > size * size else []
    values = [value for value in numbers if value is not None]
    names = _rejoined(items[1 : len(items) - size * size], size, known)
    if size and len(values) == size * size and not names and len(items) == 1 + size * size:
        return _nameless(key, values, known, notes)
    if size < 1 or len(values) != size * size or len(set(names)) != size:
        notes.issues.append(f"{key} is not a square matrix with named channels; it is not used")
        return None
    return _named(key, names, _rows(values, size), known, notes)


def _rejoined(items: Sequence[str], size: int, known: Sequence[str]) -> list[str]:
    """Names of channels; a name that holds a comma was cut into items and is put together again."""
    if len(items) <= size:
        return list(items)
    names: list[str] = []
    current: list[str] = []
    for item in items:
        current.append(item)
        whole = next((name for name in (",".join(current), ", ".join(current)) if name in known), None)
        if whole is not None:
            names.append(whole)
            current = []
    return [] if current else names


def _named(key: str, names: list[str], rows: tuple[Row, ...], known: Sequence[str], notes: Notes) -> SpilloverMatrix | None:
    if not set(names) <= set(known) and all(_is_place(name, len(known)) for name in names):
        notes.issues.append(f"{key} names channels by number")
        names = [known[int(name) - 1] for name in names]
    if unknown := [name for name in names if name not in known]:
        notes.issues.append(f"{key} names channels that the file does not have: {', '.join(unknown)}")
    if len(set(names)) != len(names):
        notes.issues.append(f"{key} names a channel twice; it is not used")
        return None
    return SpilloverMatrix(tuple(names), tuple(names), rows)


def _is_place(name: str, count: int) -> bool:
    return re.fullmatch(r"[1-9]\d{0,4}", name, re.ASCII) is not None and int(name) <= count


def _nameless(key: str, values: Sequence[float], known: Sequence[str], notes: Notes) -> SpilloverMatrix | None:
    """A matrix of FCS 3.0's $COMP: it has no names and does not say whether it is inverted, which only the identity survives."""
    size = round(len(values) ** 0.5)
    rows = _rows(values, size)
    if size == len(known) == len(set(known)) and rows == _rows([float(i == j) for i in range(size) for j in range(size)], size):
        return SpilloverMatrix(tuple(known), tuple(known), rows)
    notes.issues.append(f"{key} names no channels and does not say whether it is inverted; it is not used")
    return None


def _percentages(keywords: Mapping[str, str], channels: Sequence[Channel], notes: Notes) -> SpilloverMatrix | None:
    """$DFCiTOj of FCS 2.0: per cent of fluorescence i that is seen in fluorescence j."""
    found = {(int(m[1]), int(m[2])): number(value) for key, value in keywords.items() if (m := _PERCENTAGE.fullmatch(key))}
    if not found:
        return None
    names = _fluorescences(channels)
    odd = [place for place in found if place[0] == place[1] or not set(place) <= set(names)]
    stray = [place for place, value in found.items() if value is None or (value != 0 and place in odd)]
    if stray or len(set(names.values())) != len(names):
        notes.issues.append("$DFCiTOj do not fit the fluorescence channels of the file; they are not used")
        return None
    rows = tuple(tuple(1.0 if i == j else (found.get((i, j)) or 0.0) / 100 for j in names) for i in names)
    told = ", ".join(f"{i} = {name}" for i, name in names.items())
    notes.issues.append(f"$DFCiTOj are read as per cent of fluorescence i in j ({told}); whether they were applied already is not said")
    return SpilloverMatrix(tuple(names.values()), tuple(names.values()), rows)


def _fluorescences(channels: Sequence[Channel]) -> dict[int, str]:
    """Channels by their fluorescence: the number in the name, else the place among those that are neither scatter nor time."""
    names = [channel.name for channel in channels if not _NOT_FLUORESCENT.fullmatch(channel.name.upper())]
    numbered = [_NUMBERED.match(name.upper()) for name in names]
    places = [int(match[1]) for match in numbered if match is not None]
    if len(places) != len(names):
        return dict(enumerate(names, 1))
    return dict(zip(places, names, strict=True)) if len(set(places)) == len(places) else {}


def _rows(values: Sequence[float], size: int) -> tuple[Row, ...]:
    return tuple(tuple(values[size * i : size * (i + 1)]) for i in range(size))
