"""Outcomes -> wide tables for people who draw in a spreadsheet: donor rows, condition columns, censoring marked.

A value below its limit is written ``<12.3``, one above ``>12.3``; what was refused or is missing is an empty cell.
"""

import math
from collections.abc import Iterator

import polars as pl

from exvivo.study.protocol import Protocol
from exvivo.study.run import Run


def list_prism_tables(run: Run) -> Iterator[tuple[str, pl.DataFrame]]:
    """Name (``READOUT_EXPERIMENT``) and wide table of every readout and experiment that holds a row."""
    frame = run.outcomes.frame
    for experiment in run.protocol.design.experiments:
        for readout in run.protocol.design.readouts:
            rows = frame.filter((frame["experiment"] == experiment) & (frame["readout"] == readout))
            if rows.height:
                yield f"{readout}_{experiment}", _widen(rows, run.protocol)


def _widen(rows: pl.DataFrame, protocol: Protocol) -> pl.DataFrame:
    factors = [name for name in protocol.design.factors if name in rows.columns]
    varying = [name for name in factors if rows[name].n_unique() > 1] or factors[:1]
    owners = [name for name in ("donor", "serum_donor") if rows[name].null_count() < rows.height]
    cells: dict[tuple[str, ...], dict[str, str | None]] = {}
    names: dict[str, None] = {}
    for row in rows.iter_rows(named=True):
        column = " | ".join(str(row[name] or "") for name in varying)
        names[column] = None
        cells.setdefault(tuple(row[name] or "" for name in owners), {})[column] = print_cell(row)
    schema = dict.fromkeys([*owners, *names], pl.String())
    wide = [[*owner, *(held.get(name) for name in names)] for owner, held in sorted(cells.items())]
    return pl.DataFrame(wide, schema=schema, orient="row")


def print_cell(row: dict[str, object]) -> str | None:
    """One value as text: six significant digits, a sign before a bound, None when there is neither.

    >>> print_cell({"status": "below_lloq", "log_value": None, "lower_bound": None, "upper_bound": 2.5096})
    '<12.3'
    """
    status = row["status"]
    if status in {"quantified", "measured"} and isinstance(row["log_value"], float):
        return f"{math.exp(row['log_value']):.6g}"
    if status in {"below_lloq", "below_background"} and isinstance(row["upper_bound"], float):
        return f"<{math.exp(row['upper_bound']):.3g}"
    if status == "above_uloq" and isinstance(row["lower_bound"], float):
        return f">{math.exp(row['lower_bound']):.3g}"
    return None
