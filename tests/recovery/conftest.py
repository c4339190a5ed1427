"""One small simulated study, run once and shared by every test that needs a whole pipeline."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from exvivo.engine import Work
from exvivo.pipeline import Finished, decide_study, run_study, simulate_files
from exvivo.study.deciding import Choice


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw files of 12 SSc and 4 HD donors in a folder whose name has a blank and an accent, locked and unblinded; nothing run yet."""
    folder = tmp_path_factory.mktemp("étude") / "my study"
    simulate_files(folder, Work(), seed=11, donors="12+4", size="demo")
    for kind in ("lock", "unblind"):
        decide_study(folder, Choice(kind, "", "", "the test's data are complete", "tester"))
    return folder


@pytest.fixture(scope="session")
def finished(simulated: Path) -> Finished:
    """The study, run. Do not change its folder: take a ``copy``."""
    return run_study(simulated)


@pytest.fixture
def copy(finished: Finished, simulated: Path, tmp_path: Path) -> Callable[[], Path]:
    """A copy of the study with its results, to be changed at will."""
    assert finished.manifest

    def make(name: str = "copy") -> Path:
        return Path(shutil.copytree(simulated, tmp_path / name))

    return make
