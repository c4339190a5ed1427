"""Standard series that are pipetted anew for each plate: coverage of 95 % intervals with and without QCs that show it.

15 studies of 16 plates; seven two-fold standards and a zero in duplicate, every series off by its own factor (SD 8 %), which its labels do
not tell; two QCs in duplicate on each plate; specimens in single wells. Seeds fixed.
"""

import numpy as np
import pytest

from exvivo.calibrate.analyte import AnalyteTask, calibrate_analyte
from exvivo.calibrate.standards import Well
from exvivo.numerics.logistic import value
from exvivo.numerics.variance import VarianceFunction
from exvivo.study.design import well_name
from exvivo.study.model import AssayRules, CurveRules, ElisaReadout, Standards

TRUTH = np.array([0.07, 1.15, np.log(350.0), 3.2])
SCATTER = VarianceFunction(0.008, 0.05, np.inf)
LEVELS = [*(1000 * 0.5 ** np.arange(7)).repeat(2), 0.0, 0.0]
QCS = {"low": 40.0, "high": 400.0}
SPECIMENS = [20.0, 60.0, 150.0, 300.0, 600.0]
READOUT = ElisaReadout(kind="elisa", label="X", unit="pg/mL", standards=Standards(top=1000, points=7, factor=2), replicates=1)
RULES = AssayRules(curve=CurveRules(model="4PL"))
STUDIES, PLATES, SD = 15, 16, 0.08


def plate(index: int, rng: np.random.Generator, *, with_qc: bool) -> list[Well]:
    strength = np.exp(SD * rng.standard_normal())
    held: list[tuple[str, str | None, float | None, float]] = [("standard", None, x, x * strength) for x in LEVELS]
    held += [("qc", name, x, x) for name, x in QCS.items() for _ in range(2) if with_qc]
    held += [("specimen", f"M{x:g}", None, x) for x in SPECIMENS]
    empty = dict.fromkeys(("background", "cap", "reason", "detail", "state", "reduced", "reduced_gap", "lot"))
    wells = []
    for i, (role, name, nominal, x) in enumerate(held):
        with np.errstate(divide="ignore"):
            mean = float(value(np.log(x), TRUTH))
        y = mean + float(np.sqrt(SCATTER.at(mean))) * rng.standard_normal()
        place = {"plate": f"P{index}:1", "well": well_name(i % 8, i // 8), "role": role, "specimen": name}
        read = {"analyte": "X", "dilution": 1.0, "unit": "pg/mL", "status": "ok", "origin": "here"}
        wells.append(Well(**place, **read, **empty, nominal=nominal, raw_signal=y, signal=y))  # type: ignore[arg-type]
    return wells


def cover(study: int, *, with_qc: bool) -> tuple[float, float]:
    """Share of intervals that hold the truth, and the SD between plates that was found."""
    rng = np.random.default_rng([20261125, study])
    wells = [well for index in range(PLATES) for well in plate(index, rng, with_qc=with_qc)]
    frames = calibrate_analyte(AnalyteTask.of("X", READOUT, RULES, wells)).frames
    rows = [row for row in frames["wells"].to_dicts() if row["role"] == "specimen"]
    hits = [(row["ci_low"] or 0.0) <= float(row["specimen"][1:]) <= (row["ci_high"] or np.inf) for row in rows]
    return float(np.mean(hits)), frames["curves"]["plate_sd"][0] or 0.0


@pytest.mark.slow
def test_controls_on_every_plate_give_intervals_that_hold_whatever_the_series_was() -> None:
    shown, hidden = (np.array([cover(study, with_qc=qc) for study in range(STUDIES)]) for qc in (True, False))
    error = shown[:, 0].std(ddof=1) / np.sqrt(STUDIES)
    assert abs(shown[:, 0].mean() - 0.95) < 0.015 + 3 * error, shown[:, 0].mean()
    assert hidden[:, 0].mean() < 0.90
    assert shown[:, 1].mean() == pytest.approx(SD, abs=0.02)
    assert np.all(hidden[:, 1] == 0.0)
