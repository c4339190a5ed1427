"""Kernels of cytometry: scales (g01), compensation (g02), gates (g03); plain and compiled loops side by side."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from exvivo.numerics import cells
from exvivo.numerics.kernels import PLAIN, Kernels, choose
from exvivo.numerics.outline import make_outline
from exvivo.qualify.cases import Case

_MANY = 1 << 30  # events for which compiled loops are chosen where they can be had


def show_values(case: Case) -> Mapping[str, Any]:
    """Display values, exact and by table, in the order of the case's rows."""
    table = case.table
    values = table.numbers("value")
    rows = list(zip(table.labels("scale"), *(table.numbers(name).tolist() for name in "TWMA"), strict=True))
    exact, tabulated, again = np.empty_like(values), np.empty_like(values), np.empty_like(values)
    for row in dict.fromkeys(rows):
        kind, *numbers = row
        at = np.array([other == row for other in rows])
        parameters = {name: number for name, number in zip("TWMA", numbers, strict=True) if name in cells.parameter_names(kind)}
        exact[at] = cells.to_scale(kind, values[at], parameters)
        scale = cells.table_of(kind, parameters)
        if scale is None:
            tabulated[at] = again[at] = exact[at]
        else:
            tabulated[at], again[at] = PLAIN.show(values[at], scale), choose(_MANY).show(values[at], scale)
    return {
        "display": exact.tolist(),
        "largest_table_difference": float(np.abs(tabulated - exact).max()),
        "compiled_as_plain": bool((tabulated == again).all()),
    }


def compensate_events(case: Case) -> Mapping[str, Any]:
    """Events without spillover."""
    roles = np.array(case.table.labels("role"))
    numbers = np.column_stack([case.table.numbers(name) for name in case.table.names if name != "role"])
    return {"compensated": cells.compensate(numbers[roles == "event"], numbers[roles == "spillover"]).tolist()}


def count_events(case: Case) -> Mapping[str, Any]:
    """Events inside each gate."""
    asked = case.results
    x, y = case.table.numbers("x"), case.table.numbers("y")
    outline = make_outline(np.array(asked["vertices"], dtype=np.float64))

    def enclosed(kernels: Kernels) -> np.ndarray[Any, np.dtype[np.bool_]]:
        return kernels.enclosed(x, y, outline)

    polygon = enclosed(PLAIN)
    ellipse = cells.in_ellipsoid(np.column_stack([x, y]), asked["mean"], asked["covariance"], asked["distance_square"])
    rectangle = cells.in_interval(x, *asked["rectangle"][0]) & cells.in_interval(y, *asked["rectangle"][1])
    return {
        "in_polygon": int(polygon.sum()),
        "first_in_polygon": np.flatnonzero(polygon).tolist(),
        "in_ellipse": int(ellipse.sum()),
        "in_rectangle": int(rectangle.sum()),
        "compiled_as_plain": bool((polygon == enclosed(choose(_MANY))).all()),
    }


PROCEDURES: Mapping[str, Callable[[Case], Mapping[str, Any]]] = MappingProxyType(
    {"g01": show_values, "g02": compensate_events, "g03": count_events}
)
