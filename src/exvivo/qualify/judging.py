"""One case -> its checks: the procedure runs, and every result that counts is compared."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from exvivo.qualify.cases import Case
from exvivo.qualify.procedures import PROCEDURES

_WORDS = {"Inf": math.inf, "-Inf": -math.inf}

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


def refuse_file(name: str, message: str) -> Check:
    """A file of the folder that is no case."""
    return Check(name, "", None, message, None, 0.0, UNSUPPORTED)


def _compare(case: Case, results: Mapping[str, Any]) -> Iterator[Check]:
    for path, allowed in case.judge.items():
        try:
            got, expected = _look_up(results, path), _look_up(case.results, path)
        except (KeyError, IndexError, TypeError, ValueError, StopIteration):
            yield _without(case, path, None)
            continue
        yield _judge(case.id, path, expected, got, allowed)


def _judge(case: str, path: str, expected: object, got: object, allowed: Mapping[str, float]) -> Check:
    want, have = _as_number(expected), _as_number(got)
    if want is None or have is None:
        alike = got == expected or (_is_missing(expected) and _is_missing(got))
        return Check(case, path, _printed(expected), _printed(got), None, 0.0, PASS if alike else FAIL)
    tolerance = allowed.get("abs", 0.0) + allowed.get("rel", 0.0) * abs(want) if math.isfinite(want) else 0.0
    difference = 0.0 if have == want else have - want
    within = abs(difference) <= tolerance
    finite = difference if math.isfinite(difference) else None
    return Check(case, path, _printed(want), _printed(have), finite, tolerance, PASS if within else FAIL)


def _without(case: Case, path: str, got: object) -> Check:
    return Check(case.id, path, None, got, None, 0.0, SKIPPED if case.optional else UNSUPPORTED)


def _as_number(value: object) -> float | None:
    """A number, also one that R writes as a word; nothing where there is none."""
    if isinstance(value, str) and value in _WORDS:
        return _WORDS[value]
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return None
    return float(value)


def _is_missing(value: object) -> bool:
    return value is None or value in ("NA", "NaN") or (isinstance(value, float) and math.isnan(value))


def _printed(value: object) -> object:
    """As JSON can hold it."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _look_up(results: Any, path: str) -> Any:  # noqa: ANN401  nested lists and mappings as JSON has them
    """A result by its path; a key such as ``I(x/10)`` may itself hold the sign between keys."""
    if isinstance(results, list | tuple):
        first, _, rest = path.partition("/")
        return _look_up(results[int(first)], rest) if rest else results[int(first)]
    if path in results:
        return results[path]
    key = next(key for key in results if path.startswith(f"{key}/"))
    return _look_up(results[key], path.removeprefix(f"{key}/"))
