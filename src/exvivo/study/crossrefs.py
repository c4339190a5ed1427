"""Names in study.yaml that point nowhere, and blocks that contradict each other.

Works on the raw tree, defensively: whatever is malformed is the models' business, so that one
pass over the file finds everything.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from exvivo.errors import unknown
from exvivo.study.gaterules import gate_faults
from exvivo.study.graphs import graph_faults
from exvivo.study.tables import CLINICAL, OUTCOMES, QUANTIFIED, SPECIMENS

Location = tuple[str | int, ...]
Fault = tuple[Location, str]
Tree = Mapping[str, Any]

COMMON_FACTORS = ("drug", "serum", "stimulus")
"""Factors that have a column in the outcomes table whatever the protocol; empty where it has no such factor."""


def dangling(tree: Tree) -> Iterator[Fault]:
    """Faults of names and of meaning, each with the location of the node that holds it."""
    yield from _check_columns(tree)
    yield from _check_factors(tree)
    yield from _check_names(tree)
    yield from _check_experiments(tree)
    yield from _check_readouts(tree)
    yield from _check_charts(tree)
    yield from _check_tables(tree)
    yield from _check_panel(tree)
    yield from _check_clinical(tree)
    yield from _check_sets(tree)
    yield from _check_modifiers(tree)
    yield from _check_outcomes(tree)
    yield from _check_graph(tree)
    yield from _check_sources(tree)


def _mapping(tree: Any, *path: str | int) -> Tree:  # noqa: ANN401  a YAML tree is made of anything
    """Mapping at a path, or an empty one."""
    node = _node(tree, *path)
    return node if isinstance(node, Mapping) else {}


def _node(tree: Any, *path: str | int) -> Any:  # noqa: ANN401  a YAML tree is made of anything
    for key in path:
        try:
            tree = tree[key]
        except (KeyError, IndexError, TypeError):
            return None
    return tree


def _items(tree: Any, *path: str | int) -> list[Any]:  # noqa: ANN401  a YAML tree is made of anything
    node = _node(tree, *path)
    return list(node) if isinstance(node, list) else []


def _names(tree: Tree, *path: str | int) -> list[str]:
    return [str(key) for key in _mapping(tree, *path)]


def _expect(where: Location, kind: str, name: object, known: Iterable[str]) -> Iterator[Fault]:
    names = list(known)
    if name is not None and str(name) not in names:
        yield where, unknown(kind, name, names)


def _levels(tree: Tree, factor: object) -> list[str]:
    return [str(level) for level in _items(tree, "factors", str(factor), "levels")]


def _check_condition(tree: Tree, where: Location, condition: Any) -> Iterator[Fault]:  # noqa: ANN401  a YAML tree is made of anything
    if not isinstance(condition, Mapping):
        return
    for factor, level in condition.items():
        if factor not in _mapping(tree, "factors"):
            yield (*where, factor), unknown("factor", factor, _names(tree, "factors"))
        else:
            yield from _expect((*where, factor), f"level of {factor}", level, _levels(tree, factor))


_LEVELS_IN_OUTCOMES = ("drug", "serum", "stimulus")


def _check_columns(tree: Tree) -> Iterator[Fault]:
    """Factors and clinical variables become columns of tables: a name that these have already would overwrite theirs."""
    own = {*SPECIMENS.names, *QUANTIFIED.names, *OUTCOMES.names} - {*_LEVELS_IN_OUTCOMES}
    for factor in _names(tree, "factors"):
        if factor in own:
            yield ("factors", factor), f"'{factor}' is the name of a column in exvivo's tables. Give the factor another name"
    used = {str(_node(modifier, "variable")) for modifier in _mapping(tree, "modifiers").values()}
    taken = {*OUTCOMES.names, *_names(tree, "factors")}
    for variable in _names(tree, "clinical", "variables"):
        if variable in CLINICAL.names or (variable in used and variable in taken):
            told = f"'{variable}' is the name of a column in exvivo's tables or of a factor"
            yield ("clinical", "variables", variable), f"{told}. Give the variable another name and say 'column: {variable}'"


def _check_charts(tree: Tree) -> Iterator[Fault]:
    elisas = [str(name) for name, readout in _mapping(tree, "readouts").items() if _node(readout, "kind") == "elisa"]
    for name in _names(tree, "assay", "charts", "targets"):
        yield from _expect(("assay", "charts", "targets", name), "immunoassay readout", name, elisas)


def _check_factors(tree: Tree) -> Iterator[Fault]:
    for name in _names(tree, "factors"):
        yield from _expect(
            ("factors", name, "reference"), f"level of {name}", _node(tree, "factors", name, "reference"), _levels(tree, name)
        )
        for level in _names(tree, "factors", name, "doses"):
            yield from _expect(("factors", name, "doses", level), f"level of {name}", level, _levels(tree, name))
    yield from _expect(("blinding", "factor"), "factor", _node(tree, "blinding", "factor"), _names(tree, "factors"))


def _check_names(tree: Tree) -> Iterator[Fault]:
    """Factors and modifiers' variables become columns of tables, beside the tables' own."""
    factors = _names(tree, "factors")
    taken = {column for kind in (SPECIMENS, QUANTIFIED, OUTCOMES) for column in kind.names} - set(COMMON_FACTORS)
    for name in factors:
        if name in taken:
            yield ("factors", name), f"a factor cannot be called '{name}': tables have a column of that name. Give it another name"
    used = {str(_node(modifier, "variable")) for modifier in _mapping(tree, "modifiers").values()}
    for name in _names(tree, "clinical", "variables"):
        if name in CLINICAL.names or (name in used and name in {*taken, *COMMON_FACTORS, *factors}):
            told = f"a clinical variable cannot be called '{name}': tables have a column of that name"
            yield ("clinical", "variables", name), f"{told}. Give it another name and write 'column: {name}'"


def _check_experiments(tree: Tree) -> Iterator[Fault]:
    for name in _names(tree, "experiments"):
        for key in ("population", "serum_population"):
            where = ("experiments", name, key)
            yield from _expect(where, "population", _node(tree, *where), _names(tree, "populations"))
        for index, condition in enumerate(_items(tree, "experiments", name, "conditions")):
            yield from _check_condition(tree, ("experiments", name, "conditions", index), condition)


def _check_readouts(tree: Tree) -> Iterator[Fault]:
    for name, readout in _mapping(tree, "readouts").items():
        kind = _node(readout, "kind")
        if kind == "table":
            yield from _expect(("readouts", name, "table"), "table", _node(readout, "table"), _names(tree, "tables"))
        if kind == "flow" and not _mapping(tree, "panel"):
            yield ("readouts", name), f"marker '{name}' is measured by flow cytometry but the file has no 'panel'. Add one with its gates"


_TABLE_NEEDS = {"wide": ("condition_columns",), "long": ("value_column", "donor_column", "factor_columns")}


def _check_tables(tree: Tree) -> Iterator[Fault]:
    for name, table in _mapping(tree, "tables").items():
        where: Location = ("tables", name)
        yield from _expect((*where, "experiment"), "experiment", _node(table, "experiment"), _names(tree, "experiments"))
        for key in _TABLE_NEEDS.get(str(_node(table, "layout")), ()):
            if _node(table, key) is None:
                yield where, f"a table with layout '{_node(table, 'layout')}' needs the key '{key}'"
        for column, condition in _mapping(table, "condition_columns").items():
            yield from _check_condition(tree, (*where, "condition_columns", column), condition)
        for factor in _mapping(table, "factor_columns"):
            yield from _expect((*where, "factor_columns", factor), "factor", factor, _names(tree, "factors"))


def _check_panel(tree: Tree) -> Iterator[Fault]:
    panel = _mapping(tree, "panel")
    if not panel or _node(panel, "gates_file") is not None:
        return
    gates = _items(panel, "gates")
    yield from gate_faults(gates, ("panel", "gates"))
    seen = [str(_node(gate, "name")) for gate in gates]
    yield from _expect(("panel", "population"), "population", _node(panel, "population"), seen)


def _check_clinical(tree: Tree) -> Iterator[Fault]:
    variables = _mapping(tree, "clinical", "variables")
    for code, name in _mapping(tree, "clinical", "populations").items():
        yield from _expect(("clinical", "populations", code), "population", name, _names(tree, "populations"))
    for population in _names(tree, "populations"):
        for index, criterion in enumerate(_items(tree, "populations", population, "criteria")):
            where = ("populations", population, "criteria", index, "variable")
            yield from _expect(where, "clinical variable", _node(criterion, "variable"), variables)
    for name, variable in variables.items():
        yield from _check_variable(("clinical", "variables", name), str(name), variable)


def _check_variable(where: Location, name: str, variable: Any) -> Iterator[Fault]:  # noqa: ANN401  a YAML tree is made of anything
    labels = [str(label) for label in _mapping(variable, "levels").values()]
    none_level = _node(variable, "none_level")
    yield from _expect((*where, "none_level"), f"level of {name}", none_level, labels)
    for index, level in enumerate(_items(variable, "precedence")):
        yield from _expect((*where, "precedence", index), f"level of {name}", level, labels)
    if _node(variable, "type") == "multiselect" and "none" in labels and none_level is None:
        yield (
            where,
            f"'{name}' has a level 'none' without 'none_level: none'. None means tested and negative: nothing ticked is missing",
        )
    if name.lower().startswith("pah") and not _node(variable, "method"):
        yield where, f"'{name}' does not say its 'method'. Pulmonary hypertension by echocardiography and by right-heart catheter differ"


def _check_sets(tree: Tree) -> Iterator[Fault]:
    for name in _names(tree, "analysis_sets"):
        where = ("analysis_sets", name, "experiment")
        yield from _expect(where, "experiment", _node(tree, *where), _names(tree, "experiments"))


def _check_modifiers(tree: Tree) -> Iterator[Fault]:
    variables = _mapping(tree, "clinical", "variables")
    for name, modifier in _mapping(tree, "modifiers").items():
        where: Location = ("modifiers", name)
        variable = _node(modifier, "variable")
        yield from _expect((*where, "variable"), "clinical variable", variable, variables)
        labels = [str(label) for label in _mapping(variables, str(variable), "levels").values()]
        for key in ("yes", "no", "levels"):
            for index, level in enumerate(_items(modifier, key)):
                yield from _expect((*where, key, index), f"level of {variable}", level, labels)
        needed = {"binary": ("yes", "no"), "categorical": ("levels",)}.get(str(_node(modifier, "kind")), ())
        for key in needed:
            if not _items(modifier, key):
                yield where, f"a modifier of kind '{_node(modifier, 'kind')}' needs the key '{key}'"
        if _node(modifier, "measurement_sd") is not None and _node(modifier, "kind") in ("binary", "categorical"):
            told = "'measurement_sd' is the error of a score, and only a modifier of kind 'continuous' is one"
            yield (*where, "measurement_sd"), f"{told}. Leave the key out"


def _check_outcomes(tree: Tree) -> Iterator[Fault]:
    seen: set[str] = set()
    for index, outcome in enumerate(_items(tree, "outcomes")):
        where: Location = ("outcomes", index)
        name = str(_node(outcome, "id"))
        if name in seen:
            yield (*where, "id"), f"outcome '{name}' stands twice. Each outcome has one place in registry order"
        seen.add(name)
        yield from _expect((*where, "set"), "analysis set", _node(outcome, "set"), _names(tree, "analysis_sets"))
        for i, readout in enumerate(_items(outcome, "readouts")):
            yield from _expect((*where, "readouts", i), "analyte", readout, _names(tree, "readouts"))
        for i, modifier in enumerate(_items(outcome, "modifiers")):
            yield from _expect((*where, "modifiers", i), "modifier", modifier, _names(tree, "modifiers"))
        yield from _check_contrast(tree, (*where, "contrast"), outcome)


def _check_graph(tree: Tree) -> Iterator[Fault]:
    graph = _mapping(tree, "analysis", "graph")
    readouts = {
        str(_node(outcome, "id")): [str(readout) for readout in _items(outcome, "readouts")]
        for outcome in _items(tree, "outcomes")
        if not _items(outcome, "modifiers")
    }
    if graph:
        yield from graph_faults(graph, readouts, ("analysis", "graph"))


def _check_contrast(tree: Tree, where: Location, outcome: Any) -> Iterator[Fault]:  # noqa: ANN401  a YAML tree is made of anything
    contrast = _mapping(outcome, "contrast")
    factor = _node(contrast, "factor")
    if factor is None:
        return
    if factor not in _mapping(tree, "factors"):
        yield (*where, "factor"), unknown("factor", factor, _names(tree, "factors"))
        return
    found = list(_check_condition(tree, (*where, "within"), _node(contrast, "within")))
    for key in ("level", "versus"):
        found += _expect((*where, key), f"level of {factor}", _node(contrast, key), _levels(tree, factor))
    yield from found
    if found:
        return
    experiment = _node(tree, "analysis_sets", str(_node(outcome, "set")), "experiment")
    for key in ("level", "versus"):
        wanted = {**_mapping(contrast, "within"), str(factor): _node(contrast, key)}
        if not _has_condition(tree, str(experiment), wanted):
            told = ", ".join(f"{name}: {level}" for name, level in wanted.items())
            yield (
                (*where, key),
                f"experiment '{experiment}' has no condition {told}. Add it to its 'conditions' or change the contrast",
            )


def _has_condition(tree: Tree, experiment: str, wanted: Tree) -> bool:
    conditions = _items(tree, "experiments", experiment, "conditions")
    if not conditions:
        return True  # a fault of its own
    factors = _names(tree, "factors")
    reference = {factor: _node(tree, "factors", factor, "reference") for factor in factors}
    full = {**reference, **wanted}
    return any({**reference, **c} == full for c in conditions if isinstance(c, Mapping))


_SOURCED = ("study", "assay", "panel", "clinical", "analysis", "blinding")
_SOURCED_PARTS = ("populations", "factors", "experiments", "readouts", "tables", "analysis_sets", "modifiers")


def _check_sources(tree: Tree) -> Iterator[Fault]:
    if _node(tree, "source") is not None:
        return
    places: list[Location] = [(name,) for name in _SOURCED if _mapping(tree, name)]
    places += [(block, name) for block in _SOURCED_PARTS for name in _names(tree, block)]
    places += [("outcomes", index) for index in range(len(_items(tree, "outcomes")))]
    for where in places:
        node = _node(tree, *where)
        if isinstance(node, Mapping) and "source" not in node:
            told = ".".join(str(key) for key in where)
            yield where, f"'{told}' does not say its 'source'. Expected registry, assumed or sop:<reference>"
