"""The codes of what can be wrong with a study's data, declared once."""

from dataclasses import dataclass
from enum import StrEnum

from exvivo.study.statuses import Severity


class FindingCode(StrEnum):
    """Stable codes; outside names."""

    DONOR_UNKNOWN = "donor-unknown"
    ID_UNKNOWN = "id-unknown"
    ID_ORPHAN = "id-orphan"
    ID_SIMILAR = "id-similar"
    FILE_DUPLICATE = "file-duplicate"
    FILE_UNREADABLE = "file-unreadable"
    SPECIMEN_REPEATED = "specimen-repeated"
    TUBE_REPEATED = "tube-repeated"
    TUBE_UNLINKED = "tube-unlinked"
    FILE_UNLISTED = "file-unlisted"
    FILE_ODD = "file-odd"
    MAP_WITHOUT_EXPORT = "map-without-export"
    READOUT_WITHOUT_DATA = "readout-without-data"
    EXPORT_WITHOUT_MAP = "export-without-map"
    LAYOUT_DISAGREES = "layout-disagrees"
    STANDARDS_EXCHANGED = "standards-exchanged"
    PLATE_REFUSED = "plate-refused"
    PAIR_ON_TWO_PLATES = "pair-on-two-plates"
    DILUTION_WRONG = "dilution-wrong"
    HOOK_EFFECT = "hook-effect"
    POSITION_EFFECT = "position-effect"
    CONTROL_DRIFT = "control-drift"
    LOT_SHIFT = "lot-shift"
    UNIT_MISMATCH = "unit-mismatch"
    VENDOR_SETTINGS = "vendor-settings"
    COMPENSATION_MISSING = "compensation-missing"
    COMPENSATION_TWICE = "compensation-twice"
    COMPENSATION_DIFFERS = "compensation-differs"
    CHANNEL_MISSING = "channel-missing"
    MARKER_MISLABELLED = "marker-mislabelled"
    LABEL_DIFFERS = "label-differs"
    VOLTAGE_DIFFERS = "voltage-differs"
    CONTROL_SHARED = "control-shared"
    ACQUISITION_UNSTEADY = "acquisition-unsteady"
    EVENTS_FEW = "events-few"
    BACKGROUND_NEGATIVE = "background-negative"
    VALLEY_SHALLOW = "valley-shallow"
    THRESHOLD_OUTLYING = "threshold-outlying"
    BEADS_REFUSED = "beads-refused"
    BEADS_SLOPE = "beads-slope"
    GATE_YIELD_DIFFERS = "gate-yield-differs"
    VALUE_OUT_OF_RANGE = "value-out-of-range"
    POPULATION_MISMATCH = "population-mismatch"
    BLANK_MISSING = "blank-missing"
    IDENTIFIER_DROPPED = "identifier-dropped"
    CONFLICTING_CLINICAL = "conflicting-clinical"
    CRITERION_UNKNOWN = "criterion-unknown"
    CRITERION_FAILED = "criterion-failed"
    FACTOR_ASSUMED = "factor-assumed"
    DECISION_TORN = "decision-torn"
    DECISION_WITHOUT_TARGET = "decision-without-target"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that looks wrong: where, what was seen, what to do, which readouts it touches (none: all)."""

    code: FindingCode
    severity: Severity
    place: str
    evidence: str
    suggestion: str
    readouts: tuple[str, ...] = ()
    donors: tuple[str, ...] = ()
