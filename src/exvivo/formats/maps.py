"""Plate maps: what each well holds. Bytes -> layout per plate; and back.

In flow a long table ``plate,well,role,specimen,analyte,concentration,dilution[,unit][,lot]`` (csv, tab
or Excel) or plate-shaped grids, one for each property (``role``, ``specimen``, ``concentration``
...) or one grid of words (``Std 1 = 1000 pg/mL``, ``S0141 1:50``, ``blank``). Out flows one
:class:`PlateMap` for each plate named. Which export and which analyte a name means is decided
where exports and protocol are known, not here.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from exvivo.errors import InputError, fault
from exvivo.formats.delimited import DelimitedTable, compose_rows, decide_decimal, parse_number, parse_table
from exvivo.formats.grid import Area, Grid, find_grids, layout_of_words, read_areas, title_plate
from exvivo.formats.workbook import cell_text, is_workbook
from exvivo.study.design import WellLayout, WellRole, well_name, well_position

COLUMNS = ("plate", "well", "role", "specimen", "analyte", "concentration", "dilution")
_PROPERTIES = {
    "role": "role",
    "specimen": "specimen",
    "analyte": "analyte",
    "concentration": "concentration",
    "dilution": "dilution",
    "unit": "unit",
}
_HEADERS = {
    "plate": ("plate", "plate id", "plate name", "plate no", "plate number"),
    "well": ("well", "wells", "well id", "well position", "position"),
    "role": ("role", "type", "well type", "sample type"),
    "specimen": ("specimen", "specimen id", "sample", "sample id", "sample name"),
    "analyte": ("analyte", "assay", "target"),
    "concentration": ("concentration", "conc", "nominal concentration", "expected concentration", "nominal"),
    "dilution": ("dilution", "dilution factor", "dil", "fold"),
    "unit": ("unit", "units"),
    "lot": ("lot", "lot number", "lot no", "kit lot"),
}
_MEANING = {spelling: name for name, spellings in _HEADERS.items() for spelling in spellings}
_WITH_UNIT = re.compile(r"(?P<name>.+?)\s*[(\[](?P<unit>[^()\[\]]+)[)\]]")
_FOLD = re.compile(r"(?:1\s*:\s*|[x\u00d7]\s*)(\d+(?:[.,]\d+)?)|(\d+(?:[.,]\d+)?)\s*[x\u00d7]", re.IGNORECASE)
_CONSTANT = re.compile(r"(role|specimen|analyte|concentration|dilution|unit)\s*[:=]\s*(\S.*)", re.IGNORECASE)
_ROLES = ", ".join(role.value for role in WellRole)


@dataclass(frozen=True, slots=True)
class PlateMap:
    """Layout of one plate; ``plate`` is the name or the position that the map gives."""

    plate: str
    wells: tuple[WellLayout, ...]


@dataclass(frozen=True, slots=True)
class MapRecord:
    """All plates of one map file, in file order."""

    plates: tuple[PlateMap, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Entry:
    """One well as a map prints it: texts by property, the decimal mark of its numbers, its place."""

    plate: str
    well: str
    texts: Mapping[str, str]
    origin: str


def parse(data: bytes, where: str) -> MapRecord:
    """Plates of a map file, long or plate-shaped.

    Raises
    ------
    InputError : all at once: a column that is missing, unknown roles, a well twice or outside a plate, a dilution below 1,
        a standard or qc without concentration, a specimen without name, numbers that are none
    """
    table = _long_table(data, where)
    if table is not None:
        return _parse_long(table, where)
    areas, notes = read_areas(data, where)
    grids = [grid for area in areas for grid in find_grids(area) if grid.header and grid.letters]
    if not grids:
        expected = f"a table with the columns {', '.join(COLUMNS)}, or grids with row letters and column numbers"
        raise InputError(fault(where, "no plate map was found", expected))
    record = _parse_grids(grids, where)
    return MapRecord(record.plates, (*notes, *record.notes))


def _long_table(data: bytes, where: str) -> DelimitedTable | None:
    """The long form, if the first filled row names a well column; None for grids."""
    areas, notes = read_areas(data, where)
    for area in areas:
        first = next((at for at, row in enumerate(area.rows) if any(cell_text(cell).strip() for cell in row)), None)
        if first is not None and "well" in {_meaning(area.text(first, at))[0] for at in range(len(area.rows[first]))}:
            return _sheet_table(area, first, where, notes) if is_workbook(data) else parse_table(data, where)
    return None


def _sheet_table(area: Area, first: int, where: str, notes: tuple[str, ...]) -> DelimitedTable:
    """A long map on a sheet as a text table; ``lines`` are sheet rows."""
    width = max(at + 1 for at in range(len(area.rows[first])) if area.text(first, at))
    rows = [(at + 1, tuple(cell_text(area.cell(at, column)) for column in range(width))) for at in range(first + 1, len(area.rows))]
    filled = [(line, row) for line, row in rows if any(cell.strip() for cell in row)]
    header = tuple(area.text(first, column) for column in range(width))
    if len(set(header)) < width:
        raise InputError(fault(where, "a column name is missing or stands more than once", "each name once"))
    return DelimitedTable(header, tuple(row for _, row in filled), tuple(line for line, _ in filled), notes=notes)


def _parse_long(table: DelimitedTable, where: str) -> MapRecord:
    """The long form."""
    meanings = [_meaning(name) for name in table.header]
    names = [name for name, _ in meanings]
    expected = f"the columns {', '.join(COLUMNS)} and, if wanted, unit and lot"
    faults = [fault(where, f"column '{name}' is missing", expected) for name in COLUMNS if name not in names]
    for name in (*COLUMNS, "unit", "lot"):
        same = [f"'{header}'" for header, meaning in zip(table.header, names, strict=True) if meaning == name]
        if len(same) > 1:
            faults.append(fault(where, f"columns {' and '.join(same)} both mean {name}", "each column once", "Take one of them out"))
    if faults:
        raise InputError(faults)
    unit = next((unit for name, unit in meanings if name == "concentration" and unit), "")
    if not table.rows:
        raise InputError(fault(where, "there is no well below the column names", "one row for each well", "Write the map again"))
    entries = []
    for line, row in zip(table.lines, table.rows, strict=True):
        texts = {name: cell.strip() for name, cell in zip(names, row, strict=True)}
        if unit and "unit" not in names and texts["concentration"]:
            texts["unit"] = unit
        entries.append(_Entry(texts["plate"] or "1", texts["well"], texts, f"line {line}"))
    ignored = [header for header, name in zip(table.header, names, strict=True) if name not in {*COLUMNS, "unit", "lot"}]
    notes = [f"columns not used: {', '.join(ignored)}"] if ignored else []
    notes += [
        f"column '{header}' was read as {name}"
        for header, name in zip(table.header, names, strict=True)
        if name in _HEADERS and header.lower() != name
    ]
    return MapRecord(_check_entries(entries, where), (*table.notes, *notes))


def _meaning(header: str) -> tuple[str, str]:
    """What a column's name means, and the unit that stands in it: ``Conc. (pg/mL)`` is a concentration; other names mean themselves."""
    match = _WITH_UNIT.fullmatch(header.strip())
    name, unit = (match["name"], match["unit"]) if match else (header, "")
    plain = " ".join(re.sub(r"[_.]", " ", name).lower().split())
    return _MEANING.get(plain, header.lower()), unit.strip()


def _fold(text: str) -> str:
    """The number of ``1:50``, ``x50`` or ``50x``; any other text as it is."""
    match = _FOLD.fullmatch(text)
    return (match[1] or match[2]) if match else text


def _parse_grids(grids: Sequence[Grid], where: str) -> MapRecord:
    """Plate-shaped grids: properties of one plate until a title names another plate or a property comes again."""
    plates: list[str] = []
    entries: dict[tuple[str, str], _Entry] = {}
    words: list[PlateMap] = []
    seen: set[str] = set()
    constants: dict[str, str] = {}
    for grid in grids:
        titled, name = title_plate(grid.titles)
        prop = next(
            (_PROPERTIES[title.lower().rstrip(":")] for title in reversed(grid.titles) if title.lower().rstrip(":") in _PROPERTIES), None
        )
        if not plates or (prop or "words") in seen or (titled and (name or "") != plates[-1]):
            plates.append(name or str(len(plates) + 1))
            seen, constants = set(), {}
        seen.add(prop or "words")
        constants |= {match[1].lower(): match[2].strip() for title in grid.titles if (match := _CONSTANT.fullmatch(title))}
        if prop is None:
            words.append(PlateMap(plates[-1], layout_of_words(grid)))
            continue
        for well, cell, origin in grid.cells():
            text = cell_text(cell).strip()
            if text:
                known = entries.get((plates[-1], well), _Entry(plates[-1], well, {}, origin))
                entries[plates[-1], well] = _Entry(plates[-1], well, {**constants, **known.texts, prop: text}, known.origin)
    unnamed = [entry for entry in entries.values() if "role" not in entry.texts]
    if unnamed:
        raise InputError(
            [fault(f"{where}, {one.origin}", f"well {one.well} has no role", f"a grid titled 'role' with {_ROLES}") for one in unnamed]
        )
    return MapRecord((*_check_entries(entries.values(), where), *_check_words(words, where)))


def _check_words(plates: Sequence[PlateMap], where: str) -> tuple[PlateMap, ...]:
    """Grids of words, held to the same rules as the other forms."""
    faults = [message for plate in plates for well in plate.wells for message in _layout_faults(well, where)]
    if faults:
        raise InputError(faults)
    return tuple(plates)


def _check_entries(entries: Iterable[_Entry], where: str) -> tuple[PlateMap, ...]:
    """Layouts of all wells, or every fault of the file."""
    listed = [replace(one, texts={**one.texts, "dilution": _fold(one.texts.get("dilution", ""))}) for one in entries]
    decimals = {
        name: decide_decimal([entry.texts.get(name, "") for entry in listed], f"{where}, {name}") for name in ("concentration", "dilution")
    }
    faults: list[str] = []
    plates: dict[str, dict[str, WellLayout]] = {}
    for entry in listed:
        layout, messages = _layout(entry, decimals, where)
        faults += messages
        if layout is None:
            continue
        wells = plates.setdefault(entry.plate, {})
        if layout.well in wells:
            found = f"well {layout.well} of plate '{entry.plate}' stands twice, first at {wells[layout.well].origin}"
            faults.append(fault(f"{where}, {entry.origin}", found, "one row for each well"))
        wells[layout.well] = layout
    if faults:
        raise InputError(faults)
    return tuple(PlateMap(plate, tuple(wells.values())) for plate, wells in plates.items())


def _layout(entry: _Entry, decimals: Mapping[str, str], where: str) -> tuple[WellLayout | None, list[str]]:
    """One well, or what is wrong with it."""
    place = f"{where}, {entry.origin}"
    faults: list[str] = []
    try:
        well = well_name(*well_position(entry.well))
    except ValueError:
        faults.append(fault(place, f"well '{entry.well}' is outside a plate", "A1 to H12 (96 wells) or A1 to P24 (384 wells)"))
        well = entry.well
    role = entry.texts.get("role", "").lower()
    if role not in set(WellRole):
        faults.append(fault(place, f"role '{entry.texts.get('role', '')}' is unknown", _ROLES))
        return None, faults
    numbers: dict[str, float | None] = {}
    for name, decimal in decimals.items():
        text = entry.texts.get(name, "")
        try:
            numbers[name] = parse_number(text, decimal) if text else None
        except ValueError:
            numbers[name] = 1.0
            faults.append(fault(place, f"{name} '{text}' is no number", f"a number with '{decimal}' as decimal mark"))
    texts = {name: entry.texts.get(name) or None for name in ("specimen", "unit", "analyte", "lot")}
    layout = WellLayout(
        well,
        WellRole(role),
        texts["specimen"],
        numbers["concentration"],
        numbers["dilution"],
        texts["unit"],
        entry.origin,
        texts["analyte"],
        texts["lot"],
    )
    faults += _layout_faults(layout, where)
    return (None if faults else layout), faults


def _layout_faults(layout: WellLayout, where: str) -> Iterator[str]:
    """Rules that one well breaks by itself."""
    place, well = f"{where}, {layout.origin}", layout.well
    if layout.dilution is not None and not layout.dilution >= 1:
        yield fault(
            place, f"well {well}: dilution {layout.dilution:g} is below 1", "a fold, such as 50 for 1:50", "Turn fractions into folds"
        )
    if layout.concentration is not None and not 0 <= layout.concentration < float("inf"):
        yield fault(place, f"well {well}: concentration {layout.concentration:g}", "a number from 0 up")
    if layout.role in {WellRole.STANDARD, WellRole.QC} and layout.concentration is None:
        yield fault(place, f"well {well}: a {layout.role.value} without concentration", "its nominal concentration")
    if layout.role is WellRole.BLANK and layout.concentration:
        yield fault(
            place,
            f"well {well}: a blank with concentration {layout.concentration:g}",
            "0 or nothing",
            "Call it standard, or empty the cell",
        )
    if layout.role in {WellRole.SPECIMEN, WellRole.QC} and not layout.name:
        yield fault(
            place,
            f"well {well}: a {layout.role.value} without name",
            "the specimen's id" if layout.role is WellRole.SPECIMEN else "its name",
        )
    if layout.role is WellRole.SPECIMEN and layout.dilution is None:
        yield fault(place, f"well {well}: specimen '{layout.name}' without dilution", "a fold of 1 or more", "Write 1 for undiluted")


def _texts(layout: WellLayout) -> dict[str, str]:
    """Properties of one well as a map prints them."""
    numbers = {"concentration": layout.concentration, "dilution": layout.dilution}
    printed = {name: "" if value is None else cell_text(value) for name, value in numbers.items()}
    return {
        "role": layout.role.value,
        "specimen": layout.name or "",
        "analyte": layout.analyte or "",
        "unit": layout.unit or "",
        "lot": layout.lot or "",
        **printed,
    }


def compose(record: MapRecord, delimiter: str = ",") -> bytes:
    """Long form in UTF-8; the columns of unit and lot only if a well has one."""
    wells = [layout for plate in record.plates for layout in plate.wells]
    columns = (*COLUMNS, *(["unit"] if any(w.unit for w in wells) else []), *(["lot"] if any(w.lot for w in wells) else []))
    rows = [
        [{"plate": plate.plate, "well": layout.well, **_texts(layout)}[name] for name in columns]
        for plate in record.plates
        for layout in plate.wells
    ]
    return compose_rows([columns, *rows], delimiter).encode()


def compose_grids(record: MapRecord, delimiter: str = ",") -> bytes:
    """Plate-shaped form in UTF-8: for each plate one grid per property that any of its wells has."""
    rows: list[list[str]] = []
    for plate in record.plates:
        texts = {layout.well: _texts(layout) for layout in plate.wells}
        big = any(row > 7 or column > 11 for row, column in map(well_position, texts))
        n_rows, n_columns = (16, 24) if big else (8, 12)
        rows.append([f"Plate: {plate.plate}"])
        for prop in _PROPERTIES:
            if any(text[prop] for text in texts.values()):
                rows.append([prop, *(str(column + 1) for column in range(n_columns))])
                for row in range(n_rows):
                    cells = [texts.get(well_name(row, column), {}).get(prop, "") for column in range(n_columns)]
                    rows.append([well_name(row, 0)[0], *cells])
                rows.append([])
    return compose_rows(rows, delimiter).encode()
