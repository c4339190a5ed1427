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
    df = dict(curves.select("plate", "variance_df").iter_rows())
    assert df["a:1"] == df["b:1"] > df["c:1"]


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


def gen_two_wavelengths(folder: Path, name: str, wavelengths: tuple[int, int]) -> None:
    """The plate again as a workbook of two grids, one for each wavelength; the second reads 0.1 everywhere."""
    lines = (folder / f"{name}.csv").read_text(encoding="utf-8").splitlines()[1:]
    flat = [line if k == 0 else line[0] + ",0.100" * 12 for k, line in enumerate(lines)]
    blocks = [f"Plate: {name}", f"Wavelength: {wavelengths[0]} nm", *lines, "", f"Wavelength: {wavelengths[1]} nm", *flat]
    (folder / f"{name}.csv").write_text("\n".join(blocks) + "\n", encoding="utf-8")


def test_plates_with_another_reference_wavelength_are_reduced_as_they_would_be_alone(tmp_path: Path, write_plate: WritePlate) -> None:
    alone: dict[str, float] = {}
    for name, pair in (("a", None), ("b", (450, 570)), ("c", (450, 620))):
        write_plate(tmp_path / name, name)
        if pair:
            gen_two_wavelengths(tmp_path / name, name, pair)
        curves = calibrate(read(tmp_path / name)).wells.frame
        alone[name] = float(curves.filter(pl.col("well") == "A1")["signal"][0])
        for part in ("", "maps/"):
            (tmp_path / "all" / part).mkdir(parents=True, exist_ok=True)
            (tmp_path / name / part / f"{name}.csv").rename(tmp_path / "all" / part / f"{name}.csv")
    exports = read(tmp_path / "all")
    wells = calibrate(exports).wells.frame.filter(pl.col("well") == "A1")
    assert {plate[0]: signal for plate, signal in wells.select("plate", "signal").iter_rows()} == pytest.approx(alone)
    assert alone["b"] == pytest.approx(alone["a"] - 0.1)
    assert list(exports.readouts) == ["CXCL10", "CXCL10 at 450 minus 620 nm"]
    (found,) = exports.inputs.found
    assert (found.code, found.place) == (FindingCode.FILE_ODD, "c.csv CXCL10")
