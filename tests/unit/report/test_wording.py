import re
from enum import StrEnum

import pytest

from exvivo.report.numbers import print_number
from exvivo.report.wording import load_wording
from exvivo.study.cytometry import ItemStatus
from exvivo.study.decisions import DecisionKind
from exvivo.study.findings import FindingCode
from exvivo.study.statuses import (
    ChartBase,
    ChartKind,
    Diagnostic,
    EffectRole,
    EffectStatus,
    ExpressionStatus,
    LimitDefinition,
    LimitKind,
    Method,
    Reason,
    Rule,
    RuleOutcome,
    Severity,
    SpecimenStatus,
    TubeKind,
    WellStatus,
)

SECTIONS: dict[str, type[StrEnum]] = {
    "well_status": WellStatus,
    "specimen_status": SpecimenStatus,
    "expression_status": ExpressionStatus,
    "effect_status": EffectStatus,
    "effect_role": EffectRole,
    "severity": Severity,
    "tube_kind": TubeKind,
    "reason": Reason,
    "finding": FindingCode,
    "decision": DecisionKind,
    "method": Method,
    "diagnostic": Diagnostic,
    "rule": Rule,
    "rule_outcome": RuleOutcome,
    "limit": LimitKind,
    "limit_definition": LimitDefinition,
    "chart_kind": ChartKind,
    "chart_base": ChartBase,
    "item_status": ItemStatus,
}


@pytest.mark.parametrize("section", SECTIONS)
def test_every_code_has_a_text_and_no_text_is_left_over(section: str) -> None:
    assert set(load_wording().sections[section]) == {str(code) for code in SECTIONS[section]}


@pytest.mark.parametrize(("section", "codes"), [("short_method", Method), ("diagnostic_head", Diagnostic), ("diagnostic_rule", Diagnostic)])
def test_every_code_has_its_other_texts(section: str, codes: type[StrEnum]) -> None:
    assert set(load_wording().sections[section]) == {str(code) for code in codes}


def test_a_missing_text_is_an_error_that_names_it() -> None:
    with pytest.raises(KeyError, match=r"reason\.nonsense"):
        load_wording().say("reason", "nonsense")


def test_codes_that_a_stage_coined_are_printed_as_they_are() -> None:
    assert load_wording().name("rule", "new-rule") == "new-rule"


@pytest.mark.parametrize("section", ["reason", "prose", "methods"])
def test_sentences_end_with_a_full_stop(section: str) -> None:
    texts = load_wording().sections[section]
    fragments = {code for code in texts if re.match("weighting|compensation|gates|adjust", code)}
    assert [code for code, text in texts.items() if code not in fragments and not text.endswith(".")] == []


def test_details_are_told_in_words() -> None:
    words = load_wording()
    assert words.detail('{"decision": 3, "rules": ["a", "b"], "share": 0.34567}') == "decision: 3; rules not met: a, b; share: 0.346"
    assert (
        words.detail('{"exact": true, "variances": {"serum_donor": 0.25}}')
        == "all changes of sign tried: yes; variances: serum donor 0.250"
    )
    assert words.detail('{"p_best": 4.8e-07, "p_rank_worst": 0.02222}') == (
        "smallest p within the limits: <0.001; largest rank p within the limits: 0.022"
    )
    assert words.detail('{"code": "donor-unknown"}') == f"finding: {words.say('finding', 'donor-unknown')}"
    assert words.detail('{"per": 10.0}') == "step: 10"
    assert words.detail(None) == ""
    assert words.detail("not json") == "not json"


def test_ties_are_rounded_up_whatever_their_last_bits() -> None:
    assert [print_number(value) for value in (31.25, 9.375, 9.375 * (1 - 1e-15), -31.25)] == ["31.3", "9.38", "9.38", "-31.3"]
