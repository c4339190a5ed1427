"""Run -> results/tables: every public table as CSV and Parquet, all of them in one workbook, curves as JSON.

Missing is an empty cell. Text that a spreadsheet would take for a formula gets a leading apostrophe in
CSV (Parquet keeps the text as it is, the workbook writes it as text). The same run gives the same bytes.
"""

import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import xlsxwriter

from exvivo.engine import write_atomically
from exvivo.report.miflowstudy import list_for_study
from exvivo.report.prism import list_prism_tables
from exvivo.study.run import Run
from exvivo.study.tables import PUBLIC_TABLES, Table

CREATED = datetime(2000, 1, 1, tzinfo=UTC)
"""Date inside the workbook: fixed, so that the same run gives the same bytes. Times stand in manifest.json only."""

SHEET_ROWS = 1_048_575
CELL_CHARACTERS = 32_767

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$")


def write_tables(run: Run, folder: Path) -> None:
    """Write ``tables/`` of a results folder.

    Parameters
    ----------
    run : Run
    folder : results folder; ``tables/NAME.csv``, ``tables/NAME.parquet``, ``tables/prism/*.csv``, ``tables/curves.json`` and
        ``tables.xlsx`` are written in it
    """
    tables = public_tables(run)
    for table in tables:
        write_atomically(folder / "tables" / f"{table.kind.name}.csv", compose_csv(table.frame))
        write_atomically(folder / "tables" / f"{table.kind.name}.parquet", compose_parquet(table.frame))
    for name, frame in list_prism_tables(run):
        write_atomically(folder / "tables" / "prism" / f"{name}.csv", compose_csv(frame))
    write_atomically(folder / "tables" / "curves.json", compose_curves(run.calibration.curves))
    write_atomically(folder / "tables.xlsx", _compose_workbook(tables))


def public_tables(run: Run) -> tuple[Table, ...]:
    """Tables that are written, in the order of the data."""
    held = (
        run.inputs.readings, run.calibration.wells, run.calibration.curves, run.calibration.verdicts, run.calibration.limits,
        run.calibration.controls, run.calibration.concentrations,
        run.gating.tubes, run.gating.gates, run.gating.populations, run.gating.expressions,
        run.gating.gating_variance, run.inputs.clinical, run.outcomes, run.findings,
        run.effects.effects, run.effects.supplementary, run.effects.ratios, run.effects.diagnostics, run.exclusions, list_for_study(run),
    )  # fmt: skip
    by_name = {table.kind.name: table for table in held}
    return tuple(by_name[kind.name] for kind in PUBLIC_TABLES)


def compose_csv(frame: pl.DataFrame) -> bytes:
    """CSV: UTF-8, line feeds, decimal point, shortest digits that give the same number back, empty cell = missing.

    A text that is itself empty is written as ``""``.
    """
    guarded = [guard_formulas(frame[name]) for name in frame.columns]
    return pl.DataFrame(guarded).write_csv(line_terminator="\n", quote_style="necessary").encode()


def guard_formulas(cells: pl.Series) -> pl.Series:
    """Text cells that a spreadsheet would run get a leading apostrophe; plain numbers stay."""
    if cells.dtype != pl.String:
        return cells
    guarded = [text if text is None or not _runs(text) else f"'{text}" for text in cells]
    return pl.Series(cells.name, guarded, dtype=pl.String)


def _runs(text: str) -> bool:
    return text.startswith(_FORMULA) and not _NUMBER.match(text)


def compose_parquet(frame: pl.DataFrame) -> bytes:
    """Parquet bytes of a frame."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def compose_curves(curves: Table) -> bytes:
    """CURVES as JSON: a list of objects, parameters and covariance as JSON values."""
    listed = [
        {**row, "parameters": json.loads(str(row["parameters"])), "covariance": json.loads(str(row["covariance"] or "null"))}
        for row in curves.rows()
    ]
    return (json.dumps(listed, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _compose_workbook(tables: tuple[Table, ...]) -> bytes:
    buffer = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(buffer, options) as book:
        book.set_properties({"created": CREATED.replace(tzinfo=None)})
        head = book.add_format({"bold": True, "bottom": 1})
        for table in tables:
            sheet = book.add_worksheet(table.kind.name)
            sheet.freeze_panes(1, 0)
            sheet.write_row(0, 0, table.frame.columns, head)
            for number, row in enumerate(_sheet_rows(table.frame), start=1):
                sheet.write_row(number, 0, row)
            if table.height:
                sheet.autofilter(0, 0, min(table.height, SHEET_ROWS), len(table.frame.columns) - 1)
    return buffer.getvalue()


def _sheet_rows(frame: pl.DataFrame) -> Iterator[list[object]]:
    """Rows as a sheet can hold them; what does not fit stands in the CSV file, and the last row says so."""
    fits = frame.height <= SHEET_ROWS
    for row in (frame if fits else frame.head(SHEET_ROWS - 1)).iter_rows():
        yield [cell[:CELL_CHARACTERS] if isinstance(cell, str) else cell for cell in row]
    if not fits:
        yield [f"{frame.height - SHEET_ROWS + 1} further rows stand in the CSV file"]
