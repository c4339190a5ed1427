"""How firmly a donor's gates stand: the variance of ln delta when gates are redrawn without some tubes.

Delete-a-group jackknife: the tubes are dealt into at most four groups by digest, gates are
redrawn on the pooled summaries without one group at a time, inside the parents as they were,
and every tube is measured again. Variance = (g - 1) / g times the sum of squares around the
mean, averaged over specimens.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from exvivo.gate.autogate import FittedGate, redraw
from exvivo.gate.measure import Pair
from exvivo.gate.prepare import OpenTube
from exvivo.study.design import Gate

Row = dict[str, object]

_GROUPS = 4


def gating_variance(donor: str, fitted: Sequence[FittedGate], pairs: Sequence[Pair], population: str) -> list[Row]:
    """Rows of ``gating_variance`` for the markers of a donor that were measured."""
    files = sorted({file for gate in fitted for file in gate.summaries})
    groups = [frozenset(files[i::_GROUPS]) for i in range(min(_GROUPS, len(files)))]
    if len(groups) < 2 or not pairs:
        return []
    refits = [deltas for group in groups if (deltas := _refit(fitted, pairs, population, group)) is not None]
    if len(refits) < 2:
        return []
    rows: list[Row] = []
    for name in sorted({pair.marker.name for pair in pairs}):
        spreads = [_spread([refit[i] for refit in refits]) for i, pair in enumerate(pairs) if pair.marker.name == name]
        known = [spread for spread in spreads if spread is not None]
        if known:
            rows.append({"donor": donor, "marker": name, "variance": float(np.mean(known)), "refits": len(refits)})
    return rows


def _spread(deltas: Sequence[float]) -> float | None:
    if min(deltas) <= 0:
        return None
    logs = np.log(deltas)
    return float((len(logs) - 1) / len(logs) * np.sum((logs - logs.mean()) ** 2))


def _refit(fitted: Sequence[FittedGate], pairs: Sequence[Pair], population: str, left_out: frozenset[str]) -> list[float] | None:
    tubes = {tube.tube.file: tube for pair in pairs for tube in (pair.full, pair.control)}
    gates = [redraw(gate, left_out) for gate in fitted]
    drawn = [gate for gate in gates if gate is not None]
    if len(drawn) < len(gates):
        return None
    medians = {file: _medians(tube, drawn, fitted, population, pairs) for file, tube in tubes.items()}
    return [medians[p.full.tube.file][p.marker.channel] - medians[p.control.tube.file][p.marker.channel] for p in pairs]


def _medians(
    tube: OpenTube, drawn: Sequence[Gate], fitted: Sequence[FittedGate], population: str, pairs: Sequence[Pair]
) -> Mapping[str, float]:
    moved = tube.evaluation.again()
    for gate, first in zip(drawn, fitted, strict=True):
        moved.add(first.of(tube.tube.file) if gate is first.gate else gate)
    member = moved.members[population]
    channels = sorted({pair.marker.channel for pair in pairs if pair.marker.channel in moved.positions})
    if not np.any(member):
        return dict.fromkeys(channels, math.nan)
    return {channel: float(np.median(moved.column(channel, "FCS")[member])) for channel in channels}
