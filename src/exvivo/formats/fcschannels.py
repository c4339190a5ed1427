"""What the keywords of an FCS data set say of its channels: names, ranges, amplifiers, bits, spillover."""

import re
from collections.abc import Mapping, Sequence

from exvivo.formats.fcstext import Notes, number, offset
from exvivo.study.design import Channel, SpilloverMatrix

_SPILLOVER_KEYS = ("$SPILLOVER", "SPILLOVER", "$SPILL", "SPILL", "$COMP", "COMP")
_LOG_FREE = (0.0, 0.0)


def byte_order(keywords: Mapping[str, str], notes: Notes) -> str:
    """``little`` or ``big``, from $BYTEORD."""
    found = keywords.get("$BYTEORD", "").replace(" ", "")
    digits = found.split(",")
    upward = [str(i) for i in range(1, len(digits) + 1)]
    if len(digits) >= 2 and digits == upward:
        return "little"
    if len(digits) >= 2 and digits == upward[::-1]:
        return "big"
    notes.fault(f"$BYTEORD is '{found}'", "1,2,3,4 or 4,3,2,1")
    return ""


def check_mode(keywords: Mapping[str, str], notes: Notes) -> None:
    """Histograms hold no events and are refused."""
    mode = keywords.get("$MODE", "").strip().upper()
    if not mode:
        notes.issues.append("$MODE is absent; list mode is taken")
    elif mode != "L":
        notes.fault(f"$MODE is '{mode}'", "L (list mode): histograms hold no events", "Export list-mode data")


def describe_channels(keywords: Mapping[str, str], notes: Notes) -> tuple[Channel, ...]:
    """Channels in the order of the columns; empty when $PAR or $DATATYPE is at fault."""
    count = offset(keywords, "$PAR")
    datatype = keywords.get("$DATATYPE", "").strip().upper()
    if not count:
        notes.fault(f"$PAR is '{keywords.get('$PAR', '')}'", "the number of channels")
    if datatype not in ("F", "D", "I"):
        notes.fault(f"$DATATYPE is '{datatype}'", "F, D or I: text data (A) are not supported", "Export as binary FCS 3.1")
    if not count or datatype not in ("F", "D", "I"):
        return ()
    channels = tuple(_channel(keywords, place, datatype, notes) for place in range(1, count + 1))
    _note_zero_offsets(keywords, channels, notes)
    names = [channel.name for channel in channels]
    for name in sorted({name for name in names if names.count(name) > 1}):
        notes.issues.append(f"channel name '{name}' is used {names.count(name)} times")
    return channels


def _note_zero_offsets(keywords: Mapping[str, str], channels: Sequence[Channel], notes: Notes) -> None:
    zero = [f"$P{i}E" for i, c in enumerate(channels, 1) if c.amplification[0] > 0 and number(keywords[f"$P{i}E"].split(",")[1]) == 0]
    if zero:
        notes.issues.append(f"an offset of 0 is read as 1, as the standard advises, in {', '.join(zero)}")


def _channel(keywords: Mapping[str, str], place: int, datatype: str, notes: Notes) -> Channel:
    prefix = f"$P{place}"
    name = keywords.get(f"{prefix}N", "").strip()
    if not name:
        name = f"P{place}"
        notes.issues.append(f"{prefix}N is absent; the channel is called {name}")
    own_type = keywords.get(f"{prefix}DATATYPE", datatype).strip().upper()
    if own_type != datatype:
        notes.fault(f"{prefix}DATATYPE is '{own_type}' in a file of type {datatype}", "one data type for all channels", "Export as FCS 3.1")
    extent = number(keywords.get(f"{prefix}R"))
    if extent is None or extent < 0:
        notes.fault(f"{prefix}R is '{keywords.get(f'{prefix}R', '')}'", "the range of the channel, a positive number")
    gain = number(keywords.get(f"{prefix}G"))
    if gain is not None and gain < 0:
        notes.fault(f"{prefix}G is '{keywords[f'{prefix}G']}'", "a positive gain")
    return Channel(
        name=name,
        marker=keywords.get(f"{prefix}S", "").strip(),
        range=extent or 0.0,
        voltage=number(keywords.get(f"{prefix}V")),
        gain=gain or 1.0,  # 0 is written by some instruments for "not amplified"
        amplification=_amplification(keywords, prefix, datatype, extent, notes),
        bits=_bits(keywords, prefix, datatype, notes),
        datatype=datatype,
    )


def _bits(keywords: Mapping[str, str], prefix: str, datatype: str, notes: Notes) -> int:
    allowed = {"F": (32,), "D": (64,), "I": (8, 16, 24, 32)}[datatype]
    found = keywords.get(f"{prefix}B", "").strip()
    if (bits := int(found) if found.isdecimal() else 0) not in allowed:
        widths = " or ".join(str(width) for width in allowed)
        notes.fault(f"{prefix}B is '{found}' with data type {datatype}", f"{widths} bits", "Export as FCS 3.1 with 32-bit floats")
    return bits


def _amplification(keywords: Mapping[str, str], prefix: str, datatype: str, extent: float | None, notes: Notes) -> tuple[float, float]:
    found = keywords.get(f"{prefix}E", "").strip()
    if not found:
        notes.issues.append(f"{prefix}E is absent; a linear amplifier is taken")
        return _LOG_FREE
    parts = [number(part) for part in found.split(",")]
    if len(parts) != 2 or parts[0] is None or parts[1] is None or parts[0] < 0 or parts[1] < 0:
        notes.fault(f"{prefix}E is '{found}'", "two numbers, as in 0,0 or 4,1")
        return _LOG_FREE
    decades, offset = parts[0], parts[1]
    if decades == 0:
        return _LOG_FREE
    if datatype != "I":
        notes.issues.append(f"{prefix}E is '{found}' but floating-point values are linear by the standard; it was not applied")
        return _LOG_FREE
    if offset == 0:
        offset = 1.0
    if not extent:
        notes.fault(
            f"{prefix}E is '{found}' but {prefix}R is '{keywords.get(f'{prefix}R', '')}'", "a positive range for a logarithmic channel"
        )
    return decades, offset


def spillover_of(keywords: Mapping[str, str], channels: Sequence[Channel], notes: Notes) -> SpilloverMatrix | None:
    """First spillover keyword; a matrix that cannot be understood is an issue and leaves None, so that using it fails with a word."""
    key = next((key for key in _SPILLOVER_KEYS if keywords.get(key, "").strip()), None)
    if key is None:
        return None
    items = [item.strip() for item in re.split(r"[,\t]", keywords[key])]
    size = int(items[0]) if items[0].isdecimal() else 0
    names, numbers = items[1 : size + 1], [number(item) for item in items[size + 1 :]]
    values = [value for value in numbers if value is not None]
    if size < 1 or len(values) != len(numbers) or len(values) != size * size or len(set(names)) != size:
        notes.issues.append(f"{key} is not a square matrix with named channels; it is not used")
        return None
    known = [channel.name for channel in channels]
    if not set(names) <= set(known) and all(name.isdecimal() and 1 <= int(name) <= len(known) for name in names):
        notes.issues.append(f"{key} names channels by number")
        names = [known[int(name) - 1] for name in names]
    if unknown := [name for name in names if name not in known]:
        notes.issues.append(f"{key} names channels that the file does not have: {', '.join(unknown)}")
    rows = tuple(tuple(values[size * i : size * (i + 1)]) for i in range(size))
    return SpilloverMatrix(tuple(names), tuple(names), rows)


def row_bytes(channels: Sequence[Channel]) -> int:
    """Bytes of one event."""
    return sum(channel.bits for channel in channels) // 8
