"""The clinic's table -> one row per donor with the protocol's variables.

A REDCap export with its dictionary, or any table. Categories become their labels, several ticked
boxes the one category that the protocol's precedence names; nothing ticked is missing. A value
that cannot be is emptied and told as a finding; nothing is guessed. Rows of one donor (events,
repeats) are laid over each other where they do not contradict.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from exvivo.errors import InputError, fault, unknown
from exvivo.formats.delimited import decide_decimal, is_number_like, parse_number, parse_table
from exvivo.formats.redcap import Export, InvalidValue, MissingCode, Value, checkbox_column, parse_dictionary, parse_export
from exvivo.read.sources import Sources, read_bytes
from exvivo.study.decisions import Decisions, TargetKind
from exvivo.study.findings import Finding, FindingCode
from exvivo.study.model import Clinical, Variable, VariableKind
from exvivo.study.protocol import Design, plain
from exvivo.study.statuses import Severity
from exvivo.study.tables import CLINICAL, Table

Cell = str | float | None
_NUMBERS = {VariableKind.NUMBER, VariableKind.INTEGER}


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of the export: donor, population, variables, place."""

    donor: str
    population: str | None
    values: Mapping[str, Cell]
    origin: str


def read_clinical(folder: Path, sources: Sources, design: Design, decisions: Decisions) -> tuple[Table, tuple[Finding, ...]]:
    """CLINICAL, sorted as in the file, and what was odd.

    Raises
    ------
    InputError : all at once: files that are absent or unreadable, columns that the protocol names and the table lacks
    """
    clinical = design.clinical
    if clinical is None:
        return CLINICAL.empty(), ()
    source = sources.one("clinical")
    if source is None:
        raise InputError(
            fault("study folder", "the clinical table is absent", "the file that files.clinical names", "Export it, or drop 'clinical'")
        )
    export = _read_export(folder, sources, source.path, clinical)
    _check_columns(export, clinical, source.path)
    if not export.rows:
        raise InputError(fault(source.path, "there is no row below the column names", "one row for each person", "Export it again"))
    donors = decisions.corrections(TargetKind.DONOR)
    findings: list[Finding] = []
    if export.dropped:
        evidence = f"dropped: {', '.join(export.dropped)}"
        findings.append(Finding(FindingCode.IDENTIFIER_DROPPED, Severity.NOTE, source.path, evidence, "Export without identifying fields"))
    rows, odd = _rows(export, source.path, design, clinical, donors)
    findings += odd
    by_donor: dict[str, list[_Row]] = {}
    for row in rows:
        by_donor.setdefault(row.donor, []).append(row)
    merged = [_merge(donor, own, clinical, findings) for donor, own in by_donor.items()]
    types = {name: pl.Float64() if variable.type in _NUMBERS else pl.String() for name, variable in clinical.variables.items()}
    schema = {column.name: column.dtype for column in CLINICAL.columns} | types
    frame = pl.DataFrame(
        [{"donor": row.donor, "population": row.population, "origin": row.origin, **row.values} for row in merged],
        schema=schema,
        orient="row",
    )
    return CLINICAL.build(frame), tuple(findings)


def _read_export(folder: Path, sources: Sources, where: str, clinical: Clinical) -> Export:
    """Typed rows of the clinical file."""
    source = sources.one("clinical")
    data = read_bytes(folder, source) if source else b""
    if clinical.format == "plain":
        return _plain_export(data, where, clinical)
    book = sources.one("dictionary")
    if book is None:
        raise InputError(
            fault(
                "study folder", "the data dictionary is absent", "the file that files.dictionary names", "Export it, or set format: plain"
            )
        )
    dictionary = parse_dictionary(read_bytes(folder, book), book.path)
    return parse_export(data, dictionary, where, missing_codes=clinical.missing_codes, decimal=clinical.decimal)


def _plain_export(data: bytes, where: str, clinical: Clinical) -> Export:
    """Any table as an export: text cells, ticked boxes of multiselect variables folded."""
    table = parse_table(data, where)
    codes = frozenset(clinical.missing_codes)
    boxes = {
        variable.column or name: [(code, checkbox_column(variable.column or name, code)) for code in variable.levels]
        for name, variable in clinical.variables.items()
        if variable.type is VariableKind.MULTISELECT and (variable.column or name) not in table.header
    }
    folded = {field: pairs for field, pairs in boxes.items() if all(column in table.header for _, column in pairs)}
    hidden = {column for pairs in folded.values() for _, column in pairs}
    plain_columns = [name for name in table.header if name not in hidden]
    rows: list[tuple[Value, ...]] = []
    for row in table.rows:
        cells = dict(zip(table.header, (cell.strip() for cell in row), strict=True))
        values: list[Value] = [MissingCode(cells[name]) if cells[name] in codes else cells[name] or None for name in plain_columns]
        values += [tuple(code for code, column in pairs if cells[column] in {"1", "Checked"}) or None for pairs in folded.values()]
        rows.append(tuple(values))
    return Export((*plain_columns, *folded), tuple(rows), table.lines, notes=table.notes)


def _check_columns(export: Export, clinical: Clinical, where: str) -> None:
    """Columns that the protocol names."""
    wanted = [clinical.key, clinical.population_column, *(variable.column or name for name, variable in clinical.variables.items())]
    missing = [name for name in dict.fromkeys(wanted) if name not in export.columns]
    faults = [
        fault(where, f"column '{name}' is marked as an identifier and was dropped", action="Mark the pseudonym as no identifier in REDCap")
        if name in export.dropped
        else fault(where, unknown("column", name, export.columns))
        for name in missing
    ]
    if faults:
        raise InputError(faults)


def _decimal(export: Export, column: str, clinical: Clinical, where: str) -> str:
    """Decimal mark of a column of texts."""
    at = export.columns.index(column)
    texts = [value for row in export.rows if isinstance(value := row[at], str)]
    variable = next(v for name, v in clinical.variables.items() if (v.column or name) == column)
    return decide_decimal(texts, f"{where}, column '{column}'", clinical.decimal) if variable.type in _NUMBERS else "."


def _rows(export: Export, where: str, design: Design, clinical: Clinical, donors: Mapping[str, str]) -> tuple[list[_Row], list[Finding]]:
    """Rows with the protocol's variables, and what was odd in their cells; faults of all rows together."""
    key, population = export.columns.index(clinical.key), export.columns.index(clinical.population_column)
    decimals = {name: _decimal(export, variable.column or name, clinical, where) for name, variable in clinical.variables.items()}
    rows: list[_Row] = []
    findings: list[Finding] = []
    faults: list[str] = []
    for line, row in zip(export.lines, export.rows, strict=True):
        place = f"{where}, line {line}"
        name = _text(row[key])
        if not name:
            faults.append(fault(place, f"no '{clinical.key}'", "the donor's pseudonym"))
            continue
        group = _text(row[population])
        group = clinical.populations.get(group, group) if group else None
        if group is not None and group not in design.populations:
            faults.append(fault(place, unknown("population", group, design.populations)))
        found = {
            name: _convert(row[export.columns.index(variable.column or name)], variable, decimals[name])
            for name, variable in clinical.variables.items()
        }
        donor = donors.get(name, name)
        rows.append(_Row(donor, group, {name: value for name, (value, _) in found.items()}, place))
        findings += [_odd(f"{place} {variable}", donor, problem) for variable, (_, problem) in found.items() if problem]
    if faults:
        raise InputError(faults)
    return rows, findings


def _odd(place: str, donor: str, problem: str) -> Finding:
    """A cell that cannot be as it is."""
    code = FindingCode.CONFLICTING_CLINICAL if problem.startswith("ticked") else FindingCode.VALUE_OUT_OF_RANGE
    suggestion = "Correct it at its source and export again"
    return Finding(code, Severity.WARNING, place, f"donor {donor}: {problem}", suggestion, donors=(donor,))


def _text(value: Value) -> str | None:
    """A cell as text: whole numbers without decimals."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, InvalidValue):
        return value.text
    return value if isinstance(value, str) else None


def _convert(value: Value, variable: Variable, decimal: str) -> tuple[Cell, str]:
    """Value of one variable, and what is wrong with it; a wrong value is emptied."""
    if value is None or isinstance(value, MissingCode):
        return None, ""
    if isinstance(value, InvalidValue):
        return None, f"'{value.text}', expected {value.expected}"
    if variable.type in _NUMBERS:
        return _convert_number(value, variable, decimal)
    if variable.type is VariableKind.MULTISELECT:
        return _convert_ticks(value, variable)
    text = _text(value) or ""
    label = _label(text, variable)
    return label, "" if label is not None else f"'{text}', expected one of {', '.join(variable.levels.values())}"


def _convert_number(value: Value, variable: Variable, decimal: str) -> tuple[Cell, str]:
    """A number inside its range."""
    number = value if isinstance(value, float) else None
    if isinstance(value, str) and is_number_like(value):
        number = parse_number(value, decimal)
    if number is None:
        return None, f"'{_text(value)}', expected a number"
    if variable.type is VariableKind.INTEGER and not number.is_integer():
        return None, f"{number:g}, expected a whole number"
    if variable.range is not None and not variable.range[0] <= number <= variable.range[1]:
        return None, f"{number:g}, expected {variable.range[0]:g} to {variable.range[1]:g}"
    return number, ""


def _label(text: str, variable: Variable) -> str | None:
    """Label of a code, or of a label in another spelling."""
    if text in variable.levels:
        return variable.levels[text]
    return next((label for label in variable.levels.values() if plain(label) == plain(text)), None)


def _convert_ticks(value: Value, variable: Variable) -> tuple[Cell, str]:
    """Category of what is ticked: the first of the precedence, or all labels when there is none."""
    texts: Iterable[str] = value if isinstance(value, tuple) else re.split(r"\s*[;|+,]\s*", _text(value) or "")
    labels = [_label(text, variable) for text in texts if text]
    known = [label for label in labels if label is not None]
    if len(known) < len(labels):
        return None, f"'{_text(value) or value}', expected some of {', '.join(variable.levels.values())}"
    others = [label for label in known if label != variable.none_level]
    contradiction = f"ticked '{variable.none_level}' together with {', '.join(others)}" if len(others) < len(known) and others else ""
    if variable.precedence:
        return next((label for label in variable.precedence if label in (others or known)), None), contradiction
    return ", ".join(others or known) or None, contradiction


def _merge(donor: str, rows: Sequence[_Row], clinical: Clinical, findings: list[Finding]) -> _Row:
    """Rows of one donor laid over each other; a contradiction empties the cell and is an error."""
    values: dict[str, Cell] = {}
    told: list[str] = []
    for name in ("population", *clinical.variables):
        found = [row.population if name == "population" else row.values[name] for row in rows]
        distinct = list(Counter(value for value in found if value is not None))
        values[name] = distinct[0] if len(distinct) == 1 else None
        if len(distinct) > 1:
            told.append(f"{name} {' / '.join(str(value) for value in distinct)}")
    if told:
        lines = ", ".join(row.origin.rsplit(" ", 1)[-1] for row in rows)
        evidence = f"lines {lines} contradict: {'; '.join(told)}"
        suggestion = "Correct them at their source, or export one event only"
        findings.append(Finding(FindingCode.CONFLICTING_CLINICAL, Severity.ERROR, donor, evidence, suggestion, donors=(donor,)))
    population = values.pop("population")
    return _Row(donor, population if isinstance(population, str) else None, values, rows[0].origin)
