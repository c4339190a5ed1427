"""Spillover matrices in files of their own."""

from pathlib import Path

import numpy as np
import pytest

from exvivo.errors import InputError
from exvivo.formats import fcs, gatingml, spillover
from exvivo.read.gates import read_matrix
from exvivo.study.design import GatingTree, SpilloverMatrix

PLAIN = SpilloverMatrix(("A", "B"), ("A", "B"), ((1.0, 0.5), (0.25, 1.0)))
MTX = b"""<?xml version="1.0" encoding="UTF-8"?>
<gating:gatingML xmlns:gating="http://www.isac-net.org/std/Gating-ML/v2.0/gating"
 xmlns:transforms="http://www.isac-net.org/std/Gating-ML/v2.0/transformations"
 xmlns:data-type="http://www.isac-net.org/std/Gating-ML/v2.0/datatypes">
<transforms:spilloverMatrix prefix="Comp-" name="Acquisition-defined">
<data-type:parameters><data-type:parameter data-type:name="A"/><data-type:parameter data-type:name="B"/></data-type:parameters>
<transforms:spillover data-type:parameter="A"><transforms:coefficient data-type:parameter="A" transforms:value="1"/>
<transforms:coefficient data-type:parameter="B" transforms:value="0.5"/></transforms:spillover>
<transforms:spillover data-type:parameter="B"><transforms:coefficient data-type:parameter="A" transforms:value="0.25"/>
<transforms:coefficient data-type:parameter="B" transforms:value="1"/></transforms:spillover>
</transforms:spilloverMatrix></gating:gatingML>"""


@pytest.mark.parametrize(
    "text",
    [
        "A,B\n1,0.5\n0.25,1\n",
        "A,B\n100,50\n25,100\n",
        "A :: CD4,B :: CD8\n1,0.5\n0.25,1\n",
        ",A,B\nA,1,0.5\nB,0.25,1\n",
        "fluorochrome,A,B\nB :: CD8,0.25,1\nA :: CD4,1,0.5\n",
        "A;B\n1;0,5\n0,25;1\n",
        "A\tB\n1\t0.5\n0.25\t1\n",
        "my matrix\n<\t>\nA\tB\n1\t0.5\n0.25\t1\n",
        '"A" "B"\n"A" 1 0.5\n"B" 0.25 1\n',
        MTX.decode(),
    ],
)
def test_the_same_matrix_in_each_form(text: str) -> None:
    assert spillover.parse(text.encode()) == PLAIN


def test_a_spectrum_matrix_of_gating_ml_need_not_be_square(tmp_path: Path) -> None:
    matrix = SpilloverMatrix(("FA", "FB"), ("A", "B", "C"), ((1.0, 0.2, 0.1), (0.0, 1.0, 0.3)))
    raw = gatingml.compose(GatingTree((), {"m": matrix}))
    (tmp_path / "matrix.xml").write_bytes(raw)
    assert read_matrix(tmp_path / "matrix.xml", ["A", "B", "C"]) == matrix


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A,B\n1,0.1\n", "not square: 2 channels, 1 rows of 2 values"),
        ("A,B\n1,x\n0.1,1\n", "line 2: 'x' stands where a number should"),
        ("A,B\n0,1\n1,1\n", "the diagonal is zero for A"),
        ("A,B\n50,2\n2,100\n", "neither 1 nor 100 throughout: A 50, B 100"),
        ("A,B\n1,1\n1,1\n", "cannot be inverted"),
        ("A,A\n1,0.1\n0.1,1\n", "channel 'A' stands 2 times"),
        (",A,B\nA,1,0.1\nC,0.1,1\n", "rows are called C, which are no channels"),
        ("1,2\n3,4\n", "no row of names"),
        ("", "the file is empty"),
        (gatingml.compose(GatingTree(())).decode(), "0 different matrices"),
    ],
)
def test_what_is_wrong_is_said(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        spillover.parse(text.encode())


def test_a_detector_that_the_file_lacks_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "matrix.csv").write_bytes(spillover.compose(PLAIN))
    assert read_matrix(tmp_path / "matrix.csv") == PLAIN
    with pytest.raises(InputError, match=r"matrix.csv: the file has no channel B. Expected one of A, C."):
        read_matrix(tmp_path / "matrix.csv", ["A", "C"])
    with pytest.raises(InputError, match="there is no such file"):
        read_matrix(tmp_path / "other.csv")


def test_only_equal_rows_and_columns_go_into_a_csv() -> None:
    with pytest.raises(ValueError, match="same channels"):
        spillover.compose(SpilloverMatrix(("F",), ("A",), ((1.0,),)))


def test_a_real_csv_goes_with_its_file(shared_data: Path) -> None:
    folder = shared_data / "cytometry" / "comp"
    (record,) = fcs.parse(folder / "test_comp_example.fcs")
    names = [channel.name for channel in record.channels]
    matrix = read_matrix(folder / "comp_complete_example.csv", names)
    assert len(matrix.detectors) == 14
    assert matrix.matrix[0][1] == 0.2986


def test_real_tables_of_r_and_flowjo(shared_data: Path) -> None:
    folder = shared_data / "cytometry" / "flowcore_fcs2" / "compdata"
    old = read_matrix(folder / "compmatrix")
    assert old.detectors == ("FL1-H", "FL2-H", "FL3-H", "FL4-H")
    assert np.allclose(old.matrix, read_matrix(folder / "compref1").matrix, atol=0.02)
    with pytest.raises(InputError, match=r"FL3-H 0\.00321861, FL4-H 0\.229594"):
        read_matrix(folder / "compref2")  # its rows FL3 and FL4 are swapped
