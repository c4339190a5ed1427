"""A curve read back from its table is the curve that was fitted."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from exvivo.calibrate import calibrate_plates
from exvivo.engine import Work
from exvivo.numerics.inverse import Readings, estimate_concentrations
from exvivo.read.batch import find_exports
from exvivo.read.single import read_exports
from exvivo.report.rebuilding import lay_bands, profile_cv, rebuild_curve, standardise
from exvivo.study.decisions import Decisions
from exvivo.study.model import AssayRules, CurveRules
from exvivo.study.protocol import Assays
from exvivo.study.run import Calibration

WEIGHTINGS = ("fitted", "none", "1/y", "1/y2")


def calibrate(folder: Path, weighting: str) -> Calibration:
    exports = read_exports(find_exports([folder], None), Work())
    rules = AssayRules(curve=CurveRules.model_validate({"weighting": weighting}))
    return calibrate_plates(exports.inputs, Assays(rules, exports.readouts), Decisions(), Work())


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_intervals_of_wells_come_back_from_the_table_alone(tmp_path: Path, write_plate: Callable[..., Path], weighting: str) -> None:
    write_plate(tmp_path, "a")
    write_plate(tmp_path, "b", seed=2)
    calibration = calibrate(tmp_path, weighting)
    rows = [row for row in calibration.curves.rows() if row["plate"] == "b:1"]
    curve = rebuild_curve(rows[0])
    wells = [row for row in calibration.wells.rows() if row["plate"] == "b:1" and row["role"] == "specimen" and row["concentration"]]
    signals = np.array([[float(str(row["signal"]))] for row in wells])
    shape = signals.shape
    folds = np.full(shape, np.log(20.0))
    readings = Readings(np.zeros(shape[0], dtype=np.intp), signals, folds, np.zeros(shape, dtype=np.bool_), np.ones(shape, dtype=np.bool_))
    found = estimate_concentrations([curve], readings)
    assert np.exp(found.log_conc).tolist() == pytest.approx([row["concentration"] for row in wells], rel=1e-9)
    for name, ends in (("ci_low", found.ci_low), ("ci_high", found.ci_high)):
        known = [k for k, row in enumerate(wells) if row[name] is not None]
        assert len(known) > 20
        assert np.exp(ends[known]).tolist() == pytest.approx([wells[k][name] for k in known], rel=1e-6)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_the_precision_profile_crosses_its_limit_where_the_table_says(
    tmp_path: Path, write_plate: Callable[..., Path], weighting: str
) -> None:
    write_plate(tmp_path, "a", cv=0.09)
    calibration = calibrate(tmp_path, weighting)
    (row,) = calibration.curves.rows()
    inside = [float(str(row[name])) for name in ("lloq", "uloq") if row[name] not in {15.625, 1000.0}]
    assert inside, "at least one limit lies between the standards"
    assert profile_cv(rebuild_curve(row), np.log(inside), 2).tolist() == pytest.approx([20.0] * len(inside), rel=0.01)


def test_the_band_of_one_reading_holds_the_band_of_the_mean(tmp_path: Path, write_plate: Callable[..., Path]) -> None:
    write_plate(tmp_path, "a")
    (row,) = calibrate(tmp_path, "fitted").curves.rows()
    curve = rebuild_curve(row)
    bands = lay_bands(curve, np.log([20.0, 200.0, 900.0]))
    assert (bands.prediction > bands.mean).all()
    assert (bands.mean > 0).all()
    sd = np.sqrt(float(curve.variance.at(bands.signal[1])))
    assert standardise(curve, float(bands.signal[1] + sd), float(np.log(200.0))) == pytest.approx(1.0)
