"""What every test may ask for."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# a busy machine must not fail a law
settings.register_profile("fixed", deadline=None, derandomize=True)  # the same examples everywhere: what is green stays green
settings.register_profile(
    "search", deadline=None, max_examples=300
)  # new examples each time: EXVIVO_LAWS=search scripts/test tests/property
settings.load_profile(os.environ.get("EXVIVO_LAWS", "fixed"))

ROOT = Path(__file__).parents[1]


def _shared(part: str) -> Path:
    folder = Path(os.environ.get("EXVIVO_SHARED", ROOT.parent / "shared")) / part
    if not folder.is_dir():
        pytest.skip(f"the shared folder with real files ({folder}) is absent; set EXVIVO_SHARED to where it is")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with real instrument files that are not ours to ship."""
    return _shared("data")


@pytest.fixture(scope="session")
def shared_reference() -> Path:
    """Folder with reference numbers made for this project."""
    return _shared("reference")
