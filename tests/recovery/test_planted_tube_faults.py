"""Faults planted into FCS files are found where they are, and a study without them shows none."""

from pathlib import Path

import pytest

from exvivo.assemble import assemble_dataset
from exvivo.calibrate import calibrate_plates
from exvivo.engine import Work
from exvivo.gate import gate_specimens
from exvivo.inspect.tubes import inspect_tubes
from exvivo.read import read_inputs
from exvivo.simulate import Events
from exvivo.simulate.bench import compose_specimens, label_tubes
from exvivo.simulate.clinic import write_clinic
from exvivo.simulate.cytometer import write_tubes
from exvivo.simulate.truth import draw_truth
from exvivo.simulate.tubefaults import PLANTABLE, plant_tube_faults
from exvivo.study.decisions import Decisions
from exvivo.study.findings import Finding, FindingCode
from exvivo.study.protocol import Protocol, load_protocol
from exvivo.templates import write_template

DONORS = {"SSc": 16, "HD": 2}
SEED = 4


@pytest.fixture(scope="module")
def protocol(tmp_path_factory: pytest.TempPathFactory) -> Protocol:
    folder = tmp_path_factory.mktemp("template")
    write_template(folder, "ssc-ruxolitinib")
    return load_protocol(folder / "study.yaml")


def write_study(folder: Path, protocol: Protocol) -> Path:
    truth = draw_truth(protocol, DONORS, SEED)
    tubes = label_tubes(truth, SEED)
    folder.mkdir()
    (folder / protocol.files.specimens).write_bytes(compose_specimens(tubes, tuple(protocol.file.factors)))
    write_clinic(folder, truth, SEED)
    write_tubes(folder, truth, tubes, Work(), SEED, Events(2000, 1500, 1000))
    return folder


def inspect(folder: Path, protocol: Protocol) -> list[Finding]:
    inputs = read_inputs(folder, protocol.files, protocol.design, Decisions(), Work())
    gating = gate_specimens(inputs, protocol.panels, Decisions(), Work())
    calibration = calibrate_plates(inputs, protocol.assays, Decisions(), Work())
    assert assemble_dataset(inputs, calibration, gating, protocol.design, Decisions()).height > 0
    return list(inspect_tubes(inputs, gating, protocol.panels, protocol.analysis))


@pytest.fixture(scope="module")
def planted(protocol: Protocol, tmp_path_factory: pytest.TempPathFactory) -> tuple[set[tuple[FindingCode, str]], list[Finding]]:
    """What was planted into one study, one donor for each code, and what was found there."""
    folder = write_study(tmp_path_factory.mktemp("spoiled") / "study", protocol)
    return set(plant_tube_faults(folder, protocol, PLANTABLE, SEED)), inspect(folder, protocol)


@pytest.mark.slow
@pytest.mark.parametrize("code", PLANTABLE)
def test_a_planted_fault_is_found_in_its_place(planted: tuple[set[tuple[FindingCode, str]], list[Finding]], code: FindingCode) -> None:
    there, found = planted
    expected = {place for kind, place in there if kind is code}
    assert expected
    assert expected <= {finding.place for finding in found if finding.code is code}


@pytest.mark.slow
def test_nothing_is_found_where_nothing_was_planted(planted: tuple[set[tuple[FindingCode, str]], list[Finding]]) -> None:
    """But for what follows from a planted fault: compensated channels bear other names, exchanged labels stand on two channels."""
    there, found = planted
    twice = next(place for code, place in there if code is FindingCode.COMPENSATION_TWICE)
    following = {(FindingCode.CHANNEL_MISSING, twice), (FindingCode.LABEL_DIFFERS, "channel APC-A")}
    assert {(finding.code, finding.place) for finding in found} - there == following


@pytest.mark.slow
def test_a_study_without_faults_shows_none(protocol: Protocol, tmp_path: Path) -> None:
    found = inspect(write_study(tmp_path / "study", protocol), protocol)
    assert [(finding.code, finding.place, finding.evidence) for finding in found if finding.code in PLANTABLE] == []


def test_what_cannot_be_planted_is_named(protocol: Protocol, tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", protocol)
    with pytest.raises(ValueError, match="cannot be planted"):
        plant_tube_faults(folder, protocol, [FindingCode.ID_UNKNOWN], 1)
    with pytest.raises(ValueError, match="do not fit"):
        plant_tube_faults(folder, protocol, [FindingCode.CHANNEL_MISSING] * 40, 1)
