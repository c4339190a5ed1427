"""The clinical table: labels for codes, one row per donor, nothing guessed, everything odd told."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from exvivo.formats.redcap import Dictionary, Field, compose_dictionary
from exvivo.study.findings import FindingCode
from exvivo.study.statuses import Severity

if TYPE_CHECKING:
    from tests.unit.read.conftest import Folder

HEAD = "donor,population,age,autoab\n"
FIELDS = Dictionary(
    (
        Field("donor", "base", "text", "id"),
        Field("population", "base", "radio", "group", (("1", "SSc"), ("2", "HD"))),
        Field("age", "base", "text", "age", validation="integer"),
        Field("autoab", "base", "checkbox", "antibodies", (("0", "none"), ("1", "ACA"), ("2", "ATA"))),
        Field("surname", "base", "text", "name", identifier=True),
    )
)


def rows(study: "Folder") -> list[tuple[object, ...]]:
    return study.read().clinical.frame.select("donor", "population", "age", "autoab").rows()


def test_missing_codes_and_empty_cells_are_missing(study: "Folder") -> None:
    study.write("clinical.csv", HEAD + "D-1,1,-999,\nD-2,2,,0\n")
    assert rows(study) == [("D-1", "SSc", None, None), ("D-2", "HD", None, "none")]


@pytest.mark.parametrize(
    ("age", "told"), [("130", "130, expected 18 to 100"), ("61.5", "61.5, expected a whole number"), ("old", "'old', expected a number")]
)
def test_a_value_that_cannot_be_is_emptied_and_told(study: "Folder", age: str, told: str) -> None:
    study.write("clinical.csv", HEAD + f"D-1,1,{age},\nD-2,2,33,\n")
    assert rows(study)[0][2] is None
    (found,) = study.findings(FindingCode.VALUE_OUT_OF_RANGE)
    assert (found.place, found.evidence, found.donors) == ("clinical.csv, line 2 age", f"donor D-1: {told}", ("D-1",))
    assert found.severity is Severity.WARNING


def test_precedence_decides_between_ticked_boxes_and_none_beside_others_is_told(study: "Folder") -> None:
    study.write("clinical.csv", HEAD + "D-1,1,61,ACA; ata\nD-2,2,33,0;1\n")
    assert [row[3] for row in rows(study)] == ["ATA", "ACA"]
    (found,) = study.findings(FindingCode.CONFLICTING_CLINICAL)
    assert (found.severity, found.evidence) == (Severity.WARNING, "donor D-2: ticked 'none' together with ACA")


def test_rows_of_one_donor_are_laid_over_each_other(study: "Folder") -> None:
    study.write("clinical.csv", HEAD + "D-1,1,61,\nD-2,2,33,\nD-1,,,1\n")
    assert rows(study) == [("D-1", "SSc", 61.0, "ACA"), ("D-2", "HD", 33.0, None)]
    assert not study.findings(FindingCode.CONFLICTING_CLINICAL)


def test_rows_that_contradict_empty_the_cell_and_are_an_error(study: "Folder") -> None:
    study.write("clinical.csv", HEAD + "D-1,1,61,\nD-2,2,33,\nD-1,1,62,1\n")
    assert rows(study)[0] == ("D-1", "SSc", None, "ACA")
    (found,) = study.findings(FindingCode.CONFLICTING_CLINICAL)
    assert (found.place, found.severity) == ("D-1", Severity.ERROR)
    assert found.evidence == "lines 2, 4 contradict: age 61.0 / 62.0"


def test_an_unknown_population_and_a_row_without_donor_are_refused_together(study: "Folder") -> None:
    study.write("clinical.csv", HEAD + "D-1,7,61,\n,1,33,\n")
    message = study.refusal()
    assert "clinical.csv, line 2: unknown population '7'. Known: SSc, HD" in message
    assert "clinical.csv, line 3: no 'donor'" in message


def test_a_redcap_export_is_read_with_its_dictionary_and_identifiers_are_dropped(study: "Folder") -> None:
    assert study.design.clinical is not None
    study.design = replace(study.design, clinical=study.design.clinical.model_copy(update={"format": "redcap"}))
    study.write("clinical.csv", "donor,population,age,autoab___0,autoab___1,autoab___2,surname\nD-1,1,61,0,1,0,Doe\nD-2,2,-999,0,0,0,Roe\n")
    assert "the data dictionary is absent" in study.refusal()
    study.write("dictionary.csv", compose_dictionary(FIELDS))
    assert rows(study) == [("D-1", "SSc", 61.0, "ACA"), ("D-2", "HD", None, None)]
    (found,) = study.findings(FindingCode.IDENTIFIER_DROPPED)
    assert found.evidence == "dropped: surname"
    assert "Doe" not in study.read().clinical.frame.write_csv()


def test_a_pseudonym_that_is_marked_as_identifier_is_explained(study: "Folder") -> None:
    assert study.design.clinical is not None
    study.design = replace(study.design, clinical=study.design.clinical.model_copy(update={"format": "redcap"}))
    fields = (replace(FIELDS.fields[0], identifier=True), *FIELDS.fields[1:])
    study.write("dictionary.csv", compose_dictionary(Dictionary(fields)))
    study.write("clinical.csv", "donor,population,age,autoab___0,autoab___1,autoab___2\nD-1,1,61,0,1,0\n")
    assert "column 'donor' is marked as an identifier and was dropped. Mark the pseudonym as no identifier in REDCap." in study.refusal()


def test_a_study_without_a_clinic_has_an_empty_table_and_a_promised_one_must_exist(study: "Folder") -> None:
    (study.path / "clinical.csv").unlink()
    assert "the clinical table is absent" in study.refusal()
    study.design = replace(study.design, clinical=None)
    assert study.read().clinical.height == 0
