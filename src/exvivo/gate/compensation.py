"""The matrix of every tube where it does not come from the tube's own file: from a file of the study, or from single stains.

A batch's single stains give its matrix: each stain's own unstained events are subtracted where the tube holds
them, otherwise the unstained tubes of the batch. A batch whose stains give none has a reason instead.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exvivo.errors import InputError, fault
from exvivo.formats import fcs, spillover
from exvivo.gate.prepare import DonorTask, Marker, Tube
from exvivo.numerics.cells import unmixing
from exvivo.numerics.spillover import FEWEST, LEAST_SEPARATION, estimate_spillover, separation, split_stain
from exvivo.study.design import EventsRecord, SpilloverMatrix
from exvivo.study.protocol import plain
from exvivo.study.statuses import TubeKind

Array = NDArray[np.float64]
_FULL = 0.99  # share of a detector's range above which an event may be cut off


def matrices_of(task: DonorTask) -> Mapping[str, SpilloverMatrix | str]:
    """Matrix of each tube of a donor by file, or why it has none; empty when files bring their own or nothing is compensated."""
    choice = task.rules.compensation
    if choice in ("FCS", "none"):
        return {}
    if task.matrix is not None:
        matrix = spillover.parse(Path(task.matrix.path))
        return {tube.file: matrix for tube in task.tubes}
    by_batch = _batches(task.stains, task.markers)
    return {tube.file: by_batch.get(tube.batch, f"batch {tube.batch or 'without a name'} has no single stains") for tube in task.tubes}


@lru_cache(maxsize=4)
def _batches(stains: tuple[Tube, ...], markers: tuple[Marker, ...]) -> Mapping[str | None, SpilloverMatrix | str]:
    batches = dict.fromkeys(tube.batch for tube in stains if tube.kind == TubeKind.SINGLE)
    found: dict[str | None, SpilloverMatrix | str] = {}
    for batch in batches:
        try:
            found[batch] = stain_matrix([tube for tube in stains if tube.batch == batch], markers)
        except InputError as problem:
            found[batch] = str(problem)
    return found


def stain_matrix(tubes: Sequence[Tube], markers: Sequence[Marker]) -> SpilloverMatrix:
    """Matrix of the single stains of one batch.

    Parameters
    ----------
    tubes : its single stains and unstained tubes
    markers : what the stains' markers are called, and their channels

    Raises
    ------
    InputError : everything that stands in its way: files, markers without a channel, stains that do not stand out
    """
    events: dict[str, list[Array]] = {}
    faults: list[str] = []
    unstained: list[tuple[EventsRecord, Array]] = []
    singles: list[tuple[Tube, EventsRecord, Array]] = []
    for tube in tubes:
        try:
            record = fcs.parse(Path(tube.path))[0]
            values = fcs.read_events(Path(tube.path), record).astype(np.float64)
        except (InputError, OSError) as problem:
            faults.append(str(problem))
            continue
        if tube.kind == TubeKind.UNSTAINED:
            unstained.append((record, values))
        else:
            singles.append((tube, record, values))
    named = [(tube, record, values, _channel_of(tube, record, markers)) for tube, record, values in singles]
    for tube, _, _, channel in named:
        if channel is None:
            found = f"the single stain '{tube.marker or ''}' is none of the panel's markers and no channel of the file"
            faults.append(fault(tube.file, found, "a marker or a channel in the column 'marker'", "Correct tubes.csv"))
    channels = list(dict.fromkeys(channel for *_, channel in named if channel is not None))
    for tube, record, values, channel in named:
        if channel is None:
            continue
        picked = _columns(tube.file, record, values, channels, faults)
        if picked is not None:
            events.setdefault(channel, []).append(picked)
    universal = [picked for record, values in unstained if (picked := _columns("unstained", record, values, channels, faults)) is not None]
    if faults:
        raise InputError(faults)
    return _estimate({name: np.concatenate(parts) for name, parts in events.items()}, np.concatenate(universal) if universal else None)


def _channel_of(tube: Tube, record: EventsRecord, markers: Sequence[Marker]) -> str | None:
    wanted = plain(tube.marker or "")
    if not wanted:
        return None
    for marker in markers:
        if wanted in marker.spellings:
            return marker.channel
    return next((channel.name for channel in record.channels if wanted in (plain(channel.name), plain(channel.marker))), None)


def _columns(file: str, record: EventsRecord, values: Array, channels: Sequence[str], faults: list[str]) -> Array | None:
    """Columns of the stained detectors, without events at the top of any of them."""
    names = [channel.name for channel in record.channels]
    if absent := [name for name in channels if name not in names]:
        faults.append(fault(file, f"the file has no channel {', '.join(absent)}", "the channels of the other single stains"))
        return None
    positions = [names.index(name) for name in channels]
    tops = np.array([record.channels[position].range for position in positions])
    picked = values[:, positions]
    return picked[np.all(picked < _FULL * tops, axis=1)]


def _estimate(events: Mapping[str, Array], universal: Array | None) -> SpilloverMatrix:
    channels = tuple(events)
    positives, negatives, faults = [], [], []
    for index, (channel, values) in enumerate(events.items()):
        positive, negative = _sides(values, index, universal)
        if min(len(positive), len(negative)) < FEWEST:
            found = f"{len(positive)} stained and {len(negative)} unstained events"
            faults.append(fault(f"single stain {channel}", found, f"at least {FEWEST} of each", "Add an unstained tube to the batch"))
        elif (apart := separation(positive[:, index], negative[:, index])) < LEAST_SEPARATION:
            found = f"stained events lie {apart:.1f} SD above unstained ones"
            faults.append(
                fault(f"single stain {channel}", found, f"at least {LEAST_SEPARATION:g}", "Stain it again, or use another matrix")
            )
        positives.append(positive)
        negatives.append(negative)
    if faults:
        raise InputError(faults)
    matrix = estimate_spillover(positives, negatives, range(len(channels)))
    for channel, row in zip(channels, matrix, strict=True):
        if (brightest := channels[int(np.argmax(row))]) != channel:
            found = f"it is {np.max(row):.2f} times as bright in {brightest}"
            faults.append(fault(f"single stain {channel}", found, "brightest in its own detector", "Check which tube it is"))
    if faults:
        raise InputError(faults)
    try:
        unmixing(matrix)
    except ValueError as problem:
        raise InputError(fault("single stains", str(problem))) from problem
    return SpilloverMatrix(channels, channels, tuple(tuple(float(value) for value in row) for row in matrix))


def _sides(values: Array, index: int, universal: Array | None) -> tuple[Array, Array]:
    """Stained and unstained events: of the tube itself, or the tube against the unstained tubes."""
    own = split_stain(values[:, index]) if len(values) >= FEWEST else None
    if own is not None and min(int(own[0].sum()), int(own[1].sum())) >= FEWEST:
        return values[own[0]], values[own[1]]
    return values, np.zeros((0, values.shape[1])) if universal is None else universal
