"""Rank, permutation, bootstrap and power cases on other data than the shipped ones: R's numbers, by each case's own judge."""

from collections import Counter
from pathlib import Path

import pytest

from exvivo.qualify.cases import Case, find_cases
from exvivo.qualify.judging import judge_case

FAMILIES = ("c01", "c02", "c03", "c15", "c16", "c18", "c19", "c20", "c21", "c22", "c23", "c29")
CASES = [case for case in find_cases(Path(__file__).parent / "cases") if case.prefix in FAMILIES]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_every_quantity_is_within_its_tolerance(case: Case) -> None:
    checks = judge_case(case)
    assert len(checks) == len(case.judge)
    assert [check for check in checks if check.verdict != "pass"] == []


def test_each_family_has_two_cases() -> None:
    assert min(Counter(case.prefix for case in CASES)[family] for family in FAMILIES) >= 2
