"""The lab's own tables: specimens.csv, tubes.csv and tables of values that are already quantified.

Every cell is read under the protocol's names; faults of a file are told together. A level of a
factor is taken as it stands; an empty one is the reference level where nothing else can be meant,
and a fault where the conditions of the experiment differ in it.
"""

import datetime as dt
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from exvivo.errors import InputError, fault, unknown
from exvivo.formats.delimited import DelimitedTable, decide_decimal, parse_number, parse_table
from exvivo.read.sources import Source, Sources, read_bytes
from exvivo.study.decisions import Decisions, TargetKind
from exvivo.study.findings import Finding, FindingCode
from exvivo.study.model import Experiment, FlowReadout, QuantifiedTable, TableReadout
from exvivo.study.protocol import Design
from exvivo.study.statuses import STATE_REASONS, Reason, Severity, SpecimenStatus, TubeKind
from exvivo.study.tables import QUANTIFIED, SPECIMENS, TUBE_SHEET, Table, TableKind

MATRICES = ("medium", "cells", "cell_free_medium")
STATES = ("ok", *STATE_REASONS)
_NEEDED = ("specimen", "experiment", "donor", "matrix", "state")
NO_LEVEL = "none"
"""A reference level that means absence: an empty cell says the same."""
_NUMBERS = {"volume_ml": math.inf, "viable_cells": math.inf, "viability_pct": 100.0}
"""Columns of numbers from 0 up, with the largest that can be."""
_LIMIT = re.compile(r"([<>])\s*(\S.*)")


@dataclass(slots=True)
class _Reader:
    """A text table while it is read: cells by column name, faults collected."""

    table: DelimitedTable
    where: str
    faults: list[str] = field(default_factory=list)

    def need(self, columns: Sequence[str]) -> None:
        """Refuse now if a column is missing: nothing below could be read."""
        missing = [name for name in columns if name not in self.table.header]
        if missing:
            raise InputError([fault(self.where, unknown("column", name, self.table.header)) for name in missing])

    def need_rows(self) -> None:
        """Refuse now if there is nothing but column names."""
        if not self.table.rows:
            raise InputError(fault(self.where, "there is no row below the column names", "at least one row", "Export the table again"))

    def rows(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Place and cells of each row."""
        for line, row in zip(self.table.lines, self.table.rows, strict=True):
            yield f"{self.where}, line {line}", dict(zip(self.table.header, (cell.strip() for cell in row), strict=True))

    def numbers(self, name: str, decimal: str | None = None) -> list[float | None]:
        """One column as numbers; other texts become faults."""
        if name not in self.table.header:
            return [None] * len(self.table.rows)
        texts = [text.strip() for text in self.table.column(name)]
        mark = decide_decimal(texts, f"{self.where}, column '{name}'", decimal)
        return [self.number(text, mark, f"{self.where}, line {line}", name) for text, line in zip(texts, self.table.lines, strict=True)]

    def number(self, text: str, mark: str, place: str, name: str) -> float | None:
        """One cell as a number; another text becomes a fault."""
        if not text:
            return None
        try:
            number = parse_number(text, mark)
        except ValueError:
            number = math.inf
        if not math.isfinite(number):
            self.faults.append(fault(place, f"{name} '{text}' is no number", f"a number with '{mark}' as decimal mark, or an empty cell"))
            return None
        return number

    def check_range(self, name: str, values: Sequence[float | None], top: float) -> None:
        """Numbers below 0 or above ``top`` become faults."""
        for value, line in zip(values, self.table.lines, strict=True):
            if value is not None and not 0 <= value <= top:
                expected = f"0 to {top:g}" if math.isfinite(top) else "0 or more"
                self.faults.append(fault(f"{self.where}, line {line}", f"{name} {value:g} cannot be", expected, "Correct the cell"))

    def one_of(self, place: str, name: str, cell: str, known: Sequence[str]) -> str | None:
        """A cell that must be one of some names."""
        if cell not in known:
            self.faults.append(fault(place, unknown(name, cell, known)))
            return None
        return cell

    def finish(self) -> None:
        """Raise what was collected."""
        if self.faults:
            raise InputError(self.faults)


def _varying(design: Design, experiments: Iterable[Experiment]) -> set[str]:
    """Factors whose levels differ between conditions of these experiments: there, an empty cell says nothing."""
    conditions = [{f: c.get(f, spec.reference) for f, spec in design.factors.items()} for e in experiments for c in e.conditions]
    return {factor for factor in design.factors if len({condition[factor] for condition in conditions}) > 1}


def read_specimens(folder: Path, source: Source | None, design: Design, decisions: Decisions) -> tuple[Table, tuple[Finding, ...]]:
    """SPECIMENS with one column per factor.

    Raises
    ------
    InputError : all at once: unknown names, a specimen twice, texts in place of numbers, dates that are not ISO
    """
    if source is None:
        return _build(SPECIMENS, [], design), ()
    reader = _Reader(parse_table(read_bytes(folder, source), source.path), source.path)
    reader.need((*_NEEDED, *sorted(_varying(design, design.experiments.values()))))
    reader.need_rows()
    numbers = {name: reader.numbers(name) for name in _NUMBERS}
    for name, top in _NUMBERS.items():
        reader.check_range(name, numbers[name], top)
    renamed, donors = decisions.corrections(TargetKind.SPECIMEN), decisions.corrections(TargetKind.DONOR)
    first: dict[str, str] = {}
    rows: list[dict[str, object]] = []
    for at, (place, cells) in enumerate(reader.rows()):
        name = renamed.get(cells["specimen"], cells["specimen"])
        if not name:
            reader.faults.append(fault(place, "a row without specimen", "the label of the tube"))
        elif name in first:
            reader.faults.append(fault(place, f"specimen '{name}' stands twice, first at {first[name]}", "one row for each tube"))
        first.setdefault(name, place)
        _check_specimen(reader, place, cells, design)
        row = {column: cells.get(column) or None for column in SPECIMENS.names}
        row |= {"specimen": name, "origin": place}
        row |= {column: donors.get(cells.get(column, ""), cells.get(column)) or None for column in ("donor", "serum_donor")}
        rows.append(row | {column: values[at] for column, values in numbers.items()} | _levels(cells, design))
    reader.finish()
    return _build(SPECIMENS, rows, design), tuple(_assumed(reader, design, "factor column"))


def _check_specimen(reader: _Reader, place: str, cells: Mapping[str, str], design: Design) -> None:
    """Names of one row of specimens.csv."""
    cultured = [design.experiments[cells["experiment"]]] if cells["experiment"] in design.experiments else []
    varying = _varying(design, cultured) if cells["matrix"] != "cell_free_medium" else set()
    reader.one_of(place, "experiment", cells["experiment"], list(design.experiments))
    reader.one_of(place, "matrix", cells["matrix"], MATRICES)
    reader.one_of(place, "state", cells["state"], STATES)
    for factor, spec in design.factors.items():
        if cells.get(factor):
            reader.one_of(place, f"level of {factor}", cells[factor], spec.levels)
        elif spec.reference != NO_LEVEL and factor in varying:
            reader.faults.append(fault(place, f"no level of {factor}", f"one of {', '.join(spec.levels)}", "Write what the culture had"))
    if not cells["donor"] and cells["matrix"] in {"medium", "cells"}:
        reader.faults.append(fault(place, f"a tube of {cells['matrix']} has no donor", "a donor; only cell-free medium has none"))
    date = cells.get("collected_on", "")
    if date and not _is_iso(date):
        reader.faults.append(fault(place, f"collected_on '{date}'", "an ISO date such as 2026-03-09"))


def _is_iso(text: str) -> bool:
    try:
        return len(text) == 10 and bool(dt.date.fromisoformat(text))
    except ValueError:
        return False


def _levels(cells: Mapping[str, str], design: Design) -> dict[str, object]:
    """Level of each factor; an empty cell is the reference level."""
    return {factor: cells.get(factor) or spec.reference for factor, spec in design.factors.items()}


def _assumed(reader: _Reader, design: Design, what: str) -> Iterator[Finding]:
    """Factors whose column the table lacks, when they have more than one level."""
    for factor, spec in design.factors.items():
        if factor not in reader.table.header and len(spec.levels) > 1:
            evidence = f"no {what} '{factor}': '{spec.reference}' was taken for every row"
            suggestion = f"Add the column '{factor}' if another level was used"
            yield Finding(FindingCode.FACTOR_ASSUMED, Severity.NOTE, f"{reader.where} {factor}", evidence, suggestion)


def _build(kind: TableKind, rows: Sequence[Mapping[str, object]], design: Design) -> Table:
    """Checked table with one text column per factor."""
    schema = {column.name: column.dtype for column in kind.columns} | dict.fromkeys(design.factors, pl.String())
    return kind.build(pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema, orient="row"))


def read_tube_sheet(folder: Path, sources: Sources, where: str, design: Design, decisions: Decisions) -> Table:
    """TUBE_SHEET; markers under the readouts' names where they are known. ``where`` is the name that the sheet should have.

    Raises
    ------
    InputError : all at once: unknown kinds of tube, a file twice, a row without file; or FCS files and no list of them
    """
    source = sources.one("tube_sheet")
    table = TUBE_SHEET.empty() if source is None else _read_tubes(folder, source, design, decisions)
    if not table.height and sources.of("fcs") and any(isinstance(readout, FlowReadout) for readout in design.readouts.values()):
        told = f"no tube is listed, and there are {len(sources.of('fcs'))} FCS files"
        raise InputError(fault(where, told, "one row for each FCS file", "Write the sheet, or correct files.tubes"))
    return table


def _read_tubes(folder: Path, source: Source, design: Design, decisions: Decisions) -> Table:
    reader = _Reader(parse_table(read_bytes(folder, source), source.path), source.path)
    reader.need(("file", "specimen", "tube"))
    renamed = decisions.corrections(TargetKind.SPECIMEN)
    first: dict[str, str] = {}
    rows: list[dict[str, object]] = []
    for place, cells in reader.rows():
        name = cells["file"].replace("\\", "/")
        if not name:
            reader.faults.append(fault(place, "a row without file", "the name of an FCS file"))
        elif name in first:
            reader.faults.append(fault(place, f"file '{name}' stands twice, first at {first[name]}", "one row for each file"))
        first.setdefault(name, place)
        reader.one_of(place, "kind of tube", cells["tube"], [kind.value for kind in TubeKind])
        marker = cells.get("marker") or None
        rows.append(
            {
                "file": name,
                "specimen": renamed.get(cells["specimen"], cells["specimen"]) or None,
                "tube": cells["tube"],
                "marker": (design.readout_named(marker) or marker) if marker else None,
                "batch": cells.get("batch") or None,
                "origin": place,
            }
        )
    reader.finish()
    return TUBE_SHEET.from_rows(rows)


# ---------------------------------------------------------------------------------------------- quantified tables


def read_quantified(folder: Path, sources: Sequence[Source], design: Design, decisions: Decisions) -> tuple[Table, tuple[Finding, ...]]:
    """QUANTIFIED from all tables of the protocol; rows of readouts that the protocol does not take from a table are told.

    Raises
    ------
    InputError : faults of all tables together, a table that is absent among them
    """
    by_path = {source.path: source for source in sources}
    rows: list[dict[str, object]] = []
    findings: list[Finding] = []
    faults: list[str] = []
    for name, table in design.tables.items():
        source = by_path.get(table.file)
        if source is None:
            faults.append(fault(table.file, f"the file of table '{name}' is absent", "the file that study.yaml names"))
            continue
        try:
            found, told = _read_one(
                _Reader(parse_table(read_bytes(folder, source), source.path, table.delimiter), source.path), name, table, design
            )
        except InputError as error:
            faults += error.messages
            continue
        rows += found
        findings += told
    if faults:
        raise InputError(faults)
    donors = decisions.corrections(TargetKind.DONOR)
    for row in rows:
        row |= {column: donors.get(str(row[column]), row[column]) for column in ("donor", "serum_donor")}
    return _build(QUANTIFIED, rows, design), tuple(findings)


def _read_one(reader: _Reader, name: str, table: QuantifiedTable, design: Design) -> tuple[list[dict[str, object]], list[Finding]]:
    """Rows of one quantified table."""
    keys = [table.readout_column, *filter(None, [table.donor_column, table.serum_donor_column])]
    values = list(table.condition_columns) if table.layout == "wide" else [table.value_column or "value", *table.factor_columns.values()]
    reader.need([*keys, *values, *filter(None, [table.control_column])])
    reader.need_rows()
    rows: list[dict[str, object]] = []
    unlinked: dict[str, int] = {}
    order: dict[str, int] = {}
    for place, cells in reader.rows():
        readout = design.readout_named(cells[table.readout_column])
        spec = design.readouts.get(readout or "")
        if readout is None or not isinstance(spec, TableReadout) or spec.table != name:
            unlinked[cells[table.readout_column]] = unlinked.get(cells[table.readout_column], 0) + 1
            continue
        order[readout] = order.get(readout, 0) + 1
        head = {
            "readout": readout,
            "experiment": table.experiment,
            "donor": cells[table.donor_column] or None if table.donor_column else str(order[readout]),
            "serum_donor": cells[table.serum_donor_column] or None if table.serum_donor_column else None,
            "unit": spec.unit,
            "origin": place,
        }
        rows += [head | row for row in _values(reader, place, cells, table, design)]
    reader.finish()
    findings = [_unlinked(reader.where, text, count, design) for text, count in unlinked.items()]
    return rows, [*findings, *_assumed_levels(reader, table, design)]


def _assumed_levels(reader: _Reader, table: QuantifiedTable, design: Design) -> Iterator[Finding]:
    """Factors that no column and no condition of a quantified table states."""
    stated = set(table.factor_columns) | {factor for condition in table.condition_columns.values() for factor in condition}
    for factor, spec in design.factors.items():
        if factor not in stated and len(spec.levels) > 1:
            evidence = f"no column states '{factor}': '{spec.reference}' was taken for every row"
            yield Finding(
                FindingCode.FACTOR_ASSUMED,
                Severity.NOTE,
                f"{reader.where} {factor}",
                evidence,
                "State it in study.yaml if another was used",
            )


def _unlinked(where: str, text: str, count: int, design: Design) -> Finding:
    evidence = f"{count} rows of '{text}', which is no readout of this table in study.yaml"
    readouts = [key for key, readout in design.readouts.items() if isinstance(readout, TableReadout)]
    return Finding(
        FindingCode.ID_UNKNOWN,
        Severity.WARNING,
        f"{where} {text}",
        evidence,
        f"Declare it, or leave it: {unknown('readout', text, readouts)}",
    )


def _values(reader: _Reader, place: str, cells: Mapping[str, str], table: QuantifiedTable, design: Design) -> Iterator[dict[str, object]]:
    """Values of one row with their conditions."""
    if table.layout == "wide":
        for column, condition in table.condition_columns.items():
            yield _levels(condition, design) | _value(reader, place, cells[column], table.decimal)
        return
    levels = {factor: cells[column] for factor, column in table.factor_columns.items()}
    for factor, level in levels.items():
        if level and factor in design.factors:
            reader.one_of(place, f"level of {factor}", level, design.factors[factor].levels)
    value = _value(reader, place, cells[table.value_column or "value"], table.decimal)
    if table.control_column:
        value = _minus_control(value, _value(reader, place, cells[table.control_column], table.decimal))
    yield _levels(levels, design) | value


def _value(reader: _Reader, place: str, text: str, decimal: str) -> dict[str, object]:
    """One cell: a number, ``<limit``, ``>limit`` or nothing."""
    limit = _LIMIT.fullmatch(text)
    bound = reader.number(limit[2] if limit else text, decimal, place, "value")
    empty: dict[str, object] = {"value": None, "lower_bound": None, "upper_bound": None, "reason": None, "detail": None}
    if bound is None:
        return empty | {"status": SpecimenStatus.MISSING.value, "reason": Reason.NO_READING.value}
    if limit is None:
        return empty | {"value": bound, "status": SpecimenStatus.QUANTIFIED.value}
    detail = json.dumps({"limit": bound})
    if limit[1] == "<":
        return empty | {
            "upper_bound": bound,
            "status": SpecimenStatus.BELOW_LLOQ.value,
            "reason": Reason.BELOW_LLOQ.value,
            "detail": detail,
        }
    return empty | {"lower_bound": bound, "status": SpecimenStatus.ABOVE_ULOQ.value, "reason": Reason.ABOVE_ULOQ.value, "detail": detail}


def _minus_control(value: Mapping[str, object], control: Mapping[str, object]) -> dict[str, object]:
    """Value minus its control; without an exact control there is no value."""
    background = control["value"]
    if not isinstance(background, float):
        none = {"value": None, "lower_bound": None, "upper_bound": None}
        return {**value, **none, "status": SpecimenStatus.MISSING.value, "reason": Reason.NO_CONTROL.value}
    moved = {name: cell - background for name in ("value", "lower_bound", "upper_bound") if isinstance(cell := value[name], float)}
    return {**value, **moved}
