"""Variance between plates against R metafor 3.8-1 (random-effects REML with known errors) and against its own truth."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from exvivo.numerics.between import ControlResults, estimate_between
from exvivo.numerics.variance import Array


def results(log_conc: Array, se: Array, control: list[int], plate: list[int], loading: Array | None = None) -> ControlResults:
    none = np.zeros((len(log_conc), 1))
    return ControlResults(log_conc, se, none if loading is None else loading, np.array(control), np.array(plate))


def test_one_control_is_a_random_effects_meta_analysis(shared_reference: Path) -> None:
    with (shared_reference / "statistics/c25_known_se_meta.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    expected = json.loads((shared_reference / "statistics/c25_known_se_meta.json").read_text(encoding="utf-8"))["results"]["REML_z"]["tau2"]
    y, v = (np.array([float(row[name]) for row in rows]) for name in ("yi", "vi"))
    found = estimate_between(results(y, np.sqrt(v), [0] * len(y), list(range(len(y)))))
    assert found**2 == pytest.approx(expected, rel=1e-4)


def test_readings_and_curves_that_explain_everything_leave_nothing() -> None:
    y = np.array([0.01, -0.01, 0.005, 0.0, -0.005])
    assert estimate_between(results(y, np.full(5, 0.1), [0] * 5, list(range(5)))) == 0.0


def test_controls_of_a_plate_that_move_together_tell_the_plates_error() -> None:
    """300 studies of 12 plates with two controls each; the mean of the variance lies within four Monte Carlo standard errors."""
    rng = np.random.default_rng(8)
    plate, control = np.arange(12).repeat(2), np.tile([0, 1], 12)
    found = []
    for _ in range(300):
        moved = 0.1 * rng.standard_normal(12)
        curve = 0.04 * rng.standard_normal(12)
        y = np.array([1.0, 3.0])[control] + moved[plate] + curve[plate] + 0.05 * rng.standard_normal(24)
        found.append(estimate_between(results(y, np.full(24, 0.05), control.tolist(), plate.tolist(), np.full((24, 1), 0.04))) ** 2)
    error = np.std(found, ddof=1) / np.sqrt(len(found))
    assert np.mean(found) == pytest.approx(0.01, abs=4 * error)
    assert error < 0.0005
