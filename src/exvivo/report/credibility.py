"""Protocol and effects -> one sheet for each modifier with the facts that its credibility is judged by; the judgement stays blank.

The questions follow ICEMAN (Schandelmaier et al. 2020, CMAJ 192:E901), in our words: what was expected beforehand, what earlier
findings say, what chance explains, how many modifiers were tried, whether cut-points were chosen. Everything filled in comes
from study.yaml and the effects.
"""

from exvivo.report.crosstables import shorten
from exvivo.report.modifiers import Modified, collect_modified
from exvivo.report.numbers import print_interval, print_number, print_p
from exvivo.report.sections import Grid, GridRow, heads, name_contrast, print_count, readout_label, real
from exvivo.report.wording import Wording
from exvivo.study.model import Modifier, ModifierKind
from exvivo.study.run import Run

JUDGED = ("direction", "evidence", "chance", "number", "cut_points", "overall")
"""Questions that ask for a judgement, in the order of the sheet."""


def list_credibility(run: Run, words: Wording) -> tuple[Grid, ...]:
    """One sheet for each registered row of a modifier."""
    return tuple(_fill(one, run, words) for one in collect_modified(run))


def _fill(one: Modified, run: Run, words: Wording) -> Grid:
    outcome = next(held for held in run.protocol.analysis.outcomes if held.id == one.registered["outcome"])
    tried = {"count": len(outcome.modifiers), "outcome": outcome.id, "adjusted": _tell_adjusted(one, outcome.adjust, words)}
    facts = {
        "outcome": readout_label({**one.registered, "modifier": None}, run.protocol),
        "measure": f"{name_contrast(one.registered, run.protocol, words)}; {words.say('credibility', 'within_donors')}",
        "before": words.say("credibility", "ex_vivo"),
        "donors": ", ".join(f"{row['level']} {row['donors']}" for row in one.levels) or print_count(one.registered["donors"]),
        "direction": _tell_direction(one, words),
        "evidence": one.modifier.evidence or words.say("credibility", "none_written"),
        "chance": _tell_chance(one, words),
        "number": words.say("credibility", "tried", tried),
        "cut_points": _tell_levels(one.modifier, words),
        "overall": "",
    }
    rows = tuple(GridRow((words.say("asked", name), told, "" if name in JUDGED else "–")) for name, told in facts.items())
    return Grid(heads(words, "asked", "description", "judgement"), rows, caption=shorten(one.modifier.label))


def _tell_direction(one: Modified, words: Wording) -> str:
    expected = words.say("credibility", f"expected_{one.modifier.direction}" if one.modifier.direction else "none_written")
    return f"{expected} {_tell_found(one, words)}".strip()


def _tell_found(one: Modified, words: Wording) -> str:
    estimate, low, high = (real(one.registered[name]) for name in ("estimate", "ci_low", "ci_high"))
    if estimate is None:
        return ""
    return words.say("credibility", "found", {"ratio": print_number(estimate), "interval": print_interval(low, high)})


def _tell_chance(one: Modified, words: Wording) -> str:
    p = real(one.registered["p"])
    return words.say("credibility", "not_tested") if p is None else words.say("credibility", "p", {"p": print_p(p)})


def _tell_adjusted(one: Modified, adjust: str, words: Wording) -> str:
    if adjust == "none":
        return words.say("credibility", "adjusted_none")
    values = {"adjust": words.say("methods", f"adjust_{adjust}"), "p": print_p(real(one.registered["p_adjusted"])) or "–"}
    return words.say("credibility", "adjusted", values)


def _tell_levels(modifier: Modifier, words: Wording) -> str:
    if modifier.kind is ModifierKind.CONTINUOUS:
        return words.say("credibility", "no_cut", {"step": f"{modifier.per:g}"})
    if modifier.kind is ModifierKind.BINARY:
        values = {"yes": ", ".join(modifier.yes), "no": ", ".join(modifier.no)}
        return words.say("credibility", "sides", {"yes_label": modifier.yes_label, "no_label": modifier.no_label, **values})
    return words.say("credibility", "levels", {"levels": ", ".join(modifier.levels)})
