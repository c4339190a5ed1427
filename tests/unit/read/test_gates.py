"""Which gates of a workspace go with which FCS file, and what stands beside their counts."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from exvivo.cli import main
from exvivo.errors import DesignError, InputError
from exvivo.formats import fcs
from exvivo.pipeline import GatingChoice, gate_files
from exvivo.read.gates import read_gates, read_sample_gates
from exvivo.study.design import Channel

HEAD = (
    '<Workspace flowJoVersion="10.8.1" xmlns:gating="http://www.isac-net.org/std/Gating-ML/v2.0/gating" '
    'xmlns:transforms="http://www.isac-net.org/std/Gating-ML/v2.0/transformations" '
    'xmlns:data-type="http://www.isac-net.org/std/Gating-ML/v2.0/datatypes"><SampleList>'
)


def gate(low: float, channel: str = "A") -> str:
    side = f'<gating:dimension gating:min="{low}"><data-type:fcs-dimension data-type:name="{channel}"/></gating:dimension>'
    return f"<Gate><gating:RectangleGate>{side}</gating:RectangleGate></Gate>"


def matrix(channel: str) -> str:
    return (
        '<transforms:spilloverMatrix prefix="Comp-" suffix=""><data-type:parameters><data-type:parameter data-type:name="A"/>'
        f'<data-type:parameter data-type:name="{channel}"/></data-type:parameters>'
        '<transforms:spillover data-type:parameter="A"><transforms:coefficient data-type:parameter="A" transforms:value="1"/>'
        f'<transforms:coefficient data-type:parameter="{channel}" transforms:value="0.5"/></transforms:spillover>'
        f'<transforms:spillover data-type:parameter="{channel}"><transforms:coefficient data-type:parameter="A" transforms:value="0"/>'
        f'<transforms:coefficient data-type:parameter="{channel}" transforms:value="1"/></transforms:spillover>'
        "</transforms:spilloverMatrix>"
    )


def sample(name: str, number: int, shape: str, counts: tuple[int, int] = (100, 40), before: str = "") -> str:
    return (
        f'<Sample><DataSet uri="file:/C:/{name}" sampleID="{number}"/>{before}<SampleNode name="{name}" count="{counts[0]}">'
        f'<Subpopulations><Population name="High" count="{counts[1]}">{shape}</Population></Subpopulations></SampleNode></Sample>'
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files a.fcs and b.fcs of 100 events: A climbs from 0 to 99, B is half of it."""
    events = np.column_stack([np.arange(100), np.arange(100) / 2]).astype(np.float32)
    for name in ("a.fcs", "b.fcs"):
        (tmp_path / name).write_bytes(fcs.compose(events, [Channel("A", "", 1000.0), Channel("B", "", 1000.0)]))
    return tmp_path


def workspace(folder: Path, *samples: str) -> Path:
    path = folder / "work.wsp"
    path.write_text(f"{HEAD}{''.join(samples)}</SampleList></Workspace>", encoding="utf-8")
    return path


def gated(folder: Path, gates: Path, *names: str, chosen: str | None = None) -> tuple[pl.DataFrame, list[str]]:
    written = gate_files([folder / name for name in names or ("a.fcs",)], gates, folder / "out", GatingChoice(sample=chosen, pages=False))
    return pl.read_csv(folder / "out" / "populations.csv"), [str(row["evidence"]) for row in written.findings.rows()]


def test_every_file_has_the_gates_of_its_sample(folder: Path) -> None:
    gates = workspace(folder, sample("b.fcs", 1, gate(90), counts=(100, 10)), sample("a.fcs", 2, gate(60)))
    table, told = gated(folder, gates, "a.fcs", "b.fcs")
    assert table.select("file", "path", "count", "stored_count").rows() == [("a.fcs", "High", 40, 40), ("b.fcs", "High", 10, 10)]
    assert told == []


def test_sample_is_chosen_by_name_or_number(folder: Path) -> None:
    gates = workspace(folder, sample("x.fcs", 1, gate(90)), sample("y.fcs", 2, gate(60)))
    assert gated(folder, gates, chosen="y.fcs")[0]["count"].to_list() == [40]
    assert gated(folder, gates, chosen="1")[0]["count"].to_list() == [10]


def test_file_without_a_sample_is_refused_with_the_list(folder: Path) -> None:
    gates = workspace(folder, sample("x.fcs", 1, gate(90)), sample("y.fcs", 2, gate(60)))
    with pytest.raises(InputError, match=r"no sample is called 'a.fcs'.*'x.fcs' \(number 1\), 'y.fcs' \(number 2\)"):
        gated(folder, gates)


def test_file_with_two_samples_is_refused_until_a_number_is_given(folder: Path) -> None:
    gates = workspace(folder, sample("a.fcs", 1, gate(90)), sample("a.fcs", 2, gate(60)))
    with pytest.raises(InputError, match=r"2 samples are called 'a.fcs': 'a.fcs' \(number 1\), 'a.fcs' \(number 2\)"):
        gated(folder, gates)
    assert gated(folder, gates, chosen="2")[0]["count"].to_list() == [40]


def test_a_gate_that_is_left_out_is_told(folder: Path) -> None:
    odd = '<Population name="Odd"><Gate><gating:CurlyQuad/></Gate></Population></Subpopulations>'
    both = sample("a.fcs", 2, gate(60)).replace("</Subpopulations>", odd)
    table, told = gated(folder, workspace(folder, both))
    assert table["path"].to_list() == ["High"]
    assert len(told) == 1
    assert "Odd" in told[0]
    assert "CurlyQuad" in told[0]


def test_faults_of_other_samples_do_not_matter(folder: Path) -> None:
    broken = sample("b.fcs", 1, "<Gate><gating:CurlyQuad/></Gate>")
    gates = workspace(folder, broken, sample("a.fcs", 2, gate(60)))
    assert gated(folder, gates)[0]["count"].to_list() == [40]
    with pytest.raises(InputError, match=r"sample 'b.fcs'.*CurlyQuad"):
        gated(folder, gates, "a.fcs", "b.fcs")


def test_stored_counts_of_another_number_of_events_are_left_out(folder: Path) -> None:
    table, (told,) = gated(folder, workspace(folder, sample("a.fcs", 1, gate(60), counts=(99, 40))))
    assert table["stored_count"].to_list() == [None]
    assert "had 99 events when its gates were saved and the file has 100" in told


@pytest.mark.parametrize(("stored", "words"), [(45, []), (70, ["High has 40 events here and 70 in the gate file"]), (-1, []), (0, [])])
def test_counts_that_differ_by_more_than_chance_are_told(folder: Path, stored: int, words: list[str]) -> None:
    _, told = gated(folder, workspace(folder, sample("a.fcs", 1, gate(60), counts=(100, stored))))
    assert told == words


def test_medians_are_compensated_as_the_workspace_says(folder: Path) -> None:
    gates = workspace(folder, sample("a.fcs", 1, gate(0.25, "Comp-B"), counts=(100, -1), before=matrix("B")))
    table, _ = gated(folder, gates)
    assert table["count"].to_list() == [0]  # B is all spillover of A
    gates = workspace(folder, sample("a.fcs", 1, gate(0.25, "B"), counts=(100, -1), before=matrix("B")))
    table, _ = gated(folder, gates)
    assert table.select("count", "median_A", "median_B").rows() == [(99, 50.0, 0.0)]


def test_compensation_of_another_panel_is_refused(folder: Path) -> None:
    gates = workspace(folder, sample("a.fcs", 1, gate(60), before=matrix("C")))
    with pytest.raises(DesignError, match=r"compensation of sample 'a.fcs' needs the channels C"):
        gated(folder, gates)


def test_command_says_what_is_wrong(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gates = workspace(folder, sample("x.fcs", 1, gate(60)))
    call = ["gate", str(folder / "a.fcs"), "--gates", str(gates), "--out", str(folder / "out")]
    assert main(call) == 1
    assert "no sample is called 'a.fcs'" in capsys.readouterr().err
    assert main([*call, "--sample", "x.fcs"]) == 0


def test_workspace_is_no_gating_ml_and_gating_ml_has_no_samples(folder: Path) -> None:
    with pytest.raises(InputError, match="outermost element is Workspace"):
        read_gates(workspace(folder, sample("a.fcs", 1, gate(60))))
    space = "http://www.isac-net.org/std/Gating-ML/v2.0/gating"
    (folder / "gates.xml").write_text(f'<g:Gating-ML xmlns:g="{space}"/>', encoding="utf-8")
    with pytest.raises(InputError, match="only workspaces and experiments hold samples"):
        read_sample_gates(folder / "gates.xml", [folder / "a.fcs"], "x")
    with pytest.raises(InputError, match="there is no such file"):
        read_sample_gates(folder / "gate.xml", [folder / "a.fcs"])


def test_gates_of_a_workspace_are_written_as_gating_ml(folder: Path) -> None:
    gates = workspace(folder, sample("a.fcs", 1, gate(60)), sample("b.fcs", 2, gate(90)))
    written = GatingChoice(pages=False, gating_ml=folder / "standard")
    gate_files([folder / "a.fcs", folder / "b.fcs"], gates, folder / "out", written)
    table, _ = gated(folder, folder / "standard" / "b.fcs.xml", "a.fcs", "b.fcs")
    assert table["count"].to_list() == [10, 10]
