"""decisions.jsonl -> Decisions: what people decided afterwards, append-only and hash-chained.

One line is one canonical JSON object: seq, at, author, kind, target, value, reason and prev, the
sha256 of the previous line's bytes. A last line without a line end is a torn write: it is set
aside and reported. Nothing here touches a file: ``store`` appends.
"""

import hashlib
import json
from dataclasses import dataclass, fields
from enum import StrEnum

from exvivo.errors import InputError, fault

GENESIS = "0" * 64


class DecisionKind(StrEnum):
    """What can be decided."""

    EXCLUDE = "exclude"
    INCLUDE = "include"
    MOVE_GATE = "move_gate"
    CORRECT_ID = "correct_id"
    ANSWER_FINDING = "answer_finding"
    LOCK = "lock"
    UNBLIND = "unblind"
    AMEND = "amend"
    REVERT = "revert"


_CHANGING = frozenset(
    {
        DecisionKind.EXCLUDE,
        DecisionKind.INCLUDE,
        DecisionKind.CORRECT_ID,
        DecisionKind.MOVE_GATE,
        DecisionKind.ANSWER_FINDING,
    }
)


class TargetKind(StrEnum):
    """What an exclusion or correction can point at, written ``kind:name``."""

    WELL = "well"
    PLATE = "plate"
    SPECIMEN = "specimen"
    FILE = "file"
    DONOR = "donor"


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision: who, when, about what, why. ``at`` is an ISO time with zone."""

    seq: int
    at: str
    author: str
    kind: DecisionKind
    target: str
    value: str
    reason: str
    prev: str

    def line(self) -> bytes:
        """Canonical line, with its line end."""
        record = {field.name: getattr(self, field.name) for field in fields(self)}
        return (json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n").encode()


@dataclass(frozen=True, slots=True)
class Decisions:
    """Decisions in order. ``head`` is the digest of the last line, ``torn`` what a broken write left behind."""

    records: tuple[Decision, ...] = ()
    head: str = GENESIS
    torn: bytes = b""

    @property
    def active(self) -> tuple[Decision, ...]:
        """Decisions that no later one reverts; a revert that is itself reverted does nothing."""
        reverted: set[int] = set()
        for decision in reversed(self.records):
            if decision.kind == DecisionKind.REVERT and decision.seq not in reverted:
                reverted.add(int(decision.target))
        return tuple(d for d in self.records if d.seq not in reverted and d.kind != DecisionKind.REVERT)

    def head_at(self, count: int) -> str:
        """Digest of the line at which the record had ``count`` decisions."""
        return hashlib.sha256(self.records[count - 1].line()).hexdigest() if count else GENESIS

    @property
    def locked(self) -> bool:
        """Whether the data are locked."""
        return any(d.kind == DecisionKind.LOCK for d in self.active)

    @property
    def unblinded(self) -> bool:
        """Whether conditions may be shown."""
        return any(d.kind == DecisionKind.UNBLIND for d in self.active)

    def excluded(self, kind: TargetKind) -> dict[str, Decision]:
        """Targets of one kind that are excluded now, each with the decision that did it."""
        standing: dict[str, Decision] = {}
        for decision in self.active:
            prefix, _, name = decision.target.partition(":")
            if prefix != kind:
                continue
            if decision.kind == DecisionKind.EXCLUDE:
                standing[name] = decision
            elif decision.kind == DecisionKind.INCLUDE:
                standing.pop(name, None)
        return standing

    def corrections(self, kind: TargetKind) -> dict[str, str]:
        """Corrected names of one kind: as written in the files -> as decided."""
        prefix = f"{kind}:"
        return {
            d.target.removeprefix(prefix): d.value for d in self.active if d.kind == DecisionKind.CORRECT_ID and d.target.startswith(prefix)
        }

    def moved_gates(self) -> dict[tuple[str, str], Decision]:
        """Standing moves of gates by donor and gate, the last one of each."""
        return {split_gate(d.target): d for d in self.active if d.kind == DecisionKind.MOVE_GATE}

    def answers(self) -> dict[str, Decision]:
        """Answered findings by ``code@place``."""
        return {d.target: d for d in self.active if d.kind == DecisionKind.ANSWER_FINDING}

    def post_hoc(self) -> tuple[Decision, ...]:
        """Decisions that change data or answers and were made after the first unblinding, which no revert takes back."""
        opened = [d.seq for d in self.records if d.kind == DecisionKind.UNBLIND]
        if not opened:
            return ()
        return tuple(d for d in self.active if d.seq > min(opened) and d.kind in _CHANGING)

    def without_post_hoc(self) -> "Decisions":
        """The same record as if nothing had been decided after unblinding."""
        late = {d.seq for d in self.post_hoc()}
        return Decisions(tuple(d for d in self.records if d.seq not in late), self.head, self.torn)


def split_gate(target: str) -> tuple[str, str]:
    """Donor and gate of a target ``gate:DONOR/GATE``; empty where it is none.

    >>> split_gate("gate:SSC-001/Live")
    ('SSC-001', 'Live')
    """
    donor, _, gate = target.removeprefix("gate:").rpartition("/") if target.startswith("gate:") else ("", "", "")
    return donor, gate


def parse_decisions(data: bytes, where: str = "decisions.jsonl") -> Decisions:
    """Decisions from the bytes of a record, chain checked.

    Raises
    ------
    InputError : a line is not a decision, a number is out of order or the chain is broken; every fault at once
    """
    whole, _, torn = data.rpartition(b"\n")
    lines = whole.split(b"\n") if whole else []
    head, records, faults = GENESIS, [], []
    for number, line in enumerate(lines, start=1):
        place = f"{where}, line {number}"
        try:
            record = _parse_line(line)
        except (ValueError, KeyError, TypeError) as error:
            faults.append(fault(place, f"this is not a decision ({error})", "one JSON object as exvivo writes it", "Restore the file"))
        else:
            if record.prev != head or record.seq != number:
                told = "the chain is broken: a line before it was changed, removed or added"
                faults.append(fault(place, told, f"prev = {head[:12]}… and seq = {number}", "Restore the file from a copy"))
            records.append(record)
        head = hashlib.sha256(line + b"\n").hexdigest()
    if faults:
        raise InputError(faults)
    return Decisions(tuple(records), head, torn)


def _parse_line(line: bytes) -> Decision:
    record = json.loads(line)
    if record["kind"] == DecisionKind.REVERT:
        int(record["target"])
    return Decision(**{**{field.name: record[field.name] for field in fields(Decision)}, "kind": DecisionKind(record["kind"])})
