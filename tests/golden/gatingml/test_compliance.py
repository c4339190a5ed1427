"""Compliance tests of Gating-ML 2.0: every truth file, event by event.

``gml_all_gates.xml`` holds the gates of every truth but two: Ellipsoid3D has a file of its
own, and ParQuadRect is called ParRectangle1 in the file of its parent quadrants. No truth
is left out.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from exvivo.formats import fcs, gatingml
from exvivo.gate.populations import evaluate_tree
from exvivo.study.design import GatingTree

TRUTHS = [
    "And1",
    "And2",
    "And3",
    "And4",
    "Ellipse1",
    "Ellipsoid3D",
    "FL2N-FL4N",
    "FL2N-FL4P",
    "FL2P-FL4N",
    "FL2P-FL4P",
    "FSCD-FL1P",
    "FSCD-SSCN-FL1N",
    "FSCN-SSCN",
    "FSCN-SSCP-FL1P",
    "FSCP-SSCN-FL1N",
    "Not1",
    "Or1",
    "Or2",
    "ParAnd2",
    "ParAnd3",
    "ParQuadRect",
    "Polygon1",
    "Polygon2",
    "Polygon3NS",
    "Polygon4",
    "Range1",
    "Range2",
    "RatRange1",
    "RatRange1a",
    "RatRange2",
    "Rectangle1",
    "Rectangle2",
    "Rectangle3",
    "Rectangle4",
    "Rectangle5",
    "ScalePar1",
    "ScaleRange1",
    "ScaleRange1c",
    "ScaleRange2",
    "ScaleRange2c",
    "ScaleRange3",
    "ScaleRange3c",
    "ScaleRange4",
    "ScaleRange4c",
    "ScaleRange5",
    "ScaleRange5c",
    "ScaleRange6",
    "ScaleRange6c",
    "ScaleRange7c",
    "ScaleRange8c",
    "ScaleRect1",
]
ELSEWHERE = {
    "Ellipsoid3D": ("gml_ellipsoid3d_gate.xml", "Ellipsoid3D"),
    "ParQuadRect": ("gml_parent_quadrant_rect_gate.xml", "ParRectangle1"),
}


@cache
def members(folder: Path, gates: str, *, written_again: bool = False) -> dict[str, NDArray[np.bool_]]:
    path = folder / "data1.fcs"
    (record,) = fcs.parse(path)
    tree = gatingml.parse(folder / "gml" / gates)
    if written_again:
        tree = gatingml.parse(gatingml.compose(tree))
    return evaluate_tree(fcs.read_events(path, record), record.channels, record.spillover, tree)


@pytest.mark.parametrize("written_again", [False, True])
@pytest.mark.parametrize("truth", TRUTHS)
def test_every_event_is_where_the_truth_says(shared_data: Path, truth: str, written_again: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    folder = shared_data / "cytometry" / "gatingml"
    gates, name = ELSEWHERE.get(truth, ("gml_all_gates.xml", truth))
    expected = np.loadtxt(folder / "truth" / f"Results_{truth}.txt", dtype=int).astype(bool)
    np.testing.assert_array_equal(members(folder, gates, written_again=written_again)[name], expected)


def test_no_truth_is_left_out(shared_data: Path) -> None:
    found = (path.stem.removeprefix("Results_") for path in (shared_data / "cytometry" / "gatingml" / "truth").glob("*.txt"))
    assert sorted(found) == sorted(TRUTHS)


def test_every_gate_file_can_be_read_and_written(shared_data: Path) -> None:
    for path in sorted((shared_data / "cytometry" / "gatingml" / "gml").glob("*.xml")):
        tree: GatingTree = gatingml.parse(path)
        assert tree.gates, path.name
        assert gatingml.parse(gatingml.compose(tree)) == tree
