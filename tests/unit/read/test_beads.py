"""The table of beads: values per channel, and every fault of it told at once."""

from pathlib import Path

import pytest

from exvivo.errors import InputError
from exvivo.read.beads import read_beads


def table(folder: Path, *rows: str, header: str = "file,channel,values") -> Path:
    (folder / "beads.fcs").write_bytes(b"FCS3.1")
    path = folder / "beads.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_channels_of_one_file_stand_together(tmp_path: Path) -> None:
    (beads,) = read_beads(table(tmp_path, "beads.fcs,FITC-A,0; 646;1704.5;4000", "beads.fcs,PE-A,;500;1000;2000"))
    assert beads.values == {"FITC-A": (0.0, 646.0, 1704.5, 4000.0), "PE-A": (None, 500.0, 1000.0, 2000.0)}
    assert (beads.file, beads.path, beads.n_populations) == ("beads.fcs", tmp_path / "beads.fcs", 4)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("absent.fcs,FITC-A,1;2;3", "line 2: there is no file 'absent.fcs'"),
        ("beads.fcs,,1;2;3", "line 2: a row without channel"),
        ("beads.fcs,FITC-A,1;2", "line 2: 2 known values in '1;2'"),
        ("beads.fcs,FITC-A,1;3;2", "do not rise from 0 or more"),
        ("beads.fcs,FITC-A,-1;3;4", "do not rise from 0 or more"),
        ("beads.fcs,FITC-A,1;two;3", "'two' is not a number with a decimal point"),
    ],
)
def test_what_cannot_be_is_told(tmp_path: Path, row: str, words: str) -> None:
    with pytest.raises(InputError) as raised:
        read_beads(table(tmp_path, row))
    assert words in str(raised.value)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    path = table(tmp_path, "beads.fcs,FITC-A,1;2;3", "beads.fcs,FITC-A,1;2;3", "beads.fcs,PE-A,1;2;3;4", "beads.fcs,APC-A,1;x;3")
    with pytest.raises(InputError) as raised:
        read_beads(path)
    assert [
        words in message for words, message in zip(("stands twice", "4 values, and another", "'x'"), raised.value.messages, strict=True)
    ]


def test_table_without_rows_columns_or_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no row below"):
        read_beads(table(tmp_path))
    with pytest.raises(InputError, match="unknown column 'values'"):
        read_beads(table(tmp_path, "beads.fcs,FITC-A", header="file,channel"))
    with pytest.raises(InputError, match="no such file"):
        read_beads(tmp_path / "none.csv")
