"""Reference cases: the numbers that R gave, the columns they were made from, and how close is close."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

DATA = Path(__file__).parents[1] / "data"


@dataclass(frozen=True)
class Case:
    """One reference case; its file states where the numbers come from."""

    columns: dict[str, list[Any]]
    results: dict[str, Any]
    judge: dict[str, dict[str, float]]

    def numbers(self, column: str) -> NDArray[np.float64]:
        return np.array(self.columns[column], dtype=np.float64)

    def expected(self, path: str) -> float:
        value: Any = self.results
        for key in path.split("/"):
            value = value[int(key)] if isinstance(value, list) else value[key]
        return float(value)

    def check(self, path: str, got: float) -> None:
        """Compare with the tolerance that the case itself declares, or 1e-6 relative where it declares none."""
        allowed = self.judge.get(path, {"rel": 1e-6})
        expected = self.expected(path)
        limit = allowed.get("abs", 0.0) + allowed.get("rel", 0.0) * abs(expected)
        assert abs(got - expected) <= limit, f"{path}: {got!r}, expected {expected!r} within {limit:.3g}"


def _open(path: Path, columns: dict[str, list[Any]] | None = None) -> Case:
    stored = json.loads(path.read_text(encoding="utf-8"))
    return Case(columns=stored["columns"] if columns is None else columns, results=stored["results"], judge=stored["judge"])


@pytest.fixture(scope="session")
def reference() -> Callable[[str], Case]:
    """Open a case by the start of its name."""

    def open_case(name: str) -> Case:
        (path,) = DATA.glob(f"{name}_*.json")
        return _open(path)

    return open_case


@pytest.fixture(scope="session")
def external(shared_reference: Path) -> Callable[[str], Case]:
    """Open a case on data of others, which stays outside the repository."""

    def open_case(name: str) -> Case:
        (path,) = (shared_reference / "statistics").glob(f"{name}_*.json")
        header, *rows = (line.split(",") for line in path.with_suffix(".csv").read_text(encoding="utf-8").split())
        return _open(path, {column: [row[i] for row in rows] for i, column in enumerate(header)})

    return open_case
