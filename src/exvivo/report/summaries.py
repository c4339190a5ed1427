"""Paired values -> what each condition looks like: values, how many lie beyond a limit, median, mean and spread without substitution.

A value below its limit is neither dropped nor replaced: the median is Kaplan and Meier's, mean and SD are those of regression on
order statistics. Where values lie above a limit or between two, which these cannot take, only counts are shown.
"""

import math
from collections.abc import Sequence

import numpy as np

from exvivo.numerics.nondetects import summarise_kaplan_meier, summarise_order_statistics
from exvivo.report.numbers import print_number
from exvivo.report.pairs import PairGroup, Pairs, Point
from exvivo.report.sections import Grid, GridRow, heads
from exvivo.report.wording import Wording


def list_values(groups: Sequence[PairGroup], words: Wording) -> Grid:
    """One row for each comparison, readout and condition."""
    names = ("experiment", "readout", "condition", "values", "below_limit", "above_limit", "median_km", "mean_ros", "sd_ros")
    rows = [
        GridRow((group.experiment, _name(panel), panel.arms[arm], *_summarise([point for point in panel.points if point.arm == arm])))
        for group in groups
        for panel in group.panels
        for arm in (0, 1)
    ]
    return Grid(heads(words, *names), tuple(rows), frozenset(range(3, 9)))


def _name(panel: Pairs) -> str:
    return f"{panel.label} ({panel.unit})" if panel.unit else panel.label


def _summarise(points: Sequence[Point]) -> tuple[str, ...]:
    below, other = sum(point.bound == "below" for point in points), sum(point.bound in ("above", "between") for point in points)
    counts = str(len(points)), str(below), str(other)
    if other or len(points) - below < 2:
        return *counts, "", "", ""
    values, hidden = np.array([point.value for point in points]), np.array([point.bound == "below" for point in points])
    ranks, median = summarise_order_statistics(values, hidden), summarise_kaplan_meier(values, hidden).median
    if not hidden.any():
        median = float(np.median(values))
    return *counts, *(print_number(None if math.isnan(number) else number) for number in (median, ranks.mean, ranks.sd))
