"""Files that we write, read by FlowIO, and files that FlowIO writes, read by us."""

import io
from pathlib import Path

import flowio
import numpy as np
import pytest

from exvivo.formats import fcs
from exvivo.study.design import Channel

RNG = np.random.default_rng(7)
NAMES = ("FSC-A", "FL1-A", "Time")
WHOLE = RNG.integers(0, 256, (50, 3))


def channels(datatype: str, *bits: int) -> list[Channel]:
    return [Channel(name, "m", 256.0, bits=width, datatype=datatype) for name, width in zip(NAMES, bits, strict=True)]


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("version", ["FCS2.0", "FCS3.0", "FCS3.1"])
@pytest.mark.parametrize(
    "kinds", [("F", 32, 32, 32), ("D", 64, 64, 64), ("I", 8, 8, 8), ("I", 16, 16, 16), ("I", 32, 32, 32), ("I", 8, 16, 32)], ids=str
)
def test_flowio_reads_what_we_write(order: str, version: str, kinds: tuple[str, int, int, int]) -> None:
    raw = fcs.compose(WHOLE, channels(kinds[0], *kinds[1:]), form=fcs.Form(version, order))
    theirs = flowio.FlowData(io.BytesIO(raw))
    assert list(theirs.pnn_labels) == list(NAMES)
    np.testing.assert_array_equal(theirs.as_array(preprocess=False), WHOLE)


def test_flowio_reads_every_data_set_that_we_write(tmp_path: Path) -> None:
    path = tmp_path / "three.fcs"
    sets = [fcs.DataSet(WHOLE[: 10 * place], channels("I", 16, 16, 16), keywords={"WELL": f"A{place}"}) for place in (1, 2, 3)]
    path.write_bytes(fcs.compose_all(sets, fcs.Form("FCS3.0")))
    theirs = flowio.read_multiple_data_sets(path)
    assert [one.event_count for one in theirs] == [10, 20, 30]
    assert [one.text["well"] for one in theirs] == ["A1", "A2", "A3"]


def test_we_read_what_flowio_writes() -> None:
    events = RNG.normal(1000, 300, (40, 3)).astype("f4")
    stream = io.BytesIO()
    flowio.create_fcs(stream, events.ravel().tolist(), list(NAMES), opt_channel_names=["", "CD204", ""])
    (record,) = fcs.parse(stream.getvalue())
    np.testing.assert_array_equal(fcs.read_events(stream.getvalue(), record), events)
    assert [channel.marker for channel in record.channels] == ["", "CD204", ""]


@pytest.mark.parametrize(
    "name", ["qc/111.fcs", "spectral_aurora/CellCounts5L_AB_01-INF105-09_01.fcs", "fcs_odd/index_sorted_example.fcs", "fcs_odd/G11.fcs"]
)
def test_real_files_written_anew_hold_the_same(shared_data: Path, name: str) -> None:
    path = shared_data / "cytometry" / name
    (record,) = fcs.parse(path)
    events = fcs.read_events(path, record, scaled=False)
    free = {key: value for key, value in record.keywords.items() if key[0] != "$" and value.strip() and key not in ("SPILL", "COMP")}
    step = fcs.timestep(record.keywords)
    raw = fcs.compose(events, record.channels, spillover=record.spillover, timestep=step, keywords=free)
    (again,) = fcs.parse(raw)
    assert again.channels == record.channels
    assert again.spillover == record.spillover
    assert again.issues == ()
    assert free.items() <= again.keywords.items()
    np.testing.assert_array_equal(fcs.read_events(raw, again), fcs.read_events(path, record))
    theirs = flowio.FlowData(io.BytesIO(raw))
    np.testing.assert_array_equal(theirs.as_array(preprocess=False), events)
