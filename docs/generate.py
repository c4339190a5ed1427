"""Write the reference pages that are generated from code: tables, protocol keys, codes, command line.

``python docs/generate.py`` writes them; ``tests/test_docs.py`` fails when a page differs from the code.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from exvivo.study.cytometry import BEAD_PEAKS, BEADS, BeadReason, BeadStatus
from exvivo.study.findings import FindingCode
from exvivo.study.model import study_schema
from exvivo.study.statuses import (
    ChartBase,
    ChartKind,
    Diagnostic,
    EffectRole,
    EffectStatus,
    ExpressionStatus,
    LimitDefinition,
    LimitKind,
    Reason,
    Rule,
    RuleOutcome,
    Severity,
    SpecimenStatus,
    TubeKind,
    WellStatus,
)
from exvivo.study.tables import PUBLIC_TABLES, SHARED_ERROR, SKETCHES, TableKind

REFERENCE = Path(__file__).parent / "reference"
COMMANDS = ("demo", "init", "check", "simulate", "run", "report", "decide", "verify", "schema", "calibrate", "gate", "fcs")


def tables_page() -> str:
    """Every table with its columns."""
    lines = ["# Tables", "", "Written to `results/tables` as CSV and Parquet. An empty cell is a missing value; text is UTF-8,"]
    lines += ["lines end with `\\n`, the decimal mark is a point. The key names the columns that no two rows share.", ""]
    lines += ["`beads` and `bead_peaks` are written by `exvivo gate --beads`.", ""]
    for kind in (*PUBLIC_TABLES, SHARED_ERROR, SKETCHES, BEADS, BEAD_PEAKS):
        lines += _table(kind)
    return "\n".join(lines) + "\n"


def _table(kind: TableKind) -> list[str]:
    lines = [f"## {kind.name}", "", f"{kind.meaning[0].upper()}{kind.meaning[1:]}.", ""]
    if kind.key:
        lines += [f"Key: {', '.join(f'`{name}`' for name in kind.key)}.", ""]
    if kind.extra:
        lines += [f"Then {kind.extra}.", ""]
    lines += ["| column | type | unit | meaning |", "| --- | --- | --- | --- |"]
    for column in kind.columns:
        meaning = column.meaning + (f" ({', '.join(column.allowed)})" if column.allowed else "")
        lines.append(f"| `{column.name}` | {str(column.dtype).lower()} | {column.unit} | {meaning} |")
    return [*lines, ""]


def protocol_page() -> str:
    """Every key of study.yaml."""
    schema = study_schema()
    lines = ["# Keys of study.yaml", "", "Every block also takes `source` (registry, assumed or sop:<reference>) and `source_of`.", ""]
    for name, block in [("study.yaml", schema), *sorted(schema["$defs"].items())]:
        if "properties" in block:
            lines += [f"## {name}", "", str(block.get("description", "")).split("\n", maxsplit=1)[0], ""]
            lines += ["| key | needed | meaning |", "| --- | --- | --- |"]
            lines += [_key(key, spec, block) for key, spec in block["properties"].items() if key not in {"source", "source_of"}]
            lines.append("")
        elif "enum" in block:
            lines += [f"## {name}", "", f"{block.get('description', '')} One of {', '.join(f'`{v}`' for v in block['enum'])}.", ""]
    return "\n".join(lines)


def _key(key: str, spec: Mapping[str, Any], block: Mapping[str, Any]) -> str:
    needed = (
        "yes" if key in block.get("required", ()) else f"default `{spec['default']}`" if spec.get("default") not in (None, "", []) else ""
    )
    return f"| `{key}` | {needed} | {spec.get('description', '')} |"


def codes_page() -> str:
    """Every stable code."""
    groups: Mapping[str, type[StrEnum]] = {
        "Status of a well": WellStatus,
        "Status of a specimen": SpecimenStatus,
        "Status of an expression": ExpressionStatus,
        "Status of an effect": EffectStatus,
        "Role of an effect": EffectRole,
        "Severity of a finding": Severity,
        "Kind of a tube": TubeKind,
        "Status of a channel with beads": BeadStatus,
        "Why beads cannot calibrate a channel": BeadReason,
        "Reasons": Reason,
        "Diagnostics of estimates": Diagnostic,
        "Rules of plates": Rule,
        "Outcome of a rule": RuleOutcome,
        "Limits of a curve": LimitKind,
        "Definitions of limits": LimitDefinition,
        "What a control chart follows": ChartKind,
        "Target and SD of a control chart": ChartBase,
        "Findings": FindingCode,
    }
    lines = ["# Codes", "", "Tables, logs and JSON hold these codes; sentences are made from them by the report and the command line.", ""]
    for title, codes in groups.items():
        lines += [f"## {title}", "", *(f"- `{code.value}`" for code in codes), ""]
    return "\n".join(lines)


def commands_page() -> str:
    """What each command says of itself."""
    lines = [
        "# Command line",
        "",
        "Exit codes: 0 done, 1 the data, the protocol or a decision is at fault, 2 the call is wrong, 70 a bug.",
        "",
    ]
    for command in COMMANDS:
        done = subprocess.run(  # noqa: S603  our own interpreter
            [sys.executable, "-m", "exvivo", command, "--help"],
            capture_output=True,
            check=True,
            env=os.environ | {"COLUMNS": "100", "TERM": "dumb", "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "utf-8"},
            encoding="utf-8",
        )
        text = "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())
        lines += [f"## exvivo {command}", "", "```", text, "```", ""]
    return "\n".join(lines)


PAGES: Mapping[str, Callable[[], str]] = {
    "tables.md": tables_page,
    "protocol.md": protocol_page,
    "codes.md": codes_page,
    "commands.md": commands_page,
}

if __name__ == "__main__":
    REFERENCE.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page(), encoding="utf-8", newline="\n")
        print(REFERENCE / name)
