"""INTELLIFLEX tables: one plate per bead and reporter, few beads, dry wells, and what is refused."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exvivo.errors import InputError
from exvivo.formats import intelliflex
from exvivo.study.design import ExportRecord, PlateRecord, ReadingStatus, SignalKind, WellLayout, WellReading, WellRole

HEAD = "MODEL NAME,PLATE NAME,PLATE START,WELL LOCATION,WELL TYPE,WELL STATUS,SAMPLE ID,DILUTION,"
HEAD += "R25: RP1 ANALYTE NAME,R25: RP1 REGION,R25: RP1 MEDIAN,R25: RP1 NET MEDIAN,R25: RP1 COUNT,R27: RP1 ANALYTE NAME,R27: RP1 MEDIAN,"
ROWS = (
    "DR-SE,P 7,2026-02-25,A1,S1,Completed,Std 1,1,NaN,25,NaN,NaN,0,NaN,NaN,",
    "DR-SE,P 7,2026-02-25,B1,B1,Completed,Blank,1,IL-6,25,14.93809,0.5,69,CCL18,12.64209,",
    "DR-SE,P 7,2026-02-25,C1,U1,Warning,4074421429,50,IL-6,25,6.05021,0,17.65178,CCL18,7.23498,",
    "DR-SE,P 7,2026-02-25,D1,C1,Completed,QC low,2.5,IL-6,25,30.5,16,80,CCL18,9.5,",
)
TEXT = "\n".join([HEAD, *ROWS, ""])


def read(text: str) -> ExportRecord:
    assert intelliflex.recognises(text.encode())
    return intelliflex.parse(text.encode(), "x.csv")


def by_well(plate: PlateRecord) -> dict[str, tuple[float | None, ReadingStatus, str]]:
    return {one.well: (one.signal, one.status, one.text) for one in plate.readings if one.kind is SignalKind.RAW}


def test_each_bead_is_a_plate_named_by_plate_and_analyte() -> None:
    plates = read(TEXT).plates
    assert [(plate.name, plate.position, len(plate.readings)) for plate in plates] == [("P 7 IL-6", 1, 8), ("P 7 CCL18", 2, 4)]
    assert by_well(plates[0]) == {
        "A1": (None, ReadingStatus.MISSED, "NaN (0 beads)"),
        "B1": (14.93809, ReadingStatus.OK, "14.93809"),
        "C1": (6.05021, ReadingStatus.OK, "6.05021 (17.65178 beads)"),
        "D1": (30.5, ReadingStatus.OK, "30.5"),
    }
    assert by_well(plates[1])["A1"] == (None, ReadingStatus.MISSED, "NaN")
    assert plates[0].readings[0].origin == "line 2"


def test_types_samples_and_dilutions_make_the_layout() -> None:
    layout = read(TEXT).plates[1].layout
    assert [(one.well, one.role, one.name, one.concentration, one.dilution, one.analyte) for one in layout] == [
        ("A1", WellRole.STANDARD, "Std 1", None, None, "CCL18"),
        ("B1", WellRole.BLANK, "Blank", None, None, "CCL18"),
        ("C1", WellRole.SPECIMEN, "4074421429", None, 50.0, "CCL18"),
        ("D1", WellRole.QC, "QC low", None, 2.5, "CCL18"),
    ]


def test_beads_without_names_are_called_by_region_and_reporter() -> None:
    text = "PLATE NAME,WELL LOCATION,SAMPLE ID,R25: RP1 MEDIAN,R25: RP1 COUNT,R25: RP2 MEDIAN\n"
    text += "run,A1,Unknown1,130.55469,28,6.69629\nrun,B1,Standard2,1,50,2\n"
    plates = read(text).plates
    assert [plate.name for plate in plates] == ["run R25", "run R25 RP2"]
    assert by_well(plates[0])["A1"] == (130.55469, ReadingStatus.OK, "130.55469 (28 beads)")
    assert [one.role for one in plates[1].layout] == [WellRole.SPECIMEN, WellRole.STANDARD]


def test_plates_of_a_file_stay_apart() -> None:
    text = TEXT + "\n".join(ROWS).replace("P 7", "P 8") + "\n"
    assert [(plate.name, plate.position) for plate in read(text).plates] == [
        ("P 7 IL-6", 1),
        ("P 7 CCL18", 2),
        ("P 8 IL-6", 3),
        ("P 8 CCL18", 4),
    ]


def test_faults_are_told_together() -> None:
    with pytest.raises(InputError) as caught:
        intelliflex.parse(TEXT.replace(",D1,", ",Z9,").replace("14.93809", "high").encode(), "x.csv")
    assert str(caught.value) == (
        "x.csv, line 3: R25: RP1 median 'high' is no reading. Expected a number or NaN. Export again.\n"
        "x.csv, line 5: 'Z9' is no well. Expected A1 to H12 (96 wells) or A1 to P24 (384 wells). Export again."
    )
    with pytest.raises(InputError, match="no column of medians"):
        intelliflex.parse(TEXT.replace("MEDIAN", "MEAN").encode(), "x.csv")


def test_composing_needs_one_plate_and_named_analytes() -> None:
    first, second = read(TEXT).plates
    for plates in ((), (replace(first, layout=()),), (first, replace(second, name="other CCL18"))):
        with pytest.raises(ValueError, match="INTELLIFLEX"):
            intelliflex.compose(ExportRecord("intelliflex", plates))


CELLS = st.tuples(st.integers(-40, 60_000), st.sampled_from(["", "34", "0", "NaN"]))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=12), st.sampled_from([",", ";", "\t"]))
def test_parsing_a_composed_export_gives_the_record(cells: list[tuple[tuple[int, str], tuple[int, str]]], delimiter: str) -> None:
    plates = []
    roles = [WellRole.STANDARD, WellRole.BLANK, WellRole.QC, WellRole.SPECIMEN]
    for at, analyte in enumerate(("IL-6", "CCL18")):
        readings, layout = [], []
        for n, both in enumerate(cells):
            well, (value, count), role = f"A{n + 1}", both[at], roles[n % 4]
            missed = count in {"0", "NaN"}
            text = f"{value / 2:g}" + (f" ({count} beads)" if count else "")
            status = ReadingStatus.MISSED if missed else ReadingStatus.OK
            signal = None if missed else float(f"{value / 2:g}")
            readings.append(WellReading(well, None, signal, status, SignalKind.RAW, text, ""))
            fold = 2.5 if role in {WellRole.QC, WellRole.SPECIMEN} else None
            layout.append(WellLayout(well, role, f"name {n}", None, fold, None, "", analyte))
        plates.append(PlateRecord(f"P 7 {analyte}", at + 1, 8, 12, tuple(readings), tuple(layout)))
    found = intelliflex.parse(intelliflex.compose(ExportRecord("intelliflex", tuple(plates)), delimiter), "x.csv").plates
    bare = [
        replace(
            plate,
            readings=tuple(replace(one, origin="") for one in plate.readings if one.kind is SignalKind.RAW),
            layout=tuple(replace(one, origin="") for one in plate.layout),
        )
        for plate in found
    ]
    assert bare == plates
