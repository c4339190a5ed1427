"""Workspaces that FlowJo 10 wrote, with the counts it stored in them or is known to show.

``simple_poly_and_rect*.wsp`` were saved before FlowJo counted (0 and -1): the truth of the
second file is in its name, and in both the line of events misses the rectangle.
"""

from pathlib import Path

import numpy as np
import pytest

from exvivo.formats import fcs, flowjo
from exvivo.gate.populations import evaluate_tree
from exvivo.numerics import cells

DIAMOND, LINE = "simple_diamond_example", "simple_line_example"
QUADRANTS = {
    "Q1: channel_A- , channel_B+": 49671,
    "Q2: channel_A+ , channel_B+": 50596,
    "Q3: channel_A+ , channel_B-": 50330,
    "Q4: channel_A- , channel_B-": 49403,
}
COUNTED = [
    (f"{DIAMOND}/test_data_diamond_biex_rect.wsp", {"upper_right": 50605}),
    (f"{DIAMOND}/test_data_diamond_asinh_rect.wsp", {"upper_right": 50559}),
    (f"{DIAMOND}/test_data_diamond_asinh_rect2.wsp", {"upper_right": 50699}),
    (f"{DIAMOND}/simple_diamond_example_quad_gate.wsp", QUADRANTS),
    (f"{LINE}/single_ellipse_51_events.wsp", {"ellipse1": 51}),
]
UNCOUNTED = [
    (f"{LINE}/simple_poly_and_rect_v2_poly50.wsp", {"poly1": 50, "rect1": 0}),
    (f"{LINE}/simple_poly_and_rect.wsp", {"poly1": 0, "rect1": 0}),
]


@pytest.fixture
def workspaces(shared_data: Path) -> Path:
    """Folder with the workspaces and the FCS files they were drawn on."""
    return shared_data / "cytometry" / "flowjo_simple"


def counts(path: Path) -> dict[str, int]:
    """Events in every population of the only sample of a workspace."""
    (sample,) = flowjo.parse(path)
    events = path.parent / sample.file
    (record,) = fcs.parse(events)
    found = evaluate_tree(fcs.read_events(events, record), record.channels, record.spillover, sample.tree)
    return {name: int(np.count_nonzero(member)) for name, member in found.items()}


@pytest.mark.parametrize(("name", "expected"), COUNTED + UNCOUNTED, ids=lambda value: value if isinstance(value, str) else "")
def test_counts_are_those_of_flowjo(workspaces: Path, name: str, expected: dict[str, int]) -> None:
    assert counts(workspaces / name) == expected


@pytest.mark.parametrize(("name", "expected"), COUNTED, ids=lambda value: value if isinstance(value, str) else "")
def test_stored_counts_are_read(workspaces: Path, name: str, expected: dict[str, int]) -> None:
    (sample,) = flowjo.parse(workspaces / name)
    assert dict(sample.counts) == expected
    assert sample.n_events == (200000 if DIAMOND in name else 100)


@pytest.mark.parametrize("name", [name for name, _ in UNCOUNTED])
def test_counts_that_flowjo_had_not_made_are_no_counts(workspaces: Path, name: str) -> None:
    (sample,) = flowjo.parse(workspaces / name)
    assert sample.counts == {}


def test_biexponential_table_is_that_of_flowjo(shared_data: Path) -> None:
    path = shared_data / "cytometry" / "flowjo_xforms" / "tr_biex_l256_w-7.943282_n1.000000_m4.418540_r262144.000029.csv"
    index, expected = np.loadtxt(path, delimiter=",", skiprows=1, unpack=True)
    table = cells.biex_table(maxRange=262144.000029, neg=1.0, pos=4.418540, width=-7.943282)
    # the file holds six digits
    np.testing.assert_allclose(table[index.astype(int)], expected, rtol=5.1e-6, atol=5.1e-7)
