"""A real export of two plates: exchange two standards of one plate in its map, and only that plate is called out."""

import itertools
import re
from pathlib import Path

import pytest

from exvivo.formats import maps
from exvivo.formats.delimited import decode_text
from exvivo.formats.maps import MapRecord, PlateMap
from exvivo.pipeline import calibrate_export
from exvivo.study.design import WellLayout, WellRole, well_name

STANDARDS = ("s1", "s2", "s3", "s4", "s5", "s6", "s7")


def write_map(folder: Path, target: Path, exchanged: tuple[int, str, str] | None) -> Path:
    lines = [line.split("\t") for line in decode_text((folder / "stdConc.txt").read_bytes(), "x").text.splitlines()]
    known = {cells[0]: float(cells[1]) for cells in lines[2:10]}
    rows = [line.split("\t") for line in decode_text((folder / "AnExp_2plate.txt").read_bytes(), "x").text.splitlines()]
    plates = []
    for position, first in enumerate((2, 14), 1):
        levels = dict(known)
        if exchanged is not None and exchanged[0] == position:
            _, a, b = exchanged
            levels[a], levels[b] = levels[b], levels[a]
        wells = [
            WellLayout(well_name(row, column), WellRole.STANDARD, name, levels[name], 1.0, "pg/mL", "", "CCL18")
            for row in range(8)
            for column in range(12)
            if (name := rows[first + row][column + 1]) in levels
        ]
        plates.append(PlateMap(str(position), tuple(wells)))
    target.write_bytes(maps.compose(MapRecord(tuple(plates))))
    return target


def called(folder: Path, out: Path, exchanged: tuple[int, str, str] | None) -> dict[str, str]:
    written = calibrate_export(folder / "Assay_3_and_4.txt", write_map(folder, out / "Assay_3_and_4.csv", exchanged), out / "conc")
    return {row["place"]: row["evidence"] for row in written.findings.frame.iter_rows(named=True) if row["code"] == "standards-exchanged"}


@pytest.mark.parametrize("plate", [1, 2])
def test_the_exchanged_top_is_called_with_recoveries_and_the_twin_is_not(shared_data: Path, tmp_path: Path, plate: int) -> None:
    found = called(shared_data / "plates" / "softmax", tmp_path, (plate, "s1", "s2"))
    assert set(found) == {f"Assay_3_and_4:{plate}"}
    (evidence,) = found.values()
    assert evidence.startswith("standards 3000 and 1500 of CCL18")
    match = re.search(r"as labelled, (\d+)% and (\d+)% with the two exchanged", evidence)
    assert match is not None
    assert all(85 <= int(recovery) <= 115 for recovery in match.groups())


def test_any_two_standards_exchanged_are_the_two_that_are_named(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "plates" / "softmax"
    assert called(folder, tmp_path, None) == {}
    levels = dict(zip(STANDARDS, ("3000", "1500", "750", "375", "187.5", "93.8", "46.9"), strict=True))
    for a, b in itertools.combinations(STANDARDS, 2):
        found = called(folder, tmp_path, (2, a, b))
        assert set(found) == {"Assay_3_and_4:2"}, (a, b)
        assert found["Assay_3_and_4:2"].startswith(f"standards {levels[a]} and {levels[b]} ")
