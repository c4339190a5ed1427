"""Files of real cytometers against an independent reader, file by file."""

import re
from pathlib import Path

import flowio
import numpy as np
import pytest
from numpy.typing import NDArray

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
    "flowcore_fcs2/0877408774.E07",
    "flowcore_fcs2/0877408774.F06",
    *[f"flowcore_fcs2/compdata/data/060909.00{number}" for number in range(1, 6)],
    "flowjo_simple/simple_diamond_example/test_data_diamond_01.fcs",
    "flowjo_simple/simple_line_example/data_set_simple_line_100.fcs",
    "gatingml/data1.fcs",
    *[f"mesf_tasbe/{name}.fcs" for name in ("beads", "blank", "ebfp", "eyfp", "mkate", "rby")],
    "qc/111.fcs",
    "qc/111_Comp_Trans.fcs",
    "spectral_aurora/CellCounts5L_AB_01-INF105-09_01.fcs",
    "spectral_aurora/CellCounts5L_AB_01-INF187-04_01.fcs",
]
OURS_ALONE = ["fcs_odd/variable_int_example.fcs", "fcs_odd/fake_large_fcs.fcs", "flowcal/Data003.fcs"]
MAKERS = {
    "Attune": "Thermo Fisher",
    "BD Accuri": "BD",
    "FACS": "BD",
    "LSR": "BD",
    "Cytomics": "Beckman Coulter",
    "Navios": "Beckman Coulter",
    "MoFlo": "Beckman Coulter",
    "Aurora": "Cytek",
    "Cytek": "Cytek",
    "MACSQuant": "Miltenyi",
    "S1400": "Stratedigm",
}


def plain_reader(raw: bytes, base: int = 0) -> NDArray[np.float64]:
    """A second reader of files without traps: HEADER's offsets, TEXT split at every delimiter, values by their widths."""
    header = [int(raw[base + 10 + 8 * i : base + 18 + 8 * i].strip() or 0) for i in range(4)]
    tokens = raw[base + header[0] + 1 : base + header[1] + 1].decode("latin-1").split(raw[base + header[0] : base + header[0] + 1].decode())
    at = {tokens[i].strip().upper(): i for i in range(len(tokens) - 1, -1, -1)}
    text = {key: tokens[i + 1].strip() for key, i in at.items() if key.startswith("$") and i + 1 < len(tokens)}
    count, begin = int(text["$PAR"]), base + (header[2] or int(text["$BEGINDATA"]))
    kind = {"F": "f", "D": "f", "I": "u"}[text["$DATATYPE"]]
    mark = "<" if text["$BYTEORD"].startswith("1") else ">"
    widths = [int(text[f"$P{i}B"]) // 8 for i in range(1, count + 1)]
    layout = np.dtype([(str(i), f"{mark}{kind}{w}" if w != 3 else (np.uint8, (3,))) for i, w in enumerate(widths)])
    rows = np.frombuffer(raw, layout, count=int(text["$TOT"]), offset=begin)
    columns = []
    for place in range(count):
        stored, key = rows[str(place)], f"$P{place + 1}"
        values = stored @ [65536, 256, 1] if stored.ndim == 2 else stored  # only big-endian files hold three bytes here
        extent = float(text[f"{key}R"])
        if kind == "u":
            values = values.astype(np.int64) % 2 ** int(np.ceil(np.log2(extent)))
        decades, lowest = (float(part) for part in text.get(f"{key}E", "0,0").split(","))
        if kind == "u" and decades:
            columns.append((lowest or 1) * 10 ** (decades * values / extent))
        elif text[f"{key}N"].upper() == "TIME":
            step = text.get("$TIMESTEP", "1")
            columns.append(values * float(step if step[0].isdigit() else 1))
        else:
            columns.append(values / (float(text.get(f"{key}G", "1") or 1) or 1))
    return np.stack(columns, axis=1).astype(float)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.filterwarnings("ignore")  # the other reader warns about files that it reads
def test_events_equal_those_of_two_other_readers(shared_data: Path, name: str) -> None:
    path = shared_data / "cytometry" / name
    theirs = flowio.read_multiple_data_sets(path, ignore_offset_error=True)
    records = fcs.parse(path)
    assert len(records) == len(theirs)
    base = 0
    for record, other in zip(records, theirs, strict=True):
        assert len(record.channels) == other.channel_count
        if "/0877408774." not in name:  # the other reader loses a name after an empty value
            assert [channel.name for channel in record.channels] == [label.strip() for label in other.pnn_labels]
        events = fcs.read_events(path, record).astype(float)
        np.testing.assert_allclose(events, other.as_array(), rtol=1e-6)
        plain = plain_reader(path.read_bytes(), base)
        np.testing.assert_allclose(events, plain, rtol=1e-6)
        np.testing.assert_allclose(events.sum(axis=0), plain.sum(axis=0), rtol=1e-6)
        base += int(record.keywords.get("$NEXTDATA", "0"))


@pytest.mark.parametrize("name", OURS_ALONE)
def test_files_that_the_first_of_them_does_not_read(shared_data: Path, name: str) -> None:
    path = shared_data / "cytometry" / name
    (record,) = fcs.parse(path)
    np.testing.assert_allclose(fcs.read_events(path, record), plain_reader(path.read_bytes()), rtol=1e-6)


def test_every_file_is_read_or_known_to_be_none(shared_data: Path) -> None:
    folder = shared_data / "cytometry"
    listed = {folder / name for name in [*FILES, *OURS_ALONE]}
    makers = set()
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.read_bytes()[:3] != b"FCS":
            continue
        records = fcs.parse(path)
        assert path in listed or "discrepancy" in path.name
        cytometer = records[0].keywords.get("$CYT", "")
        makers |= {maker for word, maker in MAKERS.items() if word in cytometer}
        assert not cytometer or any(word in cytometer for word in MAKERS), cytometer
    assert makers == set(MAKERS.values())


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
