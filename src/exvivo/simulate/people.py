"""People: clinical variables with the correlations of systemic sclerosis, true values first, then what was recorded.

Frequencies follow EUSTAR and French cohorts (antibodies, subset, ulcers, lung disease, echocardiography);
the strength of their associations (ATA with diffuse and lung disease, ACA with limited and raised
pulmonary pressure, RNAP3 with diffuse and high skin score) is assumed. Values are labels of the
protocol's levels; a multiselect is its ticked labels joined by ``|``.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import polars as pl

from exvivo.study.model import Clinical, Criterion, Operator, Variable, VariableKind

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.str_]

JOINED = "|"

MISSING_SHARE: Mapping[str, float] = MappingProxyType(
    {"autoab": 0.035, "mrss": 0.07, "du": 0.02, "ild_ct": 0.06, "pah_echo": 0.08, "subset": 0.01, "treatment": 0.04}
)
ORDINARY_MISSING_SHARE = 0.05

_AUTOAB = ("ATA", "ACA", "RNAP3", "none")
_SUBSETS = ("dcSSc", "lcSSc", "sine")
_SUBSET_GIVEN_AUTOAB = np.array([[0.65, 0.32, 0.03], [0.07, 0.88, 0.05], [0.80, 0.18, 0.02], [0.35, 0.55, 0.10]])
PATIENTS_ONLY = frozenset({"autoab", "subset", "mrss", "du", "ild_ct", "pah_echo", "acr_eular_2013", "treatment"})


@dataclass(frozen=True, slots=True)
class Patients:
    """Patients with systemic sclerosis, one entry per person.

    ``antibody`` and ``subset`` index their names; ``ulcers`` is 0 never, 1 past, 2 current; ``second``: two antibodies at once.
    """

    age: Array
    female: Flags
    antibody: npt.NDArray[np.int64]
    second: Flags
    subset: npt.NDArray[np.int64]
    mrss: Array
    ulcers: npt.NDArray[np.int64]
    ild: Flags
    pah: Flags
    score: Array
    therapy: Labels


def draw_patients(n: int, rng: np.random.Generator) -> Patients:
    """``n`` patients who meet the ACR/EULAR 2013 criteria."""
    antibody = _choose(np.tile([0.30, 0.38, 0.07, 0.25], (n, 1)), rng)
    second = (rng.random(n) < 0.01) & (antibody == 0)
    subset = _choose(_SUBSET_GIVEN_AUTOAB[antibody], rng)
    diffuse = subset == 0
    age = np.clip(np.rint(rng.normal(54.0, 12.5, n) + np.array([-2.0, 4.0, 1.0, -1.0])[antibody]), 20, 88)
    ild = _flag(np.array([0.0, -2.1, -0.9, -0.9])[antibody] + 0.5 * diffuse, rng)
    pah = _flag(-2.1 + np.array([-0.2, 0.5, 0.1, 0.0])[antibody] + 0.5 * ild + 0.03 * (age - 55), rng)
    ever = _flag(-0.35 + np.array([0.4, 0.0, 0.0, -0.3])[antibody] + 0.3 * diffuse - 0.02 * (age - 55), rng)
    ulcers = ever * (1 + (rng.random(n) < 0.47).astype(np.int64))
    mrss = _draw_skin(subset, antibody == 2, rng)
    score = _draw_score(subset, antibody, ulcers > 0, ild | (pah & (rng.random(n) < 0.6)), rng)
    therapy = _draw_therapy(ild, diffuse, rng)
    return Patients(age, rng.random(n) < 0.85, antibody, second, subset, mrss, ulcers, ild, pah, score, therapy)


def patient_values(patients: Patients) -> dict[str, Labels | Array]:
    """True values of the variables that the model knows, by the variable's name in the protocol."""
    antibodies = np.array(_AUTOAB)[patients.antibody].astype("<U16")
    return {
        "age": patients.age,
        "sex": np.where(patients.female, "female", "male"),
        "subset": np.array(_SUBSETS)[patients.subset],
        "acr_eular_2013": patients.score,
        "autoab": np.where(patients.second, f"ACA{JOINED}ATA", antibodies),
        "mrss": patients.mrss,
        "du": np.array(["never", "past", "current"])[patients.ulcers],
        "ild_ct": np.where(patients.ild, "yes", "no"),
        "pah_echo": np.where(patients.pah, "yes", "no"),
        "treatment": patients.therapy,
    }


def draw_clinical(
    n: int, clinical: Clinical | None, rng: np.random.Generator, known: Mapping[str, Labels | Array], hidden: Collection[str] = ()
) -> pl.DataFrame:
    """True values of the protocol's variables for ``n`` people of one population.

    ``known`` is what ``patient_values`` or ``healthy_values`` gave. Variables that the model does not know, or whose levels
    differ from the model's, are drawn evenly over their levels or range; unknown ones among ``hidden`` stay empty: nobody asks
    healthy people for them.
    """
    columns: dict[str, pl.Series] = {}
    for name, variable in clinical.variables.items() if clinical else ():
        values = known.get(name)
        if values is None and name in hidden:
            columns[name] = pl.Series(name, [None] * n, dtype=_dtype(variable))
        elif values is not None and _fits(values, variable):
            columns[name] = pl.Series(name, values.tolist(), dtype=_dtype(variable))
        else:
            columns[name] = _draw_unknown(name, variable, n, rng)
    return pl.DataFrame(columns)


def meet_criteria(values: pl.DataFrame, clinical: Clinical | None, criteria: Sequence[Criterion], rng: np.random.Generator) -> pl.DataFrame:
    """Values with those drawn again that fail a criterion of the population, evenly within what the criteria allow."""
    if clinical is None:
        return values
    for name in dict.fromkeys(criterion.variable for criterion in criteria):
        own = [criterion for criterion in criteria if criterion.variable == name]
        fails = pl.Series([any(c.holds(cell) is not True for c in own) for cell in values[name]], dtype=pl.Boolean())
        if fails.any():
            again = _draw_unknown(name, _narrow(clinical.variables[name], own), values.height, rng)
            values = values.with_columns(pl.when(fails).then(again).otherwise(pl.col(name)).alias(name))
    return values


def _narrow(variable: Variable, criteria: Sequence[Criterion]) -> Variable:
    """The variable with no more levels, or no wider range, than the criteria allow."""
    if variable.type not in {VariableKind.NUMBER, VariableKind.INTEGER}:
        kept = {code: label for code, label in variable.levels.items() if all(c.holds(label) is not False for c in criteria)}
        return variable.model_copy(update={"levels": kept or variable.levels})
    low, high = variable.range or (0.0, 100.0)
    step = 1.0 if variable.type is VariableKind.INTEGER else 0.1
    for criterion in criteria:
        bound = float(criterion.value)
        if criterion.op in {Operator.AT_LEAST, Operator.ABOVE, Operator.EQUAL}:
            low = max(low, bound + step * (criterion.op is Operator.ABOVE))
        if criterion.op in {Operator.AT_MOST, Operator.BELOW, Operator.EQUAL}:
            high = min(high, bound - step * (criterion.op is Operator.BELOW))
    return variable.model_copy(update={"range": (low, max(low, high))})


def drop_values(values: pl.DataFrame, needed: frozenset[str], rng: np.random.Generator) -> pl.DataFrame:
    """What the clinic recorded: each variable is missing in 1 to 12 % of people, but for those that criteria need."""
    kept = []
    for name in values.columns:
        share = 0.0 if name in needed else MISSING_SHARE.get(name, ORDINARY_MISSING_SHARE)
        gone = pl.Series(rng.random(values.height) < share)
        kept.append(pl.select(pl.when(gone).then(None).otherwise(values[name]).alias(name)).to_series())
    return pl.DataFrame(kept)


def category_of(values: pl.Series, variable: Variable) -> pl.Series:
    """One category per person: the label itself, or of several ticked labels the first by the variable's precedence."""
    if variable.type is not VariableKind.MULTISELECT:
        return values
    order = {label: rank for rank, label in enumerate(variable.precedence or tuple(variable.levels.values()))}
    folded = {cell: min(cell.split(JOINED), key=lambda label: order.get(label, len(order))) for cell in values.drop_nulls().unique()}
    return values.replace_strict(folded, default=None, return_dtype=pl.String)


def healthy_values(n: int, rng: np.random.Generator) -> dict[str, Labels | Array]:
    """True values of healthy people, by the variable's name in the protocol."""
    age = np.clip(np.rint(rng.normal(48.0, 13.0, n)), 20, 80)
    return {"age": age, "sex": np.where(rng.random(n) < 0.65, "female", "male")}


def _choose(weights: Array, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Index drawn from each row of weights that sum to one."""
    passed: npt.NDArray[np.int64] = (rng.random((len(weights), 1)) > weights.cumsum(axis=1)).sum(axis=1)
    chosen: npt.NDArray[np.int64] = np.minimum(passed, weights.shape[1] - 1)
    return chosen


def _flag(logit: Array, rng: np.random.Generator) -> Flags:
    return rng.random(len(logit)) < 1 / (1 + np.exp(-logit))


def _draw_skin(subset: npt.NDArray[np.int64], rnap3: Flags, rng: np.random.Generator) -> Array:
    """Modified Rodnan skin score: diffuse at least 4, limited at most 14, sine 0."""
    n = len(subset)
    diffuse = np.clip(np.rint(rng.gamma(5.0, 3.4, n) + 5.0 * rnap3), 4, 51)
    limited = np.clip(np.rint(rng.gamma(2.2, 2.2, n)), 0, 14)
    return np.select([subset == 0, subset == 1], [diffuse, limited], 0.0)


def _draw_score(
    subset: npt.NDArray[np.int64], antibody: npt.NDArray[np.int64], ulcers: Flags, organ: Flags, rng: np.random.Generator
) -> Array:
    """ACR/EULAR 2013 score from its items; whoever falls short of 9 is given the items that nearly everyone has."""
    n = len(subset)
    proximal = (subset == 0) | ((subset == 1) & (rng.random(n) < 0.45))
    fingers = np.where(subset == 2, 2.0 * (rng.random(n) < 0.6), np.where(rng.random(n) < 0.8, 4.0, 2.0))
    tips = np.where(rng.random(n) < np.where(ulcers, 0.7, 0.1), 3.0, 2.0 * ulcers)
    rest = tips + 2.0 * organ + 3.0 * (antibody < 3)
    usual = 2.0 * (rng.random(n) < 0.7) + 2.0 * (rng.random(n) < 0.85) + 3.0 * (rng.random(n) < 0.97)
    score = np.where(proximal, 9.0, fingers) + rest + usual
    complete = np.where(proximal, 9.0, np.maximum(fingers, 2.0)) + rest + 7.0
    reached: Array = np.where(score >= 9, score, complete)
    return reached


def _draw_therapy(ild: Flags, diffuse: Flags, rng: np.random.Generator) -> Labels:
    n = len(ild)
    ticked = (rng.random(n) < 0.3) + 2 * (rng.random(n) < 0.1 + 0.3 * ild + 0.1 * diffuse) + 4 * (rng.random(n) < 0.15)
    drugs = ("prednisone", "MMF", "MTX")
    together = [JOINED.join(drug for bit, drug in enumerate(drugs) if code >> bit & 1) or "none" for code in range(8)]
    labels: Labels = np.array(together)[ticked]
    return labels


def _dtype(variable: Variable) -> pl.DataType:
    return pl.Float64() if variable.type in {VariableKind.NUMBER, VariableKind.INTEGER} else pl.String()


def _fits(values: Labels | Array, variable: Variable) -> bool:
    """Whether the protocol can write the model's values."""
    numeric = variable.type in {VariableKind.NUMBER, VariableKind.INTEGER}
    if numeric or values.dtype.kind == "f":
        return numeric and values.dtype.kind == "f"
    used = {label for cell in np.unique(values) for label in str(cell).split(JOINED)}
    return used <= set(variable.levels.values())


def _draw_unknown(name: str, variable: Variable, n: int, rng: np.random.Generator) -> pl.Series:
    if variable.type in {VariableKind.NUMBER, VariableKind.INTEGER}:
        low, high = variable.range or (0.0, 100.0)
        drawn = rng.uniform(low, high, n)
        printed = np.rint(drawn) if variable.type is VariableKind.INTEGER else np.round(drawn, 1 if high - low > 10 else 2)
        return pl.Series(name, np.clip(printed, low, high))
    labels = tuple(variable.levels.values())
    return pl.Series(name, [labels[i] for i in rng.integers(len(labels), size=n)], dtype=pl.String)
