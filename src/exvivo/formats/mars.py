"""BMG Labtech MARS text exports of endpoint reads: bytes -> plates as printed; and back.

In flow the bytes of a ``.CSV`` export; out flows an :class:`ExportRecord`. A plate begins with
``User:``; ``ID1:`` is its name; a line of one word says how it was read. Above each block stands
what it holds: ``Raw Data (450)`` or ``Raw Data (450 1)`` raw absorbance, ``Raw Data (580/620)`` light
at 620 nm (excitation, emission), ``Raw Data (No filter)`` luminescence, ``Blank corrected based on Raw
Data (450)`` a reduced signal. MARS leaves out the separators after the last well of a line, so
that a short line is a line with empty wells, unless the file ends in it.
"""

import re
from collections.abc import Iterator, Sequence

from exvivo.errors import InputError, fault
from exvivo.formats.blocks import block_faults, block_readings, block_rows, data_sets, labelled_blocks, short_rows, title_above
from exvivo.formats.delimited import compose_rows, decide_decimal, decode_text, sniff_delimiter, split_rows
from exvivo.formats.grid import Area, Grid
from exvivo.formats.workbook import cell_text
from exvivo.study.design import ExportRecord, PlateRecord, SignalKind

FORMAT = "mars"
_BEGIN = re.compile(r"\"?User: .*Test run no\.?:")
_TITLE = re.compile(r"(?:\d+\.\s*)?(?P<reduced>Blank corrected.*?)?Raw Data\s*\((?P<what>[^()]*)\)+", re.IGNORECASE)
_WHAT = re.compile(
    r"(?P<pair>\d{3,4}(?:\.\d+)?(?:-\d{1,3})?\s*/\s*)?(?P<nm>\d{3,4})(?:\.\d+)?(?P<band>-\d{1,2})?(?:\s*nm)?(?:\s+\d{1,2})?"
    r"|(?P<ex>\d{3,4}) (?P<em>\d{3,4})|(?P<none>No filter|Empty|Lens|Full light)(?:\s+\d{1,2})?",
    re.IGNORECASE,
)
_MODE = re.compile(r"(Absorbance|Fluorescence|Luminescence|Alpha|Nephelometry|Time resolved)\b.*", re.IGNORECASE)
_NO_ENDPOINT = re.compile(r".*(?:spectrum|scan|kinetic|polari[sz]ation|nephelometry).*", re.IGNORECASE)
_ID = re.compile(r"ID([123]):\s*(.*)")


def recognises(data: bytes) -> bool:
    """Whether a line of a text names a BMG user and a test run."""
    try:
        text = decode_text(data, "file").text
    except InputError:
        return False
    return any(_BEGIN.match(line) for line in text.splitlines())


def parse(data: bytes, where: str) -> ExportRecord:
    """Plates of a MARS export.

    Raises
    ------
    InputError : all at once: no raw readings, a spectrum or kinetics, wells read twice, a block cut off, unknown words, two decimal marks
    """
    decoded = decode_text(data, where)
    rows = split_rows(decoded.text, sniff_delimiter(decoded.text), where)
    whole = Area(None, tuple(row.cells for row in rows), tuple(row.line for row in rows))
    areas = list(_split_plates(whole))
    cut = None if decoded.text.endswith(("\n", "\r")) else len(rows)
    faults = [message for area in areas for message in _faults(area, where, cut)]
    if faults:
        raise InputError(faults)
    cells = (cell_text(cell).strip() for area in areas for _, grid, _, _ in _read_blocks(area) for _, cell, _ in grid.cells())
    decimal = decide_decimal(cells, where)
    return ExportRecord(FORMAT, tuple(_plate(area, at, decimal) for at, area in enumerate(areas, 1)), decoded.notes)


def _split_plates(whole: Area) -> Iterator[Area]:
    """Lines of each plate."""
    starts = [at for at in range(len(whole.rows)) if whole.text(at, 0).startswith("User:")] or [0]
    for begin, end in zip(starts, [*starts[1:], len(whole.rows)], strict=True):
        yield Area(None, whole.rows[begin:end], whole.lines[begin:end])


def _read_blocks(area: Area) -> Iterator[tuple[str, Grid, int | None, SignalKind]]:
    """Blocks whose title is understood, with wavelength and kind."""
    absorbance = any(area.text(row, 0).lower().startswith("absorbance") for row in range(len(area.rows)))
    for grid in labelled_blocks(area):
        _, title = title_above(grid)
        match = _TITLE.fullmatch(title)
        what = _WHAT.fullmatch(match["what"].strip()) if match else None
        if match and what and not (absorbance and (what["em"] or what["pair"])):
            nm = what["nm"] or what["em"]
            if nm is None or 190 <= int(nm) <= 1100:
                yield title, grid, int(nm) if nm else None, SignalKind.REDUCED if match["reduced"] else SignalKind.RAW


def _faults(area: Area, where: str, cut: int | None) -> Iterator[str]:
    """What is wrong with one plate; ``cut`` is the last line of a file that ends without a line end."""
    place = f"{where}, {area.origin(0, 0)}"
    modes = [match[0] for row in range(len(area.rows)) if (match := _MODE.fullmatch(area.text(row, 0)))]
    for mode in modes:
        if _NO_ENDPOINT.fullmatch(mode):
            yield fault(place, f"the plate was read as {mode}", "an endpoint read", "Export the endpoint, or leave this file out")
    blocks = list(_read_blocks(area))
    if not any(kind is SignalKind.RAW for *_, kind in blocks):
        titles = ", ".join(f"'{title_above(grid)[1]}'" for grid in labelled_blocks(area)) or "none"
        yield fault(place, f"no block of raw readings; blocks: {titles}", "a block headed 'Raw Data (450)'", "Export the raw data")
    seen: set[tuple[int | None, SignalKind]] = set()
    for title, grid, nm, kind in blocks:
        if (nm, kind) in seen:
            expected = "one endpoint reading of each well"
            yield fault(f"{where}, {area.origin(grid.top - 1, 0)}", f"'{title}' stands again", expected, "Export each read on its own")
        seen.add((nm, kind))
        yield from block_faults(grid, where)
        for row, message in short_rows(grid):
            if area.lines[row] == cut:
                yield fault(f"{where}, {area.origin(row, 0)}", f"{message} and so does the file", "a full row", "Export again")


def _plate(area: Area, position: int, decimal: str) -> PlateRecord:
    """One plate that has no faults."""
    blocks = list(_read_blocks(area))
    readings = tuple(one for _, grid, nm, kind in blocks for one in block_readings(grid, nm, kind, decimal))
    ids = [(row, match) for row in range(len(area.rows)) for cell in area.rows[row] if (match := _ID.match(cell_text(cell).strip()))]
    name = next((match[2].strip() for _, match in ids if match[1] == "1"), "") or None
    notes = [f"{area.origin(row, 0)}: {match[0].strip()}" for row, match in ids if match[1] != "1" and match[2].strip()]
    notes += [
        f"{area.origin(row, 0)}: {message}: the rest was read as empty" for _, grid, _, _ in blocks for row, message in short_rows(grid)
    ]
    notes += _unread(area, [grid for _, grid, _, _ in blocks])
    width = max(grid.n_columns for _, grid, _, _ in blocks)
    return PlateRecord(name, position, *((8, 12) if width <= 12 else (16, 24)), readings, notes=tuple(notes))


def _unread(area: Area, known: Sequence[Grid]) -> Iterator[str]:
    """A note for each block whose title is not understood."""
    for grid in labelled_blocks(area):
        if all(grid.top != other.top for other in known):
            yield f"{area.origin(grid.top - 1, 0)}: block '{title_above(grid)[1]}' not read: neither raw nor blank-corrected readings"


def compose(record: ExportRecord, delimiter: str = ",") -> bytes:
    """UTF-8 text of all readings and the names of the plates.

    Raises
    ------
    ValueError : readings without a wavelength, or no raw ones
    """
    return compose_rows([row for plate in record.plates for row in _plate_rows(plate)], delimiter).encode()


def _plate_rows(plate: PlateRecord) -> Iterator[list[str]]:
    """Rows of one plate."""
    sets = data_sets(plate)
    if not any(kind is SignalKind.RAW for _, kind in sets) or any(nm is None for nm, _ in sets):
        raise ValueError("a MARS plate needs raw readings, and wavelengths for all")
    yield from (["User: USER", "Path: C:\\Data", "Test run no.: 1"], ["Test name: ELISA"], [""])
    yield from ([f"ID1: {plate.name or ''}", ""], ["Absorbance"], [""])
    for (nm, kind), cells in sets.items():
        yield [f"Raw Data ({nm})" if kind is SignalKind.RAW else f"Blank corrected based on Raw Data ({nm})"]
        yield [""]
        yield from block_rows(plate, cells)
        yield [""]
