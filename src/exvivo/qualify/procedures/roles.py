"""Columns of a case's table by the role they play, since their names and levels differ from case to case."""

from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from exvivo.qualify.cases import Case, Columns

Array = NDArray[np.float64]

_COMPARATORS = frozenset({"vehicle", "control", "placebo", "dmso", "untreated", "none", "baseline", "before", "pre", "x"})
_UNITS = frozenset({"id", "donor", "subject", "patient", "participant", "player", "pair", "row"})
_BLOCKS = _UNITS | {"b", "block", "plate", "serum"}


def measured(table: Columns, wanted: int) -> list[str]:
    """The last numeric columns, at most as many as wanted; columns that number the donors are none of them."""
    numeric = [name for name in table.names if table.numeric(name)]
    return [name for name in numeric if name.lower() not in _UNITS][-wanted:]


def two_measurements(case: Case) -> tuple[Array, Array]:
    """Comparator and treated value of each donor, rows with both; the comparator is known by its name or stands first."""
    first, second = measured(case.table, 2)
    if second.lower() in _COMPARATORS and first.lower() not in _COMPARATORS:
        first, second = second, first
    comparator, treated = case.table.numbers(first), case.table.numbers(second)
    complete = ~(np.isnan(comparator) | np.isnan(treated))
    return comparator[complete], treated[complete]


def differences(case: Case) -> Array:
    """Treated minus comparator, or the only numeric column."""
    if len(measured(case.table, 2)) == 1:
        return only_measurement(case)
    comparator, treated = two_measurements(case)
    return treated - comparator


def only_measurement(case: Case) -> Array:
    """The last numeric column without its missing values."""
    values = case.table.numbers(measured(case.table, 1)[0])
    return values[~np.isnan(values)]


def groups_of(case: Case) -> dict[str, Array]:
    """Values by group, in the order in which the groups appear; the column with fewer different cells tells the group."""
    table = case.table
    names = [name for name in table.names if name.lower() not in _UNITS]
    label, value = sorted(names[:2], key=lambda name: (table.numeric(name), len(set(table.labels(name)))))
    numbers = table.numbers(value)
    cells = np.array(table.labels(label))
    known = ~np.isnan(numbers)
    return {group: numbers[known & (cells == group)] for group in dict.fromkeys(cells[known].tolist())}


def within_donors(case: Case) -> Array:
    """Values with one row for each donor and one column for each condition, conditions in the order of R's factors."""
    table = case.table
    for value, condition, unit in permutations(table.names, 3):
        if table.numeric(value) and _crossed(table, condition, unit):
            return _spread(table, value, condition, unit)
    return np.column_stack([table.numbers(name) for name in measured(table, len(table.names))])


def sorted_levels(levels: list[str]) -> list[str]:
    """Levels in the order of R's factors: as numbers where all are numbers, otherwise by their letters."""
    try:
        return sorted(levels, key=float)
    except ValueError:
        return sorted(levels, key=lambda level: (level.casefold(), level))


def _crossed(table: Columns, condition: str, unit: str) -> bool:
    """Whether every unit has every condition once, and which is which is clear from the names or numbers of levels."""
    cells = list(zip(table.labels(condition), table.labels(unit), strict=True))
    conditions, units = set(table.labels(condition)), set(table.labels(unit))
    named = [name.lower() in _BLOCKS for name in (condition, unit)]
    right = named[1] if named[0] != named[1] else len(conditions) <= len(units)
    return right and len(set(cells)) == len(cells) == len(conditions) * len(units)


def _spread(table: Columns, value: str, condition: str, unit: str) -> Array:
    at = dict(zip(zip(table.labels(unit), table.labels(condition), strict=True), table.numbers(value), strict=True))
    levels = sorted_levels(list(dict.fromkeys(table.labels(condition))))
    rows = [[at[donor, level] for level in levels] for donor in dict.fromkeys(table.labels(unit))]
    array = np.array(rows, dtype=np.float64)
    return array[~np.isnan(array).any(axis=1)]
