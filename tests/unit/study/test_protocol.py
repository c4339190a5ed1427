"""study.yaml: every fault at once, each at its place."""

import re
from importlib.resources import files
from pathlib import Path

import pytest

from exvivo.errors import ProtocolError
from exvivo.study.protocol import load_protocol

SEED = files("exvivo.templates").joinpath("ssc-ruxolitinib", "study.yaml").read_text(encoding="utf-8")

TEN_FAULTS = (
    ("population: SSc\n", "population: SSC\n", "58:17: unknown population 'SSC'. Known: SSc, HD. Did you mean 'SSc'?"),
    ("top: 500", "top: -5", "86:22: Input should be greater than 0, found -5"),
    ("    replicates: 2\n", "    replicats: 2\n", "88:5: unknown key 'replicats'."),
    ("kind: elisa\n    label: IL-6", "kind: elise\n    label: IL-6", "103:11: unknown kind 'elise'. Known: elisa, flow, table."),
    ("parent: Cells", "parent: Cels", "157:76: unknown parent gate 'Cels'. Known: Time, Cells. Did you mean 'Cells'?"),
    ("      none_level: none                    #", "      #", "182:7: 'autoab' has a level 'none' without 'none_level: none'."),
    ("method: echocardiography", "definition: echo", "192:7: 'pah_echo' does not say its 'method'."),
    ("versus: vehicle}", "versus: vehicl}", "220:58: unknown level of drug 'vehicl'."),
    ("[PDGFBB, IL6, CXCL10", "[PDGFBB, CCL81, CXCL10", "227:24: unknown analyte 'CCL81'."),
    ("seed: 4206644", "seed: x", "262:9: Input should be a valid integer"),
)


def write(folder: Path, text: str) -> Path:
    path = folder / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def faults_of(folder: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(ProtocolError) as caught:
        load_protocol(write(folder, text))
    return caught.value.messages


def test_seed_study_is_valid_and_holds_28_registered_estimates(tmp_path: Path) -> None:
    protocol = load_protocol(write(tmp_path, SEED))
    rows = sum(len(o.modifiers) or len(o.readouts) for o in protocol.analysis.outcomes)
    assert rows == 28
    assert [o.id for o in protocol.analysis.outcomes] == ["P1", "S1", "S2", "S3", "S4"]
    assert list(protocol.analysis.outcomes[-1].modifiers) == ["autoab", "mrss", "du", "ild_ct", "pah_echo", "subset"]


def test_blank_template_is_valid(tmp_path: Path) -> None:
    text = files("exvivo.templates").joinpath("blank", "study.yaml").read_text(encoding="utf-8")
    assert load_protocol(write(tmp_path, text)).file.study.id == "MY-STUDY"


def test_ten_faults_are_reported_together_sorted_by_line(tmp_path: Path) -> None:
    text = SEED
    for old, new, _ in TEN_FAULTS:
        assert old in text
        text = text.replace(old, new, 1)
    messages = faults_of(tmp_path, text)
    for message, (_, _, expected) in zip(messages, TEN_FAULTS, strict=True):
        assert message.startswith(f"study.yaml:{expected}")


@pytest.mark.parametrize(("old", "new", "expected"), TEN_FAULTS)
def test_each_fault_alone_is_the_only_message(tmp_path: Path, old: str, new: str, expected: str) -> None:
    messages = faults_of(tmp_path, SEED.replace(old, new, 1))
    assert [m for m in messages if m.startswith(f"study.yaml:{expected}")] == list(messages)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "study.yaml:1:1: the file holds nothing."),
        ("- a\n- b\n", "study.yaml:1:1: the file holds a list"),
        ("a: 1\na: 2\n", "study.yaml:2:1: found duplicate key"),
        ("study: [1, 2\nfactors: x\n", "study.yaml:2:"),
        ("schema: exvivo/study/9\n", "study.yaml:1:9: format 'exvivo/study/9' is not known."),
    ],
)
def test_files_that_are_no_protocol_are_named_at_their_place(tmp_path: Path, text: str, expected: str) -> None:
    assert any(m.startswith(expected) for m in faults_of(tmp_path, text))


def test_a_file_in_another_encoding_is_refused_by_byte(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_bytes("schema: exvivo/study/1\nstudy: {title: Étude}\n".encode("latin-1"))
    with pytest.raises(ProtocolError, match=r"byte \d+ is not UTF-8"):
        load_protocol(path)


def test_a_missing_file_says_how_to_create_one(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match="exvivo init"):
        load_protocol(tmp_path / "study.yaml")


def test_error_of_a_score_on_a_modifier_that_is_none(tmp_path: Path) -> None:
    text = SEED.replace("variable: pah_echo, kind: binary,", "variable: pah_echo, kind: binary, measurement_sd: 2,")
    (message,) = faults_of(tmp_path, text)
    assert "'measurement_sd' is the error of a score, and only a modifier of kind 'continuous' is one. Leave the key out" in message


def test_a_block_without_source_is_called_out(tmp_path: Path) -> None:
    messages = faults_of(tmp_path, SEED.replace("  serum_gate: false\n  source: assumed\n", "  serum_gate: false\n"))
    assert messages == ("study.yaml:262:3: 'analysis' does not say its 'source'. Expected registry, assumed or sop:<reference>",)


def test_an_outcome_on_a_condition_that_nobody_cultures_is_called_out(tmp_path: Path) -> None:
    messages = faults_of(tmp_path, SEED.replace("      - {drug: ruxolitinib, serum: SSc_serum}\n", ""))
    assert any("experiment 'B' has no condition serum: SSc_serum, drug: ruxolitinib" in m for m in messages)


def test_aliases_are_read_without_regard_to_case_or_hyphen(tmp_path: Path) -> None:
    design = load_protocol(write(tmp_path, SEED)).design
    assert [design.readout_named(n) for n in ("pdgf-bb", "PDGFbb", "CMHII", "hla-dr", "il 6", "CCL81")] == [
        "PDGFBB", "PDGFBB", "MHCII", "MHCII", "IL6", None,
    ]  # fmt: skip


def test_every_field_the_registry_does_not_state_has_a_source(tmp_path: Path) -> None:
    fields = load_protocol(write(tmp_path, SEED)).sourced_fields()
    sources = {f.path: f.source for f in fields}
    assert sources["study.id"] == "registry"
    assert sources["study.cells"] == "assumed"
    assert sources["factors.drug.details"] == "assumed"
    assert sources["outcomes.S1.adjust"] == "assumed"
    assert sources["outcomes.S1.readouts"] == "registry"
    assert set(sources.values()) == {"registry", "assumed"}


def test_the_list_of_fields_holds_what_a_study_is_judged_by(tmp_path: Path) -> None:
    fields = {f.path: f.value for f in load_protocol(write(tmp_path, SEED)).sourced_fields()}
    assert fields["readouts.CCL18"] == (
        "kind: elisa; unit: pg/mL; standards: (top: 500; points: 7; factor: 2); dilutions: 50; replicates: 2; wavelength_nm: 450; "
        "reference_wavelength_nm: 570"
    )
    assert fields["populations.SSc.criteria.1"] == "variable: acr_eular_2013; op: >=; value: 9"
    assert fields["experiments.A.conditions"] == "drug: vehicle; drug: ruxolitinib"
    assert not [path for path in fields if path.startswith("files") or path.split(".")[-1] in {"label", "labels", "aliases"}]


def test_a_field_with_its_own_source_keeps_its_line(tmp_path: Path) -> None:
    text = SEED.replace("reference_wavelength_nm: 570\n    source: assumed", "source: assumed\n    source_of: {dilutions: 'sop:SOP-12'}", 1)
    fields = {f.path: f.source for f in load_protocol(write(tmp_path, text)).sourced_fields()}
    assert fields["readouts.CCL18.dilutions"] == "sop:SOP-12"
    assert fields["readouts.CCL18.unit"] == "assumed"
    assert "readouts.PDGFBB" in fields


def test_names_that_tables_have_already_are_refused(tmp_path: Path) -> None:
    text = SEED.replace("variable: mrss", "variable: unit").replace("      mrss:", "      unit:").replace("    mrss:", "    unit:")
    text = re.sub(r"\bstimulus\b", "status", text)
    told = "\n".join(faults_of(tmp_path, text))
    assert "'status' is the name of a column in exvivo's tables. Give the factor another name" in told
    assert "'unit' is the name of a column in exvivo's tables or of a factor" in told


def test_given_targets_name_a_readout_that_is_measured_by_immunoassay(tmp_path: Path) -> None:
    (told,) = faults_of(tmp_path, SEED.replace("  replicate_cv_pct: 25\n", "  replicate_cv_pct: 25\n  charts: {targets: {CCL81: {}}}\n"))
    assert "unknown immunoassay readout 'CCL81'" in told
    assert "Did you mean 'CCL18'" in told


def test_a_profile_is_chosen_in_the_file_and_its_keys_can_be_overridden(tmp_path: Path) -> None:
    rules = load_protocol(write(tmp_path, SEED.replace("assay:  ", "assay:\n  profile: ich_m10\n#", 1))).assays.rules
    assert (rules.profile, rules.min_levels, rules.qc_level_pass_fraction) == ("ich_m10", 5, 0.5)
    assert rules.qc_pass_fraction == 0.66
