from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from exvivo.calibrate import calibrate_plates
from exvivo.engine import Work
from exvivo.read.batch import find_exports
from exvivo.read.single import Exports, read_exports
from exvivo.study.decisions import Decisions
from exvivo.study.findings import FindingCode
from exvivo.study.model import AssayRules
from exvivo.study.protocol import Assays
from exvivo.study.run import Calibration
from exvivo.study.statuses import Severity

WritePlate = Callable[..., Path]


def read(folder: Path) -> Exports:
    return read_exports(find_exports([folder], None), Work())


def calibrate(exports: Exports) -> Calibration:
    return calibrate_plates(exports.inputs, Assays(AssayRules(), exports.readouts), Decisions(), Work())


def test_plates_of_one_analyte_share_their_variance_and_others_do_not(tmp_path: Path, write_plate: WritePlate) -> None:
    for seed, (name, analyte) in enumerate([("a", "IL6"), ("b", "IL6"), ("c", "CCL18")]):
        write_plate(tmp_path, name, seed=seed, analyte=analyte)
    curves = calibrate(read(tmp_path)).curves.frame
    scatter = dict(curves.select("plate", "sigma0").iter_rows())
    assert scatter["a:1"] == scatter["b:1"]
    assert scatter["a:1"] != scatter["c:1"]
    assert dict(curves.select("plate", "variance_df").iter_rows()) == {"a:1": 24.0, "b:1": 24.0, "c:1": 12.0}


def test_spellings_of_one_analyte_are_joined_and_told(tmp_path: Path, write_plate: WritePlate) -> None:
    write_plate(tmp_path, "a", analyte="IL-6")
    write_plate(tmp_path, "b", analyte="il6", seed=2)
    exports = read(tmp_path)
    assert list(exports.readouts) == ["IL-6"]
    assert exports.inputs.layout.frame["analyte"].unique().to_list() == ["IL-6"]
    (found,) = exports.inputs.found
    assert (found.code, found.severity, found.place) == (FindingCode.ID_SIMILAR, Severity.WARNING, "b.csv il6")
    assert found.evidence == "'il6' here, 'IL-6' in a.csv: taken as one analyte"


def test_another_unit_of_the_same_amount_is_converted_and_told(tmp_path: Path, write_plate: WritePlate) -> None:
    write_plate(tmp_path, "a")
    write_plate(tmp_path, "b")
    plain = calibrate(read(tmp_path)).concentrations.frame
    text = (tmp_path / "maps" / "b.csv").read_text(encoding="utf-8")
    lines = [line.split(",") for line in text.splitlines()]
    changed = [[*row[:5], str(float(row[5]) / 1000), row[6], "ng/mL"] if row[5] and row[7] == "pg/mL" else row for row in lines]
    (tmp_path / "maps" / "b.csv").write_text("\n".join(map(",".join, changed)) + "\n", encoding="utf-8")
    exports = read(tmp_path)
    assert [(found.severity, found.evidence) for found in exports.inputs.found] == [
        (Severity.NOTE, "standards in ng/mL, another export has pg/mL: converted")
    ]
    converted = calibrate(exports).concentrations.frame
    assert converted["unit"].unique().to_list() == ["pg/mL"]
    assert converted["concentration"].to_list() == pytest.approx(plain["concentration"].to_list(), rel=1e-9)


def test_wells_without_analyte_belong_to_the_only_one_of_their_export(tmp_path: Path, write_plate: WritePlate) -> None:
    write_plate(tmp_path, "a", analyte="IL6")
    write_plate(tmp_path, "b", analyte="")
    layout = read(tmp_path).inputs.layout.frame
    named = layout.group_by("plate").agg(pl.col("analyte").unique()).sort("plate")
    assert named["analyte"].to_list() == [["IL6"], ["analyte"]]


def test_the_usual_number_of_wells_counts_not_the_largest(tmp_path: Path, write_plate: WritePlate) -> None:
    write_plate(tmp_path, "a")
    path = tmp_path / "maps" / "a.csv"
    text = path.read_text(encoding="utf-8").replace(",S02,", ",S01,").replace(",S03,", ",S01,")
    path.write_text(text, encoding="utf-8")
    (readout,) = read(tmp_path).readouts.values()
    assert readout.replicates == 2
