"""The decision record: chained, append-only, honest about torn writes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exvivo.errors import DesignError, InputError
from exvivo.store import NewDecision, append_decision, load_decisions
from exvivo.study.decisions import GENESIS, Decision, DecisionKind, Decisions, TargetKind, parse_decisions
from exvivo.study.protocol import Protocol, load_protocol
from exvivo.templates import write_template


@pytest.fixture
def study(tmp_path: Path) -> tuple[Path, Protocol]:
    write_template(tmp_path, "ssc-ruxolitinib")
    return tmp_path, load_protocol(tmp_path / "study.yaml")


def new(kind: DecisionKind = DecisionKind.EXCLUDE, target: str = "well:p:1/C5", value: str = "") -> NewDecision:
    return NewDecision(kind, target, value, "bubble", "A. Reader")


def test_appended_decisions_come_back_in_order(study: tuple[Path, Protocol]) -> None:
    folder, protocol = study
    first = append_decision(folder, protocol, new())
    second = append_decision(folder, protocol, new(DecisionKind.LOCK, ""))
    decisions = load_decisions(folder, protocol)
    assert decisions.records == (first, second)
    assert first.prev == GENESIS
    assert decisions.locked
    assert not decisions.unblinded
    assert list(decisions.excluded(TargetKind.WELL)) == ["p:1/C5"]


def test_a_changed_line_breaks_the_chain_and_is_named(study: tuple[Path, Protocol]) -> None:
    folder, protocol = study
    for _ in range(3):
        append_decision(folder, protocol, new())
    path = folder / "decisions.jsonl"
    path.write_bytes(path.read_bytes().replace(b"bubble", b"babble", 1))
    with pytest.raises(InputError, match=r"line 2: the chain is broken"):
        load_decisions(folder, protocol)


def test_a_removed_line_is_named(study: tuple[Path, Protocol]) -> None:
    folder, protocol = study
    for _ in range(3):
        append_decision(folder, protocol, new())
    path = folder / "decisions.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[2])
    with pytest.raises(InputError, match=r"line 2"):
        load_decisions(folder, protocol)


def test_a_torn_last_line_is_set_aside_by_the_next_decision(study: tuple[Path, Protocol]) -> None:
    folder, protocol = study
    append_decision(folder, protocol, new())
    path = folder / "decisions.jsonl"
    with path.open("ab") as file:
        file.write(b'{"at":"2026')
    assert load_decisions(folder, protocol).torn == b'{"at":"2026'
    append_decision(folder, protocol, new(DecisionKind.LOCK, ""))
    assert [d.kind for d in load_decisions(folder, protocol).records] == [DecisionKind.EXCLUDE, DecisionKind.LOCK]
    assert [p.read_bytes() for p in folder.glob("decisions.jsonl.torn-*")] == [b'{"at":"2026']


def test_a_decision_on_an_old_head_is_refused(study: tuple[Path, Protocol]) -> None:
    folder, protocol = study
    append_decision(folder, protocol, new())
    with pytest.raises(DesignError, match="moved on"):
        append_decision(folder, protocol, new(), head=GENESIS)


def test_include_takes_an_exclusion_back_and_revert_too() -> None:
    records = (
        decision(1, DecisionKind.EXCLUDE, "donor:SSC-001"),
        decision(2, DecisionKind.EXCLUDE, "donor:SSC-002"),
        decision(3, DecisionKind.INCLUDE, "donor:SSC-001"),
        decision(4, DecisionKind.REVERT, "2"),
    )
    assert Decisions(records).excluded(TargetKind.DONOR) == {}


def test_decisions_after_unblinding_are_post_hoc_and_can_be_left_out() -> None:
    records = (
        decision(1, DecisionKind.EXCLUDE, "donor:SSC-001"),
        decision(2, DecisionKind.UNBLIND, ""),
        decision(3, DecisionKind.EXCLUDE, "donor:SSC-002"),
    )
    decisions = Decisions(records)
    assert [d.seq for d in decisions.post_hoc()] == [3]
    assert list(decisions.without_post_hoc().excluded(TargetKind.DONOR)) == ["SSC-001"]


def decision(seq: int, kind: DecisionKind, target: str) -> Decision:
    return Decision(seq, "2026-01-01T00:00:00+00:00", "A", kind, target, "", "why", GENESIS)


@given(st.text(), st.text(), st.text())
def test_any_text_survives_the_line_format(target: str, value: str, reason: str) -> None:
    made = Decision(1, "2026-01-01T00:00:00+00:00", "A", DecisionKind.AMEND, target, value, reason, GENESIS)
    assert parse_decisions(made.line()).records == (made,)
