"""What computes the results of a case, by the prefix of its id."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from exvivo.qualify.cases import Case
from exvivo.qualify.procedures import combining, families

Procedure = Callable[[Case], Mapping[str, Any]]

PROCEDURES: Mapping[str, Procedure] = MappingProxyType(
    {
        **combining.PROCEDURES,
        **families.PROCEDURES,
    }
)
