"""Effects -> reproduce.R: every estimate that R can compute again, with its data in it and the numbers to compare.

The estimates' code comes with the run (``calls``); here it gets the functions that blocks share, a heading and the numbers
that exvivo found. ``Rscript reproduce.R`` prints both, and ends with status 1 where one is off.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files

from exvivo.study.run import Effects
from exvivo.study.statuses import EffectRole
from exvivo.study.tables import Table

HEAD = """\
# The estimates of this study once more, in R. Run: Rscript reproduce.R
# Base R does most of it; lme4 with pbkrtest (mixed models) and mvtnorm (censored pairs) where a block says so.
# Columns: estimate, quantity, R, exvivo, relative difference, verdict.
"""
FOOT = """
cat(sprintf("%d quantities compared, %d off\\n", checked$n, checked$off))
if (checked$off) quit(status = 1)
"""
EXTRA = ("smallest", "largest")
"""Quantities of the detail that R computes too."""


def compose_reproduction(effects: Effects) -> str:
    """Text of reproduce.R."""
    return HEAD + read_functions() + "".join(_list_blocks(effects)) + FOOT


def read_functions() -> str:
    """R functions that blocks share."""
    return files("exvivo").joinpath("report", "templates", "reproduce.R").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class CallText:
    """Lines of R under the name of the estimate that they compute."""

    name: str
    code: str


def list_calls(effects: Effects, table: Table) -> tuple[CallText, ...]:
    """R code of the rows of a table, in its order."""
    rows = table.rows()
    calls = [call for call in effects.calls.rows() if call["table"] == table.kind.name]
    return tuple(CallText(name_estimate(rows[int(str(call["row"])) - 1]), str(call["code"])) for call in calls)


def name_estimate(row: Mapping[str, object]) -> str:
    """One line that names a row of effects or supplementary: outcome, readout, modifier, contrast, role and method."""
    detail = json.loads(str(row["detail"])) if row["detail"] else {}
    marks = [str(detail[key]) for key in ("statistic",) if key in detail]
    marks += [f"without {detail['ignores']}"] if "ignores" in detail else []
    marks += ["uncorrected"] if detail.get("uncorrected") else []
    parts = [row[name] for name in ("outcome", "readout", "modifier", "level", "contrast")]
    role = EffectRole(str(row["role"])).value
    return " ".join([*(str(part) for part in parts if part), f"[{', '.join([role, str(row['method']), *marks])}]"])


def _list_blocks(effects: Effects) -> Iterator[str]:
    tables = {table.kind.name: table.rows() for table in (effects.effects, effects.supplementary)}
    for number, call in enumerate(effects.calls.rows(), start=1):
        row = tables[str(call["table"])][int(str(call["row"])) - 1]
        wanted = _quantities(row)
        name = name_estimate(row)
        lines = "\n".join(f"  {line}" for line in str(call["code"]).splitlines())
        listed = ", ".join(f"{key} = {value!r}" for key, value in wanted.items())
        packages = ", ".join(json.dumps(package) for package in str(call["packages"] or "").split(",") if package)
        yield f"\n# {number}. {name}\nif (available({packages})) local({{\n{lines}\n"
        yield f"  compare({json.dumps(name, ensure_ascii=False)}, result, c({listed}), {call['tolerance']!r})\n}})\n"


def _quantities(row: Mapping[str, object]) -> dict[str, float]:
    """Numbers of a row that R has to find again."""
    detail = json.loads(str(row["detail"])) if row["detail"] else {}
    named = {"ratio": row["estimate"], "low": row["ci_low"], "high": row["ci_high"], "p": row["p"]}
    named |= {key: detail.get(key) for key in EXTRA}
    if detail.get("exact") is False:
        named["p"] = None
    return {key: value for key, value in named.items() if isinstance(value, float)}
