"""Nouns of the bench that formats, numerics and stages share: plates as exports print them, gates as trees.

A format module turns bytes into these records and these records into bytes; it interprets
nothing. Every cell keeps the place it came from (``origin``), so that any number in the
report can be walked back to a line or a cell of a raw file.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


class WellRole(StrEnum):
    """What a well holds."""

    STANDARD = "standard"
    BLANK = "blank"
    QC = "qc"
    SPECIMEN = "specimen"
    EMPTY = "empty"


class ReadingStatus(StrEnum):
    """What a reader said about one well; never expressed as a number."""

    OK = "ok"
    OVERFLOW = "overflow"  # OVRFLW, >3.5, +++, ****: more light absorbed than the reader can tell
    MISSED = "missed"  # the reader failed to read it
    MASKED = "masked"  # a person or the reader's software took it out
    EMPTY = "empty"  # nothing printed


class SignalKind(StrEnum):
    """Whether a printed number is a raw reading or was already reduced by the reader's software."""

    RAW = "raw"
    REDUCED = "reduced"


@dataclass(frozen=True, slots=True)
class WellReading:
    """One printed number of one well.

    ``signal`` is None unless ``status`` is ``ok``; ``text`` is what the file printed; ``origin``
    is ``line 14`` or ``Sheet1!C5``; ``wavelength_nm`` is None when the file does not say.
    """

    well: str
    wavelength_nm: int | None
    signal: float | None
    status: ReadingStatus
    kind: SignalKind
    text: str
    origin: str


@dataclass(frozen=True, slots=True)
class WellLayout:
    """What an export's embedded layout, or a plate map, says about one well. ``concentration`` in ``unit``; ``dilution`` is a fold >= 1."""

    well: str
    role: WellRole
    name: str | None
    concentration: float | None
    dilution: float | None
    unit: str | None
    origin: str
    analyte: str | None = None
    lot: str | None = None


@dataclass(frozen=True, slots=True)
class VendorWell:
    """A concentration that the reader's own software printed for one well, as it is in the well: before dilution.

    ``status`` is as in Specimen (quantified, below_lloq, ...), or ``extrapolated`` for a number outside the software's own range.
    """

    well: str
    concentration: float | None
    status: str
    text: str
    origin: str


@dataclass(frozen=True, slots=True)
class VendorCurve:
    """Curve parameters as the reader's software printed them, in its own letters."""

    model: str
    parameters: Mapping[str, float]
    unit: str | None
    origin: str


@dataclass(frozen=True, slots=True)
class PlateRecord:
    """One plate of an export, exactly as printed. ``position`` counts from 1 in the file; ``name`` need not be unique."""

    name: str | None
    position: int
    n_rows: int
    n_columns: int
    readings: tuple[WellReading, ...]
    layout: tuple[WellLayout, ...] = ()
    vendor_wells: tuple[VendorWell, ...] = ()
    vendor_curve: VendorCurve | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExportRecord:
    """One reader export: the format that recognised it, its plates in file order, what was odd but readable."""

    format: str
    plates: tuple[PlateRecord, ...]
    notes: tuple[str, ...] = ()


_WELL = re.compile(r"^([A-Pa-p])0*([1-9]|1\d|2[0-4])$")


def well_name(row: int, column: int) -> str:
    """Name of a well from 0-based row and column.

    >>> well_name(2, 4)
    'C5'
    """
    return f"{chr(ord('A') + row)}{column + 1}"


def in_order(name: str) -> tuple[tuple[int, str], ...]:
    """Key that sorts names as people count: plate 2 before plate 10.

    >>> sorted(["p:10", "p:2", "p:1"], key=in_order)
    ['p:1', 'p:2', 'p:10']
    """
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part)


def well_position(name: str) -> tuple[int, int]:
    """0-based row and column of a well name such as ``C5``, ``c05``.

    Raises
    ------
    ValueError : the text is not a well of a 96- or 384-well plate

    >>> well_position("C05")
    (2, 4)
    """
    match = _WELL.match(name.strip())
    if match is None:
        raise ValueError(f"'{name}' is not a well: expected a row A to P and a column 1 to 24")
    return ord(match[1].upper()) - ord("A"), int(match[2]) - 1


class TransformKind(StrEnum):
    """Display scales of Gating-ML 2.0, and the two that only FlowJo workspaces have (biex, log)."""

    LINEAR = "flin"
    LOG = "flog"
    ASINH = "fasinh"
    LOGICLE = "logicle"
    HYPERLOG = "hyperlog"
    BIEX = "biex"
    FLOORED_LOG = "log"


@dataclass(frozen=True, slots=True)
class Transform:
    """Display scale of one dimension: Gating-ML parameters T, W, M, A; FlowJo's own names for its own scales."""

    kind: TransformKind
    parameters: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Ratio:
    """Gating-ML ``fratio`` of two channels: A (numerator - B) / (denominator - C)."""

    numerator: str
    denominator: str
    A: float
    B: float
    C: float


@dataclass(frozen=True, slots=True)
class Dimension:
    """One axis of a gate: FCS channel ($PnN), compensation and transformation to apply before the comparison.

    ``compensation`` is ``uncompensated``, ``FCS`` (the file's own spillover) or the name of a matrix in the tree;
    with a ``ratio``, ``channel`` is that ratio's name.
    """

    channel: str
    compensation: str = "uncompensated"
    transform: Transform | None = None
    low: float | None = None
    high: float | None = None
    ratio: Ratio | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Channels that it looks at: its own, or both of its ratio."""
        return (self.channel,) if self.ratio is None else (self.ratio.numerator, self.ratio.denominator)


@dataclass(frozen=True, slots=True)
class RectangleGate:
    """Half-open box: low <= x < high in every dimension, an absent bound is open."""

    name: str
    parent: str | None
    dimensions: tuple[Dimension, ...]


@dataclass(frozen=True, slots=True)
class PolygonGate:
    """Two dimensions and a polygon's vertices in transformed units; boundary points belong to the gate."""

    name: str
    parent: str | None
    dimensions: tuple[Dimension, Dimension]
    vertices: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class EllipsoidGate:
    """Ellipse or ellipsoid in transformed units: (x - mean)' covariance^-1 (x - mean) <= distance_square."""

    name: str
    parent: str | None
    dimensions: tuple[Dimension, ...]
    mean: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    distance_square: float


@dataclass(frozen=True, slots=True)
class BooleanGate:
    """``and``, ``or`` or ``not`` of other gates; an operand may be complemented."""

    name: str
    parent: str | None
    operator: str
    operands: tuple[tuple[str, bool], ...]


Gate = RectangleGate | PolygonGate | EllipsoidGate | BooleanGate


@dataclass(frozen=True, slots=True)
class SpilloverMatrix:
    """Row = fluorochrome, column = detector; ``matrix[i][j]`` is the part of fluorochrome i seen in detector j."""

    fluorochromes: tuple[str, ...]
    detectors: tuple[str, ...]
    matrix: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class GatingTree:
    """Gates by name, parents before children, with the matrices they refer to."""

    gates: tuple[Gate, ...]
    matrices: Mapping[str, SpilloverMatrix] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class SampleGates:
    """Gates for one FCS file.

    ``name`` is what the gate file calls the sample, ``file`` the FCS file it names, ``identifier`` its number there: all
    empty when the gates hold for every file. ``compensation`` is the scale of medians, as in ``Dimension``. ``counts``
    are the events that the gate file says are in each gate, ``n_events`` in the whole sample, where it knows. With
    ``faults`` the gates could not be understood and the tree is empty; ``refused`` tells single gates that were left out.
    """

    tree: GatingTree
    compensation: str = "FCS"
    name: str = ""
    file: str = ""
    identifier: str = ""
    n_events: int | None = None
    counts: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    faults: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PictureAxis:
    """One axis of a picture of gates, in display units; ``labels`` are the linear values of ``ticks``."""

    title: str
    low: float
    high: float
    ticks: tuple[float, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GatePicture:
    """Gates with one parent and the same axes over the events of that parent.

    ``counts`` are events in cells, rows from below; a single row is a histogram, and ``y`` is None. ``outlines`` pairs each
    gate's path with its vertices in display units, inside the picture; those of a histogram are the ends of an interval.
    ``events`` were drawn, every ``every``-th one of the file.
    """

    parent: str | None
    x: PictureAxis
    y: PictureAxis | None
    counts: tuple[tuple[int, ...], ...]
    outlines: tuple[tuple[str, tuple[tuple[float, float], ...]], ...]
    events: int
    every: int


@dataclass(frozen=True, slots=True)
class Channel:
    """One parameter of an FCS data set: $PnN, $PnS, $PnR, $PnV, $PnG, $PnE, bits and data type."""

    name: str
    marker: str
    range: float
    voltage: float | None = None
    gain: float = 1.0
    amplification: tuple[float, float] = (0.0, 0.0)
    bits: int = 32
    datatype: str = "F"


@dataclass(frozen=True, slots=True)
class EventsRecord:
    """One FCS data set, described: what the header says, where the data lie, what was odd (``issues``). No events inside.

    ``byte_order`` is little, big, or the significance of each byte where it is neither; ``row_bits`` the bits from one
    event to the next, 0 for those of the channels together.
    """

    index: int
    version: str
    n_events: int
    channels: tuple[Channel, ...]
    keywords: Mapping[str, str]
    data_begin: int
    data_end: int
    byte_order: str
    spillover: SpilloverMatrix | None
    issues: tuple[str, ...] = ()
    row_bits: int = 0
