"""SoftMax Pro text exports of endpoint reads: bytes -> plates as printed; and back.

In flow the bytes of a ``.txt`` export (UTF-16, UTF-8 or Latin-1; tabs, or another sign where a person
chose one); out flows an :class:`ExportRecord`. A file is a list of blocks between ``Plate:``, ``Group:`` or ``Note:`` and
``~End``. PlateFormat prints the plate's shape, one panel for each wavelength; TimeFormat prints
one row of 96 numbers for each wavelength. Both may end with the reduced values (one wavelength
minus the other), which are kept apart from the raw ones. Wavelengths are taken from the label,
never from the order in which they are usual; of fluorescence it is the emission. A plate of which
some rows were read is printed in full, with empty lines for the rows that were not. Group tables
describe the layout and hold the concentrations that the software interpolated; the formulas at
their foot tell what a person entered (a nominal value or a dilution, under any name) and which
column was read off the curve well by well. They belong to the plate printed before them unless they
name one. A sample number that several groups use is told apart by the name of its group.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from exvivo.errors import InputError, fault
from exvivo.formats.delimited import decide_decimal, decimal_evidence, decode_text, is_number_like, parse_number, signal_status
from exvivo.study.design import (
    ExportRecord,
    PlateRecord,
    ReadingStatus,
    SignalKind,
    VendorWell,
    WellLayout,
    WellReading,
    WellRole,
    well_name,
    well_position,
)

FORMAT = "softmax"
_BLOCK = re.compile(r"(Plate|Group|Note|Cuvette ?Set|Cuvette|Graph):")
_LINE_END = re.compile(r"\r\n|\r|\n")
_TITLE = re.compile(r'^\ufeff?"?Plate:"?[ ]*([\t,;]).*?\1"?(?:PlateFormat|TimeFormat)"?\1', re.MULTILINE)
_UNIT = re.compile(r"(?:[fpnumµμ]|micro)?g/[dmuµμ]?l", re.IGNORECASE)
_SIZES = {"96": (8, 12), "384": (16, 24), "6": (8, 12), "12": (8, 12), "24": (8, 12), "48": (8, 12)}
_ROWS_AT = {"Absorbance": 19, "Luminescence": 28, "Fluorescence": 29}
_COMBINED = re.compile(r"average\s*\(|[*/]", re.IGNORECASE)
_INTERPOLATED_NAMES = {"result", "backcalcconc", "backcalc", "interpolated"}
_GROUP_ROLES = (
    (re.compile(r"stand|std|calib", re.IGNORECASE), WellRole.STANDARD),
    (re.compile(r"blank|background", re.IGNORECASE), WellRole.BLANK),
    (re.compile(r"control|qc", re.IGNORECASE), WellRole.QC),
)


_Cell = tuple[str, int | None, SignalKind, str, int]


@dataclass(frozen=True, slots=True)
class _Line:
    """One line, its cells without outer blanks, its number from 1."""

    number: int
    cells: tuple[str, ...]

    def cell(self, at: int) -> str:
        return self.cells[at] if at < len(self.cells) else ""


@dataclass(frozen=True, slots=True)
class _Block:
    """Lines of one block; the first holds its title."""

    kind: str
    lines: tuple[_Line, ...]
    closed: bool


@dataclass(frozen=True, slots=True)
class _Header:
    """What the title line of a plate states."""

    name: str | None
    layout: str
    reduced: bool
    wavelengths: tuple[int | None, ...]
    n_rows: int
    n_columns: int
    first_row: int
    size: tuple[int, int]
    line: int


@dataclass(frozen=True, slots=True)
class _Share:
    """What one group says about one plate."""

    plate: int
    group: str
    layout: tuple[WellLayout, ...]
    vendor: tuple[VendorWell, ...]


def recognises(data: bytes) -> bool:
    """Whether a file has a plate block with a SoftMax title line."""
    try:
        text = decode_text(data, "file").text
    except InputError:
        return False
    return _TITLE.search(text) is not None


def parse(data: bytes, where: str) -> ExportRecord:
    """Plates of a SoftMax Pro text export.

    Raises
    ------
    InputError : all at once: no plate, a block without ``~End``, kinetic or spectral reads, missing rows, unknown words
    """
    decoded = decode_text(data, where)
    lines = _lines(decoded.text)
    blocks = list(_split_blocks(lines))
    faults = [
        fault(f"{where}, line {block.lines[0].number}", f"the {block.kind} block has no '~End': the file is cut off", action="Export again")
        for block in blocks
        if not block.closed and block.kind in {"Plate", "Group"}
    ]
    if not any(block.kind == "Plate" for block in blocks):
        faults.append(fault(where, "no 'Plate:' block", "a text export of SoftMax Pro"))
    plates: list[PlateRecord] = []
    groups: list[tuple[_Block, int, bool]] = []
    run = 0
    for block in blocks:
        if block.kind == "Plate":
            run = run + 1 if plates and not (groups and groups[-1][1] == len(plates)) else 1
            try:
                plates.append(_parse_plate(block, len(plates) + 1, where))
            except InputError as error:
                faults.extend(error.messages)
        elif block.kind == "Group":
            groups.append((block, len(plates), run > 1))
    if faults:
        raise InputError(faults)
    notes = [*decoded.notes, *_count_note(lines, blocks)]
    shares: list[_Share] = []
    for block, before, several in groups:
        found, more = _shares_of(plates, block, before or 1, several=several if before else len(plates) > 1)
        shares += found
        notes += more
    return ExportRecord(FORMAT, tuple(_attach(plates, shares)), tuple(notes))


def _lines(text: str) -> list[_Line]:
    """Lines of the file; the delimiter is what follows ``Plate:``. Quotation marks are not obeyed: formulas hold single ones."""
    title = _TITLE.search(text)
    lines = enumerate(_LINE_END.split(text), 1)
    if title is None or title[1] == "\t":
        return [_Line(at, tuple(map(str.strip, line.split("\t")))) for at, line in lines]
    return [_Line(at, tuple(cell.strip(' "') for cell in line.split(title[1]))) for at, line in lines]


def _split_blocks(lines: Sequence[_Line]) -> Iterator[_Block]:
    """Blocks in file order; lines outside blocks are left."""
    current: list[_Line] = []
    kind = ""
    for line in lines:
        title = _BLOCK.match(line.cell(0))
        if line.cell(0).startswith("~End"):
            if current:
                yield _Block(kind, tuple(current), closed=True)
            current = []
        elif title and not (current and kind == "Note"):
            if current:
                yield _Block(kind, tuple(current), closed=False)
            current, kind = [line], title[1]
        elif current:
            current.append(line)
    if current:
        yield _Block(kind, tuple(current), closed=False)


def _count_note(lines: Sequence[_Line], blocks: Sequence[_Block]) -> Iterator[str]:
    """A note when the file announces another number of blocks than it holds."""
    match = next((found for line in lines if (found := re.match(r"##BLOCKS\s*=\s*(\d+)", line.cell(0)))), None)
    if match and int(match[1]) != len(blocks):
        yield f"the file announces {match[1]} blocks and holds {len(blocks)}: parts were removed after the export"


def _parse_plate(block: _Block, position: int, where: str) -> PlateRecord:
    """One plate block."""
    header = _parse_header(block.lines[0], where)
    sections = list(_sections(block.lines[1:], header))
    read = _plate_section if header.layout == "PlateFormat" else _time_section
    cells: list[_Cell] = []
    faults: list[str] = []
    for section in sections:
        reduced = header.reduced or not section[0].cell(1)
        found, messages = read(section, header, reduced=reduced)
        cells.extend(found)
        faults.extend(fault(f"{where}, line {section[0].number}", message, action="Export the plate again") for message in messages)
    if not sections:
        faults.append(fault(f"{where}, line {header.line}", "the plate holds no readings", "a header row of column numbers or wells"))
    states = [signal_status(text) for *_, text, _ in cells]
    faults += [
        fault(f"{where}, line {line}", f"well {well}: '{text}' is no reading", "a number or a reader's word such as OVRFLW")
        for (well, _, _, text, line), state in zip(cells, states, strict=True)
        if state is None
    ]
    if faults:
        raise InputError(faults)
    decimals, notes = _decimals([text for *_, text, _ in cells], f"{where}, plate {position}")
    readings = tuple(_reading(cell, status or ReadingStatus.MISSED, decimals) for cell, status in zip(cells, states, strict=True))
    if len(set(header.wavelengths)) < len(header.wavelengths):
        notes.append(f"the same wavelength was read more than once: {' '.join(map(str, header.wavelengths))} nm")
    return PlateRecord(header.name, position, *header.size, readings, notes=tuple(notes))


def _parse_header(line: _Line, where: str) -> _Header:
    """Title line of a plate: fields at fixed places, which differ by what was read."""
    place, mode = f"{where}, line {line.number}", line.cell(5)
    if line.cell(3) not in {"PlateFormat", "TimeFormat"}:
        raise InputError(fault(place, f"'{line.cell(3)}' is no known plate layout", "PlateFormat or TimeFormat"))
    if line.cell(4) != "Endpoint" or mode not in _ROWS_AT:
        found = f"the plate was read as {line.cell(4)} {mode}".rstrip()
        expected = "Endpoint Absorbance, Luminescence or Fluorescence"
        raise InputError(fault(place, found, expected, "Export the endpoint read, or leave this file out"))
    shift = int(mode == "Fluorescence")
    numbers = [line.cell(at) for at in (17 + shift, _ROWS_AT[mode], _ROWS_AT[mode] + 1)]
    wavelengths = _wavelengths(line.cell(15 + shift), line.cell(14 + shift), mode)
    if not all(text.isdigit() for text in numbers) or not wavelengths:
        expected = f"wavelengths and plate size in columns {16 + shift} to {_ROWS_AT[mode] + 2}"
        raise InputError(fault(place, "the plate's title line is incomplete", expected))
    n_columns, first_row, n_rows = map(int, numbers)
    size = _SIZES.get(line.cell(18 + shift), (0, 0))
    if not (1 <= first_row <= first_row + n_rows - 1 <= size[0] and 1 <= n_columns <= size[1]):
        found = f"{n_rows} rows and {n_columns} columns of {line.cell(18 + shift)} wells"
        raise InputError(fault(place, found, "a plate of at most 384 wells"))
    reduced = line.cell(6 + shift) == "Reduced"
    return _Header(line.cell(1) or None, line.cell(3), reduced, wavelengths, n_rows, n_columns, first_row, size, line.number)


def _wavelengths(text: str, count: str, mode: str) -> tuple[int | None, ...]:
    """Wavelengths of a title line; luminescence may be read without any. Empty if the line does not state them."""
    words = text.split()
    if words and all(re.fullmatch(r"\d{3,4}(?:[.,]0+)?", word) for word in words):
        return tuple(int(word[:4].rstrip(".,")) for word in words)
    return (None,) * (int(count) if count.isdigit() else 1) if mode == "Luminescence" else ()


def _sections(lines: Sequence[_Line], header: _Header) -> Iterator[list[_Line]]:
    """Header row and data rows of each section of a plate."""
    current: list[_Line] = []
    for line in lines:
        if _is_frame(line, header):
            if current:
                yield current
            current = [line]
        elif current:
            current.append(line)
    if current:
        yield current


def _is_frame(line: _Line, header: _Header) -> bool:
    """Whether a line holds column numbers (PlateFormat) or well names (TimeFormat) from its third cell on."""
    names = [cell for cell in line.cells[2:] if cell]
    if not names or line.cell(0) or not names[0].isalnum() or is_number_like(line.cell(1)):
        return False
    if header.layout == "TimeFormat":
        return all(re.fullmatch(r"[A-P]\d{1,2}", name) for name in names)
    columns = [int(name) for name in names if re.fullmatch(r"[12]?\d", name)]
    return len(columns) == len(names) and columns[: header.n_columns] == list(
        range(columns[0], columns[0] + min(header.n_columns, len(columns)))
    )


_Found = tuple[list[_Cell], list[str]]


def _plate_section(section: Sequence[_Line], header: _Header, *, reduced: bool) -> _Found:
    """Cells of one section of PlateFormat, panel after panel."""
    panels: list[list[tuple[int, int]]] = [[]]
    for at, text in enumerate(section[0].cells[2:], 2):
        if text:
            panels[-1].append((at, int(text) - 1))
        elif panels[-1]:
            panels.append([])
    panels = [panel for panel in panels if panel]
    labels, messages = _labels(len(panels), header, reduced=reduced)
    rows = list(takewhile(lambda line: len(line.cells) > 1, section[1:]))[: header.size[0]]
    first = header.first_row - 1 if len(rows) == header.n_rows else 0
    if len(rows) not in {header.size[0], header.n_rows}:
        messages.append(f"{len(rows)} of {header.size[0]} rows")
    cells = [
        (well_name(first + row, column), nm, kind, line.cell(at), line.number)
        for (nm, kind), panel in zip(labels, panels, strict=False)
        for row, line in enumerate(rows)
        for at, column in panel
    ]
    return cells, messages


def _time_section(section: Sequence[_Line], header: _Header, *, reduced: bool) -> _Found:
    """Cells of one section of TimeFormat, row after row."""
    wells = [(at, text) for at, text in enumerate(section[0].cells) if at > 1 and text]
    rows = [line for line in section[1:] if any(line.cells)]
    labels, messages = _labels(len(rows), header, reduced=reduced)
    cells = [
        (well_name(*well_position(well)), nm, kind, line.cell(at), line.number)
        for (nm, kind), line in zip(labels, rows, strict=False)
        for at, well in wells
    ]
    return cells, messages


def _labels(count: int, header: _Header, *, reduced: bool) -> tuple[list[tuple[int | None, SignalKind]], list[str]]:
    """Wavelength and kind of each panel or row of a section."""
    if reduced:
        return [(None, SignalKind.REDUCED)] * count, [] if count else ["no row of values"]
    expected = len(header.wavelengths)
    messages = (
        [] if count == expected else [f"{count} sets of readings for {expected} wavelengths ({' '.join(map(str, header.wavelengths))} nm)"]
    )
    return [(nm, SignalKind.RAW) for nm in header.wavelengths], messages


def _decimals(texts: Sequence[str], where: str) -> tuple[str, list[str]]:
    """Decimal mark of a plate; ``.,`` when both occur but every single number can be told, which is noted."""
    proofs = {decimal_evidence(text): text for text in reversed(texts)}
    if {".", ","} <= proofs.keys() and "?" not in proofs:
        return ".,", ["decimal points and decimal commas are mixed; each number was told by itself"]
    return decide_decimal(proofs.values(), where), []


def _reading(cell: _Cell, status: ReadingStatus, decimals: str) -> WellReading:
    """One printed cell as a reading."""
    well, wavelength, kind, text, line = cell
    decimal = decimals if len(decimals) == 1 else decimal_evidence(text) or "."
    signal = parse_number(text, decimal) if status is ReadingStatus.OK else None
    return WellReading(well, wavelength, signal, status, kind, text, f"line {line}")


def _shares_of(plates: Sequence[PlateRecord], block: _Block, before: int, *, several: bool) -> tuple[list[_Share], list[str]]:
    """What a group says about each plate that it names, else about the one printed before it; notes say what could not be given."""
    title = block.lines[0]
    group = title.cell(0).removeprefix("Group:").strip() or title.cell(1)
    place = f"line {title.number}: group '{group}'"
    at = next((n for n, line in enumerate(block.lines) if {"wells", "well"} & {cell.lower() for cell in line.cells}), None)
    if at is None:
        return [], [f"{place} has no column of wells and was left out"]
    head = block.lines[at]
    rows = list(takewhile(lambda line: line.cells != ("",) and line.cell(0) != "Group Column", block.lines[at + 1 :]))
    columns = {name.lower(): n for n, name in enumerate(head.cells) if name}
    named = columns.get("wellplatename")
    if named is None and several:
        return [], [f"{place} names no plate and follows several: left out"]
    names = [plate.name for plate in plates]
    shares: list[_Share] = []
    notes: list[str] = []
    for name in dict.fromkeys(line.cell(named) if named is not None else None for line in rows):
        if name is not None and names.count(name) != 1:
            notes.append(f"{place} names plate '{name}', which is not one plate of this file: left out")
            continue
        target = before - 1 if name is None else names.index(name)
        mine = [line if name is None or line.cell(named or 0) == name else None for line in rows]
        shares.append(_Share(target, group, *_group_wells(group, head, mine, _formulas(block))))
    return shares, notes


def _attach(plates: Sequence[PlateRecord], shares: Sequence[_Share]) -> Iterator[PlateRecord]:
    """Plates with their layouts and interpolated concentrations; a name that several groups give to specimens carries its group."""
    for at, plate in enumerate(plates):
        mine = [share for share in shares if share.plate == at]
        users = Counter(key for share in mine for key in {(one.role, one.name) for one in share.layout})
        layout = tuple(
            replace(one, name=f"{share.group} {one.name}") if users[one.role, one.name] > 1 and one.name else one
            for share in mine
            for one in share.layout
        )
        vendor = tuple(one for share in mine for one in share.vendor)
        yield replace(plate, layout=layout, vendor_wells=vendor)


def _formulas(block: _Block) -> dict[str, str]:
    """Formula of each column, by its name, as the foot of a group table prints them."""
    at = next((n for n, line in enumerate(block.lines) if line.cell(0) == "Group Column"), len(block.lines))
    return {line.cell(1).lower(): line.cell(2) for line in block.lines[at + 1 :] if line.cell(0).isdigit()}


def _group_wells(
    group: str, head: _Line, rows: Sequence[_Line | None], formulas: dict[str, str]
) -> tuple[tuple[WellLayout, ...], tuple[VendorWell, ...]]:
    """Layout and interpolated concentrations of one group; a row without a sample repeats the row above."""
    names = [(at, name.lower()) for at, name in enumerate(head.cells) if name]
    columns = {name: at for at, name in reversed(names)}
    well_at = columns.get("wells", columns.get("well", 0))
    role = next((role for words, role in _GROUP_ROLES if words.search(group)), WellRole.SPECIMEN)
    nominal, diluted = _entered(names, formulas, role)
    unit = _UNIT.search(head.cell(nominal)) if nominal is not None else None
    interpolated = next((at for at, name in names if _is_interpolated(name, formulas)), None)
    sample, concentration, dilution = "", None, None
    layout, vendor = [], []
    for line in rows:
        if line is None or not re.fullmatch(r"[A-Pa-p]\d{1,2}", line.cell(well_at)):
            continue
        if line.cell(columns.get("sample", 0)):
            sample = line.cell(columns.get("sample", 0))
            concentration = _number(line.cell(nominal)) if nominal is not None else None
            dilution = _number(line.cell(diluted)) if diluted is not None else None
        well, origin = well_name(*well_position(line.cell(well_at))), f"line {line.number}"
        fold = dilution if dilution is not None and dilution >= 1 else None
        layout.append(WellLayout(well, role, sample or None, concentration, fold, unit[0] if unit else None, origin))
        if interpolated is not None:
            vendor.append(_vendor_well(well, line.cell(interpolated), origin))
    return tuple(layout), tuple(vendor)


def _entered(names: Sequence[tuple[int, str]], formulas: dict[str, str], role: WellRole) -> tuple[int | None, int | None]:
    """Columns of nominal concentrations and of dilutions: what a person entered for each sample, else what their names say.

    The software prints a unit behind the name of the column that a person filled. What was entered for specimens is taken
    for a concentration only where it is called one.
    """
    typed = [name for name, formula in formulas.items() if formula.lower().startswith(("!sampledescriptor", "!factor"))]
    entered = [(at, name) for at, name in names if any(f"{name} ".startswith(f"{one} ") for one in typed)]
    known = entered or [(at, name) for at, name in names if name.startswith(("conc", "dil")) and name not in formulas]
    nominal = next((at for at, name in known if "dil" not in name and (name.startswith("conc") or role is not WellRole.SPECIMEN)), None)
    return nominal, next((at for at, name in known if "dil" in name), None)


def _is_interpolated(name: str, formulas: dict[str, str]) -> bool:
    """Whether a column holds the concentration of each well as read off the curve: no mean, not multiplied by a dilution."""
    formula = formulas.get(name)
    if formula is None:
        return name in _INTERPOLATED_NAMES
    return "interpx(" in formula.lower() and _COMBINED.search(formula) is None


def _number(text: str) -> float | None:
    """A number of a group table, or None; a lone ``1,234`` is left out rather than guessed."""
    mark = decimal_evidence(text)
    return parse_number(text, mark or ".") if is_number_like(text) and mark != "?" else None


def _vendor_well(well: str, text: str, origin: str) -> VendorWell:
    """One interpolated concentration; ``Range?`` does not say on which side of the curve a reading lies."""
    value = _number(text)
    if value is not None:
        return VendorWell(well, value, "quantified", text, origin)
    status = {"<": "below_lloq", ">": "above_uloq"}.get(text[:1], "refused" if text else "missing")
    return VendorWell(well, None, "missing" if text.lower() == "masked" else status, text, origin)


def compose(record: ExportRecord, layout: str = "TimeFormat") -> bytes:
    """UTF-8 text of the readings in TimeFormat or PlateFormat; groups and notes are left out.

    Raises
    ------
    ValueError : a layout of another name, or raw readings without a wavelength
    """
    if layout not in {"TimeFormat", "PlateFormat"}:
        raise ValueError(f"layout is TimeFormat or PlateFormat, not '{layout}'")
    lines = [f"##BLOCKS= {len(record.plates)}"]
    for plate in record.plates:
        lines += _compose_plate(plate, layout)
    return ("\r\n".join(lines) + "\r\n").encode()


def _compose_plate(plate: PlateRecord, layout: str) -> Iterator[str]:
    """Lines of one plate block."""
    sets: dict[tuple[int | None, SignalKind], dict[str, str]] = {}
    for one in plate.readings:
        text = one.text if one.text or one.signal is None else repr(one.signal)
        sets.setdefault((one.wavelength_nm, one.kind), {})[one.well] = text
    raw = [nm for nm, kind in sets if kind is SignalKind.RAW]
    if not raw or None in raw:
        raise ValueError("a SoftMax plate needs raw readings, all with a wavelength")
    size = ["1", str(plate.n_columns), str(plate.n_rows * plate.n_columns), "1", str(plate.n_rows)]
    title = ["Plate:", plate.name or "", "1.3", layout, "Endpoint", "Absorbance", "Raw", "FALSE", "1", *[""] * 5]
    yield "\t".join([*title, str(len(raw)), "".join(f"{nm} " for nm in raw), *size])
    section = _compose_panels if layout == "PlateFormat" else _compose_rows
    yield from section(plate, [sets[nm, SignalKind.RAW] for nm in raw], "Temperature(°C)")
    reduced = [cells for (_, kind), cells in sets.items() if kind is SignalKind.REDUCED]
    if reduced:
        yield from section(plate, reduced, "")
    yield "~End"


def _compose_panels(plate: PlateRecord, sets: Sequence[dict[str, str]], label: str) -> Iterator[str]:
    """One section of PlateFormat."""
    numbers = [str(column + 1) for column in range(plate.n_columns)]
    yield "\t".join(["", label, *[cell for at in range(len(sets)) for cell in ([""] * (at > 0) + numbers)]])
    for row in range(plate.n_rows):
        wells = [well_name(row, column) for column in range(plate.n_columns)]
        cells = [cell for at, values in enumerate(sets) for cell in ([""] * (at > 0) + [values.get(well, "") for well in wells])]
        yield "\t".join(["", "24.0" if label and not row else "", *cells])
    yield ""


def _compose_rows(plate: PlateRecord, sets: Sequence[dict[str, str]], label: str) -> Iterator[str]:
    """One section of TimeFormat."""
    wells = [well_name(row, column) for row in range(plate.n_rows) for column in range(plate.n_columns)]
    yield "\t".join(["", label, *wells])
    for values in sets:
        yield "\t".join(["", "24.0" if label else "", *(values.get(well, "") for well in wells)])
        yield ""
