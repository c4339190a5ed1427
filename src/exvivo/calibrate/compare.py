"""Our concentrations beside those that the reader's own software printed, well by well."""

import polars as pl

from exvivo.study.tables import Table


def compare_with_vendor(vendor: Table, wells: Table, curves: Table) -> pl.DataFrame:
    """One row per well for which the export holds a concentration or says why it has none.

    Returns
    -------
    DataFrame : plate, well, specimen, analyte, vendor, ours, relative_difference (ours / vendor - 1), status_vendor, status_ours;
        both concentrations in the specimen, dilution applied
    """
    theirs = vendor.frame.select("plate", "well", pl.col("concentration").alias("at_plate"), pl.col("status").alias("status_vendor"))
    at_plate = pl.col("concentration") / pl.col("dilution").fill_null(1.0)
    range_status = (
        pl.when(pl.col("status") != "ok").then(pl.col("status"))
        .when(at_plate.is_null() | (at_plate < pl.col("lloq"))).then(pl.lit("below_lloq"))
        .when(at_plate > pl.col("uloq")).then(pl.lit("above_uloq"))
        .otherwise(pl.lit("quantified"))
    )  # fmt: skip
    limits = curves.frame.select("plate", "analyte", "lloq", "uloq")
    ours = (
        wells.frame.join(limits, on=["plate", "analyte"], how="left", maintain_order="left")
        .with_columns(ours="concentration", status_ours=range_status)
        .select("plate", "well", "specimen", "analyte", "dilution", "ours", "status_ours")
    )
    joined = theirs.join(ours, on=["plate", "well"], how="left", maintain_order="left").with_columns(
        vendor=pl.col("at_plate") * pl.col("dilution").fill_null(1.0)
    )
    difference = pl.when(pl.col("vendor") > 0).then(pl.col("ours") / pl.col("vendor") - 1.0)
    columns = ["plate", "well", "specimen", "analyte", "vendor", "ours", "relative_difference", "status_vendor", "status_ours"]
    return joined.with_columns(relative_difference=difference).select(columns)
