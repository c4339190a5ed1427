"""Expressions and tubes -> the tables under the contact sheets: what gates retain in each condition, and what markers show there."""

import math

import polars as pl

from exvivo.report.numbers import print_number, print_percent
from exvivo.report.sections import Grid, GridRow, heads, real
from exvivo.report.wording import Wording
from exvivo.study.run import Run
from exvivo.study.statuses import ExpressionStatus, TubeKind


def list_retained(run: Run, words: Wording) -> Grid:
    """Share of events that gates retain of stained tubes, by condition: median over tubes, lowest and highest."""
    tubes = run.gating.tubes.frame.filter(pl.col("tube") == TubeKind.FULL.value, pl.col("retained_pct").is_not_null())
    joined = tubes.join(_conditions(run), on="specimen")
    grouped = joined.group_by("condition", maintain_order=True).agg(
        pl.len(),
        pl.col("final_count").median(),
        pl.col("retained_pct").median().alias("middle"),
        pl.col("retained_pct").min().alias("low"),
        pl.col("retained_pct").max().alias("high"),
    )
    rows = [
        GridRow(
            (
                row["condition"],
                str(row["len"]),
                f"{row['final_count']:.0f}",
                print_percent(row["middle"]),
                f"{print_percent(row['low'])}–{print_percent(row['high'])}",
            )
        )
        for row in grouped.sort("condition").iter_rows(named=True)
    ]
    return Grid(heads(words, "condition", "tubes", "cells", "retained", "retained_range"), tuple(rows), frozenset({1, 2, 3, 4}))


def list_expressions(run: Run, words: Wording) -> Grid:
    """What each marker shows in each condition: medians over specimens that were measured."""
    joined = run.gating.expressions.frame.join(_conditions(run), on="specimen")
    measured = pl.col("status") == ExpressionStatus.MEASURED.value
    middles = [
        pl.col(name).filter(measured).median() for name in ("median", "background", "delta", "ratio", "percent_positive", "staining_index")
    ]
    grouped = joined.group_by("marker", "condition").agg(
        measured.sum().alias("n"),
        (pl.col("status") == ExpressionStatus.BELOW_BACKGROUND.value).sum().alias("below"),
        *middles,
        (measured & pl.col("bimodal")).sum().alias("bimodal"),
    )
    order = {name: place for place, name in enumerate(run.protocol.panels.readouts)}
    found = sorted(grouped.iter_rows(named=True), key=lambda row: (order.get(row["marker"], len(order)), row["condition"]))
    rows = [
        GridRow(
            (
                _label(run, row["marker"]),
                row["condition"],
                str(row["n"]),
                str(row["below"]),
                *(print_number(real(row[name])) for name in ("median", "background", "delta", "ratio")),
                print_percent(real(row["percent_positive"])),
                print_number(real(row["staining_index"])),
                str(row["bimodal"]),
            )
        )
        for row in found
    ]
    names = ("marker", "condition", "measured", "below_background", "median", "background", "delta", "ratio")
    told = heads(words, *names, "percent_positive", "staining_index", "bimodal")
    return Grid(told, tuple(rows), frozenset(range(2, len(told))))


def tell_stability(run: Run, words: Wording) -> str:
    """How firmly gates stand: the SD of ln delta that the jackknife over tubes finds, by marker; empty where nothing is known."""
    means = dict(run.gating.gating_variance.frame.group_by("marker").agg(pl.col("variance").mean()).iter_rows())
    parts = [
        f"{_label(run, name)} {print_percent(100 * math.sqrt(means[name]))} %" for name in run.protocol.panels.readouts if name in means
    ]
    return words.say("prose", "stability", {"markers": ", ".join(parts)}) if parts else ""


def _conditions(run: Run) -> pl.DataFrame:
    """Specimen and its condition in words: experiment, and the level of each factor that differs."""
    factors = run.protocol.design.factors
    named = [name for name in factors if len(factors[name].levels) > 1 and name in run.inputs.specimens.frame.columns]
    rows = [
        (
            str(row["specimen"]),
            ", ".join([str(row["experiment"]), *(factors[n].labels.get(str(row[n]), str(row[n])) for n in named if row[n])]),
        )
        for row in run.inputs.specimens.rows()
    ]
    return pl.DataFrame(rows, schema={"specimen": pl.String, "condition": pl.String}, orient="row")


def _label(run: Run, marker: str) -> str:
    readout = run.protocol.panels.readouts.get(marker)
    return marker if readout is None else readout.label
