"""Gates, scales and compensation that no real workspace here has, event by event against FlowKit.

FlowKit agrees with FlowJo wherever both were compared (see ``test_workspaces.py``). It draws
an ellipse as 128 straight lines, so events between these and the arc may differ.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from exvivo.formats import fcs, flowjo
from exvivo.gate.populations import evaluate_tree
from exvivo.study.design import Channel

EVENTS = 20000
CHANNELS = ("FSC-A", "B-A", "C-A", "D-A")
SPILLOVER = np.array([[1.0, 0.1, 0.05], [0.02, 1.0, 0.2], [0.0, 0.03, 1.0]])
HEAD = (
    '<Workspace version="20.0" flowJoVersion="10.8.1" xmlns:gating="http://www.isac-net.org/std/Gating-ML/v2.0/gating" '
    'xmlns:transforms="http://www.isac-net.org/std/Gating-ML/v2.0/transformations" '
    'xmlns:data-type="http://www.isac-net.org/std/Gating-ML/v2.0/datatypes"><Groups><GroupNode name="All Samples">'
    '<Group name="All Samples"><SampleRefs><SampleRef sampleID="1"/></SampleRefs></Group></GroupNode></Groups>'
)
Point = Sequence[float] | NDArray[np.float64]


def scale(kind: str, channel: str, **parameters: float) -> str:
    written = " ".join(f'transforms:{name}="{value}"' for name, value in parameters.items())
    return f'<transforms:{kind} {written}><data-type:parameter data-type:name="{channel}"/></transforms:{kind}>'


def scales() -> str:
    written = scale("linear", "FSC-A", minRange=0, maxRange=262144)
    for prefix in ("", "Comp-"):
        written += scale("biex", f"{prefix}B-A", length=256, maxRange=262144, neg=0, width=-10, pos=4.418539922)
        written += scale("log", f"{prefix}C-A", offset=10, decades=4.5)
        written += scale("biex", f"{prefix}D-A", length=256, maxRange=262144, neg=0.5, width=-100, pos=4.5)
    return written


def matrix() -> str:
    names = CHANNELS[1:]
    listed = "".join(f'<data-type:parameter data-type:name="{name}"/>' for name in names)
    rows = ""
    for source, values in zip(names, SPILLOVER, strict=True):
        cells = [
            f'<transforms:coefficient data-type:parameter="{name}" transforms:value="{value}"/>'
            for name, value in zip(names, values, strict=True)
        ]
        rows += f'<transforms:spillover data-type:parameter="{source}">{"".join(cells)}</transforms:spillover>'
    head = '<transforms:spilloverMatrix spectral="0" prefix="Comp-" name="m" suffix="">'
    return f"{head}<data-type:parameters>{listed}</data-type:parameters>{rows}</transforms:spilloverMatrix>"


def side(channel: str, bounds: str = "") -> str:
    return f'<gating:dimension {bounds}><data-type:fcs-dimension data-type:name="{channel}"/></gating:dimension>'


def vertices(*points: Point) -> str:
    return "".join(
        f'<gating:vertex><gating:coordinate data-type:value="{x}"/><gating:coordinate data-type:value="{y}"/></gating:vertex>'
        for x, y in points
    )


def polygon(x: str, y: str, *points: Point, inside: int = 1) -> str:
    return f'<gating:PolygonGate eventsInside="{inside}">{side(x)}{side(y)}{vertices(*points)}</gating:PolygonGate>'


def rectangle(*sides: str, inside: int = 1) -> str:
    return f'<gating:RectangleGate eventsInside="{inside}">{"".join(sides)}</gating:RectangleGate>'


def ellipse(x: str, y: str, middle: Point, half: tuple[float, float], angle: float) -> str:
    along, centre = np.array([np.cos(angle), np.sin(angle)]), np.array(middle)
    across = np.array([-along[1], along[0]])
    focus = np.sqrt(half[0] ** 2 - half[1] ** 2) * along
    foci = vertices(centre + focus, centre - focus)
    edge = vertices(centre + half[0] * along, centre - half[0] * along, centre + half[1] * across, centre - half[1] * across)
    shape = f"{side(x)}{side(y)}<gating:foci>{foci}</gating:foci><gating:edge>{edge}</gating:edge>"
    return f'<gating:EllipsoidGate eventsInside="1">{shape}</gating:EllipsoidGate>'


def population(name: str, shape: str, inner: str = "") -> str:
    head = f'<Population name="{name}" owningGroup="" count="-1">'
    return f"{head}<Gate>{shape}</Gate><Subpopulations>{inner}</Subpopulations></Population>"


def combined(kind: str, name: str, *operands: str) -> str:
    listed = "".join(f'<Dependent name="{operand}"/>' for operand in operands)
    return f'<{kind} name="{name}" owningGroup="" count="-1"><Dependents>{listed}</Dependents></{kind}>'


def populations() -> str:
    inner = (
        population("bent", polygon("Comp-B-A", "Comp-C-A", (-200, 50), (3000, 20), (90000, 5000), (500, 200000)))
        + population("round", ellipse("Comp-B-A", "Comp-D-A", (150, 120), (60, 30), 0.7))
        + population("box", rectangle(side("Comp-B-A", 'gating:min="10" gating:max="4000"'), side("FSC-A", 'gating:min="60000"')))
        + combined("AndNode", "both", "Cells/bent", "Cells/round")
        + combined("OrNode", "any", "Cells/bent", "Cells/box")
        + combined("NotNode", "rest", "Cells/round")
    )
    return (
        population("Cells", polygon("FSC-A", "Comp-D-A", (20000, -3000), (180000, -3000), (200000, 50000), (30000, 90000)), inner)
        + population("outside box", rectangle(side("FSC-A", 'gating:min="60000" gating:max="120000"'), inside=0))
        + population("outside polygon", polygon("FSC-A", "Comp-C-A", (20000, 20), (180000, 20), (100000, 50000), inside=0))
        + population("round", ellipse("FSC-A", "Comp-C-A", (100, 120), (70, 20), -0.3))
        + population("steep", ellipse("FSC-A", "Comp-B-A", (100, 120), (70, 20), 1.2))
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One FCS file and the workspace that gates it."""
    made = tmp_path_factory.mktemp("flowjo")
    random = np.random.default_rng(1)
    bright = 10 ** random.uniform(-1, 5.3, EVENTS) * random.choice([1, 1, 1, -0.05], EVENTS)
    wide = random.normal(300, 2000, EVENTS) * np.exp(random.normal(0, 1, EVENTS))
    stains = np.column_stack([bright, 10 ** random.uniform(0, 5.6, EVENTS), wide]) @ SPILLOVER
    events = np.column_stack([random.normal(100000, 40000, EVENTS), stains]).astype(np.float32)
    (made / "t.fcs").write_bytes(fcs.compose(events, [Channel(name, "", 262144.0) for name in CHANNELS]))
    sample = (
        f'<Sample><DataSet uri="file:/t.fcs" sampleID="1"/>{matrix()}<Transformations>{scales()}</Transformations><Keywords/>'
        f'<SampleNode name="t.fcs" owningGroup="" count="-1" sampleID="1"><Subpopulations>{populations()}</Subpopulations>'
        "</SampleNode></Sample>"
    )
    (made / "w.wsp").write_text(f"{HEAD}<SampleList>{sample}</SampleList></Workspace>", encoding="utf-8")
    return made


@pytest.mark.filterwarnings("ignore")  # FlowKit's own and its plotting library's
def test_every_population_has_the_events_that_flowkit_finds(folder: Path) -> None:
    flowkit = pytest.importorskip("flowkit")
    (record,) = fcs.parse(folder / "t.fcs")
    (sample,) = flowjo.parse(folder / "w.wsp")
    assert sample.faults == ()
    members = evaluate_tree(fcs.read_events(folder / "t.fcs", record), record.channels, record.spillover, sample.tree)
    oracle = flowkit.Workspace(str(folder / "w.wsp"), fcs_samples=[str(folder / "t.fcs")])
    oracle.analyze_samples(use_mp=False)
    compared = 0
    for row in oracle.get_analysis_report().itertuples():
        name = "/".join([*row.gate_path[1:], row.gate_name])
        truth = oracle.get_gate_membership("t.fcs", row.gate_name, gate_path=row.gate_path)
        assert 100 < np.count_nonzero(truth) < EVENTS
        between = 5 if row.gate_name in ("round", "steep", "rest", "both") else 0
        assert np.count_nonzero(members[name] != truth) <= between, name
        compared += 1
    assert compared == 11
