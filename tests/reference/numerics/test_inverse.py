"""Inversion intervals against R's investr 1.4.2 on an unweighted 4PL of ryegrass (drcData), single readings."""

import csv
from pathlib import Path

import numpy as np
import pytest

from exvivo.numerics.curves import Weighting, fit_curves
from exvivo.numerics.inverse import Readings, estimate_concentrations
from exvivo.numerics.least_squares import Standards

# y0: (x, lower, upper) of invest(interval = "inversion", mean.response = FALSE); R's root finder stops at about 1e-4
RYEGRASS = {
    2.0: (4.79077764685359, 3.62719542769555, 8.13647558925195),
    4.0: (3.13592782634397, 2.48227626669512, 3.97879130606557),
    6.0: (2.09753372727432, 1.38283936969952, 2.72046285625678),
}
# standard errors of the same estimates, from interval = "Wald" (delta method on the concentration scale)
RYEGRASS_SE = {2.0: 0.779212332873837, 4.0: 0.338012842237008, 6.0: 0.308788265494099}


def single(signals: list[float]) -> Readings:
    column = np.array(signals)[:, None]
    no = np.zeros(column.shape, dtype=np.bool_)
    return Readings(np.zeros(len(signals), dtype=np.intp), column, np.zeros(column.shape), no, ~no)


def read(path: Path, concentration: str, signal: str) -> Standards:
    with path.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    with np.errstate(divide="ignore"):
        return Standards(np.log([float(row[concentration]) for row in rows]), np.array([float(row[signal]) for row in rows]))


def test_inversion_intervals_agree_with_investr(shared_data: Path) -> None:
    curves = fit_curves([read(shared_data / "curves/sets/ryegrass.csv", "conc", "rootl")], Weighting.NONE)
    found = estimate_concentrations(curves, single(list(RYEGRASS)))
    expected = np.array(list(RYEGRASS.values()))
    np.testing.assert_allclose(np.exp([found.log_conc, found.ci_low, found.ci_high]).T, expected, rtol=3e-5)
    np.testing.assert_allclose(found.se_total * np.exp(found.log_conc), list(RYEGRASS_SE.values()), rtol=1e-4)


@pytest.mark.parametrize("signal", [0.1, 0.3])
def test_where_investr_finds_no_limit_the_interval_is_open_below(signal: float, shared_data: Path) -> None:
    curves = fit_curves([read(shared_data / "curves/sets/ELISA.csv", "Concentration", "Response")], Weighting.NONE)
    found = estimate_concentrations(curves, single([signal]))
    assert found.finite[0]
    assert found.ci_low[0] == -np.inf
    assert np.isfinite(found.ci_high[0])
