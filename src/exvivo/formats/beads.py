"""What bead-based readers print for one well and analyte: fluorescence, bead counts, concentrations -> records.

In flow cells of a Luminex export as printed; out flow readings and the software's own concentrations.
One plate of a bead reader holds many analytes: each becomes a plate record of its own, named by plate
and analyte. A median of few beads is kept and says how few; a median of no beads is none.
"""

import re

from exvivo.formats.delimited import is_number_like, parse_number, signal_status
from exvivo.study.design import ReadingStatus, SignalKind, VendorWell, WellReading
from exvivo.study.units import parse_unit

MIN_BEADS = 35
"""Medians of fewer beads than this are marked: the usual minimum of kits and of xPONENT's own warnings."""

_FEW = re.compile(r"(?P<printed>.*?) \((?P<beads>\S+) beads\)")
_BELOW = re.compile(r"(?:OOR\s*)?<.*", re.IGNORECASE)
_ABOVE = re.compile(r"(?:OOR\s*)?>.*", re.IGNORECASE)
_EXTRAPOLATED = re.compile(r"\*\s*(?P<number>[^*]+)")
_ABSENT = {"", "nan", "n/a", "na", "none", "***", "---", "--", "-"}


def fluorescence(well: str, text: str, beads: str, kind: SignalKind, decimal: str, origin: str) -> WellReading:
    """Reading of one well; ``beads`` is the printed count, empty where the export has none.

    >>> fluorescence("A1", "104.5", "20", SignalKind.RAW, ".", "line 3").text
    '104.5 (20 beads)'
    """
    printed, count = text.strip(), beads.strip()
    status = signal_status(printed) or ReadingStatus.MISSED
    numeric = is_number_like(count)
    few = parse_number(count, decimal) < MIN_BEADS if numeric else bool(count)
    if status is ReadingStatus.OK and few and (not numeric or parse_number(count, decimal) <= 0):
        status = ReadingStatus.MISSED
    signal = parse_number(printed, decimal) if status is ReadingStatus.OK else None
    return WellReading(well, None, signal, status, kind, f"{printed} ({count} beads)" if few and printed else printed, origin)


def split_beads(text: str) -> tuple[str, str]:
    """Printed cell and bead count of a reading's text; the count is empty where it was not marked.

    >>> split_beads("104.5 (20 beads)"), split_beads("104.5")
    (('104.5', '20'), ('104.5', ''))
    """
    match = _FEW.fullmatch(text)
    return (match["printed"], match["beads"]) if match else (text, "")


def vendor_well(well: str, text: str, decimal: str, origin: str, fold: float | None = None) -> VendorWell:
    """Concentration that the software printed, dilution (``fold``) taken out, or the state that it printed in its place.

    >>> [vendor_well("A1", text, ".", "").status for text in ("3.42", "*3.42", "< 3.2", "OOR >", "NaN", "***", "failed")]
    ['quantified', 'extrapolated', 'below_lloq', 'above_uloq', 'missing', 'missing', 'refused']
    """
    plain = text.strip()
    starred = _EXTRAPOLATED.fullmatch(plain)
    number = _leading_number(starred["number"] if starred else plain)
    if number is not None:
        concentration = parse_number(number, decimal) / (fold or 1.0)
        return VendorWell(well, concentration, "extrapolated" if starred else "quantified", plain, origin)
    if plain.lower() in _ABSENT:
        return VendorWell(well, None, "missing", plain, origin)
    below, above = _BELOW.fullmatch(plain), _ABOVE.fullmatch(plain)
    return VendorWell(well, None, "below_lloq" if below else "above_uloq" if above else "refused", plain, origin)


def _leading_number(text: str) -> str | None:
    """The number of ``12.5`` or ``12.5 pg/ml``; None if there is none."""
    head, _, rest = text.strip().partition(" ")
    return head if is_number_like(head) and (not rest.strip() or mass_unit(rest) is not None) else None


def mass_unit(text: str) -> str | None:
    """A unit as printed if it is mass per volume; None for ``Bead``, ``IU/ml`` or nothing.

    >>> mass_unit("pg/ml"), mass_unit("Bead")
    ('pg/ml', None)
    """
    try:
        parse_unit(text)
    except ValueError:
        return None
    return text.strip() or None
