"""Readouts judged together, against full enumeration and Holm."""

import json
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from exvivo.study.protocol import AnalysisPlan

Kit = Any
Row = dict[str, Any]
S2 = ("CD204", "CD206", "CD163", "CD86", "MHCII", "TLR4")


def study(kit: Kit, differences: NDArray[np.float64]) -> list[Row]:
    """Markers of donors with given ln ratios; NaN leaves the drug arm out."""
    rows: list[Row] = []
    for i, own in enumerate(differences):
        for readout, d in zip(S2, own, strict=True):
            rows.append(kit.value(f"D{i:02}", "vehicle", 5.0, readout=readout))
            if np.isfinite(d):
                rows.append(kit.value(f"D{i:02}", "ruxolitinib", 5.0 + d, readout=readout))
    return rows


def judged(kit: Kit, plan: AnalysisPlan, rows: list[Row]) -> list[Row]:
    effects = kit.estimate(rows, kit.only(plan, "S2"))
    return [row for row in effects.supplementary.rows() if row["method"] == "max-t"]


def enumerate_step_down(d: NDArray[np.float64]) -> list[float]:
    """Westfall and Young's algorithm by loops over all 2^n flips."""
    t = np.abs(d.mean(axis=0) / (d.std(axis=0, ddof=1) / len(d) ** 0.5))
    order = np.argsort(-t)
    hits = np.zeros(len(t))
    for signs in product((1, -1), repeat=len(d)):
        flipped = d * np.array(signs)[:, None]
        other = np.abs(flipped.mean(axis=0) / (flipped.std(axis=0, ddof=1) / len(d) ** 0.5))
        for rank, k in enumerate(order):
            hits[k] += other[order[rank:]].max() >= t[k] * (1 - 1e-9)
    adjusted, highest = np.zeros(len(t)), 0.0
    for k in order:
        highest = max(highest, hits[k] / 2 ** len(d))
        adjusted[k] = highest
    return [float(value) for value in adjusted]


@pytest.fixture(scope="module")
def differences() -> NDArray[np.float64]:
    rng = np.random.default_rng(4)
    common = rng.normal(size=(8, 1))
    return np.asarray(0.3 * (0.8 * common + 0.6 * rng.normal(size=(8, 6))) + [0.0, -0.5, 0.1, -0.3, -0.6, -0.2])


def test_adjusted_p_are_those_of_full_enumeration(kit: Kit, plan: AnalysisPlan, differences: NDArray[np.float64]) -> None:
    rows = judged(kit, plan, study(kit, differences))
    assert [row["readout"] for row in rows] == list(S2)
    np.testing.assert_allclose([row["p_adjusted"] for row in rows], enumerate_step_down(differences), rtol=1e-12)
    assert {row["role"] for row in rows} == {"sensitivity"}
    np.testing.assert_allclose(np.log([row["estimate"] for row in rows]), differences.mean(axis=0), rtol=1e-9)


def test_a_donor_without_some_readout_stays_for_the_others(kit: Kit, plan: AnalysisPlan, differences: NDArray[np.float64]) -> None:
    holed = differences.copy()
    holed[2, 1] = np.nan
    rows = judged(kit, plan, study(kit, holed))
    assert [row["donors"] for row in rows] == [8, 7, 8, 8, 8, 8]
    assert all(row["p"] <= row["p_adjusted"] for row in rows)


def test_a_censored_pair_leaves_the_family_to_holm(kit: Kit, plan: AnalysisPlan, differences: NDArray[np.float64]) -> None:
    rows = study(kit, differences)
    rows[1] = kit.below(rows[1]["donor"], "ruxolitinib", 4.0, readout="CD204")
    assert judged(kit, plan, rows) == []


def test_a_family_of_one_has_no_rows(kit: Kit, plan: AnalysisPlan) -> None:
    effects = kit.estimate(kit.patients(10), kit.only(plan, "P1"))
    assert "max-t" not in effects.supplementary.frame["method"].to_list()


@pytest.mark.parametrize(("donors", "smallest"), [(8, 2 / 2**8), (21, 1 / 100_001)])
def test_the_smallest_p_is_that_of_the_flips_that_were_looked_at(kit: Kit, plan: AnalysisPlan, donors: int, smallest: float) -> None:
    apart = np.random.default_rng(5).normal(-3.0, 0.1, size=(donors, 6))
    for row in judged(kit, plan, study(kit, apart)):
        assert json.loads(row["detail"])["smallest_p"] == pytest.approx(smallest)
        assert row["p"] >= smallest * (1 - 1e-9)
