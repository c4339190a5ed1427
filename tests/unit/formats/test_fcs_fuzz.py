"""Ten thousand broken files: each is refused with a word, or read in the shape that was described."""

import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from exvivo.formats import fcs

ROOT = Path(__file__).parents[3]
CASES = 10_000


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fcs_fuzz", ROOT / "benchmarks" / "fcs_fuzz.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_broken_files_are_refused_or_read(fuzz: ModuleType) -> None:
    files = fuzz.small_files()
    with fuzz.limited_memory(max(map(len, files))):
        state = fuzz.run(range(CASES), files, fuzz.State())
    assert state.failures == []
    assert state.refused + state.read == CASES
    assert min(state.refused, state.read) > CASES / 10, "mutations must leave some files readable and break others"


def test_real_files_broken_are_refused_or_read(fuzz: ModuleType, shared_data: Path) -> None:
    folder = shared_data / "cytometry"
    names = ["fcs_odd/variable_int_example.fcs", "fcs_odd/index_sorted_example.fcs", "flowcore_fcs2/compdata/data/060909.003"]
    real = [(folder / name).read_bytes() for name in names]
    with fuzz.limited_memory(max(map(len, real))):
        state = fuzz.run(range(1_000), real, fuzz.State())
    assert state.failures == []


def _raise(*_: object, **__: object) -> None:
    raise ValueError("planted")


def _huge(*_: object, **__: object) -> Any:  # noqa: ANN401  stands for events
    return np.zeros(1 << 31)


@pytest.mark.parametrize(
    ("planted", "word"),
    [
        (_raise, "planted"),
        (_huge, "MemoryError"),
        (lambda *_, **__: np.zeros((1, 1)), "described"),
        (lambda *_, **__: time.sleep(0), "Attr"),
    ],
)
def test_the_judge_finds_planted_faults(fuzz: ModuleType, monkeypatch: pytest.MonkeyPatch, planted: Callable[..., Any], word: str) -> None:
    raw = fuzz.small_files()[0]
    assert fuzz.judge(raw) == ("read", "")
    monkeypatch.setattr(fcs, "read_events", planted)
    with fuzz.limited_memory(len(raw)):
        outcome, problem = fuzz.judge(raw)
    assert outcome == "failed"
    assert word in problem
