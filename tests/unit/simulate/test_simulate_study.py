import importlib.resources
import json
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from exvivo.engine import Memo, Work
from exvivo.formats import fcs, grid, maps, redcap, softmax
from exvivo.formats.delimited import parse_table
from exvivo.simulate import Events, simulate_study
from exvivo.simulate.bench import label_tubes
from exvivo.simulate.clinic import dictionary_of, export_of
from exvivo.simulate.plates import simulate_plates
from exvivo.simulate.truth import Truth, draw_truth
from exvivo.study.design import WellRole
from exvivo.study.protocol import Protocol, load_protocol

SMALL = {"SSc": 6, "HD": 2}
FEW = Events(800, 600, 200)
SEED = 3


@pytest.fixture(scope="module")
def protocol() -> Protocol:
    with importlib.resources.as_file(importlib.resources.files("exvivo") / "templates/ssc-ruxolitinib/study.yaml") as path:
        return load_protocol(path)


@pytest.fixture(scope="module")
def truth(protocol: Protocol) -> Truth:
    return draw_truth(protocol, SMALL, SEED)


@pytest.fixture(scope="module")
def study(protocol: Protocol, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    simulate_study(folder, protocol, Work(), donors=SMALL, seed=SEED, events=FEW)
    return folder


def _digests(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def test_a_study_has_the_files_of_a_lab_and_its_truth(study: Path) -> None:
    names = set(_digests(study))
    assert {"specimens.csv", "clinical.csv", "dictionary.csv", "cytometry/tubes.csv"} <= names
    for analyte, suffix in {"ccl18": "txt", "pdgfbb": "xlsx", "il6": "txt", "cxcl10": "xlsx", "cxcl4": "txt"}.items():
        assert {f"plates/{analyte}.{suffix}", f"plates/maps/{analyte}.csv"} <= names
    assert {f"truth/{name}.csv" for name in ("effects", "parameters", "specimens", "donors", "errors")} <= names
    assert not names & {"study.yaml", "decisions.jsonl"}


def test_the_same_seed_gives_the_same_bytes_in_processes_and_past_a_memo(study: Path, protocol: Protocol, tmp_path: Path) -> None:
    first, again, other = tmp_path / "one", tmp_path / "two", tmp_path / "three"
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        simulate_study(first, protocol, Work(pool, Memo(tmp_path / "memo")), donors=SMALL, seed=SEED, events=FEW)
    simulate_study(again, protocol, Work(memo=Memo(tmp_path / "memo")), donors=SMALL, seed=SEED, events=FEW)
    simulate_study(other, protocol, Work(), donors=SMALL, seed=SEED + 1, events=FEW)
    assert _digests(first) == _digests(again) == _digests(study)
    assert not set(_digests(other).values()) & {digest for name, digest in _digests(study).items() if name.endswith(".fcs")}


def test_labels_tell_nothing_about_conditions(study: Path, protocol: Protocol) -> None:
    table = parse_table((study / "specimens.csv").read_bytes(), "specimens.csv")
    levels = {level for factor in protocol.file.factors.values() for level in factor.levels}
    assert not {label for label in (*table.column("specimen"), *table.column("culture")) if any(level in label for level in levels)}
    numbers = [int(label[1:]) for label in table.column("specimen")]
    drug = np.array(table.column("drug")) == "ruxolitinib"
    assert abs(np.corrcoef(numbers, drug)[0, 1]) < 0.4


def test_specimens_have_the_columns_of_the_contract_and_one_row_per_tube(study: Path, truth: Truth) -> None:
    table = parse_table((study / "specimens.csv").read_bytes(), "specimens.csv")
    assert table.header == (
        "specimen", "culture", "run", "experiment", "donor", "serum_donor", "drug", "stimulus", "serum", "culture_replicate", "matrix",
        "collected_on", "volume_ml", "viable_cells", "viability_pct", "state", "comment",
    )  # fmt: skip
    cultures = truth.cultures.filter(pl.col("donor").is_not_null()).height
    counts = {matrix: table.column("matrix").count(matrix) for matrix in ("medium", "cells", "cell_free_medium")}
    assert counts == {"medium": cultures, "cells": cultures, "cell_free_medium": truth.cultures.height - cultures}
    blanks = [row for row in table.rows if row[10] == "cell_free_medium"]
    assert {row[4] for row in blanks} == {""}
    assert all(row[5] and row[6] == "vehicle" for row in blanks)


def test_exports_and_maps_read_back_as_they_were_written(truth: Truth) -> None:
    tubes = label_tubes(truth, SEED)
    for record in simulate_plates(truth, tubes, SEED):
        reader = softmax if record.export.endswith(".txt") else grid
        export = reader.parse(record.data, record.export)
        layout = maps.parse(record.map_data, record.map_name)
        assert [plate.name for plate in export.plates] == [plate.plate for plate in layout.plates]
        assert {r.wavelength_nm for plate in export.plates for r in plate.readings} == {450, 570}
        assert all(len(plate.readings) == 192 for plate in export.plates)
        assert reader.parse(reader.compose(export), "again").plates == export.plates
        named = {w.name for plate in layout.plates for w in plate.wells if w.role is WellRole.SPECIMEN}
        assert named == set(tubes.of("medium", "cell_free_medium")["specimen"])


def test_every_plate_has_standards_blanks_and_qc_and_keeps_a_donor_together(truth: Truth) -> None:
    tubes = label_tubes(truth, SEED)
    donor_of = dict(tubes.frame.select("specimen", "donor").iter_rows())
    for record in simulate_plates(truth, tubes, SEED):
        layout = maps.parse(record.map_data, record.map_name)
        plates_of: dict[str, set[str]] = {}
        for plate in layout.plates:
            roles = [well.role for well in plate.wells]
            assert (roles.count(WellRole.STANDARD), roles.count(WellRole.BLANK), roles.count(WellRole.QC)) == (14, 2, 6)
            assert {w.well[1:] for w in plate.wells if w.role in {WellRole.STANDARD, WellRole.BLANK}} == {"1", "2"}
            for well in plate.wells:
                if well.role is WellRole.SPECIMEN and well.name and donor_of[well.name]:
                    plates_of.setdefault(donor_of[well.name], set()).add(plate.plate)
        assert {len(plates) for plates in plates_of.values()} == {1}


def test_signals_of_standards_follow_the_curve_above_the_reference_wavelength(truth: Truth) -> None:
    record = next(iter(simulate_plates(truth, label_tubes(truth, SEED), SEED)))
    plate = softmax.parse(record.data, record.export).plates[0]
    signal = {(r.well, r.wavelength_nm): r.signal for r in plate.readings}
    for row, fold in enumerate([1, 2, 4, 8, 16, 32, 64]):
        well = f"{'ABCDEFG'[row]}1"
        top, reference = signal[well, 450], signal[well, 570]
        assert top is not None
        assert reference is not None
        expected = 3.2 + (0.07 - 3.2) / (1 + (1 / fold / 0.35) ** 1.15)
        assert top - reference == pytest.approx(expected, rel=0.4)
        assert 0.025 < reference < 0.055


def test_clinical_export_reads_back_as_it_was_recorded(study: Path, truth: Truth) -> None:
    dictionary = redcap.parse_dictionary((study / "dictionary.csv").read_bytes(), "dictionary.csv")
    assert dictionary.fields == dictionary_of(truth).fields
    assert not any(field.identifier for field in dictionary.fields)
    found = redcap.parse_export((study / "clinical.csv").read_bytes(), dictionary, "clinical.csv", missing_codes=("-999", "-998"))
    assert len(found.rows) == sum(SMALL.values())
    donor, antibodies = found.columns.index("record_id"), found.columns.index("autoab")
    for row, told in zip(found.rows, truth.recorded.iter_rows(named=True), strict=True):
        assert row[donor] == told["donor"]
        levels = {"none": "0", "ACA": "1", "ATA": "2", "RNAP3": "3"}
        assert row[antibodies] == (None if told["autoab"] is None else tuple(sorted(levels[a] for a in told["autoab"].split("|"))))


def test_missing_values_are_missing_codes_for_patients_and_empty_for_the_healthy(protocol: Protocol) -> None:
    truth = draw_truth(protocol, {"SSc": 200, "HD": 20}, 1)
    export = export_of(truth, np.random.default_rng(1))
    at = export.columns.index("mrss")
    patients = [row[at] for row in export.rows if row[1] == "1"]
    codes = {cell.code for cell in patients if isinstance(cell, redcap.MissingCode)}
    assert codes == {"-999", "-998"}
    assert None not in patients
    assert {row[at] for row in export.rows if row[1] == "2"} == {None}


def test_every_tube_is_listed_readable_and_compensated(study: Path, truth: Truth) -> None:
    table = parse_table((study / "cytometry/tubes.csv").read_bytes(), "tubes.csv")
    tubes = label_tubes(truth, SEED).of("cells")
    assert sorted(table.column("file")) == sorted(path.name for path in (study / "cytometry").glob("*.fcs"))
    assert table.column("tube").count("full") == table.column("tube").count("isotype") == tubes.height
    assert table.column("tube").count("unstained") == tubes["donor"].n_unique()
    for row in table.rows[:12]:
        (record,) = fcs.parse(study / "cytometry" / row[0])
        assert record.n_events == {"full": 800, "isotype": 600, "unstained": 200}[row[2]]
        assert record.spillover is not None
        assert [c.name for c in record.channels][:4] == ["Time", "FSC-A", "FSC-H", "SSC-A"]
        assert not record.issues


def test_deltas_of_macrophages_are_the_true_ones_though_the_drug_raises_autofluorescence(study: Path) -> None:
    true = pl.read_csv(study / "truth/specimens.csv")
    table = parse_table((study / "specimens.csv").read_bytes(), "specimens.csv")
    drug = dict(zip(table.column("specimen"), table.column("drug"), strict=True))
    errors: dict[str, list[float]] = {"vehicle": [], "ruxolitinib": []}
    for path in sorted((study / "cytometry").glob("*_full.fcs")):
        specimen = path.name.split("_")[0]
        stained, isotype = _macrophage_medians(path), _macrophage_medians(path.with_name(f"{specimen}_isotype.fcs"))
        for channel, marker in {"APC-A": "CD206", "VioBlue-A": "MHCII", "TLR4": "TLR4", "PE-A": "CD204"}.items():
            at = "BV605-A" if channel == "TLR4" else channel
            value = true.filter(pl.col("specimen") == specimen, pl.col("readout") == marker)["true_value"][0]
            errors[drug[specimen]].append(float(np.log((stained[at] - isotype[at]) / value)))
    assert abs(np.mean(errors["vehicle"])) < 0.03
    assert np.mean(errors["ruxolitinib"]) == pytest.approx(np.mean(errors["vehicle"]), abs=0.02)
    assert np.std(errors["vehicle"]) < 0.08


def _macrophage_medians(path: Path) -> dict[str, float]:
    (record,) = fcs.parse(path)
    events = np.asarray(fcs.read_events(path, record), dtype=float)
    names = [channel.name for channel in record.channels]
    assert record.spillover is not None
    seen = events[:, [names.index(name) for name in record.spillover.detectors]] @ np.linalg.inv(np.array(record.spillover.matrix))
    fsc, height = events[:, names.index("FSC-A")], events[:, names.index("FSC-H")]
    kept = (fsc > 48_000) & (height / fsc > 0.5) & (seen[:, -1] < 2_000)
    return dict(zip(record.spillover.detectors, np.median(seen[kept], axis=0).tolist(), strict=True))


def test_truth_files_are_complete(study: Path, truth: Truth) -> None:
    effects = pl.read_csv(study / "truth/effects.csv")
    assert effects.columns == ["outcome", "readout", "modifier", "level", "contrast", "true_ratio"]
    assert effects.height == 28
    specimens = pl.read_csv(study / "truth/specimens.csv")
    tubes = label_tubes(truth, SEED).frame
    assert specimens.height == 6 * tubes.filter(pl.col("matrix") == "cells").height + 5 * tubes.filter(pl.col("matrix") != "cells").height
    assert specimens.filter(pl.col("net_value") > pl.col("true_value")).is_empty()
    assert pl.read_csv(study / "truth/donors.csv").height == sum(SMALL.values())
    assert (study / "truth/errors.csv").read_text() == "code,place\n"
    parameters = pl.read_csv(study / "truth/parameters.csv")
    assert parameters.filter(pl.col("parameter") == "column_gradient")["value"].to_list() == [0.015]
    assert parameters.filter(pl.col("parameter") == "marginal autoab")["subject"].to_list() == ["ACA", "ATA", "RNAP3", "none"]


def test_dilutions_of_a_protocol_are_all_measured(protocol: Protocol) -> None:
    tree = protocol.file.model_dump(mode="json", by_alias=True, exclude_unset=True)
    tree["readouts"]["CCL18"]["dilutions"] = [20, 200]
    twice = Protocol(type(protocol.file).model_validate(json.loads(json.dumps(tree))), "0" * 64)
    truth = draw_truth(twice, SMALL, SEED)
    record = next(iter(simulate_plates(truth, label_tubes(truth, SEED), SEED)))
    wells = [w for plate in maps.parse(record.map_data, "map").plates for w in plate.wells if w.role is WellRole.SPECIMEN]
    per_specimen = {name: sorted(w.dilution or 0 for w in wells if w.name == name) for name in {w.name for w in wells}}
    assert {tuple(found) for found in per_specimen.values()} == {(1, 1), (20, 20, 200, 200)}


def test_parameters_tell_what_the_instruments_do(study: Path) -> None:
    parameters = pl.read_csv(study / "truth/parameters.csv")
    told = {(row["parameter"], row["subject"]): row["value"] for row in parameters.iter_rows(named=True)}
    assert told["drug_autofluorescence", "cytometer"] == 1.15
    assert told["od_floor", "study"] == 0.008
    assert told["ratio", "CCL18"] == 0.6
    assert len(told) == parameters.height
