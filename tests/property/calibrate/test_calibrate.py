"""Laws of the stage: order is irrelevant, units and dilutions scale."""

import math
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from exvivo.calibrate import calibrate_plates
from exvivo.engine import Work
from exvivo.numerics.logistic import value
from exvivo.study.decisions import Decisions
from exvivo.study.design import well_name
from exvivo.study.model import AssayRules, ElisaReadout, Standards
from exvivo.study.protocol import Assays
from exvivo.study.run import Calibration, Inputs
from exvivo.study.tables import CLINICAL, EVENTS, FILES, LAYOUT, QUANTIFIED, READINGS, SPECIMENS, TUBE_SHEET, VENDOR

TRUTH = np.array([0.07, 1.15, math.log(350.0), 3.2])
Row = dict[str, object]
seeds = st.integers(0, 2**32 - 1)


def make_rows(seed: int, unit: str = "pg/mL", dilution: float = 2.0) -> tuple[list[Row], list[Row]]:
    """Readings and layout of one plate: standards and 16 specimens in duplicate; the seed alone decides the signals."""
    rng = np.random.default_rng(seed)
    factor = {"pg/mL": 1.0, "ng/mL": 1e-3}[unit]
    readings: list[Row] = []
    layout: list[Row] = []
    for row in range(8):
        for column in range(6):
            standard = column < 2
            concentration = (1000 * 0.5**row if row < 7 else 0.0) if standard else math.exp(rng.normal(4.5, 1.2))
            mean = float(value(math.log(concentration) if concentration else -math.inf, TRUTH))
            place: Row = {"plate": "p:1", "well": well_name(row, column), "origin": "x"}
            signal = mean * (1 + 0.04 * rng.standard_normal()) + 0.005 * rng.standard_normal()
            reading = {"file": "p", "wavelength_nm": 450, "kind": "raw", "signal": signal, "status": "ok"}
            readings.append({**place, **reading})
            name = f"S{row}" if standard else f"M{row}{column // 2}"
            layout.append(
                {
                    **place,
                    "role": "standard" if standard else "specimen",
                    "specimen": name,
                    "unit": unit,
                    "concentration": concentration * factor if standard else None,
                    "dilution": None if standard else dilution,
                }
            )
    return readings, layout


def calibrate(readings: list[Row], layout: list[Row]) -> Calibration:
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
    readout = ElisaReadout(kind="elisa", label="IL-6", unit="pg/mL", standards=Standards(top=1000, points=7, factor=2))
    return calibrate_plates(inputs, Assays(AssayRules(min_levels=4), {"IL6": readout}), Decisions(), Work())


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_the_order_of_rows_is_irrelevant_to_the_last_bit(seed: int) -> None:
    readings, layout = make_rows(seed)
    order = np.random.default_rng(seed).permutation(len(readings))
    here, there = calibrate(readings, layout), calibrate([readings[i] for i in order], [layout[i] for i in reversed(order)])
    for name in ("wells", "curves", "verdicts", "concentrations"):
        assert getattr(here, name).frame.equals(getattr(there, name).frame)
    assert here.shared_error.table.frame.equals(there.shared_error.table.frame)


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_a_map_in_another_unit_gives_the_same_concentrations(seed: int) -> None:
    here, there = (calibrate(*make_rows(seed, unit)).concentrations.frame for unit in ("pg/mL", "ng/mL"))
    assert here["status"].equals(there["status"])
    for name in ("concentration", "ci_low", "ci_high", "se_log", "upper_bound"):
        a, b = (frame[name].fill_null(1.0).to_numpy() for frame in (here, there))
        np.testing.assert_allclose(a, b, rtol=1e-5)


@settings(max_examples=10, deadline=None)
@given(seeds, st.sampled_from([1.0, 4.0, 50.0]))
def test_dilution_scales_concentrations_and_bounds_and_no_error(seed: int, dilution: float) -> None:
    here, there = (calibrate(*make_rows(seed, dilution=fold)).concentrations.frame for fold in (2.0, dilution))
    assert here["status"].equals(there["status"])
    ratio = (there["concentration"] / here["concentration"]).drop_nulls().to_numpy()
    np.testing.assert_allclose(ratio, dilution / 2, rtol=1e-6)
    np.testing.assert_allclose(there["se_log"].drop_nulls().to_numpy(), here["se_log"].drop_nulls().to_numpy(), rtol=1e-5)
    shift = (there["upper_bound"] - here["upper_bound"]).drop_nulls().to_numpy()
    np.testing.assert_allclose(shift, math.log(dilution / 2), atol=1e-6)
