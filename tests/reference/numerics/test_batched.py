"""Batched fits against lme4 1.1-31, lmerTest 3.1-3 and pbkrtest 0.5.2."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from exvivo.numerics.batched import fit_incomplete_pairs, fit_many, fit_pairs
from exvivo.numerics.mixed import DegreesOfFreedom, indicate

Open = Callable[[str], Any]
METHODS = {"satterthwaite": DegreesOfFreedom.SATTERTHWAITE, "kenward_roger": DegreesOfFreedom.KENWARD_ROGER}
NAMES = ("estimate", "se", "df", "p")


@pytest.mark.parametrize("kind", METHODS)
@pytest.mark.parametrize("name", ["c04", "c05", "c28"])
def test_equals_lmer(reference: Open, name: str, kind: str) -> None:
    case = reference(name)
    y = np.log(case.numbers("y"))
    drug = np.array([cond == "ruxolitinib" for cond in case.columns["cond"]])
    fit = fit_many(np.stack([y, 2 * y]), np.column_stack([np.ones(y.size), drug]), indicate(case.columns["donor"]))
    for term, weights in (("(Intercept)", [1, 0]), ("condruxolitinib", [0, 1])):
        got = fit.contrast(weights, method=METHODS[kind])
        for quantity in NAMES:
            case.check(f"{kind}/{term}/{quantity}", getattr(got, quantity)[0])


@pytest.mark.parametrize("kind", METHODS)
def test_missing_pairs_by_donor_equal_lmer(reference: Open, kind: str) -> None:
    case = reference("c05")
    donors = sorted(set(case.columns["donor"]))
    arms = np.full((2, 1, len(donors)), np.nan)
    for donor, cond, y in zip(case.columns["donor"], case.columns["cond"], case.numbers("y"), strict=True):
        arms[int(cond == "vehicle"), 0, donors.index(donor)] = np.log(y)
    got = fit_incomplete_pairs(*arms, method=METHODS[kind])
    for quantity in NAMES:
        case.check(f"{kind}/condruxolitinib/{quantity}", getattr(got, quantity)[0])


def test_balanced_pairs_equal_lmer(reference: Open) -> None:
    case = reference("c04")
    y, cond = np.log(case.numbers("y")), np.array(case.columns["cond"])
    order = np.argsort(np.array(case.columns["donor"]), kind="stable")
    drug, vehicle = (y[order][cond[order] == level][None, :] for level in ("ruxolitinib", "vehicle"))
    got = fit_pairs(drug, vehicle)
    for quantity in NAMES:
        case.check(f"kenward_roger/condruxolitinib/{quantity}", getattr(got, quantity)[0])
