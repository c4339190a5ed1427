"""One case -> its checks: the procedure runs, and every result that counts is compared."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from exvivo.qualify.cases import Case
from exvivo.qualify.procedures import PROCEDURES

PASS, FAIL, UNSUPPORTED, SKIPPED = "pass", "fail", "unsupported", "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """One result: what the reference gave, what we give, what difference is allowed."""

    case: str
    quantity: str
    expected: object
    got: object
    difference: float | None
    tolerance: float
    verdict: str

    @property
    def passed(self) -> bool:
        """Whether it does not speak against the installation."""
        return self.verdict in (PASS, SKIPPED)


def judge_case(case: Case) -> list[Check]:
    """Every result of a case that counts, in the case's order; a case that nothing can compute has one unsupported check."""
    procedure = PROCEDURES.get(case.prefix)
    if procedure is None:
        return [_without(case, "", "no procedure for cases of this name")]
    try:
        results = procedure(case)
    except Exception as error:  # noqa: BLE001  whatever a case on other data raises is a verdict, not a crash
        return [_without(case, "", f"{type(error).__name__}: {error}")]
    return list(_compare(case, results))


def _compare(case: Case, results: Mapping[str, Any]) -> Iterator[Check]:
    for path, allowed in case.judge.items():
        try:
            got = _look_up(results, path)
        except (KeyError, IndexError, TypeError, ValueError):
            yield _without(case, path, None)
            continue
        expected = _look_up(case.results, path)
        yield _judge(case.id, path, expected, got, allowed)


def _judge(case: str, path: str, expected: object, got: object, allowed: Mapping[str, float]) -> Check:
    if not (_is_number(expected) and _is_number(got)):
        return Check(case, path, expected, got, None, 0.0, PASS if got == expected else FAIL)
    want, have = float(expected), float(got)  # type: ignore[arg-type]
    tolerance = allowed.get("abs", 0.0) + allowed.get("rel", 0.0) * abs(want)
    difference = 0.0 if have == want else have - want
    within = have == want or abs(difference) <= tolerance
    return Check(case, path, want, have, difference if math.isfinite(difference) else None, tolerance, PASS if within else FAIL)


def _without(case: Case, path: str, got: object) -> Check:
    return Check(case.id, path, None, got, None, 0.0, SKIPPED if case.optional else UNSUPPORTED)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _look_up(results: Any, path: str) -> Any:  # noqa: ANN401  nested lists and mappings as JSON has them
    for key in path.split("/"):
        results = results[int(key)] if isinstance(results, list | tuple) else results[key]
    return results
