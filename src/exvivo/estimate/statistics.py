"""Other statistics of a marker beside the registered delta: plain median, ratio to the control, percent positive.

They answer the same contrast with the same donors and are labelled, never registered: where a drug changes
autofluorescence, the plain median and the ratio show an effect that the marker does not have, and delta alone
stays at one.
"""

from collections.abc import Mapping
from types import MappingProxyType

import polars as pl

STATISTICS: Mapping[str, pl.Expr] = MappingProxyType(
    {
        "plain median": pl.col("plain_log_value"),
        "ratio to control": pl.col("ratio_log_value"),
        "percent positive": pl.when(pl.col("percent_positive") > 0).then(pl.col("percent_positive")).log(),
    }
)
"""Natural log of each statistic, from columns of the outcomes table."""


def as_statistic(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """Outcome rows with the registered value replaced by another statistic; rows that lack it are left out."""
    value = STATISTICS[name]
    nothing = pl.lit(None, dtype=pl.Float64)
    return frame.filter(value.is_not_null()).with_columns(
        log_value=value, lower_bound=nothing, upper_bound=nothing, status=pl.lit("measured")
    )
