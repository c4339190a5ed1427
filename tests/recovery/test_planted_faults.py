"""Faults planted into simulated plates are found where they are, and nowhere else."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from exvivo.calibrate import calibrate_plates
from exvivo.engine import Work
from exvivo.formats import maps
from exvivo.formats.maps import MapRecord, PlateMap
from exvivo.inspect.plates import inspect_plates
from exvivo.read import read_inputs
from exvivo.simulate.bench import compose_specimens, label_tubes
from exvivo.simulate.clinic import write_clinic
from exvivo.simulate.faults import plant_faults
from exvivo.simulate.ledger import write_truth
from exvivo.simulate.plates import write_plates
from exvivo.simulate.truth import draw_truth
from exvivo.study.decisions import Decisions
from exvivo.study.design import WellLayout, WellRole
from exvivo.study.findings import Finding, FindingCode
from exvivo.study.protocol import Protocol, load_protocol
from exvivo.study.tables import OUTCOMES
from exvivo.templates import write_template

FAULTS = (FindingCode.STANDARDS_EXCHANGED, FindingCode.DILUTION_WRONG)


@pytest.fixture(scope="module")
def protocol(tmp_path_factory: pytest.TempPathFactory) -> Protocol:
    """The seed study's immunoassays alone, every analyte also at four times its dilution."""
    folder = tmp_path_factory.mktemp("template")
    write_template(folder, "ssc-ruxolitinib")
    path = folder / "study.yaml"
    text = path.read_text(encoding="utf-8")
    for single, two in (("[50]", "[50, 200]"), ("[1]", "[1, 4]"), ("[5]", "[5, 20]")):
        text = text.replace(f"dilutions: {single}", f"dilutions: {two}")
    path.write_text(text, encoding="utf-8")
    return load_protocol(path)


def write_study(folder: Path, protocol: Protocol, seed: int, donors: Mapping[str, int]) -> Path:
    truth = draw_truth(protocol, donors, seed)
    tubes = label_tubes(truth, seed)
    folder.mkdir()
    (folder / protocol.files.specimens).write_bytes(compose_specimens(tubes, tuple(protocol.file.factors)))
    write_plates(folder, truth, tubes, seed)
    write_clinic(folder, truth, seed)
    write_truth(folder, truth, tubes)
    return folder


def inspect(folder: Path, protocol: Protocol) -> list[Finding]:
    inputs = read_inputs(folder, protocol.files, protocol.design, Decisions(), Work())
    calibration = calibrate_plates(inputs, protocol.assays, Decisions(), Work())
    return list(inspect_plates(calibration, OUTCOMES.empty(), protocol.assays.readouts))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_planted_faults_are_found_where_they_are_and_nowhere_else(protocol: Protocol, tmp_path: Path, seed: int) -> None:
    folder = write_study(tmp_path / "study", protocol, seed, {"SSc": 12, "HD": 3})
    planted = plant_faults(folder, protocol, FAULTS, seed)
    assert pl.read_csv(folder / "truth" / "errors.csv").rows() == [(code.value, place) for code, place in planted]
    found = {(finding.code, finding.place) for finding in inspect(folder, protocol) if finding.code in FAULTS}
    assert found == set(planted)


@pytest.mark.slow
def test_a_series_made_up_at_half_its_strength_is_called_with_its_controls(protocol: Protocol, tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", protocol, 5, {"SSc": 30, "HD": 6})
    path = folder / protocol.files.maps / "il6.csv"
    record = maps.parse(path.read_bytes(), path.name)
    assert len(record.plates) > 6
    plates = list(record.plates)
    plates[3] = PlateMap(plates[3].plate, tuple(_doubled(well) for well in plates[3].wells))
    path.write_bytes(maps.compose(MapRecord(tuple(plates))))
    found = {(f.code, f.place): f.evidence for f in inspect(folder, protocol) if f.code is FindingCode.DILUTION_WRONG}
    assert set(found) == {(FindingCode.DILUTION_WRONG, "il6:4")}
    assert "2 times weaker than labelled; its QCs read 2." in found[FindingCode.DILUTION_WRONG, "il6:4"]


def _doubled(well: WellLayout) -> WellLayout:
    """A label of twice the concentration that the standard has."""
    return replace(well, concentration=2 * (well.concentration or 0.0)) if well.role is WellRole.STANDARD else well
