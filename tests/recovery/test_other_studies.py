"""Studies that resemble the seed study in nothing but their kind: other names, factors, panels, tables and files made by hand."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from exvivo.engine import Work
from exvivo.pipeline import Finished, decide_study, run_study, simulate_files, verify_study
from exvivo.study.deciding import Choice

pytestmark = pytest.mark.slow

HEAD = "schema: exvivo/study/1\nsource: assumed\nanalysis: {seed: 3, min_per_level: 3}\n"

DOSES = """
study: {id: IBD-2, acronym: IBD-2, title: IL-12 of dendritic cells under two compounds}
populations: {crohn: {label: Crohn disease}}
factors:
  compound: {label: Compound, levels: [dmso, filgotinib, dexamethasone], reference: dmso}
  dose: {label: Dose, levels: [low, high], reference: low}
  stimulus: {label: Stimulus, levels: [none, LPS], reference: none}
experiments:
  E1:
    label: cells
    population: crohn
    culture_replicates: 2
    conditions:
      - {compound: dmso}
      - {compound: dmso, stimulus: LPS}
      - {compound: filgotinib, stimulus: LPS}
      - {compound: filgotinib, dose: high, stimulus: LPS}
      - {compound: dmso, dose: high, stimulus: LPS}
      - {compound: dexamethasone, dose: high, stimulus: LPS}
readouts:
  IL12: {kind: elisa, label: IL-12, unit: ng/mL, standards: {top: 2, points: 8, factor: 2}, dilutions: [1], wavelength_nm: 405}
analysis_sets: {everyone: {label: All, experiment: E1}}
outcomes:
  - {id: MAIN, role: primary, label: low, set: everyone, readouts: [IL12],
     contrast: {factor: compound, level: filgotinib, versus: dmso, within: {stimulus: LPS}}}
  - {id: HIGH, role: secondary, label: high, set: everyone, readouts: [IL12],
     contrast: {factor: compound, level: filgotinib, versus: dmso, within: {stimulus: LPS, dose: high}}}
  - {id: DOSE, role: secondary, label: dose, set: everyone, readouts: [IL12],
     contrast: {factor: dose, level: high, versus: low, within: {compound: filgotinib, stimulus: LPS}}}
  - {id: HEAD, role: secondary, label: head to head, set: everyone, readouts: [IL12],
     contrast: {factor: compound, level: filgotinib, versus: dexamethasone, within: {dose: high, stimulus: LPS}}}
  - {id: STIM, role: exploratory, label: stimulus, set: everyone, readouts: [IL12],
     contrast: {factor: stimulus, level: LPS, versus: none, within: {compound: dmso}}}
blinding: {factor: compound}
"""

CONTRASTS = {
    "MAIN": ("filgotinib/dmso|LPS", ("filgotinib", "low", "LPS"), ("dmso", "low", "LPS")),
    "HIGH": ("filgotinib/dmso|LPS,high", ("filgotinib", "high", "LPS"), ("dmso", "high", "LPS")),
    "DOSE": ("high/low|filgotinib,LPS", ("filgotinib", "high", "LPS"), ("filgotinib", "low", "LPS")),
    "HEAD": ("filgotinib/dexamethasone|high,LPS", ("filgotinib", "high", "LPS"), ("dexamethasone", "high", "LPS")),
    "STIM": ("LPS/none|dmso", ("dmso", "low", "LPS"), ("dmso", "low", "none")),
}

MIXED = """
study: {id: MIX-4, acronym: MIX-4, title: Eosinophils under an antibody}
populations:
  asthma: {label: Asthma, criteria: [{variable: fev1, op: "<=", value: 80}, {variable: atopic, op: "==", value: "yes"}]}
factors:
  agent: {label: Agent, levels: [medium, mepolizumab], reference: medium}
experiments:
  A: {label: cells, population: asthma, conditions: [{agent: medium}, {agent: mepolizumab}]}
readouts:
  IL5: {kind: elisa, label: IL-5, unit: pg/mL, standards: {top: 500, points: 7, factor: 2}, dilutions: [2], wavelength_nm: 450}
  CD62L: {kind: flow, label: CD62L, fluorochrome: BV421, channel: V450-A, control: fmo}
  Siglec8: {kind: flow, label: Siglec-8, fluorochrome: AF700, channel: R730-A, control: fmo}
  CD9: {kind: flow, label: CD9, fluorochrome: PE, channel: Y585-A, control: isotype}
  GATA3: {kind: table, table: medians, label: GATA3, unit: MFI}
  CCL26: {kind: table, table: beads, label: CCL26, unit: pg/mL}
tables:
  medians: {file: lab/medians.csv, layout: long, experiment: A, delimiter: ";", decimal: ",", readout_column: Marqueur,
            donor_column: Patient, factor_columns: {agent: Traitement}, value_column: Mediane, control_column: Isotype}
  beads: {file: beads.csv, layout: wide, experiment: A, readout_column: analyte, donor_column: id,
          condition_columns: {Med: {agent: medium}, Mepo: {agent: mepolizumab}}}
panel:
  gates:
    - {name: Cells, method: scatter, channels: [FSC-H, SSC-H]}
    - {name: Single, method: singlets, channels: [FSC-H, FSC-A], parent: Cells}
    - {name: Alive, method: viability, channels: [Zombie-A], parent: Single}
    - {name: Eos, method: lineage, channels: [B525-A], parent: Alive}
  population: Eos
  min_events: 100
clinical:
  format: plain
  key: id
  population_column: groupe
  decimal: ","
  missing_codes: {NF: not done}
  variables:
    fev1: {label: FEV1, type: number, range: [20, 120], column: VEMS}
    atopic: {label: Atopy, type: category, levels: {O: "yes", N: "no"}}
    treatment: {label: Treatment, type: category, levels: {1: none, 2: inhaled, 3: oral}}
    eos: {label: Eosinophils, type: number, range: [0, 5]}
    smoker: {label: Smoker, type: category, levels: {0: "no", 1: ex, 2: current}}
analysis_sets: {FAS: {label: all, experiment: A, criteria: true}}
modifiers:
  treatment: {label: treatment, variable: treatment, kind: categorical, levels: [oral, inhaled, none]}
  eos: {label: eosinophils, variable: eos, kind: continuous, per: 0.5}
  smoker: {label: smoker, variable: smoker, kind: binary, "yes": [ex, current], "no": ["no"]}
outcomes:
  - {id: P1, role: primary, label: all, set: FAS, readouts: [IL5, CD62L, Siglec8, CD9, GATA3, CCL26], adjust: holm,
     contrast: {factor: agent, level: mepolizumab, versus: medium}}
  - {id: S1, role: exploratory, label: modifiers, set: FAS, readouts: [GATA3], modifiers: [treatment, eos, smoker],
     contrast: {factor: agent, level: mepolizumab, versus: medium}}
"""

SERA = """
study: {id: SER-5, acronym: SER-5, title: Cells in serum of septic and healthy people}
populations: {healthy: {label: Healthy}, sepsis: {label: Sepsis}}
factors:
  drug: {label: Drug, levels: [none, baricitinib], reference: none}
  conditioning: {label: Serum, levels: [none, septic_serum, healthy_serum], reference: none}
experiments:
  S:
    label: healthy cells
    population: healthy
    serum_population: sepsis
    sera_per_donor: 1
    conditions:
      - {drug: none}
      - {drug: baricitinib}
      - {drug: none, conditioning: septic_serum}
      - {drug: baricitinib, conditioning: septic_serum}
      - {drug: none, conditioning: healthy_serum}
readouts:
  IL8: {kind: elisa, label: IL-8, unit: pg/mL, standards: {top: 4000, points: 9, factor: 2}, dilutions: [1], wavelength_nm: 450}
analysis_sets: {all: {label: All, experiment: S}}
outcomes:
  - {id: P1, role: primary, label: drug under serum, set: all, readouts: [IL8],
     contrast: {factor: drug, level: baricitinib, versus: none, within: {conditioning: septic_serum}}}
  - {id: S1, role: secondary, label: drug alone, set: all, readouts: [IL8],
     contrast: {factor: drug, level: baricitinib, versus: none, within: {conditioning: none}}}
  - {id: S2, role: secondary, label: kinds of serum, set: all, readouts: [IL8],
     contrast: {factor: conditioning, level: septic_serum, versus: healthy_serum}}
"""

HANDMADE = """
study: {id: HAND-6, acronym: HAND-6, title: TNF of monocytes}
populations: {donors: {label: Donors}}
factors: {treatment: {label: Treatment, levels: [PBS, anakinra], reference: PBS}}
experiments: {A: {label: cells, population: donors, conditions: [{treatment: PBS}, {treatment: anakinra}]}}
readouts:
  TNF: {kind: elisa, label: TNF, unit: ng/mL, standards: {top: 2, points: 7, factor: 2}, dilutions: [4], wavelength_nm: 450}
analysis_sets: {all: {label: All, experiment: A}}
outcomes:
  - {id: P1, role: primary, label: TNF, set: all, readouts: [TNF], contrast: {factor: treatment, level: anakinra, versus: PBS}}
"""


def _simulate(folder: Path, protocol: str, donors: str) -> Finished:
    folder.mkdir(parents=True)
    (folder / "study.yaml").write_text(HEAD + protocol, encoding="utf-8")
    simulate_files(folder, Work(), seed=7, donors=donors, size="demo")
    return run_study(folder)


def _effects(finished: Finished) -> dict[str, dict[str, object]]:
    return {"/".join(str(row[k]) for k in ("outcome", "readout", "modifier") if row[k]): row for row in finished.run.effects.effects.rows()}


def _differences(outcomes: pl.DataFrame, level: Mapping[str, str], versus: Mapping[str, str]) -> list[float]:
    """Ln ratio of every donor, by a plain join of the outcomes table."""
    arms = [
        outcomes.filter(*(pl.col(factor) == cell for factor, cell in arm.items())).select("donor", "log_value") for arm in (level, versus)
    ]
    joined = arms[0].join(arms[1], on="donor").drop_nulls().sort("donor")
    return (joined["log_value"] - joined["log_value_right"]).to_list()


def test_doses_and_stimuli_under_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "doses"
    blinded = _simulate(folder, DOSES, "9")
    assert {row["status"] for row in _effects(blinded).values()} == {"blinded"}
    for kind in ("lock", "unblind"):
        decide_study(folder, Choice(kind, "", "", "the test's data are complete", "tester"))
    finished = run_study(folder)
    outcomes = finished.run.outcomes.frame
    assert outcomes["drug"].null_count() == outcomes.height == 9 * 6
    truth = {row["outcome"]: row for row in pl.read_csv(folder / "truth" / "effects.csv").to_dicts()}
    rows, exact = _effects(finished), []
    for name, (text, level, versus) in CONTRASTS.items():
        row = rows[f"{name}/IL12"]
        assert row["contrast"] == truth[name]["contrast"] == text
        arms = [dict(zip(("compound", "dose", "stimulus"), arm, strict=True)) for arm in (level, versus)]
        by_hand = _differences(outcomes, *arms)
        if row["method"] == "paired-t-log":
            exact.append(name)
            assert row["donors"] == len(by_hand)
            assert row["estimate"] == pytest.approx(np.exp(np.mean(by_hand)), rel=1e-9)
        assert abs(float(np.mean(by_hand)) - np.log(truth[name]["true_ratio"])) < 5 * np.std(by_hand, ddof=1) / np.sqrt(len(by_hand))
    assert len(exact) >= 2  # the others have a value below the LLOQ
    assert not verify_study(folder)


def test_markers_tables_and_a_plain_clinic(tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    finished = _simulate(folder, MIXED, "10")
    rows = _effects(finished)
    assert [row["status"] for row in rows.values()] == ["estimated"] * 9
    tubes = pl.read_csv(folder / "cytometry" / "tubes.csv")
    assert set(tubes.filter(pl.col("tube") == "fmo")["marker"]) == {"CD62L", "Siglec8"}
    truth = pl.read_csv(folder / "truth" / "effects.csv")["true_ratio"].to_list()
    for row, target in zip(rows.values(), truth[:6], strict=False):
        spread = np.log(float(str(row["ci_high"])) / float(str(row["ci_low"])))
        assert abs(np.log(float(str(row["estimate"])) / target)) < spread
    medians = pl.read_csv(folder / "lab" / "medians.csv", separator=";", decimal_comma=True)
    values = medians.with_columns((pl.col("Mediane") - pl.col("Isotype")).log().alias("ln"))
    arms = {arm: values.filter(pl.col("Traitement") == arm).select("Patient", "ln") for arm in ("mepolizumab", "medium")}
    paired = arms["mepolizumab"].join(arms["medium"], on="Patient").drop_nulls()
    assert rows["P1/GATA3"]["estimate"] == pytest.approx(float(np.exp(np.mean((paired["ln"] - paired["ln_right"]).to_numpy()))), rel=1e-9)
    assert max(finished.run.inputs.clinical.frame["fev1"].to_list()) <= 80
    assert finished.run.findings.frame.filter(pl.col("severity") != "note").is_empty()


def test_two_kinds_of_serum_and_a_level_held_at_its_reference(tmp_path: Path) -> None:
    finished = _simulate(tmp_path / "sera", SERA, "8+10")
    rows = _effects(finished)
    between = rows["S2/IL8"]
    assert between["status"] == "estimated"
    assert json.loads(str(between["detail"]))["random"] == ["donor", "serum_donor"]
    assert between["donors"] == 8
    arms = [{"drug": "none", "conditioning": level} for level in ("septic_serum", "healthy_serum")]
    assert between["estimate"] == pytest.approx(np.exp(np.mean(_differences(finished.run.outcomes.frame, *arms))), rel=0.3)
    supplementary = finished.run.effects.supplementary.frame
    assert supplementary.filter(pl.col("outcome") == "S1", pl.col("contrast").is_in(["conditioning", "interaction"])).is_empty()
    assert not supplementary.filter(pl.col("outcome") == "P1", pl.col("contrast") == "conditioning").is_empty()


def _signal(concentration: float) -> float:
    return float(3.0 + (0.06 - 3.0) / (1 + (concentration / 0.7) ** 1.1))


def _wells(truth: Mapping[str, float], rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    """Word of the map and optical density of each well, two wells each, down the columns of a 384-well plate."""
    known = [(f"Std {i + 1} = {2 / 2**i:g} ng/mL", 2 / 2**i) for i in range(7)]
    known += [("blank", 0.0)]
    known += [(f"{name} 1:4", value / 4) for name, value in truth.items()]
    for word, value in known:
        for _ in range(2):
            yield word.replace(".", ","), f"{_signal(value) * (1 + 0.02 * rng.standard_normal()):.4f}".replace(".", ",")


def _grid(cells: list[str], title: str) -> str:
    rows = [";".join(["", *map(str, range(1, 25))])]
    rows += [";".join([letter, *(cells[column * 16 + i] for column in range(24))]) for i, letter in enumerate("ABCDEFGHIJKLMNOP")]
    return "\n".join([title, *rows]) + "\n"


@pytest.mark.parametrize(
    ("title", "map_title"), [("Plaque: TNF A;450 nm", "Plaque: TNF A\nanalyte: TNF"), ("Plaque: TNF A", "Plaque: TNF A")]
)
def test_a_384_well_plate_and_its_map_written_by_hand(tmp_path: Path, title: str, map_title: str) -> None:
    rng = np.random.default_rng(4)
    donors = [f"Patient {i}" for i in range(1, 9)]
    labels = {(donor, arm): f"T{i}{arm[0]}" for i, donor in enumerate(donors) for arm in ("PBS", "anakinra")}
    truth = {label: float(np.exp(0.4 * rng.standard_normal()) * (0.6 if arm == "anakinra" else 1.0)) for (_, arm), label in labels.items()}
    wells = list(_wells(truth, rng))
    words, densities = ([cell[i] for cell in wells] + [""] * (384 - len(wells)) for i in (0, 1))
    (tmp_path / "plates" / "maps").mkdir(parents=True)
    (tmp_path / "study.yaml").write_text(HEAD + HANDMADE, encoding="utf-8")
    (tmp_path / "plates" / "tnf.csv").write_text(_grid(densities, title), encoding="utf-8")
    (tmp_path / "plates" / "maps" / "tnf.csv").write_text(_grid(words, map_title), encoding="utf-8")
    lines = [f"{label};A;{donor};{arm};medium;ok" for (donor, arm), label in labels.items()]
    (tmp_path / "specimens.csv").write_text("\n".join(["specimen;experiment;donor;treatment;matrix;state", *lines]), encoding="utf-8")
    finished = run_study(tmp_path)
    row = _effects(finished)["P1/TNF"]
    assert (row["status"], row["donors"], row["contrast"]) == ("estimated", 8, "anakinra/PBS")
    by_hand = np.mean([np.log(truth[labels[d, "anakinra"]] / truth[labels[d, "PBS"]]) for d in donors])
    assert float(str(row["estimate"])) == pytest.approx(np.exp(by_hand), rel=0.05)
