"""Maps and exports: tied by unique name or by position, never by a guess."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from exvivo.formats import xponent
from exvivo.study.design import ExportRecord, PlateRecord, ReadingStatus, SignalKind, WellLayout, WellReading, WellRole
from exvivo.study.findings import FindingCode
from exvivo.study.statuses import Severity

if TYPE_CHECKING:
    from tests.unit.read.conftest import Folder

HEAD = "plate,well,role,specimen,analyte,concentration,dilution,unit\n"


def keys(study: "Folder") -> list[str]:
    return study.read().layout.frame["plate"].unique(maintain_order=True).to_list()


def test_plates_are_named_where_names_are_unique_and_counted_where_not(study: "Folder") -> None:
    rows = "{0},A1,specimen,M1,CCL18,,20,\n{1},A1,specimen,M2,CCL18,,20,\n"
    study.export("plates/ccl18.csv", study.plate("P7", 1), study.plate("P8", 2))
    study.write("plates/maps/ccl18.csv", HEAD + rows.format("P8", "P7"))
    frame = study.read().layout.frame
    assert frame.select("plate", "specimen").rows() == [("ccl18:1", "M2"), ("ccl18:2", "M1")]
    study.export("plates/ccl18.csv", study.plate("Plate1", 1), study.plate("Plate1", 2))
    study.write("plates/maps/ccl18.csv", HEAD + rows.format("1", "2"))
    assert keys(study) == ["ccl18:1", "ccl18:2"]


@pytest.mark.parametrize("wanted", [("P7", "2"), ("P7", "P9"), ("1", "3"), ("Plate1", "Plate1 ")])
def test_a_mixture_and_a_map_for_another_plate_are_refused_with_both_lists(study: "Folder", wanted: tuple[str, str]) -> None:
    study.export("plates/ccl18.csv", study.plate("P7", 1), study.plate("P8", 2))
    study.write("plates/maps/ccl18.csv", HEAD + f"{wanted[0]},A1,blank,,CCL18,,,\n{wanted[1]},A2,blank,,CCL18,,,\n")
    message = study.refusal()
    assert f"plates/maps/ccl18.csv: the map is for plates {', '.join(dict.fromkeys(name.strip() for name in wanted))}" in message
    assert "the export plates/ccl18.csv holds 1 ('P7'), 2 ('P8')" in message


def test_a_well_that_the_export_does_not_have_is_refused(study: "Folder") -> None:
    study.write("plates/maps/ccl18.csv", HEAD + "1,C13,blank,,CCL18,,,\n")
    assert study.refusal() == (
        "plates/maps/ccl18.csv, line 2: well 'C13' is outside a 96-well plate. Expected A1 to H12. Correct the well."
    )


def test_unknown_analytes_and_units_are_refused_with_a_suggestion(study: "Folder") -> None:
    study.write("plates/maps/ccl18.csv", HEAD + "1,A1,standard,S1,CCL81,500,1,pg/mL\n1,A2,standard,S2,CCL18,250,1,pounds\n")
    message = study.refusal()
    assert "line 2: unknown analyte 'CCL81'. Known: CCL18. Did you mean 'CCL18'?" in message
    assert "line 3: unknown unit 'pounds'" in message


def test_a_flow_marker_is_no_analyte_of_a_plate(study: "Folder") -> None:
    study.write("plates/maps/ccl18.csv", study.map.replace("PARC", "CD206"))
    assert "unknown analyte 'CD206'" in study.refusal()


def test_units_that_cannot_be_brought_together_are_an_error_of_their_readout(study: "Folder") -> None:
    study.write("plates/maps/ccl18.csv", study.map + "1,A3,standard,S2,CCL18,250,1,\n")
    (found,) = study.findings(FindingCode.UNIT_MISMATCH)
    assert (found.place, found.severity, found.readouts) == ("ccl18:1", Severity.ERROR, ("CCL18",))
    study.write("plates/maps/ccl18.csv", study.map.replace("pg/mL", ""))
    (found,) = study.findings(FindingCode.UNIT_MISMATCH)
    assert found.severity is Severity.WARNING
    assert "as given" in found.evidence
    assert study.read().layout.frame["unit"].to_list() == ["as given", None, None, None]
    study.write("plates/maps/ccl18.csv", study.map.replace("pg/mL", "microg/ml"))
    assert study.read().layout.frame["unit"][0] == "ug/mL"


def test_a_map_without_export_and_an_export_without_map_are_errors(study: "Folder") -> None:
    (study.path / "plates/maps/ccl18.csv").rename(study.path / "plates/maps/il6.csv")
    (lone_map,) = study.findings(FindingCode.MAP_WITHOUT_EXPORT)
    (lone_export,) = study.findings(FindingCode.EXPORT_WITHOUT_MAP)
    assert (lone_map.place, lone_export.place) == ("plates/maps/il6.csv", "ccl18:1")
    assert {lone_map.severity, lone_export.severity} == {Severity.ERROR}


def test_an_embedded_layout_stands_in_for_a_map_and_loses_against_one(study: "Folder") -> None:
    grid = (study.path / "plates/ccl18.csv").read_text()
    study.write("plates/ccl18.csv", grid + "\nSample,1,2\nA,Std 1 = 250 pg/mL,blank\nB,M1 1:20,M2 1:40\n")
    (found,) = study.findings(FindingCode.LAYOUT_DISAGREES)
    assert found.severity is Severity.WARNING
    assert (
        found.evidence == "A1: map says 500 pg/mL, export 250 pg/mL; B2: map says 1:20, export 1:40; the map (plates/maps/ccl18.csv) wins"
    )
    assert study.read().layout.frame["concentration"][0] == 500.0
    (study.path / "plates/maps/ccl18.csv").unlink()
    frame = study.read().layout.frame
    assert frame.select("well", "role", "specimen", "analyte", "dilution").rows() == [
        ("A1", "standard", "Std 1", None, None),
        ("A2", "blank", "blank", None, None),
        ("B1", "specimen", "M1", None, 20.0),
        ("B2", "specimen", "M2", None, 40.0),
    ]
    assert not study.findings(FindingCode.EXPORT_WITHOUT_MAP)


def test_a_blank_and_a_zero_standard_do_not_disagree(study: "Folder") -> None:
    grid = (study.path / "plates/ccl18.csv").read_text()
    study.write("plates/ccl18.csv", grid + "\nSample,1,2\nA,Std 1 = 0.5 ng/mL,Std 8 = 0 pg/mL\nB,M1 1:20,M2 1:20\n")
    assert not study.findings(FindingCode.LAYOUT_DISAGREES)


def test_readings_that_stand_twice_are_refused(study: "Folder") -> None:
    one = study.plate()
    study.write("plates/ccl18.csv", "")
    assert "plates/ccl18.csv: the file is empty" in study.refusal()
    study.export("plates/ccl18.csv", replace(one, readings=one.readings))
    assert study.read().readings.height == 96


def bead_export(*analytes: str) -> bytes:
    """Three wells of one bead plate: a standard with its nominal value, a blank and an unknown."""
    plates = []
    for at, analyte in enumerate(analytes, 1):
        wells = ("A1", "B1", "C1")
        readings = tuple(WellReading(well, None, 100.0 * at, ReadingStatus.OK, SignalKind.RAW, f"{100 * at}", "") for well in wells)
        layout = (
            WellLayout("A1", WellRole.STANDARD, "Standard1", 500.0, None, "pg/ml", "", analyte),
            WellLayout("B1", WellRole.BLANK, "Background0", None, None, None, "", analyte),
            WellLayout("C1", WellRole.SPECIMEN, "Unknown1", None, 2.0, None, "", analyte),
        )
        plates.append(PlateRecord(f"run 7 {analyte}", at, 8, 12, readings, layout))
    return xponent.compose(ExportRecord("xponent", tuple(plates)))


def laid(study: "Folder") -> list[tuple[object, ...]]:
    return study.read().layout.frame.select("plate", "well", "role", "specimen", "analyte", "concentration", "dilution", "origin").rows()


def test_analytes_of_beads_that_the_protocol_lacks_are_left_out_with_a_note(study: "Folder") -> None:
    study.write("plates/beads.csv", bead_export("PARC", "TNF", "IL-9"))
    assert [row[:5] for row in laid(study) if row[0] != "ccl18:1"] == [
        ("beads:1", "A1", "standard", "Standard1", "CCL18"),
        ("beads:1", "B1", "blank", "Background0", "CCL18"),
        ("beads:1", "C1", "specimen", "Unknown1", "CCL18"),
    ]
    (finding,) = study.findings(FindingCode.FILE_ODD)
    assert (finding.place, finding.severity) == ("plates/beads.csv", Severity.NOTE)
    assert finding.evidence == "analytes that are no immunoassay of the protocol are left out: TNF, IL-9"


def test_the_map_of_a_bead_plate_names_its_wells_for_every_analyte(study: "Folder") -> None:
    study.write("plates/beads.csv", bead_export("PARC", "TNF"))
    study.write("plates/maps/beads.csv", HEAD + "run 7,C1,specimen,M1,,,20,\n")
    assert [row for row in laid(study) if row[0] != "ccl18:1"] == [
        ("beads:1", "A1", "standard", "Standard1", "CCL18", 500.0, None, "plates/beads.csv, line 10"),
        ("beads:1", "B1", "blank", "Background0", "CCL18", None, None, "plates/beads.csv, line 11"),
        ("beads:1", "C1", "specimen", "M1", "CCL18", None, 20.0, "plates/maps/beads.csv, line 2"),
    ]
    study.write("plates/maps/beads.csv", HEAD + "run 7,C1,specimen,M1,parc,,20,\nrun 7,B1,specimen,M2,TNF,,20,\n")
    assert [row[3] for row in laid(study) if row[0] == "beads:1"] == ["Standard1", "Background0", "M1"]


def test_what_was_odd_in_an_export_is_a_note(study: "Folder") -> None:
    study.write("plates/ccl18.csv", (study.path / "plates/ccl18.csv").read_bytes() + b"\nread by Ann\n")
    (finding,) = study.findings(FindingCode.FILE_ODD)
    assert (finding.place, finding.severity, finding.evidence.partition(": ")[2]) == ("plates/ccl18.csv", Severity.NOTE, "read by Ann")


def test_a_plate_name_that_only_looks_right_is_refused_with_the_reason(study: "Folder") -> None:
    study.export("plates/ccl18.csv", study.plate("CCL18 a", 1), study.plate("P8", 2))
    study.write("plates/maps/ccl18.csv", HEAD + "CCL18\u00a0a,A1,blank,,CCL18,,,\n")
    assert "; 'CCL18<U+00A0>a' looks like 'CCL18 a' but is not the same. Expected plate names" in study.refusal()


def test_how_a_map_was_read_is_a_note(study: "Folder") -> None:
    study.write("plates/maps/ccl18.csv", study.map.replace("specimen,analyte", "Sample ID,analyte"))
    (finding,) = study.findings(FindingCode.FILE_ODD)
    assert (finding.place, finding.evidence) == ("plates/maps/ccl18.csv", "column 'Sample ID' was read as specimen")
