"""Several dilutions of one specimen -> verdicts: do they tell the same concentration?

Each dilution gets its own estimate, corrected for the dilution. Two are compared by equivalence (dilution linearity),
three and more by the trend of the results over the dilutions (parallelism) and their CV. The error of the curve is
common to all of them and enters with its covariance. Only dilutions that read within the plate's limits take part.
A hook is looked for in the signals themselves: a lower dilution must not read below a higher one.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from exvivo.calibrate.quantify import Reading, estimate_groups
from exvivo.calibrate.standards import FittedPlate, Well
from exvivo.calibrate.verdict import Verdict, coefficient_of_variation
from exvivo.numerics.curves import Curve
from exvivo.numerics.detection import is_rising
from exvivo.numerics.equivalence import Difference, compare, trend
from exvivo.numerics.inverse import Limits
from exvivo.study.design import WellRole
from exvivo.study.model import AssayRules
from exvivo.study.statuses import Rule, WellStatus

HOOK_ERRORS = 4.0
"""Standard errors by which a lower dilution may read below a higher one."""


@dataclass(frozen=True, slots=True)
class _Diluted:
    """Readable wells of one specimen at one dilution, and the estimate from them."""

    dilution: float
    wells: tuple[Well, ...]
    reading: Reading

    def is_inside(self, limits: Limits) -> bool:
        """Whether it reads within the limits of the plate."""
        if limits.lloq is None or limits.uloq is None or not self.reading.finite:
            return False
        return math.log(limits.lloq) <= self.reading.log_conc - math.log(self.dilution) <= math.log(limits.uloq)


def judge_dilutions(plates: Sequence[FittedPlate], limits: Sequence[Limits], rules: AssayRules) -> list[list[Verdict]]:
    """Verdicts on the specimens that were measured at two dilutions or more, per plate."""
    keyed = [(i, name, dilution, wells) for i, plate in enumerate(plates) for (name, dilution), wells in sorted(_group(plate).items())]
    answers = estimate_groups(plates, [wells for *_, wells in keyed])
    series: dict[tuple[int, str], list[_Diluted]] = {}
    for (i, name, dilution, wells), answer in zip(keyed, answers, strict=True):
        if answer is not None:
            series.setdefault((i, name), []).append(_Diluted(dilution, tuple(wells), answer))
    found: list[list[Verdict]] = [[] for _ in plates]
    for (i, name), diluted in series.items():
        curve = plates[i].curve
        if curve is not None and len(diluted) > 1:
            found[i] += _judge(name, diluted, curve, limits[i], rules)
    return found


def _group(plate: FittedPlate) -> Mapping[tuple[str, float], list[Well]]:
    groups: dict[tuple[str, float], list[Well]] = {}
    for well in plate.wells:
        if well.role == WellRole.SPECIMEN and well.specimen and well.readable:
            groups.setdefault((well.specimen, well.dilution), []).append(well)
    several = {name for name, _ in groups if sum(other == name for other, _ in groups) > 1}
    return {key: wells for key, wells in groups.items() if key[0] in several}


def _judge(name: str, diluted: Sequence[_Diluted], curve: Curve, limits: Limits, rules: AssayRules) -> Iterator[Verdict]:
    bounds = (1 / rules.equivalence_fold, rules.equivalence_fold)
    yield Verdict.within(Rule.HOOK_SPECIMEN, _fall(diluted, curve), high=HOOK_ERRORS, subject=name)
    inside = [one for one in diluted if one.is_inside(limits)]
    for one in inside[1:]:
        subject = f"{name} 1:{one.dilution:g} / 1:{inside[0].dilution:g}"
        ratio = compare(_difference(inside[0].reading, one.reading, curve.variance.df), bounds)
        yield Verdict.compared(Rule.DILUTION_LINEARITY, subject, ratio, bounds)
    if len(inside) > 2:
        yield Verdict.compared(Rule.PARALLELISM, name, compare(_change(inside, curve.variance.df), bounds), bounds)
        results = [math.exp(one.reading.log_conc) for one in inside]
        yield Verdict.within(Rule.PARALLELISM_CV, coefficient_of_variation(results), high=rules.parallelism_cv_pct, subject=name)


def _difference(first: Reading, second: Reading, df: float) -> Difference:
    shared = np.subtract(second.loading, first.loading)
    se = math.sqrt(first.se_log**2 + second.se_log**2 + float(shared @ shared))
    return Difference(second.log_conc - first.log_conc, se, df)


def _change(diluted: Sequence[_Diluted], df: float) -> Difference:
    """Change of the corrected result over the measured range of dilutions, along a straight line in logs."""
    x = np.log([one.dilution for one in diluted])
    loading = np.array([one.reading.loading for one in diluted])
    covariance = np.diag([one.reading.se_log**2 for one in diluted]) + loading @ loading.T
    slope, se = trend(x, np.array([one.reading.log_conc for one in diluted]), covariance)
    return Difference(slope * float(np.ptp(x)), se * float(np.ptp(x)), df)


def _fall(diluted: Sequence[_Diluted], curve: Curve) -> float:
    """Largest step from a dilution to the next higher one against the curve's direction, in standard errors."""
    sign = 1.0 if is_rising(curve) else -1.0
    means = np.array([np.mean([_signal(well) for well in one.wells]) for one in diluted])
    variances = curve.variance.at(means) / np.array([len(one.wells) for one in diluted])
    steps = sign * np.diff(means) / np.sqrt(variances[1:] + variances[:-1])
    return float(np.max(steps))


def _signal(well: Well) -> float:
    reading = well.cap if well.status == WellStatus.OVERFLOW else well.signal
    if reading is None:
        raise ValueError("a readable well has a signal or a cap")
    return reading
