"""A tube of calibration beads with known values, as the cytometer of ``simulate.cytometer`` would have acquired it."""

from collections.abc import Mapping, Sequence

import numpy as np

from exvivo.formats import fcs
from exvivo.simulate.cytometer import CEILING, ELECTRONIC_SD, EVENTS_PER_S, PHOTOELECTRONS_PER_UNIT, TIMESTEP_S
from exvivo.study.design import Channel

AUTOFLUORESCENCE = 500.0
"""Molecules that a bead shines like by itself, in every channel."""
_SPREAD = 0.04
_DOUBLETS = 0.03
_DEBRIS = 0.02
_SCATTER = (60_000.0, 30_000.0)


def compose_bead_tube(known: Mapping[str, Sequence[float]], per_unit: float, each: int, rng: np.random.Generator) -> bytes:
    """FCS file of a mixture of beads.

    Parameters
    ----------
    known : molecules of every population, from the dimmest, by channel
    per_unit : molecules that one unit of fluorescence stands for
    each : beads of every population
    """
    levels = np.array([list(values) for values in known.values()]).T + AUTOFLUORESCENCE
    which = rng.permutation(np.repeat(np.arange(len(levels)), each))
    n = len(which)
    kind = rng.uniform(size=n)
    double, debris = kind < _DOUBLETS, kind > 1.0 - _DEBRIS
    partner = rng.integers(len(levels), size=n)
    amounts = levels[which] + double[:, None] * levels[partner]
    amounts = np.where(debris[:, None], 0.0, amounts) / per_unit * np.exp(_SPREAD * rng.standard_normal(amounts.shape))
    counted = rng.poisson(amounts * PHOTOELECTRONS_PER_UNIT) / PHOTOELECTRONS_PER_UNIT + ELECTRONIC_SD * rng.standard_normal(amounts.shape)
    size = np.where(debris, 0.1, 1.0 + double)
    scatter = np.array(_SCATTER) * size[:, None] * np.exp(_SPREAD * rng.standard_normal((n, 2)))
    time = np.sort(rng.uniform(0, n / EVENTS_PER_S, n)) / TIMESTEP_S
    stored = np.minimum(np.column_stack([time, scatter, counted]), CEILING - 1).astype(np.float32)
    channels = [Channel("Time", "", CEILING), *(Channel(name, "", CEILING, 300.0) for name in ("FSC-A", "SSC-A"))]
    channels += [Channel(name, "", CEILING, 450.0) for name in known]
    return fcs.compose(stored, channels, timestep=TIMESTEP_S, keywords={"$CYT": "simulated"})
