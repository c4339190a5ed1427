"""Spillover from single stains: against flowCore's published stains and against what was simulated."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exvivo.formats import fcs
from exvivo.numerics.cells import unmixing
from exvivo.numerics.spillover import Array, estimate_spillover, separation, split_stain
from exvivo.read.gates import read_matrix
from exvivo.simulate.cytometer import SPILL

STAINS = (("FL1-H", "060909.002"), ("FL2-H", "060909.003"), ("FL3-H", "060909.005"), ("FL4-H", "060909.004"))


def acquired(folder: Path, name: str) -> Array:
    (record, *_) = fcs.parse(folder / "data" / name)
    names = [channel.name for channel in record.channels]
    events = fcs.read_events(folder / "data" / name, record).astype(np.float64)
    return events[:, [names.index(channel) for channel, _ in STAINS]]


def test_real_stains_give_what_flowcore_and_the_cytometer_gave(shared_data: Path) -> None:
    folder = shared_data / "cytometry" / "flowcore_fcs2" / "compdata"
    unstained = acquired(folder, "060909.001")
    stains = [acquired(folder, name) for _, name in STAINS]
    assert all(separation(stain[:, i], unstained[:, i]) > 5 for i, stain in enumerate(stains))
    matrix = estimate_spillover(stains, [unstained] * 4, range(4))
    by_flowcore = np.array(read_matrix(folder / "compref").matrix)
    by_cytometer = np.array(read_matrix(folder / "compmatrix").matrix)
    assert np.max(np.abs(matrix - by_flowcore)) < 5e-5
    assert np.max(np.abs(matrix - by_cytometer)) < 0.02


def simulated(rng: np.random.Generator, matrix: Array, dye: int | None, n: int = 3000) -> Array:
    """Cells with autofluorescence and counting noise, and one dye of log-normal brightness."""
    own = 300.0 * np.exp(0.35 * rng.normal(size=(n, len(matrix))))
    light = np.zeros((n, len(matrix)))
    if dye is not None:
        light[:, dye] = 20_000.0 * np.exp(0.5 * rng.normal(size=n))
    seen = own + light @ matrix
    return seen + np.sqrt(10.0 * np.maximum(seen, 0.0)) * rng.normal(size=seen.shape) + rng.normal(0, 15.0, seen.shape)


def test_simulated_stains_give_the_matrix_back() -> None:
    names = tuple(dict.fromkeys(name for pair in SPILL for name in pair))
    true = np.array([[1.0 if a == b else SPILL.get((a, b), 0.0) for b in names] for a in names])
    rng = np.random.default_rng(20_260_101)
    unstained = simulated(rng, true, None)
    stains = [simulated(rng, true, i) for i in range(len(names))]
    matrix = estimate_spillover(stains, [unstained] * len(names), range(len(names)))
    assert np.max(np.abs(matrix - true)) < 0.003
    left = np.array([np.median(stain @ unmixing(matrix), axis=0) - np.median(unstained @ unmixing(matrix), axis=0) for stain in stains])
    np.fill_diagonal(left, 0.0)
    assert np.max(np.abs(left)) < 60.0  # of 20 000


def test_tubes_that_hold_both_sides_split_at_the_valley() -> None:
    rng = np.random.default_rng(7)
    true = np.array([[1.0, 0.3], [0.05, 1.0]])
    stains = [np.concatenate([simulated(rng, true, i), simulated(rng, true, None)]) for i in range(2)]
    sides = [split_stain(stain[:, i]) for i, stain in enumerate(stains)]
    assert all(side is not None and abs(int(side[0].sum()) - 3000) < 30 for side in sides)
    positives = [stain[side[0]] for stain, side in zip(stains, sides, strict=True) if side is not None]
    negatives = [stain[side[1]] for stain, side in zip(stains, sides, strict=True) if side is not None]
    assert np.max(np.abs(estimate_spillover(positives, negatives, range(2)) - true)) < 0.005


def test_one_population_is_not_split() -> None:
    rng = np.random.default_rng(8)
    assert split_stain(simulated(rng, np.eye(2), 0)[:, 0]) is None
    assert split_stain(np.full(500, 3.0)) is None


def test_what_is_no_stain_is_refused() -> None:
    flat = np.ones((200, 2))
    with pytest.raises(ValueError, match="not brighter"):
        estimate_spillover([flat], [flat], [0])
    assert separation(flat[:, 0], flat[:, 0]) == 0.0
    assert separation(flat[:, 0] + 1.0, flat[:, 0]) == np.inf


@given(st.lists(st.floats(0.0, 0.5), min_size=2, max_size=2), st.floats(1.0, 1e5), st.floats(0.0, 1e3))
def test_exact_light_gives_the_exact_matrix(shares: list[float], bright: float, background: float) -> None:
    true = np.array([[1.0, shares[0]], [shares[1], 1.0]])
    unstained = np.full((5, 2), background)
    stains = [unstained + np.outer(bright * np.arange(1, 6), row) for row in true]
    assert np.allclose(estimate_spillover(stains, [unstained, unstained], [0, 1]), true, atol=1e-9 * (1 + background))
