"""Conditions of a simulated study: how much of an effect each culture carries, and whose serum it saw.

In flow the protocol's factors, experiments and outcomes, whatever they are called. A factor that a registered
contrast compares has a strength for each of its levels: 0 for its reference and for what others are first compared
with, 1 for the first level of interest, 1/2, 1/3, ... for further ones, so that several drugs or doses differ. A
culture's strength is the sum over factors; a readout's ln ratio is multiplied by it.
"""

from collections.abc import Mapping

import polars as pl

from exvivo.study.model import Contrast, Experiment
from exvivo.study.protocol import Protocol, plain

SERUM_WORDS = ("serum", "plasma")


def serum_factor(protocol: Protocol) -> str | None:
    """Factor that says which serum a culture saw: the one called serum or plasma, else the one with such a level."""
    factors = protocol.file.factors
    if not any(experiment.serum_population for experiment in protocol.file.experiments.values()):
        return "serum" if "serum" in factors else None
    named = [name for name in factors if any(word in plain(name) for word in SERUM_WORDS)]
    by_level = [name for name, block in factors.items() if any(word in plain(level) for level in block.levels for word in SERUM_WORDS)]
    return next(iter([*named, *by_level]), None)


def serum_source(protocol: Protocol, experiment: Experiment, levels: Mapping[str, str]) -> str | None:
    """Population that a condition's serum comes from: the one whose name the level begins with, else the experiment's; None without."""
    factor = serum_factor(protocol)
    if factor is None or levels[factor] == protocol.file.factors[factor].reference:
        return None
    named = [name for name in protocol.file.populations if plain(levels[factor]).startswith(plain(name))]
    return max(named, key=len) if named else experiment.serum_population


def full_levels(protocol: Protocol, condition: Mapping[str, str]) -> dict[str, str]:
    """Level of every factor under a condition that names some."""
    return {factor: condition.get(factor, block.reference) for factor, block in protocol.file.factors.items()}


def arm_levels(protocol: Protocol, contrast: Contrast, level: str) -> dict[str, str]:
    """Level of every factor in one arm of a contrast."""
    return full_levels(protocol, {**contrast.within, contrast.factor: level})


def strengths_of(protocol: Protocol) -> dict[str, dict[str, float]]:
    """Strength of each level of each factor that a registered contrast compares; serum has its own numbers."""
    found: dict[str, dict[str, float]] = {}
    for contrast in (outcome.contrast for outcome in protocol.file.outcomes):
        if contrast.factor == serum_factor(protocol):
            continue
        levels = found.setdefault(contrast.factor, {protocol.file.factors[contrast.factor].reference: 0.0})
        levels.setdefault(contrast.versus, 0.0)
        levels.setdefault(contrast.level, 1.0 / (1 + sum(strength > 0 for strength in levels.values())))
    return found


def strength_of(protocol: Protocol, levels: Mapping[str, str]) -> float:
    """Strength of one full condition."""
    return sum(strengths.get(levels[factor], 0.0) for factor, strengths in strengths_of(protocol).items())


def culture_strengths(protocol: Protocol, cultures: pl.DataFrame) -> pl.Series:
    """Strength of each culture; ``cultures`` has one column per factor."""
    parts = [
        pl.col(factor).replace_strict(strengths, default=0.0, return_dtype=pl.Float64())
        for factor, strengths in strengths_of(protocol).items()
    ]
    return cultures.select(pl.sum_horizontal(pl.lit(0.0), *parts).alias("strength")).to_series()
