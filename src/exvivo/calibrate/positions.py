"""Residuals of standards and replicates -> verdicts: does a well's place on the plate change its signal?

A standard should read the curve, a replicate what its set reads. Both deviations, in units of the SD that a reading
has by the variance function, are compared over rows, columns and edge. There are three tests on every plate, so their
p values are adjusted over all plates of the analyte (Benjamini and Hochberg 1995).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from exvivo.calibrate.standards import FittedPlate, Well, is_fitted, log_nominal
from exvivo.calibrate.verdict import Verdict
from exvivo.numerics.curves import Curve
from exvivo.numerics.logistic import jacobian, value
from exvivo.numerics.multiplicity import adjust_bh
from exvivo.numerics.position import Deviations, PositionTest, find_position_effects
from exvivo.numerics.variance import Array
from exvivo.study.design import WellRole, well_position
from exvivo.study.model import AssayRules
from exvivo.study.statuses import Rule, RuleOutcome, WellStatus

SURE = 0.01
"""Adjusted p below which an effect that is also large fails the rule."""

SHAPES = ((8, 12), (16, 24))


def judge_positions(plates: Sequence[FittedPlate], rules: AssayRules) -> list[list[Verdict]]:
    """Verdicts on rows, columns and edge of every plate that has enough wells."""
    tests = [(i, kind, test) for i, plate in enumerate(plates) for kind, test in _find_effects(plate, rules).items()]
    found: list[list[Verdict]] = [[] for _ in plates]
    adjusted = adjust_bh([test.p for *_, test in tests]) if tests else ()
    for (i, kind, test), p in zip(tests, adjusted, strict=True):
        effect = 100 * test.effect
        failed = p < SURE and effect > rules.position_effect_pct
        outcome = RuleOutcome.FAILED if failed else RuleOutcome.HELD
        found[i].append(Verdict(Rule.POSITION_EFFECT, outcome, kind, effect, high=rules.position_effect_pct, p=float(p)))
    return found


def _find_effects(plate: FittedPlate, rules: AssayRules) -> Mapping[str, PositionTest]:
    standards = [well for well in plate.wells if is_fitted(well, rules)]
    sets = _replicates(plate)
    wells = [*standards, *(well for members in sets for well in members)]
    if plate.curve is None or not sets:
        return {}
    mean, design = _expect(plate.curve, standards, sets)
    sd = np.sqrt(plate.curve.variance.at(mean))
    response = np.array([well.signal for well in wells], dtype=np.float64)
    response[: len(standards)] -= mean[: len(standards)]
    row, column = np.array([well_position(well.well) for well in wells], dtype=np.intp).T
    shape = next(shape for shape in SHAPES if row.max() < shape[0] and column.max() < shape[1])
    return find_position_effects(Deviations(response / sd, design / sd[:, None], mean / sd, row, column, shape))


def _expect(curve: Curve, standards: Sequence[Well], sets: Sequence[Sequence[Well]]) -> tuple[Array, Array]:
    """Expected signal of every well, and what was fitted to get it: the curve's parameters and a mean for each set."""
    x = np.array([log_nominal(well) for well in standards])
    slopes = np.atleast_2d(jacobian(x, curve.parameters))
    sizes = [len(members) for members in sets]
    means = np.array([np.mean([well.signal for well in members]) for members in sets], dtype=np.float64)
    design = np.zeros((len(standards) + sum(sizes), slopes.shape[1] + len(sets)))
    design[: len(standards), : slopes.shape[1]] = slopes
    design[len(standards) :, slopes.shape[1] :] = np.repeat(np.eye(len(sets)), sizes, axis=0)
    return np.concatenate([value(x, curve.parameters), np.repeat(means, sizes)]), design


def _replicates(plate: FittedPlate) -> list[list[Well]]:
    """Wells that hold the same: one specimen or QC at one dilution."""
    sets: dict[tuple[str, str, float], list[Well]] = {}
    for well in plate.wells:
        if well.role in {WellRole.SPECIMEN, WellRole.QC} and well.specimen and well.status == WellStatus.OK:
            sets.setdefault((well.role or "", well.specimen, well.dilution), []).append(well)
    return [members for members in sets.values() if len(members) > 1]
