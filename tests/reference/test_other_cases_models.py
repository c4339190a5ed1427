"""Families of mixed models, contrasts and strata on other data than the shipped cases: sizes, gaps, names, boundary.

Made in R 4.2.2 with lme4 1.1-31, lmerTest 3.1-3, pbkrtest 0.5.2, emmeans 1.8.4-1, multcomp 1.4-22, metafor 3.8-1, mice 3.15.0
and nlme 3.1-162. Optimisers of R were run to 1e-9 and its integrals to 1e-6.
"""

from collections import Counter
from pathlib import Path

import pytest

from exvivo.qualify.cases import Case, find_cases
from exvivo.qualify.judging import judge_case
from exvivo.qualify.procedures.contrasts import PROCEDURES as CONTRASTS
from exvivo.qualify.procedures.models import PROCEDURES as MODELS

PREFIXES = {*CONTRASTS, *MODELS}
OTHERS = [case for case in find_cases(Path(__file__).with_name("cases")) if case.prefix in PREFIXES]


@pytest.mark.parametrize("case", OTHERS, ids=lambda case: case.id)
def test_other_data_of_the_same_family_pass(case: Case) -> None:
    checks = judge_case(case)
    assert len(checks) == len(case.judge)
    assert [check for check in checks if check.verdict != "pass"] == []


def test_every_family_has_other_data() -> None:
    counted = Counter(case.prefix for case in OTHERS)
    assert {prefix for prefix in PREFIXES if prefix.startswith("c")} <= set(counted)
