"""Pictures of gates: what shares axes shares a picture, counts are events, numbers stand where their values are."""

import json
from pathlib import Path

import numpy as np
import pytest

from exvivo.formats import fcs
from exvivo.gate import pictures
from exvivo.gate.blocks import open_walk
from exvivo.gate.pictures import facts_of, picture_of, take_pictures
from exvivo.numerics import cells
from exvivo.study.design import (
    BooleanGate,
    Channel,
    Dimension,
    EllipsoidGate,
    GatePicture,
    GatingTree,
    PolygonGate,
    RectangleGate,
    Transform,
    TransformKind,
)

SCALE = {"T": 262144.0, "W": 0.5, "M": 4.5, "A": 0.0}
LOGICLE = Transform(TransformKind.LOGICLE, SCALE)
X, Y = Dimension("X", transform=LOGICLE), Dimension("Y", transform=LOGICLE)
TREE = GatingTree(
    (
        RectangleGate("Kept", None, (Dimension("FSC", low=100.0),)),
        PolygonGate("Poly", "Kept", (X, Y), ((-9.0, -9.0), (9.0, -9.0), (9.0, 9.0))),
        EllipsoidGate("Round", "Kept", (X, Y), (0.5, 0.5), ((0.01, 0.0), (0.0, 0.01)), 1.0),
        RectangleGate("Low", "Poly", (Dimension("X", transform=LOGICLE, high=0.4),)),
        RectangleGate("High", "Poly", (Dimension("X", transform=LOGICLE, low=0.4),)),
        BooleanGate("Both", "Kept", "and", (("Poly", False), ("Round", False))),
        RectangleGate("Nobody", "High", (Dimension("FSC", low=1e9),)),
        PolygonGate("Empty", "Nobody", (Dimension("FSC"), X), ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0))),
    )
)


@pytest.fixture(params=[0, 5000])
def taken(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[int, tuple[GatePicture, ...]]:
    rng = np.random.default_rng(1)
    events = np.column_stack([rng.uniform(0, 1000, request.param), *rng.lognormal(6, 2, (2, request.param))]).astype(np.float32)
    path = tmp_path / "t.fcs"
    path.write_bytes(fcs.compose(events, [Channel(name, "", 262144.0) for name in ("FSC", "X", "Y")]))
    return int(np.sum(events[:, 0] >= 100)), take_pictures(open_walk(path, fcs.parse(path)[0], TREE))


def test_gates_with_a_parent_and_axes_in_common_share_a_picture(taken: tuple[int, tuple[GatePicture, ...]]) -> None:
    _, found = taken
    named = [(picture.parent, [path for path, _ in picture.outlines], picture.y is None) for picture in found]
    assert named == [
        (None, ["Kept"], True),
        ("Kept", ["Kept/Poly", "Kept/Round"], False),
        ("Kept/Poly", ["Kept/Poly/Low", "Kept/Poly/High"], True),
        ("Kept/Poly/High", ["Kept/Poly/High/Nobody"], True),
        ("Kept/Poly/High/Nobody", ["Kept/Poly/High/Nobody/Empty"], False),
    ]


def test_counts_are_the_parent_s_events_but_for_the_rarest(taken: tuple[int, tuple[GatePicture, ...]]) -> None:
    kept, found = taken
    assert found[1].events == kept
    assert 0.98 * kept <= sum(map(sum, found[1].counts)) <= kept
    assert sum(map(sum, found[4].counts)) == 0


def test_numbers_stand_where_their_values_are(taken: tuple[int, tuple[GatePicture, ...]]) -> None:
    _, found = taken
    axis = found[1].x
    values = [float(label.replace("−", "-").replace("k", "e3").replace("M", "e6")) for label in axis.labels]
    np.testing.assert_allclose(axis.ticks, cells.logicle(values, **SCALE), atol=1e-12)
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks)


def test_a_bound_far_out_is_in_the_picture(taken: tuple[int, tuple[GatePicture, ...]]) -> None:
    _, found = taken
    assert found[3].x.low < 1e9 < found[3].x.high


def test_pictures_survive_json(taken: tuple[int, tuple[GatePicture, ...]]) -> None:
    _, found = taken
    assert tuple(picture_of(json.loads(json.dumps(facts_of(picture)))) for picture in found) == found


def test_long_files_are_thinned_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_SHOWN", 100)
    events = np.column_stack([np.arange(100_000) + 100.0, np.ones(100_000), np.ones(100_000)]).astype(np.float32)
    path = tmp_path / "t.fcs"
    path.write_bytes(fcs.compose(events, [Channel(name, "", 262144.0) for name in ("FSC", "X", "Y")]))
    first = take_pictures(open_walk(path, fcs.parse(path)[0], TREE))[0]
    assert (first.events, first.every) == (100, 1000)
