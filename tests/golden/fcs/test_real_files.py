"""Files of real cytometers against an independent reader, file by file."""

import re
from pathlib import Path

import flowio
import numpy as np
import pytest

from exvivo.errors import InputError
from exvivo.formats import fcs

FILES = [
    "comp/test_comp_example.fcs",
    "fcs_odd/B01 KC-A-W---91-US.fcs",
    "fcs_odd/Beckman Coulter - MoFlo Astrios - log settings.fcs",
    "fcs_odd/Cytek DxP10.fcs",
    "fcs_odd/Cytek NL-2000.fcs",
    "fcs_odd/EY_2013-07-19_PBS_FCS_2.0_Custom_Without_Add_Well_A1.001.fcs",
    "fcs_odd/EY_2013-07-19_PBS_FCS_3.1_Custom_Without_Add_Well_A1.001.fcs",
    "fcs_odd/G11.fcs",
    "fcs_odd/HTS_BD_LSR_II_Mixed_Specimen_001_D6_D06.fcs",
    "fcs_odd/Miltenyi Biotec - MACSQuant Analyzer.fcs",
    "fcs_odd/Sample_Well_A02.fcs",
    "fcs_odd/coulter.lmd",
    "fcs_odd/fcs1_cleaned.lmd",
    "fcs_odd/index_sorted_example.fcs",
    "fcs_odd/stabilize.fcs",
    "flowcal/Data001.fcs",
    "flowcal/Data002.fcs",
    "flowcal/Data004.fcs",
    "flowcore_fcs2/0877408774.B08",
    "flowcore_fcs2/compdata/data/060909.002",
    "gatingml/data1.fcs",
    "mesf_tasbe/beads.fcs",
    "qc/111.fcs",
    "spectral_aurora/CellCounts5L_AB_01-INF105-09_01.fcs",
]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.filterwarnings("ignore")  # the other reader warns about files that it reads
def test_events_equal_those_of_another_reader(shared_data: Path, name: str) -> None:
    path = shared_data / "cytometry" / name
    theirs = flowio.read_multiple_data_sets(path, ignore_offset_error=True)
    records = fcs.parse(path)
    assert len(records) == len(theirs)
    for record, other in zip(records, theirs, strict=True):
        assert len(record.channels) == other.channel_count
        if name != "flowcore_fcs2/0877408774.B08":  # the other reader loses a name after an empty value
            assert [channel.name for channel in record.channels] == [label.strip() for label in other.pnn_labels]
        np.testing.assert_allclose(fcs.read_events(path, record), other.as_array(), rtol=1e-6)


@pytest.mark.parametrize("name", ["variable_int_example", "data_start_offset_discrepancy_example", "data_stop_offset_discrepancy_example"])
def test_mixed_integers_and_contradicting_offsets(shared_data: Path, name: str) -> None:
    folder = shared_data / "cytometry" / "fcs_odd"
    whole = flowio.FlowData(folder / "variable_int_example.fcs").as_array(preprocess=False)
    path = folder / f"{name}.fcs"
    (record,) = fcs.parse(path)
    gains = np.array(
        [channel.gain if channel.amplification[0] == 0 and channel.name.upper() != "TIME" else 1 for channel in record.channels]
    )
    linear = np.array([channel.amplification[0] == 0 for channel in record.channels])
    np.testing.assert_allclose((fcs.read_events(path, record) * gains)[:, linear], whole[:, linear])
    assert any("DATA" in issue for issue in record.issues) == ("discrepancy" in name)


def test_header_without_data_offsets(shared_data: Path) -> None:
    path = shared_data / "cytometry" / "fcs_odd" / "fake_large_fcs.fcs"
    (record,) = fcs.parse(path)
    assert fcs.read_events(path, record).shape == (11_585, 11)


def test_24_bit_integers(shared_data: Path) -> None:
    """The other reader gives up on these; the bytes are put together here by plain arithmetic."""
    path = shared_data / "cytometry" / "flowcal" / "Data003.fcs"
    (record,) = fcs.parse(path)
    raw = np.frombuffer(path.read_bytes(), np.uint8, count=record.n_events * 24, offset=record.data_begin).reshape(-1, 8, 3).astype(int)
    whole = raw[:, :, 0] * 65536 + raw[:, :, 1] * 256 + raw[:, :, 2]
    linear = [i for i, channel in enumerate(record.channels) if channel.amplification[0] == 0 and channel.name != "TIME"]
    assert linear
    np.testing.assert_array_equal(fcs.read_events(path, record)[:, linear], whole[:, linear])


def test_file_that_is_no_fcs_file_is_refused(shared_data: Path) -> None:
    with pytest.raises(InputError, match=re.escape("corrupted.fcs: the file begins with b'oi21j0'")):
        fcs.parse(shared_data / "cytometry" / "fcs_odd" / "corrupted.fcs")
