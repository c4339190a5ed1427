"""Another laboratory: tables of values that come already quantified, written as the protocol describes them.

In flow a truth; out flow each table of the protocol under its own file name, columns, separator and decimal mark. A
value is the true net one with a reading error; where a control's value is a column of its own, it is added to the
value. A lost culture keeps its row with an empty cell.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from exvivo.engine import rng_for
from exvivo.formats.delimited import DelimitedTable, compose_table
from exvivo.simulate.conditions import full_levels
from exvivo.simulate.truth import Truth
from exvivo.study.model import QuantifiedTable, TableReadout

READING_SD = 0.05
CONTROL_SHARE = 0.2
"""A control's value, as a share of the readout's centre."""

Row = dict[str, str]


def write_quantified(folder: Path, truth: Truth, seed: int) -> None:
    """Write every table of the protocol."""
    for name, table in truth.protocol.file.tables.items():
        rows = list(_rows(truth, name, table, rng_for(seed, f"table {name}")))
        header = tuple(dict.fromkeys(column for row in rows for column in row)) or (table.readout_column,)
        cells = tuple(tuple(row.get(column, "") for column in header) for row in rows)
        path = folder / table.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(compose_table(DelimitedTable(header, cells, (), delimiter=table.delimiter)))


def _rows(truth: Truth, name: str, table: QuantifiedTable, rng: np.random.Generator) -> Iterator[Row]:
    """Rows of a table, readout by readout."""
    cultures = truth.cultures.with_row_index("row").filter(pl.col("experiment") == table.experiment, pl.col("donor").is_not_null())
    for readout, block in truth.protocol.file.readouts.items():
        if isinstance(block, TableReadout) and block.table == name:
            own = cultures.with_columns(pl.Series("value", _read(truth, readout, cultures, rng)))
            control = CONTROL_SHARE * truth.generating.readouts[readout].centre
            rows = _wide(truth, table, own) if table.layout == "wide" else _long(table, own, control)
            yield from ({table.readout_column: block.label} | row for row in rows)


def _read(truth: Truth, readout: str, cultures: pl.DataFrame, rng: np.random.Generator) -> list[float | None]:
    """What the other laboratory reports for each culture."""
    net = truth.net[cultures["row"].to_numpy(), truth.readouts.index(readout)]
    read = net * np.exp(READING_SD * rng.standard_normal(len(net)))
    return [float(value) if state == "ok" else None for value, state in zip(read, cultures["state"], strict=True)]


def _persons(table: QuantifiedTable, row: dict[str, object]) -> Row:
    found = {table.donor_column: row["donor"], table.serum_donor_column: row["serum_donor"]}
    return {column: str(person or "") for column, person in found.items() if column is not None}


def _long(table: QuantifiedTable, cultures: pl.DataFrame, control: float) -> Iterator[Row]:
    for row in cultures.iter_rows(named=True):
        levels = {column: str(row[factor]) for factor, column in table.factor_columns.items()}
        value = {table.value_column or "value": _print(row["value"], table, control if table.control_column else 0.0)}
        beside = {table.control_column: _print(control, table)} if table.control_column else {}
        yield _persons(table, row) | levels | value | beside


def _wide(truth: Truth, table: QuantifiedTable, cultures: pl.DataFrame) -> Iterator[Row]:
    """One row per donor, serum donor and replicate."""
    factors = list(truth.protocol.file.factors)
    wanted = {tuple(full_levels(truth.protocol, c).values()): column for column, c in table.condition_columns.items()}
    keys = ["donor", "serum_donor", "culture_replicate"]
    for _, part in cultures.group_by(keys, maintain_order=True):
        values = {wanted.get(tuple(str(row[f]) for f in factors)): row["value"] for row in part.iter_rows(named=True)}
        cells = {column: _print(values.get(column), table) for column in wanted.values()}
        yield _persons(table, part.row(0, named=True)) | cells


def _print(value: float | None, table: QuantifiedTable, above: float = 0.0) -> str:
    return "" if value is None else f"{value + above:.6g}".replace(".", table.decimal)
