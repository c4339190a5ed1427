"""How a reader's own software fitted its curve: found by trying, since exports seldom say it.

What the software called its curve and the concentrations that it printed flow in; curve rules flow out. Candidates are what the
readers' software offers: the family that the export names (four parameters where it names none, five as well where concentrations
can tell), of five parameters each form, unweighted, 1/y2 or 1/y, with the blank subtracted or fitted. Where the export prints
concentrations the candidate is taken that reproduces them best; another one than the first in line must at least halve the median
difference. Where it prints none, the first.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import polars as pl

from exvivo.calibrate.compare import compare_with_vendor
from exvivo.study.model import CurveRules
from exvivo.study.run import Calibration
from exvivo.study.tables import Table

FEWEST_WELLS = 3
_CLEARLY = 0.5
_PRINTED = "quantified"
_ABSENT = 1.0  # the software printed a number where our curve reaches none


@dataclass(frozen=True, slots=True)
class VendorSettings:
    """Rules that the software seems to have used; ``wells`` it was judged on, and their median relative difference."""

    rules: CurveRules
    wells: int
    difference: float | None

    def tell(self) -> str:
        """What was found, in one line."""
        blank = "blank subtracted" if self.rules.subtract_blank else "blank fitted"
        branch = "" if self.rules.branch == "both" else f" {self.rules.branch}"
        told = f"{self.rules.model}{branch}, weighting {self.rules.weighting}, {blank}"
        if self.difference is None:
            return f"{told}: the usual settings, as the exports print fewer than {FEWEST_WELLS} concentrations to judge by"
        return f"{told}: median difference {100 * self.difference:.2g} % from {self.wells} printed concentrations"


def match_vendor(
    vendor: Table, software: Sequence[str], given: Mapping[str, object], calibrate: Callable[[CurveRules], Calibration]
) -> VendorSettings:
    """Rules under which our curves come closest to what the software printed.

    Parameters
    ----------
    vendor : printed concentrations
    software : what the software called its curves, once for each plate that says so
    given : fields of the rules that a person set; they are kept
    calibrate : all plates under some rules
    """
    wells = vendor.frame.filter((pl.col("concentration") > 0) & (pl.col("status") == _PRINTED))
    candidates = list(_list_candidates(software, given, judged=wells.height >= FEWEST_WELLS))
    if wells.height < FEWEST_WELLS:
        return VendorSettings(candidates[0], 0, None)
    scores = [_score(vendor, calibrate(rules)) for rules in candidates]
    usual, best = scores[0], min(scores)
    chosen = scores.index(best) if best < _CLEARLY * usual else 0
    return VendorSettings(candidates[chosen], wells.height, scores[chosen])


def _list_candidates(software: Sequence[str], given: Mapping[str, object], *, judged: bool) -> Iterator[CurveRules]:
    named = Counter(software).most_common(1)[0][0].lower() if software else ""
    family = _name_family(named)
    families = [family] if family else ["4PL", "5PL"] if judged else ["4PL"]
    weights = ["1/y2", "none", "1/y"] if "weight" in named and "unweight" not in named else ["none", "1/y2", "1/y"]
    seen: list[CurveRules] = []
    for model, blank, branch, weighting in product(families, (True, False), ("a-side", "d-side"), weights):
        own = {"branch": branch} if model == "5PL" else {}
        rules = CurveRules.model_validate({"model": model, "weighting": weighting, "subtract_blank": blank, **own, **given})
        if rules not in seen:
            seen.append(rules)
            yield rules


def _name_family(software: str) -> str | None:
    """Curve family of a name such as ``Logistic 5P Weighted`` or ``4-P``; None where it does not say."""
    plain = software.replace("-", "").replace(" ", "")
    if "5p" in plain or "fiveparam" in plain:
        return "5PL"
    if "4p" in plain or "fourparam" in plain:
        return "4PL"
    return "log-log" if "loglog" in plain else None


def _score(vendor: Table, calibration: Calibration) -> float:
    """Median relative difference over the wells for which the software printed a concentration."""
    compared = compare_with_vendor(vendor, calibration.wells, calibration.curves).filter(
        (pl.col("vendor") > 0) & (pl.col("status_vendor") == _PRINTED)
    )
    off = compared["relative_difference"].abs().fill_null(_ABSENT).clip(upper_bound=_ABSENT)
    median = off.median()
    return float(median) if isinstance(median, float) else _ABSENT
