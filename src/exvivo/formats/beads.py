"""What bead-based readers print for one well and analyte: fluorescence, bead counts, concentrations -> records.

In flow cells of a Luminex export as printed; out flow readings and the software's own concentrations.
One plate of a bead reader holds many analytes: each becomes a plate record of its own, named by plate
and analyte. A median of few beads is kept and says how few; a median of no beads is none.
"""

import math
import re
from collections.abc import Iterator, Sequence

import numpy as np

from exvivo.formats.delimited import is_number_like, parse_number, signal_status
from exvivo.study.design import PlateRecord, ReadingStatus, SignalKind, VendorWell, WellReading, WellRole
from exvivo.study.units import parse_unit

MIN_BEADS = 35
"""Medians of fewer beads than this are marked: the usual minimum of kits and of xPONENT's own warnings."""

FEWEST_DILUTED = 3
"""Diluted wells from which it can be told whether a software's results carry the dilution."""

_ROLES = (
    (re.compile(r"(?:background|blank|bkg)[ _-]*\d*|b0?", re.IGNORECASE), WellRole.BLANK),
    (re.compile(r"(?:standard|std)[ _-]*\d*|s", re.IGNORECASE), WellRole.STANDARD),
    (re.compile(r"(?:control|ctrl|qc)[ _-]*\w*|c", re.IGNORECASE), WellRole.QC),
)
_FEW = re.compile(r"(?P<printed>.*?) \((?P<beads>\S+) beads\)")
_BELOW = re.compile(r"(?:OOR\s*)?<.*", re.IGNORECASE)
_ABOVE = re.compile(r"(?:OOR\s*)?>.*", re.IGNORECASE)
_EXTRAPOLATED = re.compile(r"\*\s*(?P<number>[^*]+)")
_ABSENT = {"", "nan", "n/a", "na", "none", "***", "---", "--", "-"}


def role_of_sample(name: str) -> WellRole:
    """Role that a sample's whole name says; ``S1`` alone may be anybody's specimen.

    >>> role_of_sample("Standard3"), role_of_sample("B"), role_of_sample("S1")
    (<WellRole.STANDARD: 'standard'>, <WellRole.BLANK: 'blank'>, <WellRole.SPECIMEN: 'specimen'>)
    """
    return next((role for words, role in _ROLES if words.fullmatch(name)), WellRole.SPECIMEN)


def fluorescence(well: str, text: str, beads: str, kind: SignalKind, decimal: str, origin: str) -> WellReading:
    """Reading of one well; ``beads`` is the printed count, empty where the export has none.

    >>> fluorescence("A1", "104.5", "20", SignalKind.RAW, ".", "line 3").text
    '104.5 (20 beads)'
    """
    printed, count = text.strip(), beads.strip()
    status = signal_status(printed) or ReadingStatus.MISSED
    numeric = is_number_like(count)
    few = parse_number(count, decimal) < MIN_BEADS if numeric else bool(count)
    if status in {ReadingStatus.OK, ReadingStatus.EMPTY} and few and (not numeric or parse_number(count, decimal) <= 0):
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


def doubt_dilutions(plates: Sequence[PlateRecord]) -> Iterator[str]:
    """A note for each plate whose diluted wells fit the undiluted ones only if the software's numbers do not carry the dilution.

    Wells without a dilution give the software's curve of concentration by median, on logarithms; most of at least three diluted
    wells between them must lie nearer to it by the whole dilution.
    """
    for plate in plates:
        signals = {one.well: one.signal for one in plate.readings if one.kind is SignalKind.RAW}
        printed = {one.well: one.concentration for one in plate.vendor_wells if one.status == "quantified"}
        folds = {one.well: one.dilution for one in plate.layout}
        both = [(signal, printed.get(well), folds.get(well) or 1.0) for well, signal in signals.items()]
        wells = sorted((math.log(x), math.log(y), math.log(fold)) for x, y, fold in both if x and y and x > 0 and y > 0)
        at, known = [one[0] for one in wells if one[2] == 0], [one[1] for one in wells if one[2] == 0]
        diluted = [one for one in wells if one[2] != 0 and at and at[0] < one[0] < at[-1]]
        off = [(value - float(np.interp(median, at, known)), fold) for median, value, fold in diluted]
        apart = sum(abs(distance + fold) < abs(distance) for distance, fold in off)
        if len(off) >= FEWEST_DILUTED and 2 * apart > len(off):
            yield (
                f"{plate.name}: {apart} of {len(off)} diluted wells lie on the software's curve only if its results do not carry "
                "the dilution; they were read as if they did"
            )


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
