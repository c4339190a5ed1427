"""A decision before it is taken: what a person typed, and what is wrong with it."""

from collections.abc import Iterator
from dataclasses import dataclass

from exvivo.errors import fault, unknown
from exvivo.study.decisions import DecisionKind, Decisions, TargetKind


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person typed: the verb, what it is about, a new value, why, and who."""

    kind: str
    target: str
    value: str
    reason: str
    author: str


DECISIONS = {
    "exclude": DecisionKind.EXCLUDE,
    "include": DecisionKind.INCLUDE,
    "correct-id": DecisionKind.CORRECT_ID,
    "move-gate": DecisionKind.MOVE_GATE,
    "answer": DecisionKind.ANSWER_FINDING,
    "lock": DecisionKind.LOCK,
    "unblind": DecisionKind.UNBLIND,
    "revert": DecisionKind.REVERT,
}


def question_choice(choice: Choice, decisions: Decisions) -> Iterator[str]:
    """What is wrong with a decision."""
    if choice.kind not in DECISIONS:
        yield unknown("decision", choice.kind, DECISIONS)
        return
    if not choice.reason.strip():
        yield fault(choice.kind, "the reason is empty", "why, in a few words", "Give --reason")
    prefix, _, name = choice.target.partition(":")
    if choice.kind in {"exclude", "include", "correct-id"} and (prefix not in list(TargetKind) or not name):
        yield fault(choice.kind, f"target '{choice.target}' is not kind:name", f"one of {', '.join(TargetKind)}, such as donor:SSC-001")
    if choice.kind == "correct-id" and prefix in list(TargetKind) and prefix not in {TargetKind.SPECIMEN, TargetKind.DONOR}:
        yield fault(choice.kind, f"a {prefix} has no id to correct", "specimen:NAME or donor:NAME")
    if choice.kind == "correct-id" and not choice.value:
        yield fault(choice.kind, "the correct name is missing", "--value NAME")
    if choice.kind == "answer" and "@" not in choice.target:
        yield fault(choice.kind, f"target '{choice.target}' is not a finding", "CODE@PLACE as 'exvivo check' prints them")
    if choice.kind == "revert":
        target = next((d for d in decisions.records if str(d.seq) == choice.target), None)
        if target is None:
            yield fault(choice.kind, f"there is no decision '{choice.target}'", f"a number from 1 to {len(decisions.records)}")
        elif target.kind == DecisionKind.UNBLIND:
            yield fault(choice.kind, "what was unblinded has been seen", "another decision", "Leave it in the record")
