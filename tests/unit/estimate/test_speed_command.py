"""The speed command knows the stage's functions that refit or resample, and its peers agree with what it times."""

import importlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from exvivo.estimate import contrasts
from exvivo.numerics.batched import fit_incomplete_pairs

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture(scope="module")
def command() -> Iterator[ModuleType]:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield importlib.import_module("estimation_speed")
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_what_is_resampled_is_timed_and_put_back(command: ModuleType) -> None:
    assert all(callable(getattr(module, name)) for module, name in command.LIKELIHOODS)
    plain = [getattr(module, name) for module, name in command.RESAMPLING]
    with command.clock(command.RESAMPLING) as spent:
        test = vars(contrasts)["compare_sign_flips"]
        assert test(np.array([0.1, 0.2, -0.3])).p == 1.0
        assert len(spent) == 1
    assert [getattr(module, name) for module, name in command.RESAMPLING] == plain


def test_a_missed_target_is_kept(command: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    targets = command.Targets()
    targets.say("one", good=True)
    targets.say("two", good=False)
    assert targets.missed == ["two"]
    assert capsys.readouterr().out == "one: reached\ntwo: MISSED\n"


@pytest.mark.parametrize("peer", ["fit_statsmodels", "fit_lmertest"])
def test_peers_fit_the_same_studies(command: ModuleType, peer: str) -> None:
    if peer == "fit_lmertest" and shutil.which("Rscript") is None:
        pytest.skip("Rscript is not here")
    studies = command.draw(command.Cell(5, 9, 1, missing=True), -0.5, 4, np.random.default_rng(3))
    drug, comparator = command.values(studies)
    seconds, estimates, p = getattr(command, peer)(drug, comparator)
    if seconds is None:
        pytest.skip("lmerTest and pbkrtest are not here")
    ours = fit_incomplete_pairs(drug, comparator)
    np.testing.assert_allclose(estimates, ours.estimate, atol=1e-4)
    if p is not None:
        np.testing.assert_allclose(p, ours.p, rtol=1e-4)
