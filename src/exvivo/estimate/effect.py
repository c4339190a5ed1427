"""One row of the table of effects while it is being made.

What flows in: an estimate on the ln scale. What flows out: the row, with ratios. Numbers that do not
exist stay empty (None); a limit at infinity is an empty limit.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType

import numpy as np

from exvivo.estimate.pairs import Pairs
from exvivo.numerics.inference import Array, Estimate
from exvivo.study.statuses import EffectRole, EffectStatus, Method, Reason

RATIO, RATIO_OF_RATIOS, P_ONLY = "ratio", "ratio of ratios", "p only"
NO_FACTS: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Basis:
    """The data that an estimate rests on, from which its R call is written.

    ``differences`` (n, 2) stand for those of the pairs where they are others, such as means over sera; ``values`` hold a
    modifier's value of each pair, ``levels`` its levels in their order; ``moves`` (n, k) are a design beside the mean;
    ``unseen`` is the variance that pairs share on curves. Readings without partners stand in ``pairs`` as single ones.
    """

    pairs: Pairs
    differences: Array | None = None
    values: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    moves: Array | None = None
    unseen: float = 0.0

    @property
    def bounds(self) -> Array:
        """Bounds of the ln ratios, shape (n, 2)."""
        return self.pairs.differences if self.differences is None else self.differences


@dataclass(frozen=True, slots=True)
class Effect:
    """One estimate: which, how large, from how many, by which method, with what status. Columns as in ``EFFECTS``, and its basis."""

    outcome: str
    readout: str
    contrast: str
    modifier: str | None = None
    level: str | None = None
    role: EffectRole = EffectRole.REGISTERED
    scale: str = RATIO
    estimate: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    df: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    p_graph: float | None = None
    donors: int | None = None
    serum_donors: int | None = None
    measurements: int | None = None
    wells: int | None = None
    below_lloq_drug_pct: float | None = None
    below_lloq_comparator_pct: float | None = None
    method: Method | None = None
    status: EffectStatus = EffectStatus.NOT_ESTIMABLE
    reason: Reason | None = None
    detail: str | None = None
    basis: Basis | None = field(default=None, compare=False, repr=False)

    def row(self) -> dict[str, object]:
        """Cells by column."""
        return {column.name: getattr(self, column.name) for column in fields(self) if column.name != "basis"}

    def resting_on(self, differences: Array) -> "Effect":
        """The row with other differences behind it, shape (n,) or as bounds (n, 2)."""
        bounds = differences if differences.ndim == 2 else np.column_stack([differences, differences])
        return self if self.basis is None else replace(self, basis=replace(self.basis, differences=bounds))

    def estimated(self, fit: Estimate, method: Method) -> "Effect":
        """The row with t inference of a mean ln ratio."""
        return replace(
            self,
            estimate=ratio(fit.estimate),
            ci_low=ratio(fit.low),
            ci_high=ratio(fit.high),
            df=fit.df,
            p=fit.p,
            method=method,
            status=EffectStatus.ESTIMATED,
        )

    def refused(self, reason: Reason, facts: Mapping[str, object] = NO_FACTS) -> "Effect":
        """The row without an estimate."""
        return replace(self, status=EffectStatus.NOT_ESTIMABLE, reason=reason).noting(facts)

    def coded(self) -> "Effect":
        """The row while conditions are coded."""
        return replace(self, status=EffectStatus.BLINDED, reason=Reason.CONDITIONS_CODED)

    def noting(self, facts: Mapping[str, object]) -> "Effect":
        """The row with more parameters in its detail."""
        known = json.loads(self.detail) if self.detail else {}
        merged = known | {key: value for key, value in facts.items() if value is not None}
        return replace(self, detail=json.dumps(merged, sort_keys=True) if merged else None)


def name_serum_effect(factors: Iterable[str]) -> str:
    """Contrast of the effect of what an outcome's cultures were exposed to, such as serum, on its own."""
    return "+".join(factors)


def ratio(log: float) -> float | None:
    """Exp of a ln ratio; None where there is no finite one."""
    return math.exp(log) if math.isfinite(log) and abs(log) < 700 else None
