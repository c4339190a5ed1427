"""Beads of a session beside its tubes: known molecules come back, what the beads cannot say is left empty and told."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from exvivo.cli import main
from exvivo.errors import DesignError
from exvivo.formats import fcs
from exvivo.gate.beads import CalibratedChannel, calibrate_beads, convert_delta, judge_beads, tabulate_beads
from exvivo.pipeline import GatingChoice, Written, gate_files
from exvivo.simulate.beads import AUTOFLUORESCENCE, compose_bead_tube
from exvivo.study.cytometry import BeadSet
from exvivo.study.design import Channel

KNOWN = (0.0, 7000.0, 20_000.0, 60_000.0, 170_000.0, 480_000.0, 1_400_000.0, 2_900_000.0)
PER_UNIT = 20.0
GATES = """<gating:Gating-ML xmlns:gating="http://www.isac-net.org/std/Gating-ML/v2.0/gating"
  xmlns:data-type="http://www.isac-net.org/std/Gating-ML/v2.0/datatypes">
  <gating:RectangleGate gating:id="All"><gating:dimension gating:compensation-ref="uncompensated" gating:min="-1e9">
  <data-type:fcs-dimension data-type:name="PE-A"/></gating:dimension></gating:RectangleGate></gating:Gating-ML>"""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Beads, their table, gates, and a tube whose PE-A median is 1000 and FITC-A median 0."""
    folder = tmp_path_factory.mktemp("session")
    data = compose_bead_tube({"FITC-A": KNOWN, "PE-A": KNOWN}, PER_UNIT, 2000, np.random.default_rng(1))
    (folder / "beads.fcs").write_bytes(data)
    (folder / "gates.xml").write_text(GATES, encoding="utf-8")
    (folder / "beads.csv").write_text(f"file,channel,values\nbeads.fcs,PE-A,{';'.join(map(str, KNOWN))}\n", encoding="utf-8")
    write_tube(folder / "tube.fcs", 450.0)
    return folder


def write_tube(path: Path, voltage: float) -> None:
    events = np.column_stack([np.arange(-50, 51), np.arange(950, 1051)]).astype(np.float32)
    channels = [Channel(name, "", 262144.0, volts) for name, volts in (("FITC-A", 450.0), ("PE-A", voltage))]
    path.write_bytes(fcs.compose(events, channels))


def calibrated(folder: Path, *values: float | None) -> CalibratedChannel:
    (one,) = calibrate_beads([BeadSet("beads.fcs", folder / "beads.fcs", {"PE-A": values or KNOWN})])
    return one


def run(folder: Path, out: Path, tube: str = "tube.fcs") -> tuple[Written, pl.DataFrame]:
    written = gate_files([folder / tube], folder / "gates.xml", out, GatingChoice(pages=False, beads=folder / "beads.csv"))
    return written, pl.read_csv(out / "populations.csv")


def test_known_molecules_are_recovered_within_one_per_cent(session: Path) -> None:
    one = calibrated(session)
    assert one.conversion is not None
    signals = np.array([500.0, 1000.0, 5000.0, 20_000.0, 100_000.0])
    assert one.conversion.convert(signals) == pytest.approx(PER_UNIT * signals, rel=0.01)
    assert one.conversion.autofluorescence == pytest.approx(AUTOFLUORESCENCE, rel=0.2)
    assert [peak.fate.value for peak in one.peaks[1:]] == ["used"] * 7
    assert judge_beads([one]) == ()


def test_medians_are_given_in_molecules(session: Path, tmp_path: Path) -> None:
    written, table = run(session, tmp_path)
    assert [path.name for path in written.files] == ["populations.csv", "beads.csv", "bead_peaks.csv", "miflowcyt.csv", "findings.csv"]
    (mesf,) = table["mesf_PE-A"].to_list()
    assert mesf == pytest.approx(1000 * PER_UNIT, rel=0.01)
    assert "mesf_FITC-A" not in table.columns
    (fit,) = pl.read_csv(tmp_path / "beads.csv").iter_rows(named=True)
    assert (fit["channel"], fit["status"], fit["file"], fit["voltage"]) == ("PE-A", "calibrated", "beads.fcs", 450.0)
    assert fit["slope"] == pytest.approx(1.0, abs=4 * fit["slope_se"])
    assert pl.read_csv(tmp_path / "bead_peaks.csv")["known"].to_list() == list(KNOWN)


def test_tube_at_another_voltage_is_not_converted(session: Path, tmp_path: Path) -> None:
    write_tube(session / "other.fcs", 400.0)
    written, table = run(session, tmp_path, "other.fcs")
    assert table["mesf_PE-A"].to_list() == [None]
    (finding,) = written.findings.rows()
    assert (finding["code"], finding["place"]) == ("voltage-differs", "other.fcs")
    assert "PE-A at 400 V" in str(finding["evidence"])


def test_another_number_of_populations_is_told_with_the_peaks_of_each_channel(session: Path) -> None:
    with pytest.raises(DesignError, match=r"no channel shows 6 populations of beads; peaks by channel: FITC-A 8, PE-A 8\."):
        calibrated(session, *KNOWN[:6])


def test_file_of_few_events_is_refused(session: Path) -> None:
    with pytest.raises(DesignError, match=r"tube\.fcs: 101 events\. Expected 200 or more"):
        calibrate_beads([BeadSet("tube.fcs", session / "tube.fcs", {"PE-A": KNOWN})])


def test_beads_without_scatter_channels_are_calibrated_as_they_are(session: Path, tmp_path: Path) -> None:
    record = fcs.parse(session / "beads.fcs")[0]
    events = fcs.read_events(session / "beads.fcs", record)[:, 3:]
    (tmp_path / "plain.fcs").write_bytes(fcs.compose(events.astype(np.float32), record.channels[3:]))
    (one,) = calibrate_beads([BeadSet("plain.fcs", tmp_path / "plain.fcs", {"PE-A": KNOWN})])
    assert one.conversion is not None
    assert one.conversion.convert(np.array([5000.0]))[0] == pytest.approx(5000 * PER_UNIT, rel=0.01)


def test_channel_that_the_file_lacks_is_told(session: Path) -> None:
    with pytest.raises(DesignError, match="unknown channel 'PE'"):
        calibrate_beads([BeadSet("beads.fcs", session / "beads.fcs", {"PE": KNOWN})])


def test_values_of_other_beads_are_refused(session: Path) -> None:
    one = calibrated(session, 0.0, 7000.0, 40_000.0, 60_000.0, 170_000.0, 480_000.0, 1_400_000.0, 2_900_000.0)
    assert (one.conversion, one.reason) == (None, "residual-large")
    (finding,) = judge_beads([one])
    assert finding.code == "beads-refused"
    assert convert_delta(one, (1000.0, 10.0), (100.0, 5.0)) is None
    (row,) = tabulate_beads([one])[0].rows()
    assert row["status"] == "refused"
    assert row["slope"] is not None


def test_three_usable_populations_are_needed(session: Path) -> None:
    one = calibrated(session, None, None, None, None, None, None, 1_400_000.0, 2_900_000.0)
    assert (one.fit, one.reason) == (None, "few-populations")
    (finding,) = judge_beads([one])
    assert "2 of 8 populations can be used" in finding.evidence
    assert "1 unknown" in finding.evidence or "1 dim" in finding.evidence


def test_slope_far_from_one_is_told_and_differences_are_not_converted(session: Path) -> None:
    bent = [value**1.2 for value in KNOWN]
    one = calibrated(session, *bent)
    assert one.conversion is not None
    assert one.conversion.slope == pytest.approx(1.2, abs=0.03)
    assert [finding.code for finding in judge_beads([one])] == ["beads-slope"]
    assert convert_delta(one, (1000.0, 10.0), (100.0, 5.0)) is None


def test_difference_is_converted_with_its_error(session: Path) -> None:
    converted = convert_delta(calibrated(session), (2300.0, 20.0), (300.0, 5.0))
    assert converted is not None
    assert converted[0] == pytest.approx(2000 * PER_UNIT, rel=0.01)
    assert converted[1] == pytest.approx(np.hypot(20, 5) * PER_UNIT, rel=0.3)


def test_command_takes_beads(session: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["gate", str(session / "tube.fcs"), "--gates", str(session / "gates.xml"), "--out", str(tmp_path)]
    assert main([*call, "--beads", str(session / "beads.csv")]) == 0
    assert "bead_peaks.csv" in capsys.readouterr().out
    assert main([*call, "--beads", str(session / "none.csv")]) == 1
    assert "no such file" in capsys.readouterr().err
