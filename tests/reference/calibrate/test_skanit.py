"""A reader's own curve and concentrations, reproduced under its own settings (unweighted, blank subtracted)."""

import json
from pathlib import Path

import polars as pl
import pytest
from python_calamine import CalamineWorkbook

from exvivo.calibrate import calibrate_plates
from exvivo.engine import Work
from exvivo.study.decisions import Decisions
from exvivo.study.model import AssayRules, CurveRules, ElisaReadout, Standards
from exvivo.study.protocol import Assays
from exvivo.study.run import Calibration, Inputs
from exvivo.study.tables import CLINICAL, EVENTS, FILES, LAYOUT, QUANTIFIED, READINGS, SPECIMENS, TUBE_SHEET, VENDOR

NOMINAL = [1.0, 0.5, 0.25, 0.125, 0.063, 0.031, 0.016]  # as printed in the export's layout, ug/mL


def cells(workbook: CalamineWorkbook, sheet: str, title: str) -> dict[str, object]:
    """8 x 12 block below the row that begins with ``title``."""
    rows = workbook.get_sheet_by_name(sheet).to_python()
    first = next(i for i, row in enumerate(rows) if row[0] == title) + 1
    return {f"{row[0]}{column}": row[column] for row in rows[first : first + 8] for column in range(1, 13)}


@pytest.fixture(scope="module")
def workbook(shared_data: Path) -> CalamineWorkbook:
    return CalamineWorkbook.from_path(str(shared_data / "plates/skanit/skanit_data.xlsx"))


@pytest.fixture(scope="module")
def calibration(workbook: CalamineWorkbook) -> Calibration:
    signals, names = cells(workbook, "Absorbance 1_01", "Abs"), cells(workbook, "Absorbance 1_01", "Sample")
    reduced = cells(workbook, "Blank Subtraction 1_02", "Blank subtracted")
    folds = cells(workbook, "Dilution Factor 1_04", "Dilution factor")
    readings, layout = [], []
    for well, name in names.items():
        shared = {
            "plate": "skanit:1",
            "file": "skanit.xlsx",
            "well": well,
            "wavelength_nm": 450,
            "status": "ok",
            "text": "",
            "origin": well,
        }
        readings.append({**shared, "kind": "raw", "signal": signals[well]})
        readings.append({**shared, "kind": "reduced", "signal": reduced[well]})
        role = {"S": "standard", "B": "blank", "U": "specimen"}[str(name)[0]]
        nominal = NOMINAL["ABCDEFG".index(well[0])] if role == "standard" else None
        fold = folds[well] if role == "specimen" else None
        place = {"plate": "skanit:1", "well": well, "role": role, "specimen": name, "origin": well}
        layout.append({**place, "concentration": nominal, "dilution": fold, "unit": "microg/ml" if nominal else None})
    inputs = Inputs(
        folder=Path(),
        files=FILES.empty(),
        specimens=SPECIMENS.empty(),
        readings=READINGS.from_rows(readings),
        layout=LAYOUT.from_rows(layout),
        vendor=VENDOR.empty(),
        events=EVENTS.empty(),
        tube_sheet=TUBE_SHEET.empty(),
        clinical=CLINICAL.empty(),
        quantified=QUANTIFIED.empty(),
        found=(),
        blinded=False,
    )
    readout = ElisaReadout(kind="elisa", label="APOE", unit="ug/mL", standards=Standards(top=1, points=7, factor=2))
    rules = AssayRules(curve=CurveRules(weighting="none", subtract_blank=True))
    return calibrate_plates(inputs, Assays(rules, {"APOE": readout}), Decisions(), Work())


def test_the_curve_is_the_readers(calibration: Calibration) -> None:
    found = json.loads(calibration.curves.frame["parameters"][0])
    for name, printed, tolerance in (("a", -0.0678141, 5e-3), ("b", 0.78981, 1e-3), ("c", 0.748878, 1e-3), ("d", 2.89758, 1e-3)):
        assert found[name] == pytest.approx(printed, rel=tolerance)
    assert calibration.curves.frame["note"][0] == "top-asymptote"


def test_the_concentrations_are_the_readers(calibration: Calibration, workbook: CalamineWorkbook) -> None:
    printed = {well: cell for well, cell in cells(workbook, "Dilution Factor 1_04", "Value").items() if isinstance(cell, float)}
    ours = dict(calibration.wells.frame.select("well", "concentration").iter_rows())
    assert len(printed) > 50
    for well, concentration in printed.items():
        assert ours[well] == pytest.approx(concentration, rel=0.01), well


def test_the_readers_blank_subtraction_agrees_with_ours(calibration: Calibration) -> None:
    verdict = calibration.verdicts.frame.filter(pl.col("rule") == "reduced-agrees")
    assert verdict["passed"].to_list() == [True]
