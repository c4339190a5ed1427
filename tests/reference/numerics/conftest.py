"""Reference cases: the numbers that R gave, the columns they were made from, and how close is close."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from exvivo.numerics.least_squares import Standards

SHIPPED = Path(str(files("exvivo.qualify") / "shipped"))
OWN = Path(__file__).parents[1] / "data"


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


def _open(folder: Path, name: str) -> Case:
    (path,) = folder.glob(f"{name}_*.json")
    stored = json.loads(path.read_text(encoding="utf-8"))
    table = path.with_suffix(".csv")
    header, *rows = [line.split(",") for line in table.read_text(encoding="utf-8").split()] if table.exists() else [[]]
    columns = {column: _read_column([row[i] for row in rows]) for i, column in enumerate(header)}
    return Case(columns=columns, results=stored["results"], judge=stored["judge"])


def _read_column(cells: list[str]) -> list[Any]:
    try:
        return [float(cell) for cell in cells]
    except ValueError:
        return cells


@pytest.fixture(scope="session")
def reference() -> Callable[[str], Case]:
    """Open a case that ships with the package by the start of its name."""
    return partial(_open, SHIPPED)


@pytest.fixture(scope="session")
def own() -> Callable[[str], Case]:
    """Open a case that only these tests use, by the start of its name; its script stands in it."""
    return partial(_open, OWN)


@pytest.fixture(scope="session")
def external(shared_reference: Path) -> Callable[[str], Case]:
    """Open a case on data of others, which stays outside the repository."""
    return partial(_open, shared_reference / "statistics")


SETS = {
    "ryegrass": ("ryegrass.csv", "conc", "rootl"),
    "calibFit_ELISA": ("ELISA.csv", "Concentration", "Response"),
    "calibFit_RIA": ("RIA.csv", "x", "y"),
    "nCal_QIL3_LMX001_logfi": ("dat.QIL3.csv", "expected_conc", "fi"),
}


def read_one(shared_data: Path, name: str) -> Standards:
    file, concentration, signal = SETS[name]
    with (shared_data / "curves/sets" / file).open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    if name.startswith("nCal"):
        rows = [row for row in rows if row["assay_id"] == "LMX001" and row["well_role"] == "Standard"]
    x, y = np.array([float(row[concentration]) for row in rows]), np.array([float(row[signal]) for row in rows])
    with np.errstate(divide="ignore"):
        return Standards(np.log(x), np.log(y) if name.startswith("nCal") else y)


@pytest.fixture
def read_set(shared_data: Path) -> Callable[[str], Standards]:
    """Published standards by name."""
    return partial(read_one, shared_data)
