"""FCS files as a cytometer would write them."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from exvivo.formats.fcsoffsets import HEADER_BYTES
from exvivo.study.design import Channel, SpilloverMatrix

_DELIMITERS = "\x0c|\\/!\x1e"
_LARGEST_HEADER_OFFSET = 99_999_999


def compose(
    events: NDArray[np.float32],
    channels: Sequence[Channel],
    *,
    spillover: SpilloverMatrix | None = None,
    timestep: float | None = None,
    keywords: Mapping[str, str] | None = None,
) -> bytes:
    """FCS 3.1 file of one data set: float32, little endian, list mode.

    Parameters
    ----------
    events : ndarray, shape (n_events, n_channels), channel values as stored (divided by gain and multiplied by time step on reading)
    channels : one per column; amplification, bits and data type are those of float32 whatever they say
    spillover : written as $SPILLOVER
    timestep : seconds per unit of the channel ``Time``
    keywords : further keywords; keys and values must not be empty

    Raises
    ------
    ValueError : columns and channels disagree, an empty or unwritable keyword, or a keyword that this function sets itself
    """
    if events.ndim != 2 or events.shape[1] != len(channels):
        raise ValueError(f"events have shape {events.shape} for {len(channels)} channels")
    own = _required_keywords(len(events), channels) | _optional_keywords(channels, spillover, timestep)
    extra = {key.upper(): value for key, value in (keywords or {}).items()}
    if clash := sorted(set(own) & set(extra)):
        raise ValueError(f"these keywords are set by compose itself: {', '.join(clash)}")
    data = np.ascontiguousarray(events, dtype="<f4").tobytes()
    text, begin = _text_segment(own | extra, len(data))
    end = begin + len(data) - 1 if data else 0
    fits = end <= _LARGEST_HEADER_OFFSET
    offsets = (HEADER_BYTES, begin - 1, begin if data and fits else 0, end if data and fits else 0, 0, 0)
    header = "FCS3.1    " + "".join(f"{offset:8d}" for offset in offsets)
    return header.encode("ascii") + text + data + b"00000000"


def _plain(value: float) -> str:
    """Shortest text that reads back as the same number."""
    return repr(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


def _required_keywords(n_events: int, channels: Sequence[Channel]) -> dict[str, str]:
    keywords = dict.fromkeys(("$BEGINANALYSIS", "$ENDANALYSIS", "$BEGINSTEXT", "$ENDSTEXT", "$NEXTDATA"), "0")
    keywords |= {"$BYTEORD": "1,2,3,4", "$DATATYPE": "F", "$MODE": "L", "$PAR": str(len(channels)), "$TOT": str(n_events)}
    for number, channel in enumerate(channels, 1):
        keywords |= {f"$P{number}N": channel.name, f"$P{number}B": "32", f"$P{number}E": "0,0", f"$P{number}R": _plain(channel.range)}
    return keywords


def _optional_keywords(channels: Sequence[Channel], spillover: SpilloverMatrix | None, timestep: float | None) -> dict[str, str]:
    keywords: dict[str, str] = {}
    for number, channel in enumerate(channels, 1):
        if channel.marker:
            keywords[f"$P{number}S"] = channel.marker
        if channel.voltage is not None:
            keywords[f"$P{number}V"] = _plain(channel.voltage)
        if channel.gain != 1.0:
            keywords[f"$P{number}G"] = _plain(channel.gain)
    if timestep is not None:
        keywords["$TIMESTEP"] = _plain(timestep)
    if spillover is not None:
        values = [_plain(value) for row in spillover.matrix for value in row]
        keywords["$SPILLOVER"] = ",".join([str(len(spillover.detectors)), *spillover.detectors, *values])
    return keywords


def _text_segment(keywords: Mapping[str, str], data_bytes: int) -> tuple[bytes, int]:
    """TEXT and the offset of DATA behind it; the offsets are padded so that their own length is known beforehand."""
    if bad := sorted(key for key, value in keywords.items() if not key.strip() or not value or key != key.strip()):
        raise ValueError(f"keywords and values must not be empty: {bad}")
    joined = "".join(key + value for key, value in keywords.items())
    free = [sign for sign in _DELIMITERS if sign not in joined]
    if not free or "\ue000" in joined:
        raise ValueError("the keywords hold every possible delimiter; take one of them out")
    delimiter = free[0]
    body = delimiter + "".join(f"{key}{delimiter}{value}{delimiter}" for key, value in keywords.items())
    template = f"$BEGINDATA{delimiter}{{:020d}}{delimiter}$ENDDATA{delimiter}{{:020d}}{delimiter}"
    begin = HEADER_BYTES + len(body.encode("utf-8")) + len(template.format(0, 0))
    offsets = template.format(begin, begin + data_bytes - 1) if data_bytes else template.format(0, 0)
    return (body + offsets).encode("utf-8"), begin
