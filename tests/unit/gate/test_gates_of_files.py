"""A study whose gates or matrices come from files, stand in the protocol, or come from single stains."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from exvivo.engine import Work
from exvivo.errors import DesignError
from exvivo.formats import fcs, gatingml, spillover
from exvivo.gate import gate_specimens
from exvivo.inspect.panel import inspect_panel
from exvivo.study.decisions import Decisions
from exvivo.study.design import Channel, Dimension, GatingTree, RectangleGate, SpilloverMatrix
from exvivo.study.findings import Finding, FindingCode
from exvivo.study.model import FlowReadout, Panel
from exvivo.study.protocol import Panels
from exvivo.study.run import Gating, Inputs
from exvivo.study.tables import CLINICAL, EVENTS, FILES, LAYOUT, QUANTIFIED, READINGS, SPECIMENS, TUBE_SHEET, VENDOR

CHANNELS = tuple(Channel(name, "", 262144.0) for name in ("FSC-A", "SSC-A", "PE-A", "APC-A"))
NAMES = json.dumps([[channel.name, channel.marker] for channel in CHANNELS])
TRUE = SpilloverMatrix(("PE-A", "APC-A"), ("PE-A", "APC-A"), ((1.0, 0.25), (0.1, 1.0)))
STORED = SpilloverMatrix(("PE-A", "APC-A"), ("PE-A", "APC-A"), ((1.0, 0.0), (0.0, 1.0)))
READOUTS = {
    "CD204": FlowReadout(kind="flow", label="CD204", fluorochrome="PE", channel="PE-A"),
    "CD206": FlowReadout(kind="flow", label="CD206", fluorochrome="APC", channel="APC-A"),
}
ALL = {"name": "All", "method": "rectangle", "bounds": {"FSC-A": {"low": 0}}}
HEAD = (
    '<Workspace flowJoVersion="10.8.1" xmlns:gating="http://www.isac-net.org/std/Gating-ML/v2.0/gating" '
    'xmlns:transforms="http://www.isac-net.org/std/Gating-ML/v2.0/transformations" '
    'xmlns:data-type="http://www.isac-net.org/std/Gating-ML/v2.0/datatypes"><SampleList>'
)
YAML = """\
gates:
  - {name: Cells, method: rectangle, bounds: {FSC-A: {low: 50000}}}
  - {name: Live, method: boolean, parent: Cells, operator: not, of: [Cells]}
"""


def draw(seed: int, pe: float = 0.0, apc: float = 0.0, n: int = 2000) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    light = np.column_stack([pe * np.exp(0.3 * rng.normal(size=n)), apc * np.exp(0.3 * rng.normal(size=n))]) + 200.0
    seen = light @ np.array(TRUE.matrix) + rng.normal(0, 20, (n, 2))
    return np.column_stack([rng.uniform(0, 100_000, n), rng.uniform(0, 100_000, n), seen]).astype(np.float32)


@dataclass
class Folder:
    """A study with one specimen, and single stains and unstained cells that belong to its batch."""

    path: Path
    tubes: list[dict[str, object]] = field(default_factory=list)
    events: list[dict[str, object]] = field(default_factory=list)

    def add(self, name: str, kind: str, events: NDArray[np.float32], marker: str | None = None, batch: str | None = "B1") -> None:
        raw = fcs.compose(events, CHANNELS, spillover=STORED)
        (self.path / name).write_bytes(raw)
        self.events.append({"file": name, "sha256": hashlib.sha256(raw).hexdigest(), "index": 0, "events": len(events), "channels": NAMES})
        specimen = "S1" if kind in ("full", "isotype") else None
        row: dict[str, object] = {"file": name, "specimen": specimen, "tube": kind, "marker": marker, "batch": batch, "origin": "here"}
        self.tubes.append(row)

    def inputs(self) -> Inputs:
        tables = {kind.name: kind.empty() for kind in (FILES, READINGS, LAYOUT, VENDOR, CLINICAL, QUANTIFIED)}
        specimen = {"specimen": "S1", "experiment": "A", "donor": "D1", "matrix": "cells", "state": "ok", "origin": "here"}
        sheet, events = TUBE_SHEET.from_rows(self.tubes), EVENTS.from_rows(self.events)
        specimens = SPECIMENS.from_rows([specimen])
        return Inputs(folder=self.path, specimens=specimens, events=events, tube_sheet=sheet, found=(), blinded=False, **tables)

    def gate(self, gates: Sequence[object] = (ALL,), population: str = "All", **keys: object) -> Gating:
        rules = Panel.model_validate({"gates": list(gates), "population": population, **keys})
        return gate_specimens(self.inputs(), Panels(rules, READOUTS), Decisions(), Work())

    def findings(self, gating: Gating) -> list[Finding]:
        rules = Panel.model_validate({"gates": [ALL], "population": "All", "compensation": "single_stains"})
        return list(inspect_panel(self.inputs(), gating, Panels(rules, READOUTS), rules))


@pytest.fixture
def study(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path)
    folder.add("full.fcs", "full", draw(1, 8000, 1000))
    folder.add("iso.fcs", "isotype", draw(2))
    return folder


def counts(gating: Gating, file: str) -> dict[str, int]:
    frame = gating.populations.frame.filter(pl.col("file") == file)
    return dict(zip(frame["path"].to_list(), frame["count"].to_list(), strict=True))


def tube(gating: Gating, file: str) -> dict[str, object]:
    return gating.tubes.frame.filter(pl.col("file") == file).to_dicts()[0]


def deltas(gating: Gating) -> dict[str, float]:
    frame = gating.expressions.frame
    assert set(frame["status"]) == {"measured"}
    return dict(zip(frame["marker"].to_list(), frame["delta"].to_list(), strict=True))


# gates


def test_fixed_gates_stand_beside_automatic_ones(study: Folder) -> None:
    gates = [
        {"name": "Cells", "method": "scatter", "channels": ["FSC-A", "SSC-A"]},
        {"name": "Half", "method": "rectangle", "parent": "Cells", "bounds": {"SSC-A": {"low": 50_000}}},
        {"name": "Rest", "method": "boolean", "parent": "Cells", "operator": "not", "of": ["Half"]},
        {"name": "Dim", "method": "rectangle", "parent": "Half", "bounds": {"PE-A": {"high": 0.3}},
         "scale": {"PE-A": {"kind": "asinh", "T": 262144}}},
    ]  # fmt: skip
    gating = study.gate(gates, "Half")
    found = counts(gating, "full.fcs")
    assert found["Cells/Half"] + found["Cells/Rest"] == found["Cells"]
    assert 0 < found["Cells/Half"] < found["Cells"] <= 2000
    methods = dict(zip(gating.gates.frame["gate"].to_list(), gating.gates.frame["method"].to_list(), strict=True))
    assert methods == {"Cells": "scatter", "Half": "rectangle", "Rest": "boolean", "Dim": "rectangle"}


def test_a_channel_that_no_file_has_is_refused_by_name(study: Folder) -> None:
    gating = study.gate([{"name": "All", "method": "rectangle", "bounds": {"FSC-W": {"low": 0}}}])
    assert tube(gating, "full.fcs")["reason"] == "no-channel"
    assert "FSC-W" in str(tube(gating, "full.fcs")["detail"])
    (found,) = [finding for finding in study.findings(gating) if finding.place == "panel.gates"]
    assert found.code == FindingCode.CHANNEL_MISSING
    assert found.evidence == ("nothing is measured in 2 of 2 tubes, such as full.fcs: the gates need channels that the file lacks: FSC-W")


def test_gates_may_lie_in_yaml(study: Folder) -> None:
    (study.path / "gates.yaml").write_text(YAML, encoding="utf-8")
    gating = study.gate((), "Cells", gates_file="gates.yaml")
    assert counts(gating, "full.fcs") == {"Cells": int(np.sum(draw(1, 8000, 1000)[:, 0] >= 50_000)), "Cells/Live": 0}


def test_each_tube_has_its_own_sample_of_a_workspace(study: Folder) -> None:
    def sample(name: str, number: int, low: float) -> str:
        side = f'<gating:dimension gating:min="{low}"><data-type:fcs-dimension data-type:name="FSC-A"/></gating:dimension>'
        node = f'<Population name="Cells" count="-1"><Gate><gating:RectangleGate>{side}</gating:RectangleGate></Gate></Population>'
        inside = f'<SampleNode name="{name}" count="2000"><Subpopulations>{node}</Subpopulations></SampleNode>'
        return f'<Sample><DataSet uri="file:/C:/{name}" sampleID="{number}"/>{inside}</Sample>'

    samples = sample("full.fcs", 1, 50_000.0) + sample("iso.fcs", 2, 20_000.0)
    (study.path / "work.wsp").write_text(f"{HEAD}{samples}</SampleList></Workspace>", encoding="utf-8")
    study.add("other.fcs", "isotype", draw(3))
    gating = study.gate((), "Cells", gates_file="work.wsp")
    assert counts(gating, "full.fcs") == {"Cells": int(np.sum(draw(1, 8000, 1000)[:, 0] >= 50_000))}
    assert counts(gating, "iso.fcs") == {"Cells": int(np.sum(draw(2)[:, 0] >= 20_000))}
    assert tube(gating, "other.fcs")["reason"] == "gate-failed"
    assert "no sample is called 'other.fcs'" in str(tube(gating, "other.fcs")["detail"])
    assert "differs" in gating.gates.frame["detail"][0]


def test_one_tree_of_gating_ml_still_holds_for_all(study: Folder) -> None:
    tree = GatingTree((RectangleGate("Cells", None, (Dimension("FSC-A", low=50_000.0),)),))
    (study.path / "gates.xml").write_bytes(gatingml.compose(tree))
    gating = study.gate((), "Cells", gates_file="gates.xml")
    assert counts(gating, "iso.fcs") == {"Cells": int(np.sum(draw(2)[:, 0] >= 50_000))}
    with pytest.raises(DesignError, match="'Live', which is not among the gates"):
        study.gate((), "Live", gates_file="gates.xml")


# matrices


def test_the_matrix_of_each_file_is_the_default(study: Folder) -> None:
    found = deltas(study.gate())
    assert found["CD206"] == pytest.approx(1000 + 0.25 * 8000, rel=0.05)
    assert found == deltas(study.gate(compensation="none"))


def test_a_stored_matrix_that_cannot_be_inverted_closes_its_tube_alone(study: Folder) -> None:
    same = SpilloverMatrix(("PE-A", "APC-A"), ("PE-A", "APC-A"), ((1.0, 1.0), (1.0, 1.0)))
    (study.path / "full.fcs").write_bytes(fcs.compose(draw(1, 8000, 1000), CHANNELS, spillover=same))
    gating = study.gate()
    assert set(gating.expressions.frame["reason"]) == {"no-compensation"}
    assert "cannot be inverted" in str(tube(gating, "full.fcs"))
    (found,) = [finding for finding in study.findings(gating) if finding.place == "panel.compensation"]
    assert (found.code, found.evidence.split(":")[0]) == (
        FindingCode.COMPENSATION_MISSING,
        "nothing is measured in 1 of 2 tubes, such as full.fcs",
    )
    assert counts(gating, "iso.fcs")


@pytest.mark.parametrize("name", ["matrix.csv", "matrix.xml"])
def test_a_matrix_file_of_the_study_takes_the_place_of_the_files_own(study: Folder, name: str) -> None:
    raw = spillover.compose(TRUE) if name.endswith("csv") else gatingml.compose(GatingTree((), {"m": TRUE}))
    (study.path / name).write_bytes(raw)
    found = deltas(study.gate(compensation=name))
    assert found["CD204"] == pytest.approx(8000, rel=0.05)
    assert found["CD206"] == pytest.approx(1000, rel=0.05)


def test_a_matrix_file_that_cannot_be_used_stops_the_study(study: Folder) -> None:
    with pytest.raises(DesignError, match=r"matrix.csv: there is no such file. Expected FCS, none, single_stains or a matrix file"):
        study.gate(compensation="matrix.csv")
    (study.path / "matrix.csv").write_text("PE-A,APC-A\n1,0.2\n", encoding="utf-8")
    with pytest.raises(DesignError, match="the matrix is not square"):
        study.gate(compensation="matrix.csv")
    (study.path / "matrix.csv").write_text("PE-A,FITC-A\n1,0.2\n0.1,1\n", encoding="utf-8")
    gating = study.gate(compensation="matrix.csv")
    assert tube(gating, "full.fcs")["reason"] == "no-compensation"
    assert "FITC-A, which the file lacks" in str(tube(gating, "full.fcs")["detail"])


def test_single_stains_give_the_matrix_of_their_batch(study: Folder) -> None:
    study.add("unstained.fcs", "unstained", draw(5))
    study.add("pe.fcs", "single", draw(6, 9000), "CD204")
    study.add("apc.fcs", "single", draw(7, 0, 7000), "APC-A")
    found = deltas(study.gate(compensation="single_stains"))
    assert found["CD204"] == pytest.approx(8000, rel=0.05)
    assert found["CD206"] == pytest.approx(1000, rel=0.05)


def test_a_tube_that_holds_both_sides_needs_no_unstained_one(study: Folder) -> None:
    study.add("pe.fcs", "single", np.concatenate([draw(6, 9000), draw(8)]), "CD204")
    study.add("apc.fcs", "single", np.concatenate([draw(7, 0, 7000), draw(9)]), "CD206")
    assert deltas(study.gate(compensation="single_stains"))["CD206"] == pytest.approx(1000, rel=0.05)


@pytest.mark.parametrize(
    ("stains", "why"),
    [
        ((), "batch B1 has no single stains"),
        ((("pe.fcs", draw(6, 9000), "CD204"),), "at least 100 of each"),
        ((("unstained.fcs", draw(5), None), ("pe.fcs", draw(6, 9), "CD204")), "SD above unstained ones"),
        ((("unstained.fcs", draw(5), None), ("pe.fcs", draw(6, 9000), "CD206")), "times as bright"),
        ((("unstained.fcs", draw(5), None), ("pe.fcs", draw(6, 9000), "CD999")), "'CD999' is none of the panel's markers"),
    ],
)
def test_stains_that_tell_nothing_close_the_tubes_with_a_reason(
    study: Folder, stains: Sequence[tuple[str, NDArray[np.float32], str | None]], why: str
) -> None:
    for name, events, marker in stains:
        study.add(name, "single" if marker else "unstained", events, marker)
    if why == "times as bright":
        study.add("apc.fcs", "single", draw(7, 0, 7000), "CD204")
    found = tube(study.gate(compensation="single_stains"), "full.fcs")
    assert found["reason"] == "no-compensation"
    assert why in str(found["detail"])


# controls


def test_a_kind_of_control_that_nobody_has_is_told(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.add("full.fcs", "full", draw(1, 8000, 1000))
    (found,) = [finding for finding in folder.findings(folder.gate()) if finding.code == FindingCode.CONTROL_SHARED]
    assert (found.code, found.severity.value, found.place) == (FindingCode.CONTROL_SHARED, "error", "cytometry")
    assert found.evidence == "the study has no isotype tube, which CD204, CD206 need: nothing is measured"
    folder.add("iso.fcs", "isotype", draw(2))
    assert FindingCode.CONTROL_SHARED not in [finding.code for finding in folder.findings(folder.gate())]
