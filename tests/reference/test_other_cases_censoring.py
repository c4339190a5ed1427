"""Families of censored values on other data than the shipped cases: sizes, names, levels, several limits, both sides.

Made in R 4.2.2 with survival 3.5-3 and mvtnorm 1.1-3: survreg, survfit and survdiff, t.test on logarithms, an exact
likelihood of the pairs, and for the random intercept (c32) numerical integration over the donor effect instead.
"""

from collections import Counter
from pathlib import Path

import pytest

from exvivo.qualify.cases import Case, find_cases, shipped_folder
from exvivo.qualify.judging import judge_case
from exvivo.qualify.procedures.censoring import PROCEDURES as CENSORING
from exvivo.qualify.procedures.published import PROCEDURES as PUBLISHED

PROCEDURES = {**CENSORING, **PUBLISHED}
OTHERS = [case for case in find_cases(Path(__file__).with_name("cases")) if case.prefix in PROCEDURES]


@pytest.mark.parametrize("case", OTHERS, ids=lambda case: case.id)
def test_other_data_of_the_same_family_pass(case: Case) -> None:
    checks = judge_case(case)
    assert len(checks) == len(case.judge)
    assert [check for check in checks if check.verdict != "pass"] == []


def test_every_family_has_other_data_twice() -> None:
    counted = Counter(case.prefix for case in OTHERS)
    assert all(counted[prefix] >= 2 for prefix in PROCEDURES)


def test_shipped_cases_pass() -> None:
    with shipped_folder() as folder:
        checks = [check for case in find_cases(folder) if case.prefix in PROCEDURES for check in judge_case(case)]
    assert len(checks) == 33
    assert [check for check in checks if check.verdict != "pass"] == []
