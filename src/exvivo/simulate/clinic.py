"""The clinic: what was recorded about each person, as a raw REDCap export with its dictionary or as a plain table."""

from pathlib import Path

import numpy as np
import polars as pl

from exvivo.engine import rng_for
from exvivo.formats.delimited import DelimitedTable, compose_table
from exvivo.formats.redcap import Dictionary, Export, Field, MissingCode, Value, compose_dictionary, compose_export
from exvivo.simulate.people import JOINED
from exvivo.simulate.truth import Truth
from exvivo.study.model import Clinical, Variable, VariableKind

FORM = "baseline"


def write_clinic(folder: Path, truth: Truth, seed: int) -> None:
    """Write the table, of REDCap with its dictionary; nothing when the protocol has no clinical table."""
    clinical = truth.protocol.file.clinical
    if clinical is None:
        return
    export, files = export_of(truth, rng_for(seed, "missing codes")), truth.protocol.files
    if clinical.format == "plain":
        written = {files.clinical: compose_plain(export, clinical)}
    else:
        dictionary = dictionary_of(truth)
        written = {files.dictionary: compose_dictionary(dictionary), files.clinical: compose_export(export, dictionary)}
    for name, data in written.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def compose_plain(export: Export, clinical: Clinical) -> bytes:
    """A plain table as an office writes it: several ticked codes in one cell, semicolons where the comma is the decimal mark."""
    rows = tuple(tuple(_plain_cell(value, clinical.decimal or ".") for value in row) for row in export.rows)
    return compose_table(DelimitedTable(export.columns, rows, (), delimiter=";" if clinical.decimal == "," else ","))


def _plain_cell(value: Value, decimal: str) -> str:
    if isinstance(value, MissingCode):
        return value.code
    if isinstance(value, tuple):
        return JOINED.join(value)
    return f"{value:g}".replace(".", decimal) if isinstance(value, float) else str(value or "")


def dictionary_of(truth: Truth) -> Dictionary:
    """Fields of the protocol's clinical block; none identifies a person."""
    clinical = _clinical(truth)
    fields = [Field(clinical.key, FORM, "text", "Pseudonym")]
    codes = clinical.populations or {name: block.label for name, block in truth.protocol.file.populations.items()}
    fields.append(Field(clinical.population_column, FORM, "radio", "Population", tuple((str(code), name) for code, name in codes.items())))
    fields += [_field(name, variable, clinical.decimal) for name, variable in clinical.variables.items()]
    return Dictionary(tuple(fields))


def export_of(truth: Truth, rng: np.random.Generator) -> Export:
    """One row per person. A missing value of a patient is one of the protocol's missing codes, a question never asked an empty cell."""
    clinical = _clinical(truth)
    population_codes = {name: code for code, name in clinical.populations.items()}
    codes = tuple(clinical.missing_codes)
    asked = {name: set(truth.people.filter(pl.col(name).is_not_null())["population"]) for name in clinical.variables}
    rows: list[tuple[Value, ...]] = []
    for row in truth.recorded.iter_rows(named=True):
        cells: list[Value] = [row["donor"], population_codes.get(row["population"], row["population"])]
        for name, variable in clinical.variables.items():
            coded = _coded(row[name], variable)
            if coded is None and codes and row["population"] in asked[name] and variable.type is not VariableKind.MULTISELECT:
                coded = MissingCode(codes[int(rng.integers(len(codes)))])
            cells.append(coded)
        rows.append(tuple(cells))
    names = [variable.column or name for name, variable in clinical.variables.items()]
    return Export((clinical.key, clinical.population_column, *names), tuple(rows), tuple(range(2, len(rows) + 2)))


def _clinical(truth: Truth) -> Clinical:
    clinical = truth.protocol.file.clinical
    if clinical is None:
        raise ValueError("the protocol has no clinical table")
    return clinical


def _field(name: str, variable: Variable, decimal: str | None) -> Field:
    """Field of one variable, with the codes of its levels and the bounds of its range."""
    label = variable.label or name
    column = variable.column or name
    if variable.type in {VariableKind.NUMBER, VariableKind.INTEGER}:
        low, high = (f"{bound:g}" for bound in variable.range) if variable.range else ("", "")
        comma = decimal == "," and variable.type is VariableKind.NUMBER
        return Field(column, FORM, "text", label, (), "number_comma_decimal" if comma else variable.type.value, low, high)
    kind = "checkbox" if variable.type is VariableKind.MULTISELECT else "radio"
    return Field(column, FORM, kind, label, tuple((str(code), text) for code, text in variable.levels.items()))


def _coded(value: object, variable: Variable) -> Value:
    """A recorded label as its code, several ticked ones as codes in the order of the levels."""
    if value is None or isinstance(value, float):
        return value
    ticked = set(str(value).split(JOINED))
    codes = tuple(str(code) for code, label in variable.levels.items() if label in ticked)
    return codes if variable.type is VariableKind.MULTISELECT else codes[0]
