"""A file in blocks gives what the whole gives: counts, medians, membership; and takes no more memory for a longer file."""

from pathlib import Path
from types import MappingProxyType

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from exvivo.formats import fcs
from exvivo.gate import blocks
from exvivo.gate.blocks import count_file, find_members, open_walk, tabulate_members, tabulate_populations
from exvivo.gate.populations import count_populations, evaluate
from exvivo.study.design import (
    BooleanGate,
    Channel,
    Dimension,
    EllipsoidGate,
    GatingTree,
    PolygonGate,
    RectangleGate,
    SpilloverMatrix,
    Transform,
    TransformKind,
)

SCALE = Transform(TransformKind.LOGICLE, MappingProxyType({"T": 1000.0, "W": 0.5, "M": 4.0, "A": 0.0}))
PAIR = (Dimension("B", "FCS", SCALE), Dimension("C", "FCS", SCALE))
TREE = GatingTree(
    (
        RectangleGate("Box", None, (Dimension("A", low=100.0, high=900.0),)),
        PolygonGate("Poly", "Box", PAIR, ((0.2, 0.2), (0.95, 0.3), (0.8, 0.9), (0.3, 0.7))),
        EllipsoidGate("Round", "Poly", PAIR, (0.6, 0.6), ((0.04, 0.01), (0.01, 0.03)), 1.0),
        BooleanGate("Rest", "Box", "and", (("Poly", False), ("Round", True))),
        RectangleGate("None", "Poly", (Dimension("A", low=5000.0),)),
    )
)
SPILL = SpilloverMatrix(("B", "C"), ("B", "C"), ((1.0, 0.1), (0.05, 1.0)))


def write_tube(path: Path, count: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(3)
    time = np.linspace(0.0, 100.0, count)
    events = np.column_stack([time, rng.uniform(0, 1000, count), *rng.lognormal(4.5, 1.0, (2, count))]).astype(np.float32)
    channels = [Channel("Time", "", 1024.0), Channel("A", "", 1000.0, gain=2.0), Channel("B", "", 1000.0), Channel("C", "", 1000.0)]
    path.write_bytes(fcs.compose(events, channels, spillover=SPILL, timestep=0.5))
    return events


@pytest.fixture(params=[0, 1, 1000])
def tube(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tubes that are read in several stretches of several blocks, the last of them short."""
    monkeypatch.setattr(blocks, "_STRETCH", 256)
    monkeypatch.setattr(blocks, "_BLOCK", 96)
    monkeypatch.setattr(blocks, "_MEDIAN_BYTES", 2000)
    write_tube(tmp_path / "t.fcs", request.param)
    return tmp_path / "t.fcs"


def test_blocks_give_what_the_whole_gives(tube: Path) -> None:
    record = fcs.parse(tube)[0]
    whole = evaluate(fcs.read_events(tube, record), record.channels, record.spillover, TREE)
    walk = open_walk(tube, record, TREE)
    members = find_members(walk)
    for gate in TREE.gates:
        np.testing.assert_array_equal(members.of(gate.name, 0, record.n_events), whole.members[gate.name])
    assert count_file(tube, record, TREE) == list(members.counts.values())
    expected = count_populations("t.fcs", whole, TREE.gates, "FCS")
    assert tabulate_populations("t.fcs", walk, members, "FCS").equals(expected)
    table = tabulate_members("t.fcs", walk, members)
    assert table["event"].to_list() == list(range(record.n_events))
    assert table.select(pl.exclude("file", "event")).sum().row(0) == tuple(expected["count"].to_list())


def test_medians_are_numpy_s(tmp_path: Path) -> None:
    events = write_tube(tmp_path / "t.fcs", 1000)
    record = fcs.parse(tmp_path / "t.fcs")[0]
    walk = open_walk(tmp_path / "t.fcs", record, TREE)
    members = find_members(walk)
    row = tabulate_populations("t.fcs", walk, members, "uncompensated").row(0, named=True)
    kept = (events[:, 1] / 2 >= 100) & (events[:, 1] / 2 < 900)
    assert row["count"] == np.count_nonzero(kept) > 300
    found = [row[f"median_{name}"] for name in ("Time", "A", "B", "C")]
    np.testing.assert_array_equal(found, np.median(events[kept].astype(np.float64) * [0.5, 0.5, 1, 1], axis=0))
