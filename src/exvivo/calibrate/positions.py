"""Replicates -> verdicts: does a well's place on the plate change its signal?

Wells that hold the same (a standard level, a specimen or QC at one dilution) should read the same. Their deviations,
in units of the SD that a reading has by the variance function, are compared over rows, columns and edge. Residuals from
the curve are not used: standards lie in rows or columns, so that a curve that does not fit, or two exchanged standards,
would pass for an effect of rows. Sets that fail the rule on replicates are left out: they hardly hold the same, and
have their own verdict. There are three tests on every plate, so their p values are adjusted over all plates
of the analyte (Benjamini and Hochberg 1995).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from exvivo.calibrate.standards import FittedPlate, Well
from exvivo.calibrate.verdict import Verdict, coefficient_of_variation
from exvivo.numerics.multiplicity import adjust_bh
from exvivo.numerics.position import Deviations, PositionTest, find_position_effects
from exvivo.study.design import WellRole, well_position
from exvivo.study.model import AssayRules
from exvivo.study.statuses import Rule, RuleOutcome, WellStatus

SURE = 0.01
"""Adjusted p below which an effect that is also large fails the rule."""

SHAPES = ((8, 12), (16, 24))


def judge_positions(plates: Sequence[FittedPlate], rules: AssayRules) -> list[list[Verdict]]:
    """Verdicts on rows, columns and edge of every plate that has enough wells."""
    tests = [(i, kind, test) for i, plate in enumerate(plates) for kind, test in _find_effects(plate, rules.replicate_cv_pct).items()]
    found: list[list[Verdict]] = [[] for _ in plates]
    adjusted = adjust_bh([test.p for *_, test in tests]) if tests else ()
    for (i, kind, test), p in zip(tests, adjusted, strict=True):
        effect = 100 * test.effect
        failed = p < SURE and effect > rules.position_effect_pct
        outcome = RuleOutcome.FAILED if failed else RuleOutcome.HELD
        found[i].append(Verdict(Rule.POSITION_EFFECT, outcome, kind, effect, high=rules.position_effect_pct, p=float(p)))
    return found


def _find_effects(plate: FittedPlate, largest_cv_pct: float) -> Mapping[str, PositionTest]:
    sets = [members for members in _replicates(plate) if _agree(members, largest_cv_pct)]
    if plate.curve is None or not sets:
        return {}
    sizes = [len(members) for members in sets]
    wells = [well for members in sets for well in members]
    signal = np.array([well.signal for well in wells], dtype=np.float64)
    design = np.repeat(np.eye(len(sets)), sizes, axis=0)
    mean = design @ (design.T @ signal / sizes)
    sd = np.sqrt(plate.curve.variance.at(mean))
    row, column = np.array([well_position(well.well) for well in wells], dtype=np.intp).T
    shape = next(shape for shape in SHAPES if row.max() < shape[0] and column.max() < shape[1])
    return find_position_effects(Deviations(signal / sd, design / sd[:, None], mean / sd, row, column, shape))


def _replicates(plate: FittedPlate) -> list[list[Well]]:
    """Wells that hold the same: a standard level, or one specimen or QC at one dilution."""
    sets: dict[tuple[object, ...], list[Well]] = {}
    for well in plate.wells:
        if well.status != WellStatus.OK or well.reason is not None:
            continue
        if well.is_standard and well.nominal is not None:
            sets.setdefault((WellRole.STANDARD, well.nominal), []).append(well)
        elif well.role in {WellRole.SPECIMEN, WellRole.QC} and well.specimen:
            sets.setdefault((well.role, well.specimen, well.dilution), []).append(well)
    return [members for members in sets.values() if len(members) > 1]


def _agree(members: Sequence[Well], largest_cv_pct: float) -> bool:
    cv = coefficient_of_variation([well.signal for well in members if well.signal is not None])
    return cv is not None and cv <= largest_cv_pct
