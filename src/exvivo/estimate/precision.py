"""What the interaction of a modifier can tell with these donors, whatever it turned out to be.

In: the ln ratios of all donors, and how the donors with a known value spread over the modifier. Out: facts for the detail of the
registered row, on the ratio scale: the factor between the middle of the interval and its ends, and the ratio of ratios that
would be found with a power of 80 %. The standard deviation is that of all ln ratios, whatever their level, so that the
observed interaction takes no part in it; where the protocol names the one it was planned with, the same stands for that.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from exvivo.estimate.effect import ratio
from exvivo.numerics.inference import Array
from exvivo.numerics.precision import plan_contrast, plan_levels
from exvivo.study.model import Analysis

POWER = 0.8

Facts = dict[str, object]


def list_deviations(ratios: Array, rules: Analysis) -> Mapping[str, float]:
    """Standard deviations that precision is told for: of these ln ratios, shape (n,), and the planned one."""
    own = float(ratios.std(ddof=1)) if ratios.size > 1 else 0.0
    return {name: sd for name, sd in (("precision", own), ("planned", rules.planning_sd)) if sd}


def tell_two_levels(deviations: Mapping[str, float], counts: Sequence[int], rules: Analysis) -> Facts:
    """Precision of the ratio of two levels' ratios; nothing where a level is empty or no degree of freedom is left."""
    if min(counts) < 1 or sum(counts) < 3:
        return {}
    return _tell_contrast(deviations, float(np.sqrt(sum(1 / n for n in counts))), sum(counts) - 2, rules)


def tell_slope(deviations: Mapping[str, float], steps: Array, rules: Analysis) -> Facts:
    """Precision of the ratio of ratios per step of a score; ``steps`` is the score in steps, shape (n,), not constant, n at least 3."""
    return _tell_contrast(deviations, 1 / float(np.sqrt(((steps - steps.mean()) ** 2).sum())), steps.size - 2, rules)


def tell_several_levels(deviations: Mapping[str, float], counts: Sequence[int], rules: Analysis) -> Facts:
    """Spread between levels, as the ratio that one standard deviation of it is, that the joint test finds."""
    if len(counts) < 2 or min(counts) < 1 or sum(counts) <= len(counts):
        return {}
    found = {name: plan_levels(sd, counts, alpha=rules.alpha, power=POWER) for name, sd in deviations.items()}
    return {name: {"sd": deviations[name], "detectable_between_fold": ratio(spread)} for name, spread in found.items()}


def _tell_contrast(deviations: Mapping[str, float], scale: float, df: int, rules: Analysis) -> Facts:
    facts: Facts = {}
    for name, sd in deviations.items():
        plan = plan_contrast(sd * scale, df, level=rules.confidence, alpha=rules.alpha, power=POWER)
        facts[name] = {"sd": sd, "half_width_fold": ratio(plan.half_width), "detectable_fold": ratio(plan.detectable)}
    return facts
