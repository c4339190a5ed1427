"""Tables of what lies behind the estimates: ln ratios of pairs, diagnostics, and the R code that computes an estimate again."""

from exvivo.study.columns import COUNT, FLAG, REAL, TEXT, Column, TableKind
from exvivo.study.statuses import Diagnostic, RuleOutcome

_ROW = (
    Column("outcome", TEXT, "registered outcome", required=True),
    Column("readout", TEXT, "readout", required=True),
    Column("contrast", TEXT, "what is compared", required=True),
)

RATIOS = TableKind(
    "ratios",
    "the ln ratio of every pair behind a registered ratio, and the ratio without its donor",
    (
        *_ROW,
        Column("donor", TEXT, "donor of the cells", required=True),
        Column("serum_donor", TEXT, "donor of the serum"),
        Column("log_ratio", REAL, "natural log of drug over comparator; empty where a value is censored"),
        Column("lower_bound", REAL, "ln ratio of a censored pair is at least this"),
        Column("upper_bound", REAL, "ln ratio of a censored pair is at most this"),
        Column("same_plates", FLAG, "both values rest on the same plates; empty where they rest on none"),
        Column("ratio_without_donor", REAL, "registered ratio when this donor is left out"),
    ),
    ("outcome", "readout", "contrast", "donor", "serum_donor"),
)

DIAGNOSTICS = TableKind(
    "diagnostics",
    "what was looked at beside every registered ratio, by rules that were fixed before; none changes an estimate",
    (
        *_ROW,
        Column("diagnostic", TEXT, "what was looked at", allowed=tuple(sorted(code.value for code in Diagnostic))),
        Column("observed", REAL, "what was found"),
        Column("low", REAL, "smallest that the rule allows"),
        Column("high", REAL, "largest that the rule allows"),
        Column("outcome_of_rule", TEXT, "whether the rule held", allowed=(RuleOutcome.HELD.value, RuleOutcome.FAILED.value)),
        Column("about", TEXT, "donor concerned, or donors used of all"),
    ),
    ("outcome", "readout", "contrast", "diagnostic"),
)

CALLS = TableKind(
    "calls",
    "the R code that computes an estimate again; reproduce.R holds all of them",
    (
        Column("table", TEXT, "effects or supplementary", required=True),
        Column("row", COUNT, "row of that table, from 1"),
        Column("packages", TEXT, "R packages that are needed, comma separated"),
        Column("tolerance", REAL, "relative difference that rounding explains"),
        Column("code", TEXT, "lines of R, ending in a vector of ratio, limits and p", required=True),
    ),
    ("table", "row"),
)
