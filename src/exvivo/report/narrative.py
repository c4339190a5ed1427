"""Protocol -> the estimand of every outcome and the methods paragraph, in words.

Attributes follow ICH E9(R1): population, treatments, variable, intercurrent events, summary. Every sentence follows from
a field of the protocol or from a method that was used; nothing is claimed that the run did not do.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from exvivo.report.pairs import PairGroup
from exvivo.report.sections import Grid, GridRow, heads, level_labels, percent
from exvivo.report.wording import Wording
from exvivo.study.model import ElisaReadout, FixedGate, FlowReadout, Operator, Outcome, Panel
from exvivo.study.protocol import AnalysisPlan, Protocol
from exvivo.study.run import Run

_SIGNS = {Operator.AT_LEAST: "≥", Operator.ABOVE: ">", Operator.AT_MOST: "≤", Operator.BELOW: "<", Operator.EQUAL: "="}


def list_study(protocol: Protocol, words: Wording) -> Grid:
    """Identity of the study, as it stands in the protocol."""
    study = protocol.file.study
    fields = ("id", "acronym", "title", "sponsor", "design", "planned_n", "cells")
    rows = [GridRow((words.say("study", name), str(getattr(study, name)))) for name in fields if getattr(study, name)]
    rows += [GridRow((words.say("study", "experiment") + f" {name}", block.label)) for name, block in protocol.design.experiments.items()]
    return Grid(heads(words, "attribute", "description"), tuple(rows))


def list_estimands(protocol: Protocol, words: Wording) -> Grid:
    """Population, treatments, variable and summary of every outcome."""
    names = ("population", "treatments", "variable", "summary")
    rows = tuple(
        GridRow((outcome.id, *(tell(outcome, protocol, words) for tell in (_population, _treatments, _variable, _summary))))
        for outcome in protocol.analysis.outcomes
    )
    return Grid((words.say("column", "outcome"), *(words.say("estimand", name) for name in names)), rows)


def _population(outcome: Outcome, protocol: Protocol, words: Wording, code: str = "set_of") -> str:
    chosen = protocol.analysis.sets[outcome.set]
    experiment = protocol.design.experiments[chosen.experiment]
    population = protocol.design.populations[experiment.population]
    variables = protocol.design.clinical.variables if protocol.design.clinical else {}
    told = [
        f"{variables[c.variable].label if c.variable in variables else c.variable} {_SIGNS[c.op]}\u00a0{c.value:g}"
        if isinstance(c.value, float)
        else f"{c.variable} {_SIGNS[c.op]} {c.value}"
        for c in population.criteria
    ]
    criteria = words.say("estimand", "criteria", {"criteria": ", ".join(told)}) if chosen.criteria and told else ""
    values = {
        "label": chosen.label or outcome.set,
        "experiment": experiment.label or chosen.experiment,
        "population": population.label,
        "criteria": criteria,
    }
    return words.say("estimand", code, values)


def _treatments(outcome: Outcome, protocol: Protocol, words: Wording) -> str:
    contrast = outcome.contrast
    factor = protocol.design.factors[contrast.factor]
    level, versus = level_labels(protocol, contrast)
    others = [
        f"{(other.label or name).lower()}: {other.labels.get(at, at)}"
        for name, other in protocol.design.factors.items()
        if name != contrast.factor and len(other.levels) > 1
        for at in [contrast.within.get(name, other.reference)]
    ]
    values = {
        "level": level,
        "versus": versus,
        "factor": factor.label or contrast.factor,
        "details": "; ".join(f"{key} {value}" for key, value in factor.details.items()),
        "others": ", ".join(others),
    }
    if not factor.details:
        return words.say("estimand", "treatment_plain", values)
    return words.say("estimand", "treatment" if others else "treatment_alone", values)


def _variable(outcome: Outcome, protocol: Protocol, words: Wording) -> str:
    told = []
    readouts = [protocol.analysis.readouts[name] for name in outcome.readouts]
    population = protocol.panels.rules.population if protocol.panels.rules else ""
    soluble = "soluble_net" if _in_serum(outcome, protocol) else "soluble"
    kinds = ((soluble, ElisaReadout), ("marker", FlowReadout))
    for code, kind in kinds:
        labels = [readout.label for readout in readouts if isinstance(readout, kind)]
        if labels:
            told.append(words.say("estimand", code, {"readouts": ", ".join(labels), "population": population}))
    given = [readout.label for readout in readouts if not isinstance(readout, ElisaReadout | FlowReadout)]
    if given:
        told.append(words.say("estimand", "given", {"readouts": ", ".join(given)}))
    return "; ".join(told)


def _summary(outcome: Outcome, protocol: Protocol, words: Wording) -> str:
    level, versus = level_labels(protocol, outcome.contrast)
    if outcome.modifiers:
        return words.say("estimand", "summary_modifier")
    code = "summary_ratio_sera" if _by_serum(outcome, protocol) else "summary_ratio"
    return words.say("estimand", code, {"level": level, "versus": versus})


def _by_serum(outcome: Outcome, protocol: Protocol) -> bool:
    """Whether an outcome's pairs are those of a cell donor and a serum donor."""
    experiment = protocol.design.experiments[protocol.analysis.sets[outcome.set].experiment]
    return experiment.serum_population is not None and bool(outcome.contrast.within)


def _in_serum(outcome: Outcome, protocol: Protocol) -> bool:
    """Whether serum that is still in the medium is subtracted."""
    experiment = protocol.design.experiments[protocol.analysis.sets[outcome.set].experiment]
    return _by_serum(outcome, protocol) and experiment.serum_present_at_collection and experiment.cell_free_blanks


@dataclass(frozen=True, slots=True)
class EstimandText:
    """The estimand of one outcome as text: its heading, the five attributes in sentences."""

    heading: str
    text: str


def tell_estimands(protocol: Protocol, words: Wording) -> tuple[EstimandText, ...]:
    """The estimand of every outcome in the words of ICH E9(R1), from the protocol alone."""
    return tuple(_tell_estimand(outcome, protocol, words) for outcome in protocol.analysis.outcomes)


def _tell_estimand(outcome: Outcome, protocol: Protocol, words: Wording) -> EstimandText:
    heading = words.say("estimand", "heading", {"id": outcome.id, "role": words.say("role", outcome.role), "label": outcome.label})
    values = {
        "population": _population(outcome, protocol, words, "set_in_words"),
        "treatments": _treatments(outcome, protocol, words),
        "variable": _variable(outcome, protocol, words),
        "summary": _summary(outcome, protocol, words),
        "events": "; ".join(_name_events(outcome, protocol, words)),
    }
    told = [words.say("estimand", "in_words", values)]
    if len(outcome.readouts) > 1:
        told.append(words.say("estimand", "each_readout"))
    if outcome.modifiers:
        labels = [protocol.analysis.modifiers[name].label for name in outcome.modifiers]
        told.append(words.say("estimand", "modifiers_in_words", {"modifiers": "; ".join(labels)}))
    return EstimandText(heading, " ".join(told))


def _name_events(outcome: Outcome, protocol: Protocol, words: Wording) -> list[str]:
    """Intercurrent events of an outcome, each with its strategy."""
    readouts = [protocol.analysis.readouts[name] for name in outcome.readouts]
    soluble = any(isinstance(readout, ElisaReadout) for readout in readouts)
    cultured = any(isinstance(readout, ElisaReadout | FlowReadout) for readout in readouts)
    codes = (
        ("event_beyond_modifier" if outcome.modifiers else "event_beyond", True),
        ("event_repeated", soluble),
        ("event_failed", cultured),
        ("event_absent", not cultured),
        ("event_therapy", protocol.design.clinical is not None),
        ("event_serum", soluble and _in_serum(outcome, protocol)),
    )
    return [words.say("estimand", code) for code, occurs in codes if occurs]


def compose_estimands(protocol: Protocol, words: Wording) -> str:
    """estimands.md: the estimand of every outcome and how events are handled, to be copied into a plan before data exist."""
    study = protocol.file.study
    lines = [f"# {study.acronym} ({study.id}): {words.say('estimand', 'title')}", ""]
    for told in tell_estimands(protocol, words):
        lines += [f"## {told.heading}", "", told.text, ""]
    lines += [f"## {words.say('estimand', 'intercurrent')}", ""]
    lines += [f"- {sentence}" for sentence in tell_intercurrent(protocol, words)]
    return "\n".join(lines) + "\n"


def tell_intercurrent(protocol: Protocol, words: Wording) -> tuple[str, ...]:
    """What is done about events between culture and value, one sentence each."""
    rules = protocol.analysis.rules.censoring
    asking = [outcome.id for outcome in protocol.analysis.outcomes if outcome.modifiers]
    values = {"max_fraction": percent(rules.max_fraction), "min_observed": rules.min_observed_pairs, "outcomes": ", ".join(asking)}
    cultured = bool(protocol.assays.readouts or protocol.panels.readouts)
    codes = (
        ("lost" if cultured else "absent", True),
        ("below", True),
        ("below_modifier", bool(asking)),
        ("refused", bool(protocol.assays.readouts)),
        ("treatment_policy", protocol.design.clinical is not None),
    )
    told = [words.say("estimand", code, values) for code, holds in codes if holds]
    if any(block.serum_present_at_collection for block in protocol.design.experiments.values()):
        told.append(words.say("estimand", "serum"))
    return tuple(told)


def tell_pairs(groups: Iterable[PairGroup], words: Wording) -> tuple[str, ...]:
    """What the marks of the paired plots mean, as far as they occur."""
    held = tuple(groups)
    bounds = {point.bound for group in held for panel in group.panels for point in panel.points}
    told = [("figures_bounds", bounds & {"below", "above"}), ("figures_between", "between" in bounds)]
    told.append(("figures_sera", any(group.by_donor for group in held)))
    return tuple(words.say("prose", code) for code, occurs in told if occurs)


def tell_methods(run: Run, words: Wording) -> tuple[str, ...]:
    """Paragraphs of the methods section."""
    protocol = run.protocol
    return tuple(
        text for text in (_tell_assays(protocol, words), _tell_panel(protocol, words), " ".join(_tell_estimation(run, words))) if text
    )


def _tell_assays(protocol: Protocol, words: Wording) -> str:
    if not protocol.assays.readouts:
        return ""
    rules = protocol.assays.rules
    weighting = {"fitted": "weighting_fitted", "none": "weighting_none"}.get(rules.curve.weighting, "weighting_reciprocal")
    values = {
        "analytes": ", ".join(readout.label for readout in protocol.assays.readouts.values()),
        "model": rules.curve.model,
        "weighting": words.say("methods", weighting, {"weighting": rules.curve.weighting}),
        "cv": f"{rules.max_cv_pct:g}",
        "fraction": percent(rules.backfit_pass_fraction),
        "levels": rules.min_levels,
        "tolerance": f"{rules.backfit_tolerance_pct:g}",
        "tolerance_limits": f"{rules.backfit_tolerance_at_limits_pct:g}",
        "qc_fraction": percent(rules.qc_pass_fraction),
        "qc_tolerance": f"{rules.qc_tolerance_pct:g}",
    }
    told = words.say("methods", "elisa", values)
    return f"{told} {words.say('methods', 'blank_subtracted')}" if rules.curve.subtract_blank else told


def _tell_panel(protocol: Protocol, words: Wording) -> str:
    rules = protocol.panels.rules
    if rules is None:
        return ""
    values = {
        "population": rules.population,
        "compensation": _tell_compensation(rules.compensation, words),
        "gates": _tell_gates(rules, words),
        "controls": ", ".join(sorted({readout.control.value for readout in protocol.panels.readouts.values()})),
        "min_events": rules.min_events,
    }
    return words.say("methods", "flow", values)


def _tell_gates(rules: Panel, words: Wording) -> str:
    if rules.gates_file:
        return words.say("methods", "gates_file", {"file": rules.gates_file})
    told = []
    for key, fixed in (("gates_found", False), ("gates_fixed", True)):
        named = ", ".join(f"{gate.name}: {gate.method.value}" for gate in rules.gates if isinstance(gate, FixedGate) == fixed)
        if named:
            told.append(words.say("methods", key, {"gates": named}))
    return " ".join(told) or words.say("methods", "gates_none")


def _tell_compensation(choice: str, words: Wording) -> str:
    named = {"FCS": "compensation_fcs", "none": "compensation_none", "single_stains": "compensation_stains"}
    return words.say("methods", named[choice]) if choice in named else words.say("methods", "compensation_file", {"file": choice})


def _tell_estimation(run: Run, words: Wording) -> Iterator[str]:
    plan = run.protocol.analysis
    yield words.say("methods", "unit")
    yield words.say("methods", "pairs", {"confidence": percent(plan.rules.confidence), "min_pairs": plan.rules.min_pairs})
    used = _methods(run.effects.effects.frame["method"].to_list(), words)
    beside = [method for method in _methods(run.effects.supplementary.frame["method"].to_list(), words) if method not in used]
    if used:
        yield words.say("methods", "used", {"methods": "; ".join(used)})
    if beside:
        yield words.say("methods", "used_beside", {"methods": "; ".join(beside)})
    if used and run.calibration.shared_error.table.height:
        yield words.say("methods", "curves")
    if any(outcome.modifiers for outcome in plan.outcomes):
        yield words.say("methods", "modifiers", {"min_per_level": plan.rules.min_per_level})
    yield words.say("methods", "primary", {"alpha": f"{plan.rules.alpha:g}"})
    told = [_tell_family(outcome, words) for outcome in plan.outcomes]
    yield " ".join(told)
    if plan.rules.graph is not None:
        yield words.say("methods", "graph", {"test": words.say("graph_test", plan.rules.graph.test)})
    gated = [outcome.id for outcome in plan.outcomes if plan.rules.serum_gate and _held_apart(outcome, plan)]
    if gated:
        yield words.say("methods", "serum_gate", {"outcomes": ", ".join(gated)})
    yield words.say("methods", "seed", {"seed": plan.rules.seed})


def _held_apart(outcome: Outcome, plan: AnalysisPlan) -> bool:
    """Whether an outcome's cultures were exposed to what others were not, such as serum."""
    return any(level != plan.factors[name].reference for name, level in outcome.contrast.within.items())


def _tell_family(outcome: Outcome, words: Wording) -> str:
    if outcome.adjust == "none":
        return words.say("methods", "no_multiplicity", {"outcome": outcome.id})
    values = {"outcome": outcome.id, "adjust": words.say("methods", f"adjust_{outcome.adjust}")}
    return words.say("methods", "multiplicity", {**values, "count": len(outcome.modifiers) or len(outcome.readouts)})


def _methods(codes: Iterable[str | None], words: Wording) -> list[str]:
    return [words.name("method", code) for code in dict.fromkeys(codes) if code]
