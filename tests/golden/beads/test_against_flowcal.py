"""Real calibration beads beside FlowCal 1.3.1 (MIT), whose printed medians and parameters stand here.

Made with ``FlowCal.io.FCSData``, ``transform.to_rfi``, ``gate.high_low`` and ``gate.density2d`` of the scatter channels, then
``mef.get_transform_fxn`` with its Gaussian mixture over the channels listed under each file and ``numpy.random.seed(0)``, numpy 1.26.4.
Values of the beads: those of FlowCal's own example, and those that cytoflow lists for SpheroTech RCP-30-5A, lots AA01 to AC01. They need
not be those of the lot in the file: both programs get the same.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from exvivo.formats import fcs
from exvivo.numerics.beads import Conversion, Fate, Peak, find_populations, fit_conversion, select_singlets, summarise_peaks
from exvivo.pipeline import GatingChoice, gate_files
from exvivo.study.design import Channel

Known = tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Peer:
    """What FlowCal printed for one channel: medians of the populations that it used, slope, intercept, autofluorescence."""

    known: Known
    medians: tuple[float, ...]
    slope: float
    intercept: float
    autofluorescence: float


FLOWCAL = "cytometry/flowcal/Data003.fcs"  # gate_fraction 0.6, mixture over FL1, FL2, FL3
TASBE = "cytometry/mesf_tasbe/beads.fcs"  # gate_fraction 0.74, mixture over PE-Tx-Red-YG-A, Pacific Blue-A, PerCP-Cy5-5-A
FL1 = Peer(
    (0, 646, 1704, 4827, 15991, 47609, 135896, 273006),
    (2.48, 4.179, 7.105, 15.679, 36.19, 89.769, 257.132, 518.613),
    1.0988898330565815, 5.724536909934333, 844.8265732788997,
)  # fmt: skip
FL2 = Peer(
    (None, 1504, 4819, 12506, 36159, 109588, 250892, None),
    (3.889, 11.342, 35.866, 85.821, 257.132, 813.123),
    0.9353337002913129, 6.267909745300728, 392.5485621059781,
)  # fmt: skip
FL3 = Peer(
    (0, 1614, 4035, 12025, 31896, 95682, 353225, 1077421),
    (2.943, 8.354, 25.713, 63.78, 196.322, 661.169, 1843.423),
    1.0146976035593218, 6.178698052590676, 0.0,
)  # fmt: skip
PE_TEXAS_RED = Peer(
    (None, 207, 750, 2198, 6063, 12887, 51686, 170219),
    (87.4, 227.24, 715.76, 1575.96, 6019.56, 17623.06),
    1.0060604736116159, 2.136410347094773, 0.0,
)  # fmt: skip
PACIFIC_BLUE = Peer(
    (None, 700, 1705, 4262, 17546, 35669, 133387, 412089),
    (24.8, 66.4, 230.4, 460.8, 1432.8, 3104.0),
    1.127782289689023, 3.685831912832983, 0.0,
)  # fmt: skip
SATURATED = "cytometry/flowcal/Data001.fcs"  # gate_fraction 0.6, mixture over FL1-H, FL2-H, FL3-H
FL1_DIM = Peer(FL1.known, (2.458, 5.882, 13.824, 41.418, 81.312), 0.9712634274498589, 8.257992006747845, 4547.155882408074)
FL2_BRIGHT = Peer(FL2.known, (271.39, 777.365, 2226.672, 5777.218), 0.9970123647509747, 1.8308313312204763, 149.52389853345892)
FITC: Known = (None, 692, 2192, 6028, 17493, 35674, 126907, 290983)


def ends(channel: Channel) -> tuple[float, float]:
    decades, offset = channel.amplification
    return (offset, offset * 10 ** (decades * (channel.range - 1) / channel.range)) if decades else (0.0, channel.range - 1)


def peaks_of(path: Path, scatter: tuple[str, str], known: dict[str, Known]) -> dict[str, tuple[Peak, ...]]:
    record = fcs.parse(path)[0]
    channels = {channel.name: (index, channel) for index, channel in enumerate(record.channels)}
    events = fcs.read_events(path, record).astype(np.float64)
    events = events[select_singlets(events[:, [channels[name][0] for name in scatter]])]
    columns = [channels[name][0] for name in known]
    floors = np.array([ends(channels[name][1])[0] for name in known])
    populations, _ = find_populations(events[:, columns], floors, 8)
    assert populations is not None
    return {
        name: summarise_peaks(events[:, channels[name][0]], populations.labels, values, *ends(channels[name][1]))
        for name, values in known.items()
    }


def used(peaks: tuple[Peak, ...], known: Known) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    pairs = [(peak.median, value) for peak, value in zip(peaks, known, strict=True) if peak.fate is Fate.USED]
    return np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs], dtype=np.float64)


def apart(ours: Conversion, peer: Peer) -> NDArray[np.float64]:
    """Molecules by our curve over those by the peer's, minus one, at the populations that it used."""
    medians = np.array(peer.medians)
    return ours.convert(medians) / (math.exp(peer.intercept) * medians**peer.slope) - 1.0


@pytest.mark.parametrize("peer", [FL1, FL2, FL3, PE_TEXAS_RED, PACIFIC_BLUE])
def test_curve_through_the_same_medians_is_the_same(peer: Peer) -> None:
    values = np.array([value for value in peer.known if value is not None], dtype=np.float64)[-len(peer.medians) :]
    ours = fit_conversion(np.array(peer.medians), values)
    assert ours.slope == pytest.approx(peer.slope, abs=1e-4)
    assert ours.intercept == pytest.approx(peer.intercept, abs=1e-3)
    assert ours.autofluorescence == pytest.approx(peer.autofluorescence, abs=0.5)
    assert np.abs(apart(ours, peer)).max() < 2e-4


@pytest.mark.parametrize(("channel", "peer", "most"), [("FL1", FL1, 0.001), ("FL2", FL2, 0.01), ("FL3", FL3, 0.005)])
def test_eight_populations_on_a_log_amplifier(shared_data: Path, channel: str, peer: Peer, most: float) -> None:
    known = {"FL1": FL1.known, "FL2": FL2.known, "FL3": FL3.known}
    peaks = peaks_of(shared_data / FLOWCAL, ("FSC", "SSC"), known)[channel]
    medians, values = used(peaks, peer.known)
    assert len(medians) == len(peer.medians)
    assert medians == pytest.approx(peer.medians, rel=0.01)
    assert np.abs(apart(fit_conversion(medians, values), peer)).max() < most


def test_dim_end_of_a_log_amplifier_is_not_used(shared_data: Path) -> None:
    peaks = peaks_of(shared_data / FLOWCAL, ("FSC", "SSC"), {"FL1": FL1.known, "FL2": FL2.known, "FL3": FL3.known})
    assert [name for name, each in peaks.items() if each[0].fate is Fate.DIM] == ["FL2", "FL3"]


@pytest.mark.parametrize(
    ("channel", "peer", "most"),
    # the dimmest population in Pacific Blue is digitised in steps of 0.8: its median is 24.0 here, and 24.0 to 25.6 by the
    # peer as its scatter gate keeps 30 to 85 per cent of the events
    [("PE-Tx-Red-YG-A", PE_TEXAS_RED, [0.02] * 6), ("Pacific Blue-A", PACIFIC_BLUE, [0.03] + [0.02] * 5)],
)
def test_beads_whose_two_dimmest_populations_run_together(shared_data: Path, channel: str, peer: Peer, most: list[float]) -> None:
    known = {"PE-Tx-Red-YG-A": PE_TEXAS_RED.known, "Pacific Blue-A": PACIFIC_BLUE.known, "FITC-A": FITC}
    peaks = peaks_of(shared_data / TASBE, ("FSC-A", "SSC-A"), known)
    assert [peak.fate for peak in peaks[channel]] == [Fate.MERGED] * 2 + [Fate.USED] * 6
    medians, values = used(peaks[channel], peer.known)
    assert np.all(np.abs(apart(fit_conversion(medians, values), peer)) < most)
    assert sum(peak.fate is Fate.USED for peak in peaks["FITC-A"]) == 2


@pytest.mark.parametrize(("channel", "peer"), [("FL1-H", FL1_DIM), ("FL2-H", FL2_BRIGHT)])
def test_populations_that_saturate_one_channel_are_told_apart_by_another(shared_data: Path, channel: str, peer: Peer) -> None:
    known = {"FL1-H": FL1.known, "FL2-H": FL2.known, "FL3-H": FL3.known}
    peaks = peaks_of(shared_data / SATURATED, ("FSC-H", "SSC-H"), known)[channel]
    medians, values = used(peaks, peer.known)
    assert len(medians) == len(peer.medians)
    assert np.abs(apart(fit_conversion(medians, values), peer)).max() < 0.02


def test_real_tubes_beside_their_beads(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / TASBE
    values = ";".join("" if value is None else f"{value:g}" for value in PE_TEXAS_RED.known)
    (tmp_path / "beads.csv").write_text(f"file,channel,values\n{folder.as_posix()},PE-Tx-Red-YG-A,{values}\n", encoding="utf-8")
    side = '<gating:dimension gating:compensation-ref="uncompensated" gating:min="0"><data-type:fcs-dimension data-type:name="FSC-A"/>'
    (tmp_path / "gates.xml").write_text(
        '<gating:Gating-ML xmlns:gating="http://www.isac-net.org/std/Gating-ML/v2.0/gating" '
        'xmlns:data-type="http://www.isac-net.org/std/Gating-ML/v2.0/datatypes"><gating:RectangleGate gating:id="All">'
        f"{side}</gating:dimension></gating:RectangleGate></gating:Gating-ML>",
        encoding="utf-8",
    )
    tubes = [folder.parent / name for name in ("blank.fcs", "mkate.fcs")]
    gate_files(tubes, tmp_path / "gates.xml", tmp_path, GatingChoice(pages=False, beads=tmp_path / "beads.csv"))
    table = pl.read_csv(tmp_path / "populations.csv")
    medians = np.abs(table["median_PE-Tx-Red-YG-A"].to_numpy())
    by_peer = math.exp(PE_TEXAS_RED.intercept) * medians**PE_TEXAS_RED.slope
    assert np.abs(table["mesf_PE-Tx-Red-YG-A"].to_numpy()) == pytest.approx(by_peer, rel=0.02)
