"""Units of concentration: parse, convert, print. Nothing is assumed: no unit stays ``as given``."""

import re
import unicodedata

AS_GIVEN = "as given"

_GRAM_EXPONENT = {"g": 0, "mg": -3, "ug": -6, "ng": -9, "pg": -12, "fg": -15}
_LITRE_EXPONENT = {"l": 0, "dl": -1, "ml": -3, "ul": -6}
_ALIASES = {"\u03bc": "u", "micro": "u", "mcg": "ug", "\u2212": "-"}
_RATIO = re.compile(r"([fpnum]?g)(?:(?:/|per)([dmu]?l)|[\u00b7\u22c5\u2219.*]?([dmu]?l)(?:\^|\*\*)?-1)")
_PRINTED = {"l": "L", "dl": "dL", "ml": "mL", "ul": "uL"}


def parse_unit(text: str) -> str:
    """Canonical spelling of a mass concentration.

    Raises
    ------
    ValueError : the text is not mass per volume

    >>> parse_unit("microg/ml"), parse_unit("pg/mL"), parse_unit("pg\u00b7mL-1"), parse_unit("")
    ('ug/mL', 'pg/mL', 'pg/mL', 'as given')
    """
    plain = unicodedata.normalize("NFKC", text).strip().lower()
    if plain in {"", AS_GIVEN}:
        return AS_GIVEN
    for alias, letter in _ALIASES.items():
        plain = plain.replace(alias, letter)
    match = _RATIO.fullmatch("".join(plain.split()))
    if match is None:
        raise ValueError(f"unknown unit '{text}'. Known: fg, pg, ng, ug, mg or g per L, dL, mL or uL")
    return f"{match[1]}/{_PRINTED[match[2] or match[3]]}"


def conversion_factor(unit: str, target: str) -> float:
    """Factor that turns a number in ``unit`` into a number in ``target``.

    Raises
    ------
    ValueError : one of them is ``as given`` and the other is not, or a unit is unknown

    >>> conversion_factor("ng/mL", "pg/mL")
    1000.0
    """
    source, wanted = parse_unit(unit), parse_unit(target)
    if source == wanted:
        return 1.0
    if AS_GIVEN in {source, wanted}:
        raise ValueError(f"cannot convert '{unit}' to '{target}': one of them has no unit")
    return float(10.0 ** (_exponent(source) - _exponent(wanted)))


def _exponent(unit: str) -> int:
    """Power of ten of one unit in g/L."""
    mass, volume = unit.lower().split("/")
    return _GRAM_EXPONENT[mass] - _LITRE_EXPONENT[volume]
