"""Units of concentration: parse, convert, print. Nothing is assumed: no unit stays ``as given``."""

import re

AS_GIVEN = "as given"

_GRAM_EXPONENT = {"g": 0, "mg": -3, "ug": -6, "ng": -9, "pg": -12, "fg": -15}
_LITRE_EXPONENT = {"l": 0, "dl": -1, "ml": -3, "ul": -6}
_ALIASES = {"µ": "u", "μ": "u", "micro": "u"}
_PRINTED = {"l": "L", "dl": "dL", "ml": "mL", "ul": "uL"}


def parse_unit(text: str) -> str:
    """Canonical spelling of a mass concentration.

    Raises
    ------
    ValueError : the text is not mass per volume

    >>> parse_unit("microg/ml"), parse_unit("pg/mL"), parse_unit("")
    ('ug/mL', 'pg/mL', 'as given')
    """
    plain = text.strip().lower()
    if plain in {"", AS_GIVEN}:
        return AS_GIVEN
    for alias, letter in _ALIASES.items():
        plain = plain.replace(alias, letter)
    match = re.fullmatch(r"([fpnum]?g)\s*/\s*([dmu]?l)", plain)
    if match is None:
        raise ValueError(f"unknown unit '{text}'. Known: fg, pg, ng, ug, mg or g per L, dL, mL or uL")
    return f"{match[1]}/{_PRINTED[match[2]]}"


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
