"""Settings of a reader's software found from what it printed; the software is played by scipy with the formula of MasterPlex and Bio-Plex.

F = A + D / (1 + (x / C)^B)^E with weights 1/F^2 (Cumberland et al. 2015, J Immunol Methods 423:1), concentrations to four digits.
"""

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.optimize import curve_fit

from exvivo.calibrate.analyte import AnalyteTask, calibrate_analyte
from exvivo.calibrate.compare import compare_with_vendor
from exvivo.calibrate.standards import Well
from exvivo.calibrate.vendor import match_vendor
from exvivo.study.model import AssayRules, CurveRules, ElisaReadout, Standards
from exvivo.study.run import Calibration, SharedError
from exvivo.study.tables import CONCENTRATIONS, CONTROLS, CURVES, LIMITS, SHARED_ERROR, VENDOR, VERDICTS, WELLS, Table

READOUT = ElisaReadout(kind="elisa", label="X", unit="pg/mL", standards=Standards(top=10000, points=8, factor=4), replicates=1)
LEVELS = (10000 * 0.25 ** np.arange(8)).repeat(2)


def software(x: np.ndarray, a: float, span: float, log_c: float, b: float, log_e: float) -> np.ndarray:
    return np.asarray(a + span / (1 + (x / np.exp(log_c)) ** -b) ** np.exp(log_e))


def well(index: int, signal: float, nominal: float | None) -> Well:
    empty = dict.fromkeys(("background", "cap", "reason", "detail", "state", "reduced", "reduced_gap", "lot"))
    role, name = ("standard", None) if nominal else ("specimen", f"M{index}")
    place = f"{'ABCDEFGH'[index % 8]}{1 + index // 8}"
    return Well(
        plate="P:1", well=place, role=role, specimen=name, analyte="X", nominal=nominal, dilution=1.0, raw_signal=signal, signal=signal,
        unit="pg/mL", status="ok", origin="here", **empty,
    )  # fmt: skip


class Kit:
    """One bead plate with what its software printed for 24 specimens."""

    def __init__(self, sigma: np.ndarray | None) -> None:
        rng = np.random.default_rng(12)
        truth = (25.0, 21000.0, np.log(900.0), 1.25, np.log(0.55))
        standards = software(LEVELS, *truth) * (1 + 0.06 * rng.standard_normal(LEVELS.size))
        unknown = np.exp(rng.uniform(np.log(8), np.log(6000), 24))
        signals = software(unknown, *truth) * (1 + 0.06 * rng.standard_normal(24))
        weights = standards if sigma is None else sigma
        fitted, _ = curve_fit(software, LEVELS, standards, p0=truth, sigma=weights, xtol=1e-13, ftol=1e-13, maxfev=20000)
        a, span, log_c, b, log_e = fitted
        self.printed = np.exp(log_c) * ((span / (signals - a)) ** np.exp(-log_e) - 1) ** (-1 / b)
        self.wells = [well(i, y, x) for i, (x, y) in enumerate(zip(LEVELS.tolist(), standards.tolist(), strict=True))]
        self.wells += [well(16 + i, y, None) for i, y in enumerate(signals.tolist())]

    def vendor(self) -> Table:
        """What the software printed."""
        cells = [(w.well, float(f"{x:.4g}")) for w, x in zip(self.wells[16:], self.printed, strict=True)]
        rows = [
            {"plate": "P:1", "well": name, "concentration": x, "status": "quantified", "text": f"{x:g}", "origin": "here"}
            for name, x in cells
        ]
        return VENDOR.from_rows(rows)

    def calibrate(self, rules: CurveRules) -> Calibration:
        """Our own engine under some rules."""
        frames = calibrate_analyte(AnalyteTask.of("X", READOUT, AssayRules(curve=rules), self.wells)).frames
        tables = [kind.build(frames[kind.name]) for kind in (WELLS, CURVES, VERDICTS, LIMITS, CONTROLS, CONCENTRATIONS, SHARED_ERROR)]
        return Calibration(
            wells=tables[0], curves=tables[1], verdicts=tables[2], limits=tables[3], controls=tables[4], concentrations=tables[5],
            shared_error=SharedError(tables[6]),
        )  # fmt: skip


@pytest.mark.parametrize("names", [("Logistic 5P Weighted",), ("Logistic - 5PL",), ()])
def test_a_weighted_five_parameter_fit_is_recognised_and_reproduced(names: Sequence[str]) -> None:
    kit = Kit(None)
    found = match_vendor(kit.vendor(), names, {}, kit.calibrate)
    assert (found.rules.model, found.rules.branch, found.rules.weighting) == ("5PL", "d-side", "1/y2")
    calibration = kit.calibrate(found.rules)
    compared = compare_with_vendor(kit.vendor(), calibration.wells, calibration.curves)
    assert float(np.median(np.abs(compared["relative_difference"].to_numpy()))) < 0.002
    assert found.difference == pytest.approx(float(np.median(np.abs(compared["relative_difference"].to_numpy()))))
    assert "24 printed concentrations" in found.tell()


def test_an_unweighted_fit_is_told_from_a_weighted_one_though_the_export_does_not_say() -> None:
    kit = Kit(np.ones(LEVELS.size))
    found = match_vendor(kit.vendor(), (), {}, kit.calibrate)
    assert (found.rules.model, found.rules.weighting) == ("5PL", "none")
    assert found.difference is not None
    assert found.difference < 0.002


def test_what_a_person_sets_is_kept() -> None:
    kit = Kit(None)
    found = match_vendor(kit.vendor(), ("Logistic 5P Weighted",), {"model": "4PL", "weighting": "1/y"}, kit.calibrate)
    assert (found.rules.model, found.rules.weighting) == ("4PL", "1/y")


def test_without_printed_concentrations_the_usual_settings_are_taken_and_said() -> None:
    kit = Kit(None)
    found = match_vendor(VENDOR.empty(), (), {}, kit.calibrate)
    assert (found.rules.model, found.rules.weighting, found.rules.subtract_blank) == ("4PL", "none", True)
    assert "fewer than 3 concentrations to judge by" in found.tell()
