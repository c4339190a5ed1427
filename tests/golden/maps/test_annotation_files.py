"""Annotation files that accompany real exports are no map format; a long map made from them is."""

from pathlib import Path

import pytest

from exvivo.errors import InputError
from exvivo.formats import maps, softmax
from exvivo.formats.delimited import decode_text
from exvivo.formats.maps import MapRecord, PlateMap
from exvivo.study.design import WellLayout, WellRole, well_name


def layout(well: str, name: str, standards: dict[str, float]) -> WellLayout:
    if name in standards:
        return WellLayout(well, WellRole.STANDARD, name, standards[name], 1.0, "pg/mL", "", "CCL18")
    return WellLayout(well, WellRole.SPECIMEN, name, None, 10.0, None, "", "CCL18")


def long_map(folder: Path) -> bytes:
    concentrations = [line.split("\t") for line in decode_text((folder / "stdConc.txt").read_bytes(), "x").text.splitlines()]
    standards = {cells[0]: float(cells[1]) for cells in concentrations[2:10]}
    rows = [line.split("\t") for line in decode_text((folder / "AnExp_2plate.txt").read_bytes(), "x").text.splitlines()]
    plates = []
    for position, first in enumerate((2, 14), 1):
        wells = [
            layout(well_name(row, column), rows[first + row][column + 1], standards)
            for row in range(8)
            for column in range(12)
            if rows[first + row][column + 1]
        ]
        plates.append(PlateMap(str(position), tuple(wells)))
    return maps.compose(MapRecord(tuple(plates)))


def test_a_long_map_from_the_annotation_covers_both_plates(shared_data: Path) -> None:
    folder = shared_data / "plates" / "softmax"
    record = maps.parse(long_map(folder), "Assay_3_and_4.csv")
    assert [plate.plate for plate in record.plates] == ["1", "2"]
    by_well = {one.well: one for one in record.plates[1].wells}
    assert (by_well["A1"].concentration, by_well["G3"].concentration, by_well["H2"].concentration) == (3000.0, 46.9, 0.0)
    assert (by_well["B4"].name, by_well["E11"].name) == ("p1", "Control")
    export = softmax.parse((folder / "Assay_3_and_4.txt").read_bytes(), "Assay_3_and_4.txt")
    assert set(by_well) <= {one.well for one in export.plates[1].readings}


def test_the_annotation_itself_is_refused_as_a_map(shared_data: Path) -> None:
    with pytest.raises(InputError, match="no plate map was found"):
        maps.parse((shared_data / "plates" / "softmax" / "stdConc.txt").read_bytes(), "stdConc.txt")
    with pytest.raises(InputError, match="without dilution"):
        maps.parse((shared_data / "plates" / "softmax" / "AnExp_2plate.txt").read_bytes(), "AnExp_2plate.txt")
