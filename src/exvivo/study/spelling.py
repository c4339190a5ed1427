"""How an id looks: spellings that the eye takes for one, so that they are told and never silently merged."""

import unicodedata

_CYRILLIC = dict(
    zip("\u0430\u0432\u0435\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445\u0456\u0458\u0455", "abekmhopctyxijs", strict=True)
)
_GREEK = dict(zip("\u03b1\u03b2\u03b5\u03b6\u03b7\u03b9\u03ba\u03bc\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7", "abezhikmnoptyx", strict=True))
_ALIKE = str.maketrans({**_CYRILLIC, **_GREEK})
_DIGITS = str.maketrans("ol", "01")


def look_alike(name: str) -> str:
    """Name without what the eye does not see: case, blanks, kinds of dashes, O for 0, l for 1, letters of other alphabets.

    >>> look_alike("M\u00a001") == look_alike("m01"), look_alike("\u041c01") == look_alike("MO1"), look_alike("M-01") == look_alike("M01")
    (True, True, False)
    """
    folded = unicodedata.normalize("NFKC", name).casefold().translate(_ALIKE).translate(_DIGITS)
    return "".join(_seen(letter) for letter in folded)


def _seen(letter: str) -> str:
    """A letter as it is seen: dashes alike, blanks and marks without width not at all."""
    category = unicodedata.category(letter)
    if category == "Pd" or letter == "\u2212":
        return "-"
    return "" if letter.isspace() or category == "Cf" else letter


def tell_apart(name: str) -> str:
    """Name with whatever cannot be seen or does not belong to plain text written out.

    >>> tell_apart("M\u00a001"), tell_apart("M 01")
    ("'M<U+00A0>01'", "'M 01'")
    """
    return "'" + "".join(letter if letter.isascii() and letter.isprintable() else f"<U+{ord(letter):04X}>" for letter in name) + "'"
