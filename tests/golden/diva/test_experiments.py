"""An experiment in the form of FACSDiva 6.1.3, against Diva's grid worked out event by event."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from exvivo.errors import InputError
from exvivo.formats import diva, fcs
from exvivo.gate.populations import evaluate_tree
from exvivo.numerics import cells
from exvivo.pipeline import gate_files
from exvivo.read.gates import read_sample_gates
from exvivo.study.design import Channel, PolygonGate, RectangleGate, SampleGates, SpilloverMatrix

Array = NDArray[np.float64]
Members = NDArray[np.bool_]
HERE = Path(__file__).parent
NAMES = ("FSC-A", "FSC-W", "PE-A", "APC-A", "Time")
SPILL = [[1.0, 0.1], [0.2, 1.0]]
EVENTS = 20000


def events() -> Array:
    rng = np.random.default_rng(6)
    scatter = rng.normal([120000, 70000], [60000, 15000], (EVENTS, 2))
    dim, bright = rng.normal(0, 200, (EVENTS, 2)), rng.lognormal(7, 2, (EVENTS, 2))
    stained = np.where(rng.random((EVENTS, 1)) < 0.4, dim, bright) @ np.array(SPILL)
    raw = np.column_stack([np.clip(scatter, -3000, 262143.9), stained, rng.integers(0, 9999, EVENTS)])
    return raw.astype(np.float32).astype(np.float64)


def stepped(shown: Array) -> Array:
    """Lower corners of the cells in which positions from 0 to 1 lie."""
    step: Array = np.clip(np.floor(np.clip(shown, 0, 1) * 256), 0, 255)
    return step


def logicle(values: Array, r: float) -> Array:
    return cells.logicle(values, T=262144.0, W=(4.5 - np.log10(262144 / r)) / 2, M=4.5, A=0.0)


def truth(raw: Array) -> dict[str, Members]:
    pe, apc = (raw[:, 2:4] @ np.linalg.inv(SPILL)).T
    fsc, width = stepped(raw[:, 0] / 262144), stepped(raw[:, 1] / 262144)
    p1 = (width * 1024 >= 41152.5645775) & (width * 1024 <= 94495.083472623) & (fsc * 1024 <= 210382.797861958)
    x, y = stepped(logicle(pe, 155)), stepped(logicle(apc, 590))
    drawn = [(150885.7463, 3260.35), (74682.1479, 1773.63), (48772.9244, 1043.312), (56393.28426, 260.828), (67061.788, -12.0)]
    drawn += [(272517.12882, 104.3312), (270805.99244, 365.15924), (242330.06441, 2164.8726)]
    p2 = p1 & cells.in_polygon(fsc * 1024, y * 16, drawn)
    p3 = p2 & cells.in_polygon(x * 16, y * 16, [(1000.5, 900.25), (2600.75, 1000.5), (2000, 1500), (3300, 2900), (900, 2600)])
    top = np.log10(262144) - 5
    decades = top + stepped((np.log10(np.maximum(pe, 1e-9)) - top) / 5) * 5 / 256
    q1, q4 = p1 & (x * 16 < 1500.5) & (y * 16 >= 1400.25), p1 & (x * 16 >= 1500.5) & (y * 16 < 1400.25)
    return {
        "P1": p1,
        "P1/P2": p2,
        "P1/P2/P3": p3,
        "P1/P2/P4": p2 & (decades >= 2.98996675) & (decades <= 5.14472858),
        "P1/Q1": q1,
        "P1/Q4": q4,
        "P1/Rest": p1 & ~q1 & ~q4,
        "P1/Both": p2 & q4,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The experiment with its counts, and the FCS file that they belong to."""
    raw = events().astype(np.float32)
    channels = [Channel(name, "", 262144.0) for name in NAMES]
    spill = SpilloverMatrix(("PE-A", "APC-A"), ("PE-A", "APC-A"), ((1.0, 0.1), (0.2, 1.0)))
    for name in ("124500.fcs", "124502.fcs", "124504.fcs"):
        (tmp_path / name).write_bytes(fcs.compose(raw, channels, spillover=spill))
    text = (HERE / "experiment.xml").read_text(encoding="utf-8")
    for path, member in truth(events()).items():
        text = text.replace(f"@{path.rpartition('/')[2]}@", str(int(member.sum())))
    (tmp_path / "experiment.xml").write_text(text, encoding="utf-8")
    return tmp_path


def samples(folder: Path) -> tuple[SampleGates, ...]:
    return diva.parse(folder / "experiment.xml")


def test_members_are_those_on_the_grid(folder: Path) -> None:
    first = samples(folder)[0]
    path = folder / first.file
    (record,) = fcs.parse(path)
    found = evaluate_tree(fcs.read_events(path, record), record.channels, record.spillover, first.tree)
    expected = truth(events())
    assert set(expected) == set(found)
    for name, member in expected.items():
        np.testing.assert_array_equal(found[name], member, name)
        assert 200 < member.sum() < EVENTS


def test_stored_counts_equal_ours(folder: Path) -> None:
    gate_files([folder / "124500.fcs"], folder / "experiment.xml", folder / "out")
    frame = pl.read_csv(folder / "out" / "populations.csv")
    assert frame["count"].to_list() == frame["stored_count"].to_list()


def test_compensation_is_the_inverse_of_what_is_stored(folder: Path) -> None:
    matrix = samples(folder)[0].tree.matrices["workspace"]
    assert matrix.fluorochromes == ("PE-A", "APC-A")
    np.testing.assert_allclose(matrix.matrix, SPILL, atol=1e-7)


def test_what_is_not_understood_is_left_out_with_what_it_holds(folder: Path) -> None:
    first, _, third, _ = samples(folder)
    assert "Region_Classifier of ELLIPSE_REGION, is not supported" in first.refused[0]
    assert "'P1/Oval/Inner' refers to 'P1/Oval', which was left out" in first.refused[1]
    assert [gate.name for gate in third.tree.gates] == ["P1"]
    assert "compensation of 1 parameters is not square" in third.refused[0]


def test_a_tube_without_gates_names_the_worksheets(folder: Path) -> None:
    with pytest.raises(InputError, match=r"tube 'PE__002': the tube has no gates of its own. Choose .* --sample: 'Global Sheet1'"):
        read_sample_gates(folder / "experiment.xml", [folder / "124502.fcs"])


def test_a_worksheet_is_a_sample_without_counts(folder: Path) -> None:
    (own,) = read_sample_gates(folder / "experiment.xml", [folder / "124502.fcs"], "Global Sheet1")
    (gate,) = own.tree.gates
    assert isinstance(gate, RectangleGate)
    assert gate.dimensions[0].compensation == "FCS"
    assert gate.dimensions[0].high is None
    assert own.counts == {}


def test_a_file_is_found_by_specimen_and_tube(folder: Path) -> None:
    (folder / "124500.fcs").rename(folder / "PE__001.fcs")
    (own,) = read_sample_gates(folder / "experiment.xml", [folder / "PE__001.fcs"])
    assert own.file == "124500.fcs"


def test_polygon_reaches_beyond_the_ends_that_it_touches(folder: Path) -> None:
    polygon = next(gate for gate in samples(folder)[0].tree.gates if gate.name == "P1/P2")
    assert isinstance(polygon, PolygonGate)
    assert max(x for x, _ in polygon.vertices) > 1e9
    assert min(y for _, y in polygon.vertices) < -1e5
