"""Gatekeeping graph of study.yaml: blocks of outcomes or single estimates, and the hypotheses that they stand for.

A node is an outcome (``S1``), which stands for all of its readouts in equal shares, or one estimate (``P1/CCL18``). A weight
or a transition of an outcome is divided equally among its members; what an outcome passes to itself each member passes to
the others. Weights are shares of alpha at the start; a transition is the share that a rejected hypothesis passes on.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exvivo.errors import unknown
from exvivo.study.model import Outcome

Location = tuple[str | int, ...]
Fault = tuple[Location, str]

MOST_CLOSED = 16
"""Hypotheses of a graph with Simes' test: 2^m intersections are tested."""

_ROOM = 1e-9


@dataclass(frozen=True, slots=True)
class Hypotheses:
    """A graph over single estimates: (outcome, readout) of each, weights (m,) and transitions (m, m) as nested tuples."""

    names: tuple[tuple[str, str], ...]
    weights: tuple[float, ...]
    transitions: tuple[tuple[float, ...], ...]


def expand_graph(
    weights: Mapping[str, float], transitions: Mapping[str, Mapping[str, float]], readouts: Mapping[str, Sequence[str]]
) -> Hypotheses:
    """Hypotheses of a graph, in registry order; ``readouts`` are those of each outcome."""
    members = {node: _members(node, readouts) for node in list_nodes(weights, transitions)}
    order = [(outcome, readout) for outcome, own in readouts.items() for readout in own]
    names = tuple(name for name in order if any(name in own for own in members.values()))
    place = {name: i for i, name in enumerate(names)}
    start = [0.0] * len(names)
    edges = [[0.0] * len(names) for _ in names]
    for node, weight in weights.items():
        for member in members[node]:
            start[place[member]] += weight / len(members[node])
    for node, passed in transitions.items():
        for target, share in passed.items():
            for giver in members[node]:
                takers = [member for member in members[target] if member != giver]
                for taker in takers:
                    edges[place[giver]][place[taker]] += share / len(takers)
    return Hypotheses(names, tuple(start), tuple(tuple(row) for row in edges))


def list_readouts(outcomes: Sequence[Outcome]) -> dict[str, tuple[str, ...]]:
    """Readouts of every outcome that a graph may name: those without modifiers."""
    return {outcome.id: outcome.readouts for outcome in outcomes if not outcome.modifiers}


def list_nodes(weights: Mapping[str, Any], transitions: Mapping[str, Any]) -> list[str]:
    """Nodes of a graph in the order in which they are first named."""
    named = [*map(str, weights)]
    for node, passed in transitions.items():
        named += [str(node), *(map(str, passed) if isinstance(passed, Mapping) else ())]
    return list(dict.fromkeys(named))


def _members(node: str, readouts: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    outcome, _, readout = node.partition("/")
    return [(outcome, one) for one in readouts[outcome] if readout in ("", one)]


def graph_faults(graph: Mapping[str, Any], readouts: Mapping[str, Sequence[str]], where: Location) -> Iterator[Fault]:
    """What is wrong with a graph; ``readouts`` are those of each outcome without modifiers."""
    weights, transitions = (_mapping(graph.get(key)) for key in ("weights", "transitions"))
    yield from _name_faults(weights, transitions, readouts, where)
    yield from _sum_faults(weights, (*where, "weights"), "weights")
    for node, passed in transitions.items():
        if isinstance(passed, Mapping):
            yield from _sum_faults(passed, (*where, "transitions", node), f"what '{node}' passes on")
            if node in passed and len(_known_members(str(node), readouts)) == 1:
                told = f"'{node}' passes a share to itself, but is one hypothesis only"
                yield (*where, "transitions", node, node), f"{told}. Remove it"
    nodes = list_nodes(weights, transitions)
    count = sum(len(_known_members(node, readouts)) for node in nodes)
    if graph.get("test") == "simes" and count > MOST_CLOSED:
        told = f"Simes' test of {count} hypotheses has too many intersections. At most {MOST_CLOSED} can be closed"
        yield (*where, "test"), f"{told}. Take 'bonferroni' or fewer hypotheses"


def _mapping(node: object) -> Mapping[str, Any]:
    return node if isinstance(node, Mapping) else {}


def _known_members(node: str, readouts: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    return _members(node, readouts) if node.partition("/")[0] in readouts else []


def _name_faults(
    weights: Mapping[str, Any], transitions: Mapping[str, Any], readouts: Mapping[str, Sequence[str]], where: Location
) -> Iterator[Fault]:
    nodes = list_nodes(weights, transitions)
    known = [*readouts, *(f"{outcome}/{readout}" for outcome, own in readouts.items() for readout in own)]
    places: dict[str, Location] = {}
    for node in weights:
        places.setdefault(str(node), (*where, "weights", node))
    for giver, passed in transitions.items():
        places.setdefault(str(giver), (*where, "transitions", giver))
        for taker in passed if isinstance(passed, Mapping) else ():
            places.setdefault(str(taker), (*where, "transitions", giver, taker))
    for node in nodes:
        outcome, _, readout = node.partition("/")
        if node not in known:
            yield places[node], unknown("outcome, or outcome and readout,", node, known)
        elif readout and outcome in nodes:
            told = f"'{node}' is part of '{outcome}', which the graph names too"
            yield places[node], f"{told}. Name the outcome, or its readouts one by one"


def _sum_faults(shares: Mapping[str, Any], where: Location, told: str) -> Iterator[Fault]:
    numbers = {name: share for name, share in shares.items() if isinstance(share, int | float) and not isinstance(share, bool)}
    for name, share in numbers.items():
        if not (math.isfinite(share) and share >= 0):
            yield (*where, name), f"{share} is no share of alpha. Expected a number from 0 to 1"
    total = sum(numbers.values())
    if math.isfinite(total) and total > 1 + _ROOM:
        yield where, f"{told} sum to {total:g}. Expected at most 1: no more alpha can be passed on than there is"
