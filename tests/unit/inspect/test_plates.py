"""Plates that look wrong are called out with evidence; their sound twins are not."""

import re

import numpy as np
import pytest

from exvivo.inspect.plates import inspect_plates
from exvivo.numerics.logistic import value
from exvivo.study.findings import Finding, FindingCode
from exvivo.study.model import ElisaReadout, Standards
from exvivo.study.run import Calibration, SharedError
from exvivo.study.tables import CONCENTRATIONS, CURVES, OUTCOMES, SHARED_ERROR, VERDICTS, WELLS

READOUT = ElisaReadout(kind="elisa", label="CCL18", unit="pg/mL", standards=Standards(top=500, points=7, factor=2))
LEVELS = [500.0 / 2**k for k in range(7)]


def standards(plate: str, labels: list[float], seed: int, noise: float = 0.05) -> list[dict[str, object]]:
    rng = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []
    for k, (true, label) in enumerate(zip([*LEVELS, 0.0], [*labels, 0.0], strict=True)):
        with np.errstate(divide="ignore"):
            mean = float(value(np.log(true), np.array([0.07, 1.15, np.log(150.0), 3.2])))
        for column in (1, 2):
            signal = mean + rng.normal() * float(np.hypot(noise * mean, 0.008))
            rows.append(
                {
                    "plate": plate,
                    "well": f"{'ABCDEFGH'[k]}{column}",
                    "role": "standard",
                    "analyte": "CCL18",
                    "nominal": label,
                    "signal": signal,
                    "status": "ok",
                    "origin": "t",
                }
            )
    return rows


def findings(rows: list[dict[str, object]]) -> list[Finding]:
    calibration = Calibration(
        WELLS.from_rows(rows), CURVES.empty(), VERDICTS.empty(), CONCENTRATIONS.empty(), SharedError(SHARED_ERROR.empty())
    )
    return list(inspect_plates(calibration, OUTCOMES.empty(), {"CCL18": READOUT}))


@pytest.mark.parametrize(("first", "second"), [(0, 1), (2, 3), (1, 4), (5, 6)])
def test_exchanged_standards_are_named_and_the_sound_twin_is_not(first: int, second: int) -> None:
    labels = LEVELS.copy()
    labels[first], labels[second] = labels[second], labels[first]
    found = findings(standards("p:1", LEVELS, 1) + standards("p:2", labels, 2))
    assert [(f.code, f.place, f.readouts) for f in found] == [(FindingCode.STANDARDS_EXCHANGED, "p:2", ("CCL18",))]
    assert f"standards {LEVELS[min(first, second)]:g} and {LEVELS[max(first, second)]:g}" in found[0].evidence
    before, after = re.search(r"recoveries (.+) as labelled, (.+) with the two exchanged", found[0].evidence).groups()  # type: ignore[union-attr]
    for text in after.split(" and "):
        assert float(text.rstrip("%")) == pytest.approx(100, abs=30)
    assert any(text == "beyond the curve" or abs(float(text.rstrip("%")) - 100) > 20 for text in before.split(" and "))


def test_sound_plates_raise_no_alarm() -> None:
    rows = [row for seed in range(60) for row in standards(f"p:{seed}", LEVELS, seed, noise=0.08)]
    assert findings(rows) == []


def test_a_slip_of_unit_shows_in_the_top_standard() -> None:
    rows = standards("p:1", LEVELS, 1) + [{**row, "nominal": float(str(row["nominal"])) * 1000} for row in standards("p:2", LEVELS, 2)]
    found = findings(rows)
    assert [(f.code, f.place) for f in found] == [(FindingCode.UNIT_MISMATCH, "p:2")]
    assert "500000" in found[0].evidence
