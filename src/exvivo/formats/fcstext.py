"""The TEXT segment of FCS files: keywords and values between delimiters, as instruments write them.

Several readings of doubled delimiters are tried. By the standard they stand for one delimiter
inside a keyword or value, and no value is empty. Many instruments write empty values
instead: then a doubled delimiter after a keyword is an empty value, and only inside a value
does it stand for itself. Some write single delimiters into values: keywords of the standard
show where to go on. The reading with sound keywords is taken, the standard's first.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exvivo.errors import InputError, fault

LONGEST_TEXT = 1 << 25
_MOST_DELIMITERS = 100_000
_BLANK = "\0 \r\n\t\v\f"
_WHOLE = re.compile(r"0*(\d{1,18})(?:\.0*)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)
_LONGEST_NUMBER = 80
_SEGMENTS = "(?:BEGIN|END)(?:DATA|STEXT|ANALYSIS)"
_STANDARD = re.compile(rf"\$(?:P\d+[A-Z]|PAR|TOT|MODE|BYTEORD|DATATYPE|TIMESTEP|SPILLOVER|NEXTDATA|{_SEGMENTS})", re.ASCII)


@dataclass(slots=True)
class Notes:
    """What was odd but readable, and what cannot be read, while one data set is parsed."""

    where: str
    issues: list[str]
    faults: list[str]

    def fault(self, found: str, expected: str = "", action: str = "Export the file again from the instrument") -> None:
        """Keep a fault, to be told with the others."""
        self.faults.append(fault(self.where, found, expected, action))

    def stop(self) -> None:
        """Raise what was kept, if anything."""
        if self.faults:
            raise InputError(self.faults)


@dataclass(frozen=True, slots=True)
class _Run:
    """A piece of text and the number of delimiters behind it."""

    text: str
    delimiters: int
    last: bool


@dataclass(frozen=True, slots=True)
class _Reading:
    """Pairs of keyword and value, and a keyword that was left without a value."""

    pairs: tuple[tuple[str, str], ...]
    leftover: str = ""


def parse_text(raw: bytes, where: str, issues: list[str]) -> dict[str, str]:
    """Keywords of one TEXT segment; keys in capitals, with their ``$``; values exactly as written.

    A doubled delimiter is one delimiter by the standard, an empty value to some instruments: the reading with sound keywords is taken.
    """
    if (pieces := raw.count(raw[:1])) > _MOST_DELIMITERS:
        raise InputError(fault(where, f"TEXT has {pieces} delimiters", f"at most {_MOST_DELIMITERS}", "Export the file again"))
    runs = _runs(_decoded(raw, issues))
    delimiter = raw[:1].decode("latin-1")
    taken = _take(runs, delimiter, issues)
    lost = _lost(taken)
    if taken.leftover and lost:
        raise InputError(fault(where, "TEXT holds a keyword without a value", "pairs of keyword and value", "Export the file again"))
    if taken.leftover:
        issues.append(f"TEXT ends with {taken.leftover[:20]!r}, a keyword without a value, which was left out")
    if shifted := [key for key in lost if key in {value for _, value in taken.pairs}]:
        issues.append(f"TEXT holds {shifted[0]} where a value should stand; keywords may be shifted against their values there")
    return _unique_keys(taken.pairs, issues)


def _take(runs: Sequence[_Run], delimiter: str, issues: list[str]) -> _Reading:
    """The soundest reading; single delimiters inside values are thought of only where keywords are lost or left over."""
    by_standard, with_empty = _pairs(_join_by_standard(runs, delimiter)), _pairs(_join_with_empty(runs, delimiter))
    at_begin = _pairs(_join_by_standard(runs, delimiter, at_end=False))
    taken = min(by_standard, with_empty, at_begin, key=lambda reading: _unsoundness(reading, delimiter))
    if taken.leftover or _lacking(taken):
        resumed = [_pairs(_resume(join(runs, delimiter), delimiter)) for join in (_join_by_standard, _join_with_empty)]
        best = min(taken, *resumed, key=lambda reading: _unsoundness(reading, delimiter))
        if best is not taken:
            issues.append("TEXT holds single delimiters inside values; it was taken up again at the next keyword of the standard")
            return best
    if taken is with_empty and taken.pairs != by_standard.pairs:
        issues.append("TEXT holds empty values; doubled delimiters were read as such")
    return taken


def _decoded(raw: bytes, issues: list[str]) -> list[str]:
    """Everything between delimiters; a delimiter that is no letter of UTF-8 must not spoil the text beside it."""
    pieces = raw[1:].split(raw[:1]) if raw else []
    try:
        return [piece.decode("utf-8") for piece in pieces]
    except UnicodeDecodeError:
        issues.append("TEXT is not UTF-8; read as Latin-1")
        return [piece.decode("latin-1") for piece in pieces]


def _runs(pieces: Sequence[str]) -> list[_Run]:
    texts: list[str] = []
    counts: list[int] = []
    for place, piece in enumerate(pieces):
        if piece or place == 0:
            texts.append(piece)
            counts.append(1)
        else:
            counts[-1] += 1
    if texts and pieces[-1]:
        counts[-1] = 0
    elif texts and len(pieces) > 1:
        counts[-1] -= 1
    return [_Run(text, count, place == len(texts) - 1) for place, (text, count) in enumerate(zip(texts, counts, strict=True))]


def _join_by_standard(runs: Sequence[_Run], delimiter: str, *, at_end: bool = True) -> list[str]:
    """Tokens; delimiters beside a separator belong to the end of the token before it, or to the begin of the one behind it."""
    tokens: list[str] = []
    current = ""
    for run in runs:
        ends, literals = run.last or run.delimiters % 2 == 1, delimiter * _literals(run)
        current += run.text + (literals if at_end or not ends else "")
        if ends:
            tokens.append(current)
            current = "" if at_end else literals
    return tokens


def _join_with_empty(runs: Sequence[_Run], delimiter: str) -> list[str]:
    tokens: list[str] = []
    current = ""
    for run in runs:
        current += run.text
        if len(tokens) % 2 == 0:
            tokens.append(current)
            current = delimiter * max((run.delimiters - 1) // 2, 0)
            ends = run.delimiters > 1 and run.delimiters % 2 == 0
        else:
            current += delimiter * _literals(run)
            ends = run.last or run.delimiters % 2 == 1
        if ends:
            tokens.append(current)
            current = ""
    return [*tokens, current] if current else tokens


def _resume(tokens: Sequence[str], delimiter: str) -> list[str]:
    """Tokens where a keyword of the standard never stands as a value: what came before it belonged to the value before."""
    resumed: list[str] = []
    for token in tokens:
        if len(resumed) % 2 and _is_standard(token):
            stray = resumed.pop()
            if resumed:
                resumed[-1] += delimiter + stray
        resumed.append(token)
    return resumed


def _literals(run: _Run) -> int:
    """Delimiters that belong to the text; the last one of TEXT always ends it."""
    return max(run.delimiters - 1, 0) // 2 if run.last else run.delimiters // 2


def _pairs(tokens: list[str]) -> _Reading:
    """Pairs without the padding behind them."""
    while tokens and _is_blank(tokens[-1]) and (len(tokens) % 2 or _is_blank(tokens[-2])):
        tokens.pop()
    pairs = tuple((key.strip(_BLANK).upper(), value) for key, value in zip(tokens[::2], tokens[1::2], strict=False))
    return _Reading(pairs, tokens[-1] if len(tokens) % 2 else "")


def _is_blank(token: str) -> bool:
    return not token.strip(_BLANK)


def _is_standard(token: str) -> bool:
    return _STANDARD.fullmatch(token.strip(_BLANK).upper()) is not None


def _unsoundness(reading: _Reading, delimiter: str) -> int:
    """Number of things that no sound TEXT has: keywords lost, a key with a delimiter or without text, one without a value."""
    bad_keys = sum(delimiter in key.removeprefix("$") or not key for key, _ in reading.pairs)
    return len(_lost(reading)) + bad_keys + bool(reading.leftover)


def _lost(reading: _Reading) -> list[str]:
    """Required keywords that are absent, and keywords of the standard that stand as values and not as keywords."""
    keys = {key for key, _ in reading.pairs}
    return _lacking(reading) + [value for _, value in reading.pairs if _is_standard(value) and value.strip(_BLANK).upper() not in keys]


def _lacking(reading: _Reading) -> list[str]:
    keywords = dict(reading.pairs)
    n_channels = min(offset(keywords, "$PAR") or 0, len(keywords))
    needed = ["$PAR", "$DATATYPE", "$BYTEORD", *(f"$P{i}{letter}" for i in range(1, n_channels + 1) for letter in "BNR")]
    return [key for key in needed if key not in keywords]


def _unique_keys(pairs: Sequence[tuple[str, str]], issues: list[str]) -> dict[str, str]:
    keywords: dict[str, str] = {}
    for key, value in pairs:
        if keywords.setdefault(key, value) != value:
            issues.append(f"keyword {key} is given twice; the first value is used")
    return keywords


def word(keywords: Mapping[str, str], key: str) -> str:
    """Value of a keyword without the blanks around it; nothing when it is absent."""
    return keywords.get(key, "").strip(_BLANK).strip()


def offset(keywords: Mapping[str, str], key: str) -> int | None:
    """Whole number of a keyword, None when there is none."""
    match = _WHOLE.fullmatch(keywords.get(key, "").strip(_BLANK))
    return int(match[1]) if match else None


def number(text: str | None) -> float | None:
    """Finite number in a text, None when there is none."""
    plain = (text or "").strip(_BLANK)
    if len(plain) > _LONGEST_NUMBER or not _NUMBER.fullmatch(plain):
        return None
    value = float(plain)
    return value if math.isfinite(value) else None
