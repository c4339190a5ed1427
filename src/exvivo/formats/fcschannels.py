"""What the keywords of an FCS data set say of its channels: names, ranges, amplifiers, bits, byte order, spacing."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from exvivo.formats.fcsoffsets import Spacing
from exvivo.formats.fcstext import Notes, number, offset, word
from exvivo.study.design import Channel

_LOG_FREE = (0.0, 0.0)
_MOST_DECADES, _LEAST_FACTOR, _MOST_FACTOR = 30.0, 1e-12, 1e12
_WIDTHS = {"F": "32 bits", "D": "64 bits", "I": "8 to 56 bits, or 64"}
_EXACT_BITS, _MOST_PACKED_BITS = 53, 56
_LEAST_LOG_RANGE = 2
_SHOWN = 6


def byte_order(keywords: Mapping[str, str], channels: Sequence[Channel], notes: Notes) -> str:
    """``little``, ``big``, or the order as written where it is neither and all channels are integers of as many bytes."""
    found = word(keywords, "$BYTEORD")
    digits = re.findall(r"\d", found, re.ASCII) if re.fullmatch(r"[\d,\s]+", found, re.ASCII) else []
    upward = [str(i) for i in range(1, len(digits) + 1)]
    single = {channel.bits for channel in channels} == {8}
    if digits and sorted(digits) == upward and (len(digits) > 1 or single):
        if digits == upward:
            return "little"
        if digits == upward[::-1]:
            return "big"
        if {(channel.datatype, channel.bits) for channel in channels} == {("I", 8 * len(digits))}:
            notes.issues.append(f"$BYTEORD is '{found}'; bytes were put in that order")
            return ",".join(digits)
    if not found and single:
        notes.issues.append("$BYTEORD is absent; single bytes need no order")
        return "little"
    notes.fault(f"$BYTEORD is '{found}'", "1,2,3,4 or 4,3,2,1")
    return ""


def check_mode(keywords: Mapping[str, str], version: str, notes: Notes) -> None:
    """Histograms hold no events and are refused."""
    mode = word(keywords, "$MODE").upper()
    if mode not in ("", "L"):
        notes.fault(f"$MODE is '{mode}'", "L (list mode): histograms hold no events", "Export list-mode data")
    elif not mode and version != "FCS3.2":
        notes.issues.append("$MODE is absent; list mode is taken")


def timestep(keywords: Mapping[str, str]) -> float | None:
    """Seconds per unit of the channel Time; None when there is no usable $TIMESTEP."""
    found = number(keywords.get("$TIMESTEP"))
    return found if found is not None and _LEAST_FACTOR <= found <= _MOST_FACTOR else None


def describe_channels(keywords: Mapping[str, str], version: str, notes: Notes) -> tuple[Channel, ...]:
    """Channels in the order of the columns; empty when $PAR or $DATATYPE is at fault."""
    count = offset(keywords, "$PAR")
    datatype = word(keywords, "$DATATYPE").upper()
    if not count or count > len(keywords):
        notes.fault(f"$PAR is '{keywords.get('$PAR', '')}'", "the number of channels, each with its keywords")
        count = None
    if datatype not in _WIDTHS:
        notes.fault(f"$DATATYPE is '{datatype}'", "F, D or I: text data (A) are not supported", "Export as binary FCS 3.1")
    if not count or datatype not in _WIDTHS:
        return ()
    channels = tuple(_channel(keywords, place, datatype, notes) for place in range(1, count + 1))
    _note_types(channels, datatype, version, notes)
    _note_zero_offsets(keywords, channels, notes)
    _note_linear_floats(keywords, channels, notes)
    _note_wide_integers(channels, notes)
    if any(c.bits % 8 for c in channels) and not all(c.datatype == "I" and c.bits <= _MOST_PACKED_BITS for c in channels):
        notes.fault("$PnB packs bits beside floating-point values or 64-bit integers", "whole bytes for every channel", "Export as FCS 3.1")
    for name, uses in sorted(Counter(channel.name for channel in channels).items()):
        if uses > 1:
            notes.issues.append(f"channel name '{name}' is used {uses} times")
    if (step := word(keywords, "$TIMESTEP")) and timestep(keywords) is None:
        notes.issues.append(f"$TIMESTEP is '{step}', no number above 0; time stays in the instrument's units")
    return channels


def spacings(channels: tuple[Channel, ...]) -> Iterator[Spacing]:
    """Ways in which these channels may lie in DATA, the declared one first."""
    bits = sum(channel.bits for channel in channels)
    uneven = [channel.bits for channel in channels if channel.bits % 8]
    packed = f"integers of {', '.join(str(width) for width in sorted(set(uneven)))} bits are packed without gaps" if uneven else ""
    yield Spacing(channels, bits, packed)
    if bits % 8:
        yield Spacing(channels, -(-bits // 8) * 8, f"{packed}; each event begins with a new byte")
    if uneven:
        wide = tuple(replace(channel, bits=-(-channel.bits // 8) * 8) for channel in channels)
        issue = f"$PnB is {', '.join(str(width) for width in sorted(set(uneven)))} but DATA hold whole bytes, as Coulter's CXP writes them"
        yield Spacing(wide, sum(channel.bits for channel in wide), issue)


def _note_types(channels: Sequence[Channel], datatype: str, version: str, notes: Notes) -> None:
    if version != "FCS3.2" and (other := [f"$P{i}DATATYPE" for i, channel in enumerate(channels, 1) if channel.datatype != datatype]):
        notes.issues.append(f"{_listed(other)}: a keyword of FCS 3.2 in a file of {version}; it was followed")


def _note_linear_floats(keywords: Mapping[str, str], channels: Sequence[Channel], notes: Notes) -> None:
    floats = [f"$P{i}E" for i, channel in enumerate(channels, 1) if channel.datatype != "I"]
    if unused := [key for key in floats if word(keywords, key) and number(word(keywords, key).split(",")[0]) != 0]:
        notes.issues.append(f"floating-point values are linear by the standard; not applied: {_listed(unused)}")


def _note_zero_offsets(keywords: Mapping[str, str], channels: Sequence[Channel], notes: Notes) -> None:
    zero = [f"$P{i}E" for i, c in enumerate(channels, 1) if c.amplification[0] > 0 and number(keywords[f"$P{i}E"].split(",")[1]) == 0]
    if zero:
        notes.issues.append(f"an offset of 0 is read as 1, as the standard advises, in {', '.join(zero)}")


def _note_wide_integers(channels: Sequence[Channel], notes: Notes) -> None:
    ranges = [(f"$P{i}R", c.range) for i, c in enumerate(channels, 1) if c.datatype == "I" and c.bits > _EXACT_BITS]
    if wide := [key for key, extent in ranges if not 0 < extent <= 2.0**_EXACT_BITS]:
        notes.issues.append(f"integers above 2**53 are rounded to 53 bits; {_listed(wide)} allow them")


def _listed(keys: Sequence[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else "")


def _channel(keywords: Mapping[str, str], place: int, datatype: str, notes: Notes) -> Channel:
    prefix = f"$P{place}"
    name = word(keywords, f"{prefix}N")
    if not name:
        name = f"P{place}"
        notes.issues.append(f"{prefix}N is absent; the channel is called {name}")
    own_type = word(keywords, f"{prefix}DATATYPE").upper() or datatype
    if own_type not in _WIDTHS:
        notes.fault(f"{prefix}DATATYPE is '{own_type}'", "F, D or I", "Export as FCS 3.1")
        own_type = datatype
    extent = number(keywords.get(f"{prefix}R"))
    if extent is None or extent < 0:
        notes.fault(f"{prefix}R is '{keywords.get(f'{prefix}R', '')}'", "the range of the channel, a positive number")
    return Channel(
        name=name,
        marker=word(keywords, f"{prefix}S"),
        range=extent or 0.0,
        voltage=number(keywords.get(f"{prefix}V")),
        gain=_gain(keywords, prefix, notes),
        amplification=_amplification(keywords, prefix, own_type, extent, notes),
        bits=_bits(keywords, prefix, own_type, notes),
        datatype=own_type,
    )


def _gain(keywords: Mapping[str, str], prefix: str, notes: Notes) -> float:
    gain = number(keywords.get(f"{prefix}G"))
    if gain is None and (found := word(keywords, f"{prefix}G")):
        notes.issues.append(f"{prefix}G is '{found}', no number; no gain is taken")
    if gain is None or gain == 0:  # 0 is written by some instruments for "not amplified"
        return 1.0
    if not _LEAST_FACTOR <= gain <= _MOST_FACTOR:
        notes.fault(f"{prefix}G is '{keywords[f'{prefix}G']}'", "a positive gain")
        return 1.0
    return gain


def _bits(keywords: Mapping[str, str], prefix: str, datatype: str, notes: Notes) -> int:
    found = word(keywords, f"{prefix}B")
    bits = offset(keywords, f"{prefix}B") or 0
    allowed = {"F": bits == 32, "D": bits == 64, "I": 8 <= bits <= 56 or bits == 64}[datatype]
    if not allowed:
        action = "Export as FCS 3.1 with 32-bit floats"
        notes.fault(f"{prefix}B is '{found}' with data type {datatype}", _WIDTHS[datatype], action)
        return 8
    return bits


def _amplification(keywords: Mapping[str, str], prefix: str, datatype: str, extent: float | None, notes: Notes) -> tuple[float, float]:
    found = word(keywords, f"{prefix}E")
    if not found:
        notes.issues.append(f"{prefix}E is absent; a linear amplifier is taken")
        return _LOG_FREE
    parts = [number(part) for part in found.split(",")]
    if parts == [0.0] or (len(parts) == 2 and parts[0] == 0.0):
        return _LOG_FREE
    if datatype != "I":
        return _LOG_FREE
    if len(parts) != 2 or parts[0] is None or parts[1] is None or not _is_amplifier(parts[0], parts[1]):
        notes.fault(f"{prefix}E is '{found}'", "two numbers, as in 0,0 or 4,1")
        return _LOG_FREE
    if not extent or extent < _LEAST_LOG_RANGE:
        expected = "a positive range for a logarithmic channel"
        notes.fault(f"{prefix}E is '{found}' but {prefix}R is '{keywords.get(f'{prefix}R', '')}'", expected)
    return parts[0], parts[1] or 1.0


def _is_amplifier(decades: float, lowest: float) -> bool:
    return 0 < decades <= _MOST_DECADES and (lowest == 0 or _LEAST_FACTOR <= lowest <= _MOST_FACTOR)
