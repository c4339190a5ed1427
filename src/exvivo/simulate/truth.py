"""The truth of a simulated study: people, cultures, and what is really in every tube.

In flow a protocol and numbers of donors; out flow a ``Truth`` of frames and arrays. Everything is drawn
at once, so that thousands of studies can be drawn for a coverage study. Each part has its own stream of
random numbers, so that one part's size does not move another's draws.

ln(net concentration, or delta) = ln centre + donor + serum + drug * (ln ratio + modifiers + donor's own
response + serum's own response) + culture; drug is the strength of the culture's condition. Modifiers are centred on
the population, so that the mean ln ratio over patients is the ln ratio of the readout. What serum brings is added on the linear scale.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from exvivo.engine import rng_for
from exvivo.errors import DesignError, fault
from exvivo.simulate.conditions import arm_levels, culture_strengths, full_levels, serum_factor, serum_source, strength_of
from exvivo.simulate.parameters import MODIFIED, Coefficients, Generating, generating_values
from exvivo.simulate.people import (
    PATIENTS_ONLY,
    Labels,
    Patients,
    category_of,
    draw_clinical,
    draw_patients,
    drop_values,
    healthy_values,
    meet_criteria,
    patient_values,
)
from exvivo.study.model import Experiment, FlowReadout, Modifier, ModifierKind, Outcome
from exvivo.study.protocol import Protocol, plain

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

DONORS_PER_RUN = {False: 6, True: 4}
REFERENCE_SIZE = 200_000
REFERENCE_SEED = 20_200_320


@dataclass(frozen=True, slots=True)
class Truth:
    """A simulated study before any instrument.

    ``people``: donor, population and true clinical values; ``recorded``: the same as the clinic wrote it down, with gaps.
    ``cultures``: one row per culture or cell-free blank (donor empty), with factor levels, run, state and viability.
    ``net`` and ``carried``: shape (cultures, readouts), what cells made and what serum brought, NaN where there is nothing to measure.
    ``log_ratio``: shape (people, readouts), each donor's own true ln ratio without serum.
    """

    protocol: Protocol
    generating: Generating
    readouts: tuple[str, ...]
    people: pl.DataFrame
    recorded: pl.DataFrame
    cultures: pl.DataFrame
    net: Array
    carried: Array
    log_ratio: Array

    @property
    def total(self) -> Array:
        """What is in the tube, shape (cultures, readouts)."""
        return self.net + self.carried


def draw_truth(protocol: Protocol, donors: Mapping[str, int], seed: int) -> Truth:
    """People, cultures and true values of one study.

    Parameters
    ----------
    protocol : the study's protocol
    donors : number of people of each population
    seed : of every stream of random numbers

    Raises
    ------
    ValueError : a population that the protocol does not have, or a negative number
    DesignError : sera whose factor cannot be told
    """
    unknown = sorted(set(donors) - set(protocol.file.populations))
    if unknown or min(donors.values(), default=0) < 0:
        raise ValueError(
            f"donors {dict(donors)}: populations of the protocol are {list(protocol.file.populations)}, numbers are at least 0"
        )
    if any(e.serum_population for e in protocol.file.experiments.values()) and serum_factor(protocol) is None:
        told = "an experiment has a 'serum_population', and no factor tells which serum a culture saw"
        raise DesignError(fault("factors", told, "a factor called serum or plasma, or with such a level", "Name it so"))
    generating = generating_values(protocol)
    people, recorded, shift = _draw_people(protocol, donors, seed)
    ids = {name: people.filter(pl.col("population") == name)["donor"].to_list() for name in protocol.file.populations}
    cultures = _attach_bench(_plan_cultures(protocol, ids), generating, seed)
    readouts = tuple(generating.readouts)
    log_ratio, net, carried = _draw_values(protocol, generating, people, cultures, shift, seed)
    return Truth(protocol, generating, readouts, people, recorded, cultures, net, carried, log_ratio)


def _draw_people(protocol: Protocol, donors: Mapping[str, int], seed: int) -> tuple[pl.DataFrame, pl.DataFrame, Array]:
    """True and recorded people, and what modifiers add to each one's ln ratio of the modified readout."""
    clinical = protocol.file.clinical
    needed = frozenset(c.variable for population in protocol.file.populations.values() for c in population.criteria)
    hidden = PATIENTS_ONLY if any(_has_patients(protocol, name) for name in protocol.file.populations) else frozenset()
    truths, records, shifts = [], [], []
    for name in (name for name in protocol.file.populations if donors.get(name, 0)):
        n = donors[name]
        rng = rng_for(seed, f"people {name}")
        patients = draw_patients(n, rng) if _has_patients(protocol, name) else None
        values = draw_clinical(n, clinical, rng, patient_values(patients) if patients else healthy_values(n, rng), hidden)
        values = meet_criteria(values, clinical, protocol.file.populations[name].criteria, rng_for(seed, f"criteria {name}"))
        head = pl.DataFrame({"donor": [f"{name.upper()}-{i + 1:03d}" for i in range(n)], "population": [name] * n})
        truths.append(pl.concat([head, values], how="horizontal"))
        records.append(pl.concat([head, drop_values(values, needed, rng_for(seed, f"clinic {name}"))], how="horizontal"))
        shifts.append(centred_shift(patients) if patients else np.zeros(n))
    if not truths:
        empty = pl.DataFrame(schema={"donor": pl.String, "population": pl.String})
        return empty, empty, np.zeros(0)
    return pl.concat(truths), pl.concat(records), np.concatenate(shifts)


def _has_patients(protocol: Protocol, population: str) -> bool:
    """Whether a population is one of people with systemic sclerosis: by its name, or by a criterion on the score."""
    block = protocol.file.populations[population]
    return plain(population) == "ssc" or any(criterion.variable == "acr_eular_2013" for criterion in block.criteria)


def _shift(patients: Patients, weights: Coefficients) -> Array:
    """What clinical variables add to the ln ratio of the modified readout, not centred."""
    antibody = np.array([weights.ata, weights.aca, weights.rnap3, 0.0])[patients.antibody]
    organs = weights.ulcers_ever * (patients.ulcers > 0) + weights.ild * patients.ild + weights.pah * patients.pah
    shift: Array = antibody + weights.mrss_point * patients.mrss + organs + weights.diffuse * (patients.subset == 0)
    return shift


@functools.cache
def reference_patients() -> Patients:
    """The population itself: a large fixed draw, on which effects are centred and marginal effects computed."""
    return draw_patients(REFERENCE_SIZE, np.random.default_rng(REFERENCE_SEED))


@functools.cache
def _reference_known() -> Mapping[str, Labels | Array]:
    """Clinical values of the population, by variable."""
    return patient_values(reference_patients())


@functools.cache
def _reference_moments() -> tuple[float, float]:
    """Mean and variance of the modifiers' part over the population."""
    shift = _shift(reference_patients(), Coefficients())
    return float(shift.mean()), float(shift.var())


def centred_shift(patients: Patients) -> Array:
    """What clinical variables add to the ln ratio of the modified readout; mean 0 over the population."""
    return _shift(patients, Coefficients()) - _reference_moments()[0]


def _plan_cultures(protocol: Protocol, ids: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """Every culture and cell-free blank that the protocol asks for; ``comes_from`` 0 no serum, 1 the experiment's serum, 2 another."""
    factors = list(protocol.file.factors)
    schema = ["experiment", "donor", "serum_donor", *factors, "run", "culture_replicate", "comes_from"]
    rows: list[tuple[object, ...]] = []
    for name, experiment in protocol.file.experiments.items():
        planned = list(_cultures_of(protocol, name, experiment, ids))
        rows += planned
        if experiment.cell_free_blanks:
            rows += _blanks_of(protocol, planned)
    types = dict.fromkeys(schema, pl.String()) | {"comes_from": pl.Int64()}
    return pl.DataFrame(rows, schema=types, orient="row")


def _cultures_of(protocol: Protocol, name: str, experiment: Experiment, ids: Mapping[str, Sequence[str]]) -> Iterator[tuple[object, ...]]:
    cell_donors = ids[experiment.population]
    per_run = DONORS_PER_RUN[experiment.serum_population is not None]
    for index, donor in enumerate(cell_donors):
        run = f"{name}{index // per_run + 1:02d}"
        for condition in experiment.conditions:
            levels = full_levels(protocol, condition)
            source = serum_source(protocol, experiment, levels)
            for serum_donor in _sera_of(experiment, index, source, ids, per_run):
                for replicate in range(experiment.culture_replicates):
                    comes_from = 0 if source is None else 1 if source == experiment.serum_population else 2
                    yield (name, donor, serum_donor, *levels.values(), run, str(replicate + 1), comes_from)


def _sera_of(
    experiment: Experiment, index: int, source: str | None, ids: Mapping[str, Sequence[str]], per_run: int
) -> Sequence[str | None]:
    """Donors of the sera that one cell donor's cultures get: sera are reused by about two cell donors each.

    Sera of the cell donors' own population: one per run, from the next run, so that nobody's cells meet their own serum.
    """
    if source is None:
        return [None]
    pool = ids[source]
    if not pool:
        return []
    if source == experiment.population:
        ahead = (index // per_run + 1) * per_run
        return [pool[ahead % len(pool) if len(pool) > per_run else (index + 1) % len(pool)]]
    each = min(experiment.sera_per_donor, len(pool))
    used = min(len(pool), max(each, -(-len(ids[experiment.population]) * each // 2)))
    return [pool[(index * each + j) % used] for j in range(each)]


def _blanks_of(protocol: Protocol, planned: Sequence[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """One cell-free blank per serum donor, serum level and run, at the reference of every other factor."""
    factors = protocol.file.factors
    references = {factor: block.reference for factor, block in factors.items()}
    at = {factor: 3 + i for i, factor in enumerate(factors)}
    serum = serum_factor(protocol)
    seen: dict[tuple[object, ...], tuple[object, ...]] = {}
    for row in planned:
        if row[-1] and serum is not None:
            levels = references | {serum: row[at[serum]]}
            key = (row[2], row[at[serum]], row[-3])
            seen.setdefault(key, (row[0], None, row[2], *levels.values(), row[-3], "1", row[-1]))
    return list(seen.values())


def _attach_bench(planned: pl.DataFrame, generating: Generating, seed: int) -> pl.DataFrame:
    """Cultures with label, state, living cells and viability. A lost donor loses one culture."""
    n = planned.height
    rng = rng_for(seed, "bench")
    state = np.full(n, "ok", dtype="<U4")
    donors = planned["donor"].to_numpy()
    for donor in planned["donor"].drop_nulls().unique(maintain_order=True):
        lost, which = rng.random() < generating.lost_donors, rng.random()
        if lost:
            own = np.flatnonzero(donors == donor)
            state[own[int(which * len(own))]] = "lost"
    has_cells = planned["donor"].is_not_null().to_numpy()
    viability = np.clip(rng.normal(92.0, 3.0, n), 70.0, 99.5)
    cells = 5e5 * np.exp(0.15 * rng.standard_normal(n))
    return planned.with_columns(
        pl.Series("culture", [f"K{number + 1:04d}" for number in rng.permutation(n)]),
        pl.Series("state", state),
        pl.Series("viable_cells", np.where(has_cells, np.round(cells, -2), np.nan)).fill_nan(None),
        pl.Series("viability_pct", np.where(has_cells, np.round(viability, 1), np.nan)).fill_nan(None),
    )


def _draw_values(
    protocol: Protocol, generating: Generating, people: pl.DataFrame, cultures: pl.DataFrame, shift: Array, seed: int
) -> tuple[Array, Array, Array]:
    """The ln ratio of each person, net value and carried concentration of each culture, by readout."""
    parts = list(generating.readouts.values())
    n, shape = people.height, (people.height, len(parts))
    log_centre = np.log([p.centre for p in parts])
    healthy = np.array([not _has_patients(protocol, name) for name in people["population"]], dtype=float)
    rng = rng_for(seed, "donors")
    common = rng.standard_normal((n, 1))
    own = np.sqrt(generating.shared_donor) * common + np.sqrt(1 - generating.shared_donor) * rng.standard_normal(shape)
    level = log_centre + own * [p.sd_donor for p in parts] + healthy[:, None] * np.log([p.healthy for p in parts])
    modified = np.array([float(name == MODIFIED) for name in generating.readouts])
    log_ratio = np.log([p.ratio for p in parts]) + rng.standard_normal(shape) * [p.sd_drug for p in parts] + shift[:, None] * modified
    rng = rng_for(seed, "sera")
    serum_level = generating.sd_serum * rng.standard_normal(shape)
    serum_drug = generating.sd_serum_drug * rng.standard_normal(shape)
    brought = np.array([p.carried for p in parts]) * np.exp(generating.sd_carried * rng.standard_normal(shape))
    donor, serum = _index_of(people, cultures["donor"]), _index_of(people, cultures["serum_donor"])
    drug = culture_strengths(protocol, cultures).to_numpy()[:, None]
    comes_from = cultures["comes_from"].to_numpy()
    shared_serum = np.log(np.array([[1.0, p.ssc_serum, p.other_serum] for p in parts])).T[comes_from]
    in_serum = (serum >= 0)[:, None]
    interaction = np.log([p.interaction for p in parts]) * (comes_from == 1)[:, None]
    effect = log_ratio[donor] + interaction + in_serum * serum_drug[serum]
    noise = rng_for(seed, "cultures").standard_normal((cultures.height, len(parts))) * _culture_sd(generating)
    net = np.exp(level[donor] + shared_serum + in_serum * serum_level[serum] + drug * effect + noise)
    markers = np.array([isinstance(protocol.file.readouts[name], FlowReadout) for name in generating.readouts])
    blank = (donor < 0)[:, None]
    return log_ratio, np.where(blank, np.where(markers, np.nan, 0.0), net), np.where(in_serum & ~markers, brought[serum], 0.0)


def _culture_sd(generating: Generating) -> Array:
    explained = _reference_moments()[1]
    return np.array([truth.sd_culture(explained * (name == MODIFIED)) for name, truth in generating.readouts.items()])


def _index_of(people: pl.DataFrame, donors: pl.Series) -> Indices:
    """Row of each donor in ``people``, -1 for none."""
    rows = {donor: row for row, donor in enumerate(people["donor"])}
    return np.array([rows.get(donor, -1) for donor in donors], dtype=np.int64)


def true_effects(protocol: Protocol) -> pl.DataFrame:
    """The population value that every registered estimate targets, one row each in registry order.

    Columns outcome, readout, modifier, level, contrast, true_ratio. For a modifier it is the marginal ratio of ratios:
    a regression of the true ln ratio on this modifier alone over ``reference_patients()``, per ``per`` units for a continuous one.
    The joint row of a categorical modifier has no single ratio. With serum it is the ratio of net values.
    """
    rows: list[tuple[str, str, str | None, None, str, float | None]] = []
    for outcome in protocol.file.outcomes:
        contrast = _contrast_text(outcome)
        for readout in outcome.readouts:
            if not outcome.modifiers:
                rows.append((outcome.id, readout, None, None, contrast, _true_ratio(protocol, outcome, readout)))
            rows += [
                (outcome.id, readout, name, None, contrast, _true_interaction(protocol, outcome, readout, name))
                for name in outcome.modifiers
            ]
    names = ("outcome", "readout", "modifier", "level", "contrast")
    schema = dict.fromkeys(names, pl.String()) | {"true_ratio": pl.Float64()}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _contrast_text(outcome: Outcome) -> str:
    held = ",".join(outcome.contrast.within.values())
    return f"{outcome.contrast.level}/{outcome.contrast.versus}" + (f"|{held}" if held else "")


def _experiment_of(protocol: Protocol, outcome: Outcome) -> Experiment:
    return protocol.file.experiments[protocol.file.analysis_sets[outcome.set].experiment]


def _true_ratio(protocol: Protocol, outcome: Outcome, readout: str) -> float:
    """Ratio of the geometric means of a contrast's arms, net of what serum brings."""
    level, versus = (_log_mean(protocol, outcome, readout, arm) for arm in (outcome.contrast.level, outcome.contrast.versus))
    return float(np.exp(level - versus))


def _log_mean(protocol: Protocol, outcome: Outcome, readout: str, level: str) -> float:
    """Mean ln net value of one arm, relative to the readout's centre."""
    truth = generating_values(protocol).readouts[readout]
    experiment = _experiment_of(protocol, outcome)
    levels = arm_levels(protocol, outcome.contrast, level)
    source = serum_source(protocol, experiment, levels)
    own = source is not None and source == experiment.serum_population
    shared = 1.0 if source is None else truth.ssc_serum if own else truth.other_serum
    drug = np.log(truth.ratio) + (np.log(truth.interaction) if own else 0.0)
    return float(np.log(shared) + strength_of(protocol, levels) * drug)


def _true_interaction(protocol: Protocol, outcome: Outcome, readout: str, name: str) -> float | None:
    modifier = protocol.file.modifiers[name]
    if modifier.kind is ModifierKind.CATEGORICAL:
        return None
    if readout != MODIFIED or not _has_patients(protocol, _experiment_of(protocol, outcome).population):
        return 1.0
    level, versus = (
        strength_of(protocol, arm_levels(protocol, outcome.contrast, arm)) for arm in (outcome.contrast.level, outcome.contrast.versus)
    )
    return float(marginal_ratios(protocol, modifier)[0][1] ** (level - versus))


def marginal_ratios(protocol: Protocol, modifier: Modifier) -> list[tuple[str, float]]:
    """Marginal true ratios of the modified readout over the population.

    Binary: (yes/no, ratio of ratios) and the ratio of each side; continuous: (per step, ratio of ratios); categorical: the
    ratio of each level.
    """
    shift = centred_shift(reference_patients())
    base = generating_values(protocol).readouts[MODIFIED].ratio
    values = _reference_values(protocol, modifier.variable)
    if modifier.kind is ModifierKind.CONTINUOUS:
        x = values.to_numpy().astype(float)
        slope = float(np.cov(x, shift)[0, 1] / x.var(ddof=1)) if x.std() else 0.0
        return [(f"per {modifier.per:g}", float(np.exp(slope * modifier.per)))]
    if modifier.kind is ModifierKind.CATEGORICAL:
        return [(level, base * float(np.exp(_mean(shift, values, (level,))))) for level in modifier.levels]
    yes, no = _mean(shift, values, modifier.yes), _mean(shift, values, modifier.no)
    sides = [(modifier.yes_label, base * float(np.exp(yes))), (modifier.no_label, base * float(np.exp(no)))]
    return [(f"{modifier.yes_label}/{modifier.no_label}", float(np.exp(yes - no))), *sides]


def _mean(shift: Array, values: pl.Series, labels: Sequence[str]) -> float:
    chosen = shift[values.is_in(list(labels)).to_numpy()]
    return float(chosen.mean()) if len(chosen) else 0.0


def _reference_values(protocol: Protocol, variable: str) -> pl.Series:
    """A variable's true values over the population, several ticked labels folded to one."""
    clinical = protocol.file.clinical
    if clinical is None:
        return pl.Series(variable, [None] * REFERENCE_SIZE, dtype=pl.String)
    block = clinical.variables[variable]
    alone = clinical.model_copy(update={"variables": {variable: block}})
    drawn = draw_clinical(REFERENCE_SIZE, alone, np.random.default_rng(REFERENCE_SEED + 1), _reference_known())
    return category_of(drawn[variable], block)
