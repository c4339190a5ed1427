"""The bench: which tubes were filled, labelled so that a label tells nothing about its condition.

In flows a truth; out flow ``specimens.csv`` and the list of tubes that instruments measure. Labels are
numbers in random order, because a lab that codes conditions into labels cannot be blinded.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from exvivo.engine import rng_for
from exvivo.formats.delimited import DelimitedTable, compose_table
from exvivo.simulate.truth import Truth
from exvivo.study.model import ElisaReadout, FlowReadout

_FIRST_DAY = dt.date(2024, 1, 15)


@dataclass(frozen=True, slots=True)
class Tubes:
    """Every tube of a study: one row per specimen, ``row`` pointing into the truth's cultures."""

    frame: pl.DataFrame

    def of(self, *matrices: str) -> pl.DataFrame:
        """Tubes of some matrices that were not lost."""
        return self.frame.filter(pl.col("matrix").is_in(matrices), pl.col("state") == "ok")


def label_tubes(truth: Truth, seed: int) -> Tubes:
    """Tubes of every culture and blank: medium and cells as the readouts need them."""
    blocks = truth.protocol.file.readouts.values()
    cultures = truth.cultures.with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
    medium = pl.when(pl.col("donor").is_null()).then(pl.lit("cell_free_medium")).otherwise(pl.lit("medium"))
    parts = []
    if any(isinstance(block, ElisaReadout) for block in blocks):
        parts.append(_labelled(cultures.with_columns(medium.alias("matrix")), "M", seed))
    if any(isinstance(block, FlowReadout) for block in blocks):
        cells = cultures.filter(pl.col("donor").is_not_null()).with_columns(pl.lit("cells").alias("matrix"))
        parts.append(_labelled(cells, "C", seed))
    none = cultures.clear().with_columns(pl.lit("").alias("matrix"), pl.lit("").alias("specimen"))
    return Tubes(pl.concat([none, *parts]))


def compose_specimens(tubes: Tubes, factors: Sequence[str]) -> bytes:
    """``specimens.csv``: one row per tube in the order of the labels, lost ones included."""
    head = ("specimen", "culture", "run", "experiment", "donor", "serum_donor", *factors, "culture_replicate", "matrix")
    days = {run: i for i, run in enumerate(sorted(set(tubes.frame["run"])))}
    rows = []
    for row in tubes.frame.sort("specimen").iter_rows(named=True):
        day = _FIRST_DAY + dt.timedelta(weeks=days[row["run"]])
        volume = "0.2" if row["matrix"] == "cells" else "1"
        living = ("" if row["viable_cells"] is None else f"{row['viable_cells']:.0f}", _printed(row["viability_pct"]))
        comment = "" if row["state"] == "ok" else "culture lost"
        rows.append((*(_printed(row[name]) for name in head), day.isoformat(), volume, *living, row["state"], comment))
    header = (*head, "collected_on", "volume_ml", "viable_cells", "viability_pct", "state", "comment")
    return compose_table(DelimitedTable(header, tuple(rows), ()))


def _labelled(cultures: pl.DataFrame, letter: str, seed: int) -> pl.DataFrame:
    numbers = rng_for(seed, f"labels {letter}").permutation(cultures.height) + 1
    return cultures.with_columns(pl.Series("specimen", [f"{letter}{number:04d}" for number in np.asarray(numbers)], dtype=pl.String))


def _printed(cell: object) -> str:
    return "" if cell is None else str(cell)
