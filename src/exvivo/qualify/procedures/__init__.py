"""What computes the results of a case, by the prefix of its id."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from exvivo.qualify.cases import Case
from exvivo.qualify.procedures import censoring, contrasts, curves, families, kernels, models, pairs, power, published, ranks, resampling

Procedure = Callable[[Case], Mapping[str, Any]]

PROCEDURES: Mapping[str, Procedure] = MappingProxyType(
    {
        **censoring.PROCEDURES,
        **contrasts.PROCEDURES,
        **curves.PROCEDURES,
        **families.PROCEDURES,
        **kernels.PROCEDURES,
        **models.PROCEDURES,
        **pairs.PROCEDURES,
        **power.PROCEDURES,
        **published.PROCEDURES,
        **ranks.PROCEDURES,
        **resampling.PROCEDURES,
    }
)
