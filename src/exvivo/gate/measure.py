"""Marker expression: what a stained tube shows above its own control.

The registered statistic is delta, the median less the median of the matching control of the
same specimen, on the linear compensated scale: with the true signal unchanged and more
autofluorescence, a plain median or a ratio moves, delta does not. Ratio, plain median and
percent positive stand beside it.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exvivo.gate.prepare import DonorTask, Marker, OpenTube, Trouble, Tube
from exvivo.numerics import density, medians
from exvivo.numerics.medians import Median
from exvivo.study.model import ControlKind, Panel
from exvivo.study.protocol import plain
from exvivo.study.statuses import ExpressionStatus, RatioNote, Reason, TubeKind

Row = dict[str, object]

BIMODAL_DEPTH = 0.25
"""A marker is called bimodal when its density falls by more than this share of the lower peak between two peaks."""

_ONE_SIDED = 1.6448536269514722
_FEW = 5  # values below zero whose spread is not looked at


@dataclass(frozen=True, slots=True)
class Pair:
    """A marker's stained tube and its control, for one specimen."""

    specimen: str
    marker: Marker
    full: OpenTube
    control: OpenTube


def pair_tubes(task: DonorTask, opened: Mapping[str, OpenTube], troubles: Mapping[str, Trouble]) -> Iterator[tuple[Row, Pair | Trouble]]:
    """Every specimen and marker of a donor with its two tubes, or with the reason why there are none."""
    for specimen, trouble in task.specimens:
        own = [tube for tube in task.tubes if tube.specimen == specimen]
        full = _single([tube for tube in own if tube.kind == TubeKind.FULL], opened, troubles)
        for marker in task.markers:
            row: Row = {"specimen": specimen, "marker": marker.name, "control": marker.control.value}
            if trouble is not None or isinstance(full, Trouble):
                yield row, trouble or _as_trouble(full)
                continue
            control = _single(_controls(own, marker), opened, troubles)
            row |= {"file": full.tube.file, "retained_pct": None}
            if isinstance(control, Trouble):
                yield row, _without_control(control)
                continue
            row["control_file"] = control.tube.file
            pair = Pair(specimen, marker, full, control)
            yield row, _obstacle(pair) or pair


def express_marker(pair: Pair, rules: Panel) -> Row:
    """Cells of one row of ``expressions`` that rest on events.

    Notes
    -----
    delta_se: both medians' order-statistic errors in quadrature. detection_limit: 1.645 times the error that delta
    would have at zero, when the stained tube had the control's spread: se_control sqrt(1 + n_control / n_full).
    A delta at or below that limit is left-censored there.
    """
    stained, control = (events_of(tube, rules.population, pair.marker.channel) for tube in (pair.full, pair.control))
    n, m = len(stained), len(control)
    row: Row = {"count": n, "control_count": m, "retained_pct": _percent(n, pair.full.evaluation.n_events)}
    least = max(rules.min_events, medians.LEAST)
    if min(n, m) < least:
        return row | fail(Trouble(ExpressionStatus.TOO_FEW_EVENTS, Reason.TOO_FEW_EVENTS, (("least", least), ("found", min(n, m)))))
    above, below = medians.measure_median(stained), medians.measure_median(control)
    row |= _describe(above, below) | _count_positive(stained, control, rules) | _look_for_two(stained, below.spread)
    delta, (delta_se, low, high) = above.value - below.value, medians.difference_limits(above, below)
    limit = _ONE_SIDED * below.se * math.sqrt(1.0 + m / n)
    row |= {"delta": delta, "delta_se": delta_se, "delta_low": low, "delta_high": high, "detection_limit": limit}
    return row | _judge(delta, delta_se, limit)


def _describe(above: Median, below: Median) -> Row:
    """Both medians, and what is made of them beside delta."""
    positive = below.value > 0
    return {
        "median": above.value,
        "median_low": above.low,
        "median_high": above.high,
        "robust_sd": above.spread,
        "background": below.value,
        "background_sd": below.spread,
        "ratio": above.value / below.value if positive else None,
        "ratio_note": None if positive else RatioNote.BACKGROUND_NOT_POSITIVE.value,
        "staining_index": (above.value - below.value) / (2.0 * below.spread) if below.spread > 0 else None,
    }


def _count_positive(stained: NDArray[np.floating], control: NDArray[np.floating], rules: Panel) -> Row:
    """Share of stained events above the control's quantile, and that threshold."""
    threshold = float(np.quantile(control, rules.positive_quantile))
    n = len(stained)
    hits = int(np.count_nonzero(stained > threshold))
    low, high = density.wilson_limits(hits, n)
    return {"threshold": threshold, "percent_positive": 100.0 * hits / n, "percent_low": 100.0 * low, "percent_high": 100.0 * high}


def _look_for_two(stained: NDArray[np.floating], noise: float) -> Row:
    """Whether the stained cells are of two kinds: a valley between two peaks.

    The scale is linear within twice the noise, or what is shown would have two peaks where there is one.
    """
    negative = stained[stained < 0].astype(np.float64)
    scale = 2.0 * max(noise, float(np.sqrt(np.mean(negative**2))) if len(negative) > _FEW else 0.0)
    depth = density.valley_depth(stained, scale) if scale > 0 else 0.0
    return {"valley_depth": depth, "bimodal": depth > BIMODAL_DEPTH}


def _judge(delta: float, delta_se: float, limit: float) -> Row:
    if delta <= limit and limit > 0:
        reason = Trouble(ExpressionStatus.BELOW_BACKGROUND, Reason.BELOW_DETECTION)
        return fail(reason) | {"upper_bound": math.log(limit)}
    if delta <= 0:
        # a control without spread has no detection limit to censor at
        return fail(Trouble(ExpressionStatus.REFUSED, Reason.BELOW_DETECTION, (("detail", "control without spread"),)))
    return {
        "log_delta": math.log(delta),
        "se_log": delta_se / delta,
        "status": ExpressionStatus.MEASURED.value,
        "reason": None,
        "detail": None,
    }


def events_of(tube: OpenTube, population: str, channel: str) -> NDArray[np.floating]:
    """Linear compensated values of one channel in one population, shape (n,)."""
    return tube.evaluation.column(channel, "FCS")[tube.evaluation.members[population]]


def fail(trouble: Trouble) -> Row:
    """Status, reason and detail of what has no value."""
    detail = json.dumps(dict(trouble.detail), sort_keys=True) if trouble.detail else None
    return {"status": trouble.status.value, "reason": trouble.reason.value, "detail": detail}


def _single(candidates: Sequence[Tube], opened: Mapping[str, OpenTube], troubles: Mapping[str, Trouble]) -> OpenTube | Trouble:
    usable = [opened[tube.file] for tube in candidates if tube.file in opened]
    if len(usable) == 1:
        return usable[0]
    if usable:
        return Trouble(ExpressionStatus.REFUSED, Reason.TUBE_REPEATED, (("files", ", ".join(sorted(tube.tube.file for tube in usable))),))
    known = [troubles[tube.file] for tube in candidates if tube.file in troubles]
    return known[0] if known else Trouble(ExpressionStatus.MISSING, Reason.NO_FILE)


def _controls(own: Sequence[Tube], marker: Marker) -> list[Tube]:
    """Tubes of the specimen that may serve as the marker's control: one made for it comes before one for all markers."""
    same = [tube for tube in own if tube.kind == marker.control.value]
    if marker.control == ControlKind.UNSTAINED:
        return same
    special = [tube for tube in same if tube.marker is not None and plain(tube.marker) in marker.spellings]
    return special or [tube for tube in same if tube.marker is None and marker.control == ControlKind.ISOTYPE]


def _without_control(control: Trouble) -> Trouble:
    if control.reason == Reason.TUBE_REPEATED:
        return control
    return Trouble(ExpressionStatus.REFUSED, Reason.NO_CONTROL, (("why", control.reason.value),))


def _as_trouble(full: OpenTube | Trouble) -> Trouble:
    return full if isinstance(full, Trouble) else Trouble(ExpressionStatus.MISSING, Reason.NO_FILE)


def _obstacle(pair: Pair) -> Trouble | None:
    for tube in (pair.full, pair.control):
        if pair.marker.channel not in tube.evaluation.positions:
            return Trouble(ExpressionStatus.REFUSED, Reason.NO_CHANNEL, (("channels", pair.marker.channel), ("file", tube.tube.file)))
        if not tube.compensated:
            return Trouble(ExpressionStatus.REFUSED, Reason.NO_COMPENSATION, (("file", tube.tube.file),))
    return None


def _percent(part: int, whole: int) -> float | None:
    return 100.0 * part / whole if whole else None
