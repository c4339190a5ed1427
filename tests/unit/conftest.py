"""Small plates as a lab would export them: a grid of readings, and a map beside it."""

import csv
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

LEVELS = (1000.0, 500.0, 250.0, 125.0, 62.5, 31.25, 15.625)
ROWS = "ABCDEFGH"
QCS = {"A3": ("low", 40.0), "B3": ("low", 40.0), "C3": ("high", 400.0), "D3": ("high", 400.0)}

WritePlate = Callable[..., Path]


def od_at(concentration: float) -> float:
    return float(3.1 + (0.05 - 3.1) / (1 + (concentration / 180) ** 1.1))


def lay_plate() -> dict[str, tuple[str, str, float | None, float]]:
    """Role, name, concentration on the plate and dilution of every well: standards twice, blanks, QC, 24 specimens twice."""
    wells: dict[str, tuple[str, str, float | None, float]] = {}
    for row, level in zip(ROWS, LEVELS, strict=False):
        wells |= {f"{row}{column}": ("standard", "", level, 1.0) for column in (1, 2)}
    wells |= {"H1": ("blank", "", 0.0, 1.0), "H2": ("blank", "", 0.0, 1.0)}
    wells |= {well: ("qc", f"QC {name}", level, 1.0) for well, (name, level) in QCS.items()}
    for number in range(24):
        first, column = ROWS[number % 8], 4 + 2 * (number // 8)
        concentration = math.exp(math.log(8) + number * (math.log(1500) - math.log(8)) / 23)
        wells |= {f"{first}{column + k}": ("specimen", f"S{number + 1:02d}", concentration, 20.0) for k in (0, 1)}
    return wells


def write_files(  # noqa: PLR0913  one option for each thing in which plates differ
    folder: Path,
    name: str,
    *,
    seed: int = 1,
    analyte: str = "CXCL10",
    unit: str = "pg/mL",
    odd: Mapping[str, str] | None = None,
    cv: float = 0.04,
) -> Path:
    """Export ``name.csv`` and its map ``maps/name.csv``; ``odd`` are cells that the reader printed in place of a number."""
    rng = np.random.default_rng(seed)
    wells = lay_plate()
    cells = {
        well: f"{od_at(level or 0.0) * math.exp(rng.normal(0, cv)) + rng.normal(0, 0.003):.3f}" for well, (_, _, level, _) in wells.items()
    }
    cells |= odd or {}
    lines = [f"Plate: {name}", "," + ",".join(str(column) for column in range(1, 13))]
    lines += [row + "," + ",".join(cells.get(f"{row}{column}", "") for column in range(1, 13)) for row in ROWS]
    (folder / "maps").mkdir(parents=True, exist_ok=True)
    export = folder / f"{name}.csv"
    export.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with (folder / "maps" / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["plate", "well", "role", "specimen", "analyte", "concentration", "dilution", "unit"])
        for well, (role, specimen, level, fold) in wells.items():
            known = role in {"standard", "qc"}
            writer.writerow([1, well, role, specimen, analyte, level if known else "", fold, unit if known else ""])
    return export


@pytest.fixture(scope="session")
def write_plate() -> WritePlate:
    return write_files
