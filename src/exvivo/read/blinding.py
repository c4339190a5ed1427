"""The one place where condition names are coded until a decision unblinds the study."""

import hashlib

import polars as pl

from exvivo.study.protocol import Design
from exvivo.study.tables import Table


def level_code(study_id: str, factor: str, level: str) -> str:
    """Code of a level: the same in every run of one study, telling nothing by itself.

    >>> level_code("NCT04206644", "drug", "vehicle") != level_code("NCT04206644", "drug", "ruxolitinib")
    True
    """
    return f"{factor}-{hashlib.sha256(f'{study_id}:{factor}:{level}'.encode()).hexdigest()[:6]}"


def code_levels(table: Table, design: Design) -> Table:
    """The table with the blinded factor's levels replaced by their codes; rows and order stay."""
    if design.blinding is None or design.blinding.factor not in table.frame.columns:
        return table
    factor = design.blinding.factor
    codes = {level: level_code(design.study_id, factor, level) for level in design.factors[factor].levels}
    return table.kind.build(table.frame.with_columns(pl.col(factor).replace(codes)))
