"""The clinic: a REDCap dictionary and a raw export of what was recorded about each person."""

from pathlib import Path

import numpy as np
import polars as pl

from exvivo.engine import rng_for
from exvivo.formats.redcap import Dictionary, Export, Field, MissingCode, Value, compose_dictionary, compose_export
from exvivo.simulate.people import JOINED
from exvivo.simulate.truth import Truth
from exvivo.study.model import Clinical, Variable, VariableKind

FORM = "baseline"


def write_clinic(folder: Path, truth: Truth, seed: int) -> None:
    """Write the export and its dictionary; nothing when the protocol has no clinical table."""
    clinical = truth.protocol.file.clinical
    if clinical is None:
        return
    dictionary = compose_dictionary(dictionary_of(truth))
    export = compose_export(export_of(truth, rng_for(seed, "missing codes")), dictionary_of(truth))
    for name, data in ((truth.protocol.files.dictionary, dictionary), (truth.protocol.files.clinical, export)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def dictionary_of(truth: Truth) -> Dictionary:
    """Fields of the protocol's clinical block; none identifies a person."""
    clinical = _clinical(truth)
    fields = [Field(clinical.key, FORM, "text", "Pseudonym")]
    codes = clinical.populations or {name: block.label for name, block in truth.protocol.file.populations.items()}
    fields.append(Field(clinical.population_column, FORM, "radio", "Population", tuple((str(code), name) for code, name in codes.items())))
    fields += [_field(name, variable) for name, variable in clinical.variables.items()]
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


def _field(name: str, variable: Variable) -> Field:
    """Field of one variable, with the codes of its levels and the bounds of its range."""
    label = variable.label or name
    column = variable.column or name
    if variable.type in {VariableKind.NUMBER, VariableKind.INTEGER}:
        low, high = (f"{bound:g}" for bound in variable.range) if variable.range else ("", "")
        return Field(column, FORM, "text", label, (), variable.type.value, low, high)
    kind = "checkbox" if variable.type is VariableKind.MULTISELECT else "radio"
    return Field(column, FORM, kind, label, tuple((str(code), text) for code, text in variable.levels.items()))


def _coded(value: object, variable: Variable) -> Value:
    """A recorded label as its code, several ticked ones as codes in the order of the levels."""
    if value is None or isinstance(value, float):
        return value
    ticked = set(str(value).split(JOINED))
    codes = tuple(str(code) for code, label in variable.levels.items() if label in ticked)
    return codes if variable.type is VariableKind.MULTISELECT else codes[0]
