"""The TEXT segment of FCS files: keywords and values between delimiters, as instruments write them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from exvivo.errors import InputError, fault


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


def parse_text(raw: bytes, where: str, issues: list[str]) -> dict[str, str]:
    """Keywords of one TEXT segment; keys in capitals, with their ``$``; values exactly as written.

    A doubled delimiter is one delimiter by the standard, an empty value to some instruments: the reading with sound keywords is taken.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
        issues.append("TEXT is not UTF-8; read as Latin-1")
    delimiter, body = text[0], text[1:]
    by_standard = _pairs([token.replace("\ue000", delimiter) for token in body.replace(delimiter * 2, "\ue000").split(delimiter)])
    pairs = by_standard
    if delimiter * 2 in body.rstrip("\0 \r\n"):
        with_empty = _pairs(body.split(delimiter))
        if _unsoundness(with_empty, delimiter) < _unsoundness(by_standard, delimiter):
            pairs = with_empty
            issues.append("TEXT holds empty values; doubled delimiters were read as such")
    if pairs is None:
        raise InputError(fault(where, "TEXT holds a keyword without a value", "pairs of keyword and value", "Export the file again"))
    return _unique_keys(pairs, issues)


def _pairs(tokens: list[str]) -> list[tuple[str, str]] | None:
    if tokens and not tokens[-1].strip("\0 \r\n\t"):
        tokens = tokens[:-1]
    if len(tokens) % 2:
        return None
    return [(key.strip().upper(), value) for key, value in zip(tokens[::2], tokens[1::2], strict=True)]


def _unsoundness(pairs: list[tuple[str, str]] | None, delimiter: str) -> int:
    """Number of things that no sound TEXT has: keys with a delimiter, empty keys, absent required keywords."""
    if pairs is None:
        return 1_000_000
    keys = {key for key, _ in pairs}
    n_channels = next((int(value) for key, value in pairs if key == "$PAR" and value.strip().isdecimal()), 0)
    needed = ["$PAR", "$DATATYPE", "$BYTEORD", *(f"$P{i}{letter}" for i in range(1, n_channels + 1) for letter in "BNR")]
    return sum(key not in keys for key in needed) + sum(delimiter in key or not key for key, _ in pairs)


def _unique_keys(pairs: list[tuple[str, str]], issues: list[str]) -> dict[str, str]:
    keywords: dict[str, str] = {}
    for key, value in pairs:
        if keywords.setdefault(key, value) != value:
            issues.append(f"keyword {key} is given twice; the first value is used")
    return keywords


def offset(keywords: Mapping[str, str], key: str) -> int | None:
    """Whole number of a keyword, None when there is none."""
    value = keywords.get(key, "").strip()
    return int(value) if value.isdecimal() else None


def number(text: str | None) -> float | None:
    """Finite number in a text, None when there is none."""
    try:
        value = float((text or "").strip())
    except ValueError:
        return None
    return value if math.isfinite(value) else None
