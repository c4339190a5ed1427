"""Folder of reference cases -> cases: what was computed elsewhere, from which tables, and how close is close."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import as_file, files
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exvivo.errors import InputError, fault


@dataclass(frozen=True, slots=True)
class Columns:
    """One table of a case: printed cells by column."""

    cells: Mapping[str, tuple[str, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        """Columns in their order."""
        return tuple(self.cells)

    def labels(self, name: str) -> tuple[str, ...]:
        """Cells of a column as text."""
        return self.cells[name]

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Cells of a column as numbers, shape (n,); empty cells and NA are not a number."""
        return np.array([float("nan") if cell in ("", "NA") else float(cell) for cell in self.cells[name]], dtype=np.float64)

    def numeric(self, name: str) -> bool:
        """Whether every cell of a column is a number or missing."""
        try:
            self.numbers(name)
        except ValueError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Case:
    """A reference case.

    Attributes
    ----------
    id : identifier; its part before the first ``_`` chooses the procedure
    tables : the tables it was made from, in the order that the case names them
    results : what the reference gave. A procedure may read settings from it (a formula, sizes, weights, names of what
        is asked for), never the numbers that are judged
    judge : allowed ``rel`` and ``abs`` difference by result path
    optional : may be left out
    note : what the maker of the case says about its columns
    """

    id: str
    tables: tuple[Columns, ...]
    results: Mapping[str, Any]
    judge: Mapping[str, Mapping[str, float]]
    optional: bool
    note: str = ""

    @property
    def prefix(self) -> str:
        """What chooses the procedure."""
        return self.id.split("_", 1)[0]

    @property
    def table(self) -> Columns:
        """The only table, or the first."""
        return self.tables[0]


@contextmanager
def shipped_folder() -> Iterator[Path]:
    """Folder of the cases that come with the package."""
    with as_file(files("exvivo.qualify").joinpath("shipped")) as folder:
        yield folder


def find_cases(folder: Path) -> list[Case]:
    """Cases of a folder, sorted by id.

    Raises
    ------
    InputError : a case cannot be read, or there is none; all faults together
    """
    cases, faults = read_cases(folder)
    if faults:
        raise InputError(list(faults.values()))
    return cases


def read_cases(folder: Path) -> tuple[list[Case], dict[str, str]]:
    """Cases of a folder, and what is wrong with each file that is none, by the file's name.

    Raises
    ------
    InputError : no case can be read; all faults together
    """
    faults: dict[str, str] = {}
    cases = []
    for path in sorted(folder.glob("*.json")):
        try:
            cases.append(_read(path))
        except InputError as error:
            faults[path.stem] = "\n".join(error.messages)
    if not cases:
        none = fault(str(folder), "no reference case", expected="files ID.json, each with its tables", action="Check the folder")
        raise InputError(list(faults.values()) or [none])
    return cases, faults


def _read(path: Path) -> Case:
    try:
        stored = json.loads(path.read_text(encoding="utf-8-sig"))
        results, judge = stored["results"], _read_tolerances(stored["judge"])
        named = stored.get("data") or _borrowed(stored)
        names = [named] if isinstance(named, str) else list(named)
        tables = tuple(_read_table(path.parent / (name if name.endswith(".csv") else f"{name}.csv")) for name in names)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        found = f"no reference case ({type(error).__name__}: {error})"
        raise InputError(
            fault(str(path), found, expected="results, judge and the tables named under data", action="Mend or remove it")
        ) from error
    optional = bool(stored.get("optional") or (isinstance(results, dict) and results.get("optional")))
    return Case(str(stored.get("id", path.stem)), tables, results, judge, optional, str(stored.get("note", "")))


def _read_tolerances(judge: object) -> dict[str, dict[str, float]]:
    if judge == []:
        return {}
    if not isinstance(judge, dict):
        raise TypeError("judge does not name results with their tolerances")
    return {
        path: {kind: float(allowed[kind]) for kind in ("rel", "abs") if allowed.get(kind) is not None} for path, allowed in judge.items()
    }


def _borrowed(stored: Mapping[str, Any]) -> Sequence[str]:
    """Tables of another case that a note names as ``data: FILE.csv``."""
    words = str(stored.get("note", "")).replace(";", " ").split()
    return [after for word, after in pairwise(words) if word == "data:" and after.endswith(".csv")]


def _read_table(path: Path) -> Columns:
    """A table; empty lines and a column without a name, which numbers the rows, are left out."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        header, *rows = [row for row in csv.reader(stream) if row]
    if any(len(row) != len(header) for row in rows):
        raise ValueError(f"{path.name} has rows that are not as long as its header")
    return Columns({name: tuple(row[i] for row in rows) for i, name in enumerate(header) if name})
