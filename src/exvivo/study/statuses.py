"""Statuses and reasons: the stable codes that tables carry in place of sentences.

Sentences are made only by report, command line and page from ``text/en.toml``; a test fails on a
code that has none.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class WellStatus(StrEnum):
    """What became of a well."""

    OK = "ok"
    OVERFLOW = "overflow"
    MISSED = "missed"
    MASKED = "masked"
    EMPTY = "empty"


class SpecimenStatus(StrEnum):
    """What became of a specimen's concentration."""

    QUANTIFIED = "quantified"
    BELOW_LLOQ = "below_lloq"
    ABOVE_ULOQ = "above_uloq"
    REFUSED = "refused"
    MISSING = "missing"


class ExpressionStatus(StrEnum):
    """What became of a marker's expression."""

    MEASURED = "measured"
    BELOW_BACKGROUND = "below_background"
    TOO_FEW_EVENTS = "too_few_events"
    REFUSED = "refused"
    MISSING = "missing"


class RatioNote(StrEnum):
    """Why a marker has no ratio to its background."""

    BACKGROUND_NOT_POSITIVE = "background-not-positive"


class EffectStatus(StrEnum):
    """What became of an estimate."""

    ESTIMATED = "estimated"
    BOUND_ONLY = "bound_only"
    NOT_ESTIMABLE = "not_estimable"
    BLINDED = "blinded"


class EffectRole(StrEnum):
    """Why an estimate is in a table."""

    REGISTERED = "registered"
    LEVEL = "level"
    SENSITIVITY = "sensitivity"
    SUPPLEMENTARY = "supplementary"


class Severity(StrEnum):
    """How much a finding weighs."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class TubeKind(StrEnum):
    """What was in a cytometry tube."""

    FULL = "full"
    FMO = "fmo"
    ISOTYPE = "isotype"
    UNSTAINED = "unstained"
    SINGLE = "single"


class Reason(StrEnum):
    """Why something has the status it has."""

    # wells and specimens
    EXCLUDED = "excluded"  # a decision took it out
    PLATE_REFUSED = "plate-refused"
    NO_CURVE = "no-curve"
    NO_NOMINAL = "no-nominal"  # a standard whose concentration nobody wrote down
    BELOW_LLOQ = "below-lloq"
    ABOVE_ULOQ = "above-uloq"
    OVERFLOW = "overflow"
    NO_READING = "no-reading"
    SPECIMEN_LOST = "specimen-lost"
    SPECIMEN_FAILED = "specimen-failed"
    SPECIMEN_CONTAMINATED = "specimen-contaminated"
    NOT_ON_A_PLATE = "not-on-a-plate"
    # expressions
    NO_FILE = "no-file"
    NO_CONTROL = "no-control"
    NO_CHANNEL = "no-channel"
    NO_COMPENSATION = "no-compensation"
    FILE_UNREADABLE = "file-unreadable"
    GATE_FAILED = "gate-failed"
    TOO_FEW_EVENTS = "too-few-events"
    BELOW_DETECTION = "below-detection"
    TUBE_UNLINKED = "tube-unlinked"  # the tube sheet names no known specimen for it
    TUBE_REPEATED = "tube-repeated"  # two tubes of one kind: a person has to choose
    # outcomes
    SERUM_BLANK_MISSING = "serum-blank-missing"
    BLANK_BELOW_LLOQ = "blank-below-lloq"
    NET_BELOW_DETECTION = "net-below-detection"
    # effects
    TOO_FEW_DONORS = "too-few-donors"
    TOO_FEW_PER_LEVEL = "too-few-per-level"
    TOO_MUCH_CENSORED = "too-much-censored"
    CONDITION_MISSING = "condition-missing"
    READOUT_MISSING = "readout-missing"
    SERUM_CARRY_OVER = "serum-carry-over"
    BLOCKED_BY_FINDING = "blocked-by-finding"
    NOT_CONVERGED = "not-converged"
    MODIFIER_MISSING = "modifier-missing"
    CONDITIONS_CODED = "conditions-coded"
    JOINT_TEST_ONLY = "joint-test-only"
    SCORE_UNRELIABLE = "score-unreliable"  # the known error of a score explains all its variance


class Method(StrEnum):
    """How an effect was estimated."""

    # registered estimates
    PAIRED_T = "paired-t-log"  # paired t test on logs
    CENSORED = "censored-bivariate-normal"  # bivariate normal likelihood with limits, profile interval
    CENSORED_CROSSED = "censored-kr-crossed"  # the same with random donors and sera, restricted likelihood, Kenward-Roger
    CROSSED = "mixed-kr-crossed"  # ln ratios with random donors and sera, REML, Kenward-Roger
    SIGN_TEST = "sign-test"  # exact sign test, bound of the median ratio
    LINEAR = "linear-log-ratio"  # linear model of the ln ratios on a modifier
    JOINT_F = "joint-f-log-ratio"  # F test that a modifier's levels do not differ
    # beside them
    SIGNED_RANK = "signed-rank-hl"  # exact signed-rank test, Hodges-Lehmann estimate and interval
    SIGN_FLIP = "sign-flip"  # all changes of sign
    TRIMMED = "trimmed-mean"  # the fifth of the pairs at either end counts for less
    PLATES = "plates-fixed"  # plates of pairs that were measured apart as fixed effects
    LEAVE_ONE_OUT = "leave-one-out"  # range when one donor is left out
    INTERVAL_RANK = "interval-rank"  # largest signed-rank p over all values within the limits
    HALF_LLOQ = "half-lloq"  # half the limit in place of a value below it
    MIXED_UNPAIRED = "mixed-kr-unpaired"  # donors with one condition included
    DONOR_MEANS = "donor-means-paired-t"  # paired t on donors' means over their sera
    IMPUTED = "imputed-curves"  # the registered rule over curves drawn anew, Rubin's rules, Barnard-Rubin df
    WELCH = "welch-log-ratio"  # unequal variances
    SHRUNKEN = "shrunken-level"  # a level's ratio pulled towards the common mean of its modifier
    INTERVAL = "interval-regression"  # linear model of ln ratios, censored pairs as intervals
    CALIBRATED = "regression-calibration"  # slope divided by the reliability of its score
    MAX_T = "max-t"  # step-down max |t| over joint sign flips of all readouts of an outcome
    DUNNETT = "dunnett"  # levels of a series against the comparator at once
    TREND = "trend"  # linear contrast over the order of doses


class Diagnostic(StrEnum):
    """What is looked at beside a registered ratio, by a rule that was fixed before; none changes an estimate."""

    DONORS = "donors"
    SMALLEST_P = "smallest-p"  # smallest two-sided p of an exact test with that many donors
    CENSORED = "censored-share"  # values that are no points, in the arm where they are more
    SAME_PLATE = "same-plate"  # share of pairs whose members were measured on the same plates
    NORMAL_PLOT = "normal-plot"  # ln ratios outside the band of a normal quantile plot
    FARTHEST = "farthest-donor"  # largest studentised residual
    LEVEL = "level-dependence"  # correlation of the ln ratio with the mean ln value
    LEAVE_ONE_OUT = "leave-one-out"  # ratio that moves farthest when one donor leaves


class Rule(StrEnum):
    """What a plate is judged by."""

    UNIT_KNOWN = "unit-known"
    REDUCED_AGREES = "reduced-agrees"
    STANDARDS_RECOVERY = "standards-recovery"
    ANCHOR_RECOVERY = "anchor-recovery"  # standards outside the range, which count for nothing
    STANDARDS_CV = "standards-cv"
    STANDARDS_FRACTION = "standards-fraction"
    STANDARDS_LEVELS = "standards-levels"
    CURVE_CONVERGED = "curve-converged"
    TOP_ASYMPTOTE = "top-asymptote"
    PRECISION_RANGE = "precision-range"
    ENDS = "ends"
    QC_RECOVERY = "qc-recovery"
    QC_FRACTION = "qc-fraction"
    QC_LEVEL = "qc-level"
    REPLICATE_CV = "replicate-cv"
    DILUTION_LINEARITY = "dilution-linearity"
    PARALLELISM = "parallelism"
    PARALLELISM_CV = "parallelism-cv"
    HOOK_STANDARDS = "hook-standards"
    HOOK_SPECIMEN = "hook-specimen"
    POSITION_EFFECT = "position-effect"
    CONTROL_CHART = "control-chart"
    LOT_SHIFT = "lot-shift"
    ACCEPTED = "accepted"


REFUSING = frozenset(
    {
        Rule.UNIT_KNOWN,
        Rule.STANDARDS_FRACTION,
        Rule.STANDARDS_LEVELS,
        Rule.CURVE_CONVERGED,
        Rule.PRECISION_RANGE,
        Rule.QC_FRACTION,
        Rule.QC_LEVEL,
    }
)
"""Rules that refuse a plate; units do so only where they clash."""


class RuleOutcome(StrEnum):
    """What a rule found; the last three are those of a test of equivalence, whose question may stay open."""

    HELD = "held"
    FAILED = "failed"
    SHOWN = "shown"
    NOT_SHOWN = "not-shown"
    DIFFERS = "differs"


AGAINST = frozenset({RuleOutcome.FAILED, RuleOutcome.DIFFERS})
"""What speaks against a plate; a question that stays open does not."""


class LimitKind(StrEnum):
    """A limit of a curve, at the plate."""

    LOB = "lob"
    LOD = "lod"
    MDC = "mdc"
    RDL = "rdl"
    LLOQ = "lloq"
    ULOQ = "uloq"


class LimitDefinition(StrEnum):
    """How a limit was found."""

    BLANK_OWN = "blank-own-1.645sd"  # SD of the plate's own blanks
    BLANK_POOLED = "blank-pooled-1.645sd"  # SD that the pooled variance function gives at zero
    KAISER_OWN = "blank-own-3sd"
    KAISER_POOLED = "blank-pooled-3sd"
    EP17_OWN = "ep17-own"  # limit of blank + 1.645 SD of the lowest standard, from the plate's own wells
    EP17_POOLED = "ep17-pooled"  # the same from the pooled variance function
    EXCLUDES_ZERO = "interval-excludes-zero"
    RELIABLE = "reliably-above-mdc"
    PRECISION = "precision-profile"
    RECOVERY = "standards-recovery"


class ChartKind(StrEnum):
    """What a control chart follows from plate to plate."""

    QC = "qc"
    STANDARD = "standard"
    PARAMETER = "parameter"


class ChartBase(StrEnum):
    """Where target and SD of a control chart come from."""

    LEAVE_ONE_OUT = "leave-one-out"
    FIRST = "first"
    GIVEN = "given"


BELOW = frozenset({SpecimenStatus.BELOW_LLOQ, ExpressionStatus.BELOW_BACKGROUND})
"""Statuses of values known to lie below a limit."""

USABLE = BELOW | {SpecimenStatus.QUANTIFIED, SpecimenStatus.ABOVE_ULOQ, ExpressionStatus.MEASURED}
"""Statuses of values of which something is known: a point or a bound."""

STATE_REASONS: Mapping[str, Reason] = MappingProxyType(
    {"lost": Reason.SPECIMEN_LOST, "failed": Reason.SPECIMEN_FAILED, "contaminated": Reason.SPECIMEN_CONTAMINATED}
)
"""States of a specimen, as specimens.csv tells them, for which nothing is measured; every other is ``ok``."""
