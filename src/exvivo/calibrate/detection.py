"""A judged plate -> its limits, each by every definition: of blank, of detection, of quantification.

Blank and low standard give their scatter twice: from the plate's own wells where there are at least three, and from the
variance function that is pooled over the study's plates. Both stand side by side; none is chosen. Limits of blank and
of detection are for one reading, as CLSI EP17 has them; MDC, RDL and the precision profile are for a result from as
many wells as the protocol plans.
"""

import math
from collections.abc import Iterator

import numpy as np

from exvivo.calibrate.accept import JudgedPlate
from exvivo.calibrate.standards import FittedPlate
from exvivo.calibrate.verdict import Row
from exvivo.numerics.curves import Curve
from exvivo.numerics.detection import KAISER, Scatter, blank_limit, detectable_signal, detection_limit, is_rising, reliable_log_conc
from exvivo.numerics.least_squares import Family
from exvivo.numerics.logistic import inverse, value
from exvivo.study.statuses import LimitDefinition as By
from exvivo.study.statuses import LimitKind, WellStatus


def describe_limits(plate: JudgedPlate, analyte: str, n_replicates: int) -> list[Row]:
    """LIMITS rows of one plate; none without a curve."""
    curve = plate.judged.fitted.curve
    if curve is None:
        return []
    own = {"plate": plate.judged.fitted.plate, "analyte": analyte, "unit": plate.judged.fitted.unit}
    found = [
        *_detection(plate.judged.fitted, curve),
        *_interval_limits(plate.judged.fitted, curve, n_replicates),
        *_quantification(plate, curve),
    ]
    return [{**own, "used": False, **row} for row in found]


def _detection(plate: FittedPlate, curve: Curve) -> Iterator[Row]:
    """Limits of blank and of detection, from own and from pooled scatter; a line on two log axes knows no blank."""
    rising = is_rising(curve)
    x, signal = plate.standards.log_conc, plate.standards.signal
    finite = x[np.isfinite(x)]
    lowest = float(finite.min()) if finite.size else None
    blanks = [well.signal for well in plate.wells if well.is_standard and well.nominal == 0.0 and well.status == WellStatus.OK]
    own = (Scatter.of(np.array(blanks, dtype=np.float64)), None if lowest is None else Scatter.of(signal[x == lowest]))
    pooled = (
        None if curve.family is Family.POWER_LAW else Scatter.fitted(curve, -np.inf),
        None if lowest is None else Scatter.fitted(curve, lowest),
    )
    for (blank, low), of_blank, kaiser, ep17 in (
        (own, By.BLANK_OWN, By.KAISER_OWN, By.EP17_OWN),
        (pooled, By.BLANK_POOLED, By.KAISER_POOLED, By.EP17_POOLED),
    ):
        if blank is None:
            continue
        lob = blank_limit(blank, rising=rising)
        yield _at_signal(LimitKind.LOB, of_blank, lob, curve)
        yield _at_signal(LimitKind.LOD, kaiser, blank_limit(blank, KAISER, rising=rising), curve)
        if low is not None:
            yield _at_signal(LimitKind.LOD, ep17, detection_limit(lob, low, rising=rising), curve)


def _interval_limits(plate: FittedPlate, curve: Curve, n_replicates: int) -> Iterator[Row]:
    if curve.family is Family.POWER_LAW:
        return
    yield _at_signal(LimitKind.MDC, By.EXCLUDES_ZERO, detectable_signal(curve, n_replicates), curve)
    log_conc = reliable_log_conc(curve, n_replicates, float(np.max(plate.standards.log_conc)))
    yield _at_concentration(LimitKind.RDL, By.RELIABLE, None if log_conc is None else math.exp(log_conc), curve)


def _quantification(plate: JudgedPlate, curve: Curve) -> Iterator[Row]:
    final = plate.judged.limits
    for by, found in ((By.PRECISION, plate.precise), (By.RECOVERY, plate.recovered)):
        for kind, number, chosen in ((LimitKind.LLOQ, found.lloq, final.lloq), (LimitKind.ULOQ, found.uloq, final.uloq)):
            yield {**_at_concentration(kind, by, number, curve), "used": number is not None and number == chosen}


def _at_signal(kind: LimitKind, by: By, signal: float, curve: Curve) -> Row:
    """A limit that is a signal; no concentration where the curve does not reach it."""
    log_conc = float(inverse(signal, curve.parameters))
    return {"limit": kind, "definition": by, "signal": signal, "value": math.exp(log_conc) if math.isfinite(log_conc) else None}


def _at_concentration(kind: LimitKind, by: By, concentration: float | None, curve: Curve) -> Row:
    signal = None if concentration is None else float(value(math.log(concentration), curve.parameters))
    return {"limit": kind, "definition": by, "signal": signal, "value": concentration}
