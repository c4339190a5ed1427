"""Outlines on the contact sheet have the gate's own sides."""

import numpy as np

from exvivo.gate.pictures import outline_of
from exvivo.study.design import Dimension, PolygonGate


def test_a_polygon_that_leaves_the_picture_keeps_its_slopes() -> None:
    gate = PolygonGate("Singlets", None, (Dimension("A"), Dimension("H")), ((0.0, 0.0), (400.0, 340.0), (400.0, 480.0)))
    np.testing.assert_array_equal(outline_of(gate, ((0.0, 100.0), (0.0, 100.0)), 36), gate.vertices)
