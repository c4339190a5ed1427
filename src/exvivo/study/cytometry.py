"""Nouns and tables of cytometry that few need: calibration beads and what was made of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from exvivo.study.columns import COUNT, REAL, TEXT, Column, TableKind


class BeadStatus(StrEnum):
    """Whether a channel could be calibrated."""

    CALIBRATED = "calibrated"
    REFUSED = "refused"


class BeadReason(StrEnum):
    """Why it could not."""

    FEW_POPULATIONS = "few-populations"
    RESIDUAL_LARGE = "residual-large"


@dataclass(frozen=True, slots=True)
class BeadSet:
    """One FCS file of calibration beads and the known value of each population, from the dimmest, per channel; None where unknown.

    ``file`` is what tables call it; all channels have as many populations.
    """

    file: str
    path: Path
    values: Mapping[str, tuple[float | None, ...]]

    @property
    def n_populations(self) -> int:
        """How many populations the mixture has."""
        return len(next(iter(self.values.values())))


BEADS = TableKind(
    "beads",
    "one row per calibrated channel: molecules = exp(intercept) x fluorescence ^ slope",
    (
        Column("channel", TEXT, "channel", required=True),
        Column("file", TEXT, "FCS file of the beads", required=True),
        Column("status", TEXT, "what became of it", allowed=tuple(s.value for s in BeadStatus), required=True),
        Column("reason", TEXT, "why it was refused", allowed=tuple(r.value for r in BeadReason)),
        Column("told_apart_by", TEXT, "channel that told the populations apart"),
        Column("slope", REAL, "m; 1 where molecules are proportional to fluorescence"),
        Column("slope_se", REAL, "standard error; empty without degrees of freedom"),
        Column("intercept", REAL, "b, natural log"),
        Column("intercept_se", REAL, "standard error"),
        Column("autofluorescence", REAL, "of the beads; no part of the conversion", "molecules"),
        Column("autofluorescence_se", REAL, "standard error; empty where the estimate is 0, its lowest value"),
        Column("df", COUNT, "degrees of freedom: populations used minus three"),
        Column("used", COUNT, "populations used"),
        Column("worst_residual_pct", REAL, "largest distance of a population from the curve", "%"),
        Column("low", REAL, "dimmest fluorescence that the curve rests on"),
        Column("high", REAL, "brightest fluorescence that the curve rests on"),
        Column("voltage", REAL, "$PnV of the detector"),
    ),
    ("channel",),
)

BEAD_PEAKS = TableKind(
    "bead_peaks",
    "every population of beads in every channel, from the dimmest",
    (
        Column("channel", TEXT, "channel", required=True),
        Column("population", COUNT, "place from the dimmest, from 1", required=True),
        Column("events", COUNT, "single beads"),
        Column("median", REAL, "median fluorescence, linear, not compensated"),
        Column("median_se", REAL, "its standard error"),
        Column("known", REAL, "known value", "molecules"),
        Column("fate", TEXT, "used, or why not: unknown, merged, few, dim, saturated", required=True),
        Column("residual_pct", REAL, "known value and autofluorescence over the curve, minus one", "%"),
    ),
    ("channel", "population"),
)
