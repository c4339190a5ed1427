"""Polygons that FlowJo has counted are looked at in its 256 steps of each axis: the rule written out for every event."""

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from exvivo.formats import flowjo
from exvivo.gate.populations import evaluate_tree
from exvivo.numerics import cells
from exvivo.study.design import Channel, PolygonGate

HEAD = (
    'xmlns:gating="http://www.isac-net.org/std/Gating-ML/v2.0/gating" '
    'xmlns:transforms="http://www.isac-net.org/std/Gating-ML/v2.0/transformations" '
    'xmlns:data-type="http://www.isac-net.org/std/Gating-ML/v2.0/datatypes"'
)
CHANNELS = (Channel("A", "", 262144.0), Channel("B", "", 262144.0))
BIEX = {"maxRange": 262144.0, "neg": 0.5, "pos": 4.418539922, "width": -31.6}
LINEAR = 'linear transforms:minRange="0" transforms:maxRange="262144" gain="1"'
LOG = 'log transforms:offset="10" transforms:decades="4.4"'
BIEX_AXIS = (
    'biex transforms:length="256" transforms:maxRange="262144" transforms:neg="0.5" transforms:width="-31.6" transforms:pos="4.418539922"'
)

Points = NDArray[np.float64]


def workspace(axes: tuple[str, str], vertices: Points, count: int = 5, version: str = "10.8.1", quadrant: int = -1) -> bytes:
    scales = "".join(
        f'<transforms:{axis}><data-type:parameter data-type:name="{name}"/></transforms:{axis.split()[0]}>'
        for axis, name in zip(axes, "AB", strict=True)
    )
    sides = "".join(f'<gating:dimension><data-type:fcs-dimension data-type:name="{name}"/></gating:dimension>' for name in "AB")
    points = [[f'<gating:coordinate data-type:value="{float(value)!r}"/>' for value in row] for row in vertices]
    corners = "".join(f"<gating:vertex>{''.join(row)}</gating:vertex>" for row in points)
    shape = f'<gating:PolygonGate eventsInside="1" quadId="{quadrant}" gateResolution="256">{sides}{corners}</gating:PolygonGate>'
    node = f'<Population name="P" count="{count}"><Gate>{shape}</Gate></Population>'
    inside = f'<SampleNode name="a.fcs" count="100"><Subpopulations>{node}</Subpopulations></SampleNode>'
    sample = f'<Sample><DataSet uri="file:/a.fcs" sampleID="1"/><Transformations>{scales}</Transformations>{inside}</Sample>'
    return f'<Workspace flowJoVersion="{version}" {HEAD}><SampleList>{sample}</SampleList></Workspace>'.encode()


def found(raw: bytes, events: Points) -> NDArray[np.bool_]:
    (own,) = flowjo.parse(raw)
    assert not own.faults
    assert not own.refused
    return evaluate_tree(events, CHANNELS, None, own.tree)["P"]


def step(axis: str, value: float, *, event: bool, floored: bool = True) -> int:
    """FlowJo's step of one value."""
    if axis == BIEX_AXIS:
        table = cells.biex_table(**BIEX)
        return max(0, min(4096, int(np.searchsorted(table, value, side="right")) - 1)) * 256 // 4096
    if axis == LINEAR:
        exact = value * 256.0 / 262144.0
    elif value <= 0 and floored:
        exact = 0.0
    else:
        exact = (math.log10(max(value, 1e-300)) - 1.0) / 4.4 * 256.0
    whole = math.floor(exact + 0.5)
    return max(0, min(255, whole)) if event else whole


def expected(axes: tuple[str, str], vertices: Points, events: Points, *, floored: bool = True) -> NDArray[np.bool_]:
    corners = [[step(axis, v, event=False, floored=floored) for axis, v in zip(axes, row, strict=True)] for row in vertices]
    stepped = np.array([[step(axis, v, event=True) for axis, v in zip(axes, row, strict=True)] for row in events], dtype=float)
    return cells.in_polygon(stepped[:, 0], stepped[:, 1], np.array(corners, dtype=float))


def drawn(seed: int, axes: tuple[str, str]) -> tuple[Points, Points]:
    """A polygon, and events near it, beyond the ends of the axes and on the edges of steps."""
    rng = np.random.default_rng(seed)
    columns, corners = [], []
    for axis in axes:
        low, high = (-2e3, 280_000.0) if axis == LINEAR else (1.0, 4e5)
        spread = rng.uniform(low, high, 1500) if axis == LINEAR else np.exp(rng.uniform(math.log(low), math.log(high), 1500))
        spread[:300] *= np.where(axis == LINEAR, 1.0, -1.0)
        columns.append(np.concatenate([spread, [-1e6, 0.0, 512.0, 1536.0, 262_144.0, 1e7]]))
        corners.append(rng.choice(columns[-1], 5))
    rng.shuffle(columns[0])
    return np.array(corners).T, np.array(columns).T.astype(np.float32).astype(float)


@pytest.mark.parametrize("axes", [(LINEAR, LINEAR), (LOG, LINEAR), (BIEX_AXIS, LOG), (BIEX_AXIS, BIEX_AXIS)])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("version", ["10.8.1", "10.2"])
def test_events_are_those_of_the_steps(axes: tuple[str, str], seed: int, version: str) -> None:
    vertices, events = drawn(seed, axes)
    wanted = expected(axes, vertices, events, floored=version != "10.2")
    np.testing.assert_array_equal(found(workspace(axes, vertices, version=version), events), wanted)


def test_where_nothing_was_counted_events_are_compared_with_the_polygon_itself() -> None:
    vertices, events = drawn(1, (LINEAR, LINEAR))
    exact = cells.in_polygon(events[:, 0], events[:, 1], vertices)
    for raw in (workspace((LINEAR, LINEAR), vertices, count=0), workspace((LINEAR, LINEAR), vertices, quadrant=2)):
        (own,) = flowjo.parse(raw)
        (gate,) = own.tree.gates
        assert isinstance(gate, PolygonGate)
        assert len(gate.vertices) == 5
        if np.all((vertices > 0) & (vertices < 262_144)):
            np.testing.assert_array_equal(found(raw, events), exact)


def test_a_polygon_between_two_steps_is_empty_and_one_beyond_the_top_is_open() -> None:
    beyond = np.array([[200_000.0, 200_000.0], [270_000.0, 200_000.0], [270_000.0, 270_000.0], [200_000.0, 270_000.0]])
    events = np.array([[250_000.0, 250_000.0], [1e9, 1e9], [1e9, 0.0]])
    assert found(workspace((LINEAR, LINEAR), beyond), events).tolist() == [True, True, False]
    below = np.array([[-9000.0, -9000.0], [-8000.0, -9000.0], [-8000.0, -8000.0]])
    assert not found(workspace((LINEAR, LINEAR), below), events - 1e6).any()


def test_real_workspace_without_counts(shared_data: Path) -> None:
    raw = (shared_data / "cytometry" / "flowjo_simple" / "simple_line_example" / "simple_poly_and_rect_v2_poly50.wsp").read_bytes()
    (own,) = flowjo.parse(raw)
    assert [len(gate.vertices) for gate in own.tree.gates if isinstance(gate, PolygonGate)] == [4]
