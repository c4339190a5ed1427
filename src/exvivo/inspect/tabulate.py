"""Findings as a table: errors first, then by code and place, one row per code and place."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from exvivo.study.decisions import Decision
from exvivo.study.findings import Finding
from exvivo.study.statuses import Severity
from exvivo.study.tables import FINDINGS, Table

_ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}


def tabulate_findings(
    found: Iterable[Finding], touched: Callable[[Finding], Sequence[str]] = lambda _: (), answers: Mapping[str, Decision] | None = None
) -> Table:
    """FINDINGS from findings, the outcomes that each touches and the decisions that answer them."""
    rows: dict[tuple[str, str], dict[str, object]] = {}
    for finding in sorted(dict.fromkeys(found), key=lambda f: (_ORDER[f.severity], f.code, f.place, f.evidence)):
        answer = (answers or {}).get(f"{finding.code}@{finding.place}")
        row: dict[str, object] = {
            "code": finding.code.value,
            "severity": finding.severity.value,
            "place": finding.place,
            "evidence": finding.evidence,
            "suggestion": finding.suggestion,
            "outcomes": ",".join(touched(finding)) or None,
            "answer": f"decision {answer.seq}: {answer.reason}" if answer else None,
        }
        earlier = rows.setdefault((finding.code.value, finding.place), row)
        if earlier is not row:
            earlier["evidence"] = f"{earlier['evidence']}; {finding.evidence}"
            earlier["outcomes"] = ",".join(dict.fromkeys([*_split(earlier["outcomes"]), *_split(row["outcomes"])])) or None
    return FINDINGS.from_rows(list(rows.values()))


def _split(cell: object) -> list[str]:
    return str(cell).split(",") if cell else []
