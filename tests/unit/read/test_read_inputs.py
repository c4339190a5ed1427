"""The stage as a whole: a small study becomes tables, faults of all files come together, conditions are coded."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from exvivo.errors import InputError
from exvivo.read.blinding import level_code
from exvivo.study.decisions import Decision, DecisionKind, Decisions
from exvivo.study.findings import FindingCode
from exvivo.study.model import Blinding

if TYPE_CHECKING:
    from tests.unit.read.conftest import Folder


def decided(kind: DecisionKind, target: str, value: str = "") -> Decisions:
    return Decisions((Decision(1, "2026-03-09T10:00:00Z", "ann", kind, target, value, "because", ""),))


def test_a_small_study_becomes_tables(study: "Folder") -> None:
    inputs = study.read()
    assert inputs.specimens.frame["specimen"].to_list() == ["M1", "M2", "C1"]
    assert inputs.specimens.frame["viability_pct"].to_list() == [92.5, 91.0, None]
    assert inputs.readings.frame.select("plate", "well", "signal").row(0) == ("ccl18:1", "A1", 0.5)
    assert inputs.layout.frame.select("plate", "well", "role", "specimen", "analyte").rows() == [
        ("ccl18:1", "A1", "standard", "S1", "CCL18"),
        ("ccl18:1", "A2", "blank", None, "CCL18"),
        ("ccl18:1", "B1", "specimen", "M1", "CCL18"),
        ("ccl18:1", "B2", "specimen", "M2", "CCL18"),
    ]
    assert inputs.clinical.frame.select("donor", "population", "age", "autoab").rows() == [
        ("D-1", "SSc", 61.0, "ATA"),
        ("D-2", "HD", 33.0, None),
    ]
    assert inputs.files.frame.select("path", "role").rows() == [
        ("clinical.csv", "clinical"),
        ("cytometry/tubes.csv", "tube_sheet"),
        ("plates/ccl18.csv", "export"),
        ("plates/maps/ccl18.csv", "map"),
        ("specimens.csv", "specimens"),
    ]
    assert not inputs.blinded
    assert {(found.code, found.place) for found in inputs.found} == {
        (FindingCode.FILE_UNREADABLE, "c1.fcs"),
        (FindingCode.ID_ORPHAN, "D-2"),
    }


def test_faults_of_all_files_are_told_together(study: "Folder") -> None:
    study.write("specimens.csv", study.specimens.replace("92.5", "much"))
    study.write("plates/other.txt", "no plate")
    study.write("plates/maps/ccl18.csv", "plate,well\n")
    study.write("clinical.csv", "donor,population\n")
    with pytest.raises(InputError) as caught:
        study.read()
    text = str(caught.value)
    for part in ("viability_pct 'much' is no number", "plates/other.txt: the layout of this export is unknown", "unknown column 'age'"):
        assert part in text


def test_conditions_are_coded_until_someone_unblinds(study: "Folder") -> None:
    study.design = replace(study.design, blinding=Blinding(factor="drug"))
    inputs = study.read()
    assert inputs.blinded
    codes = {level_code("T1", "drug", level) for level in ("vehicle", "ruxolitinib")}
    assert set(inputs.specimens.frame["drug"]) == codes
    assert "ruxolitinib" not in inputs.specimens.frame.write_csv()
    study.decisions = decided(DecisionKind.UNBLIND, "study")
    assert study.read().specimens.frame["drug"].to_list() == ["vehicle", "ruxolitinib", "vehicle"]


def test_a_corrected_id_is_renamed_wherever_it_stands(study: "Folder") -> None:
    study.write("plates/maps/ccl18.csv", study.map.replace(",M1,", ",m01,"))
    (found,) = study.findings(FindingCode.ID_UNKNOWN)
    assert (found.place, found.readouts) == ("m01", ("CCL18",))
    assert found.suggestion.startswith("Did you mean 'M1'?")
    study.decisions = decided(DecisionKind.CORRECT_ID, "specimen:m01", "M1")
    assert not study.findings(FindingCode.ID_UNKNOWN)


def test_a_corrected_donor_is_renamed_in_both_tables(study: "Folder") -> None:
    study.write("specimens.csv", study.specimens.replace("D-1", "D1"))
    (found,) = study.findings(FindingCode.DONOR_UNKNOWN)
    assert (found.place, found.donors) == ("D1", ("D1",))
    study.decisions = decided(DecisionKind.CORRECT_ID, "donor:D1", "D-1")
    assert not study.findings(FindingCode.DONOR_UNKNOWN)


def test_the_same_export_twice_is_an_error_and_debris_is_passed_over(study: "Folder") -> None:
    study.write("plates/again.csv", (study.path / "plates/ccl18.csv").read_bytes())
    study.write("plates/.DS_Store", b"\x00\x01")
    study.write("plates/~$ccl18.xlsx", b"\x00")
    (twice,) = study.findings(FindingCode.FILE_DUPLICATE)
    assert (twice.place, twice.evidence) == ("plates/ccl18.csv", "the same bytes as plates/again.csv")
    assert {found.place for found in study.findings(FindingCode.FILE_UNLISTED)} == {"plates/.DS_Store", "plates/~$ccl18.xlsx"}


def test_two_exports_of_one_name_are_refused(study: "Folder") -> None:
    study.export("plates/ccl18.xlsx")
    with pytest.raises(InputError, match="another export is also called 'ccl18'"):
        study.read()


def test_a_study_without_its_list_of_specimens_is_refused(study: "Folder") -> None:
    (study.path / "specimens.csv").unlink()
    with pytest.raises(InputError, match=r"specimens.csv: the list of specimens is absent"):
        study.read()
