"""The keys of ``study.yaml`` as frozen models: what a person writes, nothing derived.

Every block may carry ``source`` (``registry``, ``assumed`` or ``sop:<reference>``), which speaks for all
its fields and for the blocks inside it until one of them says otherwise; ``source_of`` names single fields.
What the registry does not state is listed in the report from these marks.
"""

import operator
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StringConstraints, model_validator

SCHEMA = "exvivo/study/1"

Source = Annotated[str, StringConstraints(pattern=r"^(registry|assumed|sop:.+)$")]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Condition = Mapping[str, str]


class Block(BaseModel):
    """What all blocks share: unknown keys are refused, values are frozen, the source is told."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    source: Source | None = Field(None, description="registry, assumed or sop:<reference>; speaks for every field of the block")
    source_of: Mapping[str, Source] = Field(default_factory=dict, description="source of single fields that differ from the block's")


class Study(Block):
    """Identity of the study."""

    id: str = Field(description="registry number")
    acronym: str = Field(description="short name")
    title: str = Field(description="title in the registry's words")
    sponsor: str = Field("", description="sponsor")
    design: str = Field("", description="type and time perspective")
    planned_n: int | None = Field(None, gt=0, description="planned number of participants")
    cells: str = Field("", description="what cells are cultured, and how they are made")
    organization: str = Field("", description="name and address of the organization, for the MIFlowCyt list")
    contact: str = Field("", description="name and e-mail address of the contact, for the MIFlowCyt list")
    keywords: tuple[str, ...] = Field((), description="keywords of the experiment, for the MIFlowCyt list")


class Operator(StrEnum):
    """Comparison in a criterion."""

    AT_LEAST = ">="
    ABOVE = ">"
    AT_MOST = "<="
    BELOW = "<"
    EQUAL = "=="


_COMPARE: Mapping[Operator, Callable[[Any, Any], bool]] = {
    Operator.AT_LEAST: operator.ge,
    Operator.ABOVE: operator.gt,
    Operator.AT_MOST: operator.le,
    Operator.BELOW: operator.lt,
    Operator.EQUAL: operator.eq,
}


class Criterion(Block):
    """One inclusion criterion on a clinical variable."""

    variable: str = Field(description="clinical variable")
    op: Operator = Field(description="comparison")
    value: float | str = Field(description="what it is compared with")

    def holds(self, found: object) -> bool | None:
        """Whether a donor's value meets the criterion; None when it is missing or cannot be compared."""
        if found is None:
            return None
        if isinstance(self.value, str) or isinstance(found, str):
            return str(found) == str(self.value) if self.op is Operator.EQUAL else None
        return _COMPARE[self.op](found, self.value)


class Population(Block):
    """A group of donors."""

    label: str = Field(description="name in the report")
    criteria: tuple[Criterion, ...] = Field((), description="inclusion criteria, all of which must hold")


class Factor(Block):
    """What may differ between cultures of one donor."""

    label: str = Field("", description="name in the report")
    levels: tuple[str, ...] = Field(min_length=1, description="levels as they stand in specimens.csv")
    reference: str = Field(description="level that others are compared with")
    labels: Mapping[str, str] = Field(default_factory=dict, description="labels of levels in the report")
    details: Mapping[str, str] = Field(default_factory=dict, description="dose, duration, vehicle: printed, not interpreted")
    doses: Mapping[str, float] = Field(default_factory=dict, description="dose of each level, in any unit; their order gives a trend")


class Experiment(Block):
    """Cultures of one population under some conditions."""

    label: str = Field("", description="name in the report")
    population: str = Field(description="donors of the cells")
    serum_population: str | None = Field(None, description="donors of the serum, when serum is a factor")
    conditions: tuple[Condition, ...] = Field(min_length=1, description="level of each factor, one mapping per condition")
    culture_replicates: int = Field(1, ge=1, description="cultures per donor and condition")
    sera_per_donor: int = Field(1, ge=1, description="sera that each cell donor's cultures are exposed to")
    serum_present_at_collection: bool = Field(
        False, description="whether serum is still in the medium when it is collected: soluble readouts then need cell-free blanks"
    )
    cell_free_blanks: bool = Field(False, description="whether serum is also incubated without cells, to be subtracted")


class Standards(Block):
    """Standard series of an immunoassay."""

    top: float = Field(gt=0, description="highest concentration, in the readout's unit")
    points: int = Field(ge=4, description="non-zero levels")
    factor: float = Field(gt=1, description="dilution factor between levels")
    zero: bool = Field(True, description="whether a zero standard is on the plate")
    anchors: tuple[float, ...] = Field(
        (), description="levels outside the range that only help the fit: their recovery is shown and counts for nothing"
    )


class ElisaReadout(Block):
    """An analyte measured by immunoassay."""

    kind: Literal["elisa"]
    label: str = Field(description="name in the report")
    aliases: tuple[str, ...] = Field((), description="other spellings in plate maps, read without regard to case or hyphen")
    unit: str = Field(description="unit of its concentrations")
    matrix: Literal["medium"] = Field("medium", description="what it is measured in")
    standards: Standards = Field(description="standard series")
    dilutions: tuple[float, ...] = Field((1.0,), min_length=1, description="fold dilutions at which specimens are measured")
    replicates: int = Field(2, ge=1, description="wells per specimen and dilution")
    wavelength_nm: int = Field(450, description="measuring wavelength")
    reference_wavelength_nm: int | None = Field(None, description="wavelength to subtract, where the export holds it")


class ControlKind(StrEnum):
    """Tube that gives a marker's background."""

    FMO = "fmo"
    ISOTYPE = "isotype"
    UNSTAINED = "unstained"


class FlowReadout(Block):
    """A membrane marker measured by flow cytometry."""

    kind: Literal["flow"]
    label: str = Field(description="name in the report")
    aliases: tuple[str, ...] = Field((), description="other spellings in tubes.csv and $PnS")
    fluorochrome: str = Field(description="fluorochrome of the reagent")
    channel: str = Field(description="$PnN of its detector")
    clone: str = Field("", description="clone of the antibody, for the MIFlowCyt list")
    reagent: str = Field("", description="manufacturer, catalogue number and lot of the reagent, for the MIFlowCyt list")
    control: ControlKind = Field(ControlKind.ISOTYPE, description="matching control of the same donor and condition")
    statistic: Literal["delta"] = Field("delta", description="median minus the control's median, linear compensated scale")


class TableReadout(Block):
    """A readout whose values come quantified in a table."""

    kind: Literal["table"]
    label: str = Field(description="name in the report")
    aliases: tuple[str, ...] = Field((), description="other spellings in the table")
    table: str = Field(description="table of this file's 'tables' that holds it")
    unit: str = Field("as given", description="unit of its values")


Readout = Annotated[ElisaReadout | FlowReadout | TableReadout, Field(discriminator="kind")]


class QuantifiedTable(Block):
    """A table of values that are already quantified.

    ``wide``: one column per condition, one row per readout and donor. ``long``: one row per value, with columns for the
    donor, the readout, each factor and the value (and, for medians, the control's value).
    """

    file: str = Field(description="path inside the study folder")
    layout: Literal["wide", "long"] = Field(description="one column per condition, or one row per value")
    experiment: str = Field(description="experiment it belongs to")
    delimiter: Literal[",", ";", "\t"] = Field(",", description="separator of cells")
    decimal: Literal[".", ","] = Field(".", description="decimal mark")
    readout_column: str = Field(description="column with the readout's name")
    donor_column: str | None = Field(None, description="column with the donor; absent: the k-th row of each readout is donor k")
    serum_donor_column: str | None = Field(None, description="column with the serum donor")
    condition_columns: Mapping[str, Condition] = Field(default_factory=dict, description="wide: condition of each column")
    factor_columns: Mapping[str, str] = Field(default_factory=dict, description="long: column of each factor")
    value_column: str | None = Field(None, description="long: column with the value")
    control_column: str | None = Field(None, description="long: column with the control's value, to be subtracted")


class CurveRules(Block):
    """How standard curves are fitted."""

    model: Literal["auto", "4PL", "5PL", "log-log"] = Field(
        "auto", description="curve family; auto: four or five parameters, by AICc over all plates of an analyte"
    )
    branch: Literal["both", "a-side", "d-side"] = Field(
        "both", description="five parameters: which of the two forms is tried; both: the better one is kept"
    )
    weighting: Literal["fitted", "none", "1/y", "1/y2"] = Field("fitted", description="variance function, or a vendor's weights")
    subtract_blank: bool = Field(False, description="subtract the mean blank before fitting, as some readers' software does")


class AssayProfile(StrEnum):
    """Where the defaults of the assay's rules come from."""

    RESEARCH = "research"
    ICH_M10 = "ich_m10"


class ChartTarget(Block):
    """What a QC is expected to read."""

    concentration: float = Field(gt=0, description="expected concentration, in the readout's unit")
    cv_pct: float = Field(gt=0, description="expected coefficient of variation between plates")


class ChartRules(Block):
    """Control charts over the plates of a study."""

    base: Literal["leave-one-out", "first"] = Field(
        "leave-one-out", description="target and SD from all other plates, or from the first plates; given targets go before both"
    )
    first: int = Field(20, ge=6, description="plates that target and SD come from, where base is first")
    targets: Mapping[str, Mapping[str, ChartTarget]] = Field(default_factory=dict, description="given targets, by readout and QC name")


_ICH_M10: Mapping[str, object] = {
    "max_cv_pct": 25.0,
    "backfit_tolerance_pct": 20.0,
    "backfit_tolerance_at_limits_pct": 25.0,
    "backfit_pass_fraction": 0.75,
    "min_levels": 6,
    "qc_tolerance_pct": 20.0,
    "qc_pass_fraction": 2 / 3,
    "qc_level_pass_fraction": 0.5,
}
"""Ligand-binding assays, ICH M10 (2022), sections 4.2.4 and 4.3.2; the limits are the ends, where 25 % are allowed."""


class AssayRules(Block):
    """Acceptance of plates. A profile sets the defaults of the other keys; a key that is given wins."""

    profile: AssayProfile = Field(AssayProfile.RESEARCH, description="defaults of a research laboratory, or of ICH M10")
    curve: CurveRules = Field(default_factory=CurveRules, description="how curves are fitted")
    max_cv_pct: float = Field(20.0, gt=0, description="imprecision that defines LLOQ and ULOQ")
    backfit_tolerance_pct: float = Field(20.0, gt=0, description="recovery of standards inside the range")
    backfit_tolerance_at_limits_pct: float = Field(25.0, gt=0, description="recovery of standards at the limits")
    backfit_pass_fraction: float = Field(0.75, gt=0, le=1, description="share of standard levels that must pass")
    min_levels: int = Field(5, ge=4, description="non-zero standard levels that must pass")
    qc_tolerance_pct: float = Field(20.0, gt=0, description="recovery of QC wells")
    qc_pass_fraction: float = Field(0.66, gt=0, le=1, description="share of QC wells that must pass")
    qc_level_pass_fraction: float = Field(
        0.0, ge=0, le=1, description="share of the wells of each QC level that must pass; 0: shown, nothing is refused"
    )
    replicate_cv_pct: float = Field(25.0, gt=0, description="CV of replicate wells' signal that is called out")
    equivalence_fold: float = Field(1.25, gt=1, description="ratio that dilutions and lots may differ by, up or down")
    parallelism_cv_pct: float = Field(30.0, gt=0, description="CV of a specimen's results over its dilutions that is called out")
    position_effect_pct: float = Field(10.0, gt=0, description="effect of rows, columns or edge on signals that is called out")
    charts: ChartRules = Field(default_factory=ChartRules, description="control charts over the plates")

    @model_validator(mode="before")
    @classmethod
    def _take_profile(cls, given: Any) -> Any:  # noqa: ANN401  whatever stands in the file
        is_ich = isinstance(given, Mapping) and given.get("profile") == AssayProfile.ICH_M10.value
        return {**_ICH_M10, **given} if is_ich else given


class GateMethod(StrEnum):
    """How a gate is found: the first five on a donor's pooled tubes, the others as the protocol states them."""

    TIME = "time"
    SCATTER = "scatter"
    SINGLETS = "singlets"
    VIABILITY = "viability"
    LINEAGE = "lineage"
    RECTANGLE = "rectangle"
    POLYGON = "polygon"
    ELLIPSE = "ellipse"
    BOOLEAN = "boolean"


class GateTemplate(Block):
    """What all gates of the protocol have."""

    name: str = Field(min_length=1, description="name of the population")
    method: GateMethod = Field(description="how it is found")
    channels: tuple[str, ...] = Field(min_length=1, max_length=2, description="$PnN of its one or two channels")
    parent: str | None = Field(None, description="population inside which it is drawn; absent: all events")


class AutomaticGate(GateTemplate):
    """A gate that is found on the pooled, equally weighted, label-blind tubes of a donor."""

    method: Literal[GateMethod.TIME, GateMethod.SCATTER, GateMethod.SINGLETS, GateMethod.VIABILITY, GateMethod.LINEAGE] = Field(
        description="how it is found"
    )


class GateScale(Block):
    """Scale of one axis: bounds, vertices and means are positions on it, as in Gating-ML 2.0."""

    kind: Literal["linear", "log", "asinh", "logicle", "hyperlog"] = Field(description="linear: (x + A) / (T + A); the others as Gating-ML")
    T: FiniteFloat = Field(gt=0, description="value at the top of the scale")
    W: FiniteFloat = Field(0.5, ge=0, description="logicle and hyperlog: decades that look linear")
    M: FiniteFloat = Field(4.5, gt=0, description="decades; all but linear")
    A: FiniteFloat = Field(0.0, description="further negative decades; linear: value below zero at the bottom; not for log")


class GateBounds(Block):
    """Side of a rectangle: low <= x < high; an end that is absent is open."""

    low: float | None = Field(None, allow_inf_nan=False, description="smallest value inside")
    high: float | None = Field(None, allow_inf_nan=False, description="smallest value that is no longer inside")


class GateRatio(Block):
    """A (numerator - B) / (denominator - C) as an axis."""

    numerator: str = Field(description="$PnN above the line")
    denominator: str = Field(description="$PnN below the line")
    A: FiniteFloat = Field(1.0, gt=0, description="factor")
    B: FiniteFloat = Field(0.0, description="subtracted from the numerator")
    C: FiniteFloat = Field(0.0, description="subtracted from the denominator")


class FixedGate(GateTemplate):
    """A gate that stands in the protocol: the same for every tube."""

    scale: Mapping[str, GateScale] = Field(default_factory=dict, description="scale of each channel; absent: its linear values")
    ratios: Mapping[str, GateRatio] = Field(default_factory=dict, description="ratios that stand among the channels, by name")


class RectangleTemplate(FixedGate):
    """Bounds on any number of channels; quadrants are four of these."""

    method: Literal[GateMethod.RECTANGLE] = Field(description="bounds on channels")
    channels: tuple[str, ...] = Field((), description="may be left out: those of the bounds")
    bounds: Mapping[str, GateBounds] = Field(min_length=1, description="low and high of each channel")


class PolygonTemplate(FixedGate):
    """A closed outline; events on it are inside."""

    method: Literal[GateMethod.POLYGON] = Field(description="an outline")
    channels: tuple[str, ...] = Field(min_length=2, max_length=2, description="$PnN across and up")
    vertices: tuple[tuple[FiniteFloat, FiniteFloat], ...] = Field(min_length=3, description="corners in order")


class EllipseTemplate(FixedGate):
    """Centre and covariance, or centre and axes of an ellipse; events on it are inside."""

    method: Literal[GateMethod.ELLIPSE] = Field(description="a centre and what lies around it")
    channels: tuple[str, ...] = Field(min_length=1, description="$PnN of its axes")
    mean: tuple[FiniteFloat, ...] = Field(min_length=1, description="centre")
    covariance: tuple[tuple[FiniteFloat, ...], ...] | None = Field(None, description="covariance matrix, one row for each channel")
    distance_square: FiniteFloat | None = Field(None, gt=0, description="with a covariance: largest squared distance inside; absent: 1")
    axes: tuple[FiniteFloat, FiniteFloat] | None = Field(None, description="two channels: half lengths, in place of a covariance")
    angle: FiniteFloat | None = Field(None, description="with axes: degrees from the first channel to the first axis; absent: 0")


class BooleanTemplate(FixedGate):
    """Gates that stand above it, combined."""

    method: Literal[GateMethod.BOOLEAN] = Field(description="other gates combined")
    channels: tuple[str, ...] = Field((), max_length=0, description="none: leave it out")
    operator: Literal["and", "or", "not"] = Field(description="how they are combined")
    of: tuple[str, ...] = Field(min_length=1, description="names of the gates; one for not")
    complement: tuple[str, ...] = Field((), description="those of them of which the events outside are meant")


ShapedGate = RectangleTemplate | PolygonTemplate | EllipseTemplate | BooleanTemplate
PanelGate = Annotated[AutomaticGate | ShapedGate, Field(discriminator="method")]


class Panel(Block):
    """What all cytometry tubes share."""

    gates: tuple[PanelGate, ...] = Field((), description="automatic and fixed gates, parents first")
    gates_file: str | None = Field(
        None,
        description="Gating-ML, FlowJo, FACSDiva or yaml file whose gates take the place of these; a workspace's sample is found by file",
    )
    population: str = Field(description="population in which markers are measured")
    compensation: str = Field(
        "FCS", description="FCS: spillover stored in each file; none; single_stains: from each batch's single stains; or a matrix file"
    )
    min_events: int = Field(200, ge=20, description="events that a measured population needs")
    positive_quantile: float = Field(0.99, gt=0.5, lt=1, description="quantile of the control above which an event is positive")


class VariableKind(StrEnum):
    """Type of a clinical variable."""

    NUMBER = "number"
    INTEGER = "integer"
    CATEGORY = "category"
    MULTISELECT = "multiselect"


class Variable(Block):
    """A clinical variable and its coding."""

    label: str = Field("", description="name in the report")
    type: VariableKind = Field(description="type")
    column: str | None = Field(None, description="column in the clinical table; absent: the variable's own name")
    levels: Mapping[str, str] = Field(default_factory=dict, description="meaning of each code")
    range: tuple[float, float] | None = Field(None, description="smallest and largest possible value")
    definition: str = Field("", description="how it was determined, in words")
    method: str = Field("", description="examination it rests on, such as echocardiography or right-heart catheter")
    precedence: tuple[str, ...] = Field((), description="multiselect: which level stands when several are ticked, first wins")
    none_level: str | None = Field(None, description="multiselect: level that means tested and negative; nothing ticked is missing")


class Clinical(Block):
    """The clinical table and its variables."""

    format: Literal["redcap", "plain"] = Field("redcap", description="REDCap export with dictionary, or any table")
    key: str = Field(description="column with the donor's pseudonym")
    population_column: str = Field("population", description="column that holds the population")
    populations: Mapping[str, str] = Field(default_factory=dict, description="population of each code; absent: the cell itself")
    missing_codes: Mapping[str, str] = Field(default_factory=dict, description="codes that mean missing, and why")
    decimal: Literal[".", ","] | None = Field(None, description="decimal mark; absent: decided per column from the dictionary")
    variables: Mapping[Name, Variable] = Field(default_factory=dict, description="variables used by criteria, modifiers and tables")


class AnalysisSet(Block):
    """Which donors an outcome is estimated in."""

    label: str = Field("", description="name in the report")
    experiment: str = Field(description="experiment")
    criteria: bool = Field(False, description="whether the population's criteria must be met")
    min_viability_pct: float | None = Field(None, ge=0, le=100, description="viability below which a culture does not count")
    accepted_plates_only: bool = Field(False, description="whether values from refused plates are left out (they never are quantified)")


class Contrast(Block):
    """A comparison of two levels of one factor, other factors held at ``within``."""

    factor: str = Field(description="factor")
    level: str = Field(description="level of interest")
    versus: str = Field(description="comparator")
    within: Condition = Field(default_factory=dict, description="levels of the other factors; absent: their reference levels")


class ModifierKind(StrEnum):
    """Scale of an effect modifier."""

    BINARY = "binary"
    CATEGORICAL = "categorical"
    CONTINUOUS = "continuous"


class Modifier(Block):
    """A clinical variable that may change the effect."""

    label: str = Field(description="name in the registry's words")
    variable: str = Field(description="clinical variable")
    kind: ModifierKind = Field(description="binary, categorical or continuous")
    yes: tuple[str, ...] = Field((), description="binary: levels on the numerator's side")
    no: tuple[str, ...] = Field((), description="binary: levels on the denominator's side; others are left out and counted")
    yes_label: str = Field("yes", description="binary: label of the numerator's side")
    no_label: str = Field("no", description="binary: label of the denominator's side")
    levels: tuple[str, ...] = Field((), description="categorical: levels in order, reference last")
    per: float = Field(1.0, gt=0, description="continuous: step for which the ratio of ratios is printed")
    measurement_sd: float | None = Field(
        None, gt=0, description="continuous: standard deviation of repeated scorings of one person; shown with what it does to the slope"
    )
    direction: Literal["down", "up", "none", "unknown"] | None = Field(
        None, description="expected direction of the ratio of ratios, printed beside the estimate and never used; absent: none was written"
    )
    evidence: str = Field("", description="earlier findings that speak for or against it, for the credibility sheet")


class Outcome(Block):
    """A registered outcome."""

    id: str = Field(description="identifier, such as P1")
    role: Literal["primary", "secondary", "exploratory"] = Field(description="place in the registry")
    label: str = Field(description="the registry's words")
    set: str = Field(description="analysis set")
    readouts: tuple[str, ...] = Field(min_length=1, description="readouts in registry order")
    contrast: Contrast = Field(description="what is compared")
    adjust: Literal["none", "bonferroni", "holm", "hochberg", "hommel", "bh", "by"] = Field(
        "none", description="multiplicity within this outcome's family"
    )
    modifiers: tuple[str, ...] = Field((), description="modifiers of the effect: the outcome is then their interaction")
    direction: Mapping[str, Literal["down", "up", "none", "unknown"]] = Field(
        default_factory=dict, description="expected direction by readout, printed beside the estimate and never used"
    )


class CensoringRules(Block):
    """When a censored model may be used."""

    max_fraction: float = Field(0.5, gt=0, lt=1, description="largest censored share in either arm")
    min_observed_pairs: int = Field(6, ge=3, description="fully observed pairs that are needed")
    max_left_out: float = Field(0.2, ge=0, lt=1, description="modifiers: largest share of censored pairs that may be left out")


class Graph(Block):
    """Gatekeeping graph: how alpha is shared among registered estimates and passed on by those that are rejected."""

    test: Literal["bonferroni", "simes"] = Field(
        "bonferroni", description="test of intersections; simes closes the test, and holds its level under positive dependence only"
    )
    weights: Mapping[str, float] = Field(
        min_length=1, description="share of alpha at the start by node: an outcome (all its readouts alike) or OUTCOME/READOUT"
    )
    transitions: Mapping[str, Mapping[str, float]] = Field(
        default_factory=dict,
        description="share of alpha that a rejected node passes to each other; an outcome to itself: among its readouts",
    )


class Analysis(Block):
    """Rules of the analysis."""

    seed: int = Field(ge=0, description="the only seed of a run")
    alpha: float = Field(0.05, gt=0, lt=1, description="two-sided level of the primary outcome")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="confidence of intervals")
    min_pairs: int = Field(3, ge=2, description="complete pairs below which nothing is estimated")
    min_per_level: int = Field(5, ge=2, description="donors below which a modifier's level has no estimate")
    planning_sd: float | None = Field(
        None, gt=0, description="SD of ln ratios between donors that the study was planned with; precision of modifiers is told for it too"
    )
    censoring: CensoringRules = Field(default_factory=CensoringRules, description="when a censored model may be used")
    blank_share: float = Field(0.5, gt=0, le=1, description="share of a serum blank in the total above which a pair counts as carried over")
    serum_gate: bool = Field(False, description="whether S3 is claimed only after a serum effect is shown")
    graph: Graph | None = Field(None, description="gatekeeping over outcomes; gives `p_graph` beside `p_adjusted`")


class Blinding(Block):
    """Conditions are coded until a decision unblinds them."""

    factor: str = Field(description="factor whose levels are coded")
    key_sha256: Digest | None = Field(None, description="digest of the sealed key file that is kept outside the study folder")


class Files(Block):
    """Where things lie inside the study folder."""

    specimens: str = Field("specimens.csv", description="one row per tube")
    plates: str = Field("plates", description="folder of reader exports")
    maps: str = Field("plates/maps", description="folder of plate maps")
    cytometry: str = Field("cytometry", description="folder of FCS files")
    tubes: str = Field("cytometry/tubes.csv", description="which tube each FCS file is")
    clinical: str = Field("clinical.csv", description="clinical table")
    dictionary: str = Field("dictionary.csv", description="REDCap data dictionary")
    decisions: str = Field("decisions.jsonl", description="what people decided")


class StudyFile(Block):
    """All of ``study.yaml``."""

    schema_: Literal["exvivo/study/1"] = Field(alias="schema", description="version of this file's format")
    study: Study = Field(description="identity of the study")
    populations: Mapping[Name, Population] = Field(min_length=1, description="groups of donors")
    factors: Mapping[Name, Factor] = Field(min_length=1, description="what may differ between cultures of one donor")
    experiments: Mapping[Name, Experiment] = Field(min_length=1, description="cultures of one population under some conditions")
    readouts: Mapping[Name, Readout] = Field(min_length=1, description="what is measured")
    tables: Mapping[Name, QuantifiedTable] = Field(default_factory=dict, description="tables of values that are already quantified")
    assay: AssayRules = Field(default_factory=AssayRules, description="rules of immunoassays")
    panel: Panel | None = Field(None, description="rules of flow cytometry")
    clinical: Clinical | None = Field(None, description="clinical table")
    analysis_sets: Mapping[Name, AnalysisSet] = Field(min_length=1, description="which donors an outcome is estimated in")
    modifiers: Mapping[Name, Modifier] = Field(default_factory=dict, description="clinical variables that may change the effect")
    outcomes: tuple[Outcome, ...] = Field(min_length=1, description="registered outcomes in registry order")
    analysis: Analysis = Field(description="rules of the analysis")
    blinding: Blinding | None = Field(None, description="coded conditions")
    files: Files = Field(default_factory=Files, description="where things lie inside the study folder")


def study_schema() -> dict[str, Any]:
    """JSON Schema of study.yaml."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **StudyFile.model_json_schema(by_alias=True)}
