"""Revvity Kaleido text exports of endpoint absorbance: bytes -> plates as printed; and back.

In flow the bytes of a ``.csv`` export; out flows an :class:`ExportRecord`. Each block stands under
``Results for <measurement>`` and a line with the plate's barcode. Its wavelength stands far below,
in the list ``Measurements:``, under the measurement's name (``Tech``). Blocks below ``Platemap``
hold no readings: undefined wells are dashes there, anything else is noted and not read.
"""

import re
from collections.abc import Iterator

from exvivo.errors import InputError, fault
from exvivo.formats.blocks import block_faults, block_readings, block_rows, data_sets, labelled_blocks, short_rows
from exvivo.formats.delimited import compose_rows, decide_decimal, decode_text, sniff_delimiter, split_rows
from exvivo.formats.grid import Area, Grid
from exvivo.formats.workbook import cell_text
from exvivo.study.design import ExportRecord, PlateRecord, SignalKind, WellReading

FORMAT = "kaleido"
_RESULTS = re.compile(r"Results for\s+(?P<name>.+?)\s*")
_BARCODE = re.compile(r"Barcode:\s*(?P<barcode>.*?)\s*")
_REPEAT = re.compile(r"(Plate|Well)Repeat:\s*(\d+)\s*")
_WAVELENGTH = re.compile(r"(?:Excitation|Measurement)? ?wavelength \[nm\]", re.IGNORECASE)


def recognises(data: bytes) -> bool:
    """Whether a text has a line of results followed by a line with barcode and repeats."""
    try:
        text = decode_text(data, "file").text
    except InputError:
        return False
    results = any(_RESULTS.match(line) for line in text.splitlines())
    return results and re.search(r"^Barcode:.*PlateRepeat:", text, re.MULTILINE) is not None


def parse(data: bytes, where: str) -> ExportRecord:
    """Plates of a Kaleido export, in the order in which they are first printed.

    Raises
    ------
    InputError : all at once: no absorbance, repeats of a plate or of its wells, a block cut off, unknown words, two decimal marks
    """
    decoded = decode_text(data, where)
    rows = split_rows(decoded.text, sniff_delimiter(decoded.text), where)
    area = Area(None, tuple(row.cells for row in rows), tuple(row.line for row in rows))
    wavelengths = _wavelengths(area)
    blocks = [(grid, *_heading(grid)) for grid in _result_blocks(area)]
    read = [(grid, name, barcode) for grid, name, barcode, _ in blocks if name in wavelengths or name.upper().startswith("ABS")]
    faults = list(_faults(area, blocks, read, where))
    if faults:
        raise InputError(faults)
    decimal = decide_decimal((cell_text(cell).strip() for grid, *_ in read for _, cell, _ in grid.cells()), where)
    plates: dict[str, list[WellReading]] = {}
    widths: dict[str, int] = {}
    for grid, name, barcode in read:
        plates.setdefault(barcode, []).extend(block_readings(grid, wavelengths.get(name), SignalKind.RAW, decimal))
        widths[barcode] = max(widths.get(barcode, 0), grid.n_columns)
    records = tuple(
        PlateRecord(barcode or None, at, *((8, 12) if widths[barcode] <= 12 else (16, 24)), tuple(readings))
        for at, (barcode, readings) in enumerate(plates.items(), 1)
    )
    return ExportRecord(FORMAT, records, (*decoded.notes, *_notes(area, blocks, read, wavelengths)))


_Block = tuple[Grid, str, str, bool]
_Read = tuple[Grid, str, str]


def _result_blocks(area: Area) -> list[Grid]:
    """Blocks above the map of the plate."""
    end = next((row for row in range(len(area.rows)) if area.text(row, 0) == "Platemap"), len(area.rows))
    return [grid for grid in labelled_blocks(area) if grid.top < end]


def _heading(grid: Grid) -> tuple[str, str, bool]:
    """Name of the measurement, barcode, and whether it is a repeat, from the lines above a block up to its ``Results for``."""
    barcode, repeat = "", False
    for row in range(grid.top - 2, -1, -1):
        texts = [grid.area.text(row, column) for column in range(len(grid.area.rows[row]))]
        for text in texts:
            found, again = _BARCODE.fullmatch(text), _REPEAT.fullmatch(text)
            barcode = found["barcode"] if found else barcode
            repeat = repeat or bool(again and again[2] != "1")
        results = _RESULTS.fullmatch(texts[0]) if texts else None
        if results:
            return " ".join(results["name"].split()), barcode, repeat
    return "", barcode, repeat


def _wavelengths(area: Area) -> dict[str, int]:
    """Wavelength of each absorbance measurement, by its name; one with an emission is fluorescence and left out."""
    found: dict[str, int] = {}
    emitting: set[str] = set()
    name = ""
    for row in range(len(area.rows)):
        first, rest = area.text(row, 0), [area.text(row, column) for column in range(1, len(area.rows[row]))]
        value = next((text for text in rest if text), "")
        if first == "Tech":
            name = " ".join(value.split())
        elif name and _WAVELENGTH.fullmatch(first) and re.fullmatch(r"\d{3,4}", value):
            found[name] = int(value)
        elif name and first.lower().startswith("emission") and value:
            emitting.add(name)
    return {name: nm for name, nm in found.items() if name not in emitting}


def _faults(area: Area, blocks: list[_Block], read: list[_Read], where: str) -> Iterator[str]:
    """What is wrong with the file."""
    if not read:
        names = ", ".join(f"'{name}'" for _, name, _, _ in blocks) or "none"
        yield fault(where, f"no block of absorbance; results: {names}", "results of an absorbance measurement", "Export the absorbance")
    kept = {id(grid) for grid, *_ in read}
    for grid, name, _, repeat in blocks:
        place = f"{where}, {area.origin(grid.top - 1, 0)}"
        if id(grid) not in kept:
            continue
        if repeat:
            yield fault(place, f"'{name}' was read repeatedly", "one endpoint reading of each well", "Export each repeat on its own")
        yield from block_faults(grid, where)
        for row, message in short_rows(grid):
            yield fault(f"{where}, {area.origin(row, 0)}", message, "a full row", "Export again")


def _notes(area: Area, blocks: list[_Block], read: list[_Read], wavelengths: dict[str, int]) -> Iterator[str]:
    """What was not read, and measurements whose wavelength is not stated."""
    kept = {id(grid) for grid, *_ in read}
    for grid, name, _, _ in blocks:
        if id(grid) not in kept:
            yield f"{area.origin(grid.top - 1, 0)}: results of '{name}' not read: they are no absorbance"
        elif name not in wavelengths:
            yield f"{area.origin(grid.top - 1, 0)}: the file does not say the wavelength of '{name}'"
    known = {grid.top for grid, *_ in blocks}
    for grid in labelled_blocks(area):
        if grid.top not in known and any(cell_text(cell).strip() not in {"", "-"} for _, cell, _ in grid.cells()):
            yield f"{area.origin(grid.top - 1, 0)}: the platemap was not read: give the map of the plate as a file"


def compose(record: ExportRecord, delimiter: str = ",") -> bytes:
    """UTF-8 text of the raw readings, barcodes and wavelengths.

    Raises
    ------
    ValueError : raw readings without a wavelength, none, or plates without a barcode of their own
    """
    names = [plate.name or "" for plate in record.plates]
    if len(set(names)) < len(names):
        raise ValueError("Kaleido tells plates by their barcodes: each needs its own")
    rows: list[list[str]] = []
    wavelengths: dict[int, None] = {}
    for plate in record.plates:
        sets = {nm: cells for (nm, kind), cells in data_sets(plate).items() if kind is SignalKind.RAW}
        if not sets or None in sets:
            raise ValueError("a Kaleido plate needs raw readings, all with a wavelength")
        for nm, cells in sets.items():
            wavelengths.setdefault(nm or 0)
            rows += [
                [f"Results for\u00a0ABS {nm}"],
                [""],
                [f"Barcode:\u00a0{plate.name or ''}", "PlateRepeat:\u00a01", "WellRepeat:\u00a01"],
            ]
            rows += [*block_rows(plate, cells), [""]]
    rows += [["Measurements:"], [""]]
    for nm in wavelengths:
        rows += [["Tech", "", "", "", f"ABS {nm}"], ["Excitation wavelength [nm]", "", "", "", str(nm)], [""]]
    return compose_rows(rows, delimiter).encode()
