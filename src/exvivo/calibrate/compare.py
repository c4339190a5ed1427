"""Our concentrations beside those that the reader's own software printed, well by well."""

import polars as pl

from exvivo.study.tables import Table


def compare_with_vendor(vendor: Table, wells: Table) -> pl.DataFrame:
    """One row per well for which the export holds a concentration or says why it has none.

    Returns
    -------
    DataFrame : plate, well, specimen, analyte, vendor, ours, relative_difference (ours / vendor - 1), status_vendor, status_ours;
        both concentrations in the specimen, dilution applied
    """
    theirs = vendor.frame.select("plate", "well", pl.col("concentration").alias("at_plate"), pl.col("status").alias("status_vendor"))
    own = [pl.col("concentration").alias("ours"), pl.col("status").alias("status_ours")]
    ours = wells.frame.select("plate", "well", "specimen", "analyte", "dilution", *own)
    joined = theirs.join(ours, on=["plate", "well"], how="left", maintain_order="left").with_columns(
        vendor=pl.col("at_plate") * pl.col("dilution").fill_null(1.0)
    )
    difference = pl.when(pl.col("vendor") > 0).then(pl.col("ours") / pl.col("vendor") - 1.0)
    columns = ["plate", "well", "specimen", "analyte", "vendor", "ours", "relative_difference", "status_vendor", "status_ours"]
    return joined.with_columns(relative_difference=difference).select(columns)
