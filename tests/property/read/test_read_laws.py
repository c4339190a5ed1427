"""Laws of reading: the order of rows and of the folder changes nothing; a simulated study is read without a finding."""

import random
from pathlib import Path

import pytest

from exvivo.engine import Work
from exvivo.read import read_inputs
from exvivo.simulate import simulate_study
from exvivo.study.decisions import Decisions
from exvivo.study.protocol import Protocol, load_protocol
from exvivo.study.run import Inputs
from exvivo.templates import write_template


@pytest.fixture(scope="module")
def protocol(tmp_path_factory: pytest.TempPathFactory) -> Protocol:
    return load_protocol(write_template(tmp_path_factory.mktemp("protocol"), "ssc-ruxolitinib")[0])


@pytest.fixture(scope="module")
def folder(protocol: Protocol, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("study")
    simulate_study(target, protocol, Work(), donors={"SSc": 3, "HD": 2}, seed=11)
    return target


def read(folder: Path, protocol: Protocol) -> Inputs:
    return read_inputs(folder, protocol.files, protocol.design, Decisions(), Work())


def test_a_simulated_study_is_read_without_a_finding(folder: Path, protocol: Protocol) -> None:
    inputs = read(folder, protocol)
    assert inputs.found == ()
    assert inputs.clinical.height == 5
    assert inputs.layout.frame["analyte"].n_unique() >= 5


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_order_of_rows_in_the_lab_s_tables_changes_nothing_but_the_order(
    folder: Path, protocol: Protocol, tmp_path: Path, seed: int
) -> None:
    before = read(folder, protocol)
    rng = random.Random(seed)  # noqa: S311 - a shuffle, no secret
    for path in folder.rglob("*"):
        if path.is_file():
            target = tmp_path / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            data = path.read_bytes()
            if path.suffix == ".csv" and path.name != "dictionary.csv" and "truth" not in path.parts:
                head, *rows = data.decode().splitlines()
                rng.shuffle(rows)
                data = "\n".join([head, *rows, ""]).encode()
            target.write_bytes(data)
    after = read(tmp_path, protocol)
    for name, key in (("specimens", "specimen"), ("clinical", "donor"), ("tube_sheet", "file")):
        one, other = (getattr(inputs, name).frame.drop("origin").sort(key) for inputs in (before, after))
        assert one.equals(other)
    assert before.layout.frame.drop("origin").equals(after.layout.frame.drop("origin"))
    assert before.readings.frame.drop("origin").equals(after.readings.frame.drop("origin"))
    assert after.found == ()
