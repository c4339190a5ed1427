"""Luminex xPONENT exports (MAGPIX, 100/200, FLEXMAP 3D): bytes -> one plate per analyte as printed; and back.

In flow the bytes of a csv export, as written or as saved again by Excel; out flows an
:class:`ExportRecord`. Below ``Results`` stand sections that begin with ``DataType:``: ``Median`` is the
raw reading and ``Net MFI`` a reduced one, ``Count`` says of how many beads. Our tables hold one analyte
per plate and well, so each analyte of each plate becomes a plate record: ``Batch Analyte``, in file
order. ``Standard Expected Concentration`` and ``Control Expected Concentration`` give nominal values,
``Dilution Factor`` folds, ``Units`` units, ``Result`` the software's own concentrations, ``Analysis
Types`` its curve. A sample is a standard or a control if one of those sections or its own full word says
so: ``S1`` alone may be anybody's specimen.

Where background wells are designated the software subtracts their mean from every other well and calls
the rest net MFI; without them net MFI is the median (Luminex IS 2.3 manual, 89-00002-00-110 Rev. B,
"Background samples"; luminexcorp.com, "It's All About The Stats!"). ``Result`` may be ``<10 pg/mL``,
``>10000 pg/mL`` or ``Invalid`` (IS 2.3 IVD manual, table D-2). That it carries the dilution factor is taken
from the purpose of that factor, which is typed with each patient's sample; these manuals do not say it.
Where the diluted wells of a file say otherwise, a note tells it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from exvivo.errors import InputError, fault
from exvivo.formats.beads import doubt_dilutions, fluorescence, mass_unit, role_of_sample, split_beads, vendor_well
from exvivo.formats.delimited import compose_rows, decide_decimal, decode_text, is_number_like, parse_number, signal_status
from exvivo.formats.grid import Area, read_areas
from exvivo.formats.workbook import is_workbook
from exvivo.study.design import (
    ExportRecord,
    PlateRecord,
    SignalKind,
    VendorCurve,
    VendorWell,
    WellLayout,
    WellReading,
    WellRole,
    well_name,
    well_position,
)

FORMAT = "xponent"
_LOCATION = re.compile(r"(?:\d+\s*\()?\s*(?:(?P<plate>\d+)\s*,\s*)?(?P<well>[A-P]0*\d{1,2})\s*\)?", re.IGNORECASE)
_BARE_PLACE = re.compile(rb"^(\d+\(\d+,[A-P]\d{1,2}\))(?=,)", re.MULTILINE)
_TOTAL = "total events"
_READ = {"median", "net mfi", "count", "result", "units", "standard expected concentration", "control expected concentration"}
_READ |= {"dilution factor", "analysis types", "analysis coefficients", "warnings/errors"}
_BY_WELL = {"median", "net mfi", "count", "result"}
_MAX_NOTES = 40
_COLUMNS = 24


@dataclass(frozen=True, slots=True)
class _Section:
    """One section: column names, filled rows (0-based, of the area), and (row, (plate number, well)) of those that name a well."""

    area: Area
    name: str
    top: int
    header: tuple[str, ...]
    rows: tuple[int, ...]
    places: tuple[tuple[int, tuple[str, str]], ...]
    labels: Mapping[str, int]

    @property
    def analytes(self) -> tuple[str, ...]:
        """Names of the analyte columns."""
        begin = 2 if self.header[:1] == ("Location",) else 1
        names = self.header[begin:]
        return names[: next((at for at, name in enumerate(names) if not name or name.lower() == _TOTAL), len(names))]

    def cell(self, row: int, analyte: str) -> str:
        """Cell of one row in an analyte's column; empty if the section lacks the column."""
        return self.area.text(row, self.header.index(analyte)) if analyte in self.header else ""


@dataclass(frozen=True, slots=True)
class _Export:
    """All sections of a file by lower-case name, what stands above them, and the decimal mark."""

    area: Area
    sections: Mapping[str, _Section]
    facts: Mapping[str, tuple[str, ...]]
    decimal: str

    def wells(self, name: str, analyte: str) -> dict[tuple[str, str], tuple[str, str]]:
        """Cell and place by (plate, well) for one analyte of a section that has a row per well."""
        section = self.sections.get(name)
        if section is None:
            return {}
        return {place: (section.cell(row, analyte), self.area.origin(row, 0)) for row, place in section.places}

    def labelled(self, name: str, label: str, analyte: str) -> str:
        """Cell of the row of a section that begins with a label."""
        section = self.sections.get(name)
        row = section.labels.get(label) if section else None
        return section.cell(row, analyte) if section and row is not None else ""


def recognises(data: bytes) -> bool:
    """Whether the file has a section of medians by location."""
    try:
        if not is_workbook(data) and "datatype" not in decode_text(data, "file").text.lower():
            return False
        areas, _ = read_areas(data, "file")
    except InputError:
        return False
    return any(_header_of(area, row)[:2] == ("Location", "Sample") for area in areas for row in _section_starts(area))


def parse(data: bytes, where: str) -> ExportRecord:
    """Plates of an xPONENT export, one per analyte.

    Raises
    ------
    InputError : all at once: no medians, a section twice, places that are no wells, unknown words among numbers, two decimal marks
    """
    areas, notes = read_areas(data if is_workbook(data) else _BARE_PLACE.sub(rb'"\1"', data), where)
    area = next((area for area in areas if any(True for _ in _section_starts(area))), areas[0])
    sections, faults = _sections(area, where)
    if "median" not in sections:
        faults.append(fault(where, "no section 'DataType: Median'", "the median fluorescence of each well", "Export with medians"))
        raise InputError(faults)
    faults += [message for section in sections.values() for message in _section_faults(section, where)]
    decimal = decide_decimal(_numbers(sections), where)
    if faults:
        raise InputError(faults)
    export = _Export(area, sections, _facts(area), decimal)
    plates = tuple(replace(plate, position=at) for at, plate in enumerate(_plates(export), 1))
    return ExportRecord(FORMAT, plates, (*notes, *_notes(export), *doubt_dilutions(plates)))


def _section_starts(area: Area) -> Iterator[int]:
    """Rows that begin a section."""
    return (row for row in range(len(area.rows)) if area.text(row, 0).lower().rstrip(":") == "datatype")


def _header_of(area: Area, start: int) -> tuple[str, ...]:
    """Column names of the section that begins in a row."""
    return tuple(area.text(start + 1, column) for column in range(len(area.rows[start + 1]))) if start + 1 < len(area.rows) else ()


def _sections(area: Area, where: str) -> tuple[dict[str, _Section], list[str]]:
    """Sections by lower-case name, and those that stand twice."""
    found: dict[str, _Section] = {}
    faults: list[str] = []
    for start in _section_starts(area):
        name = " ".join(area.text(start, 1).split())
        rows = []
        for row in range(start + 2, len(area.rows)):
            texts = [area.text(row, column) for column in range(len(area.rows[row]))]
            if not any(texts) or texts[0].lower().rstrip(":") == "datatype" or texts[0].startswith("-- CRC"):
                break
            rows.append(row)
        if name.lower() in found:
            place = f"{where}, {area.origin(start, 0)}"
            faults.append(fault(place, f"section '{name}' stands twice", "one batch in a file", "Export each batch on its own"))
        found.setdefault(
            name.lower(), _Section(area, name, start, _header_of(area, start), tuple(rows), tuple(_places(area, rows)), _labels(area, rows))
        )
    return found, faults


def _labels(area: Area, rows: Sequence[int]) -> dict[str, int]:
    """First row that begins with each label, in lower case."""
    return {area.text(row, 0).lower().rstrip(":"): row for row in reversed(rows)}


def _places(area: Area, rows: Sequence[int]) -> Iterator[tuple[int, tuple[str, str]]]:
    """Row, and plate number with well, of each row that begins with the place of a well."""
    for row in rows:
        match = _LOCATION.fullmatch(area.text(row, 0))
        if match and 1 <= int(match["well"][1:]) <= _COLUMNS:
            yield row, (match["plate"] or "1", well_name(*well_position(match["well"])))


def _section_faults(section: _Section, where: str) -> Iterator[str]:
    """Analytes that stand twice, places that are no wells, medians and counts that are neither numbers nor words of a reader."""
    name = section.name.lower()
    if name not in _READ:
        return
    for analyte in dict.fromkeys(one for one in section.analytes if section.analytes.count(one) > 1):
        place = f"{where}, {section.area.origin(section.top + 1, 0)}"
        yield fault(place, f"section '{section.name}' names '{analyte}' twice", "each analyte once", "Give each bead its own name")
    if name in _BY_WELL and section.header[:2] != ("Location", "Sample"):
        found = f"section '{section.name}' begins with '{','.join(section.header[:2])}'"
        yield fault(
            f"{where}, {section.area.origin(section.top, 0)}", found, "column names Location, Sample and the analytes", "Export again"
        )
        return
    if section.header[:1] != ("Location",) or name == "warnings/errors":
        return
    for row in section.rows:
        place, text = f"{where}, {section.area.origin(row, 0)}", section.area.text(row, 0)
        match = _LOCATION.fullmatch(text)
        if match is None or not 1 <= int(match["well"][1:]) <= _COLUMNS:
            yield fault(place, f"section '{section.name}': '{text}' is no place", "a place such as 1(1,A1)", "Export again")
        for analyte in dict.fromkeys(section.analytes) if name in {"median", "net mfi"} else ():
            cell = section.cell(row, analyte)
            if signal_status(cell) is None:
                yield fault(place, f"{section.name} of {analyte}: '{cell}' is no reading", "a number or NaN", "Export again")


def _numbers(sections: Mapping[str, _Section]) -> Iterator[str]:
    """Cells whose decimal mark is the file's."""
    for name in ("median", "net mfi", "result", "standard expected concentration"):
        if name in sections:
            section = sections[name]
            yield from (section.cell(row, analyte).partition(" ")[0] for row in section.rows for analyte in section.analytes)


def _facts(area: Area) -> dict[str, tuple[str, ...]]:
    """What stands above the results: ``Batch``, ``ProtocolPlate`` and others, as printed."""
    end = next(_section_starts(area), len(area.rows))
    rows = [[area.text(row, column) for column in range(len(area.rows[row]))] for row in range(end)]
    return {row[0]: tuple(row[1:]) for row in reversed(rows) if row and row[0]}


def _plates(export: _Export) -> Iterator[PlateRecord]:
    """One record for each plate and analyte."""
    medians = export.sections["median"]
    numbers = list(dict.fromkeys(plate for _, (plate, _) in medians.places))
    batch = next(iter(export.facts.get("Batch", ())), "")
    kind = export.facts.get("ProtocolPlate", ())
    large = "384" in kind or any(row > 7 or column > 11 for _, (_, well) in medians.places for row, column in [well_position(well)])
    size = (16, 24) if large else (8, 12)
    for number in numbers:
        for analyte in medians.analytes:
            layout = tuple(_layout(export, number, analyte))
            named = " ".join(part for part in (batch, number if len(numbers) > 1 else "", analyte) if part)
            yield PlateRecord(
                named,
                0,
                *size,
                tuple(_readings(export, number, analyte)),
                layout,
                tuple(_vendor(export, number, analyte, layout)),
                _curve(export, analyte),
            )


def _readings(export: _Export, number: str, analyte: str) -> Iterator[WellReading]:
    """Medians, then net medians, of one plate and analyte."""
    counts = export.wells("count", analyte)
    for name, kind in (("median", SignalKind.RAW), ("net mfi", SignalKind.REDUCED)):
        for (plate, well), (text, origin) in export.wells(name, analyte).items():
            if plate == number:
                yield fluorescence(well, text, counts.get((plate, well), ("", ""))[0], kind, export.decimal, origin)


def _layout(export: _Export, number: str, analyte: str) -> Iterator[WellLayout]:
    """What each well of one plate holds, for one analyte."""
    medians = export.sections["median"]
    folds = export.wells("dilution factor", "Dilution Factor")
    unit = mass_unit(export.labelled("units", "units", analyte))
    for row, (plate, well) in medians.places:
        name = export.area.text(row, 1)
        if plate != number or not name:
            continue
        standard = export.labelled("standard expected concentration", name.lower(), analyte)
        control = export.labelled("control expected concentration", name.lower(), analyte)
        role = _role(name, standard, control)
        nominal = {WellRole.STANDARD: standard, WellRole.QC: control}.get(role, "")
        concentration = parse_number(nominal, export.decimal) if is_number_like(nominal) else None
        fold = folds.get((plate, well), ("", ""))[0]
        dilution = parse_number(fold, export.decimal) if is_number_like(fold) and role in {WellRole.SPECIMEN, WellRole.QC} else None
        shown = unit if concentration is not None else None
        yield WellLayout(well, role, name, concentration, dilution, shown, export.area.origin(row, 0), analyte)


def _role(name: str, standard: str, control: str) -> WellRole:
    """Role of a sample: what the expected concentrations say, else what its whole name says."""
    said = role_of_sample(name)
    if said is not WellRole.SPECIMEN:
        return said
    return WellRole.STANDARD if standard else WellRole.QC if control else WellRole.SPECIMEN


def _vendor(export: _Export, number: str, analyte: str, layout: Sequence[WellLayout]) -> Iterator[VendorWell]:
    """The software's own concentrations; an empty cell was not asked for."""
    folds = {one.well: one.dilution for one in layout}
    for (plate, well), (text, origin) in export.wells("result", analyte).items():
        if plate == number and text:
            yield vendor_well(well, text, export.decimal, origin, folds.get(well))


def _curve(export: _Export, analyte: str) -> VendorCurve | None:
    """Family of the software's curve and the coefficients that it printed."""
    model = export.labelled("analysis types", "analysistype", analyte)
    if not model or model.lower() == "none":
        return None
    section = export.sections.get("analysis coefficients")
    rows = [(section.area.text(row, 0), section.cell(row, analyte)) for row in section.rows] if section else []
    parameters = {label: parse_number(text, export.decimal) for label, text in rows if label and is_number_like(text)}
    unit = mass_unit(export.labelled("units", "units", analyte))
    origin = export.area.origin(export.sections["analysis types"].top, 0)
    return VendorCurve(model, MappingProxyType(parameters), unit, origin)


def _notes(export: _Export) -> Iterator[str]:
    """Units that are no mass per volume, the instrument's warnings, sections that are not read."""
    units = {analyte: export.labelled("units", "units", analyte) for analyte in export.sections["median"].analytes}
    other = sorted({unit for unit in units.values() if unit and mass_unit(unit) is None})
    if other:
        yield f"units not read: {', '.join(repr(unit) for unit in other)} are no mass per volume, concentrations stay as given"
    warnings = export.sections.get("warnings/errors")
    told = [
        f"{export.area.origin(row, 0)}: {' '.join(export.area.text(row, column) for column in range(3)).strip()}"
        for row in (warnings.rows if warnings else ())
    ]
    yield from told[:_MAX_NOTES]
    if len(told) > _MAX_NOTES:
        yield f"and {len(told) - _MAX_NOTES} more warnings of the instrument"
    left = [section.name for name, section in export.sections.items() if name not in _READ]
    if left:
        yield f"sections not read: {', '.join(left)}"


def compose(record: ExportRecord, delimiter: str = ",", decimal: str = ".") -> bytes:
    """Bytes of an export of one batch and one plate; each plate record is one analyte.

    Raises
    ------
    ValueError : a plate without layout or analyte, plates of different batches, or different wells on them
    """
    groups = [_Composed.of(plate) for plate in record.plates]
    if not groups or len({(group.batch, tuple(group.names.items())) for group in groups}) != 1:
        raise ValueError("an xPONENT export needs analytes of one batch with the same wells and samples")
    plate = record.plates[0]
    size = "384" if plate.n_columns == 24 else "96"
    rows: list[list[str]] = [
        ["Program", "xPONENT", "", "MAGPIX"],
        ["Batch", groups[0].batch],
        [],
        ["ProtocolPlate", "Name", "", "Type", size],
    ]
    rows += [[], ["Results"], []]
    for title, body in _sections_of(groups, decimal):
        rows += [["DataType:", title], *body, []]
    return compose_rows(rows, delimiter).encode()


@dataclass(frozen=True, slots=True)
class _Composed:
    """One plate record taken apart for composing."""

    plate: PlateRecord
    batch: str
    analyte: str
    names: Mapping[str, str]

    @classmethod
    def of(cls, plate: PlateRecord) -> "_Composed":
        """Batch and analyte from the plate's name and layout."""
        analytes = {layout.analyte or "" for layout in plate.layout}
        if len(analytes) != 1 or "" in analytes:
            raise ValueError("an xPONENT export needs a layout that names one analyte for each plate")
        analyte = next(iter(analytes))
        batch = (plate.name or "").removesuffix(analyte).strip()
        return cls(plate, batch, analyte, {layout.well: layout.name or "" for layout in plate.layout})

    def readings(self, kind: SignalKind) -> dict[str, tuple[str, str]]:
        """Printed cell and bead count by well."""
        return {one.well: split_beads(one.text) for one in self.plate.readings if one.kind is kind}

    def nominal(self, role: WellRole) -> dict[str, float]:
        """Expected concentration by sample name."""
        return {one.name or "": one.concentration for one in self.plate.layout if one.role is role and one.concentration is not None}


def _sections_of(groups: Sequence[_Composed], decimal: str) -> Iterator[tuple[str, list[list[str]]]]:
    """Title and rows of each section, column names first."""
    names = groups[0].names
    analytes = [group.analyte for group in groups]
    head = ["Location", "Sample", *analytes]
    places = [f"{at}(1,{well})" for at, well in enumerate(names, 1)]
    raw, net = ([group.readings(kind) for group in groups] for kind in (SignalKind.RAW, SignalKind.REDUCED))
    vendor = [{one.well: one.text for one in group.plate.vendor_wells} for group in groups]
    tables: list[tuple[str, list[dict[str, str]]]] = [("Median", [{well: one[0] for well, one in each.items()} for each in raw])]
    tables.append(("Net MFI", [{well: one[0] for well, one in each.items()} for each in net]))
    tables.append(("Count", [{well: one[1] or "100" for well, one in each.items()} for each in raw]))
    tables.append(("Result", vendor))
    for title, columns in tables:
        if any(columns):
            body = [
                [place, name, *(each.get(well, "") for each in columns)] for place, (well, name) in zip(places, names.items(), strict=True)
            ]
            yield title, [head, *body]
    units = [next((one.unit for one in group.plate.layout if one.unit), "") for group in groups]
    yield "Units", [["Analyte:", *analytes], ["BeadID:", *(str(at + 12) for at in range(len(analytes)))], ["Units:", *units]]
    for title, role in (("Standard Expected Concentration", WellRole.STANDARD), ("Control Expected Concentration", WellRole.QC)):
        nominal = [group.nominal(role) for group in groups]
        labels = dict.fromkeys(name for each in nominal for name in each)
        body = [[label, *(repr(each[label]).replace(".", decimal) if label in each else "NaN" for each in nominal)] for label in labels]
        if body:
            yield title, [["Reagent", *analytes], *body]
    folds = {one.well: one.dilution for one in groups[0].plate.layout if one.dilution is not None}
    body = [
        [place, name, repr(folds.get(well, 1.0)).replace(".", decimal)] for place, (well, name) in zip(places, names.items(), strict=True)
    ]
    yield "Dilution Factor", [["Location", "Sample", "Dilution Factor"], *body]
    curves = [group.plate.vendor_curve for group in groups]
    yield "Analysis Types", [["Analyte:", *analytes], ["AnalysisType", *(one.model if one else "None" for one in curves)]]
    labels = dict.fromkeys(label for one in curves if one for label in one.parameters)
    body = [
        [label, *(repr(one.parameters[label]).replace(".", decimal) if one and label in one.parameters else "" for one in curves)]
        for label in labels
    ]
    if body:
        yield "Analysis Coefficients", [["Coefficient", *analytes], *body]
