"""Revvity Kaleido text exports of endpoint reads: bytes -> plates as printed; and back.

In flow the bytes of a ``.csv`` export; out flows an :class:`ExportRecord`. Each block stands under
``Results for <measurement>`` and the plate's barcode: Kaleido 2 prints ``Barcode: V7,PlateRepeat: 1``,
Kaleido 3 a line of names and one of values. The wavelength stands far below, under the measurement's
name (``Tech`` in Kaleido 2, ``Operation`` in 3): of light that is emitted the emission, else the
excitation. Luminescence and fluorescence are read where the file holds no absorbance. Images and
what was computed from them, and the blocks below ``Platemap``, hold no readings.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from exvivo.errors import InputError, fault
from exvivo.formats.blocks import block_faults, block_readings, block_rows, data_sets, labelled_blocks, short_rows
from exvivo.formats.delimited import compose_rows, decide_decimal, decode_text, sniff_delimiter, split_rows
from exvivo.formats.grid import Area, Grid
from exvivo.formats.workbook import cell_text
from exvivo.study.design import ExportRecord, PlateRecord, SignalKind, WellReading

FORMAT = "kaleido"
_RESULTS = re.compile(r"Results? for\s+(?P<name>.+?)\s*")
_BARCODE = re.compile(r"Barcode:\s*(?P<barcode>.*?)\s*")
_TABLE = re.compile(r'^"?Barcode"?[,;\t]"?Repeat', re.MULTILINE)
_REPEAT = re.compile(r"(Plate|Well)Repeat:\s*(\d+)\s*")
_ANALYSIS = re.compile(r"Analysis ?Parameter:\s*(.+?)\s*")
_WAVELENGTH = re.compile(r"(?:(?P<emission>Emission)|Excitation|Measurement)? ?wavelength \[nm\]", re.IGNORECASE)
_ABSORBANCE = re.compile(r"ABS.*", re.IGNORECASE)
_LIGHT = re.compile(r".*(?:lum|fluor|alpha|TRF|HTRF|\bFI\b).*", re.IGNORECASE)
_REPEATS = ("Repeat", "Loop no", "Well scan x", "Well scan y")


@dataclass(frozen=True, slots=True)
class _Measurement:
    """Wavelengths that the file states for a measurement."""

    excitation: int | None = None
    emission: int | None = None


@dataclass(frozen=True, slots=True)
class _Block:
    """One block of wells and what stands above it."""

    grid: Grid
    name: str
    barcode: str
    repeat: bool
    analysis: str
    stated: _Measurement

    def place(self) -> str:
        """Line of the column numbers."""
        return self.grid.area.origin(self.grid.top - 1, 0)


def recognises(data: bytes) -> bool:
    """Whether a text has a line of results, and a line with barcode and repeats in the form of Kaleido 2 or 3."""
    try:
        text = decode_text(data, "file").text
    except InputError:
        return False
    results = re.search(r'^"?Results? for\s', text, re.MULTILINE)
    return bool(results and (re.search(r"^Barcode:.*PlateRepeat:", text, re.MULTILINE) or _TABLE.search(text)))


def parse(data: bytes, where: str) -> ExportRecord:
    """Plates of a Kaleido export, in the order in which they are first printed.

    Raises
    ------
    InputError : all at once: no readings, repeats of a plate or of its wells, a block cut off, unknown words, two decimal marks
    """
    decoded = decode_text(data, where)
    rows = split_rows(decoded.text, sniff_delimiter(decoded.text), where)
    area = Area(None, tuple(row.cells for row in rows), tuple(row.line for row in rows))
    measurements = _measurements(area)
    blocks = [_heading(grid) for grid in _result_blocks(area)]
    read = _choose(blocks, measurements)
    faults = list(_faults(area, blocks, read, where))
    if faults:
        raise InputError(faults)
    decimal = decide_decimal((cell_text(cell).strip() for block in read for _, cell, _ in block.grid.cells()), where)
    plates: dict[str, list[WellReading]] = {}
    widths: dict[str, int] = {}
    for block in read:
        nm = _nm(block, measurements)
        plates.setdefault(block.barcode, []).extend(block_readings(block.grid, nm, SignalKind.RAW, decimal))
        widths[block.barcode] = max(widths.get(block.barcode, 0), block.grid.n_columns)
    records = tuple(
        PlateRecord(barcode or None, at, *((8, 12) if widths[barcode] <= 12 else (16, 24)), tuple(readings))
        for at, (barcode, readings) in enumerate(plates.items(), 1)
    )
    return ExportRecord(FORMAT, records, (*decoded.notes, *_notes(area, blocks, read, measurements)))


def _choose(blocks: Sequence[_Block], measurements: Mapping[str, _Measurement]) -> list[_Block]:
    """Blocks of absorbance, or those of emitted light where there is none."""
    raw = [block for block in blocks if not block.analysis]
    stated = {block.name: measurements.get(block.name, _Measurement()) for block in raw}
    absorbed = [
        block for block in raw if _ABSORBANCE.match(block.name) or (stated[block.name].excitation and not stated[block.name].emission)
    ]
    light = [block for block in raw if _LIGHT.fullmatch(block.name) or stated[block.name].emission]
    return [block for block in absorbed if block not in light] or light


def _nm(block: _Block, measurements: Mapping[str, _Measurement]) -> int | None:
    """Wavelength of a block: its own, else that of its measurement."""
    stated = measurements.get(block.name, _Measurement())
    emitted = block.stated.emission or stated.emission
    excited = block.stated.excitation or stated.excitation
    return emitted or (None if re.match(r"lum", block.name, re.IGNORECASE) else excited)


def _result_blocks(area: Area) -> list[Grid]:
    """Blocks above the map of the plate."""
    end = next((row for row in range(len(area.rows)) if area.text(row, 0) == "Platemap"), len(area.rows))
    return [grid for grid in labelled_blocks(area) if grid.top < end]


def _heading(grid: Grid) -> _Block:
    """Block with what the lines above it, up to its ``Results for``, say of it."""
    barcode, repeat, analysis, stated = "", False, "", _Measurement()
    for row in range(grid.top - 2, -1, -1):
        texts = [grid.area.text(row, column) for column in range(len(grid.area.rows[row]))]
        if texts[:1] == ["Barcode"]:
            cells = {name: grid.area.text(row + 1, column) for column, name in enumerate(texts) if name}
            barcode, analysis = cells["Barcode"], cells.get("Analysis Parameter", "")
            repeat = any(cells.get(name, "") not in {"", "0", "1"} for name in _REPEATS)
            stated = _Measurement(_printed_nm(cells.get("Exc wl / filter", "")), _printed_nm(cells.get("Ems wl", "")))
        for text in texts:
            found, again, parameter = _BARCODE.fullmatch(text), _REPEAT.fullmatch(text), _ANALYSIS.fullmatch(text)
            barcode = found["barcode"] if found else barcode
            repeat = repeat or bool(again and again[2] != "1")
            analysis = parameter[1] if parameter else analysis
        results = _RESULTS.fullmatch(texts[0]) if texts else None
        if results:
            return _Block(grid, " ".join(results["name"].split()), barcode, repeat, analysis, stated)
    return _Block(grid, "", barcode, repeat, analysis, stated)


def _printed_nm(text: str) -> int | None:
    """Wavelength that a cell holds."""
    match = re.fullmatch(r"(\d{3,4})(?:\.0*)?(?:\s*nm)?", text)
    return int(match[1]) if match else None


def _measurements(area: Area) -> dict[str, _Measurement]:
    """Wavelengths of each measurement, by its name."""
    found: dict[str, _Measurement] = {}
    name = ""
    for row in range(len(area.rows)):
        first = area.text(row, 0)
        value = next((text for column in range(1, len(area.rows[row])) if (text := area.text(row, column))), "")
        nm = _printed_nm(value)
        stated = _WAVELENGTH.fullmatch(first)
        if first in {"Tech", "Operation"}:
            name = " ".join(value.split())
        elif name and stated and nm:
            known = found.get(name, _Measurement())
            found[name] = _Measurement(known.excitation, nm) if stated["emission"] else _Measurement(nm, known.emission)
    return found


def _faults(area: Area, blocks: Sequence[_Block], read: Sequence[_Block], where: str) -> Iterator[str]:
    """What is wrong with the file."""
    if not read:
        names = ", ".join(f"'{block.name}'" for block in blocks) or "none"
        yield fault(where, f"no block of readings; results: {names}", "results of an endpoint measurement", "Export the measurement")
    seen: set[tuple[str, str, _Measurement]] = set()
    for block in read:
        key = (block.name, block.barcode, block.stated)
        if block.repeat or key in seen:
            expected = "one endpoint reading of each well"
            yield fault(f"{where}, {block.place()}", f"'{block.name}' was read repeatedly", expected, "Export each repeat on its own")
        seen.add(key)
        yield from block_faults(block.grid, where)
        for row, message in short_rows(block.grid):
            yield fault(f"{where}, {area.origin(row, 0)}", message, "a full row", "Export again")


def _notes(area: Area, blocks: Sequence[_Block], read: Sequence[_Block], measurements: Mapping[str, _Measurement]) -> Iterator[str]:
    """What was not read, and measurements whose wavelength is not stated."""
    for block in blocks:
        if block not in read:
            yield f"{block.place()}: results of '{block.name}' not read: they are no {_kind(read)}"
        elif _nm(block, measurements) is None and not re.match(r"lum", block.name, re.IGNORECASE):
            yield f"{block.place()}: the file does not say the wavelength of '{block.name}'"
    known = {block.grid.top for block in blocks}
    for grid in labelled_blocks(area):
        if grid.top not in known and any(cell_text(cell).strip() not in {"", "-"} for _, cell, _ in grid.cells()):
            yield f"{area.origin(grid.top - 1, 0)}: the platemap was not read: give the map of the plate as a file"


def _kind(read: Sequence[_Block]) -> str:
    """What the blocks that are read hold."""
    return "light that was counted" if any(_LIGHT.fullmatch(block.name) for block in read) else "absorbance"


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
