"""A workspace in the form of FlowJo 9.2, against membership on the display scale as FlowJo draws it.

The truth is worked out here event by event: values go to the display scale and stop at its ends,
shapes are straight or round there.
"""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from exvivo.formats import fcs, flowjo9
from exvivo.gate.populations import evaluate_tree
from exvivo.numerics import cells
from exvivo.pipeline import gate_files
from exvivo.study.design import BooleanGate, Channel, SampleGates

Array = NDArray[np.float64]
HERE = Path(__file__).parent
NAMES = ("FSC-A", "SSC-A", "PE-A", "APC-A", "Time")
EVENTS = 20000
BIEX = cells.biex_table(maxRange=262144.0, neg=0.0, pos=4.5, width=-10.0)
ODD = np.sinh(np.linspace(-2.5, 8.0, 4097)) * 150.0
LEFT_OUT = ("Cells/Mixed", "Cells/Mixed/Inner")


def events() -> Array:
    rng = np.random.default_rng(9)
    scatter = rng.normal([110000, 60000], [60000, 60000], (EVENTS, 2))
    dim, bright = rng.normal(100, 250, (EVENTS, 2)), rng.lognormal(6.5, 1.8, (EVENTS, 2))
    stained = np.where(rng.random((EVENTS, 1)) < 0.5, dim, bright) @ np.array([[1, 0.048], [0.129, 1]])
    ticks = np.sort(rng.integers(0, 12000, EVENTS))
    return np.column_stack([np.clip(scatter, -4000, 262143), stained, ticks]).astype(np.float32).astype(np.float64)


def crossed(x: Array, y: Array, corners: Array) -> NDArray[np.bool_]:
    """Even-odd rule by the usual ray to the right, boundary left to chance: nothing lies exactly on an edge here but at the ends."""
    odd = np.zeros(len(x), dtype=bool)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if ay != by:
            odd ^= ((ay > y) != (by > y)) & (x < (bx - ax) * (y - ay) / (by - ay) + ax)
    return odd


def truth(raw: Array) -> dict[str, NDArray[np.bool_]]:
    fsc, ssc, pe_raw, _, ticks = raw.T
    pe, apc = (raw[:, 2:4] @ np.linalg.inv([[1, 0.048], [0.1289999961853027, 1]])).T
    inset = np.nextafter(1.0, 0.0)
    top = 262144.0
    fsc, ssc = (np.clip(value, 1e-9, top - 1e-9) for value in (fsc, ssc))
    corners = np.array(
        [[22809.306640625, 0], [30040.865234375, 278416.4619445801], [270245.4900741577, 271242.8188323975], [161432.4569702148, 0]]
    )
    cell = crossed(fsc, ssc, corners)
    x, y = (np.clip(np.interp(v, table, np.linspace(0, 1, 4097)), 1e-15, inset) for v, table in ((pe, BIEX), (apc, ODD)))

    def shown(points: list[tuple[float, float]]) -> Array:
        px, py = np.array(points).T
        return np.column_stack([np.interp(px, BIEX, np.linspace(0, 1, 4097)), np.interp(py, ODD, np.linspace(0, 1, 4097))])

    bent = crossed(x, y, shown([(-400, -110.597), (900.5, -60.25), (20000, 1200), (300, 30000), (-60, 800)]))
    a, b, c, d = shown([(367.9437561, 349.5470276), (-15.54942226, 322.0710449), (65.537841797, 78.14555359), (62.307647705, 1565.205566)])
    basis = np.column_stack([(a - b) / 2, (c - d) / 2])
    inside = np.sum(np.linalg.solve(basis, (np.column_stack([x, y]) - (a + b + c + d) / 4).T) ** 2, axis=0) <= 1
    box = (pe < 1605.509765625) & (apc >= 247.297119140625) & (apc < 25986.697265625)
    return {
        "Cells": cell,
        "Cells/Bent": cell & bent,
        "Cells/Not bent": cell & ~inside,
        "Cells/Box": cell & box,
        "Cells/Box/Bright": cell & box & (pe_raw >= 399.53369140625),
        "Cells/Both": cell & box & inside,
        "Cells/Early": cell & (ticks * 0.01 < 60),
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The workspace with its counts and its table, and the FCS file that they belong to."""
    raw = events()
    channels = [Channel(name, "", 262144.0) for name in NAMES]
    (tmp_path / "tube 1.fcs").write_bytes(fcs.compose(raw.astype(np.float32), channels, timestep=0.01))
    text = (HERE / "work.xml").read_text(encoding="latin-1")
    for path, member in truth(raw).items():
        text = text.replace(f"@{path.rpartition('/')[2]}@", str(int(member.sum())))
    table = ",".join(f"{index},{value!r}" for index, value in enumerate(ODD.tolist()))
    (tmp_path / "work.xml").write_text(text.replace("@table@", table), encoding="latin-1")
    return tmp_path


def samples(folder: Path) -> tuple[SampleGates, ...]:
    return flowjo9.parse(folder / "work.xml")


def test_members_are_those_inside_what_is_drawn(folder: Path) -> None:
    first = samples(folder)[0]
    path = folder / first.file
    (record,) = fcs.parse(path)
    found = evaluate_tree(fcs.read_events(path, record), record.channels, record.spillover, first.tree)
    expected = truth(events())
    assert set(expected) < set(found)
    for name, member in expected.items():
        # an edge may pass within a twelfth of an entry of an event: a few in twenty thousand
        assert np.count_nonzero(found[name] != member) <= (3 if name in ("Cells/Bent", "Cells/Not bent", "Cells/Both") else 0), name
        assert 300 < member.sum() < EVENTS


def test_stored_counts_stand_beside_ours(folder: Path) -> None:
    gate_files([folder / "tube 1.fcs"], folder / "work.xml", folder / "out")
    frame = pl.read_csv(folder / "out" / "populations.csv")
    counted = frame.filter(pl.col("stored_count").is_not_null())
    assert set(counted["path"]) == set(truth(events()))
    assert (counted["count"] - counted["stored_count"]).abs().max() <= 3  # type: ignore[operator]


def test_what_is_not_understood_is_left_out_with_what_it_holds(folder: Path) -> None:
    first, second, third = samples(folder)
    assert not first.faults
    assert "combination 'G0&G1|G2'" in first.refused[0]
    assert "'Cells/Mixed/Inner' refers to 'Cells/Mixed', which was left out" in first.refused[1]
    assert not set(LEFT_OUT) & {gate.name for gate in first.tree.gates}
    assert second.faults[0].startswith("work.xml, sample 'tube 2', line ")
    assert "matrix 9 of 1" in second.faults[0]
    assert [gate.name for gate in third.tree.gates] == ["Cells"]
    assert "Spline, is not supported" in third.refused[0]


def test_a_range_that_touches_the_end_of_its_axis_is_open(folder: Path) -> None:
    (side,) = samples(folder)[2].tree.gates[0].dimensions  # type: ignore[union-attr]
    assert (side.low, side.high) == (5.0, None)


def test_samples_are_found_by_file_name_and_number(folder: Path) -> None:
    assert [(own.name, own.file, own.identifier, own.n_events) for own in samples(folder)] == [
        ("tube 1", "tube 1.fcs", "1", 20000),
        ("tube 2", "tube 2.fcs", "2", None),
        ("tube 3", "tube 3.fcs", "3", 100),
    ]


def test_boolean_gates_take_their_operands_by_path(folder: Path) -> None:
    both = next(gate for gate in samples(folder)[0].tree.gates if gate.name == "Cells/Both")
    assert isinstance(both, BooleanGate)
    assert both.operands == (("Cells/Box", False), ("Cells/Not bent", True))
