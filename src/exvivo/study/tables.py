"""The tables that cross stage borders: declared once, checked when built.

A ``TableKind`` declares columns, the key and what each column means; ``kind.build(frame)`` checks a
polars frame against it and returns a frozen ``Table``. The same declaration heads the CSV files and prints
``docs/reference/tables.md``. What cannot be used keeps its row with status and reason. Missing is an empty cell.
"""

from collections.abc import Sequence

from exvivo.study.columns import COUNT, FLAG, REAL, TEXT, Column, Table, TableKind
from exvivo.study.cytometry import MIFLOWCYT
from exvivo.study.design import ReadingStatus, SignalKind, WellRole
from exvivo.study.evidence import DIAGNOSTICS, RATIOS
from exvivo.study.statuses import (
    ChartBase,
    ChartKind,
    EffectRole,
    EffectStatus,
    ExpressionStatus,
    LimitDefinition,
    LimitKind,
    Method,
    RatioNote,
    Rule,
    RuleOutcome,
    Severity,
    SpecimenStatus,
    TubeKind,
    WellStatus,
)

__all__ = ["Column", "Table", "TableKind"]

FORMAT_VERSION = 4


def _key(name: str, meaning: str) -> Column:
    return Column(name, TEXT, meaning, required=True)


def _text(name: str, meaning: str, allowed: Sequence[str] = ()) -> Column:
    return Column(name, TEXT, meaning, allowed=tuple(allowed))


def _real(name: str, meaning: str, unit: str = "") -> Column:
    return Column(name, REAL, meaning, unit)


def _count(name: str, meaning: str) -> Column:
    return Column(name, COUNT, meaning)


def _status(allowed: Sequence[str]) -> tuple[Column, Column, Column]:
    return (
        Column("status", TEXT, "what became of it", allowed=tuple(allowed), required=True),
        _text("reason", "stable code of why"),
        _text("detail", "parameters of the reason as JSON"),
    )


PLATE = _key("plate", "file stem and position of the plate in the file, such as ccl18_1:1")

FILES = TableKind(
    "files",
    "every file that was read",
    (
        _key("path", "path inside the study folder"),
        _key("sha256", "digest of its bytes"),
        _count("bytes", "size"),
        _key("role", "what it was read as"),
    ),
    ("path",),
)

SPECIMENS = TableKind(
    "specimens",
    "one row per physical tube; factor columns of the protocol follow",
    (
        _key("specimen", "label of the tube"),
        _text("culture", "ties the medium and the cells of one culture well"),
        _text("run", "culture batch"),
        _key("experiment", "experiment of the protocol"),
        _text("donor", "donor of the cells; empty for a cell-free blank"),
        _text("serum_donor", "donor of the serum in the medium"),
        _text("culture_replicate", "replicate culture of the same donor and condition"),
        _key("matrix", "medium, cells or cell_free_medium"),
        _text("collected_on", "ISO date"),
        _real("volume_ml", "volume", "mL"),
        _real("viable_cells", "viable cells in the culture well at collection"),
        _real("viability_pct", "share of living cells", "%"),
        _key("state", "ok, lost, failed or contaminated"),
        _text("comment", "free text of the lab"),
        _key("origin", "file and line"),
    ),
    ("specimen",),
    extra="one text column per factor of the protocol",
)

READINGS = TableKind(
    "readings",
    "every number that a plate reader printed",
    (
        PLATE,
        _key("file", "export file"),
        _text("plate_name", "name printed in the export"),
        _key("well", "row letter and column number"),
        _count("wavelength_nm", "wavelength; empty when the file does not say"),
        _text("kind", "raw reading or reduced by the reader's software", [k.value for k in SignalKind]),
        _real("signal", "what was printed", "OD"),
        _text("status", "what the reader said", [s.value for s in ReadingStatus]),
        _text("text", "the cell as printed"),
        _key("origin", "file and line or cell"),
    ),
    ("plate", "well", "wavelength_nm", "kind"),
)

LAYOUT = TableKind(
    "layout",
    "what each well holds, from plate maps or layouts embedded in exports",
    (
        PLATE,
        _key("well", "row letter and column number"),
        _text("role", "what the well holds", [r.value for r in WellRole]),
        _text("specimen", "specimen, or name of a standard or QC"),
        _text("analyte", "analyte of the readout; empty when the map does not say"),
        _real("concentration", "nominal concentration of standards and QC"),
        _real("dilution", "fold dilution, at least 1"),
        _text("unit", "unit of the nominal concentration"),
        _text("lot", "lot of the kit or of what the well holds, where the map tells it"),
        _key("origin", "file and line or cell"),
    ),
    ("plate", "well"),
)

VENDOR = TableKind(
    "vendor",
    "concentrations that the reader's own software printed",
    (
        PLATE,
        _key("well", "row letter and column number"),
        _real("concentration", "in the well, before dilution"),
        _text("status", "quantified, extrapolated, or what was printed in its place"),
        _text("text", "the cell as printed"),
        _key("origin", "file and line or cell"),
    ),
    ("plate", "well"),
)

WELLS = TableKind(
    "wells",
    "every well with its signal, its back-calculated concentration and what it was used for",
    (
        PLATE,
        _key("well", "row letter and column number"),
        _text("role", "what the well holds", [r.value for r in WellRole]),
        _text("specimen", "specimen, or name of a standard or QC"),
        _text("analyte", "analyte"),
        _real("nominal", "nominal concentration of standards and QC, at the plate"),
        _real("dilution", "fold dilution"),
        _real("raw_signal", "reading at the measuring wavelength", "OD"),
        _real("background", "reading at the reference wavelength, or blank mean, that was subtracted", "OD"),
        _real("signal", "what the curve was fitted to or inverted at", "OD"),
        _real("fitted", "curve at the nominal concentration (standards) ", "OD"),
        _real("concentration", "back-calculated from this well alone, dilution applied"),
        _real("log_concentration", "natural log of it"),
        _real("ci_low", "lower end of its 95 % interval; empty when open"),
        _real("ci_high", "upper end of its 95 % interval; empty when open"),
        _real("recovery_pct", "back-calculated over nominal (standards and QC)", "%"),
        _text("unit", "unit of concentrations"),
        _text("lot", "lot of the kit or of what the well holds, where the map tells it"),
        *_status([s.value for s in WellStatus]),
        _key("origin", "file and line or cell of the reading"),
    ),
    ("plate", "well"),
)

CURVES = TableKind(
    "curves",
    "one fitted standard curve per plate and analyte",
    (
        PLATE,
        _key("analyte", "analyte"),
        _key("model", "4PL: y = d + (a - d) / (1 + (x / c)^b); 5PL: see branch; log-log: y = a + (x / c)^b"),
        _key("parameters", "JSON: a = signal at zero, d at infinity, c in concentration units, b, g (1 for 4PL)"),
        _text("branch", "5PL: a-side y = d + (a - d) (1 + (x / c)^b)^-g, d-side y = a + (d - a) (1 + (x / c)^-b)^-g"),
        _key("weighting", "fitted, none, 1/y or 1/y2"),
        _real("lloq", "lower limit of quantification at the plate, before dilution"),
        _real("uloq", "upper limit of quantification at the plate, before dilution"),
        _text("unit", "unit of c, lloq and uloq"),
        _real("sigma0", "constant part of the reading SD", "OD"),
        _real("kappa", "proportional part of the reading SD"),
        _real("linear", "part of the reading variance per unit of signal (weighting 1/y)", "OD"),
        _real("variance_df", "degrees of freedom of the variance function; empty when it is known"),
        _text("variance_error", "JSON: variance of ln sigma0, covariance, variance of ln kappa"),
        _count("standards", "standard wells in the fit"),
        _count("df", "residual degrees of freedom"),
        _real("plate_sd", "SD between plates that QCs show beyond readings and curves, ln units; empty: fewer than five plates"),
        _text("covariance", "JSON: covariance of a, b, ln c, d and, for 5PL, ln g"),
        _text("note", "what limits its use, as a code"),
    ),
    ("plate", "analyte"),
)

VERDICTS = TableKind(
    "verdicts",
    "every acceptance rule of every plate, passed or failed",
    (
        PLATE,
        _key("analyte", "analyte"),
        Column("rule", TEXT, "stable code of the rule", allowed=tuple(r.value for r in Rule), required=True),
        _text("subject", "which standard, QC, replicate set, specimen, dilution, place or lot"),
        _real("observed", "what was found"),
        _real("low", "smallest accepted"),
        _real("high", "largest accepted"),
        _real("ci_low", "lower end of the 90 % interval of what was found (tests of equivalence)"),
        _real("ci_high", "upper end of the 90 % interval of what was found (tests of equivalence)"),
        _real("p", "p value where the rule is a test; adjusted after Benjamini and Hochberg where there are several"),
        Column("outcome", TEXT, "what the rule found", allowed=tuple(o.value for o in RuleOutcome), required=True),
        Column("passed", FLAG, "whether the rule holds: held, or equivalence shown", required=True),
        Column("accepted", FLAG, "whether the plate as a whole is accepted", required=True),
    ),
    ("plate", "analyte", "rule", "subject"),
)

LIMITS = TableKind(
    "limits",
    "limits of every curve by every definition",
    (
        PLATE,
        _key("analyte", "analyte"),
        Column("limit", TEXT, "which limit", allowed=tuple(k.value for k in LimitKind), required=True),
        Column("definition", TEXT, "how it was found", allowed=tuple(d.value for d in LimitDefinition), required=True),
        _real("value", "concentration at the plate, before dilution; empty where the curve does not reach it"),
        _real("signal", "signal of it", "OD"),
        _text("unit", "unit of value"),
        Column("used", FLAG, "whether it made the plate's lloq or uloq", required=True),
    ),
    ("plate", "analyte", "limit", "definition"),
)

CONTROLS = TableKind(
    "controls",
    "control charts: every QC, standard level and curve parameter from plate to plate, in natural order of the plates",
    (
        _key("analyte", "analyte"),
        Column("kind", TEXT, "what is followed", allowed=tuple(k.value for k in ChartKind), required=True),
        _key("control", "name of the QC, nominal concentration of the standard, or curve parameter"),
        PLATE,
        _count("order", "place of the plate in the chart, from 1"),
        _real("value", "natural log of a QC's concentration, of a standard's signal, of c or b; a and d as they are"),
        _real("target", "centre of the chart, on the scale of value"),
        _real("sd", "SD of the chart, on the scale of value"),
        _real("z", "distance from the target as a normal deviate; allows for target and SD being estimated"),
        _text("base", "where target and SD come from", [b.value for b in ChartBase]),
        _text("rules", "Westgard's rules that are broken, comma separated"),
        _text("lot", "lot"),
    ),
    ("analyte", "kind", "control", "plate"),
)

CONCENTRATIONS = TableKind(
    "concentrations",
    "one row per specimen and analyte on one plate",
    (
        PLATE,
        _key("specimen", "specimen"),
        _key("analyte", "analyte"),
        _real("concentration", "in the specimen, dilution applied"),
        _real("ci_low", "lower end of the 95 % interval; empty when open"),
        _real("ci_high", "upper end of the 95 % interval; empty when open"),
        _text("unit", "unit"),
        _real("log_concentration", "natural log"),
        _real("se_log", "standard error of the reading part on the log scale"),
        _real("lower_bound", "ln concentration is at least this (censored or open)"),
        _real("upper_bound", "ln concentration is at most this (censored or open)"),
        *_status([s.value for s in SpecimenStatus]),
        _text("wells", "wells it rests on, comma separated"),
    ),
    ("plate", "specimen", "analyte"),
)

SHARED_ERROR = TableKind(
    "shared_error",
    "loading of each concentration, or of its bound, on the errors that all specimens of one curve share (ln units)",
    (
        PLATE,
        _key("analyte", "analyte"),
        _key("specimen", "specimen"),
        _real("log_value", "natural log of the concentration, or of the bound where it is censored"),
        *(_real(f"l{k}", f"column {k} of L") for k in range(1, 7)),
        _real("se_log", "error of its reading, ln units; empty where it is censored"),
    ),
    ("plate", "analyte", "specimen"),
)

EVENTS = TableKind(
    "events",
    "one row per FCS data set",
    (
        _key("file", "path inside the study folder"),
        _key("sha256", "digest of the file"),
        _count("index", "data set in the file, from 0"),
        _count("events", "number of events"),
        _text("channels", "JSON: $PnN and $PnS of every channel"),
        _text("voltages", "JSON: $PnV by channel"),
        _text("spillover", "JSON: the file's own spillover matrix"),
        _text("issues", "JSON: what was odd but readable"),
        _text("acquisition", "JSON: cytometer, date, settings of every channel; no names of people"),
    ),
    ("file", "index"),
)

TUBE_SHEET = TableKind(
    "tube_sheet",
    "what each FCS file was acquired from, as the lab wrote it down",
    (
        _key("file", "FCS file, path inside the cytometry folder"),
        _text("specimen", "specimen of cells"),
        _text("tube", "full, fmo, isotype, unstained or single", [t.value for t in TubeKind]),
        _text("marker", "marker left out (fmo), stained (single) or matched (isotype); empty for all"),
        _text("batch", "acquisition batch"),
        _key("origin", "file and line"),
    ),
    ("file",),
)

TUBES = TableKind(
    "tubes",
    "one row per acquired tube, with what became of it",
    (
        _key("file", "FCS file"),
        _text("specimen", "specimen of cells"),
        _text("tube", "full, fmo, isotype, unstained or single", [t.value for t in TubeKind]),
        _text("marker", "marker left out (fmo), stained (single) or matched (isotype); empty for all"),
        _text("batch", "acquisition batch"),
        _text("donor", "donor whose gates it shares"),
        _count("events", "events in the file"),
        _count("final_count", "events in the population that is measured"),
        _real("retained_pct", "final_count as share of events", "%"),
        *_status([s.value for s in ExpressionStatus]),
    ),
    ("file",),
)

GATES = TableKind(
    "gates",
    "gates as fitted and applied: one row per donor and gate",
    (
        _key("donor", "whose tubes share the gate"),
        _key("gate", "name"),
        _text("parent", "gate inside which it lies"),
        _key("geometry", "JSON: kind, channels, transforms, bounds or vertices"),
        _key("method", "how it was found"),
        _text("detail", "JSON: what it was fitted on"),
    ),
    ("donor", "gate"),
)

POPULATIONS = TableKind(
    "populations",
    "events in every population of every file",
    (
        _key("file", "FCS file"),
        _key("path", "gates from the root, such as Live/Singlets"),
        _text("parent", "path of the parent"),
        _count("count", "events"),
        _real("percent_of_parent", "share of the parent's events", "%"),
        _count("stored_count", "count stored in the gate file, if any"),
    ),
    ("file", "path"),
    extra="one median column per channel (linear compensated scale), and with beads one mesf column per calibrated channel (molecules)",
)

SKETCHES = TableKind(
    "sketches",
    "densities behind the gating contact sheet: counts on a grid, one row per donor and gate",
    (
        _key("donor", "donor"),
        _key("gate", "gate drawn on it"),
        _key("x", "channel of the horizontal axis"),
        _key("y", "channel of the vertical axis"),
        _real("x_low", "left edge in display units"),
        _real("x_high", "right edge"),
        _real("y_low", "lower edge"),
        _real("y_high", "upper edge"),
        _count("bins", "bins along each axis"),
        _text("counts", "JSON: bins x bins counts, rows from below"),
        _text("outline", "JSON: vertices of the gate in display units"),
    ),
    ("donor", "gate"),
)

EXPRESSIONS = TableKind(
    "expressions",
    "one row per specimen and marker",
    (
        _key("specimen", "specimen of cells"),
        _key("marker", "marker"),
        _text("file", "full-stain file"),
        _text("control_file", "matching control file"),
        _text("control", "fmo, isotype or unstained"),
        _count("count", "events measured"),
        _count("control_count", "events in the control"),
        _real("median", "median, linear compensated scale"),
        _real("median_low", "lower 95 % limit of the median, an order statistic"),
        _real("median_high", "upper 95 % limit of the median, an order statistic"),
        _real("robust_sd", "half the distance between percentiles 15.87 and 84.13, same scale"),
        _real("background", "median of the control, same scale"),
        _real("background_sd", "robust SD of the control"),
        _real("delta", "median minus background: the registered statistic"),
        _real("delta_se", "standard error of delta"),
        _real("delta_low", "lower 95 % limit of delta"),
        _real("delta_high", "upper 95 % limit of delta"),
        _real("detection_limit", "smallest delta told from zero"),
        _real("ratio", "median over background; empty when background is not positive"),
        _text("ratio_note", "why there is no ratio", [n.value for n in RatioNote]),
        _real("staining_index", "delta over twice background_sd"),
        _real("threshold", "quantile of the control above which an event is positive"),
        _real("percent_positive", "events above the control's 99th percentile", "%"),
        _real("percent_low", "lower Wilson 95 % limit", "%"),
        _real("percent_high", "upper Wilson 95 % limit", "%"),
        _real("valley_depth", "fall of the stained cells' density between two peaks, as share of the lower peak; 0 with one peak"),
        Column("bimodal", FLAG, "whether valley_depth is above 0.25: two kinds of cells, which one median hides"),
        _real("retained_pct", "events measured as share of events acquired", "%"),
        _real("log_delta", "natural log of delta"),
        _real("se_log", "standard error of log_delta"),
        _real("lower_bound", "ln delta is at least this"),
        _real("upper_bound", "ln delta is at most this"),
        *_status([s.value for s in ExpressionStatus]),
    ),
    ("specimen", "marker"),
)

GATING_VARIANCE = TableKind(
    "gating_variance",
    "how much a marker's ln delta moves when the gates are refitted without a quarter of the tubes",
    (
        _key("donor", "donor"),
        _key("marker", "marker"),
        _real("variance", "jackknife variance of ln delta due to gate placement"),
        _count("refits", "refits it rests on"),
    ),
    ("donor", "marker"),
)

CLINICAL = TableKind(
    "clinical",
    "one row per donor; variables of the protocol follow",
    (
        _key("donor", "pseudonym"),
        _text("population", "population of the protocol"),
        _key("origin", "file and line"),
    ),
    ("donor",),
    extra="one column per clinical variable of the protocol",
)

QUANTIFIED = TableKind(
    "quantified",
    "values that came quantified (kind: table); factor columns of the protocol follow",
    (
        _key("readout", "readout"),
        _key("experiment", "experiment"),
        _text("donor", "donor"),
        _text("serum_donor", "donor of the serum"),
        _real("value", "as given, control subtracted if the table holds one"),
        _real("lower_bound", "value is at least this, when censored"),
        _real("upper_bound", "value is at most this, when censored"),
        _text("unit", "unit"),
        *_status([s.value for s in SpecimenStatus]),
        _key("origin", "file and line"),
    ),
    (),
    extra="one text column per factor of the protocol",
)

OUTCOMES = TableKind(
    "outcomes",
    "the tidy analysis table: one row per experiment, donor, serum donor, condition and readout",
    (
        _key("experiment", "experiment"),
        _text("donor", "donor of the cells"),
        _text("serum_donor", "donor of the serum"),
        _text("drug", "level of the drug factor"),
        _text("serum", "level of the serum factor"),
        _text("stimulus", "level of the stimulus factor"),
        _key("readout", "readout"),
        _real("log_value", "natural log of the value"),
        _real("se", "standard error of the measuring part, ln units"),
        _real("lower_bound", "ln value is at least this"),
        _real("upper_bound", "ln value is at most this"),
        _text("unit", "unit of the value"),
        *_status(sorted({s.value for s in SpecimenStatus} | {s.value for s in ExpressionStatus})),
        _text("sets", "analysis sets it belongs to, comma separated"),
        _text("run", "culture batch"),
        _text("specimens", "specimens it rests on, comma separated"),
        _text("plates", "plates it rests on, comma separated"),
        _count("measurements", "wells or tubes it rests on"),
        _real("viable_cells", "viable cells in the culture well"),
        _real("viability_pct", "share of living cells", "%"),
        _real("blank_share", "serum blank as share of the total, for soluble readouts in serum"),
        _real("plain_log_value", "ln of the value before serum blanks were subtracted; ln of the plain median for markers"),
        _real("ratio_log_value", "ln of median over background, for markers"),
        _real("percent_positive", "events above the control's quantile, for markers", "%"),
    ),
    ("experiment", "donor", "serum_donor", "drug", "serum", "stimulus", "readout"),
    extra="further factors of the protocol, then one text column per clinical variable that a modifier uses",
    extra_in_key=True,
)

FINDINGS = TableKind(
    "findings",
    "what looks wrong, with evidence and suggestion; nothing is corrected silently",
    (
        _key("code", "stable code"),
        _text("severity", "error blocks the outcomes it touches until a decision answers it", [s.value for s in Severity]),
        _key("place", "file, plate, well, specimen or donor"),
        _text("evidence", "what was seen"),
        _text("suggestion", "what to do"),
        _text("outcomes", "registered outcomes it touches, comma separated"),
        _text("answer", "decision that answers it"),
    ),
    ("code", "place"),
)

EFFECTS = TableKind(
    "effects",
    "the registered estimates in registry order",
    (
        _key("outcome", "registered outcome"),
        _key("readout", "readout"),
        _text("modifier", "clinical variable that may change the effect"),
        _text("level", "level of the modifier"),
        _key("contrast", "what is compared"),
        Column("role", TEXT, "registered, level, sensitivity or supplementary", allowed=tuple(r.value for r in EffectRole), required=True),
        _text("scale", "ratio, ratio of ratios, or p only"),
        _real("estimate", "ratio of geometric means, or ratio of such ratios"),
        _real("ci_low", "lower 95 % limit"),
        _real("ci_high", "upper 95 % limit"),
        _real("df", "degrees of freedom"),
        _real("p", "two-sided p"),
        _real("p_adjusted", "adjusted within the family"),
        _real("p_graph", "adjusted through the gatekeeping graph"),
        _count("donors", "complete pairs"),
        _count("serum_donors", "sera"),
        _count("measurements", "wells or tubes"),
        _count("wells", "wells; empty for flow"),
        _real("below_lloq_drug_pct", "values below the limit, drug arm", "%"),
        _real("below_lloq_comparator_pct", "values below the limit, comparator arm", "%"),
        _text("method", "stable code of the method", [m.value for m in Method]),
        *_status([s.value for s in EffectStatus]),
    ),
    (),
)

SUPPLEMENTARY = TableKind("supplementary", "levels of modifiers, sensitivity analyses and anything not registered", EFFECTS.columns, ())

EXCLUSIONS = TableKind(
    "exclusions",
    "everything left out, censored or refused, with who decided it or which rule did",
    (
        _key("what", "well, plate, specimen, file, donor or value"),
        _key("target", "which one"),
        _text("readout", "readout concerned; empty for all"),
        _key("by", "rule or decision"),
        _text("reason", "stable code, or the reason a person gave"),
        _text("detail", "parameters as JSON"),
        _count("decision", "number of the decision"),
    ),
    (),
)

PUBLIC_TABLES: tuple[TableKind, ...] = (
    READINGS, WELLS, CURVES, VERDICTS, LIMITS, CONTROLS, CONCENTRATIONS, TUBES, GATES, POPULATIONS, EXPRESSIONS,
    GATING_VARIANCE, CLINICAL, OUTCOMES, FINDINGS, EFFECTS, SUPPLEMENTARY, RATIOS, DIAGNOSTICS, EXCLUSIONS, MIFLOWCYT,
)  # fmt: skip
"""Tables written to ``results/tables``, in the order of the data."""
