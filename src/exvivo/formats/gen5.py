"""Agilent BioTek Gen5 text exports of endpoint reads: bytes -> plates as printed; and back.

In flow the bytes of a ``.txt`` export; out flows an :class:`ExportRecord`. Each plate begins with
``Plate Number``. Its matrices print, for each row letter, one line of wells for each data set, and
the last cell of a line is the name of that data set. The name is read line by line: real files
swap two wavelengths between two rows. ``450`` and ``read:450`` are raw; ``Blank read:450`` and
``450-570`` are reduced; a name with ``Conc`` holds the software's concentrations before dilution.
``Lum``, ``Alpha`` and ``read:485/20,528/20`` (excitation, emission) are raw where a plate has no
absorbance; beside absorbance they are left out with a note. What was read between ``Start Kinetic``
and ``End Kinetic`` is no endpoint, whatever the step is called.
The matrix ``Layout`` gives each well's identity and ``Conc/Dil``: the concentration of a standard,
and of a sample the *fraction* of specimen in the well, so that 0.25 is a fourfold dilution.

The decimal mark is decided once for the file. A file in which every number looks like ``3,337``
has decimal commas, because no plate absorbs 3337.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

from exvivo.errors import InputError, fault
from exvivo.formats.delimited import (
    decide_decimal,
    decimal_evidence,
    decode_text,
    is_number_like,
    parse_number,
    signal_status,
    split_rows,
)
from exvivo.formats.grid import role_of_name
from exvivo.study.design import (
    ExportRecord,
    PlateRecord,
    ReadingStatus,
    SignalKind,
    VendorCurve,
    VendorWell,
    WellLayout,
    WellReading,
    WellRole,
    well_name,
)

FORMAT = "gen5"
_LETTERS = "ABCDEFGHIJKLMNOP"
_LARGEST = 24
_LINE_END = re.compile(r"\r\n|\r|\n")
_HEAD = re.compile(
    r"(Software Version|Experiment File Path:|Protocol File Path:|Plate Number|Reading Type|Procedure Details)(?:([\t;,])|\s*$)"
)
_RAW = re.compile(r"(?:(?P<read>.*):)?(?P<nm>\d{3,4})")
_LIGHT = re.compile(r"(?:(?P<read>.*):)?(?:(?:\d{3,4}(?:/\d+)?,)?(?P<nm>\d{3,4})(?:/\d+)?|Lum|Alpha)", re.IGNORECASE)
_REDUCED = re.compile(r"(?:blank|corrected|delta|reduced)\b.*|.*\d{3,4}\s*[-\u2212]\s*\d{3,4}.*", re.IGNORECASE)
_CONCENTRATION = re.compile(r"(?!.*(?:\bmean|\bstd|\bsd\b|\bcv|\bcount|dil)).*\bconc.*", re.IGNORECASE)
_UNIT = re.compile(r"(?:[fpnumµμ]|micro)?g/[dmuµμ]?l", re.IGNORECASE)
_MASKED = re.compile(r"\*[^*]+\*")
_ROLES = (
    (re.compile(r"STD\d*", re.IGNORECASE), WellRole.STANDARD),
    (re.compile(r"BLK\d*", re.IGNORECASE), WellRole.BLANK),
    (re.compile(r"(?:CTL|CTRL|(?:POS|NEG)(?:CON|CTL|CTRL)?|PC|NC|QC)\d*", re.IGNORECASE), WellRole.QC),
    (re.compile(r"SPL\d*", re.IGNORECASE), WellRole.SPECIMEN),
)
_PREFIX = {WellRole.STANDARD: "STD", WellRole.BLANK: "BLK", WellRole.QC: "CTL", WellRole.SPECIMEN: "SPL"}
_DETECTION = re.compile(r"(Absorbance|Fluorescence|Luminescence|FP|TRF|Alpha)\s+(\w[\w ]*)")
_ABSORBANCE = "Absorbance Endpoint"
_RANGE = re.compile(r"([A-P])\d{1,2}\.\.([A-P])\d{1,2}")


@dataclass(frozen=True, slots=True)
class _Line:
    """One line, its cells without outer blanks, its number from 1."""

    number: int
    cells: tuple[str, ...]

    def cell(self, at: int) -> str:
        return self.cells[at] if at < len(self.cells) else ""


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of wells of a matrix: row letter, name of the data set, cells."""

    letter: str
    label: str
    cells: tuple[str, ...]
    number: int

    def wells(self) -> Iterator[tuple[str, str]]:
        """Well and printed text."""
        for column, text in enumerate(self.cells):
            yield well_name(_LETTERS.index(self.letter), column), text


@dataclass(frozen=True, slots=True)
class _Matrix:
    """Lines of wells below one row of column numbers; ``title`` stands above it."""

    title: str
    line: int
    n_columns: int
    rows: tuple[_Row, ...]

    def is_layout(self) -> bool:
        """Whether the matrix says what the wells hold."""
        return self.title == "Layout" or any(row.label == "Well ID" for row in self.rows)


@dataclass(frozen=True, slots=True)
class _Series:
    """What the name of a data set means; ``kind`` is None for concentrations, ``light`` what was counted where not absorbed."""

    label: str
    kind: SignalKind | None
    wavelength_nm: int | None
    light: bool = False


def recognises(data: bytes) -> bool:
    """Whether a file has at least two of Gen5's header lines, or its matrix headed ``Results``."""
    try:
        lines = _LINE_END.split(decode_text(data, "file").text)
    except InputError:
        return False
    heads = {match[1] for line in lines if (match := _HEAD.match(line))}
    results = any(line.strip() == "Results" and re.match(r"\t1\t2\t", below) for line, below in pairwise(lines))
    return len(heads) > 1 or results


def parse(data: bytes, where: str) -> ExportRecord:
    """Plates of a Gen5 text export.

    Raises
    ------
    InputError : all at once: no raw readings, kinetic or spectral reads, rows cut short or missing, unknown words, two decimal marks
    """
    decoded = decode_text(data, where)
    sections = _split_plates(list(_lines(decoded.text, where)))
    matrices = [tuple(_matrices(section)) for section in sections]
    faults = [message for section, many in zip(sections, matrices, strict=True) for message in _plate_faults(section, many, where)]
    if faults:
        raise InputError(faults)
    decimal, notes = _decide_decimal(sections, matrices, where)
    plates = tuple(_plate(section, many, at, decimal) for at, (section, many) in enumerate(zip(sections, matrices, strict=True), 1))
    return ExportRecord(FORMAT, plates, (*decoded.notes, *notes))


def _lines(text: str, where: str) -> Iterator[_Line]:
    """Lines of the file; the delimiter is what follows the first header word, a tab unless a person chose another."""
    heads = (match[2] for line in _LINE_END.split(text) if (match := _HEAD.match(line)) and match[2])
    delimiter = next(heads, "\t")
    if delimiter == "\t":
        for at, line in enumerate(_LINE_END.split(text), 1):
            yield _Line(at, tuple(cell.strip() for cell in line.split("\t")))
    else:
        for row in split_rows(text, delimiter, where):
            yield _Line(row.line, tuple(cell.strip() for cell in row.cells))


def _split_plates(lines: Sequence[_Line]) -> list[list[_Line]]:
    """Lines of each plate: from one ``Plate Number`` (else ``Software Version``) to the next; what stands before belongs to the first."""
    words = ("Plate Number", "Software Version")
    starts = next((found for word in words if (found := [at for at, line in enumerate(lines) if line.cell(0) == word])), [])
    bounds = [0, *starts[1:], len(lines)]
    return [list(lines[begin:end]) for begin, end in pairwise(bounds)]


def _matrices(lines: Sequence[_Line]) -> Iterator[_Matrix]:
    """Matrices of one plate in file order."""
    for at, line in enumerate(lines):
        numbers = list(line.cells[1:])
        while numbers and not numbers[-1]:
            numbers.pop()
        if line.cell(0) or len(numbers) < 2 or numbers != [str(n + 1) for n in range(len(numbers))]:
            continue
        above = next((before for before in reversed(lines[:at]) if any(before.cells)), line)
        yield _Matrix(above.cell(0), line.number, len(numbers), tuple(_matrix_rows(lines[at + 1 :], len(numbers))))


def _matrix_rows(lines: Sequence[_Line], n_columns: int) -> Iterator[_Row]:
    """Lines of wells up to the first other line; a line without a letter belongs to the letter above."""
    letter = ""
    for line in lines:
        if not any(line.cells) or not re.fullmatch(r"[A-P]?", line.cell(0)):
            return
        letter = line.cell(0) or letter
        if not letter:
            return
        yield _Row(letter, line.cell(n_columns + 1), line.cells[1 : n_columns + 1], line.number)


def _reads(lines: Sequence[_Line]) -> dict[str, str]:
    """Detection of each named read of the procedure, such as ``Absorbance Endpoint``; a read without a name has the empty one."""
    found: dict[str, str] = {}
    kinetic = False
    for line, below in zip(lines, [*lines[1:], _Line(0, ())], strict=False):
        kinetic = line.cell(0) == "Start Kinetic" or (kinetic and line.cell(0) != "End Kinetic")
        if line.cell(0) == "Read":
            own = _DETECTION.match(line.cell(1))
            detection = own[0] if own else below.cell(1)
            found["" if own else line.cell(1)] = detection.replace("Endpoint", "Kinetic") if kinetic else detection
    return found


def _series(label: str, reads: Mapping[str, str]) -> _Series | None:
    """Meaning of the name of a data set; None if it is none that is read. A single data set may have no name."""
    if not label:
        return _Series("", SignalKind.RAW, None)
    raw = _raw_series(label, reads)
    if raw is not None:
        return raw
    if _REDUCED.fullmatch(label):
        difference = re.search(r"\d{3,4}\s*[-\u2212]\s*\d{3,4}", label)
        nm = re.search(r"(?:^|[:,\s\[])(\d{3,4})(?:/\d+)?\]?$", label)
        return _Series(label, SignalKind.REDUCED, int(nm[1]) if nm and not difference else None)
    return _Series(label, None, None) if _CONCENTRATION.fullmatch(label) else None


def _raw_series(label: str, reads: Mapping[str, str]) -> _Series | None:
    """Meaning of a name that ends in a wavelength or says what kind of light was counted; None unless an endpoint was read."""
    match = _RAW.fullmatch(label) or _LIGHT.fullmatch(label)
    if match is None or (match["nm"] and not 190 <= int(match["nm"]) <= 1100):
        return None
    read = match["read"] or ""
    if read not in reads and _REDUCED.fullmatch(label):
        return None
    light = match.re is _LIGHT
    others = [detection for detection in reads.values() if not detection.startswith("Absorbance")]
    detection = reads.get(read, next(iter(others), "") if light else _ABSORBANCE)
    if not detection.endswith("Endpoint") or (light and detection == _ABSORBANCE):
        return None
    return _Series(label, SignalKind.RAW, int(match["nm"]) if match["nm"] else None, detection != _ABSORBANCE)


def _choose(matrices: Sequence[_Matrix], reads: Mapping[str, str]) -> tuple[dict[str, _Series], list[str]]:
    """Data sets that are read, by name, with a note for each that is not."""
    chosen: dict[str, _Series] = {}
    taken: set[tuple[SignalKind | None, int | None]] = set()
    notes: dict[str, str] = {}
    full = [row for matrix in matrices if not matrix.is_layout() for row in matrix.rows if row.label or len(row.cells) == matrix.n_columns]
    first = {row.label: row for row in reversed(full)}
    series = {row.label: _series(row.label, reads) for row in full}
    absorbance = any(one.kind is SignalKind.RAW and not one.light for one in series.values() if one)
    for label, found in series.items():
        if found is None or (found.light and absorbance):
            notes[label] = f"line {first[label].number}: '{label}' not read: it is neither absorbance nor a concentration"
        elif found.kind is not SignalKind.RAW and (found.kind, found.wavelength_nm) in taken:
            notes[label] = f"line {first[label].number}: '{label}' not read: it derives from data that are read already"
        else:
            chosen[label] = found
            taken.add((found.kind, found.wavelength_nm))
    return chosen, list(notes.values())


def _plate_faults(lines: Sequence[_Line], matrices: Sequence[_Matrix], where: str) -> Iterator[str]:
    """What is wrong with one plate."""
    reads = _reads(lines)
    chosen, _ = _choose(matrices, reads)
    results = [matrix for matrix in matrices if not matrix.is_layout()]
    if not any(one.kind is SignalKind.RAW for one in chosen.values()):
        first = next((line.number for line in lines if any(line.cells)), 1)
        labels = dict.fromkeys(row.label for matrix in results for row in matrix.rows)
        read_as = ", ".join(dict.fromkeys(reads.values()))
        found = f"no rows of raw readings; {'rows are named ' + ', '.join(labels) if labels else 'there is no matrix of results'}"
        found += f"; the plate was read as {read_as}" if read_as else ""
        yield fault(f"{where}, line {first}", found, "the matrix of an endpoint read", "Export the matrix of the endpoint read")
    for matrix in matrices:
        yield from _matrix_faults(matrix, where)
        if matrix.n_columns > _LARGEST:
            yield fault(f"{where}, line {matrix.line}", "a plate of more than 384 wells", "8 x 12 or 16 x 24 wells", "Leave this file out")
            return
    rows = [row for matrix in results for row in matrix.rows if row.label in chosen]
    letters = _read_letters(lines) or _expected_letters(matrices)
    for label in chosen:
        mine = [row for row in rows if row.label == label]
        have = [row.letter for row in mine]
        yield from (
            fault(f"{where}, line {row.number}", f"row {row.letter} prints '{label}' twice", "each data set once", "Export again")
            for at, row in enumerate(mine)
            if row.letter in have[:at]
        )
        lost = [letter for letter in letters if letter not in have]
        if lost:
            found = f"'{label}' is missing in row {', '.join(lost)}"
            yield fault(f"{where}, line {mine[0].number}", found, "every row of the plate", "The file is cut off: export again")
        yield from _reading_faults(mine, chosen[label], where)


def _matrix_faults(matrix: _Matrix, where: str) -> Iterator[str]:
    """Lines of wells that end early."""
    for row in matrix.rows:
        if len(row.cells) < matrix.n_columns:
            found = f"row {row.letter} ends after {len(row.cells)} of {matrix.n_columns} wells"
            yield fault(f"{where}, line {row.number}", found, "a full row", "Export again")


def _read_letters(lines: Sequence[_Line]) -> str:
    """Row letters of the wells that the procedure names, as in ``C1..C24``; none where it reads the full plate."""
    ranges = [match for line in lines if (match := _RANGE.fullmatch(line.cell(1)))]
    if not ranges or any(line.cell(1) == "Full Plate" for line in lines):
        return ""
    read = {at for match in ranges for at in range(_LETTERS.index(match[1]), _LETTERS.index(match[2]) + 1)}
    return "".join(_LETTERS[at] for at in sorted(read))


def _expected_letters(matrices: Sequence[_Matrix]) -> str:
    """Row letters that a plate of this width has; those that stand in the file for an unusual width."""
    width = max((matrix.n_columns for matrix in matrices), default=0)
    seen = {row.letter for matrix in matrices for row in matrix.rows}
    known = {12: 8, 24: 16}.get(width, max((_LETTERS.index(letter) + 1 for letter in seen), default=0))
    return _LETTERS[:known]


def _reading_faults(rows: Sequence[_Row], series: _Series, where: str) -> Iterator[str]:
    """Cells that are neither numbers nor words of the reader."""
    for row in rows:
        for well, text in row.wells():
            if _status(text) is None and not (series.kind is None and text[:1] in {"<", ">"}):
                expected = "a number or a reader's word such as OVRFLW"
                yield fault(f"{where}, line {row.number}", f"well {well}: '{text}' is no reading", expected)


def _status(text: str) -> ReadingStatus | None:
    """What is said about a well; ``*0.356*`` is a reading that a person took out."""
    return ReadingStatus.MASKED if _MASKED.fullmatch(text) else signal_status(text)


def _decide_decimal(sections: Sequence[Sequence[_Line]], matrices: Sequence[Sequence[_Matrix]], where: str) -> tuple[str, tuple[str, ...]]:
    """Decimal mark of the file, and a note when only the size of an absorbance tells it."""
    texts: list[str] = []
    light = False
    for section, many in zip(sections, matrices, strict=True):
        chosen, _ = _choose(many, _reads(section))
        light = light or any(one.light for one in chosen.values())
        named = {*chosen, "Conc/Dil"}
        texts += [text for matrix in many for row in matrix.rows if row.label in named for text in row.cells]
    if not light and {decimal_evidence(text) for text in texts} - {None} == {"?"}:
        example = next(text for text in texts if decimal_evidence(text) == "?")
        return ",", (f"'{example}' was read with a decimal comma: no plate absorbs {example.replace(',', '')}",)
    return decide_decimal(texts, where), ()


def _plate(lines: Sequence[_Line], matrices: Sequence[_Matrix], position: int, decimal: str) -> PlateRecord:
    """One plate that has no faults."""
    chosen, notes = _choose(matrices, _reads(lines))
    results = [matrix for matrix in matrices if not matrix.is_layout()]
    rows = [row for matrix in results for row in matrix.rows if row.label in chosen]
    readings = tuple(
        _reading(well, text, chosen[row.label], row.number, decimal) for row in _by_series(rows, chosen) for well, text in row.wells()
    )
    vendor = (_vendor_well(*cell, row.number, decimal) for row in rows if chosen[row.label].kind is None for cell in row.wells())
    wells: list[WellLayout] = []
    for matrix in matrices:
        if matrix.is_layout():
            wells += _layout(matrix, decimal, notes)
    width = max(matrix.n_columns for matrix in results)
    size = (8, 12) if width <= 12 and len(_expected_letters(matrices)) <= 8 else (16, 24)
    curves = list(_curves(lines, decimal, _unit(chosen)))
    notes += [f"{curve.origin}: curve '{curve.model}' not read: the plate has one already" for curve in curves[1:]]
    notes += _swaps(rows)
    name = next((line.cell(1) for line in lines if line.cell(0) == "Plate Number"), "") or None
    found = tuple(well for well in vendor if well is not None)
    return PlateRecord(name, position, *size, readings, tuple(wells), found, curves[0] if curves else None, tuple(notes))


def _by_series(rows: Sequence[_Row], chosen: Mapping[str, _Series]) -> Iterator[_Row]:
    """Lines of signals, one data set after another."""
    for label, series in chosen.items():
        if series.kind is not None:
            yield from (row for row in rows if row.label == label)


def _swaps(rows: Sequence[_Row]) -> Iterator[str]:
    """A note for each row whose data sets are named in another order than in the first row."""
    order: dict[str, list[_Row]] = {}
    for row in rows:
        order.setdefault(row.letter, []).append(row)
    usual = [row.label for row in next(iter(order.values()))]
    for letter, mine in order.items():
        names = [row.label for row in mine]
        if names != usual:
            found = f"names its data sets {', '.join(names)}, the first row {', '.join(usual)}"
            yield f"line {mine[0].number}: row {letter} {found}: names were followed"


def _reading(well: str, text: str, series: _Series, line: int, decimal: str) -> WellReading:
    """One printed cell as a reading."""
    status = _status(text) or ReadingStatus.MISSED
    signal = parse_number(text, decimal) if status is ReadingStatus.OK else None
    return WellReading(well, series.wavelength_nm, signal, status, series.kind or SignalKind.RAW, text, f"line {line}")


def _vendor_well(well: str, text: str, line: int, decimal: str) -> VendorWell | None:
    """One concentration of the software; ``?????`` means that it could not tell."""
    if not text:
        return None
    status = {"<": "below_lloq", ">": "above_uloq"}.get(text[:1])
    if status is None:
        status = {ReadingStatus.OK: "quantified", ReadingStatus.MASKED: "missing"}.get(_status(text) or ReadingStatus.MISSED, "refused")
    return VendorWell(well, parse_number(text, decimal) if status == "quantified" else None, status, text, f"line {line}")


def _unit(chosen: Mapping[str, _Series]) -> str | None:
    """Unit that the name of the concentrations states."""
    found = (_UNIT.search(label) for label, series in chosen.items() if series.kind is None)
    return next((match[0] for match in found if match), None)


def _layout(matrix: _Matrix, decimal: str, notes: list[str]) -> Iterator[WellLayout]:
    """Wells of a layout; what ``Conc/Dil`` says beyond a concentration or a fraction is noted."""
    rows = {(row.letter, row.label): row for row in matrix.rows}
    for row in matrix.rows:
        if row.label not in {"Well ID", ""}:
            continue
        amounts, names = rows.get((row.letter, "Conc/Dil")), rows.get((row.letter, "Name"))
        for column, (well, identity) in enumerate(row.wells()):
            if not identity:
                continue
            name = names.cells[column] if names and names.cells[column] else identity.partition(":")[0]
            amount = amounts.cells[column] if amounts else ""
            role = _role(identity)
            value = parse_number(amount, decimal) if is_number_like(amount) else None
            concentration = value if role is WellRole.STANDARD else None
            dilution = _fold(value) if role is WellRole.SPECIMEN and value is not None else None
            if amount and concentration is None and dilution is None:
                notes.append(
                    f"line {amounts.number if amounts else row.number}: well {well}: Conc/Dil '{amount}' of {identity} was left out"
                )
            yield WellLayout(well, role, name, concentration, dilution, None, f"line {row.number}")


def _role(identity: str) -> WellRole:
    """Role that an identity such as ``SPL1:2`` states by its letters; others by plain words."""
    name = identity.partition(":")[0]
    return next((role for words, role in _ROLES if words.fullmatch(name)), None) or role_of_name(name)


def _fold(fraction: float) -> float | None:
    """Dilution of a fraction of specimen; whole where the printed five digits allow it. None if it is no fraction.

    >>> _fold(0.25), _fold(0.33333), _fold(2.0)
    (4.0, 3.0, None)
    """
    if not 1e-9 < fraction <= 1:
        return None
    whole = round(1 / fraction)
    return float(whole) if f"{1 / whole:.5g}" == f"{fraction:.5g}" else 1 / fraction


def _curves(lines: Sequence[_Line], decimal: str, unit: str | None) -> Iterator[VendorCurve]:
    """Curves that the software fitted."""
    for at, line in enumerate(lines):
        if line.cell(0) != "Curve Name":
            continue
        for below in lines[at + 1 :]:
            if not any(below.cells):
                break
            cells = dict(zip(line.cells, below.cells, strict=False))
            letters = {name: text for name, text in cells.items() if re.fullmatch(r"[A-G]", name) and _is_marked(text, decimal)}
            parameters = MappingProxyType({name: parse_number(text, decimal) for name, text in letters.items()})
            yield VendorCurve(cells.get("Curve Formula", ""), parameters, unit, f"line {below.number}")


def _is_marked(text: str, decimal: str) -> bool:
    """Whether a text is a number with the file's decimal mark."""
    return is_number_like(text) and decimal_evidence(text) in {None, decimal, *("?" if decimal == "," else "")}


def compose(record: ExportRecord) -> bytes:
    """UTF-8 text of readings, layout and the software's concentrations; curves and wells of the role ``empty`` are left out.

    Raises
    ------
    ValueError : raw readings of several wavelengths of which one is unknown, or none
    """
    lines = [line for plate in record.plates for line in _compose_plate(plate)]
    return ("\r\n".join(lines) + "\r\n").encode()


def _compose_plate(plate: PlateRecord) -> Iterator[str]:
    """Lines of one plate."""
    sets: dict[str, dict[str, str]] = {}
    for one in plate.readings:
        nm = "" if one.wavelength_nm is None else str(one.wavelength_nm)
        label = nm if one.kind is SignalKind.RAW else f"Blank {nm}" if nm else "Reduced"
        sets.setdefault(label, {})[one.well] = one.text if one.text or one.signal is None else repr(one.signal)
    if plate.vendor_wells:
        sets["[Concentration]"] = {one.well: one.text for one in plate.vendor_wells}
    if not sets or ("" in sets and len(sets) > 1) or not any(re.fullmatch(r"\d*", label) for label in sets):
        raise ValueError("a Gen5 plate needs raw readings, and their wavelengths where there are several data sets")
    yield from ("Software Version\t3.12.08", "Experiment File Path:\t", f"Plate Number\t{plate.name or ''}", "", "Procedure Details", "")
    yield from ("Read\tAbsorbance Endpoint", "")
    if plate.layout:
        yield "Layout"
        yield from _compose_matrix(plate, _layout_sets(plate.layout))
    yield "Results"
    yield from _compose_matrix(plate, sets)


def _layout_sets(layout: Sequence[WellLayout]) -> dict[str, dict[str, str]]:
    """Identities, names and amounts of a layout."""
    filled = [one for one in layout if one.role is not WellRole.EMPTY]
    numbers: dict[tuple[WellRole, str | None], int] = {}
    for one in filled:
        numbers.setdefault((one.role, one.name), 1 + sum(role is one.role for role, _ in numbers))
    amounts = {
        one.well: repr(1 / one.dilution) if one.dilution else repr(one.concentration)
        for one in filled
        if one.dilution or one.concentration is not None
    }
    return {
        "Well ID": {one.well: f"{_PREFIX[one.role]}{numbers[one.role, one.name]}" for one in filled},
        "Name": {one.well: one.name or "" for one in filled},
        "Conc/Dil": amounts,
    }


def _compose_matrix(plate: PlateRecord, sets: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Lines of one matrix and the empty line below it."""
    yield "\t".join(["", *(str(column + 1) for column in range(plate.n_columns))])
    for row in range(plate.n_rows):
        for at, (label, cells) in enumerate(sets.items()):
            wells = [cells.get(well_name(row, column), "") for column in range(plate.n_columns)]
            yield "\t".join(["" if at else _LETTERS[row], *wells, label])
    yield ""
