"""Readouts of one outcome judged together: step-down max |t| over the joint sign flips of their donors.

Flows in: the tasks of one outcome. Flows out: one sensitivity row per readout, whose adjusted p-value uses how the readouts go
together, where Holm's procedure assumes the worst. A flip turns all readouts of a donor at once; a donor without some
readout adds nothing to it. Only where every pair is measured and no serum of other donors is involved.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from exvivo.engine import Parcel, rng_for
from exvivo.estimate.contrasts import describe_pairs
from exvivo.estimate.effect import Effect, ratio
from exvivo.estimate.pairs import Pairs
from exvivo.estimate.tasks import Task, list_calls, pairs_of, tabulate
from exvivo.numerics.inference import Array
from exvivo.numerics.permutation import MOST_DONORS, adjust_max_t
from exvivo.numerics.ranks import smallest_p
from exvivo.study.statuses import EffectRole, EffectStatus, Method
from exvivo.study.tables import SUPPLEMENTARY


@dataclass(frozen=True, slots=True)
class Family:
    """Tasks of one outcome, in registry order."""

    tasks: tuple[Task, ...]

    def key(self) -> list[object]:
        """Everything its result depends on."""
        return [task.key() for task in self.tasks]


def list_families(tasks: Sequence[Task]) -> list[Family]:
    """Outcomes of several readouts whose readouts can be judged together."""
    grouped: dict[str, list[Task]] = {}
    for task in tasks:
        if task.modifier is None:
            grouped.setdefault(task.outcome.id, []).append(task)
    return [Family(tuple(own)) for own in grouped.values() if len(own) > 1]


def judge_family(family: Family) -> Parcel:
    """Sensitivity rows of a family; none where its readouts cannot be judged together."""
    pairs = [pairs_of(task, task.frame) for task in family.tasks]
    rows = _judge(family, pairs) if _together(family, pairs) else []
    return Parcel({"supplementary": tabulate(rows), "calls": list_calls(rows, SUPPLEMENTARY.name, family.tasks[0])})


def _together(family: Family, pairs: Sequence[Pairs]) -> bool:
    blocked = any(task.blocked for task in family.tasks)
    few = any(one.count < task.analysis.min_pairs for task, one in zip(family.tasks, pairs, strict=True))
    return not blocked and not few and all(one.exact.all() and not any(one.serum_donors) for one in pairs)


def _judge(family: Family, pairs: Sequence[Pairs]) -> list[Effect]:
    first = family.tasks[0]
    ratios = [dict(zip(one.donors, one.differences[:, 0].tolist(), strict=True)) for one in pairs]
    matrix = _align(ratios)
    test = adjust_max_t(matrix, rng=rng_for(first.analysis.seed, f"{first.outcome.id}/max-t"))
    rows = []
    for k, (task, one) in enumerate(zip(family.tasks, pairs, strict=True)):
        row = describe_pairs(replace(task.base(), role=EffectRole.SENSITIVITY), one, wells=task.soluble)
        told = replace(row, method=Method.MAX_T, status=EffectStatus.ESTIMATED, p=float(test.p[k]), p_adjusted=float(test.p_step_down[k]))
        centre = float(np.mean(list(ratios[k].values())))
        smallest = max(smallest_p(one.count), 1 / test.flips)
        rows.append(replace(told, estimate=ratio(centre)).noting({"smallest_p": smallest, "exact": len(matrix) <= MOST_DONORS}))
    return rows


def _align(ratios: Sequence[Mapping[str, float]]) -> Array:
    """Differences (donors, readouts); zero, which no flip changes, where a donor has none."""
    donors = sorted({donor for own in ratios for donor in own})
    return np.array([[own.get(donor, 0.0) for own in ratios] for donor in donors])
