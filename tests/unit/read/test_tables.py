"""specimens.csv, tubes.csv and quantified tables, and what is said about each mistake."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from exvivo.study.findings import FindingCode
from exvivo.study.model import Factor, QuantifiedTable, TableReadout

if TYPE_CHECKING:
    from tests.unit.read.conftest import Folder


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("M2,K2", "M1,K2", "line 3: specimen 'M1' stands twice, first at specimens.csv, line 2"),
        ("M2,K2", ",K2", "line 3: a row without specimen"),
        ("M2,K2,1,A,D-1", "M2,K2,1,Z,D-1", "line 3: unknown experiment 'Z'. Known: A"),
        ("M2,K2,1,A,D-1", "M2,K2,1,A,", "line 3: a tube of medium has no donor"),
        (
            "ruxolitinib",
            "ruxolitinb",
            "line 3: unknown level of drug 'ruxolitinb'. Known: vehicle, ruxolitinib. Did you mean 'ruxolitinib'?",
        ),
        (",cells,", ",cell,", "line 4: unknown matrix 'cell'. Known: medium, cells, cell_free_medium. Did you mean 'cells'?"),
        ("91,ok", "91,fine", "line 3: unknown state 'fine'"),
        ("0.5,98000", "half,98000", "line 3: volume_ml 'half' is no number"),
        (
            "ruxolitinib,none,medium,2026-03-09",
            "ruxolitinib,none,medium,09/03/2026",
            "line 3: collected_on '09/03/2026'. Expected an ISO date",
        ),
    ],
)
def test_each_mistake_in_the_list_of_specimens_has_its_words(study: "Folder", old: str, new: str, words: str) -> None:
    assert old in study.specimens
    study.write("specimens.csv", study.specimens.replace(old, new))
    assert f"specimens.csv, {words}" in study.refusal()


def test_a_missing_column_is_named_with_the_nearest_one(study: "Folder") -> None:
    study.write("specimens.csv", study.specimens.replace("experiment", "experimnt"))
    assert "specimens.csv: unknown column 'experiment'." in study.refusal()
    assert "Did you mean 'experimnt'?" in study.refusal()


def test_a_missing_factor_is_its_reference_level_and_noted(study: "Folder") -> None:
    study.design = replace(study.design, factors={**study.design.factors, "stimulus": Factor(levels=("none", "LPS"), reference="none")})
    inputs = study.read()
    assert inputs.specimens.frame["stimulus"].to_list() == ["none"] * 3
    (found,) = study.findings(FindingCode.FACTOR_ASSUMED)
    assert found.place == "specimens.csv stimulus"


def test_an_empty_level_is_refused_where_the_conditions_differ_in_it(study: "Folder") -> None:
    study.write("specimens.csv", study.specimens.replace(",vehicle,none,cells", ",,none,cells"))
    assert "no level of drug. Expected one of vehicle, ruxolitinib." in study.refusal()


def test_an_empty_level_is_none_where_the_reference_is_none(study: "Folder") -> None:
    study.write("specimens.csv", study.specimens.replace(",vehicle,none,cells", ",vehicle,,cells"))
    assert study.read().specimens.frame["serum"].to_list() == ["none"] * 3


def test_a_semicolon_list_with_decimal_commas_is_the_same_list(study: "Folder") -> None:
    before = study.read().specimens.frame
    study.write("specimens.csv", study.specimens.replace(",", ";").replace("92.5", "92,5").replace("0.5", "0,5").encode("utf-16"))
    assert study.read().specimens.frame.equals(before)


def test_tubes_are_read_under_the_readouts_names(study: "Folder") -> None:
    study.write("cytometry/tubes.csv", study.tubes + "sub\\c2.fcs,,single,cd-206,\nc3.fcs,,single,Viability,\n")
    frame = study.read().tube_sheet.frame
    assert frame.select("file", "tube", "marker").rows()[1:] == [("sub/c2.fcs", "single", "CD206"), ("c3.fcs", "single", "Viability")]


def test_mistakes_in_the_list_of_tubes_come_together(study: "Folder") -> None:
    study.write("cytometry/tubes.csv", study.tubes + "c1.fcs,C1,isotyp,,\n,C1,full,,\n")
    message = study.refusal()
    assert "line 3: file 'c1.fcs' stands twice, first at cytometry/tubes.csv, line 2" in message
    assert "line 3: unknown kind of tube 'isotyp'." in message
    assert "line 4: a row without file" in message


def quantified(study: "Folder", table: QuantifiedTable, readouts: Mapping[str, TableReadout]) -> None:
    shutil.rmtree(study.path / "plates")
    study.design = replace(study.design, readouts=readouts, tables={"values": table}, clinical=None)


def test_real_paired_cytokines_become_rows_with_conditions(study: "Folder", shared_data: Path) -> None:
    study.write("values.csv", (shared_data / "tables" / "drug_cytokines_paired.csv").read_bytes())
    table = QuantifiedTable(
        file="values.csv",
        layout="wide",
        experiment="A",
        delimiter=";",
        decimal=",",
        readout_column="cytokines",
        condition_columns={"Control": {"drug": "vehicle"}, "ruxolitinib": {"drug": "ruxolitinib"}},
    )
    quantified(study, table, {name: TableReadout(kind="table", label=name, table="values") for name in ("IL1b", "TNFa")})
    frame = study.read().quantified.frame
    assert frame.select("readout", "donor", "drug", "value").rows()[:4] == [
        ("IL1b", "1", "vehicle", 1821.999),
        ("IL1b", "1", "ruxolitinib", 1014.5),
        ("IL1b", "2", "vehicle", 1191.5),
        ("IL1b", "2", "ruxolitinib", 1025.0),
    ]
    assert frame.height == 12
    assert {found.place for found in study.findings(FindingCode.ID_UNKNOWN)} == {
        f"values.csv {name}" for name in ("IL2", "IL10", "IL17", "IFNg", "MIP1a", "RANTES", "VEGF")
    }


def test_a_long_table_subtracts_its_control_and_keeps_limits(study: "Folder") -> None:
    study.write(
        "values.csv",
        "who,what,drug,mfi,iso\nD-1,CD206,vehicle,500,100\nD-1,CD206,ruxolitinib,<150,100\nD-2,CD206,vehicle,,100\nD-2,CD206,ruxolitinib,300,\n",
    )
    table = QuantifiedTable(
        file="values.csv",
        layout="long",
        experiment="A",
        readout_column="what",
        donor_column="who",
        factor_columns={"drug": "drug"},
        value_column="mfi",
        control_column="iso",
    )
    quantified(study, table, {"CD206": TableReadout(kind="table", label="CD206", table="values")})
    assert study.read().quantified.frame.select("donor", "value", "upper_bound", "status", "reason").rows() == [
        ("D-1", 400.0, None, "quantified", None),
        ("D-1", None, 50.0, "below_lloq", "below-lloq"),
        ("D-2", None, None, "missing", "no-reading"),
        ("D-2", None, None, "missing", "no-control"),
    ]
    study.write("values.csv", "who,what,drug,mfi,iso\nD-1,CD206,vehicle,1e400,100\n")
    assert "value '1e400' is no number" in study.refusal()
    study.write("values.csv", "who,what,drug,mfi,iso\nD-1,CD206,vehicel,much,100\n")
    message = study.refusal()
    assert "unknown level of drug 'vehicel'" in message
    assert "value 'much' is no number" in message
    (study.path / "values.csv").unlink()
    assert "values.csv: the file of table 'values' is absent" in study.refusal()
