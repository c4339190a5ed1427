"""A donor's tubes, composed with known cells: gates find them, delta measures them, trouble keeps its row."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from exvivo.engine import Memo, Work
from exvivo.errors import DesignError
from exvivo.formats import fcs, gatingml
from exvivo.gate import gate_specimens
from exvivo.gate.blocks import find_members, open_walk, tabulate_populations
from exvivo.study.decisions import Decision, DecisionKind, Decisions
from exvivo.study.design import Channel, Dimension, GatingTree, RectangleGate, SpilloverMatrix
from exvivo.study.geometry import describe_gate, tree_of
from exvivo.study.model import AutomaticGate, ControlKind, FlowReadout, GateMethod, Panel
from exvivo.study.protocol import Panels
from exvivo.study.run import Gating, Inputs
from exvivo.study.statuses import TubeKind
from exvivo.study.tables import CLINICAL, EVENTS, FILES, LAYOUT, QUANTIFIED, READINGS, SPECIMENS, TUBE_SHEET, VENDOR

CHANNELS = tuple(Channel(name, "", 262144.0) for name in ("Time", "FSC-A", "FSC-H", "SSC-A", "PE-A", "APC-A", "Viability-A"))
SPILL = SpilloverMatrix(
    ("PE-A", "APC-A", "Viability-A"), ("PE-A", "APC-A", "Viability-A"), ((1.0, 0.04, 0.01), (0.02, 1.0, 0.08), (0.0, 0.03, 1.0))
)
CELLS, DEBRIS, DOUBLETS, DEAD = 0, 1, 2, 3
TOP = 262_143.0
GATES = (
    AutomaticGate(name="Time", method=GateMethod.TIME, channels=("Time",)),
    AutomaticGate(name="Cells", method=GateMethod.SCATTER, channels=("FSC-A", "SSC-A"), parent="Time"),
    AutomaticGate(name="Singlets", method=GateMethod.SINGLETS, channels=("FSC-A", "FSC-H"), parent="Cells"),
    AutomaticGate(name="Live", method=GateMethod.VIABILITY, channels=("Viability-A",), parent="Singlets"),
)
RULES = Panel(gates=GATES, population="Live")
READOUTS = {
    "CD204": FlowReadout(kind="flow", label="CD204", fluorochrome="PE", channel="PE-A"),
    "CD206": FlowReadout(kind="flow", label="CD206", fluorochrome="APC", channel="APC-A"),
}


@dataclass(frozen=True)
class Recipe:
    """One tube: how bright its cells are above their own light, and what is odd about it."""

    pe: float = 0.0
    apc: float = 0.0
    autofluorescence: float = 150.0
    size: float = 1.0
    n: int = 4000
    spillover: SpilloverMatrix | None = SPILL


def draw_tube(recipe: Recipe, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Events and the class of each: cells of 90 000 in forward scatter, debris, doublets, dead cells."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(4, recipe.n, p=[0.65, 0.17, 0.06, 0.12])
    small = np.where(kind == DEBRIS, 0.07, 1.0) * np.where(kind == DEAD, 0.8, 1.0)
    noise = rng.normal(size=(2, recipe.n))
    area = 90_000 * recipe.size * small * np.exp(0.16 * noise[0]) * np.where(kind == DOUBLETS, 2.0, 1.0)
    height = area * np.where(kind == DOUBLETS, 0.55, 0.9) * np.exp(0.03 * rng.normal(size=recipe.n))
    side = 60_000 * recipe.size * small * np.exp(0.1 * noise[0] + 0.2 * noise[1])
    stain = np.column_stack([recipe.pe * np.exp(0.5 * rng.normal(size=recipe.n)), recipe.apc * np.exp(0.5 * rng.normal(size=recipe.n))])
    own = recipe.autofluorescence * np.exp(0.3 * rng.normal(size=(recipe.n, 3)))
    own[kind == DEAD, 2] += 20_000 * np.exp(0.3 * rng.normal(size=int(np.sum(kind == DEAD))))
    own[:, :2] += np.where((kind == DEBRIS)[:, None], 0.0, stain)
    seen = own @ np.array(SPILL.matrix) + rng.normal(0, 30, (recipe.n, 3))
    time = np.sort(rng.uniform(0, 60_000, recipe.n))
    stored = np.minimum(np.column_stack([time, area, height, side, seen]), TOP)
    return stored.astype(np.float32), kind


@dataclass
class StudyFolder:
    """Composes files and the tables that reading would make of them."""

    folder: Path
    tubes: list[dict[str, object]]
    specimens: list[dict[str, object]]
    events: list[dict[str, object]]

    def add_specimen(self, name: str, donor: str, state: str = "ok") -> None:
        self.specimens.append({"specimen": name, "experiment": "A", "donor": donor, "matrix": "cells", "state": state, "origin": "here"})

    def add_tube(self, name: str, specimen: str | None, kind: TubeKind, recipe: Recipe, seed: int, marker: str | None = None) -> Path:
        events, _ = draw_tube(recipe, seed)
        data = fcs.compose(events, CHANNELS, spillover=recipe.spillover, timestep=0.001)
        path = self.folder / "cytometry" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        self.events.append({"file": f"cytometry/{name}", "sha256": hashlib.sha256(data).hexdigest(), "index": 0, "events": len(events)})
        self.tubes.append({"file": name, "specimen": specimen, "tube": kind.value, "marker": marker, "origin": "here"})
        return path

    def inputs(self) -> Inputs:
        tables = {kind.name: kind.empty() for kind in (FILES, READINGS, LAYOUT, VENDOR, CLINICAL, QUANTIFIED)}
        return Inputs(
            folder=self.folder,
            specimens=SPECIMENS.from_rows(self.specimens),
            events=EVENTS.from_rows(self.events),
            tube_sheet=TUBE_SHEET.from_rows(self.tubes),
            found=(),
            blinded=False,
            **tables,
        )

    def gate(
        self,
        rules: Panel = RULES,
        decisions: Decisions | None = None,
        work: Work | None = None,
        readouts: Mapping[str, FlowReadout] = READOUTS,
    ) -> Gating:
        return gate_specimens(self.inputs(), Panels(rules, readouts), decisions or Decisions(), work or Work())


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    folder = tmp_path / "étude 1"
    folder.mkdir()
    return StudyFolder(folder, [], [], [])


@pytest.fixture
def pair(study: StudyFolder) -> StudyFolder:
    """One donor, two conditions, a full stain and an isotype each; the second has half the CD204."""
    for number, (specimen, pe) in enumerate((("S1", 4000.0), ("S2", 2000.0))):
        study.add_specimen(specimen, "D1")
        study.add_tube(f"{specimen}_full.fcs", specimen, TubeKind.FULL, Recipe(pe=pe, apc=1000), 10 * number)
        study.add_tube(f"{specimen}_iso.fcs", specimen, TubeKind.ISOTYPE, Recipe(), 10 * number + 1)
    return study


def rows_of(frame: pl.DataFrame, **wanted: str) -> list[dict[str, object]]:
    return [row for row in frame.to_dicts() if all(row[key] == value for key, value in wanted.items())]


def test_gates_find_the_living_single_cells(pair: StudyFolder) -> None:
    gating = pair.gate()
    path = pair.folder / "cytometry" / "S1_full.fcs"
    _, kind = draw_tube(Recipe(pe=4000, apc=1000), 0)
    tree = tree_of(rows_of(gating.gates.frame, donor="D1"), "cytometry/S1_full.fcs")
    walk = open_walk(path, fcs.parse(path)[0], tree)
    members = find_members(walk)
    live = members.of("Live", 0, members.n_events)
    assert np.mean(live[kind == CELLS]) > 0.93
    assert np.mean(kind[live] == CELLS) > 0.985
    counts = tabulate_populations("", walk, members, "FCS")
    assert (
        counts["count"].to_list()
        == gating.populations.frame.filter(pl.col("file") == "cytometry/S1_full.fcs").sort("path")["count"].to_list()
    )


def test_delta_is_what_was_added_and_ratio_of_deltas_the_effect(pair: StudyFolder) -> None:
    expressions = pair.gate().expressions.frame
    deltas = {str(row["specimen"]): float(str(row["delta"])) for row in rows_of(expressions, marker="CD204")}
    assert deltas["S1"] == pytest.approx(4000, rel=0.06)
    assert deltas["S2"] / deltas["S1"] == pytest.approx(0.5, rel=0.06)
    row = rows_of(expressions, marker="CD204", specimen="S1")[0]
    assert row["status"] == "measured"
    assert float(str(row["percent_positive"])) > 98
    assert float(str(row["log_delta"])) == pytest.approx(np.log(deltas["S1"]))
    assert 0.005 < float(str(row["se_log"])) < 0.03


def test_more_autofluorescence_and_bigger_cells_do_not_move_delta(study: StudyFolder) -> None:
    for specimen, light, size, seed in (("S1", 150, 1.0, 0), ("S2", 300, 1.15, 5)):
        study.add_specimen(specimen, "D1")
        study.add_tube(
            f"{specimen}f.fcs", specimen, TubeKind.FULL, Recipe(pe=800, apc=800, autofluorescence=light, size=size, n=8000), seed
        )
        study.add_tube(f"{specimen}i.fcs", specimen, TubeKind.ISOTYPE, Recipe(autofluorescence=light, size=size, n=8000), seed + 1)
    first, second = rows_of(study.gate().expressions.frame, marker="CD204")
    assert float(str(second["delta"])) / float(str(first["delta"])) == pytest.approx(1.0, abs=0.05)
    assert float(str(second["median"])) / float(str(first["median"])) > 1.1


def test_drug_that_shrinks_cells_does_not_choose_between_conditions(study: StudyFolder) -> None:
    for specimen, size, seed in (("S1", 1.0, 0), ("S2", 0.55, 5)):
        study.add_specimen(specimen, "D1")
        study.add_tube(f"{specimen}f.fcs", specimen, TubeKind.FULL, Recipe(pe=800, apc=800, size=size), seed)
        study.add_tube(f"{specimen}i.fcs", specimen, TubeKind.ISOTYPE, Recipe(size=size), seed + 1)
    retained = [float(str(row["retained_pct"])) for row in study.gate().tubes.rows()]
    assert min(retained) > 0.85 * max(retained)


def test_marker_without_signal_is_below_background_with_its_bound(study: StudyFolder) -> None:
    study.add_specimen("S1", "D1")
    study.add_tube("f.fcs", "S1", TubeKind.FULL, Recipe(autofluorescence=140), 1)
    study.add_tube("i.fcs", "S1", TubeKind.ISOTYPE, Recipe(autofluorescence=150), 2)
    (row,) = rows_of(study.gate().expressions.frame, marker="CD204")
    assert (row["status"], row["reason"], row["log_delta"], row["lower_bound"]) == ("below_background", "below-detection", None, None)
    assert float(str(row["upper_bound"])) == pytest.approx(np.log(float(str(row["detection_limit"]))))


def test_every_statistic_of_a_marker_stands_beside_delta(pair: StudyFolder) -> None:
    """PE cells are lognormal with SD 0.5 around 4,000, on a background of 150 with noise."""
    (row,) = rows_of(pair.gate().expressions.frame, marker="CD204", specimen="S1")
    value = {name: float(str(row[name])) for name in row if isinstance(row[name], float)}
    assert value["median_low"] < value["median"] < value["median_high"]
    assert value["delta_low"] < 4000 < value["delta_high"]
    assert value["delta"] == pytest.approx((value["delta_low"] + value["delta_high"]) / 2)
    assert value["robust_sd"] == pytest.approx(4000 * np.sinh(0.5), rel=0.1)
    assert value["background_sd"] == pytest.approx(np.hypot(150 * np.sinh(0.3), 32), rel=0.15)
    assert value["staining_index"] == pytest.approx(value["delta"] / value["background_sd"] / 2)
    assert value["background"] < value["threshold"] < value["median"]
    assert row["bimodal"] is False
    assert row["ratio_note"] is None


def test_two_kinds_of_cells_are_told(study: StudyFolder) -> None:
    study.add_specimen("S1", "D1")
    path = study.add_tube("f.fcs", "S1", TubeKind.FULL, Recipe(pe=800), 1)
    events, _ = draw_tube(Recipe(pe=800), 1)
    bright, _ = draw_tube(Recipe(pe=12_000), 3)
    mixed = np.vstack([events[::2], bright[1::2]])
    path.write_bytes(fcs.compose(mixed[np.argsort(mixed[:, 0], kind="stable")], CHANNELS, spillover=SPILL, timestep=0.001))
    study.add_tube("i.fcs", "S1", TubeKind.ISOTYPE, Recipe(), 2)
    rows = {str(row["marker"]): row for row in study.gate().expressions.rows()}
    assert rows["CD204"]["bimodal"] is True
    assert float(str(rows["CD204"]["valley_depth"])) > 0.5
    assert rows["CD206"]["bimodal"] is False


def test_background_that_is_not_positive_leaves_no_ratio_and_says_so(study: StudyFolder) -> None:
    study.add_specimen("S1", "D1")
    study.add_tube("f.fcs", "S1", TubeKind.FULL, Recipe(pe=4000, autofluorescence=-5), 1)
    study.add_tube("i.fcs", "S1", TubeKind.ISOTYPE, Recipe(autofluorescence=-5), 2)
    rows = study.gate().expressions.rows()
    negative = [row for row in rows if float(str(row["background"])) <= 0]
    assert negative
    assert {(row["ratio"], row["ratio_note"]) for row in negative} == {(None, "background-not-positive")}


def test_gates_do_not_depend_on_names_or_order(pair: StudyFolder) -> None:
    first = pair.gate()
    pair.tubes.reverse()
    pair.specimens.reverse()
    pair.events.reverse()
    second = pair.gate()
    for name in ("gates", "populations", "tubes", "expressions", "gating_variance", "sketches"):
        assert getattr(first, name).frame.equals(getattr(second, name).frame), name


def test_a_result_is_remembered_and_a_changed_rule_computes_again(pair: StudyFolder, tmp_path: Path) -> None:
    work = Work(memo=Memo(tmp_path / "memo"))
    first = pair.gate(work=work)
    again = pair.gate(work=work)
    assert (work.computed["gating"], work.reused["gating"]) == (1, 1)
    assert first.expressions.frame.equals(again.expressions.frame)
    pair.gate(RULES.model_copy(update={"min_events": 300}), work=work)
    assert work.computed["gating"] == 2


def spoil_control(study: StudyFolder) -> None:
    study.tubes[1]["tube"] = "unstained"


def spoil_file(study: StudyFolder) -> None:
    del study.events[0]


def lose_file(study: StudyFolder) -> None:
    (study.folder / "cytometry" / "S1_full.fcs").unlink()
    del study.events[0]


def repeat_tube(study: StudyFolder) -> None:
    study.add_tube("again.fcs", "S1", TubeKind.FULL, Recipe(pe=4000, apc=1000), 99)


def lose_specimen(study: StudyFolder) -> None:
    study.specimens[0]["state"] = "lost"


def few_events(study: StudyFolder) -> None:
    study.tubes, study.events = study.tubes[1:], study.events[1:]
    study.add_tube("few.fcs", "S1", TubeKind.FULL, Recipe(pe=4000, n=200), 99)


def no_compensation(study: StudyFolder) -> None:
    study.tubes, study.events = study.tubes[1:], study.events[1:]
    study.add_tube("raw.fcs", "S1", TubeKind.FULL, Recipe(pe=4000, spillover=None), 99)


@pytest.mark.parametrize(
    ("spoil", "status", "reason"),
    [
        (spoil_control, "refused", "no-control"),
        (spoil_file, "refused", "file-unreadable"),
        (lose_file, "missing", "no-file"),
        (repeat_tube, "refused", "tube-repeated"),
        (lose_specimen, "missing", "specimen-lost"),
        (few_events, "too_few_events", "too-few-events"),
        (no_compensation, "refused", "no-compensation"),
    ],
)
def test_trouble_keeps_its_row_and_its_reason(pair: StudyFolder, spoil: Callable[[StudyFolder], None], status: str, reason: str) -> None:
    spoil(pair)
    gating = pair.gate()
    (row,) = rows_of(gating.expressions.frame, marker="CD204", specimen="S1")
    assert (row["status"], row["reason"], row["log_delta"]) == (status, reason, None)
    assert gating.expressions.height == 4
    assert gating.tubes.height == len(pair.tubes)
    assert rows_of(gating.expressions.frame, marker="CD204", specimen="S2")[0]["status"] == "measured"


@pytest.mark.parametrize("listed", ["/data/x.fcs", "S1_[f]ull.fcs", "**"])
def test_an_absent_file_may_have_any_name(pair: StudyFolder, listed: str) -> None:
    pair.tubes.append(pair.tubes[0] | {"file": listed, "specimen": "S2"})
    (row,) = rows_of(pair.gate().tubes.frame, file=listed)
    assert (row["status"], row["reason"]) == ("missing", "no-file")


def decide(kind: str, name: str) -> Decisions:
    return Decisions((Decision(1, "2026-01-01T00:00:00Z", "anna", DecisionKind.EXCLUDE, f"{kind}:{name}", "", "clot", ""),))


@pytest.mark.parametrize(("kind", "name"), [("file", "S1_full.fcs"), ("file", "cytometry/S1_full.fcs"), ("specimen", "S1")])
def test_exclusions_keep_their_rows(pair: StudyFolder, kind: str, name: str) -> None:
    gating = pair.gate(decisions=decide(kind, name))
    (row,) = rows_of(gating.expressions.frame, marker="CD206", specimen="S1")
    assert (row["status"], row["reason"], json.loads(str(row["detail"]))) == ("refused", "excluded", {"decision": 1})
    assert "excluded" in gating.tubes.frame["reason"].to_list()


def test_tube_of_nobody_is_listed(pair: StudyFolder) -> None:
    pair.add_tube("beads.fcs", None, TubeKind.SINGLE, Recipe(), 50)
    (row,) = rows_of(pair.gate().tubes.frame, file="cytometry/beads.fcs")
    assert (row["status"], row["reason"], row["donor"]) == ("missing", "tube-unlinked", None)


def test_clog_is_cut_out_by_its_own_tube_only(pair: StudyFolder) -> None:
    path = pair.folder / "cytometry" / "S1_full.fcs"
    events, _ = draw_tube(Recipe(pe=4000, apc=1000), 0)
    burst = events[:2000].copy()
    burst[:, 0] = np.linspace(59_000, 59_400, len(burst))
    path.write_bytes(fcs.compose(np.vstack([events, burst]), CHANNELS, spillover=SPILL, timestep=0.001))
    gating = pair.gate()
    kept = {str(row["file"]): float(str(row["percent_of_parent"])) for row in rows_of(gating.populations.frame, path="Time")}
    assert kept["cytometry/S1_full.fcs"] < 70
    assert min(share for file, share in kept.items() if "S1_full" not in file) > 97


def test_scatter_at_the_ceiling_or_at_zero_is_not_measured(pair: StudyFolder) -> None:
    path = pair.folder / "cytometry" / "S1_full.fcs"
    events, _ = draw_tube(Recipe(pe=4000, apc=1000), 0)
    events[::20, 1] = TOP
    events[7::40, 3] = 0
    inside = int(np.sum(np.all((events[:, 1:4] > 0) & (events[:, 1:4] < TOP), axis=1)))
    assert inside < 3701
    path.write_bytes(fcs.compose(events, CHANNELS, spillover=SPILL, timestep=0.001))
    gating = pair.gate()
    (row,) = rows_of(gating.populations.frame, path="Time", file="cytometry/S1_full.fcs")
    assert row["count"] == inside
    tree = tree_of(rows_of(gating.gates.frame, donor="D1"), "cytometry/S1_full.fcs")
    assert find_members(open_walk(path, fcs.parse(path)[0], tree)).counts["Time"] == inside


def test_gates_that_cannot_be_found_are_told(study: StudyFolder) -> None:
    study.add_specimen("S1", "D1")
    study.add_tube("f.fcs", "S1", TubeKind.FULL, Recipe(n=60), 1)
    gating = study.gate()
    (row,) = gating.tubes.rows()
    assert (row["status"], row["reason"], json.loads(str(row["detail"]))["gate"]) == ("refused", "gate-failed", "Cells")


def test_missing_channel_is_told(pair: StudyFolder) -> None:
    absent = {"CD204": READOUTS["CD204"].model_copy(update={"channel": "BV605-A"})}
    assert {row["reason"] for row in pair.gate(readouts=absent).expressions.rows()} == {"no-channel"}
    rules = RULES.model_copy(update={"gates": (GATES[0].model_copy(update={"channels": ("Clock",)}), *GATES[1:])})
    assert {row["reason"] for row in pair.gate(rules).tubes.rows()} == {"no-channel"}


def test_fmo_control_is_the_one_without_the_marker(pair: StudyFolder) -> None:
    pair.add_tube("fmo_pe.fcs", "S1", TubeKind.FMO, Recipe(apc=1000, autofluorescence=400), 70, marker="cd-204")
    readouts = {name: readout.model_copy(update={"control": ControlKind.FMO}) for name, readout in READOUTS.items()}
    rows = {str(row["marker"]): row for row in rows_of(pair.gate(readouts=readouts).expressions.frame, specimen="S1")}
    assert rows["CD204"]["control_file"] == "cytometry/fmo_pe.fcs"
    assert rows["CD206"]["reason"] == "no-control"


def test_gate_file_takes_the_place_of_automatic_gates(pair: StudyFolder) -> None:
    tree = GatingTree((RectangleGate("Live", None, (Dimension("FSC-A", low=50_000.0), Dimension("Viability-A", "FCS", high=3000.0))),))
    (pair.folder / "gates.xml").write_bytes(gatingml.compose(tree))
    rules = RULES.model_copy(update={"gates_file": "gates.xml"})
    gating = pair.gate(rules)
    assert [row["method"] for row in gating.gates.rows()] == ["file"]
    assert tree_of(gating.gates.rows(), "any") == tree
    assert {row["status"] for row in gating.expressions.rows()} == {"measured"}
    with pytest.raises(DesignError, match="no such file"):
        pair.gate(RULES.model_copy(update={"gates_file": "other.xml"}))
    with pytest.raises(DesignError, match=r"panel\.population"):
        pair.gate(rules.model_copy(update={"population": "Cells"}))


def test_gating_variance_is_small_where_populations_are_clear(pair: StudyFolder) -> None:
    rows = {str(row["marker"]): row for row in pair.gate().gating_variance.rows()}
    assert set(rows) == {"CD204", "CD206"}
    assert all(0 <= float(str(row["variance"])) < 0.02**2 and row["refits"] == 4 for row in rows.values())


def test_sketches_hold_the_events_and_the_outline(pair: StudyFolder) -> None:
    sketches = {str(row["gate"]): row for row in pair.gate().sketches.rows()}
    assert list(sketches) == ["Cells", "Live", "Singlets", "Time"]
    counts = np.array(json.loads(str(sketches["Time"]["counts"])))
    assert counts.shape == (64, 64)
    assert counts.sum() > 0.99 * 4 * 4000
    assert all(len(json.loads(str(row["outline"]))) >= 3 for row in sketches.values())


def test_study_without_a_panel_has_empty_tables(study: StudyFolder) -> None:
    gating = gate_specimens(study.inputs(), Panels(None, {}), Decisions(), Work())
    assert gating.expressions.height == 0


def move(donor: str, gate: str, geometry: str) -> Decisions:
    return Decisions((Decision(1, "2026-01-01T00:00:00Z", "anna", DecisionKind.MOVE_GATE, f"gate:{donor}/{gate}", geometry, "dead", ""),))


def test_a_moved_gate_holds_for_its_donor_alone(pair: StudyFolder, tmp_path: Path) -> None:
    pair.add_specimen("S3", "D2")
    pair.add_tube("S3_full.fcs", "S3", TubeKind.FULL, Recipe(pe=3000), 71)
    pair.add_tube("S3_iso.fcs", "S3", TubeKind.ISOTYPE, Recipe(), 72)
    work = Work(memo=Memo(tmp_path / "memo"))
    before = pair.gate(work=work)
    (drawn,) = rows_of(before.gates.frame, donor="D1", gate="Live")
    geometry = json.loads(str(drawn["geometry"]))
    geometry["bounds"] = [[None, geometry["bounds"][0][1] - 0.2]]
    after = pair.gate(decisions=move("D1", "Live", json.dumps(geometry)), work=work)
    assert work.computed["gating"] == 3
    (moved,) = rows_of(after.gates.frame, donor="D1", gate="Live")
    assert (moved["method"], moved["detail"]) == ("decision", '{"decision": 1}')
    assert json.loads(str(moved["geometry"])) == geometry
    assert rows_of(before.gates.frame, donor="D2") == rows_of(after.gates.frame, donor="D2")
    counts = [{str(row["specimen"]): int(str(row["count"])) for row in one.expressions.rows()} for one in (before, after)]
    assert counts[1]["S1"] < counts[0]["S1"]
    assert counts[1]["S2"] < counts[0]["S2"]
    assert counts[1]["S3"] == counts[0]["S3"]
    assert all(float(str(row["variance"])) >= 0 for row in rows_of(after.gating_variance.frame, donor="D1"))


def test_a_gate_of_a_gate_file_can_be_moved_and_an_unknown_one_cannot(pair: StudyFolder) -> None:
    gate = RectangleGate("Live", None, (Dimension("Viability-A", "FCS", high=3000.0),))
    (pair.folder / "gates.xml").write_bytes(gatingml.compose(GatingTree((gate,))))
    rules = RULES.model_copy(update={"gates_file": "gates.xml"})
    lower = describe_gate(RectangleGate("Live", None, (Dimension("Viability-A", "FCS", high=250.0),)))
    gating = pair.gate(rules, decisions=move("D1", "Live", lower))
    assert [(row["method"], row["geometry"]) for row in gating.gates.rows()] == [("decision", lower)]
    before = {str(row["file"]): int(str(row["count"])) for row in pair.gate(rules).populations.rows()}
    assert all(int(str(row["count"])) < before[str(row["file"])] for row in gating.populations.rows())
    with pytest.raises(DesignError, match="decision 1 moves gate 'Other'"):
        pair.gate(rules, decisions=move("D1", "Other", lower))
