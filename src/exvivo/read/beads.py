"""The table that names bead files and the known values of their populations: ``file,channel,values``, one row per channel."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from exvivo.errors import InputError, fault, unknown
from exvivo.formats.delimited import parse_number, parse_table
from exvivo.study.cytometry import BeadSet

_COLUMNS = ("file", "channel", "values")
_LEAST = 3

Values = tuple[float | None, ...]


def read_beads(path: Path) -> tuple[BeadSet, ...]:
    """Bead files with the values of their channels, in the order of the table.

    ``file`` is relative to the table; ``values`` are separated by semicolons from the dimmest to the brightest population,
    and a population whose value is unknown is left empty between them.

    Raises
    ------
    InputError : everything in the table that cannot be understood
    """
    if not path.is_file():
        raise InputError(fault(str(path), "there is no such file", "a table file,channel,values", "Check the path"))
    table = parse_table(path.read_bytes(), path.name)
    if missing := [name for name in _COLUMNS if name not in table.header]:
        raise InputError([fault(path.name, unknown("column", name, table.header)) for name in missing])
    if not table.rows:
        raise InputError(fault(path.name, "there is no row below the column names", "one row for each channel", "Write them"))
    faults: list[str] = []
    sets: dict[str, dict[str, Values]] = {}
    places: dict[str, str] = {}
    for line, row in zip(table.lines, table.rows, strict=True):
        place, cells = f"{path.name}, line {line}", dict(zip(table.header, (cell.strip() for cell in row), strict=True))
        file, channel = cells["file"], cells["channel"]
        if not (path.parent / file).is_file():
            faults.append(fault(place, f"there is no file '{file}'", "an FCS file, relative to this table", "Check the name"))
        if channel in places or not channel:
            found = f"channel '{channel}' stands twice, first at {places[channel]}" if channel else "a row without channel"
            faults.append(fault(place, found, "one row for each channel"))
        places.setdefault(channel, place)
        values = _values(place, cells["values"], faults)
        first = next(iter(sets.setdefault(file, {}).values()), values)
        if values and len(values) != len(first):
            found = f"{len(values)} values, and another channel of '{file}' has {len(first)}"
            faults.append(fault(place, found, "one value or empty place for each population", "Leave unknown ones empty: 0;;1700;4800"))
        sets[file][channel] = values
    if faults:
        raise InputError(faults)
    return tuple(_bead_set(path, file, values) for file, values in sets.items())


def _bead_set(path: Path, file: str, values: Mapping[str, Values]) -> BeadSet:
    return BeadSet(file, path.parent / file, values)


def _values(place: str, text: str, faults: list[str]) -> Values:
    """Values of one channel; what cannot be is a fault."""
    try:
        values = tuple(parse_number(part.strip(), ".") if part.strip() else None for part in text.split(";"))
    except ValueError as error:
        faults.append(fault(place, str(error), "numbers with a decimal point, separated by semicolons"))
        return ()
    known = [value for value in values if value is not None]
    if len(known) < _LEAST:
        faults.append(fault(place, f"{len(known)} known values in '{text}'", f"{_LEAST} or more, separated by semicolons"))
    elif known[0] < 0 or any(b <= a for a, b in pairwise(known)):
        faults.append(fault(place, f"values '{text}' do not rise from 0 or more", "the dimmest population first", "Sort them"))
    return values
