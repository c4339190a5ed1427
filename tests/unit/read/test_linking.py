"""Ids that lead nowhere: told with the nearest one, never corrected."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from exvivo.engine import Work
from exvivo.read.batch import Asked
from exvivo.read.linking import skeleton
from exvivo.read.single import read_exports
from exvivo.study.findings import FindingCode
from exvivo.study.statuses import Severity

if TYPE_CHECKING:
    from tests.unit.read.conftest import Folder


def test_specimens_that_were_never_measured_are_notes(study: "Folder") -> None:
    study.write("plates/maps/ccl18.csv", study.map.replace("1,B2,specimen,M2,PARC,,20,\n", ""))
    study.write("cytometry/tubes.csv", "file,specimen,tube,marker,batch\n")
    found = {one.place: one for one in study.findings(FindingCode.ID_ORPHAN)}
    assert set(found) == {"M2", "C1", "D-2"}
    assert {one.severity for one in found.values()} == {Severity.NOTE}
    assert (found["M2"].readouts, found["C1"].readouts) == (("CCL18",), ("CD206",))
    study.write("specimens.csv", study.specimens.replace("91,ok", "91,lost"))
    assert "M2" not in {one.place for one in study.findings(FindingCode.ID_ORPHAN)}


def test_a_tube_without_specimen_and_a_tube_of_medium_are_errors(study: "Folder") -> None:
    study.write("cytometry/tubes.csv", study.tubes + "c2.fcs,c-1,full,,\nc3.fcs,M1,full,,\nc4.fcs,,unstained,,\n")
    found = {one.place: one for one in study.findings(FindingCode.TUBE_UNLINKED)}
    assert set(found) == {"c2.fcs", "c3.fcs"}
    assert found["c2.fcs"].suggestion.startswith("Did you mean 'C1'?")
    assert "which is medium, not cells" in found["c3.fcs"].evidence


def test_fcs_files_that_nobody_listed_are_warnings(study: "Folder") -> None:
    study.write("cytometry/day1/c9.fcs", b"not listed")
    (found,) = study.findings(FindingCode.FILE_UNLISTED)
    assert (found.place, found.severity) == ("cytometry/day1/c9.fcs", Severity.WARNING)


def test_a_listed_file_is_found_in_a_folder_below(study: "Folder") -> None:
    study.write("cytometry/day1/c1.fcs", b"broken")
    places = {found.place for found in study.findings(FindingCode.FILE_UNREADABLE)}
    assert places == {"cytometry/day1/c1.fcs"}
    assert not study.findings(FindingCode.FILE_UNLISTED)


def test_ids_that_differ_in_case_or_hyphens_are_warnings(study: "Folder") -> None:
    study.write("clinical.csv", study.clinic + "d1,1,44,\n")
    (found,) = study.findings(FindingCode.ID_SIMILAR)
    assert found.evidence == "donors 'D-1', 'd1' differ only in case, hyphens or blanks"


@pytest.mark.parametrize(("slip", "right"), [("SSC-07", "SSC-007"), ("ssc o7", "SSC-007"), ("M0l2", "M012")])
def test_slips_of_the_pen_share_a_skeleton(slip: str, right: str) -> None:
    assert skeleton(slip) == skeleton(right)
    assert skeleton(right) != skeleton("SSC-008")


@pytest.mark.parametrize("other", ["m1", "\u041c1", "M\u200b1", "Ml"])
def test_specimens_that_look_alike_are_told_without_a_list_of_specimens(tmp_path: Path, study: "Folder", other: str) -> None:
    rows = f"1,B1,specimen,M1,CCL18,,20,\n1,B2,specimen,{other},CCL18,,20,\n1,B3,specimen,M2,CCL18,,20,\n"
    study.write("map.csv", "plate,well,role,specimen,analyte,concentration,dilution,unit\n1,A1,standard,S1,CCL18,500,1,pg/mL\n" + rows)
    single = read_exports([Asked(tmp_path / "plates/ccl18.csv", tmp_path / "map.csv")], Work())
    (found,) = [one for one in single.inputs.found if one.code is FindingCode.ID_SIMILAR]
    assert found.evidence.startswith("specimens 'M1' (ccl18:1/B1), '")
    assert found.evidence.endswith("look alike, and were kept apart")
    assert single.inputs.layout.frame["specimen"].to_list()[1:] == ["M1", other, "M2"]


def test_donors_with_letters_of_another_alphabet_are_told(study: "Folder") -> None:
    study.write("clinical.csv", study.clinic + "\u0410-1,1,44,\nA-1,1,45,\n")
    (found,) = study.findings(FindingCode.ID_SIMILAR)
    assert found.evidence == "donors '<U+0410>-1', 'A-1' differ only in letters that look alike"
