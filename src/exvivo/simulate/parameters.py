"""Numbers that a simulated study is generated from, and why they are what they are.

Out flow, for the readouts of a protocol, geometric mean, spread, drug effect and what serum brings.
Concentrations and spreads of the cytokines follow measured supernatants of human macrophages where
such exist (CCL22 stands in for CCL18); every other number is an assumption. Geometric means are placed
in the range of the example's standard series, so that the shares below and above it are those of a
working assay. All of it is written to ``truth/parameters.csv`` of every simulated study.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType

from exvivo.study.model import ElisaReadout, FlowReadout, Readout
from exvivo.study.protocol import Protocol


@dataclass(frozen=True, slots=True)
class ReadoutTruth:
    """How one readout is generated; SDs on the natural-log scale, ratios as ratios.

    ``centre`` is the geometric mean without drug and serum (readout's unit, or delta in detector units);
    ``sd_ratio`` the SD between donors of the ln ratio of one pair of cultures, ``sd_drug`` the part of it
    that belongs to the donor; ``carried`` the concentration that serum itself brings into the medium.
    """

    centre: float
    sd_donor: float
    sd_ratio: float
    ratio: float
    sd_drug: float = 0.25
    healthy: float = 1.0
    ssc_serum: float = 1.0
    other_serum: float = 1.0
    interaction: float = 1.0
    carried: float = 0.0

    def sd_culture(self, explained: float) -> float:
        """SD of one culture around its donor, so that pairs scatter by ``sd_ratio``; ``explained`` is the variance due to modifiers."""
        return math.sqrt(max(self.sd_ratio**2 - self.sd_drug**2 - explained, 0.0) / 2)


READOUTS: Mapping[str, ReadoutTruth] = MappingProxyType(
    {
        "CCL18": ReadoutTruth(4000, 0.75, 0.50, 0.60, 0.18, 0.5, 1.4, 1.1, 1.1, 60),
        "PDGFBB": ReadoutTruth(50, 0.80, 0.50, 0.95, 0.25, 1.0, 2.0, 1.2, 1.0, 60),
        "IL6": ReadoutTruth(42, 1.30, 0.60, 0.65, 0.25, 0.9, 1.6, 1.1, 0.9, 15),
        "CXCL10": ReadoutTruth(300, 0.95, 0.60, 0.25, 0.25, 0.8, 1.6, 1.1, 1.0, 45),
        "CXCL4": ReadoutTruth(300, 0.80, 0.50, 1.00, 0.25, 1.0, 1.2, 1.1, 1.0, 150),
        "CD204": ReadoutTruth(3500, 0.50, 0.25, 0.95, 0.15, 1.0, 1.10, 1.02),
        "CD206": ReadoutTruth(3800, 0.50, 0.25, 0.70, 0.15, 0.9, 1.05, 1.02),
        "CD163": ReadoutTruth(1800, 0.50, 0.25, 1.10, 0.15, 1.0, 1.15, 1.05),
        "CD86": ReadoutTruth(2000, 0.50, 0.25, 0.75, 0.15, 0.9, 1.10, 1.02),
        "MHCII": ReadoutTruth(13650, 0.50, 0.25, 0.60, 0.15, 0.9, 1.10, 1.02),
        "TLR4": ReadoutTruth(300, 0.50, 0.25, 0.85, 0.15, 1.0, 1.05, 1.00),
    }
)

MODIFIED = "CCL18"
"""The readout whose drug effect depends on clinical variables."""


BLANK_DILUTION = 1.0
"""Cell-free blanks hold little and are measured undiluted."""


@dataclass(frozen=True, slots=True)
class Coefficients:
    """What each clinical variable adds to ln(drug ratio) of the modified readout, the others held."""

    ata: float = 0.10
    aca: float = -0.05
    rnap3: float = 0.15
    mrss_point: float = 0.010
    ulcers_ever: float = 0.05
    ild: float = 0.12
    pah: float = -0.08
    diffuse: float = 0.05


@dataclass(frozen=True, slots=True)
class Generating:
    """All numbers behind a simulated study."""

    readouts: Mapping[str, ReadoutTruth]
    coefficients: Coefficients = field(default_factory=Coefficients)
    sd_serum: float = 0.40
    sd_serum_drug: float = 0.10
    sd_carried: float = 0.30
    shared_donor: float = 0.30
    lost_donors: float = 0.05
    plate_sd: float = 0.10
    curve_a: float = 0.07
    curve_b: float = 1.15
    curve_c_of_top: float = 0.35
    curve_d: float = 3.2
    od_cv: float = 0.05
    od_floor: float = 0.008
    column_gradient: float = 0.015

    def rows(self) -> Iterator[tuple[str, str, float]]:
        """Every number as parameter, subject and value."""
        for name, truth in self.readouts.items():
            for part in fields(truth):
                yield part.name, name, getattr(truth, part.name)
        for part in fields(self.coefficients):
            yield f"coefficient_{part.name}", MODIFIED, getattr(self.coefficients, part.name)
        for part in fields(self):
            if part.name not in {"readouts", "coefficients"}:
                yield part.name, "study", getattr(self, part.name)


def generating_values(protocol: Protocol) -> Generating:
    """Numbers for the readouts of a protocol; readouts that are not in ``READOUTS``, or have another range, get ordinary ones."""
    return Generating({name: _truth_of(name, readout) for name, readout in protocol.file.readouts.items()})


def _truth_of(name: str, readout: Readout) -> ReadoutTruth:
    """Known numbers where they fit the readout's own standards: another unit or kit puts its centre elsewhere."""
    known = READOUTS.get(name)
    if known is None:
        return _ordinary(readout)
    if isinstance(readout, ElisaReadout):
        series = readout.standards
        lowest = series.top * series.factor ** (1 - series.points) * min(readout.dilutions)
        if not lowest < known.centre < series.top * max(readout.dilutions):
            middle = _ordinary(readout).centre
            return replace(known, centre=middle, carried=known.carried * middle / known.centre)
    return known


def _ordinary(readout: Readout) -> ReadoutTruth:
    """Truth of an unknown readout: the middle of its standard series, or a clearly positive marker, and a modest effect."""
    if isinstance(readout, ElisaReadout):
        series = readout.standards
        middle = series.top * series.factor ** (-(series.points - 1) / 2) * min(readout.dilutions)
        return ReadoutTruth(middle, 0.6, 0.45, 0.8)
    return ReadoutTruth(2000.0 if isinstance(readout, FlowReadout) else 1.0, 0.5, 0.3, 0.8, 0.15)
