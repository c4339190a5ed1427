"""Contrast tables of a fitted model: which means a label compares, and the pairs that a design holds.

Labels come from the reference (``ruxolitinib - vehicle`` within ``ild`` = ``yes``); the numbers come from the model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from exvivo.numerics.inference import Array
from exvivo.qualify.designs import Design, Factor, marginal_means
from exvivo.qualify.fits import Fitted, Report, report_contrast

_BETWEEN = ("contrast", "_revpairwise", "_pairwise", "_trt.vs.ctrl", "_consec")


def fill_contrasts(fitted: Fitted, rows: Sequence[Mapping[str, Any]]) -> list[Report]:
    """Tables of contrasts of marginal means, Kenward-Roger, for the labels that each row holds."""
    return [_fill_contrast(fitted, {key: str(value) for key, value in row.items() if isinstance(value, str)}) for row in rows]


def _fill_contrast(fitted: Fitted, labels: Mapping[str, str]) -> Report:
    weights = contrast_weights(fitted.design, labels)
    return report_contrast(fitted.contrast(weights), **labels)


def contrast_weights(design: Design, labels: Mapping[str, str]) -> Array:
    """Weights of coefficients for a difference of means, or a difference of differences, within given levels.

    Parameters
    ----------
    design : fixed part of the model
    labels : ``contrast`` or ``FACTOR_revpairwise`` with "A - B"; every other key a factor with its level

    Raises
    ------
    ValueError : a label names levels that no factor has
    """
    factors = {name: own.levels for name, own in design.variables.items() if isinstance(own, Factor)}
    held = {name: own for name, own in labels.items() if name in factors}
    compared = dict(_compared(key, label, factors, held) for key, label in labels.items() if key not in factors)
    over = [*held, *compared]
    cells, means = marginal_means(design, over)
    weights = np.zeros(means.shape[1])
    fixed = [[(level, 1.0)] for level in held.values()]
    for choice in product(*fixed, *([(upper, 1.0), (lower, -1.0)] for upper, lower in compared.values())):
        sign = float(np.prod([factor for _, factor in choice]))
        weights += sign * means[cells.index(tuple(level for level, _ in choice))]
    return weights


def _compared(key: str, label: str, factors: Mapping[str, Sequence[str]], held: Mapping[str, str]) -> tuple[str, tuple[str, str]]:
    """Factor that a key compares, and the two levels."""
    asked = next((key.removesuffix(end) for end in _BETWEEN if key.endswith(end)), key)
    candidates = [asked] if asked in factors else [name for name in factors if name not in held]
    for name in candidates:
        for upper, lower in product(factors[name], repeat=2):
            if upper != lower and label in _written(name, upper, lower):
                return name, (upper, lower)
    raise ValueError(f"'{label}' compares levels that no factor of the model has")


def _written(name: str, upper: str, lower: str) -> set[str]:
    """How R may print a difference: levels alone, in brackets, or after the factor's name."""
    forms = [(level, f"({level})", f"{name}{level}", f"({name}{level})") for level in (upper, lower)]
    return {f"{first} - {second}" for first, second in product(*forms)}


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Mean responses of the groups that have both levels of a factor, and one of their rows each."""

    differences: Array
    rows: tuple[int, ...]


def pair_up(fitted: Fitted, group: str) -> tuple[str, Pairs]:
    """Factor with two levels that vary within a group, and upper minus reference level of its mean responses.

    Raises
    ------
    ValueError : no factor has two levels within the groups
    """
    labels = np.array(fitted.table.labels(group))
    for name, own in fitted.design.variables.items():
        if isinstance(own, Factor) and len(own.levels) == 2:
            levels = np.array(own.labels)
            upper, lower = levels == own.levels[1], levels == own.levels[0]
            complete = [g for g in dict.fromkeys(labels.tolist()) if (upper & (labels == g)).any() and (lower & (labels == g)).any()]
            if complete:
                y = fitted.response
                found = [y[upper & (labels == g)].mean() - y[lower & (labels == g)].mean() for g in complete]
                return name, Pairs(np.array(found), tuple(int(np.flatnonzero(labels == g)[0]) for g in complete))
    raise ValueError(f"no factor has two levels within '{group}'")


def modifier(fitted: Fitted, factor: str) -> str:
    """The other variable of a model with two."""
    return next(name for name in fitted.design.variables if name != factor)
